/* engine/label/shares.h: a spectrum as shares of its counts in bins, for distances between spectra.
 *
 * Counts grow with dose and thickness, shares do not; and a bin as wide as the detector's resolution gathers what one
 * line spreads, so that 256 numbers tell phases apart better than 4096 (simulated scenes: 0.94 of the map right for
 * 0.91 at 10 000 counts a chip) at a sixteenth of the cost. The shares' noise, summed over bins, is that of a
 * multinomial: (1 - sum of p^2) / T, and 1 / T is it to a few percent.
 *
 * Threads  pure functions.
 */
#ifndef FLY_LABEL_SHARES_H
#define FLY_LABEL_SHARES_H

#include <stdint.h>

/* Channels of a bin: as many as come nearest to width_ev (160: the resolution about 5 keV), at least 1. */
int32_t fly_shares_channels(double ev_per_channel, double width_ev);

/* Bins of E channels, the last one perhaps of fewer. */
int32_t fly_shares_width(int32_t n_channels, int32_t channels_per_bin);

/* share (bins) of counts (E); returns the noise 1 / T, INFINITY and zeros where there is no count. */
double fly_shares_make(const uint32_t *counts, int32_t n_channels, int32_t channels_per_bin, float *share);

#endif
