#include "plugin/steering.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/steer/ledger.h"
#include "stream/sequence.h"

double fly_steering_dose_factor(const struct fly_session_info *info)
{
    return fly_dose_factor(info->start.beam_current_na, info->plan.pixel_nm);
}

static double least(double a, double b)
{
    return a < b ? a : b; /* comparisons with NaN are false: b */
}

struct fly_steer_config fly_steering_config(const struct fly_options *options, const struct fly_start *start,
                                            const struct fly_steer_limits *limits, double dose_factor)
{
    struct fly_steer_config config = fly_steer_config_default();
    double cap_e = options->steer.dose_cap_e_per_A2 > 0.0 ? options->steer.dose_cap_e_per_A2 : INFINITY;

    config.policy = (enum fly_steer_policy)options->steer.policy;
    config.signal = options->steer.signal - 1; /* auto is FLY_STEER_SIGNAL_AUTO */
    config.seed = (uint64_t)options->steer.seed;
    config.tiles = options->steer.tiles;
    config.cap = options->steer.dose_cap;
    config.budget = options->steer.budget;
    config.explore = options->steer.explore;
    config.stop_error = options->steer.target_error;
    config.settle_us = options->steer.settle_us;
    config.slew_px_per_us = options->steer.slew_px_per_us > 0.0 ? options->steer.slew_px_per_us : INFINITY;
    if (isfinite(start->flyback_time_us))
        config.flyback_us = fmin(start->flyback_time_us, 1e6);
    cap_e = least(limits->dose_e_per_A2, cap_e);
    if (isfinite(dose_factor) && isfinite(cap_e))
        config.cap_us = cap_e / dose_factor;
    return config; /* rest_ms stays 0: chips that rest are barred, and so stand in the journal */
}

/* ---- barred chips ------------------------------------------------------------------------------ */

void fly_steering_bar(uint8_t *barred, const struct fly_grid *grid, const struct fly_chip_box *boxes, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t r = boxes[i].row; r < boxes[i].row + boxes[i].rows; r++)
            for (int32_t c = boxes[i].col; c < boxes[i].col + boxes[i].cols; c++)
                if (r >= 0 && r < grid->rows && c >= 0 && c < grid->cols)
                    barred[r * grid->cols + c] = 1;
}

void fly_steering_bar_gone(uint8_t *barred, const struct fly_grid *grid, const int32_t shift_px[2])
{
    for (int32_t k = 0; k < fly_grid_chips(grid); k++) {
        int32_t y0 = k / grid->cols * grid->pitch_px - shift_px[0], x0 = k % grid->cols * grid->pitch_px - shift_px[1];

        if (y0 < 0 || x0 < 0 || y0 + grid->side_px > grid->height_px || x0 + grid->side_px > grid->width_px)
            barred[k] = 1;
    }
}

void fly_steering_runs(struct fly_steering_inputs *inputs, const uint8_t *barred, int32_t chips)
{
    inputs->n_barred = 0;
    for (int32_t k = 0; k < chips; k++) {
        if (!barred[k])
            continue;
        int32_t *last = inputs->n_barred ? inputs->barred[inputs->n_barred - 1] : NULL;

        if (last && (last[0] + last[1] == k || inputs->n_barred == FLY_STEERING_RUNS_MAX)) {
            last[1] = k + 1 - last[0]; /* with no room for more runs, what lies between is barred with them */
            continue;
        }
        inputs->barred[inputs->n_barred][0] = k;
        inputs->barred[inputs->n_barred++][1] = 1;
    }
}

/* ---- plan -------------------------------------------------------------------------------------- */

