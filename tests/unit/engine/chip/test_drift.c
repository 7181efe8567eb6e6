#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/chip/drift.h"
#include "tests/support/drift_scene.h"

/* ---- rig ----------------------------------------------------------------------------------------------- */

struct rig {
    struct fly_arena arena;
    struct fly_drift *drift;
    int32_t h, w;
    uint16_t *counts; /* (h, w) */
};

static void rig_open(struct rig *rig, int32_t h, int32_t w, enum fly_dtype dtype)
{
    struct fly_drift_config config = {h, w, dtype};

    rig->h = h;
    rig->w = w;
    assert_int_equal(fly_arena_init(&rig->arena, fly_drift_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_drift_open(&rig->drift, &config, &rig->arena), FLY_OK);
    rig->counts = malloc((size_t)h * (size_t)w * sizeof *rig->counts);
    assert_non_null(rig->counts);
}

static void rig_close(struct rig *rig)
{
    fly_drift_close(&rig->drift);
    assert_null(rig->drift);
    fly_arena_fini(&rig->arena);
    free(rig->counts);
}

static void put_lines(struct rig *rig, int64_t frame, int32_t y0, int32_t y1)
{
    for (int32_t y = y0; y < y1; y++)
        fly_drift_put(rig->drift, frame, (struct fly_rect){y, 0, 1, rig->w}, rig->counts + (size_t)y * (size_t)rig->w);
}

static struct fly_drift_shift measure(struct rig *rig)
{
    struct fly_drift_shift shift;

    assert_true(fly_drift_ready(rig->drift));
    assert_int_equal(fly_drift_step(rig->drift, &shift), FLY_OK);
    return shift;
}

static struct fly_drift_shift whole(struct rig *rig, int64_t frame)
{
    put_lines(rig, frame, 0, rig->h);
    return measure(rig);
}

static struct fly_drift_shift show(struct rig *rig, const struct scene *s, int64_t frame, double dy, double dx,
                                   double dose, struct fly_rng *rng)
{
    look(s, rig->h, rig->w, dy, dx, dose, rng, rig->counts);
    return whole(rig, frame);
}

/* ---- how well ------------------------------------------------------------------------------------------ */

/* Uneven lattices with particles: the error and what sigma says of it. Each pair has its own reference, so that errors
 * are independent. */
static void shifts_come_to_a_tenth_of_a_pixel_and_sigma_knows(void **state)
{
    enum { PAIRS = 24 };
    static const struct {
        int32_t h, w;
        double dose;
    } cases[] = {{160, 160, 2.0}, {160, 160, 20.0}, {160, 160, 180.0}, {256, 256, 20.0}, {96, 200, 60.0}};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct fly_rng rng = {7 + c};
        double error = 0.0, sigma = 0.0, worst = 0.0;

        for (int pair = 0; pair < PAIRS; pair++) {
            struct scene s = scene(11.03, 10.4, 0.3, 12, cases[c].h, cases[c].w, 100 + (uint64_t)pair);
            double dy = 4.0 * (fly_rng_uniform(&rng) - 0.5), dx = 4.0 * (fly_rng_uniform(&rng) - 0.5), e;
            struct fly_drift_shift shift;
            struct rig rig;

            rig_open(&rig, cases[c].h, cases[c].w, FLY_U16);
            show(&rig, &s, 0, 0.0, 0.0, cases[c].dose, &rng);
            shift = show(&rig, &s, 1, dy, dx, cases[c].dose, &rng);
            assert_near(&shift, dy, dx, 0.5);
            e = hypot(shift.dy_px - dy, shift.dx_px - dx);
            error += 0.5 * e * e;
            sigma += 0.5 * (shift.sigma_dy_px * shift.sigma_dy_px + shift.sigma_dx_px * shift.sigma_dx_px);
            worst = fmax(worst, e);
            rig_close(&rig);
        }
        error = sqrt(error / PAIRS);
        sigma = sqrt(sigma / PAIRS);
        print_message("  %d x %d px, %.0f counts: rms %.4f px an axis, sigma %.4f, worst %.3f\n", (int)cases[c].h,
                      (int)cases[c].w, cases[c].dose, error, sigma, worst);
        assert_true(error < 0.1);
        /* 48 numbers know their rms to 10 %; the rest is the model's. */
        assert_true(sigma > 0.6 * error && sigma < 1.7 * error);
    }
}

