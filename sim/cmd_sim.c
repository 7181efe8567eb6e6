/* sim/cmd_sim.c: `flyback sim`: the simulated microscope as a command. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/acquire.h"
#include "sim/commands.h"
#include "sim/judge.h"
#include "sim/sender.h"
#include "sim/sim_options.h"
#include "sim/tool.h"
#include "sim/truth.h"

enum { HEARTBEAT_NS = 1000000000, ABORT_MS = 5000, LATE_NS = 200000000, SCORES_MAX = 16 };

/* One run: everything between the options and the report. */
struct run {
    struct fly_sim_options options;
    struct fly_clock clock;
    struct fly_specimen *specimen;
    struct fly_beam *beam;
    struct fly_truth *truth;
    struct fly_acquire *acquire;
    struct fly_net *net;
    struct fly_sender *sender;
    struct fly_judge *judge;
    int64_t begun_ns, heartbeat_ns, told_ns, done_ns;
    int64_t blocks, blocks_done; /* of the whole session */
    int64_t pixels_done;
    int judge_failed;            /* a map broke the protocol: told once, scored no more */
    int terminal;
};

static int64_t now_ns(const struct run *run)
{
    return run->clock.mono_ns(run->clock.ctx);
}

static int stop_asked(void)
{
    return *fly_tool_stop();
}

static void hear(void *ctx, const struct fly_published *message)
{
    struct run *run = ctx;

    if (!run->judge || run->judge_failed)
        return;
    if (fly_judge_hear(run->judge, message, (double)(now_ns(run) - run->begun_ns) * 1e-9,
                       (double)run->blocks_done / (double)run->blocks) < 0) {
        fprintf(stderr, "%sflyback sim: judge: %s\n", run->terminal ? "\r\033[K" : "", fly_fail_text());
        run->judge_failed = 1;
    }
}

static int open_all(struct run *run)
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
        rc = fly_net_open(&run->net);
    if (rc < 0)
        return rc;
    o->sender.net = run->net;
    o->sender.clock = run->clock;
    o->sender.n_streams = fly_acquire_streams(run->acquire);
    for (int32_t i = 0; i < o->sender.n_streams; i++)
        o->sender.streams[i] = fly_acquire_stream(run->acquire, i);
    o->sender.topics = run->judge ? "map clusters" : NULL;
    o->sender.hear = hear;
    o->sender.hear_ctx = run;
    run->blocks = (int64_t)fly_scan_blocks(&o->acquire.scan) * o->acquire.frames;
    return fly_sender_open(&run->sender, &o->sender);
}

static void close_all(struct run *run)
{
    fly_sender_close(&run->sender);
    fly_net_close(&run->net);
    fly_judge_close(&run->judge);
    fly_acquire_close(&run->acquire);
    fly_truth_close(&run->truth);
    fly_beam_close(&run->beam);
    fly_specimen_close(&run->specimen);
}

/* ---- progress ------------------------------------------------------------------------------------ */

static void tell_progress(struct run *run)
{
    struct fly_sender_report report;
    int64_t now = now_ns(run);

    if (!run->terminal || run->options.quiet || now - run->told_ns < 200000000)
        return;
    run->told_ns = now;
    fly_sender_report(run->sender, &report);
    fprintf(stderr, "\r\033[Ksim %5.1f %%  frame %" PRId64 " of %d  %d messages unacknowledged%s",
            100.0 * (double)run->blocks_done / (double)run->blocks,
            run->blocks_done / fly_scan_blocks(&run->options.acquire.scan), run->options.acquire.frames,
            report.kept, report.alive ? "" : "  Flyback is silent");
    fflush(stderr);
}

static void end_progress(const struct run *run)
{
    if (run->terminal && !run->options.quiet)
        fprintf(stderr, "\r\033[K");
}

/* ---- the scan ------------------------------------------------------------------------------------ */

/* Stamp of a moment of the scan: the beam's own time, so that the same scan gives the same bytes. */
static int64_t stamp_ns(const struct run *run)
{
    return run->options.t0_ns + llround((double)run->pixels_done * run->options.acquire.dwell_us * 1e3);
}

