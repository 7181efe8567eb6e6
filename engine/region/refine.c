#include "engine/region/refine.h"

#include <math.h>
#include <string.h>

#include "engine/base/clones.h"

static const double pi = 3.14159265358979323846;

enum { INTERVALS = 12, KNOTS = INTERVALS + 1, TURNS = 8, PASSES = 3 }; /* Newton needs 3 or 4 turns */

/* One axis with hats on its knots; sums over the sine window times a hat. */
struct axis {
    int32_t n, intervals;
    double scale;         /* intervals a pixel */
    int32_t first[KNOTS]; /* pixel at or behind each knot; n for the last */
    double w[3][KNOTS]; /* of 1, r, r^2; r pixels from the middle of the axis */
    double q[3][KNOTS]; /* the same with the window squared */
    double at[KNOTS];   /* the hat's centre, so weighed */
};

struct sums {
    struct axis y, x;
    double re[KNOTS][KNOTS], im[KNOTS][KNOTS];
    double there[KNOTS][KNOTS]; /* share of the pixels present, by weight */
};

/* The knot before pixel i, and how much of it belongs to the next. */
static int32_t knot_of(const struct axis *axis, int32_t i, double *next)
{
    double t = i * axis->scale;
    int32_t knot = (int32_t)t < axis->intervals ? (int32_t)t : axis->intervals - 1;

    *next = t - knot;
    return knot;
}

/* window times cos and sin of 2 pi f (i - middle), for i = 0 .. n-1. */
static void turn(double *c, double *s, int32_t n, double f)
{
    double step_c = cos(2.0 * pi * f), step_s = sin(2.0 * pi * f);
    double half_c = cos(pi / n), half_s = sin(pi / n);
    double start = -pi * f * (n - 1.0), at_c = cos(start), at_s = sin(start);
    double win_c = cos(0.5 * pi / n), win_s = sin(0.5 * pi / n);

    for (int32_t i = 0; i < n; i++) {
        double next_c = at_c * step_c - at_s * step_s, next_w = win_c * half_c - win_s * half_s;

        c[i] = win_s * at_c;
        s[i] = win_s * at_s;
        at_s = at_s * step_c + at_c * step_s;
        at_c = next_c;
        win_s = win_s * half_c + win_c * half_s;
        win_c = next_w;
    }
}

static void fill_axis(struct axis *axis, int32_t n, double *window, double *zeros)
{
    *axis = (struct axis){.n = n, .intervals = n <= 2 ? 1 : n <= INTERVALS ? n - 1 : INTERVALS};
    axis->scale = n > 1 ? axis->intervals / (n - 1.0) : 0.0; /* from the first pixel to the last */
    for (int32_t k = 0; k <= axis->intervals; k++)
        axis->first[k] = n;
    turn(window, zeros, n, 0.0);
    for (int32_t i = n - 1; i >= 0; i--) {
        double next, r = i - 0.5 * (n - 1.0);
        int32_t knot = knot_of(axis, i, &next);

        axis->first[knot] = i;
        for (int k = 0; k < 2; k++) {
            double w = window[i] * (k ? next : 1.0 - next), q = w * window[i];

            for (int m = 0; m < 3; m++, w *= r, q *= r) {
                axis->w[m][knot + k] += w;
                axis->q[m][knot + k] += q;
            }
        }
    }
    for (int32_t k = 0; k <= axis->intervals; k++)
        axis->at[k] = axis->w[0][k] > 0.0 ? axis->w[1][k] / axis->w[0][k] : 0.0;
}

enum { LINES = 4 }; /* taken at once, so that sums are fetched and stored once for four */

/* Lines added to the sums of the knot before them and of the next; weights of cosine and sine for either. */
FLY_CLONES static void add_turned(float *restrict u, float *restrict v, float *restrict next_u, float *restrict next_v,
                                 const float *const line[LINES], const float weight[4][LINES], int32_t w)
{
    const float *restrict l0 = line[0], *restrict l1 = line[1], *restrict l2 = line[2], *restrict l3 = line[3];
    const float u0 = weight[0][0], u1 = weight[0][1], u2 = weight[0][2], u3 = weight[0][3];
    const float v0 = weight[1][0], v1 = weight[1][1], v2 = weight[1][2], v3 = weight[1][3];
    const float p0 = weight[2][0], p1 = weight[2][1], p2 = weight[2][2], p3 = weight[2][3];
    const float q0 = weight[3][0], q1 = weight[3][1], q2 = weight[3][2], q3 = weight[3][3];

    for (int32_t x = 0; x < w; x++) {
        u[x] += (u0 * l0[x] + u1 * l1[x]) + (u2 * l2[x] + u3 * l3[x]);
        v[x] += (v0 * l0[x] + v1 * l1[x]) + (v2 * l2[x] + v3 * l3[x]);
        next_u[x] += (p0 * l0[x] + p1 * l1[x]) + (p2 * l2[x] + p3 * l3[x]);
        next_v[x] += (q0 * l0[x] + q1 * l1[x]) + (q2 * l2[x] + q3 * l3[x]);
    }
}

