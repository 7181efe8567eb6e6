#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/rng.h"
#include "tests/unit/stream/wire_make.h"

static struct made_session session;
static struct made made;
static const unsigned char pixels[128];
static const struct fly_part line = {pixels, sizeof pixels};

static int open_session(void **state)
{
    made_open(&session);
    return 0;
}

static enum fly_refusal decode(struct fly_ingest *msg, int32_t n_payloads)
{
    return made_decode(&made, msg, NULL, &line, n_payloads, &session.view);
}

static void every_reason_has_its_word(void **state)
{
    for (int i = 1; i < FLY_REFUSALS; i++) {
        const char *name = fly_refusal_name((enum fly_refusal)i);

        assert_true(strlen(name) > 3);
        for (int k = 1; k < i; k++)
            assert_string_not_equal(name, fly_refusal_name((enum fly_refusal)k));
    }
    assert_string_equal(fly_refusal_name(FLY_REFUSE_PAYLOAD_SIZE), "payload_size");
    assert_string_equal(fly_refusal_name(FLY_REFUSE_SESSION_REUSED), "session_reused");
}

static void a_message_of_every_type_is_taken_with_its_identity(void **state)
{
    static const struct {
        const char *type, *stream;
        enum fly_ingest_type is;
        int32_t idx, payloads;
    } types[] = {
        {"start", "control", FLY_INGEST_START, 0, 0},
        {"lines", "haadf", FLY_INGEST_LINES, 1, 1},
        {"eds", "sdd2", FLY_INGEST_EDS, 4, 1},
        {"heartbeat", "control", FLY_INGEST_HEARTBEAT, 0, 0},
        {"stop", "control", FLY_INGEST_STOP, 0, 0},
        {"skip", "control", FLY_INGEST_SKIP, 0, 0},
        {"skip", "bf", FLY_INGEST_SKIP, 2, 0},
        {"skip", "sdd1", FLY_INGEST_SKIP, 3, 0},
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct fly_ingest msg;

        switch (types[i].is) {
        case FLY_INGEST_START:
            made_start(&made);
            break;
        case FLY_INGEST_LINES:
            made_lines(&made, 7);
            break;
        case FLY_INGEST_EDS:
            made_eds(&made, "dense", 7);
            break;
        case FLY_INGEST_HEARTBEAT:
            made_heartbeat(&made, 7);
            break;
        case FLY_INGEST_STOP:
            made_stop(&made, 7);
            break;
        case FLY_INGEST_SKIP:
            made_common(&made, "skip", types[i].stream, 7);
            break;
        }
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, types[i].payloads));
        assert_int_equal(msg.type, types[i].is);
        assert_string_equal(msg.session, "s-1");
        assert_string_equal(msg.stream, types[i].stream);
        assert_int_equal(msg.stream_idx, types[i].idx);
        assert_int_equal(msg.seq, types[i].is == FLY_INGEST_START ? 1 : 7);
        assert_int_equal(msg.t_ns, 1700000000000000000);
        assert_int_equal(msg.n_payload, types[i].payloads);
    }
}

static void keys_may_come_in_any_order_among_unknown_ones(void **state)
{
    struct fly_rng rng = {7};

    for (int round = 0; round < 200; round++) {
        struct fly_ingest msg;

        made_lines(&made, 7);
        made_set(&made, "vendor", v_str("x"));
        made_set(&made, "typ", v_int(1));
        made_set(&made, "nested", V_RAW("\x81\xa4type\xa5lines"));
        for (int i = made.n - 1; i > 0; i--) {
            int k = (int)fly_rng_below(&rng, (uint64_t)i + 1);
            const char *key = made.key[i];
            struct made_value value = made.value[i];

            made.key[i] = made.key[k];
            made.value[i] = made.value[k];
            made.key[k] = key;
            made.value[k] = value;
        }
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 1));
        assert_int_equal(msg.y0, 5);
        assert_int_equal(msg.w, 64);
    }
}

/* One key set to another value (or dropped), and the reason that follows. */
struct twist {
    const char *key;
    struct made_value value;
    enum fly_refusal why;
};

