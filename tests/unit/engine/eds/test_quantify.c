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
#include "engine/eds/quantify.h"
#include "tests/support/golden.h"
#include "tests/support/golden_case.h"

#define TINY FLY_TEST_DIR "/golden/a_tiny"

static const char *const elements12[] = {"Al", "C", "Cr", "Cu", "Fe", "Ga", "La", "N", "O", "Pt", "Sr", "Ti"};
static int skipped;

struct rig {
    struct fly_arena arena, work_arena;
    struct fly_quantifier *q;
    struct fly_quantify_work work;
};

static struct fly_quantify_config oxide(enum fly_quantify_method method)
{
    struct fly_quantify_config config = fly_quantify_config_default();

    config.n_channels = 2048;
    config.ev_per_channel = 10.0;
    config.method = method;
    config.n_elements = 12;
    config.elements = elements12;
    return config;
}

static void rig_open(struct rig *rig, const struct fly_quantify_config *config)
{
    assert_int_equal(fly_arena_init(&rig->arena, fly_quantifier_need(config), NULL, "test"), FLY_OK);
    if (fly_quantifier_open(&rig->q, config, &rig->arena) != FLY_OK)
        fail_msg("%s", fly_fail_text());
    assert_int_equal(fly_arena_init(&rig->work_arena, fly_quantify_work_need(rig->q), NULL, "test"), FLY_OK);
    fly_quantify_work_init(&rig->work, rig->q, &rig->work_arena);
}

static void rig_close(struct rig *rig)
{
    fly_arena_fini(&rig->arena);
    fly_arena_fini(&rig->work_arena);
}

/* Counts of a few peaks, the same for the same seed. */
static void peaks(uint32_t *spectrum, int32_t n_channels, double ev_per_channel, int32_t photons, uint64_t seed)
{
    static const double kev[] = {0.5249, 6.4039, 4.651, 0.7045, 2.0, 9.0};
    struct fly_rng rng = {seed};

    memset(spectrum, 0, (size_t)n_channels * sizeof *spectrum);
    for (int32_t i = 0; i < photons; i++) {
        double at = kev[fly_rng_below(&rng, 6)] * 1000.0 + 50.0 * fly_rng_normal(&rng);
        int32_t channel = (int32_t)(at / ev_per_channel);

        if (channel >= 0 && channel < n_channels)
            spectrum[channel]++;
    }
}

/* ---- golden ------------------------------------------------------------------------------------ */

struct golden_eds {
    int32_t rows, cols, chips, n_ch;
    double e0, de;
    uint32_t *spectra;
};

static struct golden_eds golden_eds_open(const char *folder)
{
    struct golden ey = golden_open(folder, "ev_y"), ex = golden_open(folder, "ev_x"), ec = golden_open(folder, "ev_ch");
    struct golden_eds g;
    char path[1024], *json;
    struct bytes file;
    int32_t side;

    snprintf(path, sizeof path, "%s/params.json", folder);
    file = bytes_of_file(path);
    json = calloc(1, file.len + 1);
    memcpy(json, file.at, file.len);
    side = (int32_t)golden_number(json, "chip");
    g = (struct golden_eds){.rows = (int32_t)golden_number(json, "rows"),
                            .cols = (int32_t)golden_number(json, "cols"),
                            .n_ch = (int32_t)golden_number(json, "n_ch"),
                            .e0 = golden_number(json, "e0"),
                            .de = golden_number(json, "de")};
    g.chips = g.rows * g.cols;
    g.spectra = calloc((size_t)g.chips * (size_t)g.n_ch, sizeof *g.spectra);
    assert_non_null(g.spectra);
    for (int64_t i = 0; i < ey.npy.items; i++) {
        int32_t y = ((const uint16_t *)ey.npy.data)[i] / side, x = ((const uint16_t *)ex.npy.data)[i] / side;
        int32_t ch = ((const uint16_t *)ec.npy.data)[i];

        if (y < g.rows && x < g.cols && ch < g.n_ch)
            g.spectra[((size_t)y * (size_t)g.cols + (size_t)x) * (size_t)g.n_ch + (size_t)ch]++;
    }
    free(json);
    free(file.at);
    golden_close(&ey);
    golden_close(&ex);
    golden_close(&ec);
    return g;
}

