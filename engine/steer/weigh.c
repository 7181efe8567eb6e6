/* What each chip is worth: its two likeliest classes, the queue, what it lacks, and the terms beside gain. */
#include "engine/steer/policy_own.h"

static double known_rate(const double *rate, int32_t at, int *known)
{
    if (!rate || isnan(rate[at]))
        return 0.0;
    *known = 1;
    return rate[at];
}

void fly_steer_rates(const struct fly_steer_task *t, enum fly_signal signal, double *rate)
{
    const struct fly_steer_view *v = t->view;

    for (int32_t i = 0; i < v->classes * v->classes; i++) {
        int known = 0;
        double sum = signal != FLY_SIGNAL_EDS ? known_rate(v->rate_haadf, i, &known) : 0.0;

        sum += signal != FLY_SIGNAL_HAADF ? known_rate(v->rate_eds, i, &known) : 0.0;
        rate[i] = fmax(known ? sum : t->rate_unknown, t->rate_floor);
    }
}

static void rank_classes(struct fly_steer *s, int32_t c_n, int32_t k)
{
    const double *q = s->smooth + (size_t)k * (size_t)c_n;
    int32_t a = 0, b = -1;

    for (int32_t c = 1; c < c_n; c++)
        if (q[c] > q[a]) {
            b = a;
            a = c;
        } else if (b < 0 || q[c] > q[b]) {
            b = c;
        }
    s->first[k] = (uint8_t)a;
    s->second[k] = (uint8_t)(b < 0 ? a : b);
}

/* Joins or leaves the queue. Odds and not their logarithms: most chips are asked no more. */
static void queue_or_not(const struct fly_steer_task *t, int32_t k)
{
    struct fly_steer *s = t->state;
    const double *q = s->smooth + (size_t)k * (size_t)t->view->classes;
    double qa = q[s->first[k]], qb = q[s->second[k]];

    s->lack[k] = 0.0;
    if (!t->view->measured[k] || s->first[k] == s->second[k])
        s->queue[k] = 0;
    else
        s->queue[k] = s->queue[k] ? !(qa > t->leave * qb) : qa < t->join * qb;
    if (s->queue[k])
        s->lack[k] = fmax(0.0, t->leave_llr - log(qa / qb));
}

static double novelty(const struct fly_steer_view *v, int32_t k)
{
    return v->novel && !isnan(v->novel[k]) ? (double)v->novel[k] : 0.0;
}

/* Like no class, so far. */
static int is_unknown(const struct fly_steer_task *t, int32_t k)
{
    return t->config->again > 0.0 && novelty(t->view, k) >= 0.5;
}

/* Asked for until it is as far ahead of the others as anybody may be. One that is barred asks for nothing: a class that lost
 * a chip to damage or a veto has others, and nobody is to wait for it. */
static int is_support(const struct fly_steer_task *t, int32_t k)
{
    const struct fly_steer_view *v = t->view;

    return t->config->support > 0.0 && v->taught && v->taught[k] && !(v->barred && v->barred[k]);
}

static int differs(const struct fly_steer_task *t, int32_t k, int32_t other)
{
    return t->view->measured[other] && t->state->first[other] != t->state->first[k];
}

static int at_boundary(const struct fly_steer_task *t, int32_t k)
{
    int32_t cols = t->state->cols, col = k % cols;

    return (k >= cols && differs(t, k, k - cols)) || (k + cols < t->state->n && differs(t, k, k + cols)) ||
           (col > 0 && differs(t, k, k - 1)) || (col + 1 < cols && differs(t, k, k + 1));
}

/* 1: both modalities name a class, and not the same; 0: the same; -1: one does not say. */
static int disagrees(const struct fly_steer_view *v, int32_t k)
{
    if (!v->label_haadf || !v->label_eds || v->label_haadf[k] < 0 || v->label_eds[k] < 0)
        return -1;
    return v->label_haadf[k] != v->label_eds[k];
}

/* How much a class's composition asks for more, 0 .. 1. */
static double composition_asks(const struct fly_steer_task *t, int32_t c)
{
    const double *error = t->view->composition_error;

    if (!error || !(error[c] > t->config->stop_composition))
        return 0.0;
    return fmin(1.0, error[c] / t->config->stop_composition - 1.0);
}

/* Of the label as it is shown, which no neighbour has smoothed. */
static double shown_error(const struct fly_steer_task *t, int32_t k)
{
    const double *p = t->view->posterior + (size_t)k * (size_t)t->view->classes;
    double most = 0.0;

    if (!t->view->measured[k])
        return 1.0;
    for (int32_t c = 0; c < t->view->classes; c++)
        most = p[c] > most ? p[c] : most;
    return (1.0 - novelty(t->view, k)) * fmax(0.0, 1.0 - most);
}

void fly_steer_weigh(struct fly_steer_task *t, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    double error = 0.0;
    int32_t said = 0, differing = 0, masked = 0;

    for (int32_t k = 0; k < s->n; k++) {
        rank_classes(s, t->view->classes, k);
        queue_or_not(t, k);
        s->error[k] = 1.0;
        if (t->view->measured[k])
            s->error[k] = (1.0 - novelty(t->view, k)) *
                          fmax(0.0, 1.0 - s->smooth[(size_t)k * (size_t)t->view->classes + s->first[k]]);
        if (!t->view->measured[k] && t->view->barred && t->view->barred[k])
            masked++;
        else
            error += shown_error(t, k);
        said += disagrees(t->view, k) >= 0;
        differing += disagrees(t->view, k) == 1;
        s->wants[k] = s->queue[k] || (t->view->measured[k] && (composition_asks(t, s->first[k]) > 0.0 ||
                                                               is_unknown(t, k) || is_support(t, k)));
        plan->queued += s->queue[k];
        plan->unmeasured += !t->view->measured[k];
    }
    plan->expected_error = masked < s->n ? error / (s->n - masked) : 1.0;
    plan->disagreement = said ? (double)differing / said : NAN;
}

enum { TERMS = 6 }; /* in the order of their reasons */

double fly_steer_value(const struct fly_steer_task *t, int32_t k, enum fly_steer_reason *reason)
{
    const struct fly_steer_config *c = t->config;
    const struct fly_steer *s = t->state;
    double n, term[TERMS], value = 0.0;
    int most = 0;

    *reason = FLY_STEER_FOR_SURVEY;
    if (!t->view->measured[k])
        return 1.0;
    n = novelty(t->view, k);
    term[0] = fly_steer_gain(s->error[k], fly_steer_chip_need(t, k), t->dwell_us);
    term[1] = c->boundary * at_boundary(t, k);
    term[2] = fmax(c->novel * 4.0 * n * (1.0 - n), is_unknown(t, k) ? c->again * n : 0.0);
    term[3] = c->disagree * (disagrees(t->view, k) == 1);
    term[4] = c->composition * composition_asks(t, s->first[k]);
    term[5] = c->support * is_support(t, k);
    for (int i = 0; i < TERMS; i++) {
        value += term[i];
        if (term[i] > term[most])
            most = i;
    }
    *reason = (enum fly_steer_reason)(FLY_STEER_FOR_MARGIN + most);
    return value;
}
