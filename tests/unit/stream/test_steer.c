#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/base/rng.h"
#include "stream/steer.h"
#include "tests/unit/stream/wire_make.h"

/* 128 x 200 px of 0.05 x 0.04 nm. */
static const struct fly_steer_field field = {128, 200, {0.05, 0.04}};
static const struct fly_steer_field unscaled = {128, 200, {NAN, NAN}};

static unsigned char header[FLY_HEADER_MAX];
static struct fly_target sent[FLY_TARGETS_MAX], got[FLY_TARGETS_MAX];

static double between(struct fly_rng *rng, double lo, double hi)
{
    double value = lo + (hi - lo) * fly_rng_uniform(rng);

    return fly_rng_below(rng, 2) ? floor(value) : value;
}

static struct fly_target random_target(struct fly_rng *rng, enum fly_target_kind kind)
{
    struct fly_target target = {.kind = kind};

    if (kind == FLY_TARGET_BOX) {
        target.px[2] = between(rng, 1.0, 128.0);
        target.px[3] = between(rng, 1.0, 200.0);
        target.px[0] = fmin(between(rng, 0.0, 128.0), 128.0 - target.px[2]);
        target.px[1] = fmin(between(rng, 0.0, 200.0), 200.0 - target.px[3]);
    } else {
        for (int i = 0; i < (kind == FLY_TARGET_POINT ? 2 : 4); i++)
            target.px[i] = between(rng, 0.0, i % 2 ? 199.0 : 127.0);
    }
    target.dwell_us = 0.001 + 100.0 * fly_rng_uniform(rng);
    target.signal = (enum fly_signal)fly_rng_below(rng, FLY_SIGNALS);
    target.expected_gain = fly_rng_below(rng, 2) ? NAN : fly_rng_uniform(rng) - 0.5;
    target.dose_e_per_A2 = fly_rng_below(rng, 2) ? NAN : 1e4 * fly_rng_uniform(rng);
    snprintf(target.reason, sizeof target.reason, "%s", fly_rng_below(rng, 2) ? "margin" : "");
    return target;
}

static struct fly_command random_command(struct fly_rng *rng)
{
    static const enum fly_target_kind kinds[] = {FLY_TARGET_BOX, FLY_TARGET_POINT, FLY_TARGET_LINE};
    struct fly_command command = {.targets = sent, .targets_cap = FLY_TARGETS_MAX, .frame = -1, .dwell_us = NAN};

    command.kind = (enum fly_command_kind)fly_rng_below(rng, FLY_COMMAND_KINDS);
    snprintf(command.cmd_id, sizeof command.cmd_id, "c-%u", (unsigned)fly_rng_below(rng, 1000));
    command.valid_until_ns = (int64_t)(fly_rng_next(rng) >> 2);
    command.as_of.count = (int32_t)fly_rng_below(rng, 3);
    for (int32_t i = 0; i < command.as_of.count; i++) {
        snprintf(command.as_of.names[i], sizeof command.as_of.names[i], "s%d", i);
        command.as_of.seq[i] = fly_rng_next(rng) >> 1; /* 0 .. 2^63 - 1 */
    }
    if (!fly_command_measures(command.kind))
        return command;
    snprintf(command.decision_id, sizeof command.decision_id, "d.%u", (unsigned)fly_rng_below(rng, 1000));
    command.frame = (int64_t)fly_rng_below(rng, 1000);
    command.frames = 1 + (int32_t)fly_rng_below(rng, 4);
    command.n_targets = 1 + (int32_t)fly_rng_below(rng, 40);
    command.dwell_us = 0.0;
    for (int32_t i = 0; i < command.n_targets; i++) {
        sent[i] = random_target(rng, kinds[command.kind]);
        sent[i].signal = sent[0].signal;
        command.dwell_us = fmax(command.dwell_us, sent[i].dwell_us);
    }
    return command;
}

static struct fly_part encode(const struct fly_command *command, const struct fly_steer_field *in)
{
    struct fly_pack pack;
    int rc;

    fly_pack_init(&pack, header, sizeof header);
    rc = fly_command_encode(&pack, command, in);
    if (rc < 0)
        fail_msg("%s", fly_fail_text());
    return (struct fly_part){header, pack.len};
}

