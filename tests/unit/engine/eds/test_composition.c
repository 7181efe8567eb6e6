#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/eds/composition.h"
#include "tests/support/tensors.h"

#define EDGE FLY_TEST_DIR "/golden/edge/edge.json"

/* The numbers that follow `key` within `object` of edge.json, however they are nested. */
static int numbers(const char *json, const char *object, const char *key, double *out, int cap)
{
    char quoted[64];
    const char *at;
    int n = 0, depth = 0;

    snprintf(quoted, sizeof quoted, "\"%s\":", object);
    at = strstr(json, quoted);
    assert_non_null(at);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    at = strstr(at, quoted);
    assert_non_null(at);
    for (at = strchr(at, '['); ; at++) {
        if (*at == '[') {
            depth++;
        } else if (*at == ']') {
            if (--depth == 0)
                return n;
        } else if (strchr("-0123456789", *at)) {
            char *end;

            assert_true(n < cap);
            out[n++] = strtod(at, &end);
            at = end - 1;
        }
    }
}

static char *edge(void)
{
    struct bytes file = bytes_of_file(EDGE);
    char *json = calloc(1, file.len + 1);

    assert_non_null(file.at);
    memcpy(json, file.at, file.len);
    free(file.at);
    return json;
}

static void cliff_lorimer_of_zeros_negatives_and_a_single_line_is_golden(void **state)
{
    char *json = edge();
    double intensity[60], want[60], k[12], mass_u[12], got[12], worst = 0.0;

    (void)state;
    assert_int_equal(numbers(json, "cliff_lorimer", "intensities", intensity, 60), 60);
    assert_int_equal(numbers(json, "cliff_lorimer", "at_percent", want, 60), 60);
    assert_int_equal(numbers(json, "cliff_lorimer", "k", k, 12), 12);
    assert_int_equal(numbers(json, "cliff_lorimer", "mass", mass_u, 12), 12);
    for (int row = 0; row < 5; row++) {
        fly_cliff_lorimer(intensity + 12 * row, k, mass_u, 12, got);
        for (int i = 0; i < 12; i++)
            worst = fmax(worst, fabs(got[i] - want[12 * row + i]));
    }
    assert_true(worst < 1e-10);
    free(json);
}

static void percent_differences_are_golden(void **state)
{
    char *json = edge();
    double a[3], b[3], relative[3], symmetric[3];

    (void)state;
    assert_int_equal(numbers(json, "percent_difference", "a", a, 3), 3);
    assert_int_equal(numbers(json, "percent_difference", "b", b, 3), 3);
    assert_int_equal(numbers(json, "percent_difference", "relative", relative, 3), 3);
    assert_int_equal(numbers(json, "percent_difference", "symmetric", symmetric, 3), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(fly_percent_difference(a[i], b[i]) - relative[i]) < 1e-12);
        assert_true(fabs(fly_percent_difference_symmetric(a[i], b[i]) - symmetric[i]) < 1e-12);
    }
    free(json);
}

static void extraneous_is_what_la_fe_and_o_leave(void **state)
{
    const char *symbols[] = {"C", "Fe", "La", "O"};
    const double percent[] = {4.0, 20.0, 16.0, 60.0}, none[] = {0.0, 0.0, 0.0, 0.0};

    (void)state;
    assert_true(fabs(fly_extraneous(symbols, percent, 4) - 4.0) < 1e-12);
    assert_true(fly_extraneous(symbols, none, 4) == 100.0); /* as golden has it */
}

