#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/steer/policy_rig.h"

/* ---- other policies -------------------------------------------------------------------------------------- */

/* Whole passes: what was planned is exposed, until each chip has had two more survey dwells. */
static void uniform_policies_make_whole_passes(void **state)
{
    static const int32_t interlaced[] = {0, 8, 4, 2, 6, 10, 1, 3, 5, 7, 9};

    (void)state;
    for (int interlace = 0; interlace < 2; interlace++) {
        struct rig *rig = rig_make(11, 7, 2);
        int32_t done = 0;
        uint8_t in[RIG_CHIPS];

        rig->config.policy = interlace ? FLY_STEER_INTERLACED : FLY_STEER_RASTER;
        rig->config.stop_error = rig->config.stop_floor = 0.0;
        rig->config.tiles = 7;
        for (; done < 22; done++) {
            rig_plan(rig);
            assert_int_equal(rig_chips(rig, in), 7);
            assert_int_equal(rig->plan.n_tiles, 1);
            assert_int_equal(rig->plan.tiles[0].row, interlace ? interlaced[done % 11] : done % 11);
            assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_PASS);
            for (int32_t k = 0; k < 77; k++)
                rig->max_us[k] = rig->mean_us[k] += in[k] ? 2.0f : 0.0f;
        }
        for (int32_t k = 0; k < 77; k++)
            assert_true(rig->mean_us[k] == 6.0f);
        rig_free(rig);
    }
}

static void the_random_policy_draws_anew_when_dose_came(void **state)
{
    struct rig *rig = rig_make(20, 20, 2);
    uint8_t first[RIG_CHIPS], second[RIG_CHIPS];

    (void)state;
    rig->config.policy = FLY_STEER_RANDOM;
    rig->config.stop_error = rig->config.stop_floor = 0.0;
    rig->config.tiles = 40;
    rig_plan(rig);
    assert_int_equal(rig_chips(rig, first), 40);
    rig->mean_us[0] += 2.0f;
    rig_plan(rig);
    assert_int_equal(rig_chips(rig, second), 40);
    assert_memory_not_equal(first, second, 400);
    rig->config.seed++;
    rig_plan(rig);
    rig_chips(rig, first);
    assert_memory_not_equal(first, second, 400);
    rig_free(rig);
}

static void margin_alone_takes_the_least_sure_whatever_they_need(void **state)
{
    struct rig *rig = rig_make(9, 9, 2);

    (void)state;
    rig->config.policy = FLY_STEER_MARGIN;
    rig->config.potts_iterations = 0;
    rig->config.tiles = 2;
    rig->rate_eds[1] = rig->rate_haadf[1] = 0.0; /* hopeless for others */
    rig_doubt(rig, 10, 0.5);
    rig_doubt(rig, 11, 0.6);
    rig_doubt(rig, 40, 0.7);
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 2);
    assert_int_equal(rig->plan.tiles[0].col, 1);
    assert_int_equal(rig->plan.tiles[1].row, 4); /* 11 touches 10 */
    assert_true(rig->plan.dwell_us == 2.0);
    assert_int_equal(rig->plan.alternatives[0].col, 2);
    rig_free(rig);
}

static void the_frozen_policy_only_looks(void **state)
{
    struct rig *rig = rig_make(9, 9, 2);

    (void)state;
    rig->config.policy = FLY_STEER_FROZEN;
    rig_doubt(rig, 40, 0.0);
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0);
    assert_int_equal(rig->plan.stop, FLY_STEER_GO);
    assert_true(rig->plan.expected_error > 0.0);
    rig_free(rig);
}

/* ---- tiles ----------------------------------------------------------------------------------------------- */

static void neighbours_in_a_row_are_one_tile_where_they_may_touch(void **state)
{
    struct rig *rig = rig_make(6, 8, 2);

    (void)state;
    rig->config.explore = rig->config.boundary = 0.0;
    rig->config.potts_iterations = 0;
    for (int32_t col = 1; col < 5; col++)
        rig_doubt(rig, 2 * 8 + col, 0.2 * col);
    rig->config.apart = 0;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 1);
    assert_int_equal(rig->plan.tiles[0].col, 1);
    assert_int_equal(rig->plan.tiles[0].cols, 4);
    assert_true(fabs(rig->plan.cost_us - (20.0 / 20.0 + 100.0 + 10.0 * (40.0 * rig->plan.dwell_us + 50.0))) < 1e-9);
    rig->config.apart = 1;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 2);
    assert_int_equal(rig->plan.tiles[0].col, 1);
    assert_int_equal(rig->plan.tiles[1].col, 3);
    assert_int_equal(rig->plan.n_alternatives, 2);
    rig->config.apart = 0;
    rig->view.pitch_px = 9; /* they share pixels */
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 2);
    rig_free(rig);
}

