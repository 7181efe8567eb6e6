#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/eds/quantify.h"

enum { N = 12, E = 2048 };

static const char *const elements12[N] = {"Al", "C", "Cr", "Cu", "Fe", "Ga", "La", "N", "O", "Pt", "Sr", "Ti"};

struct truth {
    const char *name;
    double percent[N];
};

/* Simulated truths, at.%: the two oxides clean, and with what preparation leaves everywhere. */
static const struct truth truths[] = {
    {"SrTiO3", {0, 0, 0, 0, 0, 0, 0, 0, 60, 0, 20, 20}},
    {"LaFeO3", {0, 0, 0, 0, 20, 0, 20, 0, 60, 0, 0, 0}},
    {"LaFeO3, disordered", {0, 0, 0, 0, 17.9, 0, 16.8, 0, 63.3, 0, 2, 0}},
    {"SrTiO3, prepared", {0.37, 4.19, 0, 1.4, 0, 0.56, 0, 0.37, 55.91, 0, 18.6, 18.6}},
    {"LaFeO3, prepared", {0.37, 4.19, 0, 1.4, 18.6, 0.56, 16.8, 0.37, 55.81, 0, 1.9, 0}},
    {"mixed", {0, 0, 0, 0, 10, 0, 10, 0, 60, 0, 10, 10}},
};
enum { TRUTHS = sizeof truths / sizeof *truths };

/* Layers of nearly one metal. Their light elements hide under it and are told by their limits, so how often the
 * metal's interval holds depends on how much there is of them. */
static const struct truth near_pure[] = {
    {"Pt cap", {0.37, 6.99, 0, 1.40, 0, 0.56, 0, 0.37, 0, 90.31, 0, 0}},
    {"Cr cap", {0.37, 4.19, 85.74, 1.40, 0, 0.56, 0, 0.37, 7.37, 0, 0, 0}},
};
enum { NEAR_PURE = sizeof near_pure / sizeof *near_pure };

struct rig {
    struct fly_arena arena;
    struct fly_quantifier *q;
    struct fly_quantify_work work;
};

static void rig_open(struct rig *rig, enum fly_quantify_method method)
{
    struct fly_quantify_config config = fly_quantify_config_default();

    config.n_channels = E;
    config.ev_per_channel = 10.0;
    config.method = method;
    config.n_elements = N;
    config.elements = elements12;
    assert_int_equal(fly_arena_init(&rig->arena, fly_quantifier_need(&config) + (4 << 20), NULL, "test"), FLY_OK);
    assert_int_equal(fly_quantifier_open(&rig->q, &config, &rig->arena), FLY_OK);
    fly_quantify_work_init(&rig->work, rig->q, &rig->arena);
}

/* What a photon of a truth does, summed over the channels so far: of every family as much as Cliff-Lorimer
 * makes of the atoms, and a third of all photons bremsstrahlung. La M has no k-factor: Fe L's. */
static double chances(const double *percent, double *cumulative)
{
    static const double background[] = {0.25, 0.35, 0.25, 0.12, 0.03};
    const struct fly_eds_axis axis = {FLY_LINES_PRODUCT, E, 0.0, 10.0, 130.0, 200.0, 150.0};
    const struct fly_element *elements;
    struct fly_eds_column columns[FLY_COLUMNS_MAX];
    struct fly_eds_choice choices[N];
    static double column[E];
    double lines = 0.0, sum = 0.0;
    int32_t m;

    fly_elements(FLY_LINES_PRODUCT, &elements);
    for (int i = 0; i < N; i++) {
        int named;

        assert_int_equal(fly_line_find(FLY_LINES_PRODUCT, elements12[i], &choices[i].element, &choices[i].family, &named),
                         FLY_OK);
    }
    m = fly_basis_columns(&axis, choices, N, columns);
    memset(cumulative, 0, E * sizeof *cumulative);
    for (int32_t j = 0; j < m; j++) {
        const struct fly_element *element = columns[j].element < 0 ? NULL : &elements[choices[columns[j].element].element];
        double area, k;

        if (element) {
            k = element->families[columns[j].family].k_200kv;
            area = percent[columns[j].element] * element->mass_u / (k > 0.0 ? k : 2.6998);
            lines += area;
        } else {
            area = 0.5 * lines * background[columns[j].family]; /* lines stand before them */
        }
        fly_basis_fill(&axis, choices, columns[j], column);
        for (int i = 0; i < E; i++)
            cumulative[i] += area * column[i];
    }
    for (int i = 0; i < E; i++)
        cumulative[i] = sum += cumulative[i];
    return sum;
}

static void draw(uint32_t *spectrum, const double *cumulative, double sum, uint64_t photons, struct fly_rng *rng)
{
    memset(spectrum, 0, E * sizeof *spectrum);
    for (uint64_t i = 0; i < photons; i++) {
        double u = fly_rng_uniform(rng) * sum;
        int low = 0, high = E - 1;

        while (low < high) {
            int middle = (low + high) / 2;

            if (cumulative[middle] > u)
                high = middle;
            else
                low = middle + 1;
        }
        spectrum[low]++;
    }
}

