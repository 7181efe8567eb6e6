#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "sim/xray.h"

enum { N = 4096 };

static const struct fly_xray_axis axis_200 = {.n_channels = N, .ev_per_channel = 10.0, .beam_kev = 200.0};

static double window(const double *chance, double low_kev, double high_kev)
{
    double sum = 0.0;

    for (int i = 0; i < N; i++)
        if (i * 0.01 >= low_kev && i * 0.01 < high_kev)
            sum += chance[i];
    return sum;
}

static void a_spectrum_sums_to_one(void **state)
{
    double atoms[FLY_XRAY_ELEMENTS], chance[N], sum = 0.0;

    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
        atoms[e] = 1.0 + e;
    assert_int_equal(fly_xray_spectrum(chance, &axis_200, atoms, 0.35), FLY_OK);
    for (int i = 0; i < N; i++) {
        assert_true(chance[i] >= 0.0);
        sum += chance[i];
    }
    assert_true(fabs(sum - 1.0) < 1e-12);
}

/* The reason for the shares: k * I / mass gives the atoms back. Fe K against La L, far apart. */
static void cliff_lorimer_gives_the_composition_back(void **state)
{
    double atoms[FLY_XRAY_ELEMENTS] = {0}, chance[N];

    atoms[FLY_EL_FE] = 0.25;
    atoms[FLY_EL_SR] = 0.75;
    assert_int_equal(fly_xray_spectrum(chance, &axis_200, atoms, 0.0), FLY_OK);
    double fe = window(chance, 6.0, 7.6) * 1.3332 / fly_xray_mass_u(FLY_EL_FE);
    double sr = window(chance, 13.5, 16.5) * 4.3082 / fly_xray_mass_u(FLY_EL_SR);

    assert_true(fabs(fe / (fe + sr) - 0.25) < 1e-4);
}

/* Of one line alone: its centre and its width are those of the detector. */
static void a_line_has_the_detectors_width(void **state)
{
    double atoms[FLY_XRAY_ELEMENTS] = {0}, chance[N], mean = 0.0, var = 0.0;

    assert_true(fabs(fly_xray_fwhm_ev(5.8987) - 130.0) < 1e-9);
    atoms[FLY_EL_O] = 1.0;
    assert_int_equal(fly_xray_spectrum(chance, &axis_200, atoms, 0.0), FLY_OK);
    for (int i = 0; i < N; i++)
        mean += chance[i] * i * 10.0;
    for (int i = 0; i < N; i++)
        var += chance[i] * (i * 10.0 - mean) * (i * 10.0 - mean);
    double sigma = fly_xray_fwhm_ev(0.5249) / 2.3548200450309493;

    assert_true(fabs(mean - 524.9) < 0.01);
    assert_true(fabs(var - (sigma * sigma + 100.0 / 12.0)) < 0.1); /* a channel's own width on top */
}

static void an_offset_moves_the_zero_peak_into_view(void **state)
{
    struct fly_xray_axis axis = axis_200;
    double atoms[FLY_XRAY_ELEMENTS] = {0}, chance[N], peak = 0.0;

    atoms[FLY_EL_FE] = 1.0;
    axis.ev_offset = -480.0;
    axis.zero_peak = 0.25;
    assert_int_equal(fly_xray_spectrum(chance, &axis, atoms, 0.3), FLY_OK);
    for (int i = 0; i < 48 + 10; i++)
        peak += chance[i];
    assert_true(fabs(peak - 0.25) < 0.01);
}

static void a_blind_axis_is_refused(void **state)
{
    struct fly_xray_axis axis = {.n_channels = 100, .ev_per_channel = 10.0, .ev_offset = 30000.0,
                                 .beam_kev = 200.0};
    double atoms[FLY_XRAY_ELEMENTS] = {0}, chance[N];

    assert_int_equal(fly_xray_spectrum(chance, &axis_200, atoms, 0.3), FLY_ERANGE);
    atoms[FLY_EL_FE] = 1.0;
    assert_int_equal(fly_xray_spectrum(chance, &axis, atoms, 0.3), FLY_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spectrum_sums_to_one),
        cmocka_unit_test(cliff_lorimer_gives_the_composition_back),
        cmocka_unit_test(a_line_has_the_detectors_width),
        cmocka_unit_test(an_offset_moves_the_zero_peak_into_view),
        cmocka_unit_test(a_blind_axis_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
