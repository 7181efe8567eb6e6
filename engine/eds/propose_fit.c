#include "engine/eds/propose_own.h"

#include <math.h>
#include <string.h>

#include "engine/eds/cholesky.h"

#define FWHM_PER_SIGMA 2.3548200450309493

/* Bins this wide hold the sharpest peak, 50 eV, in more than two. */
static const double BIN_EV = 20.0;
/* What real detectors differ from the model by, as parts of it: the main line's shape, the weights of
 * minor lines, tails from incomplete charge towards lower energies, and the background. */
static const double MAIN_DOUBT = 0.02, MINOR_DOUBT = 0.3, TAIL_DOUBT = 0.02, BACKGROUND_DOUBT = 0.05;

/* Where the pieces of the background meet, keV: six peak widths and more apart, lest they follow peaks. */
static const double knots_kev[PROPOSE_BACKGROUNDS] = {0.15, 0.7,  1.3,  2.1,  3.0,  4.0,  5.2, 6.6,
                                                      8.2,  10.0, 12.5, 15.5, 20.0, 28.0, 40.0};
/* A step of the fit that gains less is the last. */
static const double ENOUGH = 1e-6;

static struct fly_eds_axis axis_of(const struct fly_propose_config *config)
{
    struct fly_eds_axis axis = {.set = FLY_LINES_PRODUCT,
                                .n_channels = config->n_channels,
                                .ev_offset = config->ev_offset,
                                .ev_per_channel = config->ev_per_channel,
                                .fwhm_mn_ev = config->fwhm_mn_ev,
                                .beam_kev = config->beam_kev,
                                .mask_ev = config->mask_ev};
    return axis;
}

static double bin_low_kev(const struct propose_fit *fit, int32_t bin)
{
    double channel = fit->first + (double)bin * fit->merge - 0.5;

    return (fit->config.ev_offset + channel * fit->config.ev_per_channel) / 1000.0;
}

static double bin_kev(const struct propose_fit *fit)
{
    return fit->merge * fit->config.ev_per_channel / 1000.0;
}

/* Add a Gaussian of that area at a table energy; four deviations hold all but 6e-5 of it. */
static void add_gaussian(const struct propose_fit *fit, double kev, double area, double *out)
{
    double at = kev * fit->gain + fit->shift_ev / 1000.0;
    double sigma = fly_fwhm_kev(kev, fit->fwhm_mn_ev) / FWHM_PER_SIGMA, scale = 1.0 / (sigma * M_SQRT2);
    double width = bin_kev(fit), low = bin_low_kev(fit, 0);
    double from = floor((at - 4.0 * sigma - low) / width), to = ceil((at + 4.0 * sigma - low) / width);
    int32_t begin = from > 0.0 ? (from < fit->n_bins ? (int32_t)from : fit->n_bins) : 0;
    int32_t end = to < fit->n_bins ? (to > 0.0 ? (int32_t)to : 0) : fit->n_bins;

    for (int32_t b = begin; b < end; b++) {
        double edge = bin_low_kev(fit, b) - at;

        out[b] += 0.5 * area * (erf((edge + width) * scale) - erf(edge * scale));
    }
}

void propose_fit_peak(const struct propose_fit *fit, double kev, double *out)
{
    memset(out, 0, (size_t)fit->n_bins * sizeof *out);
    add_gaussian(fit, kev, 1.0, out);
}

static void fill_family(const struct propose_fit *fit, const struct fly_survey_family *family, double *out)
{
    double all = 0.0;

    memset(out, 0, (size_t)fit->n_bins * sizeof *out);
    for (int32_t l = 0; l < family->n_lines; l++)
        all += family->lines[l].weight;
    for (int32_t l = 0; l < family->n_lines; l++)
        if (family->lines[l].kev < fit->config.beam_kev)
            add_gaussian(fit, family->lines[l].kev, family->lines[l].weight / all, out);
}