/* The sign is that of fly_assembly_shift; steps are told from frame to frame. */
static void a_frame_lies_where_it_says_in_the_first(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 40, 80, 120, 3);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, 80, 120, FLY_U16);
    shift = show(&rig, &s, 0, 0.0, 0.0, 100.0, NULL);
    assert_true(shift.measured && shift.reference == 0 && shift.dy_px == 0.0 && shift.sigma_dx_px == 0.0);
    shift = show(&rig, &s, 1, 3.0, -2.0, 100.0, NULL);
    assert_near(&shift, 3.0, -2.0, 0.02);
    assert_false(shift.ambiguous);
    assert_true(shift.correlation > 0.8 && shift.correlation <= 1.0);
    shift = show(&rig, &s, 2, 4.25, 1.5, 100.0, NULL);
    assert_near(&shift, 4.25, 1.5, 0.05);
    assert_true(fabs(shift.since_dy_px - 1.25) < 0.05 && fabs(shift.since_dx_px - 3.5) < 0.05);
    /* another dwell makes another scale, not another place */
    shift = show(&rig, &s, 3, 4.25, 1.5, 400.0, NULL);
    assert_near(&shift, 4.25, 1.5, 0.05);
    rig_close(&rig);
}

/* A survey whose every pixel is another grain: there is no finer wave to see the noise in. */
static void pictures_as_rough_as_noise_are_measured(void **state)
{
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, 100, 90, FLY_U16);
    for (int f = 0; f < 2; f++) {
        for (int32_t y = 0; y < rig.h; y++)
            for (int32_t x = 0; x < rig.w; x++)
                rig.counts[y * rig.w + x] =
                    (uint16_t)(fly_rng_at((uint64_t)((y + 5 * f) * 1000 + x - 3 * f + 9)) >> 56);
        shift = whole(&rig, f);
    }
    assert_near(&shift, 5.0, -3.0, 0.1);
    assert_false(shift.ambiguous);
    rig_close(&rig);
}

/* ---- which cell ---------------------------------------------------------------------------------------- */

static void a_perfect_lattice_is_told_to_be_ambiguous(void **state)
{
    struct scene s = scene(11.03, 10.4, 0.0, 0, 256, 256, 1);
    struct fly_rng rng = {5};
    struct rig rig;
    double y = 0.0, x = 0.0;

    (void)state;
    rig_open(&rig, 256, 256, FLY_U16);
    show(&rig, &s, 0, 0.0, 0.0, 30.0, &rng);
    for (int64_t f = 1; f < 12; f++) {
        struct fly_drift_shift shift;
        double away_y, away_x;

        y += 1.7; /* beyond half a cell in the end: the way there decides */
        x -= 0.9;
        shift = show(&rig, &s, f, y, x, 30.0, &rng);
        assert_near(&shift, y, x, 0.15);
        assert_true(shift.ambiguous);
        away_y = (shift.rival_dy_px - shift.dy_px) / s.pitch_y;
        away_x = (shift.rival_dx_px - shift.dx_px) / s.pitch_x;
        assert_true(fabs(away_y - round(away_y)) < 0.1 && fabs(away_x - round(away_x)) < 0.1);
        assert_true(fabs(fabs(away_y) + fabs(away_x) - 1.0) < 0.1); /* next door */
    }
    rig_close(&rig);
}

/* A jump by most of a cell is followed where something else than the lattice is in sight, in the window or, of a
 * larger scan, anywhere; where nothing is, it is off by cells, and says so. */
