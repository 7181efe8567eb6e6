#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/live.h"
#include "tests/support/alike.h"
#include "tests/support/pool_exec.h"

enum { WIDE = 24, WIDE_MAX = 2000, KINDS_MAX = 5 };

/* Chips of some kinds, their live graph and what it stands on. */
struct world {
    int32_t n, wide;
    struct alike vectors, graph;
    struct fly_arena arena, cold_arena;
    struct fly_live live;
    struct fly_louvain cold;
    struct fly_communities exact;
    struct fly_exec exec;
    struct fly_rng rng;
    double noise;
};

static void wide_open(struct world *w, int32_t n, int32_t wide, uint64_t seed, double noise,
                      struct fly_live_config live, struct fly_affinity_config graph)
{
    *w = (struct world){.n = n, .wide = wide, .noise = noise, .rng = {seed}, .exec = fly_exec_serial()};
    w->vectors = alike_vectors(FLY_VECTORS_F32, n, wide, 0, 0);
    graph.a = w->vectors.vectors;
    w->graph = alike_graph(&graph);
    live.graph = w->graph.graph;
    if (!live.resolution)
        live.resolution = FLY_RESOLUTION_ONE;
    assert_int_equal(fly_arena_init(&w->arena, fly_live_need(n), NULL, "live"), FLY_OK);
    assert_int_equal(fly_arena_init(&w->cold_arena, fly_louvain_need(n, fly_louvain_columns(n)) +
                                    fly_communities_need(n) + fly_null_need(n), NULL, "cold"), FLY_OK);
    fly_live_init(&w->live, &live, &w->arena);
    fly_louvain_init(&w->cold, n, fly_louvain_columns(n), &w->cold_arena);
    fly_communities_init(&w->exact, n, &w->cold_arena);
}

static void world_open(struct world *w, int32_t n, uint64_t seed, double noise, struct fly_live_config live,
                       struct fly_affinity_config graph)
{
    wide_open(w, n, WIDE, seed, noise, live, graph);
}

static void world_close(struct world *w)
{
    fly_arena_fini(&w->arena);
    fly_arena_fini(&w->cold_arena);
    alike_close(&w->graph);
    alike_close(&w->vectors);
}

static void draw(struct world *w, int32_t chip, int kind)
{
    float x[WIDE_MAX];

    for (int32_t d = 0; d < w->wide; d++) {
        double base = (double)(fly_rng_at((uint64_t)(kind + 1) << 20 | (uint64_t)d) >> 40) * 0x1p-24;

        x[d] = (float)(base + w->noise * (fly_rng_uniform(&w->rng) - 0.5));
    }
    assert_int_equal(fly_vectors_put_f32(w->vectors.vectors, chip, x), FLY_OK);
}

/* New content for these chips, and what the engine does then. */
static void change(struct world *w, const int32_t *chips, const int *kinds, int32_t count, int ponders)
{
    struct fly_affinity *graph = w->graph.graph;

    fly_live_forget(&w->live, chips, count);
    for (int32_t c = 0; c < count; c++)
        draw(w, chips[c], kinds[c]);
    fly_affinity_update(&graph, 1, chips, count, &w->exec);
    fly_affinity_settle(&graph, 1, 0, &w->exec);
    assert_int_equal(fly_live_renew(&w->live, &w->exec), FLY_OK);
    if (fly_live_doubts(&w->live))
        fly_live_doubt(&w->live, &w->cold_arena);
    while (ponders-- > 0 && fly_live_ponders(&w->live))
        assert_int_equal(fly_live_ponder(&w->live, &w->cold, &w->exec), FLY_OK);
    fly_live_tell(&w->live);
}

static void assert_optimal(struct world *w)
{
    struct fly_dense dense = fly_affinity_dense(w->graph.graph);
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, fly_modularity_need(w->n), NULL, "test"), FLY_OK);
    assert_int_equal(fly_improving_moves(&dense, w->live.config.resolution, w->live.louvain.label, &arena), 0);
    assert_true(fly_modularity(&dense, w->live.config.resolution, w->live.louvain.label, &arena) ==
                w->live.louvain.score);
    fly_arena_fini(&arena);
}

static double cold_q(struct world *w)
{
    struct fly_dense dense = fly_affinity_dense(w->graph.graph);
    struct fly_louvain_config config = fly_louvain_config_default();

    config.orders = 8;
    config.resolution = w->live.config.resolution;
    assert_int_equal(fly_louvain_cold(&w->cold, &dense, &config), FLY_OK);
    fly_louvain_finish(&w->cold);
    return w->cold.q;
}

/* A scan of rows with revisions in between: every answer is locally optimal, none is 0.005 below cold best
 * of 8, and what a community shares within itself is right. */
