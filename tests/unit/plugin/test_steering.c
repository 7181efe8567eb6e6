#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/steering.h"

enum { SIDE = 10, ROWS = 4, COLS = 6, CHIPS = ROWS * COLS, WIDTH = 3 };

/* A session of 4 x 6 chips of 10 px, whose embeddings are given: two classes, and columns in between. */
static struct fly_session *session_new(float *embeddings)
{
    static const struct fly_grid grid = {ROWS * SIDE, COLS * SIDE, SIDE, SIDE, ROWS, COLS};
    struct fly_start start = {.height_px = grid.height_px, .width_px = grid.width_px, .n_detectors = 1,
                              .detectors = {{"haadf", FLY_U16}}, .pixel_nm = {0.1, 0.2}, .beam_current_na = 0.5,
                              .pixel_time_us = 2.0, .flyback_time_us = 30.0};
    struct fly_options *options = calloc(1, sizeof *options);
    struct fly_exec exec = fly_exec_serial();
    struct fly_session_info *info;
    struct fly_session *session;

    assert_non_null(options);
    fly_options_default(options);
    options->chip.size_px = SIDE;
    options->haadf.hi = 1000;
    options->steer.target_error = 0; /* there is always something to decide */
    assert_int_equal(fly_session_info_make(&info, "s", &start, &(struct fly_part){"", 0}, options), FLY_OK);
    free(options);
    for (int k = 0; k < CHIPS; k++) {
        float *row = embeddings + k * WIDTH;

        row[0] = k % COLS < 2 ? 0.7f : k % COLS < 4 ? 0.5f : 0.3f;
        row[0] += 0.1f * (float)(k * 37 % 11 - 5) / 5;
        row[1] = 1.0f - row[0];
        row[2] = 0.1f * (float)(k * 53 % 7);
    }
    assert_int_equal(fly_session_open(&session, info, NULL, embeddings, WIDTH, &exec), FLY_OK);
    fly_session_info_drop(&info);
    return session;
}

static void survey(struct fly_session *session)
{
    struct fly_engine *engine = fly_session_engine(session);
    const int32_t of_a[] = {0, 7}, of_b[] = {5, 16};
    uint16_t *line = calloc(COLS * SIDE, sizeof *line);
    int32_t id;

    assert_non_null(line);
    for (int x = 0; x < COLS * SIDE; x++)
        line[x] = (uint16_t)(100 + 7 * x % 50);
    for (int y = 0; y < ROWS * SIDE; y++) {
        struct fly_taken taken = {0};

        assert_int_equal(fly_engine_lines(engine, 0, (struct fly_rect){y, 0, 1, COLS * SIDE}, line, 2000, 0, &taken), FLY_OK);
    }
    free(line);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "a", of_a, 2, &id), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "b", of_b, 2, &id), FLY_OK);
    fly_engine_support_changed(engine);
    while (fly_session_step(session) == FLY_OK)
        ;
    fly_session_epoch(session);
}

static struct fly_steering_inputs inputs_new(void)
{
    return (struct fly_steering_inputs){.decision_id = "17", .epoch = 1, .mode = FLY_STEER_ADVISE,
                                        .limits = {NAN, NAN, NAN}, .now_ns = 123456789, .survey_us = 2.0, .surveyed = 1,
                                        .beam_px = {NAN, NAN}};
}

/* ---- chips ------------------------------------------------------------------------------------------ */

static void boxes_become_runs_of_chips(void **state)
{
    static const struct fly_grid grid = {ROWS * SIDE, COLS * SIDE, SIDE, SIDE, ROWS, COLS};
    const struct fly_chip_box boxes[] = {{0, 4, 2, 2}, {3, 0, 1, 1}, {3, 5, 2, 2}}; /* the last leaves the grid */
    struct fly_steering_inputs in = inputs_new();
    uint8_t barred[CHIPS] = {0};

    (void)state;
    fly_steering_bar(barred, &grid, boxes, 3);
    fly_steering_runs(&in, barred, CHIPS);
    const int32_t want[][2] = {{4, 2}, {10, 2}, {18, 1}, {23, 1}};

    assert_int_equal(in.n_barred, 4);
    assert_memory_equal(in.barred, want, sizeof want);
}

