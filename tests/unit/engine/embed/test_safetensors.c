#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/embed/safetensors.h"
#include "tests/support/tensors.h"

static const float four[4] = {1.0f, -2.5f, 0.0f, 3e-38f};

static int open_text(struct fly_safetensors **file, struct bytes *bytes, const char *header,
                     size_t data_len)
{
    unsigned char data[64] = {0};

    *bytes = tensors_file(header, data, data_len);
    return fly_safetensors_open(file, bytes->at, bytes->len, "test");
}

/* The header is refused, with a message that has `word` in it. */
static void refused(const char *header, size_t data_len, const char *word)
{
    struct fly_safetensors *file = NULL;
    struct bytes bytes;
    int rc = open_text(&file, &bytes, header, data_len);

    if (rc != FLY_EWIRE || !strstr(fly_fail_text(), word))
        fail_msg("%s: answered %s \"%s\", expected \"%s\"", header, fly_err_name(rc), fly_fail_text(),
                 word);
    assert_null(file);
    free(bytes.at);
}

static void tensors_come_back_as_they_were(void **state)
{
    const int64_t square[2] = {2, 2}, line[1] = {4}, column[2] = {4, 1};
    struct tensors make = {0};
    struct fly_safetensors *file = NULL;
    struct bytes bytes;
    float got[4];

    (void)state;
    tensors_add(&make, "a.weight", 2, square, four);
    tensors_add(&make, "a.bias", 1, line, four);
    bytes = tensors_finish(&make);
    assert_int_equal(fly_safetensors_open(&file, bytes.at, bytes.len, "test"), FLY_OK);
    assert_int_equal(fly_safetensors_count(file), 2);
    assert_string_equal(fly_safetensors_at(file, 0)->name, "a.weight");
    assert_int_equal(fly_safetensors_find(file, "a.bias")->items, 4);
    assert_int_equal(fly_safetensors_read(file, "a.weight", 2, square, got), FLY_OK);
    assert_memory_equal(got, four, sizeof four);

    assert_int_equal(fly_safetensors_read(file, "a.bias", 2, column, got), FLY_EWIRE);
    assert_string_equal(fly_fail_text(), "weights test: tensor a.bias is (4), the network needs (4, 1)");
    assert_int_equal(fly_safetensors_read(file, "b", 2, column, got), FLY_EWIRE);
    assert_string_equal(fly_fail_text(), "weights test: tensor b (4, 1) is missing");
    fly_safetensors_close(&file);
    fly_safetensors_close(&file);
    free(bytes.at);
}

static void half_and_double_numbers_become_float(void **state)
{
    /* 1, -2, smallest half 2^-24, largest half 65504; 0.1 in double; 1.5 in bfloat16 */
    const unsigned char data[] = {0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00, 0xFF, 0x7B, 0x9A, 0x99,
                                  0x99, 0x99, 0x99, 0x99, 0xB9, 0x3F, 0xC0, 0x3F, 0x01, 0x02};
    const char *header = "{\"h\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                         "\"d\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[8,16]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[16,18]},"
                         "\"i\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[18,20]}}  ";
    struct bytes bytes = tensors_file(header, data, sizeof data);
    const int64_t shape4[1] = {4}, shape1[1] = {1}, shape2[1] = {2};
    struct fly_safetensors *file = NULL;
    float got[4];

    (void)state;
    assert_int_equal(fly_safetensors_open(&file, bytes.at, bytes.len, "test"), FLY_OK);
    assert_int_equal(fly_safetensors_read(file, "h", 1, shape4, got), FLY_OK);
    assert_true(got[0] == 1.0f && got[1] == -2.0f && got[2] == 0x1p-24f && got[3] == 65504.0f);
    assert_int_equal(fly_safetensors_read(file, "d", 0, NULL, got), FLY_OK);
    assert_true(got[0] == 0.1f);
    assert_int_equal(fly_safetensors_read(file, "b", 1, shape1, got), FLY_OK);
    assert_true(got[0] == 1.5f);
    assert_int_equal(fly_safetensors_read(file, "i", 1, shape2, got), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "tensor i is U8"));
    fly_safetensors_close(&file);
    free(bytes.at);
}

static void values_that_are_not_finite_are_refused_by_name_and_place(void **state)
{
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    const int64_t shape[1] = {4};

    (void)state;
    for (int i = 0; i < 3; i++) {
        float values[4] = {1.0f, 2.0f, bad[i], 4.0f}, got[4];
        struct tensors make = {0};
        struct fly_safetensors *file = NULL;
        struct bytes bytes;

        tensors_add(&make, "w", 1, shape, values);
        bytes = tensors_finish(&make);
        assert_int_equal(fly_safetensors_open(&file, bytes.at, bytes.len, "test"), FLY_OK);
        assert_int_equal(fly_safetensors_read(file, "w", 1, shape, got), FLY_EWIRE);
        assert_non_null(strstr(fly_fail_text(), "tensor w: item 2 is not a finite"));
        fly_safetensors_close(&file);
        free(bytes.at);
    }
}

static void metadata_is_read_and_escapes_are_decoded(void **state)
{
    const char *header = " { \"__metadata__\" : {\"mean\":\"104,117,123\", \"a\\\"b\" : "
                         "\"\\u00e9\\n\\ud83d\\ude00\\/\"} ,\n \"\\u0077\":{\"shape\":[0,7],"
                         "\"data_offsets\":[0,0],\"dtype\":\"F32\"}}";
    struct fly_safetensors *file = NULL;
    struct bytes bytes;

    (void)state;
    assert_int_equal(open_text(&file, &bytes, header, 0), FLY_OK);
    assert_string_equal(fly_safetensors_metadata(file, "mean"), "104,117,123");
    assert_string_equal(fly_safetensors_metadata(file, "a\"b"), "\xC3\xA9\n\xF0\x9F\x98\x80/");
    assert_null(fly_safetensors_metadata(file, "std"));
    assert_int_equal(fly_safetensors_find(file, "w")->items, 0);
    fly_safetensors_close(&file);
    free(bytes.at);
}

