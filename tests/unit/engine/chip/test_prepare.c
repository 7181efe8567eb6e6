#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/dtype.h"
#include "engine/base/rng.h"
#include "engine/chip/prepare.h"
#include "tests/support/golden.h"

#define TINY FLY_TEST_DIR "/golden/a_tiny"
#define EDGE FLY_TEST_DIR "/golden/edge"

/* Chip k of side s of an (H, W) image, as double. */
static void cut(const struct golden *image, int32_t s, int32_t cols, int32_t k, double *out)
{
    for (int32_t y = 0; y < s; y++)
        for (int32_t x = 0; x < s; x++)
            out[y * s + x] = fly_dtype_value(
                (enum fly_dtype)image->npy.type, image->npy.data,
                (size_t)((k / cols * s + y) * image->npy.shape[1] + k % cols * s + x));
}

/* a_tiny: chips of 15 px, 6 x 6, range 20 .. 216, network input 32 px; tolerance 1e-3 of golden/README.md. */
static void chips_of_a_tiny_map_and_resize_as_golden(void **state)
{
    struct golden image = golden_open(TINY, "haadf");
    struct golden first = golden_open(TINY "/expected", "chip0_255");
    struct golden grey = golden_open(TINY "/expected", "input_grey_first4");

    (void)state;
    for (int32_t k = 0; k < 4; k++) {
        double chip[225], input[1024];

        cut(&image, 15, 6, k, chip);
        fly_map_intensity(chip, chip, 225, 20.0, 216.0);
        for (int i = 0; k == 0 && i < 225; i++)
            assert_true(fabs(chip[i] - ((const double *)first.npy.data)[i]) <= 1e-9);
        fly_resize_bilinear(chip, 15, input, 32);
        for (int i = 0; i < 1024; i++)
            assert_true(fabs(input[i] - (double)((const float *)grey.npy.data)[k * 1024 + i]) <= 1e-3);
    }
    golden_close(&image);
    golden_close(&first);
    golden_close(&grey);
}

/* The first chips of edge/chip_image, mapped from 0 .. 60000 and resized. */
static void resizes_match_golden(void **state)
{
    static const struct {
        const char *name;
        int32_t side, size;
    } cases[] = {{"resize15_32", 15, 32}, {"resize15_64", 15, 64}, {"resize40_32", 40, 32}};
    struct golden image = golden_open(EDGE, "chip_image");

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct golden want = golden_open(EDGE, cases[c].name);
        static double in[40 * 40], out[64 * 64];
        int32_t s = cases[c].side, n = cases[c].size * cases[c].size;

        for (int32_t k = 0; k < want.npy.shape[0]; k++) {
            cut(&image, s, (int32_t)image.npy.shape[1] / s, k, in);
            fly_map_intensity(in, in, s * s, 0.0, 60000.0);
            fly_resize_bilinear(in, s, out, cases[c].size);
            for (int32_t i = 0; i < n; i++)
                assert_true(fabs(out[i] - (double)((const float *)want.npy.data)[k * n + i]) <= 1e-4);
        }
        golden_close(&want);
    }
    golden_close(&image);
}

static void a_range_of_nothing_gives_zeros(void **state)
{
    double v[3] = {1, 5, 9};

    (void)state;
    fly_map_intensity(v, v, 3, 5.0, 5.0);
    assert_true(v[0] == 0.0 && v[1] == 0.0 && v[2] == 0.0);
}

static void resizing_to_the_same_size_changes_nothing(void **state)
{
    double in[49], out[49];
    struct fly_rng rng = {5};

    (void)state;
    for (int i = 0; i < 49; i++)
        in[i] = fly_rng_uniform(&rng);
    fly_resize_bilinear(in, 7, out, 7);
    assert_memory_equal(in, out, sizeof in);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void percentiles_follow_numpy(void **state)
{
    double v[4] = {4, 1, 3, 2};
    struct fly_rng rng = {9};

    (void)state;
    assert_true(fly_percentile(v, 4, 50) == 2.5);
    assert_true(fly_percentile(v, 4, 0) == 1.0);
    assert_true(fly_percentile(v, 4, 100) == 4.0);
    assert_true(fabs(fly_percentile(v, 4, 99.9) - 3.997) < 1e-12);
    for (int round = 0; round < 200; round++) {
        double a[257], sorted[257];
        int n = 1 + (int)fly_rng_below(&rng, 257);
        double p = 100.0 * fly_rng_uniform(&rng), at = p / 100.0 * (n - 1);
        int k = (int)floor(at);

        for (int i = 0; i < n; i++)
            a[i] = sorted[i] = (double)fly_rng_below(&rng, 1 + (uint64_t)round);
        qsort(sorted, (size_t)n, sizeof *sorted, compare);
        double want = k + 1 < n ? sorted[k] + (sorted[k + 1] - sorted[k]) * (at - k) : sorted[k];

        assert_true(fabs(fly_percentile(a, n, p) - want) < 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_of_a_tiny_map_and_resize_as_golden),
        cmocka_unit_test(resizes_match_golden),
        cmocka_unit_test(a_range_of_nothing_gives_zeros),
        cmocka_unit_test(resizing_to_the_same_size_changes_nothing),
        cmocka_unit_test(percentiles_follow_numpy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
