#include "tests/bench/steer_rig.h"

#include <string.h>

#include "engine/base/npy.h"
#include "engine/base/rng.h"
#include "stream/disk.h"
#include "tests/bench/measure.h"

/* Intensities keep a sixteenth of a survey count: rounding adds a 50th of its noise, whatever the dwell. */
enum { GAIN = 16, RING = 4 };

/* 20 keV: up to the K lines of all but Mo. */
enum { CHANNELS = 2048 };

/* A survey as short as one can be: most chips are told, and more beam tells more. (At 180 image counts and 100 photons
 * the survey alone makes all of the map that a full dose does, and there is nothing to steer.) */
struct steer_rig_config steer_rig_default(void)
{
    struct steer_rig_config config = {
        .geometry = *fly_geometry_at(0),
        .shots = 8,
        .seed = 1,
        .survey_us = 2.0,
        .dwell_most = 16.0,
        .hits = 10.0,
        .photons = 40.0,
        .steer = fly_steer_config_default(),
    };

    /* The whole curve is wanted, also of policies that are done no sooner for thinking that they are. */
    config.steer.stop_error = config.steer.stop_floor = 0.0;

    return config;
}

/* ---- specimen, beam and engine ----------------------------------------------------------------------- */

static void open_specimen(struct steer_rig *rig)
{
    const struct fly_geometry *g = &rig->config.geometry;
    struct fly_specimen_config specimen = {.height_px = g->height_px, .width_px = g->width_px, .pixel_nm = g->pixel_nm,
                                           .growth = g->growth, .dpa = g->dpa, .cap = g->cap, .warp_px = 1.0,
                                           .seed = rig->config.seed, .inclusion = rig->config.inclusion};
    struct fly_beam_config beam = fly_beam_config_default();
    const int32_t origin[2] = {rig->config.top_px, 0};

    beam.seed = fly_mix64(fly_mix64(rig->config.seed ^ 0xBEA3) + rig->config.beam_stream);
    beam.hits_per_us = rig->config.hits / rig->config.survey_us;
    beam.dark_per_us = beam.hits_per_us * beam.dark_per_us / fly_beam_config_default().hits_per_us;
    beam.drift_px[0] = beam.drift_px[1] = beam.drift_jitter_px = 0.0;
    beam.eds_counts = rig->config.photons / ((double)g->chip_px * g->chip_px);
    beam.dwell_us = rig->config.survey_us;
    beam.dwell_max_us = rig->config.survey_us * rig->config.dwell_most;
    beam.axis.n_channels = CHANNELS;
    bench_check(fly_specimen_open(&rig->specimen, &specimen));
    bench_check(fly_beam_open(&rig->beam, rig->specimen, &beam));
    bench_check(fly_truth_open(&rig->truth, rig->specimen, g->chip_px, 0, origin, g->rows, g->cols));
}

static void open_engine(struct steer_rig *rig)
{
    const struct fly_geometry *g = &rig->config.geometry;
    static const char *elements[FLY_ELEMENTS_MAX];
    struct fly_quantify_config quantify = fly_quantify_config_default();
    const struct fly_graph_config graph = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE,
                                           .weights = {0.5, 0.5}, .feature = FLY_EDS_SPECTRUM, .min_counts = 30};
    const struct fly_tree_config tree = {.k = 4, .feature = FLY_EDS_COMPOSITION, .min_counts = 30};
    struct fly_embedder_config embedder = {.model = "spectral", .side_px = g->chip_px, .width = rig->exec.width};
    struct fly_engine_config config = {.profile = FLY_PROFILE_ROBUST, .has_image = 1, .dtype = FLY_U16,
                                       .range_rows = g->rows, .segments = 1, .n_channels = CHANNELS,
                                       .ev_per_channel = 10.0, .quantify = &quantify,
                                       .graph = rig->config.groups ? &graph : NULL,
                                       .tree = rig->config.groups ? &tree : NULL,
                                       .region = {.pixel_nm = {g->pixel_nm, g->pixel_nm}}, .frames_held = RING,
                                       .frames_max = 1 << 16, .photons_held = 4000000, .weights = {0.5, 0.5},
                                       .temperature = 1.0, .memory_limit = (size_t)4 << 30};

    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
        elements[e] = fly_xray_symbol((enum fly_xray_element)e);
    quantify.n_channels = CHANNELS;
    quantify.ev_per_channel = 10.0;
    quantify.elements = elements;
    quantify.n_elements = FLY_XRAY_ELEMENTS;
    bench_check(fly_embedder_open(&rig->embedder, &embedder));
    config.embedder = rig->embedder;
    bench_check(fly_grid_init(&config.grid, g->height_px - rig->config.top_px, g->width_px, g->chip_px, 0, g->rows,
                              g->cols));
    bench_check(fly_engine_open(&rig->engine, &config, &rig->exec, NULL));
    bench_check(fly_engine_set_steer(rig->engine, &rig->config.steer));
}

