/* flyback bench: every case, or those named, one JSON line each. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/err.h"
#include "tests/bench/bench_steer.h"

static int assembly(FILE *out, const struct bench_options *options)
{
    (void)options;
    return bench_assembly(out);
}

static int quality(FILE *out, const struct bench_options *options)
{
    (void)options;
    return bench_quality(out);
}

static int wire(FILE *out, const struct bench_options *options)
{
    (void)options;
    return bench_wire(out);
}

static int embed(FILE *out, const struct bench_options *options)
{
    (void)options;
    return bench_embed(out);
}

static int label(FILE *out, const struct bench_options *options)
{
    (void)options;
    return bench_label(out);
}

static int recording(FILE *out, const struct bench_options *options)
{
    return bench_recording(out, options->dir);
}

static int ingest(FILE *out, const struct bench_options *options)
{
    return bench_ingest(out, options->dir);
}

static const struct {
    const char *name;
    int (*run)(FILE *out, const struct bench_options *options);
    const char *what;
} cases[] = {
    {"wire", wire, "decoding messages, hashing them"},
    {"assembly", assembly, "lines and photons into chips, beside plain loops"},
    {"quality", quality, "quality.line, quality.frame, ...: saturation, drift and chip size, beside assembly"},
    {"label", label, "relabelling the map after a change of the support set, beside the plain twin"},
    {"calibrate", bench_calibrate, "calibrated few-shot: its cost, and whether its confidences hold (needs cases)"},
    {"embed", embed, "the embedders; VGG16 at 32 px beside oneDNN's own two-thread figure"},
    {"recording", recording, "the session file with 64-KiB messages, beside plain writes and one sync"},
    {"ingest", ingest, "1-KiB lines into a running plugin, beside bare sockets"},
    {"page", bench_page, "page.viewers, page.p99: what 20 viewers and some that hang cost, 2601 chips"},
    {"graph", bench_graph, "graph.row, graph.scan, graph.memory: similarities of chips, beside sgemm and batch"},
    {"louvain", bench_louvain, "louvain.cold, louvain.row: communities of 2601 chips"},
    {"growth", bench_growth, "graph.growth: a row and a cold start at 1000 to 10000 chips"},
    {"quantify", bench_quantify, "chips into atomic percents by each method, beside a plain product"},
    {"live", bench_live, "live.row: a row of chips into three graphs and their communities"},
    {"map", bench_map, "map.epoch, map.random: stable ids and stories, beside the table of shared chips"},
    {"region", bench_region, "region.spacing, region.square: d-spacings of regions, beside bare transforms"},
    {"ward", bench_ward, "ward.batch, ward.row, ward.growth: hierarchies of 2601 chips"},
    {"steer_plan", bench_steer_plan, "a plan of what to measure next, 2601 and 65536 chips"},
    {"damage", bench_damage, "damage.row, damage.means, damage.found, damage.false: is the specimen changing, 2601 chips of 60 frames"},
    {"guard", bench_guard, "guard.judge, guard.pass, guard.forward: a command of 128 tiles past the supervisor"},
    {"stages", bench_stages, "stages.row, stages.support: trees, few-shot, stable maps and regions, row by row"},
    {"scan", bench_scan, "live.scan: all rows of a scan, quantified (compare_igraph.py reads it)"},
};
enum { CASES = sizeof cases / sizeof *cases };

static void help(void)
{
    printf("Usage: flyback bench [CASE ...] [--dir DIR] [--quick] [--write DIR] [--cases DIR]\n\nMeasures, one JSON line per "
           "case on stdout: name, size, threads, median, unit, reference, ratio.\n\n");
    for (int i = 0; i < CASES; i++)
        printf("  %-10s %s\n", cases[i].name, cases[i].what);
    printf("  %-10s %s\n", "steer", "what steering gains, by itself and with options of its own: flyback bench steer --help");
    printf("\n  --dir DIR    where recordings are written and removed again (a new folder below /tmp)\n"
           "  --quick      graph and the cases after it: fewer rounds and smaller sizes, seconds each\n"
           "  --write DIR  louvain and scan: leave graph, features and labels there as .npy\n"
           "  --cases DIR  calibrate: a folder of scenes table2_* with their truth (../shared/golden)\n"
           "\nFigures of one core hold for a core that is free: taskset -c 1, and nothing beside it.\n"
           "\nExamples\n  flyback bench\n  flyback bench embed recording --dir /data\n"
           "  taskset -c 1 flyback bench graph live --quick\n"
           "  tests/bench/compare_igraph.py build/default/flyback\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int known(const char *name)
{
    for (int c = 0; c < CASES; c++)
        if (strcmp(name, cases[c].name) == 0)
            return 1;
    return 0;
}

/* Marks the cases that are named; none named: all. */
static int read_options(struct bench_options *options, const char **parent, int wanted[CASES], int argc, char **argv)
{
    int named = 0;

    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--dir") == 0     ? parent
                             : strcmp(argv[i], "--write") == 0 ? &options->write
                             : strcmp(argv[i], "--cases") == 0 ? &options->cases
                                                               : NULL;

        if (value) {
            if (++i == argc)
                return fly_fail(FLY_ERANGE, "%s needs a value", argv[i - 1]);
            *value = argv[i];
        } else if (strcmp(argv[i], "--quick") == 0) {
            options->quick = 1;
        } else if (!known(argv[i])) {
            return fly_fail(FLY_ERANGE, "%s: no such case (see --help)", argv[i]);
        }
        for (int c = 0; !value && c < CASES; c++)
            if (strcmp(argv[i], cases[c].name) == 0)
                wanted[c] = named = 1;
    }
    for (int c = 0; !named && c < CASES; c++)
        wanted[c] = 1;
    return FLY_OK;
}

int fly_cmd_bench(int argc, char **argv)
{
    struct bench_options options = {.cases = "../shared/golden"};
    const char *parent = "/tmp";
    int wanted[CASES] = {0}, rc;
    char dir[200];

    if (argc > 1 && strcmp(argv[1], "steer") == 0)
        return fly_bench_steer(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help();
        return 0;
    }
    rc = read_options(&options, &parent, wanted, argc, argv);
    if (rc < 0) {
        fprintf(stderr, "flyback bench: %s\n", fly_fail_text());
        return 2;
    }
    snprintf(dir, sizeof dir, "%.150s/flyback-bench.XXXXXX", parent);
    if (!mkdtemp(dir)) {
        fprintf(stderr, "flyback bench: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    options.dir = dir;
    for (int i = 0; rc == FLY_OK && i < CASES; i++)
        if (wanted[i])
            rc = cases[i].run(stdout, &options);
    if (rc < 0)
        fprintf(stderr, "flyback bench: %s\n", fly_fail_text());
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc < 0;
}
