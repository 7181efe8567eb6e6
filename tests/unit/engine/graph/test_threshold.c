#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/histogram.h"
#include "engine/graph/threshold.h"

static int32_t p100_bin_of(uint16_t code)
{
    int32_t bin = 0;

    while (bin + 1 < FLY_P100_BINS && code >= fly_code_of_p100(bin + 1))
        bin++;
    return bin;
}

static void check_code(double s)
{
    static int64_t m2[FLY_M2_BINS];
    static struct fly_histogram histogram;
    uint16_t code = fly_code_of(s);
    int32_t bin;

    if (s > 0.0)
        assert_true(code >= 1 && code <= FLY_CODE_TOP && fabs(code - s * FLY_WEIGHT_ONE) < 1.6);
    if (s >= 0.0 && s <= 1.0) {
        for (bin = FLY_P100_BINS - 1; s < fly_p100_edge(bin);)
            bin--;
        assert_int_equal(p100_bin_of(code), bin);
    }
    if (s >= 0.0)
        for (int32_t k = 0; k <= FLY_P100_BINS; k++)
            assert_int_equal(code >= fly_code_of_p100(k), s >= fly_p100_edge(k));
    histogram.count[code] = 1;
    fly_histogram_m2(&histogram, m2);
    histogram.count[code] = 0;
    /* s + 1 would round just below an edge. */
    bin = 1024 + (int32_t)floor(s * 1024.0);
    assert_int_equal(m2[bin < FLY_M2_BINS ? bin : FLY_M2_BINS - 1], 1);
}

static void a_code_lies_in_the_same_bins_as_its_similarity(void **state)
{
    struct fly_rng rng = {7};

    (void)state;
    for (int32_t k = 0; k <= 100; k++) {
        double edge = fly_p100_edge(k);

        check_code(edge);
        check_code(nextafter(edge, 2.0));
        check_code(nextafter(edge, 0.0));
        check_code(edge + 1e-5);
        if (edge > 1e-5)
            check_code(edge - 1e-5);
    }
    for (int32_t b = 1; b < 2048; b++) {
        check_code(-1.0 + b / 1024.0);
        check_code(fly_m2_centre(b));
        if (b > 1024)
            check_code(nextafter(-1.0 + b / 1024.0, 0.0));
    }
    for (int32_t k = 0; k < 20000; k++)
        check_code(2.0 * fly_rng_uniform(&rng) - 1.0);
    check_code(1e-30);
    check_code(-1.0);
}

static void codes_rise_with_similarities(void **state)
{
    uint16_t before = 0;

    (void)state;
    assert_int_equal(fly_code_of(0.0), 0);
    assert_int_equal(fly_code_of(1.0), FLY_WEIGHT_ONE);
    assert_int_equal(fly_code_of(5.0), FLY_CODE_TOP);
    assert_true(fly_code_of(-1e-300) >= FLY_CODE_NEGATIVE && fly_code_of(-1e-300) < FLY_CODE_NONE);
    for (double s = 1e-9; s < 2.1; s += 7.7e-6) {
        uint16_t code = fly_code_of(s);

        assert_true(code >= before);
        before = code;
    }
}

/* golden edge.json mode_fixed_ends and mode_constant */
static void m2_counts_both_ends_and_ties_go_to_the_lowest(void **state)
{
    static struct fly_histogram histogram;
    int64_t bins[FLY_M2_BINS], two[4] = {1, 3, 3, 2};
    const double ends[] = {-1.0, 1.0, 1.0, 0.0};

    (void)state;
    memset(&histogram, 0, sizeof histogram);
    for (size_t k = 0; k < 4; k++)
        histogram.count[fly_code_of(ends[k])]++;
    fly_histogram_m2(&histogram, bins);
    assert_int_equal(bins[0], 1);
    assert_int_equal(bins[1024], 1);
    assert_int_equal(bins[2047], 2);
    assert_true(fly_m2_centre(fly_fullest(bins, FLY_M2_BINS)) == 0.99951171875);
    memset(&histogram, 0, sizeof histogram);
    histogram.count[fly_code_of(0.25)] = 7;
    fly_histogram_m2(&histogram, bins);
    assert_true(fly_m2_centre(fly_fullest(bins, FLY_M2_BINS)) == 0.25048828125);
    assert_int_equal(fly_fullest(two, 4), 1);
}

static void a_rival_needs_two_epochs_and_three_percent(void **state)
{
    struct fly_hysteresis h = fly_hysteresis_none();
    int64_t bins[100] = {0};

    (void)state;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 0); /* no pair: nothing is in use */
    bins[50] = 1000;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 50);
    bins[51] = 1020; /* the fullest, but not by enough, however long */
    for (int32_t k = 0; k < 5; k++)
        assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 50);
    bins[51] = 1031;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 51);
    bins[50] = 1200; /* once is not enough */
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 51);
    bins[50] = 1000;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 51);
    bins[50] = 1200;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 51);
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 50);
}

static void a_far_mode_wins_after_two_epochs_by_however_little(void **state)
{
    struct fly_hysteresis h = fly_hysteresis_none();
    int64_t bins[100] = {0};

    (void)state;
    bins[59] = 1000;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 59);
    bins[41] = 1001;
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 59);
    bins[42] = 1002; /* another one, as far */
    assert_int_equal(fly_hysteresis_step(&h, bins, 100, 100), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_lies_in_the_same_bins_as_its_similarity),
        cmocka_unit_test(codes_rise_with_similarities),
        cmocka_unit_test(m2_counts_both_ends_and_ties_go_to_the_lowest),
        cmocka_unit_test(a_rival_needs_two_epochs_and_three_percent),
        cmocka_unit_test(a_far_mode_wins_after_two_epochs_by_however_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
