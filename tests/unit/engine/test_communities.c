#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "engine/graph/live.h"
#include "tests/support/alike.h"
#include "tests/support/pool_exec.h"
#include "tests/unit/engine/engine_rig.h"

enum { SMALL = 4, ROWS = H / SMALL, COLS = W / SMALL, CHIPS = ROWS * COLS, PIECES = 60 };

static const struct fly_graph_config usual = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE,
                                              .weights = {0.5, 0.5}, .feature = FLY_EDS_SPECTRUM,
                                              .min_counts = 30};

/* (K, 2) in place of an embedder's: two kinds, each with a spread. */
static const float *given(void)
{
    static float rows[CHIPS][2];

    for (int k = 0; k < CHIPS; k++) {
        double turn = (k % COLS < COLS / 2 ? 0.2 : 1.1) + 0.3 * (double)(fly_rng_at((uint64_t)k) >> 40) * 0x1p-24;

        rows[k][0] = (float)cos(turn);
        rows[k][1] = (float)sin(turn);
    }
    return rows[0];
}

static struct fly_engine *open_with(const struct fly_graph_config *graph, enum fly_profile profile,
                                    const struct fly_exec *exec)
{
    return rig_open(NULL, exec, &(struct rig_options){.profile = profile, .side_px = SMALL, .given = given(),
                                                      .graph = graph, .min_counts = 60});
}

struct exact {
    int32_t labels[CHIPS];
    float confidence[CHIPS];
    struct fly_graph_view view;
};

static void ask(struct fly_engine *engine, enum fly_modality modality, struct exact *exact)
{
    assert_int_equal(fly_engine_exact(engine, modality, exact->labels, exact->confidence, &exact->view), FLY_OK);
}

static void settle_down(struct fly_engine *engine)
{
    while (fly_engine_busy(engine))
        assert_int_equal(fly_engine_step(engine), FLY_OK);
}

static void same_communities(struct fly_engine *a, struct fly_engine *b, int hysteresis)
{
    static struct exact x, y;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        ask(a, (enum fly_modality)m, &x);
        ask(b, (enum fly_modality)m, &y);
        assert_memory_equal(x.labels, y.labels, sizeof x.labels);
        assert_memory_equal(x.confidence, y.confidence, sizeof x.confidence);
        assert_memory_equal(&x.view.threshold, &y.view.threshold, sizeof x.view.threshold);
        assert_memory_equal(&x.view.modularity, &y.view.modularity, sizeof x.view.modularity);
        assert_int_equal(x.view.told, y.view.told);
        assert_int_equal(x.view.chips, y.view.chips);
        if (!hysteresis) /* which knows the history */
            assert_true(alike_same(fly_engine_affinity(a, (enum fly_modality)m),
                                   fly_engine_affinity(b, (enum fly_modality)m)));
    }
}

/* Random pieces in random order, some twice, with steps, epochs and questions in between, on some threads; after
 * any of them the exact communities are those of everything at once. */
static void exact_communities_equal_batch(void **state)
{
    struct pool_exec threads = {.width = 3};
    struct fly_exec serial = fly_exec_serial(), pool = pool_exec(&threads);
    long told = 0, chips = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_rng rng = {seed};
        struct fly_graph_config graph = usual;
        enum fly_profile profile = seed % 2 ? FLY_PROFILE_ROBUST : FLY_PROFILE_PAPER;
        struct piece pieces[PIECES];
        struct fly_engine *live, *batch;

        graph.rule = seed == 3 ? FLY_THRESHOLD_MEAN : seed == 4 ? FLY_THRESHOLD_M2 : FLY_THRESHOLD_P100;
        graph.feature = seed >= 5 ? FLY_EDS_COMPOSITION : FLY_EDS_SPECTRUM;
        graph.binary = seed == 2;
        live = open_with(&graph, profile, &pool);
        for (int i = 0; i < PIECES; i++) {
            pieces[i] = random_piece(&rng);
            put(live, s, &pieces[i]);
            for (uint64_t n = fly_rng_below(&rng, 6); n > 0; n--)
                if (fly_engine_step(live) != FLY_OK)
                    break;
            if (fly_rng_below(&rng, 3) == 0)
                fly_engine_epoch(live);
            if (i % 12 != 11 && i + 1 < PIECES)
                continue;
            settle_down(live);
            fly_engine_epoch(live);
            batch = open_with(&graph, profile, &serial);
            for (int j = i; j >= 0; j--)
                put(batch, s, &pieces[j]);
            settle_down(batch);
            fly_engine_epoch(batch);
            same_communities(live, batch, profile == FLY_PROFILE_ROBUST);
            same_communities(live, batch, profile == FLY_PROFILE_ROBUST); /* asking changed nothing */
            for (int m = 0; m < FLY_MODALITIES; m++) {
                struct fly_graph_view view;

                fly_engine_graph(live, (enum fly_modality)m, &view);
                told += view.told;
                chips += view.chips;
            }
            fly_engine_close(&batch);
        }
        fly_engine_close(&live);
        free(s);
    }
    assert_true(told > 10 && chips > 500); /* or nothing was compared */
}

