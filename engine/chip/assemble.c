#include "engine/chip/assemble.h"

#include <math.h>
#include <string.h>

#include "engine/base/coverage.h"
#include "engine/chip/exact.h"

struct fly_assembly {
    struct fly_assembly_config config;
    struct fly_cover *cover;
    int32_t n_chips;
    size_t size;          /* of an item */
    size_t side2;         /* S * S */
    int32_t limbs;
    unsigned char *values; /* (n_slots, block * block) items */
    uint64_t *sums;       /* (K, S, S, limbs) */
    uint64_t *weights;    /* (K, S, S) ns */
    uint8_t *halved;      /* (K) 1 + its place among the chips halved; 0: it is none. NULL where none is */
    int32_t *halved_chip; /* (n_halved) */
    uint64_t *odd_sums;   /* (n_halved, S, S, limbs) of odd frames; what is left of sums is that of the even ones */
    uint64_t *odd_weights; /* (n_halved, S, S) ns */
    int32_t *unmeasured;  /* (K) pixels without a weight */
    uint32_t *version;    /* (K) */
    uint64_t *dirty;      /* (K bits) */
    int32_t n_dirty, dirty_from;
    double *view_sum;     /* (H, W) value * ns of all that came, for looking */
    double *view_weight;  /* (H, W) ns */
    int64_t seen_px;
};

static struct fly_cover_config cover_config(const struct fly_assembly_config *config)
{
    const struct fly_grid *g = &config->grid;

    return (struct fly_cover_config){.height_px = g->height_px,
                                     .width_px = g->width_px,
                                     .side_px = g->side_px,
                                     .pitch_px = g->pitch_px,
                                     .rows = g->rows,
                                     .cols = g->cols,
                                     .frames_held = config->frames_held,
                                     .frames_max = config->frames_max};
}

static void take_rest(void *ctx, const struct fly_cover_frame *record);

/* Items of the staging blocks: the blocks of a frame, rounded up at the scan's edges, each frame. */
static size_t staged_items(const struct fly_assembly_config *config)
{
    struct fly_cover_config cover = cover_config(config);
    size_t side = (size_t)fly_cover_block_side(cover.pitch_px);
    size_t nby = ((size_t)cover.height_px + side - 1) / side;
    size_t nbx = ((size_t)cover.width_px + side - 1) / side;

    return nby * nbx * side * side * (size_t)cover.frames_held;
}

