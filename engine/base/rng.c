#include "engine/base/rng.h"

#include <math.h>

double fly_rng_normal(struct fly_rng *rng)
{
    /* 1 - u is in (0, 1]: the logarithm stays finite. */
    double radius = sqrt(-2.0 * log(1.0 - fly_rng_uniform(rng)));

    return radius * cos(6.283185307179586476925286766559 * fly_rng_uniform(rng));
}

/* Multiplication of uniforms for small means; above, the transformed rejection with squeeze of
 * Hoermann 1993 (PTRS, doi:10.1016/0167-6687(93)90997-4), exact and of constant cost. */
uint64_t fly_rng_poisson(struct fly_rng *rng, double mean)
{
    if (!(mean > 0.0))
        return 0;
    if (mean < 30.0) {
        double limit = exp(-mean), product = fly_rng_uniform(rng);
        uint64_t count = 0;

        while (product > limit) {
            product *= fly_rng_uniform(rng);
            count++;
        }
        return count;
    }
    double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b;
    double inv_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2.0);
    double log_mean = log(mean);

    for (;;) {
        double u = fly_rng_uniform(rng) - 0.5, v = fly_rng_uniform(rng);
        double us = 0.5 - fabs(u), k = floor((2.0 * a / us + b) * u + mean + 0.43);

        if (us >= 0.07 && v <= v_r)
            return (uint64_t)k;
        if (k < 0.0 || (us < 0.013 && v > us))
            continue;
        if (log(v) + log(inv_alpha) - log(a / (us * us) + b) <= -mean + k * log_mean - lgamma(k + 1.0))
            return (uint64_t)k;
    }
}