static void what_is_not_periodic_tells_the_cell(void **state)
{
    const double dy = 8.1, dx = -7.7;
    struct scene bare = scene(11.03, 10.4, 0.0, 0, 420, 420, 1), decked = scene(11.03, 10.4, 0.0, 12, 256, 256, 1);
    struct scene far = scene(11.03, 10.4, 0.0, 40, 420, 420, 9);
    struct fly_drift_shift shift;
    struct fly_rng rng = {5};
    struct rig rig;

    (void)state;
    for (int i = 0; i < far.particles; i++) /* none in the window, 82 .. 338 */
        if (fabs(far.y[i] - 210.0) < 145.0 && fabs(far.x[i] - 210.0) < 145.0)
            far.y[i] = far.y[i] < 210.0 ? 65.0 : 355.0;

    rig_open(&rig, 256, 256, FLY_U16);
    show(&rig, &decked, 0, 0.0, 0.0, 30.0, &rng);
    shift = show(&rig, &decked, 1, dy, dx, 30.0, &rng);
    assert_near(&shift, dy, dx, 0.15);
    assert_false(shift.ambiguous);
    rig_close(&rig);

    rig_open(&rig, 420, 420, FLY_U16);
    show(&rig, &far, 0, 0.0, 0.0, 30.0, &rng);
    shift = show(&rig, &far, 1, dy, dx, 30.0, &rng);
    assert_near(&shift, dy, dx, 0.15);
    assert_false(shift.ambiguous);
    rig_close(&rig);

    rig_open(&rig, 420, 420, FLY_U16);
    show(&rig, &bare, 0, 0.0, 0.0, 30.0, &rng);
    shift = show(&rig, &bare, 1, dy, dx, 30.0, &rng);
    assert_near(&shift, dy - bare.pitch_y, dx + bare.pitch_x, 0.15);
    assert_true(shift.ambiguous);
    rig_close(&rig);
}

static void along_stripes_nothing_is_known(void **state)
{
    struct fly_drift_shift shift;
    struct fly_rng rng = {2};
    struct rig rig;

    (void)state;
    rig_open(&rig, 120, 120, FLY_U16);
    for (int f = 0; f < 2; f++) {
        for (int32_t i = 0; i < rig.h * rig.w; i++) /* an interface, and nothing along it */
            rig.counts[i] = (uint16_t)fly_rng_poisson(&rng, 50.0 + 40.0 * tanh((i / rig.w + 2.5 * f - 60.0) / 3.0));
        shift = whole(&rig, f);
    }
    assert_true(shift.measured && fabs(shift.dy_px - 2.5) < 0.5);
    assert_true(shift.sigma_dy_px < 0.5);
    assert_true(shift.ambiguous && shift.sigma_dx_px > 4.0 * shift.sigma_dy_px);
    assert_true(fabs(shift.rival_dy_px - shift.dy_px) < 2.0);
    rig_close(&rig);
}

/* ---- pixels in any order ------------------------------------------------------------------------------- */

static void put_shuffled(struct rig *rig, int64_t frame, struct fly_rng *rng)
{
    enum { TILE = 23 };
    int32_t rows = (rig->h + TILE - 1) / TILE, cols = (rig->w + TILE - 1) / TILE, n = rows * cols;
    int32_t *order = malloc((size_t)n * sizeof *order);

    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t j = (int32_t)fly_rng_below(rng, (uint64_t)i + 1), t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
    for (int32_t i = 0; i < n; i++) {
        uint16_t tile[TILE * TILE];
        struct fly_rect r = {order[i] / cols * TILE, order[i] % cols * TILE, TILE, TILE};

        r.h = r.y0 + r.h > rig->h ? rig->h - r.y0 : r.h;
        r.w = r.x0 + r.w > rig->w ? rig->w - r.x0 : r.w;
        for (int32_t y = 0; y < r.h; y++)
            memcpy(tile + y * r.w, rig->counts + (size_t)(r.y0 + y) * (size_t)rig->w + (size_t)r.x0,
                   (size_t)r.w * sizeof *tile);
        assert_int_equal(fly_drift_ready(rig->drift), 0);
        fly_drift_put(rig->drift, frame, r, tile);
        if (i % 5 == 0 && rig->h <= FLY_DRIFT_WINDOW_PX) /* again: the window takes each pixel once */
            fly_drift_put(rig->drift, frame, r, tile);
    }
    free(order);
}

