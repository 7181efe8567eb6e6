#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/steer/policy_rig.h"

#include "engine/steer/policy_own.h"

/* ---- formulae -------------------------------------------------------------------------------------------- */

static void our_exponential_is_the_librarys(void **state)
{
    (void)state;
    for (double x = -690.0; x < 690.0; x += 0.0371)
        assert_true(fabs(fly_steer_exp(x) / exp(x) - 1.0) < 1e-15);
    assert_true(fly_steer_exp(0.0) == 1.0);
}

/* Mean field written with the library's exponential, one chip at a time. */
static void smoothing_is_mean_field(void **state)
{
    struct rig *rig = rig_make(7, 5, 3);
    struct fly_rng rng = {5};
    double q[35 * 3], next[35 * 3];

    (void)state;
    for (int32_t k = 0; k < 35; k++)
        rig_random_chip(rig, &rng, k, 4.0);
    memset(rig->measured, 1, 35);
    rig_plan(rig);
    memcpy(q, rig->posterior, sizeof q);
    for (int i = 0; i < rig->config.potts_iterations; i++) {
        for (int32_t k = 0; k < 35; k++) {
            double sum = 0.0;

            for (int32_t c = 0; c < 3; c++) {
                double around = (k >= 5 ? q[(k - 5) * 3 + c] : 0.0) + (k < 30 ? q[(k + 5) * 3 + c] : 0.0) +
                                (k % 5 ? q[(k - 1) * 3 + c] : 0.0) + (k % 5 < 4 ? q[(k + 1) * 3 + c] : 0.0);

                sum += next[k * 3 + c] = rig->posterior[k * 3 + c] * exp(0.8 * around);
            }
            for (int32_t c = 0; c < 3; c++)
                next[k * 3 + c] /= sum;
        }
        memcpy(q, next, sizeof q);
    }
    for (int32_t i = 0; i < 35 * 3; i++)
        assert_true(fabs(fly_steer_smoothed(rig->state)[i] - q[i]) < 1e-12);
    rig_free(rig);
}

/* One chip in doubt, no neighbours to help: need = (1.2 log 99 - llr) / rate, gain = perr (1 - exp(-dwell / need)). */
static void a_chip_is_given_what_the_test_needs(void **state)
{
    struct rig *rig = rig_make(1, 1, 2);
    double target = 1.2 * log(99.0), need = (target - 1.0) / 1.0, perr = 1.0 / (1.0 + exp(1.0));

    (void)state;
    rig_doubt(rig, 0, 1.0);
    rig_plan(rig);
    assert_int_equal(rig->plan.n_tiles, 1);
    assert_int_equal(rig->plan.queued, 1);
    assert_true(fabs(rig->plan.expected_error - perr) < 1e-12);
    assert_true(fabs(rig->plan.dwell_us - need) <= 1e-3 && rig->plan.dwell_us <= need);
    assert_true(fabs(rig->plan.expected_gain - perr * (1.0 - exp(-rig->plan.dwell_us / need))) < 1e-12);
    assert_true(fabs(rig->plan.cost_us - (100.0 + 10.0 * (10.0 * rig->plan.dwell_us + 50.0))) < 1e-9);
    assert_true(fabs(rig->plan.dose_us - rig->plan.dwell_us) < 1e-12);
    assert_true(fabs(rig->plan.tiles[0].score - rig->plan.tiles[0].value / rig->plan.cost_us) < 1e-12);
    assert_int_equal(rig->plan.tiles[0].reason, FLY_STEER_FOR_MARGIN);
    assert_int_equal(rig->plan.signal, FLY_SIGNAL_BOTH);
    rig_free(rig);
}

/* ---- the twin -------------------------------------------------------------------------------------------- */

static int reason_seen[FLY_STEER_REASONS], stop_seen[FLY_STEER_STOPS], signal_seen[FLY_SIGNALS], refused;

static void count_seen(const struct fly_steer_plan *plan)
{
    stop_seen[plan->stop]++;
    for (int32_t i = 0; i < plan->n_tiles; i++)
        reason_seen[plan->tiles[i].reason]++;
    signal_seen[plan->signal] += plan->n_tiles > 0;
}

