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
#include "engine/chip/box_drift.h"
#include "engine/chip/box_drift_own.h"
#include "tests/support/drift_scene.h"

/* ---- rig ----------------------------------------------------------------------------------------------- */

struct rig {
    struct fly_arena arena;
    struct fly_box_drift *drift;
    int32_t h, w;
    uint16_t *counts; /* (h, w) */
};

static void rig_open(struct rig *rig, int32_t h, int32_t w)
{
    struct fly_drift_config config = {h, w, FLY_U16};

    rig->h = h;
    rig->w = w;
    assert_int_equal(fly_arena_init(&rig->arena, fly_box_drift_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_box_drift_init(&rig->drift, &config, &rig->arena), FLY_OK);
    assert_int_equal(rig->arena.used, fly_box_drift_need(&config));
    rig->counts = malloc((size_t)h * (size_t)w * sizeof *rig->counts);
    assert_non_null(rig->counts);
}

static void rig_close(struct rig *rig)
{
    fly_arena_fini(&rig->arena);
    free(rig->counts);
}

static void put(struct rig *rig, int64_t frame, struct fly_rect r)
{
    uint16_t *px = malloc((size_t)r.h * (size_t)r.w * sizeof *px);

    for (int32_t y = 0; y < r.h; y++)
        memcpy(px + (size_t)y * (size_t)r.w, rig->counts + (size_t)(r.y0 + y) * (size_t)rig->w + (size_t)r.x0,
               (size_t)r.w * sizeof *px);
    fly_box_drift_put(rig->drift, frame, r, px);
    free(px);
}

/* What drift.h would say of a whole frame. */
static void tell(struct rig *rig, int64_t frame, double dy, double dx, double sigma, int ambiguous)
{
    fly_box_drift_told(rig->drift, &(struct fly_drift_shift){.frame = frame, .reference = frame, .measured = 1, .dy_px = dy,
                                                             .dx_px = dx, .sigma_dy_px = sigma, .sigma_dx_px = sigma,
                                                             .ambiguous = ambiguous});
}

/* Frame 0, line by line, lies where it lies. */
static void survey(struct rig *rig, const struct scene *s, double dose, struct fly_rng *rng)
{
    look(s, rig->h, rig->w, 0.0, 0.0, dose, rng, rig->counts);
    assert_int_equal(fly_box_drift_begin(rig->drift, 0), 0);
    for (int32_t y = 0; y < rig->h; y++)
        put(rig, 0, (struct fly_rect){y, 0, 1, rig->w});
    tell(rig, 0, 0.0, 0.0, 0.0, 0);
}

/* Boxes of side px of a frame, n of the places of a grid that has room for one px between them. */
static int32_t choose_boxes(const struct rig *rig, int32_t side, int32_t n, struct fly_rng *rng, struct fly_rect *boxes)
{
    int32_t rows = rig->h / (side + 1), cols = rig->w / (side + 1), all = rows * cols, *order = malloc((size_t)all * 4);

    for (int32_t i = 0; i < all; i++)
        order[i] = i;
    for (int32_t i = 0; i < n && i < all; i++) {
        int32_t j = i + (int32_t)fly_rng_below(rng, (uint64_t)(all - i)), k = order[j];

        order[j] = order[i];
        boxes[i] = (struct fly_rect){k / cols * (side + 1), k % cols * (side + 1), side, side};
    }
    free(order);
    return n < all ? n : all;
}

static struct fly_drift_shift measure(struct rig *rig, int64_t frame)
{
    struct fly_drift_shift shift;

    assert_int_equal(fly_box_drift_begin(rig->drift, frame + 1), 1);
    assert_int_equal(fly_box_drift_waiting(rig->drift), frame);
    assert_int_equal(fly_box_drift_step(rig->drift, &shift), FLY_OK);
    assert_int_equal(shift.frame, frame);
    assert_int_equal(fly_box_drift_waiting(rig->drift), -1);
    return shift;
}

static struct fly_drift_shift show(struct rig *rig, const struct scene *s, int64_t frame, double dy, double dx, double dose,
                                   int32_t side, int32_t n, struct fly_rng *rng)
{
    struct fly_rect boxes[1024];
    struct fly_rng where = {(uint64_t)frame * 77 + 5};

    look(s, rig->h, rig->w, dy, dx, dose, rng, rig->counts);
    n = choose_boxes(rig, side, n, &where, boxes);
    fly_box_drift_begin(rig->drift, frame);
    for (int32_t i = 0; i < n; i++)
        put(rig, frame, boxes[i]);
    return measure(rig, frame);
}

/* ---- how well ------------------------------------------------------------------------------------------ */

/* Uneven lattices with particles. Each trial has its own survey, so that errors are independent. */
static void boxes_tell_the_shift_and_sigma_knows(void **state)
{
    enum { TRIALS = 60 };
    static const struct {
        int32_t boxes;
        double dose, most;
    } cases[] = {{64, 3.0, 0.1}, {64, 10.0, 0.06}, {64, 40.0, 0.03}, {16, 3.0, 0.2}, {16, 10.0, 0.12}, {16, 40.0, 0.06}, {6, 10.0, 0.2}};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double error = 0.0, sigma = 0.0, worst = 0.0;
        int told = 0, ambiguous = 0;

        for (int t = 0; t < TRIALS; t++) {
            struct fly_rng rng = {1000 * c + (uint64_t)t};
            struct scene s = scene(11.03, 10.4, 0.3, 12, 256, 256, 100 + (uint64_t)t);
            double dy = 4.0 * (fly_rng_uniform(&rng) - 0.5), dx = 4.0 * (fly_rng_uniform(&rng) - 0.5), e;
            struct fly_drift_shift shift;
            struct rig rig;

            rig_open(&rig, 256, 256);
            survey(&rig, &s, cases[c].dose, &rng);
            shift = show(&rig, &s, 1 + t, dy, dx, cases[c].dose, 15, cases[c].boxes, &rng);
            rig_close(&rig);
            ambiguous += shift.ambiguous;
            if (!shift.measured || shift.ambiguous)
                continue;
            e = hypot(shift.dy_px - dy, shift.dx_px - dx);
            error += 0.5 * e * e;
            sigma += 0.5 * (shift.sigma_dy_px * shift.sigma_dy_px + shift.sigma_dx_px * shift.sigma_dx_px);
            worst = fmax(worst, e);
            told++;
        }
        error = sqrt(error / told);
        sigma = sqrt(sigma / told);
        print_message("  %d boxes of 15 px, %.0f counts: rms %.4f px an axis, sigma %.4f, worst %.3f, %d of %d told, %d "
                      "ambiguous\n", (int)cases[c].boxes, cases[c].dose, error, sigma, worst, told, TRIALS, ambiguous);
        assert_true(told >= TRIALS - 2);
        assert_true(error < cases[c].most && worst < 1.0);
        assert_true(sigma > 0.67 * error && sigma < 1.5 * error);
    }
}

