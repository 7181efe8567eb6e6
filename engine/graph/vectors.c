#include "engine/graph/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/base/clones.h"
#include "engine/graph/vectors_kinds.h"

int32_t fly_tile_count(int32_t n_chips)
{
    return n_chips >= 1024 ? n_chips / 512 : 1;
}

int32_t fly_tile_width(int32_t n_chips)
{
    int32_t tiles = fly_tile_count(n_chips), width = (n_chips + tiles - 1) / tiles;

    return (width + 15) / 16 * 16;
}

static size_t row_len(int32_t n_chips)
{
    return (size_t)fly_tile_count(n_chips) * (size_t)fly_tile_width(n_chips);
}

size_t fly_vectors_need(const struct fly_vectors_config *config)
{
    size_t chips = (size_t)config->n_chips, ld = row_len(config->n_chips), bytes;

    bytes = fly_arena_need(1, sizeof(struct fly_vectors));
    bytes = fly_size_add(bytes, fly_arena_need(chips, sizeof(double)));
    bytes = fly_size_add(bytes, fly_arena_need(ld, sizeof(float)));
    bytes = fly_size_add(bytes, fly_arena_need(chips, 1));
    bytes = fly_size_add(bytes, fly_arena_need(FLY_BLOCK_MAX * ld, sizeof(float)));
    switch (config->kind) {
    case FLY_VECTORS_F32:
        return fly_size_add(bytes, fly_f32_need(config));
    case FLY_VECTORS_COUNTS:
        return fly_size_add(bytes, fly_counts_need(config));
    case FLY_VECTORS_F64:
        return fly_size_add(bytes, fly_f64_need(config));
    }
    return bytes;
}

int fly_vectors_open(struct fly_vectors **out, const struct fly_vectors_config *config,
                     struct fly_arena *arena)
{
    struct fly_vectors *v;

    if (config->n_chips < 1 || config->n_chips > 65536)
        return fly_fail(FLY_ERANGE, "vectors of %d chips, 1 .. 65536 can be compared", config->n_chips);
    if (config->width < 1 || config->width > FLY_WIDTH_MAX)
        return fly_fail(FLY_ERANGE, "vectors of %d numbers, 1 .. %d can be compared", config->width,
                        (int)FLY_WIDTH_MAX);
    if (config->entries_max < 0 || config->min_counts < 0)
        return fly_fail(FLY_ERANGE, "vectors with %lld entries and at least %lld counts",
                        (long long)config->entries_max, (long long)config->min_counts);
    if (config->debiased && config->kind != FLY_VECTORS_COUNTS)
        return fly_fail(FLY_ERANGE, "only counts have a debiased cosine");

    v = fly_arena_take(arena, 1, sizeof *v);
    FLY_ASSERT(v);
    memset(v, 0, sizeof *v);
    v->config = *config;
    v->tile = fly_tile_width(config->n_chips);
    v->tiles = fly_tile_count(config->n_chips);
    v->ld = row_len(config->n_chips);
    v->square = fly_arena_take(arena, (size_t)config->n_chips, sizeof(double));
    v->inverse = fly_arena_take(arena, v->ld, sizeof(float));
    v->there = fly_arena_take(arena, (size_t)config->n_chips, 1);
    v->rows = fly_arena_take(arena, FLY_BLOCK_MAX * v->ld, sizeof(float));
    FLY_ASSERT(v->square && v->inverse && v->there && v->rows);
    memset(v->square, 0, (size_t)config->n_chips * sizeof(double));
    memset(v->inverse, 0, v->ld * sizeof(float));
    memset(v->there, 0, (size_t)config->n_chips);
    memset(v->rows, 0, FLY_BLOCK_MAX * v->ld * sizeof(float));
    if (config->kind == FLY_VECTORS_F32)
        fly_f32_open(v, arena);
    else if (config->kind == FLY_VECTORS_COUNTS)
        fly_counts_open(v, arena);
    else
        fly_f64_open(v, arena);
    *out = v;
    return FLY_OK;
}

const struct fly_vectors_config *fly_vectors_config(const struct fly_vectors *vectors)
{
    return &vectors->config;
}

/* ---- taking vectors ---------------------------------------------------------------------------- */

static void set_square(struct fly_vectors *v, int32_t chip, double square)
{
    v->square[chip] = square;
    v->inverse[chip] = square > 0.0 ? (float)(1.0 / sqrt(square)) : 0.0f;
    v->there[chip] = 1;
}

FLY_CLONES static int all_finite(const float *x, int32_t len)
{
    const uint32_t exponent = 0x7f800000;
    uint32_t any = 0;

    for (int32_t d = 0; d < len; d++) {
        uint32_t bits;

        memcpy(&bits, x + d, sizeof bits);
        any |= (bits & exponent) == exponent;
    }
    return !any;
}

