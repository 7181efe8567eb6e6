/* engine/graph/snapshot.h: a copy of a dense graph, so that a task in the background has one that stands.
 *
 * Cost     one pass over the rows: N^2 / 8 bytes of bits and 2 N^2 of weights.
 * Memory   from the arena at init, for graphs up to n_cap.
 */
#ifndef FLY_GRAPH_SNAPSHOT_H
#define FLY_GRAPH_SNAPSHOT_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/graph/dense.h"

struct fly_snapshot {
    struct fly_dense graph; /* of use after take; valid until the next */
    /* snapshot.c's own: */
    int32_t n_cap;
    uint64_t *bits;
    uint16_t *weight; /* NULL: room for binary graphs only */
    int64_t *degree;
};

size_t fly_snapshot_need(int32_t n_cap, int weighted);
void fly_snapshot_init(struct fly_snapshot *snapshot, int32_t n_cap, int weighted, struct fly_arena *arena);

void fly_snapshot_take(struct fly_snapshot *snapshot, const struct fly_dense *graph);

#endif