static void assert_number(double a, double b)
{
    if (!(a == b) && !(isnan(a) && isnan(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void assert_targets(const struct fly_target *a, const struct fly_target *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(a[i].kind, b[i].kind);
        assert_int_equal(a[i].signal, b[i].signal);
        for (int k = 0; k < 4; k++)
            assert_number(a[i].px[k], b[i].px[k]);
        assert_number(a[i].dwell_us, b[i].dwell_us);
        assert_number(a[i].expected_gain, b[i].expected_gain);
        assert_number(a[i].dose_e_per_A2, b[i].dose_e_per_A2);
        assert_string_equal(a[i].reason, b[i].reason);
    }
}

static void assert_as_of(const struct fly_as_of *a, const struct fly_as_of *b)
{
    assert_int_equal(a->count, b->count);
    for (int32_t i = 0; i < a->count; i++) {
        assert_string_equal(a->names[i], b->names[i]);
        assert_true(a->seq[i] == b->seq[i]);
    }
}

static void what_is_commanded_is_read_back(void **state)
{
    struct fly_rng rng = {.state = 7};

    for (int trial = 0; trial < 3000; trial++) {
        struct fly_command command = random_command(&rng);
        const struct fly_steer_field *in = fly_rng_below(&rng, 2) ? &field : &unscaled;
        struct fly_command read = {.targets = got, .targets_cap = FLY_TARGETS_MAX};
        struct fly_part part = encode(&command, in);

        ASSERT_REFUSED(FLY_REFUSE_NONE, fly_command_decode(&read, fly_rng_below(&rng, 4) ? in : NULL, &part, 1));
        assert_string_equal(read.cmd_id, command.cmd_id);
        assert_string_equal(read.decision_id, command.decision_id);
        assert_int_equal(read.kind, command.kind);
        assert_int_equal(read.n_targets, command.n_targets);
        assert_int_equal(read.frame, command.frame);
        assert_int_equal(read.frames, command.frames);
        assert_number(read.dwell_us, command.dwell_us);
        assert_int_equal(read.valid_until_ns, command.valid_until_ns);
        assert_as_of(&read.as_of, &command.as_of);
        assert_targets(read.targets, command.targets, command.n_targets);
    }
}

/* ---- one command, twisted ------------------------------------------------------------------------- */

static struct made made;
enum { TARGET_KEYS = 9 };
static const char *const target_keys[TARGET_KEYS] = {"kind", "px", "frac", "nm", "dwell_us", "signal",
                                                     "expected_gain", "dose_e_per_A2", "reason"};
static struct made_value target_values[TARGET_KEYS];

static void make_target(void)
{
    const struct made_value values[TARGET_KEYS] = {
        v_str("box"), V_INTS(64, 50, 16, 100), V_F64S(0.5, 0.25, 0.125, 0.5), V_F64S(3.2, 2.0, 0.8, 4.0),
        v_f64(8.0), v_str("both"), v_f64(0.25), v_f64(120.0), v_str("margin")};

    memcpy(target_values, values, sizeof values);
}

static struct made_value packed_target(void)
{
    return v_map(TARGET_KEYS, target_keys, target_values);
}

static void make(void)
{
    struct made_value target;

    make_target();
    target = packed_target();
    made.n = 0;
    made_set(&made, "type", v_str("command"));
    made_set(&made, "cmd_id", v_str("c-1"));
    made_set(&made, "decision_id", v_str("d-1"));
    made_set(&made, "kind", v_str("box"));
    made_set(&made, "targets", v_list(1, &target));
    made_set(&made, "frame", v_int(3));
    made_set(&made, "frames", v_int(1));
    made_set(&made, "dwell_us", v_f64(8.0));
    made_set(&made, "valid_until_ns", v_int(1700000000000000000));
    made_set(&made, "as_of", v_counts(1, (const char *const[]){"haadf"}, (const int64_t[]){128}));
}

static struct fly_command command;

/* From a copy of its own size, so that a sanitizer sees every read beyond it. */
static enum fly_refusal decode(int32_t cap)
{
    struct fly_part part = made_pack(&made);
    unsigned char *copy = malloc(part.len);
    enum fly_refusal why;

    memcpy(copy, part.bytes, part.len);
    part.bytes = copy;
    command = (struct fly_command){.targets = got, .targets_cap = cap};
    why = fly_command_decode(&command, &field, &part, 1);
    free(copy);
    return why;
}

static enum fly_refusal decode_with(const char *key, struct made_value value)
{
    make();
    made_set(&made, key, value);
    return decode(FLY_TARGETS_MAX);
}

static enum fly_refusal decode_target_with(const char *key, struct made_value value)
{
    struct made_value target;

    make();
    for (int i = 0; i < TARGET_KEYS; i++)
        if (strcmp(target_keys[i], key) == 0)
            target_values[i] = value;
    target = packed_target();
    made_set(&made, "targets", v_list(1, &target));
    return decode(FLY_TARGETS_MAX);
}

#define V_NAN V_RAW("\xca\x7f\xc0\x00\x00")

static void a_command_from_elsewhere_is_taken_apart(void **state)
{
    make();
    made_set(&made, "from_later", v_str("unknown keys are passed over"));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(1));
    assert_string_equal(command.cmd_id, "c-1");
    assert_int_equal(command.kind, FLY_COMMAND_BOX);
    assert_int_equal(command.n_targets, 1);
    assert_number(got[0].px[3], 100.0);
    assert_number(got[0].dwell_us, 8.0);
    assert_int_equal(command.as_of.count, 1);
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_with("cmd_id", v_int(42)));
    assert_string_equal(command.cmd_id, "42");
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_with("as_of", v_nil()));
    assert_int_equal(command.as_of.count, 0);
}

