#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "stream/request.h"
#include "tests/unit/stream/wire_make.h"

static struct made made;
static struct fly_request request;

static void make(void)
{
    made.n = 0;
    made_set(&made, "type", v_str("request"));
    made_set(&made, "id", v_int(7));
    made_set(&made, "op", v_str("support.add"));
    made_set(&made, "args", v_map(2, (const char *const[]){"class", "chips"},
                                  (const struct made_value[]){v_str("a"), V_RAW("\x92\x92\x00\x01\x92\x02\x03")}));
}

static enum fly_refusal decode(void)
{
    const struct fly_part header = made_pack(&made);

    return fly_request_decode(&request, &header, 1);
}

static void a_request_is_taken_apart(void **state)
{
    struct fly_part parts[3] = {{0}, {"x", 1}, {"yz", 2}};
    struct fly_value value;

    make();
    parts[0] = made_pack(&made);
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_request_decode(&request, parts, 3));
    assert_string_equal(request.op, "support.add");
    assert_int_equal(request.id.len, 1);
    assert_memory_equal(request.id.bytes, "\x07", 1);
    assert_int_equal(fly_value_get(request.args, "class", &value), 1);
    assert_int_equal(request.n_payloads, 2);
    assert_int_equal(request.payloads[1].len, 2);
}

static void id_and_args_may_be_left_out(void **state)
{
    make();
    made_drop(&made, "id");
    made_drop(&made, "args");
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(fly_value_count(request.args), 0);
    assert_int_equal(request.id.len, 1);
    assert_memory_equal(request.id.bytes, "\xc0", 1);
    made_set(&made, "args", v_nil());
    ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
    assert_int_equal(fly_value_count(request.args), 0);
}

static void a_request_that_is_made_is_taken_apart(void **state)
{
    for (int with_args = 0; with_args < 2; with_args++) {
        unsigned char header[128];
        struct fly_pack pack;
        struct fly_part part;
        struct fly_value value;
        int64_t number;

        fly_pack_init(&pack, header, sizeof header);
        fly_request_begin(&pack, 7, "status");
        if (with_args) {
            fly_pack_map(&pack, 1);
            fly_pack_key_int(&pack, "r", 3);
        } else {
            fly_pack_nil(&pack);
        }
        part = (struct fly_part){header, pack.len};
        ASSERT_REFUSED(FLY_REFUSE_NONE, fly_request_decode(&request, &part, 1));
        assert_string_equal(request.op, "status");
        assert_memory_equal(request.id.bytes, "\x07", 1);
        assert_int_equal(fly_value_count(request.args), with_args);
        if (with_args)
            assert_true(fly_value_get(request.args, "r", &value) && fly_value_int(value, &number) && number == 3);
    }
}

static void wrong_requests_are_refused_with_their_id(void **state)
{
    static char op[66];
    memset(op, 'o', 65);
    const struct {
        const char *key;
        struct made_value value;
        enum fly_refusal why;
    } twists[] = {
        {"type", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"type", v_str("lines"), FLY_REFUSE_UNKNOWN_TYPE},
        {"op", v_int(1), FLY_REFUSE_BAD_TYPE},
        {"op", v_str(""), FLY_REFUSE_BAD_VALUE},
        {"op", v_str(op), FLY_REFUSE_BAD_VALUE},
        {"op", V_RAW("\xa3" "a\0b"), FLY_REFUSE_BAD_VALUE},
        {"args", V_INTS(1), FLY_REFUSE_BAD_TYPE},
        {"args", V_RAW("\x81\xa1x\xca\x7f\xc0\x00\x00"), FLY_REFUSE_BAD_VALUE},
    };

    for (size_t i = 0; i < sizeof twists / sizeof twists[0]; i++) {
        make();
        made_set(&made, twists[i].key, twists[i].value);
        ASSERT_REFUSED(twists[i].why, decode());
        assert_memory_equal(request.id.bytes, "\x07", 1);
        assert_true(strlen(fly_fail_text()) > 5);
    }
    make();
    made_drop(&made, "type");
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode());
    make();
    made_drop(&made, "op");
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, decode());
    assert_memory_equal(request.id.bytes, "\x07", 1);
    ASSERT_REFUSED(FLY_REFUSE_MALFORMED, fly_request_decode(&request, NULL, 0));
}

