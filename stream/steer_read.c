#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stream/steer_rules.h"
#include "stream/wire_decode.h"

/* ---- keys ----------------------------------------------------------------------------------------- */

void fly_wanted_find(struct fly_wanted *wanted, size_t n_wanted, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;

    for (size_t i = 0; i < n_wanted; i++)
        wanted[i].value = (struct fly_value){NULL, NULL};
    while (fly_value_next(map, &it, &key, &value)) {
        const char *text = "";
        size_t len = 0;

        (void)fly_value_str(key, &text, &len);
        for (size_t i = 0; i < n_wanted; i++)
            if (strlen(wanted[i].name) == len && memcmp(wanted[i].name, text, len) == 0 &&
                (wanted[i].required || fly_value_kind(value) != FLY_KIND_NIL))
                wanted[i].value = value;
    }
}

enum fly_refusal fly_wanted_check(const struct fly_wanted *wanted, size_t n_wanted, const char *what)
{
    char name[64];

    for (size_t i = 0; i < n_wanted; i++)
        if (wanted[i].required && !wanted[i].value.at)
            return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "%s: no %s", what, wanted[i].name);
    for (size_t i = 0; i < n_wanted; i++) {
        enum fly_refusal why;

        if (!wanted[i].value.at)
            continue;
        why = fly_want_check(wanted[i].value, wanted[i].want, wanted[i].name);
        if (why == FLY_REFUSE_NONE)
            continue;
        snprintf(name, sizeof name, "%s.%s", what, wanted[i].name); /* a name is dear, and good ones need none */
        return fly_want_check(wanted[i].value, wanted[i].want, name);
    }
    return FLY_REFUSE_NONE;
}

/* The index of one of n words; the value is a string. */
static enum fly_refusal read_word(const struct fly_wanted *key, const char *what, const char *const *words, int n,
                                  int *out)
{
    const char *text = "";
    char allowed[96];
    size_t len = 0, used = 0;

    (void)fly_value_str(key->value, &text, &len);
    for (int i = 0; i < n; i++)
        if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0) {
            *out = i;
            return FLY_REFUSE_NONE;
        }
    for (int i = 0; i < n && used < sizeof allowed; i++)
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s", i > 0 ? ", " : "", words[i]);
    return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s '%s', allowed are %s", what, key->name,
                      fly_quote_text(text, len).text, allowed);
}

/* A text of at most cap - 1 bytes, without NUL; "" where it is absent. A longer one is cut. */
static enum fly_refusal read_text(const struct fly_wanted *key, const char *what, char *out, size_t cap)
{
    const char *text = "";
    size_t len = 0;

