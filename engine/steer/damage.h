/* engine/steer/damage.h: does a chip change under the beam? Its early data against its late ones.
 *
 * A specimen that stays as it is sends, for the same dose, the same photons and scatters as many electrons, early and
 * late. Three things are asked of every chip as its dose grows:
 *
 *   shares   of each window of energies, in all photons of the chip: whatever the beam's current did
 *   rate     of all photons for a us of dwell and unit of current
 *   image    mean intensity, in units of the current
 *
 * Each is a test for a trend with the logarithm a of the dose that the chip had had (middle of the exposure): what decays
 * does so fast at first. For counts it is Cochran's (1954, doi:10.2307/3001616) and Armitage's (1955,
 * doi:10.2307/3001775), given all margins: U = sum n_i (a_i - mean a) of a window's counts n_i, with variance
 * N p (1 - p) var(a) over the N photons of the chip, p the window's share; for the rate over the exposures, N var(a). For
 * the image it is a weighted line fit. U and its variance add up over chips whatever each of them is made of (Mantel
 * 1963, doi:10.1080/01621459.1963.10500879): so a chip is tested alone and together with its neighbours, 3 x 3, where a
 * chip has too few counts of its own and what it lost its neighbours lost as well.
 *
 * What is not damage
 *   current     exposures wait until FLY_DAMAGE_BATCH are there; what they have in common, against what those chips sent
 *               before, is the beam (and the detector), and is divided out. So a loss that the whole scan shares is seen
 *               in shares alone.
 *   drift       what may come of a shift by `moved` of a chip, taken off before p is told: `moved` times the largest
 *               difference between two chips within one of it (within two, for 3 x 3), and that twice, since a trend in the
 *               logarithm overstates what came late. Boundaries are blind to that extent. Over a lattice a chip's mean
 *               changes wherever it drifts: what rates and images scatter by from chip to chip (median of all) beyond their
 *               noise counts as noise, and not less for nine chips than for one
 *   too little  a change below FLY_DAMAGE_LEAST of what there was: current, contamination and gain do that.
 *   too few     the skewness g of U is taken off z (Cornish, Fisher 1938): z - g (z^2 - 1) / 6; where |g z| > 1.5 that
 *               does not hold, and nothing is said.
 *   image noise that of all chips about their lines, be it alike or grow with their mean, and that of the chips in question
 *               by Student's t: the larger p counts. Four exposures at least.
 *
 * Looks    fly_damage_look looks at the chips that had exposures since: of them at those whose dose is a quarter more than
 *          when they were looked at before. At its j-th look a test must
 *          come to p < min(1e-4, FLY_DAMAGE_FALSE / (K j (j + 1))) / tests, of K chips with 2 (windows + 2) tests: the
 *          j (j + 1) add up to 1 over all looks that there will ever be, so that, p being right, a scan without damage
 *          has an alarm with a chance of at most FLY_DAMAGE_FALSE, however many frames it has (Bonferroni).
 * Found    once damaged, damaged. A chip that is, and the eight around it, are barred.
 * Results  a function of the calls, in their order.
 * Memory   about 230 bytes a chip and 16 for each window. Cost: `flyback bench damage`.
 * Threads  one at a time.
 */
#ifndef FLY_STEER_DAMAGE_H
#define FLY_STEER_DAMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

struct fly_damage;

enum {
    FLY_DAMAGE_WINDOWS_MAX = 16,
    FLY_DAMAGE_BATCH = 64, /* their common factor is known to 1.6 % where each has 60 photons, an eighth of each one's own
                            * noise. As many as there are chips, where that is less */
};
#define FLY_DAMAGE_FALSE 0.01 /* of scans */
#define FLY_DAMAGE_LEAST 0.1

struct fly_damage_config {
    int32_t rows, cols;
    int32_t windows;   /* 0 .. FLY_DAMAGE_WINDOWS_MAX */
    int chips_overlap; /* 1: neighbours share pixels, and are not tested together */
};

enum fly_damage_sign { FLY_DAMAGE_NONE = 0, FLY_DAMAGE_SHARE, FLY_DAMAGE_RATE, FLY_DAMAGE_IMAGE, FLY_DAMAGE_SIGNS };
const char *fly_damage_sign_name(enum fly_damage_sign sign); /* "none", "share", "rate", "image" */

/* What was found last. */
struct fly_damage_finding {
    enum fly_damage_sign sign;
    int32_t chip;
    int32_t window; /* SHARE: which */
    int together;   /* 1: seen together with its neighbours */
    double change;  /* of share, rate or mean since the first exposure, by the trend: -0.3: 30 % less */
    double p;       /* of such a trend, or a stronger one, without damage but with drift */
    double dose_us; /* that the chip has had */
};

size_t fly_damage_need(const struct fly_damage_config *config);
/* FLY_ERANGE: a number of the config is outside its range; FLY_ENOMEM: the arena is too small. */
FLY_MUST_USE int fly_damage_init(struct fly_damage **out, const struct fly_damage_config *config,
                                 struct fly_arena *arena);

/* All photons of a chip so far: of each window (windows), and of all energies; with the dwell that they took, us.
 *
 *   exposed  0: they are others than before without a new exposure (a frame was moved): taken as they are, and no trend
 *            comes of it. So it is, too, where counts or dwell became less, or no dwell was added.
 */
void fly_damage_counts(struct fly_damage *damage, int32_t chip, const uint32_t *counts, uint64_t total, double dwell_us,
                       int exposed);

/* One exposure of a chip: mean intensity and dwell, us, > 0 (else it is passed over). */
void fly_damage_image(struct fly_damage *damage, int32_t chip, double mean, double dwell_us);

/* Look at the chips that were exposed since the last call: when it is known how far the specimen has moved till then. */
void fly_damage_look(struct fly_damage *damage);

/* Share of a chip that the specimen may have moved by, 0 .. 1, default 0.1: less is not told from line jitter and
 * distortion. Above 1 nothing is looked at. In force from the next look on. */
void fly_damage_moved(struct fly_damage *damage, double share);

/* Begin anew: what comes is compared with what comes. What was found stays. */
void fly_damage_forget(struct fly_damage *damage);

int fly_damage_is(const struct fly_damage *damage, int32_t chip);   /* 1: damaged */
int fly_damage_bars(const struct fly_damage *damage, int32_t chip); /* 1: damaged, or next to a chip that is */
/* How many are damaged, and barred; last may be NULL. */
int32_t fly_damage_found(const struct fly_damage *damage, int32_t *barred, struct fly_damage_finding *last);

#endif
