#include "stream/wire_decode.h"

#include <string.h>

#include "stream/wire_item.h"

static const char *const refusal_names[FLY_REFUSALS] = {
    [FLY_REFUSE_NONE] = "none",
    [FLY_REFUSE_OVERSIZE] = "oversize",
    [FLY_REFUSE_MALFORMED] = "malformed",
    [FLY_REFUSE_BAD_KEY] = "bad_key",
    [FLY_REFUSE_BAD_TYPE] = "bad_type",
    [FLY_REFUSE_BAD_VALUE] = "bad_value",
    [FLY_REFUSE_VERSION] = "version",
    [FLY_REFUSE_UNKNOWN_TYPE] = "unknown_type",
    [FLY_REFUSE_NO_SESSION] = "no_session",
    [FLY_REFUSE_OTHER_SESSION] = "other_session",
    [FLY_REFUSE_AFTER_STOP] = "after_stop",
    [FLY_REFUSE_UNDECLARED] = "undeclared",
    [FLY_REFUSE_DTYPE] = "dtype",
    [FLY_REFUSE_SHAPE] = "shape",
    [FLY_REFUSE_PAYLOAD_SIZE] = "payload_size",
    [FLY_REFUSE_OUTSIDE] = "outside",
    [FLY_REFUSE_PHOTONS] = "photons",
    [FLY_REFUSE_SESSION_REUSED] = "session_reused",
};

static const char *const type_names[] = {
    [FLY_INGEST_START] = "start",         [FLY_INGEST_LINES] = "lines", [FLY_INGEST_EDS] = "eds",
    [FLY_INGEST_HEARTBEAT] = "heartbeat", [FLY_INGEST_STOP] = "stop",   [FLY_INGEST_SKIP] = "skip",
};

const char *fly_refusal_name(enum fly_refusal refusal)
{
    FLY_ASSERT(refusal >= 0 && refusal < FLY_REFUSALS);
    return refusal_names[refusal];
}

int32_t fly_stream_find(const struct fly_start *start, const char *name, size_t len)
{
    if (len < 1 || len > FLY_NAME_MAX)
        return -1;
    if (len == 7 && memcmp(name, "control", 7) == 0)
        return 0;
    for (int32_t i = 0; start && i < start->n_detectors; i++)
        if (memcmp(start->detectors[i].name, name, len) == 0 && !start->detectors[i].name[len])
            return 1 + i;
    for (int32_t i = 0; start && i < start->n_segments; i++)
        if (memcmp(start->segments[i].name, name, len) == 0 && !start->segments[i].name[len])
            return 1 + start->n_detectors + i;
    return -1;
}

/* Session, stream and seq as far as they are good: what a refusal uses up, and what the decoders of
 * the types start from. */
static void read_identity(struct fly_ingest *msg, const struct fly_keys *keys,
                          const struct fly_session_view *open)
{
    struct fly_value value = {0};
    const char *text;
    size_t len;

    value = keys->slot[FLY_KEY_SESSION];
    if (value.at && fly_value_str(value, &text, &len) && fly_name_valid(text, len))
        fly_text_copy(msg->session, sizeof msg->session, text, len);
    value = keys->slot[FLY_KEY_STREAM];
    if (value.at && fly_value_str(value, &text, &len) && len <= FLY_NAME_MAX &&
        !memchr(text, 0, len)) {
        const struct fly_start *start =
            open->session && strcmp(open->session, msg->session) == 0 ? open->start : NULL;

        fly_text_copy(msg->stream, sizeof msg->stream, text, len);
        msg->stream_idx = fly_stream_find(start, text, len);
    }
    value = keys->slot[FLY_KEY_SEQ];
    if (value.at)
        (void)fly_value_uint(value, &msg->seq);
}

/* The identity in a header that did not pass the scan: can its first level be walked from the first
 * byte to its last entry, each of the three keys is taken if it stands there once. Of a header that
 * is too long the part within the limit is walked. */
