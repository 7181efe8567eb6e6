#include "engine/eds/propose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/periodic.h"
#include "engine/eds/propose_own.h"

/* An element's harder family must show at least this part of what its softer one makes of it. */
static const double DEMAND = 0.3;
/* Softer lines are absorbed, never strengthened; half more than the tables say is their doubt. */
static const double SOFT_LIMIT = 1.5;
/* Of a parent's photons, as sum or escape peak: real detectors stay below a third of it. */
static const double ARTEFACT_LIMIT = 0.03;
/* An artefact needs no new element: it is taken when it explains nearly as much. */
static const double ARTEFACT_EDGE = 0.8;
static const double SI_KA_KEV = 1.74;
/* Net photons below which no peak is believed, whatever the statistics of so few say. */
static const double NET_MIN = 10.0;
static const double WORTH = 2.0, UNKNOWN_SIGMA = 6.0, TUNE_SIGMA = 8.0, TUNE_COUNTS = 2000.0;

enum { PARENTS = 4, UNKNOWN_MAX = 4 };

struct fly_propose_config fly_propose_config_default(void)
{
    struct fly_propose_config config = {
        .n_channels = 4096, .ev_per_channel = 10.0, .fwhm_mn_ev = 130.0, .beam_kev = 200.0, .mask_ev = 150.0};

    return config;
}

static int check_config(const struct fly_propose_config *c)
{
    if (c->n_channels < 16 || c->n_channels > 16384)
        return fly_fail(FLY_ERANGE, "proposal of elements: %d channels, allowed is 16 .. 16384", c->n_channels);
    if (!(c->ev_per_channel >= 0.5 && c->ev_per_channel <= 100.0))
        return fly_fail(FLY_ERANGE, "proposal of elements: %g eV per channel, allowed is 0.5 .. 100",
                        c->ev_per_channel);
    if (!(fabs(c->ev_offset) <= 10000.0) || !(fabs(c->mask_ev) <= 10000.0))
        return fly_fail(FLY_ERANGE, "proposal of elements: offset %g eV and mask %g eV, allowed is -10000 .. 10000",
                        c->ev_offset, c->mask_ev);
    if (!(c->fwhm_mn_ev >= 60.0 && c->fwhm_mn_ev <= 300.0))
        return fly_fail(FLY_ERANGE, "proposal of elements: FWHM %g eV, allowed is 60 .. 300", c->fwhm_mn_ev);
    if (!(c->beam_kev >= 10.0 && c->beam_kev <= 400.0))
        return fly_fail(FLY_ERANGE, "proposal of elements: beam of %g keV, allowed is 10 .. 400", c->beam_kev);
    return FLY_OK;
}

/* ---- candidates ------------------------------------------------------------------------------ */

/* Behind the last family of the element of `first`. */
static int32_t element_end(const struct propose_fit *fit, int32_t first)
{
    int32_t end = first;

    while (end < fit->n_families && fit->families[end].z == fit->families[first].z)
        end++;
    return end;
}

static int is_fitted(const struct propose_fit *fit, int32_t z)
{
    for (int32_t c = 0; c < fit->n_columns; c++)
        if (fit->columns[c].kind <= FLY_PROPOSED_OTHER && fit->families[fit->columns[c].family].z == z)
            return 1;
    return 0;
}

static double *family_bins(const struct propose_fit *fit, int32_t family)
{
    return fit->family_a + (size_t)family * (size_t)fit->n_bins;
}

/* Is there a peak where the family's main line is, of its own or another's that hides it? Without this a
 * lone peak is Th by its second line. */
static int main_line_shows(struct propose_fit *fit, int32_t family, double counts)
{
    const struct fly_survey_family *of = &fit->families[family];
    double all = 0.0, amplitude, sd;

    for (int32_t l = 0; l < of->n_lines; l++)
        all += of->lines[l].weight;
    propose_fit_peak(fit, of->lines[0].kev, fit->spare);
    propose_fit_score(fit, fit->spare, 1, &amplitude, &sd, NULL);
    return amplitude + 3.0 * sd >= 0.5 * counts * of->lines[0].weight / all;
}

