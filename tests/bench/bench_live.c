/* tests/bench/bench_live.c: all that a row of chips sets off, embeddings given, on one core.
 *
 *   live.row           51 rows of 51 chips come one by one into the engine's three graphs: image (512
 *                      floats), spectra (debiased counts, about 300 photons a chip on 4096 channels) and
 *                      their mean, in the robust profile; milliseconds from the row to its communities, told
 *                      under stable ids with shares (live_rig.h). moved: rows that moved a threshold
 *   live.row.full      the same rows, of them those with 2300 chips or more
 *   live.row.changed   a second frame: every row changes in a grid that is full
 *   live.scan          sums over all rows of a scan, with the atomic percents of the chips of each row,
 *                      once each; `again`: of all chips so far after each row. compare_igraph.py runs the
 *                      same scan in numpy and igraph. Stages are sums over the last round.
 *
 * Spare work (one cold order a graph after each row, is there any structure) is not in these figures but
 * beside them. Of parts: [p50, p99, most].
 */
#include <string.h>
#include <sys/stat.h>

#include "tests/bench/bench.h"
#include "tests/bench/live_rig.h"
#include "tests/bench/measure.h"
#include "tests/bench/npy_out.h"

enum { SIDE = 51, SCANS_MOST = 5, ROWS_MOST = SCANS_MOST * SIDE, FULL = 2300, GAP_EVERY = 10, SPARES = 3 };

/* ---- rows --------------------------------------------------------------------------------------- */

struct rows {
    int32_t count, moved;
    double total[ROWS_MOST], wall[ROWS_MOST];
    double update[ROWS_MOST], tell[ROWS_MOST];
    double spare[ROWS_MOST], piece[ROWS_MOST];
    double gap[FLY_MODALITIES];
    double edges[FLY_MODALITIES]; /* share of all pairs, at the last row */
};

static void clear(struct rows *rows)
{
    memset(rows, 0, sizeof *rows);
    for (int m = 0; m < FLY_MODALITIES; m++)
        rows->gap[m] = -1.0;
}

static void take_row(struct rows *rows, const struct rig *rig)
{
    int32_t at = rows->count++;

    rows->moved += rig->moved;
    rows->total[at] = rig->total_s * 1e3;
    rows->wall[at] = rig->wall_s * 1e3;
    rows->update[at] = rig->update_s * 1e3;
    rows->tell[at] = rig->tell_s * 1e3;
    rows->spare[at] = rig->spare_s * 1e3;
    rows->piece[at] = rig->piece_s * 1e3;
}

/* All rows of the scene into `rows`, and those of a nearly full grid into `full`. */
static void take_frame(struct rows *rows, struct rows *full, struct rig *rig)
{
    for (int32_t row = 0; row < SIDE; row++) {
        rig_row(rig, row);
        take_row(rows, rig);
        if (full && rig->present >= FULL)
            take_row(full, rig);
        for (int m = 0; row % GAP_EVERY == GAP_EVERY - 1 && m < FLY_MODALITIES; m++)
            rows->gap[m] = fmax(rows->gap[m], rig_gap(rig, (enum fly_modality)m));
    }
    for (int m = 0; m < FLY_MODALITIES; m++)
        rows->edges[m] = (double)fly_affinity_edges(fly_graphs_affinity(rig->graphs, (enum fly_modality)m)) /
                         (0.5 * SIDE * SIDE * (SIDE * SIDE - 1));
}

static void print_part(FILE *out, const char *name, double *ms, int32_t count)
{
    double p50 = bench_quantile(ms, count, 0.5), p99 = bench_quantile(ms, count, 0.99);

    fprintf(out, ", \"%s\": [%.3f, %.3f, %.3f]", name, p50, p99, ms[count - 1]);
}