static void common_keys_are_checked_for_every_type(void **state)
{
    char long_name[FLY_NAME_MAX + 2];

    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    const struct twist twists[] = {
        {"type", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"type", v_str("line"), FLY_REFUSE_UNKNOWN_TYPE},
        {"type", v_str("map"), FLY_REFUSE_UNKNOWN_TYPE},
        {"session", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"session", v_str(""), FLY_REFUSE_BAD_VALUE},
        {"session", v_str("a b"), FLY_REFUSE_BAD_VALUE},
        {"session", v_str("../x"), FLY_REFUSE_BAD_VALUE},
        {"session", v_str(long_name), FLY_REFUSE_BAD_VALUE},
        {"stream", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"stream", v_str(long_name), FLY_REFUSE_BAD_VALUE},
        {"stream", V_RAW("\xa4" "a\0bc"), FLY_REFUSE_BAD_VALUE},
        {"seq", v_int(0), FLY_REFUSE_BAD_VALUE},
        {"seq", v_int(-1), FLY_REFUSE_BAD_VALUE},
        {"seq", v_f64(7), FLY_REFUSE_BAD_TYPE},
        {"seq", v_str("7"), FLY_REFUSE_BAD_TYPE},
        {"seq", v_bool(1), FLY_REFUSE_BAD_TYPE},
        {"t_ns", v_f64(1e18), FLY_REFUSE_BAD_TYPE},
        {"t_ns", v_uint(UINT64_MAX), FLY_REFUSE_BAD_VALUE},
    };

    for (int type = 0; type < 3; type++)
        for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
            struct fly_ingest msg;

            if (type == 0)
                made_lines(&made, 7);
            else if (type == 1)
                made_heartbeat(&made, 7);
            else
                made_start(&made);
            made_set(&made, twists[i].key, twists[i].value);
            ASSERT_REFUSED(twists[i].why, decode(&msg, type == 0));
        }
    for (int i = 0; i < 5; i++) {
        static const char *const keys[] = {"type", "session", "stream", "seq", "t_ns"};
        struct fly_ingest msg;

        made_lines(&made, 7);
        made_drop(&made, keys[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode(&msg, 1));
    }
}

static void all_of_64_bits_are_numbers(void **state)
{
    struct fly_ingest msg;

    made_lines(&made, UINT64_MAX);
    made_set(&made, "t_ns", v_int(INT64_MIN));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 1));
    assert_true(msg.seq == UINT64_MAX);
    assert_true(msg.t_ns == INT64_MIN);
}

static void sessions_are_told_apart(void **state)
{
    const struct fly_session_view none = {NULL, NULL, 0, NULL};
    struct fly_session_view view = session.view;
    uint64_t last[FLY_STREAMS_MAX] = {9, 7};
    struct fly_ingest msg;

    made_lines(&made, 7);
    ASSERT_REFUSED(FLY_REFUSE_NO_SESSION, made_decode(&made, &msg, NULL, &line, 1, &none));
    assert_int_equal(msg.stream_idx, -1);
    made_set(&made, "session", v_str("s-2"));
    ASSERT_REFUSED(FLY_REFUSE_OTHER_SESSION, decode(&msg, 1));
    assert_string_equal(msg.session, "s-2");
    assert_int_equal(msg.stream_idx, -1); /* its streams are not known here */

    view.stopped = 1;
    made_lines(&made, 7);
    ASSERT_REFUSED(FLY_REFUSE_AFTER_STOP, made_decode(&made, &msg, NULL, &line, 1, &view));
    view.last = last;
    ASSERT_REFUSED(FLY_REFUSE_NONE, made_decode(&made, &msg, NULL, &line, 1, &view));
    made_lines(&made, 8);
    ASSERT_REFUSED(FLY_REFUSE_AFTER_STOP, made_decode(&made, &msg, NULL, &line, 1, &view));
    made_stop(&made, 9);
    ASSERT_REFUSED(FLY_REFUSE_NONE, made_decode(&made, &msg, NULL, NULL, 0, &view));
    made_heartbeat(&made, 10);
    ASSERT_REFUSED(FLY_REFUSE_AFTER_STOP, made_decode(&made, &msg, NULL, NULL, 0, &view));
    /* A start says which session begins; whether it may is for those who remember. */
    made_start(&made);
    ASSERT_REFUSED(FLY_REFUSE_NONE, made_decode(&made, &msg, NULL, NULL, 0, &view));
}

