#include <math.h>
#include <string.h>

#include "engine/eds/cholesky.h"
#include "engine/eds/quantifier.h"

struct fly_quantify_config fly_quantify_config_default(void)
{
    return (struct fly_quantify_config){.set = FLY_LINES_PRODUCT,
                                        .method = FLY_QUANTIFY_ML,
                                        .fwhm_mn_ev = 130.0,
                                        .beam_kev = 200.0,
                                        .mask_ev = 150.0,
                                        .min_counts = 100};
}

static size_t columns_at_most(const struct fly_quantify_config *config)
{
    int64_t m = ((int64_t)config->n_elements + config->n_fit_only) * FLY_FAMILIES_MAX + FLY_BACKGROUNDS_MAX;

    return m < 0 ? 0 : m < FLY_COLUMNS_MAX ? (size_t)m : FLY_COLUMNS_MAX;
}

size_t fly_quantifier_need(const struct fly_quantify_config *config)
{
    size_t e = config->n_channels > 0 ? (size_t)config->n_channels : 0, m = columns_at_most(config);
    size_t need = fly_arena_need(1, sizeof(struct fly_quantifier)), ml;

    ml = fly_size_add(fly_arena_need(e, sizeof(int32_t)), fly_arena_need(e + 1, sizeof(int32_t)));
    ml = fly_size_add(ml, fly_size_add(fly_arena_need(e * m, 1), fly_arena_need(e * m, sizeof(double))));
    ml = fly_size_add(ml, fly_arena_need(m, sizeof(double)));
    need = fly_size_add(need, config->method == FLY_QUANTIFY_ML ? ml : fly_arena_need(e * m, sizeof(double)));
    /* the columns while the above is made of them */
    need = fly_size_add(need, fly_arena_need(e * m, sizeof(double)));
    return fly_size_add(need, fly_size_add(fly_arena_need(m * m, sizeof(double)), fly_arena_need(m, sizeof(double))));
}

/* ---- checks and choices ------------------------------------------------------------------------ */

static int in_range(const char *what, double value, double low, double high)
{
    if (!(value >= low && value <= high))
        return fly_fail(FLY_ERANGE, "EDS %s is %g, allowed are %g .. %g", what, value, low, high);
    return FLY_OK;
}

static int check_config(const struct fly_quantify_config *config)
{
    int rc = in_range("number of channels", config->n_channels, 16, 16384);

    if (rc == FLY_OK)
        rc = in_range("offset, eV", config->ev_offset, -10000.0, 10000.0);
    if (rc == FLY_OK)
        rc = in_range("channel width, eV", config->ev_per_channel, 0.5, 100.0);
    if (rc == FLY_OK)
        rc = in_range("resolution at Mn Ka, eV", config->fwhm_mn_ev, 60.0, 300.0);
    if (rc == FLY_OK)
        rc = in_range("beam energy, keV", config->beam_kev, 10.0, 400.0);
    if (rc == FLY_OK)
        rc = in_range("mask, eV", config->mask_ev, -10000.0, 10000.0);
    if (rc == FLY_OK)
        rc = in_range("lowest count", config->min_counts, 0.0, 1073741824.0);
    if (rc == FLY_OK)
        rc = in_range("line set", config->set, 0, FLY_LINE_SETS - 1);
    if (rc == FLY_OK)
        rc = in_range("method", config->method, 0, FLY_QUANTIFY_METHODS - 1);
    if (rc == FLY_OK)
        rc = in_range("k-factor basis", config->k_basis, FLY_K_WEIGHT, FLY_K_ATOMIC);
    if (rc == FLY_OK)
        rc = in_range("number of elements", config->n_elements, 1, FLY_ELEMENTS_MAX);
    if (rc == FLY_OK)
        rc = in_range("number of elements fitted only", config->n_fit_only, 0,
                      FLY_ELEMENTS_MAX - config->n_elements);
    for (int32_t i = 0; rc == FLY_OK && i < config->n_k; i++)
        if (!(config->k[i].k > 0.0) || !isfinite(config->k[i].k))
            rc = fly_fail(FLY_ERANGE, "k-factor of %.24s is %g, must be above 0", config->k[i].line,
                          config->k[i].k);
    return rc;
}

