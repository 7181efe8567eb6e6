#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/label/reliability.h"
#include "engine/label/shares.h"

static void a_sample_is_all_or_spread_over_rows_and_columns(void **state)
{
    enum { ROWS = 32, COLS = 32, RUN = ROWS * COLS / FLY_RELIABILITY_CHIPS };
    int32_t chips[FLY_RELIABILITY_CHIPS], in_col[COLS] = {0}, cols = 0;

    (void)state;
    assert_int_equal(fly_reliability_sample(10, chips), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(chips[i], i);
    assert_int_equal(fly_reliability_sample(FLY_RELIABILITY_CHIPS + 1, chips), FLY_RELIABILITY_CHIPS);
    for (int i = 1; i < FLY_RELIABILITY_CHIPS; i++)
        assert_true(chips[i] > chips[i - 1] && chips[i] <= FLY_RELIABILITY_CHIPS);
    /* Here a run is half a row: even steps would meet two columns. */
    assert_int_equal(fly_reliability_sample(ROWS * COLS, chips), FLY_RELIABILITY_CHIPS);
    for (int i = 0; i < FLY_RELIABILITY_CHIPS; i++) {
        assert_int_equal(chips[i] / RUN, i);
        in_col[chips[i] % COLS]++;
    }
    for (int c = 0; c < COLS; c++) {
        cols += in_col[c] > 0;
        assert_true(in_col[c] <= 6);
    }
    assert_true(cols >= 28);
}

static void halves_add_up_and_are_fair_and_independent(void **state)
{
    enum { E = 20000 };
    static uint32_t counts[E], half[E], again[E];
    struct fly_rng rng = {5};
    double heads = 0.0, photons = 0.0, squares = 0.0, product = 0.0;

    (void)state;
    for (int ch = 0; ch < E; ch++)
        counts[ch] = (uint32_t)fly_rng_poisson(&rng, 4.0) + (ch % 100 == 0 ? 200u : 0u);
    fly_thin_half(counts, E, 1, 17, half);
    for (int ch = 0; ch < E; ch++) {
        double off = half[ch] - 0.5 * counts[ch];

        assert_true(half[ch] <= counts[ch]);
        heads += half[ch];
        photons += counts[ch];
        squares += off * off;
        if (ch % 100)
            product += ((double)half[ch] - 2.0) * ((double)(counts[ch] - half[ch]) - 2.0);
    }
    /* Binomial: variance a quarter of the photons; and the halves of Poisson numbers do not covary. */
    assert_true(fabs(heads - 0.5 * photons) < 4.0 * sqrt(0.25 * photons));
    assert_true(fabs(squares / (0.25 * photons) - 1.0) < 0.05);
    assert_true(fabs(product / E) < 4.0 * 2.0 / sqrt(E));
    fly_thin_half(counts, E, 1, 17, again);
    assert_memory_equal(half, again, sizeof half);
    fly_thin_half(counts, E, 1, 18, again);
    assert_memory_not_equal(half, again, sizeof half);
    fly_thin_half(counts, E, 1, 17, counts);
    assert_memory_equal(half, counts, sizeof half);
}

/* Classes of vectors with noise; the reliability of the mean of both halves, predicted from them, is the
 * squared correlation with the truth that only the test knows. */
static void reliability_foretells_the_agreement_with_the_truth(void **state)
{
    enum { N = FLY_RELIABILITY_CHIPS, D = 40 };
    static float a[N * D], b[N * D], whole[N * D], truth[N * D];
    struct fly_rng rng = {11};
    double last = 1.0;

    (void)state;
    for (double noise = 0.5; noise < 2.5; noise += 0.5) {
        for (int i = 0; i < N * D; i++) {
            struct fly_rng kind = {(uint64_t)(i / D % 4 * D + i % D)};

            truth[i] = (float)(fly_rng_normal(&kind) + 1.0);
            a[i] = truth[i] + (float)(noise * fly_rng_normal(&rng));
            b[i] = truth[i] + (float)(noise * fly_rng_normal(&rng));
            whole[i] = 0.5f * (a[i] + b[i]);
        }
        double r = fly_reliability(a, b, N, D), with_truth = fly_reliability(whole, truth, N, D), noise_told;

        /* r^2(whole, truth) = reliability(whole); the function has put Spearman and Brown's on top. */
        with_truth = with_truth / (2.0 - with_truth);
        /* Cosines are not quite sums of signal and noise, and the pairs of 64 chips not independent. */
        assert_true(fabs(r - with_truth * with_truth) < 0.12);
        assert_true(r < last);
        last = r;
        noise_told = fly_halves_noise(a, b, N, D);
        assert_true(fabs(noise_told / (D * noise * noise / 2.0) - 1.0) < 0.1);
    }
}

/* Three chips at 0, 30 and 90 degrees, at 0, 45 and 90 in the other half: cosines .866 0 .5 and .707 0 .707 have
 * r = 0.933, and 2 r / (1 + r). */
static void three_chips_by_hand(void **state)
{
    const double pi = 3.14159265358979323846, at[2][3] = {{0.0, 30.0, 90.0}, {0.0, 45.0, 90.0}};
    float half[2][6];
    double x[3] = {cos(pi / 6.0), 0.0, 0.5}, y[3] = {sqrt(0.5), 0.0, sqrt(0.5)}, mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0,
           xy = 0.0, r;

    (void)state;
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 3; i++) {
            half[h][2 * i] = (float)((1.0 + i) * cos(at[h][i] * pi / 180.0));
            half[h][2 * i + 1] = (float)((1.0 + i) * sin(at[h][i] * pi / 180.0));
        }
    for (int i = 0; i < 3; i++) {
        mx += x[i] / 3.0;
        my += y[i] / 3.0;
    }
    for (int i = 0; i < 3; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    r = xy / sqrt(xx * yy);
    assert_true(r > 0.9 && r < 0.95);
    assert_true(fabs(fly_reliability(half[0], half[1], 3, 2) - 2.0 * r / (1.0 + r)) < 1e-6);
}

static void noise_alone_repeats_nothing(void **state)
{
    enum { N = FLY_RELIABILITY_CHIPS, D = 30 };
    static float a[N * D], b[N * D];
    struct fly_rng rng = {12};

    (void)state;
    for (int i = 0; i < N * D; i++) {
        a[i] = (float)fly_rng_normal(&rng);
        b[i] = (float)fly_rng_normal(&rng);
    }
    assert_true(fly_reliability(a, b, N, D) < 0.1);
    assert_true(fabs(fly_reliability(a, a, N, D) - 1.0) < 1e-12);
    assert_true(isnan(fly_reliability(a, b, 2, D)));
    memset(a, 0, sizeof a);
    assert_true(isnan(fly_reliability(a, b, N, D)));
    assert_true(isnan(fly_halves_noise(a, b, 0, D)));
}

static void weights_follow_signal_over_noise_and_keep_to_bounds(void **state)
{
    const double even[2] = {0.6, 0.6}, more[2] = {0.8, 0.5}, none[2] = {0.0, 0.9}, both[2] = {1.0, 1.0},
                 unknown[2] = {NAN, 0.9};
    double w[2];

    (void)state;
    assert_int_equal(fly_reliability_weights(even, w), 1);
    assert_true(w[0] == 0.5 && w[1] == 0.5);
    /* 4 to 1. */
    assert_int_equal(fly_reliability_weights(more, w), 1);
    assert_true(fabs(w[0] - 0.8) < 1e-12 && fabs(w[0] + w[1] - 1.0) < 1e-15);
    assert_int_equal(fly_reliability_weights(none, w), 1);
    assert_true(w[0] == 0.2 && w[1] == 0.8);
    assert_int_equal(fly_reliability_weights(both, w), 0);
    assert_true(w[0] == 0.5);
    assert_int_equal(fly_reliability_weights(unknown, w), 0);
    assert_true(w[0] == 0.5 && w[1] == 0.5);
}

/* Against plain loops over all channels, of widths that blocks do not divide; a row without a photon among them. */
static double reliability_by_plain_loops(const float *a, const float *b, int n, int width, int counts)
{
    double x[256], y[256], mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0, r;
    int pairs = 0;

    for (int half = 0; half < 2; half++) {
        const float *rows = half ? b : a;

        pairs = 0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < i; j++) {
                double ij = 0.0, ii = 0.0, jj = 0.0;

                for (int d = 0; d < width; d++) {
                    double p = rows[i * width + d], q = rows[j * width + d];

                    ij += p * q;
                    ii += p * p - (counts ? p : 0.0);
                    jj += q * q - (counts ? q : 0.0);
                }
                (half ? y : x)[pairs++] = ii > 0.0 && jj > 0.0 ? ij / sqrt(ii * jj) : 0.0;
            }
    }
    for (int p = 0; p < pairs; p++) {
        mx += x[p] / pairs;
        my += y[p] / pairs;
    }
    for (int p = 0; p < pairs; p++) {
        xx += (x[p] - mx) * (x[p] - mx);
        yy += (y[p] - my) * (y[p] - my);
        xy += (x[p] - mx) * (y[p] - my);
    }
    r = xy / sqrt(xx * yy);
    return r <= 0.0 ? 0.0 : 2.0 * r / (1.0 + r);
}

