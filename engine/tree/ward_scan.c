/* Passes over all clusters by their short vectors.
 *
 * The first STEP numbers lie by blocks of places, so that a pass reads little and rules out most; whoever is left is
 * asked for the others. A cluster x is further than a limit from one in a lane where
 *
 *   sum of squares > (limit (1/|x| + 1/|lane|) + REST R^2) / (1 - SLACK)
 *
 * which in floats is off by a few units of 2^-24: the limit and the whole are rounded up by 2^-20.
 */
#include <math.h>
#include <string.h>

#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

enum { LANES = FLY_WARD_LANES, STEP = FLY_WARD_STEP, NEAR = FLY_WARD_NEAR };

enum {
    FIRST = 4,   /* numbers by which most blocks of another kind are ruled out */
    AHEAD = 8,   /* of those left, the one whose numbers are fetched */
    PROBES = 32,
};

#define UP (1.0 + 0x1p-20)

/* A cluster of which nothing is known asks who is no further than so many times what seems the nearest (measured). */
static const double AROUND = 1.4;

/* Where nobody stands: further than anything, and its square is finite. */
static const float NOBODY = 0x1p60f;

/* Of a limit: less than nobody's square, more than that of any two short vectors. */
static const double FARTHEST = 0x1p90;

/* ---- places -------------------------------------------------------------------------------------- */

static float *block_at(const struct fly_ward_state *s, int32_t block)
{
    return s->brief_at + (size_t)block * (STEP * LANES);
}

static const float *rounded_of(const struct fly_ward_state *s, int32_t node)
{
    return s->rounded + (size_t)node * (size_t)s->short_width;
}

static void set_size(struct fly_ward_state *s, int32_t place, int32_t node)
{
    s->size_at[place] = node < 0 ? 1.0f : (float)s->size[node];
    s->share_at[place] = 1.0f / s->size_at[place];
}

void fly_ward_place(struct fly_ward_state *s, int32_t place, int32_t node)
{
    float *to = block_at(s, place / LANES) + place % LANES;

    s->node_at[place] = node;
    set_size(s, place, node);
    if (node < 0)
        *to = NOBODY;
    for (int k = 0; node >= 0 && k < STEP; k++)
        to[k * LANES] = rounded_of(s, node)[k];
}

FLY_CLONES static void fill_block(float *to, const float *const from[LANES])
{
    for (int k = 0; k < STEP; k++)
        for (int l = 0; l < LANES; l++)
            to[k * LANES + l] = from[l][k];
}

void fly_ward_place_all(struct fly_ward_state *s)
{
    for (int32_t b = 0; b < s->places / LANES; b++) {
        const float *from[LANES];

        for (int32_t l = 0; l < LANES; l++) {
            int32_t node = s->node_at[b * LANES + l];

            from[l] = rounded_of(s, node < 0 ? s->node_at[b * LANES] : node);
            set_size(s, b * LANES + l, node);
        }
        fill_block(block_at(s, b), from);
        for (int32_t l = 0; l < LANES; l++)
            if (s->node_at[b * LANES + l] < 0)
                block_at(s, b)[l] = NOBODY;
    }
}

/* ---- bounds -------------------------------------------------------------------------------------- */

/* Of the numbers from `from` on. */
FLY_CLONES_FUSED static float squares_on(const float *x, const float *y, int32_t from, int32_t len)
{
    float part[STEP] = {0.0f}, sum = 0.0f;

    for (int32_t k = from; k < len; k += STEP)
        for (int l = 0; l < STEP; l++)
            part[l] += (x[k + l] - y[k + l]) * (x[k + l] - y[k + l]);
    for (int l = 0; l < STEP / 4; l++)
        sum += (part[l] + part[l + 8]) + (part[l + 4] + part[l + 12]);
    return sum;
}

static double bound_of(const struct fly_ward_state *s, float sum, int32_t size_a, int32_t size_b)
{
    double square = (double)sum * (1.0 - (double)FLY_WARD_SLACK) - FLY_WARD_REST * s->reach * s->reach;

    return square > 0.0 ? square * fly_ward_merged(size_a, size_b) / s->scale / s->scale : 0.0;
}

double fly_ward_short(const struct fly_ward_state *s, int32_t a, int32_t b)
{
    return bound_of(s, squares_on(rounded_of(s, a), rounded_of(s, b), 0, s->short_width), s->size[a], s->size[b]);
}

/* ---- passes -------------------------------------------------------------------------------------- */

