/* engine/base/coverage.h: which pixels of which frame were reported, and which chips took which frame.
 *
 * The bookkeeping that images and photons share. A frame is staged in square blocks, so that a small
 * commanded re-scan costs what it touches. A block holds one byte a pixel: 0 not reported, else the
 * number of the pixel's dwell in the block's own table; what else a pixel carries lies with the
 * caller, under the block's slot. A chip is ready for a frame when all its pixels of that frame are
 * there, and takes it once. A block stays held, for comparing repeats and for shifts, until another block needs its
 * slot; it may go once every chip that has pixels in it took the frame.
 *
 * A frame may be shifted against the reference: its pixel (y, x) lies at (y + dy, x + dx) of the scan.
 *
 * Frames that not every chip took, re-scans of a part and shifted ones among them, are remembered until there are
 * FLY_COVER_FRAMES of them. Then, and where no block may go and frames_held others hold some, the one that nothing
 * came of for longest is closed: its caller has its chips take what is there (on_close), its blocks go, and what
 * still comes of it is refused.
 *
 * Axes     y down the slow scan, x along the fast scan; chip k = row * cols + col.
 * Memory   reserved by open: frames_held whole frames of blocks, and bits for every chip of
 *          FLY_COVER_FRAMES frames that are not done.
 * Threads  one.
 */
#ifndef FLY_BASE_COVERAGE_H
#define FLY_BASE_COVERAGE_H

#include <stdint.h>

#include "engine/base/arena.h"

enum { FLY_COVER_FRAMES = 1024, FLY_COVER_DWELLS = 16 };

struct fly_cover_frame;

struct fly_cover_config {
    int32_t height_px, width_px, side_px, pitch_px, rows, cols; /* the scan and its chip grid */
    int32_t frames_held; /* 1 .. 4096 */
    int64_t frames_max;  /* 1 .. 2^20 */
    void (*on_evict)(void *ctx, int32_t slot); /* its caller's things go; may be NULL */
    void (*on_close)(void *ctx, const struct fly_cover_frame *record); /* before its blocks go; may be NULL */
    void *ctx;
};

/* A frame that not every chip has taken, or that is shifted. */
struct fly_cover_frame {
    int64_t frame; /* -1: free */
    int32_t dy_px, dx_px;
    int32_t taken; /* chips */
    int32_t held;  /* blocks */
    int32_t first; /* slot of them, -1 none */
    int parted;    /* 1: pixels went that a shift would have to move */
    int64_t used;  /* when anything came of it last, in calls */
    uint64_t *bits; /* (K) 1: the chip took it */
};

struct fly_cover_slot {
    int64_t frame; /* -1: free */
    int32_t block;
    int32_t measured;              /* pixels */
    int32_t record, before, after; /* of a frame that is not done: its record, and slots of the same; -1 none */
    int32_t n_dwells;
    uint64_t dwell_ns[FLY_COVER_DWELLS];
};

struct fly_cover {
    struct fly_cover_config config;
    int32_t side;          /* of a block */
    int32_t nby, nbx;      /* blocks down and across */
    int32_t n_slots, n_used, hand;
    struct fly_cover_slot *slots;
    uint8_t *marks;        /* (n_slots, side * side) */
    int32_t *free_slots;
    int32_t n_free;
    int32_t *table;        /* hash of (frame, block) to slot, -1 empty */
    uint32_t table_mask;
    struct fly_cover_frame frames[FLY_COVER_FRAMES];
    int32_t last_frame;    /* index of the one looked up last */
    uint64_t *done;        /* (frames_max bits) frames that every chip took, or closed ones */
    uint64_t *closed;      /* (frames_max bits) those that made room for others */
    int64_t calls;
    int64_t pinned_frame;  /* while begin works: blocks of this frame, in these rows and columns, stay */
    struct {
        int32_t by0, by1, bx0, bx1;
    } pinned;
    int64_t lowest;        /* frame number seen, -1 none */
    int32_t *touched;      /* (nby * nbx) slots of the rectangle begun; -1: done with and gone */
};

struct fly_cover_rect {
    int32_t y0, x0, h, w;
};
struct fly_cover_range {
    int32_t r0, r1, c0, c1; /* rows r0 .. r1-1, columns c0 .. c1-1; empty when r0 >= r1 or c0 >= c1 */
};

