#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/map/flicker.h"
#include "tests/unit/engine/map/map_rig.h"

enum { N = 30, MOST = 6 };

/* The fewest changes over all ways to name the clusters 0 .. count-1 of `now` with ids of `before` or new ones. */
static int32_t fewest(const int32_t *before, const int32_t *now, const uint8_t *revised, int32_t cluster, int32_t taken)
{
    int32_t best = N + 1;

    if (cluster == MOST)
        return 0;
    for (int32_t id = 0; id <= MOST; id++) { /* MOST: a new one */
        int32_t changes = 0, rest;

        if (id < MOST && taken >> id & 1)
            continue;
        for (int32_t i = 0; i < N; i++)
            changes += now[i] == cluster && before[i] >= 0 && !(revised && revised[i]) && before[i] != id;
        rest = fewest(before, now, revised, cluster + 1, id < MOST ? taken | 1 << id : taken);
        if (changes + rest < best)
            best = changes + rest;
    }
    return best;
}

static void avoidable_is_what_another_naming_would_spare(void **state)
{
    struct fly_rng rng = {8};
    static struct rig rig;
    long avoidable = 0;

    (void)state;
    rig_open(&rig, N, 1);
    for (int turn = 0; turn < 60; turn++) {
        int32_t before[N], now[N], chips = 0, changed = 0;
        uint8_t revised[N];
        struct fly_flicker flicker;

        for (int32_t i = 0; i < N; i++) {
            before[i] = (int32_t)fly_rng_below(&rng, MOST + 2) - 2;
            now[i] = turn % 2 ? (int32_t)fly_rng_below(&rng, MOST + 2) - 2 : before[i] < 0 ? 3 : (before[i] * 5 + 2) % MOST;
            if (fly_rng_below(&rng, 5) == 0)
                now[i] = (int32_t)fly_rng_below(&rng, MOST);
            revised[i] = turn % 3 == 0 && fly_rng_below(&rng, 3) == 0;
            if (before[i] < 0 || now[i] < 0 || revised[i])
                continue;
            chips++;
            changed += now[i] != before[i];
        }
        flicker = fly_flicker(before, now, turn % 3 ? NULL : revised, N, &rig.scratch);
        assert_int_equal(flicker.chips, chips);
        assert_int_equal(flicker.changed, changed);
        assert_int_equal(flicker.avoidable, changed - fewest(before, now, turn % 3 ? NULL : revised, 0, 0));
        avoidable += flicker.avoidable;
    }
    assert_true(avoidable > 100);
    rig_close(&rig);
}

static void nothing_flickers_where_there_is_nothing(void **state)
{
    static struct rig rig;
    const int32_t none[2] = {-1, -3}, some[2] = {0, 1};
    struct fly_flicker flicker;

    (void)state;
    rig_open(&rig, 2, 1);
    flicker = fly_flicker(none, some, NULL, 2, &rig.scratch);
    assert_true(flicker.chips == 0 && flicker.changed == 0 && flicker.avoidable == 0);
    flicker = fly_flicker(NULL, NULL, NULL, 0, &rig.scratch);
    assert_true(flicker.chips == 0 && flicker.avoidable == 0);
    rig_close(&rig);
}

static void a_reversal_is_there_and_back(void **state)
{
    const int32_t a[] = {0, 0, 0, 0, -1, 0, 1}, b[] = {1, 0, 1, 1, 1, 1, 0}, c[] = {0, 0, 2, 1, 0, 2, 0},
                  d[] = {0, 0, 3, 0, 1, 0, 1};
    const int32_t *const maps[] = {a, b, c, d};
    int32_t chips;

    (void)state;
    assert_int_equal(fly_reversals(maps, 3, 7, &chips), 1); /* the first; the fifth was not in the first map */
    assert_int_equal(chips, 6);
    assert_int_equal(fly_reversals(maps, FLY_REVERSAL_MAPS, 7, &chips), 3);
    assert_int_equal(chips, 6);
    assert_int_equal(fly_reversals(maps + 1, 3, 7, &chips), 1); /* the fifth, b c d: 1 0 1 */
    assert_int_equal(chips, 7);
    assert_int_equal(fly_reversals(maps, 3, 0, &chips), 0);
}

static void a_final_id_is_had_from_there_on(void **state)
{
    const int32_t a[] = {0, -1, 1, 0, 0}, b[] = {0, 2, 0, -4, 1}, c[] = {0, 2, 0, 0, -1};
    const int32_t *const maps[] = {a, b, c};
    int32_t chips;

    (void)state;
    assert_int_equal(fly_kept_final(maps, 3, 5, &chips), 3);
    assert_int_equal(chips, 4);
    assert_int_equal(fly_kept_final(maps + 1, 2, 5, &chips), 4);
    assert_int_equal(fly_kept_final(maps + 2, 1, 5, &chips), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avoidable_is_what_another_naming_would_spare),
        cmocka_unit_test(nothing_flickers_where_there_is_nothing),
        cmocka_unit_test(a_reversal_is_there_and_back),
        cmocka_unit_test(a_final_id_is_had_from_there_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
