#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/coverage.h"
#include "engine/base/rng.h"
#include "engine/chip/assemble.h"
#include "engine/chip/exact.h"

enum { FRAMES = 6, SIDE_MAX = 40 };

/* The plain twin of assembly: every pixel of every frame kept, everything computed anew when asked. */
struct model {
    struct fly_grid grid;
    enum fly_dtype dtype;
    double value[FRAMES][SIDE_MAX * SIDE_MAX];
    uint64_t dwell[FRAMES][SIDE_MAX * SIDE_MAX]; /* 0: not measured */
    int dy[FRAMES], dx[FRAMES];
    int finished;
};

static int model_pixel(const struct model *m, int f, int y, int x, double *value, uint64_t *dwell)
{
    int at;

    y -= m->dy[f];
    x -= m->dx[f];
    if (y < 0 || x < 0 || y >= m->grid.height_px || x >= m->grid.width_px)
        return 0;
    at = y * m->grid.width_px + x;
    *value = m->value[f][at];
    *dwell = m->dwell[f][at];
    return *dwell != 0;
}

static int model_is_in_frame(const struct model *m, int f, int y, int x)
{
    y -= m->dy[f];
    x -= m->dx[f];
    return y >= 0 && x >= 0 && y < m->grid.height_px && x < m->grid.width_px;
}

/* What a shift has put beyond the frame is not waited for. */
static int model_takes(const struct model *m, int f, int chip)
{
    const struct fly_grid *g = &m->grid;
    double v;
    uint64_t d;

    if (m->finished)
        return 1;
    for (int y = chip / g->cols * g->pitch_px, h = 0; h < g->side_px; y++, h++)
        for (int x = chip % g->cols * g->pitch_px, w = 0; w < g->side_px; x++, w++)
            if (model_is_in_frame(m, f, y, x) && !model_pixel(m, f, y, x, &v, &d))
                return 0;
    return 1;
}

enum { EVEN = 0, ODD = 1, ALL = 2 };

/* 1 and the chip's mean over the frames of that parity when every pixel has one. Values are small integers or quarters: long double sums
 * of them are exact, and so is the rounding of their quotient (64 bits, then 53, of numbers this small). */
static int model_mean(const struct model *m, int chip, int parity, double *mean)
{
    const struct fly_grid *g = &m->grid;

    for (int y = 0; y < g->side_px; y++)
        for (int x = 0; x < g->side_px; x++) {
            uint64_t sum[FLY_EXACT_LIMBS_MAX] = {0}, weight = 0;

            for (int f = 0; f < FRAMES; f++) {
                double v;
                uint64_t d;
                union {
                    uint16_t u16;
                    float f32;
                } item;

                if ((parity != ALL && f % 2 != parity) || !model_takes(m, f, chip) ||
                    !model_pixel(m, f, chip / g->cols * g->pitch_px + y, chip % g->cols * g->pitch_px + x, &v, &d))
                    continue;
                if (m->dtype == FLY_U16)
                    item.u16 = (uint16_t)v;
                else
                    item.f32 = (float)v;
                fly_exact_add(m->dtype, sum, &item, 0, d, 1);
                weight += d;
            }
            if (!weight)
                return 0;
            mean[y * g->side_px + x] = fly_exact_mean_ref(m->dtype, sum, weight);
        }
    return 1;
}

struct rig {
    struct fly_arena arena;
    struct fly_assembly *assembly;
    struct model model;
    int32_t halved[FLY_HALVED_MAX], n_halved;
};

