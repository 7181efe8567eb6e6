#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/engine_rig.h"

static struct fly_engine *open_one(struct fly_embedder *embedder, enum fly_modality modality, enum fly_profile profile)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_graph_config graph = {.resolution = FLY_RESOLUTION_ONE, .weights = {1.0, 1.0}};
    struct fly_tree_config tree = {.k = 3};
    struct fly_engine_config config = {.profile = profile, .has_image = modality == FLY_HAADF, .dtype = FLY_U16,
                                       .range_rows = 1, .segments = modality == FLY_EDS, .n_channels = CHANNELS,
                                       .ev_per_channel = 10.0, .frames_held = FRAMES, .frames_max = FRAMES,
                                       .photons_held = 200000, .graph = &graph, .tree = &tree,
                                       .embedder = modality == FLY_HAADF ? embedder : NULL, .weights = {0.5, 0.5},
                                       .temperature = 1.0, .memory_limit = 64 << 20};
    struct fly_engine *engine = NULL;

    if (modality == FLY_HAADF)
        config.n_channels = 0;
    assert_int_equal(fly_grid_init(&config.grid, H, W, SIDE, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, &serial, NULL), FLY_OK);
    return engine;
}

/* Every method has the map of the one modality, and none of what is not there. */
static void all_is_labelled(const struct fly_engine *engine, enum fly_modality mine)
{
    for (int method = 0; method < FLY_METHODS; method++) {
        struct fly_map_view view;

        fly_engine_map(engine, (enum fly_method)method, mine, &view);
        for (int32_t k = 0; k < 4 * 5; k++)
            assert_int_not_equal(view.labels[k], FLY_LABEL_PENDING);
        fly_engine_map(engine, (enum fly_method)method, FLY_ENSEMBLE, &view);
        for (int32_t k = 0; view.labels && k < 4 * 5; k++)
            assert_int_equal(view.labels[k], FLY_LABEL_PENDING);
    }
}

static void weights_are(const struct fly_engine *engine, double image, double eds, enum fly_weights_reason reason)
{
    const struct fly_joint *joint = fly_engine_joint(engine);

    assert_true(joint->weight[0] == image && joint->weight[1] == eds);
    assert_int_equal(joint->reason, reason);
    assert_true(isnan(joint->nll) && isnan(joint->nll_equal));
}

static void one_modality_alone_is_labelled(void **state)
{
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(8);
    const int32_t a[] = {0, 5, 6}, b[] = {3, 9};
    int32_t id;

    (void)state;
    for (int m = 0; m < FLY_ENSEMBLE; m++)
        for (int profile = 0; profile < 2; profile++) {
            struct fly_engine *e = open_one(embedder, (enum fly_modality)m, (enum fly_profile)profile);

            put(e, s, &(struct piece){.eds = m == FLY_EDS, .rect = {0, 0, H, W}});
            think(e);
            if (profile == FLY_PROFILE_ROBUST)
                weights_are(e, 0.5, 0.5, FLY_WEIGHTS_EQUAL);
            assert_int_equal(fly_support_add(fly_engine_support(e), "a", a, 3, &id), FLY_OK);
            assert_int_equal(fly_support_add(fly_engine_support(e), "b", b, 2, &id), FLY_OK);
            fly_engine_support_changed(e);
            think(e);
            all_is_labelled(e, (enum fly_modality)m);
            if (profile == FLY_PROFILE_ROBUST)
                weights_are(e, m == FLY_HAADF, m == FLY_EDS, FLY_WEIGHTS_ALONE);
            /* a chip that stands for a class takes more */
            put(e, s, &(struct piece){.eds = m == FLY_EDS, .frame = 1, .rect = {0, 0, SIDE, SIDE}});
            think(e);
            assert_int_equal(fly_support_drop(fly_engine_support(e), "a"), FLY_OK);
            fly_engine_support_changed(e);
            think(e);
            fly_engine_finish(e);
            think(e);
            fly_engine_close(&e);
        }
    fly_embedder_close(&embedder);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_modality_alone_is_labelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
