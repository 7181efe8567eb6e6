/* Figure 4: what the regions are made of. A chart that stands on its own table: the columns are the same. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>

#include "plugin/number.h"
#include "plugin/text.h"

enum {
    NAME = 190, TABLE = 900, CELL_MIN = 74, CELL_MAX = 150, /* TABLE: of few elements' cells together, more widen it */
    PLOT = 300, BETWEEN = 16, BAR_MAX = 24, ROW = 40, DIFFERENCE = 150, DIFFERENCES = 6,
};

/* ---- which regions ------------------------------------------------------------------------------ */

static int larger(const struct fly_figure_region *a, const struct fly_figure_region *b)
{
    return a->chips != b->chips ? a->chips > b->chips : a->label < b->label;
}

int fly_fig_regions(const struct fly_figures *in, const struct fly_figure_region *shown[FLY_FIG_REGIONS])
{
    int n = 0;

    for (int32_t i = 0; in->regions && i < in->n_regions; i++) {
        const struct fly_figure_region *region = &in->regions[i];
        int at = n;

        while (at > 0 && larger(region, shown[at - 1]))
            at--;
        n += n < FLY_FIG_REGIONS;
        for (int j = n - 1; j > at; j--)
            shown[j] = shown[j - 1];
        if (at < n)
            shown[at] = region;
    }
    for (int i = 1; i < n; i++) { /* by label now */
        const struct fly_figure_region *region = shown[i];
        int at = i;

        for (; at > 0 && shown[at - 1]->label > region->label; at--)
            shown[at] = shown[at - 1];
        shown[at] = region;
    }
    return n;
}

void fly_fig_tell_regions(struct fly_fig_page *page, const char *more)
{
    const struct fly_figures *in = page->in;
    double room = fly_fig_measuring(page) ? 1e6 : page->right - FLY_FIG_MARGIN;
    char words[160], left_out[96] = "";

    if (in->n_regions > FLY_FIG_REGIONS)
        snprintf(left_out, sizeof left_out, " The %d largest; and %d more.", FLY_FIG_REGIONS,
                 (int)(in->n_regions - FLY_FIG_REGIONS));
    snprintf(words, sizeof words, "Regions: %s, %s.%s", fly_fig_method_name(in->regions_method),
             fly_fig_modality_name(in->regions_modality), left_out);
    fly_fig_words(page, FLY_FIG_MARGIN, page->y + CAP_TEXT, room, FLY_FIG_LEFT, &fly_fig_text, words);
    fly_fig_words(page, FLY_FIG_MARGIN, page->y + CAP_TEXT + LEADING, room, FLY_FIG_LEFT, &fly_fig_note, more);
    page->y += CAP_TEXT + LEADING + 20;
}

const char *fly_fig_region_name(char out[FLY_FIG_NUMBER], const struct fly_figures *in,
                                const struct fly_figure_region *region)
{
    return fly_fig_label_name(out, &in->maps[in->regions_method][in->regions_modality], in->regions_method,
                              region->label);
}

/* ---- values ------------------------------------------------------------------------------------- */

static int is_limit(const struct fly_figure_region *r, int32_t e)
{
    return r->limit && isfinite(r->limit[e]);
}

static double sigma_of(const struct fly_figure_region *r, int32_t e)
{
    return r->sigma && isfinite(r->sigma[e]) && !is_limit(r, e) ? r->sigma[e] : 0;
}

static double value_of(const struct fly_figure_region *r, int32_t e)
{
    return is_limit(r, e) ? r->limit[e] : r->percent[e];
}

struct axis {
    double lo, hi, step;
    int32_t x, y, w; /* the plot's left upper corner and width */
};

static double axis_y(const struct axis *axis, double value)
{
    return axis->y + PLOT * (axis->hi - value) / (axis->hi - axis->lo);
}

static struct axis make_axis(const struct fly_figures *in, const struct fly_figure_region *const *shown, int n)
{
    struct axis axis = {0};

