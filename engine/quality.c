/* Data quality within the engine: what is watched while pixels come, and what it says. */
#include "engine/state.h"

#include <math.h>

/* ---- opening ------------------------------------------------------------------------------------- */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static struct fly_drift_config drift_config(const struct fly_engine *e)
{
    return (struct fly_drift_config){e->config.grid.height_px, e->config.grid.width_px, e->config.dtype};
}

static int can_drift(const struct fly_engine *e)
{
    return e->config.has_image && e->config.grid.height_px >= FLY_DRIFT_SIDE_MIN &&
           e->config.grid.width_px >= FLY_DRIFT_SIDE_MIN;
}

size_t fly_engine_quality_need(const struct fly_engine *engine)
{
    struct fly_drift_config drift = drift_config(engine);

    if (!can_drift(engine))
        return 0;
    return fly_size_add(fly_drift_need(&drift), engine->config.box_drift ? fly_box_drift_need(&drift) : 0);
}

int fly_engine_open_quality(struct fly_engine *engine, const struct fly_quantify_config *quantify,
                            const struct fly_alloc *alloc)
{
    struct fly_quality_state *q = &engine->quality;
    struct fly_drift_config drift = drift_config(engine);
    int rc = FLY_OK;

    q->counts_needed = engine->quantifier ? quantify->min_counts : 0;
    q->newest_frame = q->highest_frame = -1;
    for (int i = 0; i < FLY_SHIFTS_KEPT; i++)
        q->applied[i].frame = -1;
    fly_saturation_init(&q->saturation, engine->config.dtype);
    if (!can_drift(engine))
        return FLY_OK;
    rc = fly_arena_init(&q->arena, fly_engine_quality_need(engine), alloc, "drift");
    if (rc == FLY_OK)
        rc = fly_drift_open(&q->drift, &drift, &q->arena);
    if (rc == FLY_OK && engine->config.box_drift)
        rc = fly_box_drift_init(&q->boxes, &drift, &q->arena);
    return rc;
}

void fly_engine_close_quality(struct fly_engine *engine)
{
    fly_drift_close(&engine->quality.drift);
    fly_arena_fini(&engine->quality.arena);
}

/* ---- drift --------------------------------------------------------------------------------------- */

static void tell_applied(struct fly_quality_state *q)
{
    struct fly_quality_drift *told = &q->drifted;

    told->applied_px[0] = told->applied_px[1] = 0.0;
    for (int i = 0; i < FLY_SHIFTS_KEPT; i++)
        if (q->applied[i].frame == told->last.frame) {
            told->applied_px[0] = q->applied[i].dy_px;
            told->applied_px[1] = q->applied[i].dx_px;
        }
}

/* A frame is measured by its window, or by its boxes; each way learns from the other. */
static int step(struct fly_quality_state *q, struct fly_drift_shift *shift)
{
    if (fly_drift_step(q->drift, shift) == FLY_OK) {
        if (q->boxes)
            fly_box_drift_told(q->boxes, shift);
        return 1;
    }
    if (!q->boxes || fly_box_drift_step(q->boxes, shift) != FLY_OK)
        return 0;
    fly_drift_take(q->drift, shift);
    return 1;
}

int fly_engine_measure_drift(struct fly_engine *engine)
{
    struct fly_quality_state *q = &engine->quality;
    struct fly_quality_drift *told = &q->drifted;
    double far;

    if (!q->drift || !step(q, &told->last))
        return 0;
    tell_applied(q);
    far = told->last.measured ? hypot(told->last.dy_px, told->last.dx_px) : 0.0;
    if (far > told->largest_px) {
        told->largest_px = far;
        told->largest_frame = told->last.frame;
    }
    fly_engine_judge_drift(engine);
    return 1;
}

/* Boxes that were gathered are to be measured, unless they cover the window. */
static void end_boxes(struct fly_quality_state *q)
{
    if (fly_drift_has(q->drift, fly_box_drift_waiting(q->boxes)))
        fly_box_drift_drop(q->boxes);
}

