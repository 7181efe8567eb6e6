/* The helm: journal, events, and what becomes of decisions and commands. */
#include "plugin/helm_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* A journal that is behind is asked again so soon. */
#define RETRY_NS (10 * INT64_C(1000000))
/* Of a stop. No expiry makes it void (stream/steer.h): this is what it says. */
#define STOP_NS (2 * INT64_C(1000000000))
/* Between commands, whatever rate was asked for: 31 years, and with any clock an int64_t. */
#define RATE_NS_MAX 1e18

/* ---- journal and events ------------------------------------------------------------------------ */

struct fly_pack *fly_helm_args_begin(struct fly_helm_args *args, uint32_t entries)
{
    fly_pack_init(&args->pack, args->bytes, sizeof args->bytes);
    fly_pack_map(&args->pack, entries);
    return &args->pack;
}

int fly_helm_keep(struct fly_helm *h, const char *op, const struct fly_helm_args *args)
{
    FLY_ASSERT(!args->pack.full);
    return h->in_session ? h->out.keep(h->out.ctx, op, args->bytes, args->pack.len) : FLY_OK;
}

void fly_helm_note(struct fly_helm *h, const char *op, const struct fly_helm_args *args)
{
    if (fly_helm_keep(h, op, args) < 0)
        h->out.count(h->out.ctx, FLY_COUNT_UNRECORDED);
}

void fly_helm_tell(struct fly_helm *h, enum fly_level level, const char *code, const char *key, const char *id,
                   const char *format, ...)
{
    struct fly_helm_args data;
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fly_pack_key_str(fly_helm_args_begin(&data, 1), key, id);
    h->out.tell(h->out.ctx, level, code, data.bytes, data.pack.len, text);
}

int fly_helm_keep_by(struct fly_helm *h, const char *op, const char *by)
{
    struct fly_helm_args args;

    fly_pack_key_str(fly_helm_args_begin(&args, 1), "by", by);
    return fly_helm_keep(h, op, &args);
}

/* ---- fates of decisions ------------------------------------------------------------------------ */

void fly_helm_set_fate(struct fly_helm *h, const char *id, enum fly_helm_fate fate)
{
    for (int i = 0; i < FLY_HELM_FATES; i++)
        if (strcmp(h->fates[i].id, id) == 0) {
            h->fates[i].fate = fate;
            return;
        }
    snprintf(h->fates[h->fate_next].id, sizeof h->fates[0].id, "%s", id);
    h->fates[h->fate_next].fate = fate;
    h->fate_next = (h->fate_next + 1) % FLY_HELM_FATES;
}

/* The decision in hand will not be commanded. */
void fly_helm_expire(struct fly_helm *h, const char *why)
{
    struct fly_helm_args args;

    fly_helm_set_fate(h, h->decision.id, FLY_FATE_EXPIRED);
    fly_helm_args_begin(&args, 2);
    fly_pack_key_str(&args.pack, "decision_id", h->decision.id);
    fly_pack_key_str(&args.pack, "why", why);
    fly_helm_note(h, "steer.expire", &args);
    h->out.count(h->out.ctx, FLY_COUNT_DECISIONS_EXPIRED);
    fly_helm_tell(h, FLY_INFO, "decision_expired", "decision_id", h->decision.id,
                  "suggestion %s is void: %s", h->decision.id, why);
    h->open = h->ready = 0;
    h->orders.again++;
    h->stale = 1;
}

/* Its time is over. In auto that is nothing to tell of: while a command runs there is a newer one every cycle. */
void fly_helm_run_out(struct fly_helm *h)
{
    if (h->open || fly_helm_mode(h) == FLY_STEER_ASK) {
        fly_helm_expire(h, h->open ? "nobody decided in time" : "it could not leave in time");
        return;
    }
    fly_helm_set_fate(h, h->decision.id, FLY_FATE_EXPIRED);
    h->ready = 0;
    h->stale = 1;
    if (!fly_helm_in_flight(&h->commands[0]))
        h->orders.again++;
}

/* Boxes that nobody wants measured: the oldest make room. */
void fly_helm_leave_alone(struct fly_helm *h, const struct fly_chip_box *boxes, int32_t n)
{
    int32_t over = h->n_left + n - FLY_HELM_LEFT_MAX;

    if (over > 0) {
        memmove(h->left, h->left + over, (size_t)(h->n_left - over) * sizeof *h->left);
        h->n_left -= over;
    }
    memcpy(h->left + h->n_left, boxes, (size_t)n * sizeof *boxes);
    h->n_left += n;
    h->stale = 1;
}

/* ---- commands ---------------------------------------------------------------------------------- */

/* Larger than any before, of this process or another: the clock is ahead of whoever sends fewer than a thousand a
 * second. */
static void next_id(struct fly_helm *h, char id[FLY_CMD_ID_MAX + 1])
{
    int64_t ms = fly_helm_unix_ns(h) / 1000000;

    h->last_number = ms > h->last_number ? ms : h->last_number + 1;
    snprintf(id, FLY_CMD_ID_MAX + 1, "%" PRId64, h->last_number);
}

