#include "stream/wire_keys.h"

#include <string.h>

#include "stream/wire_item.h"

static const char *const names[FLY_KEYS] = {
    [FLY_KEY_TYPE] = "type",
    [FLY_KEY_SESSION] = "session",
    [FLY_KEY_STREAM] = "stream",
    [FLY_KEY_SEQ] = "seq",
    [FLY_KEY_T_NS] = "t_ns",
    [FLY_KEY_FRAME] = "frame",
    [FLY_KEY_Y0_PX] = "y0_px",
    [FLY_KEY_X0_PX] = "x0_px",
    [FLY_KEY_DTYPE] = "dtype",
    [FLY_KEY_SHAPE] = "shape",
    [FLY_KEY_DWELL_US] = "dwell_us",
    [FLY_KEY_CMD_ID] = "cmd_id",
    [FLY_KEY_LAYOUT] = "layout",
    [FLY_KEY_LIVE_TIME_US] = "live_time_us",
    [FLY_KEY_REAL_TIME_US] = "real_time_us",
    [FLY_KEY_LAST_SEQ] = "last_seq",
    [FLY_KEY_BACKLOG] = "backlog",
    [FLY_KEY_DROPPED] = "dropped",
    [FLY_KEY_EXIT_STATUS] = "exit_status",
    [FLY_KEY_REASON] = "reason",
    [FLY_KEY_COUNT] = "count",
    [FLY_KEY_SCHEMA] = "schema",
    [FLY_KEY_SCAN_SHAPE_PX] = "scan_shape_px",
    [FLY_KEY_DETECTORS] = "detectors",
    [FLY_KEY_FRAMES_PLANNED] = "frames_planned",
    [FLY_KEY_SCAN_PATH] = "scan_path",
    [FLY_KEY_PIXEL_NM] = "pixel_nm",
    [FLY_KEY_ROTATION_RAD] = "rotation_rad",
    [FLY_KEY_PIXEL_TIME_US] = "pixel_time_us",
    [FLY_KEY_FLYBACK_TIME_US] = "flyback_time_us",
    [FLY_KEY_BEAM_ENERGY_KEV] = "beam_energy_kev",
    [FLY_KEY_BEAM_CURRENT_NA] = "beam_current_na",
    [FLY_KEY_CONVERGENCE_MRAD] = "convergence_mrad",
    [FLY_KEY_COLLECTION_MRAD] = "collection_mrad",
    [FLY_KEY_MAGNIFICATION] = "magnification",
    [FLY_KEY_EDS] = "eds",
    [FLY_KEY_ELEMENTS] = "elements",
    [FLY_KEY_K_FACTORS] = "k_factors",
    [FLY_KEY_K_BASIS] = "k_basis",
    [FLY_KEY_SAMPLE] = "sample",
    [FLY_KEY_OPERATOR] = "operator",
    [FLY_KEY_USER_DATA] = "user_data",
};

static const char *const wants[] = {
    [FLY_WANT_INT] = "an integer",
    [FLY_WANT_NUM] = "a number",
    [FLY_WANT_STR] = "a string",
    [FLY_WANT_INT_OR_STR] = "an integer or a string",
    [FLY_WANT_MAP] = "a map",
    [FLY_WANT_LIST] = "a list",
    [FLY_WANT_INTS] = "a list of integers",
    [FLY_WANT_NUMS] = "a list of numbers",
    [FLY_WANT_STRS] = "a list of strings",
    [FLY_WANT_MAPS] = "a list of maps",
    [FLY_WANT_INT_MAP] = "a map to integers",
    [FLY_WANT_NUM_MAP] = "a map to numbers",
};

static const char *const kinds[] = {
    [FLY_KIND_NIL] = "nil",       [FLY_KIND_BOOL] = "a bool",  [FLY_KIND_INT] = "an integer",
    [FLY_KIND_FLOAT] = "a float", [FLY_KIND_STR] = "a string", [FLY_KIND_ARRAY] = "a list",
    [FLY_KIND_MAP] = "a map",
};

const char *fly_key_name(enum fly_key key)
{
    return names[key];
}

static int pick(const char *text, size_t len, const enum fly_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(names[keys[i]], text, len) == 0)
            return (int)keys[i];
    return -1;
}

/* The known keys of each length: at most seven strings are compared, mostly by their first bytes.
 */
