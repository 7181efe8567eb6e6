#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "tests/support/pool_exec.h"
#include "tests/unit/engine/tree/ward_rig.h"
#include "engine/tree/ward_state.h"

enum { WIDTH_MAX = 400 };

/* Points come, change and go at random, some of them equal to the bit; after every update the tree is the twin's. */
static void sequence(uint64_t seed, int32_t n, int32_t width, int pairs, int32_t updates, double noise)
{
    struct fly_rng rng = {seed};
    struct ward_rig r;

    ward_rig_open(&r, n, width, pairs);
    for (int32_t u = 0; u < updates; u++) {
        int32_t changes = 1 + (int32_t)fly_rng_below(&rng, u % 3 ? 3 : (uint64_t)n / 2 + 1);

        for (int32_t c = 0; c < changes; c++) {
            int32_t point = (int32_t)fly_rng_below(&rng, (uint64_t)n);
            double x[WIDTH_MAX];

            if (fly_rng_below(&rng, 5) == 0) {
                ward_rig_drop(&r, point);
                continue;
            }
            ward_rig_draw(&rng, x, width, (int)fly_rng_below(&rng, 5), 1.0, noise);
            if (fly_rng_below(&rng, 4) == 0) /* the same as another that is there, or was */
                memcpy(x, r.x + fly_rng_below(&rng, (uint64_t)n) * (size_t)width, (size_t)width * sizeof *x);
            ward_rig_put(&r, point, x);
        }
        ward_rig_update(&r);
        assert_false(fly_ward_stale(&r.ward));
        assert_as_ref(&r);
    }
    assert_as_rebuilt(&r);
    assert_as_ref(&r);
    ward_rig_close(&r);
}

static void any_sequence_gives_the_batch_tree(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        static const int32_t widths[] = {1, 2, 3, 8, 12, 33};
        int32_t n = 1 + (int32_t)(fly_rng_at(seed) % 40);

        sequence(seed, n, widths[seed % 6], 0, 6, seed % 2 ? 0.3 : 2.0);
    }
}

static void a_sequence_of_long_vectors_gives_the_batch_tree(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        sequence(seed, 20 + (int32_t)(seed % 30), seed % 2 ? 70 : 300, (int)(seed % 3 == 0), 5, seed % 2 ? 0.3 : 3.0);
}

/* All pairs serve where points differ in all directions alike, and give the same tree as short vectors do. */
static void all_pairs_serve_in_noise(void **state)
{
    enum { N = 220, D = 300 };
    struct fly_rng rng = {3};
    struct ward_rig pairs, brief;
    struct pool_exec pool = {.width = 2};

    (void)state;
    ward_rig_open(&pairs, N, D, 1);
    ward_rig_open(&brief, N, D, 0);
    pairs.exec = pool_exec(&pool);
    for (int32_t i = 0; i < N; i++) {
        double x[D];

        ward_rig_draw(&rng, x, D, i % 3, 0.2, 1.0);
        ward_rig_put(&pairs, i, x);
        ward_rig_put(&brief, i, x);
    }
    ward_rig_update(&pairs);
    ward_rig_update(&brief);
    assert_true(pairs.ward.work.products == N * (N - 1) / 2);
    assert_true(brief.ward.work.products == 0);
    assert_true(pairs.ward.work.distances < brief.ward.work.distances / 10);
    assert_memory_equal(pairs.ward.merge, brief.ward.merge, (N - 1) * sizeof *brief.ward.merge);
    assert_as_ref(&pairs);
    for (int32_t turn = 0; turn < 6; turn++) {
        for (int32_t c = 0; c < 1 + 8 * turn; c++) {
            int32_t i = (int32_t)fly_rng_below(&rng, N);
            double x[D];

            ward_rig_draw(&rng, x, D, i % 3, 0.2, 1.0);
            ward_rig_put(&pairs, i, x);
            ward_rig_put(&brief, i, x);
        }
        ward_rig_update(&pairs);
        ward_rig_update(&brief);
        assert_memory_equal(pairs.ward.merge, brief.ward.merge, (N - 1) * sizeof *brief.ward.merge);
    }
    assert_as_ref(&pairs);
    ward_rig_close(&pairs);
    ward_rig_close(&brief);
}

