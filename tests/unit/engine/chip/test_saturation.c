#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/chip/saturation.h"

enum { PIXELS = 1 << 18 };

/* What a number becomes in the type: rounded and held to its range, as a converter does. */
static void store(enum fly_dtype dtype, double value, unsigned char *at)
{
    static const struct {
        double low, high;
    } range[FLY_DTYPES] = {
        [FLY_U8] = {0.0, UINT8_MAX},          [FLY_U16] = {0.0, UINT16_MAX},       [FLY_U32] = {0.0, UINT32_MAX},
        [FLY_I16] = {INT16_MIN, INT16_MAX},   [FLY_I32] = {INT32_MIN, INT32_MAX},  [FLY_F32] = {-INFINITY, INFINITY},
        [FLY_F64] = {-INFINITY, INFINITY},
    };
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        int16_t i16;
        int32_t i32;
        float f32;
        double f64;
    } v;

    if (!fly_dtype_is_float(dtype))
        value = floor(fmax(range[dtype].low, fmin(range[dtype].high, value)) + 0.5);
    switch (dtype) {
    case FLY_U8: v.u8 = (uint8_t)value; break;
    case FLY_U16: v.u16 = (uint16_t)value; break;
    case FLY_U32: v.u32 = (uint32_t)value; break;
    case FLY_I16: v.i16 = (int16_t)value; break;
    case FLY_I32: v.i32 = (int32_t)value; break;
    case FLY_F32: v.f32 = (float)value; break;
    default: v.f64 = value; break;
    }
    memcpy(at, &v, fly_dtype_size(dtype));
}

/* A picture of spots, brightest at `high` on average, over a ground, with the noise asked for. */
enum noise { COUNTS, GAUSS, TAIL };
static double pixel(enum noise noise, double high, double sd, int32_t i, struct fly_rng *rng)
{
    double y = fabs(fmod(i / 512, 11.0) - 5.0), x = fabs(fmod(i % 512, 11.0) - 5.0);
    double mean = high * (0.2 + 0.8 * exp(-(y * y + x * x) / 8.0));

    if (noise == COUNTS)
        return (double)fly_rng_poisson(rng, mean);
    if (noise == GAUSS)
        return mean + sd * fly_rng_normal(rng);
    return mean - sd * log(1.0 - fly_rng_uniform(rng));
}

static struct fly_saturation seen(enum fly_dtype dtype, const unsigned char *px, size_t n)
{
    struct fly_saturation s;

    fly_saturation_init(&s, dtype);
    fly_saturation_put(&s, px, n);
    return s;
}

/* ---- what is kept -------------------------------------------------------------------------------------- */

