/* flyback session: which recordings there are, and whether each is whole. */
#include "plugin/commands.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "plugin/json.h"
#include "plugin/options.h"
#include "plugin/text.h"
#include "plugin/verify.h"

extern char **environ;

static void print_help(void)
{
    printf("Usage: flyback session ls [--json] [DIR | FILE.fly ...]\n"
           "       flyback session verify [--json] FILE.fly ...\n"
           "\n"
           "  ls       the recordings of a folder (without one: recording.dir), the newest last: when they began, what they\n"
           "           are of, how large they are, and whether they are finished. Reads the beginning of each file alone\n"
           "  verify   reads every record: checksums, messages by the rules of the protocol, numbers of each stream\n"
           "           against those that its stop told; says what is missing, torn or damaged, and where. Of a session\n"
           "           that was steered it counts decisions, commands (stops among them) and acks, too\n"
           "  --json   one JSON object a line\n"
           "  --config FILE, --set key=value   settings (recording.dir)\n"
           "\n"
           "An unfinished recording is not wrong: the plugin goes on with it at its next start.\n"
           "Exit codes: 0 all are right, 1 something is wrong or cannot be read, 2 wrong usage.\n"
           "\n"
           "Examples\n"
           "  flyback session ls\n"
           "  flyback session verify recordings/*.fly\n");
}

/* ---- the list ----------------------------------------------------------------------------------- */

struct paths {
    char **path;
    size_t n, cap;
};

static int add_path(struct paths *paths, const char *dir, const char *name)
{
    size_t len = strlen(dir) + strlen(name) + 2;
    char *path = malloc(len);

    if (path && paths->n == paths->cap) {
        size_t cap = paths->cap ? 2 * paths->cap : 64;
        char **more = realloc(paths->path, cap * sizeof *more);

        if (!more) {
            free(path);
            path = NULL;
        } else {
            paths->path = more;
            paths->cap = cap;
        }
    }
    if (!path)
        return fly_fail(FLY_ENOMEM, "no memory for the list of recordings");
    snprintf(path, len, "%s%s%s", dir, *dir ? "/" : "", name);
    paths->path[paths->n++] = path;
    return FLY_OK;
}

static int is_recording(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".fly") == 0;
}

/* A file as it is, of a folder its recordings. */
static int collect(struct paths *paths, const char *where)
{
    struct stat facts;
    struct dirent *entry;
    DIR *dir;
    int rc = FLY_OK;

    if (stat(where, &facts) < 0)
        return fly_fail(FLY_EIO, "%s: %s", where, strerror(errno));
    if (!S_ISDIR(facts.st_mode))
        return add_path(paths, "", where);
    dir = opendir(where);
    if (!dir)
        return fly_fail(FLY_EIO, "%s: %s", where, strerror(errno));
    while (rc == FLY_OK && (entry = readdir(dir)) != NULL)
        if (is_recording(entry->d_name))
            rc = add_path(paths, where, entry->d_name);
    closedir(dir);
    return rc;
}

static void utc_text(char out[32], int64_t t_ns)
{
    time_t seconds = (time_t)(t_ns / 1000000000);
    struct tm utc;

    if (t_ns <= 0 || !gmtime_r(&seconds, &utc) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &utc))
        snprintf(out, 32, "-");
}

static const char *size_text(char out[32], int64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    int i = 0;

    while (size >= 1024.0 && i < 4) {
        size /= 1024.0;
        i++;
    }
    snprintf(out, 32, i && size < 10.0 ? "%.1f %s" : "%.0f %s", size, unit[i]);
    return out;
}

static void json_streams(struct fly_json *json, const struct fly_start *start)
{
    fly_json_key(json, "detectors");
    fly_json_row(json);
    for (int32_t i = 0; i < start->n_detectors; i++)
        fly_json_str(json, start->detectors[i].name);
    fly_json_end(json);
    fly_json_key(json, "eds");
    fly_json_row(json);
    for (int32_t i = 0; i < start->n_segments; i++)
        fly_json_str(json, start->segments[i].name);
    fly_json_end(json);
}

