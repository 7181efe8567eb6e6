/* sim/acquire.h: the acquisition computer: a beam's numbers as ingest messages of the wire protocol.
 *
 * It knows what a session declares and which number each stream has reached; when to measure and how
 * to deliver are for others (cmd_sim.c, sender.h). The same settings, session and t_ns give the same
 * bytes.
 *
 * Streams  0 control, 1 the image detector ("haadf") if there is one, then the EDS segments.
 * Memory   a message's parts are lent until the next call.
 * Threads  one.
 */
#ifndef FLY_SIM_ACQUIRE_H
#define FLY_SIM_ACQUIRE_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/beam.h"
#include "sim/harm.h"
#include "sim/instrument.h"
#include "sim/scan.h"
#include "stream/wire.h"

/* Numbered as the wire's: dense is <u2 counts of each channel. */
enum fly_photon_layout { FLY_LAYOUT_DENSE = 0, FLY_LAYOUT_CSR, FLY_LAYOUT_PAIRS, FLY_LAYOUTS };
const char *fly_photon_layout_name(enum fly_photon_layout layout);

struct fly_acquire_config {
    const char *session;           /* 1 .. 64 of [A-Za-z0-9._-] */
    const char *sample;            /* told in the start */
    int32_t frames;                /* >= 1 */
    double dwell_us;
    int haadf, eds;                /* 1: that detector is on; not both 0 */
    enum fly_photon_layout layout;
    struct fly_scan scan;
    int commanded;                 /* 1: it will be told where to measure. Pixels are then intensities: counts over
                                    * dwell, in FLY_ACQUIRE_GAIN of a count at dwell_us; the start says neither how
                                    * many frames nor in which order */
    struct fly_harm_config harm;   /* what the beam does to the specimen; NONE: nothing */
};

/* Rounded intensities add a 50th of the noise that a count has. */
enum { FLY_ACQUIRE_GAIN = 16 };

struct fly_acquire;

/* specimen and beam are lent until close, the session's and the sample's names copied. FLY_ERANGE: a
 * wrong number or name, or a block that needs a payload beyond the wire's limit; FLY_ENOMEM. */
FLY_MUST_USE int fly_acquire_open(struct fly_acquire **out, const struct fly_specimen *specimen,
                                  const struct fly_beam *beam, const struct fly_acquire_config *config);
void fly_acquire_close(struct fly_acquire **acquire);

int32_t fly_acquire_streams(const struct fly_acquire *acquire);
const char *fly_acquire_stream(const struct fly_acquire *acquire, int32_t stream); /* its name */
uint64_t fly_acquire_count(const struct fly_acquire *acquire, int32_t stream); /* last number given */
uint64_t fly_acquire_photons(const struct fly_acquire *acquire); /* in all messages so far */

/* The next message of the control stream. A heartbeat's `dropped` is always 0: what cannot be
 * delivered waits. */
void fly_acquire_start(struct fly_acquire *acquire, int64_t t_ns, struct fly_message *message);
void fly_acquire_heartbeat(struct fly_acquire *acquire, int64_t t_ns, int64_t backlog,
                           struct fly_message *message);
void fly_acquire_stop(struct fly_acquire *acquire, int64_t t_ns, const char *exit_status,
                      const char *reason, struct fly_message *message);

/* What stream (>= 1) saw in the block at that step of that frame. FLY_ENOMEM: photons beyond what the
 * wire takes in one message; no number is used up. */
FLY_MUST_USE int fly_acquire_block(struct fly_acquire *acquire, int64_t frame, int32_t step, int32_t stream,
                                   int64_t t_ns, struct fly_message *message);

/* The same of any rectangle: h * w at most lines in a block times the width, dwell_us at most the beam's longest. */
FLY_MUST_USE int fly_acquire_patch(struct fly_acquire *acquire, const struct fly_patch *patch, int32_t stream,
                                   int64_t t_ns, struct fly_message *message);

/* All streams have seen that block: the specimen had its dose. fly_acquire_instrument's done() says so of a patch. */
void fly_acquire_block_done(struct fly_acquire *acquire, int64_t frame, int32_t step);

/* The microscope as a table; acquire is lent as long as it is used. */
struct fly_instrument fly_acquire_instrument(struct fly_acquire *acquire);

/* The message made last was not handed to anyone and never will be: its number is free again. */
void fly_acquire_take_back(struct fly_acquire *acquire, const struct fly_message *message);

#endif
