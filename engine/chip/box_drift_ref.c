/* The plain twin of engine/chip/box_drift_cut.c and of the sums of box_drift_find.c: whole pictures, pixel by pixel. */
#include "engine/chip/box_drift_own.h"

#include <math.h>
#include <string.h>

enum { CELL = FLY_BOX_DRIFT_CELL_PX };

struct pictures {
    const double *frame, *reference;
    int32_t h, w, near[2], reach;
    const int32_t *part; /* number of the part's first pixel, -1: none */
};

static double pixel(const double *picture, const struct pictures *p, int32_t y, int32_t x)
{
    return y >= 0 && x >= 0 && y < p->h && x < p->w ? picture[y * p->w + x] : NAN;
}

/* Each pixel takes the lowest number of its neighbours until none does. */
static void find_parts(const struct pictures *p, int32_t *part)
{
    int changed = 1;

    for (int32_t i = 0; i < p->h * p->w; i++)
        part[i] = isfinite(p->frame[i]) ? i : -1;
    while (changed) {
        changed = 0;
        for (int32_t i = 0; i < p->h * p->w; i++) {
            int32_t y = i / p->w, x = i % p->w;
            const int32_t beside[4] = {y ? i - p->w : i, x ? i - 1 : i, x < p->w - 1 ? i + 1 : i, y < p->h - 1 ? i + p->w : i};

            for (int k = 0; part[i] >= 0 && k < 4; k++)
                if (part[beside[k]] >= 0 && part[beside[k]] < part[i]) {
                    part[i] = part[beside[k]];
                    changed = 1;
                }
        }
    }
}

static int has_say(const struct pictures *p, int32_t y, int32_t x)
{
    for (int32_t ty = -p->reach; ty <= p->reach; ty++)
        for (int32_t tx = -p->reach; tx <= p->reach; tx++)
            if (!isfinite(pixel(p->reference, p, y + p->near[0] + ty, x + p->near[1] + tx)))
                return 0;
    return 1;
}

/* Pixels of a cell that have a say. */
static int32_t list(const struct pictures *p, int32_t part, int32_t y0, int32_t x0, int32_t at[CELL * CELL])
{
    int32_t n = 0, whole = 0;

    for (int32_t y = y0; y < y0 + CELL && y < p->h; y++)
        for (int32_t x = x0; x < x0 + CELL && x < p->w; x++) {
            if (p->part[y * p->w + x] != part)
                continue;
            whole++;
            if (has_say(p, y, x))
                at[n++] = y * p->w + x;
        }
    return whole >= FLY_BOX_DRIFT_PX_MIN ? n : 0;
}

/* sum (a - mean a)(b - mean b) */
static double co(const double *a, const double *b, int32_t n)
{
    double mean_a = 0.0, mean_b = 0.0, sum = 0.0;

    for (int32_t i = 0; i < n; i++) {
        mean_a += a[i] / n;
        mean_b += b[i] / n;
    }
    for (int32_t i = 0; i < n; i++)
        sum += (a[i] - mean_a) * (b[i] - mean_b);
    return sum;
}

static void add(const struct pictures *p, const int32_t *at, int32_t n, struct fly_box_sums *sums)
{
    double f[CELL * CELL], g[CELL * CELL];
    int32_t side = 2 * p->reach + 1;

    for (int32_t i = 0; i < n; i++)
        f[i] = p->frame[at[i]];
    for (int32_t t = 0; t < side * side; t++) {
        for (int32_t i = 0; i < n; i++)
            g[i] = pixel(p->reference, p, at[i] / p->w + p->near[0] + t / side - p->reach,
                         at[i] % p->w + p->near[1] + t % side - p->reach);
        sums->fg[t] += co(f, g, n);
        sums->gg[t] += co(g, g, n);
        if (t == side * side / 2)
            sums->white += co(f, f, n) * co(g, g, n) / n;
    }
    sums->ff += co(f, f, n);
    sums->boxes++;
    sums->px += n;
}

void fly_box_sum_ref(const double *frame, const double *reference, int32_t h, int32_t w, const int32_t near[2],
                     int32_t reach, int32_t *part, struct fly_box_sums *sums)
{
    struct pictures p = {frame, reference, h, w, {near[0], near[1]}, reach + FLY_BOX_MARGIN, part};
    int32_t at[CELL * CELL];

    memset(sums, 0, sizeof *sums);
    sums->reach = p.reach;
    find_parts(&p, part);
    for (int32_t root = 0; root < h * w; root++) {
        int32_t left = w;

        if (part[root] != root)
            continue;
        for (int32_t i = 0; i < h * w; i++)
            left = part[i] == root && i % w < left ? i % w : left;
        for (int32_t y = root / w; y < h; y += CELL)
            for (int32_t x = left; x < w; x += CELL) {
                int32_t n = list(&p, root, y, x, at);

                if (n >= FLY_BOX_DRIFT_PX_MIN)
                    add(&p, at, n, sums);
            }
    }
}
