/* flyback export: a recording's results for the tools that people use afterwards. */
#include "plugin/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/analyze.h"
#include "plugin/export/export.h"
#include "stream/disk.h"

extern char **environ;

struct request {
    const char *hspy, *npy, *png, *svg, *csv, *report, *support, *map;
    int tty;
};

static void print_help(void)
{
    printf("Usage: flyback export SESSION.fly [--hspy FILE] [--npy DIR] [--png FILE] [--svg FILE] [--csv FILE]\n"
           "                                  [--report FILE]\n"
           "\n"
           "Takes a recording through the engine to its end, as `flyback analyze` does, and writes what came out.\n"
           "\n"
           "  --hspy FILE     HyperSpy (.hspy, HDF5): haadf, map_<method>_<modality>, confidence_..., atomic_percent_<El>,\n"
           "                  sigma_<El>, dose_e_per_A2 or dose_us, spectra_<method>_<modality> of clusters,\n"
           "                  chip_spectra; axes in nm and keV\n"
           "  --npy DIR       the same as NumPy arrays, and export.json that says what their axes are\n"
           "  --png FILE      one map over the HAADF image, with scale bar and legend\n"
           "  --svg FILE      the same as a vector picture\n"
           "  --csv FILE      a table of all clusters: chips, area, composition and spacing with their errors; and\n"
           "                  FILE_chips.csv, a row for each chip\n"
           "  --report FILE   one HTML page that needs no other file: maps, the paper's figures, tables, settings,\n"
           "                  and the SHA-256 of the recording\n"
           "  --map M/M       which map --png and --svg show: fewshot, community or ward / haadf, eds or ensemble\n"
           "                  (without: few-shot where a person made classes, else communities)\n"
           "  --support FILE  classes {name: [[row, col], ...]} to be added at the end\n"
           "  --config FILE, --set key=value   other settings than the recorded ones\n"
           "\n"
           "Files are written whole or not at all; what was there before is replaced. Each is named on stdout.\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
           "\n"
           "Examples\n"
           "  flyback export recordings/monday.fly --report monday.html --csv monday.csv\n"
           "  flyback export recordings/monday.fly --hspy monday.hspy --set tree.k=5\n");
}

/* Of "fewshot/haadf"; -1: it is none. */
static int map_of(const char *word)
{
    for (int map = 0; map < FLY_MAPS; map++) {
        char name[48];

        snprintf(name, sizeof name, "%s/%s", fly_method_name(fly_map_method(map)),
                 fly_modality_name(fly_map_modality(map)));
        if (strcmp(name, word) == 0)
            return map;
    }
    return -1;
}

/* FLY_OK, FLY_ERANGE, or 1 when --help was printed. */
static int parse(struct request *request, const char **path, int argc, char **argv)
{
    enum { HSPY = 1, NPY, PNG, SVG, CSV, REPORT, SUPPORT, MAP, HELP };
    static const struct option longs[] = {{"hspy", 1, 0, HSPY}, {"npy", 1, 0, NPY}, {"png", 1, 0, PNG},
                                          {"svg", 1, 0, SVG},   {"csv", 1, 0, CSV}, {"report", 1, 0, REPORT},
                                          {"support", 1, 0, SUPPORT}, {"map", 1, 0, MAP}, {"help", 0, 0, HELP},
                                          {0, 0, 0, 0}};
    const char **slot[] = {[HSPY] = &request->hspy, [NPY] = &request->npy, [PNG] = &request->png,
                           [SVG] = &request->svg,   [CSV] = &request->csv, [REPORT] = &request->report,
                           [SUPPORT] = &request->support, [MAP] = &request->map};
    int c;

    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (c == HELP || c == 'h') {
            print_help();
            return 1;
        }
        if (c == ':' || c == '?')
            return fly_fail(FLY_ERANGE, c == ':' ? "%s needs a value" : "%s: no such option (see --help)",
                            argv[optind - 1]);
        *slot[c] = optarg;
    }
    if (optind + 1 != argc)
        return fly_fail(FLY_ERANGE, optind < argc ? "%s: one recording at a time" : "a recording (.fly) is needed",
                        argv[argc - 1]);
    *path = argv[optind];
    if (!request->hspy && !request->npy && !request->png && !request->svg && !request->csv && !request->report)
        return fly_fail(FLY_ERANGE, "nothing to write: name at least one of --hspy, --npy, --png, --svg, --csv, --report");
    if (request->map && map_of(request->map) < 0)
        return fly_fail(FLY_ERANGE, "--map %s: it is fewshot, community or ward, a slash, and haadf, eds or ensemble",
                        request->map);
    return FLY_OK;
}