int fly_steering_plan(struct fly_session *session, const struct fly_steering_inputs *inputs, uint8_t *scratch,
                      struct fly_steer_plan *plan)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_session_info *info = fly_session_facts(session);
    int32_t chips = fly_grid_chips(fly_engine_grid(engine));
    struct fly_steer_config config = fly_steering_config(fly_session_options(session), &info->start, &inputs->limits,
                                                         fly_steering_dose_factor(info));
    struct fly_plan_ask ask = {.now_ns = inputs->now_ns,
                               .survey_us = inputs->survey_us,
                               .surveyed = inputs->surveyed,
                               .barred = scratch,
                               .past_damage = !fly_session_options(session)->steer.damage,
                               .dose_left_us = INFINITY,
                               .time_left_us = INFINITY,
                               .beam_px = {inputs->beam_px[0], inputs->beam_px[1]}};
    double side_px = fly_engine_grid(engine)->side_px;
    int rc;

    if (inputs->sigma_px > 0.5 * side_px)
        return fly_fail(FLY_EAGAIN, "the drift is known to %.2g px only, half a chip is %g px: a frame that covers the middle "
                                    "of the scan will tell it", inputs->sigma_px, 0.5 * side_px);
    if (inputs->sigma_px > 0.25 * side_px) {
        config.explore = 1.0;
        config.tiles = (config.tiles + 3) / 4;
    }
    memset(scratch, 0, (size_t)chips);
    for (int32_t i = 0; i < inputs->n_barred; i++)
        if (inputs->barred[i][0] <= chips - inputs->barred[i][1]) /* what was read is not below 0 */
            memset(scratch + inputs->barred[i][0], 1, (size_t)inputs->barred[i][1]);
    rc = fly_engine_set_steer(engine, &config);
    return rc < 0 ? rc : fly_engine_plan(engine, &ask, plan);
}

/* ---- what is told of it ------------------------------------------------------------------------ */

/* Where targets lie, and what their dose is. */
struct place {
    const struct fly_grid *grid;
    const int32_t *shift_px;
    double factor;
};

static void fill_target(struct fly_target *target, const struct fly_steer_tile *tile, const struct place *place,
                        int32_t col, int32_t cols)
{
    const struct fly_grid *grid = place->grid;

    *target = (struct fly_target){
        .kind = FLY_TARGET_BOX,
        .px = {(double)(tile->row * grid->pitch_px - place->shift_px[0]),
               (double)(col * grid->pitch_px - place->shift_px[1]),
               (double)((tile->rows - 1) * grid->pitch_px + grid->side_px),
               (double)((cols - 1) * grid->pitch_px + grid->side_px)},
        .dwell_us = tile->dwell_us,
        .signal = tile->signal,
        .expected_gain = tile->expected_gain * cols / tile->cols,
        .dose_e_per_A2 = tile->dwell_us * place->factor,
    };
    snprintf(target->reason, sizeof target->reason, "%s", fly_steer_reason_name(tile->reason));
}

/* Chips of a box no wider than the limit, at least one. */
static int32_t chips_across(const struct fly_grid *grid, double box_px)
{
    double chips = isfinite(box_px) ? floor((box_px - grid->side_px) / grid->pitch_px) + 1.0 : grid->cols;

    return chips < 1.0 ? 1 : chips > grid->cols ? grid->cols : (int32_t)chips;
}

static void add_tile(struct fly_decision *d, const struct fly_steer_tile *tile, const struct place *place,
                     int32_t across, int from_right)
{
    for (int32_t done = 0; done < tile->cols && d->n_targets < FLY_DECISION_TARGETS; done += across) {
        int32_t cols = tile->cols - done < across ? tile->cols - done : across;
        int32_t col = from_right ? tile->col + tile->cols - done - cols : tile->col + done;

        d->boxes[d->n_targets] = (struct fly_chip_box){tile->row, col, tile->rows, cols};
        fill_target(&d->targets[d->n_targets++], tile, place, col, cols);
    }
}

static int by_score(const double *score, int32_t a, int32_t b)
{
    return score[a] > score[b] || (score[a] == score[b] && a < b);
}

/* Insertion: a few hundred, and mostly in runs of one score. */
static void order_best_first(struct fly_decision *d, const double *score)
{
    for (int32_t i = 0; i < d->n_targets; i++) {
        int32_t at = i;

        for (; at > 0 && by_score(score, i, d->best_first[at - 1]); at--)
            d->best_first[at] = d->best_first[at - 1];
        d->best_first[at] = i;
    }
}

