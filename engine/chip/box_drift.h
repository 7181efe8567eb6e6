/* engine/chip/box_drift.h: how far a frame made of boxes has drifted against the first one.
 *
 * drift.h needs a frame that covers a window. Where single tiles are steered there are none after the survey, but each
 * box shows again what the survey has shown there. The picture of a first frame is kept, the boxes of one later frame
 * are gathered as they come, and when another frame begins all of them together are looked for in that picture:
 *
 *   r(t) = sum over boxes of sum (f - mean f)(g_t - mean g_t)  /  sqrt(sum sum (f - mean f)^2  sum sum (g_t - mean g_t)^2)
 *
 * f being a box's pixels, g_t those of the reference t px from where they were last found, all means the box's own: neither
 * dwell nor a background that came since makes a difference. r is smoothed by (1 2 1)/4 each way, as if the reference
 * was: what is noise in both falls on each other one pixel at a time, what is seen in both does not. The place is the
 * maximum of the parabola through 3 x 3 px; sigma is that of a jackknife over up to 32 groups of boxes.
 *
 * Boxes    pixels that touch by an edge, cut into cells of FLY_BOX_DRIFT_CELL_PX from their upper left corner; how
 *          they came does not matter. Of fewer than FLY_BOX_DRIFT_PX_MIN px they say nothing.
 * Search   FLY_BOX_DRIFT_REACH_PX each way from where the last frame measured was; half as much more after each frame that
 *          could not be measured, up to _REACH_MAX_PX. Pixels whose search leaves the reference are left out: boxes at the
 *          border of the scan say less.
 * Measured what stands out from the noise by 6 sigma, where at least 0.7 of the structure that both have comes to lie on
 *          each other (noise being what second differences along a line make of it), of FLY_BOX_DRIFT_BOXES_MIN boxes or
 *          more that agree to 0.4 px along one axis at least. Along stripes sigma is large, up to INFINITY; then the
 *          last place is told.
 * Rivals   other maxima that are not lower by 3 sigma of the difference, over boxes, and 3 %. As in drift.h the nearest to
 *          the last place is told, and `ambiguous`; but commands follow each other within seconds, and what would be a
 *          movement by more than half of the reach is no rival of one by less (4 px, at 0.03 nm a pixel and a second from
 *          frame to frame: 7 nm/min, at which nobody maps). So steering is not blind on a crystal; in one of cells of less
 *          than 8 px a jump by most of a cell is taken for what is left to the next, as in drift.h beyond half a cell. Cells
 *          of less than 6 px differ by where they lie between pixels, and may be told apart by it.
 * Frames   one at a time. That one begins is told by fly_box_drift_begin, by whatever data of it came first; boxes that come
 *          after another has begun are left out. A frame with a line as wide as drift.h's window is not made of boxes.
 *          Of a pixel that comes twice the first stands; after FLY_BOX_DRIFT_PX pixels a frame the rest is left out.
 * Reference what comes of the first frame, until its place is known; one of lines that begins before takes its place. Its place is
 *          what drift.h measures of it. Boxes of frames that end before then are not measured. It is not replaced: what
 *          drift has carried out of it is not measured.
 * Sign     as drift.h.
 * Limits   as drift.h. What all boxes have in common is a shift: coils that fall short after each jump, say; what differs from
 *          box to box is in sigma.
 * Accuracy of uneven lattices with particles, boxes of 15 px, Poisson, an axis: 64 boxes 0.06 px at 3 counts in the brightest
 *          pixels, 0.03 at 10, 0.016 at 40; 16 boxes 0.12, 0.07 and 0.03; 6 boxes 0.1 at 10 (tests); sigma says so to a
 *          third. Of 1200 trials of 5 to 9 boxes that had nothing in common with the reference one was told as if it had.
 * Results  a function of the calls made; the same for any order and subdivision of a frame's pixels that leave out none.
 * Memory   2.3 MiB, and a frame in its own dtype with a bit for each pixel: 36 MiB of 4096 x 4096 px of u16.
 * Cost     a step of 64 boxes of 16 px 3.6 ms on one core of a Xeon (`flyback bench quality`), and more with the square of
 *          the search.
 * Threads  one at a time.
 */
#ifndef FLY_CHIP_BOX_DRIFT_H
#define FLY_CHIP_BOX_DRIFT_H

#include "engine/chip/drift.h"

enum {
    FLY_BOX_DRIFT_PX = 1 << 15,       /* 145 boxes of 15 px: more would cost time, and tell what a hundredth of a pixel is */
    FLY_BOX_DRIFT_CELL_PX = 32,       /* so that a large box is no single witness */
    FLY_BOX_DRIFT_PX_MIN = 16,        /* of a box */
    FLY_BOX_DRIFT_BOXES_MIN = 5,      /* fewer do not know their own sigma */
    FLY_BOX_DRIFT_REACH_PX = 8,       /* twice what is likely from frame to frame: see Rivals */
    FLY_BOX_DRIFT_REACH_MAX_PX = 24,
};

struct fly_box_drift;

/* Bytes that init will take; SIZE_MAX when a number is outside its range. */
size_t fly_box_drift_need(const struct fly_drift_config *config);

/* FLY_ERANGE  a side outside its range
 * FLY_ENOMEM  the arena is too small */
FLY_MUST_USE int fly_box_drift_init(struct fly_box_drift **out, const struct fly_drift_config *config,
                                    struct fly_arena *arena);

/* Data of a frame come. If none did before, it begins, and ends the one that was gathered: 1 where that is one of
 * boxes to be measured, which is to be done, or dropped, before this is called again (asserted). */
int fly_box_drift_begin(struct fly_box_drift *drift, int64_t frame);

/* Put a rectangle of a frame in, as fly_drift_put; the frame has begun. */
void fly_box_drift_put(struct fly_box_drift *drift, int64_t frame, struct fly_rect rect, const void *pixels);

/* No more data will come: as if another frame began. */
int fly_box_drift_finish(struct fly_box_drift *drift);

/* The frame that ended and waits to be measured; -1: none. */
int64_t fly_box_drift_waiting(const struct fly_box_drift *drift);
/* It was measured otherwise. */
void fly_box_drift_drop(struct fly_box_drift *drift);
/* Measure it. FLY_OK: told; FLY_EAGAIN: none waits. */
int fly_box_drift_step(struct fly_box_drift *drift, struct fly_drift_shift *shift);

/* What drift.h has told of a frame: the reference's place, or that there is nothing to see in it; where the next frame is
 * looked for. */
void fly_box_drift_told(struct fly_box_drift *drift, const struct fly_drift_shift *shift);

#endif
