#include "engine/graph/modularity.h"

#include <string.h>

#include "engine/graph/row.h"

double fly_score_q(fly_score score, int64_t m2)
{
    return m2 > 0 ? (double)score / FLY_RESOLUTION_ONE / (double)m2 / (double)m2 : 0.0;
}

size_t fly_modularity_need(int32_t n)
{
    return 2 * fly_arena_need((size_t)n, sizeof(int64_t));
}

/* Sum a node's edges by the community of their other end. */
static void strengths(const struct fly_dense *graph, int32_t i, const int32_t *labels, int64_t *to)
{
    memset(to, 0, (size_t)graph->n * sizeof *to);
    for (int32_t j = 0; j < graph->n; j++)
        to[labels[j]] += fly_row_weight(graph, i, j);
}

static int64_t *degrees_of(const struct fly_dense *graph, const int32_t *labels, struct fly_arena *arena)
{
    int64_t *k = fly_arena_take(arena, (size_t)graph->n, sizeof *k);

    FLY_ASSERT(k || graph->n == 0);
    memset(k, 0, (size_t)graph->n * sizeof *k);
    for (int32_t i = 0; i < graph->n; i++) {
        FLY_ASSERT(labels[i] >= 0 && labels[i] < graph->n);
        k[labels[i]] += graph->degree[i];
    }
    return k;
}

fly_score fly_modularity(const struct fly_dense *graph, int32_t resolution, const int32_t *labels,
                         struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    int64_t *k = degrees_of(graph, labels, arena), inside = 0;
    fly_score squares = 0;

    for (int32_t i = 0; i < graph->n; i++)
        for (int32_t j = 0; j < graph->n; j++)
            if (labels[i] == labels[j])
                inside += fly_row_weight(graph, i, j);
    for (int32_t c = 0; c < graph->n; c++)
        squares += (fly_score)k[c] * k[c];
    fly_arena_reset(arena, mark);
    return (fly_score)graph->m2 * FLY_RESOLUTION_ONE * inside - squares * resolution;
}

int32_t fly_improving_moves(const struct fly_dense *graph, int32_t resolution, const int32_t *labels,
                            struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    int64_t *k = degrees_of(graph, labels, arena);
    int64_t *to = fly_arena_take(arena, (size_t)graph->n, sizeof *to);
    int32_t improving = 0;

    for (int32_t i = 0; i < graph->n; i++) {
        int32_t own = labels[i];
        fly_score stay, best = 0; /* alone */

        strengths(graph, i, labels, to);
        stay = fly_join_gain(graph->m2, resolution, to[own], graph->degree[i], k[own] - graph->degree[i]);
        for (int32_t c = 0; c < graph->n; c++) {
            fly_score gain = fly_join_gain(graph->m2, resolution, to[c], graph->degree[i], k[c]);

            if (c != own && to[c] > 0 && gain > best)
                best = gain;
        }
        improving += best > stay;
    }
    fly_arena_reset(arena, mark);
    return improving;
}
