#include "sim/xray.h"

#include <math.h>
#include <string.h>

/* No k-factor of La M was found. That of Fe L stands for it, whose lines lie at nearly the same energy
 * (0.70 against 0.82 keV) and so pass the same window: an assumption, good enough for the shape of a
 * spectrum, not for quantifying La by its M lines. */
#define LA_M_K 2.6998

static const char *const symbols[FLY_XRAY_ELEMENTS] = {"Al", "C", "Cr", "Cu", "Fe", "Ga",
                                                       "La", "N", "O",  "Pt", "Sr", "Ti"};
static const double masses_u[FLY_XRAY_ELEMENTS] = {26.9815,  12.011, 51.9961, 63.546,  55.845, 69.723,
                                                   138.9055, 14.007, 15.999,  195.084, 87.62,  47.867};

/* {keV, relative weight}, the main line first. K lines of La and Pt lie beyond 30 keV and are left out. */
static const struct fly_xray_family families_of[] = {
    {FLY_EL_AL, "Al_Ka", 1.0185, 2,
     {{1.4865, 1.0}, {1.5596, 0.0132}}},
    {FLY_EL_C, "C_Ka", 1.6473, 1,
     {{0.2774, 1.0}}},
    {FLY_EL_CR, "Cr_Ka", 1.24, 2,
     {{5.4147, 1.0}, {5.9467, 0.134}}},
    {FLY_EL_CR, "Cr_La", 3.2428, 4,
     {{0.5722, 1.0}, {0.6521, 0.0309}, {0.5004, 0.6903}, {0.5096, 0.2353}}},
    {FLY_EL_CU, "Cu_Ka", 1.5806, 2,
     {{8.0478, 1.0}, {8.9053, 0.13157}}},
    {FLY_EL_CU, "Cu_La", 2.1772, 5,
     {{0.9295, 1.0}, {0.9494, 0.03197}, {1.0225, 0.00114}, {0.8113, 0.08401}, {0.8312, 0.01984}}},
    {FLY_EL_FE, "Fe_Ka", 1.3332, 2,
     {{6.4039, 1.0}, {7.058, 0.1272}}},
    {FLY_EL_FE, "Fe_La", 2.6998, 4,
     {{0.7045, 1.0}, {0.7921, 0.02448}, {0.6152, 0.3086}, {0.6282, 0.12525}}},
    {FLY_EL_GA, "Ga_Ka", 1.8474, 2,
     {{9.2517, 1.0}, {10.2642, 0.1287}}},
    {FLY_EL_GA, "Ga_La", 2.0277, 5,
     {{1.098, 1.0}, {1.1249, 0.16704}, {1.1948, 0.0461}, {0.9573, 0.0544}, {0.9842, 0.02509}}},
    {FLY_EL_LA, "La_La", 1.6427, 9,
     {{4.651, 1.0}, {5.0421, 0.42631}, {5.3838, 0.19579}, {5.1429, 0.1341}, {5.0619, 0.0872},
      {5.7917, 0.07656}, {6.0749, 0.0329}, {4.1214, 0.0432}, {4.5293, 0.015}}},
    {FLY_EL_LA, "La_Ma", LA_M_K, 5,
     {{0.8173, 1.0}, {1.1055, 0.022}, {0.8162, 0.9}, {1.0245, 0.4}, {0.6403, 0.06}}},
    {FLY_EL_N, "N_Ka", 1.3046, 1,
     {{0.3924, 1.0}}},
    {FLY_EL_O, "O_Ka", 1.1453, 1,
     {{0.5249, 1.0}}},
    {FLY_EL_PT, "Pt_La", 2.3399, 9,
     {{9.4421, 1.0}, {11.0707, 0.4088}, {11.2504, 0.21829}, {11.2345, 0.0783}, {10.8534, 0.0662},
      {12.9418, 0.08448}, {13.3609, 0.0218}, {8.2677, 0.0554}, {9.9766, 0.01399}}},
    {FLY_EL_PT, "Pt_Ma", 1.0028, 7,
     {{2.0505, 1.0}, {2.6957, 0.02901}, {2.63796, 0.005}, {2.63927, 0.01}, {2.1276, 0.59443},
      {2.3321, 0.08505}, {1.6026, 0.01344}}},
    {FLY_EL_SR, "Sr_Ka", 4.3082, 2,
     {{14.165, 1.0}, {15.8355, 0.15}}},
    {FLY_EL_SR, "Sr_La", 1.7536, 6,
     {{1.8065, 1.0}, {1.8718, 0.37975}, {1.9472, 0.047}, {2.1964, 0.0065}, {1.5821, 0.04309},
      {1.6493, 0.01669}}},
    {FLY_EL_TI, "Ti_Ka", 1.1678, 2,
     {{4.5109, 1.0}, {4.9318, 0.11673}}},
    {FLY_EL_TI, "Ti_La", 4.0034, 4,
     {{0.4555, 0.694}, {0.5291, 0.166}, {0.3952, 1.0}, {0.4012, 0.491}}},
};

