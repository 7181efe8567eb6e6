/* engine/graph/groups.h: Louvain's method on a small matrix of integers, the upper levels.
 *
 * Nodes are groups of chips, a few to a few hundred; the matrix fits in cache and plain loops do. Moves
 * are decided as in parting.h, exactly and with the same ties, groups in index order, level upon level
 * until none moves.
 *
 * Memory   two matrices from the arena at init.
 */
#ifndef FLY_GRAPH_GROUPS_H
#define FLY_GRAPH_GROUPS_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/graph/modularity.h"

struct fly_groups {
    int32_t cap;
    int64_t *links;    /* (count, count) filled by the caller, symmetric; spoiled by join */
    int64_t *degrees;  /* (count) filled by the caller; spoiled by join */
    int32_t *joined;   /* (count) after join: the same number where groups are united, 0 .. count-1 */
    /* groups.c's own: */
    int64_t *other;    /* (count, count) */
    int64_t *k;        /* (count) by unit */
    int64_t *to;       /* (count) by unit */
    int32_t *unit;     /* (count) */
    int32_t *size;     /* (count) by unit */
};

size_t fly_groups_need(int32_t cap);
void fly_groups_init(struct fly_groups *groups, int32_t cap, struct fly_arena *arena);

/* Unite groups while that raises the modularity. 1 when any two were united. */
int fly_groups_join(struct fly_groups *groups, int32_t count, int64_t m2, int32_t resolution);

#endif
