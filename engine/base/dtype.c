#include "engine/base/dtype.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are used as they lie on the wire");

static const struct {
    const char *name;
    size_t size;
} types[FLY_DTYPES] = {
    [FLY_U8] = {"<u1", 1},  [FLY_U16] = {"<u2", 2}, [FLY_U32] = {"<u4", 4}, [FLY_I16] = {"<i2", 2},
    [FLY_I32] = {"<i4", 4}, [FLY_F32] = {"<f4", 4}, [FLY_F64] = {"<f8", 8},
};

int fly_dtype_parse(const char *name, size_t len)
{
    if (len != 3)
        return -1;
    if (memcmp(name, "|u1", 3) == 0)
        return FLY_U8;
    for (int i = 0; i < FLY_DTYPES; i++)
        if (memcmp(name, types[i].name, 3) == 0)
            return i;
    return -1;
}

const char *fly_dtype_name(enum fly_dtype dtype)
{
    return types[dtype].name;
}

size_t fly_dtype_size(enum fly_dtype dtype)
{
    return types[dtype].size;
}

double fly_dtype_value(enum fly_dtype dtype, const void *array, size_t i)
{
    const unsigned char *at = (const unsigned char *)array + i * types[dtype].size;
    union {
        uint16_t u16;
        uint32_t u32;
        int16_t i16;
        int32_t i32;
        float f32;
        double f64;
    } v;

    if (dtype == FLY_U8)
        return *at;
    memcpy(&v, at, types[dtype].size);
    switch (dtype) {
    case FLY_U16:
        return v.u16;
    case FLY_U32:
        return v.u32;
    case FLY_I16:
        return v.i16;
    case FLY_I32:
        return v.i32;
    case FLY_F32:
        return (double)v.f32;
    default:
        return v.f64;
    }
}
