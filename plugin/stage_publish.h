/* plugin/stage_publish.h: the publisher stage: newest state out, requests in.
 *
 * It owns the publish and the control socket. A slow subscriber costs nothing: sends never wait, and
 * a map that a newer one overtook is never sent. Whoever subscribes gets the newest message of each
 * kind at once. Requests that look at or change the session go to the engine stage and come back;
 * the answer to a change waits for the disk.
 *
 * Threads  everything here runs on the publisher thread.
 */
#ifndef FLY_PLUGIN_STAGE_PUBLISH_H
#define FLY_PLUGIN_STAGE_PUBLISH_H

#include "plugin/bus.h"
#include "plugin/stage_engine.h"
#include "stream/net.h"

struct fly_stage_publish;

struct fly_stage_publish_config {
    struct fly_bus *bus;
    struct fly_clock clock;
    const struct fly_options *options; /* lent */
    struct fly_endpoint *publish;      /* lent: an XPUB, of this thread */
    struct fly_endpoint *control;      /* lent: a ROUTER, of this thread */
    struct fly_stage_engine *engine;
    const char *ingest_address;        /* as bound, for status */
    const char *page_url;              /* the same; NULL: there is no page */
    const char *embedder;              /* its name, for start */
    void (*log_event)(const struct fly_event *event); /* NULL: events go on the wire alone */
    void (*log_level)(int level); /* log.level as a request set it; may be NULL */
};

FLY_MUST_USE int fly_stage_publish_open(struct fly_stage_publish **out,
                                        const struct fly_stage_publish_config *config);
void fly_stage_publish_close(struct fly_stage_publish **stage);

int fly_stage_publish_step(struct fly_stage_publish *stage); /* 1 did something, 0 nothing to do */
void fly_stage_publish_wait(struct fly_stage_publish *stage, int32_t timeout_ms);

#endif
