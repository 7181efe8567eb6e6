/* engine/label/fewshot.h: which class's prototype is a chip nearest to.
 *
 * Golden definition 8, the paper's few-shot: prototype = mean of the class's support chips, d = the
 * Euclidean distance to it, score = softmax(-d / temperature) over the classes, label = the highest
 * score, ties to the lowest class. The ensemble of modalities is the weighted mean of their scores.
 * All in double, summed in one fixed order: a score depends on the chip and the prototypes alone.
 *
 * A class counts in a modality once one of its support chips is measured there. A class that does not
 * count has distance NaN and score 0.
 *
 * Shapes   features (K, D) float, uint32 or double; prototypes (C, D); distances and scores (C) for each chip.
 * Threads  functions of different chips may run at once.
 */
#ifndef FLY_LABEL_FEWSHOT_H
#define FLY_LABEL_FEWSHOT_H

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/label/support.h"

/* What the wire calls labels below 0. */
enum fly_label {
    FLY_LABEL_PENDING = -1, /* not measured yet */
    FLY_LABEL_UNKNOWN = -2, /* rejected */
    FLY_LABEL_TOO_LITTLE = -3, /* too few counts, or no class to compare with */
    FLY_LABEL_MINOR = -4,   /* a community of fewer than 3 chips */
};

enum fly_feature_type { FLY_FEATURE_F32, FLY_FEATURE_U32, FLY_FEATURE_F64 };

/* Somebody else's rows; valid while they stand. */
struct fly_features {
    const void *rows; /* (K, D) */
    int32_t width;    /* D */
    enum fly_feature_type type;
};

struct fly_prototypes {
    double *mean; /* (FLY_CLASSES_MAX, D) */
    double *fresh;                   /* (FLY_CLASSES_MAX, D) scratch */
    const void *rows;                /* of the features they were made of; compared, never read */
    int32_t width;                   /* D of those */
    int32_t width_cap;               /* as initialised: the most that D may be */
    int32_t n_classes;               /* ids 0 .. n_classes-1 are looked at */
    int counts[FLY_CLASSES_MAX];     /* 1: the class has a prototype here */
    int moved[FLY_CLASSES_MAX];      /* 1: it is not, to the bit, what it was before it was last made */
    int32_t n_counting;
};

size_t fly_prototypes_need(int32_t width);
void fly_prototypes_init(struct fly_prototypes *prototypes, int32_t width, struct fly_arena *arena);

/* Means of the support chips that `measured` (K bytes, 0 or 1) says are there, chips in index order. Tells in
 * `moved` which differ; made of other rows than before, all do. */
void fly_prototypes_make(struct fly_prototypes *prototypes, const struct fly_support *support,
                         const struct fly_features *features, const uint8_t *measured);

/* d[c] = |x - mean_c|, from the explicit differences; NaN for a class that does not count. */
void fly_fewshot_distances(const struct fly_prototypes *prototypes, const struct fly_features *features,
                           int32_t chip, double *d);

/* The same of a chip whose features stand as they were when d (C) was filled with its distances to what the
 * prototypes were before they were last made: only to those that moved since. The other numbers stay, and
 * are what fly_fewshot_distances would give, to the bit. */
void fly_fewshot_distances_moved(const struct fly_prototypes *prototypes, const struct fly_features *features,
                                 int32_t chip, double *d);

/* The plain twin of fly_fewshot_distances: one running sum. */
void fly_fewshot_distances_ref(const struct fly_prototypes *prototypes,
                               const struct fly_features *features, int32_t chip, double *d);

/* score[c] = softmax(-d / temperature), 0 where d is NaN. temperature > 0. */
void fly_fewshot_scores(const double *d, int32_t n_classes, double temperature, double *score);

/* Weighted mean of two modalities' scores; weights >= 0, not both 0. */
void fly_fewshot_ensemble(const double *a, const double *b, int32_t n_classes, const double weights[2],
                          double *score);

/* The class of the highest score, lowest on ties; FLY_LABEL_TOO_LITTLE when all are 0. */
int32_t fly_fewshot_label(const double *score, int32_t n_classes);

#endif
