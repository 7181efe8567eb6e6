/* tests/fuzz/fuzz_wire.c: any bytes as an ingest message.
 *
 * Input    1 byte of choices, 2 bytes length of the header (little-endian), the header, 2 bytes length of
 *          payload 0, payload 0; what is left is payload 1. Choices: bit 0 no session is open, bit 1 its
 *          stop has come, bits 2-3 payloads (0 .. 3).
 * Holds    what the scan accepts, msgpack-c unpacks to its last byte, and both see the same values;
 *          decode reads and writes nothing but its own; what it accepts lies within the session; the
 *          same header packed anew is accepted with the same meaning.
 */
#include <math.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stream/sequence.h"
#include "stream/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- two readers see the same --------------------------------------------------------------------- */

static void same_text(msgpack_object_str str, struct fly_value value)
{
    const char *text = NULL;
    size_t len = 0;

    FLY_ASSERT(fly_value_str(value, &text, &len));
    FLY_ASSERT(len == str.size && memcmp(text, str.ptr, len) == 0);
}

static void same(const msgpack_object *object, struct fly_value value)
{
    struct fly_value_iter it = {0};
    struct fly_value key, member;
    enum fly_kind kind = fly_value_kind(value);
    uint64_t u;
    int64_t i;
    double d;
    int truth;

    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        FLY_ASSERT(kind == FLY_KIND_NIL);
        return;
    case MSGPACK_OBJECT_BOOLEAN:
        FLY_ASSERT(fly_value_bool(value, &truth) && truth == object->via.boolean);
        return;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        FLY_ASSERT(fly_value_uint(value, &u) && u == object->via.u64);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        FLY_ASSERT(fly_value_int(value, &i) && i == object->via.i64);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        FLY_ASSERT(kind == FLY_KIND_FLOAT && fly_value_f64(value, &d) && d == object->via.f64);
        return;
    case MSGPACK_OBJECT_STR:
        same_text(object->via.str, value);
        return;
    case MSGPACK_OBJECT_ARRAY:
        FLY_ASSERT(kind == FLY_KIND_ARRAY && fly_value_count(value) == object->via.array.size);
        for (uint32_t n = 0; fly_value_next(value, &it, NULL, &member); n++)
            same(&object->via.array.ptr[n], member);
        return;
    case MSGPACK_OBJECT_MAP:
        FLY_ASSERT(kind == FLY_KIND_MAP && fly_value_count(value) == object->via.map.size);
        for (uint32_t n = 0; fly_value_next(value, &it, &key, &member); n++) {
            same_text(object->via.map.ptr[n].key.via.str, key);
            same(&object->via.map.ptr[n].val, member);
        }
        return;
    default:
        FLY_ASSERT(!"a kind that the scan should have refused");
    }
}

static void check_against_msgpack(const struct fly_part *header)
{
    msgpack_unpacked unpacked;
    size_t off = 0;

    msgpack_unpacked_init(&unpacked);
    FLY_ASSERT(msgpack_unpack_next(&unpacked, header->bytes, header->len, &off) ==
               MSGPACK_UNPACK_SUCCESS);
    FLY_ASSERT(off == header->len);
    same(&unpacked.data, fly_value_root(header->bytes, header->len));
    msgpack_unpacked_destroy(&unpacked);
}

/* ---- packed anew ------------------------------------------------------------------------------------ */

static void pack_again(struct fly_pack *pack, struct fly_value value)
{
    struct fly_value_iter it = {0};
    struct fly_value key, member;
    const char *text = NULL;
    size_t len = 0;
    uint64_t u;
    int64_t i = 0;
    double d = 0;
    int truth = 0;

    switch (fly_value_kind(value)) {
    case FLY_KIND_NIL:
        fly_pack_nil(pack);
        return;
    case FLY_KIND_BOOL:
        (void)fly_value_bool(value, &truth);
        fly_pack_bool(pack, truth);
        return;
    case FLY_KIND_INT:
        if (fly_value_uint(value, &u)) {
            fly_pack_uint(pack, u);
        } else {
            (void)fly_value_int(value, &i);
            fly_pack_int(pack, i);
        }
        return;
    case FLY_KIND_FLOAT:
        (void)fly_value_f64(value, &d);
        fly_pack_f64(pack, d);
        return;
    case FLY_KIND_STR:
        (void)fly_value_str(value, &text, &len);
        fly_pack_strn(pack, text, len);
        return;
    case FLY_KIND_ARRAY:
        fly_pack_array(pack, fly_value_count(value));
        while (fly_value_next(value, &it, NULL, &member))
            pack_again(pack, member);
        return;
    case FLY_KIND_MAP:
        fly_pack_map(pack, fly_value_count(value));
        while (fly_value_next(value, &it, &key, &member)) {
            pack_again(pack, key);
            pack_again(pack, member);
        }
        return;
    }
}

/* ---- a session to come to -------------------------------------------------------------------------- */

static struct fly_start declared(void)
{
    struct fly_start start = {.height_px = 32, .width_px = 64, .n_detectors = 2, .n_segments = 1,
                              .frames_planned = 2, .pixel_time_us = 2.0};

    memcpy(start.detectors[0].name, "haadf", 6);
    start.detectors[0].dtype = FLY_U16;
    memcpy(start.detectors[1].name, "bf", 3);
    start.detectors[1].dtype = FLY_F32;
    memcpy(start.segments[0].name, "sdd", 4);
    start.segments[0].n_channels = 16;
    start.segments[0].ev_per_channel = 10;
    return start;
}