/* What a careful person would click: the purest chips of each phase, as far apart as may be. */
static void teach(struct steer_rig *rig)
{
    int32_t *chips = bench_need((size_t)rig->config.shots, sizeof *chips);

    for (int p = 0; p < FLY_PHASES; p++) {
        int rare = p == FLY_INCLUSION;
        int32_t shots = rare ? (rig->config.shots + 1) / 2 : rig->config.shots, n;

        rig->class_of[p] = FLY_LABEL_UNKNOWN;
        if (rig->truth->count[p] == 0 || (rare && !rig->config.taught))
            continue;
        n = fly_truth_support(rig->truth, (enum fly_phase)p, shots, chips);
        bench_check(fly_support_add(fly_engine_support(rig->engine), fly_phase_name((enum fly_phase)p), chips, n,
                                    &rig->class_of[p]));
        for (int32_t i = 0; i < n; i++)
            rig->taught[chips[i]] = 1;
    }
    fly_engine_support_changed(rig->engine);
    free(chips);
}

static void open_simulated(struct steer_rig *rig)
{
    const struct fly_geometry *g = &rig->config.geometry;
    size_t row_px = (size_t)g->chip_px * (size_t)g->width_px;

    rig->pixels = bench_need(row_px, sizeof *rig->pixels);
    rig->row_ptr = bench_need(row_px + 1, sizeof *rig->row_ptr);
    open_specimen(rig);
    open_engine(rig);
    memcpy(rig->phase, rig->truth->label, (size_t)rig->chips * sizeof *rig->phase);
    teach(rig);
}

/* ---- recorded ---------------------------------------------------------------------------------------- */

static void find_session(struct steer_rig *rig)
{
    struct steer_session_facts facts;
    const struct fly_grid *grid;

    bench_check(steer_session_open(&rig->session, rig->config.from, rig->config.survey_us));
    steer_session_facts(rig->session, &facts);
    rig->engine = steer_session_engine(rig->session);
    grid = fly_engine_grid(rig->engine);
    rig->config.geometry = (struct fly_geometry){.name = "recorded", .height_px = facts.height_px,
                                                 .width_px = facts.width_px, .chip_px = grid->side_px,
                                                 .rows = grid->rows, .cols = grid->cols};
    rig->config.top_px = 0;
    rig->config.survey_us = facts.dwell_us;
    rig->config.steer.cap = rig->frames = facts.frames;
}

/* Classes are matched by name: a phase without a support is one that nobody taught. */
static void take_support(struct steer_rig *rig)
{
    const struct fly_support *support = fly_engine_support(rig->engine);

    for (int p = 0; p < FLY_PHASES; p++) {
        int32_t c = fly_support_find(support, fly_phase_name((enum fly_phase)p));

        rig->class_of[p] = c >= 0 ? c : FLY_LABEL_UNKNOWN;
    }
    for (int32_t k = 0; k < rig->chips; k++)
        rig->taught[k] = support->class_of[k] >= 0;
}

static int read_truth(const struct steer_rig *rig, const char *path, int32_t *phase)
{
    unsigned char *bytes = NULL;
    struct fly_npy npy;
    size_t len;
    int rc = fly_file_read(path, (size_t)1 << 30, &bytes, &len);

    if (rc == FLY_OK)
        rc = fly_npy_view(&npy, bytes, len, path);
    if (rc == FLY_OK && (npy.type != FLY_NPY_I32 || npy.dims != 2 || npy.shape[0] != rig->config.geometry.rows ||
                         npy.shape[1] != rig->config.geometry.cols))
        rc = fly_fail(FLY_ERANGE, "%s: %d x %d phases (i4) are needed, one for each chip", path,
                      rig->config.geometry.rows, rig->config.geometry.cols);
    if (rc == FLY_OK)
        memcpy(phase, npy.data, (size_t)rig->chips * sizeof *phase);
    free(bytes);
    for (int32_t k = 0; rc == FLY_OK && k < rig->chips; k++)
        if (phase[k] < 0 || phase[k] >= FLY_PHASES)
            rc = fly_fail(FLY_ERANGE, "%s: chip %d has phase %d, 0 .. %d are there", path, k, phase[k], FLY_PHASES - 1);
    return rc;
}

