#include "engine/tree/chain.h"

#include <math.h>
#include <string.h>

struct chain {
    int32_t n;
    double *distance; /* (n (n - 1) / 2) of i < j, row by row */
    int32_t *size;    /* (n) 0: merged away */
    int32_t *link;    /* (n) the chain */
    int32_t *order;   /* (n) scratch of sorting */
    int32_t *root;    /* (2 n) */
    double *square;   /* (n) */
    int32_t *lit;     /* (width) channels that a row has counts in */
    struct fly_ward_merge *raw; /* (n) */
};

static size_t pairs_of(int32_t n)
{
    return (size_t)n * (size_t)(n - 1) / 2;
}

size_t fly_ward_chain_need(int32_t n, int32_t width)
{
    size_t points = (size_t)n, need = fly_arena_need(pairs_of(n) + 1, sizeof(double));

    need = fly_size_add(need, 3 * fly_arena_need(points, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(points, sizeof(double)));
    need = fly_size_add(need, fly_arena_need((size_t)width, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(2 * points, sizeof(int32_t)));
    return fly_size_add(need, fly_arena_need(points, sizeof(struct fly_ward_merge)));
}

static double *between(const struct chain *c, int32_t i, int32_t j)
{
    int32_t low = i < j ? i : j, high = i < j ? j : i;

    return &c->distance[(size_t)low * (size_t)c->n - (size_t)low * (size_t)(low + 1) / 2 + (size_t)(high - low - 1)];
}

/* Sums of integers are exact below 2^53, whatever their order: |a - b|^2 is |a|^2 + |b|^2 - 2 a b to the bit, and of
 * the product only channels with counts are looked at. */
static void measure(struct chain *c, const uint32_t *counts, int32_t width)
{
    for (int32_t i = 0; i < c->n; i++) {
        const uint32_t *a = counts + (size_t)i * (size_t)width;

        c->square[i] = 0.0;
        for (int32_t e = 0; e < width; e++)
            c->square[i] += (double)a[e] * (double)a[e];
    }
    for (int32_t i = 0; i < c->n; i++) {
        const uint32_t *a = counts + (size_t)i * (size_t)width;
        int32_t n = 0;

        for (int32_t e = 0; e < width; e++)
            if (a[e])
                c->lit[n++] = e;
        for (int32_t j = i + 1; j < c->n; j++) {
            const uint32_t *b = counts + (size_t)j * (size_t)width;
            double product = 0.0;

            for (int32_t e = 0; e < n; e++)
                product += (double)a[c->lit[e]] * (double)b[c->lit[e]];
            *between(c, i, j) = sqrt(c->square[i] + c->square[j] - 2.0 * product);
        }
    }
}

/* The nearest living cluster; of equals the one before in the chain, then the lowest. */
static int32_t nearest(const struct chain *c, int32_t x, int32_t before, double *least)
{
    int32_t found = before;

    *least = before >= 0 ? *between(c, x, before) : INFINITY;
    for (int32_t i = 0; i < c->n; i++)
        if (c->size[i] && i != x && *between(c, x, i) < *least) {
            *least = *between(c, x, i);
            found = i;
        }
    return found;
}

/* Lance and Williams (doi:10.1093/comjnl/9.4.373). */
static double moved(double to_x, double to_y, double apart, double nx, double ny, double ni)
{
    double t = 1.0 / (nx + ny + ni);
    double x = (ni + nx) * t * to_x * to_x, y = (ni + ny) * t * to_y * to_y, z = ni * t * apart * apart;

    return sqrt(x + y - z);
}

/* Into y, whose number the new cluster goes by. */
static void merge_pair(struct chain *c, int32_t x, int32_t y, double apart)
{
    double nx = c->size[x], ny = c->size[y];

    c->size[y] += c->size[x];
    c->size[x] = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (c->size[i] && i != y)
            *between(c, i, y) = moved(*between(c, i, x), *between(c, i, y), apart, nx, ny, c->size[i]);
}

static void run(struct chain *c)
{
    int32_t length = 0;

    for (int32_t step = 0; step + 1 < c->n; step++) {
        double apart;
        int32_t x, y;

        for (int32_t i = 0; length == 0; i++)
            if (c->size[i])
                c->link[length++] = i;
        for (;;) {
            int32_t before = length > 1 ? c->link[length - 2] : -1;

            x = c->link[length - 1];
            y = nearest(c, x, before, &apart);
            if (y == before)
                break;
            c->link[length++] = y;
        }
        length -= 2;
        c->raw[step] = (struct fly_ward_merge){x < y ? x : y, x < y ? y : x, 0, apart};
        merge_pair(c, c->raw[step].a, c->raw[step].b, apart);
    }
}

/* Stable, by merging runs of doubled length. */
static void sort_steps(struct chain *c)
{
    int32_t *from = c->order, *to = c->link, count = c->n - 1;

    for (int32_t i = 0; i < count; i++)
        from[i] = i;
    for (int32_t half = 1; half < count; half *= 2) {
        int32_t *swap = from;

        for (int32_t begin = 0; begin < count; begin += 2 * half) {
            int32_t a = begin, middle = begin + half < count ? begin + half : count, b = middle;
            int32_t end = begin + 2 * half < count ? begin + 2 * half : count;

            for (int32_t i = begin; i < end; i++)
                to[i] = b == end || (a < middle && c->raw[from[a]].height <= c->raw[from[b]].height) ? from[a++]
                                                                                                     : from[b++];
        }
        from = to;
        to = swap;
    }
    if (from != c->order)
        memcpy(c->order, from, (size_t)count * sizeof *from);
}

static int32_t root_of(int32_t *root, int32_t i)
{
    while (root[i] != i)
        i = root[i] = root[root[i]];
    return i;
}

static void number(struct chain *c, struct fly_ward_merge *merge)
{
    for (int32_t i = 0; i < 2 * c->n; i++)
        c->root[i] = i;
    for (int32_t i = 0; i + 1 < c->n; i++) {
        struct fly_ward_merge step = c->raw[c->order[i]];
        int32_t a = root_of(c->root, step.a), b = root_of(c->root, step.b);
        int32_t size = (a < c->n ? 1 : merge[a - c->n].size) + (b < c->n ? 1 : merge[b - c->n].size);

        merge[i] = (struct fly_ward_merge){a < b ? a : b, a < b ? b : a, size, step.height};
        c->root[a] = c->root[b] = c->n + i;
    }
}

void fly_ward_chain(const uint32_t *counts, int32_t n, int32_t width, struct fly_ward_merge *merge,
                    struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena), points = (size_t)n;
    struct chain c = {.n = n};

    FLY_ASSERT(n >= 1);
    c.distance = fly_arena_take(arena, pairs_of(n) + 1, sizeof *c.distance);
    c.size = fly_arena_take(arena, points, sizeof *c.size);
    c.link = fly_arena_take(arena, points, sizeof *c.link);
    c.order = fly_arena_take(arena, points, sizeof *c.order);
    c.root = fly_arena_take(arena, 2 * points, sizeof *c.root);
    c.raw = fly_arena_take(arena, points, sizeof *c.raw);
    c.square = fly_arena_take(arena, points, sizeof *c.square);
    c.lit = fly_arena_take(arena, (size_t)width, sizeof *c.lit);
    FLY_ASSERT(c.distance && c.size && c.link && c.order && c.root && c.raw && c.square && c.lit);
    for (int32_t i = 0; i < n; i++)
        c.size[i] = 1;
    measure(&c, counts, width);
    run(&c);
    sort_steps(&c);
    number(&c, merge);
    fly_arena_reset(arena, mark);
}

void fly_ward_chain_cut(const struct fly_ward_merge *merge, int32_t n, int32_t k, int32_t *label,
                        struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    int32_t *root = fly_arena_take(arena, 2 * (size_t)n, sizeof *root), count = 0;
    int32_t *seen = fly_arena_take(arena, 2 * (size_t)n, sizeof *seen);

    FLY_ASSERT(root && seen && k >= 1);
    for (int32_t i = 0; i < 2 * n; i++) {
        root[i] = i;
        seen[i] = -1;
    }
    for (int32_t i = 0; i < n - k; i++)
        root[merge[i].a] = root[merge[i].b] = n + i;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = root_of(root, i);

        if (seen[at] < 0)
            seen[at] = count++;
        label[i] = seen[at];
    }
    fly_arena_reset(arena, mark);
}