static void keeps_up(void **state)
{
    enum { COLS = 12, ROWS = 12, N = COLS * ROWS };

    (void)state;
    for (int how = 0; how < 4; how++) {
        static struct world w;
        int32_t chips[2 * COLS];
        int kinds[2 * COLS];

        world_open(&w, N, 70 + (uint64_t)how, 0.9, (struct fly_live_config){0},
                   (struct fly_affinity_config){.binary = how & 1, .hysteresis = how >> 1,
                                                .rule = how == 3 ? FLY_THRESHOLD_MEAN : FLY_THRESHOLD_P100});
        for (int32_t row = 0; row < ROWS; row++) {
            int32_t n = 0;

            for (int32_t c = 0; c < COLS; c++, n++) {
                chips[n] = row * COLS + c;
                kinds[n] = (row / 3 + c / 6) % KINDS_MAX;
            }
            for (int32_t k = row; row > 2 && k < row + 3; k++, n++) {
                chips[n] = (k * 7) % (row * COLS);
                kinds[n] = (int)fly_rng_below(&w.rng, KINDS_MAX);
                for (int32_t before = COLS; before < n; before++)
                    assert_int_not_equal(chips[before], chips[n]);
            }
            change(&w, chips, kinds, n, 2);
            assert_optimal(&w);
            assert_true(w.live.q >= cold_q(&w) - 0.005);
        }
        for (int32_t i = 0; i < N; i++) {
            struct fly_dense dense = fly_affinity_dense(w.graph.graph);
            int64_t inside = 0;

            for (int32_t j = 0; j < N; j++)
                if (w.live.louvain.label[j] == w.live.louvain.label[i])
                    inside += fly_row_weight(&dense, i, j);
            assert_float_equal(w.live.share[i], (double)inside / (double)dense.degree[i], 1e-6);
        }
        world_close(&w);
    }
}

/* Where kinds differ clearly each is one community, from row to row, whatever comes and goes. */
static void kinds_are_told_apart(void **state)
{
    enum { COLS = 20, ROWS = 10, N = COLS * ROWS };
    static struct world w;
    int32_t chips[COLS];
    int kinds[COLS], kind_of[N];

    (void)state;
    world_open(&w, N, 5, 0.1, (struct fly_live_config){0}, (struct fly_affinity_config){0});
    for (int32_t row = 0; row < ROWS; row++) {
        for (int32_t c = 0; c < COLS; c++) {
            chips[c] = (ROWS - 1 - row) * COLS + c; /* bottom up: a new kind has the first chips */
            kinds[c] = kind_of[chips[c]] = row < 3 ? 0 : c < 10 ? 1 : row < 6 ? 0 : 2;
        }
        change(&w, chips, kinds, COLS, 3);
        if (row < 3)
            continue; /* one kind alone has any parts */
        for (int32_t i = (ROWS - 1 - row) * COLS; i < N; i++)
            assert_int_equal(w.live.label[i] == w.live.label[N - 1], kind_of[i] == kind_of[N - 1]);
        assert_int_equal(w.live.count, row < 6 ? 2 : 3);
    }
    /* The second kind goes. */
    for (int32_t row = 3; row < ROWS; row++) {
        int32_t half[10];
        int third[10];

        for (int32_t c = 0; c < 10; c++) {
            half[c] = (ROWS - 1 - row) * COLS + c;
            third[c] = 0;
        }
        change(&w, half, third, 10, 3);
    }
    assert_int_equal(w.live.count, 2);
    world_close(&w);
}

/* Asking for the exact partition changes nothing that is seen later; it is the batch's, by the rule without
 * hysteresis. */
