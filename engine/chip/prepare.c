#include "engine/chip/prepare.h"

#include <math.h>

void fly_map_intensity(const double *in, double *out, int64_t count, double lo, double hi)
{
    for (int64_t i = 0; i < count; i++) {
        double g = hi > lo ? (in[i] - lo) / (hi - lo) : 0.0;

        out[i] = (g < 0.0 ? 0.0 : g > 1.0 ? 1.0 : g) * 255.0;
    }
}

/* Where output pixel o of `size` looks in an input of `side`: between i0 and i0 + 1. */
static void source_of(int32_t o, int32_t side, int32_t size, int32_t *i0, int32_t *i1, double *f)
{
    double src = ((double)o + 0.5) * ((double)side / (double)size) - 0.5;

    if (src < 0.0)
        src = 0.0;
    *i0 = (int32_t)floor(src);
    if (*i0 > side - 1)
        *i0 = side - 1;
    *i1 = *i0 + 1 < side ? *i0 + 1 : side - 1;
    *f = src - (double)*i0;
}

void fly_resize_bilinear(const double *in, int32_t side, double *out, int32_t size)
{
    int32_t x0[1024], x1[1024];
    double fx[1024];

    FLY_ASSERT(side >= 1 && size >= 1 && side <= 1024 && size <= 1024);
    for (int32_t x = 0; x < size; x++)
        source_of(x, side, size, &x0[x], &x1[x], &fx[x]);
    for (int32_t y = 0; y < size; y++) {
        int32_t y0, y1;
        double fy;

        source_of(y, side, size, &y0, &y1, &fy);
        const double *top = in + (size_t)y0 * (size_t)side, *bottom = in + (size_t)y1 * (size_t)side;

        for (int32_t x = 0; x < size; x++) {
            double a = top[x0[x]] * (1.0 - fx[x]) + top[x1[x]] * fx[x];
            double b = bottom[x0[x]] * (1.0 - fx[x]) + bottom[x1[x]] * fx[x];

            out[(size_t)y * (size_t)size + (size_t)x] = a * (1.0 - fy) + b * fy;
        }
    }
}

/* The k-th smallest stands at k afterwards, nothing smaller behind it (Hoare 1961, "Find"). */
static double select_kth(double *v, int64_t n, int64_t k)
{
    int64_t lo = 0, hi = n - 1;

    while (lo < hi) {
        double pivot = v[lo + (hi - lo) / 2];
        int64_t i = lo, j = hi;

        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                double held = v[i];

                v[i++] = v[j];
                v[j--] = held;
            }
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return v[k];
}

double fly_percentile(double *values, int64_t count, double percent)
{
    double at = percent / 100.0 * (double)(count - 1), below = floor(at), a, b, t = at - below;
    int64_t k = (int64_t)below;

    FLY_ASSERT(count > 0 && percent >= 0.0 && percent <= 100.0);
    a = select_kth(values, count, k);
    if (k + 1 >= count || t == 0.0)
        return a;
    /* what is behind k is not smaller: its least is the next in order */
    b = values[k + 1];
    for (int64_t i = k + 2; i < count; i++)
        if (values[i] < b)
            b = values[i];
    /* numpy's two-sided interpolation: exact at both ends */
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1.0 - t);
}