static void what_a_target_may_leave_out_is_nil(void **state)
{
    static const char *const may[] = {"frac", "nm", "expected_gain", "dose_e_per_A2", "reason"};

    for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode_target_with(may[i], v_nil()));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_target_with("expected_gain", v_nil()));
    assert_true(isnan(got[0].expected_gain));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode_target_with("reason", v_nil()));
    assert_string_equal(got[0].reason, "");
}

static void each_wrong_command_is_refused_by_its_reason(void **state)
{
    static char long_id[66];
    memset(long_id, 'a', 65);
    const struct {
        const char *key;
        struct made_value value;
        enum fly_refusal why;
    } twists[] = {
        {"type", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"type", v_str("ack"), FLY_REFUSE_UNKNOWN_TYPE},
        {"cmd_id", v_f64(1.0), FLY_REFUSE_BAD_TYPE},
        {"cmd_id", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"cmd_id", v_int(-1), FLY_REFUSE_BAD_VALUE},
        {"cmd_id", v_str(""), FLY_REFUSE_BAD_VALUE},
        {"cmd_id", v_str("a b"), FLY_REFUSE_BAD_VALUE},
        {"cmd_id", v_str(long_id), FLY_REFUSE_BAD_VALUE},
        {"decision_id", v_nil(), FLY_REFUSE_BAD_KEY},
        {"decision_id", v_str("d/1"), FLY_REFUSE_BAD_VALUE},
        {"kind", v_int(0), FLY_REFUSE_BAD_TYPE},
        {"kind", v_str("circle"), FLY_REFUSE_BAD_VALUE},
        {"kind", v_str("line"), FLY_REFUSE_BAD_VALUE}, /* its target is a box */
        {"kind", v_str("stop"), FLY_REFUSE_BAD_VALUE}, /* has no targets */
        {"targets", v_nil(), FLY_REFUSE_BAD_KEY},
        {"targets", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"targets", V_RAW("\x90"), FLY_REFUSE_BAD_VALUE},
        {"frame", v_f64(3.0), FLY_REFUSE_BAD_TYPE},
        {"frame", v_nil(), FLY_REFUSE_BAD_KEY},
        {"frame", v_int(-1), FLY_REFUSE_BAD_VALUE},
        {"frame", v_int(FLY_FRAMES_MAX), FLY_REFUSE_BAD_VALUE},
        {"frames", v_int(0), FLY_REFUSE_BAD_VALUE},
        {"frames", v_int(FLY_FRAMES_MAX), FLY_REFUSE_OUTSIDE},
        {"dwell_us", v_f64(7.9), FLY_REFUSE_BAD_VALUE}, /* the target dwells for 8 */
        {"dwell_us", v_f64(0.0), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", v_f64(1e300), FLY_REFUSE_BAD_VALUE},
        {"dwell_us", V_NAN, FLY_REFUSE_BAD_VALUE},
        {"valid_until_ns", v_f64(1.0), FLY_REFUSE_BAD_TYPE},
        {"valid_until_ns", v_int(-5), FLY_REFUSE_BAD_VALUE},
        {"valid_until_ns", v_uint(UINT64_MAX), FLY_REFUSE_BAD_VALUE},
        {"as_of", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"as_of", v_counts(1, (const char *const[]){"a b"}, (const int64_t[]){1}), FLY_REFUSE_BAD_VALUE},
        {"as_of", v_counts(1, (const char *const[]){"a"}, (const int64_t[]){-1}), FLY_REFUSE_BAD_VALUE},
    };

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        fly_fail(FLY_EWIRE, " ");
        ASSERT_REFUSED(twists[i].why, decode_with(twists[i].key, twists[i].value));
        assert_true(strlen(fly_fail_text()) > 5);
        if (strcmp(twists[i].key, "cmd_id") != 0)
            assert_string_equal(command.cmd_id, "c-1"); /* so that an ack can say no */
        else
            assert_string_equal(command.cmd_id, "");
    }
}

