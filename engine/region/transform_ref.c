#include "engine/region/transform.h"

#include <math.h>

double fly_transform_power_ref(const float *input, size_t stride, int32_t side, double ky, double kx)
{
    double re = 0.0, im = 0.0;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            double angle = -6.283185307179586476925 * (ky * y + kx * x) / side;
            double value = (double)input[(size_t)y * stride + (size_t)x];

            re += value * cos(angle);
            im += value * sin(angle);
        }
    return re * re + im * im;
}
