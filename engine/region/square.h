/* engine/region/square.h: the largest square of chips that all have one label.
 *
 * The paper measures d-spacings in it, and does not say which of several it takes: here the topmost, then
 * the leftmost (golden definition 15). s(r, c) = 1 + min(s(r-1, c), s(r, c-1), s(r-1, c-1)) where the four
 * labels are equal, else 1, is the side of the largest square whose last chip is (r, c); one pass over the
 * grid has the best of every label.
 *
 * Axes     row down, col along the fast axis; labels (R, C) row-major.
 * Cost     one visit a chip: 65 536 chips are well below a millisecond, so it is done anew every epoch.
 * Threads  pure functions; the arena belongs to its thread.
 */
#ifndef FLY_REGION_SQUARE_H
#define FLY_REGION_SQUARE_H

#include <stdint.h>

#include "engine/base/arena.h"

/* Chips row .. row + n - 1 by col .. col + n - 1; n = 0 where a label has no chip. */
struct fly_square {
    int32_t row, col, n;
};

/* Fill squares (n_labels) from labels (rows, cols). Labels below 0, or not below n_labels, have none. The arena
 * lends fly_squares_need(cols) bytes for the call. rows, cols >= 1. */
size_t fly_squares_need(int32_t cols);
void fly_squares_find(struct fly_square *squares, int32_t n_labels, const int32_t *labels, int32_t rows,
                      int32_t cols, struct fly_arena *arena);

/* The plain twin for one label: every corner, every side. */
struct fly_square fly_square_ref(const int32_t *labels, int32_t rows, int32_t cols, int32_t label);

/* Pixels from its first line or column to its last, of chips side_px wide every pitch_px; its first pixel is
 * (row, col) * pitch_px. */
static inline int32_t fly_square_px(struct fly_square square, int32_t side_px, int32_t pitch_px)
{
    return square.n ? (square.n - 1) * pitch_px + side_px : 0;
}

static inline int fly_square_same(struct fly_square a, struct fly_square b)
{
    return a.row == b.row && a.col == b.col && a.n == b.n;
}

/* Does the chip lie in it? A square that is the same and whose chips have not changed is measured already. */
static inline int fly_square_has(struct fly_square square, int32_t row, int32_t col)
{
    return row >= square.row && row < square.row + square.n && col >= square.col && col < square.col + square.n;
}

#endif
