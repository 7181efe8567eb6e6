#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/embed/embed.h"
#include "engine/embed/spectral.h"
#include "tests/support/golden_case.h"

enum { D = FLY_SPECTRAL_WIDTH, RINGS = FLY_SPECTRAL_RINGS, SECTORS = FLY_SPECTRAL_SECTORS };

static const double pi = 3.14159265358979323846;

static struct fly_embedder *open_spectral(int32_t side)
{
    struct fly_embedder_config config = {.model = "spectral", .side_px = side, .width = 1};
    struct fly_embedder *embedder = NULL;

    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    assert_int_equal(fly_embedder_width(embedder), D);
    assert_int_equal(fly_embedder_input_px(embedder), side);
    return embedder;
}

static void embed_one(int32_t side, const double *picture, float *out)
{
    struct fly_embedder *embedder = open_spectral(side);
    struct fly_exec serial = fly_exec_serial();

    fly_embedder_run(embedder, picture, 1, out, &serial);
    fly_embedder_close(&embedder);
}

/* The slow twin: the header's sentences, in double, with the sums of a Fourier transform written out
 * (rows first, then columns). */
static void embed_ref(int32_t side, const double *picture, double *out)
{
    int32_t least = 2 * side < side + 64 ? 2 * side : side + 64, n;
    double *window = malloc((size_t)side * sizeof *window), *rows, *cosine, *sine;
    double mean = 0.0, var = 0.0, cube = 0.0, weight = 0.0, window_mean = 0.0, squares = 0.0, all = 1.0;
    double power[RINGS][SECTORS] = {{0.0}}, order[RINGS][2][2] = {{{0.0}}};

    for (n = least < 64 ? 64 : least;; n++) {
        int32_t rest = n;

        while (rest % 2 == 0)
            rest /= 2;
        while (rest % 3 == 0)
            rest /= 3;
        while (rest % 5 == 0)
            rest /= 5;
        if (rest == 1 && n % 2 == 0)
            break;
    }
    for (int32_t i = 0; i < side; i++)
        window[i] = pow(sin(pi * (i + 0.5) / side), 2.0);
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            double w = window[y] * window[x];

            mean += picture[y * side + x] / side / side;
            window_mean += w * picture[y * side + x];
            weight += w;
            squares += w * w;
        }
    window_mean /= weight;
    for (int32_t i = 0; i < side * side; i++) {
        var += pow(picture[i] - mean, 2.0) / side / side;
        cube += pow(picture[i] - mean, 3.0) / side / side;
    }
    out[FLY_SPECTRAL_MEAN] = 1.5 * mean / 64.0;
    out[FLY_SPECTRAL_SD] = sqrt(var) / 32.0;
    out[FLY_SPECTRAL_SKEW] = 0.5 * fmax(-3.0, fmin(3.0, cube / pow(sqrt(var) + 4.0, 3.0)));

    cosine = malloc((size_t)n * sizeof *cosine);
    sine = malloc((size_t)n * sizeof *sine);
    rows = malloc((size_t)side * (size_t)n * 2 * sizeof *rows);
    for (int32_t i = 0; i < n; i++) {
        cosine[i] = cos(2.0 * pi * i / n);
        sine[i] = sin(2.0 * pi * i / n);
    }
    for (int32_t y = 0; y < side; y++)
        for (int32_t k = 0; k < n; k++) {
            double re = 0.0, im = 0.0;

            for (int32_t x = 0; x < side; x++) {
                double v = (picture[y * side + x] - window_mean) * window[y] * window[x];

                re += v * cosine[k * x % n];
                im -= v * sine[k * x % n];
            }
            rows[(y * n + k) * 2] = re;
            rows[(y * n + k) * 2 + 1] = im;
        }
    for (int32_t j = 0; j < n; j++) /* the whole plane, every wave once */
        for (int32_t k = 0; k < n; k++) {
            double fy = (j <= n / 2 ? j : j - n) * (double)side / n;
            double fx = (k <= n / 2 ? k : k - n) * (double)side / n, waves = hypot(fx, fy);
            double angle = atan2(fy, fx), turn = angle / pi + 0.125, re = 0.0, im = 0.0, p;
            int32_t ring, sector;

            if (waves < 0.6 || waves >= side / 2.0)
                continue;
            for (int32_t y = 0; y < side; y++) {
                double c = cosine[j * y % n], s = -sine[j * y % n], *r = &rows[(y * n + k) * 2];

                re += r[0] * c - r[1] * s;
                im += r[0] * s + r[1] * c;
            }
            p = (re * re + im * im) / squares / n / n;
            ring = (int32_t)(RINGS * log(waves / 0.6) / log(side / 2.0 / 0.6));
            sector = (int32_t)((turn - floor(turn)) * SECTORS) % SECTORS;
            power[ring][sector] += p;
            for (int m = 0; m < 2; m++) {
                order[ring][m][0] += p * cos((2 + 2 * m) * angle);
                order[ring][m][1] += p * sin((2 + 2 * m) * angle);
            }
            all += p;
        }
    for (int r = 0; r < RINGS; r++) {
        double ring = 0.0;

        for (int q = 0; q < SECTORS; q++) {
            out[FLY_SPECTRAL_POWER + r * SECTORS + q] = 2.0 / 64.0 * sqrt(power[r][q]);
            ring += power[r][q];
        }
        out[FLY_SPECTRAL_SHARE + r] = 3.0 * sqrt(ring / all);
        for (int m = 0; m < 2; m++)
            out[FLY_SPECTRAL_ORDER + 2 * r + m] = 2.0 * sqrt(hypot(order[r][m][0], order[r][m][1]) / all);
    }
    free(window);
    free(cosine);
    free(sine);
    free(rows);
}

