#include "engine/label/calibrate.h"

#include <math.h>
#include <string.h>

/* A class's scatter as a share of that of all support chips, and how many degrees of freedom that is worth. Where
 * noise is known, what is left beside it is little; where it is not, the scatter is also that. */
static const double scatter_share = 0.1, scatter_share_noise_known = 0.02, scatter_freedom = 1.0;

/* Degrees of freedom of the pooled scatter in a class's own: of 2 to 8, the likelihood of the map was the same to
 * 3 %. The fewer, the rarer are chips of a varied class called unknown (embeddings, of the pure ones: 2: 0.35 %, 4:
 * 0.44 %, the pooled scatter alone: 0.77 %), and the more hangs on three numbers. */
static const double pooled_freedom = 4.0;

/* Noise taken off leaves less than nothing for half of the members: they are all as near as this. */
static const double ratio_least = 0.05;

enum { TAU_STEPS = 16, TAU_STEPS_OCTAVE = 4 }; /* either way from the prior: a sixteenth to sixteen times */

size_t fly_left_out_need(void)
{
    return 2 * fly_arena_need(FLY_LEFT_OUT_MAX, sizeof(int32_t));
}

void fly_left_out_init(struct fly_left_out *left, struct fly_arena *arena)
{
    left->n = 0;
    left->chip = fly_arena_take(arena, FLY_LEFT_OUT_MAX, sizeof *left->chip);
    left->class_of = fly_arena_take(arena, FLY_LEFT_OUT_MAX, sizeof *left->class_of);
    FLY_ASSERT(left->chip && left->class_of);
}

void fly_left_out_pick(struct fly_left_out *left, const struct fly_support *support)
{
    int32_t start[FLY_CLASSES_MAX], seen[FLY_CLASSES_MAX] = {0}, taken[FLY_CLASSES_MAX] = {0};

    left->n = 0;
    for (int32_t c = 0; c < support->n_classes; c++) {
        int32_t n = support->classes[c].chips;

        start[c] = left->n;
        left->n += n < FLY_LEFT_OUT_CLASS_MAX ? n : FLY_LEFT_OUT_CLASS_MAX;
    }
    for (int32_t k = 0; k < support->n_chips; k++) {
        int32_t c = support->class_of[k];

        if (c < 0)
            continue;
        int64_t n = support->classes[c].chips, most = n < FLY_LEFT_OUT_CLASS_MAX ? n : FLY_LEFT_OUT_CLASS_MAX;

        /* Chip number `taken` of `most` lies at an even step: seen = taken * n / most. */
        if (taken[c] < most && seen[c] == taken[c] * n / most) {
            left->chip[start[c] + taken[c]] = k;
            left->class_of[start[c] + taken[c]] = c;
            taken[c]++;
        }
        seen[c]++;
    }
}

struct fly_tau_prior fly_tau_prior(enum fly_feature_kind kind)
{
    static const double tau[] = {[FLY_KIND_EMBEDDING] = 0.18, [FLY_KIND_COMPOSITION] = 0.38,
                                 [FLY_KIND_SPECTRUM] = 0.25};

    return (struct fly_tau_prior){tau[kind], 2.0};
}

size_t fly_calibration_need(void)
{
    return fly_arena_need((size_t)FLY_LEFT_OUT_MAX * FLY_CLASSES_MAX, sizeof(double));
}

void fly_calibration_init(struct fly_calibration *calibration, struct fly_arena *arena)
{
    memset(calibration, 0, sizeof *calibration);
    calibration->ratio = fly_arena_take(arena, (size_t)FLY_LEFT_OUT_MAX * FLY_CLASSES_MAX, sizeof(double));
    FLY_ASSERT(calibration->ratio);
}

/* What is summed of each class, and of the support as a whole. */
struct sums {
    int32_t n[FLY_CLASSES_MAX];      /* members that are measured */
    double square[FLY_CLASSES_MAX];  /* sum of |x - mean|^2 */
    double noise[FLY_CLASSES_MAX];   /* sum of the members' */
    int32_t all;
    double square_all, noise_all;    /* about the mean of all */
    double means_apart;              /* mean over all of |mean of its class - mean of all|^2 */
    double share;                    /* of the scatter of all that a class has, before its members have spoken */
};

