/* engine/eds/propose.h: which elements a spectrum speaks of, with the evidence, before anyone named any.
 *
 * A sum spectrum is explained step by step: background first, then at each step the element whose lines,
 * taken together in their known ratios, explain most of what is left; all amplitudes are fitted anew after
 * each (Poisson maximum likelihood, likelihood.h). An element stands when its lines stand out by
 * FLY_PROPOSE_SIGMA standard deviations with all the others fitted beside it: by the likelihood, and by its
 * amplitude over a deviation that also holds what the others may be wrong by (2 % of a main line, 30 % of
 * minor ones, a tail of 2 %, 5 % of the background). So a large peak's foot is no element, and overlaps
 * (Ti Kb on V Ka) are decided by the lines that do not overlap.
 *
 * Honest    an element whose harder lines are in view must show them: no As by a peak at 1.28 keV alone.
 *           Sum peaks and silicon escape peaks of what was found are named as such and propose nothing.
 *           Elements outside the product table are proposed too, marked: they cannot be quantified.
 *           A peak that nothing explains is told as a peak.
 * Scale     before the last pass energies are tuned by what stands out most: shift within 40 eV, gain within
 *           1 %, width within 30 %, when there are enough counts to tell.
 *
 * Threads   a call is pure; the arena is its own.
 */
#ifndef FLY_EDS_PROPOSE_H
#define FLY_EDS_PROPOSE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

enum {
    FLY_PROPOSALS_MAX = 40,
    FLY_PROPOSE_COMPETING = 3,
    FLY_PROPOSE_COUNTS_MIN = 50, /* unmasked photons: fewer speak of nothing */
};

/* Of some 160 trials on pure background fewer than one in 10 000 reaches this by chance. */
#define FLY_PROPOSE_SIGMA 5.0

struct fly_propose_config {
    int32_t n_channels;    /* E, 16 .. 16384 */
    double ev_offset;      /* energy of channel 0 */
    double ev_per_channel; /* 0.5 .. 100 */
    double fwhm_mn_ev;     /* 60 .. 300, default 130 */
    double beam_kev;       /* 10 .. 400, default 200 */
    double mask_ev;        /* below lie zero peak and noise, default 150 */
};

struct fly_propose_config fly_propose_config_default(void);

enum fly_proposal_kind {
    FLY_PROPOSED_ELEMENT, /* of the product table */
    FLY_PROPOSED_GRID,    /* Cu: as likely of the grid or the holder as of the specimen */
    FLY_PROPOSED_OTHER,   /* an element that the product table lacks */
    FLY_PROPOSED_SUM,     /* two photons at once */
    FLY_PROPOSED_ESCAPE,  /* a photon less what a silicon atom took away */
    FLY_PROPOSED_UNKNOWN, /* a peak that nothing explains */
};

struct fly_proposal {
    enum fly_proposal_kind kind;
    char what[24];     /* "Fe"; "Ti_Ka+Ti_Ka"; "Ti_Ka-Si_Ka"; "peak" */
    char line[4];      /* of an element: the family that says most, "Ka" */
    double kev;        /* its main line by the tables; of an unknown peak where it was seen */
    double counts;     /* net, of the whole family */
    double background; /* what else lies within the main line's FWHM to either side */
    double sigma;      /* counts over their standard deviation, everything else being fitted too */
    int32_t n_competing;
    char competing[FLY_PROPOSE_COMPETING][8]; /* lines that would look much the same here: "Ba_La" */
};

struct fly_proposals {
    int32_t n; /* elements by falling counts, then the rest by energy */
    struct fly_proposal of[FLY_PROPOSALS_MAX];
    double photons; /* unmasked */
    double shift_ev, gain, fwhm_mn_ev; /* as tuned: energy = table's * gain + shift */
};

size_t fly_propose_need(const struct fly_propose_config *config);

/* FLY_ERANGE  a number of the configuration is outside its range
 * FLY_ENOMEM  the arena is too small */
FLY_MUST_USE int fly_propose(struct fly_proposals *out, const struct fly_propose_config *config,
                             const uint64_t *spectrum, struct fly_arena *arena);

#endif
