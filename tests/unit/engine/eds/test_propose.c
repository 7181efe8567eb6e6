#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/periodic.h"
#include "engine/base/rng.h"
#include "engine/eds/basis.h"
#include "engine/eds/propose.h"
#include "engine/eds/survey.h"

enum { E = 2048 };

/* A spectrum in the making: expected counts by channel, and the axis the detector truly has. */
struct scene {
    struct fly_eds_axis axis;
    double mean[E];
    uint64_t counts[E];
};

static void scene_begin(struct scene *scene, double background)
{
    struct fly_eds_column columns[FLY_COLUMNS_MAX];
    double one[E];
    int32_t n;

    memset(scene, 0, sizeof *scene);
    scene->axis = (struct fly_eds_axis){FLY_LINES_PRODUCT, E, -200.0, 10.0, 130.0, 200.0, 150.0};
    n = fly_basis_columns(&scene->axis, NULL, 0, columns);
    for (int32_t k = 0; k < n; k++) {
        fly_basis_fill(&scene->axis, NULL, columns[k], one);
        for (int32_t i = 0; i < E; i++)
            scene->mean[i] += background / n * one[i];
    }
}

/* Photons of one family of the product table, "Fe_Ka". */
static void add(struct scene *scene, const char *line, double photons)
{
    struct fly_eds_choice choice;
    double one[E];
    int named;

    assert_int_equal(fly_line_find(FLY_LINES_PRODUCT, line, &choice.element, &choice.family, &named), FLY_OK);
    fly_basis_fill(&scene->axis, &choice, (struct fly_eds_column){0, choice.family}, one);
    for (int32_t i = 0; i < E; i++)
        scene->mean[i] += photons * one[i];
}

static void add_peak(struct scene *scene, double kev, double photons)
{
    double sigma = fly_fwhm_kev(kev, scene->axis.fwhm_mn_ev) / 2.3548200450309493;

    for (int32_t i = 0; i < E; i++) {
        double t = (fly_axis_kev(&scene->axis, i) - kev) / sigma;

        scene->mean[i] += photons * exp(-0.5 * t * t) * scene->axis.ev_per_channel / 1000.0 /
                          (sigma * sqrt(2.0 * M_PI));
    }
}

static void propose(struct scene *scene, uint64_t seed, struct fly_proposals *out)
{
    struct fly_propose_config config = fly_propose_config_default();
    struct fly_alloc alloc = fly_alloc_system();
    struct fly_arena arena;
    struct fly_rng rng;

    rng.state = fly_mix64(seed);
    for (int32_t i = 0; i < E; i++)
        scene->counts[i] = fly_rng_poisson(&rng, scene->mean[i]);
    config.n_channels = E;
    config.ev_offset = -200.0;
    assert_int_equal(fly_arena_init(&arena, fly_propose_need(&config), &alloc, "test"), FLY_OK);
    assert_int_equal(fly_propose(out, &config, scene->counts, &arena), FLY_OK);
    fly_arena_fini(&arena);
}

/* "Cu Fe" in the alphabet's order: all elements that are proposed. */
static const char *elements_of(const struct fly_proposals *out)
{
    static char text[256];
    char names[FLY_PROPOSALS_MAX][4];
    int n = 0;

    for (int32_t i = 0; i < out->n; i++)
        if (out->of[i].kind <= FLY_PROPOSED_OTHER)
            snprintf(names[n++], 4, "%.3s", out->of[i].what);
    qsort(names, (size_t)n, sizeof *names, (int (*)(const void *, const void *))strcmp);
    text[0] = '\0';
    for (int i = 0; i < n; i++)
        strcat(strcat(text, i ? " " : ""), names[i]);
    return text;
}

static const struct fly_proposal *find(const struct fly_proposals *out, const char *what)
{
    for (int32_t i = 0; i < out->n; i++)
        if (strcmp(out->of[i].what, what) == 0)
            return &out->of[i];
    fail_msg("no %s among the proposals", what);
    return NULL;
}

