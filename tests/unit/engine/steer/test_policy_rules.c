#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/steer/policy_rig.h"

/* ---- survey ---------------------------------------------------------------------------------------------- */

static void nothing_is_planned_while_the_survey_goes_on(void **state)
{
    struct rig *rig = rig_make(4, 4, 2);

    (void)state;
    rig_doubt(rig, 3, 0.5);
    rig->view.surveyed = 0;
    rig_plan(rig); /* all is there: it has passed whoever says what */
    assert_true(rig->plan.n_tiles > 0);
    rig->measured[9] = 0;
    assert_int_equal(fly_steer_plan(rig->state, &rig->config, &rig->view, &rig->plan), FLY_EAGAIN);
    rig->view.barred = rig->barred;
    rig->barred[9] = 1; /* a mask is no gap */
    rig_plan(rig);
    assert_int_equal(rig->plan.unmeasured, 1);
    assert_true(rig->plan.expected_error < 0.1);
    rig_free(rig);
}

static void what_the_survey_missed_comes_first(void **state)
{
    struct rig *rig = rig_make(6, 6, 2);

    (void)state;
    rig_doubt(rig, 3, 0.1);
    rig->measured[13] = rig->measured[14] = rig->measured[30] = 0;
    for (int32_t i = 0; i < 2; i++) /* of a chip not measured nothing is read */
        rig->posterior[13 * 2 + i] = NAN;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 2);
    assert_int_equal(rig->plan.tiles[0].row, 2);
    assert_int_equal(rig->plan.tiles[0].cols, 2);
    assert_int_equal(rig->plan.tiles[1].row, 5);
    assert_int_equal(rig->plan.tiles[1].reason, FLY_STEER_FOR_SURVEY);
    assert_true(rig->plan.dwell_us == 2.0 && rig->plan.signal == FLY_SIGNAL_BOTH);
    assert_true(rig->plan.expected_gain == 3.0);
    rig_free(rig);
}

/* ---- queue ----------------------------------------------------------------------------------------------- */

static void a_chip_leaves_the_queue_later_than_it_joins(void **state)
{
    struct rig *rig = rig_make(1, 1, 2);
    double target = log(99.0);
    const double llr[] = {1.05, 0.95, 1.05, 1.19, 1.21, 1.05, 1.01, 0.99};
    const int in[] = {0, 1, 1, 1, 0, 0, 0, 1};

    (void)state;
    for (int i = 0; i < 8; i++) {
        rig_doubt(rig, 0, llr[i] * target);
        rig_plan(rig);
        assert_int_equal(fly_steer_queued(rig->state, 0), in[i]);
        assert_int_equal(rig->plan.queued, in[i]);
    }
    rig_free(rig);
}

static void a_map_that_stands_still_is_planned_the_same(void **state)
{
    static struct fly_steer_plan first;
    unsigned char queue[2][512];

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig *rig = rig_random(seed);
        size_t at = fly_steer_state_len(rig->state) - (size_t)(rig->view.rows * rig->view.cols + 7) / 8;

        rig->config.stop_error = 0.0; /* quiet epochs are news */
        for (int epoch = 0; epoch < 10; epoch++) {
            unsigned char bytes[512];

            rig_plan(rig);
            fly_steer_state_pack(rig->state, bytes);
            memset(queue[epoch > 0], 0, sizeof *queue);
            memcpy(queue[epoch > 0], bytes + at, fly_steer_state_len(rig->state) - at);
            rig->plan.epoch = rig->plan.view_hash = 0;
            if (epoch == 0)
                first = rig->plan;
            assert_memory_equal(&rig->plan, &first, sizeof first);
            assert_memory_equal(queue[epoch > 0], queue[0], sizeof *queue);
            rig->view.epoch++;
        }
        rig_free(rig);
    }
}

