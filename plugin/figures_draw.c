/* What the figures are drawn with: words, pictures of values. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/label/fewshot.h"
#include "plugin/number.h"
#include "plugin/picture.h"

const struct fly_fig_type fly_fig_head = {CAP_HEAD, FLY_BOLD, 0x1B1F24};
const struct fly_fig_type fly_fig_text = {CAP_TEXT, FLY_REGULAR, 0x1B1F24};
const struct fly_fig_type fly_fig_strong = {CAP_TEXT, FLY_BOLD, 0x1B1F24};
const struct fly_fig_type fly_fig_note = {CAP_TEXT, FLY_REGULAR, 0x5D6470};
const struct fly_fig_type fly_fig_small = {CAP_SMALL, FLY_REGULAR, 0x5D6470};

void fly_fig_reach(struct fly_fig_page *page, int32_t right, int32_t bottom)
{
    page->right = right > page->right ? right : page->right;
    page->y = bottom > page->y ? bottom : page->y;
}

/* ---- words -------------------------------------------------------------------------------------- */

double fly_fig_width(const struct fly_fig_type *type, const char *words)
{
    return *words ? fly_canvas_text_width(type->cap_px, words) + type->cap_px * type->weight : 0;
}

enum { WORDS_CAP = 512 };

/* As much of the words as is `width` wide; returns how wide. */
static double cut(char out[WORDS_CAP], const struct fly_fig_type *type, double width, const char *words)
{
    size_t len = strlen(words), keep = 0, ends[WORDS_CAP];
    int n = 0;

    while (keep < len && n < WORDS_CAP) { /* ends[i]: after i + 1 characters */
        size_t step = fly_utf8_next(words + keep, len - keep, NULL);

        if (keep + step > WORDS_CAP - 4) /* room for "..." */
            break;
        keep += step;
        ends[n++] = keep;
    }
    snprintf(out, WORDS_CAP, "%.*s%s", (int)keep, words, keep < len ? "..." : "");
    if (fly_fig_width(type, out) > width) {
        int fits = 0, over = n; /* characters before the dots */

        while (over - fits > 1) {
            int half = (fits + over) / 2;

            snprintf(out, WORDS_CAP, "%.*s...", (int)ends[half - 1], words);
            *(fly_fig_width(type, out) > width ? &over : &fits) = half;
        }
        snprintf(out, WORDS_CAP, "%.*s...", fits ? (int)ends[fits - 1] : 0, words);
    }
    return fly_fig_width(type, out);
}

double fly_fig_words(struct fly_fig_page *page, double x, double baseline, double width, enum fly_fig_align align,
                     const struct fly_fig_type *type, const char *words)
{
    char kept[WORDS_CAP];
    double used = cut(kept, type, width, words);

    if (align != FLY_FIG_LEFT)
        x += (width - used) / (align == FLY_FIG_MIDDLE ? 2 : 1);
    if (!fly_fig_measuring(page))
        fly_canvas_text(&page->canvas, x, baseline, type->cap_px, type->weight, type->colour, kept);
    return used;
}

void fly_fig_title(struct fly_fig_page *page, const char *words)
{
    static const struct fly_fig_type title = {CAP_TITLE, FLY_BOLD, 0x1B1F24};
    static const struct fly_fig_type sample = {CAP_HEAD, FLY_REGULAR, 0x1B1F24};
    const struct fly_figures *in = page->in;
    const double room = 1e6;
    int32_t y = FLY_FIG_MARGIN + CAP_TITLE;

    /* A long title of the caller's must not widen the page: it is cut where the blocks end, which are known when
     * the page is drawn. */
    double width = fly_fig_measuring(page) ? room : page->right - FLY_FIG_MARGIN;

    fly_fig_words(page, FLY_FIG_MARGIN, y, width, FLY_FIG_LEFT, &title, words);
    if (in->title) {
        y += 14 + CAP_HEAD;
        fly_fig_words(page, FLY_FIG_MARGIN, y, width, FLY_FIG_LEFT, &sample, in->title);
    }
    if (in->note) {
        y += 12 + CAP_TEXT;
        fly_fig_words(page, FLY_FIG_MARGIN, y, width, FLY_FIG_LEFT, &fly_fig_note, in->note);
    }
    page->y = y + FLY_FIG_GAP;
}

