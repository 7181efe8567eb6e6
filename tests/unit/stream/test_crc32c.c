#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/rng.h"
#include "stream/recording.h"
#include "stream/recording_format.h"

/* One bit at a time, as the polynomial is written. */
static uint32_t bitwise(const unsigned char *bytes, size_t len)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void check_both(const void *bytes, size_t len, uint32_t crc)
{
    assert_int_equal(fly_crc32c(0, bytes, len), crc);
    assert_int_equal(fly_crc32c_table(0, bytes, len), crc);
}

/* RFC 3720 appendix B.4, and the check value of the algorithm's catalogue entry. */
static void known_vectors_come_out(void **state)
{
    static const unsigned char read_pdu[48] = {
        0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
    unsigned char block[32];

    check_both("", 0, 0);
    check_both("123456789", 9, 0xE3069283);
    memset(block, 0, sizeof block);
    check_both(block, 32, 0x8A9136AA);
    memset(block, 0xFF, sizeof block);
    check_both(block, 32, 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        block[i] = (unsigned char)i;
    check_both(block, 32, 0x46DD794E);
    for (int i = 0; i < 32; i++)
        block[i] = (unsigned char)(31 - i);
    check_both(block, 32, 0x113FDB5C);
    check_both(read_pdu, 48, 0xD9963A56);
}

static void both_ways_agree_with_the_bitwise_sum_at_any_length_and_place(void **state)
{
    unsigned char bytes[600];
    struct fly_rng rng = {1};

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)fly_rng_next(&rng);
    for (size_t at = 0; at < 9; at++)
        for (size_t len = 0; len < 520; len++)
            check_both(bytes + at, len, bitwise(bytes + at, len));
}

static void a_sum_goes_on_where_another_ended(void **state)
{
    unsigned char bytes[257];
    uint32_t whole;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37);
    whole = fly_crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        assert_int_equal(fly_crc32c(fly_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
        assert_int_equal(fly_crc32c_table(fly_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut),
                         whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_come_out),
        cmocka_unit_test(both_ways_agree_with_the_bitwise_sum_at_any_length_and_place),
        cmocka_unit_test(a_sum_goes_on_where_another_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
