#include "stream/wire_decode.h"

#include <math.h>
#include <string.h>

/* enum fly_eds_layout of the engine, which this room does not see. */
enum { LAYOUT_DENSE, LAYOUT_CSR, LAYOUT_PAIRS };

static int64_t read_int(struct fly_value value)
{
    int64_t v;

    /* Beyond 63 bits is beyond every scan. */
    return fly_value_int(value, &v) ? v : INT64_MAX;
}

/* h and w as they are told; within the scan or not is asked later. */
static enum fly_refusal read_shape(struct fly_value list, int64_t shape[2])
{
    struct fly_value_iter it = {0};
    struct fly_value value;

    if (fly_value_count(list) != 2)
        return FLY_REFUSE(FLY_REFUSE_SHAPE, "shape of %u numbers, it is [h, w]",
                          (unsigned)fly_value_count(list));
    for (int i = 0; i < 2 && fly_value_next(list, &it, NULL, &value); i++) {
        shape[i] = read_int(value);
        if (shape[i] < 1)
            return FLY_REFUSE(FLY_REFUSE_SHAPE, "shape: a side of %lld px, it has at least 1",
                              (long long)shape[i]);
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_place(struct fly_ingest *msg, const struct fly_keys *keys,
                                   const struct fly_start *start, const int64_t shape[2])
{
    /* What was commanded comes on top of what was planned. */
    int64_t frames = start->frames_planned > 0 && !msg->cmd_id ? start->frames_planned : FLY_FRAMES_MAX;
    int64_t frame = read_int(keys->slot[FLY_KEY_FRAME]);
    int64_t y0 = read_int(keys->slot[FLY_KEY_Y0_PX]);
    int64_t x0 = read_int(keys->slot[FLY_KEY_X0_PX]);

    if (frame < 0 || frame >= frames)
        return FLY_REFUSE(FLY_REFUSE_OUTSIDE, "frame %lld, allowed are 0 .. %lld", (long long)frame,
                          (long long)frames - 1);
    if (y0 < 0 || y0 >= start->height_px || shape[0] > start->height_px - y0 || x0 < 0 ||
        x0 >= start->width_px || shape[1] > start->width_px - x0)
        return FLY_REFUSE(FLY_REFUSE_OUTSIDE,
                          "rectangle [%lld, %lld] + [%lld, %lld], the scan is [%d, %d]",
                          (long long)y0, (long long)x0, (long long)shape[0], (long long)shape[1],
                          start->height_px, start->width_px);
    msg->frame = frame;
    msg->y0 = (int32_t)y0;
    msg->x0 = (int32_t)x0;
    msg->h = (int32_t)shape[0];
    msg->w = (int32_t)shape[1];
    return FLY_REFUSE_NONE;
}

/* Whole ns, halves to even: the weight of exact sums. Without any dwell all weights are equal. */
static enum fly_refusal read_dwell(struct fly_ingest *msg, const struct fly_keys *keys,
                                   const struct fly_start *start)
{
    struct fly_value value;
    double us = start->pixel_time_us;
    double ns;

    if (fly_keys_get(keys, FLY_KEY_DWELL_US, &value)) {
        if (!fly_value_f64(value, &us))
            return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "dwell_us: not a finite number");
    } else if (isnan(us)) {
        msg->dwell_ns = 1;
        return FLY_REFUSE_NONE;
    }
    ns = nearbyint(us * 1000.0);
    if (!(ns >= 1.0 && ns <= (double)FLY_DWELL_MAX_NS))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "dwell_us: %.9g, allowed are 0.001 .. %.9g", us,
                          (double)FLY_DWELL_MAX_NS * 1e-3);
    msg->dwell_ns = (uint64_t)ns;
    return FLY_REFUSE_NONE;
}

/* FNV-1a, Fowler, Noll, Vo (RFC 9923). */
uint64_t fly_ingest_cmd_id(const char *text, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash;
}

static enum fly_refusal read_cmd_id(struct fly_ingest *msg, const struct fly_keys *keys)
{
    struct fly_value value;
    const char *text;
    size_t len;

