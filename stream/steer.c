#include "stream/steer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stream/steer_rules.h"

/* ---- words ---------------------------------------------------------------------------------------- */

const char *const fly_command_words[FLY_COMMAND_KINDS] = {"box", "point_list", "line", "stop", "blank", "raster"};
const char *const fly_target_words[FLY_TARGET_KINDS] = {"point", "box", "line"};
const char *const fly_ack_words[FLY_ACK_STATUSES] = {"received", "started", "done", "rejected"};

const char *fly_command_kind_name(enum fly_command_kind kind)
{
    FLY_ASSERT((unsigned)kind < FLY_COMMAND_KINDS);
    return fly_command_words[kind];
}

const char *fly_target_kind_name(enum fly_target_kind kind)
{
    FLY_ASSERT((unsigned)kind < FLY_TARGET_KINDS);
    return fly_target_words[kind];
}

const char *fly_ack_status_name(enum fly_ack_status status)
{
    FLY_ASSERT((unsigned)status < FLY_ACK_STATUSES);
    return fly_ack_words[status];
}

int fly_command_measures(enum fly_command_kind kind)
{
    return kind == FLY_COMMAND_BOX || kind == FLY_COMMAND_POINT_LIST || kind == FLY_COMMAND_LINE;
}

int fly_target_numbers(enum fly_target_kind kind)
{
    return kind == FLY_TARGET_POINT ? 2 : 4;
}

void fly_as_of_copy(struct fly_as_of *out, const struct fly_pub_streams *streams)
{
    FLY_ASSERT(streams->count >= 0 && streams->count <= FLY_STREAMS_MAX);
    memset(out, 0, sizeof *out);
    out->count = streams->count;
    for (int32_t i = 0; i < streams->count; i++) {
        fly_text_copy(out->names[i], sizeof out->names[i], streams->names[i], strlen(streams->names[i]));
        out->seq[i] = streams->seq[i];
    }
}

int fly_cmd_id_is(const char *cmd_id, uint64_t ingest_cmd_id)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)ingest_cmd_id);
    return strcmp(cmd_id, digits) == 0 || fly_ingest_cmd_id(cmd_id, strlen(cmd_id)) == ingest_cmd_id;
}

/* ---- rules ---------------------------------------------------------------------------------------- */

static const double dwell_least_us = 0.001; /* the clock of the wire is a ns */
static const double dwell_most_us = (double)FLY_DWELL_MAX_NS * 1e-3;

static enum fly_refusal check_within(double value, double lo, double hi, const char *name, const char *key)
{
    if (value >= lo && value <= hi)
        return FLY_REFUSE_NONE;
    return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s: %.9g, allowed are %.9g .. %.9g", name, key, value, lo, hi);
}

