#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph/affinity.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void fly_affinity_ref(struct fly_affinity_ref *ref, const double *similarities, int32_t n)
{
    size_t pairs = (size_t)n * (size_t)(n - 1) / 2, at = 0;
    double *s = malloc((pairs + 1) * sizeof *s);

    FLY_ASSERT(s);
    memset(ref, 0, sizeof *ref);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = i + 1; j < n; j++)
            s[at++] = similarities[(size_t)i * (size_t)n + (size_t)j];
    for (size_t k = 0; k < pairs; k++) {
        int32_t bin = (int32_t)floor((s[k] + 1.0) * 1024.0);

        ref->mean += s[k] / (double)pairs;
        ref->m2[bin < FLY_M2_BINS ? bin : FLY_M2_BINS - 1]++;
        for (bin = FLY_P100_BINS - 1; bin >= 0; bin--)
            if (s[k] >= (double)bin * 0.01) {
                ref->p100[bin]++;
                break;
            }
    }
    qsort(s, pairs, sizeof *s, by_value);
    if (pairs)
        ref->median = (s[(pairs - 1) / 2] + s[pairs / 2]) / 2.0;
    free(s);
}

int64_t fly_affinity_ref_edges(const double *similarities, int32_t n, double threshold, uint8_t *edge,
                               int32_t *degree, double *strength)
{
    int64_t edges = 0;

    for (int32_t i = 0; i < n; i++) {
        degree[i] = 0;
        strength[i] = 0.0;
        for (int32_t j = 0; j < n; j++) {
            double s = similarities[(size_t)i * (size_t)n + (size_t)j];
            int keep = i != j && s >= threshold && s > 0.0;

            edge[(size_t)i * (size_t)n + (size_t)j] = (uint8_t)keep;
            degree[i] += keep;
            strength[i] += keep ? s : 0.0;
            edges += keep && i < j;
        }
    }
    return edges;
}