    if (key->value.at)
        (void)fly_value_str(key->value, &text, &len);
    if (memchr(text, 0, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s: a NUL within it", what, key->name);
    fly_text_copy(out, cap, text, len);
    return FLY_REFUSE_NONE;
}

static double number_or_nan(struct fly_value value)
{
    double number = NAN;

    if (value.at)
        (void)fly_value_f64(value, &number);
    return number;
}

enum fly_refusal fly_steer_id_read(char out[FLY_CMD_ID_MAX + 1], struct fly_value value, const char *name)
{
    const char *text = "";
    char digits[24];
    size_t len = 0;
    uint64_t number;

    if (fly_value_kind(value) == FLY_KIND_INT) {
        if (!fly_value_uint(value, &number))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: below 0", name);
        len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
        text = digits;
    } else {
        (void)fly_value_str(value, &text, &len);
    }
    if (!fly_name_valid(text, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s '%s', allowed are 1 .. %d of [A-Za-z0-9._-]", name,
                          fly_quote_text(text, len).text, FLY_CMD_ID_MAX);
    fly_text_copy(out, FLY_CMD_ID_MAX + 1, text, len);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_as_of_read(struct fly_as_of *as_of, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;

    memset(as_of, 0, sizeof *as_of);
    if (fly_value_count(map) > FLY_STREAMS_MAX)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "as_of: %u streams, at most %d",
                          (unsigned)fly_value_count(map), FLY_STREAMS_MAX);
    while (fly_value_next(map, &it, &key, &value)) {
        const char *text = "";
        size_t len = 0;

        (void)fly_value_str(key, &text, &len);
        if (!fly_name_valid(text, len) || !fly_value_uint(value, &as_of->seq[as_of->count]) ||
            as_of->seq[as_of->count] > INT64_MAX) /* more than a line of JSON holds */
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "as_of: '%s', it has numbers 0 .. 2^63 - 1 of streams",
                              fly_quote_text(text, len).text);
        fly_text_copy(as_of->names[as_of->count++], FLY_NAME_MAX + 1, text, len);
    }
    return FLY_REFUSE_NONE;
}

/* ---- targets -------------------------------------------------------------------------------------- */

enum { T_KIND, T_PX, T_DWELL, T_SIGNAL, T_FRAC, T_NM, T_GAIN, T_DOSE, T_REASON, T_KEYS };
static const struct fly_wanted target_keys[T_KEYS] = {
    [T_KIND] = {"kind", FLY_WANT_STR, 1, {0}},
    [T_PX] = {"px", FLY_WANT_NUMS, 1, {0}},
    [T_DWELL] = {"dwell_us", FLY_WANT_NUM, 1, {0}},
    [T_SIGNAL] = {"signal", FLY_WANT_STR, 1, {0}},
    [T_FRAC] = {"frac", FLY_WANT_NUMS, 0, {0}},
    [T_NM] = {"nm", FLY_WANT_NUMS, 0, {0}},
    [T_GAIN] = {"expected_gain", FLY_WANT_NUM, 0, {0}},
    [T_DOSE] = {"dose_e_per_A2", FLY_WANT_NUM, 0, {0}},
    [T_REASON] = {"reason", FLY_WANT_STR, 0, {0}},
};

static enum fly_refusal read_numbers(struct fly_value list, double out[4], int count, const char *name,
                                     const char *key)
{
    struct fly_value_iter it = {0};
    struct fly_value value;

    if (fly_value_count(list) != (uint32_t)count)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s: %u numbers, it has %d", name, key,
                          (unsigned)fly_value_count(list), count);
    for (int i = 0; fly_value_next(list, &it, NULL, &value); i++)
        if (!fly_value_f64(value, &out[i]))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s: not finite", name, key);
    return FLY_REFUSE_NONE;
}

/* frac or nm say the same place as px. */
static enum fly_refusal check_agrees(const struct fly_target *target, struct fly_value list,
                                     const double unit[2], const char *name, const char *key)
{
    static const double apart_px = 0.01; /* float32 on the other side, at 16384 px */
    int count = fly_target_numbers(target->kind);
    double said[4], meant[4];
    enum fly_refusal why;

    why = read_numbers(list, said, count, name, key);
    if (why != FLY_REFUSE_NONE)
        return why;
    fly_target_scaled(meant, target, unit);
    for (int i = 0; i < count; i++)
        if (!(fabs(said[i] - meant[i]) <= apart_px * unit[i % 2]))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s.%s[%d]: %.9g, px says %.9g", name, key, i, said[i],
                              meant[i]);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_places(const struct fly_target *target, const struct fly_wanted *keys,
                                     const struct fly_steer_field *field, const char *name)
{
    const double inverse[2] = {1.0 / field->height_px, 1.0 / field->width_px};
    enum fly_refusal why = FLY_REFUSE_NONE;

    if (keys[T_FRAC].value.at)
        why = check_agrees(target, keys[T_FRAC].value, inverse, name, "frac");
    if (why == FLY_REFUSE_NONE && keys[T_NM].value.at && isfinite(field->pixel_nm[0]) &&
        isfinite(field->pixel_nm[1]))
        why = check_agrees(target, keys[T_NM].value, field->pixel_nm, name, "nm");
    return why;
}

static enum fly_refusal read_target(struct fly_target *target, const struct fly_wanted *keys,
                                    const struct fly_steer_field *field, const char *name)
{
    const char *const signals[] = {fly_signal_name(FLY_SIGNAL_BOTH), fly_signal_name(FLY_SIGNAL_HAADF),
                                   fly_signal_name(FLY_SIGNAL_EDS)};
    int kind = 0, signal = 0;
    enum fly_refusal why;

    memset(target, 0, sizeof *target);
    why = read_word(&keys[T_KIND], name, fly_target_words, FLY_TARGET_KINDS, &kind);
    target->kind = (enum fly_target_kind)kind;
    if (why == FLY_REFUSE_NONE)
        why = read_word(&keys[T_SIGNAL], name, signals, FLY_SIGNALS, &signal);
    target->signal = (enum fly_signal)signal;
    if (why == FLY_REFUSE_NONE)
        why = read_numbers(keys[T_PX].value, target->px, fly_target_numbers(target->kind), name, "px");
    if (why != FLY_REFUSE_NONE)
        return why;
    target->dwell_us = number_or_nan(keys[T_DWELL].value);
    target->expected_gain = number_or_nan(keys[T_GAIN].value);
    target->dose_e_per_A2 = number_or_nan(keys[T_DOSE].value);
    why = read_text(&keys[T_REASON], name, target->reason, sizeof target->reason);
    if (why == FLY_REFUSE_NONE)
        why = fly_target_check(target, NULL, name);
    return why == FLY_REFUSE_NONE && field ? check_places(target, keys, field, name) : why;
}

static enum fly_refusal check_types(struct fly_value list, const char *name)
{
    struct fly_wanted keys[T_KEYS];
    struct fly_value_iter it = {0};
    struct fly_value map;
    char words[48];