static void open_recorded(struct steer_rig *rig)
{
    bench_check(fly_engine_set_steer(rig->engine, &rig->config.steer));
    take_support(rig);
    if (rig->config.truth) {
        bench_check(read_truth(rig, rig->config.truth, rig->phase));
        return;
    }
    free(rig->phase);
    rig->phase = NULL;
}

/* ---- open and close ---------------------------------------------------------------------------------- */

void steer_rig_open(struct steer_rig *rig, const struct steer_rig_config *config)
{
    memset(rig, 0, sizeof *rig);
    rig->config = *config;
    rig->exec = fly_exec_serial();
    if (config->from)
        find_session(rig);
    rig->chips = rig->config.geometry.rows * rig->config.geometry.cols;
    rig->taught = bench_need((size_t)rig->chips, sizeof *rig->taught);
    rig->dose = bench_need((size_t)rig->chips, sizeof *rig->dose);
    rig->phase = bench_need((size_t)rig->chips, sizeof *rig->phase);
    if (config->from)
        open_recorded(rig);
    else
        open_simulated(rig);
}

void steer_rig_close(struct steer_rig *rig)
{
    if (rig->session)
        rig->engine = NULL;
    steer_session_close(&rig->session);
    fly_engine_close(&rig->engine);
    fly_embedder_close(&rig->embedder);
    fly_truth_close(&rig->truth);
    fly_beam_close(&rig->beam);
    fly_specimen_close(&rig->specimen);
    free(rig->taught);
    free(rig->dose);
    free(rig->phase);
    free(rig->pixels);
    free(rig->row_ptr);
    free(rig->channels);
}

/* ---- exposing ---------------------------------------------------------------------------------------- */

static int64_t now_ns(const struct steer_rig *rig)
{
    return 1 + (int64_t)(rig->time_us * 1e3);
}

static void send_image(struct steer_rig *rig, const struct fly_shot *shot)
{
    double scale = GAIN * rig->config.survey_us / shot->dwell_us;
    size_t n = (size_t)shot->h * (size_t)shot->w;
    struct fly_taken taken;

    fly_beam_image(rig->beam, shot, rig->pixels);
    for (size_t i = 0; i < n; i++)
        rig->pixels[i] = (uint16_t)fmin(rig->pixels[i] * scale + 0.5, UINT16_MAX);
    bench_check(fly_engine_lines(rig->engine, shot->frame,
                                 (struct fly_rect){shot->y0_px - rig->config.top_px, shot->x0_px, shot->h, shot->w},
                                 rig->pixels,
                                 (uint64_t)llround(1e3 * shot->dwell_us), now_ns(rig), &taken));
}

static void send_photons(struct steer_rig *rig, const struct fly_shot *shot)
{
    uint32_t n = fly_beam_photons(rig->beam, shot, 0, rig->row_ptr);
    struct fly_eds_taken taken;

    if (n > rig->channel_cap) {
        free(rig->channels);
        rig->channel_cap = 2 * (size_t)n;
        rig->channels = bench_need(rig->channel_cap, sizeof *rig->channels);
    }
    if (n)
        fly_beam_channels(rig->beam, shot, 0, rig->row_ptr, rig->channels);
    bench_check(fly_engine_photons(rig->engine,
                                   &(struct fly_photons){.frame = shot->frame, .y0 = shot->y0_px - rig->config.top_px,
                                                         .x0 = shot->x0_px,
                                                         .h = shot->h, .w = shot->w,
                                                         .dwell_ns = (uint64_t)llround(1e3 * shot->dwell_us),
                                                         .layout = FLY_EDS_CSR, .rows = rig->row_ptr,
                                                         .channels = rig->channels, .photons = n},
                                   now_ns(rig), &taken));
}

/* Recorded frames that a dwell is worth; simulated it is one of any length. */
static int32_t frames_of(const struct steer_rig *rig, double dwell_us)
{
    double frames = rig->session ? nearbyint(dwell_us / rig->config.survey_us) : 1.0;

    return frames < 1.0 ? 1 : (int32_t)frames;
}

static double dwell_of(const struct steer_rig *rig, double asked_us)
{
    return rig->session ? frames_of(rig, asked_us) * rig->config.survey_us : asked_us;
}

static void buy(struct steer_rig *rig, int32_t first, int32_t cols, enum fly_signal signal)
{
    for (int32_t k = first; k < first + cols; k++)
        rig->dose[k] += (float)steer_session_buy(rig->session, rig->frame, k, signal, now_ns(rig));
}

/* A box of whole chips of one row, in the frame that is being measured; of a recording one of its frames. */
static void expose(struct steer_rig *rig, int32_t row, int32_t col, int32_t cols, double dwell_us,
                   enum fly_signal signal)
{
    int32_t side = rig->config.geometry.chip_px, first = row * rig->config.geometry.cols + col;
    struct fly_shot shot = {rig->frame, rig->config.top_px + row * side, col * side, side, cols * side, dwell_us};