    for (int i = 0; i < n; i++) {
        for (int32_t e = 0; shown[i]->percent && e < in->n_elements; e++) {
            double value = value_of(shown[i], e), sigma = sigma_of(shown[i], e);

            if (!isfinite(value))
                continue;
            axis.hi = fmax(axis.hi, value + sigma);
            axis.lo = fmin(axis.lo, value - sigma);
        }
    }
    axis.step = axis.hi > axis.lo ? fly_number_round((axis.hi - axis.lo) / 4) : 1;
    axis.hi = axis.step * fmax(1, ceil(axis.hi / axis.step - 1e-9));
    return axis;
}

/* ---- chart -------------------------------------------------------------------------------------- */

static void draw_axis(struct fly_fig_page *page, const struct axis *axis)
{
    int first = (int)ceil(axis->lo / axis->step - 1e-9), last = (int)lround(axis->hi / axis->step);
    int decimals = axis->step >= 1 ? 0 : (int)ceil(-log10(axis->step) - 1e-9);

    for (int t = first; t <= last; t++) {
        int32_t y = (int32_t)lround(axis_y(axis, t * axis->step));
        char number[FLY_FIG_NUMBER];

        fly_canvas_fill(&page->canvas, axis->x, y, axis->w, 1, t ? fig_line : fig_ink, t ? 0.6 : 1);
        fly_fig_words(page, axis->x - 70, y + CAP_SMALL / 2.0, 62, FLY_FIG_RIGHT, &fly_fig_small,
                      fly_fig_number(number, t * axis->step, decimals));
    }
    fly_canvas_fill(&page->canvas, axis->x, axis->y, 1, PLOT + 1, fig_ink, 1);
    fly_fig_words(page, axis->x - 70, axis->y - 12, 62, FLY_FIG_RIGHT, &fly_fig_text, "at.%");
}

static void draw_bar(struct fly_fig_page *page, const struct axis *axis, int32_t x, int32_t w,
                     const struct fly_figure_region *region, int32_t e)
{
    uint32_t colour = fly_fig_colour(region->label, NAN);
    double value = value_of(region, e), sigma = sigma_of(region, e), mid = x + w / 2.0;
    int32_t zero = (int32_t)lround(axis_y(axis, 0)), end, top, h;

    if (!isfinite(value) || fly_fig_measuring(page))
        return;
    end = (int32_t)lround(axis_y(axis, value));
    if (is_limit(region, e)) { /* no more than this: hollow, and an arrow down to it */
        top = end < zero - 2 ? end : zero - 2;
        fly_canvas_frame(&page->canvas, x, top, w, zero - top, 2, colour, 1);
        fly_canvas_line(&page->canvas, mid, top - 15, mid, top - 4, 1.6, colour, 1);
        fly_canvas_line(&page->canvas, mid - 3.5, top - 8, mid, top - 4, 1.6, colour, 1);
        fly_canvas_line(&page->canvas, mid + 3.5, top - 8, mid, top - 4, 1.6, colour, 1);
        return;
    }
    top = end < zero ? end : zero + 1;
    h = end < zero ? zero - end : end - zero;
    fly_canvas_fill(&page->canvas, x, top, w, h, colour, 1);
    fly_canvas_frame(&page->canvas, x, top, w, h, 1, fig_ink, 0.35);
    if (sigma > 0) {
        double low = axis_y(axis, value - sigma), high = axis_y(axis, value + sigma), cap = w / 4.0;

        fly_canvas_line(&page->canvas, mid, low, mid, high, 1.2, fig_ink, 1);
        fly_canvas_line(&page->canvas, mid - cap, low, mid + cap, low, 1.2, fig_ink, 1);
        fly_canvas_line(&page->canvas, mid - cap, high, mid + cap, high, 1.2, fig_ink, 1);
    }
}

static void draw_chart(struct fly_fig_page *page, const struct axis *axis, int32_t cell,
                       const struct fly_figure_region *const *shown, int n)
{
    const struct fly_figures *in = page->in;
    int32_t bar = (cell - BETWEEN) / n < BAR_MAX ? (cell - BETWEEN) / n : BAR_MAX;

    draw_axis(page, axis);
    for (int32_t e = 0; e < in->n_elements; e++) {
        int32_t left = axis->x + e * cell + (cell - n * bar) / 2;

        for (int i = 0; i < n; i++)
            if (shown[i]->percent)
                draw_bar(page, axis, left + i * bar, bar > 6 ? bar - 2 : bar - 1, shown[i], e);
    }
    fly_fig_reach(page, axis->x + axis->w, axis->y + PLOT);
}

