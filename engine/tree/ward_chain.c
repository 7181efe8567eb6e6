/* The chain of nearest neighbours (Benzecri 1982; Muellner 2011, arXiv:1109.2378, figure 3) on all distances, with the
 * choices among equals that scipy 1.10's linkage makes: a chain begins at the lowest cluster, a nearest neighbour is
 * the one before it in the chain if that is among the nearest, else the lowest; a merged cluster has the higher place
 * of its two; merges are sorted by height, those of one height stay as they came. Distances are carried on by the
 * formula of Lance and Williams in the order of scipy's operations, for where equals are made by arithmetic their
 * last bits decide.
 */
#include <math.h>
#include <string.h>

#include "engine/tree/ward_state.h"

struct chain {
    const struct fly_ward_state *s;
    int32_t n;
    int32_t *point;    /* (n) the points that are there */
    double *apart;     /* (n (n - 1) / 2) distances, row by row above the diagonal */
    int32_t *size;     /* (n) 0: merged into a higher one */
    int32_t *chain;    /* (n) */
    int32_t *root, *id;/* (n) */
    struct link {
        int32_t x, y; /* x < y */
        double height;
    } *link, *spare;   /* (n) */
};

size_t fly_ward_as_scipy_need(int32_t points)
{
    size_t n = (size_t)points, need = fly_arena_need(n * (n - 1) / 2 + 1, sizeof(double));

    need = fly_size_add(need, 5 * fly_arena_need(n, sizeof(int32_t)));
    return fly_size_add(need, 2 * fly_arena_need(n, sizeof(struct link)));
}

static double *between(const struct chain *c, int32_t i, int32_t j)
{
    size_t low = (size_t)(i < j ? i : j), high = (size_t)(i < j ? j : i), n = (size_t)c->n;

    return &c->apart[low * n - low * (low + 1) / 2 + high - low - 1];
}

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at);
    return at;
}

static void take_all(struct chain *c, struct fly_arena *arena)
{
    size_t n = (size_t)c->n;

    c->apart = take(arena, n * (n - 1) / 2 + 1, sizeof *c->apart);
    c->point = take(arena, n, sizeof *c->point);
    c->size = take(arena, n, sizeof *c->size);
    c->chain = take(arena, n, sizeof *c->chain);
    c->root = take(arena, n, sizeof *c->root);
    c->id = take(arena, n, sizeof *c->id);
    c->link = take(arena, n, sizeof *c->link);
    c->spare = take(arena, n, sizeof *c->spare);
}

static void measure_row(void *arg, int32_t i, int32_t worker)
{
    const struct chain *c = arg;

    (void)worker;
    for (int32_t j = i + 1; j < c->n; j++)
        *between(c, i, j) = sqrt(fly_ward_squares(c->s, c->point[i], c->point[j]));
}

static int32_t nearest_to(const struct chain *c, int32_t x, int32_t before, double *least)
{
    int32_t y = before;

    *least = before < 0 ? INFINITY : *between(c, x, before);
    for (int32_t i = 0; i < c->n; i++)
        if (c->size[i] > 0 && i != x && *between(c, x, i) < *least) {
            *least = *between(c, x, i);
            y = i;
        }
    return y;
}

static void join(struct chain *c, int32_t x, int32_t y, double height)
{
    double size_x = c->size[x], size_y = c->size[y];

    c->size[y] += c->size[x];
    c->size[x] = 0;
    for (int32_t i = 0; i < c->n; i++) {
        double size = c->size[i], part = 1.0 / (size_x + size_y + size), to_x, to_y;

        if (c->size[i] == 0 || i == y)
            continue;
        to_x = *between(c, i, x);
        to_y = *between(c, i, y);
        *between(c, i, y) = sqrt((size + size_x) * part * to_x * to_x + (size + size_y) * part * to_y * to_y -
                                 size * part * height * height);
    }
}

static void follow_chain(struct chain *c)
{
    int32_t len = 0;

    for (int32_t k = 0; k < c->n - 1; k++) {
        int32_t x, y = -1;
        double height = 0.0;

        if (len == 0) {
            for (c->chain[0] = 0; c->size[c->chain[0]] == 0;)
                c->chain[0]++;
            len = 1;
        }
        for (;;) {
            int32_t before = len > 1 ? c->chain[len - 2] : -1;

            x = c->chain[len - 1];
            y = nearest_to(c, x, before, &height);
            if (y == before)
                break;
            c->chain[len++] = y;
        }
        len -= 2;
        c->link[k] = (struct link){.x = x < y ? x : y, .y = x < y ? y : x, .height = height};
        join(c, c->link[k].x, c->link[k].y, height);
    }
}

/* By height, equals as they stand: merging runs of twice the length each time. */
static void sort_links(struct chain *c)
{
    int32_t count = c->n - 1;

    for (int32_t run = 1; run < count; run *= 2) {
        struct link *sorted = c->spare;

        for (int32_t first = 0; first < count; first += 2 * run) {
            int32_t middle = first + run < count ? first + run : count;
            int32_t end = middle + run < count ? middle + run : count, a = first, b = middle;

            for (int32_t to = first; to < end; to++)
                sorted[to] = b >= end || (a < middle && c->link[a].height <= c->link[b].height) ? c->link[a++]
                                                                                              : c->link[b++];
        }
        c->spare = c->link;
        c->link = sorted;
    }
}

static int32_t root_of(struct chain *c, int32_t i)
{
    while (c->root[i] != i)
        i = c->root[i] = c->root[c->root[i]];
    return i;
}

static void tell_links(struct chain *c, struct fly_ward *ward)
{
    for (int32_t i = 0; i < c->n; i++) {
        c->root[i] = i;
        c->id[i] = c->point[i];
        c->size[i] = 1;
    }
    /* The lower of two roots stays, so a root is the lowest point of its cluster. */
    for (int32_t m = 0; m < c->n - 1; m++) {
        int32_t x = root_of(c, c->link[m].x), y = root_of(c, c->link[m].y), low = x < y ? x : y, high = x < y ? y : x;

        c->size[low] += c->size[high];
        ward->merge[m] = (struct fly_ward_merge){.a = c->id[low], .b = c->id[high], .size = c->size[low],
                                                 .height = c->link[m].height};
        c->root[high] = low;
        c->id[low] = c->s->n + m;
    }
}

void fly_ward_as_scipy(struct fly_ward *ward, struct fly_arena *arena, const struct fly_exec *exec)
{
    struct chain c = {.s = ward->state};
    size_t mark = fly_arena_mark(arena);
    int32_t n = 0;

    FLY_ASSERT(!ward->state->stale);
    c.n = ward->count;
    ward->state->cut = 0;
    if (c.n < 2)
        return;
    take_all(&c, arena);
    for (int32_t i = 0; i < c.s->n; i++)
        if (c.s->there[i])
            c.point[n++] = i;
    for (int32_t i = 0; i < n; i++)
        c.size[i] = 1;
    exec->run(exec->ctx, n, measure_row, &c);
    follow_chain(&c);
    sort_links(&c);
    tell_links(&c, ward);
    fly_arena_reset(arena, mark);
}
