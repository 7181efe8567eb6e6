/* flyback guard: the supervisor between plugin and acquisition, as a process of its own. */
#include "plugin/commands.h"

#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/guard/guard.h"
#include "plugin/log.h"
#include "plugin/options.h"
#include "plugin/system_clock.h"

extern char **environ;

#define LINE_NS (250 * INT64_C(1000000))

struct keeper {
    struct fly_options options;
    struct fly_guard_limits limits;
    struct fly_clock clock;
    struct fly_guard *guard;
    struct fly_gate gate; /* once a second: a peer out of its mind does not fill the log: the journal has it all */
    int on_terminal;
    pthread_mutex_t terminal; /* what follows, and gate: the keys' thread says things, too */
    int line_shown;
};

static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t hold_signal; /* 0 none, 1 hold, 2 resume */

static void on_signal(int number)
{
    if (number == SIGUSR1 || number == SIGUSR2)
        hold_signal = number == SIGUSR1 ? 1 : 2;
    else
        stop_signal = number;
}

static void catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal};

    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &act, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk, and told as one */
    signal(SIGPIPE, SIG_IGN);
}

static void print_help(void)
{
    struct fly_text text;

    fly_text_init(&text);
    fly_text_add(&text,
                 "Usage: flyback guard --guard.limits FILE [options]\n"
                 "\n"
                 "The supervisor of steering: stands between the plugin and the acquisition, lets commands through that keep to\n"
                 "the limits of FILE, and refuses all others. In the mode `auto` the plugin sends commands to nobody else. When\n"
                 "the plugin falls silent the acquisition is told the safe state of the limits within two seconds.\n"
                 "\n"
                 "  --check            read the limits, print them as in force, and end\n"
                 "  --config FILE, --set key=value, --key value   settings (guard.*, sockets.control, security.*, log.*)\n"
                 "  --help             this text\n"
                 "\n"
                 "SIGUSR1 holds, SIGUSR2 resumes: no command passes while held, and what runs is told to stop. A hold stands\n"
                 "until it is taken back, restarts included; so does one by steer.hold at guard.listen. What the plugin holds\n"
                 "is resumed at the plugin.\n"
                 "\n");
    fly_options_help(&text, (const char *const[]){"guard", NULL});
    fly_text_add(&text, "\nExit codes: 0 ended by SIGTERM, 1 failed, 2 wrong usage, limits or settings, 130 interrupted.\n"
                        "\nExamples\n"
                        "  flyback guard --guard.limits configs/guard-limits.yaml\n"
                        "  flyback sim --obey auto --steered-by tcp://127.0.0.1:5573\n");
    fputs(fly_text_str(&text), stdout);
    fly_text_fini(&text);
}

