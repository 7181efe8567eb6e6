/* engine/graph/coherence.h: do labels lie together on the grid of chips, or as if dealt at random?
 *
 * Join counts (Cliff and Ord 1973, "Spatial Autocorrelation"): of the pairs of chips beside each other, side by
 * side or one below the other, how many have the same label; against the mean and variance of that number when
 * the same labels are dealt to the same chips in a random order, exact for these labels and this outline. A
 * graph's own communities in pure noise are dealt so: the noise of one chip knows nothing of the next. Phases of
 * a specimen are not, unless their grains are smaller than a chip.
 *
 * Cost     O(K) and O(K) memory of the caller's.
 * Threads  pure.
 */
#ifndef FLY_GRAPH_COHERENCE_H
#define FLY_GRAPH_COHERENCE_H

#include <stdint.h>

/* How many standard deviations the number of equal neighbours lies above (below: < 0) that of chance; 0 where
 * chance leaves no room: all labels alike or all different, or no chip beside another.
 *
 *   labels  (rows, cols), 0 .. rows * cols - 1; below 0: the chip is left out
 *   chips   (rows * cols) scratch
 */
double fly_coherence(const int32_t *labels, int32_t rows, int32_t cols, int32_t *chips);

/* Beyond this it is not chance: 6 in 100 000 of a normal deviate lie so far out, on either side. */
#define FLY_COHERENT 4.0

#endif