static void rig_open(struct rig *rig, int32_t h, int32_t w, int32_t side, int32_t pitch, enum fly_dtype dtype,
                     int32_t held)
{
    struct fly_assembly_config config = {.dtype = dtype, .frames_held = held, .frames_max = FRAMES, .halved = rig->halved};

    memset(&rig->model, 0, sizeof rig->model);
    assert_int_equal(fly_grid_init(&config.grid, h, w, side, pitch, 0, 0), FLY_OK);
    for (int32_t k = 0; k < fly_grid_chips(&config.grid) && config.n_halved < FLY_HALVED_MAX; k += 2)
        rig->halved[config.n_halved++] = k;
    rig->n_halved = config.n_halved;
    assert_int_equal(fly_arena_init(&rig->arena, fly_assembly_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_assembly_open(&rig->assembly, &config, &rig->arena), FLY_OK);
    rig->model.grid = config.grid;
    rig->model.dtype = dtype;
}

static void rig_put(struct rig *rig, int f, struct fly_rect r, const double *values, uint64_t dwell,
                    struct fly_taken *taken)
{
    struct model *m = &rig->model;
    size_t n = (size_t)r.h * (size_t)r.w;
    uint16_t *u16 = malloc(n * sizeof *u16);
    float *f32 = malloc(n * sizeof *f32);

    for (size_t i = 0; i < n; i++) {
        int at = (r.y0 + (int)i / r.w) * m->grid.width_px + r.x0 + (int)i % r.w;

        u16[i] = (uint16_t)values[i];
        f32[i] = (float)values[i];
        if (!m->dwell[f][at] && isfinite(values[i])) {
            m->dwell[f][at] = dwell;
            m->value[f][at] = values[i];
        }
    }
    assert_int_equal(fly_assembly_put(rig->assembly, f, r, m->dtype == FLY_U16 ? (void *)u16 : (void *)f32, dwell,
                                      taken), FLY_OK);
    free(u16);
    free(f32);
}

static long halves_compared;

static void rig_compare_halves(struct rig *rig)
{
    double want[2][SIDE_MAX * SIDE_MAX], got[2][SIDE_MAX * SIDE_MAX];
    size_t bytes = sizeof(double) * (size_t)(rig->model.grid.side_px * rig->model.grid.side_px);

    for (int i = 0; i < rig->n_halved; i++) {
        int even = model_mean(&rig->model, rig->halved[i], EVEN, want[EVEN]);
        int odd = model_mean(&rig->model, rig->halved[i], ODD, want[ODD]);

        assert_int_equal(fly_assembly_halves(rig->assembly, i, got[EVEN], got[ODD]), even && odd);
        if (!even || !odd)
            continue;
        assert_memory_equal(got[EVEN], want[EVEN], bytes);
        assert_memory_equal(got[ODD], want[ODD], bytes);
        halves_compared++;
    }
}

static void rig_compare(struct rig *rig)
{
    double want[SIDE_MAX * SIDE_MAX], got[SIDE_MAX * SIDE_MAX];

    for (int k = 0; k < fly_grid_chips(&rig->model.grid); k++) {
        int complete = model_mean(&rig->model, k, ALL, want);

        assert_int_equal(fly_assembly_complete(rig->assembly, k), complete);
        if (!complete)
            continue;
        fly_assembly_mean(rig->assembly, k, got);
        assert_memory_equal(got, want, sizeof *got * (size_t)(rig->model.grid.side_px * rig->model.grid.side_px));
    }
    rig_compare_halves(rig);
}

/* What pixel (y, x) of frame f holds, the same whichever rectangle brings it. */
static double truth(enum fly_dtype dtype, int f, int at)
{
    uint64_t z = fly_rng_at((uint64_t)f * 100003 + (uint64_t)at);

    if (dtype == FLY_U16)
        return (double)(z & 0xFFFF);
    return ldexp((double)(int64_t)(z >> 40) - 8388608.0, (int)(z % 60) - 30);
}

static void any_order_any_subdivision_equals_batch_after_each_step(void **state)
{
    static const struct {
        int32_t h, w, side, pitch;
        enum fly_dtype dtype;
    } cases[] = {{23, 31, 7, 7, FLY_U16},  {24, 24, 8, 8, FLY_U16},   {20, 33, 9, 4, FLY_U16},
                 {17, 12, 5, 2, FLY_F32},  {16, 16, 16, 16, FLY_F32}, {9, 40, 3, 3, FLY_U16},
                 {1, 1, 1, 1, FLY_U16},    {30, 30, 10, 9, FLY_F32}};
    struct fly_rng rng = {1};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int round = 0; round < 3; round++) {
            static struct rig rig;
            int32_t h = cases[c].h, w = cases[c].w;
            int64_t fresh = 0, missing = 0;

            rig_open(&rig, h, w, cases[c].side, cases[c].pitch, cases[c].dtype, FRAMES);
            for (int step = 0; step < 120; step++) {
                int f = (int)fly_rng_below(&rng, FRAMES - 2);
                struct fly_rect r = {(int32_t)fly_rng_below(&rng, (uint64_t)h), (int32_t)fly_rng_below(&rng, (uint64_t)w), 0, 0};
                struct fly_taken taken;
                double values[SIDE_MAX * SIDE_MAX];

                r.h = 1 + (int32_t)fly_rng_below(&rng, (uint64_t)(h - r.y0));
                r.w = 1 + (int32_t)fly_rng_below(&rng, (uint64_t)(w - r.x0));
                for (int i = 0; i < r.h * r.w; i++)
                    values[i] = truth(cases[c].dtype, f, (r.y0 + i / r.w) * w + r.x0 + i % r.w);
                /* now and then content that contradicts what may be there */
                if (fly_rng_below(&rng, 10) == 0)
                    values[0] = values[0] + 1.0;
                if (cases[c].dtype == FLY_F32 && fly_rng_below(&rng, 10) == 0)
                    values[r.h * r.w - 1] = NAN;
                rig_put(&rig, f, r, values, 1 + (uint64_t)(f % 3) * 700 + (uint64_t)(r.x0 % 2) * 11, &taken);
                fresh += taken.fresh_px;
                assert_int_equal(taken.fresh_px + taken.repeated_px + taken.conflict_px + taken.nonfinite_px,
                                 (int64_t)r.h * r.w);
                rig_compare(&rig);
            }
            for (int f = 0; f < FRAMES; f++)
                for (int at = 0; at < h * w; at++)
                    missing += rig.model.dwell[f][at] != 0;
            assert_int_equal(fresh, missing);
            if (round) {
                int f = (int)fly_rng_below(&rng, 3);

                if (h > 1) {
                    assert_int_equal(fly_assembly_shift(rig.assembly, f, 1 - round, round), FLY_OK);
                    rig.model.dy[f] = 1 - round;
                    rig.model.dx[f] = round;
                    rig_compare(&rig);
                    assert_int_equal(fly_assembly_shift(rig.assembly, f, 0, 0), FLY_OK);
                    rig.model.dy[f] = rig.model.dx[f] = 0;
                    rig_compare(&rig);
                }
            }
            fly_assembly_finish(rig.assembly);
            rig.model.finished = 1;
            rig_compare(&rig);
            fly_arena_fini(&rig.arena);
        }
    assert_true(halves_compared > 1000);
}

