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
#include "engine/graph/code_row.h"
#include "engine/graph/wide.h"
#include "tests/support/alike.h"
#include "tests/support/pool_exec.h"

/* ---- three graphs and a history ----------------------------------------------------------------- */

enum { CHIPS = 150, WIDE = 24, CHANNELS = 60, GRAPHS = 4 };

/* What a chip holds now, to make the batch from. */
struct world {
    float emb[CHIPS][WIDE];
    uint32_t spec[CHIPS][CHANNELS];
    int has_emb[CHIPS], has_spec[CHIPS];
    struct alike emb_v, spec_v, graph[GRAPHS];
    struct fly_affinity *graphs[GRAPHS]; /* emb, spec, mix, binary mix */
};

static void world_graphs(struct world *w, int debiased, enum fly_threshold_rule rule, double fixed)
{
    w->emb_v = alike_vectors(FLY_VECTORS_F32, CHIPS, WIDE, 0, 0);
    w->spec_v = alike_vectors(FLY_VECTORS_COUNTS, CHIPS, CHANNELS, debiased, debiased ? 30 : 0);
    for (int32_t k = 0; k < GRAPHS; k++) {
        struct fly_affinity_config c = {.a = k == 1 ? w->spec_v.vectors : w->emb_v.vectors,
                                        .b = k >= 2 ? w->spec_v.vectors : NULL,
                                        .weight_a = k == 2 ? 0.5 : 0.45, .rule = rule, .fixed = fixed,
                                        .binary = k == 3};

        w->graph[k] = alike_graph(&c);
        w->graphs[k] = w->graph[k].graph;
    }
}

static void world_close(struct world *w)
{
    for (int32_t k = 0; k < GRAPHS; k++)
        alike_close(&w->graph[k]);
    alike_close(&w->emb_v);
    alike_close(&w->spec_v);
}

/* A chip of one of four kinds; sometimes all zero, sometimes equal to another. */
static void draw_emb(struct world *w, struct fly_rng *rng, int32_t chip)
{
    uint64_t how = fly_rng_next(rng) % 20, kind = fly_rng_next(rng) % 4;

    for (int32_t d = 0; d < WIDE; d++) {
        double base = (double)(fly_rng_at(kind << 20 | (uint64_t)d) >> 40) * 0x1p-24;

        w->emb[chip][d] = how == 0 ? 0.0f
                          : how == 1 ? w->emb[(chip + 7) % CHIPS][d]
                          : how == 2 ? (float)(1e30 * (fly_rng_uniform(rng) - 0.5))
                                     : (float)(base + 0.4 * (fly_rng_uniform(rng) - 0.3));
    }
    w->has_emb[chip] = 1;
    assert_int_equal(fly_vectors_put_f32(w->emb_v.vectors, chip, w->emb[chip]), FLY_OK);
}

static void draw_spec(struct world *w, struct fly_rng *rng, int32_t chip)
{
    uint64_t how = fly_rng_next(rng) % 20, kind = fly_rng_next(rng) % 4;

    if (how > 9 && w->has_spec[chip]) { /* a few photons more */
        for (int32_t q = 0; q < 9; q++)
            w->spec[chip][fly_rng_next(rng) % CHANNELS]++;
    } else {
        for (int32_t e = 0; e < CHANNELS; e++) {
            double rate = 3.0 * (double)(fly_rng_at(kind << 30 | (uint64_t)e) >> 40) * 0x1p-24;

            w->spec[chip][e] = how == 0 ? 0 : (uint32_t)(rate * fly_rng_uniform(rng) + fly_rng_uniform(rng));
        }
        if (how == 1)
            w->spec[chip][3] = 5000000; /* past what floats sum exactly, and in several entries */
    }
    w->has_spec[chip] = 1;
    assert_int_equal(fly_vectors_put_counts(w->spec_v.vectors, chip, w->spec[chip]), FLY_OK);
}

static void copy_vectors(struct world *to, const struct world *from)
{
    for (int32_t k = 0; k < CHIPS; k++) {
        if (from->has_emb[k])
            assert_int_equal(fly_vectors_put_f32(to->emb_v.vectors, k, from->emb[k]), FLY_OK);
        if (from->has_spec[k])
            assert_int_equal(fly_vectors_put_counts(to->spec_v.vectors, k, from->spec[k]), FLY_OK);
    }
}

static void the_same_as_batch(struct world *w, int debiased, enum fly_threshold_rule rule, double fixed)
{
    static struct world batch;

    memset(&batch, 0, sizeof batch);
    world_graphs(&batch, debiased, rule, fixed);
    copy_vectors(&batch, w);
    alike_batch(batch.graphs, GRAPHS, CHIPS);
    for (int32_t k = 0; k < GRAPHS; k++)
        assert_true(alike_same(batch.graphs[k], w->graphs[k]));
    world_close(&batch);
}

