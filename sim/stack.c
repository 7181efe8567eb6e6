#include "sim/stack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/dose.h"
#include "sim/stack_state.h"
#include "sim/tool.h"

static void name_streams(struct fly_stack *s, const char *session)
{
    strcpy(s->head.session, session);
    strcpy(s->head.names[s->head.n_streams++], "control");
    for (int32_t i = 0; i < s->start.n_detectors; i++)
        strcpy(s->head.names[s->head.n_streams++], s->start.detectors[i].name);
    for (int32_t i = 0; i < s->start.n_segments; i++)
        strcpy(s->head.names[s->head.n_streams++], s->start.segments[i].name);
}

int fly_stack_open(struct fly_stack **out, const char *path, const char *session, size_t bytes_max)
{
    struct fly_stack *s = calloc(1, sizeof *s);
    int rc = fly_tool_session_check(session);

    if (!s)
        return fly_fail(FLY_ENOMEM, "%s: no memory for it as a specimen", path);
    s->bytes_max = bytes_max;
    if (rc == FLY_OK)
        rc = fly_stack_read(s, path);
    if (rc < 0) {
        fly_stack_close(&s);
        return rc;
    }
    name_streams(s, session);
    *out = s;
    return FLY_OK;
}

void fly_stack_close(struct fly_stack **stack)
{
    struct fly_stack *s = *stack;

    if (!s)
        return;
    for (int32_t f = 0; f < s->n_frames; f++) {
        free(s->frames[f].cover);
        for (int i = 0; i < FLY_DETECTORS_MAX; i++)
            free(s->frames[f].image[i]);
        for (int i = 0; i < FLY_SEGMENTS_MAX; i++) {
            free(s->frames[f].row_ptr[i]);
            free(s->frames[f].channel[i]);
        }
    }
    free(s->frames);
    free(s->start_header);
    free(s->next);
    free(s->pixels);
    free(s->pixel_of);
    free(s->channel);
    free(s);
    *stack = NULL;
}

void fly_stack_facts(const struct fly_stack *stack, struct fly_stack_facts *facts)
{
    *facts = stack->facts;
}

/* ---- buying --------------------------------------------------------------------------------------- */

/* The next frame from `from` on that the pixel owns, or n_frames. */
static int32_t next_of(const struct fly_stack *s, size_t pixel, int32_t from)
{
    while (from < s->n_frames && !fly_stack_has(s, from, pixel))
        from++;
    return from;
}

static int32_t left_of(const struct fly_stack *s, size_t pixel)
{
    int32_t left = 0;

    for (int32_t f = next_of(s, pixel, s->next[pixel]); f < s->n_frames; f = next_of(s, pixel, f + 1))
        left++;
    return left;
}

int32_t fly_stack_left(const struct fly_stack *stack, int32_t y_px, int32_t x_px)
{
    return left_of(stack, (size_t)y_px * (size_t)stack->start.width_px + (size_t)x_px);
}

/* Recorded frames that a dwell is worth. */
static int32_t frames_for(const struct fly_stack *s, double dwell_us)
{
    double frames = nearbyint(dwell_us / s->facts.dwell_us);

    return frames < 1.0 ? 1 : frames > UINT16_MAX ? UINT16_MAX : (int32_t)frames;
}

static size_t place_of(const struct fly_stack *s, const struct fly_patch *patch, int32_t i)
{
    return (size_t)(patch->y0_px + i / patch->w) * (size_t)s->start.width_px + (size_t)(patch->x0_px + i % patch->w);
}

static int table_ready(void *ctx, const struct fly_patch *patch)
{
    struct fly_stack *s = ctx;
    int32_t frames = frames_for(s, patch->dwell_us);

    for (int32_t i = 0; i < patch->h * patch->w; i++) {
        int32_t left = left_of(s, place_of(s, patch, i));

        if (left < frames)
            return fly_fail(FLY_ERANGE, "no frames left: pixel [%d, %d] has %d, %d are wanted",
                            patch->y0_px + i / patch->w, patch->x0_px + i % patch->w, left, frames);
    }
    return FLY_OK;
}

static double table_dwell_us(void *ctx, double asked_us)
{
    struct fly_stack *s = ctx;

    return frames_for(s, asked_us) * s->facts.dwell_us;
}

static void table_done(void *ctx, const struct fly_patch *patch)
{
    struct fly_stack *s = ctx;
    int32_t frames = frames_for(s, patch->dwell_us);

    for (int32_t i = 0; i < patch->h * patch->w; i++) {
        size_t pixel = place_of(s, patch, i);

        for (int32_t n = 0; n < frames && s->next[pixel] < s->n_frames; n++)
            s->next[pixel] = (uint16_t)(next_of(s, pixel, s->next[pixel]) + 1);
    }
}