/* Of two equal chips the one beside a better one: the beam is there already. */
static void the_way_of_the_beam_is_part_of_the_price(void **state)
{
    struct rig *rig = rig_make(20, 20, 2);

    (void)state;
    rig->config.explore = rig->config.boundary = 0.0;
    rig->config.potts_iterations = 0;
    rig->config.tiles = 2;
    rig->config.slew_px_per_us = 0.01;
    rig_doubt(rig, 15 * 20 + 15, 0.1);
    rig_doubt(rig, 0, 1.0);
    rig_doubt(rig, 15 * 20 + 17, 1.001);
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 2);
    assert_int_equal(rig->plan.tiles[0].col + rig->plan.tiles[1].col, 32);
    rig->config.slew_px_per_us = INFINITY;
    rig_plan(rig);
    assert_int_equal(rig->plan.tiles[0].row, 0);
    rig_free(rig);
}

static void best_first_is_by_score(void **state)
{
    int32_t order[FLY_STEER_TILES_MAX];
    int32_t seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig *rig = rig_random(seed);

        rig_plan(rig);
        fly_steer_best_first(&rig->plan, order);
        for (int32_t i = 1; i < rig->plan.n_tiles; i++, seen++) {
            double a = rig->plan.tiles[order[i - 1]].score, b = rig->plan.tiles[order[i]].score;

            assert_true(a > b || (a == b && order[i - 1] < order[i]));
        }
        rig_free(rig);
    }
    assert_true(seen > 100);
}

/* ---- state ----------------------------------------------------------------------------------------------- */

static void a_state_that_was_packed_plans_on_as_if_it_were_not(void **state)
{
    static struct fly_steer_plan other;
    unsigned char bytes[512];

    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig *rig = rig_random(seed), *fresh = rig_random(seed + 7777777);
        size_t len = fly_steer_state_len(rig->state);
        struct rig *twin = rig_random(seed);

        rig_plan(rig);
        fly_steer_state_pack(rig->state, bytes);
        assert_int_equal(fly_steer_state_unpack(twin->state, bytes, len), FLY_OK);
        rig->view.epoch++;
        for (int32_t i = 0; i < rig->view.rows * rig->view.cols * rig->view.classes; i++)
            rig->posterior[i] = 0.6 * rig->posterior[i] + 0.4 / rig->view.classes;
        rig_plan(rig);
        assert_int_equal(fly_steer_plan(twin->state, &rig->config, &rig->view, &other), FLY_OK);
        assert_memory_equal(&rig->plan, &other, sizeof other);
        assert_int_equal(fly_steer_state_unpack(twin->state, bytes, len - 1), FLY_EWIRE);
        bytes[5] ^= 1; /* rows */
        assert_int_equal(fly_steer_state_unpack(twin->state, bytes, len), FLY_EWIRE);
        assert_int_equal(fly_steer_plan(twin->state, &rig->config, &rig->view, &other), FLY_OK);
        assert_memory_equal(&rig->plan, &other, sizeof other); /* nothing had changed */
        rig_free(rig);
        rig_free(fresh);
        rig_free(twin);
    }
}

/* After a restart: epochs begin at 1 again, and births at 0. */
static void a_state_goes_on_where_others_count(void **state)
{
    (void)state;
    for (uint64_t births = 0; births < 2; births++) {
        struct rig *rig = rig_make(6, 8, 2), *late = rig_make(6, 8, 2);
        unsigned char bytes[256];

        rig->config.stop_epochs = late->config.stop_epochs = 3;
        rig->view.births = 40;
        for (rig->view.epoch = 1; rig->view.epoch <= 5; rig->view.epoch++)
            rig_plan(rig);
        assert_int_equal(rig->plan.stop, FLY_STEER_STOP_ERROR);
        assert_true(fly_steer_state_len(rig->state) <= sizeof bytes);
        fly_steer_state_pack(rig->state, bytes);
        assert_int_equal(fly_steer_state_unpack(late->state, bytes, fly_steer_state_len(late->state)), FLY_OK);
        fly_steer_anew(late->state, 0);
        late->view.epoch = 5; /* another map than the one of that number before */
        late->view.births = births;
        rig_plan(late);
        assert_int_equal(late->plan.stop == FLY_STEER_STOP_ERROR, births == 0);
        rig_free(rig);
        rig_free(late);
    }
}

