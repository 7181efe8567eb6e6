#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/ledger.h"

enum { FRAMES = 5, SIDE_MAX = 80, CHIPS_MAX = 400 };

/* The plain twin: every exposure of every frame kept, everything computed anew when asked. 0: none. */
struct model {
    struct fly_ledger_config config;
    uint64_t dwell[FRAMES][SIDE_MAX][SIDE_MAX];
    int dy[FRAMES], dx[FRAMES];
    int shifts; /* so far: what a frame exposed before it was shifted keeps its mark */
};

struct rig {
    struct fly_arena arena;
    struct fly_ledger *ledger;
    struct model model;
};

static void rig_open(struct rig *rig, int32_t h, int32_t w, int32_t side, int32_t pitch, int32_t held)
{
    struct fly_ledger_config config = {h, w, side, pitch, (h - side) / pitch + 1, (w - side) / pitch + 1, held, FRAMES};

    memset(&rig->model, 0, sizeof rig->model);
    rig->model.config = config;
    assert_int_equal(fly_arena_init(&rig->arena, fly_ledger_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_ledger_open(&rig->ledger, &config, &rig->arena), FLY_OK);
}

static void rig_close(struct rig *rig)
{
    fly_arena_fini(&rig->arena);
}

struct report {
    int f; /* shifted by (y, x), or a rectangle of it reported */
    int is_shift;
    struct fly_cover_rect rect;
    uint64_t dwell;
};

static void model_book(struct model *m, const struct report *r)
{
    for (int y = r->rect.y0; y < r->rect.y0 + r->rect.h; y++)
        for (int x = r->rect.x0; x < r->rect.x0 + r->rect.w; x++)
            if (r->dwell > m->dwell[r->f][y][x])
                m->dwell[r->f][y][x] = r->dwell; /* unknown is 1 ns: less than any other */
}

static void rig_do(struct rig *rig, const struct report *r, int64_t stamp)
{
    if (r->is_shift) {
        rig->model.shifts++;
        rig->model.dy[r->f] = r->rect.y0;
        rig->model.dx[r->f] = r->rect.x0;
        fly_ledger_shift(rig->ledger, r->f, r->rect.y0, r->rect.x0);
    } else {
        model_book(&rig->model, r);
        fly_ledger_book(rig->ledger, r->f, r->rect, r->dwell, 1, stamp);
    }
}

static void rig_book(struct rig *rig, int f, struct fly_cover_rect rect, uint64_t dwell)
{
    rig_do(rig, &(struct report){.f = f, .rect = rect, .dwell = dwell}, 0);
}

/* What the model has of a pixel of the specimen. */
static void model_pixel(const struct model *m, int y, int x, uint64_t *known, int64_t *unknown)
{
    *known = 0;
    *unknown = 0;
    for (int f = 0; f < FRAMES; f++) {
        int fy = y - m->dy[f], fx = x - m->dx[f];

        if (fy < 0 || fx < 0 || fy >= m->config.height_px || fx >= m->config.width_px)
            continue;
        if (m->dwell[f][fy][fx] == FLY_DWELL_UNKNOWN_NS)
            ++*unknown;
        else
            *known += m->dwell[f][fy][fx];
    }
}

static int64_t model_last_frame(const struct model *m, int32_t k)
{
    const struct fly_ledger_config *c = &m->config;

    for (int f = FRAMES - 1; f >= 0; f--)
        for (int y = 0; y < c->side_px; y++)
            for (int x = 0; x < c->side_px; x++)
                if (m->dwell[f][k / c->cols * c->pitch_px + y][k % c->cols * c->pitch_px + x])
                    return f;
    return -1;
}

static struct fly_ledger_counts model_counts(const struct model *m)
{
    struct fly_ledger_counts counts = {0};

    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < m->config.height_px; y++)
            for (int x = 0; x < m->config.width_px; x++) {
                int sy = y + m->dy[f], sx = x + m->dx[f];

                if (!m->dwell[f][y][x])
                    continue;
                counts.exposures++;
                counts.unknown += m->dwell[f][y][x] == FLY_DWELL_UNKNOWN_NS;
                counts.outside += sy < 0 || sx < 0 || sy >= m->config.height_px || sx >= m->config.width_px;
            }
    return counts;
}