/* Blocks, odd lengths and unaligned pixels against pixel by pixel, values many and few, NaN among them. */
static void blocks_equal_the_plain_twin(void **state)
{
    static unsigned char px[PIXELS / 64 * 8 + 1];
    struct fly_rng rng = {3};

    (void)state;
    for (int round = 0; round < 60; round++)
        for (int t = 0; t < FLY_DTYPES; t++) {
            enum fly_dtype dtype = (enum fly_dtype)t;
            size_t size = fly_dtype_size(dtype), n = PIXELS / 64, at = 0;
            double scale = pow(10.0, 1.0 + (double)fly_rng_below(&rng, 7));
            double kinds = 1.0 + (double)fly_rng_below(&rng, 12);
            struct fly_saturation fast, slow;

            for (size_t i = 0; i < n; i++) {
                double v = round % 3 ? scale * fly_rng_normal(&rng) : floor(kinds * fly_rng_uniform(&rng));

                if (fly_dtype_is_float(dtype) && fly_rng_below(&rng, 50) == 0)
                    v = fly_rng_below(&rng, 2) ? NAN : fly_rng_below(&rng, 2) ? INFINITY : -INFINITY;
                store(dtype, v, px + 1 + i * size);
            }
            fly_saturation_init(&fast, dtype);
            fly_saturation_init(&slow, dtype);
            fly_saturation_put_ref(&slow, px + 1, n);
            while (at < n) {
                size_t some = 1 + fly_rng_below(&rng, 700);

                some = some < n - at ? some : n - at;
                fly_saturation_put(&fast, px + 1 + at * size, some);
                at += some;
            }
            assert_memory_equal(&fast, &slow, sizeof fast);
            assert_int_equal(fast.total + fast.nonfinite, n);
        }
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* The outermost values and how many of each, against all of them sorted; so the order of arrival is nothing. */
static void the_tails_are_exact(void **state)
{
    enum { N = 3000 };
    struct fly_rng rng = {8};

    (void)state;
    for (int round = 0; round < 200; round++) {
        static double v[N];
        int n = 1 + (int)fly_rng_below(&rng, N), at = 0, k = 0;
        double spread = 1.0 + 200.0 * fly_rng_uniform(&rng);
        struct fly_saturation s;

        for (int i = 0; i < n; i++)
            v[i] = floor(spread * fly_rng_normal(&rng));
        s = seen(FLY_F64, (const unsigned char *)v, (size_t)n);
        qsort(v, (size_t)n, sizeof *v, descending);
        for (k = 0; k < FLY_SATURATION_VALUES && at < n; k++) {
            int count = 1;

            while (at + count < n && v[at + count] == v[at])
                count++;
            assert_true(s.top.value[k] == v[at] && s.top.count[k] == count);
            at += count;
        }
        assert_int_equal(s.top.n, k);
        for (at = n - 1, k = 0; k < s.bottom.n; k++) {
            int count = 1;

            while (at - count >= 0 && v[at - count] == v[at])
                count++;
            assert_true(s.bottom.value[k] == v[at] && s.bottom.count[k] == count);
            at -= count;
        }
    }
}

/* ---- what is told -------------------------------------------------------------------------------------- */

static const enum fly_dtype types[] = {FLY_U8, FLY_U16, FLY_I16, FLY_I32, FLY_F32, FLY_F64};

/* Spots, noise of three kinds, dark and bright: nothing is cut off, at no time while the pixels come. */
static void bright_spots_are_no_saturation(void **state)
{
    static const double levels[] = {0.02, 0.5, 3.0, 30.0, 150.0, 3000.0, 20000.0};
    unsigned char *px = malloc((size_t)PIXELS * 8);
    double closest = 0.0;
    struct fly_rng rng = {21};

    (void)state;
    assert_non_null(px);
    for (int noise = COUNTS; noise <= TAIL; noise++)
        for (size_t l = 0; l < sizeof levels / sizeof *levels; l++)
            for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                double sd = noise == TAIL ? 0.02 * levels[l] : 0.1 * levels[l];
                double offset = noise == COUNTS ? 0.0 : sd * 10.0;
                size_t size = fly_dtype_size(types[t]);
                struct fly_saturation s;

                if ((types[t] == FLY_U8 && levels[l] > 150.0) ||
                    (noise != COUNTS && levels[l] < (noise == TAIL ? 150.0 : 30.0)))
                    continue; /* would be cut off, or has less noise than a step of the converter */
                offset = fmin(offset, types[t] == FLY_U8 ? 40.0 : 5000.0);
                for (int32_t i = 0; i < PIXELS; i++)
                    store(types[t], offset + pixel((enum noise)noise, 0.8 * levels[l], 0.5 * sd, i, &rng),
                          px + (size_t)i * size);
                fly_saturation_init(&s, types[t]);
                for (size_t at = 0; at < PIXELS; at += 2048) {
                    struct fly_pile top, bottom;

                    fly_saturation_put(&s, px + at * size, 2048);
                    top = fly_saturation_top(&s);
                    bottom = fly_saturation_bottom(&s);
                    if (top.piled || (noise != COUNTS && bottom.piled))
                        fail_msg("noise %d, level %g, %s, %zu px: top %d at %g (%g), bottom %d at %g (%g)", noise,
                                 levels[l], fly_dtype_name(types[t]), at + 2048, top.piled, top.value, top.share,
                                 bottom.piled, bottom.value, bottom.share);
                    for (int j = 0; j + 2 < s.top.n; j++)
                        closest = fmax(closest, (double)(s.top.count[j] - 16) / (double)s.top.count[j + 1]);
                }
            }
    print_message("  closest to the factor 4: %.2f\n", closest);
    free(px);
}