static double at_of(const struct golden *g, int64_t i)
{
    if (g->npy.type == FLY_NPY_F64)
        return ((const double *)g->npy.data)[i];
    assert_int_equal(g->npy.type, FLY_NPY_F32);
    return (double)((const float *)g->npy.data)[i];
}

static void compare_method(const char *folder, const struct golden_eds *g, enum fly_quantify_method method,
                           const char *int_name, const char *at_name)
{
    struct fly_quantify_config config = oxide(method);
    char expected[600];
    struct golden want_int, want_at;
    struct rig rig;
    double worst_int = 0.0, worst_at = 0.0, tolerance_int, tolerance_at;

    snprintf(expected, sizeof expected, "%s/expected", folder);
    want_int = golden_open(expected, int_name);
    want_at = golden_open(expected, at_name);
    assert_int_equal(want_int.npy.items, 12 * g->chips);
    config.set = FLY_LINES_GOLDEN;
    config.n_channels = g->n_ch;
    config.ev_offset = g->e0 * 1000.0;
    config.ev_per_channel = g->de * 1000.0;
    config.beam_kev = 300.0;
    config.min_counts = 0;
    rig_open(&rig, &config);
    for (int32_t c = 0; c < g->chips; c++) {
        struct fly_composition got;
        double largest = 0.0;

        fly_quantify(rig.q, &rig.work, g->spectra + (size_t)c * (size_t)g->n_ch, &got);
        assert_int_equal(got.status, FLY_QUANTIFY_OK);
        for (int i = 0; i < 12; i++)
            largest = fmax(largest, fabs(at_of(&want_int, 12 * c + i)));
        for (int i = 0; i < 12; i++) {
            worst_int = fmax(worst_int, fabs(got.intensity[i] - at_of(&want_int, 12 * c + i)) /
                                            (largest > 0.0 ? largest : 1.0));
            worst_at = fmax(worst_at, fabs(got.percent[i] - at_of(&want_at, 12 * c + i)));
            assert_true(isfinite(got.sigma[i]) && got.sigma[i] >= 0.0);
        }
    }
    /* table2_*: stored in single precision */
    tolerance_int = want_int.npy.type == FLY_NPY_F64 ? 1e-9 : 1e-6;
    tolerance_at = want_at.npy.type == FLY_NPY_F64 ? 1e-6 : 1e-5;
    print_message("%s %s: worst %.2g of the largest, %.2g at.%%\n", strrchr(folder, '/') + 1, int_name, worst_int,
                  worst_at);
    assert_true(worst_int < tolerance_int);
    assert_true(worst_at < tolerance_at);
    if (method == FLY_QUANTIFY_WINDOW) {
        struct golden want = golden_open(expected, "eds_windows");
        int32_t windows[72];

        assert_int_equal(want.npy.type, FLY_NPY_I32);
        assert_int_equal(want.npy.items, 72);
        fly_quantifier_windows(rig.q, windows);
        assert_memory_equal(windows, want.npy.data, sizeof windows);
        golden_close(&want);
    }
    rig_close(&rig);
    golden_close(&want_int);
    golden_close(&want_at);
}

static void compare_case(const char *folder)
{
    struct golden_eds g = golden_eds_open(folder);

    compare_method(folder, &g, FLY_QUANTIFY_WINDOW, "int_window", "at_window");
    compare_method(folder, &g, FLY_QUANTIFY_FIT, "int_fit", "at_fit");
    free(g.spectra);
}

static void a_tiny_is_golden(void **state)
{
    (void)state;
    compare_case(TINY);
}

