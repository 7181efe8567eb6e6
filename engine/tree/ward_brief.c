/* Short vectors: what is left of a centroid in the directions in which points differ most.
 *
 * For orthonormal directions |c - c'| >= |Vt (c - c')|. Short vectors are linear in the centroid, so a merged
 * cluster's is the mean of its parts'. In double their error is far below the rounding to float, which is at most
 * e = 2^-24 R a vector, R the longest one. (p - q)^2 >= p^2 (1 - t) - q^2 (1/t - 1) with q = 2 e and t = 2^-12 makes of
 * a float distance s the bound s (1 - SLACK) - REST R^2, where SLACK also covers the sums' own rounding; 4 * 2^-48 *
 * 2^12 is 2^-34, half of REST.
 */
#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

typedef double eight __attribute__((vector_size(64)));
typedef double eight_anywhere __attribute__((vector_size(64), aligned(8), may_alias));

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

FLY_CLONES static void round_off(struct fly_ward_state *s, int32_t node)
{
    const double *from = s->brief + (size_t)node * (size_t)s->short_width;
    float *to = s->rounded + (size_t)node * (size_t)s->short_width;

    for (int32_t k = 0; k < s->short_width; k++)
        to[k] = (float)from[k];
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
            round_off(s, both[r]);
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
    for (int32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < p; k++)
            s->brief[(size_t)points[i] * p + k] *= s->scale;
        round_off(s, points[i]);
    }
    s->based = 1;
    s->based_on = count;
}

void fly_ward_brief_mean(struct fly_ward_state *s, int32_t node, int32_t a, int32_t b)
{
    size_t p = (size_t)s->short_width;

    fly_ward_mean(s->brief + (size_t)node * p, s->brief + (size_t)a * p, s->brief + (size_t)b * p, s->size[a],
                  s->size[b], p);
    round_off(s, node);
}
