#include "engine/state.h"

#include <math.h>
#include <string.h>

#include "engine/label/shares.h"

const char *fly_modality_name(enum fly_modality modality)
{
    static const char *const names[FLY_MODALITIES] = {"haadf", "eds", "ensemble"};

    return names[modality];
}

const char *fly_method_name(enum fly_method method)
{
    static const char *const names[FLY_METHODS] = {"fewshot", "community", "ward"};

    return names[method];
}

const char *fly_profile_name(enum fly_profile profile)
{
    return profile == FLY_PROFILE_PAPER ? "paper" : "robust";
}

static struct fly_assembly_config assembly_config(const struct fly_engine_config *config)
{
    return (struct fly_assembly_config){.grid = config->grid,
                                        .dtype = config->dtype,
                                        .frames_held = config->frames_held,
                                        .frames_max = config->frames_max};
}

static struct fly_spectra_config spectra_config(const struct fly_engine_config *config)
{
    const struct fly_grid *grid = &config->grid;

    return (struct fly_spectra_config){.height_px = grid->height_px,
                                       .width_px = grid->width_px,
                                       .side_px = grid->side_px,
                                       .pitch_px = grid->pitch_px,
                                       .rows = grid->rows,
                                       .cols = grid->cols,
                                       .n_channels = config->n_channels,
                                       .segments = config->segments,
                                       .photons_held = config->photons_held,
                                       .frames_held = config->frames_held,
                                       .frames_max = config->frames_max};
}

static int32_t embed_width(const struct fly_engine_config *config)
{
    return config->embedder ? fly_embedder_width(config->embedder) : config->embed_width;
}

static int32_t unit_of(const struct fly_engine_config *config, int32_t exec_width)
{
    if (config->step_chips > 0)
        return config->step_chips;
    return config->embedder ? fly_embedder_batch(config->embedder) * exec_width : 64;
}

/* Walk through everything open takes. With a NULL arena it only counts, so that what is counted is what
 * is taken. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    if (!arena)
        return NULL;
    void *ptr = fly_arena_take(arena, count, size);

    FLY_ASSERT(ptr);
    return ptr;
}

/* Few-shot may compare spectra or compositions. */
static int32_t widest_eds(const struct fly_engine *e)
{
    return e->config.n_channels > e->n_elements ? e->config.n_channels : e->n_elements;
}

static void lay_out_levels(struct fly_engine *e, struct fly_arena *arena, size_t *need, int32_t unit)
{
    size_t k = (size_t)fly_grid_chips(&e->config.grid), width = (size_t)embed_width(&e->config);
    struct fly_levels_state *s = &e->levels;

    for (int32_t l = 0; l < s->n; l++)
        s->at[l] = take(arena, need, k * width, sizeof(float));
    s->dwell_ns = take(arena, need, k, sizeof(double));
    s->bins = take(arena, need, FLY_DWELL_BINS, sizeof(int32_t));
    s->of = take(arena, need, k, sizeof(uint8_t));
    s->has_lowest = take(arena, need, k, sizeof(uint8_t));
    s->exposures = take(arena, need, (size_t)unit * (size_t)s->n, sizeof(double));
    s->missing = take(arena, need, k * (size_t)s->n, sizeof(float));
    s->fresh.n = s->n;
    s->fresh.exposures = s->exposures;
    s->fresh.out = take(arena, need, (size_t)unit * (size_t)s->n * width, sizeof(float));
    s->fresh.missing = take(arena, need, (size_t)unit * (size_t)s->n, sizeof(float));
    s->least_bin = FLY_DWELL_BINS;
}

/* Is there what few-shot i is made of? */
static int has_fewshot(const struct fly_engine *e, int i)
{
    return i == FLY_FEWSHOT_EDS ? e->config.segments > 0 : e->config.has_image && i < e->levels.n;
}

