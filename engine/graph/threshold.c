#include "engine/graph/threshold.h"

#include <stdlib.h>

#include "engine/graph/histogram.h"

struct fly_cut fly_cut_at_p100(int32_t bin)
{
    uint16_t code = fly_code_of_p100(bin);

    code = code ? code : 1; /* an edge has s > 0 */
    return (struct fly_cut){.maybe = code, .sure = code, .value = fly_p100_edge(bin)};
}

struct fly_cut fly_cut_at(double value, int32_t doubt)
{
    struct fly_cut cut = {.maybe = 1, .sure = 1, .value = value};
    int32_t code;

    if (value <= 0.0) /* code 0 is exactly s = 0, and codes below and above it are exact in sign */
        return cut;
    code = fly_code_of(value);
    cut.maybe = (uint16_t)(code - doubt > 1 ? code - doubt : 1);
    cut.sure = (uint16_t)(code + doubt + 1 < FLY_CODE_NEGATIVE ? code + doubt + 1 : FLY_CODE_NEGATIVE);
    return cut;
}

struct fly_hysteresis fly_hysteresis_none(void)
{
    return (struct fly_hysteresis){.bin = -1, .rival = -1};
}

int32_t fly_hysteresis_step(struct fly_hysteresis *hysteresis, const int64_t *bins, int32_t n_bins,
                            int32_t bins_per_unit)
{
    struct fly_hysteresis *h = hysteresis;
    int32_t fullest = fly_fullest(bins, n_bins);
    int away;

    if (h->bin < 0 || bins[fullest] == 0) {
        *h = fly_hysteresis_none();
        h->bin = bins[fullest] ? fullest : -1;
        return fullest;
    }
    away = abs(fullest - h->bin) * 20 >= bins_per_unit;
    h->far = away ? h->far + 1 : 0;
    h->wins = fullest == h->rival ? h->wins + 1 : 1;
    h->rival = fullest;
    if (fullest == h->bin)
        h->wins = 0;
    if ((h->wins >= 2 && (double)bins[fullest] >= 1.03 * (double)bins[h->bin]) || h->far >= 2)
        *h = (struct fly_hysteresis){.bin = fullest, .rival = -1};
    return h->bin;
}
