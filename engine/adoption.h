/* engine/adoption.h: which frame is to be shifted by how much, going by what was measured of its drift.
 *
 * Where it is switched on, each frame that was measured (chip/drift.h) is judged: its shift is to be adopted, or why not. The
 * caller gives it to fly_engine_shift, as it would a person's, after it has written it down: what is adopted is an
 * input like any other, and no replay measures it again. A frame that begins is given the last shift found at once:
 * its chips are then taken where they belong the first time, and re-scans of a part, which are never measured, are as
 * well. When its own shift is measured, and is another one, that is given instead. With config.box_drift that of a frame
 * made of boxes is measured when the next frame begins: so it is known before that one's pixels are assembled.
 *
 * Good     measured; neither standard deviation above FLY_ADOPT_SIGMA_PX: else the nearest pixel is a guess; no lattice
 *          looks the same a cell farther; at least half of the scan lies on the first frame's.
 * By hand  a frame that was given a shift otherwise keeps it.
 * Results  a function of the calls of fly_engine_lines, _shift, _finish and of those below, in their order; the same
 *          for any number of threads.
 */
#ifndef FLY_ENGINE_ADOPTION_H
#define FLY_ENGINE_ADOPTION_H

#include <stdint.h>

struct fly_engine;

#define FLY_ADOPT_SIGMA_PX 0.5

/* Frames are moved by whole pixels. One that lies so near to where it was put stays there: half a pixel, and what keeps
 * a drift between two of them from moving frame after frame to and fro. */
#define FLY_ADOPT_NEAR_PX 0.6

/* What a specimen is taken to drift by from frame to frame, px, until two frames have told: 0.2 nm/min at 0.03 nm
 * a pixel and a frame a second, which is a stage that has settled. */
#define FLY_ADOPT_RATE_PX 0.1

enum fly_adoption_verdict {
    FLY_ADOPT = 0,        /* to be given to fly_engine_shift */
    FLY_ADOPT_UNMEASURED, /* constant, nothing in common with the first, or too noisy */
    FLY_ADOPT_UNCERTAIN,
    FLY_ADOPT_AMBIGUOUS,
    FLY_ADOPT_FAR,
    FLY_ADOPT_VERDICTS
};
const char *fly_adoption_name(enum fly_adoption_verdict verdict); /* "adopt", "unmeasured", "uncertain", ... */

struct fly_adoption {
    int64_t frame;
    enum fly_adoption_verdict verdict;
    int32_t dy_px, dx_px;                 /* to adopt */
    double drift_px[2], sigma_px[2];      /* as measured, y, x; NaN where it was not */
};

/* On or off, from the next frame measured on; off at first. Without an image nothing is ever measured. */
void fly_engine_set_adoption(struct fly_engine *engine, int on);

/* Data of a frame are about to be put in, the first of it as far as the caller knows: boxes of the frame before are measured.
 * fly_engine_lines and all else that takes data does so itself; who adopts has to know before, and what came of it by
 * fly_engine_adoption. */
void fly_engine_frame_begins(struct fly_engine *engine, int64_t frame);

/* Measure what frames are ready, and tell what is to be done about the next of them: 1. What is near enough where
 * it is, or was put there by hand, is passed over. */
int fly_engine_adoption(struct fly_engine *engine, struct fly_adoption *adoption);

/* A frame begins, of which nothing came yet: measure what frames are ready, 1 where it is to be given a shift. */
int fly_engine_adoption_ahead(struct fly_engine *engine, int64_t frame, struct fly_adoption *adoption);

/* The shift that fly_engine_shift was given last of this frame was adopted. */
void fly_engine_adopted(struct fly_engine *engine, int64_t frame);

#endif