size_t fly_assembly_need(const struct fly_assembly_config *config)
{
    const struct fly_grid *g = &config->grid;
    struct fly_cover_config cover = cover_config(config);
    size_t k = (size_t)fly_grid_chips(g), side2 = (size_t)g->side_px * (size_t)g->side_px;
    size_t px = (size_t)g->height_px * (size_t)g->width_px, need = fly_cover_need(&cover);

    need = fly_size_add(need, fly_arena_need(1, sizeof(struct fly_assembly)));
    need = fly_size_add(need, fly_arena_need(staged_items(config), fly_dtype_size(config->dtype)));
    need = fly_size_add(need, fly_arena_need(k * side2 * (size_t)fly_exact_limbs(config->dtype), 8));
    need = fly_size_add(need, fly_arena_need(k * side2, 8));
    if (config->n_halved > 0) {
        size_t halved = (size_t)config->n_halved;

        need = fly_size_add(need, fly_arena_need(k, 1));
        need = fly_size_add(need, fly_arena_need(halved, sizeof(int32_t)));
        need = fly_size_add(need, fly_arena_need(halved * side2 * (size_t)fly_exact_limbs(config->dtype), 8));
        need = fly_size_add(need, fly_arena_need(halved * side2, 8));
    }
    need = fly_size_add(need, fly_arena_need(k, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(k, sizeof(uint32_t)));
    need = fly_size_add(need, fly_arena_need((k + 63) / 64, 8));
    return fly_size_add(need, 2 * fly_arena_need(px, sizeof(double)));
}

static int open_halves(struct fly_assembly *a, const struct fly_assembly_config *config, struct fly_arena *arena)
{
    size_t n = (size_t)config->n_halved, sums = n * a->side2 * (size_t)a->limbs;

    if (config->n_halved < 0 || config->n_halved > FLY_HALVED_MAX)
        return fly_fail(FLY_ERANGE, "%d chips halved, at most %d", config->n_halved, FLY_HALVED_MAX);
    a->config.halved = NULL; /* lent for this call */
    if (n == 0)
        return FLY_OK;
    a->halved = fly_arena_take(arena, (size_t)a->n_chips, 1);
    a->halved_chip = fly_arena_take(arena, n, sizeof *a->halved_chip);
    a->odd_sums = fly_arena_take(arena, sums, 8);
    a->odd_weights = fly_arena_take(arena, n * a->side2, 8);
    if (!a->halved || !a->halved_chip || !a->odd_sums || !a->odd_weights)
        return fly_fail(FLY_ENOMEM, "assembly: the reserve is too small");
    memset(a->halved, 0, (size_t)a->n_chips);
    memset(a->odd_sums, 0, sums * 8);
    memset(a->odd_weights, 0, n * a->side2 * 8);
    for (int32_t i = 0; i < config->n_halved; i++) {
        FLY_ASSERT(config->halved[i] >= 0 && config->halved[i] < a->n_chips);
        FLY_ASSERT(i == 0 || config->halved[i] > config->halved[i - 1]);
        a->halved[config->halved[i]] = (uint8_t)(i + 1);
        a->halved_chip[i] = config->halved[i];
    }
    return FLY_OK;
}

int fly_assembly_open(struct fly_assembly **out, const struct fly_assembly_config *config,
                      struct fly_arena *arena)
{
    const struct fly_grid *g = &config->grid;
    struct fly_cover_config cover = cover_config(config);
    size_t k = (size_t)fly_grid_chips(g), px = (size_t)g->height_px * (size_t)g->width_px;
    struct fly_assembly *a = fly_arena_take(arena, 1, sizeof *a);
    int rc;

    if (!a)
        return fly_fail(FLY_ENOMEM, "assembly: the reserve is too small");
    memset(a, 0, sizeof *a);
    cover.on_close = take_rest;
    cover.ctx = a;
    rc = fly_cover_open(&a->cover, &cover, arena);
    if (rc < 0)
        return rc;
    a->config = *config;
    a->n_chips = (int32_t)k;
    a->size = fly_dtype_size(config->dtype);
    a->side2 = (size_t)g->side_px * (size_t)g->side_px;
    a->limbs = fly_exact_limbs(config->dtype);
    a->values = fly_arena_take(arena, staged_items(config), a->size);
    a->sums = fly_arena_take(arena, k * a->side2 * (size_t)a->limbs, 8);
    a->weights = fly_arena_take(arena, k * a->side2, 8);
    a->unmeasured = fly_arena_take(arena, k, sizeof *a->unmeasured);
    a->version = fly_arena_take(arena, k, sizeof *a->version);
    a->dirty = fly_arena_take(arena, (k + 63) / 64, 8);
    a->view_sum = fly_arena_take(arena, px, sizeof(double));
    a->view_weight = fly_arena_take(arena, px, sizeof(double));
    if (!a->values || !a->sums || !a->weights || !a->unmeasured || !a->version || !a->dirty || !a->view_sum ||
        !a->view_weight)
        return fly_fail(FLY_ENOMEM, "assembly: the reserve is too small");
    memset(a->sums, 0, k * a->side2 * (size_t)a->limbs * 8);
    memset(a->weights, 0, k * a->side2 * 8);
    memset(a->version, 0, k * sizeof *a->version);
    memset(a->dirty, 0, (k + 63) / 64 * 8);
    memset(a->view_sum, 0, px * sizeof(double));
    memset(a->view_weight, 0, px * sizeof(double));
    for (size_t i = 0; i < k; i++)
        a->unmeasured[i] = (int32_t)a->side2;
    rc = open_halves(a, config, arena);
    if (rc < 0)
        return rc;
    *out = a;
    return FLY_OK;
}

/* ---- chips ------------------------------------------------------------------------------------- */

static void mark_dirty(struct fly_assembly *a, int32_t chip)
{
    uint64_t bit = UINT64_C(1) << (chip & 63);

    a->version[chip]++;
    if (a->dirty[chip >> 6] & bit)
        return;
    a->dirty[chip >> 6] |= bit;
    a->n_dirty++;
    if (chip < a->dirty_from)
        a->dirty_from = chip;
}

static unsigned char *slot_values(const struct fly_assembly *a, int32_t slot)
{
    return a->values + (size_t)slot * (size_t)a->cover->side * (size_t)a->cover->side * a->size;
}

/* One pixel of the commonest type, without a call: 16-bit counts into a 128-bit sum. */
static inline void add_u16(uint64_t *sum, const unsigned char *values, int32_t i, uint64_t ns, int sign)
{
    unsigned __int128 wide;
    uint16_t v;

    memcpy(&v, values + (size_t)i * sizeof v, sizeof v);
    memcpy(&wide, sum, sizeof wide);
    wide = sign > 0 ? wide + (unsigned __int128)v * ns : wide - (unsigned __int128)v * ns;
    memcpy(sum, &wide, sizeof wide);
}

/* Add (sign 1) or take away (sign -1) what a chip has of a frame; returns how many pixels that was. missing counts
 * the pixels without a weight. */
static int32_t fold_into(struct fly_assembly *a, const struct fly_cover_frame *record, int32_t chip, int sign,
                         uint64_t *sums, uint64_t *weights, int32_t *missing)
{
    struct fly_cover_rect rect = fly_cover_chip(a->cover, record, chip);
    struct fly_cover_walk walk = {0};
    struct fly_cover_run run;
    int32_t folded = 0;

    while (fly_cover_next(a->cover, record->frame, rect, &walk, &run)) {
        const uint8_t *marks = fly_cover_marks(a->cover, run.slot);
        const uint64_t *dwell = a->cover->slots[run.slot].dwell_ns;
        const unsigned char *values = slot_values(a, run.slot);
        size_t at = (size_t)(run.y - rect.y0) * (size_t)rect.w + (size_t)(run.x - rect.x0);

        for (int32_t i = 0; i < run.len; i++, at++) {
            uint8_t mark = marks[run.at + i];
            uint64_t ns;

            if (!mark)
                continue;
            ns = dwell[mark - 1];
            if (a->config.dtype == FLY_U16)
                add_u16(sums + at * 2, values, run.at + i, ns, sign);
            else
                fly_exact_add(a->config.dtype, sums + at * (size_t)a->limbs, values, (size_t)(run.at + i), ns,
                              sign);
            if (sign > 0) {
                *missing -= weights[at] == 0;
                weights[at] += ns;
            } else {
                weights[at] -= ns;
                *missing += weights[at] == 0;
            }
            folded++;
        }
    }
    return folded;
}

static int32_t fold(struct fly_assembly *a, const struct fly_cover_frame *record, int32_t chip, int sign)
{
    size_t at = (size_t)chip * a->side2;
    int32_t unused = 0;

    if (a->halved && a->halved[chip] && record->frame % 2) {
        size_t half = (size_t)(a->halved[chip] - 1) * a->side2;

        fold_into(a, record, chip, sign, a->odd_sums + half * (size_t)a->limbs, a->odd_weights + half, &unused);
    }
    return fold_into(a, record, chip, sign, a->sums + at * (size_t)a->limbs, a->weights + at, &a->unmeasured[chip]);
}

/* No more of a frame is taken: chips take what it left partial, as at finish. */
static void take_rest(void *ctx, const struct fly_cover_frame *record)
{
    struct fly_assembly *a = ctx;

    for (int32_t k = 0; record->held && k < a->n_chips; k++)
        if (!fly_cover_has(record, k) && fold(a, record, k, 1))
            mark_dirty(a, k);
}

/* The chips of a range that are ready for the frame take it. */
static int32_t take_ready(struct fly_assembly *a, struct fly_cover_frame *record,
                          struct fly_cover_range touched)
{
    int32_t done = 0;

    for (int32_t r = touched.r0; r < touched.r1; r++)
        for (int32_t c = touched.c0; c < touched.c1; c++) {
            int32_t chip = r * a->config.grid.cols + c;

            if (!fly_cover_ready(a->cover, record, chip))
                continue;
            fold(a, record, chip, 1);
            mark_dirty(a, chip);
            done++;
            if (fly_cover_take(a->cover, record, chip))
                return done; /* the last one: the record is closed */
        }
    return done;
}

/* ---- pixels ------------------------------------------------------------------------------------ */

static void look(struct fly_assembly *a, int32_t y, int32_t x, const unsigned char *px, int32_t i, double ns)
{
    size_t at = (size_t)y * (size_t)a->config.grid.width_px + (size_t)x;

    a->seen_px += a->view_weight[at] == 0.0;
    a->view_sum[at] += fly_dtype_value(a->config.dtype, px, (size_t)i) * ns;
    a->view_weight[at] += ns;
}

static void look_u16(struct fly_assembly *a, int32_t y, int32_t x, const unsigned char *px, int32_t n, double ns)
{
    size_t at = (size_t)y * (size_t)a->config.grid.width_px + (size_t)x;

    for (int32_t i = 0; i < n; i++) {
        uint16_t v;

        memcpy(&v, px + (size_t)i * 2, 2);
        a->seen_px += a->view_weight[at + (size_t)i] == 0.0;
        a->view_sum[at + (size_t)i] += (double)v * ns;
        a->view_weight[at + (size_t)i] += ns;
    }
}

static int all_zero(const uint8_t *marks, int32_t n)
{
    uint8_t any = 0;

    for (int32_t i = 0; i < n; i++)
        any |= marks[i];
    return any == 0;
}

/* One run of a row that lies in one block. px: its first pixel. */
static void put_run(struct fly_assembly *a, int32_t slot, int32_t at, int32_t y, int32_t x, int32_t n,
                    const unsigned char *px, uint64_t dwell_ns, struct fly_taken *taken)
{
    enum fly_dtype dtype = a->config.dtype;
    uint8_t *marks = fly_cover_marks(a->cover, slot) + at;
    unsigned char *values = slot_values(a, slot) + (size_t)at * a->size;
    uint8_t mark = fly_cover_dwell(a->cover, slot, dwell_ns);
    double ns = (double)dwell_ns;

    if (!fly_dtype_is_float(dtype) && all_zero(marks, n)) {
        memcpy(values, px, (size_t)n * a->size);
        memset(marks, mark, (size_t)n);
        a->cover->slots[slot].measured += n;
        taken->fresh_px += n;
        if (dtype == FLY_U16)
            look_u16(a, y, x, px, n, ns);
        else
            for (int32_t i = 0; i < n; i++)
                look(a, y, x + i, px, i, ns);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        const unsigned char *item = px + (size_t)i * a->size;

        if (fly_dtype_is_float(dtype) && !isfinite(fly_dtype_value(dtype, px, (size_t)i))) {
            taken->nonfinite_px++;
        } else if (!marks[i]) {
            memcpy(values + (size_t)i * a->size, item, a->size);
            marks[i] = mark;
            a->cover->slots[slot].measured++;
            taken->fresh_px++;
            look(a, y, x + i, px, i, ns);
        } else if (memcmp(values + (size_t)i * a->size, item, a->size) == 0) {
            taken->repeated_px++;
        } else {
            taken->conflict_px++;
        }
    }
}

int fly_assembly_put(struct fly_assembly *assembly, int64_t frame, struct fly_rect rect, const void *pixels,
                     uint64_t dwell_ns, struct fly_taken *taken)
{
    struct fly_assembly *a = assembly;
    const struct fly_grid *g = &a->config.grid;
    struct fly_cover_rect r = {rect.y0, rect.x0, rect.h, rect.w};
    struct fly_cover_frame *record;
    int32_t side = a->cover->side, bx0, bx1, rc;

    FLY_ASSERT(rect.y0 >= 0 && rect.x0 >= 0 && rect.h > 0 && rect.w > 0 && rect.y0 + rect.h <= g->height_px &&
               rect.x0 + rect.w <= g->width_px);
    *taken = (struct fly_taken){0};
    rc = fly_cover_begin(a->cover, frame, r, dwell_ns, &record);
    if (rc < 0)
        return rc;
    bx0 = rect.x0 / side;
    bx1 = (rect.x0 + rect.w - 1) / side;
    for (int32_t y = rect.y0; y < rect.y0 + rect.h; y++) {
        const int32_t *slots = a->cover->touched + (y / side - rect.y0 / side) * (bx1 - bx0 + 1);
        const unsigned char *row =
            (const unsigned char *)pixels + (size_t)(y - rect.y0) * (size_t)rect.w * a->size;

        for (int32_t bx = bx0; bx <= bx1; bx++) {
            int32_t x = bx * side > rect.x0 ? bx * side : rect.x0;
            int32_t end = (bx + 1) * side < rect.x0 + rect.w ? (bx + 1) * side : rect.x0 + rect.w;
            int32_t slot = slots[bx - bx0];

            if (slot < 0) {
                taken->repeated_px += end - x;
                taken->unchecked_px += end - x;
                continue;
            }
            put_run(a, slot, y % side * side + x - bx * side, y, x, end - x,
                    row + (size_t)(x - rect.x0) * a->size, dwell_ns, taken);
        }
    }
    if (taken->fresh_px && record) {
        struct fly_cover_rect moved = {r.y0 + record->dy_px, r.x0 + record->dx_px, r.h, r.w};

        taken->chips_done = take_ready(a, record, fly_cover_touched(&a->cover->config, moved));
    }
    return FLY_OK;
}

/* ---- shift and finish -------------------------------------------------------------------------- */

int fly_assembly_shift(struct fly_assembly *assembly, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_assembly *a = assembly;
    struct fly_cover_range all = {0, a->config.grid.rows, 0, a->config.grid.cols};
    struct fly_cover_frame *record;
    int rc = fly_cover_shift(a->cover, frame, dy_px, dx_px, &record);

    if (rc < 0)
        return rc;
    for (int32_t k = 0; k < a->n_chips; k++)
        if (fly_cover_has(record, k)) {
            if (fold(a, record, k, -1))
                mark_dirty(a, k);
            record->bits[k >> 6] &= ~(UINT64_C(1) << (k & 63));
        }
    record->taken = 0;
    record->dy_px = dy_px;
    record->dx_px = dx_px;
    take_ready(a, record, all);
    return FLY_OK;
}

void fly_assembly_finish(struct fly_assembly *assembly)
{
    struct fly_assembly *a = assembly;

    for (int32_t k = 0; k < a->n_chips; k++) {
        int changed = 0;

        for (int32_t f = 0; f < FLY_COVER_FRAMES; f++) {
            struct fly_cover_frame *record = &a->cover->frames[f];

            if (record->frame < 0 || fly_cover_has(record, k))
                continue;
            changed |= fold(a, record, k, 1) > 0;
            fly_cover_take(a->cover, record, k);
        }
        if (changed)
            mark_dirty(a, k);
    }
}

/* ---- looking ----------------------------------------------------------------------------------- */

int fly_assembly_complete(const struct fly_assembly *assembly, int32_t chip)
{
    return assembly->unmeasured[chip] == 0;
}

uint32_t fly_assembly_version(const struct fly_assembly *assembly, int32_t chip)
{
    return assembly->version[chip];
}

void fly_assembly_mean(const struct fly_assembly *assembly, int32_t chip, double *mean)
{
    const struct fly_assembly *a = assembly;
    const uint64_t *sums = a->sums + (size_t)chip * a->side2 * (size_t)a->limbs;
    const uint64_t *weights = a->weights + (size_t)chip * a->side2;

    FLY_ASSERT(a->unmeasured[chip] == 0);
    for (size_t i = 0; i < a->side2; i++)
        mean[i] = fly_exact_mean(a->config.dtype, sums + i * (size_t)a->limbs, weights[i]);
}

double fly_assembly_dwell_ns(const struct fly_assembly *assembly, int32_t chip)
{
    const uint64_t *weights = assembly->weights + (size_t)chip * assembly->side2;
    double sum = 0.0;

    for (size_t i = 0; i < assembly->side2; i++)
        sum += (double)weights[i];
    return sum / (double)assembly->side2;
}

int fly_assembly_halves(const struct fly_assembly *assembly, int32_t i, double *even, double *odd)
{
    const struct fly_assembly *a = assembly;
    size_t limbs = (size_t)a->limbs, half = (size_t)i * a->side2, whole;
    uint64_t rest[FLY_EXACT_LIMBS_MAX];

    FLY_ASSERT(i >= 0 && i < a->config.n_halved);
    whole = (size_t)a->halved_chip[i] * a->side2;
    for (size_t p = 0; p < a->side2; p++)
        if (a->odd_weights[half + p] == 0 || a->weights[whole + p] == a->odd_weights[half + p])
            return 0;
    for (size_t p = 0; p < a->side2; p++) {
        const uint64_t *odd_sum = a->odd_sums + (half + p) * limbs, *sum = a->sums + (whole + p) * limbs;
        uint64_t borrow = 0;

        for (size_t l = 0; l < limbs; l++) { /* two's complement, lowest first */
            uint64_t without = sum[l] - odd_sum[l];

            rest[l] = without - borrow;
            borrow = (uint64_t)(sum[l] < odd_sum[l]) | (uint64_t)(without < borrow);
        }
        odd[p] = fly_exact_mean(a->config.dtype, odd_sum, a->odd_weights[half + p]);
        even[p] = fly_exact_mean(a->config.dtype, rest, a->weights[whole + p] - a->odd_weights[half + p]);
    }
    return 1;
}

void fly_assembly_peek(const struct fly_assembly *assembly, struct fly_rect rect, float *out)
{
    const struct fly_assembly *a = assembly;

    for (int32_t y = 0; y < rect.h; y++)
        for (int32_t x = 0; x < rect.w; x++) {
            size_t at = (size_t)(rect.y0 + y) * (size_t)a->config.grid.width_px + (size_t)(rect.x0 + x);

            out[(size_t)y * (size_t)rect.w + (size_t)x] =
                a->view_weight[at] > 0.0 ? (float)(a->view_sum[at] / a->view_weight[at]) : NAN;
        }
}

double fly_assembly_coverage(const struct fly_assembly *assembly)
{
    const struct fly_grid *g = &assembly->config.grid;

    return (double)assembly->seen_px / ((double)g->height_px * (double)g->width_px);
}

int fly_assembly_frame(const struct fly_assembly *assembly, int64_t frame, struct fly_rect rect, void *pixels,
                       uint8_t *measured)
{
    const struct fly_assembly *a = assembly;
    struct fly_cover_rect r = {rect.y0, rect.x0, rect.h, rect.w};
    struct fly_cover_walk walk = {0};
    struct fly_cover_run run;
    int64_t there = 0;

    memset(measured, 0, (size_t)rect.h * (size_t)rect.w);
    while (fly_cover_next(a->cover, frame, r, &walk, &run)) {
        const uint8_t *marks = fly_cover_marks(a->cover, run.slot) + run.at;
        const unsigned char *values = slot_values(a, run.slot) + (size_t)run.at * a->size;
        size_t at = (size_t)(run.y - rect.y0) * (size_t)rect.w + (size_t)(run.x - rect.x0);

        memcpy((unsigned char *)pixels + at * a->size, values, (size_t)run.len * a->size);
        for (int32_t i = 0; i < run.len; i++) {
            measured[at + (size_t)i] = marks[i] != 0;
            there += marks[i] != 0;
        }
    }
    if (there < (int64_t)rect.h * rect.w)
        return fly_fail(FLY_EAGAIN, "%lld of %lld pixels of frame %lld are held", (long long)there,
                        (long long)rect.h * rect.w, (long long)frame);
    return FLY_OK;
}

int64_t fly_assembly_lowest_frame(const struct fly_assembly *assembly)
{
    return assembly->cover->lowest;
}

int32_t fly_assembly_drain_dirty(struct fly_assembly *assembly, int32_t *chips, int32_t cap)
{
    struct fly_assembly *a = assembly;
    int32_t n = 0, words = (a->n_chips + 63) / 64;

    if (!a->n_dirty)
        return 0;
    for (int32_t w = a->dirty_from >> 6; w < words && n < cap && a->n_dirty; w++)
        while (a->dirty[w] && n < cap) {
            int32_t k = w * 64 + __builtin_ctzll(a->dirty[w]);

            a->dirty[w] &= a->dirty[w] - 1;
            a->n_dirty--;
            a->dirty_from = k;
            chips[n++] = k;
        }
    if (!a->n_dirty)
        a->dirty_from = INT32_MAX;
    return n;
}
