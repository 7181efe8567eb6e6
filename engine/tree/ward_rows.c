/* All pairs at once: bounds of D from one product in single precision, and from there by the formula of Lance and
 * Williams,
 *
 *   D(AB, C) = ((|A| + |C|) D(A, C) + (|B| + |C|) D(B, C) - |C| D(A, B)) / (|A| + |B| + |C|)
 *
 * in which D(A, C) and D(B, C) count with plus: bounds from below of them give one of D(AB, C). D(A, B) is known.
 *
 * Product  |x - y|^2 = |x|^2 + |y|^2 - 2 xy, where a float sum of W products is off by at most W u |x| |y| in any order
 *          (u = 2^-24; Higham 2002, section 3.1), at most W u (|x|^2 + |y|^2) / 2. That vectors are rounded to float is
 *          covered as in ward_brief.c.
 * Rows     a place's row holds its bounds to all places. Rows are brought up to date with the merges since (events)
 *          only when they are asked; merged clusters stand in the lower place, the other is infinitely far.
 */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

enum { TILE = 192 };

#define UNIT  0x1p-24
#define SLACK 0x1p-11f /* as in ward_brief.c */
#define REST  0x1p-33
#define LESS  (1.0f - 0x1p-20f) /* 16 units: no expression here rounds as often */
#define MORE  (1.0f + 0x1p-20f)

static float *row_at(const struct fly_ward_state *s, int32_t place)
{
    return s->row + (size_t)place * s->row_len;
}

/* ---- the product --------------------------------------------------------------------------------- */

static void make_single(struct fly_ward_state *s)
{
    size_t d = (size_t)s->width;
    double most = 0.0;
    int exponent;

    for (int32_t p = 0; p < s->clusters; p++) {
        const double *x = s->centroid + (size_t)s->node_at[p] * d;
        double square = 0.0;

        for (size_t k = 0; k < d; k++)
            square += (x[k] - s->mean[k]) * (x[k] - s->mean[k]);
        most = fmax(most, sqrt(square));
    }
    frexp(most, &exponent);
    s->row_scale = ldexp(1.0, -exponent);
    s->row_reach = 0.0;
    for (int32_t p = 0; p < s->clusters; p++) {
        const double *x = s->centroid + (size_t)s->node_at[p] * d;
        float *to = s->single + (size_t)p * d;
        double square = 0.0;

        for (size_t k = 0; k < d; k++) {
            to[k] = (float)((x[k] - s->mean[k]) * s->row_scale);
            square += (double)to[k] * (double)to[k];
        }
        s->square[p] = square;
        s->row_reach = fmax(s->row_reach, sqrt(square));
    }
}

/* Products of a tile's row become bounds. */
FLY_CLONES_FUSED static void bounds_of(float *x, const double *square, const float *size, int32_t len, float own_square,
                                       float own_size, float slack, float rest)
{
    for (int32_t c = 0; c < len; c++) {
        float all = own_square + (float)square[c], factor = own_size * size[c] / (own_size + size[c]);
        float bound = factor * ((all * slack - 2.0f * x[c]) * (1.0f - SLACK) - rest);

        x[c] = bound > 0.0f ? bound : 0.0f;
    }
}

struct fill {
    struct fly_ward_state *s;
    int32_t tiles;
};

static void fill_tile(void *arg, int32_t job, int32_t worker)
{
    const struct fill *fill = arg;
    struct fly_ward_state *s = fill->s;
    int32_t i = 0, rows, cols, first_row, first_col;
    size_t d = (size_t)s->width;

    (void)worker;
    for (; job >= fill->tiles - i; i++)
        job -= fill->tiles - i;
    first_row = i * TILE;
    first_col = (i + job) * TILE;
    rows = s->clusters - first_row < TILE ? s->clusters - first_row : TILE;
    cols = s->clusters - first_col < TILE ? s->clusters - first_col : TILE;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, cols, (int)d, 1.0f, s->single + (size_t)first_row * d,
                (int)d, s->single + (size_t)first_col * d, (int)d, 0.0f, row_at(s, first_row) + first_col,
                (int)s->row_len);
    for (int32_t r = first_row; r < first_row + rows; r++)
        bounds_of(row_at(s, r) + first_col, s->square + first_col, s->size_at + first_col, cols, (float)s->square[r],
                  s->size_at[r], (float)(1.0 - (s->width + 16) * UNIT * 1.01),
                  (float)(REST * s->row_reach * s->row_reach));
    for (int32_t r = first_row; job > 0 && r < first_row + rows; r += FLY_WARD_LANES)
        for (int32_t c = first_col; c < first_col + cols; c++)
            for (int32_t k = r; k < r + FLY_WARD_LANES && k < first_row + rows; k++)
                row_at(s, c)[k] = row_at(s, k)[c];
}

void fly_ward_rows_fill(struct fly_ward *ward, const struct fly_exec *exec)
{
    struct fly_ward_state *s = ward->state;
    struct fill fill = {.s = s, .tiles = (s->clusters + TILE - 1) / TILE};

    make_single(s);
    exec->run(exec->ctx, fill.tiles * (fill.tiles + 1) / 2, fill_tile, &fill);
    for (int32_t p = 0; p < s->clusters; p++) {
        float *row = row_at(s, p);

        row[p] = INFINITY;
        for (int32_t c = s->clusters; c < s->places; c++)
            row[c] = INFINITY;
        s->caught_up[p] = 0;
    }
    s->events = 0;
    ward->work.products += (int64_t)s->clusters * (s->clusters - 1) / 2;
}

