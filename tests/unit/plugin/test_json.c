#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "plugin/json.h"
#include "plugin/number.h"

static void nested_values_are_indented_by_one_space(void **state)
{
    struct fly_text text;
    struct fly_json json;

    (void)state;
    fly_text_init(&text);
    fly_json_init(&json, &text, 0);
    fly_json_object(&json);
    fly_json_key(&json, "n");
    fly_json_int(&json, -3);
    fly_json_key(&json, "list");
    fly_json_array(&json);
    fly_json_uint(&json, UINT64_MAX);
    fly_json_object(&json);
    fly_json_end(&json);
    fly_json_array(&json);
    fly_json_end(&json);
    fly_json_end(&json);
    fly_json_key(&json, "row");
    fly_json_row(&json);
    fly_json_f64(&json, 0.1);
    fly_json_row(&json);
    fly_json_bool(&json, 1);
    fly_json_null(&json);
    fly_json_end(&json);
    fly_json_end(&json);
    fly_json_key(&json, "after");
    fly_json_array(&json);
    fly_json_str(&json, "x");
    fly_json_end(&json);
    fly_json_end(&json);
    fly_json_done(&json);
    assert_string_equal(text.bytes, "{\n \"n\": -3,\n \"list\": [\n  18446744073709551615,\n  {},\n  []\n ],\n"
                                    " \"row\": [0.1, [true, null]],\n \"after\": [\n  \"x\"\n ]\n}\n");
    assert_int_equal(fly_text_done(&text, "test"), FLY_OK);
    fly_text_fini(&text);
}

static void one_line_has_one_line_break(void **state)
{
    struct fly_text text;
    struct fly_json json;

    (void)state;
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "a");
    fly_json_array(&json);
    fly_json_int(&json, INT64_MIN);
    fly_json_int(&json, 2);
    fly_json_end(&json);
    fly_json_key(&json, "b");
    fly_json_object(&json);
    fly_json_end(&json);
    fly_json_end(&json);
    fly_json_done(&json);
    assert_string_equal(text.bytes, "{\"a\": [-9223372036854775808, 2], \"b\": {}}\n");
    fly_text_fini(&text);
}

static void write_string(struct fly_text *text, const char *bytes, size_t len)
{
    struct fly_json json;

    fly_text_clear(text);
    fly_json_init(&json, text, 1);
    fly_json_strn(&json, bytes, len);
    fly_json_done(&json);
}

static void strings_are_escaped_and_broken_utf8_is_replaced(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "\"plain\"\n"},
        {"q\"b\\n\nt\tc\x01\x1F\x7F", "\"q\\\"b\\\\n\\nt\\tc\\u0001\\u001f\\u007f\"\n"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"\n"},
        {"a\xFFz", "\"a\xEF\xBF\xBDz\"\n"},
        {"\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"\n"},             /* overlong slash */
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"\n"}, /* a surrogate */
        {"\xF4\x90\x80\x80!", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!\"\n"},
        {"cut \xE2\x82", "\"cut \xEF\xBF\xBD\xEF\xBF\xBD\"\n"},
    };
    struct fly_text text;

    (void)state;
    fly_text_init(&text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_string(&text, cases[i].in, strlen(cases[i].in));
        assert_string_equal(text.bytes, cases[i].out);
    }
    write_string(&text, "a\0b", 3);
    assert_string_equal(text.bytes, "\"a\\u0000b\"\n");
    fly_text_fini(&text);
}