/* What is ready is measured before boxes end, and these at once: so the order does not hang on who asks when. */
void fly_engine_quality_begin(struct fly_engine *engine, int64_t frame)
{
    struct fly_quality_state *q = &engine->quality;

    if (!q->boxes || frame < 0)
        return;
    while (fly_engine_measure_drift(engine))
        continue;
    if (!fly_box_drift_begin(q->boxes, frame))
        return;
    end_boxes(q);
    fly_engine_measure_drift(engine);
}

void fly_engine_quality_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect, const void *pixels,
                              const struct fly_taken *taken)
{
    struct fly_quality_state *q = &engine->quality;

    if (!taken->fresh_px && !taken->nonfinite_px)
        return; /* sent again */
    fly_saturation_put(&q->saturation, pixels, (size_t)rect.h * (size_t)rect.w);
    if (!q->drift)
        return;
    if (frame > q->highest_frame) {
        q->highest_frame = frame;
        q->risen++;
    }
    if (frame != q->newest_frame) {
        /* Else, where nobody had the time, a third frame would push out one that waits. */
        while (fly_engine_measure_drift(engine))
            continue;
        q->newest_frame = frame;
    }
    fly_drift_put(q->drift, frame, rect, pixels);
    if (q->boxes)
        fly_box_drift_put(q->boxes, frame, rect, pixels);
}

void fly_engine_quality_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px)
{
    struct fly_quality_state *q = &engine->quality;
    struct fly_quality_applied *to = &q->applied[0];

    for (int i = 1; i < FLY_SHIFTS_KEPT && to->frame != frame; i++)
        if (q->applied[i].frame == frame || q->applied[i].given < to->given)
            to = &q->applied[i];
    q->drifted.adopted -= to->frame == frame && to->adopted; /* until the one who gives it now says that it is so again */
    *to = (struct fly_quality_applied){.frame = frame, .given = ++q->shifts_given, .dy_px = dy_px, .dx_px = dx_px};
    tell_applied(q);
}

void fly_engine_quality_finish(struct fly_engine *engine)
{
    struct fly_quality_state *q = &engine->quality;

    while (q->boxes && fly_engine_measure_drift(engine))
        continue;
    if (q->boxes && fly_box_drift_finish(q->boxes))
        end_boxes(q);
    if (q->drift)
        fly_drift_finish(q->drift);
}

/* ---- chip size ----------------------------------------------------------------------------------- */

static int32_t lines_of(const struct fly_grid *grid, int32_t rows)
{
    return fly_square_px((struct fly_square){0, 0, rows}, grid->side_px, grid->pitch_px);
}

/* Topmost rows of chips that a survey has, at least one. */
static int32_t survey_rows(const struct fly_grid *grid)
{
    int32_t rows = smaller(grid->rows, grid->cols); /* as much room as the largest square's */

    while (rows > 1 && lines_of(grid, rows) > FLY_ADVICE_PX)
        rows--;
    return rows;
}

/* Those of them that are complete; one that was stays so here, though a shift may take it back. */
static int32_t rows_there(struct fly_engine *e, int32_t most)
{
    struct fly_quality_state *q = &e->quality;
    int32_t cols = e->config.grid.cols, col;

    for (; q->rows_there < most; q->rows_there++) {
        for (col = 0; col < cols; col++)
            if (!fly_assembly_complete(e->assembly, q->rows_there * cols + col))
                return q->rows_there;
    }
    return q->rows_there;
}

