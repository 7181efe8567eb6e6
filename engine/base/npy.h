/* engine/base/npy.h: numpy's .npy arrays, from and to bytes in memory (format 1.0 and 2.0, C order).
 *
 * No file is touched here. NEP 1 (numpy-format) describes the bytes.
 */
#ifndef FLY_BASE_NPY_H
#define FLY_BASE_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

enum { FLY_NPY_DIMS = 4, FLY_NPY_HEADER_CAP = 256 };

/* Beyond fly_dtype: .npy files also hold 64-bit integers and booleans. */
enum fly_npy_type {
    FLY_NPY_U8 = 0, FLY_NPY_U16, FLY_NPY_U32, FLY_NPY_I16, FLY_NPY_I32, FLY_NPY_F32, FLY_NPY_F64,
    FLY_NPY_I64, FLY_NPY_U64, FLY_NPY_BOOL, FLY_NPY_I8, FLY_NPY_TYPES
}; /* the first seven equal enum fly_dtype */

struct fly_npy {
    enum fly_npy_type type;
    int32_t dims;                  /* 0 .. FLY_NPY_DIMS */
    int64_t shape[FLY_NPY_DIMS];
    int64_t items;                 /* product of shape, 1 when dims is 0 */
    const void *data;              /* inside the bytes handed in; may be unaligned */
};

size_t fly_npy_type_size(enum fly_npy_type type);

/* Look at an array in bytes. The view is lent for as long as the bytes live.
 *
 * FLY_EWIRE  not .npy, Fortran order, a type not listed above, more dimensions than FLY_NPY_DIMS, or
 *            fewer bytes than the shape asks for; `name` is put into the message
 */
FLY_MUST_USE int fly_npy_view(struct fly_npy *out, const void *bytes, size_t len, const char *name);

/* Write the header for an array; returns its length (a multiple of 64, at most
 * FLY_NPY_HEADER_CAP). The array's bytes follow it in a file. */
size_t fly_npy_header(unsigned char out[FLY_NPY_HEADER_CAP], enum fly_npy_type type, int32_t dims,
                      const int64_t *shape);

#endif
