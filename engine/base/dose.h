/* engine/base/dose.h: what a dwell time is as a dose.
 *
 * One formula for the plugin's ledger, the guard's limits and the simulator's report.
 *
 * Threads  pure.
 */
#ifndef FLY_BASE_DOSE_H
#define FLY_BASE_DOSE_H

/* Electrons per square angstrom of one us of dwell, a pixel being pixel_nm [y, x] large and the beam within it:
 *
 *     I t / (e dy dx),  e = 1.602176634e-19 C (exact, SI Brochure 9th ed., 2019)
 *
 * so 1 nA gives 6241.509 e- in 1 us, and 100 A^2 are a square nm. NaN: a number is not known (NaN, or not above 0). */
double fly_dose_factor(double beam_current_na, const double pixel_nm[2]);

#endif