static void each_wrong_target_is_refused_by_its_reason(void **state)
{
    const struct {
        const char *key;
        struct made_value value;
        enum fly_refusal why;
    } twists[] = {
        {"kind", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"kind", v_str("circle"), FLY_REFUSE_BAD_VALUE},
        {"px", v_str("64"), FLY_REFUSE_BAD_TYPE},
        {"px", v_nil(), FLY_REFUSE_BAD_TYPE},
        {"px", V_INTS(64, 50, 16), FLY_REFUSE_BAD_VALUE},
        {"px", V_INTS(64, 50, 16, 100, 1), FLY_REFUSE_BAD_VALUE},
        {"px", V_INTS(-1, 50, 16, 100), FLY_REFUSE_BAD_VALUE},
        {"px", V_INTS(64, 50, 0, 100), FLY_REFUSE_BAD_VALUE},
        {"px", V_RAW("\x94\x40\x32\x10\xca\x7f\x80\x00\x00"), FLY_REFUSE_BAD_VALUE}, /* infinity */
        {"frac", V_F64S(0.5, 0.25, 0.125), FLY_REFUSE_BAD_VALUE},
        {"frac", V_F64S(0.5, 0.25, 0.125, 0.51), FLY_REFUSE_BAD_VALUE},
        {"nm", V_F64S(3.2, 2.0, 0.8, 4.1), FLY_REFUSE_BAD_VALUE},
        {"nm", v_str("3.2"), FLY_REFUSE_BAD_TYPE},
        {"dwell_us", v_str("8"), FLY_REFUSE_BAD_TYPE},
        {"dwell_us", v_f64(-8.0), FLY_REFUSE_BAD_VALUE},
        {"signal", v_int(0), FLY_REFUSE_BAD_TYPE},
        {"signal", v_str("eels"), FLY_REFUSE_BAD_VALUE},
        {"expected_gain", v_str("much"), FLY_REFUSE_BAD_TYPE},
        {"dose_e_per_A2", v_f64(-1.0), FLY_REFUSE_BAD_VALUE},
        {"reason", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"reason", V_RAW("\xa3" "a\0b"), FLY_REFUSE_BAD_VALUE},
    };

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        fly_fail(FLY_EWIRE, " ");
        ASSERT_REFUSED(twists[i].why, decode_target_with(twists[i].key, twists[i].value));
        assert_true(strlen(fly_fail_text()) > 5);
    }
}