    if (!fly_keys_get(keys, FLY_KEY_CMD_ID, &value))
        return FLY_REFUSE_NONE;
    if (fly_value_str(value, &text, &len)) {
        msg->cmd_id = fly_ingest_cmd_id(text, len);
        return FLY_REFUSE_NONE;
    }
    if (!fly_value_uint(value, &msg->cmd_id))
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "cmd_id: below 0");
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_payload(const struct fly_ingest *msg, int32_t idx, uint64_t want)
{
    if (msg->payload[idx].len != want)
        return FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE, "payload %d of %zu bytes, [%d, %d] needs %llu",
                          idx, msg->payload[idx].len, msg->h, msg->w, (unsigned long long)want);
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_payload_count(int32_t n_payload, int32_t want)
{
    if (n_payload != want)
        return FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE, "%d payloads where %d are meant", n_payload,
                          want);
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_decode_lines(struct fly_ingest *msg, const struct fly_keys *keys,
                                  const struct fly_start *start, int32_t n_payload, int nonfinite)
{
    static const struct fly_key_rule rules[] = {
        {FLY_KEY_FRAME, FLY_WANT_INT, 1},         {FLY_KEY_Y0_PX, FLY_WANT_INT, 1},
        {FLY_KEY_X0_PX, FLY_WANT_INT, 1},         {FLY_KEY_DTYPE, FLY_WANT_STR, 1},
        {FLY_KEY_SHAPE, FLY_WANT_INTS, 1},        {FLY_KEY_DWELL_US, FLY_WANT_NUM, 0},
        {FLY_KEY_CMD_ID, FLY_WANT_INT_OR_STR, 0},
    };
    const struct fly_detector *detector = &start->detectors[msg->stream_idx - 1];
    const char *text = "";
    size_t len = 0;
    int64_t shape[2] = {0, 0};
    enum fly_refusal why = fly_keys_check(keys, rules, sizeof rules / sizeof rules[0], "lines");

    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = read_dwell(msg, keys, start);
    if (why == FLY_REFUSE_NONE)
        why = read_cmd_id(msg, keys);
    if (why != FLY_REFUSE_NONE)
        return why;

    (void)fly_value_str(keys->slot[FLY_KEY_DTYPE], &text, &len);
    if (fly_dtype_parse(text, len) != (int)detector->dtype)
        return FLY_REFUSE(FLY_REFUSE_DTYPE, "dtype '%s', %s was declared with %s",
                          fly_quote_text(text, len).text, detector->name,
                          fly_dtype_name(detector->dtype));
    msg->dtype = detector->dtype;
    why = read_shape(keys->slot[FLY_KEY_SHAPE], shape);
    if (why == FLY_REFUSE_NONE)
        why = read_place(msg, keys, start, shape);
    if (why == FLY_REFUSE_NONE)
        why = check_payload_count(n_payload, 1);
    if (why == FLY_REFUSE_NONE)
        why =
            check_payload(msg, 0, (uint64_t)msg->h * (uint64_t)msg->w * fly_dtype_size(msg->dtype));
    return why;
}

/* ---- photons ------------------------------------------------------------------------------------
 */

static uint32_t u32_at(const unsigned char *array, uint64_t i)
{
    uint32_t v;

    memcpy(&v, array + 4 * i, 4);
    return v;
}

/* The sweeps run without branches over blocks, so that a good payload costs about what reading it
 * costs; only a bad block is looked through. */
enum { BLOCK = 1024 };

/* The first i of 1 .. n with rows[i] < rows[i - 1], or 0. */
static uint64_t first_fall(const unsigned char *rows, uint64_t n)
{
    for (uint64_t begin = 1; begin <= n; begin += BLOCK) {
        uint64_t end = n - begin < BLOCK ? n + 1 : begin + BLOCK;
        uint32_t falls = 0;

        for (uint64_t i = begin; i < end; i++)
            falls |= u32_at(rows, i) < u32_at(rows, i - 1);
        for (uint64_t i = begin; falls && i < end; i++)
            if (u32_at(rows, i) < u32_at(rows, i - 1))
                return i;
    }
    return 0;
}