/* The same pictures cut off so that a part of their pixels lies beyond: told, with the share there is. */
static void clipped_pixels_are_told_with_their_share(void **state)
{
    static const double shares[] = {0.0005, 0.01, 0.2};
    double *v = malloc((size_t)PIXELS * sizeof *v), *sorted = malloc((size_t)PIXELS * sizeof *v);
    unsigned char *px = malloc((size_t)PIXELS * 8);
    struct fly_rng rng = {5};
    int told = 0;

    (void)state;
    assert_true(v && sorted && px);
    for (int noise = COUNTS; noise <= TAIL; noise++)
        for (size_t k = 0; k < sizeof shares / sizeof *shares; k++)
            for (size_t t = 0; t < sizeof types / sizeof *types; t++)
                for (int low = 0; low < 2; low++) {
                    double high = types[t] == FLY_U8 ? 130.0 : 3000.0, clip, excess = 0.0;
                    size_t size = fly_dtype_size(types[t]);
                    struct fly_saturation s;
                    struct fly_pile pile, other;
                    int64_t beyond = 0;

                    for (int32_t i = 0; i < PIXELS; i++)
                        v[i] = sorted[i] = 0.3 * high + pixel((enum noise)noise, high, 0.1 * high, i, &rng);
                    if (low && noise == TAIL)
                        continue; /* its lower end is sharp by itself */
                    qsort(sorted, PIXELS, sizeof *v, descending);
                    clip = floor(sorted[(int32_t)(low ? (1.0 - shares[k]) * PIXELS : shares[k] * PIXELS)]);
                    for (int32_t i = 0; i < PIXELS; i++) {
                        double held = low ? fmax(v[i], clip) : fmin(v[i], clip);

                        store(types[t], held, px + (size_t)i * size);
                        beyond += fly_dtype_value(types[t], px, (size_t)i) == clip;
                        excess += fabs(v[i] - held);
                    }
                    /* Of less than twice the 4 values of the header the counts decide by chance. */
                    if ((noise == COUNTS || !fly_dtype_is_float(types[t])) && excess < 8.0 * (double)beyond)
                        continue;
                    told++;
                    s = seen(types[t], px, PIXELS);
                    pile = low ? fly_saturation_bottom(&s) : fly_saturation_top(&s);
                    other = low ? fly_saturation_top(&s) : fly_saturation_bottom(&s);
                    if (!pile.piled)
                        fail_msg("noise %d, share %g, %s, %s: not told; %lld %lld %lld", noise, shares[k],
                                 fly_dtype_name(types[t]), low ? "bottom" : "top", (long long)s.top.count[0],
                                 (long long)s.top.count[1], (long long)s.top.count[2]);
                    assert_true(pile.value == clip);
                    assert_true(pile.share == (double)beyond / PIXELS);
                    if (!low && noise != TAIL && other.piled)
                        fail_msg("noise %d, share %g, %s: bottom told at %g; %lld %lld %lld %lld", noise, shares[k],
                                 fly_dtype_name(types[t]), other.value, (long long)s.bottom.count[0],
                                 (long long)s.bottom.count[1], (long long)s.bottom.count[2],
                                 (long long)s.bottom.count[3]);
                }
    print_message("  %d pictures\n", told);
    assert_true(told > 70);
    free(v);
    free(sorted);
    free(px);
}

