#include "engine/graph/wide.h"

static int forbids;

int fly_wide(void)
{
#if FLY_HAS_WIDE
    return !forbids && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

void fly_wide_forbid(int forbidden)
{
    forbids = forbidden;
}
