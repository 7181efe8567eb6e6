#include "engine/eds/likelihood.h"

#include <math.h>
#include <string.h>

#include "engine/eds/cholesky.h"

enum { HALVINGS = 6 };

/* Of the mean count of a bin: a bin has at least so much when information is asked for. One that the fit
 * leaves dark tells a great deal of a line that would light it, not nothing. */
#define LEAST_SHARE 1e-4

size_t fly_likelihood_need(int32_t n_bins, int32_t n_columns)
{
    size_t b = (size_t)n_bins, m = (size_t)n_columns, need;

    need = fly_size_add(fly_arena_need(b, sizeof(int32_t)), fly_arena_need(b, sizeof(double)));
    need = fly_size_add(need, 4 * fly_arena_need(m, sizeof(double)));
    return fly_size_add(need, 2 * fly_arena_need(m * m, sizeof(double)));
}

void fly_likelihood_init(struct fly_likelihood *work, int32_t n_bins, int32_t n_columns, struct fly_arena *arena)
{
    size_t b = (size_t)n_bins, m = (size_t)n_columns;

    work->lit = fly_arena_take(arena, b, sizeof(int32_t));
    work->lit_mu = fly_arena_take(arena, b, sizeof(double));
    work->gradient = fly_arena_take(arena, m, sizeof(double));
    work->step = fly_arena_take(arena, m, sizeof(double));
    work->trial = fly_arena_take(arena, m, sizeof(double));
    work->solved = fly_arena_take(arena, m, sizeof(double));
    work->hessian = fly_arena_take(arena, m * m, sizeof(double));
    work->factor = fly_arena_take(arena, m * m, sizeof(double));
    FLY_ASSERT(work->lit && work->lit_mu && work->gradient && work->step && work->trial && work->solved &&
               work->hessian && work->factor);
}

static double mean_of(const struct fly_mixture *x, int32_t bin, const double *theta)
{
    double mu = 0.0;

    for (int32_t i = x->first[bin]; i < x->first[bin + 1]; i++)
        mu += theta[x->column[i]] * x->value[i];
    return mu;
}

/* The means of the lit bins at theta, and the derivatives of the log likelihood there. 0 when counts meet no
 * mean: the likelihood is then 0, and what is left in work means nothing. */
static int look(const struct fly_mixture *x, const double *counts, int32_t n_lit, const double *theta,
                struct fly_likelihood *work)
{
    double *restrict gradient = work->gradient;

    for (int32_t j = 0; j < x->n_columns; j++)
        gradient[j] = -x->sum[j];
    for (int32_t i = 0; i < n_lit; i++) {
        int32_t bin = work->lit[i], end = x->first[bin + 1];
        double mu = 0.0, ratio;

        for (int32_t e = x->first[bin]; e < end; e++)
            mu += theta[x->column[e]] * x->value[e];
        if (!(mu > 0.0))
            return 0;
        work->lit_mu[i] = mu;
        ratio = counts[bin] / mu;
        for (int32_t e = x->first[bin]; e < end; e++)
            gradient[x->column[e]] += ratio * x->value[e];
    }
    return 1;
}

static void hessian_at(const struct fly_mixture *x, const double *counts, int32_t n_lit,
                       struct fly_likelihood *work)
{
    size_t m = (size_t)x->n_columns;

    memset(work->hessian, 0, m * m * sizeof *work->hessian);
    for (int32_t i = 0; i < n_lit; i++) {
        int32_t bin = work->lit[i], first = x->first[bin], n = x->first[bin + 1] - first;
        double weight = counts[bin] / (work->lit_mu[i] * work->lit_mu[i]);
        const uint8_t *column = x->column + first;
        const double *value = x->value + first;

        for (int32_t a = 0; a < n; a++) {
            double *row = work->hessian + column[a] * m, scaled = weight * value[a];

            for (int32_t b = 0; b <= a; b++)
                row[column[b]] += scaled * value[b];
        }
    }
}

/* theta_j *= (sum_b a_bj n_b / mu_b) / sum_b a_bj, from the derivatives at theta. */
static void em_step(const struct fly_mixture *x, double *theta, const struct fly_likelihood *work)
{
    for (int32_t j = 0; j < x->n_columns; j++)
        if (theta[j] > 0.0)
            theta[j] *= (work->gradient[j] + x->sum[j]) / x->sum[j];
}

/* Newton's step over the columns that may move. Where a column falls, |gradient| / theta is added to its
 * curvature (Coleman and Li 1996, doi:10.1137/0806023): by itself it then comes down to 0 and not beyond, however
 * dark its bins, and drags no other along. Returns the slope of the log likelihood along the step. */
static double newton_step(const struct fly_mixture *x, const uint8_t *active, const double *theta,
                          struct fly_likelihood *work)
{
    int32_t m = x->n_columns, n = 0;
    double slope = 0.0;

    for (int32_t j = 0; j < m; j++) {
        work->step[j] = 0.0;
        if (active[j] && (theta[j] > 0.0 || work->gradient[j] > 0.0))
            work->free_of[n++] = j;
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t j = work->free_of[i];
        const double *row = work->hessian + (int64_t)j * m;
        double *to = work->factor + (int64_t)i * m, falls = work->gradient[j] < 0.0 ? -work->gradient[j] : 0.0;

        for (int32_t l = 0; l < i; l++)
            to[l] = row[work->free_of[l]];
        to[i] = row[j] * (1.0 + 1e-10) + (falls > 0.0 ? falls / theta[j] : 0.0) + 1e-300;
        work->solved[i] = work->gradient[j];
    }
    if (fly_cholesky(work->factor, n, m) < 0)
        return 0.0;
    fly_cholesky_forward(work->factor, n, m, work->solved);
    fly_cholesky_back(work->factor, n, m, work->solved);
    for (int32_t i = 0; i < n; i++) {
        work->step[work->free_of[i]] = work->solved[i];
        slope += work->solved[i] * work->gradient[work->free_of[i]];
    }
    return slope;
}

