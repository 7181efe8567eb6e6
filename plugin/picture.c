#include "plugin/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/label/fewshot.h"
#include "plugin/canvas.h"
#include "plugin/number.h"
#include "plugin/palette.h"

enum {
    WIDTH_MIN = 700, SIDE_MAX = 2048,
    MARGIN = 28, TITLE_CAP = 17, NOTE_CAP = 11, LEGEND_CAP = 12, SWATCH = 20, LEGEND_ROW = 34, LEGEND_GAP = 30,
    SAMPLES_MAX = 1 << 20,
};
static const uint32_t paper = 0xFFFFFF, ink = 0x1B1F24, faint = 0x6B7280, line = 0xC9CED6, void_colour = 0xE6E8EC;

/* Where the scan lies on the canvas and how scan pixels become canvas pixels. */
struct place {
    int32_t x, y, w, h;     /* on the canvas */
    int32_t up, down;       /* enlarged by up, or reduced by down; the other is 1 */
};

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Grey range: the 0.1 and 99.9 percentiles of what is finite (of about a million pixels evenly taken
 * when there are more). 0 when nothing is. */
static int image_range(const float *image, int64_t count, double *lo, double *hi)
{
    int64_t step = (count + SAMPLES_MAX - 1) / SAMPLES_MAX, n = 0;
    float *some = malloc((size_t)(count / step + 1) * sizeof *some);

    if (!some)
        return fly_fail(FLY_ENOMEM, "picture: no memory for the range of %lld pixels", (long long)count);
    for (int64_t i = 0; i < count; i += step) {
        if (isfinite(image[i]))
            some[n++] = image[i];
    }
    *lo = *hi = 0;
    if (n > 0) {
        qsort(some, (size_t)n, sizeof *some, compare_floats);
        *lo = some[(int64_t)((double)(n - 1) * 0.001)];
        *hi = some[(int64_t)ceil((double)(n - 1) * 0.999)];
    }
    free(some);
    return FLY_OK;
}

/* Mean of the scan pixels under canvas pixel (i, j) of the scan's place; NaN when none is measured. */
static double image_at(const struct fly_scan_picture *p, const struct place *place, int32_t j, int32_t i)
{
    double sum = 0;
    int n = 0;

    for (int32_t dy = 0; dy < place->down; dy++) {
        for (int32_t dx = 0; dx < place->down; dx++) {
            int64_t y = (int64_t)j / place->up * place->down + dy, x = (int64_t)i / place->up * place->down + dx;

            if (y < p->height_px && x < p->width_px && isfinite(p->image[y * p->width_px + x])) {
                sum += p->image[y * p->width_px + x];
                n++;
            }
        }
    }
    return n ? sum / n : NAN;
}

/* The chip that owns a scan pixel, or -1. Of overlapping chips it is the one whose middle is nearest. */
static int32_t chip_at(const struct fly_scan_picture *p, int32_t y, int32_t x)
{
    int32_t skip = (p->side_px - p->pitch_px) / 2;
    int32_t height = (p->rows - 1) * p->pitch_px + p->side_px, width = (p->cols - 1) * p->pitch_px + p->side_px;
    int32_t r, c;

    if (p->rows < 1 || p->cols < 1 || y >= height || x >= width)
        return -1;
    r = y < skip ? 0 : (y - skip) / p->pitch_px;
    c = x < skip ? 0 : (x - skip) / p->pitch_px;
    r = r < p->rows ? r : p->rows - 1;
    c = c < p->cols ? c : p->cols - 1;
    return r * p->cols + c;
}

/* Patterns count in canvas pixels, so that they look the same at every enlargement. */
static int on_hatch(int32_t y, int32_t x)
{
    return (x + y) % 12 < 2;
}

static int on_dots(int32_t y, int32_t x)
{
    int32_t dx = x % 10 - 4, dy = y % 10 - 4;

    return dx * dx + dy * dy <= 4;
}

static int on_bars(int32_t y, int32_t x)
{
    (void)x;
    return y % 8 < 2;
}

static int on_cross(int32_t y, int32_t x)
{
    return on_hatch(y, x) || ((x - y) % 12 + 12) % 12 < 2;
}