static void fill_dose(struct fly_decision *d, struct fly_engine *engine)
{
    const float *mean, *most;
    int32_t chips = fly_grid_chips(fly_engine_grid(engine));
    double sum = 0.0;

    fly_engine_dose(engine, &mean, &most);
    for (int32_t k = 0; k < chips; k++) {
        sum += (double)mean[k];
        d->dose_max_us = fmax(d->dose_max_us, (double)most[k]);
    }
    d->dose_mean_us = sum / chips;
}

/* As the policy asks for them (engine/steer/policy.h). The budget counts as it does there: what is left holds no tile. */
static void fill_until(struct fly_suggest_until *until, const struct fly_steer_config *c, const struct fly_steer_plan *plan,
                       const struct fly_steer_found *found, double survey_us)
{
    double dose = found->mean_us / survey_us;

    until[FLY_UNTIL_ERROR] = (struct fly_suggest_until){plan->expected_error, c->stop_error,
                                                        plan->expected_error < c->stop_error};
    until[FLY_UNTIL_BIRTHS] = (struct fly_suggest_until){found->quiet, c->stop_epochs, found->quiet >= c->stop_epochs};
    until[FLY_UNTIL_AGREEMENT] = (struct fly_suggest_until){found->agreement_change, c->stop_agreement,
                                                            !(found->agreement_change > c->stop_agreement)};
    until[FLY_UNTIL_COMPOSITION] = (struct fly_suggest_until){found->composition_error, c->stop_composition,
                                                              !(found->composition_error > c->stop_composition)};
    until[FLY_UNTIL_BUDGET] = (struct fly_suggest_until){dose, c->budget > 0.0 ? c->budget : NAN,
                                                         c->budget > 0.0 && plan->stop == FLY_STEER_STOP_DOSE && !plan->capped};
}

void fly_steering_why_nothing(char *out, size_t cap, const struct fly_steer_config *config,
                              const struct fly_steer_plan *plan)
{
    int32_t wait = plan->barred + plan->resting;

    out[0] = '\0';
    if (plan->n_tiles > 0)
        return;
    if (plan->stop == FLY_STEER_STOP_ERROR)
        snprintf(out, cap, "the map is as right as was asked: %.2g %% of it is expected wrong, steer.target_error is %.2g %%",
                 100.0 * plan->expected_error, 100.0 * config->stop_error);
    else if (plan->stop == FLY_STEER_STOP_FLOOR)
        snprintf(out, cap, "nothing that could be measured is worth its time any more");
    else if (plan->stop == FLY_STEER_STOP_TIME)
        snprintf(out, cap, "no time is left");
    else if (plan->stop == FLY_STEER_STOP_DOSE && plan->capped > 0)
        snprintf(out, cap, "every chip that wants beam has had what it may have (%d %s cap, steer.dose_cap)", plan->capped,
                 plan->capped == 1 ? "is at its" : "are at their");
    else if (plan->stop == FLY_STEER_STOP_DOSE)
        snprintf(out, cap, config->budget > 0.0 ? "the map has had its dose (steer.budget %g survey dwells)"
                                                : "no chip may have more dose", config->budget);
    else if (config->policy == FLY_STEER_FROZEN)
        snprintf(out, cap, "steer.policy is frozen");
    else if (wait == 1)
        snprintf(out, cap, "the one chip that wants beam waits: for its data, to rest, or because it was vetoed, rejected or "
                           "damaged");
    else
        snprintf(out, cap, "all %d chips that want beam wait: for their data, to rest, or because they were vetoed, rejected or damaged",
                 wait);
}

