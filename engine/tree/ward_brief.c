/* Short vectors: what is left of a centroid in the directions in which points differ most.
 *
 * For orthonormal directions |c - c'| >= |Vt (c - c')|. Short vectors are linear in the centroid, so a merged
 * cluster's is the mean of its parts'. In double their error is far below the rounding to float, which is at most
 * e = 2^-24 R a vector, R the longest one. (p - q)^2 >= p^2 (1 - t) - q^2 (1/t - 1) with q = 2 e and t = 2^-12 makes of
 * a float distance s the bound s (1 - SLACK) - REST R^2, where SLACK also covers the sums' own rounding.
 */
#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

#define SLACK 0x1p-11f
#define REST  0x1p-33 /* 4 * 2^-48 * 2^12 is 2^-34 */

typedef double eight __attribute__((vector_size(64)));
typedef double eight_anywhere __attribute__((vector_size(64), aligned(8), may_alias));
enum { LANES = FLY_WARD_LANES, STEP = FLY_WARD_STEP, PROBES = 32 };

/* Where nobody stands: further than anything, and its square is finite. */
static const float NOBODY = 0x1p60f;

/* ---- directions ---------------------------------------------------------------------------------- */

enum { P = FLY_WARD_SHORT, VECTORS = P / 8 }; /* short numbers, where there are fewer of them than long ones */

#define EIGHT(x) (*(const eight_anywhere *)(x))

/* Two vectors less the mean along the directions, so that these are read half as often. */
FLY_CLONES_FUSED static void along(double *out1, double *out2, const double *x1, const double *x2, const double *mean,
                                   const double *v, size_t d)
{
    eight one[VECTORS] = {{0}}, two[VECTORS] = {{0}};

    for (size_t k = 0; k < d; k++) {
        double y1 = x1[k] - mean[k], y2 = x2[k] - mean[k];

        FLY_UNROLL for (int j = 0; j < VECTORS; j++) {
            eight direction = EIGHT(v + k * P + 8 * j);

            one[j] += y1 * direction;
            two[j] += y2 * direction;
        }
    }
    memcpy(out1, one, sizeof one);
    memcpy(out2, two, sizeof two);
}

/* v (d, P) = xt (d, rows) y (rows, P) */
FLY_CLONES_FUSED static void across(double *v, const double *x, const double *y, size_t rows, size_t d)
{
    for (size_t k = 0; k < d; k++) {
        eight sum[VECTORS] = {{0}};

        for (size_t r = 0; r < rows; r++)
            FLY_UNROLL for (int j = 0; j < VECTORS; j++)
                sum[j] += x[r * d + k] * EIGHT(y + r * P + 8 * j);
        memcpy(v + k * P, sum, sizeof sum);
    }
}

FLY_CLONES_FUSED static double dot(const double *x, const double *y, size_t len)
{
    eight sum = {0};
    double rest = 0.0;
    size_t k = 0;

    for (; k + 8 <= len; k += 8)
        sum += EIGHT(x + k) * EIGHT(y + k);
    for (; k < len; k++)
        rest += x[k] * y[k];
    for (int l = 0; l < 8; l++)
        rest += sum[l];
    return rest;
}

FLY_CLONES static void add_scaled(double *to, const double *x, double by, size_t len)
{
    for (size_t k = 0; k < len; k++)
        to[k] += by * x[k];
}

/* Columns made orthonormal by Gram and Schmidt, twice over, so that rounding leaves nothing of the others in them; a
 * column that lies in those before it becomes zero. `t` (P, d) is scratch. */
static void orthonormal(double *v, double *t, size_t d)
{
    for (size_t j = 0; j < P; j++)
        for (size_t k = 0; k < d; k++)
            t[j * d + k] = v[k * P + j];
    for (size_t j = 0; j < P; j++) {
        double *c = t + j * d, before = dot(c, c, d), square;

        for (int again = 0; again < 2; again++)
            for (size_t i = 0; i < j; i++)
                add_scaled(c, t + i * d, -dot(c, t + i * d, d), d);
        square = dot(c, c, d);
        for (size_t k = 0; k < d; k++)
            c[k] = square > 1e-20 * before ? c[k] / sqrt(square) : 0.0;
    }
    for (size_t j = 0; j < P; j++)
        for (size_t k = 0; k < d; k++)
            v[k * P + j] = t[j * d + k];
}