/* A1: `ops` changes of a random few chips each, in a random order, of one modality or both. */
static void history(struct fly_exec exec, uint64_t seed, int debiased, int32_t ops)
{
    static struct world w;
    struct fly_rng rng = {seed};
    enum fly_threshold_rule rule = FLY_THRESHOLD_P100;
    double fixed = 0.0;

    memset(&w, 0, sizeof w);
    world_graphs(&w, debiased, rule, fixed);
    for (int32_t op = 0; op < ops;) {
        int32_t chips[CHIPS], count = 0, most = fly_rng_next(&rng) % 8 ? 6 : CHIPS;
        int emb = fly_rng_next(&rng) % 3 != 0, spec = fly_rng_next(&rng) % 3 != 0;
        struct fly_affinity *touched[GRAPHS];
        int32_t n_touched = 0, first = (int32_t)(fly_rng_next(&rng) % CHIPS);

        for (int32_t k = 0; k < CHIPS && count < most; k++) {
            int32_t chip = (first + k * 7) % CHIPS; /* 7 and 150 share no factor */

            if (fly_rng_next(&rng) % 3 == 0)
                continue;
            chips[count++] = chip;
            if (fly_rng_next(&rng) % 40 == 0) {
                fly_vectors_drop(w.emb_v.vectors, chip);
                w.has_emb[chip] = 0;
                emb = 1;
                continue;
            }
            if (emb)
                draw_emb(&w, &rng, chip);
            if (spec)
                draw_spec(&w, &rng, chip);
        }
        for (int32_t g = 0; g < GRAPHS; g++)
            if (g == 1 ? spec : g == 0 ? emb : emb | spec)
                touched[n_touched++] = w.graphs[g];
        if (n_touched)
            fly_affinity_update(touched, n_touched, chips, count, &exec);
        op += count;
        if (fly_rng_next(&rng) % 6 == 0) {
            rule = (enum fly_threshold_rule)(fly_rng_next(&rng) % 5);
            fixed = 1.2 * fly_rng_uniform(&rng) - 0.1;
            for (int32_t g = 0; g < GRAPHS; g++)
                assert_int_equal(fly_affinity_rule(w.graphs[g], rule, fixed), FLY_OK);
        }
        if (fly_rng_next(&rng) % 2)
            fly_affinity_settle(w.graphs, GRAPHS, 0, &exec);
        if (op % 50 < count) {
            fly_affinity_settle(w.graphs, GRAPHS, 0, &exec);
            the_same_as_batch(&w, debiased, rule, fixed);
        }
    }
    world_close(&w);
}

static void any_history_ends_in_the_batch_on_one_thread(void **state)
{
    (void)state;
    history(fly_exec_serial(), 11, 0, 6000);
}

static void any_history_ends_in_the_batch_on_two_threads(void **state)
{
    struct pool_exec pool = {.width = 2};

    (void)state;
    history(pool_exec(&pool), 12, 0, 3000);
}

static void debiased_histories_end_in_the_batch_too(void **state)
{
    (void)state;
    history(fly_exec_serial(), 13, 1, 3000);
}

/* ---- against the plain twin --------------------------------------------------------------------- */

static double cosine_ref(const double *x, const double *y, int32_t width, int debiased)
{
    long double xy = 0, xx = 0, yy = 0;

    for (int32_t d = 0; d < width; d++) {
        xy += (long double)x[d] * y[d];
        xx += (long double)x[d] * x[d] - (debiased ? x[d] : 0.0);
        yy += (long double)y[d] * y[d] - (debiased ? y[d] : 0.0);
    }
    return xx > 0 && yy > 0 ? (double)(xy / sqrtl(xx * yy)) : 0.0;
}

/* As the reference rounds, which decides where a cosine is k/100 exactly: unit vectors, fused, in order. */
static double counts_ref(const double *x, const double *y, int32_t width)
{
    double xx = 0.0, yy = 0.0, sum = 0.0;

    for (int32_t e = 0; e < width; e++) {
        xx += x[e] * x[e];
        yy += y[e] * y[e];
    }
    for (int32_t e = 0; xx > 0.0 && yy > 0.0 && e < width; e++)
        sum = fma(x[e] / sqrt(xx), y[e] / sqrt(yy), sum);
    return fmin(sum, 1.0);
}

/* Other rules, and fixed thresholds that are the similarity of a pair or just beside it. */
static void edges_at_any_threshold_are_canonical(struct fly_affinity *graph)
{
    struct fly_exec exec = fly_exec_serial();
    static uint8_t edge[CHIPS * CHIPS];
    struct fly_rng rng = {8};
    int32_t degree[CHIPS];
    double strength[CHIPS];

    for (int32_t turn = 0; turn < 60; turn++) {
        static double s[CHIPS * CHIPS];
        int32_t i = (int32_t)(fly_rng_next(&rng) % CHIPS), j = (int32_t)(fly_rng_next(&rng) % CHIPS);
        double at = fly_affinity_similarity(graph, i, j);
        enum fly_threshold_rule rule = turn < 5 ? (enum fly_threshold_rule)turn : FLY_THRESHOLD_FIXED;

        at = turn % 3 == 0 ? at : nextafter(at, turn % 3 == 1 ? 2.0 : -2.0);
        for (int32_t k = 0; turn == 0 && k < CHIPS * CHIPS; k++)
            s[k] = fly_affinity_similarity(graph, k / CHIPS, k % CHIPS);
        assert_int_equal(fly_affinity_rule(graph, rule, at), FLY_OK);
        fly_affinity_settle(&graph, 1, 1, &exec);
        assert_int_equal(fly_affinity_ref_edges(s, CHIPS, fly_affinity_threshold(graph), edge, degree,
                                                strength), fly_affinity_edges(graph));
        for (int32_t k = 0; k < CHIPS; k++)
            assert_int_equal(degree[k], fly_affinity_edges_of(graph, k));
    }
}

