/* Which chips: those the survey missed; the best, and a share of the least-dosed; or the next in turn. */
#include <stdlib.h>
#include <string.h>

#include "engine/steer/policy_own.h"

/* ---- the best m of many -------------------------------------------------------------------------------- */

static int before(const struct fly_steer_pick *a, const struct fly_steer_pick *b)
{
    return a->key > b->key || (a->key == b->key && a->chip < b->chip);
}

static void sift_down(struct fly_steer_pick *heap, int32_t n, int32_t i)
{
    struct fly_steer_pick pick = heap[i];

    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child], &heap[child + 1]))
            child++;
        if (!before(&pick, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = pick;
}

/* The last of the best m kept lies on top of a heap: whatever is better takes its place. O(n log m). Returns how many
 * were kept, the best first. */
static int32_t keep_best(struct fly_steer_pick *pick, int32_t n, int32_t m)
{
    int32_t kept = n < m ? n : m;

    for (int32_t i = kept / 2 - 1; i >= 0; i--)
        sift_down(pick, kept, i);
    for (int32_t i = kept; kept > 0 && i < n; i++)
        if (before(&pick[i], &pick[0])) {
            pick[0] = pick[i];
            sift_down(pick, kept, 0);
        }
    for (int32_t end = kept - 1; end > 0; end--) {
        struct fly_steer_pick last = pick[0];

        pick[0] = pick[end];
        pick[end] = last;
        sift_down(pick, end, 0);
    }
    return kept;
}

/* ---- chips that may not be near one another ---------------------------------------------------------- */

enum { FREE = 0, NEAR, CHOSEN };

static int32_t clip(int32_t x, int32_t most)
{
    return x < 0 ? 0 : x > most ? most : x;
}

static void block(const struct fly_steer_task *t, int32_t k)
{
    struct fly_steer *s = t->state;
    int32_t row = k / s->cols, col = k % s->cols;
    int32_t r1 = clip(row + t->reach, s->rows - 1), c0 = clip(col - t->reach, s->cols - 1);
    int32_t c1 = clip(col + t->reach, s->cols - 1);

    for (int32_t r = clip(row - t->reach, s->rows - 1); r <= r1; r++)
        for (int32_t c = c0; c <= c1; c++)
            if (s->blocked[r * s->cols + c] == FREE)
                s->blocked[r * s->cols + c] = NEAR;
    s->blocked[k] = CHOSEN;
}

/* So many candidates that `most` of them are surely far enough apart, and the alternatives. */
static int32_t candidates_for(const struct fly_steer_task *t, int32_t most)
{
    int64_t side = 2 * (int64_t)t->reach + 1, want = side * side * most + FLY_STEER_ALTERNATIVES_MAX;

    return want < t->state->n ? (int32_t)want : t->state->n;
}

/* The first of the sorted candidates that are free, at most `most`, after the n chosen; how many there are then. */
static int32_t take_free(const struct fly_steer_task *t, const struct fly_steer_pick *pick, int32_t kept, int32_t n,
                         int32_t most)
{
    struct fly_steer *s = t->state;

    for (int32_t i = 0; i < kept && n < most; i++)
        if (s->blocked[pick[i].chip] == FREE) {
            block(t, pick[i].chip);
            s->chosen[n++] = pick[i];
        }
    return n;
}

static void tell_alternatives(const struct fly_steer_task *t, const struct fly_steer_pick *pick, int32_t kept,
                              struct fly_steer_plan *plan)
{
    for (int32_t i = 0; i < kept && plan->n_alternatives < FLY_STEER_ALTERNATIVES_MAX; i++)
        if (t->state->blocked[pick[i].chip] != CHOSEN)
            plan->alternatives[plan->n_alternatives++] = fly_steer_tile_of(t, pick[i].chip, pick[i].key, pick[i].reason);
}

/* ---- the best ------------------------------------------------------------------------------------------- */

/* Chips that want beam and may have dwell_us of it, by their value at the task's dwell. */
static int32_t candidates(const struct fly_steer_task *t, double dwell_us)
{
    struct fly_steer *s = t->state;
    int32_t n = 0;

    for (int32_t k = 0; k < s->n; k++) {
        struct fly_steer_pick *pick = &s->pick[n];

        if (!s->wants[k] || fly_steer_waits(t, k, dwell_us) != FLY_WAIT_NONE || fly_steer_hopeless(t, k) ||
            fly_steer_ahead(t, k))
            continue;
        pick->chip = k;
        pick->key = fly_steer_value(t, k, &pick->reason);
        n += pick->key > 0.0;
    }
    return n;
}

/* What the n chips in pick need of a signal and may have, the middle one; NaN: none of them lacks anything. */
static double median_need(const struct fly_steer_task *t, int32_t n, const double *rate)
{
    struct fly_steer *s = t->state;
    double *need = s->frame[0]; /* free by now, and at least (K) */
    int32_t m = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t k = s->pick[i].chip;

        if (s->lack[k] > 0.0)
            need[m++] = fmin(s->lack[k] / rate[s->first[k] * t->view->classes + s->second[k]], fly_steer_room(t, k));
    }
    return m ? fly_steer_median(need, m) : NAN;
}

