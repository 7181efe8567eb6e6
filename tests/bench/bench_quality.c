/* tests/bench/bench_quality.c: what watching data quality costs, on one core.
 *
 *   quality.line    what a line of 512 px adds to assembly: saturation and drift's views; the reference is assembly
 *   quality.frame   a frame compared with the first
 *   quality.boxes   64 boxes of 16 px compared with the first
 *   quality.advice  the chip size by the lattice in 512 x 512 px
 *   quality.tell    all numbers of 2601 chips, as for each `metrics`; the reference is a pass over their counts
 */
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/measure.h"

#include "engine/base/rng.h"
#include "engine/chip/box_drift.h"
#include "engine/engine.h"

enum { SCAN = 512, SIDE = 10, FRAMES = 15, ROUNDS = 9, CHANNELS = 64, LINE_PHOTONS = SCAN * 2,
       PARTICLES = 400, REACH = 15 };

static FILE *bench_out;

static void print(const char *name, int size, double median, const char *unit, double reference)
{
    fprintf(bench_out, "{\"name\": \"%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"%s\"", name, size,
            median, unit);
    if (reference > 0.0)
        fprintf(bench_out, ", \"reference\": %.4g, \"ratio\": %.3f", reference, reference / median);
    fprintf(bench_out, "}\n");
    fflush(bench_out);
}

/* A lattice of 9.3 px with particles, moved along by (1, 0.5) px a frame. */
static void look(uint16_t *pixels, int frame)
{
    struct fly_rng rng = {(uint64_t)frame + 1}, where = {7};
    double *mean = bench_need(SCAN * SCAN, sizeof *mean);

    for (int y = 0; y < SCAN; y++)
        for (int x = 0; x < SCAN; x++)
            mean[y * SCAN + x] = 150.0 + 40.0 * (cos((y + frame) * 0.6756) + cos((x + 0.5 * frame) * 0.6756));
    for (int p = 0; p < PARTICLES; p++) {
        double cy = SCAN * fly_rng_uniform(&where) - frame, cx = SCAN * fly_rng_uniform(&where) - 0.5 * frame;
        int y0 = (int)fmax(cy - REACH, 0.0), x0 = (int)fmax(cx - REACH, 0.0);

        for (int y = y0; y < cy + REACH && y < SCAN; y++)
            for (int x = x0; x < cx + REACH && x < SCAN; x++)
                mean[y * SCAN + x] += 300.0 * exp(-((y - cy) * (y - cy) + (x - cx) * (x - cx)) / 18.0);
    }
    for (int i = 0; i < SCAN * SCAN; i++)
        pixels[i] = (uint16_t)fly_rng_poisson(&rng, mean[i]);
    free(mean);
}

static void grid_of(struct fly_grid *grid)
{
    bench_check(fly_grid_init(grid, SCAN, SCAN, SIDE, 0, 0, 0));
}

static void bench_frames(uint16_t *pixels)
{
    struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = 4, .frames_max = FRAMES};
    struct fly_drift_config drift_config = {SCAN, SCAN, FLY_U16};
    double plain[FRAMES], watched[FRAMES], compared[FRAMES];
    struct fly_assembly *assembly;
    struct fly_saturation saturation;
    struct fly_drift_shift shift;
    struct fly_drift *drift;
    struct fly_arena arena;
    struct fly_taken taken;

    grid_of(&config.grid);
    bench_check(fly_arena_init(&arena, fly_size_add(fly_assembly_need(&config), fly_drift_need(&drift_config)), NULL,
                               "bench"));
    bench_check(fly_assembly_open(&assembly, &config, &arena));
    bench_check(fly_drift_open(&drift, &drift_config, &arena));
    fly_saturation_init(&saturation, FLY_U16);
    for (int f = 0; f < FRAMES; f++) {
        look(pixels, f);
        double begin = bench_now_s();

        for (int y = 0; y < SCAN; y++)
            bench_check(fly_assembly_put(assembly, f, (struct fly_rect){y, 0, 1, SCAN}, pixels + y * SCAN, 2000, &taken));
        double assembled = bench_now_s();

        for (int y = 0; y < SCAN; y++) {
            fly_saturation_put(&saturation, pixels + y * SCAN, SCAN);
            fly_drift_put(drift, f, (struct fly_rect){y, 0, 1, SCAN}, pixels + y * SCAN);
        }
        double put = bench_now_s();

        bench_check(fly_drift_step(drift, &shift));
        compared[f] = 1e3 * (bench_now_s() - put);
        plain[f] = 1e6 * (assembled - begin) / SCAN;
        watched[f] = 1e6 * (put - assembled) / SCAN;
        FLY_ASSERT(shift.measured && fabs(shift.dy_px - f) < 0.5);
    }
    print("quality.line", 2 * SCAN, bench_median(watched, FRAMES), "us", bench_median(plain, FRAMES));
    print("quality.frame", SCAN * SCAN, bench_median(compared + 1, FRAMES - 1), "ms", 0.0);
    fly_drift_close(&drift);
    fly_arena_fini(&arena);
}