static int listen(struct run *run, int32_t timeout_ms)
{
    struct fly_sender_report report;
    int rc = fly_sender_step(run->sender, timeout_ms);

    if (rc < 0)
        return rc;
    fly_sender_report(run->sender, &report);
    if (report.silent_s > run->options.patience_s)
        return fly_fail(FLY_EIO, "Flyback at %s has been silent for %.0f s", run->options.sender.control,
                        report.silent_s);
    tell_progress(run);
    return FLY_OK;
}

/* Into the window, waiting for room. FLY_EAGAIN: interrupted. */
static int hand_over(struct run *run, const struct fly_message *message)
{
    for (;;) {
        int rc = fly_sender_put(run->sender, message->stream, message->seq, message->parts, message->n_parts);

        if (rc != FLY_EAGAIN)
            return rc;
        if (stop_asked()) {
            /* The stop will count what was sent, and this was not. */
            fly_acquire_take_back(run->acquire, message);
            return FLY_EAGAIN;
        }
        rc = listen(run, 10);
        if (rc < 0)
            return rc;
    }
}

/* A heartbeat is due each second. While the window has no room for one it waits: its number is not
 * used up. */
static int keep_alive(struct run *run)
{
    struct fly_sender_report report;
    struct fly_message message;

    if (now_ns(run) - run->heartbeat_ns < HEARTBEAT_NS)
        return FLY_OK;
    run->heartbeat_ns = now_ns(run);
    fly_sender_report(run->sender, &report);
    if (!report.alive)
        return FLY_OK; /* nobody listens, and the reserve of the window is for later */
    fly_acquire_heartbeat(run->acquire, stamp_ns(run), report.kept, &message);
    return hand_over(run, &message);
}

/* Until the beam would be there in real time. Late by more than LATE_NS the schedule gives way: the
 * beam had to wait for Flyback, it cannot catch up faster than it scans. */
static int wait_for_beam(struct run *run, int64_t *schedule_ns)
{
    double way_ns = (double)run->pixels_done * run->options.acquire.dwell_us * 1e3;

    if (run->options.pace <= 0.0)
        return listen(run, 0);
    for (;;) {
        int64_t left = *schedule_ns + llround(way_ns / run->options.pace) - now_ns(run);
        int rc;

        if (left < -LATE_NS)
            *schedule_ns -= left;
        if (left <= 0)
            return listen(run, 0);
        if (stop_asked())
            return FLY_EAGAIN;
        rc = listen(run, left > 20000000 ? 20 : (int32_t)(left / 1000000));
        if (rc < 0)
            return rc;
        rc = keep_alive(run);
        if (rc < 0)
            return rc;
        left = *schedule_ns + llround(way_ns / run->options.pace) - now_ns(run);
        if (left > 0 && left < 1000000)
            usleep((useconds_t)(left / 1000)); /* below what poll can wait */
    }
}

static int measure_block(struct run *run, int64_t frame, int32_t step)
{
    struct fly_message message;
    int32_t y0, lines;

    fly_scan_block(&run->options.acquire.scan, frame, step, &y0, &lines);
    run->pixels_done += (int64_t)lines * run->specimen->config.width_px;
    for (int32_t stream = 1; stream < fly_acquire_streams(run->acquire); stream++) {
        int rc = fly_acquire_block(run->acquire, frame, step, stream, stamp_ns(run), &message);

        if (rc == FLY_OK)
            rc = hand_over(run, &message);
        if (rc < 0)
            return rc;
    }
    run->blocks_done++;
    return FLY_OK;
}

/* FLY_EAGAIN: interrupted. */
static int scan(struct run *run)
{
    int32_t steps = fly_scan_blocks(&run->options.acquire.scan);
    struct fly_message message;
    int rc;

    run->begun_ns = run->heartbeat_ns = now_ns(run);
    if (!run->options.t0_ns)
        run->options.t0_ns = run->clock.unix_ns(run->clock.ctx);
    fly_acquire_start(run->acquire, stamp_ns(run), &message);
    rc = hand_over(run, &message);
    int64_t schedule_ns = now_ns(run);

    for (int64_t frame = 0; rc == FLY_OK && frame < run->options.acquire.frames; frame++)
        for (int32_t step = 0; rc == FLY_OK && step < steps; step++) {
            rc = stop_asked() ? FLY_EAGAIN : measure_block(run, frame, step);
            if (rc == FLY_OK)
                rc = wait_for_beam(run, &schedule_ns);
            if (rc == FLY_OK)
                rc = keep_alive(run);
        }
    return rc;
}

