#include "sim/obey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A command with room for its targets. */
struct order {
    struct fly_command command;
    struct fly_target targets[FLY_TARGETS_MAX];
};

enum phase { PHASE_NONE = 0, PHASE_TAKEN, PHASE_READY, PHASE_MOVE, PHASE_LINE };

/* Lines of one target: row r of it is the pixels x0 .. x0 + w - 1 of line y. */
struct rows {
    int32_t count;
    int32_t y0, x0, w;          /* of a box, or of a point */
    double from[2], to[2];      /* of a line, whose rows differ */
    int slanted;
};

struct fly_obey {
    struct fly_obey_config config;
    struct fly_instrument instrument;
    struct fly_obey_out to;
    struct fly_motion motion;
    struct fly_rng rng;
    double time_us;

    enum phase phase;           /* of order[0] */
    struct order *orders[1 + FLY_OBEY_WAITING];
    int32_t n_orders;
    struct order scratch;
    int32_t frame_at, target_at, row_at;
    int64_t pixels;             /* exposed by the running command */
    double pixel_us;
    int64_t raster_frame;

    char missed[FLY_ACK_REASON_MAX + 1]; /* why something of the running command could not be handed over */

    /* Lines measured and not yet handed over. */
    struct fly_patch patch;     /* h 0: none */
    double (*off_px)[2];        /* (height of the field) */

    int64_t frame_max;          /* highest number measured or promised */
    struct fly_ack said[FLY_OBEY_REMEMBERED]; /* the last of each command */
    uint64_t ids_seen;
    struct fly_obey_report report;
};

struct fly_obey_config fly_obey_config_default(void)
{
    return (struct fly_obey_config){.motion = fly_motion_config_default(), .dead_us = 500.0, .seed = 1};
}

int fly_obey_config_check(const struct fly_obey_config *config)
{
    int rc = fly_motion_config_check(&config->motion);

    if (rc == FLY_OK && !(config->dead_us >= 0.0 && config->dead_us <= 1e7))
        rc = fly_fail(FLY_ERANGE, "dead time of %g us, allowed are 0 .. 1e7", config->dead_us);
    if (rc == FLY_OK && !(config->delay_us >= 0.0 && config->delay_us <= 1e8))
        rc = fly_fail(FLY_ERANGE, "delay of %g us, allowed are 0 .. 1e8", config->delay_us);
    if (rc == FLY_OK && !(config->refuse >= 0.0 && config->refuse <= 1.0))
        rc = fly_fail(FLY_ERANGE, "refusals of %g, allowed are 0 .. 1", config->refuse);
    return rc;
}

int fly_obey_open(struct fly_obey **out, const struct fly_obey_config *config,
                  const struct fly_instrument *instrument, const struct fly_obey_out *to)
{
    int rc = fly_obey_config_check(config);
    struct fly_obey *o;

    if (rc < 0)
        return rc;
    o = calloc(1, sizeof *o);
    if (!o)
        return fly_fail(FLY_ENOMEM, "acquisition: no memory for its commands");
    o->config = *config;
    o->instrument = *instrument;
    o->to = *to;
    o->rng = (struct fly_rng){fly_mix64(config->seed ^ 0x0BE1)};
    o->frame_max = -1;
    o->off_px = calloc((size_t)instrument->field.height_px, sizeof *o->off_px);
    for (int i = 0; i < 1 + FLY_OBEY_WAITING; i++)
        o->orders[i] = calloc(1, sizeof *o->orders[i]);
    for (int i = 0; i < 1 + FLY_OBEY_WAITING; i++)
        if (!o->orders[i] || !o->off_px) {
            fly_obey_close(&o);
            return fly_fail(FLY_ENOMEM, "acquisition: no memory for its commands");
        }
    fly_motion_init(&o->motion, &config->motion, 0.0, 0.0);
    *out = o;
    return FLY_OK;
}

void fly_obey_close(struct fly_obey **obey)
{
    if (!*obey)
        return;
    for (int i = 0; i < 1 + FLY_OBEY_WAITING; i++)
        free((*obey)->orders[i]);
    free((*obey)->off_px);
    free(*obey);
    *obey = NULL;
}

int fly_obey_busy(const struct fly_obey *obey)
{
    return obey->n_orders > 0;
}

double fly_obey_time_us(const struct fly_obey *obey)
{
    return obey->time_us;
}