static void any_order_and_subdivision_gives_the_same_bits(void **state)
{
    static const int32_t sides[][2] = {{90, 130}, {300, 270}, {70, 700}};
    struct fly_rng rng = {11};

    (void)state;
    for (size_t c = 0; c < sizeof sides / sizeof *sides; c++) {
        struct scene s = scene(9.3, 9.3, 0.2, 20, sides[c][0], sides[c][1], 4);
        struct rig a, b;

        rig_open(&a, sides[c][0], sides[c][1], FLY_U16);
        rig_open(&b, sides[c][0], sides[c][1], FLY_U16);
        for (int64_t f = 0; f < 3; f++) {
            struct fly_drift_shift one = show(&a, &s, f, 0.7 * (double)f, 0.4 * (double)f, 20.0, &rng), other;

            memcpy(b.counts, a.counts, (size_t)a.h * (size_t)a.w * sizeof *a.counts);
            put_shuffled(&b, f, &rng);
            other = measure(&b);
            assert_true(one.measured);
            assert_memory_equal(&one, &other, sizeof one);
        }
        rig_close(&a);
        rig_close(&b);
    }
}

/* Every number type tells the same place. */
static void every_type_is_measured(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.2, 20, 280, 60, 4);
    double dy[FLY_DTYPES], dx[FLY_DTYPES];

    (void)state;
    for (int t = 0; t < FLY_DTYPES; t++) {
        unsigned char *px = malloc(280 * 60 * 8);
        struct fly_drift_shift shift;
        struct rig rig;

        rig_open(&rig, 280, 60, (enum fly_dtype)t);
        for (int f = 0; f < 2; f++) {
            look(&s, 280, 60, 1.5 * f, -0.75 * f, 90.0, NULL, rig.counts);
            for (int32_t i = 0; i < 280 * 60; i++) {
                union {
                    uint8_t u8;
                    uint16_t u16;
                    uint32_t u32;
                    int16_t i16;
                    int32_t i32;
                    float f32;
                    double f64;
                } v;
                uint16_t count = rig.counts[i] > 255 ? 255 : rig.counts[i];

                switch (t) {
                case FLY_U8: v.u8 = (uint8_t)count; break;
                case FLY_U16: v.u16 = count; break;
                case FLY_U32: v.u32 = count; break;
                case FLY_I16: v.i16 = (int16_t)count; break;
                case FLY_I32: v.i32 = count; break;
                case FLY_F32: v.f32 = count; break;
                default: v.f64 = count; break;
                }
                memcpy(px + (size_t)i * fly_dtype_size((enum fly_dtype)t), &v, fly_dtype_size((enum fly_dtype)t));
            }
            fly_drift_put(rig.drift, f, (struct fly_rect){0, 0, 280, 60}, px);
            shift = measure(&rig);
        }
        assert_near(&shift, 1.5, -0.75, 0.05);
        dy[t] = shift.dy_px;
        dx[t] = shift.dx_px;
        assert_true(dy[t] == dy[0] && dx[t] == dx[0]);
        rig_close(&rig);
        free(px);
    }
}

static void what_is_no_number_counts_as_the_mean(void **state)
{
    enum { H = 120, W = 100 };
    struct scene s = scene(0.0, 0.0, 0.0, 40, H, W, 8);
    static float px[H * W];
    struct fly_rng rng = {6};
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, H, W, FLY_F32);
    for (int f = 0; f < 4; f++) {
        for (int32_t i = 0; i < H * W; i++) {
            uint64_t draw = fly_rng_below(&rng, 20);

            px[i] = (float)(1e-12 * seen(&s, i / W + 2.5 * f, i % W - f)); /* the unit of a float is anyone's */
            if (f == 3 || draw == 0)
                px[i] = draw % 3 ? NAN : draw % 2 ? INFINITY : -INFINITY;
        }
        fly_drift_put(rig.drift, f, (struct fly_rect){0, 0, H, W}, px);
        shift = measure(&rig);
        if (f < 3)
            assert_near(&shift, 2.5 * f, -f, 0.2);
    }
    assert_not_measured(&shift);
    rig_close(&rig);
}

