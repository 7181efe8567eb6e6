#include "engine/eds/basis.h"

#include <math.h>
#include <string.h>

#define FWHM_PER_SIGMA 2.3548200450309493

/* Product: where the pieces of the background meet, keV. Kramers' hyperbola is right in slope only; what the
 * window, the crystal's depth and the specimen take differs by energy, so each piece has its own height. */
static const double knots_kev[] = {0.15, 0.7, 3.0, 12.0, 40.0};
enum { KNOTS = sizeof knots_kev / sizeof *knots_kev };

double fly_axis_kev(const struct fly_eds_axis *axis, int32_t channel)
{
    return axis->ev_offset / 1000.0 + axis->ev_per_channel / 1000.0 * channel;
}

int32_t fly_axis_first(const struct fly_eds_axis *axis)
{
    double first;

    if (axis->set == FLY_LINES_GOLDEN)
        return 0;
    first = ceil((axis->mask_ev - axis->ev_offset) / axis->ev_per_channel);
    return first <= 0.0 ? 0 : first >= axis->n_channels ? axis->n_channels : (int32_t)first;
}

int fly_axis_sees(const struct fly_eds_axis *axis, const struct fly_eds_family *family)
{
    double kev = family->lines[0].kev, side = fly_fwhm_kev(kev, axis->fwhm_mn_ev);

    return kev - side >= fly_axis_kev(axis, fly_axis_first(axis)) &&
           kev + side <= fly_axis_kev(axis, axis->n_channels - 1);
}

static const struct fly_eds_family *family_of(const struct fly_eds_axis *axis,
                                              const struct fly_eds_choice *choice, int32_t family)
{
    const struct fly_element *elements;

    fly_elements(axis->set, &elements);
    return &elements[choice->element].families[family];
}

int32_t fly_basis_columns(const struct fly_eds_axis *axis, const struct fly_eds_choice *choices, int32_t n,
                          struct fly_eds_column *columns)
{
    const struct fly_element *elements;
    int32_t m = 0, backgrounds = axis->set == FLY_LINES_GOLDEN ? 2 : KNOTS;

    fly_elements(axis->set, &elements);
    for (int32_t i = 0; i < n; i++)
        columns[m++] = (struct fly_eds_column){i, choices[i].family};
    for (int32_t i = 0; i < n; i++)
        for (int32_t f = 0; f < elements[choices[i].element].n_families; f++)
            if (f != choices[i].family &&
                (axis->set == FLY_LINES_GOLDEN || fly_axis_sees(axis, family_of(axis, &choices[i], f))))
                columns[m++] = (struct fly_eds_column){i, f};
    for (int32_t b = 0; b < backgrounds; b++)
        columns[m++] = (struct fly_eds_column){-1, b};
    FLY_ASSERT(m <= FLY_COLUMNS_MAX);
    return m;
}

/* Golden: densities at the channels' centres, the main line's area being 1. */
static void fill_golden(const struct fly_eds_axis *axis, const struct fly_eds_family *family, double *out)
{
    double step = fly_axis_kev(axis, 1) - fly_axis_kev(axis, 0);

    for (int32_t l = 0; l < family->n_lines; l++) {
        double kev = family->lines[l].kev, weight = family->lines[l].weight / family->lines[0].weight;
        double sigma = fly_fwhm_kev(kev, axis->fwhm_mn_ev) / FWHM_PER_SIGMA;

        for (int32_t i = 0; i < axis->n_channels; i++) {
            double t = (fly_axis_kev(axis, i) - kev) / sigma;

            out[i] += weight * exp(-0.5 * (t * t)) * step / (sigma * sqrt(2.0 * M_PI));
        }
    }
}

