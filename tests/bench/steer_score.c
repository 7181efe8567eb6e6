#include "tests/bench/steer_score.h"

#include <string.h>

#include "engine/base/agreement.h"
#include "tests/bench/measure.h"

enum { ITERATIONS = 3, RECALL_MIN = 5 };
static const double BETA = 0.8;

const int32_t *steer_labels(const struct steer_rig *rig)
{
    struct fly_map_view view;

    fly_engine_map(rig->engine, FLY_FEWSHOT, FLY_ENSEMBLE, &view);
    return view.labels;
}

static void normalise(double *q, int32_t classes)
{
    double sum = 0.0;

    for (int32_t c = 0; c < classes; c++)
        sum += q[c];
    for (int32_t c = 0; c < classes && sum > 0.0; c++)
        q[c] /= sum;
}

void steer_smooth(double *q, const double *p, int32_t stride, int32_t rows, int32_t cols, int32_t classes, double beta,
                  int32_t iterations)
{
    static const int32_t step[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    size_t n = (size_t)rows * (size_t)cols * (size_t)classes;
    double *old = bench_need(n, sizeof *old);

    for (int32_t k = 0; k < rows * cols; k++)
        memcpy(q + k * classes, p + (size_t)k * (size_t)stride, (size_t)classes * sizeof *q);
    for (int32_t round = 0; round < iterations; round++) {
        memcpy(old, q, n * sizeof *q);
        for (int32_t k = 0; k < rows * cols; k++) {
            for (int32_t c = 0; c < classes; c++) {
                double around = 0.0;

                for (int i = 0; i < 4; i++) {
                    int32_t y = k / cols + step[i][0], x = k % cols + step[i][1];

                    if (y >= 0 && y < rows && x >= 0 && x < cols)
                        around += old[(y * cols + x) * classes + c];
                }
                q[k * classes + c] = p[(size_t)k * (size_t)stride + (size_t)c] * exp(beta * around);
            }
            normalise(q + k * classes, classes);
        }
    }
    free(old);
}

static int right(const struct steer_rig *rig, int32_t chip, int32_t label)
{
    return label == rig->class_of[rig->phase[chip]];
}

static int32_t best_of(const double *score, int32_t classes)
{
    int32_t best = 0;

    for (int32_t c = 1; c < classes; c++)
        best = score[c] > score[best] ? c : best;
    return best;
}

static void other_labels(const struct steer_rig *rig, const int32_t *labels, struct steer_look *look)
{
    int32_t classes = fly_engine_support(rig->engine)->n_classes, judged = 0, smoothed = 0, likeliest = 0;
    double *q = bench_need((size_t)rig->chips * (size_t)classes, sizeof *q);
    const double *scores = fly_engine_scores(rig->engine, FLY_ENSEMBLE);

    steer_smooth(q, scores, FLY_CLASSES_MAX, rig->config.geometry.rows, rig->config.geometry.cols, classes, BETA,
                 ITERATIONS);
    for (int32_t k = 0; k < rig->chips; k++)
        if (!rig->taught[k]) {
            judged++;
            likeliest += right(rig, k, best_of(scores + (size_t)k * FLY_CLASSES_MAX, classes));
            smoothed += right(rig, k, labels[k] < 0 ? labels[k] : best_of(q + k * classes, classes));
        }
    look->smoothed = (double)smoothed / judged;
    look->likeliest = (double)likeliest / judged;
    free(q);
}

static void recalls(const struct steer_rig *rig, const int32_t *labels, struct steer_look *look)
{
    int32_t of[FLY_PHASES] = {0}, hits[FLY_PHASES] = {0}, all = 0, all_hits = 0;

    for (int32_t k = 0; k < rig->chips; k++)
        if (!rig->taught[k]) {
            of[rig->phase[k]]++;
            hits[rig->phase[k]] += right(rig, k, labels[k]);
        }
    look->worst_recall = 1.0;
    for (int p = 0; p < FLY_PHASES; p++) {
        all += of[p];
        all_hits += hits[p];
        if (of[p] >= RECALL_MIN && rig->class_of[p] >= 0)
            look->worst_recall = fmin(look->worst_recall, (double)hits[p] / of[p]);
    }
    look->accuracy = (double)all_hits / all;
    look->rare_recall = of[FLY_INCLUSION] ? (double)hits[FLY_INCLUSION] / of[FLY_INCLUSION] : NAN;
}

static double ami_of(const struct steer_rig *rig, const int32_t *labels)
{
    int32_t *truth = bench_need((size_t)rig->chips, sizeof *truth);
    int32_t *ours = bench_need((size_t)rig->chips, sizeof *ours), n = 0;
    double ami;

    for (int32_t k = 0; k < rig->chips; k++)
        if (!rig->taught[k]) {
            truth[n] = rig->phase[k];
            ours[n++] = labels[k];
        }
    ami = fly_ami(truth, ours, n);
    free(truth);
    free(ours);
    return ami;
}

static double agreement_of(const struct steer_rig *rig, const int32_t *labels, const int32_t *reference)
{
    int32_t n = 0, same = 0;

    for (int32_t k = 0; reference && k < rig->chips; k++)
        if (!rig->taught[k]) {
            n++;
            same += labels[k] == reference[k];
        }
    return n ? (double)same / n : NAN;
}

static void doses(const struct steer_rig *rig, struct steer_look *look)
{
    float *sorted = bench_need((size_t)rig->chips, sizeof *sorted);

    look->dose = steer_rig_mean_dose(rig);
    for (int32_t k = 0; k < rig->chips; k++) {
        sorted[k] = rig->dose[k];
        look->max_dose = fmax(look->max_dose, rig->dose[k]);
    }
    look->gini = fly_dose_gini(sorted, rig->chips);
    free(sorted);
}

void steer_score(const struct steer_rig *rig, const int32_t *reference, struct steer_look *look)
{
    const int32_t *labels = steer_labels(rig);

    *look = (struct steer_look){.time_ms = 1e-3 * rig->time_us, .plans = rig->plans, .stop = (int)rig->plan.stop,
                                .error_told = rig->plans ? rig->plan.expected_error : NAN,
                                .agreement = agreement_of(rig, labels, reference), .accuracy = NAN, .smoothed = NAN,
                                .likeliest = NAN, .ami = NAN, .worst_recall = NAN, .rare_recall = NAN};
    doses(rig, look);
    if (!rig->phase)
        return;
    recalls(rig, labels, look);
    other_labels(rig, labels, look);
    look->ami = ami_of(rig, labels);
}
