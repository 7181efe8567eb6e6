#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "sim/window.h"

static int put(struct fly_window *w, int32_t stream, uint64_t seq, size_t bytes)
{
    static unsigned char data[200000];

    memset(data, (int)(seq * 7 + (uint64_t)stream), bytes);
    struct fly_part parts[2] = {{data, bytes / 2}, {data, bytes - bytes / 2}};

    return fly_window_put(w, stream, seq, parts, 2);
}

static void messages_go_in_order_and_stay_until_acknowledged(void **state)
{
    struct fly_window *w = NULL;
    struct fly_kept kept;

    assert_int_equal(fly_window_open(&w, 1 << 20, 100), FLY_OK);
    for (uint64_t seq = 1; seq <= 5; seq++)
        assert_int_equal(put(w, 1, seq, 100), FLY_OK);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_int_equal(fly_window_next(w, &kept), FLY_OK);
        assert_int_equal(kept.seq, seq);
        assert_int_equal(kept.n_parts, 2);
        assert_int_equal(kept.parts[0].len + kept.parts[1].len, 100);
        assert_int_equal(((const unsigned char *)kept.parts[1].bytes)[49], (unsigned char)(seq * 7 + 1));
        fly_window_sent(w);
    }
    assert_int_equal(fly_window_next(w, &kept), FLY_EAGAIN);
    assert_int_equal(fly_window_count(w), 5);
    assert_int_equal(fly_window_ack(w, 1, 2), 2);
    assert_int_equal(fly_window_ack(w, 2, 99), 0);
    assert_int_equal(fly_window_bytes(w), 300);
    fly_window_rewind(w);
    assert_int_equal(fly_window_next(w, &kept), FLY_OK);
    assert_int_equal(kept.seq, 3);
    assert_int_equal(kept.sends, 1);
    fly_window_sent(w);
    assert_int_equal(fly_window_resent(w), 1);
    fly_window_close(&w);
}

static void a_full_window_refuses_data_and_keeps_room_for_control(void **state)
{
    struct fly_window *w = NULL;
    struct fly_kept kept;

    assert_int_equal(fly_window_open(&w, 100000, 100), FLY_OK);
    assert_int_equal(put(w, 1, 1, 60000), FLY_OK);
    assert_int_equal(put(w, 1, 2, 60000), FLY_EAGAIN);
    assert_int_equal(put(w, 0, 1, 60000), FLY_OK);
    assert_int_equal(put(w, 1, 2, 100001), FLY_ERANGE);
    assert_int_equal(fly_window_ack(w, 1, 1), 1);
    assert_int_equal(put(w, 1, 2, 40000), FLY_OK);
    assert_int_equal(fly_window_count(w), 2);
    assert_int_equal(fly_window_next(w, &kept), FLY_OK);
    assert_int_equal(kept.stream, 0);
    fly_window_close(&w);

    assert_int_equal(fly_window_open(&w, 100000, 16), FLY_OK);
    for (uint64_t seq = 1; seq <= 16; seq++)
        assert_int_equal(put(w, 1, seq, 10), FLY_OK);
    assert_int_equal(put(w, 1, 17, 10), FLY_EAGAIN);
    for (uint64_t seq = 1; seq <= FLY_WINDOW_CONTROL_RESERVE; seq++)
        assert_int_equal(put(w, 0, seq, 10), FLY_OK);
    assert_int_equal(put(w, 0, 9999, 10), FLY_EAGAIN);
    fly_window_close(&w);
    assert_int_equal(fly_window_open(&w, 100, 100), FLY_ERANGE);
    assert_int_equal(fly_window_open(&w, 1 << 20, 15), FLY_ERANGE);
    assert_null(w);
}

/* A receiver that keeps prefixes, dies at random and forgets the rest, never lacks a message for good. */
static void random_deaths_lose_nothing(void **state)
{
    enum { MESSAGES = 4000 };
    static unsigned char have[3][MESSAGES + 2];
    struct fly_rng rng = {8};

    for (int round = 0; round < 20; round++) {
        struct fly_window *w = NULL;
        uint64_t made[3] = {0}, durable[3] = {0};
        struct fly_kept kept;

        memset(have, 0, sizeof have);
        assert_int_equal(fly_window_open(&w, 1 << 20, 64), FLY_OK);
        for (int steps = 0; made[1] < MESSAGES || made[2] < MESSAGES || fly_window_count(w); steps++) {
            int32_t stream = 1 + (int32_t)fly_rng_below(&rng, 2);

            assert_true(steps < 400000);
            if (made[stream] < MESSAGES && put(w, stream, made[stream] + 1, 20) == FLY_OK)
                made[stream]++;
            if (fly_rng_below(&rng, 3) && fly_window_next(w, &kept) == FLY_OK) {
                if (fly_rng_below(&rng, 50)) /* or lost on the way */
                    have[kept.stream][kept.seq] = 1;
                fly_window_sent(w);
            }
            if (fly_rng_below(&rng, 20) == 0)
                for (int s = 1; s < 3; s++) {
                    while (have[s][durable[s] + 1])
                        durable[s]++;
                    fly_window_ack(w, s, durable[s]);
                }
            if (fly_rng_below(&rng, 500) == 0) {
                for (int s = 1; s < 3; s++)
                    memset(have[s] + durable[s] + 1, 0, MESSAGES + 1 - durable[s]);
                fly_window_rewind(w);
            }
            if (fly_window_next(w, &kept) == FLY_EAGAIN && fly_rng_below(&rng, 200) == 0)
                fly_window_rewind(w);
        }
        assert_int_equal(durable[1], MESSAGES);
        assert_int_equal(durable[2], MESSAGES);
        fly_window_close(&w);
    }
}

static void swaps_touch_only_data_that_is_not_out(void **state)
{
    struct fly_window *w = NULL;
    struct fly_kept kept;

    assert_int_equal(fly_window_open(&w, 1 << 20, 64), FLY_OK);
    assert_int_equal(put(w, 0, 1, 10), FLY_OK);
    assert_int_equal(put(w, 1, 1, 10), FLY_OK);
    fly_window_swap(w, 1); /* with the start: no */
    assert_int_equal(fly_window_next(w, &kept), FLY_OK);
    assert_int_equal(kept.stream, 0);
    fly_window_sent(w);
    assert_int_equal(put(w, 1, 2, 10), FLY_OK);
    fly_window_swap(w, 1);
    assert_int_equal(fly_window_next(w, &kept), FLY_OK);
    assert_int_equal(kept.seq, 2);
    fly_window_sent(w);
    fly_window_swap(w, 1); /* its partner is out: no */
    fly_window_swap(w, 7);
    assert_int_equal(fly_window_next(w, &kept), FLY_OK);
    assert_int_equal(kept.seq, 1);
    fly_window_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_in_order_and_stay_until_acknowledged),
        cmocka_unit_test(a_full_window_refuses_data_and_keeps_room_for_control),
        cmocka_unit_test(random_deaths_lose_nothing),
        cmocka_unit_test(swaps_touch_only_data_that_is_not_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
