#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/label/fewshot.h"
#include "tests/support/golden.h"

#define TINY FLY_TEST_DIR "/golden/a_tiny"

/* The support set of golden a_tiny, params.json. */
static const int32_t tiny_support[3][4] = {{30, 31, 32, 33}, {12, 15, 18, 21}, {0, 1, 2, 3}};
enum { TINY_CHIPS = 36 };

struct scene {
    struct fly_arena arena;
    struct fly_support support;
    struct fly_prototypes prototypes;
    uint8_t measured[4096];
};

static void scene_open(struct scene *s, int32_t chips, int32_t width)
{
    assert_int_equal(fly_arena_init(&s->arena, fly_support_need(chips) + fly_prototypes_need(width), NULL,
                                    "test"), FLY_OK);
    fly_support_init(&s->support, chips, &s->arena);
    fly_prototypes_init(&s->prototypes, width, &s->arena);
    memset(s->measured, 1, sizeof s->measured);
}

static void scene_tiny_support(struct scene *s)
{
    static const char *const names[] = {"STO", "LFO", "cap"};

    for (int32_t c = 0; c < 3; c++) {
        int32_t id = -1;

        assert_int_equal(fly_support_add(&s->support, names[c], tiny_support[c], 4, &id), FLY_OK);
        assert_int_equal(id, c);
    }
}

/* Distances to 1e-5 relative, scores to 1e-5, labels exactly unless the two best are that close:
 * golden/README.md. */
static void compare(struct scene *s, const struct fly_features *features, const char *folder,
                    const char *modality)
{
    char name[64];
    struct golden dist, score, label;

    snprintf(name, sizeof name, "fs_dist_%s", modality);
    dist = golden_open(folder, name);
    snprintf(name, sizeof name, "fs_score_%s", modality);
    score = golden_open(folder, name);
    snprintf(name, sizeof name, "fs_label_%s", modality);
    label = golden_open(folder, name);
    fly_prototypes_make(&s->prototypes, &s->support, features, s->measured);
    for (int32_t k = 0; k < TINY_CHIPS; k++) {
        double d[FLY_CLASSES_MAX], p[FLY_CLASSES_MAX];

        fly_fewshot_distances(&s->prototypes, features, k, d);
        fly_fewshot_scores(d, 3, 1.0, p);
        for (int c = 0; c < 3; c++) {
            double want = ((const double *)dist.npy.data)[k * 3 + c];

            assert_true(fabs(d[c] - want) <= 1e-5 * want);
            assert_true(fabs(p[c] - ((const double *)score.npy.data)[k * 3 + c]) <= 1e-5);
        }
        assert_int_equal(fly_fewshot_label(p, 3), ((const int32_t *)label.npy.data)[k]);
    }
    golden_close(&dist);
    golden_close(&score);
    golden_close(&label);
}

static void embeddings_of_a_tiny_get_the_golden_labels(void **state)
{
    static const char *const folders[] = {TINY "/expected", TINY "/expected_squeezenet"};

    (void)state;
    for (int f = 0; f < 2; f++) {
        struct golden emb = golden_open(folders[f], "emb");
        struct fly_features features = {emb.npy.data, 512, FLY_FEATURE_F32};
        struct scene s;

        assert_int_equal(emb.npy.type, FLY_NPY_F32);
        scene_open(&s, TINY_CHIPS, 512);
        scene_tiny_support(&s);
        compare(&s, &features, folders[f], "emb");
        fly_arena_fini(&s.arena);
        golden_close(&emb);
    }
}

static uint32_t *tiny_spectra(void)
{
    struct golden nnz = golden_open(TINY "/expected", "spec_nnz");
    uint32_t *spectra = calloc((size_t)TINY_CHIPS * 4051, sizeof *spectra);
    const uint16_t *row = nnz.npy.data;

    for (int64_t i = 0; i < nnz.npy.shape[0]; i++, row += 3)
        spectra[(size_t)row[0] * 4051 + row[1]] = row[2];
    golden_close(&nnz);
    return spectra;
}

static void spectra_of_a_tiny_get_the_golden_labels(void **state)
{
    uint32_t *spectra = tiny_spectra();
    struct fly_features features = {spectra, 4051, FLY_FEATURE_U32};
    struct scene s;

    (void)state;
    scene_open(&s, TINY_CHIPS, 4051);
    scene_tiny_support(&s);
    compare(&s, &features, TINY "/expected", "spec");
    fly_arena_fini(&s.arena);
    free(spectra);
}

