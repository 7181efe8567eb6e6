#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "stream/sequence.h"

enum { WINDOW = 64, NUMBERS = 4000 };

static struct fly_sequence sequence;
static void *memory;

static int reserve(void **state)
{
    memory = malloc(fly_sequence_need(WINDOW));
    return memory ? 0 : -1;
}

static int release(void **state)
{
    free(memory);
    return 0;
}

static void begin(void)
{
    fly_sequence_init(&sequence, memory, WINDOW);
}

static struct fly_noted note(uint64_t seq, uint64_t hash)
{
    struct fly_noted noted;

    assert_int_equal(fly_sequence_note(&sequence, seq, hash, &noted), FLY_OK);
    return noted;
}

static void numbers_in_order_are_new(void **state)
{
    begin();
    assert_int_equal(fly_sequence_last(&sequence), 0);
    assert_int_equal(fly_sequence_as_of(&sequence), 0);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        struct fly_noted noted = note(seq, seq * 7);

        assert_int_equal(noted.seen, FLY_SEEN_NEW);
        assert_int_equal(noted.gap, 0);
        assert_int_equal(fly_sequence_as_of(&sequence), seq);
        assert_int_equal(fly_sequence_last(&sequence), seq);
    }
}

static void a_gap_is_counted_once_and_filled_late(void **state)
{
    struct fly_noted noted;

    begin();
    note(1, 1);
    noted = note(5, 5);
    assert_int_equal(noted.seen, FLY_SEEN_NEW);
    assert_int_equal(noted.gap, 3);
    assert_int_equal(fly_sequence_as_of(&sequence), 1);
    noted = note(7, 7);
    assert_int_equal(noted.gap, 1);
    noted = note(3, 3);
    assert_int_equal(noted.seen, FLY_SEEN_NEW_LATE);
    assert_int_equal(noted.gap, 0);
    note(2, 2);
    assert_int_equal(fly_sequence_as_of(&sequence), 3);
    note(4, 4);
    assert_int_equal(fly_sequence_as_of(&sequence), 5);
    assert_int_equal(fly_sequence_last(&sequence), 7);
}

static void the_same_number_is_a_repeat_or_a_conflict(void **state)
{
    struct fly_noted noted;

    begin();
    note(1, 11);
    fly_sequence_mark(&sequence, 1, 1);
    note(2, 0); /* a hash of 0 is one like any other */
    noted = note(1, 11);
    assert_int_equal(noted.seen, FLY_SEEN_REPEAT);
    assert_int_equal(noted.unrecorded, 0);
    assert_int_equal(noted.unchecked, 0);
    noted = note(1, 12);
    assert_int_equal(noted.seen, FLY_SEEN_CONFLICT);
    noted = note(1, 11); /* the first stands */
    assert_int_equal(noted.seen, FLY_SEEN_REPEAT);
    noted = note(2, 0);
    assert_int_equal(noted.seen, FLY_SEEN_REPEAT);
    assert_int_equal(noted.unrecorded, 1);
    noted = note(2, 5);
    assert_int_equal(noted.seen, FLY_SEEN_CONFLICT);
    assert_int_equal(noted.unrecorded, 0); /* other bytes are not what is to be recorded */
}

static void wild_numbers_are_refused_and_change_nothing(void **state)
{
    struct fly_noted noted;

    begin();
    assert_int_equal(fly_sequence_note(&sequence, 0, 1, &noted), FLY_ERANGE);
    assert_int_equal(fly_sequence_note(&sequence, UINT64_MAX, 1, &noted), FLY_ERANGE);
    assert_int_equal(fly_sequence_note(&sequence, WINDOW + 1, 1, &noted), FLY_ERANGE);
    assert_int_equal(fly_sequence_last(&sequence), 0);
    noted = note(WINDOW, 1);
    assert_int_equal(noted.gap, WINDOW - 1);
    assert_int_equal(fly_sequence_note(&sequence, 2 * WINDOW + 1, 1, &noted), FLY_ERANGE);
    noted = note(2 * WINDOW, 1);
    assert_int_equal(noted.gap, WINDOW - 1);
    assert_int_equal(fly_sequence_as_of(&sequence), 0);
}

