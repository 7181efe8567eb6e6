#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/state.h"
#include "tests/unit/engine/engine_rig.h"

static const struct fly_plan_ask plain_ask = {.now_ns = 1000000000, .survey_us = 0.1, .surveyed = 1,
                                              .dose_left_us = INFINITY, .time_left_us = INFINITY,
                                              .beam_px = {NAN, NAN}};

/* All of frames first .. end - 1, image and photons; columns from x0 on. */
static void scan(struct fly_engine *engine, const struct scene *s, int64_t first, int64_t end, int32_t x0)
{
    for (int64_t frame = first; frame < end; frame++)
        for (int eds = 0; eds < 2; eds++)
            put(engine, s, &(struct piece){.eds = eds, .frame = frame, .rect = {0, x0, H, W - x0}, .stamp = 1 + frame});
}

struct rig {
    struct scene *scene;
    struct fly_embedder *embedder;
    struct fly_exec exec;
    struct fly_engine *engine;
    struct fly_steer_plan plan;
};

static struct rig *rig_make(const struct rig_options *options)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct fly_steer_config config = fly_steer_config_default();

    rig->scene = scene_make(7);
    rig->embedder = spectral_open(8);
    rig->exec = fly_exec_serial();
    rig->engine = rig_open(rig->embedder, &rig->exec, options);
    config.stop_error = config.stop_floor = 0.0;
    config.stop_composition = INFINITY;
    assert_int_equal(fly_engine_set_steer(rig->engine, &config), FLY_OK);
    return rig;
}

static void rig_free(struct rig *rig)
{
    fly_engine_close(&rig->engine);
    fly_embedder_close(&rig->embedder);
    free(rig->scene);
    free(rig);
}

static int plan(struct rig *rig, const struct fly_plan_ask *ask)
{
    return fly_engine_plan(rig->engine, ask, &rig->plan);
}

static int in_plan(const struct fly_steer_plan *p, int32_t chip, int32_t cols)
{
    for (int32_t i = 0; i < p->n_tiles; i++)
        if (p->tiles[i].row == chip / cols && p->tiles[i].col <= chip % cols &&
            chip % cols < p->tiles[i].col + p->tiles[i].cols)
            return 1;
    return 0;
}

static void nothing_is_planned_before_a_map_and_a_survey(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    struct fly_plan_ask ask = plain_ask;

    (void)state;
    assert_int_equal(plan(rig, &ask), FLY_EAGAIN);
    scan(rig->engine, rig->scene, 0, 1, SIDE); /* not the first column */
    think(rig->engine);
    ask.surveyed = 0;
    assert_int_equal(plan(rig, &ask), FLY_EAGAIN);
    ask.surveyed = 1;
    assert_int_equal(plan(rig, &ask), FLY_OK);
    assert_int_equal(rig->plan.n_tiles, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(rig->plan.tiles[i].col, 0);
        assert_int_equal(rig->plan.tiles[i].reason, FLY_STEER_FOR_SURVEY);
    }
    ask.survey_us = NAN;
    assert_int_equal(plan(rig, &ask), FLY_ERANGE);
    ask.survey_us = 0.1;
    ask.time_left_us = NAN;
    assert_int_equal(plan(rig, &ask), FLY_ERANGE);
    rig_free(rig);
}

/* Posteriors are the ensemble's scores; the dose is the ledger's. */
static void a_view_is_what_maps_and_ledger_say(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    const struct fly_steering_state *s;
    const double *score;
    const float *mean, *max;
    int32_t unknown = 0;

    (void)state;
    scan(rig->engine, rig->scene, 0, 2, 0);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    s = &rig->engine->steering;
    score = fly_engine_scores(rig->engine, FLY_ENSEMBLE);
    fly_engine_dose(rig->engine, &mean, &max);
    assert_int_equal(s->classes, 2);
    assert_false(s->by_cluster);
    for (int32_t k = 0; k < 20; k++) {
        assert_int_equal(s->measured[k], 1);
        for (int32_t c = 0; c < 2; c++)
            assert_true(fabs(s->posterior[k * 2 + c] - score[k * FLY_CLASSES_MAX + c]) < 1e-12);
        assert_true(s->mean_us[k] == mean[k] && s->max_us[k] == max[k]);
        assert_true(mean[k] > 0.19f && mean[k] < 0.21f);
        assert_int_equal(rig->engine->modality[FLY_ENSEMBLE].labels[k] == FLY_LABEL_UNKNOWN, s->novel[k] > 0.5f);
        unknown += s->novel[k] > 0.5f;
    }
    assert_true(unknown > 0 && unknown < 20); /* chips of both halves */
    assert_true(rig->plan.n_tiles > 0 && rig->plan.expected_error > 0.0);
    rig_free(rig);
}

