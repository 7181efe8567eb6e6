#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "stream/wire.h"

/* {key: value} around one packed value, so that scan and cursor see a header. */
static struct fly_value held(unsigned char room[64], const unsigned char *value, size_t len)
{
    struct fly_value root, out;

    memcpy(room, "\x81\xa1k", 3);
    memcpy(room + 3, value, len);
    assert_int_equal(fly_wire_scan(room, 3 + len), FLY_REFUSE_NONE);
    root = fly_value_root(room, 3 + len);
    assert_int_equal(fly_value_get(root, "k", &out), 1);
    return out;
}

static void integers_come_back_in_every_range(void **state)
{
    static const int64_t numbers[] = {
        0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, INT64_MAX,
        -1, -32, -33, -128, -129, -32768, -32769, -2147483648LL, -2147483649LL, INT64_MIN,
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        unsigned char bytes[16], room[64];
        struct fly_pack pack;
        struct fly_value value;
        int64_t back;
        uint64_t u;
        double d;

        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_int(&pack, numbers[i]);
        value = held(room, bytes, pack.len);
        assert_int_equal(fly_value_kind(value), FLY_KIND_INT);
        assert_int_equal(fly_value_int(value, &back), 1);
        assert_true(back == numbers[i]);
        assert_int_equal(fly_value_uint(value, &u), numbers[i] >= 0);
        assert_int_equal(fly_value_f64(value, &d), 1);
        assert_true(d == (double)numbers[i]);
    }
}

static void an_integer_is_itself_in_every_width_it_may_come_in(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int64_t number;
    } wide[] = {
        {"\x05", 1, 5},          {"\xcc\x05", 2, 5},
        {"\xcd\x00\x05", 3, 5},  {"\xce\x00\x00\x00\x05", 5, 5},
        {"\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 9, 5},
        {"\xd0\x05", 2, 5},      {"\xd1\x00\x05", 3, 5},
        {"\xd2\x00\x00\x00\x05", 5, 5}, {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 9, 5},
        {"\xff", 1, -1},         {"\xd0\xff", 2, -1},
        {"\xd1\xff\xff", 3, -1}, {"\xd2\xff\xff\xff\xff", 5, -1},
        {"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9, -1},
    };

    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        unsigned char room[64];
        struct fly_value value = held(room, (const unsigned char *)wide[i].bytes, wide[i].len);
        int64_t back;
        uint64_t u;

        assert_int_equal(fly_value_int(value, &back), 1);
        assert_true(back == wide[i].number);
        assert_int_equal(fly_value_uint(value, &u), wide[i].number >= 0);
        if (wide[i].number >= 0)
            assert_true(u == 5);
    }
}

static void unsigned_numbers_beyond_63_bits_are_only_unsigned(void **state)
{
    unsigned char bytes[16], room[64];
    struct fly_pack pack;
    struct fly_value value;
    int64_t i;
    uint64_t u;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_uint(&pack, UINT64_MAX);
    value = held(room, bytes, pack.len);
    assert_int_equal(fly_value_int(value, &i), 0);
    assert_int_equal(fly_value_uint(value, &u), 1);
    assert_true(u == UINT64_MAX);
}

static void numbers_that_are_not_finite_go_out_as_nil(void **state)
{
    const double odd[] = {NAN, INFINITY, -INFINITY};

    for (int i = 0; i < 3; i++) {
        unsigned char bytes[16];
        struct fly_pack pack;

        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_f64(&pack, odd[i]);
        assert_int_equal(pack.len, 1);
        assert_int_equal(bytes[0], 0xc0);
    }
}

static void floats_come_back_and_are_no_integers(void **state)
{
    unsigned char bytes[16], room[64];
    struct fly_pack pack;
    struct fly_value value;
    int64_t i;
    double d;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_f64(&pack, 2.0);
    value = held(room, bytes, pack.len);
    assert_int_equal(fly_value_kind(value), FLY_KIND_FLOAT);
    assert_int_equal(fly_value_int(value, &i), 0);
    assert_int_equal(fly_value_f64(value, &d), 1);
    assert_true(d == 2.0);
    value = held(room, (const unsigned char *)"\xca\x3f\xc0\x00\x00", 5);
    assert_int_equal(fly_value_f64(value, &d), 1);
    assert_true(d == 1.5);
}

/* A map with one of everything. */
static void pack_all(struct fly_pack *pack)
{
    char text[300];

    memset(text, 'a', sizeof text);
    fly_pack_map(pack, 5);
    fly_pack_str(pack, "short");
    fly_pack_str(pack, "x");
    fly_pack_str(pack, "long");
    fly_pack_strn(pack, text, sizeof text);
    fly_pack_str(pack, "list");
    fly_pack_array(pack, 20);
    for (int i = 0; i < 20; i++)
        fly_pack_int(pack, i * 1000000007LL);
    fly_pack_str(pack, "truth");
    fly_pack_bool(pack, 1);
    fly_pack_str(pack, "half");
    fly_pack_f64(pack, 0.5);
}

static void a_full_pack_ends_at_a_whole_item_and_stays_full(void **state)
{
    unsigned char whole[1024], part[1024];
    struct fly_pack pack;
    size_t len;

    fly_pack_init(&pack, whole, sizeof whole);
    pack_all(&pack);
    assert_int_equal(pack.full, 0);
    assert_int_equal(fly_wire_scan(whole, pack.len), FLY_REFUSE_NONE);
    len = pack.len;
    for (size_t cap = 0; cap <= len; cap++) {
        size_t before;

        memset(part, 0xee, sizeof part);
        fly_pack_init(&pack, part, cap);
        pack_all(&pack);
        assert_int_equal(pack.full, cap < len);
        assert_true(pack.len <= cap);
        assert_memory_equal(part, whole, pack.len);
        assert_int_equal(part[cap], 0xee);
        before = pack.len;
        if (pack.full)
            fly_pack_nil(&pack);
        assert_int_equal(pack.len, before);
    }
}

