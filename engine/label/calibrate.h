/* engine/label/calibrate.h: few-shot whose confidence means what it says, in one modality.
 *
 * The paper's score is softmax(-d), d the distance to the prototype (fewshot.h): whether that saturates or says
 * nothing depends on the units of the feature and, for counts, on the dose. Here the distance is taken in units of
 * what a chip of the class is expected to have:
 *
 *   ratio_c = (d_c^2 - doubt_c) / (scatter_c + noise)        at least 0.05
 *   score_c = (width_c (1 + ratio_c))^(-1 / tau)             over their sum
 *
 *   noise    expected squared distance of a chip's feature from its true value, summed over its D numbers. It grows
 *            as counts fall, and the scores flatten by themselves: with no counts at all every class is as likely.
 *   doubt    the same of a prototype: its chips' scatter and noise over their number squared. A class of one shot
 *            lies no farther from everything than one of eight.
 *   scatter  of chips within their class about its mean, noise taken off: pooled over classes, with one degree
 *            of freedom of a tenth of the scatter of all support chips (a fiftieth where noise is known), which is
 *            what there is to go by when classes have one shot each; then by class, with four degrees of freedom of
 *            the pooled one: what four chips say of how varied their class is counts three parts of seven.
 *   width    root of the class's scatter over the pooled one where no noise is known; else 1, for then noise is
 *            the most of it, and of a chip, not of a class. Without it a varied class takes in what lies between it
 *            and others: half a percent of the map for embeddings.
 *   tau      minimises the negative log likelihood of support chips left out one by one (prototype, doubt and
 *            scatter made without them) plus weight * log2(tau / prior)^2. A dozen pure support chips are
 *            nearly always told apart without fault and would make tau as small as it may be; chips of
 *            boundaries would pay for it. So the prior is worth more than they until they disagree.
 *
 * The power law is what a normal becomes when its spread is known from few chips: Student's t, the posterior
 * predictive density (Gelman et al. 2013, Bayesian Data Analysis, 3rd ed., section 3.6), with the few degrees of
 * freedom that suit mixtures: between prototypes far apart lie the chips of a boundary, and there the odds of two
 * classes are a power of how many times farther one is than the other, whatever the noise. A normal's, softmax(-ratio
 * / 2 tau), are beyond doubt a hair off the middle, and those of softmax(-sqrt(ratio) / tau) soon are; near a prototype
 * all three are as good. On simulated scenes, each at its best tau, the negative log likelihood of the root was 18 %
 * greater for embeddings, 20 and 70 % for compositions of 3000 and 10 000 counts, 3 and 17 % for spectra, and that of
 * the normal greater by half and more; at 100 to 1000 counts all of X-rays were within 10 %, but the normal's of
 * compositions. 1 + ratio / 4 had 23 % more for embeddings.
 *
 * How good it is: tests/bench/bench_calibrate.c. From 1000 counts on compositions alone are scored better than by
 * Gaussians that know mean and covariance of all chips of every class; at 100 and 300 neither tells ordered from
 * disordered LFO, and a set of four shots that lies badly has erred by 0.18 there (expected calibration error).
 *
 * Leaving out is exact algebra on the sums: (n mean - x) / (n - 1); a test compares it with making everything anew.
 *
 * States   see enum; every one but NONE has scores.
 * Shapes   distances, ratios, scores (C) for each chip, NaN or 0 for classes that do not count; noise (K).
 * Cost     D for each support chip and class, once a change of the support set; then for each chip some
 *          roots and exponentials beside its distances.
 * Threads  a calibration is read only once made; functions of different chips may run at once.
 */
#ifndef FLY_LABEL_CALIBRATE_H
#define FLY_LABEL_CALIBRATE_H

#include <math.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/label/fewshot.h"
#include "engine/label/unknown.h"

enum {
    FLY_LEFT_OUT_CLASS_MAX = 16, /* more shots than that tell tau nothing new, and cost */
    FLY_LEFT_OUT_MAX = FLY_LEFT_OUT_CLASS_MAX * FLY_CLASSES_MAX,
};

/* The support chips that are left out one by one: the same ones in every modality. Of a class of more than
 * FLY_LEFT_OUT_CLASS_MAX those at even steps, by index. */
struct fly_left_out {
    int32_t n;
    int32_t *chip;  /* (FLY_LEFT_OUT_MAX), by class, then by index */
    int32_t *class_of;
};

