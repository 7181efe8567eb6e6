#include "engine/graph/vectors_kinds.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/clones.h"
#include "engine/graph/vectors.h"
#include "engine/graph/wide.h"

/* Eight sums side by side: the order of summation is written down here, so it is the same with any
 * vector width the compiler has. */
typedef double lanes __attribute__((vector_size(64)));
typedef float f32_lanes __attribute__((vector_size(32)));
enum { LANES = 8 };

static size_t padded_width(int32_t width)
{
    return ((size_t)width + 63) / 64 * 64;
}

size_t fly_f32_need(const struct fly_vectors_config *config)
{
    size_t padded = padded_width(config->width);
    size_t ld = (size_t)fly_tile_count(config->n_chips) * (size_t)fly_tile_width(config->n_chips);

    return fly_size_add(fly_arena_need(ld * padded, sizeof(float)),
                        fly_arena_need(FLY_BLOCK_MAX * padded, sizeof(float)));
}

static void multiply(const struct fly_vectors *v, int32_t rows, const float *x, float *to, size_t ld)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, v->tile, (int)v->padded, 1.0f, v->block_x,
                (int)v->padded, x, (int)v->padded, 0.0f, to, (int)ld);
}

/* ---- is a product the same in every place? ------------------------------------------------------ */

/* Some vectors in turn along the rows of a call, others along its columns. Their numbers share no factor
 * with a kernel's, so each pair comes by in every kind of place. */
enum { TRIAL_A = 7, TRIAL_B = 5 };

static void trial_vector(float *x, size_t width, size_t padded, uint64_t which)
{
    memset(x, 0, padded * sizeof *x);
    for (size_t d = 0; d < width; d++)
        x[d] = (float)(fly_rng_at(which << 32 | d) >> 40) * 0x1p-24f;
}

/* Trial vectors `in turn` from number `from` on, in n rows. */
static void trial_rows(const struct fly_vectors *v, float *x, int32_t n, int32_t turn, int32_t from)
{
    for (int32_t i = 0; i < n; i++)
        if (i < turn)
            trial_vector(x + (size_t)i * v->padded, (size_t)v->config.width, v->padded,
                         (uint64_t)(from + i));
        else
            memcpy(x + (size_t)i * v->padded, x + (size_t)(i % turn) * v->padded, v->padded * sizeof *x);
}

/* With 4 rows, with 4 + granule and so on, products are the same in all places, and the same for x, y as
 * for y, x. `expect` is filled by the first call. */
static int same_everywhere(struct fly_vectors *v, int32_t granule)
{
    float expect[TRIAL_A][TRIAL_B];
    int same = 1;

    for (int32_t exchanged = 0; same && exchanged < 2; exchanged++) {
        int32_t turn_a = exchanged ? TRIAL_B : TRIAL_A, turn_b = exchanged ? TRIAL_A : TRIAL_B;

        trial_rows(v, v->block_x, FLY_BLOCK_MAX, turn_a, exchanged ? TRIAL_A : 0);
        trial_rows(v, v->x, v->tile, turn_b, exchanged ? 0 : TRIAL_A);
        for (int32_t rows = FLY_BLOCK_MAX; same && rows > 0; rows -= granule) {
            multiply(v, rows, v->x, v->rows, v->ld);
            if (!exchanged && rows == FLY_BLOCK_MAX)
                for (int32_t i = 0; i < TRIAL_A; i++)
                    for (int32_t j = 0; j < TRIAL_B; j++)
                        expect[i][j] = v->rows[(size_t)i * v->ld + (size_t)j];
            for (int32_t i = 0; i < rows; i++)
                for (int32_t j = 0; j < v->tile; j++) {
                    int32_t a = i % turn_a, b = j % turn_b;

                    same &= v->rows[(size_t)i * v->ld + (size_t)j] ==
                            (exchanged ? expect[b][a] : expect[a][b]);
                }
        }
    }
    return same;
}