static void chip_equals_model(const struct rig *rig, const struct fly_ledger_view *view, int32_t k)
{
    const struct fly_ledger_config *c = &rig->model.config;
    uint64_t sum = 0, most = 0, known;
    int64_t unknown = 0, some;

    for (int y = 0; y < c->side_px; y++)
        for (int x = 0; x < c->side_px; x++) {
            model_pixel(&rig->model, k / c->cols * c->pitch_px + y, k % c->cols * c->pitch_px + x, &known, &some);
            sum += known;
            most = known > most ? known : most;
            unknown += some;
        }
    assert_true(view->mean_us[k] == (float)((double)sum / (1e3 * c->side_px * c->side_px)));
    assert_true(view->max_us[k] == (float)((double)most / 1e3));
    assert_int_equal(view->unknown[k], unknown);
    if (rig->model.shifts == 0)
        assert_int_equal(view->last_frame[k], model_last_frame(&rig->model, k));
}

static void rig_equals_model(struct rig *rig)
{
    const struct fly_ledger_config *c = &rig->model.config;
    struct fly_ledger_counts counts = fly_ledger_counts(rig->ledger), right = model_counts(&rig->model);
    struct fly_ledger_view view;
    float *px = malloc((size_t)c->height_px * (size_t)c->width_px * sizeof *px);

    fly_ledger_look(rig->ledger, &view);
    for (int32_t k = 0; k < c->rows * c->cols; k++)
        chip_equals_model(rig, &view, k);
    fly_ledger_pixels(rig->ledger, (struct fly_cover_rect){0, 0, c->height_px, c->width_px}, px);
    for (int y = 0; y < c->height_px; y++)
        for (int x = 0; x < c->width_px; x++) {
            uint64_t known;
            int64_t unknown;

            model_pixel(&rig->model, y, x, &known, &unknown);
            assert_true(px[y * c->width_px + x] == (float)((double)known / 1e3));
        }
    free(px);
    assert_int_equal(counts.exposures, right.exposures);
    assert_int_equal(counts.unknown, right.unknown);
    assert_int_equal(counts.outside, right.outside);
    assert_int_equal(counts.late, 0);
    assert_int_equal(counts.unmoved, 0);
}

static int32_t below(struct fly_rng *rng, int32_t n)
{
    return (int32_t)(fly_rng_next(rng) % (uint64_t)n);
}

static struct report random_report(const struct fly_ledger_config *c, struct fly_rng *rng, int shifts)
{
    static const uint64_t dwells[] = {FLY_DWELL_UNKNOWN_NS, 2000, 2000, 3001, 50, UINT64_C(1) << 40};
    struct report r = {.f = below(rng, FRAMES), .dwell = dwells[below(rng, 6)]};

    if (shifts && below(rng, 8) == 0) {
        r.is_shift = 1;
        r.rect.y0 = below(rng, 2 * c->height_px - 1) - c->height_px + 1;
        r.rect.x0 = below(rng, 9) - 4;
        return r;
    }
    r.rect.y0 = below(rng, c->height_px);
    r.rect.x0 = below(rng, c->width_px);
    r.rect.h = 1 + below(rng, c->height_px - r.rect.y0);
    r.rect.w = 1 + below(rng, c->width_px - r.rect.x0);
    if (below(rng, 2))
        r.rect.h = 1;
    return r;
}

static void the_ledger_equals_its_plain_twin_in_any_order(void **state)
{
    struct fly_rng rng = {7};

    for (int round = 0; round < 60; round++) {
        int32_t h = 20 + below(&rng, SIDE_MAX - 19), w = 20 + below(&rng, SIDE_MAX - 19);
        int32_t side = 4 + below(&rng, 14), pitch = 1 + side / 2 + below(&rng, side - side / 2);
        struct report reports[60];
        struct rig rig, other;

        rig_open(&rig, h, w, side, pitch, FRAMES);
        rig_open(&other, h, w, side, pitch, FRAMES);
        for (int i = 0; i < 60; i++) {
            reports[i] = random_report(&rig.model.config, &rng, round % 4 > 0);
            rig_do(&rig, &reports[i], i);
            if (below(&rng, 5) == 0)
                rig_equals_model(&rig);
        }
        rig_equals_model(&rig);
        for (int i = 59; i > 0; i--) { /* of shifts the last counts: they stay in order among themselves */
            int j = below(&rng, i + 1);
            struct report kept = reports[i];

            if (!reports[i].is_shift && !reports[j].is_shift) {
                reports[i] = reports[j];
                reports[j] = kept;
            }
        }
        for (int i = 0; i < 60; i++)
            rig_do(&other, &reports[i], i);
        rig_equals_model(&other);
        rig_close(&rig);
        rig_close(&other);
    }
}

