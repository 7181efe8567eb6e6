#include "engine/chip/drift.h"

#include <math.h>
#include <string.h>

#include "engine/chip/correlate.h"

enum { IN_FLIGHT = 2, FRAME_WORDS = FLY_DRIFT_FRAMES_MAX / 64, PEAKS = 2048, PART = 16, BIN = 2, BIN_FULL = BIN * BIN };

/* A frame in flight. Of a window's pixel NaN says that it is not there, infinity that it is no number. */
struct flight {
    int64_t frame;    /* -1: free */
    int64_t begun, used; /* when anything came of it first and last, in calls */
    int boxes;        /* 1: what came of it was smaller than the window both ways */
    float *window;    /* (h, w) */
    int64_t there;    /* pixels of the window */
    double *bin_sum;  /* (bins_y, bins_x) */
    int32_t *bin_px;  /* pixels of each, of which bin_ok are numbers */
    int32_t *bin_ok;
    int32_t full;     /* bins */
};

/* What a shift is counted from. */
struct origin {
    int64_t frame;      /* -1: none */
    double y_px, x_px;  /* its own shift against the first */
    double var_y, var_x;
    int ambiguous;
};

struct fly_drift {
    struct fly_drift_config config;
    size_t size;                     /* of a pixel */
    struct fly_rect window, wide;    /* wide: whole bins; of no size where the window is all there is */
    int32_t bins_y, bins_x;
    struct flight flights[IN_FLIGHT];
    uint64_t *measured, *given_up;   /* bits of frames: none is begun again */
    int64_t calls;
    int64_t begun, begun_lines;      /* when a frame began last, and one of more than boxes */
    int finished;
    struct fly_correlator *fine, *coarse; /* coarse: NULL without bins */
    float *binned;                   /* (bins_y, bins_x) */
    int coarse_referenced;           /* the reference's bins had something to see */
    struct origin origin;
    double last_y_px, last_x_px;     /* of the frame measured last, against the first */
    struct fly_peak peaks[PEAKS];    /* a lattice of 3 px has no more within the search */
    struct fly_drift_counts counts;
};

/* ---- geometry ------------------------------------------------------------------------------------------ */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int in_range(const struct fly_drift_config *config)
{
    return config->height_px >= FLY_DRIFT_SIDE_MIN && config->height_px <= FLY_SCAN_MAX_PX &&
           config->width_px >= FLY_DRIFT_SIDE_MIN && config->width_px <= FLY_SCAN_MAX_PX;
}

static struct fly_rect middle(const struct fly_drift_config *config, int32_t most)
{
    int32_t h = smaller(config->height_px, most), w = smaller(config->width_px, most);

    return (struct fly_rect){(config->height_px - h) / 2, (config->width_px - w) / 2, h, w};
}

static struct fly_rect window_of(const struct fly_drift_config *config)
{
    return middle(config, FLY_DRIFT_WINDOW_PX);
}

static struct fly_rect wide_of(const struct fly_drift_config *config)
{
    struct fly_rect wide = middle(config, FLY_DRIFT_WIDE_PX);

    if (larger(wide.h, wide.w) <= FLY_DRIFT_WINDOW_PX || smaller(wide.h, wide.w) < BIN * FLY_CORRELATE_SIDE_MIN)
        return (struct fly_rect){0};
    wide.h -= wide.h % BIN;
    wide.w -= wide.w % BIN;
    return wide;
}

size_t fly_drift_need(const struct fly_drift_config *config)
{
    struct fly_rect window, wide;
    size_t pixels, bins, need;

    if (!in_range(config))
        return SIZE_MAX;
    window = window_of(config);
    pixels = (size_t)window.h * (size_t)window.w;
    need = fly_size_add(fly_arena_need(1, sizeof(struct fly_drift)), fly_correlator_need(window.h, window.w));
    need = fly_size_add(need, IN_FLIGHT * fly_arena_need(pixels, sizeof(float)));
    need = fly_size_add(need, 2 * fly_arena_need(FRAME_WORDS, sizeof(uint64_t)));
    wide = wide_of(config);
    if (!wide.h)
        return need;
    bins = (size_t)(wide.h / BIN) * (size_t)(wide.w / BIN);
    need = fly_size_add(need, fly_correlator_need(wide.h / BIN, wide.w / BIN) + fly_arena_need(bins, sizeof(float)));
    return fly_size_add(need, IN_FLIGHT * (fly_arena_need(bins, sizeof(double)) +
                                           2 * fly_arena_need(bins, sizeof(int32_t))));
}