static void put_value(unsigned char *at, enum fly_dtype dtype, double value)
{
    double whole = nearbyint(value);
    uint16_t u16 = dtype == FLY_U16 ? (uint16_t)whole : 0;
    uint32_t u32 = dtype == FLY_U32 ? (uint32_t)whole : 0;
    int16_t i16 = dtype == FLY_I16 ? (int16_t)whole : 0;
    int32_t i32 = dtype == FLY_I32 ? (int32_t)whole : 0;
    float f32 = (float)value;

    switch (dtype) {
    case FLY_U8:
        *at = (unsigned char)whole;
        return;
    case FLY_U16:
        memcpy(at, &u16, sizeof u16);
        return;
    case FLY_U32:
        memcpy(at, &u32, sizeof u32);
        return;
    case FLY_I16:
        memcpy(at, &i16, sizeof i16);
        return;
    case FLY_I32:
        memcpy(at, &i32, sizeof i32);
        return;
    case FLY_F32:
        memcpy(at, &f32, sizeof f32);
        return;
    default:
        memcpy(at, &value, sizeof value);
    }
}

static int measure_lines(struct fly_stack *s, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                         struct fly_message *message)
{
    enum fly_dtype dtype = s->start.detectors[stream - 1].dtype;
    size_t size = fly_dtype_size(dtype), pixels = (size_t)patch->h * (size_t)patch->w;
    int32_t frames = frames_for(s, patch->dwell_us);
    struct fly_pack pack;

    for (int32_t i = 0; i < patch->h * patch->w; i++) {
        size_t pixel = place_of(s, patch, i);
        int32_t f = next_of(s, pixel, s->next[pixel]);
        double sum = 0.0;

        if (frames == 1) { /* to the bit, non-numbers included */
            memcpy(s->pixels + (size_t)i * size, s->frames[f].image[stream - 1] + pixel * size, size);
            continue;
        }
        for (int32_t n = 0; n < frames; n++, f = next_of(s, pixel, f + 1))
            sum += fly_dtype_value(dtype, s->frames[f].image[stream - 1], pixel);
        put_value(s->pixels + (size_t)i * size, dtype, sum / frames);
    }
    fly_head_begin(&s->head, &pack, "lines", stream, t_ns, fly_head_place_keys(patch) + 1, message);
    fly_head_place(&pack, patch);
    fly_put_str(&pack, "dtype", fly_dtype_name(dtype));
    message->parts[1] = (struct fly_part){s->pixels, pixels * size};
    message->n_parts = 2;
    return fly_head_end(&s->head, &pack, message);
}

/* Room for the photons of a patch; it grows with the largest. */
static int fit_photons(struct fly_stack *s, size_t photons)
{
    uint32_t *pixel_of;
    uint16_t *channel;

    if (photons <= s->photon_cap)
        return FLY_OK;
    pixel_of = realloc(s->pixel_of, photons * sizeof *pixel_of);
    if (pixel_of)
        s->pixel_of = pixel_of;
    channel = realloc(s->channel, photons * sizeof *channel);
    if (channel)
        s->channel = channel;
    if (!pixel_of || !channel)
        return fly_fail(FLY_ENOMEM, "no memory for %zu photons of a patch", photons);
    s->photon_cap = photons;
    return FLY_OK;
}

/* Photons of the patch in order of its pixels; copied where there is room, and counted. */
static size_t gather(struct fly_stack *s, const struct fly_patch *patch, int32_t segment, int copy)
{
    int32_t frames = frames_for(s, patch->dwell_us);
    size_t sum = 0;

    for (int32_t i = 0; i < patch->h * patch->w; i++) {
        size_t pixel = place_of(s, patch, i);
        int32_t f = next_of(s, pixel, s->next[pixel]);

        for (int32_t n = 0; n < frames; n++, f = next_of(s, pixel, f + 1)) {
            const uint32_t *row_ptr = s->frames[f].row_ptr[segment];

            for (uint32_t k = row_ptr ? row_ptr[pixel] : 0; row_ptr && k < row_ptr[pixel + 1]; k++, sum++)
                if (copy) {
                    s->pixel_of[sum] = (uint32_t)i;
                    s->channel[sum] = s->frames[f].channel[segment][k];
                }
        }
    }
    return sum;
}

