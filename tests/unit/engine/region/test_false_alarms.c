#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/region/region_rig.h"

/* Decision D8 and acceptance A16: what has no order is called a crystal once in a hundred, at most. 2000 pictures of a
 * rate of 1 % have 20 +- 4.5, so 30 would be told from it. */
enum { TRIALS = 2000, ALARMS_MOST = 30, TEXTURE = 960 };

enum noise { WHITE, POISSON, SLOPED };

static int32_t alarms_of_noise(enum noise noise, int32_t side, double px)
{
    struct region_rig rig = region_rig_open(region_config(px, px), side, side, 0, 1);
    struct picture p = picture_new(side, side);
    struct fly_rng rng = {(uint64_t)side};
    int32_t alarms = 0;

    for (int32_t t = 0; t < TRIALS; t++) {
        for (int32_t i = 0; i < side * side; i++)
            p.pixels[i] = noise == POISSON  ? (float)fly_rng_poisson(&rng, 0.5)
                          : noise == SLOPED ? (float)(5.0 * (i / side) + fly_rng_normal(&rng))
                                            : (float)fly_rng_normal(&rng);
        alarms += measured(&rig, &p).state != FLY_SPACING_DISORDERED;
    }
    print_message("noise %d, %d px of %.3f nm: %d alarms of %d\n", (int)noise, (int)side, px, (int)alarms, TRIALS);
    region_rig_close(&rig);
    free(p.pixels);
    return alarms;
}

static void noise_is_no_crystal(void **state)
{
    static const int32_t sides[] = {32, 45, 60, 100};
    int32_t all = 0;

    (void)state;
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int32_t alarms = alarms_of_noise(WHITE, sides[k], 0.05);

        assert_true(alarms <= ALARMS_MOST);
        all += alarms;
    }
    assert_true(alarms_of_noise(POISSON, 60, 0.05) <= ALARMS_MOST);
    assert_true(alarms_of_noise(POISSON, 90, 0.036) <= ALARMS_MOST);
    assert_true(alarms_of_noise(SLOPED, 60, 0.05) <= ALARMS_MOST);
    assert_true(all <= 80 && all >= 4); /* at most 1 % of them; not so few that the bar must be far too high */
}

/* Tiles of large textures whose power is a broad ring at 0.42 nm, as of amorphous matter, in some noise. */
static void an_amorphous_ring_is_no_crystal(void **state)
{
    static const int32_t sides[] = {32, 48, 60, 96};
    static const double widths[] = {0.015, 0.03}; /* sd, cycles a pixel, of a ring at 0.12 */
    float *a = malloc((size_t)TEXTURE * TEXTURE * sizeof *a), *b = malloc((size_t)TEXTURE * TEXTURE * sizeof *b);
    struct fly_rng rng = {21};

    (void)state;
    for (int k = 0; k < 8; k++) {
        int32_t side = sides[k % 4], trials = 0, alarms = 0;
        double width = widths[k / 4], crystallinity = 0.0;
        struct region_rig rig = region_rig_open(region_config(0.05, 0.05), side, side, 0, 1);
        struct picture p = picture_new(side, side);

        while (trials < 1000) {
            amorphous(a, b, TEXTURE, 0.12, width, &rng);
            for (int32_t i = 0; i < 2 * (TEXTURE / side) * (TEXTURE / side); i++, trials++) {
                const float *from = i % 2 ? a : b;
                int32_t y = i / 2 / (TEXTURE / side) * side, x = i / 2 % (TEXTURE / side) * side;
                struct fly_spacing s;

                for (int32_t line = 0; line < side; line++)
                    memcpy(p.pixels + line * side, from + (y + line) * TEXTURE + x, (size_t)side * sizeof *from);
                add_noise(&p, 0.3, &rng);
                s = measured(&rig, &p);
                alarms += s.state != FLY_SPACING_DISORDERED;
                crystallinity += s.crystallinity;
            }
        }
        print_message("ring of %.3f +- %.3f, %d px: %d alarms of %d, crystallinity %.4f\n", 0.12, width, (int)side,
                      (int)alarms, (int)trials, crystallinity / trials);
        assert_true(alarms <= trials / 100 + 2.0 * sqrt(trials / 100.0));
        assert_true(crystallinity / trials < 0.01);
        region_rig_close(&rig);
        free(p.pixels);
    }
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_no_crystal),
        cmocka_unit_test(an_amorphous_ring_is_no_crystal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
