/* A recording taken through the engine to its end. */
#include "plugin/recorded.h"

#include <string.h>
#include <time.h>

#include "plugin/k_factor_file.h"

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int fly_recorded_options(struct fly_options *options, const char *path, int *argc, char **argv,
                         char *const *environment)
{
    int rc;

    fly_options_default(options);
    rc = fly_follow_options(path, options);
    if (rc == FLY_OK)
        rc = fly_options_load_args(options, argc, argv, environment);
    if (rc == FLY_OK)
        rc = fly_options_check(options);
    if (rc == FLY_OK)
        rc = fly_k_factor_file_resolve(options);
    return rc;
}

int fly_recorded_embedder(struct fly_recorded *recorded)
{
    const char *origin = fly_options_origin(&recorded->options, "embed.weights");
    int rc = fly_embedder_from_options(&recorded->embedder, &recorded->options, recorded->exec.width);

    if (rc == FLY_EIO && recorded->path && strncmp(origin, FLY_FOLLOW_ORIGIN, strlen(FLY_FOLLOW_ORIGIN)) == 0)
        rc = fly_fail(FLY_EIO,
                      "%s was recorded with embed.weights %s, and that cannot be read (%s): say where the "
                      "weights lie now with --set embed.weights=FILE",
                      recorded->path, recorded->options.embed.weights, fly_fail_text());
    return rc;
}

static int follow_open(void *ctx, const char *id, const struct fly_start *start, const struct fly_part *header,
                       int32_t step_chips, struct fly_session **session)
{
    struct fly_recorded *recorded = ctx;
    struct fly_session_info *info;
    int rc;

    fly_session_close(&recorded->session);
    fly_embedder_close(&recorded->embedder);
    rc = fly_session_info_make(&info, id, start, header, &recorded->options);
    if (rc < 0)
        return rc;
    info->step_chips = step_chips;
    if (info->plan.image > 0)
        rc = fly_recorded_embedder(recorded);
    if (rc == FLY_OK)
        rc = fly_session_open(&recorded->session, info, recorded->embedder, NULL, 0, &recorded->exec);
    fly_session_info_drop(&info);
    *session = recorded->session;
    return rc;
}

static int follow_steer(void *ctx, struct fly_session *session, const struct fly_journal_item *item)
{
    struct fly_recorded *recorded = ctx;

    return recorded->steer(recorded->ctx, session, item);
}

static int follow_epoch(void *ctx, struct fly_session *session, uint64_t epoch)
{
    struct fly_recorded *recorded = ctx;

    return recorded->epoch(recorded->ctx, session, epoch);
}

void fly_recorded_think(struct fly_recorded *recorded)
{
    struct fly_engine *engine = fly_session_engine(recorded->session);
    int32_t waiting = fly_engine_backlog(engine, NULL, NULL);
    double began = now_s(), stepped;

    while (fly_session_step(recorded->session) == FLY_OK)
        if (recorded->progress)
            recorded->progress(recorded->ctx, waiting, fly_engine_backlog(engine, NULL, NULL));
    stepped = now_s();
    fly_session_epoch(recorded->session);
    recorded->steps_s = stepped - began;
    recorded->epoch_s = now_s() - stepped;
}

int fly_recorded_run(struct fly_recorded *recorded, const char *support)
{
    struct fly_follow_calls calls = {.open = follow_open, .epoch = recorded->epoch ? follow_epoch : NULL,
                                     .steer = recorded->steer ? follow_steer : NULL, .ctx = recorded};
    double began = now_s();
    int rc = fly_pool_open(&recorded->pool, recorded->options.engine.threads);

    if (rc < 0)
        return rc;
    recorded->exec = fly_pool_exec(recorded->pool);
    rc = fly_follow(recorded->path, &calls);
    recorded->read_s = now_s() - began;
    if (rc == FLY_OK && support && *support)
        rc = fly_session_load_support(recorded->session, support);
    if (rc == FLY_OK) {
        fly_session_finish(recorded->session);
        fly_recorded_think(recorded);
    }
    return rc;
}

void fly_recorded_close(struct fly_recorded *recorded)
{
    fly_session_close(&recorded->session);
    fly_embedder_close(&recorded->embedder);
    fly_pool_close(&recorded->pool);
}
