#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/graph/community.h"
#include "engine/graph/louvain.h"
#include "engine/graph/wide.h"
#include "tests/support/own_graph.h"
#include "tests/support/pool_exec.h"

/* A task and its memory. */
struct scene {
    struct fly_arena arena;
    struct fly_louvain louvain;
};

static void scene_open(struct scene *s, int32_t n_cap, int32_t columns)
{
    assert_int_equal(fly_arena_init(&s->arena, fly_louvain_need(n_cap, columns) + fly_modularity_need(n_cap),
                                    NULL, "test"), FLY_OK);
    fly_louvain_init(&s->louvain, n_cap, columns, &s->arena);
}

static void scene_close(struct scene *s)
{
    fly_arena_fini(&s->arena);
}

static void run_cold(struct scene *s, const struct fly_dense *graph, const struct fly_louvain_config *config)
{
    assert_int_equal(fly_louvain_cold(&s->louvain, graph, config), FLY_OK);
    fly_louvain_finish(&s->louvain);
}

/* What holds of every result: the score is that of the labels, and no single move raises it. */
static void assert_sound(struct scene *s, const struct fly_dense *graph, int32_t resolution)
{
    fly_score score = fly_modularity(graph, resolution, s->louvain.label, &s->arena);

    assert_true(score == s->louvain.score);
    assert_int_equal(fly_improving_moves(graph, resolution, s->louvain.label, &s->arena), 0);
    assert_true(s->louvain.q == fly_score_q(score, graph->m2));
}

/* ---- rows --------------------------------------------------------------------------------------- */

static void rows_are_plain_ones(int forbidden)
{
    static const int32_t sizes[] = {1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 200, 321};
    struct fly_rng rng = {.state = 11};

    fly_wide_forbid(forbidden);
    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
        for (int weighted = 0; weighted < 2; weighted++) {
            int32_t n = sizes[t];
            struct own_graph g = own_graph_planted(n, 3, 0.8, 0.4, weighted, &rng);
            size_t lanes = fly_row_lanes(n);
            uint32_t *a = calloc(4 * lanes, sizeof *a);
            float *k = malloc(lanes * sizeof *k), fast[16], plain[16];
            int32_t rows[7];

            for (size_t j = 0; j < 2 * lanes; j++)
                a[j] = a[j + 2 * lanes] = (uint32_t)fly_rng_below(&rng, 1u << 31);
            for (size_t j = 0; j < lanes; j++)
                k[j] = j >= (size_t)n || j % 5 == 0 ? INFINITY : (float)fly_rng_below(&rng, 9000000);
            for (int32_t i = 0; i < n; i++) {
                float pull = (float)fly_rng_uniform(&rng) * 0.01f;

                fly_row_move(&g.view, i, i % 3 ? a : NULL, i % 4 ? a + lanes : NULL);
                fly_row_move_ref(&g.view, i, i % 3 ? a + 2 * lanes : NULL, i % 4 ? a + 3 * lanes : NULL);
                for (int32_t r = 0; r < 7; r++)
                    rows[r] = (int32_t)fly_rng_below(&rng, (uint64_t)n);
                for (size_t first = 0; first < lanes; first += 64)
                    fly_row_add_part(&g.view, rows, i % 8, a, first, 64);
                for (int32_t r = 0; r < i % 8; r++)
                    fly_row_move_ref(&g.view, rows[r], a + 2 * lanes, NULL);
                assert_true(fly_row_best(&g.view, i, k, pull, fast) ==
                            fly_row_best_ref(&g.view, i, k, pull, plain));
                assert_memory_equal(fast, plain, (size_t)((n + 63) / 64) * sizeof *fast);
            }
            assert_memory_equal(a, a + 2 * lanes, 2 * lanes * sizeof *a);
            free(a);
            free(k);
            own_graph_free(&g);
        }
    fly_wide_forbid(0);
}

static void fast_rows_equal_plain_rows(void **state)
{
    (void)state;
    rows_are_plain_ones(0);
    rows_are_plain_ones(1);
}

/* ---- modularity --------------------------------------------------------------------------------- */