static void a_repeat_keeps_the_first_and_says_which_it_was(void **state)
{
    static struct rig rig;
    double values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct fly_taken taken;

    (void)state;
    rig_open(&rig, 2, 8, 2, 2, FLY_U16, 2);
    rig_put(&rig, 0, (struct fly_rect){0, 0, 1, 8}, values, 5, &taken);
    assert_int_equal(taken.fresh_px, 8);
    rig_put(&rig, 0, (struct fly_rect){0, 0, 1, 8}, values, 5, &taken);
    assert_int_equal(taken.repeated_px, 8);
    values[3] = 99;
    rig_put(&rig, 0, (struct fly_rect){0, 0, 2, 4}, values, 5, &taken);
    assert_int_equal(taken.conflict_px, 1);
    assert_int_equal(taken.repeated_px, 3);
    assert_int_equal(taken.fresh_px, 4);
    assert_int_equal(taken.chips_done, 2);
    rig_compare(&rig);
    fly_arena_fini(&rig.arena);
}

static void done_frames_make_room_and_else_the_one_that_waits_longest_does(void **state)
{
    static struct rig rig;
    double values[64];
    struct fly_taken taken;
    uint16_t line[8] = {0};

    (void)state;
    for (int i = 0; i < 64; i++)
        values[i] = i;
    rig_open(&rig, 8, 8, 8, 8, FLY_U16, 2);
    /* two frames begun fill the room; the third closes the one that nothing came of for longest */
    for (int f = 0; f < 3; f++)
        rig_put(&rig, f, (struct fly_rect){0, 0, 1, 8}, values, 1, &taken);
    assert_int_equal(fly_assembly_put(rig.assembly, 0, (struct fly_rect){1, 0, 1, 8}, line, 1, &taken), FLY_ENOMEM);
    assert_non_null(strstr(fly_fail_text(), "engine.frames_held"));
    assert_int_equal(fly_assembly_shift(rig.assembly, 0, 1, 0), FLY_ERANGE);
    /* one that completes lets its block go */
    rig_put(&rig, 1, (struct fly_rect){1, 0, 7, 8}, values + 8, 1, &taken);
    assert_int_equal(taken.chips_done, 1);
    rig_put(&rig, 3, (struct fly_rect){0, 0, 8, 8}, values, 1, &taken);
    assert_int_equal(taken.chips_done, 1);
    /* what comes again of a frame that is gone changes nothing and says so */
    rig_put(&rig, 1, (struct fly_rect){0, 0, 8, 8}, values, 1, &taken);
    assert_int_equal(taken.unchecked_px, 64);
    assert_int_equal(fly_assembly_shift(rig.assembly, 1, 1, 0), FLY_ERANGE);
    /* what was there of the one closed counts, as that of others does at the end */
    fly_assembly_finish(rig.assembly);
    rig.model.finished = 1;
    rig_compare(&rig);
    fly_arena_fini(&rig.arena);
}

