/* Compositions as an analysis leaves them: arrays of every chip, and what the regions are made of. */
#include "plugin/analyze_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/maps.h"
#include "plugin/quantify_choice.h"

/* A quantifier of its own, with its scratch, in memory of its own. */
struct own {
    struct fly_quantify_choice choice;
    struct fly_arena arena, scratch;
    struct fly_quantifier *quantifier;
    struct fly_quantify_work work;
};

static void close_own(struct own **own)
{
    if (*own) {
        fly_arena_fini(&(*own)->scratch);
        fly_arena_fini(&(*own)->arena);
    }
    free(*own);
    *own = NULL;
}

/* By the session's choice, but this method; FLY_QUANTIFY_METHODS: the session's own. */
static int open_own(struct own **out, const struct fly_analyze_out *o, enum fly_quantify_method method)
{
    const struct fly_session_info *info = fly_session_facts(o->session);
    struct fly_alloc alloc = fly_alloc_system();
    struct own *own = calloc(1, sizeof *own);
    char note[400];
    int rc = own ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory to quantify");

    if (rc == FLY_OK)
        /* The engine has such a quantifier: there is one to choose. */
        FLY_ASSERT(fly_quantify_choose(&own->choice, &info->start, &info->plan, fly_session_options(o->session), note,
                                       sizeof note));
    if (rc == FLY_OK && method != FLY_QUANTIFY_METHODS)
        own->choice.config.method = method;
    if (rc == FLY_OK)
        rc = fly_arena_init(&own->arena, fly_quantifier_need(&own->choice.config), &alloc, "quantification");
    if (rc == FLY_OK)
        rc = fly_quantifier_open(&own->quantifier, &own->choice.config, &own->arena);
    if (rc == FLY_OK)
        rc = fly_arena_init(&own->scratch, fly_quantify_work_need(own->quantifier), &alloc, "quantification");
    if (rc < 0) {
        close_own(&own);
        return rc;
    }
    fly_quantify_work_init(&own->work, own->quantifier, &own->scratch);
    *out = own;
    return FLY_OK;
}

struct tables {
    double *intensity, *percent, *sigma; /* (K, n) */
    uint8_t *status;                     /* (K) */
};

static void fill_tables(const struct fly_analyze_out *out, struct own *own, struct tables *t)
{
    const struct fly_grid *grid = fly_engine_grid(out->engine);
    const uint8_t *measured;
    int32_t channels, n = own->choice.config.n_elements;
    const uint32_t *spectra = fly_engine_spectra(out->engine, &channels, &measured);
    int pool = fly_session_options(out->session)->profile == FLY_OPTION_ROBUST;

    for (int32_t k = 0; k < out->chips; k++) {
        struct fly_composition made;
        size_t at = (size_t)k * (size_t)n, bytes = (size_t)n * sizeof(double);

        if (!measured[k])
            continue;
        if (pool)
            fly_quantify_chip(own->quantifier, &own->work, spectra, grid->rows, grid->cols, k, &made);
        else
            fly_quantify(own->quantifier, &own->work, spectra + (size_t)k * (size_t)channels, &made);
        memcpy(t->intensity + at, made.intensity, bytes);
        memcpy(t->percent + at, made.percent, bytes);
        memcpy(t->sigma + at, made.sigma, bytes);
        t->status[k] = (uint8_t)made.status;
    }
}

static int write_method(const struct fly_analyze_out *out, enum fly_quantify_method method, const char *name)
{
    struct own *own;
    struct tables t = {0};
    char path[64];
    int rc = open_own(&own, out, method);

    if (rc < 0)
        return rc;
    int64_t shape[2] = {out->chips, own->choice.config.n_elements};
    size_t items = (size_t)shape[0] * (size_t)shape[1];

    t = (struct tables){calloc(items, sizeof(double)), calloc(items, sizeof(double)), calloc(items, sizeof(double)),
                        calloc((size_t)out->chips, 1)};
    if (!t.intensity || !t.percent || !t.sigma || !t.status) {
        rc = fly_fail(FLY_ENOMEM, "no memory for the compositions");
    } else {
        fill_tables(out, own, &t);
        snprintf(path, sizeof path, "int_%s", name);
        rc = fly_analyze_npy(out, path, FLY_NPY_F64, 2, shape, t.intensity);
        snprintf(path, sizeof path, "at_%s", name);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, path, FLY_NPY_F64, 2, shape, t.percent);
        snprintf(path, sizeof path, "at_sigma_%s", name);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, path, FLY_NPY_F64, 2, shape, t.sigma);
        snprintf(path, sizeof path, "at_status_%s", name);
        if (rc == FLY_OK)
            rc = fly_analyze_npy(out, path, FLY_NPY_U8, 1, shape, t.status);
    }
    free(t.intensity);
    free(t.percent);
    free(t.sigma);
    free(t.status);
    close_own(&own);
    return rc;
}