static void a_target_beyond_the_scan_is_outside(void **state)
{
    const struct {
        enum fly_target_kind kind;
        double px[4];
        int inside;
    } cases[] = {
        {FLY_TARGET_BOX, {112, 100, 16, 100}, 1},   {FLY_TARGET_BOX, {113, 100, 16, 100}, 0},
        {FLY_TARGET_BOX, {112, 100.5, 16, 100}, 0}, {FLY_TARGET_POINT, {127, 199}, 1},
        {FLY_TARGET_POINT, {127.5, 0}, 0},          {FLY_TARGET_POINT, {0, 200}, 0},
        {FLY_TARGET_LINE, {0, 0, 127, 199}, 1},     {FLY_TARGET_LINE, {128, 0, 0, 0}, 0},
        {FLY_TARGET_LINE, {0, 0, 0, 199.01}, 0},
    };
    static const enum fly_command_kind kinds[] = {FLY_COMMAND_POINT_LIST, FLY_COMMAND_BOX, FLY_COMMAND_LINE};
    const struct fly_steer_field large = {1024, 1024, {NAN, NAN}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fly_command one = {.cmd_id = "c", .decision_id = "d", .kind = kinds[cases[i].kind], .targets = sent,
                                  .n_targets = 1, .frame = 1, .frames = 1, .dwell_us = 1.0};
        struct fly_command read = {.targets = got, .targets_cap = 1};
        struct fly_part part;
        struct fly_pack pack;

        sent[0] = (struct fly_target){.kind = cases[i].kind, .dwell_us = 1.0, .expected_gain = NAN, .dose_e_per_A2 = NAN};
        memcpy(sent[0].px, cases[i].px, sizeof cases[i].px);
        part = encode(&one, &large);
        ASSERT_REFUSED(FLY_REFUSE_NONE, fly_command_decode(&read, NULL, &part, 1));
        fly_pack_init(&pack, header, sizeof header);
        assert_int_equal(fly_command_encode(&pack, &read, &field), cases[i].inside ? FLY_OK : FLY_ERANGE);
        part.len = pack.len;
        if (!cases[i].inside)
            assert_non_null(strstr(fly_fail_text(), "the scan is [128, 200]"));
        else
            ASSERT_REFUSED(FLY_REFUSE_NONE, fly_command_decode(&read, &field, &part, 1));
    }
    /* As it comes in: without frac and nm, which would disagree first. */
    make();
    target_values[1] = V_INTS(64, 150, 16, 100);
    target_values[2] = target_values[3] = v_nil();
    made_set(&made, "targets", v_list(1, (const struct made_value[]){packed_target()}));
    ASSERT_REFUSED(FLY_REFUSE_OUTSIDE, decode(1));
}

static void targets_of_one_command_are_of_one_signal(void **state)
{
    struct made_value targets[2];

    make();
    targets[0] = packed_target();
    target_values[5] = v_str("eds");
    targets[1] = packed_target();
    made_set(&made, "targets", v_list(2, targets));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, decode(2));
    targets[0] = targets[1];
    made_set(&made, "targets", v_list(2, targets));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(2));
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, decode(1));
}

static void parts_behind_the_header_are_refused(void **state)
{
    struct fly_part parts[FLY_PARTS_MAX + 1] = {{0}};

    make();
    parts[0] = made_pack(&made);
    command = (struct fly_command){.targets = got, .targets_cap = 1};
    ASSERT_REFUSED(FLY_REFUSE_PAYLOAD_SIZE, fly_command_decode(&command, &field, parts, 2));
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_command_decode(&command, &field, parts, FLY_PARTS_MAX + 1));
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, fly_command_decode(&command, &field, NULL, 0));
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED,
                   fly_command_decode(&command, &field, &(struct fly_part){"\x82\xa1k\x01\xa1k\x02", 7}, 1));
    for (size_t len = 0; len < parts[0].len; len++)
        ASSERT_REFUSED(FLY_REFUSE_MALFORMED,
                       fly_command_decode(&command, &field, &(struct fly_part){parts[0].bytes, len}, 1));
}

static void a_stop_needs_nothing_but_its_name(void **state)
{
    made.n = 0;
    made_set(&made, "type", v_str("command"));
    made_set(&made, "cmd_id", v_str("c-1"));
    made_set(&made, "kind", v_str("stop"));
    made_set(&made, "valid_until_ns", v_int(0));
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode(0));
    assert_int_equal(command.frame, -1);
    assert_true(isnan(command.dwell_us));
    made_set(&made, "kind", v_str("box"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode(0));
}

