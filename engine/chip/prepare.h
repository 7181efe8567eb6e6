/* engine/chip/prepare.h: a chip's mean becomes the 0..255 picture that embedders look at.
 *
 * Golden definitions 2 and 3. All in double; the caller rounds when it must.
 */
#ifndef FLY_CHIP_PREPARE_H
#define FLY_CHIP_PREPARE_H

#include <stdint.h>

#include "engine/base/err.h"

/* g = clip((v - lo) / (hi - lo), 0, 1) * 255 for count values; hi <= lo gives zeros. in may be out. */
void fly_map_intensity(const double *in, double *out, int64_t count, double lo, double hi);

/* Bilinear, half-pixel centres, edges clamped, no antialias: (side, side) -> (size, size).
 * Same numbers as torch's interpolate(align_corners=False). 1 <= side, size <= 1024. */
void fly_resize_bilinear(const double *in, int32_t side, double *out, int32_t size);

/* numpy.percentile (linear interpolation) of count > 0 finite values, which it reorders.
 * percent 0 .. 100. */
double fly_percentile(double *values, int64_t count, double percent);

#endif
