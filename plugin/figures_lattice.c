/* Figure 5: the largest square of each region, its Fourier transform, its spacing; crystallinity. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>

enum { SIDE = 220, COLUMNS = 4, MAP = 340, BAR = 12, COLUMN_GAP = 20 };

static int of_fft(const struct fly_figure_region *region)
{
    return region->power && region->power_px >= 1;
}

/* What stands out of the noise; the paper has a strongest peak also where there is nothing. */
static int32_t spots_of(const struct fly_figure_region *region)
{
    const struct fly_spacing *spacing = region->spacing;

    return spacing && spacing->state == FLY_SPACING_MEASURED && spacing->crystalline ? spacing->spots : 0;
}

/* Cycles a pixel that the transforms are shown to, the same in all: half as far again as the outermost spot. */
static double reach_of(const struct fly_figure_region *const *shown, int n)
{
    double most = 0;

    for (int i = 0; i < n; i++) {
        for (int32_t s = 0; of_fft(shown[i]) && s < spots_of(shown[i]); s++) {
            const struct fly_spot *spot = &shown[i]->spacing->spot[s];

            most = fmax(most, fmax(fabs(spot->fy), fabs(spot->fx)));
        }
    }
    return most > 0 && most * 1.5 < 0.5 ? most * 1.5 : 0.5;
}

/* Pixels of the image that the square covers, kept within it. */
static void square_px(const struct fly_figures *in, const struct fly_figure_region *region, int32_t *y, int32_t *x,
                      int32_t *h, int32_t *w)
{
    int32_t side = (region->square_n - 1) * in->pitch_px + in->side_px;

    *y = region->square_row * in->pitch_px;
    *x = region->square_col * in->pitch_px;
    FLY_ASSERT(*y >= 0 && *x >= 0 && *y < in->height_px && *x < in->width_px);
    *h = side < in->height_px - *y ? side : in->height_px - *y;
    *w = side < in->width_px - *x ? side : in->width_px - *x;
}

static int draw_square(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_region *region)
{
    const struct fly_figures *in = page->in;
    int32_t top, left, h, w;
    double lo, hi;
    int rc;

    if (!in->image || region->square_n < 1) {
        fly_fig_absent(page, x, y, SIDE, SIDE, in->image ? "no square" : "no image");
        return FLY_OK;
    }
    square_px(in, region, &top, &left, &h, &w);
    struct fly_fig_field field = {.f32 = in->image + (int64_t)top * in->width_px + left, .step = 1,
                                  .stride = in->width_px, .rows = h, .cols = w};
    struct fly_fig_fit fit = fly_fig_stretch(h, w, SIDE);

    rc = fly_fig_range(&field, 0.01, 0.99, &lo, &hi);
    if (rc < 0)
        return rc;
    fly_fig_values(page, x, y, &field, &fit, lo, hi, fly_fig_grey);
    fly_fig_scale(page, x, y, &fit);
    return FLY_OK;
}

/* Yellow stands out of greys; its dark rim, of white. */
static void circle(struct fly_fig_page *page, double x, double y)
{
    fly_canvas_ring(&page->canvas, x, y, 8, 4, fig_ink, 0.6);
    fly_canvas_ring(&page->canvas, x, y, 8, 1.6, 0xF0E442, 1);
}

/* How the transforms of all regions are shown. */
struct shown_power {
    int any;       /* some region has one */
    double reach;  /* cycles a pixel */
    int32_t h;     /* room: less for words alone */
};

static int draw_power(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_region *region,
                      const struct shown_power *power)
{
    int32_t n = region->power_px, zero = n / 2, half, first, count;
    double lo, hi;
    int rc;

    if (!of_fft(region)) {
        fly_fig_absent(page, x, y, SIDE, power->h, page->in->no_lattice ? page->in->no_lattice : "not made");
        return FLY_OK;
    }
    half = (int32_t)ceil(power->reach * n);
    half = half < 1 ? 1 : half;
    first = zero - half > 0 ? zero - half : 0;
    count = (zero + half < n ? zero + half + 1 : n) - first;
    struct fly_fig_field field = {.f32 = region->power + (int64_t)first * n + first, .step = 1, .stride = n,
                                  .rows = count, .cols = count};
    struct fly_fig_fit fit = fly_fig_stretch(count, count, SIDE);
    double a_bin = fit.scale, mid = (zero - first + 0.5) * a_bin;

    rc = fly_fig_range(&field, 0.05, 0.999, &lo, &hi); /* a logarithm's low end is noise */
    if (rc < 0)
        return rc;
    fly_fig_values(page, x, y, &field, &fit, lo, hi, fly_fig_grey);
    for (int32_t s = 0; !fly_fig_measuring(page) && s < spots_of(region); s++) {
        double dy = region->spacing->spot[s].fy * n * a_bin, dx = region->spacing->spot[s].fx * n * a_bin;

        circle(page, x + mid + dx, y + mid + dy);
        circle(page, x + mid - dx, y + mid - dy);
    }
    return FLY_OK;
}

