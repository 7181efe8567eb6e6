/* Chips of unequal dose within the engine: what was measured longer has less noise, and compares as if it had not.
 *
 * R is the dwell that a tenth of the complete chips do not exceed, rounded down to an eighth of an octave; level l is the
 * dose T_l = 1.1 * 2^l * R. A picture measured longer than that is expected to have at T_l what its embedder says
 * (fly_embedder_run_levels); one that was measured shorter stays as it is. A tenth: the edges of a raster that drifts fall
 * behind, and are no measure for the rest.
 *
 *   chips with chips   graphs, hierarchies: all at level 1. The rows above of a raster have twice the dwell of those below
 *                      in the second frame, and less in any later one: they are left as they are
 *   few-shot           each chip at the level nearest its dose, but not above that of the least measured support chip,
 *                      against prototypes and a calibration of that level: noise is a class of its own to one that has
 *                      less of it, and unlike anything. Support chips that were measured longer scatter less than the
 *                      chips that they are compared with, by what their embedder says. At level 0 support chips alone
 *                      are levelled. What else is compared there is as measured, or at level 1 where it was measured
 *                      longer: half of the noise that the prototypes have misleads less than all of it. (Adaptive
 *                      steering, 18 runs of `flyback bench steer`, chips right as a share of those of a full dose, at a
 *                      mean of 2 and 2.5 survey dwells: .967 and .979; at level 0 .952 and .952)
 *
 * Where all have one dose everything is as measured, to the bit. So it is where some data told their dwell and others did
 * not: nobody knows who has more. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

static const double level_apart = 1.1; /* T_0 over R: the width of a bin, 1.09 */
static const int32_t least_part = 10;  /* R is that of a tenth */

int32_t fly_engine_count_levels(const struct fly_engine *engine)
{
    const struct fly_engine_config *config = &engine->config;

    return config->profile == FLY_PROFILE_ROBUST && config->has_image && config->embedder &&
                   fly_embedder_levels(config->embedder)
               ? FLY_LEVELS
               : 1;
}

/* ---- dwell ------------------------------------------------------------------------------------- */

static int32_t bin_of(double dwell_ns)
{
    int32_t bin = (int32_t)floor(8.0 * log2(dwell_ns));

    return bin < 0 ? 0 : bin < FLY_DWELL_BINS ? bin : FLY_DWELL_BINS - 1;
}

static double dose_of_level(int32_t least_bin, int32_t level)
{
    return level_apart * exp2(least_bin / 8.0 + level);
}

static double exposures_of(const struct fly_engine *e, int32_t k, int32_t least_bin, int32_t level)
{
    return fmax(1.0, e->levels.dwell_ns[k] / dose_of_level(least_bin, level));
}

static int is_taught(const struct fly_engine *e, int32_t k)
{
    return e->support.class_of[k] >= 0;
}

void fly_engine_exposures(const struct fly_engine *engine, int32_t chip, double *exposures)
{
    for (int32_t l = 0; l < FLY_LEVELS; l++)
        exposures[l] = l > 0 || is_taught(engine, chip) ? exposures_of(engine, chip, engine->levels.least_bin, l) : 1.0;
}

void fly_engine_dwell_told(struct fly_engine *engine, int is_known)
{
    engine->levels.told[is_known != 0] = 1;
}

void fly_engine_set_dwell(struct fly_engine *engine, int32_t chip, double dwell_ns)
{
    struct fly_levels_state *s = &engine->levels;

    if (s->n == 1)
        return;
    if (s->dwell_ns[chip] > 0.0)
        s->bins[bin_of(s->dwell_ns[chip])]--;
    if (dwell_ns > 0.0)
        s->bins[bin_of(dwell_ns)]++;
    s->dwell_ns[chip] = dwell_ns;
}

static int32_t find_least(const struct fly_levels_state *s)
{
    int32_t n = 0, seen = 0, bin = 0;

    if (s->told[0] && s->told[1])
        return FLY_DWELL_BINS;
    for (int32_t b = 0; b < FLY_DWELL_BINS; b++)
        n += s->bins[b];
    for (seen = s->bins[0]; n && (seen == 0 || seen < n / least_part); seen += s->bins[bin])
        bin++;
    return n ? bin : FLY_DWELL_BINS;
}

