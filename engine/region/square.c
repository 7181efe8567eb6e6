#include "engine/region/square.h"

#include <string.h>

size_t fly_squares_need(int32_t cols)
{
    return fly_arena_need((size_t)cols, sizeof(int32_t));
}

static int32_t min3(int32_t a, int32_t b, int32_t c)
{
    int32_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

void fly_squares_find(struct fly_square *squares, int32_t n_labels, const int32_t *labels, int32_t rows,
                      int32_t cols, struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    int32_t *side = fly_arena_take(arena, (size_t)cols, sizeof *side); /* of the row above, up to this chip */

    FLY_ASSERT(side && rows >= 1 && cols >= 1 && n_labels >= 0);
    memset(squares, 0, (size_t)n_labels * sizeof *squares);
    for (int32_t r = 0; r < rows; r++) {
        const int32_t *row = labels + (size_t)r * (size_t)cols;
        const int32_t *above = row - cols;
        int32_t above_left = 0;

        for (int32_t c = 0; c < cols; c++) {
            int32_t label = row[c], over = side[c], n = 1;

            if (r > 0 && c > 0 && row[c - 1] == label && above[c] == label && above[c - 1] == label)
                n += min3(over, side[c - 1], above_left);
            side[c] = n;
            above_left = over;
            /* Squares of one size meet their last chips in the order of their first ones: the first found is
             * the topmost, then leftmost. */
            if (label >= 0 && label < n_labels && n > squares[label].n)
                squares[label] = (struct fly_square){.row = r - n + 1, .col = c - n + 1, .n = n};
        }
    }
    fly_arena_reset(arena, mark);
}