static void cursors_walk_lists_and_maps(void **state)
{
    unsigned char bytes[1024];
    struct fly_pack pack;
    struct fly_value root, value, key;
    struct fly_value_iter it = {0};
    const char *text;
    size_t len;
    int truth, entries = 0;
    int64_t number;

    fly_pack_init(&pack, bytes, sizeof bytes);
    pack_all(&pack);
    root = fly_value_root(bytes, pack.len);
    assert_int_equal(fly_value_count(root), 5);
    while (fly_value_next(root, &it, &key, &value)) {
        entries++;
        assert_int_equal(fly_value_str(key, &text, &len), 1);
    }
    assert_int_equal(entries, 5);
    assert_int_equal(fly_value_next(root, &it, &key, &value), 0);

    assert_int_equal(fly_value_get(root, "list", &value), 1);
    assert_int_equal(fly_value_count(value), 20);
    it = (struct fly_value_iter){0};
    for (int i = 0; i < 20; i++) {
        struct fly_value item;

        assert_int_equal(fly_value_next(value, &it, NULL, &item), 1);
        assert_int_equal(fly_value_int(item, &number), 1);
        assert_true(number == i * 1000000007LL);
    }
    assert_int_equal(fly_value_next(value, &it, NULL, &key), 0);

    assert_int_equal(fly_value_get(root, "truth", &value), 1);
    assert_int_equal(fly_value_bool(value, &truth), 1);
    assert_int_equal(truth, 1);
    assert_int_equal(fly_value_get(root, "long", &value), 1);
    assert_int_equal(fly_value_str(value, &text, &len), 1);
    assert_int_equal(len, 300);
    assert_int_equal(fly_value_get(root, "tru", &value), 0);
    assert_int_equal(fly_value_get(root, "truths", &value), 0);
    /* A list has no keys to get. */
    assert_int_equal(fly_value_get(root, "list", &value), 1);
    assert_int_equal(fly_value_get(value, "list", &key), 0);
}

static void the_bytes_of_a_value_are_that_value_whole(void **state)
{
    unsigned char bytes[1024], again[1024];
    struct fly_pack pack, copy;
    struct fly_value_iter it = {0};
    struct fly_value root, key, value;
    const void *at;
    size_t len;

    fly_pack_init(&pack, bytes, sizeof bytes);
    pack_all(&pack);
    root = fly_value_root(bytes, pack.len);
    len = fly_value_bytes(root, &at);
    assert_int_equal(len, pack.len);
    fly_pack_init(&copy, again, sizeof again);
    fly_pack_map(&copy, fly_value_count(root));
    while (fly_value_next(root, &it, &key, &value)) {
        len = fly_value_bytes(key, &at);
        fly_pack_raw(&copy, at, len);
        len = fly_value_bytes(value, &at);
        fly_pack_raw(&copy, at, len);
    }
    assert_int_equal(copy.len, pack.len);
    assert_memory_equal(again, bytes, pack.len);
}

static void an_entry_is_its_key_and_its_value(void **state)
{
    unsigned char by_entry[256], by_item[256];
    struct fly_pack entry, item;
    static const char *const keys[] = {"str", "empty", "text", "none", "null", "int", "uint", "f64", "nan", "bool"};

    (void)state;
    fly_pack_init(&entry, by_entry, sizeof by_entry);
    fly_pack_key_str(&entry, keys[0], "one");
    fly_pack_key_str(&entry, keys[1], "");
    fly_pack_key_text(&entry, keys[2], "one");
    fly_pack_key_text(&entry, keys[3], "");
    fly_pack_key_text(&entry, keys[4], NULL);
    fly_pack_key_int(&entry, keys[5], -7);
    fly_pack_key_uint(&entry, keys[6], UINT64_MAX);
    fly_pack_key_f64(&entry, keys[7], 0.5);
    fly_pack_key_f64(&entry, keys[8], NAN);
    fly_pack_key_bool(&entry, keys[9], 1);

    fly_pack_init(&item, by_item, sizeof by_item);
    for (int i = 0; i < 10; i++) {
        fly_pack_str(&item, keys[i]);
        if (i == 0 || i == 2)
            fly_pack_str(&item, "one");
        else if (i == 1)
            fly_pack_str(&item, "");
        else if (i == 5)
            fly_pack_int(&item, -7);
        else if (i == 6)
            fly_pack_uint(&item, UINT64_MAX);
        else if (i == 7)
            fly_pack_f64(&item, 0.5);
        else if (i == 9)
            fly_pack_bool(&item, 1);
        else
            fly_pack_nil(&item);
    }
    assert_int_equal(entry.len, item.len);
    assert_memory_equal(by_entry, by_item, item.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_back_in_every_range),
        cmocka_unit_test(an_integer_is_itself_in_every_width_it_may_come_in),
        cmocka_unit_test(unsigned_numbers_beyond_63_bits_are_only_unsigned),
        cmocka_unit_test(numbers_that_are_not_finite_go_out_as_nil),
        cmocka_unit_test(floats_come_back_and_are_no_integers),
        cmocka_unit_test(a_full_pack_ends_at_a_whole_item_and_stays_full),
        cmocka_unit_test(cursors_walk_lists_and_maps),
        cmocka_unit_test(the_bytes_of_a_value_are_that_value_whole),
        cmocka_unit_test(an_entry_is_its_key_and_its_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
