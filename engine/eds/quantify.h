/* engine/eds/quantify.h: what a chip is made of, in atomic percent, with its uncertainty.
 *
 * A quantifier is opened once for a session: an axis, a line table, the elements looked for. After that
 * a composition is a function of one spectrum alone, summed in one fixed order: it does not depend on what
 * else was quantified, when, or on how many threads. So a chip whose spectrum changed is simply done again.
 *
 * Methods
 *   fit     golden definition 7: linear least squares, intensities = P x spectrum with P made once.
 *   window  golden definition 7: counts of a window less the backgrounds beside it.
 *   ml      Poisson maximum likelihood with the same columns, channels merged into bins of half the
 *           resolution. What does not stand out is estimated beside what does, without bias and so with its
 *           sign: percents below 0 are as likely as above where nothing is. It has an upper limit.
 *
 * Honest   Below min_counts a chip is FLY_QUANTIFY_TOO_FEW: its numbers are NaN, not guesses. With its
 *          neighbours' counts it may be FLY_QUANTIFY_POOLED, and says so.
 * Sigma    one standard deviation (68 %) from counting, first order; ml: also from what may hide below its
 *          limit. Not in it: k-factors, absorption, the shape of lines and background.
 *
 * Shapes   spectra (K, E) uint32; arrays of a composition (n), n elements in the order given.
 * Threads  a quantifier is read only once open; one work for each thread.
 */
#ifndef FLY_EDS_QUANTIFY_H
#define FLY_EDS_QUANTIFY_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/eds/basis.h"
#include "engine/eds/composition.h"
#include "engine/eds/likelihood.h"
#include "engine/eds/lines.h"

enum fly_quantify_method { FLY_QUANTIFY_FIT, FLY_QUANTIFY_WINDOW, FLY_QUANTIFY_ML, FLY_QUANTIFY_METHODS };

enum fly_k_basis { FLY_K_WEIGHT, FLY_K_ATOMIC };

/* A user's k-factor. Relative to Si Ka = 1, should only some of the elements have one. */
struct fly_k_factor {
    const char *line; /* "Fe_Ka" */
    double k;         /* > 0 */
};

struct fly_quantify_config {
    int32_t n_channels;      /* E, 16 .. 16384 */
    double ev_offset;        /* energy of channel 0, -10000 .. 10000 */
    double ev_per_channel;   /* 0.5 .. 100 */
    enum fly_line_set set;   /* default FLY_LINES_PRODUCT */
    enum fly_quantify_method method; /* default FLY_QUANTIFY_ML */
    int32_t n_elements;      /* 1 .. FLY_ELEMENTS_MAX */
    const char *const *elements; /* "Fe", or "Sr_Ka" to quantify by another line than usual */
    int32_t n_fit_only;      /* of the grid or the holder: fitted, not part of the 100 % */
    const char *const *fit_only;
    int32_t n_k;             /* the user's, may be 0; lines that the session does not use are passed over */
    const struct fly_k_factor *k;
    enum fly_k_basis k_basis; /* of all of them; an atomic factor is k / M of a weight factor */
    double fwhm_mn_ev;       /* 60 .. 300, default 130 */
    double beam_kev;         /* 10 .. 400, default 200: chooses the built-in k-factors, shapes the background */
    double mask_ev;          /* -10000 .. 10000, default 150: below lie zero peak and noise; golden: none */
    int32_t min_counts;      /* 0 .. 2^30, default 100: unmasked photons that a composition
                              * needs at least. At 150, ml's majors are biased by less than 4 % (measured) */
};

/* The product's defaults; the caller adds axis and elements. */
struct fly_quantify_config fly_quantify_config_default(void);

enum fly_quantify_status {
    FLY_QUANTIFY_OK = 0,
    FLY_QUANTIFY_TOO_FEW, /* fewer than min_counts: percent, sigma and limit are NaN */
    FLY_QUANTIFY_POOLED,  /* from the 3 x 3 chips around it: its own counts are too few */
};

struct fly_composition {
    enum fly_quantify_status status;
    int32_t n_elements;
    int32_t steps;           /* ml: taken by all of its fits together */
    uint64_t counts;         /* unmasked photons of the spectrum used */
    double intensity[FLY_ELEMENTS_MAX], intensity_sigma[FLY_ELEMENTS_MAX]; /* counts */
    double percent[FLY_ELEMENTS_MAX]; /* at.%, sums to 100, or all 0; ml: of either sign */
    double sigma[FLY_ELEMENTS_MAX];   /* of percent */
    double limit[FLY_ELEMENTS_MAX];   /* at.%, 95 %: for elements not detected; else NaN */
    uint8_t detected[FLY_ELEMENTS_MAX]; /* 1: stands out of its background */
};