static void flat_start(const struct fly_mixture *x, const uint8_t *active, double total, double *theta)
{
    int32_t n = 0;

    for (int32_t j = 0; j < x->n_columns; j++)
        n += active[j] != 0;
    for (int32_t j = 0; j < x->n_columns; j++)
        theta[j] = active[j] && x->sum[j] > 0.0 ? total / n / x->sum[j] : 0.0;
}

static double along(const double *gradient, const double *from, const double *to, int32_t m)
{
    double slope = 0.0;

    for (int32_t j = 0; j < m; j++)
        slope += gradient[j] * (to[j] - from[j]);
    return slope;
}

/* Go Newton's step, shortened while it leads past the top: then the slope at its end points back. No logarithm
 * is needed to see that, the function being concave. The derivatives are those at theta, before and after. */
static void go(const struct fly_mixture *x, const double *counts, int32_t n_lit, double *theta,
               struct fly_likelihood *work)
{
    int32_t m = x->n_columns;
    double length = 1.0;

    for (int h = 0; h < HALVINGS; h++, length *= 0.5) {
        double ahead;

        for (int32_t j = 0; j < m; j++) {
            double to = theta[j] + length * work->step[j];

            work->trial[j] = to > 0.0 ? to : 0.0;
        }
        if (h > 0)
            (void)look(x, counts, n_lit, theta, work);
        ahead = along(work->gradient, theta, work->trial, m);
        if (ahead > 0.0 && look(x, counts, n_lit, work->trial, work) &&
            along(work->gradient, theta, work->trial, m) >= -0.5 * ahead) {
            memcpy(theta, work->trial, (size_t)m * sizeof *theta);
            return;
        }
    }
    (void)look(x, counts, n_lit, theta, work);
}

int32_t fly_likelihood_fit(const struct fly_mixture *mixture, const double *counts, const uint8_t *active,
                           double enough, double *theta, struct fly_likelihood *work)
{
    const struct fly_mixture *x = mixture;
    int32_t n_lit = 0, steps = 0;
    double total = 0.0, began = 0.0;
    int lit;

    for (int32_t b = 0; b < x->n_bins; b++)
        if (counts[b] > 0.0) {
            work->lit[n_lit++] = b;
            total += counts[b];
        }
    for (int32_t j = 0; j < x->n_columns; j++)
        began += active[j] ? theta[j] : (theta[j] = 0.0);
    if (n_lit == 0) {
        memset(theta, 0, (size_t)x->n_columns * sizeof *theta);
        return 0;
    }
    lit = began > 0.0 && look(x, counts, n_lit, theta, work);
    if (!lit) {
        flat_start(x, active, total, theta);
        lit = look(x, counts, n_lit, theta, work);
    }
    while (lit && steps < FLY_LIKELIHOOD_STEPS) {
        double gain;

        /* Newton doubles what is far too small; expectation maximisation puts it right at once. */
        em_step(x, theta, work);
        if (!look(x, counts, n_lit, theta, work))
            break;
        steps++;
        hessian_at(x, counts, n_lit, work);
        gain = newton_step(x, active, theta, work);
        if (gain > 0.0)
            go(x, counts, n_lit, theta, work);
        if (gain < enough)
            break;
    }
    return steps;
}

void fly_likelihood_information(const struct fly_mixture *mixture, const double *theta, double *information)
{
    size_t m = (size_t)mixture->n_columns;
    double least = 0.0;

    for (size_t j = 0; j < m; j++)
        least += theta[j] * mixture->sum[j];
    least *= LEAST_SHARE / mixture->n_bins;
    memset(information, 0, m * m * sizeof *information);
    for (int32_t bin = 0; bin < mixture->n_bins; bin++) {
        int32_t first = mixture->first[bin], n = mixture->first[bin + 1] - first;
        const uint8_t *column = mixture->column + first;
        const double *value = mixture->value + first;
        double mu = fmax(mean_of(mixture, bin, theta), least), weight = mu > 0.0 ? 1.0 / mu : 0.0;

        for (int32_t a = 0; a < n; a++) {
            double *row = information + column[a] * m, scaled = weight * value[a];

            for (int32_t b = 0; b <= a; b++)
                row[column[b]] += scaled * value[b];
        }
    }
}

void fly_likelihood_score(const struct fly_mixture *mixture, const double *counts, const double *theta,
                          double *score)
{
    for (int32_t j = 0; j < mixture->n_columns; j++)
        score[j] = -mixture->sum[j];
    for (int32_t bin = 0; bin < mixture->n_bins; bin++) {
        double ratio;

        if (!(counts[bin] > 0.0))
            continue;
        ratio = counts[bin] / mean_of(mixture, bin, theta);
        for (int32_t e = mixture->first[bin]; e < mixture->first[bin + 1]; e++)
            score[mixture->column[e]] += ratio * mixture->value[e];
    }
}

double fly_likelihood_value(const struct fly_mixture *mixture, const double *counts, const double *theta)
{
    double value = 0.0;

    for (int32_t bin = 0; bin < mixture->n_bins; bin++) {
        double mu = mean_of(mixture, bin, theta);

        if (counts[bin] > 0.0)
            value += mu > 0.0 ? counts[bin] * log(mu) : -INFINITY;
        value -= mu;
    }
    return value;
}
