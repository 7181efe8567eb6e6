/* tests/bench/steer_score.h: how right a map of the closed loop is, and what it cost.
 *
 * Judged are all chips but those that a person clicked. A chip is right when its label is the class of its truth, or
 * `unknown` where it is of a phase that nobody taught. No label is a wrong one.
 *
 *   published   the few-shot label of the ensemble, as the engine publishes it: what a user gets, and the criterion
 *   likeliest   the class with the highest of the same scores, rejected or not
 *   smoothed    the likeliest class after 3 mean-field iterations of a Potts model, beta 0.8, on the same scores;
 *               `unknown` stays what it is
 *
 * Of a recording without a truth, agreement with the map of all its frames is the criterion, and what needs a truth is
 * NaN.
 */
#ifndef FLY_TESTS_BENCH_STEER_SCORE_H
#define FLY_TESTS_BENCH_STEER_SCORE_H

#include "tests/bench/steer_rig.h"

struct steer_look {
    double dose;          /* mean, survey dwells */
    double time_ms;       /* of beam, moves included */
    double accuracy;      /* published, against the truth */
    double smoothed;
    double likeliest;
    double agreement;     /* published, share of chips with the label of the reference; NaN without one */
    double ami;           /* published, with the truth */
    double worst_recall;  /* of the taught phases with 5 chips to judge at least */
    double rare_recall;   /* of the inclusion; NaN without one */
    double max_dose;      /* of a chip, survey dwells */
    double gini;          /* of the doses */
    double error_told;    /* expected error of the map by the last plan; NaN before the first */
    int32_t plans;
    int stop;             /* the last plan's enum fly_steer_stop */
};

/* reference: labels (K) of the map that agreement is with, or NULL. */
void steer_score(const struct steer_rig *rig, const int32_t *reference, struct steer_look *look);

/* The published labels, (K); lent until the next epoch. */
const int32_t *steer_labels(const struct steer_rig *rig);

/* Smoothed posteriors q (K, C) of scores p (K, stride): q ~ p exp(beta * sum of the four neighbours' q). Rows of p that
 * are all 0 stay so. */
void steer_smooth(double *q, const double *p, int32_t stride, int32_t rows, int32_t cols, int32_t classes, double beta,
                  int32_t iterations);

#endif
