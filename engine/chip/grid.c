#include "engine/chip/grid.h"

#include "engine/base/coverage.h"

int fly_grid_init(struct fly_grid *grid, int32_t height_px, int32_t width_px, int32_t side_px,
                  int32_t pitch_px, int32_t rows, int32_t cols)
{
    int32_t smaller = height_px < width_px ? height_px : width_px, fit_rows, fit_cols;

    if (height_px < 1 || width_px < 1 || height_px > FLY_SCAN_MAX_PX || width_px > FLY_SCAN_MAX_PX)
        return fly_fail(FLY_ERANGE, "a scan of %d x %d px, allowed are 1 .. %d each", height_px, width_px,
                        FLY_SCAN_MAX_PX);
    if (side_px < 1 || side_px > smaller)
        return fly_fail(FLY_ERANGE, "chip.size_px %d, a scan of %d x %d px allows 1 .. %d", side_px, height_px,
                        width_px, smaller);
    if (pitch_px == 0)
        pitch_px = side_px;
    if (pitch_px < 1 || pitch_px > side_px)
        return fly_fail(FLY_ERANGE, "chip.pitch_px %d, side allows 1 .. %d", pitch_px, side_px);
    fit_rows = (height_px - side_px) / pitch_px + 1;
    fit_cols = (width_px - side_px) / pitch_px + 1;
    if (rows < 0 || rows > fit_rows)
        return fly_fail(FLY_ERANGE, "chip.rows %d, %d of %d px fit the scan's %d", rows, fit_rows, side_px,
                        height_px);
    if (cols < 0 || cols > fit_cols)
        return fly_fail(FLY_ERANGE, "chip.cols %d, %d of %d px fit the scan's %d", cols, fit_cols, side_px,
                        width_px);
    *grid = (struct fly_grid){.height_px = height_px,
                              .width_px = width_px,
                              .side_px = side_px,
                              .pitch_px = pitch_px,
                              .rows = rows ? rows : fit_rows,
                              .cols = cols ? cols : fit_cols};
    return FLY_OK;
}

struct fly_chip_range fly_grid_touched(const struct fly_grid *grid, struct fly_rect rect)
{
    struct fly_cover_config config = {.side_px = grid->side_px,
                                      .pitch_px = grid->pitch_px,
                                      .rows = grid->rows,
                                      .cols = grid->cols};
    struct fly_cover_range r =
        fly_cover_touched(&config, (struct fly_cover_rect){rect.y0, rect.x0, rect.h, rect.w});

    return (struct fly_chip_range){r.r0, r.r1, r.c0, r.c1};
}
