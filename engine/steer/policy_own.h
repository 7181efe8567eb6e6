/* engine/steer/policy_own.h: what the files of the policy share; nobody else's.
 *
 *   view.c    may a plan be made from it
 *   smooth.c  posteriors smoothed
 *   weigh.c   what each chip is worth: queue, need, gain, value, and why it may not be exposed
 *   choose.c  which chips: the best, the least-dosed, the next in turn
 *   tiles.c   chips made tiles, in the order that the beam takes; what that costs
 *   policy.c  the order of the steps
 */
#ifndef FLY_STEER_POLICY_OWN_H
#define FLY_STEER_POLICY_OWN_H

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/policy.h"

/* Why a chip waits; each once, in this order. */
enum fly_steer_wait { FLY_WAIT_NONE = 0, FLY_WAIT_BARRED, FLY_WAIT_RESTING, FLY_WAIT_CAPPED };

/* A chip and what it is sorted by: higher first, ties by chip. */
struct fly_steer_pick {
    double key;
    int32_t chip;
    enum fly_steer_reason reason;
};

struct fly_steer {
    int32_t rows, cols, classes_cap, n;

    /* kept */
    uint8_t *queue;     /* (K) 1: in it */
    int seen;           /* 1: a view was */
    uint64_t epoch, births; /* of the last view */
    int32_t quiet;      /* epochs without a birth */
    double agreement;   /* NaN: not known */
    double change;      /* of it in the last epoch; NaN: not known */

    /* of this plan */
    double composition_error, mean_us; /* struct fly_steer_found */
    double *frame[2];   /* (rows + 2, cols + 2, C) posteriors with a border of zeros */
    double *smooth;     /* (K, C) */
    int has_smooth;
    double *error;      /* (K) perr */
    double *lack;       /* (K) nats that a chip of the queue lacks; 0 of others */
    uint8_t *first, *second; /* (K) the likeliest classes; equal where there is one alone */
    uint8_t *wants;     /* (K) 1: the queue, or its class's composition, asks for it */
    uint8_t *blocked;   /* (K) 1: chosen, or too near to one that is */
    struct fly_steer_pick *pick; /* (K) scratch */
    struct fly_steer_pick *chosen; /* (FLY_STEER_TILES_MAX) the more important first */
    double *rate;       /* (C, C) of the signal planned */
    double *image_rate; /* (C, C) scratch */
    int32_t *turn;      /* (rows) of each row in a pass */
};

/* What is the same for all chips of a plan. */
struct fly_steer_task {
    struct fly_steer *state;
    const struct fly_steer_config *config;
    const struct fly_steer_view *view;
    double cap_us;
    double rate_floor, rate_unknown; /* nats a us */
    double join, leave;   /* odds at which a chip joins the queue and leaves it */
    double leave_llr;
    int32_t reach;        /* chips either way that a chosen one blocks */
    double overlap;       /* sum of what the chips' means rise by, at most, for a us of one chip */
    uint64_t dose_key;    /* of the dose so far: chance is the same until something is exposed */
    double dose_left_us;  /* of the map's mean */
    double dwell_us;
    enum fly_signal signal;
};

int fly_steer_view_check(const struct fly_steer *state, const struct fly_steer_config *config,
                         const struct fly_steer_view *view);
uint64_t fly_steer_view_hash(const struct fly_steer_view *view);

void fly_steer_smooth(struct fly_steer *state, const struct fly_steer_config *config, const struct fly_steer_view *view);

/* Also into clones for other processors, which the compiler leaves to itself to refuse. */
#ifdef __GNUC__
#define FLY_STEER_INLINE static inline __attribute__((always_inline))
#else
#define FLY_STEER_INLINE static inline
#endif

/* exp of 0 <= x < 700 or -700 < x <= 0, the same bits in a loop over many numbers as alone: within 2 units of the last
 * place. Cody and Waite 1980: x = n ln 2 + r, Taylor's polynomial of exp(r) to r^13, its rest below 2^-57. */
FLY_STEER_INLINE double fly_steer_exp(double x)
{
    const double round = 0x1.8p52; /* beside it a sum keeps no fraction, and its low bits are the integer */
    double whole = x * 0x1.71547652b82fep0 + round, n = whole - round, r, p, scale;
    uint64_t bits;

    r = (x - n * 0x1.62e42fefa0000p-1) - n * 0x1.cf79abc9e3b3ap-40;
    p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &whole, sizeof bits);
    bits = (bits << 52) + ((uint64_t)1023 << 52);
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* ---- of one chip ----------------------------------------------------------------------------------- */

