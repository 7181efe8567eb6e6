/* tests/bench/bench_region.c: regions on one core: their squares, their d-spacings, crystallinity.
 *
 *   region.scan           a scan of 51 rows of 51 chips, five bands; after each row the squares of all labels, and the
 *                         robust d-spacing of those that changed. The reference is a bare transform of every region
 *                         after every row: FFTW's r2c in single precision, of the very sizes, planned by measuring, on
 *                         pictures that lie ready (goal D1: times_reference <= 1.5).
 *   region.spacing        as if every square had changed: five regions of 90 to 300 px, a lattice in noise
 *   region.spacing.SIZE   one region; .paper: golden definition 15
 *   region.crystallinity  one chip's window of 45 px; the reference as above
 *   region.square.N       the largest squares of all labels on N chips; the reference is one plain look at each
 *                         chip's four labels
 */
#include <fftw3.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/region/crystallinity.h"
#include "engine/region/spacing.h"
#include "engine/region/square.h"
#include "tests/bench/bench.h"
#include "tests/bench/measure.h"

enum { CHIP_PX = 15, REGIONS = 5, SIDE_MOST = 300, ROUNDS_MOST = 41, WINDOW_PX = 3 * CHIP_PX };

static const int32_t sizes[REGIONS] = {90, 150, 195, 240, 300};

struct bare {
    fftwf_plan plan;
    float *in;
    fftwf_complex *out;
};

struct region {
    float *pixels;
    int32_t side;
    struct bare bare;
};

static struct bare bare_open(const struct region *region)
{
    size_t n = (size_t)region->side;
    struct bare b = {.in = fftwf_alloc_real(n * n), .out = fftwf_alloc_complex(n * (n / 2 + 1))};

    FLY_ASSERT(b.in && b.out);
    b.plan = fftwf_plan_dft_r2c_2d(region->side, region->side, b.in, b.out, FFTW_MEASURE);
    memcpy(b.in, region->pixels, n * n * sizeof *b.in);
    return b;
}

static void region_fill(struct region *region, int32_t side, struct fly_rng *rng)
{
    const double fy = 0.043, fx = 0.121; /* a period of 7.8 px */

    *region = (struct region){.side = side, .pixels = bench_need((size_t)side * (size_t)side, sizeof(float))};
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++)
            region->pixels[(size_t)y * (size_t)side + (size_t)x] =
                (float)(1000.0 + 100.0 * cos(6.283185307 * (fy * y + fx * x)) +
                        80.0 * cos(6.283185307 * (fx * y - fy * x)) + 100.0 * fly_rng_normal(rng));
}

static void region_open(struct region *region, int32_t side, struct fly_rng *rng)
{
    region_fill(region, side, rng);
    region->bare = bare_open(region);
}

static void region_close(struct region *region)
{
    fftwf_destroy_plan(region->bare.plan);
    fftwf_free(region->bare.in);
    fftwf_free(region->bare.out);
    free(region->pixels);
}

struct rig {
    struct fly_arena arena, scratch;
    struct fly_transforms fast, exact;
    struct fly_spacing_config config;
    struct region region[REGIONS], window;
};

static void rig_open(struct rig *rig)
{
    struct fly_transforms_config how = {
        .chip_px = CHIP_PX, .pitch_px = CHIP_PX, .side_px_max = SIDE_MOST, .workers = 1};
    struct fly_transforms_config exactly;
    struct fly_rng rng = {1};

    rig->config = fly_spacing_config_default();
    rig->config.pixel_nm[0] = rig->config.pixel_nm[1] = 0.05;
    fly_spacing_f_max(&rig->config, how.f_max);
    exactly = how;
    exactly.exact = 1;
    bench_check(fly_arena_init(&rig->arena, fly_transforms_need(&how) + fly_transforms_need(&exactly), NULL, "bench"));
    bench_check(fly_arena_init(&rig->scratch, fly_squares_need(256), NULL, "bench"));
    bench_check(fly_transforms_init(&rig->fast, &how, &rig->arena));
    bench_check(fly_transforms_init(&rig->exact, &exactly, &rig->arena));
    for (int r = 0; r < REGIONS; r++)
        region_open(&rig->region[r], sizes[r], &rng);
    region_open(&rig->window, WINDOW_PX, &rng);
}

static void rig_close(struct rig *rig)
{
    for (int r = 0; r < REGIONS; r++)
        region_close(&rig->region[r]);
    region_close(&rig->window);
    fly_transforms_fini(&rig->fast);
    fly_transforms_fini(&rig->exact);
    fly_arena_fini(&rig->arena);
    fly_arena_fini(&rig->scratch);
}