static void hopeless_chips_are_left_out_and_counted(void **state)
{
    struct rig *rig = rig_make(5, 5, 3);

    (void)state;
    rig->config.explore = 0.0;
    rig->config.potts_iterations = 0;
    rig_doubt(rig, 12, 0.0);
    rig_doubt(rig, 0, 0.0);
    rig->posterior[12 * 3 + 1] = 0.0; /* between 0 and 2, which nothing parts */
    rig->posterior[12 * 3 + 2] = 0.5;
    rig->rate_eds[2] = rig->rate_haadf[2] = 1e-4;
    rig_plan(rig);
    assert_int_equal(rig->plan.queued, 2);
    assert_int_equal(rig->plan.hopeless, 1);
    assert_int_equal(rig->plan.n_tiles, 1);
    assert_int_equal(rig->plan.tiles[0].col, 0);
    rig_doubt(rig, 0, 50.0);
    rig_plan(rig); /* only they are left */
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_DOSE);
    rig_free(rig);
}

/* ---- terms ----------------------------------------------------------------------------------------------- */

static void terms_rank_chips_that_are_in_equal_doubt(void **state)
{
    struct rig *rig = rig_make(9, 9, 2);

    (void)state;
    rig->config.potts_iterations = 0;
    rig->config.explore = 0.0;
    rig->config.tiles = 1;
    rig->config.disagree = rig->config.novel = rig->config.composition = 1.0;
    for (int32_t k = 0; k < 81; k++)
        rig_doubt(rig, k, 3.0);
    rig->view.novel = rig->novel;
    rig->view.label_haadf = rig->label_haadf;
    rig->view.label_eds = rig->label_eds;
    rig_plan(rig);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_MARGIN);
    assert_true(rig->plan.disagreement == 0.0);
    rig->novel[40] = 0.5f; /* open */
    rig->novel[50] = 1.0f; /* plain: its error is none */
    rig_plan(rig);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_NOVEL);
    assert_true(fabs(rig->plan.expected_error - 79.5 / 81.0 / (1.0 + exp(3.0))) < 1e-12);
    assert_int_equal(rig->plan.tiles[0].row * 9 + rig->plan.tiles[0].col, 40);
    rig->novel[40] = 0.0f;
    rig->label_eds[21] = 1;
    rig->label_eds[22] = -2; /* says nothing */
    rig_plan(rig);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_DISAGREE);
    assert_int_equal(rig->plan.tiles[0].row * 9 + rig->plan.tiles[0].col, 21);
    assert_true(fabs(rig->plan.disagreement - 1.0 / 80.0) < 1e-15);
    rig->label_eds[21] = 0;
    rig->config.boundary = 1.0;
    rig_doubt(rig, 0, -3.0); /* the corner's two neighbours and itself lie at a boundary */
    rig_plan(rig);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_BOUNDARY);
    assert_int_equal(rig->plan.tiles[0].row * 9 + rig->plan.tiles[0].col, 0);
    rig_free(rig);
}

static void a_class_of_poor_composition_wants_beam_beside_the_queue(void **state)
{
    struct rig *rig = rig_make(6, 6, 2);

    (void)state;
    rig->config.explore = rig->config.boundary = 0.0;
    rig->config.stop_floor = 0.0;
    rig->view.composition_error = rig->composition;
    rig->composition[0] = 0.05;
    rig->composition[1] = 0.2;
    rig_plan(rig);
    assert_int_equal(rig->plan.queued, 0);
    assert_true(rig->plan.n_tiles > 0);
    for (int32_t i = 0; i < rig->plan.n_tiles; i++) {
        assert_int_equal(rig->plan.tiles[i].reason, FLY_STEER_FOR_COMPOSITION);
        assert_true(rig->plan.tiles[i].col >= 3);
    }
    rig->composition[1] = 0.1;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0);
    rig_free(rig);
}