/* Points spread evenly over those given, less their mean. */
static size_t take_sample(struct fly_ward_state *s, const int32_t *points, int32_t count)
{
    size_t d = (size_t)s->width, rows = (size_t)(count < FLY_WARD_SAMPLE ? count : FLY_WARD_SAMPLE);

    memset(s->mean, 0, d * sizeof *s->mean);
    for (size_t r = 0; r < rows; r++) {
        const double *x = s->centroid + (size_t)points[r * (size_t)count / rows] * d;

        for (size_t k = 0; k < d; k++)
            s->mean[k] += x[k] / (double)rows;
    }
    for (size_t r = 0; s->directed && r < rows; r++) {
        const double *x = s->centroid + (size_t)points[r * (size_t)count / rows] * d;

        for (size_t k = 0; k < d; k++)
            s->sample[r * d + k] = x[k] - s->mean[k];
    }
    return rows;
}

/* Brought near 1, so that squares of squares stay numbers. */
static void shrink(double *x, size_t len)
{
    double most = 0.0;

    for (size_t k = 0; k < len; k++)
        most = fmax(most, fabs(x[k]));
    for (size_t k = 0; most > 0.0 && k < len; k++)
        x[k] /= most;
}

/* The directions in which a sample varies most, roughly: what its covariance makes of random ones (Halko, Martinsson,
 * Tropp 2011, doi:10.1137/090771806). Any orthonormal directions are right, these need only be good; a second round
 * spares few distances more (measured). */
static void find_directions(struct fly_ward_state *s, const int32_t *points, int32_t count)
{
    size_t d = (size_t)s->width, rows = take_sample(s, points, count);
    double *briefs = s->sample + FLY_WARD_SAMPLE * d, *scratch = briefs + FLY_WARD_SAMPLE * P;
    struct fly_rng rng = {1};

    if (!s->directed)
        return;
    for (size_t k = 0; k < d * P; k++)
        s->direction[k] = fly_rng_uniform(&rng) - 0.5;
    memset(scratch, 0, d * sizeof *scratch); /* the sample has no mean any more */
    for (size_t r = 0; r < rows; r += 2) {
        size_t other = r + 1 < rows ? r + 1 : r;

        along(briefs + r * P, briefs + other * P, s->sample + r * d, s->sample + other * d, scratch, s->direction, d);
    }
    shrink(briefs, rows * P);
    across(s->direction, s->sample, briefs, rows, d);
    shrink(s->direction, d * P);
    orthonormal(s->direction, scratch, d);
}

static void reach_of(struct fly_ward_state *s, const double *brief)
{
    double square = 0.0;

    for (int32_t k = 0; k < s->short_width; k++)
        square += brief[k] * brief[k];
    s->reach = fmax(s->reach, sqrt(square));
}

void fly_ward_brief(struct fly_ward_state *s, const int32_t *points, int32_t count)
{
    size_t d = (size_t)s->width, p = (size_t)s->short_width;

    for (int32_t i = 0; i < count; i += 2) {
        int32_t both[2] = {points[i], points[i + 1 < count ? i + 1 : i]};
        const double *x[2] = {s->centroid + (size_t)both[0] * d, s->centroid + (size_t)both[1] * d};
        double *to[2] = {s->brief + (size_t)both[0] * p, s->brief + (size_t)both[1] * p};

        if (s->directed)
            along(to[0], to[1], x[0], x[1], s->mean, s->direction, d);
        for (int r = 0; r < 1 + (both[0] != both[1]); r++) {
            for (size_t k = 0; !s->directed && k < p; k++)
                to[r][k] = k < d ? x[r][k] - s->mean[k] : 0.0;
            for (size_t k = 0; k < p; k++)
                to[r][k] *= s->scale;
            reach_of(s, to[r]);
        }
    }
}