void fly_picture_label(struct fly_canvas *canvas, int32_t y, int32_t x, int32_t label)
{
    switch (label) {
    case FLY_LABEL_PENDING:
        fly_canvas_dot(canvas, x, y, void_colour, 0.80);
        if (on_hatch(y, x))
            fly_canvas_dot(canvas, x, y, 0x8A93A0, 0.75);
        break;
    case FLY_LABEL_UNKNOWN:
        fly_canvas_dot(canvas, x, y, 0x30343A, 0.35);
        if (on_dots(y, x))
            fly_canvas_dot(canvas, x, y, 0xFFFFFF, 0.85);
        break;
    case FLY_LABEL_TOO_LITTLE:
        fly_canvas_dot(canvas, x, y, void_colour, 0.45);
        if (on_bars(y, x))
            fly_canvas_dot(canvas, x, y, 0x4A515C, 0.7);
        break;
    case FLY_LABEL_MINOR:
        fly_canvas_dot(canvas, x, y, void_colour, 0.45);
        if (on_cross(y, x))
            fly_canvas_dot(canvas, x, y, 0x4A515C, 0.6);
        break;
    default:
        fly_canvas_dot(canvas, x, y, fly_palette_colour(label), 0.52);
        break;
    }
}

/* 1 when the canvas pixel lies within `thick` of a chip with another label. */
static int on_border(const struct fly_scan_picture *p, const struct place *place, int32_t j, int32_t i,
                     int32_t label, int32_t thick)
{
    static const int steps[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};

    for (int s = 0; s < 4; s++) {
        int32_t y = j + steps[s][0] * thick, x = i + steps[s][1] * thick, chip;

        if (y < 0 || x < 0 || y >= place->h || x >= place->w)
            continue;
        chip = chip_at(p, y / place->up * place->down, x / place->up * place->down);
        if (chip < 0 || p->labels[chip] != label)
            return 1;
    }
    return 0;
}

static void draw_scan(struct fly_canvas *canvas, const struct fly_scan_picture *p, const struct place *place,
                      double lo, double hi)
{
    for (int32_t j = 0; j < place->h; j++) {
        for (int32_t i = 0; i < place->w; i++) {
            int32_t y = place->y + j, x = place->x + i;
            double value = p->image ? image_at(p, place, j, i) : NAN;
            double grey = hi > lo ? (value - lo) / (hi - lo) : 0.5;
            int32_t chip = chip_at(p, j / place->up * place->down, i / place->up * place->down);

            if (isnan(value)) {
                fly_canvas_dot(canvas, x, y, void_colour, 1);
                if (p->image && on_hatch(y, x))
                    fly_canvas_dot(canvas, x, y, 0x8A93A0, 0.75);
            } else {
                uint32_t level = (uint32_t)((grey < 0 ? 0 : grey > 1 ? 1 : grey) * 255 + 0.5);

                fly_canvas_dot(canvas, x, y, level * 0x010101u, 1);
            }
            if (chip < 0)
                continue;
            if (p->labels) {
                int32_t label = p->labels[chip];

                fly_picture_label(canvas, y, x, label);
                if (label >= 0 && on_border(p, place, j, i, label, 2))
                    fly_canvas_dot(canvas, x, y, fly_palette_colour(label), 0.85);
            } else if (p->heat && isnan(p->heat[chip])) {
                fly_picture_label(canvas, y, x, FLY_LABEL_PENDING);
            } else if (p->heat) {
                fly_canvas_dot(canvas, x, y, fly_heat_colour((double)p->heat[chip]), p->image ? 0.78 : 1);
            }
        }
    }
}

/* ---- scale bar ---------------------------------------------------------------------------------- */

static void draw_scale(struct fly_canvas *canvas, const struct fly_scan_picture *p, const struct place *place)
{
    double nm_a_dot = p->pixel_nm * place->down / place->up;
    double nm, length;
    char number[FLY_NUMBER_CAP], words[64];
    int32_t bar, pad = 12, box_w, box_h, x, y, text_w;

    if (!(p->pixel_nm > 0) || !isfinite(p->pixel_nm) || place->w < 120)
        return;
    nm = fly_number_round(nm_a_dot * place->w * 0.25);
    length = nm / nm_a_dot;
    snprintf(words, sizeof words, "%s %s", fly_number_print(number, nm >= 1000 ? nm / 1000 : nm),
             nm >= 1000 ? "um" : "nm");
    bar = (int32_t)(length + 0.5);
    text_w = (int32_t)ceil(fly_canvas_text_width(LEGEND_CAP, words));
    box_w = (bar > text_w ? bar : text_w) + 2 * pad;
    box_h = 3 * pad + LEGEND_CAP + 5 - 2;
    x = place->x + 14;
    y = place->y + place->h - box_h - 14;
    fly_canvas_fill(canvas, x, y, box_w, box_h, 0x101318, 0.72);
    fly_canvas_text(canvas, x + (box_w - text_w) / 2.0, y + pad + LEGEND_CAP, LEGEND_CAP, FLY_BOLD, 0xFFFFFF,
                    words);
    fly_canvas_fill(canvas, x + (box_w - bar) / 2, y + box_h - pad - 5, bar, 5, 0xFFFFFF, 1);
}

