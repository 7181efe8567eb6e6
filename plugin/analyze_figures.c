/* The paper's figures of a finished session. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/agreement.h"
#include "plugin/analyze.h"
#include "plugin/clusters.h"
#include "plugin/figures.h"

enum { REGIONS_MOST = 64 };

/* Everything that the figures are drawn from. */
struct drawing {
    struct fly_session *session;
    struct fly_engine *engine;
    const struct fly_session_info *info;
    int32_t chips;
    char title[FLY_SESSION_MAX + 1], note[200];
    float *image, *crystallinity;
    double *percent;
    const char *elements[FLY_ELEMENTS_MAX];
    struct fly_figure_name *names[FLY_MAPS];
    struct fly_figure_region regions[REGIONS_MOST];
    struct fly_composition made[REGIONS_MOST];
    struct fly_spacing spacing[REGIONS_MOST];
    struct fly_difference difference;
    struct fly_figure_difference told[FLY_ELEMENTS_MAX];
    double ami[FLY_FIGURE_METHODS][FLY_FIGURE_PAIRS], ari[FLY_FIGURE_METHODS][FLY_FIGURE_PAIRS];
    int32_t *scratch; /* (2 K) */
    struct fly_figures figures;
};

static const enum fly_method method_of[FLY_FIGURE_METHODS] = {FLY_FEWSHOT, FLY_WARD, FLY_COMMUNITY};

static void *need(size_t count, size_t size)
{
    return malloc((count ? count : 1) * size);
}

/* ---- maps ---------------------------------------------------------------------------------------- */

static const char *why_absent(const struct drawing *d, enum fly_method method, enum fly_modality modality)
{
    if (modality != FLY_EDS && d->info->plan.image < 0)
        return "no image";
    if (modality != FLY_HAADF && !d->info->plan.n_segments)
        return "no EDS";
    return method == FLY_COMMUNITY ? "more chips than graph.chips_max" : "more chips than tree.chips_max";
}

static int fill_names(struct drawing *d, int map, struct fly_figure_map *to)
{
    const struct fly_support *support = fly_engine_support(d->engine);
    const struct fly_names *names = fly_engine_names(d->engine, map);
    int32_t most = fly_map_method(map) == FLY_FEWSHOT ? support->n_classes : names ? names->count : 0;

    d->names[map] = need((size_t)most, sizeof *d->names[map]);
    if (!d->names[map])
        return fly_fail(FLY_ENOMEM, "figures: no memory");
    if (fly_map_method(map) == FLY_FEWSHOT) {
        for (int32_t c = 0; c < support->n_classes; c++)
            if (support->classes[c].alive)
                d->names[map][to->n_names++] = (struct fly_figure_name){c, support->classes[c].name};
    } else {
        for (int32_t i = 0; names && i < names->count; i++)
            if (names->name[i].name[0])
                d->names[map][to->n_names++] = (struct fly_figure_name){names->name[i].id, names->name[i].name};
    }
    to->names = d->names[map];
    return FLY_OK;
}

static int fill_maps(struct drawing *d)
{
    int rc = FLY_OK;

    for (int f = 0; f < FLY_FIGURE_METHODS; f++)
        for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++) {
            int map = fly_map_index(method_of[f], (enum fly_modality)m);
            struct fly_figure_map *to = &d->figures.maps[f][m];
            struct fly_map_view view;

            if (!fly_maps_has_map(d->info, map)) {
                to->absent = why_absent(d, method_of[f], (enum fly_modality)m);
                continue;
            }
            fly_engine_map(d->engine, method_of[f], (enum fly_modality)m, &view);
            to->labels = view.labels;
            to->confidence = view.confidence;
            rc = fill_names(d, map, to);
        }
    return rc;
}

static void fill_agreement(struct drawing *d)
{
    static const int pairs[FLY_FIGURE_PAIRS][2] = {{FLY_HAADF, FLY_EDS}, {FLY_HAADF, FLY_ENSEMBLE}, {FLY_EDS, FLY_ENSEMBLE}};

    for (int f = 0; f < FLY_FIGURE_METHODS; f++)
        for (int p = 0; p < FLY_FIGURE_PAIRS; p++) {
            const int32_t *x = d->figures.maps[f][pairs[p][0]].labels, *y = d->figures.maps[f][pairs[p][1]].labels;
            int32_t n = 0;

            for (int32_t k = 0; x && y && k < d->chips; k++)
                if (x[k] >= 0 && y[k] >= 0) {
                    d->scratch[n] = x[k];
                    d->scratch[d->chips + n++] = y[k];
                }
            d->ami[f][p] = n ? fly_ami(d->scratch, d->scratch + d->chips, n) : NAN;
            d->ari[f][p] = n ? fly_ari(d->scratch, d->scratch + d->chips, n) : NAN;
        }
    d->figures.ami = (const double(*)[FLY_FIGURE_PAIRS])d->ami;
    d->figures.ari = (const double(*)[FLY_FIGURE_PAIRS])d->ari;
}

