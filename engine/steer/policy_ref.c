/* The plain twin: posteriors smoothed chip by chip, everything sorted whole, every distance measured. What a chip is worth
 * it has from weigh.c: that is a formula and has no other way. */
#include <stdlib.h>
#include <string.h>

#include "engine/steer/policy_own.h"

/* ---- smoothing ------------------------------------------------------------------------------------------- */

static double neighbour(const struct fly_steer *s, const struct fly_steer_view *v, const double *q, int32_t r, int32_t col,
                        int32_t c)
{
    int32_t k = r * s->cols + col;

    if (r < 0 || r >= s->rows || col < 0 || col >= s->cols || !v->measured[k])
        return 0.0;
    return q[k * v->classes + c];
}

static void smooth_chip(const struct fly_steer *s, const struct fly_steer_view *v, double beta, const double *q,
                        int32_t k, double *to)
{
    int32_t r = k / s->cols, col = k % s->cols, n = v->classes;
    double sum = 0.0;

    for (int32_t c = 0; c < n; c++) {
        double around = neighbour(s, v, q, r - 1, col, c) + neighbour(s, v, q, r, col - 1, c) +
                        neighbour(s, v, q, r, col + 1, c) + neighbour(s, v, q, r + 1, col, c);

        to[c] = v->posterior[k * n + c] * fly_steer_exp(beta * around);
        sum += to[c];
    }
    for (int32_t c = 0; c < n; c++)
        to[c] *= 1.0 / sum;
}

static void smooth_ref(struct fly_steer *s, const struct fly_steer_config *config, const struct fly_steer_view *v)
{
    size_t whole = (size_t)s->n * (size_t)v->classes * sizeof *s->smooth;

    memcpy(s->smooth, v->posterior, whole);
    for (int32_t i = 0; i < config->potts_iterations; i++) {
        for (int32_t k = 0; k < s->n; k++)
            if (v->measured[k])
                smooth_chip(s, v, config->potts_beta, s->smooth, k, s->frame[0] + (size_t)k * (size_t)v->classes);
        memcpy(s->smooth, s->frame[0], whole);
    }
    for (int32_t i = 0; i < s->n * v->classes; i++)
        if (!v->measured[i / v->classes])
            s->smooth[i] = 1.0 / v->classes;
}

/* ---- choosing -------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct fly_steer_pick *x = a, *y = b;

    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return (x->chip > y->chip) - (x->chip < y->chip);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int32_t steps_between(const struct fly_steer *s, int32_t a, int32_t b)
{
    int32_t dr = abs(a / s->cols - b / s->cols), dc = abs(a % s->cols - b % s->cols);

    return dr > dc ? dr : dc;
}

/* Chips to the nearest of the n chosen; far without any. */
static int32_t steps_to_chosen(const struct fly_steer *s, int32_t n, int32_t k)
{
    int32_t least = INT32_MAX;

    for (int32_t i = 0; i < n; i++)
        if (steps_between(s, s->chosen[i].chip, k) < least)
            least = steps_between(s, s->chosen[i].chip, k);
    return least;
}

static int32_t take_in_order(const struct fly_steer_task *t, int32_t from, int32_t n, int32_t most)
{
    struct fly_steer *s = t->state;

    for (int32_t i = 0; i < from && n < most; i++)
        if (steps_to_chosen(s, n, s->pick[i].chip) > t->reach)
            s->chosen[n++] = s->pick[i];
    return n;
}

static void tell_rest(const struct fly_steer_task *t, int32_t n, int32_t chosen, struct fly_steer_plan *plan)
{
    const struct fly_steer *s = t->state;

    for (int32_t i = 0; i < n && plan->n_alternatives < FLY_STEER_ALTERNATIVES_MAX; i++)
        if (steps_to_chosen(s, chosen, s->pick[i].chip) > 0)
            plan->alternatives[plan->n_alternatives++] =
                fly_steer_tile_of(t, s->pick[i].chip, s->pick[i].key, s->pick[i].reason);
}