static struct fly_picture picture_of(const struct region *region)
{
    return (struct fly_picture){
        .pixels = region->pixels, .stride = region->side, .h = region->side, .w = region->side};
}

static double spacing_s(struct rig *rig, const struct region *region, int paper)
{
    struct fly_picture picture = picture_of(region);
    struct fly_spacing out;
    double begin = bench_now_s();

    bench_check(paper ? fly_spacing_paper(&out, &rig->exact, 0, &rig->config, &picture, NULL)
                      : fly_spacing_robust(&out, &rig->fast, 0, &rig->config, &picture, NULL));
    FLY_ASSERT(out.crystalline);
    return bench_now_s() - begin;
}

static double window_s(struct rig *rig)
{
    struct fly_picture picture = picture_of(&rig->window);
    double begin = bench_now_s();
    float out;

    bench_check(fly_crystallinity(&out, &rig->fast, 0, &rig->config, &picture));
    FLY_ASSERT(out > 0.0f);
    return bench_now_s() - begin;
}

static double bare_s(const struct region *region)
{
    double begin = bench_now_s();

    fftwf_execute(region->bare.plan);
    return bench_now_s() - begin;
}

/* Bands of labels with a speckle in them, as maps have. */
static int32_t *map_new(int32_t rows, int32_t cols, int32_t kinds)
{
    int32_t *labels = bench_need((size_t)rows * (size_t)cols, sizeof *labels);
    struct fly_rng rng = {2};

    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < cols; c++)
            labels[(size_t)r * (size_t)cols + (size_t)c] =
                fly_rng_below(&rng, 100) == 0 ? (int32_t)fly_rng_below(&rng, (uint64_t)kinds) : r * kinds / rows;
    return labels;
}

static double squares_s(struct rig *rig, const int32_t *labels, int32_t rows, int32_t cols, int32_t kinds)
{
    struct fly_square squares[16];
    double begin = bench_now_s();

    fly_squares_find(squares, kinds, labels, rows, cols, &rig->scratch);
    FLY_ASSERT(squares[0].n > 1);
    return bench_now_s() - begin;
}

static double look_s(const int32_t *labels, int32_t rows, int32_t cols)
{
    double begin = bench_now_s();
    int32_t equal = 0;

    for (int32_t r = 1; r < rows; r++)
        for (int32_t c = 1; c < cols; c++) {
            const int32_t *at = labels + (size_t)r * (size_t)cols + (size_t)c;

            equal += at[0] == at[-1] && at[0] == at[-cols] && at[0] == at[-cols - 1];
        }
    FLY_ASSERT(equal > 0);
    return bench_now_s() - begin;
}

static void print(FILE *out, const char *name, int32_t size, double *ours, double *reference, int32_t rounds)
{
    double ours_s = bench_median(ours, rounds), reference_s = bench_median(reference, rounds);

    fprintf(out,
            "{\"name\": \"%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"us\", "
            "\"reference\": %.4g, \"ratio\": %.3f, \"times_reference\": %.3f}\n",
            name, (int)size, ours_s * 1e6, reference_s * 1e6, reference_s / ours_s, ours_s / reference_s);
    fflush(out);
}

static void bench_spacings(FILE *out, struct rig *rig, int32_t rounds)
{
    double all[ROUNDS_MOST], bare[ROUNDS_MOST], one[REGIONS][ROUNDS_MOST], one_bare[REGIONS][ROUNDS_MOST];
    double paper[REGIONS][ROUNDS_MOST], window[ROUNDS_MOST], window_bare[ROUNDS_MOST];
    int32_t *labels = map_new(51, 51, REGIONS);
    char name[64];

    for (int32_t r = 0; r < rounds; r++) {
        all[r] = squares_s(rig, labels, 51, 51, REGIONS);
        bare[r] = 0.0;
        for (int k = 0; k < REGIONS; k++) {
            one[k][r] = spacing_s(rig, &rig->region[k], 0);
            paper[k][r] = spacing_s(rig, &rig->region[k], 1);
            one_bare[k][r] = bare_s(&rig->region[k]);
            all[r] += one[k][r];
            bare[r] += one_bare[k][r];
        }
        window[r] = window_s(rig);
        window_bare[r] = bare_s(&rig->window);
    }
    print(out, "region.spacing", REGIONS, all, bare, rounds);
    for (int k = 0; k < REGIONS; k++) {
        snprintf(name, sizeof name, "region.spacing.%d", (int)sizes[k]);
        print(out, name, sizes[k], one[k], one_bare[k], rounds);
        snprintf(name, sizeof name, "region.spacing.%d.paper", (int)sizes[k]);
        print(out, name, sizes[k], paper[k], one_bare[k], rounds);
    }
    print(out, "region.crystallinity", WINDOW_PX, window, window_bare, rounds);
    free(labels);
}

