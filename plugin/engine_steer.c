/* The engine stage's steering: when a decision is made, its record, and what came of a command's data. */
#include "plugin/engine_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/maps.h"
#include "plugin/steering.h"

/* A journal that is behind is asked again so soon. */
#define RETRY_NS (100 * INT64_C(1000000))
/* Bytes of a policy's state a decision, in the mean: a state that is larger is kept every few decisions. */
enum { STATE_BYTES = 8192 };

static int64_t mono_ns(const struct fly_stage_engine *stage)
{
    return stage->config.clock.mono_ns(stage->config.clock.ctx);
}

void fly_stage_steer_open(struct fly_stage_engine *stage)
{
    struct fly_stage_steer *s = &stage->steer;
    int32_t chips = fly_grid_chips(&stage->info->plan.grid);

    free(s->barred);
    memset(s, 0, sizeof *s);
    s->barred = malloc((size_t)chips);
    s->highest = -1;
    if (!s->barred)
        fly_bus_event(stage->config.bus, FLY_ERROR, "memory", NULL, 0,
                      "no memory to steer %d chips: nothing is suggested", chips);
}

void fly_stage_steer_close(struct fly_stage_engine *stage)
{
    free(stage->steer.barred);
    stage->steer.barred = NULL;
}

/* ---- data ---------------------------------------------------------------------------------------- */

/* The survey is frame 0: it has passed when the last line of each stream that is looked at came, or another frame. */
static void watch_survey(struct fly_stage_engine *stage, const struct fly_ingest *msg)
{
    const struct fly_plan *plan = &stage->info->plan;
    struct fly_stage_steer *s = &stage->steer;
    int32_t looked_at = plan->n_segments + (plan->image > 0);
    int mine = msg->stream_idx == plan->image || plan->segment_of[msg->stream_idx] >= 0;
    int32_t bottom = (plan->grid.rows - 1) * plan->grid.pitch_px + plan->grid.side_px;

    if (msg->frame == 0 && s->survey_us == 0.0 && msg->dwell_ns > FLY_DWELL_UNKNOWN_NS)
        s->survey_us = (double)msg->dwell_ns * 1e-3;
    if (msg->frame == 0 && mine && msg->y0 + msg->h >= bottom && !s->bottom[msg->stream_idx]) {
        s->bottom[msg->stream_idx] = 1;
        s->bottoms++;
    }
    s->surveyed = s->highest > 0 || s->bottoms >= looked_at;
}

static const struct fly_target *target_at(const struct fly_stage_order *order, const struct fly_ingest *msg)
{
    for (int32_t i = 0; i < order->n_targets; i++) {
        const double *box = order->targets[i].px;

        if (msg->y0 >= box[0] && msg->x0 >= box[1] && msg->y0 + msg->h <= box[0] + box[2] &&
            msg->x0 + msg->w <= box[1] + box[3])
            return &order->targets[i];
    }
    return NULL;
}

static void count_answer(struct fly_stage_engine *stage, struct fly_stage_order *order, const struct fly_ingest *msg)
{
    const struct fly_plan *plan = &stage->info->plan;
    const struct fly_target *target = target_at(order, msg);
    struct fly_answer *answer = &order->answer;
    int64_t px = (int64_t)msg->h * msg->w;
    double dwell_us = (double)msg->dwell_ns * 1e-3;

    if (!target || msg->frame < order->frame || msg->frame >= order->frame + order->frames)
        answer->outside_px += px;
    else if (answer->commanded_us == 0.0 || fabs(dwell_us / target->dwell_us - 1.0) >
                                                fabs(answer->dwell_us / answer->commanded_us - 1.0)) {
        answer->dwell_us = dwell_us;
        answer->commanded_us = target->dwell_us;
    }
    if (target && msg->stream_idx == plan->image)
        answer->image_px += px;
    else if (target && plan->segment_of[msg->stream_idx] == 0)
        answer->eds_px += px;
    fly_bus_post_answer(stage->config.bus, answer);
}