size_t fly_left_out_need(void);
void fly_left_out_init(struct fly_left_out *left, struct fly_arena *arena);
void fly_left_out_pick(struct fly_left_out *left, const struct fly_support *support);

/* Where tau is before a support chip has spoken, by kind of feature: it is about the share of a chip's spread that
 * lies along the line between two prototypes, so the more numbers move independently, the smaller. Measured on
 * simulated scenes as the best for the map: 0.18 for the spectral descriptor's embeddings, 0.38 for 12 atomic percents,
 * 0.25 for spectra in bins of the resolution (shares.h). */
struct fly_tau_prior {
    double tau;    /* > 0 */
    double weight; /* nats an octave squared, default 2; 0: the support chips alone */
};
enum fly_feature_kind { FLY_KIND_EMBEDDING, FLY_KIND_COMPOSITION, FLY_KIND_SPECTRUM };
struct fly_tau_prior fly_tau_prior(enum fly_feature_kind kind);

enum fly_calibration_state {
    FLY_CALIBRATION_NONE = 0, /* no class counts: no scores */
    FLY_CALIBRATION_BARE,     /* nothing tells what is far (one support chip, or all alike, and no noise): the
                               * nearest class has it all, equal ones share, nothing is unknown */
    FLY_CALIBRATION_PRIOR,    /* tau is the prior's: one class, or one shot each */
    FLY_CALIBRATION_FITTED,
};

struct fly_calibration {
    int32_t n_classes;
    enum fly_calibration_state state;
    double scatter;                        /* pooled */
    double class_scatter[FLY_CLASSES_MAX]; /* of a class without chips: the pooled one */
    double width[FLY_CLASSES_MAX];         /* > 0 */
    double doubt[FLY_CLASSES_MAX];         /* NaN: the class does not count */
    double tau;
    int32_t left_out;    /* support chips that could be left out: theirs is a class of two or more here */
    int32_t mistaken;    /* of them, nearer to another class */
    double nll;          /* their mean -log score at tau; NaN without */
    double nll_prior;    /* the same at the prior's tau */
    struct fly_unknown unknown;
    double *ratio;       /* (FLY_LEFT_OUT_MAX, FLY_CLASSES_MAX) of those left out; a row of NaN: could not be */
};

size_t fly_calibration_need(void);
void fly_calibration_init(struct fly_calibration *calibration, struct fly_arena *arena);

/* Calibrate prototypes just made of these features. measured (K) as for fly_prototypes_make. noise (K) >= 0,
 * finite for support chips that are measured; NULL: none is known, and it counts as scatter. */
void fly_calibrate(struct fly_calibration *calibration, const struct fly_tau_prior *prior,
                   const struct fly_prototypes *prototypes, const struct fly_support *support,
                   const struct fly_features *features, const double *noise, const uint8_t *measured,
                   const struct fly_left_out *left);

/* Chips to be scored scatter by so much more, squared, than the support chips did (a longer look at those): scatter and
 * width are theirs from then on. Of features without known noise. What was learned by leaving out stands: support chips were compared with their own. */
void fly_calibration_widen(struct fly_calibration *calibration, double scatter);

/* Ratios (C) of a chip from its distances (C, fly_fewshot_distances) and its noise; INFINITY: all are 1. */
void fly_calibrated_ratios(const struct fly_calibration *calibration, const double *d, double noise,
                           double *ratio);

/* How far a ratio to class c counts: scores are softmax(-this / tau). */
static inline double fly_calibrated_distance(const struct fly_calibration *calibration, int32_t c, double ratio)
{
    return log(calibration->width[c] * (1.0 + ratio));
}

/* Scores (C) from ratios; sum to 1 unless no class counts. */
void fly_calibrated_scores(const struct fly_calibration *calibration, const double *ratio, double *score);

/* The class of the highest score (lowest on ties), FLY_LABEL_UNKNOWN, or FLY_LABEL_TOO_LITTLE when no class counts.
 * unknown: the calibration's, or the joint one (weights.h). confidence: the label's score; where one class counts,
 * which has nothing to be weighed against, fly_unknown_known; NaN for a label below 0. */
int32_t fly_calibrated_label(const struct fly_unknown *unknown, const double *ratio, const double *score,
                             int32_t n_classes, double *confidence);

#endif