static void exact_is_only_a_look(void **state)
{
    enum { COLS = 15, ROWS = 10, N = COLS * ROWS };
    static struct world asked, quiet, batch;
    struct fly_live_exact told;
    int32_t chips[COLS], moved = 0;
    int kinds[COLS];
    float *share = malloc(N * sizeof *share);

    (void)state;
    world_open(&asked, N, 31, 0.8, (struct fly_live_config){.want_structure = 1},
               (struct fly_affinity_config){.hysteresis = 1});
    world_open(&quiet, N, 31, 0.8, (struct fly_live_config){.want_structure = 1},
               (struct fly_affinity_config){.hysteresis = 1});
    world_open(&batch, N, 31, 0.8, (struct fly_live_config){.want_structure = 1},
               (struct fly_affinity_config){0});
    for (int32_t row = 0; row < ROWS; row++) {
        for (int32_t c = 0; c < COLS; c++) {
            chips[c] = row * COLS + c;
            kinds[c] = (row / 2 + c / 5) % 4;
        }
        change(&asked, chips, kinds, COLS, 1);
        change(&quiet, chips, kinds, COLS, 1);
        change(&batch, chips, kinds, COLS, 1);
        assert_int_equal(fly_live_exact(&asked.live, &asked.cold, &asked.exact, share, &told, 0, &asked.exec,
                                        &asked.cold_arena), FLY_OK);
        assert_true(alike_same(asked.graph.graph, quiet.graph.graph));
        assert_memory_equal(asked.live.label, quiet.live.label, N * sizeof(int32_t));
        assert_true(told.q > 0.0);
        assert_true(told.threshold == fly_affinity_threshold(batch.graph.graph));
        moved += told.threshold != fly_affinity_threshold(quiet.graph.graph);
        /* The batch's graph, another's live answer: the same partition. */
        {
            struct fly_live_exact other;

            assert_int_equal(fly_live_exact(&batch.live, &batch.cold, &batch.exact, NULL, &other, 0,
                                            &batch.exec, &batch.cold_arena), FLY_OK);
            assert_true(other.q == told.q && other.enough == told.enough && other.bin == told.bin);
            assert_memory_equal(asked.exact.label, batch.exact.label, N * sizeof(int32_t));
        }
        for (int32_t i = (row + 1) * COLS; i < N; i++)
            assert_int_equal(asked.exact.label[i], FLY_COMMUNITY_NONE);
    }
    assert_true(moved > 0); /* or the look proved nothing */
    /* Adopted: the same partition, under ids that stay. */
    assert_int_equal(fly_live_exact(&asked.live, &asked.cold, &asked.exact, share, &told, 1, &asked.exec,
                                    &asked.cold_arena), FLY_OK);
    assert_true(fly_live_tell(&asked.live));
    assert_true(asked.live.q == told.q && asked.live.told == told.enough);
    for (int32_t i = 0; i < N; i++)
        for (int32_t j = 0; j < i; j++)
            if (asked.exact.wire[i] >= 0 && asked.exact.wire[j] >= 0)
                assert_int_equal(asked.exact.wire[i] == asked.exact.wire[j],
                                 asked.live.label[i] == asked.live.label[j]);
    free(share);
    world_close(&asked);
    world_close(&quiet);
    world_close(&batch);
}

/* One kind with noise has no parts, two have. (In few dimensions noise has parts: chips that are alike to
 * one are alike to each other. The null model of structure.h knows degrees, not geometry.) */
static void nothing_is_told_of_noise(void **state)
{
    enum { COLS = 20, ROWS = 12, N = COLS * ROWS };
    static struct world w;
    int32_t chips[COLS];
    int kinds[COLS] = {0};

    (void)state;
    wide_open(&w, N, WIDE_MAX, 12, 0.8, (struct fly_live_config){.want_structure = 1},
              (struct fly_affinity_config){.hysteresis = 1});
    for (int32_t row = 0; row < ROWS; row++) {
        for (int32_t c = 0; c < COLS; c++) {
            chips[c] = row * COLS + c;
            kinds[c] = row >= ROWS / 2;
        }
        change(&w, chips, kinds, COLS, 2);
        if (row < ROWS / 2)
            assert_false(w.live.told);
        for (int32_t i = 0; i < N && !w.live.told; i++)
            assert_int_equal(w.live.label[i], FLY_COMMUNITY_NONE);
    }
    assert_true(w.live.told);
    world_close(&w);
}

/* Noise in few dimensions has parts, dealt at random over the grid; phases lie together. */
static void parts_of_noise_are_not_told_where_chips_lie_in_a_grid(void **state)
{
    enum { COLS = 16, ROWS = 16, N = COLS * ROWS };

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        static struct world w;
        struct fly_live_exact told;
        int32_t chips[COLS];
        int kinds[COLS] = {0};

        world_open(&w, N, seed, 0.8, (struct fly_live_config){.want_structure = 1, .rows = ROWS, .cols = COLS},
                   (struct fly_affinity_config){.hysteresis = 1});
        for (int32_t row = 0; row < ROWS; row++) {
            for (int32_t c = 0; c < COLS; c++)
                chips[c] = row * COLS + c;
            change(&w, chips, kinds, COLS, 2);
            assert_false(w.live.told);
        }
        assert_true(w.live.q > w.live.null.mean + 3.0 * w.live.null.sd); /* as far as degrees can tell */
        assert_int_equal(fly_live_exact(&w.live, &w.cold, &w.exact, NULL, &told, 0, &w.exec, &w.cold_arena),
                         FLY_OK);
        assert_false(told.enough);
        for (int32_t row = 0; row < ROWS; row += 1) {
            for (int32_t c = 0; c < COLS; c++) {
                chips[c] = row * COLS + c;
                kinds[c] = c >= COLS / 2;
            }
            change(&w, chips, kinds, COLS, 2);
        }
        assert_true(w.live.told);
        assert_int_equal(fly_live_exact(&w.live, &w.cold, &w.exact, NULL, &told, 0, &w.exec, &w.cold_arena),
                         FLY_OK);
        assert_true(told.enough);
        /* At another resolution, too: what is asked is asked of plain modularity. */
        fly_live_resolution(&w.live, FLY_RESOLUTION_ONE / 2 * 3);
        assert_int_equal(fly_live_renew(&w.live, &w.exec), FLY_OK);
        fly_live_tell(&w.live);
        assert_true(w.live.told && w.live.count >= 2);
        world_close(&w);
    }
}

