/* sim/layout.h: where each phase of a specimen lies, as functions of the place.
 *
 * Interfaces are wavy, defect columns wander, the foil's thickness drifts: each a short sum of sines
 * with phases drawn from the seed, so that any place can be asked for by itself. Places are px of the
 * undistorted specimen; warp tells where the scan shows them.
 *
 * Threads  a layout is a plain value, constant after init.
 */
#ifndef FLY_SIM_LAYOUT_H
#define FLY_SIM_LAYOUT_H

#include "engine/base/rng.h"
#include "sim/specimen.h"

enum { FLY_WAVE_TERMS = 5, FLY_LAYOUT_COLUMNS = 512 };

struct fly_wave {
    double amplitude[FLY_WAVE_TERMS], rad_per_px[FLY_WAVE_TERMS], phase[FLY_WAVE_TERMS];
    double reach; /* sum of the amplitudes: never farther from 0 */
};

struct fly_layout {
    struct fly_specimen_config config;
    double cap_px, film_px;             /* mean y of the two interfaces */
    struct fly_wave cap_wave, film_wave; /* of x */
    struct fly_wave thickness;          /* of x */
    struct fly_wave wander;             /* of y, each column with its own offset into it */
    struct fly_wave warp[2][2];         /* displacement along y, x; of y, x */
    int32_t n_columns;
    double column_pitch_px, column_px[FLY_LAYOUT_COLUMNS], column_half_px[FLY_LAYOUT_COLUMNS];
    double triangle_x_px, triangle_half_px, triangle_depth_px; /* depth 0: none */
    double inclusion_px[2], inclusion_radius_px; /* radius 0: none */
    uint64_t grain_key;
    double grain_px, fringe_px;
};

/* FLY_ERANGE: the inclusion is wider than the film between its waves, or than the scan. */
FLY_MUST_USE int fly_layout_init(struct fly_layout *layout, const struct fly_specimen_config *config);

enum fly_phase fly_layout_phase(const struct fly_layout *layout, double y_px, double x_px);

/* Relative signal of the grain at a place of the cap, about 1; some grains show lattice fringes. */
double fly_layout_grain(const struct fly_layout *layout, double y_px, double x_px);

double fly_layout_thickness(const struct fly_layout *layout, double y_px, double x_px); /* about 1 */

/* How far the scan displaces a place, and which place it shows at a pixel (the inverse, to 0.001 px). */
void fly_layout_warp(const struct fly_layout *layout, double y_px, double x_px, double warp[2]);
void fly_layout_unwarp(const struct fly_layout *layout, double y_px, double x_px, double place[2]);

#endif