/* ---- merges -------------------------------------------------------------------------------------- */

static void catch_up(struct fly_ward_state *s, int32_t place)
{
    float *row = row_at(s, place), size = s->size_at[place];

    /* Merges hit the row here and there: it is fetched in one go before. */
    for (int32_t p = 0; s->caught_up[place] < s->events && p < s->places; p += 64 / (int32_t)sizeof *row)
        __builtin_prefetch(row + p, 1);
    for (int32_t e = s->caught_up[place]; e < s->events; e++) {
        const struct fly_ward_event *m = &s->event[e];
        float a = row[m->to], b = row[m->from], least = a < b ? a : b;
        float sum = (m->size_a + size) * a + (m->size_b + size) * b;
        float bound = (sum * LESS - size * m->cost * MORE) / (m->size_a + m->size_b + size);

        /* It is no nearer than the nearer of the two. */
        row[m->to] = bound > least ? bound : least;
        row[m->from] = INFINITY;
    }
    s->caught_up[place] = s->events;
}

FLY_CLONES_FUSED static void join_rows(float *a, const float *b, const float *size, int32_t len, float size_a,
                                       float size_b, float cost)
{
    for (int32_t c = 0; c < len; c++) {
        float least = a[c] < b[c] ? a[c] : b[c];
        float sum = (size_a + size[c]) * a[c] + (size_b + size[c]) * b[c];
        float bound = (sum * LESS - size[c] * cost * MORE) / (size_a + size_b + size[c]);

        a[c] = bound > least ? bound : least;
    }
}

void fly_ward_rows_merge(struct fly_ward_state *s, int32_t to, int32_t from, double cost)
{
    struct fly_ward_event event = {.to = to, .from = from, .size_a = s->size_at[to], .size_b = s->size_at[from]};

    event.cost = (float)(cost * s->row_scale * s->row_scale * (1.0 + 0x1p-22));
    catch_up(s, to);
    catch_up(s, from);
    join_rows(row_at(s, to), row_at(s, from), s->size_at, s->places, event.size_a, event.size_b, event.cost);
    row_at(s, to)[to] = row_at(s, to)[from] = INFINITY;
    s->event[s->events++] = event;
    s->caught_up[to] = s->events;
}

/* ---- the nearest --------------------------------------------------------------------------------- */

enum { LANES = FLY_WARD_LANES, STRETCH = 128 };

/* Least of each stretch, and of all. */
FLY_CLONES static float least_of(const float *x, int32_t len, float *stretch)
{
    float all = INFINITY;

    for (int32_t k = 0; k < len; k += STRETCH) {
        float least[LANES];

        for (int l = 0; l < LANES; l++)
            least[l] = INFINITY;
        for (int32_t at = k; at < k + STRETCH && at < len; at += LANES)
            for (int l = 0; l < LANES; l++)
                least[l] = x[at + l] < least[l] ? x[at + l] : least[l];
        for (int half = LANES / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++)
                least[l] = least[l + half] < least[l] ? least[l + half] : least[l];
        stretch[k / STRETCH] = least[0];
        all = least[0] < all ? least[0] : all;
    }
    return all;
}

/* Least of the stretches from the one on in which the place stands; the lower of two asks for the higher, as in
 * ward_brief.c. Lower ones stay in the row: what merges with a lower place needs them. */
static float least_above(const struct fly_ward_state *s, int32_t place)
{
    const float *row = row_at(s, place);
    int32_t own = place / STRETCH, end = (own + 1) * STRETCH;
    float least = INFINITY, others = INFINITY;

    for (int32_t p = place + 1; p < end && p < s->places; p++)
        least = row[p] < least ? row[p] : least;
    if (end < s->places)
        others = least_of(row + end, s->places - end, s->partial + own + 1);
    s->partial[own] = least;
    return least < others ? least : others;
}

static float rounded_up(const struct fly_ward_state *s, double distance)
{
    return (float)(distance * s->row_scale * s->row_scale * (1.0 + 0x1p-20));
}

void fly_ward_rows_query(struct fly_ward *ward, int32_t place)
{
    struct fly_ward_state *s = ward->state;
    int32_t nearest = -1, node = s->node_at[place];
    float *row = row_at(s, place), most, first;
    double best = INFINITY;

    catch_up(s, place);
    first = least_above(s, place);
    /* First the one of the least bound, then whoever may be as near. */
    for (int only_first = 1; only_first >= 0; only_first--) {
        most = only_first ? first : rounded_up(s, best);
        for (int32_t p = place + 1; p < s->places; p++) {
            double d;

            if ((p % STRETCH == 0 || p == place + 1) && !(s->partial[p / STRETCH] <= most)) {
                p += STRETCH - 1 - p % STRETCH;
                continue;
            }
            if (!(row[p] <= most) || s->node_at[p] < 0 || p == nearest)
                continue;
            d = fly_ward_distance(s, node, s->node_at[p], best);
            ward->work.distances++;
            row[p] = (float)(d * s->row_scale * s->row_scale * (1.0 - 0x1p-20));
            if (d < best || (d == best && p < nearest)) {
                best = d;
                nearest = p;
                most = only_first ? most : rounded_up(s, best);
            }
            if (only_first)
                break;
        }
    }
    if (nearest < 0)
        fly_ward_near_from(s, place, INFINITY);
    else
        fly_ward_near_is(s, place, s->node_at[nearest], best);
}