static void gain_is_the_difference_of_two_modularities(void **state)
{
    struct fly_rng rng = {.state = 5};

    for (int trial = 0; trial < 40; trial++) {
        int32_t n = 2 + (int32_t)fly_rng_below(&rng, 40), labels[64], resolution = 20000 + 7919 * trial;
        struct own_graph g = own_graph_planted(n, 3, 0.7, 0.3, trial % 2, &rng);
        struct scene s;
        int64_t k_own = 0, k_to = 0, in_own = 0, in_to = 0;
        int32_t i = (int32_t)fly_rng_below(&rng, (uint64_t)n), to = (int32_t)fly_rng_below(&rng, 4) % n, own;
        fly_score before, after, gain;

        scene_open(&s, n, n);
        for (int32_t j = 0; j < n; j++)
            labels[j] = (int32_t)fly_rng_below(&rng, 4) % n;
        own = labels[i];
        for (int32_t j = 0; j < n; j++)
            if (j != i) {
                k_own += labels[j] == own ? g.degree[j] : 0;
                k_to += labels[j] == to ? g.degree[j] : 0;
                in_own += labels[j] == own ? fly_row_weight(&g.view, i, j) : 0;
                in_to += labels[j] == to ? fly_row_weight(&g.view, i, j) : 0;
            }
        before = fly_modularity(&g.view, resolution, labels, &s.arena);
        labels[i] = to;
        after = fly_modularity(&g.view, resolution, labels, &s.arena);
        gain = fly_join_gain(g.view.m2, resolution, in_to, g.degree[i], k_to) -
               fly_join_gain(g.view.m2, resolution, in_own, g.degree[i], k_own);
        assert_true(after - before == 2 * gain);
        scene_close(&s);
        own_graph_free(&g);
    }
}

static void modularity_is_that_of_two_cliques(void **state)
{
    /* Two triangles and one edge between them: Q = 2 (3/7 - (7/14)^2) = 5/14. */
    static const int32_t labels[] = {0, 0, 0, 3, 3, 3};
    struct own_graph g = own_graph_make(6, 0);
    struct scene s;

    scene_open(&s, 6, 6);
    for (int32_t i = 0; i < 6; i++)
        for (int32_t j = 0; j < i; j++)
            if (i / 3 == j / 3 || (i == 3 && j == 2))
                own_graph_put(&g, i, j, 1, 1);
    assert_true(fabs(fly_score_q(fly_modularity(&g.view, FLY_RESOLUTION_ONE, labels, &s.arena), g.view.m2) -
                     5.0 / 14.0) < 1e-15);
    scene_close(&s);
    own_graph_free(&g);
}

/* ---- planted communities ------------------------------------------------------------------------ */

static void fast_labels_equal_plain_labels(void **state)
{
    struct fly_rng rng = {.state = 77};

    for (int trial = 0; trial < 60; trial++) {
        int32_t n = 1 + (int32_t)fly_rng_below(&rng, 150), parts = 1 + trial % 7;
        int32_t *labels = calloc((size_t)n, sizeof *labels), *plain = calloc((size_t)n, sizeof *plain);
        double p_in = 0.3 + 0.7 * fly_rng_uniform(&rng), p_out = fly_rng_uniform(&rng) * p_in;
        struct own_graph g = own_graph_planted(n, parts, p_in, trial % 5 ? p_out : 0.0, trial % 2, &rng);
        struct fly_louvain_config config = {.resolution = trial % 3 ? FLY_RESOLUTION_ONE : 30000 + 1000 * trial,
                                            .orders = 1 + trial % 4, .probes = trial % 3,
                                            .seed = (uint64_t)trial};
        struct fly_exec serial = fly_exec_serial();
        struct scene s;

        scene_open(&s, n, n);
        run_cold(&s, &g.view, &config);
        assert_true(s.louvain.score == fly_louvain_ref(&g.view, &config, NULL, plain));
        assert_memory_equal(s.louvain.label, plain, (size_t)n * sizeof *plain);
        assert_sound(&s, &g.view, config.resolution);

        for (int32_t i = 0; i < n; i++)
            labels[i] = (int32_t)fly_rng_below(&rng, (uint64_t)n + 1) - 1;
        assert_int_equal(fly_louvain_warm(&s.louvain, &g.view, &config, labels, &serial), FLY_OK);
        fly_louvain_finish(&s.louvain);
        assert_true(s.louvain.score == fly_louvain_ref(&g.view, &config, labels, plain));
        assert_memory_equal(s.louvain.label, plain, (size_t)n * sizeof *plain);
        assert_sound(&s, &g.view, config.resolution);
        scene_close(&s);
        own_graph_free(&g);
        free(labels);
        free(plain);
    }
}