static void ensembles_of_golden_scores_are_golden(void **state)
{
    static const double weights[2][2] = {{1, 1}, {0.45, 0.55}};
    static const char *const names[2] = {"ens_1_1", "ens_0.45_0.55"};
    struct golden a = golden_open(TINY "/expected", "fs_score_emb");
    struct golden b = golden_open(TINY "/expected", "fs_score_at");

    (void)state;
    for (int w = 0; w < 2; w++) {
        char name[64];

        snprintf(name, sizeof name, "fs_score_%s", names[w]);
        struct golden want = golden_open(TINY "/expected", name);

        snprintf(name, sizeof name, "fs_label_%s", names[w]);
        struct golden label = golden_open(TINY "/expected", name);

        for (int32_t k = 0; k < TINY_CHIPS; k++) {
            double score[3];

            fly_fewshot_ensemble((const double *)a.npy.data + k * 3, (const double *)b.npy.data + k * 3, 3,
                                 weights[w], score);
            for (int c = 0; c < 3; c++)
                assert_true(fabs(score[c] - ((const double *)want.npy.data)[k * 3 + c]) <= 1e-12);
            assert_int_equal(fly_fewshot_label(score, 3), ((const int32_t *)label.npy.data)[k]);
        }
        golden_close(&want);
        golden_close(&label);
    }
    golden_close(&a);
    golden_close(&b);
}

/* golden/edge edge.json: fewshot_tie has prototypes at (0,0) and (2,0); chip (1,0) is as far from both. */
static void a_tie_goes_to_the_lowest_class(void **state)
{
    static const float x[5][2] = {{0, 0}, {2, 0}, {1, 0}, {1, 5}, {5, 1}};
    static const int32_t want[5] = {0, 1, 0, 0, 1};
    struct fly_features features = {x, 2, FLY_FEATURE_F32};
    struct scene s;
    int32_t id, chip;

    (void)state;
    scene_open(&s, 5, 2);
    chip = 0;
    assert_int_equal(fly_support_add(&s.support, "a", &chip, 1, &id), FLY_OK);
    chip = 1;
    assert_int_equal(fly_support_add(&s.support, "b", &chip, 1, &id), FLY_OK);
    fly_prototypes_make(&s.prototypes, &s.support, &features, s.measured);
    for (int32_t k = 0; k < 5; k++) {
        double d[2], p[2];

        fly_fewshot_distances(&s.prototypes, &features, k, d);
        fly_fewshot_scores(d, 2, 1.0, p);
        assert_int_equal(fly_fewshot_label(p, 2), want[k]);
    }
    /* Chip 0 stands on its prototype, 2 from the other: softmax(0, -2). */
    double d[2], p[2];

    fly_fewshot_distances(&s.prototypes, &features, 0, d);
    fly_fewshot_scores(d, 2, 1.0, p);
    assert_true(fabs(p[0] - 0.8807970779778825) < 1e-15);
    fly_arena_fini(&s.arena);
}

static void far_chips_saturate_without_nan(void **state)
{
    const double d[3] = {1e6, 1e6 + 1000.0, NAN};
    double p[3];

    (void)state;
    fly_fewshot_scores(d, 3, 1.0, p);
    assert_true(p[0] == 1.0 && p[1] == 0.0 && p[2] == 0.0);
    fly_fewshot_scores(d, 3, 1000.0, p);
    assert_true(fabs(p[0] - 1.0 / (1.0 + exp(-1.0))) < 1e-15);
}

static void a_class_counts_once_one_of_its_chips_is_measured(void **state)
{
    static const float x[3][2] = {{0, 0}, {4, 0}, {3, 0}};
    struct fly_features features = {x, 2, FLY_FEATURE_F32};
    struct scene s;
    int32_t id, chip;
    double d[2], p[2];

    (void)state;
    scene_open(&s, 3, 2);
    chip = 0;
    assert_int_equal(fly_support_add(&s.support, "a", &chip, 1, &id), FLY_OK);
    chip = 1;
    assert_int_equal(fly_support_add(&s.support, "b", &chip, 1, &id), FLY_OK);
    s.measured[1] = 0;
    fly_prototypes_make(&s.prototypes, &s.support, &features, s.measured);
    fly_fewshot_distances(&s.prototypes, &features, 2, d);
    fly_fewshot_scores(d, 2, 1.0, p);
    assert_true(isnan(d[1]) && p[1] == 0.0);
    assert_int_equal(fly_fewshot_label(p, 2), 0);
    s.measured[1] = 1;
    fly_prototypes_make(&s.prototypes, &s.support, &features, s.measured);
    fly_fewshot_distances(&s.prototypes, &features, 2, d);
    fly_fewshot_scores(d, 2, 1.0, p);
    assert_int_equal(fly_fewshot_label(p, 2), 1);
    s.measured[0] = s.measured[1] = 0;
    fly_prototypes_make(&s.prototypes, &s.support, &features, s.measured);
    fly_fewshot_distances(&s.prototypes, &features, 2, d);
    fly_fewshot_scores(d, 2, 1.0, p);
    assert_int_equal(fly_fewshot_label(p, 2), FLY_LABEL_TOO_LITTLE);
    fly_arena_fini(&s.arena);
}