static void durable_waits_for_the_disk_and_for_every_number(void **state)
{
    begin();
    for (uint64_t seq = 1; seq <= 4; seq++)
        note(seq, seq);
    fly_sequence_mark(&sequence, 1, 10);
    fly_sequence_mark(&sequence, 2, 12);
    fly_sequence_mark(&sequence, 4, 11);
    assert_int_equal(fly_sequence_advance(&sequence, 9), 0);
    assert_int_equal(fly_sequence_advance(&sequence, 11), 1);
    assert_int_equal(fly_sequence_advance(&sequence, 100), 2); /* 3 went by the recording */
    fly_sequence_mark(&sequence, 3, 101);
    assert_int_equal(fly_sequence_advance(&sequence, 100), 2);
    assert_int_equal(fly_sequence_advance(&sequence, 101), 4);
    assert_int_equal(fly_sequence_advance(&sequence, 0), 4); /* it never falls */
    fly_sequence_mark(&sequence, 4, 200);                    /* recorded twice: the first counts */
    assert_int_equal(fly_sequence_advance(&sequence, 101), 4);
}

static void an_unrecorded_number_that_left_the_window_is_asked_for_again(void **state)
{
    struct fly_noted noted;

    begin();
    for (uint64_t seq = 1; seq <= 500; seq++) {
        note(seq, seq);
        if (seq != 20)
            fly_sequence_mark(&sequence, seq, seq);
    }
    assert_int_equal(fly_sequence_advance(&sequence, 1000), 19);
    noted = note(19, 99); /* so old that its content is not known any more */
    assert_int_equal(noted.seen, FLY_SEEN_REPEAT);
    assert_int_equal(noted.unchecked, 1);
    assert_int_equal(noted.unrecorded, 0);
    noted = note(20, 20);
    assert_int_equal(noted.seen, FLY_SEEN_REPEAT);
    assert_int_equal(noted.unrecorded, 1);
    fly_sequence_mark(&sequence, 20, 1001);
    assert_int_equal(fly_sequence_advance(&sequence, 1000), 19);
    assert_int_equal(fly_sequence_advance(&sequence, 1001), 500);
}

/* The plain twin: everything is remembered. */
struct model {
    uint64_t hash[NUMBERS + 1], ticket[NUMBERS + 1];
    int here[NUMBERS + 1];
    uint64_t highest, durable;
};

static uint64_t model_as_of(const struct model *model)
{
    uint64_t n = 0;

    while (n < NUMBERS && model->here[n + 1])
        n++;
    return n;
}

static uint64_t model_durable(struct model *model, uint64_t durable_ticket)
{
    uint64_t n = 0;

    while (n < NUMBERS && model->ticket[n + 1] && model->ticket[n + 1] <= durable_ticket)
        n++;
    if (n > model->durable)
        model->durable = n;
    return model->durable;
}

static struct fly_noted model_note(struct model *model, uint64_t seq, uint64_t hash)
{
    struct fly_noted noted = {FLY_SEEN_NEW, 0, 0, 0};

    if (model->here[seq]) {
        noted.unchecked = model->highest >= WINDOW && seq <= model->highest - WINDOW;
        noted.seen = noted.unchecked || model->hash[seq] == hash ? FLY_SEEN_REPEAT : FLY_SEEN_CONFLICT;
        noted.unrecorded = noted.seen == FLY_SEEN_REPEAT && !model->ticket[seq];
        return noted;
    }
    if (seq < model->highest)
        noted.seen = FLY_SEEN_NEW_LATE;
    else
        noted.gap = seq - model->highest - 1;
    model->here[seq] = 1;
    model->hash[seq] = hash;
    if (seq > model->highest)
        model->highest = seq;
    return noted;
}

/* What travels on: mostly the next number, sometimes a jump, a late one, or one again. Calm streams fill
 * their gaps about as fast as they make them. */
