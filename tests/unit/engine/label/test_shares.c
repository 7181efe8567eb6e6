#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/base/rng.h"
#include "engine/label/shares.h"

static void bins_are_as_wide_as_the_resolution(void **state)
{
    (void)state;
    assert_int_equal(fly_shares_channels(10.0, 160.0), 16);
    assert_int_equal(fly_shares_channels(5.0, 160.0), 32);
    assert_int_equal(fly_shares_channels(100.0, 160.0), 2);
    assert_int_equal(fly_shares_channels(500.0, 160.0), 1);
    assert_int_equal(fly_shares_width(4096, 16), 256);
    assert_int_equal(fly_shares_width(4051, 16), 254);
    assert_int_equal(fly_shares_width(1, 16), 1);
}

static void shares_are_counts_over_their_sum(void **state)
{
    const uint32_t counts[7] = {1, 2, 0, 3, 0, 0, 4}, none[7] = {0};
    float share[3];

    (void)state;
    assert_true(fly_shares_make(counts, 7, 3, share) == 0.1);
    assert_true(share[0] == 0.3f && share[1] == 0.3f && share[2] == 0.4f);
    assert_true(isinf(fly_shares_make(none, 7, 3, share)));
    assert_true(share[0] == 0.0f && share[1] == 0.0f && share[2] == 0.0f);
}

/* The noise told is the squared distance from the true shares that it stands for. */
static void noise_is_the_expected_squared_distance(void **state)
{
    enum { E = 64, ROUNDS = 4000 };
    struct fly_rng rng = {21};
    double sum = 0.0, told = 0.0;

    (void)state;
    for (int r = 0; r < ROUNDS; r++) {
        uint32_t counts[E];
        float share[E / 2];

        for (int ch = 0; ch < E; ch++)
            counts[ch] = (uint32_t)fly_rng_poisson(&rng, 3.0);
        told += fly_shares_make(counts, E, 2, share);
        for (int b = 0; b < E / 2; b++)
            sum += (share[b] - 2.0 / E) * (share[b] - 2.0 / E);
    }
    /* 1 - sum of p^2 is 1 - 1 / 32. */
    assert_true(fabs(sum / told - (1.0 - 2.0 / E)) < 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_are_as_wide_as_the_resolution),
        cmocka_unit_test(shares_are_counts_over_their_sum),
        cmocka_unit_test(noise_is_the_expected_squared_distance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