int fly_drift_open(struct fly_drift **out, const struct fly_drift_config *config, struct fly_arena *arena)
{
    struct fly_drift *d;
    size_t pixels, bins;
    int rc;

    if (!in_range(config))
        return fly_fail(FLY_ERANGE, "drift: scan of %d x %d px, sides of %d .. %d px are measured", config->height_px,
                        config->width_px, FLY_DRIFT_SIDE_MIN, FLY_SCAN_MAX_PX);
    if (arena->cap - arena->used < fly_drift_need(config))
        return fly_fail(FLY_ENOMEM, "drift: the reserve is too small");
    d = fly_arena_take(arena, 1, sizeof *d);
    memset(d, 0, sizeof *d);
    d->config = *config;
    d->size = fly_dtype_size(config->dtype);
    d->window = window_of(config);
    d->wide = wide_of(config);
    d->bins_y = d->wide.h / BIN;
    d->bins_x = d->wide.w / BIN;
    d->origin.frame = -1;
    pixels = (size_t)d->window.h * (size_t)d->window.w;
    bins = (size_t)d->bins_y * (size_t)d->bins_x;
    d->measured = fly_arena_take(arena, FRAME_WORDS, sizeof *d->measured);
    d->given_up = fly_arena_take(arena, FRAME_WORDS, sizeof *d->given_up);
    memset(d->measured, 0, FRAME_WORDS * sizeof *d->measured);
    memset(d->given_up, 0, FRAME_WORDS * sizeof *d->given_up);
    for (int32_t i = 0; i < IN_FLIGHT; i++) {
        struct flight *f = &d->flights[i];

        f->frame = -1;
        f->window = fly_arena_take(arena, pixels, sizeof *f->window);
        if (bins) {
            f->bin_sum = fly_arena_take(arena, bins, sizeof *f->bin_sum);
            f->bin_px = fly_arena_take(arena, bins, sizeof *f->bin_px);
            f->bin_ok = fly_arena_take(arena, bins, sizeof *f->bin_ok);
        }
    }
    rc = fly_correlator_open(&d->fine, d->window.h, d->window.w, arena);
    if (rc == FLY_OK && bins) {
        d->binned = fly_arena_take(arena, bins, sizeof *d->binned);
        rc = fly_correlator_open(&d->coarse, d->bins_y, d->bins_x, arena);
    }
    if (rc < 0) {
        fly_drift_close(&d);
        return rc;
    }
    *out = d;
    return FLY_OK;
}

void fly_drift_close(struct fly_drift **drift)
{
    if (!*drift)
        return;
    fly_correlator_close(&(*drift)->fine);
    fly_correlator_close(&(*drift)->coarse);
    *drift = NULL;
}

/* ---- frames in flight ---------------------------------------------------------------------------------- */

/* Its bit is set, and its place is free. */
static void close_flight(struct flight *f, uint64_t *bits)
{
    bits[f->frame >> 6] |= UINT64_C(1) << (f->frame & 63);
    f->frame = -1;
}

static int has_bit(const uint64_t *bits, int64_t frame)
{
    return (int)(bits[frame >> 6] >> (frame & 63) & 1);
}

int fly_drift_measured(const struct fly_drift *drift, int64_t frame)
{
    return frame >= 0 && frame < FLY_DRIFT_FRAMES_MAX && has_bit(drift->measured, frame);
}

static void begin(struct fly_drift *d, struct flight *f, int64_t frame)
{
    size_t pixels = (size_t)d->window.h * (size_t)d->window.w, bins = (size_t)d->bins_y * (size_t)d->bins_x;

    f->frame = frame;
    f->begun = d->begun = ++d->calls;
    f->boxes = 1;
    f->there = 0;
    f->full = 0;
    for (size_t i = 0; i < pixels; i++)
        f->window[i] = NAN;
    if (bins) {
        memset(f->bin_sum, 0, bins * sizeof *f->bin_sum);
        memset(f->bin_px, 0, bins * sizeof *f->bin_px);
        memset(f->bin_ok, 0, bins * sizeof *f->bin_ok);
    }
}