/* Labels are shown unsmoothed: neighbours that are sure make no label right. */
static void the_error_told_is_that_of_the_labels_as_they_are_shown(void **state)
{
    struct rig *rig = rig_make(6, 6, 2);
    double told;

    (void)state;
    for (int32_t k = 0; k < 36; k += 5)
        rig_doubt(rig, k, k % 6 < 3 ? 1.0 : -1.0);
    rig->config.potts_iterations = 0;
    rig_plan(rig);
    told = rig->plan.expected_error;
    assert_true(fabs(told - 8.0 / 36.0 / (1.0 + exp(1.0))) < 1e-6);
    rig->config.potts_iterations = 3;
    rig_plan(rig);
    assert_true(rig->plan.expected_error == told);
    rig_free(rig);
}

static void a_chip_like_no_class_is_looked_at_again_beside_the_queue(void **state)
{
    struct rig *rig = rig_make(6, 6, 2);

    (void)state;
    rig->config.explore = rig->config.boundary = 0.0;
    rig->config.stop_error = rig->config.stop_floor = 0.0;
    rig->view.novel = rig->novel;
    rig->novel[8] = 0.4f;
    rig->novel[20] = 0.9f;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0); /* the weight is 0 */
    rig->config.again = 0.5;
    rig_plan(rig);
    assert_int_equal(rig->plan.queued, 0);
    assert_int_equal(rig->plan.n_tiles, 1);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_NOVEL);
    assert_int_equal(rig->plan.tiles[0].row * 6 + rig->plan.tiles[0].col, 20);
    assert_true(fabs(rig->plan.tiles[0].value - 0.5 * (double)0.9f) < 1e-6);
    rig_free(rig);
}

static void a_support_chip_is_looked_at_until_it_is_ahead_of_the_others(void **state)
{
    struct rig *rig = rig_make(6, 6, 2); /* all surveyed at 2 us, and sure */
    uint8_t in[36];

    (void)state;
    rig->config.explore = rig->config.boundary = 0.0;
    rig->config.stop_error = rig->config.stop_floor = 0.0;
    rig->config.uneven = 2.0;
    rig->view.taught = rig->taught;
    rig->taught[8] = rig->taught[20] = 1;
    rig->config.support = 0.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0);
    rig->config.support = 0.5;
    rig_plan(rig);
    assert_int_equal(rig_chips(rig, in), 2);
    assert_true(in[8] && in[20]);
    assert_int_equal(rig->plan.queued, 0);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_SUPPORT);
    assert_true(fabs(rig->plan.tiles[0].value - 0.5) < 1e-8 && rig->plan.expected_gain < 1e-8); /* it is sure */
    rig->mean_us[8] = rig->max_us[8] = 4.0f; /* with half a survey dwell more than twice the mean */
    rig_plan(rig);
    assert_int_equal(rig_chips(rig, in), 1);
    assert_true(in[20]);
    rig->view.barred = rig->barred; /* for good: the others are not to wait for it */
    rig->barred[8] = rig->barred[20] = 1;
    rig->config.explore = 0.1;
    rig_plan(rig);
    assert_int_equal(rig->plan.barred, 0);
    assert_true(rig_chips(rig, in) > 0);
    assert_false(in[8] || in[20]);
    rig_free(rig);
}

