#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/graph/community.h"
#include "engine/graph/louvain.h"
#include "tests/support/golden_case.h"
#include "tests/support/own_graph.h"

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

static char *text_of(const char *folder, const char *name)
{
    char path[1024];
    struct bytes file;
    char *text;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!golden_there(path))
        return NULL;
    file = bytes_of_file(path);
    text = calloc(1, file.len + 1);
    memcpy(text, file.at, file.len);
    free(file.at);
    return text;
}

/* Q of our partition, recomputed on the golden graph in double: at least q_best - 0.002 (A3). */
static void assert_as_good(const struct double_graph *d, double threshold, int weighted, double q_best,
                           const char *what)
{
    struct own_graph g = own_graph_of(d, threshold, weighted);
    struct fly_louvain_config config = fly_louvain_config_default();
    struct scene s;
    double q;

    scene_open(&s, d->n, fly_louvain_columns(d->n));
    run_cold(&s, &g.view, &config);
    assert_sound(&s, &g.view, config.resolution);
    q = double_graph_q(d, threshold, weighted, s.louvain.label);
    if (!(q >= q_best - 0.002))
        fail_msg("%s: Q %.6f, golden best %.6f", what, q, q_best);
    scene_close(&s);
    own_graph_free(&g);
}

static int compare_modality(const struct double_graph *d, const char *m, const char *json, const char *p100,
                            const char *what)
{
    char *all = json_object(json, "graph"), *graph = json_object(all, m);
    char *bins = p100 ? json_object(p100, m) : NULL;
    int compared = 0;
    char name[1200];

    for (int version = 1; graph && version <= 2; version++) {
        char key[16];
        char *best;

        snprintf(key, sizeof key, "louvain_m%d", version);
        best = json_object(graph, key);
        snprintf(key, sizeof key, "mode_m%d", version);
        snprintf(name, sizeof name, "%s %s %s", what, m, key);
        if (best) {
            assert_as_good(d, golden_number(graph, key), 1, golden_number(best, "q_best"), name);
            compared++;
        }
        free(best);
    }
    for (int weighted = 0; bins && weighted < 2; weighted++) {
        char *best = json_object(bins, weighted ? "weight" : "binary");

        snprintf(name, sizeof name, "%s %s p100 %s", what, m, weighted ? "weight" : "binary");
        assert_as_good(d, golden_number(bins, "threshold"), weighted, golden_number(best, "q_best"), name);
        free(best);
        compared++;
    }
    free(all);
    free(graph);
    free(bins);
    return compared;
}

/* Every modality of CASE/expected or CASE/expected_squeezenet; how many graphs that were. */
static int compare_case(const char *folder, const char *kind)
{
    char expected[900], features[900], at[32];
    char *params = text_of(folder, "params.json"), *json, *p100;
    struct double_graph emb, spec, eds, mix;
    int32_t n = (int32_t)golden_number(params, "rows") * (int32_t)golden_number(params, "cols");
    int compared;

    snprintf(expected, sizeof expected, "%s/%s", folder, kind);
    snprintf(features, sizeof features, "%s/expected", folder);
    json = text_of(expected, "expected.json");
    p100 = text_of(expected, "p100.json");
    snprintf(at, sizeof at, "at_%s", strstr(params, "\"eds_method\": \"window\"") ? "window" : "fit");
    emb = double_graph_golden(expected, "emb");
    spec = double_graph_spectra(features, n, (int64_t)golden_number(params, "n_ch"));
    eds = double_graph_golden(features, at);
    mix = (struct double_graph){.n = n, .s = malloc((size_t)n * (size_t)n * sizeof(double))};
    for (int64_t p = 0; p < (int64_t)n * n; p++)
        mix.s[p] = 0.5 * (emb.s[p] + spec.s[p]);
    compared = compare_modality(&emb, "emb", json, p100, expected);
    compared += compare_modality(&spec, "spec", json, p100, expected);
    compared += compare_modality(&eds, "at", json, p100, expected);
    compared += compare_modality(&mix, "mix", json, p100, expected);
    free(emb.s);
    free(spec.s);
    free(eds.s);
    free(mix.s);
    free(params);
    free(json);
    free(p100);
    return compared;
}

static void golden_tiny_is_reached(void **state)
{
    assert_int_equal(compare_case(FLY_TEST_DIR "/golden/a_tiny", "expected"), 16);
}

static void golden_cases_are_reached(void **state)
{
    static const char *const cases[] = {"a_tiny", "b_pristine01", "c_defective0", "d_defective01",
                                        "e_size64_tv", "f_gmp_coarse"};

    if (!golden_there(FLY_SHARED_DIR "/golden/a_tiny/params.json"))
        skip();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int net = 0; net < 2; net++) {
            char folder[900];

            snprintf(folder, sizeof folder, "%s/golden/%s", FLY_SHARED_DIR, cases[c]);
            assert_true(compare_case(folder, net ? "expected_squeezenet" : "expected") >= 6);
        }
}

static void golden_edges_are_reached(void **state)
{
    static const char *const names[] = {"two_blocks_isolated", "two_chips", "all_zero", "identical",
                                        "zero_vectors", "duplicates", "signed", "huge_values", "tiny_values"};

    for (size_t t = 0; t < sizeof names / sizeof *names; t++) {
        char folder[900];
        char *json, *graph, *best;
        struct double_graph d;

        snprintf(folder, sizeof folder, "%s/golden/edge/%s", FLY_TEST_DIR, names[t]);
        json = text_of(folder, "expected.json");
        graph = json_object(json, "x");
        d = double_graph_golden(folder, "x");
        for (int version = 1; version <= 2; version++) {
            char key[16];

            snprintf(key, sizeof key, "louvain_m%d", version);
            best = json_object(graph, key);
            snprintf(key, sizeof key, "mode_m%d", version);
            if (best)
                assert_as_good(&d, golden_number(graph, key), 1, golden_number(best, "q_best"), names[t]);
            free(best);
        }
        free(d.s);
        free(graph);
        free(json);
    }
}

static void isolated_chips_stay_alone_beside_two_blocks(void **state)
{
    struct golden best = golden_open(FLY_TEST_DIR "/golden/edge/two_blocks_isolated", "louvain_best_x");
    struct double_graph d = double_graph_golden(FLY_TEST_DIR "/golden/edge/two_blocks_isolated", "x");
    struct own_graph g = own_graph_of(&d, 1e-3, 1);
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_communities c;
    struct fly_arena arena;
    struct scene s;

    assert_int_equal(fly_arena_init(&arena, fly_communities_need(d.n), NULL, "test"), FLY_OK);
    fly_communities_init(&c, d.n, &arena);
    scene_open(&s, d.n, d.n);
    run_cold(&s, &g.view, &config);
    fly_communities_fill(&c, s.louvain.label, d.n);
    for (int32_t i = 0; i < d.n; i++)
        assert_int_equal(c.label[i], (int32_t)double_of(&best.npy, i));
    golden_close(&best);
    scene_close(&s);
    fly_arena_fini(&arena);
    own_graph_free(&g);
    free(d.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tiny_is_reached),
        cmocka_unit_test(golden_cases_are_reached),
        cmocka_unit_test(golden_edges_are_reached),
        cmocka_unit_test(isolated_chips_stay_alone_beside_two_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