/* The place to begin a frame in: a free one, else that of boxes, else the one that nothing came of for longest. NULL: boxes
 * take no other's. */
static struct flight *place_for(struct fly_drift *d, int boxes)
{
    struct flight *best = &d->flights[0];

    for (int32_t i = 0; i < IN_FLIGHT; i++) {
        struct flight *f = &d->flights[i];

        if (f->frame < 0)
            return f;
        if (f->boxes > best->boxes || (f->boxes == best->boxes && f->used < best->used))
            best = f;
    }
    return boxes && !best->boxes ? NULL : best;
}

/* The frame's place, NULL when it is done with or has none. */
static struct flight *flight_of(struct fly_drift *d, int64_t frame, int boxes)
{
    struct flight *f;

    for (int32_t i = 0; i < IN_FLIGHT; i++)
        if (d->flights[i].frame == frame)
            return &d->flights[i];
    if (frame >= FLY_DRIFT_FRAMES_MAX || has_bit(d->measured, frame) || has_bit(d->given_up, frame))
        return NULL;
    f = place_for(d, boxes);
    if (!f)
        return NULL;
    if (f->frame >= 0) {
        close_flight(f, d->given_up);
        d->counts.given_up++;
    }
    begin(d, f, frame);
    return f;
}

static int is_ready(const struct fly_drift *d, const struct flight *f)
{
    if (f->frame < 0 || f->there < (int64_t)d->window.h * d->window.w)
        return 0;
    return f->full == d->bins_y * d->bins_x || d->finished ||
           f->begun < (f->boxes ? d->begun : d->begun_lines);
}

/* ---- pixels -------------------------------------------------------------------------------------------- */

#define IS_NUMBER_INT(v)   1
#define IS_NUMBER_FLOAT(v) ((v) - (v) == 0)

/* For each type: a row into the window, which counts what was not there, and a row into the bins, which counts the
 * bins that it fills up. Loops of the fixed length PART become vectors. */
#define ROWS(name, type, adder, is_number)                                                                    \
    static inline int32_t window_part_##name(float *to, const unsigned char *px, int32_t n)                  \
    {                                                                                                        \
        int32_t fresh = 0;                                                                                   \
                                                                                                             \
        for (int32_t i = 0; i < n; i++) {                                                                    \
            float v, old = to[i];                                                                            \
            type item;                                                                                       \
                                                                                                             \
            memcpy(&item, px + (size_t)i * sizeof item, sizeof item);                                        \
            v = is_number(item) ? (float)item : INFINITY;                                                    \
            to[i] = old != old ? v : old;                                                                    \
            fresh += old != old;                                                                             \
        }                                                                                                    \
        return fresh;                                                                                        \
    }                                                                                                        \
    static int32_t window_row_##name(float *to, const unsigned char *px, int32_t n)                          \
    {                                                                                                        \
        int32_t fresh = 0;                                                                                   \
                                                                                                             \
        for (; n >= PART; n -= PART, to += PART, px += PART * sizeof(type))                                  \
            fresh += window_part_##name(to, px, PART);                                                       \
        return fresh + window_part_##name(to, px, n);                                                        \
    }                                                                                                        \
    static int32_t bin_row_##name(struct flight *f, size_t first, int32_t x,                                 \
                                  const unsigned char *px, int32_t n)                                        \
    {                                                                                                        \
        int32_t filled = 0, room = BIN - x % BIN;                                                            \
                                                                                                             \
        for (size_t bin = first + (size_t)(x / BIN);  n > 0; bin++) {                                        \
            int32_t take = smaller(room, n), ok = 0, was = f->bin_px[bin];                                   \
            adder sum = 0;                                                                                   \
                                                                                                             \
            for (int32_t i = 0; i < take; i++) {                                                             \
                type item;                                                                                   \
                                                                                                             \
                memcpy(&item, px + (size_t)i * sizeof item, sizeof item);                                    \
                sum += is_number(item) ? (adder)item : 0;                                                    \
                ok += is_number(item);                                                                       \
            }                                                                                                \
            f->bin_sum[bin] += (double)sum;                                                                  \
            f->bin_ok[bin] += ok;                                                                            \
            f->bin_px[bin] = was + take;                                                                     \
            filled += was < BIN_FULL && was + take >= BIN_FULL;                                              \
            room = BIN;                                                                                      \
            n -= take;                                                                                       \
            px += (size_t)take * sizeof(type);                                                               \
        }                                                                                                    \
        return filled;                                                                                       \
    }

