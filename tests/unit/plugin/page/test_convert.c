#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "plugin/page/convert.h"
#include "stream/publish.h"

static unsigned char room[FLY_HEADER_MAX];
static struct fly_pack pack;

static void empty(void)
{
    fly_pack_init(&pack, room, sizeof room);
}

/* ---- requests ------------------------------------------------------------------------------------ */

static int request(const char *text)
{
    empty();
    return fly_request_of_json(&pack, 7, text, strlen(text));
}

static struct fly_value got(const char *key)
{
    struct fly_value value;

    assert_true(fly_value_get(fly_value_root(room, pack.len), key, &value));
    return value;
}

static void a_request_has_the_types_that_it_was_written_in(void **state)
{
    struct fly_value args, value, key, item;
    struct fly_value_iter it = {0};
    const char *text;
    uint64_t id;
    int64_t number;
    double real;
    size_t len;
    int truth;

    (void)state;
    assert_int_equal(request("{\"op\": \"support.add\", \"args\": {\"class\": \"\\u00c4\", \"chips\": [[1, 2]], \"w\": 0.5, "
                             "\"exact\": true, \"none\": null, \"far\": -3}}"), FLY_OK);
    assert_int_equal(fly_wire_scan(room, pack.len), FLY_REFUSE_NONE);
    assert_true(fly_value_str(got("type"), &text, &len) && len == 7 && memcmp(text, "request", 7) == 0);
    assert_true(fly_value_uint(got("id"), &id) && id == 7);
    assert_true(fly_value_str(got("op"), &text, &len) && len == 11);
    args = got("args");
    assert_true(fly_value_get(args, "class", &value) && fly_value_str(value, &text, &len) && len == 2);
    assert_memory_equal(text, "\xc3\x84", 2);
    assert_true(fly_value_get(args, "chips", &value) && fly_value_next(value, &it, &key, &item));
    assert_int_equal(fly_value_count(item), 2);
    assert_true(fly_value_get(args, "w", &value) && fly_value_kind(value) == FLY_KIND_FLOAT);
    assert_true(fly_value_f64(value, &real) && real == 0.5);
    assert_true(fly_value_get(args, "exact", &value) && fly_value_bool(value, &truth) && truth);
    assert_true(fly_value_get(args, "none", &value) && fly_value_kind(value) == FLY_KIND_NIL);
    assert_true(fly_value_get(args, "far", &value) && fly_value_int(value, &number) && number == -3);
    assert_int_equal(request("{\"op\": \"status\"}"), FLY_OK);
    assert_int_equal(fly_value_kind(got("args")), FLY_KIND_NIL);
}

static void what_is_no_request_is_refused_in_words(void **state)
{
    static const char *const cases[] = {"", "{", "[]", "null", "7", "\"status\"", "{}", "{\"op\": 3}", "{\"op\": null}",
                                        "{\"op\": \"a\", \"args\": []}", "{\"op\": \"a\", \"args\": \"x\"}",
                                        "{\"op\": \"a\", \"op\": \"b\"}", "{\"op\": \"a\"} x", "{\"op\": \"\\ud800\"}",
                                        "{\"op\": \"a\", \"args\": {\"x\": 1e999}}", "{\"op\": \"a\", \"args\": {\"x\": NaN}}",
                                        "{\"op\": \"a\", \"args\": {\"x\": 99999999999999999999}}", "{\"op\": \"\\u0000\"}",
                                        "{\"op\": \"a\", \"args\": {\"x\": [[[[[[[[1]]]]]]]]}}"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = request(cases[i]);

        if (rc != FLY_ERANGE)
            fail_msg("%s: %d", cases[i], rc);
        assert_true(strlen(fly_fail_text()) > 0);
    }
    assert_int_equal(fly_request_of_json(&pack, 7, "{\"op\": \"a\xff\"}", 12), FLY_ERANGE);
}

static void a_request_too_long_for_the_wire_is_refused(void **state)
{
    static char text[40000];
    size_t len = (size_t)snprintf(text, sizeof text, "{\"op\": \"a\", \"args\": {\"x\": [");

    (void)state;
    while (len + 20 < sizeof text)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s0.1", text[len - 1] == '[' ? "" : ",");
    snprintf(text + len, sizeof text - len, "]}}");
    assert_int_equal(request(text), FLY_ENOMEM); /* 4 bytes of JSON become 9 */
}

/* ---- bundles ------------------------------------------------------------------------------------- */