int fly_analyze_quantities(const struct fly_analyze_out *out)
{
    static const char *const names[] = {"fit", "window", "ml"};
    int32_t windows[FLY_ELEMENTS_MAX * 6], n;
    struct own *own;
    int rc = open_own(&own, out, FLY_QUANTIFY_METHODS);

    if (rc < 0)
        return rc;
    n = own->choice.config.n_elements;
    fly_quantifier_windows(own->quantifier, windows);
    rc = fly_analyze_npy(out, "eds_windows", FLY_NPY_I32, 2, (int64_t[]){n, 6}, windows);
    enum fly_quantify_method mine = own->choice.config.method;

    close_own(&own);
    for (int m = 0; rc == FLY_OK && m < FLY_QUANTIFY_METHODS; m++)
        if (m == (int)mine || (out->a->is_case && m != FLY_QUANTIFY_ML))
            rc = write_method(out, (enum fly_quantify_method)m, names[m]);
    return rc;
}

/* ---- regions ----------------------------------------------------------------------------------- */

static void tell_numbers(struct fly_json *json, const char *key, const double *x, int32_t n)
{
    fly_json_key(json, key);
    fly_json_row(json);
    for (int32_t i = 0; i < n; i++)
        fly_json_f64(json, x[i]);
    fly_json_end(json);
}

static void tell_elements(struct fly_json *json, const char *key, const struct fly_quantifier *q, const double *x,
                          int32_t n)
{
    fly_json_key(json, key);
    fly_json_object(json);
    for (int32_t i = 0; i < n; i++) {
        fly_json_key(json, fly_quantifier_line(q, i).symbol);
        fly_json_f64(json, x[i]);
    }
    fly_json_end(json);
}

/* La, Fe, O and the rest: 0 where the session does not look for one. */
static void of_interest(const struct fly_quantifier *q, const double *percent, int32_t n, double out[4])
{
    static const char *const symbols[3] = {"La", "Fe", "O"};

    for (int s = 0; s < 3; s++) {
        out[s] = 0.0;
        for (int32_t i = 0; i < n; i++)
            if (strcmp(fly_quantifier_line(q, i).symbol, symbols[s]) == 0)
                out[s] = percent[i];
    }
    out[3] = fly_quantifier_extraneous(q, percent);
}

/* Composition of the summed spectra of the chips with this label; returns how many those are. */
static int32_t region(const struct fly_analyze_out *out, struct own *own, const int32_t *labels, int32_t label,
                      uint64_t *sum, struct fly_composition *made)
{
    const uint8_t *measured;
    int32_t channels, chips = 0;
    const uint32_t *spectra = fly_engine_spectra(out->engine, &channels, &measured);

    memset(sum, 0, (size_t)channels * sizeof *sum);
    for (int32_t k = 0; k < out->chips; k++) {
        if (labels[k] != label || !measured[k])
            continue;
        chips++;
        for (int32_t e = 0; e < channels; e++)
            sum[e] += spectra[(size_t)k * (size_t)channels + (size_t)e];
    }
    if (chips)
        fly_quantify_sum(own->quantifier, &own->work, sum, made);
    return chips;
}

/* Golden definition 15, or the robust one with what it knows beside. */
static void tell_lattice(struct fly_json *json, struct fly_square square, const struct fly_spacing *s, int paper)
{
    static const char *const states[] = {"nothing_to_measure", "too_small", "not_crystalline", "measured"};

    fly_json_key(json, "square");
    fly_json_row(json);
    fly_json_int(json, square.row);
    fly_json_int(json, square.col);
    fly_json_int(json, square.n);
    fly_json_end(json);
    fly_json_key(json, s->in_px ? "d_px" : "d");
    fly_json_f64(json, s->d > 0.0 ? s->d : NAN);
    if (paper) {
        fly_json_key(json, "ky");
        fly_json_int(json, s->ky);
        fly_json_key(json, "kx");
        fly_json_int(json, s->kx);
        fly_json_key(json, "fy");
        fly_json_f64(json, s->spot[0].fy);
        fly_json_key(json, "fx");
        fly_json_f64(json, s->spot[0].fx);
    } else {
        fly_json_key(json, s->in_px ? "d_px_sigma" : "d_sigma");
        fly_json_f64(json, s->d > 0.0 ? s->d_sd : NAN);
        fly_json_key(json, "vectors");
        fly_json_array(json);
        for (int32_t v = 0; v < s->spots; v++) {
            fly_json_object(json);
            fly_json_key(json, "fy");
            fly_json_f64(json, s->spot[v].fy);
            fly_json_key(json, "fx");
            fly_json_f64(json, s->spot[v].fx);
            fly_json_key(json, "d");
            fly_json_f64(json, s->spot[v].d);
            fly_json_key(json, "d_sigma");
            fly_json_f64(json, s->spot[v].d_sd);
            fly_json_key(json, "snr");
            fly_json_f64(json, s->spot[v].snr);
            fly_json_end(json);
        }
        fly_json_end(json);
        fly_json_key(json, "angle_deg");
        fly_json_f64(json, s->spots == 2 ? s->angle_deg : NAN);
        fly_json_key(json, "crystallinity");
        fly_json_f64(json, s->crystallinity);
        fly_json_key(json, "lattice");
        fly_json_str(json, states[s->state]);
    }
    fly_json_key(json, "snr");
    fly_json_f64(json, s->snr);
    fly_json_key(json, "crystalline");
    fly_json_bool(json, s->crystalline);
}

