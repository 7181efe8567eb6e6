/* sim/cmd_sim.c: `flyback sim`: the simulated microscope as a command. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/commands.h"
#include "sim/obey_run.h"
#include "sim/run.h"
#include "sim/tool.h"

enum { ABORT_MS = 5000, SCORES_MAX = 16 };

/* ---- progress ------------------------------------------------------------------------------------ */

static void tell_progress(struct fly_run *run)
{
    struct fly_sender_report report;

    fly_sender_report(run->sender, &report);
    fprintf(stderr, "\r\033[Ksim %5.1f %%  frame %" PRId64 " of %d  %d messages unacknowledged%s",
            100.0 * (double)run->blocks_done / (double)run->blocks,
            run->blocks_done / fly_scan_blocks(&run->options.acquire.scan), run->options.acquire.frames,
            report.kept, report.alive ? "" : "  Flyback is silent");
    fflush(stderr);
}

/* ---- the scan ------------------------------------------------------------------------------------ */

static int measure_block(struct fly_run *run, int64_t frame, int32_t step, int64_t *pixels)
{
    struct fly_message message;
    int32_t y0, lines;

    fly_scan_block(&run->options.acquire.scan, frame, step, &y0, &lines);
    *pixels += (int64_t)lines * run->specimen->config.width_px;
    run->way_us = (double)*pixels * run->options.acquire.dwell_us;
    for (int32_t stream = 1; stream < fly_acquire_streams(run->acquire); stream++) {
        int rc = fly_acquire_block(run->acquire, frame, step, stream, fly_run_stamp_ns(run), &message);

        if (rc == FLY_OK)
            rc = fly_run_hand_over(run, &message);
        if (rc < 0)
            return rc;
    }
    fly_acquire_block_done(run->acquire, frame, step);
    run->blocks_done++;
    run->scanned = (double)run->blocks_done / (double)run->blocks;
    return FLY_OK;
}

/* FLY_EAGAIN: interrupted. */
static int scan(struct fly_run *run)
{
    int32_t steps = fly_scan_blocks(&run->options.acquire.scan);
    int64_t pixels = 0, schedule_ns;
    int rc;

    run->blocks = (int64_t)steps * run->options.acquire.frames;
    run->tell = tell_progress;
    rc = fly_run_begin(run);
    schedule_ns = fly_run_now_ns(run);

    for (int64_t frame = 0; rc == FLY_OK && frame < run->options.acquire.frames; frame++)
        for (int32_t step = 0; rc == FLY_OK && step < steps; step++) {
            rc = fly_run_stop_asked() ? FLY_EAGAIN : measure_block(run, frame, step, &pixels);
            if (rc == FLY_OK)
                rc = fly_run_wait(run, &schedule_ns);
            if (rc == FLY_OK)
                rc = fly_run_keep_alive(run);
        }
    return rc;
}

/* ---- the report ---------------------------------------------------------------------------------- */

static void print_table(const struct fly_run *run)
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
static void print_clusters(const struct fly_run *run)
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

static void print_steering(const struct fly_run *run, const struct fly_obeyed *obeyed)
{
    const struct fly_obey_report *report = &obeyed->report;
    double dose = obeyed->mean_us * run->instrument.e_per_A2_per_us;

    if (run->options.quiet)
        return;
    fprintf(stderr, "steered: %" PRIu64 " commands, %" PRIu64 " refused; mean dose %.3g survey dwells", report->commands,
            report->rejected, obeyed->mean_us / run->instrument.pixel_time_us);
    if (isfinite(dose))
        fprintf(stderr, ", %.4g e-/A^2", dose);
    fprintf(stderr, "; %.3g s: %.3g measuring, %.3g moving, %.3g idle; %s\n", obeyed->time_us * 1e-6,
            report->beam_us * 1e-6, report->move_us * 1e-6, obeyed->idle_us * 1e-6, obeyed->reason);
}

/* What an acquisition that was steered did. Dose in survey dwells, and as e-/A^2 where that is known. */
static json_t *steering(const struct fly_run *run, const struct fly_obeyed *obeyed)
{
    const struct fly_obey_report *report = &obeyed->report;
    double dose = obeyed->mean_us * run->instrument.e_per_A2_per_us;

    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:f, s:f, s:f, s:f, s:I}", "ended", obeyed->reason,
                     "commands", (json_int_t)report->commands, "done", (json_int_t)report->done, "rejected",
                     (json_int_t)report->rejected, "cut_short", (json_int_t)report->stopped, "pixels",
                     (json_int_t)report->pixels, "dose_survey_dwells", obeyed->mean_us / run->instrument.pixel_time_us,
                     "dose_e_per_A2", isfinite(dose) ? json_real(dose) : json_null(), "time_s", obeyed->time_us * 1e-6,
                     "beam_s", report->beam_us * 1e-6, "move_s", report->move_us * 1e-6, "idle_s",
                     obeyed->idle_us * 1e-6, "losses", (json_int_t)obeyed->losses);
}