/* ---- the twin ------------------------------------------------------------------------------------------ */

static void assert_alike(double a, double b, double scale)
{
    if (!(fabs(a - b) <= 2e-5 * scale))
        fail_msg("%.9g and %.9g, of %.3g", a, b, scale);
}

/* Boxes, crumbs, strips and rings anywhere, the border among it; a reference with holes. */
static void sums_are_those_of_the_twin(void **state)
{
    enum { H = 70, W = 110, ROUNDS = 40 };
    struct fly_drift_config config = {H, W, FLY_U16};
    double *frame = malloc(H * W * sizeof *frame), *reference = malloc(H * W * sizeof *reference);
    int32_t *part = malloc(H * W * sizeof *part);
    struct fly_box_sums *want = malloc(sizeof *want);
    struct fly_box_finder *finder;
    struct fly_box_cut cut;
    struct fly_arena arena;
    struct fly_rng rng = {4};
    uint16_t *pixels = malloc(H * W * sizeof *pixels);
    uint64_t there[(H * W + 63) / 64];
    int64_t boxes = 0;

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_box_drift_need(&config), NULL, "test"), FLY_OK);
    fly_box_cut_init(&cut, W, &arena);
    fly_box_finder_init(&finder, &arena);
    for (int round = 0; round < ROUNDS; round++) {
        struct fly_box_reference ref = {H, W, FLY_U16, (unsigned char *)pixels, there};
        struct fly_box_look look = {&cut, &ref, {fly_rng_uniform(&rng) * 8.0 - 4.0, fly_rng_uniform(&rng) * 8.0 - 4.0},
                                    (int32_t)fly_rng_below(&rng, round % 4 ? 9 : FLY_BOX_DRIFT_REACH_MAX_PX + 1)};
        const int32_t near[2] = {(int32_t)lround(look.near[0]), (int32_t)lround(look.near[1])};
        const struct fly_box_sums *got;

        memset(there, 0, sizeof there);
        for (int32_t i = 0; i < H * W; i++) {
            frame[i] = NAN;
            pixels[i] = (uint16_t)fly_rng_below(&rng, 300);
            reference[i] = round % 3 || fly_rng_below(&rng, 400) ? pixels[i] : NAN;
            there[i >> 6] |= (uint64_t)isfinite(reference[i]) << (i & 63);
        }
        for (int n = 0; n < 12; n++) {
            int32_t h = 1 + (int32_t)fly_rng_below(&rng, n % 4 ? 20 : 60), w = 1 + (int32_t)fly_rng_below(&rng, n % 3 ? 20 : 80);
            int32_t y0 = (int32_t)fly_rng_below(&rng, (uint64_t)(H - h + 1)), hole = n % 5 == 0;
            int32_t x0 = (int32_t)fly_rng_below(&rng, (uint64_t)(W - w + 1));

            for (int32_t i = 0; i < h * w; i++)
                if (!hole || i % w % 9 || i / w % 5)
                    frame[(y0 + i / w) * W + x0 + i % w] = (double)fly_rng_below(&rng, 500);
        }
        cut.n = 0;
        for (int32_t i = 0; i < H * W; i++)
            if (isfinite(frame[i])) {
                cut.value[cut.n] = (float)frame[i];
                cut.at[cut.n] = (struct fly_box_item){.key = (uint64_t)i, .first = cut.n};
                cut.n++;
            }
        fly_box_cut(&cut);
        got = fly_box_sum(finder, &look);
        fly_box_sum_ref(frame, reference, H, W, near, look.reach, part, want);
        assert_int_equal(got->boxes, want->boxes);
        assert_int_equal(got->px, want->px);
        assert_int_equal(got->reach, want->reach);
        assert_alike(got->ff, want->ff, want->ff);
        assert_alike(got->white, want->white, want->white);
        for (int32_t t = 0; t < (2 * want->reach + 1) * (2 * want->reach + 1); t++) {
            assert_alike(got->gg[t], want->gg[t], want->gg[t]);
            assert_alike(got->fg[t], want->fg[t], sqrt(want->ff * want->gg[t]));
        }
        boxes += got->boxes;
    }
    assert_true(boxes > 4 * ROUNDS);
    fly_arena_fini(&arena);
    free(frame);
    free(reference);
    free(part);
    free(want);
    free(pixels);
}