/* ---- tables ------------------------------------------------------------------------------------- */

/* The value, and below it its sigma; an upper limit as "< 0.3". */
static void draw_cell(struct fly_fig_page *page, int32_t x, int32_t y, int32_t cell,
                      const struct fly_figure_region *region, int32_t e)
{
    char number[FLY_FIG_NUMBER], words[FLY_FIG_NUMBER + 4];
    double sigma = sigma_of(region, e), value = value_of(region, e);
    double fine = is_limit(region, e) ? value : sigma;
    int decimals = fine > 0 && fine < 0.95 ? 2 : 1;

    fly_fig_number(number, value, decimals);
    snprintf(words, sizeof words, "%s%s", is_limit(region, e) ? "< " : "", number);
    fly_fig_words(page, x + 2, y + CAP_TEXT, cell - 4, FLY_FIG_MIDDLE, &fly_fig_text, words);
    if (sigma > 0) {
        snprintf(words, sizeof words, "\xC2\xB1 %s", fly_fig_number(number, sigma, decimals));
        fly_fig_words(page, x + 2, y + CAP_TEXT + 16, cell - 4, FLY_FIG_MIDDLE, &fly_fig_small, words);
    }
}

static void draw_table(struct fly_fig_page *page, int32_t cell, const struct fly_figure_region *const *shown, int n)
{
    const struct fly_figures *in = page->in;
    int32_t x = FLY_FIG_MARGIN, y = page->y + 8, width = NAME + in->n_elements * cell;

    for (int32_t e = 0; e < in->n_elements; e++)
        fly_fig_words(page, x + NAME + e * cell, y + CAP_TEXT, cell, FLY_FIG_MIDDLE, &fly_fig_strong, in->elements[e]);
    y += CAP_TEXT + 12;
    for (int i = 0; i < n; i++, y += ROW) {
        char name[FLY_FIG_NUMBER], chips[FLY_FIG_NUMBER];

        fly_canvas_fill(&page->canvas, x, y, width, 1, fig_line, 1);
        fly_fig_swatch(page, x, y + 8, shown[i]->label);
        fly_fig_words(page, x + SWATCH + 8, y + 8 + CAP_TEXT, NAME - SWATCH - 16, FLY_FIG_LEFT, &fly_fig_text,
                      fly_fig_region_name(name, in, shown[i]));
        snprintf(chips, sizeof chips, "%d chip%s", (int)shown[i]->chips, fly_plural(shown[i]->chips));
        fly_fig_words(page, x + SWATCH + 8, y + 8 + CAP_TEXT + 16, NAME - SWATCH - 16, FLY_FIG_LEFT, &fly_fig_small,
                      chips);
        if (!shown[i]->percent)
            fly_fig_words(page, x + NAME + 10, y + 8 + CAP_TEXT, width - NAME - 10, FLY_FIG_LEFT, &fly_fig_note,
                          "not quantified: too few counts");
        for (int32_t e = 0; shown[i]->percent && e < in->n_elements; e++)
            draw_cell(page, x + NAME + e * cell, y + 8, cell, shown[i], e);
    }
    fly_canvas_fill(&page->canvas, x, y, width, 1, fig_line, 1);
    fly_fig_reach(page, x + width, y);
}

/* Signs are told: "+4.4 +- 0.9". */
static void tell_percent(struct fly_fig_page *page, int32_t x, int32_t base, double value, double margin, int sign)
{
    char number[FLY_FIG_NUMBER], words[FLY_FIG_NUMBER + 4];

    if (isfinite(margin) && margin > 0)
        fly_fig_measured_number(number, value, margin);
    else
        fly_fig_number(number, value, 1);
    snprintf(words, sizeof words, "%s%s", sign && isfinite(value) && value > 0 ? "+" : "", number);
    fly_fig_words(page, x, base, DIFFERENCE - 8, FLY_FIG_MIDDLE, &fly_fig_text, words);
}

