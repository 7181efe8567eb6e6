#include "sim/obey_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/steered.h"
#include "sim/tool.h"

enum { IDLE_MS = 5, WAIT_MS = 20 };
#define ENOUGH "nothing more is needed: "
#define NOBODY_NS INT64_C(2000000000) /* without an answer for so long, a person is told */

struct obeying {
    struct fly_run *run;
    struct fly_obey *obey;
    struct fly_steered *steered;
    struct fly_obeyed *told;
    int64_t schedule_ns; /* when the beam's time was 0 */
    int64_t idle_ns;     /* idle until then, 0: it is not */
    uint64_t losses;
    int64_t asked_ns;    /* since when it wants to attach */
    int attached, told_nobody; /* ever */
};

static double way_us(const struct obeying *o)
{
    return fly_obey_time_us(o->obey) + o->told->idle_us;
}

static void follow_time(struct obeying *o)
{
    o->run->way_us = way_us(o);
    o->run->scanned = fly_obey_mean_us(o->obey) / o->run->instrument.pixel_time_us;
}

/* ---- what the acquisition does to the world ------------------------------------------------------- */

static int takes_part(const struct fly_instrument *instrument, int32_t stream, enum fly_signal signal)
{
    int image = stream <= instrument->n_images;

    return signal == FLY_SIGNAL_BOTH || (signal == FLY_SIGNAL_HAADF) == image;
}

static int measure(void *ctx, const struct fly_patch *patch, enum fly_signal signal)
{
    struct obeying *o = ctx;
    struct fly_instrument *instrument = &o->run->instrument;
    struct fly_message message;
    int rc = FLY_OK;

    follow_time(o);
    for (int32_t stream = 1; rc == FLY_OK && stream < instrument->n_streams; stream++) {
        if (!takes_part(instrument, stream, signal))
            continue;
        rc = instrument->measure(instrument->ctx, patch, stream, fly_run_stamp_ns(o->run), &message);
        if (rc == FLY_OK && message.n_parts > 0)
            rc = fly_run_hand_over(o->run, &message);
    }
    return rc;
}

static int acknowledge(void *ctx, const struct fly_ack *ack)
{
    struct obeying *o = ctx;

    return fly_steered_ack(o->steered, ack);
}

static int hear(void *ctx, const struct fly_part *parts, int32_t n_parts)
{
    struct obeying *o = ctx;

    return fly_obey_hear(o->obey, parts, n_parts);
}

/* ---- survey --------------------------------------------------------------------------------------- */

static int survey_block(struct obeying *o, int64_t frame, int32_t y0, int32_t lines)
{
    struct fly_run *run = o->run;
    struct fly_patch patch = {.frame = frame, .y0_px = y0, .h = lines, .w = run->instrument.field.width_px,
                              .dwell_us = run->instrument.pixel_time_us};
    int rc = run->instrument.ready(run->instrument.ctx, &patch);

    if (rc == FLY_OK) {
        fly_obey_expose(o->obey, frame, (int64_t)patch.h * patch.w, patch.dwell_us);
        rc = measure(o, &patch, run->options.obey.signal);
    }
    if (rc == FLY_OK)
        run->instrument.done(run->instrument.ctx, &patch);
    return rc;
}

static int survey(struct obeying *o)
{
    struct fly_run *run = o->run;
    struct fly_scan scan = run->options.acquire.scan;
    int32_t y0, lines;
    int rc = FLY_OK;

    scan.height_px = run->instrument.field.height_px;
    scan.block_px = (int32_t)(run->instrument.patch_px / run->instrument.field.width_px);
    for (int64_t frame = 0; rc == FLY_OK && frame < run->options.acquire.frames; frame++)
        for (int32_t step = 0; rc == FLY_OK && step < fly_scan_blocks(&scan); step++) {
            fly_scan_block(&scan, frame, step, &y0, &lines);
            rc = fly_run_stop_asked() ? FLY_EAGAIN : survey_block(o, frame, y0, lines);
            if (rc == FLY_OK)
                rc = fly_run_wait(run, &o->schedule_ns);
            if (rc == FLY_OK)
                rc = fly_run_keep_alive(run);
        }
    return rc;
}

/* ---- being steered -------------------------------------------------------------------------------- */

static int attach(struct obeying *o)
{
    const struct fly_sim_options *options = &o->run->options;
    struct fly_steered_config config = fly_steered_config_default();

    config.net = o->run->net;
    config.clock = o->run->clock;
    config.address = options->obey.address;
    config.curve = options->obey.curve;
    config.mode = options->obey.mode;
    config.connect_ms = (int32_t)(options->connect_timeout_s * 1000.0);
    config.patience_ms = (int32_t)(options->patience_s * 1000.0);
    config.hear = hear;
    config.hear_ctx = o;
    return fly_steered_open(&o->steered, &config);
}

/* Hear both sides, and go into the safe state when one has fallen silent. */
static int listen(struct obeying *o, int32_t timeout_ms)
{
    struct fly_steered_report report;
    int rc = fly_steered_step(o->steered, timeout_ms);

    if (rc == FLY_OK)
        rc = fly_run_listen(o->run, 0);
    if (rc == FLY_OK)
        rc = fly_run_keep_alive(o->run);
    if (rc < 0)
        return rc;
    fly_steered_report(o->steered, &report);
    o->attached |= report.attached;
    if (!o->attached && !o->told_nobody && fly_run_now_ns(o->run) - o->asked_ns > NOBODY_NS) {
        o->told_nobody = 1;
        fly_run_end_progress(o->run);
        fprintf(stderr, "flyback sim: nobody at %s lets it attach yet: is flyback %s there? With keys it takes "
                        "--steered-by-key\n",
                o->run->options.obey.address, strcmp(o->run->options.obey.mode, "auto") == 0 ? "guard" : "run");
    }
    if (report.losses == o->losses)
        return FLY_OK;
    o->losses = report.losses;
    fly_run_end_progress(o->run);
    fprintf(stderr, "flyback sim: %s is silent: the line is finished, the beam blanked\n",
            o->run->options.obey.address);
    return fly_obey_safe(o->obey, "whoever steers fell silent");
}

