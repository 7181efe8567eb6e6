/* sim/poisson.h: Poisson numbers at a few nanoseconds each, exact for every mean.
 *
 * A mean is split into tabled means of a coarse grid and a rest below 1: sums of Poisson numbers are
 * Poisson numbers. The tables hold cumulative chances in 32 bits, so tails beyond 2^-32 are cut.
 *
 * Threads  a table is constant once open; each caller has its own generator.
 */
#ifndef FLY_SIM_POISSON_H
#define FLY_SIM_POISSON_H

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/rng.h"

struct fly_poisson;

#define FLY_POISSON_MEAN_MAX 60000.0

/* Tables for means up to mean_max, 0 .. FLY_POISSON_MEAN_MAX. FLY_ERANGE, FLY_ENOMEM. */
FLY_MUST_USE int fly_poisson_open(struct fly_poisson **out, double mean_max);
void fly_poisson_close(struct fly_poisson **poisson);

/* One number of that mean: 0 for a mean of 0 or less, asserted to be at most mean_max. */
uint32_t fly_poisson_draw(const struct fly_poisson *poisson, float mean, struct fly_rng *rng);

#endif