static void a_type_comes_on_its_own_stream(void **state)
{
    static const struct {
        const char *type, *stream;
        enum fly_refusal why;
    } cases[] = {
        {"lines", "control", FLY_REFUSE_UNDECLARED}, {"lines", "sdd1", FLY_REFUSE_UNDECLARED},
        {"lines", "nobody", FLY_REFUSE_UNDECLARED},  {"lines", "", FLY_REFUSE_UNDECLARED},
        {"lines", "haad", FLY_REFUSE_UNDECLARED},    {"lines", "haadf2", FLY_REFUSE_UNDECLARED},
        {"eds", "haadf", FLY_REFUSE_UNDECLARED},     {"eds", "control", FLY_REFUSE_UNDECLARED},
        {"eds", "nobody", FLY_REFUSE_UNDECLARED},    {"skip", "nobody", FLY_REFUSE_UNDECLARED},
        {"stop", "haadf", FLY_REFUSE_BAD_VALUE},     {"stop", "nobody", FLY_REFUSE_BAD_VALUE},
        {"heartbeat", "sdd1", FLY_REFUSE_BAD_VALUE}, {"start", "haadf", FLY_REFUSE_BAD_VALUE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fly_ingest msg;

        made_common(&made, cases[i].type, cases[i].stream, 7);
        made_set(&made, "schema", V_INTS(1, 0));
        ASSERT_REFUSED(cases[i].why, decode(&msg, 0));
    }
}

/* Everything is wrong with the message at first. Each step mends what the reason named, and the next
 * reason in the order of PROTOCOL.md appears. */
static void reasons_have_an_order(void **state)
{
    struct fly_session_view view = {NULL, NULL, 0, NULL};
    struct fly_part parts[9] = {{0}};
    struct fly_ingest msg;

#define STEP(meant, payloads)                                                                      \
    ASSERT_REFUSED(meant, made_decode(&made, &msg, NULL, parts, payloads, &view))
    made.n = 0;
    made_set(&made, "type", v_int(3));
    made_set(&made, "session", v_int(1));
    made_set(&made, "stream", v_str("nobody"));
    made_set(&made, "seq", v_f64(1));
    made_set(&made, "dwell_us", V_RAW("\xcb\x7f\xf8\0\0\0\0\0\0"));
    made_set(&made, "y0_px", v_int(-1));
    made_set(&made, "dtype", v_str("<f4"));
    made_set(&made, "shape", V_INTS(0, 64));
    made_set(&made, "cmd_id", v_f64(1.5));
    made_set(&made, "blob", V_RAW("\xc4\x01x"));
    STEP(FLY_REFUSE_OVERSIZE, 8);
    STEP(FLY_REFUSE_MALFORMED, 0);
    made_drop(&made, "blob");
    STEP(FLY_REFUSE_BAD_TYPE, 0);
    made_set(&made, "type", v_str("line"));
    STEP(FLY_REFUSE_UNKNOWN_TYPE, 0);
    made_set(&made, "type", v_str("lines"));
    STEP(FLY_REFUSE_BAD_TYPE, 0); /* session */
    made_set(&made, "session", v_str("s-1"));
    STEP(FLY_REFUSE_NO_SESSION, 0);
    view = session.view;
    view.session = "s-0";
    STEP(FLY_REFUSE_OTHER_SESSION, 0);
    view.session = "s-1";
    view.stopped = 1;
    STEP(FLY_REFUSE_BAD_KEY, 0); /* t_ns */
    made_set(&made, "t_ns", v_int(1));
    STEP(FLY_REFUSE_BAD_TYPE, 0); /* seq */
    made_set(&made, "seq", v_int(7));
    STEP(FLY_REFUSE_AFTER_STOP, 0);
    view.stopped = 0;
    STEP(FLY_REFUSE_UNDECLARED, 0);
    made_set(&made, "stream", v_str("haadf"));
    STEP(FLY_REFUSE_BAD_KEY, 0); /* frame, x0_px */
    made_set(&made, "frame", v_int(2));
    made_set(&made, "x0_px", v_int(0));
    STEP(FLY_REFUSE_BAD_TYPE, 0); /* cmd_id */
    made_set(&made, "cmd_id", v_int(4));
    STEP(FLY_REFUSE_BAD_VALUE, 0); /* dwell_us */
    made_set(&made, "dwell_us", v_f64(1));
    STEP(FLY_REFUSE_DTYPE, 0);
    made_set(&made, "dtype", v_str("<u2"));
    STEP(FLY_REFUSE_SHAPE, 0);
    made_set(&made, "shape", V_INTS(1, 64));
    STEP(FLY_REFUSE_OUTSIDE, 0); /* frame */
    made_set(&made, "frame", v_int(1));
    STEP(FLY_REFUSE_OUTSIDE, 0); /* y0_px */
    made_set(&made, "y0_px", v_int(31));
    STEP(FLY_REFUSE_PAYLOAD_SIZE, 0);
    parts[0] = line;
    STEP(FLY_REFUSE_NONE, 1);

    made_start(&made);
    made_set(&made, "schema", V_INTS(2, 0));
    made_set(&made, "session", v_int(1));
    made_drop(&made, "detectors");
    STEP(FLY_REFUSE_VERSION, 0);
    made_set(&made, "schema", V_INTS(1, 0));
    STEP(FLY_REFUSE_BAD_TYPE, 0);
#undef STEP
}

static void a_refusal_says_which_number_it_uses_up(void **state)
{
    struct fly_ingest msg;
    struct fly_part many[9] = {{0}};

    made_lines(&made, 7);
    made_set(&made, "dtype", v_str("<f4"));
    ASSERT_REFUSED(FLY_REFUSE_DTYPE, decode(&msg, 1));
    assert_int_equal(msg.stream_idx, 1);
    assert_int_equal(msg.seq, 7);

    /* Too many parts, a limit broken within, a key twice, a bin: still to be read. */
    made_lines(&made, 7);
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE,
                   made_decode(&made, &msg, NULL, many, FLY_PARTS_MAX, &session.view));
    assert_int_equal(msg.seq, 7);
    made_set(&made, "deep", V_RAW("\x91\x91\x91\x91\x91\x91\x91\x91\x90"));
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, decode(&msg, 1));
    assert_int_equal(msg.seq, 7);
    assert_int_equal(msg.stream_idx, 1);
    made_set(&made, "deep", V_RAW("\x82\xa1k\x01\xa1k\x01"));
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, decode(&msg, 1));
    assert_int_equal(msg.seq, 7);
    made_set(&made, "deep", V_RAW("\xc4\x01x"));
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, decode(&msg, 1));
    assert_int_equal(msg.seq, 7);
    assert_string_equal(msg.session, "s-1");

    /* The number itself twice: which of the two? */
    made_lines(&made, 7);
    made.key[made.n] = "seq";
    made.value[made.n++] = v_int(8);
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, decode(&msg, 1));
    assert_int_equal(msg.seq, 0);
    assert_int_equal(msg.stream_idx, 1);

    made_common(&made, "skip", "haadf", 7);
    made_set(&made, "seq", v_f64(7));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, decode(&msg, 0));
    assert_int_equal(msg.seq, 0);
}

