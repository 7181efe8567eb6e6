#include "stream/request.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stream/wire_keys.h"

static const unsigned char packed_nil[] = {0xc0};
static const unsigned char packed_empty_map[] = {0x80};

/* Any value may be an id. With a NaN about, only one that cannot hold it is echoed: the reply would
 * break the rules itself. */
static enum fly_refusal read_id(struct fly_request *request, struct fly_value header, int nonfinite)
{
    struct fly_value value;
    const void *bytes;
    size_t len;
    enum fly_kind kind;

    if (!fly_value_get(header, "id", &value))
        return FLY_REFUSE_NONE;
    len = fly_value_bytes(value, &bytes);
    if (len > FLY_REQUEST_ID_MAX)
        return FLY_REFUSE(FLY_REFUSE_OVERSIZE, "id of %zu bytes, at most %d are allowed", len,
                          FLY_REQUEST_ID_MAX);
    kind = fly_value_kind(value);
    if (!nonfinite || kind == FLY_KIND_INT || kind == FLY_KIND_STR || kind == FLY_KIND_BOOL)
        request->id = (struct fly_part){bytes, len};
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_sizes(const struct fly_part *parts, int32_t n_parts)
{
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

static enum fly_refusal read_type(struct fly_value header)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (!fly_value_get(header, "type", &value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "no type, which is 'request'");
    if (!fly_value_str(value, &text, &len))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "type: no string, allowed is 'request'");
    if (len != 7 || memcmp(text, "request", 7) != 0)
        return FLY_REFUSE(FLY_REFUSE_UNKNOWN_TYPE, "type '%s', allowed is 'request'",
                          fly_quote_text(text, len).text);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_op(struct fly_request *request, struct fly_value header)
{
    struct fly_value value, args;
    const char *text;
    size_t len;

    if (!fly_value_get(header, "op", &value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "no op, which is a string such as 'status'");
    if (!fly_value_str(value, &text, &len))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "op: no string");
    if (fly_value_get(header, "args", &args) && fly_value_kind(args) != FLY_KIND_NIL) {
        if (fly_value_kind(args) != FLY_KIND_MAP)
            return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args: no map");
        request->args = args;
    }
    if (len < 1 || len > FLY_REQUEST_OP_MAX || memchr(text, 0, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "op '%s' of %zu bytes, allowed are 1 .. %d",
                          fly_quote_text(text, len).text, len, FLY_REQUEST_OP_MAX);
    fly_text_copy(request->op, sizeof request->op, text, len);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_request_decode(struct fly_request *request, const struct fly_part *parts,
                                    int32_t n_parts)
{
    struct fly_value header;
    enum fly_refusal why, scanned;

    memset(request, 0, sizeof *request);
    request->args = fly_value_root(packed_empty_map, sizeof packed_empty_map);
    request->id = (struct fly_part){packed_nil, sizeof packed_nil};
    if (n_parts < 1)
        return FLY_REFUSE(FLY_REFUSE_MALFORMED, "a request without a header");
    scanned = fly_wire_scan(parts[0].bytes, parts[0].len);
    if (scanned == FLY_REFUSE_OVERSIZE || scanned == FLY_REFUSE_MALFORMED)
        return scanned;

    header = fly_value_root(parts[0].bytes, parts[0].len);
    why = read_id(request, header, scanned != FLY_REFUSE_NONE);
    if (why == FLY_REFUSE_NONE)
        why = check_sizes(parts, n_parts);
    if (why == FLY_REFUSE_NONE)
        why = read_type(header);
    if (why == FLY_REFUSE_NONE && scanned != FLY_REFUSE_NONE)
        why = FLY_REFUSE(scanned, "the header has a number that is not finite");
    if (why != FLY_REFUSE_NONE)
        return why;
    request->payloads = parts + 1;
    request->n_payloads = n_parts - 1;
    return read_op(request, header);
}

void fly_request_begin(struct fly_pack *pack, uint64_t id, const char *op)
{
    fly_pack_map(pack, 4);
    fly_pack_key_str(pack, "type", "request");
    fly_pack_key_uint(pack, "id", id);
    fly_pack_key_str(pack, "op", op);
    fly_pack_str(pack, "args");
}

static void reply_head(struct fly_pack *pack, const struct fly_request *request, int ok)
{
    fly_pack_map(pack, 4);
    fly_pack_key_str(pack, "type", "reply");
    fly_pack_str(pack, "id");
    fly_pack_raw(pack, request->id.bytes, request->id.len);
    fly_pack_key_bool(pack, "ok", ok);
}

void fly_reply_begin(struct fly_pack *pack, const struct fly_request *request)
{
    reply_head(pack, request, 1);
    fly_pack_str(pack, "result");
}

void fly_reply_error(struct fly_pack *pack, const struct fly_request *request, const char *code,
                     const char *text)
{
    reply_head(pack, request, 0);
    fly_pack_str(pack, "error");
    fly_pack_map(pack, 2);
    fly_pack_key_str(pack, "code", code);
    fly_pack_key_str(pack, "message", text);
}

/* ---- arguments
 * ----------------------------------------------------------------------------------- */

enum fly_refusal fly_arg_str(struct fly_value args, const char *key, size_t max, char *text)
{
    struct fly_value value;
    const char *found;
    size_t len;

    if (!fly_value_get(args, key, &value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "args has no %s: a string of 1 .. %zu bytes", key,
                          max);
    if (!fly_value_str(value, &found, &len))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s is a string of 1 .. %zu bytes", key, max);
    if (len < 1 || len > max || memchr(found, 0, len))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE,
                          "args.%s has %zu bytes, allowed are 1 .. %zu, no NUL", key, len, max);
    fly_text_copy(text, max + 1, found, len);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_arg_int(struct fly_value args, const char *key, int64_t lo, int64_t hi,
                             int64_t *out)
{
    struct fly_value value;
    char name[64];

    if (!fly_value_get(args, key, &value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "args has no %s: an integer of %lld .. %lld", key,
                          (long long)lo, (long long)hi);
    if (fly_value_kind(value) != FLY_KIND_INT)
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s is an integer of %lld .. %lld", key,
                          (long long)lo, (long long)hi);
    snprintf(name, sizeof name, "args.%s", key);
    return fly_int_within(value, name, lo, hi, out);
}

enum fly_refusal fly_arg_bool(struct fly_value args, const char *key, int fallback, int *out)
{
    struct fly_value value;

    *out = fallback;
    if (!fly_value_get(args, key, &value) || fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (!fly_value_bool(value, out))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s is true or false", key);
    return FLY_REFUSE_NONE;
}

/* "a, b, c" */
static void list_words(char *out, size_t cap, const char *const *words, int32_t n_words)
{
    size_t len = 0;

    out[0] = 0;
    for (int32_t i = 0; i < n_words && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i > 0 ? ", " : "", words[i]);
}

enum fly_refusal fly_arg_word(struct fly_value args, const char *key, const char *const *words,
                              int32_t n_words, int32_t *out)
{
    struct fly_value value;
    const char *text;
    size_t len;
    char allowed[256];

    list_words(allowed, sizeof allowed, words, n_words);
    if (!fly_value_get(args, key, &value))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "args has no %s: one of %s", key, allowed);
    if (!fly_value_str(value, &text, &len))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s is one of %s", key, allowed);
    for (int32_t i = 0; i < n_words; i++)
        if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0) {
            *out = i;
            return FLY_REFUSE_NONE;
        }
    return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.%s '%s', allowed are %s", key,
                      fly_quote_text(text, len).text, allowed);
}

static enum fly_refusal read_chip(struct fly_value pair, const char *key, int32_t at, int32_t rows,
                                  int32_t cols, int32_t *chip)
{
    struct fly_value_iter it = {0};
    struct fly_value value;
    int64_t place[2] = {0, 0};

    if (fly_value_kind(pair) != FLY_KIND_ARRAY)
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s[%d] is a pair [r, c]", key, at);
    if (fly_value_count(pair) != 2)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.%s[%d] has %u numbers, it is [r, c]", key, at,
                          (unsigned)fly_value_count(pair));
    for (int i = 0; fly_value_next(pair, &it, NULL, &value); i++) {
        if (fly_value_kind(value) != FLY_KIND_INT)
            return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s[%d]: r and c are integers", key, at);
        if (!fly_value_int(value, &place[i]))
            place[i] = -1;
    }
    if (place[0] < 0 || place[0] >= rows || place[1] < 0 || place[1] >= cols)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.%s[%d] [%lld, %lld], the grid is [%d, %d]",
                          key, at, (long long)place[0], (long long)place[1], rows, cols);
    *chip = (int32_t)place[0] * cols + (int32_t)place[1];
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_arg_chips(struct fly_value args, const char *key, int32_t rows, int32_t cols,
                               int32_t *chips, int32_t cap, int32_t *count)
{
    struct fly_value_iter it = {0};
    struct fly_value list, pair;

    *count = 0;
    if (!fly_value_get(args, key, &list))
        return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "args has no %s: a list of chips [[r, c] ...]", key);
    if (fly_value_kind(list) != FLY_KIND_ARRAY)
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.%s is a list of chips [[r, c] ...]", key);
    if (fly_value_count(list) < 1 || fly_value_count(list) > (uint32_t)cap)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.%s has %u chips, allowed are 1 .. %d", key,
                          (unsigned)fly_value_count(list), cap);
    for (int32_t n = 0; fly_value_next(list, &it, NULL, &pair); n++) {
        enum fly_refusal why = read_chip(pair, key, n, rows, cols, &chips[n]);

        if (why != FLY_REFUSE_NONE)
            return why;
    }
    *count = (int32_t)fly_value_count(list);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_limit(struct fly_value limits, const char *key, double *out)
{
    struct fly_value value;

    *out = NAN;
    if (!fly_value_get(limits, key, &value) || fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (!fly_value_f64(value, out))
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.limits.%s is a number above 0", key);
    if (!(*out > 0.0 && *out <= 1e15))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.limits.%s %g, allowed is above 0, at most 1e15", key, *out);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_arg_limits(struct fly_value args, double *dose_e_per_A2, double *box_px, double *rate_hz)
{
    struct fly_value limits;
    enum fly_refusal why;

    *dose_e_per_A2 = *box_px = *rate_hz = NAN;
    if (!fly_value_get(args, "limits", &limits) || fly_value_kind(limits) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (fly_value_kind(limits) != FLY_KIND_MAP)
        return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "args.limits is a map {dose_e_per_A2, box_px, rate_hz}");
    why = read_limit(limits, "dose_e_per_A2", dose_e_per_A2);
    if (why == FLY_REFUSE_NONE)
        why = read_limit(limits, "box_px", box_px);
    return why == FLY_REFUSE_NONE ? read_limit(limits, "rate_hz", rate_hz) : why;
}
