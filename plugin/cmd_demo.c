/* flyback demo: a simulated microscope against the plugin, on this machine, with a live view. */
#include "plugin/commands.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/err.h"
#include "plugin/browser.h"
#include "plugin/page/listen.h"
#include "stream/disk.h"

/* The samples of Table II: chip grids of 512 x 512 px scans. */
static const struct geometry {
    const char *name;
    int chip_px, rows, cols;
} geometries[] = {
    {"table2_pristine_0", 15, 33, 33},
    {"table2_pristine_0.1", 20, 24, 24},
    {"table2_defective_0", 15, 34, 34},
    {"table2_defective_0.1", 10, 51, 51},
};
enum { GEOMETRIES = sizeof geometries / sizeof *geometries, SCAN_PX = 512 };

struct demo {
    const struct geometry *geometry;
    double seconds;
    int frames, headless, open;
    long seed;
    const char *out;
    char sockets[128]; /* a folder of our own below /tmp: ipc paths must be short */
    struct fly_listen page;
    pid_t run, sim;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void print_help(void)
{
    printf("Usage: flyback demo [--seconds N] [--headless] [--open] [--geometry NAME] [--frames N] [--seed N] [--out DIR]\n"
           "\n"
           "A simulated microscope scans a specimen with a known answer; the plugin records, embeds and\n"
           "labels it while the beam still moves. Four support chips a class come with the specimen.\n"
           "\n"
           "  --seconds N      how long the scan takes, 1 .. 3600 (20)\n"
           "  --headless       no picture in the terminal, one line a second instead, and no browser\n"
           "  --open           open the live page in a browser; on a desktop it is opened anyway\n"
           "  --geometry NAME  table2_pristine_0 (default), table2_pristine_0.1, table2_defective_0 or\n"
           "                   table2_defective_0.1: the paper's four samples\n"
           "  --frames N       frames in that time, 1 .. 1000 (4)\n"
           "  --seed N         of the specimen and its noise (1)\n"
           "  --out DIR        recording, maps as PNG, result.json, judge.json, truth (out/demo)\n"
           "\n"
           "Examples\n"
           "  flyback demo\n"
           "  flyback demo --geometry table2_defective_0.1 --seconds 60 --headless\n");
}

static int number(const char *text, const char *name, double lo, double hi, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= lo && *out <= hi))
        return fly_fail(FLY_ERANGE, "%s %s: a number %g .. %g is needed", name, text, lo, hi);
    return FLY_OK;
}

/* FLY_OK, FLY_ERANGE, or 1 when --help was printed. */
static int parse(struct demo *demo, int argc, char **argv)
{
    enum { SECONDS = 1, HEADLESS, OPEN, GEOMETRY, FRAMES, SEED, OUT, HELP };
    static const struct option longs[] = {
        {"seconds", 1, 0, SECONDS}, {"headless", 0, 0, HEADLESS}, {"open", 0, 0, OPEN}, {"geometry", 1, 0, GEOMETRY},
        {"frames", 1, 0, FRAMES},   {"seed", 1, 0, SEED},         {"out", 1, 0, OUT},
        {"help", 0, 0, HELP},       {0, 0, 0, 0}};
    double value;
    int c, rc = FLY_OK;

    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        switch (c) {
        case SECONDS:
            rc = number(optarg, "--seconds", 1, 3600, &demo->seconds);
            break;
        case HEADLESS:
            demo->headless = 1;
            break;
        case OPEN:
            demo->open = 1;
            break;
        case GEOMETRY:
            demo->geometry = NULL;
            for (int i = 0; i < GEOMETRIES; i++)
                if (strcmp(optarg, geometries[i].name) == 0)
                    demo->geometry = &geometries[i];
            if (!demo->geometry)
                rc = fly_fail(FLY_ERANGE, "--geometry %s: see --help for the four there are", optarg);
            break;
        case FRAMES:
            rc = number(optarg, "--frames", 1, 1000, &value);
            demo->frames = (int)value;
            break;
        case SEED:
            rc = number(optarg, "--seed", 0, 2147483647, &value);
            demo->seed = (long)value;
            break;
        case OUT:
            demo->out = optarg;
            break;
        case HELP:
        case 'h':
            print_help();
            return 1;
        default:
            rc = fly_fail(FLY_ERANGE, c == ':' ? "%s needs a value" : "%s: no such option (see --help)",
                          argv[optind - 1]);
        }
    }
    if (rc == FLY_OK && optind < argc)
        rc = fly_fail(FLY_ERANGE, "%s: options alone are taken (see --help)", argv[optind]);
    return rc;
}

