#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/map/vote.h"
#include "tests/unit/engine/map/map_rig.h"

static struct fly_vote open_vote(struct rig *rig, struct fly_arena *arena, int32_t n, int32_t smallest, int32_t pairs)
{
    struct fly_vote_config config = {.n = n, .smallest = smallest, .pairs = pairs};
    struct fly_vote vote;

    rig_open(rig, n, smallest);
    assert_int_equal(fly_arena_init(arena, fly_vote_need(&config), NULL, "vote"), FLY_OK);
    fly_vote_init(&vote, &config, arena);
    assert_int_equal(arena->used, fly_vote_need(&config));
    return vote;
}

static void assert_labels(const struct fly_vote *vote, const int32_t *labels)
{
    assert_memory_equal(vote->label, labels, (size_t)vote->config.n * sizeof *labels);
}

/* golden/edge `vector_vote`: on one map ids are by first appearance. */
static void one_map_is_as_in_golden(void **state)
{
    const int32_t a[] = {0, 0, 1, 1, 0}, b[] = {1, 0, 1, 1, 1}, out[] = {0, 1, 2, 2, 0};
    static struct rig rig;
    struct fly_arena arena;
    struct fly_vote vote = open_vote(&rig, &arena, 5, 1, 8);

    (void)state;
    fly_vote_step(&vote, a, b, &rig.scratch);
    assert_labels(&vote, out);
    assert_int_equal(vote.count, 3);
    assert_int_equal(vote.pair[1][0], 0);
    assert_int_equal(vote.pair[1][1], 0);
    fly_arena_fini(&arena);
    rig_close(&rig);
}

static void a_pair_keeps_its_id(void **state)
{
    const int32_t a[] = {0, 0, 0, 7, 7, 7}, b[] = {3, 3, 3, 3, 3, 3}, c[] = {5, 5, 5, 5, 5, 5};
    const int32_t first[] = {0, 0, 0, 1, 1, 1}, then[] = {2, 2, 2, 3, 3, 3}, other[] = {4, 4, 4, 4, 4, 4};
    static struct rig rig;
    struct fly_arena arena;
    struct fly_vote vote = open_vote(&rig, &arena, 6, 3, 8);

    (void)state;
    fly_vote_step(&vote, a, b, &rig.scratch);
    assert_labels(&vote, first);
    fly_vote_step(&vote, a, c, &rig.scratch);
    assert_labels(&vote, then);
    fly_vote_step(&vote, b, b, &rig.scratch);
    assert_labels(&vote, other);
    for (int e = 0; e < 20; e++)
        fly_vote_step(&vote, b, c, &rig.scratch);
    fly_vote_step(&vote, a, b, &rig.scratch); /* however long ago */
    assert_labels(&vote, first);
    assert_int_equal(vote.count, 6);
    fly_arena_fini(&arena);
    rig_close(&rig);
}

static void a_chip_that_lacks_a_label_has_none(void **state)
{
    const int32_t a[] = {-1, -3, 0, -4, -2, -4, -4, 0, 0, 0, 1, 0}, b[] = {-3, 0, -1, -2, -3, 0, -4, 0, 0, 0, 1, -7};
    const int32_t out[] = {-1, -3, -1, -2, -3, -4, -4, 0, 0, 0, -4, -7};
    static struct rig rig;
    struct fly_arena arena;
    struct fly_vote vote = open_vote(&rig, &arena, 12, 3, 8);

    (void)state;
    fly_vote_step(&vote, a, b, &rig.scratch);
    assert_labels(&vote, out);
    assert_int_equal(vote.count, 1); /* a pair of one chip takes no id */
    fly_arena_fini(&arena);
    rig_close(&rig);
}

static void a_full_dictionary_is_told_of(void **state)
{
    const int32_t a[] = {0, 1, 2, 2}, b[] = {0, 0, 0, 0}, out[] = {0, 1, -4, -4};
    static struct rig rig;
    struct fly_arena arena;
    struct fly_vote vote = open_vote(&rig, &arena, 4, 1, 2);

    (void)state;
    fly_vote_step(&vote, a, b, &rig.scratch);
    assert_labels(&vote, out);
    assert_int_equal(vote.omitted, 2);
    assert_int_equal(vote.count, 2);
    fly_vote_step(&vote, b, b, &rig.scratch);
    assert_int_equal(vote.omitted, 0);
    fly_arena_fini(&arena);
    rig_close(&rig);
}

/* Ids stand for pairs and pairs for ids, over stories of two maps; small pairs are minor. */
static void ids_and_pairs_are_one_to_one(void **state)
{
    enum { N = 80 };
    struct fly_rng rng = {4};
    static struct rig one, two;
    static int32_t x[N], y[N];
    struct fly_arena arena;
    struct fly_vote vote = open_vote(&one, &arena, N, 3, 4096);

    (void)state;
    rig_open(&two, N, 3);
    for (int32_t i = 0; i < N; i++) {
        x[i] = i * 4 / N;
        y[i] = i * 3 % 5;
    }
    for (int e = 0; e < 60; e++) {
        int32_t known = vote.count;

        wander(&rng, x, N, 4);
        wander(&rng, y, N, 5);
        rig_step(&one, x);
        rig_step(&two, y);
        fly_vote_step(&vote, one.identity.label, two.identity.label, &one.scratch);
        for (int32_t i = 0; i < N; i++) {
            int32_t a = one.identity.label[i], b = two.identity.label[i], id = vote.label[i], chips = 0;

            for (int32_t j = 0; j < N; j++)
                chips += one.identity.label[j] == a && two.identity.label[j] == b;
            assert_int_equal(id >= 0, a >= 0 && b >= 0 && chips >= 3);
            if (id < 0)
                continue;
            assert_true(vote.pair[id][0] == a && vote.pair[id][1] == b && id < vote.count);
            if (id >= known)
                known = known == id ? known + 1 : -1;
            assert_true(known >= 0); /* new ids in the order of first chips */
        }
        for (int32_t p = 0; p < vote.count; p++)
            for (int32_t q = 0; q < p; q++)
                assert_true(vote.pair[p][0] != vote.pair[q][0] || vote.pair[p][1] != vote.pair[q][1]);
    }
    assert_true(vote.count > 20);
    fly_arena_fini(&arena);
    rig_close(&one);
    rig_close(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_map_is_as_in_golden),
        cmocka_unit_test(a_pair_keeps_its_id),
        cmocka_unit_test(a_chip_that_lacks_a_label_has_none),
        cmocka_unit_test(a_full_dictionary_is_told_of),
        cmocka_unit_test(ids_and_pairs_are_one_to_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
