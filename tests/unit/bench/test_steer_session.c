/* A recorded session as the specimen of a closed loop: what is bought is what was recorded, each frame once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/npy.h"
#include "plugin/journal.h"
#include "plugin/recorded.h"
#include "tests/bench/steer_score.h"
#include "tests/support/recorded_stack.h"

enum { SIDE = 120, CHIP = 15, COLS = 8, CHIPS = COLS * COLS, FRAMES = 4, SHOTS = 2 };
#define DWELL_US 0.5

static char with_support[64], without[64], cut_short[64], truth_path[64];
static struct fly_specimen *specimen;
static struct fly_beam *beam;
static struct fly_truth *truth;

static void teach(struct fly_recorder *recorder)
{
    struct fly_arena arena;
    struct fly_support support;
    int32_t chips[SHOTS], id;

    assert_int_equal(fly_arena_init(&arena, fly_support_need(CHIPS), NULL, "support"), FLY_OK);
    fly_support_init(&support, CHIPS, &arena);
    for (int p = 0; p < FLY_PHASES; p++)
        if (truth->count[p]) {
            int32_t n = fly_truth_support(truth, (enum fly_phase)p, SHOTS, chips);

            assert_int_equal(fly_support_add(&support, fly_phase_name((enum fly_phase)p), chips, n, &id), FLY_OK);
        }
    assert_int_equal(fly_journal_keep_support(recorder, 1, &support, COLS, 1), FLY_OK);
    fly_arena_fini(&arena);
}

/* Of the last frame the lines above cut_px. */
static void record(char *path, const char *name, int taught, int32_t cut_px)
{
    struct recorded_stack stack = {.path = path, .specimen = specimen, .beam = beam, .cut_px = cut_px,
                                   .taught = taught ? teach : NULL,
                                   .scan = {.session = "recorded", .sample = "a sample", .frames = FRAMES,
                                            .dwell_us = DWELL_US, .haadf = 1, .eds = 1, .layout = FLY_LAYOUT_PAIRS,
                                            .scan = {.height_px = SIDE, .block_px = CHIP, .order = FLY_ORDER_RASTER,
                                                     .seed = 4}}};

    snprintf(path, sizeof with_support, "/tmp/flyback-%s-%d.fly", name, (int)getpid());
    record_stack(&stack);
}

static void write_truth(void)
{
    const int64_t shape[2] = {COLS, COLS};
    unsigned char head[FLY_NPY_HEADER_CAP];
    size_t len = fly_npy_header(head, FLY_NPY_I32, 2, shape);
    FILE *file;

    snprintf(truth_path, sizeof truth_path, "/tmp/flyback-truth-%d.npy", (int)getpid());
    file = fopen(truth_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(head, 1, len, file), len);
    assert_int_equal(fwrite(truth->label, sizeof *truth->label, CHIPS, file), CHIPS);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fly_specimen_config cut = {.height_px = SIDE, .width_px = SIDE, .pixel_nm = 0.1, .growth = FLY_DEFECTIVE,
                                      .cap = FLY_CAP_PT, .seed = 1};
    struct fly_beam_config optics = fly_beam_config_default();
    const int32_t origin[2] = {0, 0};

    (void)state;
    optics.eds_counts = 0.2;
    optics.drift_px[0] = optics.drift_px[1] = 0.0;
    assert_int_equal(fly_specimen_open(&specimen, &cut), FLY_OK);
    assert_int_equal(fly_beam_open(&beam, specimen, &optics), FLY_OK);
    assert_int_equal(fly_truth_open(&truth, specimen, CHIP, 0, origin, COLS, COLS), FLY_OK);
    record(with_support, "taught", 1, SIDE);
    record(without, "untaught", 0, SIDE);
    record(cut_short, "cut", 1, SIDE / 2);
    write_truth();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(with_support);
    unlink(without);
    unlink(cut_short);
    unlink(truth_path);
    fly_truth_close(&truth);
    fly_beam_close(&beam);
    fly_specimen_close(&specimen);
    return 0;
}