static int64_t pixels_of(const struct fly_command *command)
{
    double pixels = 0.0;

    for (int32_t i = 0; i < command->n_targets; i++)
        pixels += command->targets[i].px[2] * command->targets[i].px[3];
    return (int64_t)pixels * command->frames;
}

static int keep_command(struct fly_helm *h, const struct fly_command *command)
{
    struct fly_helm_args args;

    fly_helm_args_begin(&args, 9);
    fly_pack_key_str(&args.pack, "cmd_id", command->cmd_id);
    fly_pack_key_str(&args.pack, "decision_id", command->decision_id);
    fly_pack_key_str(&args.pack, "kind", fly_command_kind_name(command->kind));
    fly_pack_key_int(&args.pack, "frame", command->frame);
    fly_pack_key_int(&args.pack, "frames", command->frames);
    fly_pack_key_f64(&args.pack, "dwell_us", command->dwell_us);
    fly_pack_key_int(&args.pack, "targets", command->n_targets);
    fly_pack_key_int(&args.pack, "pixels", pixels_of(command));
    fly_pack_key_int(&args.pack, "valid_until_ns", command->valid_until_ns);
    return fly_helm_keep(h, "steer.command", &args);
}

void fly_helm_withdraw(struct fly_helm *h, const char *why)
{
    struct fly_helm_command *c = &h->commands[0];
    struct fly_helm_args args;

    c->state = FLY_HELM_WITHDRAWN;
    c->bars = 0;
    snprintf(c->reason, sizeof c->reason, "%s", why);
    fly_helm_args_begin(&args, 2);
    fly_pack_key_str(&args.pack, "cmd_id", c->cmd_id);
    fly_pack_key_str(&args.pack, "why", why);
    fly_helm_note(h, "steer.withdraw", &args);
    h->out.count(h->out.ctx, FLY_COUNT_COMMANDS_WITHDRAWN);
    fly_helm_tell(h, FLY_WARNING, "command_withdrawn", "cmd_id", c->cmd_id,
                  "command %s is withdrawn: %s", c->cmd_id, why);
    h->orders.again++;
    h->stale = 1;
}

/* Whoever runs a command ends it after the line being measured. */
void fly_helm_send_stop(struct fly_helm *h)
{
    struct fly_command command = {.kind = FLY_COMMAND_STOP, .frame = -1, .dwell_us = NAN,
                                  .valid_until_ns = fly_helm_unix_ns(h) + STOP_NS};

    next_id(h, command.cmd_id);
    if (keep_command(h, &command) < 0)
        h->out.count(h->out.ctx, FLY_COUNT_UNRECORDED); /* a stop does not wait for a disk */
    snprintf(h->stop.cmd_id, sizeof h->stop.cmd_id, "%s", command.cmd_id);
    h->stop.state = FLY_HELM_SENT;
    h->out.count(h->out.ctx, FLY_COUNT_COMMANDS);
    if (h->out.send(h->out.ctx, h->owner, h->owner_len, &command) < 0)
        fly_helm_tell(h, FLY_WARNING, "stop_unsent", "cmd_id", command.cmd_id,
                      "the stop %s could not be sent: %s is gone", command.cmd_id, h->owner_name);
}

/* The owner is none any more: what it had is withdrawn. */
void fly_helm_drop_owner(struct fly_helm *h, const char *why)
{
    struct fly_helm_args args;

    if (h->open || h->ready)
        fly_helm_expire(h, why);
    if (fly_helm_in_flight(&h->commands[0])) {
        fly_helm_send_stop(h);
        fly_helm_withdraw(h, why);
    }
    fly_helm_args_begin(&args, 2);
    fly_pack_key_str(&args.pack, "by", h->owner_name);
    fly_pack_key_str(&args.pack, "why", why);
    fly_helm_note(h, "steer.detach", &args);
    fly_helm_tell(h, FLY_INFO, "steer_detached", "by", h->owner_name, "%s has the beam no more: %s", h->owner_name, why);
    h->owned = 0;
    fly_helm_forget_guard(h);
    h->stale = 1;
}

void fly_helm_reserve(struct fly_helm *h)
{
    int64_t from = h->frame_next > h->facts.frames_planned ? h->frame_next : h->facts.frames_planned;

    h->frame_next = from;
    if (h->reserving || from + FLY_HELM_FRAMES_AHEAD / 2 <= h->reserved || from >= h->facts.frames_max)
        return;
    h->reserving = from + FLY_HELM_FRAMES_AHEAD < h->facts.frames_max ? from + FLY_HELM_FRAMES_AHEAD
                                                                      : h->facts.frames_max;
    if (h->out.reserve(h->out.ctx, h->reserving) < 0)
        h->reserving = 0; /* asked again with the next tick */
}

void fly_helm_reserved(struct fly_helm *helm, int64_t through)
{
    if (through > helm->reserved)
        helm->reserved = through;
    helm->reserving = 0;
    fly_helm_tick(helm);
}

void fly_helm_seen(struct fly_helm *helm, int64_t frame)
{
    if (frame >= helm->frame_next)
        helm->frame_next = frame + 1;
}

