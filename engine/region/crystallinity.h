/* engine/region/crystallinity.h: a map of how crystalline the specimen is around each chip.
 *
 * A chip of 10 to 20 pixels has two to four periods, too few to tell a lattice from noise. So a chip is given the
 * crystallinity (spacing.h) of the 3 x 3 chips around it; windows of neighbours overlap by two thirds.
 *
 * Shapes   map (R, C) float, 0 .. 1, row-major; NaN where not measured.
 * Threads  different chips may be measured at once by different workers.
 */
#ifndef FLY_REGION_CRYSTALLINITY_H
#define FLY_REGION_CRYSTALLINITY_H

#include "engine/region/spacing.h"
#include "engine/region/square.h"

/* The window of a chip: 3 x 3 around it, moved inside the grid where it would leave it; narrower only where the grid
 * is. A chip's change concerns the chips whose windows have it (fly_square_has): at most two away, three at edges. */
struct fly_square fly_crystallinity_window(int32_t rows, int32_t cols, int32_t row, int32_t col);

/* The crystallinity of a window's pixels; NaN when fewer than half of them are there, or when it cannot be told.
 * FLY_ERANGE as fly_spacing_robust. */
FLY_MUST_USE int fly_crystallinity(float *out, const struct fly_transforms *transforms, int32_t worker,
                                   const struct fly_spacing_config *config, const struct fly_picture *window);

#endif