static void a_plan_changes_no_map(void **state)
{
    struct rig *asked = rig_make(&(struct rig_options){0}), *left = rig_make(&(struct rig_options){0});

    (void)state;
    for (int64_t frame = 0; frame < FRAMES; frame++) {
        scan(asked->engine, asked->scene, frame, frame + 1, 0);
        scan(left->engine, left->scene, frame, frame + 1, 0);
        think(asked->engine);
        think(left->engine);
        assert_int_equal(plan(asked, &plain_ask), FLY_OK);
        same(asked->engine, left->engine);
    }
    fly_engine_finish(asked->engine);
    fly_engine_finish(left->engine);
    think(asked->engine);
    think(left->engine);
    same(asked->engine, left->engine);
    rig_free(asked);
    rig_free(left);
}

/* Also where one was restored from the bytes of the other's state, without having planned before. */
static void the_same_calls_give_the_same_plan(void **state)
{
    struct rig *a = rig_make(&(struct rig_options){0}), *b = rig_make(&(struct rig_options){0}),
               *late = rig_make(&(struct rig_options){0});
    unsigned char bytes[128];
    size_t len = fly_steer_state_len(fly_engine_steer(a->engine));

    (void)state;
    assert_true(len <= sizeof bytes);
    for (int64_t frame = 0; frame < FRAMES; frame++) {
        struct rig *const all[] = {a, b, late};

        for (int i = 0; i < 3; i++) {
            scan(all[i]->engine, all[i]->scene, frame, frame + 1, 0);
            think(all[i]->engine);
        }
        fly_steer_state_pack(fly_engine_steer(a->engine), bytes);
        assert_int_equal(plan(a, &plain_ask), FLY_OK);
        assert_int_equal(plan(b, &plain_ask), FLY_OK);
        assert_memory_equal(&a->plan, &b->plan, sizeof a->plan);
    }
    assert_int_equal(fly_steer_state_unpack(fly_engine_steer(late->engine), bytes, len), FLY_OK);
    assert_int_equal(plan(late, &plain_ask), FLY_OK);
    assert_memory_equal(&a->plan, &late->plan, sizeof a->plan);
    rig_free(a);
    rig_free(b);
    rig_free(late);
}

static void barred_chips_and_those_whose_data_wait_are_not_planned(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    struct fly_plan_ask ask = plain_ask;
    struct fly_steer_config config = *fly_engine_steer_config(rig->engine);
    uint8_t barred[20] = {0};
    int32_t cols = fly_engine_grid(rig->engine)->cols;

    (void)state;
    config.policy = FLY_STEER_RASTER;
    assert_int_equal(fly_engine_set_steer(rig->engine, &config), FLY_OK);
    scan(rig->engine, rig->scene, 0, 1, 0);
    think(rig->engine);
    assert_int_equal(plan(rig, &ask), FLY_OK);
    for (int32_t k = 0; k < 20; k++)
        assert_int_equal(in_plan(&rig->plan, k, cols), 1);
    ask.barred = barred;
    barred[7] = 1;
    put(rig->engine, rig->scene, &(struct piece){.frame = 1, .rect = {0, 0, SIDE, SIDE}});       /* chip 0's image */
    put(rig->engine, rig->scene, &(struct piece){.eds = 1, .frame = 1, .rect = {0, 4 * SIDE, SIDE, SIDE}}); /* 4's photons */
    assert_int_equal(plan(rig, &ask), FLY_OK);
    assert_int_equal(in_plan(&rig->plan, 7, cols) | in_plan(&rig->plan, 0, cols) | in_plan(&rig->plan, 4, cols), 0);
    assert_int_equal(in_plan(&rig->plan, 19, cols), 1);
    while (fly_engine_step(rig->engine) == FLY_OK)
        continue;
    assert_int_equal(plan(rig, &ask), FLY_OK); /* made, but not scored */
    assert_int_equal(in_plan(&rig->plan, 0, cols) | in_plan(&rig->plan, 4, cols), 0);
    fly_engine_epoch(rig->engine);
    assert_int_equal(plan(rig, &ask), FLY_OK);
    assert_int_equal(in_plan(&rig->plan, 0, cols) & in_plan(&rig->plan, 4, cols), 1);
    rig_free(rig);
}