/* Two engines that are handed the same calls show the same maps after each epoch, whatever their threads, and
 * whether or not one of them was asked for exact maps and curves meanwhile. */
static void questions_change_nothing(enum fly_profile profile)
{
    struct pool_exec threads = {.width = 2};
    struct fly_exec serial = fly_exec_serial(), pool = pool_exec(&threads);
    struct scene *s = scene_make(9);
    struct fly_rng rng = {77};
    struct fly_engine *quiet = open_with(&usual, profile, &serial);
    struct fly_engine *asked = open_with(&usual, profile, &pool);
    static struct exact exact;
    int labelled = 0;

    for (int i = 0; i < 120; i++) {
        struct piece piece = random_piece(&rng);
        uint64_t steps = fly_rng_below(&rng, 5);

        put(quiet, s, &piece);
        put(asked, s, &piece);
        while (steps-- > 0)
            assert_int_equal(fly_engine_step(quiet), fly_engine_step(asked));
        if (!fly_engine_busy(asked) && fly_engine_has_graph(asked, FLY_EDS))
            ask(asked, FLY_ENSEMBLE, &exact);
        if (i % 4 == 0) {
            struct fly_graph_point points[3] = {{.threshold = 0.2}, {.threshold = 0.6}, {.threshold = 0.95}};

            assert_int_equal(fly_engine_curve(asked, FLY_EDS, points, 3), FLY_OK);
        }
        assert_int_equal(fly_engine_epoch(quiet), fly_engine_epoch(asked));
        for (int m = 0; m < FLY_MODALITIES; m++) {
            struct fly_map_view x, y;

            fly_engine_map(quiet, FLY_COMMUNITY, (enum fly_modality)m, &x);
            fly_engine_map(asked, FLY_COMMUNITY, (enum fly_modality)m, &y);
            assert_memory_equal(x.labels, y.labels, CHIPS * sizeof *x.labels);
            assert_memory_equal(x.confidence, y.confidence, CHIPS * sizeof *x.confidence);
            assert_memory_equal(x.age, y.age, CHIPS * sizeof *x.age);
            for (int k = 0; k < CHIPS; k++)
                labelled += x.labels[k] >= 0;
        }
    }
    assert_true(labelled > 1000);
    fly_engine_close(&quiet);
    fly_engine_close(&asked);
    free(s);
}

static void threads_and_questions_change_nothing(void **state)
{
    (void)state;
    questions_change_nothing(FLY_PROFILE_PAPER);
    questions_change_nothing(FLY_PROFILE_ROBUST);
}

/* Groups the two maps differently called but the same? */
static void same_partition(const int32_t *a, const int32_t *b)
{
    for (int i = 0; i < CHIPS; i++) {
        assert_int_equal(a[i] < 0 ? a[i] : 0, b[i] < 0 ? b[i] : 0);
        for (int j = 0; j < i && a[i] >= 0; j++)
            if (a[j] >= 0)
                assert_int_equal(a[i] == a[j], b[i] == b[j]);
    }
}

static void final_maps_are_the_exact_ones(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(4);
    struct fly_engine *e = open_with(&usual, FLY_PROFILE_ROBUST, &serial);
    static struct exact exact;

    (void)state;
    for (int64_t f = 0; f < FRAMES; f++)
        for (int row = 0; row < ROWS; row++) {
            for (int eds = 0; eds < 2; eds++)
                put(e, s, &(struct piece){.eds = eds, .frame = f, .rect = {row * SMALL, 0, SMALL, W}});
            fly_engine_step(e);
            fly_engine_epoch(e);
        }
    fly_engine_finish(e);
    think(e);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_map_view view;

        ask(e, (enum fly_modality)m, &exact);
        fly_engine_map(e, FLY_COMMUNITY, (enum fly_modality)m, &view);
        same_partition(view.labels, exact.labels);
        assert_memory_equal(view.confidence, exact.confidence, sizeof exact.confidence);
        assert_true(exact.view.told && exact.view.communities >= 2);
    }
    fly_engine_close(&e);
    free(s);
}

