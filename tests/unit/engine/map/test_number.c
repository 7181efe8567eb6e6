#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/map/number.h"
#include "engine/base/rng.h"

static struct fly_arena open_numbers(struct fly_numbers *numbers, int32_t cap)
{
    struct fly_arena arena;

    assert_int_equal(fly_arena_init(&arena, fly_numbers_need(cap), NULL, "numbers"), FLY_OK);
    fly_numbers_init(numbers, cap, &arena);
    return arena;
}

/* golden/edge `canon` */
static void numbers_are_by_first_appearance(void **state)
{
    const int32_t labels[] = {5, 5, 2, 9, 2}, canon[] = {0, 0, 1, 2, 1};
    const int32_t more[] = {-1, INT32_MAX, -3, 0, INT32_MAX}, told[] = {-1, 0, -3, 1, 0};
    struct fly_numbers numbers;
    struct fly_arena arena = open_numbers(&numbers, 5);
    int32_t out[5];

    (void)state;
    assert_int_equal(fly_number_labels(&numbers, labels, 5, out), 3);
    assert_memory_equal(out, canon, sizeof canon);
    assert_int_equal(fly_number_labels(&numbers, more, 5, out), 2);
    assert_memory_equal(out, told, sizeof told);
    fly_arena_fini(&arena);
}

static void a_key_keeps_its_number_and_there_is_room_for_so_many(void **state)
{
    enum { CAP = 1000 };
    struct fly_numbers numbers;
    struct fly_arena arena = open_numbers(&numbers, CAP);

    (void)state;
    for (int32_t k = 0; k < CAP; k++)
        assert_int_equal(fly_number(&numbers, fly_rng_at((uint64_t)k)), k);
    assert_int_equal(fly_number(&numbers, fly_rng_at(CAP)), -1);
    assert_int_equal(fly_number_find(&numbers, fly_rng_at(CAP)), -1);
    for (int32_t k = CAP - 1; k >= 0; k--) {
        assert_int_equal(fly_number(&numbers, fly_rng_at((uint64_t)k)), k);
        assert_int_equal(fly_number_find(&numbers, fly_rng_at((uint64_t)k)), k);
    }
    fly_numbers_clear(&numbers);
    assert_int_equal(fly_number_find(&numbers, fly_rng_at(0)), -1);
    assert_int_equal(fly_number(&numbers, fly_rng_at(CAP)), 0);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_by_first_appearance),
        cmocka_unit_test(a_key_keeps_its_number_and_there_is_room_for_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
