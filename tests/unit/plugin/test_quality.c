#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "plugin/quality.h"
#include "stream/wire.h"

#define SECOND INT64_C(1000000000)

/* A session that nothing is to be said of. */
static struct fly_quality clean(void)
{
    return (struct fly_quality){.has_image = 1,
                                .has_eds = 1,
                                .counts = {.chips = 100, .of = 400, .too_few = 10, .pooled = 40, .needed = 100, .median = 140},
                                .saturation = {.top = {0, 900, 1e-5}, .bottom = {0, 3, 1e-5}},
                                .drift = {.frames = {.measured = 2},
                                          .last = {.frame = 1, .measured = 1, .dy_px = 1.2, .dx_px = 0.5,
                                                   .sigma_dy_px = 0.05, .sigma_dx_px = 0.05, .correlation = 0.9,
                                                   .rival_dy_px = NAN, .rival_dx_px = NAN},
                                          .largest_px = 1.3, .largest_frame = 1},
                                .advice = {.reason = FLY_ADVICE_NO_LATTICE, .lines = 128},
                                .advice_final = 1,
                                .chip_px = 15,
                                .chip_cols = 20,
                                .pixel_nm = 0.026,
                                .elements = 3,
                                .users_k = 3};
}

static int none_of(const struct fly_quality *quality)
{
    struct fly_quality_watch watch = {0};
    struct fly_event event;

    return !fly_quality_watch_next(&watch, quality, 1, &event);
}

/* The one event of this state. */
static struct fly_event one_of(const struct fly_quality *quality)
{
    struct fly_quality_watch watch = {0};
    struct fly_event event, more;

    assert_int_equal(fly_quality_watch_next(&watch, quality, 1, &event), 1);
    assert_int_equal(fly_quality_watch_next(&watch, quality, 1, &more), 0);
    assert_int_equal(fly_wire_scan(event.data, event.data_len), FLY_REFUSE_NONE);
    assert_true(strlen(event.text) < sizeof event.text - 1);
    return event;
}

static double number(const struct fly_event *event, const char *key)
{
    struct fly_value value;
    double f;
    int64_t i;

    assert_true(fly_value_get(fly_value_root(event->data, event->data_len), key, &value));
    if (fly_value_f64(value, &f))
        return f;
    assert_true(fly_value_int(value, &i));
    return (double)i;
}

static void assert_says(const struct fly_event *event, enum fly_level level, const char *code, const char *words)
{
    assert_string_equal(event->code, code);
    assert_int_equal(event->level, level);
    if (!strstr(event->text, words))
        fail_msg("'%s' does not say '%s'", event->text, words);
}

static void nothing_is_said_of_good_data(void **state)
{
    struct fly_quality q = clean();

    assert_true(none_of(&q));
    q.saturation.bottom = (struct fly_pile){1, 0, 0.4};
    q.saturation.bottom_may_be_vacuum = 1;
    assert_true(none_of(&q));
    q.saturation.top = (struct fly_pile){1, 4095, 0.0009};
    assert_true(none_of(&q));
    q.counts = (struct fly_quality_counts){.median = NAN};
    q.has_eds = q.elements = q.users_k = 0;
    assert_true(none_of(&q));
    q.has_image = 0;
    q.pixel_nm = 0.0;
    assert_true(none_of(&q));
}

static void counts_are_low_when_most_chips_have_too_few_of_their_own(void **state)
{
    struct fly_quality q = clean();
    struct fly_event event;

    q.counts.too_few = 11;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "counts_low", "51 % of 100 chips have fewer X-ray counts than the 100");
    assert_true(number(&event, "too_few") == 11 && number(&event, "pooled") == 40 && number(&event, "median") == 140);
    q.counts.of = 401;
    assert_true(none_of(&q));
}

