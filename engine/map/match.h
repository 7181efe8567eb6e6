/* engine/map/match.h: which rows and columns belong together: the matching of the largest sum of weights.
 *
 * Maximum-weight bipartite matching by shortest augmenting paths with dual variables (Kuhn 1955,
 * doi:10.1002/nav.3800020109; Jonker, Volgenant 1987, doi:10.1007/BF02278710; as a sum of row after row,
 * Burkard, Dell'Amico, Martello, Assignment Problems, 2009, section 4.4), on the cells that have a weight
 * alone. A row or column may stay alone. Exact for any number of rows and columns: weights are integers, and
 * parts of the table that share no cell cost nothing to each other.
 *
 * Among matchings of the same sum the answer depends on the order of rows and columns, and on nothing else.
 *
 * Work     O(rows * cells * log cols) at worst; a row whose heaviest column nobody else wants costs its cells.
 * Bytes    72 a row or column there is room for.
 * Threads  one.
 */
#ifndef FLY_MAP_MATCH_H
#define FLY_MAP_MATCH_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/map/overlap.h"

/* Wide enough for preferences that give way to one another in turn; the sum of all weights of a matching must
 * stay below 2^120. */
typedef __int128 fly_match_weight;

struct fly_match {
    int32_t *col_of; /* (rows) -1: alone */
    int32_t *row_of; /* (cols) -1: alone */

    /* match.c's own: */
    int32_t cap;
    fly_match_weight *y;    /* (rows) >= 0; y + z >= weight, equal in the matching */
    fly_match_weight *z;    /* (cols) >= 0 */
    fly_match_weight *dist; /* (cols) from the row that seeks */
    int32_t *via;           /* (cols) the row before, -1: not reached */
    int32_t *heap;          /* (cols) reached and not done, the nearest first */
    int32_t *place;         /* (cols) in it */
    int32_t *done;          /* (cols) */
};

size_t fly_match_need(int32_t cap);
void fly_match_init(struct fly_match *match, int32_t cap, struct fly_arena *arena);

/* Fill col_of and row_of for the cells of a table, rows and columns up to cap; weight (cells) > 0. */
void fly_match_fill(struct fly_match *match, const struct fly_overlaps *table, const fly_match_weight *weight);

/* The plain twin: every subset of columns in turn. The sum alone, as many matchings may have it. cols up to
 * 16, table (rows, cols), 0: no cell. */
int64_t fly_match_ref(const int64_t *table, int32_t rows, int32_t cols);

#endif
