/* engine/region/spacing.h: the d-spacing of a square of pixels, and how crystalline it is.
 *
 * Paper    golden definition 15 to the letter: mean off, symmetric Hann window on both axes, power spectrum,
 *          strongest peak with d_min <= d <= d_max in the half plane, a parabola through the logarithms of its
 *          neighbours on each axis, d = 1 / |g|. snr = peak / median of all candidates; crystalline from 30 on.
 *
 * Robust   The least-squares plane is taken off. Spots are local maxima of the Hann power with d in range, by their
 *          refined frequency. Each stands against the median of its own ring (3/2 periods a square wide, its own
 *          neighbourhood left out), so that the broad ring of amorphous matter is background. A spot is one when
 *          its power exceeds what noise would in one of 100 squares of as many candidates (decision D8): powers
 *          of noise are exponential and the median of m correlated ones is worth 0.27 m independent, so
 *          p = (1 + s / (0.27 m))^(-0.27 m) for a power of s times the background. The strongest in s gives d.
 *          Its frequency is where the Fourier transform of the unpadded picture, sine window on both axes, is
 *          largest (refine.h). For one wave in white noise that is 1.36 times the Cramer-Rao bound of no window,
 *          sd(omega) = sqrt(24) sigma / (A L^2) on each axis (algorithms.md 7); the Hann window's is 1.87.
 *          d_sd is that figure with the noise measured around the spot. It knows noise, not the distortion
 *          of the scan or an error of the pixel size (about 1 %): compare regions of one frame.
 *          The second lattice vector is the strongest further spot of the same range of d that is at least 15
 *          degrees off the first. A lattice whose second spacing is outside of the range has one vector here.
 *
 * In STEM images of perovskites {110} (0.276 nm) is stronger than {100}, hence the range of 0.33 .. 0.55 nm: what
 * is reported is the strongest spot in range, and an image without one there is not called a crystal.
 *
 * Crystallinity = (power in 3 x 3 around each spot in range, less its ring's) / (power of the range less the noise
 * floor of the corners of k-space), 0 .. 1: near 1 where spots have all that is not shot noise, 0 for an
 * amorphous ring, since nothing there is a spot.
 *
 * Pixels   float (h, w), any pitch; not finite: missing. A missing pixel takes the plane's value, which is the mean
 *          in the paper's: it adds nothing. Whether enough of a picture is there is the caller's question.
 * Axes     y down, x along the fast axis; g = (fy / pixel_y, fx / pixel_x), f in cycles a pixel.
 * Units    nm. Without a pixel size everything called d is in pixels, and in_px says so.
 * Threads  pure but for the worker's own memory (transform.h).
 */
#ifndef FLY_REGION_SPACING_H
#define FLY_REGION_SPACING_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/region/transform.h"

struct fly_spacing_config {
    double pixel_nm[2]; /* y, x: both above 0, or both 0: not known */
    double d_nm[2];     /* least and largest, default 0.33, 0.55 */
    double d_px[2];     /* the same where the pixel size is not known, default 3, 40; least >= 2 */
};

struct fly_spacing_config fly_spacing_config_default(void);

/* FLY_ERANGE  a number is outside its range, which the message names */
FLY_MUST_USE int fly_spacing_check(const struct fly_spacing_config *config);

/* The highest frequencies along y and x that are looked at, for fly_transforms_config. */
void fly_spacing_f_max(const struct fly_spacing_config *config, double f_max[2]);

/* Somebody else's pixels; valid while they stand. */
struct fly_picture {
    const float *pixels; /* (h, w) */
    ptrdiff_t stride;    /* floats from line to line */
    int32_t h, w;
};

enum fly_spacing_state {
    FLY_SPACING_NONE = 0,   /* nothing measured, a constant; paper: no candidate */
    FLY_SPACING_TOO_SMALL,  /* fewer than 4 periods fit: not measurable */
    FLY_SPACING_DISORDERED, /* no spot: not crystalline, as far as d_most */
    FLY_SPACING_MEASURED,
};

enum { FLY_SPACING_SPOTS = 2 };

struct fly_spot {
    double fy, fx;    /* cycles a pixel, of the half plane fy > 0, or fy = 0 and fx > 0 */
    double d, d_sd;   /* d_sd: one standard deviation */
    double amplitude; /* A of A cos(...), in the picture's unit */
    double snr;       /* its power over the mean power of the noise around it, Hann window */
};

struct fly_spacing {
    enum fly_spacing_state state;
    int crystalline;  /* paper: snr >= 30; robust: MEASURED */
    int in_px;        /* 1: d in pixels */
    double d, d_sd;   /* 0, 0 where there is none; paper: d_sd NaN */
    double snr;       /* paper: peak / median of candidates, at most 1e30; robust: the first spot's, 0: none */
    double periods;   /* of d in the picture */
    double d_most;    /* the largest d that could be found: d_max, or what fits 4 times; robust only */
    int32_t ky, kx;   /* paper: the peak's place, cycles in the picture */
    int32_t spots;    /* robust: 0 .. 2 */
    struct fly_spot spot[FLY_SPACING_SPOTS]; /* paper: only fy, fx and d of the first */
    double angle_deg; /* between the two, of g, above 0 .. 90; 0 with fewer */
    double crystallinity; /* 0 .. 1; robust only; NaN where 4 periods of the least d do not fit, and with NONE. Its
                           * spots need 3.5 periods: below 3.5 d_max, 0 says nothing of the largest d */
    double noise_sd;  /* robust: standard deviation of a pixel by the noise floor, in the picture's unit */
    double missing;   /* share of pixels, 0 .. 1 */
};

/* Measure one picture. power: NULL, or (M, M) floats, M = fly_transforms_for(transforms, max(h, w))->side, filled with
 * log10 of the Hann power in the picture's unit squared a pixel, zero frequency at (M / 2, M / 2); left as it was when
 * the state is NONE. worker: 0 .. workers - 1.
 *
 * FLY_ERANGE  the picture is empty, or larger than the largest transform; paper: it is no square of 8 px or more
 *             that was planned exactly (a smaller one is NONE) */
FLY_MUST_USE int fly_spacing_robust(struct fly_spacing *out, const struct fly_transforms *transforms, int32_t worker,
                                    const struct fly_spacing_config *config, const struct fly_picture *picture,
                                    float *power);
FLY_MUST_USE int fly_spacing_paper(struct fly_spacing *out, const struct fly_transforms *transforms, int32_t worker,
                                   const struct fly_spacing_config *config, const struct fly_picture *picture,
                                   float *power);

#endif