static void clipping_is_told_with_where_and_how_much(void **state)
{
    struct fly_quality q = clean();
    struct fly_event event;

    q.saturation.top = (struct fly_pile){1, 4095, 0.03125};
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "saturation", "3.1 % of the pixels lie at the detector's highest value, 4095");
    assert_true(number(&event, "top") == 0.03125 && number(&event, "bottom") == 0);
    q.saturation.bottom = (struct fly_pile){1, -8, 0.5};
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "saturation", "50 % lie at its lowest, -8");
}

static void a_drift_counts_by_what_no_shift_made_good(void **state)
{
    struct fly_quality q = clean();
    struct fly_event event;

    q.drift.last.dy_px = 3.0;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "drift", "frame 1 lies (+3.0, +0.5) px (y, x) from the first");
    assert_says(&event, FLY_WARNING, "drift", "20 % of a chip");
    assert_true(number(&event, "dy_px") == 3.0 && number(&event, "sigma_dx_px") == 0.05);
    q.drift.applied_px[0] = -3.0;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "drift", "a shift of (-3, +0) is made good");
    q.drift.applied_px[0] = 3.0;
    assert_true(none_of(&q));
    q.drift.applied_px[0] = 0.0;
    q.drift.last.sigma_dy_px = 1.1; /* it may as well be none */
    assert_true(none_of(&q));
    q.drift.last.sigma_dy_px = 0.05;
    q.chip_px = 32; /* less than a tenth of it */
    assert_true(none_of(&q));
    q.chip_px = 15;
    q.drift.last.ambiguous = 1;
    q.drift.last.rival_dy_px = -9.0;
    q.drift.last.rival_dx_px = 0.5;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "drift", "a cell farther, at (-9.0, +0.5)");
    q.drift.last = (struct fly_drift_shift){.frame = 2, .dy_px = NAN, .dx_px = NAN};
    assert_true(none_of(&q));
}

static void the_size_of_chips_is_advised_on(void **state)
{
    struct fly_quality q = clean();
    struct fly_event event;

    q.advice = (struct fly_advice){.reason = FLY_ADVICE_BELOW_CELL, .chip_px = 40, .cell_px = 20, .cells = 0.75};
    q.advice_final = 0;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "chip_below_cell",
                "a chip of 15 px holds 0.75 of a unit cell, which is 20.0 px (0.52 nm) wide");
    assert_says(&event, FLY_WARNING, "chip_below_cell", "chip.size_px 40 (1.04 nm) is advised");
    assert_true(number(&event, "advised_px") == 40 && number(&event, "cell_px") == 20);
    q.advice = (struct fly_advice){.reason = FLY_ADVICE_FITS, .chip_px = 18, .cell_px = 9, .cells = 1.67};
    assert_true(none_of(&q)); /* more lines may tell better */
    q.advice_final = 1;
    event = one_of(&q);
    assert_says(&event, FLY_INFO, "chip_size", "holds 1.7 unit cells of 9.0 px side by side: that fits");
    q.advice.reason = FLY_ADVICE_COARSE;
    event = one_of(&q);
    assert_says(&event, FLY_INFO, "chip_size", "chip.size_px 18 (0.468 nm) is advised");
}

static void what_was_not_calibrated_is_told(void **state)
{
    struct fly_quality q = clean();
    struct fly_event event;

    q.pixel_nm = 0.0;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "uncalibrated_pixel", "the pixel size is not known");
    q.pixel_nm = 0.026;
    q.users_k = 0;
    event = one_of(&q);
    assert_says(&event, FLY_INFO, "uncalibrated_k_factors", "the built-in table");
    q.users_k = 1;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "uncalibrated_k_factors", "1 of 3 elements have k-factors of yours");
    assert_true(number(&event, "elements") == 3 && number(&event, "users") == 1);
}

