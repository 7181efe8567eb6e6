#include "engine/region/refine.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double power_at(const struct fly_flat *flat, double fy, double fx, double *sum)
{
    int32_t h = flat->picture.h, w = flat->picture.w;
    double re = 0.0, im = 0.0;

    *sum = 0.0;
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            double window = sin(pi * (y + 0.5) / h) * sin(pi * (x + 0.5) / w);
            double value = window * (double)flat->rest[(size_t)y * (size_t)w + (size_t)x];

            if (fly_present(flat->picture.pixels[y * flat->picture.stride + x]))
                *sum += window;
            re += value * cos(2.0 * pi * (fy * y + fx * x));
            im += value * sin(2.0 * pi * (fy * y + fx * x));
        }
    return re * re + im * im;
}

/* A cross of four neighbours around the best so far, drawn in by half where none is better. */
struct fly_tone fly_refine_ref(const struct fly_flat *flat, double fy, double fx)
{
    struct fly_tone tone = {.fy = fy, .fx = fx, .cov = {NAN, NAN, NAN}, .found = 1};
    double sum, best = power_at(flat, fy, fx, &sum);

    for (double reach = 0.25; reach > 1e-5;) {
        static const double way[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
        int better = 0;

        for (int k = 0; k < 4; k++) {
            double y = tone.fy + reach * way[k][0] / flat->picture.h, x = tone.fx + reach * way[k][1] / flat->picture.w;
            double power = power_at(flat, y, x, &sum);

            if (power > best) {
                best = power;
                tone.fy = y;
                tone.fx = x;
                better = 1;
            }
        }
        if (!better)
            reach *= 0.5;
    }
    tone.amplitude = 2.0 * sqrt(best) / sum;
    return tone;
}