static void each_frame_of_a_chip_is_sold_once(void **state)
{
    (void)state;
    for (int torn = 0; torn < 2; torn++) {
        const char *path = torn ? cut_short : with_support;
        int32_t last = FRAMES - torn; /* of the last chip */
        struct steer_session_facts facts;
        struct steer_session *session;
        const float *mean, *most;

        assert_int_equal(steer_session_open(&session, path, 0.0), FLY_OK);
        steer_session_facts(session, &facts);
        assert_int_equal(facts.frames, last);
        assert_true(facts.height_px == SIDE && facts.width_px == SIDE && facts.dwell_us == DWELL_US);
        for (int32_t f = 0; f < FRAMES; f++) {
            assert_int_equal(steer_session_buy(session, f, 3, FLY_SIGNAL_BOTH, 1), 1);
            assert_int_equal(steer_session_buy(session, f, CHIPS - 1, FLY_SIGNAL_BOTH, 1), f < last);
        }
        assert_int_equal(steer_session_buy(session, FRAMES, 3, FLY_SIGNAL_BOTH, 1), 0);
        fly_engine_dose(steer_session_engine(session), &mean, &most);
        assert_true(fabs((double)mean[3] - FRAMES * DWELL_US) < 1e-5 && mean[4] == 0.0f);
        assert_true(fabs((double)most[CHIPS - 1] - last * DWELL_US) < 1e-5);
        steer_session_close(&session);
    }
}

/* Beside it the same recording as `flyback analyze` reads it. */
static void all_frames_make_the_map_of_the_recording(void **state)
{
    struct fly_recorded recorded = {.path = with_support};
    struct steer_rig_config config = steer_rig_default();
    struct fly_engine *engine;
    struct steer_rig rig;

    (void)state;
    fly_options_default(&recorded.options);
    assert_int_equal(fly_recorded_run(&recorded, NULL), FLY_OK);
    engine = fly_session_engine(recorded.session);
    config.from = with_support;
    config.survey_us = 0.0;
    steer_rig_open(&rig, &config);
    assert_true(rig.frames == FRAMES && rig.chips == CHIPS && rig.config.survey_us == DWELL_US);
    steer_rig_pass(&rig, 1.0);
    for (int32_t k = CHIPS - 1; k >= 0; k--) /* in another order than it was recorded */
        steer_rig_chip(&rig, k, FRAMES - 1);
    steer_rig_think(&rig);
    fly_engine_finish(rig.engine);
    steer_rig_think(&rig);
    for (int i = 0; i < FLY_MODALITIES; i++) {
        enum fly_modality m = (enum fly_modality)i;

        assert_memory_equal(fly_engine_scores(rig.engine, m), fly_engine_scores(engine, m),
                            (size_t)CHIPS * FLY_CLASSES_MAX * sizeof(double));
    }
    steer_rig_close(&rig);
    fly_recorded_close(&recorded);
}

static void every_policy_buys_whole_frames_and_all_of_them_in_the_end(void **state)
{
    (void)state;
    for (int policy = 0; policy < FLY_STEER_FROZEN; policy++) {
        struct steer_rig_config config = steer_rig_default();
        struct steer_look look;
        struct steer_rig rig;
        int32_t all[CHIPS];

        config.from = with_support;
        config.truth = policy ? truth_path : NULL;
        config.survey_us = 2.0; /* the engine is told another dwell than the recorded one */
        config.steer.policy = (enum fly_steer_policy)policy;
        config.steer.tiles = 12;
        config.steer.explore = 0.2;
        steer_rig_open(&rig, &config);
        steer_rig_pass(&rig, FRAMES);
        memcpy(all, steer_labels(&rig), sizeof all);
        steer_rig_close(&rig);
        steer_rig_open(&rig, &config);
        steer_rig_pass(&rig, 1.0);
        for (double before = 1.0; steer_rig_step(&rig); before = steer_rig_mean_dose(&rig)) {
            const float *mean, *most;

            assert_true(rig.plans < 500 && steer_rig_mean_dose(&rig) > before);
            fly_engine_dose(rig.engine, &mean, &most);
            for (int32_t k = 0; k < CHIPS; k++) {
                assert_true(rig.dose[k] == floorf(rig.dose[k]) && rig.dose[k] <= FRAMES);
                assert_true(fabs((double)mean[k] - 2.0 * (double)rig.dose[k]) < 1e-3);
            }
        }
        steer_score(&rig, all, &look);
        assert_true(fabs(look.dose - FRAMES) < 1e-6 && look.agreement == 1.0);
        assert_true(policy ? look.accuracy > 0.5 && look.accuracy <= 1.0 : isnan(look.accuracy));
        steer_rig_close(&rig);
    }
}

static void without_a_support_set_it_is_refused(void **state)
{
    struct steer_session *session = NULL;

    (void)state;
    assert_int_equal(steer_session_open(&session, without, 0.0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "a support set is needed"));
    assert_null(session);
    assert_int_equal(steer_session_open(&session, "/nowhere.fly", 0.0), FLY_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_frame_of_a_chip_is_sold_once),
        cmocka_unit_test(all_frames_make_the_map_of_the_recording),
        cmocka_unit_test(every_policy_buys_whole_frames_and_all_of_them_in_the_end),
        cmocka_unit_test(without_a_support_set_it_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