static void a_poor_spectrum_stands_aside(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_graph_config graph = usual;
    struct scene *s = scene_make(5);
    struct fly_engine *e;
    struct fly_map_view view[FLY_MODALITIES];

    (void)state;
    graph.min_counts = 100000;
    e = open_with(&graph, FLY_PROFILE_ROBUST, &serial);
    for (int eds = 0; eds < 2; eds++)
        put(e, s, &(struct piece){.eds = eds, .rect = {0, 0, H - SMALL, W}});
    think(e);
    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_map(e, FLY_COMMUNITY, (enum fly_modality)m, &view[m]);
    for (int k = 0; k < CHIPS; k++) {
        int there = k / COLS < ROWS - 1;

        assert_int_equal(view[FLY_EDS].labels[k], there ? FLY_LABEL_TOO_LITTLE : FLY_LABEL_PENDING);
        assert_int_equal(view[FLY_ENSEMBLE].labels[k], there ? FLY_LABEL_TOO_LITTLE : FLY_LABEL_PENDING);
        assert_true(there ? view[FLY_HAADF].labels[k] >= 0 : view[FLY_HAADF].labels[k] == FLY_LABEL_PENDING);
        assert_true(isnan(view[FLY_EDS].confidence[k]));
    }
    fly_engine_close(&e);
    free(s);
}

static void a_change_of_the_graph_acts_at_once(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(6);
    struct fly_engine *e = open_with(&usual, FLY_PROFILE_PAPER, &serial), *fresh;
    struct fly_graph_config graph = usual;
    struct fly_graph_view view;
    struct fly_map_view haadf, ensemble;

    (void)state;
    for (int eds = 0; eds < 2; eds++)
        put(e, s, &(struct piece){.eds = eds, .rect = {0, 0, H, W}});
    think(e);
    graph.rule = FLY_THRESHOLD_FIXED;
    graph.fixed = 0.25;
    assert_int_equal(fly_engine_set_graph(e, &graph), FLY_OK);
    fly_engine_epoch(e);
    fly_engine_graph(e, FLY_EDS, &view);
    assert_true(view.threshold == 0.25);
    graph.weights[1] = 0.0;
    assert_int_equal(fly_engine_set_graph(e, &graph), FLY_OK);
    think(e);
    fly_engine_map(e, FLY_COMMUNITY, FLY_HAADF, &haadf);
    fly_engine_map(e, FLY_COMMUNITY, FLY_ENSEMBLE, &ensemble);
    same_partition(haadf.labels, ensemble.labels);
    /* The same as if it had been so from the start. */
    fresh = open_with(&graph, FLY_PROFILE_PAPER, &serial);
    for (int eds = 0; eds < 2; eds++)
        put(fresh, s, &(struct piece){.eds = eds, .rect = {0, 0, H, W}});
    think(fresh);
    same_communities(e, fresh, 0);
    graph.resolution = 0;
    assert_int_equal(fly_engine_set_graph(e, &graph), FLY_ERANGE);
    graph = usual;
    graph.binary = 1;
    assert_int_equal(fly_engine_set_graph(e, &graph), FLY_ERANGE);
    graph = usual;
    graph.weights[0] = graph.weights[1] = 0.0;
    assert_int_equal(fly_engine_set_graph(e, &graph), FLY_ERANGE);
    fly_engine_graph(e, FLY_EDS, &view);
    assert_true(view.threshold == 0.25);
    fly_engine_close(&fresh);
    fly_engine_close(&e);
    free(s);
}

/* Chips that a shift leaves incomplete leave the graphs, and come back. */
static void what_is_taken_back_leaves_the_graph(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(8);
    struct fly_engine *e = open_with(&usual, FLY_PROFILE_PAPER, &serial), *batch;
    struct fly_graph_view before, after;

    (void)state;
    for (int eds = 0; eds < 2; eds++)
        put(e, s, &(struct piece){.eds = eds, .rect = {0, 0, H, W}});
    think(e);
    fly_engine_graph(e, FLY_ENSEMBLE, &before);
    assert_int_equal(before.chips, CHIPS);
    assert_int_equal(fly_engine_shift(e, 0, 5, 0), FLY_OK);
    think(e);
    fly_engine_graph(e, FLY_ENSEMBLE, &after);
    assert_true(after.chips < before.chips && after.chips > 0);
    batch = open_with(&usual, FLY_PROFILE_PAPER, &serial);
    assert_int_equal(fly_engine_shift(batch, 0, 5, 0), FLY_OK);
    for (int eds = 0; eds < 2; eds++)
        put(batch, s, &(struct piece){.eds = eds, .rect = {0, 0, H, W}});
    think(batch);
    same_communities(e, batch, 0);
    fly_engine_close(&batch);
    fly_engine_close(&e);
    free(s);
}