/* Say stop and wait for Flyback's. FLY_EAGAIN: interrupted while waiting. */
static int finish(struct run *run, const char *exit_status, const char *reason, int64_t timeout_ms,
                  int heed_signals)
{
    struct fly_sender_report report;
    struct fly_message message;
    int64_t until = now_ns(run) + timeout_ms * 1000000;
    int rc;

    fly_acquire_stop(run->acquire, stamp_ns(run), exit_status, reason, &message);
    do
        rc = fly_sender_put(run->sender, message.stream, message.seq, message.parts, message.n_parts);
    while (rc == FLY_EAGAIN && now_ns(run) < until && (rc = fly_sender_step(run->sender, 10)) == FLY_OK);
    if (rc < 0)
        return rc;
    fly_sender_finish(run->sender, message.seq);
    for (;;) {
        fly_sender_report(run->sender, &report);
        if (report.stopped)
            return FLY_OK;
        if (heed_signals && stop_asked())
            return FLY_EAGAIN;
        if (now_ns(run) > until)
            return fly_fail(FLY_EIO, "Flyback did not confirm the stop within %g s; %d messages are not "
                            "acknowledged", (double)timeout_ms / 1000.0, report.kept);
        rc = listen(run, 20);
        if (rc < 0)
            return rc;
    }
}

/* ---- the report ---------------------------------------------------------------------------------- */

static void print_table(const struct run *run)
{
    struct fly_score scores[SCORES_MAX];
    int32_t n = fly_judge_last(run->judge, scores, SCORES_MAX);

    if (run->options.quiet)
        return;
    fprintf(stderr, "%-10s %-9s %5s %9s %9s %7s %7s\n", "method", "modality", "final", "labelled", "accuracy",
            "AMI", "ARI");
    for (int32_t i = 0; i < n && i < SCORES_MAX; i++) {
        fprintf(stderr, "%-10s %-9s %5s %8.1f%% ", scores[i].method, scores[i].modality,
                scores[i].final ? "yes" : "no", 100.0 * scores[i].labelled);
        if (isfinite(scores[i].accuracy))
            fprintf(stderr, "%8.1f%% ", 100.0 * scores[i].accuracy);
        else
            fprintf(stderr, "%9s ", "-");
        if (isfinite(scores[i].ami))
            fprintf(stderr, "%7.3f %7.3f\n", scores[i].ami, scores[i].ari);
        else
            fprintf(stderr, "%7s %7s\n", "-", "-");
    }
}

static void print_number(const char *format, double value, int width)
{
    if (isfinite(value))
        fprintf(stderr, format, value);
    else
        fprintf(stderr, "%*s", width, "-");
}

/* Of each map how many of its clusters' lattices are right, and how far they are off. */
static void print_clusters(const struct run *run)
{
    const struct fly_clusters_score *scores[SCORES_MAX];
    int32_t n = fly_judge_clusters(run->judge, scores, SCORES_MAX);

    if (run->options.quiet || n == 0)
        return;
    fprintf(stderr, "%-10s %-9s %8s %9s %9s %7s %11s\n", "clusters", "modality", "number", "lattices", "d error",
            "sigma", "composition");
    for (int32_t i = 0; i < n && i < SCORES_MAX; i++) {
        struct fly_clusters_sum sum = fly_clusters_sum(scores[i]);

        if (scores[i]->n == 0)
            continue; /* no class was named, say */
        fprintf(stderr, "%-10s %-9s %8d %4d of %-2d", scores[i]->method, scores[i]->modality, scores[i]->n, sum.right,
                sum.told);
        print_number(" %7.2f %%", sum.d_error_percent, 10);
        print_number(" %7.1f", sum.d_error_sigma, 8);
        print_number(" %6.2f at.%%", sum.percent_error, 12);
        fputc('\n', stderr);
    }
}

