#include "engine/base/exec.h"

static void run_in_order(void *ctx, int32_t count,
                         void (*job)(void *arg, int32_t i, int32_t worker), void *arg)
{
    (void)ctx;
    for (int32_t i = 0; i < count; i++)
        job(arg, i, 0);
}

struct fly_exec fly_exec_serial(void)
{
    return (struct fly_exec){.run = run_in_order, .ctx = 0, .width = 1};
}
