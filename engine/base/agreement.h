/* engine/base/agreement.h: how much two partitions of the same things say the same.
 *
 * Labels are any int32; only which things share one matters. Adjusted mutual information with the
 * arithmetic mean of the entropies (Vinh, Epps, Bailey 2010, JMLR 11:2837) and adjusted Rand index
 * (Hubert, Arabie 1985, doi:10.1007/BF01908075), with the limits of golden definition 14: both are 1
 * where the partitions are equal, those of no thing and of one thing included.
 *
 * Cost     time O(n) and, for the expected mutual information, at most n exponentials for each pair
 *          of distinct sizes of parts. Equal sizes are counted once, so that n parts of one thing
 *          each cost as much as one.
 * Threads  functions are pure; an arena belongs to its thread.
 */
#ifndef FLY_BASE_AGREEMENT_H
#define FLY_BASE_AGREEMENT_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

/* Renumber labels by first appearance from 0 (golden definition 10); out may be labels. The arena
 * lends fly_canon_need(n) bytes for the call. Returns how many labels there are. */
size_t fly_canon_need(int32_t n);
int32_t fly_canon(int32_t *out, const int32_t *labels, int32_t n, struct fly_arena *arena);

/* Which part of a meets which part of b, how often: the cells that are not empty, in the order in
 * which their first thing stands. Arrays live in the arena until the caller resets it. */
struct fly_contingency {
    int32_t n;             /* things */
    int32_t n_a, n_b;      /* parts */
    int32_t n_cells;
    int32_t *size_a;       /* (n_a) */
    int32_t *size_b;       /* (n_b) */
    int32_t *cell_a;       /* (n_cells) */
    int32_t *cell_b;       /* (n_cells) */
    int32_t *cell_count;   /* (n_cells), > 0 */
};

size_t fly_contingency_need(int32_t n);
void fly_contingency_fill(struct fly_contingency *table, const int32_t *a, const int32_t *b, int32_t n,
                          struct fly_arena *arena);

/* Both numbers of a table; the expected mutual information borrows fly_agreement_need(n) bytes of the
 * arena for the call, the table's own not counted. ari is exact but for its one division. */
size_t fly_agreement_need(int32_t n);
double fly_contingency_ari(const struct fly_contingency *table);
double fly_contingency_ami(const struct fly_contingency *table, struct fly_arena *arena);

/* The same from labels, for whoever is not on the line path: memory is the system's, for the call.
 * NaN when there is none, or when n < 0. */
double fly_ari(const int32_t *a, const int32_t *b, int32_t n);
double fly_ami(const int32_t *a, const int32_t *b, int32_t n);

#endif
