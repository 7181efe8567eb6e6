#include "engine/damage.h"

#include <math.h>

#include "engine/state.h"

static const double moved_known = 0.1, moved_unknown = 0.5; /* of a chip */
static const double moved_anew = 0.25;
static const int64_t recent_frames = 2; /* one is under way, the one before it is measured as it begins */

/* ---- opening ------------------------------------------------------------------------------------- */

/* With a NULL arena it only counts. */
static void *take(struct fly_arena *arena, size_t *need, size_t count, size_t size)
{
    *need = fly_size_add(*need, fly_arena_need(count, size));
    return arena ? fly_arena_take(arena, count, size) : NULL;
}

static size_t lay_out(struct fly_engine *e, struct fly_arena *arena)
{
    struct fly_damage_state *s = &e->damage;
    size_t need = 0, k = (size_t)fly_grid_chips(&e->config.grid), side = (size_t)e->config.grid.side_px;

    s->windows = e->n_elements < FLY_DAMAGE_WINDOWS_MAX ? e->n_elements : FLY_DAMAGE_WINDOWS_MAX;
    s->bounds = take(arena, &need, (size_t)e->n_elements * 6, sizeof *s->bounds);
    for (int m = 0; m < 2; m++)
        s->seen[m] = take(arena, &need, k, sizeof *s->seen[m]);
    s->sum = take(arena, &need, k, sizeof *s->sum);
    s->dwell_us = take(arena, &need, k, sizeof *s->dwell_us);
    s->mean = take(arena, &need, side * side, sizeof *s->mean);
    return need;
}

static struct fly_damage_config watch_config(const struct fly_engine *e, int32_t windows)
{
    const struct fly_grid *grid = &e->config.grid;

    return (struct fly_damage_config){.rows = grid->rows, .cols = grid->cols, .windows = windows,
                                      .chips_overlap = grid->pitch_px < grid->side_px};
}

size_t fly_engine_damage_need(const struct fly_engine *engine)
{
    struct fly_engine counting = {.config = engine->config, .n_elements = engine->n_elements};
    size_t need = lay_out(&counting, NULL);
    struct fly_damage_config config = watch_config(engine, counting.damage.windows);

    return fly_size_add(need, fly_damage_need(&config));
}

int fly_engine_open_damage(struct fly_engine *engine, const struct fly_quantify_config *quantify,
                           const struct fly_alloc *alloc)
{
    struct fly_damage_state *s = &engine->damage;
    struct fly_damage_config config;
    int rc = fly_arena_init(&s->arena, fly_engine_damage_need(engine), alloc, "damage watch");

    if (rc < 0)
        return rc;
    lay_out(engine, &s->arena);
    s->newest_frame = -1;
    if (engine->quantifier) {
        double first = ceil((quantify->mask_ev - quantify->ev_offset) / quantify->ev_per_channel);

        s->from = (int32_t)fmin(fmax(first, 0.0), engine->config.n_channels);
        fly_quantifier_windows(engine->quantifier, s->bounds);
    }
    config = watch_config(engine, s->windows);
    return fly_damage_init(&s->watch, &config, &s->arena);
}

void fly_engine_close_damage(struct fly_engine *engine)
{
    fly_arena_fini(&engine->damage.arena);
}

/* ---- data ---------------------------------------------------------------------------------------- */

static double mean_of(const struct fly_engine *e, int32_t k)
{
    const struct fly_damage_state *s = &e->damage;
    int32_t px = e->config.grid.side_px * e->config.grid.side_px;
    double sum = 0.0;

    fly_assembly_mean(e->assembly, k, s->mean);
    for (int32_t i = 0; i < px; i++)
        sum += s->mean[i];
    return sum / px;
}

/* A chip's pixels are others. dwell_us: of the exposure that made them so; 0: a shift did, or more than one. */
static void take_image(struct fly_engine *e, int32_t k, double dwell_us)
{
    struct fly_damage_state *s = &e->damage;
    double mean, before = s->sum[k];

    if (!fly_assembly_complete(e->assembly, k)) {
        s->sum[k] = s->dwell_us[k] = 0.0;
        return;
    }
    mean = mean_of(e, k);
    s->dwell_us[k] += dwell_us;
    s->sum[k] = mean * s->dwell_us[k];
    if (dwell_us > 0.0)
        fly_damage_image(s->watch, k, (s->sum[k] - before) / dwell_us, dwell_us);
}

static void take_photons(struct fly_engine *e, int32_t k, int exposed)
{
    struct fly_damage_state *s = &e->damage;
    const uint32_t *spectrum = fly_spectra_of(e->spectra, k);
    uint32_t counts[FLY_DAMAGE_WINDOWS_MAX];
    uint64_t total = fly_spectra_total(e->spectra, k);

    for (int32_t w = 0; w < s->windows; w++) {
        const int32_t *bounds = s->bounds + 6 * w;

        counts[w] = 0;
        for (int32_t ch = bounds[0] > s->from ? bounds[0] : s->from; ch < bounds[1]; ch++)
            counts[w] += spectrum[ch];
    }
    for (int32_t ch = 0; ch < s->from; ch++)
        total -= spectrum[ch];
    fly_damage_counts(s->watch, k, counts, total, 1e-3 * (double)fly_spectra_dwell_ns(e->spectra, k) / e->config.segments,
                      exposed);
}

