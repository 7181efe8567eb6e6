#include "engine/map/match.h"

#include <string.h>

#include "engine/base/err.h"

size_t fly_match_need(int32_t cap)
{
    size_t n = (size_t)cap;

    return fly_size_add(6 * fly_arena_need(n, sizeof(int32_t)), 3 * fly_arena_need(n, sizeof(fly_match_weight)));
}

void fly_match_init(struct fly_match *m, int32_t cap, struct fly_arena *arena)
{
    size_t n = (size_t)cap;

    *m = (struct fly_match){.cap = cap};
    m->col_of = fly_arena_take(arena, n, sizeof *m->col_of);
    m->row_of = fly_arena_take(arena, n, sizeof *m->row_of);
    m->via = fly_arena_take(arena, n, sizeof *m->via);
    m->heap = fly_arena_take(arena, n, sizeof *m->heap);
    m->place = fly_arena_take(arena, n, sizeof *m->place);
    m->done = fly_arena_take(arena, n, sizeof *m->done);
    m->y = fly_arena_take(arena, n, sizeof *m->y);
    m->z = fly_arena_take(arena, n, sizeof *m->z);
    m->dist = fly_arena_take(arena, n, sizeof *m->dist);
    FLY_ASSERT(m->col_of && m->row_of && m->via && m->heap && m->place && m->done && m->y && m->z && m->dist);
}

struct cells {
    const struct fly_overlaps *table;
    const fly_match_weight *weight;
};

/* A search from one row for the cheapest way to make the matching heavier: the path ends at a column that is
 * free, or at a row that gives its column up. */
struct search {
    int32_t waiting;       /* in m->heap */
    int32_t done;          /* in m->done */
    int32_t quitter;       /* the row that would stay alone */
    fly_match_weight quit; /* what that costs */
};

static int nearer(const struct fly_match *m, int32_t a, int32_t b)
{
    return m->dist[a] != m->dist[b] ? m->dist[a] < m->dist[b] : a < b;
}

static void put(struct fly_match *m, int32_t at, int32_t col)
{
    m->heap[at] = col;
    m->place[col] = at;
}

static void rise(struct fly_match *m, int32_t col)
{
    int32_t at = m->place[col];

    for (; at > 0 && nearer(m, col, m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put(m, at, m->heap[(at - 1) / 2]);
    put(m, at, col);
}

/* The nearest column leaves the heap. */
static int32_t pop(struct fly_match *m, struct search *s)
{
    int32_t first = m->heap[0], last = m->heap[--s->waiting], at = 0;

    for (;;) {
        int32_t below = 2 * at + 1;

        if (below + 1 < s->waiting && nearer(m, m->heap[below + 1], m->heap[below]))
            below++;
        if (below >= s->waiting || !nearer(m, m->heap[below], last))
            break;
        put(m, at, m->heap[below]);
        at = below;
    }
    if (s->waiting > 0)
        put(m, at, last);
    return first;
}

static void relax(struct fly_match *m, const struct cells *cells, struct search *s, int32_t row,
                  fly_match_weight from)
{
    for (int32_t at = cells->table->start[row]; at < cells->table->start[row + 1]; at++) {
        int32_t col = cells->table->cell[at].col;
        fly_match_weight there = from + m->y[row] + m->z[col] - cells->weight[at];

        if (there > s->quit || (m->via[col] >= 0 && there >= m->dist[col]))
            continue;
        m->dist[col] = there;
        if (m->via[col] < 0)
            m->place[col] = s->waiting++;
        m->via[col] = row;
        rise(m, col);
    }
}

/* The nearest column not done becomes done. -1: to give up is cheaper. */
static int32_t next_col(struct fly_match *m, struct search *s)
{
    if (s->waiting == 0 || m->dist[m->heap[0]] > s->quit)
        return -1;
    m->done[s->done] = pop(m, s);
    return m->done[s->done++];
}

static void move_duals(struct fly_match *m, const struct search *s, int32_t row, fly_match_weight cost)
{
    for (int32_t k = 0; k < s->done; k++) {
        int32_t col = m->done[k];
        fly_match_weight step = cost - m->dist[col];

        if (m->row_of[col] < 0)
            continue; /* the end of the path: 0 away from it */
        m->z[col] += step;
        m->y[m->row_of[col]] -= step;
    }
    m->y[row] -= cost;
}

/* Give each column of the path to the row before it. The first row has none to leave. */
static void augment(struct fly_match *m, int32_t col)
{
    while (col >= 0) {
        int32_t row = m->via[col], left = m->col_of[row];

        m->col_of[row] = col;
        m->row_of[col] = row;
        col = left;
    }
}

static void seek(struct fly_match *m, const struct cells *cells, int32_t row)
{
    struct search s = {.quitter = row, .quit = m->y[row]};
    int32_t at = row, col;
    fly_match_weight cost = 0;

    for (;;) {
        relax(m, cells, &s, at, cost);
        col = next_col(m, &s);
        if (col < 0)
            break;
        cost = m->dist[col];
        at = m->row_of[col];
        if (at < 0)
            break;
        if (cost + m->y[at] < s.quit) {
            s.quit = cost + m->y[at];
            s.quitter = at;
        }
    }
    move_duals(m, &s, row, col < 0 ? s.quit : cost);
    if (col < 0 && s.quitter != row) {
        col = m->col_of[s.quitter];
        m->col_of[s.quitter] = -1;
    }
    augment(m, col);
    for (int32_t k = 0; k < s.done; k++)
        m->via[m->done[k]] = -1;
    for (int32_t k = 0; k < s.waiting; k++)
        m->via[m->heap[k]] = -1;
}

void fly_match_fill(struct fly_match *m, const struct fly_overlaps *table, const fly_match_weight *weight)
{
    struct cells cells = {table, weight};

    FLY_ASSERT(table->rows <= m->cap && table->cols <= m->cap);
    for (int32_t c = 0; c < table->cols; c++) {
        m->row_of[c] = m->via[c] = -1;
        m->z[c] = 0;
    }
    for (int32_t r = 0; r < table->rows; r++) {
        m->col_of[r] = -1;
        m->y[r] = 0;
        for (int32_t at = table->start[r]; at < table->start[r + 1]; at++) {
            fly_match_weight gain = weight[at] - m->z[table->cell[at].col];

            FLY_ASSERT(weight[at] > 0);
            if (gain > m->y[r])
                m->y[r] = gain;
        }
        if (m->y[r] > 0)
            seek(m, &cells, r);
    }
}
