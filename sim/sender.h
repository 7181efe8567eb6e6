/* sim/sender.h: delivers a session's messages to Flyback, whatever happens to Flyback meanwhile.
 *
 * The instrument's side of protocol section 6. Messages go into a window (window.h) and out on a PUSH
 * socket; what Flyback tells durable, in its heartbeats and in replies to `status`, leaves the window.
 * When Flyback falls silent, comes back, forgets numbers it had seen, or makes no progress with a
 * stream, the sender asks `status` and sends everything again that lies above durable_seq, with the
 * same bytes. The start is a message like any other and comes first. A full window refuses: measuring
 * waits for the disk.
 *
 * Time     is handed in; deadlines use its mono_ns.
 * Threads  one, which opens, steps and closes.
 */
#ifndef FLY_SIM_SENDER_H
#define FLY_SIM_SENDER_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "stream/net.h"
#include "stream/publish.h"
#include "stream/wire.h"

/* What a bad network does to messages on their first way, for tests. Start and stop are spared. */
struct fly_sender_faults {
    double drop;      /* chance that a message is lost: 0 .. 0.5. It goes again when it is missed */
    double duplicate; /* chance that it goes twice: 0 .. 1 */
    int32_t reorder;  /* changes places with one of so many before it: 0 .. 1000 */
    uint64_t seed;
};

struct fly_sender_config {
    struct fly_net *net;
    struct fly_clock clock;
    const char *ingest, *publish, *control; /* Flyback's addresses */
    struct fly_curve curve;   /* our keys and its public one; empty: none. The role `instrument` sends and asks
                                 `status`; to hear what is published the key needs another one beside it */
    const char *session;
    int32_t n_streams;
    const char *streams[FLY_STREAMS_MAX];   /* names, copied; 0 is "control" */
    size_t window_bytes;      /* default 256 MiB */
    int32_t window_messages;  /* default 65536 */
    int32_t resend_ms;        /* a stream without progress for so long is sent again; doubles each time
                                 in vain, up to 16 times. Default 1500 */
    int32_t silence_ms;       /* without a word from Flyback: ask. Default 3000 */
    int32_t lost_ms;          /* Flyback answers but does not know the session: give up. Default 15000 */
    struct fly_sender_faults faults;
    const char *topics;       /* "map start": more topics to hear, space between; NULL: none */
    void (*hear)(void *ctx, const struct fly_published *message); /* every published message; or NULL */
    void *hear_ctx;
};

struct fly_sender_config fly_sender_config_default(void);

struct fly_sender_report {
    uint64_t put, sent, resent, dropped, duplicated; /* messages */
    uint64_t durable[FLY_STREAMS_MAX];
    int32_t kept;             /* in the window now */
    uint64_t rewinds;         /* times that everything unacknowledged was sent again */
    int alive;                /* Flyback was heard within silence_ms */
    double silent_s;          /* since it was heard last */
    int stopped;              /* Flyback's own stop of this session was heard, or it has finished it */
    double complete;          /* fraction of pixels as Flyback's stop says; NaN: unknown */
    char exit_status[16];     /* as Flyback's stop says */
};

struct fly_sender;

/* Connects all three sockets; nobody need be there yet. FLY_ERANGE, FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_sender_open(struct fly_sender **out, const struct fly_sender_config *config);
void fly_sender_close(struct fly_sender **sender);

/* Wait until Flyback answers `status`. FLY_EIO: not within timeout_ms, or it refuses our key. FLY_EAGAIN: *stop became true
 * (may be NULL). */
FLY_MUST_USE int fly_sender_connect(struct fly_sender *sender, int32_t timeout_ms,
                                    const volatile int *stop);

/* Take a message (copied). FLY_EAGAIN: the window is full, step and try again. FLY_ERANGE: it is
 * larger than the window. FLY_ENOMEM. */
FLY_MUST_USE int fly_sender_put(struct fly_sender *sender, int32_t stream, uint64_t seq,
                                const struct fly_part *parts, int32_t n_parts);

/* The last message was put: nothing is held back any more, and a session that Flyback no longer has is
 * a finished one if its stop was durable. */
void fly_sender_finish(struct fly_sender *sender, uint64_t stop_seq);

/* Send what can be sent, hear what is there, wait at most timeout_ms for more of either. FLY_OK;
 * FLY_EIO: Flyback has lost the session, refuses our key, or a socket failed. */
FLY_MUST_USE int fly_sender_step(struct fly_sender *sender, int32_t timeout_ms);

void fly_sender_report(const struct fly_sender *sender, struct fly_sender_report *report);

#endif
