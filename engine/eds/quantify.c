#include "engine/eds/quantify.h"

#include <math.h>
#include <string.h>

#include "engine/eds/cholesky.h"
#include "engine/eds/quantifier.h"

/* How far an element stands out to be kept in the fit; to be called detected takes more. */
#define KEPT 1.8

/* So far below 0, in standard deviations, no scatter leads: the lines do not fit the detector's, and the
 * element is left at 0. */
#define NO_SCATTER 3.0

/* At.% that an element which does not stand out may well have. */
#define RESERVE_PERCENT 10.0

/* Of what that expectation steadies the estimates by, the part that counts as known; the rest is doubt. Were all
 * of it known, 38 to 71 % of 68 % intervals would hold the metal of a near-pure layer, whose light element hides
 * below its limit; were none, 74 % those of SrTiO3 (test_quantify_intervals.c). */
#define EXPECTED_KNOWN 0.25

enum { ROUNDS = 6 }; /* ml: elements taken back in, one a round */

static const struct fly_eds_family *family_of(const struct fly_quantifier *q, int32_t i)
{
    const struct fly_element *elements;

    fly_elements(q->axis.set, &elements);
    return &elements[q->choices[i].element].families[q->choices[i].family];
}

struct fly_quantified_line fly_quantifier_line(const struct fly_quantifier *q, int32_t element)
{
    const struct fly_element *elements;

    FLY_ASSERT(element >= 0 && element < q->n);
    fly_elements(q->axis.set, &elements);
    return (struct fly_quantified_line){.symbol = elements[q->choices[element].element].symbol,
                                        .line = family_of(q, element)->name,
                                        .kev = family_of(q, element)->lines[0].kev,
                                        .mass_u = q->mass_u[element],
                                        .k = q->k[element],
                                        .users_k = q->users_k[element]};
}

int fly_quantifier_k_mixed(const struct fly_quantifier *q)
{
    return q->k_mixed;
}

void fly_quantifier_windows(const struct fly_quantifier *q, int32_t *windows)
{
    for (int32_t i = 0; i < q->n; i++)
        fly_line_windows(&q->axis, family_of(q, i)->lines[0].kev, windows + 6 * i);
}

void fly_quantifier_percent(const struct fly_quantifier *q, const double *intensity, const double *covariance,
                            double *percent, double *sigma)
{
    fly_cliff_lorimer(intensity, q->k, q->mass_u, q->n, percent);
    if (sigma)
        fly_cliff_lorimer_sigma(intensity, covariance, q->k, q->mass_u, q->n, sigma);
}

double fly_quantifier_extraneous(const struct fly_quantifier *q, const double *percent)
{
    const char *symbols[FLY_ELEMENTS_MAX];

    for (int32_t i = 0; i < q->n; i++)
        symbols[i] = fly_quantifier_line(q, i).symbol;
    return fly_extraneous(symbols, percent, q->n);
}

const struct fly_mixture *fly_quantifier_mixture(const struct fly_quantifier *q)
{
    FLY_ASSERT(q->method == FLY_QUANTIFY_ML);
    return &q->mixture;
}

/* ---- work -------------------------------------------------------------------------------------- */

size_t fly_quantify_work_need(const struct fly_quantifier *q)
{
    size_t need = fly_arena_need((size_t)q->axis.n_channels, sizeof(double)), m = (size_t)q->m;

    if (q->method != FLY_QUANTIFY_ML)
        return need;
    need = fly_size_add(need, fly_arena_need((size_t)q->mixture.n_bins, sizeof(double)));
    need = fly_size_add(need, 3 * fly_arena_need(m, sizeof(double)));
    need = fly_size_add(need, 2 * fly_arena_need(m * m, sizeof(double)));
    return fly_size_add(need, fly_likelihood_need(q->mixture.n_bins, q->m));
}

void fly_quantify_work_init(struct fly_quantify_work *work, const struct fly_quantifier *q,
                            struct fly_arena *arena)
{
    size_t m = (size_t)q->m;