static void take_orders(struct fly_stage_engine *stage)
{
    struct fly_stage_steer *s = &stage->steer;

    if (!fly_bus_take_orders(stage->config.bus, &s->orders.version, &s->orders) ||
        strcmp(s->orders.cmd_id, s->sent[0].answer.cmd_id) == 0)
        return;
    s->sent[1] = s->sent[0];
    s->sent[0] = (struct fly_stage_order){.frame = s->orders.frame, .frames = s->orders.frames,
                                          .n_targets = s->orders.n_targets};
    memcpy(s->sent[0].answer.cmd_id, s->orders.cmd_id, sizeof s->orders.cmd_id);
    memcpy(s->sent[0].targets, s->orders.targets, sizeof s->orders.targets);
}

void fly_stage_steer_data(struct fly_stage_engine *stage, const struct fly_ingest *msg)
{
    struct fly_stage_steer *s = &stage->steer;

    if (msg->frame > s->highest) {
        s->highest = msg->frame;
        fly_bus_post_seen(stage->config.bus, stage->info->serial, s->highest);
    }
    if (!s->surveyed || s->survey_us == 0.0)
        watch_survey(stage, msg);
    if (!msg->cmd_id)
        return;
    take_orders(stage); /* a command is known here before its data can be */
    for (int i = 0; i < 2; i++)
        if (s->sent[i].answer.cmd_id[0] && fly_cmd_id_is(s->sent[i].answer.cmd_id, msg->cmd_id)) {
            count_answer(stage, &s->sent[i], msg);
            return;
        }
}

/* ---- a restart ------------------------------------------------------------------------------------ */

static int64_t int_of(struct fly_value map, const char *key)
{
    struct fly_value value;
    int64_t number = 0;

    if (fly_value_get(map, key, &value))
        fly_value_int(value, &number);
    return number;
}

/* An id of ours is a number, in decimal. */
static int64_t id_of(struct fly_value map, const char *key)
{
    struct fly_value value;
    const char *text;
    size_t len;
    int64_t number = 0;

    if (!fly_value_get(map, key, &value) || !fly_value_str(value, &text, &len) || len > 18)
        return 0;
    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        number = 10 * number + (text[i] - '0');
    return number;
}

static void raise(int64_t *most, int64_t number)
{
    *most = number > *most ? number : *most;
}

static void recall_hold(struct fly_helm_memory *memory, struct fly_value args)
{
    struct fly_value value;
    const char *text;
    size_t len;

    memory->held = 1;
    memory->held_by[0] = '\0';
    if (fly_value_get(args, "by", &value) && fly_value_str(value, &text, &len) && len < sizeof memory->held_by) {
        memcpy(memory->held_by, text, len);
        memory->held_by[len] = '\0';
    }
}

void fly_stage_steer_recall(struct fly_stage_engine *stage, const char *op, struct fly_value args,
                            const struct fly_part *more)
{
    struct fly_helm_memory *memory = &stage->steer.memory;

    memory->there = 1;
    if (strcmp(op, "steer.hold") == 0)
        recall_hold(memory, args);
    else if (strcmp(op, "steer.resume") == 0)
        memory->held = 0;
    else if (strcmp(op, "steer.frames") == 0)
        raise(&memory->frames_through, int_of(args, "through"));
    raise(&memory->last_number, id_of(args, "cmd_id"));
    if (strcmp(op, "steer.plan") == 0) {
        raise(&stage->steer.last_number, id_of(args, "decision_id"));
        if (more->len && stage->session && fly_steering_recall(stage->session, more->bytes, more->len) < 0)
            fly_bus_event(stage->config.bus, FLY_WARNING, "steer_state", NULL, 0,
                          "suggestions begin anew: %s", fly_fail_text());
    }
    fly_bus_post_memory(stage->config.bus, stage->info->serial, memory);
}

/* ---- a decision ----------------------------------------------------------------------------------- */

static int64_t cycle_ns(const struct fly_stage_engine *stage)
{
    return (int64_t)fly_session_options(stage->session)->steer.cycle_ms * 1000000;
}

static int may_plan(const struct fly_stage_engine *stage)
{
    const struct fly_stage_steer *s = &stage->steer;

    return s->barred && s->orders.wanted && s->orders.serial == stage->info->serial && !stage->draining &&
           !stage->ended && stage->maps.epoch > 0 && s->survey_us > 0.0 &&
           (stage->maps.epoch != s->planned_epoch || s->orders.again != s->planned_again || s->resting);
}

int64_t fly_stage_steer_due(struct fly_stage_engine *stage)
{
    if (!stage->session || atomic_load(&stage->info->resuming))
        return INT64_MAX;
    take_orders(stage);
    return may_plan(stage) ? stage->steer.not_before_ns : INT64_MAX;
}