static void a_header_that_is_too_long_is_read_as_far_as_it_may_be(void **state)
{
    static unsigned char header[FLY_HEADER_MAX + 20];
    struct fly_ingest msg;
    struct fly_start start;
    struct fly_part part = {header, sizeof header};
    struct fly_part small;

    made_lines(&made, 7);
    made_set(&made, "big", V_RAW("\xdb\x00\x01\x00\x00")); /* 65536 bytes, mostly not there */
    small = made_pack(&made);
    memset(header, 'x', sizeof header);
    memcpy(header, small.bytes, small.len);
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_ingest_decode(&msg, &start, &part, 1, &session.view));
    assert_int_equal(msg.seq, 7);
    assert_int_equal(msg.stream_idx, 1);
    /* Within the limit the same bytes are cut off: who knows what they were. */
    part.len = FLY_HEADER_MAX;
    assert_int_not_equal(fly_ingest_decode(&msg, &start, &part, 1, &session.view), FLY_REFUSE_NONE);
    assert_int_equal(msg.seq, 0);
}

static void parts_and_payloads_end_at_their_limits(void **state)
{
    struct fly_part parts[FLY_PARTS_MAX + 1] = {{0}};
    struct fly_ingest msg;
    struct fly_start start;

    made_lines(&made, 7);
    parts[0] = made_pack(&made);
    for (int i = 1; i <= FLY_PARTS_MAX; i++)
        parts[i] = line;
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, fly_ingest_decode(&msg, &start, parts, 0, &session.view));
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE,
                   fly_ingest_decode(&msg, &start, parts, FLY_PARTS_MAX, &session.view));
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE,
                   fly_ingest_decode(&msg, &start, parts, FLY_PARTS_MAX + 1, &session.view));
    parts[1].len = FLY_PAYLOAD_MAX; /* its bytes are not looked at before its size */
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, fly_ingest_decode(&msg, &start, parts, 2, &session.view));
    parts[1].len = FLY_PAYLOAD_MAX + 1;
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_ingest_decode(&msg, &start, parts, 2, &session.view));
    assert_int_equal(msg.seq, 7);
}