    for (int i = 0; fly_value_next(list, &it, NULL, &map); i++) {
        enum fly_refusal why;

        memcpy(keys, target_keys, sizeof keys);
        fly_wanted_find(keys, T_KEYS, map);
        snprintf(words, sizeof words, "%s[%d]", name, i);
        why = fly_wanted_check(keys, T_KEYS, words);
        if (why != FLY_REFUSE_NONE)
            return why;
    }
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_targets_read(struct fly_target *targets, int32_t cap, int32_t *count,
                                  struct fly_value list, const struct fly_steer_field *field,
                                  const char *name, int nonfinite)
{
    int32_t most = cap < FLY_TARGETS_MAX ? cap : FLY_TARGETS_MAX;
    struct fly_wanted keys[T_KEYS];
    struct fly_value_iter it = {0};
    struct fly_value map;
    char words[48];
    enum fly_refusal why = check_types(list, name);

    *count = 0;
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE && fly_value_count(list) > (uint32_t)most)
        why = FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%s: %u, at most %d", name, (unsigned)fly_value_count(list), most);
    for (int32_t i = 0; why == FLY_REFUSE_NONE && fly_value_next(list, &it, NULL, &map); i++) {
        memcpy(keys, target_keys, sizeof keys);
        fly_wanted_find(keys, T_KEYS, map);
        snprintf(words, sizeof words, "%s[%d]", name, i);
        why = read_target(&targets[i], keys, field, words);
        *count = i + 1;
    }
    return why;
}

/* ---- command and ack ------------------------------------------------------------------------------ */

enum fly_control_type fly_control_type_of(const struct fly_part *header)
{
    static const struct { const char *word; enum fly_control_type type; } types[] = {
        {"request", FLY_CONTROL_REQUEST}, {"reply", FLY_CONTROL_REPLY},
        {"command", FLY_CONTROL_COMMAND}, {"ack", FLY_CONTROL_ACK}};
    enum fly_refusal scanned = fly_wire_scan(header->bytes, header->len);
    struct fly_value value;
    const char *text;
    size_t len;

    /* A number that is not finite spoils no type. */
    if (scanned != FLY_REFUSE_NONE && scanned != FLY_REFUSE_BAD_VALUE)
        return FLY_CONTROL_OTHER;
    if (!fly_value_get(fly_value_root(header->bytes, header->len), "type", &value) ||
        !fly_value_str(value, &text, &len))
        return FLY_CONTROL_OTHER;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i].word) == len && memcmp(types[i].word, text, len) == 0)
            return types[i].type;
    return FLY_CONTROL_OTHER;
}

/* What a command and an ack have in common: a scanned header of that type, and nothing behind it. The id
 * is read first of all, so that whatever else is wrong can be told to its sender. */
static enum fly_refusal read_head(struct fly_value *header, int *nonfinite, char cmd_id[FLY_CMD_ID_MAX + 1],
                                  const char *type, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_wanted wanted = {"type", FLY_WANT_STR, 1, {0}};
    struct fly_value id;
    enum fly_refusal why;
    const char *text = "";
    size_t len = 0;

    if (n_parts < 1)
        return FLY_REFUSE(FLY_REFUSE_MALFORMED, "%s: without a header", type);
    why = fly_wire_scan(parts[0].bytes, parts[0].len);
    *nonfinite = why == FLY_REFUSE_BAD_VALUE;
    if (why != FLY_REFUSE_NONE && !*nonfinite)
        return why;
    *header = fly_value_root(parts[0].bytes, parts[0].len);
    if (fly_value_get(*header, "cmd_id", &id))
        (void)fly_steer_id_read(cmd_id, id, "cmd_id");
    if (n_parts > FLY_PARTS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%d parts, at most %d are allowed", n_parts, FLY_PARTS_MAX);
    fly_wanted_find(&wanted, 1, *header);
    why = fly_wanted_check(&wanted, 1, type);
    if (why != FLY_REFUSE_NONE)
        return why;
    (void)fly_value_str(wanted.value, &text, &len);
    if (strlen(type) != len || memcmp(text, type, len) != 0)
        return FLY_REFUSE(FLY_REFUSE_UNKNOWN_TYPE, "type '%s', allowed is '%s'", fly_quote_text(text, len).text,
                          type);
    if (n_parts > 1)
        return FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE, "%s: %d payloads, it has none", type, n_parts - 1);
    return FLY_REFUSE_NONE;
}

