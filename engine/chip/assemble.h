/* engine/chip/assemble.h: pixels in any order become the mean image of every chip.
 *
 * Rectangles of image pixels arrive in any order, subdivided at will, repeated, of several frames.
 * A chip takes a frame into its mean when all its pixels of that frame are there (a frame that was shifted has none
 * beyond its edge); what is left is taken at stop (fly_assembly_finish). The mean of a pixel is weighted by dwell and is the correctly
 * rounded quotient of exact sums, so that no order of arrival can change a bit of it: 128-bit
 * integer sums for integer types, wide fixed-point sums for floats (every float is a multiple of its
 * smallest one, Kulisch 1981). Assembly knows gaps: a pixel nobody measured is counted missing,
 * never guessed.
 *
 * A pixel of one frame that comes again: equal content changes nothing, other content keeps the
 * first. Non-finite pixels of float types are counted and taken as missing.
 *
 * Frames in flight are staged; a frame taken by all its chips stays held, for comparing repeats and
 * for shifts, until a newer frame needs its room. Memory is what open reserved; a frame that
 * finds no room is refused whole (FLY_ENOMEM names the limit). Of more unfinished frames than there is room for, the one
 * that nothing came of for longest is closed (base/coverage.h): its chips take what is there as at stop, and what
 * still comes of it is refused.
 *
 * Shapes   pixels (h, w) C order, type as opened. Means (S, S) double, index chip of grid.h.
 * Threads  one.
 */
#ifndef FLY_CHIP_ASSEMBLE_H
#define FLY_CHIP_ASSEMBLE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/dtype.h"
#include "engine/chip/grid.h"

struct fly_assembly;

struct fly_assembly_config {
    struct fly_grid grid;
    enum fly_dtype dtype;
    int32_t frames_held; /* staged or held at once, 1 .. 4096; commanded small re-scans each count by
                          * the blocks they touch, not as a whole frame */
    int64_t frames_max;  /* frame numbers 0 .. frames_max-1 are taken, at most 2^20 */
    const int32_t *halved; /* chips (n_halved) whose odd frames are summed apart too: fly_assembly_halves. Ascending,
                            * lent for the call of open */
    int32_t n_halved;    /* 0 .. FLY_HALVED_MAX */
};
enum { FLY_HALVED_MAX = 255 };

/* What one rectangle did. */
struct fly_taken {
    int64_t fresh_px;     /* pixels that were new */
    int64_t repeated_px;  /* came again with equal content, or with content no longer held */
    int64_t conflict_px;  /* came again with other content: the first stands */
    int64_t nonfinite_px; /* taken as missing */
    int64_t unchecked_px; /* of repeated_px, those whose content is no longer held */
    int32_t chips_done;   /* chips that took a frame by this */
};

/* Bytes that open will take; SIZE_MAX when it cannot be counted. */
size_t fly_assembly_need(const struct fly_assembly_config *config);

/* FLY_ERANGE a number of the config is outside its range; FLY_ENOMEM the arena is too small */
FLY_MUST_USE int fly_assembly_open(struct fly_assembly **out, const struct fly_assembly_config *config,
                                   struct fly_arena *arena);

/* Put a rectangle of `frame` in. rect lies within the scan (checked by the caller; asserted here).
 * pixels need no alignment. dwell_ns 1 .. 2^40, the weight of this frame's pixels here.
 *
 * FLY_ENOMEM  the frame needs more room than is reserved, or was closed: nothing changed, the message says which
 * FLY_ERANGE  frame or dwell_ns outside its range: nothing changed
 */
FLY_MUST_USE int fly_assembly_put(struct fly_assembly *assembly, int64_t frame, struct fly_rect rect,
                                  const void *pixels, uint64_t dwell_ns, struct fly_taken *taken);

/* Shift a frame against the reference: its pixel (y, x) lies at (y + dy_px, x + dx_px) of the scan;
 * what falls outside is not used. Chips that had taken the frame give it back exactly and take it
 * anew. A later call replaces an earlier one. Works before the frame's first pixel, too.
 *
 * FLY_ERANGE  part of the frame is no longer held, or a shift is larger than the scan
 */
FLY_MUST_USE int fly_assembly_shift(struct fly_assembly *assembly, int64_t frame, int32_t dy_px,
                                    int32_t dx_px);

/* No more pixels will come: every chip takes what frames left partial. (A pixel's mean is then over
 * the frames that measured it.) Idempotent. */
void fly_assembly_finish(struct fly_assembly *assembly);

/* Chip k has a mean for every pixel: all measured by at least one frame that it took. */
int fly_assembly_complete(const struct fly_assembly *assembly, int32_t chip);

/* How often chip k's content changed so far; 0: never. Grows by one for each put, shift or finish
 * that changed it. */
uint32_t fly_assembly_version(const struct fly_assembly *assembly, int32_t chip);

/* Mean dwell of the chip's pixels, all frames that it took together, ns: > 0 where it is complete. */
double fly_assembly_dwell_ns(const struct fly_assembly *assembly, int32_t chip);

/* The chip's mean, double, (S, S). The chip is complete (asserted). */
void fly_assembly_mean(const struct fly_assembly *assembly, int32_t chip, double *mean);

/* The means over the even and over the odd frames of the i-th of the chips halved, (S, S) both: of the same frames and
 * as exact as the mean of all. 1; or 0, and nothing is filled, where a pixel was measured in one of the two alone. */
int fly_assembly_halves(const struct fly_assembly *assembly, int32_t i, double *even, double *odd);

/* The mean over what is measured so far of any pixel of the scan, staged pixels of unfinished frames
 * included: for looking at, not for the engine. NaN where nothing was measured. rect within the scan;
 * out (h, w) float. */
void fly_assembly_peek(const struct fly_assembly *assembly, struct fly_rect rect, float *out);

/* Fraction of the scan's pixels that any frame has measured, 0 .. 1. */
double fly_assembly_coverage(const struct fly_assembly *assembly);

/* Raw pixels of `frame` (dtype as opened, as they came, shift not applied) within rect, and whether
 * each was measured (0 / 1), as long as the frame is held: for the intensity range of frame 0.
 * FLY_EAGAIN  part of rect of that frame is not there, or no longer held (what is there is filled) */
FLY_MUST_USE int fly_assembly_frame(const struct fly_assembly *assembly, int64_t frame,
                                    struct fly_rect rect, void *pixels, uint8_t *measured);

/* The lowest frame number any pixel came for, or -1. */
int64_t fly_assembly_lowest_frame(const struct fly_assembly *assembly);

/* Chips whose version changed since the last call, each once, lowest index first; returns how many
 * were written, at most cap. Call again until it returns 0. */
int32_t fly_assembly_drain_dirty(struct fly_assembly *assembly, int32_t *chips, int32_t cap);

#endif