static uint64_t draw(struct fly_rng *rng, const struct model *model, int calm)
{
    uint64_t kind = fly_rng_below(rng, 100), highest = model->highest;

    if (calm && kind >= 60 && kind < 70)
        return highest + (kind < 62 ? 1 + fly_rng_below(rng, 8) : 2);

    if (kind < 60)
        return highest + 1;
    if (kind < 70)
        return highest + 1 + fly_rng_below(rng, kind < 62 ? WINDOW : 4);
    if (kind < 85 || highest < 3)
        return 1 + fly_rng_below(rng, highest + 1);
    if (kind < 95)
        return model_as_of(model) + 1;
    return highest - fly_rng_below(rng, highest < 100 ? highest : 100);
}

static void it_agrees_with_one_that_forgets_nothing(void **state)
{
    struct model *model = malloc(sizeof *model);

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fly_rng rng = {seed};
        uint64_t ticket = 0, on_disk = 0;

        memset(model, 0, sizeof *model);
        begin();
        for (int step = 0; step < 3000; step++) {
            uint64_t seq = draw(&rng, model, seed % 4 < 2);
            uint64_t hash = fly_rng_below(&rng, 50) ? fly_mix64(seq) : fly_rng_next(&rng);
            struct fly_noted noted, want;
            uint64_t durable, truth;

            if (seq > NUMBERS || seq > model->highest + WINDOW)
                continue;
            want = model_note(model, seq, hash);
            noted = note(seq, hash);
            assert_int_equal(noted.seen, want.seen);
            assert_int_equal(noted.gap, want.gap);
            assert_int_equal(noted.unrecorded, want.unrecorded);
            assert_int_equal(noted.unchecked, want.unchecked);
            assert_int_equal(fly_sequence_as_of(&sequence), model_as_of(model));
            assert_int_equal(fly_sequence_last(&sequence), model->highest);

            /* One in sixteen goes by the recording. The disk is at times far behind. */
            if (noted.seen <= FLY_SEEN_NEW_LATE ? fly_rng_below(&rng, 16) > 0 : noted.unrecorded) {
                fly_sequence_mark(&sequence, seq, ++ticket);
                if (!model->ticket[seq])
                    model->ticket[seq] = ticket;
            }
            if (fly_rng_below(&rng, seed % 2 ? 4 : 200) == 0)
                on_disk += fly_rng_below(&rng, ticket - on_disk + 1);
            durable = fly_sequence_advance(&sequence, on_disk);
            truth = model_durable(model, on_disk);
            assert_true(durable <= truth);
            if (model->highest <= WINDOW) /* nothing has left */
                assert_int_equal(durable, truth);
        }
        assert_int_equal(fly_sequence_advance(&sequence, ticket), model_durable(model, ticket));
        /* The producer sends what is above durable again: all of it becomes durable. */
        for (uint64_t seq = model->durable + 1; seq <= model->highest; seq++) {
            struct fly_noted noted = note(seq, model->here[seq] ? model->hash[seq] : seq);

            assert_int_not_equal(noted.seen, FLY_SEEN_CONFLICT);
            if (noted.seen == FLY_SEEN_NEW_LATE || noted.unrecorded)
                fly_sequence_mark(&sequence, seq, ++ticket);
        }
        assert_int_equal(fly_sequence_as_of(&sequence), model->highest);
        assert_int_equal(fly_sequence_advance(&sequence, ticket), model->highest);
    }
    free(model);
}

/* A recorder that stays more than a window behind still gets acknowledged, by and by. */
static void durable_moves_even_when_the_disk_is_always_a_window_behind(void **state)
{
    uint64_t last = 0, moves = 0;

    begin();
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        uint64_t durable;

        note(seq, seq);
        fly_sequence_mark(&sequence, seq, seq);
        durable = fly_sequence_advance(&sequence, seq > 3 * WINDOW ? seq - 3 * WINDOW : 0);
        assert_true(durable + 3 * WINDOW <= seq || durable == 0);
        moves += durable > last;
        last = durable;
    }
    assert_true(moves > 20);
    assert_true(last + 8 * WINDOW > 20000);
    assert_int_equal(fly_sequence_advance(&sequence, 20000), 20000);
}

