/* engine/graph/code.h: the 16 bits that are kept of the similarity of a pair.
 *
 * A code is a step function of the similarity whose steps include every edge of the histograms p100
 * (k * 0.01, golden definition 12) and m2 (multiples of 1/1024) and every centre of m2: histogram, mode
 * and threshold follow from codes without loss. From 0 up a code is also the weight of the pair in units
 * of 1/FLY_WEIGHT_ONE, off by less than 1.6 units where a step was moved onto an edge.
 *
 *   0                   similarity exactly 0
 *   1 .. FLY_CODE_TOP   above 0, in rising order; 32768 is 1; 1.968 and more share the last
 *   FLY_CODE_NEGATIVE.. below 0: the bin of m2, in rising order, 1024 of them
 *   FLY_CODE_NONE       no pair: the diagonal, or a chip that is not in the graph
 *
 * Threads  pure.
 */
#ifndef FLY_GRAPH_CODE_H
#define FLY_GRAPH_CODE_H

#include <stdint.h>

#include "engine/graph/dense.h"

enum {
    FLY_CODES         = 65536,
    FLY_CODE_TOP      = 64510,
    FLY_CODE_NEGATIVE = 64511, /* + floor((s + 1) * 1024) */
    FLY_CODE_NONE     = 65535,
    FLY_P100_BINS     = 100,
    FLY_M2_BINS       = 2048,
};

/* The left edge of p100's bin k, as the authors' numpy has it. */
static inline double fly_p100_edge(int32_t k)
{
    return (double)k * 0.01;
}

/* The centre of m2's bin. */
static inline double fly_m2_centre(int32_t bin)
{
    return -1.0 + ((double)bin + 0.5) / 1024.0;
}

/* The code of a similarity, -1 .. any. */
uint16_t fly_code_of(double similarity);

/* The lowest code of p100's bin k: a similarity s >= 0 is at or above the edge where its code is. */
uint16_t fly_code_of_p100(int32_t k);

/* The similarity in the middle of a code's step; NaN for FLY_CODE_NONE. */
double fly_code_middle(uint16_t code);

#endif