void fly_ward_base(struct fly_ward_state *s, const int32_t *points, int32_t count)
{
    size_t p = (size_t)s->short_width;
    int exponent;

    find_directions(s, points, count);
    s->scale = 1.0;
    s->reach = 0.0;
    fly_ward_brief(s, points, count);
    frexp(s->reach, &exponent);
    s->scale = ldexp(1.0, -exponent);
    s->reach *= s->scale;
    for (int32_t i = 0; i < count; i++)
        for (size_t k = 0; k < p; k++)
            s->brief[(size_t)points[i] * p + k] *= s->scale;
    s->based = 1;
    s->based_on = count;
}

/* ---- places -------------------------------------------------------------------------------------- */

/* STEP numbers of a block of places lie together, and those of all blocks before the next STEP: the first ones, which
 * rule out most, are read in one go. */
static float *block_at(const struct fly_ward_state *s, int32_t block, int32_t number)
{
    return s->brief_at + ((size_t)(number / STEP) * s->blocks + (size_t)block) * (STEP * LANES);
}

static float *place_at(const struct fly_ward_state *s, int32_t place, int32_t number)
{
    return block_at(s, place / LANES, number) + number % STEP * LANES + place % LANES;
}

void fly_ward_place(struct fly_ward_state *s, int32_t place, int32_t node)
{
    const double *from = s->brief + (size_t)node * (size_t)s->short_width;

    s->node_at[place] = node;
    s->size_at[place] = node < 0 ? 1.0f : (float)s->size[node];
    if (node < 0)
        *place_at(s, place, 0) = NOBODY;
    for (int32_t k = 0; node >= 0 && k < s->short_width; k++)
        *place_at(s, place, k) = (float)from[k];
}

FLY_CLONES static void fill_step(float *to, const double *const from[LANES], int32_t first)
{
    for (int k = 0; k < STEP; k++)
        for (int l = 0; l < LANES; l++)
            to[k * LANES + l] = (float)from[l][first + k];
}

void fly_ward_place_all(struct fly_ward_state *s)
{
    for (int32_t b = 0; b < s->places / LANES; b++) {
        const double *from[LANES];

        for (int32_t l = 0; l < LANES; l++) {
            int32_t node = s->node_at[b * LANES + l];

            from[l] = s->brief + (size_t)(node < 0 ? s->node_at[b * LANES] : node) * (size_t)s->short_width;
            s->size_at[b * LANES + l] = node < 0 ? 1.0f : (float)s->size[node];
        }
        for (int32_t k = 0; k < s->short_width; k += STEP)
            fill_step(block_at(s, b, k), from, k);
        for (int32_t l = 0; l < LANES; l++)
            if (s->node_at[b * LANES + l] < 0)
                *place_at(s, b * LANES + l, 0) = NOBODY;
    }
}

/* ---- the nearest --------------------------------------------------------------------------------- */

struct query {
    const struct fly_ward_state *s;
    float short_one[FLY_WARD_SHORT];
    int32_t own_block, first_block;
    uint32_t hidden;  /* lanes of the own block that are not asked for */
    float size, rest; /* of the bound: REST R^2 */
    float most;       /* D of the nearest known so far, scaled and rounded up */
};

static void set_most(struct query *q, double distance)
{
    q->most = (float)(distance * q->s->scale * q->s->scale * (1.0 + 0x1p-20));
}

#if FLY_HAS_WIDE

#include <immintrin.h>

/* Sums of squares of STEP numbers more. */
FLY_WIDE_INLINE __m512 add_squares(__m512 sum, const float *block, const float *x)
{
    __m512 other = _mm512_setzero_ps();

    for (int k = 0; k < STEP; k += 2) {
        __m512 a = _mm512_sub_ps(_mm512_load_ps(block + k * LANES), _mm512_set1_ps(x[k]));
        __m512 b = _mm512_sub_ps(_mm512_load_ps(block + (k + 1) * LANES), _mm512_set1_ps(x[k + 1]));

        sum = _mm512_fmadd_ps(a, a, sum);
        other = _mm512_fmadd_ps(b, b, other);
    }
    return _mm512_add_ps(sum, other);
}

