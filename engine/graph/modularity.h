/* engine/graph/modularity.h: modularity of a partition and gains of single moves, exact in integers.
 *
 * Newman and Girvan 2004, doi:10.1103/PhysRevE.69.026113, with the resolution of Reichardt and Bornholdt
 * 2006, doi:10.1103/PhysRevE.74.016110:
 *
 *   Q = sum over communities c of  in_c / m2 - resolution * (k_c / m2)^2
 *
 * in_c the weight inside c counted from both ends, k_c the sum of degrees. Weights are integers and the
 * resolution is a multiple of 1/65536, so Q times m2^2 * 65536 (a score) is an integer, and two partitions
 * of a graph, or two moves of a node, compare without rounding.
 *
 * Range    m2 < 2^48 (65536 nodes of the largest weight); scores and gains stay below 2^120.
 * Threads  pure.
 */
#ifndef FLY_GRAPH_MODULARITY_H
#define FLY_GRAPH_MODULARITY_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/graph/dense.h"

/* A resolution of 1; resolutions are 1 .. FLY_RESOLUTION_MAX (64). More makes smaller communities. */
enum { FLY_RESOLUTION_ONE = 65536, FLY_RESOLUTION_MAX = 64 * FLY_RESOLUTION_ONE };

typedef __int128 fly_score;

/* What joining a community gains, in units of 2 / (m2^2 * 65536); standing alone gains 0.
 *
 *   k_in    weight between the node and the community
 *   k_node  the node's degree
 *   k_comm  the community's sum of degrees, the node not in it
 *
 * Blondel et al. 2008, doi:10.1088/1742-5468/2008/10/P10008, eq. 2; the terms that cancel are left out.
 * A group of nodes that moves as one has the same formula.
 */
static inline fly_score fly_join_gain(int64_t m2, int32_t resolution, int64_t k_in, int64_t k_node,
                                      int64_t k_comm)
{
    return (fly_score)m2 * FLY_RESOLUTION_ONE * k_in - (fly_score)resolution * k_node * k_comm;
}

/* Q of a score; 0 for a graph without edges. */
double fly_score_q(fly_score score, int64_t m2);

/* The score of labels 0 .. n-1 (any of them may be unused), O(N^2). The arena lends
 * fly_modularity_need(n) bytes. */
size_t fly_modularity_need(int32_t n);
fly_score fly_modularity(const struct fly_dense *graph, int32_t resolution, const int32_t *labels,
                         struct fly_arena *arena);

/* How many nodes could raise the modularity by moving alone: to another community or out of theirs.
 * 0 says that the partition is locally optimal. O(N^2); the same labels and memory as above. */
int32_t fly_improving_moves(const struct fly_dense *graph, int32_t resolution, const int32_t *labels,
                            struct fly_arena *arena);

#endif
