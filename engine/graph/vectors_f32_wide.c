/* Products of a block of floats with a tile of chips, for AVX-512 (wide.h).
 *
 * The block lies transposed, its rows side by side in lanes; each column's numbers meet them one by one, in
 * one fused sum a pair from the first number to the last. So a product is the same in every place and under
 * exchange, and nothing of the columns is copied: with 64 rows or fewer a library's packing costs as much as
 * its products (measured).
 */
#include <string.h>

#include "engine/base/clones.h"
#include "engine/graph/vectors_kinds.h"
#include "engine/graph/wide.h"

#if FLY_HAS_WIDE

#include <immintrin.h>

enum { LANES = 16, STRIP = 48 };

void fly_f32_block_wide(struct fly_vectors *v)
{
    float *to = v->block_x; /* (padded, FLY_BLOCK_MAX) here */

    for (size_t from = 0; from < v->padded; from += LANES)
        for (int32_t a = 0; a < FLY_BLOCK_MAX; a++) {
            const float *x = a < v->block_count ? v->x + (size_t)v->block[a] * v->padded + from : NULL;

            for (size_t d = 0; d < LANES; d++)
                to[(from + d) * FLY_BLOCK_MAX + (size_t)a] = x ? x[d] : 0.0f;
        }
}

/* sums (columns, FLY_BLOCK_MAX): 16 * vectors lanes of each. vectors * columns sums fit in registers. */
#define PRODUCTS(vectors, columns)                                                                           \
    FLY_WIDE static void products_##vectors(const struct fly_vectors *v, const float *x, float *sums)        \
    {                                                                                                        \
        __m512 sum[columns][vectors];                                                                        \
                                                                                                             \
        FLY_UNROLL for (int c = 0; c < (columns); c++)                                                       \
            FLY_UNROLL for (int l = 0; l < (vectors); l++)                                                   \
                sum[c][l] = _mm512_setzero_ps();                                                             \
        for (size_t d = 0; d < v->padded; d++) {                                                             \
            const float *block = v->block_x + d * FLY_BLOCK_MAX;                                             \
            __m512 b[vectors];                                                                               \
                                                                                                             \
            FLY_UNROLL for (int l = 0; l < (vectors); l++)                                                   \
                b[l] = _mm512_loadu_ps(block + LANES * l);                                                   \
            FLY_UNROLL for (int c = 0; c < (columns); c++) {                                                 \
                __m512 by = _mm512_set1_ps(x[(size_t)c * v->padded + d]);                                    \
                                                                                                             \
                FLY_UNROLL for (int l = 0; l < (vectors); l++)                                               \
                    sum[c][l] = _mm512_fmadd_ps(b[l], by, sum[c][l]);                                        \
            }                                                                                                \
        }                                                                                                    \
        FLY_UNROLL for (int c = 0; c < (columns); c++)                                                       \
            FLY_UNROLL for (int l = 0; l < (vectors); l++)                                                   \
                _mm512_storeu_ps(sums + c * FLY_BLOCK_MAX + LANES * l, sum[c][l]);                           \
    }

PRODUCTS(1, 12)
PRODUCTS(2, 12)
PRODUCTS(3, 8)
PRODUCTS(4, 6)

static void products(const struct fly_vectors *v, size_t from, size_t columns, float *sums)
{
    static const size_t abreast[] = {12, 12, 12, 8, 6};
    int32_t vectors = (v->block_count + LANES - 1) / LANES;

    for (size_t c = 0; c < columns; c += abreast[vectors]) {
        /* The last ones overlap those before. */
        size_t at = c + abreast[vectors] <= columns ? c : columns - abreast[vectors];
        const float *x = v->x + (from + at) * v->padded;
        float *to = sums + at * FLY_BLOCK_MAX;

        if (vectors == 4)
            products_4(v, x, to);
        else if (vectors == 3)
            products_3(v, x, to);
        else if (vectors == 2)
            products_2(v, x, to);
        else
            products_1(v, x, to);
    }
}

/* Cosines of a strip into the rows. The two lengths are multiplied first, as in vectors_f32.c. */
FLY_WIDE static void scale(struct fly_vectors *v, size_t from, size_t columns, const float *sums)
{
    const __m512i apart = _mm512_mullo_epi32(_mm512_set1_epi32(FLY_BLOCK_MAX),
                                             _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));

    for (int32_t a = 0; a < v->block_count; a++) {
        float *row = v->rows + (size_t)a * v->ld + from;
        __m512 by = _mm512_set1_ps(v->inverse[v->block[a]]);

        for (size_t c = 0; c < columns; c += LANES) {
            __m512 sum = _mm512_i32gather_ps(apart, sums + c * FLY_BLOCK_MAX + a, 4);

            _mm512_storeu_ps(row + c,
                             _mm512_mul_ps(sum, _mm512_mul_ps(by, _mm512_loadu_ps(v->inverse + from + c))));
        }
    }
}

void fly_f32_fill_wide(struct fly_vectors *v, int32_t tile)
{
    size_t first = (size_t)tile * (size_t)v->tile, end = first + (size_t)v->tile;
    size_t reach = ((size_t)v->reach + LANES - 1) / LANES * LANES;
    float sums[STRIP * FLY_BLOCK_MAX];

    /* Behind the last chip that ever came there is nothing to compare with. */
    if (end > reach)
        end = reach;
    for (size_t from = first; from < end; from += STRIP) {
        size_t columns = end - from < STRIP ? end - from : STRIP;

        products(v, from, columns, sums);
        scale(v, from, columns, sums);
    }
}

#else

void fly_f32_block_wide(struct fly_vectors *v)
{
    (void)v;
}

void fly_f32_fill_wide(struct fly_vectors *v, int32_t tile)
{
    (void)v, (void)tile;
}

#endif