/* All lines from knot k to the next, into uv and next_uv (2, side). */
static void add_lines(float *uv, float *next_uv, size_t side, const struct fly_flat *flat, const struct axis *axis,
                      int32_t k, const double *c, const double *s)
{
    int32_t end = axis->first[k + 1], w = flat->picture.w;

    for (int32_t y = axis->first[k]; y < end; y += LINES) {
        const float *line[LINES];
        float weight[4][LINES];

        for (int32_t i = 0; i < LINES; i++) {
            int32_t at = y + i < end ? y + i : y;
            double next = at * axis->scale - k, here = 1.0 - next, counts = y + i < end ? 1.0 : 0.0;

            line[i] = flat->rest + (size_t)at * (size_t)w;
            weight[0][i] = (float)(counts * here * c[at]);
            weight[1][i] = (float)(counts * here * s[at]);
            weight[2][i] = (float)(counts * next * c[at]);
            weight[3][i] = (float)(counts * next * s[at]);
        }
        add_turned(uv, uv + side, next_uv, next_uv + side, line, weight, w);
    }
}

/* Columns turned along x as well and added up around each knot. */
static void add_columns(double re[KNOTS], double im[KNOTS], const struct axis *axis, const float *u, const float *v,
                        const double *c, const double *s)
{
    memset(re, 0, KNOTS * sizeof *re);
    memset(im, 0, KNOTS * sizeof *im);
    for (int32_t k = 0; k < axis->intervals; k++) {
        double all_re = 0.0, all_im = 0.0, next_re = 0.0, next_im = 0.0;

        for (int32_t x = axis->first[k]; x < axis->first[k + 1]; x++) {
            double a = (double)u[x] * c[x] - (double)v[x] * s[x], b = -((double)u[x] * s[x] + (double)v[x] * c[x]);
            double next = x * axis->scale - k;

            all_re += a;
            all_im += b;
            next_re += next * a;
            next_im += next * b;
        }
        re[k] += all_re - next_re;
        im[k] += all_im - next_im;
        re[k + 1] += next_re;
        im[k + 1] += next_im;
    }
}

/* rest turned back by f and added up: window times hat times rest times exp(-2 pi i f r), phases from the middle. */
static void demodulate(struct sums *z, const struct fly_flat *flat, const struct fly_transform *t,
                       struct fly_transform_work *work, double fy, double fx)
{
    int32_t h = flat->picture.h, w = flat->picture.w;
    size_t side = (size_t)t->side;
    double *cy = work->table + 2 * side, *sy = cy + side, *cx = sy + side, *sx = cx + side;
    float *uv = (float *)(sx + side), *next_uv = uv + 2 * side;

    turn(cy, sy, h, fy);
    turn(cx, sx, w, fx);
    memset(uv, 0, 2 * side * sizeof *uv);
    for (int32_t k = 0; k <= z->y.intervals; k++) {
        float *swap = uv;

        memset(next_uv, 0, 2 * side * sizeof *next_uv);
        if (k < z->y.intervals)
            add_lines(uv, next_uv, side, flat, &z->y, k, cy, sy);
        add_columns(z->re[k], z->im[k], &z->x, uv, uv + side, cx, sx);
        uv = next_uv;
        next_uv = swap;
    }
}

static void count_present(struct sums *z, const struct fly_flat *flat, const double *window_y, const double *window_x)
{
    const struct fly_picture *p = &flat->picture;
    int whole = flat->present == (int64_t)p->h * p->w;

    for (int32_t a = 0; a < KNOTS; a++)
        for (int32_t b = 0; b < KNOTS; b++)
            z->there[a][b] = whole ? 1.0 : 0.0;
    for (int32_t y = 0; !whole && y < p->h; y++)
        for (int32_t x = 0; x < p->w; x++) {
            double next_y, next_x, w = window_y[y] * window_x[x];
            int32_t a = knot_of(&z->y, y, &next_y), b = knot_of(&z->x, x, &next_x);

            if (!fly_present(p->pixels[y * p->stride + x]))
                continue;
            for (int k = 0; k < 4; k++) {
                double hat = (k / 2 ? next_y : 1.0 - next_y) * (k % 2 ? next_x : 1.0 - next_x);

                if (hat > 0.0)
                    z->there[a + k / 2][b + k % 2] += w * hat / (z->y.w[0][a + k / 2] * z->x.w[0][b + k % 2]);
            }
        }
}