/* A block of which one chip's part went is held anew for its neighbour's: what went cannot be moved any more. */
static void a_frame_of_which_a_part_went_is_not_shifted(void **state)
{
    static struct rig rig;
    double values[36];
    struct fly_taken taken;

    (void)state;
    for (int i = 0; i < 36; i++)
        values[i] = i;
    rig_open(&rig, 12, 12, 6, 6, FLY_U16, 1);
    rig_put(&rig, 1, (struct fly_rect){0, 0, 6, 6}, values, 1, &taken);
    assert_int_equal(taken.chips_done, 1);
    rig_put(&rig, 2, (struct fly_rect){0, 0, 6, 6}, values, 1, &taken);
    assert_int_equal(taken.chips_done, 1);
    rig_put(&rig, 1, (struct fly_rect){0, 6, 6, 6}, values, 1, &taken);
    assert_int_equal(taken.chips_done, 1);
    rig_compare(&rig);
    assert_int_equal(fly_assembly_shift(rig.assembly, 1, 1, 0), FLY_ERANGE);
    rig_compare(&rig);
    fly_arena_fini(&rig.arena);
}

static void a_chip_with_an_unmeasured_pixel_stays_incomplete(void **state)
{
    static struct rig rig;
    double values[16] = {0};
    struct fly_taken taken;
    int32_t dirty[4];

    (void)state;
    rig_open(&rig, 4, 8, 4, 4, FLY_U16, 2);
    rig_put(&rig, 0, (struct fly_rect){0, 0, 4, 4}, values, 1, &taken);
    rig_put(&rig, 0, (struct fly_rect){0, 4, 3, 4}, values, 1, &taken);
    assert_int_equal(fly_assembly_drain_dirty(rig.assembly, dirty, 4), 1);
    assert_int_equal(dirty[0], 0);
    assert_int_equal(fly_assembly_drain_dirty(rig.assembly, dirty, 4), 0);
    fly_assembly_finish(rig.assembly);
    assert_false(fly_assembly_complete(rig.assembly, 1));
    assert_true(fabs(fly_assembly_coverage(rig.assembly) - 28.0 / 32.0) < 1e-12);
    fly_assembly_finish(rig.assembly);
    assert_int_equal(fly_assembly_version(rig.assembly, 1), 1);
    fly_arena_fini(&rig.arena);
}

