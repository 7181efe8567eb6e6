#include "engine/chip/box_drift.h"

#include <math.h>
#include <string.h>

#include "engine/chip/box_drift_own.h"

enum { FRAME_WORDS = FLY_DRIFT_FRAMES_MAX / 64, REACH_MORE_PX = FLY_BOX_DRIFT_REACH_PX / 2 };

/* The frame of the reference picture. */
struct first {
    int64_t frame;       /* -1: none yet */
    int lines, placed;   /* 1: a line of it came; where it lies is known: */
    double at_px[2], var[2];
    int ambiguous;
};

struct fly_box_drift {
    struct fly_drift_config config;
    size_t size;                   /* of a pixel */
    int32_t line_px;               /* from this width on it is a line, and no box */
    uint64_t *begun;               /* bits of frames */
    int64_t frame, next;           /* whose boxes are gathered, and after it; -1: none */
    int lines, waiting;            /* 1: it is not made of boxes; it has ended */
    struct fly_box_cut cut;
    struct fly_box_reference reference;
    struct first first;
    struct fly_box_finder *finder;
    double last_px[2];             /* where the frame measured last lies, against the first */
    int32_t misses;                /* frames of boxes since */
};

static int in_range(const struct fly_drift_config *config)
{
    return config->height_px >= FLY_DRIFT_SIDE_MIN && config->height_px <= FLY_SCAN_MAX_PX &&
           config->width_px >= FLY_DRIFT_SIDE_MIN && config->width_px <= FLY_SCAN_MAX_PX;
}

static size_t pixels_of(const struct fly_drift_config *config)
{
    return (size_t)config->height_px * (size_t)config->width_px;
}

static size_t words_of(const struct fly_drift_config *config)
{
    return (pixels_of(config) + 63) / 64;
}

size_t fly_box_drift_need(const struct fly_drift_config *config)
{
    size_t need;

    if (!in_range(config))
        return SIZE_MAX;
    need = fly_arena_need(1, sizeof(struct fly_box_drift)) + fly_arena_need(FRAME_WORDS, sizeof(uint64_t));
    need = fly_size_add(need, fly_box_cut_need() + fly_box_finder_need());
    need = fly_size_add(need, fly_arena_need(pixels_of(config), fly_dtype_size(config->dtype)));
    return fly_size_add(need, fly_arena_need(words_of(config), sizeof(uint64_t)));
}

int fly_box_drift_init(struct fly_box_drift **out, const struct fly_drift_config *config, struct fly_arena *arena)
{
    struct fly_box_drift *d;
    size_t size = fly_dtype_size(config->dtype);

    if (!in_range(config))
        return fly_fail(FLY_ERANGE, "drift of boxes: scan of %d x %d px, sides of %d .. %d px are measured",
                        config->height_px, config->width_px, FLY_DRIFT_SIDE_MIN, FLY_SCAN_MAX_PX);
    if (arena->cap - arena->used < fly_box_drift_need(config))
        return fly_fail(FLY_ENOMEM, "drift of boxes: the reserve is too small");
    d = fly_arena_take(arena, 1, sizeof *d);
    memset(d, 0, sizeof *d);
    d->config = *config;
    d->size = size;
    d->line_px = config->width_px < FLY_DRIFT_WINDOW_PX ? config->width_px : FLY_DRIFT_WINDOW_PX;
    d->frame = d->next = d->first.frame = -1;
    d->begun = fly_arena_take(arena, FRAME_WORDS, sizeof *d->begun);
    memset(d->begun, 0, FRAME_WORDS * sizeof *d->begun);
    fly_box_cut_init(&d->cut, config->width_px, arena);
    fly_box_finder_init(&d->finder, arena);
    d->reference = (struct fly_box_reference){config->height_px, config->width_px, config->dtype,
                                              .pixels = fly_arena_take(arena, pixels_of(config), size),
                                              .there = fly_arena_take(arena, words_of(config), sizeof(uint64_t))};
    memset(d->reference.there, 0, words_of(config) * sizeof(uint64_t));
    *out = d;
    return FLY_OK;
}