/* ---- which cell ---------------------------------------------------------------------------------------- */

static void a_fine_lattice_is_ambiguous_and_followed(void **state)
{
    struct scene s = scene(6.2, 5.8, 0.0, 0, 200, 200, 1);
    struct fly_rng rng = {5};
    struct rig rig;
    double y = 0.0, x = 0.0;

    (void)state;
    rig_open(&rig, 200, 200);
    survey(&rig, &s, 30.0, &rng);
    for (int64_t f = 1; f < 18; f += 2) {
        struct fly_drift_shift shift;
        double away_y, away_x;

        y += 2.6; /* many cells in the end: the way there decides */
        x -= 0.3;
        shift = show(&rig, &s, f, y, x, 30.0, 15, 48, &rng);
        assert_near(&shift, y, x, 0.15);
        assert_true(fabs(shift.since_dy_px - 2.6) < 0.2 && fabs(shift.since_dx_px + 0.3) < 0.2);
        assert_true(shift.ambiguous);
        away_y = (shift.rival_dy_px - shift.dy_px) / s.pitch_y;
        away_x = (shift.rival_dx_px - shift.dx_px) / s.pitch_x;
        assert_true(fabs(away_y - round(away_y)) < 0.15 && fabs(away_x - round(away_x)) < 0.15);
        assert_true(fabs(fabs(away_y) + fabs(away_x) - 1.0) < 0.15); /* next door */
    }
    rig_close(&rig);
}

