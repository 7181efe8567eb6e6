/* engine/label/weights.h: what two modalities say together, and how much each is listened to.
 *
 *   score_c = softmax(-evidence * sum of w_m log(width_mc (1 + ratio_mc)) / tau_m)    w on the simplex
 *   ratio_c = mean of ratio_mc over m                                      for what is unknown
 *
 * Scores are multiplied, not averaged: a modality that sees no difference between two classes is flat there and
 * leaves the word to the other, where the paper's mean (fly_fewshot_ensemble) of saturated scores obeys whoever has
 * more than half of the weight.
 *
 *   w         minimises the negative log likelihood of the support chips left out plus 16 KL(w || equal), on a
 *             grid of 21. Temperatures know of noise already, so w is about how well classes part; from a dozen
 *             chips that is hardly to be seen, and equal weights are hard to beat: with 4 in place of 16, single
 *             support sets lost 2 % of the map to equal weights; with 16 the worst of 1280 lost 0.8 %.
 *   evidence  1 were right if both modalities saw the same thing, 2 if what misleads them were independent given the
 *             class. 1.25, measured as the best for the map on simulated scenes: chips of boundaries mislead both.
 *
 * A class must count in both modalities; where a chip has one modality alone (all ratios of the other NaN) that
 * one's scores stand.
 *
 * Without a support set modalities are weighed by how well each repeats itself (reliability.h).
 *
 * Threads  pure functions.
 */
#ifndef FLY_LABEL_WEIGHTS_H
#define FLY_LABEL_WEIGHTS_H

#include <stdint.h>

#include "engine/label/calibrate.h"

enum { FLY_WEIGHT_STEPS = 20 }; /* of the grid from 0 to 1 */

enum fly_weights_reason {
    FLY_WEIGHTS_EQUAL = 0, /* no support chip could be left out in both: nothing to learn from */
    FLY_WEIGHTS_LEARNED,   /* from the support chips */
    FLY_WEIGHTS_ALONE,     /* one modality is calibrated, the other has no class */
    FLY_WEIGHTS_REPEAT,    /* from how well each repeats itself */
    FLY_WEIGHTS_GIVEN,     /* a person's */
};

struct fly_joint {
    double weight[2];
    double evidence;
    enum fly_weights_reason reason;
    int32_t left_out;  /* support chips left out in both */
    double nll;        /* their mean -log score at these weights; NaN without */
    double nll_equal;  /* at equal weights */
    double nll_alone[2]; /* of each modality alone, by its own scores, on the same chips */
    struct fly_unknown unknown; /* of the mean ratio */
};

/* Weigh two calibrations made with the same `left`. given (2): weights to use in place of learned ones,
 * not both 0; NULL: learn. */
void fly_joint_fit(struct fly_joint *joint, const struct fly_calibration *a, const struct fly_calibration *b,
                   const struct fly_left_out *left, const double *given);

/* Scores (C) and mean ratios (C) of a chip from its ratios (C) in both. The mean of one modality alone is its own;
 * then its own calibration's `unknown` is the one to ask. Returns how many modalities spoke. */
int32_t fly_joint_scores(const struct fly_joint *joint, const struct fly_calibration *a, const double *ratio_a,
                         const struct fly_calibration *b, const double *ratio_b, double *score, double *ratio);

#endif
