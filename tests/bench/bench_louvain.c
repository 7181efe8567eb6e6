/* tests/bench/bench_louvain.c: communities on one core, from nothing and after a row of chips.
 *
 *   louvain.cold   best of 8 orders on the image graph of 51 x 51 chips (weights, p100); one: one order.
 *                  The reference is python-igraph's, in compare_igraph.py.
 *   louvain.row    a scan of 51 rows grows; after each row of 51 chips the answer is renewed (live.h).
 *                  .changed: a second frame over the full grid, in which every row's chips change.
 *                  .pondered: with one cold order after each row in the background, as the engine has it.
 *                  `gap`: the most that cold best of 8 was above, before anything was pondered.
 *   graph.growth   the last rows of larger scans, and cold best of 8 on the whole of them, with the
 *                  exponents in N (section 7 of the goals: a row 1, a scan 2, cold 2).
 */
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/image_rig.h"
#include "tests/bench/measure.h"
#include "tests/bench/npy_out.h"

enum { SIDE = 51, SCANS_MOST = 5, ROUNDS_MOST = 15, GAP_EVERY = 10 };

static int32_t communities_of(const int32_t *label, int32_t n)
{
    uint8_t *seen = bench_need((size_t)n, 1);
    int32_t count = 0;

    for (int32_t i = 0; i < n; i++) {
        count += !seen[label[i]];
        seen[label[i]] = 1;
    }
    free(seen);
    return count;
}

/* ---- from nothing ------------------------------------------------------------------------------- */

static double cold_s(struct fly_louvain *l, const struct fly_dense *graph, int32_t orders)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    double begin = bench_now_s();

    config.orders = orders;
    bench_check(fly_louvain_cold(l, graph, &config));
    fly_louvain_finish(l);
    return bench_now_s() - begin;
}

/* Weights of edges, 0 where there is none. */
static int write_graph(const char *dir, const struct fly_dense *graph, const int32_t *label)
{
    size_t n = (size_t)graph->n;
    uint16_t *weight = bench_need(n * n, sizeof *weight);
    int rc;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            if (graph->bits[i * graph->words + j / 64] >> (j % 64) & 1)
                weight[i * n + j] = graph->weight[i * graph->stride + j];
    rc = npy_out(dir, "graph", FLY_NPY_U16, graph->n, graph->n, weight);
    if (rc == FLY_OK)
        rc = npy_out(dir, "labels", FLY_NPY_I32, graph->n, 0, label);
    free(weight);
    return rc;
}

static int bench_cold(FILE *out, const struct bench_options *options)
{
    int32_t rounds = options->quick ? 3 : ROUNDS_MOST;
    double best[ROUNDS_MOST], one[ROUNDS_MOST], ms;
    struct scene scene;
    struct image_rig rig;
    struct fly_dense dense;
    int rc = FLY_OK;

    scene_open(&scene, SIDE, SIDE, 0.0, 1);
    image_rig_open(&rig, &scene);
    for (int32_t row = 0; row < SIDE; row++)
        image_rig_row(&rig, row);
    dense = fly_affinity_dense(rig.graph);
    for (int32_t r = 0; r < rounds; r++) {
        one[r] = cold_s(&rig.cold, &dense, 1);
        best[r] = cold_s(&rig.cold, &dense, 8);
    }
    ms = bench_median(best, rounds) * 1e3;
    fprintf(out,
            "{\"name\": \"louvain.cold\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"least_ms\": %.4g, \"one_ms\": %.4g, \"q\": %.6f, \"communities\": %d, \"threshold\": %.3f, "
            "\"edges\": %lld, \"edge_share\": %.3f}\n",
            scene.n, ms, best[0] * 1e3, bench_median(one, rounds) * 1e3, rig.cold.q,
            (int)communities_of(rig.cold.label, scene.n), fly_affinity_threshold(rig.graph),
            (long long)fly_affinity_edges(rig.graph),
            (double)fly_affinity_edges(rig.graph) / (0.5 * scene.n * (scene.n - 1)));
    fflush(out);
    if (options->write)
        rc = write_graph(options->write, &dense, rig.cold.label);
    image_rig_close(&rig);
    scene_close(&scene);
    return rc;
}

/* ---- after a row -------------------------------------------------------------------------------- */

struct rows {
    double ms[SCANS_MOST * SIDE];
    int32_t count;
    double gap;
    int32_t moved, adopted;
};

static void take_rows(struct rows *rows, struct image_rig *rig, int ponders, int quick)
{
    for (int32_t row = 0; row < SIDE; row++) {
        image_rig_row(rig, row);
        rows->ms[rows->count++] = 1e3 * (rig->stage_s[IMAGE_FORGET] + rig->stage_s[IMAGE_RENEW]);
        rows->moved += rig->moved;
        if (row % GAP_EVERY == GAP_EVERY - 1 || (!quick && row % 3 == 0))
            rows->gap = fmax(rows->gap, image_rig_gap(rig));
        if (ponders) {
            image_rig_ponder(rig);
            rows->adopted += rig->adopted;
        }
    }
}

