/* engine/damage.h: does the specimen change under the beam? The damage watch (engine/steer/damage.h) within the engine.
 *
 * It is told of every exposure as chips take it in, looks at them when a frame of a higher number begins or no more will come, and follows from
 * the data alone, whatever is thought, mapped or planned of them. Windows are those of the elements quantified, the first
 * FLY_DAMAGE_WINDOWS_MAX of them; photons below quantification's mask (a strobe peak, noise) do not count. Without
 * quantification rate and image are watched.
 *
 * Segments   of unequal efficiency are booked together: when a chip took as many reports as there are segments.
 * Dwell      exposures whose dwell nothing told are not watched.
 * Drift      what the frame measured last lies off (engine/quality.h), two sigma more, is what a chip may have moved by, a
 *            tenth of it at least; half of it, where no recent frame was measured. The most that it ever was counts. A
 *            frame that is shifted by more than a quarter of a chip after it came makes the watch begin anew.
 * Plans      chips that are damaged and their neighbours are barred, unless a plan asks otherwise.
 */
#ifndef FLY_ENGINE_DAMAGE_H
#define FLY_ENGINE_DAMAGE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/chip/grid.h"
#include "engine/steer/damage.h"

struct fly_engine;

struct fly_quality_damage {
    int32_t chips;  /* damaged */
    int32_t barred; /* those and their neighbours */
    struct fly_damage_finding last;
    const char *element; /* of last, where a share changed; else NULL */
};

struct fly_damage_state {
    struct fly_arena arena;
    struct fly_damage *watch;
    int32_t windows, from; /* channel that counts first */
    int32_t *bounds;       /* (windows, 6) of fly_quantifier_windows */
    uint32_t *seen[2];     /* (K) versions of pixels and photons booked */
    double *sum;           /* (K) mean intensity times dwell, us, as it is in the mean image */
    double *dwell_us;      /* (K) of the image */
    double *mean;          /* (S, S) scratch */
    int64_t newest_frame;  /* highest, -1: none */
    double moved;          /* share of a chip; 0: nothing told */
};

/* Lent for the life of the engine. */
const struct fly_damage *fly_engine_damage(const struct fly_engine *engine);

#endif
