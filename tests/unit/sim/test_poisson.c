#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "sim/poisson.h"

/* Means below, at and above the tabled ones: mean, variance and skewness within five deviations. */
static void every_mean_has_the_moments_of_poisson(void **state)
{
    static const float means[] = {0.003f, 0.1f, 0.99f, 1.0f, 1.02f, 7.77f, 31.4f, 180.0f, 1023.9f, 30000.0f};
    enum { N = 200000 };
    struct fly_poisson *poisson = NULL;
    struct fly_rng rng = {77};

    assert_int_equal(fly_poisson_open(&poisson, FLY_POISSON_MEAN_MAX), FLY_OK);
    for (size_t m = 0; m < sizeof means / sizeof *means; m++) {
        double mean = means[m], sum = 0, square = 0, cube = 0;

        for (int i = 0; i < N; i++) {
            double d = fly_poisson_draw(poisson, means[m], &rng) - mean;

            sum += d, square += d * d, cube += d * d * d;
        }
        assert_true(fabs(sum / N) < 5 * sqrt(mean / N));
        assert_true(fabs(square / N - mean) < 5 * sqrt((mean + 2 * mean * mean) / N));
        assert_true(fabs(cube / N - mean) <
                    6 * sqrt((mean + 25 * mean * mean + 15 * pow(mean, 3)) / N) + 1e-9);
    }
    fly_poisson_close(&poisson);
}

/* The whole law, not only its moments: chi squared over the counts of a mean with a rest. */
static void the_law_is_poisson_count_by_count(void **state)
{
    enum { N = 400000, BINS = 24 };
    struct fly_poisson *poisson = NULL;
    struct fly_rng rng = {5};
    int seen[BINS] = {0};
    double mean = 9.37, chance = exp(-mean), chi2 = 0, rest = 1;

    assert_int_equal(fly_poisson_open(&poisson, 10.0), FLY_OK);
    for (int i = 0; i < N; i++) {
        uint32_t k = fly_poisson_draw(poisson, (float)mean, &rng);

        seen[k < BINS - 1 ? k : BINS - 1]++;
    }
    for (int k = 0; k < BINS - 1; k++) {
        chi2 += pow(seen[k] - N * chance, 2) / (N * chance);
        rest -= chance;
        chance *= mean / (k + 1);
    }
    chi2 += pow(seen[BINS - 1] - N * rest, 2) / (N * rest);
    assert_true(chi2 < 23 + 5 * sqrt(2.0 * 23));
    fly_poisson_close(&poisson);
}

static void nothing_comes_of_no_mean(void **state)
{
    struct fly_poisson *poisson = NULL;
    struct fly_rng rng = {1};

    assert_int_equal(fly_poisson_open(&poisson, -1.0), FLY_ERANGE);
    assert_int_equal(fly_poisson_open(&poisson, 60001.0), FLY_ERANGE);
    assert_null(poisson);
    assert_int_equal(fly_poisson_open(&poisson, 0.0), FLY_OK);
    assert_int_equal(fly_poisson_draw(poisson, 0.0f, &rng), 0);
    assert_int_equal(fly_poisson_draw(poisson, -3.0f, &rng), 0);
    fly_poisson_close(&poisson);
    fly_poisson_close(&poisson);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mean_has_the_moments_of_poisson),
        cmocka_unit_test(the_law_is_poisson_count_by_count),
        cmocka_unit_test(nothing_comes_of_no_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
