/* Steering within the engine: the view of a plan, and when it may be made. */
#include "engine/steering.h"

#include <math.h>
#include <string.h>

#include "engine/base/agreement.h"
#include "engine/label/shares.h"
#include "engine/state.h"

static const double sure = 0.9; /* posterior from which a chip stands for its class */

/* ---- opening --------------------------------------------------------------------------------------------- */

static int32_t classes_cap(int32_t n_chips)
{
    int32_t fit = (1 << 20) / n_chips;

    return fit < 8 ? 8 : fit > FLY_STEER_CLASSES_MAX ? FLY_STEER_CLASSES_MAX : fit;
}

static int32_t bins_of(const struct fly_engine_config *config)
{
    if (!config->segments)
        return 0;
    return fly_shares_width(config->n_channels, fly_shares_channels(config->ev_per_channel, FLY_SHARE_EV));
}

/* The widest feature that clusters may be made of. */
static int32_t centre_width(const struct fly_engine *e)
{
    int32_t bins = bins_of(&e->config), image = e->config.embedder ? fly_embedder_width(e->config.embedder)
                                                                   : e->config.embed_width;
    int32_t width = bins > e->n_elements ? bins : e->n_elements;

    return e->config.has_image && image > width ? image : width;
}

/* With a NULL arena it only counts. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

static size_t lay_out(struct fly_engine *e, struct fly_arena *arena)
{
    struct fly_steering_state *s = &e->steering;
    size_t need = 0, k = (size_t)fly_grid_chips(&e->config.grid), c;

    s->classes_cap = classes_cap((int32_t)k);
    c = (size_t)s->classes_cap;
    s->posterior = take(arena, &need, k * c, sizeof *s->posterior);
    for (int m = 0; m < 2; m++) {
        s->rate[m] = take(arena, &need, c * c, sizeof *s->rate[m]);
        s->one[m] = take(arena, &need, k, sizeof *s->one[m]);
    }
    s->composition_error = take(arena, &need, c, sizeof *s->composition_error);
    s->novel = take(arena, &need, k, sizeof *s->novel);
    s->mean_us = take(arena, &need, k, sizeof *s->mean_us);
    s->max_us = take(arena, &need, k, sizeof *s->max_us);
    s->label = take(arena, &need, k, sizeof *s->label);
    s->measured = take(arena, &need, k, sizeof *s->measured);
    s->barred = take(arena, &need, k, sizeof *s->barred);
    s->taught = take(arena, &need, k, sizeof *s->taught);
    s->counts = take(arena, &need, (size_t)e->config.n_channels, sizeof *s->counts);
    s->template = take(arena, &need, (c + 1) * (size_t)bins_of(&e->config), sizeof *s->template);
    s->centre = take(arena, &need, c * (size_t)centre_width(e), sizeof *s->centre);
    return need;
}

static int too_many(const struct fly_engine *e)
{
    return fly_grid_chips(&e->config.grid) > FLY_STEER_CHIPS_MAX;
}

size_t fly_engine_steering_need(const struct fly_engine *engine)
{
    const struct fly_grid *grid = &engine->config.grid;
    struct fly_engine counting = {.config = engine->config, .n_elements = engine->n_elements};
    size_t need;

    if (too_many(engine))
        return 0;
    need = lay_out(&counting, NULL);
    need = fly_size_add(need, fly_contingency_need(fly_grid_chips(grid)));
    return fly_size_add(need, fly_steer_need(grid->rows, grid->cols, counting.steering.classes_cap));
}

int fly_engine_open_steering(struct fly_engine *engine, const struct fly_alloc *alloc)
{
    struct fly_steering_state *s = &engine->steering;
    const struct fly_grid *grid = &engine->config.grid;
    int rc;

    s->config = fly_steer_config_default();
    s->image_noise = NAN;
    if (too_many(engine))
        return FLY_OK;
    rc = fly_arena_init(&s->arena, fly_engine_steering_need(engine), alloc, "steering");
    if (rc < 0)
        return rc;
    lay_out(engine, &s->arena);
    return fly_steer_init(&s->steer, grid->rows, grid->cols, s->classes_cap, &s->arena);
}

void fly_engine_close_steering(struct fly_engine *engine)
{
    fly_arena_fini(&engine->steering.arena);
}

int fly_engine_set_steer(struct fly_engine *engine, const struct fly_steer_config *config)
{
    int rc = fly_steer_config_check(config);

    if (rc == FLY_OK)
        engine->steering.config = *config;
    return rc;
}

const struct fly_steer_config *fly_engine_steer_config(const struct fly_engine *engine)
{
    return &engine->steering.config;
}

struct fly_steer *fly_engine_steer(struct fly_engine *engine)
{
    return engine->steering.steer;
}

void fly_engine_steer_anew(struct fly_engine *engine)
{
    if (engine->steering.steer)
        fly_steer_anew(engine->steering.steer, engine->steering.births);
}

struct fly_rect fly_engine_tile(const struct fly_engine *engine, const struct fly_steer_tile *tile)
{
    const struct fly_grid *grid = &engine->config.grid;

    FLY_ASSERT(tile->row >= 0 && tile->rows >= 1 && tile->row + tile->rows <= grid->rows);
    FLY_ASSERT(tile->col >= 0 && tile->cols >= 1 && tile->col + tile->cols <= grid->cols);
    return (struct fly_rect){tile->row * grid->pitch_px, tile->col * grid->pitch_px,
                             (tile->rows - 1) * grid->pitch_px + grid->side_px,
                             (tile->cols - 1) * grid->pitch_px + grid->side_px};
}

/* ---- epochs ---------------------------------------------------------------------------------------------- */

