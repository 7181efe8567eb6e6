#include "engine/chip/exact.h"

#include <math.h>
#include <string.h>

#include "engine/base/err.h"

typedef unsigned __int128 u128;

int32_t fly_exact_limbs(enum fly_dtype dtype)
{
    return dtype == FLY_F64 ? FLY_EXACT_LIMBS_MAX : dtype == FLY_F32 ? 6 : 2;
}

/* Exponent of the lowest bit. */
static int unit_of(enum fly_dtype dtype)
{
    return dtype == FLY_F64 ? -1074 : dtype == FLY_F32 ? -149 : 0;
}

/* ---- adding ------------------------------------------------------------------------------------ */

/* sum += sign * (product << shift). */
static void add_wide(uint64_t *sum, int32_t limbs, u128 product, int shift, int sign)
{
    int32_t at = shift / 64;
    int bits = shift % 64;
    uint64_t part[3] = {(uint64_t)(product << bits), (uint64_t)(product >> (64 - bits)),
                        bits ? (uint64_t)(product >> (128 - bits)) : 0};
    unsigned char carry = 0;

    for (int32_t i = at; i < limbs; i++) {
        uint64_t word = i - at < 3 ? part[i - at] : 0, before = sum[i], after;

        if (i - at >= 3 && !carry)
            break;
        if (sign > 0) {
            after = before + word + carry;
            carry = carry ? after <= before : after < before;
        } else {
            after = before - word - carry;
            carry = carry ? after >= before : after > before;
        }
        sum[i] = after;
    }
}

static void add_float(enum fly_dtype dtype, uint64_t *sum, double value, uint64_t weight, int sign)
{
    uint64_t bits, mantissa;
    int exponent;

    memcpy(&bits, &value, sizeof bits);
    exponent = (int)(bits >> 52 & 0x7FF);
    mantissa = bits & 0xFFFFFFFFFFFFFu;
    if (exponent)
        mantissa |= UINT64_C(1) << 52;
    else
        exponent = 1;
    if (!mantissa)
        return;
    /* value = mantissa * 2^(exponent - 1075); a float widened to double has 29 zeros at its end */
    int shift = exponent - 1075 - unit_of(dtype);

    if (shift < 0) {
        mantissa >>= -shift;
        shift = 0;
    }
    add_wide(sum, fly_exact_limbs(dtype), (u128)mantissa * weight, shift, bits >> 63 ? -sign : sign);
}

void fly_exact_add(enum fly_dtype dtype, uint64_t *sum, const void *array, size_t i, uint64_t weight, int sign)
{
    double value;
    u128 wide;

    value = fly_dtype_value(dtype, array, i);
    if (fly_dtype_is_float(dtype)) {
        add_float(dtype, sum, value, weight, sign);
        return;
    }
    memcpy(&wide, sum, sizeof wide);
    wide += (u128)((__int128)(int64_t)value * (__int128)weight * sign);
    memcpy(sum, &wide, sizeof wide);
}

/* ---- the mean ---------------------------------------------------------------------------------- */

/* mantissa (its top bit is worth 2^(63 + exponent)) and whether anything follows it, to the nearest
 * double. top: mantissa has bit 63 set. */
static double round_to_double(uint64_t mantissa, int exponent, int sticky, int negative)
{
    /* Subnormal results keep fewer bits: the last one is worth 2^-1074. */
    int keep = 53, value_exponent = exponent + 63;

    if (value_exponent < -1022)
        keep = 53 - (-1022 - value_exponent);
    if (keep < 0)
        return negative ? -0.0 : 0.0;
    int drop = 64 - keep;
    uint64_t kept = drop == 64 ? 0 : mantissa >> drop;
    uint64_t rest = drop == 64 ? mantissa : mantissa << (64 - drop);
    uint64_t half = UINT64_C(1) << 63;

    if (rest > half || (rest == half && (sticky || (kept & 1))))
        kept++;
    double value = ldexp((double)kept, exponent + drop);

    return negative ? -value : value;
}

double fly_exact_mean(enum fly_dtype dtype, const uint64_t *sum, uint64_t weight)
{
    int32_t limbs = fly_exact_limbs(dtype);
    /* two more words below: bits after the point, enough for 64 significant ones of any quotient */
    uint64_t a[FLY_EXACT_LIMBS_MAX + 2] = {0};
    int negative = (int)(sum[limbs - 1] >> 63), sticky = 0;
    int32_t top = limbs + 1;
    u128 rest = 0;

    FLY_ASSERT(weight > 0);
    if (limbs == 2 && !negative && sum[1] == 0 && sum[0] % weight == 0 && sum[0] / weight < UINT64_C(1) << 53)
        return (double)(sum[0] / weight);
    for (int32_t i = 0, carry = 1; i < limbs; i++) {
        a[i + 2] = negative ? ~sum[i] + (uint64_t)carry : sum[i];
        carry = carry && a[i + 2] == 0;
    }
    while (top >= 0 && a[top] == 0)
        top--;
    if (top < 0)
        return 0.0;
    for (int32_t i = top; i >= 0; i--) {
        rest = rest << 64 | a[i];
        a[i] = (uint64_t)(rest / weight);
        rest %= weight;
    }
    sticky = rest != 0;
    while (top >= 0 && a[top] == 0)
        top--;
    FLY_ASSERT(top >= 0); /* the sum is at least 1, the weight below 2^64, and 128 bits follow the point */
    int lead = __builtin_clzll(a[top]);
    uint64_t mantissa = a[top] << lead;

    if (lead && top > 0) {
        mantissa |= a[top - 1] >> (64 - lead);
        sticky |= a[top - 1] << lead != 0;
    } else if (top > 0) {
        sticky |= a[top - 1] != 0;
    }
    for (int32_t i = top - 2; i >= 0; i--)
        sticky |= a[i] != 0;
    return round_to_double(mantissa, 64 * (top - 2) - lead + unit_of(dtype), sticky, negative);
}
