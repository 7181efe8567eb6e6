/* plugin/page/picture.h: the mean image as the page shows it: small enough, and only what changed of it.
 *
 * Scans larger than 1024 px a side are shown by means of step x step blocks. Rows come in as they are known
 * and are compared with what is there: each row keeps the revision at which it last changed, so that a
 * viewer gets what it lacks and no more.
 *
 * Shapes   pictures (h, w) float, row-major, NaN where nothing was measured.
 * Threads  one at a time.
 */
#ifndef FLY_PLUGIN_PAGE_PICTURE_H
#define FLY_PLUGIN_PAGE_PICTURE_H

#include <stdint.h>

#include "engine/base/err.h"

enum { FLY_PICTURE_MAX = 1024, FLY_PICTURE_UNMEASURED = 65535, FLY_PICTURE_TOP = 65534 };

struct fly_picture {
    int32_t height_px, width_px, step; /* of the scan; 0: there is no picture */
    int32_t h, w;
    float *mean;        /* (h, w) */
    uint64_t *revision; /* (h) */
    uint64_t newest;    /* only grows, over pictures too; one that never was of this process is below all */
    int has_range;
    double lo, hi;      /* of the numbers that go out, with room; moved rarely, as all rows go out anew then */
};

void fly_picture_init(struct fly_picture *picture, uint64_t first_revision);
void fly_picture_fini(struct fly_picture *picture);

/* An empty one of a scan, 1 .. 16384 px a side; height 0: none. FLY_ENOMEM: none. */
FLY_MUST_USE int fly_picture_begin(struct fly_picture *picture, int32_t height_px, int32_t width_px);

/* Rows y0 .. y0 + rows - 1 are like this, (rows, w); within the picture. */
void fly_picture_put(struct fly_picture *picture, int32_t y0, int32_t rows, const float *mean);

/* The range from the first to the last row that changed after `since`; all of them where that is no revision of
 * this picture. *rows 0: none. */
void fly_picture_changed(const struct fly_picture *picture, uint64_t since, int32_t *y0, int32_t *rows);

/* Rows as the numbers that go out, out (rows, w): value = lo + q (hi - lo) / FLY_PICTURE_TOP. */
void fly_picture_quantise(const struct fly_picture *picture, int32_t y0, int32_t rows, uint16_t *out);

#endif