struct fly_quantifier;

/* Bytes that open needs at most; n_channels, n_elements and n_fit_only count, in range or not. */
size_t fly_quantifier_need(const struct fly_quantify_config *config);

/* FLY_ERANGE  axis, resolution, beam or limit outside its range; an element that is unknown, named twice,
 *             without a k-factor or without a line in view; a k-factor that is not above 0. The message
 *             says which
 * FLY_ENOMEM  the arena is too small; everything taken is given back */
FLY_MUST_USE int fly_quantifier_open(struct fly_quantifier **out, const struct fly_quantify_config *config,
                                     struct fly_arena *arena);

/* Scratch of one thread, and what it has done. Zero the counters at will. */
struct fly_quantify_work {
    double *counts;       /* (E) */
    double *bins;         /* (B) */
    double *theta, *score, *column; /* (m) */
    double *information, *factor;   /* (m, m) */
    double step[FLY_ELEMENTS_MAX], null[FLY_ELEMENTS_MAX]; /* of elements not in the fit */
    struct fly_likelihood fit;
    uint64_t chips_quantified;
    uint64_t photons_applied;
    uint64_t steps;       /* ml */
};

size_t fly_quantify_work_need(const struct fly_quantifier *quantifier);
void fly_quantify_work_init(struct fly_quantify_work *work, const struct fly_quantifier *quantifier,
                            struct fly_arena *arena);

/* Quantify a spectrum of E counts; work at most E * n * n for fit and window, E and a bounded number of steps
 * over B bins for ml. */
void fly_quantify(const struct fly_quantifier *quantifier, struct fly_quantify_work *work,
                  const uint32_t *spectrum, struct fly_composition *out);

/* The same for a region's sum. Counts below 2^53. */
void fly_quantify_sum(const struct fly_quantifier *quantifier, struct fly_quantify_work *work,
                      const uint64_t *spectrum, struct fly_composition *out);

/* Chip k of a (rows, cols) grid: by itself where it has min_counts, else together with its up to eight
 * neighbours, marked FLY_QUANTIFY_POOLED, else FLY_QUANTIFY_TOO_FEW. spectra (rows * cols, E). */
void fly_quantify_chip(const struct fly_quantifier *quantifier, struct fly_quantify_work *work,
                       const uint32_t *spectra, int32_t rows, int32_t cols, int32_t chip,
                       struct fly_composition *out);

/* The chips whose composition may change with chip k's spectrum: itself first, then its neighbours in index
 * order. Neighbours need it only while POOLED or TOO_FEW. Returns how many, at most 9. */
int32_t fly_quantify_touched(int32_t rows, int32_t cols, int32_t chip, int32_t chips[9]);

/* What an element is quantified by. Strings are constants. */
struct fly_quantified_line {
    const char *symbol, *line; /* "Fe", "Ka" */
    double kev, mass_u;
    double k;      /* weight factor in use */
    int users_k;   /* 1: the user's */
};
struct fly_quantified_line fly_quantifier_line(const struct fly_quantifier *quantifier, int32_t element);

/* 1: some elements have the user's k-factor and some the table's: told, because sets do not mix. */
int fly_quantifier_k_mixed(const struct fly_quantifier *quantifier);

/* Windows (n, 6) of the elements' main lines, as fly_line_windows. */
void fly_quantifier_windows(const struct fly_quantifier *quantifier, int32_t *windows);

/* Atomic percent (n) and their sigma (n) of given intensities with this session's k-factors; covariance
 * (n, n) and sigma may be NULL together. */
void fly_quantifier_percent(const struct fly_quantifier *quantifier, const double *intensity,
                            const double *covariance, double *percent, double *sigma);

/* Correct an ml, fit or window composition for absorption in a film: intensities and their sigma are
 * multiplied, percents made anew, sigma and limit of percents scaled with them.
 *
 * FLY_ERANGE  as fly_film_check; composition untouched */
FLY_MUST_USE int fly_quantifier_film(const struct fly_quantifier *quantifier, const struct fly_film *film,
                                     struct fly_composition *composition);

/* 100 less La, Fe and O (golden definition 15). */
double fly_quantifier_extraneous(const struct fly_quantifier *quantifier, const double *percent);

/* The plain twin of fit and window: intensities (n) by the whole product P x spectrum, row by row. */
void fly_quantify_linear_ref(const struct fly_quantifier *quantifier, const uint32_t *spectrum,
                             double *intensity);

/* For tests and reports: the mixture that ml fits, and the bins' counts (B) of a spectrum. */
const struct fly_mixture *fly_quantifier_mixture(const struct fly_quantifier *quantifier);
void fly_quantifier_bin(const struct fly_quantifier *quantifier, const uint32_t *spectrum, double *bins);

#endif