/* S at an offset of (dy, dx) cycles a pixel with its first and second derivatives in 2 pi times those. */
struct around {
    double power;
    double gy, gx;       /* of |S|^2 */
    double hyy, hyx, hxx;
};

/* Sums of z turned by an angle a pixel on each axis, times 1, y, x, yy, yx, xx: real and imaginary parts. */
static void moments(double re[6], double im[6], const struct sums *z, double turn_y, double turn_x)
{
    double c[KNOTS], s[KNOTS];

    memset(re, 0, 6 * sizeof *re);
    memset(im, 0, 6 * sizeof *im);
    for (int32_t bx = 0; bx <= z->x.intervals; bx++) {
        c[bx] = cos(turn_x * z->x.at[bx]);
        s[bx] = sin(turn_x * z->x.at[bx]);
    }
    for (int32_t by = 0; by <= z->y.intervals; by++) {
        double r[3] = {0.0}, i[3] = {0.0}, y = z->y.at[by], cy = cos(turn_y * y), sy = sin(turn_y * y);
        static const int at[3][3] = {{0, 2, 5}, {1, 4, -1}, {3, -1, -1}}; /* power of y, power of x */
        double times = 1.0;

        for (int32_t bx = 0; bx <= z->x.intervals; bx++) {
            double x = z->x.at[bx];
            double a = z->re[by][bx] * c[bx] + z->im[by][bx] * s[bx];
            double b = z->im[by][bx] * c[bx] - z->re[by][bx] * s[bx];

            r[0] += a;
            i[0] += b;
            r[1] += x * a;
            i[1] += x * b;
            r[2] += x * x * a;
            i[2] += x * x * b;
        }
        for (int p = 0; p < 3; p++, times *= y)
            for (int q = 0; p + q < 3; q++) {
                re[at[p][q]] += times * (r[q] * cy + i[q] * sy);
                im[at[p][q]] += times * (i[q] * cy - r[q] * sy);
            }
    }
}

static struct around around_of(const double re[6], const double im[6])
{
    /* dS/dy = -i sum of y z, d2S/dy2 = - sum of y^2 z. */
    return (struct around){
        .power = re[0] * re[0] + im[0] * im[0],
        .gy = 2.0 * (re[0] * im[1] - im[0] * re[1]),
        .gx = 2.0 * (re[0] * im[2] - im[0] * re[2]),
        .hyy = 2.0 * (re[1] * re[1] + im[1] * im[1] - re[0] * re[3] - im[0] * im[3]),
        .hyx = 2.0 * (re[1] * re[2] + im[1] * im[2] - re[0] * re[4] - im[0] * im[4]),
        .hxx = 2.0 * (re[2] * re[2] + im[2] * im[2] - re[0] * re[5] - im[0] * im[5]),
    };
}

/* Newton's step to the maximum, in angles a pixel; at most half a bin on each axis. 0: it curves the wrong way. */
static int step_of(const struct around *a, const struct fly_picture *p, double *dy, double *dx)
{
    double det = a->hyy * a->hxx - a->hyx * a->hyx, shrink;

    if (!(a->hyy < 0.0) || !(det > 0.0))
        return 0;
    *dy = -(a->hxx * a->gy - a->hyx * a->gx) / det;
    *dx = -(a->hyy * a->gx - a->hyx * a->gy) / det;
    shrink = fmax(fabs(*dy) * p->h, fabs(*dx) * p->w) / pi;
    if (shrink > 1.0) {
        *dy /= shrink;
        *dx /= shrink;
    }
    return 1;
}

/* Covariance H^-1 J H^-1 of angles for quadrature noise, 2 sigma^2 / A^2 (algorithms.md 7), into that of cycles.
 * H = sum of window (r - mean)(r - mean)', J the same with its squares. */
