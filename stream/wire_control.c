#include "stream/wire_decode.h"

#include <string.h>

/* {stream: number} into out[stream_idx]; streams the session does not have are passed over, as
 * unknown keys are. */
static enum fly_refusal read_counts(struct fly_value map, const char *name,
                                    const struct fly_start *start, int64_t out[FLY_STREAMS_MAX])
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;

    while (fly_value_next(map, &it, &key, &value)) {
        const char *text = "";
        size_t len = 0;
        int32_t idx;
        int64_t number;
        enum fly_refusal why = fly_int_within(value, name, 0, INT64_MAX, &number);

        if (why != FLY_REFUSE_NONE)
            return why;
        (void)fly_value_str(key, &text, &len);
        idx = fly_stream_find(start, text, len);
        if (idx >= 0)
            out[idx] = number;
    }
    return FLY_REFUSE_NONE;
}

static void say_nothing(struct fly_ingest *msg)
{
    for (int32_t i = 0; i < FLY_STREAMS_MAX; i++)
        msg->count[i] = msg->dropped[i] = -1;
}

enum fly_refusal fly_decode_heartbeat(struct fly_ingest *msg, const struct fly_keys *keys,
                                      const struct fly_start *start, int nonfinite)
{
    static const struct fly_key_rule rules[] = {{FLY_KEY_LAST_SEQ, FLY_WANT_INT_MAP, 1},
                                                {FLY_KEY_BACKLOG, FLY_WANT_INT, 1},
                                                {FLY_KEY_DROPPED, FLY_WANT_INT_MAP, 1}};
    enum fly_refusal why = fly_keys_check(keys, rules, 3, "heartbeat");

    say_nothing(msg);
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = read_counts(keys->slot[FLY_KEY_LAST_SEQ], "last_seq", start, msg->count);
    if (why == FLY_REFUSE_NONE)
        why = fly_int_within(keys->slot[FLY_KEY_BACKLOG], "backlog", 0, INT64_MAX, &msg->backlog);
    if (why == FLY_REFUSE_NONE)
        why = read_counts(keys->slot[FLY_KEY_DROPPED], "dropped", start, msg->dropped);
    return why;
}

enum fly_refusal fly_decode_stop(struct fly_ingest *msg, const struct fly_keys *keys,
                                 const struct fly_start *start, int nonfinite)
{
    static const struct fly_key_rule rules[] = {{FLY_KEY_EXIT_STATUS, FLY_WANT_STR, 1},
                                                {FLY_KEY_REASON, FLY_WANT_STR, 1},
                                                {FLY_KEY_COUNT, FLY_WANT_INT_MAP, 1}};
    static const char *const statuses[] = {"success", "abort", "fail"};
    enum fly_refusal why = fly_keys_check(keys, rules, 3, "stop");
    const char *text = "";
    size_t len = 0;

    say_nothing(msg);
    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why != FLY_REFUSE_NONE)
        return why;
    (void)fly_value_str(keys->slot[FLY_KEY_EXIT_STATUS], &text, &len);
    for (size_t i = 0; i < 3; i++)
        if (strlen(statuses[i]) == len && memcmp(statuses[i], text, len) == 0)
            memcpy(msg->exit_status, text, len);
    if (!msg->exit_status[0])
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE,
                          "exit_status '%s', allowed are success, abort, fail",
                          fly_quote_text(text, len).text);
    (void)fly_value_str(keys->slot[FLY_KEY_REASON], &text, &len);
    fly_text_copy(msg->reason, sizeof msg->reason, text, len);
    return read_counts(keys->slot[FLY_KEY_COUNT], "count", start, msg->count);
}
