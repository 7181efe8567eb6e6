/* sim/xray.h: what a specimen's atoms look like to an X-ray detector.
 *
 * Line families of the simulated elements, atomic masses and Cliff-Lorimer k-factors, and the
 * spectrum they give together: probability of a photon per channel. A family's share is made so that
 * Cliff-Lorimer with these k-factors gives the composition back: area = atoms * mass / k.
 *
 * Axis     channel i stands for ev_offset + i * ev_per_channel and takes what falls within half a
 *          channel of it, as in HyperSpy. Energies of lines are in keV.
 *
 * Sources  energies and relative weights: exspy's line table; k-factors: a Velox export of a Spectra
 *          300 at 200 kV in pyTEMlib, relative to Si Ka1; masses: IUPAC standard atomic weights.
 *          La M has no k in that set: LA_M_K in xray.c says what stands for it.
 * Threads  all of it is constant.
 */
#ifndef FLY_SIM_XRAY_H
#define FLY_SIM_XRAY_H

#include <stdint.h>

#include "engine/base/err.h"

enum fly_xray_element {
    FLY_EL_AL = 0, FLY_EL_C, FLY_EL_CR, FLY_EL_CU, FLY_EL_FE, FLY_EL_GA, FLY_EL_LA, FLY_EL_N, FLY_EL_O,
    FLY_EL_PT, FLY_EL_SR, FLY_EL_TI,
    FLY_XRAY_ELEMENTS
};

enum { FLY_XRAY_LINES = 9 };

struct fly_xray_line {
    double kev;
    double weight; /* relative to the family's main line */
};

struct fly_xray_family {
    enum fly_xray_element element;
    const char *main_line; /* "Fe_Ka" */
    double k;              /* weight factor of the whole family, Si Ka1 = 1 */
    int32_t n_lines;
    struct fly_xray_line lines[FLY_XRAY_LINES];
};

const char *fly_xray_symbol(enum fly_xray_element element);
double fly_xray_mass_u(enum fly_xray_element element);
int32_t fly_xray_families(const struct fly_xray_family **families);

/* Detector resolution: FWHM in eV at an energy, 130 eV at Mn Ka (5.8987 keV), by Fiori and Newbury
 * 1978 (sqrt(2.5 (E - E_Mn) + FWHM_Mn^2), E in eV); never below 20 eV. */
double fly_xray_fwhm_ev(double kev);

/* A detector and what one material shows it. */
struct fly_xray_axis {
    int32_t n_channels;
    double ev_per_channel, ev_offset;
    double beam_kev;
    double zero_peak; /* share of all photons that stand in the strobe peak at 0 eV; 0: none */
};

/* Fill chance (n_channels): the probability of each channel for a material of the given atomic
 * fractions (any scale, FLY_XRAY_ELEMENTS of them), background_share of the photons being
 * bremsstrahlung (Kramers 1923, (E0 - E) / E, with the window's and the dead layer's loss at low
 * energies). Sums to 1.
 *
 * FLY_ERANGE  no atoms at all, or an axis that sees none of their lines
 */
FLY_MUST_USE int fly_xray_spectrum(double *chance, const struct fly_xray_axis *axis,
                                   const double *atoms, double background_share);

#endif