static void ties_go_to_the_lowest_id(void **state)
{
    /* A square: nodes 1 and 3 are alike to node 0. Whatever the order, plain and fast agree, and all
     * weights being equal nothing but ids decides. */
    struct own_graph g = own_graph_make(4, 0);
    struct scene s;
    int32_t plain[4];

    for (int32_t i = 0; i < 4; i++)
        own_graph_put(&g, i, (i + 1) % 4, 1, 1);
    scene_open(&s, 4, 4);
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct fly_louvain_config config = {.resolution = FLY_RESOLUTION_ONE, .orders = 1, .seed = seed};

        run_cold(&s, &g.view, &config);
        fly_louvain_ref(&g.view, &config, NULL, plain);
        assert_memory_equal(s.louvain.label, plain, sizeof plain);
        assert_sound(&s, &g.view, config.resolution);
    }
    scene_close(&s);
    own_graph_free(&g);
}

static void communities_that_are_there_are_found(void **state)
{
    struct fly_rng rng = {.state = 3};
    struct fly_louvain_config config = fly_louvain_config_default();

    for (int weighted = 0; weighted < 2; weighted++) {
        struct own_graph g = own_graph_planted(300, 5, 0.7, 0.3, weighted, &rng);
        struct scene s;

        scene_open(&s, 300, fly_louvain_columns(300));
        run_cold(&s, &g.view, &config);
        for (int32_t i = 5; i < 300; i++)
            assert_int_equal(s.louvain.label[i], s.louvain.label[i % 5]);
        for (int32_t c = 1; c < 5; c++)
            assert_int_not_equal(s.louvain.label[c], s.louvain.label[0]);
        scene_close(&s);
        own_graph_free(&g);
    }
}

static void too_few_columns_are_slow_and_as_good(void **state)
{
    struct fly_rng rng = {.state = 8};

    for (int trial = 0; trial < 24; trial++) {
        int32_t n = 60 + trial;
        struct own_graph g = own_graph_planted(n, 20, 0.9, trial % 4 ? 0.05 : 0.01, trial % 2, &rng);
        struct fly_louvain_config config = fly_louvain_config_default();
        struct scene few, all;

        scene_open(&few, n, 1 + trial % 12);
        scene_open(&all, n, n);
        run_cold(&few, &g.view, &config);
        run_cold(&all, &g.view, &config);
        assert_sound(&few, &g.view, config.resolution);
        assert_true(few.louvain.q >= all.louvain.q - 0.01);
        scene_close(&few);
        scene_close(&all);
        own_graph_free(&g);
    }
}

static void many_small_steps_equal_one_go(void **state)
{
    struct fly_rng rng = {.state = 21};
    struct fly_louvain_config config = fly_louvain_config_default();
    struct own_graph g = own_graph_planted(230, 4, 0.6, 0.45, 1, &rng);
    struct scene whole, sliced;

    scene_open(&whole, 230, 230);
    scene_open(&sliced, 230, 230);
    run_cold(&whole, &g.view, &config);
    for (int64_t slice = 1; slice < 3000; slice *= 7) {
        int steps = 1;

        assert_int_equal(fly_louvain_cold(&sliced.louvain, &g.view, &config), FLY_OK);
        while (fly_louvain_step(&sliced.louvain, slice) == FLY_EAGAIN)
            steps++;
        assert_true(steps > 10);
        assert_int_equal(fly_louvain_step(&sliced.louvain, 1), FLY_OK);
        assert_true(sliced.louvain.score == whole.louvain.score);
        assert_memory_equal(sliced.louvain.label, whole.louvain.label, 230 * sizeof(int32_t));
    }
    scene_close(&whole);
    scene_close(&sliced);
    own_graph_free(&g);
}

