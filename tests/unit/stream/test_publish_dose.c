#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "stream/publish.h"

static unsigned char room[FLY_HEADER_MAX];
static struct fly_pub_message message;
static struct fly_published read;
static const float chips[6] = {1, 2, 3, 4, 5, NAN}, most[6] = {2, 4, 6, 8, 10, NAN};

static struct fly_pub_dose example(void)
{
    return (struct fly_pub_dose){1, 62.5, {2, 3}, 10, 3, 0.25, 1.5, 12, 7, 9, {1, {"control"}, {4}}, chips};
}

static void publish(const struct fly_pub_dose *dose)
{
    struct fly_pack pack;

    fly_pack_init(&pack, room, sizeof room);
    assert_int_equal(fly_pub_dose(&message, &pack, &(struct fly_pub_id){"s", 3, 5}, dose), FLY_OK);
    assert_int_equal(fly_published_decode(&read, message.parts, message.n_parts), FLY_OK);
    assert_string_equal(read.type, "dose");
}

static void every_number_comes_back(void **state)
{
    struct fly_pub_dose dose = example();
    struct fly_dose_read back;
    uint64_t seq;
    struct fly_value value;

    publish(&dose);
    assert_int_equal(fly_dose_decode(&back, read.header, read.payloads, read.n_payloads), FLY_OK);
    assert_int_equal(back.calibrated, 1);
    assert_true(back.factor == 62.5 && back.max == 10 && back.mean == 3 && back.gini == 0.25);
    assert_true(back.survey == 1.5 && back.cap == 12);
    assert_int_equal(back.full_shape[0], 2);
    assert_int_equal(back.full_shape[1], 3);
    assert_int_equal(back.unknown, 7);
    assert_int_equal(back.late, 9);
    assert_true(fly_value_get(back.as_of, "control", &value) && fly_value_uint(value, &seq));
    assert_int_equal(seq, 4);
    assert_memory_equal(back.chips, chips, sizeof chips);
    assert_null(back.most);
}

static void without_calibration_the_unit_is_us_and_what_is_not_known_is_nil(void **state)
{
    struct fly_pub_dose dose = example();
    struct fly_dose_read back;

    dose.calibrated = 0;
    dose.max = dose.mean = dose.gini = dose.survey = dose.cap = NAN;
    publish(&dose);
    assert_int_equal(fly_dose_decode(&back, read.header, read.payloads, read.n_payloads), FLY_OK);
    assert_int_equal(back.calibrated, 0);
    assert_true(isnan(back.max) && isnan(back.mean) && isnan(back.gini) && isnan(back.survey) && isnan(back.cap));
}

static void the_answer_to_dose_get_has_the_largest_pixels_too(void **state)
{
    struct fly_pub_dose dose = example();
    struct fly_part payloads[2] = {{chips, sizeof chips}, {most, sizeof most}};
    struct fly_dose_read back;
    struct fly_pack pack;

    fly_pack_init(&pack, room, sizeof room);
    fly_pub_pack_dose(&pack, &dose);
    assert_int_equal(fly_wire_scan(pack.bytes, pack.len), FLY_REFUSE_NONE);
    assert_int_equal(fly_dose_decode(&back, fly_value_root(pack.bytes, pack.len), payloads, 2), FLY_OK);
    assert_memory_equal(back.most, most, sizeof most);
}

/* The header with one key's value replaced by an integer, or, with a NULL value, left out. */
static struct fly_value altered(unsigned char *bytes, size_t cap, const char *without, int64_t value)
{
    struct fly_value_iter it = {0};
    struct fly_value key, old;
    struct fly_pack pack;
    const char *text;
    const void *raw;
    size_t len;

    fly_pack_init(&pack, bytes, cap);
    fly_pack_map(&pack, fly_value_count(read.header) - (value == INT64_MIN));
    while (fly_value_next(read.header, &it, &key, &old)) {
        assert_true(fly_value_str(key, &text, &len));
        if (len == strlen(without) && memcmp(text, without, len) == 0) {
            if (value != INT64_MIN) {
                fly_pack_str(&pack, without);
                fly_pack_int(&pack, value);
            }
            continue;
        }
        len = fly_value_bytes(key, &raw);
        fly_pack_raw(&pack, raw, len);
        len = fly_value_bytes(old, &raw);
        fly_pack_raw(&pack, raw, len);
    }
    assert_int_equal(fly_wire_scan(pack.bytes, pack.len), FLY_REFUSE_NONE);
    return fly_value_root(pack.bytes, pack.len);
}

static void what_is_missing_or_wrong_is_named(void **state)
{
    static const char *const keys[] = {"unit", "factor", "full_shape", "max",     "mean", "gini",
                                       "survey", "cap",  "unknown",    "late", "as_of"};
    static const char *const below_0[] = {"factor", "max", "mean", "gini", "survey", "cap", "unknown", "late"};
    struct fly_pub_dose dose = example();
    static unsigned char bytes[4096];
    struct fly_dose_read back;

    publish(&dose);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_int_equal(fly_dose_decode(&back, altered(bytes, sizeof bytes, keys[i], INT64_MIN), read.payloads,
                                         read.n_payloads), FLY_EWIRE);
        assert_non_null(strstr(fly_fail_text(), keys[i]));
    }
    for (size_t i = 0; i < sizeof below_0 / sizeof *below_0; i++) {
        assert_int_equal(fly_dose_decode(&back, altered(bytes, sizeof bytes, below_0[i], -1), read.payloads,
                                         read.n_payloads), FLY_EWIRE);
        assert_non_null(strstr(fly_fail_text(), below_0[i]));
    }
}

static void a_payload_of_another_size_is_refused(void **state)
{
    struct fly_pub_dose dose = example();
    struct fly_part payloads[3] = {{chips, sizeof chips}, {most, sizeof most - 4}, {most, sizeof most}};
    struct fly_dose_read back;

    publish(&dose);
    assert_int_equal(fly_dose_decode(&back, read.header, payloads, 0), FLY_EWIRE);
    assert_int_equal(fly_dose_decode(&back, read.header, payloads, 2), FLY_EWIRE);
    assert_int_equal(fly_dose_decode(&back, read.header, payloads, 3), FLY_EWIRE);
    assert_int_equal(fly_dose_decode(&back, read.header, payloads, 1), FLY_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(without_calibration_the_unit_is_us_and_what_is_not_known_is_nil),
        cmocka_unit_test(the_answer_to_dose_get_has_the_largest_pixels_too),
        cmocka_unit_test(what_is_missing_or_wrong_is_named),
        cmocka_unit_test(a_payload_of_another_size_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