static enum fly_signal session_signal(const struct fly_steer_view *v)
{
    return !v->has_eds ? FLY_SIGNAL_HAADF : !v->has_haadf ? FLY_SIGNAL_EDS : FLY_SIGNAL_BOTH;
}

/* Whole ns, and not below the least. */
static double round_dwell(double dwell_us, double least_us)
{
    return fmax(least_us, floor(dwell_us * 1e3) / 1e3);
}

/* The image alone, where it brings the middle chip of the batch home in less than a survey dwell. Pairs whose rate
 * nobody knows are no reason. */
static void consider_image_alone(struct fly_steer_task *t, int32_t batch)
{
    struct fly_steer *s = t->state;
    const struct fly_steer_view *v = t->view;
    double *rate = s->image_rate, need;

    if (t->config->signal != FLY_STEER_SIGNAL_AUTO || !v->has_eds || !v->has_haadf || !v->rate_haadf)
        return;
    for (int32_t i = 0; i < v->classes * v->classes; i++)
        rate[i] = fmax(isnan(v->rate_haadf[i]) ? 0.0 : v->rate_haadf[i], t->rate_floor);
    need = median_need(t, batch, rate);
    if (!(need < v->survey_us))
        return;
    t->signal = FLY_SIGNAL_HAADF;
    t->dwell_us = round_dwell(need, t->config->dwell_min * v->survey_us);
    fly_steer_rates(t, t->signal, s->rate);
}

static void choose_dwell(struct fly_steer_task *t, int32_t most)
{
    struct fly_steer *s = t->state;
    const struct fly_steer_config *c = t->config;
    double survey_us = t->view->survey_us, need;
    double least_us = c->signal == FLY_SIGNAL_HAADF ? c->dwell_min * survey_us : survey_us;
    int32_t batch;

    t->dwell_us = least_us;
    batch = keep_best(s->pick, candidates(t, least_us), most);
    need = median_need(t, batch, s->rate);
    if (need > least_us)
        t->dwell_us = round_dwell(fmin(need, c->dwell_max * survey_us), least_us);
    else
        consider_image_alone(t, batch);
}

/* Chips either way to the nearest of n. */
static int32_t nearest(const struct fly_steer *s, const struct fly_steer_pick *to, int32_t n, int32_t k)
{
    int32_t row = k / s->cols, col = k % s->cols, least = INT32_MAX;

    for (int32_t i = 0; i < n; i++) {
        int32_t dr = abs(to[i].chip / s->cols - row), dc = abs(to[i].chip % s->cols - col), d = dr > dc ? dr : dc;

        least = d < least ? d : least;
    }
    return least;
}

static int32_t choose_best(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    double cost = fly_steer_chip_cost(t);
    int32_t kept = keep_best(s->pick, candidates(t, t->dwell_us), candidates_for(t, most)), half, n, rest = 0;

    for (int32_t i = 0; i < kept; i++)
        s->pick[i].key /= cost;
    half = take_free(t, s->pick, kept, 0, (most + 1) / 2);
    for (int32_t i = 0; i < kept; i++) {
        struct fly_steer_pick pick = s->pick[i];

        if (s->blocked[pick.chip] == CHOSEN)
            continue;
        if (half) {
            double px = (double)nearest(s, s->chosen, half, pick.chip) * t->view->pitch_px;

            pick.key *= cost / (cost + fly_steer_way(t, 0.0, px));
        }
        s->pick[rest++] = pick;
    }
    keep_best(s->pick, rest, rest);
    n = take_free(t, s->pick, rest, half, most);
    tell_alternatives(t, s->pick, rest, plan);
    return n;
}