struct query {
    const struct fly_ward_state *s;
    int32_t node, own_block, first_block;
    uint32_t hidden;  /* lanes of the own block that are not asked for */
    float x[STEP];
    float size, share;
    double limit;     /* of D */
    float most, rest; /* the same scaled, of the bound above: whoever has a larger sum is further */
    int32_t found;    /* places in s->found */
};

static void set_limit(struct query *q, double limit)
{
    const struct fly_ward_state *s = q->s;
    double whole = UP / (1.0 - (double)FLY_WARD_SLACK);

    q->limit = limit;
    q->most = (float)fmin(limit * s->scale * s->scale * UP * whole, FARTHEST);
    q->rest = (float)(FLY_WARD_REST * s->reach * s->reach * whole) + q->most * q->share;
}

/* Of whom a place asks. Between fresh clusters it is enough that the lower one asks for the higher. */
static void begin(struct query *q, const struct fly_ward_state *s, int32_t place)
{
    uint32_t lane = 1u << place % LANES;

    q->s = s;
    q->node = s->node_at[place];
    q->own_block = place / LANES;
    q->first_block = s->all_fresh ? q->own_block : 0;
    q->hidden = s->all_fresh ? 2 * lane - 1 : lane;
    q->size = s->size_at[place];
    q->share = s->share_at[place];
    memcpy(q->x, rounded_of(s, q->node), sizeof q->x);
}

/* Lanes of a block. */
static uint32_t asked_of(const struct query *q, int32_t b)
{
    return b == q->own_block ? ~q->hidden : ~0u;
}

static float most_at(const struct query *q, int32_t place)
{
    return q->s->share_at[place] * q->most + q->rest;
}

#if FLY_HAS_WIDE

#include <immintrin.h>

/* Sums of squares of numbers from .. to - 1 more. */
FLY_WIDE_INLINE __m512 add_squares(__m512 sum, const float *block, const float *x, int from, int to)
{
    __m512 other = _mm512_setzero_ps();

    FLY_UNROLL for (int k = from; k < to; k += 2) {
        __m512 a = _mm512_sub_ps(_mm512_load_ps(block + k * LANES), _mm512_set1_ps(x[k]));
        __m512 b = _mm512_sub_ps(_mm512_load_ps(block + (k + 1) * LANES), _mm512_set1_ps(x[k + 1]));

        sum = _mm512_fmadd_ps(a, a, sum);
        other = _mm512_fmadd_ps(b, b, other);
    }
    return _mm512_add_ps(sum, other);
}

/* Where of the places asked for something like D is least, -1: nobody is there. */
FLY_WIDE static int32_t nearest_like_wide(const struct query *q)
{
    const struct fly_ward_state *s = q->s;
    __m512 least = _mm512_set1_ps(INFINITY), size = _mm512_set1_ps(q->size);
    __m512i where = _mm512_setzero_si512();
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    float of[LANES];
    int32_t at[LANES], best = 0;

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        __m512 sum = add_squares(_mm512_setzero_ps(), block_at(s, b), q->x, 0, STEP), like;
        __mmask16 less;

        if (b == q->own_block)
            sum = _mm512_mask_mov_ps(sum, (__mmask16)q->hidden, _mm512_set1_ps(INFINITY));
        like = _mm512_mul_ps(sum, _mm512_min_ps(size, _mm512_load_ps(s->size_at + b * LANES)));
        less = _mm512_cmp_ps_mask(like, least, _CMP_LT_OQ);
        least = _mm512_mask_mov_ps(least, less, like);
        where = _mm512_mask_mov_epi32(where, less, _mm512_add_epi32(lane, _mm512_set1_epi32(b * LANES)));
    }
    _mm512_storeu_ps(of, least);
    _mm512_storeu_si512(at, where);
    for (int l = 1; l < LANES; l++)
        if (of[l] < of[best] || (of[l] == of[best] && at[l] < at[best]))
            best = l;
    return of[best] < INFINITY ? at[best] : -1;
}

