#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/pool_exec.h"
#include "tests/unit/engine/engine_rig.h"

static struct fly_engine *engine_make(struct fly_embedder *embedder, const struct fly_exec *exec,
                                      enum fly_profile profile)
{
    return rig_open(embedder, exec, &(struct rig_options){.profile = profile});
}

/* Live thinks after every piece, on two threads; batch gets the same pieces in another order and thinks
 * once, on one thread. The intensity range is settled from frame 0 in both. */
static void after_every_piece_the_state_equals_batch(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct pool_exec pool = {.width = 2};
    struct fly_exec parallel = pool_exec(&pool);
    struct fly_embedder *one = spectral_open(1), *two = spectral_open(2);
    struct fly_rng rng = {11};

    (void)state;
    for (int round = 0; round < 4; round++) {
        struct scene *s = scene_make((uint64_t)round);
        struct piece pieces[40];
        struct fly_engine *live = engine_make(two, &parallel, round % 2 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST);

        for (int n = 0; n < 40; n++) {
            struct fly_engine *batch;

            pieces[n] = random_piece(&rng);
            if (n == 3) /* the topmost chip row of frame 0 settles the range */
                pieces[n] = (struct piece){.rect = {0, 0, SIDE, W}};
            put(live, s, &pieces[n]);
            think(live);
            if (n % 5 != 4)
                continue;
            batch = engine_make(one, &serial, round % 2 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST);
            for (int i = n; i >= 0; i--)
                put(batch, s, &pieces[i]);
            think(batch);
            same(live, batch);
            fly_engine_close(&batch);
        }
        fly_engine_close(&live);
        free(s);
    }
    fly_embedder_close(&one);
    fly_embedder_close(&two);
    for (int i = 0; i < 3; i++)
        assert_true(status_seen[i] > 0);
}

static void support_changed_late_equals_support_from_the_start(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(5);
    struct fly_engine *a = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_engine *b = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    const struct piece whole[2] = {{.rect = {0, 0, H, W}}, {.eds = 1, .rect = {0, 0, H, W}}};
    const int32_t more[] = {12, 13};
    const double weights[2] = {1.0, 3.0};
    int32_t id;

    (void)state;
    put(a, s, &whole[0]);
    put(a, s, &whole[1]);
    think(a);
    assert_int_equal(fly_support_add(fly_engine_support(a), "b", more, 2, &id), FLY_OK);
    fly_engine_support_changed(a);
    assert_int_equal(fly_engine_set_ensemble(a, weights, 2.5), FLY_OK);
    think(a);
    assert_int_equal(fly_support_add(fly_engine_support(b), "b", more, 2, &id), FLY_OK);
    fly_engine_support_changed(b);
    assert_int_equal(fly_engine_set_ensemble(b, weights, 2.5), FLY_OK);
    put(b, s, &whole[1]);
    think(b);
    put(b, s, &whole[0]);
    think(b);
    same(a, b);
    assert_int_equal(fly_engine_set_ensemble(a, (double[2]){-1.0, 2.0}, 1.0), FLY_ERANGE);
    assert_int_equal(fly_engine_set_ensemble(a, (double[2]){0.0, 0.0}, 1.0), FLY_ERANGE);
    assert_int_equal(fly_engine_set_ensemble(a, weights, NAN), FLY_ERANGE);
    assert_int_equal(fly_engine_epoch(a), 0); /* nothing was changed by what was refused */
    fly_engine_close(&a);
    fly_engine_close(&b);
    fly_embedder_close(&embedder);
    free(s);
}

static void work_is_done_once_for_what_changed(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(6);
    struct fly_engine *e = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_engine_counts before, after;

    (void)state;
    put(e, s, &(struct piece){.rect = {0, 0, H, W}});
    put(e, s, &(struct piece){.eds = 1, .rect = {0, 0, H, W}});
    think(e);
    fly_engine_count(e, &before);
    assert_int_equal(before.embedded_first, 4 * 5);
    think(e);
    fly_engine_count(e, &after);
    assert_int_equal(after.chips_scored, before.chips_scored);
    /* one chip that supports nothing takes a second frame: one embedding, its scores, no prototype */
    put(e, s, &(struct piece){.frame = 1, .rect = {SIDE, SIDE * 2, SIDE, SIDE}});
    think(e);
    fly_engine_count(e, &after);
    assert_int_equal(after.embedded_again - before.embedded_again, 1);
    assert_int_equal(after.chips_scored - before.chips_scored, 2);
    assert_int_equal(after.prototypes_made, before.prototypes_made);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

static void memory_beyond_the_limit_is_refused_with_both_numbers(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine_config config = {.segments = 1, .n_channels = 4096, .ev_per_channel = 10.0, .range_rows = 1, .frames_held = 1,
                                       .frames_max = 1, .photons_held = 1000, .weights = {1, 1},
                                       .temperature = 1, .memory_limit = 32 << 20};
    struct fly_engine *engine = NULL;

    (void)state;
    assert_int_equal(fly_grid_init(&config.grid, 16384, 16384, 4, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, &serial, NULL), FLY_ENOMEM);
    assert_non_null(strstr(fly_fail_text(), "engine.memory_limit_mib allows 32"));
    assert_null(engine);
}

static void what_is_not_measured_has_no_label(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(7);
    struct fly_engine *e = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_map_view view[FLY_MODALITIES];

    (void)state;
    put(e, s, &(struct piece){.rect = {0, 0, SIDE * 2, W}});
    put(e, s, &(struct piece){.eds = 1, .rect = {0, 0, SIDE, W}});
    think(e);
    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_map(e, FLY_FEWSHOT, (enum fly_modality)m, &view[m]);
    for (int k = 0; k < 20; k++) {
        /* a chip that is like no class is unknown, which is a label of its own */
        assert_int_equal(view[FLY_HAADF].labels[k] != FLY_LABEL_PENDING, k < 10);
        /* and so is one with too few counts for a composition */
        assert_int_equal(view[FLY_EDS].labels[k] != FLY_LABEL_PENDING, k < 5);
        assert_int_equal(view[FLY_ENSEMBLE].labels[k] != FLY_LABEL_PENDING, k < 5);
        /* where one class alone has a chip that stands for it, nothing tells how sure its label is */
        if (view[FLY_ENSEMBLE].labels[k] < 0)
            assert_true(isnan(view[FLY_ENSEMBLE].confidence[k]));
        else
            assert_false(view[FLY_ENSEMBLE].confidence[k] < 0.0f || view[FLY_ENSEMBLE].confidence[k] > 1.0f);
    }
    fly_engine_finish(e);
    think(e);
    fly_engine_map(e, FLY_FEWSHOT, FLY_HAADF, &view[0]);
    assert_int_equal(view[0].labels[19], FLY_LABEL_PENDING);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_every_piece_the_state_equals_batch),
        cmocka_unit_test(support_changed_late_equals_support_from_the_start),
        cmocka_unit_test(work_is_done_once_for_what_changed),
        cmocka_unit_test(memory_beyond_the_limit_is_refused_with_both_numbers),
        cmocka_unit_test(what_is_not_measured_has_no_label),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