static void more_holes_than_can_be_kept_are_forgotten_on_the_safe_side(void **state)
{
    const uint64_t end = 4 * FLY_HOLES_MAX;
    uint64_t ticket = 0, as_of = 0, durable = 0;

    begin();
    for (uint64_t seq = 2; seq <= end; seq += 2) { /* every odd number is missing */
        note(seq, seq);
        fly_sequence_mark(&sequence, seq, ++ticket);
    }
    assert_int_equal(fly_sequence_as_of(&sequence), 0);
    for (uint64_t seq = 1; seq <= end; seq++) {
        struct fly_noted noted = note(seq, seq);

        if (seq % 2)
            assert_int_equal(noted.seen, FLY_SEEN_NEW_LATE);
        if (noted.seen == FLY_SEEN_NEW_LATE || noted.unrecorded)
            fly_sequence_mark(&sequence, seq, ++ticket);
        assert_true(fly_sequence_as_of(&sequence) >= as_of);
        as_of = fly_sequence_as_of(&sequence);
        assert_true(as_of == seq || as_of == seq + 1);
        assert_true(fly_sequence_advance(&sequence, ticket) >= durable);
        durable = fly_sequence_advance(&sequence, ticket);
    }
    assert_int_equal(as_of, end);
    assert_int_equal(durable, end);
}

static void filling_a_hole_in_the_middle_without_room_claims_nothing(void **state)
{
    struct fly_noted noted;

    begin();
    /* A wide hole first, then so many narrow ones that no room is left to split it. */
    note(WINDOW, 1);
    for (uint64_t seq = WINDOW + 2; seq <= WINDOW + 4 * FLY_HOLES_MAX; seq += 2)
        note(seq, seq);
    assert_int_equal(sequence.missing.count, FLY_HOLES_MAX);
    noted = note(20, 20);
    assert_int_equal(noted.seen, FLY_SEEN_NEW_LATE);
    noted = note(20, 20);
    assert_int_equal(noted.seen, FLY_SEEN_NEW_LATE); /* forgotten, not claimed */
    for (uint64_t seq = 1; seq < WINDOW; seq++)
        note(seq, seq);
    assert_int_equal(fly_sequence_as_of(&sequence), WINDOW);
}

static void replaying_the_recording_rebuilds_the_state(void **state)
{
    struct fly_sequence *first = malloc(sizeof *first);
    struct fly_rng rng = {11};
    struct model *model = calloc(1, sizeof *model);
    struct {
        uint64_t seq, hash;
    } *log = calloc(3001, sizeof *log);
    uint64_t ticket = 0;

    begin();
    for (int step = 0; step < 3000; step++) {
        uint64_t seq = draw(&rng, model, 0);
        struct fly_noted noted;

        if (seq > NUMBERS || seq > model->highest + WINDOW)
            continue;
        (void)model_note(model, seq, seq);
        noted = note(seq, seq);
        if (noted.seen <= FLY_SEEN_NEW_LATE) {
            log[++ticket].seq = seq;
            log[ticket].hash = seq;
            fly_sequence_mark(&sequence, seq, ticket);
        }
    }
    (void)fly_sequence_advance(&sequence, ticket);
    *first = sequence;
    begin();
    for (uint64_t i = 1; i <= ticket; i++) {
        note(log[i].seq, log[i].hash);
        fly_sequence_mark(&sequence, log[i].seq, i);
    }
    assert_int_equal(fly_sequence_last(&sequence), fly_sequence_last(first));
    assert_int_equal(fly_sequence_as_of(&sequence), fly_sequence_as_of(first));
    assert_int_equal(fly_sequence_advance(&sequence, ticket), first->durable);
    assert_int_equal(sequence.missing.count, first->missing.count);
    assert_memory_equal(sequence.missing.range, first->missing.range,
                        (size_t)first->missing.count * sizeof first->missing.range[0]);
    free(log);
    free(model);
    free(first);
}

/* ---- the hash ------------------------------------------------------------------------------------ */

static uint64_t hash2(const void *a, size_t a_len, const void *b, size_t b_len)
{
    const struct fly_part parts[2] = {{a, a_len}, {b, b_len}};

    return fly_hash_parts(parts, 2);
}

