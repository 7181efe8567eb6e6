/* flyback import: vendors' files become a session recording. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/periodic.h"
#include "sim/commands.h"
#include "sim/import.h"
#include "sim/import_apart.h"
#include "stream/disk.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };
enum { EXIT_HELP = 1000, PATH_CAP = 1100 };
enum {
    STUCK_CPU_S = 60
}; /* the slowest step between two ticks, a picture of 16384 x 16384 px, takes 5 */

static const char usage_text[] =
    "usage: flyback import FILE [FILE ...] [options]\n"
    "Turn microscope files into a session recording; files given together are one session.\n"
    "\n"
    "  .emd            Velox: HAADF and the event streams of all EDS segments\n"
    "  .hspy           HyperSpy: images and EDS signals\n"
    "  .dm3 .dm4       Gatan: images and X-ray maps\n"
    "  .png .tiff .jpg pictures (pages of a .tiff are frames)\n"
    "  .npy            image (H, W), stack (frames, H, W), cube (H, W, E) with --eds or after its "
    "image\n"
    "\n"
    "  --out FILE             the recording (default: <session>.fly in --dir)\n"
    "  --dir DIR              where recordings go (default: recordings)\n"
    "  --eds FILE             one more file, of EDS counts\n"
    "  --events Y,X,CH        three .npy lists, one entry a photon; with --channels\n"
    "  --channels N           energy channels of --events\n"
    "  --ev-per-channel EV    width of a channel; replaces what files say\n"
    "  --ev-offset EV         energy of channel 0; replaces what files say\n"
    "  --pixel-nm NM[,NM]     size of a pixel (y, x); replaces what files say\n"
    "  --detector NAME        name of the first image (default: as its file says, or HAADF)\n"
    "  --elements LIST        Sr,Ti,O: the elements in it, or none; replaces what files say\n"
    "  --propose-elements     tell which elements the spectra speak of, also when files name some\n"
    "  --help\n"
    "\n"
    "One JSON object on stdout tells what was imported; what was left is named on stderr, and so are\n"
    "the elements that the spectra speak of when no file names any. Bruker .bcf, EDAX .spd, Oxford\n"
    ".h5oina, Nion and others: plugin/clients/python/flyback_convert.py makes a .hspy of them.\n"
    "\n"
    "examples:\n"
    "  flyback import scan.emd\n"
    "  flyback import haadf.hspy eds.hspy --out pair.fly\n";

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal)
{
    (void)signal;
    stop_asked = 1;
}

struct request {
    const char *paths[FLY_IMPORT_FILES_MAX];
    int as_eds[FLY_IMPORT_FILES_MAX];
    int32_t n_paths;
    char *events; /* "Y,X,CH", cut into event_paths */
    const char *event_paths[3];
    const char *out, *dir;
    int propose; /* asked for */
    struct fly_import_options options;
};

/* ---- arguments ------------------------------------------------------------------------------ */

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "flyback import: %s%s%s\nTry 'flyback import --help'.\n", what,
            value ? " " : "", value ? value : "");
    return EXIT_USAGE;
}

/* One number, or "a,b". Returns how many, 0 when it is neither. */
static int parse_numbers(const char *text, double *out, int max)
{
    int n = 0;

    for (;;) {
        char *end;

        out[n] = strtod(text, &end);
        if (end == text || !isfinite(out[n]))
            return 0;
        n++;
        if (*end == '\0')
            return n;
        if (*end != ',' || n == max)
            return 0;
        text = end + 1;
    }
}

static int parse_pixel(struct request *request, const char *text)
{
    double *nm = request->options.pixel_nm;
    int n = parse_numbers(text, nm, 2);

    if (n == 1)
        nm[1] = nm[0];
    if (n == 0 || nm[0] < 1e-6 || nm[0] > 1e6 || nm[1] < 1e-6 || nm[1] > 1e6)
        return usage_error("--pixel-nm takes NM or Y,X, each 1e-6 .. 1e6, not", text);
    return 0;
}

static int parse_events(struct request *request, const char *text)
{
    char *rest;

    free(request->events);
    rest = request->events = strdup(text);
    if (!rest)
        return usage_error("no memory for its arguments", NULL);
    for (int i = 0; i < 3; i++) {
        char *comma = strchr(rest, ',');

        if ((i < 2) != (comma != NULL) || *rest == '\0' || *rest == ',')
            return usage_error("--events takes three files Y,X,CH, not", text);
        request->event_paths[i] = rest;
        if (comma) {
            *comma = '\0';
            rest = comma + 1;
        }
    }
    return 0;
}