static void fast_distances_match_the_plain_twin(void **state)
{
    static const int32_t widths[] = {1, 2, 7, 8, 9, 15, 16, 17, 63, 512, 1001};
    struct fly_rng rng = {7};

    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        int32_t width = widths[w], chips = 20;
        float *f = malloc((size_t)(chips * width) * sizeof *f);
        uint32_t *u = malloc((size_t)(chips * width) * sizeof *u);
        double *g = malloc((size_t)(chips * width) * sizeof *g);
        struct fly_features features[3] = {
            {f, width, FLY_FEATURE_F32}, {u, width, FLY_FEATURE_U32}, {g, width, FLY_FEATURE_F64}};

        for (int32_t i = 0; i < chips * width; i++) {
            f[i] = (float)(fly_rng_normal(&rng) * pow(10.0, (double)fly_rng_below(&rng, 9) - 4.0));
            u[i] = (uint32_t)(fly_rng_next(&rng) >> (32 + fly_rng_below(&rng, 32)));
            g[i] = fly_rng_normal(&rng) * 1e3;
        }
        for (int t = 0; t < 3; t++) {
            struct scene s;

            scene_open(&s, chips, width);
            for (int32_t k = 0; k < 12; k++) {
                char name[2] = {(char)('a' + k % 5), 0};
                int32_t id;

                assert_int_equal(fly_support_add(&s.support, name, &k, 1, &id), FLY_OK);
            }
            fly_prototypes_make(&s.prototypes, &s.support, &features[t], s.measured);
            for (int32_t k = 0; k < chips; k++) {
                double fast[FLY_CLASSES_MAX], plain[FLY_CLASSES_MAX];

                fly_fewshot_distances(&s.prototypes, &features[t], k, fast);
                fly_fewshot_distances_ref(&s.prototypes, &features[t], k, plain);
                for (int c = 0; c < 5; c++)
                    assert_true(fabs(fast[c] - plain[c]) <= 1e-13 * plain[c]);
            }
            fly_arena_fini(&s.arena);
        }
        free(f);
        free(u);
        free(g);
    }
}

/* Chips come, change and go, classes gain and lose them, another feature is looked at: distances kept and taken up
 * where prototypes moved are those of prototypes never seen before. */
static void distances_to_what_moved_complete_those_that_stand(void **state)
{
    enum { CHIPS = 40, WIDTH = 11, NAMES = 7 };
    float f[CHIPS * WIDTH];
    double g[CHIPS * WIDTH], kept[CHIPS][FLY_CLASSES_MAX];
    const struct fly_features kinds[2] = {{f, WIDTH, FLY_FEATURE_F32}, {g, WIDTH - 3, FLY_FEATURE_F64}};
    struct fly_rng rng = {41};
    struct scene s, anew;
    int stood = 0, moved = 0, was = -1;

    (void)state;
    scene_open(&s, CHIPS, WIDTH);
    for (int32_t i = 0; i < CHIPS * WIDTH; i++) {
        f[i] = (float)fly_rng_normal(&rng);
        g[i] = fly_rng_normal(&rng);
    }
    for (int round = 0; round < 400; round++) {
        int kind = round / 50 % 2;
        int32_t chip = (int32_t)fly_rng_below(&rng, CHIPS), revised = (int32_t)fly_rng_below(&rng, CHIPS), id;
        char name[2] = {(char)('a' + fly_rng_below(&rng, NAMES)), 0};

        if (fly_rng_below(&rng, 3) == 0)
            (void)!fly_support_remove(&s.support, &chip, 1);
        else if (fly_rng_below(&rng, 2))
            (void)!fly_support_add(&s.support, name, &chip, 1, &id);
        if (round % 20 == 0)
            (void)!fly_support_drop(&s.support, name); /* its name comes again with another id */
        s.measured[chip] = (uint8_t)(fly_rng_below(&rng, 4) > 0);
        f[revised * WIDTH] += 1.0f;
        g[revised * (WIDTH - 3)] += 1.0;
        scene_open(&anew, CHIPS, WIDTH);
        fly_prototypes_make(&s.prototypes, &s.support, &kinds[kind], s.measured);
        fly_prototypes_make(&anew.prototypes, &s.support, &kinds[kind], s.measured);
        assert_int_equal(s.prototypes.n_counting, anew.prototypes.n_counting);
        for (int32_t c = 0; was == kind && c < s.support.n_classes; c++) {
            stood += !s.prototypes.moved[c];
            moved += s.prototypes.moved[c];
        }
        for (int32_t k = 0; k < CHIPS; k++) {
            double d[FLY_CLASSES_MAX];

            if (k == revised)
                fly_fewshot_distances(&s.prototypes, &kinds[kind], k, kept[k]);
            else
                fly_fewshot_distances_moved(&s.prototypes, &kinds[kind], k, kept[k]);
            fly_fewshot_distances(&anew.prototypes, &kinds[kind], k, d);
            assert_memory_equal(kept[k], d, (size_t)s.support.n_classes * sizeof *d);
        }
        was = kind;
        fly_arena_fini(&anew.arena);
    }
    assert_true(stood > 4 * moved && moved > 100);
    fly_arena_fini(&s.arena);
}