/* The first i below n with pixels[i] >= limit, or n. */
static uint64_t first_beyond(const unsigned char *pixels, uint64_t n, uint32_t limit)
{
    for (uint64_t begin = 0; begin < n; begin += BLOCK) {
        uint64_t end = n - begin < BLOCK ? n : begin + BLOCK;
        uint32_t beyond = 0;

        for (uint64_t i = begin; i < end; i++)
            beyond |= u32_at(pixels, i) >= limit;
        for (uint64_t i = begin; beyond && i < end; i++)
            if (u32_at(pixels, i) >= limit)
                return i;
    }
    return n;
}

static enum fly_refusal check_csr(struct fly_ingest *msg)
{
    uint64_t pixels = (uint64_t)msg->h * (uint64_t)msg->w;
    const unsigned char *rows = msg->payload[0].bytes;
    enum fly_refusal why = check_payload(msg, 0, 4 * (pixels + 1));
    uint64_t photons = msg->payload[1].len / 2, fall;

    if (why != FLY_REFUSE_NONE)
        return why;
    if (msg->payload[1].len % 2 != 0)
        return FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE, "payload 1 of %zu bytes is no list of <u2",
                          msg->payload[1].len);
    if (u32_at(rows, 0) != 0)
        return FLY_REFUSE(FLY_REFUSE_PHOTONS, "row pointers begin with %u, not 0",
                          (unsigned)u32_at(rows, 0));
    fall = first_fall(rows, pixels);
    if (fall > 0)
        return FLY_REFUSE(FLY_REFUSE_PHOTONS, "row pointer %llu falls from %u to %u",
                          (unsigned long long)fall, (unsigned)u32_at(rows, fall - 1),
                          (unsigned)u32_at(rows, fall));
    if (u32_at(rows, pixels) != photons)
        return FLY_REFUSE(FLY_REFUSE_PHOTONS, "row pointers end with %u, %llu photons came",
                          (unsigned)u32_at(rows, pixels), (unsigned long long)photons);
    msg->photons = (int64_t)photons;
    return FLY_REFUSE_NONE;
}

static enum fly_refusal check_pairs(struct fly_ingest *msg)
{
    uint64_t pixels = (uint64_t)msg->h * (uint64_t)msg->w;
    uint64_t photons = msg->payload[0].len / 4, beyond;

    if (msg->payload[0].len % 4 != 0 || msg->payload[1].len != 2 * photons)
        return FLY_REFUSE(FLY_REFUSE_PAYLOAD_SIZE,
                          "payloads of %zu and %zu bytes are no <u4 and <u2 of as many photons",
                          msg->payload[0].len, msg->payload[1].len);
    beyond = first_beyond(msg->payload[0].bytes, photons, (uint32_t)pixels);
    if (beyond < photons)
        return FLY_REFUSE(FLY_REFUSE_PHOTONS, "photon %llu is of pixel %u, the rectangle has %llu",
                          (unsigned long long)beyond,
                          (unsigned)u32_at(msg->payload[0].bytes, beyond),
                          (unsigned long long)pixels);
    msg->photons = (int64_t)photons;
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_layout(struct fly_ingest *msg, struct fly_value value)
{
    static const char *const layouts[] = {"dense", "csr", "pairs"};
    const char *text = "";
    size_t len = 0;

    (void)fly_value_str(value, &text, &len);
    for (int32_t i = 0; i < 3; i++)
        if (strlen(layouts[i]) == len && memcmp(layouts[i], text, len) == 0) {
            msg->layout = i;
            return FLY_REFUSE_NONE;
        }
    return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "layout '%s', allowed are dense, csr, pairs",
                      fly_quote_text(text, len).text);
}

static enum fly_refusal read_times(struct fly_ingest *msg, const struct fly_keys *keys)
{
    struct fly_value value;
    enum fly_refusal why = FLY_REFUSE_NONE;

    msg->live_time_us = msg->real_time_us = NAN;
    if (fly_keys_get(keys, FLY_KEY_LIVE_TIME_US, &value))
        why = fly_f64_within(value, "live_time_us", 0, 1e18, &msg->live_time_us);
    if (why == FLY_REFUSE_NONE && fly_keys_get(keys, FLY_KEY_REAL_TIME_US, &value))
        why = fly_f64_within(value, "real_time_us", 0, 1e18, &msg->real_time_us);
    return why;
}

