/* engine/base/clock.h: what time it is, as handed to the stages.
 *
 * Deadlines and latencies use mono_ns alone; unix_ns is for stamps. A simulated run hands in its own.
 */
#ifndef FLY_BASE_CLOCK_H
#define FLY_BASE_CLOCK_H

#include <stdint.h>

struct fly_clock {
    int64_t (*mono_ns)(void *ctx);
    int64_t (*unix_ns)(void *ctx);
    void *ctx;
};

#endif
