#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine_rig.h"

enum { PX = 128, CHIP = 8, SCENES = 4 };

/* A lattice of cell_px with particles, seen (dy, dx) px away from where the first frame was. */
static void look(uint16_t *pixels, double cell_px, double dy, double dx, uint64_t seed)
{
    struct fly_rng noise = {seed};

    for (int y = 0; y < PX; y++)
        for (int x = 0; x < PX; x++) {
            double v = y + dy, u = x + dx, mean = 60.0;
            struct fly_rng where = {77};

            mean += 100.0 * (2.0 + cos(2.0 * M_PI * v / cell_px) + cos(2.0 * M_PI * u / cell_px));
            for (int p = 0; p < 25; p++) {
                double py = v - PX * fly_rng_uniform(&where), px = u - PX * fly_rng_uniform(&where);

                mean += 400.0 * exp(-(py * py + px * px) / 18.0);
            }
            pixels[y * PX + x] = (uint16_t)fly_rng_poisson(&noise, mean);
        }
}

struct rig {
    struct fly_engine *engine;
    struct fly_exec exec;
    struct fly_embedder *embedder;
    struct fly_alloc alloc;
    struct taken {
        size_t handle, rest; /* bytes, where alloc counts them: the engine's own, which come first, are not in its reserve */
    } taken;
    uint16_t pixels[PX * PX];
};

static int rig_try(struct rig *rig, double pixel_nm, size_t memory_limit)
{
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .frames_held = 4,
                                       .frames_max = 100, .embedder = rig->embedder, .weights = {1, 1},
                                       .temperature = 1.0, .memory_limit = memory_limit,
                                       .region = {.pixel_nm = {pixel_nm, pixel_nm}}};

    assert_int_equal(fly_grid_init(&config.grid, PX, PX, CHIP, 0, 0, 0), FLY_OK);
    return fly_engine_open(&rig->engine, &config, &rig->exec, &rig->alloc);
}

static struct rig *image_rig(double pixel_nm)
{
    struct rig *rig = calloc(1, sizeof *rig);

    rig->exec = fly_exec_serial();
    rig->alloc = fly_alloc_system();
    rig->embedder = spectral_open(1);
    assert_int_equal(rig_try(rig, pixel_nm, (size_t)64 << 20), FLY_OK);
    return rig;
}

static void rig_close(struct rig *rig)
{
    fly_engine_close(&rig->engine);
    fly_embedder_close(&rig->embedder);
    free(rig);
}

static void lines(struct rig *rig, int64_t frame, int y0, int y1)
{
    struct fly_taken taken;

    for (int y = y0; y < y1; y++)
        assert_int_equal(fly_engine_lines(rig->engine, frame, (struct fly_rect){y, 0, 1, PX}, rig->pixels + y * PX, 1000,
                                          0, &taken),
                         FLY_OK);
}

static struct fly_quality told(const struct rig *rig)
{
    struct fly_quality quality;

    fly_engine_quality(rig->engine, &quality);
    return quality;
}

static int steps(struct rig *rig)
{
    int n = 0;

    while (fly_engine_quality_step(rig->engine))
        n++;
    return n;
}

/* ---- chip size ----------------------------------------------------------------------------------- */

static void chips_smaller_than_a_cell_are_advised_against(void **state)
{
    struct rig *rig = image_rig(0.0);
    struct fly_quality q;

    look(rig->pixels, 12.5, 0.0, 0.0, 1);
    q = told(rig);
    assert_int_equal(q.advice.reason, FLY_ADVICE_TOO_LITTLE);
    assert_false(q.advice_final);
    lines(rig, 0, 0, PX);
    steps(rig);
    q = told(rig);
    assert_int_equal(q.advice.reason, FLY_ADVICE_BELOW_CELL);
    assert_true(fabs(q.advice.cell_px - 12.5) < 0.2);
    assert_true(q.advice.chip_px == 25 || q.advice.chip_px == 26);
    assert_true(fabs(q.advice.cells - CHIP / 12.5) < 0.02);
    assert_int_equal(q.advice.lines, PX);
    assert_true(q.advice_final);
    assert_int_equal(q.chip_px, CHIP);
    rig_close(rig);
}

