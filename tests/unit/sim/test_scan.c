#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/scan.h"

static void every_order_measures_each_line_once(void **state)
{
    for (int order = 0; order < FLY_ORDERS; order++)
        for (int32_t height = 1; height < 70; height += 3)
            for (int32_t block = 1; block <= height; block += 4) {
                struct fly_scan scan = {height, block, (enum fly_scan_order)order, 9};

                for (int64_t frame = 0; frame < 3; frame++) {
                    int seen[70] = {0};

                    for (int32_t step = 0; step < fly_scan_blocks(&scan); step++) {
                        int32_t y0, lines;

                        fly_scan_block(&scan, frame, step, &y0, &lines);
                        assert_true(lines >= 1 && y0 >= 0 && y0 + lines <= height);
                        for (int32_t y = y0; y < y0 + lines; y++)
                            seen[y]++;
                    }
                    for (int32_t y = 0; y < height; y++)
                        assert_int_equal(seen[y], 1);
                }
            }
}

static void raster_runs_down_and_serpentine_turns(void **state)
{
    struct fly_scan raster = {10, 3, FLY_ORDER_RASTER, 0}, serpentine = {10, 3, FLY_ORDER_SERPENTINE, 0};
    int32_t y0, lines;

    for (int64_t frame = 0; frame < 2; frame++) {
        fly_scan_block(&raster, frame, 0, &y0, &lines);
        assert_true(y0 == 0 && lines == 3);
        fly_scan_block(&serpentine, frame, 0, &y0, &lines);
        assert_true(y0 == (frame ? 9 : 0) && lines == (frame ? 1 : 3));
    }
}

static void shuffles_differ_by_frame_and_seed_and_are_kept(void **state)
{
    struct fly_scan a = {512, 1, FLY_ORDER_SHUFFLED, 1}, b = a;
    int same_seed = 0, same_frame = 0, in_place = 0;

    b.seed = 2;
    for (int32_t step = 0; step < 512; step++) {
        int32_t y[4], lines;

        fly_scan_block(&a, 0, step, &y[0], &lines);
        fly_scan_block(&a, 0, step, &y[1], &lines);
        fly_scan_block(&a, 1, step, &y[2], &lines);
        fly_scan_block(&b, 0, step, &y[3], &lines);
        assert_int_equal(y[0], y[1]);
        same_frame += y[0] == y[2];
        same_seed += y[0] == y[3];
        in_place += y[0] == step;
    }
    assert_true(same_frame < 10 && same_seed < 10 && in_place < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_measures_each_line_once),
        cmocka_unit_test(raster_runs_down_and_serpentine_turns),
        cmocka_unit_test(shuffles_differ_by_frame_and_seed_and_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