static int64_t gap_ns(const struct fly_helm *h)
{
    double limit = isfinite(h->asked.limits.rate_hz) ? fmin(ceil(1e9 / h->asked.limits.rate_hz), RATE_NS_MAX) : 0.0;

    return limit > (double)h->facts.cycle_ns ? (int64_t)limit : h->facts.cycle_ns;
}

int64_t fly_helm_leaves_at(const struct fly_helm *h)
{
    int64_t at = h->sent_ns ? h->sent_ns + gap_ns(h) : 0;

    return at > h->retry_ns ? at : h->retry_ns;
}

static void fill_command(struct fly_helm *h, struct fly_command *command)
{
    struct fly_decision *d = &h->decision;
    int64_t cycles = 2 * h->facts.cycle_ns;

    *command = (struct fly_command){.kind = FLY_COMMAND_BOX,
                                    .targets = d->targets,
                                    .n_targets = d->n_targets,
                                    .targets_cap = FLY_DECISION_TARGETS,
                                    .frame = h->frame_next,
                                    .frames = 1,
                                    .valid_until_ns =
                                        fly_helm_unix_ns(h) + (cycles > FLY_HELM_BEGIN_NS ? cycles : FLY_HELM_BEGIN_NS),
                                    .as_of = d->as_of};
    next_id(h, command->cmd_id);
    memcpy(command->decision_id, d->id, sizeof d->id);
    for (int32_t i = 0; i < d->n_targets; i++)
        command->dwell_us = fmax(command->dwell_us, d->targets[i].dwell_us);
}

/* Under way, as far as we know. */
static void enter(struct fly_helm *h, const struct fly_command *command)
{
    struct fly_helm_command *c = &h->commands[0];

    memmove(h->commands + 1, h->commands, (FLY_HELM_COMMANDS - 1) * sizeof *h->commands);
    *c = (struct fly_helm_command){.state = FLY_HELM_SENT,
                                   .pixels = pixels_of(command),
                                   .valid_until_ns = command->valid_until_ns,
                                   .work_ns = (int64_t)(h->decision.cost_us * 1e3),
                                   .dwell_us = command->dwell_us,
                                   .bars = 1};
    memcpy(c->cmd_id, command->cmd_id, sizeof c->cmd_id);
    memcpy(c->decision_id, command->decision_id, sizeof c->decision_id);
    memcpy(c->boxes, h->decision.boxes, sizeof c->boxes);
    c->n_boxes = h->decision.n_targets;
    memcpy(h->orders.cmd_id, command->cmd_id, sizeof h->orders.cmd_id);
    memcpy(h->orders.targets, command->targets, (size_t)command->n_targets * sizeof *command->targets);
    h->orders.frame = command->frame;
    h->orders.frames = command->frames;
    h->orders.n_targets = command->n_targets;
    memcpy(h->orders.beam_px, h->decision.beam_px, sizeof h->orders.beam_px);
    h->stale = 1;
}

/* The decision that is ready leaves as a command, if it may now. */
void fly_helm_launch(struct fly_helm *h)
{
    struct fly_command command;
    int rc;

    if (!h->ready || fly_helm_rests(h) || !h->owned || fly_helm_mode(h) < FLY_STEER_ASK || fly_helm_in_flight(&h->commands[0]) ||
        fly_helm_mono_ns(h) < fly_helm_leaves_at(h))
        return;
    fly_helm_reserve(h);
    if (h->frame_next >= h->facts.frames_max) {
        if (!h->frames_told)
            fly_helm_tell(h, FLY_ERROR, "frames_used_up", "decision_id", h->decision.id,
                          "no number is left for another frame (engine.frames_max %" PRId64 "): nothing more is "
                          "commanded in this session", h->facts.frames_max);
        h->frames_told = 1;
        return;
    }
    if (h->frame_next >= h->reserved)
        return;
    fill_command(h, &command);
    if (keep_command(h, &command) < 0) {
        h->retry_ns = fly_helm_mono_ns(h) + RETRY_NS; /* what a restart would not know of does not leave */
        return;
    }
    enter(h, &command);
    fly_helm_set_fate(h, h->decision.id, FLY_FATE_COMMANDED);
    h->ready = 0;
    h->frame_next++;
    h->sent_ns = fly_helm_mono_ns(h);
    h->out.count(h->out.ctx, FLY_COUNT_COMMANDS);
    rc = h->out.send(h->out.ctx, h->owner, h->owner_len, &command);
    if (rc < 0)
        fly_helm_withdraw(h, rc == FLY_EAGAIN ? "its owner does not read" : "it could not be sent");
    if (rc == FLY_EIO)
        fly_helm_drop_owner(h, "the owner is gone");
}

/* Its mode is one in which nothing is commanded. */
void fly_helm_stand_back(struct fly_helm *h, const char *why)
{
    if (h->open || h->ready)
        fly_helm_expire(h, why);
    if (fly_helm_in_flight(&h->commands[0]))
        fly_helm_send_stop(h);
}