static void runs_without_end_bar_more_rather_than_less(void **state)
{
    enum { MANY = 4 * FLY_STEERING_RUNS_MAX };
    struct fly_steering_inputs in = inputs_new();
    uint8_t *barred = calloc(MANY, 1);
    int32_t told = 0;

    (void)state;
    assert_non_null(barred);
    for (int k = 0; k < MANY; k += 2)
        barred[k] = 1;
    fly_steering_runs(&in, barred, MANY);
    assert_int_equal(in.n_barred, FLY_STEERING_RUNS_MAX);
    for (int32_t i = 0; i < in.n_barred; i++)
        for (int32_t k = in.barred[i][0]; k < in.barred[i][0] + in.barred[i][1]; k++)
            told += barred[k];
    assert_int_equal(told, MANY / 2);
    free(barred);
}

static void what_drifted_out_of_the_scan_is_barred(void **state)
{
    static const struct fly_grid grid = {ROWS * SIDE + 3, COLS * SIDE, SIDE, SIDE, ROWS, COLS};
    uint8_t barred[CHIPS] = {0};

    (void)state;
    fly_steering_bar_gone(barred, &grid, (const int32_t[]){-3, 1}); /* 3 px of room below; found 1 px to the left */
    for (int k = 0; k < CHIPS; k++)
        assert_int_equal(barred[k], k % COLS == 0);
    memset(barred, 0, sizeof barred);
    fly_steering_bar_gone(barred, &grid, (const int32_t[]){-4, 0});
    for (int k = 0; k < CHIPS; k++)
        assert_int_equal(barred[k], k / COLS == ROWS - 1);
}

/* ---- limits ----------------------------------------------------------------------------------------- */

static void the_lower_cap_holds(void **state)
{
    struct fly_options *options = calloc(1, sizeof *options);
    struct fly_start start = {.flyback_time_us = 30.0};
    struct fly_steer_limits limits = {NAN, NAN, NAN};

    (void)state;
    assert_non_null(options);
    fly_options_default(options);
    assert_true(isinf(fly_steering_config(options, &start, &limits, 100.0).cap_us));
    options->steer.dose_cap_e_per_A2 = 5000.0;
    assert_float_equal(fly_steering_config(options, &start, &limits, 100.0).cap_us, 50.0, 1e-12);
    limits.dose_e_per_A2 = 4000.0;
    assert_float_equal(fly_steering_config(options, &start, &limits, 100.0).cap_us, 40.0, 1e-12);
    limits.dose_e_per_A2 = 9000.0;
    assert_float_equal(fly_steering_config(options, &start, &limits, 100.0).cap_us, 50.0, 1e-12);
    assert_true(isinf(fly_steering_config(options, &start, &limits, NAN).cap_us));
    assert_float_equal(fly_steering_config(options, &start, &limits, NAN).flyback_us, 30.0, 0.0);
    free(options);
}

static void every_default_is_one_that_the_policy_takes(void **state)
{
    struct fly_options *options = calloc(1, sizeof *options);
    struct fly_start start = {.flyback_time_us = NAN};
    struct fly_steer_config config, plain = fly_steer_config_default();

    (void)state;
    assert_non_null(options);
    fly_options_default(options);
    config = fly_steering_config(options, &start, &(struct fly_steer_limits){NAN, NAN, NAN}, NAN);
    assert_int_equal(fly_steer_config_check(&config), FLY_OK);
    assert_int_equal(config.policy, plain.policy);
    assert_int_equal(config.signal, plain.signal);
    assert_int_equal(config.tiles, plain.tiles);
    assert_float_equal(config.cap, plain.cap, 0.0);
    assert_float_equal(config.stop_error, plain.stop_error, 0.0);
    assert_float_equal(config.slew_px_per_us, plain.slew_px_per_us, 0.0);
    free(options);
}