static void heartbeats_and_stops_count_by_stream(void **state)
{
    struct fly_ingest msg;

    made_heartbeat(&made, 3);
    made_set(&made, "last_seq", v_counts(3, (const char *const[]){"control", "sdd2", "stranger"},
                                         (const int64_t[]){5, 0, 77}));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 0));
    assert_int_equal(msg.count[0], 5);
    assert_int_equal(msg.count[1], -1);
    assert_int_equal(msg.count[4], 0);
    assert_int_equal(msg.dropped[1], 1);
    assert_int_equal(msg.dropped[0], -1);
    assert_int_equal(msg.backlog, 3);

    made_stop(&made, 4);
    made_set(&made, "exit_status", v_str("abort"));
    made_set(&made, "reason", v_str("the beam tripped"));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 0));
    assert_int_equal(msg.count[1], 32);
    assert_int_equal(msg.count[2], -1);
    assert_string_equal(msg.exit_status, "abort");
    assert_string_equal(msg.reason, "the beam tripped");
}

static void heartbeats_and_stops_are_checked(void **state)
{
    const struct twist twists[] = {
        {"last_seq", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"last_seq", v_map(1, (const char *const[]){"haadf"}, (const struct made_value[]){v_f64(1)}),
         FLY_REFUSE_BAD_TYPE},
        {"last_seq", v_counts(1, (const char *const[]){"haadf"}, (const int64_t[]){-1}),
         FLY_REFUSE_BAD_VALUE},
        {"backlog", v_f64(1), FLY_REFUSE_BAD_TYPE},
        {"backlog", v_int(-1), FLY_REFUSE_BAD_VALUE},
        {"backlog", v_uint(UINT64_MAX), FLY_REFUSE_BAD_VALUE},
        {"dropped", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"odd", V_RAW("\xca\x7f\x80\x00\x00"), FLY_REFUSE_BAD_VALUE},
    };
    const struct twist stops[] = {
        {"exit_status", v_str("done"), FLY_REFUSE_BAD_VALUE},
        {"exit_status", v_int(0), FLY_REFUSE_BAD_TYPE},
        {"reason", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"count", V_INTS(1, 2), FLY_REFUSE_BAD_TYPE},
        {"count", v_counts(1, (const char *const[]){"haadf"}, (const int64_t[]){INT64_MIN}),
         FLY_REFUSE_BAD_VALUE},
    };
    static const char *const heartbeat_keys[] = {"last_seq", "backlog", "dropped"};
    static const char *const stop_keys[] = {"exit_status", "reason", "count"};
    struct fly_ingest msg;

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        made_heartbeat(&made, 3);
        made_set(&made, twists[i].key, twists[i].value);
        ASSERT_REFUSED(twists[i].why, decode(&msg, 0));
    }
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        made_stop(&made, 3);
        made_set(&made, stops[i].key, stops[i].value);
        ASSERT_REFUSED(stops[i].why, decode(&msg, 0));
    }
    for (int i = 0; i < 3; i++) {
        made_heartbeat(&made, 3);
        made_drop(&made, heartbeat_keys[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode(&msg, 0));
        made_stop(&made, 3);
        made_drop(&made, stop_keys[i]);
        ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode(&msg, 0));
    }
    made_stop(&made, 3);
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode(&msg, 1));
    made_common(&made, "skip", "haadf", 3);
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, decode(&msg, 1));
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    char text[400];
    struct fly_ingest msg;

    /* Two bytes each, shifted by one: the 255th byte is the first half of a character. */
    text[0] = 'x';
    for (int i = 1; i + 1 < 301; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[301] = 0;
    made_stop(&made, 3);
    made_set(&made, "reason", v_str(text));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 0));
    assert_int_equal(strlen(msg.reason), 255);
    memmove(text + 1, text, 301);
    text[0] = 'x';
    made_set(&made, "reason", v_str(text));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(&msg, 0));
    assert_int_equal(strlen(msg.reason), 254);
}