static void plain_passes_give_the_same_tree(void **state)
{
    enum { N = 300, D = 100 };
    struct fly_rng rng = {4};
    struct ward_rig wide, plain;

    (void)state;
    ward_rig_open(&wide, N, D, 0);
    ward_rig_open(&plain, N, D, 0);
    for (int32_t i = 0; i < N; i++) {
        double x[D];

        ward_rig_draw(&rng, x, D, i % 7, 1.0, 0.4);
        ward_rig_put(&wide, i, x);
        ward_rig_put(&plain, i, x);
        if (i % 30 != 29)
            continue;
        ward_rig_update(&wide);
        fly_ward_wide_forbid(1);
        ward_rig_update(&plain);
        fly_ward_wide_forbid(0);
        assert_memory_equal(wide.ward.merge, plain.ward.merge, (size_t)i * sizeof *wide.ward.merge);
    }
    assert_true(wide.ward.work.kept > 0);
    assert_as_ref(&wide);
    ward_rig_close(&wide);
    ward_rig_close(&plain);
}

/* Better directions are no other tree, then or later. */
static void pondering_changes_nothing_that_is_told(void **state)
{
    enum { N = 400, D = 200 };
    struct fly_rng rng = {9};
    struct ward_rig one, two;
    int32_t pondered = 0;

    (void)state;
    ward_rig_open(&one, N, D, 0);
    ward_rig_open(&two, N, D, 0);
    for (int32_t i = 0; i < N; i++) {
        double x[D];

        ward_rig_draw(&rng, x, D, i / 50, 1.0, 0.5); /* new kinds come all the time */
        ward_rig_put(&one, i, x);
        ward_rig_put(&two, i, x);
        if (i % 10 != 9)
            continue;
        ward_rig_update(&one);
        ward_rig_update(&two);
        if (fly_ward_ponders(&one.ward)) {
            pondered++;
            fly_ward_ponder(&one.ward);
            assert_false(fly_ward_ponders(&one.ward));
        }
        assert_memory_equal(one.ward.merge, two.ward.merge, (size_t)i * sizeof *one.ward.merge);
    }
    assert_true(pondered > 0);
    assert_as_ref(&one);
    ward_rig_close(&one);
    ward_rig_close(&two);
}

/* ---- edges --------------------------------------------------------------------------------------- */

static void few_points_have_a_tree(void **state)
{
    double at[3][2] = {{0.0, 0.0}, {3.0, 4.0}, {0.0, 0.5}};
    int32_t label[3];
    float sure[3];
    struct ward_rig r;

    (void)state;
    ward_rig_open(&r, 3, 2, 0);
    ward_rig_update(&r);
    assert_int_equal(r.ward.count, 0);
    assert_int_equal(fly_ward_cut(&r.ward, 2, label), 0);
    fly_ward_confidence(&r.ward, sure);
    assert_true(label[0] == -1 && label[2] == -1 && isnan(sure[0]));
    ward_rig_put(&r, 1, at[1]);
    ward_rig_update(&r);
    assert_int_equal(r.ward.count, 1);
    assert_int_equal(fly_ward_cut(&r.ward, 4, label), 1);
    fly_ward_confidence(&r.ward, sure);
    assert_true(label[0] == -1 && label[1] == 0 && sure[1] == 1.0f);
    ward_rig_put(&r, 0, at[0]);
    ward_rig_update(&r);
    assert_true(r.ward.merge[0].a == 0 && r.ward.merge[0].b == 1 && r.ward.merge[0].size == 2);
    assert_float_equal(r.ward.merge[0].height, 5.0, 1e-14); /* of single points: their distance */
    assert_int_equal(fly_ward_cut(&r.ward, 2, label), 2);
    assert_int_equal(fly_ward_cut(&r.ward, 1, label), 1);
    ward_rig_put(&r, 2, at[2]);
    ward_rig_update(&r);
    assert_true(r.ward.merge[0].a == 0 && r.ward.merge[0].b == 2);
    assert_true(r.ward.merge[1].a == 3 && r.ward.merge[1].b == 1 && r.ward.merge[1].size == 3);
    /* |A||B| / (|A|+|B|) = 2/3, centroid (0, 0.25) */
    assert_float_equal(r.ward.merge[1].height, sqrt(2.0 * 2.0 / 3.0 * (9.0 + 3.75 * 3.75)), 1e-13);
    ward_rig_drop(&r, 0);
    ward_rig_drop(&r, 1);
    ward_rig_update(&r);
    assert_int_equal(r.ward.count, 1);
    assert_int_equal(fly_ward_cut(&r.ward, 2, label), 1);
    assert_true(label[2] == 0 && label[0] == -1);
    ward_rig_drop(&r, 2);
    ward_rig_update(&r);
    assert_int_equal(r.ward.count, 0);
    ward_rig_close(&r);
}