/* -1: go on; else the exit code. */
static int read_args(struct keeper *k, int argc, char **argv)
{
    static const struct option longs[] = {{"check", 0, 0, 'c'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    int check = 0, c, rc;

    fly_options_default(&k->options);
    rc = fly_options_load_args(&k->options, &argc, argv, environ);
    optind = 0; /* glibc: begin anew */
    while (rc == FLY_OK && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'h') {
            print_help();
            return 0;
        }
        if (c != 'c')
            return 2; /* getopt has said why */
        check = 1;
    }
    if (rc == FLY_OK && optind < argc)
        rc = fly_fail(FLY_ERANGE, "\"%s\": it takes options alone, see --help", argv[optind]);
    if (rc == FLY_OK)
        rc = fly_options_check(&k->options);
    if (rc == FLY_OK && !k->options.guard.limits[0])
        rc = fly_fail(FLY_ERANGE, "guard.limits names no file; configs/guard-limits.yaml is one to begin with");
    if (rc == FLY_OK)
        rc = fly_guard_limits_load(&k->limits, k->options.guard.limits);
    if (rc < 0) {
        fprintf(stderr, "flyback guard: %s\n", fly_fail_text());
        return 2;
    }
    if (check) {
        struct fly_text text;

        fly_text_init(&text);
        fly_guard_limits_print(&k->limits, &text, 0);
        fputs(fly_text_str(&text), stdout);
        fly_text_fini(&text);
        return 0;
    }
    return -1;
}

/* ---- what is said -------------------------------------------------------------------------------------- */

static void clear_line(struct keeper *k)
{
    if (k->line_shown)
        (void)!write(2, "\r\033[K", 4);
    k->line_shown = 0;
}

/* What a peer can make us say as often as it likes. */
static int may_flood(const char *code)
{
    static const char *const codes[] = {"refused", "session", "journal", "ledger", "ack", "peer_refused"};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return 1;
    return 0;
}

static void say(void *ctx, enum fly_guard_level level, const char *code, const char *text)
{
    struct keeper *k = ctx;
    uint64_t held = 0;

    if (!fly_log_wants((enum fly_log_level)level))
        return;
    pthread_mutex_lock(&k->terminal);
    if (level > FLY_GUARD_WARNING || !may_flood(code) ||
        fly_gate_open(&k->gate, code, k->clock.mono_ns(k->clock.ctx), &held)) {
        clear_line(k);
        if (held)
            fly_log((enum fly_log_level)level, code, "%s (and %llu more)", text, (unsigned long long)held);
        else
            fly_log((enum fly_log_level)level, code, "%s", text);
    }
    pthread_mutex_unlock(&k->terminal);
}

static void log_limits(struct keeper *k)
{
    const char *key, *text;
    double value;

    for (int i = 0; fly_guard_limits_at(&k->limits, i, &key, &value, &text); i++) {
        if (text)
            fly_log(FLY_LOG_INFO, "limit", "%s: %s", key, text);
        else
            fly_log(FLY_LOG_INFO, "limit", "%s: %.15g", key, value);
    }
}

static void show_line(struct keeper *k)
{
    struct fly_guard_look look;
    char line[160];
    int n;

    fly_guard_look(k->guard, &look);
    n = snprintf(line, sizeof line, "%s%s%s  plugin %s  acquisition %s  passed %llu  refused %llu  worst %.4g  mean %.4g e-/A^2%s",
                 fly_guard_state_name(look.state), look.session[0] ? " " : "", look.session,
                 look.plugin_attached ? "attached" : "-", look.mode[0] ? look.mode : "-",
                 (unsigned long long)look.passed, (unsigned long long)look.refused, look.worst_e_per_A2,
                 look.mean_e_per_A2, look.journal_ok ? "" : "  JOURNAL FAILS");
    /* Session names are of letters that cannot speak to a terminal (the protocol's), and cut with the line. */
    pthread_mutex_lock(&k->terminal);
    clear_line(k);
    (void)!write(2, line, (size_t)(n < (int)sizeof line ? n : (int)sizeof line - 1));
    k->line_shown = 1;
    pthread_mutex_unlock(&k->terminal);
}

/* ---- running ------------------------------------------------------------------------------------------- */

static int open_guard(struct keeper *k)
{
    const struct fly_options *o = &k->options;
    struct fly_guard_config config = {
        .plugin = o->guard.plugin[0] ? o->guard.plugin : o->sockets.control,
        .listen = o->guard.listen,
        .journal = o->guard.journal,
        .limits = k->limits,
        .clock = k->clock,
        .disk = fly_disk_system(),
        .keys = o->security.keys,
        .allow = o->security.allow,
        .plugin_key = o->guard.plugin_key,
        .say = say,
        .ctx = k,
    };

    return fly_guard_open(&k->guard, &config);
}

static int watch(struct keeper *k)
{
    int64_t shown_ns = 0;
    int rc = FLY_OK;

    while (rc == FLY_OK && !stop_signal) {
        int hold = hold_signal;

        if (hold) {
            hold_signal = 0;
            fly_guard_hold_by_signal(k->guard, hold == 1);
        }
        rc = fly_guard_turn(k->guard);
        if (k->on_terminal && k->clock.mono_ns(k->clock.ctx) - shown_ns >= LINE_NS) {
            shown_ns = k->clock.mono_ns(k->clock.ctx);
            show_line(k);
        }
    }
    pthread_mutex_lock(&k->terminal);
    clear_line(k);
    pthread_mutex_unlock(&k->terminal);
    return rc;
}

int fly_cmd_guard(int argc, char **argv)
{
    struct keeper *k = calloc(1, sizeof *k);
    int rc, code;

    if (!k) {
        fprintf(stderr, "flyback guard: no memory\n");
        return 1;
    }
    code = read_args(k, argc, argv);
    if (code >= 0) {
        free(k);
        return code;
    }
    pthread_mutex_init(&k->terminal, NULL);
    k->clock = fly_clock_system();
    k->on_terminal = isatty(2);
    fly_log_open(&(struct fly_log_config){.level = (enum fly_log_level)k->options.log.level,
                                          .format = (enum fly_log_format)k->options.log.format,
                                          .fd = 2,
                                          .colour = -1});
    catch_signals();
    log_limits(k);
    rc = open_guard(k);
    if (rc == FLY_OK) {
        fly_log(FLY_LOG_INFO, "ready", "listens at %s, plugin %s, journal %s", fly_guard_address(k->guard),
                k->options.guard.plugin[0] ? k->options.guard.plugin : k->options.sockets.control,
                k->options.guard.journal);
        rc = watch(k);
        if (rc == FLY_OK)
            fly_log(FLY_LOG_INFO, "stopping", "%s", stop_signal == SIGINT ? "interrupted" : "asked to stop");
    }
    if (rc < 0)
        fly_log(FLY_LOG_ERROR, "guard", "%s", fly_fail_text());
    fly_guard_close(&k->guard);
    pthread_mutex_destroy(&k->terminal);
    free(k);
    if (rc < 0)
        return rc == FLY_ERANGE ? 2 : 1;
    return stop_signal == SIGINT ? 130 : 0;
}