/* Scans of any size are followed; steered are those whose chips a plan can hold. */
static void more_chips_than_a_plan_holds_cost_nothing_and_are_refused(void **state)
{
    const int32_t side = 1 << 10;
    struct fly_engine *engine = calloc(1, sizeof *engine);
    struct fly_steer_plan *plan = calloc(1, sizeof *plan);
    struct fly_steer_config config = fly_steer_config_default();

    (void)state;
    assert_true(engine && plan);
    assert_int_equal(fly_grid_init(&engine->config.grid, side, side, 1, 0, 0, 0), FLY_OK);
    assert_true(fly_engine_steering_need(engine) > 0 && fly_engine_steering_need(engine) < SIZE_MAX);
    assert_int_equal(fly_grid_init(&engine->config.grid, side, side + 1, 1, 0, 0, 0), FLY_OK);
    assert_true(fly_grid_chips(&engine->config.grid) > FLY_STEER_CHIPS_MAX);
    assert_int_equal(fly_engine_steering_need(engine), 0);
    assert_int_equal(fly_engine_open_steering(engine, NULL), FLY_OK);
    assert_null(fly_engine_steer(engine));
    config.tiles = 7;
    assert_int_equal(fly_engine_set_steer(engine, &config), FLY_OK);
    assert_int_equal(fly_engine_steer_config(engine)->tiles, 7);
    assert_int_equal(fly_engine_plan(engine, &plain_ask, plan), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "at most 1048576"));
    fly_engine_steer_anew(engine);
    fly_engine_close_steering(engine);
    free(engine);
    free(plan);
}

static void exposures_without_a_dwell_count_as_surveys(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    uint16_t line[W] = {0};
    struct fly_taken taken;

    (void)state;
    scan(rig->engine, rig->scene, 0, 1, 0);
    for (int32_t y = 0; y < SIDE / 2; y++) /* the upper half of the first row of chips */
        assert_int_equal(fly_engine_lines(rig->engine, 1, (struct fly_rect){y, 0, 1, W}, line, FLY_DWELL_UNKNOWN_NS, 0,
                                          &taken),
                         FLY_OK);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    assert_true(fabsf(rig->engine->steering.mean_us[0] - 0.15f) < 1e-6f);
    assert_true(fabsf(rig->engine->steering.max_us[0] - 0.2f) < 1e-6f);
    assert_true(fabsf(rig->engine->steering.max_us[19] - 0.1f) < 1e-6f);
    rig_free(rig);
}

/* Photons of a pixel and frame in the scene's two halves (engine_rig.h), two channels a bin; a frame takes 0.1 us. */
static void x_rays_tell_halves_apart_at_the_rate_of_their_divergence(void **state)
{
    static const double half[2][CHANNELS / 2] = {{.04, .82, .82, .04, .04, .04, .04, .04, .04, .04},
                                                 {.04, .04, .52, .04, .04, .04, .04, 1.2, .04, .04}};
    static const double total[2] = {1.96, 2.04};
    struct rig *rig = rig_make(&(struct rig_options){.ev_per_channel = 100.0});
    const struct fly_steering_state *s = &rig->engine->steering;

    (void)state;
    scan(rig->engine, rig->scene, 0, FRAMES, 0);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    for (int a = 0; a < 2; a++) {
        double told = s->rate[FLY_EDS][a ? 2 : 1], expected = 0.0;

        for (int i = 0; i < CHANNELS / 2; i++)
            expected += half[a][i] * log(half[a][i] / total[a] / (half[!a][i] / total[!a]));
        expected *= SIDE * SIDE / 0.1;
        /* Of the four chips across the middle, which are of both, some are among its chips. */
        assert_true(told > 0.6 * expected && told < 1.05 * expected);
    }
    rig_free(rig);
}

/* The growth of the score with the dose that lowers the noise's part of the scatter: by a step of the dose. */
static void grows_as_the_score(const struct fly_engine *e, double noise, double dose_us)
{
    const struct fly_calibration *cal = fly_engine_calibration(e, FLY_HAADF);
    const struct fly_prototypes *p = &e->fewshot[e->levels.main].prototypes;
    double told[2], step = 1e-6;

    for (int a = 0; a < 2; a++) {
        double gap = -cal->doubt[!a], at[2], share = fmin(1.0, noise / cal->class_scatter[!a]);

        for (int32_t i = 0; i < p->width; i++)
            gap += pow(p->mean[i] - p->mean[p->width + i], 2.0);
        for (int up = 0; up < 2; up++) { /* dose times 1 + step: noise over 1 + step */
            double scatter = cal->class_scatter[!a] * (1.0 - share + share / (1.0 + up * step));

            at[up] = e->joint.evidence * e->joint.weight[0] / cal->tau * log(2.0 + fmax(gap, 0.0) / scatter);
        }
        told[a] = e->steering.rate[FLY_HAADF][a ? 2 : 1];
        assert_true(fabs(told[a] * dose_us - (at[1] - at[0]) / step) <= 0.02 * fabs(at[1] - at[0]) / step);
    }
    assert_true(told[0] > 0.0 || told[1] > 0.0);
}

