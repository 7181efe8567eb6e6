#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/agreement.h"
#include "engine/base/rng.h"

/* The one thing wanted of edge.json here: a list or a number behind a path of keys. The file is flat
 * and ours, so a search for the quoted keys one after the other finds it. */
static char *edge_text(void)
{
    FILE *file = fopen(FLY_TEST_DIR "/golden/edge/edge.json", "rb");
    char *text = calloc(1, 1 << 16);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 1000);
    fclose(file);
    return text;
}

static const char *find(const char *text, const char *key)
{
    char quoted[64];

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);

    assert_non_null(at);
    return at + strlen(quoted);
}

static int32_t read_list(const char *at, int32_t *out, int32_t cap)
{
    int32_t n = 0;
    char *end;

    at = strchr(at, '[') + 1;
    while (*at != ']') {
        assert_true(n < cap);
        out[n++] = (int32_t)strtol(at, &end, 10);
        assert_true(end > at);
        at = end + strspn(end, ", \n");
    }
    return n;
}

static void golden_edge_cases_agree_to_1e_10(void **state)
{
    static const char *const names[] = {"const_const", "const_split", "equal",  "singletons",
                                        "single_vs_const", "one",     "random", "noisy"};
    char *text = edge_text();
    int32_t a[512], b[512];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = find(find(text, "ami"), names[i]);
        int32_t n = read_list(find(at, "a"), a, 512);

        assert_int_equal(read_list(find(at, "b"), b, 512), n);
        assert_true(fabs(fly_ami(a, b, n) - strtod(find(at, "ami"), NULL)) <= 1e-10);
        assert_true(fabs(fly_ari(a, b, n) - strtod(find(at, "ari"), NULL)) <= 1e-10);
    }
    free(text);
}

static void canon_numbers_by_first_appearance(void **state)
{
    char *text = edge_text();
    int32_t in[64], out[64], got[64];
    const char *at = find(text, "canon");
    int32_t n = read_list(find(at, "a"), in, 64), parts = 0;
    struct fly_arena arena;

    assert_int_equal(read_list(find(at, "out"), out, 64), n);
    assert_int_equal(fly_arena_init(&arena, fly_canon_need(n), NULL, "test"), FLY_OK);
    for (int32_t i = 0; i < n; i++)
        parts = out[i] + 1 > parts ? out[i] + 1 : parts;
    assert_int_equal(fly_canon(got, in, n, &arena), parts);
    assert_memory_equal(got, out, (size_t)n * sizeof *out);
    assert_int_equal(fly_arena_mark(&arena), 0);
    /* In place, and negative labels are labels. */
    int32_t wild[5] = {-1, INT32_MAX, -1, INT32_MIN, 0}, tame[5] = {0, 1, 0, 2, 3};

    fly_arena_fini(&arena);
    assert_int_equal(fly_arena_init(&arena, fly_canon_need(5), NULL, "test"), FLY_OK);
    assert_int_equal(fly_canon(wild, wild, 5, &arena), 4);
    assert_memory_equal(wild, tame, sizeof tame);
    fly_arena_fini(&arena);
    free(text);
}

/* The definition itself: every pair of things is looked at. */
static void ari_equals_the_count_over_all_pairs(void **state)
{
    struct fly_rng rng = {7};
    int32_t a[60], b[60];

    for (int round = 0; round < 50; round++) {
        int32_t n = 2 + (int32_t)fly_rng_below(&rng, 58);
        double tp = 0, fp = 0, fn = 0, tn = 0;

        for (int32_t i = 0; i < n; i++) {
            a[i] = (int32_t)fly_rng_below(&rng, 1 + (uint64_t)round % 7) - 3;
            b[i] = fly_rng_below(&rng, 3) ? a[i] * 17 : (int32_t)fly_rng_below(&rng, 4);
        }
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = 0; j < i; j++) {
                int in_a = a[i] == a[j], in_b = b[i] == b[j];

                tp += in_a && in_b, fp += !in_a && in_b, fn += in_a && !in_b, tn += !in_a && !in_b;
            }
        double below = (tp + fn) * (fn + tn) + (tp + fp) * (fp + tn);
        double want = fp == 0 && fn == 0 ? 1.0 : 2.0 * (tp * tn - fn * fp) / below;

        assert_true(fabs(fly_ari(a, b, n) - want) < 1e-12);
    }
}

static void ami_is_near_zero_between_strangers_and_one_after_renaming(void **state)
{
    enum { N = 5000 };
    static int32_t a[N], b[N];
    struct fly_rng rng = {11};
    double sum = 0.0;

    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < N; i++) {
            a[i] = (int32_t)fly_rng_below(&rng, 6);
            b[i] = (int32_t)fly_rng_below(&rng, 9);
        }
        double value = fly_ami(a, b, N);

        assert_true(fabs(value) < 0.005);
        sum += value;
        for (int i = 0; i < N; i++)
            b[i] = 1000 - 7 * a[i];
        assert_true(fly_ami(a, b, N) == 1.0 && fly_ari(a, b, N) == 1.0);
    }
    assert_true(fabs(sum / 10) < 0.001); /* chance is taken off: no bias, unlike plain information */
}

static void agreement_is_symmetric(void **state)
{
    enum { N = 400 };
    int32_t a[N], b[N];
    struct fly_rng rng = {3};

    for (int i = 0; i < N; i++) {
        a[i] = (int32_t)fly_rng_below(&rng, 4);
        b[i] = fly_rng_below(&rng, 2) ? a[i] : (int32_t)fly_rng_below(&rng, 30);
    }
    assert_true(fabs(fly_ami(a, b, N) - fly_ami(b, a, N)) < 1e-12);
    assert_true(fly_ari(a, b, N) == fly_ari(b, a, N));
    assert_true(fly_ami(a, b, N) < 1.0 && fly_ami(a, b, N) > 0.1);
}

static void nothing_at_all_agrees_with_itself(void **state)
{
    int32_t none = 0;

    assert_true(fly_ami(&none, &none, 0) == 1.0);
    assert_true(fly_ari(&none, &none, 0) == 1.0);
    assert_true(isnan(fly_ami(&none, &none, -1)));
}

/* The reserve that `need` tells is enough, and no more is taken, for the worst shapes. */
static void the_reserve_told_suffices(void **state)
{
    enum { N = 3000 };
    static int32_t a[N], b[N];
    struct fly_arena arena;
    struct fly_contingency table;
    int32_t filled = 0;

    for (int32_t part = 0; filled < N; part++) /* sizes 1, 2, 3, ...: the most distinct ones */
        for (int32_t i = 0; i <= part && filled < N; i++)
            a[filled++] = part;
    for (int32_t i = 0; i < N; i++)
        b[i] = i / 2;
    assert_int_equal(fly_arena_init(&arena, fly_size_add(fly_contingency_need(N), fly_agreement_need(N)),
                                    NULL, "test"), FLY_OK);
    fly_contingency_fill(&table, a, b, N, &arena);
    assert_int_equal(table.n_b, N / 2);
    assert_true(fly_contingency_ami(&table, &arena) < 1.0);
    assert_true(arena.peak <= arena.cap);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_edge_cases_agree_to_1e_10),
        cmocka_unit_test(canon_numbers_by_first_appearance),
        cmocka_unit_test(ari_equals_the_count_over_all_pairs),
        cmocka_unit_test(ami_is_near_zero_between_strangers_and_one_after_renaming),
        cmocka_unit_test(agreement_is_symmetric),
        cmocka_unit_test(nothing_at_all_agrees_with_itself),
        cmocka_unit_test(the_reserve_told_suffices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
