/* sim/cmd_replay.c: `flyback replay`: a recording plays the instrument. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/commands.h"
#include "sim/replay.h"
#include "sim/sender.h"
#include "sim/tool.h"

static const char help_text[] =
    "Usage: flyback replay SESSION.fly [options]\n"
    "\n"
    "Sends the ingest messages of a recording to a running Flyback, byte for byte, as the instrument did.\n"
    "Prints one JSON object when done.\n"
    "\n"
    "  --speed X              of the recorded arrival, 0 .. 1000; 0 as fast as Flyback takes it (1)\n"
    "  --from N               from the N-th ingest message on, 1 .. (1); the start is always sent. Numbers\n"
    "                         left out are told with `skip` messages\n"
    "  --new-session ID       send under another id: headers are packed anew, `session` alone changes.\n"
    "                         Needed where Flyback knows the recorded one: it takes an id once\n"
    "  --loop                 again and again until interrupted, each time under a fresh id (as with\n"
    "                         --new-session)\n"
    "  --ingest ADDR          Flyback's ingest socket (tcp://127.0.0.1:5570)\n"
    "  --publish ADDR         its publish socket (tcp://127.0.0.1:5571)\n"
    "  --control ADDR         its control socket (tcp://127.0.0.1:5572)\n"
    "  --connect-timeout-s T  wait so long for Flyback to answer, 0 .. 3600 (30)\n"
    "  --patience-s T         give up when Flyback stays silent so long, 1 .. 86400 (120)\n"
    "  --stop-timeout-s T     wait so long for its own stop, 0 .. 3600 (60)\n"
    "  --quiet                no progress\n"
    "  --help                 this text\n"
    "\n"
    "A recording that breaks off gets a stop with exit_status abort.\n"
    "Exit codes: 0 Flyback confirmed the stop, 1 failed, 2 wrong usage, 130 interrupted.\n"
    "\n"
    "Examples\n"
    "  flyback replay recordings/monday.fly --speed 0 --new-session monday-again\n"
    "  flyback replay recordings/monday.fly --loop --speed 4\n";

enum { ABORT_MS = 5000 };

struct options {
    const char *path, *new_session;
    struct fly_sender_config sender;
    double speed, connect_timeout_s, stop_timeout_s, patience_s;
    int64_t from;
    int loop, quiet, help;
};

struct play {
    const struct options *options;
    struct fly_clock clock;
    struct fly_net *net;
    struct fly_replay *replay;
    struct fly_sender *sender;
    char fresh[FLY_SESSION_MAX + 1];
    uint64_t sent, made, rounds; /* of this round; made: of these, such as are not in the file */
    int64_t begun_ns, told_ns;
    int terminal;
};

static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"speed", 1, NULL, 's'},   {"from", 1, NULL, 'f'},
        {"loop", 0, NULL, 'l'},    {"new-session", 1, NULL, 'n'},
        {"ingest", 1, NULL, 'i'},  {"publish", 1, NULL, 'p'},
        {"control", 1, NULL, 'c'}, {"connect-timeout-s", 1, NULL, 't'},
        {"quiet", 0, NULL, 'q'},   {"patience-s", 1, NULL, 'a'},
        {"help", 0, NULL, 'h'},    {"stop-timeout-s", 1, NULL, 'o'},
        {0},
    };
    int id, rc = FLY_OK;

    *o = (struct options){.sender = fly_sender_config_default(), .speed = 1.0, .from = 1,
                          .connect_timeout_s = 30.0, .stop_timeout_s = 60.0, .patience_s = 120.0};
    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && (id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (id) {
        case 's': rc = fly_tool_f64("--speed", optarg, 0.0, 1000.0, &o->speed); break;
        case 'f': rc = fly_tool_int("--from", optarg, 1, INT64_MAX, &o->from); break;
        case 'l': o->loop = 1; break;
        case 'n': o->new_session = optarg; rc = fly_tool_session_check(optarg); break;
        case 'i': o->sender.ingest = optarg; break;
        case 'p': o->sender.publish = optarg; break;
        case 'c': o->sender.control = optarg; break;
        case 't': rc = fly_tool_f64("--connect-timeout-s", optarg, 0.0, 3600.0, &o->connect_timeout_s); break;
        case 'a': rc = fly_tool_f64("--patience-s", optarg, 1.0, 86400.0, &o->patience_s); break;
        case 'o': rc = fly_tool_f64("--stop-timeout-s", optarg, 0.0, 3600.0, &o->stop_timeout_s); break;
        case 'q': o->quiet = 1; break;
        case 'h': o->help = 1; break;
        default:
            rc = fly_fail(FLY_ERANGE, "%.80s: no such option, or its value is missing", argv[optind - 1]);
        }
    }
    if (rc < 0 || o->help)
        return rc;
    if (optind + 1 != argc)
        return fly_fail(FLY_ERANGE, "one recording is expected, %d given", argc - optind);
    if (o->loop && o->new_session)
        return fly_fail(FLY_ERANGE, "--loop and --new-session: each round takes an id of its own");
    o->path = argv[optind];
    return FLY_OK;
}

