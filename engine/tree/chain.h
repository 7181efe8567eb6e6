/* engine/tree/chain.h: Ward's tree of integers, with the ties broken as scipy breaks them.
 *
 * Spectra of few photons have many pairs at exactly the same distance, and then there are many trees, all of them
 * right: a noise of 1e-7 on the counts moves partitions of the same 272 chips to an agreement (ARI) of 0.95
 * (measured, tests/golden). The reference results hold one of them. This is the nearest-neighbour chain on stored
 * distances (Muellner 2011, arXiv:1109.2378, figure 3) in the order of operations of scipy's `linkage`, rounding
 * included, so that the same one comes out. For everything else there is ward.h.
 *
 * Memory   4 N (N - 1) bytes for distances, the arena's. Squared norms stay below 2^53.
 * Threads  pure but for the arena.
 */
#ifndef FLY_TREE_CHAIN_H
#define FLY_TREE_CHAIN_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/tree/ward.h"

size_t fly_ward_chain_need(int32_t n, int32_t width);

/* merge (n - 1) of counts (n, width), n >= 1. The arena lends fly_ward_chain_need(n, width) bytes. */
void fly_ward_chain(const uint32_t *counts, int32_t n, int32_t width, struct fly_ward_merge *merge,
                    struct fly_arena *arena);

/* Labels (n) of the partition into k clusters, by first appearance; k up to n. */
void fly_ward_chain_cut(const struct fly_ward_merge *merge, int32_t n, int32_t k, int32_t *label,
                        struct fly_arena *arena);

#endif
