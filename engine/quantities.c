/* Compositions within the engine: which chips are quantified in an epoch. */
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
    int32_t k = e->dirty[i];
    double *percent = e->percent + (size_t)k * (size_t)e->n_elements;
    struct fly_composition made;

    if (!e->modality[FLY_EDS].measured[k]) {
        memset(percent, 0, (size_t)e->n_elements * sizeof *percent);
        e->status[k] = FLY_QUANTIFY_OK;
        return;
    }
    if (pools(e))
        fly_quantify_chip(e->quantifier, &e->quantify_work[worker], spectra, grid->rows, grid->cols, k, &made);
    else
        fly_quantify(e->quantifier, &e->quantify_work[worker],
                     spectra + (size_t)k * (size_t)e->config.n_channels, &made);
    memcpy(percent, made.percent, (size_t)e->n_elements * sizeof *percent);
    e->status[k] = (uint8_t)made.status;
}

void fly_engine_quantify(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_modality_state *eds = &e->modality[FLY_EDS];
    const struct fly_grid *grid = &e->config.grid;
    int32_t n = 0, near[9];

    if (!e->quantifier)
        return;
    memset(e->requantify, 0, (size_t)e->n_chips);
    for (int32_t k = 0; k < e->n_chips; k++) {
        if (!eds->changed[k])
            continue;
        e->requantify[k] = 1;
        /* Neighbours that borrow from this chip, or could: what they see has changed. */
        int32_t n_near = pools(e) ? fly_quantify_touched(grid->rows, grid->cols, k, near) : 0;

        for (int32_t i = 1; i < n_near; i++)
            if (eds->measured[near[i]] && e->status[near[i]] != FLY_QUANTIFY_OK)
                e->requantify[near[i]] = 1;
    }
    for (int32_t k = 0; k < e->n_chips; k++)
        if (e->requantify[k])
            e->dirty[n++] = k;
    e->exec.run(e->exec.ctx, n, make_job, e);
    e->counts.chips_quantified += (uint64_t)n;
    for (int32_t i = 0; i < n; i++) {
        int32_t k = e->dirty[i];

        if (!eds->changed[k]) /* its label may change without data of its own: nobody's latency */
            eds->arrived[k] = 0;
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
