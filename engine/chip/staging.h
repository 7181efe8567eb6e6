/* engine/chip/staging.h: frames in flight, kept in blocks of 64 x 16 pixels.
 *
 * What assembly (assemble.h) holds of the frames: which pixels came, their content and dwell as long
 * as it is held, and, when the content has gone, still which came. A block stands where its frame has
 * pixels and nowhere else, so that a re-scan of one chip costs its few blocks. A block that is all
 * there and whose content has gone shrinks to one bit; a frame of such bits alone, to one bit more
 * ("settled").
 *
 *   table    (frame number, block) -> place of the block; (frame number, FRAME) -> place of the frame
 *   frames   those that are neither untouched nor settled
 *   blocks   with content, or remembering which of their pixels had come
 *   contents pixels and dwell of a block; a row's dwell is one number, runs name the exceptions
 *
 * Places are indices into arrays that open reserved, -1 is none. Nothing here decides what may go:
 * that is assembly's (room.c).
 *
 * Axes     pixels and blocks are in the frame's own coordinates: its shift is not applied.
 * Threads  one.
 */
#ifndef FLY_CHIP_STAGING_H
#define FLY_CHIP_STAGING_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/dtype.h"
#include "engine/chip/assemble.h"
#include "engine/chip/grid.h"

enum {
    FLY_BLOCK_W = 64, /* a row of a block is one word of bits */
    FLY_BLOCK_H = 16,
    FLY_RUNS_PER_BLOCK = 4
};

enum { FLY_NONE = -1, FLY_FULL = -2 }; /* FULL: all of the block came, its content has gone */

struct fly_block {
    uint64_t there[FLY_BLOCK_H]; /* bit x of row y: that pixel came */
    int32_t at;                  /* block row * blocks across + block column */
    int32_t frame;
    int32_t next, prev;          /* of the frame's blocks; next alone also links the free ones */
    int32_t content;             /* FLY_NONE: gone */
    int32_t next_doomed;         /* while room.c looks for what may go */
};

struct fly_content {
    uint64_t held[FLY_BLOCK_H];     /* bit x of row y: that pixel's content is here, finite or not */
    uint64_t dwell_ns[FLY_BLOCK_H]; /* of the row's pixels that no run names */
    int32_t runs;                   /* first run; also links the free contents */
    int32_t runs_len;
    /* (FLY_BLOCK_H, FLY_BLOCK_W) pixels follow at FLY_CONTENT_HEAD */
};
enum { FLY_CONTENT_HEAD = 320 };

/* Pixels of a row whose dwell is not the row's. */
struct fly_run {
    uint64_t bits;
    uint64_t dwell_ns;
    int32_t row;
    int32_t next;
};

struct fly_frame {
    int64_t number;
    int32_t dy_px, dx_px;
    int32_t first;     /* of its blocks */
    int32_t contents;  /* blocks whose content is held */
    int32_t full;      /* blocks that are one bit */
    int32_t live_at;   /* place in live; links the free ones */
    struct fly_rect box; /* around all that came; h == 0: nothing did */
    uint8_t lost;      /* some content has gone: it cannot be shifted any more */
    uint8_t stuck;     /* room.c found nothing to let go, and no chip was done since */
};

struct fly_slot {
    uint64_t key;
    int32_t value;
};

struct fly_staging {
    int32_t height_px, width_px;
    int32_t down, across, n_blocks; /* blocks of a frame */
    size_t px_size, stride;
    struct fly_slot *table;
    uint64_t table_mask;
    struct fly_frame *frames;
    uint64_t *full;                 /* (frames_cap, full_words) */
    size_t full_words;
    int32_t *live;
    int32_t frames_cap, n_live, free_frame;
    struct fly_block *blocks;
    int32_t blocks_cap, blocks_left, free_block;
    unsigned char *contents;
    int32_t contents_cap, contents_left, free_content;
    struct fly_run *runs;
    int32_t runs_cap, runs_left, free_run;
    uint64_t *settled;              /* bit per frame number */
};

/* Count (arena NULL) or take what the configuration asks for; `need` grows by the bytes. When the
 * arena was too small pointers are NULL: the caller compares the need first. */
void fly_staging_reserve(struct fly_staging *staging, const struct fly_assembly_config *config,
                         struct fly_arena *arena, size_t *need);
/* Make the reserved memory empty. */
void fly_staging_clear(struct fly_staging *staging, int64_t frames_max);

int fly_staging_settled(const struct fly_staging *staging, int64_t number);
int32_t fly_staging_frame(const struct fly_staging *staging, int64_t number); /* FLY_NONE: none yet */
/* FLY_NONE, FLY_FULL or the block's place. frame may be FLY_NONE. */
int32_t fly_staging_block(const struct fly_staging *staging, int32_t frame, int32_t at);

/* These take from the reserve, which the caller has made sure of. */
int32_t fly_staging_add_frame(struct fly_staging *staging, int64_t number);
int32_t fly_staging_add_block(struct fly_staging *staging, int32_t frame, int32_t at);
void fly_staging_add_content(struct fly_staging *staging, int32_t block);

/* Forget a block's content. A block that is all there becomes one bit, and with the last of them its
 * frame is settled. */
void fly_staging_drop_content(struct fly_staging *staging, int32_t block);

static inline struct fly_content *fly_staging_content(const struct fly_staging *staging, int32_t content)
{
    return (struct fly_content *)(staging->contents + (size_t)content * staging->stride);
}

static inline unsigned char *fly_content_row(const struct fly_staging *staging, struct fly_content *content,
                                             int32_t row)
{
    return (unsigned char *)content + FLY_CONTENT_HEAD +
           (size_t)row * FLY_BLOCK_W * staging->px_size;
}

/* All of the block's pixels (those within the scan) have come. */
int fly_staging_whole(const struct fly_staging *staging, int32_t block);

/* Give `bits` of a row, just come, their dwell. Call it before held has them. Takes at most one run. */
void fly_staging_set_dwell(struct fly_staging *staging, struct fly_content *content, int32_t row,
                           uint64_t bits, uint64_t dwell_ns);
/* 1 when set_dwell would take a run. */
int fly_staging_needs_run(const struct fly_staging *staging, const struct fly_content *content, int32_t row,
                          uint64_t dwell_ns);

/* All pixels of rect (within the scan, not empty) have come in `frame`. */
int fly_staging_has(const struct fly_staging *staging, int32_t frame, struct fly_rect rect);

/* columns[b] = those columns of block column b whose pixels have come in all rows y0 .. y1-1, for b0
 * <= b < b1. Returns 0 when there is none. */
int fly_staging_columns(const struct fly_staging *staging, int32_t frame, int32_t y0, int32_t y1,
                        int32_t b0, int32_t b1, uint64_t *columns);

/* Bits x0 .. x1-1 of a word; 0 <= x0 <= x1 <= 64. */
static inline uint64_t fly_bits(int32_t x0, int32_t x1)
{
    if (x1 <= x0)
        return 0;
    return (~0ull >> (64 - (x1 - x0))) << x0;
}

/* Bits of block column b that lie in x0 .. x1-1 of the frame. */
static inline uint64_t fly_block_bits(int32_t b, int32_t x0, int32_t x1)
{
    int32_t from = x0 - b * FLY_BLOCK_W, to = x1 - b * FLY_BLOCK_W;

    return fly_bits(from < 0 ? 0 : from, to > FLY_BLOCK_W ? FLY_BLOCK_W : to);
}

#endif
