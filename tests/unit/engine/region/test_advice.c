#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/region/advice.h"
#include "tests/unit/engine/region/region_rig.h"

static struct fly_advice advise(struct region_rig *rig, const struct picture *p, int32_t chip_px)
{
    struct fly_picture view = picture_of(p);
    struct fly_advice out;

    assert_int_equal(fly_advise(&out, &rig->transforms, 0, &rig->config, &view, chip_px, NULL), FLY_OK);
    return out;
}

/* Lines from `first` on have not been seen. */
static void unsee(struct picture *p, int32_t first)
{
    for (int32_t i = first * p->w; i < p->h * p->w; i++)
        p->pixels[i] = NAN;
}

static void chips_are_judged_by_the_cell(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), 15, 120, 0, 1);
    struct picture p = picture_new(200, 180);
    struct fly_rng rng = {1};
    struct fly_advice a;

    (void)state;
    add_lattice(&p, 10.0, 0.4, 0.5, 0.05, 0.05, &rng); /* 8 px */
    add_noise(&p, 5.0, &rng);
    a = advise(&rig, &p, 15);
    assert_int_equal(a.reason, FLY_ADVICE_FITS);
    assert_true(a.in_nm);
    assert_int_equal(a.lines, 120);
    assert_float_equal(a.cell_px, 8.0, 0.05);
    assert_float_equal(a.cells, 15.0 / 8.0, 0.02);
    assert_in_range(a.chip_px, 16, 17); /* two cells: 0.8 nm */
    assert_int_equal(advise(&rig, &p, 7).reason, FLY_ADVICE_BELOW_CELL);
    assert_int_equal(advise(&rig, &p, 9).reason, FLY_ADVICE_FITS);
    assert_int_equal(advise(&rig, &p, 40).reason, FLY_ADVICE_COARSE); /* 2 nm */
    unsee(&p, 50);
    a = advise(&rig, &p, 15);
    assert_int_equal(a.lines, 50);
    assert_float_equal(a.cell_px, 8.0, 0.1);
    unsee(&p, 9);
    a = advise(&rig, &p, 15);
    assert_int_equal(a.reason, FLY_ADVICE_TOO_LITTLE);
    assert_int_equal(a.chip_px, 0);
    unsee(&p, 0);
    assert_int_equal(advise(&rig, &p, 15).lines, 0);
    assert_int_equal(advise(&rig, &p, 15).reason, FLY_ADVICE_TOO_LITTLE);
    region_rig_close(&rig);
    free(p.pixels);
}

/* An oblique cell, its longer side: |a| = d / sin(angle between the two g); at 60 degrees a + b is shorter than a. */
static void the_cell_is_that_of_both_vectors(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), 15, 120, 0, 1);
    struct picture p = picture_new(120, 120);
    struct fly_rng rng = {2};

    (void)state;
    for (int turn = 0; turn < 12; turn++) {
        double apart = (turn % 2 ? 60.0 : 75.0) * M_PI / 180.0, a = turn * 0.25, b = a + apart;
        double side = 0.45 / sin(apart), other = 0.42 / sin(apart);
        double both = sqrt(side * side + other * other - 2.0 * side * other * cos(apart));

        fill(&p, 0.0);
        add_wave(&p, 10.0, sin(a) / 0.45 * 0.05, cos(a) / 0.45 * 0.05, 0.0);
        add_wave(&p, 10.0, sin(b) / 0.42 * 0.05, cos(b) / 0.42 * 0.05, 0.0);
        add_noise(&p, 3.0, &rng);
        assert_float_equal(advise(&rig, &p, 15).cell_px, fmin(side, fmax(both, other)) / 0.05, 0.1);
    }
    fill(&p, 0.0);
    add_wave(&p, 10.0, 0.0, 0.05 / 0.5, 0.0); /* one spot alone: its d */
    add_noise(&p, 3.0, &rng);
    assert_float_equal(advise(&rig, &p, 15).cell_px, 10.0, 0.05);
    region_rig_close(&rig);
    free(p.pixels);
}

static void without_a_pixel_size_cells_alone_count(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.0, 0.0), 15, 128, 0, 1);
    struct picture p = picture_new(128, 128);
    struct fly_rng rng = {3};
    struct fly_advice a;

    (void)state;
    add_lattice(&p, 10.0, 17.0, 0.2, 1.0, 1.0, &rng);
    add_noise(&p, 5.0, &rng);
    a = advise(&rig, &p, 15);
    assert_int_equal(a.reason, FLY_ADVICE_BELOW_CELL);
    assert_false(a.in_nm);
    assert_float_equal(a.cell_px, 17.0, 0.1);
    assert_in_range(a.chip_px, 34, 35);
    assert_int_equal(advise(&rig, &p, 100).reason, FLY_ADVICE_FITS);
    region_rig_close(&rig);
    free(p.pixels);
}

static void advised_chips_are_of_the_papers_size(void **state)
{
    static const struct {
        double px, d;
        int32_t least, most;
    } all[] = {
        {0.05, 0.54, 20, 20},   /* two cells are 1.08 nm: 1 nm */
        {0.02, 0.35, 35, 36},   /* two cells, 0.7 nm */
        {0.1, 0.35, 7, 8},
    };

    (void)state;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        struct region_rig rig = region_rig_open(region_config(all[k].px, all[k].px), 15, 180, 0, 1);
        struct picture p = picture_new(180, 180);
        struct fly_rng rng = {4};

        add_lattice(&p, 10.0, all[k].d, 0.2, all[k].px, all[k].px, &rng);
        add_noise(&p, 3.0, &rng);
        assert_in_range(advise(&rig, &p, 15).chip_px, all[k].least, all[k].most);
        region_rig_close(&rig);
        free(p.pixels);
    }
}

static void where_there_is_no_lattice_nothing_is_advised(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), 15, 120, 0, 1);
    struct picture p = picture_new(120, 120);
    struct fly_picture none = {.pixels = p.pixels, .stride = 1};
    struct fly_advice a, untouched = {.lines = 77};
    struct fly_rng rng = {5};

    (void)state;
    add_noise(&p, 5.0, &rng);
    a = advise(&rig, &p, 15);
    assert_int_equal(a.reason, FLY_ADVICE_NO_LATTICE);
    assert_true(a.chip_px == 0 && a.cell_px == 0.0 && a.cells == 0.0);
    assert_int_equal(fly_advise(&untouched, &rig.transforms, 0, &rig.config, &none, 15, NULL), FLY_ERANGE);
    assert_int_equal(untouched.lines, 77);
    region_rig_close(&rig);
    free(p.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_are_judged_by_the_cell),
        cmocka_unit_test(the_cell_is_that_of_both_vectors),
        cmocka_unit_test(without_a_pixel_size_cells_alone_count),
        cmocka_unit_test(advised_chips_are_of_the_papers_size),
        cmocka_unit_test(where_there_is_no_lattice_nothing_is_advised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