static void one_exposure_counts_once_by_the_longest_dwell(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;
    struct fly_cover_rect all = {0, 0, 40, 40};

    rig_open(&rig, 40, 40, 10, 10, 4);
    rig_book(&rig, 0, all, 2000); /* the image */
    rig_book(&rig, 0, all, 3000); /* a segment that dwells as long as its own electronics say */
    rig_book(&rig, 0, all, 2500);
    rig_book(&rig, 1, all, 500);
    fly_ledger_look(rig.ledger, &view);
    for (int32_t k = 0; k < 16; k++) {
        assert_true(view.mean_us[k] == 3.5f);
        assert_true(view.max_us[k] == 3.5f);
    }
    assert_int_equal(fly_ledger_counts(rig.ledger).exposures, 2 * 1600);
    rig_close(&rig);
}

static void a_box_raises_the_mean_by_its_share_and_the_largest_pixel_by_all(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;

    rig_open(&rig, 40, 40, 10, 10, 4);
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 40, 40}, 1000);
    rig_book(&rig, 1, (struct fly_cover_rect){10, 15, 5, 10}, 4000); /* half of chip (1, 1)'s width and height */
    fly_ledger_look(rig.ledger, &view);
    assert_true(view.mean_us[5] == 2.0f);
    assert_true(view.max_us[5] == 5.0f);
    assert_true(view.mean_us[6] == 2.0f);
    assert_true(view.mean_us[0] == 1.0f);
    assert_int_equal(view.last_frame[5], 1);
    assert_int_equal(view.last_frame[0], 0);
    rig_close(&rig);
}

static void what_is_sent_again_changes_nothing(void **state)
{
    struct rig rig;
    uint64_t version;

    rig_open(&rig, 40, 40, 10, 10, 2);
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 40, 40}, 1000);
    version = fly_ledger_counts(rig.ledger).version;
    rig_book(&rig, 0, (struct fly_cover_rect){3, 0, 1, 40}, 1000);
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 40, 40}, FLY_DWELL_UNKNOWN_NS);
    assert_int_equal(fly_ledger_counts(rig.ledger).version, version);
    rig_equals_model(&rig);
    /* long after, too, when its stream says that it had reported it */
    for (int f = 1; f < 4; f++)
        rig_book(&rig, f, (struct fly_cover_rect){0, 0, 40, 40}, 1000);
    version = fly_ledger_counts(rig.ledger).version;
    fly_ledger_book(rig.ledger, 0, (struct fly_cover_rect){0, 0, 40, 40}, 1000, 0, 9);
    assert_int_equal(fly_ledger_counts(rig.ledger).version, version);
    rig_equals_model(&rig);
    rig_close(&rig);
}

static void a_dwell_that_nothing_tells_is_counted_apart_until_a_stream_tells_it(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;
    struct fly_cover_rect all = {0, 0, 20, 20};

    rig_open(&rig, 20, 20, 10, 10, 2);
    rig_book(&rig, 0, all, FLY_DWELL_UNKNOWN_NS);
    fly_ledger_look(rig.ledger, &view);
    assert_true(view.mean_us[0] == 0.0f);
    assert_int_equal(view.unknown[0], 100);
    assert_int_equal(fly_ledger_counts(rig.ledger).unknown, 400);
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 20, 10}, 700);
    fly_ledger_look(rig.ledger, &view);
    assert_true(view.mean_us[0] == 0.7f);
    assert_int_equal(view.unknown[0], 0);
    assert_int_equal(view.unknown[1], 100);
    assert_int_equal(fly_ledger_counts(rig.ledger).exposures, 400);
    assert_int_equal(fly_ledger_counts(rig.ledger).unknown, 200);
    rig_close(&rig);
}