static void strontium_titanate_on_a_grid(struct scene *scene, double photons)
{
    scene_begin(scene, 0.5 * photons);
    add(scene, "Sr_La", 0.2 * photons);
    add(scene, "Sr_Ka", 0.1 * photons);
    add(scene, "Ti_Ka", 0.25 * photons);
    add(scene, "Ti_La", 0.03 * photons);
    add(scene, "O_Ka", 0.1 * photons);
    add(scene, "C_Ka", 0.03 * photons);
    add(scene, "Cu_Ka", 0.1 * photons);
    add(scene, "Cu_La", 0.04 * photons);
}

static void the_elements_of_a_compound_come_out_and_no_others(void **state)
{
    for (double photons = 3e3; photons < 4e6; photons *= 10.0)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct fly_proposals out;
            struct scene scene;

            strontium_titanate_on_a_grid(&scene, photons);
            propose(&scene, seed, &out);
            if (photons < 2e4) /* carbon's hundred photons may drown */
                assert_non_null(strstr(elements_of(&out), "Cu O Sr Ti"));
            else
                assert_string_equal(elements_of(&out), "C Cu O Sr Ti");
            assert_int_equal(find(&out, "Cu")->kind, FLY_PROPOSED_GRID);
            assert_int_equal(find(&out, "Ti")->kind, FLY_PROPOSED_ELEMENT);
        }
}

static void the_evidence_is_what_was_put_in(void **state)
{
    const struct fly_proposal *ti;
    struct fly_proposals out;
    struct scene scene;

    strontium_titanate_on_a_grid(&scene, 1e6);
    propose(&scene, 1, &out);
    ti = find(&out, "Ti");
    assert_string_equal(ti->line, "Ka");
    assert_float_equal(ti->kev, 4.5109, 1e-9);
    assert_float_equal(ti->counts, 250000.0, 5000.0);
    assert_true(ti->sigma > 25.0 && ti->background > 1000.0 && ti->background < 100000.0);
    assert_true(fabs(out.shift_ev) <= 2.5 && fabs(out.gain - 1.0) <= 0.001);
    assert_int_equal(out.of[0].counts >= out.of[1].counts, 1);
}

/* How often anything is proposed where nothing is. */
static void background_alone_proposes_nothing_99_times_in_100(void **state)
{
    const double photons[] = {60.0, 300.0, 3000.0, 1e5, 3e6};
    int alarms = 0, trials = 0;

    for (int p = 0; p < 5; p++)
        for (uint64_t seed = 0; seed < 80; seed++) {
            struct fly_proposals out;
            struct scene scene;

            scene_begin(&scene, photons[p]);
            propose(&scene, 1000 + seed, &out);
            trials++;
            if (out.n > 0) {
                alarms++;
                print_message("%g photons: %s of %g counts, %g sigma\n", photons[p], out.of[0].what,
                              out.of[0].counts, out.of[0].sigma);
            }
        }
    print_message("%d false alarms in %d spectra of background alone\n", alarms, trials);
    assert_true(alarms * 100 <= trials);
}