static double noise_of(const double *noise, int32_t chip)
{
    return noise ? noise[chip] : 0.0;
}

/* |mean_a - mean_b|^2 */
static double gap(const struct fly_prototypes *p, int32_t a, int32_t b)
{
    const double *x = p->mean + (size_t)a * (size_t)p->width, *y = p->mean + (size_t)b * (size_t)p->width;
    double sum = 0.0;

    for (int32_t i = 0; i < p->width; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

/* Squares about the mean of all are those within classes and those between, n_a n_b / n of every gap. */
static void sum_all(struct sums *s, const struct fly_prototypes *p)
{
    double within = 0.0, between = 0.0;

    for (int32_t a = 0; a < p->n_classes; a++) {
        s->all += s->n[a];
        s->noise_all += s->noise[a];
        within += s->square[a];
        for (int32_t b = 0; s->n[a] && b < a; b++)
            if (s->n[b])
                between += (double)s->n[a] * s->n[b] * gap(p, a, b);
    }
    if (s->all) {
        s->square_all = within + between / s->all;
        s->means_apart = between / s->all / s->all;
    }
}

/* Of the members of a class about its mean, noise taken off: half of the time less than nothing, where noise is all. */
static double squares_of(const struct sums *s, int32_t c)
{
    return s->square[c] - (1.0 - 1.0 / s->n[c]) * s->noise[c];
}

static double scatter_of(const struct sums *s, int32_t n_classes)
{
    double squares = 0.0, freedom = 0.0, expected = 0.0;

    for (int32_t c = 0; c < n_classes; c++)
        if (s->n[c] > 1) {
            squares += squares_of(s, c);
            freedom += s->n[c] - 1;
        }
    if (s->all > 1)
        expected = s->share * fmax(s->square_all / (s->all - 1) - s->noise_all / s->all, 0.0);
    return (fmax(squares, 0.0) + scatter_freedom * expected) / (freedom + scatter_freedom);
}

static double class_scatter_of(const struct sums *s, int32_t c, double pooled)
{
    if (s->n[c] < 2)
        return pooled;
    return (fmax(squares_of(s, c), 0.0) + pooled_freedom * pooled) / (s->n[c] - 1 + pooled_freedom);
}

static double doubt_of(const struct sums *s, int32_t c, double scatter)
{
    return s->n[c] ? (scatter + s->noise[c] / s->n[c]) / s->n[c] : NAN;
}

/* ratio may be square. */
static void ratios(const double *square, const double *doubt, const double *scatter, int32_t n_classes, double noise,
                   double *ratio)
{
    double nearest = INFINITY;

    for (int32_t c = 0; c < n_classes; c++)
        if (square[c] < nearest)
            nearest = square[c];
    for (int32_t c = 0; c < n_classes; c++) {
        double spread = scatter[c] + noise;

        if (isnan(square[c]) || isnan(doubt[c]))
            ratio[c] = NAN;
        else if (isinf(spread))
            ratio[c] = 1.0;
        else if (spread <= 0.0)
            ratio[c] = square[c] <= nearest ? 1.0 : INFINITY;
        else
            ratio[c] = fmax((square[c] - doubt[c]) / spread, ratio_least);
    }
}

/* Squared distances (C) of a chip left out, in place: from those to all prototypes to its ratios without it. */
static void leave_out(const struct sums *all, int32_t n_classes, int32_t class_of, double noise, double *square)
{
    struct sums s = *all;
    double n = all->n[class_of], own = square[class_of], off = -all->means_apart, pooled;
    double scatter[FLY_CLASSES_MAX], doubt[FLY_CLASSES_MAX];

    /* From the mean of all: Huygens and Steiner, over the classes' means. */
    for (int32_t c = 0; c < n_classes; c++)
        if (all->n[c])
            off += square[c] * all->n[c] / all->all;
    s.all--;
    s.square_all = fmax(s.square_all - (double)all->all / s.all * off, 0.0);
    s.noise_all -= noise;
    s.n[class_of]--;
    s.square[class_of] = fmax(s.square[class_of] - n / (n - 1.0) * own, 0.0);
    s.noise[class_of] -= noise;
    square[class_of] = own * (n / (n - 1.0)) * (n / (n - 1.0));
    pooled = scatter_of(&s, n_classes);
    for (int32_t c = 0; c < n_classes; c++) {
        scatter[c] = class_scatter_of(&s, c, pooled);
        doubt[c] = doubt_of(&s, c, scatter[c]);
    }
    ratios(square, doubt, scatter, n_classes, noise, square);
}

static void sum_members(struct sums *s, const struct fly_prototypes *p, const struct fly_support *support,
                        const struct fly_features *features, const double *noise, const uint8_t *measured)
{
    memset(s, 0, sizeof *s);
    for (int32_t k = 0; k < support->n_chips; k++) {
        int32_t c = support->class_of[k];
        double d[FLY_CLASSES_MAX];

        if (c < 0 || !measured[k])
            continue;
        FLY_ASSERT(isfinite(noise_of(noise, k)));
        fly_fewshot_distances(p, features, k, d);
        s->n[c]++;
        s->square[c] += d[c] * d[c];
        s->noise[c] += noise_of(noise, k);
    }
    s->share = noise ? scatter_share_noise_known : scatter_share;
    sum_all(s, p);
}

/* nll (n): mean -log score of those left out at each tau; NaN without. */
static void left_out_nlls(const struct fly_calibration *cal, const struct fly_left_out *left, const double *tau, int n,
                          double *nll)
{
    for (int t = 0; t < n; t++)
        nll[t] = 0.0;
    for (int32_t i = 0; i < left->n; i++) {
        const double *ratio = cal->ratio + (size_t)i * FLY_CLASSES_MAX;
        double distance[FLY_CLASSES_MAX], score[FLY_CLASSES_MAX];
        int32_t own = left->class_of[i];

        if (isnan(ratio[own]))
            continue;
        for (int32_t c = 0; c < cal->n_classes; c++)
            distance[c] = fly_calibrated_distance(cal, c, ratio[c]);
        for (int t = 0; t < n; t++) {
            fly_fewshot_scores(distance, cal->n_classes, tau[t], score);
            nll[t] -= log(fmax(score[own], 0x1p-52));
        }
    }
    for (int t = 0; t < n; t++)
        nll[t] /= cal->left_out;
}

static void fit_tau(struct fly_calibration *cal, const struct fly_tau_prior *prior,
                    const struct fly_left_out *left)
{
    double tau[2 * TAU_STEPS + 1], nll[2 * TAU_STEPS + 1], least = INFINITY;

    for (int32_t i = 0; i <= 2 * TAU_STEPS; i++)
        tau[i] = prior->tau * exp2((double)(i - TAU_STEPS) / TAU_STEPS_OCTAVE);
    left_out_nlls(cal, left, tau, 2 * TAU_STEPS + 1, nll);
    cal->tau = prior->tau;
    cal->nll = cal->nll_prior = nll[TAU_STEPS];
    if (cal->state != FLY_CALIBRATION_FITTED)
        return;
    for (int32_t i = 0; i <= 2 * TAU_STEPS; i++) {
        double octaves = (double)(i - TAU_STEPS) / TAU_STEPS_OCTAVE;
        double cost = cal->left_out * nll[i] + prior->weight * octaves * octaves;

        /* Of equal ones the warmest: it promises least. */
        if (cost <= least) {
            least = cost;
            cal->tau = tau[i];
            cal->nll = nll[i];
        }
    }
}

static void count_left_out(struct fly_calibration *cal, const struct fly_left_out *left)
{
    cal->left_out = cal->mistaken = 0;
    for (int32_t i = 0; i < left->n; i++) {
        const double *ratio = cal->ratio + (size_t)i * FLY_CLASSES_MAX;
        int nearer = 0;

        if (isnan(ratio[left->class_of[i]]))
            continue;
        for (int32_t c = 0; c < cal->n_classes; c++)
            nearer |= ratio[c] < ratio[left->class_of[i]];
        cal->left_out++;
        cal->mistaken += nearer;
    }
}

void fly_calibrate(struct fly_calibration *calibration, const struct fly_tau_prior *prior,
                   const struct fly_prototypes *prototypes, const struct fly_support *support,
                   const struct fly_features *features, const double *noise, const uint8_t *measured,
                   const struct fly_left_out *left)
{
    struct fly_calibration *cal = calibration;
    struct fly_unknown_prior unknown_prior = fly_unknown_prior_single();
    double own[FLY_LEFT_OUT_MAX];
    struct sums s;

    FLY_ASSERT(prior->tau > 0.0 && prior->weight >= 0.0);
    cal->n_classes = prototypes->n_classes;
    sum_members(&s, prototypes, support, features, noise, measured);
    cal->scatter = scatter_of(&s, cal->n_classes);
    for (int32_t c = 0; c < cal->n_classes; c++) {
        cal->class_scatter[c] = class_scatter_of(&s, c, cal->scatter);
        cal->width[c] = noise || !(cal->scatter > 0.0) ? 1.0 : sqrt(cal->class_scatter[c] / cal->scatter);
        cal->doubt[c] = doubt_of(&s, c, cal->class_scatter[c]);
    }
    for (int32_t i = 0; i < left->n; i++) {
        double *row = cal->ratio + (size_t)i * FLY_CLASSES_MAX;
        int32_t k = left->chip[i], c = left->class_of[i];

        for (int32_t j = 0; j < FLY_CLASSES_MAX; j++)
            row[j] = NAN;
        own[i] = NAN;
        if (!measured[k] || s.n[c] < 2)
            continue;
        fly_fewshot_distances(prototypes, features, k, row);
        for (int32_t j = 0; j < cal->n_classes; j++)
            row[j] *= row[j];
        leave_out(&s, cal->n_classes, c, noise_of(noise, k), row);
        own[i] = row[c];
    }
    count_left_out(cal, left);
    if (prototypes->n_counting == 0)
        cal->state = FLY_CALIBRATION_NONE;
    else if (!(cal->scatter > 0.0) && !noise)
        cal->state = FLY_CALIBRATION_BARE;
    else if (prototypes->n_counting == 1 || cal->left_out == 0)
        cal->state = FLY_CALIBRATION_PRIOR;
    else
        cal->state = FLY_CALIBRATION_FITTED;
    fit_tau(cal, prior, left);
    fly_unknown_fit(&cal->unknown, own, cal->state <= FLY_CALIBRATION_BARE ? 0 : left->n, &unknown_prior);
    if (cal->state <= FLY_CALIBRATION_BARE)
        cal->unknown.threshold = INFINITY;
}

void fly_calibration_widen(struct fly_calibration *calibration, double scatter)
{
    struct fly_calibration *cal = calibration;

    FLY_ASSERT(scatter >= 0.0);
    cal->scatter += scatter;
    for (int32_t c = 0; scatter > 0.0 && c < cal->n_classes; c++) {
        cal->class_scatter[c] += scatter;
        cal->width[c] = sqrt(cal->class_scatter[c] / cal->scatter);
    }
}

void fly_calibrated_ratios(const struct fly_calibration *calibration, const double *d, double noise,
                           double *ratio)
{
    double square[FLY_CLASSES_MAX];

    for (int32_t c = 0; c < calibration->n_classes; c++)
        square[c] = d[c] * d[c];
    ratios(square, calibration->doubt, calibration->class_scatter, calibration->n_classes, noise, ratio);
}

void fly_calibrated_scores(const struct fly_calibration *calibration, const double *ratio, double *score)
{
    double distance[FLY_CLASSES_MAX];

    for (int32_t c = 0; c < calibration->n_classes; c++)
        distance[c] = fly_calibrated_distance(calibration, c, ratio[c]);
    fly_fewshot_scores(distance, calibration->n_classes, calibration->tau, score);
}

int32_t fly_calibrated_label(const struct fly_unknown *unknown, const double *ratio, const double *score,
                             int32_t n_classes, double *confidence)
{
    double nearest = INFINITY;
    int32_t counting = 0, label = fly_fewshot_label(score, n_classes);

    *confidence = NAN;
    for (int32_t c = 0; c < n_classes; c++) {
        counting += !isnan(ratio[c]);
        if (ratio[c] < nearest)
            nearest = ratio[c];
    }
    if (label < 0)
        return label;
    if (nearest > unknown->threshold)
        return FLY_LABEL_UNKNOWN;
    *confidence = counting > 1 ? score[label] : fly_unknown_known(unknown, nearest);
    return label;
}