static void print_rows(FILE *out, const char *name, struct rows *rows)
{
    double p50 = bench_quantile(rows->total, rows->count, 0.5), p99 = bench_quantile(rows->total, rows->count, 0.99);

    fprintf(out,
            "{\"name\": \"%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", \"p99\": %.4g, "
            "\"max\": %.4g, \"rows\": %d, \"moved\": %d",
            name, SIDE * SIDE, p50, p99, rows->total[rows->count - 1], rows->count, rows->moved);
    print_part(out, "wall", rows->wall, rows->count);
    print_part(out, "update", rows->update, rows->count);
    print_part(out, "tell", rows->tell, rows->count);
    print_part(out, "spare", rows->spare, rows->count);
    print_part(out, "spare_piece", rows->piece, rows->count);
    if (rows->edges[0] > 0.0)
        fprintf(out, ", \"gaps\": [%.5f, %.5f, %.5f], \"edge_shares\": [%.3f, %.3f, %.3f]", rows->gap[0],
                rows->gap[1], rows->gap[2], rows->edges[0], rows->edges[1], rows->edges[2]);
    fprintf(out, "}\n");
    fflush(out);
}

int bench_live(FILE *out, const struct bench_options *options)
{
    static struct rows first, full, second;

    openblas_set_num_threads(1);
    clear(&first);
    clear(&full);
    clear(&second);
    for (int32_t scan = 0; scan < (options->quick ? 1 : SCANS_MOST); scan++) {
        struct scene scene;
        struct rig rig;

        scene_open(&scene, SIDE, SIDE, 300.0, 1 + (uint64_t)scan);
        rig_open(&rig, &scene, SPARES);
        take_frame(&first, &full, &rig);
        scene_again(&scene);
        take_frame(&second, NULL, &rig);
        rig_close(&rig);
        scene_close(&scene);
    }
    print_rows(out, "live.row", &first);
    print_rows(out, "live.row.full", &full);
    print_rows(out, "live.row.changed", &second);
    return FLY_OK;
}

/* ---- a scan ------------------------------------------------------------------------------------- */

struct quantification {
    struct fly_arena arena, work_arena;
    struct fly_quantifier *q;
    struct fly_quantify_work work;
};

/* Golden's window method leaves no channel and no chip out. */
static void quantification_open(struct quantification *z, enum fly_quantify_method method)
{
    struct fly_quantify_config config = scene_quantification(method);

    if (method == FLY_QUANTIFY_WINDOW) {
        config.mask_ev = -10000.0;
        config.min_counts = 0;
    }
    bench_check(fly_arena_init(&z->arena, fly_quantifier_need(&config), NULL, "bench"));
    bench_check(fly_quantifier_open(&z->q, &config, &z->arena));
    bench_check(fly_arena_init(&z->work_arena, fly_quantify_work_need(z->q), NULL, "bench"));
    fly_quantify_work_init(&z->work, z->q, &z->work_arena);
}

static void quantification_close(struct quantification *z)
{
    fly_arena_fini(&z->work_arena);
    fly_arena_fini(&z->arena);
}

/* percent (N, SCENE_ELEMENTS) of chips first .. first + count - 1. */
static double quantify_s(struct quantification *z, const struct scene *scene, int32_t first, int32_t count,
                         double *percent)
{
    double begin = bench_now_s();

    for (int32_t i = first; i < first + count; i++) {
        struct fly_composition c;

        fly_quantify_chip(z->q, &z->work, scene->spec, scene->rows, scene->cols, i, &c);
        memcpy(percent + (size_t)i * SCENE_ELEMENTS, c.percent, SCENE_ELEMENTS * sizeof *percent);
    }
    return bench_now_s() - begin;
}

static int write_scan(const char *dir, const struct scene *scene, const struct rig *rig,
                      const struct quantification *z, const double *percent)
{
    double factors[SCENE_ELEMENTS * 2];
    int32_t windows[SCENE_ELEMENTS * 6], *labels = bench_need((size_t)scene->n, sizeof *labels);
    char name[32];
    int rc;

    fly_quantifier_windows(z->q, windows);
    for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
        factors[2 * e] = fly_quantifier_line(z->q, e).k;
        factors[2 * e + 1] = fly_quantifier_line(z->q, e).mass_u;
    }
    rc = npy_out(dir, "emb", FLY_NPY_F32, scene->n, SCENE_WIDTH, scene->emb);
    if (rc == FLY_OK)
        rc = npy_out(dir, "spec", FLY_NPY_U32, scene->n, SCENE_CHANNELS, scene->spec);
    if (rc == FLY_OK)
        rc = npy_out(dir, "windows", FLY_NPY_I32, SCENE_ELEMENTS, 6, windows);
    if (rc == FLY_OK)
        rc = npy_out(dir, "factors", FLY_NPY_F64, SCENE_ELEMENTS, 2, factors);
    if (rc == FLY_OK)
        rc = npy_out(dir, "percent", FLY_NPY_F64, scene->n, SCENE_ELEMENTS, percent);
    for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++) {
        rig_labels(rig, (enum fly_modality)m, labels);
        snprintf(name, sizeof name, "communities%d", m);
        rc = npy_out(dir, name, FLY_NPY_I32, scene->n, 0, labels);
    }
    free(labels);
    return rc;
}

