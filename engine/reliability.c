/* Reliability within the engine: which chips are halved, when halves are compared, and who is told. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

#include "engine/chip/prepare.h"
#include "engine/label/shares.h"

enum {
    PATIENCE = 8,                       /* steps of revisions that one of ours waits for */
    CHIPS_A_STEP = FLY_QUANTIFY_UNIT / 2, /* two halves each */
    /* Halves are scaled before they are quantified: percents stay, and a chip with counts enough has them in both. */
    SCALE = 4,
};

static const uint64_t coin_seed = 20250615;
static const double steps_off = 0.75; /* half a step would waver */

enum { OF_IMAGE = 0, OF_COMPOSITION, OF_SHARES, OF_SPECTRUM }; /* features */
enum { IDLE = 0, EMBEDDING, QUANTIFYING, PARTING, COMPARING }; /* phases */

/* ---- opening ------------------------------------------------------------------------------------- */

static int measures(const struct fly_engine_config *config)
{
    return config->has_image && config->segments > 0 && config->profile == FLY_PROFILE_ROBUST;
}

int32_t fly_engine_halved(const struct fly_engine_config *config, int32_t chips[FLY_RELIABILITY_CHIPS])
{
    return measures(config) ? fly_reliability_sample(fly_grid_chips(&config->grid), chips) : 0;
}

static int32_t pictures_of(const struct fly_engine *e)
{
    return e->unit > 1 ? e->unit / 2 * 2 : 2;
}

static int compares_spectra(const struct fly_engine *e)
{
    return fly_engine_has_graph(e, FLY_ENSEMBLE) && fly_graphs_config(e->graphs)->feature == FLY_EDS_SPECTRUM;
}

static int32_t width_of(const struct fly_engine *e, int feature)
{
    switch (feature) {
    case OF_IMAGE:
        return e->config.embedder ? e->width : 0;
    case OF_COMPOSITION:
        return e->n_elements;
    case OF_SHARES:
        return e->share_width;
    default:
        return e->config.n_channels;
    }
}

/* With a NULL arena it only counts. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

static size_t lay_out(struct fly_engine *e, struct fly_arena *arena, int32_t exec_width)
{
    struct fly_reliability_state *r = &e->reliability;
    size_t n = (size_t)r->n, side = (size_t)e->config.grid.side_px, need = 0, each = (size_t)e->config.n_channels;
    size_t jobs = (size_t)exec_width;

    for (int f = 0; f < FLY_HALVED_FEATURES; f++)
        for (int half = 0; half < 2; half++)
            r->rows[f][half] = take(arena, &need, n * (size_t)width_of(e, f), sizeof(float));
    if (e->config.embedder) {
        size_t px = (size_t)fly_embedder_input_px(e->config.embedder), pictures = (size_t)pictures_of(e);

        r->means = take(arena, &need, 2 * side * side, sizeof *r->means);
        r->pictures = take(arena, &need, pictures * px * px, sizeof *r->pictures);
        r->embedded = take(arena, &need, pictures * (size_t)e->width, sizeof *r->embedded);
    }
    r->thinned = take(arena, &need, jobs * each, sizeof *r->thinned);
    r->sums = take(arena, &need, jobs * 2 * each, sizeof *r->sums);
    return need;
}

/* What open takes, of an engine that has its configuration and its quantifier. */
static size_t need_of(const struct fly_engine *engine, int32_t exec_width)
{
    struct fly_engine counting = {.config = engine->config, .n_elements = engine->n_elements};
    int32_t chips[FLY_RELIABILITY_CHIPS], batch;

    counting.reliability.n = fly_engine_halved(&engine->config, chips);
    if (counting.reliability.n == 0)
        return 0;
    counting.width = engine->config.embedder ? fly_embedder_width(engine->config.embedder) : 0;
    batch = engine->config.embedder ? fly_embedder_batch(engine->config.embedder) : 1;
    counting.unit = engine->config.step_chips > 0 ? engine->config.step_chips : batch * exec_width;
    counting.share_width = fly_shares_width(engine->config.n_channels,
                                            fly_shares_channels(engine->config.ev_per_channel, FLY_SHARE_EV));
    return lay_out(&counting, NULL, exec_width);
}

size_t fly_engine_reliability_need(const struct fly_engine *engine)
{
    return need_of(engine, engine->exec.width);
}

