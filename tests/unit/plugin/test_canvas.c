#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "plugin/canvas.h"

enum { SIDE = 40 };

static struct fly_canvas paper(void)
{
    struct fly_canvas canvas;

    assert_int_equal(fly_canvas_open(&canvas, SIDE, SIDE, 0xFFFFFF), FLY_OK);
    return canvas;
}

/* Of black ink, in pixels. */
static double ink(const struct fly_canvas *canvas, int32_t y, int32_t x)
{
    return (255 - canvas->rgb[(y * SIDE + x) * 3]) / 255.0;
}

static double all_ink(const struct fly_canvas *canvas)
{
    double sum = 0;

    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE; x++)
            sum += ink(canvas, y, x);
    return sum;
}

/* Length times thickness and two half circles. */
static void a_line_covers_its_area_wherever_it_lies(void **state)
{
    static const double ends[][4] = {{10, 20, 30, 20}, {10.5, 5, 10.5, 35}, {8, 8, 30, 31}, {30, 12.3, 9.7, 25}};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const double *e = ends[i], thick = 3;
        double area = hypot(e[2] - e[0], e[3] - e[1]) * thick + 3.14159 * thick * thick / 4;
        struct fly_canvas canvas = paper();

        fly_canvas_line(&canvas, e[0], e[1], e[2], e[3], thick, 0, 1);
        assert_true(fabs(all_ink(&canvas) - area) < 0.05 * area);
        fly_canvas_close(&canvas);
    }
}

static void a_ring_is_empty_inside_and_has_its_radius(void **state)
{
    struct fly_canvas canvas = paper();

    (void)state;
    fly_canvas_ring(&canvas, 20, 20, 10, 2, 0, 1);
    assert_true(fabs(all_ink(&canvas) - 2 * 3.14159 * 10 * 2) < 4);
    for (int32_t y = 0; y < SIDE; y++) {
        for (int32_t x = 0; x < SIDE; x++) {
            double far = hypot(x + 0.5 - 20, y + 0.5 - 20);

            assert_true(fabs(far - 10) < 1.6 || ink(&canvas, y, x) == 0);
            assert_true(fabs(far - 10) > 0.4 || ink(&canvas, y, x) == 1);
        }
    }
    fly_canvas_close(&canvas);
}

static void what_lies_outside_is_cut_off(void **state)
{
    struct fly_canvas canvas = paper();

    (void)state;
    fly_canvas_line(&canvas, -50, 10, 90, 10, 2, 0, 1);
    fly_canvas_ring(&canvas, 0, 0, 5, 1, 0, 1);
    fly_canvas_ring(&canvas, -100, 300, 5, 1, 0, 1);
    assert_true(ink(&canvas, 10, 0) == 1 && ink(&canvas, 9, SIDE - 1) == 1);
    fly_canvas_close(&canvas);
}

static void half_covered_is_half_as_dark(void **state)
{
    struct fly_canvas full = paper(), half = paper();

    (void)state;
    fly_canvas_line(&full, 5, 20, 35, 20, 4, 0, 1);
    fly_canvas_line(&half, 5, 20, 35, 20, 4, 0, 0.5);
    assert_true(fabs(all_ink(&half) / all_ink(&full) - 0.5) < 0.01);
    fly_canvas_close(&full);
    fly_canvas_close(&half);
}

/* A plus over a minus: dark in the middle, a bar at the baseline, and no box. */
static void plus_minus_is_a_letter(void **state)
{
    struct fly_canvas sign = paper(), box = paper();

    (void)state;
    fly_canvas_text(&sign, 8, 28, 20, FLY_REGULAR, 0, "\xC2\xB1");
    fly_canvas_text(&box, 8, 28, 20, FLY_REGULAR, 0, "\xC3\xA9");
    assert_memory_not_equal(sign.rgb, box.rgb, SIDE * SIDE * 3);
    assert_true(all_ink(&sign) > 40);
    assert_true(ink(&sign, 16, 14) > 0.9);
    assert_true(ink(&sign, 28, 14) > 0.5);
    fly_canvas_close(&sign);
    fly_canvas_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_covers_its_area_wherever_it_lies),
        cmocka_unit_test(a_ring_is_empty_inside_and_has_its_radius),
        cmocka_unit_test(what_lies_outside_is_cut_off),
        cmocka_unit_test(half_covered_is_half_as_dark),
        cmocka_unit_test(plus_minus_is_a_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