/* Atoms of a square lattice with this spacing, turned by angle, on noise. */
static void lattice(double *picture, int32_t side, double spacing_px, double angle, double noise,
                    struct fly_rng *rng)
{
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            double u = (x * cos(angle) + y * sin(angle)) / spacing_px;
            double v = (y * cos(angle) - x * sin(angle)) / spacing_px;

            picture[y * side + x] = fmax(0.0, fmin(255.0, 120.0 + 40.0 * cos(2 * pi * u) +
                                                              40.0 * cos(2 * pi * v) +
                                                              noise * fly_rng_normal(rng)));
        }
}

static void it_equals_its_plain_twin(void **state)
{
    const int32_t sides[] = {4, 5, 10, 15, 32, 33, 64, 70, 100};
    struct fly_rng rng = {4};

    (void)state;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        int32_t side = sides[i];
        double *picture = malloc((size_t)(side * side) * sizeof *picture), want[D];
        float got[D];

        lattice(picture, side, 7.3, 0.3, 25.0, &rng);
        embed_one(side, picture, got);
        embed_ref(side, picture, want);
        for (int d = 0; d < D; d++) /* powers of empty directions are rounding noise under the root */
            if (!(fabs((double)got[d] - want[d]) < 5e-4))
                fail_msg("side %d, number %d: %g, the twin has %g", side, d, (double)got[d], want[d]);
        free(picture);
    }
}

static void a_flat_chip_has_a_mean_and_nothing_else(void **state)
{
    double picture[15 * 15];
    float out[D];

    (void)state;
    for (int i = 0; i < 15 * 15; i++)
        picture[i] = 128.0;
    embed_one(15, picture, out);
    assert_true(out[0] == 3.0f);
    for (int d = 1; d < D; d++)
        assert_true(fabsf(out[d]) < 1e-6f);
}

static void extreme_chips_have_finite_numbers(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        double picture[16 * 16];
        float out[D];

        for (int i = 0; i < 16 * 16; i++)
            picture[i] = kind == 0 ? 0.0 : kind == 1 ? 255.0 * (i == 100) : kind == 2 ? 255.0 * (i % 2)
                                                                         : 255.0 * (i < 128);
        embed_one(16, picture, out);
        for (int d = 0; d < D; d++)
            assert_true(isfinite(out[d]) && fabsf(out[d]) < 10.0f);
    }
}

