#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/label/fewshot.h"
#include "engine/label/unknown.h"

static void near(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-12 * (1.0 + fabs(want)));
}

static void without_a_chip_the_prior_decides(void **state)
{
    struct fly_unknown_prior prior = fly_unknown_prior_single();
    const double none[3] = {NAN, INFINITY, NAN};
    struct fly_unknown u;

    (void)state;
    for (int n = 0; n <= 3; n += 3) {
        fly_unknown_fit(&u, none, n, &prior);
        assert_int_equal(u.n, 0);
        near(u.mean, prior.mean);
        near(u.spread, prior.spread);
        near(u.threshold, pow(prior.mean + 3.0 * prior.spread, 3.0));
    }
}

/* Two chips of roots 1 and 2: mean (3 + 4 m) / 8 of 2 and 4 chips' worth, squares 0.5 + 8 s^2 over 1 + 8. */
static void chips_and_prior_are_weighed_by_their_numbers(void **state)
{
    struct fly_unknown_prior prior = {.mean = 0.5, .spread = 0.2, .mean_weight = 4.0, .spread_weight = 8.0};
    const double ratio[3] = {1.0, NAN, 8.0};
    struct fly_unknown u;

    (void)state;
    fly_unknown_fit(&u, ratio, 3, &prior);
    assert_int_equal(u.n, 2);
    near(u.mean, (3.0 + 4.0 * 0.5) / 6.0);
    near(u.spread, sqrt((0.5 + 8.0 * 0.04) / 9.0));
    near(u.threshold, pow(u.mean + 3.0 * u.spread, 3.0));
}

static void a_chip_is_half_known_at_the_threshold(void **state)
{
    struct fly_unknown_prior prior = fly_unknown_prior_joint();
    struct fly_unknown u;
    double last = 1.0;

    (void)state;
    fly_unknown_fit(&u, NULL, 0, &prior);
    near(fly_unknown_known(&u, u.threshold), 0.5);
    assert_true(fabs(fly_unknown_known(&u, u.mean * u.mean * u.mean) - 0.99865010196837) < 1e-12);
    assert_true(fly_unknown_known(&u, INFINITY) == 0.0);
    for (double r = 0.0; r < 20.0; r += 0.25) {
        double known = fly_unknown_known(&u, r);

        assert_true(known <= last && known >= 0.0);
        last = known;
    }
    u.threshold = INFINITY;
    assert_true(isnan(fly_unknown_known(&u, 1.0)));
}

/* A chi square's cube root is nearly normal: of members, one or two in a thousand are rejected whatever
 * their number of degrees of freedom is, given enough support to learn the spread. */
static void members_are_rejected_rarely_at_any_width(void **state)
{
    static const int widths[] = {2, 5, 12, 60};
    struct fly_unknown_prior prior = fly_unknown_prior_single();
    struct fly_rng rng = {3};

    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        enum { SHOTS = 200, MEMBERS = 20000 };
        double ratio[SHOTS];
        struct fly_unknown u;
        int rejected = 0;

        for (int i = 0; i < SHOTS + MEMBERS; i++) {
            double sum = 0.0;

            for (int d = 0; d < widths[w]; d++) {
                double x = fly_rng_normal(&rng);

                sum += x * x / widths[w];
            }
            if (i < SHOTS)
                ratio[i] = sum;
            if (i == SHOTS)
                fly_unknown_fit(&u, ratio, SHOTS, &prior);
            rejected += i >= SHOTS && sum > u.threshold;
        }
        assert_true(rejected < MEMBERS / 100);
    }
}

/* ---- regions ---------------------------------------------------------------------------------------- */

enum { ROWS = 6, COLS = 7, CELLS = ROWS * COLS };

