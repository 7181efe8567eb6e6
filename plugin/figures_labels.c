/* Labels on paper: maps of chips, swatches, legends. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/label/fewshot.h"
#include "plugin/picture.h"

const char *fly_fig_method_name(enum fly_figure_method method)
{
    static const char *const names[] = {"Few-shot", "Ward", "Community"};

    return names[method];
}

const char *fly_fig_modality_name(enum fly_modality modality)
{
    static const char *const names[] = {"HAADF", "EDS", "Ensemble"};

    return names[modality];
}

const char *fly_fig_label_name(char out[FLY_FIG_NUMBER], const struct fly_figure_map *map,
                               enum fly_figure_method method, int32_t label)
{
    static const char *const words[] = {"class", "ward", "community"};

    if (label < 0)
        return fly_picture_outside_name(label);
    for (int32_t i = 0; i < map->n_names; i++) {
        if (map->names[i].label == label && map->names[i].name && map->names[i].name[0])
            return map->names[i].name;
    }
    snprintf(out, FLY_FIG_NUMBER, "%s %d", words[method], (int)label);
    return out;
}

uint32_t fly_fig_colour(int32_t label, double confidence)
{
    /* Paper shows through, but at no confidence so much that the colour could not be told any more. */
    const double least = 0.35;
    uint32_t colour = fly_palette_colour(label), out = 0;
    double keep = isnan(confidence) || confidence >= 1 ? 1 : least + (1 - least) * (confidence > 0 ? confidence : 0);

    for (int shift = 16; shift >= 0; shift -= 8) {
        double full = colour >> shift & 0xFF;

        out |= (uint32_t)(255 + (full - 255) * keep + 0.5) << shift;
    }
    return out;
}

/* Labels below 0 have patterns, over the same grey everywhere. */
static void fill_label(struct fly_canvas *canvas, int32_t x, int32_t y, int32_t w, int32_t h, int32_t label,
                       double confidence)
{
    const uint32_t grey = 0x9A9A9A;

    if (label >= 0) {
        fly_canvas_fill(canvas, x, y, w, h, fly_fig_colour(label, confidence), 1);
        return;
    }
    fly_canvas_fill(canvas, x, y, w, h, grey, 1);
    for (int32_t j = y; j < y + h; j++)
        for (int32_t i = x; i < x + w; i++)
            fly_picture_label(canvas, j, i, label);
}

void fly_fig_swatch(struct fly_fig_page *page, int32_t x, int32_t y, int32_t label)
{
    fill_label(&page->canvas, x, y, SWATCH, SWATCH, label, NAN);
    fly_canvas_frame(&page->canvas, x, y, SWATCH, SWATCH, 1, fig_ink, 0.35);
}

void fly_fig_labels(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_figure_map *map,
                    const struct fly_fig_fit *fit)
{
    const struct fly_figures *in = page->in;

    fly_fig_reach(page, x + fit->w, y + fit->h);
    if (fly_fig_measuring(page))
        return;
    for (int32_t r = 0; r < fit->h / fit->up; r++) {
        for (int32_t c = 0; c < fit->w / fit->up; c++) {
            int64_t k = (int64_t)r * fit->down * in->cols + (int64_t)c * fit->down;

            fill_label(&page->canvas, x + c * fit->up, y + r * fit->up, fit->up, fit->up, map->labels[k],
                       map->confidence ? (double)map->confidence[k] : NAN);
        }
    }
    fly_canvas_frame(&page->canvas, x - 1, y - 1, fit->w + 2, fit->h + 2, 1, fig_line, 1);
}