static void state_matches_the_plain_twin(void **state)
{
    static struct world w;
    static double x[GRAPHS][CHIPS][CHIPS];
    struct fly_rng rng = {5};

    (void)state;
    memset(&w, 0, sizeof w);
    world_graphs(&w, 0, FLY_THRESHOLD_P100, 0.0);
    for (int32_t k = 0; k < CHIPS; k++) {
        draw_emb(&w, &rng, k);
        draw_spec(&w, &rng, k);
    }
    alike_batch(w.graphs, GRAPHS, CHIPS);
    for (int32_t i = 0; i < CHIPS; i++)
        for (int32_t j = 0; j < CHIPS; j++) {
            double a[2][WIDE], b[2][CHANNELS];

            for (int32_t d = 0; d < WIDE; d++) {
                a[0][d] = (double)w.emb[i][d];
                a[1][d] = (double)w.emb[j][d];
            }
            for (int32_t e = 0; e < CHANNELS; e++) {
                b[0][e] = w.spec[i][e];
                b[1][e] = w.spec[j][e];
            }
            x[0][i][j] = cosine_ref(a[0], a[1], WIDE, 0);
            x[1][i][j] = counts_ref(b[0], b[1], CHANNELS);
            assert_true(fabs(x[1][i][j] - cosine_ref(b[0], b[1], CHANNELS, 0)) < 1e-14);
            x[2][i][j] = 0.5 * (x[0][i][j] + x[1][i][j]);
            x[3][i][j] = 0.45 * x[0][i][j] + 0.55 * x[1][i][j];
            for (int32_t k = 0; k < GRAPHS; k++)
                assert_true(fabs(x[k][i][j] - fly_affinity_similarity(w.graphs[k], i, j)) < 1e-14);
        }
    for (int32_t k = 0; k < GRAPHS; k++) {
        struct fly_affinity_ref ref;
        struct fly_dense dense = fly_affinity_dense(w.graphs[k]);
        static uint8_t edge[CHIPS * CHIPS];
        int64_t p100[FLY_P100_BINS], edges;
        int32_t degree[CHIPS];
        double strength[CHIPS];

        fly_affinity_ref(&ref, &x[k][0][0], CHIPS);
        fly_histogram_p100(fly_affinity_histogram(w.graphs[k]), p100);
        assert_memory_equal(p100, ref.p100, sizeof p100);
        assert_true(fabs(fly_affinity_mean(w.graphs[k]) - ref.mean) < 1e-12);
        assert_true(fabs(fly_histogram_median(fly_affinity_histogram(w.graphs[k])) - ref.median) < 1e-4);
        edges = fly_affinity_ref_edges(&x[k][0][0], CHIPS, fly_affinity_threshold(w.graphs[k]), edge, degree,
                                       strength);
        assert_int_equal(edges, fly_affinity_edges(w.graphs[k]));
        for (int32_t i = 0; i < CHIPS; i++) {
            assert_int_equal(degree[i], fly_affinity_edges_of(w.graphs[k], i));
            assert_true(fabs(strength[i] - fly_affinity_strength(w.graphs[k], i)) < 5e-5 * CHIPS);
            for (int32_t j = 0; j < CHIPS; j++)
                assert_int_equal(edge[i * CHIPS + j],
                                 dense.bits[(size_t)i * dense.words + (size_t)j / 64] >> (j % 64) & 1);
        }
        assert_true(k == 3 ? dense.m2 == 2 * edges && !dense.weight : dense.m2 > 0);
        edges_at_any_threshold_are_canonical(w.graphs[k]);
    }
    world_close(&w);
}

/* ---- the same bits wherever a pair is computed --------------------------------------------------- */

/* Chips 0 and 1 hold x and y; the others anything. Each row of a block and each width of it gives the
 * same product, and so does the exchange. */
static void places_of(int32_t n_chips, int32_t width, int plain)
{
    struct alike v = alike_vectors(FLY_VECTORS_F32, n_chips, width, 0, 0);
    float *x = malloc((size_t)width * sizeof *x), expect = 0.0f;
    struct fly_rng rng = {3};

    for (int32_t k = 0; k < n_chips; k++) {
        /* x at every third chip, y at the next, so that all columns are tried */
        struct fly_rng own = {k % 3 == 2 ? fly_rng_next(&rng) : (uint64_t)(k % 3)};

        for (int32_t d = 0; d < width; d++)
            x[d] = (float)fly_rng_uniform(&own);
        assert_int_equal(fly_vectors_put_f32(v.vectors, k, x), FLY_OK);
    }
    if (plain)
        fly_vectors_use_plain_loops(v.vectors);
    for (int32_t count = 1; count <= FLY_BLOCK_MAX; count++) {
        int32_t block[FLY_BLOCK_MAX];

        for (int32_t a = 0; a < count; a++)
            block[a] = (a * 4 + count) % n_chips;
        block[count - 1] = count % 2; /* x or y at the end of the block */
        block[count / 2] = count % 2;
        fly_vectors_block(v.vectors, block, count);
        for (int32_t t = 0; t < fly_tile_count(n_chips); t++)
            fly_vectors_fill(v.vectors, t);
        for (int32_t a = 0; a < count; a++)
            for (int32_t j = 0; j < n_chips; j++) {
                float s = fly_vectors_row(v.vectors, a)[j];

                assert_true(fabs((double)s - fly_vectors_similarity(v.vectors, block[a], j)) <=
                            fly_vectors_error(v.vectors));
                if (block[a] % 3 + j % 3 != 1) /* not x with y */
                    continue;
                if (expect == 0.0f)
                    expect = s;
                assert_true(s == expect);
            }
    }
    free(x);
    alike_close(&v);
}