/* Until the beam would be so far in real time. */
static int pace(struct obeying *o)
{
    double pace = o->run->options.pace;

    follow_time(o);
    o->idle_ns = 0;
    for (;;) {
        int64_t left = pace > 0.0 ? o->schedule_ns + llround(way_us(o) * 1e3 / pace) - fly_run_now_ns(o->run) : 0;
        int rc;

        if (fly_run_stop_asked())
            return FLY_EAGAIN;
        rc = listen(o, left <= 0 ? 0 : left > WAIT_MS * 1000000 ? WAIT_MS : (int32_t)(left / 1000000));
        if (rc < 0 || left <= 0)
            return rc;
        if (left < 1000000)
            usleep((useconds_t)(left / 1000)); /* below what poll can wait */
    }
}

/* Nothing is commanded: time goes by all the same, and the beam has nothing to catch up with. */
static int idle(struct obeying *o)
{
    double pace = o->run->options.pace;
    int64_t now;
    int rc = fly_run_stop_asked() ? FLY_EAGAIN : listen(o, IDLE_MS);

    if (rc < 0)
        return rc;
    now = fly_run_now_ns(o->run);
    if (pace > 0.0)
        o->told->idle_us += fmax(0.0, (double)(now - o->schedule_ns) * pace * 1e-3 - way_us(o));
    else if (o->idle_ns > 0)
        o->told->idle_us += (double)(now - o->idle_ns) * 1e-3;
    o->idle_ns = now;
    follow_time(o);
    return FLY_OK;
}

/* 1: it is enough. */
static int is_over(struct obeying *o)
{
    const struct fly_obey_options *options = &o->run->options.obey;
    struct fly_steered_report report;
    const char *stop;

    fly_steered_report(o->steered, &report);
    stop = report.stop[0] ? report.stop : o->run->suggested_stop;
    if (options->dose_budget > 0.0 && o->run->scanned >= options->dose_budget)
        snprintf(o->told->reason, sizeof o->told->reason, "dose budget of %g survey dwells spent", options->dose_budget);
    else if (options->seconds > 0.0 && way_us(o) >= options->seconds * 1e6)
        snprintf(o->told->reason, sizeof o->told->reason, "%g s are over", options->seconds);
    else if (stop[0] && !fly_obey_busy(o->obey))
        snprintf(o->told->reason, sizeof o->told->reason, ENOUGH "%s", stop);
    return o->told->reason[0] != 0;
}

static int obey(struct obeying *o)
{
    int rc = FLY_OK;

    while (rc == FLY_OK && !is_over(o)) {
        rc = fly_obey_step(o->obey, o->run->clock.unix_ns(o->run->clock.ctx));
        if (rc == FLY_OK)
            rc = pace(o);
        else if (rc == FLY_EAGAIN)
            rc = idle(o);
    }
    return rc;
}

static void tell(struct fly_run *run)
{
    struct fly_sender_report report;

    fly_sender_report(run->sender, &report);
    fprintf(stderr, "\r\033[Ksim %8.1f s  %.2f survey dwells  %d messages unacknowledged%s", run->way_us * 1e-6,
            run->scanned, report.kept, report.alive ? "" : "  Flyback is silent");
    fflush(stderr);
}

int fly_obey_run(struct fly_run *run, struct fly_obeyed *told)
{
    struct obeying o = {.run = run, .told = told};
    const struct fly_obey_out out = {.ack = acknowledge, .measure = measure, .ctx = &o};
    int rc = fly_obey_open(&o.obey, &run->options.obey.config, &run->instrument, &out);

    memset(told, 0, sizeof *told);
    if (rc < 0)
        return rc;
    run->tell = tell;
    rc = fly_run_begin(run);
    o.schedule_ns = fly_run_now_ns(run);
    if (rc == FLY_OK)
        rc = survey(&o);
    if (rc == FLY_OK)
        rc = attach(&o);
    o.asked_ns = fly_run_now_ns(run);
    if (rc == FLY_OK)
        rc = obey(&o);
    if (rc == FLY_OK && !o.attached && strncmp(told->reason, ENOUGH, strlen(ENOUGH)) != 0)
        rc = fly_fail(FLY_EIO, "nobody at %s let it attach: no command came", run->options.obey.address);
    if (o.steered) {
        int safe = fly_obey_safe(o.obey, rc == FLY_OK ? told->reason : "the acquisition ends");

        fly_steered_detach(o.steered);
        rc = rc == FLY_OK ? safe : rc;
    }
    if (rc < 0)
        snprintf(told->reason, sizeof told->reason, "%s", rc == FLY_EAGAIN ? "interrupted" : "failed");
    follow_time(&o);
    fly_obey_report(o.obey, &told->report);
    told->time_us = way_us(&o);
    told->mean_us = fly_obey_mean_us(o.obey);
    told->losses = o.losses;
    fly_steered_close(&o.steered);
    fly_obey_close(&o.obey);
    return rc;
}
