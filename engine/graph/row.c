#include "engine/graph/row.h"

#include <math.h>
#include <string.h>

#include "engine/graph/row_wide.h"
#include "engine/graph/wide.h"

/* One source, two machines: integers are exact, and no float operation is contracted or reordered, so the
 * clones differ in speed alone. The third machine has row_wide.c. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(FLY_SANITIZE_thread)
#define CLONES __attribute__((target_clones("default", "avx2")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

/* Eight lanes fill a register of the second machine. */
enum { LANES = 8 };

typedef uint32_t u32_lanes __attribute__((vector_size(32)));
typedef int32_t i32_lanes __attribute__((vector_size(32)));
typedef uint16_t u16_lanes __attribute__((vector_size(16)));
typedef float f32_lanes __attribute__((vector_size(32)));

/* Weights of 8 pairs whose edges are the low bits of `edges`; 0 where there is none. Vectors are passed
 * by address: by value their calling convention would depend on the machine. */
INLINE void values(u32_lanes *out, uint32_t edges, const uint16_t *weight)
{
    const u32_lanes at = {0, 1, 2, 3, 4, 5, 6, 7};
    u32_lanes set = ((u32_lanes){0} + edges) >> at & 1;

    if (weight) {
        u16_lanes w;

        memcpy(&w, weight, sizeof w);
        *out = __builtin_convertvector(w, u32_lanes) & -set;
    } else {
        *out = set;
    }
}

/* Rows of weights end at a multiple of 32, so a row is walked in halves of a word. */
INLINE void add_lanes(uint32_t *to, uint32_t *from, uint64_t word, const uint16_t *weight, size_t halves)
{
    for (size_t q = 0; q < 4 * halves; q++) {
        u32_lanes w, sum;

        values(&w, (uint32_t)(word >> (LANES * q)) & 0xff, weight ? weight + LANES * q : NULL);
        if (to) {
            memcpy(&sum, to + LANES * q, sizeof sum);
            sum += w;
            memcpy(to + LANES * q, &sum, sizeof sum);
        }
        if (from) {
            memcpy(&sum, from + LANES * q, sizeof sum);
            sum -= w;
            memcpy(from + LANES * q, &sum, sizeof sum);
        }
    }
}

INLINE void add_row(const uint64_t *bits, const uint16_t *weight, uint32_t *to, uint32_t *from, int32_t n)
{
    size_t whole = (size_t)n / 64, rest = (size_t)n % 64;

    for (size_t b = 0; b < whole; b++)
        add_lanes(to ? to + 64 * b : NULL, from ? from + 64 * b : NULL, bits[b],
                  weight ? weight + 64 * b : NULL, 2);
    if (rest)
        add_lanes(to ? to + 64 * whole : NULL, from ? from + 64 * whole : NULL, bits[whole],
                  weight ? weight + 64 * whole : NULL, rest > 32 ? 2 : 1);
}

CLONES static void move_row(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from)
{
    const uint64_t *bits = graph->bits + (size_t)i * graph->words;
    const uint16_t *weight = graph->weight ? graph->weight + (size_t)i * graph->stride : NULL;

    /* The branches stand out here so that none is left in the loops. */
    if (to && from && weight)
        add_row(bits, weight, to, from, graph->n);
    else if (to && from)
        add_row(bits, NULL, to, from, graph->n);
    else if (to && weight)
        add_row(bits, weight, to, NULL, graph->n);
    else if (to)
        add_row(bits, NULL, to, NULL, graph->n);
    else if (from && weight)
        add_row(bits, weight, NULL, from, graph->n);
    else if (from)
        add_row(bits, NULL, NULL, from, graph->n);
}

void fly_row_move(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from)
{
    if (fly_wide())
        fly_row_move_wide(graph, i, to, from);
    else
        move_row(graph, i, to, from);
}

CLONES static void add_part(const struct fly_dense *graph, int32_t i, uint32_t *to, size_t first, size_t len)
{
    const uint64_t *bits = graph->bits + (size_t)i * graph->words + first / 64;
    const uint16_t *weight = graph->weight ? graph->weight + (size_t)i * graph->stride + first : NULL;
    size_t left = (size_t)graph->n - first;
    int32_t n = (int32_t)(len < left ? len : left);

    if (weight)
        add_row(bits, weight, to + first, NULL, n);
    else
        add_row(bits, NULL, to + first, NULL, n);
}

void fly_row_add_part(const struct fly_dense *graph, const int32_t *rows, int32_t count, uint32_t *to,
                      size_t first, size_t len)
{
    if (fly_wide())
        fly_row_add_part_wide(graph, rows, count, to, first, len);
    else
        for (int32_t r = 0; r < count; r++)
            add_part(graph, rows[r], to, first, len);
}

INLINE float best_of_block(uint64_t word, const uint16_t *weight, const float *k, float pull, size_t halves)
{
    f32_lanes best = (f32_lanes){0} - INFINITY;
    float most;

    for (size_t q = 0; q < 4 * halves; q++) {
        u32_lanes w;
        f32_lanes pulled, gain;
        i32_lanes more, chosen;

        values(&w, (uint32_t)(word >> (LANES * q)) & 0xff, weight ? weight + LANES * q : NULL);
        memcpy(&pulled, k + LANES * q, sizeof pulled);
        /* Weights fit in 16 bits, and machines convert signed numbers faster. */
        gain = __builtin_convertvector((i32_lanes)w, f32_lanes) - pulled * pull;
        more = gain > best;
        chosen = ((i32_lanes)gain & more) | ((i32_lanes)best & ~more);
        best = (f32_lanes)chosen;
    }
    most = best[0];
    for (int l = 1; l < LANES; l++)
        most = best[l] > most ? best[l] : most;
    return most;
}

INLINE float best_of_row(const uint64_t *bits, const uint16_t *weight, int32_t n, const float *k, float pull,
                         float *block_best)
{
    size_t whole = (size_t)n / 64, rest = (size_t)n % 64;
    float best = -INFINITY;

    for (size_t b = 0; b < whole; b++) {
        block_best[b] = best_of_block(bits[b], weight ? weight + 64 * b : NULL, k + 64 * b, pull, 2);
        best = block_best[b] > best ? block_best[b] : best;
    }
    if (rest) {
        block_best[whole] = best_of_block(bits[whole], weight ? weight + 64 * whole : NULL, k + 64 * whole,
                                          pull, rest > 32 ? 2 : 1);
        best = block_best[whole] > best ? block_best[whole] : best;
    }
    return best;
}

CLONES static float best(const struct fly_dense *graph, int32_t i, const float *k, float pull, float *block_best)
{
    const uint64_t *bits = graph->bits + (size_t)i * graph->words;

    if (graph->weight)
        return best_of_row(bits, graph->weight + (size_t)i * graph->stride, graph->n, k, pull, block_best);
    return best_of_row(bits, NULL, graph->n, k, pull, block_best);
}

float fly_row_best(const struct fly_dense *graph, int32_t i, const float *k, float pull, float *block_best)
{
    return fly_wide() ? fly_row_best_wide(graph, i, k, pull, block_best) : best(graph, i, k, pull, block_best);
}
