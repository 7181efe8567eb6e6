/* sim/play.h: a recording sent to a running Flyback, from its start to Flyback's own stop.
 *
 * replay.h makes the messages, sender.h delivers them; here they are brought together in time. What is
 * shown meanwhile is the caller's.
 *
 * Threads  one. SIGINT and SIGTERM are heard while the caller has fly_tool_signals_begin in force.
 */
#ifndef FLY_SIM_PLAY_H
#define FLY_SIM_PLAY_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/sender.h"

struct fly_play_report {
    char session[FLY_SESSION_MAX + 1];
    int begun;           /* Flyback answered, and sending began */
    uint64_t messages;   /* in the file */
    uint64_t sent, made; /* made: of the sent, such as are not in the file */
    double wall_s;       /* since Flyback first answered */
    struct fly_sender_report sender;
};

struct fly_play_config {
    const char *path, *session; /* NULL: the recorded id */
    uint64_t from;              /* first ingest message, from 1 */
    double speed;               /* of the recorded arrival; 0: as fast as Flyback takes it */
    double connect_timeout_s, stop_timeout_s;
    double patience_s;                 /* give up when Flyback stays silent so long */
    struct fly_sender_config sender;   /* net, clock, addresses, topics, hear; the rest is set here */
    /* Called at each turn. What is not FLY_OK ends it all and is returned. May be NULL. */
    int (*tick)(void *ctx, const struct fly_play_report *so_far);
    void *tick_ctx;
};

/* FLY_OK: Flyback confirmed the stop. FLY_EAGAIN: interrupted; what was on its way got a moment to
 * arrive. FLY_EIO: Flyback does not answer, fell silent or lost the session. Others as fly_replay_open
 * and fly_sender_open. The report is filled in any case. */
FLY_MUST_USE int fly_play(const struct fly_play_config *config, struct fly_play_report *report);

#endif
