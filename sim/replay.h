/* sim/replay.h: a recorded session as the messages an instrument would send.
 *
 * Ingest messages come out in the order they were recorded in, byte for byte; with another session id
 * each header is packed anew, its keys in their order and only `session` changed. Numbers that the
 * recording does not have (left out with `from`, refused then, or lost in a gap) come as `skip`, for a
 * stream's durable_seq would never pass them; a recording without a stop gets one, `abort`.
 *
 * Memory   what one message needs, and one bit for each number of each stream.
 * Threads  one.
 */
#ifndef FLY_SIM_REPLAY_H
#define FLY_SIM_REPLAY_H

#include <stdint.h>

#include "engine/base/err.h"
#include "stream/recording.h"
#include "stream/wire.h"

struct fly_replay;

struct fly_replay_message {
    int32_t stream;
    uint64_t seq;
    int64_t t_ns;  /* when it arrived, as recorded; of a made one: that of its neighbour */
    int start, stop;
    int made;      /* a skip or a stop that the recording does not have */
    struct fly_part parts[FLY_PARTS_MAX]; /* lent until the next call */
    int32_t n_parts;
};

/* Look through a recording. from: the first ingest message to send, counted from 1; the start is sent
 * always. FLY_EIO, FLY_EWIRE (no recording, or one without a start), FLY_ERANGE (fewer messages than
 * from, or an id that is none), FLY_ENOMEM.
 *
 *   session  the id to send under, NULL: the recorded one
 */
FLY_MUST_USE int fly_replay_open(struct fly_replay **out, const char *path, uint64_t from,
                                 const char *session);
void fly_replay_close(struct fly_replay **replay);

const char *fly_replay_session(const struct fly_replay *replay); /* the id it sends under */
int32_t fly_replay_streams(const struct fly_replay *replay);
const char *fly_replay_stream(const struct fly_replay *replay, int32_t stream);
uint64_t fly_replay_messages(const struct fly_replay *replay); /* ingest messages in the file */

/* The next message. FLY_EAGAIN: that was all. FLY_EIO, FLY_EWIRE: the file broke off under us. */
FLY_MUST_USE int fly_replay_next(struct fly_replay *replay, struct fly_replay_message *message);

#endif