/* Words of a refusal are published as a string: they must be UTF-8, whatever the peer wrote. */
static void words_about_a_peers_text_are_plain(void **state)
{
    struct fly_ingest msg;

    made_lines(&made, 7);
    made_set(&made, "type", v_str("\x1b[31m\xc3\xa9\n" "0123456789012345678901234567890123456789"));
    ASSERT_REFUSED(FLY_REFUSE_UNKNOWN_TYPE, decode(&msg, 1));
    for (const char *at = fly_fail_text(); *at; at++)
        assert_true(*at >= ' ' && *at <= '~');
}

static void make_any(int which)
{
    switch (which) {
    case 0:
        made_start(&made);
        break;
    case 1:
        made_lines(&made, 7);
        made_set(&made, "dwell_us", v_f64(3.5));
        break;
    case 2:
        made_eds(&made, "csr", 7);
        break;
    case 3:
        made_heartbeat(&made, 7);
        break;
    default:
        made_stop(&made, 7);
        break;
    }
}

static void every_truncation_is_malformed(void **state)
{
    struct fly_ingest msg;
    struct fly_start start;

    for (int which = 0; which < 5; which++) {
        struct fly_part whole;

        make_any(which);
        whole = made_pack(&made);
        for (size_t len = 0; len < whole.len; len++) {
            unsigned char *copy = malloc(len + !len);
            struct fly_part part = {copy, len};

            memcpy(copy, whole.bytes, len);
            ASSERT_REFUSED(FLY_REFUSE_MALFORMED,
                           fly_ingest_decode(&msg, &start, &part, 1, &session.view));
            assert_int_equal(msg.seq, 0); /* a cut header is not trusted */
            free(copy);
        }
    }
}

/* No byte of any message may be turned into another that makes decode read or write what is not its
 * own (ASan sees it), and what is accepted is within the session. */
static void every_change_of_one_byte_is_survived(void **state)
{
    static const unsigned char rows[4 * 9];
    const struct fly_part payload[2] = {{rows, sizeof rows}, {rows, 0}};
    long accepted = 0, refused = 0;

    for (int which = 0; which < 5; which++) {
        struct fly_part whole;
        unsigned char *copy;

        make_any(which);
        whole = made_pack(&made);
        copy = malloc(whole.len);
        for (size_t at = 0; at < whole.len; at++)
            for (int to = 0; to < 256; to++) {
                struct fly_part parts[3] = {{copy, whole.len}, payload[0], payload[1]};
                struct fly_ingest msg;
                struct fly_start start;

                memcpy(copy, whole.bytes, whole.len);
                copy[at] = (unsigned char)to;
                if (which == 1)
                    parts[1] = line;
                if (fly_ingest_decode(&msg, &start, parts, which == 1 ? 2 : which == 2 ? 3 : 1,
                                      &session.view) != FLY_REFUSE_NONE) {
                    refused++;
                    continue;
                }
                accepted++;
                assert_true(msg.seq > 0);
                assert_true(msg.stream_idx >= 0);
                if (msg.type == FLY_INGEST_LINES || msg.type == FLY_INGEST_EDS) {
                    assert_true(msg.y0 >= 0 && msg.h >= 1 && msg.y0 + msg.h <= 32);
                    assert_true(msg.x0 >= 0 && msg.w >= 1 && msg.x0 + msg.w <= 64);
                    assert_true(msg.dwell_ns >= 1 && msg.dwell_ns <= FLY_DWELL_MAX_NS);
                }
            }
        free(copy);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_its_word),
        cmocka_unit_test(a_message_of_every_type_is_taken_with_its_identity),
        cmocka_unit_test(keys_may_come_in_any_order_among_unknown_ones),
        cmocka_unit_test(common_keys_are_checked_for_every_type),
        cmocka_unit_test(all_of_64_bits_are_numbers),
        cmocka_unit_test(sessions_are_told_apart),
        cmocka_unit_test(a_type_comes_on_its_own_stream),
        cmocka_unit_test(reasons_have_an_order),
        cmocka_unit_test(a_refusal_says_which_number_it_uses_up),
        cmocka_unit_test(a_header_that_is_too_long_is_read_as_far_as_it_may_be),
        cmocka_unit_test(parts_and_payloads_end_at_their_limits),
        cmocka_unit_test(heartbeats_and_stops_count_by_stream),
        cmocka_unit_test(heartbeats_and_stops_are_checked),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(words_about_a_peers_text_are_plain),
        cmocka_unit_test(every_truncation_is_malformed),
        cmocka_unit_test(every_change_of_one_byte_is_survived),
    };

    return cmocka_run_group_tests(tests, open_session, NULL);
}
