#include <stdlib.h>
#include <string.h>

#include "sim/stack_state.h"
#include "stream/disk.h"
#include "stream/recording.h"

enum { DENSE = 0, CSR = 1 };

/* Zeroed, and counted. */
static void *reserve(struct fly_stack *s, size_t bytes)
{
    void *at = NULL;

    if (bytes <= s->bytes_max - s->facts.bytes)
        at = calloc(1, bytes + !bytes);
    if (at)
        s->facts.bytes += bytes;
    return at;
}

static int no_memory(const struct fly_stack *s)
{
    return fly_fail(FLY_ENOMEM, "the recorded specimen needs more than %zu MiB: %d x %d px, %d frames and more; "
                    "--from-mib allows more", s->bytes_max >> 20, s->start.height_px, s->start.width_px, s->n_frames);
}

/* The frame of that number, made when it is new. */
static struct fly_stack_frame *frame_of(struct fly_stack *s, int64_t number)
{
    int32_t at = s->n_frames;

    while (at > 0 && s->frames[at - 1].number >= number)
        at--;
    if (at < s->n_frames && s->frames[at].number == number)
        return &s->frames[at];
    if (s->n_frames == s->frames_cap) {
        int32_t cap = s->frames_cap ? 2 * s->frames_cap : 16;
        struct fly_stack_frame *more = realloc(s->frames, (size_t)cap * sizeof *more);

        if (!more)
            return NULL;
        s->frames = more;
        s->frames_cap = cap;
    }
    memmove(s->frames + at + 1, s->frames + at, (size_t)(s->n_frames - at) * sizeof *s->frames);
    s->frames[at] = (struct fly_stack_frame){.number = number};
    s->n_frames++;
    s->frames[at].cover = reserve(s, fly_stack_pixels(s) * sizeof *s->frames[at].cover);
    return s->frames[at].cover ? &s->frames[at] : NULL;
}

/* Where pixel i of a message lies, and 1 when this stream sees it for the first time in this pass. */
static int take_pixel(const struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg, size_t i, int fill,
                      size_t *at)
{
    uint32_t bit = 1u << (msg->stream_idx - 1 + (fill ? FLY_STACK_STREAMS_MAX : 0));

    *at = ((size_t)msg->y0 + i / (size_t)msg->w) * (size_t)s->start.width_px + (size_t)msg->x0 + i % (size_t)msg->w;
    if (frame->cover[*at] & bit)
        return 0;
    frame->cover[*at] |= bit;
    return 1;
}

static int take_lines(struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg)
{
    int32_t detector = msg->stream_idx - 1;
    size_t size = fly_dtype_size(msg->dtype), at;

    if (!frame->image[detector])
        frame->image[detector] = reserve(s, fly_stack_pixels(s) * size);
    if (!frame->image[detector])
        return no_memory(s);
    for (size_t i = 0; i < (size_t)msg->h * (size_t)msg->w; i++)
        if (take_pixel(s, frame, msg, i, 0, &at))
            memcpy(frame->image[detector] + at * size, (const unsigned char *)msg->payload[0].bytes + i * size, size);
    return FLY_OK;
}

static uint32_t u32_at(const void *bytes, size_t i)
{
    uint32_t value;

    memcpy(&value, (const unsigned char *)bytes + 4 * i, 4);
    return value;
}

static uint16_t u16_at(const void *bytes, size_t i)
{
    uint16_t value;

    memcpy(&value, (const unsigned char *)bytes + 2 * i, 2);
    return value;
}

/* One photon of a pixel: counted, or put behind those before it. */
static void take_photon(struct fly_stack_frame *frame, int32_t segment, size_t at, uint16_t channel, int fill)
{
    uint32_t *end = &frame->row_ptr[segment][at + 1];

    if (fill)
        frame->channel[segment][*end] = channel;
    ++*end;
}

static uint32_t count_at(const struct fly_ingest *msg, size_t i)
{
    if (msg->dtype == FLY_U8)
        return ((const unsigned char *)msg->payload[0].bytes)[i];
    return msg->dtype == FLY_U16 ? u16_at(msg->payload[0].bytes, i) : u32_at(msg->payload[0].bytes, i);
}