/* Fall of the error of a chip that needs need_us and is given dwell_us. */
static inline double fly_steer_gain(double error, double need_us, double dwell_us)
{
    double part = need_us > 0.0 ? dwell_us / need_us : 700.0;

    return error * (1.0 - fly_steer_exp(part < 700.0 ? -part : -699.0));
}

static inline double fly_steer_chip_need(const struct fly_steer_task *t, int32_t k)
{
    const struct fly_steer *s = t->state;

    return s->lack[k] > 0.0 ? s->lack[k] / s->rate[s->first[k] * t->view->classes + s->second[k]] : 0.0;
}

static inline double fly_steer_room(const struct fly_steer_task *t, int32_t k)
{
    return (t->cap_us - (double)t->view->max_us[k]) * (1.0 - 1e-12); /* so that cap - dose + dose is not above it */
}

/* May it be exposed for dwell_us now? */
static inline enum fly_steer_wait fly_steer_waits(const struct fly_steer_task *t, int32_t k, double dwell_us)
{
    const struct fly_steer_view *v = t->view;

    if (v->barred && v->barred[k])
        return FLY_WAIT_BARRED;
    if (v->last_ns && v->last_ns[k] > 0 &&
        (double)v->now_ns - (double)v->last_ns[k] < 1e6 * t->config->rest_ms)
        return FLY_WAIT_RESTING;
    return (double)v->max_us[k] + dwell_us <= t->cap_us ? FLY_WAIT_NONE : FLY_WAIT_CAPPED;
}

static inline int fly_steer_hopeless(const struct fly_steer_task *t, int32_t k)
{
    return fly_steer_chip_need(t, k) > t->config->hopeless * fly_steer_room(t, k);
}

/* Has it had so much more than the others that it waits for them? */
static inline int fly_steer_ahead(const struct fly_steer_task *t, int32_t k)
{
    double mean_us = fmax(t->state->mean_us, t->view->survey_us); /* where no dose is known, too */

    return (double)t->view->mean_us[k] + 0.5 * t->view->survey_us > t->config->uneven * mean_us;
}

/* A number of the chip that chance has drawn, for this dose of the map. */
static inline uint64_t fly_steer_draw(const struct fly_steer_task *t, int32_t k)
{
    return fly_mix64(t->dose_key + (uint64_t)(k + 1) * 0x9E3779B97F4A7C15u);
}

/* Beam time of a chip on its own, without its way. */
static inline double fly_steer_chip_cost(const struct fly_steer_task *t)
{
    double side = t->view->side_px;

    return t->config->settle_us + side * (side * t->dwell_us + t->config->flyback_us);
}

/* Time for the beam from one place to another: both axes move at once. */
static inline double fly_steer_way(const struct fly_steer_task *t, double dy_px, double dx_px)
{
    return fmax(fabs(dy_px), fabs(dx_px)) / t->config->slew_px_per_us;
}

/* ---- weigh.c ---------------------------------------------------------------------------------------- */

/* Rates (C, C) of a signal, us^-1. */
void fly_steer_rates(const struct fly_steer_task *t, enum fly_signal signal, double *rate);
/* Classes, error, lack, queue, who wants beam; expected error and disagreement of the map. */
void fly_steer_weigh(struct fly_steer_task *t, struct fly_steer_plan *plan);
/* Value and reason at the plan's dwell: the sum of its terms, and the largest. */
double fly_steer_value(const struct fly_steer_task *t, int32_t k, enum fly_steer_reason *reason);

/* ---- choose.c --------------------------------------------------------------------------------------- */

/* Signal and dwell; then chips into state->chosen, at most `most`. Returns how many; counts those that wait. */
int32_t fly_steer_choose(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan);

/* ---- tiles.c ---------------------------------------------------------------------------------------- */

/* The first n of `chosen` become the plan's tiles. */
void fly_steer_lay(const struct fly_steer_task *t, const struct fly_steer_pick *chosen, int32_t n,
                   struct fly_steer_plan *plan);
struct fly_steer_tile fly_steer_tile_of(const struct fly_steer_task *t, int32_t k, double score,
                                        enum fly_steer_reason reason);

/* ---- policy.c ---------------------------------------------------------------------------------------- */

/* What the plain twin (policy_ref.c) does in its own way. */
struct fly_steer_way_of {
    void (*smooth)(struct fly_steer *state, const struct fly_steer_config *config, const struct fly_steer_view *view);
    int32_t (*choose)(struct fly_steer_task *task, int32_t most, struct fly_steer_plan *plan);
};
FLY_MUST_USE int fly_steer_plan_by(const struct fly_steer_way_of *by, struct fly_steer *state,
                                   const struct fly_steer_config *config, const struct fly_steer_view *view,
                                   struct fly_steer_plan *out);

#endif