static void salvage_identity(struct fly_ingest *msg, const struct fly_part *header,
                             const struct fly_session_view *open)
{
    static const enum fly_key wanted[] = {FLY_KEY_SESSION, FLY_KEY_STREAM, FLY_KEY_SEQ};
    const unsigned char *at = header->bytes;
    int too_long = header->len > FLY_HEADER_MAX;
    const unsigned char *end = at + (too_long ? FLY_HEADER_MAX : header->len);
    struct fly_keys keys = {0};
    int times[FLY_KEYS] = {0};
    struct fly_item map, name, item;

    if (!fly_item_head(at, end, &map) || map.kind != FLY_ITEM_MAP)
        return;
    at += map.head;
    for (uint64_t left = map.members / 2; left > 0; left--) {
        const unsigned char *key_at = at;
        const unsigned char *value_at = fly_item_skip(at, end);
        int key;

        at = value_at ? fly_item_skip(value_at, end) : NULL;
        if (!at) {
            if (too_long)
                break;
            return;
        }
        if (!fly_item_head(key_at, end, &name) || name.kind != FLY_ITEM_STR)
            continue;
        key = fly_key_find((const char *)key_at + name.head, name.body);
        if (key < 0 || !fly_item_head(value_at, end, &item) || item.kind == FLY_ITEM_BIN ||
            item.kind == FLY_ITEM_EXT)
            continue;
        times[key]++;
        keys.slot[key] = (struct fly_value){value_at, at};
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (times[wanted[i]] != 1)
            keys.slot[wanted[i]] = (struct fly_value){0};
    read_identity(msg, &keys, open);
}

static enum fly_refusal check_sizes(const struct fly_part *parts, int32_t n_parts)
{
    if (n_parts < 1)
        return FLY_REFUSE(FLY_REFUSE_MALFORMED, "a message without a header");
    if (n_parts > FLY_PARTS_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "%d parts, at most %d are allowed", n_parts,
                          FLY_PARTS_MAX);
    for (int32_t i = 1; i < n_parts; i++)
        if (parts[i].len > FLY_PAYLOAD_MAX)
            return FLY_REFUSE(FLY_REFUSE_OVERSIZE,
                              "payload %d of %zu bytes, at most %zu are allowed", i - 1,
                              parts[i].len, FLY_PAYLOAD_MAX);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_type(struct fly_ingest *msg, const struct fly_keys *keys)
{
    static const struct fly_key_rule rule[] = {{FLY_KEY_TYPE, FLY_WANT_STR, 1}};
    enum fly_refusal why = fly_keys_check(keys, rule, 1, "message");
    const char *text = "";
    size_t len = 0;

    if (why != FLY_REFUSE_NONE)
        return why;
    (void)fly_value_str(keys->slot[FLY_KEY_TYPE], &text, &len);
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
        if (strlen(type_names[i]) == len && memcmp(type_names[i], text, len) == 0) {
            msg->type = (enum fly_ingest_type)i;
            return FLY_REFUSE_NONE;
        }
    return FLY_REFUSE(FLY_REFUSE_UNKNOWN_TYPE, "type '%s' is not one of ingest",
                      fly_quote_text(text, len).text);
}

static enum fly_refusal check_version(const struct fly_keys *keys)
{
    static const struct fly_key_rule rule[] = {{FLY_KEY_SCHEMA, FLY_WANT_INTS, 1}};
    enum fly_refusal why = fly_keys_check(keys, rule, 1, "start");
    struct fly_value_iter it = {0};
    struct fly_value schema = keys->slot[FLY_KEY_SCHEMA], value;
    int64_t number[2] = {-1, -1};

    if (why != FLY_REFUSE_NONE)
        return why;
    for (int i = 0; i < 2 && fly_value_next(schema, &it, NULL, &value); i++)
        (void)fly_value_int(value, &number[i]);
    if (fly_value_count(schema) != 2 || number[0] != 1 || number[1] < 0)
        return FLY_REFUSE(FLY_REFUSE_VERSION, "schema [%lld, %lld], this is [1, 0]",
                          (long long)number[0], (long long)number[1]);
    return FLY_REFUSE_NONE;
}

/* session, and whether it is the one that is open. */
static enum fly_refusal check_session(const struct fly_ingest *msg, const struct fly_keys *keys,
                                      const struct fly_session_view *open)
{
    static const struct fly_key_rule rule[] = {{FLY_KEY_SESSION, FLY_WANT_STR, 1}};
    enum fly_refusal why = fly_keys_check(keys, rule, 1, type_names[msg->type]);

    if (why != FLY_REFUSE_NONE)
        return why;
    if (!msg->session[0])
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE,
                          "session '%s', allowed are 1 .. %d of [A-Za-z0-9._-]",
                          fly_quote_value(keys->slot[FLY_KEY_SESSION]).text, FLY_SESSION_MAX);
    if (msg->type == FLY_INGEST_START)
        return FLY_REFUSE_NONE;
    if (!open->session)
        return FLY_REFUSE(FLY_REFUSE_NO_SESSION, "%s of session %s: none is open",
                          type_names[msg->type], msg->session);
    if (strcmp(open->session, msg->session) != 0)
        return FLY_REFUSE(FLY_REFUSE_OTHER_SESSION, "%s of session %s: %s is open",
                          type_names[msg->type], msg->session, open->session);
    return FLY_REFUSE_NONE;
}

/* stream, seq and t_ns as such. */
static enum fly_refusal check_common(struct fly_ingest *msg, const struct fly_keys *keys)
{
    static const struct fly_key_rule rules[] = {{FLY_KEY_STREAM, FLY_WANT_STR, 1},
                                                {FLY_KEY_SEQ, FLY_WANT_INT, 1},
                                                {FLY_KEY_T_NS, FLY_WANT_INT, 1}};
    enum fly_refusal why = fly_keys_check(keys, rules, 3, type_names[msg->type]);
    const char *text = "";
    size_t len = 0;

    if (why != FLY_REFUSE_NONE)
        return why;
    (void)fly_value_str(keys->slot[FLY_KEY_STREAM], &text, &len);
    if (len > FLY_NAME_MAX || memchr(text, 0, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "stream '%s...' of %zu bytes, allowed are 1 .. %d",
                          fly_quote_text(text, len).text, len, FLY_NAME_MAX);
    if (msg->seq == 0)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "seq: numbers count from 1 and have 64 bits");
    return fly_int_within(keys->slot[FLY_KEY_T_NS], "t_ns", INT64_MIN, INT64_MAX, &msg->t_ns);
}

static int belongs(const struct fly_ingest *msg, const struct fly_session_view *open)
{
    if (!open->stopped)
        return 1;
    return open->last && msg->stream_idx >= 0 && msg->seq <= open->last[msg->stream_idx];
}

/* A type comes on its own kind of stream, or its numbers would not be its own. */
static enum fly_refusal check_stream(const struct fly_ingest *msg, struct fly_value stream,
                                     const struct fly_session_view *open)
{
    const char *type = type_names[msg->type];
    int32_t idx = msg->stream_idx;

    switch (msg->type) {
    case FLY_INGEST_LINES:
        if (idx < 1 || idx > open->start->n_detectors)
            return FLY_REFUSE(FLY_REFUSE_UNDECLARED,
                              "lines: '%s' is no image detector of the start",
                              fly_quote_value(stream).text);
        return FLY_REFUSE_NONE;
    case FLY_INGEST_EDS:
        if (idx <= open->start->n_detectors)
            return FLY_REFUSE(FLY_REFUSE_UNDECLARED, "eds: '%s' is no eds segment of the start",
                              fly_quote_value(stream).text);
        return FLY_REFUSE_NONE;
    case FLY_INGEST_SKIP:
        if (idx < 0)
            return FLY_REFUSE(FLY_REFUSE_UNDECLARED, "skip: '%s' is no stream of the session",
                              fly_quote_value(stream).text);
        return FLY_REFUSE_NONE;
    default:
        if (idx != 0)
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: stream '%s', allowed is control", type,
                              fly_quote_value(stream).text);
        return FLY_REFUSE_NONE;
    }
}