/* ---- the least-dosed ------------------------------------------------------------------------------------ */

/* A part of x chips is one chip as often as chance has it. */
static int32_t round_by_chance(const struct fly_steer_task *t, double x)
{
    return (int32_t)floor(x + (double)(fly_mix64(t->dose_key) >> 11) * 0x1p-53);
}

static int32_t share_of(const struct fly_steer_task *t, int32_t most)
{
    return round_by_chance(t, t->config->explore * most);
}

static int32_t explorers(const struct fly_steer_task *t, int32_t best, int32_t share)
{
    double explore = t->config->explore;
    int32_t of_best;

    if (explore == 0.0)
        return 0;
    if (best == 0)
        return share > 0 ? share : 1; /* or it would never look again */
    /* With a share of 1 there is no best. */
    of_best = round_by_chance(t, fmin(best * explore / (1.0 - explore), share));
    return of_best < share ? of_best : share;
}

/* The least-dosed free chip of first .. end - 1, doses a quarter of a survey dwell apart being equal; -1: none. */
static int32_t least_dosed(const struct fly_steer_task *t, int32_t first, int32_t end)
{
    struct fly_steer *s = t->state;
    double least = INFINITY;
    uint64_t lot = 0;
    int32_t found = -1;

    for (int32_t k = first; k < end; k++) {
        double level = floor(4.0 * (double)t->view->mean_us[k] / t->view->survey_us);

        if (level > least || s->blocked[k] != FREE || !t->view->measured[k] ||
            fly_steer_waits(t, k, t->dwell_us) != FLY_WAIT_NONE)
            continue;
        if (level < least || fly_steer_draw(t, k) < lot) {
            least = level;
            lot = fly_steer_draw(t, k);
            found = k;
        }
    }
    return found;
}

/* One of each of `most` runs of chips, after the n chosen; how many there are then. */
static int32_t explore(const struct fly_steer_task *t, int32_t n, int32_t most)
{
    struct fly_steer *s = t->state;
    double cost = fly_steer_chip_cost(t);

    for (int32_t i = 0; i < most; i++) {
        int32_t k = least_dosed(t, (int32_t)((int64_t)s->n * i / most), (int32_t)((int64_t)s->n * (i + 1) / most));
        struct fly_steer_pick *pick = &s->chosen[n];

        if (k < 0)
            continue;
        block(t, k);
        *pick = (struct fly_steer_pick){fly_steer_value(t, k, &pick->reason) / cost, k, FLY_STEER_FOR_EXPLORE};
        n++;
    }
    return n;
}

/* Explorers, the last n - best, among the others in equal steps: a plan cut short keeps its share of them. */
static void mix(struct fly_steer *s, int32_t best, int32_t n)
{
    int32_t b = 0, e = best;

    for (int32_t i = 0; i < n; i++) {
        int64_t turn_b = (int64_t)(b + 1) * (n - best + 1), turn_e = (int64_t)(e - best + 1) * (best + 1);

        s->pick[i] = b == best || (e < n && turn_e <= turn_b) ? s->chosen[e++] : s->chosen[b++];
    }
    for (int32_t i = 0; i < n; i++)
        s->chosen[i] = s->pick[i];
}

/* ---- in turn -------------------------------------------------------------------------------------------- */

/* Rows 0, 8, ..., 4, 12, ..., 2, 6, ..., 1, 3, ...: as pictures on the web come, in rows alone. */
static void interlace(int32_t rows, int32_t *turn)
{
    static const int32_t first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    int32_t n = 0;

    for (int pass = 0; pass < 4; pass++)
        for (int32_t r = first[pass]; r < rows; r += step[pass])
            turn[r] = n++;
}

static double key_of_turn(const struct fly_steer_task *t, int32_t k)
{
    const struct fly_steer *s = t->state;
    const double *q = s->smooth + (size_t)k * (size_t)t->view->classes;
    int32_t row = k / s->cols;
    double at = (t->config->policy == FLY_STEER_INTERLACED ? s->turn[row] : row) * (double)s->cols + k % s->cols;
    /* Dwells booked are not whole numbers of survey dwells to the last bit. */
    double level = floor((double)t->view->mean_us[k] / t->view->survey_us + 0.01);

    if (t->config->policy == FLY_STEER_MARGIN)
        return q[s->second[k]] / q[s->first[k]];
    if (t->config->policy == FLY_STEER_RANDOM)
        return (double)(fly_steer_draw(t, k) >> 11);
    return -(level * s->n + at);
}

