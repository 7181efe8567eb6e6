/* engine/chip/correlate.h: how far one picture is moved against another of the same size.
 *
 * Both pictures lose their mean and get a 2-D Hann window; then, with A and B their spectra in units of
 * their own white noise, the correlation
 *
 *   L(t) = sum over k of  c(k) Re(conj(A) B exp(i k t)),   c = S / (n (2 S + n)),   n = 1 + S / 20
 *
 * is the log likelihood of a movement t, but for a constant, of a common picture of power S under noise n (the
 * weight of Hannan and Thomson: Knapp, Carter 1976, doi:10.1109/TASSP.1976.1162830, table I). Noise is white, the
 * median power of the outer half of the waves over ln 2; S is the power of both pictures over neighbouring waves,
 * 3 x 3, less the noise, or a thousandth of the noise where that is less than the noise itself: so pictures as rough
 * as noise are compared, too. A twentieth of a wave's power is never believed: line jitter and distortion.
 *
 * L is divided by the overlap of the two windows, but only places of at least 0.7 of the highest L count: at the edge
 * of the search, where 0.4 are left of the overlap, half of a few particles that fall on each other by chance would
 * beat all of them.
 *
 * sigma is that of an estimator whose weights may be wrong (the sandwich of Huber 1967): from the phases that
 * the best movement leaves over, not from the model of the noise; widened for neighbouring waves that a window
 * makes alike.
 *
 * A lattice has a peak in every cell. The peaks are told, with how much less likely each is; which one is
 * right is not decided here.
 *
 * Movement  t: what lies at (y, x) of the reference lies at (y + t_y, x + t_x) of the picture. Searched within
 *           a quarter of the picture each way.
 * Pictures  (h, w) float; what is not finite is taken as the mean.
 * Threads   one at a time for each correlator; open and close of all of them on one thread (FFTW's planner).
 */
#ifndef FLY_CHIP_CORRELATE_H
#define FLY_CHIP_CORRELATE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

struct fly_correlator;

enum { FLY_CORRELATE_SIDE_MIN = 8, FLY_CORRELATE_SIDE_MAX = 256 };

size_t fly_correlator_need(int32_t h, int32_t w);

/* h, w within FLY_CORRELATE_SIDE_MIN .. _MAX (asserted). FLY_ENOMEM: the arena is too small, or FFTW makes no
 * plan. The arena holds it; close gives back FFTW's plans, and forgives NULL. */
FLY_MUST_USE int fly_correlator_open(struct fly_correlator **out, int32_t h, int32_t w,
                                     struct fly_arena *arena);
void fly_correlator_close(struct fly_correlator **correlator);

/* Take a picture. 1; 0 when it is constant: then there is nothing to compare, or to be compared with. */
int fly_correlator_look(struct fly_correlator *correlator, const float *picture);

/* The picture looked at last becomes the reference. It had something to see. */
void fly_correlator_adopt(struct fly_correlator *correlator);

/* Compare the picture looked at last with the reference, both there. 1; 0 where the highest peak does not stand
 * out from the noise (6 sigma: one chance in ten thousand over 2^16 places), or where less than half of the
 * structure that both have comes to lie on each other. */
int fly_correlator_compare(struct fly_correlator *correlator);

struct fly_peak {
    double y_px, x_px; /* t, to a fraction of a pixel by the parabola through 3 x 3 pixels */
    double value;      /* of L there; the highest first */
};

/* Peaks of the last comparison that the noise and 3 % of the highest do not tell from the highest, which is
 * the first; at most cap of them. */
int32_t fly_correlator_peaks(const struct fly_correlator *correlator, struct fly_peak *peaks, int32_t cap);

/* How much less likely a movement is than the best one of the last comparison, in units of the doubt of _peaks: up
 * to 1 they are not told apart. INFINITY beyond the search. */
double fly_correlator_lack(const struct fly_correlator *correlator, double y_px, double x_px);

struct fly_moved {
    double y_px, x_px;
    double sigma_y_px, sigma_x_px; /* INFINITY along a direction that the pictures do not vary in */
    double correlation;            /* 0 .. 1: of the structure that both have, how much lies on each other */
};

/* The exact maximum near a peak of the last comparison: Newton's method on the waves themselves, those of S above 3
 * where they suffice; then, unless the movement is small, again under windows that have gone along, since windows
 * that stay draw the place toward 0. */
void fly_correlator_refine(struct fly_correlator *correlator, const struct fly_peak *peak, struct fly_moved *moved);

#endif
