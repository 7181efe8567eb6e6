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
    return 2 * fly_arena_need((size_t)width * FLY_CLASSES_MAX, sizeof(double));
}

void fly_prototypes_init(struct fly_prototypes *prototypes, int32_t width, struct fly_arena *arena)
{
    memset(prototypes, 0, sizeof *prototypes);
    prototypes->width = prototypes->width_cap = width;
    prototypes->mean = fly_arena_take(arena, (size_t)width * FLY_CLASSES_MAX, sizeof(double));
    prototypes->fresh = fly_arena_take(arena, (size_t)width * FLY_CLASSES_MAX, sizeof(double));
    FLY_ASSERT(prototypes->mean && prototypes->fresh);
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

/* Means into fresh; members (FLY_CLASSES_MAX) counted, zeros before. */
static void make_fresh(struct fly_prototypes *prototypes, const struct fly_support *support,
                       const struct fly_features *features, const uint8_t *measured, int32_t *members)
{
    size_t width = (size_t)features->width;

    memset(prototypes->fresh, 0, (size_t)support->n_classes * width * sizeof(double));
    for (int32_t k = 0; k < support->n_chips; k++) {
        int32_t c = support->class_of[k];

        if (c < 0 || !measured[k])
            continue;
        double *mean = prototypes->fresh + (size_t)c * width;

        members[c]++;
        for (size_t i = 0; i < width; i++)
            mean[i] += value_at(features, (size_t)k * width + i);
    }
    for (int32_t c = 0; c < support->n_classes; c++) {
        double *mean = prototypes->fresh + (size_t)c * width;

        for (size_t i = 0; members[c] && i < width; i++)
            mean[i] /= (double)members[c];
    }
}

void fly_prototypes_make(struct fly_prototypes *prototypes, const struct fly_support *support,
                         const struct fly_features *features, const uint8_t *measured)
{
    struct fly_prototypes *p = prototypes;
    size_t bytes = (size_t)features->width * sizeof(double);
    int32_t members[FLY_CLASSES_MAX] = {0};
    int others = p->rows != features->rows || p->width != features->width;
    double *mean = p->fresh;

    FLY_ASSERT(features->width <= p->width_cap);
    make_fresh(p, support, features, measured, members);
    p->n_counting = 0;
    for (int32_t c = 0; c < FLY_CLASSES_MAX; c++) {
        size_t at = (size_t)c * (size_t)features->width;
        int counts = members[c] > 0;

        /* Bits, not numbers: what is told to stand gives the same distances. No distance is there yet to a class
         * that was not looked at. */
        p->moved[c] = others || c >= p->n_classes || counts != p->counts[c] ||
                      (counts && memcmp(p->mean + at, mean + at, bytes) != 0);
        p->counts[c] = counts;
        p->n_counting += counts;
    }
    p->fresh = p->mean;
    p->mean = mean;
    p->rows = features->rows;
    p->width = features->width;
    p->n_classes = support->n_classes;
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

enum {
    ABREAST = 4,
    AHEAD_BYTES = 4096, /* rows follow one another, and where a page ends the processor stops looking ahead */
};

/* Squared distances of a row from n means at once: each its own sum in its own order, but none waits for its last
 * addition, and the row is read once. The tail goes into the first lanes, as if padded with zeros. */
#define SQUARES(name, type, n)                                                                       \
    FLY_CLONES static void name(const type *x, const double *const *mean, size_t width, double *out) \
    {                                                                                                \
        lanes sum[n] = {{0}};                                                                        \
        size_t i = 0;                                                                                \
                                                                                                     \
        for (; i + LANES <= width; i += LANES) {                                                     \
            lanes v = __builtin_convertvector(*(const eight_##type *)(x + i), lanes);                \
                                                                                                     \
            __builtin_prefetch((const char *)(x + i) + AHEAD_BYTES);                                       \
            FLY_UNROLL                                                                               \
            for (int a = 0; a < (n); a++) {                                                          \
                lanes d = v - *(const eight_double *)(mean[a] + i);                                  \
                                                                                                     \
                sum[a] += d * d;                                                                     \
            }                                                                                        \
        }                                                                                            \
        for (int l = 0; i < width; i++, l++)                                                         \
            for (int a = 0; a < (n); a++) {                                                          \
                double d = (double)x[i] - mean[a][i];                                                \
                                                                                                     \
                sum[a][l] += d * d;                                                                  \
            }                                                                                        \
        FLY_UNROLL                                                                                   \
        for (int a = 0; a < (n); a++)                                                                \
            out[a] = sum_lanes(&sum[a]);                                                             \
    }
SQUARES(square_f32, float, 1)
SQUARES(square_u32, uint32_t, 1)
SQUARES(square_f64, double, 1)
SQUARES(squares_f32, float, ABREAST)
SQUARES(squares_u32, uint32_t, ABREAST)
SQUARES(squares_f64, double, ABREAST)

static void squares(const struct fly_features *features, int32_t chip, const double *const *mean, int one, double *out)
{
    size_t width = (size_t)features->width, row = (size_t)chip * width;

    if (features->type == FLY_FEATURE_F32)
        (one ? square_f32 : squares_f32)((const float *)features->rows + row, mean, width, out);
    else if (features->type == FLY_FEATURE_U32)
        (one ? square_u32 : squares_u32)((const uint32_t *)features->rows + row, mean, width, out);
    else
        (one ? square_f64 : squares_f64)((const double *)features->rows + row, mean, width, out);
}

/* d of n classes, which count. */
static void distances_to(const struct fly_prototypes *prototypes, const struct fly_features *features, int32_t chip,
                         const int32_t *classes, int32_t n, double *d)
{
    for (int32_t i = 0; i < n; i += ABREAST) {
        const double *mean[ABREAST];
        double square[ABREAST];

        /* Where there are fewer, the last one again. */
        for (int32_t a = 0; a < ABREAST; a++)
            mean[a] = prototypes->mean + (size_t)classes[i + a < n ? i + a : n - 1] * (size_t)features->width;
        squares(features, chip, mean, n - i == 1, square);
        for (int32_t a = 0; a < ABREAST && i + a < n; a++)
            d[classes[i + a]] = sqrt(square[a]);
    }
}

void fly_fewshot_distances(const struct fly_prototypes *prototypes, const struct fly_features *features,
                           int32_t chip, double *d)
{
    int32_t classes[FLY_CLASSES_MAX], n = 0;

    for (int32_t c = 0; c < prototypes->n_classes; c++) {
        d[c] = NAN;
        if (prototypes->counts[c])
            classes[n++] = c;
    }
    distances_to(prototypes, features, chip, classes, n, d);
}

void fly_fewshot_distances_moved(const struct fly_prototypes *prototypes, const struct fly_features *features,
                                 int32_t chip, double *d)
{
    int32_t classes[FLY_CLASSES_MAX], n = 0;

    for (int32_t c = 0; c < prototypes->n_classes; c++) {
        if (!prototypes->moved[c])
            continue;
        d[c] = NAN;
        if (prototypes->counts[c])
            classes[n++] = c;
    }
    distances_to(prototypes, features, chip, classes, n, d);
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
        score[c] = isnan(d[c]) ? 0.0 : d[c] == nearest ? 1.0 : exp(-(d[c] - nearest) / temperature);
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
