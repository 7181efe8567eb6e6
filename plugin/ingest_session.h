/* plugin/ingest_session.h: what the producer stage remembers of a session: its numbers and its recording.
 *
 * Every accepted message is noted (stream/sequence.h), recorded, and only then given on. The phase says
 * where the session stands.
 *
 * Threads  the producer's, but for the recorder inside, which the engine stage appends to as well.
 */
#ifndef FLY_PLUGIN_INGEST_SESSION_H
#define FLY_PLUGIN_INGEST_SESSION_H

#include "plugin/stage_ingest.h"
#include "stream/recording.h"
#include "stream/sequence.h"

enum fly_phase {
    FLY_PHASE_NONE = 0, /* no session yet */
    FLY_PHASE_RUNNING,
    FLY_PHASE_STOPPING, /* its stop came; waiting for what is missing */
    FLY_PHASE_ABORTING, /* to be ended without waiting */
    FLY_PHASE_DRAINING, /* the engine was told that no more comes */
    FLY_PHASE_ENDED
};

struct fly_ingest_session {
    const struct fly_stage_ingest_config *config;
    int wake_fd; /* the recorder's, when durable moves */
    enum fly_phase phase;
    uint64_t serial;
    struct fly_session_info *info;
    struct fly_recorder *recorder;
    uint64_t start_ticket;
    struct fly_sequence sequences[FLY_STREAMS_MAX];
    void *sequence_memory[FLY_STREAMS_MAX];
    int32_t n_streams;
    int64_t heartbeat_ns;
    int64_t stop_deadline_ns;
    uint64_t last[FLY_STREAMS_MAX]; /* once its stop came: the highest seq of each stream that belongs to it */
    struct fly_session_end end;
    /* messages that went by the recording since the last GAP record */
    uint64_t gap_messages, gap_first[FLY_STREAMS_MAX], gap_last[FLY_STREAMS_MAX];
    int behind_told;
    struct fly_status told; /* as last written to the bus */
    uint64_t told_ticket;
    uint64_t end_durable; /* once ended: tickets of its recording that are on disk */
};

void fly_ingest_session_init(struct fly_ingest_session *session,
                             const struct fly_stage_ingest_config *config, int wake_fd);
void fly_ingest_session_fini(struct fly_ingest_session *session);

/* As decode needs it. */
struct fly_session_view fly_ingest_session_view(const struct fly_ingest_session *session);

/* 1: the id belongs to a recording that is there. */
int fly_ingest_session_known(const struct fly_ingest_session *session, const char *id);

/* Could it be opened? FLY_ERANGE, FLY_ENOMEM: what is wrong with this start; nothing changed. */
FLY_MUST_USE int fly_ingest_session_may_begin(const struct fly_ingest_session *session,
                                              const struct fly_ingest *msg, const struct fly_start *start,
                                              const struct fly_part *header);

/* Open a new session: facts, numbers, recording. FLY_ERANGE, FLY_ENOMEM: it cannot be, and why; nothing
 * changed. A recording that cannot be made is told, and the session runs without. */
FLY_MUST_USE int fly_ingest_session_begin(struct fly_ingest_session *session, const struct fly_ingest *msg,
                                          const struct fly_start *start, const struct fly_msg *raw,
                                          int32_t step_chips);

/* The same from a recording: no new file is made; the recorder comes with reopen. */
FLY_MUST_USE int fly_ingest_session_restore(struct fly_ingest_session *session,
                                            const struct fly_ingest *msg, const struct fly_start *start,
                                            const struct fly_part *header,
                                            const struct fly_options *options, uint64_t ticket,
                                            int32_t step_chips);

/* Open an unfinished file to go on with, and, once it was read back, take it as the session's. */
FLY_MUST_USE int fly_ingest_session_append(struct fly_ingest_session *session, const char *path,
                                           struct fly_recorder **recorder);
void fly_ingest_session_reopen(struct fly_ingest_session *session, struct fly_recorder **recorder);

/* Tell the publisher and whoever asks for the status. The engine stage has been handed the session by
 * then: a request that follows finds it. */
void fly_ingest_session_announce(struct fly_ingest_session *session);

/* FLY_ERANGE: a message too large for the recording. Then it is refused whole: to look at what cannot be kept
 * would leave a hole that no sending again could fill. */
FLY_MUST_USE int fly_ingest_session_takes(const struct fly_ingest_session *session,
                                          const struct fly_msg *raw);

/* Note and record one message. 1: it is new, and *ticket (0: went by the recording); 0: a repeat, a
 * conflict or a number too far off, counted. */
int fly_ingest_session_accept(struct fly_ingest_session *session, const struct fly_ingest *msg,
                              const struct fly_msg *raw, uint64_t *ticket);

/* Note a message that stands in the recording under ticket. */
void fly_ingest_session_note(struct fly_ingest_session *session, int32_t stream_idx, uint64_t seq,
                             uint64_t hash, uint64_t ticket);

void fly_ingest_session_repeat(struct fly_ingest_session *session, const struct fly_ingest *msg,
                               const struct fly_msg *raw);
void fly_ingest_session_use_up(struct fly_ingest_session *session, enum fly_refusal why,
                               const struct fly_ingest *msg, const struct fly_msg *raw);

void fly_ingest_session_stop(struct fly_ingest_session *session, const struct fly_ingest *msg);
void fly_ingest_session_abort(struct fly_ingest_session *session, const char *reason);

/* Everything the stop counted has come, or the wait for it is over. */
int fly_ingest_session_all_here(const struct fly_ingest_session *session, int64_t now_ns);

/* The engine has drained it: finish the recording. */
void fly_ingest_session_end(struct fly_ingest_session *session);

/* Numbers and states to the bus; call it once a turn. */
void fly_ingest_session_tell(struct fly_ingest_session *session);

#endif