static void check_within(const struct fly_ingest *msg, const struct fly_session_view *open)
{
    uint64_t pixels = (uint64_t)msg->h * (uint64_t)msg->w;

    FLY_ASSERT(msg->session[0] && msg->seq > 0);
    FLY_ASSERT(msg->stream_idx >= 0 && msg->stream_idx < FLY_STREAMS_MAX);
    if (msg->type != FLY_INGEST_LINES && msg->type != FLY_INGEST_EDS)
        return;
    FLY_ASSERT(open->session && msg->y0 >= 0 && msg->x0 >= 0 && msg->h >= 1 && msg->w >= 1);
    FLY_ASSERT(msg->y0 + msg->h <= open->start->height_px && msg->x0 + msg->w <= open->start->width_px);
    /* What was commanded comes on top of what was planned. */
    FLY_ASSERT(msg->frame >= 0 && msg->frame < (msg->cmd_id ? FLY_FRAMES_MAX : open->start->frames_planned));
    FLY_ASSERT(msg->dwell_ns >= 1 && msg->dwell_ns <= FLY_DWELL_MAX_NS);
    if (msg->type == FLY_INGEST_LINES)
        FLY_ASSERT(msg->payload[0].len == pixels * fly_dtype_size(msg->dtype));
    else if (msg->layout == 1)
        FLY_ASSERT(msg->payload[0].len == 4 * (pixels + 1) &&
                   msg->payload[1].len == 2 * (size_t)msg->photons);
    else if (msg->layout == 2)
        FLY_ASSERT(msg->payload[0].len == 4 * (size_t)msg->photons &&
                   msg->payload[1].len == 2 * (size_t)msg->photons);
}

static void check_packed_anew(const struct fly_ingest *msg, const struct fly_start *start,
                              const struct fly_part *parts, int32_t n_parts,
                              const struct fly_session_view *open)
{
    static unsigned char room[2 * FLY_HEADER_MAX];
    struct fly_part again[4];
    struct fly_pack pack;
    struct fly_ingest msg_again;
    struct fly_start *start_again = malloc(sizeof *start_again);

    fly_pack_init(&pack, room, sizeof room);
    pack_again(&pack, fly_value_root(parts[0].bytes, parts[0].len));
    FLY_ASSERT(!pack.full);
    memcpy(again, parts, (size_t)n_parts * sizeof again[0]);
    again[0] = (struct fly_part){room, pack.len};
    /* float32 becomes float64: only that can make a header longer than it may be */
    if (pack.len <= FLY_HEADER_MAX) {
        FLY_ASSERT(fly_ingest_decode(&msg_again, start_again, again, n_parts, open) ==
                   FLY_REFUSE_NONE);
        FLY_ASSERT(memcmp(&msg_again, msg, sizeof *msg) == 0);
        if (msg->type == FLY_INGEST_START) {
            FLY_ASSERT(memcmp(start_again, start, sizeof *start) == 0);
            FLY_ASSERT(fly_start_same(&parts[0], &again[0]));
        }
    }
    free(start_again);
}

/* Cut len bytes off the input into memory of its own, so that ASan guards its ends. */
static struct fly_part take(const uint8_t **data, size_t *size, size_t len)
{
    struct fly_part part;
    unsigned char *copy;

    if (len > *size)
        len = *size;
    copy = malloc(len + !len);
    if (len > 0)
        memcpy(copy, *data, len);
    *data += len;
    *size -= len;
    part = (struct fly_part){copy, len};
    return part;
}

static size_t take_len(const uint8_t **data, size_t *size)
{
    size_t len;

    if (*size < 2)
        return 0;
    len = (*data)[0] | (size_t)(*data)[1] << 8;
    *data += 2;
    *size -= 2;
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fly_start session = declared();
    struct fly_session_view open = {"s-1", &session, 0, NULL};
    struct fly_start *start;
    struct fly_ingest msg;
    struct fly_part parts[4];
    unsigned choices;
    int32_t n_parts;
    enum fly_refusal scanned, why;

    if (size < 1)
        return 0;
    choices = *data++;
    size--;
    if (choices & 1)
        open = (struct fly_session_view){NULL, NULL, 0, NULL};
    open.stopped = choices >> 1 & 1;
    n_parts = 1 + (int32_t)(choices >> 2 & 3);
    parts[0] = take(&data, &size, take_len(&data, &size));
    parts[1] = take(&data, &size, take_len(&data, &size));
    parts[2] = take(&data, &size, size);
    parts[3] = take(&data, &size, 0);

    start = malloc(sizeof *start);
    scanned = fly_wire_scan(parts[0].bytes, parts[0].len);
    if (scanned == FLY_REFUSE_NONE)
        check_against_msgpack(&parts[0]);
    why = fly_ingest_decode(&msg, start, parts, n_parts, &open);
    if (why == FLY_REFUSE_NONE) {
        FLY_ASSERT(scanned == FLY_REFUSE_NONE);
        check_within(&msg, &open);
        check_packed_anew(&msg, start, parts, n_parts, &open);
    } else {
        FLY_ASSERT(fly_fail_text()[0]);
        FLY_ASSERT(msg.stream_idx >= -1 && msg.stream_idx < FLY_STREAMS_MAX);
    }
    (void)fly_hash_parts(parts, n_parts);

    free(start);
    for (int i = 0; i < 4; i++)
        free((void *)parts[i].bytes);
    return 0;
}
