/* engine/chip/saturation.h: do pixels pile up at the highest or the lowest value that a detector gives?
 *
 * Where a converter clips is not in the number type: 12 bits in a uint16 end at 4095, a float anywhere. So the
 * FLY_SATURATION_VALUES highest values seen that differ, and the lowest, are kept, each with the exact number of
 * its pixels: a value that others pushed out can never come back among the highest, so nothing is ever lost, and
 * the state is a function of the pixels alone, not of their order.
 *
 * A tail that ends by itself thins out toward its end. Noise, counts and mixtures of them have tails that are
 * logarithmically concave, c0 c2 <= c1^2 for the counts of neighbours; clipping puts all that lay beyond on one
 * value. Value j is a pile when
 *
 *   c_j > 4 E + 16,   E = the largest of c_(j+1) .. c_last and of c_(j+1)^2 / c_(j+2)
 *
 * 4: unclipped tails of 10^4 .. 10^7 pixels, Poisson of mean 0.01 to 10^4, Gauss, exponential and lattices
 * of spots stay below 1 (tests). 16: a handful of equal hot pixels is none. Above the pile, hot pixels may have other
 * values; what they have counts with it. A tail that falls to 1/e within fewer than about 4 values of the
 * detector is cut off without being told: there is little beyond.
 *
 * Limits   not told: values clipped before they were averaged, scaled per pixel or blurred. Told though nothing
 *          clips: pictures without noise whose brightest (darkest) part is of one value, and at the bottom a counting
 *          detector over vacuum, whose zeros are measured ones: for unsigned counts take the bottom as a hint.
 *          At least three values must have been seen.
 * Memory   a plain value of about 250 bytes. Threads: one at a time.
 */
#ifndef FLY_CHIP_SATURATION_H
#define FLY_CHIP_SATURATION_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/dtype.h"

enum { FLY_SATURATION_VALUES = 6 };

/* The values farthest out, the outermost first. */
struct fly_tail {
    int32_t n; /* so many */
    double value[FLY_SATURATION_VALUES];
    int64_t count[FLY_SATURATION_VALUES];
};

struct fly_saturation {
    enum fly_dtype dtype;
    int64_t total;     /* finite pixels */
    int64_t nonfinite;
    struct fly_tail top, bottom;
};

struct fly_pile {
    int piled;     /* 1: values are cut off here */
    double value;  /* where, or the outermost value when none is; NaN without pixels */
    double share;  /* of all pixels, at it or beyond: 0 .. 1, 0 without pixels */
};

void fly_saturation_init(struct fly_saturation *saturation, enum fly_dtype dtype);

/* n pixels of the dtype, which need no alignment; each pixel of a frame once. */
void fly_saturation_put(struct fly_saturation *saturation, const void *pixels, size_t n);

/* The plain twin: pixel by pixel. */
void fly_saturation_put_ref(struct fly_saturation *saturation, const void *pixels, size_t n);

struct fly_pile fly_saturation_top(const struct fly_saturation *saturation);
struct fly_pile fly_saturation_bottom(const struct fly_saturation *saturation);

#endif
