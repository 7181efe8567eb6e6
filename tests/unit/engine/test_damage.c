#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/state.h"

/* 6 x 6 chips of 8 px; photons of C, O and Al above a little background, in 20 channels of 100 eV. */
enum { PX = 48, SIDE = 8, COLS = 6, CHIPS = COLS * COLS, CHANNELS = 20, STROBE = 0, OXYGEN = 5 };

struct rig {
    struct fly_exec exec;
    struct fly_engine *engine;
    struct fly_rng rng;
    int32_t segments;
    uint64_t dwell_ns;
    double current, oxygen, brightness; /* of what comes next; 1: all there is */
    double strobe;                      /* photons of a pixel at 0 eV, whatever the current */
    float given[CHIPS][2];
    uint16_t image[PX][PX];
    uint8_t counts[PX][PX][CHANNELS];
};

static struct rig *rig_make(int32_t segments)
{
    static const char *const elements[] = {"C", "O", "Al"};
    struct rig *rig = calloc(1, sizeof *rig);
    struct fly_quantify_config quantify = fly_quantify_config_default();
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .segments = segments,
                                       .n_channels = CHANNELS, .ev_per_channel = 100.0, .frames_held = 4, .frames_max = 64,
                                       .photons_held = 400000, .embed_width = 2, .weights = {0.5, 0.5}, .temperature = 1.0,
                                       .memory_limit = 64 << 20};
    const int32_t a[] = {0, 6, 12}, b[] = {5, 11, 17};
    int32_t id;

    quantify.n_channels = CHANNELS;
    quantify.ev_per_channel = 100.0;
    quantify.elements = elements;
    quantify.n_elements = 3;
    config.quantify = &quantify;
    rig->exec = fly_exec_serial();
    rig->rng = (struct fly_rng){11};
    rig->segments = segments;
    rig->dwell_ns = 2000;
    rig->current = rig->oxygen = rig->brightness = 1.0;
    assert_int_equal(fly_grid_init(&config.grid, PX, PX, SIDE, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&rig->engine, &config, &rig->exec, NULL), FLY_OK);
    for (int32_t k = 0; k < CHIPS; k++) {
        rig->given[k][0] = k % COLS < COLS / 2 ? 0.0f : 1.0f;
        rig->given[k][1] = 0.1f * (float)fly_rng_normal(&rig->rng);
    }
    fly_engine_give_embeddings(rig->engine, rig->given[0]);
    assert_int_equal(fly_support_add(fly_engine_support(rig->engine), "a", a, 3, &id), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(rig->engine), "b", b, 3, &id), FLY_OK);
    fly_engine_support_changed(rig->engine);
    return rig;
}

static void rig_free(struct rig *rig)
{
    fly_engine_close(&rig->engine);
    free(rig);
}

static void send_image(struct rig *rig, int64_t frame)
{
    struct fly_taken taken;

    for (int y = 0; y < PX; y++)
        for (int x = 0; x < PX; x++)
            rig->image[y][x] = (uint16_t)fly_rng_poisson(&rig->rng, 400.0 * rig->current * rig->brightness);
    assert_int_equal(fly_engine_lines(rig->engine, frame, (struct fly_rect){0, 0, PX, PX}, rig->image, rig->dwell_ns, 1,
                                      &taken),
                     FLY_OK);
}

/* 64 photons a chip in each of three lines, 30 beside them, at full efficiency. */
static void send_photons(struct rig *rig, int64_t frame, int32_t segment, double efficiency)
{
    struct fly_photons photons = {.segment = segment, .frame = frame, .h = PX, .w = PX, .dwell_ns = rig->dwell_ns,
                                  .layout = FLY_EDS_DENSE, .dtype = FLY_U8, .dense = rig->counts};
    struct fly_eds_taken taken;

    for (int y = 0; y < PX; y++)
        for (int x = 0; x < PX; x++)
            for (int e = 0; e < CHANNELS; e++) {
                double line = e == 3 || e == 15 ? 1.0 : e == OXYGEN ? rig->oxygen : 0.0;
                double mean = (0.03 + line) * rig->current * efficiency + (e == STROBE ? rig->strobe : 0.0);

                rig->counts[y][x][e] = (uint8_t)fly_rng_poisson(&rig->rng, mean);
            }
    assert_int_equal(fly_engine_photons(rig->engine, &photons, 1, &taken), FLY_OK);
}

static void send(struct rig *rig, int64_t frame)
{
    send_image(rig, frame);
    for (int32_t s = 0; s < rig->segments; s++)
        send_photons(rig, frame, s, rig->segments == 1 ? 1.0 : s == 0 ? 1.6 : 0.4);
}

static struct fly_quality_damage told(const struct rig *rig)
{
    struct fly_quality quality;

    fly_engine_quality(rig->engine, &quality);
    return quality.damage;
}

/* ---- what is not ---------------------------------------------------------------------------------- */

static void current_strobe_and_segments_are_no_damage(void **state)
{
    for (int32_t segments = 1; segments <= 2; segments++) {
        struct rig *rig = rig_make(segments);

        rig->strobe = 2.0;
        for (int64_t f = 0; f < 20; f++) {
            rig->current = 1.0 - 0.025 * (double)f;
            send(rig, f);
        }
        assert_int_equal(told(rig).chips, 0);
        assert_int_equal(told(rig).last.sign, FLY_DAMAGE_NONE);
        assert_null(told(rig).element);
        rig_free(rig);
    }
}

