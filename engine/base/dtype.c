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
