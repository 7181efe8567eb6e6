/* tests/bench/bench_graph.c: similarities, what is kept of them, and its memory, on one core.
 *
 *   graph.row     34 new chips against 2601, 512 floats each. similarity: the products and cosines alone;
 *                 update: all of fly_affinity_update, when the chips are new and when they change. The
 *                 reference is OpenBLAS's sgemm of that shape, the faster of its two layouts. GFLOP/s count
 *                 34 * 2601 * 512 products each time, though among new chips a pair is needed once.
 *   graph.scan    51 x 51 chips row by row, with a settling after every row and with one at the end;
 *                 the reference takes all at once. The two end in the same codes, edges and threshold.
 *   graph.memory  bytes that one graph and its vectors reserve; the reference is N * 512 floats and two
 *                 bytes for each pair. Ratio: reference over ours.
 */
#include <cblas.h>
#include <string.h>

#include "engine/graph/affinity_state.h"
#include "engine/graph/louvain.h"
#include "tests/bench/bench.h"
#include "tests/bench/measure.h"
#include "tests/bench/scene.h"

enum { SIDE = 51, N = SIDE * SIDE, ROW = 34, ROUNDS_MOST = 31, REPEATS = 5 };

/* A graph of image chips and what it stands on. */
struct plot {
    struct fly_arena arena;
    struct fly_vectors *vectors;
    struct fly_affinity *graph;
};

static struct fly_vectors_config vectors_config(int32_t n)
{
    return (struct fly_vectors_config){.kind = FLY_VECTORS_F32, .n_chips = n, .width = SCENE_WIDTH};
}

static size_t plot_need(int32_t n, size_t *vectors, size_t *graph)
{
    struct fly_vectors_config config = vectors_config(n);
    struct fly_affinity_config graph_config = {0};
    struct fly_arena arena;

    *vectors = fly_vectors_need(&config);
    bench_check(fly_arena_init(&arena, *vectors, NULL, "bench"));
    bench_check(fly_vectors_open(&graph_config.a, &config, &arena));
    *graph = fly_affinity_need(&graph_config);
    fly_arena_fini(&arena);
    return *vectors + *graph;
}

static void plot_begin(struct plot *p, int32_t n)
{
    struct fly_vectors_config config = vectors_config(n);
    struct fly_affinity_config graph_config = {.rule = FLY_THRESHOLD_P100};

    fly_arena_reset(&p->arena, 0);
    bench_check(fly_vectors_open(&p->vectors, &config, &p->arena));
    graph_config.a = p->vectors;
    bench_check(fly_affinity_open(&p->graph, &graph_config, &p->arena));
}

static void plot_open(struct plot *p, int32_t n)
{
    size_t vectors, graph;

    bench_check(fly_arena_init(&p->arena, plot_need(n, &vectors, &graph), NULL, "bench"));
    plot_begin(p, n);
}

static void put(struct plot *p, const struct scene *scene, int32_t first, int32_t count)
{
    for (int32_t i = first; i < first + count; i++)
        bench_check(fly_vectors_put_f32(p->vectors, i, scene->emb + (size_t)i * SCENE_WIDTH));
}

static void update(struct plot *p, const int32_t *chips, int32_t count)
{
    struct fly_exec exec = fly_exec_serial();

    fly_affinity_update(&p->graph, 1, chips, count, &exec);
}

static void settle(struct plot *p)
{
    struct fly_exec exec = fly_exec_serial();

    fly_affinity_settle(&p->graph, 1, 1, &exec);
}

/* ---- a row -------------------------------------------------------------------------------------- */

/* Seconds of one sgemm: the new rows by all columns, which lie as chips do (b, transposed) or as wide rows. */
static double sgemm_s(const float *a, const float *b, const float *wide, float *c, int transposed)
{
    double begin = bench_now_s();

    for (int r = 0; r < REPEATS; r++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, ROW, N, SCENE_WIDTH,
                    1.0f, a, SCENE_WIDTH, transposed ? b : wide, transposed ? SCENE_WIDTH : N, 0.0f, c, N);
    return (bench_now_s() - begin) / REPEATS;
}

static double similarities_s(struct plot *p, const int32_t *chips)
{
    double begin = bench_now_s();

    for (int r = 0; r < REPEATS; r++) {
        fly_vectors_block(p->vectors, chips, ROW);
        for (int32_t tile = 0; tile < fly_tile_count(N); tile++)
            fly_vectors_fill(p->vectors, tile);
    }
    return (bench_now_s() - begin) / REPEATS;
}