static void what_breaks_a_rule_is_not_sent(void **state)
{
    struct fly_rng rng = {.state = 3};
    struct fly_command good;
    struct fly_pack pack;

    do
        good = random_command(&rng);
    while (good.kind != FLY_COMMAND_BOX);
    fly_pack_init(&pack, header, 200);
    assert_int_equal(fly_command_encode(&pack, &good, &field), FLY_ERANGE);
    good.n_targets = 0;
    fly_pack_init(&pack, header, sizeof header);
    assert_int_equal(fly_command_encode(&pack, &good, &field), FLY_ERANGE);
    good.n_targets = 1;
    sent[0].px[0] = NAN;
    assert_int_equal(fly_command_encode(&pack, &good, &field), FLY_ERANGE);
    assert_int_equal(pack.len, 0);
}

static void data_answer_a_command_by_text_or_number(void **state)
{
    assert_true(fly_cmd_id_is("42", 42));
    assert_false(fly_cmd_id_is("42", 43));
    assert_true(fly_cmd_id_is("c-1", fly_ingest_cmd_id("c-1", 3)));
    assert_true(fly_cmd_id_is("42", fly_ingest_cmd_id("42", 2)));
    assert_false(fly_cmd_id_is("c-1", fly_ingest_cmd_id("c-2", 3)));
    assert_true(fly_ingest_cmd_id("a", 1) == 0xaf63dc4c8601ec8cu); /* RFC 9923, FNV-1a 64 of "a" */
}

/* ---- ack ------------------------------------------------------------------------------------------ */

static void what_is_acknowledged_is_read_back(void **state)
{
    struct fly_rng rng = {.state = 11};

    for (int trial = 0; trial < 500; trial++) {
        struct fly_ack ack = {.has_achieved = (int)fly_rng_below(&rng, 2)}, read;
        struct fly_pack pack;
        struct fly_part part;

        snprintf(ack.cmd_id, sizeof ack.cmd_id, "c-%d", trial);
        ack.status = (enum fly_ack_status)fly_rng_below(&rng, FLY_ACK_STATUSES);
        snprintf(ack.reason, sizeof ack.reason, "%s", fly_rng_below(&rng, 2) ? "out of field" : "");
        ack.achieved.dwell_us = NAN;
        if (ack.has_achieved) {
            ack.achieved.frames = (int64_t)fly_rng_below(&rng, 5);
            ack.achieved.pixels = (int64_t)fly_rng_below(&rng, 50000);
            ack.achieved.dwell_us = fly_rng_below(&rng, 2) ? NAN : fly_rng_uniform(&rng);
        }
        fly_pack_init(&pack, header, sizeof header);
        assert_int_equal(fly_ack_encode(&pack, &ack), FLY_OK);
        part = (struct fly_part){header, pack.len};
        ASSERT_REFUSED(FLY_REFUSE_NONE, fly_ack_decode(&read, &part, 1));
        assert_string_equal(read.cmd_id, ack.cmd_id);
        assert_int_equal(read.status, ack.status);
        assert_string_equal(read.reason, ack.reason);
        assert_int_equal(read.has_achieved, ack.has_achieved);
        assert_int_equal(read.achieved.frames, ack.achieved.frames);
        assert_int_equal(read.achieved.pixels, ack.achieved.pixels);
        assert_number(read.achieved.dwell_us, ack.achieved.dwell_us);
    }
}

