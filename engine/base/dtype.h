/* engine/base/dtype.h: the number types that arrays on the wire and in files may have.
 *
 * All little-endian, named as numpy names them. Hosts are little-endian (checked at build).
 */
#ifndef FLY_BASE_DTYPE_H
#define FLY_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum fly_dtype {
    FLY_U8 = 0, /* "<u1" (also "|u1") */
    FLY_U16,    /* "<u2" */
    FLY_U32,    /* "<u4" */
    FLY_I16,    /* "<i2" */
    FLY_I32,    /* "<i4" */
    FLY_F32,    /* "<f4" */
    FLY_F64,    /* "<f8" */
    FLY_DTYPES
};

/* -1 when the name is none of the seven. */
int fly_dtype_parse(const char *name, size_t len);
const char *fly_dtype_name(enum fly_dtype dtype);
size_t fly_dtype_size(enum fly_dtype dtype);

static inline int fly_dtype_is_float(enum fly_dtype dtype)
{
    return dtype == FLY_F32 || dtype == FLY_F64;
}

/* Item i of an array of dtype, which needs no alignment. Exact: every type fits a double. */
double fly_dtype_value(enum fly_dtype dtype, const void *array, size_t i);

#endif