static enum fly_modality modality_of(const struct fly_engine *e)
{
    return !e->spectra ? FLY_HAADF : !e->assembly ? FLY_EDS : FLY_ENSEMBLE;
}

static int32_t born_in(const struct fly_engine *e, enum fly_method method)
{
    int fresh;
    const struct fly_story *story = fly_engine_story(e, fly_map_index(method, modality_of(e)), &fresh);
    int32_t born = 0;

    for (int32_t i = 0; story && fresh && i < story->count; i++)
        born += (story->cluster[i].events & FLY_CLUSTER_BORN) != 0;
    return born;
}

/* The halves stand as they were compared until the next measurement begins. */
static void note_noise(struct fly_engine *e)
{
    const struct fly_reliability_state *r = &e->reliability;

    if (r->phase == 0 && !isnan(r->value[0]))
        e->steering.image_noise = fly_halves_noise(r->rows[0][0], r->rows[0][1], r->count[0], e->width);
}

void fly_engine_steering_epoch(struct fly_engine *engine, int anything)
{
    struct fly_steering_state *s = &engine->steering;

    s->epochs += (uint64_t)(anything != 0);
    s->births += (uint64_t)born_in(engine, FLY_FEWSHOT) + (uint64_t)born_in(engine, FLY_WARD);
    note_noise(engine);
}

/* ---- few-shot -------------------------------------------------------------------------------------------- */

/* Classes that have support chips; how many. */
static int32_t list_classes(struct fly_engine *e)
{
    struct fly_steering_state *s = &e->steering;
    int32_t n = 0;

    for (int32_t c = 0; c < e->support.n_classes; c++)
        if (e->support.classes[c].alive && e->support.classes[c].chips > 0) {
            if (n < s->classes_cap)
                s->class_id[n] = c;
            n++;
        }
    return n;
}

static int32_t class_of_id(const struct fly_steering_state *s, int32_t id)
{
    for (int32_t c = 0; c < s->classes; c++)
        if (s->class_id[c] == id)
            return c;
    return -1;
}

/* Scores over their sum; nothing said: all alike. Returns the likeliest class where one is sure. */
static int32_t take_scores(const struct fly_steering_state *s, const double *score, double *p)
{
    double sum = 0.0;
    int32_t best = 0;

    for (int32_t c = 0; c < s->classes; c++)
        sum += score[s->class_id[c]];
    for (int32_t c = 0; c < s->classes; c++) {
        p[c] = sum > 0.0 ? score[s->class_id[c]] / sum : 1.0 / s->classes;
        best = p[c] > p[best] ? c : best;
    }
    return p[best] >= sure ? best : -1;
}

static int take_fewshot(struct fly_engine *e)
{
    struct fly_steering_state *s = &e->steering;
    enum fly_modality m = modality_of(e);
    const struct fly_modality_state *mod = &e->modality[m];

    s->by_cluster = 0;
    for (int32_t k = 0; k < e->n_chips; k++) {
        double *p = s->posterior + (size_t)k * (size_t)s->classes;

        s->measured[k] = mod->labels[k] != FLY_LABEL_PENDING;
        s->label[k] = take_scores(s, mod->scores + (size_t)k * FLY_CLASSES_MAX, p);
        if (e->support.class_of[k] >= 0 && s->measured[k])
            s->label[k] = class_of_id(s, e->support.class_of[k]);
        s->novel[k] = s->measured[k] ? (float)(1.0 - fly_engine_known(e, m, k)) : NAN;
        for (int i = 0; i < 2; i++)
            s->one[i][k] = class_of_id(s, e->modality[i].labels[k]);
    }
    return FLY_OK;
}

static int take_classes(struct fly_engine *e)
{
    struct fly_steering_state *s = &e->steering;
    int32_t n = list_classes(e);

    if (n > s->classes_cap)
        return fly_fail(FLY_ERANGE, "steering between %d classes, %d chips allow %d", n, e->n_chips, s->classes_cap);
    s->classes = n;
    return n >= 2 ? take_fewshot(e) : fly_engine_steer_clusters(e);
}

/* ---- the view -------------------------------------------------------------------------------------------- */

