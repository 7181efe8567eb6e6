#include "engine/graph/code_row.h"

#include <string.h>

#include "engine/base/clones.h"
#include "engine/graph/code.h"
#include "engine/graph/wide.h"

/* ---- portable ----------------------------------------------------------------------------------- */

FLY_CLONES static void keep(uint64_t *restrict bits, const uint16_t *restrict code, size_t words, uint16_t sure)
{
    uint16_t span = (uint16_t)(FLY_CODE_NEGATIVE - sure);

    for (size_t w = 0; w < words; w++) {
        uint8_t ones[64];
        uint64_t word = 0;

        for (int32_t b = 0; b < 64; b++)
            ones[b] = (uint16_t)(code[64 * w + (size_t)b] - sure) < span;
        for (int32_t q = 0; q < 8; q++) {
            uint64_t eight;

            /* Byte l of eight, 0 or 1, moves to bit 56 + l of the product; no two meet. */
            memcpy(&eight, ones + 8 * q, sizeof eight);
            word |= (eight * 0x0102040810204080u) >> 56 << (8 * q);
        }
        bits[w] = word;
    }
}

FLY_CLONES static void unpack(uint16_t *mask, uint64_t word)
{
    for (int32_t q = 0; q < 4; q++) {
        uint16_t part = (uint16_t)(word >> (16 * q));

        for (int32_t b = 0; b < 16; b++)
            mask[16 * q + b] = part & (1 << b) ? 0xffff : 0;
    }
}

FLY_CLONES static uint32_t add(uint32_t *restrict change, const uint16_t *restrict code,
                               const uint16_t *restrict mask, int binary, uint32_t sign)
{
    uint16_t one = (uint16_t)binary, any = binary ? 0 : 0xffff; /* 1, or the code */
    uint32_t sum = 0;

    for (int32_t j = 0; j < 64; j++) {
        uint32_t weight = (uint32_t)(((code[j] & any) | one) & mask[j]);

        change[j] += weight * sign;
        sum += weight;
    }
    return sum;
}

static uint32_t add_all(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words, int binary,
                        uint32_t sign)
{
    uint32_t sum = 0, unasked[64] = {0};
    uint16_t mask[64];

    for (size_t w = 0; w < words; w++) {
        unpack(mask, bits[w]);
        sum += add(change ? change + 64 * w : unasked, code + 64 * w, mask, binary, sign);
    }
    return sum;
}

FLY_CLONES int fly_codes_any(const uint16_t *code, uint16_t low, uint16_t high)
{
    uint16_t span = (uint16_t)(high - low), any = 0;

    for (size_t j = 0; j < 64; j++)
        any |= (uint16_t)(code[j] - low) < span;
    return any;
}

FLY_CLONES int32_t fly_codes_differ(const uint16_t *a, const uint16_t *b, size_t words)
{
    int32_t differ = 0;

    for (size_t j = 0; j < 64 * words; j++)
        differ += a[j] != b[j];
    return differ;
}

/* ---- by hand ------------------------------------------------------------------------------------ */

#if FLY_HAS_WIDE

#include <immintrin.h>

FLY_WIDE static void keep_wide(uint64_t *bits, const uint16_t *code, size_t words, uint16_t sure)
{
    __m512i low = _mm512_set1_epi16((short)sure), span = _mm512_set1_epi16((short)(FLY_CODE_NEGATIVE - sure));

    for (size_t w = 0; w < words; w++) {
        __m512i a = _mm512_loadu_si512(code + 64 * w), b = _mm512_loadu_si512(code + 64 * w + 32);
        uint64_t first = _mm512_cmplt_epu16_mask(_mm512_sub_epi16(a, low), span);
        uint64_t second = _mm512_cmplt_epu16_mask(_mm512_sub_epi16(b, low), span);

        bits[w] = first | second << 32;
    }
}

FLY_WIDE_INLINE uint32_t add_with(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words,
                                  int binary, uint32_t sign)
{
    __m512i sum = _mm512_setzero_si512(), one = _mm512_set1_epi32(1), by = _mm512_set1_epi32((int)sign);

    for (size_t w = 0; w < words; w++)
        for (size_t q = 0; q < 4; q++) {
            size_t at = 64 * w + 16 * q;
            __mmask16 kept = (__mmask16)(bits[w] >> (16 * q));
            __m512i weight = binary ? _mm512_maskz_mov_epi32(kept, one)
                                    : _mm512_maskz_cvtepu16_epi32(
                                          kept, _mm256_loadu_si256((const __m256i *)(code + at)));

            sum = _mm512_add_epi32(sum, weight);
            if (change && sign == 1)
                _mm512_storeu_si512(change + at, _mm512_add_epi32(_mm512_loadu_si512(change + at), weight));
            else if (change)
                _mm512_storeu_si512(change + at, _mm512_add_epi32(_mm512_loadu_si512(change + at),
                                                                  _mm512_mullo_epi32(weight, by)));
        }
    return (uint32_t)_mm512_reduce_add_epi32(sum);
}

