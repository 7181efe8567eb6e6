/* sim/cmd_watch_folder.c: `flyback watch-folder`: a saved file becomes a session and a map at once. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/ask.h"
#include "sim/commands.h"
#include "sim/folder.h"
#include "sim/import.h"
#include "sim/import_apart.h"
#include "sim/play.h"
#include "sim/played.h"
#include "sim/support_send.h"
#include "sim/tool.h"
#include "stream/disk.h"
#include "stream/keys.h"

static const char help_text[] =
    "Usage: flyback watch-folder DIR [options]\n"
    "\n"
    "Waits for files that are saved in DIR, imports each once it is complete, and sends it to a running\n"
    "Flyback as if it were measured now: a map within seconds of the save. Taken are .emd .hspy .dm3 .dm4\n"
    ".tif .tiff .png .jpg .jpeg .npy; names that begin with . or ~ are left. Each file is sent once, also\n"
    "over restarts. A measurement that Flyback is busy with is waited for, never broken off.\n"
    "\n"
    "  --existing             take what is there already, too; else only what comes or changes\n"
    "  --once                 end after one file\n"
    "  --support FILE         support set {class: [[row, col], ...]} in JSON, added to each session\n"
    "  --settle-s T           complete is what did not change for so long, 0.05 .. 3600 (2)\n"
    "  --poll-s T             look at least so often (network drives tell of no change), 0.05 .. 3600 (2)\n"
    "  --wait-s T             give a file up when Flyback is not free for so long, 0 .. 1e6; 0: never (0)\n"
    "  --work DIR             state and working files, a folder of its own (DIR/.flyback)\n"
    "  --detector NAME        name of a file's first image, where haadf.detector asks for one\n"
    "  --pixel-nm NM          size of a pixel, for files that do not say; replaces what they say\n"
    "  --ingest ADDR          Flyback's ingest socket (tcp://127.0.0.1:5570)\n"
    "  --publish ADDR         its publish socket (tcp://127.0.0.1:5571)\n"
    "  --control ADDR         its control socket (tcp://127.0.0.1:5572)\n"
    "  --keys DIR             our pair of keys (flyback keygen), where Flyback runs with keys: of the roles\n"
    "                         instrument,viewer, or instrument,operator with --support\n"
    "  --server-key FILE      its public.key, or the 40 characters themselves\n"
    "  --help                 this text\n"
    "\n"
    "One JSON object a file on stdout: file, session, messages, wall_s; progress and what went wrong on\n"
    "stderr. A file that fails is told and left, and the next one taken.\n"
    "Exit codes: 0 done (--once), 1 failed, 2 wrong usage, 130 interrupted.\n"
    "\n"
    "Examples\n"
    "  flyback watch-folder /data/velox --support phases.json\n"
    "  flyback watch-folder . --existing --once\n";

static const char *const endings[] = {".emd", ".hspy", ".dm3", ".dm4", ".tif", ".tiff",
                                      ".png", ".jpg", ".jpeg", ".npy", NULL};

enum {
    PATH_CAP   = 1400,
    REPLY_MS   = 2000,
    AGAIN_MS   = 500,      /* between two questions whether Flyback is free */
    STUCK_CPU_S = 60,      /* as flyback import: no step of a reader takes nearly as long */
    STOP_TIMEOUT_S = 600,  /* of a large file the last maps take minutes */
    PATIENCE_S = 120,
};

struct options {
    const char *folder, *work, *support, *keys, *server_key;
    struct fly_folder_config watch;
    struct fly_sender_config sender;
    struct fly_import_options import;
    double wait_s;
    int once, help;
};

/* How an import ended: written by the child that reads the file, in memory that both see. */
struct imported {
    char session[FLY_SESSION_MAX + 1];
    char path[PATH_CAP]; /* of the recording */
    int known;           /* the session was sent before: nothing was written */
    int32_t height_px, width_px;
    int64_t frames;
};

struct watch {
    struct options *options;
    char work[PATH_CAP];
    char name[PATH_CAP]; /* of the file at hand, as people see it */
    char path[PATH_CAP];
    struct fly_folder *folder;
    struct fly_played *played;
    struct fly_support_classes *support;
    struct imported *imported;
    /* while one is sent */
    struct fly_ask *ask;
    int opened, reused;
    char refused[400]; /* Flyback's words about a start that it did not take */
    int64_t begun_unix_ns, told_ns;
};

/* ---- arguments ---------------------------------------------------------------------------------- */