/* dtype is that of dense counts; the two sparse layouts have theirs by definition. */
static enum fly_refusal read_counts_dtype(struct fly_ingest *msg, const struct fly_keys *keys)
{
    const char *text = "";
    size_t len = 0;
    int dtype;

    msg->dtype = FLY_U16;
    if (msg->layout != LAYOUT_DENSE)
        return FLY_REFUSE_NONE;
    (void)fly_value_str(keys->slot[FLY_KEY_DTYPE], &text, &len);
    dtype = fly_dtype_parse(text, len);
    if (dtype != FLY_U8 && dtype != FLY_U16 && dtype != FLY_U32)
        return FLY_REFUSE(FLY_REFUSE_DTYPE, "dtype '%s' of dense counts, allowed are <u1 <u2 <u4",
                          fly_quote_text(text, len).text);
    msg->dtype = (enum fly_dtype)dtype;
    return FLY_REFUSE_NONE;
}

enum fly_refusal fly_decode_eds(struct fly_ingest *msg, const struct fly_keys *keys,
                                const struct fly_start *start, int32_t n_payload, int nonfinite)
{
    static const struct fly_key_rule rules[] = {
        {FLY_KEY_FRAME, FLY_WANT_INT, 1},        {FLY_KEY_Y0_PX, FLY_WANT_INT, 1},
        {FLY_KEY_X0_PX, FLY_WANT_INT, 1},        {FLY_KEY_SHAPE, FLY_WANT_INTS, 1},
        {FLY_KEY_LAYOUT, FLY_WANT_STR, 1},       {FLY_KEY_DTYPE, FLY_WANT_STR, 0},
        {FLY_KEY_DWELL_US, FLY_WANT_NUM, 0},     {FLY_KEY_CMD_ID, FLY_WANT_INT_OR_STR, 0},
        {FLY_KEY_LIVE_TIME_US, FLY_WANT_NUM, 0}, {FLY_KEY_REAL_TIME_US, FLY_WANT_NUM, 0},
    };
    const struct fly_segment *segment = &start->segments[msg->stream_idx - 1 - start->n_detectors];
    struct fly_value value;
    int64_t shape[2] = {0, 0};
    enum fly_refusal why = fly_keys_check(keys, rules, sizeof rules / sizeof rules[0], "eds");

    if (why == FLY_REFUSE_NONE)
        why = fly_refuse_nonfinite(nonfinite);
    if (why == FLY_REFUSE_NONE)
        why = read_layout(msg, keys->slot[FLY_KEY_LAYOUT]);
    if (why == FLY_REFUSE_NONE && msg->layout == LAYOUT_DENSE &&
        !fly_keys_get(keys, FLY_KEY_DTYPE, &value))
        why = FLY_REFUSE(FLY_REFUSE_BAD_KEY, "eds: no dtype, which dense counts need");
    if (why == FLY_REFUSE_NONE)
        why = read_dwell(msg, keys, start);
    if (why == FLY_REFUSE_NONE)
        why = read_cmd_id(msg, keys);
    if (why == FLY_REFUSE_NONE)
        why = read_times(msg, keys);
    if (why == FLY_REFUSE_NONE)
        why = read_counts_dtype(msg, keys);
    if (why == FLY_REFUSE_NONE)
        why = read_shape(keys->slot[FLY_KEY_SHAPE], shape);
    if (why == FLY_REFUSE_NONE)
        why = read_place(msg, keys, start, shape);
    if (why == FLY_REFUSE_NONE)
        why = check_payload_count(n_payload, msg->layout == LAYOUT_DENSE ? 1 : 2);
    if (why != FLY_REFUSE_NONE)
        return why;

    switch (msg->layout) {
    case LAYOUT_CSR:
        return check_csr(msg);
    case LAYOUT_PAIRS:
        return check_pairs(msg);
    default:
        return check_payload(msg, 0,
                             (uint64_t)msg->h * (uint64_t)msg->w * (uint64_t)segment->n_channels *
                                 fly_dtype_size(msg->dtype));
    }
}