static int waits(const struct fly_engine *e, int32_t k)
{
    return (e->assembly && (e->to_embed.level[k] != FLY_QUEUE_NONE || e->modality[FLY_HAADF].changed[k])) ||
           (e->quantifier && e->to_quantify.level[k] != FLY_QUEUE_NONE) ||
           (e->spectra && e->modality[FLY_EDS].changed[k]);
}

static void take_dose(struct fly_engine *e, double survey_us, struct fly_ledger_view *dose)
{
    struct fly_steering_state *s = &e->steering;
    double area = (double)e->config.grid.side_px * e->config.grid.side_px;
    struct fly_ledger_counts counts;

    fly_engine_ledger(e, dose, &counts);
    for (int32_t k = 0; k < e->n_chips; k++) {
        double frames = dose->unknown[k] / area;

        s->mean_us[k] = (float)((double)dose->mean_us[k] + survey_us * frames);
        s->max_us[k] = (float)((double)dose->max_us[k] + survey_us * ceil(frames));
    }
}

static double agreement_of(struct fly_engine *e)
{
    struct fly_steering_state *s = &e->steering;
    size_t mark = fly_arena_mark(&s->arena);
    struct fly_contingency table;
    double ari;

    if (modality_of(e) != FLY_ENSEMBLE)
        return NAN;
    fly_contingency_fill(&table, s->one[FLY_HAADF], s->one[FLY_EDS], e->n_chips, &s->arena);
    ari = fly_contingency_ari(&table);
    fly_arena_reset(&s->arena, mark);
    return ari;
}

static struct fly_steer_view view_of(struct fly_engine *e, const struct fly_plan_ask *ask,
                                     const struct fly_ledger_view *dose)
{
    struct fly_steering_state *s = &e->steering;
    const struct fly_grid *grid = &e->config.grid;
    int both = modality_of(e) == FLY_ENSEMBLE;

    return (struct fly_steer_view){.rows = grid->rows,
                                   .cols = grid->cols,
                                   .side_px = grid->side_px,
                                   .pitch_px = grid->pitch_px,
                                   .classes = s->classes,
                                   .epoch = s->epochs,
                                   .births = s->births,
                                   .has_haadf = e->assembly != NULL,
                                   .has_eds = e->spectra != NULL,
                                   .surveyed = ask->surveyed,
                                   .posterior = s->posterior,
                                   .measured = s->measured,
                                   .novel = s->novel,
                                   .label_haadf = both && !s->by_cluster ? s->one[FLY_HAADF] : NULL,
                                   .label_eds = both && !s->by_cluster ? s->one[FLY_EDS] : NULL,
                                   .rate_haadf = fly_engine_image_rates(e) ? s->rate[FLY_HAADF] : NULL,
                                   .rate_eds = e->spectra ? s->rate[FLY_EDS] : NULL,
                                   .mean_us = s->mean_us,
                                   .max_us = s->max_us,
                                   .last_ns = s->config.rest_ms > 0.0 ? dose->last_ns : NULL, /* else no clock matters */
                                   .barred = s->barred,
                                   .taught = s->by_cluster ? NULL : s->taught,
                                   .survey_us = ask->survey_us,
                                   .now_ns = ask->now_ns,
                                   .dose_left_us = ask->dose_left_us,
                                   .time_left_us = ask->time_left_us,
                                   .agreement = agreement_of(e),
                                   .composition_error = e->quantifier ? s->composition_error : NULL,
                                   .beam_px = {ask->beam_px[0], ask->beam_px[1]}};
}

int fly_engine_plan(struct fly_engine *engine, const struct fly_plan_ask *ask, struct fly_steer_plan *out)
{
    struct fly_engine *e = engine;
    struct fly_steering_state *s = &e->steering;
    struct fly_ledger_view dose;
    struct fly_steer_view view;
    int rc;

    if (!s->steer)
        return fly_fail(FLY_ERANGE, "steering of %d chips, at most %d are possible", fly_grid_chips(&e->config.grid),
                        (int)FLY_STEER_CHIPS_MAX);
    if (e->counts.epochs == 0)
        return fly_fail(FLY_EAGAIN, "no map yet to plan from");
    if (!(ask->survey_us > 0.0))
        return fly_fail(FLY_ERANGE, "steering: survey dwell %g us, must be above 0", ask->survey_us);
    rc = take_classes(e);
    if (rc < 0)
        return rc;
    for (int32_t k = 0; k < e->n_chips; k++) {
        s->barred[k] = (ask->barred && ask->barred[k]) || waits(e, k) ||
                       (!ask->past_damage && fly_damage_bars(e->damage.watch, k));
        s->taught[k] = e->support.class_of[k] >= 0;
    }
    take_dose(e, ask->survey_us, &dose);
    fly_engine_eds_rates(e);
    fly_engine_composition_errors(e);
    view = view_of(e, ask, &dose);
    return fly_steer_plan(s->steer, &s->config, &view, out);
}