static void a_state_of_no_size_is_refused(void **state)
{
    struct fly_arena arena;
    struct fly_steer *steer = NULL;

    (void)state;
    assert_true(fly_steer_need(0, 5, 2) == SIZE_MAX && fly_steer_need(5, 5, FLY_STEER_CLASSES_MAX + 1) == SIZE_MAX);
    assert_true(fly_steer_need(1 << 11, 1 << 10, 2) == SIZE_MAX);
    assert_int_equal(fly_arena_init(&arena, fly_steer_need(5, 5, 2) - 64, NULL, "test"), FLY_OK);
    assert_int_equal(fly_steer_init(&steer, 5, 0, 2, &arena), FLY_ERANGE);
    assert_int_equal(fly_steer_init(&steer, 5, 5, 2, &arena), FLY_ENOMEM);
    assert_null(steer);
    fly_arena_fini(&arena);
}

static void the_median_is_the_lower_middle(void **state)
{
    struct fly_rng rng = {3};
    double values[101], sorted[101];

    (void)state;
    for (int turn = 0; turn < 3000; turn++) {
        int32_t n = rig_whole(&rng, 1, 101);

        for (int32_t i = 0; i < n; i++)
            values[i] = sorted[i] = (double)fly_rng_below(&rng, turn % 2 ? 5 : 1000000);
        for (int32_t i = 1; i < n; i++)
            for (int32_t j = i; j > 0 && sorted[j] < sorted[j - 1]; j--) {
                double swap = sorted[j];

                sorted[j] = sorted[j - 1];
                sorted[j - 1] = swap;
            }
        assert_true(fly_steer_median(values, n) == sorted[(n - 1) / 2]);
    }
}

static void names_are_those_of_the_wire(void **state)
{
    (void)state;
    for (int p = 0; p < FLY_STEER_POLICIES; p++)
        assert_int_equal(fly_steer_policy_of_name(fly_steer_policy_name((enum fly_steer_policy)p)), p);
    for (int s = 0; s < FLY_SIGNALS; s++)
        assert_int_equal(fly_signal_of_name(fly_signal_name((enum fly_signal)s)), s);
    assert_int_equal(fly_steer_policy_of_name("greedy"), -1);
    assert_int_equal(fly_steer_policy_of_name(NULL), -1);
    assert_int_equal(fly_signal_of_name("x"), -1);
    assert_int_equal(fly_signal_of_name(NULL), -1);
    assert_string_equal(fly_steer_policy_name(FLY_STEER_FROZEN), "frozen");
    assert_string_equal(fly_steer_reason_name(FLY_STEER_FOR_EXPLORE), "explore");
    assert_string_equal(fly_steer_stop_name(FLY_STEER_STOP_TIME), "time");
    assert_string_equal(fly_signal_name(FLY_SIGNAL_HAADF), "haadf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_policies_make_whole_passes),
        cmocka_unit_test(the_random_policy_draws_anew_when_dose_came),
        cmocka_unit_test(margin_alone_takes_the_least_sure_whatever_they_need),
        cmocka_unit_test(the_frozen_policy_only_looks),
        cmocka_unit_test(neighbours_in_a_row_are_one_tile_where_they_may_touch),
        cmocka_unit_test(the_way_of_the_beam_is_part_of_the_price),
        cmocka_unit_test(best_first_is_by_score),
        cmocka_unit_test(a_state_that_was_packed_plans_on_as_if_it_were_not),
        cmocka_unit_test(a_state_goes_on_where_others_count),
        cmocka_unit_test(a_state_of_no_size_is_refused),
        cmocka_unit_test(the_median_is_the_lower_middle),
        cmocka_unit_test(names_are_those_of_the_wire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