/* Of a perfect lattice of 11 px: the next cell is as likely only where this one is far, too. */
static void a_cell_that_is_far_is_no_rival_of_one_that_is_near(void **state)
{
    struct scene s = scene(11.0, 11.0, 0.0, 0, 200, 200, 1);
    struct fly_drift_shift shift;
    struct fly_rng rng = {5};
    struct rig rig;

    (void)state;
    rig_open(&rig, 200, 200);
    survey(&rig, &s, 30.0, &rng);
    shift = show(&rig, &s, 1, 1.4, -1.2, 30.0, 15, 48, &rng);
    assert_near(&shift, 1.4, -1.2, 0.15);
    assert_false(shift.ambiguous);
    shift = show(&rig, &s, 3, 6.4, -1.2, 30.0, 15, 48, &rng);
    assert_near(&shift, 6.4, -1.2, 0.15);
    assert_true(shift.ambiguous);
    assert_true(fabs(shift.rival_dy_px + 4.6) < 1.0);
    rig_close(&rig);
}

static void particles_tell_the_cell(void **state)
{
    struct scene s = scene(5.5, 5.5, 0.0, 30, 200, 200, 3);
    struct fly_drift_shift shift;
    struct fly_rng rng = {5};
    struct rig rig;

    (void)state;
    rig_open(&rig, 200, 200);
    survey(&rig, &s, 40.0, &rng);
    shift = show(&rig, &s, 1, 4.4, -6.2, 40.0, 15, 64, &rng);
    assert_near(&shift, 4.4, -6.2, 0.15);
    assert_false(shift.ambiguous);
    rig_close(&rig);
}

static void along_stripes_nothing_is_known(void **state)
{
    struct fly_drift_shift shift;
    struct fly_rng rng = {2};
    struct rig rig;

    (void)state;
    rig_open(&rig, 120, 120);
    for (int f = 0; f < 2; f++) {
        struct fly_rect boxes[40];
        int32_t n = choose_boxes(&rig, 15, 40, &rng, boxes);

        for (int32_t i = 0; i < rig.h * rig.w; i++) /* interfaces, and nothing along them */
            rig.counts[i] = (uint16_t)fly_rng_poisson(&rng, 50.0 + 40.0 * sin((i / rig.w + 2.5 * f) / 6.0));
        fly_box_drift_begin(rig.drift, f);
        if (f == 0) {
            put(&rig, 0, (struct fly_rect){0, 0, rig.h, rig.w});
            tell(&rig, 0, 0.0, 0.0, 0.0, 0);
        }
        for (int32_t i = 0; f && i < n; i++)
            put(&rig, f, boxes[i]);
    }
    shift = measure(&rig, 1);
    assert_true(shift.measured && fabs(shift.dy_px - 2.5) < 0.3 && shift.sigma_dy_px < 0.3);
    assert_true(isinf(shift.sigma_dx_px) ? shift.dx_px == 0.0 : shift.sigma_dx_px > 3.0 * shift.sigma_dy_px);
    rig_close(&rig);
}

/* ---- what is not there --------------------------------------------------------------------------------- */

static void what_has_nothing_in_common_is_not_measured(void **state)
{
    static const struct scene none = {0};
    struct fly_rng rng = {8};
    int told = 0;

    (void)state;
    for (int t = 0; t < 60; t++) {
        struct scene a = t % 3 ? scene(t % 2 ? 9.3 : 0.0, 9.3, 0.3, 15, 128, 128, (uint64_t)t) : none;
        struct scene b = t % 3 == 1 ? none : scene(0.0, 0.0, 0.0, 15, 128, 128, 900 + (uint64_t)t);
        struct fly_drift_shift shift;
        struct rig rig;

        rig_open(&rig, 128, 128);
        survey(&rig, &a, 20.0, &rng);
        shift = show(&rig, t % 3 ? &b : &none, 1 + t, 0.0, 0.0, 20.0, 15, 40, &rng);
        told += shift.measured;
        if (!shift.measured)
            assert_not_measured(&shift);
        rig_close(&rig);
    }
    assert_int_equal(told, 0);
}