/* ---- what is -------------------------------------------------------------------------------------- */

/* Oxygen goes; frames of which it is told, the next one included that has to begin. */
static int64_t lose_oxygen(struct rig *rig, int64_t frames)
{
    for (int64_t f = 0; f < frames; f++) {
        rig->oxygen = exp(-0.05 * (double)f);
        send(rig, f);
        if (told(rig).chips)
            return f + 1;
    }
    return frames + 1;
}

static void lost_oxygen_is_told_by_its_name(void **state)
{
    struct rig *rig = rig_make(1);
    struct fly_quality_damage damage;

    assert_true(lose_oxygen(rig, 20) <= 20);
    damage = told(rig);
    assert_int_equal(damage.last.sign, FLY_DAMAGE_SHARE);
    assert_string_equal(damage.element, "O");
    assert_true(damage.barred >= damage.chips);
    assert_true(damage.last.change < -0.1);
    rig_free(rig);
}

static void what_the_last_frame_shows_is_told_at_the_end(void **state)
{
    struct rig *rig = rig_make(1);
    int64_t needed = lose_oxygen(rig, 20) - 1; /* frames, the one not counted that had to begin */

    (void)state;
    rig_free(rig);
    rig = rig_make(1);
    assert_int_equal(lose_oxygen(rig, needed), needed + 1);
    fly_engine_finish(rig->engine);
    assert_true(told(rig).chips > 0);
    rig_free(rig);
}

static void segments_make_one_exposure(void **state)
{
    struct rig *rig = rig_make(2);
    const struct fly_damage_state *s = &rig->engine->damage;

    send_photons(rig, 0, 0, 1.0);
    assert_int_equal(s->seen[FLY_EDS][7], 0);
    send_photons(rig, 0, 1, 1.0);
    assert_int_equal(s->seen[FLY_EDS][7], 2);
    rig_free(rig);
}

static void without_a_dwell_nothing_is_watched(void **state)
{
    struct rig *rig = rig_make(1);

    rig->dwell_ns = FLY_DWELL_UNKNOWN_NS;
    assert_int_equal(lose_oxygen(rig, 20), 21);
    rig_free(rig);
}

/* The 8th frame is shifted after it came: by little, and what was seen is told; by much, and the watch begins anew. */
static void a_frame_that_moves_far_begins_anew(void **state)
{
    int32_t chips[2];

    for (int far = 0; far < 2; far++) {
        struct rig *rig = rig_make(1);

        for (int64_t f = 0; f < 8; f++) {
            rig->oxygen = exp(-0.02 * (double)f);
            send(rig, f);
        }
        assert_int_equal(told(rig).chips, 0);
        assert_int_equal(fly_engine_shift(rig->engine, 7, far ? 3 : 1, 0), FLY_OK);
        rig->oxygen = 0.4;
        for (int64_t f = 8; f < 13; f++)
            send(rig, f);
        chips[far] = told(rig).chips;
        rig_free(rig);
    }
    assert_true(chips[0] > 0);
    assert_int_equal(chips[1], 0);
}

/* ---- plans ---------------------------------------------------------------------------------------- */

static int32_t planned(struct rig *rig, int past_damage, const struct fly_damage *watch, int32_t *on_barred)
{
    static struct fly_steer_plan plan;
    const struct fly_plan_ask ask = {.now_ns = 1, .survey_us = 2.0, .surveyed = 1, .past_damage = past_damage,
                                     .dose_left_us = INFINITY, .time_left_us = INFINITY, .beam_px = {NAN, NAN}};
    struct fly_steer_config config = fly_steer_config_default();
    int32_t chips = 0;

    config.policy = FLY_STEER_RASTER;
    config.cap = 64.0;
    config.stop_error = 0.0;
    assert_int_equal(fly_engine_set_steer(rig->engine, &config), FLY_OK);
    assert_int_equal(fly_engine_plan(rig->engine, &ask, &plan), FLY_OK);
    *on_barred = 0;
    for (int32_t i = 0; i < plan.n_tiles; i++)
        for (int32_t c = plan.tiles[i].col; c < plan.tiles[i].col + plan.tiles[i].cols; c++) {
            *on_barred += fly_damage_bars(watch, plan.tiles[i].row * COLS + c);
            chips++;
        }
    return chips;
}

static void a_plan_spares_damaged_chips_and_their_neighbours(void **state)
{
    struct rig *rig = rig_make(1);
    const struct fly_damage *watch = fly_engine_damage(rig->engine);
    int32_t on_barred, barred;

    lose_oxygen(rig, 20);
    fly_damage_found(watch, &barred, NULL);
    assert_true(barred > 0);
    while (fly_engine_step(rig->engine) == FLY_OK)
        continue;
    fly_engine_epoch(rig->engine);
    planned(rig, 0, watch, &on_barred);
    assert_int_equal(on_barred, 0);
    assert_true(planned(rig, 1, watch, &on_barred) > 0);
    assert_true(on_barred > 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current_strobe_and_segments_are_no_damage),
        cmocka_unit_test(lost_oxygen_is_told_by_its_name),
        cmocka_unit_test(what_the_last_frame_shows_is_told_at_the_end),
        cmocka_unit_test(segments_make_one_exposure),
        cmocka_unit_test(without_a_dwell_nothing_is_watched),
        cmocka_unit_test(a_frame_that_moves_far_begins_anew),
        cmocka_unit_test(a_plan_spares_damaged_chips_and_their_neighbours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