/* ---- folders ----------------------------------------------------------------------------------- */

/* What an earlier demo left, by the names that a demo makes. */
static void clear_out(const struct demo *demo)
{
    static const char *const made[] = {"demo.fly",      "judge.json",          "support.json",
                                       "result.json",   "timing.json",         "run.log",
                                       "sim.json",      "map_fewshot_haadf.png", "map_fewshot_eds.png",
                                       "map_fewshot_ensemble.png", "map_community_haadf.png",
                                       "map_community_eds.png", "map_community_ensemble.png",
                                       "map_ward_haadf.png", "map_ward_eds.png", "map_ward_ensemble.png"};
    char path[1100];

    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s/%s", demo->out, made[i]);
        unlink(path);
    }
}

/* ---- children ---------------------------------------------------------------------------------- */

/* out_file, err_file: where stdout and stderr go, NULL: ours. */
static int spawn(pid_t *pid, char *const *argv, const char *out_file, const char *err_file)
{
    fflush(stdout);
    *pid = fork();
    if (*pid < 0)
        return fly_fail(FLY_EIO, "fork: %s", strerror(errno));
    if (*pid)
        return FLY_OK;
    /* A group of their own: Ctrl-C comes to us, and we end them in order. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* nor do they stay when we are killed */
    if ((out_file && !freopen(out_file, "w", stdout)) || (err_file && !freopen(err_file, "w", stderr)))
        _exit(1);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int reap(pid_t *pid)
{
    int status = 0;

    if (*pid <= 0)
        return 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR)
        continue;
    *pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void stop_child(pid_t *pid)
{
    if (*pid > 0)
        kill(*pid, SIGTERM);
    reap(pid);
}

static int start_run(struct demo *demo)
{
    static char chip[32], rows[32], cols[32], range[40], text[4][256], log[1100], dir[1100], support[1100], page[80];
    const struct geometry *g = demo->geometry;

    snprintf(chip, sizeof chip, "chip.size_px=%d", g->chip_px);
    snprintf(rows, sizeof rows, "chip.rows=%d", g->rows);
    snprintf(cols, sizeof cols, "chip.cols=%d", g->cols);
    /* The topmost rows show the cap alone: let the range see the film as well. */
    snprintf(range, sizeof range, "haadf.range_rows=%d", g->rows * 2 / 5);
    snprintf(text[0], sizeof text[0], "sockets.ingest=ipc://%s/ingest", demo->sockets);
    snprintf(text[1], sizeof text[1], "sockets.publish=ipc://%s/publish", demo->sockets);
    snprintf(text[2], sizeof text[2], "sockets.control=ipc://%s/control", demo->sockets);
    snprintf(dir, sizeof dir, "recording.dir=%s", demo->out);
    snprintf(support, sizeof support, "fewshot.support=%s/support.json", demo->out);
    snprintf(log, sizeof log, "%s/run.log", demo->out);
    snprintf(page, sizeof page, "page.listen=%s:%d", demo->page.host, demo->page.port);
    char *const argv[] = {"flyback", "run",   "--set", page,    "--set", chip,    "--set", rows,    "--set", cols,
                          "--set",   range,   "--set", text[0], "--set", text[1], "--set", text[2],
                          "--set",   dir,     "--set", support, "--set", "publish.keyframe_s=0.5", NULL};

    return spawn(&demo->run, argv, NULL, log);
}

static int start_sim(struct demo *demo)
{
    static char sockets[3][256], dwell[32], frames[32], seed[32], truth[1100], support[1100], judge[1100], log[1100];
    double px = (double)SCAN_PX * SCAN_PX * demo->frames;

    snprintf(sockets[0], sizeof sockets[0], "ipc://%s/ingest", demo->sockets);
    snprintf(sockets[1], sizeof sockets[1], "ipc://%s/publish", demo->sockets);
    snprintf(sockets[2], sizeof sockets[2], "ipc://%s/control", demo->sockets);
    snprintf(dwell, sizeof dwell, "%.6g", demo->seconds * 1e6 / px);
    snprintf(frames, sizeof frames, "%d", demo->frames);
    snprintf(seed, sizeof seed, "%ld", demo->seed);
    snprintf(truth, sizeof truth, "%s/truth", demo->out);
    snprintf(support, sizeof support, "%s/support.json", demo->out);
    snprintf(judge, sizeof judge, "%s/judge.json", demo->out);
    snprintf(log, sizeof log, "%s/sim.json", demo->out);
    char *const argv[] = {"flyback",    "sim",       "--ingest",    sockets[0], "--publish", sockets[1],
                          "--control",  sockets[2],  "--geometry",  (char *)demo->geometry->name,
                          "--frames",   frames,      "--dwell-us",  dwell,      "--pace",    "1",
                          "--seed",     seed,        "--eds-counts", "0.5",     "--session", "demo",
                          "--truth",    truth,       "--support",   support,    "--judge",   judge,
                          "--quiet",    NULL};

    return spawn(&demo->sim, argv, log, NULL);
}

/* ---- the view ---------------------------------------------------------------------------------- */

static int watch(struct demo *demo)
{
    char publish[256], control[256];
    char *argv[] = {"watch", "--publish", publish, "--control", control, "--modality", "ensemble", NULL};

    snprintf(publish, sizeof publish, "ipc://%s/publish", demo->sockets);
    snprintf(control, sizeof control, "ipc://%s/control", demo->sockets);
    if (demo->headless && isatty(STDOUT_FILENO)) {
        /* Lines, not pictures: as into a pipe. */
        pid_t pid = fork();

        if (pid == 0) {
            FILE *lines = popen("cat", "w");

            if (!lines || dup2(fileno(lines), STDOUT_FILENO) < 0)
                _exit(1);
            int rc = fly_cmd_watch(7, argv);

            fflush(stdout);
            close(STDOUT_FILENO);
            pclose(lines);
            _exit(rc);
        }
        return reap(&pid);
    }
    return fly_cmd_watch(7, argv);
}

/* "0.12 %", "-" */
static const char *cell(char *out, size_t cap, const char *format, const json_t *value)
{
    if (json_is_number(value))
        snprintf(out, cap, format, json_number_value(value));
    else
        snprintf(out, cap, "-");
    return out;
}

/* What was said of the clusters of each map against the specimen: root mean square errors. */
static void tell_lattices(json_t *clusters)
{
    const char *method, *modality;
    json_t *maps, *map;
    char d[32], sigma[32], percent[32];

    if (json_object_size(clusters) == 0)
        return;
    printf("\nLattices and compositions   right   d error     sigma   composition\n");
    json_object_foreach (clusters, method, maps)
        json_object_foreach (maps, modality, map)
            printf("  %-9s  %-8s  %10d of %d  %8s  %8s  %12s\n", method, modality,
                   (int)json_integer_value(json_object_get(map, "lattices_right")),
                   (int)json_integer_value(json_object_get(map, "lattices_told")),
                   cell(d, sizeof d, "%.2f %%", json_object_get(map, "d_error_percent")),
                   cell(sigma, sizeof sigma, "%.1f", json_object_get(map, "d_error_sigma")),
                   cell(percent, sizeof percent, "%.2f at.%%", json_object_get(map, "percent_error")));
}

/* The last maps against the truth, as the judge wrote it. Communities are not called anything, so how well they
 * part the specimen is all that can be said of them. */
static void tell_scores(const struct demo *demo)
{
    static const char *const methods[] = {"fewshot", "community", "ward"};
    char path[1100];
    json_t *root, *maps, *map;
    const char *modality;

    snprintf(path, sizeof path, "%s/judge.json", demo->out);
    root = json_load_file(path, 0, NULL);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        maps = json_object_get(json_object_get(root, "final"), methods[i]);
        json_object_foreach (maps, modality, map) {
            json_t *accuracy = json_object_get(map, "accuracy"), *ami = json_object_get(map, "ami");
            char first[32] = "";

            if (json_is_number(accuracy))
                snprintf(first, sizeof first, "accuracy %.3f", json_number_value(accuracy));
            printf("  %-9s  %-8s  %-14s  labelled %3.0f %%", methods[i], modality, first,
                   100.0 * json_number_value(json_object_get(map, "labelled")));
            if (json_is_number(ami))
                printf("   AMI %.3f   ARI %.3f", json_number_value(ami),
                       json_number_value(json_object_get(map, "ari")));
            printf("\n");
        }
    }
    tell_lattices(json_object_get(root, "clusters"));
    json_decref(root);
}