static void take_dense(const struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg, int32_t segment,
                       int fill)
{
    size_t channels = (size_t)s->start.segments[segment].n_channels, at;

    for (size_t i = 0; i < (size_t)msg->h * (size_t)msg->w; i++)
        if (take_pixel(s, frame, msg, i, fill, &at))
            for (size_t c = 0; c < channels; c++)
                for (uint32_t n = count_at(msg, i * channels + c); n > 0; n--)
                    take_photon(frame, segment, at, (uint16_t)c, fill);
}

static void take_csr(const struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg, int32_t segment,
                     int fill)
{
    size_t at;

    for (size_t i = 0; i < (size_t)msg->h * (size_t)msg->w; i++)
        if (take_pixel(s, frame, msg, i, fill, &at))
            for (uint32_t k = u32_at(msg->payload[0].bytes, i); k < u32_at(msg->payload[0].bytes, i + 1); k++)
                take_photon(frame, segment, at, u16_at(msg->payload[1].bytes, k), fill);
}

/* Pixels come in any order; which of them are new is looked up before the first photon is taken. */
static int take_pairs(const struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg, int32_t segment,
                      int fill)
{
    size_t pixels = (size_t)msg->h * (size_t)msg->w, *at = malloc(pixels * sizeof *at);

    if (!at)
        return no_memory(s);
    for (size_t i = 0; i < pixels; i++)
        if (!take_pixel(s, frame, msg, i, fill, &at[i]))
            at[i] = SIZE_MAX;
    for (size_t k = 0; k < (size_t)msg->photons; k++) {
        size_t pixel = at[u32_at(msg->payload[0].bytes, k)];

        if (pixel != SIZE_MAX)
            take_photon(frame, segment, pixel, u16_at(msg->payload[1].bytes, k), fill);
    }
    free(at);
    return FLY_OK;
}

static int take_eds(struct fly_stack *s, struct fly_stack_frame *frame, const struct fly_ingest *msg, int fill)
{
    int32_t segment = msg->stream_idx - 1 - s->start.n_detectors;

    if (!frame->row_ptr[segment])
        frame->row_ptr[segment] = reserve(s, (fly_stack_pixels(s) + 1) * sizeof *frame->row_ptr[segment]);
    if (!frame->row_ptr[segment])
        return no_memory(s);
    if (msg->layout == DENSE)
        take_dense(s, frame, msg, segment, fill);
    else if (msg->layout == CSR)
        take_csr(s, frame, msg, segment, fill);
    else
        return take_pairs(s, frame, msg, segment, fill);
    return FLY_OK;
}

static double dwell_of(const struct fly_ingest *msg)
{
    return msg->dwell_ns > 1 ? (double)msg->dwell_ns * 1e-3 : 1.0;
}

static int take_message(struct fly_stack *s, const struct fly_ingest *msg, int fill)
{
    struct fly_stack_frame *frame;

    if (msg->type != FLY_INGEST_LINES && msg->type != FLY_INGEST_EDS)
        return FLY_OK;
    if (s->facts.dwell_us == 0.0)
        s->facts.dwell_us = dwell_of(msg);
    if (dwell_of(msg) != s->facts.dwell_us) {
        s->facts.left_out += !fill;
        return FLY_OK;
    }
    frame = frame_of(s, msg->frame);
    if (!frame)
        return no_memory(s);
    if (msg->type == FLY_INGEST_EDS)
        return take_eds(s, frame, msg, fill);
    return fill ? FLY_OK : take_lines(s, frame, msg);
}

static int take_start(struct fly_stack *s, const struct fly_record *record)
{
    const struct fly_session_view none = {NULL, NULL, 0, NULL};
    struct fly_ingest msg;

    if (fly_ingest_decode(&msg, &s->start, record->parts, record->n_parts, &none) != FLY_REFUSE_NONE ||
        msg.type != FLY_INGEST_START)
        return FLY_OK;
    if (s->start.n_detectors + s->start.n_segments > FLY_STACK_STREAMS_MAX)
        return fly_fail(FLY_ERANGE, "a recorded specimen of %d detectors and segments, at most %d are taken",
                        s->start.n_detectors + s->start.n_segments, FLY_STACK_STREAMS_MAX);
    s->start_len = record->parts[0].len;
    s->start_header = malloc(s->start_len);
    if (!s->start_header)
        return no_memory(s);
    memcpy(s->start_header, record->parts[0].bytes, s->start_len);
    strcpy(s->recorded, msg.session);
    return FLY_OK;
}