static void a_chip_supports_one_class_and_a_refusal_changes_nothing(void **state)
{
    const int32_t first[] = {1, 2}, second[] = {3, 2}, outside[] = {4, 10};
    struct scene s;
    int32_t id = -7;

    (void)state;
    scene_open(&s, 10, 1);
    assert_int_equal(fly_support_add(&s.support, "a", first, 2, &id), FLY_OK);
    assert_int_equal(fly_support_add(&s.support, "b", second, 2, &id), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "chip 2 already supports class 'a'"));
    assert_int_equal(fly_support_find(&s.support, "b"), -1);
    assert_int_equal(s.support.class_of[3], -1);
    assert_int_equal(fly_support_add(&s.support, "b", outside, 2, &id), FLY_ERANGE);
    assert_int_equal(fly_support_add(&s.support, "", first, 2, &id), FLY_ERANGE);
    assert_int_equal(fly_support_remove(&s.support, second, 2), FLY_ERANGE);
    assert_int_equal(s.support.class_of[2], 0);
    assert_int_equal(s.support.classes[0].chips, 2);
    fly_arena_fini(&s.arena);
}

static void ids_count_up_and_are_never_used_again(void **state)
{
    struct scene s;
    int32_t id = -1;

    (void)state;
    scene_open(&s, 64, 1);
    for (int32_t c = 0; c < FLY_CLASSES_MAX; c++) {
        char name[16];

        snprintf(name, sizeof name, "c%d", c);
        assert_int_equal(fly_support_add(&s.support, name, &c, 1, &id), FLY_OK);
        assert_int_equal(id, c);
        assert_int_equal(fly_support_drop(&s.support, name), FLY_OK);
        assert_int_equal(s.support.class_of[c], -1);
    }
    assert_int_equal(fly_support_add(&s.support, "one more", NULL, 0, &id), FLY_ERANGE);
    assert_int_equal(fly_support_drop(&s.support, "c3"), FLY_ERANGE);
    fly_arena_fini(&s.arena);
}

static void renaming_keeps_the_id_and_refuses_a_taken_name(void **state)
{
    struct scene s;
    int32_t id = -1;

    (void)state;
    scene_open(&s, 4, 1);
    assert_int_equal(fly_support_add(&s.support, "a", NULL, 0, &id), FLY_OK);
    assert_int_equal(fly_support_add(&s.support, "b", NULL, 0, &id), FLY_OK);
    assert_int_equal(fly_support_rename(&s.support, "a", "b"), FLY_ERANGE);
    assert_int_equal(fly_support_rename(&s.support, "a", "c"), FLY_OK);
    assert_int_equal(fly_support_find(&s.support, "c"), 0);
    assert_int_equal(fly_support_rename(&s.support, "a", "d"), FLY_ERANGE);
    fly_arena_fini(&s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_of_a_tiny_get_the_golden_labels),
        cmocka_unit_test(spectra_of_a_tiny_get_the_golden_labels),
        cmocka_unit_test(ensembles_of_golden_scores_are_golden),
        cmocka_unit_test(a_tie_goes_to_the_lowest_class),
        cmocka_unit_test(far_chips_saturate_without_nan),
        cmocka_unit_test(a_class_counts_once_one_of_its_chips_is_measured),
        cmocka_unit_test(fast_distances_match_the_plain_twin),
        cmocka_unit_test(distances_to_what_moved_complete_those_that_stand),
        cmocka_unit_test(a_chip_supports_one_class_and_a_refusal_changes_nothing),
        cmocka_unit_test(ids_count_up_and_are_never_used_again),
        cmocka_unit_test(renaming_keeps_the_id_and_refuses_a_taken_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
