/* The plain twin of engine/chip/exact.c: one bit at a time, nothing clever. */
#include "engine/chip/exact.h"

#include <math.h>

#include "engine/base/err.h"

enum { BITS = (FLY_EXACT_LIMBS_MAX + 2) * 64 };

double fly_exact_mean_ref(enum fly_dtype dtype, const uint64_t *sum, uint64_t weight)
{
    int32_t limbs = fly_exact_limbs(dtype), words = limbs * 64, n = 0;
    int unit = dtype == FLY_F64 ? -1074 : dtype == FLY_F32 ? -149 : 0;
    int negative = (int)(sum[limbs - 1] >> 63), borrow = negative;
    unsigned char bit[BITS], quotient[BITS];
    unsigned __int128 rest = 0;
    int first = -1;

    /* lowest first; of a negative sum, its opposite: all bits turned, one added */
    for (int32_t i = 0; i < words; i++) {
        int b = (int)(sum[i / 64] >> i % 64 & 1);

        if (negative) {
            b = !b + borrow;
            borrow = b == 2;
            b &= 1;
        }
        bit[i] = (unsigned char)b;
    }
    /* school's division from the top, 128 bits past the point */
    for (int32_t i = words - 1; i >= -128; i--) {
        rest = rest * 2 + (i >= 0 ? bit[i] : 0);
        quotient[n] = rest >= weight;
        if (quotient[n])
            rest -= weight;
        if (first < 0 && quotient[n])
            first = n;
        n++;
    }
    if (first < 0)
        return 0.0;
    /* the highest bit is worth 2^exponent */
    int exponent = words - 1 - first + unit, keep = exponent < -1022 ? 53 + exponent + 1022 : 53;
    double value = 0.0;
    int half, beyond = rest != 0;

    if (keep < 0)
        return negative ? -0.0 : 0.0;
    for (int i = 0; i < keep; i++)
        value = value * 2.0 + (first + i < n ? quotient[first + i] : 0);
    half = first + keep < n ? quotient[first + keep] : 0;
    for (int i = first + keep + 1; i < n; i++)
        beyond |= quotient[i];
    if (half && (beyond || fmod(value, 2.0) == 1.0))
        value += 1.0;
    value = ldexp(value, exponent - keep + 1);
    return negative ? -value : value;
}
