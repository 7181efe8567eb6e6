/* engine/steer/ledger.h: what dose every pixel of the specimen has had, booked from the data that came.
 *
 * An exposure is one pixel of one frame: the beam stood there once, whoever saw it. Streams that report the same
 * exposure (the image and every EDS segment) count once, by the longest dwell that any of them tells. What is sent again
 * changes nothing. A dwell that nothing tells is no dose of any size: such exposures are counted apart.
 *
 * Dose is kept as dwell, in whole ns; fly_dose_factor (engine/base/dose.h) makes e-/A^2 of it. Where a frame was
 * shifted against the reference its dose lies where the beam was on the specimen: its pixel (y, x) at
 * (y + dy, x + dx), as pixels of the image do (engine/chip/assemble.h); what falls outside the scan is no pixel's, and
 * counted.
 *
 * Which exposures were booked is held for frames_held frames of every block of FLY_LEDGER_BLOCK_PX squared. While they
 * are held the ledger is a function of the data alone, whatever their order, subdivision or repeats. A block that
 * needs the room lets its lowest frame go: what then still comes of such a frame is booked in full, which may
 * be too much but never too little, unless all of it was reported by its stream before; it depends on the order of
 * arrival, and is counted (late).
 *
 * Axes     y down the slow scan, x along the fast scan; chip k = row * cols + col.
 * Memory   8 bytes a pixel and 1.2 for each frame held, and 4 a frame number, all reserved by open.
 * Cost     of a line of 512 px 0.6 us, and 0.3 us for each stream that saw it, too (`flyback bench assembly`), a
 *          seventh of what assembly takes; a look sums the chips that changed since the last one, 0.6 ns a pixel.
 * Threads  one at a time.
 */
#ifndef FLY_STEER_LEDGER_H
#define FLY_STEER_LEDGER_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/coverage.h"
#include "engine/base/dose.h"

enum {
    FLY_LEDGER_BLOCK_PX = 32,
    FLY_LEDGER_DWELLS = 16, /* of one frame within a block, without which it counts as late */
};

/* A dwell that nothing told (stream/wire.h), of the weight that makes all pixels equal. */
enum { FLY_DWELL_UNKNOWN_NS = 1 };

struct fly_ledger;

struct fly_ledger_config {
    int32_t height_px, width_px, side_px, pitch_px, rows, cols; /* as in struct fly_grid */
    int32_t frames_held; /* of each block, 1 .. 4096 */
    int64_t frames_max;  /* frame numbers below it may be shifted, 1 .. 2^20 */
};

/* Chips, as of the last look; lent until the next. Arrays (K). */
struct fly_ledger_view {
    const float *mean_us;      /* dwell that is known, mean over the chip's pixels, exposed or not */
    const float *max_us;       /* of its pixel that has had most */
    const int64_t *unknown;    /* exposures of its pixels whose dwell nothing told: with any, dose is at least the above */
    const int64_t *last_ns;    /* newest stamp of what exposed it, 0: none */
    const int64_t *last_frame; /* highest frame that exposed it, -1: none */
};

struct fly_ledger_counts {
    int64_t exposures; /* of pixels, each once a frame */
    int64_t unknown;   /* of them, those without a dwell */
    int64_t late;      /* of them, those booked in full because their frame was held no longer: may be booked twice */
    int64_t outside;   /* of them, those of which a shift made no pixel of the scan */
    int64_t unmoved;   /* blocks of frames whose shift came when they were held no longer: their dose stayed */
    double survey_us;  /* mean dwell of the exposures of frame 0 that have one: what a survey costs a pixel; NaN: none */
    uint64_t version;  /* grows with whatever changes the ledger */
};

/* Bytes that open will take; SIZE_MAX when they cannot be counted. */
size_t fly_ledger_need(const struct fly_ledger_config *config);

/* FLY_ERANGE a number of the config is outside its range; FLY_ENOMEM the arena is too small */
FLY_MUST_USE int fly_ledger_open(struct fly_ledger **out, const struct fly_ledger_config *config,
                                 struct fly_arena *arena);

/* A stream reports a rectangle of a frame, within the scan (asserted).
 *
 *   frame     at least 0 (asserted); beyond frames_max it is booked where the scan was
 *   dwell_ns  of each pixel, at least 1 (asserted); FLY_DWELL_UNKNOWN_NS: nothing told it
 *   fresh     0: the stream reported all of it before, so that it changes no block that is held no longer
 *   stamp     when it came, in the caller's time, or 0
 */
void fly_ledger_book(struct fly_ledger *ledger, int64_t frame, struct fly_cover_rect rect, uint64_t dwell_ns,
                     int fresh, int64_t stamp);

/* A frame's shift, as fly_assembly_shift was given it: the dose booked and all that comes of it moves there. A later
 * call replaces an earlier one. The shift is smaller than the scan and the frame below frames_max (asserted). */
void fly_ledger_shift(struct fly_ledger *ledger, int64_t frame, int32_t dy_px, int32_t dx_px);

/* O(pixels of the chips that changed since the last look). */
void fly_ledger_look(struct fly_ledger *ledger, struct fly_ledger_view *view);

/* Known dwell of every pixel of a rectangle within the scan, us; out (h, w). */
void fly_ledger_pixels(const struct fly_ledger *ledger, struct fly_cover_rect rect, float *out);

struct fly_ledger_counts fly_ledger_counts(const struct fly_ledger *ledger);

/* ---- of any dose ------------------------------------------------------------------------------------------- */

/* How unevenly n values of at least 0 are shared, their Gini coefficient: the mean difference of two over twice the
 * mean, 0 (all equal) .. 1 - 1/n (one has all); with x ascending, i from 1,
 *
 *     sum_i (2 i - n - 1) x_i / (n sum_i x_i)
 *
 * NaN without values or where all are 0. Sorts them in place. O(n log n). */
double fly_dose_gini(float *values, int32_t n);
double fly_dose_gini_ref(const float *values, int32_t n); /* by its definition, O(n^2) */

#endif
