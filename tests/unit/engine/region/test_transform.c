#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/engine/region/region_rig.h"

static struct fly_transforms_config config_of(int32_t chip, int32_t pitch, int32_t most, int exact)
{
    return (struct fly_transforms_config){
        .chip_px = chip, .pitch_px = pitch, .side_px_max = most, .exact = exact, .f_max = {0.2, 0.3}, .workers = 1};
}

static void open_as(struct fly_transforms *transforms, struct fly_arena *arena, const struct fly_transforms_config *how)
{
    assert_int_equal(fly_arena_init(arena, fly_transforms_need(how), NULL, "transforms"), FLY_OK);
    assert_int_equal(fly_transforms_init(transforms, how, arena), FLY_OK);
    assert_int_equal(arena->used, arena->cap);
}

/* Every column that is transformed, even and odd sizes, against the plain sum. */
static void power_is_that_of_the_plain_sum(void **state)
{
    static const int32_t sides[] = {8, 15, 22, 45, 64};
    struct fly_rng rng = {3};

    (void)state;
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int32_t side = sides[k];
        struct fly_transforms_config how = config_of(side, side, side, 1);
        struct fly_transforms transforms;
        struct fly_arena arena;
        const struct fly_transform *t;
        float *input, *picture = calloc((size_t)side * (size_t)side, sizeof *picture);
        size_t stride;
        double floor;

        open_as(&transforms, &arena, &how);
        t = fly_transforms_for(&transforms, side);
        assert_int_equal(t->side, side);
        stride = (size_t)side;
        input = calloc((size_t)side * stride, sizeof *input);
        for (int32_t y = 0; y < side; y++)
            for (int32_t x = 0; x < side; x++)
                input[(size_t)y * stride + (size_t)x] = (float)fly_rng_normal(&rng);
        for (int32_t y = 0; y < side + side % 2; y++)
            for (int32_t x = 0; x < side; x++)
                transforms.work[0].input[fly_transform_at(t, y, x)] =
                    y < side ? input[(size_t)y * stride + (size_t)x] : 0.0f;
        fly_transform_power(t, &transforms.work[0], &floor, picture, 2.0);
        for (int32_t kx = 0; kx < t->columns; kx++)
            for (int32_t ky = 0; ky < side; ky++) {
                double plain = fly_transform_power_ref(input, stride, side, ky, kx);
                int32_t y = (ky + side / 2) % side, x = kx + side / 2;

                if (ky <= t->reach || ky >= side - t->reach)
                    assert_float_equal(transforms.work[0].half[(size_t)kx * (size_t)side + (size_t)ky], plain,
                                       2e-5 * side * side);
                if (plain < 1.0 || x >= side)
                    continue;
                assert_float_equal(picture[(size_t)y * (size_t)side + (size_t)x], log10(plain / 2.0), 1e-3);
                /* and its mirror image */
                y = (side / 2 - ky + side) % side;
                x = side / 2 - kx;
                assert_float_equal(picture[(size_t)y * (size_t)side + (size_t)x], log10(plain / 2.0), 1e-3);
            }
        free(input);
        free(picture);
        fly_transforms_fini(&transforms);
        fly_arena_fini(&arena);
    }
}

/* A narrower look has the same power, no more columns than it needs, and never looks farther than was planned. */
static void a_narrower_look_has_the_same_power(void **state)
{
    struct fly_transforms_config how = config_of(48, 48, 48, 1);
    const double narrow[2] = {0.05, 0.02}, wide[2] = {0.5, 0.5};
    struct fly_transform planned, within;
    struct fly_transforms transforms;
    static float all[48 * 48];
    struct fly_arena arena;
    double floor[2];

    (void)state;
    open_as(&transforms, &arena, &how);
    planned = transforms.transform[0];
    within = fly_transform_within(&planned, wide);
    assert_true(within.columns == planned.columns && within.reach == planned.reach);
    within = fly_transform_within(&planned, narrow);
    assert_true(within.columns < planned.columns && within.reach < planned.reach);
    for (int k = 0; k < 2; k++) {
        struct fly_rng rng = {6};

        for (int32_t i = 0; i < 48 * 48; i++)
            transforms.work[0].input[i] = (float)fly_rng_normal(&rng);
        fly_transform_power(k ? &within : &planned, &transforms.work[0], &floor[k], NULL, 1.0);
        for (int32_t kx = 0; k && kx < within.columns; kx++)
            for (int32_t ky = -within.reach; ky <= within.reach; ky++)
                assert_true(all[kx * 48 + (ky + 48) % 48] == transforms.work[0].half[kx * 48 + (ky + 48) % 48]);
        memcpy(all, transforms.work[0].half, sizeof(float) * 48 * (size_t)planned.columns);
    }
    assert_true(floor[0] == floor[1] && floor[0] > 0.0);
    fly_transforms_fini(&transforms);
    fly_arena_fini(&arena);
}