static void a_pair_has_the_same_bits_in_every_place(void **state)
{
    (void)state;
    places_of(70, 10, 0);
    places_of(200, 512, 0);
    places_of(1100, 130, 0);
    places_of(90, 1000, 0);
    places_of(70, 33, 1);
    fly_wide_forbid(1); /* OpenBLAS */
    places_of(70, 10, 0);
    places_of(200, 512, 0);
    places_of(1100, 130, 0);
    fly_wide_forbid(0);
}

/* ---- limits of work ----------------------------------------------------------------------------- */

static void a_row_costs_its_pairs_and_no_more(void **state)
{
    enum { N = 600, R = 34, D = 16 };
    struct alike v = alike_vectors(FLY_VECTORS_F32, N, D, 0, 0), g;
    struct fly_affinity_config config = {.a = v.vectors};
    struct fly_exec exec = fly_exec_serial();
    struct fly_rng rng = {9};

    (void)state;
    g = alike_graph(&config);
    for (int32_t from = 0; from < N; from += R) {
        int32_t count = N - from < R ? N - from : R, chips[R];
        struct fly_affinity_work before = fly_affinity_work(g.graph), after;

        for (int32_t k = 0; k < count; k++) {
            float x[D];

            for (int32_t d = 0; d < D; d++)
                x[d] = (float)fly_rng_uniform(&rng);
            chips[k] = from + k;
            assert_int_equal(fly_vectors_put_f32(v.vectors, from + k, x), FLY_OK);
        }
        fly_affinity_update(&g.graph, 1, chips, count, &exec);
        fly_affinity_settle(&g.graph, 1, 0, &exec);
        after = fly_affinity_work(g.graph);
        assert_int_equal(after.pairs - before.pairs, count * from + count * (count - 1) / 2);
        assert_int_equal(after.codes_changed - before.codes_changed, after.pairs - before.pairs);
        /* The chance that a pair lies as near to an edge as the error is twice 100 times the error. */
        assert_true(after.exact - before.exact <= 20 + (after.pairs - before.pairs) / 50);
    }
    {
        struct fly_affinity_work before = fly_affinity_work(g.graph), after;
        int32_t chips[R];

        for (int32_t k = 0; k < R; k++)
            chips[k] = 3 * k;
        /* Nothing changed: everything is computed and nothing moves. */
        fly_affinity_update(&g.graph, 1, chips, R, &exec);
        fly_affinity_settle(&g.graph, 1, 0, &exec);
        after = fly_affinity_work(g.graph);
        assert_int_equal(after.pairs - before.pairs, R * N - R * (R + 1) / 2);
        assert_int_equal(after.codes_changed, before.codes_changed);
        assert_int_equal(after.edges_flipped, before.edges_flipped);
    }
    alike_close(&g);
    alike_close(&v);
}

/* ---- counts ------------------------------------------------------------------------------------- */

static uint32_t poisson(struct fly_rng *rng, double mean)
{
    double left = exp(-mean), product = fly_rng_uniform(rng);
    uint32_t k = 0;

    for (; product > left; k++)
        product *= fly_rng_uniform(rng);
    return k;
}

/* A spectrum like that of a perovskite: a broad background and peaks; sum 1. Two phases. */
static void phase_rates(double *p, int32_t channels, int32_t phase)
{
    double sum = 0.0;

    for (int32_t e = 0; e < channels; e++) {
        p[e] = exp(-e / 150.0);
        for (int32_t peak = 0; peak < 6; peak++) {
            double at = 30.0 + 60.0 * peak + (peak % 2 ? 11.0 * phase : 0.0), off = (e - at) / 3.0;

            p[e] += (4.0 - 0.5 * peak) * exp(-0.5 * off * off);
        }
        sum += p[e];
    }
    for (int32_t e = 0; e < channels; e++)
        p[e] /= sum;
}

/* A14: counts of 500 and more, doses mixed. */
static void debiased_cosines_are_unbiased(void **state)
{
    enum { N = 240, E = 400 };
    const double doses[3] = {500.0, 1500.0, 8000.0};
    struct alike v = alike_vectors(FLY_VECTORS_COUNTS, N, E, 1, 0);
    struct fly_rng rng = {21};
    double p[2][E], truth[2][2] = {{0}}, mean[3][3] = {{0}}, n[3][3] = {{0}}, across = 0.0, n_across = 0.0;

    (void)state;
    for (int32_t phase = 0; phase < 2; phase++)
        phase_rates(p[phase], E, phase);
    for (int32_t a = 0; a < 2; a++)
        for (int32_t b = 0; b < 2; b++)
            truth[a][b] = cosine_ref(p[a], p[b], E, 0);
    for (int32_t k = 0; k < N; k++) {
        uint32_t x[E];

        for (int32_t e = 0; e < E; e++)
            x[e] = poisson(&rng, doses[k % 3] * p[k / 3 % 2][e]);
        assert_int_equal(fly_vectors_put_counts(v.vectors, k, x), FLY_OK);
    }
    for (int32_t i = 0; i < N; i++)
        for (int32_t j = 0; j < i; j++) {
            double s = fly_vectors_similarity(v.vectors, i, j);

            if (i / 3 % 2 == j / 3 % 2) {
                mean[i % 3][j % 3] += s;
                n[i % 3][j % 3] += 1.0;
            } else {
                across += s;
                n_across += 1.0;
            }
        }
    for (int32_t a = 0; a < 3; a++)
        for (int32_t b = 0; b < 3; b++)
            assert_true(fabs(mean[a][b] / n[a][b] - 1.0) < 0.005);
    assert_true(fabs(across / n_across - truth[0][1]) < 0.005);
    {
        double needed = fly_vectors_counts_needed(v.vectors), sum = 0.0;

        for (int32_t e = 0; e < E; e++)
            sum += p[0][e] * p[0][e] / 2.0 + p[1][e] * p[1][e] / 2.0;
        assert_true(fabs(needed * sum / 3.0 - 1.0) < 0.02);
    }
    alike_close(&v);
}