static void constant_boxes_and_too_few_are_not_measured(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.3, 15, 128, 128, 3);
    struct fly_drift_shift shift;
    struct fly_rng rng = {8};
    struct rig rig;

    (void)state;
    rig_open(&rig, 128, 128);
    survey(&rig, &s, 200.0, &rng);
    shift = show(&rig, &s, 1, 1.0, 1.0, 0.0, 15, 40, &rng);
    assert_not_measured(&shift);
    shift = show(&rig, &s, 3, 1.0, 1.0, 200.0, 15, FLY_BOX_DRIFT_BOXES_MIN - 1, &rng);
    assert_not_measured(&shift);
    shift = show(&rig, &s, 5, 1.0, 1.0, 200.0, 3, 40, &rng); /* 9 px each */
    assert_not_measured(&shift);
    shift = show(&rig, &s, 7, 1.0, 1.0, 200.0, 15, 40, &rng);
    assert_near(&shift, 1.0, 1.0, 0.1);
    rig_close(&rig);
    rig_open(&rig, 128, 128);
    survey(&rig, &s, 0.0, &rng);
    shift = show(&rig, &s, 1, 1.0, 1.0, 200.0, 15, 40, &rng);
    assert_not_measured(&shift);
    rig_close(&rig);
}

/* ---- how pixels come ----------------------------------------------------------------------------------- */

static void another_dwell_and_another_background_make_no_other_place(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.3, 15, 128, 128, 3);
    struct fly_drift_shift one, other;
    struct fly_rect boxes[40];
    struct fly_rng rng = {8};
    struct rig rig;
    int32_t n;

    (void)state;
    rig_open(&rig, 128, 128);
    survey(&rig, &s, 100.0, NULL);
    n = choose_boxes(&rig, 15, 40, &rng, boxes);
    for (int f = 1; f <= 2; f++) {
        look(&s, rig.h, rig.w, 1.3, -0.6, 100.0, NULL, rig.counts);
        for (int32_t i = 0; f == 2 && i < rig.h * rig.w; i++)
            rig.counts[i] = (uint16_t)(7 * rig.counts[i] + 100 * (i % rig.w / 16));
        tell(&rig, 0, 0.0, 0.0, 0.0, 0); /* the same search */
        fly_box_drift_begin(rig.drift, f);
        for (int32_t i = 0; i < n; i++) /* each on a background of its own */
            put(&rig, f, boxes[i]);
        if (f == 1)
            assert_int_equal(fly_box_drift_begin(rig.drift, 2), 1);
        else
            assert_int_equal(fly_box_drift_finish(rig.drift), 1);
        assert_int_equal(fly_box_drift_step(rig.drift, f == 1 ? &one : &other), FLY_OK);
    }
    assert_near(&one, 1.3, -0.6, 0.05);
    assert_near(&other, one.dy_px, one.dx_px, 1e-3);
    assert_int_equal(fly_box_drift_step(rig.drift, &one), FLY_EAGAIN);
    rig_close(&rig);
}

static void any_order_and_subdivision_gives_the_same_bits(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.2, 20, 150, 130, 4);
    struct fly_rng rng = {11};
    struct rig a, b;

    (void)state;
    rig_open(&a, 150, 130);
    rig_open(&b, 150, 130);
    survey(&a, &s, 20.0, &rng);
    memcpy(b.counts, a.counts, 150 * 130 * sizeof *a.counts);
    fly_box_drift_begin(b.drift, 0);
    for (int32_t y = 0; y < b.h; y += 10) /* the survey in tiles, from the bottom, twice */
        for (int32_t x = 0; x < 2 * b.w; x += 13)
            put(&b, 0, (struct fly_rect){b.h - 10 - y, x % b.w, 10, 13});
    tell(&b, 0, 0.0, 0.0, 0.0, 0);
    for (int64_t f = 1; f < 12; f += 2) {
        struct fly_rect boxes[70];
        struct fly_drift_shift one, other;
        int32_t n;

        look(&s, a.h, a.w, 0.4 * (double)f, -0.2 * (double)f, 20.0, &rng, a.counts);
        memcpy(b.counts, a.counts, 150 * 130 * sizeof *a.counts);
        n = choose_boxes(&a, 11, 70, &rng, boxes);
        fly_box_drift_begin(a.drift, f);
        fly_box_drift_begin(b.drift, f);
        for (int32_t i = 0; i < n; i++)
            put(&a, f, boxes[i]);
        for (int32_t i = n; i-- > 0;)
            for (int32_t y = 0; y < boxes[i].h; y++) {
                struct fly_rect r = {boxes[i].y0 + (y * 7) % boxes[i].h, boxes[i].x0, 1, boxes[i].w};
                struct fly_rect left = {r.y0, r.x0, 1, 4}, right = {r.y0, r.x0 + 4, 1, r.w - 4};

                put(&b, f, right);
                put(&b, f, y % 3 ? left : r);
            }
        one = measure(&a, f);
        other = measure(&b, f);
        assert_true(one.measured);
        assert_memory_equal(&one, &other, sizeof one);
    }
    rig_close(&a);
    rig_close(&b);
}

