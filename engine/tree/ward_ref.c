#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tree/ward_state.h"

struct cluster {
    double *centroid;
    int32_t size, id; /* size 0: merged */
};

static double distance(const struct cluster *a, const struct cluster *b, int32_t width)
{
    double sum = 0.0;

    for (int32_t d = 0; d < width; d++)
        sum += (a->centroid[d] - b->centroid[d]) * (a->centroid[d] - b->centroid[d]);
    return fly_ward_merged(a->size, b->size) * sum;
}

/* Clusters lie in the order of their lowest points, so the first of the least pairs is the one wanted. */
static double least_pair(const struct cluster *c, int32_t n, int32_t width, int32_t *a, int32_t *b)
{
    double least = INFINITY;

    for (int32_t i = 0; i < n; i++)
        for (int32_t j = i + 1; j < n; j++)
            if (c[i].size && c[j].size) {
                double d = distance(&c[i], &c[j], width);

                if (d < least) {
                    least = d;
                    *a = i;
                    *b = j;
                }
            }
    return least;
}

int fly_ward_ref(const double *points, int32_t n, int32_t width, struct fly_ward_merge *merge)
{
    struct cluster *c = calloc((size_t)n + 1, sizeof *c);
    double *centroid = malloc(((size_t)n * (size_t)width + 1) * sizeof *centroid), least, most = 0.0;
    int32_t a = 0, b = 0;

    if (!c || !centroid) {
        free(c);
        free(centroid);
        return fly_fail(FLY_ENOMEM, "ward: no memory for %d points", (int)n);
    }
    for (int32_t i = 0; i < n; i++) {
        c[i] = (struct cluster){.centroid = centroid + (size_t)i * (size_t)width, .size = 1, .id = i};
        memcpy(c[i].centroid, points + (size_t)i * (size_t)width, (size_t)width * sizeof *points);
    }
    for (int32_t m = 0; m < n - 1; m++) {
        least = least_pair(c, n, width, &a, &b);
        most = fmax(most, least);
        for (int32_t d = 0; d < width; d++)
            c[a].centroid[d] = (c[a].size * c[a].centroid[d] + c[b].size * c[b].centroid[d]) / (c[a].size + c[b].size);
        c[a].size += c[b].size;
        c[b].size = 0;
        merge[m] = (struct fly_ward_merge){.a = c[a].id, .b = c[b].id, .size = c[a].size, .height = sqrt(2.0 * most)};
        c[a].id = n + m;
    }
    free(c);
    free(centroid);
    return FLY_OK;
}