/* ---- decisions -------------------------------------------------------------------------------------- */

static void a_wide_tile_goes_in_pieces_no_wider_than_the_limit(void **state)
{
    float embeddings[CHIPS * WIDTH];
    struct fly_session *session = session_new(embeddings);
    struct fly_steering_inputs in = inputs_new();
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    struct fly_decision *d = calloc(1, sizeof *d);

    (void)state;
    assert_true(plan && d);
    plan->n_tiles = 2;
    plan->tiles[0] = (struct fly_steer_tile){.row = 0, .col = 0, .rows = 1, .cols = 5, .dwell_us = 4.0,
                                             .expected_gain = 5.0, .score = 1.0};
    plan->tiles[1] = (struct fly_steer_tile){.row = 2, .col = 1, .rows = 1, .cols = 3, .dwell_us = 4.0,
                                             .expected_gain = 3.0, .score = 2.0};
    in.limits.box_px = 25; /* two chips */
    in.shift_px[1] = -3;
    fly_steering_decision(d, session, &in, plan);
    assert_int_equal(d->n_targets, 5);
    const double want[][4] = {{0, 3, 10, 20}, {0, 23, 10, 20}, {0, 43, 10, 10}, {20, 23, 10, 20}, {20, 13, 10, 10}};

    for (int i = 0; i < 5; i++)
        assert_memory_equal(d->targets[i].px, want[i], sizeof want[i]);
    assert_float_equal(d->targets[0].expected_gain, 2.0, 1e-12);
    assert_float_equal(d->targets[2].expected_gain, 1.0, 1e-12);
    /* 0.5 nA on 0.1 x 0.2 nm for 4 us: 0.5 * 62.41509 / 0.02 * 4 */
    assert_float_equal(d->targets[0].dose_e_per_A2, 6241.509, 0.01);
    const int32_t best[] = {3, 4, 0, 1, 2};

    assert_memory_equal(d->best_first, best, sizeof best);
    assert_int_equal(d->boxes[3].row, 2);
    assert_int_equal(d->boxes[3].col, 2);
    assert_float_equal(d->beam_px[0], 29, 0.0);
    assert_float_equal(d->beam_px[1], 13, 0.0);
    free(plan);
    free(d);
    fly_session_close(&session);
}

static void a_decision_and_its_record_come_out_the_same_again(void **state)
{
    float embeddings[CHIPS * WIDTH];
    unsigned char *bytes[2] = {malloc(FLY_HEADER_MAX), malloc(FLY_HEADER_MAX)};
    struct fly_steering_inputs in = inputs_new(), back;
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    struct fly_pack pack[2];
    uint8_t scratch[CHIPS];

    (void)state;
    assert_true(plan && bytes[0] && bytes[1]);
    in.n_barred = 1;
    in.barred[0][0] = 2;
    in.barred[0][1] = 1;
    in.limits.box_px = 45.5;
    in.beam_px[0] = 3;
    in.beam_px[1] = 4.25;
    in.shift_px[0] = 1;
    in.sigma_px = 0.3 * SIDE;
    for (int i = 0; i < 2; i++) {
        struct fly_session *session = session_new(embeddings);

        survey(session);
        assert_int_equal(fly_steering_plan(session, &in, scratch, plan), FLY_OK);
        assert_true(plan->n_tiles > 0);
        for (int t = 0; t < plan->n_tiles; t++)
            assert_false(plan->tiles[t].row == 0 && plan->tiles[t].col <= 2 && plan->tiles[t].col + plan->tiles[t].cols > 2);
        fly_pack_init(&pack[i], bytes[i], FLY_HEADER_MAX);
        fly_steering_pack(&pack[i], session, &in, plan);
        assert_false(pack[i].full);
        assert_int_equal(fly_wire_scan(bytes[i], pack[i].len), FLY_REFUSE_NONE);
        assert_int_equal(fly_steering_unpack(fly_value_root(bytes[i], pack[i].len), &back), FLY_OK);
        assert_true(back.sigma_px == in.sigma_px);
        in = back; /* what was read serves as well as what was written: mode and as_of decide nothing */
        fly_session_close(&session);
    }
    struct fly_value a, b;
    const void *x, *y;

    assert_true(fly_value_get(fly_value_root(bytes[0], pack[0].len), "outcome", &a));
    assert_true(fly_value_get(fly_value_root(bytes[1], pack[1].len), "outcome", &b));
    assert_int_equal(fly_value_bytes(a, &x), fly_value_bytes(b, &y));
    assert_memory_equal(x, y, fly_value_bytes(a, &x));
    free(plan);
    free(bytes[0]);
    free(bytes[1]);
}