const char *fly_xray_symbol(enum fly_xray_element element)
{
    FLY_ASSERT(element < FLY_XRAY_ELEMENTS);
    return symbols[element];
}

double fly_xray_mass_u(enum fly_xray_element element)
{
    FLY_ASSERT(element < FLY_XRAY_ELEMENTS);
    return masses_u[element];
}

int32_t fly_xray_families(const struct fly_xray_family **families)
{
    *families = families_of;
    return (int32_t)(sizeof families_of / sizeof *families_of);
}

double fly_xray_fwhm_ev(double kev)
{
    double square = 2.5 * (kev - 5.8987) * 1000.0 + 130.0 * 130.0;

    return square > 400.0 ? sqrt(square) : 20.0;
}

/* Add a Gaussian of that area; what falls off the axis is lost. Six deviations hold all but 1e-9. */
static void add_peak(double *chance, const struct fly_xray_axis *axis, double kev, double area)
{
    double sigma_ev = fly_xray_fwhm_ev(kev) / 2.3548200450309493, ev = kev * 1000.0;
    double scale = 1.0 / (sigma_ev * 1.4142135623730951);
    double first = floor((ev - 6.0 * sigma_ev - axis->ev_offset) / axis->ev_per_channel);
    double last = ceil((ev + 6.0 * sigma_ev - axis->ev_offset) / axis->ev_per_channel);
    int32_t from = first > 0.0 ? (first < axis->n_channels ? (int32_t)first : axis->n_channels) : 0;
    int32_t to = last < axis->n_channels - 1 ? (int32_t)last : axis->n_channels - 1;

    for (int32_t i = from; i <= to; i++) {
        double low_ev = axis->ev_offset + (i - 0.5) * axis->ev_per_channel - ev;

        chance[i] += 0.5 * area * (erf((low_ev + axis->ev_per_channel) * scale) - erf(low_ev * scale));
    }
}

static double sum_of(const double *values, int32_t count)
{
    double sum = 0.0;

    for (int32_t i = 0; i < count; i++)
        sum += values[i];
    return sum;
}

/* Kramers' hyperbola, and a soft cut at 0.35 keV for what the detector does not see. */
static double background_at(double kev, double beam_kev)
{
    if (kev <= 0.05 || kev >= beam_kev)
        return 0.0;
    return (beam_kev - kev) / kev * (1.0 - exp(-(kev / 0.35) * (kev / 0.35)));
}

int fly_xray_spectrum(double *chance, const struct fly_xray_axis *axis, const double *atoms,
                      double background_share)
{
    FLY_ASSERT(axis->n_channels > 0 && axis->ev_per_channel > 0.0);
    FLY_ASSERT(background_share >= 0.0 && background_share < 1.0);
    int32_t n = axis->n_channels, n_families = (int32_t)(sizeof families_of / sizeof *families_of);
    double background = 0.0;

    memset(chance, 0, (size_t)n * sizeof *chance);
    for (int32_t f = 0; f < n_families; f++) {
        const struct fly_xray_family *family = &families_of[f];
        double area = atoms[family->element] * masses_u[family->element] / family->k, weights = 0.0;

        for (int32_t i = 0; i < family->n_lines; i++)
            weights += family->lines[i].weight;
        for (int32_t i = 0; area > 0.0 && i < family->n_lines; i++)
            if (family->lines[i].kev < axis->beam_kev)
                add_peak(chance, axis, family->lines[i].kev, area * family->lines[i].weight / weights);
    }
    double lines = sum_of(chance, n);

    if (!(lines > 0.0))
        return fly_fail(FLY_ERANGE, "spectrum: no line of these elements lies within %.1f .. %.1f eV",
                        axis->ev_offset, axis->ev_offset + (n - 1) * axis->ev_per_channel);
    for (int32_t i = 0; i < n; i++)
        background += background_at((axis->ev_offset + i * axis->ev_per_channel) / 1000.0, axis->beam_kev);
    for (int32_t i = 0; i < n; i++) {
        double kev = (axis->ev_offset + i * axis->ev_per_channel) / 1000.0;
        double under = background > 0.0 ? background_at(kev, axis->beam_kev) / background : 0.0;

        chance[i] = (1.0 - background_share) * chance[i] / lines + background_share * under;
    }
    if (axis->zero_peak > 0.0) {
        for (int32_t i = 0; i < n; i++)
            chance[i] *= 1.0 - axis->zero_peak;
        add_peak(chance, axis, 0.0, axis->zero_peak);
    }
    double all = sum_of(chance, n);

    for (int32_t i = 0; i < n; i++)
        chance[i] /= all;
    return FLY_OK;
}
