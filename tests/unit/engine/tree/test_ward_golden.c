#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "engine/base/agreement.h"
#include "engine/tree/chain.h"
#include "tests/support/golden_case.h"
#include "tests/support/own_graph.h"
#include "tests/unit/engine/tree/ward_rig.h"

/* Features of chips in double. */
struct features {
    double *x;
    int32_t n, width;
};

static struct features features_of(const char *folder, const char *name)
{
    struct golden g = golden_open(folder, name);
    struct features f = {.n = (int32_t)g.npy.shape[0], .width = (int32_t)g.npy.shape[1]};

    f.x = malloc((size_t)g.npy.items * sizeof *f.x);
    for (int64_t i = 0; i < g.npy.items; i++)
        f.x[i] = double_of(&g.npy, i);
    golden_close(&g);
    return f;
}

static struct features spectra_of(const char *folder, int32_t n, int32_t channels)
{
    struct golden nnz = golden_open(folder, "spec_nnz");
    struct features f = {.n = n, .width = channels, .x = calloc((size_t)n * (size_t)channels, sizeof *f.x)};

    for (int64_t at = 0; at < nnz.npy.shape[0]; at++)
        f.x[(int64_t)double_of(&nnz.npy, 3 * at) * channels + (int64_t)double_of(&nnz.npy, 3 * at + 1)] =
            double_of(&nnz.npy, 3 * at + 2);
    golden_close(&nnz);
    return f;
}

/* Chips [from, to) put and taken in. */
static void take(struct ward_rig *r, const struct features *f, int32_t from, int32_t to)
{
    for (int32_t i = from; i < to; i++)
        ward_rig_put(r, i, f->x + (size_t)i * (size_t)f->width);
    ward_rig_update(r);
}

static void heights_match(const struct fly_ward_merge *merge, int32_t n, const char *folder, const char *name)
{
    struct golden g = golden_open(folder, name);
    double most = 0.0;

    assert_int_equal(g.npy.items, n - 1);
    for (int32_t m = 0; m < n - 1; m++)
        most = fmax(most, double_of(&g.npy, m));
    for (int32_t m = 0; m < n - 1; m++) {
        double asked = double_of(&g.npy, m);

        if (!(fabs(merge[m].height - asked) <= 1e-6 * asked + 1e-12 * most))
            fail_msg("%s/%s: height %d is %.17g, golden %.17g", folder, name, (int)m, merge[m].height, asked);
    }
    golden_close(&g);
}

/* The golden partition, unless the heights around the cut differ by less than 1e-6. */
static void partition_matches(struct ward_rig *r, const char *folder, const char *name, int32_t k, double ari_least)
{
    struct golden g = golden_open(folder, name);
    int32_t *ours = malloc((size_t)r->n * sizeof *ours), *theirs = malloc((size_t)r->n * sizeof *theirs);
    double low = fly_ward_height(&r->ward, k + 1), high = fly_ward_height(&r->ward, k);

    fly_ward_cut(&r->ward, k, ours);
    for (int32_t i = 0; i < g.npy.items; i++)
        theirs[i] = (int32_t)double_of(&g.npy, i);
    if (!(high - low < 1e-6 * high) && !(fly_ari(ours, theirs, (int32_t)g.npy.items) >= ari_least))
        fail_msg("%s/%s: ARI %.6f", folder, name, fly_ari(ours, theirs, (int32_t)g.npy.items));
    golden_close(&g);
    free(ours);
    free(theirs);
}