static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"existing", 0, NULL, 'e'}, {"once", 0, NULL, '1'},     {"support", 1, NULL, 's'},
        {"settle-s", 1, NULL, 't'}, {"poll-s", 1, NULL, 'o'},   {"wait-s", 1, NULL, 'a'},
        {"work", 1, NULL, 'w'},     {"detector", 1, NULL, 'n'}, {"pixel-nm", 1, NULL, 'x'},
        {"ingest", 1, NULL, 'i'},   {"publish", 1, NULL, 'p'},  {"control", 1, NULL, 'c'},
        {"keys", 1, NULL, 'k'},     {"server-key", 1, NULL, 'y'}, {"help", 0, NULL, 'h'},     {0},
    };
    int id, rc = FLY_OK;

    *o = (struct options){.sender = fly_sender_config_default(),
                          .import = fly_import_options_default(),
                          .watch = {.endings = endings, .settle_s = 2.0, .poll_s = 2.0}};
    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && (id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        switch (id) {
        case 'e': o->watch.existing = 1; break;
        case '1': o->once = 1; break;
        case 's': o->support = optarg; break;
        case 't': rc = fly_tool_f64("--settle-s", optarg, 0.05, 3600.0, &o->watch.settle_s); break;
        case 'o': rc = fly_tool_f64("--poll-s", optarg, 0.05, 3600.0, &o->watch.poll_s); break;
        case 'a': rc = fly_tool_f64("--wait-s", optarg, 0.0, 1e6, &o->wait_s); break;
        case 'w': o->work = optarg; break;
        case 'n': o->import.detector = optarg; break;
        case 'x': rc = fly_tool_f64("--pixel-nm", optarg, 1e-6, 1e6, &o->import.pixel_nm[0]); break;
        case 'i': o->sender.ingest = optarg; break;
        case 'p': o->sender.publish = optarg; break;
        case 'c': o->sender.control = optarg; break;
        case 'k': o->keys = optarg; break;
        case 'y': o->server_key = optarg; break;
        case 'h': o->help = 1; break;
        default:
            rc = fly_fail(FLY_ERANGE, "%.80s: no such option, or its value is missing", argv[optind - 1]);
        }
    }
    o->import.pixel_nm[1] = o->import.pixel_nm[0];
    if (rc < 0 || o->help)
        return rc;
    if (optind + 1 != argc)
        return fly_fail(FLY_ERANGE, "one folder is expected, %d given", argc - optind);
    o->folder = o->watch.path = argv[optind];
    if (strlen(o->folder) > 1000 || (o->work && strlen(o->work) > 1000))
        return fly_fail(FLY_ERANGE, "a path of more than 1000 bytes");
    return fly_client_keys(&o->sender.curve, o->keys, o->server_key);
}

/* ---- import, in a process of its own ------------------------------------------------------------- */

static int tick(void *ctx, const char *what, double done)
{
    (void)ctx;
    (void)what;
    (void)done;
    fly_import_alive(STUCK_CPU_S);
    return *fly_tool_stop();
}

static int record(struct watch *w, struct fly_import *file)
{
    struct imported *out = w->imported;
    const char *source = w->path;
    struct fly_import *files[1] = {file};
    struct fly_import_plan *plan = calloc(1, sizeof *plan);
    int rc = plan ? FLY_OK : fly_fail(FLY_ENOMEM, "%s: no memory to import it", w->name);

    if (rc == FLY_OK)
        rc = fly_import_plan(plan, files, 1, &w->options->import);
    if (rc == FLY_OK)
        rc = fly_import_identify(plan, &source, 1, &w->options->import);
    if (rc == FLY_OK) {
        memcpy(out->session, plan->session, sizeof out->session);
        out->height_px = plan->start.height_px;
        out->width_px = plan->start.width_px;
        out->frames = plan->frames;
        out->known = fly_played_session(w->played, plan->session);
    }
    if (rc == FLY_OK && !out->known) {
        snprintf(out->path, sizeof out->path, "%.1200s/%s.fly", w->work, plan->session);
        rc = fly_import_record(plan, &w->options->import, out->path);
    }
    free(plan);
    return rc;
}