/* How the modalities agree with each other: the table of the paper. */
static void tell_agreement(const struct demo *demo)
{
    static const char *const pairs[] = {"haadf_eds", "haadf_ens", "eds_ens"};
    char path[1100];
    json_t *root, *methods, *method, *value;
    const char *name;

    snprintf(path, sizeof path, "%s/result.json", demo->out);
    root = json_load_file(path, 0, NULL);
    methods = json_object_get(root, "ami");
    printf("\nAMI between the maps   haadf-eds   haadf-ensemble   eds-ensemble\n");
    json_object_foreach (methods, name, method) {
        char cell[3][16];

        for (int p = 0; p < 3; p++) {
            value = json_object_get(method, pairs[p]);
            if (json_is_number(value))
                snprintf(cell[p], sizeof cell[p], "%.3f", json_number_value(value));
            else
                snprintf(cell[p], sizeof cell[p], "-");
        }
        printf("  %-20s %10s %16s %14s\n", name, cell[0], cell[1], cell[2]);
    }
    json_decref(root);
}

static int analyze(const struct demo *demo)
{
    char recording[1100];
    char *argv[] = {"analyze", recording, "--out", (char *)demo->out, NULL};

    snprintf(recording, sizeof recording, "%s/demo.fly", demo->out);
    return fly_cmd_analyze(4, argv);
}