static void who_is_far_ahead_of_the_mean_waits_for_the_others(void **state)
{
    struct rig *rig = rig_make(6, 6, 2); /* all surveyed at 2 us */
    uint8_t in[36];

    (void)state;
    rig->config.explore = 0.1;
    rig->config.tiles = 6;
    rig->config.uneven = 2.0;
    rig->config.stop_error = 0.0;
    rig_doubt(rig, 8, 1.0);
    rig_plan(rig);
    rig_chips(rig, in);
    assert_int_equal(in[8], 1);
    rig->mean_us[8] = rig->max_us[8] = 4.0f; /* the mean is 2.06 now */
    rig_plan(rig);
    assert_int_equal(rig->plan.queued, 1);
    assert_true(rig->plan.n_tiles > 1);
    rig_chips(rig, in);
    assert_int_equal(in[8], 0); /* the others are: so the mean rises */
    for (int32_t i = 0; i < rig->plan.n_tiles; i++)
        assert_int_equal(rig->plan.tiles[i].reason, FLY_STEER_FOR_EXPLORE);
    for (int32_t k = 0; k < 36; k++)
        if (k != 8)
            rig->mean_us[k] = rig->max_us[k] = 2.5f; /* 5 us are less than twice 2.54 */
    rig_plan(rig);
    rig_chips(rig, in);
    assert_int_equal(in[8], 1);
    memset(rig->mean_us, 0, sizeof rig->mean_us); /* nothing tells the dose */
    rig_plan(rig);
    rig_chips(rig, in);
    assert_int_equal(in[8], 1);
    rig_free(rig);
}

/* ---- signal ---------------------------------------------------------------------------------------------- */

static void the_image_alone_is_asked_where_a_fast_frame_will_do(void **state)
{
    struct rig *rig = rig_make(1, 1, 2);
    double lack = 1.2 * log(99.0) - 1.0;

    (void)state;
    rig_doubt(rig, 0, 1.0);
    rig->rate_eds[1] = 0.1;
    rig->rate_haadf[1] = lack / 1.0; /* half a survey dwell */
    rig_plan(rig);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_HAADF);
    assert_true(fabs(rig->plan.dwell_us - 1.0) <= 2e-3);
    rig->rate_haadf[1] = lack / 0.01; /* no shorter than is allowed */
    rig_plan(rig);
    assert_true(rig->plan.dwell_us == 0.25);
    rig->rate_haadf[1] = lack / 2.5; /* more than a survey dwell: its photons come with it */
    rig_plan(rig);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_BOTH);
    rig->rate_haadf[1] = NAN; /* what nobody knows is no reason */
    rig->rate_eds[1] = 100.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_BOTH);
    assert_true(rig->plan.dwell_us == 2.0);
    rig->config.signal = FLY_SIGNAL_EDS;
    rig_plan(rig);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_EDS);
    rig->config.signal = FLY_STEER_SIGNAL_AUTO;
    rig->view.has_haadf = 0;
    rig_plan(rig);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_EDS);
    rig_free(rig);
}

/* ---- exploration ----------------------------------------------------------------------------------------- */

static void a_tenth_explores_the_least_dosed(void **state)
{
    int32_t explorers = 0, all = 0;

    (void)state;
    for (int turn = 0; turn < 200; turn++) {
        struct rig *rig = rig_make(30, 30, 2);
        struct fly_rng rng = {(uint64_t)turn + 1};
        uint8_t in[RIG_CHIPS];

        rig->config.tiles = 45;
        for (int32_t k = 0; k < 900; k++) {
            if (k % 30 < 15)
                rig_doubt(rig, k, 0.5);
            rig->mean_us[k] = rig->max_us[k] = fly_rng_below(&rng, 4) ? 6.0f : 2.0f;
        }
        rig_plan(rig);
        all += rig_chips(rig, in);
        for (int32_t i = 0; i < rig->plan.n_tiles; i++)
            if (rig->plan.tiles[i].reason == FLY_STEER_FOR_EXPLORE) {
                explorers++;
                assert_true(rig->mean_us[rig->plan.tiles[i].row * 30 + rig->plan.tiles[i].col] == 2.0f);
            }
        rig_free(rig);
    }
    assert_true(all > 200 * 43); /* a run of chips may be blocked whole */
    assert_true(fabs((double)explorers / all - 0.1) < 0.01);
}