/* To a quarter of a chip as ever, to half of one only to find out, else not at all. */
static void where_the_specimen_is_has_to_be_known(void **state)
{
    float embeddings[CHIPS * WIDTH];
    struct fly_session *session = session_new(embeddings);
    struct fly_steering_inputs in = inputs_new();
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    uint8_t scratch[CHIPS];
    int32_t tiles;

    (void)state;
    assert_non_null(plan);
    survey(session);
    for (int i = 0; i < 2; i++) {
        in.sigma_px = i ? NAN : 0.25 * SIDE; /* NaN: a record that does not say */
        assert_int_equal(fly_steering_plan(session, &in, scratch, plan), FLY_OK);
        tiles = fly_engine_steer_config(fly_session_engine(session))->tiles;
        assert_true(plan->n_tiles > 0 && plan->queued > 0);
    }
    in.sigma_px = 0.26 * SIDE;
    assert_int_equal(fly_steering_plan(session, &in, scratch, plan), FLY_OK);
    assert_true(plan->n_tiles > 0);
    assert_int_equal(fly_engine_steer_config(fly_session_engine(session))->tiles, (tiles + 3) / 4);
    for (int t = 0; t < plan->n_tiles; t++)
        assert_int_equal(plan->tiles[t].reason, FLY_STEER_FOR_EXPLORE);
    in.sigma_px = 0.51 * SIDE;
    assert_int_equal(fly_steering_plan(session, &in, scratch, plan), FLY_EAGAIN);
    assert_non_null(strstr(fly_fail_text(), "the drift is known to 5.1 px only, half a chip is 5 px"));
    free(plan);
    fly_session_close(&session);
}

static void the_state_of_the_policy_goes_out_and_in(void **state)
{
    float embeddings[CHIPS * WIDTH];
    struct fly_session *session = session_new(embeddings);
    struct fly_steering_inputs in = inputs_new();
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    unsigned char *before, *after;
    uint8_t scratch[CHIPS];
    size_t len, again;

    (void)state;
    assert_non_null(plan);
    survey(session);
    assert_int_equal(fly_steering_state(session, &before, &len), FLY_OK);
    assert_int_equal(fly_steering_plan(session, &in, scratch, plan), FLY_OK);
    assert_int_equal(fly_steering_state(session, &after, &again), FLY_OK);
    assert_int_equal(len, again);
    assert_memory_not_equal(before, after, len);
    free(after);
    assert_int_equal(fly_steering_restore(session, before, len), FLY_OK);
    assert_int_equal(fly_steering_state(session, &after, &again), FLY_OK);
    assert_memory_equal(before, after, len);
    assert_int_equal(fly_steering_restore(session, before, len - 1), FLY_EWIRE);
    assert_int_equal(fly_steering_recall(session, before, len - 1), FLY_EWIRE);
    free(after);
    assert_int_equal(fly_steering_recall(session, before, len), FLY_OK);
    assert_int_equal(fly_steering_state(session, &after, &again), FLY_OK);
    assert_memory_not_equal(before, after, len); /* of no epoch of this process */
    free(before);
    free(after);
    free(plan);
    fly_session_close(&session);
}