void fly_steering_decision(struct fly_decision *decision, struct fly_session *session,
                           const struct fly_steering_inputs *inputs, const struct fly_steer_plan *plan)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_session_info *info = fly_session_facts(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    struct place place = {grid, inputs->shift_px, fly_steering_dose_factor(info)};
    double score[FLY_DECISION_TARGETS];
    struct fly_steer_found found;
    int32_t across = chips_across(grid, inputs->limits.box_px);

    *decision = (struct fly_decision){.serial = info->serial,
                                      .epoch = inputs->epoch,
                                      .as_of = inputs->as_of,
                                      .expected_error = plan->expected_error,
                                      .cost_us = plan->cost_us,
                                      .beam_px = {NAN, NAN},
                                      .dose_factor = place.factor};
    memcpy(decision->id, inputs->decision_id, sizeof decision->id);
    snprintf(decision->policy, sizeof decision->policy, "%s",
             fly_steer_policy_name(fly_engine_steer_config(engine)->policy));
    found = fly_steer_found(fly_engine_steer(engine));
    fill_until(decision->until, fly_engine_steer_config(engine), plan, &found, inputs->survey_us);
    if (plan->stop != FLY_STEER_GO)
        snprintf(decision->stop, sizeof decision->stop, "%s", fly_steer_stop_name(plan->stop));
    for (int32_t i = 0, from_right = 0; i < plan->n_tiles; i++) {
        int32_t from = decision->n_targets;

        if (i > 0 && plan->tiles[i].row != plan->tiles[i - 1].row)
            from_right = !from_right; /* as the plan goes through its rows */
        add_tile(decision, &plan->tiles[i], &place, across, from_right);
        for (int32_t t = from; t < decision->n_targets; t++)
            score[t] = plan->tiles[i].score;
    }
    order_best_first(decision, score);
    if (decision->n_targets) {
        const double *last = decision->targets[decision->n_targets - 1].px;

        decision->beam_px[0] = last[0] + last[2] - 1.0; /* the beginning of its last line */
        decision->beam_px[1] = last[1];
    }
    for (int32_t i = 0; i < plan->n_alternatives && i < FLY_ALTERNATIVES_MAX; i++)
        fill_target(&decision->alternatives[decision->n_alternatives++], &plan->alternatives[i], &place,
                    plan->alternatives[i].col, plan->alternatives[i].cols);
    fill_dose(decision, engine);
}

/* ---- the record -------------------------------------------------------------------------------- */

static void put_f64(struct fly_pack *pack, const char *key, double value)
{
    fly_pack_str(pack, key);
    fly_pack_f64(pack, value);
}

static void put_uint(struct fly_pack *pack, const char *key, uint64_t value)
{
    fly_pack_str(pack, key);
    fly_pack_uint(pack, value);
}

static void put_str(struct fly_pack *pack, const char *key, const char *value)
{
    fly_pack_str(pack, key);
    fly_pack_str(pack, value);
}

static void pack_inputs(struct fly_pack *pack, const struct fly_steering_inputs *in)
{
    struct fly_pub_streams as_of = {.count = in->as_of.count};

    for (int32_t i = 0; i < as_of.count; i++) {
        as_of.names[i] = in->as_of.names[i];
        as_of.seq[i] = in->as_of.seq[i];
    }
    fly_pack_map(pack, 11);
    put_uint(pack, "epoch", in->epoch);
    put_str(pack, "mode", fly_steer_mode_name(in->mode));
    fly_pack_str(pack, "limits");
    fly_pack_map(pack, 3);
    put_f64(pack, "dose_e_per_A2", in->limits.dose_e_per_A2);
    put_f64(pack, "box_px", in->limits.box_px);
    put_f64(pack, "rate_hz", in->limits.rate_hz);
    put_uint(pack, "now_ns", (uint64_t)in->now_ns);
    put_f64(pack, "survey_us", in->survey_us);
    fly_pack_str(pack, "surveyed");
    fly_pack_bool(pack, in->surveyed);
    fly_pack_str(pack, "beam_px");
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, in->beam_px[0]);
    fly_pack_f64(pack, in->beam_px[1]);
    fly_pack_str(pack, "shift_px");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, in->shift_px[0]);
    fly_pack_int(pack, in->shift_px[1]);
    put_f64(pack, "shift_sigma_px", in->sigma_px);
    fly_pack_str(pack, "barred");
    fly_pack_array(pack, (uint32_t)in->n_barred * 2);
    for (int32_t i = 0; i < in->n_barred; i++) {
        fly_pack_int(pack, in->barred[i][0]);
        fly_pack_int(pack, in->barred[i][1]);
    }
    fly_pack_str(pack, "as_of");
    fly_pub_pack_streams(pack, &as_of);
}

