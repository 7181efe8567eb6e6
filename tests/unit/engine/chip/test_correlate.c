#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/chip/correlate.h"

enum { SIDE_MAX = 32, N_MAX = 32 };

static const double pi = 3.14159265358979323846;

/* Blobs that have moved by (y, x), with noise. */
static void draw(uint64_t seed, int32_t h, int32_t w, double y_px, double x_px, double noise, struct fly_rng *rng,
                 float *picture)
{
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            struct fly_rng place = {seed};
            double v = 0.0;

            for (int i = 0; i < 6; i++) {
                double by = h * fly_rng_uniform(&place) + y_px - y, bx = w * fly_rng_uniform(&place) + x_px - x;

                v += (0.5 + fly_rng_uniform(&place)) * exp(-(by * by + bx * bx) / 6.0);
            }
            picture[y * w + x] = (float)(100.0 * v + noise * fly_rng_normal(rng));
        }
}

static struct fly_correlator *open_one(struct fly_arena *arena, int32_t h, int32_t w)
{
    struct fly_correlator *c = NULL;

    assert_int_equal(fly_arena_init(arena, fly_correlator_need(h, w), NULL, "test"), FLY_OK);
    assert_int_equal(fly_correlator_open(&c, h, w, arena), FLY_OK);
    return c;
}

/* ---- the plain twin: the header's formula, wave by wave, without a fast transform -------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double hann(int32_t i, int32_t px)
{
    return 0.5 - 0.5 * cos(2.0 * pi * (i + 0.5) / px);
}

/* Spectrum (n, n), all of it, in units of its noise. */
static void spectrum(const float *picture, int32_t px, int32_t n, double complex *f)
{
    double sum = 0.0, weights = 0.0, outer[N_MAX * N_MAX];
    int count = 0;

    for (int32_t i = 0; i < px * px; i++) {
        sum += hann(i / px, px) * hann(i % px, px) * (double)picture[i];
        weights += hann(i / px, px) * hann(i % px, px);
    }
    for (int32_t k = 0; k < n * n; k++) {
        f[k] = 0.0;
        for (int32_t i = 0; i < px * px; i++)
            f[k] += ((double)picture[i] - sum / weights) * hann(i / px, px) * hann(i % px, px) *
                    cexp(-2.0 * pi * I * (double)(k / n * (i / px) + k % n * (i % px)) / n);
    }
    for (int32_t y = 0; y < n; y += 2)
        for (int32_t x = 0; x <= n / 2; x++)
            if (hypot(y <= n / 2 ? y : y - n, x) >= 0.25 * n)
                outer[count++] = creal(f[y * n + x] * conj(f[y * n + x]));
    qsort(outer, (size_t)count, sizeof *outer, ascending);
    for (int32_t k = 0; k < n * n; k++)
        f[k] /= sqrt(outer[count / 2] / log(2.0));
}

static double power(const double complex *f, int32_t n, int32_t y, int32_t x, int32_t reach)
{
    double sum = 0.0;

    for (int32_t v = -reach; v <= reach; v++)
        for (int32_t u = -reach; u <= reach; u++) {
            double complex wave = f[(y + v + n) % n * n + (x + u + n) % n];

            sum += creal(wave * conj(wave));
        }
    return sum / ((2 * reach + 1) * (2 * reach + 1));
}

/* L over the windows' overlap. */
static double likelihood(const double complex *a, const double complex *b, int32_t px, int32_t n, int32_t ty,
                         int32_t tx)
{
    int32_t reach = 2 * n >= 3 * px ? 2 : 1;
    double value = 0.0, oy = 0.0, ox = 0.0, all = 0.0;

    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < n; x++) {
            double p = 0.5 * (power(a, n, y, x, reach) + power(b, n, y, x, reach));
            double s = p > 2.0 ? p - 1.0 : 1e-3, noise = 1.0 + s / 20.0;

            value += s / (noise * (2.0 * s + noise)) *
                     creal(conj(a[y * n + x]) * b[y * n + x] * cexp(2.0 * pi * I * (double)(y * ty + x * tx) / n));
        }
    for (int32_t i = 0; i < px; i++) {
        all += hann(i, px) * hann(i, px);
        oy += i + abs(ty) < px ? hann(i, px) * hann(i + abs(ty), px) : 0.0;
        ox += i + abs(tx) < px ? hann(i, px) * hann(i + abs(tx), px) : 0.0;
    }
    return value / (oy * ox / all / all);
}

static void the_map_is_the_formula(void **state)
{
    static const int32_t sides[] = {8, 13, 16, 21, 32};
    struct fly_rng rng = {4};

    (void)state;
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int32_t px = sides[k], n = px <= 8 ? 8 : px <= 16 ? 16 : 32, reach = px / 4, width = 2 * reach + 1;
        static double complex a[N_MAX * N_MAX], b[N_MAX * N_MAX];
        static float first[SIDE_MAX * SIDE_MAX], second[SIDE_MAX * SIDE_MAX];
        double value[(SIDE_MAX / 2 + 1) * (SIDE_MAX / 2 + 1)], high = -INFINITY, low = INFINITY;
        double at_high = 0.0, at_low = 0.0;
        struct fly_arena arena;
        struct fly_correlator *c = open_one(&arena, px, px);

        draw(k, px, px, 0.0, 0.0, 5.0, &rng, first);
        draw(k, px, px, 1.3, -0.8, 5.0, &rng, second);
        assert_true(fly_correlator_look(c, first));
        fly_correlator_adopt(c);
        assert_true(fly_correlator_look(c, second));
        fly_correlator_compare(c);
        spectrum(first, px, n, a);
        spectrum(second, px, n, b);
        for (int32_t i = 0; i < width * width; i++) {
            double lack = fly_correlator_lack(c, i / width - reach, i % width - reach);

            value[i] = likelihood(a, b, px, n, i / width - reach, i % width - reach);
            if (value[i] > high) {
                high = value[i];
                at_high = lack;
            }
            if (value[i] < low) {
                low = value[i];
                at_low = lack;
            }
        }
        /* What lacks is told in units of the doubt: two places give the scale. */
        for (int32_t i = 0; i < width * width; i++) {
            double lack = fly_correlator_lack(c, i / width - reach, i % width - reach);

            assert_true(fabs((lack - at_high) / (at_low - at_high) - (high - value[i]) / (high - low)) < 1e-4);
        }
        fly_correlator_close(&c);
        fly_arena_fini(&arena);
    }
}

