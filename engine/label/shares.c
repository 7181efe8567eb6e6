#include "engine/label/shares.h"

#include <math.h>

#include "engine/base/err.h"

int32_t fly_shares_channels(double ev_per_channel, double width_ev)
{
    FLY_ASSERT(ev_per_channel > 0.0 && width_ev >= 0.0);
    double channels = floor(width_ev / ev_per_channel + 0.5);

    return channels < 1.0 ? 1 : channels > 65536.0 ? 65536 : (int32_t)channels;
}

int32_t fly_shares_width(int32_t n_channels, int32_t channels_per_bin)
{
    return (n_channels + channels_per_bin - 1) / channels_per_bin;
}

double fly_shares_make(const uint32_t *counts, int32_t n_channels, int32_t channels_per_bin, float *share)
{
    int32_t bins = fly_shares_width(n_channels, channels_per_bin);
    uint64_t total = 0;

    for (int32_t ch = 0; ch < n_channels; ch++)
        total += counts[ch];
    for (int32_t b = 0, ch = 0; b < bins; b++) {
        int32_t end = ch + channels_per_bin < n_channels ? ch + channels_per_bin : n_channels;
        uint64_t sum = 0;

        for (; ch < end; ch++)
            sum += counts[ch];
        share[b] = total ? (float)((double)sum / (double)total) : 0.0f;
    }
    return total ? 1.0 / (double)total : INFINITY;
}