/* Where the least dwell is another one, so is the level of chips that were measured much longer. */
void fly_engine_settle_least(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_levels_state *s = &e->levels;
    int32_t was = s->least_bin, now;

    if (s->n == 1)
        return;
    now = find_least(s);
    for (int32_t k = 0; now != was && k < e->n_chips; k++) {
        int32_t lowest = is_taught(e, k) ? 0 : 1;

        if (exposures_of(e, k, was, 0) != exposures_of(e, k, now, 0))
            s->has_lowest[k] = 0;
        if (e->modality[FLY_HAADF].measured[k] && exposures_of(e, k, was, lowest) != exposures_of(e, k, now, lowest))
            fly_queue_push(&e->to_embed, FLY_QUEUE_AGAIN, k);
    }
    s->least_bin = now;
}

void fly_engine_take_levels(struct fly_engine *engine, int32_t i, int32_t chip)
{
    struct fly_levels_state *s = &engine->levels;
    size_t width = (size_t)engine->width;

    for (int32_t l = 0; l < s->n; l++) {
        size_t from = (size_t)(i * s->n + l);

        memcpy(s->at[l] + (size_t)chip * width, s->fresh.out + from * width, width * sizeof(float));
        s->missing[chip * s->n + l] = s->fresh.missing[from];
    }
    s->has_lowest[chip] = s->exposures[i * s->n] == exposures_of(engine, chip, s->least_bin, 0);
}

void fly_engine_forget_levels(struct fly_engine *engine, int32_t chip)
{
    struct fly_levels_state *s = &engine->levels;

    for (int32_t l = 0; s->n > 1 && l < s->n; l++) {
        memset(s->at[l] + (size_t)chip * (size_t)engine->width, 0, (size_t)engine->width * sizeof(float));
        s->missing[chip * s->n + l] = 0.0f;
    }
}

/* Who became a support chip may lack its level 0. */
void fly_engine_level_support(struct fly_engine *engine)
{
    struct fly_engine *e = engine;

    for (int32_t k = 0; e->levels.n > 1 && k < e->n_chips; k++)
        if (is_taught(e, k) && e->modality[FLY_HAADF].measured[k] && !e->levels.has_lowest[k])
            fly_queue_push(&e->to_embed, FLY_QUEUE_AGAIN, k);
}

/* ---- few-shot ---------------------------------------------------------------------------------- */

static int32_t nearest_level(const struct fly_engine *e, double dwell_ns)
{
    double level = round(log2(dwell_ns / dose_of_level(e->levels.least_bin, 0)));

    return level > 0.0 ? (level < FLY_LEVELS - 1 ? (int32_t)level : FLY_LEVELS - 1) : 0;
}

/* That of the least measured support chip. */
static int32_t level_taught(const struct fly_engine *e)
{
    double least = INFINITY;

    for (int32_t k = 0; k < e->n_chips; k++)
        if (is_taught(e, k) && e->levels.dwell_ns[k] > 0.0)
            least = fmin(least, e->levels.dwell_ns[k]);
    return isinf(least) ? 0 : nearest_level(e, least);
}

int fly_engine_settle_levels(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_levels_state *s = &e->levels;
    int32_t count[FLY_LEVELS] = {0}, most = 0, main = s->main;
    int moved = 0;

    if (s->n == 1)
        return 0;
    most = level_taught(e);
    for (int32_t k = 0; k < e->n_chips; k++) {
        int32_t level = 0;

        if (!e->modality[FLY_HAADF].measured[k] || !(s->dwell_ns[k] > 0.0))
            continue;
        level = nearest_level(e, s->dwell_ns[k]);
        level = level < most ? level : most;
        count[level]++;
        if (level == s->of[k])
            continue;
        s->of[k] = (uint8_t)level;
        fly_engine_mark(e, FLY_HAADF, k, 0);
    }
    s->main = 0;
    for (int32_t l = 0; l < FLY_LEVELS; l++) {
        int is_used = count[l] > 0 || l == 0;

        moved |= is_used && !e->fewshot[l].in_use;
        e->fewshot[l].in_use = is_used;
        if (count[l] > count[s->main])
            s->main = l;
    }
    return moved || s->main != main;
}

double fly_engine_level_missing(const struct fly_engine *engine, int32_t level)
{
    const struct fly_engine *e = engine;
    const struct fly_levels_state *s = &e->levels;
    double sum = 0.0;
    int32_t n = 0;

    for (int32_t k = 0; s->n > 1 && k < e->n_chips; k++)
        if (is_taught(e, k) && e->speaks[k] && isfinite(s->missing[k * s->n + level])) {
            sum += (double)s->missing[k * s->n + level];
            n++;
        }
    return n ? sum / n : 0.0;
}

struct fly_features fly_engine_level_features(const struct fly_engine *engine, int32_t level)
{
    const float *rows = engine->levels.n > 1 ? engine->levels.at[level] : engine->embeddings;

    return (struct fly_features){rows, engine->width, FLY_FEATURE_F32};
}
