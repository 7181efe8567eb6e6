/* engine/region/refine.h: the frequency of one wave in a picture, far below a bin.
 *
 * It is where |S(f)|^2, S(f) = sum of window times rest times exp(-2 pi i (fy y + fx x)), is largest:
 * Newton's method from a start within about a bin. The sine window loses 1.36 in standard deviation against no
 * window (Hann 1.87) and keeps other waves out nearly as well: their share falls with the square of the
 * distance in bins.
 *
 * One pass turns the picture back by the start's frequency and adds it up around 13 knots on each axis, with hat
 * functions that add up to 1 everywhere: other waves, 12 and more bins away, would otherwise come back as near ones.
 * The rest works on those sums. Where the maximum lies more than a tenth of a bin from the start the pass is done
 * again from there.
 *
 * Threads  pure but for the worker's tables from 2 on.
 */
#ifndef FLY_REGION_REFINE_H
#define FLY_REGION_REFINE_H

#include "engine/region/flatten.h"

struct fly_tone {
    double fy, fx;    /* cycles a pixel */
    double amplitude; /* A of A cos(...), in units of rest */
    double cov[3];    /* yy, yx, xx of (fy, fx), for noise of variance 1 and A = 1: times sigma^2 / A^2 */
    int found;        /* 0: no maximum within a bin and a half of the start, which fy, fx then are */
};

struct fly_tone fly_refine(const struct fly_flat *flat, const struct fly_transform *transform,
                           struct fly_transform_work *work, double fy, double fx);

/* The plain twin: every sum over all pixels. */
struct fly_tone fly_refine_ref(const struct fly_flat *flat, double fy, double fx);

#endif