static int take_record(struct fly_stack *s, const struct fly_record *record, int fill)
{
    const struct fly_session_view view = {s->recorded, &s->start, 0, NULL};
    struct fly_start again;
    struct fly_ingest msg;

    if (!s->start_header)
        return take_start(s, record);
    if (fly_ingest_decode(&msg, &again, record->parts, record->n_parts, &view) == FLY_REFUSE_NONE)
        return take_message(s, &msg, fill);
    s->facts.left_out += !fill;
    return FLY_OK;
}

/* One pass over the file: count, or fill what was counted. Damage within it is passed over, as a restart does. */
static int read_all(struct fly_stack *s, struct fly_recording *recording, int fill)
{
    struct fly_record record;
    uint64_t seen = 0;
    int rc = FLY_OK;

    while ((rc == FLY_OK || rc == FLY_EWIRE) && !(fill && seen == s->records)) {
        rc = fly_recording_next(recording, &record);
        if (rc != FLY_OK || record.kind != FLY_REC_INGEST)
            continue;
        seen++;
        rc = take_record(s, &record, fill);
    }
    s->records = seen;
    return rc == FLY_EAGAIN || rc == FLY_EWIRE ? FLY_OK : rc;
}

/* Counts become places: row_ptr[p + 1] is where pixel p begins, and where it ends once it was filled. */
static int lay_out(struct fly_stack *s)
{
    size_t pixels = fly_stack_pixels(s);

    for (int32_t f = 0; f < s->n_frames; f++)
        for (int32_t e = 0; e < s->start.n_segments; e++) {
            uint32_t *row_ptr = s->frames[f].row_ptr[e];
            uint64_t sum = 0;

            for (size_t p = 0; row_ptr && p < pixels; p++) {
                uint32_t count = row_ptr[p + 1];

                row_ptr[p + 1] = (uint32_t)sum;
                sum += count;
            }
            if (sum > UINT32_MAX)
                return fly_fail(FLY_ERANGE, "frame %lld has %llu photons, at most %u are taken",
                                (long long)s->frames[f].number, (unsigned long long)sum, UINT32_MAX);
            s->facts.photons += sum;
            if (row_ptr)
                s->frames[f].channel[e] = reserve(s, sum * sizeof *s->frames[f].channel[e]);
            if (row_ptr && !s->frames[f].channel[e])
                return no_memory(s);
        }
    return FLY_OK;
}

static int sum_up(struct fly_stack *s)
{
    size_t pixels = fly_stack_pixels(s);
    size_t patch = (size_t)FLY_STACK_PATCH_LINES * (size_t)s->start.width_px;

    for (int32_t f = 0; f < s->n_frames; f++)
        for (size_t p = 0; p < pixels; p++)
            s->all |= s->frames[f].cover[p] & ((1u << FLY_STACK_STREAMS_MAX) - 1);
    if (s->all == 0)
        return fly_fail(FLY_EWIRE, "a recorded specimen without data");
    for (int32_t f = 0; f < s->n_frames; f++)
        for (size_t p = 0; p < pixels; p++)
            s->facts.pixels += fly_stack_has(s, f, p);
    s->facts.height_px = s->start.height_px;
    s->facts.width_px = s->start.width_px;
    s->facts.frames = s->n_frames;
    s->next = reserve(s, pixels * sizeof *s->next);
    s->pixels = reserve(s, patch * sizeof(double));
    return s->next && s->pixels ? FLY_OK : no_memory(s);
}

int fly_stack_read(struct fly_stack *s, const char *path)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_recording *recording = NULL;
    int rc = fly_recording_open(&recording, path, &disk);

    if (rc == FLY_OK)
        rc = read_all(s, recording, 0);
    if (rc == FLY_OK && !s->start_header)
        rc = fly_fail(FLY_EWIRE, "%s: a recording without a start", path);
    if (rc == FLY_OK && s->n_frames > UINT16_MAX)
        rc = fly_fail(FLY_ERANGE, "%s: %d frames, at most %d are taken", path, s->n_frames, UINT16_MAX);
    if (rc == FLY_OK)
        rc = lay_out(s);
    if (rc == FLY_OK) {
        fly_recording_rewind(recording);
        rc = read_all(s, recording, 1);
    }
    if (rc == FLY_OK)
        rc = sum_up(s);
    fly_recording_close(&recording);
    return rc;
}