/* Chips that were exposed a moment ago. A restart knows no stamps: they may be measured at once. */
static int bar_resting(struct fly_stage_engine *stage, int64_t now)
{
    double rest_ns = fly_session_options(stage->session)->steer.rest_ms * 1e6;
    int32_t chips = fly_grid_chips(&stage->info->plan.grid);
    struct fly_ledger_counts counts;
    struct fly_ledger_view view;
    int resting = 0;

    if (rest_ns <= 0.0)
        return 0;
    fly_engine_ledger(fly_session_engine(stage->session), &view, &counts);
    for (int32_t k = 0; k < chips; k++)
        if (view.last_ns[k] > 0 && (double)(now - view.last_ns[k]) < rest_ns)
            resting = stage->steer.barred[k] = 1;
    return resting;
}

/* Where the specimen has drifted to by the frame that would be commanded now. */
static void read_shift(struct fly_stage_engine *stage, struct fly_steering_inputs *in)
{
    double drift_px[2], sigma_px[2];

    in->shift_px[0] = in->shift_px[1] = 0;
    in->sigma_px = 0.0;
    if (fly_engine_drift_now(fly_session_engine(stage->session), stage->steer.highest + 1, drift_px, sigma_px) < 0)
        return;
    for (int i = 0; i < 2; i++)
        in->shift_px[i] = (int32_t)lround(drift_px[i]);
    in->sigma_px = fmax(sigma_px[0], sigma_px[1]);
}

static void fill_inputs(struct fly_stage_engine *stage, struct fly_steering_inputs *in, int64_t now)
{
    struct fly_stage_steer *s = &stage->steer;
    struct fly_pub_streams as_of;
    int64_t ms = fly_stage_unix_ns(stage) / 1000000;

    in->epoch = stage->maps.epoch;
    in->mode = s->orders.mode;
    in->limits = s->orders.limits;
    in->now_ns = now;
    in->survey_us = s->survey_us;
    in->surveyed = s->surveyed;
    memcpy(in->beam_px, s->orders.beam_px, sizeof in->beam_px);
    /* As with commands: larger than any before, of this process or another. */
    s->last_number = ms > s->last_number ? ms : s->last_number + 1;
    snprintf(in->decision_id, sizeof in->decision_id, "%" PRId64, s->last_number);
    fly_streams_of(&as_of, stage->info, stage->maps.as_of);
    fly_as_of_copy(&in->as_of, &as_of);
    memset(s->barred, 0, (size_t)fly_grid_chips(&stage->info->plan.grid));
    fly_steering_bar(s->barred, &stage->info->plan.grid, s->orders.barred, s->orders.n_barred);
    read_shift(stage, in);
    fly_steering_bar_gone(s->barred, &stage->info->plan.grid, in->shift_px);
    s->resting = bar_resting(stage, now);
    fly_steering_runs(in, s->barred, fly_grid_chips(&stage->info->plan.grid));
}

/* As far as the state may be had now and then. NULL: not this time. */
static unsigned char *state_due(struct fly_stage_engine *stage, size_t *len)
{
    struct fly_stage_steer *s = &stage->steer;
    unsigned char *bytes = NULL;

    *len = 0;
    if (s->state_wait > 0) {
        s->state_wait--;
        return NULL;
    }
    if (fly_steering_state(stage->session, &bytes, len) < 0)
        return NULL;
    s->state_wait = (int32_t)(*len / STATE_BYTES);
    return bytes;
}

static int keep_decision(struct fly_stage_engine *stage, const struct fly_steering_inputs *in,
                         const struct fly_steer_plan *plan)
{
    struct fly_recorder *recorder = fly_stage_recorder(stage);
    unsigned char *args, *state;
    struct fly_pack pack;
    uint64_t ticket;
    size_t len;
    int rc;

    if (!recorder)
        return FLY_OK;
    args = malloc(FLY_HEADER_MAX);
    if (!args)
        return fly_fail(FLY_ENOMEM, "no memory for the record of a decision");
    fly_pack_init(&pack, args, FLY_HEADER_MAX - 256);
    fly_steering_pack(&pack, stage->session, in, plan);
    FLY_ASSERT(!pack.full);
    state = state_due(stage, &len);
    /* What was thought before it comes before it. */
    if (stage->trace.len || stage->trace.lost)
        fly_stage_mark_journal(stage, FLY_MARK_REQUEST, 0);
    rc = fly_journal_keep_more(recorder, fly_stage_unix_ns(stage), "steer.plan", args, pack.len, state, len,
                               stage->last_ticket, &ticket);
    free(state);
    free(args);
    return rc;
}

