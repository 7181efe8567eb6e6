#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/agreement.h"
#include "engine/graph/community.h"
#include "engine/graph/louvain.h"
#include "engine/graph/structure.h"
#include "tests/support/own_graph.h"

static void communities_of(struct fly_communities *c, struct fly_arena *arena, const int32_t *ids, int32_t n)
{
    assert_int_equal(fly_arena_init(arena, fly_communities_need(n), NULL, "test"), FLY_OK);
    fly_communities_init(c, n, arena);
    fly_communities_fill(c, ids, n);
}

static void numbers_follow_first_appearance(void **state)
{
    static const int32_t ids[] = {7, 7, 2, 7, 0, 2, 2, 5, 5}, label[] = {0, 0, 1, 0, 2, 1, 1, 3, 3};
    static const int32_t wire[] = {0, 0, 1, 0, -4, 1, 1, -4, -4};
    struct fly_communities c;
    struct fly_arena arena;

    communities_of(&c, &arena, ids, 9);
    assert_int_equal(c.count, 4);
    assert_memory_equal(c.label, label, sizeof label);
    assert_memory_equal(c.wire, wire, sizeof wire);
    assert_int_equal(c.size[0], 3);
    assert_int_equal(c.size[1], 3);
    assert_int_equal(c.size[2], 1);
    assert_int_equal(c.size[3], 2);
    assert_int_equal(c.minor_count, 2);
    assert_int_equal(c.minor_chips, 3);
    assert_int_equal(c.alone_chips, 1);
    fly_arena_fini(&arena);
}

static void numbers_are_those_of_canon(void **state)
{
    struct fly_rng rng = {.state = 4};

    for (int trial = 0; trial < 50; trial++) {
        int32_t ids[80], want[80], n = 1 + (int32_t)fly_rng_below(&rng, 80), parts;
        struct fly_communities c;
        struct fly_arena arena, other;

        for (int32_t i = 0; i < n; i++)
            ids[i] = (int32_t)fly_rng_below(&rng, (uint64_t)n);
        communities_of(&c, &arena, ids, n);
        assert_int_equal(fly_arena_init(&other, fly_canon_need(n), NULL, "test"), FLY_OK);
        parts = fly_canon(want, ids, n, &other);
        assert_int_equal(c.count, parts);
        assert_memory_equal(c.label, want, (size_t)n * sizeof *want);
        fly_arena_fini(&arena);
        fly_arena_fini(&other);
    }
}

static void no_chip_is_no_community(void **state)
{
    struct fly_communities c;
    struct fly_arena arena;

    communities_of(&c, &arena, NULL, 0);
    assert_int_equal(c.count, 0);
    assert_int_equal(c.minor_chips, 0);
    fly_arena_fini(&arena);
}

/* ---- structure ---------------------------------------------------------------------------------- */

/* Best modularity and what chance gives. */
static double measure(struct own_graph *g, struct fly_null *null, uint64_t seed)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_louvain louvain;
    struct fly_arena arena;
    int32_t n = g->view.n, columns = fly_louvain_columns(n);

    assert_int_equal(fly_arena_init(&arena, fly_louvain_need(n, columns) + fly_null_need(n), NULL, "test"),
                     FLY_OK);
    fly_louvain_init(&louvain, n, columns, &arena);
    assert_int_equal(fly_louvain_cold(&louvain, &g->view, &config), FLY_OK);
    fly_louvain_finish(&louvain);
    fly_null_fill(null, &g->view, config.resolution, seed, &arena);
    fly_arena_fini(&arena);
    return louvain.q;
}

static void planted_communities_are_structure(void **state)
{
    static const int32_t sizes[] = {51, 120, 300, 700};
    struct fly_rng rng = {.state = 31};

    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
        for (int weighted = 0; weighted < 2; weighted++) {
            struct own_graph g = own_graph_planted(sizes[t], 3, 0.9, 0.4, weighted, &rng);
            struct fly_null null;
            double q = measure(&g, &null, 1);

            assert_true(fly_structure_enough(q, &null));
            own_graph_free(&g);
        }
}

/* Graphs without communities, of degrees alike and of degrees that differ. The law that carries the null
 * model from 128 chips to N is held to 10 % of what larger graphs give. */
static void noise_is_not_structure(void **state)
{
    static const int32_t sizes[] = {51, 102, 128, 255, 510, 1020};
    struct fly_rng rng = {.state = 17};

    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
        for (int kind = 0; kind < 4; kind++) {
            int32_t n = sizes[t];
            struct own_graph g = own_graph_make(n, kind % 2);
            struct fly_null null;
            double q;

            for (int32_t i = 0; i < n; i++)
                for (int32_t j = 0; j < i; j++) {
                    double p = kind < 2 ? 0.5 : (0.4 + 0.6 * i / n) * (0.4 + 0.6 * j / n);

                    own_graph_put(&g, i, j, fly_rng_uniform(&rng) < p,
                                  (uint16_t)(20000 + fly_rng_below(&rng, 10000)));
                }
            q = measure(&g, &null, 1);
            assert_false(fly_structure_enough(q, &null));
            assert_true(fabs(q - null.mean) < 0.1 * q);
            own_graph_free(&g);
        }
}

static void structure_is_the_same_for_the_same_seed(void **state)
{
    struct fly_rng rng = {.state = 12};
    struct own_graph g = own_graph_planted(200, 2, 0.6, 0.4, 1, &rng);
    struct fly_null a, b, c;

    measure(&g, &a, 5);
    measure(&g, &b, 5);
    measure(&g, &c, 6);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.mean != c.mean);
    own_graph_free(&g);
}

static void without_edges_there_is_no_structure(void **state)
{
    for (int32_t n = 0; n < 4; n++) {
        struct own_graph g = own_graph_make(n, 1);
        struct fly_null null;

        assert_false(fly_structure_enough(measure(&g, &null, 1), &null));
        own_graph_free(&g);
    }
}

static void a_complete_graph_has_no_structure(void **state)
{
    struct own_graph g = own_graph_make(90, 0);
    struct fly_null null;

    for (int32_t i = 0; i < 90; i++)
        for (int32_t j = 0; j < i; j++)
            own_graph_put(&g, i, j, 1, 1);
    assert_false(fly_structure_enough(measure(&g, &null, 1), &null));
    own_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow_first_appearance),
        cmocka_unit_test(numbers_are_those_of_canon),
        cmocka_unit_test(no_chip_is_no_community),
        cmocka_unit_test(planted_communities_are_structure),
        cmocka_unit_test(noise_is_not_structure),
        cmocka_unit_test(structure_is_the_same_for_the_same_seed),
        cmocka_unit_test(without_edges_there_is_no_structure),
        cmocka_unit_test(a_complete_graph_has_no_structure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