static void equal_points_merge_first_lowest_first(void **state)
{
    enum { N = 60 };
    double zero[5] = {0.0}, minus[5] = {-0.0, 0.0, -0.0, 0.0, 0.0}, one[5] = {1.0, 1.0, 1.0, 1.0, 1.0};
    struct ward_rig r;
    int32_t label[N];

    (void)state;
    ward_rig_open(&r, N, 5, 0);
    for (int32_t i = 0; i < N; i++)
        ward_rig_put(&r, i, i % 4 == 3 ? one : i % 2 ? minus : zero);
    ward_rig_update(&r);
    assert_int_equal(r.ward.count, N);
    for (int32_t m = 0; m < N - 2; m++)
        assert_true(r.ward.merge[m].height == 0.0);
    assert_true(r.ward.merge[0].a == 0 && r.ward.merge[0].b == 1 && r.ward.merge[1].a == N && r.ward.merge[1].b == 2);
    assert_true(r.ward.merge[2].a == N + 1 && r.ward.merge[2].b == 4);
    assert_true(r.ward.merge[44].a == 3 && r.ward.merge[44].b == 7); /* 45 zeros before them */
    assert_int_equal(fly_ward_cut(&r.ward, 2, label), 2);
    for (int32_t i = 0; i < N; i++)
        assert_int_equal(label[i], i % 4 == 3);
    assert_float_equal(r.ward.merge[N - 2].height, sqrt(2.0 * 45.0 * 15.0 / 60.0 * 5.0), 1e-12);
    /* All the same. */
    for (int32_t i = 0; i < N; i++)
        ward_rig_put(&r, i, one);
    ward_rig_update(&r);
    for (int32_t m = 0; m < N - 1; m++)
        assert_true(r.ward.merge[m].height == 0.0 && r.ward.merge[m].size == m + 2);
    ward_rig_close(&r);
}

static void far_and_near_scales_keep_their_tree(void **state)
{
    static const double scales[] = {1e-160, 1e-30, 1e30, 1e138};
    enum { N = 50, D = 80 };

    (void)state;
    for (size_t t = 0; t < sizeof scales / sizeof *scales; t++)
        for (int pairs = 0; pairs < 2; pairs++) {
            struct fly_rng rng = {t};
            struct ward_rig r, plain;

            ward_rig_open(&r, N, D, pairs);
            ward_rig_open(&plain, N, D, pairs);
            for (int32_t i = 0; i < N; i++) {
                double x[D], y[D];

                ward_rig_draw(&rng, x, D, i % 3, 0.5, 1.0);
                for (int32_t d = 0; d < D; d++)
                    y[d] = ldexp(x[d], (int)lround(log2(scales[t])));
                ward_rig_put(&r, i, y);
                ward_rig_put(&plain, i, x);
                if (i == 2 * N / 3) {
                    ward_rig_update(&r);
                    ward_rig_update(&plain);
                }
            }
            ward_rig_update(&r);
            ward_rig_update(&plain);
            assert_as_ref(&plain);
            for (int32_t m = 0; m < N - 1; m++)
                assert_true(r.ward.merge[m].a == plain.ward.merge[m].a && r.ward.merge[m].b == plain.ward.merge[m].b);
            ward_rig_close(&r);
            ward_rig_close(&plain);
        }
}