static int choose_map(const struct fly_export *x, const char *word, int *map)
{
    *map = word ? map_of(word) : fly_export_main_map(x);
    return x->map[*map].there ? FLY_OK : fly_fail(FLY_ERANGE, "--map %s: this session has no such map", word ? word : "");
}

static void told(const char *path)
{
    printf("%s\n", path);
    fflush(stdout);
}

static int write_all(const struct fly_export *x, const struct request *request)
{
    int map, rc = choose_map(x, request->map, &map);

    if (rc == FLY_OK && request->hspy && (rc = fly_export_hspy(x, request->hspy)) == FLY_OK)
        told(request->hspy);
    if (rc == FLY_OK && request->npy && (rc = fly_folder_make(request->npy)) == FLY_OK &&
        (rc = fly_export_npy(x, request->npy)) == FLY_OK)
        told(request->npy);
    if (rc == FLY_OK && request->png && (rc = fly_results_picture(x->recorded->session, map, request->png)) == FLY_OK)
        told(request->png);
    if (rc == FLY_OK && request->svg && (rc = fly_export_svg(x, map, request->svg)) == FLY_OK)
        told(request->svg);
    if (rc == FLY_OK && request->csv && (rc = fly_export_csv(x, request->csv)) == FLY_OK)
        told(request->csv);
    if (rc == FLY_OK && request->report && (rc = fly_export_report(x, request->report)) == FLY_OK)
        told(request->report);
    return rc;
}

static void show_progress(void *ctx, int32_t waiting, int32_t left)
{
    const struct request *request = ctx;

    if (request->tty)
        fprintf(stderr, "\rchips %d / %d%s", (int)(waiting - left), (int)waiting, left ? "" : "\n");
}

int fly_cmd_export(int argc, char **argv)
{
    struct request request = {.tty = isatty(STDERR_FILENO)};
    struct fly_recorded *recorded = calloc(1, sizeof *recorded);
    struct fly_export *x = calloc(1, sizeof *x);
    char **left = calloc((size_t)argc + 1, sizeof *left), **all = calloc((size_t)argc + 1, sizeof *all);
    int n_left = argc, n_all = argc, rc, usage = 1;

    if (!recorded || !x || !left || !all) {
        fprintf(stderr, "flyback export: no memory\n");
        return 1;
    }
    memcpy(left, argv, (size_t)argc * sizeof *left);
    memcpy(all, argv, (size_t)argc * sizeof *all);
    /* Settings are taken out once to see the rest, and once more over those of the recording. */
    fly_options_default(&recorded->options);
    rc = fly_options_load_args(&recorded->options, &n_left, left, environ);
    if (rc == FLY_OK)
        rc = parse(&request, &recorded->path, n_left, left);
    if (rc == FLY_OK)
        rc = fly_recorded_options(&recorded->options, recorded->path, &n_all, all, environ);
    if (rc == FLY_OK) {
        usage = 0;
        recorded->progress = show_progress;
        recorded->ctx = &request;
        rc = fly_recorded_run(recorded, request.support);
    }
    if (rc == FLY_OK)
        rc = fly_export_gather(x, recorded);
    if (rc == FLY_OK)
        rc = write_all(x, &request);
    if (rc < 0)
        fprintf(stderr, "flyback export: %s\n", fly_fail_text());
    fly_export_free(x);
    fly_recorded_close(recorded);
    free(x);
    free(recorded);
    free(left);
    free(all);
    if (rc == 1)
        return 0;
    return rc == FLY_OK ? 0 : usage && (rc == FLY_ERANGE || rc == FLY_EWIRE) ? 2 : 1;
}
