/* The figures of a paper: each measured, drawn, written. */
#include "plugin/figures_draw.h"

#include <stdio.h>

#include "stream/disk.h"

static const struct {
    const char *name;
    fly_fig_draw *draw;
} figures[FLY_FIGURES] = {
    [FLY_FIGURE_2] = {"figure2", fly_fig_measured}, [FLY_FIGURE_3] = {"figure3", fly_fig_segmented},
    [FLY_FIGURE_4] = {"figure4", fly_fig_composed}, [FLY_FIGURE_5] = {"figure5", fly_fig_lattice},
    [FLY_TABLE_1] = {"table1", fly_fig_table},
};

const char *fly_figure_name(enum fly_figure figure)
{
    return figures[figure].name;
}

static void check(const struct fly_figures *in)
{
    enum { SIDE_MAX = 16384 };

    FLY_ASSERT(!in->image || (in->height_px >= 1 && in->height_px <= SIDE_MAX && in->width_px >= 1 &&
                              in->width_px <= SIDE_MAX));
    FLY_ASSERT(in->rows >= 0 && in->rows <= SIDE_MAX && in->cols >= 0 && in->cols <= SIDE_MAX);
    FLY_ASSERT((int64_t)in->rows * in->cols <= INT32_MAX);
    FLY_ASSERT(in->rows < 1 || in->cols < 1 || (in->side_px >= 1 && in->pitch_px >= 1));
    FLY_ASSERT(in->n_elements >= 0 && in->n_elements <= FLY_ELEMENTS_MAX);
    FLY_ASSERT(in->n_regions >= 0 && in->n_differences >= 0);
}

int fly_figure_png(enum fly_figure figure, const struct fly_figures *input, struct fly_text *out)
{
    struct fly_fig_page page = {.in = input};
    int rc;

    check(input);
    rc = figures[figure].draw(&page);
    if (rc == FLY_OK)
        rc = fly_canvas_open(&page.canvas, page.right + FLY_FIG_MARGIN, page.y + FLY_FIG_MARGIN, fig_paper);
    if (rc == FLY_OK) {
        page.y = page.panels = 0; /* `right` stays: titles end there */
        rc = figures[figure].draw(&page);
    }
    if (rc == FLY_OK)
        rc = fly_canvas_png(&page.canvas, out);
    fly_canvas_close(&page.canvas);
    return rc;
}

int fly_figures_write(const char *dir, const struct fly_figures *input)
{
    int rc = FLY_OK;

    for (int f = 0; rc == FLY_OK && f < FLY_FIGURES; f++) {
        char path[2048];
        struct fly_text png;

        fly_text_init(&png);
        snprintf(path, sizeof path, "%s/%s.png", dir, figures[f].name);
        rc = fly_figure_png((enum fly_figure)f, input, &png);
        if (rc == FLY_OK)
            rc = fly_file_write(path, png.bytes, png.len);
        fly_text_fini(&png);
    }
    return rc;
}
