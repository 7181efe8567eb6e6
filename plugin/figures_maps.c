/* Figures 2 and 3: what was measured, and what it was taken for. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/label/fewshot.h"

/* ---- figure 2 ----------------------------------------------------------------------------------- */

enum { SCAN = 512, ELEMENT = 170, ELEMENT_COLUMNS = 4, ELEMENT_GAP = 20, BAR = 9 };

static int draw_image(struct fly_fig_page *page, int32_t x, int32_t y)
{
    const struct fly_figures *in = page->in;
    char size[96];
    struct fly_fig_fit fit;
    double lo, hi;
    int rc;

    if (!in->image) {
        fly_fig_caption(page, x, y + CAP_TEXT, SCAN, "HAADF", NULL);
        fly_fig_absent(page, x, y + LEADING, SCAN, SCAN / 4, "no image");
        return FLY_OK;
    }
    struct fly_fig_field field = {.f32 = in->image, .step = 1, .stride = in->width_px, .rows = in->height_px,
                                  .cols = in->width_px};

    fit = fly_fig_stretch(in->height_px, in->width_px, SCAN);
    rc = fly_fig_range(&field, 0.001, 0.999, &lo, &hi);
    if (rc < 0)
        return rc;
    snprintf(size, sizeof size, "%d x %d px", (int)in->height_px, (int)in->width_px);
    if (in->pixel_nm > 0 && isfinite(in->pixel_nm))
        snprintf(size, sizeof size, "%d x %d px of %.4g nm", (int)in->height_px, (int)in->width_px,
                 in->pixel_nm);
    fly_fig_caption(page, x, y + CAP_TEXT, SCAN, "HAADF", size);
    y += LEADING;
    fly_fig_values(page, x, y, &field, &fit, lo, hi, fly_fig_grey);
    fly_fig_scale(page, x, y, &fit);
    return FLY_OK;
}

/* One element: map, bar, and the numbers that the bar's ends are. */
static int draw_element(struct fly_fig_page *page, int32_t x, int32_t y, int32_t element, const struct fly_fig_fit *fit)
{
    const double least_span = 1; /* at.%: less is the noise of counting, and is not to look like structure */
    const struct fly_figures *in = page->in;
    struct fly_fig_field field = {.f64 = in->percent + element, .step = in->n_elements,
                                  .stride = (int64_t)in->cols * in->n_elements, .rows = in->rows, .cols = in->cols};
    char low[FLY_FIG_NUMBER], high[FLY_FIG_NUMBER];
    double lo, hi;
    int rc = fly_fig_range(&field, 0.01, 0.99, &lo, &hi);
    int32_t under = y + LEADING + fit->h + 6, width = fit->w > ELEMENT / 2 ? fit->w : ELEMENT / 2;

    if (rc < 0)
        return rc;
    hi = hi > lo + least_span ? hi : lo + least_span;
    fly_fig_caption(page, x, y + CAP_TEXT, ELEMENT, in->elements[element], NULL);
    fly_fig_values(page, x, y + LEADING, &field, fit, lo, hi, fly_heat_colour);
    fly_fig_bar(page, x, under, width, BAR, fly_heat_colour);
    under += BAR + 5 + CAP_SMALL;
    fly_fig_words(page, x, under, width, FLY_FIG_LEFT, &fly_fig_small, fly_fig_number(low, lo, 1));
    fly_fig_words(page, x, under, width, FLY_FIG_RIGHT, &fly_fig_small, fly_fig_number(high, hi, 1));
    fly_fig_reach(page, x + ELEMENT, under + ELEMENT_GAP);
    return FLY_OK;
}

static int draw_elements(struct fly_fig_page *page, int32_t x, int32_t y)
{
    const struct fly_figures *in = page->in;
    int32_t pitch = ELEMENT + ELEMENT_GAP, width = ELEMENT_COLUMNS * pitch - ELEMENT_GAP;
    struct fly_fig_fit fit;
    int rc = FLY_OK;

    if (!in->percent || in->n_elements < 1 || in->rows < 1 || in->cols < 1) {
        fly_fig_words(page, x, y + CAP_TEXT, width, FLY_FIG_LEFT, &fly_fig_strong, "Composition of chips");
        fly_fig_absent(page, x, y + LEADING, width, SCAN / 4, in->no_eds ? in->no_eds : "not made");
        return FLY_OK;
    }
    fit = in->rows > ELEMENT || in->cols > ELEMENT ? fly_fig_stretch(in->rows, in->cols, ELEMENT)
                                                   : fly_fig_fit(in->rows, in->cols, ELEMENT);
    fly_fig_words(page, x, y + CAP_TEXT, width, FLY_FIG_LEFT, &fly_fig_note,
                  "Composition of chips, at.%; each with its own range (1st to 99th percentile)");
    y += LEADING + 8;
    for (int32_t e = 0; rc == FLY_OK && e < in->n_elements; e++) {
        int32_t row = e / ELEMENT_COLUMNS, col = e % ELEMENT_COLUMNS;

        rc = draw_element(page, x + col * pitch, y + row * (fit.h + LEADING + BAR + 2 * ELEMENT_GAP + 8), e, &fit);
    }
    fly_fig_reach(page, x + width, page->y);
    return rc;
}