/* ---- what was measured --------------------------------------------------------------------------- */

static int fill_image(struct drawing *d)
{
    const struct fly_grid *grid = fly_engine_grid(d->engine);

    d->figures.height_px = grid->height_px;
    d->figures.width_px = grid->width_px;
    d->figures.pixel_nm = d->info->plan.pixel_nm[1];
    if (d->info->plan.image < 0) {
        d->figures.no_lattice = "no image";
        return FLY_OK;
    }
    d->image = need((size_t)grid->height_px * (size_t)grid->width_px, sizeof *d->image);
    d->crystallinity = need((size_t)d->chips, sizeof *d->crystallinity);
    if (!d->image || !d->crystallinity)
        return fly_fail(FLY_ENOMEM, "figures: no memory");
    fly_engine_peek(d->engine, (struct fly_rect){0, 0, grid->height_px, grid->width_px}, d->image);
    d->figures.image = d->image;
    if (fly_session_options(d->session)->profile == FLY_OPTION_PAPER)
        return FLY_OK; /* the paper knows no crystallinity */
    for (int32_t k = 0; k < d->chips; k++)
        d->crystallinity[k] = fly_engine_crystallinity(d->engine, k);
    d->figures.crystallinity = d->crystallinity;
    return FLY_OK;
}

static int fill_percents(struct drawing *d)
{
    const struct fly_quantifier *quantifier = fly_engine_quantifier(d->engine);
    const uint8_t *status, *there;
    int32_t n;
    const double *percent = fly_engine_percent(d->engine, &n, &status);

    if (!quantifier) {
        d->figures.no_eds = d->info->plan.n_segments ? "not quantified" : "no EDS";
        return FLY_OK;
    }
    (void)fly_engine_spectra(d->engine, NULL, &there);
    d->percent = need((size_t)d->chips * (size_t)n, sizeof *d->percent);
    if (!d->percent)
        return fly_fail(FLY_ENOMEM, "figures: no memory");
    for (int32_t k = 0; k < d->chips; k++)
        for (int32_t i = 0; i < n; i++)
            d->percent[k * n + i] = there[k] && status[k] != FLY_QUANTIFY_TOO_FEW ? percent[k * n + i] : NAN;
    for (int32_t i = 0; i < n; i++)
        d->elements[i] = fly_quantifier_line(quantifier, i).symbol;
    d->figures.percent = d->percent;
    d->figures.elements = d->elements;
    d->figures.n_elements = n;
    return FLY_OK;
}

/* ---- regions ------------------------------------------------------------------------------------- */

/* Few-shot where a person made classes, else communities, else Ward's; of the ensemble where there is one. */
static int choose_regions(struct drawing *d)
{
    enum fly_modality modality = d->info->plan.image < 0          ? FLY_EDS
                                 : d->info->plan.n_segments == 0 ? FLY_HAADF
                                                                  : FLY_ENSEMBLE;
    enum fly_figure_method method = fly_engine_support(d->engine)->n_classes > 0 ? FLY_FIGURE_FEWSHOT
                                    : d->info->plan.communities                   ? FLY_FIGURE_COMMUNITY
                                                                                  : FLY_FIGURE_WARD;

    d->figures.regions_method = method;
    d->figures.regions_modality = modality;
    return fly_map_index(method_of[method], modality);
}

static int fill_region(struct drawing *d, int32_t at, const int32_t *labels, int32_t id, int32_t chips,
                       struct fly_square square)
{
    struct fly_figure_region *to = &d->regions[at];
    int32_t side = fly_engine_power_px(d->engine, square);
    float *power = NULL;

    *to = (struct fly_figure_region){.label = id, .chips = chips};
    if (fly_engine_region(d->engine, labels, id, &d->made[at]) > 0 && d->made[at].status != FLY_QUANTIFY_TOO_FEW) {
        to->percent = d->made[at].percent;
        to->sigma = d->made[at].sigma;
        to->limit = d->made[at].limit;
    }
    if (square.n == 0)
        return FLY_OK;
    power = need((size_t)side * (size_t)side, sizeof *power);
    if (!power)
        return fly_fail(FLY_ENOMEM, "figures: no memory");
    to->power = power; /* free_drawing gives it back */
    to->square_row = square.row;
    to->square_col = square.col;
    to->square_n = square.n;
    for (int32_t i = 0; i < side * side; i++)
        power[i] = 0.0f;
    if (fly_engine_lattice(d->engine, square, &d->spacing[at], power) == FLY_OK) {
        to->spacing = &d->spacing[at];
        to->power_px = side;
    }
    return FLY_OK;
}

static const char *name_in(const struct fly_figure_map *map, int32_t label)
{
    for (int32_t i = 0; i < map->n_names; i++)
        if (map->names[i].label == label)
            return map->names[i].name;
    return NULL;
}

