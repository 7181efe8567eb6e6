/* stream/sequence.h: what one stream's numbers say: new, late, again, missing, durable.
 *
 * An ingest stream counts its messages from 1. This is the memory of which came, with what content,
 * and which of them are on disk; the stage acts on it and owns the counters. No clock, no I/O.
 *
 * The newest `window` numbers up to the highest seen are remembered one by one: a 64-bit hash of the
 * content and the ticket that the recorder gave. Of older numbers only the ranges that are missing, and
 * the ranges that are not recorded, are kept, as long as they are at most FLY_HOLES_MAX each; beyond,
 * the two newest ranges become one, and what came between them counts as missing (unrecorded) again.
 * So forgetting never claims more than is so: as_of and durable can lag, they cannot lie.
 *
 * State can be rebuilt: noting the recorded messages in the order of the recording, and marking each
 * with its ticket, gives the same answers as before.
 *
 * Memory   reserved by the caller (fly_sequence_need); touched once by init, so that no page is missing
 *          later.
 * Threads  one.
 */
#ifndef FLY_STREAM_SEQUENCE_H
#define FLY_STREAM_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "stream/wire.h"

enum {
    FLY_SEQUENCE_WINDOW = 1 << 18, /* 4 MiB a stream */
    FLY_HOLES_MAX       = 1024,
};

/* Disjoint ranges first .. last, lowest first, never touching. */
struct fly_holes {
    int32_t count;
    struct {
        uint64_t first, last;
    } range[FLY_HOLES_MAX];
};

struct fly_seq_slot {
    uint64_t hash;   /* 0: not received */
    uint64_t ticket; /* 0: not recorded */
};

struct fly_sequence {
    struct fly_seq_slot *slot; /* (window) number n at n & mask */
    uint64_t mask;
    uint64_t highest;          /* 0: nothing came */
    uint64_t base;             /* numbers up to it are beyond the window: max(0, highest - window) */
    uint64_t whole;            /* base .. : all of base + 1 .. whole came */
    uint64_t durable;
    struct fly_holes missing;  /* numbers up to base that did not come */
    struct fly_holes unrecorded; /* numbers up to base that have no ticket */
    /* Tickets of recorded numbers that left the window before they were durable: all numbers up to
     * `to`, that are recorded, have at most `ticket`. Two, so that the first comes to an end while
     * more leave. to 0: empty. */
    struct {
        uint64_t to, ticket;
    } left[2];
};

/* Bytes that init wants, aligned to 64. window is a power of two, 64 .. 2^24. */
size_t fly_sequence_need(uint64_t window);
void fly_sequence_init(struct fly_sequence *sequence, void *memory, uint64_t window);

enum fly_seen {
    FLY_SEEN_NEW,      /* the highest so far */
    FLY_SEEN_NEW_LATE, /* fills a gap: counts as reorder */
    FLY_SEEN_REPEAT,   /* came before, equal content */
    FLY_SEEN_CONFLICT  /* came before, other content: the first stands */
};

struct fly_noted {
    enum fly_seen seen;
    uint64_t gap;   /* numbers first noticed to be missing by this one */
    int unrecorded; /* REPEAT: has no ticket yet, so record this copy and mark it */
    int unchecked;  /* REPEAT: older than the window, the content was not compared */
};

/* A message (or a refused one that uses its number up) came.
 *
 *   hash   fly_hash_parts of it
 *
 * FLY_ERANGE  seq is 0, or more than the window beyond the highest seen: nothing changed. A single
 *             wild number would push all that is known out of the window */
FLY_MUST_USE int fly_sequence_note(struct fly_sequence *sequence, uint64_t seq, uint64_t hash,
                                   struct fly_noted *noted);

/* seq stands in the recording under ticket (>= 1). Marking a number again keeps the first ticket, one
 * that never came is our bug. Without a recorder mark with ticket 1 and advance to 1. */
void fly_sequence_mark(struct fly_sequence *sequence, uint64_t seq, uint64_t ticket);

/* All tickets up to this one are on disk. Returns durable: the highest n with all of 1..n recorded
 * under tickets on disk. It never falls. While numbers leave the window unwritten it may lag behind
 * that by the numbers that left. */
uint64_t fly_sequence_advance(struct fly_sequence *sequence, uint64_t durable_ticket);

static inline uint64_t fly_sequence_last(const struct fly_sequence *sequence)
{
    return sequence->highest; /* last_seq; 0: nothing came */
}

/* The highest n with all of 1..n received; 0: 1 is missing. */
uint64_t fly_sequence_as_of(const struct fly_sequence *sequence);

/* A 64-bit hash of parts and of where each ends. For equality against accidents, not against an
 * adversary. Reads at more than 4 GB/s. The same on every machine: recordings may keep it. */
uint64_t fly_hash_parts(const struct fly_part *parts, int32_t n_parts);

#endif