/* Taken apart by the page's own rules: the header's JSON, and where the payloads lie. */
static json_t *open_bundle(const struct fly_blob *blob, const unsigned char *payload[], size_t len[])
{
    uint32_t n;
    size_t at, i;
    json_t *header, *item;

    memcpy(&n, blob->bytes, 4);
    header = json_loadb((const char *)blob->bytes + 4, n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    at = (4 + n + 7) / 8 * 8;
    for (i = 4 + n; i < at; i++)
        assert_int_equal(blob->bytes[i], 0);
    json_array_foreach(json_object_get(header, "payloads"), i, item) {
        const char *dtype = json_string_value(json_object_get(item, "dtype"));
        size_t bytes = (size_t)(dtype[2] - '0'), d;
        json_t *side;

        json_array_foreach(json_object_get(item, "shape"), d, side)
            bytes *= (size_t)json_integer_value(side);
        payload[i] = blob->bytes + at;
        len[i] = bytes;
        assert_true(at % 8 == 0);
        at += bytes;
        for (; at % 8; at++)
            assert_int_equal(blob->bytes[at], 0);
    }
    assert_int_equal(at, blob->len);
    return header;
}

static void bundles_of_every_length_come_apart_again(void **state)
{
    struct fly_rng rng = {9};
    unsigned char bytes[3][64];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        const unsigned char *payload[3];
        int32_t n = (int32_t)fly_rng_below(&rng, 4);
        struct fly_bundle_part parts[3];
        struct fly_blob *blob;
        struct fly_text text;
        struct fly_json json;
        char note[24] = "";
        size_t len[3];
        json_t *header;

        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 64; j++)
                bytes[i][j] = (unsigned char)fly_rng_below(&rng, 256);
            parts[i] = (struct fly_bundle_part){bytes[i], i == 0 ? "|u1" : i == 1 ? "<u2" : "<f4", 2,
                                                {(int64_t)fly_rng_below(&rng, 5), (int64_t)fly_rng_below(&rng, 4)}};
        }
        memset(note, 'x', (size_t)fly_rng_below(&rng, 16));
        fly_text_init(&text);
        fly_json_init(&json, &text, 1);
        fly_json_object(&json);
        fly_json_key(&json, "note");
        fly_json_str(&json, note);
        blob = fly_bundle_make(&json, parts, n);
        assert_non_null(blob);
        assert_true(blob->is_bundle);
        header = open_bundle(blob, payload, len);
        assert_string_equal(json_string_value(json_object_get(header, "note")), note);
        assert_int_equal(json_array_size(json_object_get(header, "payloads")), n);
        for (int32_t i = 0; i < n; i++)
            assert_memory_equal(payload[i], bytes[i], len[i]);
        json_decref(header);
        fly_blob_drop(&blob);
        fly_text_fini(&text);
    }
}

/* ---- replies ------------------------------------------------------------------------------------- */

static void begin_reply(int ok)
{
    empty();
    fly_pack_map(&pack, 4);
    fly_pack_str(&pack, "type");
    fly_pack_str(&pack, "reply");
    fly_pack_str(&pack, "id");
    fly_pack_int(&pack, 1);
    fly_pack_str(&pack, "ok");
    fly_pack_bool(&pack, ok);
    fly_pack_str(&pack, ok ? "result" : "error");
}

static void replies_without_arrays_are_json(void **state)
{
    struct fly_blob *blob;

    (void)state;
    begin_reply(1);
    fly_pack_map(&pack, 3);
    fly_pack_str(&pack, "n");
    fly_pack_uint(&pack, UINT64_MAX);
    fly_pack_str(&pack, "x");
    fly_pack_f64(&pack, 0.1);
    fly_pack_str(&pack, "none");
    fly_pack_nil(&pack);
    assert_int_equal(fly_reply_to_json(&blob, "status", fly_value_root(room, pack.len), NULL, 0), FLY_OK);
    assert_false(blob->is_bundle);
    assert_int_equal(blob->len, strlen("{\"ok\": true, \"result\": {\"n\": 18446744073709551615, \"x\": 0.1, \"none\": null}}"));
    assert_memory_equal(blob->bytes, "{\"ok\": true, \"result\": {\"n\": 18446744073709551615, \"x\": 0.1, \"none\": null}}",
                        blob->len);
    fly_blob_drop(&blob);
    begin_reply(0);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "code");
    fly_pack_str(&pack, "busy");
    fly_pack_str(&pack, "message");
    fly_pack_str(&pack, "say \"when\"");
    assert_int_equal(fly_reply_to_json(&blob, "status", fly_value_root(room, pack.len), NULL, 0), FLY_OK);
    assert_memory_equal(blob->bytes, "{\"ok\": false, \"error\": {\"code\": \"busy\", \"message\": \"say \\\"when\\\"\"}}",
                        blob->len);
    fly_blob_drop(&blob);
}