/* ---- frames -------------------------------------------------------------------------------------------- */

static void two_frames_line_by_line_are_both_measured(void **state)
{
    enum { H = 90, W = 70 };
    struct scene s = scene(0.0, 0.0, 0.0, 30, H, W, 2);
    static uint16_t frames[3][H * W];
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, H, W, FLY_U16);
    for (int f = 0; f < 3; f++)
        look(&s, H, W, f, 2.0 * f, 100.0, NULL, frames[f]);
    memcpy(rig.counts, frames[0], sizeof frames[0]);
    whole(&rig, 0);
    for (int32_t y = 0; y < H; y++)
        for (int f = 2; f > 0; f--) {
            assert_false(fly_drift_ready(rig.drift));
            fly_drift_put(rig.drift, f, (struct fly_rect){y, 0, 1, W}, frames[f] + y * W);
            if (y == H - 1 && f == 2) { /* the later one is there first */
                shift = measure(&rig);
                assert_int_equal(shift.frame, 2);
                assert_near(&shift, 2.0, 4.0, 0.05);
            }
        }
    shift = measure(&rig);
    assert_int_equal(shift.frame, 1);
    assert_near(&shift, 1.0, 2.0, 0.05);
    assert_int_equal(fly_drift_counts(rig.drift).given_up, 0);
    /* what comes again of a frame that is done with begins nothing */
    memcpy(rig.counts, frames[1], sizeof frames[1]);
    put_lines(&rig, 1, 0, H);
    assert_false(fly_drift_ready(rig.drift));
    assert_int_equal(fly_drift_counts(rig.drift).measured, 3);
    rig_close(&rig);
}

static void a_frame_measured_long_ago_begins_nothing(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 10, 24, 24, 2);
    struct rig rig;

    (void)state;
    rig_open(&rig, 24, 24, FLY_U16);
    for (int64_t f = 0; f < 40; f++)
        show(&rig, &s, f, 0.0, 0.0, 100.0, NULL);
    for (int64_t f = 0; f < 40; f++) {
        put_lines(&rig, f, 0, 24);
        assert_false(fly_drift_ready(rig.drift));
    }
    assert_int_equal(fly_drift_counts(rig.drift).given_up, 0);
    rig_close(&rig);
}

static void a_frame_that_stays_partial_is_given_up(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 30, 60, 60, 2);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, 60, 60, FLY_U16);
    show(&rig, &s, 0, 0.0, 0.0, 50.0, NULL);
    for (int64_t f = 1; f < 4; f++)
        put_lines(&rig, f, 0, 59);
    assert_false(fly_drift_ready(rig.drift));
    assert_int_equal(fly_drift_step(rig.drift, &shift), FLY_EAGAIN);
    assert_int_equal(fly_drift_counts(rig.drift).given_up, 1);
    put_lines(&rig, 1, 59, 60); /* too late */
    assert_false(fly_drift_ready(rig.drift));
    shift = show(&rig, &s, 4, 2.0, 1.0, 50.0, NULL);
    assert_int_equal(shift.frame, 4);
    assert_near(&shift, 2.0, 1.0, 0.05);
    assert_int_equal(fly_drift_counts(rig.drift).given_up, 2);
    fly_drift_finish(rig.drift);
    assert_false(fly_drift_ready(rig.drift)); /* frame 3 lacks a line of the window */
    rig_close(&rig);
}

/* Frames of the instrument's own go on between commanded ones, which are numbered beyond them: boxes, and strips as wide
 * as the scan. */
