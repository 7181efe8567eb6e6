#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine_rig.h"

enum { PX = 128, CHIP = 16 };

struct rig {
    struct fly_engine *engine;
    struct fly_exec exec;
    struct fly_embedder *embedder;
    uint16_t pixels[PX * PX];
};

/* A lattice with particles, seen (dy, dx) px away from where the first frame was. particles 0: a perfect lattice;
 * contrast 0: nothing at all. */
static void look(struct rig *rig, double dy, double dx, int particles, double contrast, uint64_t seed)
{
    struct fly_rng noise = {seed};

    for (int y = 0; y < PX; y++)
        for (int x = 0; x < PX; x++) {
            double v = y + dy, u = x + dx, mean = 60.0;
            struct fly_rng where = {77};

            mean += contrast * exp(4.0 * (cos(2.0 * M_PI * v / 11.03) + cos(2.0 * M_PI * u / 10.4) - 2.0));
            for (int p = 0; p < particles; p++) {
                double py = v - PX * fly_rng_uniform(&where), px = u - PX * fly_rng_uniform(&where);

                mean += 400.0 * exp(-(py * py + px * px) / 18.0);
            }
            rig->pixels[y * PX + x] = (uint16_t)fly_rng_poisson(&noise, mean);
        }
}

static struct rig *rig_of(int box_drift)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .frames_held = 4,
                                       .frames_max = 1000, .weights = {1, 1}, .temperature = 1.0,
                                       .memory_limit = (size_t)64 << 20, .box_drift = box_drift};

    rig->exec = fly_exec_serial();
    rig->embedder = spectral_open(1);
    config.embedder = rig->embedder;
    assert_int_equal(fly_grid_init(&config.grid, PX, PX, CHIP, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&rig->engine, &config, &rig->exec, NULL), FLY_OK);
    fly_engine_set_adoption(rig->engine, 1);
    return rig;
}

static struct rig *rig_begin(void)
{
    return rig_of(0);
}

static void rig_close(struct rig *rig)
{
    fly_engine_close(&rig->engine);
    fly_embedder_close(&rig->embedder);
    free(rig);
}

static void put_box(struct rig *rig, int64_t frame, struct fly_rect r)
{
    static uint16_t px[PX * PX];
    struct fly_taken taken;

    for (int y = 0; y < r.h; y++)
        memcpy(px + y * r.w, rig->pixels + (r.y0 + y) * PX + r.x0, (size_t)r.w * sizeof *px);
    assert_int_equal(fly_engine_lines(rig->engine, frame, r, px, 1000, 0, &taken), FLY_OK);
}

static void put_frame(struct rig *rig, int64_t frame)
{
    put_box(rig, frame, (struct fly_rect){0, 0, PX, PX});
}

/* Do as the engine stage does. */
static void give(struct rig *rig, const struct fly_adoption *adoption)
{
    assert_int_equal(adoption->verdict, FLY_ADOPT);
    assert_int_equal(fly_engine_shift(rig->engine, adoption->frame, adoption->dy_px, adoption->dx_px), FLY_OK);
    fly_engine_adopted(rig->engine, adoption->frame);
}

static int64_t adopted(struct rig *rig)
{
    struct fly_quality quality;

    fly_engine_quality(rig->engine, &quality);
    return quality.drift.adopted;
}

static void a_frame_that_drifted_is_to_be_shifted_by_whole_pixels(void **state)
{
    struct rig *rig = rig_begin();
    struct fly_adoption a;

    look(rig, 0, 0, 25, 60, 1);
    put_frame(rig, 0);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0); /* the first lies where it lies */
    look(rig, 3.2, -1.8, 25, 60, 2);
    put_frame(rig, 1);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 1);
    assert_int_equal(a.frame, 1);
    assert_int_equal(a.dy_px, 3);
    assert_int_equal(a.dx_px, -2);
    assert_true(fabs(a.drift_px[0] - 3.2) < 0.15 && fabs(a.drift_px[1] + 1.8) < 0.15);
    assert_true(a.sigma_px[0] > 0.0 && a.sigma_px[0] < 0.2);
    give(rig, &a);
    assert_int_equal(adopted(rig), 1);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    rig_close(rig);
}

static void a_frame_that_begins_is_put_where_the_last_one_was_and_moved_when_it_was_elsewhere(void **state)
{
    struct rig *rig = rig_begin();
    struct fly_adoption a;

    look(rig, 0, 0, 25, 60, 1);
    put_frame(rig, 0);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 1, &a), 0);
    look(rig, 4, -2, 25, 60, 2);
    put_frame(rig, 1);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 1);
    give(rig, &a);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 1);
    assert_int_equal(a.dy_px, 4);
    assert_int_equal(a.dx_px, -2);
    give(rig, &a);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 0); /* it was */
    look(rig, 4.4, -2.3, 25, 60, 3);
    put_frame(rig, 2);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0); /* near enough */
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 3, &a), 1);
    give(rig, &a);
    look(rig, 7, 0, 25, 60, 4);
    put_frame(rig, 3);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 1);
    assert_int_equal(a.dy_px, 7);
    assert_int_equal(a.dx_px, 0);
    give(rig, &a);
    assert_int_equal(adopted(rig), 3);
    rig_close(rig);
}