static void brightness_changes_only_the_mean(void **state)
{
    double dark[20 * 20], bright[20 * 20];
    struct fly_rng rng = {5};
    float a[D], b[D];

    (void)state;
    for (int i = 0; i < 400; i++) {
        dark[i] = 50.0 + 20.0 * fly_rng_uniform(&rng);
        bright[i] = dark[i] + 64.0;
    }
    embed_one(20, dark, a);
    embed_one(20, bright, b);
    assert_true(fabsf(b[0] - a[0] - 1.5f) < 1e-5f);
    for (int d = 1; d < D; d++)
        assert_true(fabsf(a[d] - b[d]) < 1e-4f);
}

static void a_quarter_turn_swaps_the_sectors(void **state)
{
    double picture[24 * 24], turned[24 * 24];
    struct fly_rng rng = {6};
    float a[D], b[D];

    (void)state;
    lattice(picture, 24, 6.0, 0.2, 30.0, &rng);
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 24; x++)
            turned[x * 24 + 23 - y] = picture[y * 24 + x];
    embed_one(24, picture, a);
    embed_one(24, turned, b);
    for (int r = 0; r < RINGS; r++) {
        assert_true(fabsf(a[FLY_SPECTRAL_SHARE + r] - b[FLY_SPECTRAL_SHARE + r]) < 1e-4f);
        for (int m = 0; m < 2; m++)
            assert_true(fabsf(a[FLY_SPECTRAL_ORDER + 2 * r + m] - b[FLY_SPECTRAL_ORDER + 2 * r + m]) < 1e-3f);
        /* Waves exactly between two sectors (22.5 degrees lies on none of the grid's) stay inside. */
        for (int q = 0; q < SECTORS; q++)
            assert_true(fabsf(a[FLY_SPECTRAL_POWER + r * SECTORS + q] -
                              b[FLY_SPECTRAL_POWER + r * SECTORS + (q + 2) % SECTORS]) < 1e-3f);
    }
}

static float largest(const float *out, int first, int step)
{
    float most = 0.0f;

    for (int r = 0; r < RINGS; r++)
        most = fmaxf(most, out[first + r * step]);
    return most;
}

static void a_lattice_shows_square_order_and_noise_does_not(void **state)
{
    double ordered[32 * 32], noise[32 * 32], stripes[32 * 32];
    struct fly_rng rng = {7};
    float a[D], b[D], c[D];

    (void)state;
    lattice(ordered, 32, 8.0, 0.6, 10.0, &rng);
    for (int i = 0; i < 32 * 32; i++) {
        noise[i] = 120.0 + 50.0 * (fly_rng_uniform(&rng) - 0.5);
        stripes[i] = 120.0 + 60.0 * cos(2 * pi * (i % 32) / 8.0);
    }
    embed_one(32, ordered, a);
    embed_one(32, noise, b);
    embed_one(32, stripes, c);
    assert_true(largest(a, FLY_SPECTRAL_ORDER + 1, 2) > 1.2f);
    assert_true(largest(a, FLY_SPECTRAL_ORDER, 2) < 0.7f);
    assert_true(largest(b, FLY_SPECTRAL_ORDER + 1, 2) < 0.7f);
    assert_true(largest(c, FLY_SPECTRAL_ORDER, 2) > 1.2f);
}

/* A lattice, or none, seen for that many exposures: noise of standard deviation 40 in one. */
static void expose(double *picture, int32_t side, double amplitude, double exposures, struct fly_rng *rng)
{
    double py = fly_rng_uniform(rng), px = fly_rng_uniform(rng);

    for (int32_t i = 0; i < side * side; i++) {
        double noise = -6.0;

        for (int n = 0; n < 12; n++)
            noise += fly_rng_uniform(rng);
        picture[i] = 120.0 + amplitude * (cos(2 * pi * (i / side / 7.8 + py)) + cos(2 * pi * (i % side / 7.8 + px))) +
                     40.0 * noise / sqrt(exposures);
    }
}

