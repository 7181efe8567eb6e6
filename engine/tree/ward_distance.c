#include <string.h>

#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

/* Eight sums side by side: the order of summation is written down here, so it is the same with any width of the
 * processor's vectors. */
typedef double lanes __attribute__((vector_size(64)));
enum { LANES = 8, STRETCH = 64 };

#define SUM(s) ((((s)[0] + (s)[4]) + ((s)[2] + (s)[6])) + (((s)[1] + (s)[5]) + ((s)[3] + (s)[7])))

/* The least sum of squares that, times factor, is above `most`, need not be known to its end. */
FLY_CLONES static double squares(const double *x, const double *y, size_t len, double factor, double most)
{
    lanes a = {0}, b = {0}, both;
    size_t d = 0;
    double rest = 0.0;

    while (d + STRETCH <= len) {
        for (size_t end = d + STRETCH; d < end; d += 2 * LANES) {
            lanes x0, x1, y0, y1;

            memcpy(&x0, x + d, sizeof x0);
            memcpy(&x1, x + d + LANES, sizeof x1);
            memcpy(&y0, y + d, sizeof y0);
            memcpy(&y1, y + d + LANES, sizeof y1);
            x0 -= y0;
            x1 -= y1;
            a += x0 * x0;
            b += x1 * x1;
        }
        both = a + b;
        if (SUM(both) * factor > most)
            return SUM(both);
    }
    for (; d < len; d++)
        rest += (x[d] - y[d]) * (x[d] - y[d]);
    both = a + b;
    return SUM(both) + rest;
}

double fly_ward_merged(double size_a, double size_b)
{
    return size_a * size_b / (size_a + size_b);
}

double fly_ward_distance(const struct fly_ward_state *s, int32_t a, int32_t b, double most)
{
    size_t width = (size_t)s->width;
    double factor = fly_ward_merged(s->size[a], s->size[b]);

    return factor * squares(s->centroid + (size_t)a * width, s->centroid + (size_t)b * width, width, factor, most);
}

FLY_CLONES void fly_ward_mean(double *to, const double *a, const double *b, double size_a, double size_b, size_t len)
{
    double part_a = size_a / (size_a + size_b), part_b = size_b / (size_a + size_b);

    for (size_t d = 0; d < len; d++)
        to[d] = part_a * a[d] + part_b * b[d];
}