struct candidate {
    enum fly_proposal_kind kind;
    int32_t family, other; /* the family that says most */
    double kev;
    double z, counting_z; /* with and without what the fit may be wrong by */
    int confirmed; /* a second family of the element says so too */
};

/* How much an element explains of what is left: its best family, that harder ones must bear out. */
static struct candidate score_element(struct propose_fit *fit, int32_t first, int32_t end)
{
    struct candidate best = {.family = -1, .other = -1};
    double amplitude[FLY_FAMILIES_MAX] = {0}, sd[FLY_FAMILIES_MAX] = {0}, counting;
    int said = 0;

    for (int32_t f = first; f < end; f++) {
        int32_t i = f - first;
        double share = 1.0;
        int borne = 1;

        if (!propose_fit_sees(fit, f))
            continue;
        propose_fit_score(fit, family_bins(fit, f), 0, &amplitude[i], &sd[i], &counting);
        for (int32_t h = f - 1; h >= first; h--) {
            share *= fit->families[h + 1].share > 0.0 ? fit->families[h + 1].share : 1.0;
            if (propose_fit_sees(fit, h) &&
                amplitude[h - first] + 3.0 * sd[h - first] < DEMAND * amplitude[i] / share)
                borne = 0;
        }
        if (!borne || (amplitude[i] > 4.0 * sd[i] && !main_line_shows(fit, f, amplitude[i])))
            continue;
        said += amplitude[i] > 4.0 * sd[i];
        if (best.family < 0 || amplitude[i] / counting > best.counting_z)
            best = (struct candidate){.kind = fit->families[f].z == 29        ? FLY_PROPOSED_GRID
                                              : fit->families[f].element >= 0 ? FLY_PROPOSED_ELEMENT
                                                                              : FLY_PROPOSED_OTHER,
                                      .family = f, .other = -1, .kev = fit->families[f].lines[0].kev,
                                      .z = amplitude[i] / sd[i], .counting_z = amplitude[i] / counting};
    }
    best.confirmed = said > 1;
    return best;
}

static struct candidate best_element(struct propose_fit *fit, const uint8_t *refused)
{
    struct candidate best = {.family = -1};

    for (int32_t first = 0, end; first < fit->n_families; first = end) {
        struct candidate one;

        end = element_end(fit, first);
        if (refused[first] || is_fitted(fit, fit->families[first].z))
            continue;
        one = score_element(fit, first, end);
        if (one.family >= 0 && one.z >= WORTH && (best.family < 0 || one.counting_z > best.counting_z))
            best = one;
    }
    return best;
}

/* The strongest columns of elements; returns how many. */
static int32_t parents_of(const struct propose_fit *fit, int32_t parents[PARENTS])
{
    int32_t n = 0;

    for (int32_t c = 0; c < fit->n_columns; c++) {
        int32_t at = n;

        if (fit->columns[c].kind > FLY_PROPOSED_OTHER)
            continue;
        while (at > 0 && fit->columns[parents[at - 1]].theta < fit->columns[c].theta) {
            if (at < PARENTS)
                parents[at] = parents[at - 1];
            at--;
        }
        if (at < PARENTS)
            parents[at] = c;
        n = n < PARENTS ? n + 1 : n;
    }
    return n;
}

