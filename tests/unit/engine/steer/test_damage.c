#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/damage_scene.h"

static int32_t found(const struct damage_scene *s)
{
    return fly_damage_found(s->watch, NULL, NULL);
}

/* Frames until something is found, or `most` and none. */
static int frames_until(struct damage_scene *s, int most)
{
    for (int f = 1; f <= most; f++) {
        damage_scene_frame(s);
        if (found(s) > 0)
            return f;
    }
    return most + 1;
}

/* ---- the test, against its definition ------------------------------------------------------------ */

enum { EXPOSURES = 8 };

/* Cochran-Armitage from the list of all photons: 1 in the window, 0 beside it; a of each. The skewness is that of the sum
 * of a over a draw of n_in of them. */
static double p_by_photons(const uint32_t *in, const uint32_t *all, const double *dwell, double *change)
{
    double a[EXPOSURES], n = 0.0, n_in = 0.0, mean = 0.0, u = 0.0, variance = 0.0, third = 0.0, dose = 0.0, p, z, skew;

    for (int i = 0; i < EXPOSURES; i++) {
        a[i] = log((dose + 0.5 * dwell[i]) / dwell[0]);
        dose += dwell[i];
        n += all[i];
        n_in += in[i];
        mean += all[i] * a[i];
    }
    mean /= n;
    p = n_in / n;
    for (int i = 0; i < EXPOSURES; i++) {
        u += in[i] * (a[i] - mean);
        variance += all[i] * p * (1.0 - p) * (a[i] - mean) * (a[i] - mean);
        third += all[i] * p * (1.0 - p) * (1.0 - 2.0 * p) * pow(a[i] - mean, 3.0);
    }
    z = u / sqrt(variance);
    skew = third / pow(variance, 1.5);
    *change = expm1((1.0 - p) * u / variance * log(2.0 * dose / dwell[0]));
    return erfc(fmin(fabs(z), fabs(z - skew * (z * z - 1.0) / 6.0)) / sqrt(2.0));
}