    memset(work, 0, sizeof *work);
    work->counts = fly_arena_take(arena, (size_t)q->axis.n_channels, sizeof(double));
    FLY_ASSERT(work->counts);
    if (q->method != FLY_QUANTIFY_ML)
        return;
    work->bins = fly_arena_take(arena, (size_t)q->mixture.n_bins, sizeof(double));
    work->theta = fly_arena_take(arena, m, sizeof(double));
    work->score = fly_arena_take(arena, m, sizeof(double));
    work->column = fly_arena_take(arena, m, sizeof(double));
    work->information = fly_arena_take(arena, m * m, sizeof(double));
    work->factor = fly_arena_take(arena, m * m, sizeof(double));
    FLY_ASSERT(work->bins && work->theta && work->score && work->column && work->information && work->factor);
    fly_likelihood_init(&work->fit, q->mixture.n_bins, q->m, arena);
}

/* ---- fit and window ---------------------------------------------------------------------------- */

static double share(const struct fly_quantifier *q, int32_t i, double intensity)
{
    return intensity > 0.0 ? intensity * q->k[i] / q->mass_u[i] : 0.0;
}

/* A limit in counts as atomic percent, the element standing beside what was found. */
static double limit_percent(const struct fly_quantifier *q, int32_t i, double count, const double *intensity)
{
    double others = 0.0, own = share(q, i, count);

    for (int32_t j = 0; j < q->n; j++)
        others += j != i ? share(q, j, intensity[j]) : 0.0;
    return isinf(own) ? 100.0 : 100.0 * own / (others + own);
}

/* How strong a line must be to count as there: Schwarz 1978, a parameter must gain half the log of the number
 * of observations. 2.1 deviations at 100 counts, 3.2 at 30 000. */
static double standing_out(double counts)
{
    return sqrt(log(counts > 10.0 ? counts : 10.0));
}

/* Channels without counts add nothing, and skipping them changes no bit. */
static void quantify_linear(const struct fly_quantifier *q, const double *counts, struct fly_composition *out)
{
    int32_t n = q->n;
    double covariance[FLY_ELEMENTS_MAX * FLY_ELEMENTS_MAX] = {0}, bar = standing_out((double)out->counts);

    memset(out->intensity, 0, (size_t)n * sizeof *out->intensity);
    for (int32_t c = q->first; c < q->axis.n_channels; c++) {
        const double *p = q->p + (int64_t)c * n;

        if (!(counts[c] > 0.0))
            continue;
        for (int32_t i = 0; i < n; i++) {
            double scaled = counts[c] * p[i], *row = covariance + i * n;

            out->intensity[i] += scaled;
            for (int32_t j = 0; j <= i; j++)
                row[j] += scaled * p[j];
        }
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++)
            covariance[j * n + i] = covariance[i * n + j];
    fly_quantifier_percent(q, out->intensity, covariance, out->percent, out->sigma);
    for (int32_t i = 0; i < n; i++) {
        double found = out->intensity[i], variance = covariance[i * n + i], null = variance - fmax(found, 0.0);

        out->intensity_sigma[i] = sqrt(variance);
        out->detected[i] = fly_count_significance(found, null) >= bar;
        out->limit[i] = out->detected[i]
                            ? NAN
                            : limit_percent(q, i, fly_count_limit(found, null), out->intensity);
    }
}

void fly_quantify_linear_ref(const struct fly_quantifier *q, const uint32_t *spectrum, double *intensity)
{
    for (int32_t i = 0; i < q->n; i++) {
        double sum = 0.0;

        for (int32_t c = 0; c < q->axis.n_channels; c++)
            sum += q->p[(int64_t)c * q->n + i] * (double)spectrum[c];
        intensity[i] = sum;
    }
}

/* ---- ml ---------------------------------------------------------------------------------------- */

static void bin_counts(const struct fly_quantifier *q, const double *counts, double *bins)
{
    memset(bins, 0, (size_t)q->mixture.n_bins * sizeof *bins);
    for (int32_t c = q->first; c < q->axis.n_channels; c++)
        bins[q->bin_of[c]] += counts[c];
}

