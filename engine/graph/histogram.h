/* engine/graph/histogram.h: how many pairs have each code, and what follows from that.
 *
 * One exactly reversible count per code (code.h). Its bins are unions of codes, so p100, m2, median and
 * the threshold curve are sums over it, and cost nothing per pair.
 *
 * Range    fewer than 2^32 pairs: 65536 chips have 2^31.
 * Threads  a histogram belongs to one thread at a time.
 */
#ifndef FLY_GRAPH_HISTOGRAM_H
#define FLY_GRAPH_HISTOGRAM_H

#include <stdint.h>

#include "engine/graph/code.h"

struct fly_histogram {
    uint32_t count[FLY_CODES]; /* that of FLY_CODE_NONE is kept 0 by whoever writes */
};

/* Golden definition 12. Similarities outside 0 .. 1 are not counted in p100; above 1, which only
 * debiased ones are, they count in the last bin. */
void fly_histogram_p100(const struct fly_histogram *histogram, int64_t bins[FLY_P100_BINS]);
void fly_histogram_m2(const struct fly_histogram *histogram, int64_t bins[FLY_M2_BINS]);

/* The first fullest bin. */
int32_t fly_fullest(const int64_t *bins, int32_t n_bins);

/* The mean of the two middle pairs, to half a code; 0 when there is no pair. */
double fly_histogram_median(const struct fly_histogram *histogram);

#endif
