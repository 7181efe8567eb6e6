/* engine/graph/threshold.h: which pairs of a similarity graph are edges.
 *
 * Golden definitions 12 and 13: an edge where s >= the threshold and s > 0. The threshold follows from
 * the histogram of all pairs or is a fixed number. As a cut through the codes (code.h) it leaves the few
 * pairs whose fast similarity cannot tell to the canonical one.
 *
 * Hysteresis (`robust` only, algorithms part 2) knows the history: the bin in use gives way to another
 * only when that has been the fullest twice running and holds 1.03 times as many pairs, or when the
 * fullest has lain 0.05 or more away twice running.
 *
 * Threads  plain values.
 */
#ifndef FLY_GRAPH_THRESHOLD_H
#define FLY_GRAPH_THRESHOLD_H

#include <stdint.h>

#include "engine/graph/code.h"

enum fly_threshold_rule {
    FLY_THRESHOLD_P100 = 0, /* the left edge of the fullest bin */
    FLY_THRESHOLD_M2,       /* the centre of the fullest bin */
    FLY_THRESHOLD_MEAN,
    FLY_THRESHOLD_MEDIAN,
    FLY_THRESHOLD_FIXED,
};

/* Codes sure .. FLY_CODE_TOP are edges; of codes maybe .. sure - 1 those whose canonical similarity is
 * at or above value; the others are none. */
struct fly_cut {
    uint16_t maybe;
    uint16_t sure;
    double value;
};

/* doubt: how far a code may be from the canonical similarity, in codes; 0 only where codes are exact. */
struct fly_cut fly_cut_at_p100(int32_t bin);
struct fly_cut fly_cut_at(double value, int32_t doubt);

struct fly_hysteresis {
    int32_t bin;  /* in use, -1: none yet */
    int32_t rival;
    int32_t wins; /* epochs running that the rival has been the fullest */
    int32_t far;  /* epochs running that the fullest lay 0.05 or more away */
};

struct fly_hysteresis fly_hysteresis_none(void);

/* One epoch more. bins_per_unit: 100 (p100) or 1024 (m2). Returns the bin to use. */
int32_t fly_hysteresis_step(struct fly_hysteresis *hysteresis, const int64_t *bins, int32_t n_bins,
                            int32_t bins_per_unit);

#endif