static void two_threads_give_the_bytes_of_one(void **state)
{
    struct fly_rng rng = {.state = 2};
    struct fly_louvain_config config = fly_louvain_config_default();
    struct own_graph g = own_graph_planted(1200, 6, 0.5, 0.4, 1, &rng);
    struct pool_exec pool = {.width = 2};
    struct fly_exec serial = fly_exec_serial(), threads = pool_exec(&pool);
    int32_t labels[1200];
    struct scene one, two;

    for (int32_t i = 0; i < 1200; i++)
        labels[i] = i < 1100 ? i % 9 : -1;
    scene_open(&one, 1200, 512);
    scene_open(&two, 1200, 512);
    assert_int_equal(fly_louvain_warm(&one.louvain, &g.view, &config, labels, &serial), FLY_OK);
    fly_louvain_finish(&one.louvain);
    assert_int_equal(fly_louvain_warm(&two.louvain, &g.view, &config, labels, &threads), FLY_OK);
    fly_louvain_finish(&two.louvain);
    assert_memory_equal(one.louvain.label, two.louvain.label, sizeof labels);
    assert_memory_equal(&one.louvain.work, &two.louvain.work, sizeof one.louvain.work);
    assert_sound(&two, &g.view, config.resolution);
    scene_close(&one);
    scene_close(&two);
    own_graph_free(&g);
}

/* ---- graphs that grow and change ---------------------------------------------------------------- */

static void redraw(struct own_graph *g, int32_t i, int32_t n, int32_t parts, struct fly_rng *rng)
{
    for (int32_t j = 0; j < n; j++)
        if (j != i)
            own_graph_put(g, i, j, fly_rng_uniform(rng) < (i % parts == j % parts ? 0.75 : 0.45),
                          (uint16_t)(1 + fly_rng_below(rng, 30000)));
}

/* Rows of chips arrive, old chips are revised; after each update the warm answer (with probes and the
 * orders that it can afford) is as good as cold best of 8. */
static void warm_keeps_up_with_cold(void **state)
{
    enum { ROW = 18, ROWS = 14, N = ROW * ROWS };

    for (int weighted = 0; weighted < 2; weighted++) {
        struct fly_rng rng = {.state = 40 + (uint64_t)weighted};
        struct fly_louvain_config config = fly_louvain_config_default(), cold_config = config;
        struct fly_exec serial = fly_exec_serial();
        struct own_graph g = own_graph_make(N, weighted);
        struct scene warm, cold;

        config.probes = 2;
        cold_config.orders = 8;
        scene_open(&warm, N, N);
        scene_open(&cold, N, N);
        for (int32_t row = 0; row < ROWS; row++) {
            int32_t n = (row + 1) * ROW, parts = row < 4 ? 2 : row < 9 ? 3 : 4, before = row * ROW, labels[N];

            for (int32_t i = 0; i < n; i++)
                labels[i] = i < before ? warm.louvain.label[i] : -1;
            for (int t = 0; t < 3 && before > 0; t++)
                redraw(&g, (int32_t)fly_rng_below(&rng, (uint64_t)before), before, parts, &rng);
            for (int32_t i = before; i < n; i++)
                redraw(&g, i, i, parts, &rng);
            g.view.n = n;
            config.orders = fly_louvain_warm_orders(n);
            assert_int_equal(fly_louvain_warm(&warm.louvain, &g.view, &config, labels, &serial), FLY_OK);
            fly_louvain_finish(&warm.louvain);
            assert_sound(&warm, &g.view, config.resolution);
            run_cold(&cold, &g.view, &cold_config);
            assert_true(warm.louvain.q >= cold.louvain.q - 0.005);
            if (cold.louvain.score > warm.louvain.score) {
                /* What the engine does with a better answer from the background. */
                assert_int_equal(fly_louvain_warm(&warm.louvain, &g.view, &config, cold.louvain.label,
                                                  &serial), FLY_OK);
                fly_louvain_finish(&warm.louvain);
                assert_true(warm.louvain.score >= cold.louvain.score);
            }
        }
        scene_close(&warm);
        scene_close(&cold);
        own_graph_free(&g);
    }
}

/* A warm start from the same labels would read every row to the same end: columns kept through growth
 * and revision are those of the graph. */
