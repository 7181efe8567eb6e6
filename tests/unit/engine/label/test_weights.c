#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/label/weights.h"
#include "tests/support/label_trial.h"

enum { CHIPS = 400, WIDTH = 8, CLASSES = 4 };

static void near(double got, double want, double within)
{
    assert_true(fabs(got - want) <= within * (1.0 + fabs(want)));
}

/* Chips of four classes in two modalities, each with what parts the classes there. */
struct rig {
    float x[2][CHIPS * WIDTH];
    double noise[CHIPS];
    int32_t truth[CHIPS];
    float purity[CHIPS];
    uint8_t speaks[2][CHIPS];
    struct label_data data;
};

static void rig_fill(struct rig *r, uint64_t seed, double apart_a, double apart_b)
{
    const double apart[2] = {apart_a, apart_b};
    struct fly_rng rng = {seed};

    memset(r->speaks, 1, sizeof r->speaks);
    for (int32_t k = 0; k < CHIPS; k++) {
        r->truth[k] = k % CLASSES;
        r->purity[k] = 1.0f;
        r->noise[k] = 1.0;
        for (int m = 0; m < 2; m++)
            for (int32_t i = 0; i < WIDTH; i++) {
                struct fly_rng mean = {(uint64_t)((m * CLASSES + k % CLASSES) * WIDTH + i)};

                r->x[m][k * WIDTH + i] = (float)(apart[m] * fly_rng_normal(&mean) + fly_rng_normal(&rng));
            }
    }
    r->data = (struct label_data){.chips = CHIPS, .n_classes = CLASSES, .truth = r->truth, .purity = r->purity};
    for (int m = 0; m < 2; m++) {
        r->data.features[m] = (struct fly_features){r->x[m], WIDTH, FLY_FEATURE_F32};
        r->data.speaks[m] = r->speaks[m];
        r->data.kind[m] = FLY_KIND_EMBEDDING;
    }
}

static void weights_lie_on_the_simplex_and_minimise_what_they_say(void **state)
{
    static struct rig r;

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct label_trial t;
        double least = INFINITY, cost = 0.0;

        rig_fill(&r, seed, 0.1 * (double)seed, 1.0);
        label_trial_open(&t, &r.data, 5, -1, seed);
        for (int32_t i = 0; i < t.left.n; i++) {
            double sum = 0.0, of[CLASSES];

            for (int32_t c = 0; c < CLASSES; c++) {
                size_t at = (size_t)i * FLY_CLASSES_MAX + (size_t)c;

                of[c] = 0.0;
                for (int m = 0; m < 2; m++)
                    of[c] -= 1.25 * 0.5 * log(t.cal[m].width[c] * (1.0 + t.cal[m].ratio[at])) / t.cal[m].tau;
            }
            for (int32_t c = 0; c < CLASSES; c++)
                sum += exp(of[c] - of[t.left.class_of[i]]);
            cost += log(sum) / t.left.n;
        }
        near(t.joint.nll_equal, cost, 1e-9);
        assert_int_equal(t.joint.reason, FLY_WEIGHTS_LEARNED);
        assert_int_equal(t.joint.left_out, 5 * CLASSES);
        assert_true(t.joint.weight[0] >= 0.0 && t.joint.weight[1] >= 0.0);
        assert_true(t.joint.weight[0] + t.joint.weight[1] == 1.0);
        for (int step = 0; step <= FLY_WEIGHT_STEPS; step++) {
            const double w[2] = {(double)step / FLY_WEIGHT_STEPS, 1.0 - (double)step / FLY_WEIGHT_STEPS};
            struct fly_joint given;

            fly_joint_fit(&given, &t.cal[0], &t.cal[1], &t.left, w);
            assert_int_equal(given.reason, FLY_WEIGHTS_GIVEN);
            cost = given.left_out * given.nll;
            for (int m = 0; m < 2; m++)
                cost += w[m] > 0.0 ? 16.0 * w[m] * log(2.0 * w[m]) : 0.0;
            least = fmin(least, cost);
            if (step == FLY_WEIGHT_STEPS / 2)
                near(given.nll, t.joint.nll_equal, 1e-12);
        }
        cost = t.joint.left_out * t.joint.nll;
        for (int m = 0; m < 2; m++)
            cost += t.joint.weight[m] > 0.0 ? 16.0 * t.joint.weight[m] * log(2.0 * t.joint.weight[m]) : 0.0;
        near(cost, least, 1e-9);
        label_trial_close(&t);
    }
}