static void margins_of_a_frame_whose_chips_are_done_still_count(void **state)
{
    static struct rig rig;
    double values[40] = {0};
    struct fly_taken taken;

    (void)state;
    rig_open(&rig, 9, 9, 8, 8, FLY_U16, 1);
    for (int y = 0; y < 9; y++)
        rig_put(&rig, 0, (struct fly_rect){y, 0, 1, 9}, values, 1, &taken);
    assert_true(fly_assembly_coverage(rig.assembly) == 1.0);
    fly_arena_fini(&rig.arena);
}

/* ---- exact sums -------------------------------------------------------------------------------- */

static void means_are_correctly_rounded_closed_forms(void **state)
{
    uint64_t sum[FLY_EXACT_LIMBS_MAX] = {0};
    double big = 1e300, one = 1.0, tiny = 4.9406564584124654e-324, max = 1.7976931348623157e308;
    float f = 16777216.0f, third = 1.0f;
    int32_t low = INT32_MIN;

    (void)state;
    fly_exact_add(FLY_F64, sum, &big, 0, 1, 1);
    fly_exact_add(FLY_F64, sum, &one, 0, 1, 1);
    fly_exact_add(FLY_F64, sum, &big, 0, 1, -1);
    assert_true(fly_exact_mean(FLY_F64, sum, 3) == 1.0 / 3.0);
    fly_exact_add(FLY_F64, sum, &one, 0, 1, -1);
    assert_true(fly_exact_mean(FLY_F64, sum, 3) == 0.0);
    fly_exact_add(FLY_F64, sum, &tiny, 0, 1, 1);
    assert_true(fly_exact_mean(FLY_F64, sum, 1) == tiny);
    assert_true(fly_exact_mean(FLY_F64, sum, 2) == 0.0); /* half of the smallest: to even */
    fly_exact_add(FLY_F64, sum, &tiny, 0, 2, 1);
    assert_true(fly_exact_mean(FLY_F64, sum, 2) == 2 * tiny);
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < 1000; i++)
        fly_exact_add(FLY_F64, sum, &max, 0, UINT64_C(1) << 40, 1);
    assert_true(fly_exact_mean(FLY_F64, sum, 1000 * (UINT64_C(1) << 40)) == max);
    memset(sum, 0, sizeof sum);
    fly_exact_add(FLY_F32, sum, &f, 0, 3, 1);
    fly_exact_add(FLY_F32, sum, &third, 0, 7, 1);
    assert_true(fly_exact_mean(FLY_F32, sum, 10) == 50331655.0 / 10.0);
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < 4096; i++)
        fly_exact_add(FLY_I32, sum, &low, 0, UINT64_C(1) << 40, 1);
    assert_true(fly_exact_mean(FLY_I32, sum, UINT64_C(4096) << 40) == -2147483648.0);
}

static void fast_means_match_the_plain_twin(void **state)
{
    struct fly_rng rng = {3};

    (void)state;
    for (int round = 0; round < 4000; round++) {
        enum fly_dtype dtype = (enum fly_dtype)(round % FLY_DTYPES);
        uint64_t sum[FLY_EXACT_LIMBS_MAX] = {0}, weight = 0;

        for (int i = 0, n = 1 + round % 7; i < n; i++) {
            uint64_t bits = fly_rng_next(&rng), w = 1 + (fly_rng_next(&rng) >> (24 + fly_rng_below(&rng, 40)));
            double d;
            float s;

            memcpy(&d, &bits, 8);
            memcpy(&s, &bits, 4);
            if ((dtype == FLY_F64 && !isfinite(d)) || (dtype == FLY_F32 && !isfinite(s)))
                bits = 0;
            if (dtype == FLY_F64 && round % 3 == 0)
                bits &= 0x801FFFFFFFFFFFFFu; /* tiny and subnormal */
            fly_exact_add(dtype, sum, &bits, 0, w, 1);
            weight += w;
        }
        double fast = fly_exact_mean(dtype, sum, weight), plain = fly_exact_mean_ref(dtype, sum, weight);

        assert_memory_equal(&fast, &plain, sizeof fast);
    }
}

