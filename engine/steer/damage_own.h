/* engine/steer/damage_own.h: what damage.c, which takes exposures, and damage_find.c, which looks for trends, share. */
#ifndef FLY_STEER_DAMAGE_OWN_H
#define FLY_STEER_DAMAGE_OWN_H

#include <math.h>

#include "engine/steer/damage.h"

/* When a chip was exposed: a is the log of its dose at the middle of the exposure, in units of the first. */
struct fly_damage_course {
    double dose_us, first_us;
    double looked_us; /* dose at the last look */
    int32_t looks, exposures;
};

/* Sums over exposures, of a to the power 0 .. 3. */
struct fly_damage_counted {
    struct fly_damage_course course;
    double n[4]; /* of photons */
    double x[4]; /* of dwell times current */
};

struct fly_damage_imaged {
    struct fly_damage_course course;
    double w[3]; /* of dwell, powers of a 0 .. 2 */
    double m[2]; /* of dwell times intensity, powers 0, 1 */
    double m2;   /* of dwell times intensity squared */
    double rss;  /* as it is in the sums over chips */
};

/* What chips are looked at by. */
enum { FLY_DAMAGE_BY_COUNTS = 0, FLY_DAMAGE_BY_IMAGE, FLY_DAMAGE_WAYS };

struct fly_damage_waiting {
    int32_t chip;
    double dwell_us;
    double amount; /* photons; or mean intensity */
    uint32_t counts[FLY_DAMAGE_WINDOWS_MAX];
};

struct fly_damage_batch {
    struct fly_damage_waiting exposure[FLY_DAMAGE_BATCH];
    int32_t n;
    double current; /* of the last one */
};

struct fly_damage {
    struct fly_damage_config config;
    int32_t chips, batch_chips;
    double moved;
    struct fly_damage_counted *counted; /* (K) */
    uint32_t *count;                    /* (K, windows) */
    double *slant;                      /* (K, windows) sums of counts times a */
    uint32_t *seen;                     /* (K, windows) counts handed over so far, those that wait among them */
    uint64_t *seen_total;               /* (K) */
    double *seen_us;                    /* (K) */
    struct fly_damage_imaged *imaged;   /* (K) */
    struct fly_damage_batch photons, images;
    int32_t *booked;                       /* chips that had exposures since the last look, each once */
    uint8_t *is_booked;                    /* (K) bits 1 << FLY_DAMAGE_BY_COUNTS, .. */
    int32_t n_booked;
    int64_t since_spread[FLY_DAMAGE_WAYS]; /* exposures booked since the spreads below were taken */
    double spread[FLY_DAMAGE_WAYS];        /* of rates' and of images' relative slopes, beyond their noise */
    double *sorted;                        /* (2, K) scratch */
    double rss, rss_by_mean, freedom;      /* of the images of all chips */
    double weight, brightness;             /* dwell, and dwell times intensity, of all chips */
    uint8_t *damaged, *barred;             /* (K) */
    int32_t n_damaged, n_barred;
    struct fly_damage_finding last;
};

/* Mean, variance and third central moment of a. */
struct fly_damage_moments {
    double mean, variance, third;
};

static inline struct fly_damage_moments fly_damage_moments_of(const double *sums, int powers)
{
    struct fly_damage_moments m = {.mean = sums[1] / sums[0]};

    m.variance = fmax(0.0, sums[2] / sums[0] - m.mean * m.mean);
    if (powers > 3)
        m.third = sums[3] / sums[0] - 3.0 * m.mean * m.variance - m.mean * m.mean * m.mean;
    return m;
}

/* Of a chip so far: photons for a us of unit current, mean intensity; NaN: none. */
static inline double fly_damage_rate_of(const struct fly_damage *d, int32_t chip)
{
    const struct fly_damage_counted *c = &d->counted[chip];

    return c->x[0] > 0.0 ? c->n[0] / c->x[0] : NAN;
}

static inline double fly_damage_mean_of(const struct fly_damage *d, int32_t chip)
{
    const struct fly_damage_imaged *c = &d->imaged[chip];

    return c->w[0] > 0.0 ? c->m[0] / c->w[0] : NAN;
}

#endif