static void random_bytes_always_make_a_string_that_another_parser_takes(void **state)
{
    struct fly_rng rng = {7};
    struct fly_text text;

    (void)state;
    fly_text_init(&text);
    for (int round = 0; round < 5000; round++) {
        char bytes[24];
        size_t len = (size_t)fly_rng_below(&rng, sizeof bytes);
        json_t *value;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(fly_rng_below(&rng, 3) ? 0x80 + fly_rng_below(&rng, 128) : fly_rng_below(&rng, 256));
        write_string(&text, bytes, len);
        assert_true(fly_utf8_valid(text.bytes, text.len));
        value = json_loadb(text.bytes, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(value);
        if (fly_utf8_valid(bytes, len)) {
            assert_int_equal(json_string_length(value), len);
            assert_memory_equal(json_string_value(value), bytes, len);
        }
        json_decref(value);
    }
    fly_text_fini(&text);
}

static void numbers_read_back_as_the_same_double(void **state)
{
    static const double awkward[] = {0.1, 1.0 / 3, 1e-320, 5e-324, 1.7976931348623157e308, 123456789012345680.0,
                                     -0.0, 2.2250738585072014e-308, 9007199254740993.0, 0.30000000000000004};
    struct fly_rng rng = {11};
    char text[FLY_NUMBER_CAP];

    (void)state;
    assert_string_equal(fly_number_print(text, 0.1), "0.1");
    assert_string_equal(fly_number_print(text, 15), "15");
    assert_string_equal(fly_number_print(text, 0.30000000000000004), "0.30000000000000004");
    assert_string_equal(fly_number_print(text, NAN), "nan");
    assert_string_equal(fly_number_print(text, -INFINITY), "-inf");
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = fly_rng_next(&rng);
        double value, back = 0;

        memcpy(&value, &bits, sizeof value);
        if (i < (int)(sizeof awkward / sizeof *awkward))
            value = awkward[i];
        if (!isfinite(value))
            continue;
        fly_number_print(text, value);
        assert_true(fly_number_parse(text, strlen(text), &back));
        assert_memory_equal(&back, &value, sizeof value);
    }
}

static void numbers_that_are_not_finite_become_null(void **state)
{
    struct fly_text text;
    struct fly_json json;

    (void)state;
    fly_text_init(&text);
    fly_json_init(&json, &text, 0);
    fly_json_row(&json);
    fly_json_f64(&json, NAN);
    fly_json_f64(&json, INFINITY);
    fly_json_f64(&json, -INFINITY);
    fly_json_end(&json);
    fly_json_done(&json);
    assert_string_equal(text.bytes, "[null, null, null]\n");
    fly_text_fini(&text);
}

static void only_decimal_numbers_are_numbers(void **state)
{
    static const char *const bad[] = {"", "+", "-", ".", "e5", "1e", "1e+", "0x10", "nan", "inf", "1 ", " 1",
                                      "1,5", "1.2.3", "--1", "1e400", "1_000", "0b1"};
    static const char *const bad_int[] = {"", "+", "1.0", "1e3", "0x1", "9223372036854775808", "1 ", "one"};
    double value;
    int64_t whole;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(fly_number_parse(bad[i], strlen(bad[i]), &value));
    for (size_t i = 0; i < sizeof bad_int / sizeof *bad_int; i++)
        assert_false(fly_integer_parse(bad_int[i], strlen(bad_int[i]), &whole));
    assert_true(fly_number_parse("-.5e1", 5, &value) && value == -5);
    assert_true(fly_number_parse("7.", 2, &value) && value == 7);
    assert_true(fly_integer_parse("-9223372036854775808", 20, &whole) && whole == INT64_MIN);
}

/* A decimal comma in the locale once makes half of all C programs write wrong JSON. */
static void a_decimal_comma_in_the_locale_changes_nothing(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    char text[FLY_NUMBER_CAP];
    double value;
    int found = 0;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0;
    if (!found) {
        print_message("NOT RUN: no locale with a decimal comma is installed\n");
        setlocale(LC_ALL, "C");
        skip();
    }
    assert_string_equal(fly_number_print(text, 1.5e-7), "1.5e-07");
    assert_true(fly_number_parse("2.25", 4, &value) && value == 2.25);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_values_are_indented_by_one_space),
        cmocka_unit_test(one_line_has_one_line_break),
        cmocka_unit_test(strings_are_escaped_and_broken_utf8_is_replaced),
        cmocka_unit_test(random_bytes_always_make_a_string_that_another_parser_takes),
        cmocka_unit_test(numbers_read_back_as_the_same_double),
        cmocka_unit_test(numbers_that_are_not_finite_become_null),
        cmocka_unit_test(only_decimal_numbers_are_numbers),
        cmocka_unit_test(a_decimal_comma_in_the_locale_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
