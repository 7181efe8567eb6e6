/* The state, and the order of the steps of a plan. */
#include "engine/steer/policy.h"

#include <stdlib.h>
#include <string.h>

#include "engine/steer/policy_own.h"

/* ---- state ----------------------------------------------------------------------------------------------- */

static int check_sizes(int32_t rows, int32_t cols, int32_t classes)
{
    if (rows < 1 || cols < 1 || (int64_t)rows * cols > FLY_STEER_CHIPS_MAX)
        return fly_fail(FLY_ERANGE, "steering of %d x %d chips, 1 .. %d chips are possible", rows, cols,
                        (int)FLY_STEER_CHIPS_MAX);
    if (classes < 1 || classes > FLY_STEER_CLASSES_MAX)
        return fly_fail(FLY_ERANGE, "steering between %d classes, 1 .. %d are possible", classes,
                        (int)FLY_STEER_CLASSES_MAX);
    return FLY_OK;
}

/* Walks through all that init takes; without a state it only counts. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    void *at = NULL;

    *need = fly_size_add(*need, fly_arena_need(count, size));
    if (arena) {
        at = fly_arena_take(arena, count, size);
        FLY_ASSERT(at);
    }
    return at;
}

static size_t lay_out(struct fly_steer *s, struct fly_arena *arena)
{
    size_t need = 0, k = (size_t)s->rows * (size_t)s->cols, c = (size_t)s->classes_cap;
    size_t bordered = (size_t)(s->rows + 2) * (size_t)(s->cols + 2) * c;
    size_t picks = k > FLY_STEER_TILES_MAX ? k : FLY_STEER_TILES_MAX;

    s->queue = take(arena, &need, k, sizeof *s->queue);
    s->frame[0] = take(arena, &need, bordered, sizeof *s->frame[0]);
    s->frame[1] = take(arena, &need, bordered, sizeof *s->frame[1]);
    s->smooth = take(arena, &need, k * c, sizeof *s->smooth);
    s->error = take(arena, &need, k, sizeof *s->error);
    s->lack = take(arena, &need, k, sizeof *s->lack);
    s->first = take(arena, &need, k, sizeof *s->first);
    s->second = take(arena, &need, k, sizeof *s->second);
    s->wants = take(arena, &need, k, sizeof *s->wants);
    s->blocked = take(arena, &need, k, sizeof *s->blocked);
    s->pick = take(arena, &need, picks, sizeof *s->pick);
    s->chosen = take(arena, &need, FLY_STEER_TILES_MAX, sizeof *s->chosen);
    s->rate = take(arena, &need, c * c, sizeof *s->rate);
    s->image_rate = take(arena, &need, c * c, sizeof *s->image_rate);
    s->turn = take(arena, &need, (size_t)s->rows, sizeof *s->turn);
    return need;
}

size_t fly_steer_need(int32_t rows, int32_t cols, int32_t classes)
{
    struct fly_steer counting = {.rows = rows, .cols = cols, .classes_cap = classes};

    if (check_sizes(rows, cols, classes) < 0)
        return SIZE_MAX;
    return fly_size_add(fly_arena_need(1, sizeof counting), lay_out(&counting, NULL));
}

int fly_steer_init(struct fly_steer **out, int32_t rows, int32_t cols, int32_t classes, struct fly_arena *arena)
{
    int rc = check_sizes(rows, cols, classes);
    struct fly_steer *s;

    if (rc < 0)
        return rc;
    if (arena->cap - arena->used < fly_steer_need(rows, cols, classes))
        return fly_fail(FLY_ENOMEM, "steering of %d x %d chips and %d classes needs %zu bytes, %zu are left", rows, cols,
                        classes, fly_steer_need(rows, cols, classes), arena->cap - arena->used);
    s = fly_arena_take(arena, 1, sizeof *s);
    FLY_ASSERT(s);
    *s = (struct fly_steer){.rows = rows, .cols = cols, .classes_cap = classes, .n = rows * cols};
    lay_out(s, arena);
    fly_steer_clear(s);
    *out = s;
    return FLY_OK;
}

void fly_steer_clear(struct fly_steer *state)
{
    memset(state->queue, 0, (size_t)state->n);
    state->seen = state->has_smooth = 0;
    state->epoch = state->births = 0;
    state->quiet = 0;
    state->agreement = state->change = state->composition_error = state->mean_us = NAN;
}

int fly_steer_queued(const struct fly_steer *state, int32_t chip)
{
    FLY_ASSERT(chip >= 0 && chip < state->n);
    return state->queue[chip];
}

struct fly_steer_found fly_steer_found(const struct fly_steer *state)
{
    return (struct fly_steer_found){state->quiet, state->change, state->composition_error, state->mean_us};
}

const double *fly_steer_smoothed(const struct fly_steer *state)
{
    return state->has_smooth ? state->smooth : NULL;
}

/* ---- as bytes -------------------------------------------------------------------------------------------- */