void fly_fig_caption(struct fly_fig_page *page, int32_t x, int32_t baseline, int32_t width, const char *words,
                     const char *aside)
{
    char letter[16];
    double at = x, end = x + width;
    int n = page->panels++;

    if (aside)
        end -= fly_fig_words(page, x + width * 0.3, baseline, width * 0.7, FLY_FIG_RIGHT, &fly_fig_note, aside) + 8;
    if (n < 26)
        snprintf(letter, sizeof letter, "(%c)", 'a' + n);
    else
        snprintf(letter, sizeof letter, "(%c%c)", 'a' + n / 26 % 26 - 1, 'a' + n % 26);
    at += fly_fig_words(page, at, baseline, end - at, FLY_FIG_LEFT, &fly_fig_strong, letter) + 6;
    fly_fig_words(page, at, baseline, end - at, FLY_FIG_LEFT, &fly_fig_text, words);
}

void fly_fig_absent(struct fly_fig_page *page, int32_t x, int32_t y, int32_t w, int32_t h, const char *why)
{
    fly_canvas_fill(&page->canvas, x, y, w, h, fig_void, 1);
    fly_canvas_frame(&page->canvas, x, y, w, h, 1, fig_line, 1);
    fly_fig_words(page, x + 10, y + h / 2.0 + CAP_TEXT / 2.0, w - 20, FLY_FIG_MIDDLE, &fly_fig_note, why);
    fly_fig_reach(page, x + w, y + h);
}

char *fly_fig_number(char out[FLY_FIG_NUMBER], double value, int decimals)
{
    if (!isfinite(value))
        return strcpy(out, "-");
    snprintf(out, FLY_FIG_NUMBER, fabs(value) < 1e9 ? "%.*f" : "%.*e", fabs(value) < 1e9 ? decimals : 2, value);
    if (out[0] == '-' && !out[1 + strspn(out + 1, "0.")]) /* what rounds to nothing has no sign */
        memmove(out, out + 1, strlen(out));
    return out;
}

/* Digits after the point that leave `digits` of x. */
static int decimals_of(double x, int digits)
{
    int decimals = x > 0 && isfinite(x) ? digits - 1 - (int)floor(log10(x)) : digits;

    return decimals < 0 ? 0 : decimals > 6 ? 6 : decimals;
}

char *fly_fig_measured_number(char out[FLY_FIG_NUMBER], double value, double sigma)
{
    char number[FLY_FIG_NUMBER], margin[FLY_FIG_NUMBER];
    int known = isfinite(sigma) && sigma > 0;
    int decimals = known ? decimals_of(sigma, 2) : decimals_of(fabs(value), 4);

    fly_fig_number(number, value, decimals);
    if (!known || !isfinite(value))
        return strcpy(out, number);
    fly_fig_number(margin, sigma, decimals);
    snprintf(out, FLY_FIG_NUMBER, "%.28s \xC2\xB1 %.28s", number, margin);
    return out;
}

/* ---- pictures ----------------------------------------------------------------------------------- */

struct fly_fig_fit fly_fig_fit(int32_t rows, int32_t cols, int32_t side)
{
    struct fly_fig_fit fit = {.up = 1, .down = 1};
    int32_t longest = rows > cols ? rows : cols;

    FLY_ASSERT(rows >= 1 && cols >= 1);
    if (longest > side)
        fit.down = (longest + side - 1) / side;
    else
        fit.up = side / longest;
    fit.w = (cols + fit.down - 1) / fit.down * fit.up;
    fit.h = (rows + fit.down - 1) / fit.down * fit.up;
    fit.scale = (double)fit.up / fit.down;
    return fit;
}

struct fly_fig_fit fly_fig_stretch(int32_t rows, int32_t cols, int32_t side)
{
    double scale = (double)side / (rows > cols ? rows : cols);
    int32_t w = (int32_t)lround(cols * scale), h = (int32_t)lround(rows * scale);

    return (struct fly_fig_fit){.w = w > 0 ? w : 1, .h = h > 0 ? h : 1, .up = 1, .down = 1, .scale = scale};
}