static void what_cannot_be_echoed_comes_back_as_nil(void **state)
{
    struct made_value *items = calloc(1, sizeof *items);
    struct fly_pack pack;

    make();
    made_set(&made, "id", V_RAW("\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, decode());
    assert_memory_equal(request.id.bytes, "\xc0", 1);
    /* 4096 bytes of id is the most: 3 of head, 4093 of text. */
    for (int over = 0; over < 2; over++) {
        char text[FLY_STRING_MAX];

        memset(text, 'i', sizeof text);
        make();
        made_drop(&made, "args");
        fly_pack_init(&pack, items->bytes, sizeof items->bytes);
        fly_pack_array(&pack, 1 + (uint32_t)over);
        fly_pack_strn(&pack, text, FLY_REQUEST_ID_MAX - 4 - (size_t)over);
        if (over)
            fly_pack_nil(&pack);
        items->len = pack.len;
        assert_int_equal(pack.full, 0);
        assert_int_equal(items->len, FLY_REQUEST_ID_MAX);
        made_set(&made, "id", *items);
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
        assert_int_equal(request.id.len, FLY_REQUEST_ID_MAX);
    }
    {
        static unsigned char header[8192];
        struct fly_part part;
        char text[FLY_STRING_MAX];

        memset(text, 'i', sizeof text);
        fly_pack_init(&pack, header, sizeof header);
        fly_pack_map(&pack, 2);
        fly_pack_str(&pack, "type");
        fly_pack_str(&pack, "request");
        fly_pack_str(&pack, "id");
        fly_pack_strn(&pack, text, sizeof text);
        part = (struct fly_part){header, pack.len};
        ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_request_decode(&request, &part, 1));
        assert_memory_equal(request.id.bytes, "\xc0", 1);
    }
    free(items);
}

static void too_many_or_too_large_parts_are_refused(void **state)
{
    struct fly_part parts[FLY_PARTS_MAX + 1] = {{0}};

    make();
    parts[0] = made_pack(&made);
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_request_decode(&request, parts, FLY_PARTS_MAX));
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_request_decode(&request, parts, FLY_PARTS_MAX + 1));
    parts[1].len = FLY_PAYLOAD_MAX + 1;
    ASSERT_REFUSED(FLY_REFUSE_OVERSIZE, fly_request_decode(&request, parts, 2));
    assert_memory_equal(request.id.bytes, "\x07", 1);
}

static void replies_echo_the_id_whatever_it_is(void **state)
{
    const struct made_value ids[] = {v_int(-5), v_str("abc"), v_nil(), V_INTS(1, 2),
                                     v_map(1, (const char *const[]){"k"}, (const struct made_value[]){v_f64(1.5)})};

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        unsigned char room[512];
        struct fly_pack pack;
        struct fly_value root, value;
        const void *bytes;
        const char *text;
        size_t len;
        int ok;

        make();
        made_set(&made, "id", ids[i]);
        ASSERT_REFUSED(FLY_REFUSE_NONE, decode());
        fly_pack_init(&pack, room, sizeof room);
        fly_reply_begin(&pack, &request);
        fly_pack_map(&pack, 0);
        assert_int_equal(fly_wire_scan(room, pack.len), FLY_REFUSE_NONE);
        root = fly_value_root(room, pack.len);
        assert_int_equal(fly_value_get(root, "id", &value), 1);
        len = fly_value_bytes(value, &bytes);
        assert_int_equal(len, ids[i].len);
        assert_memory_equal(bytes, ids[i].bytes, len);
        assert_int_equal(fly_value_get(root, "ok", &value) && fly_value_bool(value, &ok) && ok, 1);
        assert_int_equal(fly_value_get(root, "result", &value), 1);

        fly_pack_init(&pack, room, sizeof room);
        fly_reply_error(&pack, &request, "bad_value", "args.r 9, allowed are 0 .. 3");
        assert_int_equal(fly_wire_scan(room, pack.len), FLY_REFUSE_NONE);
        root = fly_value_root(room, pack.len);
        assert_int_equal(fly_value_get(root, "ok", &value) && fly_value_bool(value, &ok) && !ok, 1);
        assert_int_equal(fly_value_get(root, "error", &value), 1);
        assert_int_equal(fly_value_get(value, "message", &value), 1);
        assert_int_equal(fly_value_str(value, &text, &len), 1);
        assert_memory_equal(text, "args.r 9", 8);
    }
}

