#include "engine/graph/row_wide.h"

#include "engine/base/err.h"
#include "engine/graph/wide.h"

#if FLY_HAS_WIDE

#include <immintrin.h>
#include <math.h>

enum { LANES = 16 };

/* Weights of 16 pairs, 0 where there is no edge. */
FLY_WIDE_INLINE __m512i values(uint64_t edges, const uint16_t *weight)
{
    if (!weight)
        return _mm512_maskz_set1_epi32((__mmask16)edges, 1);
    return _mm512_maskz_cvtepu16_epi32((__mmask16)edges, _mm256_loadu_si256((const __m256i *)weight));
}

/* Rows of weights end at a multiple of 32, so a row is walked in halves of a word. */
FLY_WIDE_INLINE size_t quarters_of(int32_t n, size_t block)
{
    size_t left = (size_t)n - block * FLY_ROW_BLOCK;

    return left > 32 ? 4 : 2;
}

FLY_WIDE_INLINE void move_row(const uint64_t *bits, const uint16_t *weight, uint32_t *to, uint32_t *from,
                              int32_t n)
{
    for (size_t b = 0; b < fly_row_lanes(n) / 64; b++) {
        uint64_t word = bits[b];

        for (size_t q = 0; q < quarters_of(n, b); q++, word >>= LANES) {
            size_t at = 64 * b + LANES * q;
            __m512i w = values(word, weight ? weight + at : NULL);

            if (to)
                _mm512_storeu_si512(to + at, _mm512_add_epi32(_mm512_loadu_si512(to + at), w));
            if (from)
                _mm512_storeu_si512(from + at, _mm512_sub_epi32(_mm512_loadu_si512(from + at), w));
        }
    }
}

FLY_WIDE void fly_row_move_wide(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from)
{
    const uint64_t *bits = graph->bits + (size_t)i * graph->words;
    const uint16_t *weight = graph->weight ? graph->weight + (size_t)i * graph->stride : NULL;

    if (to && from && weight)
        move_row(bits, weight, to, from, graph->n);
    else if (to && from)
        move_row(bits, NULL, to, from, graph->n);
    else if (to && weight)
        move_row(bits, weight, to, NULL, graph->n);
    else if (to)
        move_row(bits, NULL, to, NULL, graph->n);
    else if (from && weight)
        move_row(bits, weight, NULL, from, graph->n);
    else if (from)
        move_row(bits, NULL, NULL, from, graph->n);
}

/* Four rows at a time, so that the column is read and written a quarter as often. */
FLY_WIDE_INLINE void add_rows(const struct fly_dense *graph, const int32_t *rows, int32_t count, uint32_t *to,
                              size_t first, size_t end, int weighted)
{
    const uint64_t *bits[4];
    const uint16_t *weight[4] = {NULL};

    for (int32_t r = 0; r < count; r++) {
        bits[r] = graph->bits + (size_t)rows[r] * graph->words;
        weight[r] = weighted ? graph->weight + (size_t)rows[r] * graph->stride : NULL;
    }
    for (size_t b = first / 64; b < end / 64; b++)
        for (size_t q = 0; q < quarters_of(graph->n, b); q++) {
            size_t at = 64 * b + LANES * q;
            __m512i sum = _mm512_loadu_si512(to + at);

            for (int32_t r = 0; r < count; r++)
                sum = _mm512_add_epi32(sum, values(bits[r][b] >> (LANES * q), weighted ? weight[r] + at : NULL));
            _mm512_storeu_si512(to + at, sum);
        }
}

FLY_WIDE void fly_row_add_part_wide(const struct fly_dense *graph, const int32_t *rows, int32_t count,
                                    uint32_t *to, size_t first, size_t len)
{
    size_t lanes = fly_row_lanes(graph->n), end = first + len < lanes ? first + len : lanes;
    int32_t at = 0;

    for (; at + 4 <= count; at += 4)
        if (graph->weight)
            add_rows(graph, rows + at, 4, to, first, end, 1);
        else
            add_rows(graph, rows + at, 4, to, first, end, 0);
    for (; at < count; at++)
        if (graph->weight)
            add_rows(graph, rows + at, 1, to, first, end, 1);
        else
            add_rows(graph, rows + at, 1, to, first, end, 0);
}

/* Products and differences are rounded each on its own, as in row.c. */
FLY_WIDE_INLINE float best_of_row(const uint64_t *bits, const uint16_t *weight, int32_t n, const float *k,
                                  float pull, float *block_best)
{
    __m512 all = _mm512_set1_ps(-INFINITY), by = _mm512_set1_ps(pull);

    for (size_t b = 0; b < fly_row_lanes(n) / 64; b++) {
        __m512 best = _mm512_set1_ps(-INFINITY);
        uint64_t word = bits[b];

        for (size_t q = 0; q < quarters_of(n, b); q++, word >>= LANES) {
            size_t at = 64 * b + LANES * q;
            __m512 pulled = _mm512_mul_ps(_mm512_loadu_ps(k + at), by);
            __m512 w = _mm512_cvtepi32_ps(values(word, weight ? weight + at : NULL));

            /* A gain that is no number loses: max gives the second then. */
            best = _mm512_max_ps(_mm512_sub_ps(w, pulled), best);
        }
        all = _mm512_max_ps(all, best);
        block_best[b] = _mm512_reduce_max_ps(best);
    }
    return _mm512_reduce_max_ps(all);
}

FLY_WIDE float fly_row_best_wide(const struct fly_dense *graph, int32_t i, const float *k, float pull,
                                 float *block_best)
{
    const uint64_t *bits = graph->bits + (size_t)i * graph->words;

    if (graph->weight)
        return best_of_row(bits, graph->weight + (size_t)i * graph->stride, graph->n, k, pull, block_best);
    return best_of_row(bits, NULL, graph->n, k, pull, block_best);
}

#else

void fly_row_move_wide(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from)
{
    fly_row_move_ref(graph, i, to, from);
    FLY_ASSERT(!"wide");
}

void fly_row_add_part_wide(const struct fly_dense *graph, const int32_t *rows, int32_t count, uint32_t *to,
                           size_t first, size_t len)
{
    (void)graph, (void)rows, (void)count, (void)to, (void)first, (void)len;
    FLY_ASSERT(!"wide");
}

float fly_row_best_wide(const struct fly_dense *graph, int32_t i, const float *k, float pull,
                        float *block_best)
{
    FLY_ASSERT(!"wide");
    return fly_row_best_ref(graph, i, k, pull, block_best);
}

#endif
