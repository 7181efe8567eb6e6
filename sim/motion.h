/* sim/motion.h: what it costs to send a beam somewhere, and where it truly is when it gets there.
 *
 * Scan coils slew at a finite rate and ring afterwards; their cores remember the field they come from, so
 * that after a jump the beam falls short of its goal by a share of the way, and creeps up to it:
 *
 *   time of a jump    way / px_per_us + settle_us
 *   error on arrival  what is left of the error before, minus hysteresis times the way
 *   error after t     error exp(-t / relax_us); it relaxes while the beam settles, too
 *
 * The way is Euclidean, px. The next line of the same target costs flyback_us and makes no error: what a
 * scan does all the time is calibrated away.
 *
 * Threads  a motion is a plain value.
 */
#ifndef FLY_SIM_MOTION_H
#define FLY_SIM_MOTION_H

#include "engine/base/err.h"

/* No error is larger, along each axis: a specimen has no more margin than drift and this (specimen.h). */
#define FLY_MOTION_ERROR_MAX_PX 3.0

struct fly_motion_config {
    double px_per_us;  /* slew: 0.001 .. 1e6, default 20: half a field of 512 px in 13 us */
    double settle_us;  /* 0 .. 1e6, default 50 */
    double flyback_us; /* of each line, 0 .. 1e6, default 20 */
    double hysteresis; /* share of a jump, 0 .. 0.1, default 0.005: 1 px after 200 px */
    double relax_us;   /* 1 .. 1e7, default 200: a few lines of a chip */
};
struct fly_motion_config fly_motion_config_default(void);
FLY_MUST_USE int fly_motion_config_check(const struct fly_motion_config *config); /* FLY_ERANGE names it */

struct fly_motion {
    struct fly_motion_config config;
    double at_px[2];    /* where the beam was sent, y and x */
    double error_px[2]; /* how far from there it is now */
};

/* At a place, without error. */
void fly_motion_init(struct fly_motion *motion, const struct fly_motion_config *config, double y_px, double x_px);

/* What a jump would take, us; nothing moves. */
double fly_motion_cost_us(const struct fly_motion *motion, double y_px, double x_px);

/* Jump, settle. Returns the time it took, us: 0 when the beam is there. */
double fly_motion_jump(struct fly_motion *motion, double y_px, double x_px);

/* On along a line that begins where the beam is: w_px pixels, dwell_us each. Returns the time, us. */
double fly_motion_line(struct fly_motion *motion, double w_px, double dwell_us);

/* Back to the beginning of the next line. Returns flyback_us. */
double fly_motion_flyback(struct fly_motion *motion, double y_px, double x_px);

/* Time goes by. */
void fly_motion_rest(struct fly_motion *motion, double us);

#endif
