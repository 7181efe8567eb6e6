/* tests/bench/bench_ward.c: Ward's tree on one core, from nothing and after a row of chips.
 *
 *   ward.batch        51 x 51 chips from nothing. The reference is scikit-learn's, in compare_ward.py.
 *   ward.row          a scan of 51 rows grows; after each row of 51 chips the tree is brought up to date.
 *                     .changed: a second frame over the full grid, in which every row's chips change. .pondered:
 *                     better directions are looked for between rows, where there is sense in it; `ponder` is what the
 *                     longest took. Counts are those of the last row.
 *   ward.composition  the same of atomic percents, 12 numbers.
 *   ward.noise        the same of the embeddings of scene.h, whose chips differ in all 512 directions alike: every
 *                     update starts from nothing.
 *   ward.growth       the last rows and the batch tree of larger scans, with the exponents in N.
 *
 * Embeddings and compositions are those of draw.h.
 */
#include <string.h>

#include "engine/tree/ward.h"
#include "tests/bench/bench.h"
#include "tests/bench/draw.h"
#include "tests/bench/measure.h"
#include "tests/bench/npy_out.h"
#include "tests/bench/scene.h"

enum { SIDE = 51, SCANS_MOST = 5, BATCHES_MOST = 9, WIDTH_MOST = SCENE_WIDTH };

enum kind { EMBEDDING, COMPOSITION, NOISE };

static const char *const names[] = {"", ".composition", ".noise"};

static int32_t width_of(enum kind kind)
{
    return kind == COMPOSITION ? SCENE_ELEMENTS : SCENE_WIDTH;
}

/* ---- points -------------------------------------------------------------------------------------- */

struct points {
    enum kind kind;
    struct scene scene;
    struct draw draw;
    double *x; /* (N, width) */
    int32_t n;
};

static void draw_row(struct points *p, int32_t row)
{
    int32_t width = width_of(p->kind);

    for (int32_t i = row * p->scene.cols; i < (row + 1) * p->scene.cols; i++) {
        double *x = p->x + (size_t)i * (size_t)width;

        if (p->kind == EMBEDDING)
            draw_embedding(&p->draw, x, p->scene.kind[i]);
        else if (p->kind == COMPOSITION)
            draw_composition(&p->draw, x, p->scene.kind[i]);
        else
            for (int32_t d = 0; d < width; d++)
                x[d] = (double)p->scene.emb[(size_t)i * SCENE_WIDTH + (size_t)d];
    }
}

static void points_open(struct points *p, enum kind kind, int32_t rows, int32_t cols, uint64_t seed)
{
    *p = (struct points){.kind = kind, .n = rows * cols};
    scene_open(&p->scene, rows, cols, 0.0, seed);
    draw_open(&p->draw, seed);
    p->x = bench_need((size_t)p->n * WIDTH_MOST, sizeof *p->x);
    for (int32_t row = 0; row < rows; row++)
        draw_row(p, row);
}

static void points_close(struct points *p)
{
    scene_close(&p->scene);
    draw_close(&p->draw);
    free(p->x);
}

/* ---- a tree -------------------------------------------------------------------------------------- */

struct tree {
    struct fly_ward_config config;
    struct fly_arena arena;
    struct fly_ward ward;
    struct fly_exec exec;
};

static void tree_open(struct tree *t, const struct points *p)
{
    *t = (struct tree){.config = {.points = p->n, .width = width_of(p->kind), .pairs = p->kind == NOISE},
                       .exec = fly_exec_serial()};
    bench_check(fly_ward_check(&t->config));
    bench_check(fly_arena_init(&t->arena, fly_ward_need(&t->config), NULL, "bench"));
    fly_ward_init(&t->ward, &t->config, &t->arena);
}

static void put_row(struct tree *t, const struct points *p, int32_t row)
{
    int32_t cols = p->scene.cols;

    for (int32_t i = row * cols; i < (row + 1) * cols; i++)
        bench_check(fly_ward_put_f64(&t->ward, i, p->x + (size_t)i * (size_t)t->config.width));
}

static double rebuild_ms(struct tree *t)
{
    double begin = bench_now_s();

    fly_ward_rebuild(&t->ward, &t->exec);
    return 1e3 * (bench_now_s() - begin);
}

/* ---- from nothing -------------------------------------------------------------------------------- */

static int bench_batch(FILE *out, enum kind kind, const struct bench_options *options)
{
    int32_t rounds = options->quick ? 3 : BATCHES_MOST, rc = FLY_OK, label[SIDE * SIDE];
    double ms[BATCHES_MOST];
    struct fly_ward_work before, after;
    struct points p;
    struct tree t;

    points_open(&p, kind, SIDE, SIDE, 1);
    tree_open(&t, &p);
    for (int32_t row = 0; row < SIDE; row++)
        put_row(&t, &p, row);
    rebuild_ms(&t);
    for (int32_t r = 0; r < rounds; r++) {
        before = t.ward.work;
        ms[r] = rebuild_ms(&t);
    }
    after = t.ward.work;
    fly_ward_cut(&t.ward, 4, label);
    fprintf(out,
            "{\"name\": \"ward.batch%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"distances\": %lld, \"bounds\": %lld, \"products\": %lld, \"bytes\": %zu}\n",
            names[kind], p.n, bench_median(ms, rounds), (long long)(after.distances - before.distances),
            (long long)(after.bounds - before.bounds), (long long)(after.products - before.products),
            fly_ward_need(&t.config));
    fflush(out);
    if (options->write) {
        char name[64];

        snprintf(name, sizeof name, "ward%s", names[kind]);
        rc = npy_out(options->write, name, FLY_NPY_F64, p.n, t.config.width, p.x);
        snprintf(name, sizeof name, "ward%s.labels", names[kind]);
        if (rc == FLY_OK)
            rc = npy_out(options->write, name, FLY_NPY_I32, p.n, 0, label);
    }
    fly_arena_fini(&t.arena);
    points_close(&p);
    return rc;
}