/* Half of the chips thinned: within a phase the pairs stay above the mode of the debiased graph as often
 * as before, where the raw graph loses them. */
static void thinning_does_not_move_the_debiased_graph(void **state)
{
    enum { N = 240, E = 400 };
    double kept[2][2], p[2][E]; /* debiased, thinned */
    struct fly_exec exec = fly_exec_serial();

    (void)state;
    for (int32_t phase = 0; phase < 2; phase++)
        phase_rates(p[phase], E, phase);
    for (int32_t debiased = 0; debiased < 2; debiased++)
        for (int32_t thinned = 0; thinned < 2; thinned++) {
            struct alike v = alike_vectors(FLY_VECTORS_COUNTS, N, E, debiased, 0), g;
            struct fly_affinity_config config = {.a = v.vectors, .rule = FLY_THRESHOLD_FIXED, .fixed = 0.9};
            struct fly_rng rng = {77};
            double inside = 0.0, outside = 0.0;

            g = alike_graph(&config);
            for (int32_t k = 0; k < N; k++) {
                uint32_t x[E];
                double dose = thinned && k % 2 ? 4000.0 / 8.0 : 4000.0;

                for (int32_t e = 0; e < E; e++)
                    x[e] = poisson(&rng, dose * p[k / 2 % 2][e]);
                assert_int_equal(fly_vectors_put_counts(v.vectors, k, x), FLY_OK);
            }
            alike_batch(&g.graph, 1, N);
            fly_affinity_settle(&g.graph, 1, 1, &exec);
            for (int32_t i = 0; i < N; i++)
                for (int32_t j = 0; j < i; j++) {
                    struct fly_dense d = fly_affinity_dense(g.graph);
                    int edge = (int)(d.bits[(size_t)i * d.words + (size_t)j / 64] >> (j % 64) & 1);

                    if (i / 2 % 2 == j / 2 % 2)
                        inside += edge;
                    else
                        outside += edge;
                }
            assert_true(outside == 0.0);
            kept[debiased][thinned] = inside / (2.0 * (N / 2) * (N / 2 - 1) / 2.0);
            alike_close(&g);
            alike_close(&v);
        }
    assert_true(kept[1][0] > 0.99 && kept[1][1] > 0.95);
    assert_true(kept[0][1] < 0.7);
}

static void too_few_counts_are_kept_out_until_there_are_enough(void **state)
{
    struct alike v = alike_vectors(FLY_VECTORS_COUNTS, 3, 4, 1, 10), g;
    struct fly_affinity_config config = {.a = v.vectors};
    struct fly_exec exec = fly_exec_serial();
    const uint32_t many[4] = {20, 1, 0, 3}, few[4] = {4, 1, 0, 1};
    const int32_t chips[3] = {0, 1, 2};

    (void)state;
    g = alike_graph(&config);
    assert_int_equal(fly_vectors_put_counts(v.vectors, 0, many), FLY_OK);
    assert_int_equal(fly_vectors_put_counts(v.vectors, 1, few), FLY_OK);
    assert_int_equal(fly_vectors_put_counts(v.vectors, 2, many), FLY_OK);
    fly_affinity_update(&g.graph, 1, chips, 3, &exec);
    fly_affinity_settle(&g.graph, 1, 0, &exec);
    assert_int_equal(fly_vectors_too_little(v.vectors, 1), 1);
    assert_int_equal(fly_vectors_usable(v.vectors, 1), 0);
    assert_int_equal(fly_affinity_count(g.graph), 2);
    assert_int_equal(fly_affinity_edges(g.graph), 1);
    assert_int_equal(fly_affinity_edges_of(g.graph, 1), 0);
    assert_int_equal(fly_affinity_bin(g.graph), 99); /* above 1, counted in the last bin */
    assert_true(fly_affinity_similarity(g.graph, 0, 2) > 1.0);
    assert_int_equal(fly_vectors_put_counts(v.vectors, 1, many), FLY_OK);
    fly_affinity_update(&g.graph, 1, chips + 1, 1, &exec);
    assert_int_equal(fly_affinity_count(g.graph), 3);
    assert_int_equal(fly_affinity_edges(g.graph), 3);
    alike_close(&g);
    alike_close(&v);
}

/* ---- jumps -------------------------------------------------------------------------------------- */

/* Chips in the plane, at angles whose cosine is asked for. */
static void turn(struct alike *v, int32_t chip, double cosine, double sign)
{
    float x[2] = {(float)cosine, (float)(sign * sqrt(1.0 - cosine * cosine))};

    assert_int_equal(fly_vectors_put_f32(v->vectors, chip, x), FLY_OK);
}

