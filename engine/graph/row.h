/* engine/graph/row.h: passes over one row of a dense graph, the only loops here that touch every pair.
 *
 * Each is written on vectors of eight lanes and compiled for several processors, and by hand for AVX-512
 * (wide.h); all give the same bytes. The strength of a node to a community is kept per community as a column of n numbers, so that
 * a node that moves costs one pass of its own row over two columns (the graph is symmetric).
 *
 * Shapes   a column has fly_row_lanes(n) numbers; lanes >= n stay what they were.
 * Range    a strength is below 2^32: a weight is at most 65535, and there are at most 65536 nodes with
 *          weights (binary graphs may have 2^31 nodes).
 * Threads  pure.
 */
#ifndef FLY_GRAPH_ROW_H
#define FLY_GRAPH_ROW_H

#include <stdint.h>

#include "engine/graph/dense.h"

enum { FLY_ROW_BLOCK = 64, FLY_WEIGHTED_NODES_MAX = 65536 };

/* n rounded up to whole blocks: the length of a column. */
static inline size_t fly_row_lanes(int32_t n)
{
    return ((size_t)n + FLY_ROW_BLOCK - 1) / FLY_ROW_BLOCK * FLY_ROW_BLOCK;
}

static inline int fly_row_has(const struct fly_dense *graph, int32_t i, int32_t j)
{
    return (int)(graph->bits[(size_t)i * graph->words + (size_t)j / 64] >> (j % 64) & 1);
}

/* The weight between two nodes, 0 where there is no edge. */
static inline int64_t fly_row_weight(const struct fly_dense *graph, int32_t i, int32_t j)
{
    if (!fly_row_has(graph, i, j))
        return 0;
    return graph->weight ? graph->weight[(size_t)i * graph->stride + (size_t)j] : 1;
}

/* Add row i to one column and take it from another; either may be NULL. */
void fly_row_move(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from);

/* Add the lanes [first, first + len) of these rows to a column; first and len are multiples of
 * FLY_ROW_BLOCK, len may reach past the last node. */
void fly_row_add_part(const struct fly_dense *graph, const int32_t *rows, int32_t count, uint32_t *to,
                      size_t first, size_t len);

/* The largest w_ij - pull * k[j] over all j in single precision, and the same for each block of 64
 * nodes. k (lanes) is INFINITY for a node that does not stand for choice, and beyond n. */
float fly_row_best(const struct fly_dense *graph, int32_t i, const float *k, float pull, float *block_best);

/* The plain twins, row_ref.c. */
void fly_row_move_ref(const struct fly_dense *graph, int32_t i, uint32_t *to, uint32_t *from);
float fly_row_best_ref(const struct fly_dense *graph, int32_t i, const float *k, float pull,
                       float *block_best);

#endif
