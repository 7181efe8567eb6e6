/* tests/bench/bench_assembly.c: pixels into chip means, photons into chip spectra, both into the dose ledger, on one core.
 *
 * Prints one JSON object a line: name, size (bytes of one message's payload), threads, median, unit,
 * reference, ratio. The median is over rounds of one whole frame each; frames follow one another, so
 * that what an older frame gives up for a newer one is in the time. The reference is the plain loop
 * that takes everything on trust: no order, no repeats, no holding, no exact mean; ratio is median over
 * reference. Counts are compared with the reference's at the end: a fast wrong answer fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

#include "engine/base/rng.h"
#include "engine/chip/assemble.h"
#include "engine/eds/spectra.h"
#include "engine/steer/ledger.h"

static FILE *bench_out;

enum { ROUNDS = 15, SCAN = 512, SIDE = 15, CHANNELS = 4096, FRAMES_HELD = 4, DWELL_NS = 2000 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *rounds)
{
    qsort(rounds, ROUNDS, sizeof *rounds, by_value);
    return rounds[ROUNDS / 2];
}

static void print(const char *name, size_t bytes, double *fast, double *plain, const char *unit)
{
    double m = median(fast), r = median(plain);

    fprintf(bench_out, "{\"name\": \"%s\", \"size\": %zu, \"threads\": 1, \"median\": %.4g, \"unit\": \"%s\", "
           "\"reference\": %.4g, \"ratio\": %.3f}\n", name, bytes, m, unit, r, m / r);
    fflush(bench_out);
}

static void *need(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size);

    FLY_ASSERT(ptr);
    return ptr;
}

static void check(int rc)
{
    if (rc == FLY_OK)
        return;
    fprintf(stderr, "bench_assembly: %s\n", fly_fail_text());
    exit(1);
}

/* ---- lines --------------------------------------------------------------------------------------- */

static void bench_lines(void)
{
    struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = FRAMES_HELD, .frames_max = 1 << 20};
    struct fly_arena arena;
    struct fly_assembly *assembly;
    struct fly_rng rng = {1};
    uint16_t *pixels = need(SCAN * SCAN, sizeof *pixels), *held = need(SCAN * SCAN, sizeof *held);
    uint64_t *sums = need(SCAN * SCAN, sizeof *sums);
    double fast[ROUNDS], plain[ROUNDS], mean[SIDE * SIDE];

    for (int32_t i = 0; i < SCAN * SCAN; i++)
        pixels[i] = (uint16_t)fly_rng_next(&rng);
    check(fly_grid_init(&config.grid, SCAN, SCAN, SIDE, 0, 0, 0));
    check(fly_arena_init(&arena, fly_assembly_need(&config), NULL, "bench"));
    check(fly_assembly_open(&assembly, &config, &arena));
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now_s();

        for (int32_t y = 0; y < SCAN; y++) {
            struct fly_taken taken;

            check(fly_assembly_put(assembly, r, (struct fly_rect){y, 0, 1, SCAN}, pixels + y * SCAN, DWELL_NS,
                                   &taken));
        }
        fast[r] = SCAN / (now_s() - begin);
        begin = now_s();
        for (int32_t y = 0; y < SCAN; y++) {
            memcpy(held + y * SCAN, pixels + y * SCAN, SCAN * sizeof *held);
            for (int32_t x = 0; x < SCAN; x++)
                sums[y * SCAN + x] += (uint64_t)held[y * SCAN + x] * DWELL_NS;
        }
        plain[r] = SCAN / (now_s() - begin);
    }
    for (int32_t k = 0; k < fly_grid_chips(&config.grid); k++) {
        fly_assembly_mean(assembly, k, mean);
        for (int32_t i = 0; i < SIDE * SIDE; i++) {
            int32_t y = k / config.grid.cols * SIDE + i / SIDE, x = k % config.grid.cols * SIDE + i % SIDE;

            FLY_ASSERT(mean[i] == (double)sums[y * SCAN + x] / ((double)DWELL_NS * ROUNDS));
        }
    }
    print("assembly.put.line_u16", SCAN * sizeof *pixels, fast, plain, "lines/s");
    fly_arena_fini(&arena);
    free(pixels);
    free(held);
    free(sums);
}

/* ---- dose ---------------------------------------------------------------------------------------- */