void fly_quantifier_bin(const struct fly_quantifier *q, const uint32_t *spectrum, double *bins)
{
    FLY_ASSERT(q->method == FLY_QUANTIFY_ML);
    memset(bins, 0, (size_t)q->mixture.n_bins * sizeof *bins);
    for (int32_t c = q->first; c < q->axis.n_channels; c++)
        bins[q->bin_of[c]] += spectrum[c];
}

/* What is known about the columns in the fit: Fisher's information of all of them, and the factor of the
 * part that is active. */
struct knowledge {
    int32_t n_active;
    int32_t active[FLY_COLUMNS_MAX];
    const double *information;
    double *factor; /* (n_active, n_active) in rows of m */
    int32_t m;
};

static double information_at(const struct knowledge *k, int32_t a, int32_t b)
{
    return a > b ? k->information[(int64_t)a * k->m + b] : k->information[(int64_t)b * k->m + a];
}

static void factorise(const struct fly_quantifier *q, const uint8_t *active, const double *expected,
                      struct knowledge *k)
{
    double ridge = 1e-9;

    k->n_active = 0;
    for (int32_t j = 0; j < q->m; j++)
        if (active[j] && q->mixture.sum[j] > 0.0)
            k->active[k->n_active++] = j;
    for (int tries = 0; ; tries++, ridge *= 1e3) {
        for (int32_t i = 0; i < k->n_active; i++) {
            double *row = k->factor + (int64_t)i * k->m;

            for (int32_t j = 0; j < i; j++)
                row[j] = information_at(k, k->active[i], k->active[j]);
            /* Two lines at one energy cannot be told apart: the ridge then shares out what they have. */
            row[i] = information_at(k, k->active[i], k->active[i]) * (1.0 + ridge) + 1e-300;
            if (expected)
                row[i] += expected[k->active[i]];
        }
        if (fly_cholesky(k->factor, k->n_active, k->m) == 0)
            return;
        FLY_ASSERT(tries < 8);
    }
}

static void learn(const struct fly_quantifier *q, struct fly_quantify_work *work, const uint8_t *active,
                  struct knowledge *k)
{
    fly_likelihood_information(&q->mixture, work->theta, work->information);
    k->information = work->information;
    k->factor = work->factor;
    k->m = q->m;
    factorise(q, active, NULL, k);
}

/* The active place of a column, -1 when it has none. */
static int32_t place_of(const struct knowledge *k, int32_t column)
{
    for (int32_t i = 0; i < k->n_active; i++)
        if (k->active[i] == column)
            return i;
    return -1;
}

/* Column `place` of the inverse of the factor: their products are covariances. */
static void half_inverse(const struct knowledge *k, int32_t place, double *x)
{
    memset(x, 0, (size_t)k->n_active * sizeof *x);
    x[place] = 1.0;
    fly_cholesky_forward(k->factor, k->n_active, k->m, x);
}