static void what_is_more_than_there_is_room_for_is_left_out(void **state)
{
    enum { SIDE = 32, PER_ROW = 11, FULL = FLY_BOX_DRIFT_PX / (SIDE * SIDE) };
    struct scene s = scene(9.3, 9.3, 0.2, 40, 400, 400, 4);
    struct fly_drift_shift some, all;
    struct fly_rng rng = {3};
    struct rig rig;

    (void)state;
    rig_open(&rig, 400, 400);
    survey(&rig, &s, 20.0, &rng);
    look(&s, rig.h, rig.w, 1.0, 0.5, 20.0, &rng, rig.counts);
    for (int64_t f = 1; f <= 3; f += 2) {
        fly_box_drift_begin(rig.drift, f);
        for (int32_t i = 0; i < (f == 1 ? FULL : 100); i++)
            put(&rig, f, (struct fly_rect){i / PER_ROW * 34, i % PER_ROW * 34, SIDE, SIDE});
        *(f == 1 ? &some : &all) = measure(&rig, f);
        tell(&rig, 0, 0.0, 0.0, 0.0, 0); /* the same search again */
    }
    assert_near(&some, 1.0, 0.5, 0.1);
    all.frame = some.frame;
    assert_memory_equal(&some, &all, sizeof some);
    rig_close(&rig);
}

static void every_type_is_measured(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.2, 20, 128, 128, 4);
    double dy[FLY_DTYPES], dx[FLY_DTYPES];

    (void)state;
    for (int t = 0; t < FLY_DTYPES; t++) {
        struct fly_drift_config config = {128, 128, (enum fly_dtype)t};
        struct fly_drift_shift shift;
        struct fly_box_drift *drift;
        struct fly_arena arena;
        uint16_t *counts = malloc(128 * 128 * sizeof *counts);

        assert_int_equal(fly_arena_init(&arena, fly_box_drift_need(&config), NULL, "test"), FLY_OK);
        assert_int_equal(fly_box_drift_init(&drift, &config, &arena), FLY_OK);
        for (int f = 0; f < 2; f++) {
            int32_t side = f ? 14 : 128;

            look(&s, 128, 128, 1.5 * f, -0.75 * f, 60.0, NULL, counts);
            fly_box_drift_begin(drift, f);
            for (int32_t y0 = 0; y0 + side <= 128; y0 += 16)
                for (int32_t x0 = 0; x0 + side <= 128; x0 += 16) {
                    unsigned char px[128 * 128 * 8];

                    for (int32_t i = 0; i < side * side; i++) {
                        uint16_t count = counts[(y0 + i / side) * 128 + x0 + i % side];

                        switch (t) {
                        case FLY_U8: px[i] = (uint8_t)(count > 255 ? 255 : count); break;
                        case FLY_U16:
                        case FLY_I16: memcpy(px + 2 * i, &count, 2); break;
                        case FLY_U32:
                        case FLY_I32: memcpy(px + 4 * i, &(uint32_t){count}, 4); break;
                        case FLY_F32: memcpy(px + 4 * i, &(float){i == 9 ? NAN : count}, 4); break;
                        default: memcpy(px + 8 * i, &(double){i == 9 ? 1e300 : count}, 8); break;
                        }
                    }
                    fly_box_drift_put(drift, f, (struct fly_rect){y0, x0, side, side}, px);
                }
            if (!f)
                fly_box_drift_told(drift, &(struct fly_drift_shift){.measured = 1});
        }
        assert_int_equal(fly_box_drift_finish(drift), 1);
        assert_int_equal(fly_box_drift_step(drift, &shift), FLY_OK);
        assert_near(&shift, 1.5, -0.75, 0.08);
        dy[t] = shift.dy_px;
        dx[t] = shift.dx_px;
        fly_arena_fini(&arena);
        free(counts);
    }
    for (int t = 0; t < FLY_DTYPES; t++)
        assert_true(fabs(dy[t] - dy[FLY_U16]) < 0.02 && fabs(dx[t] - dx[FLY_U16]) < 0.02);
}

