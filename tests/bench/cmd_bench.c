/* flyback bench: every case, or those named, one JSON line each. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/err.h"

static int assembly(FILE *out, const char *dir)
{
    (void)dir;
    return bench_assembly(out);
}

static int wire(FILE *out, const char *dir)
{
    (void)dir;
    return bench_wire(out);
}

static int embed(FILE *out, const char *dir)
{
    (void)dir;
    return bench_embed(out);
}

static int label(FILE *out, const char *dir)
{
    (void)dir;
    return bench_label(out);
}

static const struct {
    const char *name;
    int (*run)(FILE *out, const char *dir);
    const char *what;
} cases[] = {
    {"wire", wire, "decoding messages, hashing them"},
    {"assembly", assembly, "lines and photons into chips, beside plain loops"},
    {"label", label, "relabelling the map after a change of the support set, beside the plain twin"},
    {"embed", embed, "the embedders; VGG16 at 32 px beside oneDNN's own two-thread figure"},
    {"recording", bench_recording, "the session file with 64-KiB messages, beside plain writes and one sync"},
    {"ingest", bench_ingest, "1-KiB lines into a running plugin, beside bare sockets"},
};
enum { CASES = sizeof cases / sizeof *cases };

static void help(void)
{
    printf("Usage: flyback bench [CASE ...] [--dir DIR]\n\nMeasures, one JSON line per case on stdout: name, size, "
           "threads, median, unit, reference, ratio.\n\n");
    for (int i = 0; i < CASES; i++)
        printf("  %-10s %s\n", cases[i].name, cases[i].what);
    printf("\n  --dir DIR  where recordings are written and removed again (a new folder below /tmp)\n"
           "\nExamples\n  flyback bench\n  flyback bench embed recording --dir /data\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int wanted(int argc, char **argv, const char *name)
{
    int named = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0) {
            i++;
            continue;
        }
        named = 1;
        if (strcmp(argv[i], name) == 0)
            return 1;
    }
    return !named;
}

static int check(int argc, char **argv, const char **parent)
{
    for (int i = 1; i < argc; i++) {
        int known = 0;

        if (strcmp(argv[i], "--dir") == 0) {
            if (++i == argc)
                return fly_fail(FLY_ERANGE, "--dir needs a value");
            *parent = argv[i];
            continue;
        }
        for (int c = 0; c < CASES; c++)
            known |= strcmp(argv[i], cases[c].name) == 0;
        if (!known)
            return fly_fail(FLY_ERANGE, "%s: no such case (see --help)", argv[i]);
    }
    return FLY_OK;
}

int fly_cmd_bench(int argc, char **argv)
{
    const char *parent = "/tmp";
    char dir[200];
    int rc;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help();
        return 0;
    }
    rc = check(argc, argv, &parent);
    if (rc < 0) {
        fprintf(stderr, "flyback bench: %s\n", fly_fail_text());
        return 2;
    }
    snprintf(dir, sizeof dir, "%.150s/flyback-bench.XXXXXX", parent);
    if (!mkdtemp(dir)) {
        fprintf(stderr, "flyback bench: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    for (int i = 0; rc == FLY_OK && i < CASES; i++)
        if (wanted(argc, argv, cases[i].name))
            rc = cases[i].run(stdout, dir);
    if (rc < 0)
        fprintf(stderr, "flyback bench: %s\n", fly_fail_text());
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc < 0;
}
