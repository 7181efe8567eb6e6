/* What an assembly shows: means, completeness, what changed. */
#include <math.h>
#include <string.h>

#include "engine/chip/assembly.h"

/* ---- geometry of shifted frames ------------------------------------------------------------------ */

struct fly_rect fly_assembly_chip_rect(const struct fly_assembly *a, const struct fly_frame *frame, int32_t k)
{
    const struct fly_grid *g = &a->config.grid;
    int32_t y0 = k / g->cols * g->pitch_px - frame->dy_px, x0 = k % g->cols * g->pitch_px - frame->dx_px;
    int32_t y1 = y0 + g->side_px, x1 = x0 + g->side_px;

    y0 = y0 < 0 ? 0 : y0;
    x0 = x0 < 0 ? 0 : x0;
    y1 = y1 > g->height_px ? g->height_px : y1;
    x1 = x1 > g->width_px ? g->width_px : x1;
    return (struct fly_rect){y0, x0, y1 > y0 ? y1 - y0 : 0, x1 > x0 ? x1 - x0 : 0};
}

struct fly_chip_range fly_assembly_chips_of(const struct fly_assembly *a, const struct fly_frame *frame,
                                            struct fly_rect rect)
{
    rect.y0 += frame->dy_px;
    rect.x0 += frame->dx_px;
    return fly_grid_touched(&a->config.grid, rect);
}

int fly_assembly_took(const struct fly_assembly *a, int32_t frame, int32_t k)
{
    struct fly_rect chip = fly_assembly_chip_rect(a, &a->staging.frames[frame], k);

    if (chip.h == 0 || chip.w == 0)
        return 0;
    return a->finished || fly_staging_has(&a->staging, frame, chip);
}

void fly_rect_join(struct fly_rect *box, struct fly_rect rect)
{
    if (box->h == 0) {
        *box = rect;
        return;
    }
    int32_t y1 = box->y0 + box->h, x1 = box->x0 + box->w;

    y1 = rect.y0 + rect.h > y1 ? rect.y0 + rect.h : y1;
    x1 = rect.x0 + rect.w > x1 ? rect.x0 + rect.w : x1;
    box->y0 = rect.y0 < box->y0 ? rect.y0 : box->y0;
    box->x0 = rect.x0 < box->x0 ? rect.x0 : box->x0;
    box->h = y1 - box->y0;
    box->w = x1 - box->x0;
}

int32_t fly_row_or(const struct fly_assembly *a, uint64_t *row, int32_t x, uint64_t bits)
{
    int32_t width = a->config.grid.width_px;

    if (x <= -64 || x >= width)
        return 0;
    if (x < 0) {
        bits >>= -x;
        x = 0;
    }
    bits &= fly_bits(0, width - x > 64 ? 64 : width - x);
    uint64_t *word = row + x / 64, low = bits << x % 64, high = x % 64 ? bits >> (64 - x % 64) : 0;
    int32_t fresh = 0;

    if (low & ~*word) {
        fresh = __builtin_popcountll(low & ~*word);
        *word |= low;
    }
    if (high) {
        fresh += __builtin_popcountll(high & ~word[1]);
        word[1] |= high;
    }
    return fresh;
}

/* ---- sums of staged frames and base -------------------------------------------------------------- */

void fly_content_add(const struct fly_assembly *a, struct fly_content *content, int32_t row, uint64_t bits,
                     uint64_t *sums, uint64_t *weights, int64_t at)
{
    const struct fly_staging *s = &a->staging;
    const void *pixels = fly_content_row(s, content, row);

    bits &= content->held[row];
    for (int32_t i = content->runs; i >= 0; i = s->runs[i].next) {
        const struct fly_run *run = &s->runs[i];

        if (run->row != row || !(run->bits & bits))
            continue;
        fly_exact_add(a->config.dtype, sums, weights, at, pixels, bits & run->bits, run->dwell_ns);
        bits &= ~run->bits;
    }
    fly_exact_add(a->config.dtype, sums, weights, at, pixels, bits, content->dwell_ns[row]);
}

/* Frames with content that meets a rectangle of the scan; with chip >= 0 those the chip has taken. */
static int32_t list_frames(const struct fly_assembly *a, struct fly_rect rect, int32_t chip)
{
    const struct fly_staging *s = &a->staging;
    int32_t n = 0;

    for (int32_t i = 0; i < s->n_live; i++) {
        const struct fly_frame *f = &s->frames[s->live[i]];
        int32_t y0 = f->box.y0 + f->dy_px, x0 = f->box.x0 + f->dx_px;

        if (f->contents == 0 || y0 >= rect.y0 + rect.h || y0 + f->box.h <= rect.y0 ||
            x0 >= rect.x0 + rect.w || x0 + f->box.w <= rect.x0)
            continue;
        if (chip < 0 || fly_assembly_took(a, s->live[i], chip))
            a->frames[n++] = s->live[i];
    }
    return n;
}

