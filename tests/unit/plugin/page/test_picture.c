#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "plugin/page/picture.h"

static void a_scan_is_shown_small_enough(void **state)
{
    static const int32_t cases[][5] = {{1, 1, 1, 1, 1},           {512, 512, 1, 512, 512},   {1024, 3, 1, 1024, 3},
                                       {1025, 1024, 2, 513, 512}, {4096, 100, 4, 1024, 25},  {16384, 16383, 16, 1024, 1024},
                                       {7, 2049, 3, 3, 683}};
    struct fly_picture p;

    (void)state;
    fly_picture_init(&p, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fly_picture_begin(&p, cases[i][0], cases[i][1]), FLY_OK);
        assert_int_equal(p.step, cases[i][2]);
        assert_int_equal(p.h, cases[i][3]);
        assert_int_equal(p.w, cases[i][4]);
    }
    assert_int_equal(fly_picture_begin(&p, 0, 0), FLY_OK);
    assert_int_equal(p.step, 0);
    fly_picture_fini(&p);
}

/* A viewer that asks now and then for what it lacks, and puts it together as a page does. */
struct viewer {
    double value[40][30];
    uint64_t revision;
};

static void view(struct viewer *viewer, const struct fly_picture *p)
{
    uint16_t q[40 * 30];
    int32_t y0, rows;

    fly_picture_changed(p, viewer->revision, &y0, &rows);
    fly_picture_quantise(p, y0, rows, q);
    for (int32_t y = 0; y < rows; y++)
        for (int32_t x = 0; x < p->w; x++) {
            unsigned n = q[y * p->w + x];

            viewer->value[y0 + y][x] = n == FLY_PICTURE_UNMEASURED ? NAN : p->lo + n * (p->hi - p->lo) / FLY_PICTURE_TOP;
        }
    viewer->revision = p->newest;
}

static void what_a_viewer_puts_together_is_the_picture(void **state)
{
    struct fly_rng rng = {5};
    struct fly_picture p;
    struct viewer often = {.revision = 0}, seldom = {.revision = 0};
    float truth[40][30];

    (void)state;
    fly_picture_init(&p, 1000);
    assert_int_equal(fly_picture_begin(&p, 40, 30), FLY_OK);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 30; x++)
            truth[y][x] = NAN;
    for (int round = 0; round < 300; round++) {
        int32_t y0 = (int32_t)fly_rng_below(&rng, 40), rows = 1 + (int32_t)fly_rng_below(&rng, (uint32_t)(40 - y0));
        double scale = round < 150 ? 1.0 : 1e6; /* the range moves */

        for (int32_t y = y0; y < y0 + rows; y++)
            for (int x = 0; x < 30; x++)
                if (fly_rng_below(&rng, 3))
                    truth[y][x] = (float)((fly_rng_uniform(&rng) - 0.3) * scale);
        fly_picture_put(&p, y0, rows, truth[y0]);
        view(&often, &p);
        if (round % 17 == 0)
            view(&seldom, &p);
    }
    view(&seldom, &p);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 30; x++) {
            double half = 0.5001 * (p.hi - p.lo) / FLY_PICTURE_TOP;

            assert_int_equal(isnan(truth[y][x]), isnan(often.value[y][x]));
            if (isnan(truth[y][x]))
                continue;
            assert_true(fabs((double)truth[y][x] - often.value[y][x]) <= half);
            assert_true(fabs((double)truth[y][x] - seldom.value[y][x]) <= half);
        }
    fly_picture_fini(&p);
}

static void the_same_rows_again_change_nothing(void **state)
{
    float rows[4 * 8];
    struct fly_picture p;
    int32_t y0, n;
    uint64_t before;

    (void)state;
    fly_picture_init(&p, 7);
    assert_int_equal(fly_picture_begin(&p, 8, 8), FLY_OK);
    for (int i = 0; i < 32; i++)
        rows[i] = (float)i;
    fly_picture_put(&p, 2, 4, rows);
    before = p.newest;
    fly_picture_put(&p, 2, 4, rows);
    assert_true(p.newest == before);
    fly_picture_changed(&p, before, &y0, &n);
    assert_int_equal(n, 0);
    rows[8] = 9; /* of the second row, and within the range */
    fly_picture_put(&p, 2, 4, rows);
    fly_picture_changed(&p, before, &y0, &n);
    assert_int_equal(y0, 3);
    assert_int_equal(n, 1);
    fly_picture_fini(&p);
}

static void revisions_of_other_pictures_bring_all_rows(void **state)
{
    float row[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct fly_picture p;
    int32_t y0, n;
    uint64_t old;

    (void)state;
    fly_picture_init(&p, 500);
    assert_int_equal(fly_picture_begin(&p, 8, 8), FLY_OK);
    fly_picture_put(&p, 0, 1, row);
    old = p.newest;
    assert_int_equal(fly_picture_begin(&p, 8, 8), FLY_OK); /* the next session's */
    fly_picture_changed(&p, old, &y0, &n);
    assert_int_equal(n, 8);
    fly_picture_changed(&p, 499, &y0, &n); /* of the process before */
    assert_int_equal(n, 8);
    fly_picture_changed(&p, p.newest + 1000, &y0, &n); /* a clock that went back */
    assert_int_equal(n, 8);
    fly_picture_fini(&p);
}

static void the_range_has_room_and_moves_seldom(void **state)
{
    struct fly_rng rng = {3};
    struct fly_picture p;
    float row[64];
    int moved = 0;
    double lo = 0, hi = 0;

    (void)state;
    fly_picture_init(&p, 1);
    assert_int_equal(fly_picture_begin(&p, 512, 64), FLY_OK);
    for (int y = 0; y < 512; y++) {
        for (int x = 0; x < 64; x++)
            row[x] = (float)(1000 + 100 * fly_rng_normal(&rng));
        fly_picture_put(&p, y, 1, row);
        moved += lo != p.lo || hi != p.hi;
        lo = p.lo;
        hi = p.hi;
    }
    assert_in_range(moved, 1, 3);
    for (int x = 0; x < 64; x++)
        row[x] = 5; /* one value alone is a range, too */
    assert_int_equal(fly_picture_begin(&p, 512, 64), FLY_OK);
    fly_picture_put(&p, 0, 1, row);
    assert_true(p.lo < 5 && p.hi > 5);
    fly_picture_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_is_shown_small_enough),
        cmocka_unit_test(what_a_viewer_puts_together_is_the_picture),
        cmocka_unit_test(the_same_rows_again_change_nothing),
        cmocka_unit_test(revisions_of_other_pictures_bring_all_rows),
        cmocka_unit_test(the_range_has_room_and_moves_seldom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
