/* engine/graph/community.h: what is told of a partition: numbers by first appearance, sizes, and which
 * communities are too small to be more than an accident.
 *
 * A community of fewer than FLY_COMMUNITY_SMALLEST chips is minor (decision D9): kept in `analyze`, -4 on
 * the wire. Whether there is any structure to speak of is said by structure.h.
 *
 * Threads  one at a time.
 */
#ifndef FLY_GRAPH_COMMUNITY_H
#define FLY_GRAPH_COMMUNITY_H

#include <stdint.h>

#include "engine/base/arena.h"

enum { FLY_COMMUNITY_SMALLEST = 3, FLY_COMMUNITY_NONE = -1, FLY_COMMUNITY_MINOR = -4 };

struct fly_communities {
    int32_t n;            /* chips */
    int32_t count;        /* communities */
    int32_t minor_count;  /* those of them with fewer than FLY_COMMUNITY_SMALLEST chips */
    int32_t minor_chips;  /* chips in those */
    int32_t alone_chips;  /* chips that are a community of their own */
    int32_t *label;       /* (N) 0 .. count-1 by first appearance (golden definition 10); FLY_COMMUNITY_NONE: in none */
    int32_t *wire;        /* (N) the same, FLY_COMMUNITY_MINOR for chips of minor communities */
    int32_t *size;        /* (count) */
    int32_t *number;      /* (N) by id: community.c's own */
};

size_t fly_communities_need(int32_t n_cap);
void fly_communities_init(struct fly_communities *communities, int32_t n_cap, struct fly_arena *arena);

/* From ids 0 .. n-1 as Louvain gives them, or below 0 for chips that are not in the graph; n up to n_cap. */
void fly_communities_fill(struct fly_communities *communities, const int32_t *ids, int32_t n);

#endif
