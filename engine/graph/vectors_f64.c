#include <math.h>
#include <string.h>

#include "engine/base/clones.h"
#include "engine/graph/vectors_kinds.h"

size_t fly_f64_need(const struct fly_vectors_config *config)
{
    size_t ld = (size_t)fly_tile_count(config->n_chips) * (size_t)fly_tile_width(config->n_chips);

    return fly_arena_need((size_t)config->width * ld, sizeof(double));
}

void fly_f64_open(struct fly_vectors *vectors, struct fly_arena *arena)
{
    size_t len = (size_t)vectors->config.width * vectors->ld;

    vectors->columns = fly_arena_take(arena, len, sizeof(double));
    FLY_ASSERT(vectors->columns);
    memset(vectors->columns, 0, len * sizeof(double));
}

void fly_f64_put(struct fly_vectors *vectors, int32_t chip, const double *x)
{
    double largest = 0.0;
    int exponent;

    for (int32_t d = 0; d < vectors->config.width; d++)
        largest = fmax(largest, fabs(x[d]));
    frexp(largest, &exponent);
    for (int32_t d = 0; d < vectors->config.width; d++)
        vectors->columns[(size_t)d * vectors->ld + (size_t)chip] = ldexp(x[d], -exponent);
}

/* One running sum, as in add_column: both give the same bits. */
double fly_f64_dot(const struct fly_vectors *vectors, int32_t i, int32_t j)
{
    double sum = 0.0;

    for (int32_t d = 0; d < vectors->config.width; d++) {
        const double *column = vectors->columns + (size_t)d * vectors->ld;

        sum += column[i] * column[j];
    }
    return sum;
}

FLY_CLONES static void add_column(double *sum, const double *column, double x, int32_t len)
{
    for (int32_t j = 0; j < len; j++)
        sum[j] += x * column[j];
}

FLY_CLONES static void scale(float *row, const double *sum, double by, const float *inverse, int32_t len)
{
    for (int32_t j = 0; j < len; j++)
        row[j] = (float)(sum[j] * (by * (double)inverse[j]));
}

void fly_f64_fill(struct fly_vectors *vectors, int32_t tile)
{
    const struct fly_vectors *v = vectors;
    size_t at = (size_t)tile * (size_t)v->tile;
    double sum[FLY_TILE_MAX];

    for (int32_t a = 0; a < v->block_count; a++) {
        memset(sum, 0, sizeof sum);
        for (int32_t d = 0; d < v->config.width; d++) {
            const double *column = v->columns + (size_t)d * v->ld;

            add_column(sum, column + at, column[v->block[a]], v->tile);
        }
        scale(v->rows + (size_t)a * v->ld + at, sum, (double)v->inverse[v->block[a]], v->inverse + at,
              v->tile);
    }
}