/* First sums of the places asked for; returns where something like D is least, -1: nobody is there. */
FLY_WIDE static int32_t first_sums_wide(const struct query *q)
{
    const struct fly_ward_state *s = q->s;
    __m512 least = _mm512_set1_ps(INFINITY), size = _mm512_set1_ps(q->size);
    __m512i where = _mm512_setzero_si512();
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const float *first = block_at(s, 0, 0);
    float of[LANES];
    int32_t at[LANES], best = 0;

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        __m512 sum = add_squares(_mm512_setzero_ps(), first + (size_t)b * (STEP * LANES), q->short_one), like;
        __mmask16 less;

        if (b == q->own_block)
            sum = _mm512_mask_mov_ps(sum, (__mmask16)q->hidden, _mm512_set1_ps(INFINITY));
        like = _mm512_mul_ps(sum, _mm512_min_ps(size, _mm512_load_ps(s->size_at + b * LANES)));
        less = _mm512_cmp_ps_mask(like, least, _CMP_LT_OQ);
        _mm512_store_ps(s->partial + b * LANES, sum);
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

/* The next block from *b on that may hold one as near as the nearest known; its lanes. 0: there is none. */
FLY_WIDE static uint32_t next_near_wide(const struct query *q, int32_t *b)
{
    const struct fly_ward_state *s = q->s;
    __m512 size = _mm512_set1_ps(q->size), most = _mm512_set1_ps(q->most), rest = _mm512_set1_ps(q->rest);
    __m512 slack = _mm512_set1_ps(1.0f - SLACK);

    for (; *b < s->places / LANES; ++*b) {
        __m512 sum = _mm512_load_ps(s->partial + *b * LANES), sizes = _mm512_load_ps(s->size_at + *b * LANES);
        __m512 by = _mm512_mul_ps(sizes, size), limit = _mm512_mul_ps(_mm512_add_ps(sizes, size), most);

        for (int32_t k = STEP;; k += STEP) {
            __m512 bound = _mm512_sub_ps(_mm512_mul_ps(sum, slack), rest);
            uint32_t near = _mm512_cmp_ps_mask(_mm512_mul_ps(bound, by), limit, _CMP_NGT_UQ);

            if (near == 0)
                break;
            if (k == s->short_width)
                return near;
            sum = add_squares(sum, block_at(s, *b, k), q->short_one + k);
        }
    }
    return 0;
}

#endif

FLY_CLONES_FUSED static void more_squares(float *sum, const float *block, const float *x)
{
    for (int k = 0; k < STEP; k++)
        for (int l = 0; l < LANES; l++)
            sum[l] += (block[k * LANES + l] - x[k]) * (block[k * LANES + l] - x[k]);
}

static int32_t first_sums_plain(const struct query *q)
{
    const struct fly_ward_state *s = q->s;
    float least = INFINITY;
    int32_t best = -1;

    for (int32_t b = q->first_block; b < s->places / LANES; b++) {
        float *sum = s->partial + b * LANES;

        memset(sum, 0, LANES * sizeof *sum);
        more_squares(sum, block_at(s, b, 0), q->short_one);
        for (int l = 0; l < LANES; l++) {
            float like;

            if (b == q->own_block && q->hidden >> l & 1)
                sum[l] = INFINITY;
            like = sum[l] * fminf(q->size, s->size_at[b * LANES + l]);
            if (like < least) {
                least = like;
                best = b * LANES + l;
            }
        }
    }
    return best;
}

static uint32_t near_in_block(const struct query *q, int32_t b)
{
    const struct fly_ward_state *s = q->s;
    const float *sizes = s->size_at + b * LANES;
    float sum[LANES];

    memcpy(sum, s->partial + b * LANES, sizeof sum);
    for (int32_t k = STEP;; k += STEP) {
        uint32_t near = 0;

        for (int l = 0; l < LANES; l++) {
            float bound = (sum[l] * (1.0f - SLACK) - q->rest) * (sizes[l] * q->size);

            near |= (uint32_t)!(bound > (sizes[l] + q->size) * q->most) << l;
        }
        if (near == 0 || k == s->short_width)
            return near;
        more_squares(sum, block_at(s, b, k), q->short_one + k);
    }
}

static uint32_t next_near_plain(const struct query *q, int32_t *b)
{
    uint32_t near = 0;

    for (; *b < q->s->places / LANES && (near = near_in_block(q, *b)) == 0; ++*b)
        ;
    return near;
}

static int forbids_wide;

void fly_ward_wide_forbid(int forbidden)
{
    forbids_wide = forbidden;
}

static int wide(void)
{
#if FLY_HAS_WIDE
    return !forbids_wide && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

static int32_t first_sums(const struct query *q)
{
#if FLY_HAS_WIDE
    if (wide())
        return first_sums_wide(q);
#endif
    return first_sums_plain(q);
}

static uint32_t next_near(const struct query *q, int32_t *b)
{
#if FLY_HAS_WIDE
    if (wide())
        return next_near_wide(q, b);
#endif
    return next_near_plain(q, b);
}

/* First sums of whom a place asks for; a place to begin with. Between fresh clusters it is enough that the lower one
 * asks for the higher. */
static int32_t begin_query(struct query *q, struct fly_ward_state *s, int32_t place)
{
    uint32_t lane = 1u << place % LANES;

    q->s = s;
    q->own_block = place / LANES;
    q->first_block = s->all_fresh ? q->own_block : 0;
    q->hidden = s->all_fresh ? 2 * lane - 1 : lane;
    q->size = s->size_at[place];
    q->rest = (float)(REST * s->reach * s->reach);
    for (int32_t k = 0; k < s->short_width; k++)
        q->short_one[k] = *place_at(s, place, k);
    return first_sums(q);
}

void fly_ward_query(struct fly_ward *ward, int32_t place)
{
    struct fly_ward_state *s = ward->state;
    struct query q;
    int32_t node = s->node_at[place], nearest = begin_query(&q, s, place), begun = nearest, b = q.first_block;
    uint32_t near;
    double best;

    ward->work.bounds += (s->places - q.first_block * LANES) < s->clusters ? s->places - q.first_block * LANES
                                                                           : s->clusters - 1;
    s->queries++;
    if (nearest < 0 || s->node_at[nearest] < 0) {
        fly_ward_bound(s, place, INFINITY, -1);
        return;
    }
    best = fly_ward_distance(s, node, s->node_at[nearest], INFINITY);
    ward->work.distances++;
    set_most(&q, best);
    for (; (near = next_near(&q, &b)) != 0; b++)
        for (; near; near &= near - 1) {
            int32_t at = b * LANES + __builtin_ctz(near);
            double d;

            if (at == begun || s->node_at[at] < 0 || (b == q.own_block && q.hidden >> at % LANES & 1))
                continue;
            d = fly_ward_distance(s, node, s->node_at[at], best);
            ward->work.distances++;
            if (d < best || (d == best && at < nearest)) {
                best = d;
                nearest = at;
                set_most(&q, best);
            }
        }
    fly_ward_bound(s, place, best, s->node_at[nearest]);
}

int32_t fly_ward_looked(struct fly_ward_state *s)
{
    int32_t looked = 0, probes = s->clusters < PROBES ? s->clusters : PROBES, all_fresh = s->all_fresh;

    if (s->clusters < 2)
        return 0;
    s->all_fresh = 0;
    for (int32_t p = 0; p < probes; p++) {
        int32_t place = (int32_t)((int64_t)p * s->clusters / probes), b = 0;
        struct query q;
        int32_t nearest = begin_query(&q, s, place);

        set_most(&q, fly_ward_distance(s, s->node_at[place], s->node_at[nearest], INFINITY));
        for (uint32_t near; (near = next_near(&q, &b)) != 0; b++)
            looked += __builtin_popcount(near);
    }
    s->all_fresh = all_fresh;
    return looked / probes;
}