static void the_plan_is_the_plain_twins(void **state)
{
    static struct fly_steer_plan plain;

    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rig *rig = rig_random(seed), *twin = rig_random(seed);

        for (int again = 0; again < 2; again++) { /* the second time with a queue */
            int rc = fly_steer_plan(rig->state, &rig->config, &rig->view, &rig->plan);

            assert_int_equal(fly_steer_plan_ref(twin->state, &rig->config, &rig->view, &plain), rc);
            refused += rc < 0;
            if (rc < 0)
                break;
            assert_memory_equal(&rig->plan, &plain, sizeof plain);
            assert_memory_equal(fly_steer_smoothed(rig->state), fly_steer_smoothed(twin->state),
                                (size_t)(rig->view.rows * rig->view.cols * rig->view.classes) * sizeof(double));
            count_seen(&plain);
            for (int32_t k = 0; k < rig->view.rows * rig->view.cols; k++)
                assert_int_equal(fly_steer_queued(rig->state, k), fly_steer_queued(twin->state, k));
            rig->view.epoch++;
            for (int32_t i = 0; i < rig->view.rows * rig->view.cols * rig->view.classes; i++)
                rig->posterior[i] = 0.5 * rig->posterior[i] + 0.5 / rig->view.classes;
        }
        rig_free(rig);
        rig_free(twin);
    }
    for (int i = 0; i < FLY_STEER_REASONS; i++)
        assert_true(reason_seen[i] > 0);
    for (int i = 0; i < FLY_STEER_STOPS; i++)
        assert_true(stop_seen[i] > 0);
    for (int i = 0; i < FLY_SIGNALS; i++)
        assert_true(signal_seen[i] > 0);
    assert_true(refused == 0);
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

static void no_pixel_twice(const struct rig *rig, const uint8_t *in)
{
    const struct fly_steer_view *v = &rig->view;
    int32_t n = v->rows * v->cols, uniform = rig->config.policy > FLY_STEER_MARGIN;
    int32_t reach = (v->side_px - 1) / v->pitch_px; /* chips up to it share pixels */

    if (rig->config.apart && !uniform && reach == 0 && rig->plan.tiles[0].reason != FLY_STEER_FOR_SURVEY)
        reach = 1;
    for (int32_t a = 0; a < n; a++)
        for (int32_t b = 0; in[a] && b < a; b++)
            if (in[b])
                assert_true(abs(a / v->cols - b / v->cols) > reach || abs(a % v->cols - b % v->cols) > reach);
}

static void rows_are_hopped_in_turns(const struct rig *rig)
{
    const struct fly_steer_plan *plan = &rig->plan;
    int falling = 0;

    for (int32_t i = 1; i < plan->n_tiles; i++) {
        const struct fly_steer_tile *a = &plan->tiles[i - 1], *b = &plan->tiles[i];

        assert_true(b->row >= a->row);
        if (b->row > a->row)
            falling = !falling;
        else
            assert_true(falling ? b->col + b->cols <= a->col : b->col >= a->col + a->cols);
    }
}

static double cost_of(const struct rig *rig)
{
    const struct fly_steer_view *v = &rig->view;
    const struct fly_steer_config *c = &rig->config;
    double y = v->beam_px[0], x = v->beam_px[1], cost = 0.0;

    for (int32_t i = 0; i < rig->plan.n_tiles; i++) {
        const struct fly_steer_tile *tile = &rig->plan.tiles[i];
        double y0 = tile->row * v->pitch_px, x0 = tile->col * v->pitch_px;

        if (!isnan(y) && !isnan(x))
            cost += fmax(fabs(y0 - y), fabs(x0 - x)) / c->slew_px_per_us;
        cost += c->settle_us;
        for (int32_t line = 0; line < v->side_px; line++)
            cost += ((tile->cols - 1) * v->pitch_px + v->side_px) * tile->dwell_us + c->flyback_us;
        y = y0 + v->side_px - 1;
        x = x0;
    }
    return cost;
}

/* Chips of a row or a column of them that each pixel along it belongs to. */
static void chips_over(const struct fly_steer_view *v, int32_t chips, int32_t *over)
{
    memset(over, 0, (size_t)(chips * v->pitch_px + v->side_px) * sizeof *over);
    for (int32_t k = 0; k < chips; k++)
        for (int32_t i = 0; i < v->side_px; i++)
            over[k * v->pitch_px + i]++;
}

/* What the map's mean rises by, pixel by pixel. */
static double rise_of(const struct rig *rig)
{
    const struct fly_steer_view *v = &rig->view;
    int32_t down[30 * 20 + 20], across[30 * 20 + 20];
    int64_t sum = 0;

    chips_over(v, v->rows, down);
    chips_over(v, v->cols, across);
    for (int32_t i = 0; i < rig->plan.n_tiles; i++) {
        const struct fly_steer_tile *tile = &rig->plan.tiles[i];

        for (int32_t y = 0; y < v->side_px; y++)
            for (int32_t x = 0; x < (tile->cols - 1) * v->pitch_px + v->side_px; x++)
                sum += down[tile->row * v->pitch_px + y] * across[tile->col * v->pitch_px + x];
    }
    return rig->plan.dwell_us * (double)sum / ((double)v->side_px * v->side_px * v->rows * v->cols);
}