static size_t lay_out(struct fly_engine *e, struct fly_arena *arena, int32_t exec_width)
{
    const struct fly_engine_config *config = &e->config;
    size_t need = 0, k = (size_t)fly_grid_chips(&config->grid);
    size_t side = (size_t)config->grid.side_px;
    int32_t unit = unit_of(config, exec_width);

    e->levels.n = fly_engine_count_levels(e);
    e->fewshot[0].in_use = e->fewshot[FLY_FEWSHOT_EDS].in_use = 1;
    if (config->has_image) {
        size_t px = config->embedder ? (size_t)fly_embedder_input_px(config->embedder) : 0;

        e->embeddings = take(arena, &need, k * (size_t)embed_width(config), sizeof(float));
        if (e->levels.n > 1)
            lay_out_levels(e, arena, &need, unit);
        e->image_stamp = take(arena, &need, k, sizeof(int64_t));
        need = fly_size_add(need, fly_queue_need((int32_t)k));
        if (arena)
            fly_queue_init(&e->to_embed, (int32_t)k, arena);
        e->pictures = take(arena, &need, (size_t)unit * px * px, sizeof(double));
        e->mean = take(arena, &need, (size_t)exec_width * side * side, sizeof(double));
        e->fresh = take(arena, &need, (size_t)unit * (size_t)embed_width(config), sizeof(float));
        e->picked = take(arena, &need, (size_t)unit, sizeof(int32_t));
        e->row = take(arena, &need, (size_t)config->grid.width_px, fly_dtype_size(config->dtype) + 1);
        e->row_change = take(arena, &need, (size_t)config->grid.height_px, sizeof(uint64_t));
    }
    e->dirty = take(arena, &need, k, sizeof(int32_t));
    if (e->quantifier) {
        e->percent = take(arena, &need, k * (size_t)e->n_elements, sizeof(double));
        e->percent_sigma = take(arena, &need, k * (size_t)e->n_elements, sizeof(float));
        e->percent_noise = take(arena, &need, k, sizeof(double));
        e->status = take(arena, &need, k, sizeof(uint8_t));
        e->made = take(arena, &need, k, sizeof(uint8_t));
        e->made_version = take(arena, &need, k, sizeof(uint32_t));
        e->eds_stamp = take(arena, &need, k, sizeof(int64_t));
        e->sum = take(arena, &need, (size_t)config->n_channels, sizeof(uint64_t));
        need = fly_size_add(need, fly_queue_need((int32_t)k));
        if (arena)
            fly_queue_init(&e->to_quantify, (int32_t)k, arena);
        e->quantify_work = take(arena, &need, (size_t)exec_width, sizeof *e->quantify_work);
        for (int32_t w = 0; w < exec_width; w++) {
            need = fly_size_add(need, fly_quantify_work_need(e->quantifier));
            if (arena)
                fly_quantify_work_init(&e->quantify_work[w], e->quantifier, arena);
        }
    }
    e->speaks = take(arena, &need, k, sizeof(uint8_t));
    if (config->profile == FLY_PROFILE_ROBUST) {
        need = fly_size_add(need, fly_left_out_need());
        need = fly_size_add(need, FLY_FEWSHOTS * fly_calibration_need());
        if (arena)
            fly_left_out_init(&e->left_out, arena);
        for (int i = 0; arena && i < FLY_FEWSHOTS; i++) {
            fly_calibration_init(&e->fewshot[i].calibration, arena);
            e->fewshot[i].calibration.tau = 1.0; /* of no class, until there is one */
        }
        if (arena) /* as of no class, too */
            e->joint = (struct fly_joint){.weight = {0.5, 0.5}, .nll = NAN, .nll_equal = NAN, .nll_alone = {NAN, NAN}};
        if (config->segments) {
            e->share_channels = fly_shares_channels(config->ev_per_channel, FLY_SHARE_EV);
            e->share_width = fly_shares_width(config->n_channels, e->share_channels);
            e->share = take(arena, &need, k * (size_t)e->share_width, sizeof(float));
            e->share_noise = take(arena, &need, k, sizeof(double));
        }
    }
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_modality_state *mod = &e->modality[m];

        mod->scores = take(arena, &need, k * FLY_CLASSES_MAX, sizeof(double));
        if (m != FLY_ENSEMBLE)
            mod->distances = take(arena, &need, k * FLY_CLASSES_MAX, sizeof(double));
        mod->labels = take(arena, &need, k, sizeof(int32_t));
        mod->confidence = take(arena, &need, k, sizeof(float));
        mod->age = take(arena, &need, k, sizeof(uint32_t));
        mod->stamp = take(arena, &need, k, sizeof(int64_t));
        mod->measured = take(arena, &need, k, sizeof(uint8_t));
        mod->changed = take(arena, &need, k, sizeof(uint8_t));
        mod->version = take(arena, &need, k, sizeof(uint32_t));
        mod->arrived = take(arena, &need, k, sizeof(int64_t));
    }
    if (arena)
        fly_support_init(&e->support, (int32_t)k, arena);
    need = fly_size_add(need, fly_support_need((int32_t)k));
    for (int i = 0; i < FLY_FEWSHOTS; i++) {
        int32_t width = i == FLY_FEWSHOT_EDS ? widest_eds(e) : embed_width(config);

        if (!has_fewshot(e, i))
            continue;
        if (arena)
            fly_prototypes_init(&e->fewshot[i].prototypes, width, arena);
        need = fly_size_add(need, fly_prototypes_need(width));
    }
    return need;
}