static void what_was_measured_longer_compares_as_what_was_not(void **state)
{
    enum { SIDE = 15, N = 400 };
    static double once[N][SIDE * SIDE], often[N][SIDE * SIDE], exposures[N];
    static float a[N][D], b[N][D], level[N][D], same[N][D];
    static float missing[N];
    const struct fly_embed_levels levels = {.n = 1, .exposures = exposures, .out = level[0], .missing = missing};
    struct fly_embedder *embedder = open_spectral(SIDE);
    struct fly_exec serial = fly_exec_serial();
    struct fly_rng rng = {9};

    (void)state;
    assert_true(fly_embedder_levels(embedder));
    for (int amplitude = 0; amplitude <= 40; amplitude += 20) {
        double scatter = 0.0, shift = 0.0, without = 0.0, told = 0.0, left = 0.0;

        for (int i = 0; i < N; i++) {
            expose(once[i], SIDE, amplitude, 1.0, &rng);
            expose(often[i], SIDE, amplitude, 8.0, &rng);
            exposures[i] = 1.0;
        }
        fly_embedder_run_levels(embedder, once[0], N, a[0], &levels, &serial);
        fly_embedder_run(embedder, once[0], N, same[0], &serial);
        assert_memory_equal(a, level, sizeof a);
        assert_memory_equal(a, same, sizeof a);
        for (int i = 0; i < N; i++)
            exposures[i] = 8.0;
        fly_embedder_run_levels(embedder, often[0], N, b[0], &levels, &serial);
        for (int d = 0; d < D; d++) {
            double mean[3] = {0.0};

            for (int i = 0; i < N; i++) {
                mean[0] += (double)a[i][d] / N;
                mean[1] += (double)b[i][d] / N;
                mean[2] += (double)level[i][d] / N;
            }
            for (int i = 0; i < N; i++) {
                scatter += pow((double)a[i][d] - mean[0], 2.0) / N;
                left += pow((double)level[i][d] - mean[2], 2.0) / N;
            }
            without += pow(mean[1] - mean[0], 2.0);
            shift += pow(mean[2] - mean[0], 2.0);
        }
        for (int i = 0; i < N; i++)
            told += (double)missing[i] / N;
        print_message("lattice of %d: scatter %.2f, levelled %.2f and told %.2f\n", amplitude, scatter, left, told);
        print_message("lattice of %d: eight exposures move a chip by %.2f of its scatter, levelled by %.2f\n", amplitude,
                      sqrt(without / scatter), sqrt(shift / scatter));
        assert_true(shift < 0.3 * 0.3 * scatter && shift < 0.2 * 0.2 * without);
        assert_true(told > 0.8 * (scatter - left) && told < 1.5 * (scatter - left));
    }
    fly_embedder_close(&embedder);
}

/* Few-shot by the nearest prototype: the share right of all chips in *accuracy, and the mean of the
 * shares right among LFO and disordered LFO, NaN without the latter. */
static double few_shot(const struct golden_case *g, const double *features, int32_t width,
                       double *accuracy)
{
    double prototypes[GOLDEN_CLASSES][D] = {{0.0}};
    int32_t present[GOLDEN_CLASSES], right[GOLDEN_CLASSES] = {0}, count[GOLDEN_CLASSES] = {0}, n = 0, all = 0;

    for (int32_t k = 0; k < g->chips; k++)
        count[g->truth[k]]++;
    for (int32_t t = 0; t < GOLDEN_CLASSES; t++) /* supports are of the classes present, in order */
        if (count[t])
            present[n++] = t;
    assert_int_equal(n, g->classes);
    for (int32_t c = 0; c < n; c++)
        for (int32_t s = 0; s < g->supports[c]; s++)
            for (int32_t d = 0; d < width; d++)
                prototypes[c][d] += features[g->support[c][s] * width + d] / g->supports[c];
    for (int32_t k = 0; k < g->chips; k++) {
        double nearest = INFINITY;
        int32_t label = 0;

        for (int32_t c = 0; c < n; c++) {
            double sum = 0.0;

            for (int32_t d = 0; d < width; d++)
                sum += pow(features[k * width + d] - prototypes[c][d], 2.0);
            if (sum < nearest) {
                nearest = sum;
                label = present[c];
            }
        }
        right[g->truth[k]] += label == g->truth[k];
    }
    for (int32_t t = 0; t < GOLDEN_CLASSES; t++)
        all += right[t];
    *accuracy = (double)all / g->chips;
    return 0.5 * ((double)right[1] / count[1] + (double)right[2] / count[2]);
}

