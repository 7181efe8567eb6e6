#include <math.h>

#include "engine/steer/ledger.h"

double fly_dose_gini_ref(const float *values, int32_t n)
{
    double difference = 0.0, sum = 0.0;

    for (int32_t i = 0; i < n; i++) {
        sum += (double)values[i];
        for (int32_t j = 0; j < n; j++)
            difference += fabs((double)values[i] - (double)values[j]);
    }
    return sum > 0.0 ? difference / (2.0 * n * sum) : NAN;
}