static void advice_is_made_at_a_quarter_at_each_doubling_and_at_the_whole(void **state)
{
    struct rig *rig = image_rig(0.0);
    int made[PX / CHIP + 1], n = 0;

    look(rig->pixels, 6.2, 0.0, 0.0, 2);
    for (int row = 0; row < PX / CHIP; row++) {
        lines(rig, 0, row * CHIP, (row + 1) * CHIP - 1);
        assert_int_equal(steps(rig), 0); /* the row is not complete */
        lines(rig, 0, (row + 1) * CHIP - 1, (row + 1) * CHIP);
        if (fly_engine_quality_step(rig->engine))
            made[n++] = row + 1;
        if (row < PX / CHIP - 1)
            assert_int_equal(told(rig).advice_final, 0);
    }
    /* The last of these was the frame's drift. */
    assert_int_equal(steps(rig), 1);
    assert_int_equal(n, 3);
    assert_int_equal(made[0], 4);
    assert_int_equal(made[1], 8);
    assert_int_equal(made[2], 16);
    assert_true(told(rig).advice_final);
    assert_int_equal(told(rig).advice.reason, FLY_ADVICE_FITS);
    rig_close(rig);
}

static void what_a_stopped_scan_has_is_advised_on(void **state)
{
    struct rig *rig = image_rig(0.0);

    look(rig->pixels, 6.2, 0.0, 0.0, 3);
    lines(rig, 0, 0, 7 * CHIP);
    assert_int_equal(steps(rig), 1);
    assert_int_equal(told(rig).advice.lines, 7 * CHIP);
    lines(rig, 0, 7 * CHIP, 9 * CHIP);
    assert_int_equal(steps(rig), 0);
    fly_engine_finish(rig->engine);
    assert_int_equal(steps(rig), 1);
    assert_int_equal(told(rig).advice.lines, 9 * CHIP);
    assert_true(told(rig).advice_final);
    rig_close(rig);
}

/* ---- drift --------------------------------------------------------------------------------------- */

static void a_frame_that_moved_is_told_by_how_much(void **state)
{
    struct rig *rig = image_rig(0.0);
    struct fly_quality q;

    look(rig->pixels, 9.0, 0.0, 0.0, 4);
    lines(rig, 0, 0, PX);
    steps(rig);
    q = told(rig);
    assert_int_equal(q.drift.frames.measured, 1);
    assert_true(q.drift.last.measured && q.drift.largest_px == 0.0);
    look(rig->pixels, 9.0, 3.0, -2.0, 5);
    lines(rig, 1, 0, PX);
    steps(rig);
    q = told(rig);
    assert_int_equal(q.drift.last.frame, 1);
    assert_true(fabs(q.drift.last.dy_px - 3.0) < 0.1 && fabs(q.drift.last.dx_px + 2.0) < 0.1);
    look(rig->pixels, 9.0, 1.0, 0.0, 6);
    lines(rig, 2, 0, PX);
    steps(rig);
    q = told(rig);
    assert_true(fabs(q.drift.last.dy_px - 1.0) < 0.1);
    assert_true(fabs(q.drift.largest_px - hypot(3.0, 2.0)) < 0.1);
    assert_int_equal(q.drift.largest_frame, 1);
    rig_close(rig);
}