static double value_at(const struct fly_fig_field *field, int64_t r, int64_t c)
{
    int64_t at = r * field->stride + c * field->step;

    return field->f32 ? (double)field->f32[at] : field->f64[at];
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

int fly_fig_range(const struct fly_fig_field *field, double low, double high, double *lo, double *hi)
{
    enum { SAMPLES = 1 << 20 };
    int64_t count = (int64_t)field->rows * field->cols, step = (count + SAMPLES - 1) / SAMPLES, n = 0;
    float *some;

    *lo = *hi = 0;
    if (count == 0)
        return FLY_OK;
    some = malloc((size_t)(count / step + 1) * sizeof *some);
    if (!some)
        return fly_fail(FLY_ENOMEM, "figures: no memory for the range of %lld values", (long long)count);
    for (int64_t i = 0; i < count; i += step) {
        double value = value_at(field, i / field->cols, i % field->cols);

        if (isfinite(value))
            some[n++] = (float)value;
    }
    if (n > 0) {
        qsort(some, (size_t)n, sizeof *some, compare_floats);
        *lo = (double)some[(int64_t)((double)(n - 1) * low)];
        *hi = (double)some[(int64_t)ceil((double)(n - 1) * high)];
    }
    free(some);
    return FLY_OK;
}

uint32_t fly_fig_grey(double value)
{
    return (uint32_t)((value < 0 ? 0 : value > 1 ? 1 : value) * 255 + 0.5) * 0x010101u;
}

/* How much of item i lies within from .. to. */
static double overlap(int64_t i, double from, double to)
{
    return fmin(to, (double)(i + 1)) - fmax(from, (double)i);
}

/* Mean of the finite values under pixel (y, x); NaN without any. */
static double mean_at(const struct fly_fig_field *field, const struct fly_fig_fit *fit, int32_t y, int32_t x)
{
    const double hair = 1e-9; /* of an item: what rounding leaves of a neighbour */
    double top = y / fit->scale, bottom = (y + 1) / fit->scale, left = x / fit->scale, right = (x + 1) / fit->scale;
    double sum = 0, area = 0;

    for (int64_t r = (int64_t)(top + hair); r < bottom - hair && r < field->rows; r++) {
        for (int64_t c = (int64_t)(left + hair); c < right - hair && c < field->cols; c++) {
            double value = value_at(field, r, c), part = overlap(r, top, bottom) * overlap(c, left, right);

            if (isfinite(value)) {
                sum += part * value;
                area += part;
            }
        }
    }
    return area > 0 ? sum / area : NAN;
}

void fly_fig_values(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_fig_field *field,
                    const struct fly_fig_fit *fit, double lo, double hi, fly_fig_colours *colours)
{
    fly_fig_reach(page, x + fit->w, y + fit->h);
    if (fly_fig_measuring(page))
        return;
    for (int32_t j = 0; j < fit->h; j++) {
        for (int32_t i = 0; i < fit->w; i++) {
            double value = mean_at(field, fit, j, i);

            if (isfinite(value))
                fly_canvas_dot(&page->canvas, x + i, y + j, colours(hi > lo ? (value - lo) / (hi - lo) : 0.5), 1);
            else
                fly_picture_label(&page->canvas, y + j, x + i, FLY_LABEL_PENDING);
        }
    }
    fly_canvas_frame(&page->canvas, x - 1, y - 1, fit->w + 2, fit->h + 2, 1, fig_line, 1);
}

void fly_fig_bar(struct fly_fig_page *page, int32_t x, int32_t y, int32_t w, int32_t h, fly_fig_colours *colours)
{
    for (int32_t i = 0; i < w; i++)
        fly_canvas_fill(&page->canvas, x + i, y, 1, h, colours(w > 1 ? (double)i / (w - 1) : 0), 1);
    fly_canvas_frame(&page->canvas, x, y, w, h, 1, fig_ink, 0.35);
    fly_fig_reach(page, x + w, y + h);
}

void fly_fig_scale(struct fly_fig_page *page, int32_t x, int32_t y, const struct fly_fig_fit *fit)
{
    enum { PAD = 9, THICK = 4, LEAST = 90 };
    static const struct fly_fig_type white = {CAP_TEXT, FLY_BOLD, 0xFFFFFF};
    int known = page->in->pixel_nm > 0 && isfinite(page->in->pixel_nm);
    double a_dot = (known ? page->in->pixel_nm : 1) / fit->scale, length = a_dot * fit->w * 0.25;
    int32_t bar, text, box_w, box_h = 3 * PAD + CAP_TEXT + THICK - 2;
    char number[FLY_FIG_NUMBER], words[96];
    int micro;

    if (fit->w < LEAST)
        return;
    length = fly_number_round(known || length > 1 ? length : 1); /* no less than a pixel */
    bar = (int32_t)(length / a_dot + 0.5);
    micro = known && length >= 1000;
    length /= micro ? 1000 : 1;
    snprintf(words, sizeof words, "%s %s",
             fly_fig_number(number, length, length >= 1 ? 0 : (int)ceil(-log10(length) - 1e-9)),
             micro ? "um" : known ? "nm" : "px");
    text = (int32_t)ceil(fly_fig_width(&white, words));
    box_w = (bar > text ? bar : text) + 2 * PAD;
    x += 10;
    y += fit->h - box_h - 10;
    fly_canvas_fill(&page->canvas, x, y, box_w, box_h, 0x101318, 0.72);
    fly_fig_words(page, x, y + PAD + CAP_TEXT, box_w, FLY_FIG_MIDDLE, &white, words);
    fly_canvas_fill(&page->canvas, x + (box_w - bar) / 2, y + box_h - PAD - THICK, bar, THICK, 0xFFFFFF, 1);
}