#define NO_EPOCH UINT64_MAX /* no map has that number */

enum { HEAD = 4 + 2 * 4 + 1 + 2 * 8 + 4 + 2 * 8 };
static const unsigned char magic[4] = {'F', 'S', 'T', '1'};

static unsigned char *put_whole(unsigned char *at, uint64_t whole, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(whole >> 8 * i);
    return at + bytes;
}

static uint64_t get_whole(const unsigned char **at, int bytes)
{
    uint64_t whole = 0;

    for (int i = 0; i < bytes; i++)
        whole |= (uint64_t)(*at)[i] << 8 * i;
    *at += bytes;
    return whole;
}

static uint64_t bits_of(double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static double number_of(uint64_t bits)
{
    double number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

size_t fly_steer_state_len(const struct fly_steer *state)
{
    return HEAD + ((size_t)state->n + 7) / 8;
}

void fly_steer_state_pack(const struct fly_steer *state, unsigned char *bytes)
{
    unsigned char *at = bytes;

    memset(bytes, 0, fly_steer_state_len(state));
    memcpy(at, magic, sizeof magic);
    at = put_whole(at + sizeof magic, (uint64_t)state->rows, 4);
    at = put_whole(at, (uint64_t)state->cols, 4);
    at = put_whole(at, state->seen != 0, 1);
    at = put_whole(at, state->epoch, 8);
    at = put_whole(at, state->births, 8);
    at = put_whole(at, (uint64_t)state->quiet, 4);
    at = put_whole(at, bits_of(state->agreement), 8);
    at = put_whole(at, bits_of(state->change), 8);
    for (int32_t k = 0; k < state->n; k++)
        at[k / 8] |= (unsigned char)(state->queue[k] << k % 8);
}

int fly_steer_state_unpack(struct fly_steer *state, const unsigned char *bytes, size_t len)
{
    const unsigned char *at = bytes + sizeof magic;
    int64_t rows, cols;

    if (len != fly_steer_state_len(state) || memcmp(bytes, magic, sizeof magic) != 0)
        return fly_fail(FLY_EWIRE, "%zu bytes are no steering state of %d x %d chips", len, state->rows, state->cols);
    rows = (int64_t)get_whole(&at, 4);
    cols = (int64_t)get_whole(&at, 4);
    if (rows != state->rows || cols != state->cols)
        return fly_fail(FLY_EWIRE, "steering state of %lld x %lld chips, not of %d x %d", (long long)rows, (long long)cols,
                        state->rows, state->cols);
    fly_steer_clear(state);
    state->seen = get_whole(&at, 1) != 0;
    state->epoch = get_whole(&at, 8);
    state->births = get_whole(&at, 8);
    state->quiet = (int32_t)(get_whole(&at, 4) & INT32_MAX);
    state->agreement = number_of(get_whole(&at, 8));
    state->change = number_of(get_whole(&at, 8));
    for (int32_t k = 0; k < state->n; k++)
        state->queue[k] = at[k / 8] >> k % 8 & 1;
    return FLY_OK;
}

void fly_steer_anew(struct fly_steer *state, uint64_t births)
{
    state->epoch = NO_EPOCH;
    state->births = births;
}

/* ---- a plan ---------------------------------------------------------------------------------------------- */

static int check_survey(const struct fly_steer *s, const struct fly_steer_view *v)
{
    int32_t missing = 0;

    for (int32_t k = 0; k < s->n; k++)
        missing += !v->measured[k] && !(v->barred && v->barred[k]);
    if (missing && !v->surveyed)
        return fly_fail(FLY_EAGAIN, "the survey has %d of %d chips still to measure: nothing is planned before", missing,
                        s->n);
    return FLY_OK;
}

static double mean_dose(const struct fly_steer *s, const struct fly_steer_view *v)
{
    double sum = 0.0;

    for (int32_t k = 0; k < s->n; k++)
        sum += (double)v->mean_us[k];
    return sum / s->n;
}

static struct fly_steer_task task_of(struct fly_steer *s, const struct fly_steer_config *c, const struct fly_steer_view *v)
{
    double target = log((1.0 - c->alpha) / c->alpha), dose = s->mean_us;
    double budget_us = c->budget > 0.0 ? c->budget * v->survey_us : INFINITY;
    int32_t reach = (v->side_px + v->pitch_px - 1) / v->pitch_px - 1;
    double spread = 2.0 * reach + 1.0 - reach * (reach + 1.0) * v->pitch_px / v->side_px;

    return (struct fly_steer_task){.state = s,
                                   .config = c,
                                   .view = v,
                                   .cap_us = fmin(c->cap * v->survey_us, c->cap_us),
                                   .rate_floor = c->rate_floor / v->survey_us,
                                   .rate_unknown = c->rate_unknown / v->survey_us,
                                   .join = (1.0 - c->alpha) / c->alpha,
                                   .leave = exp(c->hysteresis * target),
                                   .leave_llr = c->hysteresis * target,
                                   .reach = reach,
                                   .overlap = spread * spread,
                                   .dose_key = fly_mix64(c->seed) ^ fly_mix64(bits_of(dose) + 1),
                                   .dose_left_us = fmin(v->dose_left_us, budget_us > dose ? budget_us - dose : 0.0)};
}

/* Take what is kept on to this view. */
static void count_epoch(struct fly_steer *s, const struct fly_steer_view *v)
{
    if (s->seen && s->epoch == v->epoch)
        return;
    s->quiet = !s->seen || v->births > s->births ? 0 : s->quiet < INT32_MAX ? s->quiet + 1 : s->quiet;
    s->change = s->seen ? fabs(v->agreement - s->agreement) : NAN;
    s->agreement = v->agreement;
    s->epoch = v->epoch;
    s->births = v->births;
    s->seen = 1;
}

static double worst_composition(const struct fly_steer_view *v)
{
    double worst = NAN;

    for (int32_t i = 0; v->composition_error && i < v->classes; i++)
        worst = fmax(worst, v->composition_error[i]); /* a NaN gives way */
    return worst;
}

static int is_right(const struct fly_steer_task *t, const struct fly_steer_plan *plan)
{
    const struct fly_steer_config *c = t->config;
    const struct fly_steer *s = t->state;

    return plan->expected_error < c->stop_error && s->quiet >= c->stop_epochs && !(s->change > c->stop_agreement) &&
           !(s->composition_error > c->stop_composition);
}

/* Why nothing was chosen. */
static enum fly_steer_stop why_nothing(const struct fly_steer_task *t)
{
    const struct fly_steer *s = t->state;
    int adaptive = t->config->policy == FLY_STEER_ADAPTIVE, anybody = 0, capped = 0;

    for (int32_t k = 0; k < s->n; k++)
        anybody |= s->wants[k] || !t->view->measured[k];
    for (int32_t k = 0; k < s->n; k++) {
        enum fly_steer_wait wait = fly_steer_waits(t, k, t->dwell_us);

        if (adaptive && anybody && !s->wants[k] && t->view->measured[k])
            continue; /* it is not asked */
        if (wait == FLY_WAIT_BARRED || wait == FLY_WAIT_RESTING)
            return FLY_STEER_GO;
        capped |= wait == FLY_WAIT_CAPPED;
    }
    return capped || anybody ? FLY_STEER_STOP_DOSE : FLY_STEER_STOP_FLOOR;
}

static enum fly_steer_stop give_up(struct fly_steer_plan *plan, enum fly_steer_stop why)
{
    memset(plan->tiles, 0, sizeof plan->tiles);
    plan->n_tiles = 0;
    plan->dwell_us = plan->expected_gain = plan->dose_us = plan->cost_us = 0.0;
    plan->signal = FLY_SIGNAL_BOTH;
    return why;
}

/* Gain of those who wait for the others (fly_steer_ahead): to bring these up is worth that as well. */
static double promised(const struct fly_steer_task *t)
{
    const struct fly_steer *s = t->state;
    double gain = 0.0;

    if (t->config->policy != FLY_STEER_ADAPTIVE)
        return 0.0;
    for (int32_t k = 0; k < s->n; k++)
        if (s->wants[k] && fly_steer_ahead(t, k) && fly_steer_waits(t, k, t->dwell_us) == FLY_WAIT_NONE &&
            !fly_steer_hopeless(t, k))
            gain += fly_steer_gain(s->error[k], fly_steer_chip_need(t, k), t->dwell_us);
    return gain;
}

/* Lay as many of the n chosen as dose and time allow. */
static enum fly_steer_stop lay_within(const struct fly_steer_task *t, int32_t n, struct fly_steer_plan *plan)
{
    double time_left_us = t->view->time_left_us;

    while (n > 0 && n * t->dwell_us * t->overlap / t->state->n > t->dose_left_us)
        n--;
    if (n == 0)
        return give_up(plan, FLY_STEER_STOP_DOSE);
    for (fly_steer_lay(t, t->state->chosen, n, plan); plan->cost_us > time_left_us;
         fly_steer_lay(t, t->state->chosen, n, plan)) {
        int32_t fits = (int32_t)(n * time_left_us / plan->cost_us);

        n = fits < n ? fits : n - 1;
        if (n < 1)
            return give_up(plan, FLY_STEER_STOP_TIME);
    }
    if (plan->expected_gain + promised(t) < t->config->stop_floor * 1e-6 * plan->cost_us)
        return give_up(plan, FLY_STEER_STOP_FLOOR);
    return FLY_STEER_GO;
}

int fly_steer_plan_by(const struct fly_steer_way_of *by, struct fly_steer *state, const struct fly_steer_config *config,
                      const struct fly_steer_view *view, struct fly_steer_plan *out)
{
    struct fly_steer_task task;
    int rc = fly_steer_view_check(state, config, view);
    int32_t n;

    if (rc == FLY_OK)
        rc = check_survey(state, view);
    if (rc < 0)
        return rc;
    memset(out, 0, sizeof *out);
    out->view_hash = fly_steer_view_hash(view);
    out->epoch = view->epoch;
    state->mean_us = mean_dose(state, view);
    task = task_of(state, config, view);
    by->smooth(state, config, view);
    state->has_smooth = 1;
    fly_steer_weigh(&task, out);
    count_epoch(state, view);
    state->composition_error = worst_composition(view);
    if (is_right(&task, out)) {
        out->stop = FLY_STEER_STOP_ERROR;
        return FLY_OK;
    }
    if (config->policy == FLY_STEER_FROZEN)
        return FLY_OK;
    n = by->choose(&task, config->tiles, out);
    out->stop = n ? lay_within(&task, n, out) : why_nothing(&task);
    return FLY_OK;
}

int fly_steer_plan(struct fly_steer *state, const struct fly_steer_config *config, const struct fly_steer_view *view,
                   struct fly_steer_plan *out)
{
    const struct fly_steer_way_of by = {fly_steer_smooth, fly_steer_choose};

    return fly_steer_plan_by(&by, state, config, view, out);
}

/* ---- helpers of others ------------------------------------------------------------------------------------- */

void fly_steer_best_first(const struct fly_steer_plan *plan, int32_t *order)
{
    for (int32_t i = 0; i < plan->n_tiles; i++) {
        int32_t at = i;

        for (; at > 0 && plan->tiles[i].score > plan->tiles[order[at - 1]].score; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Hoare's selection with the middle of three as pivot. */
double fly_steer_median(double *values, int32_t n)
{
    int32_t low = 0, high = n - 1, want = (n - 1) / 2;

    FLY_ASSERT(n > 0);
    while (low < high) {
        double a = values[low], b = values[low + (high - low) / 2], c = values[high];
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
        int32_t i = low, j = high;

        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                double swap = values[i];

                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (want <= j)
            high = j;
        else if (want >= i)
            low = i;
        else
            break;
    }
    return values[want];
}