/* ---- grid -------------------------------------------------------------------------------------- */

static void a_refused_grid_is_left_as_it_was(void **state)
{
    struct fly_grid grid = {.rows = 77};

    (void)state;
    assert_int_equal(fly_grid_init(&grid, 512, 512, 15, 16, 0, 0), FLY_ERANGE);
    assert_int_equal(fly_grid_init(&grid, 512, 512, 513, 0, 0, 0), FLY_ERANGE);
    assert_int_equal(fly_grid_init(&grid, 512, 512, 15, 0, 35, 0), FLY_ERANGE);
    assert_int_equal(fly_grid_init(&grid, 0, 512, 15, 0, 0, 0), FLY_ERANGE);
    assert_int_equal(fly_grid_init(&grid, 16385, 512, 15, 0, 0, 0), FLY_ERANGE);
    assert_int_equal(grid.rows, 77);
    assert_int_equal(fly_grid_init(&grid, 512, 512, 15, 0, 33, 33), FLY_OK);
    assert_int_equal(fly_grid_chips(&grid), 1089);
    assert_int_equal(fly_grid_init(&grid, 512, 500, 15, 0, 0, 0), FLY_OK);
    assert_int_equal(grid.rows, 34);
    assert_int_equal(grid.cols, 33);
}

static void touched_chips_are_those_that_share_a_pixel(void **state)
{
    struct fly_grid grid;

    (void)state;
    assert_int_equal(fly_grid_init(&grid, 40, 50, 9, 4, 0, 0), FLY_OK);
    for (int y = 0; y < 40; y++)
        for (int h = 1; y + h <= 40; h += 3) {
            struct fly_chip_range r = fly_grid_touched(&grid, (struct fly_rect){y, 0, h, 50});

            for (int row = 0; row < grid.rows; row++)
                assert_int_equal(row * 4 < y + h && row * 4 + 9 > y, row >= r.r0 && row < r.r1);
        }
}