int fly_vectors_put_f32(struct fly_vectors *vectors, int32_t chip, const float *x)
{
    FLY_ASSERT(vectors->config.kind == FLY_VECTORS_F32);
    FLY_ASSERT(chip >= 0 && chip < vectors->config.n_chips);
    if (!all_finite(x, vectors->config.width))
        for (int32_t d = 0; d < vectors->config.width; d++)
            if (!isfinite(x[d]))
                return fly_fail(FLY_ERANGE, "number %d of the vector of chip %d is not finite", d, chip);
    fly_f32_put(vectors, chip, x);
    set_square(vectors, chip, fly_f32_dot(vectors, chip, chip));
    return FLY_OK;
}

int fly_vectors_put_f64(struct fly_vectors *vectors, int32_t chip, const double *x)
{
    FLY_ASSERT(vectors->config.kind == FLY_VECTORS_F64);
    FLY_ASSERT(chip >= 0 && chip < vectors->config.n_chips);
    for (int32_t d = 0; d < vectors->config.width; d++)
        if (!isfinite(x[d]))
            return fly_fail(FLY_ERANGE, "number %d of the vector of chip %d is not finite", d, chip);
    fly_f64_put(vectors, chip, x);
    set_square(vectors, chip, fly_f64_dot(vectors, chip, chip));
    return FLY_OK;
}

int fly_vectors_put_counts(struct fly_vectors *vectors, int32_t chip, const uint32_t *x)
{
    uint64_t square;
    int rc;

    FLY_ASSERT(vectors->config.kind == FLY_VECTORS_COUNTS);
    FLY_ASSERT(chip >= 0 && chip < vectors->config.n_chips);
    rc = fly_counts_put(vectors, chip, x);
    if (rc < 0)
        return rc;
    square = vectors->raw[chip];
    if (vectors->config.debiased)
        square -= vectors->total[chip]; /* c^2 >= c for every count */
    set_square(vectors, chip, (double)square);
    return FLY_OK;
}

void fly_vectors_drop(struct fly_vectors *vectors, int32_t chip)
{
    FLY_ASSERT(chip >= 0 && chip < vectors->config.n_chips);
    if (vectors->config.kind == FLY_VECTORS_COUNTS)
        fly_counts_drop(vectors, chip);
    vectors->square[chip] = 0.0;
    vectors->inverse[chip] = 0.0f;
    vectors->there[chip] = 0;
}

int fly_vectors_too_little(const struct fly_vectors *vectors, int32_t chip)
{
    return vectors->there[chip] && vectors->config.debiased &&
           vectors->total[chip] < (uint64_t)vectors->config.min_counts;
}

int fly_vectors_usable(const struct fly_vectors *vectors, int32_t chip)
{
    return vectors->there[chip] && !fly_vectors_too_little(vectors, chip);
}

double fly_vectors_counts_needed(const struct fly_vectors *vectors)
{
    double together = 0.0, pairs = 0.0;

    FLY_ASSERT(vectors->config.kind == FLY_VECTORS_COUNTS);
    for (int32_t k = 0; k < vectors->config.n_chips; k++) {
        double total = (double)vectors->total[k];

        together += (double)vectors->raw[k] - total;
        pairs += total * (total - 1.0);
    }
    return together > 0.0 ? 3.0 * pairs / together : 0.0;
}

/* ---- similarities ------------------------------------------------------------------------------ */

static double dot_of(const struct fly_vectors *v, int32_t i, int32_t j)
{
    switch (v->config.kind) {
    case FLY_VECTORS_F32:
        return fly_f32_dot(v, i, j);
    case FLY_VECTORS_COUNTS:
        return fly_counts_dot(v, i, j);
    case FLY_VECTORS_F64:
        return fly_f64_dot(v, i, j);
    }
    return 0.0;
}

double fly_vectors_similarity(const struct fly_vectors *vectors, int32_t i, int32_t j)
{
    double s;

    FLY_ASSERT(vectors->there[i] && vectors->there[j]);
    if (vectors->square[i] == 0.0 || vectors->square[j] == 0.0)
        return 0.0;
    /* One root of the product: equal vectors have exactly 1, since sqrt(q * q) is q. */
    if (vectors->config.kind == FLY_VECTORS_COUNTS && !vectors->config.debiased)
        s = fly_counts_cosine(vectors, i, j);
    else
        s = dot_of(vectors, i, j) / sqrt(vectors->square[i] * vectors->square[j]);
    if (vectors->config.debiased)
        return s;
    return s > 1.0 ? 1.0 : s < -1.0 ? -1.0 : s;
}

double fly_vectors_error(const struct fly_vectors *vectors)
{
    /* A float dot of D products is off by at most D ulps of sum |x y| <= |x| |y|, in whatever order and
     * fused or not (Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1); the two scales,
     * their product and its own rounding add at most four, of a value that debiasing lets reach 2. */
    double ulp = 0x1p-24, sums = vectors->config.kind == FLY_VECTORS_F32 ? vectors->config.width : 0;

    return (sums / (1.0 - sums * ulp) + 10.0) * ulp;
}