static double dot(const double *a, const double *b, int32_t n)
{
    double sum = 0.0;

    for (int32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* What column j would get if it came in beside the active ones (Rao's score step), and its variance
 * while it is not there. */
static double score_step(const struct knowledge *k, const double *score, int32_t j, double *x,
                         double *null_variance)
{
    double known = information_at(k, j, j);

    for (int32_t i = 0; i < k->n_active; i++)
        x[i] = information_at(k, j, k->active[i]);
    fly_cholesky_forward(k->factor, k->n_active, k->m, x);
    known -= dot(x, x, k->n_active);
    /* Nothing tells it from the others: no step, and no end to what it might be. */
    if (!(known > 1e-12 * information_at(k, j, j)) || !(known > 0.0)) {
        *null_variance = INFINITY;
        return 0.0;
    }
    *null_variance = 1.0 / known;
    return score[j] / known;
}

/* 1 for background, for what is only fitted, and for every family of the elements kept. */
static void allow(const struct fly_quantifier *q, const uint8_t *kept, uint8_t *active)
{
    for (int32_t j = 0; j < q->m; j++) {
        int32_t i = q->columns[j].element;

        active[j] = i < 0 || i >= q->n || kept[i];
    }
}

/* Which elements the fit of all of them shows clearly. */
static void keep_the_clear(const struct fly_quantifier *q, struct fly_quantify_work *work,
                           const struct knowledge *k, uint8_t *kept)
{
    for (int32_t i = 0; i < q->n; i++) {
        int32_t place = place_of(k, i);
        double variance = 0.0;

        if (place >= 0) {
            half_inverse(k, place, work->column);
            variance = dot(work->column, work->column, k->n_active);
        }
        kept[i] = place >= 0 && fly_count_significance(work->theta[i], variance - work->theta[i]) >= KEPT;
    }
}

/* The estimates of all elements and their scatter. */
struct estimate {
    double inverse[FLY_ELEMENTS_MAX * FLY_ELEMENTS_MAX];    /* (n, n) of the information */
    double covariance[FLY_ELEMENTS_MAX * FLY_ELEMENTS_MAX]; /* (n, n) */
    double expected[FLY_COLUMNS_MAX]; /* information that is expectation, by column: elements stand first */
    uint8_t with[FLY_COLUMNS_MAX];
};

/* Which columns take part, and what is expected of those that did not stand out; returns 0 when nothing did. */
static int expect(const struct fly_quantifier *q, const struct fly_quantify_work *work, const uint8_t *active,
                  struct estimate *e)
{
    double all = 0.0;

    memset(e, 0, sizeof *e);
    memcpy(e->with, active, (size_t)q->m);
    for (int32_t i = 0; i < q->n; i++)
        all += share(q, i, work->theta[i]);
    for (int32_t i = 0; i < q->n; i++) {
        double scale = RESERVE_PERCENT / 100.0 * all * q->mass_u[i] / q->k[i];

        if (active[i])
            continue;
        e->with[i] = isfinite(work->null[i]) && work->step[i] > -NO_SCATTER * sqrt(work->null[i]);
        e->expected[i] = e->with[i] && all > 0.0 ? 1.0 / (scale * scale) : 0.0;
    }
    return all > 0.0;
}

/* One step of Fisher's scoring from the fit, over its columns and one for each other element. */
static void take_step(const struct fly_quantifier *q, struct fly_quantify_work *work, struct knowledge *k,
                      struct estimate *e, double *intensity)
{
    double half[FLY_ELEMENTS_MAX][FLY_COLUMNS_MAX];
    int32_t n = q->n, place[FLY_ELEMENTS_MAX];

    factorise(q, e->with, e->expected, k);
    for (int32_t i = 0; i < k->n_active; i++)
        work->column[i] = work->score[k->active[i]];
    fly_cholesky_forward(k->factor, k->n_active, k->m, work->column);
    fly_cholesky_back(k->factor, k->n_active, k->m, work->column);
    for (int32_t i = 0; i < n; i++) {
        place[i] = place_of(k, i);
        if (place[i] < 0) {
            e->inverse[i * n + i] = isfinite(work->null[i]) ? work->null[i] : 0.0; /* its limit is 100 */
            continue;
        }
        intensity[i] = work->theta[i] + work->column[place[i]];
        half_inverse(k, place[i], half[i]);
        for (int32_t j = 0; j <= i; j++)
            if (place[j] >= 0)
                e->inverse[i * n + j] = e->inverse[j * n + i] = dot(half[i], half[j], k->n_active);
    }
}

/* What the estimates may be off by: an expectation steadies them, but it is no measurement. */
static void scatter(const struct fly_quantifier *q, const uint8_t *active, const double *intensity,
                    struct estimate *e)
{
    int32_t n = q->n;

    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++) {
            double sum = e->inverse[i * n + j];

            for (int32_t u = 0; u < n; u++)
                sum -= EXPECTED_KNOWN * e->inverse[i * n + u] * e->expected[u] * e->inverse[u * n + j];
            e->covariance[i * n + j] = sum;
        }
    for (int32_t i = 0; i < n; i++)
        if (!active[i] && e->with[i]) /* the fit knows nothing of its own counts */
            e->covariance[i * n + i] += fmax(intensity[i], 0.0);
}

/* Atomic percents of all elements. What did not stand out may still be there, and were it called 0 the
 * others would divide its share among them: a scatter of small amounts, each below its limit, is worth
 * a tenth. So it gets what one more step gives it: without bias, and so as often below 0 as above where nothing
 * is. Where its line cannot be told from others, the expectation of 0 +- RESERVE_PERCENT keeps it small. */
static void percent_of_all(const struct fly_quantifier *q, struct fly_quantify_work *work, const uint8_t *active,
                           struct knowledge *k, struct fly_composition *out)
{
    double positive[FLY_ELEMENTS_MAX], bar = standing_out((double)out->counts);
    struct estimate e;
    int found = expect(q, work, active, &e);

    take_step(q, work, k, &e, out->intensity);
    scatter(q, active, out->intensity, &e);
    if (found)
        fly_signed_percent(out->intensity, e.covariance, q->k, q->mass_u, q->n, out->percent, out->sigma);
    for (int32_t i = 0; i < q->n; i++)
        positive[i] = found ? fmax(out->intensity[i], 0.0) : 0.0;
    for (int32_t i = 0; i < q->n; i++) {
        double at = active[i] ? out->intensity[i] : work->step[i];
        double null = active[i] ? e.inverse[i * q->n + i] - positive[i] : work->null[i];

        out->intensity_sigma[i] = sqrt(fmax(e.covariance[i * q->n + i], 0.0));
        out->detected[i] = found && fly_count_significance(at, null) >= bar;
        out->limit[i] = out->detected[i] ? NAN : limit_percent(q, i, fly_count_limit(at, null), positive);
    }
}

/* Fit everything, keep what stands out, fit again without the rest, and take back in what is then seen to
 * be missing. Were all of a dozen absent elements left in, each held at or above 0, they would on average
 * take counts that belong to others: a tenth of the oxygen at 300 counts. */
static void quantify_ml(const struct fly_quantifier *q, struct fly_quantify_work *work,
                        struct fly_composition *out)
{
    uint8_t active[FLY_COLUMNS_MAX], kept[FLY_ELEMENTS_MAX];
    struct knowledge k;

    bin_counts(q, work->counts, work->bins);
    memset(work->theta, 0, (size_t)q->m * sizeof *work->theta);
    memset(kept, 1, sizeof kept);
    allow(q, kept, active);
    out->steps = fly_likelihood_fit(&q->mixture, work->bins, active, 1e-1, work->theta, &work->fit);
    learn(q, work, active, &k);
    keep_the_clear(q, work, &k, kept);
    for (int round = 0; ; round++) {
        int32_t best = -1;
        double highest = KEPT;

        allow(q, kept, active);
        out->steps += fly_likelihood_fit(&q->mixture, work->bins, active, 1e-4, work->theta, &work->fit);
        learn(q, work, active, &k);
        fly_likelihood_score(&q->mixture, work->bins, work->theta, work->score);
        for (int32_t i = 0; i < q->n; i++) {
            double null, at, stands;

            if (kept[i])
                continue;
            at = score_step(&k, work->score, i, work->column, &null);
            work->step[i] = at;
            work->null[i] = null;
            stands = isinf(null) ? 0.0 : fly_count_significance(at, null);
            if (stands >= highest) {
                highest = stands;
                best = i;
            }
        }
        if (best < 0 || round == ROUNDS)
            break;
        kept[best] = 1;
    }
    percent_of_all(q, work, active, &k, out);
    work->steps += (uint64_t)out->steps;
}

/* ---- compositions ------------------------------------------------------------------------------ */

static void all_unknown(struct fly_composition *out)
{
    for (int32_t i = 0; i < out->n_elements; i++) {
        out->intensity[i] = out->intensity_sigma[i] = NAN;
        out->percent[i] = out->sigma[i] = out->limit[i] = NAN;
        out->detected[i] = 0;
    }
}

static uint64_t unmasked(const struct fly_quantifier *q, const double *counts)
{
    double sum = 0.0; /* of integers, exact below 2^53 */

    for (int32_t c = q->first; c < q->axis.n_channels; c++)
        sum += counts[c];
    return (uint64_t)sum;
}

/* Of work->counts. */
static void quantify(const struct fly_quantifier *q, struct fly_quantify_work *work, struct fly_composition *out)
{
    memset(out, 0, sizeof *out);
    out->n_elements = q->n;
    out->counts = unmasked(q, work->counts);
    if (out->counts < (uint64_t)q->min_counts) {
        out->status = FLY_QUANTIFY_TOO_FEW;
        all_unknown(out);
        return;
    }
    work->chips_quantified++;
    work->photons_applied += out->counts;
    if (q->method == FLY_QUANTIFY_ML)
        quantify_ml(q, work, out);
    else
        quantify_linear(q, work->counts, out);
}

void fly_quantify(const struct fly_quantifier *q, struct fly_quantify_work *work, const uint32_t *spectrum,
                  struct fly_composition *out)
{
    for (int32_t c = 0; c < q->axis.n_channels; c++)
        work->counts[c] = (double)spectrum[c];
    quantify(q, work, out);
}

void fly_quantify_sum(const struct fly_quantifier *q, struct fly_quantify_work *work, const uint64_t *spectrum,
                      struct fly_composition *out)
{
    for (int32_t c = 0; c < q->axis.n_channels; c++)
        work->counts[c] = (double)spectrum[c];
    quantify(q, work, out);
}

int32_t fly_quantify_touched(int32_t rows, int32_t cols, int32_t chip, int32_t chips[9])
{
    int32_t n = 1, y = chip / cols, x = chip % cols;

    chips[0] = chip;
    for (int32_t r = y - 1; r <= y + 1; r++)
        for (int32_t c = x - 1; c <= x + 1; c++)
            if (r >= 0 && r < rows && c >= 0 && c < cols && (r != y || c != x))
                chips[n++] = r * cols + c;
    return n;
}

void fly_quantify_chip(const struct fly_quantifier *q, struct fly_quantify_work *work, const uint32_t *spectra,
                       int32_t rows, int32_t cols, int32_t chip, struct fly_composition *out)
{
    int32_t chips[9], n = fly_quantify_touched(rows, cols, chip, chips);
    size_t e = (size_t)q->axis.n_channels;

    fly_quantify(q, work, spectra + (size_t)chip * e, out);
    if (out->status != FLY_QUANTIFY_TOO_FEW)
        return;
    for (int32_t i = 1; i < n; i++)
        for (size_t c = 0; c < e; c++)
            work->counts[c] += (double)spectra[(size_t)chips[i] * e + c];
    quantify(q, work, out);
    if (out->status == FLY_QUANTIFY_OK)
        out->status = FLY_QUANTIFY_POOLED;
}

int fly_quantifier_film(const struct fly_quantifier *q, const struct fly_film *film,
                        struct fly_composition *composition)
{
    double found[FLY_ELEMENTS_MAX], factor[FLY_ELEMENTS_MAX], before[FLY_ELEMENTS_MAX];
    int rc = fly_film_check(film, q->n);

    if (rc < 0)
        return rc;
    for (int32_t i = 0; i < q->n; i++) {
        before[i] = composition->percent[i];
        found[i] = before[i] > 0.0 ? composition->intensity[i] : 0.0;
    }
    fly_film_correct(film, q->k, q->n, found, factor);
    fly_cliff_lorimer(found, q->k, q->mass_u, q->n, composition->percent);
    for (int32_t i = 0; i < q->n; i++) {
        double ratio = before[i] > 0.0 ? composition->percent[i] / before[i] : factor[i];

        composition->intensity[i] *= factor[i];
        composition->intensity_sigma[i] *= factor[i];
        composition->sigma[i] *= ratio;
        if (composition->limit[i] * ratio < 100.0 || isnan(composition->limit[i]))
            composition->limit[i] *= ratio;
        else
            composition->limit[i] = 100.0;
    }
    return FLY_OK;
}
