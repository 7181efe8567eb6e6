#include "engine/base/clones.h"
#include "engine/graph/vectors_kinds.h"
#include "engine/graph/wide.h"

#include <string.h>

typedef uint8_t u8_lanes __attribute__((vector_size(32)));
typedef uint16_t u16_lanes __attribute__((vector_size(64)));
typedef float f32_lanes __attribute__((vector_size(64)));
typedef double f64_lanes __attribute__((vector_size(64)));
enum { SHORTS = 32, FLOATS = 16, DOUBLES = 8 };

#define INLINE static inline __attribute__((always_inline))

/* Products of the block with one chip's photons, in vectors of `lanes` numbers, which lie in memory as
 * `type`. Two sums for each keep the adder busy; `vectors` is known where this is used, so that they stay in
 * registers. */
#define MEET(name, type, packed, vector, number, lanes)                                                      \
    INLINE void name(const struct fly_vectors *v, uint32_t first, int32_t vectors, double *sums)             \
    {                                                                                                        \
        const type *dense = v->dense;                                                                        \
        vector sum[2][FLY_BLOCK_MAX / (lanes)] = {{{0}}};                                                    \
                                                                                                             \
        for (uint32_t p = first; p; p = v->next[p])                                                          \
            for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q++) {                                                 \
                uint32_t entry = v->entries[(size_t)p * FLY_PAGE_ENTRIES + (size_t)q];                       \
                const type *at = dense + (size_t)(entry >> FLY_ENTRY_COUNT) * (size_t)vectors * (lanes);     \
                number count = (number)(int32_t)(entry & FLY_ENTRY_MAX);                                     \
                                                                                                             \
                FLY_UNROLL for (int32_t g = 0; g < vectors; g++) {                                           \
                    packed x;                                                                                \
                                                                                                             \
                    memcpy(&x, at + g * (lanes), sizeof x);                                                  \
                    sum[q % 2][g] += __builtin_convertvector(x, vector) * count;                             \
                }                                                                                            \
            }                                                                                                \
        for (int32_t g = 0; g < vectors; g++) {                                                              \
            vector all = sum[0][g] + sum[1][g];                                                              \
                                                                                                             \
            for (int32_t l = 0; l < (lanes); l++)                                                            \
                sums[g * (lanes) + l] = (double)all[l];                                                      \
        }                                                                                                    \
    }

MEET(meet_u16, uint8_t, u8_lanes, u16_lanes, uint16_t, SHORTS)
MEET(meet_f32, float, f32_lanes, f32_lanes, float, FLOATS)
MEET(meet_f64, double, f64_lanes, f64_lanes, double, DOUBLES)

FLY_CLONES_EXACT static void meet(const struct fly_vectors *v, uint32_t first, double *sums)
{
    int two = v->abreast > FLY_GROUP;

    if (v->sums_in == FLY_SUMS_F64)
        meet_f64(v, first, v->abreast / DOUBLES, sums);
    else if (v->sums_in == FLY_SUMS_F32 && two)
        meet_f32(v, first, 2 * FLY_GROUP / FLOATS, sums);
    else if (v->sums_in == FLY_SUMS_F32)
        meet_f32(v, first, FLY_GROUP / FLOATS, sums);
    else if (two)
        meet_u16(v, first, 2 * FLY_GROUP / SHORTS, sums);
    else
        meet_u16(v, first, FLY_GROUP / SHORTS, sums);
}

/* ---- by hand ------------------------------------------------------------------------------------ */

/* No count of a chip whose square is at most this passes 127, and no sum of two products 32767. */
#define BYTES_EXACT ((uint64_t)127 * 127)

#if FLY_HAS_WIDE

#include <immintrin.h>

/* Two photons' channels at a time: bytes of both lie in turn, and are multiplied and summed in pairs. */
FLY_WIDE static void meet_bytes(const struct fly_vectors *v, uint32_t first, double *sums)
{
    const uint8_t *dense = v->dense;
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
    uint16_t low_of[SHORTS], high_of[SHORTS];

    for (uint32_t p = first; p; p = v->next[p]) {
        const uint32_t *entry = v->entries + (size_t)p * FLY_PAGE_ENTRIES;

        for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q += 2) {
            uint32_t a = entry[q], b = entry[q + 1];
            __m512i x = _mm512_loadu_si512(dense + (size_t)(a >> FLY_ENTRY_COUNT) * 64);
            __m512i y = _mm512_loadu_si512(dense + (size_t)(b >> FLY_ENTRY_COUNT) * 64);
            __m512i by = _mm512_set1_epi16((short)((a & 0xff) | b << 8));

            low = _mm512_add_epi16(low, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(x, y), by));
            high = _mm512_add_epi16(high, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(x, y), by));
        }
    }
    /* Unpacked by sixteens: eight from each half in turn. */
    _mm512_storeu_si512(low_of, low);
    _mm512_storeu_si512(high_of, high);
    for (int32_t s = 0; s < 4; s++)
        for (int32_t l = 0; l < 8; l++) {
            sums[16 * s + l] = low_of[8 * s + l];
            sums[16 * s + 8 + l] = high_of[8 * s + l];
        }
}

/* The same where a count may pass 127: one channel at a time, in 16 bits. */
FLY_WIDE static void meet_shorts(const struct fly_vectors *v, uint32_t first, double *sums)
{
    const uint8_t *dense = v->dense;
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
    uint16_t sum[2 * SHORTS];

    for (uint32_t p = first; p; p = v->next[p]) {
        const uint32_t *entry = v->entries + (size_t)p * FLY_PAGE_ENTRIES;

        for (int32_t q = 0; q < FLY_PAGE_ENTRIES; q++) {
            const uint8_t *at = dense + (size_t)(entry[q] >> FLY_ENTRY_COUNT) * 64;
            __m512i x = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)at));
            __m512i y = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(at + 32)));
            __m512i by = _mm512_set1_epi16((short)(entry[q] & 0xff));

            low = _mm512_add_epi16(low, _mm512_mullo_epi16(x, by));
            high = _mm512_add_epi16(high, _mm512_mullo_epi16(y, by));
        }
    }
    _mm512_storeu_si512(sum, low);
    _mm512_storeu_si512(sum + SHORTS, high);
    for (int32_t l = 0; l < 2 * SHORTS; l++)
        sums[l] = sum[l];
}

#else

static void meet_shorts(const struct fly_vectors *v, uint32_t first, double *sums)
{
    meet(v, first, sums);
}

static void meet_bytes(const struct fly_vectors *v, uint32_t first, double *sums)
{
    meet(v, first, sums);
}

#endif

void fly_counts_meet(const struct fly_vectors *vectors, uint32_t first, double *sums)
{
    const struct fly_vectors *v = vectors;

    if (v->sums_in != FLY_SUMS_U16 || v->abreast != FLY_BLOCK_MAX || !fly_wide())
        meet(v, first, sums);
    else if (v->most <= BYTES_EXACT)
        meet_bytes(v, first, sums);
    else
        meet_shorts(v, first, sums);
}