static void a_share_is_tested_by_cochran_and_armitage(void **state)
{
    static const uint32_t in[EXPOSURES] = {400, 380, 350, 330, 300, 290, 280, 270};
    static const double dwell[EXPOSURES] = {2.0, 2.0, 4.0, 2.0, 2.0, 6.0, 2.0, 2.0};
    struct fly_damage_config config = {.rows = 1, .cols = 1, .windows = 1};
    struct fly_damage_finding last;
    struct fly_damage *watch;
    struct fly_arena arena;
    uint32_t all[EXPOSURES], sum = 0;
    uint64_t total = 0;
    double dose = 0.0, change, p;

    assert_int_equal(fly_arena_init(&arena, fly_damage_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_damage_init(&watch, &config, &arena), FLY_OK);
    for (int i = 0; i < EXPOSURES; i++) {
        all[i] = 1000;
        sum += in[i];
        total += all[i];
        dose += dwell[i];
        fly_damage_counts(watch, 0, &sum, total, dose, 1);
    }
    assert_int_equal(fly_damage_found(watch, NULL, NULL), 0); /* before it was looked at */
    fly_damage_look(watch);
    assert_int_equal(fly_damage_found(watch, NULL, &last), 1);
    assert_int_equal(last.sign, FLY_DAMAGE_SHARE);
    assert_int_equal(last.window, 0);
    assert_int_equal(last.together, 0);
    p = p_by_photons(in, all, dwell, &change);
    assert_true(fabs(last.p / p - 1.0) < 1e-6);
    assert_true(fabs(last.change - change) < 1e-9);
    assert_true(last.change < -0.25 && last.change > -0.45);
    assert_true(last.dose_us == dose);
    fly_arena_fini(&arena);
}

/* ---- what is not damage -------------------------------------------------------------------------- */

static void a_specimen_that_stays_is_left_alone_whatever_the_current_does(void **state)
{
    static const double counts[] = {4.0, 20.0, 60.0, 150.0, 400.0};
    int wrong = 0;

    for (int i = 0; i < 20; i++) {
        struct damage_scene s;

        damage_scene_open(&s, 21, counts[i % 5], (uint64_t)(100 + i));
        for (int f = 0; f < 40; f++) {
            s.current = i % 4 == 0 ? 1.0 : i % 4 == 1 ? 1.0 - 0.01 * f : i % 4 == 2 ? 1.0 + 0.02 * f : f < 20 ? 1.0 : 0.6;
            damage_scene_frame(&s);
        }
        wrong += found(&s) > 0;
        damage_scene_close(&s);
    }
    assert_true(wrong <= 1); /* of 20 scans at FLY_DAMAGE_FALSE each: two or more by a chance of 2 % at most */
}

static void doses_may_be_as_uneven_as_a_policy_makes_them(void **state)
{
    struct damage_scene s;

    damage_scene_open(&s, 21, 150.0, 7);
    damage_scene_frame(&s);
    for (int round = 0; round < 400; round++) {
        s.current = 1.0 - 5e-4 * round;
        for (int i = 0; i < 20; i++) {
            int32_t k = (int32_t)fly_rng_below(&s.rng, 21 * 21);

            damage_scene_expose(&s, k / 21, k % 21 / (1 + round % 3), 0.5 + (double)fly_rng_below(&s.rng, 4));
        }
        fly_damage_look(s.watch);
    }
    assert_int_equal(found(&s), 0);
    damage_scene_close(&s);
}

static int32_t found_by_drift(double moved)
{
    struct damage_scene s;
    int32_t n;

    damage_scene_open(&s, 21, 400.0, 3);
    fly_damage_moved(s.watch, moved);
    for (int f = 0; f < 30; f++) {
        s.neighbour = 0.4 * f / 29.0;
        damage_scene_frame(&s);
    }
    n = found(&s);
    damage_scene_close(&s);
    return n;
}

static void a_boundary_that_drifts_is_none(void **state)
{
    assert_int_equal(found_by_drift(0.4), 0);
    assert_true(found_by_drift(0.0) > 0); /* it would be, were the drift not known */
    assert_int_equal(found_by_drift(1.01), 0);
}

/* Slopes that scatter over the scan as a lattice under a drift makes them, and one chip among them that loses as much as
 * any of them does. */
static void a_lattice_that_drifts_is_none(void **state)
{
    struct damage_scene s;

    damage_scene_open(&s, 21, 1.0, 5);
    for (int f = 0; f < 20; f++) {
        for (int32_t k = 0; k < 21 * 21; k++) {
            double phase = 2.4 * k, mean = 1.0 + 0.3 * sin(phase + 0.05 * f);

            fly_damage_image(s.watch, k, mean + 0.002 * fly_rng_normal(&s.rng), 2.0);
        }
        fly_damage_look(s.watch);
    }
    assert_int_equal(found(&s), 0);
    damage_scene_close(&s);
}

/* ---- what is ------------------------------------------------------------------------------------- */

static void expect_found_within(struct damage_scene *s)
{
    int32_t barred, n = fly_damage_found(s->watch, &barred, NULL), bars = 0, is = 0;

    for (int32_t k = 0; k < s->side * s->side; k++) {
        int32_t row = k / s->side, col = k % s->side;
        int near = row >= s->first - 1 && row <= s->first + s->across && col >= s->first - 1 && col <= s->first + s->across;

        assert_true(!fly_damage_is(s->watch, k) || near); /* 3 x 3 chips around it have some of the damage */
        is += fly_damage_is(s->watch, k);
        bars += fly_damage_bars(s->watch, k);
    }
    assert_int_equal(n, is);
    assert_int_equal(barred, bars);
}

static void lost_oxygen_is_found_where_it_is_lost(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fly_damage_finding last;
        struct damage_scene s;

        damage_scene_open(&s, 25, 400.0, seed);
        s.kind = DAMAGE_OXYGEN;
        s.loss = 0.3;
        s.first = 15;
        s.across = 5;
        assert_true(frames_until(&s, 60) <= 15);
        for (int f = 0; f < 30; f++)
            damage_scene_frame(&s);
        assert_true(fly_damage_found(s.watch, NULL, &last) >= 5);
        assert_int_equal(last.sign, FLY_DAMAGE_SHARE);
        assert_int_equal(last.window, 0);
        assert_true(last.change < -0.1 && last.change > -0.6);
        expect_found_within(&s);
        damage_scene_close(&s);
    }
}

static void a_specimen_that_gets_thinner_is_found_by_image_and_by_rate(void **state)
{
    for (int by_image = 0; by_image < 2; by_image++) {
        struct fly_damage_finding last;
        struct damage_scene s;

        damage_scene_open(&s, 25, by_image ? 20.0 : 1000.0, 2);
        s.image_sigma = by_image ? 0.02 : 1.0; /* drowned */
        s.kind = DAMAGE_THICKNESS;
        s.loss = 0.4;
        s.first = 15;
        s.across = 4;
        assert_true(frames_until(&s, 30) <= (by_image ? 5 : 20));
        fly_damage_found(s.watch, NULL, &last);
        assert_int_equal(last.sign, by_image ? FLY_DAMAGE_IMAGE : FLY_DAMAGE_RATE);
        assert_true(last.change < -0.1);
        expect_found_within(&s);
        damage_scene_close(&s);
    }
}