    if (rig->session) {
        buy(rig, first, cols, signal);
        return;
    }
    if (signal != FLY_SIGNAL_EDS)
        send_image(rig, &shot);
    if (signal != FLY_SIGNAL_HAADF)
        send_photons(rig, &shot);
    for (int32_t k = first; k < first + cols; k++)
        rig->dose[k] += (float)(dwell_us / rig->config.survey_us);
}

/* The way to a box, and its lines. */
static void spend(struct steer_rig *rig, double y_px, double x_px, int32_t lines, int32_t width_px, double dwell_us)
{
    const struct fly_steer_config *c = &rig->config.steer;

    rig->time_us += c->settle_us + hypot(y_px - rig->beam_px[0], x_px - rig->beam_px[1]) / c->slew_px_per_us +
                    lines * (width_px * dwell_us + c->flyback_us);
    rig->beam_px[0] = y_px + lines;
    rig->beam_px[1] = x_px;
}

void steer_rig_think(struct steer_rig *rig)
{
    rig->frame++;
    while (fly_engine_step(rig->engine) == FLY_OK)
        continue;
    fly_engine_epoch(rig->engine);
}

void steer_rig_pass(struct steer_rig *rig, double dwells)
{
    const struct fly_geometry *g = &rig->config.geometry;
    double dwell_us = dwell_of(rig, dwells * rig->config.survey_us);
    int32_t frames = frames_of(rig, dwell_us);

    spend(rig, 0.0, 0.0, g->rows * g->chip_px, g->cols * g->chip_px, dwell_us);
    for (int32_t f = 0; f < frames; f++) {
        rig->frame += f > 0;
        for (int32_t r = 0; r < g->rows; r++)
            expose(rig, r, 0, g->cols, dwell_us, FLY_SIGNAL_BOTH);
    }
    steer_rig_think(rig);
}

void steer_rig_chip(struct steer_rig *rig, int32_t chip, double dwells)
{
    int32_t cols = rig->config.geometry.cols, side = rig->config.geometry.chip_px;
    double dwell_us = dwell_of(rig, dwells * rig->config.survey_us);
    int32_t frames = frames_of(rig, dwell_us);

    spend(rig, (double)(chip / cols) * side, (double)(chip % cols) * side, side, side, dwell_us);
    for (int32_t f = 0; f < frames; f++) {
        rig->frame += f > 0;
        expose(rig, chip / cols, chip % cols, 1, dwell_us, FLY_SIGNAL_BOTH);
    }
}

void steer_rig_teach(struct steer_rig *rig, double dwells)
{
    for (int32_t k = 0; k < rig->chips; k++)
        if (rig->taught[k])
            steer_rig_chip(rig, k, dwells);
    steer_rig_think(rig);
}

double steer_rig_mean_dose(const struct steer_rig *rig)
{
    double sum = 0.0;

    for (int32_t k = 0; k < rig->chips; k++)
        sum += rig->dose[k];
    return sum / rig->chips;
}

/* One frame of a tile; the beam goes there once. */
static void measure(struct steer_rig *rig, const struct fly_steer_tile *tile, int go)
{
    int32_t side = rig->config.geometry.chip_px;
    double dwell_us = dwell_of(rig, tile->dwell_us);

    FLY_ASSERT(tile->rows == 1);
    if (go)
        spend(rig, (double)tile->row * side, (double)tile->col * side, side, tile->cols * side, dwell_us);
    expose(rig, tile->row, tile->col, tile->cols, dwell_us, tile->signal);
}

int steer_rig_step(struct steer_rig *rig)
{
    struct fly_plan_ask ask = {.now_ns = now_ns(rig), .survey_us = rig->config.survey_us, .surveyed = 1,
                               .dose_left_us = INFINITY, .time_left_us = INFINITY,
                               .beam_px = {rig->beam_px[0], rig->beam_px[1]}};
    int32_t frames;

    bench_check(fly_engine_plan(rig->engine, &ask, &rig->plan));
    if (rig->plan.n_tiles == 0)
        return 0;
    frames = frames_of(rig, rig->plan.dwell_us);
    for (int32_t f = 0; f < frames; f++) {
        rig->frame += f > 0;
        for (int32_t i = 0; i < rig->plan.n_tiles; i++)
            measure(rig, &rig->plan.tiles[i], f == 0);
    }
    rig->cost_told_us += rig->plan.cost_us;
    rig->plans++;
    steer_rig_think(rig);
    return 1;
}