/* One modality of a case: the twin, the batch tree and the tree that grew row by row, with prefixes on the way. */
static void compare(const struct features *f, const char *folder, const char *m, int32_t k, int32_t cols)
{
    char heights[64], labels[64], path[1024];
    struct ward_rig r;

    snprintf(heights, sizeof heights, "ward_heights_%s", m);
    snprintf(labels, sizeof labels, "ward_%s", m);
    ward_rig_open(&r, f->n, f->width, 0);
    for (int32_t i = 0; i < f->n; i += cols) {
        char prefix[64];

        take(&r, f, i, i + cols < f->n ? i + cols : f->n);
        snprintf(prefix, sizeof prefix, "prefix%d_ward_%s", (int)(i / cols + 1), m);
        snprintf(path, sizeof path, "%s/%s.npy", folder, prefix);
        if (golden_there(path))
            partition_matches(&r, folder, prefix, k, 1.0);
    }
    heights_match(r.ward.merge, f->n, folder, heights);
    partition_matches(&r, folder, labels, k, 1.0);
    if (f->n <= 150) {
        ward_rig_ref(&r); /* the twin itself is as scipy is */
        heights_match(r.merge, f->n, folder, heights);
    }
    assert_as_rebuilt(&r);
    ward_rig_close(&r);
}

/* Spectra of few photons are equally far apart by the thousand: chain.h has scipy's tree of them. Ours is another one,
 * by other choices among equals. */
static void compare_counts(const struct features *f, const char *folder, int32_t k, int32_t cols)
{
    uint32_t *counts = malloc((size_t)f->n * (size_t)f->width * sizeof *counts);
    int32_t *labels = malloc((size_t)f->n * sizeof *labels), *golden = malloc((size_t)f->n * sizeof *golden);
    struct golden g = golden_open(folder, "ward_spec");
    struct fly_arena arena;
    struct ward_rig r;

    for (int64_t i = 0; i < (int64_t)f->n * f->width; i++)
        counts[i] = (uint32_t)f->x[i];
    ward_rig_open(&r, f->n, f->width, 1);
    assert_int_equal(fly_arena_init(&arena, fly_ward_chain_need(f->n, f->width), NULL, "chain"), FLY_OK);
    fly_ward_chain(counts, f->n, f->width, r.merge, &arena);
    heights_match(r.merge, f->n, folder, "ward_heights_spec");
    fly_ward_chain_cut(r.merge, f->n, k, labels, &arena);
    for (int32_t i = 0; i < f->n; i++)
        golden[i] = (int32_t)double_of(&g.npy, i);
    assert_memory_equal(labels, golden, (size_t)f->n * sizeof *labels);
    for (int32_t i = 0; i < f->n; i += cols)
        take(&r, f, i, i + cols < f->n ? i + cols : f->n);
    fly_ward_cut(&r.ward, k, labels);
    assert_true(fly_ari(labels, golden, f->n) >= 0.9);
    fly_arena_fini(&arena);
    ward_rig_close(&r);
    golden_close(&g);
    free(counts);
    free(labels);
    free(golden);
}

static char *params_of(const char *folder)
{
    char path[1024], *text;
    struct bytes file;

    snprintf(path, sizeof path, "%s/params.json", folder);
    file = bytes_of_file(path);
    text = calloc(1, file.len + 1);
    memcpy(text, file.at, file.len);
    free(file.at);
    return text;
}

static const char *percents(const char *params)
{
    return strstr(params, "\"eds_method\": \"window\"") ? "at_window" : "at_fit";
}

static void compare_case(const char *folder)
{
    char *params = params_of(folder), expected[920];
    int32_t k = (int32_t)golden_number(params, "k"), cols = (int32_t)golden_number(params, "cols");
    struct features emb, at, spec, squeezenet;

    snprintf(expected, sizeof expected, "%s/expected_squeezenet", folder);
    squeezenet = features_of(expected, "emb");
    compare(&squeezenet, expected, "emb", k, cols);
    snprintf(expected, sizeof expected, "%s/expected", folder);
    emb = features_of(expected, "emb");
    at = features_of(expected, percents(params));
    spec = spectra_of(expected, emb.n, (int32_t)golden_number(params, "n_ch"));
    compare(&emb, expected, "emb", k, cols);
    compare(&at, expected, "at", k, cols);
    compare_counts(&spec, expected, k, cols);
    free(squeezenet.x);
    free(emb.x);
    free(at.x);
    free(spec.x);
    free(params);
}