ROWS(u8, uint8_t, int64_t, IS_NUMBER_INT)
ROWS(u16, uint16_t, int64_t, IS_NUMBER_INT)
ROWS(u32, uint32_t, int64_t, IS_NUMBER_INT)
ROWS(i16, int16_t, int64_t, IS_NUMBER_INT)
ROWS(i32, int32_t, int64_t, IS_NUMBER_INT)
ROWS(f32, float, double, IS_NUMBER_FLOAT)
ROWS(f64, double, double, IS_NUMBER_FLOAT)

static const struct {
    int32_t (*window)(float *to, const unsigned char *px, int32_t n);
    int32_t (*bins)(struct flight *f, size_t first, int32_t x, const unsigned char *px, int32_t n);
} rows[FLY_DTYPES] = {
    [FLY_U8] = {window_row_u8, bin_row_u8},    [FLY_U16] = {window_row_u16, bin_row_u16},
    [FLY_U32] = {window_row_u32, bin_row_u32}, [FLY_I16] = {window_row_i16, bin_row_i16},
    [FLY_I32] = {window_row_i32, bin_row_i32}, [FLY_F32] = {window_row_f32, bin_row_f32},
    [FLY_F64] = {window_row_f64, bin_row_f64},
};

static void put_window(struct fly_drift *d, struct flight *f, struct fly_rect rect, const unsigned char *px)
{
    struct fly_rect w = d->window;
    int32_t y0 = larger(rect.y0, w.y0), y1 = smaller(rect.y0 + rect.h, w.y0 + w.h);
    int32_t x0 = larger(rect.x0, w.x0), x1 = smaller(rect.x0 + rect.w, w.x0 + w.w);

    if (x0 >= x1)
        return;
    for (int32_t y = y0; y < y1; y++)
        f->there += rows[d->config.dtype].window(
            f->window + (size_t)(y - w.y0) * (size_t)w.w + (size_t)(x0 - w.x0),
            px + ((size_t)(y - rect.y0) * (size_t)rect.w + (size_t)(x0 - rect.x0)) * d->size, x1 - x0);
}

static void put_bins(struct fly_drift *d, struct flight *f, struct fly_rect rect, const unsigned char *px)
{
    struct fly_rect w = d->wide;
    int32_t y0 = larger(rect.y0, w.y0), y1 = smaller(rect.y0 + rect.h, w.y0 + w.h);
    int32_t x0 = larger(rect.x0, w.x0), x1 = smaller(rect.x0 + rect.w, w.x0 + w.w);

    for (int32_t y = y0; y < y1; y++)
        f->full += rows[d->config.dtype].bins(
            f, (size_t)((y - w.y0) / BIN) * (size_t)d->bins_x, x0 - w.x0,
            px + ((size_t)(y - rect.y0) * (size_t)rect.w + (size_t)(x0 - rect.x0)) * d->size, x1 - x0);
}

void fly_drift_put(struct fly_drift *drift, int64_t frame, struct fly_rect rect, const void *pixels)
{
    int boxes = rect.h < drift->window.h && rect.w < drift->window.w;
    struct flight *f;

    FLY_ASSERT(frame >= 0 && rect.y0 >= 0 && rect.x0 >= 0 && rect.h > 0 && rect.w > 0 &&
               rect.y0 + rect.h <= drift->config.height_px && rect.x0 + rect.w <= drift->config.width_px);
    f = flight_of(drift, frame, boxes);
    if (!f)
        return;
    f->used = ++drift->calls;
    f->boxes &= boxes;
    if (!f->boxes && f->begun > drift->begun_lines)
        drift->begun_lines = f->begun;
    put_window(drift, f, rect, pixels);
    put_bins(drift, f, rect, pixels);
}

void fly_drift_finish(struct fly_drift *drift)
{
    drift->finished = 1;
}