/* A row of a listed frame's content, wherever it meets x0 .. x0+w-1 of line y of the scan. */
typedef void row_visit(const struct fly_assembly *a, struct fly_content *content, int32_t row, uint64_t bits,
                       int32_t x /* of the row's first pixel on the scan */, int32_t x0);

static void visit_rows(const struct fly_assembly *a, int32_t n, int32_t y, int32_t x0, int32_t w,
                       row_visit *visit)
{
    const struct fly_staging *s = &a->staging;

    for (int32_t i = 0; i < n; i++) {
        const struct fly_frame *f = &s->frames[a->frames[i]];
        int32_t fy = y - f->dy_px, from = x0 - f->dx_px, to = from + w;

        if (fy < 0 || fy >= s->height_px)
            continue;
        from = from < 0 ? 0 : from;
        to = to > s->width_px ? s->width_px : to;
        for (int32_t col = from / FLY_BLOCK_W; from < to && col <= (to - 1) / FLY_BLOCK_W; col++) {
            int32_t b = fly_staging_block(s, a->frames[i], fy / FLY_BLOCK_H * s->across + col);

            if (b < 0 || s->blocks[b].content < 0)
                continue;
            visit(a, fly_staging_content(s, s->blocks[b].content), fy % FLY_BLOCK_H,
                  fly_block_bits(col, from, to), col * FLY_BLOCK_W + f->dx_px, x0);
        }
    }
}

static void add_row(const struct fly_assembly *a, struct fly_content *content, int32_t row, uint64_t bits,
                    int32_t x, int32_t x0)
{
    fly_content_add(a, content, row, bits, a->row_sums, a->row_weights, (int64_t)x - x0);
}

static void mark_row(const struct fly_assembly *a, struct fly_content *content, int32_t row, uint64_t bits,
                     int32_t x, int32_t x0)
{
    bits &= content->held[row];
    fly_row_or(a, a->row_bits, x,
               fly_exact_finite(a->config.dtype, fly_content_row(&a->staging, content, row), bits));
}

/* Base and listed frames, for pixels x0 .. x0+w-1 of line y, into row_sums and row_weights. */
static void sum_row(const struct fly_assembly *a, int32_t n, int32_t y, int32_t x0, int32_t w)
{
    size_t at = (size_t)y * (size_t)a->config.grid.width_px + (size_t)x0, words = (size_t)a->words;

    memcpy(a->row_sums, a->sums + at * words, (size_t)w * words * sizeof *a->sums);
    memcpy(a->row_weights, a->weights + at, (size_t)w * sizeof *a->weights);
    visit_rows(a, n, y, x0, w, add_row);
}

/* ---- chips --------------------------------------------------------------------------------------- */

static struct fly_rect chip_in_scan(const struct fly_assembly *a, int32_t k)
{
    const struct fly_grid *g = &a->config.grid;

    return (struct fly_rect){k / g->cols * g->pitch_px, k % g->cols * g->pitch_px, g->side_px, g->side_px};
}

static int every_pixel_measured(const struct fly_assembly *a, int32_t k)
{
    struct fly_rect chip = chip_in_scan(a, k);
    int32_t n = list_frames(a, chip, k), x1 = chip.x0 + chip.w;

    for (int32_t y = chip.y0; y < chip.y0 + chip.h; y++) {
        const uint64_t *base = a->base_bits + (size_t)y * a->bit_words;

        for (int32_t i = chip.x0 / 64; i <= (x1 - 1) / 64; i++)
            a->row_bits[i] = base[i];
        visit_rows(a, n, y, chip.x0, chip.w, mark_row);
        for (int32_t i = chip.x0 / 64; i <= (x1 - 1) / 64; i++)
            if (fly_block_bits(i, chip.x0, x1) & ~a->row_bits[i])
                return 0;
    }
    return 1;
}

void fly_assembly_touch(struct fly_assembly *a, int32_t k)
{
    a->version[k]++;
    fly_bit_set(a->dirty, k);
    if ((size_t)k / 64 < a->dirty_from)
        a->dirty_from = (size_t)k / 64;
    if (!fly_bit_get(a->complete, k) && every_pixel_measured(a, k))
        fly_bit_set(a->complete, k);
}

int fly_assembly_complete(const struct fly_assembly *a, int32_t chip)
{
    FLY_ASSERT(chip >= 0 && chip < a->n_chips);
    return fly_bit_get(a->complete, chip);
}

uint32_t fly_assembly_version(const struct fly_assembly *a, int32_t chip)
{
    FLY_ASSERT(chip >= 0 && chip < a->n_chips);
    return a->version[chip];
}

