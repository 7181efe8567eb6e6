#include "sim/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/tool.h"

enum { HEARTBEAT_NS = 1000000000, LATE_NS = 200000000, TELL_NS = 200000000 };

int64_t fly_run_now_ns(const struct fly_run *run)
{
    return run->clock.mono_ns(run->clock.ctx);
}

int fly_run_stop_asked(void)
{
    return *fly_tool_stop();
}

/* Of a suggestion only whether it is the last. */
static void hear_suggestion(struct fly_run *run, const struct fly_published *message)
{
    struct fly_value value;
    const char *text = "";
    size_t len = 0;

    if (fly_value_get(message->header, "stop", &value))
        (void)fly_value_str(value, &text, &len);
    snprintf(run->suggested_stop, sizeof run->suggested_stop, "%.*s", (int)len, text);
}

static void hear(void *ctx, const struct fly_published *message)
{
    struct fly_run *run = ctx;

    if (strcmp(message->type, "suggest") == 0 && strcmp(message->session, run->options.session) == 0)
        hear_suggestion(run, message);
    if (!run->judge || run->judge_failed)
        return;
    if (fly_judge_hear(run->judge, message, (double)(fly_run_now_ns(run) - run->begun_ns) * 1e-9, run->scanned) < 0) {
        fprintf(stderr, "%sflyback sim: judge: %s\n", run->terminal ? "\r\033[K" : "", fly_fail_text());
        run->judge_failed = 1;
    }
}

static int open_simulated(struct fly_run *run)
{
    struct fly_sim_options *o = &run->options;
    const int32_t origin[2] = {0, 0};
    int rc = fly_specimen_open(&run->specimen, &o->specimen);

    if (rc == FLY_OK)
        rc = fly_beam_open(&run->beam, run->specimen, &o->beam);
    if (rc == FLY_OK && (o->truth_dir || o->support_file))
        rc = fly_truth_open(&run->truth, run->specimen, o->chip_px, 0, origin, o->rows, o->cols);
    if (rc == FLY_OK && o->truth_dir)
        rc = fly_truth_write(run->truth, run->specimen, run->beam, o->truth_dir);
    if (rc == FLY_OK && o->support_file)
        rc = fly_truth_write_support(run->truth, o->support_shots, o->support_file);
    if (rc == FLY_OK)
        rc = fly_acquire_open(&run->acquire, run->specimen, run->beam, &o->acquire);
    if (rc == FLY_OK && o->judge_file)
        rc = fly_judge_open(&run->judge, run->specimen, o->session);
    if (rc == FLY_OK)
        run->instrument = fly_acquire_instrument(run->acquire);
    return rc;
}

static int open_recorded(struct fly_run *run)
{
    const struct fly_obey_options *o = &run->options.obey;
    struct fly_stack_facts facts;
    int rc = fly_stack_open(&run->stack, o->from, run->options.session, (size_t)o->from_mib << 20);

    if (rc < 0)
        return rc;
    run->instrument = fly_stack_instrument(run->stack);
    if (o->dwell_max_us > 0.0)
        run->instrument.dwell_max_us = o->dwell_max_us;
    fly_stack_facts(run->stack, &facts);
    if (!run->options.quiet)
        fprintf(stderr, "flyback sim: the specimen is %s: %d x %d px, %d frames of %g us, %" PRIu64 " photons, %zu MiB; %"
                PRIu64 " messages left out\n", o->from, facts.height_px, facts.width_px, facts.frames, facts.dwell_us,
                facts.photons, facts.bytes >> 20, facts.left_out);
    return FLY_OK;
}

int fly_run_open(struct fly_run *run)
{
    struct fly_sim_options *o = &run->options;
    int rc = o->obey.from ? open_recorded(run) : open_simulated(run);

    if (rc == FLY_OK)
        rc = fly_net_open(&run->net);
    if (rc < 0)
        return rc;
    o->sender.net = run->net;
    o->sender.clock = run->clock;
    o->sender.n_streams = run->instrument.n_streams;
    for (int32_t i = 0; i < o->sender.n_streams; i++)
        o->sender.streams[i] = run->instrument.stream(run->instrument.ctx, i);
    o->sender.topics = run->judge && o->obey.mode ? "map clusters suggest"
                       : run->judge               ? "map clusters"
                       : o->obey.mode             ? "suggest"
                                                  : NULL;
    o->sender.hear = hear;
    o->sender.hear_ctx = run;
    return fly_sender_open(&run->sender, &o->sender);
}

void fly_run_close(struct fly_run *run)
{
    fly_sender_close(&run->sender);
    fly_net_close(&run->net);
    fly_judge_close(&run->judge);
    fly_stack_close(&run->stack);
    fly_acquire_close(&run->acquire);
    fly_truth_close(&run->truth);
    fly_beam_close(&run->beam);
    fly_specimen_close(&run->specimen);
}