/* ---- frames ---------------------------------------------------------------------------------------------- */

static int has_begun(const struct fly_box_drift *d, int64_t frame)
{
    return (int)(d->begun[frame >> 6] >> (frame & 63) & 1);
}

void fly_box_drift_drop(struct fly_box_drift *drift)
{
    drift->frame = drift->next;
    drift->next = -1;
    drift->waiting = drift->lines = 0;
    drift->cut.n = 0;
}

/* What is gathered has ended, `next` is gathered after it. 1: it is to be measured first. */
static int end(struct fly_box_drift *d, int64_t next)
{
    FLY_ASSERT(!d->waiting);
    d->next = next;
    d->waiting = d->cut.n > 0 && d->first.placed;
    if (!d->waiting)
        fly_box_drift_drop(d);
    return d->waiting;
}

int fly_box_drift_begin(struct fly_box_drift *drift, int64_t frame)
{
    FLY_ASSERT(frame >= 0);
    if (frame >= FLY_DRIFT_FRAMES_MAX || has_begun(drift, frame))
        return 0;
    drift->begun[frame >> 6] |= UINT64_C(1) << (frame & 63);
    return end(drift, frame);
}

int fly_box_drift_finish(struct fly_box_drift *drift)
{
    return end(drift, -1);
}

int64_t fly_box_drift_waiting(const struct fly_box_drift *drift)
{
    return drift->waiting ? drift->frame : -1;
}

/* ---- the reference --------------------------------------------------------------------------------------- */

static void begin_first(struct fly_box_drift *d, int64_t frame)
{
    memset(d->reference.there, 0, words_of(&d->config) * sizeof(uint64_t));
    d->first = (struct first){.frame = frame};
}

/* A frame's place is known, or there is nothing to see in it. */
static void place_first(struct fly_box_drift *d, const struct fly_drift_shift *shift)
{
    struct first *first = &d->first;

    if (shift->frame != first->frame || first->placed)
        return;
    if (!shift->measured) {
        first->frame = -1;
        return;
    }
    first->placed = 1;
    first->at_px[0] = shift->dy_px;
    first->at_px[1] = shift->dx_px;
    first->var[0] = shift->sigma_dy_px * shift->sigma_dy_px;
    first->var[1] = shift->sigma_dx_px * shift->sigma_dx_px;
    first->ambiguous = shift->ambiguous;
}

void fly_box_drift_told(struct fly_box_drift *drift, const struct fly_drift_shift *shift)
{
    place_first(drift, shift);
    if (!shift->measured)
        return;
    drift->last_px[0] = shift->dy_px;
    drift->last_px[1] = shift->dx_px;
    drift->misses = 0;
}

/* What a float holds of a pixel; not finite: nothing. */
static float value_of(const struct fly_box_drift *d, const void *px, size_t i)
{
    return (float)fly_dtype_value(d->config.dtype, px, i);
}

/* Of a pixel the first stands. */
static void keep(struct fly_box_drift *d, struct fly_rect rect, const unsigned char *px)
{
    for (int32_t y = 0; y < rect.h; y++)
        for (int32_t x = 0; x < rect.w; x++) {
            size_t to = (size_t)(rect.y0 + y) * (size_t)d->config.width_px + (size_t)(rect.x0 + x);
            size_t from = (size_t)y * (size_t)rect.w + (size_t)x;
            uint64_t bit = UINT64_C(1) << (to & 63);

            if ((d->reference.there[to >> 6] & bit) || !isfinite(value_of(d, px, from)))
                continue;
            memcpy(d->reference.pixels + to * d->size, px + from * d->size, d->size);
            d->reference.there[to >> 6] |= bit;
        }
}

/* ---- boxes ----------------------------------------------------------------------------------------------- */

