/* engine/graph/affinity_state.h: the inside of a graph, for the files that are its parts.
 *
 * affinity.c   open, update by blocks, settle
 * commit.c     a block's new rows replace the old ones in everything that is kept
 * affinity_read.c   what it says
 */
#ifndef FLY_GRAPH_AFFINITY_STATE_H
#define FLY_GRAPH_AFFINITY_STATE_H

#include "engine/graph/affinity.h"

enum { FLY_JUMPS_MAX = 16 };

struct fly_affinity {
    struct fly_affinity_config config;
    int32_t n;
    int32_t tile;
    int32_t tiles;
    size_t ld;       /* of rows in hand */
    size_t stride;   /* n rounded up to 64 */
    size_t words;    /* stride / 64 */
    int32_t reach;   /* multiple of 64 beyond every chip that was ever a member */
    double error;    /* of a fast similarity */
    int32_t doubt;   /* the same in codes */
    int zero_exact;  /* a fast 0 is 0 */

    uint16_t *code;  /* (n, stride) */
    uint64_t *bits;  /* (n, words) */
    int64_t *degree; /* (n) */
    uint8_t *member; /* (n) */
    struct fly_histogram *histogram;
    int32_t members;
    int64_t m2;
    int64_t edges;

    struct fly_cut cut;
    int32_t bin;
    struct fly_hysteresis hysteresis;
    struct fly_threshold_jump jumps[FLY_JUMPS_MAX];
    int32_t jump_first, jump_count;
    struct fly_affinity_work work;

    /* The block in hand: its chips, which of them were members and which will be, and their new codes,
     * FLY_CODE_NONE where there is no pair. */
    int32_t block[FLY_BLOCK_MAX];
    int32_t block_count;
    uint8_t was[FLY_BLOCK_MAX];
    uint8_t joins[FLY_BLOCK_MAX];
    uint16_t *fresh;    /* (FLY_BLOCK_MAX, ld) */
    uint16_t *absent;   /* (ld) 0xffff: no pair with this column now */
    uint64_t *new_bits; /* (words) */
    uint32_t *change;   /* (ld) of degrees, modulo 2^32 */
    int64_t *exact;     /* (tiles) asked again, by tile */
    int64_t *products;  /* (tiles) */
    double *scratch;    /* (D) of the wider vectors */
};

/* Do i and j, whose code is in doubt, make an edge at this cut? */
int fly_affinity_asks(struct fly_affinity *graph, int32_t i, int32_t j, const struct fly_cut *cut);

/* Replace the rows of the block by `fresh`. */
void fly_affinity_commit(struct fly_affinity *graph);

/* Move the threshold, and the edges between the two. */
void fly_affinity_retarget(struct fly_affinity *graph, const struct fly_cut *cut);

#endif
