#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/engine_rig.h"

static const struct rig_options robust = {.profile = FLY_PROFILE_ROBUST, .min_counts = 40};

static struct piece band(int eds, int64_t frame, int32_t y0, int32_t h)
{
    return (struct piece){.eds = eds, .frame = frame, .rect = {y0, 0, h, W}, .stamp = 1};
}

/* Whoever keeps the numbers and the rows that changed since knows the image, whatever came in which order. */
static void rows_that_did_not_change_are_as_they_were(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(W);
    struct fly_engine *e = rig_open(embedder, &serial, &robust);
    struct scene *s = scene_make(3);
    struct fly_rng rng = {4};
    struct fly_rect whole = {0, 0, H, W};
    static float known[H * W], now[H * W];
    const uint64_t *change;
    uint64_t newest, seen = 0;

    (void)state;
    fly_engine_peek(e, whole, known);
    for (int i = 0; i < 200; i++) {
        struct piece p = random_piece(&rng);

        if (i % 50 == 49)
            assert_int_equal(fly_engine_shift(e, (int64_t)fly_rng_below(&rng, FRAMES), 1, 0), FLY_OK);
        put(e, s, &p);
        if (i % 3)
            continue;
        change = fly_engine_rows(e, &newest);
        assert_true(newest >= seen);
        fly_engine_peek(e, whole, now);
        for (int y = 0; y < H; y++) {
            assert_true(change[y] <= newest);
            if (change[y] > seen)
                memcpy(known + y * W, now + y * W, W * sizeof *now);
        }
        assert_memory_equal(known, now, sizeof now);
        seen = newest;
    }
    fly_engine_finish(e);
    fly_engine_peek(e, whole, now);
    assert_memory_equal(known, now, sizeof now);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

static void what_comes_again_changes_no_row(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(W);
    struct fly_engine *e = rig_open(embedder, &serial, &robust);
    struct scene *s = scene_make(3);
    struct piece lines = band(0, 0, 4, 5), photons = band(1, 0, 4, 5);
    const uint64_t *change;
    uint64_t newest, again;

    (void)state;
    change = fly_engine_rows(e, &newest);
    assert_true(newest == 0);
    put(e, s, &lines);
    change = fly_engine_rows(e, &newest);
    assert_true(newest > 0);
    for (int y = 0; y < H; y++)
        assert_true((change[y] == newest) == (y >= 4 && y < 9));
    put(e, s, &lines);
    put(e, s, &photons);
    fly_engine_rows(e, &again);
    assert_true(again == newest);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

static void errors_of_all_chips_are_those_of_each(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(W);
    struct fly_engine *e = rig_open(embedder, &serial, &robust);
    struct scene *s = scene_make(5);
    struct piece lines = band(0, 0, 0, H), photons = band(1, 0, 0, H);
    struct fly_composition made;
    const uint8_t *status;
    const float *sigma;
    uint64_t changes, later;
    int32_t n, seen = 0;

    (void)state;
    fly_engine_percent_sigma(e, &changes);
    assert_true(changes == 0);
    put(e, s, &lines);
    put(e, s, &photons);
    think(e);
    sigma = fly_engine_percent_sigma(e, &changes);
    assert_true(changes > 0);
    fly_engine_percent(e, &n, &status);
    for (int32_t k = 0; k < fly_grid_chips(fly_engine_grid(e)); k++) {
        if (fly_engine_composition(e, k, &made) < 0 || made.status == FLY_QUANTIFY_TOO_FEW)
            continue;
        seen++;
        for (int32_t i = 0; i < n; i++)
            assert_true(sigma[k * n + i] == (float)made.sigma[i]);
    }
    assert_true(seen > 0);
    fly_engine_epoch(e);
    fly_engine_percent_sigma(e, &later);
    assert_true(later == changes); /* nothing came: nothing is to be asked for */
    photons = band(1, 1, 0, H);
    put(e, s, &photons);
    think(e);
    fly_engine_percent_sigma(e, &later);
    assert_true(later > changes);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

static void a_sum_made_outside_is_composed_as_a_region_is(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(W);
    struct fly_engine *e = rig_open(embedder, &serial, &robust);
    struct scene *s = scene_make(6);
    struct piece photons = band(1, 0, 0, H);
    int32_t labels[64], channels, chips = fly_grid_chips(fly_engine_grid(e));
    uint64_t sum[CHANNELS] = {0};
    struct fly_composition region, made;
    const uint32_t *spectra;
    const uint8_t *measured;

    (void)state;
    put(e, s, &photons);
    think(e);
    spectra = fly_engine_spectra(e, &channels, &measured);
    for (int32_t k = 0; k < chips; k++) {
        labels[k] = k % 3;
        for (int32_t c = 0; k % 3 == 1 && measured[k] && c < channels; c++)
            sum[c] += spectra[k * channels + c];
    }
    assert_true(fly_engine_region(e, labels, 1, &region) > 0);
    assert_int_equal(fly_engine_compose(e, sum, &made), FLY_OK);
    assert_memory_equal(made.percent, region.percent, 3 * sizeof *made.percent);
    assert_memory_equal(made.sigma, region.sigma, 3 * sizeof *made.sigma);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_did_not_change_are_as_they_were),
        cmocka_unit_test(what_comes_again_changes_no_row),
        cmocka_unit_test(errors_of_all_chips_are_those_of_each),
        cmocka_unit_test(a_sum_made_outside_is_composed_as_a_region_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