static void pack_pair(const char *key, int64_t a, int64_t b)
{
    fly_pack_str(&pack, key);
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, a);
    fly_pack_int(&pack, b);
}

static void the_arrays_of_a_reply_have_the_shape_that_its_result_tells(void **state)
{
    static const unsigned char bytes[96];
    struct fly_part payloads[2] = {{bytes, 24}, {bytes, 24}};
    const unsigned char *payload[2];
    struct fly_blob *blob;
    size_t len[2];
    json_t *header, *list;
    char *said;

    (void)state;
    begin_reply(1);
    fly_pack_map(&pack, 2);
    pack_pair("grid_shape", 1, 3);
    fly_pack_str(&pack, "elements");
    fly_pack_array(&pack, 2);
    fly_pack_str(&pack, "Sr");
    fly_pack_str(&pack, "Ti");
    assert_int_equal(fly_reply_to_json(&blob, "elements.get", fly_value_root(room, pack.len), payloads, 2), FLY_OK);
    assert_true(blob->is_bundle);
    header = open_bundle(blob, payload, len);
    list = json_object_get(header, "payloads");
    said = json_dumps(list, JSON_COMPACT);
    assert_string_equal(said, "[{\"dtype\":\"<f4\",\"shape\":[2,1,3]},{\"dtype\":\"<f4\",\"shape\":[2,1,3]}]");
    assert_true(json_is_true(json_object_get(header, "ok")));
    free(said);
    json_decref(header);
    fly_blob_drop(&blob);

    /* One that does not have that length is bytes, not read beyond. */
    payloads[1].len = 23;
    assert_int_equal(fly_reply_to_json(&blob, "elements.get", fly_value_root(room, pack.len), payloads, 2), FLY_OK);
    header = open_bundle(blob, payload, len);
    said = json_dumps(json_object_get(header, "payloads"), JSON_COMPACT);
    assert_string_equal(said, "[{\"dtype\":\"<f4\",\"shape\":[2,1,3]},{\"dtype\":\"|u1\",\"shape\":[23]}]");
    free(said);
    json_decref(header);
    fly_blob_drop(&blob);
}

static void doses_have_the_shape_of_the_grid(void **state)
{
    static const float mean[6] = {1, 2, 3, 4, 5, 6}, most[6] = {2, 3, 4, 5, 6, 7};
    struct fly_pub_dose dose = {.calibrated = 1, .factor = 1, .full_shape = {2, 3}, .max = 7, .mean = 3.5, .gini = NAN,
                                .survey = 1, .cap = NAN, .chips = mean};
    struct fly_part payloads[2] = {{mean, sizeof mean}, {most, sizeof most}};
    const unsigned char *payload[2];
    struct fly_blob *blob;
    json_t *header;
    size_t len[2];
    char *said;

    (void)state;
    begin_reply(1);
    fly_pub_pack_dose(&pack, &dose);
    assert_int_equal(fly_reply_to_json(&blob, "dose.get", fly_value_root(room, pack.len), payloads, 2), FLY_OK);
    assert_true(blob->is_bundle);
    header = open_bundle(blob, payload, len);
    assert_memory_equal(payload[1], most, sizeof most);
    said = json_dumps(json_object_get(header, "payloads"), JSON_COMPACT);
    assert_string_equal(said, "[{\"dtype\":\"<f4\",\"shape\":[2,3]},{\"dtype\":\"<f4\",\"shape\":[2,3]}]");
    free(said);
    json_decref(header);
    fly_blob_drop(&blob);
}

static void what_is_no_reply_is_refused(void **state)
{
    struct fly_blob *blob;

    (void)state;
    empty();
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "ok");
    fly_pack_bool(&pack, 1);
    assert_int_equal(fly_reply_to_json(&blob, "x", fly_value_root(room, pack.len), NULL, 0), FLY_EWIRE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_the_types_that_it_was_written_in),
        cmocka_unit_test(what_is_no_request_is_refused_in_words),
        cmocka_unit_test(a_request_too_long_for_the_wire_is_refused),
        cmocka_unit_test(bundles_of_every_length_come_apart_again),
        cmocka_unit_test(replies_without_arrays_are_json),
        cmocka_unit_test(the_arrays_of_a_reply_have_the_shape_that_its_result_tells),
        cmocka_unit_test(doses_have_the_shape_of_the_grid),
        cmocka_unit_test(what_is_no_reply_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