/* ---- a scan ------------------------------------------------------------------------------------- */

enum { SCAN = 51, SCAN_PX = SCAN * CHIP_PX };

static double bare_of(int32_t n, double *known)
{
    struct region region;
    struct fly_rng rng = {3};
    double s[11];

    if (known[n] > 0.0)
        return known[n];
    region_open(&region, n * CHIP_PX, &rng);
    for (int r = 0; r < 11; r++)
        s[r] = bare_s(&region);
    region_close(&region);
    return known[n] = bench_median(s, 11);
}

/* One scan, row by row; what it took, what bare transforms would have, and how many regions were measured. */
static double scan_s(struct rig *rig, const struct region *frame, const int32_t *map, double *known, double *bare,
                     int32_t *regions, int32_t *measured)
{
    int32_t *labels = bench_need(SCAN * SCAN, sizeof *labels);
    struct fly_square now[REGIONS], before[REGIONS] = {{0}};
    double sum = 0.0;

    *bare = 0.0;
    *regions = *measured = 0;
    for (int32_t i = 0; i < SCAN * SCAN; i++)
        labels[i] = -1;
    for (int32_t row = 0; row < SCAN; row++) {
        double begin;

        memcpy(labels + row * SCAN, map + row * SCAN, SCAN * sizeof *labels);
        begin = bench_now_s();
        fly_squares_find(now, REGIONS, labels, SCAN, SCAN, &rig->scratch);
        for (int r = 0; r < REGIONS; r++) {
            struct fly_picture picture = {.stride = frame->side};
            struct fly_spacing out;

            if (now[r].n == 0 || fly_square_same(now[r], before[r]))
                continue;
            picture.h = picture.w = fly_square_px(now[r], CHIP_PX, CHIP_PX);
            picture.pixels = frame->pixels + (size_t)now[r].row * CHIP_PX * (size_t)frame->side + now[r].col * CHIP_PX;
            bench_check(fly_spacing_robust(&out, &rig->fast, 0, &rig->config, &picture, NULL));
            ++*measured;
        }
        sum += bench_now_s() - begin;
        memcpy(before, now, sizeof before);
        for (int r = 0; r < REGIONS; r++)
            if (now[r].n > 0) {
                *bare += bare_of(now[r].n, known);
                ++*regions;
            }
    }
    free(labels);
    return sum;
}

static void bench_scanning(FILE *out, struct rig *rig, int32_t rounds)
{
    int32_t *map = map_new(SCAN, SCAN, REGIONS), regions = 0, measured = 0;
    double ours[ROUNDS_MOST], bare[ROUNDS_MOST], known[SCAN + 1] = {0.0};
    struct fly_rng rng = {4};
    struct region frame;

    region_fill(&frame, SCAN_PX, &rng);
    for (int32_t r = 0; r < rounds; r++)
        ours[r] = scan_s(rig, &frame, map, known, &bare[r], &regions, &measured) / SCAN;
    for (int32_t r = 0; r < rounds; r++)
        bare[r] /= SCAN;
    print(out, "region.scan", SCAN * SCAN, ours, bare, rounds);
    fprintf(out, "{\"name\": \"region.scan.measured\", \"size\": %d, \"threads\": 1, \"median\": %d, "
                 "\"unit\": \"regions\", \"regions_after_rows\": %d}\n", SCAN * SCAN, (int)measured, (int)regions);
    fflush(out);
    free(frame.pixels);
    free(map);
}

static void bench_squares(FILE *out, struct rig *rig, int32_t side, int32_t rounds)
{
    double ours[ROUNDS_MOST], look[ROUNDS_MOST];
    int32_t *labels = map_new(side, side, 8);
    char name[64];

    for (int32_t r = 0; r < rounds; r++) {
        ours[r] = squares_s(rig, labels, side, side, 8);
        look[r] = look_s(labels, side, side);
    }
    snprintf(name, sizeof name, "region.square.%d", (int)(side * side));
    print(out, name, side * side, ours, look, rounds);
    free(labels);
}

int bench_region(FILE *out, const struct bench_options *options)
{
    static struct rig rig;
    int32_t rounds = options->quick ? 11 : ROUNDS_MOST;

    rig_open(&rig);
    bench_scanning(out, &rig, rounds < 11 ? rounds : 11);
    bench_spacings(out, &rig, rounds);
    bench_squares(out, &rig, 51, rounds);
    bench_squares(out, &rig, 256, rounds);
    rig_close(&rig);
    return FLY_OK;
}