static enum fly_refusal decode_by_type(struct fly_ingest *msg, struct fly_start *start,
                                       const struct fly_keys *keys,
                                       const struct fly_session_view *open, int32_t n_payload,
                                       int nonfinite)
{
    enum fly_refusal why;

    switch (msg->type) {
    case FLY_INGEST_LINES:
        return fly_decode_lines(msg, keys, open->start, n_payload, nonfinite);
    case FLY_INGEST_EDS:
        return fly_decode_eds(msg, keys, open->start, n_payload, nonfinite);
    case FLY_INGEST_START:
        why = fly_decode_start(start, keys, nonfinite);
        break;
    case FLY_INGEST_HEARTBEAT:
        why = fly_decode_heartbeat(msg, keys, open->start, nonfinite);
        break;
    case FLY_INGEST_STOP:
        why = fly_decode_stop(msg, keys, open->start, nonfinite);
        break;
    default:
        why = fly_refuse_nonfinite(nonfinite);
        break;
    }
    if (why == FLY_REFUSE_NONE && n_payload != 0)
        why = FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE, "%s: %d payloads, it has none",
                         type_names[msg->type], n_payload);
    return why;
}

enum fly_refusal fly_ingest_decode(struct fly_ingest *msg, struct fly_start *start,
                                   const struct fly_part *parts, int32_t n_parts,
                                   const struct fly_session_view *open)
{
    struct fly_start declared;
    struct fly_keys keys;
    enum fly_refusal why;
    int nonfinite;

    memset(msg, 0, sizeof *msg);
    msg->stream_idx = -1;
    why = check_sizes(parts, n_parts);
    if (n_parts < 1)
        return why;
    if (why == FLY_REFUSE_NONE)
        why = fly_wire_scan(parts[0].bytes, parts[0].len);
    nonfinite = why == FLY_REFUSE_BAD_VALUE;
    if (why != FLY_REFUSE_NONE && !nonfinite) {
        salvage_identity(msg, &parts[0], open);
        return why;
    }

    fly_keys_fill(&keys, fly_value_root(parts[0].bytes, parts[0].len));
    read_identity(msg, &keys, open);
    why = read_type(msg, &keys);
    if (why == FLY_REFUSE_NONE && msg->type == FLY_INGEST_START)
        why = check_version(&keys);
    if (why == FLY_REFUSE_NONE)
        why = check_session(msg, &keys, open);
    if (why == FLY_REFUSE_NONE)
        why = check_common(msg, &keys);
    if (why == FLY_REFUSE_NONE && msg->type != FLY_INGEST_START && !belongs(msg, open))
        why = FLY_REFUSE(FLY_REFUSE_AFTER_STOP, "%s seq %llu comes after the stop of session %s",
                         type_names[msg->type], (unsigned long long)msg->seq, msg->session);
    if (why == FLY_REFUSE_NONE)
        why = check_stream(msg, keys.slot[FLY_KEY_STREAM], open);
    if (why != FLY_REFUSE_NONE)
        return why;

    for (int32_t i = 1; i < n_parts && i <= 2; i++)
        msg->payload[i - 1] = parts[i];
    msg->n_payload = n_parts - 1;
    why = decode_by_type(msg, &declared, &keys, open, n_parts - 1, nonfinite);
    if (why == FLY_REFUSE_NONE && msg->type == FLY_INGEST_START)
        *start = declared;
    return why;
}
