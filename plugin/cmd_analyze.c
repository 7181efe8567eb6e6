/* flyback analyze: the live engine on files, without sockets. */
#include "plugin/commands.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/analyze.h"
#include "plugin/json.h"
#include "plugin/k_factor_file.h"
#include "plugin/maps.h"
#include "plugin/recorded.h"
#include "stream/disk.h"

extern char **environ;

struct run {
    struct fly_analysis analysis;
    struct fly_recorded live; /* of files, too: then without a path */
    const char *folder;       /* --case */
    const char *out;
    const char *haadf, *cube, *events, *emb;
    int epochs, pictures, figures;
    double read_s, assemble_s, write_s;
    int tty;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_help(void)
{
    struct fly_text text;

    fly_text_init(&text);
    fly_options_help(&text, (const char *const[]){"profile", "pixel_nm", "chip", "haadf", "embed", "eds", "fewshot",
                                                  "engine", NULL});
    printf("Usage: flyback analyze --haadf FILE.npy [--eds CUBE.npy | --events Y.npy,X.npy,CH.npy] --out DIR\n"
           "       flyback analyze --case DIR --out DIR\n"
           "       flyback analyze SESSION.fly --out DIR\n"
           "\n"
           "The live engine on files: the same chips, embeddings and labels that `flyback run` publishes\n"
           "for the same data, written as .npy arrays, result.json and pictures.\n"
           "\n"
           "  --haadf FILE        image, (H, W)\n"
           "  --eds FILE          EDS cube, (H, W, channels)\n"
           "  --events Y,X,CH     EDS events as three arrays of one length\n"
           "  --case DIR          a folder with params.json, haadf.npy, ev_*.npy; implies profile paper\n"
           "  --support FILE      support set {class: [[row, col], ...]}\n"
           "  --emb FILE          embeddings (chips, width) in place of the embedding stage\n"
           "  --order ORDER       raster (default) or random:SEED; results are the same bytes\n"
           "  --epochs            with SESSION.fly: follow its journal and write every interim map as well\n"
           "                      (epoch_<number>_<modality>.npy of few-shot, epoch_<number>_<method>_<modality>.npy\n"
           "                      of the others; ..._confidence.npy, ..._age.npy, robust: ..._shown.npy)\n"
           "  --figures           the paper's panels as well: figure2.png (HAADF, elements), figure3.png (three\n"
           "                      methods x three modalities), figure4.png (composition of regions), figure5.png\n"
           "                      (their lattices), table1.png (agreement)\n"
           "  --no-pictures       arrays and result.json alone\n"
           "  --config FILE, --set key=value   settings; the later wins\n"
           "  --out DIR           where results go; made when it is not there\n"
           "\n"
           "Settings\n%s"
           "\n"
           "Examples\n"
           "  flyback analyze --case tests/golden/a_tiny --out out/a_tiny\n"
           "  flyback analyze recordings/monday.fly --set fewshot.weights=0.45,0.55 --out out/monday\n",
           fly_text_str(&text));
    fly_text_fini(&text);
}

/* ---- arguments --------------------------------------------------------------------------------- */

static int parse_order(struct fly_analysis *a, const char *text)
{
    char *end;

    if (strcmp(text, "raster") == 0)
        return FLY_OK;
    if (strncmp(text, "random:", 7) == 0 && text[7]) {
        a->order_seed = strtoull(text + 7, &end, 10);
        a->random = 1;
        if (*end == '\0')
            return FLY_OK;
    }
    return fly_fail(FLY_ERANGE, "--order %s: raster or random:SEED is needed", text);
}

/* FLY_OK, or FLY_ERANGE; 1 when --help was printed. */
static int parse(struct run *run, int argc, char **argv)
{
    enum { HAADF = 1, EDS, EVENTS, CASE, SUPPORT, EMB, ORDER, EPOCHS, FIGURES, NO_PICTURES, OUT, HELP };
    static const struct option longs[] = {
        {"haadf", 1, 0, HAADF},   {"eds", 1, 0, EDS},     {"events", 1, 0, EVENTS}, {"case", 1, 0, CASE},
        {"support", 1, 0, SUPPORT}, {"emb", 1, 0, EMB},   {"order", 1, 0, ORDER},   {"epochs", 0, 0, EPOCHS},
        {"figures", 0, 0, FIGURES},
        {"no-pictures", 0, 0, NO_PICTURES}, {"out", 1, 0, OUT}, {"help", 0, 0, HELP}, {0, 0, 0, 0}};
    int c, rc = FLY_OK;

    run->pictures = 1;
    optind = 0;
    opterr = 0;
    while (rc == FLY_OK && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        switch (c) {
        case HAADF:
            run->haadf = optarg;
            break;
        case EDS:
            run->cube = optarg;
            break;
        case EVENTS:
            run->events = optarg;
            break;
        case CASE:
            run->folder = optarg;
            break;
        case SUPPORT:
            snprintf(run->analysis.support_file, sizeof run->analysis.support_file, "%s", optarg);
            break;
        case EMB:
            run->emb = optarg;
            break;
        case ORDER:
            rc = parse_order(&run->analysis, optarg);
            break;
        case EPOCHS:
            run->epochs = 1;
            break;
        case FIGURES:
            run->figures = 1;
            break;
        case NO_PICTURES:
            run->pictures = 0;
            break;
        case OUT:
            run->out = optarg;
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
    if (rc < 0)
        return rc;
    if (optind < argc)
        run->live.path = argv[optind++];
    if (optind < argc)
        return fly_fail(FLY_ERANGE, "%s: one recording at a time", argv[optind]);
    if ((run->haadf != NULL) + (run->folder != NULL) + (run->live.path != NULL) != 1)
        return fly_fail(FLY_ERANGE, "one of --haadf FILE, --case DIR or a recording is needed");
    if (!run->out)
        return fly_fail(FLY_ERANGE, "--out DIR is missing");
    if (run->cube && run->events)
        return fly_fail(FLY_ERANGE, "--eds and --events: one of them");
    if (run->epochs && !run->live.path)
        return fly_fail(FLY_ERANGE, "--epochs needs a recording: files have no journal");
    return FLY_OK;
}

static int read_events(struct fly_analysis *a, const char *list)
{
    struct fly_array *arrays[3] = {&a->ev_y, &a->ev_x, &a->ev_ch};
    char copy[3072], *at = copy;
    int rc = FLY_OK;

    snprintf(copy, sizeof copy, "%s", list);
    for (int i = 0; rc == FLY_OK && i < 3; i++) {
        char *path = strsep(&at, ",");

        if (!path || !*path)
            return fly_fail(FLY_ERANGE, "--events %s: Y.npy,X.npy,CH.npy is needed", list);
        rc = fly_array_read(arrays[i], path);
    }
    return rc;
}

static int read_files(struct run *run)
{
    struct fly_analysis *a = &run->analysis;
    int rc = FLY_OK;

    if (run->haadf)
        rc = fly_array_read(&a->haadf, run->haadf);
    if (rc == FLY_OK && run->cube)
        rc = fly_array_read(&a->cube, run->cube);
    if (rc == FLY_OK && run->events)
        rc = read_events(a, run->events);
    if (rc == FLY_OK && run->emb)
        rc = fly_array_read(&a->emb, run->emb);
    if (rc == FLY_OK && run->emb && (a->emb.npy.dims != 2 || a->emb.npy.type != FLY_NPY_F32))
        rc = fly_fail(FLY_ERANGE, "--emb %s: (chips, width) of f4 is needed", run->emb);
    return rc;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static void progress(struct run *run, const char *what, int64_t done, int64_t total)
{
    static double last;
    double now;

    if (!run->tty)
        return;
    now = now_s();
    if (done < total && now - last < 0.1)
        return;
    last = now;
    fprintf(stderr, "\r%s %" PRId64 " / %" PRId64 "%s", what, done, total, done >= total ? "\n" : "");
}

struct apply_ctx {
    struct run *run;
    int64_t messages, total;
};

static int apply(void *ctx, const struct fly_ingest *msg)
{
    struct apply_ctx *c = ctx;
    struct fly_effect effect;

    fly_session_apply(c->run->live.session, msg, 0, &effect);
    progress(c->run, "lines", ++c->messages, c->total);
    return effect.unassembled ? FLY_ERANGE : FLY_OK;
}

static int give_support(struct run *run)
{
    struct fly_analysis *a = &run->analysis;
    struct fly_engine *engine = fly_session_engine(run->live.session);
    int32_t id;
    int rc = FLY_OK;

    if (a->support_file[0])
        return fly_session_load_support(run->live.session, a->support_file);
    for (int32_t c = 0; rc == FLY_OK && c < a->n_classes; c++)
        rc = fly_support_add(fly_engine_support(engine), a->class_name[c], a->support[c], a->support_len[c],
                             &id);
    if (a->n_classes)
        fly_engine_support_changed(engine);
    return rc;
}

static void tell_chips(void *ctx, int32_t waiting, int32_t left)
{
    progress(ctx, "chips", waiting - left, waiting);
}

static int check_emb(const struct run *run, const struct fly_plan *plan)
{
    const struct fly_npy *emb = &run->analysis.emb.npy;

    if (run->emb && emb->shape[0] != fly_grid_chips(&plan->grid))
        return fly_fail(FLY_ERANGE, "--emb %s: %" PRId64 " chips, the grid has %d x %d", run->emb,
                        emb->shape[0], plan->grid.rows, plan->grid.cols);
    return FLY_OK;
}

static int open_session(struct run *run, const struct fly_start *start, const struct fly_part *header)
{
    struct fly_session_info *info;
    int rc = fly_session_info_make(&info, "analysis", start, header, &run->live.options);

    if (rc < 0)
        return rc;
    rc = check_emb(run, &info->plan);
    if (rc == FLY_OK && !run->emb && info->plan.image > 0)
        rc = fly_recorded_embedder(&run->live);
    if (rc == FLY_OK)
        rc = fly_session_open(&run->live.session, info, run->live.embedder,
                              run->emb ? (const float *)run->analysis.emb.npy.data : NULL,
                              run->emb ? (int32_t)run->analysis.emb.npy.shape[1] : 0, &run->live.exec);
    fly_session_info_drop(&info);
    return rc;
}

static int analyze_arrays(struct run *run)
{
    unsigned char *bytes = malloc(FLY_HEADER_MAX);
    struct fly_start *start = calloc(1, sizeof *start);
    struct fly_part header;
    struct apply_ctx ctx = {.run = run};
    double t;
    int rc = bytes && start ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for the start message");

    if (rc == FLY_OK)
        rc = fly_pool_open(&run->live.pool, run->live.options.engine.threads);
    if (rc == FLY_OK)
        run->live.exec = fly_pool_exec(run->live.pool);
    if (rc == FLY_OK)
        rc = fly_source_start(&run->analysis, &run->live.options, bytes, &header, start);
    if (rc == FLY_OK)
        rc = open_session(run, start, &header);
    if (rc == FLY_OK)
        rc = give_support(run);
    if (rc == FLY_OK) {
        t = now_s();
        ctx.total = start->height_px * (1 + start->n_segments) * (run->analysis.random ? 3 : 1);
        rc = fly_source_run(&run->analysis, start, apply, &ctx);
        run->assemble_s = now_s() - t;
    }
    if (rc == FLY_OK) {
        fly_session_finish(run->live.session);
        fly_recorded_think(&run->live);
    }
    free(bytes);
    free(start);
    return rc;
}

/* One array of an interim map, (R, C): OUT/epoch_<number>_<modality><suffix>.npy of few-shot, of the others
 * OUT/epoch_<number>_<method>_<modality><suffix>.npy. */
static int write_interim(const struct run *run, const struct fly_grid *grid, uint64_t epoch, int map,
                         const char *suffix, enum fly_npy_type type, const void *data)
{
    unsigned char head[FLY_NPY_HEADER_CAP], *bytes;
    int64_t shape[2] = {grid->rows, grid->cols};
    size_t len = fly_npy_header(head, type, 2, shape), body = (size_t)fly_grid_chips(grid) * 4;
    char path[2048];
    int rc;

    bytes = malloc(len + body);
    if (!bytes)
        return fly_fail(FLY_ENOMEM, "epoch %" PRIu64 ": no memory", epoch);
    memcpy(bytes, head, len);
    memcpy(bytes + len, data, body);
    snprintf(path, sizeof path, "%s/epoch_%06" PRIu64 "_%s%s%s%s.npy", run->out, epoch,
             fly_map_method(map) == FLY_FEWSHOT ? "" : fly_method_name(fly_map_method(map)),
             fly_map_method(map) == FLY_FEWSHOT ? "" : "_", fly_modality_name(fly_map_modality(map)), suffix);
    rc = fly_file_write(path, bytes, len + body);
    free(bytes);
    return rc;
}

static int follow_epoch(void *ctx, struct fly_session *session, uint64_t epoch)
{
    const struct run *run = ctx;
    struct fly_engine *engine = fly_session_engine(session);
    const struct fly_grid *grid = fly_engine_grid(engine);
    int rc = FLY_OK;

    for (int m = 0; rc == FLY_OK && m < FLY_MAPS; m++) {
        struct fly_map_view view;

        fly_engine_map(engine, fly_map_method(m), fly_map_modality(m), &view);
        if (!view.labels)
            continue;
        rc = write_interim(run, grid, epoch, m, "", FLY_NPY_I32, view.labels);
        if (rc == FLY_OK)
            rc = write_interim(run, grid, epoch, m, "_confidence", FLY_NPY_F32, view.confidence);
        if (rc == FLY_OK)
            rc = write_interim(run, grid, epoch, m, "_age", FLY_NPY_U32, view.age);
        if (rc == FLY_OK && view.shown)
            rc = write_interim(run, grid, epoch, m, "_shown", FLY_NPY_I32, view.shown);
    }
    return rc;
}

static int write_timing(const struct run *run, double total_s)
{
    struct fly_engine_counts counts;
    struct fly_text text;
    struct fly_json json;
    char path[2048];
    int rc;

    fly_engine_count(fly_session_engine(run->live.session), &counts);
    fly_text_init(&text);
    fly_json_init(&json, &text, 0);
    fly_json_object(&json);
    fly_json_key(&json, "threads");
    fly_json_int(&json, run->live.exec.width);
    fly_json_key(&json, "seconds");
    fly_json_object(&json);
    fly_json_key(&json, "read");
    fly_json_f64(&json, run->read_s);
    fly_json_key(&json, "assemble");
    fly_json_f64(&json, run->assemble_s);
    fly_json_key(&json, "embed");
    fly_json_f64(&json, run->live.steps_s);
    fly_json_key(&json, "score");
    fly_json_f64(&json, run->live.epoch_s);
    fly_json_key(&json, "write");
    fly_json_f64(&json, run->write_s);
    fly_json_key(&json, "total");
    fly_json_f64(&json, total_s);
    fly_json_end(&json);
    fly_json_key(&json, "chips_embedded");
    fly_json_uint(&json, counts.embedded_first + counts.embedded_again);
    fly_json_key(&json, "engine_bytes");
    fly_json_uint(&json, counts.bytes_reserved);
    fly_json_end(&json);
    fly_json_done(&json);
    snprintf(path, sizeof path, "%s/timing.json", run->out);
    rc = fly_text_done(&text, "timing.json");
    if (rc == FLY_OK)
        rc = fly_file_write(path, text.bytes, text.len);
    fly_text_fini(&text);
    return rc;
}

static int write_all(struct run *run)
{
    double t = now_s();
    char path[2048];
    int rc = fly_results_write(run->live.session, &run->analysis, run->live.embedder, run->out);

    for (int m = 0; rc == FLY_OK && run->pictures && m < FLY_MAPS; m++) {
        if (!fly_maps_has_map(fly_session_facts(run->live.session), m))
            continue;
        snprintf(path, sizeof path, "%s/map_%s_%s.png", run->out, fly_method_name(fly_map_method(m)),
                 fly_modality_name(fly_map_modality(m)));
        rc = fly_results_picture(run->live.session, m, path);
    }
    snprintf(path, sizeof path, "%s/dose.png", run->out);
    if (rc == FLY_OK && run->pictures)
        rc = fly_results_dose_picture(run->live.session, path);
    if (rc == FLY_OK && run->figures)
        rc = fly_results_figures(run->live.session, run->out);
    run->write_s = now_s() - t;
    return rc;
}

static int load_options(struct run *run, int argc, char **argv)
{
    int rc = FLY_OK;

    if (run->live.path)
        return fly_recorded_options(&run->live.options, run->live.path, &argc, argv, environ);
    fly_options_default(&run->live.options);
    if (run->folder)
        rc = fly_case_read(&run->analysis, &run->live.options, run->folder);
    if (rc == FLY_OK)
        rc = fly_options_load_args(&run->live.options, &argc, argv, environ);
    /* A case brings its network's weights; whoever asks for the descriptor instead needs none. */
    if (rc == FLY_OK && run->folder && run->live.options.embed.model == FLY_OPTION_SPECTRAL)
        rc = fly_options_set(&run->live.options, "embed.weights", "", "--case");
    if (rc == FLY_OK)
        rc = fly_options_check(&run->live.options);
    if (rc == FLY_OK)
        rc = fly_k_factor_file_resolve(&run->live.options);
    return rc;
}

int fly_cmd_analyze(int argc, char **argv)
{
    struct run *run = calloc(1, sizeof *run);
    char **left = calloc((size_t)argc + 1, sizeof *left), **all = calloc((size_t)argc + 1, sizeof *all);
    int n_left = argc, rc, usage = 1;
    double start = now_s(), t;

    if (!run || !left || !all) {
        fprintf(stderr, "flyback analyze: no memory\n");
        return 1;
    }
    memcpy(left, argv, (size_t)argc * sizeof *left);
    memcpy(all, argv, (size_t)argc * sizeof *all);
    run->tty = isatty(STDERR_FILENO);
    run->live.progress = tell_chips;
    run->live.ctx = run;
    /* Settings are taken out once to see the rest, and once more on top of what a case or a recording
     * fixes. */
    fly_options_default(&run->live.options);
    rc = fly_options_load_args(&run->live.options, &n_left, left, environ);
    if (rc == FLY_OK)
        rc = parse(run, n_left, left);
    if (rc == FLY_OK) {
        t = now_s();
        rc = load_options(run, argc, all);
        if (rc == FLY_OK) {
            usage = 0;
            rc = read_files(run);
        }
        run->read_s = now_s() - t;
    }
    if (rc == FLY_OK)
        rc = fly_folder_make(run->out);
    if (rc == FLY_OK && run->live.path) {
        run->live.epoch = run->epochs ? follow_epoch : NULL;
        rc = fly_recorded_run(&run->live, run->analysis.support_file);
        run->assemble_s = run->live.read_s;
    } else if (rc == FLY_OK) {
        rc = analyze_arrays(run);
    }
    if (rc == FLY_OK)
        rc = write_all(run);
    if (rc == FLY_OK)
        rc = write_timing(run, now_s() - start);
    if (rc < 0)
        fprintf(stderr, "flyback analyze: %s\n", fly_fail_text());
    fly_recorded_close(&run->live);
    fly_analysis_free(&run->analysis);
    free(run);
    free(left);
    free(all);
    if (rc == 1)
        return 0;
    return rc == FLY_OK ? 0 : usage && (rc == FLY_ERANGE || rc == FLY_EWIRE) ? 2 : 1;
}