/* In the child. */
static int import_file(void *ctx)
{
    struct watch *w = ctx;
    struct fly_import *file = malloc(sizeof *file);
    int rc;

    fly_tool_signals_begin();
    fly_import_alive(STUCK_CPU_S);
    w->options->import.tick = tick;
    rc = file ? fly_import_open(file, w->path, 0, &w->options->import)
              : fly_fail(FLY_ENOMEM, "%s: no memory to open it", w->name);
    if (rc == FLY_OK) {
        if (file->notes)
            fputs(file->notes, stderr);
        rc = record(w, file);
        char why[480];

        snprintf(why, sizeof why, "%s", fly_fail_text());
        fly_import_close(file);
        if (rc < 0)
            rc = fly_fail(rc, "%s", why);
    }
    free(file);
    if (rc < 0 && rc != FLY_EAGAIN)
        fprintf(stderr, "flyback watch-folder: %s\n", fly_fail_text());
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}

/* FLY_ERANGE: it failed, and that was told. FLY_EAGAIN: interrupted. */
static int import_apart(struct watch *w)
{
    char temporary[PATH_CAP + 32];
    struct fly_apart apart;

    memset(w->imported, 0, sizeof *w->imported);
    if (fly_import_apart(&apart, import_file, w) < 0)
        return FLY_EIO;
    if (apart.exit_code == FLY_EXIT_DONE)
        return FLY_OK;
    if (apart.exit_code < 0 && w->imported->path[0] &&
        fly_import_temporary(temporary, sizeof temporary, w->imported->path, apart.pid))
        unlink(temporary);
    if (apart.interrupted || apart.exit_code == FLY_EXIT_INTERRUPTED)
        return FLY_EAGAIN;
    if (apart.exit_code < 0)
        fprintf(stderr, "flyback watch-folder: %s: damaged in a way that no check foresaw: its reader %s\n", w->name,
                apart.signal == SIGPROF ? "got no further" : strsignal(apart.signal));
    return FLY_ERANGE;
}

/* ---- sending ------------------------------------------------------------------------------------- */

static void text_of(struct fly_value map, const char *key, char *out, size_t cap)
{
    struct fly_value value;
    const char *text;
    size_t len;

    out[0] = '\0';
    if (fly_value_get(map, key, &value) && fly_value_str(value, &text, &len))
        snprintf(out, cap, "%.*s", (int)len, text);
}

/* Wait until Flyback answers and no other session is open: a start would break that one off. */
static int wait_until_free(struct watch *w)
{
    struct fly_clock clock = fly_tool_clock();
    int64_t begun_ns = clock.mono_ns(clock.ctx);
    char told[400] = "", now[400], state[32], session[FLY_SESSION_MAX + 1];

    for (;;) {
        struct fly_value status;
        int rc = fly_ask(w->ask, "status", NULL, REPLY_MS, &status);

        if (rc == FLY_EAGAIN)
            return rc;
        if (rc == FLY_OK) {
            text_of(status, "state", state, sizeof state);
            text_of(status, "session", session, sizeof session);
            int ours = strcmp(session, w->imported->session) == 0, idle = strcmp(state, "idle") == 0;

            if (idle && ours) { /* the last one that it had: its stop is told to whoever comes */
                w->reused = 1;
                return fly_fail(FLY_ERANGE, "Flyback has session %s already", session);
            }
            if (idle || ours)
                return FLY_OK;
            snprintf(now, sizeof now, "Flyback is %s with session %s: waiting for its end", state, session);
        } else {
            rc = fly_ask_handshake(w->ask);
            if (rc == FLY_EIO) {
                snprintf(now, sizeof now, "%s", fly_fail_text());
                return fly_fail(rc, "no way into Flyback: %s", now);
            }
            snprintf(now, sizeof now, "no Flyback answers at %s: %s", w->options->sender.control,
                     rc < 0 ? fly_fail_text() : "waiting for it (start it with `flyback run`)");
        }
        if (strcmp(told, now) != 0)
            fprintf(stderr, "%s: %s\n", w->name, now);
        memcpy(told, now, sizeof told);
        if (w->options->wait_s > 0.0 &&
            (double)(clock.mono_ns(clock.ctx) - begun_ns) * 1e-9 > w->options->wait_s)
            return fly_fail(FLY_EIO, "given up after %g s: %s", w->options->wait_s, now);
        usleep(AGAIN_MS * 1000);
        if (*fly_tool_stop())
            return FLY_EAGAIN;
    }
}

/* What Flyback says while our session is not open may be about our start. An event of before is told again to
 * whoever comes: that is none of ours. */
