#include "engine/label/weights.h"

#include <math.h>

static const double evidence_of_two = 1.25, prior_strength = 16.0;

/* -evidence sum w sqrt(ratio) / tau as a distance of softmax; a class that either lacks is NaN. */
static void joint_distance(const double weight[2], double evidence, const struct fly_calibration *a,
                           const double *ratio_a, const struct fly_calibration *b, const double *ratio_b,
                           double *distance)
{
    for (int32_t c = 0; c < a->n_classes; c++) {
        double of_a = weight[0] > 0.0 ? weight[0] * sqrt(ratio_a[c]) / a->tau : 0.0;
        double of_b = weight[1] > 0.0 ? weight[1] * sqrt(ratio_b[c]) / b->tau : 0.0;

        distance[c] = isnan(ratio_a[c]) || isnan(ratio_b[c]) ? NAN : evidence * (of_a + of_b);
    }
}

static double left_out_nll(const double weight[2], double evidence, const struct fly_calibration *a,
                           const struct fly_calibration *b, const struct fly_left_out *left)
{
    double sum = 0.0;
    int32_t n = 0;

    for (int32_t i = 0; i < left->n; i++) {
        const double *ra = a->ratio + (size_t)i * FLY_CLASSES_MAX, *rb = b->ratio + (size_t)i * FLY_CLASSES_MAX;
        double distance[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];
        int32_t c = left->class_of[i];

        if (isnan(ra[c]) || isnan(rb[c]))
            continue;
        joint_distance(weight, evidence, a, ra, b, rb, distance);
        fly_fewshot_scores(distance, a->n_classes, 1.0, score);
        sum -= log(fmax(score[c], 0x1p-52));
        n++;
    }
    return n ? sum / n : NAN;
}

/* KL divergence of (w, 1 - w) from (1/2, 1/2). */
static double divergence(double w)
{
    return (w > 0.0 ? w * log(2.0 * w) : 0.0) + (w < 1.0 ? (1.0 - w) * log(2.0 * (1.0 - w)) : 0.0);
}

static void learn(struct fly_joint *joint, const struct fly_calibration *a, const struct fly_calibration *b,
                  const struct fly_left_out *left)
{
    double least = INFINITY, far = INFINITY;

    for (int step = 0; step <= FLY_WEIGHT_STEPS; step++) {
        double w[2] = {(double)step / FLY_WEIGHT_STEPS, (double)(FLY_WEIGHT_STEPS - step) / FLY_WEIGHT_STEPS};
        double nll = left_out_nll(w, joint->evidence, a, b, left);
        double cost = joint->left_out * nll + prior_strength * divergence(w[0]);
        double off = fabs(w[0] - 0.5);

        /* Of equal ones the most even, and then the modality named first the lighter. */
        if (cost < least || (cost == least && off < far)) {
            least = cost;
            far = off;
            joint->weight[0] = w[0];
            joint->weight[1] = w[1];
        }
    }
    joint->reason = FLY_WEIGHTS_LEARNED;
}

void fly_joint_fit(struct fly_joint *joint, const struct fly_calibration *a, const struct fly_calibration *b,
                   const struct fly_left_out *left, const double *given)
{
    static const double equal[2] = {0.5, 0.5}, first[2] = {1.0, 0.0}, second[2] = {0.0, 1.0};
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
    joint->nll_equal = left_out_nll(equal, joint->evidence, a, b, left);
    joint->nll_alone[0] = left_out_nll(first, 1.0, a, b, left);
    joint->nll_alone[1] = left_out_nll(second, 1.0, a, b, left);
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
    joint->nll = left_out_nll(joint->weight, joint->evidence, a, b, left);
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
    double distance[FLY_CLASSES_MAX];

    if (!has_a || !has_b) {
        const double *only = has_b ? ratio_b : ratio_a;

        fly_calibrated_scores(has_b ? b : a, only, score);
        for (int32_t c = 0; c < n; c++)
            ratio[c] = only[c];
        return has_a + has_b;
    }
    joint_distance(joint->weight, joint->evidence, a, ratio_a, b, ratio_b, distance);
    fly_fewshot_scores(distance, n, 1.0, score);
    for (int32_t c = 0; c < n; c++)
        ratio[c] = 0.5 * (ratio_a[c] + ratio_b[c]);
    return 2;
}
