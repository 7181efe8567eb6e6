/* plugin/watch.h: a viewer's memory: published messages in, the view that the terminal draws out.
 *
 * Follows one method and modality of the newest session: keyframes replace the map, deltas build on the
 * map they name, and what lacks its base asks for a whole map. No socket and no clock here.
 *
 * Threads  one at a time.
 */
#ifndef FLY_PLUGIN_WATCH_H
#define FLY_PLUGIN_WATCH_H

#include <stdint.h>

#include "plugin/terminal.h"
#include "stream/publish.h"

struct fly_watch {
    struct fly_view view; /* labels point to ours */
    int32_t *labels;      /* (R, C), those to be shown; -1 where nothing is known */
    uint64_t map_seq;     /* of the map that labels are; 0: none */
    int wants_map;        /* a delta came whose base we lack: ask map.get */
    int changed;          /* since the caller last cleared it */
    int started;          /* a start came: the grid is known */
    int heard;            /* a heartbeat came */
    int stopped;          /* the session's stop came */
    int complete;         /* and its final map, or a session without one */
    char exit_status[16];
    int64_t rate_t_ns;    /* where the rate of lines is counted from */
    uint64_t rate_lines;
    int has_rate;
};

void fly_watch_init(struct fly_watch *watch, const char *method, const char *modality);
void fly_watch_fini(struct fly_watch *watch);

/* One message of the publish socket. FLY_EWIRE: not one, or a map that is wrong: nothing changed.
 * FLY_ENOMEM. Other sessions' stops and older maps are passed over. */
FLY_MUST_USE int fly_watch_take(struct fly_watch *watch, const struct fly_part *parts, int32_t n_parts);

/* The answer to map.get: its result and payloads, taken as a keyframe. */
FLY_MUST_USE int fly_watch_take_map(struct fly_watch *watch, struct fly_value header,
                                    const struct fly_part *payloads, int32_t n_payloads);

/* The answer to status: what steers. What it does not tell is not there. */
void fly_watch_take_status(struct fly_watch *watch, struct fly_value result);

#endif