/* Who may be within the limit by the first numbers. */
FLY_WIDE static void find_wide(struct query *q)
{
    const struct fly_ward_state *s = q->s;
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512 most = _mm512_set1_ps(q->most), rest = _mm512_set1_ps(q->rest);

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        __m512 limit = _mm512_fmadd_ps(_mm512_load_ps(s->share_at + b * LANES), most, rest);
        __m512 sum = add_squares(_mm512_setzero_ps(), block_at(s, b), q->x, 0, FIRST);
        __m512i place = _mm512_add_epi32(lane, _mm512_set1_epi32(b * LANES));
        __mmask16 near;

        if (_mm512_cmp_ps_mask(sum, limit, _CMP_NGT_UQ) == 0)
            continue;
        sum = add_squares(sum, block_at(s, b), q->x, FIRST, STEP);
        near = (__mmask16)(_mm512_cmp_ps_mask(sum, limit, _CMP_NGT_UQ) & asked_of(q, b));
        if (near == 0)
            continue;
        _mm512_mask_compressstoreu_epi32(s->found + q->found, near, place);
        _mm512_mask_compressstoreu_ps(s->found_sum + q->found, near, sum);
        q->found += __builtin_popcount(near);
    }
}

/* Of these, who still may be by all numbers. */
FLY_WIDE static void narrow_wide(struct query *q)
{
    const struct fly_ward_state *s = q->s;
    const float *x = rounded_of(s, q->node);
    int32_t left = 0;

    for (int32_t i = 0; i < q->found; i++) {
        int32_t place = s->found[i], ahead = s->found[i + AHEAD < q->found ? i + AHEAD : i];
        const float *y = rounded_of(s, s->node_at[place]);
        float sum = s->found_sum[i], most = most_at(q, place);

        __builtin_prefetch(rounded_of(s, s->node_at[ahead]) + STEP);
        for (int32_t k = STEP; k < s->short_width && !(sum > most); k += STEP) {
            __m512 a = _mm512_sub_ps(_mm512_loadu_ps(x + k), _mm512_loadu_ps(y + k));

            sum += _mm512_reduce_add_ps(_mm512_mul_ps(a, a));
        }
        s->found[left] = place;
        s->found_sum[left] = sum;
        left += !(sum > most);
    }
    q->found = left;
}

#endif

FLY_CLONES_FUSED static void add_squares_plain(float *sum, const float *block, const float *x, int from, int to)
{
    for (int k = from; k < to; k++)
        for (int l = 0; l < LANES; l++)
            sum[l] += (block[k * LANES + l] - x[k]) * (block[k * LANES + l] - x[k]);
}

static int32_t nearest_like_plain(const struct query *q)
{
    const struct fly_ward_state *s = q->s;
    float least = INFINITY;
    int32_t best = -1;

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        float sum[LANES] = {0.0f};

        add_squares_plain(sum, block_at(s, b), q->x, 0, STEP);
        for (int l = 0; l < LANES; l++) {
            float like = sum[l] * fminf(q->size, s->size_at[b * LANES + l]);

            if (like < least && asked_of(q, b) >> l & 1) {
                least = like;
                best = b * LANES + l;
            }
        }
    }
    return best;
}

static void find_plain(struct query *q)
{
    const struct fly_ward_state *s = q->s;

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        float sum[LANES] = {0.0f};
        int within = 0;

        add_squares_plain(sum, block_at(s, b), q->x, 0, FIRST);
        for (int l = 0; l < LANES; l++)
            within |= !(sum[l] > most_at(q, b * LANES + l));
        if (!within)
            continue;
        add_squares_plain(sum, block_at(s, b), q->x, FIRST, STEP);
        for (int l = 0; l < LANES; l++) {
            if (sum[l] > most_at(q, b * LANES + l) || !(asked_of(q, b) >> l & 1))
                continue;
            s->found[q->found] = b * LANES + l;
            s->found_sum[q->found++] = sum[l];
        }
    }
}

static void narrow_plain(struct query *q)
{
    const struct fly_ward_state *s = q->s;
    int32_t left = 0;

    for (int32_t i = 0; i < q->found; i++) {
        int32_t place = s->found[i];
        float sum = s->found_sum[i], most = most_at(q, place);

        if (!(sum > most))
            sum += squares_on(rounded_of(s, q->node), rounded_of(s, s->node_at[place]), STEP, s->short_width);
        s->found[left] = place;
        s->found_sum[left] = sum;
        left += !(sum > most);
    }
    q->found = left;
}

static int forbids_wide;

void fly_ward_wide_forbid(int forbidden)
{
    forbids_wide = forbidden;
}

