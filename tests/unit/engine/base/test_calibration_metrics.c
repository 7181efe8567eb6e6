#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/base/calibration_metrics.h"
#include "engine/base/rng.h"

enum { N = 200, C = 3 };

struct sample {
    double p[N * C], score[N], confidence[N];
    int32_t truth[N], guess[N];
    uint8_t positive[N], right[N];
};

static struct sample draw(void)
{
    struct fly_rng rng = {42};
    struct sample s = {0};

    for (int i = 0; i < N; i++) {
        double *p = s.p + i * C, sum;
        int best = 0;

        for (int c = 0; c < C; c++)
            p[c] = fly_rng_uniform(&rng) + 0.01;
        sum = p[0] + p[1] + p[2];
        for (int c = 0; c < C; c++)
            p[c] /= sum;
        s.truth[i] = (int32_t)fly_rng_below(&rng, C);
        s.guess[i] = (int32_t)fly_rng_below(&rng, C);
        s.score[i] = (double)fly_rng_below(&rng, 20) * 0.05;
        s.positive[i] = fly_rng_below(&rng, 3) == 0;
        for (int c = 1; c < C; c++)
            best = p[c] > p[best] ? c : best;
        s.confidence[i] = p[best];
        s.right[i] = best == s.truth[i];
    }
    return s;
}

static void near(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-12 * (1.0 + fabs(want)));
}

/* scikit-learn 1.2.1 on the same numbers: log_loss, roc_auc_score (scores tie: there are 20), f1_score with average
 * macro; Brier's and the calibration error by numpy. */
static void numbers_are_scikit_learns(void **state)
{
    struct sample s = draw();

    (void)state;
    near(fly_calibration_nll(s.p, s.truth, N, C), 1.2343675183550287);
    near(fly_calibration_brier(s.p, s.truth, N, C), 0.7273494487311143);
    near(fly_calibration_auroc(s.score, s.positive, N), 0.5310945273631841);
    near(fly_calibration_macro_f1(s.truth, s.guess, N, C), 0.2847450617987248);
    near(fly_calibration_ece(s.confidence, s.right, N, 10), 0.166334092743339);
    near(fly_calibration_ece(s.confidence, s.right, N, 7), 0.15443798986458873);
}

static void two_classes_have_twice_the_usual_brier(void **state)
{
    struct sample s = draw();
    double p[2 * N];
    int32_t truth[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        p[2 * i] = 1.0 - s.p[i * C];
        p[2 * i + 1] = s.p[i * C];
        truth[i] = s.positive[i];
    }
    near(fly_calibration_brier(p, truth, N, 2), 2.0 * 0.24996043613933508);
}

static void a_promise_kept_costs_nothing(void **state)
{
    double confidence[100];
    uint8_t right[100];

    (void)state;
    /* Half are said to be right by half and are; half are certain and right. */
    for (int i = 0; i < 100; i++) {
        confidence[i] = i < 50 ? 0.5 : 1.0;
        right[i] = i < 50 ? (uint8_t)(i % 2) : 1;
    }
    near(fly_calibration_ece(confidence, right, 100, 10), 0.0);
    /* 10 in a bin: always certain and right in 7 of 10 is off by 0.3. */
    for (int i = 0; i < 100; i++) {
        confidence[i] = 1.0;
        right[i] = i % 10 < 7;
    }
    near(fly_calibration_ece(confidence, right, 100, 10), 0.3);
    near(fly_calibration_ece(confidence, right, 100, 1), 0.3);
}

static void auroc_counts_pairs(void **state)
{
    struct sample s = draw();
    double above = 0.0, pairs = 0.0;

    (void)state;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (s.positive[i] && !s.positive[j]) {
                pairs++;
                above += s.score[i] > s.score[j] ? 1.0 : s.score[i] == s.score[j] ? 0.5 : 0.0;
            }
    near(fly_calibration_auroc(s.score, s.positive, N), above / pairs);
    for (int i = 0; i < N; i++)
        s.score[i] = s.positive[i];
    near(fly_calibration_auroc(s.score, s.positive, N), 1.0);
}

static void nothing_to_judge_is_not_a_number(void **state)
{
    const double p[2] = {0.0, 1.0}, infinite[2] = {INFINITY, 1.0};
    const int32_t first = 0, unknown[2] = {-2, 1}, truth[2] = {0, 1};
    const uint8_t all[2] = {1, 1}, mixed[2] = {1, 0};

    (void)state;
    assert_true(isnan(fly_calibration_ece(p, all, 0, 10)));
    assert_true(isnan(fly_calibration_nll(p, &first, 0, 2)));
    assert_true(isnan(fly_calibration_brier(p, &first, 0, 2)));
    assert_true(isnan(fly_calibration_auroc(p, all, 2)));
    assert_true(isnan(fly_calibration_macro_f1(&first, &first, 0, 2)));
    near(fly_calibration_nll(p, &first, 1, 2), 52.0 * log(2.0));
    near(fly_calibration_auroc(infinite, mixed, 2), 1.0);
    /* Class 0 is never found, class 1 always. */
    near(fly_calibration_macro_f1(truth, unknown, 2, 2), 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_scikit_learns),
        cmocka_unit_test(two_classes_have_twice_the_usual_brier),
        cmocka_unit_test(a_promise_kept_costs_nothing),
        cmocka_unit_test(auroc_counts_pairs),
        cmocka_unit_test(nothing_to_judge_is_not_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