/* The user's k-factor of a family as a weight factor, or 0. */
static double users_k(const struct fly_quantify_config *config, int32_t element, int32_t family, double mass_u)
{
    const struct fly_element *elements;
    int32_t si = fly_element_find(FLY_LINES_PRODUCT, "Si");

    fly_elements(FLY_LINES_PRODUCT, &elements);
    for (int32_t i = 0; i < config->n_k; i++) {
        int32_t e, f;
        int named;

        if (fly_line_find(config->set, config->k[i].line, &e, &f, &named) == FLY_OK && named && e == element &&
            f == family)
            return config->k_basis == FLY_K_WEIGHT ? config->k[i].k
                                                   : config->k[i].k * mass_u / elements[si].mass_u;
    }
    return 0.0;
}

/* Settle by which line choice i is quantified: the one named; else the first in the set's order that has
 * the user's k-factor, else that has the table's; only a line in view will do (golden looks at no axis). */
static int choose(struct fly_quantifier *q, const struct fly_quantify_config *config, int32_t i, const char *name)
{
    const struct fly_element *elements, *element;
    int32_t e, family, best = -1;
    int named, seen = 0, rc = fly_line_find(q->axis.set, name, &e, &family, &named);

    if (rc < 0)
        return rc;
    for (int32_t j = 0; j < i; j++)
        if (q->choices[j].element == e)
            return fly_fail(FLY_ERANGE, "element \"%.24s\" is named twice", name);
    fly_elements(q->axis.set, &elements);
    element = &elements[e];
    q->mass_u[i] = element->mass_u;
    q->users_k[i] = 0;
    for (int32_t f = named ? family : 0; f < (named ? family + 1 : element->n_families); f++) {
        double users, table;

        if (q->axis.set != FLY_LINES_GOLDEN && !fly_axis_sees(&q->axis, &element->families[f]))
            continue;
        users = users_k(config, e, f, element->mass_u);
        table = fly_family_k(&element->families[f], q->axis.beam_kev);
        seen++;
        if (users > 0.0 && !q->users_k[i]) {
            best = f;
            q->k[i] = users;
            q->users_k[i] = 1;
        } else if (best < 0 && (table > 0.0 || i >= q->n)) {
            best = f;
            q->k[i] = table;
        }
    }
    if (!seen)
        return fly_fail(FLY_ERANGE, "no line of \"%.24s\" lies within the axis, %g .. %g keV", name,
                        fly_axis_kev(&q->axis, q->first), fly_axis_kev(&q->axis, q->axis.n_channels - 1));
    if (best < 0)
        return fly_fail(FLY_ERANGE, "no k-factor is known for \"%.24s\": give one", name);
    q->choices[i] = (struct fly_eds_choice){e, best};
    return FLY_OK;
}

static int choose_all(struct fly_quantifier *q, const struct fly_quantify_config *config)
{
    int32_t users = 0;
    int rc = FLY_OK;

    for (int32_t i = 0; rc == FLY_OK && i < q->n_choices; i++)
        rc = choose(q, config, i, i < q->n ? config->elements[i] : config->fit_only[i - q->n]);
    for (int32_t i = 0; i < q->n; i++)
        users += q->users_k[i];
    q->k_mixed = users > 0 && users < q->n;
    return rc;
}

/* ---- fit and window ---------------------------------------------------------------------------- */