static void a_shift_moves_the_dose_to_where_the_beam_was(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;

    rig_open(&rig, 40, 40, 10, 10, 4);
    rig_book(&rig, 2, (struct fly_cover_rect){10, 10, 10, 10}, 1000);
    rig_do(&rig, &(struct report){.f = 2, .is_shift = 1, .rect = {.y0 = 10, .x0 = -5}}, 0);
    rig_book(&rig, 2, (struct fly_cover_rect){20, 10, 10, 10}, 1000); /* what comes after it moves as well */
    rig_equals_model(&rig);
    fly_ledger_look(rig.ledger, &view);
    assert_true(view.mean_us[5] == 0.0f);
    assert_true(view.mean_us[8] == 0.5f);
    assert_true(view.mean_us[9] == 0.5f);
    assert_true(view.mean_us[12] == 0.5f);
    rig_do(&rig, &(struct report){.f = 2, .is_shift = 1, .rect = {.y0 = 25, .x0 = 0}}, 0); /* half of it falls outside */
    rig_equals_model(&rig);
    assert_int_equal(fly_ledger_counts(rig.ledger).outside, 150);
    rig_close(&rig);
}

static void a_frame_that_is_held_no_longer_is_booked_too_high_and_told(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;
    struct fly_cover_rect all = {0, 0, 30, 30};

    rig_open(&rig, 30, 30, 10, 10, 2);
    for (int f = 0; f < 3; f++)
        rig_book(&rig, f, all, 1000);
    rig_book(&rig, 0, all, 1000); /* its X-rays, two frames late */
    fly_ledger_look(rig.ledger, &view);
    assert_true(view.mean_us[0] == 4.0f);
    assert_int_equal(fly_ledger_counts(rig.ledger).late, 900);
    fly_ledger_shift(rig.ledger, 1, 1, 1); /* it gave up its place to them */
    assert_int_equal(fly_ledger_counts(rig.ledger).unmoved, 1);
    rig_close(&rig);
}

static void whatever_comes_late_the_ledger_is_never_too_low(void **state)
{
    struct fly_rng rng = {3};

    for (int round = 0; round < 40; round++) {
        struct rig rig;
        float px[60 * 50];

        rig_open(&rig, 60, 50, 9, 7, 1 + round % 3);
        for (int i = 0; i < 80; i++) {
            struct report r = random_report(&rig.model.config, &rng, 0);

            if (round % 2) /* more dwells than a block can hold */
                r.dwell = 2 + (uint64_t)below(&rng, 3000);
            rig_do(&rig, &r, 0);
        }
        fly_ledger_pixels(rig.ledger, (struct fly_cover_rect){0, 0, 60, 50}, px);
        for (int i = 0; i < 60 * 50; i++) {
            uint64_t known;
            int64_t unknown;

            model_pixel(&rig.model, i / 50, i % 50, &known, &unknown);
            assert_true(px[i] >= (float)((double)known / 1e3));
        }
        assert_true(fly_ledger_counts(rig.ledger).late > 0);
        rig_close(&rig);
    }
}

static void chips_tell_when_and_by_what_they_were_exposed_last(void **state)
{
    struct rig rig;
    struct fly_ledger_view view;

    rig_open(&rig, 20, 20, 10, 10, 2);
    fly_ledger_look(rig.ledger, &view);
    assert_int_equal(view.last_frame[0], -1);
    assert_int_equal(view.last_ns[0], 0);
    fly_ledger_book(rig.ledger, 3, (struct fly_cover_rect){0, 0, 10, 10}, 10, 1, 500);
    fly_ledger_book(rig.ledger, 1, (struct fly_cover_rect){0, 0, 10, 20}, 10, 1, 400);
    fly_ledger_look(rig.ledger, &view);
    assert_int_equal(view.last_frame[0], 3);
    assert_int_equal(view.last_ns[0], 500);
    assert_int_equal(view.last_frame[1], 1);
    assert_int_equal(view.last_ns[1], 400);
    assert_int_equal(view.last_frame[2], -1);
    rig_close(&rig);
}

static void what_a_survey_costs_a_pixel_is_the_mean_dwell_of_frame_0(void **state)
{
    struct rig rig;

    rig_open(&rig, 20, 20, 10, 10, 2);
    rig_book(&rig, 1, (struct fly_cover_rect){0, 0, 20, 20}, 9000);
    assert_true(isnan(fly_ledger_counts(rig.ledger).survey_us));
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 10, 20}, FLY_DWELL_UNKNOWN_NS);
    assert_true(isnan(fly_ledger_counts(rig.ledger).survey_us));
    rig_book(&rig, 0, (struct fly_cover_rect){10, 0, 10, 20}, 2000);
    rig_book(&rig, 0, (struct fly_cover_rect){10, 0, 10, 20}, 3000);
    rig_book(&rig, 0, (struct fly_cover_rect){0, 0, 10, 20}, 5000);
    assert_true(fly_ledger_counts(rig.ledger).survey_us == 4.0);
    rig_close(&rig);
}