static int advise(struct fly_engine *e)
{
    struct fly_quality_state *q = &e->quality;
    const struct fly_grid *grid = &e->config.grid;
    int32_t most, there, h, w;

    if (!e->config.has_image)
        return 0;
    most = survey_rows(grid);
    there = rows_there(e, most);
    if (there <= q->rows_advised ||
        (!e->finished && there < most && (there < 2 * q->rows_advised || 4 * there < most)))
        return 0;
    /* No more than the largest square, which there is room for: a chip may be larger than a survey. */
    h = smaller(lines_of(grid, there), FLY_ADVICE_PX);
    w = smaller(lines_of(grid, smaller(grid->rows, grid->cols)), FLY_ADVICE_PX);
    fly_assembly_peek(e->assembly, (struct fly_rect){0, (lines_of(grid, grid->cols) - w) / 2, h, w}, e->region_px);
    q->rows_advised = there;
    if (fly_advise(&q->advice, &e->transforms, 0, &e->spacing, &(struct fly_picture){e->region_px, w, h, w},
                   grid->side_px, NULL) < 0)
        q->advice = (struct fly_advice){.reason = FLY_ADVICE_TOO_LITTLE};
    return 1;
}

int fly_engine_quality_step(struct fly_engine *engine)
{
    return fly_engine_measure_drift(engine) || advise(engine);
}

/* ---- telling ------------------------------------------------------------------------------------- */

static int32_t chips_up_to(const struct fly_engine *e, uint64_t photons)
{
    const uint8_t *complete = e->modality[FLY_EDS].measured;
    int32_t n = 0;

    for (int32_t k = 0; k < e->n_chips; k++)
        n += complete[k] && fly_spectra_total(e->spectra, k) <= photons;
    return n;
}

/* The least number that half of the complete chips do not exceed: some thirty passes need no room to sort in. */
static double median_photons(const struct fly_engine *e)
{
    int32_t n = chips_up_to(e, UINT64_MAX);
    uint64_t low = 0, high = 1;

    if (!n)
        return NAN;
    while (chips_up_to(e, high) < (n + 1) / 2)
        high *= 2;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (chips_up_to(e, middle) < (n + 1) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (double)low;
}

static void tell_counts(const struct fly_engine *e, struct fly_quality_counts *counts)
{
    *counts = (struct fly_quality_counts){.of = e->n_chips, .needed = e->quality.counts_needed, .median = NAN};
    if (!e->spectra)
        return;
    counts->median = median_photons(e);
    for (int32_t k = 0; e->quantifier && k < e->n_chips; k++) {
        if (!e->made[k])
            continue;
        counts->chips++;
        counts->too_few += e->status[k] == FLY_QUANTIFY_TOO_FEW;
        counts->pooled += e->status[k] == FLY_QUANTIFY_POOLED;
    }
}

static int is_counting(enum fly_dtype dtype)
{
    return dtype == FLY_U8 || dtype == FLY_U16 || dtype == FLY_U32;
}

static void tell_saturation(const struct fly_engine *e, struct fly_quality_saturation *told)
{
    told->top = fly_saturation_top(&e->quality.saturation);
    told->bottom = fly_saturation_bottom(&e->quality.saturation);
    told->bottom_may_be_vacuum = is_counting(e->config.dtype) && told->bottom.value == 0.0;
}

void fly_engine_quality(const struct fly_engine *engine, struct fly_quality *quality)
{
    const struct fly_engine *e = engine;
    const double *nm = e->config.region.pixel_nm;
    int image = e->config.has_image;

    *quality = (struct fly_quality){.has_image = image,
                                    .has_eds = e->spectra != NULL,
                                    .advice = e->quality.advice,
                                    .chip_px = e->config.grid.side_px,
                                    .chip_cols = e->config.grid.cols,
                                    .pixel_nm = nm[0] > 0.0 && nm[1] > 0.0 ? fmax(nm[0], nm[1]) : 0.0,
                                    .elements = e->n_elements};
    tell_counts(e, &quality->counts);
    fly_engine_tell_damage(e, &quality->damage);
    for (int32_t i = 0; i < e->n_elements; i++)
        quality->users_k += fly_quantifier_line(e->quantifier, i).users_k;
    if (!image)
        return;
    tell_saturation(e, &quality->saturation);
    quality->drift = e->quality.drifted;
    if (e->quality.drift)
        quality->drift.frames = fly_drift_counts(e->quality.drift);
    quality->advice_final = e->quality.rows_advised == survey_rows(&e->config.grid) ||
                            (e->finished && e->quality.rows_advised == e->quality.rows_there);
}
