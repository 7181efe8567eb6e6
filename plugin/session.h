/* plugin/session.h: one session: what its start declared, and the engine that thinks about it.
 *
 * The same object serves `flyback run` (fed by sockets), a restart (fed by its own recording) and
 * `flyback analyze` (fed by files): inputs in, in one order; steps and epochs in between. It is a
 * function of that sequence alone, so a replay that follows the journal has the same maps to the bit.
 *
 * Threads  one at a time, but for struct fly_session_info, which never changes once made.
 */
#ifndef FLY_PLUGIN_SESSION_H
#define FLY_PLUGIN_SESSION_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/engine.h"
#include "plugin/options.h"
#include "plugin/recall.h"
#include "stream/recording.h"
#include "stream/wire.h"

/* What the configuration makes of a start: which streams are looked at, and where the chips lie.
 * Streams that are not looked at are still recorded. */
struct fly_plan {
    struct fly_grid grid;
    int32_t image;                        /* stream index of the image detector, -1: none */
    enum fly_dtype dtype;
    int32_t n_segments;                   /* EDS segments summed: those with the axes of the first */
    int32_t segment_of[FLY_STREAMS_MAX];  /* engine segment of a stream index, -1: not looked at */
    int32_t n_channels;
    double ev_per_channel, ev_offset;
    double pixel_nm[2];                   /* y, x; NaN unknown */
    int32_t n_ignored;                    /* streams recorded but not looked at */
    int communities;                      /* 0: none, there are more chips than graph.chips_max */
    int ward;                             /* 0: none, there are more chips than tree.chips_max */
};

/* FLY_ERANGE: the chip size does not fit the scan, or no stream can be looked at. */
FLY_MUST_USE int fly_plan_make(struct fly_plan *plan, const struct fly_options *options,
                               const struct fly_start *start);

/* Streams of a start, by index: 0 control, then detectors, then segments. */
static inline int32_t fly_start_streams(const struct fly_start *start)
{
    return 1 + start->n_detectors + start->n_segments;
}
const char *fly_start_stream(const struct fly_start *start, int32_t idx);

/* The facts of a session, shared by the stages; freed when the last lets go. */
struct fly_session_info {
    atomic_int holders;
    uint64_t serial; /* 1, 2, ... in the life of the process */
    char id[FLY_SESSION_MAX + 1];
    struct fly_start start; /* what it leaves out of times is the configuration's */
    unsigned char *header;  /* the start's header, as it came */
    size_t header_len;
    struct fly_plan plan;
    struct fly_options options; /* in force at its start */
    int resumed;
    struct fly_embedder *embedder; /* its own, where the process's is another than it began with; else NULL */
    int32_t step_chips;            /* to follow a journal; 0: as the engine likes */
    _Atomic(struct fly_recorder *) recorder; /* NULL: none, or not open (yet, or any more) */
    atomic_int resuming;           /* 1 while a restart reads it back: no thinking, no changes */
};
FLY_MUST_USE int fly_session_info_make(struct fly_session_info **out, const char *id,
                                       const struct fly_start *start, const struct fly_part *header,
                                       const struct fly_options *options);
struct fly_session_info *fly_session_info_hold(struct fly_session_info *info);
void fly_session_info_drop(struct fly_session_info **info);

/* 1: an embedder opened for one serves the other, to the bit. */
int fly_options_same_embedder(const struct fly_options *a, const struct fly_options *b);

/* Open the embedder the options name, reading its weights. Embedders outlive sessions. *out is NULL
 * after FLY_OK when none is needed. */
FLY_MUST_USE int fly_embedder_from_options(struct fly_embedder **out, const struct fly_options *options,
                                           int32_t width);
void fly_session_embedder_close(struct fly_embedder **embedder); /* while other threads run */

struct fly_session;

/* What one message did. */
struct fly_effect {
    int64_t pixels, photons, photon_outside, nonfinite, unchecked;
    int32_t chips_done; /* chips that took a frame by it */
    int conflict;     /* some of its pixels were there with other content */
    int unassembled;  /* recorded, but beyond the engine's room for open frames; text in fly_fail_text */
};

/* given: (K, D) embeddings instead of an embedder's, or NULL. exec and embedder are lent. */
FLY_MUST_USE int fly_session_open(struct fly_session **out, struct fly_session_info *info,
                                  struct fly_embedder *embedder, const float *given,
                                  int32_t given_width, const struct fly_exec *exec);
void fly_session_close(struct fly_session **session);

/* Put one accepted lines or eds message in. stamp: its arrival, for latencies. */
void fly_session_apply(struct fly_session *session, const struct fly_ingest *msg, int64_t stamp,
                       struct fly_effect *effect);

/* Run a request that changes something (support.add, support.remove, class.rename, class.remove,
 * params.set, frame.shift, cluster.name, cluster.role); result is packed into `result` on success.
 * FLY_ERANGE with words that name the key and what is allowed, *code a word for programs: nothing
 * changed. */
FLY_MUST_USE int fly_session_control(struct fly_session *session, const char *op, struct fly_value args,
                                     struct fly_pack *result, const char **code);
int fly_session_control_known(const char *op); /* 1: an op of the list above */
#define FLY_SHIFT_BY_DRIFT "drift" /* `by` of a frame.shift that the engine stage adopted itself */

/* The arguments of such a request as they are recorded, and then handed to fly_session_control: those that name a
 * cluster with its chips as they are now (recall.h), others as they came. bytes: FLY_HEADER_MAX of them, lent as long
 * as the value is used. */
struct fly_value fly_session_control_args(struct fly_session *session, const char *op, struct fly_value args,
                                          void *bytes);

/* Load a support set (name -> chips) as if by support.add. FLY_ERANGE, FLY_EIO, FLY_EWIRE. */
FLY_MUST_USE int fly_session_load_support(struct fly_session *session, const char *path);

void fly_session_finish(struct fly_session *session);
int fly_session_step(struct fly_session *session);  /* as fly_engine_step */
/* As fly_engine_epoch; then names that waited find their clusters. 1 also where only a name or a role changed. */
int fly_session_epoch(struct fly_session *session);

struct fly_engine *fly_session_engine(struct fly_session *session);
const struct fly_session_info *fly_session_facts(const struct fly_session *session);
const struct fly_options *fly_session_options(const struct fly_session *session); /* params.set in */
struct fly_options *fly_session_options_mutable(struct fly_session *session); /* for session_control.c */
/* Why this session's spectra are not, or not wholly, quantified as asked; "" when they are. */
const char *fly_session_quantify_note(const struct fly_session *session);
const char *fly_session_embedder_name(const struct fly_session *session);
struct fly_recall *fly_session_recall(struct fly_session *session); /* names that wait for their clusters */

#endif
