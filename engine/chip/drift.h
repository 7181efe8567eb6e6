/* engine/chip/drift.h: how far each frame of a session has drifted against the first one.
 *
 * Two views of a frame are kept while its pixels come, in any order: a window of at most FLY_DRIFT_WINDOW_PX
 * each way in the middle of the scan as it is, and, of scans larger than that, at most FLY_DRIFT_WIDE_PX each way
 * in bins of 2 x 2 px. (Larger bins would see a lattice's moire, which moves as it likes.) When both are there the
 * frame is compared with the reference (correlate.h): the window tells the shift to a fraction of a pixel, and the
 * wide view which cell of a lattice it is where the window does not. The first frame with something to see is the
 * reference; a frame that has drifted by an eighth of the window takes its place, and shifts and variances add up.
 *
 * A perfect lattice looks the same one cell farther. Of the shifts that neither view rules out, the one
 * nearest to the last frame's is told, and `ambiguous`, with the rival nearest to it: right while the specimen
 * drifts less than half a cell from one measured frame to the next, and off by whole cells from where it once did
 * not.
 *
 * Sign     as fly_assembly_shift: pixel (y, x) of the frame lies at (y + dy, x + dx) of the first.
 * Limits   a shift of the window as a whole: shear within a frame, rotation, and flyback errors of single lines
 *          are not told from it; where they differ over the window correlation falls and sigma grows. What is fixed
 *          to the scan (a detector's dead stripe, mains hum locked to lines) draws the shift toward 0. What moves
 *          by more than a quarter of the window between a frame and its reference is found in the wide view, or
 *          not at all.
 * Frames   two are in flight, whatever their numbers; when a third begins, the one that nothing came of for longest is
 *          given up and counted. What is smaller than the window both ways, as commanded boxes are, makes no frame of
 *          which more came be given up: it waits for a place. A frame is ready once both views are there, or its
 *          window and another frame has begun after it (boxes begin none), or fly_drift_finish was called: so a re-scan that
 *          covers the window counts, one that does not is given up in time.
 * Repeats  of a pixel of the window: the first stands. In a bin both count: they weigh, but are real.
 * Results  a function of the calls made; the same for any order and subdivision of a frame's pixels (of floats in
 *          bins, but for the rounding of double sums).
 * Cost     a put of a line of 512 px takes 0.6 us where both views want it and less elsewhere, the first of a frame
 *          50 us; a step 1.5 to 3 ms with both views at their largest, on one core of a Xeon; 7.6 MiB then.
 * Accuracy of uneven lattices with a few particles, 160 to 256 px, Poisson: 0.08 px an axis at 2 counts in the
 *          brightest pixels, 0.05 at 20, 0.03 at 180 (tests); sigma says so to a third. Line jitter that a whole
 *          window has in common is a shift.
 * Threads  one at a time; open and close on the thread that opens all else with FFTW.
 */
#ifndef FLY_CHIP_DRIFT_H
#define FLY_CHIP_DRIFT_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/dtype.h"
#include "engine/chip/grid.h"

enum { FLY_DRIFT_WINDOW_PX = 256, FLY_DRIFT_WIDE_PX = 512, FLY_DRIFT_SIDE_MIN = 8,
       FLY_DRIFT_FRAMES_MAX = 1 << 20 };

struct fly_drift;

struct fly_drift_config {
    int32_t height_px, width_px; /* of the scan: FLY_DRIFT_SIDE_MIN .. FLY_SCAN_MAX_PX */
    enum fly_dtype dtype;
};

struct fly_drift_shift {
    int64_t frame;
    int64_t reference; /* that it was compared with; the frame itself when it became the first */
    int measured;      /* 0: constant, nothing in common, or too noisy: all numbers below are NaN, ambiguous 0 */
    double dy_px, dx_px;
    double sigma_dy_px, sigma_dx_px; /* of the place within a cell; large, up to
                                      * INFINITY, along stripes, where all places are rivals. 0 in the first */
    double since_dy_px, since_dx_px; /* since the frame measured before; 0 in the first one */
    double correlation; /* 0 .. 1: of the structure in both frames, how much lies on each other */
    int ambiguous;      /* other cells are as likely, or were for a reference on the way here */
    double rival_dy_px, rival_dx_px; /* the likely shift nearest to it; NaN without one */
};

struct fly_drift_counts {
    int64_t measured;
    int64_t unmeasurable; /* frames with nothing to see or to compare */
    int64_t given_up;     /* frames that were not there when a third one began */
};

/* Bytes that open will take; SIZE_MAX when a number is outside its range. */
size_t fly_drift_need(const struct fly_drift_config *config);

/* FLY_ERANGE  a side outside its range
 * FLY_ENOMEM  the arena is too small, or FFTW makes no plan */
FLY_MUST_USE int fly_drift_open(struct fly_drift **out, const struct fly_drift_config *config,
                                struct fly_arena *arena);
void fly_drift_close(struct fly_drift **drift); /* before the arena goes; forgives NULL */

/* Put a rectangle of a frame in: (h, w) pixels, C order, no alignment. rect lies within the scan (asserted);
 * frame >= 0. Pixels of a frame that was measured or given up, or beyond FLY_DRIFT_FRAMES_MAX, are left out. */
void fly_drift_put(struct fly_drift *drift, int64_t frame, struct fly_rect rect, const void *pixels);

/* 1: the frame was measured, whatever came of it. */
int fly_drift_measured(const struct fly_drift *drift, int64_t frame);

/* 1: its window is there, or it was measured or given up: it needs to be measured by nobody else. */
int fly_drift_has(const struct fly_drift *drift, int64_t frame);

/* A frame of which fly_drift_has says 0 was measured otherwise (box_drift.h), whatever came of it: it is done with and
 * counted, and the next one is looked for from where it was. */
void fly_drift_take(struct fly_drift *drift, const struct fly_drift_shift *shift);

/* No more pixels will come. */
void fly_drift_finish(struct fly_drift *drift);

/* 1: a frame is ready. Cheap: to be asked after each put. */
int fly_drift_ready(const struct fly_drift *drift);

/* Measure the lowest frame that is ready. FLY_OK: told; FLY_EAGAIN: none is. */
int fly_drift_step(struct fly_drift *drift, struct fly_drift_shift *shift);

struct fly_drift_counts fly_drift_counts(const struct fly_drift *drift);

#endif
