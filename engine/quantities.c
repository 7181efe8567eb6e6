/* From photons to compositions within the engine: which chips wait for theirs, and one unit of quantification. */
#include "engine/state.h"

#include <string.h>

int fly_engine_open_quantifier(struct fly_engine *engine, const struct fly_quantify_config *config,
                               const struct fly_alloc *alloc)
{
    int rc = fly_arena_init(&engine->quantify_arena, fly_quantifier_need(config), alloc, "quantification");

    if (rc == FLY_OK)
        rc = fly_quantifier_open(&engine->quantifier, config, &engine->quantify_arena);
    if (rc == FLY_OK)
        engine->n_elements = config->n_elements;
    else
        fly_arena_fini(&engine->quantify_arena);
    return rc;
}

static int pools(const struct fly_engine *e)
{
    return e->config.profile == FLY_PROFILE_ROBUST;
}

static void make_job(void *arg, int32_t i, int32_t worker)
{
    struct fly_engine *e = arg;
    const struct fly_grid *grid = &e->config.grid;
    const uint32_t *spectra = fly_spectra_of(e->spectra, 0);
    int32_t k = e->quantifying[i];
    struct fly_composition made;

    if (pools(e))
        fly_quantify_chip(e->quantifier, &e->quantify_work[worker], spectra, grid->rows, grid->cols, k, &made);
    else
        fly_quantify(e->quantifier, &e->quantify_work[worker],
                     spectra + (size_t)k * (size_t)e->config.n_channels, &made);
    memcpy(e->percent + (size_t)k * (size_t)e->n_elements, made.percent,
           (size_t)e->n_elements * sizeof *made.percent);
    e->status[k] = (uint8_t)made.status;
    e->percent_noise[k] = 0.0;
    for (int32_t el = 0; el < e->n_elements; el++) {
        e->percent_noise[k] += made.sigma[el] * made.sigma[el];
        e->percent_sigma[(size_t)k * (size_t)e->n_elements + (size_t)el] = (float)made.sigma[el];
    }
}

void fly_engine_quantify(struct fly_engine *engine, enum fly_queue_level level)
{
    struct fly_engine *e = engine;
    int32_t n = fly_queue_pop(&e->to_quantify, level, e->quantifying, FLY_QUANTIFY_UNIT);

    e->exec.run(e->exec.ctx, n, make_job, e);
    e->counts.chips_quantified += (uint64_t)n;
    e->counts.percents_changed += (uint64_t)n;
    for (int32_t i = 0; i < n; i++) {
        int32_t k = e->quantifying[i];

        e->made[k] = fly_spectra_total(e->spectra, k) ? FLY_MADE : FLY_MADE_EMPTY;
        e->made_version[k] = fly_spectra_version(e->spectra, k);
        /* Without photons of its own its label may change all the same: nobody's latency. */
        if (fly_engine_fewshot_feature(e) == FLY_EDS_COMPOSITION)
            fly_engine_mark(e, FLY_EDS, k, e->eds_stamp[k]);
        e->eds_stamp[k] = 0;
        fly_engine_touch_eds(e, k, FLY_EDS_COMPOSITION);
    }
}

/* A shift took photons away: as if the chip had never been whole. */
static void forget(struct fly_engine *e, int32_t k)
{
    fly_queue_remove(&e->to_quantify, k);
    e->eds_stamp[k] = 0;
    e->made[k] = FLY_MADE_NOT;
    e->made_version[k] = 0;
    memset(e->percent + (size_t)k * (size_t)e->n_elements, 0, (size_t)e->n_elements * sizeof *e->percent);
    memset(e->percent_sigma + (size_t)k * (size_t)e->n_elements, 0, (size_t)e->n_elements * sizeof *e->percent_sigma);
    e->counts.percents_changed++;
    e->status[k] = FLY_QUANTIFY_OK;
    fly_engine_touch_eds(e, k, FLY_EDS_COMPOSITION);
}

/* A composition is a function of the chip's spectrum and, without counts enough, of its neighbours'. So a chip
 * that is complete and does not wait always has that of the spectra as they are: whoever changes one of them
 * makes it wait. */
