/* engine/region/spots.h: peaks of a power spectrum that noise would not make, and what surrounds them.
 *
 * spacing.h says what a spot is. Distances are in bins of the transform; a "period" is a cycle over the picture's
 * own width, which is side / width bins.
 *
 * Threads  pure but for the worker's input, what lies behind the power, and its tables from 2 on: overwritten.
 */
#ifndef FLY_REGION_SPOTS_H
#define FLY_REGION_SPOTS_H

#include "engine/region/spacing.h"

enum { FLY_PEAKS = 12 };

struct fly_peak {
    int32_t ky, kx;    /* the bin, kx >= 0 */
    double fy, fx;     /* cycles a pixel, by a parabola through the logarithms of the neighbours on each axis */
    double background; /* mean power of the noise there, by its ring */
    double snr;        /* power / background */
};

/* Where in k-space a lattice is looked for. */
struct fly_annulus {
    const float *power; /* (columns, M) */
    int32_t side, columns, reach;
    double y, x;     /* bins on an axis to bins of radius: 1, 1 for square pixels */
    double in, out;  /* radii */
    double period;   /* bins that a period is wide, >= 1 */
    double period_y, period_x; /* the same on each axis */
};

struct fly_annulus fly_annulus_of(const struct fly_transform *transform, const struct fly_transform_work *work,
                                  const struct fly_picture *picture, const double pixel[2], const double d[2]);

/* Fill peaks with spots in the annulus or within 3/4 period of it, highest snr first; returns how many. */
int32_t fly_peaks_find(struct fly_peak peaks[FLY_PEAKS], const struct fly_annulus *annulus,
                       struct fly_transform_work *work);

/* Add what stands out within 3 periods of the annulus on either side, behind the n_peaks of it; returns how many
 * there are now. A {110} there is nothing to report, but no noise either. */
int32_t fly_peaks_beside(struct fly_peak peaks[2 * FLY_PEAKS], int32_t n_peaks, const struct fly_annulus *annulus);

/* The mean power of noise around a peak: a ring of 3 periods without all of the peaks. */
double fly_peak_background(const struct fly_annulus *annulus, const struct fly_peak *peak, const struct fly_peak *peaks,
                           int32_t n_peaks, struct fly_transform_work *work);

/* Offset of the maximum of a parabola through the logarithms of three powers, in bins, at most half a bin. */
double fly_log_parabola(double left, double middle, double right);

/* Crystallinity as spacing.h has it. floor: mean power of shot noise. */
double fly_peaks_share(const struct fly_annulus *annulus, const struct fly_peak *peaks, int32_t n_peaks, double floor);

#endif