/* Why there is no spacing, in two lines. */
static const char *why_none(const struct fly_figure_region *region, char more[FLY_FIG_NUMBER + 32])
{
    const struct fly_spacing *spacing = region->spacing;
    char number[FLY_FIG_NUMBER];

    more[0] = '\0';
    if (!spacing || spacing->state == FLY_SPACING_NONE)
        return "spacing not measured";
    if (spacing->state == FLY_SPACING_TOO_SMALL) {
        snprintf(more, FLY_FIG_NUMBER + 32, "fewer than 4 periods");
        return "not measurable";
    }
    if (spacing->state == FLY_SPACING_DISORDERED && spacing->d_most > 0)
        snprintf(more, FLY_FIG_NUMBER + 32, "no spot up to d = %s %s", fly_fig_number(number, spacing->d_most, 2),
                 spacing->in_px ? "px" : "nm");
    return "not crystalline";
}

static void tell_spacing(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_region *region)
{
    char number[FLY_FIG_NUMBER], words[FLY_FIG_NUMBER + 32];
    int32_t told = spots_of(region);

    if (told < 1) {
        fly_fig_words(page, x, y + CAP_TEXT, SIDE, FLY_FIG_LEFT, &fly_fig_text, why_none(region, words));
        fly_fig_words(page, x, y + CAP_TEXT + LEADING, SIDE, FLY_FIG_LEFT, &fly_fig_note, words);
    }
    for (int32_t s = 0; s < told; s++) {
        const struct fly_spot *spot = &region->spacing->spot[s];

        snprintf(words, sizeof words, "d = %s %s", fly_fig_measured_number(number, spot->d, spot->d_sd),
                 region->spacing->in_px ? "px" : "nm");
        fly_fig_words(page, x, y + CAP_TEXT + s * LEADING, SIDE, FLY_FIG_LEFT, &fly_fig_strong, words);
    }
}

static void tell_square(struct fly_fig_page *page, int32_t x, int32_t base, const struct fly_figure_region *region)
{
    const struct fly_figures *in = page->in;
    char nm[FLY_FIG_NUMBER], words[160];
    int32_t top, left, h, w;

    if (region->square_n < 1 || !in->image)
        return;
    square_px(in, region, &top, &left, &h, &w);
    if (in->pixel_nm > 0 && isfinite(in->pixel_nm))
        snprintf(words, sizeof words, "%d x %d chips, %s nm", (int)region->square_n, (int)region->square_n,
                 fly_fig_number(nm, w * in->pixel_nm, 2));
    else
        snprintf(words, sizeof words, "%d x %d chips, %d px", (int)region->square_n, (int)region->square_n, (int)w);
    fly_fig_words(page, x, base, SIDE, FLY_FIG_LEFT, &fly_fig_small, words);
}

enum { HEAD = CAP_TEXT + 8, TOLD = FLY_SPACING_SPOTS * LEADING + 12, BLOCK = HEAD + LEADING + SIDE + 10 + 10 + TOLD };

static int draw_region(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_region *region,
                       const struct shown_power *power)
{
    char name[FLY_FIG_NUMBER];
    int rc;

    fly_fig_swatch(page, x, y - 1, region->label);
    fly_fig_words(page, x + SWATCH + 8, y + CAP_TEXT, SIDE - SWATCH - 8, FLY_FIG_LEFT, &fly_fig_strong,
                  fly_fig_region_name(name, page->in, region));
    tell_square(page, x, y + HEAD + CAP_SMALL, region);
    y += HEAD + LEADING;
    rc = draw_square(page, x, y, region);
    if (rc == FLY_OK)
        rc = draw_power(page, x, y + SIDE + 10, region, power);
    tell_spacing(page, x, y + SIDE + 10 + power->h + 10, region);
    fly_fig_reach(page, x + SIDE, y + SIDE + power->h + 20 + TOLD);
    return rc;
}

/* ---- maps --------------------------------------------------------------------------------------- */

