/* tests/support/label_trial.h: few-shot labels of a scene whose truth is known, calibrated and by the paper's
 * scores, and how good they are. For the tests of engine/label and the bench of it.
 */
#ifndef FLY_TESTS_LABEL_TRIAL_H
#define FLY_TESTS_LABEL_TRIAL_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/calibration_metrics.h"
#include "engine/base/rng.h"
#include "engine/label/calibrate.h"
#include "engine/label/weights.h"

enum { TRIAL_HAADF, TRIAL_EDS, TRIAL_JOINT, TRIAL_MAPS };

/* Lent. Every array is of K chips. */
struct label_data {
    int32_t chips, n_classes;
    const int32_t *truth;   /* 0 .. n_classes-1; a class may be empty */
    const float *purity;
    struct fly_features features[2];
    const double *noise[2]; /* or NULL */
    const uint8_t *speaks[2];
    enum fly_feature_kind kind[2];
};

struct label_trial {
    struct fly_arena arena;
    struct fly_support support;
    struct fly_left_out left;
    struct fly_prototypes prototypes[2];
    struct fly_calibration cal[2];
    struct fly_joint joint;
    int32_t chips, n_classes;
    double *p[TRIAL_MAPS];          /* (K, C) */
    double *plain[TRIAL_MAPS];      /* (K, C) the paper's: softmax(-d), and the mean of both */
    double *even;                   /* (K, C) joint scores at equal weights */
    double *nearest[TRIAL_MAPS];    /* (K) least ratio */
    int32_t *label[TRIAL_MAPS];     /* (K) */
    uint8_t *judged;                /* (K) speaks in both and supports nothing */
};

static inline void *trial_need(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size);

    if (!ptr)
        abort();
    return ptr;
}

/* `shots` chips of every class but `without` that are pure and speak in both, at random. */
static inline void trial_pick(struct label_trial *t, const struct label_data *data, int32_t shots, int32_t without,
                              uint64_t seed)
{
    struct fly_rng rng = {seed};
    int32_t *pool = trial_need((size_t)data->chips, sizeof *pool), id;

    for (int32_t c = 0; c < data->n_classes; c++) {
        char name[2] = {(char)('a' + c), 0};
        int32_t n = 0, some = 0;

        for (int32_t k = 0; k < data->chips; k++)
            if (data->truth[k] == c && data->purity[k] > 0.999f && data->speaks[0][k] && data->speaks[1][k])
                pool[n++] = k;
        for (; some < shots && some < n; some++) {
            int32_t at = some + (int32_t)fly_rng_below(&rng, (uint64_t)(n - some)), was = pool[some];

            pool[some] = pool[at];
            pool[at] = was;
        }
        /* Left out or empty, a class keeps its id. */
        if (fly_support_add(&t->support, name, pool, c == without ? 0 : some, &id) < 0)
            abort();
    }
    free(pool);
}

static inline void trial_chip(struct label_trial *t, const struct label_data *data, int32_t k)
{
    double ratio[TRIAL_MAPS][FLY_CLASSES_MAX], confidence;
    size_t row = (size_t)k * (size_t)t->n_classes;
    struct fly_joint even = t->joint;

    even.weight[0] = even.weight[1] = 0.5;
    for (int m = 0; m < 2; m++) {
        double d[FLY_CLASSES_MAX];

        fly_fewshot_distances(&t->prototypes[m], &data->features[m], k, d);
        fly_fewshot_scores(d, t->n_classes, 1.0, t->plain[m] + row);
        fly_calibrated_ratios(&t->cal[m], d, data->noise[m] ? data->noise[m][k] : 0.0, ratio[m]);
        fly_calibrated_scores(&t->cal[m], ratio[m], t->p[m] + row);
        t->label[m][k] = fly_calibrated_label(&t->cal[m].unknown, ratio[m], t->p[m] + row, t->n_classes,
                                              &confidence);
    }
    fly_fewshot_ensemble(t->plain[0] + row, t->plain[1] + row, t->n_classes, (const double[]){0.5, 0.5},
                         t->plain[2] + row);
    fly_joint_scores(&even, &t->cal[0], ratio[0], &t->cal[1], ratio[1], t->even + row, ratio[2]);
    fly_joint_scores(&t->joint, &t->cal[0], ratio[0], &t->cal[1], ratio[1], t->p[2] + row, ratio[2]);
    t->label[2][k] = fly_calibrated_label(&t->joint.unknown, ratio[2], t->p[2] + row, t->n_classes, &confidence);
    for (int m = 0; m < TRIAL_MAPS; m++) {
        t->nearest[m][k] = INFINITY;
        for (int32_t c = 0; c < t->n_classes; c++)
            if (ratio[m][c] < t->nearest[m][k])
                t->nearest[m][k] = ratio[m][c];
    }
}