/* Two elements, independent counts: p = x / (x + y), sigma^2 = (y^2 sx^2 + x^2 sy^2) / (x + y)^4. */
static void sigma_of_two_elements_is_the_closed_form(void **state)
{
    const double intensity[] = {90.0, 40.0}, covariance[] = {90.0, 0.0, 0.0, 40.0}, k[] = {1.0, 2.0};
    const double mass_u[] = {10.0, 30.0};
    double x = 9.0, y = 40.0 * 2.0 / 30.0, sx = sqrt(90.0) / 10.0, sy = sqrt(40.0) * 2.0 / 30.0, sigma[2], percent[2];
    double want = 100.0 * sqrt(y * y * sx * sx + x * x * sy * sy) / ((x + y) * (x + y));

    (void)state;
    fly_cliff_lorimer_sigma(intensity, covariance, k, mass_u, 2, sigma);
    assert_true(fabs(sigma[0] - want) < 1e-12 && fabs(sigma[1] - want) < 1e-12);
    fly_signed_percent(intensity, covariance, k, mass_u, 2, percent, sigma);
    assert_true(fabs(sigma[0] - want) < 1e-12);
    assert_true(fabs(percent[0] + percent[1] - 100.0) < 1e-12);
    assert_true(fabs(percent[0] - 100.0 * x / (x + y)) < want * want / 50.0);
}

static void limits_and_significance_are_poissons_at_both_ends(void **state)
{
    (void)state;
    assert_true(fabs(fly_count_limit(0.0, 0.0) - 2.7055) < 1e-3);
    assert_true(fabs(fly_count_limit(0.0, 1e6) - 1.645e3) < 5.0);
    assert_true(fly_count_limit(-50.0, 100.0) == fly_count_limit(0.0, 100.0));
    assert_true(fly_count_significance(0.0, 5.0) == 0.0);
    assert_true(fly_count_significance(-3.0, 5.0) == 0.0);
    assert_true(fabs(fly_count_significance(30.0, 1e4) - 0.3) < 1e-3); /* Gauss: found / sqrt(b) */
    assert_true(fly_count_significance(1.0, 0.0) < 2.2);               /* one stray count proves nothing */
    assert_true(fly_count_significance(5.0, 0.0) > 3.0);
}

static void a_thin_films_factor_is_the_closed_form(void **state)
{
    const double k[] = {1.0, 1.0}, mac[] = {5000.0, 20000.0, 0.0, 0.0};
    struct fly_film film = {100.0, 5.0, M_PI / 6.0, mac};
    double intensity[] = {50.0, 50.0}, factor[2], depth = 5.0 * 100e-7 / 0.5;
    double weight, x;

    (void)state;
    fly_film_correct(&film, k, 2, intensity, factor);
    weight = intensity[0] / (intensity[0] + intensity[1]);
    x = (5000.0 * weight + 20000.0 * (1.0 - weight)) * depth;
    assert_true(fabs(factor[0] - x / (1.0 - exp(-x))) < 1e-9); /* consistent with its own composition */
    assert_true(factor[1] == 1.0);
    film.thickness_nm = 1e-6;
    intensity[0] = 50.0;
    intensity[1] = 50.0;
    fly_film_correct(&film, k, 2, intensity, factor);
    assert_true(fabs(factor[0] - 1.0) < 1e-6);
}

static void impossible_films_are_refused(void **state)
{
    double mac[] = {1.0, -1.0, 0.0, 0.0};
    struct fly_film film = {100.0, 5.0, 0.3, mac};

    (void)state;
    assert_int_equal(fly_film_check(&film, 2), FLY_ERANGE);
    mac[1] = NAN;
    assert_int_equal(fly_film_check(&film, 2), FLY_ERANGE);
    mac[1] = 1.0;
    assert_int_equal(fly_film_check(&film, 2), FLY_OK);
    film.thickness_nm = 0.0;
    assert_int_equal(fly_film_check(&film, 2), FLY_ERANGE);
    film.thickness_nm = 10.0;
    film.takeoff_rad = 0.0;
    assert_int_equal(fly_film_check(&film, 2), FLY_ERANGE);
    film.takeoff_rad = 0.3;
    film.density_g_cm3 = NAN;
    assert_int_equal(fly_film_check(&film, 2), FLY_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cliff_lorimer_of_zeros_negatives_and_a_single_line_is_golden),
        cmocka_unit_test(percent_differences_are_golden),
        cmocka_unit_test(extraneous_is_what_la_fe_and_o_leave),
        cmocka_unit_test(sigma_of_two_elements_is_the_closed_form),
        cmocka_unit_test(limits_and_significance_are_poissons_at_both_ends),
        cmocka_unit_test(a_thin_films_factor_is_the_closed_form),
        cmocka_unit_test(impossible_films_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