/* Product: integrals over the channels, the whole family's area being 1. Six deviations hold all but 2e-9. */
static void fill_product(const struct fly_eds_axis *axis, const struct fly_eds_family *family, double *out)
{
    double all = 0.0, step = axis->ev_per_channel / 1000.0;
    int32_t first = fly_axis_first(axis);

    for (int32_t l = 0; l < family->n_lines; l++)
        all += family->lines[l].weight;
    for (int32_t l = 0; l < family->n_lines; l++) {
        double kev = family->lines[l].kev, sigma = fly_fwhm_kev(kev, axis->fwhm_mn_ev) / FWHM_PER_SIGMA;
        double scale = 1.0 / (sigma * M_SQRT2), area = family->lines[l].weight / all;

        for (int32_t i = first; i < axis->n_channels; i++) {
            double low = fly_axis_kev(axis, i) - 0.5 * step - kev;

            if (low + step > -6.0 * sigma && low < 6.0 * sigma)
                out[i] += 0.5 * area * (erf((low + step) * scale) - erf(low * scale));
        }
    }
}

/* Kramers 1923, (E0 - E) / E, with a soft cut for what the detector does not see. */
static double kramers(double kev, double beam_kev)
{
    double e = kev > 1e-9 ? kev : 1e-9;

    if (kev <= 0.05)
        return 0.0;
    return (beam_kev - e) / e * (1.0 - exp(-(e / 0.35 * (e / 0.35))));
}

/* Share of piece b at an energy: a roof in log energy between its neighbours' knots; the pieces add to 1. */
static double piece(double kev, int32_t b)
{
    double at = log(kev), mid = log(knots_kev[b]);

    if (at < mid) {
        double low = b > 0 ? log(knots_kev[b - 1]) : -INFINITY;

        return b == 0 ? 1.0 : at > low ? (at - low) / (mid - low) : 0.0;
    } else {
        double high = b < KNOTS - 1 ? log(knots_kev[b + 1]) : INFINITY;

        return b == KNOTS - 1 ? 1.0 : at < high ? (high - at) / (high - mid) : 0.0;
    }
}

static void fill_background(const struct fly_eds_axis *axis, int32_t b, double *out)
{
    double sum = 0.0;

    for (int32_t i = fly_axis_first(axis); i < axis->n_channels; i++) {
        double kev = fly_axis_kev(axis, i);

        if (axis->set == FLY_LINES_GOLDEN)
            out[i] = b == 0 ? kramers(kev, 300.0) : 1.0; /* the golden beam, whatever the session's */
        else if (kev > 0.05 && kev < axis->beam_kev)
            out[i] = kramers(kev, axis->beam_kev) * piece(kev, b);
        sum += out[i];
    }
    for (int32_t i = 0; sum > 0.0 && i < axis->n_channels; i++)
        out[i] /= sum;
}

void fly_basis_fill(const struct fly_eds_axis *axis, const struct fly_eds_choice *choices,
                    struct fly_eds_column column, double *out)
{
    memset(out, 0, (size_t)axis->n_channels * sizeof *out);
    if (column.element < 0)
        fill_background(axis, column.family, out);
    else if (axis->set == FLY_LINES_GOLDEN)
        fill_golden(axis, family_of(axis, &choices[column.element], column.family), out);
    else
        fill_product(axis, family_of(axis, &choices[column.element], column.family), out);
}

static int32_t channel_at(const struct fly_eds_axis *axis, double kev)
{
    double at = floor((kev - axis->ev_offset / 1000.0) / (axis->ev_per_channel / 1000.0) + 0.5);

    return at <= 0.0 ? 0 : at >= axis->n_channels ? axis->n_channels : (int32_t)at;
}

void fly_line_windows(const struct fly_eds_axis *axis, double kev, int32_t bounds[6])
{
    double fwhm = fly_fwhm_kev(kev, axis->fwhm_mn_ev);

    /* Written as the definition's code writes it, so that a bound on an edge rounds the same way. */
    bounds[0] = channel_at(axis, kev - 2.0 * fwhm / 2.0);
    bounds[1] = channel_at(axis, kev + 2.0 * fwhm / 2.0);
    bounds[2] = channel_at(axis, kev - (2.0 + 1.0) * fwhm);
    bounds[3] = channel_at(axis, kev - 2.0 * fwhm);
    bounds[4] = channel_at(axis, kev + 2.0 * fwhm);
    bounds[5] = channel_at(axis, kev + (2.0 + 1.0) * fwhm);
}
