/* sim/obey.h: an acquisition that does as it is commanded: takes commands, measures line by line, says how far it is.
 *
 * It is stepped: each step is a move of the beam or one line, so that whoever steps it hears a `stop` before
 * the next line. A command goes this way, with an ack at each arrow:
 *
 *   taken ─received─▶ waits (delay, dead time) ─started─▶ its targets, frame by frame ─done─▶
 *         └─rejected: unknown kind, out of field, dwell, no such detector, busy, unwell
 *                   └─rejected: expired, stopped, what the instrument cannot measure
 *
 * `stop` and `blank` act after the line being measured; what was measured of the running command is handed
 * over, and its `done` says how much that was. `raster` measures full frames until another command comes, or
 * as many as it says. A raster and what waits give way to a stop, which acts as often as it
 * comes. The beam is off whenever nothing is measured.
 *
 * Time     the beam's own, us, from init on: dwell, flyback, moves, dead time. Nothing here waits; whoever steps
 *          it may. Unix time is handed in and only compared with valid_until_ns.
 * Random   refusals depend on seed and the order of commands alone.
 * Threads  one.
 */
#ifndef FLY_SIM_OBEY_H
#define FLY_SIM_OBEY_H

#include <stdint.h>

#include "engine/base/rng.h"
#include "sim/instrument.h"
#include "sim/motion.h"
#include "stream/steer.h"

enum {
    FLY_OBEY_WAITING = 4,      /* commands that wait behind the running one; more are rejected */
    FLY_OBEY_REMEMBERED = 256, /* ids of which a repeat is known: it is acknowledged as before, and measured no more */
};

struct fly_obey_config {
    struct fly_motion_config motion;
    double dead_us;       /* of each command, before its first move: 0 .. 1e7, default 500 */
    double delay_us;      /* from hearing a command to beginning it: 0 .. 1e8, default 0 */
    double refuse;        /* chance that a command is rejected for no fault of its own: 0 .. 1, default 0 */
    uint64_t seed;
};
struct fly_obey_config fly_obey_config_default(void);
FLY_MUST_USE int fly_obey_config_check(const struct fly_obey_config *config); /* FLY_ERANGE names it */

/* What it does to the world. What is not FLY_OK ends the step and is returned. */
struct fly_obey_out {
    int (*ack)(void *ctx, const struct fly_ack *ack);
    /* Measure and deliver. The patch is one that the instrument takes; signal says which streams. */
    int (*measure)(void *ctx, const struct fly_patch *patch, enum fly_signal signal);
    void *ctx;
};

struct fly_obey_report {
    uint64_t commands, done, rejected, stopped; /* stopped: done, but cut short */
    double beam_us;     /* the specimen was exposed */
    double move_us;     /* jumps, flybacks, dead time and delays */
    double exposed_us;  /* pixels times dwell, survey included: fly_obey_expose adds to it */
    int64_t pixels;
};

struct fly_obey; /* about half a MiB */

/* instrument is lent until close. FLY_ERANGE, FLY_ENOMEM. */
FLY_MUST_USE int fly_obey_open(struct fly_obey **out, const struct fly_obey_config *config,
                               const struct fly_instrument *instrument, const struct fly_obey_out *to);
void fly_obey_close(struct fly_obey **obey);

/* A message of type command, as it came. What cannot be decoded is rejected, if its id could be read. */
FLY_MUST_USE int fly_obey_hear(struct fly_obey *obey, const struct fly_part *parts, int32_t n_parts);

/* One move, line or decision. FLY_EAGAIN: there is nothing to do. */
FLY_MUST_USE int fly_obey_step(struct fly_obey *obey, int64_t unix_ns);

/* The safe state, by itself: as a `stop` and a `blank`, and what waits is rejected. why is for the acks. */
FLY_MUST_USE int fly_obey_safe(struct fly_obey *obey, const char *why);

/* The beam was elsewhere on its own account: a survey. */
void fly_obey_expose(struct fly_obey *obey, int64_t frame, int64_t pixels, double dwell_us);

int fly_obey_busy(const struct fly_obey *obey);          /* something runs or waits */
double fly_obey_time_us(const struct fly_obey *obey);
/* Mean over the field, us a pixel; times e_per_A2_per_us it is a dose. */
double fly_obey_mean_us(const struct fly_obey *obey);
void fly_obey_report(const struct fly_obey *obey, struct fly_obey_report *report);

#endif