static void blocks_and_gaps_change_nothing(void **state)
{
    static const int widths[] = {3, 7, 511, 512, 513, 1500};
    enum { N = 20, WIDEST = 1500 };
    static float a[N * WIDEST], b[N * WIDEST];
    struct fly_rng rng = {41};
    int told = 0;

    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int round = 0; round < 6; round++) {
            int width = widths[w], counts = round % 2;
            double want, got;

            for (int i = 0; i < N * width; i++) {
                double mean = (round < 2 ? 0.02 : 2.0) * (i / width % 3 == i % 3 ? 3.0 : 1.0);

                a[i] = (float)fly_rng_poisson(&rng, mean) - (counts ? 0.0f : 0.5f * (float)(i % 2));
                b[i] = (float)fly_rng_poisson(&rng, mean) - (counts ? 0.0f : 0.5f * (float)(i % 2));
            }
            for (int d = 0; d < width; d++)
                a[3 * width + d] = 0.0f;
            want = reliability_by_plain_loops(a, b, N, width, counts);
            got = counts ? fly_reliability_of_counts(a, b, N, width) : fly_reliability(a, b, N, width);
            assert_int_equal(isnan(want), isnan(got));
            assert_true(isnan(want) || fabs(got - want) < 1e-9);
            told += want > 0.01;
        }
    assert_true(told > 15);
}

