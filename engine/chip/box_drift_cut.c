/* Boxes of scattered pixels: sorted, joined where they touch, cut into cells. */
#include "engine/chip/box_drift_own.h"

#include <string.h>

enum { N = FLY_BOX_DRIFT_PX, BOXES = N / FLY_BOX_DRIFT_PX_MIN, CELL = FLY_BOX_DRIFT_CELL_PX, DIGIT = 11,
       /* a key holds the part and its cell, down and across */
       CELL_BITS = 9 };
_Static_assert(FLY_SCAN_MAX_PX / FLY_BOX_DRIFT_CELL_PX <= 1 << CELL_BITS, "a cell's number fits its bits");

size_t fly_box_cut_need(void)
{
    return 3 * fly_arena_need(N, sizeof(struct fly_box_item)) + fly_arena_need(N, sizeof(float)) +
           fly_arena_need(BOXES, sizeof(struct fly_box)) + 2 * fly_arena_need(N, sizeof(int32_t));
}

void fly_box_cut_init(struct fly_box_cut *cut, int32_t width_px, struct fly_arena *arena)
{
    *cut = (struct fly_box_cut){.width_px = width_px};
    cut->at = fly_arena_take(arena, N, sizeof *cut->at);
    cut->value = fly_arena_take(arena, N, sizeof *cut->value);
    cut->piece = fly_arena_take(arena, N, sizeof *cut->piece);
    cut->box = fly_arena_take(arena, BOXES, sizeof *cut->box);
    cut->spare = fly_arena_take(arena, N, sizeof *cut->spare);
    cut->parent = fly_arena_take(arena, N, sizeof *cut->parent);
    cut->left = fly_arena_take(arena, N, sizeof *cut->left);
}

/* By key, those of one key as they were. The C library's sort may take memory of its own. */
static void sort(struct fly_box_item **items, struct fly_box_item **spare, int32_t n)
{
    uint64_t all = 0;

    for (int32_t i = 0; i < n; i++)
        all |= (*items)[i].key;
    for (int shift = 0; shift < 64 && all >> shift; shift += DIGIT) {
        struct fly_box_item *from = *items, *to = *spare;
        int32_t begin[(1 << DIGIT) + 1] = {0};

        for (int32_t i = 0; i < n; i++)
            begin[(from[i].key >> shift & ((1 << DIGIT) - 1)) + 1]++;
        for (int32_t d = 0; d < 1 << DIGIT; d++)
            begin[d + 1] += begin[d];
        for (int32_t i = 0; i < n; i++)
            to[begin[from[i].key >> shift & ((1 << DIGIT) - 1)]++] = from[i];
        *items = to;
        *spare = from;
    }
}

static void keep_first(struct fly_box_cut *cut)
{
    int32_t n = 0;

    for (int32_t i = 0; i < cut->n; i++)
        if (!n || cut->at[n - 1].key != cut->at[i].key)
            cut->at[n++] = cut->at[i];
    cut->n = n;
}

static int32_t row_of(const struct fly_box_cut *cut, const struct fly_box_item *run)
{
    return (int32_t)(cut->at[run->first].key / (uint64_t)cut->width_px);
}

static int32_t col_of(const struct fly_box_cut *cut, const struct fly_box_item *run)
{
    return (int32_t)(cut->at[run->first].key % (uint64_t)cut->width_px);
}

static int32_t find_runs(struct fly_box_cut *cut, struct fly_box_item *runs)
{
    int32_t n = 0;

    for (int32_t i = 0; i < cut->n; i++) {
        if (!i || cut->at[i].key != cut->at[i - 1].key + 1 || cut->at[i].key % (uint64_t)cut->width_px == 0)
            runs[n++] = (struct fly_box_item){.first = i};
        runs[n - 1].n++;
    }
    return n;
}

static int32_t root_of(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* The first run, which is its topmost, stands for a part. */
static void join(int32_t *parent, int32_t a, int32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

static void join_runs(struct fly_box_cut *cut, const struct fly_box_item *runs, int32_t n)
{
    int32_t above = 0; /* the first run that may touch the one looked at */

    for (int32_t i = 0; i < n; i++) {
        int32_t y = row_of(cut, &runs[i]), x = col_of(cut, &runs[i]);

        cut->parent[i] = i;
        while (row_of(cut, &runs[above]) < y - 1 ||
               (row_of(cut, &runs[above]) == y - 1 && col_of(cut, &runs[above]) + runs[above].n <= x))
            above++;
        for (int32_t k = above; row_of(cut, &runs[k]) == y - 1 && col_of(cut, &runs[k]) < x + runs[i].n; k++)
            join(cut->parent, k, i);
    }
    for (int32_t i = 0; i < n; i++)
        cut->left[i] = INT32_MAX;
    for (int32_t i = 0; i < n; i++) {
        int32_t root = root_of(cut->parent, i), x = col_of(cut, &runs[i]);

        cut->left[root] = x < cut->left[root] ? x : cut->left[root];
    }
}

/* Runs in cells of their part. */
static int32_t cut_runs(struct fly_box_cut *cut, const struct fly_box_item *runs, int32_t n)
{
    int32_t pieces = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t root = root_of(cut->parent, i), down = row_of(cut, &runs[i]) - row_of(cut, &runs[root]);
        int32_t across = col_of(cut, &runs[i]) - cut->left[root];

        for (int32_t done = 0; done < runs[i].n;) {
            int32_t room = CELL - (across + done) % CELL, take = runs[i].n - done < room ? runs[i].n - done : room;

            cut->piece[pieces++] = (struct fly_box_item){
                .key = (uint64_t)root << 2 * CELL_BITS | (uint64_t)(down / CELL) << CELL_BITS |
                       (uint64_t)((across + done) / CELL),
                .first = runs[i].first + done,
                .n = take};
            done += take;
        }
    }
    return pieces;
}

static void list_boxes(struct fly_box_cut *cut, int32_t pieces)
{
    cut->n_boxes = 0;
    for (int32_t from = 0, to; from < pieces; from = to) {
        int32_t px = 0;

        for (to = from; to < pieces && cut->piece[to].key == cut->piece[from].key; to++)
            px += cut->piece[to].n;
        if (px >= FLY_BOX_DRIFT_PX_MIN)
            cut->box[cut->n_boxes++] = (struct fly_box){from, to - from};
    }
}

void fly_box_cut(struct fly_box_cut *cut)
{
    int32_t runs, pieces;

    sort(&cut->at, &cut->spare, cut->n);
    keep_first(cut);
    runs = find_runs(cut, cut->spare);
    join_runs(cut, cut->spare, runs);
    pieces = cut_runs(cut, cut->spare, runs);
    sort(&cut->piece, &cut->spare, pieces);
    list_boxes(cut, pieces);
}