/* All chips that want beam, the best first, and no more of them than are ever looked at. */
static int32_t sorted(const struct fly_steer_task *t, double dwell_us, int64_t most)
{
    struct fly_steer *s = t->state;
    int32_t n = 0;

    for (int32_t k = 0; k < s->n; k++) {
        enum fly_steer_reason reason;
        double value = fly_steer_value(t, k, &reason);

        if (s->wants[k] && value > 0.0 && !fly_steer_hopeless(t, k) && !fly_steer_ahead(t, k) &&
            fly_steer_waits(t, k, dwell_us) == FLY_WAIT_NONE)
            s->pick[n++] = (struct fly_steer_pick){value, k, reason};
    }
    qsort(s->pick, (size_t)n, sizeof *s->pick, by_key);
    return n < most ? n : (int32_t)most;
}

static int64_t looked_at(const struct fly_steer_task *t, int32_t most)
{
    return (2 * (int64_t)t->reach + 1) * (2 * (int64_t)t->reach + 1) * most + FLY_STEER_ALTERNATIVES_MAX;
}

static double middle_need(const struct fly_steer_task *t, int32_t n, int image_alone)
{
    struct fly_steer *s = t->state;
    double *need = s->frame[0];
    int32_t m = 0, c_n = t->view->classes;

    for (int32_t i = 0; i < n; i++) {
        int32_t k = s->pick[i].chip, at = s->first[k] * c_n + s->second[k];
        double rate = s->rate[at];

        if (image_alone)
            rate = isnan(t->view->rate_haadf[at]) ? t->rate_floor : fmax(t->view->rate_haadf[at], t->rate_floor);
        if (s->lack[k] > 0.0)
            need[m++] = fmin(s->lack[k] / rate, fly_steer_room(t, k));
    }
    qsort(need, (size_t)m, sizeof *need, by_number);
    return m ? need[(m - 1) / 2] : NAN;
}

static double whole_ns(double us)
{
    return floor(us * 1e3) / 1e3;
}

static void dwell_ref(struct fly_steer_task *t, int32_t most)
{
    const struct fly_steer_config *c = t->config;
    double survey_us = t->view->survey_us, short_us = c->dwell_min * survey_us, need;
    double least_us = c->signal == FLY_SIGNAL_HAADF ? short_us : survey_us;
    int32_t n;

    t->dwell_us = least_us;
    n = sorted(t, least_us, most);
    need = middle_need(t, n, 0);
    if (need > least_us) {
        t->dwell_us = fmax(least_us, whole_ns(fmin(need, c->dwell_max * survey_us)));
        return;
    }
    if (c->signal != FLY_STEER_SIGNAL_AUTO || t->signal != FLY_SIGNAL_BOTH || !t->view->rate_haadf)
        return;
    need = middle_need(t, n, 1);
    if (isnan(need) || need >= survey_us)
        return;
    t->signal = FLY_SIGNAL_HAADF;
    t->dwell_us = fmax(short_us, whole_ns(need));
    fly_steer_rates(t, t->signal, t->state->rate);
}

static int32_t best_ref(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    double cost = fly_steer_chip_cost(t);
    int32_t n = sorted(t, t->dwell_us, looked_at(t, most)), half, rest = 0;

    for (int32_t i = 0; i < n; i++)
        s->pick[i].key /= cost;
    half = take_in_order(t, n, 0, (most + 1) / 2);
    for (int32_t i = 0; i < n; i++) {
        int32_t steps = steps_to_chosen(s, half, s->pick[i].chip);

        if (steps == 0)
            continue;
        s->pick[rest] = s->pick[i];
        if (half)
            s->pick[rest].key *= cost / (cost + fly_steer_way(t, 0.0, (double)steps * t->view->pitch_px));
        rest++;
    }
    qsort(s->pick, (size_t)rest, sizeof *s->pick, by_key);
    n = take_in_order(t, rest, half, most);
    tell_rest(t, rest, n, plan);
    return n;
}