static void hear_event(struct watch *w, const struct fly_published *message)
{
    char code[64];

    if (w->opened || message->t_ns < w->begun_unix_ns)
        return;
    text_of(message->header, "code", code, sizeof code);
    if (strcmp(code, "session_reused") == 0)
        w->reused = 1;
    for (int i = FLY_REFUSE_NONE + 1; i < FLY_REFUSALS && !w->reused && !w->refused[0]; i++)
        if (i != FLY_REFUSE_NO_SESSION && i != FLY_REFUSE_OTHER_SESSION && i != FLY_REFUSE_AFTER_STOP &&
            strcmp(code, fly_refusal_name((enum fly_refusal)i)) == 0)
            text_of(message->header, "text", w->refused, sizeof w->refused);
}

static void hear(void *ctx, const struct fly_published *message)
{
    struct watch *w = ctx;

    if (strcmp(message->type, "start") == 0 && strcmp(message->session, w->imported->session) == 0) {
        if (!w->opened && w->support && fly_support_classes_send(w->support, w->ask) < 0 && !*fly_tool_stop())
            fprintf(stderr, "%s: without its support set: %s\n", w->name, fly_fail_text());
        w->opened = 1;
    }
    if (strcmp(message->type, "event") == 0)
        hear_event(w, message);
}

static int look_at_play(void *ctx, const struct fly_play_report *so_far)
{
    struct watch *w = ctx;
    struct fly_clock clock = fly_tool_clock();
    int64_t now_ns = clock.mono_ns(clock.ctx);

    if (w->reused)
        return fly_fail(FLY_ERANGE, "Flyback has session %s already", so_far->session);
    if (w->refused[0])
        return fly_fail(FLY_ERANGE, "Flyback does not take it: %s", w->refused);
    if (isatty(STDERR_FILENO) && now_ns - w->told_ns > 200000000) {
        w->told_ns = now_ns;
        fprintf(stderr, "\r\033[K%s: %" PRIu64 " of %" PRIu64 " messages%s", w->name, so_far->sent, so_far->messages,
                so_far->sender.alive ? "" : "  Flyback is silent");
    }
    return FLY_OK;
}

static int print_report(const struct watch *w, const struct fly_play_report *report)
{
    char name[sizeof w->name];
    json_t *json;

    snprintf(name, sizeof name, "%s", w->name);
    json = json_string(name);
    for (char *at = name; !json && *at; at++) /* a name that is no UTF-8: old shares have such */
        *at = *at & 0x80 ? '?' : *at;
    json_decref(json);
    json = json_pack("{s:s, s:s, s:I, s:f}", "file", name, "session", report->session, "messages",
                     (json_int_t)report->sent, "wall_s", report->wall_s);

    int printed = json && json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 &&
                  putchar('\n') != EOF && fflush(stdout) == 0;

    json_decref(json);
    return printed ? FLY_OK : fly_fail(FLY_EIO, "the report cannot be written: %s", strerror(errno));
}

static int play(struct watch *w, struct fly_net *net, struct fly_play_report *report)
{
    struct fly_play_config config = {.path = w->imported->path,
                                     .from = 1,
                                     .connect_timeout_s = 30.0,
                                     .stop_timeout_s = STOP_TIMEOUT_S,
                                     .patience_s = PATIENCE_S,
                                     .sender = w->options->sender,
                                     .tick = look_at_play,
                                     .tick_ctx = w};
    int rc;

    config.sender.net = net;
    config.sender.clock = fly_tool_clock();
    config.sender.topics = "event";
    config.sender.hear = hear;
    config.sender.hear_ctx = w;
    w->opened = w->reused = 0;
    w->refused[0] = '\0';
    rc = fly_ask_open(&w->ask, net, w->options->sender.control, &w->options->sender.curve);
    if (rc == FLY_OK)
        rc = wait_until_free(w);
    /* Only now: what was said while we waited was about others. */
    w->begun_unix_ns = config.sender.clock.unix_ns(config.sender.clock.ctx);
    if (rc == FLY_OK)
        rc = fly_play(&config, report);
    fly_ask_close(&w->ask);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (rc == FLY_OK)
        fprintf(stderr, "%s: sent in %.1f s, %" PRIu64 " messages; the final maps are out\n", w->name, report->wall_s,
                report->sent);
    return rc;
}

/* ---- one file after the other --------------------------------------------------------------------- */

