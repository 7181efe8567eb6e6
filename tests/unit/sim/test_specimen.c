#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "sim/specimen.h"
#include "sim/truth.h"

static struct fly_specimen_config config_of(int32_t geometry, double inclusion, uint64_t seed)
{
    const struct fly_geometry *g = fly_geometry_at(geometry);

    return (struct fly_specimen_config){.height_px = g->height_px, .width_px = g->width_px, .pixel_nm = g->pixel_nm,
                                        .growth = g->growth, .dpa = g->dpa, .cap = g->cap, .warp_px = 1.0,
                                        .seed = seed, .inclusion = inclusion};
}

static struct fly_specimen *specimen(int32_t geometry, double inclusion, uint64_t seed)
{
    struct fly_specimen_config config = config_of(geometry, inclusion, seed);
    struct fly_specimen *s = NULL;

    assert_int_equal(fly_specimen_open(&s, &config), FLY_OK);
    return s;
}

/* Pixels of the scan in the inclusion, their centre of mass, and the farthest of them from it. */
struct disc {
    int32_t pixels;
    double y, x, reach;
};

static int is_inclusion(const struct fly_specimen *s, int32_t y, int32_t x)
{
    return s->phase[fly_specimen_at(s, y, x)] == FLY_INCLUSION;
}

static struct disc disc_of(const struct fly_specimen *s)
{
    struct disc d = {0};

    for (int32_t y = 0; y < s->config.height_px; y++)
        for (int32_t x = 0; x < s->config.width_px; x++)
            if (is_inclusion(s, y, x)) {
                d.pixels++;
                d.y += y;
                d.x += x;
            }
    d.y /= d.pixels;
    d.x /= d.pixels;
    for (int32_t y = 0; y < s->config.height_px; y++)
        for (int32_t x = 0; x < s->config.width_px; x++)
            if (is_inclusion(s, y, x))
                d.reach = fmax(d.reach, hypot(y - d.y, x - d.x));
    return d;
}

static void an_inclusion_is_a_disc_of_its_share_with_film_all_around(void **state)
{
    (void)state;
    for (int32_t g = 0; g < FLY_GEOMETRIES; g++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct fly_specimen *s = specimen(g, 0.01, seed);
            struct disc d = disc_of(s);
            double pixels = 0.01 * s->config.height_px * s->config.width_px;

            /* The slow distortion may change its area by some percent, and its shape by a pixel or two. */
            assert_true(fabs(d.pixels - pixels) < 0.06 * pixels);
            assert_true(d.reach < sqrt(pixels / 3.14159265) + 2.5);
            for (int32_t y = 1; y < s->config.height_px - 1; y++)
                for (int32_t x = 1; x < s->config.width_px - 1; x++)
                    for (int i = 0; i < 9 && is_inclusion(s, y, x); i++) {
                        uint8_t beside = s->phase[fly_specimen_at(s, y + i / 3 - 1, x + i % 3 - 1)];

                        assert_true(beside != FLY_CAP && beside != FLY_STO);
                    }
            fly_specimen_close(&s);
        }
}

static void all_else_is_where_it_is_without_one(void **state)
{
    const double columns_px = 12.0; /* no column reaches farther */

    (void)state;
    for (int32_t g = 0; g < FLY_GEOMETRIES; g++) {
        struct fly_specimen *with = specimen(g, 0.01, 5), *without = specimen(g, 0.0, 5);
        struct disc d = disc_of(with);
        double darker = 0.0;

        assert_int_equal(disc_of(without).pixels, 0);
        assert_true(without->d_nm[FLY_INCLUSION] == 0.0 && with->d_nm[FLY_INCLUSION] == 0.297);
        for (int32_t y = 0; y < with->config.height_px; y++)
            for (int32_t x = 0; x < with->config.width_px; x++) {
                size_t at = fly_specimen_at(with, y, x);

                if (!is_inclusion(with, y, x))
                    assert_int_equal(with->phase[at], without->phase[at]);
                else
                    darker += without->signal[at] - with->signal[at];
                if (hypot(y - d.y, x - d.x) > d.reach + columns_px)
                    assert_true(with->signal[at] == without->signal[at]);
            }
        print_message("darker by %.3f\n", darker / d.pixels);
        assert_true(darker > 0.05 * d.pixels); /* no La in it */
        fly_specimen_close(&with);
        fly_specimen_close(&without);
    }
}

static void a_seed_has_its_place(void **state)
{
    struct fly_specimen *a = specimen(0, 0.01, 7), *b = specimen(0, 0.01, 7), *c = specimen(0, 0.01, 8);
    struct disc at = disc_of(a), there = disc_of(c);
    size_t pixels = (size_t)(a->config.height_px + 2 * FLY_SPECIMEN_MARGIN_PX) * (size_t)a->stride_px;

    (void)state;
    assert_memory_equal(a->phase, b->phase, pixels);
    assert_memory_equal(a->signal, b->signal, pixels * sizeof *a->signal);
    assert_true(hypot(at.y - there.y, at.x - there.x) > 5.0);
    fly_specimen_close(&a);
    fly_specimen_close(&b);
    fly_specimen_close(&c);
}

static void one_chip_in_a_hundred_is_the_inclusions(void **state)
{
    const int32_t origin[2] = {0, 0};

    (void)state;
    for (int32_t g = 0; g < FLY_GEOMETRIES; g++) {
        const struct fly_geometry *table = fly_geometry_at(g);
        struct fly_specimen *s = specimen(g, 0.01, 3);
        struct fly_truth *t = NULL;
        int32_t chips[2];

        assert_int_equal(fly_truth_open(&t, s, table->chip_px, 0, origin, table->rows, table->cols), FLY_OK);
        double share = (double)t->count[FLY_INCLUSION] / (t->rows * t->cols);

        assert_true(share > 0.005 && share < 0.017);
        assert_int_equal(fly_truth_support(t, FLY_INCLUSION, 2, chips), 2);
        fly_truth_close(&t);
        fly_specimen_close(&s);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    static const double shares[] = {-0.001, 0.051, NAN};
    struct fly_specimen_config config;
    struct fly_specimen *s = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        config = config_of(0, shares[i], 1);
        assert_int_equal(fly_specimen_open(&s, &config), FLY_ERANGE);
        assert_non_null(strstr(fly_fail_text(), "allowed are 0 .. 0.05"));
    }
    config = config_of(0, 0.05, 1);
    config.width_px = 4096; /* 260 px across, the film has 215 */
    assert_int_equal(fly_specimen_open(&s, &config), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "the film has room"));
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_inclusion_is_a_disc_of_its_share_with_film_all_around),
        cmocka_unit_test(all_else_is_where_it_is_without_one),
        cmocka_unit_test(a_seed_has_its_place),
        cmocka_unit_test(one_chip_in_a_hundred_is_the_inclusions),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