static void the_shared_cases_are_golden(void **state)
{
    static const char *const names[] = {"b_pristine01",       "c_defective0",         "d_defective01",
                                        "e_size64_tv",        "f_gmp_coarse",         "table2_defective_0",
                                        "table2_defective_0.1", "table2_pristine_0", "table2_pristine_0.1"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[512];

        snprintf(folder, sizeof folder, "%s/golden/%s", FLY_SHARED_DIR, names[i]);
        if (!golden_there(folder)) {
            fprintf(stderr, "NOT RUN: golden case %s is not there\n", folder);
            skipped = 1;
            continue;
        }
        compare_case(folder);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static void refuse(const struct fly_quantify_config *config, const char *says)
{
    struct fly_quantifier *q = (struct fly_quantifier *)&q;
    struct fly_arena arena;
    size_t used;

    assert_int_equal(fly_arena_init(&arena, (size_t)64 << 20, NULL, "test"), FLY_OK);
    used = fly_arena_mark(&arena);
    assert_int_equal(fly_quantifier_open(&q, config, &arena), FLY_ERANGE);
    if (!strstr(fly_fail_text(), says))
        fail_msg("\"%s\" does not say \"%s\"", fly_fail_text(), says);
    assert_ptr_equal(q, &q);
    assert_true(fly_arena_mark(&arena) == used);
    fly_arena_fini(&arena);
}

static void what_cannot_be_is_refused_by_code_and_nothing_changes(void **state)
{
    const char *const stranger[] = {"Fe", "Xx"}, *const twice[] = {"Fe", "Fe_La"}, *const no_k[] = {"La_Ma"};
    const char *const high[] = {"Sr_Ka"}, *const wrong_line[] = {"Fe_Kz"};
    const struct fly_k_factor zero = {"Fe_Ka", 0.0}, nan_k = {"Fe_Ka", NAN}, negative = {"Zr_Ka", -1.0};
    struct fly_quantify_config good = oxide(FLY_QUANTIFY_FIT), config;

    (void)state;
#define WITH(what) (config = good, what, &config)
    refuse(WITH(config.n_channels = 15), "channels");
    refuse(WITH(config.n_channels = 16385), "channels");
    refuse(WITH(config.ev_per_channel = 0.0), "channel width");
    refuse(WITH(config.ev_per_channel = NAN), "channel width");
    refuse(WITH(config.ev_offset = INFINITY), "offset");
    refuse(WITH(config.fwhm_mn_ev = 0.0), "resolution");
    refuse(WITH(config.beam_kev = 500.0), "beam");
    refuse(WITH(config.n_elements = 0), "number of elements");
    refuse(WITH(config.n_elements = 19), "number of elements");
    refuse(WITH(config.min_counts = -1), "lowest count");
    refuse(WITH((config.n_elements = 2, config.elements = stranger)), "Xx");
    refuse(WITH((config.n_elements = 2, config.elements = twice)), "twice");
    refuse(WITH((config.n_elements = 1, config.elements = no_k)), "La_Ma");
    refuse(WITH((config.n_elements = 1, config.elements = wrong_line)), "Fe_Kz");
    refuse(WITH((config.n_elements = 1, config.elements = high, config.n_channels = 1024)), "within the axis");
    refuse(WITH((config.n_k = 1, config.k = &zero)), "Fe_Ka is 0");
    refuse(WITH((config.n_k = 1, config.k = &nan_k)), "Fe_Ka");
    refuse(WITH((config.n_k = 1, config.k = &negative)), "Zr_Ka");
#undef WITH
}

static void too_small_an_arena_is_told(void **state)
{
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_quantifier *q = NULL;
        struct fly_arena arena;

        (void)state;
        assert_int_equal(fly_arena_init(&arena, 4096, NULL, "test"), FLY_OK);
        assert_int_equal(fly_quantifier_open(&q, &config, &arena), FLY_ENOMEM);
        assert_null(q);
        assert_true(fly_arena_mark(&arena) == 0);
        fly_arena_fini(&arena);
    }
}

/* ---- k-factors --------------------------------------------------------------------------------- */

static void the_users_k_factors_win_and_mixing_is_told(void **state)
{
    const char *const names[] = {"Fe", "Sr", "La_Ma"};
    const struct fly_k_factor k[] = {{"Fe_Ka1", 2.0}, {"Sr_La", 3.0}, {"La_Ma", 4.0}, {"Zr_Ka", 9.0}};
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_WINDOW);
    struct rig rig;

    (void)state;
    config.n_elements = 3;
    config.elements = names;
    config.n_k = 4;
    config.k = k;
    rig_open(&rig, &config);
    assert_true(fly_quantifier_line(rig.q, 0).k == 2.0);
    assert_string_equal(fly_quantifier_line(rig.q, 1).line, "La"); /* the line that the user has a k for */
    assert_true(fly_quantifier_line(rig.q, 1).k == 3.0);
    assert_true(fly_quantifier_line(rig.q, 2).k == 4.0);
    assert_int_equal(fly_quantifier_k_mixed(rig.q), 0);
    rig_close(&rig);

    config.n_elements = 2;
    config.n_k = 1;
    config.k_basis = FLY_K_ATOMIC;
    rig_open(&rig, &config);
    assert_true(fabs(fly_quantifier_line(rig.q, 0).k - 2.0 * 55.845 / 28.085) < 1e-12);
    assert_string_equal(fly_quantifier_line(rig.q, 1).line, "Ka");
    assert_int_equal(fly_quantifier_k_mixed(rig.q), 1);
    assert_int_equal(fly_quantifier_line(rig.q, 0).users_k, 1);
    assert_int_equal(fly_quantifier_line(rig.q, 1).users_k, 0);
    rig_close(&rig);
}