int fly_engine_open_reliability(struct fly_engine *engine, const struct fly_alloc *alloc)
{
    struct fly_reliability_state *r = &engine->reliability;
    enum fly_reliability_reason reason = measures(&engine->config) ? FLY_REPEAT_AWAITED : FLY_REPEAT_ALONE;
    int rc;

    for (int f = 0; f < FLY_HALVED_FEATURES; f++)
        r->value[f] = NAN;
    for (int u = 0; u < FLY_REPEAT_USES; u++)
        r->use[u] = (struct fly_repeat_use){{0.5, 0.5}, reason};
    r->rounds_due = 1;
    r->n = fly_engine_halved(&engine->config, r->chips);
    if (r->n == 0)
        return FLY_OK;
    rc = fly_arena_init(&r->arena, need_of(engine, engine->exec.width), alloc, "reliability");
    if (rc == FLY_OK)
        lay_out(engine, &r->arena, engine->exec.width);
    return rc;
}

void fly_engine_close_reliability(struct fly_engine *engine)
{
    fly_arena_fini(&engine->reliability.arena);
}

/* ---- when ---------------------------------------------------------------------------------------- */

/* Of the sampled chips: frames that each has of image and X-rays, and how often any changed. */
static uint32_t rounds(const struct fly_engine *e, uint64_t *changes)
{
    uint32_t least = UINT32_MAX;

    *changes = 0;
    for (int32_t i = 0; i < e->reliability.n; i++) {
        uint32_t image = fly_assembly_version(e->assembly, e->reliability.chips[i]);
        uint32_t eds = fly_spectra_version(e->spectra, e->reliability.chips[i]);

        least = image < least ? image : least;
        least = eds < least ? eds : least;
        *changes += (uint64_t)image + eds;
    }
    return least;
}

/* Is the last measurement, of all data, still to be made? */
static int last_is_due(const struct fly_engine *e, uint64_t changes)
{
    return e->finished && !(e->reliability.is_last && e->reliability.changes == changes);
}

static int is_due(const struct fly_engine *e, enum fly_need need)
{
    uint64_t changes;
    uint32_t now = rounds(e, &changes);

    return e->finished ? need == FLY_NEED_NONE && last_is_due(e, changes) : now >= e->reliability.rounds_due;
}

int fly_engine_reliability_waits(const struct fly_engine *engine)
{
    uint64_t changes;

    if (engine->reliability.n == 0)
        return 0;
    rounds(engine, &changes);
    return engine->reliability.phase != IDLE || last_is_due(engine, changes);
}

static void begin(struct fly_engine *e)
{
    struct fly_reliability_state *r = &e->reliability;
    uint32_t now = rounds(e, &r->changes);

    memset(r->count, 0, sizeof r->count);
    r->phase = EMBEDDING;
    r->at = 0;
    r->rounds_due = now + (now >= 8 ? now / 4 : 1);
    r->is_last = e->finished;
}

/* ---- halves -------------------------------------------------------------------------------------- */

static float *row_of(const struct fly_engine *e, int feature, int half, int32_t i)
{
    return e->reliability.rows[feature][half] + (size_t)i * (size_t)width_of(e, feature);
}

/* The next chips whose frames make two halves, embedded: both halves of a chip in one go. */
static void embed(struct fly_engine *e)
{
    struct fly_reliability_state *r = &e->reliability;
    int32_t side = e->config.grid.side_px, n = 0;
    size_t area = (size_t)side * (size_t)side, width = (size_t)e->width, picture;
    int there = e->config.embedder && fly_engine_can_embed(e);

    if (!there) {
        r->at = r->n;
        return;
    }
    picture = (size_t)fly_embedder_input_px(e->config.embedder);
    picture *= picture;
    for (; r->at < r->n && 2 * n < pictures_of(e); r->at++) {
        if (!fly_assembly_halves(e->assembly, r->at, r->means, r->means + area))
            continue;
        for (size_t half = 0; half < 2; half++) {
            fly_map_intensity(r->means + half * area, r->means + half * area, (int64_t)area, e->lo, e->hi);
            fly_resize_bilinear(r->means + half * area, side, r->pictures + (2 * (size_t)n + half) * picture,
                                fly_embedder_input_px(e->config.embedder));
        }
        n++;
    }
    if (n == 0)
        return;
    fly_embedder_run(e->config.embedder, r->pictures, 2 * n, r->embedded, &e->exec);
    for (int32_t i = 0; i < n; i++, r->count[OF_IMAGE]++)
        for (int half = 0; half < 2; half++)
            memcpy(row_of(e, OF_IMAGE, half, r->count[OF_IMAGE]), r->embedded + (size_t)(2 * i + half) * width,
                   width * sizeof(float));
}

/* counts (E) of a chip join the sums of the first half and of both. */
static void part_into(const struct fly_engine *e, int32_t chip, uint32_t *thinned, uint64_t *first, uint64_t *both)
{
    const uint32_t *counts = fly_spectra_of(e->spectra, chip);

    fly_thin_half(counts, e->config.n_channels, coin_seed, chip, thinned);
    for (int32_t ch = 0; ch < e->config.n_channels; ch++) {
        first[ch] += thinned[ch];
        both[ch] += counts[ch];
    }
}

