/* CRC32C, reflected polynomial 0x82F63B78 (Castagnoli 1993; RFC 3720 appendix B.4 has the vectors). */
#include <pthread.h>
#include <string.h>

#include "stream/recording.h"
#include "stream/recording_format.h"

/* table[k][b]: the checksum of byte b followed by k zero bytes. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        table[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xFF];
}

uint32_t fly_crc32c_table(uint32_t crc, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    pthread_once(&table_once, table_fill);
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof word);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= table[7 - k][word >> 8 * k & 0xFF];
    }
    for (; len > 0; at++, len--)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const void *bytes,
                                                            size_t len)
{
    const unsigned char *at = bytes;
    uint64_t state = ~crc;

    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof word);
        state = _mm_crc32_u64(state, word);
    }
    for (; len > 0; at++, len--)
        state = _mm_crc32_u8((uint32_t)state, *at);
    return ~(uint32_t)state;
}

uint32_t fly_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return __builtin_cpu_supports("sse4.2") ? crc_sse42(crc, bytes, len)
                                            : fly_crc32c_table(crc, bytes, len);
}
#else
uint32_t fly_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return fly_crc32c_table(crc, bytes, len);
}
#endif