/* Atomic factors: atoms go as k I, whatever the masses. */
static void atomic_factors_weigh_atoms(void **state)
{
    const char *const names[] = {"Fe", "La"};
    const struct fly_k_factor k[] = {{"Fe_Ka", 1.0}, {"La_La", 3.0}};
    const double intensity[] = {60.0, 20.0};
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_WINDOW);
    double percent[2];
    struct rig rig;

    (void)state;
    config.n_elements = 2;
    config.elements = names;
    config.n_k = 2;
    config.k = k;
    config.k_basis = FLY_K_ATOMIC;
    rig_open(&rig, &config);
    fly_quantifier_percent(rig.q, intensity, NULL, percent, NULL);
    assert_true(fabs(percent[0] - 50.0) < 1e-12 && fabs(percent[1] - 50.0) < 1e-12);
    rig_close(&rig);
}

static void a_bare_symbol_takes_a_line_that_is_in_view(void **state)
{
    const char *const names[] = {"Sr", "Fe"};
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_ML);
    struct rig rig;

    (void)state;
    config.n_elements = 2;
    config.elements = names;
    rig_open(&rig, &config);
    assert_string_equal(fly_quantifier_line(rig.q, 0).line, "Ka");
    rig_close(&rig);
    config.n_channels = 1024; /* to 10 keV */
    rig_open(&rig, &config);
    assert_string_equal(fly_quantifier_line(rig.q, 0).line, "La");
    rig_close(&rig);
}

/* ---- spectra ----------------------------------------------------------------------------------- */

static void the_fast_way_is_the_plain_one(void **state)
{
    static uint32_t spectrum[2048];

    (void)state;
    for (int method = FLY_QUANTIFY_FIT; method <= FLY_QUANTIFY_WINDOW; method++)
        for (int32_t photons = 0; photons < 100000; photons = photons * 7 + 3) {
            struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
            struct fly_composition got;
            double plain[12];
            struct rig rig;

            config.min_counts = 0;
            rig_open(&rig, &config);
            peaks(spectrum, 2048, 10.0, photons, (uint64_t)photons);
            fly_quantify(rig.q, &rig.work, spectrum, &got);
            fly_quantify_linear_ref(rig.q, spectrum, plain);
            assert_memory_equal(got.intensity, plain, sizeof plain); /* adding 0 changes no bit */
            rig_close(&rig);
        }
}

