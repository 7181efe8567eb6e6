/* engine/graph/dense.h: a thresholded similarity graph as its readers see it.
 *
 * The affinity graph of chips is dense: a third to three quarters of all pairs are edges. So edges are
 * rows of bits, and weights are integers in fixed point: sums of them are exact, and neither the order
 * of arrival nor the number of threads can change a degree, a total or a comparison of two gains.
 *
 * Shapes   N nodes; rows are `words` 64-bit words or `stride` weights apart. Bit j of row i is bit
 *          j % 64 of word j / 64. Rows are symmetric, the diagonal is empty, bits >= N are 0.
 * Memory   a view of somebody's state, valid until that changes.
 */
#ifndef FLY_GRAPH_DENSE_H
#define FLY_GRAPH_DENSE_H

#include <stddef.h>
#include <stdint.h>

/* A similarity of 1 in the units of edge weights. A weight is round(s * FLY_WEIGHT_ONE), at least 1 for
 * an edge, at most UINT16_MAX (debiased similarities exceed 1). */
enum { FLY_WEIGHT_ONE = 32768 };

struct fly_dense {
    int32_t n;
    const uint64_t *bits;   /* (N, words) 1: an edge */
    size_t words;           /* 64-bit words from row to row, >= (N + 63) / 64 */
    const uint16_t *weight; /* (N, stride) of every pair, edge or not; NULL: each edge weighs 1 (`binary`) */
    size_t stride;          /* >= N rounded up to 32 */
    const int64_t *degree;  /* (N) sum of the weights of a node's edges */
    int64_t m2;             /* sum of all degrees: twice the weight of all edges */
};

#endif