double fly_obey_mean_us(const struct fly_obey *obey)
{
    const struct fly_steer_field *field = &obey->instrument.field;

    return obey->report.exposed_us / ((double)field->height_px * field->width_px);
}

void fly_obey_report(const struct fly_obey *obey, struct fly_obey_report *report)
{
    *report = obey->report;
}

static void note_frame(struct fly_obey *o, int64_t frame)
{
    if (frame > o->frame_max)
        o->frame_max = frame;
}

void fly_obey_expose(struct fly_obey *o, int64_t frame, int64_t pixels, double dwell_us)
{
    note_frame(o, frame);
    o->time_us += (double)pixels * dwell_us;
    o->report.beam_us += (double)pixels * dwell_us;
    o->report.exposed_us += (double)pixels * dwell_us;
    o->report.pixels += pixels;
}

/* ---- acks ----------------------------------------------------------------------------------------- */

/* What was said last of a command, or NULL. */
static struct fly_ack *said_of(struct fly_obey *o, const char *cmd_id)
{
    for (int i = 0; i < FLY_OBEY_REMEMBERED; i++)
        if (strcmp(o->said[i].cmd_id, cmd_id) == 0)
            return &o->said[i];
    return NULL;
}

static int say(struct fly_obey *o, const char *cmd_id, enum fly_ack_status status, const char *reason, int achieved)
{
    struct fly_ack ack = {.status = status, .has_achieved = achieved}, *said = said_of(o, cmd_id);

    snprintf(ack.cmd_id, sizeof ack.cmd_id, "%s", cmd_id);
    snprintf(ack.reason, sizeof ack.reason, "%s", reason);
    ack.achieved.dwell_us = NAN;
    if (achieved) {
        ack.achieved.frames = o->pixels > 0 ? o->frame_at + 1 : 0;
        ack.achieved.pixels = o->pixels;
        ack.achieved.dwell_us = o->pixels > 0 ? o->pixel_us / (double)o->pixels : NAN;
    }
    if (said)
        *said = ack;
    o->report.rejected += status == FLY_ACK_REJECTED;
    o->report.done += status == FLY_ACK_DONE;
    return o->to.ack(o->to.ctx, &ack);
}

/* The first order goes; the next one moves up. */
static void drop_first(struct fly_obey *o)
{
    struct order *first = o->orders[0];

    o->n_orders--;
    memmove(o->orders, o->orders + 1, (size_t)o->n_orders * sizeof *o->orders);
    o->orders[o->n_orders] = first;
    o->phase = o->n_orders > 0 ? PHASE_TAKEN : PHASE_NONE;
}

static int reject_first(struct fly_obey *o, const char *reason)
{
    int rc = say(o, o->orders[0]->command.cmd_id, FLY_ACK_REJECTED, reason, 0);

    drop_first(o);
    return rc;
}

/* ---- handing over --------------------------------------------------------------------------------- */

static int hand_over(struct fly_obey *o)
{
    const struct fly_command *command = &o->orders[0]->command;
    enum fly_signal signal = command->n_targets > 0 ? command->targets[0].signal : FLY_SIGNAL_BOTH;
    int rc;

    if (o->patch.h == 0)
        return FLY_OK;
    /* Targets that overlap may have taken from each other what one of them would have been measured from. */
    if (o->instrument.ready(o->instrument.ctx, &o->patch) < 0) {
        o->pixels -= (int64_t)o->patch.h * o->patch.w;
        o->pixel_us -= o->patch.h * o->patch.w * o->patch.dwell_us;
        snprintf(o->missed, sizeof o->missed, "not all of it was measured: %.200s", fly_fail_text());
        o->patch.h = 0;
        return FLY_OK;
    }
    o->patch.off_px = o->off_px;
    rc = o->to.measure(o->to.ctx, &o->patch, signal);
    if (rc == FLY_OK)
        o->instrument.done(o->instrument.ctx, &o->patch);
    o->patch.h = 0;
    return rc;
}

/* The running order is over. */
static int finish(struct fly_obey *o, const char *reason)
{
    int rc = hand_over(o);

    o->report.stopped += reason[0] != 0;
    if (rc == FLY_OK)
        rc = say(o, o->orders[0]->command.cmd_id, FLY_ACK_DONE, reason[0] ? reason : o->missed, 1);
    drop_first(o);
    return rc;
}

