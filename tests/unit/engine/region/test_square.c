#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/region/square.h"
#include "tests/unit/engine/region/region_golden.h"

enum { MOST = 40 };

static void find(struct fly_square *squares, int32_t n_labels, const int32_t *labels, int32_t rows, int32_t cols)
{
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, fly_squares_need(cols), NULL, "squares"), FLY_OK);
    fly_squares_find(squares, n_labels, labels, rows, cols, &arena);
    assert_int_equal(fly_arena_mark(&arena), 0);
    fly_arena_fini(&arena);
}

static void assert_square(struct fly_square a, int32_t row, int32_t col, int32_t n)
{
    assert_int_equal(a.row, row);
    assert_int_equal(a.col, col);
    assert_int_equal(a.n, n);
}

static void golden_squares(void **state)
{
    static const char *const names[] = {"none", "full", "tie", "l_shape", "random"};
    char *text = text_of(FLY_TEST_DIR "/golden/edge/edge.json");
    const char *all = behind(text, "largest_square");

    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *one = behind(all, names[k]), *mask = behind(one, "mask");
        double numbers[MOST * MOST], square[3];
        int32_t labels[MOST * MOST], rows = lists_in(mask), count = numbers_of(mask, numbers, MOST * MOST);
        struct fly_square squares[2];

        assert_true(rows > 0 && count % rows == 0);
        for (int32_t i = 0; i < count; i++)
            labels[i] = (int32_t)numbers[i];
        find(squares, 2, labels, rows, count / rows);
        assert_int_equal(numbers_of(behind(one, "square"), square, 3), 3);
        assert_square(squares[1], (int32_t)square[0], (int32_t)square[1], (int32_t)square[2]);
    }
    free(text);
}

/* Acceptance A17, for every label of each map: few labels and many, patches and speckle, negatives, labels beyond. */
static void ten_thousand_maps_as_by_brute_force(void **state)
{
    struct fly_rng rng = {17};
    int64_t largest = 0;

    (void)state;
    for (int map = 0; map < 10000; map++) {
        int32_t rows = 1 + (int32_t)fly_rng_below(&rng, 14), cols = 1 + (int32_t)fly_rng_below(&rng, 14);
        int32_t kinds = 1 + (int32_t)fly_rng_below(&rng, 5), n_labels = 1 + (int32_t)fly_rng_below(&rng, 5);
        int32_t labels[14 * 14];
        struct fly_square squares[5];

        for (int32_t i = 0; i < rows * cols; i++) {
            int follows = fly_rng_below(&rng, 8) != 0;

            if (follows && i >= cols && fly_rng_below(&rng, 2))
                labels[i] = labels[i - cols];
            else if (follows && i % cols)
                labels[i] = labels[i - 1];
            else
                labels[i] = (int32_t)fly_rng_below(&rng, (uint64_t)kinds + 1) - 1;
        }
        find(squares, n_labels, labels, rows, cols);
        for (int32_t label = 0; label < n_labels; label++) {
            struct fly_square plain = fly_square_ref(labels, rows, cols, label);

            assert_square(squares[label], plain.row, plain.col, plain.n);
            largest += plain.n;
        }
    }
    assert_true(largest > 30000); /* or the maps were all speckle */
}

static void chips_and_pixels_of_a_square(void **state)
{
    struct fly_square square = {.row = 2, .col = 5, .n = 3}, none = {0};

    (void)state;
    assert_true(fly_square_has(square, 2, 5) && fly_square_has(square, 4, 7));
    assert_false(fly_square_has(square, 1, 5) || fly_square_has(square, 5, 5) || fly_square_has(square, 2, 8));
    assert_false(fly_square_has(none, 0, 0));
    assert_int_equal(fly_square_px(square, 15, 15), 45);
    assert_int_equal(fly_square_px(square, 16, 8), 32);
    assert_int_equal(fly_square_px(none, 15, 15), 0);
    assert_true(fly_square_same(square, square) && !fly_square_same(square, none));
}

static void squares_of_no_label(void **state)
{
    const int32_t labels[4] = {-1, -4, 7, 7};
    struct fly_square square;

    (void)state;
    find(&square, 1, labels, 2, 2);
    assert_square(square, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_squares),
        cmocka_unit_test(ten_thousand_maps_as_by_brute_force),
        cmocka_unit_test(chips_and_pixels_of_a_square),
        cmocka_unit_test(squares_of_no_label),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
