#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/base/rng.h"

static void counter_numbers_are_splitmix64(void **state)
{
    /* The first outputs that the published algorithm gives for seed 0. */
    assert_true(fly_rng_at(0) == 0xE220A8397B1DCDAFu);
    assert_true(fly_rng_at(1) == 0x6E789E6AA1B965F4u);
    assert_true(fly_rng_at(2) == 0x06C45D188009454Fu);
}

static void the_stream_is_the_counter_from_zero(void **state)
{
    struct fly_rng rng = {0};

    for (uint64_t i = 0; i < 100; i++)
        assert_true(fly_rng_next(&rng) == fly_rng_at(i));
}

static void uniforms_fill_the_unit_interval_evenly(void **state)
{
    enum { N = 200000, BINS = 64 };
    struct fly_rng rng = {42};
    double chi2 = 0.0, sum = 0.0;
    int bins[BINS] = {0};

    for (int i = 0; i < N; i++) {
        double u = fly_rng_uniform(&rng);

        assert_true(u >= 0.0 && u < 1.0);
        bins[(int)(u * BINS)]++;
        sum += u;
    }
    for (int i = 0; i < BINS; i++)
        chi2 += pow(bins[i] - (double)N / BINS, 2) / ((double)N / BINS);
    assert_true(fabs(sum / N - 0.5) < 4 * sqrt(1.0 / 12 / N));
    assert_true(chi2 > 63 - 4 * sqrt(2.0 * 63) && chi2 < 63 + 5 * sqrt(2.0 * 63));
}

static void below_reaches_every_number_and_no_other(void **state)
{
    struct fly_rng rng = {1};
    int seen[7] = {0};

    for (int i = 0; i < 7000; i++) {
        uint64_t v = fly_rng_below(&rng, 7);

        assert_true(v < 7);
        seen[v]++;
    }
    for (int i = 0; i < 7; i++)
        assert_true(seen[i] > 850 && seen[i] < 1150);
    assert_true(fly_rng_below(&rng, 1) == 0);
}

static void normals_have_mean_zero_and_deviation_one(void **state)
{
    enum { N = 200000 };
    struct fly_rng rng = {5};
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;

    for (int i = 0; i < N; i++) {
        double x = fly_rng_normal(&rng);

        m1 += x / N, m2 += x * x / N, m3 += x * x * x / N, m4 += x * x * x * x / N;
    }
    assert_true(fabs(m1) < 4 / sqrt(N) && fabs(m2 - 1) < 4 * sqrt(2.0 / N));
    assert_true(fabs(m3) < 4 * sqrt(15.0 / N) && fabs(m4 - 3) < 4 * sqrt(96.0 / N));
}

static void poisson_has_the_moments_of_its_mean(void **state)
{
    static const double means[] = {0.01, 0.5, 3.0, 29.9, 30.1, 400.0, 1e5};
    enum { N = 100000 };
    struct fly_rng rng = {9};

    for (int k = 0; k < 7; k++) {
        double mean = means[k], sum = 0, square = 0, cube = 0;

        for (int i = 0; i < N; i++) {
            double d = (double)fly_rng_poisson(&rng, mean) - mean;

            sum += d, square += d * d, cube += d * d * d;
        }
        /* var of the sample variance of a Poisson law: (mean + 2 mean^2) / n. */
        assert_true(fabs(sum / N) < 5 * sqrt(mean / N));
        assert_true(fabs(square / N - mean) < 5 * sqrt((mean + 2 * mean * mean) / N));
        assert_true(fabs(cube / N - mean) < 6 * sqrt((mean + 25 * mean * mean + 15 * pow(mean, 3)) / N));
    }
    assert_true(fly_rng_poisson(&rng, 0.0) == 0);
    assert_true(fly_rng_poisson(&rng, -1.0) == 0);
    assert_true(fly_rng_poisson(&rng, NAN) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter_numbers_are_splitmix64),
        cmocka_unit_test(the_stream_is_the_counter_from_zero),
        cmocka_unit_test(uniforms_fill_the_unit_interval_evenly),
        cmocka_unit_test(below_reaches_every_number_and_no_other),
        cmocka_unit_test(normals_have_mean_zero_and_deviation_one),
        cmocka_unit_test(poisson_has_the_moments_of_its_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