static void commanded_frames_leave_the_others_their_places(void **state)
{
    enum { H = 300, W = 320 };
    static const int64_t order[] = {0, 1, 100, 101, 102, 2, 103, 104, 105, 3, 106, 4};
    struct scene s = scene(0.0, 0.0, 0.0, 60, H, W, 2);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    for (int strips = 0; strips < 2; strips++) {
        int measured = 0;

        rig_open(&rig, H, W, FLY_U16);
        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
            int64_t f = order[i];

            if (f < 100) {
                look(&s, H, W, 1.5 * (double)f, -(double)f, 100.0, NULL, rig.counts);
                put_lines(&rig, f, 0, H / 2);
                for (int64_t box = 200 + 10 * f; box < 203 + 10 * f; box++) /* while it goes on */
                    fly_drift_put(rig.drift, box, (struct fly_rect){140, 150, 16, 16}, rig.counts);
                put_lines(&rig, f, H / 2, H - 1);
                assert_false(fly_drift_ready(rig.drift)); /* the wide view lacks a line, and no frame comes after */
                put_lines(&rig, f, H - 1, H);
                shift = measure(&rig);
                assert_int_equal(shift.frame, f);
                assert_near(&shift, 1.5 * (double)f, -(double)f, 0.1);
                assert_true(fly_drift_measured(rig.drift, f));
                measured++;
            } else {
                fly_drift_put(rig.drift, f, strips ? (struct fly_rect){96, 0, 16, W} : (struct fly_rect){96, 112, 16, 48},
                              rig.counts);
                assert_false(fly_drift_ready(rig.drift));
                assert_false(fly_drift_measured(rig.drift, f));
            }
        }
        assert_int_equal(fly_drift_counts(rig.drift).measured, measured);
        rig_close(&rig);
    }
}

/* Of a scan larger than the window, a re-scan of the middle is measured once no more of it is to be expected. */
static void a_rescan_of_the_window_counts(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 60, 300, 320, 2);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    for (int finish = 0; finish < 2; finish++) {
        rig_open(&rig, 300, 320, FLY_U16);
        show(&rig, &s, 0, 0.0, 0.0, 50.0, NULL);
        look(&s, 300, 320, 1.5, 2.0, 50.0, NULL, rig.counts);
        put_lines(&rig, 1, 20, 280);
        assert_false(fly_drift_ready(rig.drift));
        if (finish)
            fly_drift_finish(rig.drift);
        else
            put_lines(&rig, 2, 0, 1);
        shift = measure(&rig);
        assert_int_equal(shift.frame, 1);
        assert_near(&shift, 1.5, 2.0, 0.05);
        rig_close(&rig);
    }
}

/* Two pixels a frame until half the window has gone by. */
/* A frame of boxes that others have measured is done with, and where it was is where the next one is looked for. */
static void a_frame_measured_otherwise_is_taken(void **state)
{
    struct scene s = scene(11.0, 11.0, 0.0, 0, 100, 100, 1);
    struct fly_drift_shift shift;
    struct fly_rng rng = {5};
    struct rig rig;

    (void)state;
    rig_open(&rig, 100, 100, FLY_U16);
    show(&rig, &s, 0, 0.0, 0.0, 30.0, &rng);
    assert_true(fly_drift_has(rig.drift, 0));
    assert_false(fly_drift_has(rig.drift, 7));
    fly_drift_put(rig.drift, 7, (struct fly_rect){10, 10, 16, 16}, rig.counts);
    assert_false(fly_drift_has(rig.drift, 7));
    fly_drift_take(rig.drift, &(struct fly_drift_shift){.frame = 7, .measured = 1, .dy_px = 8.0, .dx_px = -7.0});
    assert_true(fly_drift_has(rig.drift, 7) && fly_drift_measured(rig.drift, 7));
    assert_false(fly_drift_has(rig.drift, 8));
    fly_drift_take(rig.drift, &(struct fly_drift_shift){.frame = 8});
    assert_int_equal(fly_drift_counts(rig.drift).measured, 2);
    assert_int_equal(fly_drift_counts(rig.drift).unmeasurable, 1);
    assert_int_equal(fly_drift_counts(rig.drift).given_up, 0);
    look(&s, rig.h, rig.w, 9.0, -8.0, 30.0, &rng, rig.counts);
    put_lines(&rig, 9, 0, rig.h - 1);
    assert_false(fly_drift_has(rig.drift, 9));
    put_lines(&rig, 9, rig.h - 1, rig.h);
    assert_true(fly_drift_has(rig.drift, 9));
    shift = measure(&rig);
    assert_near(&shift, 9.0, -8.0, 0.15); /* not the cell of (-2, 3) */
    assert_true(fabs(shift.since_dy_px - 1.0) < 0.15 && fabs(shift.since_dx_px + 1.0) < 0.15);
    rig_close(&rig);
}