/* Nothing runs or waits any more. */
static int end_all(struct fly_obey *o, const char *reason)
{
    int rc = FLY_OK;

    if (o->phase >= PHASE_MOVE)
        rc = finish(o, reason);
    while (rc == FLY_OK && o->n_orders > 0)
        rc = reject_first(o, reason);
    return rc;
}

int fly_obey_safe(struct fly_obey *obey, const char *why)
{
    return end_all(obey, why);
}

/* ---- hearing -------------------------------------------------------------------------------------- */

static void remember(struct fly_obey *o, const char *cmd_id)
{
    struct fly_ack *said = &o->said[o->ids_seen++ % FLY_OBEY_REMEMBERED];

    snprintf(said->cmd_id, sizeof said->cmd_id, "%s", cmd_id);
}

static const char *unwell(struct fly_obey *o)
{
    static const char *const reasons[] = {"the stage is moving", "the beam is being tuned", "a detector is not ready"};

    if (!(fly_rng_uniform(&o->rng) < o->config.refuse))
        return NULL;
    return reasons[fly_rng_below(&o->rng, sizeof reasons / sizeof reasons[0])];
}

static const char *lacks(const struct fly_obey *o, const struct fly_command *command)
{
    enum fly_signal signal = command->targets[0].signal;

    if (signal == FLY_SIGNAL_HAADF && o->instrument.n_images == 0)
        return "there is no image detector";
    if (signal == FLY_SIGNAL_EDS && o->instrument.n_images + 1 == o->instrument.n_streams)
        return "there is no X-ray detector";
    return NULL;
}

/* An order that is good in itself goes into the queue. */
static int enqueue(struct fly_obey *o)
{
    const struct fly_command *command = &o->scratch.command;
    struct order *order;
    const char *why = fly_command_measures(command->kind) ? lacks(o, command) : NULL;

    if (!why)
        why = unwell(o);
    if (why)
        return say(o, command->cmd_id, FLY_ACK_REJECTED, why, 0);
    if (o->n_orders > FLY_OBEY_WAITING)
        return say(o, command->cmd_id, FLY_ACK_REJECTED, "busy: too many commands wait", 0);
    order = o->orders[o->n_orders++];
    *order = o->scratch;
    order->command.targets = order->targets;
    if (o->phase == PHASE_NONE)
        o->phase = PHASE_TAKEN;
    return say(o, command->cmd_id, FLY_ACK_RECEIVED, "", 0);
}

int fly_obey_hear(struct fly_obey *o, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_command *command = &o->scratch.command;
    char words[FLY_ACK_REASON_MAX + 1];
    const struct fly_ack *said;
    enum fly_refusal why;
    int rc, halts;

    *command = (struct fly_command){.targets = o->scratch.targets, .targets_cap = FLY_TARGETS_MAX};
    why = fly_command_decode(command, &o->instrument.field, parts, n_parts);
    o->report.commands++;
    if (why != FLY_REFUSE_NONE) {
        snprintf(words, sizeof words, "%s: %.200s", fly_refusal_name(why), fly_fail_text());
        return command->cmd_id[0] ? say(o, command->cmd_id, FLY_ACK_REJECTED, words, 0) : FLY_OK;
    }
    halts = command->kind == FLY_COMMAND_STOP || command->kind == FLY_COMMAND_BLANK;
    said = said_of(o, command->cmd_id);
    if (said) {
        rc = halts ? end_all(o, "stopped") : FLY_OK;
        return rc == FLY_OK ? o->to.ack(o->to.ctx, said) : rc;
    }
    remember(o, command->cmd_id);
    if (!halts)
        return enqueue(o);
    rc = say(o, command->cmd_id, FLY_ACK_RECEIVED, "", 0);
    if (rc == FLY_OK)
        rc = end_all(o, "stopped");
    return rc == FLY_OK ? say(o, command->cmd_id, FLY_ACK_DONE, "", 0) : rc;
}

/* ---- measuring ------------------------------------------------------------------------------------ */

static int32_t clamp(double value, int32_t low, int32_t high)
{
    double whole = nearbyint(value);

    return whole < low ? low : whole > high ? high : (int32_t)whole;
}

/* The pixels nearest to a target. */
static struct rows rows_of(const struct fly_obey *o, const struct fly_target *target)
{
    int32_t height = o->instrument.field.height_px, width = o->instrument.field.width_px;
    struct rows rows = {.count = 1, .w = 1};