static void overlaps_are_decided_by_the_lines_that_do_not_overlap(void **state)
{
    static const struct {
        const char *lines[6];
        double photons[6];
        const char *elements;
    } cases[] = {
        {{"Cr_Ka", "Cr_La"}, {2e5, 4e4}, "Cr"},                       /* Kb on Mn Ka, L on O K */
        {{"Cr_Ka", "Cr_La", "O_Ka"}, {2e5, 4e4, 1e5}, "Cr O"},
        {{"Fe_Ka", "Fe_La"}, {2e5, 6e4}, "Fe"},                       /* Kb beside Co Ka, L on F K */
        {{"Fe_Ka", "Fe_La", "Co_Ka"}, {2e5, 6e4, 4e4}, "Co Fe"},
        {{"Mo_La", "Mo_Ka"}, {2e5, 3e4}, "Mo"},                       /* L on S K */
        {{"Ti_Ka", "Ti_La"}, {2e5, 4e4}, "Ti"},                       /* L on N K, Kb on V Ka */
        {{"Ti_Ka", "Ti_La", "N_Ka"}, {2e5, 4e4, 1e5}, "N Ti"},
        {{"Sr_La", "Sr_Ka"}, {2e5, 8e4}, "Sr"},                       /* L on Si K, Ta M, W M */
        {{"Sr_La", "Sr_Ka", "Si_Ka"}, {2e5, 8e4, 1e5}, "Si Sr"},
        {{"Pt_La", "Pt_Ma"}, {1e5, 2e5}, "Pt"},                       /* M on P K and Zr L */
        {{"La_La", "La_Ma"}, {2e5, 1e5}, "La"},                       /* L on Ba, Cs, Ti */
        {{"Ga_Ka", "Ga_La", "Ge_Ka", "Ge_La"}, {1e5, 8e4, 5e4, 4e4}, "Ga Ge"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fly_proposals out;
        struct scene scene;

        scene_begin(&scene, 2e5);
        for (int l = 0; l < 6 && cases[i].lines[l]; l++)
            add(&scene, cases[i].lines[l], cases[i].photons[l]);
        propose(&scene, i, &out);
        if (strcmp(elements_of(&out), cases[i].elements) != 0)
            fail_msg("case %zu: %s instead of %s", i, elements_of(&out), cases[i].elements);
    }
}

/* One to four elements of the product table at a time, in drawn amounts: what is found, missed, invented. */
static void drawn_mixtures_come_out_as_they_went_in(void **state)
{
    struct fly_survey_family families[FLY_SURVEY_MAX];
    int32_t n = fly_survey(families), put = 0, missed = 0, invented = 0;
    const int mixtures = 150;

    for (int m = 0; m < mixtures; m++) {
        struct fly_rng rng = {.state = fly_mix64(77 + (uint64_t)m)};
        int32_t chosen[4], n_chosen = 1 + (int32_t)fly_rng_below(&rng, 4);
        struct fly_proposals out;
        struct scene scene;

        scene_begin(&scene, 1e4 * pow(100.0, fly_rng_uniform(&rng)));
        for (int32_t i = 0; i < n_chosen; i++) {
            int32_t element = (int32_t)fly_rng_below(&rng, FLY_ELEMENTS_MAX);
            double photons = 5e3 * pow(40.0, fly_rng_uniform(&rng)), share = 1.0;

            chosen[i] = element;
            for (int32_t f = 0; f < n; f++) {
                char line[12];

                if (families[f].element != element)
                    continue;
                share *= families[f].share > 0.0 ? families[f].share : 1.0;
                snprintf(line, sizeof line, "%s_%.3s", fly_symbol(families[f].z), families[f].name);
                if (families[f].lines[0].kev < 19.0)
                    add(&scene, line, photons * share);
                else
                    share = 1.0; /* out of view: the next one is what there is to see */
            }
        }
        propose(&scene, 500 + (uint64_t)m, &out);
        for (int32_t i = 0; i < n_chosen; i++) {
            const struct fly_element *elements;
            int found = 0;

            fly_elements(FLY_LINES_PRODUCT, &elements);
            for (int32_t k = 0; k < out.n; k++)
                found |= strcmp(out.of[k].what, elements[chosen[i]].symbol) == 0;
            put++;
            missed += !found;
        }
        for (int32_t k = 0; k < out.n; k++) {
            const struct fly_element *elements;
            int known = out.of[k].kind > FLY_PROPOSED_OTHER;

            fly_elements(FLY_LINES_PRODUCT, &elements);
            for (int32_t i = 0; i < n_chosen; i++)
                known |= strcmp(out.of[k].what, elements[chosen[i]].symbol) == 0;
            invented += !known;
        }
    }
    print_message("%d elements in %d mixtures: %d missed, %d invented\n", put, mixtures, missed, invented);
    assert_true(missed * 20 <= put);
    assert_true(invented * 100 <= mixtures);
}

static void sum_and_escape_peaks_are_named_and_propose_nothing(void **state)
{
    struct fly_proposals out;
    struct scene scene;

    scene_begin(&scene, 1e6);
    add(&scene, "Ti_Ka", 4e6);
    add(&scene, "Ti_La", 8e5);
    add_peak(&scene, 2 * 4.5109, 2e4);
    add_peak(&scene, 4.5109 - 1.74, 3e4);
    propose(&scene, 5, &out);
    assert_string_equal(elements_of(&out), "Ti");
    assert_int_equal(find(&out, "Ti_Ka+Ti_Ka")->kind, FLY_PROPOSED_SUM);
    assert_float_equal(find(&out, "Ti_Ka+Ti_Ka")->counts, 2e4, 2e3);
    assert_int_equal(find(&out, "Ti_Ka-Si_Ka")->kind, FLY_PROPOSED_ESCAPE);
    assert_float_equal(find(&out, "Ti_Ka-Si_Ka")->counts, 3e4, 4e3);
}

/* Elements of the survey that the product table lacks, by a Gaussian for each line. */
static void elements_beyond_the_line_table_are_told_as_such(void **state)
{
    struct fly_survey_family families[FLY_SURVEY_MAX];
    int32_t n = fly_survey(families);
    static const int32_t numbers[] = {12, 17, 25, 28, 40, 47, 56, 58, 74, 79, 82};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct fly_proposals out;
        struct scene scene;
        double photons = 1e5;

        scene_begin(&scene, 2e5);
        for (int32_t f = 0; f < n; f++) {
            double all = 0.0;

            if (families[f].z != numbers[i])
                continue;
            photons *= families[f].share > 0.0 ? families[f].share : 1.0;
            for (int32_t l = 0; l < families[f].n_lines; l++)
                all += families[f].lines[l].weight;
            for (int32_t l = 0; l < families[f].n_lines; l++)
                add_peak(&scene, families[f].lines[l].kev, photons * families[f].lines[l].weight / all);
        }
        propose(&scene, i, &out);
        if (out.n == 0 || out.of[0].kind != FLY_PROPOSED_OTHER || strchr(elements_of(&out), ' '))
            fail_msg("atomic number %d: %s", numbers[i], elements_of(&out));
    }
}

