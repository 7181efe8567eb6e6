/* sim/specimen.h: a cross section of a LaFeO3 film on SrTiO3 under a metal cap, and what is true of it.
 *
 * From the top: cap (Cr or Pt, grains without resolved columns), film (perovskite; where it is
 * disordered either vertical columns of a wider lattice, in a defective film, or an amorphous triangle
 * under the cap, after irradiation), substrate. On demand one round inclusion of magnetite lies
 * somewhere in the film: a phase so rare that it has to be found. The specimen holds the signal that a beam without
 * noise would give, in pixels of the scan with its slow distortion already in it, and a margin around
 * it for drift.
 *
 * Units    signal: 1 is a La column's height above its surroundings; beam.h makes counts of it.
 * Axes     y runs down the slow scan, x along the fast scan, origin top left; the centre of pixel
 *          (0, 0) is at (0.5, 0.5) px.
 * Numbers  geometries: table II of arXiv 2411.09896 (chips; 35.4 pm at 5.50 Mx, other pixels inverse
 *          to magnification). d-spacings of the film 0.40-0.42 nm: the same paper's measurements;
 *          SrTiO3 0.3905 nm, Cr (110) 0.204 nm, Pt (111) 0.226 nm, Fe3O4 (220) 0.297 nm: crystallographic tables. Signal as
 *          Z^1.7 (Krivanek et al. 2010, doi:10.1038/nature08879: exponent 1.6-1.7). Disordered film: La
 *          6.7 % and Fe 10.5 % lower, relative, as the paper reports.
 * Memory   5 bytes a pixel, margin included.
 * Threads  a specimen is constant once open.
 */
#ifndef FLY_SIM_SPECIMEN_H
#define FLY_SIM_SPECIMEN_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/xray.h"

enum fly_phase { FLY_STO = 0, FLY_LFO, FLY_LFO_DISORDERED, FLY_CAP, FLY_INCLUSION, FLY_PHASES };
enum { FLY_PHASES_USUAL = FLY_INCLUSION }; /* those below it: of a specimen without an inclusion */
enum fly_growth { FLY_PRISTINE = 0, FLY_DEFECTIVE };
enum fly_cap_metal { FLY_CAP_CR = 0, FLY_CAP_PT };

enum { FLY_SPECIMEN_MARGIN_PX = 16, FLY_SPECIMEN_SIDE_MIN = 32, FLY_SPECIMEN_SIDE_MAX = 16384 };

struct fly_geometry {
    const char *name;
    int32_t height_px, width_px;
    double pixel_nm;
    int32_t chip_px, rows, cols;
    enum fly_growth growth;
    double dpa;
    enum fly_cap_metal cap;
};

/* The four samples; NULL when the name is none of theirs. */
enum { FLY_GEOMETRIES = 4 };
const struct fly_geometry *fly_geometry_at(int32_t i);
const struct fly_geometry *fly_geometry_find(const char *name);

const char *fly_phase_name(enum fly_phase phase);      /* "STO", "LFO", "LFO_disordered", "cap", "Fe3O4" */
const char *fly_growth_name(enum fly_growth growth);   /* "pristine", "defective" */
const char *fly_cap_metal_name(enum fly_cap_metal cap); /* "Cr", "Pt" */

struct fly_specimen_config {
    int32_t height_px, width_px; /* 32 .. 16384 */
    double pixel_nm;             /* 0.01 .. 0.2 */
    enum fly_growth growth;
    double dpa;                  /* 0 .. 1; irradiated or not is all that matters */
    enum fly_cap_metal cap;
    double warp_px;              /* 0 .. 4: how far the slow distortion displaces; default 1 */
    uint64_t seed;
    double inclusion;            /* its share of the scan's area: 0 (none) .. 0.05 */
};

struct fly_specimen {
    struct fly_specimen_config config;
    int32_t stride_px;   /* width_px + 2 margins */
    float *signal;       /* (H + 2 margins, stride), >= 0 */
    float signal_max;
    uint8_t *phase;      /* (H + 2 margins, stride), enum fly_phase */
    double atoms[FLY_PHASES][FLY_XRAY_ELEMENTS]; /* fractions, sum 1: what a spectrum shows */
    double photon_yield[FLY_PHASES];             /* photons per electron, the film's is 1 */
    double d_nm[FLY_PHASES];                     /* lattice; 0 where there is none */
};

/* FLY_ERANGE a number outside its range, or a film too thin for the inclusion; FLY_ENOMEM. */
FLY_MUST_USE int fly_specimen_open(struct fly_specimen **out, const struct fly_specimen_config *config);
void fly_specimen_close(struct fly_specimen **specimen);

/* Index into signal and phase of a pixel; y and x may lie up to a margin outside the scan. */
static inline size_t fly_specimen_at(const struct fly_specimen *specimen, int32_t y, int32_t x)
{
    return (size_t)(y + FLY_SPECIMEN_MARGIN_PX) * (size_t)specimen->stride_px +
           (size_t)(x + FLY_SPECIMEN_MARGIN_PX);
}

#endif