/* The usual port or, where another program has it, any free one. */
static int choose_page(struct demo *demo)
{
    int fd, rc = fly_listen_parse(&demo->page, "127.0.0.1:5580");

    if (rc == FLY_OK && fly_listen_open(&fd, &demo->page) < 0) {
        demo->page.port = 0;
        rc = fly_listen_open(&fd, &demo->page);
    }
    if (rc == FLY_OK)
        close(fd); /* the plugin's from here on */
    return rc;
}

static void show_page(const struct demo *demo)
{
    char url[96];

    fly_listen_url(&demo->page, url);
    fprintf(stderr, "demo: live page at %s while it runs\n", url);
    if (!demo->headless && (demo->open || (fly_browser_is_desktop() && isatty(STDOUT_FILENO))))
        fly_browser_open(url);
}

static int play(struct demo *demo)
{
    int rc, sim_rc, view_rc;

    fprintf(stderr, "demo: %s, %d frames in %g s; results in %s\n", demo->geometry->name, demo->frames,
            demo->seconds, demo->out);
    rc = choose_page(demo);
    if (rc == FLY_OK)
        rc = start_run(demo);
    if (rc == FLY_OK)
        rc = start_sim(demo);
    if (rc < 0) {
        fprintf(stderr, "flyback demo: %s\n", fly_fail_text());
        return 1;
    }
    show_page(demo);
    view_rc = watch(demo);
    if (interrupted || view_rc == 130) {
        kill(demo->sim, SIGINT);
        reap(&demo->sim);
        stop_child(&demo->run);
        return 130;
    }
    sim_rc = reap(&demo->sim);
    stop_child(&demo->run);
    if (sim_rc || view_rc) {
        fprintf(stderr, "flyback demo: the %s ended with %d; the plugin's log is %s/run.log\n",
                sim_rc ? "simulated microscope" : "view", sim_rc ? sim_rc : view_rc, demo->out);
        return 1;
    }
    rc = analyze(demo);
    if (rc)
        return rc;
    printf("\nThe maps against the specimen's known answer:\n");
    tell_scores(demo);
    tell_agreement(demo);
    printf("\nIn %s: demo.fly (the recording), map_*.png (maps over the image), result.json,\n"
           "judge.json (scores over time), truth/, support.json, run.log\n", demo->out);
    return 0;
}

int fly_cmd_demo(int argc, char **argv)
{
    struct demo demo = {.geometry = &geometries[0], .seconds = 20, .frames = 4, .seed = 1, .out = "out/demo"};
    struct sigaction action = {.sa_handler = on_interrupt};
    char path[160];
    int rc = parse(&demo, argc, argv);

    if (rc) {
        if (rc < 0)
            fprintf(stderr, "flyback demo: %s\n", fly_fail_text());
        return rc < 0 ? 2 : 0;
    }
    rc = fly_folder_make(demo.out);
    snprintf(demo.sockets, sizeof demo.sockets, "/tmp/flyback-demo.XXXXXX");
    if (rc == FLY_OK && !mkdtemp(demo.sockets))
        rc = fly_fail(FLY_EIO, "%s: %s", demo.sockets, strerror(errno));
    if (rc < 0) {
        fprintf(stderr, "flyback demo: %s\n", fly_fail_text());
        return 1;
    }
    clear_out(&demo);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    rc = play(&demo);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"ingest", "publish", "control"};

        snprintf(path, sizeof path, "%s/%s", demo.sockets, names[i]);
        unlink(path);
    }
    rmdir(demo.sockets);
    return rc;
}
