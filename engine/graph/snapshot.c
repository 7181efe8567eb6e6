#include "engine/graph/snapshot.h"

#include <string.h>

#include "engine/base/err.h"

static size_t words_of(int32_t n)
{
    return ((size_t)n + 63) / 64;
}

static size_t stride_of(int32_t n)
{
    return ((size_t)n + 31) / 32 * 32;
}

size_t fly_snapshot_need(int32_t n_cap, int weighted)
{
    size_t sum = fly_arena_need((size_t)n_cap, words_of(n_cap) * sizeof(uint64_t));

    sum = fly_size_add(sum, fly_arena_need((size_t)n_cap, sizeof(int64_t)));
    if (weighted)
        sum = fly_size_add(sum, fly_arena_need((size_t)n_cap, stride_of(n_cap) * sizeof(uint16_t)));
    return sum;
}

void fly_snapshot_init(struct fly_snapshot *snapshot, int32_t n_cap, int weighted, struct fly_arena *arena)
{
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->n_cap = n_cap;
    snapshot->bits = fly_arena_take(arena, (size_t)n_cap, words_of(n_cap) * sizeof(uint64_t));
    snapshot->degree = fly_arena_take(arena, (size_t)n_cap, sizeof(int64_t));
    FLY_ASSERT(n_cap == 0 || (snapshot->bits && snapshot->degree));
    if (weighted) {
        snapshot->weight = fly_arena_take(arena, (size_t)n_cap, stride_of(n_cap) * sizeof(uint16_t));
        FLY_ASSERT(n_cap == 0 || snapshot->weight);
    }
}

void fly_snapshot_take(struct fly_snapshot *snapshot, const struct fly_dense *graph)
{
    size_t n = (size_t)graph->n, words = words_of(graph->n), stride = stride_of(graph->n);

    FLY_ASSERT(graph->n <= snapshot->n_cap);
    FLY_ASSERT(!graph->weight || snapshot->weight);
    for (size_t i = 0; i < n; i++)
        memcpy(snapshot->bits + i * words, graph->bits + i * graph->words, words * sizeof(uint64_t));
    for (size_t i = 0; graph->weight && i < n; i++)
        memcpy(snapshot->weight + i * stride, graph->weight + i * graph->stride, stride * sizeof(uint16_t));
    if (n > 0)
        memcpy(snapshot->degree, graph->degree, n * sizeof(int64_t));
    snapshot->graph = (struct fly_dense){.n = graph->n,
                                         .bits = snapshot->bits,
                                         .words = words,
                                         .weight = graph->weight ? snapshot->weight : NULL,
                                         .stride = stride,
                                         .degree = snapshot->degree,
                                         .m2 = graph->m2};
}