enum { C_CMD_ID, C_KIND, C_VALID, C_AS_OF, C_TARGETS, C_DECISION, C_FRAME, C_FRAMES, C_DWELL, C_KEYS };
static const struct fly_wanted command_keys[C_KEYS] = {
    [C_CMD_ID] = {"cmd_id", FLY_WANT_INT_OR_STR, 1, {0}},
    [C_KIND] = {"kind", FLY_WANT_STR, 1, {0}},
    [C_VALID] = {"valid_until_ns", FLY_WANT_INT, 1, {0}},
    [C_AS_OF] = {"as_of", FLY_WANT_INT_MAP, 0, {0}},
    [C_TARGETS] = {"targets", FLY_WANT_MAPS, 0, {0}},
    [C_DECISION] = {"decision_id", FLY_WANT_INT_OR_STR, 0, {0}},
    [C_FRAME] = {"frame", FLY_WANT_INT, 0, {0}},
    [C_FRAMES] = {"frames", FLY_WANT_INT, 0, {0}},
    [C_DWELL] = {"dwell_us", FLY_WANT_NUM, 0, {0}},
};

/* What a command that measures cannot do without. */
static enum fly_refusal check_needs(const struct fly_wanted *keys)
{
    static const int needed[] = {C_TARGETS, C_DECISION, C_FRAME, C_FRAMES, C_DWELL};
    const char *text = "";
    size_t len = 0;

    (void)fly_value_str(keys[C_KIND].value, &text, &len);
    for (int kind = 0; kind < FLY_COMMAND_KINDS; kind++)
        if (strlen(fly_command_words[kind]) == len && memcmp(fly_command_words[kind], text, len) == 0 &&
            !fly_command_measures((enum fly_command_kind)kind))
            return FLY_REFUSE_NONE;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!keys[needed[i]].value.at)
            return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "command: no %s, which kind '%s' needs",
                              keys[needed[i]].name, fly_quote_text(text, len).text);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_scalars(struct fly_command *command, const struct fly_wanted *keys)
{
    int kind = 0;
    int64_t frames = 0;
    enum fly_refusal why = fly_steer_id_read(command->cmd_id, keys[C_CMD_ID].value, "cmd_id");

    if (why == FLY_REFUSE_NONE && keys[C_DECISION].value.at)
        why = fly_steer_id_read(command->decision_id, keys[C_DECISION].value, "decision_id");
    if (why == FLY_REFUSE_NONE)
        why = read_word(&keys[C_KIND], "command", fly_command_words, FLY_COMMAND_KINDS, &kind);
    command->kind = (enum fly_command_kind)kind;
    if (why == FLY_REFUSE_NONE)
        why = fly_int_within(keys[C_VALID].value, "valid_until_ns", 0, INT64_MAX, &command->valid_until_ns);
    if (why == FLY_REFUSE_NONE && keys[C_FRAME].value.at)
        why = fly_int_within(keys[C_FRAME].value, "frame", 0, FLY_FRAMES_MAX - 1, &command->frame);
    if (why == FLY_REFUSE_NONE && keys[C_FRAMES].value.at)
        why = fly_int_within(keys[C_FRAMES].value, "frames", 1, FLY_FRAMES_MAX, &frames);
    command->frames = (int32_t)frames;
    command->dwell_us = number_or_nan(keys[C_DWELL].value);
    if (why == FLY_REFUSE_NONE && keys[C_AS_OF].value.at)
        why = fly_as_of_read(&command->as_of, keys[C_AS_OF].value);
    return why;
}