/* In a large graph an update visits each chip a few times and reads the rows that changed or moved: no
 * hidden recomputation. Threads change nothing. */
static void work_is_bounded(void **state)
{
    enum { COLS = 40, ROWS = 40, N = COLS * ROWS };
    static struct world one, two;
    struct pool_exec pool = {.width = 2};
    int32_t chips[COLS], followed = 0;
    int kinds[COLS];

    (void)state;
    world_open(&one, N, 8, 0.5, (struct fly_live_config){0}, (struct fly_affinity_config){.hysteresis = 1});
    world_open(&two, N, 8, 0.5, (struct fly_live_config){0}, (struct fly_affinity_config){.hysteresis = 1});
    two.exec = pool_exec(&pool);
    for (int32_t row = 0; row < ROWS; row++) {
        struct fly_graph_work before = one.live.work, after;
        struct fly_affinity_work was = fly_affinity_work(one.graph.graph), is;
        double threshold = fly_affinity_threshold(one.graph.graph);

        for (int32_t c = 0; c < COLS; c++) {
            chips[c] = row * COLS + c;
            kinds[c] = (row / 8 + c / 14) % KINDS_MAX;
        }
        change(&one, chips, kinds, COLS, 0);
        change(&two, chips, kinds, COLS, 0);
        assert_memory_equal(one.live.label, two.live.label, N * sizeof(int32_t));
        assert_memory_equal(one.live.share, two.live.share, N * sizeof(float));
        after = one.live.work;
        is = fly_affinity_work(one.graph.graph);
        assert_int_equal(is.pairs - was.pairs, COLS * row * COLS + COLS * (COLS - 1) / 2);
        if (row < 30 || threshold != fly_affinity_threshold(one.graph.graph))
            continue;
        followed++;
        assert_true(after.rows - before.rows <= 2 * COLS + 4 * (after.moves - before.moves));
        assert_true(after.visits - before.visits <= 12 * N);
    }
    assert_true(followed > 3);
    world_close(&one);
    world_close(&two);
}

/* Where the threshold jumps the last answer is no start: communities are as good as from nothing. Chips that
 * have yet to come cost nothing: an answer early in a scan is made of those that came. */
static void a_jump_starts_from_nothing(void **state)
{
    enum { COLS = 40, ROWS = 40, CAME = 16, N = COLS * ROWS };
    static struct world w;
    struct fly_affinity *graph;
    struct fly_graph_work before;
    int32_t chips[COLS];
    int kinds[COLS];

    (void)state;
    world_open(&w, N, 21, 0.9, (struct fly_live_config){0},
               (struct fly_affinity_config){.rule = FLY_THRESHOLD_MEDIAN});
    graph = w.graph.graph;
    for (int32_t row = 0; row < CAME; row++) {
        before = w.live.work;
        for (int32_t c = 0; c < COLS; c++) {
            chips[c] = row * COLS + c;
            kinds[c] = (row / 4 + c / 10) % KINDS_MAX;
        }
        change(&w, chips, kinds, COLS, 0);
        if (row == 0)
            assert_true(w.live.work.visits - before.visits < 200 * (COLS + 64));
    }
    for (int turn = 0; turn < 2; turn++) {
        double to = fly_affinity_threshold(graph) + (turn ? -0.1 : 0.06);

        before = w.live.work;
        assert_int_equal(fly_affinity_rule(graph, FLY_THRESHOLD_FIXED, to), FLY_OK);
        fly_affinity_settle(&graph, 1, 0, &w.exec);
        assert_int_equal(fly_live_renew(&w.live, &w.exec), FLY_OK);
        assert_true(w.live.work.moves - before.moves >= CAME * COLS / 2);
        assert_optimal(&w);
        assert_true(w.live.q >= cold_q(&w) - 0.005);
        fly_live_tell(&w.live);
        for (int32_t i = 0; i < N; i++)
            assert_int_equal(w.live.label[i] == FLY_COMMUNITY_NONE, i >= CAME * COLS);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_up),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(exact_is_only_a_look),
        cmocka_unit_test(nothing_is_told_of_noise),
        cmocka_unit_test(parts_of_noise_are_not_told_where_chips_lie_in_a_grid),
        cmocka_unit_test(work_is_bounded),
        cmocka_unit_test(a_jump_starts_from_nothing),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
