/* All maps of a session at once: what is published of them does not depend on how a method numbers its clusters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/histories.h"
#include "tests/unit/engine/map/map_rig.h"

enum { N = 60, CLUSTERS = 6, EPOCHS = 30, SEEDS = 200 };

struct side {
    struct fly_arena arena;
    struct fly_histories histories;
};

static void open_side(struct side *side)
{
    uint8_t there[FLY_MAPS];

    memset(there, 1, sizeof there);
    assert_int_equal(fly_arena_init(&side->arena, fly_histories_need(N, there, 1), NULL, "histories"), FLY_OK);
    fly_histories_init(&side->histories, N, there, 1, &side->arena);
    assert_int_equal(side->arena.used, fly_histories_need(N, there, 1));
}

static void same_story(const struct fly_story *a, const struct fly_story *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->gone, b->gone);
    assert_int_equal(a->splits, b->splits);
    assert_int_equal(a->merges, b->merges);
    for (int32_t c = 0; c < a->count + a->gone; c++) {
        const struct fly_cluster *x = &a->cluster[c], *y = &b->cluster[c];

        assert_true(x->id == y->id && x->chips == y->chips && x->before == y->before && x->events == y->events);
        assert_int_equal(x->parents, y->parents);
        assert_memory_equal(x->parent, y->parent, (size_t)x->parents * sizeof *x->parent);
    }
}

static void same_maps(struct side *a, struct side *b)
{
    for (int map = FLY_MODALITIES; map < FLY_MAPS; map++) {
        const struct fly_history *x = &a->histories.of[map], *y = &b->histories.of[map];

        assert_memory_equal(x->label, y->label, N * sizeof *x->label);
        assert_memory_equal(x->confidence, y->confidence, N * sizeof *x->confidence);
        assert_memory_equal(x->debounce.shown, y->debounce.shown, N * sizeof *x->debounce.shown);
        assert_int_equal(x->debounce.waiting, y->debounce.waiting);
        same_story(&x->story, &y->story);
    }
}

static void numbers_of_clusters_change_nothing_that_is_published(void **state)
{
    static struct side a, b;
    int32_t raw[FLY_MAPS][N], other[N], silent[N], moved = 0, waited = 0;
    float confidence[N];
    uint32_t age[N];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fly_rng rng = {seed};

        open_side(&a);
        open_side(&b);
        memset(raw, 0xff, sizeof raw);
        memset(age, 0, sizeof age);
        for (int e = 0; e < EPOCHS; e++) {
            for (int map = FLY_MODALITIES; map < fly_map_index(FLY_WARD, FLY_ENSEMBLE); map++) {
                int told = fly_map_method(map) == FLY_WARD || fly_rng_below(&rng, 6) > 0;

                if (fly_rng_below(&rng, 4) == 0)
                    continue; /* this map did not change */
                wander(&rng, raw[map], N, CLUSTERS);
                renumber(&rng, raw[map], other, N);
                for (int k = 0; k < N; k++) {
                    confidence[k] = raw[map][k] < 0 ? NAN : (float)fly_rng_below(&rng, 8) / 8.0f; /* with equals */
                    age[k] += fly_rng_below(&rng, 5) == 0;
                    silent[k] = -3;
                }
                fly_history_step(&a.histories, map, told ? raw[map] : silent, told, confidence, age);
                fly_history_step(&b.histories, map, told ? other : silent, told, confidence, age);
            }
            fly_history_vote(&a.histories, confidence);
            fly_history_vote(&b.histories, confidence);
            for (int map = FLY_MODALITIES; map < FLY_MAPS; map++) {
                int plain = fly_rng_below(&rng, 10) == 0;

                moved += fly_history_calm(&a.histories, map, a.histories.of[map].label, NULL, plain);
                (void)fly_history_calm(&b.histories, map, b.histories.of[map].label, NULL, plain);
                waited += a.histories.of[map].debounce.waiting;
            }
            same_maps(&a, &b);
        }
        fly_arena_fini(&a.arena);
        fly_arena_fini(&b.arena);
    }
    assert_true(moved > SEEDS && waited > SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_clusters_change_nothing_that_is_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