static int order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void hashes_differ_by_any_bit_length_or_border(void **state)
{
    enum { LEN = 150 };
    static unsigned char bytes[LEN + 1];
    static uint64_t hashes[LEN * 8 + 2 * LEN + 10];
    const struct fly_part whole = {bytes, LEN};
    size_t n = 0;

    for (int i = 0; i < LEN; i++)
        bytes[i] = (unsigned char)(i * 31);
    hashes[n++] = fly_hash_parts(&whole, 1);
    for (size_t bit = 0; bit < LEN * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        hashes[n++] = fly_hash_parts(&whole, 1);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut <= LEN; cut++) /* the same bytes, split elsewhere */
        hashes[n++] = hash2(bytes, cut, bytes + cut, LEN - cut);
    memset(bytes, 0, sizeof bytes);
    for (size_t len = 0; len < LEN; len++) { /* zeros of every length */
        const struct fly_part part = {bytes, len};

        hashes[n++] = fly_hash_parts(&part, 1);
    }
    assert_true(n <= sizeof hashes / sizeof hashes[0]);
    qsort(hashes, n, sizeof hashes[0], order);
    for (size_t i = 1; i < n; i++)
        assert_true(hashes[i] != hashes[i - 1]);
}

/* Each bit of the input turns about half of the output's bits. */
static void hashes_spread_every_bit(void **state)
{
    struct fly_rng rng = {3};
    long turned = 0, trials = 0;

    for (int round = 0; round < 40; round++) {
        uint64_t words[20];
        const struct fly_part part = {words, sizeof words};
        uint64_t before;

        for (int i = 0; i < 20; i++)
            words[i] = fly_rng_next(&rng);
        before = fly_hash_parts(&part, 1);
        for (int bit = 0; bit < 20 * 64; bit += 7) {
            int count;

            words[bit / 64] ^= (uint64_t)1 << bit % 64;
            count = __builtin_popcountll(before ^ fly_hash_parts(&part, 1));
            words[bit / 64] ^= (uint64_t)1 << bit % 64;
            assert_in_range(count, 8, 56);
            turned += count;
            trials++;
        }
    }
    assert_in_range(turned * 100 / trials, 3150, 3250);
}

/* Recordings keep hashes: these may never change. */
static void hashes_are_the_same_for_ever(void **state)
{
    unsigned char bytes[200];
    const struct fly_part none = {bytes, 0}, part = {bytes, sizeof bytes};

    for (int i = 0; i < 200; i++)
        bytes[i] = (unsigned char)i;
    assert_true(fly_hash_parts(&none, 1) == 0xf7e198aa94762c7au);
    assert_true(fly_hash_parts(&part, 1) == 0x4a36106a8bca1bb1u);
    assert_true(hash2(bytes, 100, bytes + 100, 100) == 0xd972523c05abfc49u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_order_are_new),
        cmocka_unit_test(a_gap_is_counted_once_and_filled_late),
        cmocka_unit_test(the_same_number_is_a_repeat_or_a_conflict),
        cmocka_unit_test(wild_numbers_are_refused_and_change_nothing),
        cmocka_unit_test(durable_waits_for_the_disk_and_for_every_number),
        cmocka_unit_test(an_unrecorded_number_that_left_the_window_is_asked_for_again),
        cmocka_unit_test(it_agrees_with_one_that_forgets_nothing),
        cmocka_unit_test(durable_moves_even_when_the_disk_is_always_a_window_behind),
        cmocka_unit_test(more_holes_than_can_be_kept_are_forgotten_on_the_safe_side),
        cmocka_unit_test(filling_a_hole_in_the_middle_without_room_claims_nothing),
        cmocka_unit_test(replaying_the_recording_rebuilds_the_state),
        cmocka_unit_test(hashes_differ_by_any_bit_length_or_border),
        cmocka_unit_test(hashes_spread_every_bit),
        cmocka_unit_test(hashes_are_the_same_for_ever),
    };

    return cmocka_run_group_tests(tests, reserve, release);
}