/* Twelve bits in sixteen, and a few hot pixels of other values above. */
static void hot_pixels_do_not_hide_a_clipping_converter(void **state)
{
    static uint16_t px[PIXELS];
    struct fly_rng rng = {2};
    struct fly_saturation s;
    struct fly_pile pile;

    (void)state;
    for (int32_t i = 0; i < PIXELS; i++)
        px[i] = (uint16_t)fmin(4095.0, fmax(0.0, 3000.0 + 500.0 * fly_rng_normal(&rng)));
    px[7] = px[70000] = 65535;
    px[500] = 60001;
    s = seen(FLY_U16, (const unsigned char *)px, PIXELS);
    pile = fly_saturation_top(&s);
    assert_true(pile.piled && pile.value == 4095.0);
    assert_true(fabs(pile.share - 0.5 * erfc(1095.0 / 500.0 / sqrt(2.0))) < 0.001);
    assert_false(fly_saturation_bottom(&s).piled);
}

static void hot_pixels_alone_are_no_saturation(void **state)
{
    static uint16_t px[PIXELS];
    struct fly_rng rng = {2};
    struct fly_saturation s;

    (void)state;
    for (int32_t i = 0; i < PIXELS; i++)
        px[i] = (uint16_t)fly_rng_poisson(&rng, 50.0);
    for (int32_t i = 0; i < 15; i++)
        px[i * 999] = 65535;
    s = seen(FLY_U16, (const unsigned char *)px, PIXELS);
    assert_false(fly_saturation_top(&s).piled);
    assert_true(fly_saturation_top(&s).value == 65535.0 && fly_saturation_top(&s).share == 15.0 / PIXELS);
}

/* Zeros of a counter of few photons are measured ones; over vacuum and specimen together they look like a pile:
 * the header says so. */
static void few_counts_are_no_black_clipping(void **state)
{
    static uint16_t px[PIXELS];
    struct fly_rng rng = {13};

    (void)state;
    for (double mean = 0.01; mean < 20.0; mean *= 1.5) {
        struct fly_saturation s;

        for (int32_t i = 0; i < PIXELS; i++)
            px[i] = (uint16_t)fly_rng_poisson(&rng, mean);
        s = seen(FLY_U16, (const unsigned char *)px, PIXELS);
        assert_false(fly_saturation_bottom(&s).piled);
        assert_false(fly_saturation_top(&s).piled);
    }
    for (int32_t i = 0; i < PIXELS; i++)
        px[i] = (uint16_t)fly_rng_poisson(&rng, i % 2 ? 8.0 : 0.01);
    {
        struct fly_saturation s = seen(FLY_U16, (const unsigned char *)px, PIXELS);

        assert_true(fly_saturation_bottom(&s).piled && fly_saturation_bottom(&s).value == 0.0);
    }
}

static void without_pixels_or_contrast_nothing_is_told(void **state)
{
    static const uint8_t px[500] = {0};
    static const float none[3] = {NAN, INFINITY, -INFINITY};
    struct fly_saturation s;
    struct fly_pile pile;

    (void)state;
    fly_saturation_init(&s, FLY_U8);
    pile = fly_saturation_top(&s);
    assert_true(!pile.piled && isnan(pile.value) && pile.share == 0.0);
    s = seen(FLY_U8, px, sizeof px);
    pile = fly_saturation_top(&s);
    assert_true(!pile.piled && pile.value == 0.0 && pile.share == 1.0);
    assert_false(fly_saturation_bottom(&s).piled);
    s = seen(FLY_F32, (const unsigned char *)none, 3);
    assert_int_equal(s.nonfinite, 3);
    assert_int_equal(s.total, 0);
    assert_true(isnan(fly_saturation_bottom(&s).value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_the_plain_twin),
        cmocka_unit_test(the_tails_are_exact),
        cmocka_unit_test(bright_spots_are_no_saturation),
        cmocka_unit_test(clipped_pixels_are_told_with_their_share),
        cmocka_unit_test(hot_pixels_do_not_hide_a_clipping_converter),
        cmocka_unit_test(hot_pixels_alone_are_no_saturation),
        cmocka_unit_test(few_counts_are_no_black_clipping),
        cmocka_unit_test(without_pixels_or_contrast_nothing_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
