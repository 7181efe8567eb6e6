#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "stream/wire.h"

#define NONE      FLY_REFUSE_NONE
#define MALFORMED FLY_REFUSE_MALFORMED
#define OVERSIZE  FLY_REFUSE_OVERSIZE
#define BAD_VALUE FLY_REFUSE_BAD_VALUE

/* Scans a copy of exact size, so that a read beyond it is seen by ASan. */
static enum fly_refusal scan(const void *bytes, size_t len)
{
    unsigned char *copy = calloc(1, len + !len);
    enum fly_refusal why;

    if (len)
        memcpy(copy, bytes, len);
    why = fly_wire_scan(copy, len);
    free(copy);
    return why;
}
#define SCAN(text) scan(text, sizeof(text) - 1)

static void plain_maps_pass(void **state)
{
    assert_int_equal(SCAN("\x80"), NONE);
    assert_int_equal(SCAN("\x81\xa1k\xc0"), NONE);
    assert_int_equal(SCAN("\x82\xa1k\xc3\xa1l\x93\x01\xa0\x80"), NONE);
    assert_int_equal(SCAN("\x81\xa0\x90"), NONE); /* the empty string is a key like any other */
}

static void every_width_of_every_kind_passes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } value[] = {
#define V(text) {text, sizeof(text) - 1}
        V("\x7f"), V("\xe0"), V("\xcc\xff"), V("\xcd\xff\xff"), V("\xce\xff\xff\xff\xff"),
        V("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), V("\xd0\x80"), V("\xd1\x80\x00"),
        V("\xd2\x80\x00\x00\x00"), V("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), V("\xca\x3f\x80\x00\x00"),
        V("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), V("\xd9\x01x"), V("\xda\x00\x01x"),
        V("\xdb\x00\x00\x00\x01x"), V("\xdc\x00\x01\xc0"), V("\xdd\x00\x00\x00\x01\xc0"),
        V("\xde\x00\x01\xa1x\xc0"), V("\xdf\x00\x00\x00\x01\xa1x\xc0"),
#undef V
    };

    for (size_t i = 0; i < sizeof value / sizeof value[0]; i++) {
        unsigned char header[32] = {0x81, 0xa1, 'k'};

        memcpy(header + 3, value[i].bytes, value[i].len);
        assert_int_equal(scan(header, 3 + value[i].len), NONE);
        for (size_t cut = 0; cut < 3 + value[i].len; cut++)
            assert_int_equal(scan(header, cut), MALFORMED);
        header[3 + value[i].len] = 0xc0; /* one byte after the map */
        assert_int_equal(scan(header, 4 + value[i].len), MALFORMED);
    }
}

static void other_roots_than_a_map_are_malformed(void **state)
{
    assert_int_equal(SCAN(""), MALFORMED);
    assert_int_equal(SCAN("\xc0"), MALFORMED);
    assert_int_equal(SCAN("\x90"), MALFORMED);
    assert_int_equal(SCAN("\xa1x"), MALFORMED);
    assert_int_equal(SCAN("\x01"), MALFORMED);
    assert_int_equal(SCAN("\xc1"), MALFORMED);
}

static void bin_and_ext_are_malformed_wherever_they_stand(void **state)
{
    assert_int_equal(SCAN("\x81\xa1k\xc4\x01x"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xc5\x00\x01x"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xc6\x00\x00\x00\x01x"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x91\xd4\x01x"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x91\xd8\x01xxxxxxxxxxxxxxxx"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x91\xc7\x01\x01x"), MALFORMED);
    assert_int_equal(SCAN("\x81\xc4\x01k\x01"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xc1"), MALFORMED);
}

static void keys_are_strings_at_every_depth(void **state)
{
    assert_int_equal(SCAN("\x81\x01\x01"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x81\x01\x01"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x91\x81\xc0\x01"), MALFORMED);
    assert_int_equal(SCAN("\x81\x80\x01"), MALFORMED);
}

static void a_key_twice_is_malformed_at_every_depth(void **state)
{
    assert_int_equal(SCAN("\x82\xa1k\x01\xa1k\x02"), MALFORMED);
    assert_int_equal(SCAN("\x82\xa1k\x01\xd9\x01k\x02"), MALFORMED); /* in another width */
    assert_int_equal(SCAN("\x81\xa1k\x82\xa1z\x01\xa1z\x01"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\x91\x82\xa1z\x01\xa1z\x01"), MALFORMED);
    /* The outer key is met again after an inner map. */
    assert_int_equal(SCAN("\x83\xa1k\x01\xa1l\x82\xa1m\x01\xa1n\x01\xa1k\x01"), MALFORMED);
    /* The same key in a map within, beside, or before is another map's. */
    assert_int_equal(SCAN("\x81\xa1k\x81\xa1k\x81\xa1k\x01"), NONE);
    assert_int_equal(SCAN("\x82\xa1k\x81\xa1z\x01\xa1l\x81\xa1z\x01"), NONE);
}

static size_t put_map_head(unsigned char *at, uint32_t entries)
{
    at[0] = 0xdf;
    for (int i = 0; i < 4; i++)
        at[1 + i] = (unsigned char)(entries >> (24 - 8 * i));
    return 5;
}

/* entries keys "xxxx" in a scrambled order; key twice is set equal to key once */
static enum fly_refusal scan_many(uint32_t entries, int64_t twice, uint32_t once)
{
    unsigned char *header = malloc(FLY_HEADER_MAX + 64);
    size_t len = put_map_head(header, entries);
    enum fly_refusal why;

    for (uint32_t i = 0; i < entries; i++) {
        uint32_t n = (i == twice ? once : i) * 7919u % 100003u;

        header[len++] = 0xa4;
        for (int k = 0; k < 4; k++, n /= 26)
            header[len++] = (unsigned char)('a' + n % 26);
        header[len++] = 0xc0;
    }
    why = scan(header, len);
    free(header);
    return why;
}

static void a_key_twice_is_found_in_maps_of_any_size(void **state)
{
    static const uint32_t sizes[] = {2, 15, 63, 64, 65, 66, 100, 1000, 10000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t n = sizes[i];

        assert_int_equal(scan_many(n, -1, 0), NONE);
        assert_int_equal(scan_many(n, n - 1, 0), MALFORMED);
        assert_int_equal(scan_many(n, n - 1, n - 2), MALFORMED);
        assert_int_equal(scan_many(n, n / 2, n / 2 - (n / 2 > 0)), MALFORMED);
        if (n > 70)
            assert_int_equal(scan_many(n, 69, 66), MALFORMED);
    }
}

static void counts_beyond_the_bytes_are_malformed_before_anything_is_made_of_them(void **state)
{
    assert_int_equal(SCAN("\xdf\xff\xff\xff\xff"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xdd\x0f\xff\xff\xff"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xdc\xff\xff\xc0"), MALFORMED);
    /* Nested claims, each of which fits what follows. */
    assert_int_equal(SCAN("\x81\xa1k\x93\x92\x91\xc0"), MALFORMED);
}

static void strings_end_at_4_kib(void **state)
{
    unsigned char *header = calloc(1, 8192);

    for (size_t over = 0; over < 2; over++) {
        size_t n = FLY_STRING_MAX + over;

        memcpy(header, "\x81\xa1k\xda", 4);
        header[4] = (unsigned char)(n >> 8);
        header[5] = (unsigned char)n;
        memset(header + 6, 'x', n);
        assert_int_equal(scan(header, 6 + n), over ? OVERSIZE : NONE);
        /* and as a key */
        memcpy(header, "\x81\xda", 2);
        header[2] = (unsigned char)(n >> 8);
        header[3] = (unsigned char)n;
        memset(header + 4, 'x', n);
        header[4 + n] = 0xc0;
        assert_int_equal(scan(header, 5 + n), over ? OVERSIZE : NONE);
    }
    free(header);
}

static void nesting_ends_at_eight(void **state)
{
    unsigned char header[64];

    for (int deep = 1; deep <= 12; deep++) {
        size_t len = 0;

        for (int i = 1; i < deep; i++) {
            memcpy(header + len, "\x81\xa1k", 3);
            len += 3;
        }
        header[len] = 0x80; /* an empty map is a level too */
        assert_int_equal(scan(header, len + 1), deep <= FLY_NESTING_MAX ? NONE : OVERSIZE);
        memcpy(header + len, "\x81\xa1k\x90", 4); /* and so is an empty list */
        assert_int_equal(scan(header, len + 4), deep < FLY_NESTING_MAX ? NONE : OVERSIZE);
        memcpy(header + len, "\x81\xa1k\x01", 4);
        assert_int_equal(scan(header, len + 4), deep <= FLY_NESTING_MAX ? NONE : OVERSIZE);
    }
}

static void headers_end_at_64_kib(void **state)
{
    unsigned char *header = calloc(1, FLY_HEADER_MAX + 8);
    uint32_t items = FLY_HEADER_MAX - 8;

    memcpy(header, "\x81\xa1k\xdd", 4);
    for (int over = 0; over < 2; over++) {
        uint32_t n = items + (uint32_t)over;

        for (int i = 0; i < 4; i++)
            header[4 + i] = (unsigned char)(n >> (24 - 8 * i));
        assert_int_equal(scan(header, 8 + n), over ? OVERSIZE : NONE);
    }
    free(header);
}

static void text_is_utf8(void **state)
{
    assert_int_equal(SCAN("\x81\xa1k\xa2\xc3\xa9"), NONE);         /* U+00E9 */
    assert_int_equal(SCAN("\x81\xa1k\xa3\xe2\x82\xac"), NONE);     /* U+20AC */
    assert_int_equal(SCAN("\x81\xa1k\xa4\xf0\x9d\x84\x9e"), NONE); /* U+1D11E */
    assert_int_equal(SCAN("\x81\xa1k\xa4\xf4\x8f\xbf\xbf"), NONE); /* U+10FFFF */
    assert_int_equal(SCAN("\x81\xa1k\xa3\xed\x9f\xbf"), NONE);     /* U+D7FF */
    assert_int_equal(SCAN("\x81\xa1k\xac" "aaaaaaaaaa\xc3\xa9"), NONE);

    assert_int_equal(SCAN("\x81\xa1k\xa1\x80"), MALFORMED);             /* continues nothing */
    assert_int_equal(SCAN("\x81\xa1k\xa1\xc3"), MALFORMED);             /* cut off */
    assert_int_equal(SCAN("\x81\xa1k\xa2\xc3(" ), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xa2\xc0\x80"), MALFORMED);         /* a long NUL */
    assert_int_equal(SCAN("\x81\xa1k\xa2\xc1\xbf"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xa3\xe0\x9f\xbf"), MALFORMED);     /* a long U+07FF */
    assert_int_equal(SCAN("\x81\xa1k\xa3\xed\xa0\x80"), MALFORMED);     /* a surrogate */
    assert_int_equal(SCAN("\x81\xa1k\xa4\xf0\x8f\xbf\xbf"), MALFORMED); /* a long U+FFFF */
    assert_int_equal(SCAN("\x81\xa1k\xa4\xf4\x90\x80\x80"), MALFORMED); /* U+110000 */
    assert_int_equal(SCAN("\x81\xa1k\xa1\xff"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1k\xac" "aaaaaaaaaaa\xe9"), MALFORMED);
    assert_int_equal(SCAN("\x81\xa1\xff\x01"), MALFORMED); /* keys too */
}

static void numbers_that_are_not_finite_are_bad_values(void **state)
{
    assert_int_equal(SCAN("\x81\xa1k\xca\x7f\x80\x00\x00"), BAD_VALUE);
    assert_int_equal(SCAN("\x81\xa1k\xca\x7f\xc0\x00\x00"), BAD_VALUE);
    assert_int_equal(SCAN("\x81\xa1k\x91\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), BAD_VALUE);
    assert_int_equal(SCAN("\x81\xa1k\xca\x7f\x7f\xff\xff"), NONE);
    /* What breaks the bytes comes before what is in them. */
    assert_int_equal(SCAN("\x82\xa1k\xca\x7f\x80\x00\x00\xa1k\x01"), MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_maps_pass),
        cmocka_unit_test(every_width_of_every_kind_passes),
        cmocka_unit_test(other_roots_than_a_map_are_malformed),
        cmocka_unit_test(bin_and_ext_are_malformed_wherever_they_stand),
        cmocka_unit_test(keys_are_strings_at_every_depth),
        cmocka_unit_test(a_key_twice_is_malformed_at_every_depth),
        cmocka_unit_test(a_key_twice_is_found_in_maps_of_any_size),
        cmocka_unit_test(counts_beyond_the_bytes_are_malformed_before_anything_is_made_of_them),
        cmocka_unit_test(strings_end_at_4_kib),
        cmocka_unit_test(nesting_ends_at_eight),
        cmocka_unit_test(headers_end_at_64_kib),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(numbers_that_are_not_finite_are_bad_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
