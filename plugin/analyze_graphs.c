/* The affinity graphs of a case, by every rule of the golden definitions (11 to 13), and their communities. */
#include "plugin/analyze_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph/affinity.h"
#include "engine/graph/community.h"
#include "engine/graph/louvain.h"

enum { EMB, SPEC, AT, MIX, GRAPHS };
static const char *const names[GRAPHS] = {"emb", "spec", "at", "mix"};

struct graphs {
    const struct fly_analyze_out *out;
    struct fly_arena arena[MIX];
    struct fly_vectors *vectors[MIX];
    struct fly_exec exec;
    int32_t *all; /* (K) 0 .. K-1 */
};

/* ---- vectors ----------------------------------------------------------------------------------- */

static int open_vectors(struct graphs *g, int which, const struct fly_vectors_config *config)
{
    struct fly_alloc alloc = fly_alloc_system();
    int rc = fly_arena_init(&g->arena[which], fly_vectors_need(config), &alloc, "affinity");

    return rc < 0 ? rc : fly_vectors_open(&g->vectors[which], config, &g->arena[which]);
}

static int put_embeddings(struct graphs *g)
{
    int32_t width;
    const uint8_t *measured;
    const float *emb = fly_engine_comparable(g->out->engine);
    int rc;

    fly_engine_embeddings(g->out->engine, &width, &measured);
    rc = open_vectors(g, EMB, &(struct fly_vectors_config){.kind = FLY_VECTORS_F32, .n_chips = g->out->chips,
                                                               .width = width});

    for (int32_t k = 0; rc == FLY_OK && k < g->out->chips; k++)
        if (measured[k])
            rc = fly_vectors_put_f32(g->vectors[EMB], k, emb + (size_t)k * (size_t)width);
    return rc;
}

static int put_spectra(struct graphs *g)
{
    int32_t channels;
    const uint8_t *measured;
    const uint32_t *spectra = fly_engine_spectra(g->out->engine, &channels, &measured);
    int64_t entries = 0;
    int rc;

    for (size_t i = 0; i < (size_t)g->out->chips * (size_t)channels; i++)
        entries += spectra[i] != 0;
    rc = open_vectors(g, SPEC, &(struct fly_vectors_config){.kind = FLY_VECTORS_COUNTS, .n_chips = g->out->chips,
                                                            .width = channels, .entries_max = entries + 1});
    for (int32_t k = 0; rc == FLY_OK && k < g->out->chips; k++)
        if (measured[k])
            rc = fly_vectors_put_counts(g->vectors[SPEC], k, spectra + (size_t)k * (size_t)channels);
    return rc;
}

static int put_compositions(struct graphs *g)
{
    int32_t n;
    const uint8_t *measured;
    const double *percent = fly_engine_percent(g->out->engine, &n, NULL);
    int rc = open_vectors(g, AT, &(struct fly_vectors_config){.kind = FLY_VECTORS_F64, .n_chips = g->out->chips,
                                                              .width = n});

    fly_engine_spectra(g->out->engine, NULL, &measured);
    for (int32_t k = 0; rc == FLY_OK && k < g->out->chips; k++)
        if (measured[k] && isfinite(percent[(size_t)k * (size_t)n])) /* too few counts: not in the graph */
            rc = fly_vectors_put_f64(g->vectors[AT], k, percent + (size_t)k * (size_t)n);
    return rc;
}

/* ---- one graph by one rule --------------------------------------------------------------------- */

struct one {
    struct fly_arena arena;
    struct fly_affinity *graph;
};

static int open_graph(struct graphs *g, struct one *one, int which, enum fly_threshold_rule rule, double fixed,
                      int binary)
{
    struct fly_affinity_config config = {.a = g->vectors[which == MIX ? EMB : which],
                                         .b = which == MIX ? g->vectors[SPEC] : NULL,
                                         .weight_a = which == MIX ? 0.5 : 1.0,
                                         .rule = rule,
                                         .fixed = fixed,
                                         .binary = binary};
    struct fly_alloc alloc = fly_alloc_system();
    int rc = fly_arena_init(&one->arena, fly_affinity_need(&config), &alloc, "affinity");

    if (rc == FLY_OK)
        rc = fly_affinity_open(&one->graph, &config, &one->arena);
    if (rc < 0)
        return rc;
    fly_affinity_update(&one->graph, 1, g->all, g->out->chips, &g->exec);
    fly_affinity_settle(&one->graph, 1, 1, &g->exec);
    return FLY_OK;
}