/* Exact where chips do not overlap and in the middle of the map, and nowhere less than it is. */
static void the_dose_told_is_that_of_the_pixels(void **state)
{
    (void)state;
    for (int32_t side = 1; side <= 20; side++)
        for (int32_t pitch = (side + 3) / 4; pitch <= side; pitch++)
            for (int32_t chip = 0; chip <= 60; chip += 60) {
                struct rig *rig = rig_make(11, 11, 2);

                rig->view.side_px = side;
                rig->view.pitch_px = pitch;
                rig_doubt(rig, chip, 1.0);
                rig_plan(rig);
                assert_int_equal(rig->plan.n_tiles, 1);
                assert_true(rig->plan.dose_us >= rise_of(rig) * (1.0 - 1e-12));
                if (chip == 60 || pitch == side)
                    assert_true(rig->plan.dose_us <= rise_of(rig) * (1.0 + 1e-12));
                rig_free(rig);
            }
}

static void holds_every_limit(const struct rig *rig)
{
    const struct fly_steer_view *v = &rig->view;
    const struct fly_steer_config *c = &rig->config;
    const struct fly_steer_plan *plan = &rig->plan;
    double cap = fmin(c->cap * v->survey_us, c->cap_us), dose = 0.0, rise = rise_of(rig);
    int32_t n = v->rows * v->cols, chips;
    uint8_t in[RIG_CHIPS];

    chips = rig_chips(rig, in);
    assert_true(chips <= c->tiles && plan->n_tiles <= chips);
    for (int32_t k = 0; k < n; k++) {
        dose += (double)v->mean_us[k] / n;
        if (!in[k])
            continue;
        assert_true((double)v->max_us[k] + plan->dwell_us <= cap);
        assert_false(v->barred && v->barred[k]);
        if (v->last_ns && v->last_ns[k])
            assert_true((double)(v->now_ns - v->last_ns[k]) >= 1e6 * c->rest_ms);
    }
    assert_true(rise <= plan->dose_us * (1.0 + 1e-12) && rise <= v->dose_left_us * (1.0 + 1e-12));
    if (c->budget > 0.0 && chips)
        assert_true(dose + rise <= c->budget * v->survey_us * (1.0 + 1e-12));
    assert_true(plan->cost_us <= v->time_left_us);
    assert_true(fabs(plan->cost_us - cost_of(rig)) <= 1e-9 * plan->cost_us);
    for (int32_t i = 0; i < plan->n_tiles; i++) {
        assert_true(plan->tiles[i].dwell_us == plan->dwell_us && plan->tiles[i].signal == plan->signal);
        assert_true(isfinite(plan->tiles[i].score) && plan->tiles[i].expected_gain >= 0.0);
    }
    assert_true(plan->dwell_us <= c->dwell_max * v->survey_us * (1.0 + 1e-12));
    assert_true(plan->n_tiles == 0 || plan->dwell_us >= c->dwell_min * v->survey_us);
    assert_true(plan->n_tiles == 0 || (plan->stop == FLY_STEER_GO && c->policy != FLY_STEER_FROZEN));
    no_pixel_twice(rig, in);
    rows_are_hopped_in_turns(rig);
}

static void no_plan_breaks_a_limit(void **state)
{
    int32_t planned = 0;

    (void)state;
    for (uint64_t seed = 10001; seed <= 14000; seed++) {
        struct rig *rig = rig_random(seed);

        rig_plan(rig);
        holds_every_limit(rig);
        planned += rig->plan.n_tiles > 0;
        rig_free(rig);
    }
    assert_true(planned > 1500);
}