/* At few counts the X-rays repeat less, and the weight goes where the image is. */
static void fewer_counts_repeat_less(void **state)
{
    enum { N = FLY_RELIABILITY_CHIPS, E = 512, PER_BIN = 16, B = E / PER_BIN };
    static uint32_t counts[N * E], half[E];
    static float a[N * B], b[N * B];
    double last = -1.0;

    (void)state;
    for (double photons = 10.0; photons < 20000.0; photons *= 10.0) {
        struct fly_rng rng = {77};

        for (int i = 0; i < N; i++) {
            uint32_t *x = counts + (size_t)i * E, rest[E];

            for (int ch = 0; ch < E; ch++)
                x[ch] = (uint32_t)fly_rng_poisson(&rng, photons / E * (ch / 64 == i % 4 ? 3.0 : 0.7));
            fly_thin_half(x, E, 1, i, half);
            for (int ch = 0; ch < E; ch++)
                rest[ch] = x[ch] - half[ch];
            fly_shares_make(half, E, PER_BIN, a + (size_t)i * B);
            fly_shares_make(rest, E, PER_BIN, b + (size_t)i * B);
        }
        double r = fly_reliability(a, b, N, B);

        assert_true(r > last);
        last = r;
    }
    assert_true(last > 0.99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_is_all_or_spread_over_rows_and_columns),
        cmocka_unit_test(halves_add_up_and_are_fair_and_independent),
        cmocka_unit_test(reliability_foretells_the_agreement_with_the_truth),
        cmocka_unit_test(three_chips_by_hand),
        cmocka_unit_test(noise_alone_repeats_nothing),
        cmocka_unit_test(weights_follow_signal_over_noise_and_keep_to_bounds),
        cmocka_unit_test(blocks_and_gaps_change_nothing),
        cmocka_unit_test(fewer_counts_repeat_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