static inline void label_trial_open(struct label_trial *t, const struct label_data *data, int32_t shots,
                                    int32_t without, uint64_t seed)
{
    size_t need = fly_support_need(data->chips) + fly_left_out_need() + 2 * fly_calibration_need(), all;

    memset(t, 0, sizeof *t);
    for (int m = 0; m < 2; m++)
        need += fly_prototypes_need(data->features[m].width);
    if (fly_arena_init(&t->arena, need, NULL, "trial") < 0)
        abort();
    t->chips = data->chips;
    t->n_classes = data->n_classes;
    all = (size_t)data->chips * (size_t)data->n_classes;
    for (int m = 0; m < TRIAL_MAPS; m++) {
        t->p[m] = trial_need(all, sizeof *t->p[m]);
        t->plain[m] = trial_need(all, sizeof *t->plain[m]);
        t->nearest[m] = trial_need((size_t)data->chips, sizeof *t->nearest[m]);
        t->label[m] = trial_need((size_t)data->chips, sizeof *t->label[m]);
    }
    t->even = trial_need(all, sizeof *t->even);
    t->judged = trial_need((size_t)data->chips, 1);
    fly_support_init(&t->support, data->chips, &t->arena);
    fly_left_out_init(&t->left, &t->arena);
    trial_pick(t, data, shots, without, seed);
    fly_left_out_pick(&t->left, &t->support);
    for (int m = 0; m < 2; m++) {
        struct fly_tau_prior prior = fly_tau_prior(data->kind[m]);

        fly_prototypes_init(&t->prototypes[m], data->features[m].width, &t->arena);
        fly_calibration_init(&t->cal[m], &t->arena);
        fly_prototypes_make(&t->prototypes[m], &t->support, &data->features[m], data->speaks[m]);
        fly_calibrate(&t->cal[m], &prior, &t->prototypes[m], &t->support, &data->features[m], data->noise[m],
                      data->speaks[m], &t->left);
    }
    fly_joint_fit(&t->joint, &t->cal[0], &t->cal[1], &t->left, NULL);
    for (int32_t k = 0; k < data->chips; k++)
        if (data->speaks[0][k] && data->speaks[1][k]) {
            trial_chip(t, data, k);
            t->judged[k] = t->support.class_of[k] < 0;
        }
}

static inline void label_trial_close(struct label_trial *t)
{
    for (int m = 0; m < TRIAL_MAPS; m++) {
        free(t->p[m]);
        free(t->plain[m]);
        free(t->nearest[m]);
        free(t->label[m]);
    }
    free(t->even);
    free(t->judged);
    fly_arena_fini(&t->arena);
}

struct label_judgement {
    int32_t chips;
    double accuracy, ece, nll, brier, macro_f1;
};

/* Scores p (K, C) against the truth, on judged chips at least so pure. */
static inline struct label_judgement label_judge(const struct label_trial *t, const struct label_data *data,
                                                 const double *p, double purity)
{
    size_t n = (size_t)t->chips, width = (size_t)t->n_classes;
    double *kept = trial_need(n * width, sizeof *kept), *confidence = trial_need(n, sizeof *confidence);
    int32_t *truth = trial_need(n, sizeof *truth), *guess = trial_need(n, sizeof *guess);
    uint8_t *right = trial_need(n, 1);
    struct label_judgement j = {0};

    for (int32_t k = 0; k < t->chips; k++)
        if (t->judged[k] && (double)data->purity[k] >= purity) {
            int32_t i = j.chips++, best = fly_fewshot_label(p + (size_t)k * width, t->n_classes);

            memcpy(kept + (size_t)i * width, p + (size_t)k * width, width * sizeof *kept);
            truth[i] = data->truth[k];
            guess[i] = best;
            confidence[i] = p[(size_t)k * width + (size_t)best];
            right[i] = best == truth[i];
            j.accuracy += right[i];
        }
    j.accuracy /= j.chips;
    j.ece = fly_calibration_ece(confidence, right, j.chips, 10);
    j.nll = fly_calibration_nll(kept, truth, j.chips, t->n_classes);
    j.brier = fly_calibration_brier(kept, truth, j.chips, t->n_classes);
    j.macro_f1 = fly_calibration_macro_f1(truth, guess, j.chips, t->n_classes);
    free(kept);
    free(confidence);
    free(truth);
    free(guess);
    free(right);
    return j;
}

struct label_novelty {
    double auroc;    /* pure chips of the class left out above judged chips of the others */
    double found;    /* share of those pure chips that are unknown */
    double rejected; /* share of judged pure chips of the others that are unknown */
};

/* without -1: nobody was left out, and auroc and found are NaN. */
static inline struct label_novelty label_novelty(const struct label_trial *t, const struct label_data *data, int map,
                                                 int32_t without)
{
    double *score = trial_need((size_t)t->chips, sizeof *score);
    uint8_t *novel = trial_need((size_t)t->chips, 1);
    int32_t n = 0, pure = 0, pure_novel = 0;
    struct label_novelty out = {0};

    for (int32_t k = 0; k < t->chips; k++) {
        int is_pure = data->purity[k] > 0.999f, is_novel = data->truth[k] == without;
        int unknown = t->label[map][k] == FLY_LABEL_UNKNOWN;

        if (!t->judged[k] || (is_novel && !is_pure))
            continue;
        score[n] = t->nearest[map][k];
        novel[n++] = (uint8_t)is_novel;
        pure += is_pure && !is_novel;
        pure_novel += is_novel;
        out.found += is_novel && unknown;
        out.rejected += is_pure && !is_novel && unknown;
    }
    out.auroc = fly_calibration_auroc(score, novel, n);
    out.found /= pure_novel;
    out.rejected /= pure;
    free(score);
    free(novel);
    return out;
}

#endif