/* Cold, the best of several orders, ids by first appearance: the canonical partition. Writes it as `file`. */
static int find_communities(struct graphs *g, const struct one *one, const char *file, double *q, int32_t *count)
{
    struct fly_dense dense = fly_affinity_dense(one->graph);
    struct fly_louvain_config config = fly_louvain_config_default();
    int32_t columns = fly_louvain_columns(dense.n);
    struct fly_communities communities;
    struct fly_alloc alloc = fly_alloc_system();
    struct fly_louvain louvain;
    struct fly_arena arena;
    int rc = fly_arena_init(&arena, fly_size_add(fly_louvain_need(dense.n, columns), fly_communities_need(dense.n)),
                            &alloc, "communities");

    if (rc < 0)
        return rc;
    fly_louvain_init(&louvain, dense.n, columns, &arena);
    fly_communities_init(&communities, dense.n, &arena);
    rc = fly_louvain_cold(&louvain, &dense, &config);
    if (rc == FLY_OK) {
        fly_louvain_finish(&louvain);
        fly_communities_fill(&communities, louvain.label, dense.n);
        *q = louvain.q;
        *count = communities.count;
        rc = fly_analyze_npy(g->out, file, FLY_NPY_I32, 1, (int64_t[]){dense.n}, communities.label);
    }
    fly_arena_fini(&arena);
    return rc;
}

static void tell_partition(struct fly_json *json, const char *key, double q, int32_t count)
{
    fly_json_key(json, key);
    fly_json_object(json);
    fly_json_key(json, "q_best");
    fly_json_f64(json, q);
    fly_json_key(json, "communities_best");
    fly_json_int(json, count);
    fly_json_end(json);
}

static void tell_f64(struct fly_json *json, const char *key, double value)
{
    fly_json_key(json, key);
    fly_json_f64(json, value);
}

static void tell_int(struct fly_json *json, const char *key, int64_t value)
{
    fly_json_key(json, key);
    fly_json_int(json, value);
}

/* ---- the rules --------------------------------------------------------------------------------- */

/* All similarities, their M1, and row sums; the M1 is handed on. */
static int write_similarities(struct graphs *g, const struct one *one, const char *name, struct fly_m1 *m1)
{
    int64_t k = g->out->chips, pairs = k * (k - 1) / 2;
    float *f32 = malloc(((size_t)pairs + 1) * sizeof *f32);
    double *f64 = malloc(((size_t)pairs + 1) * sizeof *f64), *sums = calloc((size_t)k, sizeof *sums);
    char file[64];
    int rc = f32 && f64 && sums ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for %lld similarities", (long long)pairs);

    if (rc == FLY_OK) {
        pairs = fly_affinity_upper(one->graph, f32, f64, &g->exec);
        fly_m1_of(m1, f64, pairs, FLY_M1_BINS);
        fly_affinity_sums(one->graph, sums);
        snprintf(file, sizeof file, "affinity_upper_%s", name);
        rc = fly_analyze_npy(g->out, file, FLY_NPY_F32, 1, (int64_t[]){pairs}, f32);
        snprintf(file, sizeof file, "affinity_rowsum_%s", name);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(g->out, file, FLY_NPY_F64, 1, (int64_t[]){k}, sums);
        snprintf(file, sizeof file, "hist_m1_%s", name);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(g->out, file, FLY_NPY_I64, 1, (int64_t[]){m1->n_bins}, m1->bins);
    }
    free(f32);
    free(f64);
    free(sums);
    return rc;
}

/* By p100 with weighted edges; histograms of that and of m2 on the way, for which edges do not matter. */
static int by_p100(struct graphs *g, struct fly_json *json, int which, struct fly_m1 *m1, double *mode_m2)
{
    int64_t p100[FLY_P100_BINS], m2[FLY_M2_BINS];
    struct one one = {0}, binary = {0};
    char file[64];
    double q;
    int32_t count;
    int rc = open_graph(g, &one, which, FLY_THRESHOLD_P100, 0.0, 0);

    if (rc == FLY_OK)
        rc = write_similarities(g, &one, names[which], m1);
    if (rc == FLY_OK) {
        fly_histogram_p100(fly_affinity_histogram(one.graph), p100);
        fly_histogram_m2(fly_affinity_histogram(one.graph), m2);
        *mode_m2 = -1.0 + (fly_fullest(m2, FLY_M2_BINS) + 0.5) / 1024.0;
        snprintf(file, sizeof file, "hist_p100_%s", names[which]);
        rc = fly_analyze_npy(g->out, file, FLY_NPY_I64, 1, (int64_t[]){FLY_P100_BINS}, p100);
        snprintf(file, sizeof file, "hist_m2_%s", names[which]);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(g->out, file, FLY_NPY_I64, 1, (int64_t[]){FLY_M2_BINS}, m2);
    }
    if (rc == FLY_OK) {
        fly_json_key(json, "p100");
        fly_json_object(json);
        tell_int(json, "code", fly_affinity_bin(one.graph));
        tell_f64(json, "threshold", fly_affinity_threshold(one.graph));
        tell_int(json, "edges", fly_affinity_edges(one.graph));
        snprintf(file, sizeof file, "louvain_p100_weight_%s", names[which]);
        rc = find_communities(g, &one, file, &q, &count);
    }
    if (rc == FLY_OK) {
        tell_partition(json, "weight", q, count);
        rc = open_graph(g, &binary, which, FLY_THRESHOLD_P100, 0.0, 1);
    }
    if (rc == FLY_OK) {
        snprintf(file, sizeof file, "louvain_p100_binary_%s", names[which]);
        rc = find_communities(g, &binary, file, &q, &count);
    }
    if (rc == FLY_OK) {
        tell_partition(json, "binary", q, count);
        fly_json_end(json);
    }
    fly_arena_fini(&one.arena);
    fly_arena_fini(&binary.arena);
    return rc;
}