/* Side of a block for chips of this pitch: a chip's cell where that is a handy size. */
int32_t fly_cover_block_side(int32_t pitch_px);

size_t fly_cover_need(const struct fly_cover_config *config);
/* FLY_ERANGE a number is outside its range; FLY_ENOMEM the arena is too small */
FLY_MUST_USE int fly_cover_open(struct fly_cover **out, const struct fly_cover_config *config,
                                struct fly_arena *arena);

/* Chips that a rectangle of the scan touches. */
struct fly_cover_range fly_cover_touched(const struct fly_cover_config *config, struct fly_cover_rect rect);

/* Find room for a rectangle of a frame: afterwards cover->touched has the slot of each block it
 * touches, row by row, or -1 where the chips took the frame and the block is gone. The frame's record is in
 * *record, NULL when the frame is done.
 *
 * FLY_ENOMEM  no room, or the frame was closed: the message names the setting; nothing that counts has changed
 * FLY_ERANGE  frame or dwell outside its range
 */
FLY_MUST_USE int fly_cover_begin(struct fly_cover *cover, int64_t frame, struct fly_cover_rect rect,
                                 uint64_t dwell_ns, struct fly_cover_frame **record);

/* The number of a dwell in a block's table, 1 .. FLY_COVER_DWELLS; begin saw to it that it fits. */
uint8_t fly_cover_dwell(struct fly_cover *cover, int32_t slot, uint64_t dwell_ns);

/* The slot of a block of a frame, -1 when it has none. */
int32_t fly_cover_find(const struct fly_cover *cover, int64_t frame, int32_t by, int32_t bx);

/* Where chip k's pixels lie in the frame as it came: the chip's square less the shift, not clipped. */
struct fly_cover_rect fly_cover_chip(const struct fly_cover *cover, const struct fly_cover_frame *record,
                                     int32_t chip);

static inline int fly_cover_has(const struct fly_cover_frame *record, int32_t chip)
{
    return (int)(record->bits[chip >> 6] >> (chip & 63) & 1);
}

/* 1: all of a chip lies within the frame, wherever that was shifted to. */
int fly_cover_whole(const struct fly_cover *cover, const struct fly_cover_frame *record, int32_t chip);

/* 1: chip has not taken the frame and all its pixels are there, but for those that a shift has put beyond the frame. */
int fly_cover_ready(const struct fly_cover *cover, const struct fly_cover_frame *record, int32_t chip);

/* The chip takes the frame. When it was the last one, and the frame is not shifted, the record is
 * closed: do not use it afterwards (returns 1). */
int fly_cover_take(struct fly_cover *cover, struct fly_cover_frame *record, int32_t chip);

/* The record for shifting a frame, made when it has none. FLY_ERANGE: a chip took the frame and its
 * pixels are not held any more, or the shift is larger than the scan. */
FLY_MUST_USE int fly_cover_shift(struct fly_cover *cover, int64_t frame, int32_t dy_px, int32_t dx_px,
                                 struct fly_cover_frame **record);

/* A run of pixels of one row within one block. */
struct fly_cover_run {
    int32_t slot;
    int32_t at;  /* of the first pixel in the block, row-major */
    int32_t y, x; /* of the first pixel in the frame */
    int32_t len;
};

/* Walk the runs of a rectangle of a frame (clipped to the scan) whose blocks are held, block by block.
 * Start with *state zeroed; 1 while there is a next. */
struct fly_cover_walk {
    int started;
    int32_t by, bx, y, slot;
    struct fly_cover_rect rect;
};
int fly_cover_next(const struct fly_cover *cover, int64_t frame, struct fly_cover_rect rect,
                   struct fly_cover_walk *state, struct fly_cover_run *run);

static inline uint8_t *fly_cover_marks(const struct fly_cover *cover, int32_t slot)
{
    return cover->marks + (size_t)slot * (size_t)cover->side * (size_t)cover->side;
}

/* 1: a block could be given up, and was. */
int fly_cover_evict(struct fly_cover *cover);

/* Close the frame, other than this one, that nothing came of for longest. 0: fewer than frames_held
 * others hold blocks. */
int fly_cover_close_oldest(struct fly_cover *cover, int64_t but);

#endif