#if FLY_HAS_WIDE
static int wide(void)
{
    return !forbids_wide && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Somebody to begin with: near by the first numbers. -1: there is nobody. */
static int32_t nearest_like(const struct query *q)
{
    int32_t place;

#if FLY_HAS_WIDE
    place = wide() ? nearest_like_wide(q) : nearest_like_plain(q);
#else
    place = nearest_like_plain(q);
#endif
    return place >= 0 && q->s->node_at[place] >= 0 ? place : -1;
}

/* Whom short vectors leave within the limit. */
static void find(struct query *q)
{
    q->found = 0;
#if FLY_HAS_WIDE
    if (wide()) {
        find_wide(q);
        narrow_wide(q);
        return;
    }
#endif
    find_plain(q);
    narrow_plain(q);
}

static void count(struct fly_ward *ward, const struct query *q)
{
    const struct fly_ward_state *s = q->s;
    int32_t asked = s->places - q->first_block * LANES;

    ward->work.bounds += asked < s->clusters ? asked : s->clusters - 1;
}

/* ---- who is near --------------------------------------------------------------------------------- */

/* Into its place among the nearest; whoever falls out tells how near the rest may be. */
static void take_in(struct fly_ward_near *near, struct query *q, int32_t node, double bound)
{
    int at = near->count;

    if (near->count == NEAR) {
        near->crowded = 1;
        if (bound >= near->least[NEAR - 1])
            return;
        at = NEAR - 1;
    } else {
        near->count++;
    }
    for (; at > 0 && near->least[at - 1] > bound; at--) {
        near->least[at] = near->least[at - 1];
        near->node[at] = near->node[at - 1];
    }
    near->least[at] = bound;
    near->node[at] = node;
    near->exact[near->count - 1] = 0;
    if (near->count == NEAR && near->least[NEAR - 1] < q->limit)
        set_limit(q, near->least[NEAR - 1]);
}

void fly_ward_scan(struct fly_ward *ward, int32_t place, double limit)
{
    struct fly_ward_state *s = ward->state;
    struct fly_ward_near *near = &s->near[place];
    struct query q;

    begin(&q, s, place);
    count(ward, &q);
    s->queries++; /* where it is followed by one in full, the two are one */
    if (limit == 0.0) {
        int32_t like = nearest_like(&q);

        if (like < 0) {
            *near = (struct fly_ward_near){.rest = INFINITY};
            return;
        }
        limit = AROUND * fly_ward_short(s, q.node, s->node_at[like]);
    }
    near->count = near->crowded = near->complete = 0;
    set_limit(&q, limit);
    find(&q);
    for (int32_t i = 0; i < q.found; i++) {
        int32_t node = s->node_at[s->found[i]];
        double bound = bound_of(s, s->found_sum[i], s->size[q.node], s->size[node]);

        if (bound <= q.limit)
            take_in(near, &q, node, bound);
    }
    near->rest = q.limit;
}

void fly_ward_query(struct fly_ward *ward, int32_t place)
{
    struct fly_ward_state *s = ward->state;
    struct query q;
    int32_t nearest, begun;
    double best;

    begin(&q, s, place);
    count(ward, &q);
    begun = nearest = nearest_like(&q);
    if (nearest < 0) {
        fly_ward_near_from(s, place, INFINITY);
        return;
    }
    best = fly_ward_distance(s, q.node, s->node_at[nearest], INFINITY);
    ward->work.distances++;
    set_limit(&q, best);
    find(&q);
    for (int32_t i = 0; i < q.found; i++) {
        int32_t at = s->found[i];
        double d;

        if (at == begun || s->found_sum[i] > most_at(&q, at))
            continue;
        d = fly_ward_distance(s, q.node, s->node_at[at], best);
        ward->work.distances++;
        if (d < best || (d == best && at < nearest)) {
            best = d;
            nearest = at;
            set_limit(&q, best);
        }
    }
    fly_ward_near_is(s, place, s->node_at[nearest], best);
}

int32_t fly_ward_looked(struct fly_ward_state *s)
{
    int32_t looked = 0, probes = s->clusters < PROBES ? s->clusters : PROBES, all_fresh = s->all_fresh;

    if (s->clusters < 2)
        return 0;
    s->all_fresh = 0;
    for (int32_t p = 0; p < probes; p++) {
        struct query q;

        begin(&q, s, (int32_t)((int64_t)p * s->clusters / probes));
        set_limit(&q, fly_ward_distance(s, q.node, s->node_at[nearest_like(&q)], INFINITY));
        find(&q);
        looked += q.found;
    }
    s->all_fresh = all_fresh;
    return looked / probes;
}
