/* engine/graph/wide.h: passes over rows written by hand for processors with AVX-512.
 *
 * There a mask of bits is a register of its own, which compilers do not see in portable loops: an edge, its
 * weight and a sum are two instructions for sixteen pairs. Each such pass stands beside a portable one that
 * gives the same bytes, and is taken where the processor has it.
 *
 * Threads  fly_wide_forbid before others start; the rest is pure.
 */
#ifndef FLY_GRAPH_WIDE_H
#define FLY_GRAPH_WIDE_H

#include "engine/base/clones.h"

/* 1: the processor has it, and nobody forbade it. */
int fly_wide(void);

/* For tests and benches: 1: portable passes everywhere, 0: as the processor can. */
void fly_wide_forbid(int forbidden);

#endif