static int measure_eds(struct fly_stack *s, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                       struct fly_message *message)
{
    int32_t segment = stream - 1 - s->start.n_detectors;
    size_t photons = gather(s, patch, segment, 0);
    struct fly_pack pack;
    int rc = fit_photons(s, photons);

    if (rc < 0)
        return rc;
    (void)gather(s, patch, segment, 1);
    fly_head_begin(&s->head, &pack, "eds", stream, t_ns, fly_head_place_keys(patch) + 1, message);
    fly_head_place(&pack, patch);
    fly_put_str(&pack, "layout", "pairs");
    message->parts[1] = (struct fly_part){s->pixel_of, photons * sizeof *s->pixel_of};
    message->parts[2] = (struct fly_part){s->channel, photons * sizeof *s->channel};
    message->n_parts = 3;
    s->photons_sent += photons;
    return fly_head_end(&s->head, &pack, message);
}

static int table_measure(void *ctx, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                         struct fly_message *message)
{
    struct fly_stack *s = ctx;

    FLY_ASSERT(patch->h * patch->w <= FLY_STACK_PATCH_LINES * s->start.width_px);
    if (!(s->all >> (stream - 1) & 1)) { /* declared, but never measured */
        *message = (struct fly_message){.stream = stream};
        return FLY_OK;
    }
    return stream <= s->start.n_detectors ? measure_lines(s, patch, stream, t_ns, message)
                                          : measure_eds(s, patch, stream, t_ns, message);
}

/* ---- the table ------------------------------------------------------------------------------------ */

static const char *table_stream(const void *ctx, int32_t stream)
{
    return ((const struct fly_stack *)ctx)->head.names[stream];
}

static uint64_t table_count(const void *ctx, int32_t stream)
{
    return ((const struct fly_stack *)ctx)->head.seq[stream];
}

static uint64_t table_photons(const void *ctx)
{
    return ((const struct fly_stack *)ctx)->photons_sent;
}

/* 1 for a key of the recorded start that stands as it was. */
static int stays(struct fly_value key)
{
    static const char *const ours[] = {"type", "session", "stream", "seq", "t_ns", "frames_planned", "scan_path"};
    const char *text = "";
    size_t len = 0;

    (void)fly_value_str(key, &text, &len);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strlen(ours[i]) == len && memcmp(ours[i], text, len) == 0)
            return 0;
    return 1;
}

static void table_start(void *ctx, int64_t t_ns, struct fly_message *message)
{
    struct fly_stack *s = ctx;
    struct fly_value start = fly_value_root(s->start_header, s->start_len), key, value;
    struct fly_value_iter it = {0};
    struct fly_pack pack;
    uint32_t more = 1;
    const void *bytes;
    size_t len;
    int rc;

    while (fly_value_next(start, &it, &key, &value))
        more += (uint32_t)stays(key);
    fly_head_begin(&s->head, &pack, "start", 0, t_ns, more, message);
    fly_put_str(&pack, "scan_path", "list");
    it = (struct fly_value_iter){0};
    while (fly_value_next(start, &it, &key, &value)) {
        if (!stays(key))
            continue;
        len = fly_value_bytes(key, &bytes);
        fly_pack_raw(&pack, bytes, len);
        len = fly_value_bytes(value, &bytes);
        fly_pack_raw(&pack, bytes, len);
    }
    rc = fly_head_end(&s->head, &pack, message);
    FLY_ASSERT(rc == FLY_OK); /* the recorded one fitted, with an id of its own */
}

static void table_heartbeat(void *ctx, int64_t t_ns, int64_t backlog, struct fly_message *message)
{
    fly_head_heartbeat(&((struct fly_stack *)ctx)->head, t_ns, backlog, message);
}

static void table_stop(void *ctx, int64_t t_ns, const char *exit_status, const char *reason,
                       struct fly_message *message)
{
    fly_head_stop(&((struct fly_stack *)ctx)->head, t_ns, exit_status, reason, message);
}

static void table_take_back(void *ctx, const struct fly_message *message)
{
    fly_head_take_back(&((struct fly_stack *)ctx)->head, message);
}

struct fly_instrument fly_stack_instrument(struct fly_stack *s)
{
    return (struct fly_instrument){
        .ctx = s,
        .n_streams = s->head.n_streams,
        .n_images = s->start.n_detectors,
        .field = {s->start.height_px, s->start.width_px, {s->start.pixel_nm[0], s->start.pixel_nm[1]}},
        .pixel_time_us = s->facts.dwell_us,
        .dwell_max_us = s->facts.dwell_us * UINT16_MAX,
        .e_per_A2_per_us = fly_dose_factor(s->start.beam_current_na, s->start.pixel_nm),
        .patch_px = (int64_t)FLY_STACK_PATCH_LINES * s->start.width_px,
        .stream = table_stream,
        .count = table_count,
        .photons = table_photons,
        .start = table_start,
        .heartbeat = table_heartbeat,
        .stop = table_stop,
        .ready = table_ready,
        .dwell_us = table_dwell_us,
        .measure = table_measure,
        .done = table_done,
        .take_back = table_take_back,
    };
}