static void changing_places_changes_the_weights_places(void **state)
{
    static struct rig r;
    struct label_trial t;
    struct fly_joint other;

    (void)state;
    rig_fill(&r, 31, 0.3, 1.2);
    label_trial_open(&t, &r.data, 6, -1, 1);
    fly_joint_fit(&other, &t.cal[1], &t.cal[0], &t.left, NULL);
    assert_true(t.joint.weight[1] > 0.5);
    near(other.weight[0], t.joint.weight[1], 1e-12);
    near(other.nll, t.joint.nll, 1e-12);
    near(other.nll_alone[0], t.joint.nll_alone[1], 1e-12);
    near(other.unknown.threshold, t.joint.unknown.threshold, 1e-12);
    label_trial_close(&t);
}

/* A modality that sees nothing loses weight, and costs the map little; of two as good neither does. */
static void a_blind_modality_is_listened_to_less(void **state)
{
    static struct rig r;
    double blind = 0.0, even = 0.0, loss = 0.0;
    enum { ROUNDS = 20 };

    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct label_trial t;

        rig_fill(&r, 100 + seed, 0.0, 1.2);
        label_trial_open(&t, &r.data, 8, -1, seed);
        blind += t.joint.weight[0] / ROUNDS;
        loss += (label_judge(&t, &r.data, t.p[TRIAL_EDS], 0.0).accuracy -
                 label_judge(&t, &r.data, t.p[TRIAL_JOINT], 0.0).accuracy) / ROUNDS;
        /* Never worse than equal weights by more than the hundredth promised. */
        assert_true(label_judge(&t, &r.data, t.p[TRIAL_JOINT], 0.0).accuracy >=
                    label_judge(&t, &r.data, t.even, 0.0).accuracy - 0.01);
        label_trial_close(&t);
        rig_fill(&r, 200 + seed, 0.8, 0.8);
        label_trial_open(&t, &r.data, 8, -1, seed);
        even += t.joint.weight[0] / ROUNDS;
        label_trial_close(&t);
    }
    assert_true(blind < 0.4);
    assert_true(fabs(even - 0.5) < 0.05);
    assert_true(loss < 0.02);
}

static void both_sure_are_surer_than_each(void **state)
{
    struct fly_calibration a = {.n_classes = 2, .state = FLY_CALIBRATION_FITTED, .tau = 0.5, .width = {1.0, 1.0}};
    struct fly_joint joint = {.weight = {0.5, 0.5}, .evidence = 1.25};
    const double ratio[2] = {1.0, 4.0}, none[2] = {NAN, NAN}, half[2] = {1.0, NAN};
    double score[FLY_CLASSES_MAX], mean[FLY_CLASSES_MAX], alone[FLY_CLASSES_MAX];

    (void)state;
    /* Odds of 1 + 4 to 1 + 1, to the power of 1.25 / 0.5 where each alone has 1 / 0.5. */
    assert_int_equal(fly_joint_scores(&joint, &a, ratio, &a, ratio, score, mean), 2);
    near(score[0], 1.0 / (1.0 + pow(2.5, -2.5)), 1e-14);
    assert_true(mean[0] == 1.0 && mean[1] == 4.0);
    fly_calibrated_scores(&a, ratio, alone);
    near(alone[0], 1.0 / (1.0 + pow(2.5, -2.0)), 1e-14);
    /* One that is silent leaves the other's own word. */
    assert_int_equal(fly_joint_scores(&joint, &a, none, &a, ratio, score, mean), 1);
    assert_true(score[0] == alone[0] && mean[1] == 4.0);
    assert_int_equal(fly_joint_scores(&joint, &a, ratio, &a, none, score, mean), 1);
    assert_true(score[0] == alone[0]);
    assert_int_equal(fly_joint_scores(&joint, &a, none, &a, none, score, mean), 0);
    assert_true(score[0] == 0.0 && score[1] == 0.0);
    /* A class must count in both. */
    assert_int_equal(fly_joint_scores(&joint, &a, ratio, &a, half, score, mean), 2);
    assert_true(score[0] == 1.0 && score[1] == 0.0 && isnan(mean[1]));
}

static void an_infinite_ratio_without_weight_is_no_nan(void **state)
{
    struct fly_calibration a = {.n_classes = 2, .state = FLY_CALIBRATION_BARE, .tau = 0.5, .width = {1.0, 1.0}};
    struct fly_joint joint = {.weight = {0.0, 1.0}, .evidence = 1.25};
    const double bare[2] = {1.0, INFINITY}, ratio[2] = {4.0, 1.0};
    double score[FLY_CLASSES_MAX], mean[FLY_CLASSES_MAX];

    (void)state;
    assert_int_equal(fly_joint_scores(&joint, &a, bare, &a, ratio, score, mean), 2);
    near(score[1], 1.0 / (1.0 + pow(2.5, -2.5)), 1e-14);
}