    if (target->kind == FLY_TARGET_LINE) {
        int down = target->px[2] >= target->px[0];

        rows.slanted = 1;
        for (int i = 0; i < 2; i++) {
            rows.from[i] = nearbyint(target->px[down ? i : 2 + i]);
            rows.to[i] = nearbyint(target->px[down ? 2 + i : i]);
        }
        rows.y0 = (int32_t)rows.from[0];
        rows.count = (int32_t)(rows.to[0] - rows.from[0]) + 1;
        return rows;
    }
    rows.y0 = clamp(target->px[0], 0, height - 1);
    rows.x0 = clamp(target->px[1], 0, width - 1);
    if (target->kind == FLY_TARGET_BOX) {
        rows.count = clamp(target->px[2], 1, height - rows.y0);
        rows.w = clamp(target->px[3], 1, width - rows.x0);
    }
    return rows;
}

/* Of a slanted line each row has one pixel; of a flat one the columns nearest to it there, each column in one row. */
static void row_at(const struct rows *rows, int32_t row, int32_t *x0, int32_t *w)
{
    double steps = rows->count - 1, way = rows->to[1] - rows->from[1];
    double slope = steps > 0.0 ? fabs(way) / steps : 0.0, sign = way < 0.0 ? -1.0 : 1.0;
    double first, last; /* columns, counted from the line's beginning in its direction */

    *x0 = rows->x0;
    *w = rows->w;
    if (!rows->slanted)
        return;
    first = row == 0 ? 0.0 : floor(slope * (row - 0.5) + 0.5);
    last = row == rows->count - 1 ? fabs(way) : floor(slope * (row + 0.5) + 0.5) - 1.0;
    if (slope <= 1.0 && steps > 0.0)
        first = last = nearbyint(slope * row);
    *w = (int32_t)(last - first) + 1;
    *x0 = (int32_t)(rows->from[1] + (sign > 0.0 ? first : -last));
}

/* The target that a step is about: of a raster the whole field. */
static struct fly_target target_now(const struct fly_obey *o)
{
    const struct order *order = o->orders[0];
    double asked = order->command.dwell_us;
    struct fly_target field = {.kind = FLY_TARGET_BOX,
                               .px = {0.0, 0.0, o->instrument.field.height_px, o->instrument.field.width_px},
                               .dwell_us = isnan(asked) ? o->instrument.pixel_time_us : asked};

    return order->command.kind == FLY_COMMAND_RASTER ? field : order->targets[o->target_at];
}

static int64_t frame_now(const struct fly_obey *o)
{
    const struct fly_command *command = &o->orders[0]->command;

    return (command->frame >= 0 ? command->frame : o->raster_frame) + o->frame_at;
}

/* Can all of it be measured? A raster's first frame speaks for it. */
static int ready(struct fly_obey *o)
{
    const struct fly_command *command = &o->orders[0]->command;
    int32_t targets = command->kind == FLY_COMMAND_RASTER ? 1 : command->n_targets;
    int rc = FLY_OK;

    for (o->target_at = 0; rc == FLY_OK && o->target_at < targets; o->target_at++) {
        struct fly_target target = target_now(o);
        struct rows rows = rows_of(o, &target);

        if (target.dwell_us > o->instrument.dwell_max_us)
            rc = fly_fail(FLY_ERANGE, "dwell of %g us, at most %g", target.dwell_us, o->instrument.dwell_max_us);
        for (int32_t row = 0; rc == FLY_OK && row < (rows.slanted ? rows.count : 1); row++) {
            struct fly_patch patch = {.frame = frame_now(o), .y0_px = rows.y0 + row,
                                      .h = rows.slanted ? 1 : rows.count, .dwell_us = target.dwell_us};

            row_at(&rows, row, &patch.x0_px, &patch.w);
            rc = o->instrument.ready(o->instrument.ctx, &patch);
        }
    }
    o->target_at = 0;
    return rc;
}

/* Time until it may begin: whoever waits for the beam's clock lets the world's catch up before it is looked at again. */
static int wait_out(struct fly_obey *o)
{
    double us = o->config.dead_us + o->config.delay_us;

    fly_motion_rest(&o->motion, us);
    o->time_us += us;
    o->report.move_us += us;
    o->phase = PHASE_READY;
    return FLY_OK;
}

