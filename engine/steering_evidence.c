/* How fast evidence grows between two classes, and how well their compositions are known. */
#include "engine/steering.h"

#include <math.h>
#include <string.h>

#include "engine/label/shares.h"
#include "engine/state.h"

/* Elements below it do not make a phase; their relative errors never get small. Atomic percent. */
static const double major_percent = 10.0;

/* ---- X-rays ---------------------------------------------------------------------------------------------- */

/* What is summed of each class. */
struct sums {
    double counts[FLY_STEER_CLASSES_MAX];   /* of the template */
    double rate_us[FLY_STEER_CLASSES_MAX];  /* counts of a chip for a us; NaN: not known */
};

/* Does the chip have photons whose dwell somebody told? Frames without one count a ns each. */
static int speaks(const struct fly_engine *e, int32_t k)
{
    uint64_t least = 2u * (uint64_t)fly_spectra_version(e->spectra, k);

    return fly_spectra_total(e->spectra, k) > 0 && fly_spectra_dwell_ns(e->spectra, k) > least;
}

static void add_chip(const struct fly_engine *e, int32_t k, double *row, int32_t per_bin)
{
    const uint32_t *counts = fly_spectra_of(e->spectra, k);

    for (int32_t ch = 0, b = 0; ch < e->config.n_channels; b++) {
        int32_t end = ch + per_bin < e->config.n_channels ? ch + per_bin : e->config.n_channels;
        uint64_t sum = 0;

        for (; ch < end; ch++)
            sum += counts[ch];
        row[b] += (double)sum;
    }
}

/* Sums of up to FLY_STEER_TEMPLATE_CHIPS chips of class c, at even steps through all that are surely of it. */
static void sum_class(struct fly_engine *e, int32_t c, int32_t bins, int32_t per_bin, struct sums *sums)
{
    struct fly_steering_state *s = &e->steering;
    double *row = s->template + (size_t)c * (size_t)bins;
    int64_t n = 0, seen = 0, taken = 0, most;
    double dwell_us = 0.0;

    for (int32_t k = 0; k < e->n_chips; k++)
        n += s->label[k] == c && speaks(e, k);
    most = n < FLY_STEER_TEMPLATE_CHIPS ? n : FLY_STEER_TEMPLATE_CHIPS;
    sums->counts[c] = 0.0;
    for (int32_t k = 0; k < e->n_chips && taken < most; k++) {
        if (s->label[k] != c || !speaks(e, k))
            continue;
        if (seen++ != taken * n / most)
            continue;
        add_chip(e, k, row, per_bin);
        sums->counts[c] += (double)fly_spectra_total(e->spectra, k);
        dwell_us += 1e-3 * (double)fly_spectra_dwell_ns(e->spectra, k) / e->config.segments;
        taken++;
    }
    sums->rate_us[c] = dwell_us > 0.0 ? sums->counts[c] / dwell_us : NAN;
}

/* Nats that a photon of a tells of it against b. all: the mean of all, of which each class has one photon. */
static double divergence(const double *a, double n_a, const double *b, double n_b, const double *all, double n_all,
                         int32_t bins)
{
    double kl = 0.0;
    int32_t used = 0;

    for (int32_t i = 0; i < bins; i++) {
        double p = (a[i] + all[i] / n_all) / (n_a + 1.0), q = (b[i] + all[i] / n_all) / (n_b + 1.0);

        if (all[i] > 0.0) {
            kl += p * log(p / q);
            used++;
        }
    }
    return fmax(0.0, kl - 0.5 * (used - 1) * (1.0 / n_a + 1.0 / n_b));
}

void fly_engine_eds_rates(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_steering_state *s = &e->steering;
    int32_t per_bin, bins, n = s->classes;
    double *all, n_all = 0.0;
    struct sums sums;

    if (!e->spectra)
        return;
    per_bin = fly_shares_channels(e->config.ev_per_channel, FLY_SHARE_EV);
    bins = fly_shares_width(e->config.n_channels, per_bin);
    all = s->template + (size_t)n * (size_t)bins;
    memset(s->template, 0, (size_t)(n + 1) * (size_t)bins * sizeof *s->template);
    for (int32_t c = 0; c < n; c++) {
        sum_class(e, c, bins, per_bin, &sums);
        n_all += sums.counts[c];
        for (int32_t i = 0; i < bins; i++)
            all[i] += s->template[(size_t)c * (size_t)bins + (size_t)i];
    }
    for (int32_t a = 0; a < n; a++)
        for (int32_t b = 0; b < n; b++) {
            const double *from = s->template + (size_t)a * (size_t)bins, *to = s->template + (size_t)b * (size_t)bins;
            double *rate = &s->rate[FLY_EDS][a * n + b];

            *rate = NAN;
            if (a != b && sums.counts[a] > 0.0 && sums.counts[b] > 0.0)
                *rate = sums.rate_us[a] * divergence(from, sums.counts[a], to, sums.counts[b], all, n_all, bins);
        }
}