#define PICK(...)                                                                                  \
    do {                                                                                           \
        static const enum fly_key of_len[] = {__VA_ARGS__};                                        \
        return pick(text, len, of_len, sizeof of_len / sizeof of_len[0]);                          \
    } while (0)

int fly_key_find(const char *text, size_t len)
{
    switch (len) {
    case 3:
        PICK(FLY_KEY_SEQ, FLY_KEY_EDS);
    case 4:
        PICK(FLY_KEY_TYPE, FLY_KEY_T_NS);
    case 5:
        PICK(FLY_KEY_FRAME, FLY_KEY_Y0_PX, FLY_KEY_X0_PX, FLY_KEY_DTYPE, FLY_KEY_SHAPE,
             FLY_KEY_COUNT);
    case 6:
        PICK(FLY_KEY_STREAM, FLY_KEY_CMD_ID, FLY_KEY_LAYOUT, FLY_KEY_REASON, FLY_KEY_SCHEMA,
             FLY_KEY_SAMPLE);
    case 7:
        PICK(FLY_KEY_SESSION, FLY_KEY_BACKLOG, FLY_KEY_DROPPED, FLY_KEY_K_BASIS);
    case 8:
        PICK(FLY_KEY_DWELL_US, FLY_KEY_LAST_SEQ, FLY_KEY_PIXEL_NM, FLY_KEY_ELEMENTS,
             FLY_KEY_OPERATOR);
    case 9:
        PICK(FLY_KEY_DETECTORS, FLY_KEY_SCAN_PATH, FLY_KEY_K_FACTORS, FLY_KEY_USER_DATA);
    case 11:
        PICK(FLY_KEY_EXIT_STATUS);
    case 12:
        PICK(FLY_KEY_LIVE_TIME_US, FLY_KEY_REAL_TIME_US, FLY_KEY_ROTATION_RAD);
    case 13:
        PICK(FLY_KEY_SCAN_SHAPE_PX, FLY_KEY_PIXEL_TIME_US, FLY_KEY_MAGNIFICATION);
    case 14:
        PICK(FLY_KEY_FRAMES_PLANNED);
    case 15:
        PICK(FLY_KEY_FLYBACK_TIME_US, FLY_KEY_BEAM_ENERGY_KEV, FLY_KEY_BEAM_CURRENT_NA,
             FLY_KEY_COLLECTION_MRAD);
    case 16:
        PICK(FLY_KEY_CONVERGENCE_MRAD);
    default:
        return -1;
    }
}

/* fly_value_next would do; this walk costs half, and every message takes it. */
void fly_keys_fill(struct fly_keys *keys, struct fly_value header)
{
    const unsigned char *at = header.at;
    struct fly_item item;

    memset(keys, 0, sizeof *keys);
    FLY_ASSERT(fly_item_head(at, header.end, &item) && item.kind == FLY_ITEM_MAP);
    at += item.head;
    for (uint64_t left = item.members / 2; left > 0; left--) {
        const unsigned char *next;
        struct fly_item name;
        int key;

        FLY_ASSERT(fly_item_head(at, header.end, &name) && name.kind == FLY_ITEM_STR);
        key = fly_key_find((const char *)at + name.head, name.body);
        at += name.head + name.body;
        next = fly_item_skip(at, header.end);
        FLY_ASSERT(next);
        if (key >= 0)
            keys->slot[key] = (struct fly_value){at, next};
        at = next;
    }
}

static int all_are(struct fly_value container, enum fly_kind kind, enum fly_kind or_kind,
                   enum fly_kind *found)
{
    struct fly_value_iter it = {0};
    struct fly_value value;

    while (fly_value_next(container, &it, NULL, &value)) {
        *found = fly_value_kind(value);
        if (*found != kind && *found != or_kind)
            return 0;
    }
    return 1;
}

enum fly_refusal fly_want_check(struct fly_value value, enum fly_want want, const char *name)
{
    enum fly_kind kind = fly_value_kind(value);
    enum fly_kind inner = kind;
    int right = 0;