static int32_t part_by_chance(const struct fly_steer_task *t, double x)
{
    return (int32_t)floor(x + (double)(fly_mix64(t->dose_key) >> 11) * 0x1p-53);
}

static int32_t explore_ref(const struct fly_steer_task *t, int32_t n, int32_t runs)
{
    struct fly_steer *s = t->state;
    double survey_us = t->view->survey_us;

    for (int64_t run = 0; run < runs; run++) {
        int32_t found = -1;

        for (int32_t k = (int32_t)(s->n * run / runs); k < s->n * (run + 1) / runs; k++) {
            double level = floor(4.0 * (double)t->view->mean_us[k] / survey_us), least;

            if (!t->view->measured[k] || fly_steer_waits(t, k, t->dwell_us) != FLY_WAIT_NONE ||
                steps_to_chosen(s, n, k) <= t->reach)
                continue;
            least = found < 0 ? INFINITY : floor(4.0 * (double)t->view->mean_us[found] / survey_us);
            if (level < least || (level == least && fly_steer_draw(t, k) < fly_steer_draw(t, found)))
                found = k;
        }
        if (found >= 0) {
            enum fly_steer_reason ignored;
            double score = fly_steer_value(t, found, &ignored) / fly_steer_chip_cost(t);

            s->chosen[n++] = (struct fly_steer_pick){score, found, FLY_STEER_FOR_EXPLORE};
        }
    }
    return n;
}

/* Chip i of a kind of m has its place at (i + 1) / (m + 1) of the plan; explorers first where both have the same. */
static void mix_ref(struct fly_steer *s, int32_t best, int32_t n)
{
    for (int32_t i = best; i < n; i++) {
        int64_t e = i - best + 1, explorers = n - best;

        for (int32_t at = i; at > 0 && s->chosen[at - 1].reason != FLY_STEER_FOR_EXPLORE; at--) {
            int64_t b = at - (e - 1); /* the number of the one before, counted from 1 among the best */
            struct fly_steer_pick pick = s->chosen[at];

            if (e * (best + 1) > b * (explorers + 1))
                break;
            s->chosen[at] = s->chosen[at - 1];
            s->chosen[at - 1] = pick;
        }
    }
}

static int32_t count_ref(const struct fly_steer_task *t, struct fly_steer_plan *plan)
{
    int32_t count[4] = {0}, wanting = 0;

    for (int32_t k = 0; k < t->state->n; k++)
        if (t->state->wants[k] || !t->view->measured[k]) {
            enum fly_steer_wait wait = fly_steer_waits(t, k, t->dwell_us);

            count[wait]++;
            wanting++;
            if (wait == FLY_WAIT_NONE && fly_steer_hopeless(t, k))
                plan->hopeless++;
        }
    plan->barred = count[FLY_WAIT_BARRED];
    plan->resting = count[FLY_WAIT_RESTING];
    plan->capped = count[FLY_WAIT_CAPPED];
    return wanting;
}

static int32_t adaptive_ref(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    double part = t->config->explore;
    int32_t share = part_by_chance(t, part * most), best, explorers, n, wanting;

    dwell_ref(t, most);
    wanting = count_ref(t, plan);
    best = best_ref(t, most - share, plan);
    if (best == 0 && wanting > 0 && share < most && plan->barred + plan->resting > 0)
        return 0;
    if (best == 0 && wanting > 0)
        share = most;
    explorers = part == 0.0 ? 0 : best == 0 ? (share ? share : 1) : part_by_chance(t, fmin(best * part / (1.0 - part), share));
    n = explore_ref(t, best, best && explorers > share ? share : explorers);
    mix_ref(t->state, best, n);
    return n;
}

