/* plugin/crystal.h: crystallinity.get, how crystalline the image is around every chip.
 *
 * The engine keeps what it measured until pixels change, so asking often costs the chips that changed alone. Of a
 * whole scan that is more than a turn of the engine stage has time for: it measures for 2 ms a turn, and the stream
 * goes on in between. A chip is told as of the turn that came to it.
 *
 * Request  {} -> {grid_shape}, payload 0 <f4 (R, C), NaN where it is not measured or cannot be told.
 */
#ifndef FLY_PLUGIN_CRYSTAL_H
#define FLY_PLUGIN_CRYSTAL_H

#include "engine/base/clock.h"
#include "plugin/input.h"
#include "plugin/session.h"

/* Measure on from chip *next, which is 0 at first; 1 when the job is answered. */
int fly_crystal_step(int32_t *next, struct fly_session *session, struct fly_job *job, const struct fly_clock *clock);

#endif
