#include "engine/eds/composition.h"

#include <math.h>
#include <string.h>

enum { FILM_ROUNDS = 30 };

#define Z95 1.6448536269514722

void fly_cliff_lorimer(const double *intensity, const double *k, const double *mass_u, int32_t n,
                       double *percent)
{
    double sum = 0.0;

    for (int32_t i = 0; i < n; i++) {
        percent[i] = intensity[i] > 0.0 ? intensity[i] * k[i] / mass_u[i] : 0.0;
        sum += percent[i];
    }
    for (int32_t i = 0; i < n; i++)
        percent[i] = sum > 0.0 ? 100.0 * percent[i] / sum : 0.0;
}

/* d p_i / d I_j = (delta_ij - p_i) k_j / M_j / sum, for the elements whose per_count is not 0. */
static void propagate(const double *share, const double *per_count, double sum, const double *covariance,
                      int32_t n, double *sigma)
{
    for (int32_t i = 0; i < n; i++) {
        double slope[FLY_ELEMENTS_MAX], variance = 0.0;

        for (int32_t j = 0; j < n; j++)
            slope[j] = ((i == j ? 1.0 : 0.0) - share[i] / sum) * per_count[j] / sum;
        for (int32_t a = 0; a < n; a++)
            for (int32_t b = 0; b < n; b++)
                variance += slope[a] * slope[b] * covariance[a * n + b];
        sigma[i] = per_count[i] != 0.0 && variance > 0.0 ? 100.0 * sqrt(variance) : 0.0;
    }
}

void fly_cliff_lorimer_sigma(const double *intensity, const double *covariance, const double *k,
                             const double *mass_u, int32_t n, double *sigma)
{
    double share[FLY_ELEMENTS_MAX], per_count[FLY_ELEMENTS_MAX], sum = 0.0;

    FLY_ASSERT(n <= FLY_ELEMENTS_MAX);
    for (int32_t i = 0; i < n; i++) {
        per_count[i] = intensity[i] > 0.0 ? k[i] / mass_u[i] : 0.0;
        share[i] = intensity[i] > 0.0 ? intensity[i] * per_count[i] : 0.0;
        sum += share[i];
    }
    if (sum > 0.0)
        propagate(share, per_count, sum, covariance, n, sigma);
    else
        memset(sigma, 0, (size_t)n * sizeof *sigma);
}

void fly_signed_percent(const double *intensity, const double *covariance, const double *k,
                        const double *mass_u, int32_t n, double *percent, double *sigma)
{
    double share[FLY_ELEMENTS_MAX], per_count[FLY_ELEMENTS_MAX], with_sum[FLY_ELEMENTS_MAX];
    double sum = 0.0, variance = 0.0;

    FLY_ASSERT(n <= FLY_ELEMENTS_MAX);
    for (int32_t i = 0; i < n; i++) {
        per_count[i] = k[i] / mass_u[i];
        share[i] = intensity[i] * per_count[i];
        sum += share[i];
    }
    for (int32_t i = 0; i < n; i++) {
        with_sum[i] = 0.0;
        for (int32_t j = 0; j < n; j++)
            with_sum[i] += per_count[i] * covariance[i * n + j] * per_count[j];
        variance += with_sum[i];
    }
    for (int32_t i = 0; i < n; i++)
        percent[i] = sum > 0.0 ? 100.0 * (share[i] * sum + with_sum[i]) / (sum * sum + variance) : 0.0;
    if (sum > 0.0)
        propagate(share, per_count, sum, covariance, n, sigma);
    else
        memset(sigma, 0, (size_t)n * sizeof *sigma);
}

double fly_count_limit(double found, double null_variance)
{
    double at = found > 0.0 ? found : 0.0, variance = null_variance > 0.0 ? null_variance : 0.0;

    return at + 0.5 * Z95 * Z95 + Z95 * sqrt(variance + at + 0.25 * Z95 * Z95);
}

double fly_count_significance(double found, double null_variance)
{
    double b = null_variance;

    if (!(found > 0.0))
        return 0.0;
    /* No line stands on nothing at all: without a floor one stray count would be certain. */
    b = b > 0.02 * found ? b : 0.02 * found;
    b = b > 0.1 ? b : 0.1;
    return sqrt(2.0 * ((found + b) * log1p(found / b) - found));
}

double fly_extraneous(const char *const *symbols, const double *percent, int32_t n)
{
    static const char *const matrix[] = {"La", "Fe", "O"};
    double rest = 100.0;

    for (int32_t m = 0; m < 3; m++)
        for (int32_t i = 0; i < n; i++)
            if (strcmp(symbols[i], matrix[m]) == 0)
                rest -= percent[i];
    return rest;
}

double fly_percent_difference(double a, double b)
{
    return a != 0.0 ? 100.0 * (b - a) / a : 0.0;
}

double fly_percent_difference_symmetric(double a, double b)
{
    double mean = (a + b) / 2.0;

    return mean != 0.0 ? 100.0 * fabs(a - b) / mean : 0.0;
}

int fly_film_check(const struct fly_film *film, int32_t n)
{
    if (!(film->thickness_nm > 0.0) || !isfinite(film->thickness_nm))
        return fly_fail(FLY_ERANGE, "film thickness %g nm, must be above 0", film->thickness_nm);
    if (!(film->density_g_cm3 > 0.0) || !isfinite(film->density_g_cm3))
        return fly_fail(FLY_ERANGE, "film density %g g/cm3, must be above 0", film->density_g_cm3);
    if (!(film->takeoff_rad > 0.0) || !(film->takeoff_rad <= M_PI_2))
        return fly_fail(FLY_ERANGE, "take-off angle %g rad, allowed are above 0 .. pi/2", film->takeoff_rad);
    for (int32_t i = 0; i < n * n; i++)
        if (!(film->mac_cm2_g[i] >= 0.0) || !isfinite(film->mac_cm2_g[i]))
            return fly_fail(FLY_ERANGE, "mass absorption coefficient %g cm2/g of line %d in element %d",
                            film->mac_cm2_g[i], i / n, i % n);
    return FLY_OK;
}

void fly_film_correct(const struct fly_film *film, const double *k, int32_t n, double *intensity,
                      double *factor)
{
    /* g/cm2 along the way out */
    double depth = film->density_g_cm3 * film->thickness_nm * 1e-7 / sin(film->takeoff_rad);

    for (int32_t i = 0; i < n; i++)
        factor[i] = 1.0;
    for (int round = 0; round < FILM_ROUNDS; round++) {
        double weight[FLY_ELEMENTS_MAX], sum = 0.0;

        for (int32_t i = 0; i < n; i++) {
            weight[i] = intensity[i] > 0.0 ? k[i] * intensity[i] * factor[i] : 0.0;
            sum += weight[i];
        }
        for (int32_t i = 0; sum > 0.0 && i < n; i++) {
            double x = 0.0;

            for (int32_t j = 0; j < n; j++)
                x += film->mac_cm2_g[i * n + j] * weight[j] / sum * depth;
            factor[i] = x > 1e-9 ? x / -expm1(-x) : 1.0;
        }
    }
    for (int32_t i = 0; i < n; i++)
        intensity[i] *= factor[i];
}
