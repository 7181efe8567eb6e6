/* tests/support/alike.h: a set of vectors or graphs with the memory they stand on, for tests. */
#ifndef FLY_TESTS_ALIKE_H
#define FLY_TESTS_ALIKE_H

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/affinity_state.h"

struct alike {
    struct fly_arena arena;
    struct fly_vectors *vectors;
    struct fly_affinity *graph;
};

static inline struct alike alike_vectors(enum fly_vectors_kind kind, int32_t n_chips, int32_t width,
                                         int debiased, int64_t min_counts)
{
    struct fly_vectors_config config = {.kind = kind, .n_chips = n_chips, .width = width,
                                        .debiased = debiased, .min_counts = min_counts};
    struct alike a = {0};

    if (fly_arena_init(&a.arena, fly_vectors_need(&config), NULL, "vectors") < 0 ||
        fly_vectors_open(&a.vectors, &config, &a.arena) < 0)
        abort();
    return a;
}

static inline struct alike alike_graph(const struct fly_affinity_config *config)
{
    struct alike a = {0};

    if (fly_arena_init(&a.arena, fly_affinity_need(config), NULL, "graph") < 0 ||
        fly_affinity_open(&a.graph, config, &a.arena) < 0)
        abort();
    return a;
}

static inline void alike_close(struct alike *a)
{
    fly_arena_fini(&a->arena);
}

/* All chips 0 .. n-1 at once, and the threshold after. */
static inline void alike_batch(struct fly_affinity *const *graphs, int32_t n_graphs, int32_t n)
{
    struct fly_exec exec = fly_exec_serial();
    int32_t *chips = malloc((size_t)n * sizeof *chips);

    for (int32_t k = 0; k < n; k++)
        chips[k] = k;
    fly_affinity_update(graphs, n_graphs, chips, n, &exec);
    fly_affinity_settle(graphs, n_graphs, 1, &exec);
    free(chips);
}

/* Are two graphs the same to the byte, in all that is promised to be? */
static inline int alike_same(const struct fly_affinity *a, const struct fly_affinity *b)
{
    return a->n == b->n && memcmp(a->code, b->code, (size_t)a->n * a->stride * sizeof *a->code) == 0 &&
           memcmp(a->bits, b->bits, (size_t)a->n * a->words * sizeof *a->bits) == 0 &&
           memcmp(a->degree, b->degree, (size_t)a->n * sizeof *a->degree) == 0 &&
           memcmp(a->member, b->member, (size_t)a->n) == 0 &&
           memcmp(a->histogram, b->histogram, sizeof *a->histogram) == 0 && a->members == b->members &&
           a->m2 == b->m2 && a->edges == b->edges && a->bin == b->bin && a->cut.value == b->cut.value &&
           a->cut.maybe == b->cut.maybe && a->cut.sure == b->cut.sure;
}

#endif