static void print_json(const struct fly_brief *brief, const char *path)
{
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "file");
    fly_json_str(&json, path);
    fly_json_key(&json, "session");
    fly_json_str(&json, brief->id);
    fly_json_key(&json, "started_ns");
    fly_json_int(&json, brief->t_ns);
    fly_json_key(&json, "scan_shape_px");
    fly_json_row(&json);
    fly_json_int(&json, brief->start.height_px);
    fly_json_int(&json, brief->start.width_px);
    fly_json_end(&json);
    json_streams(&json, &brief->start);
    fly_json_key(&json, "sample");
    fly_json_str(&json, brief->start.sample);
    fly_json_key(&json, "bytes");
    fly_json_int(&json, brief->bytes);
    fly_json_key(&json, "finished");
    fly_json_bool(&json, brief->finished);
    fly_json_end(&json);
    fly_json_done(&json);
    fputs(fly_text_str(&text), stdout);
    fly_text_fini(&text);
}

static void print_row(const struct fly_brief *brief, const char *path)
{
    char when[32], size[32], what[32];

    utc_text(when, brief->t_ns);
    snprintf(what, sizeof what, "%d x %d", (int)brief->start.height_px, (int)brief->start.width_px);
    printf("%-19s  %-13s  %d image, %d EDS  %9s  %-10s  %s", when, what, (int)brief->start.n_detectors,
           (int)brief->start.n_segments, size_text(size, brief->bytes), brief->finished ? "finished" : "unfinished", path);
    printf(brief->start.sample[0] ? "  (%s)\n" : "\n", brief->start.sample);
}

struct listed {
    struct fly_brief brief;
    const char *path;
};

static int compare_started(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;

    if (x->brief.t_ns != y->brief.t_ns)
        return x->brief.t_ns < y->brief.t_ns ? -1 : 1;
    return strcmp(x->path, y->path);
}

static int list(const struct paths *paths, int as_json)
{
    struct listed *of = calloc(paths->n + 1, sizeof *of);
    size_t n = 0;
    int wrong = 0;

    if (!of) {
        fprintf(stderr, "flyback session: no memory for %zu recordings\n", paths->n);
        return 1;
    }
    for (size_t i = 0; i < paths->n; i++) {
        of[n].path = paths->path[i];
        if (fly_brief_read(&of[n].brief, paths->path[i]) == FLY_OK) {
            n++;
        } else {
            fprintf(stderr, "flyback session: %s\n", fly_fail_text());
            wrong = 1;
        }
    }
    qsort(of, n, sizeof *of, compare_started);
    if (n && !as_json)
        printf("%-19s  %-13s  %-14s  %9s  %-10s  file (sample)\n", "began, UTC", "scan, px", "streams", "size", "state");
    for (size_t i = 0; i < n; i++) {
        if (as_json)
            print_json(&of[i].brief, of[i].path);
        else
            print_row(&of[i].brief, of[i].path);
    }
    free(of);
    return wrong;
}

/* ---- verify ------------------------------------------------------------------------------------- */

static const char *what_is_wrong(const struct fly_verified *v)
{
    return v->wrong[0] ? v->wrong : v->broken;
}

static void verified_json(const struct fly_verified *v, const char *path)
{
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "file");
    fly_json_str(&json, path);
    fly_json_key(&json, "ok");
    fly_json_bool(&json, !*what_is_wrong(v));
    fly_json_key(&json, "wrong");
    if (*what_is_wrong(v))
        fly_json_str(&json, what_is_wrong(v));
    else
        fly_json_null(&json);
    fly_json_key(&json, "records");
    fly_json_uint(&json, v->records);
    fly_json_key(&json, "messages");
    fly_json_uint(&json, v->messages);
    fly_json_key(&json, "requests");
    fly_json_uint(&json, v->requests);
    fly_json_key(&json, "decisions");
    fly_json_uint(&json, v->decisions);
    fly_json_key(&json, "commands");
    fly_json_uint(&json, v->commands);
    fly_json_key(&json, "acks");
    fly_json_uint(&json, v->acks);
    fly_json_key(&json, "gaps");
    fly_json_uint(&json, v->gaps);
    fly_json_key(&json, "finished");
    fly_json_bool(&json, v->finished);
    fly_json_key(&json, "missing");
    fly_json_object(&json);
    for (int32_t i = 0; i < v->n_streams; i++) {
        fly_json_key(&json, v->stream[i].name);
        fly_json_uint(&json, v->stream[i].missing);
    }
    fly_json_end(&json);
    fly_json_end(&json);
    fly_json_done(&json);
    fputs(fly_text_str(&text), stdout);
    fly_text_fini(&text);
}