static void each_wrong_ack_is_refused_by_its_reason(void **state)
{
    static const char *const achieved[] = {"frames", "pixels"};
    const struct {
        const char *key;
        struct made_value value;
        enum fly_refusal why;
    } twists[] = {
        {"type", v_str("command"), FLY_REFUSE_UNKNOWN_TYPE},
        {"cmd_id", v_str(""), FLY_REFUSE_BAD_VALUE},
        {"status", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"status", v_str("maybe"), FLY_REFUSE_BAD_VALUE},
        {"reason", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"achieved", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"achieved", v_counts(1, achieved, (const int64_t[]){1}), FLY_REFUSE_BAD_KEY},
        {"achieved", v_counts(2, achieved, (const int64_t[]){1, -1}), FLY_REFUSE_BAD_VALUE},
    };
    struct fly_ack ack;
    struct fly_part part;

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        made.n = 0;
        made_set(&made, "type", v_str("ack"));
        made_set(&made, "cmd_id", v_int(7));
        made_set(&made, "status", v_str("done"));
        part = made_pack(&made);
        ASSERT_REFUSED(FLY_REFUSE_NONE, fly_ack_decode(&ack, &part, 1));
        assert_string_equal(ack.cmd_id, "7");
        made_set(&made, twists[i].key, twists[i].value);
        part = made_pack(&made);
        ASSERT_REFUSED(twists[i].why, fly_ack_decode(&ack, &part, 1));
    }
    memset(&ack, 0, sizeof ack); /* it has no id */
    assert_int_equal(fly_ack_encode(&(struct fly_pack){header, 0, sizeof header, 0}, &ack), FLY_ERANGE);
}

static void a_long_reason_is_cut(void **state)
{
    char text[301];
    struct fly_ack ack;
    struct fly_part part;

    memset(text, 'w', 300);
    text[300] = 0;
    made.n = 0;
    made_set(&made, "type", v_str("ack"));
    made_set(&made, "cmd_id", v_int(7));
    made_set(&made, "status", v_str("rejected"));
    made_set(&made, "reason", v_str(text));
    part = made_pack(&made);
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_ack_decode(&ack, &part, 1));
    assert_int_equal(strlen(ack.reason), FLY_ACK_REASON_MAX);
}

/* ---- suggest -------------------------------------------------------------------------------------- */

static void assert_until(struct fly_value told, const char *name, double now, int met)
{
    struct fly_value until, one, value;
    double number = NAN;
    int is_met = -1;

    assert_true(fly_value_get(told, "until", &until) && fly_value_get(until, name, &one));
    assert_true(fly_value_get(one, "now", &value));
    if (!fly_value_f64(value, &number))
        assert_int_equal(fly_value_kind(value), FLY_KIND_NIL);
    assert_number(number, now);
    assert_true(fly_value_get(one, "limit", &value) && fly_value_get(one, "met", &value));
    assert_true(fly_value_bool(value, &is_met));
    assert_int_equal(is_met, met);
}

static void what_is_suggested_is_read_back(void **state)
{
    static struct fly_target other[FLY_ALTERNATIVES_MAX], other_got[FLY_ALTERNATIVES_MAX];
    const struct fly_pub_id id = {"s-1", 4, 1700000000000000000};
    struct fly_rng rng = {.state = 23};

    for (int trial = 0; trial < 500; trial++) {
        struct fly_suggest suggest = {.decision_id = "d-17", .policy = "adaptive", .mode = "advise",
                                      .targets = sent, .alternatives = other, .valid_until_ns = 99};
        struct fly_suggest read = {.targets = got, .targets_cap = FLY_TARGETS_MAX, .alternatives = other_got,
                                   .alternatives_cap = FLY_ALTERNATIVES_MAX};
        struct fly_published published;
        struct fly_pub_message message;
        struct fly_pack pack;

        suggest.n_targets = (int32_t)fly_rng_below(&rng, 60);
        suggest.n_alternatives = (int32_t)fly_rng_below(&rng, FLY_ALTERNATIVES_MAX + 1);
        for (int32_t i = 0; i < suggest.n_targets; i++)
            sent[i] = random_target(&rng, (enum fly_target_kind)fly_rng_below(&rng, FLY_TARGET_KINDS));
        for (int32_t i = 0; i < suggest.n_alternatives; i++)
            other[i] = random_target(&rng, FLY_TARGET_BOX);
        suggest.expected_error = fly_rng_below(&rng, 2) ? NAN : 0.25;
        snprintf(suggest.stop, sizeof suggest.stop, "%s", fly_rng_below(&rng, 2) ? "error" : "");
        suggest.as_of = (struct fly_as_of){1, {"haadf"}, {9}};
        suggest.until[FLY_UNTIL_BIRTHS] = (struct fly_suggest_until){trial % 5, 3, trial % 5 >= 3};
        suggest.until[FLY_UNTIL_BUDGET] = (struct fly_suggest_until){NAN, NAN, 0};
        fly_pack_init(&pack, header, sizeof header);
        assert_int_equal(fly_pub_suggest(&message, &pack, &id, &suggest, &field), FLY_OK);
        assert_int_equal(message.n_parts, 2);
        assert_int_equal(fly_published_decode(&published, message.parts, 2), FLY_OK);
        assert_string_equal(published.type, "suggest");
        if (fly_suggest_decode(&read, published.header, &field) < 0)
            fail_msg("%s", fly_fail_text());
        assert_string_equal(read.decision_id, suggest.decision_id);
        assert_string_equal(read.policy, suggest.policy);
        assert_string_equal(read.mode, suggest.mode);
        assert_string_equal(read.stop, suggest.stop);
        assert_number(read.expected_error, suggest.expected_error);
        assert_int_equal(read.valid_until_ns, 99);
        assert_as_of(&read.as_of, &suggest.as_of);
        assert_until(published.header, "births", trial % 5, trial % 5 >= 3);
        assert_until(published.header, "budget", NAN, 0);
        assert_int_equal(read.n_targets, suggest.n_targets);
        assert_int_equal(read.n_alternatives, suggest.n_alternatives);
        assert_targets(got, sent, suggest.n_targets);
        assert_targets(other_got, other, suggest.n_alternatives);
    }
}