static void add_unit(const struct fly_vectors *v, int32_t chip, double *sum)
{
    double scale = v->square[chip] > 0.0 ? 1.0 / sqrt(v->square[chip]) : 0.0;

    if (v->config.kind == FLY_VECTORS_COUNTS) {
        fly_counts_add(v, chip, scale, sum);
    } else if (v->config.kind == FLY_VECTORS_F32) {
        const float *x = v->x + (size_t)chip * v->padded;

        for (int32_t d = 0; d < v->config.width; d++)
            sum[d] += (double)x[d] * scale;
    } else {
        for (int32_t d = 0; d < v->config.width; d++)
            sum[d] += v->columns[(size_t)d * v->ld + (size_t)chip] * scale;
    }
}

static double unit_with(const struct fly_vectors *v, int32_t chip, const double *y)
{
    double scale = v->square[chip] > 0.0 ? 1.0 / sqrt(v->square[chip]) : 0.0, sum = 0.0;

    if (v->config.kind == FLY_VECTORS_COUNTS)
        return fly_counts_with(v, chip, y) * scale;
    for (int32_t d = 0; d < v->config.width; d++)
        sum += (v->config.kind == FLY_VECTORS_F32 ? (double)v->x[(size_t)chip * v->padded + (size_t)d]
                                                   : v->columns[(size_t)d * v->ld + (size_t)chip]) * y[d];
    return sum * scale;
}

/* A unit vector with itself; not 1 where squares are debiased. */
static double unit_square(const struct fly_vectors *v, int32_t chip)
{
    if (v->square[chip] == 0.0)
        return 0.0;
    return v->config.debiased ? (double)v->raw[chip] / v->square[chip] : 1.0;
}

double fly_vectors_mean(const struct fly_vectors *vectors, const uint8_t *members, double *scratch)
{
    double all = 0.0, own = 0.0, n = 0.0;

    memset(scratch, 0, (size_t)vectors->config.width * sizeof *scratch);
    for (int32_t k = 0; k < vectors->config.n_chips; k++)
        if (members[k]) {
            add_unit(vectors, k, scratch);
            own += unit_square(vectors, k);
            n += 1.0;
        }
    for (int32_t d = 0; d < vectors->config.width; d++)
        all += scratch[d] * scratch[d];
    return n > 1.0 ? (all - own) / (n * (n - 1.0)) : 0.0;
}

void fly_vectors_sums(const struct fly_vectors *vectors, const uint8_t *members, double weight, double *sums,
                      double *scratch)
{
    memset(scratch, 0, (size_t)vectors->config.width * sizeof *scratch);
    for (int32_t k = 0; k < vectors->config.n_chips; k++)
        if (members[k])
            add_unit(vectors, k, scratch);
    for (int32_t k = 0; k < vectors->config.n_chips; k++)
        if (members[k])
            sums[k] += weight * (unit_with(vectors, k, scratch) - unit_square(vectors, k));
}

/* ---- blocks ------------------------------------------------------------------------------------ */

void fly_vectors_block(struct fly_vectors *vectors, const int32_t *chips, int32_t count)
{
    FLY_ASSERT(count >= 1 && count <= FLY_BLOCK_MAX);
    for (int32_t a = 0; a < count; a++)
        FLY_ASSERT(chips[a] >= 0 && chips[a] < vectors->config.n_chips);
    memcpy(vectors->block, chips, (size_t)count * sizeof *chips);
    vectors->block_count = count;
    if (vectors->config.kind == FLY_VECTORS_F32)
        fly_f32_block(vectors);
    else if (vectors->config.kind == FLY_VECTORS_COUNTS)
        fly_counts_block(vectors);
}

void fly_vectors_fill(struct fly_vectors *vectors, int32_t tile)
{
    FLY_ASSERT(tile >= 0 && tile < vectors->tiles);
    if (vectors->config.kind == FLY_VECTORS_F32)
        fly_f32_fill(vectors, tile);
    else if (vectors->config.kind == FLY_VECTORS_COUNTS)
        fly_counts_fill(vectors, tile);
    else
        fly_f64_fill(vectors, tile);
}

const float *fly_vectors_row(const struct fly_vectors *vectors, int32_t at)
{
    FLY_ASSERT(at >= 0 && at < vectors->block_count);
    return vectors->rows + (size_t)at * vectors->ld;
}

int32_t fly_vectors_granule(const struct fly_vectors *vectors)
{
    return vectors->granule;
}

void fly_vectors_use_plain_loops(struct fly_vectors *vectors)
{
    vectors->granule = vectors->wide = 0;
}