enum fly_refusal fly_command_decode(struct fly_command *command, const struct fly_steer_field *field,
                                    const struct fly_part *parts, int32_t n_parts)
{
    struct fly_target *targets = command->targets;
    int32_t cap = command->targets_cap;
    struct fly_wanted keys[C_KEYS];
    struct fly_value header = {NULL, NULL};
    int nonfinite = 0;
    enum fly_refusal why;

    memset(command, 0, sizeof *command);
    command->targets = targets;
    command->targets_cap = cap;
    command->frame = -1;
    command->dwell_us = NAN;
    why = read_head(&header, &nonfinite, command->cmd_id, "command", parts, n_parts);
    if (why != FLY_REFUSE_NONE)
        return why;
    memcpy(keys, command_keys, sizeof keys);
    fly_wanted_find(keys, C_KEYS, header);
    why = fly_wanted_check(keys, C_KEYS, "command");
    if (why == FLY_REFUSE_NONE)
        why = check_needs(keys);
    if (why == FLY_REFUSE_NONE && keys[C_TARGETS].value.at)
        why = fly_targets_read(targets, cap, &command->n_targets, keys[C_TARGETS].value, field, "targets",
                               nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = read_scalars(command, keys);
    return why == FLY_REFUSE_NONE ? fly_command_check(command, field) : why;
}

enum { A_CMD_ID, A_STATUS, A_REASON, A_ACHIEVED, A_KEYS };
static const struct fly_wanted ack_keys[A_KEYS] = {
    [A_CMD_ID] = {"cmd_id", FLY_WANT_INT_OR_STR, 1, {0}},
    [A_STATUS] = {"status", FLY_WANT_STR, 1, {0}},
    [A_REASON] = {"reason", FLY_WANT_STR, 0, {0}},
    [A_ACHIEVED] = {"achieved", FLY_WANT_MAP, 0, {0}},
};
enum { D_FRAMES, D_PIXELS, D_DWELL, D_KEYS };
static const struct fly_wanted achieved_keys[D_KEYS] = {
    [D_FRAMES] = {"frames", FLY_WANT_INT, 1, {0}},
    [D_PIXELS] = {"pixels", FLY_WANT_INT, 1, {0}},
    [D_DWELL] = {"dwell_us", FLY_WANT_NUM, 0, {0}},
};

enum fly_refusal fly_ack_decode(struct fly_ack *ack, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_wanted keys[A_KEYS], achieved[D_KEYS];
    struct fly_value header = {NULL, NULL};
    int nonfinite = 0, status = 0;
    enum fly_refusal why;

    memset(ack, 0, sizeof *ack);
    ack->achieved.dwell_us = NAN;
    why = read_head(&header, &nonfinite, ack->cmd_id, "ack", parts, n_parts);
    if (why != FLY_REFUSE_NONE)
        return why;
    memcpy(keys, ack_keys, sizeof keys);
    memcpy(achieved, achieved_keys, sizeof achieved);
    fly_wanted_find(keys, A_KEYS, header);
    why = fly_wanted_check(keys, A_KEYS, "ack");
    ack->has_achieved = why == FLY_REFUSE_NONE && keys[A_ACHIEVED].value.at;
    if (ack->has_achieved) {
        fly_wanted_find(achieved, D_KEYS, keys[A_ACHIEVED].value);
        why = fly_wanted_check(achieved, D_KEYS, "achieved");
    }
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = fly_steer_id_read(ack->cmd_id, keys[A_CMD_ID].value, "cmd_id");
    if (why == FLY_REFUSE_NONE)
        why = read_word(&keys[A_STATUS], "ack", fly_ack_words, FLY_ACK_STATUSES, &status);
    ack->status = (enum fly_ack_status)status;
    if (why == FLY_REFUSE_NONE)
        why = read_text(&keys[A_REASON], "ack", ack->reason, sizeof ack->reason);
    if (why != FLY_REFUSE_NONE || !ack->has_achieved)
        return why;
    why = fly_int_within(achieved[D_FRAMES].value, "achieved.frames", 0, INT64_MAX, &ack->achieved.frames);
    if (why == FLY_REFUSE_NONE)
        why = fly_int_within(achieved[D_PIXELS].value, "achieved.pixels", 0, INT64_MAX, &ack->achieved.pixels);
    if (why == FLY_REFUSE_NONE && achieved[D_DWELL].value.at)
        why = fly_f64_within(achieved[D_DWELL].value, "achieved.dwell_us", 0.0, 1e300, &ack->achieved.dwell_us);
    return why;
}