static void golden_tiny_is_reached(void **state)
{
    (void)state;
    compare_case(FLY_TEST_DIR "/golden/a_tiny");
}

static void golden_cases_are_reached(void **state)
{
    static const char *const cases[] = {"a_tiny", "b_pristine01", "c_defective0", "d_defective01", "e_size64_tv",
                                        "f_gmp_coarse"};

    (void)state;
    if (!golden_there(FLY_SHARED_DIR "/golden/a_tiny/params.json"))
        skip();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char folder[900];

        snprintf(folder, sizeof folder, "%s/golden/%s", FLY_SHARED_DIR, cases[c]);
        compare_case(folder);
    }
}

/* Their percents are stored as floats, the golden labels were made of doubles: a chip may go the other way. */
static void golden_samples_of_table_2_are_reached(void **state)
{
    static const char *const cases[] = {"table2_pristine_0", "table2_pristine_0.1", "table2_defective_0",
                                        "table2_defective_0.1"};

    (void)state;
    if (!golden_there(FLY_SHARED_DIR "/golden/table2_pristine_0/params.json"))
        skip();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char folder[900], expected[920];
        char *params;
        struct features at;
        struct ward_rig r;
        int32_t cols;

        snprintf(folder, sizeof folder, "%s/golden/%s", FLY_SHARED_DIR, cases[c]);
        snprintf(expected, sizeof expected, "%s/expected", folder);
        params = params_of(folder);
        cols = (int32_t)golden_number(params, "cols");
        at = features_of(expected, percents(params));
        ward_rig_open(&r, at.n, at.width, 0);
        for (int32_t i = 0; i < at.n; i += cols)
            take(&r, &at, i, i + cols);
        partition_matches(&r, expected, "ward_at", (int32_t)golden_number(params, "k"), 0.98);
        assert_as_rebuilt(&r);
        ward_rig_close(&r);
        free(at.x);
        free(params);
    }
}

static void golden_edges_are_reached(void **state)
{
    static const char *const names[] = {"one_chip", "two_chips", "identical", "zero_vectors", "all_zero",
                                        "ward_ties_grid", "two_blocks_isolated", "huge_values", "tiny_values",
                                        "duplicates", "signed"};

    (void)state;
    for (size_t t = 0; t < sizeof names / sizeof *names; t++) {
        char folder[900], path[1000], name[16];
        struct features f;
        struct bytes json;
        struct ward_rig r;
        int unique;

        snprintf(folder, sizeof folder, "%s/golden/edge/%s", FLY_TEST_DIR, names[t]);
        snprintf(path, sizeof path, "%s/expected.json", folder);
        json = bytes_of_file(path);
        json.at[json.len - 1] = 0; /* the last brace */
        unique = strstr((const char *)json.at, "\"ward_partition_unique\": true") != NULL;
        f = features_of(folder, "x");
        ward_rig_open(&r, f.n, f.width, 0);
        take(&r, &f, 0, f.n);
        heights_match(r.ward.merge, f.n, folder, "ward_heights");
        ward_rig_ref(&r);
        heights_match(r.merge, f.n, folder, "ward_heights");
        for (int32_t k = 1; unique && k <= 3; k++) {
            snprintf(name, sizeof name, "ward_k%d", (int)k);
            snprintf(path, sizeof path, "%s/%s.npy", folder, name);
            if (golden_there(path))
                partition_matches(&r, folder, name, k, 1.0);
        }
        ward_rig_close(&r);
        free(f.x);
        free(json.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tiny_is_reached),
        cmocka_unit_test(golden_cases_are_reached),
        cmocka_unit_test(golden_samples_of_table_2_are_reached),
        cmocka_unit_test(golden_edges_are_reached),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