int propose_fit_sees(const struct propose_fit *fit, int32_t family)
{
    double kev = fit->families[family].lines[0].kev, side = fly_fwhm_kev(kev, fit->config.fwhm_mn_ev);

    /* Below 1.2 times the line's energy a beam hardly excites it. */
    return kev - side > bin_low_kev(fit, 0) && kev + side < bin_low_kev(fit, fit->n_bins) &&
           kev * 1.2 < fit->config.beam_kev;
}

static double *column_place(const struct propose_fit *fit, int32_t column)
{
    return fit->column_a + (size_t)column * 2 * (size_t)fit->n_bins;
}

/* What a line of a family may be wrong by: its own shape or weight, and a tail below it of three widths. */
static void doubt_line(const struct propose_fit *fit, double kev, double area, double part, double *out)
{
    double fwhm = fly_fwhm_kev(kev, fit->fwhm_mn_ev);

    add_gaussian(fit, kev, part * area, out);
    for (int i = 1; i <= 3; i++)
        add_gaussian(fit, kev - i * fwhm, TAIL_DOUBT / 3.0 * area, out);
}

static void fill_column(struct propose_fit *fit, struct propose_column *column)
{
    double all = 0.0;

    memset(column->doubt, 0, (size_t)fit->n_bins * sizeof *column->doubt);
    if (column->kind <= FLY_PROPOSED_OTHER) {
        const struct fly_survey_family *family = &fit->families[column->family];

        memcpy(column->a, fit->family_a + (size_t)column->family * (size_t)fit->n_bins,
               (size_t)fit->n_bins * sizeof *column->a);
        for (int32_t l = 0; l < family->n_lines; l++)
            all += family->lines[l].weight;
        for (int32_t l = 0; l < family->n_lines; l++)
            doubt_line(fit, family->lines[l].kev, family->lines[l].weight / all,
                       l == 0 ? MAIN_DOUBT : MINOR_DOUBT, column->doubt);
    } else {
        propose_fit_peak(fit, column->kev, column->a);
        doubt_line(fit, column->kev, 1.0, MAIN_DOUBT, column->doubt);
    }
}

