/* Relabelling 2601 chips after the support set changed: prototypes, distances, scores, labels.
 *
 *   label.relabel_2601.*  all prototypes are new; beside the plain twin
 *   label.moved_2601.*    one class of four has another chip, and only distances to it are taken; beside all
 */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/base/rng.h"
#include "engine/label/fewshot.h"

enum { CHIPS = 2601, CLASSES = 4, ROUNDS = 15 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

typedef void distances(const struct fly_prototypes *prototypes, const struct fly_features *features,
                       int32_t chip, double *d);

static double distance[CHIPS][FLY_CLASSES_MAX];

static double relabel(struct fly_prototypes *prototypes, const struct fly_support *support,
                      const struct fly_features *features, const uint8_t *measured, distances *get,
                      int32_t *labels)
{
    double begin = now_s();

    fly_prototypes_make(prototypes, support, features, measured);
    for (int32_t k = 0; k < CHIPS; k++) {
        double score[FLY_CLASSES_MAX];

        get(prototypes, features, k, distance[k]);
        fly_fewshot_scores(distance[k], CLASSES, 1.0, score);
        labels[k] = fly_fewshot_label(score, CLASSES);
    }
    return now_s() - begin;
}

/* A chip more in the first class, or less. */
static int change(struct fly_support *support, int round)
{
    const int32_t chip = CHIPS - 1;
    int32_t id;

    return round % 2 ? fly_support_remove(support, &chip, 1) : fly_support_add(support, "a", &chip, 1, &id);
}

static void print(FILE *out, const char *name, int32_t width, double *ours, double *ref)
{
    qsort(ours, ROUNDS, sizeof *ours, compare);
    qsort(ref, ROUNDS, sizeof *ref, compare);
    fprintf(out,
            "{\"name\": \"label.%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"maps/s\", "
            "\"reference\": %.4g, \"ratio\": %.3f}\n",
            name, width, 1.0 / ours[ROUNDS / 2], 1.0 / ref[ROUNDS / 2], ref[ROUNDS / 2] / ours[ROUNDS / 2]);
    fflush(out);
}

static int one_case(FILE *out, const char *name, int32_t width, enum fly_feature_type type)
{
    float *f = malloc((size_t)CHIPS * (size_t)width * sizeof *f);
    uint32_t *u = malloc((size_t)CHIPS * (size_t)width * sizeof *u);
    uint8_t *measured = malloc(CHIPS);
    struct fly_features features = {type == FLY_FEATURE_F32 ? (void *)f : (void *)u, width, type};
    struct fly_prototypes prototypes;
    struct fly_support support;
    struct fly_arena arena;
    struct fly_rng rng = {1};
    static int32_t fast[CHIPS], plain[CHIPS];
    double ours[ROUNDS], ref[ROUNDS];
    char full[64];
    int32_t id;
    int rc;

    if (!f || !u || !measured)
        return fly_fail(FLY_ENOMEM, "bench: no memory");
    for (size_t i = 0; i < (size_t)CHIPS * (size_t)width; i++) {
        f[i] = (float)fly_rng_normal(&rng);
        u[i] = (uint32_t)fly_rng_poisson(&rng, 0.1);
    }
    for (int32_t k = 0; k < CHIPS; k++)
        measured[k] = 1;
    rc = fly_arena_init(&arena, fly_support_need(CHIPS) + fly_prototypes_need(width), NULL, "bench");
    if (rc < 0)
        return rc;
    fly_support_init(&support, CHIPS, &arena);
    fly_prototypes_init(&prototypes, width, &arena);
    for (int32_t c = 0; rc == FLY_OK && c < CLASSES; c++) {
        const int32_t chips[4] = {c * 600, c * 600 + 1, c * 600 + 50, c * 600 + 51};
        char class_name[2] = {(char)('a' + c), 0};

        rc = fly_support_add(&support, class_name, chips, 4, &id);
    }
    for (int r = 0; rc == FLY_OK && r < ROUNDS; r++) {
        ours[r] = relabel(&prototypes, &support, &features, measured, fly_fewshot_distances, fast);
        ref[r] = relabel(&prototypes, &support, &features, measured, fly_fewshot_distances_ref, plain);
    }
    for (int32_t k = 0; k < CHIPS; k++)
        FLY_ASSERT(fast[k] == plain[k]);
    snprintf(full, sizeof full, "relabel_2601.%s", name);
    print(out, full, width, ours, ref);
    for (int r = 0; rc == FLY_OK && r < ROUNDS; r++) {
        rc = change(&support, 2 * r);
        ref[r] = relabel(&prototypes, &support, &features, measured, fly_fewshot_distances, plain);
        rc = rc < 0 ? rc : change(&support, 2 * r + 1);
        ours[r] = relabel(&prototypes, &support, &features, measured, fly_fewshot_distances_moved, fast);
    }
    snprintf(full, sizeof full, "moved_2601.%s", name);
    print(out, full, width, ours, ref);
    fly_arena_fini(&arena);
    free(f);
    free(u);
    free(measured);
    return rc;
}

int bench_label(FILE *out)
{
    int rc = one_case(out, "embedding", 512, FLY_FEATURE_F32);

    return rc < 0 ? rc : one_case(out, "spectrum", 4096, FLY_FEATURE_U32);
}