/* P = (A'A + ridge tr(A'A) / m I)^-1 A', the rows that quantify, one channel after the other. */
static int make_fit(struct fly_quantifier *q, const double *a, double *gram, double *x)
{
    int32_t m = q->m, e = q->axis.n_channels;
    double trace = 0.0;

    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j <= i; j++) {
            double sum = 0.0;

            for (int32_t c = 0; c < e; c++)
                sum += a[(int64_t)i * e + c] * a[(int64_t)j * e + c];
            gram[i * m + j] = sum;
        }
    for (int32_t i = 0; i < m; i++)
        trace += gram[i * m + i];
    for (int32_t i = 0; i < m; i++)
        gram[i * m + i] += 1e-9 * trace / m;
    if (fly_cholesky(gram, m, m) < 0)
        return fly_fail(FLY_ERANGE, "EDS: on this axis the elements' lines cannot be told apart");
    for (int32_t c = 0; c < e; c++) {
        for (int32_t i = 0; i < m; i++)
            x[i] = a[(int64_t)i * e + c];
        fly_cholesky_forward(gram, m, m, x);
        fly_cholesky_back(gram, m, m, x);
        for (int32_t i = 0; i < q->n; i++)
            q->p[(int64_t)c * q->n + i] = x[i];
    }
    return FLY_OK;
}

/* A window is linear too: 1 for its channels, less the backgrounds' mean. */
static void make_window(struct fly_quantifier *q)
{
    memset(q->p, 0, (size_t)q->axis.n_channels * (size_t)q->n * sizeof *q->p);
    for (int32_t i = 0; i < q->n; i++) {
        int32_t w[6], sides;

        fly_line_windows(&q->axis, fly_quantifier_line(q, i).kev, w);
        sides = w[3] - w[2] + (w[5] - w[4]);
        for (int32_t c = q->first; c < q->axis.n_channels; c++) {
            double *at = q->p + (int64_t)c * q->n + i;

            if (c >= w[0] && c < w[1])
                *at += 1.0;
            if (sides > 0 && ((c >= w[2] && c < w[3]) || (c >= w[4] && c < w[5])))
                *at -= (double)(w[1] - w[0]) / sides;
        }
    }
}

/* ---- ml ---------------------------------------------------------------------------------------- */

/* Merge channels into bins of half the resolution; where no line reaches, of twice the resolution. Against
 * single channels sigma grows by one or two percent of itself, and the cost no longer follows the axis. */
static void make_bins(struct fly_quantifier *q, const double *a)
{
    int32_t e = q->axis.n_channels, lines = 0, bins = 0;

    while (lines < q->m && q->columns[lines].element >= 0)
        lines++;
    for (int32_t c = q->first; c < e; bins++) {
        double fwhm = fly_fwhm_kev(fly_axis_kev(&q->axis, c), q->axis.fwhm_mn_ev) * 1000.0;
        int32_t narrow = (int32_t)(fwhm / 2.0 / q->axis.ev_per_channel), end;
        int32_t wide = (int32_t)(fwhm * 2.0 / q->axis.ev_per_channel);

        end = c + (narrow > 1 ? narrow : 1) < e ? c + (narrow > 1 ? narrow : 1) : e;
        for (int32_t at = c; at < c + wide && at < e; at++) {
            int reached = 0;

            for (int32_t j = 0; j < lines && !reached; j++)
                reached = a[(int64_t)j * e + at] > 1e-7;
            if (reached)
                break;
            end = at + 1 > end ? at + 1 : end;
        }
        for (; c < end; c++)
            q->bin_of[c] = bins;
    }
    q->mixture.n_bins = bins;
    q->mixture.n_columns = q->m;
}