/* Nothing is taken on trust: the same views, each with one number that cannot be. */
static void what_cannot_be_is_refused_and_nothing_changes(void **state)
{
    static struct fly_steer_plan before;
    unsigned char was[256], is[256];

    (void)state;
    for (int wrong = 0; wrong < 24; wrong++) {
        struct rig *rig = rig_make(5, 6, 3);
        struct fly_steer_view *v = &rig->view;
        size_t len = fly_steer_state_len(rig->state);

        rig_doubt(rig, 7, 1.0);
        rig_plan(rig);
        before = rig->plan;
        fly_steer_state_pack(rig->state, was);
        v->novel = rig->novel;
        v->composition_error = rig->composition;
        v->epoch++;
        switch (wrong) {
        case 0: rig->posterior[20] = NAN; break;
        case 1: rig->posterior[21] = -1e-9; break;
        case 2: rig->posterior[22] += 1e-3; break;
        case 3: rig->mean_us[29] = NAN; break;
        case 4: rig->max_us[0] = INFINITY; break;
        case 5: rig->max_us[3] = -1.0f; break;
        case 6: rig->novel[2] = 1.5f; break;
        case 7: rig->rate_eds[1] = -1.0; break;
        case 8: rig->rate_haadf[2] = INFINITY; break;
        case 9: v->survey_us = 0.0; break;
        case 10: v->survey_us = NAN; break;
        case 11: v->dose_left_us = NAN; break;
        case 12: v->time_left_us = -1.0; break;
        case 13: v->agreement = 1.5; break;
        case 14: v->beam_px[1] = INFINITY; break;
        case 15: rig->composition[1] = -0.1; break;
        case 16: v->classes = 4; break;
        case 17: v->classes = 0; break;
        case 18: v->rows = 6; break;
        case 19: v->pitch_px = 11; break;
        case 20: v->posterior = NULL; break;
        case 21: v->has_eds = 0; rig->config.signal = FLY_SIGNAL_BOTH; break;
        case 22: rig->config.alpha = NAN; break;
        default: v->has_eds = v->has_haadf = 0; break;
        }
        assert_int_equal(fly_steer_plan(rig->state, &rig->config, v, &rig->plan), FLY_ERANGE);
        assert_true(strlen(fly_fail_text()) > 10);
        assert_memory_equal(&rig->plan, &before, sizeof before);
        fly_steer_state_pack(rig->state, is);
        assert_memory_equal(was, is, len);
        rig_free(rig);
    }
}

static void every_field_of_the_config_has_its_range(void **state)
{
    struct fly_steer_config good = fly_steer_config_default(), c;

    (void)state;
    assert_int_equal(fly_steer_config_check(&good), FLY_OK);
#define REFUSED(field, value)                                                                                                \
    do {                                                                                                                     \
        c = good;                                                                                                            \
        c.field = (value);                                                                                                   \
        assert_int_equal(fly_steer_config_check(&c), FLY_ERANGE);                                                            \
        assert_non_null(strstr(fly_fail_text(), #field));                                                                    \
    } while (0)
    REFUSED(policy, FLY_STEER_POLICIES);
    REFUSED(signal, -2);
    REFUSED(alpha, 0.0);
    REFUSED(hysteresis, 0.9);
    REFUSED(potts_beta, NAN);
    REFUSED(potts_iterations, 17);
    REFUSED(boundary, -0.1);
    REFUSED(novel, 1.1);
    REFUSED(again, 1.1);
    REFUSED(disagree, NAN);
    REFUSED(composition, 2.0);
    REFUSED(explore, 1.01);
    REFUSED(dwell_max, 0.5);
    REFUSED(dwell_min, 0.0);
    REFUSED(tiles, 0);
    REFUSED(tiles, FLY_STEER_TILES_MAX + 1);
    REFUSED(apart, 2);
    REFUSED(uneven, 0.9);
    REFUSED(rate_floor, 0.0);
    REFUSED(hopeless, 0.5);
    REFUSED(rate_unknown, 0.0);
    REFUSED(cap, 0.5);
    REFUSED(cap_us, 0.0);
    REFUSED(budget, -1.0);
    REFUSED(rest_ms, NAN);
    REFUSED(settle_us, -1.0);
    REFUSED(flyback_us, 1e7);
    REFUSED(slew_px_per_us, 0.0);
    REFUSED(stop_error, 1.5);
    REFUSED(stop_epochs, -1);
    REFUSED(stop_agreement, NAN);
    REFUSED(stop_composition, 0.0);
    REFUSED(stop_floor, -1.0);
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_exponential_is_the_librarys),
        cmocka_unit_test(smoothing_is_mean_field),
        cmocka_unit_test(a_chip_is_given_what_the_test_needs),
        cmocka_unit_test(the_plan_is_the_plain_twins),
        cmocka_unit_test(the_dose_told_is_that_of_the_pixels),
        cmocka_unit_test(no_plan_breaks_a_limit),
        cmocka_unit_test(what_cannot_be_is_refused_and_nothing_changes),
        cmocka_unit_test(every_field_of_the_config_has_its_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
