#include "engine/label/fewshot.h"

#include <math.h>
#include <string.h>

#include "engine/base/clones.h"

/* Eight sums side by side: the order of summation is written down here, so it is the same with any
 * vector width the compiler has. */
typedef double lanes __attribute__((vector_size(64)));
enum { LANES = 8 };

size_t fly_prototypes_need(int32_t width)
{
    return fly_arena_need((size_t)width * FLY_CLASSES_MAX, sizeof(double));
}

void fly_prototypes_init(struct fly_prototypes *prototypes, int32_t width, struct fly_arena *arena)
{
    memset(prototypes, 0, sizeof *prototypes);
    prototypes->width = prototypes->width_cap = width;
    prototypes->mean = fly_arena_take(arena, (size_t)width * FLY_CLASSES_MAX, sizeof(double));
    FLY_ASSERT(prototypes->mean);
}

static double value_at(const struct fly_features *features, size_t at)
{
    switch (features->type) {
    case FLY_FEATURE_F32:
        return (double)((const float *)features->rows)[at];
    case FLY_FEATURE_U32:
        return (double)((const uint32_t *)features->rows)[at];
    default:
        return ((const double *)features->rows)[at];
    }
}

void fly_prototypes_make(struct fly_prototypes *prototypes, const struct fly_support *support,
                         const struct fly_features *features, const uint8_t *measured)
{
    size_t width = (size_t)features->width;
    int32_t members[FLY_CLASSES_MAX] = {0};

    FLY_ASSERT(features->width <= prototypes->width_cap);
    prototypes->width = features->width;
    prototypes->n_classes = support->n_classes;
    prototypes->n_counting = 0;
    memset(prototypes->mean, 0, (size_t)support->n_classes * width * sizeof(double));
    for (int32_t k = 0; k < support->n_chips; k++) {
        int32_t c = support->class_of[k];

        if (c < 0 || !measured[k])
            continue;
        double *mean = prototypes->mean + (size_t)c * width;

        members[c]++;
        for (size_t i = 0; i < width; i++)
            mean[i] += value_at(features, (size_t)k * width + i);
    }
    for (int32_t c = 0; c < support->n_classes; c++) {
        double *mean = prototypes->mean + (size_t)c * width;

        prototypes->counts[c] = members[c] > 0;
        prototypes->n_counting += members[c] > 0;
        for (size_t i = 0; members[c] && i < width; i++)
            mean[i] /= (double)members[c];
    }
}

static inline __attribute__((always_inline)) double sum_lanes(const lanes *sum)
{
    return (((*sum)[0] + (*sum)[4]) + ((*sum)[2] + (*sum)[6])) +
           (((*sum)[1] + (*sum)[5]) + ((*sum)[3] + (*sum)[7]));
}

/* Eight numbers of a row, wherever it stands. */
typedef double eight_double __attribute__((vector_size(64), aligned(8), may_alias));
typedef float eight_float __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t eight_uint32_t __attribute__((vector_size(32), aligned(4), may_alias));

/* Squared distance of a row. The tail goes into the first lanes, as if padded with zeros. */
#define SQUARE(name, type)                                                               \
    FLY_CLONES static double name(const type *x, const double *mean, size_t width)       \
    {                                                                                    \
        lanes sum = {0};                                                                 \
        size_t i = 0;                                                                    \
                                                                                         \
        for (; i + LANES <= width; i += LANES) {                                         \
            lanes d = __builtin_convertvector(*(const eight_##type *)(x + i), lanes) -   \
                      *(const eight_double *)(mean + i);                                 \
                                                                                         \
            sum += d * d;                                                                \
        }                                                                                \
        for (int l = 0; i < width; i++, l++) {                                           \
            double d = (double)x[i] - mean[i];                                           \
                                                                                         \
            sum[l] += d * d;                                                             \
        }                                                                                \
        return sum_lanes(&sum);                                                          \
    }
SQUARE(square_f32, float)
SQUARE(square_u32, uint32_t)
SQUARE(square_f64, double)

void fly_fewshot_distances(const struct fly_prototypes *prototypes, const struct fly_features *features,
                           int32_t chip, double *d)
{
    size_t width = (size_t)features->width, row = (size_t)chip * width;

    for (int32_t c = 0; c < prototypes->n_classes; c++) {
        const double *mean = prototypes->mean + (size_t)c * width;

        if (!prototypes->counts[c])
            d[c] = NAN;
        else if (features->type == FLY_FEATURE_F32)
            d[c] = sqrt(square_f32((const float *)features->rows + row, mean, width));
        else if (features->type == FLY_FEATURE_U32)
            d[c] = sqrt(square_u32((const uint32_t *)features->rows + row, mean, width));
        else
            d[c] = sqrt(square_f64((const double *)features->rows + row, mean, width));
    }
}

void fly_fewshot_distances_ref(const struct fly_prototypes *prototypes,
                               const struct fly_features *features, int32_t chip, double *d)
{
    size_t width = (size_t)features->width, row = (size_t)chip * width;

    for (int32_t c = 0; c < prototypes->n_classes; c++) {
        double sum = 0.0;

        for (size_t i = 0; i < width; i++) {
            double diff = value_at(features, row + i) - prototypes->mean[(size_t)c * width + i];

            sum += diff * diff;
        }
        d[c] = prototypes->counts[c] ? sqrt(sum) : NAN;
    }
}

void fly_fewshot_scores(const double *d, int32_t n_classes, double temperature, double *score)
{
    double nearest = INFINITY, sum = 0.0;

    FLY_ASSERT(temperature > 0.0);
    for (int32_t c = 0; c < n_classes; c++)
        if (d[c] < nearest)
            nearest = d[c];
    for (int32_t c = 0; c < n_classes; c++) {
        /* Shifted by the nearest: the largest term is exactly 1 and nothing underflows together. */
        score[c] = isnan(d[c]) ? 0.0 : exp(-(d[c] - nearest) / temperature);
        sum += score[c];
    }
    for (int32_t c = 0; sum > 0.0 && c < n_classes; c++)
        score[c] /= sum;
}

void fly_fewshot_ensemble(const double *a, const double *b, int32_t n_classes, const double weights[2],
                          double *score)
{
    FLY_ASSERT(weights[0] >= 0.0 && weights[1] >= 0.0 && weights[0] + weights[1] > 0.0);
    for (int32_t c = 0; c < n_classes; c++)
        score[c] = (weights[0] * a[c] + weights[1] * b[c]) / (weights[0] + weights[1]);
}

int32_t fly_fewshot_label(const double *score, int32_t n_classes)
{
    int32_t best = FLY_LABEL_TOO_LITTLE;
    double highest = 0.0;

    for (int32_t c = 0; c < n_classes; c++)
        if (score[c] > highest) {
            highest = score[c];
            best = c;
        }
    return best;
}