static void what_is_not_known_well_is_refused_and_named(void **state)
{
    static const struct {
        int particles;
        double contrast;
        enum fly_adoption_verdict verdict;
    } cases[] = {{0, 0, FLY_ADOPT_UNMEASURED}, {0, 200, FLY_ADOPT_AMBIGUOUS}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig *rig = rig_begin();
        struct fly_adoption a;
        double drift[2], sigma[2];

        look(rig, 0, 0, cases[i].particles, cases[i].contrast, 1);
        put_frame(rig, 0);
        assert_int_equal(fly_engine_adoption(rig->engine, &a), 0); /* noise is something to see: the first is the reference */
        look(rig, 3, -2, cases[i].particles, cases[i].contrast, 2);
        put_frame(rig, 1);
        assert_int_equal(fly_engine_adoption(rig->engine, &a), 1);
        assert_int_equal(a.verdict, cases[i].verdict);
        assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 0);
        assert_int_equal(fly_engine_drift_now(rig->engine, 2, drift, sigma), FLY_OK);
        assert_true(drift[0] == 0.0 && drift[1] == 0.0); /* of the first frame */
        assert_int_equal(adopted(rig), 0);
        rig_close(rig);
    }
}

static void what_was_shifted_by_hand_stays(void **state)
{
    struct rig *rig = rig_begin();
    struct fly_adoption a;

    look(rig, 0, 0, 25, 60, 1);
    put_frame(rig, 0);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    assert_int_equal(fly_engine_shift(rig->engine, 1, 9, 9), FLY_OK);
    look(rig, 4, -2, 25, 60, 2);
    put_frame(rig, 1);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 1); /* but it was measured all the same */
    assert_int_equal(a.dy_px, 4);
    assert_int_equal(fly_engine_shift(rig->engine, 2, 1, 1), FLY_OK);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 0);
    assert_int_equal(adopted(rig), 0);
    rig_close(rig);
}

static void targets_go_along_and_the_doubt_grows_with_the_frames_since(void **state)
{
    struct rig *rig = rig_begin();
    struct fly_adoption a;
    double drift[2], sigma[2], later[2];

    assert_int_equal(fly_engine_drift_now(rig->engine, 0, drift, sigma), FLY_EAGAIN);
    for (int f = 0; f < 3; f++) {
        look(rig, 2.0 * f, -1.0 * f, 25, 60, (uint64_t)f + 1);
        put_frame(rig, f);
        while (fly_engine_adoption(rig->engine, &a))
            give(rig, &a);
    }
    assert_int_equal(fly_engine_drift_now(rig->engine, 2, drift, sigma), FLY_OK);
    assert_true(fabs(drift[0] - 4.0) < 0.15 && fabs(drift[1] + 2.0) < 0.15);
    assert_true(sigma[0] < 0.2);
    assert_int_equal(fly_engine_drift_now(rig->engine, 6, drift, later), FLY_OK);
    assert_true(fabs(later[0] - 4 * 2.0) < 0.5 && fabs(later[1] - 4 * 1.0) < 0.5);
    fly_engine_set_adoption(rig->engine, 0);
    assert_int_equal(fly_engine_drift_now(rig->engine, 6, drift, sigma), FLY_EAGAIN);
    look(rig, 8, 0, 25, 60, 9);
    put_frame(rig, 3);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    rig_close(rig);
}

/* A box that no drift can be measured of is taken where the last frame was: its chips are those of the specimen. */
static void a_scan_of_a_part_goes_with_the_last_frame(void **state)
{
    struct rig *rig = rig_begin();
    struct fly_adoption a;
    const float *mean_us, *max_us;

    look(rig, 0, 0, 25, 60, 1);
    put_frame(rig, 0);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    look(rig, 16, -16, 25, 60, 2);
    put_frame(rig, 1);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 1);
    give(rig, &a);
    assert_int_equal(a.dy_px, 16);
    assert_int_equal(fly_engine_adoption_ahead(rig->engine, 2, &a), 1);
    give(rig, &a);
    put_box(rig, 2, (struct fly_rect){32, 64, 16, 16}); /* chip (2, 4) of the scan is (3, 3) of the specimen */
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    fly_engine_dose(rig->engine, &mean_us, &max_us);
    assert_true(mean_us[3 * 8 + 3] == 3.0f);
    assert_true(mean_us[2 * 8 + 4] == 2.0f);
    rig_close(rig);
}

