/* engine/label/unknown.h: chips that are like none of the classes.
 *
 * A chip's ratio to a class is its squared distance to the prototype over what a chip of that class is expected
 * to have (calibrate.h): 1 or so for a member, whatever the feature and the dose. A member's ratio is a sum of
 * many squares, so its cube root is nearly normal (Wilson and Hilferty 1931); the support chips' own, each
 * against prototypes made without it, tell mean and spread of that root, drawn towards what other specimens
 * have (a dozen numbers alone make a poor spread). A chip whose least ratio has a root more than 3 spreads
 * above the mean is unknown.
 *
 * Why not the bulk of unlabelled chips: the phase that nobody named may be a third of it and makes the spread
 * its own. On simulated scenes with a class left out that stands apart in its chemistry, median + 4 MAD of the
 * bulk's log ratio found 18 % of its chips; this rule finds 96 % and rejects 0.7 % of the pure known ones. And a label
 * does not hang on what other chips have measured.
 *
 * Spread is pooled over classes, and ratios know of a class's own scatter as far as its support chips tell of it: of
 * a cap of many grains seen by the image alone up to 8 % of the pure chips of a map have been rejected (0.4 % on
 * average). Naming some of those chips widens it.
 *
 * A guarantee there is none: four chips a class allow no statement at the 5 % level.
 *
 * Threads  pure functions.
 */
#ifndef FLY_LABEL_UNKNOWN_H
#define FLY_LABEL_UNKNOWN_H

#include <stdint.h>

/* What roots of ratios look like before any support chip has spoken, and how many chips that knowledge is worth.
 * Measured on simulated scenes: 0.85 +- 0.28 in single modalities, 0.9 +- 0.22 for the mean of two. */
struct fly_unknown_prior {
    double mean, spread;
    double mean_weight, spread_weight; /* in chips */
};
struct fly_unknown_prior fly_unknown_prior_single(void);
struct fly_unknown_prior fly_unknown_prior_joint(void);

struct fly_unknown {
    double mean, spread; /* of the cube root of a member's ratio */
    double threshold;    /* a ratio above it is unknown; INFINITY: nothing is (nothing tells what is far) */
    int32_t n;           /* support chips that spoke */
};

/* ratio (n): of support chips to their own classes, without themselves; what is not finite is left out. n may
 * be 0. */
void fly_unknown_fit(struct fly_unknown *unknown, const double *ratio, int32_t n,
                     const struct fly_unknown_prior *prior);

/* How much of a member the chip is by this rule: 0.999 at the mean root, 0.5 at the threshold, 0 far out, along a
 * normal. NaN with an infinite threshold. It is no posterior (nothing tells how common unknown chips are), but what
 * the confidence of a map of one class can rest on. */
double fly_unknown_known(const struct fly_unknown *unknown, double ratio);

/* Connected regions (up, down, left, right) of chips whose label is `label`, of at least min_chips: a phase that
 * nobody named yet, rather than chips of a boundary. */
struct fly_region_found {
    int32_t first;  /* chip of the lowest index */
    int32_t chips;
    int32_t row0, col0, row1, col1; /* bounding box, row1 and col1 the last */
};

enum { FLY_NOVEL_CHIPS_MIN = 4 };

/* region (rows * cols): number of the region or -1; numbered by first chip. found holds the first cap of
 * them; scratch (rows * cols). Returns how many there are, cap or no. */
int32_t fly_unknown_regions(const int32_t *labels, int32_t rows, int32_t cols, int32_t label, int32_t min_chips,
                            int32_t *region, struct fly_region_found *found, int32_t cap, int32_t *scratch);

#endif