struct tally {
    int held, asked;     /* elements above 5 at.% */
    int major_held, major_asked; /* above 50 at.% */
    int limits, limits_held; /* elements below, not detected */
    int false_alarms;    /* detected, though absent */
    double mean[N];
};

static struct tally simulate(struct rig *rig, const struct truth *truth, int counts, int spectra, uint64_t seed)
{
    struct fly_rng rng = {seed};
    static double cumulative[E];
    static uint32_t spectrum[E];
    double sum = chances(truth->percent, cumulative);
    struct tally tally = {0};

    for (int s = 0; s < spectra; s++) {
        struct fly_composition got;

        draw(spectrum, cumulative, sum, fly_rng_poisson(&rng, counts), &rng);
        fly_quantify(rig->q, &rig->work, spectrum, &got);
        assert_int_equal(got.status, FLY_QUANTIFY_OK);
        for (int i = 0; i < N; i++) {
            double percent = truth->percent[i];
            int holds = got.detected[i] ? fabs(got.percent[i] - percent) <= got.sigma[i] : percent <= got.limit[i];

            tally.mean[i] += got.percent[i] / spectra;
            if (percent > 5.0) {
                tally.asked++;
                tally.held += holds;
            } else if (!got.detected[i]) {
                tally.limits++;
                tally.limits_held += holds;
            }
            if (percent > 50.0) {
                tally.major_asked++;
                tally.major_held += holds;
            }
            tally.false_alarms += percent == 0.0 && got.detected[i];
        }
    }
    return tally;
}

static void intervals_hold_at(int counts, int spectra)
{
    struct rig rig;
    int held = 0, asked = 0;

    rig_open(&rig, FLY_QUANTIFY_ML);
    for (int t = 0; t < TRUTHS; t++) {
        struct tally tally = simulate(&rig, &truths[t], counts, spectra, 1000u + (uint64_t)t);
        double share = (double)tally.held / tally.asked, noise = sqrt(0.68 * 0.32 / tally.asked) * sqrt(3.0);

        held += tally.held;
        asked += tally.asked;
        print_message("%d counts, %s: 68 %% intervals hold %.1f %%, limits %.1f %% of %d, false alarms %.3f\n", counts,
                      truths[t].name, 100.0 * share, 100.0 * tally.limits_held / (tally.limits ? tally.limits : 1),
                      tally.limits, (double)tally.false_alarms / spectra);
        /* the promise, give or take what so few simulations leave uncertain: percents of one spectrum go together */
        assert_true(share > 0.63 - 2.0 * noise && share < 0.73 + 2.0 * noise);
        assert_true(tally.limits_held >= 0.93 * tally.limits);
        assert_true(tally.false_alarms < 0.15 * spectra);
    }
    for (int t = 0; t < NEAR_PURE; t++) {
        struct tally tally = simulate(&rig, &near_pure[t], counts, spectra, 2000u + (uint64_t)t);
        double share = (double)tally.major_held / tally.major_asked, noise = sqrt(0.68 * 0.32 / tally.major_asked);

        print_message("%d counts, %s: 68 %% intervals hold the metal %.1f %%, limits %.1f %% of %d\n", counts,
                      near_pure[t].name, 100.0 * share, 100.0 * tally.limits_held / tally.limits, tally.limits);
        assert_true(share > 0.63 - 2.0 * noise);
        assert_true(share < 0.90); /* wide for want of knowledge, not for caution */
        assert_true(tally.limits_held >= 0.93 * tally.limits);
        assert_true(tally.false_alarms < 0.15 * spectra);
    }
    print_message("%d counts, all oxides: %.1f %% of %d\n", counts, 100.0 * held / asked, asked);
    assert_true(held > 0.63 * asked && held < 0.73 * asked);
    fly_arena_fini(&rig.arena);
}

static void intervals_hold_two_thirds_of_the_time_at_300_counts(void **state)
{
    (void)state;
    intervals_hold_at(300, 800);
}

static void intervals_hold_two_thirds_of_the_time_at_3000_counts(void **state)
{
    (void)state;
    intervals_hold_at(3000, 800);
}

static void intervals_hold_two_thirds_of_the_time_at_30000_counts(void **state)
{
    (void)state;
    intervals_hold_at(30000, 250);
}

static void majors_are_not_biased_at_300_counts(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, FLY_QUANTIFY_ML);
    for (int t = 0; t < TRUTHS + NEAR_PURE; t++) {
        const struct truth *truth = t < TRUTHS ? &truths[t] : &near_pure[t - TRUTHS];
        struct tally tally = simulate(&rig, truth, 300, 2000, 77u + (uint64_t)t);

        for (int i = 0; i < N; i++)
            if (truth->percent[i] > 10.0) {
                double bias = tally.mean[i] / truth->percent[i] - 1.0;

                print_message("%s, %s: bias %+.1f %%\n", truth->name, elements12[i], 100.0 * bias);
                assert_true(fabs(bias) < 0.05);
            }
    }
    fly_arena_fini(&rig.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_hold_two_thirds_of_the_time_at_300_counts),
        cmocka_unit_test(intervals_hold_two_thirds_of_the_time_at_3000_counts),
        cmocka_unit_test(intervals_hold_two_thirds_of_the_time_at_30000_counts),
        cmocka_unit_test(majors_are_not_biased_at_300_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