static void noise_floor_is_the_power_of_white_noise(void **state)
{
    struct fly_transforms_config how = config_of(256, 256, 256, 1);
    struct fly_transforms transforms;
    struct fly_rng rng = {4};
    struct fly_arena arena;
    double floor, mean = 0.0;

    (void)state;
    open_as(&transforms, &arena, &how);
    for (int round = 0; round < 64; round++) {
        for (size_t i = 0; i < 256 * 256; i++)
            transforms.work[0].input[i] = (float)(3.0 * fly_rng_normal(&rng));
        fly_transform_power(&transforms.transform[0], &transforms.work[0], &floor, NULL, 1.0);
        mean += floor / (9.0 * 256 * 256) / 64.0;
    }
    assert_float_equal(mean, 1.0, 0.03); /* 64 medians of 561 powers: 0.008 */
    fly_transforms_fini(&transforms);
    fly_arena_fini(&arena);
}

static void sizes_are_those_of_whole_chips(void **state)
{
    struct fly_transforms_config how = config_of(15, 15, 100, 1);
    struct fly_transforms transforms;
    struct fly_arena arena;

    (void)state;
    open_as(&transforms, &arena, &how); /* 15 30 45 60 75 90 100 */
    assert_int_equal(transforms.count, 7);
    assert_int_equal(fly_transforms_for(&transforms, 45)->side, 45);
    assert_int_equal(fly_transforms_for(&transforms, 46)->side, 60);
    assert_int_equal(fly_transforms_for(&transforms, 100)->side, 100);
    assert_null(fly_transforms_for(&transforms, 101));
    fly_transforms_fini(&transforms);
    fly_arena_fini(&arena);

    how = config_of(17, 13, 90, 0); /* 17 30 43 56 69 82 90: fast ones not below */
    open_as(&transforms, &arena, &how);
    assert_int_equal(fly_transforms_for(&transforms, 17)->side, 24);
    assert_int_equal(fly_transforms_for(&transforms, 43)->side, 48);
    assert_int_equal(fly_transforms_for(&transforms, 69)->side, 80);
    assert_int_equal(fly_transforms_for(&transforms, 90)->side, 96);
    fly_transforms_fini(&transforms);
    fly_arena_fini(&arena);
}

static void numbers_outside_their_range_are_refused(void **state)
{
    struct fly_transforms_config wrong[6];
    struct fly_transforms transforms;
    struct fly_arena arena = {0};

    (void)state;
    for (int k = 0; k < 6; k++)
        wrong[k] = config_of(15, 15, 100, 0);
    wrong[0].chip_px = 0;
    wrong[1].pitch_px = 16;
    wrong[2].side_px_max = 7;
    wrong[3].f_max[0] = 0.51;
    wrong[4].f_max[1] = NAN;
    wrong[5].workers = 0;
    for (int k = 0; k < 6; k++)
        assert_int_equal(fly_transforms_init(&transforms, &wrong[k], &arena), FLY_ERANGE);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void medians_are_those_of_sorting(void **state)
{
    struct fly_rng rng = {8};

    (void)state;
    for (int round = 0; round < 3000; round++) {
        int32_t n = 1 + (int32_t)fly_rng_below(&rng, 30), kinds = 1 + (int32_t)fly_rng_below(&rng, 40);
        float values[30], sorted[30];

        for (int32_t i = 0; i < n; i++)
            sorted[i] = values[i] = (float)fly_rng_below(&rng, (uint64_t)kinds);
        qsort(sorted, (size_t)n, sizeof *sorted, by_value);
        assert_float_equal(fly_median(values, n), 0.5 * ((double)sorted[(n - 1) / 2] + (double)sorted[n / 2]), 0.0);
        assert_float_equal(fly_select(values, n, n / 3), sorted[n / 3], 0.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_is_that_of_the_plain_sum),
        cmocka_unit_test(a_narrower_look_has_the_same_power),
        cmocka_unit_test(noise_floor_is_the_power_of_white_noise),
        cmocka_unit_test(sizes_are_those_of_whole_chips),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(medians_are_those_of_sorting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