static size_t total_need(const struct fly_engine *engine, int32_t exec_width)
{
    const struct fly_engine_config *config = &engine->config;
    struct fly_engine counting = {
        .config = *config, .quantifier = engine->quantifier, .n_elements = engine->n_elements};
    struct fly_assembly_config image = assembly_config(config);
    struct fly_spectra_config eds = spectra_config(config);
    int32_t halved[FLY_RELIABILITY_CHIPS];
    size_t need = lay_out(&counting, NULL, exec_width);

    image.n_halved = fly_engine_halved(config, halved);
    if (config->has_image)
        need = fly_size_add(need, fly_assembly_need(&image));
    if (config->segments)
        need = fly_size_add(need, fly_spectra_need(&eds));
    return need;
}

static int check(const struct fly_engine_config *config)
{
    if (!config->has_image && !config->segments)
        return fly_fail(FLY_ERANGE, "a session needs an image detector or an EDS segment, it has neither");
    if (config->has_image && embed_width(config) < 1)
        return fly_fail(FLY_ERANGE, "embedding width %d, needs at least 1", embed_width(config));
    if (config->segments && !(config->ev_per_channel > 0.0))
        return fly_fail(FLY_ERANGE, "%g eV a channel, must be above 0", config->ev_per_channel);
    if (config->range_rows < 1)
        return fly_fail(FLY_ERANGE, "haadf.range_rows %d, needs at least 1", config->range_rows);
    if (config->lo > config->hi)
        return fly_fail(FLY_ERANGE, "intensity range %g .. %g is upside down", config->lo, config->hi);
    return FLY_OK;
}