/* Mean and standard deviation of each chip, each over its spread in the scene: (chips, 2). */
static double *trivial_features(const struct golden_case *g)
{
    int32_t pixels = g->side * g->side;
    double *out = calloc((size_t)g->chips * 2, sizeof *out);

    for (int32_t k = 0; k < g->chips; k++) {
        const double *p = g->pictures + (size_t)k * (size_t)pixels;
        double mean = 0.0, var = 0.0;

        for (int32_t i = 0; i < pixels; i++)
            mean += p[i] / pixels;
        for (int32_t i = 0; i < pixels; i++)
            var += (p[i] - mean) * (p[i] - mean) / pixels;
        out[2 * k] = mean;
        out[2 * k + 1] = sqrt(var);
    }
    for (int d = 0; d < 2; d++) {
        double mean = 0.0, var = 0.0;

        for (int32_t k = 0; k < g->chips; k++)
            mean += out[2 * k + d] / g->chips;
        for (int32_t k = 0; k < g->chips; k++)
            var += (out[2 * k + d] - mean) * (out[2 * k + d] - mean) / g->chips;
        for (int32_t k = 0; k < g->chips; k++)
            out[2 * k + d] /= sqrt(var);
    }
    return out;
}

static double *spectral_features(const struct golden_case *g)
{
    struct fly_embedder *embedder = open_spectral(g->side);
    struct fly_exec serial = fly_exec_serial();
    size_t count = (size_t)g->chips * D;
    float *single = malloc(count * sizeof *single);
    double *out = malloc(count * sizeof *out);

    fly_embedder_run(embedder, g->pictures, g->chips, single, &serial);
    for (size_t i = 0; i < count; i++)
        out[i] = (double)single[i];
    free(single);
    fly_embedder_close(&embedder);
    return out;
}

static void it_labels_the_smallest_scene(void **state)
{
    struct golden_case g = golden_case_open(FLY_TEST_DIR "/golden/a_tiny");
    double *features = spectral_features(&g), accuracy;

    (void)state;
    (void)few_shot(&g, features, D, &accuracy);
    assert_true(accuracy > 0.88); /* 6 of the 36 chips are halves of two classes */
    free(features);
    golden_case_close(&g);
}

static void it_tells_order_from_disorder_better_than_mean_and_spread_do(void **state)
{
    static const char *const cases[] = {"table2_pristine_0.1", "table2_defective_0",
                                        "table2_defective_0.1", "c_defective0",
                                        "d_defective01", "b_pristine01", "f_gmp_coarse"};
    double gain = 0.0;
    int n = sizeof cases / sizeof cases[0];

    (void)state;
    if (!golden_there(FLY_SHARED_DIR "/golden/c_defective0/haadf.npy")) {
        print_message("NOT RUN: no golden scenes in " FLY_SHARED_DIR "/golden\n");
        skip();
    }
    for (int i = 0; i < n; i++) {
        char folder[1024];
        struct golden_case g;
        double *trivial, *spectral, before, after, before_all, after_all;

        snprintf(folder, sizeof folder, FLY_SHARED_DIR "/golden/%s", cases[i]);
        g = golden_case_open(folder);
        trivial = trivial_features(&g);
        spectral = spectral_features(&g);
        before = few_shot(&g, trivial, 2, &before_all);
        after = few_shot(&g, spectral, D, &after_all);
        print_message("%-22s mean and sd %.3f [%.3f]  spectral %.3f [%.3f]\n", cases[i], before_all, before,
                      after_all, after);
        assert_true(after > before + 0.02);
        gain += (after - before) / n;
        free(trivial);
        free(spectral);
        golden_case_close(&g);
    }
    assert_true(gain > 0.12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_equals_its_plain_twin),
        cmocka_unit_test(a_flat_chip_has_a_mean_and_nothing_else),
        cmocka_unit_test(extreme_chips_have_finite_numbers),
        cmocka_unit_test(brightness_changes_only_the_mean),
        cmocka_unit_test(a_quarter_turn_swaps_the_sectors),
        cmocka_unit_test(a_lattice_shows_square_order_and_noise_does_not),
        cmocka_unit_test(what_was_measured_longer_compares_as_what_was_not),
        cmocka_unit_test(it_labels_the_smallest_scene),
        cmocka_unit_test(it_tells_order_from_disorder_better_than_mean_and_spread_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