static void pack_tile(struct fly_pack *pack, const struct fly_steer_tile *tile)
{
    fly_pack_array(pack, 7);
    fly_pack_int(pack, tile->row);
    fly_pack_int(pack, tile->col);
    fly_pack_int(pack, tile->cols);
    fly_pack_f64(pack, tile->expected_gain);
    fly_pack_f64(pack, tile->value);
    fly_pack_f64(pack, tile->score);
    fly_pack_str(pack, fly_steer_reason_name(tile->reason));
}

static void pack_tiles(struct fly_pack *pack, const char *key, const struct fly_steer_tile *tiles, int32_t n)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++)
        pack_tile(pack, &tiles[i]);
}

static uint64_t state_hash(struct fly_session *session)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    uint64_t hash = 0;

    if (fly_steering_state(session, &bytes, &len) == FLY_OK)
        hash = fly_hash_parts(&(struct fly_part){bytes, len}, 1);
    free(bytes);
    return hash;
}

static void pack_outcome(struct fly_pack *pack, struct fly_session *session, const struct fly_steer_plan *plan)
{
    fly_pack_map(pack, 15);
    put_str(pack, "stop", fly_steer_stop_name(plan->stop));
    put_str(pack, "signal", fly_signal_name(plan->signal));
    put_f64(pack, "dwell_us", plan->dwell_us);
    put_f64(pack, "expected_error", plan->expected_error);
    put_f64(pack, "disagreement", plan->disagreement);
    put_f64(pack, "expected_gain", plan->expected_gain);
    put_f64(pack, "dose_us", plan->dose_us);
    put_f64(pack, "cost_us", plan->cost_us);
    put_uint(pack, "queued", (uint64_t)plan->queued);
    put_uint(pack, "unmeasured", (uint64_t)plan->unmeasured);
    put_uint(pack, "capped", (uint64_t)plan->capped);
    put_uint(pack, "hopeless", (uint64_t)plan->hopeless);
    pack_tiles(pack, "targets", plan->tiles, plan->n_tiles);
    pack_tiles(pack, "alternatives", plan->alternatives, plan->n_alternatives);
    put_uint(pack, "state_hash", state_hash(session));
}

/* Of every constant of the policy in force. */
static uint64_t config_hash(const struct fly_steer_config *c)
{
    const double numbers[] = {c->policy, (double)c->seed, c->signal, c->alpha, c->hysteresis, c->potts_beta,
                              c->potts_iterations, c->boundary, c->novel, c->disagree, c->composition, c->explore,
                              c->dwell_max, c->dwell_min, c->tiles, c->apart, c->rate_floor, c->hopeless,
                              c->rate_unknown, c->cap, c->cap_us, c->budget, c->rest_ms, c->settle_us, c->flyback_us,
                              c->slew_px_per_us, c->again, c->uneven, c->support,
                              c->stop_error, c->stop_epochs, c->stop_agreement, c->stop_composition, c->stop_floor};

    return fly_hash_parts(&(struct fly_part){numbers, sizeof numbers}, 1);
}

void fly_steering_pack(struct fly_pack *pack, struct fly_session *session, const struct fly_steering_inputs *inputs,
                       const struct fly_steer_plan *plan)
{
    fly_pack_map(pack, 4);
    put_str(pack, "decision_id", inputs->decision_id);
    put_uint(pack, "config_hash", config_hash(fly_engine_steer_config(fly_session_engine(session))));
    fly_pack_str(pack, "inputs");
    pack_inputs(pack, inputs);
    fly_pack_str(pack, "outcome");
    pack_outcome(pack, session, plan);
}

static double number_of(struct fly_value map, const char *key)
{
    struct fly_value value;
    double number;

    return fly_value_get(map, key, &value) && fly_value_f64(value, &number) ? number : NAN;
}

