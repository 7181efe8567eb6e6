#include "plugin/crystal.h"

#include <stdio.h>
#include <stdlib.h>

#include "plugin/look.h"

#define TURN_NS INT64_C(2000000)

static int no_memory(struct fly_job *job)
{
    job->ok = 0;
    snprintf(job->code, sizeof job->code, "memory");
    snprintf(job->message, sizeof job->message, "no memory for the reply");
    return 1;
}

static int answer(struct fly_job *job, const struct fly_grid *grid)
{
    struct fly_pack pack;

    job->result = malloc(FLY_RESULT_CAP);
    if (!job->result)
        return no_memory(job);
    fly_pack_init(&pack, job->result, FLY_RESULT_CAP);
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "grid_shape");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, grid->rows);
    fly_pack_int(&pack, grid->cols);
    job->result_len = pack.len;
    job->n_payloads = 1;
    job->ok = 1;
    return 1;
}

int fly_crystal_step(int32_t *next, struct fly_session *session, struct fly_job *job, const struct fly_clock *clock)
{
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    int32_t chips = fly_grid_chips(grid);
    int64_t until = clock->mono_ns(clock->ctx) + TURN_NS;

    if (!job->payload[0]) {
        job->payload_len[0] = (size_t)chips * sizeof(float);
        job->payload[0] = malloc(job->payload_len[0]);
        if (!job->payload[0])
            return no_memory(job);
    }
    float *found = job->payload[0];

    for (; *next < chips; ++*next) {
        int known = fly_engine_crystallinity_known(engine, *next);

        found[*next] = fly_engine_crystallinity(engine, *next);
        if (!known && clock->mono_ns(clock->ctx) >= until) {
            ++*next;
            break;
        }
    }
    return *next == chips && answer(job, grid);
}