/* Where the queue is empty somebody still looks. */
static void exploration_goes_on_without_a_queue(void **state)
{
    struct rig *rig = rig_make(10, 10, 2);

    (void)state;
    rig->config.stop_floor = 0.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.queued, 0);
    assert_true(rig->plan.n_tiles >= 1 && rig->plan.n_tiles <= 13);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_EXPLORE);
    rig->config.explore = 0.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_FLOOR);
    rig_free(rig);
}

/* Posteriors and rates as they are, dose anyhow below the cap: who is chosen for what he is worth stays chosen. */
static void dose_changes_no_more_than_caps_evenness_and_exploration(void **state)
{
    static struct fly_steer_plan even;

    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig *rig = rig_random(seed);
        struct fly_rng rng = {seed};
        int32_t n = rig->view.rows * rig->view.cols;

        rig->config.policy = rig_coin(&rng) ? FLY_STEER_ADAPTIVE : FLY_STEER_MARGIN;
        rig->config.explore = 0.0;
        rig->config.uneven = 1e6;
        rig->config.budget = 0.0;
        rig->config.cap = 1e6;
        rig->config.cap_us = INFINITY;
        for (int turn = 0; turn < 3; turn++) {
            fly_steer_clear(rig->state);
            for (int32_t k = 0; k < n; k++)
                rig->max_us[k] = rig->mean_us[k] = turn ? (float)rig_between(&rng, 0.0, 50.0) : 0.0f;
            rig_plan(rig);
            rig->plan.view_hash = 0;
            if (turn == 0)
                even = rig->plan;
            assert_memory_equal(&rig->plan, &even, sizeof even);
        }
        rig_free(rig);
    }
}

/* ---- stops ----------------------------------------------------------------------------------------------- */

static void the_map_is_right_when_all_three_say_so(void **state)
{
    struct rig *rig = rig_make(8, 8, 2);

    (void)state;
    rig->view.composition_error = rig->composition;
    rig->composition[0] = rig->composition[1] = 0.05;
    rig->view.agreement = 0.9;
    rig->config.stop_floor = 0.0;
    for (int epoch = 0; epoch < 8; epoch++) {
        rig->view.births = epoch >= 2; /* one in epoch 2 */
        rig_plan(rig);
        assert_int_equal(rig->plan.stop == FLY_STEER_STOP_ERROR, epoch >= 5);
        rig_plan(rig); /* asked again in the same epoch */
        assert_int_equal(rig->plan.stop == FLY_STEER_STOP_ERROR, epoch >= 5);
        assert_int_equal(fly_steer_found(rig->state).quiet, epoch < 2 ? epoch : epoch - 2);
        rig->view.epoch++;
    }
    rig->view.agreement = 0.8; /* it moves */
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_GO);
    assert_true(fabs(fly_steer_found(rig->state).agreement_change - 0.1) < 1e-12);
    rig->view.epoch++;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_ERROR);
    rig->composition[1] = 0.3;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_GO);
    assert_true(fly_steer_found(rig->state).composition_error == 0.3);
    rig->composition[1] = NAN; /* not known, not asked */
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_ERROR);
    assert_int_equal(rig->plan.n_tiles, 0);
    assert_true(fly_steer_found(rig->state).composition_error == 0.05);
    assert_true(fly_steer_found(rig->state).mean_us == (double)rig->mean_us[0]);
    rig_free(rig);
}

static void it_stops_where_dose_time_or_worth_are_gone(void **state)
{
    struct rig *rig = rig_make(8, 8, 2);

    (void)state;
    rig_doubt(rig, 20, 0.0);
    rig_plan(rig);
    assert_true(rig->plan.n_tiles > 0 && rig->plan.stop == FLY_STEER_GO);
    rig->view.time_left_us = 300.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_TIME);
    rig->view.time_left_us = INFINITY;
    rig->config.budget = 1.01; /* of survey dwells, one is spent */
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_DOSE);
    rig->config.budget = 0.0;
    rig->view.dose_left_us = 0.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_DOSE);
    rig->view.dose_left_us = INFINITY;
    rig->config.stop_floor = 1e9;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_FLOOR);
    rig->config.stop_floor = 0.0;
    rig->max_us[20] = 15.0f; /* of 16 */
    rig->config.explore = 0.0;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_DOSE);
    assert_int_equal(rig->plan.capped, 1);
    assert_true(rig->plan.dwell_us == 0.0 && rig->plan.cost_us == 0.0);
    rig_free(rig);
}