/* ---- arguments ----------------------------------------------------------------------------------- */

static struct fly_value args_of(const char *key, struct made_value value)
{
    struct fly_part header;

    made.n = 0;
    made_set(&made, key, value);
    header = made_pack(&made);
    assert_int_equal(fly_wire_scan(header.bytes, header.len), FLY_REFUSE_NONE);
    return fly_value_root(header.bytes, header.len);
}

static void a_string_argument_has_its_limits(void **state)
{
    char text[5];

    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_str(args_of("class", v_str("abcd")), "class", 4, text));
    assert_string_equal(text, "abcd");
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, fly_arg_str(args_of("class", v_str("abcde")), "class", 4, text));
    assert_non_null(strstr(fly_fail_text(), "args.class"));
    assert_non_null(strstr(fly_fail_text(), "1 .. 4"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, fly_arg_str(args_of("class", v_str("")), "class", 4, text));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, fly_arg_str(args_of("class", V_RAW("\xa2" "a\0")), "class", 4, text));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, fly_arg_str(args_of("class", v_int(1)), "class", 4, text));
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, fly_arg_str(args_of("klass", v_str("a")), "class", 4, text));
    assert_non_null(strstr(fly_fail_text(), "class"));
}

static void an_integer_argument_has_its_range(void **state)
{
    int64_t out;

    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_int(args_of("r", v_int(3)), "r", 0, 3, &out));
    assert_int_equal(out, 3);
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, fly_arg_int(args_of("r", v_int(4)), "r", 0, 3, &out));
    assert_non_null(strstr(fly_fail_text(), "args.r"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, fly_arg_int(args_of("r", v_uint(UINT64_MAX)), "r", 0, 3, &out));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, fly_arg_int(args_of("r", v_f64(3)), "r", 0, 3, &out));
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, fly_arg_int(args_of("c", v_int(3)), "r", 0, 3, &out));
}

static void a_bool_argument_has_a_default(void **state)
{
    int out;

    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_bool(args_of("exact", v_bool(1)), "exact", 0, &out));
    assert_int_equal(out, 1);
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_bool(args_of("exact", v_nil()), "exact", 1, &out));
    assert_int_equal(out, 1);
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_bool(args_of("other", v_nil()), "exact", 0, &out));
    assert_int_equal(out, 0);
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, fly_arg_bool(args_of("exact", v_int(1)), "exact", 0, &out));
}

static void a_word_is_one_of_those_allowed(void **state)
{
    static const char *const words[] = {"fewshot", "community", "ward"};
    int32_t out = -1;

    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_word(args_of("method", v_str("ward")), "method", words, 3, &out));
    assert_int_equal(out, 2);
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE,
                   fly_arg_word(args_of("method", v_str("war")), "method", words, 3, &out));
    assert_non_null(strstr(fly_fail_text(), "fewshot, community, ward"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, fly_arg_word(args_of("method", v_int(2)), "method", words, 3, &out));
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY, fly_arg_word(args_of("m", v_int(2)), "method", words, 3, &out));
}