/* A session of small re-scans and of shifted frames goes on for longer than there are records of frames. */
static void more_frames_in_part_or_shifted_than_are_remembered_are_taken(void **state)
{
    struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = 2, .frames_max = 4 * FLY_COVER_FRAMES};
    struct fly_arena arena;
    struct fly_assembly *assembly;
    struct fly_taken taken;
    uint16_t px[8 * 24] = {0};
    double mean[64];
    int64_t sum = 0, n = 3 * FLY_COVER_FRAMES;

    assert_int_equal(fly_grid_init(&config.grid, 24, 24, 8, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_arena_init(&arena, fly_assembly_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_assembly_open(&assembly, &config, &arena), FLY_OK);
    for (int64_t f = 0; f < n; f++) {
        int whole = f % 3 == 0;

        for (size_t i = 0; i < sizeof px / sizeof *px; i++)
            px[i] = (uint16_t)f;
        sum += f;
        if (whole)
            assert_int_equal(fly_assembly_shift(assembly, f, 1, 0), FLY_OK);
        for (int32_t y = whole ? 0 : 8; y < (whole ? 24 : 16); y += 8)
            assert_int_equal(fly_assembly_put(assembly, f, (struct fly_rect){y, 0, 8, 24}, px, 1, &taken), FLY_OK);
        assert_int_equal(taken.fresh_px, 8 * 24);
    }
    fly_assembly_mean(assembly, 4, mean);
    for (int i = 0; i < 64; i++)
        assert_true(mean[i] == (double)sum / (double)n);
    /* What comes of the first of them now changes nothing, and is not taken for a repeat. */
    assert_int_equal(fly_assembly_put(assembly, 1, (struct fly_rect){0, 0, 8, 24}, px, 1, &taken), FLY_ENOMEM);
    assert_non_null(strstr(fly_fail_text(), "frame 1 made room for others"));
    assert_int_equal(taken.fresh_px + taken.repeated_px, 0);
    assert_int_equal(fly_assembly_shift(assembly, 1, 1, 1), FLY_ERANGE);
    fly_arena_fini(&arena);
}

/* Boxes of single chips, shifted off the blocks, overlapping, of chips smaller and larger than a block, few and many to a
 * frame: all is taken however long it goes on, and at the end each chip has the mean of all that was measured of it. */
static void a_session_of_boxes_never_runs_out_of_room(void **state)
{
    enum { GRID = 5 };
    static const struct {
        int32_t side, pitch, boxes, dy, dx, frames;
    } cases[] = {{16, 16, 3, 0, 0, 2500}, {16, 16, 3, 1, 1, 2500}, {15, 10, 4, 0, 0, 2500}, {15, 10, 1, 2, -3, 2500},
                 {6, 6, 6, 0, 0, 2500},   {6, 6, 2, -1, 2, 2500},  {16, 16, 1, 5, -7, 2500}, {130, 130, 2, 3, 3, 60}};
    struct fly_rng rng = {9};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int32_t side = cases[c].side, px = (GRID - 1) * cases[c].pitch + side;
        struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = 2, .frames_max = 4096};
        uint64_t *sum = calloc((size_t)px * (size_t)px, sizeof *sum), *n = calloc((size_t)px * (size_t)px, sizeof *n);
        uint8_t *had = malloc((size_t)px * (size_t)px);
        uint16_t *box = malloc((size_t)px * (size_t)px * sizeof *box);
        double *mean = malloc((size_t)side * (size_t)side * sizeof *mean);
        struct fly_arena arena;
        struct fly_assembly *assembly;
        struct fly_taken taken;

        assert_int_equal(fly_grid_init(&config.grid, px, px, side, cases[c].pitch, 0, 0), FLY_OK);
        assert_int_equal(fly_arena_init(&arena, fly_assembly_need(&config), NULL, "test"), FLY_OK);
        assert_int_equal(fly_assembly_open(&assembly, &config, &arena), FLY_OK);
        for (int32_t f = 0; f < cases[c].frames; f++) {
            int32_t dy = f ? cases[c].dy : 0, dx = f ? cases[c].dx : 0;

            memset(had, 0, (size_t)px * (size_t)px);
            if (f)
                assert_int_equal(fly_assembly_shift(assembly, f, dy, dx), FLY_OK);
            for (int32_t b = 0; b < (f ? cases[c].boxes : 1); b++) {
                struct fly_rect r = {(int32_t)fly_rng_below(&rng, GRID) * cases[c].pitch - dy,
                                     (int32_t)fly_rng_below(&rng, GRID) * cases[c].pitch - dx, side, side};

                if (!f)
                    r = (struct fly_rect){0, 0, px, px};
                if (r.y0 < 0 || r.x0 < 0 || r.y0 + r.h > px || r.x0 + r.w > px)
                    continue;
                for (int32_t i = 0; i < r.h * r.w; i++) {
                    int32_t y = r.y0 + i / r.w, x = r.x0 + i % r.w;
                    int inside = y + dy >= 0 && x + dx >= 0 && y + dy < px && x + dx < px;

                    box[i] = (uint16_t)truth(FLY_U16, f, y * px + x);
                    if (had[y * px + x] || !inside)
                        continue;
                    had[y * px + x] = 1;
                    sum[(y + dy) * px + x + dx] += box[i];
                    n[(y + dy) * px + x + dx]++;
                }
                for (int32_t y = 0; y < r.h; y++)
                    assert_int_equal(fly_assembly_put(assembly, f, (struct fly_rect){r.y0 + y, r.x0, 1, r.w},
                                                      box + y * r.w, 1000, &taken), FLY_OK);
            }
        }
        fly_assembly_finish(assembly);
        for (int32_t k = 0; k < GRID * GRID; k++) {
            fly_assembly_mean(assembly, k, mean);
            for (int32_t i = 0; i < side * side; i++) {
                int32_t at = (k / GRID * cases[c].pitch + i / side) * px + k % GRID * cases[c].pitch + i % side;

                if (mean[i] != (double)sum[at] / (double)n[at])
                    fail_msg("case %d, chip %d, pixel %d: %.17g, not %.17g", (int)c, (int)k, (int)i, mean[i],
                             (double)sum[at] / (double)n[at]);
            }
        }
        fly_arena_fini(&arena);
        free(sum);
        free(n);
        free(had);
        free(box);
        free(mean);
    }
}