static void try_artefact(struct propose_fit *fit, struct candidate *best, enum fly_proposal_kind kind,
                         const struct propose_column *a, const struct propose_column *b, double kev)
{
    double most = ARTEFACT_LIMIT * (b && b->theta < a->theta ? b->theta : a->theta);
    double amplitude, sd, counting;

    for (int32_t c = 0; c < fit->n_columns; c++)
        if (fit->columns[c].kind == kind && fabs(fit->columns[c].kev - kev) < 1e-6)
            return;
    propose_fit_peak(fit, kev, fit->spare);
    propose_fit_score(fit, fit->spare, 0, &amplitude, &sd, &counting);
    if (amplitude - 2.0 * sd > most || (best->family >= 0 && amplitude / counting <= best->counting_z))
        return;
    *best = (struct candidate){.kind = kind, .family = a->family, .other = b ? b->family : -1, .kev = kev,
                               .z = amplitude / sd, .counting_z = amplitude / counting};
}

static struct candidate best_artefact(struct propose_fit *fit)
{
    struct candidate best = {.family = -1};
    int32_t parents[PARENTS] = {0}, n = parents_of(fit, parents);

    for (int32_t i = 0; i < n; i++) {
        const struct propose_column *a = &fit->columns[parents[i]];

        /* Silicon is ionised by photons above its edge, 1.84 keV. */
        if (a->kev > 1.84)
            try_artefact(fit, &best, FLY_PROPOSED_ESCAPE, a, NULL, a->kev - SI_KA_KEV);
        for (int32_t j = i; j < n; j++) {
            const struct propose_column *b = &fit->columns[parents[j]];

            try_artefact(fit, &best, FLY_PROPOSED_SUM, a, b, a->kev + b->kev);
        }
    }
    return best;
}

/* A lone peak at whatever energy. */
static struct candidate best_unknown(struct propose_fit *fit)
{
    struct candidate best = {.kind = FLY_PROPOSED_UNKNOWN, .family = -1, .other = -1};
    double step = fit->merge * fit->config.ev_per_channel / 1000.0;
    double low = (fit->config.ev_offset + fit->first * fit->config.ev_per_channel) / 1000.0;

