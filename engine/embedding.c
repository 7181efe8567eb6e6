/* From pixels to embeddings within the engine: the range that intensities are mapped from, which chips wait,
 * and one unit of embedding. */
#include "engine/state.h"

#include <string.h>

#include "engine/chip/prepare.h"

/* ---- the intensity range ----------------------------------------------------------------------- */

/* The pixels that the range is taken from: the topmost chip rows, as wide as the grid. */
static struct fly_rect range_rect(const struct fly_engine *e)
{
    const struct fly_grid *grid = &e->config.grid;
    int32_t rows = e->config.range_rows < grid->rows ? e->config.range_rows : grid->rows;

    return (struct fly_rect){0, 0, (rows - 1) * grid->pitch_px + grid->side_px,
                             (grid->cols - 1) * grid->pitch_px + grid->side_px};
}

/* Are they all there in frame 0? Each row is asked until it is, and never again. */
int fly_engine_range_there(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_rect rect = range_rect(e);
    uint8_t *there = e->row + (size_t)rect.w * fly_dtype_size(e->config.dtype);

    while (e->range_row < rect.h &&
           fly_assembly_frame(e->assembly, 0, (struct fly_rect){e->range_row, 0, 1, rect.w}, e->row, there) ==
               FLY_OK)
        e->range_row++;
    return e->range_row == rect.h;
}

/* The 0.1 and 99.9 percentiles of what is there of those rows (D5): settled once, so that no later pixel
 * can revise every embedding. */
void fly_engine_settle_range(struct fly_engine *engine, int64_t frame)
{
    struct fly_engine *e = engine;
    struct fly_rect rect = range_rect(e);
    size_t count = (size_t)rect.h * (size_t)rect.w, size = fly_dtype_size(e->config.dtype);
    struct fly_alloc alloc = e->arena.alloc;
    double *values = alloc.get(alloc.ctx, count * sizeof *values);
    uint8_t *there = e->row + (size_t)rect.w * size;
    int64_t n = 0;

    if (!values)
        return; /* tried again with the next rectangle */
    for (int32_t y = 0; y < rect.h; y++) {
        int rc = fly_assembly_frame(e->assembly, frame, (struct fly_rect){y, 0, 1, rect.w}, e->row, there);

        for (int32_t x = 0; (rc == FLY_OK || rc == FLY_EAGAIN) && x < rect.w; x++)
            if (there[x])
                values[n++] = fly_dtype_value(e->config.dtype, e->row, (size_t)x);
    }
    if (n > 0) {
        e->lo = fly_percentile(values, n, 0.1);
        e->hi = fly_percentile(values, n, 99.9);
        e->range_known = 1;
    }
    alloc.put(alloc.ctx, values, count * sizeof *values);
}

/* ---- chips ------------------------------------------------------------------------------------- */

/* A shift took pixels away: as if the chip had never been whole. */
static void forget(struct fly_engine *e, int32_t k)
{
    struct fly_modality_state *image = &e->modality[FLY_HAADF];

    fly_engine_set_dwell(e, k, 0.0);
    fly_queue_remove(&e->to_embed, k);
    e->image_stamp[k] = 0;
    if (!image->measured[k])
        return;
    image->measured[k] = 0;
    image->version[k] = fly_assembly_version(e->assembly, k);
    memset(e->embeddings + (size_t)k * (size_t)e->width, 0, (size_t)e->width * sizeof(float));
    fly_engine_forget_levels(e, k);
    fly_engine_mark(e, FLY_HAADF, k, 0);
    fly_engine_touch_image(e, k);
}

void fly_engine_image_changed(struct fly_engine *engine, int64_t stamp)
{
    struct fly_engine *e = engine;
    int32_t n;

    while ((n = fly_assembly_drain_dirty(e->assembly, e->dirty, e->n_chips)) > 0)
        for (int32_t i = 0; i < n; i++) {
            int32_t k = e->dirty[i];

            if (!fly_assembly_complete(e->assembly, k)) {
                forget(e, k);
                continue;
            }
            if (e->levels.n > 1)
                fly_engine_set_dwell(e, k, fly_assembly_dwell_ns(e->assembly, k));
            if (stamp > e->image_stamp[k])
                e->image_stamp[k] = stamp;
            fly_queue_push(&e->to_embed, e->modality[FLY_HAADF].measured[k] ? FLY_QUEUE_AGAIN : FLY_QUEUE_FIRST,
                           k);
        }
    fly_engine_settle_least(e);
}

static void prepare_job(void *arg, int32_t i, int32_t worker)
{
    struct fly_engine *e = arg;
    int32_t side = e->config.grid.side_px, px = fly_embedder_input_px(e->config.embedder);
    double *mean = e->mean + (size_t)worker * (size_t)side * (size_t)side;

    fly_assembly_mean(e->assembly, e->picked[i], mean);
    fly_map_intensity(mean, mean, (int64_t)side * side, e->lo, e->hi);
    fly_resize_bilinear(mean, side, e->pictures + (size_t)i * (size_t)px * (size_t)px, px);
    if (e->levels.n > 1)
        fly_engine_exposures(e, e->picked[i], e->levels.exposures + i * FLY_LEVELS);
}

int fly_engine_can_embed(const struct fly_engine *engine)
{
    return engine->assembly && (engine->range_known || !engine->config.embedder);
}

void fly_engine_embed(struct fly_engine *engine, enum fly_queue_level level)
{
    struct fly_engine *e = engine;
    struct fly_modality_state *image = &e->modality[FLY_HAADF];
    int32_t n = fly_queue_pop(&e->to_embed, level, e->picked, e->unit);

    if (e->config.embedder) {
        e->exec.run(e->exec.ctx, n, prepare_job, e);
        if (e->levels.n > 1)
            fly_embedder_run_levels(e->config.embedder, e->pictures, n, e->fresh, &e->levels.fresh, &e->exec);
        else
            fly_embedder_run(e->config.embedder, e->pictures, n, e->fresh, &e->exec);
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t k = e->picked[i];
        const float *from = e->config.embedder ? e->fresh + (size_t)i * (size_t)e->width
                                               : e->given + (size_t)k * (size_t)e->width;

        memcpy(e->embeddings + (size_t)k * (size_t)e->width, from, (size_t)e->width * sizeof(float));
        if (e->levels.n > 1)
            fly_engine_take_levels(e, i, k);
        e->counts.embedded_again += image->measured[k];
        e->counts.embedded_first += !image->measured[k];
        image->measured[k] = 1;
        image->version[k] = fly_assembly_version(e->assembly, k);
        fly_engine_mark(e, FLY_HAADF, k, e->image_stamp[k]);
        fly_engine_touch_image(e, k);
        e->image_stamp[k] = 0;
    }
}