/* A frame of which now and then a row comes is not the one that makes room for boxes; one of which nothing comes is. */
static void a_frame_in_slow_progress_stays_open(void **state)
{
    struct fly_assembly_config config = {.dtype = FLY_U16, .frames_held = 1, .frames_max = 1 << 14};
    static uint16_t px[16 * 128];
    struct fly_arena arena;
    struct fly_assembly *assembly;
    struct fly_taken taken;
    int64_t f = 100;

    (void)state;
    assert_int_equal(fly_grid_init(&config.grid, 128, 128, 16, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_arena_init(&arena, fly_assembly_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_assembly_open(&assembly, &config, &arena), FLY_OK);
    for (int32_t row = 0; row < 8; row++) {
        assert_int_equal(fly_assembly_put(assembly, 5, (struct fly_rect){16 * row, 0, 16, 128}, px, 1000, &taken), FLY_OK);
        assert_int_equal(taken.fresh_px, 16 * 128);
        assert_int_equal(taken.chips_done, 8);
        if (row == 0)
            assert_int_equal(fly_assembly_put(assembly, 6, (struct fly_rect){0, 0, 16, 128}, px, 1000, &taken), FLY_OK);
        for (int64_t end = f + 300; f < end; f++)
            for (int i = 0; i < 2; i++)
                assert_int_equal(fly_assembly_put(assembly, f, (struct fly_rect){16 * ((f + i) % 8), 16 * ((f / 8 + 3 * i) % 8),
                                                  16, 16}, px, 1000, &taken), FLY_OK);
    }
    assert_int_equal(fly_assembly_put(assembly, 6, (struct fly_rect){16, 0, 16, 128}, px, 1000, &taken), FLY_ENOMEM);
    assert_int_equal(taken.repeated_px, 0);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_any_subdivision_equals_batch_after_each_step),
        cmocka_unit_test(a_repeat_keeps_the_first_and_says_which_it_was),
        cmocka_unit_test(done_frames_make_room_and_else_the_one_that_waits_longest_does),
        cmocka_unit_test(a_frame_of_which_a_part_went_is_not_shifted),
        cmocka_unit_test(a_chip_with_an_unmeasured_pixel_stays_incomplete),
        cmocka_unit_test(margins_of_a_frame_whose_chips_are_done_still_count),
        cmocka_unit_test(means_are_correctly_rounded_closed_forms),
        cmocka_unit_test(fast_means_match_the_plain_twin),
        cmocka_unit_test(a_refused_grid_is_left_as_it_was),
        cmocka_unit_test(touched_chips_are_those_that_share_a_pixel),
        cmocka_unit_test(more_frames_in_part_or_shifted_than_are_remembered_are_taken),
        cmocka_unit_test(a_session_of_boxes_never_runs_out_of_room),
        cmocka_unit_test(a_frame_in_slow_progress_stays_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