static int by_m1(struct graphs *g, struct fly_json *json, int which, const struct fly_m1 *m1)
{
    int64_t k = g->out->chips;
    double *strength = calloc((size_t)k, sizeof *strength), q;
    int64_t *degree = calloc((size_t)k, sizeof *degree);
    struct one one = {0};
    char file[64];
    int32_t count;
    int rc = strength && degree ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for degrees");

    if (rc == FLY_OK)
        rc = open_graph(g, &one, which, FLY_THRESHOLD_FIXED, m1->mode, 0);
    for (int32_t i = 0; rc == FLY_OK && i < k; i++) {
        strength[i] = fly_affinity_strength(one.graph, i);
        degree[i] = fly_affinity_edges_of(one.graph, i);
    }
    snprintf(file, sizeof file, "strength_m1_%s", names[which]);
    if (rc == FLY_OK)
        rc = fly_analyze_npy(g->out, file, FLY_NPY_F64, 1, (int64_t[]){k}, strength);
    snprintf(file, sizeof file, "degree_m1_%s", names[which]);
    if (rc == FLY_OK)
        rc = fly_analyze_npy(g->out, file, FLY_NPY_I64, 1, (int64_t[]){k}, degree);
    snprintf(file, sizeof file, "louvain_%s", names[which]);
    if (rc == FLY_OK)
        rc = find_communities(g, &one, file, &q, &count);
    if (rc == FLY_OK) {
        tell_f64(json, "mode_m1", m1->mode);
        tell_f64(json, "bin_width_m1", m1->width);
        tell_int(json, "edges_m1", fly_affinity_edges(one.graph));
        tell_partition(json, "louvain_m1", q, count);
    }
    free(strength);
    free(degree);
    fly_arena_fini(&one.arena);
    return rc;
}

static int by_m2(struct graphs *g, struct fly_json *json, int which, double mode)
{
    struct one one = {0};
    char file[64];
    int32_t count;
    double q;
    int rc = open_graph(g, &one, which, FLY_THRESHOLD_M2, 0.0, 0);

    snprintf(file, sizeof file, "louvain_m2_%s", names[which]);
    if (rc == FLY_OK)
        rc = find_communities(g, &one, file, &q, &count);
    if (rc == FLY_OK) {
        tell_f64(json, "mode_m2", mode);
        tell_int(json, "edges_m2", fly_affinity_edges(one.graph));
        tell_partition(json, "louvain_m2", q, count);
    }
    fly_arena_fini(&one.arena);
    return rc;
}

int fly_analyze_graphs(const struct fly_analyze_out *out, struct fly_json *json)
{
    struct graphs g = {.out = out, .exec = fly_exec_serial()};
    struct fly_m1 *m1 = malloc(sizeof *m1);
    double mode_m2;
    int rc = FLY_OK;

    g.all = malloc((size_t)out->chips * sizeof *g.all);
    if (!g.all || !m1)
        rc = fly_fail(FLY_ENOMEM, "no memory for the graphs");
    for (int32_t k = 0; rc == FLY_OK && k < out->chips; k++)
        g.all[k] = k;
    if (rc == FLY_OK)
        rc = put_embeddings(&g);
    if (rc == FLY_OK)
        rc = put_spectra(&g);
    if (rc == FLY_OK)
        rc = put_compositions(&g);
    if (rc == FLY_OK) {
        fly_json_key(json, "graph");
        fly_json_object(json);
        for (int which = 0; rc == FLY_OK && which < GRAPHS; which++) {
            fly_json_key(json, names[which]);
            fly_json_object(json);
            rc = by_p100(&g, json, which, m1, &mode_m2);
            if (rc == FLY_OK)
                rc = by_m1(&g, json, which, m1);
            if (rc == FLY_OK)
                rc = by_m2(&g, json, which, mode_m2);
            fly_json_end(json);
        }
        fly_json_end(json);
    }
    for (int v = 0; v < MIX; v++)
        fly_arena_fini(&g.arena[v]);
    free(g.all);
    free(m1);
    return rc;
}