static void print_verified(const struct fly_verified *v, const char *path)
{
    printf("%s: %s; %" PRIu64 " records, %" PRIu64 " messages, %" PRIu64 " requests, ", path,
           *what_is_wrong(v) ? "WRONG" : "whole", v->records, v->messages, v->requests);
    if (v->decisions + v->commands + v->acks)
        printf("steering: %" PRIu64 " decision%s, %" PRIu64 " command%s, %" PRIu64 " ack%s, ", v->decisions,
               fly_plural((int64_t)v->decisions), v->commands, fly_plural((int64_t)v->commands), v->acks,
               fly_plural((int64_t)v->acks));
    printf("%s\n", v->finished ? "finished" : "not finished: Flyback goes on with it at its next start");
    for (int32_t i = 0; i < v->n_streams; i++)
        if (v->stream[i].missing)
            printf("  %s: %" PRIu64 " of %" PRIu64 " numbers are not in it\n", v->stream[i].name, v->stream[i].missing,
                   v->stream[i].last);
    if (v->gaps)
        printf("  %" PRIu64 " gaps are told: messages that went by unrecorded\n", v->gaps);
    if (*what_is_wrong(v))
        printf("  %s\n", what_is_wrong(v));
}

static int verify(const struct paths *paths, int as_json)
{
    int wrong = 0;

    for (size_t i = 0; i < paths->n; i++) {
        struct fly_verified *v = calloc(1, sizeof *v);

        if (!v || fly_verify(v, paths->path[i]) < 0) {
            fprintf(stderr, "flyback session: %s\n", v ? fly_fail_text() : "no memory");
            wrong = 1;
        } else {
            (as_json ? verified_json : print_verified)(v, paths->path[i]);
            wrong |= *what_is_wrong(v) != '\0';
        }
        free(v);
    }
    return wrong;
}

/* ---- the command -------------------------------------------------------------------------------- */

static int run(int argc, char **argv, const struct fly_options *options, struct paths *paths)
{
    static const struct option longs[] = {{"json", 0, 0, 'j'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    int c, as_json = 0, rc = FLY_OK, listing;

    optind = 0; /* glibc: begin anew */
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'h') {
            print_help();
            return 0;
        }
        if (c != 'j')
            return 2; /* getopt has said why */
        as_json = 1;
    }
    if (optind == argc || (strcmp(argv[optind], "ls") != 0 && strcmp(argv[optind], "verify") != 0)) {
        fprintf(stderr, "flyback session: it is `ls` or `verify` (see --help)\n");
        return 2;
    }
    listing = strcmp(argv[optind++], "ls") == 0;
    if (!listing && optind == argc) {
        fprintf(stderr, "flyback session verify: no recording named (see --help)\n");
        return 2;
    }
    if (optind == argc)
        rc = collect(paths, options->recording.dir);
    for (int i = optind; rc == FLY_OK && i < argc; i++)
        rc = collect(paths, argv[i]);
    if (rc < 0) {
        fprintf(stderr, "flyback session: %s\n", fly_fail_text());
        return 1;
    }
    return listing ? list(paths, as_json) : verify(paths, as_json);
}

int fly_cmd_session(int argc, char **argv)
{
    struct fly_options *options = malloc(sizeof *options);
    struct paths paths = {0};
    int rc;

    if (!options) {
        fprintf(stderr, "flyback session: no memory\n");
        return 1;
    }
    fly_options_default(options);
    rc = fly_options_load_args(options, &argc, argv, environ);
    if (rc < 0) {
        fprintf(stderr, "flyback session: %s\n", fly_fail_text());
        rc = 2;
    } else {
        rc = run(argc, argv, options, &paths);
    }
    for (size_t i = 0; i < paths.n; i++)
        free(paths.path[i]);
    free(paths.path);
    free(options);
    return rc;
}
