/* engine/region/flatten.h: a picture without its mean or plane, windowed, as input of a transform.
 *
 * Values are divided by the picture's root mean square, so that powers of any unit fit into floats.
 *
 * Tables   0 and 1 of the worker hold the Hann windows of y and x afterwards; the rest is free.
 */
#ifndef FLY_REGION_FLATTEN_H
#define FLY_REGION_FLATTEN_H

#include "engine/region/spacing.h"

enum fly_flatten_kind {
    FLY_FLATTEN_MEAN,  /* the mean off; Hann with zeros at both ends, as numpy's hanning */
    FLY_FLATTEN_PLANE, /* the least-squares plane off; Hann sampled at the middles of pixels */
};

struct fly_flat {
    struct fly_picture picture;
    const float *rest;   /* (h, w): the picture less what was taken off, 0 where missing */
    int64_t present;     /* pixels that are not missing */
    int blank;           /* 1: nothing but its mean or plane, to the precision of floats; no input was made */
    double unit;         /* the picture's unit, in that of rest */
    double window_sum;   /* of the Hann window over pixels present */
    double window_power; /* of its squares: mean power of white noise of variance 1 */
};

struct fly_flat fly_flatten(const struct fly_picture *picture, const struct fly_transform *transform,
                            struct fly_transform_work *work, enum fly_flatten_kind kind);

static inline int fly_present(float value)
{
    return value - value == 0.0f; /* not NaN, not infinite */
}

#endif