/* The labels, with the squares in them. */
static void draw_where(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_region *const *shown,
                       int n)
{
    const struct fly_figures *in = page->in;
    const struct fly_figure_map *map = &in->maps[in->regions_method][in->regions_modality];
    struct fly_fig_fit fit;

    fly_fig_caption(page, x, y + CAP_TEXT, MAP, "Largest squares", NULL);
    y += LEADING;
    if (!map->labels || in->rows < 1 || in->cols < 1) {
        fly_fig_absent(page, x, y, MAP, MAP / 4, map->absent ? map->absent : "no labels");
        return;
    }
    fit = fly_fig_fit(in->rows, in->cols, MAP);
    fly_fig_labels(page, x, y, &(struct fly_figure_map){.labels = map->labels}, &fit);
    for (int i = 0; i < n; i++) {
        int32_t left = x + shown[i]->square_col / fit.down * fit.up, top = y + shown[i]->square_row / fit.down * fit.up;
        int32_t side = (shown[i]->square_n + fit.down - 1) / fit.down * fit.up;

        if (side < 1)
            continue;
        fly_canvas_frame(&page->canvas, left, top, side, side, 3, fig_paper, 1);
        fly_canvas_frame(&page->canvas, left, top, side, side, 2, fig_ink, 1);
    }
}

static void draw_crystallinity(struct fly_fig_page *page, int32_t x, int32_t y)
{
    const struct fly_figures *in = page->in;
    struct fly_fig_field field = {.f32 = in->crystallinity, .step = 1, .stride = in->cols, .rows = in->rows,
                                  .cols = in->cols};
    struct fly_fig_fit fit;
    int32_t width = MAP / 2;

    fly_fig_caption(page, x, y + CAP_TEXT, MAP, "Crystallinity", NULL);
    y += LEADING;
    if (!in->crystallinity || in->rows < 1 || in->cols < 1) {
        fly_fig_absent(page, x, y, MAP, MAP / 4, in->no_lattice ? in->no_lattice : "not made");
        return;
    }
    fit = fly_fig_fit(in->rows, in->cols, MAP);
    fly_fig_values(page, x, y, &field, &fit, 0, 1, fly_heat_colour);
    y += fit.h + 10;
    fly_fig_words(page, x, y + (BAR + CAP_SMALL) / 2.0, 20, FLY_FIG_LEFT, &fly_fig_small, "0");
    fly_fig_bar(page, x + 16, y, width, BAR, fly_heat_colour);
    fly_fig_words(page, x + 16 + width + 8, y + (BAR + CAP_SMALL) / 2.0, MAP - width - 24, FLY_FIG_LEFT, &fly_fig_small,
                  "1: all power in spots");
}

static void tell_panels(struct fly_fig_page *page, const struct shown_power *power)
{
    int known = page->in->pixel_nm > 0 && isfinite(page->in->pixel_nm);
    char words[160];

    if (!power->any) {
        fly_fig_tell_regions(page, "Their largest squares.");
        return;
    }
    snprintf(words, sizeof words, "Above: largest square. Below: its Fourier transform (power, log), to %.3g 1/%s. ± is noise alone.",
             known ? power->reach / page->in->pixel_nm : power->reach, known ? "nm" : "px");
    fly_fig_tell_regions(page, words);
}

int fly_fig_lattice(struct fly_fig_page *page)
{
    const struct fly_figures *in = page->in;
    const struct fly_figure_region *shown[FLY_FIG_REGIONS];
    int n = fly_fig_regions(in, shown), rc = FLY_OK;
    struct shown_power power = {.reach = reach_of(shown, n)};
    int32_t top;

    for (int i = 0; i < n; i++)
        power.any |= of_fft(shown[i]);
    power.h = power.any ? SIDE : SIDE / 4;
    fly_fig_title(page, "Lattice of the regions");
    if (n == 0) {
        fly_fig_absent(page, FLY_FIG_MARGIN, page->y, 2 * MAP + FLY_FIG_GAP, MAP / 4,
                       in->no_regions ? in->no_regions : "no regions");
    } else {
        tell_panels(page, &power);
        top = page->y;
        for (int i = 0; rc == FLY_OK && i < n; i++)
            rc = draw_region(page, FLY_FIG_MARGIN + i % COLUMNS * (SIDE + COLUMN_GAP),
                             top + i / COLUMNS * (BLOCK + power.h + FLY_FIG_GAP), shown[i], &power);
    }
    fly_fig_reach(page, FLY_FIG_MARGIN + COLUMNS * (SIDE + COLUMN_GAP) - COLUMN_GAP, page->y);
    top = page->y + FLY_FIG_GAP;
    if (rc == FLY_OK) {
        draw_where(page, FLY_FIG_MARGIN, top, shown, n);
        draw_crystallinity(page, FLY_FIG_MARGIN + MAP + FLY_FIG_GAP, top);
    }
    return rc;
}
