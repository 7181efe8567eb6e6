/* tests/unit/stream/wire_make.h: messages of the wire for the tests of this folder.
 *
 * A made header is a list of keys with packed values: tests take a good message, set, drop or add keys,
 * and pack it. Values are given as msgpack bytes made by the small helpers below.
 */
#ifndef TESTS_WIRE_MAKE_H
#define TESTS_WIRE_MAKE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stream/wire.h"

enum { MAKE_KEYS = 64, MAKE_VALUE = 4096 };

struct made_value {
    unsigned char bytes[MAKE_VALUE];
    size_t len;
};

struct made {
    const char *key[MAKE_KEYS];
    struct made_value value[MAKE_KEYS];
    int n;
    unsigned char header[FLY_HEADER_MAX + 4096];
    size_t header_len;
};

static inline struct made_value v_of(const struct fly_pack *pack)
{
    struct made_value v;

    FLY_ASSERT(!pack->full);
    memcpy(v.bytes, pack->bytes, pack->len);
    v.len = pack->len;
    return v;
}

#define V_PACK(...)                                                                                \
    unsigned char room[MAKE_VALUE];                                                                \
    struct fly_pack pack;                                                                          \
    fly_pack_init(&pack, room, sizeof room);                                                       \
    __VA_ARGS__;                                                                                   \
    return v_of(&pack)

static inline struct made_value v_int(int64_t i)
{
    V_PACK(fly_pack_int(&pack, i));
}
static inline struct made_value v_uint(uint64_t i)
{
    V_PACK(fly_pack_uint(&pack, i));
}
static inline struct made_value v_f64(double d)
{
    V_PACK(fly_pack_f64(&pack, d));
}
static inline struct made_value v_str(const char *text)
{
    V_PACK(fly_pack_str(&pack, text));
}
static inline struct made_value v_nil(void)
{
    V_PACK(fly_pack_nil(&pack));
}
static inline struct made_value v_bool(int b)
{
    V_PACK(fly_pack_bool(&pack, b));
}
static inline struct made_value v_ints(int n, const int64_t *items)
{
    V_PACK(fly_pack_array(&pack, (uint32_t)n); for (int i = 0; i < n; i++) fly_pack_int(&pack, items[i]));
}
#define V_INTS(...)                                                                                \
    v_ints((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
static inline struct made_value v_f64s(int n, const double *items)
{
    V_PACK(fly_pack_array(&pack, (uint32_t)n); for (int i = 0; i < n; i++) fly_pack_f64(&pack, items[i]));
}
#define V_F64S(...)                                                                                \
    v_f64s((int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})
static inline struct made_value v_raw(const char *bytes, size_t len)
{
    V_PACK(fly_pack_raw(&pack, bytes, len));
}
#define V_RAW(text) v_raw(text, sizeof(text) - 1)

/* {key: value, ...} of packed values, or [value, ...]. */
static inline struct made_value v_map(int n, const char *const *keys, const struct made_value *values)
{
    V_PACK(fly_pack_map(&pack, (uint32_t)n); for (int i = 0; i < n; i++) {
        fly_pack_str(&pack, keys[i]);
        fly_pack_raw(&pack, values[i].bytes, values[i].len);
    });
}
static inline struct made_value v_list(int n, const struct made_value *values)
{
    V_PACK(fly_pack_array(&pack, (uint32_t)n);
           for (int i = 0; i < n; i++) fly_pack_raw(&pack, values[i].bytes, values[i].len));
}
static inline struct made_value v_counts(int n, const char *const *keys, const int64_t *counts)
{
    V_PACK(fly_pack_map(&pack, (uint32_t)n); for (int i = 0; i < n; i++) {
        fly_pack_str(&pack, keys[i]);
        fly_pack_int(&pack, counts[i]);
    });
}

static inline void made_set(struct made *m, const char *key, struct made_value value)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->key[i], key) == 0) {
            m->value[i] = value;
            return;
        }
    FLY_ASSERT(m->n < MAKE_KEYS);
    m->key[m->n] = key;
    m->value[m->n++] = value;
}

static inline void made_drop(struct made *m, const char *key)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->key[i], key) == 0) {
            m->n--;
            m->key[i] = m->key[m->n];
            m->value[i] = m->value[m->n];
            return;
        }
    FLY_ASSERT(!"no such key");
}

static inline struct fly_part made_pack(struct made *m)
{
    struct fly_pack pack;

    fly_pack_init(&pack, m->header, sizeof m->header);
    fly_pack_map(&pack, (uint32_t)m->n);
    for (int i = 0; i < m->n; i++) {
        fly_pack_str(&pack, m->key[i]);
        fly_pack_raw(&pack, m->value[i].bytes, m->value[i].len);
    }
    FLY_ASSERT(!pack.full);
    m->header_len = pack.len;
    return (struct fly_part){m->header, pack.len};
}

static inline void made_common(struct made *m, const char *type, const char *stream, uint64_t seq)
{
    m->n = 0;
    made_set(m, "type", v_str(type));
    made_set(m, "session", v_str("s-1"));
    made_set(m, "stream", v_str(stream));
    made_set(m, "seq", v_uint(seq));
    made_set(m, "t_ns", v_int(1700000000000000000));
}