static void following_is_a_warm_start(void **state)
{
    enum { ROW = 21, ROWS = 16, N = ROW * ROWS };

    for (int weighted = 0; weighted < 2; weighted++) {
        struct fly_rng rng = {.state = 60 + (uint64_t)weighted};
        struct fly_louvain_config config = {.resolution = FLY_RESOLUTION_ONE};
        struct fly_exec serial = fly_exec_serial();
        struct own_graph g = own_graph_make(N, weighted);
        struct scene follow, warm;

        scene_open(&follow, N, N);
        scene_open(&warm, N, N);
        for (int32_t row = 0; row < ROWS; row++) {
            int32_t n = (row + 1) * ROW, parts = row < 4 ? 2 : row < 9 ? 3 : 4, before = row * ROW, labels[N];

            for (int32_t i = 0; i < n; i++)
                labels[i] = i < before ? follow.louvain.label[i] : -1;
            for (int t = 0; t < 5 && before > 0; t++) {
                int32_t i = (int32_t)fly_rng_below(&rng, (uint64_t)before);

                assert_true(fly_louvain_can_follow(&follow.louvain));
                fly_louvain_forget(&follow.louvain, i);
                labels[i] = -1;
                redraw(&g, i, before, parts, &rng);
            }
            for (int32_t i = before; i < n; i++)
                redraw(&g, i, i, parts, &rng);
            g.view.n = n;
            if (row == 0)
                assert_int_equal(fly_louvain_warm(&follow.louvain, &g.view, &config, labels, &serial), FLY_OK);
            else
                assert_int_equal(fly_louvain_follow(&follow.louvain, &g.view, &config), FLY_OK);
            fly_louvain_finish(&follow.louvain);
            assert_sound(&follow, &g.view, config.resolution);
            assert_int_equal(fly_louvain_warm(&warm.louvain, &g.view, &config, labels, &serial), FLY_OK);
            fly_louvain_finish(&warm.louvain);
            assert_memory_equal(follow.louvain.label, warm.louvain.label, (size_t)n * sizeof(int32_t));
        }
        assert_true(follow.louvain.work.rows < warm.louvain.work.rows);
        scene_close(&follow);
        scene_close(&warm);
        own_graph_free(&g);
    }
}

/* Following reads the rows that changed and those of nodes that move, no others. */
static void following_reads_what_changed(void **state)
{
    enum { N = 400, NEW = 20 };
    struct fly_rng rng = {.state = 6};
    struct fly_louvain_config config = fly_louvain_config_default();
    struct own_graph g = own_graph_planted(N, 3, 0.7, 0.4, 1, &rng);
    struct own_graph early = own_graph_make(N, 1);
    struct fly_graph_work before, after;
    struct scene s;

    for (int32_t i = 0; i < N - NEW; i++)
        for (int32_t j = 0; j < i; j++)
            own_graph_put(&early, i, j, fly_row_has(&g.view, i, j),
                          g.weight[(size_t)i * g.view.stride + (size_t)j]);
    early.view.n = N - NEW;
    config.probes = 0;
    scene_open(&s, N, N);
    run_cold(&s, &early.view, &config);
    assert_true(s.louvain.parting.work.rows > 0);
    /* The last of the orders is seldom the best; a warm start brings its columns. */
    {
        struct fly_exec serial = fly_exec_serial();

        assert_int_equal(fly_louvain_warm(&s.louvain, &early.view, &config, s.louvain.label, &serial), FLY_OK);
        fly_louvain_finish(&s.louvain);
    }
    assert_true(fly_louvain_can_follow(&s.louvain));
    before = s.louvain.work;
    fly_louvain_forget(&s.louvain, 7);
    assert_int_equal(fly_louvain_follow(&s.louvain, &g.view, &config), FLY_OK);
    fly_louvain_finish(&s.louvain);
    after = s.louvain.work;
    assert_sound(&s, &g.view, config.resolution);
    assert_true(after.rows - before.rows <= 1 + (NEW + 1) + 2 * (after.moves - before.moves));
    assert_true(after.moves - before.moves < 3 * NEW);
    scene_close(&s);
    own_graph_free(&g);
    own_graph_free(&early);
}

/* ---- edges of the range ------------------------------------------------------------------------- */