int fly_fig_measured(struct fly_fig_page *page)
{
    int32_t top;
    int rc;

    fly_fig_title(page, "What was measured");
    top = page->y;
    rc = draw_image(page, FLY_FIG_MARGIN, top);
    if (rc == FLY_OK)
        rc = draw_elements(page, FLY_FIG_MARGIN + SCAN + FLY_FIG_GAP, top);
    return rc;
}

/* ---- figure 3 ----------------------------------------------------------------------------------- */

enum { MAP = 340, EMPTY = 64 };

static int has_labels(const struct fly_figures *in, int method, int modality)
{
    return in->maps[method][modality].labels && in->rows > 0 && in->cols > 0;
}

/* Words beside a panel's caption: how many groups, and what is left out. */
static int tell_groups(const struct fly_figures *in, const struct fly_figure_map *map, int method,
                       const struct fly_fig_fit *fit, char words[96])
{
    static const char *const one[] = {"class", "cluster", "community"};
    static const char *const many[] = {"classes", "clusters", "communities"};
    struct fly_fig_count *counts;
    int32_t n, groups;
    int rc = fly_fig_counts(&counts, &n, &groups, map->labels, in->rows * in->cols);

    if (rc < 0)
        return rc;
    free(counts);
    snprintf(words, 96, "%d %s", (int)groups, groups == 1 ? one[method] : many[method]);
    if (fit->down > 1)
        snprintf(words, 96, "%d %s, 1 chip in %d x %d", (int)groups, groups == 1 ? one[method] : many[method],
                 (int)fit->down, (int)fit->down);
    return FLY_OK;
}

static int draw_map(struct fly_fig_page *page, int32_t x, int32_t y, int method, int modality, int32_t room)
{
    const struct fly_figures *in = page->in;
    const struct fly_figure_map *map = &in->maps[method][modality];
    const char *name = fly_fig_modality_name((enum fly_modality)modality);
    struct fly_fig_fit fit;
    char words[96];
    int rc;

    if (!has_labels(in, method, modality)) {
        fly_fig_caption(page, x, y + CAP_TEXT, MAP, name, NULL);
        fly_fig_absent(page, x, y + LEADING, MAP, room, map->absent ? map->absent : "not made");
        return FLY_OK;
    }
    fit = fly_fig_fit(in->rows, in->cols, MAP);
    rc = tell_groups(in, map, method, &fit, words);
    if (rc < 0)
        return rc;
    fly_fig_caption(page, x, y + CAP_TEXT, MAP, name, words);
    fly_fig_labels(page, x, y + LEADING, map, &fit);
    return fly_fig_legend(page, x, y + LEADING + fit.h + 10, MAP, map, (enum fly_figure_method)method);
}

int fly_fig_segmented(struct fly_fig_page *page)
{
    const struct fly_figures *in = page->in;
    int rc = FLY_OK, confidence = 0;

    fly_fig_title(page, "What it was taken for");
    for (int method = 0; rc == FLY_OK && method < FLY_FIGURE_METHODS; method++) {
        int32_t top = page->y + (method ? FLY_FIG_GAP : 0), room = EMPTY;

        for (int m = 0; m < FLY_MODALITIES; m++) {
            if (has_labels(in, method, m))
                room = fly_fig_fit(in->rows, in->cols, MAP).h;
            confidence |= has_labels(in, method, m) && in->maps[method][m].confidence;
        }
        fly_fig_words(page, FLY_FIG_MARGIN, top + CAP_HEAD, MAP, FLY_FIG_LEFT, &fly_fig_head,
                      fly_fig_method_name((enum fly_figure_method)method));
        for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++)
            rc = draw_map(page, FLY_FIG_MARGIN + m * (MAP + FLY_FIG_GAP), top + CAP_HEAD + 12, method, m, room);
    }
    fly_fig_reach(page, FLY_FIG_MARGIN + FLY_MODALITIES * (MAP + FLY_FIG_GAP) - FLY_FIG_GAP, page->y);
    if (confidence) {
        fly_fig_words(page, FLY_FIG_MARGIN, page->y + 14 + CAP_SMALL, page->right - FLY_FIG_MARGIN, FLY_FIG_LEFT,
                      &fly_fig_small, "Paler chips: less confident.");
        fly_fig_reach(page, page->right, page->y + 14 + LEADING);
    }
    return rc;
}