/* ---- frames -------------------------------------------------------------------------------------------- */

static void frames_are_gathered_one_at_a_time(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.3, 15, 128, 128, 3);
    struct fly_drift_shift shift;
    struct fly_rect boxes[40];
    struct fly_rng rng = {8};
    struct rig rig;
    int32_t n;

    (void)state;
    rig_open(&rig, 128, 128);
    n = choose_boxes(&rig, 15, 40, &rng, boxes);
    assert_int_equal(fly_box_drift_finish(rig.drift), 0);
    survey(&rig, &s, 100.0, &rng);
    assert_int_equal(fly_box_drift_begin(rig.drift, 5), 0); /* the survey is none */
    assert_int_equal(fly_box_drift_begin(rig.drift, 0), 0); /* it has ended */
    for (int32_t i = 0; i < n; i++)
        put(&rig, 5, boxes[i]);
    put(&rig, 5, (struct fly_rect){90, 0, 1, rig.w});
    assert_int_equal(fly_box_drift_begin(rig.drift, 6), 0); /* a line of it came */
    look(&s, rig.h, rig.w, 2.0, -1.0, 100.0, &rng, rig.counts);
    for (int32_t i = 0; i < n; i++)
        put(&rig, 6, boxes[i]);
    look(&s, rig.h, rig.w, 0.0, 0.0, 100.0, &rng, rig.counts);
    for (int32_t i = 0; i < n; i++)
        put(&rig, 5, boxes[i]); /* too late */
    shift = measure(&rig, 6);
    assert_near(&shift, 2.0, -1.0, 0.1);
    for (int32_t i = 0; i < n; i++)
        put(&rig, 7, boxes[i]);
    assert_int_equal(fly_box_drift_begin(rig.drift, 8), 1);
    fly_box_drift_drop(rig.drift);
    assert_int_equal(fly_box_drift_waiting(rig.drift), -1);
    assert_int_equal(fly_box_drift_begin(rig.drift, FLY_DRIFT_FRAMES_MAX), 0);
    assert_int_equal(fly_box_drift_begin(rig.drift, 9), 0); /* nothing came of 8 */
    rig_close(&rig);
}

/* Until drift.h has said where the reference lies nothing is measured; its shift, its sigma and its doubt are added. */
static void the_reference_is_the_frame_that_was_placed(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.3, 15, 128, 128, 3);
    struct fly_drift_shift shift;
    struct fly_rng rng = {8};
    struct rig rig;

    (void)state;
    rig_open(&rig, 128, 128);
    look(&s, rig.h, rig.w, 0.0, 0.0, 0.0, NULL, rig.counts);
    fly_box_drift_begin(rig.drift, 0);
    put(&rig, 0, (struct fly_rect){0, 0, rig.h, rig.w});
    fly_box_drift_told(rig.drift, &(struct fly_drift_shift){.frame = 0, .reference = -1}); /* nothing to see */
    look(&s, rig.h, rig.w, 0.0, 0.0, 100.0, &rng, rig.counts);
    fly_box_drift_begin(rig.drift, 1);
    put(&rig, 1, (struct fly_rect){20, 20, 15, 15}); /* a frame of boxes is better than none */
    fly_box_drift_begin(rig.drift, 2);
    for (int32_t y = 0; y < rig.h; y++)
        put(&rig, 2, (struct fly_rect){y, 0, 1, rig.w}); /* one of lines than that */
    assert_int_equal(fly_box_drift_begin(rig.drift, 3), 0);
    put(&rig, 3, (struct fly_rect){20, 20, 15, 15});
    assert_int_equal(fly_box_drift_begin(rig.drift, 4), 0); /* where 2 lies is not known yet */
    tell(&rig, 1, 9.0, 9.0, 9.0, 1);
    tell(&rig, 2, 3.25, -1.5, 0.3, 1);
    shift = show(&rig, &s, 5, 1.0, 1.0, 100.0, 15, 40, &rng);
    assert_int_equal(shift.reference, 2);
    assert_near(&shift, 4.25, -0.5, 0.1);
    assert_near(&(struct fly_drift_shift){.measured = 1, .dy_px = shift.since_dy_px, .dx_px = shift.since_dx_px}, 1.0, 1.0,
                0.1);
    assert_true(shift.sigma_dy_px > 0.3 && shift.sigma_dy_px < 0.32);
    assert_true(shift.ambiguous);
    rig_close(&rig);
}

