/* engine/base/rng.h: random numbers that are the same everywhere for the same seed.
 *
 * splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195), used both as a stream and by
 * counter, so that number k of a weight file or of a scene needs none of the numbers before it.
 *
 * Threads  a generator is a plain value; one per thread.
 */
#ifndef FLY_BASE_RNG_H
#define FLY_BASE_RNG_H

#include <stdint.h>

struct fly_rng {
    uint64_t state;
};

/* The finaliser: a bijection of 64 bits. */
static inline uint64_t fly_mix64(uint64_t z)
{
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The number at a counter: splitmix64 of golden definition 5, (counter + 1) times the increment. */
static inline uint64_t fly_rng_at(uint64_t counter)
{
    return fly_mix64((counter + 1) * 0x9E3779B97F4A7C15u);
}

static inline uint64_t fly_rng_next(struct fly_rng *rng)
{
    rng->state += 0x9E3779B97F4A7C15u;
    return fly_mix64(rng->state);
}

/* 0 <= u < 1, all 53 bits. */
static inline double fly_rng_uniform(struct fly_rng *rng)
{
    return (double)(fly_rng_next(rng) >> 11) * 0x1p-53;
}

/* 0 .. bound-1 without bias to speak of (bound far below 2^64). bound > 0. */
static inline uint64_t fly_rng_below(struct fly_rng *rng, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)fly_rng_next(rng) * bound) >> 64);
}

double fly_rng_normal(struct fly_rng *rng);              /* mean 0, sd 1; Box-Muller, one per call */
uint64_t fly_rng_poisson(struct fly_rng *rng, double mean); /* mean 0 .. 1e9; exact below 30, PTRS above */

#endif