static void a_peak_that_nothing_explains_is_a_peak(void **state)
{
    struct fly_proposals out;
    struct scene scene;

    scene_begin(&scene, 1e5);
    add_peak(&scene, 16.1, 3000.0); /* no main line of any element lies within 300 eV */
    propose(&scene, 2, &out);
    assert_string_equal(elements_of(&out), "");
    assert_int_equal(find(&out, "peak")->kind, FLY_PROPOSED_UNKNOWN);
    assert_float_equal(find(&out, "peak")->kev, 16.1, 0.02);
}

static void a_detector_off_scale_is_tuned(void **state)
{
    struct fly_proposals out;
    struct scene scene;

    strontium_titanate_on_a_grid(&scene, 1e6);
    memset(scene.mean, 0, sizeof scene.mean);
    scene.axis.fwhm_mn_ev = 148.0;
    scene.axis.ev_offset = -215.0; /* the truth; propose is told -200 */
    {
        const char *lines[] = {"Sr_La", "Sr_Ka", "Ti_Ka", "Ti_La", "O_Ka", "C_Ka", "Cu_Ka", "Cu_La"};
        const double photons[] = {2e5, 1e5, 2.5e5, 3e4, 1e5, 3e4, 1e5, 4e4};
        struct fly_eds_column columns[FLY_COLUMNS_MAX];
        double one[E];
        int32_t n = fly_basis_columns(&scene.axis, NULL, 0, columns);

        for (int i = 0; i < 8; i++)
            add(&scene, lines[i], photons[i]);
        for (int32_t k = 0; k < n; k++) {
            fly_basis_fill(&scene.axis, NULL, columns[k], one);
            for (int32_t i = 0; i < E; i++)
                scene.mean[i] += 1e5 * one[i];
        }
    }
    propose(&scene, 3, &out);
    assert_string_equal(elements_of(&out), "C Cu O Sr Ti");
    assert_float_equal(out.shift_ev, 15.0, 4.0);
    assert_float_equal(out.fwhm_mn_ev, 148.0, 8.0);
}