static void a_jump_of_the_mode_is_told_and_hysteresis_waits_for_it(void **state)
{
    struct fly_exec exec = fly_exec_serial();

    (void)state;
    for (int32_t patient = 0; patient < 2; patient++) {
        struct alike v = alike_vectors(FLY_VECTORS_F32, 40, 2, 0, 0), g;
        struct fly_affinity_config config = {.a = v.vectors, .hysteresis = patient};
        struct fly_threshold_jump jump;
        int32_t chips[40];

        g = alike_graph(&config);
        for (int32_t k = 0; k < 40; k++)
            chips[k] = k;
        for (int32_t k = 0; k < 6; k++)
            turn(&v, k, 1.0, 1.0);
        fly_affinity_update(&g.graph, 1, chips, 6, &exec);
        fly_affinity_settle(&g.graph, 1, 0, &exec);
        assert_int_equal(fly_affinity_bin(g.graph), 99);
        assert_int_equal(fly_affinity_jump(g.graph, &jump), 0);
        for (int32_t k = 6; k < 14; k++) { /* 48 pairs at 0.505, 15 + 28 at 1 */
            turn(&v, k, 0.505, 1.0);
        }
        fly_affinity_update(&g.graph, 1, chips + 6, 8, &exec);
        fly_affinity_settle(&g.graph, 1, 0, &exec);
        assert_int_equal(fly_affinity_bin(g.graph), patient ? 99 : 50);
        assert_int_equal(fly_affinity_jump(g.graph, &jump), !patient);
        fly_affinity_settle(&g.graph, 1, 0, &exec);
        assert_int_equal(fly_affinity_bin(g.graph), 50);
        if (patient)
            assert_int_equal(fly_affinity_jump(g.graph, &jump), 1);
        assert_int_equal(jump.from_bin, 99);
        assert_int_equal(jump.to_bin, 50);
        assert_true(jump.from == 0.99 && jump.to == 0.5);
        assert_int_equal(fly_affinity_jump(g.graph, &jump), 0);
        alike_close(&g);
        alike_close(&v);
    }
}

static void an_exact_settling_forgets_patience(void **state)
{
    struct alike v = alike_vectors(FLY_VECTORS_F32, 14, 2, 0, 0), g;
    struct fly_affinity_config config = {.a = v.vectors, .hysteresis = 1};
    struct fly_exec exec = fly_exec_serial();
    int32_t chips[14];

    (void)state;
    g = alike_graph(&config);
    for (int32_t k = 0; k < 14; k++) {
        chips[k] = k;
        turn(&v, k, k < 6 ? 1.0 : 0.505, 1.0);
    }
    fly_affinity_update(&g.graph, 1, chips, 6, &exec);
    fly_affinity_settle(&g.graph, 1, 0, &exec);
    fly_affinity_update(&g.graph, 1, chips + 6, 8, &exec);
    fly_affinity_settle(&g.graph, 1, 1, &exec);
    assert_int_equal(fly_affinity_bin(g.graph), 50);
    alike_close(&g);
    alike_close(&v);
}

/* ---- a mix, and refusals ------------------------------------------------------------------------ */

static void another_weight_is_another_batch(void **state)
{
    static struct world w, other;
    struct fly_rng rng = {31};
    struct fly_exec exec = fly_exec_serial();

    (void)state;
    memset(&w, 0, sizeof w);
    memset(&other, 0, sizeof other);
    world_graphs(&w, 0, FLY_THRESHOLD_M2, 0.0);
    world_graphs(&other, 0, FLY_THRESHOLD_M2, 0.0);
    for (int32_t k = 0; k < CHIPS; k += 1 + k % 3) {
        draw_emb(&w, &rng, k);
        draw_spec(&w, &rng, k);
    }
    copy_vectors(&other, &w);
    alike_batch(w.graphs, GRAPHS, CHIPS);
    other.graphs[2]->config.weight_a = 0.8;
    alike_batch(other.graphs, GRAPHS, CHIPS);
    assert_false(alike_same(w.graphs[2], other.graphs[2]));
    assert_int_equal(fly_affinity_mix(w.graphs[2], 1.5, &exec), FLY_ERANGE);
    assert_int_equal(fly_affinity_mix(w.graphs[0], 0.5, &exec), FLY_ERANGE);
    assert_int_equal(fly_affinity_mix(w.graphs[2], 0.8, &exec), FLY_OK);
    assert_int_equal(fly_affinity_mix(other.graphs[2], 0.8, &exec), FLY_OK);
    fly_affinity_settle(w.graphs, GRAPHS, 1, &exec);
    fly_affinity_settle(other.graphs, GRAPHS, 1, &exec);
    assert_true(alike_same(w.graphs[2], other.graphs[2]));
    world_close(&w);
    world_close(&other);
}