int fly_drift_ready(const struct fly_drift *drift)
{
    for (int32_t i = 0; i < IN_FLIGHT; i++)
        if (is_ready(drift, &drift->flights[i]))
            return 1;
    return 0;
}

/* ---- one frame against the reference ------------------------------------------------------------------- */

static int look_coarse(struct fly_drift *d, const struct flight *f)
{
    int32_t n = d->bins_y * d->bins_x;

    if (!n)
        return 0;
    for (int32_t i = 0; i < n; i++)
        d->binned[i] = f->bin_px[i] >= BIN_FULL && f->bin_ok[i] ? (float)(f->bin_sum[i] / f->bin_ok[i]) : NAN;
    return fly_correlator_look(d->coarse, d->binned);
}

/* A correlator's movement is that of the content: the opposite of a shift. */
static double apart(double y_px, double x_px, const struct fly_peak *peak)
{
    return hypot(y_px + peak->y_px, x_px + peak->x_px);
}

/* Keeps the peaks that the whole frame's view allows. 0: it allows none. */
static int32_t allowed(struct fly_drift *d, int32_t n)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < n; i++)
        if (fly_correlator_lack(d->coarse, d->peaks[i].y_px / BIN, d->peaks[i].x_px / BIN) <= 1.0)
            d->peaks[kept++] = d->peaks[i];
    return kept;
}

/* Takes the peak nearest to where the last frame was, and tells its nearest rival; two closer than 2 px are one. */
static void choose(struct fly_drift *d, struct fly_correlator *by, double px, int32_t n,
                   struct fly_drift_shift *shift)
{
    double y0 = d->last_y_px - d->origin.y_px, x0 = d->last_x_px - d->origin.x_px, nearest = INFINITY;
    struct fly_peak *best = d->peaks;
    struct fly_moved moved;

    for (int32_t i = 1; i < n; i++)
        if (apart(y0 / px, x0 / px, &d->peaks[i]) < apart(y0 / px, x0 / px, best))
            best = &d->peaks[i];
    fly_correlator_refine(by, best, &moved);
    shift->dy_px = -moved.y_px * px;
    shift->dx_px = -moved.x_px * px;
    shift->sigma_dy_px = moved.sigma_y_px * px;
    shift->sigma_dx_px = moved.sigma_x_px * px;
    shift->correlation = moved.correlation;
    for (int32_t i = 0; i < n; i++) {
        double away = apart(-moved.y_px, -moved.x_px, &d->peaks[i]);

        if (&d->peaks[i] == best || away < 2.0 || away >= nearest)
            continue;
        nearest = away;
        shift->ambiguous = 1;
        shift->rival_dy_px = -d->peaks[i].y_px * px;
        shift->rival_dx_px = -d->peaks[i].x_px * px;
    }
}

/* The wide view is looked at where the window does not decide. */
static int compare_coarse(struct fly_drift *d, const struct flight *f)
{
    return d->coarse_referenced && look_coarse(d, f) && fly_correlator_compare(d->coarse);
}

/* Against the reference's place. 1: measured. */
static int compare(struct fly_drift *d, const struct flight *f, int seen, struct fly_drift_shift *shift)
{
    int32_t n = 0, kept;

    if (seen && fly_correlator_compare(d->fine))
        n = fly_correlator_peaks(d->fine, d->peaks, PEAKS);
    if (n == 1 || !compare_coarse(d, f)) {
        if (n)
            choose(d, d->fine, 1.0, n, shift);
        return n > 0;
    }
    kept = allowed(d, n);
    if (kept) {
        choose(d, d->fine, 1.0, kept, shift);
        return 1;
    }
    n = fly_correlator_peaks(d->coarse, d->peaks, PEAKS);
    choose(d, d->coarse, BIN, n, shift);
    return 1;
}

/* The frame, which the window was looked at last, becomes what the next are compared with. */
static void adopt(struct fly_drift *d, const struct flight *f, const struct fly_drift_shift *shift)
{
    fly_correlator_adopt(d->fine);
    d->coarse_referenced = look_coarse(d, f);
    if (d->coarse_referenced)
        fly_correlator_adopt(d->coarse);
    d->origin = (struct origin){.frame = shift->frame,
                                .y_px = shift->dy_px,
                                .x_px = shift->dx_px,
                                .var_y = shift->sigma_dy_px * shift->sigma_dy_px,
                                .var_x = shift->sigma_dx_px * shift->sigma_dx_px,
                                .ambiguous = shift->ambiguous};
}