static void a_shift_made_good_is_told_whether_it_came_before_or_after(void **state)
{
    struct rig *rig = image_rig(0.0);

    for (int frame = 0; frame < 3; frame++) {
        look(rig->pixels, 9.0, 2.0 * frame, frame, 10 + (uint64_t)frame);
        if (frame == 1)
            assert_int_equal(fly_engine_shift(rig->engine, 1, 2, 1), FLY_OK);
        lines(rig, frame, 0, PX);
        steps(rig);
        assert_true(told(rig).drift.applied_px[0] == (frame == 1 ? 2.0 : 0.0));
        assert_true(told(rig).drift.applied_px[1] == (frame == 1 ? 1.0 : 0.0));
    }
    assert_int_equal(fly_engine_shift(rig->engine, 2, 4, 2), FLY_OK);
    assert_true(told(rig).drift.applied_px[0] == 4.0 && told(rig).drift.applied_px[1] == 2.0);
    assert_true(fabs(told(rig).drift.last.dy_px - 4.0) < 0.1); /* what was measured stays */
    /* More shifts than are kept: the one that is told of stays, being the newest. */
    for (int64_t frame = 90; frame < 99; frame++)
        assert_int_equal(fly_engine_shift(rig->engine, frame, 1, 1), FLY_OK);
    assert_true(told(rig).drift.applied_px[0] == 4.0);
    rig_close(rig);
}

static void frames_that_nobody_had_time_for_are_measured_all_the_same(void **state)
{
    struct rig *idle = image_rig(0.0), *late = image_rig(0.0);
    struct fly_quality a, b;

    for (int frame = 0; frame < 6; frame++) {
        look(idle->pixels, 9.0, 0.5 * frame, -frame, 20 + (uint64_t)frame);
        memcpy(late->pixels, idle->pixels, sizeof late->pixels);
        lines(idle, frame, 0, PX);
        steps(idle);
        lines(late, frame, 0, PX);
    }
    assert_int_equal(told(late).drift.frames.measured, 5);
    steps(late);
    a = told(idle);
    b = told(late);
    assert_int_equal(b.drift.frames.measured, 6);
    assert_int_equal(b.drift.frames.given_up, 0);
    assert_memory_equal(&a.drift.last.dy_px, &b.drift.last.dy_px, 2 * sizeof(double));
    assert_true(a.drift.largest_px == b.drift.largest_px && a.drift.largest_px > 5.0);
    rig_close(idle);
    rig_close(late);
}

/* ---- saturation ---------------------------------------------------------------------------------- */

static void clipped_pixels_are_counted_once(void **state)
{
    struct rig *rig = image_rig(0.0);
    int clipped = 0;
    struct fly_quality q;

    look(rig->pixels, 9.0, 0.0, 0.0, 30);
    for (int i = 0; i < PX * PX; i++)
        if (rig->pixels[i] >= 500) {
            rig->pixels[i] = 500;
            clipped++;
        }
    lines(rig, 0, 0, PX);
    lines(rig, 0, 3, 60); /* sent again */
    q = told(rig);
    assert_true(clipped > PX);
    assert_true(q.saturation.top.piled);
    assert_true(q.saturation.top.value == 500.0);
    assert_true(fabs(q.saturation.top.share - (double)clipped / (PX * PX)) < 1e-12);
    assert_false(q.saturation.bottom.piled);
    rig_close(rig);
}

static void zeros_of_a_counting_detector_may_be_vacuum(void **state)
{
    struct rig *rig = image_rig(0.0);

    look(rig->pixels, 9.0, 0.0, 0.0, 31);
    for (int i = 0; i < PX * PX; i++)
        rig->pixels[i] = rig->pixels[i] > 200 ? (uint16_t)(rig->pixels[i] - 200) : 0;
    lines(rig, 0, 0, PX);
    assert_true(told(rig).saturation.bottom.piled);
    assert_true(told(rig).saturation.bottom_may_be_vacuum);
    rig_close(rig);
}

