#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/region/crystallinity.h"
#include "tests/unit/engine/region/region_rig.h"

static void windows_stay_inside_and_have_their_chip(void **state)
{
    (void)state;
    for (int32_t rows = 1; rows <= 7; rows++)
        for (int32_t cols = 1; cols <= 7; cols++)
            for (int32_t r = 0; r < rows; r++)
                for (int32_t c = 0; c < cols; c++) {
                    struct fly_square w = fly_crystallinity_window(rows, cols, r, c);
                    int32_t narrow = rows < cols ? rows : cols;

                    assert_int_equal(w.n, narrow < 3 ? narrow : 3);
                    assert_true(w.row >= 0 && w.col >= 0 && w.row + w.n <= rows && w.col + w.n <= cols);
                    assert_true(fly_square_has(w, r, c));
                    if (r > 0 && r < rows - 1 && c > 0 && c < cols - 1)
                        assert_true(w.row == r - 1 && w.col == c - 1);
                }
}

enum { ROWS = 6, COLS = 12, CHIP = 15 };

static void map_of(float *map, struct region_rig *rig, const struct picture *image)
{
    for (int32_t r = 0; r < ROWS; r++)
        for (int32_t c = 0; c < COLS; c++) {
            struct fly_square w = fly_crystallinity_window(ROWS, COLS, r, c);
            int32_t side = fly_square_px(w, CHIP, CHIP);
            struct fly_picture view = {.pixels = image->pixels + w.row * CHIP * image->w + w.col * CHIP,
                                       .stride = image->w, .h = side, .w = side};

            assert_int_equal(fly_crystallinity(&map[r * COLS + c], &rig->transforms, 0, &rig->config, &view), FLY_OK);
        }
}

/* A crystal at the left, disorder of the same strength at the right, nothing measured below. */
static void a_map_of_order_disorder_and_nothing(void **state)
{
    enum { TEXTURE = 192 };
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), CHIP, 90, 0, 1);
    struct picture image = picture_new(ROWS * CHIP, COLS * CHIP);
    float *a = malloc(TEXTURE * TEXTURE * sizeof *a), *b = malloc(TEXTURE * TEXTURE * sizeof *b);
    float map[ROWS * COLS];
    struct fly_rng rng = {3};

    (void)state;
    add_lattice(&image, 1.0, 0.39, 0.3, 0.05, 0.05, &rng);
    amorphous(a, b, TEXTURE, 0.12, 0.025, &rng);
    for (int32_t y = 0; y < image.h; y++)
        for (int32_t x = 0; x < image.w; x++) {
            if (x >= image.w / 2)
                image.pixels[y * image.w + x] = a[y * TEXTURE + x];
            if (y >= 4 * CHIP)
                image.pixels[y * image.w + x] = NAN;
        }
    add_noise(&image, 0.5, &rng);
    map_of(map, &rig, &image);
    for (int32_t r = 0; r < ROWS; r++)
        for (int32_t c = 0; c < COLS; c++) {
            float value = map[r * COLS + c];

            if (r >= 4) { /* of their windows at most a third is there */
                assert_true(isnan(value));
                continue;
            }
            assert_true(value >= 0.0f && value <= 1.0f);
            if (r < 3 && c < COLS / 2 - 1)
                assert_true(value > 0.9f);
            if (r < 3 && c > COLS / 2)
                assert_true(value == 0.0f);
        }
    region_rig_close(&rig);
    free(image.pixels);
    free(a);
    free(b);
}

/* A lattice as strong as the ring around it has half of the power; shot noise is not in it, at any dose. */
static void shares_are_of_what_is_not_noise(void **state)
{
    enum { TEXTURE = 960, SIDE = 160, TILES = TEXTURE / SIDE };
    float *a = malloc(TEXTURE * TEXTURE * sizeof *a), *b = malloc(TEXTURE * TEXTURE * sizeof *b);
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), SIDE, SIDE, 0, 1);
    struct picture p = picture_new(SIDE, SIDE);
    struct fly_rng rng = {4};

    (void)state;
    amorphous(a, b, TEXTURE, 0.121, 0.008, &rng); /* all of it in range: variance 1 */
    for (int k = 0; k < 3; k++) {
        double noise = k * 1.0, mean = 0.0;

        for (int32_t i = 0; i < TILES * TILES; i++) {
            const float *from = a + i / TILES * SIDE * TEXTURE + i % TILES * SIDE;

            for (int32_t line = 0; line < SIDE; line++)
                memcpy(p.pixels + line * SIDE, from + line * TEXTURE, SIDE * sizeof *from);
            add_lattice(&p, 1.0, 0.42, i, 0.05, 0.05, &rng); /* two waves: variance 1 */
            add_noise(&p, noise, &rng);
            mean += measured(&rig, &p).crystallinity / (TILES * TILES);
        }
        print_message("noise %.0f: crystallinity %.3f of 0.5\n", noise, mean);
        assert_float_equal(mean, 0.5, 0.06);
    }
    region_rig_close(&rig);
    free(p.pixels);
    free(a);
    free(b);
}

static void a_window_too_large_is_refused(void **state)
{
    struct region_rig rig = region_rig_open(region_config(0.05, 0.05), CHIP, 30, 0, 1);
    struct picture p = picture_new(45, 45);
    struct fly_picture view = picture_of(&p);
    float out = 7.0f;

    (void)state;
    assert_int_equal(fly_crystallinity(&out, &rig.transforms, 0, &rig.config, &view), FLY_ERANGE);
    assert_true(out == 7.0f);
    region_rig_close(&rig);
    free(p.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_stay_inside_and_have_their_chip),
        cmocka_unit_test(a_map_of_order_disorder_and_nothing),
        cmocka_unit_test(shares_are_of_what_is_not_noise),
        cmocka_unit_test(a_window_too_large_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