static void the_longest_texts_and_numbers_fit(void **state)
{
    struct fly_quality q = clean();
    struct fly_quality_watch watch = {0};
    struct fly_event event;
    int n = 0;

    q.counts = (struct fly_quality_counts){INT32_MAX, INT32_MAX, INT32_MAX, 0, INT32_MAX, 1.0 / 3e-9};
    q.saturation.top = (struct fly_pile){1, -1.23456e-300, 1.0 / 3};
    q.saturation.bottom = (struct fly_pile){1, -1.23456e+300, 1.0 / 3};
    q.drift.last = (struct fly_drift_shift){.frame = INT64_MAX, .measured = 1, .dy_px = -16000.1, .dx_px = -16000.1,
                                            .sigma_dy_px = 1.0 / 3, .sigma_dx_px = 1.0 / 3, .ambiguous = 1,
                                            .rival_dy_px = -16000.1, .rival_dx_px = -16000.1};
    q.drift.applied_px[0] = q.drift.applied_px[1] = 16384;
    q.damage = (struct fly_quality_damage){INT32_MAX, INT32_MAX, {FLY_DAMAGE_SHARE, INT32_MAX, 15, 1, -1.0 / 3, 1e-300, 1e300},
                                           "Og"};
    q.advice = (struct fly_advice){.reason = FLY_ADVICE_BELOW_CELL, .chip_px = 16384, .cell_px = 16384.0 / 3, .cells = 1.0 / 3};
    q.pixel_nm = 123456.0 / 7;
    q.users_k = 1;
    while (fly_quality_watch_next(&watch, &q, 1, &event)) {
        assert_int_equal(fly_wire_scan(event.data, event.data_len), FLY_REFUSE_NONE);
        assert_true(strlen(event.text) < sizeof event.text - 1);
        n++;
    }
    assert_int_equal(n, 6);
}

static void damage_is_told_with_where_and_what_and_again_when_it_spread(void **state)
{
    struct fly_quality q = clean();
    struct fly_quality_watch watch = {0};
    struct fly_pub_quality told;
    struct fly_event event;

    fly_quality_told(&told, &q);
    assert_true(told.damage.chips == 0 && told.damage.row == -1 && isnan(told.damage.change));
    assert_null(told.damage.sign);
    q.damage = (struct fly_quality_damage){1, 9, {FLY_DAMAGE_SHARE, 47, 1, 1, -0.31, 2e-9, 16.0}, "O"};
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "damage", "1 chip changes under the beam");
    assert_says(&event, FLY_WARNING, "damage", "chip (2, 7) with its neighbours, has the share of O in its X-rays changed by -31 %");
    assert_true(number(&event, "chips") == 1 && number(&event, "barred") == 9 && number(&event, "change") == -0.31);
    assert_true(number(&event, "p") == 2e-9 && number(&event, "dose_us") == 16.0);
    fly_quality_told(&told, &q);
    assert_true(told.damage.row == 2 && told.damage.col == 7 && told.damage.chips == 1 && told.damage.barred == 9);
    assert_string_equal(told.damage.sign, "share");
    assert_string_equal(told.damage.element, "O");
    assert_says(&event, FLY_WARNING, "damage", "9 chips, damaged or beside such, are not proposed");
    q.damage.barred = 1;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "damage", "1 chip, damaged or beside such, is not proposed");
    q.damage.last.sign = FLY_DAMAGE_IMAGE;
    q.damage.element = NULL;
    event = one_of(&q);
    assert_says(&event, FLY_WARNING, "damage", "has its mean intensity changed by -31 %");
    assert_int_equal(fly_quality_watch_next(&watch, &q, SECOND, &event), 1);
    assert_int_equal(fly_quality_watch_next(&watch, &q, 100 * SECOND, &event), 0);
    q.damage.chips = 3;
    assert_int_equal(fly_quality_watch_next(&watch, &q, 101 * SECOND, &event), 1);
    q.damage.chips = 5;
    assert_int_equal(fly_quality_watch_next(&watch, &q, 300 * SECOND, &event), 0);
    q.damage.chips = 6;
    assert_int_equal(fly_quality_watch_next(&watch, &q, 301 * SECOND, &event), 1);
}