static int64_t now_ns(const struct play *p)
{
    return p->clock.mono_ns(p->clock.ctx);
}

static void tell_progress(struct play *p)
{
    struct fly_sender_report report;

    if (!p->terminal || p->options->quiet || now_ns(p) - p->told_ns < 200000000)
        return;
    p->told_ns = now_ns(p);
    fly_sender_report(p->sender, &report);
    fprintf(stderr, "\r\033[Kreplay %" PRIu64 " of %" PRIu64 " messages  %d unacknowledged%s", p->sent,
            fly_replay_messages(p->replay), report.kept, report.alive ? "" : "  Flyback is silent");
    fflush(stderr);
}

static int listen(struct play *p, int32_t timeout_ms)
{
    struct fly_sender_report report;
    int rc = fly_sender_step(p->sender, timeout_ms);

    if (rc < 0)
        return rc;
    fly_sender_report(p->sender, &report);
    if (report.silent_s > p->options->patience_s)
        return fly_fail(FLY_EIO, "Flyback at %s has been silent for %.0f s", p->options->sender.control,
                        report.silent_s);
    tell_progress(p);
    return FLY_OK;
}

static int hand_over(struct play *p, const struct fly_replay_message *m)
{
    for (;;) {
        int rc = fly_sender_put(p->sender, m->stream, m->seq, m->parts, m->n_parts);

        if (rc != FLY_EAGAIN)
            return rc;
        if (*fly_tool_stop())
            return FLY_EAGAIN;
        rc = listen(p, 10);
        if (rc < 0)
            return rc;
    }
}

static int open_round(struct play *p)
{
    const struct options *o = p->options;
    struct fly_sender_config config = o->sender;
    const char *session = o->new_session;
    int rc = FLY_OK;

    if (o->loop) {
        rc = fly_tool_session("replay-", p->fresh);
        session = p->fresh;
    }
    if (rc == FLY_OK)
        rc = fly_replay_open(&p->replay, o->path, (uint64_t)o->from, session);
    if (rc < 0)
        return rc;
    config.net = p->net;
    config.clock = p->clock;
    config.session = fly_replay_session(p->replay);
    config.n_streams = fly_replay_streams(p->replay);
    for (int32_t i = 0; i < config.n_streams; i++)
        config.streams[i] = fly_replay_stream(p->replay, i);
    rc = fly_sender_open(&p->sender, &config);
    if (rc == FLY_OK)
        rc = fly_sender_connect(p->sender, (int32_t)(o->connect_timeout_s * 1000.0), fly_tool_stop());
    return rc;
}

/* Each message when its time has come. The start sets the clock; with --from the next message does so
 * again, or the part left out would be waited for. FLY_EAGAIN: interrupted. */