static void draw_differences(struct fly_fig_page *page)
{
    const struct fly_figures *in = page->in;
    int32_t shown = in->n_differences < DIFFERENCES ? in->n_differences : DIFFERENCES, x = FLY_FIG_MARGIN;
    int32_t y = page->y + FLY_FIG_GAP + 6, width = NAME + shown * DIFFERENCE;
    char words[512];

    if (!in->ordered || !in->disordered || !in->differences || shown < 1)
        return;
    snprintf(words, sizeof words, "Percent difference of %.160s (disordered) from %.160s (ordered)", in->disordered,
             in->ordered);
    fly_fig_words(page, x, y + CAP_TEXT, fly_fig_measuring(page) ? 1e6 : page->right - x, FLY_FIG_LEFT, &fly_fig_strong,
                  words);
    y += CAP_TEXT + 18;
    for (int32_t d = 0; d < shown; d++)
        fly_fig_words(page, x + NAME + d * DIFFERENCE, y + CAP_TEXT, DIFFERENCE - 8, FLY_FIG_MIDDLE, &fly_fig_strong,
                      in->differences[d].name);
    y += CAP_TEXT + 10;
    for (int row = 0; row < 2; row++) {
        int32_t base = y + 14 + CAP_TEXT / 2 + row * 30;

        fly_canvas_fill(&page->canvas, x, y + row * 30, width, 1, fig_line, 1);
        fly_fig_words(page, x, base, NAME - 8, FLY_FIG_LEFT, &fly_fig_text, row ? "symmetric, %" : "relative, %");
        for (int32_t d = 0; d < shown; d++) {
            const struct fly_figure_difference *of = &in->differences[d];

            tell_percent(page, x + NAME + d * DIFFERENCE, base, row ? of->symmetric : of->relative,
                         row ? of->symmetric_margin : of->relative_margin, !row);
        }
    }
    fly_canvas_fill(&page->canvas, x, y + 60, width, 1, fig_line, 1);
    fly_fig_reach(page, x + width, y + 60);
}

/* ---- the figure --------------------------------------------------------------------------------- */

/* NULL: there is something to draw. */
static const char *why_not(const struct fly_figures *in, const struct fly_figure_region *const *shown, int n)
{
    if (n == 0)
        return in->no_regions ? in->no_regions : "no regions";
    for (int i = 0; i < n; i++)
        if (shown[i]->percent && in->n_elements > 0)
            return NULL;
    return in->no_eds ? in->no_eds : "not made";
}

int fly_fig_composed(struct fly_fig_page *page)
{
    const struct fly_figures *in = page->in;
    const struct fly_figure_region *shown[FLY_FIG_REGIONS];
    int n = fly_fig_regions(in, shown), limits = 0;
    const char *why = why_not(in, shown, n);
    struct axis axis;
    int32_t cell;

    fly_fig_title(page, "What the regions are made of");
    if (why) {
        fly_fig_absent(page, FLY_FIG_MARGIN, page->y, NAME + TABLE / 2, PLOT / 3, why);
        return FLY_OK;
    }
    for (int i = 0; i < n; i++)
        for (int32_t e = 0; shown[i]->percent && e < in->n_elements; e++)
            limits |= is_limit(shown[i], e);
    fly_fig_tell_regions(page, limits ? "Error bars: 68 %. Hollow: not detected, 95 % upper limit."
                                      : "Error bars: 68 %.");
    cell = TABLE / in->n_elements;
    cell = cell < CELL_MIN ? CELL_MIN : cell > CELL_MAX ? CELL_MAX : cell;
    axis = make_axis(in, shown, n);
    axis.x = FLY_FIG_MARGIN + NAME;
    axis.y = page->y + CAP_TEXT + 16;
    axis.w = in->n_elements * cell;
    draw_chart(page, &axis, cell, shown, n);
    draw_table(page, cell, shown, n);
    draw_differences(page);
    return FLY_OK;
}
