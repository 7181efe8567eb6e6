/* engine/chip/assembly.h: the inside of an assembly, for the files that share it (assemble.c, room.c,
 * look.c).
 *
 * Two layers make a pixel of the scan: its base sum, of the content that has gone from staging, and
 * the content that is staged. A chip's mean is the base plus the staged frames that the chip has taken,
 * added when somebody looks: so nothing is ever taken back out of a sum, and a frame that is held can
 * be shifted for the price of a new look. Content goes to the base when all chips that touch it have
 * taken its frame; the base is therefore the same for all of them, and no chip needs sums of its own.
 */
#ifndef FLY_CHIP_ASSEMBLY_H
#define FLY_CHIP_ASSEMBLY_H

#include "engine/chip/assemble.h"
#include "engine/chip/exact.h"
#include "engine/chip/staging.h"

struct fly_assembly {
    struct fly_assembly_config config;
    struct fly_staging staging;
    int32_t words;             /* of an exact sum */
    int32_t n_chips;
    size_t bit_words;          /* of a row of bits over the scan's width */

    uint64_t *sums;            /* (H, W, words) base */
    uint64_t *weights;         /* (H, W) base */
    uint64_t *base_bits;       /* (H, bit_words) weight of the base > 0 */
    uint64_t *measured_bits;   /* (H, bit_words) the base's or any staged frame's */
    int64_t measured_px;

    uint32_t *version;         /* (K) */
    uint64_t *complete;        /* (K) bits */
    uint64_t *dirty;           /* (K) bits */
    size_t dirty_from;         /* no word before it is set */
    int64_t lowest_frame;
    int finished;

    /* Work space of one call. */
    uint64_t *before;          /* (K) bits: the chip had taken the frame; all zero between calls */
    uint64_t *changed;         /* (K) bits: all zero between calls */
    int32_t *plan;             /* (blocks of a frame) */
    int32_t *frames;           /* (frames) */
    uint64_t *columns;         /* (blocks across) */
    uint64_t *row_sums;        /* (W, words) */
    uint64_t *row_weights;     /* (W) */
    uint64_t *row_bits;        /* (bit_words) */
};

static inline int fly_bit_get(const uint64_t *bits, int32_t i)
{
    return bits[i / 64] >> i % 64 & 1;
}
static inline void fly_bit_set(uint64_t *bits, int32_t i)
{
    bits[i / 64] |= 1ull << i % 64;
}
static inline void fly_bit_clear(uint64_t *bits, int32_t i)
{
    bits[i / 64] &= ~(1ull << i % 64);
}

/* The pixels of `frame` that chip k is made of: empty (h or w 0) where the shift moved them all out. */
struct fly_rect fly_assembly_chip_rect(const struct fly_assembly *a, const struct fly_frame *frame, int32_t k);

/* The chips that a rectangle of `frame` touches. */
struct fly_chip_range fly_assembly_chips_of(const struct fly_assembly *a, const struct fly_frame *frame,
                                            struct fly_rect rect);

/* Chip k has taken the frame at this place: all its pixels of it are there, or finish took them. */
int fly_assembly_took(const struct fly_assembly *a, int32_t frame, int32_t k);

/* `bits` from column x of the scan on (x may be negative, bits beyond the scan are left out) or'ed into
 * a row of bits; returns how many were new. */
int32_t fly_row_or(const struct fly_assembly *a, uint64_t *row, int32_t x, uint64_t bits);

/* Add row `row` of a block's content to sums and weights, whose place 0 is `at` pixels left of the row's
 * first. Only `bits` of what is held. */
void fly_content_add(const struct fly_assembly *a, struct fly_content *content, int32_t row, uint64_t bits,
                     uint64_t *sums, uint64_t *weights, int64_t at);

/* What a rectangle needs from the reserve. */
struct fly_room {
    int32_t frames, blocks, contents, runs;
};

/* Make room by letting the content of taken blocks go to the base, lowest frame number first; blocks of
 * `frame` that meet rect stay. FLY_ENOMEM: there is not enough that may go, and nothing went. */
FLY_MUST_USE int fly_assembly_make_room(struct fly_assembly *a, const struct fly_room *room, int32_t frame,
                                        struct fly_rect rect);

/* Chip k's content changed: count it, mark it, and look anew whether every pixel is measured. */
void fly_assembly_touch(struct fly_assembly *a, int32_t k);

#endif
