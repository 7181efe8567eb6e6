#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/arena.h"
#include "plugin/support_file.h"
#include "stream/disk.h"

static int parse(struct fly_support_set *set, const char *text, int32_t rows, int32_t cols)
{
    return fly_support_set_parse(set, text, strlen(text), "s.json", rows, cols);
}

static void classes_keep_the_order_of_the_file(void **state)
{
    struct fly_support_set set;

    (void)state;
    assert_int_equal(parse(&set, "{\"STO\": [[5, 0], [5, 1]], \"LFO\": [[0, 3]], \"cap\": [[1, 1]]}", 6, 6), FLY_OK);
    assert_int_equal(set.n_classes, 3);
    assert_string_equal(set.classes[0].name, "STO");
    assert_string_equal(set.classes[1].name, "LFO");
    assert_string_equal(set.classes[2].name, "cap");
    assert_int_equal(set.classes[0].n_chips, 2);
    assert_int_equal(set.classes[0].chips[1].row, 5);
    assert_int_equal(set.classes[0].chips[1].col, 1);
    fly_support_set_fini(&set);
}

static void each_bad_set_is_refused_with_its_place_and_leaves_nothing(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *words;
    } cases[] = {
        {"", FLY_EWIRE, "s.json:"},
        {"{\n \"a\": [[0, 0],]}", FLY_EWIRE, "s.json:2:"},
        {"[]", FLY_EWIRE, "{\"class\": [[row, col], ...], ...}"},
        {"{}", FLY_EWIRE, "{\"class\": [[row, col], ...], ...}"},
        {"{\"a\": [[0, 0]], \"a\": [[0, 1]]}", FLY_EWIRE, "duplicate"},
        {"{\"a\": 5}", FLY_EWIRE, "class \"a\": a list of chips"},
        {"{\"a\": []}", FLY_EWIRE, "class \"a\": a list of chips"},
        {"{\"a\": [3, 4]}", FLY_EWIRE, "class \"a\", chip 0: two whole numbers"},
        {"{\"a\": [[0, 0], [1, 1, 1]]}", FLY_EWIRE, "class \"a\", chip 1: two whole numbers"},
        {"{\"a\": [[0.0, 0]]}", FLY_EWIRE, "chip 0: two whole numbers"},
        {"{\"a\": [[\"0\", 0]]}", FLY_EWIRE, "chip 0: two whole numbers"},
        {"{\"a\": [[0, 0], [-1, 0]]}", FLY_ERANGE, "chip 1: row -1 is outside 0 .. 5"},
        {"{\"a\": [[0, 8]]}", FLY_ERANGE, "chip 0: column 8 is outside 0 .. 7"},
        {"{\"a\": [[9223372036854775807, 0]]}", FLY_ERANGE, "is outside"},
        {"{\"a\": [[1, 2], [1, 2]]}", FLY_ERANGE, "[1, 2] is in it twice"},
        {"{\"a\": [[1, 2]], \"b\": [[3, 3], [1, 2]]}", FLY_ERANGE,
         "class \"b\", chip 1: [1, 2] is in class \"a\" already"},
        {"{\"\": [[0, 0]]}", FLY_ERANGE, "1 .. 64 bytes"},
        {"{\"1234567890123456789012345678901234567890123456789012345678901234x\": [[0, 0]]}", FLY_ERANGE,
         "1 .. 64 bytes, this one 65"},
        {"{\"a\": [[0, 0]]} x", FLY_EWIRE, "s.json:1:"},
        {"{\"a\xFF\": [[0, 0]]}", FLY_EWIRE, "s.json:1:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fly_support_set set;

        assert_int_equal(parse(&set, cases[i].text, 6, 8), cases[i].code);
        if (!strstr(fly_fail_text(), cases[i].words))
            fail_msg("\"%s\" said \"%s\"", cases[i].text, fly_fail_text());
        assert_int_equal(set.n_classes, 0);
    }
}

static void a_thirty_third_class_is_one_too_many(void **state)
{
    struct fly_text text;
    struct fly_support_set set;

    (void)state;
    fly_text_init(&text);
    for (int i = 0; i < 33; i++)
        fly_text_addf(&text, "%s\"c%d\": [[%d, 0]]", i ? ", " : "{", i, i);
    fly_text_add(&text, "}");
    assert_int_equal(parse(&set, text.bytes, 0, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "\"c32\" is one too many"));
    fly_text_fini(&text);
}

/* One bound for the set: it keeps the search for doubles short. */
static void a_set_of_too_many_chips_is_refused(void **state)
{
    struct fly_text text;
    struct fly_support_set set;

    (void)state;
    fly_text_init(&text);
    fly_text_add(&text, "{\"a\": [[0, 0]], \"b\": [");
    for (int i = 0; i < FLY_SUPPORT_CHIPS_MAX; i++)
        fly_text_addf(&text, "%s[%d, %d]", i ? "," : "", 1 + i / 128, i % 128);
    fly_text_add(&text, "]}");
    assert_int_equal(parse(&set, text.bytes, 0, 0), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "16384 in all"));
    fly_text_fini(&text);
}

static void what_is_written_reads_back_the_same(void **state)
{
    const int32_t rows = 4, cols = 5;
    struct fly_alloc alloc = fly_alloc_system();
    struct fly_arena arena;
    struct fly_support a, b;
    struct fly_text text, again;
    struct fly_support_set set;
    int32_t id;

    (void)state;
    assert_int_equal(fly_arena_init(&arena, 2 * fly_support_need(rows * cols) + 256, &alloc, "test"), FLY_OK);
    fly_support_init(&a, rows * cols, &arena);
    fly_support_init(&b, rows * cols, &arena);
    assert_int_equal(fly_support_add(&a, "Sr\"TiO\"", (int32_t[]){19, 3}, 2, &id), FLY_OK);
    assert_int_equal(fly_support_add(&a, "gone", (int32_t[]){7}, 1, &id), FLY_OK);
    assert_int_equal(fly_support_add(&a, "LFO", (int32_t[]){0}, 1, &id), FLY_OK);
    assert_int_equal(fly_support_drop(&a, "gone"), FLY_OK);
    fly_text_init(&text);
    fly_text_init(&again);
    fly_support_write(&a, cols, &text);
    assert_string_equal(text.bytes, "{\n \"Sr\\\"TiO\\\"\": [[0, 3], [3, 4]],\n \"LFO\": [[0, 0]]\n}\n");
    assert_int_equal(fly_support_set_parse(&set, text.bytes, text.len, "x", rows, cols), FLY_OK);
    assert_int_equal(fly_support_set_apply(&set, &b, cols), FLY_OK);
    fly_support_write(&b, cols, &again);
    assert_string_equal(again.bytes, text.bytes);
    assert_int_equal(fly_support_find(&b, "LFO"), 1); /* the id follows the order in the file */
    fly_support_set_fini(&set);
    fly_text_fini(&text);
    fly_text_fini(&again);
    fly_arena_fini(&arena);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct fly_support_set set;

    (void)state;
    assert_int_equal(fly_support_set_load(&set, "/nowhere/s.json", 0, 0), FLY_EIO);
    assert_non_null(strstr(fly_fail_text(), "/nowhere/s.json"));
    assert_int_equal(set.n_classes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_keep_the_order_of_the_file),
        cmocka_unit_test(each_bad_set_is_refused_with_its_place_and_leaves_nothing),
        cmocka_unit_test(a_thirty_third_class_is_one_too_many),
        cmocka_unit_test(a_set_of_too_many_chips_is_refused),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
