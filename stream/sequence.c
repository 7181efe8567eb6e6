#include "stream/sequence.h"

#include <string.h>

/* ---- ranges of old numbers --------------------------------------------------------------------
 */

/* Add seq above all that is there. */
static void holes_append(struct fly_holes *holes, uint64_t seq)
{
    int32_t n = holes->count;

    FLY_ASSERT(n == 0 || holes->range[n - 1].last < seq);
    if (n > 0 && (holes->range[n - 1].last == seq - 1 || n == FLY_HOLES_MAX)) {
        holes->range[n - 1].last = seq; /* when full: what came between counts as a hole again */
        return;
    }
    holes->range[n].first = holes->range[n].last = seq;
    holes->count++;
}

/* The range that seq is in, or -1. */
static int32_t holes_find(const struct fly_holes *holes, uint64_t seq)
{
    int32_t lo = 0, hi = holes->count;

    while (lo < hi) { /* the first range with last >= seq */
        int32_t mid = lo + (hi - lo) / 2;

        if (holes->range[mid].last < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < holes->count && holes->range[lo].first <= seq ? lo : -1;
}

/* Take seq out of range i. When that would split a range and there is no room for one more, it
 * stays: the number may come again and be taken for new again, which changes nothing downstream. */
static void holes_fill(struct fly_holes *holes, int32_t i, uint64_t seq)
{
    uint64_t first = holes->range[i].first, last = holes->range[i].last;
    size_t behind = (size_t)(holes->count - i - 1);

    if (first == last) {
        memmove(&holes->range[i], &holes->range[i + 1], behind * sizeof holes->range[0]);
        holes->count--;
    } else if (seq == first) {
        holes->range[i].first = seq + 1;
    } else if (seq == last) {
        holes->range[i].last = seq - 1;
    } else if (holes->count < FLY_HOLES_MAX) {
        memmove(&holes->range[i + 2], &holes->range[i + 1], behind * sizeof holes->range[0]);
        holes->range[i].last = seq - 1;
        holes->range[i + 1].first = seq + 1;
        holes->range[i + 1].last = last;
        holes->count++;
    }
}

/* The highest n up to limit with no hole in 1..n. */
static uint64_t holes_below(const struct fly_holes *holes, uint64_t limit)
{
    return holes->count > 0 && holes->range[0].first <= limit ? holes->range[0].first - 1 : limit;
}

/* ---- the window --------------------------------------------------------------------------------
 */

size_t fly_sequence_need(uint64_t window)
{
    return (size_t)window * sizeof(struct fly_seq_slot);
}

void fly_sequence_init(struct fly_sequence *sequence, void *memory, uint64_t window)
{
    FLY_ASSERT(window >= 64 && window <= (uint64_t)1 << 24 && (window & (window - 1)) == 0);
    memset(sequence, 0, sizeof *sequence);
    memset(memory, 0, fly_sequence_need(window));
    sequence->slot = memory;
    sequence->mask = window - 1;
}

static struct fly_seq_slot *slot_of(const struct fly_sequence *sequence, uint64_t seq)
{
    FLY_ASSERT(seq > sequence->base && seq <= sequence->highest);
    return &sequence->slot[seq & sequence->mask];
}

static void advance_whole(struct fly_sequence *sequence)
{
    while (sequence->whole < sequence->highest && slot_of(sequence, sequence->whole + 1)->hash)
        sequence->whole++;
}

/* A recorded number up to base awaits a ticket. */
static void leave_ticket(struct fly_sequence *sequence, uint64_t seq, uint64_t to, uint64_t ticket)
{
    int which = sequence->left[0].to != 0 && sequence->left[0].to < seq;

    if (sequence->left[which].to < to && (which == 1 || sequence->left[0].to == 0))
        sequence->left[which].to = to;
    if (sequence->left[which].ticket < ticket)
        sequence->left[which].ticket = ticket;
}

/* The lowest number of the window leaves it. */
static void leave(struct fly_sequence *sequence)
{
    uint64_t seq = sequence->base + 1;
    struct fly_seq_slot *slot = slot_of(sequence, seq);

    if (!slot->hash)
        holes_append(&sequence->missing, seq);
    if (!slot->ticket)
        holes_append(&sequence->unrecorded, seq);
    else if (seq > sequence->durable)
        leave_ticket(sequence, seq, seq, slot->ticket);
    *slot = (struct fly_seq_slot){0, 0};
    sequence->base = seq;
    if (sequence->whole < seq) {
        sequence->whole = seq;
        advance_whole(sequence);
    }
}

static void note_ahead(struct fly_sequence *sequence, uint64_t seq, uint64_t hash,
                       struct fly_noted *noted)
{
    noted->seen = FLY_SEEN_NEW;
    noted->gap = seq - sequence->highest - 1;
    while (sequence->highest < seq) {
        if (sequence->highest - sequence->base == sequence->mask + 1)
            leave(sequence);
        sequence->highest++;
    }
    slot_of(sequence, seq)->hash = hash;
    advance_whole(sequence);
}

static void note_old(struct fly_sequence *sequence, uint64_t seq, struct fly_noted *noted)
{
    int32_t hole = holes_find(&sequence->missing, seq);

    if (hole >= 0) {
        noted->seen = FLY_SEEN_NEW_LATE;
        holes_fill(&sequence->missing, hole, seq);
        return;
    }
    noted->seen = FLY_SEEN_REPEAT;
    noted->unchecked = 1;
    noted->unrecorded = holes_find(&sequence->unrecorded, seq) >= 0;
}

int fly_sequence_note(struct fly_sequence *sequence, uint64_t seq, uint64_t hash,
                      struct fly_noted *noted)
{
    struct fly_seq_slot *slot;

    *noted = (struct fly_noted){0};
    if (seq == 0)
        return fly_fail(FLY_ERANGE, "seq 0: numbers count from 1");
    if (seq > sequence->highest && seq - sequence->highest > sequence->mask + 1)
        return fly_fail(FLY_ERANGE, "seq %llu is more than %llu beyond the highest seen, %llu",
                        (unsigned long long)seq, (unsigned long long)sequence->mask + 1,
                        (unsigned long long)sequence->highest);
    hash += hash == 0; /* 0 says not received */
    if (seq > sequence->highest) {
        note_ahead(sequence, seq, hash, noted);
        return FLY_OK;
    }
    if (seq <= sequence->base) {
        note_old(sequence, seq, noted);
        return FLY_OK;
    }
    slot = slot_of(sequence, seq);
    if (!slot->hash) {
        noted->seen = FLY_SEEN_NEW_LATE;
        slot->hash = hash;
        advance_whole(sequence);
        return FLY_OK;
    }
    noted->seen = slot->hash == hash ? FLY_SEEN_REPEAT : FLY_SEEN_CONFLICT;
    noted->unrecorded = noted->seen == FLY_SEEN_REPEAT && !slot->ticket;
    return FLY_OK;
}

uint64_t fly_sequence_as_of(const struct fly_sequence *sequence)
{
    return holes_below(&sequence->missing, sequence->whole);
}

void fly_sequence_mark(struct fly_sequence *sequence, uint64_t seq, uint64_t ticket)
{
    struct fly_seq_slot *slot;

    FLY_ASSERT(ticket > 0 && seq > 0 && seq <= sequence->highest);
    if (seq <= sequence->base) {
        int32_t hole = holes_find(&sequence->unrecorded, seq);

        if (hole >= 0) {
            holes_fill(&sequence->unrecorded, hole, seq);
            leave_ticket(sequence, seq, sequence->base, ticket);
        }
        return;
    }
    slot = slot_of(sequence, seq);
    FLY_ASSERT(slot->hash);
    if (!slot->ticket)
        slot->ticket = ticket;
}

uint64_t fly_sequence_advance(struct fly_sequence *sequence, uint64_t durable_ticket)
{
    uint64_t allowed = holes_below(&sequence->unrecorded, sequence->base);

    for (int i = 0; i < 2 && sequence->left[0].to > 0; i++) {
        if (sequence->left[0].ticket > durable_ticket) {
            allowed = sequence->durable; /* those that left the window come first */
            break;
        }
        if (sequence->durable < sequence->left[0].to)
            sequence->durable = sequence->left[0].to < allowed ? sequence->left[0].to : allowed;
        sequence->left[0] = sequence->left[1];
        sequence->left[1].to = sequence->left[1].ticket = 0;
    }
    if (sequence->left[0].to == 0 && sequence->durable < allowed)
        sequence->durable = allowed;
    if (sequence->left[0].to > 0 || sequence->durable < sequence->base)
        return sequence->durable;
    while (sequence->durable < sequence->highest) {
        uint64_t ticket = slot_of(sequence, sequence->durable + 1)->ticket;

        if (ticket == 0 || ticket > durable_ticket)
            break;
        sequence->durable++;
    }
    return sequence->durable;
}
