#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/rng.h"
#include "engine/map/overlap.h"

/* Every cell is what a plain count says, none is missing, none is empty, columns ascend. */
static void cells_are_plain_counts(void **state)
{
    enum { N = 300 };
    struct fly_rng rng = {3};
    struct fly_overlaps o;
    struct fly_arena arena;
    static int32_t row_of[N], col_of[N];
    static uint8_t revised[N];

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_overlaps_need(N), NULL, "overlaps"), FLY_OK);
    fly_overlaps_init(&o, N, &arena);
    assert_int_equal(arena.used, fly_overlaps_need(N));
    for (int turn = 0; turn < 200; turn++) {
        int32_t n = (int32_t)fly_rng_below(&rng, N + 1), rows = (int32_t)fly_rng_below(&rng, 30);
        int32_t cols = (int32_t)fly_rng_below(&rng, 30), cells = 0;

        for (int32_t i = 0; i < n; i++) {
            row_of[i] = (int32_t)fly_rng_below(&rng, (uint64_t)rows + 1) - 1;
            col_of[i] = (int32_t)fly_rng_below(&rng, (uint64_t)cols + 1) - 1;
            revised[i] = fly_rng_below(&rng, 3) == 0;
        }
        fly_overlaps_fill(&o, row_of, rows, col_of, cols, turn % 2 ? revised : NULL, n);
        assert_int_equal(o.rows, rows);
        for (int32_t r = 0; r < rows; r++)
            for (int32_t c = 0; c < cols; c++) {
                int32_t chips = 0, still = 0;

                for (int32_t i = 0; i < n; i++)
                    if (row_of[i] == r && col_of[i] == c) {
                        chips++;
                        still += turn % 2 == 0 || !revised[i];
                    }
                if (chips == 0)
                    continue;
                assert_true(cells >= o.start[r] && cells < o.start[r + 1]);
                assert_int_equal(o.cell[cells].col, c);
                assert_int_equal(o.cell[cells].chips, chips);
                assert_int_equal(o.cell[cells].still, still);
                cells++;
            }
        assert_int_equal(o.start[rows], cells);
    }
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_plain_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