static void a_refused_task_leaves_the_last_one(void **state)
{
    struct fly_rng rng = {.state = 1};
    struct fly_louvain_config config = fly_louvain_config_default(), wrong;
    struct own_graph g = own_graph_planted(20, 2, 0.9, 0.2, 0, &rng);
    struct scene s;
    fly_score score;

    scene_open(&s, 20, 20);
    run_cold(&s, &g.view, &config);
    score = s.louvain.score;
    wrong = config;
    wrong.resolution = 0;
    assert_int_equal(fly_louvain_cold(&s.louvain, &g.view, &wrong), FLY_ERANGE);
    wrong.resolution = FLY_RESOLUTION_MAX + 1;
    assert_int_equal(fly_louvain_cold(&s.louvain, &g.view, &wrong), FLY_ERANGE);
    wrong = config;
    wrong.orders = -1;
    assert_int_equal(fly_louvain_cold(&s.louvain, &g.view, &wrong), FLY_ERANGE);
    wrong = config;
    wrong.probes = -1;
    assert_int_equal(fly_louvain_cold(&s.louvain, &g.view, &wrong), FLY_ERANGE);
    assert_int_equal(fly_louvain_step(&s.louvain, 100), FLY_OK);
    assert_true(s.louvain.score == score);
    assert_sound(&s, &g.view, config.resolution);
    scene_close(&s);
    own_graph_free(&g);
}

static void the_largest_weights_do_not_overflow(void **state)
{
    enum { N = 700 };
    struct fly_rng rng = {.state = 9};
    struct fly_louvain_config config = fly_louvain_config_default();
    struct own_graph g = own_graph_make(N, 1);
    struct scene s;

    for (int32_t i = 0; i < N; i++)
        for (int32_t j = 0; j < i; j++)
            own_graph_put(&g, i, j, i % 3 == j % 3 || fly_rng_below(&rng, 3) == 0, UINT16_MAX);
    config.resolution = FLY_RESOLUTION_MAX;
    config.orders = 2;
    scene_open(&s, N, N);
    run_cold(&s, &g.view, &config);
    assert_sound(&s, &g.view, config.resolution);
    config.resolution = 1;
    run_cold(&s, &g.view, &config);
    assert_sound(&s, &g.view, config.resolution);
    for (int32_t i = 1; i < N; i++)
        assert_int_equal(s.louvain.label[i], s.louvain.label[0]);
    scene_close(&s);
    own_graph_free(&g);
}

static int32_t communities_of(const int32_t *labels, int32_t n)
{
    struct fly_communities c;
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, fly_communities_need(n), NULL, "test"), FLY_OK);
    fly_communities_init(&c, n, &arena);
    fly_communities_fill(&c, labels, n);
    fly_arena_fini(&arena);
    return c.count;
}

static void without_edges_every_chip_is_its_own_community(void **state)
{
    static const int32_t sizes[] = {0, 1, 2, 9, 130};
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_exec serial = fly_exec_serial();

    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
        struct own_graph g = own_graph_make(sizes[t], 1);
        int32_t none[130];
        struct scene s;

        memset(none, -1, sizeof none);
        scene_open(&s, sizes[t], fly_louvain_columns(sizes[t]));
        run_cold(&s, &g.view, &config);
        assert_true(s.louvain.q == 0.0);
        assert_int_equal(communities_of(s.louvain.label, sizes[t]), sizes[t]);
        assert_int_equal(fly_louvain_warm(&s.louvain, &g.view, &config, none, &serial), FLY_OK);
        fly_louvain_finish(&s.louvain);
        assert_int_equal(communities_of(s.louvain.label, sizes[t]), sizes[t]);
        assert_true(s.louvain.q == 0.0);
        scene_close(&s);
        own_graph_free(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_rows_equal_plain_rows),
        cmocka_unit_test(gain_is_the_difference_of_two_modularities),
        cmocka_unit_test(modularity_is_that_of_two_cliques),
        cmocka_unit_test(fast_labels_equal_plain_labels),
        cmocka_unit_test(ties_go_to_the_lowest_id),
        cmocka_unit_test(communities_that_are_there_are_found),
        cmocka_unit_test(too_few_columns_are_slow_and_as_good),
        cmocka_unit_test(many_small_steps_equal_one_go),
        cmocka_unit_test(two_threads_give_the_bytes_of_one),
        cmocka_unit_test(warm_keeps_up_with_cold),
        cmocka_unit_test(following_is_a_warm_start),
        cmocka_unit_test(following_reads_what_changed),
        cmocka_unit_test(a_refused_task_leaves_the_last_one),
        cmocka_unit_test(the_largest_weights_do_not_overflow),
        cmocka_unit_test(without_edges_every_chip_is_its_own_community),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
