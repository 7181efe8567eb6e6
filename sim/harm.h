/* sim/harm.h: what the beam does to the specimen where it is not made for it: a damaged middle, for tests.
 *
 * The middle third of the scan each way loses, with the dose that a pixel has had, oxygen (photons at its line) or
 * thickness (all photons, and electrons): a share `loss` of them in the end, loss (1 - exp(-dose / 4 survey dwells)) so far.
 * What was counted is thinned, so that a Poisson count stays one. Depends on the order of exposures, as damage does; else
 * on seed, frame and pixel alone.
 *
 * Memory   4 bytes a pixel.
 * Threads  one.
 */
#ifndef FLY_SIM_HARM_H
#define FLY_SIM_HARM_H

#include "sim/beam.h"
#include "sim/instrument.h"

enum fly_harm_kind { FLY_HARM_NONE = 0, FLY_HARM_OXYGEN, FLY_HARM_THICKNESS };

struct fly_harm_config {
    enum fly_harm_kind kind;
    double loss; /* 0 .. 1 */
};

struct fly_harm;

/* survey_us: a dwell of the survey, > 0. FLY_ERANGE, FLY_ENOMEM. */
FLY_MUST_USE int fly_harm_open(struct fly_harm **out, const struct fly_harm_config *config,
                               const struct fly_specimen_config *specimen, const struct fly_beam_config *beam,
                               double survey_us);
void fly_harm_close(struct fly_harm **harm);

/* Thin the counts (h, w) of a patch. */
void fly_harm_image(const struct fly_harm *harm, const struct fly_patch *patch, uint16_t *counts);
/* Thin its photons: row_ptr (h * w + 1) and channel; returns how many are left. */
uint32_t fly_harm_photons(const struct fly_harm *harm, const struct fly_patch *patch, int32_t segment, uint32_t *row_ptr,
                          uint16_t *channel);
/* The beam was there. */
void fly_harm_expose(struct fly_harm *harm, const struct fly_patch *patch);

#endif