static int32_t choose_in_turn(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    enum fly_steer_reason reason =
        t->config->policy == FLY_STEER_MARGIN ? FLY_STEER_FOR_MARGIN : FLY_STEER_FOR_PASS, ignored;
    double cost = fly_steer_chip_cost(t);
    int32_t n = 0, kept;

    interlace(s->rows, s->turn);
    for (int32_t k = 0; k < s->n; k++)
        if (t->view->measured[k] && fly_steer_waits(t, k, t->dwell_us) == FLY_WAIT_NONE)
            s->pick[n++] = (struct fly_steer_pick){key_of_turn(t, k), k, reason};
    kept = keep_best(s->pick, n, candidates_for(t, most));
    for (int32_t i = 0; i < kept; i++) /* told is the score, as everywhere */
        s->pick[i].key = fly_steer_value(t, s->pick[i].chip, &ignored) / cost;
    n = take_free(t, s->pick, kept, 0, most);
    tell_alternatives(t, s->pick, kept, plan);
    return n;
}

/* ---- together ------------------------------------------------------------------------------------------- */

static int32_t choose_missed(const struct fly_steer_task *t, int32_t most)
{
    struct fly_steer *s = t->state;
    int32_t n = 0;

    for (int32_t k = 0; k < s->n && n < most; k++)
        if (!t->view->measured[k] && s->blocked[k] == FREE &&
            fly_steer_waits(t, k, t->dwell_us) == FLY_WAIT_NONE) {
            block(t, k);
            s->chosen[n++] = (struct fly_steer_pick){1.0 / fly_steer_chip_cost(t), k, FLY_STEER_FOR_SURVEY};
        }
    return n;
}

static int32_t count_wanting(const struct fly_steer_task *t, struct fly_steer_plan *plan)
{
    const struct fly_steer *s = t->state;
    int32_t wanting = 0;

    for (int32_t k = 0; k < s->n; k++) {
        enum fly_steer_wait wait;

        if (!s->wants[k] && t->view->measured[k])
            continue;
        wait = fly_steer_waits(t, k, t->dwell_us);
        plan->barred += wait == FLY_WAIT_BARRED;
        plan->resting += wait == FLY_WAIT_RESTING;
        plan->capped += wait == FLY_WAIT_CAPPED;
        plan->hopeless += wait == FLY_WAIT_NONE && fly_steer_hopeless(t, k);
        wanting++;
    }
    return wanting;
}

/* Where those that want beam have to wait, so does everybody: exploring would be all that the beam still does. Where
 * they are past help, all of it explores: what is wrong and sure of itself is elsewhere. */
static int32_t choose_adaptive(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    int32_t share = share_of(t, most), best, n, wanting;

    choose_dwell(t, most);
    wanting = count_wanting(t, plan);
    best = choose_best(t, most - share, plan);
    if (best == 0 && wanting > 0 && share < most) {
        if (plan->barred + plan->resting > 0)
            return 0;
        share = most;
    }
    n = explore(t, best, explorers(t, best, share));
    mix(t->state, best, n);
    return n;
}

int32_t fly_steer_choose(struct fly_steer_task *t, int32_t most, struct fly_steer_plan *plan)
{
    struct fly_steer *s = t->state;
    int in_passes = t->config->policy != FLY_STEER_ADAPTIVE && t->config->policy != FLY_STEER_MARGIN;
    int32_t n;

    memset(s->blocked, FREE, (size_t)s->n);
    t->signal = session_signal(t->view);
    t->dwell_us = t->view->survey_us;
    fly_steer_rates(t, t->signal, s->rate);
    n = choose_missed(t, most);
    if (n) {
        count_wanting(t, plan);
        return n;
    }
    if (t->config->signal != FLY_STEER_SIGNAL_AUTO) {
        t->signal = (enum fly_signal)t->config->signal;
        fly_steer_rates(t, t->signal, s->rate);
    }
    if (t->config->apart && !in_passes && t->reach < 1)
        t->reach = 1;
    if (t->config->policy == FLY_STEER_ADAPTIVE)
        return choose_adaptive(t, most, plan);
    count_wanting(t, plan);
    return choose_in_turn(t, most, plan);
}