/* From the reference's place to the first frame's. */
static void count_from_first(const struct fly_drift *d, struct fly_drift_shift *shift)
{
    const struct origin *o = &d->origin;

    shift->dy_px += o->y_px;
    shift->dx_px += o->x_px;
    shift->rival_dy_px += o->y_px;
    shift->rival_dx_px += o->x_px;
    shift->sigma_dy_px = sqrt(shift->sigma_dy_px * shift->sigma_dy_px + o->var_y);
    shift->sigma_dx_px = sqrt(shift->sigma_dx_px * shift->sigma_dx_px + o->var_x);
    shift->ambiguous |= o->ambiguous;
    shift->since_dy_px = shift->dy_px - d->last_y_px;
    shift->since_dx_px = shift->dx_px - d->last_x_px;
}

static int gone_far(const struct fly_drift *d, const struct fly_drift_shift *shift)
{
    return fabs(shift->dy_px - d->origin.y_px) > 0.125 * d->window.h ||
           fabs(shift->dx_px - d->origin.x_px) > 0.125 * d->window.w;
}

static void measure(struct fly_drift *d, const struct flight *f, struct fly_drift_shift *shift)
{
    int seen = fly_correlator_look(d->fine, f->window);

    *shift = (struct fly_drift_shift){.frame = f->frame,
                                      .reference = d->origin.frame,
                                      .rival_dy_px = NAN,
                                      .rival_dx_px = NAN};
    if (d->origin.frame < 0) {
        shift->measured = seen;
        shift->correlation = 1.0;
        shift->reference = seen ? f->frame : -1;
        if (seen)
            adopt(d, f, shift);
    } else {
        shift->measured = compare(d, f, seen, shift);
        count_from_first(d, shift);
        if (shift->measured && seen && gone_far(d, shift))
            adopt(d, f, shift);
    }
    if (shift->measured) {
        d->last_y_px = shift->dy_px;
        d->last_x_px = shift->dx_px;
        return;
    }
    shift->dy_px = shift->dx_px = shift->since_dy_px = shift->since_dx_px = NAN;
    shift->sigma_dy_px = shift->sigma_dx_px = shift->correlation = NAN;
    shift->ambiguous = 0;
}

int fly_drift_step(struct fly_drift *drift, struct fly_drift_shift *shift)
{
    struct flight *lowest = NULL;

    for (int32_t i = 0; i < IN_FLIGHT; i++)
        if (is_ready(drift, &drift->flights[i]) && (!lowest || drift->flights[i].frame < lowest->frame))
            lowest = &drift->flights[i];
    if (!lowest)
        return FLY_EAGAIN;
    measure(drift, lowest, shift);
    if (shift->measured)
        drift->counts.measured++;
    else
        drift->counts.unmeasurable++;
    close_flight(lowest, drift->measured);
    return FLY_OK;
}

int fly_drift_has(const struct fly_drift *drift, int64_t frame)
{
    if (frame >= FLY_DRIFT_FRAMES_MAX || has_bit(drift->measured, frame) || has_bit(drift->given_up, frame))
        return 1;
    for (int32_t i = 0; i < IN_FLIGHT; i++)
        if (drift->flights[i].frame == frame)
            return drift->flights[i].there == (int64_t)drift->window.h * drift->window.w;
    return 0;
}

void fly_drift_take(struct fly_drift *drift, const struct fly_drift_shift *shift)
{
    FLY_ASSERT(!fly_drift_has(drift, shift->frame));
    for (int32_t i = 0; i < IN_FLIGHT; i++)
        if (drift->flights[i].frame == shift->frame)
            drift->flights[i].frame = -1;
    drift->measured[shift->frame >> 6] |= UINT64_C(1) << (shift->frame & 63);
    if (!shift->measured) {
        drift->counts.unmeasurable++;
        return;
    }
    drift->counts.measured++;
    drift->last_y_px = shift->dy_px;
    drift->last_x_px = shift->dx_px;
}

struct fly_drift_counts fly_drift_counts(const struct fly_drift *drift)
{
    return drift->counts;
}