/* Lines as the image sees them, and again as `also` segments do. */
static void bench_dose(const char *name, int also)
{
    struct fly_ledger_config config = {SCAN, SCAN, SIDE, SIDE, SCAN / SIDE, SCAN / SIDE, FRAMES_HELD, 1 << 20};
    struct fly_arena arena;
    struct fly_ledger *ledger;
    uint64_t *total = need(SCAN * SCAN, sizeof *total);
    float *us = need(SCAN * SCAN, sizeof *us);
    double fast[ROUNDS], plain[ROUNDS];

    check(fly_arena_init(&arena, fly_ledger_need(&config), NULL, "bench"));
    check(fly_ledger_open(&ledger, &config, &arena));
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now_s();

        for (int32_t y = 0; y < SCAN; y++)
            for (int s = 0; s <= also; s++)
                fly_ledger_book(ledger, r, (struct fly_cover_rect){y, 0, 1, SCAN}, DWELL_NS, 1, y + 1);
        fast[r] = (now_s() - begin) / SCAN / (1 + also) * 1e6;
        begin = now_s();
        for (int32_t y = 0; y < SCAN; y++)
            for (int32_t x = 0; x < SCAN; x++)
                total[y * SCAN + x] += DWELL_NS;
        plain[r] = (now_s() - begin) / SCAN * 1e6;
    }
    fly_ledger_pixels(ledger, (struct fly_cover_rect){0, 0, SCAN, SCAN}, us);
    for (int32_t i = 0; i < SCAN * SCAN; i++)
        FLY_ASSERT(us[i] == (float)((double)total[i] / 1e3));
    print(name, SCAN, fast, plain, "us");
    fly_arena_fini(&arena);
    free(total);
    free(us);
}

static void bench_look(void)
{
    struct fly_ledger_config config = {SCAN, SCAN, SIDE, SIDE, SCAN / SIDE, SCAN / SIDE, FRAMES_HELD, 1 << 20};
    int32_t chips = config.rows * config.cols;
    struct fly_arena arena;
    struct fly_ledger *ledger;
    struct fly_ledger_view view;
    double fast[ROUNDS], plain[ROUNDS];

    check(fly_arena_init(&arena, fly_ledger_need(&config), NULL, "bench"));
    check(fly_ledger_open(&ledger, &config, &arena));
    for (int r = 0; r < ROUNDS; r++) {
        double begin, sum = 0.0;

        fly_ledger_book(ledger, r, (struct fly_cover_rect){0, 0, SCAN, SCAN}, DWELL_NS, 1, 1);
        begin = now_s();
        fly_ledger_look(ledger, &view);
        fast[r] = (now_s() - begin) * 1e6;
        begin = now_s();
        for (int32_t k = 0; k < chips; k++)
            sum += (double)view.mean_us[k];
        plain[r] = (now_s() - begin) * 1e6;
        FLY_ASSERT(sum > 0.0);
    }
    print("ledger.look_all_chips_changed", (size_t)chips, fast, plain, "us");
    fly_arena_fini(&arena);
}

/* ---- photons ------------------------------------------------------------------------------------- */

struct shower {
    int64_t count;
    uint32_t *pixel;    /* (count) of the frame, rising */
    uint16_t *channel;  /* (count) */
    uint32_t *rows;     /* (SCAN * SCAN + 1) */
};

/* per_px photons a pixel on average, in Poisson numbers, most of them at low channels. */
static struct shower shower_make(double per_px)
{
    struct fly_rng rng = {2};
    struct shower s = {.rows = need(SCAN * SCAN + 1, sizeof *s.rows)};

    for (int32_t i = 0; i < SCAN * SCAN; i++)
        s.rows[i + 1] = s.rows[i] + (uint32_t)fly_rng_poisson(&rng, per_px);
    s.count = s.rows[SCAN * SCAN];
    s.pixel = need((size_t)s.count, sizeof *s.pixel);
    s.channel = need((size_t)s.count, sizeof *s.channel);
    for (int32_t i = 0; i < SCAN * SCAN; i++)
        for (uint32_t j = s.rows[i]; j < s.rows[i + 1]; j++) {
            double u = fly_rng_uniform(&rng);

            s.pixel[j] = (uint32_t)i;
            s.channel[j] = (uint16_t)(u * u * CHANNELS);
        }
    return s;
}

