#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/beam.h"

enum { SIDE = 256 };

static struct fly_specimen *specimen(enum fly_growth growth, double dpa, double warp_px)
{
    struct fly_specimen_config config = {.height_px = SIDE, .width_px = SIDE, .pixel_nm = 0.05,
                                         .growth = growth, .dpa = dpa, .warp_px = warp_px, .seed = 4};
    struct fly_specimen *s = NULL;

    assert_int_equal(fly_specimen_open(&s, &config), FLY_OK);
    return s;
}

static struct fly_beam *beam(const struct fly_specimen *s, const struct fly_beam_config *config)
{
    struct fly_beam *b = NULL;

    assert_int_equal(fly_beam_open(&b, s, config), FLY_OK);
    return b;
}

static void any_rectangle_is_that_part_of_its_frame(void **state)
{
    struct fly_specimen *s = specimen(FLY_DEFECTIVE, 0.1, 1.0);
    struct fly_beam_config config = fly_beam_config_default();
    static uint16_t whole[SIDE * SIDE], part[SIDE * SIDE], whole_ch[4 * SIDE * SIDE], part_ch[4 * SIDE * SIDE];
    static uint32_t whole_ptr[SIDE * SIDE + 1], part_ptr[SIDE * SIDE + 1];
    static const int32_t rects[][4] = {{0, 0, 1, 1}, {255, 255, 1, 1}, {17, 3, 1, 253}, {100, 0, 31, 256},
                                       {5, 200, 90, 7}};

    config.eds_counts = 1.0;
    config.segments = 3;
    struct fly_beam *b = beam(s, &config);

    for (int64_t frame = 0; frame < 150; frame += 70) {
        struct fly_shot all = {frame, 0, 0, SIDE, SIDE, 2.0};

        fly_beam_image(b, &all, whole);
        fly_beam_photons(b, &all, 2, whole_ptr);
        fly_beam_channels(b, &all, 2, whole_ptr, whole_ch);
        for (size_t r = 0; r < sizeof rects / sizeof *rects; r++) {
            struct fly_shot shot = {frame, rects[r][0], rects[r][1], rects[r][2], rects[r][3], 2.0};

            fly_beam_image(b, &shot, part);
            fly_beam_photons(b, &shot, 2, part_ptr);
            fly_beam_channels(b, &shot, 2, part_ptr, part_ch);
            for (int32_t i = 0; i < shot.h; i++)
                for (int32_t j = 0; j < shot.w; j++) {
                    int32_t p = i * shot.w + j, q = (shot.y0_px + i) * SIDE + shot.x0_px + j;
                    uint32_t n = part_ptr[p + 1] - part_ptr[p];

                    assert_int_equal(part[p], whole[q]);
                    assert_int_equal(n, whole_ptr[q + 1] - whole_ptr[q]);
                    assert_memory_equal(part_ch + part_ptr[p], whole_ch + whole_ptr[q], n * 2);
                }
        }
    }
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

static void a_seed_gives_the_same_bytes_and_another_others(void **state)
{
    struct fly_specimen *one = specimen(FLY_PRISTINE, 0.1, 1.0), *two = specimen(FLY_PRISTINE, 0.1, 1.0);
    struct fly_beam_config config = fly_beam_config_default();
    static uint16_t a[SIDE * SIDE], c[SIDE * SIDE];
    struct fly_shot shot = {3, 0, 0, SIDE, SIDE, 2.0};
    int differ = 0;

    struct fly_beam *first = beam(one, &config), *again = beam(two, &config);

    config.seed = 1;
    struct fly_beam *other = beam(one, &config);

    fly_beam_image(first, &shot, a);
    fly_beam_image(again, &shot, c);
    assert_memory_equal(a, c, sizeof a);
    fly_beam_image(other, &shot, c);
    for (int i = 0; i < SIDE * SIDE; i++)
        differ += a[i] != c[i];
    assert_true(differ > SIDE * SIDE / 2);
    fly_beam_close(&first);
    fly_beam_close(&again);
    fly_beam_close(&other);
    fly_specimen_close(&one);
    fly_specimen_close(&two);
}

/* Frames of the same place differ by noise alone, and that noise is Poisson: variance = mean, and
 * twice the dwell gives twice the mean. */
static void counts_are_poisson_and_grow_with_dwell(void **state)
{
    struct fly_specimen *s = specimen(FLY_PRISTINE, 0.0, 0.0);
    struct fly_beam_config config = fly_beam_config_default();
    enum { FRAMES = 60, W = 64 };
    static uint16_t counts[2][FRAMES][W * W];
    double ratio = 0.0, mean_sum[2] = {0};

    config.drift_px[0] = config.drift_px[1] = config.drift_jitter_px = config.line_jitter_px = 0.0;
    config.dwell_max_us = 4.0;
    struct fly_beam *b = beam(s, &config);

    for (int64_t frame = 0; frame < FRAMES; frame++)
        for (int d = 0; d < 2; d++) {
            struct fly_shot shot = {frame, 130, 60, W, W, d ? 4.0 : 2.0};

            fly_beam_image(b, &shot, counts[d][frame]);
        }
    for (int p = 0; p < W * W; p++) {
        double mean = 0.0, var = 0.0;

        for (int f = 0; f < FRAMES; f++) {
            mean += counts[0][f][p] / (double)FRAMES;
            mean_sum[1] += counts[1][f][p];
        }
        for (int f = 0; f < FRAMES; f++)
            var += (counts[0][f][p] - mean) * (counts[0][f][p] - mean) / (FRAMES - 1);
        ratio += var / mean / (W * W);
        mean_sum[0] += mean * FRAMES;
    }
    assert_true(fabs(ratio - 1.0) < 0.02);
    assert_true(fabs(mean_sum[1] / mean_sum[0] - 2.0) < 0.005);
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

static void photons_number_what_was_stated(void **state)
{
    struct fly_specimen *s = specimen(FLY_DEFECTIVE, 0.0, 1.0);
    struct fly_beam_config config = fly_beam_config_default();
    static uint32_t ptr[SIDE * SIDE + 1];
    static uint16_t channel[4 * SIDE * SIDE];
    double all = 0.0, by_segment[FLY_BEAM_SEGMENTS] = {0}, pixels = SIDE * SIDE;
    enum { FRAMES = 6 };
    static double seen[4096];
    double expected = 0.0, chi2 = 0.0;
    int bins = 0;

    config.eds_counts = 0.7;
    config.segments = 4;
    config.drift_px[0] = config.drift_px[1] = config.drift_jitter_px = config.line_jitter_px = 0.0;
    struct fly_beam *b = beam(s, &config);

    for (int64_t frame = 0; frame < FRAMES; frame++)
        for (int32_t g = 0; g < 4; g++) {
            struct fly_shot shot = {frame, 0, 0, SIDE, SIDE, 2.0};
            uint32_t n = fly_beam_photons(b, &shot, g, ptr);

            fly_beam_channels(b, &shot, g, ptr, channel);
            for (uint32_t i = 0; i < n; i++)
                seen[channel[i]]++;
            by_segment[g] += n;
            all += n;
        }
    assert_true(fabs(all - 0.7 * pixels * FRAMES) < 5 * sqrt(0.7 * pixels * FRAMES));
    for (int32_t g = 0; g < 4; g++)
        assert_true(fabs(by_segment[g] - all * fly_beam_share(b, g)) < 5 * sqrt(by_segment[g]));
    assert_true(fly_beam_share(b, 0) > 1.2 * fly_beam_share(b, 3));
    /* And the spectrum of the scan is that of its phases, channel by channel where that can be said. */
    double share[FLY_PHASES] = {0};

    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE; x++)
            share[s->phase[fly_specimen_at(s, y, x)]] += FRAMES;
    for (int i = 0; i < 4096; i++) {
        expected = 0.0;
        for (int p = 0; p < FLY_PHASES; p++)
            expected += share[p] * fly_beam_phase_counts(b, (enum fly_phase)p) *
                        fly_beam_spectrum(b, (enum fly_phase)p)[i];
        if (expected < 20.0)
            continue;
        chi2 += (seen[i] - expected) * (seen[i] - expected) / expected;
        bins++;
    }
    assert_true(bins > 300);
    assert_true(fabs(chi2 - bins) < 6 * sqrt(2.0 * bins));
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

/* Power of the signal along x at a spacing, rows y0 .. y1, by direct Fourier sums. */
static double power(const struct fly_specimen *s, int32_t y0, int32_t y1, double d_px)
{
    double sum = 0.0;

    for (int32_t y = y0; y < y1; y++) {
        double re = 0.0, im = 0.0, mean = 0.0;

        for (int32_t x = 0; x < SIDE; x++)
            mean += s->signal[fly_specimen_at(s, y, x)] / SIDE;
        for (int32_t x = 0; x < SIDE; x++) {
            double hann = 0.5 - 0.5 * cos(6.283185307179586 * (x + 0.5) / SIDE);
            double v = (s->signal[fly_specimen_at(s, y, x)] - mean) * hann;

            re += v * cos(6.283185307179586 * x / d_px);
            im += v * sin(6.283185307179586 * x / d_px);
        }
        sum += re * re + im * im;
    }
    return sum;
}

static double strongest_d_nm(const struct fly_specimen *s, int32_t y0, int32_t y1)
{
    double best = 0.0, at = 0.0;

    for (double d_nm = 0.33; d_nm < 0.55; d_nm += 0.0005) {
        double p = power(s, y0, y1, d_nm / 0.05);

        if (p > best)
            best = p, at = d_nm;
    }
    return at;
}

static void lattices_have_their_d_spacing(void **state)
{
    struct fly_specimen *s = specimen(FLY_PRISTINE, 0.0, 0.0);

    /* Cap to row 64, film to about 171, substrate below. */
    assert_true(fabs(strongest_d_nm(s, 90, 140) - s->d_nm[FLY_LFO]) < 0.002);
    assert_true(fabs(strongest_d_nm(s, 200, 250) - s->d_nm[FLY_STO]) < 0.002);
    assert_true(s->d_nm[FLY_LFO] == 0.405 && s->d_nm[FLY_CAP] == 0.0);
    fly_specimen_close(&s);
}

/* The specimen moves by the drift that is told: frame n looks like frame 0 moved back. */
static void drift_moves_the_specimen(void **state)
{
    struct fly_specimen *s = specimen(FLY_PRISTINE, 0.0, 0.0);
    struct fly_beam_config config = fly_beam_config_default();
    static uint16_t early[SIDE * SIDE], late[SIDE * SIDE];
    struct fly_shot shot = {0, 0, 0, SIDE, SIDE, 2.0};
    double drift[2], moved = 0.0, still = 0.0;

    config.hits_per_us = 1000.0;
    config.drift_px[0] = 0.5;
    config.drift_px[1] = -0.25;
    config.drift_jitter_px = config.line_jitter_px = 0.0;
    struct fly_beam *b = beam(s, &config);

    fly_beam_drift(b, 8, drift);
    assert_true(fabs(drift[0] - 4.0) < 1e-12 && fabs(drift[1] + 2.0) < 1e-12);
    fly_beam_image(b, &shot, early);
    shot.frame = 8;
    fly_beam_image(b, &shot, late);
    for (int32_t y = 10; y < SIDE - 10; y++)
        for (int32_t x = 10; x < SIDE - 10; x++) {
            moved += fabs((double)late[y * SIDE + x] - early[(y + 4) * SIDE + x - 2]);
            still += fabs((double)late[y * SIDE + x] - early[y * SIDE + x]);
        }
    assert_true(moved < 0.3 * still);
    for (int64_t frame = 0; frame < 1000; frame += 7) {
        fly_beam_drift(b, frame, drift);
        assert_true(fabs(drift[0]) <= FLY_DRIFT_MAX_PX + 2 && fabs(drift[1]) <= FLY_DRIFT_MAX_PX + 2);
    }
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

static void wrong_numbers_are_refused(void **state)
{
    struct fly_specimen_config config = {.height_px = 31, .width_px = 64, .pixel_nm = 0.05};
    struct fly_beam_config settings = fly_beam_config_default();
    struct fly_specimen *s = NULL;
    struct fly_beam *b = NULL;

    assert_int_equal(fly_specimen_open(&s, &config), FLY_ERANGE);
    config.height_px = 64;
    config.pixel_nm = 0.3;
    assert_int_equal(fly_specimen_open(&s, &config), FLY_ERANGE);
    assert_null(s);
    s = specimen(FLY_PRISTINE, 0.0, 0.0);
    settings.segments = 5;
    assert_int_equal(fly_beam_open(&b, s, &settings), FLY_ERANGE);
    settings = fly_beam_config_default();
    settings.eds_counts = NAN;
    assert_int_equal(fly_beam_open(&b, s, &settings), FLY_ERANGE);
    assert_null(b);
    fly_specimen_close(&s);
}

/* Bright enough that counts tell the place: within six deviations of the signal that lies there. */
static void a_beam_that_is_off_sees_what_is_there(void **state)
{
    static const double offs[][2] = {{0, 0}, {2, -3}, {-3, 3}, {0.5, 0}, {0, -1.25}};
    struct fly_specimen *s = specimen(FLY_PRISTINE, 0.0, 0.0);
    struct fly_beam_config config = fly_beam_config_default();
    static uint16_t counts[SIDE * SIDE];
    static uint32_t row_ptr[2][SIDE * SIDE + 1];

    config.drift_jitter_px = config.line_jitter_px = config.dark_per_us = 0.0;
    config.hits_per_us = 2000.0;
    config.eds_counts = 1.0;
    struct fly_beam *b = beam(s, &config);
    struct fly_shot shot = {0, 0, 0, SIDE, SIDE, 2.0};

    for (size_t o = 0; o < sizeof offs / sizeof *offs; o++) {
        double fy = offs[o][0] - floor(offs[o][0]), fx = offs[o][1] - floor(offs[o][1]);
        int32_t dy = (int32_t)floor(offs[o][0]), dx = (int32_t)floor(offs[o][1]);

        fly_beam_image_off(b, &shot, offs[o], counts);
        for (int32_t y = 0; y < SIDE; y++)
            for (int32_t x = 0; x < SIDE; x++) {
                const float *at = s->signal + fly_specimen_at(s, y + dy, x + dx);
                double mean = 4000.0 * ((1 - fy) * ((1 - fx) * at[0] + fx * at[1]) +
                                        fy * ((1 - fx) * at[s->stride_px] + fx * at[s->stride_px + 1]));

                assert_true(fabs(counts[y * SIDE + x] - mean) <= 6.0 * sqrt(mean) + 8.0);
            }
    }
    /* X-rays: another place, other photons; no way off, the same. */
    fly_beam_photons(b, &shot, 0, row_ptr[0]);
    fly_beam_photons_off(b, &shot, offs[0], 0, row_ptr[1]);
    assert_memory_equal(row_ptr[0], row_ptr[1], sizeof row_ptr[0]);
    fly_beam_photons_off(b, &shot, offs[1], 0, row_ptr[1]);
    assert_memory_not_equal(row_ptr[0], row_ptr[1], sizeof row_ptr[0]);
    fly_beam_close(&b);
    fly_specimen_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_rectangle_is_that_part_of_its_frame),
        cmocka_unit_test(a_seed_gives_the_same_bytes_and_another_others),
        cmocka_unit_test(counts_are_poisson_and_grow_with_dwell),
        cmocka_unit_test(photons_number_what_was_stated),
        cmocka_unit_test(lattices_have_their_d_spacing),
        cmocka_unit_test(drift_moves_the_specimen),
        cmocka_unit_test(a_beam_that_is_off_sees_what_is_there),
        cmocka_unit_test(wrong_numbers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