/* Commands are numbered beyond the frames planned: these are measured and put ahead nevertheless. */
static void frames_between_commands_are_followed(void **state)
{
    static const int order[] = {0, 1, 100, 101, 102, 103, 2, 3, 104, 105, 4};
    struct rig *rig = rig_begin();
    struct fly_adoption a;
    double drift = 0.0;

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int f = order[i], ahead = fly_engine_adoption_ahead(rig->engine, f, &a);

        assert_int_equal(ahead, f > 1);
        if (ahead) {
            assert_int_equal(a.dy_px, (int)lround(drift));
            give(rig, &a);
        }
        if (f >= 100) {
            put_box(rig, f, (struct fly_rect){16 * (f % 7), 32, 16, 48});
            assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
            continue;
        }
        drift = 3.0 * f;
        look(rig, drift, -2.0 * f, 25, 60, (uint64_t)f + 1);
        put_frame(rig, f);
        assert_int_equal(fly_engine_adoption(rig->engine, &a), f > 0);
        if (f) {
            assert_int_equal(a.frame, f);
            assert_int_equal(a.dy_px, 3 * f);
            give(rig, &a);
        }
        assert_int_equal(fly_engine_adoption_ahead(rig->engine, f, &a), 0); /* it was measured */
    }
    rig_close(rig);
}

/* ---- boxes --------------------------------------------------------------------------------------------- */

/* A command of 24 boxes of a chip each, as far from one another as the frame's number says. */
static void put_boxes(struct rig *rig, int64_t frame)
{
    for (int i = 0; i < 24; i++) {
        int k = (int)(((int64_t)i * 5 + frame * 7) % 64);

        put_box(rig, frame, (struct fly_rect){k / 8 * 16, k % 8 * 16, 15, 15});
    }
}

/* Each is measured as the next one begins, which is put where it was; and moved where it was put elsewhere. */
static void boxes_that_drift_are_adopted(void **state)
{
    struct rig *rig = rig_of(1);
    struct fly_adoption a;
    int64_t moved = 0;

    (void)state;
    look(rig, 0, 0, 25, 60, 1);
    put_frame(rig, 0);
    assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    for (int f = 1; f <= 40; f++) {
        double right[2] = {0.21 * f, -0.13 * f}, drift[2], sigma[2];

        fly_engine_frame_begins(rig->engine, f);
        while (fly_engine_adoption(rig->engine, &a)) { /* the frame before */
            assert_int_equal(a.frame, f - 1);
            assert_true(fabs(a.dy_px - (right[0] - 0.21)) < 0.9 && fabs(a.dx_px - (right[1] + 0.13)) < 0.9);
            give(rig, &a);
            moved++;
        }
        if (fly_engine_adoption_ahead(rig->engine, f, &a)) {
            assert_true(fabs(a.dy_px - right[0]) < 1.0 && fabs(a.dx_px - right[1]) < 1.0);
            give(rig, &a);
        }
        assert_int_equal(fly_engine_drift_now(rig->engine, f, drift, sigma), FLY_OK);
        for (int i = 0; i < 2; i++)
            assert_true(fabs(drift[i] - right[i]) < 0.22 + 4.0 * sigma[i] && sigma[i] < 0.6);
        look(rig, right[0], right[1], 25, 60, (uint64_t)f + 1);
        put_boxes(rig, f);
        assert_int_equal(fly_engine_adoption(rig->engine, &a), 0); /* nobody knows yet that it was all of it */
    }
    assert_true(moved >= 1);
    assert_true(adopted(rig) >= 30);
    /* A frame that covers the window is looked for where the boxes were: measured once, by the window. */
    look(rig, 8.6, -5.3, 25, 60, 99);
    put_frame(rig, 41);
    while (fly_engine_adoption(rig->engine, &a))
        give(rig, &a);
    struct fly_quality quality;

    fly_engine_quality(rig->engine, &quality);
    assert_int_equal(quality.drift.last.frame, 41);
    assert_true(fabs(quality.drift.last.dy_px - 8.6) < 0.15 && fabs(quality.drift.last.since_dy_px - 0.2) < 0.2);
    assert_int_equal(quality.drift.frames.measured, 42);
    assert_int_equal(quality.drift.frames.unmeasurable + quality.drift.frames.given_up, 0);
    rig_close(rig);
}

