#include "engine/label/unknown.h"

#include <math.h>

#include "engine/base/err.h"

/* Roots beyond the mean by this many spreads: 0.1 % of a normal's members. At 2.7 twice as many known chips were
 * rejected, at 3.5 a tenth fewer unknown ones found. */
static const double spreads = 3.0;

struct fly_unknown_prior fly_unknown_prior_single(void)
{
    return (struct fly_unknown_prior){.mean = 0.85, .spread = 0.28, .mean_weight = 4.0, .spread_weight = 8.0};
}

struct fly_unknown_prior fly_unknown_prior_joint(void)
{
    return (struct fly_unknown_prior){.mean = 0.9, .spread = 0.22, .mean_weight = 4.0, .spread_weight = 8.0};
}

void fly_unknown_fit(struct fly_unknown *unknown, const double *ratio, int32_t n,
                     const struct fly_unknown_prior *prior)
{
    double sum = 0.0, squares = 0.0, mean, edge;
    int32_t spoke = 0;

    for (int32_t i = 0; i < n; i++)
        if (isfinite(ratio[i])) {
            sum += cbrt(ratio[i]);
            spoke++;
        }
    mean = spoke ? sum / spoke : 0.0;
    for (int32_t i = 0; i < n; i++)
        if (isfinite(ratio[i]))
            squares += (cbrt(ratio[i]) - mean) * (cbrt(ratio[i]) - mean);
    unknown->n = spoke;
    unknown->mean = (sum + prior->mean_weight * prior->mean) / (spoke + prior->mean_weight);
    unknown->spread = sqrt((squares + prior->spread_weight * prior->spread * prior->spread) /
                           ((spoke > 1 ? spoke - 1 : 0) + prior->spread_weight));
    edge = unknown->mean + spreads * unknown->spread;
    unknown->threshold = edge * edge * edge;
}

double fly_unknown_known(const struct fly_unknown *unknown, double ratio)
{
    double above;

    if (isinf(unknown->threshold))
        return NAN;
    above = (cbrt(ratio) - unknown->mean) / unknown->spread - spreads;
    return 0.5 * erfc(above * 0.70710678118654752440);
}

/* Fill one region from its first chip; scratch is the stack. */
static struct fly_region_found flood(const int32_t *labels, int32_t rows, int32_t cols, int32_t first,
                                     int32_t number, int32_t *region, int32_t *scratch)
{
    struct fly_region_found f = {first, 0, first / cols, first % cols, first / cols, first % cols};
    int32_t label = labels[first], top = 0;

    region[first] = number;
    scratch[top++] = first;
    while (top) {
        int32_t k = scratch[--top], row = k / cols, col = k % cols;
        const int32_t near[4] = {row > 0 ? k - cols : -1, row + 1 < rows ? k + cols : -1, col > 0 ? k - 1 : -1,
                                 col + 1 < cols ? k + 1 : -1};

        f.chips++;
        f.row0 = row < f.row0 ? row : f.row0;
        f.row1 = row > f.row1 ? row : f.row1;
        f.col0 = col < f.col0 ? col : f.col0;
        f.col1 = col > f.col1 ? col : f.col1;
        for (int i = 0; i < 4; i++)
            if (near[i] >= 0 && labels[near[i]] == label && region[near[i]] == -1) {
                region[near[i]] = number;
                scratch[top++] = near[i];
            }
    }
    return f;
}

int32_t fly_unknown_regions(const int32_t *labels, int32_t rows, int32_t cols, int32_t label, int32_t min_chips,
                            int32_t *region, struct fly_region_found *found, int32_t cap, int32_t *scratch)
{
    enum { SMALL = -2 }; /* seen, and too small to be a region */
    int32_t n = rows * cols, regions = 0;

    FLY_ASSERT(min_chips >= 1);
    for (int32_t k = 0; k < n; k++)
        region[k] = -1;
    for (int32_t k = 0; k < n; k++) {
        struct fly_region_found f;

        if (labels[k] != label || region[k] != -1)
            continue;
        f = flood(labels, rows, cols, k, regions, region, scratch);
        if (f.chips < min_chips) {
            /* Its chips lie within the box and have its number alone. */
            for (int32_t row = f.row0; row <= f.row1; row++)
                for (int32_t col = f.col0; col <= f.col1; col++)
                    if (region[row * cols + col] == regions)
                        region[row * cols + col] = SMALL;
            continue;
        }
        if (regions < cap)
            found[regions] = f;
        regions++;
    }
    for (int32_t k = 0; k < n; k++)
        if (region[k] == SMALL)
            region[k] = -1;
    return regions;
}
