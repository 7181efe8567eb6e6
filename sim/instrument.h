/* sim/instrument.h: what an acquisition that obeys can measure with: a simulated microscope (acquire.h) or a
 * recorded session (stack.h) behind one table.
 *
 * A patch is a rectangle of one frame. For each stream that takes part measure() makes its message; done()
 * says that all of them were made, and that the specimen saw the beam there.
 *
 * Memory   a message's parts are lent until the next call.
 * Threads  one.
 */
#ifndef FLY_SIM_INSTRUMENT_H
#define FLY_SIM_INSTRUMENT_H

#include <stdint.h>

#include "engine/base/err.h"
#include "stream/steer.h"
#include "stream/wire.h"

struct fly_message {
    int32_t stream;
    uint64_t seq;
    struct fly_part parts[3]; /* header, payloads */
    int32_t n_parts;
};

/* Lies within the field; h * w is at most patch_px, dwell_us at most dwell_max_us. */
struct fly_patch {
    int64_t frame;
    int32_t y0_px, x0_px, h, w;
    double dwell_us;
    const char *cmd_id;        /* the command that it answers; NULL: none */
    const double (*off_px)[2]; /* (h), y and x: how far each line was missed; NULL: not at all */
};

struct fly_instrument {
    void *ctx;
    int32_t n_streams, n_images;  /* stream 0 is control, 1 .. n_images images, the rest X-rays */
    struct fly_steer_field field;
    double pixel_time_us;         /* of the survey */
    double dwell_max_us;          /* longest that a command may ask for */
    double e_per_A2_per_us;       /* dose of a pixel; NaN: current or pixel size is not known */
    int64_t patch_px;             /* most pixels of one patch; at least a line of the field */

    const char *(*stream)(const void *ctx, int32_t stream);
    uint64_t (*count)(const void *ctx, int32_t stream); /* last number given */
    uint64_t (*photons)(const void *ctx);               /* in all messages so far */
    void (*start)(void *ctx, int64_t t_ns, struct fly_message *message);
    void (*heartbeat)(void *ctx, int64_t t_ns, int64_t backlog, struct fly_message *message);
    void (*stop)(void *ctx, int64_t t_ns, const char *exit_status, const char *reason, struct fly_message *message);

    /* Can this rectangle be measured, of any size? FLY_ERANGE: no, with words for whoever commanded it. */
    int (*ready)(void *ctx, const struct fly_patch *patch);
    /* The dwell that it comes out with when that was asked for. */
    double (*dwell_us)(void *ctx, double asked_us);
    /* n_parts 0: this stream has nothing to say. */
    int (*measure)(void *ctx, const struct fly_patch *patch, int32_t stream, int64_t t_ns, struct fly_message *message);
    void (*done)(void *ctx, const struct fly_patch *patch);
    /* The message made last was not handed to anyone: its number is free again. */
    void (*take_back)(void *ctx, const struct fly_message *message);
};

#endif
