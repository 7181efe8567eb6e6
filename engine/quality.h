/* engine/quality.h: is what comes in good enough to be trusted? Counts, saturation, drift, chip size, calibration.
 *
 * Watched while data come, told when asked. Nothing here changes a map: it is for people, who may change the dwell,
 * the gain, the chip size or the calibration. What is bad and what is said about it is the caller's.
 *
 * Results  a function of the calls of fly_engine_lines, _photons, _shift, _finish and _step, in their order, and of
 *          the advice that was made by then; the same for any number of threads.
 * Cost     of a line: that of saturation.h and drift.h. A frame is measured once (drift.h: 3 ms at most), by
 *          fly_engine_quality_step, or by the first line of the next frame where that was not called in time; one of
 *          boxes (box_drift.h), where that was asked for, by the first data of the next.
 * Memory   reserved by fly_engine_open: at most 8 MiB, with an image of FLY_DRIFT_WIDE_PX or more; with box_drift that of
 *          box_drift.h beside it.
 */
#ifndef FLY_ENGINE_QUALITY_H
#define FLY_ENGINE_QUALITY_H

#include <stdint.h>

#include "engine/chip/box_drift.h"
#include "engine/chip/drift.h"
#include "engine/chip/saturation.h"
#include "engine/damage.h"
#include "engine/region/advice.h"

struct fly_engine;

/* Chips whose composition was made. Own counts are too few in those of too_few and pooled. */
struct fly_quality_counts {
    int32_t chips;   /* 0: nothing to tell, or nothing is quantified */
    int32_t of;      /* chips of the scan */
    int32_t too_few; /* no composition */
    int32_t pooled;  /* only together with their neighbours (robust profile) */
    int32_t needed;  /* photons, of quantify.h's min_counts */
    double median;   /* photons of a complete chip, quantified or not, at all energies: of two in the middle the
                      * lower; NaN without any */
};

struct fly_quality_saturation {
    struct fly_pile top, bottom; /* of the pixels of all frames; those of a message sent again in part count twice */
    int bottom_may_be_vacuum;    /* 1: a counting type's zeros, which are measured ones */
};

struct fly_quality_drift {
    struct fly_drift_counts frames; /* measured: the first one, which all are compared with, among them */
    struct fly_drift_shift last;    /* of the frame measured last, either way; all zeros before; may say that it could not be */
    double applied_px[2];           /* y, x: that fly_engine_shift was given for it; 0, 0 without */
    double largest_px;              /* of |(dy, dx)| of all frames measured, applied or not; 0 before */
    int64_t largest_frame;
    int64_t adopted;                /* frames that lie where adoption.h has put them */
};

struct fly_quality {
    int has_image, has_eds;
    struct fly_quality_counts counts;
    struct fly_quality_saturation saturation; /* without an image all of it is zero */
    struct fly_quality_drift drift;           /* the same */
    struct fly_quality_damage damage;
    struct fly_advice advice;                 /* TOO_LITTLE before there is any */
    int advice_final;   /* 1: all lines that are ever looked at were */
    int32_t chip_px;    /* as configured */
    int32_t chip_cols;  /* chips in a row */
    double pixel_nm;    /* the larger of both; 0: not known */
    int32_t elements;   /* quantified; 0: none */
    int32_t users_k;    /* of them, those whose k-factor is the user's */
};

/* Measure a frame whose pixels are there, or advise on the chip size where many more lines came since the last time
 * (at a quarter of those looked at, each doubling, all of them). At most FLY_ADVICE_PX each way are looked at, in the
 * middle of the topmost lines. 1: did one of these, a few ms; 0: nothing is due. Changes no map and no step. */
enum { FLY_ADVICE_PX = 512 }; /* 20 cells of 25 px: more of them would tell nothing new */
int fly_engine_quality_step(struct fly_engine *engine);

/* O(chips). */
void fly_engine_quality(const struct fly_engine *engine, struct fly_quality *quality);

#endif