/* FLY_EAGAIN: interrupted. FLY_ERANGE: failed, and told: go on with the next. */
static int take(struct watch *w, const struct fly_folder_file *file)
{
    struct fly_net *net = NULL;
    struct fly_play_report report;
    int rc = import_apart(w), played = 0;

    if (rc == FLY_OK && !w->imported->known) {
        fprintf(stderr, "%s: %d x %d px, frames: %" PRId64 "; session %s\n", w->name, (int)w->imported->height_px,
                (int)w->imported->width_px, w->imported->frames, w->imported->session);
        /* Opened only now: the import forks, and a context has threads. */
        rc = fly_net_open(&net);
        if (rc == FLY_OK)
            rc = play(w, net, &report);
        played = rc == FLY_OK;
        fly_net_close(&net);
        unlink(w->imported->path);
    } else if (rc == FLY_OK) {
        fprintf(stderr, "%s: was sent before, as session %s\n", w->name, w->imported->session);
    } else {
        return rc;
    }
    if (rc == FLY_OK || w->reused) {
        if (w->reused)
            fprintf(stderr, "%s: %s\n", w->name, fly_fail_text());
        rc = fly_played_add(w->played, w->imported->session, file);
        return rc == FLY_OK && played ? print_report(w, &report) : rc;
    }
    if (rc != FLY_EAGAIN)
        fprintf(stderr, "flyback watch-folder: %s: %s\n", w->name, fly_fail_text());
    return rc == FLY_EAGAIN ? FLY_EAGAIN : FLY_ERANGE;
}

static int watch_files(struct watch *w)
{
    struct fly_folder_file file;
    int rc = FLY_OK;

    while (!*fly_tool_stop()) {
        rc = fly_folder_next(w->folder, 1000, &file);
        if (rc == FLY_EAGAIN)
            continue;
        if (rc < 0)
            return rc;
        if (fly_played_file(w->played, &file))
            continue;
        snprintf(w->name, sizeof w->name, "%s", file.name);
        snprintf(w->path, sizeof w->path, "%s/%s", w->options->folder, file.name);
        rc = take(w, &file);
        if (rc == FLY_EAGAIN)
            return rc;
        if (rc == FLY_EIO) /* not the file's fault: the disk's, or stdout's */
            return rc;
        if (w->options->once)
            return rc;
    }
    return FLY_EAGAIN;
}

static int open_watch(struct watch *w)
{
    struct options *o = w->options;
    int rc = FLY_OK;

    if (o->support)
        rc = fly_support_classes_load(&w->support, o->support);
    /* The folder first: a mistyped one is to be told, not made. */
    if (rc == FLY_OK)
        rc = fly_folder_open(&w->folder, &o->watch);
    if (rc < 0)
        return rc;
    snprintf(w->work, sizeof w->work, "%s%s", o->work ? o->work : o->folder, o->work ? "" : "/.flyback");
    rc = fly_folder_make(w->work);
    if (rc < 0) {
        char why[400];

        snprintf(why, sizeof why, "%s", fly_fail_text());
        return fly_fail(rc, "%s (name a folder that can be written with --work)", why);
    }
    return fly_played_open(&w->played, w->work);
}

int fly_cmd_watch_folder(int argc, char **argv)
{
    struct options options;
    struct watch w = {.options = &options};
    int rc = read_options(&options, argc, argv);

    if (rc < 0 || options.help) {
        if (rc < 0)
            fprintf(stderr, "flyback watch-folder: %s (see flyback watch-folder --help)\n", fly_fail_text());
        else
            fputs(help_text, stdout);
        return rc < 0 ? FLY_EXIT_USAGE : FLY_EXIT_DONE;
    }
    w.imported = mmap(NULL, sizeof *w.imported, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w.imported == MAP_FAILED) {
        fprintf(stderr, "flyback watch-folder: no memory to begin\n");
        return FLY_EXIT_FAILED;
    }
    fly_tool_signals_begin();
    rc = open_watch(&w);
    if (rc == FLY_OK) {
        fprintf(stderr, "watching %s\n", options.folder);
        rc = watch_files(&w);
    }
    fly_tool_signals_end();
    if (rc < 0 && rc != FLY_EAGAIN && rc != FLY_ERANGE)
        fprintf(stderr, "flyback watch-folder: %s\n", fly_fail_text());
    else if (rc == FLY_ERANGE && !w.name[0])
        fprintf(stderr, "flyback watch-folder: %s\n", fly_fail_text());
    fly_played_close(&w.played);
    fly_folder_close(&w.folder);
    fly_support_classes_free(&w.support);
    munmap(w.imported, sizeof *w.imported);
    return rc == FLY_OK ? FLY_EXIT_DONE : rc == FLY_EAGAIN ? FLY_EXIT_INTERRUPTED : FLY_EXIT_FAILED;
}