/* Points ten thousand to 10^36 times further than all that were there when directions and scale were found. */
static void an_outlier_does_not_blind_the_bounds(void **state)
{
    enum { N = 90, D = 6, FAR = 4 };
    struct fly_rng rng = {12};
    struct ward_rig r;
    double x[D];

    (void)state;
    ward_rig_open(&r, N, D, 0);
    for (int32_t i = 0; i < N - FAR; i++) {
        ward_rig_draw(&rng, x, D, i % 3, 1.0, 0.3);
        ward_rig_put(&r, i, x);
    }
    ward_rig_update(&r);
    for (int32_t i = N - FAR; i < N; i++) {
        ward_rig_draw(&rng, x, D, i, pow(10.0, (const double[]){4.0, 8.0, 20.0, 36.0}[i - N + FAR]), 0.3);
        ward_rig_put(&r, i, x);
        ward_rig_update(&r);
        assert_as_ref(&r);
    }
    ward_rig_close(&r);
}

static void ties_take_the_lowest_first(void **state)
{
    enum { N = 6 };
    struct ward_rig r;

    (void)state;
    ward_rig_open(&r, N, 1, 0);
    for (int32_t i = 0; i < N; i++)
        ward_rig_put(&r, i, &(double){i});
    ward_rig_update(&r);
    for (int32_t m = 0; m < 3; m++)
        assert_true(r.ward.merge[m].a == 2 * m && r.ward.merge[m].b == 2 * m + 1);
    assert_true(r.ward.merge[3].a == N && r.ward.merge[3].b == N + 1);
    ward_rig_close(&r);
}

/* Corners of a simplex are all equally far apart: more than a cluster knows by name are its nearest. */
static void a_crowd_of_equals_is_taken_lowest_first(void **state)
{
    enum { N = 40 };
    struct ward_rig r;

    (void)state;
    for (int pairs = 0; pairs < 2; pairs++) {
        ward_rig_open(&r, N, 2 * FLY_WARD_SHORT, pairs);
        for (int32_t i = 0; i < N; i++) {
            double x[2 * FLY_WARD_SHORT] = {0.0};

            x[i] = 1.0;
            ward_rig_put(&r, i, x);
            if (i < 2 || i % 7)
                continue;
            ward_rig_update(&r); /* the first by bounds of new points, later ones by the old tree */
            assert_true(r.ward.merge[0].a == 0 && r.ward.merge[0].b == 1);
            ward_rig_ref(&r);
            assert_heights(r.ward.merge, r.merge, r.count, 1e-9);
        }
        ward_rig_drop(&r, 0);
        ward_rig_update(&r);
        assert_true(r.ward.merge[0].a == 1 && r.ward.merge[0].b == 2);
        ward_rig_ref(&r);
        assert_heights(r.ward.merge, r.merge, r.count, 1e-9);
        ward_rig_close(&r);
    }
}

/* A second frame: all of a row's points move a little, row after row. */
static void revised_rows_give_the_batch_tree(void **state)
{
    enum { N = 240, ROW = 12, D = 90 };
    struct fly_rng rng = {17};
    struct ward_rig r;
    double x[D], y[D];

    (void)state;
    ward_rig_open(&r, N, D, 0);
    for (int32_t i = 0; i < N; i++) {
        ward_rig_draw(&rng, x, D, i / 37, 1.0, 0.5);
        ward_rig_put(&r, i, x);
    }
    ward_rig_update(&r);
    for (int32_t row = 0; row < N / ROW; row++) {
        for (int32_t i = row * ROW; i < (row + 1) * ROW; i++) {
            ward_rig_draw(&rng, y, D, i / 37, 1.0, 0.5);
            for (int32_t d = 0; d < D; d++)
                x[d] = r.x[i * D + d] + 0.1 * (y[d] - r.x[i * D + d]);
            ward_rig_put(&r, i, x);
        }
        ward_rig_update(&r);
        assert_int_equal(r.ward.work.rebuilds, 1);
        if (row % 4 == 3)
            assert_as_ref(&r);
    }
    assert_as_rebuilt(&r);
    ward_rig_close(&r);
}