/* The largest region that a person takes for `role`; -1: none. */
static int32_t largest_of(const struct drawing *d, int map, enum fly_role role)
{
    const struct fly_names *names = fly_engine_names(d->engine, map);
    int32_t best = -1;

    for (int32_t r = 0; names && r < d->figures.n_regions; r++) {
        const struct fly_name *name = fly_names_find(names, d->regions[r].label);

        if (name && name->role == role && d->regions[r].percent &&
            (best < 0 || d->regions[r].chips > d->regions[best].chips))
            best = r;
    }
    return best;
}

static void fill_difference(struct drawing *d, int map)
{
    const struct fly_figure_map *shown = &d->figures.maps[d->figures.regions_method][d->figures.regions_modality];
    int32_t a = largest_of(d, map, FLY_ROLE_ORDERED), b = largest_of(d, map, FLY_ROLE_DISORDERED), n = 0;
    const char *first, *second;

    if (a < 0 || b < 0)
        return;
    fly_difference_of(&d->difference, d->regions[a].percent, d->regions[a].sigma, d->regions[b].percent,
                      d->regions[b].sigma, d->figures.n_elements);
    for (int32_t i = 0; i < d->figures.n_elements; i++)
        if (!isfinite(d->regions[a].limit[i]) || !isfinite(d->regions[b].limit[i]))
            d->told[n++] = (struct fly_figure_difference){d->elements[i], d->difference.relative[i],
                                                          d->difference.relative_sigma[i], d->difference.symmetric[i],
                                                          d->difference.symmetric_sigma[i]};
    first = name_in(shown, d->regions[a].label);
    second = name_in(shown, d->regions[b].label);
    d->figures.ordered = first ? first : "ordered";
    d->figures.disordered = second ? second : "disordered";
    d->figures.differences = d->told;
    d->figures.n_differences = n;
}

static int fill_regions(struct drawing *d)
{
    int map = choose_regions(d), rc = FLY_OK;
    const int32_t *labels = d->figures.maps[d->figures.regions_method][d->figures.regions_modality].labels;
    int32_t ids[REGIONS_MOST], chips[REGIONS_MOST], more, n;
    struct fly_square squares[REGIONS_MOST];

    if (!labels)
        return FLY_OK;
    n = fly_label_ids(labels, d->chips, ids, chips, REGIONS_MOST, &more);
    fly_engine_squares(d->engine, labels, ids, n, squares);
    for (int32_t r = 0; rc == FLY_OK && r < n; r++)
        rc = fill_region(d, r, labels, ids[r], chips[r], squares[r]);
    d->figures.regions = d->regions;
    d->figures.n_regions = n;
    if (rc == FLY_OK)
        fill_difference(d, map);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static void free_drawing(struct drawing *d)
{
    for (int32_t r = 0; r < REGIONS_MOST; r++)
        free((void *)d->regions[r].power);
    for (int m = 0; m < FLY_MAPS; m++)
        free(d->names[m]);
    free(d->image);
    free(d->crystallinity);
    free(d->percent);
    free(d->scratch);
    free(d);
}

int fly_results_draw(struct fly_session *session, int (*take)(void *ctx, const struct fly_figures *figures), void *ctx)
{
    struct drawing *d = calloc(1, sizeof *d);
    const struct fly_grid *grid;
    int rc;

    if (!d)
        return fly_fail(FLY_ENOMEM, "figures: no memory");
    d->session = session;
    d->engine = fly_session_engine(session);
    d->info = fly_session_facts(session);
    grid = fly_engine_grid(d->engine);
    d->chips = fly_grid_chips(grid);
    d->scratch = need(2 * (size_t)d->chips, sizeof *d->scratch);
    snprintf(d->title, sizeof d->title, "%s", d->info->id);
    snprintf(d->note, sizeof d->note, "%s, profile %s, %d x %d chips of %d px", fly_session_embedder_name(session),
             fly_options_word(fly_session_options(session), "profile"), grid->rows, grid->cols, grid->side_px);
    d->figures = (struct fly_figures){.title = d->title, .note = d->note, .rows = grid->rows, .cols = grid->cols,
                                      .side_px = grid->side_px, .pitch_px = grid->pitch_px};
    rc = d->scratch ? fill_image(d) : fly_fail(FLY_ENOMEM, "figures: no memory");
    if (rc == FLY_OK)
        rc = fill_percents(d);
    if (rc == FLY_OK)
        rc = fill_maps(d);
    if (rc == FLY_OK)
        rc = fill_regions(d);
    if (rc == FLY_OK) {
        fill_agreement(d);
        rc = take(ctx, &d->figures);
    }
    free_drawing(d);
    return rc;
}

static int write_figures(void *dir, const struct fly_figures *figures)
{
    return fly_figures_write(dir, figures);
}

int fly_results_figures(struct fly_session *session, const char *dir)
{
    return fly_results_draw(session, write_figures, (void *)dir);
}
