/* plugin/stage_engine.h: the stage that thinks: takes inputs and requests, works in steps, posts maps.
 *
 * It waits for nobody but new work. Epochs are cut when a chip row's worth of chips is embedded, when
 * nothing is left to embed, or when a person changed something; what was cut by timing is journaled
 * (FLY_REC_MARK), so that a replay can follow it to the bit.
 *
 * Threads  everything here runs on the engine thread; the rings' other ends belong to the other stages.
 */
#ifndef FLY_PLUGIN_STAGE_ENGINE_H
#define FLY_PLUGIN_STAGE_ENGINE_H

#include "plugin/bus.h"
#include "plugin/input.h"
#include "plugin/ring.h"
#include "plugin/session.h"

struct fly_stage_engine;

struct fly_stage_engine_config {
    struct fly_bus *bus;
    struct fly_clock clock;
    struct fly_options options;
    struct fly_exec exec;
    struct fly_embedder *embedder; /* lent */
};

FLY_MUST_USE int fly_stage_engine_open(struct fly_stage_engine **out,
                                       const struct fly_stage_engine_config *config);
void fly_stage_engine_close(struct fly_stage_engine **stage);

/* The ends for the other stages: inputs to here, spent inputs back, requests to here, replies back. */
struct fly_ring *fly_stage_engine_inputs(struct fly_stage_engine *stage);
struct fly_ring *fly_stage_engine_spent(struct fly_stage_engine *stage);
struct fly_ring *fly_stage_engine_jobs(struct fly_stage_engine *stage);
struct fly_ring *fly_stage_engine_replies(struct fly_stage_engine *stage);

/* The serial of the last session that was drained and ended. */
uint64_t fly_stage_engine_done(const struct fly_stage_engine *stage);

/* Do what there is: 1 did something, 0 nothing to do. */
int fly_stage_engine_step(struct fly_stage_engine *stage);

/* Sleep until there may be something to do, at most timeout_ms. */
void fly_stage_engine_wait(struct fly_stage_engine *stage, int32_t timeout_ms);
void fly_stage_engine_wake(struct fly_stage_engine *stage); /* from any thread */

#endif
