/* plugin/recorded.h: a recording taken through the engine to its end, for those who want what came out.
 *
 * The same session, steps and epoch that `flyback run` had; the configuration is the recorded one with the caller's
 * changes over it.
 *
 * Threads  one; the work itself is spread over engine.threads.
 */
#ifndef FLY_PLUGIN_RECORDED_H
#define FLY_PLUGIN_RECORDED_H

#include "plugin/follow.h"
#include "plugin/pool.h"

struct fly_recorded {
    struct fly_options options;
    struct fly_pool *pool;
    struct fly_exec exec;
    struct fly_embedder *embedder;
    struct fly_session *session;
    const char *path;
    /* Chips that wait, all and now; NULL: nobody looks. */
    void (*progress)(void *ctx, int32_t waiting, int32_t left);
    /* As in fly_follow_calls; NULL: interim maps are passed over. */
    int (*epoch)(void *ctx, struct fly_session *session, uint64_t epoch);
    int (*steer)(void *ctx, struct fly_session *session, const struct fly_journal_item *item); /* with epoch, or NULL */
    void *ctx;
    double read_s, steps_s, epoch_s; /* filled: what reading, stepping and the last epoch took */
};

/* The settings of the recording, then files, environment and --set arguments (options.h). argv is left without them. */
FLY_MUST_USE int fly_recorded_options(struct fly_options *options, const char *path, int *argc, char **argv,
                                      char *const *environment);

/* Run it: options, path, progress and epoch are the caller's, all else zero. support: a file whose classes are added
 * at the end, or NULL. The session stands as after its stop.
 *
 * FLY_EIO, FLY_EWIRE  the recording, the weights or the support set cannot be read
 * FLY_ERANGE, FLY_ENOMEM  as fly_session_open */
FLY_MUST_USE int fly_recorded_run(struct fly_recorded *recorded, const char *support);
void fly_recorded_close(struct fly_recorded *recorded); /* zeros are fine */

/* Open the embedder that recorded->options name; where the recording names weights that are there no more, say so. */
FLY_MUST_USE int fly_recorded_embedder(struct fly_recorded *recorded);

/* Step until nothing is left, then one epoch: of a session that was not read from a recording, too. */
void fly_recorded_think(struct fly_recorded *recorded);

#endif
