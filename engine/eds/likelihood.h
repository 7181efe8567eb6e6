/* engine/eds/likelihood.h: Poisson maximum likelihood of a non-negative mixture.
 *
 * Counts n_b of a bin are Poisson with mean mu_b = sum_j theta_j a_bj, theta >= 0. What is maximised,
 * sum_b n_b log mu_b - mu_b, is concave. Each step is one of expectation maximisation (Richardson 1972, Lucy
 * 1974), which always climbs, and then one of Newton's where that climbs further. Unlike weighted least squares it has no
 * bias at few counts. The number of steps is bounded; the result is a function of the inputs alone.
 *
 * Columns are sparse: a line touches few bins. A bin without counts costs nothing while fitting.
 *
 * Shapes   B bins, m columns; theta, sum (m); counts, mu (B); matrices (m, m), lower triangle.
 * Threads  bins are read only; one work each.
 */
#ifndef FLY_EDS_LIKELIHOOD_H
#define FLY_EDS_LIKELIHOOD_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/eds/basis.h"

enum { FLY_LIKELIHOOD_STEPS = 40 };

struct fly_mixture {
    int32_t n_bins, n_columns;
    int32_t *first;   /* (B + 1) of a bin's entries */
    uint8_t *column;  /* (entries), rising within a bin */
    double *value;    /* (entries) a_bj */
    double *sum;      /* (m) of a column over its entries */
};

struct fly_likelihood {
    int32_t *lit;    /* (B) bins with counts */
    double *lit_mu;  /* (B) of those */
    double *gradient, *step, *trial, *solved; /* (m) */
    double *hessian, *factor;        /* (m, m) */
    int32_t free_of[FLY_COLUMNS_MAX];
};

size_t fly_likelihood_need(int32_t n_bins, int32_t n_columns);
void fly_likelihood_init(struct fly_likelihood *work, int32_t n_bins, int32_t n_columns, struct fly_arena *arena);

/* Maximise over the columns that `active` (m bytes) allows; the others are 0.
 *
 *   enough a step that gains less in the log likelihood is the last: 1e-8 is 1e-4 standard deviations
 *   theta  start on entry (all 0: from the flat mixture), maximum on return
 *
 * Returns the steps taken, at most FLY_LIKELIHOOD_STEPS. Without counts theta is 0. */
int32_t fly_likelihood_fit(const struct fly_mixture *mixture, const double *counts, const uint8_t *active,
                           double enough, double *theta, struct fly_likelihood *work);

/* Fisher's information (m, m) of all columns at theta: sum_b a_bj a_bk / mu_b, over every bin, a mean being
 * taken for at least 1e-4 of the average one. */
void fly_likelihood_information(const struct fly_mixture *mixture, const double *theta, double *information);

/* The derivatives (m) of the log likelihood at theta. */
void fly_likelihood_score(const struct fly_mixture *mixture, const double *counts, const double *theta,
                          double *score);

/* sum_b n_b log mu_b - mu_b; -INFINITY where counts meet no mean. */
double fly_likelihood_value(const struct fly_mixture *mixture, const double *counts, const double *theta);

/* The plain twin of fly_likelihood_fit: expectation maximisation from the flat mixture, so many steps. */
void fly_likelihood_fit_ref(const struct fly_mixture *mixture, const double *counts, const uint8_t *active,
                            int32_t steps, double *theta);

#endif