static void oxygen_lost_everywhere_is_no_current(void **state)
{
    struct damage_scene s;

    damage_scene_open(&s, 15, 400.0, 1);
    s.kind = DAMAGE_OXYGEN;
    s.loss = 0.4;
    s.across = 15;
    assert_true(frames_until(&s, 30) <= 15);
    damage_scene_close(&s);
}

static void chips_that_share_pixels_are_tested_alone(void **state)
{
    int32_t n[2];

    for (int overlap = 0; overlap < 2; overlap++) {
        struct damage_scene s;
        struct fly_damage_config config = {.rows = 25, .cols = 25, .windows = DAMAGE_WINDOWS, .chips_overlap = overlap};

        damage_scene_open(&s, 25, 150.0, 1);
        fly_arena_reset(&s.arena, 0);
        fly_arena_fini(&s.arena);
        assert_int_equal(fly_arena_init(&s.arena, fly_damage_need(&config), NULL, "test"), FLY_OK);
        assert_int_equal(fly_damage_init(&s.watch, &config, &s.arena), FLY_OK);
        s.kind = DAMAGE_OXYGEN;
        s.loss = 0.3;
        s.first = 15;
        s.across = 5;
        for (int f = 0; f < 20; f++)
            damage_scene_frame(&s);
        n[overlap] = found(&s);
        damage_scene_close(&s);
    }
    assert_true(n[0] > 0);
    assert_int_equal(n[1], 0); /* alone it has too few counts for that */
}

/* ---- what else comes ----------------------------------------------------------------------------- */

static void counts_that_were_moved_make_no_trend(void **state)
{
    struct damage_scene s;

    damage_scene_open(&s, 9, 400.0, 1);
    for (int f = 0; f < 20; f++) {
        damage_scene_frame(&s);
        for (int32_t k = 0; k < 81; k++) { /* a fifth of the oxygen of a frame goes, and as much comes from beside it */
            uint32_t *counts = s.counted + (size_t)k * DAMAGE_WINDOWS, gone = counts[0] / (uint32_t)(5 * (f + 1));
            uint32_t comes = (uint32_t)fly_rng_poisson(&s.rng, gone);

            counts[0] += comes - gone;
            s.total[k] += (uint64_t)comes - gone;
            fly_damage_counts(s.watch, k, counts, s.total[k], 2.0 * s.dose[k], 0);
        }
    }
    assert_int_equal(found(&s), 0);
    damage_scene_close(&s);
}

static void what_begins_anew_forgets_all_but_its_findings(void **state)
{
    struct damage_scene s;
    int32_t n, barred, after;

    damage_scene_open(&s, 15, 400.0, 1);
    s.kind = DAMAGE_THICKNESS;
    s.loss = 0.5;
    s.first = 5;
    s.across = 3;
    assert_true(frames_until(&s, 20) <= 20);
    n = fly_damage_found(s.watch, &barred, NULL);
    fly_damage_forget(s.watch);
    s.kind = DAMAGE_NONE; /* it has come back: only who remembers wonders */
    for (int f = 0; f < 30; f++)
        damage_scene_frame(&s);
    assert_int_equal(fly_damage_found(s.watch, &after, NULL), n);
    assert_int_equal(after, barred);
    damage_scene_close(&s);
}

static void what_is_wrong_is_named(void **state)
{
    struct fly_damage_config config = {.rows = 4, .cols = 4, .windows = FLY_DAMAGE_WINDOWS_MAX + 1};
    struct fly_damage *watch = NULL;
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, 4096, NULL, "test"), FLY_OK);
    assert_int_equal(fly_damage_init(&watch, &config, &arena), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "17 windows, allowed are 0 .. 16"));
    config.windows = 0;
    config.rows = 0;
    assert_int_equal(fly_damage_init(&watch, &config, &arena), FLY_ERANGE);
    config.rows = 1000;
    assert_int_equal(fly_damage_init(&watch, &config, &arena), FLY_ENOMEM);
    assert_null(watch);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_tested_by_cochran_and_armitage),
        cmocka_unit_test(a_specimen_that_stays_is_left_alone_whatever_the_current_does),
        cmocka_unit_test(doses_may_be_as_uneven_as_a_policy_makes_them),
        cmocka_unit_test(a_boundary_that_drifts_is_none),
        cmocka_unit_test(a_lattice_that_drifts_is_none),
        cmocka_unit_test(lost_oxygen_is_found_where_it_is_lost),
        cmocka_unit_test(a_specimen_that_gets_thinner_is_found_by_image_and_by_rate),
        cmocka_unit_test(oxygen_lost_everywhere_is_no_current),
        cmocka_unit_test(chips_that_share_pixels_are_tested_alone),
        cmocka_unit_test(counts_that_were_moved_make_no_trend),
        cmocka_unit_test(what_begins_anew_forgets_all_but_its_findings),
        cmocka_unit_test(what_is_wrong_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