static void a_composition_depends_on_its_spectrum_alone(void **state)
{
    static uint32_t a[2048], b[2048];
    static uint64_t wide[2048];

    (void)state;
    peaks(a, 2048, 10.0, 2000, 1);
    peaks(b, 2048, 10.0, 90000, 2);
    for (int i = 0; i < 2048; i++)
        wide[i] = a[i];
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_composition first, again;
        struct rig rig;

        rig_open(&rig, &config);
        fly_quantify(rig.q, &rig.work, a, &first);
        fly_quantify(rig.q, &rig.work, b, &again);
        fly_quantify(rig.q, &rig.work, a, &again);
        assert_memory_equal(&first, &again, sizeof first);
        fly_quantify_sum(rig.q, &rig.work, wide, &again);
        assert_memory_equal(&first, &again, sizeof first);
        rig_close(&rig);
    }
}

/* The noise peak at 0 eV: any number of counts there changes nothing but in golden. */
static void the_zero_peak_is_masked(void **state)
{
    static uint32_t spectrum[2048];

    (void)state;
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_composition without, with;
        struct rig rig;

        config.ev_offset = -250.0;
        rig_open(&rig, &config);
        peaks(spectrum, 2048, 10.0, 5000, 4);
        memset(spectrum, 0, 40 * sizeof *spectrum);
        fly_quantify(rig.q, &rig.work, spectrum, &without);
        for (int i = 20; i < 30; i++)
            spectrum[i] += 1000;
        fly_quantify(rig.q, &rig.work, spectrum, &with);
        assert_memory_equal(&without, &with, sizeof with);
        rig_close(&rig);
    }
}

static void too_few_counts_are_a_value_and_neighbours_help(void **state)
{
    enum { ROWS = 3, COLS = 4, E = 2048 };
    static uint32_t spectra[ROWS * COLS * E], pooled[E];
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_ML);
    struct fly_composition got, want;
    struct rig rig;
    int32_t chips[9];

    (void)state;
    config.min_counts = 100;
    rig_open(&rig, &config);
    for (int k = 0; k < ROWS * COLS; k++)
        peaks(spectra + k * E, E, 10.0, k == 3 ? 400 : k % COLS == 0 ? 10 : 40, (uint64_t)k + 1);
    /* enough by itself */
    fly_quantify_chip(rig.q, &rig.work, spectra, ROWS, COLS, 3, &got);
    fly_quantify(rig.q, &rig.work, spectra + 3 * E, &want);
    assert_memory_equal(&got, &want, sizeof got);
    assert_int_equal(got.status, FLY_QUANTIFY_OK);
    /* with the eight around it */
    fly_quantify_chip(rig.q, &rig.work, spectra, ROWS, COLS, 5, &got);
    assert_int_equal(got.status, FLY_QUANTIFY_POOLED);
    memset(pooled, 0, sizeof pooled);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < E; i++)
                pooled[i] += spectra[(r * COLS + c) * E + i];
    fly_quantify(rig.q, &rig.work, pooled, &want);
    want.status = FLY_QUANTIFY_POOLED;
    assert_memory_equal(&got, &want, sizeof got);
    /* not even then */
    memset(spectra + E, 0, E * sizeof *spectra);
    memset(spectra + 5 * E, 0, E * sizeof *spectra);
    fly_quantify_chip(rig.q, &rig.work, spectra, ROWS, COLS, 0, &got);
    assert_int_equal(got.status, FLY_QUANTIFY_TOO_FEW);
    for (int i = 0; i < 12; i++) {
        assert_true(isnan(got.percent[i]) && isnan(got.sigma[i]) && isnan(got.limit[i]));
        assert_int_equal(got.detected[i], 0);
    }
    assert_int_equal(fly_quantify_touched(ROWS, COLS, 0, chips), 4);
    assert_int_equal(chips[0], 0);
    assert_int_equal(chips[3], 5);
    assert_int_equal(fly_quantify_touched(ROWS, COLS, 5, chips), 9);
    assert_int_equal(fly_quantify_touched(1, 1, 0, chips), 1);
    rig_close(&rig);
}