void fly_f32_open(struct fly_vectors *vectors, struct fly_arena *arena)
{
    struct fly_vectors *v = vectors;

    v->padded = padded_width(v->config.width);
    v->x = fly_arena_take(arena, v->ld * v->padded, sizeof(float));
    v->block_x = fly_arena_take(arena, FLY_BLOCK_MAX * v->padded, sizeof(float));
    FLY_ASSERT(v->x && v->block_x);
    memset(v->x, 0, v->ld * v->padded * sizeof(float));
    v->wide = fly_wide();
    v->granule = v->wide;
    for (int32_t granule = 4; !v->granule && granule <= FLY_BLOCK_MAX; granule *= 2)
        if (same_everywhere(v, granule))
            v->granule = granule;
    memset(v->x, 0, (size_t)v->tile * v->padded * sizeof(float));
    memset(v->block_x, 0, FLY_BLOCK_MAX * v->padded * sizeof(float));
    memset(v->rows, 0, FLY_BLOCK_MAX * v->ld * sizeof(float));
}

/* ---- vectors ------------------------------------------------------------------------------------ */

FLY_CLONES static double dot(const float *x, const float *y, size_t len)
{
    lanes a = {0}, b = {0};

    for (size_t i = 0; i < len; i += 2 * LANES) {
        f32_lanes x0, x1, y0, y1;

        memcpy(&x0, x + i, sizeof x0);
        memcpy(&x1, x + i + LANES, sizeof x1);
        memcpy(&y0, y + i, sizeof y0);
        memcpy(&y1, y + i + LANES, sizeof y1);
        a += __builtin_convertvector(x0, lanes) * __builtin_convertvector(y0, lanes);
        b += __builtin_convertvector(x1, lanes) * __builtin_convertvector(y1, lanes);
    }
    a += b;
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* A power of two changes no digit; in double nothing overflows or vanishes. */
FLY_CLONES static void scale_by(float *x, double by, size_t len)
{
    for (size_t d = 0; d < len; d++)
        x[d] = (float)((double)x[d] * by);
}

void fly_f32_put(struct fly_vectors *vectors, int32_t chip, const float *x)
{
    float *to = vectors->x + (size_t)chip * vectors->padded;
    int exponent;

    if (chip >= vectors->reach)
        vectors->reach = chip + 1;
    memcpy(to, x, (size_t)vectors->config.width * sizeof *to);
    frexp(sqrt(dot(to, to, vectors->padded)), &exponent);
    /* Brought near length 1, no product overflows or vanishes that matters. */
    scale_by(to, ldexp(1.0, -exponent), (size_t)vectors->config.width);
}

double fly_f32_dot(const struct fly_vectors *vectors, int32_t i, int32_t j)
{
    return dot(vectors->x + (size_t)i * vectors->padded, vectors->x + (size_t)j * vectors->padded,
               vectors->padded);
}

void fly_f32_block(struct fly_vectors *vectors)
{
    size_t padded = vectors->padded;

    if (vectors->wide) {
        fly_f32_block_wide(vectors);
        return;
    }
    for (int32_t a = 0; a < vectors->block_count; a++)
        memcpy(vectors->block_x + (size_t)a * padded, vectors->x + (size_t)vectors->block[a] * padded,
               padded * sizeof(float));
    for (int32_t a = vectors->block_count; vectors->granule && a % vectors->granule; a++)
        memset(vectors->block_x + (size_t)a * padded, 0, padded * sizeof(float));
}

FLY_CLONES static void scale(float *row, float by, const float *inverse, int32_t len)
{
    /* The two lengths are multiplied first: the result must not know which of the two is the row. */
    for (int32_t j = 0; j < len; j++)
        row[j] *= by * inverse[j];
}

void fly_f32_fill(struct fly_vectors *vectors, int32_t tile)
{
    struct fly_vectors *v = vectors;
    size_t at = (size_t)tile * (size_t)v->tile;

    if (v->wide) {
        fly_f32_fill_wide(v, tile);
        return;
    }
    if (v->granule) {
        int32_t rows = (v->block_count + v->granule - 1) / v->granule * v->granule;

        multiply(v, rows, v->x + at * v->padded, v->rows + at, v->ld);
    } else {
        for (int32_t a = 0; a < v->block_count; a++)
            for (int32_t j = 0; j < v->tile; j++)
                v->rows[(size_t)a * v->ld + at + (size_t)j] =
                    (float)dot(v->block_x + (size_t)a * v->padded, v->x + (at + (size_t)j) * v->padded,
                               v->padded);
    }
    for (int32_t a = 0; a < v->block_count; a++)
        scale(v->rows + (size_t)a * v->ld + at, v->inverse[v->block[a]], v->inverse + at, v->tile);
}