static void a_condition_is_told_once_and_again_when_it_came_back(void **state)
{
    struct fly_quality good = clean(), bad = clean();
    struct fly_quality_watch watch = {0};
    struct fly_event event;

    bad.counts.too_few = 60;
    assert_int_equal(fly_quality_watch_next(&watch, &good, 0, &event), 0);
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 1 * SECOND, &event), 1);
    for (int s = 1; s < 200; s++)
        assert_int_equal(fly_quality_watch_next(&watch, &bad, s * SECOND, &event), 0);
    assert_int_equal(fly_quality_watch_next(&watch, &good, 200 * SECOND, &event), 0);
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 201 * SECOND, &event), 1);
    assert_int_equal(fly_quality_watch_next(&watch, &good, 202 * SECOND, &event), 0);
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 203 * SECOND, &event), 0); /* not within a minute */
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 260 * SECOND, &event), 0);
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 261 * SECOND, &event), 1); /* it still holds */
    assert_string_equal(event.code, "counts_low");
    assert_int_equal(fly_quality_watch_next(&watch, &bad, 400 * SECOND, &event), 0);
}

static void each_condition_is_told_by_itself(void **state)
{
    struct fly_quality q = clean();
    struct fly_quality_watch watch = {0};
    struct fly_event event;

    q.pixel_nm = 0.0;
    assert_int_equal(fly_quality_watch_next(&watch, &q, 0, &event), 1);
    q.counts.too_few = 60;
    q.drift.last.dy_px = 8.0;
    assert_int_equal(fly_quality_watch_next(&watch, &q, SECOND, &event), 1);
    assert_string_equal(event.code, "counts_low");
    assert_int_equal(fly_quality_watch_next(&watch, &q, SECOND, &event), 1);
    assert_string_equal(event.code, "drift");
    assert_int_equal(fly_quality_watch_next(&watch, &q, SECOND, &event), 0);
}

static void numbers_that_are_not_there_are_nan(void **state)
{
    struct fly_quality q = {.has_image = 1, .counts.median = NAN, .saturation = {.top.value = NAN, .bottom.value = NAN}};
    struct fly_pub_quality told;

    fly_quality_told(&told, &q);
    assert_true(isnan(told.counts.too_few) && isnan(told.counts.median));
    assert_true(isnan(told.drift.dy_px) && isnan(told.drift.largest_px) && told.drift.frame == -1);
    assert_true(isnan(told.chip_size.cell_px) && told.chip_size.advised_px == 0);
    assert_string_equal(told.chip_size.reason, "too_little");
    assert_null(told.k_factors);
    q = clean();
    q.drift.last = (struct fly_drift_shift){.frame = 5, .dy_px = NAN, .correlation = NAN};
    q.drift.frames = (struct fly_drift_counts){3, 2, 1};
    fly_quality_told(&told, &q);
    assert_true(told.drift.frame == 5 && isnan(told.drift.correlation) && told.drift.largest_px == 1.3);
    assert_true(told.drift.frames == 3 && told.drift.unmeasured == 3);
    assert_true(told.counts.too_few == 0.1 && told.counts.pooled == 0.4);
    assert_true(told.saturation.top == 0.0); /* nothing piles up */
    assert_string_equal(told.k_factors, "user");
    assert_int_equal(told.pixel_known, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_of_good_data),
        cmocka_unit_test(counts_are_low_when_most_chips_have_too_few_of_their_own),
        cmocka_unit_test(clipping_is_told_with_where_and_how_much),
        cmocka_unit_test(a_drift_counts_by_what_no_shift_made_good),
        cmocka_unit_test(the_size_of_chips_is_advised_on),
        cmocka_unit_test(what_was_not_calibrated_is_told),
        cmocka_unit_test(the_longest_texts_and_numbers_fit),
        cmocka_unit_test(damage_is_told_with_where_and_what_and_again_when_it_spread),
        cmocka_unit_test(a_condition_is_told_once_and_again_when_it_came_back),
        cmocka_unit_test(each_condition_is_told_by_itself),
        cmocka_unit_test(numbers_that_are_not_there_are_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