static void a_wrong_suggestion_is_not_read(void **state)
{
    static const char *const drop[] = {"decision_id", "policy", "targets", "as_of", "valid_until_ns"};
    struct fly_suggest read = {.targets = got, .targets_cap = 4};
    struct fly_part part;

    for (size_t i = 0; i <= sizeof drop / sizeof drop[0]; i++) {
        make();
        made_set(&made, "policy", v_str("margin"));
        if (i > 0)
            made_drop(&made, drop[i - 1]);
        part = made_pack(&made);
        assert_int_equal(fly_suggest_decode(&read, fly_value_root(part.bytes, part.len), &field),
                         i > 0 ? FLY_EWIRE : FLY_OK);
    }
}

static void the_type_of_a_control_message_is_told(void **state)
{
    static const struct {
        const char *word;
        enum fly_control_type type;
    } cases[] = {{"request", FLY_CONTROL_REQUEST}, {"reply", FLY_CONTROL_REPLY}, {"command", FLY_CONTROL_COMMAND},
                 {"ack", FLY_CONTROL_ACK}, {"map", FLY_CONTROL_OTHER}};
    struct fly_part part;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made.n = 0;
        made_set(&made, "type", v_str(cases[i].word));
        part = made_pack(&made);
        assert_int_equal(fly_control_type_of(&part), cases[i].type);
    }
    assert_int_equal(fly_control_type_of(&(struct fly_part){"", 0}), FLY_CONTROL_OTHER);
    assert_int_equal(fly_control_type_of(&(struct fly_part){"\x80", 1}), FLY_CONTROL_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_commanded_is_read_back),
        cmocka_unit_test(a_command_from_elsewhere_is_taken_apart),
        cmocka_unit_test(what_a_target_may_leave_out_is_nil),
        cmocka_unit_test(each_wrong_command_is_refused_by_its_reason),
        cmocka_unit_test(each_wrong_target_is_refused_by_its_reason),
        cmocka_unit_test(a_target_beyond_the_scan_is_outside),
        cmocka_unit_test(targets_of_one_command_are_of_one_signal),
        cmocka_unit_test(parts_behind_the_header_are_refused),
        cmocka_unit_test(a_stop_needs_nothing_but_its_name),
        cmocka_unit_test(what_breaks_a_rule_is_not_sent),
        cmocka_unit_test(data_answer_a_command_by_text_or_number),
        cmocka_unit_test(what_is_acknowledged_is_read_back),
        cmocka_unit_test(each_wrong_ack_is_refused_by_its_reason),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(what_is_suggested_is_read_back),
        cmocka_unit_test(a_wrong_suggestion_is_not_read),
        cmocka_unit_test(the_type_of_a_control_message_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