static int print_report(const struct fly_run *run, const struct fly_obeyed *obeyed)
{
    const struct fly_instrument *from = &run->instrument;
    struct fly_sender_report report;
    json_t *messages = json_object(), *durable = json_object();
    double wall_s = (double)(run->done_ns - run->begun_ns) * 1e-9;
    double frames = obeyed ? run->options.acquire.frames
                           : (double)run->blocks_done / fly_scan_blocks(&run->options.acquire.scan);
    int printed;

    fly_sender_report(run->sender, &report);
    for (int32_t i = 0; i < from->n_streams; i++) {
        const char *name = from->stream(from->ctx, i);

        json_object_set_new(messages, name, json_integer((json_int_t)from->count(from->ctx, i)));
        json_object_set_new(durable, name, json_integer((json_int_t)report.durable[i]));
    }
    json_t *json = json_pack(
        "{s:s, s:f, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:s, s:f, s:f, s:[i,i]}", "session",
        run->options.session, "frames", frames, "messages", messages, "durable_seq_heard", durable, "photons",
        (json_int_t)from->photons(from->ctx), "sent", (json_int_t)report.sent, "resent",
        (json_int_t)report.resent, "rewinds", (json_int_t)report.rewinds, "dropped", (json_int_t)report.dropped,
        "duplicated", (json_int_t)report.duplicated, "stopped", report.stopped, "complete",
        isfinite(report.complete) ? json_real(report.complete) : json_null(), "exit_status",
        report.exit_status, "wall_s", wall_s, "frames_per_s", wall_s > 0.0 ? frames / wall_s : 0.0,
        "scan_shape_px", from->field.height_px, from->field.width_px);

    if (json && obeyed)
        json_object_set_new(json, "steering", steering(run, obeyed));
    printed = json && json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
              putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(json);
    return printed ? FLY_OK : fly_fail(FLY_EIO, "the report cannot be written");
}

/* Nobody steers it, and Flyback is told so: what went wrong stays what is told to people. */
static void abort_session(struct fly_run *run)
{
    char words[256];

    snprintf(words, sizeof words, "%s", fly_fail_text());
    if (fly_run_finish(run, "abort", words, ABORT_MS, 0) < 0)
        fprintf(stderr, "flyback sim: %s\n", fly_fail_text());
    (void)fly_fail(FLY_ERANGE, "%s", words);
}

/* FLY_EAGAIN: interrupted; what could be told to Flyback was. */
static int perform(struct fly_run *run)
{
    const struct fly_sim_options *o = &run->options;
    struct fly_obeyed obeyed = {0};
    int steered = o->obey.mode != NULL;
    int rc = fly_run_open(run);

    if (rc == FLY_OK)
        rc = fly_sender_connect(run->sender, (int32_t)(o->connect_timeout_s * 1000.0), fly_tool_stop());
    if (rc < 0)
        return rc;
    rc = steered ? fly_obey_run(run, &obeyed) : scan(run);
    run->done_ns = fly_run_now_ns(run);
    if (rc == FLY_OK)
        rc = fly_run_finish(run, "success", steered ? obeyed.reason : "scan complete",
                            (int64_t)(o->stop_timeout_s * 1000.0), 1);
    else if (rc == FLY_EAGAIN && fly_run_finish(run, "abort", "interrupted", ABORT_MS, 0) < 0)
        rc = FLY_EAGAIN; /* Flyback will close the session when the next one starts */
    else if (rc == FLY_ERANGE && steered)
        abort_session(run);
    fly_run_end_progress(run);
    if (run->judge) {
        int wrote = fly_judge_write(run->judge, o->judge_file);

        print_table(run);
        print_clusters(run);
        if (rc == FLY_OK)
            rc = wrote;
    }
    if (steered)
        print_steering(run, &obeyed);
    int told = print_report(run, steered ? &obeyed : NULL);

    if (rc == FLY_OK && run->judge_failed)
        rc = fly_fail(FLY_EWIRE, "a published map broke the protocol; scores end there");
    return rc == FLY_OK ? told : rc;
}

int fly_cmd_sim(int argc, char **argv)
{
    struct fly_run *run = calloc(1, sizeof *run);
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
    fly_run_close(run);
    free(run);
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}
