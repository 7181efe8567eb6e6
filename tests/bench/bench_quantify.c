/* tests/bench/bench_quantify.c: chips quantified a second, on one core.
 *
 * Twelve elements, 4096 channels, by each method at 300 and 3000 photons a chip; once from each chip's own
 * counts, once with min_counts at twice those, so that all are pooled with their neighbours (nine spectra
 * are added first). The reference is a plain product of the shape of the fit's pseudo-inverse, 18 rows by
 * 4096 doubles, by OpenBLAS on one thread, the spectrum's counts made doubles before.
 */
#include <cblas.h>
#include <string.h>

#include "engine/base/rng.h"
#include "tests/bench/bench.h"
#include "tests/bench/measure.h"
#include "tests/bench/scene.h"

enum { SIDE = 24, N = SIDE * SIDE, MATRIX_ROWS = 18, ROUNDS_MOST = 9 };

static double products_s(const struct scene *scene, const double *matrix, int32_t n)
{
    double counts[SCENE_CHANNELS], sums[MATRIX_ROWS], sink = 0.0, begin = bench_now_s();

    for (int32_t k = 0; k < n; k++) {
        for (int32_t c = 0; c < SCENE_CHANNELS; c++)
            counts[c] = (double)scene->spec[(size_t)k * SCENE_CHANNELS + (size_t)c];
        cblas_dgemv(CblasRowMajor, CblasNoTrans, MATRIX_ROWS, SCENE_CHANNELS, 1.0, matrix, SCENE_CHANNELS,
                    counts, 1, 0.0, sums, 1);
        sink += sums[k % MATRIX_ROWS];
    }
    begin = bench_now_s() - begin;
    FLY_ASSERT(sink > 0.0);
    return begin;
}

static void one_case(FILE *out, const struct scene *scene, const double *matrix, enum fly_quantify_method method,
                     int pooled, int quick)
{
    static const char *const names[] = {"fit", "window", "ml"};
    struct fly_quantify_config config = scene_quantification(method);
    int32_t rounds = quick ? 3 : ROUNDS_MOST, n = quick ? N / 4 : N;
    double ours[ROUNDS_MOST], plain[ROUNDS_MOST], s, r;
    struct fly_quantify_work work;
    struct fly_quantifier *q;
    struct fly_arena arena, work_arena;
    enum fly_quantify_status expect = pooled ? FLY_QUANTIFY_POOLED : FLY_QUANTIFY_OK;

    config.min_counts = pooled ? (int32_t)(2.0 * scene->photons) : 100;
    bench_check(fly_arena_init(&arena, fly_quantifier_need(&config), NULL, "bench"));
    bench_check(fly_quantifier_open(&q, &config, &arena));
    bench_check(fly_arena_init(&work_arena, fly_quantify_work_need(q), NULL, "bench"));
    fly_quantify_work_init(&work, q, &work_arena);
    for (int32_t round = 0; round < rounds; round++) {
        double begin = bench_now_s();

        for (int32_t k = 0; k < n; k++) {
            struct fly_composition c;

            fly_quantify_chip(q, &work, scene->spec, SIDE, SIDE, k, &c);
            FLY_ASSERT(c.status == expect);
        }
        ours[round] = bench_now_s() - begin;
        plain[round] = products_s(scene, matrix, n);
    }
    s = bench_median(ours, rounds) / n;
    r = bench_median(plain, rounds) / n;
    fprintf(out,
            "{\"name\": \"quantify.%s%s\", \"size\": %.0f, \"threads\": 1, \"median\": %.5g, \"unit\": "
            "\"chips/s\", \"reference\": %.5g, \"ratio\": %.3f, \"us\": %.2f, \"steps_a_chip\": %.2f}\n",
            names[method], pooled ? ".pooled" : "", scene->photons, 1.0 / s, 1.0 / r, r / s, s * 1e6,
            (double)work.steps / (double)work.chips_quantified);
    fflush(out);
    fly_arena_fini(&work_arena);
    fly_arena_fini(&arena);
}

int bench_quantify(FILE *out, const struct bench_options *options)
{
    double *matrix = bench_need((size_t)MATRIX_ROWS * SCENE_CHANNELS, sizeof *matrix);
    struct fly_rng rng = {1};

    openblas_set_num_threads(1);
    for (int32_t i = 0; i < MATRIX_ROWS * SCENE_CHANNELS; i++)
        matrix[i] = fly_rng_uniform(&rng);
    for (int32_t photons = 300; photons <= 3000; photons *= 10) {
        struct scene scene;

        scene_open(&scene, SIDE, SIDE, photons, 1);
        for (int32_t method = FLY_QUANTIFY_FIT; method < FLY_QUANTIFY_METHODS; method++)
            for (int pooled = 0; pooled < 2; pooled++)
                one_case(out, &scene, matrix, (enum fly_quantify_method)method, pooled, options->quick);
        scene_close(&scene);
    }
    free(matrix);
    return FLY_OK;
}
