#include "plugin/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker {
    struct fly_pool *pool;
    int32_t index;
    pthread_t thread;
};

struct fly_pool {
    int32_t width, started;
    struct worker workers[64];
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* under lock */
    uint64_t round; /* grows with every run(): a worker joins each round once */
    int32_t busy;
    int closing;
    void (*job)(void *arg, int32_t i, int32_t worker);
    void *arg;
    int32_t count;
    atomic_int_least32_t next; /* index of the next job to take; relaxed, the lock orders the rest */
};

static void take_jobs(struct fly_pool *pool, int32_t worker)
{
    int32_t i;

    while ((i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->count)
        pool->job(pool->arg, i, worker);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct fly_pool *pool = self->pool;
    uint64_t seen = 0;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->closing && pool->round == seen)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->closing)
            break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->lock);
        take_jobs(pool, self->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void pool_run(void *ctx, int32_t count, void (*job)(void *arg, int32_t i, int32_t worker), void *arg)
{
    struct fly_pool *pool = ctx;

    if (count < 1)
        return;
    if (count == 1 || pool->started == 0) {
        for (int32_t i = 0; i < count; i++)
            job(arg, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->job = job;
    pool->arg = arg;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->started;
    pool->round++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    take_jobs(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

int fly_pool_open(struct fly_pool **out, int32_t width)
{
    struct fly_pool *pool;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (width == 0)
        width = cores < 1 ? 1 : cores > 64 ? 64 : (int32_t)cores;
    if (width < 1 || width > 64)
        return fly_fail(FLY_ERANGE, "engine.threads %d, allowed are 0 .. 64", width);
    pool = calloc(1, sizeof *pool);
    if (!pool)
        return fly_fail(FLY_ENOMEM, "worker pool: no memory for its handle");
    pool->width = width;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int32_t i = 0; i < width - 1; i++) {
        struct worker *worker = &pool->workers[i];
        int err;

        *worker = (struct worker){.pool = pool, .index = i + 1};
        err = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (err) {
            fly_pool_close(&pool);
            return fly_fail(FLY_EIO, "worker thread %d: %s", i + 1, strerror(err));
        }
        pool->started++;
    }
    *out = pool;
    return FLY_OK;
}

void fly_pool_close(struct fly_pool **pool)
{
    struct fly_pool *p = *pool;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = 1;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int32_t i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pool = NULL;
}

struct fly_exec fly_pool_exec(struct fly_pool *pool)
{
    return (struct fly_exec){.run = pool_run, .ctx = pool, .width = pool->width};
}