/* Rows in the order in which a pass visits them, by asking for each how many come before it. */
static int32_t turn_of_row(int32_t row, int32_t rows, int interlaced)
{
    static const int32_t pass_of[8] = {0, 3, 2, 3, 1, 3, 2, 3};
    int32_t before = 0;

    if (!interlaced)
        return row;
    for (int32_t r = 0; r < rows; r++)
        before += pass_of[r % 8] < pass_of[row % 8] || (pass_of[r % 8] == pass_of[row % 8] && r < row);
    return before;
}

static int32_t in_turn_ref(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    enum fly_steer_policy policy = t->config->policy;
    int32_t n = 0, all;

    for (int32_t k = 0; k < s->n; k++) {
        const double *q = s->smooth + (size_t)k * (size_t)t->view->classes;
        double level = floor((double)t->view->mean_us[k] / t->view->survey_us + 0.01);
        double turn = turn_of_row(k / s->cols, s->rows, policy == FLY_STEER_INTERLACED) * (double)s->cols + k % s->cols;
        double key = policy == FLY_STEER_MARGIN   ? q[s->second[k]] / q[s->first[k]]
                     : policy == FLY_STEER_RANDOM ? (double)(fly_steer_draw(t, k) >> 11)
                                                  : -(level * s->n + turn);

        if (t->view->measured[k] && fly_steer_waits(t, k, t->dwell_us) == FLY_WAIT_NONE)
            s->pick[n++] = (struct fly_steer_pick){key, k, policy == FLY_STEER_MARGIN ? FLY_STEER_FOR_MARGIN
                                                                                       : FLY_STEER_FOR_PASS};
    }
    qsort(s->pick, (size_t)n, sizeof *s->pick, by_key);
    all = n < looked_at(t, most) ? n : (int32_t)looked_at(t, most);
    for (int32_t i = 0; i < all; i++) {
        enum fly_steer_reason ignored;

        s->pick[i].key = fly_steer_value(t, s->pick[i].chip, &ignored) / fly_steer_chip_cost(t);
    }
    n = take_in_order(t, all, 0, most);
    tell_rest(t, all, n, plan);
    return n;
}

static int32_t choose_ref(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    enum fly_steer_policy policy = t->config->policy;
    int32_t n = 0;

    t->dwell_us = t->view->survey_us;
    t->signal = t->view->has_haadf && t->view->has_eds ? FLY_SIGNAL_BOTH
                : t->view->has_eds                     ? FLY_SIGNAL_EDS
                                                       : FLY_SIGNAL_HAADF;
    for (int32_t k = 0; k < s->n && n < most; k++)
        if (!t->view->measured[k] && fly_steer_waits(t, k, t->dwell_us) == FLY_WAIT_NONE &&
            steps_to_chosen(s, n, k) > t->reach)
            s->chosen[n++] = (struct fly_steer_pick){1.0 / fly_steer_chip_cost(t), k, FLY_STEER_FOR_SURVEY};
    if (n == 0 && t->config->signal != FLY_STEER_SIGNAL_AUTO)
        t->signal = (enum fly_signal)t->config->signal;
    fly_steer_rates(t, t->signal, s->rate);
    if (n == 0 && t->config->apart && t->reach == 0 && (policy == FLY_STEER_ADAPTIVE || policy == FLY_STEER_MARGIN))
        t->reach = 1;
    if (n == 0 && policy == FLY_STEER_ADAPTIVE)
        return adaptive_ref(t, most, plan);
    count_ref(t, plan);
    return n ? n : in_turn_ref(t, most, plan);
}

int fly_steer_plan_ref(struct fly_steer *state, const struct fly_steer_config *config, const struct fly_steer_view *view,
                       struct fly_steer_plan *out)
{
    const struct fly_steer_way_of by = {smooth_ref, choose_ref};

    return fly_steer_plan_by(&by, state, config, view, out);
}