static void make_mixture(struct fly_quantifier *q, const double *a)
{
    struct fly_mixture *x = &q->mixture;
    int32_t e = q->axis.n_channels, entries = 0;

    make_bins(q, a);
    memset(x->sum, 0, (size_t)q->m * sizeof *x->sum);
    for (int32_t c = q->first, bin = 0; bin < x->n_bins; bin++) {
        int32_t end = c;

        x->first[bin] = entries;
        while (end < e && q->bin_of[end] == bin)
            end++;
        for (int32_t j = 0; j < q->m; j++) {
            double sum = 0.0;

            for (int32_t i = c; i < end; i++)
                sum += a[(int64_t)j * e + i];
            if (sum <= 1e-9)
                continue; /* of a photon: nobody will ever see it */
            x->column[entries] = (uint8_t)j;
            x->value[entries++] = sum;
            x->sum[j] += sum;
        }
        c = end;
    }
    x->first[x->n_bins] = entries;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int make_tables(struct fly_quantifier *q, struct fly_arena *arena)
{
    size_t e = (size_t)q->axis.n_channels, m = (size_t)q->m, mark;
    struct fly_mixture *x = &q->mixture;
    double *a, *gram, *spare;
    int rc = FLY_OK;

    if (q->method == FLY_QUANTIFY_ML) {
        q->bin_of = fly_arena_take(arena, e, sizeof *q->bin_of);
        x->first = fly_arena_take(arena, e + 1, sizeof *x->first);
        x->column = fly_arena_take(arena, e * m, 1);
        x->value = fly_arena_take(arena, e * m, sizeof *x->value);
        x->sum = fly_arena_take(arena, m, sizeof *x->sum);
        if (!q->bin_of || !x->first || !x->column || !x->value || !x->sum)
            return fly_fail(FLY_ENOMEM, "quantifier: the reserve is too small");
    } else {
        q->p = fly_arena_take(arena, e * (size_t)q->n, sizeof *q->p);
        if (!q->p)
            return fly_fail(FLY_ENOMEM, "quantifier: the reserve is too small");
    }
    mark = fly_arena_mark(arena);
    a = fly_arena_take(arena, e * m, sizeof *a);
    gram = fly_arena_take(arena, m * m, sizeof *gram);
    spare = fly_arena_take(arena, m, sizeof *spare);
    if (!a || !gram || !spare)
        return fly_fail(FLY_ENOMEM, "quantifier: the reserve is too small");
    for (int32_t j = 0; q->method != FLY_QUANTIFY_WINDOW && j < q->m; j++)
        fly_basis_fill(&q->axis, q->choices, q->columns[j], a + (size_t)j * e);
    if (q->method == FLY_QUANTIFY_FIT)
        rc = make_fit(q, a, gram, spare);
    else if (q->method == FLY_QUANTIFY_WINDOW)
        make_window(q);
    else
        make_mixture(q, a);
    fly_arena_reset(arena, mark);
    return rc;
}

int fly_quantifier_open(struct fly_quantifier **out, const struct fly_quantify_config *config,
                        struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    struct fly_quantifier *q;
    int rc = check_config(config);

    if (rc < 0)
        return rc;
    q = fly_arena_take(arena, 1, sizeof *q);
    if (!q)
        return fly_fail(FLY_ENOMEM, "quantifier: the reserve is too small");
    memset(q, 0, sizeof *q);
    q->axis = (struct fly_eds_axis){.set = config->set,
                                    .n_channels = config->n_channels,
                                    .ev_offset = config->ev_offset,
                                    .ev_per_channel = config->ev_per_channel,
                                    .fwhm_mn_ev = config->fwhm_mn_ev,
                                    .beam_kev = config->beam_kev,
                                    .mask_ev = config->mask_ev};
    q->method = config->method;
    q->min_counts = config->min_counts;
    q->n = config->n_elements;
    q->n_choices = config->n_elements + config->n_fit_only;
    q->first = fly_axis_first(&q->axis);
    rc = choose_all(q, config);
    if (rc < 0)
        goto fail;
    q->m = fly_basis_columns(&q->axis, q->choices, q->n_choices, q->columns);
    rc = make_tables(q, arena);
    if (rc < 0)
        goto fail;
    *out = q;
    return FLY_OK;

fail:
    fly_arena_reset(arena, mark);
    return rc;
}
