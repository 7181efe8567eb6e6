/* engine/chip/exact.h: sums of value times weight without a rounding, and their correctly rounded mean.
 *
 * Every number of the seven types is a whole multiple of the type's smallest one, so a sum of products is
 * a whole number, wide enough for 2^20 frames of 2^40 ns: 128 bits for integers, 384 for f4, 2240
 * for f8 (Kulisch 1981, "Grundlagen der numerischen Mathematik", the long accumulator). Adding and taking
 * away are exact and commute: no order of arrival changes a bit.
 *
 * Layout   a sum is fly_exact_limbs(dtype) words, two's complement, lowest first, in units of
 *          2^fly_exact_unit(dtype).
 */
#ifndef FLY_CHIP_EXACT_H
#define FLY_CHIP_EXACT_H

#include <stdint.h>

#include "engine/base/dtype.h"

enum { FLY_EXACT_LIMBS_MAX = 35 };

int32_t fly_exact_limbs(enum fly_dtype dtype);

/* sum += sign * value * weight. value: item i of array, finite. sign +1 or -1. weight <= 2^40. */
void fly_exact_add(enum fly_dtype dtype, uint64_t *sum, const void *array, size_t i, uint64_t weight,
                   int sign);

/* sum / weight, rounded to nearest, ties to even. weight > 0. */
double fly_exact_mean(enum fly_dtype dtype, const uint64_t *sum, uint64_t weight);

/* The plain twin of fly_exact_mean: bit by bit, after the school's long division. */
double fly_exact_mean_ref(enum fly_dtype dtype, const uint64_t *sum, uint64_t weight);

#endif
