/* engine/eds/cholesky.h: small symmetric positive definite systems, in place, in one fixed order.
 *
 * Matrices are row-major with a row of `stride` doubles; only the lower triangle is read or written.
 */
#ifndef FLY_EDS_CHOLESKY_H
#define FLY_EDS_CHOLESKY_H

#include <math.h>
#include <stdint.h>

/* a becomes L with a = L L'. 0, or -1 when a is not positive definite (a is then spoilt). */
static inline int fly_cholesky(double *a, int32_t n, int32_t stride)
{
    for (int32_t i = 0; i < n; i++) {
        double *row = a + (int64_t)i * stride;

        for (int32_t j = 0; j <= i; j++) {
            const double *other = a + (int64_t)j * stride;
            double sum = row[j];

            for (int32_t k = 0; k < j; k++)
                sum -= row[k] * other[k];
            if (j < i) {
                row[j] = sum / other[j];
            } else {
                if (!(sum > 0.0))
                    return -1;
                row[i] = sqrt(sum);
            }
        }
    }
    return 0;
}

/* x becomes L^-1 x. */
static inline void fly_cholesky_forward(const double *l, int32_t n, int32_t stride, double *x)
{
    for (int32_t i = 0; i < n; i++) {
        double sum = x[i];

        for (int32_t k = 0; k < i; k++)
            sum -= l[(int64_t)i * stride + k] * x[k];
        x[i] = sum / l[(int64_t)i * stride + i];
    }
}

/* x becomes L'^-1 x. */
static inline void fly_cholesky_back(const double *l, int32_t n, int32_t stride, double *x)
{
    for (int32_t i = n - 1; i >= 0; i--) {
        double value = x[i] / l[(int64_t)i * stride + i];

        x[i] = value;
        for (int32_t k = 0; k < i; k++)
            x[k] -= l[(int64_t)i * stride + k] * value;
    }
}

#endif
