#include "engine/embed/tensor_type.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* IEEE 754 binary16. */
static float from_half(uint16_t half)
{
    int sign = half >> 15, exponent = half >> 10 & 31, fraction = half & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
               : exponent == 0  ? ldexpf((float)fraction, -24)
                                : ldexpf((float)(fraction + 1024), exponent - 25);

    return sign ? -size : size;
}

static float from_bfloat(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;

    memcpy(&value, &wide, sizeof value);
    return value;
}

static float item_f32(const unsigned char *data)
{
    float value;

    memcpy(&value, data, sizeof value);
    return value;
}

static float item_f64(const unsigned char *data)
{
    double value;

    memcpy(&value, data, sizeof value);
    return (float)value;
}

static float item_f16(const unsigned char *data)
{
    uint16_t value;

    memcpy(&value, data, sizeof value);
    return from_half(value);
}

static float item_bf16(const unsigned char *data)
{
    uint16_t value;

    memcpy(&value, data, sizeof value);
    return from_bfloat(value);
}

static const struct fly_tensor_type types[] = {
    {"BOOL", 1, NULL},      {"U8", 1, NULL},        {"I8", 1, NULL},       {"F8_E5M2", 1, NULL},
    {"F8_E4M3", 1, NULL},   {"I16", 2, NULL},       {"U16", 2, NULL},      {"F16", 2, item_f16},
    {"BF16", 2, item_bf16}, {"I32", 4, NULL},       {"U32", 4, NULL},      {"F32", 4, item_f32},
    {"F64", 8, item_f64},   {"I64", 8, NULL},       {"U64", 8, NULL},
};

const struct fly_tensor_type *fly_tensor_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(name, types[i].name) == 0)
            return &types[i];
    return NULL;
}