static void drift_is_followed_far(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 60, 220, 100, 12);
    struct fly_drift_shift shift = {0};
    struct fly_rng rng = {9};
    struct rig rig;
    int64_t reference = 0, changed = 0;

    (void)state;
    rig_open(&rig, 100, 100, FLY_U16);
    for (int64_t f = 0; f < 50; f++) {
        shift = show(&rig, &s, f, 2.0 * (double)f, -0.1 * (double)f, 60.0, &rng);
        assert_near(&shift, 2.0 * (double)f, -0.1 * (double)f, f ? 4.0 * shift.sigma_dy_px : 1e-9);
        assert_true(shift.sigma_dy_px < 0.4); /* eight references on the way, each a tenth of a pixel */
        changed += shift.reference != reference;
        reference = shift.reference;
    }
    assert_true(changed >= 5 && changed <= 10);
    rig_close(&rig);
}

/* ---- nothing to see ------------------------------------------------------------------------------------ */

static void constant_pictures_are_not_measured(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 30, 50, 50, 2);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    rig_open(&rig, 50, 50, FLY_U16);
    for (int32_t i = 0; i < 50 * 50; i++)
        rig.counts[i] = 700;
    shift = whole(&rig, 0);
    assert_not_measured(&shift);
    assert_int_equal(shift.reference, -1);
    shift = show(&rig, &s, 1, 0.0, 0.0, 50.0, NULL); /* so this one is the first */
    assert_true(shift.measured && shift.reference == 1);
    for (int32_t i = 0; i < 50 * 50; i++)
        rig.counts[i] = 0;
    shift = whole(&rig, 2);
    assert_not_measured(&shift);
    shift = show(&rig, &s, 3, 1.0, -1.0, 50.0, NULL);
    assert_near(&shift, 1.0, -1.0, 0.05);
    assert_int_equal(fly_drift_counts(rig.drift).measured, 2);
    assert_int_equal(fly_drift_counts(rig.drift).unmeasurable, 2);
    rig_close(&rig);
}

/* Noise alone, and pictures of different places, are hardly ever taken for a shift, whatever their size. */
static void what_has_nothing_in_common_is_not_measured(void **state)
{
    static const int32_t sides[] = {8, 9, 16, 40, 128, 300};
    struct fly_rng rng = {77};

    (void)state;
    for (size_t c = 0; c < sizeof sides / sizeof *sides; c++) {
        int rounds = sides[c] < 100 ? 150 : 12, noise = 0, places = 0;

        for (int round = 0; round < rounds; round++) {
            struct fly_drift_shift shift;
            struct rig rig;

            rig_open(&rig, sides[c], sides[c], FLY_U16);
            for (int f = 0; f < 2; f++) {
                for (int32_t i = 0; i < sides[c] * sides[c]; i++)
                    rig.counts[i] = (uint16_t)fly_rng_poisson(&rng, 40.0);
                shift = whole(&rig, f);
            }
            noise += shift.measured;
            rig_close(&rig);
            if (sides[c] < 128)
                continue; /* a few particles can look alike */
            rig_open(&rig, sides[c], sides[c], FLY_U16);
            for (int f = 0; f < 2; f++) {
                struct scene s = scene(0.0, 0.0, 0.0, 60, sides[c], sides[c], 1000 + 2 * (uint64_t)round + (uint64_t)f);

                shift = show(&rig, &s, f, 0.0, 0.0, 40.0, &rng);
            }
            places += shift.measured;
            rig_close(&rig);
        }
        print_message("  %d px: %d of %d measured in noise, %d in different places\n", (int)sides[c], noise, rounds,
                      places);
        assert_true(noise * 50 <= rounds);
        assert_true(places <= 1);
    }
}

