#include "engine/base/dose.h"

#include <math.h>

#define ELECTRON_C 1.602176634e-19
#define A2_PER_NM2 100.0

double fly_dose_factor(double beam_current_na, const double pixel_nm[2])
{
    double electrons_per_us = beam_current_na * 1e-9 * 1e-6 / ELECTRON_C;

    if (!(beam_current_na > 0.0) || !(pixel_nm[0] > 0.0) || !(pixel_nm[1] > 0.0))
        return NAN;
    return electrons_per_us / (pixel_nm[0] * pixel_nm[1] * A2_PER_NM2);
}