/* The queue is past help: the beam looks for what is wrong and sure of itself, until nobody may have more. */
static void all_explore_when_the_queue_is_capped(void **state)
{
    struct rig *rig = rig_make(8, 8, 2);
    uint8_t in[RIG_CHIPS];

    (void)state;
    rig->config.stop_floor = 0.0;
    rig->config.tiles = 10;
    rig_doubt(rig, 20, 0.0);
    rig->max_us[20] = rig->mean_us[20] = 15.0f;
    rig_plan(rig);
    assert_true(rig_chips(rig, in) >= 8);
    for (int32_t i = 0; i < rig->plan.n_tiles; i++)
        assert_int_equal(rig->plan.tiles[i].reason, FLY_STEER_FOR_EXPLORE);
    for (int32_t k = 0; k < 64; k++)
        rig->max_us[k] = 15.0f;
    rig_plan(rig);
    assert_int_equal(rig->plan.stop, FLY_STEER_STOP_DOSE);
    rig_free(rig);
}

static void it_waits_for_what_is_barred_or_rests(void **state)
{
    struct rig *rig = rig_make(8, 8, 2);

    (void)state;
    rig_doubt(rig, 20, 0.0);
    rig->view.barred = rig->barred;
    rig->barred[20] = 1;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0);
    assert_int_equal(rig->plan.stop, FLY_STEER_GO);
    assert_int_equal(rig->plan.barred, 1);
    rig->barred[20] = 0;
    rig->view.last_ns = rig->last_ns;
    rig->config.rest_ms = 100.0;
    rig->last_ns[20] = rig->view.now_ns - 99000000;
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 0);
    assert_int_equal(rig->plan.stop, FLY_STEER_GO);
    assert_int_equal(rig->plan.resting, 1);
    rig->view.now_ns += 1000000;
    rig_plan(rig);
    assert_true(rig->plan.n_tiles > 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_planned_while_the_survey_goes_on),
        cmocka_unit_test(what_the_survey_missed_comes_first),
        cmocka_unit_test(a_chip_leaves_the_queue_later_than_it_joins),
        cmocka_unit_test(a_map_that_stands_still_is_planned_the_same),
        cmocka_unit_test(hopeless_chips_are_left_out_and_counted),
        cmocka_unit_test(terms_rank_chips_that_are_in_equal_doubt),
        cmocka_unit_test(a_class_of_poor_composition_wants_beam_beside_the_queue),
        cmocka_unit_test(the_error_told_is_that_of_the_labels_as_they_are_shown),
        cmocka_unit_test(a_chip_like_no_class_is_looked_at_again_beside_the_queue),
        cmocka_unit_test(a_support_chip_is_looked_at_until_it_is_ahead_of_the_others),
        cmocka_unit_test(who_is_far_ahead_of_the_mean_waits_for_the_others),
        cmocka_unit_test(the_image_alone_is_asked_where_a_fast_frame_will_do),
        cmocka_unit_test(a_tenth_explores_the_least_dosed),
        cmocka_unit_test(exploration_goes_on_without_a_queue),
        cmocka_unit_test(dose_changes_no_more_than_caps_evenness_and_exploration),
        cmocka_unit_test(the_map_is_right_when_all_three_say_so),
        cmocka_unit_test(it_stops_where_dose_time_or_worth_are_gone),
        cmocka_unit_test(all_explore_when_the_queue_is_capped),
        cmocka_unit_test(it_waits_for_what_is_barred_or_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