void propose_fit_layout(struct propose_fit *fit)
{
    for (int32_t f = 0; f < fit->n_families; f++)
        fill_family(fit, &fit->families[f], fit->family_a + (size_t)f * (size_t)fit->n_bins);
    for (int32_t c = 0; c < fit->n_columns; c++)
        fill_column(fit, &fit->columns[c]);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Channels to a bin; 1 for a width that fly_propose will refuse. */
static int32_t merge_of(const struct fly_propose_config *config)
{
    double merge = floor(BIN_EV / config->ev_per_channel + 0.5);

    return merge > 1.0 && merge < 1000.0 ? (int32_t)merge : 1;
}

static void measure(struct propose_fit *fit, const struct fly_propose_config *config)
{
    struct fly_eds_axis axis = axis_of(config);
    double end;

    memset(fit, 0, sizeof *fit);
    fit->config = *config;
    fit->merge = merge_of(config);
    fit->first = fly_axis_first(&axis);
    /* Within what the background is made for: it begins at 50 eV and ends at the beam's energy. */
    while (fit->first < config->n_channels && fly_axis_kev(&axis, fit->first) <= 0.06)
        fit->first++;
    end = floor((config->beam_kev * 1000.0 - config->ev_offset) / config->ev_per_channel);
    fit->n_bins = end < config->n_channels ? (int32_t)(end > 0.0 ? end : 0.0) : config->n_channels;
    fit->n_bins = fit->n_bins > fit->first ? (fit->n_bins - fit->first) / fit->merge : 0;
    fit->gain = 1.0;
    fit->fwhm_mn_ev = config->fwhm_mn_ev;
    fit->n_families = fly_survey(fit->families);
}

/* How many doubles of B each. */
static size_t rows_of_bins(const struct propose_fit *fit)
{
    return 6 + PROPOSE_BACKGROUNDS + (size_t)fit->n_families + 2 * PROPOSE_LINES_MAX;
}

size_t fly_propose_need(const struct fly_propose_config *config)
{
    size_t bins = (size_t)(config->n_channels > 0 ? config->n_channels : 0) / (size_t)merge_of(config);
    size_t m = FLY_COLUMNS_MAX, rows = 6 + PROPOSE_BACKGROUNDS + FLY_SURVEY_MAX + 2 * PROPOSE_LINES_MAX;
    size_t need = fly_arena_need(1, sizeof(struct propose_fit));

    need = fly_size_add(need, fly_arena_need(rows * bins, sizeof(double)));
    need = fly_size_add(need, fly_arena_need(bins + 1, sizeof(int32_t)));
    need = fly_size_add(need, fly_arena_need(bins * m, 1));
    need = fly_size_add(need, fly_arena_need(bins * m, sizeof(double)));
    need = fly_size_add(need, 2 * fly_arena_need(m, sizeof(double)));
    need = fly_size_add(need, fly_arena_need(m, 1));
    need = fly_size_add(need, fly_arena_need(m * m, sizeof(double)));
    return fly_size_add(need, fly_likelihood_need((int32_t)bins, (int32_t)m));
}

static int take_memory(struct propose_fit *fit, struct fly_arena *arena)
{
    size_t bins = (size_t)fit->n_bins, m = FLY_COLUMNS_MAX;
    double *rows = fly_arena_take(arena, rows_of_bins(fit) * bins, sizeof *rows);

    fit->mixture.first = fly_arena_take(arena, bins + 1, sizeof *fit->mixture.first);
    fit->mixture.column = fly_arena_take(arena, bins * m, 1);
    fit->mixture.value = fly_arena_take(arena, bins * m, sizeof *fit->mixture.value);
    fit->mixture.sum = fly_arena_take(arena, m, sizeof *fit->mixture.sum);
    fit->theta = fly_arena_take(arena, m, sizeof *fit->theta);
    fit->active = fly_arena_take(arena, m, 1);
    fit->information = fly_arena_take(arena, m * m, sizeof *fit->information);
    if (!rows || !fit->mixture.first || !fit->mixture.column || !fit->mixture.value || !fit->mixture.sum ||
        !fit->theta || !fit->active || !fit->information ||
        arena->cap - arena->used < fly_likelihood_need(fit->n_bins, (int32_t)m))
        return fly_fail(FLY_ENOMEM, "proposal of elements: the reserve is too small");
    fly_likelihood_init(&fit->work, fit->n_bins, (int32_t)m, arena);
    memset(rows, 0, rows_of_bins(fit) * bins * sizeof *rows);
    fit->counts = rows;
    fit->spare = rows + bins;
    fit->mu = rows + 2 * bins;
    fit->line_mu = rows + 3 * bins;
    fit->variance = rows + 4 * bins;
    fit->doubt = rows + 5 * bins;
    fit->background = rows + 6 * bins;
    fit->family_a = fit->background + (size_t)PROPOSE_BACKGROUNDS * bins;
    fit->column_a = fit->family_a + (size_t)fit->n_families * bins;
    return FLY_OK;
}

/* Kramers' hyperbola in pieces: roofs in log energy between neighbouring knots, so that window, crystal and
 * specimen may take what they like. */
static void fill_background(struct propose_fit *fit)
{
    for (int32_t k = 0; k < PROPOSE_BACKGROUNDS; k++) {
        double *out = fit->background + (size_t)k * (size_t)fit->n_bins, sum = 0.0;
        double mid = log(knots_kev[k]);
        double low = k > 0 ? log(knots_kev[k - 1]) : -INFINITY;
        double high = k + 1 < PROPOSE_BACKGROUNDS ? log(knots_kev[k + 1]) : INFINITY;

        for (int32_t b = 0; b < fit->n_bins; b++) {
            double kev = bin_low_kev(fit, b) + 0.5 * bin_kev(fit), at = log(kev);
            double roof = at < mid ? (k == 0 ? 1.0 : (at - low) / (mid - low))
                                   : (isinf(high) ? 1.0 : (high - at) / (high - mid));

            if (roof > 0.0) /* with a soft cut for what no detector sees */
                out[b] = roof * (fit->config.beam_kev - kev) / kev * (1.0 - exp(-(kev / 0.35) * (kev / 0.35)));
            sum += out[b];
        }
        for (int32_t b = 0; sum > 0.0 && b < fit->n_bins; b++)
            out[b] /= sum;
    }
}

int propose_fit_init(struct propose_fit *fit, const struct fly_propose_config *config,
                     const uint64_t *spectrum, struct fly_arena *arena)
{
    int rc;

    measure(fit, config);
    if (fit->n_bins < 8)
        return fly_fail(FLY_ERANGE, "proposal of elements: an axis of %d channels from %g eV lies below %g eV",
                        config->n_channels, config->ev_offset, config->mask_ev);
    rc = take_memory(fit, arena);
    if (rc < 0)
        return rc;
    for (int32_t b = 0; b < fit->n_bins; b++)
        for (int32_t i = 0; i < fit->merge; i++)
            fit->counts[b] += (double)spectrum[fit->first + b * fit->merge + i];
    fill_background(fit);
    propose_fit_layout(fit);
    return FLY_OK;
}

/* ---- columns --------------------------------------------------------------------------------- */

struct propose_column *propose_fit_add(struct propose_fit *fit, enum fly_proposal_kind kind,
                                       int32_t family, int32_t other, double kev)
{
    struct propose_column *column = &fit->columns[fit->n_columns];

    if (fit->n_columns == PROPOSE_LINES_MAX)
        return NULL;
    *column = (struct propose_column){.kind = kind, .family = family, .other = other, .kev = kev, .tied = -1};
    column->a = column_place(fit, fit->n_columns++);
    column->doubt = column->a + fit->n_bins;
    fill_column(fit, column);
    return column;
}

/* Columns behind it move up by one place, with their bins. */
void propose_fit_drop(struct propose_fit *fit, int32_t gone)
{
    for (int32_t c = gone; c + 1 < fit->n_columns; c++) {
        fit->columns[c] = fit->columns[c + 1];
        fit->columns[c].a = column_place(fit, c);
        fit->columns[c].doubt = fit->columns[c].a + fit->n_bins;
        memcpy(fit->columns[c].a, column_place(fit, c + 1), 2 * (size_t)fit->n_bins * sizeof(double));
    }
    fit->n_columns--;
    for (int32_t c = 0; c < fit->n_columns; c++) {
        struct propose_column *column = &fit->columns[c];

        if (column->tied == gone)
            column->tied = -1;
        else if (column->tied > gone)
            column->tied--;
    }
}

/* ---- the fit --------------------------------------------------------------------------------- */

/* A column as it stands in the mixture: with all that is bound to it at its limit. */
static double entry(const struct propose_fit *fit, const uint8_t *bound, int32_t c, int32_t b)
{
    double a = fit->columns[c].a[b];

    for (int32_t t = 0; t < fit->n_columns; t++)
        if (bound[t] && fit->columns[t].tied == c)
            a += fit->columns[t].limit * fit->columns[t].a[b];
    return a;
}

static void make_mixture(struct propose_fit *fit, const uint8_t *bound)
{
    struct fly_mixture *x = &fit->mixture;
    int32_t m = PROPOSE_BACKGROUNDS + fit->n_columns, entries = 0;

    x->n_bins = fit->n_bins;
    x->n_columns = m;
    memset(x->sum, 0, (size_t)m * sizeof *x->sum);
    for (int32_t b = 0; b < fit->n_bins; b++) {
        x->first[b] = entries;
        for (int32_t j = 0; j < m; j++) {
            int32_t c = j - PROPOSE_BACKGROUNDS;
            double v = c < 0 ? fit->background[(size_t)j * (size_t)fit->n_bins + (size_t)b]
                       : bound[c] ? 0.0
                                  : entry(fit, bound, c, b);

            if (v <= 1e-9)
                continue;
            x->column[entries] = (uint8_t)j;
            x->value[entries++] = v;
            x->sum[j] += v;
        }
    }
    x->first[x->n_bins] = entries;
    for (int32_t j = 0; j < m; j++)
        fit->active[j] = x->sum[j] > 1e-6;
}

static void fit_bound(struct propose_fit *fit, const uint8_t *bound)
{
    int32_t n = PROPOSE_BACKGROUNDS;

    make_mixture(fit, bound);
    /* From the flat mixture: an amplitude that once was 0 would never leave it. */
    memset(fit->theta, 0, (size_t)(n + fit->n_columns) * sizeof *fit->theta);
    for (int i = 0; i < 4; i++)
        if (fly_likelihood_fit(&fit->mixture, fit->counts, fit->active, ENOUGH, fit->theta, &fit->work) <
            FLY_LIKELIHOOD_STEPS)
            break;
    fit->value = fly_likelihood_value(&fit->mixture, fit->counts, fit->theta);
    for (int32_t k = 0; k < n; k++)
        fit->background_theta[k] = fit->theta[k];
    for (int32_t c = 0; c < fit->n_columns; c++)
        fit->columns[c].theta = fit->theta[n + c];
    for (int32_t c = 0; c < fit->n_columns; c++)
        if (bound[c])
            fit->columns[c].theta = fit->columns[c].limit * fit->columns[fit->columns[c].tied].theta;
}

static void follow(struct propose_fit *fit)
{
    for (int32_t b = 0; b < fit->n_bins; b++) {
        double under = 0.0, lines = 0.0;

        for (int32_t k = 0; k < PROPOSE_BACKGROUNDS; k++)
            under += fit->background_theta[k] * fit->background[(size_t)k * (size_t)fit->n_bins + (size_t)b];
        for (int32_t c = 0; c < fit->n_columns; c++)
            lines += fit->columns[c].theta * fit->columns[c].a[b];
        fit->mu[b] = under + lines;
        fit->line_mu[b] = lines;
        /* A tenth of a photon keeps bins in which nothing is expected from deciding all. */
        fit->variance[b] = fit->mu[b] > 0.1 ? fit->mu[b] : 0.1;
        fit->doubt[b] = BACKGROUND_DOUBT * under;
        for (int32_t c = 0; c < fit->n_columns; c++)
            fit->doubt[b] += fit->columns[c].theta * fit->columns[c].doubt[b];
    }
}

void propose_fit_run(struct propose_fit *fit)
{
    uint8_t bound[PROPOSE_LINES_MAX] = {0};

    for (int round = 0; round < 4; round++) {
        int more = 0;

        fit_bound(fit, bound);
        for (int32_t c = 0; c < fit->n_columns; c++) {
            const struct propose_column *column = &fit->columns[c];

            if (!bound[c] && column->tied >= 0 && !bound[column->tied] && column->limit > 0.0 &&
                column->theta > column->limit * fit->columns[column->tied].theta * 1.000001) {
                bound[c] = 1;
                more = 1;
            }
        }
        if (!more)
            break;
    }
    follow(fit);
}

void propose_fit_score(const struct propose_fit *fit, const double *a, int alone, double *amplitude,
                       double *sd, double *counting_sd)
{
    double gradient = 0.0, weight = 0.0, doubt = 0.0;

    for (int32_t b = 0; b < fit->n_bins; b++)
        if (a[b] > 0.0) {
            double mu = alone ? fit->mu[b] - fit->line_mu[b] : fit->mu[b];

            gradient += a[b] * (fit->counts[b] - mu) / fit->variance[b];
            doubt += a[b] * fit->doubt[b] / fit->variance[b];
            weight += a[b] * a[b] / fit->variance[b];
        }
    *amplitude = weight > 0.0 ? gradient / weight : 0.0;
    *sd = weight > 0.0 ? sqrt(1.0 / weight + (doubt / weight) * (doubt / weight)) : INFINITY;
    if (counting_sd)
        *counting_sd = weight > 0.0 ? sqrt(1.0 / weight) : INFINITY;
}

double propose_fit_bias(const struct propose_fit *fit, int32_t c, const uint8_t *same)
{
    const double *a = fit->columns[c].a;
    double weight = 0.0, doubt = 0.0;

    for (int32_t b = 0; b < fit->n_bins; b++) {
        double others = fit->doubt[b];

        if (!(a[b] > 0.0))
            continue;
        for (int32_t i = 0; i < fit->n_columns; i++)
            if (same[i])
                others -= fit->columns[i].theta * fit->columns[i].doubt[b];
        doubt += a[b] * others / fit->variance[b];
        weight += a[b] * a[b] / fit->variance[b];
    }
    return weight > 0.0 ? doubt / weight : INFINITY;
}

void propose_fit_errors(struct propose_fit *fit, double *sd)
{
    int32_t n = PROPOSE_BACKGROUNDS, m = n + fit->n_columns;
    double *matrix = fit->information;

    memset(matrix, 0, (size_t)m * (size_t)m * sizeof *matrix);
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j <= i; j++) {
            const double *a = i < n ? fit->background + (size_t)i * (size_t)fit->n_bins : fit->columns[i - n].a;
            const double *other = j < n ? fit->background + (size_t)j * (size_t)fit->n_bins : fit->columns[j - n].a;
            double sum = i == j ? 1e-12 : 0.0; /* a column that nobody sees must not spoil the rest */

            for (int32_t b = 0; b < fit->n_bins; b++)
                sum += a[b] * other[b] / fit->variance[b];
            matrix[(size_t)i * (size_t)m + (size_t)j] = sum;
        }
    for (int32_t c = 0; c < fit->n_columns; c++)
        sd[c] = INFINITY;
    if (fly_cholesky(matrix, m, m) < 0)
        return;
    for (int32_t c = 0; c < fit->n_columns; c++) {
        double sum = 0.0;

        memset(fit->theta, 0, (size_t)m * sizeof *fit->theta);
        fit->theta[n + c] = 1.0;
        fly_cholesky_forward(matrix, m, m, fit->theta);
        for (int32_t i = 0; i < m; i++)
            sum += fit->theta[i] * fit->theta[i];
        sd[c] = sqrt(sum);
    }
}