/* A light element's one line in a few counts: what else it could be is said. */
static void competing_lines_are_named(void **state)
{
    const struct fly_proposal *si;
    struct fly_proposals out;
    struct scene scene;
    int found = 0;

    scene_begin(&scene, 2e4);
    add(&scene, "Si_Ka", 2000.0);
    propose(&scene, 4, &out);
    si = find(&out, "Si");
    for (int32_t i = 0; i < si->n_competing; i++)
        found |= strcmp(si->competing[i], "Ta_Ma") == 0 || strcmp(si->competing[i], "W_Ma") == 0;
    assert_true(found);
}

static void too_few_photons_speak_of_nothing(void **state)
{
    struct fly_proposals out;
    struct scene scene;

    scene_begin(&scene, 0.0);
    add_peak(&scene, 4.5109, 40.0);
    propose(&scene, 1, &out);
    assert_int_equal(out.n, 0);
    assert_true(out.photons < FLY_PROPOSE_COUNTS_MIN);
}

static void numbers_out_of_range_are_refused(void **state)
{
    struct fly_propose_config config[] = {fly_propose_config_default(), fly_propose_config_default(),
                                          fly_propose_config_default(), fly_propose_config_default(),
                                          fly_propose_config_default(), fly_propose_config_default()};
    static const char *const says[] = {"8 channels", "0.1 eV per channel", "offset nan", "FWHM 20 eV",
                                       "beam of 5 keV", "lies below"};
    struct fly_alloc alloc = fly_alloc_system();
    uint64_t counts[4096] = {0};
    struct fly_proposals out;

    config[0].n_channels = 8;
    config[1].ev_per_channel = 0.1;
    config[2].ev_offset = NAN;
    config[3].fwhm_mn_ev = 20.0;
    config[4].beam_kev = 5.0;
    config[5].ev_offset = -10000.0;
    config[5].ev_per_channel = 1.0;
    for (int i = 0; i < 6; i++) {
        struct fly_arena arena;

        assert_int_equal(fly_arena_init(&arena, fly_propose_need(&config[i]), &alloc, "test"), FLY_OK);
        assert_int_equal(fly_propose(&out, &config[i], counts, &arena), FLY_ERANGE);
        assert_non_null(strstr(fly_fail_text(), says[i]));
        fly_arena_fini(&arena);
    }
}

static void a_small_arena_is_told(void **state)
{
    struct fly_propose_config config = fly_propose_config_default();
    struct fly_alloc alloc = fly_alloc_system();
    uint64_t counts[4096] = {0};
    struct fly_proposals out;
    struct fly_arena arena;
    int rc = FLY_ENOMEM, refused = 0;

    for (size_t bytes = 1000; rc == FLY_ENOMEM; bytes += 20000) {
        assert_true(bytes < fly_propose_need(&config) + 20000);
        assert_int_equal(fly_arena_init(&arena, bytes, &alloc, "test"), FLY_OK);
        rc = fly_propose(&out, &config, counts, &arena);
        refused += rc == FLY_ENOMEM;
        fly_arena_fini(&arena);
    }
    assert_int_equal(rc, FLY_OK);
    assert_true(refused > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_elements_of_a_compound_come_out_and_no_others),
        cmocka_unit_test(the_evidence_is_what_was_put_in),
        cmocka_unit_test(background_alone_proposes_nothing_99_times_in_100),
        cmocka_unit_test(overlaps_are_decided_by_the_lines_that_do_not_overlap),
        cmocka_unit_test(drawn_mixtures_come_out_as_they_went_in),
        cmocka_unit_test(sum_and_escape_peaks_are_named_and_propose_nothing),
        cmocka_unit_test(elements_beyond_the_line_table_are_told_as_such),
        cmocka_unit_test(a_peak_that_nothing_explains_is_a_peak),
        cmocka_unit_test(a_detector_off_scale_is_tuned),
        cmocka_unit_test(competing_lines_are_named),
        cmocka_unit_test(too_few_photons_speak_of_nothing),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(a_small_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