static int scan_of(FILE *out, int32_t side, const char *write, int32_t rounds)
{
    double total[5], window[5], again[5], ml[5], spare[5], last[5], update_ms, tell_ms;
    double threshold[FLY_MODALITIES], ms;
    struct quantification by_window, by_ml;
    struct scene scene;
    double *percent, *other;
    int rc = FLY_OK;

    scene_open(&scene, side, side, 300.0, 1);
    percent = bench_need((size_t)scene.n * SCENE_ELEMENTS, sizeof *percent);
    other = bench_need((size_t)scene.n * SCENE_ELEMENTS, sizeof *other);
    quantification_open(&by_window, FLY_QUANTIFY_WINDOW);
    quantification_open(&by_ml, FLY_QUANTIFY_ML);
    for (int32_t r = 0; rc == FLY_OK && r < rounds; r++) {
        struct rig rig;

        rig_open(&rig, &scene, SPARES);
        total[r] = window[r] = again[r] = ml[r] = spare[r] = update_ms = tell_ms = 0.0;
        for (int32_t row = 0; row < side; row++) {
            double quantified;

            rig_row(&rig, row);
            quantified = quantify_s(&by_window, &scene, row * side, side, percent);
            window[r] += quantified;
            total[r] += rig.total_s + quantified;
            last[r] = rig.total_s + quantified;
            spare[r] += rig.spare_s;
            update_ms += rig.update_s * 1e3;
            tell_ms += rig.tell_s * 1e3;
            ml[r] += quantify_s(&by_ml, &scene, row * side, side, other);
            again[r] += quantify_s(&by_window, &scene, 0, (row + 1) * side, percent);
        }
        for (int m = 0; m < FLY_MODALITIES; m++)
            threshold[m] = fly_affinity_threshold(fly_graphs_affinity(rig.graphs, (enum fly_modality)m));
        if (r == 0 && write)
            rc = write_scan(write, &scene, &rig, &by_window, percent);
        rig_close(&rig);
    }
    ms = bench_median(total, rounds) * 1e3;
    fprintf(out,
            "{\"name\": \"live.scan\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"last_row\": %.4g, \"window\": %.4g, \"window_again\": %.4g, \"ml\": %.4g, \"spare\": %.4g, "
            "\"thresholds\": [%.2f, %.2f, %.2f], \"update\": %.4g, \"tell\": %.4g}\n",
            scene.n, ms, bench_median(last, rounds) * 1e3, bench_median(window, rounds) * 1e3,
            bench_median(again, rounds) * 1e3, bench_median(ml, rounds) * 1e3,
            bench_median(spare, rounds) * 1e3, threshold[0], threshold[1], threshold[2], update_ms, tell_ms);
    fflush(out);
    quantification_close(&by_window);
    quantification_close(&by_ml);
    free(percent);
    free(other);
    scene_close(&scene);
    return rc;
}

/* 34 x 34 chips, and 51 x 51 without --quick, written to the folder `large` within. */
int bench_scan(FILE *out, const struct bench_options *options)
{
    char large[4096] = "";
    int rc;

    openblas_set_num_threads(1);
    rc = scan_of(out, 34, options->write, options->quick ? 1 : 3);
    if (rc < 0 || options->quick)
        return rc;
    if (options->write) {
        snprintf(large, sizeof large, "%s/large", options->write);
        mkdir(large, 0777); /* where it cannot be made writing says so */
    }
    return scan_of(out, SIDE, options->write ? large : NULL, 3);
}
