/* sim/stack_state.h: a recorded specimen in memory, for the files that read it and sell it.
 *
 *   stack_read.c  the recording into frames
 *   stack.c       what is bought, and the table of an instrument
 */
#ifndef FLY_SIM_STACK_STATE_H
#define FLY_SIM_STACK_STATE_H

#include "sim/head.h"
#include "sim/stack.h"

enum { FLY_STACK_STREAMS_MAX = 16, FLY_STACK_PATCH_LINES = 16 };

/* One recorded frame. cover has a bit for each data stream that was read: the low half in the pass that counts,
 * the high half in the one that fills. */
struct fly_stack_frame {
    int64_t number;
    uint32_t *cover;                          /* (H, W) */
    unsigned char *image[FLY_DETECTORS_MAX];  /* (H, W), of the detector's dtype */
    uint32_t *row_ptr[FLY_SEGMENTS_MAX];      /* (H * W + 1) */
    uint16_t *channel[FLY_SEGMENTS_MAX];
};

struct fly_stack {
    struct fly_start start;
    unsigned char *start_header;
    size_t start_len;
    char recorded[FLY_SESSION_MAX + 1]; /* the id it was recorded under */
    uint64_t records;                   /* ingest messages of the file; more may come behind them meanwhile */
    struct fly_head head;
    struct fly_stack_frame *frames; /* by number */
    int32_t n_frames, frames_cap;
    uint16_t *next;       /* (H, W): frames before it are bought */
    uint32_t all;         /* bits of the streams that have data */
    struct fly_stack_facts facts;
    size_t bytes_max;
    uint64_t photons_sent;
    unsigned char *pixels;               /* (patch), widest dtype */
    uint32_t *pixel_of;                  /* (photon_cap) */
    uint16_t *channel;
    size_t photon_cap;
};

static inline size_t fly_stack_pixels(const struct fly_stack *s)
{
    return (size_t)s->start.height_px * (size_t)s->start.width_px;
}

/* 1 when the pixel owns that frame: every stream has it. */
static inline int fly_stack_has(const struct fly_stack *s, int32_t frame, size_t pixel)
{
    return (s->frames[frame].cover[pixel] & s->all) == s->all;
}

/* Fill an empty stack, whose bytes_max is set, from a recording. As fly_stack_open. */
FLY_MUST_USE int fly_stack_read(struct fly_stack *stack, const char *path);

#endif