/* ---- legend ------------------------------------------------------------------------------------- */

struct entry {
    int32_t label;
    const char *name;
    int64_t chips;
};

const char *fly_picture_outside_name(int32_t label)
{
    static const char *const names[] = {"not measured", "unknown", "too little", "minor"}; /* -1 .. -4 */

    FLY_ASSERT(label <= FLY_LABEL_PENDING && label >= FLY_LABEL_MINOR);
    return names[-label - 1];
}

static int64_t count_label(const struct fly_scan_picture *p, int32_t label)
{
    int64_t n = 0;

    for (int64_t k = 0; k < (int64_t)p->rows * p->cols; k++)
        n += p->labels[k] == label;
    return n;
}

static double entry_width(const struct entry *entry, char words[160])
{
    char count[32];

    snprintf(count, sizeof count, "%lld", (long long)entry->chips);
    snprintf(words, 160, "%.100s", entry->name);
    return SWATCH + 10 + fly_canvas_text_width(LEGEND_CAP, words) + 10 +
           fly_canvas_text_width(LEGEND_CAP, count);
}

/* Lay the entries out in lines no wider than `width`; draw them when there is a canvas. Returns the
 * height used. */
static int32_t legend(struct fly_canvas *canvas, const struct entry *entries, int n, int32_t x0, int32_t y0,
                      int32_t width)
{
    double x = 0;
    int32_t y = 0;

    for (int e = 0; e < n; e++) {
        char words[160], count[32];
        double w = entry_width(&entries[e], words);

        if (x > 0 && x + w > width) {
            x = 0;
            y += LEGEND_ROW;
        }
        if (canvas) {
            int32_t left = x0 + (int32_t)x, top = y0 + y;
            double at = left + SWATCH + 10;

            fly_canvas_fill(canvas, left, top, SWATCH, SWATCH, 0x9A9A9A, entries[e].label < 0);
            for (int32_t j = 0; j < SWATCH; j++) {
                for (int32_t i = 0; i < SWATCH; i++) {
                    if (entries[e].label >= 0)
                        fly_canvas_dot(canvas, left + i, top + j, fly_palette_colour(entries[e].label), 1);
                    else
                        fly_picture_label(canvas, top + j, left + i, entries[e].label);
                }
            }
            fly_canvas_frame(canvas, left, top, SWATCH, SWATCH, 1, ink, 0.35);
            snprintf(count, sizeof count, "%lld", (long long)entries[e].chips);
            fly_canvas_text(canvas, at, top + SWATCH / 2.0 + LEGEND_CAP / 2.0, LEGEND_CAP, FLY_REGULAR, ink, words);
            at += fly_canvas_text_width(LEGEND_CAP, words) + 10;
            fly_canvas_text(canvas, at, top + SWATCH / 2.0 + LEGEND_CAP / 2.0, LEGEND_CAP, FLY_REGULAR, faint, count);
        }
        x += w + LEGEND_GAP;
    }
    return n ? y + SWATCH : 0;
}

static void draw_heat_bar(struct fly_canvas *canvas, const struct fly_scan_picture *p, int32_t x, int32_t y)
{
    const char *name = p->heat_name ? p->heat_name : "";
    int32_t left = x + (int32_t)ceil(fly_canvas_text_width(LEGEND_CAP, name)) + 18, bar = 240;

    fly_canvas_text(canvas, x, y + SWATCH / 2.0 + LEGEND_CAP / 2.0, LEGEND_CAP, FLY_REGULAR, ink, name);
    fly_canvas_text(canvas, left, y + SWATCH / 2.0 + LEGEND_CAP / 2.0, LEGEND_CAP, FLY_REGULAR, faint, "0");
    left += 20;
    for (int32_t i = 0; i < bar; i++)
        fly_canvas_fill(canvas, left + i, y, 1, SWATCH, fly_heat_colour((double)i / (bar - 1)), 1);
    fly_canvas_frame(canvas, left, y, bar, SWATCH, 1, ink, 0.35);
    fly_canvas_text(canvas, left + bar + 10, y + SWATCH / 2.0 + LEGEND_CAP / 2.0, LEGEND_CAP, FLY_REGULAR, faint,
                    "1");
}