/* Block by block, with settlings and looks in between: what is left is what a batch of that weight has. */
static void a_weight_that_chips_bring_with_them_is_another_batch(void **state)
{
    enum { FEW = 17 };
    static struct world w, other;
    struct fly_rng rng = {32};
    struct fly_exec exec = fly_exec_serial();
    struct fly_affinity_stand stand;

    (void)state;
    memset(&w, 0, sizeof w);
    memset(&other, 0, sizeof other);
    world_graphs(&w, 0, FLY_THRESHOLD_P100, 0.0);
    world_graphs(&other, 0, FLY_THRESHOLD_P100, 0.0);
    for (int32_t k = 0; k < CHIPS; k += 1 + k % 3) {
        draw_emb(&w, &rng, k);
        draw_spec(&w, &rng, k);
    }
    copy_vectors(&other, &w);
    alike_batch(w.graphs, GRAPHS, CHIPS);
    other.graphs[2]->config.weight_a = 0.3;
    alike_batch(other.graphs, GRAPHS, CHIPS);
    assert_int_equal(fly_affinity_reweigh(w.graphs[2], -0.1), FLY_ERANGE);
    assert_int_equal(fly_affinity_reweigh(w.graphs[1], 0.5), FLY_ERANGE);
    assert_int_equal(fly_affinity_reweigh(w.graphs[2], 0.3), FLY_OK);
    for (int32_t from = 0; from < CHIPS; from += FEW) {
        int32_t chips[FEW], n = 0;

        assert_false(alike_same(w.graphs[2], other.graphs[2]));
        while (n < FEW && from + n < CHIPS) {
            chips[n] = from + n;
            n++;
        }
        fly_affinity_update(&w.graphs[2], 1, chips, n, &exec);
        fly_affinity_settle(&w.graphs[2], 1, 1, &exec);
        fly_affinity_look_at(w.graphs[2], 0.35, &stand);
        fly_affinity_return(w.graphs[2], &stand);
    }
    fly_affinity_settle(other.graphs, GRAPHS, 1, &exec);
    assert_true(alike_same(w.graphs[2], other.graphs[2]));
    world_close(&w);
    world_close(&other);
}

static void what_cannot_be_compared_is_refused_and_nothing_changes(void **state)
{
    struct fly_vectors_config config = {.kind = FLY_VECTORS_COUNTS, .n_chips = 2, .width = 100,
                                        .entries_max = 64};
    struct fly_vectors_config bad;
    struct alike f = alike_vectors(FLY_VECTORS_F32, 3, 2, 0, 0);
    struct fly_arena arena;
    struct fly_vectors *v, *none = NULL;
    struct fly_affinity *no_graph = NULL;
    uint32_t x[100], huge[100] = {0};
    float nan[2] = {1.0f, NAN}, fine[2] = {3.0f, 4.0f};

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_vectors_need(&config), NULL, "test"), FLY_OK);
    bad = config;
    bad.n_chips = 0;
    assert_int_equal(fly_vectors_open(&none, &bad, &arena), FLY_ERANGE);
    bad = config;
    bad.width = 20000;
    assert_int_equal(fly_vectors_open(&none, &bad, &arena), FLY_ERANGE);
    bad = config;
    bad.kind = FLY_VECTORS_F32;
    bad.debiased = 1;
    assert_int_equal(fly_vectors_open(&none, &bad, &arena), FLY_ERANGE);
    assert_null(none);
    assert_int_equal(fly_vectors_open(&v, &config, &arena), FLY_OK);

    for (int32_t e = 0; e < 100; e++)
        x[e] = 1;
    assert_int_equal(fly_vectors_put_counts(v, 0, x), FLY_OK); /* 4 pages of 32, as many as there are */
    assert_int_equal(fly_vectors_put_counts(v, 1, x), FLY_ENOMEM);
    assert_int_equal(fly_vectors_usable(v, 1), 0);
    assert_int_equal(fly_vectors_put_counts(v, 0, x), FLY_OK); /* its own pages serve again */
    huge[0] = 100000000;
    assert_int_equal(fly_vectors_put_counts(v, 0, huge), FLY_ERANGE);
    assert_true(fly_vectors_similarity(v, 0, 0) == 1.0);
    fly_vectors_drop(v, 0);
    assert_int_equal(fly_vectors_put_counts(v, 1, x), FLY_OK);

    assert_int_equal(fly_vectors_put_f32(f.vectors, 0, fine), FLY_OK);
    assert_int_equal(fly_vectors_put_f32(f.vectors, 0, nan), FLY_ERANGE);
    assert_true(fly_vectors_similarity(f.vectors, 0, 0) == 1.0);
    {
        struct fly_affinity_config mixed = {.a = f.vectors, .b = v, .weight_a = 0.5};
        struct fly_affinity_config endless = {.a = f.vectors, .fixed = INFINITY};
        struct fly_affinity_config heavy = {.a = f.vectors, .b = f.vectors, .weight_a = -0.1};

        assert_int_equal(fly_affinity_open(&no_graph, &mixed, &arena), FLY_ERANGE);
        assert_int_equal(fly_affinity_open(&no_graph, &endless, &arena), FLY_ERANGE);
        assert_int_equal(fly_affinity_open(&no_graph, &heavy, &arena), FLY_ERANGE);
        assert_null(no_graph);
    }
    fly_arena_fini(&arena);
    alike_close(&f);
}

/* ---- by hand and portable ----------------------------------------------------------------------- */