static void put_boxes(struct fly_box_drift *drift, int64_t frame, const uint16_t *pixels)
{
    enum { BOX = 16 };

    for (int b = 0; b < 64; b++) {
        struct fly_rect r = {20 + b / 8 * 60 + b % 3, 20 + b % 8 * 60 + b % 5, BOX, BOX};
        uint16_t px[BOX * BOX];

        for (int y = 0; y < BOX; y++)
            memcpy(px + y * BOX, pixels + (r.y0 + y) * SCAN + r.x0, BOX * sizeof *px);
        fly_box_drift_put(drift, frame, r, px);
    }
}

static void bench_boxes(uint16_t *pixels)
{
    struct fly_drift_config config = {SCAN, SCAN, FLY_U16};
    struct fly_box_drift *drift;
    struct fly_drift_shift shift = {.measured = 1};
    struct fly_arena arena;
    double compared[FRAMES];

    bench_check(fly_arena_init(&arena, fly_box_drift_need(&config), NULL, "bench"));
    bench_check(fly_box_drift_init(&drift, &config, &arena));
    look(pixels, 0);
    fly_box_drift_begin(drift, 0);
    fly_box_drift_put(drift, 0, (struct fly_rect){0, 0, SCAN, SCAN}, pixels);
    fly_box_drift_told(drift, &shift);
    for (int f = 0; f < FRAMES; f++) {
        look(pixels, f + 1);
        fly_box_drift_begin(drift, f + 1);
        put_boxes(drift, f + 1, pixels);
        fly_box_drift_begin(drift, f + 2);
        double begin = bench_now_s();

        bench_check(fly_box_drift_step(drift, &shift));
        compared[f] = 1e3 * (bench_now_s() - begin);
        FLY_ASSERT(shift.measured && fabs(shift.dy_px - f - 1) < 0.5);
    }
    print("quality.boxes", 64, bench_median(compared, FRAMES), "ms", 0.0);
    fly_arena_fini(&arena);
}

static struct fly_engine *engine_of(const uint16_t *pixels)
{
    struct fly_engine_config config = {.has_image = 1, .dtype = FLY_U16, .range_rows = 1, .frames_held = 1,
                                       .frames_max = 1, .embed_width = 2, .segments = 1, .n_channels = CHANNELS,
                                       .ev_per_channel = 10.0, .photons_held = 4000000, .weights = {1, 1},
                                       .temperature = 1.0, .memory_limit = (size_t)1 << 30};
    struct fly_exec exec = fly_exec_serial();
    struct fly_rng rng = {3};
    struct fly_engine *engine;
    struct fly_taken taken;
    struct fly_eds_taken eds;

    grid_of(&config.grid);
    bench_check(fly_engine_open(&engine, &config, &exec, NULL));
    for (int y = 0; y < SCAN; y++) {
        uint32_t at[LINE_PHOTONS];
        uint16_t channel[LINE_PHOTONS];

        for (int i = 0; i < LINE_PHOTONS; i++) {
            at[i] = (uint32_t)fly_rng_below(&rng, SCAN);
            channel[i] = (uint16_t)fly_rng_below(&rng, CHANNELS);
        }
        bench_check(fly_engine_lines(engine, 0, (struct fly_rect){y, 0, 1, SCAN}, pixels + y * SCAN, 2000, 0, &taken));
        bench_check(fly_engine_photons(engine, &(struct fly_photons){.y0 = y, .h = 1, .w = SCAN, .dwell_ns = 2000,
                                                                     .layout = FLY_EDS_PAIRS, .pixels = at,
                                                                     .channels = channel, .photons = LINE_PHOTONS},
                                       0, &eds));
    }
    return engine;
}

/* Its first two pieces of work are the frame and the advice. */
static void bench_engine(const uint16_t *pixels)
{
    double advised[ROUNDS], told[ROUNDS], passed[ROUNDS];
    struct fly_quality quality;
    uint64_t sum = 0;

    for (int r = 0; r < ROUNDS; r++) {
        struct fly_engine *engine = engine_of(pixels);
        int32_t channels, chips = fly_grid_chips(fly_engine_grid(engine));
        const uint32_t *spectra = fly_engine_spectra(engine, &channels, NULL);

        FLY_ASSERT(fly_engine_quality_step(engine));
        double begin = bench_now_s();

        FLY_ASSERT(fly_engine_quality_step(engine));
        double advice = bench_now_s();

        fly_engine_quality(engine, &quality);
        double all = bench_now_s();

        for (int32_t k = 0; k < chips * channels; k++)
            sum += spectra[k];
        passed[r] = 1e3 * (bench_now_s() - all);
        advised[r] = 1e3 * (advice - begin);
        told[r] = 1e3 * (all - advice);
        FLY_ASSERT(!fly_engine_quality_step(engine));
        FLY_ASSERT(quality.advice.reason != FLY_ADVICE_TOO_LITTLE && quality.counts.median > 0.0 && sum);
        fly_engine_close(&engine);
    }
    print("quality.advice", SCAN * SCAN, bench_median(advised, ROUNDS), "ms", 0.0);
    print("quality.tell", (SCAN / SIDE) * (SCAN / SIDE), bench_median(told, ROUNDS), "ms", bench_median(passed, ROUNDS));
}

int bench_quality(FILE *out)
{
    uint16_t *pixels = bench_need(SCAN * SCAN, sizeof *pixels);

    bench_out = out;
    bench_frames(pixels);
    bench_boxes(pixels);
    bench_engine(pixels);
    free(pixels);
    return FLY_OK;
}
