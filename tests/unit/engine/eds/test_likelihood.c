#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/eds/likelihood.h"

enum { BINS = 60, COLUMNS = 8 };

struct rig {
    struct fly_mixture mixture;
    int32_t first[BINS + 1];
    uint8_t column[BINS * COLUMNS];
    double value[BINS * COLUMNS], sum[COLUMNS], counts[BINS], theta[COLUMNS];
    uint8_t active[COLUMNS];
    struct fly_arena arena;
    struct fly_likelihood work;
};

/* Peaks of width 3 that overlap, a slope and a constant; column j left out where leave says so. */
static void rig_open(struct rig *rig, int overlap)
{
    int32_t entries = 0;

    memset(rig, 0, sizeof *rig);
    rig->mixture = (struct fly_mixture){BINS, COLUMNS, rig->first, rig->column, rig->value, rig->sum};
    for (int b = 0; b < BINS; b++) {
        rig->first[b] = entries;
        for (int j = 0; j < COLUMNS; j++) {
            double t = (b - 5.0 - (overlap ? 4.0 : 9.0) * j) / 1.5, v = exp(-0.5 * t * t) / (1.5 * sqrt(2.0 * M_PI));

            if (j == COLUMNS - 2)
                v = 2.0 * (BINS - b) / (BINS * (BINS + 1.0));
            if (j == COLUMNS - 1)
                v = 1.0 / BINS;
            if (v < 1e-9)
                continue;
            rig->column[entries] = (uint8_t)j;
            rig->value[entries++] = v;
            rig->sum[j] += v;
        }
    }
    rig->first[BINS] = entries;
    memset(rig->active, 1, sizeof rig->active);
    assert_int_equal(fly_arena_init(&rig->arena, fly_likelihood_need(BINS, COLUMNS), NULL, "test"), FLY_OK);
    fly_likelihood_init(&rig->work, BINS, COLUMNS, &rig->arena);
}

static void rig_draw(struct rig *rig, struct fly_rng *rng, const double *truth)
{
    for (int b = 0; b < BINS; b++) {
        double mu = 0.0;

        for (int32_t e = rig->first[b]; e < rig->first[b + 1]; e++)
            mu += truth[rig->column[e]] * rig->value[e];
        rig->counts[b] = (double)fly_rng_poisson(rng, mu);
    }
}

static void one_column_gets_all_the_counts(void **state)
{
    static struct rig rig;
    double total = 0.0;

    (void)state;
    rig_open(&rig, 1);
    memset(rig.active, 0, sizeof rig.active);
    rig.active[COLUMNS - 1] = 1;
    for (int b = 0; b < BINS; b++)
        total += rig.counts[b] = b % 5;
    fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-9, rig.theta, &rig.work);
    assert_true(fabs(rig.theta[COLUMNS - 1] - total) < 1e-6 * total);
    for (int j = 0; j < COLUMNS - 1; j++)
        assert_true(rig.theta[j] == 0.0);
    fly_arena_fini(&rig.arena);
}

static void no_counts_give_nothing_and_counts_nobody_explains_end_too(void **state)
{
    static struct rig rig;

    (void)state;
    rig_open(&rig, 0);
    rig.theta[0] = 5.0;
    assert_int_equal(fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-9, rig.theta, &rig.work), 0);
    for (int j = 0; j < COLUMNS; j++)
        assert_true(rig.theta[j] == 0.0);
    memset(rig.active, 0, sizeof rig.active);
    rig.active[0] = 1; /* reaches the first bins only */
    rig.counts[BINS - 1] = 3.0;
    assert_true(fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-9, rig.theta, &rig.work) <=
                FLY_LIKELIHOOD_STEPS);
    for (int j = 0; j < COLUMNS; j++)
        assert_true(isfinite(rig.theta[j]));
    fly_arena_fini(&rig.arena);
}