static int print_report(const struct run *run)
{
    struct fly_sender_report report;
    json_t *messages = json_object(), *durable = json_object();
    double wall_s = (double)(run->done_ns - run->begun_ns) * 1e-9;
    double frames = (double)run->blocks_done / fly_scan_blocks(&run->options.acquire.scan);
    int printed;

    fly_sender_report(run->sender, &report);
    for (int32_t i = 0; i < fly_acquire_streams(run->acquire); i++) {
        const char *name = fly_acquire_stream(run->acquire, i);

        json_object_set_new(messages, name, json_integer((json_int_t)fly_acquire_count(run->acquire, i)));
        json_object_set_new(durable, name, json_integer((json_int_t)report.durable[i]));
    }
    json_t *json = json_pack(
        "{s:s, s:f, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:s, s:f, s:f, s:[i,i]}", "session",
        run->options.session, "frames", frames, "messages", messages, "durable_seq_heard", durable, "photons",
        (json_int_t)fly_acquire_photons(run->acquire), "sent", (json_int_t)report.sent, "resent",
        (json_int_t)report.resent, "rewinds", (json_int_t)report.rewinds, "dropped", (json_int_t)report.dropped,
        "duplicated", (json_int_t)report.duplicated, "stopped", report.stopped, "complete",
        isfinite(report.complete) ? json_real(report.complete) : json_null(), "exit_status",
        report.exit_status, "wall_s", wall_s, "frames_per_s", wall_s > 0.0 ? frames / wall_s : 0.0,
        "scan_shape_px", run->specimen->config.height_px, run->specimen->config.width_px);

    printed = json && json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
              putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(json);
    return printed ? FLY_OK : fly_fail(FLY_EIO, "the report cannot be written");
}

/* FLY_EAGAIN: interrupted; what could be told to Flyback was. */
static int perform(struct run *run)
{
    const struct fly_sim_options *o = &run->options;
    int rc = open_all(run);

    if (rc == FLY_OK)
        rc = fly_sender_connect(run->sender, (int32_t)(o->connect_timeout_s * 1000.0), fly_tool_stop());
    if (rc < 0)
        return rc;
    rc = scan(run);
    run->done_ns = now_ns(run);
    if (rc == FLY_OK)
        rc = finish(run, "success", "scan complete", (int64_t)(o->stop_timeout_s * 1000.0), 1);
    else if (rc == FLY_EAGAIN && finish(run, "abort", "interrupted", ABORT_MS, 0) < 0)
        rc = FLY_EAGAIN; /* Flyback will close the session when the next one starts */
    end_progress(run);
    if (run->judge) {
        int wrote = fly_judge_write(run->judge, o->judge_file);

        print_table(run);
        print_clusters(run);
        if (rc == FLY_OK)
            rc = wrote;
    }
    int told = print_report(run);

    if (rc == FLY_OK && run->judge_failed)
        rc = fly_fail(FLY_EWIRE, "a published map broke the protocol; scores end there");
    return rc == FLY_OK ? told : rc;
}

int fly_cmd_sim(int argc, char **argv)
{
    struct run *run = calloc(1, sizeof *run);
    int rc;

    if (!run) {
        fprintf(stderr, "flyback sim: no memory\n");
        return FLY_EXIT_FAILED;
    }
    rc = fly_sim_options_read(&run->options, argc, argv);
    if (rc < 0 || run->options.help) {
        if (rc < 0)
            fprintf(stderr, "flyback sim: %s (see flyback sim --help)\n", fly_fail_text());
        else
            fputs(fly_sim_help(), stdout);
        free(run);
        return rc < 0 ? FLY_EXIT_USAGE : FLY_EXIT_DONE;
    }
    run->clock = fly_tool_clock();
    run->terminal = isatty(STDERR_FILENO);
    fly_tool_signals_begin();
    rc = perform(run);
    fly_tool_signals_end();
    if (rc < 0 && rc != FLY_EAGAIN)
        fprintf(stderr, "flyback sim: %s\n", fly_fail_text());
    close_all(run);
    free(run);
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}