static void nothing_at_all_is_zeros_where_it_may_be(void **state)
{
    static uint32_t spectrum[2048];

    (void)state;
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_composition got;
        struct rig rig;

        config.min_counts = 0;
        rig_open(&rig, &config);
        memset(spectrum, 0, sizeof spectrum);
        fly_quantify(rig.q, &rig.work, spectrum, &got);
        assert_int_equal(got.status, FLY_QUANTIFY_OK);
        for (int i = 0; i < 12; i++) {
            assert_true(got.percent[i] == 0.0 && got.sigma[i] == 0.0);
            assert_int_equal(got.detected[i], 0);
            assert_true(got.limit[i] > 0.0 && got.limit[i] <= 100.0);
        }
        for (int32_t i = 0; i < 2048; i += 5) { /* one count, wherever it lies */
            spectrum[i] = 1;
            fly_quantify(rig.q, &rig.work, spectrum, &got);
            for (int e = 0; e < 12; e++)
                assert_true(isfinite(got.percent[e]) && isfinite(got.sigma[e]));
            spectrum[i] = 0;
        }
        rig_close(&rig);
    }
}

static void percents_add_to_100_and_limits_stand_where_nothing_was_found(void **state)
{
    static uint32_t spectrum[2048];

    (void)state;
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_composition got;
        struct rig rig;

        rig_open(&rig, &config);
        for (int32_t photons = 300; photons < 1000000; photons *= 9) {
            double sum = 0.0;

            peaks(spectrum, 2048, 10.0, photons, 8);
            fly_quantify(rig.q, &rig.work, spectrum, &got);
            for (int i = 0; i < 12; i++) {
                sum += got.percent[i];
                assert_true(got.detected[i] ? isnan(got.limit[i]) : got.limit[i] > 0.0 && got.limit[i] <= 100.0);
            }
            if (!(fabs(sum - 100.0) < 1e-9))
                fail_msg("method %d, %d photons: percents add to %.12g", method, photons, sum);
        }
        rig_close(&rig);
    }
}

/* Golden takes any axis: an element out of view is never found, and takes nothing from the others. */
static void a_line_out_of_view_is_unknown_and_harms_nobody(void **state)
{
    static uint32_t spectrum[600];

    (void)state;
    for (int method = 0; method < FLY_QUANTIFY_METHODS; method++) {
        struct fly_quantify_config config = oxide((enum fly_quantify_method)method);
        struct fly_composition got;
        struct rig rig;

        config.set = FLY_LINES_GOLDEN;
        config.n_channels = 600; /* to 6 keV: no Fe, Cu, Ga, Pt */
        rig_open(&rig, &config);
        peaks(spectrum, 600, 10.0, 3000, 5);
        fly_quantify(rig.q, &rig.work, spectrum, &got);
        for (int i = 0; i < 12; i++)
            assert_true(isfinite(got.percent[i]) && isfinite(got.sigma[i]) && isfinite(got.intensity_sigma[i]));
        assert_int_equal(got.detected[9], 0);
        assert_true(got.detected[8] && got.percent[8] > 50.0);
        rig_close(&rig);
    }
}

static void work_is_counted_and_bounded(void **state)
{
    static uint32_t spectrum[2048];
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_ML);
    struct fly_composition got;
    struct rig rig;

    (void)state;
    rig_open(&rig, &config);
    for (int i = 0; i < 20; i++) {
        uint64_t photons = rig.work.photons_applied, steps = rig.work.steps;

        peaks(spectrum, 2048, 10.0, 50 + 200 * i, (uint64_t)i);
        fly_quantify(rig.q, &rig.work, spectrum, &got);
        assert_int_equal(rig.work.photons_applied - photons, got.status == FLY_QUANTIFY_OK ? got.counts : 0);
        assert_int_equal(rig.work.steps - steps, got.steps);
        assert_true(got.steps <= 8 * FLY_LIKELIHOOD_STEPS);
    }
    assert_int_equal(rig.work.chips_quantified, 19);
    rig_close(&rig);
}

