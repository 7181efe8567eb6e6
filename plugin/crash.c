#include "plugin/input.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const points[FLY_CRASH_POINTS] = {"arrival", "recorded", "embedded", "published"};
static atomic_long left[FLY_CRASH_POINTS]; /* 0: not armed */

int fly_crash_arm(const char *text)
{
    for (int p = 0; p < FLY_CRASH_POINTS; p++) {
        size_t len = strlen(points[p]);
        char *end;

        if (strncmp(text, points[p], len) != 0 || text[len] != ':')
            continue;
        long n = strtol(text + len + 1, &end, 10);

        if (*end == '\0' && n > 0) {
            atomic_store(&left[p], n);
            return FLY_OK;
        }
    }
    return fly_fail(FLY_ERANGE, "--crash-at %s: POINT:N is needed, POINT one of arrival, recorded, embedded, "
                                "published, N from 1", text);
}

void fly_crash_here(enum fly_crash_point point)
{
    if (atomic_load_explicit(&left[point], memory_order_relaxed) && atomic_fetch_sub(&left[point], 1) == 1)
        kill(getpid(), SIGKILL);
}