/* Kuhn and Tucker: at the maximum no column that may move climbs, and none that is there falls. */
static void the_maximum_is_one_and_the_plain_twin_never_gets_above_it(void **state)
{
    static const double truths[][COLUMNS] = {
        {40, 0, 0, 25, 0, 0, 20, 10}, {400, 300, 200, 100, 50, 20, 300, 300}, {0, 0, 3, 0, 0, 0, 1, 1},
        {40000, 0, 100, 25000, 0, 7, 2000, 90000}, {0, 0, 0, 0, 0, 0, 0, 60}, {5, 5, 5, 5, 5, 5, 0, 0},
    };
    struct fly_rng rng = {3};

    (void)state;
    for (size_t t = 0; t < sizeof truths / sizeof *truths; t++)
        for (int repeat = 0; repeat < 20; repeat++) {
            static struct rig rig;
            double score[COLUMNS], twin[COLUMNS], ours, theirs;

            rig_open(&rig, repeat % 2);
            rig.active[repeat % COLUMNS] = repeat % 3 != 0;
            rig_draw(&rig, &rng, truths[t]);
            assert_true(fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-10, rig.theta, &rig.work) <=
                        FLY_LIKELIHOOD_STEPS);
            fly_likelihood_fit_ref(&rig.mixture, rig.counts, rig.active, 4000, twin);
            ours = fly_likelihood_value(&rig.mixture, rig.counts, rig.theta);
            theirs = fly_likelihood_value(&rig.mixture, rig.counts, twin);
            if (theirs > -INFINITY) {
                assert_true(ours >= theirs - 1e-5);
                assert_true(ours <= theirs + 0.05); /* the twin crawls towards 0, but it gets near */
            }
            fly_likelihood_score(&rig.mixture, rig.counts, rig.theta, score);
            for (int j = 0; j < COLUMNS && theirs > -INFINITY; j++) {
                assert_true(rig.theta[j] >= 0.0 && (rig.active[j] || rig.theta[j] == 0.0));
                if (rig.active[j])
                    assert_true(score[j] * fmax(rig.theta[j], 1.0) < 1e-2);
            }
            fly_arena_fini(&rig.arena);
        }
}

static void the_start_does_not_matter(void **state)
{
    static const double truth[COLUMNS] = {400, 0, 30, 100, 50, 0, 300, 300};
    struct fly_rng rng = {9};
    static struct rig rig;
    double flat[COLUMNS];

    (void)state;
    rig_open(&rig, 1);
    rig_draw(&rig, &rng, truth);
    fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-10, rig.theta, &rig.work);
    memcpy(flat, rig.theta, sizeof flat);
    for (int j = 0; j < COLUMNS; j++)
        rig.theta[j] = 1.0 + j * 100.0;
    fly_likelihood_fit(&rig.mixture, rig.counts, rig.active, 1e-10, rig.theta, &rig.work);
    for (int j = 0; j < COLUMNS; j++)
        assert_true(fabs(rig.theta[j] - flat[j]) < 0.01);
    fly_arena_fini(&rig.arena);
}

/* Two columns alone in their bins: information is sum / theta, and nothing across. */
static void the_information_of_columns_apart_is_known(void **state)
{
    static struct rig rig;
    double information[COLUMNS * COLUMNS];

    (void)state;
    rig_open(&rig, 0);
    for (int j = 0; j < COLUMNS; j++)
        rig.theta[j] = j < 2 ? 10.0 * (j + 1) : 0.0;
    fly_likelihood_information(&rig.mixture, rig.theta, information);
    assert_true(fabs(information[0] - rig.sum[0] / 10.0) < 1e-3);
    assert_true(fabs(information[COLUMNS + 1] - rig.sum[1] / 20.0) < 1e-3);
    assert_true(fabs(information[COLUMNS]) < 1e-3);
    fly_arena_fini(&rig.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_column_gets_all_the_counts),
        cmocka_unit_test(no_counts_give_nothing_and_counts_nobody_explains_end_too),
        cmocka_unit_test(the_maximum_is_one_and_the_plain_twin_never_gets_above_it),
        cmocka_unit_test(the_start_does_not_matter),
        cmocka_unit_test(the_information_of_columns_apart_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