static void corners_do_not_connect_and_small_regions_are_none(void **state)
{
    static const char *const picture[ROWS] = {
        "##...#.",
        "##..#..",
        "..#....",
        ".###..#",
        "..#...#",
        "......#",
    };
    int32_t labels[CELLS], region[CELLS], scratch[CELLS];
    struct fly_region_found found[3];

    (void)state;
    for (int k = 0; k < CELLS; k++)
        labels[k] = picture[k / COLS][k % COLS] == '#' ? FLY_LABEL_UNKNOWN : k % 3;
    assert_int_equal(fly_unknown_regions(labels, ROWS, COLS, FLY_LABEL_UNKNOWN, FLY_NOVEL_CHIPS_MIN, region, found, 3,
                                         scratch), 2);
    assert_int_equal(found[0].first, 0);
    assert_int_equal(found[0].chips, 4);
    assert_int_equal(found[1].first, 2 * COLS + 2);
    assert_int_equal(found[1].chips, 5);
    assert_true(found[1].row0 == 2 && found[1].row1 == 4 && found[1].col0 == 1 && found[1].col1 == 3);
    for (int k = 0; k < CELLS; k++) {
        int in_first = k / COLS < 2 && k % COLS < 2;
        int in_second = labels[k] == FLY_LABEL_UNKNOWN && k / COLS >= 2 && k % COLS <= 3;

        assert_int_equal(region[k], in_first ? 0 : in_second ? 1 : -1);
    }
    /* Every region told counts, kept or not; with 3 chips the column at the right is one, too. */
    assert_int_equal(fly_unknown_regions(labels, ROWS, COLS, FLY_LABEL_UNKNOWN, 3, region, found, 1, scratch), 3);
    assert_int_equal(region[5 * COLS + 6], 2);
    assert_int_equal(fly_unknown_regions(labels, ROWS, COLS, FLY_LABEL_MINOR, 1, region, NULL, 0, scratch), 0);
}

/* Brute force: labels spread to the least index until nothing changes. */
static void regions_match_a_plain_search(void **state)
{
    struct fly_rng rng = {9};

    (void)state;
    for (int round = 0; round < 300; round++) {
        int32_t labels[CELLS], root[CELLS], region[CELLS], scratch[CELLS], size[CELLS] = {0}, want = 0;
        struct fly_region_found found[CELLS];
        int changed = 1;

        for (int k = 0; k < CELLS; k++) {
            labels[k] = fly_rng_below(&rng, 100) < 55 ? FLY_LABEL_UNKNOWN : 0;
            root[k] = k;
        }
        while (changed) {
            changed = 0;
            for (int k = 0; k < CELLS; k++)
                for (int j = 0; j < CELLS; j++) {
                    int apart = abs(k / COLS - j / COLS) + abs(k % COLS - j % COLS);

                    if (apart == 1 && labels[k] == labels[j] && root[j] < root[k]) {
                        root[k] = root[j];
                        changed = 1;
                    }
                }
        }
        for (int k = 0; k < CELLS; k++)
            size[root[k]] += labels[k] == FLY_LABEL_UNKNOWN;
        int32_t n = fly_unknown_regions(labels, ROWS, COLS, FLY_LABEL_UNKNOWN, 4, region, found, CELLS, scratch);

        for (int k = 0; k < CELLS; k++)
            if (root[k] == k && size[k] >= 4) {
                assert_int_equal(found[want].first, k);
                assert_int_equal(found[want].chips, size[k]);
                want++;
            }
        assert_int_equal(n, want);
        for (int k = 0; k < CELLS; k++) {
            int inside = labels[k] == FLY_LABEL_UNKNOWN && size[root[k]] >= 4;

            assert_true(inside ? found[region[k]].first == root[k] : region[k] == -1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_chip_the_prior_decides),
        cmocka_unit_test(chips_and_prior_are_weighed_by_their_numbers),
        cmocka_unit_test(a_chip_is_half_known_at_the_threshold),
        cmocka_unit_test(members_are_rejected_rarely_at_any_width),
        cmocka_unit_test(corners_do_not_connect_and_small_regions_are_none),
        cmocka_unit_test(regions_match_a_plain_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
