/* Few-shot takes up only what moved, and shows what a fresh engine with the same data does, to the bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/engine_rig.h"

enum { PIECES = 60, CHANGES = 60, TURNS = 160 };

/* A change of the support set: one that was accepted is accepted again. */
struct change {
    enum { ADD, REMOVE, DROP } what;
    int32_t chip;
    char name[2];
};

struct story {
    struct piece pieces[PIECES];
    struct change changes[CHANGES];
    int n_pieces, n_changes;
    double weights[2], temperature;
};

static int apply(struct fly_engine *engine, const struct change *c)
{
    struct fly_support *support = fly_engine_support(engine);
    int32_t id;
    int rc = c->what == ADD      ? fly_support_add(support, c->name, &c->chip, 1, &id)
             : c->what == REMOVE ? fly_support_remove(support, &c->chip, 1)
                                 : fly_support_drop(support, c->name);

    if (rc == FLY_OK)
        fly_engine_support_changed(engine);
    return rc == FLY_OK;
}

static void random_change(struct story *story, struct fly_rng *rng, struct fly_engine *live)
{
    struct change *c = &story->changes[story->n_changes];
    uint64_t kind = fly_rng_below(rng, 12);

    if (story->n_changes == CHANGES)
        return;
    *c = (struct change){.what = kind == 0 ? DROP : kind < 5 ? REMOVE : ADD,
                         .chip = (int32_t)fly_rng_below(rng, (uint64_t)fly_grid_chips(fly_engine_grid(live))),
                         .name = {(char)('a' + fly_rng_below(rng, 4)), 0}};
    story->n_changes += apply(live, c);
}

static void random_ensemble(struct story *story, struct fly_rng *rng, struct fly_engine *live)
{
    story->weights[0] = 0.25 * (double)(1 + fly_rng_below(rng, 3));
    story->weights[1] = 1.0 - story->weights[0];
    story->temperature = 0.5 * (double)(1 + fly_rng_below(rng, 3));
    assert_int_equal(fly_engine_set_ensemble(live, story->weights, story->temperature), FLY_OK);
}

static struct fly_engine *fresh_of(const struct story *story, const struct scene *s, struct fly_embedder *embedder,
                                   const struct rig_options *rig)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine *fresh = rig_open(embedder, &serial, rig);

    for (int i = 0; i < story->n_changes; i++)
        assert_true(apply(fresh, &story->changes[i]));
    assert_int_equal(fly_engine_set_ensemble(fresh, story->weights, story->temperature), FLY_OK);
    for (int i = 0; i < story->n_pieces; i++)
        put(fresh, s, &story->pieces[i]);
    think(fresh);
    return fresh;
}

static void same_distances(struct fly_engine *a, struct fly_engine *b)
{
    size_t n = (size_t)fly_engine_support(a)->n_classes;

    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        const double *x = fly_engine_distances(a, (enum fly_modality)m);
        const double *y = fly_engine_distances(b, (enum fly_modality)m);

        for (int32_t k = 0; k < fly_grid_chips(fly_engine_grid(a)); k++)
            assert_memory_equal(x + k * FLY_CLASSES_MAX, y + k * FLY_CLASSES_MAX, n * sizeof *x);
    }
}

static void changes_of_the_support_set_amid_data_end_as_if_all_were_scored_anew(void **state)
{
    struct fly_embedder *embedder = spectral_open(1);
    struct fly_exec serial = fly_exec_serial();
    struct fly_rng rng = {23};

    (void)state;
    for (int round = 0; round < 16; round++) {
        struct rig_options rig = {.profile = round % 4 == 3 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST,
                                  .feature = round % 2 ? FLY_EDS_SPECTRUM : FLY_EDS_COMPOSITION};
        struct scene *s = scene_make((uint64_t)round);
        struct fly_engine *live = rig_open(embedder, &serial, &rig);
        struct story story = {.weights = {0.45, 0.55}, .temperature = 1.0};

        for (int turn = 0; turn < TURNS; turn++) {
            uint64_t what = fly_rng_below(&rng, 16);

            if (what < 3 && story.n_pieces < PIECES) {
                story.pieces[story.n_pieces] = random_piece(&rng);
                if (story.n_pieces == 2) /* the topmost chip row of frame 0 settles the range */
                    story.pieces[2] = (struct piece){.rect = {0, 0, SIDE, W}};
                put(live, s, &story.pieces[story.n_pieces++]);
            } else if (what < 7) {
                random_change(&story, &rng, live);
            } else if (what == 7) {
                random_ensemble(&story, &rng, live);
            } else if (what < 11) {
                fly_engine_epoch(live);
            } else {
                (void)!fly_engine_step(live);
            }
            if (turn % 16 == 15) {
                struct fly_engine *fresh = fresh_of(&story, s, embedder, &rig);

                think(live);
                same(live, fresh);
                same_distances(live, fresh);
                fly_engine_close(&fresh);
            }
        }
        fly_engine_close(&live);
        free(s);
    }
    fly_embedder_close(&embedder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_of_the_support_set_amid_data_end_as_if_all_were_scored_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