/* Classes in the legend's order, then what else occurs. Caller frees. */
static struct entry *entries_of(const struct fly_scan_picture *p, int *count)
{
    struct entry *entries = calloc((size_t)p->n_classes + 4, sizeof *entries);

    *count = 0;
    if (!entries || !p->labels)
        return entries;
    for (int32_t c = 0; c < p->n_classes; c++)
        entries[(*count)++] = (struct entry){p->classes[c].id, p->classes[c].name,
                                             count_label(p, p->classes[c].id)};
    for (int32_t label = FLY_LABEL_PENDING; label >= FLY_LABEL_MINOR; label--) {
        int64_t chips = count_label(p, label);

        if (chips)
            entries[(*count)++] = (struct entry){label, fly_picture_outside_name(label), chips};
    }
    return entries;
}

int fly_picture_png(const struct fly_scan_picture *p, struct fly_text *out)
{
    struct fly_canvas canvas = {0};
    struct place place = {.up = 1, .down = 1};
    struct entry *entries;
    double lo = 0, hi = 0;
    int n_entries = 0, rc = FLY_OK;
    int32_t longest = p->width_px > p->height_px ? p->width_px : p->height_px;
    int32_t top = MARGIN, foot = 0, width;

    FLY_ASSERT(p->width_px >= 1 && p->height_px >= 1 && longest <= 16384 && !(p->labels && p->heat));
    FLY_ASSERT(p->pitch_px >= 1 && p->pitch_px <= p->side_px && p->rows >= 0 && p->cols >= 0);
    if (longest > SIDE_MAX)
        place.down = (longest + SIDE_MAX - 1) / SIDE_MAX;
    else
        while (p->width_px * place.up < WIDTH_MIN && longest * (place.up + 1) <= SIDE_MAX)
            place.up++;
    place.w = (p->width_px + place.down - 1) / place.down * place.up;
    place.h = (p->height_px + place.down - 1) / place.down * place.up;
    width = place.w > WIDTH_MIN ? place.w : WIDTH_MIN; /* a tall, narrow scan leaves the legend its room */

    entries = entries_of(p, &n_entries);
    if (!entries)
        return fly_fail(FLY_ENOMEM, "picture: no memory for the legend");
    if (p->title)
        top += TITLE_CAP + 14;
    if (p->note)
        top += NOTE_CAP + 14;
    if (p->title || p->note)
        top += 4;
    place.x = MARGIN + (width - place.w) / 2;
    place.y = top;
    foot = p->heat ? SWATCH : legend(NULL, entries, n_entries, 0, 0, width);
    if (p->image)
        rc = image_range(p->image, (int64_t)p->height_px * p->width_px, &lo, &hi);
    if (rc == FLY_OK)
        rc = fly_canvas_open(&canvas, width + 2 * MARGIN, top + place.h + (foot ? 22 + foot : 0) + MARGIN, paper);
    if (rc < 0)
        goto out;

    top = MARGIN;
    if (p->title) {
        fly_canvas_text(&canvas, MARGIN, top + TITLE_CAP, TITLE_CAP, FLY_BOLD, ink, p->title);
        top += TITLE_CAP + 14;
    }
    if (p->note)
        fly_canvas_text(&canvas, MARGIN, top + NOTE_CAP, NOTE_CAP, FLY_REGULAR, faint, p->note);
    draw_scan(&canvas, p, &place, lo, hi);
    fly_canvas_frame(&canvas, place.x - 1, place.y - 1, place.w + 2, place.h + 2, 1, line, 1);
    draw_scale(&canvas, p, &place);
    if (p->heat)
        draw_heat_bar(&canvas, p, MARGIN, place.y + place.h + 22);
    else
        legend(&canvas, entries, n_entries, MARGIN, place.y + place.h + 22, width);
    rc = fly_canvas_png(&canvas, out);
out:
    fly_canvas_close(&canvas);
    free(entries);
    return rc;
}