static void small_and_odd_scans_are_measured(void **state)
{
    static const int32_t sides[][2] = {{16, 16}, {12, 31}, {67, 13}, {8, 400}, {257, 8}, {251, 127}};
    struct fly_rng rng = {3};

    (void)state;
    for (size_t c = 0; c < sizeof sides / sizeof *sides; c++) {
        int32_t h = sides[c][0], w = sides[c][1];
        struct scene s = scene(0.0, 0.0, 0.0, 1 + h * w / 250 > 60 ? 60 : 1 + h * w / 250, h, w, 21);
        struct fly_drift_shift shift;
        struct rig rig;

        s.y[0] = 0.5 * h;
        s.x[0] = 0.5 * w;
        s.width[0] = 1.5;
        rig_open(&rig, h, w, FLY_U16);
        show(&rig, &s, 0, 0.0, 0.0, 400.0, &rng);
        shift = show(&rig, &s, 1, 0.75, -0.5, 400.0, &rng);
        assert_near(&shift, 0.75, -0.5, 0.25);
        rig_close(&rig);
    }
}

/* The smallest scan that is measured: one blob, moved by a pixel. */
static void eight_pixels_are_enough_for_a_blob(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 1, 8, 8, 21);
    struct fly_drift_shift shift;
    struct rig rig;

    (void)state;
    s.y[0] = s.x[0] = 3.5;
    s.width[0] = 1.0;
    rig_open(&rig, 8, 8, FLY_U16);
    show(&rig, &s, 0, 0.0, 0.0, 1000.0, NULL);
    shift = show(&rig, &s, 1, 0.75, -0.5, 1000.0, NULL);
    assert_near(&shift, 0.75, -0.5, 0.3);
    rig_close(&rig);
}

static void a_wrong_scan_is_refused(void **state)
{
    static const struct fly_drift_config wrong[] = {
        {7, 64, FLY_U16}, {64, 7, FLY_U16}, {FLY_SCAN_MAX_PX + 1, 64, FLY_U16}};
    struct fly_drift_config config = {64, 64, FLY_U16};
    struct fly_drift *drift = NULL;
    struct fly_arena arena;

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_drift_need(&config) - 64, NULL, "test"), FLY_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(fly_drift_need(&wrong[i]) == SIZE_MAX);
        assert_int_equal(fly_drift_open(&drift, &wrong[i], &arena), FLY_ERANGE);
    }
    assert_int_equal(fly_drift_open(&drift, &config, &arena), FLY_ENOMEM);
    assert_null(drift);
    fly_drift_close(&drift);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shifts_come_to_a_tenth_of_a_pixel_and_sigma_knows),
        cmocka_unit_test(a_frame_lies_where_it_says_in_the_first),
        cmocka_unit_test(pictures_as_rough_as_noise_are_measured),
        cmocka_unit_test(a_perfect_lattice_is_told_to_be_ambiguous),
        cmocka_unit_test(what_is_not_periodic_tells_the_cell),
        cmocka_unit_test(along_stripes_nothing_is_known),
        cmocka_unit_test(any_order_and_subdivision_gives_the_same_bits),
        cmocka_unit_test(every_type_is_measured),
        cmocka_unit_test(what_is_no_number_counts_as_the_mean),
        cmocka_unit_test(two_frames_line_by_line_are_both_measured),
        cmocka_unit_test(a_frame_measured_long_ago_begins_nothing),
        cmocka_unit_test(a_frame_that_stays_partial_is_given_up),
        cmocka_unit_test(commanded_frames_leave_the_others_their_places),
        cmocka_unit_test(a_rescan_of_the_window_counts),
        cmocka_unit_test(a_frame_measured_otherwise_is_taken),
        cmocka_unit_test(drift_is_followed_far),
        cmocka_unit_test(constant_pictures_are_not_measured),
        cmocka_unit_test(what_has_nothing_in_common_is_not_measured),
        cmocka_unit_test(small_and_odd_scans_are_measured),
        cmocka_unit_test(eight_pixels_are_enough_for_a_blob),
        cmocka_unit_test(a_wrong_scan_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