static void a_part_of_a_survey_is_enough_for_the_boxes_on_it(void **state)
{
    struct scene s = scene(9.3, 9.3, 0.3, 15, 160, 128, 3);
    struct fly_drift_shift shift;
    struct fly_rng rng = {8};
    struct rig rig;

    (void)state;
    rig_open(&rig, 160, 128);
    look(&s, rig.h, rig.w, 0.0, 0.0, 60.0, &rng, rig.counts);
    fly_box_drift_begin(rig.drift, 0);
    for (int32_t y = 0; y < 110; y++)
        put(&rig, 0, (struct fly_rect){y, 0, 1, rig.w});
    tell(&rig, 0, 0.0, 0.0, 0.0, 0);
    shift = show(&rig, &s, 1, -1.7, 0.9, 60.0, 15, 63, &rng);
    assert_near(&shift, -1.7, 0.9, 0.1);
    rig_close(&rig);
}

/* What has gone too far between two frames is found once it was looked for farther off. */
static void the_search_grows_after_what_was_not_found(void **state)
{
    struct scene s = scene(0.0, 0.0, 0.0, 60, 200, 200, 3);
    struct fly_drift_shift shift;
    struct fly_rng rng = {8};
    struct rig rig;

    (void)state;
    rig_open(&rig, 200, 200);
    survey(&rig, &s, 60.0, &rng);
    shift = show(&rig, &s, 1, 0.5, 0.5, 60.0, 15, 64, &rng);
    assert_near(&shift, 0.5, 0.5, 0.1);
    for (int64_t f = 3; f < 9; f += 2) {
        shift = show(&rig, &s, f, 16.0, -15.0, 60.0, 15, 64, &rng);
        if (shift.measured)
            break;
        assert_not_measured(&shift);
    }
    assert_near(&shift, 16.0, -15.0, 0.4); /* no lattice, and few particles: 0.12 and 0.08 are told */
    assert_true(fabs(shift.since_dy_px - 15.5) < 0.4);
    assert_int_equal(shift.frame, 7);
    rig_close(&rig);
}

static void a_wrong_scan_is_refused(void **state)
{
    struct fly_drift_config config = {7, 100, FLY_U16};
    struct fly_box_drift *drift = NULL;
    struct fly_arena arena;

    (void)state;
    assert_true(fly_box_drift_need(&config) == SIZE_MAX);
    assert_int_equal(fly_arena_init(&arena, 1 << 20, NULL, "test"), FLY_OK);
    assert_int_equal(fly_box_drift_init(&drift, &config, &arena), FLY_ERANGE);
    config.height_px = 4096;
    config.width_px = 4096;
    assert_true(fly_box_drift_need(&config) < (size_t)37 << 20);
    assert_int_equal(fly_box_drift_init(&drift, &config, &arena), FLY_ENOMEM);
    assert_null(drift);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_tell_the_shift_and_sigma_knows),
        cmocka_unit_test(sums_are_those_of_the_twin),
        cmocka_unit_test(a_fine_lattice_is_ambiguous_and_followed),
        cmocka_unit_test(a_cell_that_is_far_is_no_rival_of_one_that_is_near),
        cmocka_unit_test(particles_tell_the_cell),
        cmocka_unit_test(along_stripes_nothing_is_known),
        cmocka_unit_test(what_has_nothing_in_common_is_not_measured),
        cmocka_unit_test(constant_boxes_and_too_few_are_not_measured),
        cmocka_unit_test(another_dwell_and_another_background_make_no_other_place),
        cmocka_unit_test(any_order_and_subdivision_gives_the_same_bits),
        cmocka_unit_test(what_is_more_than_there_is_room_for_is_left_out),
        cmocka_unit_test(every_type_is_measured),
        cmocka_unit_test(frames_are_gathered_one_at_a_time),
        cmocka_unit_test(the_reference_is_the_frame_that_was_placed),
        cmocka_unit_test(a_part_of_a_survey_is_enough_for_the_boxes_on_it),
        cmocka_unit_test(the_search_grows_after_what_was_not_found),
        cmocka_unit_test(a_wrong_scan_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