/* ---- legends ------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static int by_size(const void *a, const void *b)
{
    const struct fly_fig_count *x = a, *y = b;

    if ((x->label < 0) != (y->label < 0))
        return x->label < 0 ? 1 : -1;
    if (x->label < 0)
        return x->label < y->label ? 1 : -1;
    if (x->chips != y->chips)
        return x->chips < y->chips ? 1 : -1;
    return (x->label > y->label) - (x->label < y->label);
}

static int by_id(const void *a, const void *b)
{
    const struct fly_fig_count *x = a, *y = b;

    return (x->label > y->label) - (x->label < y->label);
}

int fly_fig_counts(struct fly_fig_count **out, int32_t *n, int32_t *groups, const int32_t *labels, int32_t chips)
{
    int32_t *sorted = malloc((size_t)chips * sizeof *sorted + 1), kinds = 0, at = -1;
    struct fly_fig_count *counts;

    if (!sorted)
        return fly_fail(FLY_ENOMEM, "figures: no memory to count %d labels", (int)chips);
    if (chips)
        memcpy(sorted, labels, (size_t)chips * sizeof *sorted);
    qsort(sorted, (size_t)chips, sizeof *sorted, by_value);
    for (int32_t k = 0; k < chips; k++)
        kinds += k == 0 || sorted[k] != sorted[k - 1];
    counts = malloc((size_t)kinds * sizeof *counts + 1);
    if (!counts) {
        free(sorted);
        return fly_fail(FLY_ENOMEM, "figures: no memory for a legend of %d", (int)kinds);
    }
    *groups = 0;
    for (int32_t k = 0; k < chips; k++) {
        FLY_ASSERT(sorted[k] >= FLY_LABEL_MINOR);
        if (k == 0 || sorted[k] != sorted[k - 1]) {
            counts[++at] = (struct fly_fig_count){sorted[k], 0};
            *groups += sorted[k] >= 0;
        }
        counts[at].chips++;
    }
    free(sorted);
    qsort(counts, (size_t)kinds, sizeof *counts, by_size);
    *out = counts;
    *n = kinds;
    return FLY_OK;
}

int fly_fig_legend(struct fly_fig_page *page, int32_t x, int32_t y, int32_t width, const struct fly_figure_map *map,
                   enum fly_figure_method method)
{
    enum { COLUMNS = 2, LINES = 6, ROOM = COLUMNS * LINES, BETWEEN = 14 };
    struct fly_fig_count *counts;
    int32_t n, groups, shown, lines, cell = (width - BETWEEN) / COLUMNS, e = 0;
    int rc = fly_fig_counts(&counts, &n, &groups, map->labels, page->in->rows * page->in->cols);

    if (rc < 0)
        return rc;
    /* Labels below 0 are at most four and always told; a cut list gives its last place to "and n more". */
    shown = n <= ROOM ? groups : ROOM - (n - groups) - 1;
    qsort(counts, (size_t)shown, sizeof *counts, by_id);
    lines = (shown + (shown < groups) + (n - groups) + COLUMNS - 1) / COLUMNS;
    for (int32_t i = 0; i < n; i++) {
        char name[FLY_FIG_NUMBER], chips[FLY_FIG_NUMBER];
        int32_t left = x + e / lines * (cell + BETWEEN), top = y + e % lines * LEADING;
        double base = top + (SWATCH + CAP_SMALL) / 2.0, room = cell - SWATCH - 7;

        if (i == shown && i < groups) {
            snprintf(chips, sizeof chips, "and %d more", (int)(groups - shown));
            fly_fig_words(page, left + SWATCH + 7, base, room, FLY_FIG_LEFT, &fly_fig_small, chips);
            i = groups - 1;
            e++;
            continue;
        }
        fly_fig_swatch(page, left, top, counts[i].label);
        snprintf(chips, sizeof chips, "%d", (int)counts[i].chips);
        room -= fly_fig_words(page, left + SWATCH + 7, base, room, FLY_FIG_RIGHT, &fly_fig_small, chips) + 8;
        fly_fig_words(page, left + SWATCH + 7, base, room, FLY_FIG_LEFT, &fly_fig_text,
                      fly_fig_label_name(name, map, method, counts[i].label));
        e++;
    }
    free(counts);
    fly_fig_reach(page, x + width, y + lines * LEADING);
    return FLY_OK;
}