/* ---- image ----------------------------------------------------------------------------------------------- */

/* |mean_a - mean_b|^2 */
static double gap(const struct fly_prototypes *p, int32_t a, int32_t b)
{
    const double *x = p->mean + (size_t)a * (size_t)p->width, *y = p->mean + (size_t)b * (size_t)p->width;
    double sum = 0.0;

    for (int32_t i = 0; i < p->width; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

/* Noise in the scatter of the classes, and the mean dose that it comes with, us: of the chips whose halves were compared;
 * NaN where none were. */
static double image_noise(const struct fly_engine *e, double *dose_us)
{
    const struct fly_steering_state *s = &e->steering;
    double sum = 0.0;
    int32_t n;

    for (n = 0; n < e->reliability.n; n++)
        sum += (double)s->mean_us[e->reliability.chips[n]];
    *dose_us = sum / n; /* of none: NaN */
    return s->image_noise;
}

int fly_engine_image_rates(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_steering_state *s = &e->steering;
    const struct fly_calibration *cal = fly_engine_main_calibration(e, FLY_HAADF);
    const struct fly_prototypes *p = &e->fewshot[e->levels.main].prototypes;
    double factor = (e->joint.reason == FLY_WEIGHTS_ALONE ? 1.0 : e->joint.evidence) * e->joint.weight[0];
    double dose_us, noise;

    if (!e->assembly || s->by_cluster || cal->state == FLY_CALIBRATION_NONE)
        return 0;
    noise = image_noise(e, &dose_us);
    if (isnan(noise) || !(dose_us > 0.0))
        return 0;
    for (int32_t a = 0; a < s->classes; a++)
        for (int32_t b = 0; b < s->classes; b++) {
            int32_t i = s->class_id[a], j = s->class_id[b];
            double *rate = &s->rate[FLY_HAADF][a * s->classes + b], scatter = cal->class_scatter[j], x;

            *rate = NAN;
            if (a == b || !p->counts[i] || !p->counts[j] || !(scatter > 0.0))
                continue;
            x = fmax(0.0, gap(p, i, j) - cal->doubt[j]) / scatter;
            *rate = factor / cal->tau * x / (2.0 + x) * fmin(1.0, noise / scatter) / dose_us;
        }
    return 1;
}

/* ---- compositions ---------------------------------------------------------------------------------------- */

/* Largest relative error of an element's mean over the chips of class c. Chips that borrow from their neighbours share
 * photons nine by nine: their mean varies as if each stood alone with a ninth of them. */
static double composition_error(const struct fly_engine *e, int32_t c)
{
    const struct fly_steering_state *s = &e->steering;
    double error = NAN;

    for (int32_t el = 0; el < e->n_elements; el++) {
        double sum = 0.0, variance = 0.0;
        int32_t n = 0;

        for (int32_t k = 0; k < e->n_chips; k++) {
            size_t at = (size_t)k * (size_t)e->n_elements + (size_t)el;
            double sigma;

            if (s->label[k] != c || e->made[k] != FLY_MADE || e->status[k] == FLY_QUANTIFY_TOO_FEW)
                continue;
            sigma = (double)e->percent_sigma[at];
            sum += e->percent[at];
            variance += sigma * sigma * (e->status[k] == FLY_QUANTIFY_POOLED ? 9.0 : 1.0);
            n++;
        }
        if (n && sum / n >= major_percent)
            error = fmax(error, sqrt(variance) / sum); /* a NaN gives way */
    }
    return error;
}

void fly_engine_composition_errors(struct fly_engine *engine)
{
    for (int32_t c = 0; engine->quantifier && c < engine->steering.classes; c++)
        engine->steering.composition_error[c] = composition_error(engine, c);
}