int fly_engine_open(struct fly_engine **out, const struct fly_engine_config *config,
                    const struct fly_exec *exec, const struct fly_alloc *alloc)
{
    struct fly_alloc from = alloc ? *alloc : fly_alloc_system(), lazy = fly_alloc_lazy();
    struct fly_assembly_config image = assembly_config(config);
    struct fly_spectra_config eds = spectra_config(config);
    struct fly_engine *e;
    int32_t halved[FLY_RELIABILITY_CHIPS];
    int rc = check(config);
    size_t need, whole;

    if (rc < 0)
        return rc;
    e = from.get(from.ctx, sizeof *e);
    if (!e)
        return fly_fail(FLY_ENOMEM, "engine: no memory for its handle");
    memset(e, 0, sizeof *e);
    e->arena.alloc = from;
    e->config = *config;
    e->config.quantify = NULL; /* lent for this call */
    e->exec = *exec;
    e->config.graph = NULL;
    e->config.tree = NULL;
    if (config->segments && config->quantify)
        rc = fly_engine_open_quantifier(e, config->quantify, &from);
    if (rc < 0) {
        fly_engine_close(&e);
        return rc;
    }
    need = total_need(e, exec->width);
    whole = fly_size_add(need, e->quantify_arena.cap);
    if (config->graph)
        whole = fly_size_add(whole, fly_engine_graphs_need(e, config->graph));
    if (config->tree)
        whole = fly_size_add(whole, fly_engine_trees_need(e, config->tree));
    whole = fly_size_add(whole, fly_engine_histories_need(e, config->graph, config->tree));
    whole = fly_size_add(whole, fly_engine_regions_need(e));
    whole = fly_size_add(whole, fly_engine_quality_need(e));
    whole = fly_size_add(whole, fly_engine_ledger_need(e));
    whole = fly_size_add(whole, fly_engine_steering_need(e));
    whole = fly_size_add(whole, fly_engine_damage_need(e));
    whole = fly_size_add(whole, fly_engine_reliability_need(e));
    if (whole > config->memory_limit) {
        fly_engine_close(&e);
        return fly_fail(FLY_ENOMEM,
                        "a scan of %d x %d px with %d chips and %d channels needs %zu MiB, "
                        "engine.memory_limit_mib allows %zu%s",
                        config->grid.height_px, config->grid.width_px, fly_grid_chips(&config->grid),
                        config->segments ? config->n_channels : 0, (whole >> 20) + 1,
                        config->memory_limit >> 20,
                        config->graph || config->tree ? " (without affinity graphs, graph.chips_max: 0, or "
                                                        "hierarchies, tree.chips_max: 0, it needs less)"
                                                      : "");
    }
    rc = fly_arena_init(&e->arena, need, &from, "engine");
    if (rc < 0) {
        e->arena = (struct fly_arena){.alloc = from};
        fly_engine_close(&e);
        return rc;
    }
    e->arena.alloc = from;
    e->n_chips = fly_grid_chips(&config->grid);
    e->width = config->has_image ? embed_width(config) : 0;
    e->unit = unit_of(config, exec->width);
    lay_out(e, &e->arena, exec->width);
    image.halved = halved;
    image.n_halved = fly_engine_halved(config, halved);
    if (config->has_image)
        rc = fly_assembly_open(&e->assembly, &image, &e->arena);
    if (rc == FLY_OK && config->segments)
        rc = fly_spectra_open(&e->spectra, &eds, &e->arena);
    if (rc == FLY_OK && config->graph)
        rc = fly_engine_open_graphs(e, config->graph, alloc ? alloc : &lazy);
    if (rc == FLY_OK && config->tree)
        rc = fly_engine_open_trees(e, config->tree, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_regions(e, &config->region, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_histories(e, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_quality(e, config->quantify, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_ledger(e, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_steering(e, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_damage(e, config->quantify, alloc ? alloc : &lazy);
    if (rc == FLY_OK)
        rc = fly_engine_open_reliability(e, alloc ? alloc : &lazy);
    if (rc < 0) {
        fly_engine_close(&e);
        return rc;
    }
    for (int m = 0; m < FLY_MODALITIES; m++)
        for (int32_t k = 0; k < e->n_chips; k++) {
            e->modality[m].labels[k] = FLY_LABEL_PENDING;
            e->modality[m].confidence[k] = NAN;
        }
    e->range_known = config->lo != 0.0 || config->hi != 0.0;
    e->lo = config->lo;
    e->hi = config->hi;
    e->counts.bytes_reserved = whole;
    *out = e;
    return FLY_OK;
}

void fly_engine_close(struct fly_engine **engine)
{
    struct fly_engine *e = *engine;

    if (!e)
        return;
    struct fly_alloc alloc = e->arena.alloc;

    fly_engine_close_reliability(e);
    fly_engine_close_damage(e);
    fly_engine_close_steering(e);
    fly_arena_fini(&e->ledger_arena);
    fly_engine_close_quality(e);
    fly_engine_close_regions(e);
    fly_arena_fini(&e->histories_arena);
    fly_arena_fini(&e->trees_arena);
    fly_arena_fini(&e->graphs_arena);
    fly_arena_fini(&e->quantify_arena);
    fly_arena_fini(&e->arena);
    alloc.put(alloc.ctx, e, sizeof *e);
    *engine = NULL;
}

/* ---- data in ----------------------------------------------------------------------------------- */

int fly_engine_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect, const void *pixels,
                     uint64_t dwell_ns, int64_t stamp, struct fly_taken *taken)
{
    FLY_ASSERT(engine->assembly);
    fly_engine_quality_begin(engine, frame);
    int rc = fly_assembly_put(engine->assembly, frame, rect, pixels, dwell_ns, taken);

    fly_engine_book_lines(engine, frame, rect, dwell_ns, stamp, rc, taken);
    if (rc < 0)
        return rc;
    fly_engine_dwell_told(engine, dwell_ns != FLY_DWELL_UNKNOWN_NS);
    fly_engine_quality_lines(engine, frame, rect, pixels, taken);
    if (taken->fresh_px)
        fly_engine_rows_changed(engine, rect.y0, rect.h);
    fly_engine_image_changed(engine, stamp);
    if (!engine->range_known && frame == 0 && fly_engine_range_there(engine))
        fly_engine_settle_range(engine, 0);
    if (taken->chips_done)
        fly_engine_damage_lines(engine, frame, dwell_ns);
    return FLY_OK;
}

int fly_engine_photons(struct fly_engine *engine, const struct fly_photons *photons, int64_t stamp,
                       struct fly_eds_taken *taken)
{
    FLY_ASSERT(engine->spectra);
    fly_engine_quality_begin(engine, photons->frame);
    int rc = fly_spectra_put(engine->spectra, photons, taken);

    fly_engine_book_photons(engine, photons, stamp, rc, taken);
    if (rc == FLY_OK)
        fly_engine_eds_changed(engine, stamp);
    if (rc == FLY_OK && taken->chips_done)
        fly_engine_damage_photons(engine, photons->frame, photons->dwell_ns);
    return rc;
}

int fly_engine_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    int rc = engine->spectra ? fly_spectra_may_shift(engine->spectra, frame, dy_px, dx_px) : FLY_OK;

    if (rc == FLY_OK && engine->assembly) {
        rc = fly_assembly_shift(engine->assembly, frame, dy_px, dx_px);
        if (rc == FLY_OK)
            fly_engine_image_changed(engine, 0);
    }
    if (rc == FLY_OK && engine->spectra) {
        rc = fly_spectra_shift(engine->spectra, frame, dy_px, dx_px);
        if (rc == FLY_OK)
            fly_engine_eds_changed(engine, 0);
    }
    if (rc == FLY_OK) {
        fly_ledger_shift(engine->ledger, frame, dy_px, dx_px);
        fly_engine_damage_shift(engine, frame, dy_px, dx_px);
        fly_engine_quality_shift(engine, frame, dy_px, dx_px);
    }
    return rc;
}

void fly_engine_finish(struct fly_engine *engine)
{
    if (engine->assembly) {
        int64_t lowest = fly_assembly_lowest_frame(engine->assembly);

        if (!engine->range_known && lowest >= 0)
            fly_engine_settle_range(engine, lowest);
        fly_assembly_finish(engine->assembly);
        fly_engine_image_changed(engine, 0);
    }
    if (engine->spectra) {
        fly_spectra_finish(engine->spectra);
        fly_engine_eds_changed(engine, 0);
    }
    fly_engine_quality_finish(engine);
    fly_engine_damage_finish(engine);
    engine->finished = 1;
}

void fly_engine_give_embeddings(struct fly_engine *engine, const float *embeddings)
{
    FLY_ASSERT(!engine->config.embedder);
    engine->given = embeddings;
}

struct fly_support *fly_engine_support(struct fly_engine *engine)
{
    return &engine->support;
}

void fly_engine_support_changed(struct fly_engine *engine)
{
    engine->support_changed = engine->asked = 1;
    fly_engine_level_support(engine);
}

int fly_engine_set_ensemble(struct fly_engine *engine, const double weights[2], double temperature)
{
    if (!(weights[0] >= 0.0) || !(weights[1] >= 0.0) || !(weights[0] + weights[1] > 0.0))
        return fly_fail(FLY_ERANGE, "fewshot.weights %g, %g: each at least 0, not both 0", weights[0],
                        weights[1]);
    if (!(temperature > 0.0) || isinf(temperature))
        return fly_fail(FLY_ERANGE, "fewshot.temperature %g: above 0 and finite", temperature);
    if (weights[0] == engine->config.weights[0] && weights[1] == engine->config.weights[1] &&
        temperature == engine->config.temperature)
        return FLY_OK;
    engine->config.weights[0] = weights[0];
    engine->config.weights[1] = weights[1];
    engine->config.temperature = temperature;
    engine->ensemble_changed = engine->asked = 1;
    return FLY_OK;
}

int fly_engine_set_fewshot_feature(struct fly_engine *engine, enum fly_eds_feature feature)
{
    if (feature == FLY_EDS_COMPOSITION && !engine->quantifier)
        return fly_fail(FLY_ERANGE, "eds.feature.fewshot: composition needs an EDS stream whose axis can be quantified");
    if (fly_engine_fewshot_feature(engine) == feature)
        return FLY_OK;
    engine->config.fewshot_feature = feature;
    engine->support_changed = engine->asked = 1;
    fly_engine_feature_changed(engine);
    fly_engine_reliability_refeature(engine);
    return FLY_OK;
}

enum fly_eds_feature fly_engine_fewshot_feature(const struct fly_engine *engine)
{
    return engine->quantifier ? engine->config.fewshot_feature : FLY_EDS_SPECTRUM;
}

/* ---- thinking ----------------------------------------------------------------------------------- */

/* What is done next follows from what was put in and how often this was called, from nothing else: a journal
 * tells the steps by their number. */
int fly_engine_step(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    const int32_t none[FLY_QUEUE_LEVELS] = {0};
    const int32_t *embed = fly_engine_can_embed(e) ? e->to_embed.len : none;
    const int32_t *quantify = e->to_quantify.len; /* zeros without a quantifier */
    int first = embed[FLY_QUEUE_FIRST] || quantify[FLY_QUEUE_FIRST];
    int again = embed[FLY_QUEUE_AGAIN] || quantify[FLY_QUEUE_AGAIN];

    enum fly_need need = first ? FLY_NEED_FIRST : again ? FLY_NEED_AGAIN : FLY_NEED_NONE;

    if (fly_engine_reliability_step(e, need) || fly_engine_think(e, need))
        return FLY_OK;
    /* One kind a step: what comes first never waits for a revision in its batch. */
    if (embed[FLY_QUEUE_FIRST]) {
        fly_engine_embed(e, FLY_QUEUE_FIRST);
    } else if (quantify[FLY_QUEUE_FIRST]) {
        fly_engine_quantify(e, FLY_QUEUE_FIRST);
    } else if (embed[FLY_QUEUE_AGAIN] && !(e->quantify_next && quantify[FLY_QUEUE_AGAIN])) {
        /* The turn passes only where both wait: a lone kind does not use up the other's. */
        e->quantify_next = quantify[FLY_QUEUE_AGAIN] > 0;
        fly_engine_embed(e, FLY_QUEUE_AGAIN);
    } else if (quantify[FLY_QUEUE_AGAIN]) {
        e->quantify_next = 0;
        fly_engine_quantify(e, FLY_QUEUE_AGAIN);
    } else {
        return FLY_EAGAIN;
    }
    return FLY_OK;
}

int32_t fly_engine_step_chips(const struct fly_engine *engine)
{
    return engine->unit;
}

int32_t fly_engine_backlog(const struct fly_engine *engine, int32_t *first, int32_t *revisions)
{
    const int32_t *embed = engine->to_embed.len, *quantify = engine->to_quantify.len;
    int32_t n_first = embed[FLY_QUEUE_FIRST] + quantify[FLY_QUEUE_FIRST];
    int32_t n_again = embed[FLY_QUEUE_AGAIN] + quantify[FLY_QUEUE_AGAIN];

    if (first)
        *first = n_first;
    if (revisions)
        *revisions = n_again;
    return n_first + n_again;
}

int fly_engine_epoch(struct fly_engine *engine)
{
    int relabelled = fly_engine_score(engine), anything;

    anything = fly_engine_tell_histories(engine, fly_engine_tell_graphs(engine), relabelled);
    for (int m = 0; m < FLY_ENSEMBLE; m++)
        memset(engine->modality[m].changed, 0, (size_t)engine->n_chips);
    engine->counts.epochs++;
    fly_engine_steering_epoch(engine, anything);
    return anything;
}

/* ---- looking ------------------------------------------------------------------------------------ */

void fly_engine_map(const struct fly_engine *engine, enum fly_method method, enum fly_modality modality,
                    struct fly_map_view *view)
{
    const struct fly_modality_state *mod = &engine->modality[modality];
    const struct fly_history *h = &engine->histories.of[fly_map_index(method, modality)];

    *view = (struct fly_map_view){.labels = NULL};
    if (method == FLY_FEWSHOT) {
        *view = (struct fly_map_view){
            .labels = mod->labels, .confidence = mod->confidence, .age = mod->age, .stamp = mod->stamp};
    } else if (h->there) {
        if (method == FLY_COMMUNITY)
            fly_graphs_map(engine->graphs, modality, view);
        else
            *view = (struct fly_map_view){.age = engine->trees.age[modality], .stamp = engine->trees.stamp};
        view->labels = h->label;
        view->confidence = h->confidence;
    }
    view->shown = h->there && engine->histories.calm ? h->debounce.shown : NULL;
}

const double *fly_engine_scores(const struct fly_engine *engine, enum fly_modality modality)
{
    return engine->modality[modality].scores;
}

const double *fly_engine_distances(const struct fly_engine *engine, enum fly_modality modality)
{
    return engine->modality[modality].distances;
}

const float *fly_engine_embeddings(const struct fly_engine *engine, int32_t *width,
                                   const uint8_t **measured)
{
    if (width)
        *width = engine->width;
    if (measured)
        *measured = engine->modality[FLY_HAADF].measured;
    return engine->embeddings;
}

const float *fly_engine_comparable(const struct fly_engine *engine)
{
    return engine->levels.n > 1 ? engine->levels.at[1] : engine->embeddings;
}

const uint32_t *fly_engine_spectra(const struct fly_engine *engine, int32_t *channels,
                                   const uint8_t **measured)
{
    if (channels)
        *channels = engine->spectra ? engine->config.n_channels : 0;
    if (measured)
        *measured = engine->modality[FLY_EDS].measured;
    return engine->spectra ? fly_spectra_of(engine->spectra, 0) : NULL;
}

int fly_engine_chip_mean(const struct fly_engine *engine, int32_t chip, double *mean)
{
    FLY_ASSERT(chip >= 0 && chip < engine->n_chips);
    if (!engine->assembly || !fly_assembly_complete(engine->assembly, chip))
        return fly_fail(FLY_EAGAIN, "chip %d is not measured yet", chip);
    fly_assembly_mean(engine->assembly, chip, mean);
    return FLY_OK;
}

void fly_engine_peek(const struct fly_engine *engine, struct fly_rect rect, float *out)
{
    if (engine->assembly)
        fly_assembly_peek(engine->assembly, rect, out);
    else
        for (size_t i = 0; i < (size_t)rect.h * (size_t)rect.w; i++)
            out[i] = NAN;
}

int fly_engine_range(const struct fly_engine *engine, double *lo, double *hi)
{
    *lo = engine->lo;
    *hi = engine->hi;
    return engine->range_known;
}

double fly_engine_coverage(const struct fly_engine *engine)
{
    return engine->assembly ? fly_assembly_coverage(engine->assembly) : NAN;
}

const struct fly_grid *fly_engine_grid(const struct fly_engine *engine)
{
    return &engine->config.grid;
}

void fly_engine_count(const struct fly_engine *engine, struct fly_engine_counts *counts)
{
    struct fly_graphs_work work;

    *counts = engine->counts;
    if (engine->has_trees)
        fly_trees_count(&engine->trees, counts);
    if (!engine->graphs)
        return;
    fly_graphs_work(engine->graphs, &work);
    counts->graph_updates = work.updates;
    counts->pairs_compared = (uint64_t)work.affinity.pairs;
    counts->codes_changed = (uint64_t)work.affinity.codes_changed;
    counts->edges_flipped = (uint64_t)work.affinity.edges_flipped;
    counts->nodes_visited = (uint64_t)work.communities.visits;
    counts->nodes_moved = (uint64_t)work.communities.moves;
    counts->rows_read = (uint64_t)work.communities.rows;
    counts->not_compared += work.refused;
}
