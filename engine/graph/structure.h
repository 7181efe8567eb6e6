/* engine/graph/structure.h: is there enough structure in a graph to call its parts communities?
 *
 * Louvain's method finds communities in any graph, in noise too: before a second phase has been seen the
 * modularity of a similarity graph is 0.04 to 0.05 (algorithms 1.4). So a partition is told only when its
 * modularity exceeds, by three standard deviations, what the same method reaches on graphs with the same
 * degrees and nothing else: made by trading the ends of random pairs of edges, weights going with them
 * (Maslov and Sneppen 2002, doi:10.1126/science.1065103). Shuffling the labels of the partition instead
 * would say yes to everything: no shuffled partition is anywhere near an optimised one.
 *
 * At most FLY_NULL_NODES nodes, drawn by the seed from those that have edges, stand for the graph. The modularity of a random graph
 * falls with the root of its size (0.97 sqrt((1 - p) / (p N)), Reichardt and Bornholdt 2006,
 * doi:10.1016/j.physd.2006.09.009), and mean and deviation are carried to N by that law; the deviation
 * then holds 3 % of the mean for the law itself.
 *
 * Cost     about 10 ms, whatever N: not for every update. The engine renews it when the graph has changed
 *          much, in the background.
 */
#ifndef FLY_GRAPH_STRUCTURE_H
#define FLY_GRAPH_STRUCTURE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/graph/dense.h"

enum { FLY_NULL_NODES = 128, FLY_NULL_GRAPHS = 8 };

struct fly_null {
    double mean; /* modularity of graphs without structure, at this N */
    double sd;
};

/* The arena lends fly_null_need(n) bytes for the call. Two nodes or fewer, or no edges: mean and sd 0. */
size_t fly_null_need(int32_t n);
void fly_null_fill(struct fly_null *null, const struct fly_dense *graph, int32_t resolution, uint64_t seed,
                   struct fly_arena *arena);

/* 1: q, at the resolution of the null model, is more than chance gives. One community is always no more. */
int fly_structure_enough(double q, const struct fly_null *null);

/* Chance with the same degrees knows nothing of geometry: vectors of pure noise in few dimensions are alike in
 * groups, too (measured: modularity 0.13 to 0.17 of 144 and 576 chips of white noise by the spectral
 * descriptor). What is no more than this is told only where it lies together in the scan (coherence.h).
 * Modularity above it is what Newman (2004, doi:10.1103/PhysRevE.69.066133) calls a good sign by itself. */
#define FLY_MODULAR 0.3

#endif