static void chips_are_pairs_within_the_grid(void **state)
{
    int32_t chips[4], count;
#define CHIPS(text) fly_arg_chips(args_of("chips", V_RAW(text)), "chips", 3, 5, chips, 4, &count)

    ASSERT_REFUSED(FLY_REFUSE_NONE, CHIPS("\x92\x92\x00\x01\x92\x02\x04"));
    assert_int_equal(count, 2);
    assert_int_equal(chips[0], 1);
    assert_int_equal(chips[1], 14);
    ASSERT_REFUSED(FLY_REFUSE_NONE, CHIPS("\x94\x92\x00\x01\x92\x00\x01\x92\x00\x01\x92\x00\x01"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x95\x92\x00\x01\x92\x00\x01\x92\x00\x01\x92\x00\x01\x92\x00\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x90"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x92\x03\x01"));
    assert_non_null(strstr(fly_fail_text(), "args.chips[0]"));
    assert_non_null(strstr(fly_fail_text(), "[3, 5]"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x92\x00\x05"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x92\xff\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x91\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, CHIPS("\x91\x93\x00\x00\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, CHIPS("\x91\x92\xca\x00\x00\x00\x00\x00"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, CHIPS("\x91\x01"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, CHIPS("\x01"));
    ASSERT_REFUSED(FLY_REFUSE_BAD_KEY,
                   fly_arg_chips(args_of("chip", v_nil()), "chips", 3, 5, chips, 4, &count));
#undef CHIPS
}

static void limits_are_numbers_above_nothing_or_not_there(void **state)
{
    static const char *const keys[] = {"dose_e_per_A2", "box_px", "rate_hz"};
    double out[3];
#define LIMITS(value) fly_arg_limits(args_of("limits", value), &out[0], &out[1], &out[2])
#define ONE(i, value) LIMITS(v_map(1, &keys[i], (const struct made_value[]){value}))

    ASSERT_REFUSED(FLY_REFUSE_NONE, LIMITS(v_map(3, keys, (const struct made_value[]){v_f64(0.5), v_int(30), v_f64(1e15)})));
    assert_true(out[0] == 0.5 && out[1] == 30.0 && out[2] == 1e15);
    ASSERT_REFUSED(FLY_REFUSE_NONE, LIMITS(v_nil()));
    assert_true(isnan(out[0]) && isnan(out[1]) && isnan(out[2]));
    ASSERT_REFUSED(FLY_REFUSE_NONE, fly_arg_limits(args_of("mode", v_nil()), &out[0], &out[1], &out[2]));
    assert_true(isnan(out[0]) && isnan(out[1]) && isnan(out[2]));
    ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, LIMITS(v_int(3)));
    for (int i = 0; i < 3; i++) {
        ASSERT_REFUSED(FLY_REFUSE_NONE, ONE(i, v_nil()));
        assert_true(isnan(out[i]));
        ASSERT_REFUSED(FLY_REFUSE_NONE, ONE(i, v_f64(1e-300)));
        assert_true(out[i] == 1e-300 && isnan(out[(i + 1) % 3]));
        ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, ONE(i, v_int(0)));
        ASSERT_REFUSED(FLY_REFUSE_BAD_VALUE, ONE(i, v_f64(1.0000001e15)));
        assert_non_null(strstr(fly_fail_text(), keys[i]));
        ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, ONE(i, v_str("1")));
        ASSERT_REFUSED(FLY_REFUSE_BAD_TYPE, ONE(i, v_bool(1)));
        assert_non_null(strstr(fly_fail_text(), keys[i]));
    }
#undef ONE
#undef LIMITS
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_taken_apart),
        cmocka_unit_test(id_and_args_may_be_left_out),
        cmocka_unit_test(a_request_that_is_made_is_taken_apart),
        cmocka_unit_test(wrong_requests_are_refused_with_their_id),
        cmocka_unit_test(what_cannot_be_echoed_comes_back_as_nil),
        cmocka_unit_test(too_many_or_too_large_parts_are_refused),
        cmocka_unit_test(replies_echo_the_id_whatever_it_is),
        cmocka_unit_test(a_string_argument_has_its_limits),
        cmocka_unit_test(an_integer_argument_has_its_range),
        cmocka_unit_test(a_bool_argument_has_a_default),
        cmocka_unit_test(a_word_is_one_of_those_allowed),
        cmocka_unit_test(chips_are_pairs_within_the_grid),
        cmocka_unit_test(limits_are_numbers_above_nothing_or_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
