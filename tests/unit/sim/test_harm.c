#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "sim/harm.h"

enum { PX = 60, DOSES = 8 };

static const double survey_us = 2.0;

static struct fly_harm *harm_open(enum fly_harm_kind kind, double loss)
{
    struct fly_specimen_config specimen = {.height_px = PX, .width_px = PX};
    struct fly_beam_config beam = fly_beam_config_default();
    struct fly_harm_config config = {kind, loss};
    struct fly_harm *harm = NULL;

    assert_int_equal(fly_harm_open(&harm, &config, &specimen, &beam, survey_us), FLY_OK);
    return harm;
}

static const struct fly_patch whole = {.h = PX, .w = PX, .dwell_us = 2.0};

static int is_middle(int32_t i)
{
    int32_t y = i / PX, x = i % PX;

    return y >= PX / 3 && y < PX - PX / 3 && x >= PX / 3 && x < PX - PX / 3;
}

/* Share of 100 counts a pixel that are left, of the middle and around it. */
static void image_left(const struct fly_harm *harm, double left[2])
{
    static uint16_t counts[PX * PX];
    double n[2] = {0.0, 0.0};

    left[0] = left[1] = 0.0;
    for (int32_t i = 0; i < PX * PX; i++)
        counts[i] = 100;
    fly_harm_image(harm, &whole, counts);
    for (int32_t i = 0; i < PX * PX; i++) {
        left[!is_middle(i)] += counts[i] / 100.0;
        n[!is_middle(i)] += 1.0;
    }
    left[0] /= n[0];
    left[1] /= n[1];
}

/* The same of photons: 4 of oxygen and 6 of iron in each pixel. */
static void photons_left(const struct fly_harm *harm, double oxygen[2], double iron[2])
{
    static const uint16_t spectrum[10] = {52, 640, 53, 641, 640, 52, 640, 54, 640, 639};
    static uint32_t row_ptr[PX * PX + 1];
    static uint16_t channel[PX * PX * 10];
    double n[2] = {0.0, 0.0};
    uint32_t left;

    for (int32_t i = 0; i < PX * PX; i++) {
        row_ptr[i + 1] = 10 * (uint32_t)(i + 1);
        memcpy(channel + 10 * i, spectrum, sizeof spectrum);
        n[!is_middle(i)] += 1.0;
    }
    left = fly_harm_photons(harm, &whole, 0, row_ptr, channel);
    assert_int_equal(left, row_ptr[PX * PX]);
    memset(oxygen, 0, 2 * sizeof *oxygen);
    memset(iron, 0, 2 * sizeof *iron);
    for (int32_t i = 0; i < PX * PX; i++)
        for (uint32_t p = row_ptr[i]; p < row_ptr[i + 1]; p++)
            *(channel[p] < 100 ? &oxygen[!is_middle(i)] : &iron[!is_middle(i)]) += 1.0;
    for (int at = 0; at < 2; at++) {
        oxygen[at] /= 4.0 * n[at];
        iron[at] /= 6.0 * n[at];
    }
}

static void the_middle_loses_what_its_dose_takes(void **state)
{
    for (int kind = FLY_HARM_OXYGEN; kind <= FLY_HARM_THICKNESS; kind++) {
        struct fly_harm *harm = harm_open((enum fly_harm_kind)kind, 0.5);

        for (int dose = 0; dose <= DOSES; dose++) {
            double want = 1.0 - 0.5 * (1.0 - exp(-dose / 4.0)), image[2], oxygen[2], iron[2];

            image_left(harm, image);
            photons_left(harm, oxygen, iron);
            assert_true(image[1] == 1.0 && oxygen[1] == 1.0 && iron[1] == 1.0);
            assert_true(fabs(oxygen[0] - want) < 0.05);
            if (kind == FLY_HARM_OXYGEN) {
                assert_true(image[0] == 1.0 && iron[0] == 1.0);
            } else {
                assert_true(fabs(image[0] - want) < 0.01);
                assert_true(fabs(iron[0] - want) < 0.05);
            }
            fly_harm_expose(harm, &whole);
        }
        fly_harm_close(&harm);
        assert_null(harm);
    }
}

static void only_what_was_exposed_loses(void **state)
{
    struct fly_harm *harm = harm_open(FLY_HARM_THICKNESS, 1.0);
    struct fly_patch half = {.h = PX / 2, .w = PX, .dwell_us = 1000.0};
    static uint16_t counts[PX * PX];

    fly_harm_expose(harm, &half);
    for (int32_t i = 0; i < PX * PX; i++)
        counts[i] = 1;
    fly_harm_image(harm, &whole, counts);
    for (int32_t i = 0; i < PX * PX; i++)
        assert_int_equal(counts[i], !(is_middle(i) && i < PX * PX / 2));
    fly_harm_close(&harm);
}

static void a_loss_beyond_all_is_refused(void **state)
{
    struct fly_specimen_config specimen = {.height_px = PX, .width_px = PX};
    struct fly_beam_config beam = fly_beam_config_default();
    struct fly_harm_config config = {FLY_HARM_OXYGEN, 1.5};
    struct fly_harm *harm = NULL;

    assert_int_equal(fly_harm_open(&harm, &config, &specimen, &beam, survey_us), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "1.5"));
    assert_null(harm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_loses_what_its_dose_takes),
        cmocka_unit_test(only_what_was_exposed_loses),
        cmocka_unit_test(a_loss_beyond_all_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