    for (int32_t b = 4; b + 4 < fit->n_bins; b++) {
        double kev = ((low + b * step) - fit->shift_ev / 1000.0) / fit->gain;
        double amplitude, sd, counting;

        propose_fit_peak(fit, kev, fit->spare);
        propose_fit_score(fit, fit->spare, 0, &amplitude, &sd, &counting);
        if (amplitude / sd > best.z) {
            best.z = amplitude / sd;
            best.counting_z = amplitude / counting;
            best.kev = kev;
        }
    }
    return best;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Every family in view of the element comes with it; softer ones are held by the next harder one. */
static int add_element(struct propose_fit *fit, const struct candidate *candidate)
{
    int32_t first = candidate->family, end, harder = -1;
    double share = 1.0;

    while (first > 0 && fit->families[first - 1].z == fit->families[candidate->family].z)
        first--;
    end = element_end(fit, first);
    if (fit->n_columns + (end - first) > PROPOSE_LINES_MAX)
        return 0;
    for (int32_t f = first; f < end; f++) {
        struct propose_column *column;

        share *= f > first && fit->families[f].share > 0.0 ? fit->families[f].share : 1.0;
        if (!propose_fit_sees(fit, f))
            continue;
        column = propose_fit_add(fit, candidate->kind, f, -1, fit->families[f].lines[0].kev);
        if (harder >= 0) {
            column->tied = harder;
            column->limit = SOFT_LIMIT * share;
        } else {
            share = 1.0;
        }
        harder = harder < 0 ? fit->n_columns - 1 : harder;
    }
    return 1;
}

static int same_element(const struct propose_fit *fit, int32_t a, int32_t b)
{
    return fit->columns[a].kind <= FLY_PROPOSED_OTHER && fit->columns[b].kind <= FLY_PROPOSED_OTHER &&
           fit->families[fit->columns[a].family].z == fit->families[fit->columns[b].family].z;
}

/* Standard deviations of all amplitudes: counting, and what other columns may be wrong by. */
static void errors_of(struct propose_fit *fit, double *sd)
{
    propose_fit_errors(fit, sd);
    for (int32_t c = 0; c < fit->n_columns; c++) {
        uint8_t same[PROPOSE_LINES_MAX] = {0};
        double bias;

        for (int32_t i = 0; i < fit->n_columns; i++)
            same[i] = i == c || same_element(fit, i, c);
        bias = propose_fit_bias(fit, c, same);
        sd[c] = sqrt(sd[c] * sd[c] + bias * bias);
    }
}

/* Sigma of the thing that column c belongs to: of its best family that harder ones bear out. */
static double sigma_of(const struct propose_fit *fit, int32_t c, const double *sd)
{
    double best = 0.0;

    for (int32_t i = 0; i < fit->n_columns; i++)
        if (i == c || same_element(fit, i, c)) {
            double own = fit->columns[i].theta / sd[i];
            int32_t tied = fit->columns[i].tied;

            /* A softer family counts only as far as the harder one is there. */
            if (tied >= 0 && fit->columns[tied].theta + 3.0 * sd[tied] <
                                 DEMAND * SOFT_LIMIT * fit->columns[i].theta / fit->columns[i].limit)
                own = 0.0;
            best = own > best ? own : best;
        }
    return best;
}

/* Add it and fit; taken back, and 0, when it does not stand beside the others then. */
static int try_candidate(struct propose_fit *fit, const struct candidate *candidate, double sigma)
{
    double before = fit->value, net = 0.0, sd[PROPOSE_LINES_MAX];
    int32_t n = fit->n_columns;

    if (candidate->kind <= FLY_PROPOSED_OTHER) {
        if (!add_element(fit, candidate))
            return 0;
    } else if (!propose_fit_add(fit, candidate->kind, candidate->family, candidate->other, candidate->kev)) {
        return 0;
    }
    propose_fit_run(fit);
    for (int32_t c = n; c < fit->n_columns; c++)
        net += fit->columns[c].theta;
    if (2.0 * (fit->value - before) >= sigma * sigma && net >= NET_MIN) {
        errors_of(fit, sd);
        if (sigma_of(fit, n, sd) >= sigma)
            return 1;
    }
    fit->n_columns = n;
    propose_fit_run(fit);
    return 0;
}

/* Worth a fit: by counting alone it stands out, and what the others may be wrong by does not swallow it.
 * How far it stands out beside them the fit tells. */
static int is_worth(const struct candidate *candidate, double sigma)
{
    return candidate->family >= 0 && candidate->counting_z >= sigma && candidate->z >= WORTH;
}

/* One step of explaining. 0: nothing is left to explain. */
static int explain(struct propose_fit *fit, uint8_t *refused, double sigma)
{
    struct candidate element = best_element(fit, refused), artefact = best_artefact(fit), *take = &element;
    int32_t first;

    if (is_worth(&artefact, sigma) &&
        (!is_worth(&element, sigma) ||
         (!element.confirmed && artefact.counting_z >= ARTEFACT_EDGE * element.counting_z &&
          fabs(artefact.kev - element.kev) < fly_fwhm_kev(element.kev, fit->fwhm_mn_ev))))
        take = &artefact;
    if (!is_worth(take, sigma))
        return 0;
    if (try_candidate(fit, take, sigma))
        return 1;
    if (take == &artefact) { /* it was preferred to an element, and is not */
        take = &element;
        if (!is_worth(take, sigma))
            return 0;
        if (try_candidate(fit, take, sigma))
            return 1;
    }
    for (first = take->family; first > 0 && fit->families[first - 1].z == fit->families[take->family].z;)
        first--;
    refused[first] = 1;
    return 1;
}

/* What no longer stands now that all else is explained goes, the weakest first. */
static void prune(struct propose_fit *fit)
{
    double sd[PROPOSE_LINES_MAX];

    for (;;) {
        double weakest = FLY_PROPOSE_SIGMA;
        int32_t worst = -1;

        errors_of(fit, sd);
        for (int32_t c = 0; c < fit->n_columns; c++) {
            double sigma = sigma_of(fit, c, sd);

            if (sigma < weakest) {
                weakest = sigma;
                worst = c;
            }
        }
        if (worst < 0)
            return;
        for (int32_t c = fit->n_columns; c-- > 0;)
            if (c != worst && same_element(fit, c, worst)) {
                propose_fit_drop(fit, c);
                worst -= c < worst;
            }
        propose_fit_drop(fit, worst);
        propose_fit_run(fit);
    }
}

static void explain_all(struct propose_fit *fit, double sigma)
{
    uint8_t refused[FLY_SURVEY_MAX] = {0};

    fit->n_columns = 0;
    propose_fit_run(fit);
    while (fit->n_columns < PROPOSE_LINES_MAX && explain(fit, refused, sigma))
        ;
    prune(fit);
}

static void find_unknown(struct propose_fit *fit)
{
    for (int i = 0; i < UNKNOWN_MAX; i++) {
        struct candidate peak = best_unknown(fit);

        if (peak.z < UNKNOWN_SIGMA || !try_candidate(fit, &peak, UNKNOWN_SIGMA))
            break;
    }
}

static double line_counts(const struct propose_fit *fit)
{
    double sum = 0.0;

    for (int32_t c = 0; c < fit->n_columns; c++)
        sum += fit->columns[c].theta;
    return sum;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void line_name(const struct propose_fit *fit, int32_t family, char out[12])
{
    snprintf(out, 12, "%s_%.3s", fly_symbol(fit->families[family].z), fit->families[family].name);
}

/* Lines of elements that are not proposed and would look much the same: their overlap with the column,
 * weighted as the fit weights, is above 0.7. */
static void find_competing(const struct propose_fit *fit, const struct propose_column *column,
                           struct fly_proposal *out)
{
    double best[FLY_PROPOSE_COMPETING] = {0};

    for (int32_t f = 0; f < fit->n_families; f++) {
        const double *a = column->a, *b = family_bins(fit, f);
        double ab = 0.0, aa = 0.0, bb = 0.0;
        char name[12];
        int32_t at;

        if (!propose_fit_sees(fit, f) || is_fitted(fit, fit->families[f].z))
            continue;
        for (int32_t i = 0; i < fit->n_bins; i++) {
            ab += a[i] * b[i] / fit->variance[i];
            aa += a[i] * a[i] / fit->variance[i];
            bb += b[i] * b[i] / fit->variance[i];
        }
        if (!(ab > 0.7 * sqrt(aa * bb)))
            continue;
        ab /= sqrt(aa * bb);
        at = out->n_competing < FLY_PROPOSE_COMPETING ? out->n_competing++ : FLY_PROPOSE_COMPETING - 1;
        if (best[at] >= ab)
            continue;
        while (at > 0 && best[at - 1] < ab) {
            best[at] = best[at - 1];
            memcpy(out->competing[at], out->competing[at - 1], sizeof *out->competing);
            at--;
        }
        best[at] = ab;
        line_name(fit, f, name);
        snprintf(out->competing[at], sizeof *out->competing, "%.7s", name);
    }
}

/* Photons within a FWHM of a line that are not the column's own. */
static double beside(const struct propose_fit *fit, const struct propose_column *column)
{
    double fwhm = fly_fwhm_kev(column->kev, fit->fwhm_mn_ev), sum = 0.0;
    double at = column->kev * fit->gain + fit->shift_ev / 1000.0;

    for (int32_t b = 0; b < fit->n_bins; b++) {
        double channel = fit->first + (b + 0.5) * fit->merge - 0.5;
        double kev = (fit->config.ev_offset + channel * fit->config.ev_per_channel) / 1000.0;

        if (fabs(kev - at) <= fwhm)
            sum += fit->mu[b] - column->theta * column->a[b];
    }
    return sum;
}

/* Of an element's columns the one that says most; -1 when column c is not it. */
static int says_most(const struct propose_fit *fit, int32_t c, const double *sd)
{
    for (int32_t i = 0; i < fit->n_columns; i++)
        if (i != c && same_element(fit, i, c)) {
            double own = fit->columns[c].theta / sd[c], his = fit->columns[i].theta / sd[i];

            if (his > own || (his == own && i < c))
                return 0;
        }
    return 1;
}

static void tell(const struct propose_fit *fit, int32_t c, const double *sd, struct fly_proposal *out)
{
    const struct propose_column *column = &fit->columns[c];
    char a[12] = "", b[12] = "";

    memset(out, 0, sizeof *out);
    out->kind = column->kind;
    out->kev = column->kev;
    out->counts = column->theta;
    out->sigma = sigma_of(fit, c, sd);
    out->background = beside(fit, column);
    if (column->family >= 0)
        line_name(fit, column->family, a);
    if (column->other >= 0)
        line_name(fit, column->other, b);
    switch (column->kind) {
    case FLY_PROPOSED_SUM:
        snprintf(out->what, sizeof out->what, "%s+%s", a, b);
        break;
    case FLY_PROPOSED_ESCAPE:
        snprintf(out->what, sizeof out->what, "%s-Si_Ka", a);
        break;
    case FLY_PROPOSED_UNKNOWN:
        snprintf(out->what, sizeof out->what, "peak");
        out->kev = column->kev * fit->gain + fit->shift_ev / 1000.0;
        break;
    default:
        snprintf(out->what, sizeof out->what, "%s", fly_symbol(fit->families[column->family].z));
        snprintf(out->line, sizeof out->line, "%s", fit->families[column->family].name);
    }
    find_competing(fit, column, out);
}

/* Elements by falling counts, then the rest by energy. */
static int by_weight(const void *x, const void *y)
{
    const struct fly_proposal *a = x, *b = y;
    int rest_a = a->kind > FLY_PROPOSED_OTHER, rest_b = b->kind > FLY_PROPOSED_OTHER;

    if (rest_a != rest_b)
        return rest_a - rest_b;
    if (rest_a)
        return a->kev < b->kev ? -1 : a->kev > b->kev;
    return a->counts > b->counts ? -1 : a->counts < b->counts;
}

int fly_propose(struct fly_proposals *out, const struct fly_propose_config *config, const uint64_t *spectrum,
                struct fly_arena *arena)
{
    double sd[PROPOSE_LINES_MAX];
    struct propose_fit *fit;
    int rc = check_config(config);

    if (rc < 0)
        return rc;
    fit = fly_arena_take(arena, 1, sizeof *fit);
    if (!fit)
        return fly_fail(FLY_ENOMEM, "proposal of elements: the reserve is too small");
    rc = propose_fit_init(fit, config, spectrum, arena);
    if (rc < 0)
        return rc;
    memset(out, 0, sizeof *out);
    for (int32_t b = 0; b < fit->n_bins; b++)
        out->photons += fit->counts[b];
    if (out->photons >= FLY_PROPOSE_COUNTS_MIN) {
        /* The scale is tuned by what stands out most; what is doubtful would bend it. */
        for (int widely = 1; widely >= 0; widely--) {
            explain_all(fit, TUNE_SIGMA);
            if (line_counts(fit) >= TUNE_COUNTS)
                propose_fit_tune(fit, widely);
        }
        explain_all(fit, FLY_PROPOSE_SIGMA);
        find_unknown(fit);
    }
    errors_of(fit, sd);
    for (int32_t c = 0; c < fit->n_columns && out->n < FLY_PROPOSALS_MAX; c++)
        if (says_most(fit, c, sd))
            tell(fit, c, sd, &out->of[out->n++]);
    qsort(out->of, (size_t)out->n, sizeof *out->of, by_weight);
    out->shift_ev = fit->shift_ev;
    out->gain = fit->gain;
    out->fwhm_mn_ev = fit->fwhm_mn_ev;
    return FLY_OK;
}