/* Where the pixels of a target end: the last index of a point or a line, the edge of a box. */
static enum fly_refusal check_inside(const struct fly_target *target, const struct fly_steer_field *field,
                                     const char *name)
{
    const double side[2] = {field->height_px, field->width_px};

    for (int i = 0; i < 2; i++) {
        double far = target->px[i], most = side[i];

        if (target->kind == FLY_TARGET_BOX)
            far += target->px[2 + i];
        else
            most -= 1.0;
        if (target->kind == FLY_TARGET_LINE)
            far = fmax(far, target->px[2 + i]);
        if (far > most)
            return FLY_REFUSE(FLY_REFUSE_OUTSIDE, "%s: reaches %s = %.9g px, the scan is [%d, %d]", name,
                              i ? "x" : "y", far, field->height_px, field->width_px);
    }
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_target_check(const struct fly_target *target, const struct fly_steer_field *field,
                                  const char *name)
{
    enum fly_refusal why = FLY_REFUSE_NONE;

    for (int i = 0; why == FLY_REFUSE_NONE && i < fly_target_numbers(target->kind); i++) {
        int size = target->kind == FLY_TARGET_BOX && i >= 2;

        why = check_within(target->px[i], size ? 1.0 : 0.0, FLY_SCAN_SIDE_MAX, name, "px");
    }
    if (why == FLY_REFUSE_NONE)
        why = check_within(target->dwell_us, dwell_least_us, dwell_most_us, name, "dwell_us");
    if (why == FLY_REFUSE_NONE && !isnan(target->expected_gain) && !isfinite(target->expected_gain))
        why = FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.expected_gain: not finite", name);
    if (why == FLY_REFUSE_NONE && !isnan(target->dose_e_per_A2))
        why = check_within(target->dose_e_per_A2, 0.0, HUGE_VAL, name, "dose_e_per_A2");
    if (why == FLY_REFUSE_NONE && isinf(target->dose_e_per_A2))
        why = FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.dose_e_per_A2: not finite", name);
    return why == FLY_REFUSE_NONE && field ? check_inside(target, field, name) : why;
}

static enum fly_target_kind target_of(enum fly_command_kind kind)
{
    if (kind == FLY_COMMAND_BOX)
        return FLY_TARGET_BOX;
    return kind == FLY_COMMAND_LINE ? FLY_TARGET_LINE : FLY_TARGET_POINT;
}

static enum fly_refusal check_targets(const struct fly_command *command, const struct fly_steer_field *field)
{
    const struct fly_target *first = command->targets;
    char name[32];

    if (command->n_targets < 1)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "targets: none, %s needs 1 .. %d",
                          fly_command_kind_name(command->kind), FLY_TARGETS_MAX);
    for (int32_t i = 0; i < command->n_targets; i++) {
        const struct fly_target *target = &command->targets[i];
        enum fly_refusal why;

        snprintf(name, sizeof name, "targets[%d]", i);
        if (target->kind != target_of(command->kind))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.kind: %s in a command of kind %s", name,
                              fly_target_kind_name(target->kind), fly_command_kind_name(command->kind));
        if (target->signal != first->signal)
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.signal: %s, targets[0] has %s; one command has one",
                              name, fly_signal_name(target->signal), fly_signal_name(first->signal));
        why = fly_target_check(target, field, name);
        if (why != FLY_REFUSE_NONE)
            return why;
        if (target->dwell_us > command->dwell_us)
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.dwell_us: %.9g, the command says at most %.9g", name,
                              target->dwell_us, command->dwell_us);
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_frames(const struct fly_command *command)
{
    int measures = fly_command_measures(command->kind);

    if ((measures && command->frame < 0) || command->frame < -1)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "frame: %lld, allowed are 0 .. %d",
                          (long long)command->frame, FLY_FRAMES_MAX - 1);
    if ((measures && command->frames < 1) || command->frames < 0)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "frames: %d, allowed are 1 .. %d", command->frames,
                          FLY_FRAMES_MAX);
    if (command->frame >= 0 && command->frame + (command->frames > 0 ? command->frames : 1) > FLY_FRAMES_MAX)
        return FLY_REFUSE(FLY_REFUSE_OUTSIDE, "frame: %lld .. %lld, the last one is %d",
                          (long long)command->frame, (long long)command->frame + command->frames - 1,
                          FLY_FRAMES_MAX - 1);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_ids(const struct fly_command *command)
{
    size_t len = strlen(command->decision_id);

    if (!fly_name_valid(command->cmd_id, strlen(command->cmd_id)))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "cmd_id '%s', allowed are 1 .. %d of [A-Za-z0-9._-]",
                          fly_quote_text(command->cmd_id, strlen(command->cmd_id)).text, FLY_CMD_ID_MAX);
    if (len == 0 && !fly_command_measures(command->kind))
        return FLY_REFUSE_NONE;
    if (!fly_name_valid(command->decision_id, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "decision_id '%s', allowed are 1 .. %d of [A-Za-z0-9._-]",
                          fly_quote_text(command->decision_id, len).text, FLY_CMD_ID_MAX);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_command_check(const struct fly_command *command, const struct fly_steer_field *field)
{
    int measures = fly_command_measures(command->kind);
    enum fly_refusal why = check_ids(command);

    if (why == FLY_REFUSE_NONE && command->valid_until_ns < 0)
        why = FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "valid_until_ns: %lld, below 0",
                         (long long)command->valid_until_ns);
    if (why == FLY_REFUSE_NONE && (measures || !isnan(command->dwell_us)))
        why = check_within(command->dwell_us, dwell_least_us, dwell_most_us, "command", "dwell_us");
    if (why == FLY_REFUSE_NONE)
        why = check_frames(command);
    if (why == FLY_REFUSE_NONE && !measures && command->n_targets != 0)
        why = FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "targets: %d, %s has none", command->n_targets,
                         fly_command_kind_name(command->kind));
    return why == FLY_REFUSE_NONE && measures ? check_targets(command, field) : why;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static void put_int_from(struct fly_pack *pack, const char *key, int64_t number, int64_t least)
{
    fly_pack_str(pack, key);
    if (number >= least)
        fly_pack_int(pack, number);
    else
        fly_pack_nil(pack);
}

/* Whole numbers as integers: shorter, and the same to a reader. */
static void put_numbers(struct fly_pack *pack, const char *key, const double *numbers, int count)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, (uint32_t)count);
    for (int i = 0; i < count; i++)
        if (numbers[i] == nearbyint(numbers[i]) && fabs(numbers[i]) < 1e9)
            fly_pack_int(pack, (int64_t)numbers[i]);
        else
            fly_pack_f64(pack, numbers[i]);
}

void fly_target_scaled(double out[4], const struct fly_target *target, const double unit[2])
{
    for (int i = 0; i < 4; i++)
        out[i] = i < fly_target_numbers(target->kind) ? target->px[i] * unit[i % 2] : 0.0;
}