/* ---- what follows ---------------------------------------------------------------------------------------- */

/* Every peak told is as good as the best by its own measure, the best first; other places are not told. */
static void peaks_are_those_that_lack_little(void **state)
{
    static float first[100 * 70], second[100 * 70];
    struct fly_rng rng = {9};

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct fly_arena arena;
        struct fly_correlator *c = open_one(&arena, 100, 70);
        struct fly_peak peaks[64];
        int32_t n;

        for (int32_t i = 0; i < 100 * 70; i++) { /* a lattice: many peaks */
            first[i] = (float)(sin(i / 70 * 0.7) + sin(i % 70 * 0.6) + 2.0 * fly_rng_normal(&rng));
            second[i] = (float)(sin(i / 70 * 0.7) + sin(i % 70 * 0.6) + 2.0 * fly_rng_normal(&rng));
        }
        assert_true(fly_correlator_look(c, first));
        fly_correlator_adopt(c);
        assert_true(fly_correlator_look(c, second));
        assert_true(fly_correlator_compare(c));
        n = fly_correlator_peaks(c, peaks, 64);
        assert_true(n > 4 && n < 64);
        assert_int_equal(fly_correlator_peaks(c, peaks, 3), 3);
        n = fly_correlator_peaks(c, peaks, 64);
        for (int32_t i = 0; i < n; i++) {
            assert_true(peaks[i].value <= peaks[0].value);
            assert_true(fly_correlator_lack(c, peaks[i].y_px, peaks[i].x_px) < 1.0 + 1e-6);
        }
        assert_true(fabs(fly_correlator_lack(c, peaks[0].y_px, peaks[0].x_px)) < 1e-6);
        assert_true(fly_correlator_lack(c, 4.5, 0.0) > 1.0); /* half a cell */
        assert_true(isinf(fly_correlator_lack(c, 26.0, 0.0)) && isinf(fly_correlator_lack(c, 0.0, -18.0)));
        fly_correlator_close(&c);
        fly_arena_fini(&arena);
    }
}

/* The unit and the zero of a picture are nothing to it. */
static void scale_and_offset_change_nothing(void **state)
{
    static float first[60 * 64], second[60 * 64], other[60 * 64];
    struct fly_rng rng = {2};
    struct fly_moved moved[2];

    (void)state;
    draw(5, 60, 64, 0.0, 0.0, 3.0, &rng, first);
    draw(5, 60, 64, 2.4, -3.1, 3.0, &rng, second);
    for (int32_t i = 0; i < 60 * 64; i++)
        other[i] = 1e-20f * (second[i] - 40.0f);
    for (int k = 0; k < 2; k++) {
        struct fly_arena arena;
        struct fly_correlator *c = open_one(&arena, 60, 64);
        struct fly_peak peak;

        assert_true(fly_correlator_look(c, first));
        fly_correlator_adopt(c);
        assert_true(fly_correlator_look(c, k ? other : second));
        assert_true(fly_correlator_compare(c));
        assert_true(fly_correlator_peaks(c, &peak, 1) == 1);
        fly_correlator_refine(c, &peak, &moved[k]);
        assert_true(fabs(moved[k].y_px - 2.4) < 0.1 && fabs(moved[k].x_px + 3.1) < 0.1);
        fly_correlator_close(&c);
        fly_arena_fini(&arena);
    }
    assert_true(fabs(moved[0].y_px - moved[1].y_px) < 1e-3 && fabs(moved[0].x_px - moved[1].x_px) < 1e-3);
}

static void a_constant_picture_is_refused_and_forgotten(void **state)
{
    static float flat[20 * 20], blobs[20 * 20];
    struct fly_rng rng = {2};
    struct fly_arena arena;
    struct fly_correlator *c = open_one(&arena, 20, 20);

    (void)state;
    draw(5, 20, 20, 0.0, 0.0, 1.0, &rng, blobs);
    for (int32_t i = 0; i < 20 * 20; i++)
        flat[i] = 3.0f;
    assert_false(fly_correlator_look(c, flat));
    flat[7] = NAN;
    assert_false(fly_correlator_look(c, flat));
    assert_true(fly_correlator_look(c, blobs));
    fly_correlator_adopt(c);
    assert_false(fly_correlator_look(c, flat));
    assert_true(fly_correlator_look(c, blobs));
    assert_true(fly_correlator_compare(c));
    fly_correlator_close(&c);
    fly_correlator_close(&c);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_is_the_formula),
        cmocka_unit_test(peaks_are_those_that_lack_little),
        cmocka_unit_test(scale_and_offset_change_nothing),
        cmocka_unit_test(a_constant_picture_is_refused_and_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