static void gather(struct fly_box_drift *d, struct fly_rect rect, const unsigned char *px)
{
    struct fly_box_cut *cut = &d->cut;

    for (int32_t y = 0; y < rect.h; y++)
        for (int32_t x = 0; x < rect.w && cut->n < FLY_BOX_DRIFT_PX; x++) {
            float value = value_of(d, px, (size_t)y * (size_t)rect.w + (size_t)x);
            uint64_t at = (uint64_t)(rect.y0 + y) * (uint64_t)d->config.width_px + (uint64_t)(rect.x0 + x);

            if (!isfinite(value))
                continue;
            cut->value[cut->n] = value;
            cut->at[cut->n] = (struct fly_box_item){.key = at, .first = cut->n};
            cut->n++;
        }
}

void fly_box_drift_put(struct fly_box_drift *drift, int64_t frame, struct fly_rect rect, const void *pixels)
{
    int line = rect.w >= drift->line_px;

    FLY_ASSERT(!drift->waiting && rect.y0 >= 0 && rect.x0 >= 0 && rect.h > 0 && rect.w > 0 &&
               rect.y0 + rect.h <= drift->config.height_px && rect.x0 + rect.w <= drift->config.width_px);
    if (frame >= FLY_DRIFT_FRAMES_MAX)
        return;
    if (!drift->first.placed && (drift->first.frame < 0 || (line && frame > drift->first.frame)))
        begin_first(drift, frame);
    if (frame == drift->first.frame) {
        keep(drift, rect, pixels);
        return;
    }
    if (frame != drift->frame)
        return;
    drift->lines |= line;
    if (drift->lines)
        drift->cut.n = 0;
    else
        gather(drift, rect, pixels);
}

/* ---- one frame against the reference --------------------------------------------------------------------- */

static void find(struct fly_box_drift *d, struct fly_box_found *found)
{
    int32_t reach = FLY_BOX_DRIFT_REACH_PX + REACH_MORE_PX * d->misses;
    struct fly_box_look look = {.cut = &d->cut,
                                .reference = &d->reference,
                                .near = {d->last_px[0] - d->first.at_px[0], d->last_px[1] - d->first.at_px[1]},
                                .reach = reach < FLY_BOX_DRIFT_REACH_MAX_PX ? reach : FLY_BOX_DRIFT_REACH_MAX_PX};

    fly_box_cut(&d->cut);
    fly_box_find(d->finder, &look, found);
}

static struct fly_drift_shift shift_of(const struct fly_box_drift *d, const struct fly_box_found *found)
{
    const struct first *first = &d->first;
    struct fly_drift_shift shift = {.frame = d->frame, .reference = first->frame, .measured = found->measured};

    if (!found->measured) {
        shift.dy_px = shift.dx_px = shift.since_dy_px = shift.since_dx_px = NAN;
        shift.sigma_dy_px = shift.sigma_dx_px = shift.correlation = shift.rival_dy_px = shift.rival_dx_px = NAN;
        return shift;
    }
    shift.dy_px = first->at_px[0] + found->at_px[0];
    shift.dx_px = first->at_px[1] + found->at_px[1];
    shift.sigma_dy_px = sqrt(found->sigma_px[0] * found->sigma_px[0] + first->var[0]);
    shift.sigma_dx_px = sqrt(found->sigma_px[1] * found->sigma_px[1] + first->var[1]);
    shift.since_dy_px = shift.dy_px - d->last_px[0];
    shift.since_dx_px = shift.dx_px - d->last_px[1];
    shift.correlation = found->correlation;
    shift.ambiguous = found->ambiguous || first->ambiguous;
    shift.rival_dy_px = first->at_px[0] + found->rival_px[0];
    shift.rival_dx_px = first->at_px[1] + found->rival_px[1];
    return shift;
}

int fly_box_drift_step(struct fly_box_drift *drift, struct fly_drift_shift *shift)
{
    struct fly_box_found found;

    if (!drift->waiting)
        return FLY_EAGAIN;
    find(drift, &found);
    *shift = shift_of(drift, &found);
    drift->misses += !found.measured && drift->misses < FLY_BOX_DRIFT_REACH_MAX_PX;
    fly_box_drift_told(drift, shift);
    fly_box_drift_drop(drift);
    return FLY_OK;
}
