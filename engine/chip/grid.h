/* engine/chip/grid.h: where the chips of a scan lie.
 *
 * A scan is cut into square chips side_px wide, their corners pitch_px apart, the first at the
 * scan's origin (golden definition 1). Pixels beyond the last chip belong to none. The grid holds no
 * pixels and never allocates.
 *
 * Axes     y runs down the slow scan, x along the fast scan, origin top left.
 * Index    chip k = row * cols + col.
 * Threads  a grid is a plain value: copy it, read it from anywhere.
 */
#ifndef FLY_CHIP_GRID_H
#define FLY_CHIP_GRID_H

#include <stdint.h>

#include "engine/base/err.h"

enum { FLY_SCAN_MAX_PX = 16384 };

struct fly_grid {
    int32_t height_px, width_px; /* of the scan */
    int32_t side_px;
    int32_t pitch_px;            /* at most side_px; less means that chips overlap */
    int32_t rows, cols;
};

/* Lay a grid over a height_px x width_px scan.
 *
 *   grid        filled on success, untouched on error
 *   side_px     1 .. min(height_px, width_px)
 *   pitch_px    1 .. side_px; 0 means side_px
 *   rows, cols  0: as many as fit; else 1 .. as many as fit (Table II asks for 33 x 33 of 15 px)
 *
 * FLY_ERANGE  a size is outside its range
 */
FLY_MUST_USE int fly_grid_init(struct fly_grid *grid, int32_t height_px, int32_t width_px,
                               int32_t side_px, int32_t pitch_px, int32_t rows, int32_t cols);

static inline int32_t fly_grid_chips(const struct fly_grid *grid)
{
    return grid->rows * grid->cols;
}

/* A rectangle of pixels of one frame. */
struct fly_rect {
    int32_t y0, x0, h, w;
};

/* The chips that a rectangle touches: rows r0 .. r1-1, columns c0 .. c1-1; empty when r0 >= r1. */
struct fly_chip_range {
    int32_t r0, r1, c0, c1;
};
struct fly_chip_range fly_grid_touched(const struct fly_grid *grid, struct fly_rect rect);

#endif