static void a_refused_ledger_says_why(void **state)
{
    struct fly_ledger_config config = {20, 20, 10, 10, 2, 2, 0, 1};
    struct fly_ledger *ledger;
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, 4096, NULL, "test"), FLY_OK);
    assert_int_equal(fly_ledger_open(&ledger, &config, &arena), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "frames_held 0"));
    config.frames_held = 1;
    config.frames_max = (1 << 20) + 1;
    assert_int_equal(fly_ledger_open(&ledger, &config, &arena), FLY_ERANGE);
    config.frames_max = 1;
    config.height_px = 4000;
    assert_int_equal(fly_ledger_open(&ledger, &config, &arena), FLY_ENOMEM);
    fly_arena_fini(&arena);
}

/* 50 pA for 10 us are 50e-12 * 10e-6 / 1.602176634e-19 = 3120.7545 electrons; a pixel of 0.05 nm x 0.02 nm is 0.1 A^2. */
static void a_worked_example_of_the_factor(void **state)
{
    double factor = fly_dose_factor(0.05, (double[]){0.05, 0.02});

    assert_true(fabs(10.0 * factor - 31207.545) <= 0.001);
    assert_true(fabs(fly_dose_factor(1.0, (double[]){0.1, 0.1}) - 6241.509) <= 0.001);
}

static void without_a_calibration_there_is_no_factor(void **state)
{
    assert_true(isnan(fly_dose_factor(NAN, (double[]){0.1, 0.1})));
    assert_true(isnan(fly_dose_factor(0.0, (double[]){0.1, 0.1})));
    assert_true(isnan(fly_dose_factor(1.0, (double[]){NAN, 0.1})));
    assert_true(isnan(fly_dose_factor(1.0, (double[]){0.1, 0.0})));
}

static void gini_of_equal_values_is_0_and_of_one_that_has_all_is_1_less_its_share(void **state)
{
    float equal[] = {3, 3, 3, 3}, one[] = {0, 8, 0, 0}, none[] = {0, 0};

    assert_true(fabs(fly_dose_gini(equal, 4)) <= 1e-15);
    assert_true(fabs(fly_dose_gini(one, 4) - 0.75) <= 1e-15);
    assert_true(isnan(fly_dose_gini(none, 2)));
    assert_true(isnan(fly_dose_gini(none, 0)));
}

static void gini_by_ranks_is_that_by_pairs(void **state)
{
    struct fly_rng rng = {11};

    for (int round = 0; round < 50; round++) {
        float values[200];
        int32_t n = 1 + below(&rng, 200);
        double right;

        for (int32_t i = 0; i < n; i++)
            values[i] = (float)below(&rng, 9);
        values[0] = 1.0f;
        right = fly_dose_gini_ref(values, n);
        assert_true(fabs(fly_dose_gini(values, n) - right) <= 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ledger_equals_its_plain_twin_in_any_order),
        cmocka_unit_test(one_exposure_counts_once_by_the_longest_dwell),
        cmocka_unit_test(a_box_raises_the_mean_by_its_share_and_the_largest_pixel_by_all),
        cmocka_unit_test(what_is_sent_again_changes_nothing),
        cmocka_unit_test(a_dwell_that_nothing_tells_is_counted_apart_until_a_stream_tells_it),
        cmocka_unit_test(a_shift_moves_the_dose_to_where_the_beam_was),
        cmocka_unit_test(a_frame_that_is_held_no_longer_is_booked_too_high_and_told),
        cmocka_unit_test(whatever_comes_late_the_ledger_is_never_too_low),
        cmocka_unit_test(chips_tell_when_and_by_what_they_were_exposed_last),
        cmocka_unit_test(what_a_survey_costs_a_pixel_is_the_mean_dwell_of_frame_0),
        cmocka_unit_test(a_refused_ledger_says_why),
        cmocka_unit_test(a_worked_example_of_the_factor),
        cmocka_unit_test(without_a_calibration_there_is_no_factor),
        cmocka_unit_test(gini_of_equal_values_is_0_and_of_one_that_has_all_is_1_less_its_share),
        cmocka_unit_test(gini_by_ranks_is_that_by_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