static void say_idle(struct fly_stage_engine *stage, const char *why)
{
    struct fly_steer_idle idle = {.serial = stage->info->serial};

    snprintf(idle.why, sizeof idle.why, "%s", why);
    fly_bus_post_idle(stage->config.bus, &idle);
}

static void tell_failure(struct fly_stage_engine *stage)
{
    struct fly_stage_steer *s = &stage->steer;

    say_idle(stage, fly_fail_text());
    if (!s->failure_told)
        fly_bus_event(stage->config.bus, FLY_ERROR, "steer_plan", NULL, 0, "nothing is suggested: %s", fly_fail_text());
    s->failure_told = 1;
}

/* What nobody could make again is not told: the journal is behind, so it is as if nothing had been planned. */
static void undo(struct fly_stage_engine *stage, const unsigned char *before, size_t len, int64_t now)
{
    fly_count(stage->config.bus, FLY_COUNT_UNRECORDED, 1);
    if (fly_steering_restore(stage->session, before, len) < 0)
        tell_failure(stage);
    stage->steer.planned_epoch = 0;
    stage->steer.not_before_ns = now + RETRY_NS;
}

static void plan(struct fly_stage_engine *stage, int64_t now)
{
    struct fly_stage_steer *s = &stage->steer;
    char why[sizeof ((struct fly_steer_idle *)0)->why];
    unsigned char *before;
    size_t len;
    int rc = fly_steering_state(stage->session, &before, &len);

    if (rc < 0) {
        tell_failure(stage);
        s->not_before_ns = now + cycle_ns(stage);
        return;
    }
    s->planned_epoch = stage->maps.epoch;
    s->planned_again = s->orders.again;
    fill_inputs(stage, &s->inputs, now);
    rc = fly_steering_plan(stage->session, &s->inputs, s->barred, &s->plan);
    if (rc == FLY_EAGAIN) {
        say_idle(stage, s->surveyed ? fly_fail_text() : "the survey, the session's first frame, is not over yet");
        s->resting = 0; /* the survey is under way: the next epoch is looked at */
    } else {
        s->not_before_ns = now + cycle_ns(stage);
    }
    if (rc < 0 && rc != FLY_EAGAIN)
        tell_failure(stage);
    if (rc == FLY_OK && keep_decision(stage, &s->inputs, &s->plan) < 0) {
        undo(stage, before, len, now);
        rc = FLY_EAGAIN;
    }
    free(before);
    if (rc < 0)
        return;
    s->resting = s->resting && s->plan.n_tiles == 0 && s->plan.stop == FLY_STEER_GO;
    fly_steering_why_nothing(why, sizeof why, fly_engine_steer_config(fly_session_engine(stage->session)), &s->plan);
    say_idle(stage, why);
    fly_steering_decision(&s->decision, stage->session, &s->inputs, &s->plan);
    s->decision.orders = s->orders.version;
    fly_bus_post_decision(stage->config.bus, &s->decision);
}

/* Whoever wants to be steered is told why nothing comes; whoever looks may read it. */
static void tell_no_dwell(struct fly_stage_engine *stage)
{
    struct fly_stage_steer *s = &stage->steer;

    if (!s->surveyed || s->survey_us > 0.0 || s->failure_told || (s->no_dwell_said && s->orders.mode < FLY_STEER_ASK))
        return;
    fly_fail(FLY_ERANGE,
             "no dwell is known, neither from the session's start (pixel_time_us) nor from its data (dwell_us)");
    s->no_dwell_said = 1;
    if (s->orders.mode < FLY_STEER_ASK)
        say_idle(stage, fly_fail_text());
    else
        tell_failure(stage);
}

int fly_stage_steer(struct fly_stage_engine *stage)
{
    int64_t now = mono_ns(stage);

    tell_no_dwell(stage);
    if (fly_stage_steer_due(stage) > now)
        return 0;
    plan(stage, now);
    return 1;
}