static int read_barred(struct fly_value map, struct fly_steering_inputs *in)
{
    struct fly_value list, value;
    struct fly_value_iter it = {0};
    int64_t number = 0;

    if (!fly_value_get(map, "barred", &list) || fly_value_kind(list) != FLY_KIND_ARRAY ||
        fly_value_count(list) > 2 * FLY_STEERING_RUNS_MAX)
        return 0;
    in->n_barred = (int32_t)fly_value_count(list) / 2;
    for (int32_t i = 0; i < 2 * in->n_barred && fly_value_next(list, &it, NULL, &value); i++) {
        if (!fly_value_int(value, &number) || number < 0 || number > INT32_MAX)
            return 0;
        in->barred[i / 2][i % 2] = (int32_t)number;
    }
    return 1;
}

static void read_beam(struct fly_value map, struct fly_steering_inputs *in)
{
    struct fly_value list, value;
    struct fly_value_iter it = {0};

    in->beam_px[0] = in->beam_px[1] = NAN;
    if (fly_value_get(map, "beam_px", &list) && fly_value_kind(list) == FLY_KIND_ARRAY)
        for (int i = 0; i < 2 && fly_value_next(list, &it, NULL, &value); i++)
            if (!fly_value_f64(value, &in->beam_px[i]))
                in->beam_px[i] = NAN;
}

int fly_steering_unpack(struct fly_value args, struct fly_steering_inputs *inputs)
{
    struct fly_value map, value, limits;
    const char *id;
    size_t len;

    memset(inputs, 0, sizeof *inputs);
    if (!fly_value_get(args, "decision_id", &value) || !fly_value_str(value, &id, &len) || len > FLY_CMD_ID_MAX ||
        !fly_value_get(args, "inputs", &map) || fly_value_kind(map) != FLY_KIND_MAP ||
        !fly_value_get(map, "limits", &limits) || !fly_value_get(map, "epoch", &value) ||
        !fly_value_uint(value, &inputs->epoch) || !fly_value_get(map, "now_ns", &value) ||
        !fly_value_int(value, &inputs->now_ns) || !fly_value_get(map, "surveyed", &value) ||
        !fly_value_bool(value, &inputs->surveyed) || !read_barred(map, inputs))
        return fly_fail(FLY_EWIRE, "a steer.plan of the journal cannot be read");
    memcpy(inputs->decision_id, id, len);
    inputs->limits = (struct fly_steer_limits){number_of(limits, "dose_e_per_A2"), number_of(limits, "box_px"),
                                               number_of(limits, "rate_hz")};
    inputs->survey_us = number_of(map, "survey_us");
    inputs->sigma_px = number_of(map, "shift_sigma_px"); /* NaN of older recordings: nothing hung on it */
    read_beam(map, inputs);
    return FLY_OK;
}

int fly_steering_state(struct fly_session *session, unsigned char **bytes, size_t *len)
{
    const struct fly_steer *state = fly_engine_steer(fly_session_engine(session));

    *len = state ? fly_steer_state_len(state) : 0;
    *bytes = malloc(*len ? *len : 1);
    if (!*bytes)
        return fly_fail(FLY_ENOMEM, "no memory for the %zu bytes of a policy's state", *len);
    if (state)
        fly_steer_state_pack(state, *bytes);
    return FLY_OK;
}

int fly_steering_restore(struct fly_session *session, const void *bytes, size_t len)
{
    struct fly_steer *state = fly_engine_steer(fly_session_engine(session));

    if (state)
        return fly_steer_state_unpack(state, bytes, len);
    return len == 0 ? FLY_OK : fly_fail(FLY_EWIRE, "a steering state of %zu bytes, but the session has none", len);
}

int fly_steering_recall(struct fly_session *session, const void *bytes, size_t len)
{
    int rc = fly_steering_restore(session, bytes, len);

    if (rc == FLY_OK)
        fly_engine_steer_anew(fly_session_engine(session));
    return rc;
}
