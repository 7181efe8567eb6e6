#include "engine/graph/histogram.h"

#include <string.h>

#include "engine/base/clones.h"

FLY_CLONES static int64_t sum_of(const uint32_t *count, int32_t len)
{
    int64_t sum = 0;

    for (int32_t i = 0; i < len; i++)
        sum += count[i];
    return sum;
}

void fly_histogram_p100(const struct fly_histogram *histogram, int64_t bins[FLY_P100_BINS])
{
    for (int32_t k = 0; k < FLY_P100_BINS; k++) {
        int32_t first = fly_code_of_p100(k);
        int32_t end = k + 1 < FLY_P100_BINS ? fly_code_of_p100(k + 1) : FLY_CODE_NEGATIVE;

        bins[k] = sum_of(histogram->count + first, end - first);
    }
}

void fly_histogram_m2(const struct fly_histogram *histogram, int64_t bins[FLY_M2_BINS])
{
    enum { HALF = FLY_M2_BINS / 2, WIDTH = FLY_WEIGHT_ONE / HALF };

    memset(bins, 0, FLY_M2_BINS * sizeof *bins);
    for (int32_t b = 0; b < HALF; b++)
        bins[b] = histogram->count[FLY_CODE_NEGATIVE + b];
    for (int32_t code = 0; code < FLY_CODE_NEGATIVE; code++)
        bins[code < FLY_WEIGHT_ONE ? HALF + code / WIDTH : FLY_M2_BINS - 1] += histogram->count[code];
}

int32_t fly_fullest(const int64_t *bins, int32_t n_bins)
{
    int32_t best = 0;

    for (int32_t b = 1; b < n_bins; b++)
        if (bins[b] > bins[best])
            best = b;
    return best;
}

/* Codes in the order of their similarities. */
static int32_t code_at(int32_t rank)
{
    const int32_t negative = FLY_CODE_NONE - FLY_CODE_NEGATIVE;

    return rank < negative ? FLY_CODE_NEGATIVE + rank : rank - negative;
}

double fly_histogram_median(const struct fly_histogram *histogram)
{
    uint64_t pairs = 0, below = 0;
    double low = 0.0;

    for (int32_t rank = 0; rank < FLY_CODE_NONE; rank++)
        pairs += histogram->count[rank];
    for (int32_t rank = 0; pairs && rank < FLY_CODE_NONE; rank++) {
        int32_t code = code_at(rank);
        uint64_t upto = below + histogram->count[code];

        if (below <= (pairs - 1) / 2 && upto > (pairs - 1) / 2)
            low = fly_code_middle((uint16_t)code);
        if (upto > pairs / 2)
            return (low + fly_code_middle((uint16_t)code)) / 2.0;
        below = upto;
    }
    return 0.0;
}
