/* engine/eds/propose_own.h: the fit under propose.h. Not for others. */
#ifndef FLY_EDS_PROPOSE_OWN_H
#define FLY_EDS_PROPOSE_OWN_H

#include "engine/eds/likelihood.h"
#include "engine/eds/propose.h"
#include "engine/eds/survey.h"

enum {
    PROPOSE_BACKGROUNDS = 15, /* pieces of it */
    PROPOSE_LINES_MAX = FLY_COLUMNS_MAX - PROPOSE_BACKGROUNDS,
};

/* A column in the fit. */
struct propose_column {
    enum fly_proposal_kind kind;
    int32_t family;     /* in the survey; of artefacts the parent; -1: unknown peak */
    int32_t other;      /* sum: the second parent; else -1 */
    double kev;         /* main line, by the tables */
    double limit;       /* most counts it may have for each of column `tied`; 0: free */
    int32_t tied;       /* column that limit speaks of */
    double theta;
    double *a;          /* (B), sums to at most 1 */
    double *doubt;      /* (B) by how much it may be wrong for each of its photons */
};

struct propose_fit {
    struct fly_propose_config config;
    struct fly_survey_family families[FLY_SURVEY_MAX];
    int32_t n_families;
    int32_t n_bins, merge, first; /* channels to a bin; first channel of bin 0 */
    double *counts;               /* (B) */
    double *background;           /* (backgrounds, B) */
    double *family_a;             /* (families, B) */
    double *spare;                /* (B) */
    double *mu, *line_mu, *variance, *doubt; /* (B) at the fit */
    double background_theta[PROPOSE_BACKGROUNDS];
    int32_t n_columns;
    struct propose_column columns[PROPOSE_LINES_MAX];
    double *column_a; /* (lines, 2, B): a and doubt of each */
    double shift_ev, gain, fwhm_mn_ev;
    double value; /* of the log likelihood */
    struct fly_mixture mixture;
    double *theta, *information;
    uint8_t *active;
    struct fly_likelihood work;
};

/* Reserve and fill; the spectrum is binned, every family laid out. */
int propose_fit_init(struct propose_fit *fit, const struct fly_propose_config *config,
                     const uint64_t *spectrum, struct fly_arena *arena);

/* Lay out all families anew by shift, gain and fwhm; columns keep what they are. */
void propose_fit_layout(struct propose_fit *fit);

/* One Gaussian of area 1 at an energy of the tables. */
void propose_fit_peak(const struct propose_fit *fit, double kev, double *out);

/* Is the family's main line on the axis, and excited? */
int propose_fit_sees(const struct propose_fit *fit, int32_t family);

/* Add a column; the caller fits. NULL: no room. */
struct propose_column *propose_fit_add(struct propose_fit *fit, enum fly_proposal_kind kind,
                                       int32_t family, int32_t other, double kev);
void propose_fit_drop(struct propose_fit *fit, int32_t column);

/* Fit all amplitudes; mu, line_mu, variance and value follow. */
void propose_fit_run(struct propose_fit *fit);

/* Amplitude that column a (B) would take beside the present fit, with `alone` beside its background only;
 * its standard deviation, what the fit's columns may be wrong by included, and by counting alone (may be
 * NULL). */
void propose_fit_score(const struct propose_fit *fit, const double *a, int alone, double *amplitude,
                       double *sd, double *counting_sd);

/* By how much other columns' errors may move the amplitude of column c; those of `same` (n_columns) are
 * its own element's and do not count. */
double propose_fit_bias(const struct propose_fit *fit, int32_t c, const uint8_t *same);

/* Standard deviations (n_columns) of the fitted amplitudes by counting, all others being fitted too. */
void propose_fit_errors(struct propose_fit *fit, double *sd);

/* Tune shift, gain and width to the columns there are: widely, or near where they stand. */
void propose_fit_tune(struct propose_fit *fit, int widely);

#endif