static void a_film_gives_back_what_it_took(void **state)
{
    const char *const names[] = {"Fe", "O"};
    const double mac[] = {0.0, 0.0, 15000.0, 1200.0};
    struct fly_film film = {60.0, 5.0, 0.31, mac}, wrong = {0.0, 5.0, 0.31, mac};
    static uint32_t spectrum[2048];
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_FIT);
    struct fly_composition got, before;
    struct rig rig;

    (void)state;
    config.n_elements = 2;
    config.elements = names;
    rig_open(&rig, &config);
    peaks(spectrum, 2048, 10.0, 20000, 6);
    fly_quantify(rig.q, &rig.work, spectrum, &got);
    before = got;
    assert_int_equal(fly_quantifier_film(rig.q, &wrong, &got), FLY_ERANGE);
    assert_memory_equal(&got, &before, sizeof got);
    assert_int_equal(fly_quantifier_film(rig.q, &film, &got), FLY_OK);
    assert_true(got.percent[1] > before.percent[1] + 1.0);
    assert_true(fabs(got.percent[0] + got.percent[1] - 100.0) < 1e-9);
    assert_true(got.intensity[0] == before.intensity[0]);
    assert_true(got.sigma[1] > 0.0 && isnan(got.limit[1]));
    rig_close(&rig);
}

/* Grid and holder are fitted and left out of the 100 %. */
static void what_is_only_fitted_takes_its_counts_and_no_share(void **state)
{
    const char *const both[] = {"Fe", "O", "La"}, *const only[] = {"La"};
    static uint32_t spectrum[2048];
    struct fly_quantify_config config = oxide(FLY_QUANTIFY_ML);
    struct fly_composition with, without;
    struct rig rig;

    (void)state;
    peaks(spectrum, 2048, 10.0, 20000, 6);
    config.n_elements = 3;
    config.elements = both;
    rig_open(&rig, &config);
    fly_quantify(rig.q, &rig.work, spectrum, &with);
    rig_close(&rig);
    config.n_elements = 2;
    config.n_fit_only = 1;
    config.fit_only = only;
    rig_open(&rig, &config);
    fly_quantify(rig.q, &rig.work, spectrum, &without);
    rig_close(&rig);
    assert_true(fabs(with.intensity[0] - without.intensity[0]) < 0.01 * with.intensity[0]);
    assert_true(fabs(with.percent[0] / with.percent[1] - without.percent[0] / without.percent[1]) < 0.01);
    assert_true(fabs(without.percent[0] + without.percent[1] - 100.0) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_is_golden),
        cmocka_unit_test(the_shared_cases_are_golden),
        cmocka_unit_test(what_cannot_be_is_refused_by_code_and_nothing_changes),
        cmocka_unit_test(too_small_an_arena_is_told),
        cmocka_unit_test(the_users_k_factors_win_and_mixing_is_told),
        cmocka_unit_test(atomic_factors_weigh_atoms),
        cmocka_unit_test(a_bare_symbol_takes_a_line_that_is_in_view),
        cmocka_unit_test(the_fast_way_is_the_plain_one),
        cmocka_unit_test(a_composition_depends_on_its_spectrum_alone),
        cmocka_unit_test(the_zero_peak_is_masked),
        cmocka_unit_test(too_few_counts_are_a_value_and_neighbours_help),
        cmocka_unit_test(nothing_at_all_is_zeros_where_it_may_be),
        cmocka_unit_test(percents_add_to_100_and_limits_stand_where_nothing_was_found),
        cmocka_unit_test(a_line_out_of_view_is_unknown_and_harms_nobody),
        cmocka_unit_test(work_is_counted_and_bounded),
        cmocka_unit_test(a_film_gives_back_what_it_took),
        cmocka_unit_test(what_is_only_fitted_takes_its_counts_and_no_share),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return failed ? failed : skipped ? 77 : 0;
}
