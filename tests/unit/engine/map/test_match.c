#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/map/match.h"

/* A table whose cells are set by hand. */
struct table {
    struct fly_arena arena;
    struct fly_overlaps cells;
    struct fly_match match;
    fly_match_weight *weight;
};

static void open_table(struct table *t, int32_t side, int32_t cells)
{
    int32_t cap = side > cells ? side : cells;

    assert_int_equal(fly_arena_init(&t->arena, fly_overlaps_need(cap) + fly_match_need(side) +
                                    fly_arena_need((size_t)cells, sizeof *t->weight), NULL, "table"), FLY_OK);
    fly_overlaps_init(&t->cells, cap, &t->arena);
    fly_match_init(&t->match, side, &t->arena);
    t->weight = fly_arena_take(&t->arena, (size_t)cells, sizeof *t->weight);
}

static void fill(struct table *t, const int64_t *table, int32_t rows, int32_t cols)
{
    int32_t cells = 0;

    t->cells.rows = rows;
    t->cells.cols = cols;
    t->cells.start[0] = 0;
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t c = 0; c < cols; c++)
            if (table[(int64_t)r * cols + c] > 0) {
                t->cells.cell[cells].col = c;
                t->weight[cells++] = table[(int64_t)r * cols + c];
            }
        t->cells.start[r + 1] = cells;
    }
    fly_match_fill(&t->match, &t->cells, t->weight);
}

/* The sum of a matching that is one: rows and columns agree, and only cells that are there are used. */
static int64_t sum_of(const struct table *t, const int64_t *table)
{
    int64_t sum = 0;

    for (int32_t r = 0; r < t->cells.rows; r++) {
        int32_t c = t->match.col_of[r];

        if (c < 0)
            continue;
        assert_int_equal(t->match.row_of[c], r);
        assert_true(table[(int64_t)r * t->cells.cols + c] > 0);
        sum += table[(int64_t)r * t->cells.cols + c];
    }
    for (int32_t c = 0; c < t->cells.cols; c++)
        if (t->match.row_of[c] >= 0)
            assert_int_equal(t->match.col_of[t->match.row_of[c]], c);
    return sum;
}

/* No matching is heavier than the sum of the duals, where y + z >= weight: so equality proves the optimum. */
static void assert_proved(const struct table *t, const int64_t *table)
{
    fly_match_weight duals = 0;

    for (int32_t r = 0; r < t->cells.rows; r++) {
        assert_true(t->match.y[r] >= 0);
        duals += t->match.y[r];
        for (int32_t at = t->cells.start[r]; at < t->cells.start[r + 1]; at++)
            assert_true(t->match.y[r] + t->match.z[t->cells.cell[at].col] >= t->weight[at]);
    }
    for (int32_t c = 0; c < t->cells.cols; c++) {
        assert_true(t->match.z[c] >= 0);
        duals += t->match.z[c];
    }
    assert_true(duals == sum_of(t, table));
}

static void the_sum_is_that_of_the_plain_twin(void **state)
{
    struct fly_rng rng = {1};
    struct table t;
    int64_t table[12 * 9];

    (void)state;
    open_table(&t, 12, 12 * 9);
    for (int turn = 0; turn < 3000; turn++) {
        int32_t rows = (int32_t)fly_rng_below(&rng, 13), cols = (int32_t)fly_rng_below(&rng, 10);
        uint64_t most = turn % 3 == 0 ? 3 : turn % 3 == 1 ? 20 : 1000000, holes = 1 + fly_rng_below(&rng, 4);

        for (int32_t k = 0; k < rows * cols; k++)
            table[k] = fly_rng_below(&rng, holes) ? 0 : (int64_t)fly_rng_below(&rng, most);
        fill(&t, table, rows, cols);
        assert_int_equal(sum_of(&t, table), fly_match_ref(table, rows, cols));
        assert_proved(&t, table);
    }
    fly_arena_fini(&t.arena);
}

/* scipy.optimize.linear_sum_assignment (1.10) on the same numbers, made in Python by splitmix64:
 * fly_rng_at(seed * 10^6 + row * cols + col) % most, every number that is a multiple of 5 made 0. */
static void sums_are_those_of_scipy(void **state)
{
    static const struct {
        int32_t rows, cols;
        uint64_t seed, most;
        int64_t sum;
    } cases[] = {
        {40, 55, 1, 1000, 38964},
        {55, 40, 2, 50, 1930},
        {300, 300, 3, 100000, 29793820},
        {120, 300, 4, 7, 720},
        {1, 9, 5, 100, 99},
    };
    static int64_t table[300 * 300];
    struct table t;

    (void)state;
    open_table(&t, 300, 300 * 300);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int32_t at = 0; at < cases[k].rows * cases[k].cols; at++) {
            table[at] = (int64_t)(fly_rng_at(cases[k].seed * 1000000 + (uint64_t)at) % cases[k].most);
            if (table[at] % 5 == 0)
                table[at] = 0;
        }
        fill(&t, table, cases[k].rows, cases[k].cols);
        assert_int_equal(sum_of(&t, table), cases[k].sum);
        assert_proved(&t, table);
    }
    fly_arena_fini(&t.arena);
}

/* The first row has the heaviest cell and gives it up, or stays alone, where the whole is heavier so. */
static void a_row_gives_way(void **state)
{
    const int64_t one[] = {5, 4, 5, 0}, two[] = {5, 6}, three[] = {3, 4, 0, 0, 5, 4};
    struct table t;

    (void)state;
    open_table(&t, 3, 9);
    fill(&t, one, 2, 2);
    assert_int_equal(t.match.col_of[0], 1);
    assert_int_equal(t.match.col_of[1], 0);
    fill(&t, two, 2, 1);
    assert_int_equal(t.match.col_of[0], -1);
    assert_int_equal(t.match.col_of[1], 0);
    fill(&t, three, 2, 3);
    assert_int_equal(sum_of(&t, three), 8);
    fill(&t, NULL, 0, 3);
    assert_int_equal(t.match.row_of[2], -1);
    fill(&t, NULL, 3, 0);
    assert_int_equal(t.match.col_of[2], -1);
    fly_arena_fini(&t.arena);
}

/* Sums beyond 64 bits: nothing of the last preference is lost. */
static void weights_may_be_wide(void **state)
{
    struct table t;

    (void)state;
    open_table(&t, 2, 4);
    t.cells.rows = t.cells.cols = 2;
    t.cells.start[0] = 0;
    t.cells.start[1] = 2;
    t.cells.start[2] = 4;
    for (int32_t k = 0; k < 4; k++) {
        t.cells.cell[k].col = k % 2;
        t.weight[k] = ((fly_match_weight)1 << 100) + (k == 1);
    }
    fly_match_fill(&t.match, &t.cells, t.weight);
    assert_int_equal(t.match.col_of[0], 1);
    assert_int_equal(t.match.col_of[1], 0);
    fly_arena_fini(&t.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_that_of_the_plain_twin),
        cmocka_unit_test(sums_are_those_of_scipy),
        cmocka_unit_test(a_row_gives_way),
        cmocka_unit_test(weights_may_be_wide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
