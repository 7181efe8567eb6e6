#include "plugin/latency.h"

#include <math.h>

static int bucket_of(int64_t ns)
{
    double octaves = ns > 1000 ? log2((double)ns / 1000.0) : 0.0;
    int at = (int)(octaves * FLY_LATENCY_STEPS);

    return at < FLY_LATENCY_STEPS * FLY_LATENCY_OCTAVES ? at : FLY_LATENCY_STEPS * FLY_LATENCY_OCTAVES - 1;
}

void fly_latency_add(struct fly_latency *latency, int64_t ns)
{
    latency->bucket[bucket_of(ns)]++;
    latency->count++;
    if (ns > latency->max_ns)
        latency->max_ns = ns;
}

double fly_latency_ms(const struct fly_latency *latency, double percent)
{
    uint64_t want = (uint64_t)ceil((double)latency->count * percent / 100.0), seen = 0;

    if (!latency->count)
        return NAN;
    for (int b = 0; percent < 100.0 && b < FLY_LATENCY_STEPS * FLY_LATENCY_OCTAVES; b++) {
        seen += latency->bucket[b];
        if (seen >= want) {
            double edge = 1e-3 * exp2((double)(b + 1) / FLY_LATENCY_STEPS), max = (double)latency->max_ns * 1e-6;

            return edge < max ? edge : max;
        }
    }
    return (double)latency->max_ns * 1e-6;
}
