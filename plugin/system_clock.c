#include "plugin/system_clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_MONOTONIC);
}

static int64_t unix_ns(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_REALTIME);
}

struct fly_clock fly_clock_system(void)
{
    return (struct fly_clock){.mono_ns = mono_ns, .unix_ns = unix_ns};
}
