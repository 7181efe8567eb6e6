/* tests/support/pool_exec.h: an executor with real threads for tests of the engine, which has none.
 *
 * Threads are made for each run and joined at its end; jobs are handed out one at a time, so which
 * worker gets which job differs from run to run.
 */
#ifndef FLY_TESTS_POOL_EXEC_H
#define FLY_TESTS_POOL_EXEC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/exec.h"

struct pool_exec {
    int32_t width; /* 1 .. 64 */
};

struct pool_exec_run {
    void (*job)(void *arg, int32_t i, int32_t worker);
    void *arg;
    int32_t count;
    atomic_int next;
};

struct pool_exec_thread {
    struct pool_exec_run *run;
    pthread_t thread;
    int32_t worker;
};

static inline void *pool_exec_work(void *arg)
{
    struct pool_exec_thread *self = arg;
    struct pool_exec_run *run = self->run;

    for (;;) {
        int32_t i = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);

        if (i >= run->count)
            return NULL;
        run->job(run->arg, i, self->worker);
    }
}

static inline void pool_exec_run(void *ctx, int32_t count,
                                 void (*job)(void *arg, int32_t i, int32_t worker), void *arg)
{
    const struct pool_exec *pool = ctx;
    struct pool_exec_run run = {.job = job, .arg = arg, .count = count};
    struct pool_exec_thread threads[64];

    for (int32_t w = 0; w < pool->width; w++) {
        threads[w] = (struct pool_exec_thread){.run = &run, .worker = w};
        if (w > 0 && pthread_create(&threads[w].thread, NULL, pool_exec_work, &threads[w]) != 0)
            abort();
    }
    pool_exec_work(&threads[0]);
    for (int32_t w = 1; w < pool->width; w++)
        pthread_join(threads[w].thread, NULL);
}

/* Lent for as long as pool lives. */
static inline struct fly_exec pool_exec(struct pool_exec *pool)
{
    return (struct fly_exec){.run = pool_exec_run, .ctx = pool, .width = pool->width};
}

#endif