FLY_WIDE static uint32_t add_wide(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words,
                                  int binary, uint32_t sign)
{
    if (binary)
        return add_with(change, code, bits, words, 1, sign);
    if (change && sign == 1)
        return add_with(change, code, bits, words, 0, 1);
    if (change)
        return add_with(change, code, bits, words, 0, sign);
    return add_with(NULL, code, bits, words, 0, 1);
}

#else

static void keep_wide(uint64_t *bits, const uint16_t *code, size_t words, uint16_t sure)
{
    keep(bits, code, words, sure);
}

static uint32_t add_wide(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words, int binary,
                         uint32_t sign)
{
    return add_all(change, code, bits, words, binary, sign);
}

#endif

void fly_codes_keep(uint64_t *bits, const uint16_t *code, size_t words, uint16_t sure)
{
    if (fly_wide())
        keep_wide(bits, code, words, sure);
    else
        keep(bits, code, words, sure);
}

uint32_t fly_codes_add(uint32_t *change, const uint16_t *code, const uint64_t *bits, size_t words, int binary,
                       uint32_t sign)
{
    return fly_wide() ? add_wide(change, code, bits, words, binary, sign)
                      : add_all(change, code, bits, words, binary, sign);
}

/* ---- columns ------------------------------------------------------------------------------------ */

enum { EIGHT = 8, AHEAD = 16 };

typedef uint16_t eight __attribute__((vector_size(16)));

#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)

static inline __attribute__((always_inline)) void shuffle_eight(eight y[EIGHT], const eight x[EIGHT])
{
    y[0] = LOW(x[0], x[4]);
    y[1] = HIGH(x[0], x[4]);
    y[2] = LOW(x[1], x[5]);
    y[3] = HIGH(x[1], x[5]);
    y[4] = LOW(x[2], x[6]);
    y[5] = HIGH(x[2], x[6]);
    y[6] = LOW(x[3], x[7]);
    y[7] = HIGH(x[3], x[7]);
}

/* Eight rows of eight become columns: three perfect shuffles of all 64. Written out, so that all stays in
 * registers. */
static inline __attribute__((always_inline)) void transpose_eight(uint16_t *to, size_t stride,
                                                                  const uint16_t *from, size_t ld)
{
    eight x[EIGHT], y[EIGHT];

#define LOAD(l) memcpy(&x[l], from + (l)*ld, sizeof x[l])
#define STORE(l) memcpy(to + (l)*stride, &y[l], sizeof y[l])
    LOAD(0);
    LOAD(1);
    LOAD(2);
    LOAD(3);
    LOAD(4);
    LOAD(5);
    LOAD(6);
    LOAD(7);
    shuffle_eight(y, x);
    shuffle_eight(x, y);
    shuffle_eight(y, x);
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
    STORE(4);
    STORE(5);
    STORE(6);
    STORE(7);
#undef LOAD
#undef STORE
}

static void copy_plainly(uint16_t *to, size_t stride, const uint16_t *from, size_t ld, int32_t width, int32_t len)
{
    for (int32_t k = 0; k < width; k++)
        for (int32_t j = 0; j < len; j++)
            to[(size_t)j * stride + (size_t)k] = from[(size_t)k * ld + (size_t)j];
}

void fly_codes_transpose(uint16_t *to, size_t stride, const uint16_t *from, size_t ld, int32_t width, int32_t len)
{
    int32_t whole = width < EIGHT ? 0 : len / EIGHT * EIGHT;

    for (int32_t j = 0; j < whole; j += EIGHT) {
        /* Rows lie pages apart: nobody else sees to it that they come in time. */
        for (int32_t l = 0; l < EIGHT && j + AHEAD + l < len; l++)
            for (int32_t k = 0; k < width + 31; k += 32)
                __builtin_prefetch(to + (size_t)(j + AHEAD + l) * stride + (k < width ? k : width - 1), 1);
        for (int32_t at = 0; at < width; at += EIGHT) {
            /* The last eight overlap those before. */
            size_t k = (size_t)(at + EIGHT <= width ? at : width - EIGHT);

            transpose_eight(to + (size_t)j * stride + k, stride, from + k * ld + (size_t)j, ld);
        }
    }
    copy_plainly(to + (size_t)whole * stride, stride, from + whole, ld, width, len - whole);
}
