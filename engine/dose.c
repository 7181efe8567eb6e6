/* Dose within the engine: what comes in is booked, whatever becomes of it. */
#include "engine/state.h"

static struct fly_ledger_config ledger_config(const struct fly_engine *engine)
{
    const struct fly_grid *grid = &engine->config.grid;

    return (struct fly_ledger_config){.height_px = grid->height_px,
                                      .width_px = grid->width_px,
                                      .side_px = grid->side_px,
                                      .pitch_px = grid->pitch_px,
                                      .rows = grid->rows,
                                      .cols = grid->cols,
                                      .frames_held = engine->config.frames_held,
                                      .frames_max = engine->config.frames_max};
}

size_t fly_engine_ledger_need(const struct fly_engine *engine)
{
    struct fly_ledger_config config = ledger_config(engine);

    return fly_ledger_need(&config);
}

int fly_engine_open_ledger(struct fly_engine *engine, const struct fly_alloc *alloc)
{
    struct fly_ledger_config config = ledger_config(engine);
    int rc = fly_arena_init(&engine->ledger_arena, fly_ledger_need(&config), alloc, "dose ledger");

    return rc < 0 ? rc : fly_ledger_open(&engine->ledger, &config, &engine->ledger_arena);
}

static void book(struct fly_engine *engine, int64_t frame, struct fly_cover_rect rect, uint64_t dwell_ns, int fresh,
                 int64_t stamp)
{
    if (frame >= 0 && dwell_ns >= 1) /* else it is refused, and nothing that ever was */
        fly_ledger_book(engine->ledger, frame, rect, dwell_ns, fresh, stamp);
}

void fly_engine_book_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect, uint64_t dwell_ns,
                           int64_t stamp, int rc, const struct fly_taken *taken)
{
    book(engine, frame, (struct fly_cover_rect){rect.y0, rect.x0, rect.h, rect.w}, dwell_ns,
         rc < 0 || taken->fresh_px > 0 || taken->nonfinite_px > 0, stamp);
}

void fly_engine_book_photons(struct fly_engine *engine, const struct fly_photons *photons, int64_t stamp, int rc,
                             const struct fly_eds_taken *taken)
{
    if (rc != FLY_EWIRE) /* bytes that tell nothing */
        book(engine, photons->frame, (struct fly_cover_rect){photons->y0, photons->x0, photons->h, photons->w},
             photons->dwell_ns, rc < 0 || taken->fresh_px > 0, stamp);
}

void fly_engine_exposed(struct fly_engine *engine, int64_t frame, struct fly_rect rect, uint64_t dwell_ns,
                        int64_t stamp)
{
    fly_engine_quality_begin(engine, frame);
    book(engine, frame, (struct fly_cover_rect){rect.y0, rect.x0, rect.h, rect.w}, dwell_ns, 1, stamp);
}

void fly_engine_ledger(struct fly_engine *engine, struct fly_ledger_view *view, struct fly_ledger_counts *counts)
{
    if (view)
        fly_ledger_look(engine->ledger, view);
    if (counts)
        *counts = fly_ledger_counts(engine->ledger);
}

void fly_engine_dose(struct fly_engine *engine, const float **mean_us, const float **max_us)
{
    struct fly_ledger_view view;

    fly_ledger_look(engine->ledger, &view);
    *mean_us = view.mean_us;
    *max_us = view.max_us;
}

void fly_engine_dose_pixels(const struct fly_engine *engine, struct fly_rect rect, float *us)
{
    fly_ledger_pixels(engine->ledger, (struct fly_cover_rect){rect.y0, rect.x0, rect.h, rect.w}, us);
}