/* ---- after a row --------------------------------------------------------------------------------- */

struct rows {
    double ms[SCANS_MOST * SIDE];
    int32_t count;
    double ponder_ms; /* the longest */
    struct fly_ward_work last;
};

static void take_rows(struct rows *rows, struct tree *t, const struct points *p, int ponders)
{
    for (int32_t row = 0; row < p->scene.rows; row++) {
        struct fly_ward_work before = t->ward.work;
        double begin = bench_now_s();

        put_row(t, p, row);
        fly_ward_update(&t->ward, &t->exec);
        rows->ms[rows->count++] = 1e3 * (bench_now_s() - begin);
        rows->last = t->ward.work;
        rows->last.distances -= before.distances;
        rows->last.bounds -= before.bounds;
        rows->last.kept -= before.kept;
        rows->last.made -= before.made;
        begin = bench_now_s();
        if (ponders && fly_ward_ponders(&t->ward)) {
            fly_ward_ponder(&t->ward);
            rows->ponder_ms = fmax(rows->ponder_ms, 1e3 * (bench_now_s() - begin));
        }
    }
}

static void print_rows(FILE *out, enum kind kind, const char *what, struct rows *rows)
{
    double p50 = bench_quantile(rows->ms, rows->count, 0.5), p99 = bench_quantile(rows->ms, rows->count, 0.99);

    fprintf(out,
            "{\"name\": \"ward.row%s%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"p99\": %.4g, \"max\": %.4g, \"rows\": %d, \"distances\": %lld, \"bounds\": %lld, \"kept\": %lld, "
            "\"made\": %lld, \"ponder\": %.3g}\n",
            names[kind], what, SIDE * SIDE, p50, p99, rows->ms[rows->count - 1], rows->count,
            (long long)rows->last.distances, (long long)rows->last.bounds, (long long)rows->last.kept,
            (long long)rows->last.made, rows->ponder_ms);
    fflush(out);
}

static void bench_rows(FILE *out, enum kind kind, int ponders, int quick)
{
    static struct rows first, second;

    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    for (int32_t scan = 0; scan < (quick || kind == NOISE ? 1 : SCANS_MOST); scan++) {
        struct points p;
        struct tree t;

        points_open(&p, kind, SIDE, SIDE, 1 + (uint64_t)scan);
        tree_open(&t, &p);
        take_rows(&first, &t, &p, ponders);
        if (kind == NOISE)
            scene_again(&p.scene);
        for (int32_t row = 0; row < SIDE; row++)
            draw_row(&p, row);
        take_rows(&second, &t, &p, ponders);
        fly_arena_fini(&t.arena);
        points_close(&p);
    }
    print_rows(out, kind, ponders ? ".pondered" : "", &first);
    print_rows(out, kind, ponders ? ".changed.pondered" : ".changed", &second);
}

/* ---- growth -------------------------------------------------------------------------------------- */

enum { GROWTH_COLS = 50, GROWTH_SIZES = 4, LAST_ROWS = 9 };

static void bench_ward_growth(FILE *out, int quick)
{
    static const int32_t rows[GROWTH_SIZES] = {20, 52, 100, 200};
    double n[GROWTH_SIZES], row_ms[GROWTH_SIZES], batch_ms[GROWTH_SIZES];
    int32_t count = quick ? 3 : GROWTH_SIZES;

    for (int32_t i = 0; i < count; i++) {
        static struct rows all;
        struct points p;
        struct tree t;

        points_open(&p, EMBEDDING, rows[i], GROWTH_COLS, 1);
        tree_open(&t, &p);
        memset(&all, 0, sizeof all);
        take_rows(&all, &t, &p, 1);
        n[i] = p.n;
        row_ms[i] = bench_median(all.ms + rows[i] - LAST_ROWS, LAST_ROWS);
        batch_ms[i] = rebuild_ms(&t);
        fly_arena_fini(&t.arena);
        points_close(&p);
    }
    fprintf(out, "{\"name\": \"ward.growth\", \"size\": %.0f, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\"",
            n[count - 1], row_ms[count - 1]);
    for (int32_t what = 0; what < 3; what++) {
        const double *values = what == 0 ? n : what == 1 ? row_ms : batch_ms;

        fprintf(out, ", \"%s\": [", what == 0 ? "n" : what == 1 ? "row_ms" : "batch_ms");
        for (int32_t i = 0; i < count; i++)
            fprintf(out, "%s%.4g", i ? ", " : "", values[i]);
        fprintf(out, "]");
    }
    fprintf(out, ", \"row_exponent\": %.3f, \"batch_exponent\": %.3f}\n", bench_exponent(n, row_ms, count),
            bench_exponent(n, batch_ms, count));
    fflush(out);
}

int bench_ward(FILE *out, const struct bench_options *options)
{
    int rc = FLY_OK;

    openblas_set_num_threads(1);
    for (enum kind kind = EMBEDDING; rc == FLY_OK && kind <= NOISE; kind++) {
        rc = bench_batch(out, kind, options);
        bench_rows(out, kind, 0, options->quick);
        if (kind == EMBEDDING)
            bench_rows(out, kind, 1, options->quick);
    }
    if (rc == FLY_OK)
        bench_ward_growth(out, options->quick);
    return rc;
}