static int send_all(struct play *p)
{
    const struct options *o = p->options;
    struct fly_replay_message m;
    int64_t base_ns = 0, first_ns = 0;
    int rc, clocked = 0;

    while ((rc = fly_replay_next(p->replay, &m)) == FLY_OK) {
        if (!clocked || (o->from > 1 && clocked == 1 && !m.start)) {
            clocked += !m.start + 1;
            base_ns = now_ns(p);
            first_ns = m.t_ns;
        }
        for (;;) {
            int64_t left = o->speed > 0.0 ? base_ns - now_ns(p) +
                                                llround((double)(m.t_ns - first_ns) / o->speed)
                                          : 0;

            if (*fly_tool_stop())
                return FLY_EAGAIN;
            rc = listen(p, left <= 0 ? 0 : left > 20000000 ? 20 : (int32_t)(left / 1000000) + 1);
            if (rc < 0)
                return rc;
            if (left <= 0)
                break;
        }
        rc = hand_over(p, &m);
        if (rc < 0)
            return rc;
        if (m.stop)
            fly_sender_finish(p->sender, m.seq);
        p->sent++;
        p->made += (uint64_t)m.made;
    }
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

/* FLY_EAGAIN: interrupted. */
static int wait_for_stop(struct play *p)
{
    struct fly_sender_report report;
    int64_t until = now_ns(p) + llround(p->options->stop_timeout_s * 1e9);

    for (;;) {
        fly_sender_report(p->sender, &report);
        if (report.stopped)
            return FLY_OK;
        if (*fly_tool_stop())
            return FLY_EAGAIN;
        if (now_ns(p) > until)
            return fly_fail(FLY_EIO, "Flyback did not confirm the stop within %g s; %d messages are not "
                            "acknowledged", p->options->stop_timeout_s, report.kept);
        int rc = listen(p, 20);

        if (rc < 0)
            return rc;
    }
}

static int print_report(const struct play *p)
{
    struct fly_sender_report report;
    double wall_s = (double)(now_ns(p) - p->begun_ns) * 1e-9;
    int printed;

    fly_sender_report(p->sender, &report);
    json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:f}", "recording", p->options->path,
                             "session", fly_replay_session(p->replay), "messages", (json_int_t)p->sent, "made",
                             (json_int_t)p->made, "sent",
                             (json_int_t)report.sent, "resent", (json_int_t)report.resent, "rewinds",
                             (json_int_t)report.rewinds, "rounds", (json_int_t)p->rounds, "stopped",
                             report.stopped, "exit_status", report.exit_status, "wall_s", wall_s);

    printed = json && json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
              putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(json);
    return printed ? FLY_OK : fly_fail(FLY_EIO, "the report cannot be written");
}

/* What Flyback has not taken yet gets a moment; it closes the session itself when the next begins. */
static void linger(struct play *p)
{
    struct fly_sender_report report;
    int64_t until = now_ns(p) + (int64_t)ABORT_MS * 1000000;

    do {
        if (fly_sender_step(p->sender, 20) < 0)
            return;
        fly_sender_report(p->sender, &report);
    } while (report.alive && report.kept && now_ns(p) < until);
}

static int play_round(struct play *p)
{
    int rc = open_round(p);

    if (rc < 0)
        return rc;
    p->sent = p->made = 0;
    p->begun_ns = now_ns(p);
    rc = send_all(p);
    if (rc == FLY_OK)
        rc = wait_for_stop(p);
    else if (rc == FLY_EAGAIN)
        linger(p);
    p->rounds += rc == FLY_OK;
    if (p->terminal && !p->options->quiet)
        fprintf(stderr, "\r\033[K");
    if (rc == FLY_OK || rc == FLY_EAGAIN) {
        int told = print_report(p);

        rc = rc == FLY_OK ? told : rc;
    }
    return rc;
}

int fly_cmd_replay(int argc, char **argv)
{
    struct options options;
    struct play play = {.options = &options, .clock = fly_tool_clock(), .terminal = isatty(STDERR_FILENO)};
    int rc = read_options(&options, argc, argv);

    if (rc < 0 || options.help) {
        if (rc < 0)
            fprintf(stderr, "flyback replay: %s (see flyback replay --help)\n", fly_fail_text());
        else
            fputs(help_text, stdout);
        return rc < 0 ? FLY_EXIT_USAGE : FLY_EXIT_DONE;
    }
    fly_tool_signals_begin();
    rc = fly_net_open(&play.net);
    while (rc == FLY_OK) {
        rc = play_round(&play);
        fly_sender_close(&play.sender);
        fly_replay_close(&play.replay);
        if (!options.loop)
            break;
    }
    fly_tool_signals_end();
    fly_net_close(&play.net);
    if (rc < 0 && rc != FLY_EAGAIN)
        fprintf(stderr, "flyback replay: %s\n", fly_fail_text());
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}
