/* tests/bench/measure.h: clocks, quantiles and memory of the benches.
 *
 * Benches of one thread measure the processor's time that the process took: on a core of its own that is
 * the time on the wall, and beside others it leaves out what they took of the core (not of its caches, so
 * a busy machine still shows). All threads count, so that nothing hides in one of a library's.
 */
#ifndef FLY_TESTS_BENCH_MEASURE_H
#define FLY_TESTS_BENCH_MEASURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/base/err.h"

void openblas_set_num_threads(int count);

static inline double bench_clock_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double bench_now_s(void)
{
    return bench_clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static inline double bench_wall_s(void)
{
    return bench_clock_s(CLOCK_MONOTONIC);
}

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The least value that q of all do not exceed: q 0.5 the median, 1 the most. Sorts. count >= 1. */
static inline double bench_quantile(double *values, int32_t count, double q)
{
    int32_t at = (int32_t)ceil(q * count) - 1;

    FLY_ASSERT(count >= 1);
    qsort(values, (size_t)count, sizeof *values, bench_by_value);
    return values[at < 0 ? 0 : at];
}

static inline double bench_median(double *values, int32_t count)
{
    return bench_quantile(values, count, 0.5);
}

static inline void *bench_need(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size);

    FLY_ASSERT(ptr);
    return ptr;
}

/* Our own numbers were refused: a mistake in the bench. */
static inline void bench_check(int rc)
{
    if (rc == FLY_OK)
        return;
    fprintf(stderr, "flyback bench: %s\n", fly_fail_text());
    exit(1);
}

/* The exponent of y in x by least squares in logarithms. */
static inline double bench_exponent(const double *x, const double *y, int32_t count)
{
    double sx = 0.0, sy = 0.0, sxx = 0.0, sxy = 0.0;

    for (int32_t i = 0; i < count; i++) {
        double u = log(x[i]), v = log(y[i]);

        sx += u;
        sy += v;
        sxx += u * u;
        sxy += u * v;
    }
    return (count * sxy - sx * sy) / (count * sxx - sx * sx);
}

#endif
