/* What the engine shows to those who only look: which rows changed, how sure compositions are, any sum's own. */
#include "engine/state.h"

void fly_engine_rows_changed(struct fly_engine *engine, int32_t y0, int32_t h)
{
    engine->image_changes++;
    for (int32_t y = y0; y < y0 + h; y++)
        engine->row_change[y] = engine->image_changes;
}

const uint64_t *fly_engine_rows(const struct fly_engine *engine, uint64_t *newest)
{
    *newest = engine->image_changes;
    return engine->assembly ? engine->row_change : NULL;
}

const float *fly_engine_percent_sigma(const struct fly_engine *engine, uint64_t *changes)
{
    if (changes)
        *changes = engine->counts.percents_changed;
    return engine->quantifier ? engine->percent_sigma : NULL;
}

int fly_engine_compose(struct fly_engine *engine, const uint64_t *spectrum, struct fly_composition *composition)
{
    if (!engine->quantifier)
        return fly_fail(FLY_EAGAIN, "spectra of this session are not quantified");
    fly_quantify_sum(engine->quantifier, &engine->quantify_work[0], spectrum, composition);
    return FLY_OK;
}