/* A scan that comes once compares each pair once in each graph, an idle engine does nothing. */
static void work_is_counted_and_bounded(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(3);
    struct fly_graph_config graph = usual;
    struct fly_engine *e;
    struct fly_engine_counts counts, later;

    (void)state;
    graph.min_counts = 0;
    e = open_with(&graph, FLY_PROFILE_ROBUST, &serial);
    for (int row = 0; row < ROWS; row++) {
        for (int eds = 0; eds < 2; eds++)
            put(e, s, &(struct piece){.eds = eds, .rect = {row * SMALL, 0, SMALL, W}});
        think(e);
    }
    fly_engine_count(e, &counts);
    assert_int_equal(counts.pairs_compared, 3 * CHIPS * (CHIPS - 1) / 2);
    assert_int_equal(counts.graph_updates, ROWS);
    assert_int_equal(counts.not_compared, 0);
    assert_true(counts.codes_changed >= 3 * CHIPS * (CHIPS - 1) / 2);
    assert_true(counts.nodes_moved > 0 && counts.nodes_moved < counts.nodes_visited);
    think(e);
    fly_engine_count(e, &later);
    assert_int_equal(later.nodes_visited, counts.nodes_visited);
    assert_int_equal(later.pairs_compared, counts.pairs_compared);
    assert_int_equal(later.epochs, counts.epochs + 1);
    fly_engine_close(&e);
    free(s);
}

/* Frames of a scan, thought about row by row: at every fifth epoch no modality is 0.005 below its own cold best of
 * 8 (algorithms A4). That no chip could do better elsewhere (A5) is test_live's. */
static void the_answer_in_hand_is_a_good_one(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_louvain_config cold = fly_louvain_config_default();
    int32_t columns = fly_louvain_columns(CHIPS);
    int compared = 0;

    (void)state;
    cold.orders = 8;
    for (uint64_t seed = 11; seed <= 14; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_engine *e = open_with(&usual, FLY_PROFILE_ROBUST, &serial);
        int epochs = 0;

        for (int64_t f = 0; f < FRAMES; f++)
            for (int row = 0; row < ROWS; row++) {
                for (int eds = 0; eds < 2; eds++)
                    put(e, s, &(struct piece){.eds = eds, .frame = f, .rect = {row * SMALL, 0, SMALL, W}});
                settle_down(e);
                fly_engine_epoch(e);
                if (++epochs % 5)
                    continue;
                for (int m = 0; m < FLY_MODALITIES; m++) {
                    struct fly_dense dense = fly_affinity_dense(fly_engine_affinity(e, (enum fly_modality)m));
                    struct fly_graph_view view;
                    struct fly_louvain louvain;
                    struct fly_arena arena;

                    fly_engine_graph(e, (enum fly_modality)m, &view);
                    assert_int_equal(fly_arena_init(&arena, fly_louvain_need(CHIPS, columns) +
                                                    fly_modularity_need(CHIPS), NULL, "test"), FLY_OK);
                    fly_louvain_init(&louvain, CHIPS, columns, &arena);
                    assert_int_equal(fly_louvain_cold(&louvain, &dense, &cold), FLY_OK);
                    fly_louvain_finish(&louvain);
                    if (view.chips >= 2) {
                        assert_true(view.modularity >= louvain.q - 0.005);
                        compared++;
                    }
                    fly_arena_fini(&arena);
                }
            }
        fly_engine_close(&e);
        free(s);
    }
    assert_true(compared > 40);
}

static void without_graphs_there_are_no_communities(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine *e = open_with(NULL, FLY_PROFILE_ROBUST, &serial);
    struct fly_map_view view;
    static struct exact exact;

    (void)state;
    fly_engine_map(e, FLY_COMMUNITY, FLY_EDS, &view);
    assert_null(view.labels);
    assert_false(fly_engine_has_graph(e, FLY_EDS));
    assert_int_equal(fly_engine_exact(e, FLY_EDS, exact.labels, exact.confidence, &exact.view), FLY_ERANGE);
    assert_int_equal(fly_engine_set_graph(e, &usual), FLY_ERANGE);
    fly_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_communities_equal_batch),
        cmocka_unit_test(threads_and_questions_change_nothing),
        cmocka_unit_test(final_maps_are_the_exact_ones),
        cmocka_unit_test(a_poor_spectrum_stands_aside),
        cmocka_unit_test(a_change_of_the_graph_acts_at_once),
        cmocka_unit_test(what_is_taken_back_leaves_the_graph),
        cmocka_unit_test(work_is_counted_and_bounded),
        cmocka_unit_test(the_answer_in_hand_is_a_good_one),
        cmocka_unit_test(without_graphs_there_are_no_communities),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