/* The composition of both halves of a sampled chip, made as that of the whole was. */
static void quantify_job(void *arg, int32_t i, int32_t worker)
{
    struct fly_engine *e = arg;
    struct fly_reliability_state *r = &e->reliability;
    const struct fly_grid *grid = &e->config.grid;
    size_t channels = (size_t)e->config.n_channels;
    uint64_t *first = r->sums + (size_t)worker * 2 * channels, *both = first + channels;
    int32_t k = r->chips[r->at + i], chips[9], n = 1;
    struct fly_composition made;

    r->says[i] = e->made[k] == FLY_MADE && e->status[k] != FLY_QUANTIFY_TOO_FEW;
    if (!r->says[i])
        return;
    memset(first, 0, 2 * channels * sizeof *first);
    chips[0] = k;
    if (e->status[k] == FLY_QUANTIFY_POOLED)
        n = fly_quantify_touched(grid->rows, grid->cols, k, chips);
    for (int32_t c = 0; c < n; c++)
        part_into(e, chips[c], r->thinned + (size_t)worker * channels, first, both);
    for (size_t ch = 0; ch < channels; ch++) {
        both[ch] = SCALE * (both[ch] - first[ch]);
        first[ch] *= SCALE;
    }
    for (int half = 0; half < 2; half++) {
        fly_quantify_sum(e->quantifier, &e->quantify_work[worker], half ? both : first, &made);
        r->says[i] &= made.status == FLY_QUANTIFY_OK;
        for (int32_t el = 0; el < e->n_elements; el++)
            row_of(e, OF_COMPOSITION, half, r->at + i)[el] = (float)made.percent[el];
    }
}

static void quantify(struct fly_engine *e)
{
    struct fly_reliability_state *r = &e->reliability;
    int32_t n = r->n - r->at < CHIPS_A_STEP ? r->n - r->at : CHIPS_A_STEP;

    if (!e->quantifier) {
        r->at = r->n;
        return;
    }
    e->exec.run(e->exec.ctx, n, quantify_job, e);
    for (int32_t i = 0; i < n; i++) {
        if (!r->says[i])
            continue;
        for (int half = 0; half < 2; half++)
            memmove(row_of(e, OF_COMPOSITION, half, r->count[OF_COMPOSITION]),
                    row_of(e, OF_COMPOSITION, half, r->at + i), (size_t)e->n_elements * sizeof(float));
        r->count[OF_COMPOSITION]++;
    }
    r->at += n;
}

/* A half of a chip's photons, as few-shot and as communities compare spectra. */
static void spell(struct fly_engine *e, int half, const uint32_t *counts, int in_graph)
{
    struct fly_reliability_state *r = &e->reliability;

    fly_shares_make(counts, e->config.n_channels, e->share_channels, row_of(e, OF_SHARES, half, r->count[OF_SHARES]));
    if (!in_graph)
        return;
    for (int32_t ch = 0; ch < e->config.n_channels; ch++)
        row_of(e, OF_SPECTRUM, half, r->count[OF_SPECTRUM])[ch] = (float)counts[ch];
}

static void part(struct fly_engine *e)
{
    struct fly_reliability_state *r = &e->reliability;

    for (; r->at < r->n; r->at++) {
        int32_t k = r->chips[r->at];
        const uint32_t *counts = fly_spectra_of(e->spectra, k);
        uint64_t photons = fly_spectra_total(e->spectra, k);
        int in_graph = compares_spectra(e) && photons >= (uint64_t)fly_graphs_config(e->graphs)->min_counts;

        if (!fly_spectra_complete(e->spectra, k) || photons == 0)
            continue;
        fly_thin_half(counts, e->config.n_channels, coin_seed, k, r->thinned);
        spell(e, 0, r->thinned, in_graph);
        for (int32_t ch = 0; ch < e->config.n_channels; ch++)
            r->thinned[ch] = counts[ch] - r->thinned[ch];
        spell(e, 1, r->thinned, in_graph);
        r->count[OF_SHARES]++;
        r->count[OF_SPECTRUM] += in_graph;
    }
}

static void compare(struct fly_engine *e, int f)
{
    struct fly_reliability_state *r = &e->reliability;
    double (*of)(const float *, const float *, int32_t, int32_t) =
        f == OF_SPECTRUM ? fly_reliability_of_counts : fly_reliability;

    r->fresh[f] = r->count[f] ? of(r->rows[f][0], r->rows[f][1], r->count[f], width_of(e, f)) : NAN;
}

/* ---- what is made of it -------------------------------------------------------------------------- */