/* "Sr,Ti,O", each once, or "none". */
static int parse_elements(struct request *request, const char *text)
{
    struct fly_import_options *options = &request->options;
    const char *at = text;

    options->n_elements = 0;
    if (strcmp(text, "none") == 0)
        return 0;
    for (;;) {
        size_t len = strcspn(at, ",");
        char *symbol = options->elements[options->n_elements];

        if (fly_atomic_number(at, len) == 0 || options->n_elements == FLY_START_ELEMENTS_MAX)
            return usage_error("--elements takes symbols like Sr,Ti,O (at most 32), or none, not", text);
        snprintf(symbol, sizeof *options->elements, "%.*s", (int)len, at);
        for (int32_t i = 0; i < options->n_elements; i++)
            if (strcmp(options->elements[i], symbol) == 0)
                return usage_error("--elements names one twice:", text);
        options->n_elements++;
        if (at[len] == '\0')
            return 0;
        at += len + 1;
    }
}

static int add_path(struct request *request, const char *path, int as_eds)
{
    if (request->n_paths == FLY_IMPORT_FILES_MAX)
        return usage_error("more than 16 files", NULL);
    request->paths[request->n_paths] = path;
    request->as_eds[request->n_paths++] = as_eds;
    return 0;
}

static int parse_option(struct request *request, int option, const char *value)
{
    struct fly_import_options *options = &request->options;
    double number;
    char *end;
    long channels;

    switch (option) {
    case 'o':
        request->out = value;
        return 0;
    case 'd':
        request->dir = value;
        return 0;
    case 'e':
        return add_path(request, value, 1);
    case 'v':
        return parse_events(request, value);
    case 'c':
        channels = strtol(value, &end, 10);
        if (end == value || *end || channels < 1 || channels > FLY_CHANNELS_MAX)
            return usage_error("--channels takes 1 .. 16384, not", value);
        options->channels = (int32_t)channels;
        return 0;
    case 's':
        if (parse_numbers(value, &number, 1) != 1 || number < 1e-3 || number > 1e6)
            return usage_error("--ev-per-channel takes 0.001 .. 1e6 eV, not", value);
        options->ev_per_channel = number;
        return 0;
    case 'z':
        if (parse_numbers(value, &number, 1) != 1 || fabs(number) > 1e6)
            return usage_error("--ev-offset takes -1e6 .. 1e6 eV, not", value);
        options->ev_offset = number;
        return 0;
    case 'p':
        return parse_pixel(request, value);
    case 'n':
        options->detector = value;
        return 0;
    case 'l':
        return parse_elements(request, value);
    case 'q':
        request->propose = 1;
        return 0;
    }
    return EXIT_USAGE; /* getopt has said what is wrong */
}