static void tell_labelling(const struct fly_analyze_out *out, struct fly_json *json, struct own *own, const char *name,
                           const int32_t *labels, uint64_t *sum)
{
    int32_t n = own ? own->choice.config.n_elements : 0, ids[FLY_MAP_CLASSES_MAX], sizes[FLY_MAP_CLASSES_MAX], more;
    int32_t count = fly_label_ids(labels, out->chips, ids, sizes, FLY_MAP_CLASSES_MAX, &more);
    struct fly_square squares[FLY_MAP_CLASSES_MAX];
    int paper = fly_session_options(out->session)->profile == FLY_OPTION_PAPER;
    double mine[2][4];
    int there[2] = {0, 0};

    fly_engine_squares(out->engine, labels, ids, count, squares);
    fly_json_key(json, name);
    fly_json_object(json);
    for (int32_t c = 0; c < count; c++) {
        struct fly_composition made;
        struct fly_spacing spacing;
        double interest[4];
        char key[16];
        int32_t v = ids[c], chips = own ? region(out, own, labels, v, sum, &made) : 0;

        snprintf(key, sizeof key, "%d", v);
        fly_json_key(json, key);
        fly_json_object(json);
        fly_json_key(json, "chips");
        fly_json_int(json, sizes[c]);
        if (fly_engine_lattice(out->engine, squares[c], &spacing, NULL) == FLY_OK)
            tell_lattice(json, squares[c], &spacing, paper);
        if (chips) {
            of_interest(own->quantifier, made.percent, n, interest);
            if (v == 1 || v == 2) {
                memcpy(mine[v - 1], interest, sizeof interest);
                there[v - 1] = 1;
            }
            tell_elements(json, "at_percent", own->quantifier, made.percent, n);
            tell_elements(json, "at_percent_sigma", own->quantifier, made.sigma, n);
            tell_numbers(json, "La_Fe_O_extraneous", interest, 4);
        }
        fly_json_end(json);
    }
    if (there[0] && there[1]) {
        double relative[4], symmetric[4];

        for (int i = 0; i < 4; i++) {
            relative[i] = fly_percent_difference(mine[0][i], mine[1][i]);
            symmetric[i] = fly_percent_difference_symmetric(mine[0][i], mine[1][i]);
        }
        fly_json_key(json, "percent_difference_2_vs_1");
        fly_json_object(json);
        tell_numbers(json, "relative", relative, 4);
        tell_numbers(json, "symmetric", symmetric, 4);
        fly_json_end(json);
    }
    fly_json_end(json);
}

int fly_analyze_post(const struct fly_analyze_out *out, struct fly_json *json)
{
    const struct fly_plan *plan = &fly_session_facts(out->session)->plan;
    enum fly_modality modality = plan->image < 0 ? FLY_EDS : plan->n_segments ? FLY_ENSEMBLE : FLY_HAADF;
    int32_t *truth = malloc((size_t)out->chips * sizeof *truth);
    uint64_t *sum = malloc((size_t)(plan->n_channels + 1) * sizeof *sum);
    struct own *own = NULL;
    int rc = truth && sum ? FLY_OK : fly_fail(FLY_ENOMEM, "result.json: no memory for the regions");

    if (rc == FLY_OK && fly_engine_quantifier(out->engine))
        rc = open_own(&own, out, FLY_QUANTIFY_METHODS);
    if (rc == FLY_OK) {
        fly_json_key(json, "post");
        fly_json_object(json);
        for (int method = 0; method < FLY_METHODS; method++) {
            const int32_t *labels = fly_analyze_labels(out, (enum fly_method)method, modality);

            if (labels)
                tell_labelling(out, json, own, fly_method_name((enum fly_method)method), labels, sum);
        }
        if (out->a->truth.bytes && out->a->truth.npy.items == out->chips) {
            for (int32_t k = 0; k < out->chips; k++)
                truth[k] = (int32_t)fly_array_int(&out->a->truth, k);
            tell_labelling(out, json, own, "truth", truth, sum);
        }
        fly_json_end(json);
    }
    close_own(&own);
    free(truth);
    free(sum);
    return rc;
}