int64_t fly_run_stamp_ns(const struct fly_run *run)
{
    return run->options.t0_ns + llround(run->way_us * 1e3);
}

int fly_run_listen(struct fly_run *run, int32_t timeout_ms)
{
    struct fly_sender_report report;
    int rc = fly_sender_step(run->sender, timeout_ms);

    if (rc < 0)
        return rc;
    fly_sender_report(run->sender, &report);
    if (report.silent_s > run->options.patience_s)
        return fly_fail(FLY_EIO, "Flyback at %s has been silent for %.0f s", run->options.sender.control,
                        report.silent_s);
    if (run->tell && run->terminal && !run->options.quiet && fly_run_now_ns(run) - run->told_ns >= TELL_NS) {
        run->told_ns = fly_run_now_ns(run);
        run->tell(run);
    }
    return FLY_OK;
}

int fly_run_hand_over(struct fly_run *run, const struct fly_message *message)
{
    for (;;) {
        int rc = fly_sender_put(run->sender, message->stream, message->seq, message->parts, message->n_parts);

        if (rc != FLY_EAGAIN)
            return rc;
        if (fly_run_stop_asked()) {
            /* The stop will count what was sent, and this was not. */
            run->instrument.take_back(run->instrument.ctx, message);
            return FLY_EAGAIN;
        }
        rc = fly_run_listen(run, 10);
        if (rc < 0)
            return rc;
    }
}

/* While the window has no room for one it waits: its number is not
 * used up. */
int fly_run_keep_alive(struct fly_run *run)
{
    struct fly_sender_report report;
    struct fly_message message;

    if (fly_run_now_ns(run) - run->heartbeat_ns < HEARTBEAT_NS)
        return FLY_OK;
    run->heartbeat_ns = fly_run_now_ns(run);
    fly_sender_report(run->sender, &report);
    if (!report.alive)
        return FLY_OK; /* nobody listens, and the reserve of the window is for later */
    run->instrument.heartbeat(run->instrument.ctx, fly_run_stamp_ns(run), report.kept, &message);
    return fly_run_hand_over(run, &message);
}

int fly_run_wait(struct fly_run *run, int64_t *schedule_ns)
{
    double way_ns = run->way_us * 1e3;

    if (run->options.pace <= 0.0)
        return fly_run_listen(run, 0);
    for (;;) {
        int64_t left = *schedule_ns + llround(way_ns / run->options.pace) - fly_run_now_ns(run);
        int rc;

        if (left < -LATE_NS)
            *schedule_ns -= left;
        if (left <= 0)
            return fly_run_listen(run, 0);
        if (fly_run_stop_asked())
            return FLY_EAGAIN;
        rc = fly_run_listen(run, left > 20000000 ? 20 : (int32_t)(left / 1000000));
        if (rc < 0)
            return rc;
        rc = fly_run_keep_alive(run);
        if (rc < 0)
            return rc;
        left = *schedule_ns + llround(way_ns / run->options.pace) - fly_run_now_ns(run);
        if (left > 0 && left < 1000000)
            usleep((useconds_t)(left / 1000)); /* below what poll can wait */
    }
}

int fly_run_begin(struct fly_run *run)
{
    struct fly_message message;

    run->begun_ns = run->heartbeat_ns = fly_run_now_ns(run);
    if (!run->options.t0_ns)
        run->options.t0_ns = run->clock.unix_ns(run->clock.ctx);
    run->instrument.start(run->instrument.ctx, fly_run_stamp_ns(run), &message);
    return fly_run_hand_over(run, &message);
}

int fly_run_finish(struct fly_run *run, const char *exit_status, const char *reason, int64_t timeout_ms,
                   int heed_signals)
{
    struct fly_sender_report report;
    struct fly_message message;
    int64_t until = fly_run_now_ns(run) + timeout_ms * 1000000;
    int rc;

    run->instrument.stop(run->instrument.ctx, fly_run_stamp_ns(run), exit_status, reason, &message);
    do
        rc = fly_sender_put(run->sender, message.stream, message.seq, message.parts, message.n_parts);
    while (rc == FLY_EAGAIN && fly_run_now_ns(run) < until && (rc = fly_sender_step(run->sender, 10)) == FLY_OK);
    if (rc < 0)
        return rc;
    fly_sender_finish(run->sender, message.seq);
    for (;;) {
        fly_sender_report(run->sender, &report);
        if (report.stopped)
            return FLY_OK;
        if (heed_signals && fly_run_stop_asked())
            return FLY_EAGAIN;
        if (fly_run_now_ns(run) > until)
            return fly_fail(FLY_EIO, "Flyback did not confirm the stop within %g s; %d messages are not "
                            "acknowledged", (double)timeout_ms / 1000.0, report.kept);
        rc = fly_run_listen(run, 20);
        if (rc < 0)
            return rc;
    }
}

void fly_run_end_progress(const struct fly_run *run)
{
    if (run->terminal && !run->options.quiet)
        fprintf(stderr, "\r\033[K");
}

