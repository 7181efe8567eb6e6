/* engine/eds/composition.h: from line intensities to atomic percent, with what counting leaves uncertain.
 *
 * Golden definition 7's Cliff-Lorimer (Cliff and Lorimer 1975, doi:10.1111/j.1365-2818.1975.tb03895.x) in
 * closed form: at.% = 100 (k I / M) / sum (k I / M), an intensity below 0 counting as 0, all zero giving
 * zeros. Everything is in double and summed in the order of the elements.
 *
 * Shapes   n elements, at most FLY_ELEMENTS_MAX; covariances (n, n), both triangles.
 * Threads  pure functions.
 */
#ifndef FLY_EDS_COMPOSITION_H
#define FLY_EDS_COMPOSITION_H

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/eds/lines.h"

/* percent (n) of intensities (n); factor = k (weight) or k * M (atomic), mass in u. */
void fly_cliff_lorimer(const double *intensity, const double *k, const double *mass_u, int32_t n,
                       double *percent);

/* Standard deviations (n) of those percents, from the covariance of the intensities, to first order. An
 * intensity at or below 0 is taken as absent: its percent is 0 and has sigma 0 here. */
void fly_cliff_lorimer_sigma(const double *intensity, const double *covariance, const double *k,
                             const double *mass_u, int32_t n, double *sigma);

/* The same for estimates without bias, of which an absent element's is below 0 as often as above: their sign
 * stays, percents add to 100. A ratio of scattering numbers is biased; Beale's (1962) form, (y S + cov(y, S)) /
 * (S^2 + var(S)), is not, to the same order as sigma. percent and sigma are all 0 when the sum is not above 0. */
void fly_signed_percent(const double *intensity, const double *covariance, const double *k,
                        const double *mass_u, int32_t n, double *percent, double *sigma);

/* How many counts a line may have, one-sided 95 %, when `found` were fitted with variance null_variance
 * were it absent: root of (limit - found)^2 = 1.645^2 (null_variance + limit). 2.7 for none on nothing,
 * where Poisson's exact answer is 3.0. */
double fly_count_limit(double found, double null_variance);

/* How far `found` counts stand above nothing, in standard deviations: square root of twice the gain in log
 * likelihood (Wilks 1938) of found + b against b counts, b = null_variance. 0 when found <= 0. */
double fly_count_significance(double found, double null_variance);

/* 100 less the percents of La, Fe and O, as golden definition 15 has it. symbols and percent (n). */
double fly_extraneous(const char *const *symbols, const double *percent, int32_t n);

/* Golden definition 15: 100 (b - a) / a, and 100 |a - b| / ((a + b) / 2); 0 where not defined. */
double fly_percent_difference(double a, double b);
double fly_percent_difference_symmetric(double a, double b);

/* Absorption in a film of even thickness and composition, seen from above.
 *
 * An X-ray born at depth z travels z / sin(takeoff) through the film; averaged over the thickness a
 * share (1 - exp(-x)) / x of it comes out, x = (mu / rho) rho t / sin(takeoff) (Goldstein, Costley,
 * Lorimer and Reed 1977). Mass absorption coefficients are handed in: none come with the line tables, and the
 * corrections for soft lines differ by more between tables than percents do between counts.
 */
struct fly_film {
    double thickness_nm;     /* > 0 */
    double density_g_cm3;    /* > 0 */
    double takeoff_rad;      /* 0 .. pi / 2, not 0: elevation of the detector over the film */
    const double *mac_cm2_g; /* (n, n), row: whose line, column: the absorber; >= 0 */
};

/* FLY_ERANGE  a number is outside its range, or not finite; the message names it */
FLY_MUST_USE int fly_film_check(const struct fly_film *film, int32_t n);

/* Correct intensities (n) in place for the film: the composition that absorbs is the corrected one, found
 * in 30 rounds from the uncorrected; factor (n) is what each was multiplied by, for its sigma. */
void fly_film_correct(const struct fly_film *film, const double *k, int32_t n, double *intensity,
                      double *factor);

#endif