static void requantify(struct fly_engine *e, int32_t k, int64_t stamp)
{
    const struct fly_grid *grid = &e->config.grid;
    int32_t near[9], n = pools(e) ? fly_quantify_touched(grid->rows, grid->cols, k, near) : 0;

    if (!e->modality[FLY_EDS].measured[k]) {
        forget(e, k);
    } else {
        if (stamp > e->eds_stamp[k])
            e->eds_stamp[k] = stamp;
        fly_queue_push(&e->to_quantify, e->made[k] ? FLY_QUEUE_AGAIN : FLY_QUEUE_FIRST, k);
    }
    /* Those that borrow from it, or could. One not made yet is complete a moment later than this, or waits. */
    for (int32_t i = 1; i < n; i++)
        if (e->made[near[i]] && e->status[near[i]] != FLY_QUANTIFY_OK)
            fly_queue_push(&e->to_quantify, FLY_QUEUE_AGAIN, near[i]);
}

void fly_engine_eds_changed(struct fly_engine *engine, int64_t stamp)
{
    struct fly_engine *e = engine;
    struct fly_modality_state *eds = &e->modality[FLY_EDS];
    int by_spectrum = fly_engine_fewshot_feature(e) == FLY_EDS_SPECTRUM;
    int32_t n;

    while ((n = fly_spectra_drain_dirty(e->spectra, e->dirty, e->n_chips)) > 0)
        for (int32_t i = 0; i < n; i++) {
            int32_t k = e->dirty[i];
            int was = eds->measured[k], is = fly_spectra_complete(e->spectra, k) != 0;

            eds->measured[k] = (uint8_t)is;
            eds->version[k] = fly_spectra_version(e->spectra, k);
            if (is ? by_spectrum : was)
                fly_engine_mark(e, FLY_EDS, k, is ? stamp : 0);
            if (is || was)
                fly_engine_touch_eds(e, k, FLY_EDS_SPECTRUM);
            if (e->quantifier)
                requantify(e, k, stamp);
        }
}

void fly_engine_feature_changed(struct fly_engine *engine)
{
    struct fly_modality_state *eds = &engine->modality[FLY_EDS];
    int by_spectrum = fly_engine_fewshot_feature(engine) == FLY_EDS_SPECTRUM;

    for (int32_t k = 0; k < engine->n_chips; k++) {
        int64_t shown = eds->changed[k] ? eds->arrived[k] : 0, waits = engine->eds_stamp[k];

        /* Photons that no composition has yet stand in the spectrum already; a composition's label owes nothing
         * to what is not in it. */
        if (by_spectrum)
            eds->arrived[k] = waits > shown ? waits : shown;
        else
            eds->arrived[k] = waits ? 0 : shown;
        eds->changed[k] = 1;
    }
}

const struct fly_quantifier *fly_engine_quantifier(const struct fly_engine *engine)
{
    return engine->quantifier;
}

const double *fly_engine_percent(const struct fly_engine *engine, int32_t *n_elements, const uint8_t **status)
{
    if (n_elements)
        *n_elements = engine->n_elements;
    if (status)
        *status = engine->status;
    return engine->quantifier ? engine->percent : NULL;
}

int fly_engine_composition(struct fly_engine *engine, int32_t chip, struct fly_composition *composition)
{
    const struct fly_grid *grid = &engine->config.grid;
    const uint32_t *spectra;

    FLY_ASSERT(chip >= 0 && chip < engine->n_chips);
    if (!engine->quantifier || !fly_spectra_complete(engine->spectra, chip))
        return fly_fail(FLY_EAGAIN, "chip %d has no composition yet", chip);
    spectra = fly_spectra_of(engine->spectra, 0);
    if (pools(engine))
        fly_quantify_chip(engine->quantifier, &engine->quantify_work[0], spectra, grid->rows, grid->cols, chip,
                          composition);
    else
        fly_quantify(engine->quantifier, &engine->quantify_work[0],
                     spectra + (size_t)chip * (size_t)engine->config.n_channels, composition);
    return FLY_OK;
}

int32_t fly_engine_region(struct fly_engine *engine, const int32_t *labels, int32_t label,
                          struct fly_composition *composition)
{
    const struct fly_engine *e = engine;
    size_t channels = (size_t)e->config.n_channels;
    int32_t chips = 0;

    if (!e->quantifier)
        return 0;
    memset(e->sum, 0, channels * sizeof *e->sum);
    for (int32_t k = 0; k < e->n_chips; k++) {
        const uint32_t *spectrum = fly_spectra_of(e->spectra, k);

        if (labels[k] != label || !e->modality[FLY_EDS].measured[k])
            continue;
        chips++;
        for (size_t ch = 0; ch < channels; ch++)
            e->sum[ch] += spectrum[ch];
    }
    if (chips)
        fly_quantify_sum(e->quantifier, &e->quantify_work[0], e->sum, composition);
    return chips;
}