/* ---- the contract -------------------------------------------------------------------------------- */

static void what_is_no_number_is_refused_and_changes_nothing(void **state)
{
    float bad_f32[2] = {1.0f, NAN};
    double bad[3][2] = {{NAN, 0.0}, {0.0, -INFINITY}, {1e141, 0.0}}, good[2] = {1.0, 2.0};
    struct ward_rig r;

    (void)state;
    ward_rig_open(&r, 4, 2, 0);
    ward_rig_put(&r, 0, good);
    ward_rig_put(&r, 1, (double[]){2.0, 1.0});
    ward_rig_update(&r);
    for (int t = 0; t < 3; t++)
        for (int32_t at = 1; at < 3; at++)
            assert_int_equal(fly_ward_put_f64(&r.ward, at, bad[t]), FLY_ERANGE);
    assert_int_equal(fly_ward_put_f32(&r.ward, 2, bad_f32), FLY_ERANGE);
    assert_int_equal(fly_ward_put_u32(&r.ward, 2, (uint32_t[]){1, 2}, INFINITY), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "point 2"));
    assert_false(fly_ward_stale(&r.ward));
    assert_as_ref(&r);
    ward_rig_put(&r, 0, good); /* the same again */
    assert_false(fly_ward_stale(&r.ward));
    fly_ward_drop(&r.ward, 3); /* never there */
    assert_false(fly_ward_stale(&r.ward));
    ward_rig_close(&r);
}

static void sizes_out_of_range_are_named(void **state)
{
    struct fly_ward_config no_points = {.width = 3}, wide = {.points = 3, .width = FLY_WARD_WIDTH_MAX + 1};

    (void)state;
    assert_int_equal(fly_ward_check(&no_points), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "0 points"));
    assert_int_equal(fly_ward_check(&wide), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "16385"));
}

static void kinds_of_numbers_are_one(void **state)
{
    enum { N = 30, D = 5 };
    struct fly_rng rng = {8};
    struct ward_rig f64, f32, u32;

    (void)state;
    ward_rig_open(&f64, N, D, 0);
    ward_rig_open(&f32, N, D, 0);
    ward_rig_open(&u32, N, D, 0);
    for (int32_t i = 0; i < N; i++) {
        uint32_t counts[D];
        double rates[D];
        float floats[D];

        for (int32_t d = 0; d < D; d++) {
            counts[d] = (uint32_t)fly_rng_below(&rng, 1000);
            rates[d] = 0.25 * counts[d];
            floats[d] = 0.25f * (float)counts[d];
        }
        ward_rig_put(&f64, i, rates);
        assert_int_equal(fly_ward_put_f32(&f32.ward, i, floats), FLY_OK);
        assert_int_equal(fly_ward_put_u32(&u32.ward, i, counts, 0.25), FLY_OK);
    }
    ward_rig_update(&f64);
    ward_rig_update(&f32);
    ward_rig_update(&u32);
    assert_memory_equal(f64.ward.merge, f32.ward.merge, (N - 1) * sizeof *f64.ward.merge);
    assert_memory_equal(f64.ward.merge, u32.ward.merge, (N - 1) * sizeof *f64.ward.merge);
    ward_rig_close(&f64);
    ward_rig_close(&f32);
    ward_rig_close(&u32);
}