static void every_truncation_is_refused(void **state)
{
    const int64_t shape[1] = {4};
    struct tensors make = {0};
    struct bytes bytes;

    (void)state;
    tensors_add(&make, "w", 1, shape, four);
    bytes = tensors_finish(&make);
    for (size_t len = 0; len < bytes.len; len++) {
        unsigned char *part = malloc(len ? len : 1); /* of its own, so that ASan sees its end */
        struct fly_safetensors *file = NULL;

        memcpy(part, bytes.at, len);
        assert_int_equal(fly_safetensors_open(&file, part, len, "test"), FLY_EWIRE);
        assert_null(file);
        free(part);
    }
    free(bytes.at);
}

static void a_header_over_its_cap_is_refused_unread(void **state)
{
    unsigned char bytes[8] = {1, 0, 0, 1, 0, 0, 0, 0}; /* 16 MiB + 1 */
    struct fly_safetensors *file = NULL;

    (void)state;
    assert_int_equal(fly_safetensors_open(&file, bytes, sizeof bytes, "test"), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "16777217"));
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(fly_safetensors_open(&file, bytes, sizeof bytes, "test"), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "18446744073709551615"));
}

#define W(dtype, shape, range) \
    "\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"

static void ranges_must_fit_the_data_the_shape_and_each_other(void **state)
{
    (void)state;
    refused("{" W("F32", "[2]", "[0,12]") "}", 12, "tensor w: 12 bytes, 2 items of F32 need 8");
    refused("{" W("F32", "[2]", "[4,12]") "}", 8, "tensor w: bytes 4 .. 12, the data has 8");
    refused("{" W("F32", "[2]", "[8,0]") "}", 8, "tensor w: bytes 8 .. 0");
    refused("{" W("F32", "[2]", "[0,9007199254740993]") "}", 8, "2^53");
    refused("{" W("F32", "[4294967296,4294967296]", "[0,8]") "}", 8, "too many items");
    refused("{" W("F32", "[9007199254740992,1024]", "[0,8]") "}", 8, "too many items");
    refused("{" W("F32", "[2]", "[0,8]") ",\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
            12, "tensor v overlaps the one before it by 4 bytes");
    refused("{" W("F32", "[2]", "[0,8]") ",\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            8, "overlaps");
    refused("{" W("F32", "[1]", "[4,8]") "}", 8, "4 bytes before tensor w belong to none");
    refused("{" W("F32", "[1]", "[0,4]") "}", 8, "last 4 bytes belong to no tensor");
    refused("{}", 3, "last 3 bytes");
    refused("{" W("F33", "[1]", "[0,4]") "}", 4, "dtype F33 is unknown");
}

static void names_and_keys_come_once(void **state)
{
    (void)state;
    refused("{" W("F32", "[1]", "[0,4]") "," W("F32", "[1]", "[4,8]") "}", 8, "tensor w is there twice");
    refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ once");
    refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "__metadata__ has a twice");
    refused("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "one each");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", 4, "one each");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"data_offsets\":[0,4]}}", 4,
            "one each");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "needs dtype, shape and two");
    refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "needs dtype, shape and two");
    refused("{\"w\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "needs dtype, shape and two");
    refused("{" W("F32", "[]", "[4]") "}", 4, "needs dtype, shape and two");
}

static void what_is_not_this_json_is_refused(void **state)
{
    static const char *const broken[] = {
        "",
        "[]",
        "{",
        "{\"w\"}",
        "{\"w\":1}",
        "{\"w\":{}",
        "{,}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":\"1\",}}",
        "{\"__metadata__\":{\"a\":\"\\u0000\"}}",
        "{\"__metadata__\":{\"a\":\"\\ud800\"}}",
        "{\"__metadata__\":{\"a\":\"\\udc00\"}}",
        "{\"__metadata__\":{\"a\":\"\\ud800\\u0041\"}}",
        "{\"__metadata__\":{\"a\":\"\\x\"}}",
        "{\"__metadata__\":{\"a\":\"\\u12g4\"}}",
        "{\"__metadata__\":{\"a\":\"\t\"}}",
        "{\"__metadata__\":{\"a\":\"",
        "{\"__metadata__\":{\"a\":\"\\",
        "{\"__metadata__\":{\"a\":\"\\u",
        "{} x",
        "{}{}",
        "{" W("F32", "[-1]", "[0,0]") "}",
        "{" W("F32", "[1.0]", "[0,4]") "}",
        "{" W("F32", "[01]", "[0,4]") "}",
        "{" W("F32", "[1e0]", "[0,4]") "}",
        "{" W("F32", "[1,]", "[0,4]") "}",
        "{" W("F32", "[1", "[0,4]") "}",
        "{" W("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}",
        "{" W("F32", "[]", "[0,4,4]") "}",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"more\":1}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        refused(broken[i], 0, "weights test: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_back_as_they_were),
        cmocka_unit_test(half_and_double_numbers_become_float),
        cmocka_unit_test(values_that_are_not_finite_are_refused_by_name_and_place),
        cmocka_unit_test(metadata_is_read_and_escapes_are_decoded),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_header_over_its_cap_is_refused_unread),
        cmocka_unit_test(ranges_must_fit_the_data_the_shape_and_each_other),
        cmocka_unit_test(names_and_keys_come_once),
        cmocka_unit_test(what_is_not_this_json_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
