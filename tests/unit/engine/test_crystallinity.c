/* Crystallinity by chip: what is kept of it is what would be measured anew. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/engine_rig.h"

enum { ROWS = H / SIDE, COLS = W / SIDE, CHIPS = ROWS * COLS, PIECES = 60 };

static struct fly_engine *open_scene(struct fly_embedder *embedder)
{
    struct fly_exec serial = fly_exec_serial();

    return rig_open(embedder, &serial, &(struct rig_options){.profile = FLY_PROFILE_ROBUST});
}

static void ask_all(struct fly_engine *e, float *out)
{
    for (int32_t k = 0; k < CHIPS; k++)
        out[k] = fly_engine_crystallinity(e, k);
}

/* Asked whenever, in between frames of any pieces, it is what an engine says that had them all at once. */
static void what_is_kept_is_what_would_be_measured(void **state)
{
    struct fly_embedder *embedder = spectral_open(32);
    int told = 0, not_told = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_engine *live = open_scene(embedder);
        struct fly_rng rng = {seed + 7};
        struct piece pieces[PIECES];

        for (int p = 0; p < PIECES; p++) {
            struct fly_engine *batch;
            float kept[CHIPS], anew[CHIPS];

            pieces[p] = random_piece(&rng);
            pieces[p].eds = 0;
            put(live, s, &pieces[p]);
            if (p == PIECES - 1)
                fly_engine_finish(live); /* what frames left partial counts now */
            if (p < PIECES - 1 && fly_rng_below(&rng, 3) > 0) {
                (void)fly_engine_crystallinity(live, (int32_t)fly_rng_below(&rng, CHIPS));
                continue;
            }
            ask_all(live, kept);
            batch = open_scene(embedder);
            for (int q = 0; q <= p; q++)
                put(batch, s, &pieces[q]);
            if (p == PIECES - 1)
                fly_engine_finish(batch);
            ask_all(batch, anew);
            for (int k = 0; k < CHIPS; k++) {
                assert_true(fly_engine_crystallinity_known(live, k));
                assert_memory_equal(&kept[k], &anew[k], sizeof kept[k]);
                told += kept[k] > 0.0f;
                not_told += isnan(kept[k]);
            }
            fly_engine_close(&batch);
        }
        fly_engine_close(&live);
        free(s);
    }
    fly_embedder_close(&embedder);
    assert_true(told > 50 && not_told > 50);
}

static int32_t unknown_in(const struct fly_engine *e, int32_t row)
{
    int32_t n = 0;

    for (int32_t c = 0; c < COLS; c++)
        n += !fly_engine_crystallinity_known(e, row * COLS + c);
    return n;
}

static void a_chip_that_changed_concerns_its_neighbours_alone(void **state)
{
    struct fly_embedder *embedder = spectral_open(32);
    struct scene *s = scene_make(3);
    struct fly_engine *e = open_scene(embedder);
    float before[CHIPS], now[CHIPS];
    int changed = 0;

    (void)state;
    put(e, s, &(struct piece){.frame = 0, .rect = {0, 0, H, W}});
    for (int32_t row = 0; row < ROWS; row++)
        assert_int_equal(unknown_in(e, row), COLS);
    ask_all(e, before);
    put(e, s, &(struct piece){.frame = 1, .rect = {0, 0, SIDE, W}});
    /* Windows of the rows 0 and 1 begin at row 0, those of the last two at row 1. */
    assert_int_equal(unknown_in(e, 0) + unknown_in(e, 1), 2 * COLS);
    assert_int_equal(unknown_in(e, 2) + unknown_in(e, 3), 0);
    ask_all(e, now);
    for (int k = 0; k < 2 * COLS; k++)
        changed += now[k] != before[k]; /* where there is no lattice it is 0, before and after */
    assert_true(changed >= COLS);
    assert_memory_equal(now + 2 * COLS, before + 2 * COLS, 2 * COLS * sizeof *now);
    fly_engine_close(&e);
    free(s);
    fly_embedder_close(&embedder);
}

static void another_range_of_spacings_is_measured_anew(void **state)
{
    struct fly_embedder *embedder = spectral_open(32);
    struct scene *s = scene_make(4);
    struct fly_engine *e = open_scene(embedder);

    (void)state;
    put(e, s, &(struct piece){.frame = 0, .rect = {0, 0, H, W}});
    assert_true(fly_engine_crystallinity(e, 0) >= 0.0f);
    assert_int_equal(fly_engine_set_d_range(e, (const double[]){0.9, 0.1}), FLY_ERANGE);
    assert_true(fly_engine_crystallinity_known(e, 0));
    assert_int_equal(fly_engine_set_d_range(e, (const double[]){0.3, 0.5}), FLY_OK);
    assert_false(fly_engine_crystallinity_known(e, 0));
    fly_engine_close(&e);
    free(s);
    fly_embedder_close(&embedder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_what_would_be_measured),
        cmocka_unit_test(a_chip_that_changed_concerns_its_neighbours_alone),
        cmocka_unit_test(another_range_of_spacings_is_measured_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