static void rows_of_codes_by_hand_are_the_portable_ones(void **state)
{
    enum { WORDS = 3, LEN = 64 * WORDS };
    struct fly_rng rng = {77};
    uint16_t code[LEN], other[LEN];
    uint64_t bits[2][WORDS];
    uint32_t change[2][LEN];

    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        uint16_t sure = (uint16_t)(1 + fly_rng_below(&rng, FLY_CODE_TOP));
        uint32_t sign = trial % 2 ? 1 : UINT32_MAX, sum[2][2];

        for (int32_t j = 0; j < LEN; j++) {
            code[j] = (uint16_t)(fly_rng_below(&rng, 3) ? fly_rng_below(&rng, FLY_CODES) : FLY_CODE_NONE);
            other[j] = fly_rng_below(&rng, 2) ? code[j] : (uint16_t)(code[j] + 1);
            change[0][j] = change[1][j] = (uint32_t)fly_rng_next(&rng);
        }
        for (int plain = 0; plain < 2; plain++) {
            fly_wide_forbid(plain);
            fly_codes_keep(bits[plain], code, WORDS, sure);
            sum[plain][0] = fly_codes_add(change[plain], code, bits[plain], WORDS, trial % 3 == 0, sign);
            sum[plain][1] = fly_codes_add(NULL, code, bits[plain], WORDS, 0, 1);
        }
        fly_wide_forbid(0);
        for (int32_t j = 0; j < LEN; j++)
            assert_int_equal(bits[0][j / 64] >> (j % 64) & 1, code[j] >= sure && code[j] < FLY_CODE_NEGATIVE);
        assert_memory_equal(bits[0], bits[1], sizeof bits[0]);
        assert_memory_equal(change[0], change[1], sizeof change[0]);
        assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
        for (int32_t j = 0, differ = 0; j < LEN; j++) {
            differ += code[j] != other[j];
            if (j + 1 == LEN)
                assert_int_equal(fly_codes_differ(code, other, WORDS), differ);
        }
    }
}

static void columns_follow_rows(void **state)
{
    enum { WIDTH = 64, LEN = 131, STRIDE = 80 };
    static uint16_t from[WIDTH][LEN], to[LEN][STRIDE];
    struct fly_rng rng = {78};

    (void)state;
    for (int32_t k = 0; k < WIDTH; k++)
        for (int32_t j = 0; j < LEN; j++)
            from[k][j] = (uint16_t)fly_rng_next(&rng);
    for (int32_t width = 1; width <= WIDTH; width++) {
        int32_t len = 1 + (int32_t)fly_rng_below(&rng, LEN), at = (int32_t)fly_rng_below(&rng, STRIDE - WIDTH + 1);

        memset(to, 0xa5, sizeof to);
        fly_codes_transpose(&to[0][at], STRIDE, &from[0][0], LEN, width, len);
        for (int32_t j = 0; j < LEN; j++)
            for (int32_t c = 0; c < STRIDE; c++)
                assert_int_equal(to[j][c], j < len && c >= at && c < at + width ? from[c - at][j] : 0xa5a5);
    }
}

/* Products of counts are exact in every type that they are summed in: bytes, shorts, floats, doubles. */
static void counts_meet_exactly(void **state)
{
    enum { N = 96, E = 200 };
    static const uint32_t most[] = {8, 30, 400, 5000};

    (void)state;
    for (int size = 0; size < 4; size++)
        for (int plain = 0; plain < 2; plain++) {
            struct alike v = alike_vectors(FLY_VECTORS_COUNTS, N, E, 0, 0);
            struct fly_rng rng = {80 + (uint64_t)size};
            uint32_t x[E];
            int32_t block[FLY_BLOCK_MAX];

            fly_wide_forbid(plain);
            for (int32_t k = 0; k < N; k++) {
                for (int32_t e = 0; e < E; e++)
                    x[e] = fly_rng_below(&rng, 3) ? 0 : (uint32_t)fly_rng_below(&rng, most[size]);
                assert_int_equal(fly_vectors_put_counts(v.vectors, k, x), FLY_OK);
            }
            for (int32_t count = 20; count <= FLY_BLOCK_MAX; count += 22) {
                for (int32_t a = 0; a < count; a++)
                    block[a] = (a * 7 + count) % N;
                fly_vectors_block(v.vectors, block, count);
                for (int32_t t = 0; t < fly_tile_count(N); t++)
                    fly_vectors_fill(v.vectors, t);
                for (int32_t a = 0; a < count; a++)
                    for (int32_t j = 0; j < N; j++)
                        assert_true(fabs((double)fly_vectors_row(v.vectors, a)[j] -
                                         fly_vectors_similarity(v.vectors, block[a], j)) <=
                                    fly_vectors_error(v.vectors));
            }
            fly_wide_forbid(0);
            alike_close(&v);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_history_ends_in_the_batch_on_one_thread),
        cmocka_unit_test(any_history_ends_in_the_batch_on_two_threads),
        cmocka_unit_test(debiased_histories_end_in_the_batch_too),
        cmocka_unit_test(state_matches_the_plain_twin),
        cmocka_unit_test(a_pair_has_the_same_bits_in_every_place),
        cmocka_unit_test(rows_of_codes_by_hand_are_the_portable_ones),
        cmocka_unit_test(columns_follow_rows),
        cmocka_unit_test(counts_meet_exactly),
        cmocka_unit_test(a_row_costs_its_pairs_and_no_more),
        cmocka_unit_test(debiased_cosines_are_unbiased),
        cmocka_unit_test(thinning_does_not_move_the_debiased_graph),
        cmocka_unit_test(too_few_counts_are_kept_out_until_there_are_enough),
        cmocka_unit_test(a_jump_of_the_mode_is_told_and_hysteresis_waits_for_it),
        cmocka_unit_test(an_exact_settling_forgets_patience),
        cmocka_unit_test(another_weight_is_another_batch),
        cmocka_unit_test(a_weight_that_chips_bring_with_them_is_another_batch),
        cmocka_unit_test(what_cannot_be_compared_is_refused_and_nothing_changes),
    };

    openblas_set_num_threads(1); /* as whoever owns the threads does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