static void a_plan_without_places_says_why(void **state)
{
    static const struct {
        enum fly_steer_stop stop;
        int32_t tiles, capped, barred;
        double budget;
        enum fly_steer_policy policy;
        const char *words;
    } plans[] = {
        {FLY_STEER_GO, 3, 0, 9, 0, FLY_STEER_ADAPTIVE, ""},
        {FLY_STEER_STOP_ERROR, 0, 0, 0, 0, FLY_STEER_ADAPTIVE,
         "the map is as right as was asked: 1.5 % of it is expected wrong, steer.target_error is 2 %"},
        {FLY_STEER_STOP_FLOOR, 0, 0, 0, 0, FLY_STEER_ADAPTIVE,
         "nothing that could be measured is worth its time any more"},
        {FLY_STEER_STOP_TIME, 0, 0, 0, 0, FLY_STEER_ADAPTIVE, "no time is left"},
        {FLY_STEER_STOP_DOSE, 0, 7, 0, 3, FLY_STEER_ADAPTIVE,
         "every chip that wants beam has had what it may have (7 are at their cap, steer.dose_cap)"},
        {FLY_STEER_STOP_DOSE, 0, 0, 0, 3, FLY_STEER_ADAPTIVE, "the map has had its dose (steer.budget 3 survey dwells)"},
        {FLY_STEER_STOP_DOSE, 0, 0, 0, 0, FLY_STEER_ADAPTIVE, "no chip may have more dose"},
        {FLY_STEER_GO, 0, 0, 0, 0, FLY_STEER_FROZEN, "steer.policy is frozen"},
        {FLY_STEER_STOP_DOSE, 0, 1, 0, 3, FLY_STEER_ADAPTIVE,
         "every chip that wants beam has had what it may have (1 is at its cap, steer.dose_cap)"},
        {FLY_STEER_GO, 0, 0, 1, 0, FLY_STEER_MARGIN,
         "the one chip that wants beam waits: for its data, to rest, or because it was vetoed, rejected or damaged"},
        {FLY_STEER_GO, 0, 0, 9, 0, FLY_STEER_MARGIN,
         "all 9 chips that want beam wait: for their data, to rest, or because they were vetoed, rejected or damaged"},
    };
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    char why[256];

    (void)state;
    assert_non_null(plan);
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct fly_steer_config config = fly_steer_config_default();

        config.policy = plans[i].policy;
        config.budget = plans[i].budget;
        plan->stop = plans[i].stop;
        plan->n_tiles = plans[i].tiles;
        plan->capped = plans[i].capped;
        plan->barred = plans[i].barred;
        plan->expected_error = 0.015;
        fly_steering_why_nothing(why, sizeof why, &config, plan);
        assert_string_equal(why, plans[i].words);
    }
    free(plan);
}

static void what_is_no_record_is_refused(void **state)
{
    static const unsigned char empty[] = {0x80}, no_inputs[] = "\x81\xab" "decision_id\xa1" "7";
    struct fly_steering_inputs in;

    (void)state;
    assert_int_equal(fly_steering_unpack(fly_value_root(empty, 1), &in), FLY_EWIRE);
    assert_int_equal(fly_steering_unpack(fly_value_root(no_inputs, sizeof no_inputs - 1), &in), FLY_EWIRE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_become_runs_of_chips),
        cmocka_unit_test(runs_without_end_bar_more_rather_than_less),
        cmocka_unit_test(what_drifted_out_of_the_scan_is_barred),
        cmocka_unit_test(the_lower_cap_holds),
        cmocka_unit_test(every_default_is_one_that_the_policy_takes),
        cmocka_unit_test(a_wide_tile_goes_in_pieces_no_wider_than_the_limit),
        cmocka_unit_test(a_decision_and_its_record_come_out_the_same_again),
        cmocka_unit_test(where_the_specimen_is_has_to_be_known),
        cmocka_unit_test(the_state_of_the_policy_goes_out_and_in),
        cmocka_unit_test(a_plan_without_places_says_why),
        cmocka_unit_test(what_is_no_record_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
