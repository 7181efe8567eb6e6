#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stream/publish_head.h"
#include "stream/steer_rules.h"

static enum fly_refusal check_all(const struct fly_target *targets, int32_t count, int32_t most,
                                  const struct fly_steer_field *field, const char *list)
{
    char name[32];

    if (count < 0 || count > most)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%s: %d, at most %d", list, count, most);
    for (int32_t i = 0; i < count; i++) {
        enum fly_refusal why;

        snprintf(name, sizeof name, "%s[%d]", list, i);
        why = fly_target_check(&targets[i], field, name);
        if (why != FLY_REFUSE_NONE)
            return why;
    }
    return FLY_REFUSE_NONE;
}

static void pack_targets(struct fly_pack *pack, const char *key, const struct fly_target *targets,
                         int32_t count, const struct fly_steer_field *field)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, (uint32_t)count);
    for (int32_t i = 0; i < count; i++)
        fly_target_pack(pack, &targets[i], field);
}

const char *fly_until_name(enum fly_until until)
{
    static const char *const names[FLY_UNTILS] = {"error", "births", "agreement", "composition", "budget"};

    return names[until];
}

static void pack_until(struct fly_pack *pack, const struct fly_suggest_until until[FLY_UNTILS])
{
    fly_pack_str(pack, "until");
    fly_pack_map(pack, FLY_UNTILS);
    for (int i = 0; i < FLY_UNTILS; i++) {
        fly_pack_str(pack, fly_until_name((enum fly_until)i));
        fly_pack_map(pack, 3);
        fly_pack_key_f64(pack, "now", until[i].now);
        fly_pack_key_f64(pack, "limit", until[i].limit);
        fly_pack_key_bool(pack, "met", until[i].met);
    }
}

int fly_pub_suggest(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                    const struct fly_suggest *suggest, const struct fly_steer_field *field)
{
    if (check_all(suggest->targets, suggest->n_targets, FLY_TARGETS_MAX, field, "targets") != FLY_REFUSE_NONE ||
        check_all(suggest->alternatives, suggest->n_alternatives, FLY_ALTERNATIVES_MAX, field,
                  "alternatives") != FLY_REFUSE_NONE)
        return FLY_ERANGE; /* the check's words stand */
    if (!fly_name_valid(suggest->decision_id, strlen(suggest->decision_id)))
        return fly_fail(FLY_ERANGE, "suggest: decision_id '%s', allowed are 1 .. %d of [A-Za-z0-9._-]",
                        suggest->decision_id, FLY_CMD_ID_MAX);
    fly_pub_open_header(pack, "suggest", id, 10);
    fly_pack_key_text(pack, "decision_id", suggest->decision_id);
    fly_pack_key_text(pack, "policy", suggest->policy);
    fly_pack_key_text(pack, "mode", suggest->mode);
    fly_pack_key_text(pack, "stop", suggest->stop);
    fly_pack_key_f64(pack, "expected_error", suggest->expected_error);
    pack_until(pack, suggest->until);
    fly_pack_key_int(pack, "valid_until_ns", suggest->valid_until_ns);
    fly_pack_str(pack, "as_of");
    fly_as_of_pack(pack, &suggest->as_of);
    pack_targets(pack, "targets", suggest->targets, suggest->n_targets, field);
    pack_targets(pack, "alternatives", suggest->alternatives, suggest->n_alternatives, field);
    return fly_pub_close_header(out, pack, "suggest");
}

enum { S_DECISION, S_POLICY, S_TARGETS, S_AS_OF, S_VALID, S_MODE, S_STOP, S_ERROR, S_ALTERNATIVES, S_KEYS };

/* A word that fits, or "" where it is absent. */
static int read_word(char out[FLY_STEER_WORD_MAX + 1], const struct fly_wanted *key)
{
    const char *text = "";
    size_t len = 0;

    if (key->value.at)
        (void)fly_value_str(key->value, &text, &len);
    if (len > FLY_STEER_WORD_MAX || memchr(text, 0, len))
        return fly_fail(FLY_EWIRE, "suggest: %s of %zu bytes, at most %d, no NUL", key->name, len,
                        FLY_STEER_WORD_MAX);
    fly_text_copy(out, FLY_STEER_WORD_MAX + 1, text, len);
    return FLY_OK;
}

int fly_suggest_decode(struct fly_suggest *out, struct fly_value header, const struct fly_steer_field *field)
{
    struct fly_wanted keys[S_KEYS] = {
        [S_DECISION] = {"decision_id", FLY_WANT_INT_OR_STR, 1, {0}},
        [S_POLICY] = {"policy", FLY_WANT_STR, 1, {0}},
        [S_TARGETS] = {"targets", FLY_WANT_MAPS, 1, {0}},
        [S_AS_OF] = {"as_of", FLY_WANT_INT_MAP, 1, {0}},
        [S_VALID] = {"valid_until_ns", FLY_WANT_INT, 1, {0}},
        [S_MODE] = {"mode", FLY_WANT_STR, 0, {0}},
        [S_STOP] = {"stop", FLY_WANT_STR, 0, {0}},
        [S_ERROR] = {"expected_error", FLY_WANT_NUM, 0, {0}},
        [S_ALTERNATIVES] = {"alternatives", FLY_WANT_MAPS, 0, {0}},
    };
    struct fly_suggest room = *out;

    memset(out, 0, sizeof *out);
    out->targets = room.targets;
    out->targets_cap = room.targets_cap;
    out->alternatives = room.alternatives;
    out->alternatives_cap = room.alternatives_cap;
    out->expected_error = NAN;
    if (fly_value_kind(header) != FLY_KIND_MAP)
        return fly_fail(FLY_EWIRE, "suggest: the header is no map");
    fly_wanted_find(keys, S_KEYS, header);
    if (fly_wanted_check(keys, S_KEYS, "suggest") != FLY_REFUSE_NONE ||
        fly_steer_id_read(out->decision_id, keys[S_DECISION].value, "decision_id") != FLY_REFUSE_NONE ||
        read_word(out->policy, &keys[S_POLICY]) < 0 || read_word(out->mode, &keys[S_MODE]) < 0 ||
        read_word(out->stop, &keys[S_STOP]) < 0 ||
        fly_int_within(keys[S_VALID].value, "valid_until_ns", 0, INT64_MAX, &out->valid_until_ns) !=
            FLY_REFUSE_NONE ||
        fly_as_of_read(&out->as_of, keys[S_AS_OF].value) != FLY_REFUSE_NONE ||
        fly_targets_read(out->targets, out->targets_cap, &out->n_targets, keys[S_TARGETS].value, field,
                         "targets", 0) != FLY_REFUSE_NONE ||
        check_all(out->targets, out->n_targets, FLY_TARGETS_MAX, field, "targets") != FLY_REFUSE_NONE)
        return FLY_EWIRE;
    if (keys[S_ERROR].value.at)
        (void)fly_value_f64(keys[S_ERROR].value, &out->expected_error);
    if (!keys[S_ALTERNATIVES].value.at || out->alternatives_cap == 0)
        return FLY_OK;
    if (fly_targets_read(out->alternatives, out->alternatives_cap, &out->n_alternatives,
                         keys[S_ALTERNATIVES].value, field, "alternatives", 0) != FLY_REFUSE_NONE ||
        check_all(out->alternatives, out->n_alternatives, FLY_ALTERNATIVES_MAX, field, "alternatives") !=
            FLY_REFUSE_NONE)
        return FLY_EWIRE;
    return FLY_OK;
}