void fly_target_pack(struct fly_pack *pack, const struct fly_target *target,
                     const struct fly_steer_field *field)
{
    const double inverse[2] = {1.0 / field->height_px, 1.0 / field->width_px};
    int count = fly_target_numbers(target->kind);
    double scaled[4];

    fly_pack_map(pack, 9);
    fly_pack_key_text(pack, "kind", fly_target_kind_name(target->kind));
    put_numbers(pack, "px", target->px, count);
    fly_target_scaled(scaled, target, inverse);
    put_numbers(pack, "frac", scaled, count);
    if (isnan(field->pixel_nm[0]) || isnan(field->pixel_nm[1])) {
        fly_pack_key_text(pack, "nm", "");
    } else {
        fly_target_scaled(scaled, target, field->pixel_nm);
        put_numbers(pack, "nm", scaled, count);
    }
    fly_pack_key_f64(pack, "dwell_us", target->dwell_us);
    fly_pack_key_text(pack, "signal", fly_signal_name(target->signal));
    fly_pack_key_f64(pack, "expected_gain", target->expected_gain);
    fly_pack_key_f64(pack, "dose_e_per_A2", target->dose_e_per_A2);
    fly_pack_key_text(pack, "reason", target->reason);
}

void fly_as_of_pack(struct fly_pack *pack, const struct fly_as_of *as_of)
{
    fly_pack_map(pack, (uint32_t)as_of->count);
    for (int32_t i = 0; i < as_of->count; i++) {
        fly_pack_str(pack, as_of->names[i]);
        fly_pack_uint(pack, as_of->seq[i]);
    }
}

static int close_words(const struct fly_pack *pack, const char *what, const char *cmd_id)
{
    if (pack->full)
        return fly_fail(FLY_ERANGE, "%s %s: the header does not fit %zu bytes", what, cmd_id, pack->cap);
    /* The scan's words say what and where. */
    return fly_wire_scan(pack->bytes, pack->len) == FLY_REFUSE_NONE ? FLY_OK : FLY_ERANGE;
}

int fly_command_encode(struct fly_pack *pack, const struct fly_command *command,
                       const struct fly_steer_field *field)
{
    if (fly_command_check(command, field) != FLY_REFUSE_NONE)
        return FLY_ERANGE; /* the check's words stand */
    fly_pack_map(pack, 10);
    fly_pack_key_text(pack, "type", "command");
    fly_pack_key_text(pack, "cmd_id", command->cmd_id);
    fly_pack_key_text(pack, "decision_id", command->decision_id);
    fly_pack_key_text(pack, "kind", fly_command_kind_name(command->kind));
    put_int_from(pack, "frame", command->frame, 0);
    put_int_from(pack, "frames", command->frames, 1);
    fly_pack_key_f64(pack, "dwell_us", command->dwell_us);
    fly_pack_key_int(pack, "valid_until_ns", command->valid_until_ns);
    fly_pack_str(pack, "as_of");
    fly_as_of_pack(pack, &command->as_of);
    fly_pack_str(pack, "targets");
    fly_pack_array(pack, (uint32_t)command->n_targets);
    for (int32_t i = 0; i < command->n_targets; i++)
        fly_target_pack(pack, &command->targets[i], field);
    return close_words(pack, "command", command->cmd_id);
}

int fly_ack_encode(struct fly_pack *pack, const struct fly_ack *ack)
{
    if (!fly_name_valid(ack->cmd_id, strlen(ack->cmd_id)))
        return fly_fail(FLY_ERANGE, "ack: cmd_id '%s', allowed are 1 .. %d of [A-Za-z0-9._-]",
                        fly_quote_text(ack->cmd_id, strlen(ack->cmd_id)).text, FLY_CMD_ID_MAX);
    if (ack->has_achieved && (ack->achieved.frames < 0 || ack->achieved.pixels < 0 || ack->achieved.dwell_us < 0.0))
        return fly_fail(FLY_ERANGE, "ack %s: achieved below 0", ack->cmd_id);
    fly_pack_map(pack, 5);
    fly_pack_key_text(pack, "type", "ack");
    fly_pack_key_text(pack, "cmd_id", ack->cmd_id);
    fly_pack_key_text(pack, "status", fly_ack_status_name(ack->status));
    fly_pack_key_text(pack, "reason", ack->reason);
    fly_pack_str(pack, "achieved");
    if (ack->has_achieved) {
        fly_pack_map(pack, 3);
        put_int_from(pack, "frames", ack->achieved.frames, 0);
        put_int_from(pack, "pixels", ack->achieved.pixels, 0);
        fly_pack_key_f64(pack, "dwell_us", ack->achieved.dwell_us);
    } else {
        fly_pack_nil(pack);
    }
    return close_words(pack, "ack", ack->cmd_id);
}
