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

static struct rig *rig_begin(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .frames_held = 4,
                                       .frames_max = 1000, .weights = {1, 1}, .temperature = 1.0,
                                       .memory_limit = (size_t)64 << 20};

    rig->exec = fly_exec_serial();
    rig->embedder = spectral_open(1);
    config.embedder = rig->embedder;
    assert_int_equal(fly_grid_init(&config.grid, PX, PX, CHIP, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&rig->engine, &config, &rig->exec, NULL), FLY_OK);
    fly_engine_set_adoption(rig->engine, 1);
    return rig;
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
