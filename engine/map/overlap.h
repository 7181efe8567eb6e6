/* engine/map/overlap.h: how many chips the clusters of one map share with those of another.
 *
 * The contingency table T[row][col], its cells that are not empty: at most one a chip, however many clusters
 * there are.
 *
 * Work     O(N + rows + cols).
 * Bytes    28 a chip.
 * Threads  one.
 */
#ifndef FLY_MAP_OVERLAP_H
#define FLY_MAP_OVERLAP_H

#include <stdint.h>

#include "engine/base/arena.h"

struct fly_overlap_cell {
    int32_t col;
    int32_t chips; /* in both, >= 1 */
    int32_t still; /* of them, those that were not revised */
};

struct fly_overlaps {
    int32_t n_cap;
    int32_t rows, cols;
    int32_t *start;                /* (rows + 1) */
    struct fly_overlap_cell *cell; /* of row r from start[r] to start[r + 1], columns ascending */
    int32_t *chip;                 /* (N) overlap.c's own, twice */
    int32_t *at;                   /* (N + 1) */
};

size_t fly_overlaps_need(int32_t n_cap);
void fly_overlaps_init(struct fly_overlaps *overlaps, int32_t n_cap, struct fly_arena *arena);

/* Over chips 0 .. n-1.
 *
 *   row_of, col_of  (n) 0 .. rows-1, 0 .. cols-1, below 0: in none; rows and cols up to n_cap
 *   revised         (n) 0 or 1; NULL: none is
 */
void fly_overlaps_fill(struct fly_overlaps *overlaps, const int32_t *row_of, int32_t rows,
                       const int32_t *col_of, int32_t cols, const uint8_t *revised, int32_t n);

#endif