static void heights_bound_the_partition(void **state)
{
    enum { N = 40 };
    struct fly_rng rng = {2};
    struct ward_rig r;

    (void)state;
    ward_rig_open(&r, N, 3, 0);
    for (int32_t i = 0; i < N; i++) {
        double x[3];

        ward_rig_draw(&rng, x, 3, i % 4, 1.0, 0.2);
        ward_rig_put(&r, i, x);
    }
    ward_rig_update(&r);
    assert_true(isinf(fly_ward_height(&r.ward, 1)));
    assert_true(fly_ward_height(&r.ward, 2) == r.ward.merge[N - 2].height);
    assert_true(fly_ward_height(&r.ward, N) == r.ward.merge[0].height);
    assert_true(fly_ward_height(&r.ward, N + 1) == 0.0);
    for (int32_t k = 1; k <= N; k++)
        assert_true(fly_ward_height(&r.ward, k) >= fly_ward_height(&r.ward, k + 1));
    ward_rig_close(&r);
}

/* ---- confidence ---------------------------------------------------------------------------------- */

static void confidence_falls_with_the_way_to_the_body(void **state)
{
    /* Two clusters of four in a line; 8 lies between them, nearer the first. */
    static const double at[9] = {0.0, 0.1, 0.2, 0.3, 10.0, 10.1, 10.2, 10.3, 4.0};
    struct ward_rig r;
    int32_t label[9];
    float sure[9];

    (void)state;
    ward_rig_open(&r, 9, 1, 0);
    for (int32_t i = 0; i < 9; i++)
        ward_rig_put(&r, i, &at[i]);
    ward_rig_update(&r);
    assert_int_equal(fly_ward_cut(&r.ward, 2, label), 2);
    fly_ward_confidence(&r.ward, sure);
    assert_int_equal(label[8], label[0]);
    /* Its way to the body is from 4 to 0.15, its cluster's to the next from 0.92 to 10.15. */
    assert_float_equal(sure[8], (10.15 - 0.92) / (10.15 - 0.92 + 3.85), 1e-6);
    for (int32_t i = 0; i < 8; i++)
        assert_true(sure[i] > 0.95f && sure[i] <= 1.0f);
    assert_true(sure[0] == 1.0f); /* of two pairs that merged, the one with the lowest point */
    assert_true(sure[2] < 1.0f && sure[2] > sure[8]);
    assert_int_equal(fly_ward_cut(&r.ward, 1, label), 1);
    fly_ward_confidence(&r.ward, sure);
    for (int32_t i = 0; i < 9; i++)
        assert_true(sure[i] == 1.0f);
    /* Alone it is a cluster, and the body of it. */
    assert_int_equal(fly_ward_cut(&r.ward, 3, label), 3);
    fly_ward_confidence(&r.ward, sure);
    assert_true(label[8] == 2 && sure[8] == 1.0f);
    ward_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_gives_the_batch_tree),
        cmocka_unit_test(a_sequence_of_long_vectors_gives_the_batch_tree),
        cmocka_unit_test(all_pairs_serve_in_noise),
        cmocka_unit_test(plain_passes_give_the_same_tree),
        cmocka_unit_test(pondering_changes_nothing_that_is_told),
        cmocka_unit_test(few_points_have_a_tree),
        cmocka_unit_test(equal_points_merge_first_lowest_first),
        cmocka_unit_test(far_and_near_scales_keep_their_tree),
        cmocka_unit_test(an_outlier_does_not_blind_the_bounds),
        cmocka_unit_test(ties_take_the_lowest_first),
        cmocka_unit_test(a_crowd_of_equals_is_taken_lowest_first),
        cmocka_unit_test(revised_rows_give_the_batch_tree),
        cmocka_unit_test(what_is_no_number_is_refused_and_changes_nothing),
        cmocka_unit_test(sizes_out_of_range_are_named),
        cmocka_unit_test(kinds_of_numbers_are_one),
        cmocka_unit_test(heights_bound_the_partition),
        cmocka_unit_test(confidence_falls_with_the_way_to_the_body),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
