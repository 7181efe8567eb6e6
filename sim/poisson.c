#include "sim/poisson.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS_LOG2 = 5,               /* tabled means between 2^e and 2^(e+1) */
    STEPS      = 1 << STEPS_LOG2,
    OCTAVES    = 16,
    GUIDE      = 256,
};

struct table {
    uint32_t *cdf;                /* of count first + i, times 2^32, rounded; the last is 2^32 - 1 */
    int32_t first;
    uint16_t guide[GUIDE];        /* the i to begin with for a number's top byte */
};

struct fly_poisson {
    float mean_max;
    struct table tables[OCTAVES * STEPS];
    uint32_t *cdfs;
};

static double table_mean(int32_t t)
{
    return ldexp(1.0 + (double)(t % STEPS) / STEPS, t / STEPS);
}

/* Counts of less chance than this on either side are left out: 2^-33, half of what 32 bits show. */
static void table_range(double mean, int32_t *first, int32_t *last)
{
    double reach = 6.7 * sqrt(mean) + 12.0;

    *first = mean > reach ? (int32_t)(mean - reach) : 0;
    *last = (int32_t)(mean + reach);
}

static void table_fill(struct table *table, double mean, uint32_t *cdf)
{
    int32_t first, last, sign;
    double sum = 0.0;

    table_range(mean, &first, &last);
    for (int32_t k = first; k <= last; k++) {
        sum += exp(k * log(mean) - mean - lgamma_r(k + 1.0, &sign));
        double scaled = sum * 0x1p32;

        cdf[k - first] = scaled < (double)UINT32_MAX ? (uint32_t)scaled : UINT32_MAX;
    }
    cdf[last - first] = UINT32_MAX;
    table->first = first;
    table->cdf = cdf;
    for (uint32_t g = 0, i = 0; g < GUIDE; g++) {
        while (cdf[i] < g << 24)
            i++;
        table->guide[g] = (uint16_t)i;
    }
}

int fly_poisson_open(struct fly_poisson **out, double mean_max)
{
    if (!(mean_max >= 0.0 && mean_max <= FLY_POISSON_MEAN_MAX))
        return fly_fail(FLY_ERANGE, "Poisson mean up to %g, allowed are 0 .. %g", mean_max,
                        FLY_POISSON_MEAN_MAX);
    struct fly_poisson *poisson = calloc(1, sizeof *poisson);
    int32_t used = 0, first, last;
    size_t entries = 1;

    if (!poisson)
        return fly_fail(FLY_ENOMEM, "Poisson tables: no memory");
    while (used < OCTAVES * STEPS && table_mean(used) <= mean_max) {
        table_range(table_mean(used++), &first, &last);
        entries += (size_t)(last - first + 1);
    }
    poisson->mean_max = (float)mean_max;
    poisson->cdfs = malloc(entries * sizeof *poisson->cdfs);
    if (!poisson->cdfs) {
        fly_poisson_close(&poisson);
        return fly_fail(FLY_ENOMEM, "Poisson tables: no memory for %zu entries", entries);
    }
    uint32_t *cdf = poisson->cdfs;

    for (int32_t t = 0; t < used; t++) {
        table_range(table_mean(t), &first, &last);
        table_fill(&poisson->tables[t], table_mean(t), cdf);
        cdf += last - first + 1;
    }
    *out = poisson;
    return FLY_OK;
}

void fly_poisson_close(struct fly_poisson **poisson)
{
    if (!*poisson)
        return;
    free((*poisson)->cdfs);
    free(*poisson);
    *poisson = NULL;
}

/* The rest, below 1: multiplication of uniforms would cost a number each, inversion costs one. */
static uint32_t draw_small(float mean, uint32_t u)
{
    double p = exp(-(double)mean), sum = p, x = (u + 0.5) * 0x1p-32;
    uint32_t k = 0;

    while (x > sum && k < 32) {
        p *= mean / ++k;
        sum += p;
    }
    return k;
}

uint32_t fly_poisson_draw(const struct fly_poisson *poisson, float mean, struct fly_rng *rng)
{
    uint32_t count = 0;

    FLY_ASSERT(mean <= poisson->mean_max);
    while (mean >= 1.0f) {
        /* The largest tabled mean below: exponent and leading bits of the number itself. */
        uint32_t bits, u = (uint32_t)(fly_rng_next(rng) >> 32), i;

        memcpy(&bits, &mean, sizeof bits);
        bits &= ~0u << (23 - STEPS_LOG2);
        const struct table *table = &poisson->tables[(bits >> (23 - STEPS_LOG2)) - (127u << STEPS_LOG2)];

        i = table->guide[u >> 24];
        while (table->cdf[i] < u)
            i++;
        count += (uint32_t)table->first + i;
        float tabled;

        memcpy(&tabled, &bits, sizeof tabled);
        mean -= tabled;
    }
    /* exp is the dear part: most numbers of a small mean are 0, and 1 - mean bounds exp(-mean). */
    if (mean > 0.0f) {
        uint32_t u = (uint32_t)(fly_rng_next(rng) >> 32);

        if (u * 0x1p-32 >= 1.0 - (double)mean - 0x1p-30)
            count += draw_small(mean, u);
    }
    return count;
}
