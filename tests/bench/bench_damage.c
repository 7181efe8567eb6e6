/* What the damage watch costs, how often it is wrong, and how soon it is right. */
#include "tests/bench/bench.h"

#include "engine/chip/assemble.h"
#include "tests/bench/measure.h"
#include "tests/support/damage_scene.h"

enum { SIDE = 51, FRAMES = 60, CLEAN = 300, QUICK_CLEAN = 5, SEEDS = 20, QUICK_SEEDS = 3 };

static void cost(FILE *out)
{
    struct damage_scene s;
    double took[FRAMES], begin, drawn;

    damage_scene_open(&s, SIDE, 150.0, 1);
    for (int f = 0; f < FRAMES; f++) {
        struct damage_scene bare = s; /* what drawing alone costs is taken off */
        size_t k = SIDE * SIDE;
        double *dose = bench_need(k, sizeof *dose);
        uint32_t *counted = bench_need(k * DAMAGE_WINDOWS, sizeof *counted);
        uint64_t *total = bench_need(k, sizeof *total);

        bare.dose = dose, bare.counted = counted, bare.total = total;
        begin = bench_now_s();
        for (int32_t i = 0; i < SIDE * SIDE; i++) {
            double of[DAMAGE_WINDOWS + 1];

            damage_scene_expect(&bare, i / SIDE, i % SIDE, of);
            for (int w = 0; w <= DAMAGE_WINDOWS; w++)
                total[i] += fly_rng_poisson(&bare.rng, of[w]);
            dose[i] = fly_rng_normal(&bare.rng);
        }
        drawn = bench_now_s() - begin;
        begin = bench_now_s();
        damage_scene_frame(&s);
        took[f] = fmax(0.0, bench_now_s() - begin - drawn) / SIDE;
        free(dose);
        free(counted);
        free(total);
    }
    fprintf(out, "{\"name\": \"damage.row\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"p99\": %.4g, "
            "\"unit\": \"ms\"}\n", SIDE * SIDE, 1e3 * bench_median(took, FRAMES), 1e3 * bench_quantile(took, FRAMES, 0.99));
    damage_scene_close(&s);
}

/* What the engine does besides: means of the chips of a row, from assembly. */
static void cost_of_means(FILE *out, int32_t side_px)
{
    int32_t px = SIDE * side_px;
    uint16_t *pixels = bench_need((size_t)px * (size_t)px, sizeof *pixels);
    double *mean = bench_need((size_t)side_px * (size_t)side_px, sizeof *mean), took[SIDE];
    struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = 2, .frames_max = 4};
    struct fly_rng rng = {5};
    struct fly_assembly *assembly;
    struct fly_arena arena;
    struct fly_taken taken;

    bench_check(fly_grid_init(&config.grid, px, px, side_px, 0, 0, 0));
    bench_check(fly_arena_init(&arena, fly_assembly_need(&config), NULL, "bench"));
    bench_check(fly_assembly_open(&assembly, &config, &arena));
    for (int64_t f = 0; f < 3; f++) {
        for (int32_t i = 0; i < px * px; i++)
            pixels[i] = (uint16_t)fly_rng_below(&rng, 1000);
        bench_check(fly_assembly_put(assembly, f, (struct fly_rect){0, 0, px, px}, pixels, 2000, &taken));
    }
    for (int32_t row = 0; row < SIDE; row++) {
        double begin = bench_now_s();

        for (int32_t col = 0; col < SIDE; col++)
            fly_assembly_mean(assembly, row * SIDE + col, mean);
        took[row] = bench_now_s() - begin;
    }
    fprintf(out, "{\"name\": \"damage.means\", \"size\": %d, \"side_px\": %d, \"threads\": 1, \"median\": %.4g, "
            "\"unit\": \"ms\"}\n", SIDE * SIDE, side_px, 1e3 * bench_median(took, SIDE));
    fly_arena_fini(&arena);
    free(pixels);
    free(mean);
}

/* Current of a frame: what an emitter does that runs down, and is made anew. */
static double drifting(int f)
{
    return 1.0 - 0.3 * f / FRAMES + (f >= 40 ? 0.2 : 0.0);
}

static void clean(FILE *out, double counts, int drifts, int scans)
{
    int wrong = 0;

    for (int i = 0; i < scans; i++) {
        struct damage_scene s;

        damage_scene_open(&s, SIDE, counts, (uint64_t)(1000 + i));
        for (int f = 0; f < FRAMES; f++) {
            s.current = drifts ? drifting(f) : 1.0;
            damage_scene_frame(&s);
        }
        wrong += fly_damage_found(s.watch, NULL, NULL) > 0;
        damage_scene_close(&s);
    }
    fprintf(out, "{\"name\": \"damage.false\", \"size\": %d, \"threads\": 1, \"counts\": %g, \"drifting\": %d, \"scans\": %d, "
            "\"median\": %.4g, \"unit\": \"scans\"}\n", SIDE * SIDE, counts, drifts, scans, (double)wrong);
    fflush(out);
}

/* null: not within FRAMES. */
static void frames(FILE *out, const char *key, double n)
{
    if (isfinite(n))
        fprintf(out, "\"%s\": %g, ", key, n);
    else
        fprintf(out, "\"%s\": null, ", key);
}

/* Frames until the first of 5 x 5 damaged chips is found, and the share of them found after FRAMES. */
static void power(FILE *out, double counts, enum damage_kind kind, int seeds)
{
    double *first = bench_need((size_t)seeds, sizeof *first), share = 0.0;

    for (int i = 0; i < seeds; i++) {
        struct damage_scene s;

        damage_scene_open(&s, 25, counts, (uint64_t)(1 + i));
        s.kind = kind;
        s.loss = 0.3;
        s.first = 15;
        s.across = 5;
        first[i] = INFINITY;
        for (int f = 0; f < FRAMES; f++) {
            damage_scene_frame(&s);
            if (fly_damage_found(s.watch, NULL, NULL) > 0 && !isfinite(first[i]))
                first[i] = f + 1;
        }
        for (int32_t k = 0; k < 25 * 25; k++)
            share += fly_damage_is(s.watch, k) && damage_scene_is_in(&s, k / 25, k % 25) ? 1.0 / 25.0 / seeds : 0.0;
        damage_scene_close(&s);
    }
    fprintf(out, "{\"name\": \"damage.found\", \"size\": 625, \"threads\": 1, \"counts\": %g, \"lost\": \"%s\", ", counts,
            kind == DAMAGE_OXYGEN ? "oxygen" : "thickness");
    frames(out, "median", bench_median(first, seeds));
    frames(out, "most", bench_quantile(first, seeds, 1.0));
    fprintf(out, "\"unit\": \"frames\", \"found\": %.3f}\n", share);
    fflush(out);
    free(first);
}

int bench_damage(FILE *out, const struct bench_options *options)
{
    static const double counts[] = {60.0, 150.0, 400.0};
    int scans = options->quick ? QUICK_CLEAN : CLEAN, seeds = options->quick ? QUICK_SEEDS : SEEDS;

    cost(out);
    cost_of_means(out, 10);
    cost_of_means(out, 15);
    for (int i = 0; i < 3; i++) {
        power(out, counts[i], DAMAGE_OXYGEN, seeds);
        power(out, counts[i], DAMAGE_THICKNESS, seeds);
    }
    for (int i = 0; i < 3; i++) {
        clean(out, counts[i], 0, scans / 3);
        clean(out, counts[i], 1, scans / 3);
    }
    return FLY_OK;
}
