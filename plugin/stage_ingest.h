/* plugin/stage_ingest.h: the producer stage: takes messages from the instrument, refuses what breaks the
 * protocol, hands what is accepted to the recorder first and to the engine stage next.
 *
 * A full engine queue stops reading the socket: back-pressure reaches the instrument. The disk never
 * does: a recorder that is behind is told as a gap. At start an unfinished recording is read back and
 * its session goes on.
 *
 * Threads  everything here runs on the producer thread.
 */
#ifndef FLY_PLUGIN_STAGE_INGEST_H
#define FLY_PLUGIN_STAGE_INGEST_H

#include "plugin/bus.h"
#include "plugin/input.h"
#include "plugin/ring.h"
#include "plugin/stage_engine.h"
#include "stream/net.h"

struct fly_stage_ingest;

struct fly_stage_ingest_config {
    struct fly_bus *bus;
    struct fly_clock clock;
    struct fly_disk disk;
    const struct fly_options *options; /* lent */
    struct fly_endpoint *endpoint;     /* lent: a PULL, of this thread */
    struct fly_stage_engine *engine;
    int32_t step_chips;                /* of the engine, written into recordings; 0 unknown */
    int32_t exec_width;                /* threads of the engine's executor, for a resumed session's own embedder */
};

FLY_MUST_USE int fly_stage_ingest_open(struct fly_stage_ingest **out,
                                       const struct fly_stage_ingest_config *config);
void fly_stage_ingest_close(struct fly_stage_ingest **stage); /* the open session stays unfinished on disk */

/* Look for an unfinished recording in recording.dir and begin to read it back. FLY_OK also when there is
 * none. */
FLY_MUST_USE int fly_stage_ingest_resume(struct fly_stage_ingest *stage);

/* Take what is there: 1 did something, 0 nothing to do. */
int fly_stage_ingest_step(struct fly_stage_ingest *stage);

/* Sleep until a message may be there, the disk or the engine moved, at most timeout_ms. */
void fly_stage_ingest_wait(struct fly_stage_ingest *stage, int32_t timeout_ms);
void fly_stage_ingest_wake(struct fly_stage_ingest *stage); /* from any thread */

#endif
