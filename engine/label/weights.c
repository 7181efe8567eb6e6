#include "engine/label/weights.h"

#include <math.h>

static const double evidence_of_two = 1.25, prior_strength = 16.0;

/* What softmax takes, from distances (fly_calibrated_distance) over their tau in both; a class that either lacks is
 * NaN. An infinite one without weight says nothing. */
static double joint_distance(const double weight[2], double evidence, double a, double b)
{
    double of_a = weight[0] > 0.0 ? weight[0] * a : 0.0, of_b = weight[1] > 0.0 ? weight[1] * b : 0.0;

    return isnan(a) || isnan(b) ? NAN : evidence * (of_a + of_b);
}

static void over_tau(const struct fly_calibration *cal, const double *ratio, double *distance)
{
    for (int32_t c = 0; c < cal->n_classes; c++)
        distance[c] = fly_calibrated_distance(cal, c, ratio[c]) / cal->tau;
}

/* nll (n): mean -log score of those left out at each pair of weights; NaN without. */
static void left_out_nlls(const double (*weight)[2], int n, const struct fly_joint *joint,
                          const struct fly_calibration *a, const struct fly_calibration *b,
                          const struct fly_left_out *left, double *nll)
{
    for (int w = 0; w < n; w++)
        nll[w] = 0.0;
    for (int32_t i = 0; i < left->n; i++) {
        const double *ra = a->ratio + (size_t)i * FLY_CLASSES_MAX, *rb = b->ratio + (size_t)i * FLY_CLASSES_MAX;
        double da[FLY_CLASSES_MAX], db[FLY_CLASSES_MAX], distance[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];
        int32_t own = left->class_of[i];

        if (isnan(ra[own]) || isnan(rb[own]))
            continue;
        over_tau(a, ra, da);
        over_tau(b, rb, db);
        for (int w = 0; w < n; w++) {
            for (int32_t c = 0; c < a->n_classes; c++)
                distance[c] = joint_distance(weight[w], joint->evidence, da[c], db[c]);
            fly_fewshot_scores(distance, a->n_classes, 1.0, score);
            nll[w] -= log(fmax(score[own], 0x1p-52));
        }
    }
    for (int w = 0; w < n; w++)
        nll[w] /= joint->left_out;
}

/* Of one modality alone, without the evidence of two. */
static double nll_alone(const struct fly_joint *joint, int which, const struct fly_calibration *a,
                        const struct fly_calibration *b, const struct fly_left_out *left)
{
    const double weight[1][2] = {{which == 0, which == 1}};
    struct fly_joint alone = {.evidence = 1.0, .left_out = joint->left_out};
    double nll;

    left_out_nlls(weight, 1, &alone, a, b, left, &nll);
    return nll;
}

/* KL divergence of (w, 1 - w) from (1/2, 1/2). */
static double divergence(double w)
{
    return (w > 0.0 ? w * log(2.0 * w) : 0.0) + (w < 1.0 ? (1.0 - w) * log(2.0 * (1.0 - w)) : 0.0);
}

static void learn(struct fly_joint *joint, const struct fly_calibration *a, const struct fly_calibration *b,
                  const struct fly_left_out *left)
{
    double weight[FLY_WEIGHT_STEPS + 1][2], nll[FLY_WEIGHT_STEPS + 1], least = INFINITY, far = INFINITY;

    for (int i = 0; i <= FLY_WEIGHT_STEPS; i++) {
        weight[i][0] = (double)i / FLY_WEIGHT_STEPS;
        weight[i][1] = (double)(FLY_WEIGHT_STEPS - i) / FLY_WEIGHT_STEPS;
    }
    left_out_nlls(weight, FLY_WEIGHT_STEPS + 1, joint, a, b, left, nll);
    for (int i = 0; i <= FLY_WEIGHT_STEPS; i++) {
        double cost = joint->left_out * nll[i] + prior_strength * divergence(weight[i][0]);
        double off = fabs(weight[i][0] - 0.5);

        /* Of equal ones the most even, and then the modality named first the lighter. */
        if (cost < least || (cost == least && off < far)) {
            least = cost;
            far = off;
            joint->weight[0] = weight[i][0];
            joint->weight[1] = weight[i][1];
        }
    }
    joint->reason = FLY_WEIGHTS_LEARNED;
}