static void the_image_has_a_rate_once_its_noise_is_known(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    struct fly_engine *e = rig->engine;

    (void)state;
    scan(e, rig->scene, 0, 1, 0);
    think(e);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    assert_true(isnan(e->steering.image_noise)); /* by halves: there are none of one frame */
    assert_int_equal(fly_engine_image_rates(e), 0);
    scan(e, rig->scene, 1, FRAMES, 0);
    think(e);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    assert_int_equal(fly_engine_image_rates(e), 1);
    assert_true(e->steering.image_noise > 0.0);
    grows_as_the_score(e, e->steering.image_noise, 0.303);
    rig_free(rig);
}

static void without_a_support_set_clusters_are_steered_by(void **state)
{
    const struct fly_tree_config tree = {.k = 2, .feature = FLY_EDS_COMPOSITION, .min_counts = 10};
    struct rig *rig = rig_make(&(struct rig_options){.tree = &tree, .min_counts = 20});
    struct fly_map_view ward;
    const struct fly_steering_state *s = &rig->engine->steering;
    int32_t agree = 0;

    (void)state;
    scan(rig->engine, rig->scene, 0, FRAMES, 0);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK);
    assert_false(s->by_cluster);
    assert_int_equal(fly_support_drop(fly_engine_support(rig->engine), "b"), FLY_OK);
    fly_engine_support_changed(rig->engine);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_OK); /* one class is none */
    assert_true(s->by_cluster);
    assert_int_equal(s->classes, 2);
    fly_engine_map(rig->engine, FLY_WARD, FLY_EDS, &ward);
    for (int32_t k = 0; k < 20; k++) {
        int32_t best = s->posterior[2 * k + 1] > s->posterior[2 * k];

        assert_true(fabs(s->posterior[2 * k] + s->posterior[2 * k + 1] - 1.0) < 1e-12);
        agree += best == rig->engine->trees.raw[FLY_EDS][k];
    }
    assert_true(agree >= 19);
    assert_true(s->rate[FLY_EDS][1] > 0.0);
    rig_free(rig);
}

static void without_classes_and_clusters_there_is_nothing_to_plan(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});

    (void)state;
    assert_int_equal(fly_support_drop(fly_engine_support(rig->engine), "a"), FLY_OK);
    fly_engine_support_changed(rig->engine);
    scan(rig->engine, rig->scene, 0, 1, 0);
    think(rig->engine);
    assert_int_equal(plan(rig, &plain_ask), FLY_EAGAIN);
    assert_non_null(strstr(fly_fail_text(), "two classes"));
    rig_free(rig);
}

static void a_refused_config_leaves_the_one_in_force(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    struct fly_steer_config config = *fly_engine_steer_config(rig->engine), bad = config;

    (void)state;
    bad.alpha = 2.0;
    bad.tiles = 5;
    assert_int_equal(fly_engine_set_steer(rig->engine, &bad), FLY_ERANGE);
    assert_memory_equal(fly_engine_steer_config(rig->engine), &config, sizeof config);
    rig_free(rig);
}

static void a_tile_is_its_chips_pixels(void **state)
{
    struct rig *rig = rig_make(&(struct rig_options){0});
    struct fly_rect rect = fly_engine_tile(rig->engine, &(struct fly_steer_tile){.row = 2, .col = 1, .rows = 1, .cols = 3});

    (void)state;
    assert_true(rect.y0 == 2 * SIDE && rect.x0 == SIDE && rect.h == SIDE && rect.w == 3 * SIDE);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_planned_before_a_map_and_a_survey),
        cmocka_unit_test(a_view_is_what_maps_and_ledger_say),
        cmocka_unit_test(a_plan_changes_no_map),
        cmocka_unit_test(the_same_calls_give_the_same_plan),
        cmocka_unit_test(barred_chips_and_those_whose_data_wait_are_not_planned),
        cmocka_unit_test(more_chips_than_a_plan_holds_cost_nothing_and_are_refused),
        cmocka_unit_test(exposures_without_a_dwell_count_as_surveys),
        cmocka_unit_test(x_rays_tell_halves_apart_at_the_rate_of_their_divergence),
        cmocka_unit_test(the_image_has_a_rate_once_its_noise_is_known),
        cmocka_unit_test(without_a_support_set_clusters_are_steered_by),
        cmocka_unit_test(without_classes_and_clusters_there_is_nothing_to_plan),
        cmocka_unit_test(a_refused_config_leaves_the_one_in_force),
        cmocka_unit_test(a_tile_is_its_chips_pixels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