/* The products of both ways are the same cosines. */
static void compare(struct plot *p, const struct scene *scene, const int32_t *chips, const float *c)
{
    double length[N];

    for (int32_t i = 0; i < N; i++) {
        double square = 0.0;

        for (int32_t d = 0; d < SCENE_WIDTH; d++)
            square += (double)scene->emb[(size_t)i * SCENE_WIDTH + (size_t)d] *
                      (double)scene->emb[(size_t)i * SCENE_WIDTH + (size_t)d];
        length[i] = sqrt(square);
    }
    for (int32_t a = 0; a < ROW; a++)
        for (int32_t j = 0; j < N; j++)
            FLY_ASSERT(fabs((double)fly_vectors_row(p->vectors, a)[j] -
                            (double)c[a * N + j] / (length[chips[a]] * length[j])) < 1e-5);
}

static void print_row(FILE *out, const char *name, double *seconds, int32_t rounds, double sgemm,
                      const char *more)
{
    double flop = 2.0 * ROW * N * SCENE_WIDTH, s = bench_median(seconds, rounds);

    fprintf(out,
            "{\"name\": \"%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"GFLOP/s\", "
            "\"reference\": %.4g, \"ratio\": %.3f, \"median_us\": %.1f, \"reference_us\": %.1f%s}\n",
            name, N, flop / s * 1e-9, flop / sgemm * 1e-9, sgemm / s, s * 1e6, sgemm * 1e6, more);
    fflush(out);
}

static void bench_row(FILE *out, int quick)
{
    int32_t rounds = quick ? 7 : ROUNDS_MOST, chips[N];
    double lying[ROUNDS_MOST], wide_s[ROUNDS_MOST], similar[ROUNDS_MOST], fresh[ROUNDS_MOST], again[ROUNDS_MOST];
    float *wide = bench_need((size_t)SCENE_WIDTH * N, sizeof *wide), *c = bench_need(ROW * N, sizeof *c);
    const float *new_rows;
    struct scene scene;
    struct plot p;
    double sgemm, transposed;
    char more[160];

    scene_open(&scene, SIDE, SIDE, 0.0, 1);
    plot_open(&p, N);
    for (int32_t i = 0; i < N; i++) {
        chips[i] = i;
        for (int32_t d = 0; d < SCENE_WIDTH; d++)
            wide[(size_t)d * N + (size_t)i] = scene.emb[(size_t)i * SCENE_WIDTH + (size_t)d];
    }
    put(&p, &scene, 0, N);
    update(&p, chips, N);
    settle(&p);
    new_rows = scene.emb + (size_t)(N - ROW) * SCENE_WIDTH;
    for (int32_t r = 0; r < rounds; r++) {
        double begin;

        wide_s[r] = sgemm_s(new_rows, scene.emb, wide, c, 0);
        similar[r] = similarities_s(&p, chips + N - ROW);
        lying[r] = sgemm_s(new_rows, scene.emb, wide, c, 1);
        begin = bench_now_s();
        update(&p, chips + N - ROW, ROW);
        again[r] = bench_now_s() - begin;
        for (int32_t i = N - ROW; i < N; i++)
            fly_vectors_drop(p.vectors, i);
        update(&p, chips + N - ROW, ROW);
        put(&p, &scene, N - ROW, ROW);
        begin = bench_now_s();
        update(&p, chips + N - ROW, ROW);
        fresh[r] = bench_now_s() - begin;
    }
    similarities_s(&p, chips + N - ROW);
    compare(&p, &scene, chips + N - ROW, c);
    sgemm = bench_median(wide_s, rounds);
    transposed = bench_median(lying, rounds);
    snprintf(more, sizeof more, ", \"sgemm_us\": %.1f, \"sgemm_transposed_us\": %.1f, \"granule\": %d",
             sgemm * 1e6, transposed * 1e6, (int)fly_vectors_granule(p.vectors));
    sgemm = sgemm < transposed ? sgemm : transposed;
    print_row(out, "graph.row.similarity", similar, rounds, sgemm, more);
    print_row(out, "graph.row.update_new", fresh, rounds, sgemm, "");
    print_row(out, "graph.row.update_changed", again, rounds, sgemm, "");
    fly_arena_fini(&p.arena);
    scene_close(&scene);
    free(wide);
    free(c);
}

/* ---- a scan ------------------------------------------------------------------------------------- */