void fly_joint_fit(struct fly_joint *joint, const struct fly_calibration *a, const struct fly_calibration *b,
                   const struct fly_left_out *left, const double *given)
{
    static const double equal[1][2] = {{0.5, 0.5}};
    struct fly_unknown_prior prior = fly_unknown_prior_joint();
    double own[FLY_LEFT_OUT_MAX];
    int has_a = a->state != FLY_CALIBRATION_NONE, has_b = b->state != FLY_CALIBRATION_NONE;

    FLY_ASSERT(a->n_classes == b->n_classes);
    *joint = (struct fly_joint){.weight = {0.5, 0.5}, .evidence = evidence_of_two, .reason = FLY_WEIGHTS_EQUAL};
    for (int32_t i = 0; i < left->n; i++) {
        size_t at = (size_t)i * FLY_CLASSES_MAX + (size_t)left->class_of[i];

        own[i] = 0.5 * (a->ratio[at] + b->ratio[at]);
        joint->left_out += !isnan(own[i]);
    }
    left_out_nlls(equal, 1, joint, a, b, left, &joint->nll_equal);
    joint->nll_alone[0] = nll_alone(joint, 0, a, b, left);
    joint->nll_alone[1] = nll_alone(joint, 1, a, b, left);
    if (given) {
        FLY_ASSERT(given[0] >= 0.0 && given[1] >= 0.0 && given[0] + given[1] > 0.0);
        joint->weight[0] = given[0] / (given[0] + given[1]);
        joint->weight[1] = given[1] / (given[0] + given[1]);
        joint->reason = FLY_WEIGHTS_GIVEN;
    } else if (has_a != has_b) {
        joint->weight[0] = has_a;
        joint->weight[1] = has_b;
        joint->reason = FLY_WEIGHTS_ALONE;
    } else if (joint->left_out) {
        learn(joint, a, b, left);
    }
    left_out_nlls((const double (*)[2])&joint->weight, 1, joint, a, b, left, &joint->nll);
    fly_unknown_fit(&joint->unknown, own, left->n, &prior);
    if (a->state <= FLY_CALIBRATION_BARE || b->state <= FLY_CALIBRATION_BARE)
        joint->unknown.threshold = INFINITY;
}

static int speaks(const double *ratio, int32_t n_classes)
{
    for (int32_t c = 0; c < n_classes; c++)
        if (!isnan(ratio[c]))
            return 1;
    return 0;
}

int32_t fly_joint_scores(const struct fly_joint *joint, const struct fly_calibration *a, const double *ratio_a,
                         const struct fly_calibration *b, const double *ratio_b, double *score, double *ratio)
{
    int32_t n = a->n_classes;
    int has_a = speaks(ratio_a, n), has_b = speaks(ratio_b, n);
    double da[FLY_CLASSES_MAX], db[FLY_CLASSES_MAX], distance[FLY_CLASSES_MAX];

    if (!has_a || !has_b) {
        const double *only = has_b ? ratio_b : ratio_a;

        fly_calibrated_scores(has_b ? b : a, only, score);
        for (int32_t c = 0; c < n; c++)
            ratio[c] = only[c];
        return has_a + has_b;
    }
    over_tau(a, ratio_a, da);
    over_tau(b, ratio_b, db);
    for (int32_t c = 0; c < n; c++)
        distance[c] = joint_distance(joint->weight, joint->evidence, da[c], db[c]);
    fly_fewshot_scores(distance, n, 1.0, score);
    for (int32_t c = 0; c < n; c++)
        ratio[c] = 0.5 * (ratio_a[c] + ratio_b[c]);
    return 2;
}
