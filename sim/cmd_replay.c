/* sim/cmd_replay.c: `flyback replay`: a recording plays the instrument. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/commands.h"
#include "sim/play.h"
#include "sim/tool.h"
#include "stream/keys.h"

static const char help_text[] =
    "Usage: flyback replay SESSION.fly [options]\n"
    "       flyback replay SESSION.fly --decisions   (see flyback replay --decisions --help)\n"
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
    "  --keys DIR             our pair of keys (flyback keygen), where Flyback runs with keys\n"
    "  --server-key FILE      its public.key, or the 40 characters themselves\n"
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

struct options {
    const char *path, *new_session, *keys, *server_key;
    struct fly_sender_config sender;
    double speed, connect_timeout_s, stop_timeout_s, patience_s;
    int64_t from;
    int loop, quiet, help;
};

struct screen {
    int64_t told_ns;
    int on;
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
        {"keys", 1, NULL, 'k'},    {"server-key", 1, NULL, 'y'},
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
        case 'k': o->keys = optarg; break;
        case 'y': o->server_key = optarg; break;
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
    return fly_client_keys(&o->sender.curve, o->keys, o->server_key);
}

static int tell_progress(void *ctx, const struct fly_play_report *so_far)
{
    struct screen *screen = ctx;
    struct fly_clock clock = fly_tool_clock();
    int64_t now_ns = clock.mono_ns(clock.ctx);

    if (!screen->on || now_ns - screen->told_ns < 200000000)
        return FLY_OK;
    screen->told_ns = now_ns;
    fprintf(stderr, "\r\033[Kreplay %" PRIu64 " of %" PRIu64 " messages  %d unacknowledged%s", so_far->sent,
            so_far->messages, so_far->sender.kept, so_far->sender.alive ? "" : "  Flyback is silent");
    fflush(stderr);
    return FLY_OK;
}

static int print_report(const struct options *o, const struct fly_play_report *r, uint64_t rounds)
{
    int printed;
    json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:f}", "recording", o->path, "session",
                             r->session, "messages", (json_int_t)r->sent, "made", (json_int_t)r->made, "sent",
                             (json_int_t)r->sender.sent, "resent", (json_int_t)r->sender.resent, "rewinds",
                             (json_int_t)r->sender.rewinds, "rounds", (json_int_t)rounds, "stopped",
                             r->sender.stopped, "exit_status", r->sender.exit_status, "wall_s", r->wall_s);

    printed = json && json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
              putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(json);
    return printed ? FLY_OK : fly_fail(FLY_EIO, "the report cannot be written");
}

static int play_round(const struct options *o, struct fly_net *net, uint64_t *rounds)
{
    struct screen screen = {.on = isatty(STDERR_FILENO) && !o->quiet};
    struct fly_play_config config = {
        .path = o->path,
        .session = o->new_session,
        .from = (uint64_t)o->from,
        .speed = o->speed,
        .connect_timeout_s = o->connect_timeout_s,
        .stop_timeout_s = o->stop_timeout_s,
        .patience_s = o->patience_s,
        .sender = o->sender,
        .tick = tell_progress,
        .tick_ctx = &screen,
    };
    struct fly_play_report report = {0};
    char fresh[FLY_SESSION_MAX + 1];
    int rc = FLY_OK;

    config.sender.net = net;
    config.sender.clock = fly_tool_clock();
    if (o->loop) {
        rc = fly_tool_session("replay-", fresh);
        config.session = fresh;
    }
    if (rc == FLY_OK)
        rc = fly_play(&config, &report);
    *rounds += rc == FLY_OK;
    if (screen.on)
        fprintf(stderr, "\r\033[K");
    /* An interrupted round has its report as well, but not one that never began. */
    if (rc == FLY_OK || (rc == FLY_EAGAIN && report.begun)) {
        int told = print_report(o, &report, *rounds);

        rc = rc == FLY_OK ? told : rc;
    }
    return rc;
}

int fly_cmd_replay(int argc, char **argv)
{
    struct options options;
    struct fly_net *net = NULL;
    uint64_t rounds = 0;
    int rc = read_options(&options, argc, argv);

    if (rc < 0 || options.help) {
        if (rc < 0)
            fprintf(stderr, "flyback replay: %s (see flyback replay --help)\n", fly_fail_text());
        else
            fputs(help_text, stdout);
        return rc < 0 ? FLY_EXIT_USAGE : FLY_EXIT_DONE;
    }
    fly_tool_signals_begin();
    rc = fly_net_open(&net);
    while (rc == FLY_OK) {
        rc = play_round(&options, net, &rounds);
        if (!options.loop)
            break;
    }
    fly_tool_signals_end();
    fly_net_close(&net);
    if (rc < 0 && rc != FLY_EAGAIN)
        fprintf(stderr, "flyback replay: %s\n", fly_fail_text());
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}
