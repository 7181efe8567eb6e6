#include <string.h>

#include "engine/eds/likelihood.h"

void fly_likelihood_fit_ref(const struct fly_mixture *mixture, const double *counts, const uint8_t *active,
                            int32_t steps, double *theta)
{
    double ratio[FLY_COLUMNS_MAX], total = 0.0;

    for (int32_t b = 0; b < mixture->n_bins; b++)
        total += counts[b];
    for (int32_t j = 0; j < mixture->n_columns; j++)
        theta[j] = active[j] && mixture->sum[j] > 0.0 ? total / mixture->n_columns / mixture->sum[j] : 0.0;
    for (int32_t s = 0; s < steps; s++) {
        memset(ratio, 0, sizeof ratio);
        for (int32_t b = 0; b < mixture->n_bins; b++) {
            double mu = 0.0;

            for (int32_t e = mixture->first[b]; e < mixture->first[b + 1]; e++)
                mu += theta[mixture->column[e]] * mixture->value[e];
            for (int32_t e = mixture->first[b]; mu > 0.0 && e < mixture->first[b + 1]; e++)
                ratio[mixture->column[e]] += counts[b] / mu * mixture->value[e];
        }
        for (int32_t j = 0; j < mixture->n_columns; j++)
            if (theta[j] > 0.0)
                theta[j] *= ratio[j] / mixture->sum[j];
    }
}
