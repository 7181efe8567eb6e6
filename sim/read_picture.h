/* sim/read_picture.h: what the readers of ordinary pictures share.
 *
 * Pictures are decoded whole (16384 x 16384 px of 16 bits are 512 MiB) since their formats are.
 * Colour is taken only when it is grey in truth: its three channels equal everywhere.
 */
#ifndef FLY_SIM_READ_PICTURE_H
#define FLY_SIM_READ_PICTURE_H

#include "sim/import.h"

/* Make pixels (height, width) of dtype the one image of an import. Takes pixels (malloc'ed)
 * whatever happens. */
FLY_MUST_USE int fly_picture_hold(struct fly_import *out, void *pixels, enum fly_dtype dtype,
                                  int64_t height, int64_t width);

/* One line of `samples` (1 .. 4) interleaved samples of item_bytes each, to grey, in place or not:
 * 3 must be equal; a second or fourth is opacity and must be full. FLY_ERANGE names the pixel. */
FLY_MUST_USE int fly_picture_grey(const struct fly_import *out, int64_t y_px, const void *in,
                                  int samples, size_t item_bytes, int64_t width, void *grey);

#endif