static int begin(struct fly_obey *o, int64_t unix_ns)
{
    const struct fly_command *command = &o->orders[0]->command;
    char words[FLY_ACK_REASON_MAX + 1];

    if (unix_ns > command->valid_until_ns) {
        snprintf(words, sizeof words, "expired %.3f s ago", (double)(unix_ns - command->valid_until_ns) * 1e-9);
        return reject_first(o, words);
    }
    o->frame_at = o->target_at = o->row_at = 0;
    o->pixels = 0;
    o->pixel_us = 0.0;
    o->missed[0] = 0;
    o->raster_frame = o->frame_max + 1;
    if (ready(o) < 0) {
        snprintf(words, sizeof words, "%.200s", fly_fail_text());
        return reject_first(o, words);
    }
    o->phase = PHASE_MOVE;
    return say(o, command->cmd_id, FLY_ACK_STARTED, "", 0);
}

static int move(struct fly_obey *o)
{
    struct fly_target target = target_now(o);
    struct rows rows = rows_of(o, &target);
    int32_t x0, w;
    double us;

    row_at(&rows, 0, &x0, &w);
    us = fly_motion_jump(&o->motion, rows.y0, x0);
    o->time_us += us;
    o->report.move_us += us;
    o->row_at = 0;
    o->phase = PHASE_LINE;
    return FLY_OK;
}

/* On to the next target, frame, or the end. */
static int next_target(struct fly_obey *o)
{
    const struct fly_command *command = &o->orders[0]->command;
    int raster = command->kind == FLY_COMMAND_RASTER;
    int rc = hand_over(o);

    if (rc < 0)
        return rc;
    o->phase = PHASE_MOVE;
    if (!raster && ++o->target_at < command->n_targets)
        return FLY_OK;
    o->target_at = 0;
    if ((raster && command->frames == 0) || o->frame_at + 1 < command->frames) {
        o->frame_at++;
        if (frame_now(o) < FLY_FRAMES_MAX && ready(o) == FLY_OK)
            return FLY_OK;
        o->frame_at--;
        return finish(o, "no further frame can be measured");
    }
    return finish(o, "");
}

/* Add the line to the lines not handed over, if it is the next of them and there is room. */
static int take_line(struct fly_obey *o, const struct fly_patch *line)
{
    int rc = FLY_OK;

    if (o->patch.h > 0 && (o->patch.x0_px != line->x0_px || o->patch.w != line->w ||
                           (int64_t)(o->patch.h + 1) * line->w > o->instrument.patch_px))
        rc = hand_over(o);
    if (o->patch.h == 0) {
        o->patch = *line;
        o->patch.h = 0;
    }
    for (int i = 0; i < 2; i++)
        o->off_px[o->patch.h][i] = o->motion.error_px[i];
    o->patch.h++;
    return rc;
}

static int measure_line(struct fly_obey *o)
{
    struct fly_target target = target_now(o);
    struct rows rows = rows_of(o, &target);
    struct fly_patch line = {.frame = frame_now(o), .y0_px = rows.y0 + o->row_at, .h = 1,
                             .dwell_us = o->instrument.dwell_us(o->instrument.ctx, target.dwell_us),
                             .cmd_id = o->orders[0]->command.cmd_id};
    double us, back_us = 0.0;
    int rc;

    row_at(&rows, o->row_at, &line.x0_px, &line.w);
    if (o->row_at > 0)
        back_us = fly_motion_flyback(&o->motion, line.y0_px, line.x0_px);
    rc = take_line(o, &line); /* where the beam is as the line begins */
    if (rc < 0)
        return rc;
    us = fly_motion_line(&o->motion, line.w, line.dwell_us);
    note_frame(o, line.frame);
    o->time_us += us + back_us;
    o->report.beam_us += us;
    o->report.move_us += back_us;
    o->report.exposed_us += us;
    o->report.pixels += line.w;
    o->pixels += line.w;
    o->pixel_us += us;
    /* A raster goes on for ever: what waits ends it. */
    if (o->orders[0]->command.kind == FLY_COMMAND_RASTER && o->n_orders > 1)
        return finish(o, "another command came");
    return ++o->row_at < rows.count ? FLY_OK : next_target(o);
}

int fly_obey_step(struct fly_obey *o, int64_t unix_ns)
{
    switch (o->phase) {
    case PHASE_TAKEN:
        return wait_out(o);
    case PHASE_READY:
        return begin(o, unix_ns);
    case PHASE_MOVE:
        return move(o);
    case PHASE_LINE:
        return measure_line(o);
    default:
        return FLY_EAGAIN;
    }
}
