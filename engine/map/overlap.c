#include "engine/map/overlap.h"

#include <string.h>

#include "engine/base/err.h"

size_t fly_overlaps_need(int32_t n_cap)
{
    size_t n = (size_t)n_cap, sum = fly_arena_need(n, sizeof(struct fly_overlap_cell));

    sum = fly_size_add(sum, 2 * fly_arena_need(n + 1, sizeof(int32_t)));
    return fly_size_add(sum, fly_arena_need(2 * n, sizeof(int32_t)));
}

void fly_overlaps_init(struct fly_overlaps *o, int32_t n_cap, struct fly_arena *arena)
{
    size_t n = (size_t)n_cap;

    *o = (struct fly_overlaps){.n_cap = n_cap};
    o->start = fly_arena_take(arena, n + 1, sizeof *o->start);
    o->at = fly_arena_take(arena, n + 1, sizeof *o->at);
    o->chip = fly_arena_take(arena, 2 * n, sizeof *o->chip);
    o->cell = fly_arena_take(arena, n, sizeof *o->cell);
    FLY_ASSERT(o->start && o->at && o->chip && o->cell);
}

/* Sort count chips by key, those of one key in the order they had. begin: where each key's begin. */
static void sort_by(const int32_t *key, int32_t keys, const int32_t *chips, int32_t count, int32_t *begin,
                    int32_t *out)
{
    int32_t sum = 0;

    memset(begin, 0, (size_t)keys * sizeof *begin);
    for (int32_t k = 0; k < count; k++)
        begin[key[chips[k]]]++;
    for (int32_t k = 0; k < keys; k++) {
        int32_t here = begin[k];

        begin[k] = sum;
        sum += here;
    }
    for (int32_t k = 0; k < count; k++)
        out[begin[key[chips[k]]]++] = chips[k];
}

void fly_overlaps_fill(struct fly_overlaps *o, const int32_t *row_of, int32_t rows, const int32_t *col_of,
                       int32_t cols, const uint8_t *revised, int32_t n)
{
    int32_t *by_row = o->chip, *by_col = o->chip + o->n_cap, both = 0, cells = 0, row = 0;

    FLY_ASSERT(n <= o->n_cap && rows <= o->n_cap && cols <= o->n_cap);
    o->rows = rows;
    o->cols = cols;
    for (int32_t i = 0; i < n; i++)
        if (row_of[i] >= 0 && col_of[i] >= 0)
            by_row[both++] = i;
    sort_by(col_of, cols, by_row, both, o->at, by_col);
    sort_by(row_of, rows, by_col, both, o->at, by_row);
    o->start[0] = 0;
    for (int32_t k = 0; k < both; k++) {
        int32_t i = by_row[k];

        while (row < row_of[i])
            o->start[++row] = cells;
        if (cells == o->start[row] || o->cell[cells - 1].col != col_of[i])
            o->cell[cells++] = (struct fly_overlap_cell){.col = col_of[i]};
        o->cell[cells - 1].chips++;
        o->cell[cells - 1].still += !revised || !revised[i];
    }
    while (row < rows)
        o->start[++row] = cells;
}