    FLY_ASSERT((size_t)want < sizeof wants / sizeof wants[0]);
    switch (want) {
    case FLY_WANT_INT:
        right = kind == FLY_KIND_INT;
        break;
    case FLY_WANT_NUM:
        right = kind == FLY_KIND_INT || kind == FLY_KIND_FLOAT;
        break;
    case FLY_WANT_STR:
        right = kind == FLY_KIND_STR;
        break;
    case FLY_WANT_INT_OR_STR:
        right = kind == FLY_KIND_INT || kind == FLY_KIND_STR;
        break;
    case FLY_WANT_MAP:
        right = kind == FLY_KIND_MAP;
        break;
    case FLY_WANT_LIST:
        right = kind == FLY_KIND_ARRAY;
        break;
    case FLY_WANT_INTS:
        right = kind == FLY_KIND_ARRAY && all_are(value, FLY_KIND_INT, FLY_KIND_INT, &inner);
        break;
    case FLY_WANT_NUMS:
        right = kind == FLY_KIND_ARRAY && all_are(value, FLY_KIND_INT, FLY_KIND_FLOAT, &inner);
        break;
    case FLY_WANT_STRS:
        right = kind == FLY_KIND_ARRAY && all_are(value, FLY_KIND_STR, FLY_KIND_STR, &inner);
        break;
    case FLY_WANT_MAPS:
        right = kind == FLY_KIND_ARRAY && all_are(value, FLY_KIND_MAP, FLY_KIND_MAP, &inner);
        break;
    case FLY_WANT_INT_MAP:
        right = kind == FLY_KIND_MAP && all_are(value, FLY_KIND_INT, FLY_KIND_INT, &inner);
        break;
    case FLY_WANT_NUM_MAP:
        right = kind == FLY_KIND_MAP && all_are(value, FLY_KIND_INT, FLY_KIND_FLOAT, &inner);
        break;
    }
    if (right)
        return FLY_REFUSE_NONE;
    return FLY_REFUSE(FLY_REFUSE_BAD_TYPE, "%s: %s%s where %s is meant", name, kinds[inner],
                      inner == kind ? "" : " inside", wants[want]);
}

enum fly_refusal fly_keys_check(const struct fly_keys *keys, const struct fly_key_rule *rules,
                                size_t n_rules, const char *type)
{
    for (size_t i = 0; i < n_rules; i++)
        if (rules[i].required && !keys->slot[rules[i].key].at)
            return FLY_REFUSE(FLY_REFUSE_BAD_KEY, "%s: no %s, which is %s", type,
                              names[rules[i].key], wants[rules[i].want]);
    for (size_t i = 0; i < n_rules; i++) {
        struct fly_value value = keys->slot[rules[i].key];
        enum fly_refusal why;

        if (!value.at || (!rules[i].required && fly_value_kind(value) == FLY_KIND_NIL))
            continue;
        why = fly_want_check(value, rules[i].want, names[rules[i].key]);
        if (why != FLY_REFUSE_NONE)
            return why;
    }
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_int_within(struct fly_value value, const char *name, int64_t lo, int64_t hi,
                                int64_t *out)
{
    if (!fly_value_int(value, out))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: beyond 64 bits, allowed are %lld .. %lld",
                          name, (long long)lo, (long long)hi);
    if (*out < lo || *out > hi)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: %lld, allowed are %lld .. %lld", name,
                          (long long)*out, (long long)lo, (long long)hi);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_f64_within(struct fly_value value, const char *name, double lo, double hi,
                                double *out)
{
    if (!fly_value_f64(value, out))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: not a finite number", name);
    if (!(*out >= lo && *out <= hi))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "%s: %.9g, allowed are %.9g .. %.9g", name, *out,
                          lo, hi);
    return FLY_REFUSE_NONE;
}

int fly_name_valid(const char *text, size_t len)
{
    if (len < 1 || len > FLY_NAME_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return 0;
    }
    return 1;
}

struct fly_quote fly_quote_text(const char *text, size_t len)
{
    struct fly_quote quote = {{0}};

    if (len > sizeof quote.text - 1)
        len = sizeof quote.text - 1;
    for (size_t i = 0; i < len; i++)
        quote.text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    return quote;
}

struct fly_quote fly_quote_value(struct fly_value value)
{
    const char *text = "";
    size_t len = 0;

    if (value.at)
        (void)fly_value_str(value, &text, &len);
    return fly_quote_text(text, len);
}

void fly_text_copy(char *out, size_t cap, const char *text, size_t len)
{
    FLY_ASSERT(cap > 0);
    if (len > cap - 1) {
        len = cap - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--; /* text[len] continues a character that began before */
    }
    memcpy(out, text, len);
    out[len] = 0;
}
