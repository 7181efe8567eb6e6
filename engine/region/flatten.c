#include "engine/region/flatten.h"

#include <math.h>
#include <string.h>

#include "engine/base/clones.h"

static const double pi = 3.14159265358979323846;

/* A picture that differs from its plane by no more than this share of its size is that plane: floats have 24 bits. */
static const double blank_share = 2e-7;

enum { HANN_Y, HANN_X, SUM, MOMENT, SQUARE, SLOPE, FLOATS };

static double *table(const struct fly_transform *t, struct fly_transform_work *work, int which)
{
    return work->table + (size_t)which * (size_t)t->side;
}

static void hann(double *window, int32_t n, enum fly_flatten_kind kind)
{
    for (int32_t i = 0; i < n; i++)
        window[i] = kind == FLY_FLATTEN_PLANE ? 0.5 - 0.5 * cos(2.0 * pi * (i + 0.5) / n)
                    : n > 1                   ? 0.5 - 0.5 * cos(2.0 * pi * i / (n - 1.0))
                                              : 1.0;
}

enum { LINES = 4 }; /* taken at once, so that sums are fetched and stored once for four */

/* Sums down the columns of four lines, those behind the last given as the first with weight 0. One pixel that is not
 * finite leaves a sum that is not. */
FLY_CLONES static void add_lines(double *restrict sum, double *restrict moment, double *restrict square,
                                const float *const line[LINES], const double weight[LINES], double y, int32_t w)
{
    const float *restrict l0 = line[0], *restrict l1 = line[1], *restrict l2 = line[2], *restrict l3 = line[3];
    const double w1 = weight[1], w2 = weight[2], w3 = weight[3];

    for (int32_t x = 0; x < w; x++) {
        double v0 = (double)l0[x], v1 = w1 * (double)l1[x], v2 = w2 * (double)l2[x], v3 = w3 * (double)l3[x];
        double all = (v0 + v1) + (v2 + v3);

        sum[x] += all;
        moment[x] += y * all + (v1 + 2.0 * v2 + 3.0 * v3);
        square[x] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
}

/* The same of the pixels present; how many they are. */
static int64_t add_present(double *sum, double *moment, double *square, const float *line, double y, int32_t w)
{
    int64_t count = 0;

    for (int32_t x = 0; x < w; x++) {
        double value = (double)line[x];

        if (!fly_present(line[x]))
            continue;
        sum[x] += value;
        moment[x] += y * value;
        square[x] += value * value;
        count++;
    }
    return count;
}

/* Two lines into one of pairs. */
FLY_CLONES static void lay_pair(float *restrict rest_a, float *restrict rest_b, float *restrict input,
                               float *restrict square, const float *restrict line_a, const float *restrict line_b,
                               const double *restrict slope, const float *restrict hann_x, const double base[2],
                               double scale, const float hann_y[2], int32_t w)
{
    double base_a = base[0], base_b = base[1];
    float hann_a = hann_y[0], hann_b = hann_y[1];

    for (int32_t x = 0; x < w; x++) {
        float a = (float)(((double)line_a[x] - (base_a + slope[x])) * scale);
        float b = (float)(((double)line_b[x] - (base_b + slope[x])) * scale);

        a = line_a[x] - line_a[x] == 0.0f ? a : 0.0f;
        b = line_b[x] - line_b[x] == 0.0f ? b : 0.0f;
        rest_a[x] = a;
        rest_b[x] = b;
        input[2 * x] = a * (hann_a * hann_x[x]);
        input[2 * x + 1] = b * (hann_b * hann_x[x]);
        square[x] += a * a + b * b;
    }
}

/* The last of an odd number of lines. */
static void lay_single(float *rest, float *input, float *square, const float *line, const double *slope,
                       const float *hann_x, double base, double scale, float hann_y, int32_t w)
{
    for (int32_t x = 0; x < w; x++) {
        rest[x] = fly_present(line[x]) ? (float)(((double)line[x] - (base + slope[x])) * scale) : 0.0f;
        input[2 * x] = rest[x] * (hann_y * hann_x[x]);
        input[2 * x + 1] = 0.0f;
        square[x] += rest[x] * rest[x];
    }
}

struct plane {
    double at, y, x; /* at the middle of the picture; slopes a pixel */
};

/* Solve the symmetric 3 x 3 system m a = b by Cramer's rule; the mean alone where pixels lie on one line. */
static struct plane solve(const double m[6], const double b[3])
{
    double n = m[0], sy = m[1], sx = m[2], yy = m[3], yx = m[4], xx = m[5];
    double c0 = yy * xx - yx * yx, c1 = yx * sx - sy * xx, c2 = sy * yx - yy * sx;
    double det = n * c0 + sy * c1 + sx * c2;

    if (!(det > 1e-9 * n * yy * xx))
        return (struct plane){.at = b[0] / n};
    return (struct plane){
        .at = (b[0] * c0 + b[1] * c1 + b[2] * c2) / det,
        .y = (b[0] * c1 + b[1] * (n * xx - sx * sx) + b[2] * (sx * sy - n * yx)) / det,
        .x = (b[0] * c2 + b[1] * (sy * sx - n * yx) + b[2] * (n * yy - sy * sy)) / det,
    };
}

/* Moments of the pixels present: n, y, x, yy, yx, xx. */
static void moments_of(const struct fly_picture *p, int64_t present, double m[6])
{
    double h = p->h, w = p->w;

    memset(m, 0, 6 * sizeof *m);
    if (present == (int64_t)p->h * p->w) {
        m[0] = h * w;
        m[3] = h * w * (h * h - 1.0) / 12.0;
        m[5] = h * w * (w * w - 1.0) / 12.0;
        return;
    }
    for (int32_t i = 0; i < p->h; i++)
        for (int32_t j = 0; j < p->w; j++) {
            double y = i - 0.5 * (h - 1.0), x = j - 0.5 * (w - 1.0);

            if (!fly_present(p->pixels[i * p->stride + j]))
                continue;
            m[0] += 1.0;
            m[1] += y;
            m[2] += x;
            m[3] += y * y;
            m[4] += y * x;
            m[5] += x * x;
        }
}

/* Sums of the Hann window and of its squares over the pixels present. */
static void weigh(struct fly_flat *flat, const double *hann_y, const double *hann_x)
{
    const struct fly_picture *p = &flat->picture;
    int whole = flat->present == (int64_t)p->h * p->w;
    double sum_x = 0.0, square_x = 0.0;

    for (int32_t x = 0; x < p->w; x++) {
        sum_x += hann_x[x];
        square_x += hann_x[x] * hann_x[x];
    }
    for (int32_t y = 0; y < p->h; y++) {
        for (int32_t x = 0; !whole && x < p->w; x++) {
            double there = fly_present(p->pixels[y * p->stride + x]) ? hann_x[x] : 0.0;

            sum_x = x ? sum_x + there : there;
            square_x = x ? square_x + there * there : there * there;
        }
        flat->window_sum += hann_y[y] * sum_x;
        flat->window_power += hann_y[y] * hann_y[y] * square_x;
    }
}

/* Sums of the pixels present: of values, and times y and x from the middle; of squares. How many they are. */
static int64_t sum_up(double b[3], double *squares, const struct fly_picture *p, const struct fly_transform *t,
                      struct fly_transform_work *work)
{
    double *sum = table(t, work, SUM), *moment = table(t, work, MOMENT), *square = table(t, work, SQUARE);
    double middle_y = 0.5 * (p->h - 1.0), middle_x = 0.5 * (p->w - 1.0);
    int64_t present = (int64_t)p->h * p->w;

    for (int pass = 0; pass < 2; pass++) {
        memset(sum, 0, 3 * (size_t)t->side * sizeof *sum); /* SUM .. SQUARE */
        for (int32_t y = 0; pass == 0 && y < p->h; y += LINES) {
            const float *line[LINES];
            double weight[LINES];

            for (int32_t i = 0; i < LINES; i++) {
                weight[i] = y + i < p->h ? 1.0 : 0.0;
                line[i] = p->pixels + (y + i < p->h ? y + i : y) * p->stride;
            }
            add_lines(sum, moment, square, line, weight, y - middle_y, p->w);
        }
        for (int32_t y = 0; pass == 1 && y < p->h; y++)
            present += add_present(sum, moment, square, p->pixels + y * p->stride, y - middle_y, p->w);
        b[0] = b[1] = b[2] = *squares = 0.0;
        for (int32_t x = 0; x < p->w; x++) {
            b[0] += sum[x];
            b[1] += moment[x];
            b[2] += sum[x] * (x - middle_x);
            *squares += square[x];
        }
        if (isfinite(*squares))
            break;
        present = 0; /* something is missing: count */
    }
    return present;
}

struct fly_flat fly_flatten(const struct fly_picture *p, const struct fly_transform *t,
                            struct fly_transform_work *work, enum fly_flatten_kind kind)
{
    struct fly_flat flat = {.picture = *p, .rest = work->flat, .blank = 1};
    double *hann_y = table(t, work, HANN_Y), *hann_x = table(t, work, HANN_X), *slope = table(t, work, SLOPE);
    double b[3], m[6], squares, left = 0.0, rms;
    size_t side = (size_t)t->side;
    float *hann_f = (float *)table(t, work, FLOATS), *left_of = hann_f + side;
    struct plane plane;

    FLY_ASSERT(p->h >= 1 && p->w >= 1 && p->h <= t->side && p->w <= t->side);
    flat.present = sum_up(b, &squares, p, t, work);
    rms = sqrt(squares / (double)(flat.present ? flat.present : 1));
    if (!(rms > 0.0))
        return flat;
    moments_of(p, flat.present, m);
    plane = kind == FLY_FLATTEN_PLANE ? solve(m, b) : (struct plane){.at = b[0] / (double)flat.present};
    hann(hann_y, p->h, kind);
    hann(hann_x, p->w, kind);
    for (int32_t x = 0; x < p->w; x++) {
        slope[x] = plane.x * (x - 0.5 * (p->w - 1.0));
        hann_f[x] = (float)hann_x[x];
        left_of[x] = 0.0f;
    }
    for (int32_t y = 0; y < t->side; y += 2) {
        float *input = work->input + fly_transform_at(t, y, 0), *rest = work->flat + (size_t)y * (size_t)p->w;
        const float *line = p->pixels + y * p->stride;
        double base = plane.at + plane.y * (y - 0.5 * (p->h - 1.0));
        int32_t w = y < p->h ? p->w : 0;

        if (y + 1 < p->h)
            lay_pair(rest, rest + w, input, left_of, line, line + p->stride, slope, hann_f,
                     (const double[2]){base, base + plane.y}, 1.0 / rms,
                     (const float[2]){(float)hann_y[y], (float)hann_y[y + 1]}, w);
        else if (y < p->h)
            lay_single(rest, input, left_of, line, slope, hann_f, base, 1.0 / rms, (float)hann_y[y], w);
        memset(input + 2 * w, 0, 2 * (side - (size_t)w) * sizeof *input);
    }
    for (int32_t x = 0; x < p->w; x++)
        left += (double)left_of[x];
    flat.blank = sqrt(left / (double)flat.present) <= blank_share;
    flat.unit = 1.0 / rms;
    weigh(&flat, hann_y, hann_x);
    return flat;
}
