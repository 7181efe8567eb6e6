/* engine/base/calibration_metrics.h: how good named classes and their confidences are, where the truth is known.
 *
 * Accuracy alone does not see a confidence that promises too much. The names are the field's: expected
 * calibration error (Naeini et al. 2015; here in bins of equal mass, Nguyen and O'Connor 2015), negative log
 * likelihood, Brier's score (1950), area under the receiver's curve, macro F1. Where scikit-learn has the
 * number it is the same one (tests hold it).
 *
 * Shapes   p (n, C) row-major, rows that sum to 1; truth (n) of 0 .. C-1. Bytes are 0 or 1.
 * Memory   of the system, for the call: for whoever is not on the line path. NaN when there is none, or when
 *          there is nothing to judge (n < 1).
 * Threads  pure functions.
 */
#ifndef FLY_BASE_CALIBRATION_METRICS_H
#define FLY_BASE_CALIBRATION_METRICS_H

#include <stdint.h>

/* Sorted by confidence, ties by index, cut into `bins` (>= 1) runs of n / bins, the first n % bins of them one
 * longer: the mean over things of |mean confidence - share right| of their run. 0 .. 1. */
double fly_calibration_ece(const double *confidence, const uint8_t *right, int32_t n, int32_t bins);

/* Mean of -log p[truth], p held to 2^-52 .. 1. */
double fly_calibration_nll(const double *p, const int32_t *truth, int32_t n, int32_t n_classes);

/* Mean of the sum over classes of (p - [truth])^2, 0 .. 2: for two classes twice what is quoted of one. */
double fly_calibration_brier(const double *p, const int32_t *truth, int32_t n, int32_t n_classes);

/* How often a positive's score is above a negative's, ties half. NaN when there are none of either. */
double fly_calibration_auroc(const double *score, const uint8_t *positive, int32_t n);

/* Mean F1 over the classes that occur in truth or guess; guesses below 0 (unknown, too little) are wrong, and no
 * class of their own. */
double fly_calibration_macro_f1(const int32_t *truth, const int32_t *guess, int32_t n, int32_t n_classes);

#endif