/* `lines` lines a message. Row pointers and pixels of each message are made beforehand: they come so. */
static void bench_photons(const char *name, enum fly_eds_layout layout, double per_px, int32_t lines)
{
    struct shower s = shower_make(per_px);
    int32_t chips_across = SCAN / SIDE, n_chips = chips_across * chips_across, messages = SCAN / lines;
    struct fly_spectra_config config = {.height_px = SCAN, .width_px = SCAN, .side_px = SIDE, .pitch_px = SIDE,
                                        .rows = chips_across, .cols = chips_across, .n_channels = CHANNELS,
                                        .segments = 1, .photons_held = FRAMES_HELD * s.count + 1,
                                        .frames_held = FRAMES_HELD, .frames_max = 1 << 20};
    struct fly_arena arena;
    struct fly_spectra *spectra;
    size_t per_message = (size_t)lines * SCAN;
    uint32_t *rows = need((size_t)messages * (per_message + 1), sizeof *rows);
    uint32_t *pixels = need((size_t)s.count, sizeof *pixels);
    uint32_t *plain_spectra = need((size_t)n_chips * CHANNELS, sizeof *plain_spectra);
    double fast[ROUNDS], plain[ROUNDS], mean_bytes;

    for (int32_t m = 0; m < messages; m++) {
        size_t first = (size_t)m * per_message;

        for (size_t i = 0; i <= per_message; i++)
            rows[(size_t)m * (per_message + 1) + i] = s.rows[first + i] - s.rows[first];
        for (uint32_t j = s.rows[first]; j < s.rows[first + per_message]; j++)
            pixels[j] = s.pixel[j] - (uint32_t)first;
    }
    check(fly_arena_init(&arena, fly_spectra_need(&config), NULL, "bench"));
    check(fly_spectra_open(&spectra, &config, &arena));
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now_s();

        for (int32_t m = 0; m < messages; m++) {
            uint32_t from = s.rows[(size_t)m * per_message];
            struct fly_eds_taken taken;
            struct fly_photons photons = {.frame = r, .y0 = m * lines, .h = lines, .w = SCAN,
                                          .dwell_ns = DWELL_NS, .layout = layout,
                                          .rows = rows + (size_t)m * (per_message + 1),
                                          .pixels = pixels + from, .channels = s.channel + from,
                                          .photons = s.rows[(size_t)(m + 1) * per_message] - from};

            check(fly_spectra_put(spectra, &photons, &taken));
        }
        fast[r] = (double)s.count / (now_s() - begin);
        begin = now_s();
        for (int64_t j = 0; j < s.count; j++) {
            uint32_t y = s.pixel[j] / SCAN / SIDE, x = s.pixel[j] % SCAN / SIDE;

            if (y < (uint32_t)chips_across && x < (uint32_t)chips_across)
                plain_spectra[((size_t)y * (size_t)chips_across + x) * CHANNELS + s.channel[j]]++;
        }
        plain[r] = (double)s.count / (now_s() - begin);
    }
    FLY_ASSERT(memcmp(fly_spectra_of(spectra, 0), plain_spectra,
                      (size_t)n_chips * CHANNELS * sizeof *plain_spectra) == 0);
    mean_bytes = (double)s.count / messages * (layout == FLY_EDS_CSR ? 2 : 6);
    if (layout == FLY_EDS_CSR)
        mean_bytes += 4.0 * (double)(per_message + 1);
    print(name, (size_t)mean_bytes, fast, plain, "photons/s");
    fly_arena_fini(&arena);
    free(s.pixel);
    free(s.channel);
    free(s.rows);
    free(rows);
    free(pixels);
    free(plain_spectra);
}

int bench_assembly(FILE *out)
{
    bench_out = out;
    bench_lines();
    bench_dose("ledger.book.line_new", 0);
    bench_dose("ledger.book.line_seen_by_5", 4);
    bench_look();
    bench_photons("spectra.put.csr_line_64_per_px", FLY_EDS_CSR, 64.0, 1);
    bench_photons("spectra.put.pairs_line_64_per_px", FLY_EDS_PAIRS, 64.0, 1);
    bench_photons("spectra.put.csr_frame_4_per_px", FLY_EDS_CSR, 4.0, SCAN);
    bench_photons("spectra.put.pairs_frame_4_per_px", FLY_EDS_PAIRS, 4.0, SCAN);
    bench_photons("spectra.put.pairs_line_1_in_8_px", FLY_EDS_PAIRS, 0.125, 1);
    return 0;
}