static void print_rows(FILE *out, const char *name, struct rows *rows)
{
    double p50 = bench_quantile(rows->ms, rows->count, 0.5), p99 = bench_quantile(rows->ms, rows->count, 0.99);

    fprintf(out,
            "{\"name\": \"%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", \"p99\": %.4g, "
            "\"max\": %.4g, \"rows\": %d, \"thresholds_moved\": %d, \"adopted\": %d, \"gap\": %.5f}\n",
            name, SIDE * SIDE, p50, p99, rows->ms[rows->count - 1], rows->count, rows->moved, rows->adopted,
            rows->gap);
    fflush(out);
}

static void bench_rows(FILE *out, int background, int quick)
{
    static struct rows first, second;

    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    first.gap = second.gap = -1.0;
    for (int32_t scan = 0; scan < (quick ? 1 : SCANS_MOST); scan++) {
        struct scene scene;
        struct image_rig rig;

        scene_open(&scene, SIDE, SIDE, 0.0, 1 + (uint64_t)scan);
        image_rig_open(&rig, &scene);
        take_rows(&first, &rig, background, quick);
        scene_again(&scene);
        take_rows(&second, &rig, background, quick);
        image_rig_close(&rig);
        scene_close(&scene);
    }
    print_rows(out, background ? "louvain.row.pondered" : "louvain.row", &first);
    print_rows(out, background ? "louvain.row.changed.pondered" : "louvain.row.changed", &second);
}

int bench_louvain(FILE *out, const struct bench_options *options)
{
    int rc;

    openblas_set_num_threads(1);
    rc = bench_cold(out, options);
    for (int background = 0; rc == FLY_OK && background < 2; background++)
        bench_rows(out, background, options->quick);
    return rc;
}

/* ---- growth ------------------------------------------------------------------------------------- */

enum { GROWTH_COLS = 50, GROWTH_SIZES = 4, LAST_ROWS = 9 };

struct growth {
    double n;
    double row_ms, louvain_ms; /* median of the last rows: put, update and settling; communities */
    double scan_ms;            /* sum of all rows */
    double cold_ms;
    int32_t communities;
};

static void grow(struct growth *g, int32_t rows, int32_t rounds)
{
    double row_ms[LAST_ROWS], louvain_ms[LAST_ROWS], cold[3];
    struct scene scene;
    struct image_rig rig;
    struct fly_dense dense;

    scene_open(&scene, rows, GROWTH_COLS, 0.0, 1);
    image_rig_open(&rig, &scene);
    *g = (struct growth){.n = scene.n};
    for (int32_t row = 0; row < rows; row++) {
        image_rig_row(&rig, row);
        g->scan_ms += rig.total_s * 1e3;
        if (row >= rows - LAST_ROWS) {
            int32_t at = row - rows + LAST_ROWS;

            louvain_ms[at] = rig.stage_s[IMAGE_RENEW] * 1e3;
            row_ms[at] = rig.total_s * 1e3 - louvain_ms[at];
        }
    }
    dense = fly_affinity_dense(rig.graph);
    for (int32_t r = 0; r < rounds; r++)
        cold[r] = cold_s(&rig.cold, &dense, 8) * 1e3;
    g->row_ms = bench_median(row_ms, LAST_ROWS);
    g->louvain_ms = bench_median(louvain_ms, LAST_ROWS);
    g->cold_ms = bench_median(cold, rounds);
    g->communities = communities_of(rig.cold.label, scene.n);
    image_rig_close(&rig);
    scene_close(&scene);
}

static double print_part(FILE *out, const char *name, const struct growth *g, int32_t count, size_t offset)
{
    double x[GROWTH_SIZES], y[GROWTH_SIZES];

    fprintf(out, ", \"%s\": [", name);
    for (int32_t i = 0; i < count; i++) {
        x[i] = g[i].n;
        memcpy(&y[i], (const char *)&g[i] + offset, sizeof y[i]);
        fprintf(out, "%s%.4g", i ? ", " : "", y[i]);
    }
    fprintf(out, "]");
    return bench_exponent(x, y, count);
}

int bench_growth(FILE *out, const struct bench_options *options)
{
    static const int32_t rows[GROWTH_SIZES] = {20, 52, 100, 200};
    int32_t count = options->quick ? 3 : GROWTH_SIZES;
    struct growth g[GROWTH_SIZES];
    double row, louvain, scan, cold;

    openblas_set_num_threads(1);
    for (int32_t i = 0; i < count; i++)
        grow(&g[i], rows[i], options->quick ? 1 : 3);
    fprintf(out, "{\"name\": \"graph.growth\", \"size\": %.0f, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\"",
            g[count - 1].n, g[count - 1].row_ms);
    print_part(out, "n", g, count, offsetof(struct growth, n));
    row = print_part(out, "row_ms", g, count, offsetof(struct growth, row_ms));
    louvain = print_part(out, "louvain_row_ms", g, count, offsetof(struct growth, louvain_ms));
    scan = print_part(out, "scan_ms", g, count, offsetof(struct growth, scan_ms));
    cold = print_part(out, "cold_ms", g, count, offsetof(struct growth, cold_ms));
    fprintf(out, ", \"row_exponent\": %.3f, \"louvain_row_exponent\": %.3f, \"scan_exponent\": %.3f, "
                 "\"cold_exponent\": %.3f, \"communities\": [", row, louvain, scan, cold);
    for (int32_t i = 0; i < count; i++)
        fprintf(out, "%s%d", i ? ", " : "", (int)g[i].communities);
    fprintf(out, "]}\n");
    fflush(out);
    return FLY_OK;
}
