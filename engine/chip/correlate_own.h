/* engine/chip/correlate_own.h: what correlate.c, which searches, and correlate_place.c, which refines, share. */
#ifndef FLY_CHIP_CORRELATE_OWN_H
#define FLY_CHIP_CORRELATE_OWN_H

#include <fftw3.h>

#include "engine/chip/correlate.h"

static const double fly_pi = 3.14159265358979323846;

/* A picture and its spectrum, in units of its noise. */
struct fly_look {
    float *pixels;        /* (h, w) less the mean, 0 where there is no number */
    fftwf_complex *waves; /* (ny, nx / 2 + 1) */
    float *power;         /* the same, mean over neighbours */
};

struct fly_correlator {
    int32_t h, w, ny, nx, columns; /* columns: nx / 2 + 1 */
    int32_t reach_y, reach_x;      /* of the search */
    fftwf_plan forward, backward;
    double *window_y, *window_x;   /* (h), (w); moved at times, look lays them back */
    double *overlap_y, *overlap_x; /* (reach + 1) of the windows moved by 0, 1, .. px, 1 at 0 */
    double widening;               /* of variances, by neighbours that a window makes alike */
    struct fly_look reference, now;
    int has_reference, has_now;
    fftwf_complex *product;        /* (ny, columns) c conj(A) B: of all waves to search, of the strong ones to refine */
    int32_t *end;                  /* (ny) of a row of product the waves from here on are 0, while refining */
    fftwf_complex *moved[2];       /* both pictures' waves under moved windows */
    int all_strong;                /* the strong waves alone do not stand out: all are taken for strong */
    float *real;                   /* (ny, nx) a picture, sums, or L */
    float *sorted;                 /* (ny * columns / 2 + 1) for the median; then a row */
    float *map;                    /* (2 reach_y + 1, 2 reach_x + 1) L over the overlap */
    double *turn;                  /* (ny + columns, 2) of refine */
    double noise;                  /* sd of L at any place */
    double expected;               /* L where all of the strong waves' S lies on each other */
    double highest;                /* L of the last comparison */
    struct fly_peak best;          /* of it, over the overlap */
};

/* A Hann window over px samples, moved toward higher ones. */
void fly_window_lay(int32_t px, double moved_px, double *window);

/* Spectrum of the pixels under the windows as they lie; their mean there is taken off, so that nothing is left at
 * zero frequency. */
void fly_correlator_transform(struct fly_correlator *c, const float *pixels, fftwf_complex *waves);

/* S of waves that tell the place: noise never comes to it. */
static const float fly_strong = 3.0f;

/* S of a wave from the mean power of both pictures there, and its weight c. Of twice 3 x 3 waves of noise about 7 are
 * unlike under a window; their mean comes to 2 by a chance of 1 %. */
static inline float fly_structure(const struct fly_correlator *c, size_t i, float *weight)
{
    float power = 0.5f * (c->reference.power[i] + c->now.power[i]);
    float s = power > 2.0f ? power - 1.0f : 1e-3f, n = 1.0f + 0.05f * s;

    *weight = s / (n * (2.0f * s + n));
    return s;
}

static inline void fly_multiply(float weight, const fftwf_complex *a, const fftwf_complex *b, fftwf_complex *product)
{
    (*product)[0] = weight * ((*a)[0] * (*b)[0] + (*a)[1] * (*b)[1]);
    (*product)[1] = weight * ((*a)[0] * (*b)[1] - (*a)[1] * (*b)[0]);
}

#endif