/* ---- counts and calibration ---------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void counts_are_those_of_the_chips(void **state)
{
    struct fly_exec exec = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    long seen[3] = {0};

    for (uint64_t seed = 1; seed <= SCENES; seed++) {
        struct scene *scene = scene_make(seed);
        struct fly_engine *engine = rig_open(embedder, &exec, &(struct rig_options){.min_counts = 250});
        struct fly_rng rng = {seed};

        for (int round = 0; round < 40; round++) {
            struct piece p = random_piece(&rng);
            struct fly_quality q;
            const uint8_t *status, *complete;
            int32_t channels, n = 0, few = 0, pooled = 0;
            double totals[64];

            put(engine, scene, &p);
            think(engine);
            const uint32_t *spectra = fly_engine_spectra(engine, &channels, &complete);

            fly_engine_percent(engine, NULL, &status);
            for (int32_t k = 0; k < fly_grid_chips(fly_engine_grid(engine)); k++) {
                if (!complete[k])
                    continue;
                totals[n] = 0.0;
                for (int32_t ch = 0; ch < channels; ch++)
                    totals[n] += spectra[k * channels + ch];
                n++;
                few += status[k] == FLY_QUANTIFY_TOO_FEW;
                pooled += status[k] == FLY_QUANTIFY_POOLED;
                seen[status[k]]++;
            }
            qsort(totals, (size_t)n, sizeof *totals, ascending);
            fly_engine_quality(engine, &q);
            assert_true(q.has_image && q.has_eds);
            assert_int_equal(q.counts.chips, n);
            assert_int_equal(q.counts.too_few, few);
            assert_int_equal(q.counts.pooled, pooled);
            assert_int_equal(q.counts.needed, 250);
            assert_int_equal(q.counts.of, fly_grid_chips(fly_engine_grid(engine)));
            if (n)
                assert_true(q.counts.median == totals[(n - 1) / 2]);
            else
                assert_true(isnan(q.counts.median));
        }
        fly_engine_close(&engine);
        free(scene);
    }
    for (int s = 0; s < 3; s++)
        assert_true(seen[s] > 0);
    fly_embedder_close(&embedder);
}

static void calibration_is_what_the_user_gave(void **state)
{
    struct rig *rig = image_rig(0.02), *bare = image_rig(NAN);
    struct fly_exec exec = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct fly_engine *engine = rig_open(embedder, &exec, &(struct rig_options){.min_counts = 250});
    struct fly_quality q;

    assert_true(told(rig).pixel_nm == 0.02);
    assert_true(told(bare).pixel_nm == 0.0);
    assert_int_equal(told(rig).elements, 0);
    assert_false(told(rig).has_eds);
    fly_engine_quality(engine, &q);
    assert_int_equal(q.elements, 3);
    assert_int_equal(q.users_k, 0);
    fly_engine_close(&engine);
    fly_embedder_close(&embedder);
    rig_close(rig);
    rig_close(bare);
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static void watching_changes_no_map(void **state)
{
    struct fly_exec exec = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);

    for (uint64_t seed = 1; seed <= SCENES; seed++) {
        struct scene *scene = scene_make(seed);
        struct fly_engine *watched = rig_open(embedder, &exec, &(struct rig_options){.min_counts = 250});
        struct fly_engine *alone = rig_open(embedder, &exec, &(struct rig_options){.min_counts = 250});
        struct fly_rng rng = {seed};
        struct fly_quality q;

        for (int round = 0; round < 60; round++) {
            struct piece p = random_piece(&rng);

            put(watched, scene, &p);
            put(alone, scene, &p);
            if (round % 3 == 0)
                fly_engine_quality_step(watched);
            fly_engine_quality(watched, &q);
            assert_int_equal(fly_engine_step(watched), fly_engine_step(alone));
            if (round % 10 == 0) {
                think(watched);
                think(alone);
                same(watched, alone);
            }
        }
        fly_engine_close(&watched);
        fly_engine_close(&alone);
        free(scene);
    }
    fly_embedder_close(&embedder);
}

static void *get_counted(void *ctx, size_t bytes)
{
    struct fly_alloc system = fly_alloc_system();
    struct taken *taken = ctx;

    if (taken->handle)
        taken->rest += bytes;
    else
        taken->handle = bytes;
    return system.get(system.ctx, bytes);
}

static void put_back(void *ctx, void *ptr, size_t bytes)
{
    struct fly_alloc system = fly_alloc_system();

    system.put(system.ctx, ptr, bytes);
}

static void what_it_reserves_counts_against_the_limit(void **state)
{
    struct rig *rig = image_rig(0.0);
    struct fly_engine_counts counts;

    fly_engine_close(&rig->engine);
    rig->alloc = (struct fly_alloc){get_counted, put_back, &rig->taken};
    assert_int_equal(rig_try(rig, 0.0, (size_t)64 << 20), FLY_OK);
    fly_engine_count(rig->engine, &counts);
    assert_true(rig->taken.rest > 0 && rig->taken.rest == counts.bytes_reserved);
    fly_engine_close(&rig->engine);
    assert_int_equal(rig_try(rig, 0.0, counts.bytes_reserved - 1), FLY_ENOMEM);
    assert_null(rig->engine);
    assert_int_equal(rig_try(rig, 0.0, counts.bytes_reserved), FLY_OK);
    rig_close(rig);
}

static void a_scan_too_small_for_drift_is_watched_for_the_rest(void **state)
{
    struct fly_exec exec = fly_exec_serial();
    struct fly_embedder_config embed = {.model = "spectral", .side_px = 4, .width = 1};
    struct fly_embedder *embedder = NULL;
    struct fly_engine *engine = NULL;
    struct fly_quality q;
    struct fly_taken taken;
    uint16_t pixels[7 * 7];

    assert_int_equal(fly_embedder_open(&embedder, &embed), FLY_OK);
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .frames_held = 2,
                                       .frames_max = 4, .embedder = embedder, .weights = {1, 1}, .temperature = 1.0,
                                       .memory_limit = (size_t)64 << 20};

    for (int i = 0; i < 7 * 7; i++)
        pixels[i] = (uint16_t)i;
    assert_int_equal(fly_grid_init(&config.grid, 7, 7, 4, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, &exec, NULL), FLY_OK);
    assert_int_equal(fly_engine_lines(engine, 0, (struct fly_rect){0, 0, 7, 7}, pixels, 1, 0, &taken), FLY_OK);
    fly_engine_finish(engine);
    while (fly_engine_quality_step(engine))
        continue;
    fly_engine_quality(engine, &q);
    assert_int_equal(q.drift.frames.measured, 0);
    assert_true(q.saturation.top.value == 48.0 && q.saturation.bottom.value == 0.0);
    assert_int_equal(q.advice.reason, FLY_ADVICE_TOO_LITTLE);
    assert_true(q.advice_final);
    fly_engine_close(&engine);
    fly_embedder_close(&embedder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_smaller_than_a_cell_are_advised_against),
        cmocka_unit_test(advice_is_made_at_a_quarter_at_each_doubling_and_at_the_whole),
        cmocka_unit_test(what_a_stopped_scan_has_is_advised_on),
        cmocka_unit_test(a_frame_that_moved_is_told_by_how_much),
        cmocka_unit_test(a_shift_made_good_is_told_whether_it_came_before_or_after),
        cmocka_unit_test(frames_that_nobody_had_time_for_are_measured_all_the_same),
        cmocka_unit_test(clipped_pixels_are_counted_once),
        cmocka_unit_test(zeros_of_a_counting_detector_may_be_vacuum),
        cmocka_unit_test(counts_are_those_of_the_chips),
        cmocka_unit_test(calibration_is_what_the_user_gave),
        cmocka_unit_test(watching_changes_no_map),
        cmocka_unit_test(what_it_reserves_counts_against_the_limit),
        cmocka_unit_test(a_scan_too_small_for_drift_is_watched_for_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