/* What a chip may have moved by, by what is known of the drift. */
static void note_moved(struct fly_engine *e)
{
    struct fly_damage_state *s = &e->damage;
    const struct fly_quality_drift *drift = &e->quality.drifted;
    const struct fly_drift_shift *last = &drift->last;
    double far, now = moved_unknown;

    if (last->measured && s->newest_frame - last->frame <= recent_frames) {
        far = hypot(last->dy_px - drift->applied_px[0], last->dx_px - drift->applied_px[1]) +
              2.0 * hypot(last->sigma_dy_px, last->sigma_dx_px);
        now = fmax(moved_known, far / e->config.grid.side_px);
    } else if (e->quality.drift && s->newest_frame < recent_frames) {
        return; /* it will be measured yet */
    }
    s->moved = fmax(s->moved, now);
    fly_damage_moved(s->watch, s->moved);
}

/* A new frame begins: how far the one before it was off can be known by now. */
static void note_frame(struct fly_engine *e, int64_t frame)
{
    struct fly_damage_state *s = &e->damage;

    if (frame <= s->newest_frame)
        return;
    while (fly_engine_measure_drift(e))
        continue;
    note_moved(e);
    fly_damage_look(s->watch);
    s->newest_frame = frame;
}

void fly_engine_damage_lines(struct fly_engine *engine, int64_t frame, uint64_t dwell_ns)
{
    struct fly_damage_state *s = &engine->damage;
    double dwell_us = dwell_ns > FLY_DWELL_UNKNOWN_NS ? 1e-3 * (double)dwell_ns : 0.0;

    note_frame(engine, frame);
    for (int32_t k = 0; k < engine->n_chips; k++) {
        uint32_t version = fly_assembly_version(engine->assembly, k), more = version - s->seen[FLY_HAADF][k];

        if (!more)
            continue;
        s->seen[FLY_HAADF][k] = version;
        take_image(engine, k, more == 1 ? dwell_us : 0.0);
    }
}

void fly_engine_damage_photons(struct fly_engine *engine, int64_t frame, uint64_t dwell_ns)
{
    struct fly_damage_state *s = &engine->damage;

    note_frame(engine, frame);
    for (int32_t k = 0; k < engine->n_chips; k++) {
        uint32_t version = fly_spectra_version(engine->spectra, k);

        if (version - s->seen[FLY_EDS][k] < (uint32_t)engine->config.segments)
            continue;
        s->seen[FLY_EDS][k] = version;
        take_photons(engine, k, dwell_ns > FLY_DWELL_UNKNOWN_NS);
    }
}

void fly_engine_damage_finish(struct fly_engine *engine)
{
    while (fly_engine_measure_drift(engine))
        continue;
    note_moved(engine);
    fly_damage_look(engine->damage.watch);
}

static void absorb(struct fly_engine *e)
{
    struct fly_damage_state *s = &e->damage;

    for (int32_t k = 0; k < e->n_chips; k++) {
        if (e->assembly && fly_assembly_version(e->assembly, k) != s->seen[FLY_HAADF][k]) {
            s->seen[FLY_HAADF][k] = fly_assembly_version(e->assembly, k);
            take_image(e, k, 0.0);
        }
        if (e->spectra && fly_spectra_version(e->spectra, k) != s->seen[FLY_EDS][k]) {
            s->seen[FLY_EDS][k] = fly_spectra_version(e->spectra, k);
            take_photons(e, k, 0);
        }
    }
}

void fly_engine_damage_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_damage_state *s = &engine->damage;

    if (frame > s->newest_frame)
        return; /* nothing came of it yet */
    for (int i = 0; i < FLY_SHIFTS_KEPT; i++)
        if (engine->quality.applied[i].frame == frame) { /* the shift that it has had until now */
            dy_px -= engine->quality.applied[i].dy_px;
            dx_px -= engine->quality.applied[i].dx_px;
        }
    absorb(engine);
    if (hypot(dy_px, dx_px) > moved_anew * engine->config.grid.side_px) {
        fly_damage_forget(s->watch);
        s->moved = 0.0;
    }
}

/* ---- telling ------------------------------------------------------------------------------------- */

const struct fly_damage *fly_engine_damage(const struct fly_engine *engine)
{
    return engine->damage.watch;
}

void fly_engine_tell_damage(const struct fly_engine *engine, struct fly_quality_damage *told)
{
    told->chips = fly_damage_found(engine->damage.watch, &told->barred, &told->last);
    told->element = told->last.sign == FLY_DAMAGE_SHARE
                        ? fly_quantifier_line(engine->quantifier, told->last.window).symbol
                        : NULL;
}
