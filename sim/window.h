/* sim/window.h: messages that were made and are not yet known to be on Flyback's disk.
 *
 * The memory behind protocol section 6: a message stays, byte for byte, until its stream's durable_seq
 * has passed it, and can be sent again. Messages are sent in the order they were put in; a rewind
 * begins again with the oldest kept. When the window is full nothing more fits: whoever measures waits.
 * No socket, no clock.
 *
 * Room     two limits, bytes and messages. Control messages (stream 0) may use a reserve beyond both,
 *          so that a heartbeat or a stop finds a place while the data wait.
 * Memory   a copy of each message, from the system's allocator.
 * Threads  one.
 */
#ifndef FLY_SIM_WINDOW_H
#define FLY_SIM_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "stream/wire.h"

enum { FLY_WINDOW_CONTROL_RESERVE = 1024 }; /* control messages beyond the limits */

struct fly_window;

/* FLY_ERANGE: bytes_max below 64 KiB, or messages_max not 16 .. 2^22; FLY_ENOMEM */
FLY_MUST_USE int fly_window_open(struct fly_window **out, size_t bytes_max, int32_t messages_max);
void fly_window_close(struct fly_window **window);

/* Copy a message in. seq is above 0 and was not put in before. FLY_EAGAIN: no room until something is
 * acknowledged. FLY_ERANGE: larger than the whole window. FLY_ENOMEM. */
FLY_MUST_USE int fly_window_put(struct fly_window *window, int32_t stream, uint64_t seq,
                                const struct fly_part *parts, int32_t n_parts);

/* A kept message, lent until the next put, ack or close. */
struct fly_kept {
    int32_t stream;
    uint64_t seq;
    struct fly_part parts[FLY_PARTS_MAX];
    int32_t n_parts;
    int32_t sends; /* how often it went out so far */
};

/* The next to be sent. FLY_EAGAIN: all kept ones are out. fly_window_sent steps on to the one after. */
FLY_MUST_USE int fly_window_next(struct fly_window *window, struct fly_kept *kept);
void fly_window_sent(struct fly_window *window);

/* Everything of a stream up to durable_seq is safe and may go. Returns how many went. */
int32_t fly_window_ack(struct fly_window *window, int32_t stream, uint64_t durable_seq);

void fly_window_rewind(struct fly_window *window);

/* Change places with the message put in `back` before the newest, if neither is out and neither is of
 * the control stream: how a reordering network is played. */
void fly_window_swap(struct fly_window *window, int32_t back);

int32_t fly_window_count(const struct fly_window *window);   /* kept */
int32_t fly_window_unsent(const struct fly_window *window);  /* of these, from the next to be sent on */
size_t fly_window_bytes(const struct fly_window *window);
uint64_t fly_window_resent(const struct fly_window *window); /* sends of messages that were out before */

#endif
