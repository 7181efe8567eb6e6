#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/rng.h"
#include "engine/queue.h"

enum { CHIPS = 23 };

struct rig {
    struct fly_arena arena;
    struct fly_queue queue;
};

static void rig_init(struct rig *rig)
{
    struct fly_alloc alloc = fly_alloc_system();

    assert_int_equal(fly_arena_init(&rig->arena, fly_queue_need(CHIPS), &alloc, "test"), FLY_OK);
    fly_queue_init(&rig->queue, CHIPS, &rig->arena);
    assert_int_equal(rig->arena.used, rig->arena.cap);
}

static void chips_leave_in_the_order_they_came(void **state)
{
    struct rig rig;
    int32_t got[CHIPS];

    (void)state;
    rig_init(&rig);
    fly_queue_push(&rig.queue, FLY_QUEUE_FIRST, 7);
    fly_queue_push(&rig.queue, FLY_QUEUE_AGAIN, 3);
    fly_queue_push(&rig.queue, FLY_QUEUE_FIRST, 0);
    fly_queue_push(&rig.queue, FLY_QUEUE_FIRST, 22);
    fly_queue_push(&rig.queue, FLY_QUEUE_FIRST, 7); /* keeps its place */
    fly_queue_push(&rig.queue, FLY_QUEUE_AGAIN, 0); /* and its level */
    assert_int_equal(rig.queue.len[FLY_QUEUE_FIRST], 3);
    assert_int_equal(rig.queue.len[FLY_QUEUE_AGAIN], 1);
    assert_int_equal(fly_queue_pop(&rig.queue, FLY_QUEUE_FIRST, got, 2), 2);
    assert_int_equal(got[0], 7);
    assert_int_equal(got[1], 0);
    assert_int_equal(fly_queue_pop(&rig.queue, FLY_QUEUE_FIRST, got, CHIPS), 1);
    assert_int_equal(got[0], 22);
    assert_int_equal(fly_queue_pop(&rig.queue, FLY_QUEUE_FIRST, got, CHIPS), 0);
    fly_arena_fini(&rig.arena);
}

/* The plain twin: an array for each level, searched and shifted. */
struct plain {
    int32_t chips[FLY_QUEUE_LEVELS][CHIPS];
    int32_t len[FLY_QUEUE_LEVELS];
};

static int plain_remove(struct plain *plain, int32_t chip)
{
    for (int level = 0; level < FLY_QUEUE_LEVELS; level++)
        for (int32_t i = 0; i < plain->len[level]; i++)
            if (plain->chips[level][i] == chip) {
                memmove(&plain->chips[level][i], &plain->chips[level][i + 1],
                        (size_t)(plain->len[level] - i - 1) * sizeof(int32_t));
                plain->len[level]--;
                return level;
            }
    return FLY_QUEUE_NONE;
}

static void any_pushes_pops_and_removals_equal_plain_arrays(void **state)
{
    struct plain plain = {.len = {0}};
    struct fly_rng rng = {4};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (int turn = 0; turn < 20000; turn++) {
        enum fly_queue_level level = (enum fly_queue_level)fly_rng_below(&rng, FLY_QUEUE_LEVELS);
        int32_t chip = (int32_t)fly_rng_below(&rng, CHIPS), got[CHIPS], n;

        switch (fly_rng_below(&rng, 8)) {
        case 0:
            n = fly_queue_pop(&rig.queue, level, got, (int32_t)fly_rng_below(&rng, 6));
            for (int32_t i = 0; i < n; i++) {
                assert_int_equal(got[i], plain.chips[level][0]);
                assert_int_equal(plain_remove(&plain, got[i]), level);
            }
            break;
        case 1:
        case 2:
            fly_queue_remove(&rig.queue, chip);
            plain_remove(&plain, chip);
            break;
        default:
            if (rig.queue.level[chip] == FLY_QUEUE_NONE)
                plain.chips[level][plain.len[level]++] = chip;
            fly_queue_push(&rig.queue, level, chip);
        }
        for (int l = 0; l < FLY_QUEUE_LEVELS; l++)
            assert_int_equal(rig.queue.len[l], plain.len[l]);
    }
    fly_arena_fini(&rig.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_leave_in_the_order_they_came),
        cmocka_unit_test(any_pushes_pops_and_removals_equal_plain_arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
