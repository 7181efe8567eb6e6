/* plugin/latency.h: a histogram of times, fixed in size: percentiles within 5 % from 1 us to hours.
 *
 * Threads  one.
 */
#ifndef FLY_PLUGIN_LATENCY_H
#define FLY_PLUGIN_LATENCY_H

#include <stdint.h>

enum { FLY_LATENCY_STEPS = 16, FLY_LATENCY_OCTAVES = 34 };

struct fly_latency {
    uint64_t count;
    int64_t max_ns;
    uint64_t bucket[FLY_LATENCY_STEPS * FLY_LATENCY_OCTAVES]; /* 16 an octave, from 1 us */
};

void fly_latency_add(struct fly_latency *latency, int64_t ns);

/* The time that `percent` of all do not exceed, in ms: the upper edge of its bucket, the exact maximum for
 * 100. NaN when nothing was added. */
double fly_latency_ms(const struct fly_latency *latency, double percent);

#endif