/* ---- tuning ---------------------------------------------------------------------------------- */

/* The likelihood at the present scale; only families that are fitted are laid out. */
static double value_at(struct propose_fit *fit)
{
    for (int32_t c = 0; c < fit->n_columns; c++) {
        int32_t f = fit->columns[c].family;

        if (fit->columns[c].kind <= FLY_PROPOSED_OTHER)
            fill_family(fit, &fit->families[f], fit->family_a + (size_t)f * (size_t)fit->n_bins);
        fill_column(fit, &fit->columns[c]);
    }
    propose_fit_run(fit);
    return fit->value;
}

/* Shift and gain pull at each other, so they are tried together. */
static void tune_energy(struct propose_fit *fit, double shift_step, double gain_step, int reach)
{
    double shift = fit->shift_ev, gain = fit->gain, best_shift = shift, best_gain = gain, best = -INFINITY;

    for (int i = -reach; i <= reach; i++)
        for (int j = -reach; j <= reach; j++) {
            double value;

            fit->shift_ev = shift + i * shift_step;
            fit->gain = gain + j * gain_step;
            value = value_at(fit);
            if (value > best) {
                best = value;
                best_shift = fit->shift_ev;
                best_gain = fit->gain;
            }
        }
    fit->shift_ev = best_shift;
    fit->gain = best_gain;
}

static void tune_width(struct propose_fit *fit, double step, int reach)
{
    double fwhm = fit->fwhm_mn_ev, best_fwhm = fwhm, best = -INFINITY;

    for (int i = -reach; i <= reach; i++) {
        double value;

        fit->fwhm_mn_ev = fwhm * (1.0 + i * step);
        value = value_at(fit);
        if (value > best) {
            best = value;
            best_fwhm = fit->fwhm_mn_ev;
        }
    }
    fit->fwhm_mn_ev = best_fwhm;
}

void propose_fit_tune(struct propose_fit *fit, int widely)
{
    tune_energy(fit, widely ? 8.0 : 2.0, widely ? 0.002 : 0.0005, widely ? 4 : 3);
    tune_width(fit, widely ? 0.05 : 0.02, widely ? 5 : 3);
    propose_fit_layout(fit);
    propose_fit_run(fit);
}
