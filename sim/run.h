/* sim/run.h: one run of `flyback sim`: an instrument, the way to Flyback, a judge, and time.
 *
 * cmd_sim.c scans frames on its own; obey_run.c is told where to measure. Here is what both need: messages
 * handed over with patience, heartbeats, the pace of the beam, the end of a session.
 *
 * Threads  one. SIGINT and SIGTERM are heard while fly_tool_signals_begin is in force.
 */
#ifndef FLY_SIM_RUN_H
#define FLY_SIM_RUN_H

#include <stdint.h>

#include "sim/acquire.h"
#include "sim/instrument.h"
#include "sim/judge.h"
#include "sim/sender.h"
#include "sim/sim_options.h"
#include "sim/stack.h"
#include "sim/truth.h"

struct fly_run {
    struct fly_sim_options options;
    struct fly_clock clock;
    struct fly_specimen *specimen; /* NULL with a recorded one */
    struct fly_beam *beam;
    struct fly_truth *truth;
    struct fly_acquire *acquire;
    struct fly_stack *stack;       /* NULL without --from */
    struct fly_instrument instrument; /* of one of the two */
    struct fly_net *net;
    struct fly_sender *sender;
    struct fly_judge *judge;
    int64_t begun_ns, heartbeat_ns, told_ns, done_ns;
    double way_us;               /* the beam's own time */
    double scanned;              /* what the judge is told: fraction of the scan, or mean dose in survey dwells */
    int64_t blocks, blocks_done; /* of a scan */
    char suggested_stop[FLY_STEER_WORD_MAX + 1]; /* what Flyback's newest suggestion says of going on */
    int judge_failed;            /* a map broke the protocol: told once, scored no more */
    int terminal;
    void (*tell)(struct fly_run *); /* progress, on a terminal, at most 5 times a second */
};

/* Everything that options ask for. fly_run_close forgives a half-made one. */
FLY_MUST_USE int fly_run_open(struct fly_run *run);
void fly_run_close(struct fly_run *run);

int64_t fly_run_now_ns(const struct fly_run *run);
int fly_run_stop_asked(void);

/* Stamp of a moment of the beam's own time, so that the same scan gives the same bytes. */
int64_t fly_run_stamp_ns(const struct fly_run *run);

/* Hear Flyback, send what waits, at most timeout_ms. FLY_EIO: it has been silent for too long. */
FLY_MUST_USE int fly_run_listen(struct fly_run *run, int32_t timeout_ms);

/* Into the window, waiting for room. FLY_EAGAIN: interrupted; the message's number is free again. */
FLY_MUST_USE int fly_run_hand_over(struct fly_run *run, const struct fly_message *message);

/* A heartbeat when one is due. */
FLY_MUST_USE int fly_run_keep_alive(struct fly_run *run);

/* Until the beam, way_us on, would be there in real time. Late by more than 0.2 s the schedule gives way: it
 * cannot catch up faster than it scans. FLY_EAGAIN: interrupted. */
FLY_MUST_USE int fly_run_wait(struct fly_run *run, int64_t *schedule_ns);

/* Say start; t0 is now unless options say when. */
FLY_MUST_USE int fly_run_begin(struct fly_run *run);

/* Say stop and wait for Flyback's. FLY_EAGAIN: interrupted while waiting. */
FLY_MUST_USE int fly_run_finish(struct fly_run *run, const char *exit_status, const char *reason, int64_t timeout_ms,
                                int heed_signals);

void fly_run_end_progress(const struct fly_run *run);

#endif