static inline struct made_value made_detector(const char *name, const char *dtype)
{
    return v_map(2, (const char *const[]){"name", "dtype"},
                 (const struct made_value[]){v_str(name), v_str(dtype)});
}

static inline struct made_value made_segment(const char *name, int64_t channels)
{
    return v_map(4, (const char *const[]){"name", "n_channels", "ev_per_channel", "ev_offset"},
                 (const struct made_value[]){v_str(name), v_int(channels), v_int(10), v_f64(-200.5)});
}

/* 32 x 64 px; haadf <u2, bf <f4; eds segments sdd1, sdd2 of 16 channels; pixel time 2 us; 2 frames. */
static inline void made_start(struct made *m)
{
    made_common(m, "start", "control", 1);
    made_set(m, "schema", V_INTS(1, 0));
    made_set(m, "scan_shape_px", V_INTS(32, 64));
    made_set(m, "detectors", v_list(2, (const struct made_value[]){made_detector("haadf", "<u2"),
                                                                   made_detector("bf", "<f4")}));
    made_set(m, "eds", v_list(2, (const struct made_value[]){made_segment("sdd1", 16),
                                                             made_segment("sdd2", 16)}));
    made_set(m, "frames_planned", v_int(2));
    made_set(m, "pixel_time_us", v_f64(2.0));
}

static inline void made_lines(struct made *m, uint64_t seq)
{
    made_common(m, "lines", "haadf", seq);
    made_set(m, "frame", v_int(0));
    made_set(m, "y0_px", v_int(5));
    made_set(m, "x0_px", v_int(0));
    made_set(m, "dtype", v_str("<u2"));
    made_set(m, "shape", V_INTS(1, 64));
}

static inline void made_eds(struct made *m, const char *layout, uint64_t seq)
{
    made_common(m, "eds", "sdd2", seq);
    made_set(m, "frame", v_int(1));
    made_set(m, "y0_px", v_int(30));
    made_set(m, "x0_px", v_int(60));
    made_set(m, "shape", V_INTS(2, 4));
    made_set(m, "layout", v_str(layout));
    if (strcmp(layout, "dense") == 0)
        made_set(m, "dtype", v_str("<u1"));
}

static inline void made_heartbeat(struct made *m, uint64_t seq)
{
    made_common(m, "heartbeat", "control", seq);
    made_set(m, "last_seq", v_counts(2, (const char *const[]){"haadf", "sdd1"}, (const int64_t[]){9, 4}));
    made_set(m, "backlog", v_int(3));
    made_set(m, "dropped", v_counts(1, (const char *const[]){"haadf"}, (const int64_t[]){1}));
}

static inline void made_stop(struct made *m, uint64_t seq)
{
    made_common(m, "stop", "control", seq);
    made_set(m, "exit_status", v_str("success"));
    made_set(m, "reason", v_str(""));
    made_set(m, "count", v_counts(1, (const char *const[]){"haadf"}, (const int64_t[]){32}));
}

/* ---- decoding what was made ---------------------------------------------------------------------- */

/* The session of made_start, open. */
struct made_session {
    struct fly_start start;
    struct fly_session_view view;
};

static inline void made_open(struct made_session *session)
{
    const struct fly_session_view none = {NULL, NULL, 0, NULL};
    struct made *m = malloc(sizeof *m);
    struct fly_ingest msg;
    struct fly_part part;

    made_start(m);
    part = made_pack(m);
    FLY_ASSERT(fly_ingest_decode(&msg, &session->start, &part, 1, &none) == FLY_REFUSE_NONE);
    session->view = (struct fly_session_view){"s-1", &session->start, 0, NULL};
    free(m);
}

/* Decode with copies of exact size behind the parts, so that ASan sees any read beyond them. msg's
 * payloads point to freed memory afterwards. start may be NULL. */
static inline enum fly_refusal made_decode(struct made *m, struct fly_ingest *msg,
                                           struct fly_start *start, const struct fly_part *payloads,
                                           int32_t n_payloads, const struct fly_session_view *view)
{
    struct fly_part parts[1 + FLY_PARTS_MAX] = {made_pack(m)};
    struct fly_start *own = malloc(sizeof *own);
    enum fly_refusal why;
    int32_t n = 1 + n_payloads;

    for (int32_t i = 1; i < n; i++)
        parts[i] = payloads[i - 1];
    for (int32_t i = 0; i < n; i++) {
        unsigned char *copy = malloc(parts[i].len + !parts[i].len);

        if (parts[i].len > 0)
            memcpy(copy, parts[i].bytes, parts[i].len);
        parts[i].bytes = copy;
    }
    why = fly_ingest_decode(msg, start ? start : own, parts, n, view);
    for (int32_t i = 0; i < n; i++)
        free((void *)parts[i].bytes);
    free(own);
    return why;
}

/* Fails the test with the words of the refusal when it is not the one meant. */
#define ASSERT_REFUSED(meant, got)                                                                 \
    do {                                                                                           \
        enum fly_refusal meant_ = (meant), got_ = (got);                                           \
        if (meant_ != got_)                                                                        \
            fail_msg("%s where %s was meant: %s", fly_refusal_name(got_), fly_refusal_name(meant_), \
                     fly_fail_text());                                                             \
    } while (0)

#endif