static void covariance(double cov[3], const double h[3], const double j[3])
{
    double det = h[0] * h[2] - h[1] * h[1];
    double i0 = h[2] / det, i1 = -h[1] / det, i2 = h[0] / det;
    double a = i0 * j[0] + i1 * j[1], b = i0 * j[1] + i1 * j[2], c = i1 * j[0] + i2 * j[1], d = i1 * j[1] + i2 * j[2];
    double scale = 2.0 / (4.0 * pi * pi);

    cov[0] = scale * (a * i0 + b * i1);
    cov[1] = scale * (a * i1 + b * i2);
    cov[2] = scale * (c * i1 + d * i2);
}

/* Weights of what is present: sum and centre of the window; second moments about that, of the window and of its
 * squares. */
static double spread(const struct sums *z, double h[3], double j[3])
{
    double sum = 0.0, y = 0.0, x = 0.0;

    memset(h, 0, 3 * sizeof *h);
    memset(j, 0, 3 * sizeof *j);
    for (int32_t a = 0; a <= z->y.intervals; a++)
        for (int32_t b = 0; b <= z->x.intervals; b++) {
            double there = z->there[a][b];

            sum += there * z->y.w[0][a] * z->x.w[0][b];
            y += there * z->y.w[1][a] * z->x.w[0][b];
            x += there * z->y.w[0][a] * z->x.w[1][b];
            h[0] += there * z->y.w[2][a] * z->x.w[0][b];
            h[1] += there * z->y.w[1][a] * z->x.w[1][b];
            h[2] += there * z->y.w[0][a] * z->x.w[2][b];
        }
    h[0] -= y * y / sum;
    h[1] -= y * x / sum;
    h[2] -= x * x / sum;
    y /= sum;
    x /= sum;
    for (int32_t a = 0; a <= z->y.intervals; a++)
        for (int32_t b = 0; b <= z->x.intervals; b++) {
            double q0y = z->y.q[0][a], q1y = z->y.q[1][a] - y * q0y, q2y = z->y.q[2][a] - 2.0 * y * q1y - y * y * q0y;
            double q0x = z->x.q[0][b], q1x = z->x.q[1][b] - x * q0x, q2x = z->x.q[2][b] - 2.0 * x * q1x - x * x * q0x;

            j[0] += z->there[a][b] * q2y * q0x;
            j[1] += z->there[a][b] * q1y * q1x;
            j[2] += z->there[a][b] * q0y * q2x;
        }
    return sum;
}

/* The maximum of |S|^2 near the sums' own frequency, as an offset in angles a pixel; its power. 0: there is none. */
static int climb(const struct sums *z, const struct fly_picture *p, double offset[2], double *power)
{
    offset[0] = offset[1] = 0.0;
    for (int i = 0; i < TURNS; i++) {
        double re[6], im[6], dy, dx;
        struct around around;

        moments(re, im, z, offset[0], offset[1]);
        around = around_of(re, im);
        *power = around.power;
        if (!step_of(&around, p, &dy, &dx))
            return 0;
        offset[0] += dy;
        offset[1] += dx;
        if (fmax(fabs(dy) * p->h, fabs(dx) * p->w) < 1e-4) /* of a turn across the picture: far below the noise */
            break;
    }
    return fmax(fabs(offset[0]) * p->h, fabs(offset[1]) * p->w) < 3.0 * pi;
}

struct fly_tone fly_refine(const struct fly_flat *flat, const struct fly_transform *t, struct fly_transform_work *work,
                           double fy, double fx)
{
    struct fly_tone tone = {.fy = fy, .fx = fx};
    const struct fly_picture *p = &flat->picture;
    double *window_y = work->table + 2 * (size_t)t->side, *window_x = window_y + t->side, *zeros = window_x + t->side;
    double h[3], j[3], sum, power = 0.0;
    struct sums z;

    fill_axis(&z.y, p->h, window_y, zeros);
    fill_axis(&z.x, p->w, window_x, zeros);
    count_present(&z, flat, window_y, window_x);
    for (int pass = 0; pass < PASSES; pass++) {
        double offset[2];

        demodulate(&z, flat, t, work, tone.fy, tone.fx);
        tone.found = climb(&z, p, offset, &power);
        if (!tone.found)
            break;
        tone.fy += offset[0] / (2.0 * pi);
        tone.fx += offset[1] / (2.0 * pi);
        if (fmax(fabs(offset[0]) * p->h, fabs(offset[1]) * p->w) < 0.2 * pi)
            break;
    }
    if (!tone.found) {
        tone.fy = fy;
        tone.fx = fx;
    }
    sum = spread(&z, h, j);
    tone.amplitude = 2.0 * sqrt(power) / sum;
    covariance(tone.cov, h, j);
    return tone;
}