/* Measured are the same frames in the same order whether somebody asks ahead or not at all. */
static void what_is_told_of_boxes_does_not_hang_on_who_asks(void **state)
{
    static const int order[] = {0, 7, 1, 8, 9, 2, 10, 3, 11, 12};
    struct rig *asked = rig_of(1), *left = rig_of(1);
    struct fly_quality one, other;
    struct fly_adoption a;

    (void)state;
    fly_engine_set_adoption(left->engine, 0);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int f = order[i];

        fly_engine_adoption_ahead(asked->engine, f, &a);
        look(asked, 0.5 * (double)i, -0.3 * (double)i, 25, 60, (uint64_t)f + 1);
        memcpy(left->pixels, asked->pixels, sizeof left->pixels);
        for (int r = 0; r < 2; r++) {
            struct rig *rig = r ? left : asked;

            if (f >= 7)
                put_boxes(rig, f);
            else
                put_frame(rig, f);
            while (rig == asked && fly_engine_quality_step(rig->engine))
                continue;
        }
    }
    for (int r = 0; r < 2; r++) {
        struct rig *rig = r ? left : asked;

        fly_engine_finish(rig->engine);
        while (fly_engine_quality_step(rig->engine))
            continue;
        fly_engine_quality(rig->engine, r ? &other : &one);
    }
    assert_int_equal(one.drift.last.frame, 12);
    assert_true(one.drift.last.measured);
    assert_int_equal(one.drift.frames.measured, sizeof order / sizeof *order);
    assert_memory_equal(&one.drift.last, &other.drift.last, sizeof one.drift.last);
    assert_memory_equal(&one.drift.frames, &other.drift.frames, sizeof one.drift.frames);
    assert_true(one.drift.largest_px == other.drift.largest_px);
    rig_close(asked);
    rig_close(left);
}

static void only_who_asks_for_it_has_memory_taken_for_boxes(void **state)
{
    struct fly_drift_config config = {PX, PX, FLY_U16};
    struct fly_engine_counts with, without;
    struct rig *a = rig_of(1), *b = rig_of(0);

    (void)state;
    fly_engine_count(a->engine, &with);
    fly_engine_count(b->engine, &without);
    assert_int_equal(with.bytes_reserved - without.bytes_reserved, fly_box_drift_need(&config));
    rig_close(a);
    rig_close(b);
}

/* Nobody knows how fast a specimen drifts that was found once. */
static void doubt_grows_before_there_is_a_rate_and_a_turn_does_not_end_it(void **state)
{
    struct rig *rig = rig_begin();
    double drift[2], sigma[2];
    struct fly_adoption a;
    static const double at[] = {0.0, 2.0, 2.0, 2.0};

    (void)state;
    for (int f = 0; f < 4; f++) {
        look(rig, at[f], 0.0, 25, 60, (uint64_t)f + 1);
        put_frame(rig, f);
        while (fly_engine_adoption(rig->engine, &a))
            give(rig, &a);
        assert_int_equal(fly_engine_drift_now(rig->engine, f + 10, drift, sigma), FLY_OK);
        if (f == 0)
            assert_true(fabs(sigma[0] - 10 * FLY_ADOPT_RATE_PX) < 1e-9);
        else
            assert_true(fabs(sigma[0] - 20.0 / (1 << (f - 1))) < 2.0);
    }
    rig_close(rig);
}

/* The last frame of those planned is 1, the first command is 500: what lies between was never measured, and nothing drifted. */
static void numbers_that_no_frame_has_make_no_doubt(void **state)
{
    struct rig *rig = rig_begin();
    double drift[2], sigma[2];
    struct fly_adoption a;

    (void)state;
    for (int f = 0; f < 2; f++) {
        look(rig, 0.5 * f, 0.0, 25, 60, (uint64_t)f + 1);
        put_frame(rig, f);
        assert_int_equal(fly_engine_adoption(rig->engine, &a), 0);
    }
    put_box(rig, 500, (struct fly_rect){16, 32, 16, 48});
    assert_int_equal(fly_engine_drift_now(rig->engine, 501, drift, sigma), FLY_OK);
    assert_true(fabs(sigma[0] - 2 * 0.5) < 0.4);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_drifted_is_to_be_shifted_by_whole_pixels),
        cmocka_unit_test(a_frame_that_begins_is_put_where_the_last_one_was_and_moved_when_it_was_elsewhere),
        cmocka_unit_test(what_is_not_known_well_is_refused_and_named),
        cmocka_unit_test(what_was_shifted_by_hand_stays),
        cmocka_unit_test(targets_go_along_and_the_doubt_grows_with_the_frames_since),
        cmocka_unit_test(a_scan_of_a_part_goes_with_the_last_frame),
        cmocka_unit_test(frames_between_commands_are_followed),
        cmocka_unit_test(boxes_that_drift_are_adopted),
        cmocka_unit_test(what_is_told_of_boxes_does_not_hang_on_who_asks),
        cmocka_unit_test(only_who_asks_for_it_has_memory_taken_for_boxes),
        cmocka_unit_test(numbers_that_no_frame_has_make_no_doubt),
        cmocka_unit_test(doubt_grows_before_there_is_a_rate_and_a_turn_does_not_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
