/* stream/wire_keys.h: the keys that ingest headers may have, and the checks that every type makes first.
 *
 * A header is walked once: each known key puts its value into its slot. Rules then say which keys a
 * type needs and what each must be, so that a missing key is told before a wrong type, and a wrong
 * type before a wrong value, whichever stands first in the header.
 *
 * For stream/wire*.c alone. Headers have passed fly_wire_scan.
 */
#ifndef FLY_STREAM_WIRE_KEYS_H
#define FLY_STREAM_WIRE_KEYS_H

#include "stream/wire.h"

enum fly_key {
    FLY_KEY_TYPE, FLY_KEY_SESSION, FLY_KEY_STREAM, FLY_KEY_SEQ, FLY_KEY_T_NS,
    /* lines, eds */
    FLY_KEY_FRAME, FLY_KEY_Y0_PX, FLY_KEY_X0_PX, FLY_KEY_DTYPE, FLY_KEY_SHAPE, FLY_KEY_DWELL_US,
    FLY_KEY_CMD_ID, FLY_KEY_LAYOUT, FLY_KEY_LIVE_TIME_US, FLY_KEY_REAL_TIME_US,
    /* heartbeat, stop */
    FLY_KEY_LAST_SEQ, FLY_KEY_BACKLOG, FLY_KEY_DROPPED, FLY_KEY_EXIT_STATUS, FLY_KEY_REASON,
    FLY_KEY_COUNT,
    /* start */
    FLY_KEY_SCHEMA, FLY_KEY_SCAN_SHAPE_PX, FLY_KEY_DETECTORS, FLY_KEY_FRAMES_PLANNED,
    FLY_KEY_SCAN_PATH, FLY_KEY_PIXEL_NM, FLY_KEY_ROTATION_RAD, FLY_KEY_PIXEL_TIME_US,
    FLY_KEY_FLYBACK_TIME_US, FLY_KEY_BEAM_ENERGY_KEV, FLY_KEY_BEAM_CURRENT_NA,
    FLY_KEY_CONVERGENCE_MRAD, FLY_KEY_COLLECTION_MRAD, FLY_KEY_MAGNIFICATION, FLY_KEY_EDS,
    FLY_KEY_ELEMENTS, FLY_KEY_K_FACTORS, FLY_KEY_K_BASIS, FLY_KEY_SAMPLE, FLY_KEY_OPERATOR,
    FLY_KEY_USER_DATA,
    FLY_KEYS
};
const char *fly_key_name(enum fly_key key);

/* The key called text, or -1. */
int fly_key_find(const char *text, size_t len);

/* Where the header's values are; at is NULL where a key is absent. */
struct fly_keys {
    struct fly_value slot[FLY_KEYS];
};
void fly_keys_fill(struct fly_keys *keys, struct fly_value header);

/* What a value must be. A float where an integer is meant is wrong, an integer where a float is meant
 * is right; nil is right where the key is optional. Lists and maps are looked at one level deep. */
enum fly_want {
    FLY_WANT_INT, FLY_WANT_NUM, FLY_WANT_STR, FLY_WANT_INT_OR_STR, FLY_WANT_MAP, FLY_WANT_LIST,
    FLY_WANT_INTS, FLY_WANT_NUMS, FLY_WANT_STRS, FLY_WANT_MAPS, /* lists of these */
    FLY_WANT_INT_MAP, FLY_WANT_NUM_MAP                          /* maps to these */
};

struct fly_key_rule {
    enum fly_key key;
    enum fly_want want;
    int required;
};

/* FLY_REFUSE_BAD_KEY when a required key is absent, then FLY_REFUSE_BAD_TYPE; type is for the words. */
enum fly_refusal fly_keys_check(const struct fly_keys *keys, const struct fly_key_rule *rules,
                                size_t n_rules, const char *type);

/* One value called name: FLY_REFUSE_BAD_TYPE unless it is what is wanted. */
enum fly_refusal fly_want_check(struct fly_value value, enum fly_want want, const char *name);

/* The value of a key that is there and not nil; 0 otherwise. */
static inline int fly_keys_get(const struct fly_keys *keys, enum fly_key key, struct fly_value *value)
{
    *value = keys->slot[key];
    return value->at && fly_value_kind(*value) != FLY_KIND_NIL;
}

/* Numbers whose type was checked. FLY_REFUSE_BAD_VALUE outside lo .. hi; name for the words. */
enum fly_refusal fly_int_within(struct fly_value value, const char *name, int64_t lo, int64_t hi,
                                int64_t *out);
enum fly_refusal fly_f64_within(struct fly_value value, const char *name, double lo, double hi,
                                double *out);

/* 1 when text is 1 .. 64 of [A-Za-z0-9._-]: session ids and names of detectors. */
int fly_name_valid(const char *text, size_t len);

/* A peer's text for our words: printable ASCII, at most 40 bytes; others become '?'. Always fits and
 * always UTF-8, for the words are published. */
struct fly_quote {
    char text[41];
};
struct fly_quote fly_quote_text(const char *text, size_t len);
struct fly_quote fly_quote_value(struct fly_value value); /* "" when it is no string */

/* Copy of a peer's text, cut where it does not fit, never within a character. cap > 0 */
void fly_text_copy(char *out, size_t cap, const char *text, size_t len);

/* Say why and return it: the words of a refusal are kept by fly_fail. */
#define FLY_REFUSE(why, ...) (fly_fail(FLY_EWIRE, __VA_ARGS__), (why))

#endif