static void without_learning_there_are_reasons(void **state)
{
    static struct rig r;
    struct label_trial t;

    (void)state;
    rig_fill(&r, 7, 1.0, 1.0);
    label_trial_open(&t, &r.data, 1, -1, 1);
    assert_int_equal(t.joint.reason, FLY_WEIGHTS_EQUAL);
    assert_true(t.joint.weight[0] == 0.5 && isnan(t.joint.nll));
    label_trial_close(&t);
    memset(r.speaks[1], 0, sizeof r.speaks[1]);
    label_trial_open(&t, &r.data, 4, -1, 1);
    assert_int_equal(t.joint.left_out, 0); /* nobody speaks in both, nobody was picked */
    label_trial_close(&t);
    memset(r.speaks[1], 1, sizeof r.speaks[1]);
    label_trial_open(&t, &r.data, 4, -1, 1);
    t.cal[1].state = FLY_CALIBRATION_NONE;
    fly_joint_fit(&t.joint, &t.cal[0], &t.cal[1], &t.left, NULL);
    assert_int_equal(t.joint.reason, FLY_WEIGHTS_ALONE);
    assert_true(t.joint.weight[0] == 1.0 && t.joint.weight[1] == 0.0);
    assert_true(isinf(t.joint.unknown.threshold));
    label_trial_close(&t);
}

/* The paper's own weighting (55 % X-rays, 45 % image) with raw counts: distances of hundreds saturate the softmax,
 * and the heavier modality decides alone. Calibrated, it does not. */
static void the_papers_weights_are_a_priority_rule(void **state)
{
    static struct rig r;
    static double counts[CHIPS * WIDTH];
    const double paper[2] = {0.45, 0.55};
    int overruled = 0, disagree = 0, judged = 0, saturated = 0;
    struct label_trial t;

    (void)state;
    rig_fill(&r, 9, 1.0, 0.6);
    for (int32_t i = 0; i < CHIPS * WIDTH; i++)
        counts[i] = 500.0 * (4.0 + (double)r.x[1][i]);
    r.data.features[1] = (struct fly_features){counts, WIDTH, FLY_FEATURE_F64};
    for (int32_t i = 0; i < CHIPS * WIDTH; i++)
        r.x[0][i] *= 50.0f; /* as embeddings of a network are */
    label_trial_open(&t, &r.data, 4, -1, 5);
    fly_joint_fit(&t.joint, &t.cal[0], &t.cal[1], &t.left, paper);
    for (int32_t k = 0; k < CHIPS; k++) {
        const double *a = t.plain[0] + k * CLASSES, *b = t.plain[1] + k * CLASSES;
        double score[CLASSES], d[FLY_CLASSES_MAX], ratio[2][FLY_CLASSES_MAX], joint[FLY_CLASSES_MAX];
        double mean[FLY_CLASSES_MAX];
        int32_t image = fly_fewshot_label(a, CLASSES), rays = fly_fewshot_label(b, CLASSES);

        if (!t.judged[k])
            continue;
        judged++;
        if (b[rays] < 1.0 - 1e-6)
            continue;
        saturated++;
        fly_fewshot_ensemble(a, b, CLASSES, paper, score);
        assert_int_equal(fly_fewshot_label(score, CLASSES), rays);
        for (int m = 0; m < 2; m++) {
            fly_fewshot_distances(&t.prototypes[m], &r.data.features[m], k, d);
            fly_calibrated_ratios(&t.cal[m], d, 0.0, ratio[m]);
        }
        fly_joint_scores(&t.joint, &t.cal[0], ratio[0], &t.cal[1], ratio[1], joint, mean);
        disagree += image != rays;
        overruled += image != rays && fly_fewshot_label(joint, CLASSES) != rays;
    }
    assert_true(saturated > judged * 9 / 10);
    assert_true(disagree > 40);
    assert_true(overruled > disagree / 4);
    label_trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_lie_on_the_simplex_and_minimise_what_they_say),
        cmocka_unit_test(changing_places_changes_the_weights_places),
        cmocka_unit_test(a_blind_modality_is_listened_to_less),
        cmocka_unit_test(both_sure_are_surer_than_each),
        cmocka_unit_test(an_infinite_ratio_without_weight_is_no_nan),
        cmocka_unit_test(without_learning_there_are_reasons),
        cmocka_unit_test(the_papers_weights_are_a_priority_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