static int eds_of(const struct fly_engine *e, int use)
{
    if (use == FLY_REPEAT_FEWSHOT)
        return fly_engine_fewshot_feature(e) == FLY_EDS_COMPOSITION ? OF_COMPOSITION : OF_SHARES;
    return compares_spectra(e) || !e->quantifier ? OF_SPECTRUM : OF_COMPOSITION;
}

static enum fly_reliability_reason weights_of(const struct fly_engine *e, int use, double weight[2])
{
    double pair[2] = {e->reliability.value[OF_IMAGE], e->reliability.value[eds_of(e, use)]};

    if (fly_reliability_weights(pair, weight))
        return FLY_REPEAT_MEASURED;
    return isnan(pair[0]) ? FLY_REPEAT_NO_HALVES : isnan(pair[1]) ? FLY_REPEAT_TOO_FEW : FLY_REPEAT_EVEN;
}

/* The weights follow what was measured: 1 where they, or whether they were measured at all, are others now. at_once:
 * without hysteresis. */
static int adopt(struct fly_engine *e, int use, int at_once)
{
    struct fly_repeat_use *now = &e->reliability.use[use];
    double weight[2], nearest;
    int was = now->reason == FLY_REPEAT_MEASURED, turned;

    now->reason = weights_of(e, use, weight);
    turned = was != (now->reason == FLY_REPEAT_MEASURED);
    nearest = round(weight[0] * FLY_WEIGHT_STEPS) / FLY_WEIGHT_STEPS;
    if (nearest == now->weight[0] ||
        (!at_once && fabs(weight[0] - now->weight[0]) * FLY_WEIGHT_STEPS < steps_off))
        return turned;
    now->weight[0] = nearest;
    now->weight[1] = 1.0 - nearest;
    return 1;
}

static void tell_fewshot(struct fly_engine *e)
{
    if (e->joint.reason != FLY_WEIGHTS_EQUAL && e->joint.reason != FLY_WEIGHTS_REPEAT)
        return;
    e->ensemble_changed = 1;
    e->counts.features_changed += (uint64_t)e->n_chips; /* an epoch has all of them to show */
}

static void end(struct fly_engine *e)
{
    struct fly_reliability_state *r = &e->reliability;

    memcpy(r->value, r->fresh, sizeof r->value);
    if (adopt(e, FLY_REPEAT_FEWSHOT, r->is_last))
        tell_fewshot(e);
    if (adopt(e, FLY_REPEAT_COMMUNITY, r->is_last) && fly_engine_has_graph(e, FLY_ENSEMBLE) &&
        fly_graphs_config(e->graphs)->by_reliability)
        fly_graphs_reweigh(e->graphs, r->use[FLY_REPEAT_COMMUNITY].weight);
}

void fly_engine_reliability_refeature(struct fly_engine *engine)
{
    if (engine->reliability.use[FLY_REPEAT_FEWSHOT].reason > FLY_REPEAT_AWAITED)
        adopt(engine, FLY_REPEAT_FEWSHOT, 1);
}

int fly_engine_reliability_step(struct fly_engine *engine, enum fly_need need)
{
    struct fly_engine *e = engine;
    struct fly_reliability_state *r = &e->reliability;

    if (r->n == 0 || need == FLY_NEED_FIRST || (r->phase == IDLE && !is_due(e, need)))
        return 0;
    if (need != FLY_NEED_NONE && r->waited++ < PATIENCE)
        return 0;
    r->waited = 0;
    if (r->phase == IDLE)
        begin(e);
    if (r->phase == EMBEDDING)
        embed(e);
    else if (r->phase == QUANTIFYING)
        quantify(e);
    else if (r->phase == PARTING)
        part(e);
    else
        compare(e, r->at++);
    if (r->at == (r->phase == COMPARING ? FLY_HALVED_FEATURES : r->n)) {
        r->at = 0;
        r->phase = r->phase == COMPARING ? IDLE : r->phase + 1;
        if (r->phase == IDLE)
            end(e);
    }
    return 1;
}

/* ---- telling ------------------------------------------------------------------------------------- */

void fly_engine_reliability(const struct fly_engine *engine, enum fly_reliability_use use,
                            struct fly_reliability_view *view)
{
    const struct fly_engine *e = engine;
    const struct fly_repeat_use *now = &e->reliability.use[use];

    *view = (struct fly_reliability_view){.haadf = e->reliability.value[OF_IMAGE],
                                          .eds = e->reliability.value[eds_of(e, use)],
                                          .weights = {now->weight[0], now->weight[1]},
                                          .reason = now->reason};
    if (now->reason != FLY_REPEAT_MEASURED)
        return;
    view->used = use == FLY_REPEAT_FEWSHOT ? e->joint.reason == FLY_WEIGHTS_REPEAT
                                           : fly_engine_has_graph(e, FLY_ENSEMBLE) &&
                                                 fly_graphs_config(e->graphs)->by_reliability;
}