void fly_assembly_mean(const struct fly_assembly *a, int32_t chip, double *mean)
{
    FLY_ASSERT(fly_assembly_complete(a, chip));
    struct fly_rect rect = chip_in_scan(a, chip);
    int32_t n = list_frames(a, rect, chip);

    for (int32_t y = 0; y < rect.h; y++) {
        sum_row(a, n, rect.y0 + y, rect.x0, rect.w);
        for (int32_t x = 0; x < rect.w; x++)
            *mean++ = fly_exact_mean(a->config.dtype, a->row_sums + (size_t)x * (size_t)a->words,
                                     a->row_weights[x]);
    }
}

int32_t fly_assembly_drain_dirty(struct fly_assembly *a, int32_t *chips, int32_t cap)
{
    size_t words = ((size_t)a->n_chips + 63) / 64;
    int32_t n = 0;

    for (; a->dirty_from < words; a->dirty_from++) {
        uint64_t *word = &a->dirty[a->dirty_from];

        for (; *word; *word &= *word - 1) {
            if (n == cap)
                return n;
            chips[n++] = (int32_t)a->dirty_from * 64 + __builtin_ctzll(*word);
        }
    }
    return n;
}

/* ---- pixels -------------------------------------------------------------------------------------- */

void fly_assembly_peek(const struct fly_assembly *a, struct fly_rect rect, float *out)
{
    const struct fly_grid *g = &a->config.grid;

    FLY_ASSERT(rect.y0 >= 0 && rect.x0 >= 0 && rect.h >= 1 && rect.w >= 1);
    FLY_ASSERT(rect.h <= g->height_px - rect.y0 && rect.w <= g->width_px - rect.x0);
    int32_t n = list_frames(a, rect, FLY_NONE);

    for (int32_t y = 0; y < rect.h; y++) {
        sum_row(a, n, rect.y0 + y, rect.x0, rect.w);
        for (int32_t x = 0; x < rect.w; x++)
            *out++ = a->row_weights[x]
                         ? (float)fly_exact_mean(a->config.dtype, a->row_sums + (size_t)x * (size_t)a->words,
                                                 a->row_weights[x])
                         : NAN;
    }
}

double fly_assembly_coverage(const struct fly_assembly *a)
{
    return (double)a->measured_px / ((double)a->config.grid.height_px * (double)a->config.grid.width_px);
}

int fly_assembly_frame(const struct fly_assembly *a, int64_t frame, struct fly_rect rect, void *pixels,
                       uint8_t *measured)
{
    const struct fly_staging *s = &a->staging;
    int32_t place = fly_staging_frame(s, frame);
    unsigned char *to = pixels;
    int whole = 1;

    FLY_ASSERT(rect.y0 >= 0 && rect.x0 >= 0 && rect.h >= 1 && rect.w >= 1);
    FLY_ASSERT(rect.h <= s->height_px - rect.y0 && rect.w <= s->width_px - rect.x0);
    for (int32_t y = rect.y0; y < rect.y0 + rect.h; y++)
        for (int32_t x = rect.x0, run; x < rect.x0 + rect.w; x += run) {
            int32_t col = x / FLY_BLOCK_W, row = y % FLY_BLOCK_H, first = x % FLY_BLOCK_W;
            int32_t b = fly_staging_block(s, place, y / FLY_BLOCK_H * s->across + col);
            uint64_t bits = fly_block_bits(col, rect.x0, rect.x0 + rect.w), held = 0, finite = 0;

            run = __builtin_popcountll(bits);
            memset(to, 0, (size_t)run * s->px_size);
            if (b >= 0 && s->blocks[b].content >= 0) {
                struct fly_content *c = fly_staging_content(s, s->blocks[b].content);
                const unsigned char *px = fly_content_row(s, c, row);

                held = c->held[row] & bits;
                finite = fly_exact_finite(a->config.dtype, px, held);
                for (int32_t i = 0; i < run; i++)
                    if (held >> (first + i) & 1)
                        memcpy(to + (size_t)i * s->px_size, px + (size_t)(first + i) * s->px_size,
                               s->px_size);
            }
            whole &= held == bits;
            for (int32_t i = 0; i < run; i++)
                *measured++ = finite >> (first + i) & 1;
            to += (size_t)run * s->px_size;
        }
    if (whole)
        return FLY_OK;
    return fly_fail(FLY_EAGAIN, "frame %lld has not come, or is no longer held, in all of %d x %d px at %d, %d",
                    (long long)frame, rect.h, rect.w, rect.y0, rect.x0);
}

int64_t fly_assembly_lowest_frame(const struct fly_assembly *a)
{
    return a->lowest_frame;
}