enum way { BATCH, LIVE, LIVE_ONE_SETTLING };

static double scan_s(struct plot *p, const struct scene *scene, const int32_t *chips, enum way way)
{
    int32_t step = way == BATCH ? N : SIDE;
    double spent = 0.0, begin;

    plot_begin(p, N);
    for (int32_t first = 0; first < N; first += step) {
        put(p, scene, first, step);
        begin = bench_now_s();
        update(p, chips + first, step);
        if (way != LIVE_ONE_SETTLING || first + step == N)
            settle(p);
        spent += bench_now_s() - begin;
    }
    return spent;
}

static void same(const struct plot *a, const struct plot *b)
{
    const struct fly_affinity *x = a->graph, *y = b->graph;

    FLY_ASSERT(x->bin == y->bin && x->edges == y->edges && x->m2 == y->m2);
    FLY_ASSERT(memcmp(x->code, y->code, (size_t)N * x->stride * sizeof *x->code) == 0);
    FLY_ASSERT(memcmp(x->bits, y->bits, (size_t)N * x->words * sizeof *x->bits) == 0);
}

static void bench_affinity_scan(FILE *out, int quick)
{
    int32_t rounds = quick ? 3 : 9, chips[N];
    double batch[9], live[9], one[9], m[3];
    struct fly_affinity_work work;
    struct plot p, q;
    struct scene scene;

    scene_open(&scene, SIDE, SIDE, 0.0, 1);
    plot_open(&p, N);
    plot_open(&q, N);
    for (int32_t i = 0; i < N; i++)
        chips[i] = i;
    for (int32_t r = 0; r < rounds; r++) {
        batch[r] = scan_s(&p, &scene, chips, BATCH);
        one[r] = scan_s(&q, &scene, chips, LIVE_ONE_SETTLING);
        same(&p, &q);
        live[r] = scan_s(&q, &scene, chips, LIVE);
        same(&p, &q);
    }
    work = fly_affinity_work(q.graph);
    m[0] = bench_median(batch, rounds);
    m[1] = bench_median(live, rounds);
    m[2] = bench_median(one, rounds);
    fprintf(out,
            "{\"name\": \"graph.scan\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"scans/s\", "
            "\"reference\": %.4g, \"ratio\": %.3f, \"live_ms\": %.2f, \"live_one_settling_ms\": %.2f, "
            "\"batch_ms\": %.2f, \"live_over_batch\": %.3f, \"one_settling_over_batch\": %.3f, "
            "\"pairs\": %lld, \"edges_flipped\": %lld, \"edge_share\": %.3f}\n",
            N, 1.0 / m[1], 1.0 / m[0], m[0] / m[1], m[1] * 1e3, m[2] * 1e3, m[0] * 1e3, m[1] / m[0],
            m[2] / m[0], (long long)work.pairs, (long long)work.edges_flipped,
            (double)fly_affinity_edges(q.graph) / (0.5 * N * (N - 1)));
    fflush(out);
    fly_arena_fini(&p.arena);
    fly_arena_fini(&q.arena);
    scene_close(&scene);
}

/* ---- memory ------------------------------------------------------------------------------------- */

static void bench_memory(FILE *out, int32_t n)
{
    size_t vectors, graph, louvain = fly_louvain_need(n, fly_louvain_columns(n));
    size_t all = plot_need(n, &vectors, &graph);
    double pairs = (double)n * n, least = (double)n * SCENE_WIDTH * sizeof(float) + pairs;

    fprintf(out,
            "{\"name\": \"graph.memory\", \"size\": %d, \"threads\": 1, \"median\": %zu, \"unit\": \"bytes\", "
            "\"reference\": %.0f, \"ratio\": %.3f, \"vectors\": %zu, \"graph\": %zu, "
            "\"graph_over_two_bytes_a_pair\": %.3f, \"all_over_reference\": %.3f, \"louvain\": %zu, "
            "\"with_louvain_over_reference\": %.3f}\n",
            n, all, least, least / (double)all, vectors, graph, (double)graph / pairs, (double)all / least,
            louvain, (double)(all + louvain) / least);
    fflush(out);
}

int bench_graph(FILE *out, const struct bench_options *options)
{
    openblas_set_num_threads(1);
    bench_row(out, options->quick);
    bench_affinity_scan(out, options->quick);
    bench_memory(out, 1156);
    bench_memory(out, N);
    bench_memory(out, 10000);
    return FLY_OK;
}