/* 0: go on; EXIT_HELP: help was shown; else the exit code. */
static int parse_arguments(struct request *request, int argc, char **argv)
{
    static const struct option names[] = {
        {"out", required_argument, NULL, 'o'},
        {"dir", required_argument, NULL, 'd'},
        {"eds", required_argument, NULL, 'e'},
        {"events", required_argument, NULL, 'v'},
        {"channels", required_argument, NULL, 'c'},
        {"ev-per-channel", required_argument, NULL, 's'},
        {"ev-offset", required_argument, NULL, 'z'},
        {"pixel-nm", required_argument, NULL, 'p'},
        {"detector", required_argument, NULL, 'n'},
        {"elements", required_argument, NULL, 'l'},
        {"propose-elements", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, rc = 0;

    optind = 0; /* another command of this process may have parsed before */
    while (rc == 0 && (option = getopt_long(argc, argv, "-ho:", names, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage_text, stdout);
            return EXIT_HELP;
        }
        rc = option == 1 ? add_path(request, optarg, 0) : parse_option(request, option, optarg);
    }
    for (; rc == 0 && optind < argc; optind++) /* after "--" */
        rc = add_path(request, argv[optind], 0);
    if (rc != 0)
        return rc;
    if (request->n_paths == 0)
        return usage_error(
            request->events ? "--events needs an image of the same scan" : "which FILE?", NULL);
    if (request->events &&
        (request->options.channels == 0 || !isfinite(request->options.ev_per_channel) ||
         !isfinite(request->options.ev_offset)))
        return usage_error("--events needs --channels, --ev-per-channel and --ev-offset", NULL);
    if (!request->events && request->options.channels != 0)
        return usage_error("--channels goes with --events", NULL);
    return 0;
}

/* ---- progress ------------------------------------------------------------------------------- */

struct progress {
    int64_t begun_ms, shown_ms;
    int terminal, on_screen;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A line on a terminal once a job has taken a second. */
static int tick(void *ctx, const char *what, double done)
{
    struct progress *progress = ctx;
    int64_t now = progress->terminal ? now_ms() : 0;

    if (progress->terminal && now - progress->begun_ms > 1000 && now - progress->shown_ms > 200) {
        fprintf(stderr, "\r%-24s %3.0f %%", what, done * 100.0);
        progress->shown_ms = now;
        progress->on_screen = 1;
    }
    fly_import_alive(STUCK_CPU_S);
    return stop_asked;
}

static void clear_line(struct progress *progress)
{
    if (progress->on_screen)
        fprintf(stderr, "\r%-32s\r", "");
    progress->on_screen = 0;
}

/* ---- the work ------------------------------------------------------------------------------- */

struct job {
    struct fly_import *files[FLY_IMPORT_FILES_MAX + 1];
    int32_t n_files;
    struct fly_import_plan plan;
    struct request *request;
    int (*propose)(const char *recording, FILE *to);
    char *path; /* PATH_CAP, shared with the parent, which sweeps up after us if we die */
};

static void close_files(struct job *job)
{
    for (int32_t i = 0; i < job->n_files; i++) {
        fly_import_close(job->files[i]);
        free(job->files[i]);
    }
    job->n_files = 0;
}

/* What was noted since it was last told. */
static void tell_notes(struct fly_import *import, struct progress *progress)
{
    if (!import->notes)
        return;
    clear_line(progress);
    fputs(import->notes, stderr);
    free(import->notes);
    import->notes = NULL;
}

/* A failed open has closed the import itself; its notes are gone with it. */
static int keep_file(struct job *job, struct fly_import *import, int rc, struct progress *progress)
{
    if (rc < 0) {
        free(import);
        return rc;
    }
    job->files[job->n_files++] = import;
    tell_notes(import, progress);
    return FLY_OK;
}

static int open_files(struct job *job, struct request *request, struct progress *progress)
{
    struct fly_import_options *options = &request->options;
    const struct fly_import_image *first = NULL;
    struct fly_import *import;
    int rc = FLY_OK;

    for (int32_t i = 0; i < request->n_paths && rc == FLY_OK; i++) {
        const char *detector = options->detector;

        import = malloc(sizeof *import);
        if (!import)
            return fly_fail(FLY_ENOMEM, "no memory to open %s", request->paths[i]);
        if (first)
            options->detector = NULL;
        rc = fly_import_open(import, request->paths[i], request->as_eds[i], options);
        options->detector = detector;
        rc = keep_file(job, import, rc, progress);
        if (rc == FLY_OK && !first && import->n_images > 0) {
            first = &import->images[0];
            options->image_px[0] = first->height_px;
            options->image_px[1] = first->width_px;
        }
    }
    if (rc < 0 || !request->events)
        return rc;
    if (!first)
        return fly_fail(FLY_ERANGE, "%s: events need an image of the same scan beside them",
                        request->event_paths[0]);
    import = malloc(sizeof *import);
    if (!import)
        return fly_fail(FLY_ENOMEM, "no memory to open %s", request->event_paths[0]);
    rc =
        fly_import_open_events(import, request->event_paths[0], request->event_paths[1],
                               request->event_paths[2], first->height_px, first->width_px, options);
    return keep_file(job, import, rc, progress);
}

static int import_files(struct job *job, struct progress *progress)
{
    struct request *request = job->request;
    const char *sources[FLY_IMPORT_FILES_MAX + 3];
    int32_t n = 0;
    int rc = open_files(job, request, progress);

    if (rc == FLY_OK)
        rc = fly_import_plan(&job->plan, job->files, job->n_files, &request->options);
    for (int32_t i = 0; i < job->n_files; i++)
        tell_notes(job->files[i], progress);
    for (int32_t i = 0; i < request->n_paths; i++)
        sources[n++] = request->paths[i];
    for (int i = 0; request->events && i < 3; i++)
        sources[n++] = request->event_paths[i];
    if (rc == FLY_OK)
        rc = fly_import_identify(&job->plan, sources, n, &request->options);
    if (rc == FLY_OK && !request->out)
        rc = fly_folder_make(request->dir);
    if (rc < 0)
        return rc;
    if (request->out)
        snprintf(job->path, PATH_CAP, "%s", request->out);
    else
        snprintf(job->path, PATH_CAP, "%s/%s.fly", request->dir, job->plan.session);
    return fly_import_record(&job->plan, &request->options, job->path);
}

/* What was imported, as one JSON object. detectors are those of photons; images stand beside them.
 */
static int print_report(const struct job *job)
{
    json_t *detectors = json_array(), *images = json_array(), *report;
    int printed;

    for (int32_t f = 0; f < job->n_files; f++) {
        const struct fly_import *file = job->files[f];

        for (int32_t i = 0; i < file->n_images; i++)
            json_array_append_new(images, json_pack("{s:s, s:s, s:I}", "name", file->images[i].name,
                                                    "dtype", fly_dtype_name(file->images[i].dtype),
                                                    "frames", (json_int_t)file->images[i].frames));
        for (int32_t i = 0; i < file->n_eds; i++)
            json_array_append_new(detectors,
                                  json_pack("{s:s, s:I, s:I}", "name", file->eds[i].segment.name,
                                            "events", (json_int_t)file->eds[i].events, "marks",
                                            (json_int_t)file->eds[i].marks));
        for (int32_t i = 0; i < file->n_silent; i++)
            json_array_append_new(detectors,
                                  json_pack("{s:s, s:i, s:i}", "name", file->silent[i].name,
                                            "events", 0, "marks", 0));
    }
    report = json_pack("{s:o, s:I, s:o, s:[i,i], s:s, s:s}", "detectors", detectors, "frames",
                       (json_int_t)job->plan.frames, "images", images, "scan_shape_px",
                       job->plan.start.height_px, job->plan.start.width_px, "session", job->path,
                       "session_id", job->plan.session);
    printed = report && json_dumpf(report, stdout, JSON_COMPACT | JSON_SORT_KEYS) == 0 &&
              putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(report);
    if (!printed)
        return fly_fail(FLY_EIO, "the report cannot be written: %s", strerror(errno));
    return FLY_OK;
}

/* Elements that the spectra speak of, when nobody named any or when asked to. The recording is whole by
 * now: what goes wrong here fails the command only when it was asked for. */
static int propose_elements(const struct job *job)
{
    const struct fly_start *start = &job->plan.start;
    int rc;

    if (!job->propose || (!job->request->propose && (start->n_elements > 0 || start->n_segments == 0)))
        return FLY_OK;
    fly_import_alive(STUCK_CPU_S);
    rc = job->propose(job->path, stderr);
    if (rc < 0 && !job->request->propose) {
        fprintf(stderr, "no elements are proposed: %s\n", fly_fail_text());
        rc = FLY_OK;
    }
    return rc;
}

/* All that touches the files, in the child. */
static int work(void *ctx)
{
    struct job *job = ctx;
    struct progress progress = {.begun_ms = now_ms(), .terminal = isatty(STDERR_FILENO)};
    struct sigaction act = {.sa_handler = ask_stop};
    int rc;

    stop_asked = 0;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    fly_import_alive(STUCK_CPU_S);
    job->request->options.tick = tick;
    job->request->options.tick_ctx = &progress;
    rc = import_files(job, &progress);
    clear_line(&progress);
    if (rc == FLY_OK)
        rc = print_report(job);
    if (rc == FLY_OK)
        rc = propose_elements(job);
    if (rc < 0)
        fprintf(stderr, "flyback import: %s\n", fly_fail_text());
    close_files(job);
    if (rc == FLY_OK)
        return 0;
    return stop_asked && rc == FLY_EAGAIN ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int run_apart(struct job *job)
{
    char temporary[PATH_CAP + 32];
    struct fly_apart apart;

    if (fly_import_apart(&apart, work, job) < 0) {
        fprintf(stderr, "flyback import: %s\n", fly_fail_text());
        return EXIT_FAILED;
    }
    if (apart.exit_code >= 0)
        return apart.exit_code;
    if (job->path[0] && fly_import_temporary(temporary, sizeof temporary, job->path, apart.pid))
        unlink(temporary);
    if (apart.interrupted)
        return EXIT_INTERRUPTED;
    fprintf(stderr, "flyback import: %s%s: damaged in a way that no check foresaw: ",
            job->request->paths[0], job->request->n_paths > 1 ? " or a file given with it" : "");
    if (apart.signal == SIGPROF)
        fprintf(stderr, "its reader got no further in %d s", STUCK_CPU_S);
    else
        fprintf(stderr, "its reader died of signal %d (%s)", apart.signal, strsignal(apart.signal));
    fputs("; nothing was written\n", stderr);
    return EXIT_FAILED;
}

int fly_cmd_import(int argc, char **argv, int (*propose)(const char *recording, FILE *to))
{
    struct request request = {.dir = "recordings", .options = fly_import_options_default()};
    struct job *job = calloc(1, sizeof *job);
    char *path = mmap(NULL, PATH_CAP, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int code;

    if (!job || path == MAP_FAILED) {
        fprintf(stderr, "flyback import: no memory to begin\n");
        code = EXIT_FAILED;
    } else {
        job->request = &request;
        job->propose = propose;
        job->path = path;
        code = parse_arguments(&request, argc, argv);
        if (code == 0)
            code = run_apart(job);
        else if (code == EXIT_HELP)
            code = 0;
    }
    if (path != MAP_FAILED)
        munmap(path, PATH_CAP);
    free(request.events);
    free(job);
    return code;
}
