#include "sim/acquire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/dose.h"
#include "sim/head.h"
#include "sim/tool.h"

enum { SAMPLE_MAX = 127 };
#define BEAM_CURRENT_NA 0.1

struct fly_acquire {
    const struct fly_specimen *specimen;
    const struct fly_beam *beam;
    struct fly_acquire_config config;
    char sample[SAMPLE_MAX + 1];
    struct fly_beam_config optics;
    struct fly_head head;
    int32_t segments;
    uint64_t photons;
    struct fly_harm *harm; /* NULL: the beam does none */
    uint16_t *pixels;   /* (block, W): an image; or (block, W, n_channels): dense counts */
    uint32_t *row_ptr;  /* (block * W + 1) */
    uint32_t *pixel_of; /* (photon_cap), pairs */
    uint16_t *channel;  /* (photon_cap) */
    size_t photon_cap;
};

static const char *const layout_names[FLY_LAYOUTS] = {"dense", "csr", "pairs"};

const char *fly_photon_layout_name(enum fly_photon_layout layout)
{
    FLY_ASSERT(layout < FLY_LAYOUTS);
    return layout_names[layout];
}

static int check(const struct fly_acquire *a)
{
    const struct fly_acquire_config *c = &a->config;
    double pixels = (double)c->scan.block_px * a->specimen->config.width_px;

    if (!c->haadf && !c->eds)
        return fly_fail(FLY_ERANGE, "neither HAADF nor EDS is on: nothing would be measured");
    if (c->frames < 1)
        return fly_fail(FLY_ERANGE, "%d frames, a session has at least 1", c->frames);
    if (c->scan.block_px < 1 || c->scan.block_px > a->specimen->config.height_px)
        return fly_fail(FLY_ERANGE, "%d lines per message, allowed are 1 .. %d", c->scan.block_px,
                        a->specimen->config.height_px);
    if (c->eds && c->layout == FLY_LAYOUT_DENSE &&
        pixels * a->optics.axis.n_channels * 2.0 > (double)FLY_PAYLOAD_MAX)
        return fly_fail(FLY_ERANGE, "dense EDS of %d lines x %d px x %d channels does not fit the wire's %zu MiB",
                        c->scan.block_px, a->specimen->config.width_px, a->optics.axis.n_channels,
                        FLY_PAYLOAD_MAX >> 20);
    return fly_tool_session_check(c->session);
}

/* Photons of one message by expectation, and ten deviations: what a block can bring. */
static size_t photons_for(const struct fly_acquire *a)
{
    double most = 0.0, share = 0.0;

    for (int p = 0; p < FLY_PHASES; p++)
        most = fmax(most, fly_beam_phase_counts(a->beam, (enum fly_phase)p));
    for (int32_t i = 0; i < a->segments; i++)
        share = fmax(share, fly_beam_share(a->beam, i));
    double mean = most * share * fmax(a->config.dwell_us, a->optics.dwell_max_us) / a->optics.dwell_us *
                  a->config.scan.block_px * a->specimen->config.width_px;
    double cap = mean + 10.0 * sqrt(mean) + 64.0;
    double wire = (double)FLY_PAYLOAD_MAX / sizeof(uint32_t);

    return (size_t)fmin(cap, wire);
}

static int reserve(struct fly_acquire *a)
{
    size_t pixels = (size_t)a->config.scan.block_px * (size_t)a->specimen->config.width_px;
    int dense = a->config.eds && a->config.layout == FLY_LAYOUT_DENSE;

    a->photon_cap = a->config.eds ? photons_for(a) : 0;
    a->pixels = malloc(pixels * sizeof *a->pixels * (size_t)(dense ? a->optics.axis.n_channels : 1));
    a->row_ptr = malloc((pixels + 1) * sizeof *a->row_ptr);
    a->channel = malloc((a->photon_cap + 1) * sizeof *a->channel);
    a->pixel_of = malloc((a->photon_cap + 1) * sizeof *a->pixel_of);
    if (!a->pixels || !a->row_ptr || !a->channel || !a->pixel_of)
        return fly_fail(FLY_ENOMEM, "acquisition: no memory for blocks of %d lines and %zu photons",
                        a->config.scan.block_px, a->photon_cap);
    return FLY_OK;
}

int fly_acquire_open(struct fly_acquire **out, const struct fly_specimen *specimen,
                     const struct fly_beam *beam, const struct fly_acquire_config *config)
{
    struct fly_acquire *a = calloc(1, sizeof *a);
    int rc;

    if (!a)
        return fly_fail(FLY_ENOMEM, "acquisition: no memory");
    a->specimen = specimen;
    a->beam = beam;
    a->config = *config;
    a->optics = *fly_beam_config_of(beam);
    rc = check(a);
    if (rc < 0)
        goto fail;
    strcpy(a->head.session, config->session);
    strncpy(a->sample, config->sample ? config->sample : "", SAMPLE_MAX);
    strcpy(a->head.names[a->head.n_streams++], "control");
    if (config->haadf)
        strcpy(a->head.names[a->head.n_streams++], "haadf");
    a->segments = config->eds ? a->optics.segments : 0;
    for (int32_t i = 0; i < a->segments; i++) {
        char *name = a->head.names[a->head.n_streams++];

        strcpy(name, "eds");
        if (a->segments > 1)
            name[3] = (char)('1' + i);
    }
    rc = reserve(a);
    if (rc == FLY_OK && config->harm.kind != FLY_HARM_NONE)
        rc = fly_harm_open(&a->harm, &config->harm, &specimen->config, &a->optics, config->dwell_us);
    if (rc < 0)
        goto fail;
    *out = a;
    return FLY_OK;

fail:
    fly_acquire_close(&a);
    return rc;
}

void fly_acquire_close(struct fly_acquire **acquire)
{
    if (!*acquire)
        return;
    fly_harm_close(&(*acquire)->harm);
    free((*acquire)->pixels);
    free((*acquire)->row_ptr);
    free((*acquire)->channel);
    free((*acquire)->pixel_of);
    free(*acquire);
    *acquire = NULL;
}

int32_t fly_acquire_streams(const struct fly_acquire *acquire)
{
    return acquire->head.n_streams;
}

const char *fly_acquire_stream(const struct fly_acquire *acquire, int32_t stream)
{
    FLY_ASSERT(stream >= 0 && stream < acquire->head.n_streams);
    return acquire->head.names[stream];
}

uint64_t fly_acquire_count(const struct fly_acquire *acquire, int32_t stream)
{
    FLY_ASSERT(stream >= 0 && stream < acquire->head.n_streams);
    return acquire->head.seq[stream];
}

uint64_t fly_acquire_photons(const struct fly_acquire *acquire)
{
    return acquire->photons;
}

/* ---- headers ------------------------------------------------------------------------------------- */

/* Everything that stands in these headers is short, and known when the microscope opens. */
static void end(struct fly_acquire *a, const struct fly_pack *pack, struct fly_message *message)
{
    int rc = fly_head_end(&a->head, pack, message);

    FLY_ASSERT(rc == FLY_OK);
}

static void put_pair_f64(struct fly_pack *pack, const char *key, double a, double b)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, a);
    fly_pack_f64(pack, b);
}

static void put_detectors(const struct fly_acquire *a, struct fly_pack *pack)
{
    fly_pack_str(pack, "detectors");
    fly_pack_array(pack, a->config.haadf ? 1 : 0);
    if (a->config.haadf) {
        fly_pack_map(pack, 2);
        fly_put_str(pack, "name", "haadf");
        fly_put_str(pack, "dtype", fly_dtype_name(FLY_U16));
    }
    fly_pack_str(pack, "eds");
    fly_pack_array(pack, (uint32_t)a->segments);
    for (int32_t i = 0; i < a->segments; i++) {
        fly_pack_map(pack, 5);
        fly_put_str(pack, "name", a->head.names[a->head.n_streams - a->segments + i]);
        fly_put_int(pack, "n_channels", a->optics.axis.n_channels);
        fly_put_f64(pack, "ev_per_channel", a->optics.axis.ev_per_channel);
        fly_put_f64(pack, "ev_offset", a->optics.axis.ev_offset);
        fly_put_f64(pack, "takeoff_deg", 22.0);
    }
}

static void put_quantification(struct fly_pack *pack)
{
    const struct fly_xray_family *families;
    int32_t n = fly_xray_families(&families);

    fly_pack_str(pack, "elements");
    fly_pack_array(pack, FLY_XRAY_ELEMENTS);
    for (int e = 0; e < FLY_XRAY_ELEMENTS; e++)
        fly_pack_str(pack, fly_xray_symbol((enum fly_xray_element)e));
    fly_pack_str(pack, "k_factors");
    fly_pack_map(pack, (uint32_t)n);
    for (int32_t f = 0; f < n; f++)
        fly_put_f64(pack, families[f].main_line, families[f].k);
    fly_put_str(pack, "k_basis", "weight");
}

void fly_acquire_start(struct fly_acquire *a, int64_t t_ns, struct fly_message *message)
{
    static const char *const paths[FLY_ORDERS] = {"raster", "serpentine", "list"};
    const struct fly_specimen_config *c = &a->specimen->config;
    struct fly_pack pack;

    fly_head_begin(&a->head, &pack, "start", 0, t_ns, 19, message);
    fly_put_pair(&pack, "schema", 1, 0);
    fly_put_pair(&pack, "scan_shape_px", c->height_px, c->width_px);
    put_detectors(a, &pack);
    fly_pack_str(&pack, "frames_planned");
    if (a->config.commanded)
        fly_pack_nil(&pack);
    else
        fly_pack_int(&pack, a->config.frames);
    fly_put_str(&pack, "scan_path", a->config.commanded ? "list" : paths[a->config.scan.order]);
    put_pair_f64(&pack, "pixel_nm", c->pixel_nm, c->pixel_nm);
    fly_put_f64(&pack, "rotation_rad", 0.0);
    fly_put_f64(&pack, "pixel_time_us", a->config.dwell_us);
    fly_put_f64(&pack, "flyback_time_us", 0.0);
    fly_put_f64(&pack, "beam_energy_kev", a->optics.axis.beam_kev);
    fly_put_f64(&pack, "beam_current_na", BEAM_CURRENT_NA);
    fly_put_f64(&pack, "convergence_mrad", 25.0);
    put_pair_f64(&pack, "collection_mrad", 60.0, 200.0);
    put_quantification(&pack);
    fly_put_str(&pack, "sample", a->sample);
    fly_put_str(&pack, "operator", "flyback sim");
    end(a, &pack, message);
}

void fly_acquire_heartbeat(struct fly_acquire *a, int64_t t_ns, int64_t backlog,
                           struct fly_message *message)
{
    fly_head_heartbeat(&a->head, t_ns, backlog, message);
}

void fly_acquire_stop(struct fly_acquire *a, int64_t t_ns, const char *exit_status, const char *reason,
                      struct fly_message *message)
{
    fly_head_stop(&a->head, t_ns, exit_status, reason, message);
}

/* ---- measured blocks ----------------------------------------------------------------------------- */

/* One line of a patch, or all of it where no line was missed; a count of lines, and how far they are off. */
static struct fly_shot shot_of(const struct fly_patch *patch, int32_t line, int32_t *lines, double off_px[2])
{
    *lines = patch->off_px ? 1 : patch->h;
    off_px[0] = patch->off_px ? patch->off_px[line][0] : 0.0;
    off_px[1] = patch->off_px ? patch->off_px[line][1] : 0.0;
    return (struct fly_shot){.frame = patch->frame, .y0_px = patch->y0_px + line, .x0_px = patch->x0_px, .h = *lines,
                             .w = patch->w, .dwell_us = patch->dwell_us};
}

static void scale_to_intensity(struct fly_acquire *a, size_t pixels, double dwell_us)
{
    double scale = FLY_ACQUIRE_GAIN * a->config.dwell_us / dwell_us;

    for (size_t i = 0; i < pixels; i++)
        a->pixels[i] = (uint16_t)fmin(UINT16_MAX, nearbyint(a->pixels[i] * scale));
}

static void fill_lines(struct fly_acquire *a, const struct fly_patch *patch, int64_t t_ns,
                       struct fly_message *message)
{
    size_t pixels = (size_t)patch->h * (size_t)patch->w;
    struct fly_pack pack;
    double off_px[2];
    int32_t lines;

    for (int32_t line = 0; line < patch->h; line += lines) {
        struct fly_shot shot = shot_of(patch, line, &lines, off_px);

        fly_beam_image_off(a->beam, &shot, off_px, a->pixels + (size_t)line * (size_t)patch->w);
    }
    if (a->harm)
        fly_harm_image(a->harm, patch, a->pixels);
    if (a->config.commanded)
        scale_to_intensity(a, pixels, patch->dwell_us);
    fly_head_begin(&a->head, &pack, "lines", 1, t_ns, fly_head_place_keys(patch) + 1, message);
    fly_head_place(&pack, patch);
    fly_put_str(&pack, "dtype", fly_dtype_name(FLY_U16));
    end(a, &pack, message);
    message->parts[1] = (struct fly_part){a->pixels, pixels * sizeof *a->pixels};
    message->n_parts = 2;
}

/* Counts of each pixel and channel; 65535 stands for more. */
static void fill_dense(struct fly_acquire *a, size_t pixels)
{
    size_t n = (size_t)a->optics.axis.n_channels;

    memset(a->pixels, 0, pixels * n * sizeof *a->pixels);
    for (size_t p = 0; p < pixels; p++)
        for (uint32_t i = a->row_ptr[p]; i < a->row_ptr[p + 1]; i++) {
            uint16_t *count = &a->pixels[p * n + a->channel[i]];

            *count = (uint16_t)(*count + (*count < UINT16_MAX));
        }
}

/* row_ptr and channels of a patch, line by line where lines were missed. */
static int draw_photons(struct fly_acquire *a, const struct fly_patch *patch, int32_t segment, uint32_t *photons)
{
    double off_px[2];
    int32_t lines;

    *photons = 0;
    for (int32_t line = 0; line < patch->h; line += lines) {
        struct fly_shot shot = shot_of(patch, line, &lines, off_px);
        uint32_t *row_ptr = a->row_ptr + (size_t)line * (size_t)patch->w, first = *photons;
        size_t pixels = (size_t)lines * (size_t)patch->w;

        *photons += fly_beam_photons_off(a->beam, &shot, off_px, segment, row_ptr);
        if (*photons > a->photon_cap)
            return fly_fail(FLY_ENOMEM, "%u photons in a block of %d lines, room for %zu: ask for fewer lines "
                            "per message", *photons, patch->h, a->photon_cap);
        fly_beam_channels_off(a->beam, &shot, off_px, segment, row_ptr, a->channel + first);
        for (size_t i = 0; first > 0 && i <= pixels; i++)
            row_ptr[i] += first;
    }
    if (a->harm)
        *photons = fly_harm_photons(a->harm, patch, segment, a->row_ptr, a->channel);
    return FLY_OK;
}

static int fill_photons(struct fly_acquire *a, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                        struct fly_message *message)
{
    enum fly_photon_layout layout = a->config.layout;
    size_t pixels = (size_t)patch->h * (size_t)patch->w;
    double time_us = (double)pixels * patch->dwell_us;
    struct fly_pack pack;
    uint32_t photons;
    int rc = draw_photons(a, patch, stream - (a->head.n_streams - a->segments), &photons);

    if (rc < 0)
        return rc;
    fly_head_begin(&a->head, &pack, "eds", stream, t_ns, fly_head_place_keys(patch) + (layout == FLY_LAYOUT_DENSE ? 4 : 3), message);
    fly_head_place(&pack, patch);
    fly_put_str(&pack, "layout", layout_names[layout]);
    fly_put_f64(&pack, "live_time_us", time_us);
    fly_put_f64(&pack, "real_time_us", time_us);
    if (layout == FLY_LAYOUT_DENSE)
        fly_put_str(&pack, "dtype", fly_dtype_name(FLY_U16));
    end(a, &pack, message);
    message->parts[2] = (struct fly_part){a->channel, photons * sizeof *a->channel};
    message->n_parts = 3;
    if (layout == FLY_LAYOUT_DENSE) {
        fill_dense(a, pixels);
        message->parts[1] = (struct fly_part){
            a->pixels, pixels * (size_t)a->optics.axis.n_channels * sizeof *a->pixels};
        message->n_parts = 2;
    } else if (layout == FLY_LAYOUT_CSR) {
        message->parts[1] = (struct fly_part){a->row_ptr, (pixels + 1) * sizeof *a->row_ptr};
    } else {
        for (size_t p = 0; p < pixels; p++)
            for (uint32_t i = a->row_ptr[p]; i < a->row_ptr[p + 1]; i++)
                a->pixel_of[i] = (uint32_t)p;
        message->parts[1] = (struct fly_part){a->pixel_of, photons * sizeof *a->pixel_of};
    }
    a->photons += photons;
    return FLY_OK;
}

int fly_acquire_patch(struct fly_acquire *a, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                      struct fly_message *message)
{
    FLY_ASSERT(stream >= 1 && stream < a->head.n_streams);
    FLY_ASSERT((int64_t)patch->h * patch->w <= (int64_t)a->config.scan.block_px * a->specimen->config.width_px);
    if (a->config.haadf && stream == 1) {
        fill_lines(a, patch, t_ns, message);
        return FLY_OK;
    }
    return fill_photons(a, patch, stream, t_ns, message);
}

static struct fly_patch block_of(const struct fly_acquire *a, int64_t frame, int32_t step)
{
    struct fly_patch patch = {.frame = frame, .w = a->specimen->config.width_px, .dwell_us = a->config.dwell_us};

    fly_scan_block(&a->config.scan, frame, step, &patch.y0_px, &patch.h);
    return patch;
}

int fly_acquire_block(struct fly_acquire *a, int64_t frame, int32_t step, int32_t stream, int64_t t_ns,
                      struct fly_message *message)
{
    struct fly_patch patch = block_of(a, frame, step);

    return fly_acquire_patch(a, &patch, stream, t_ns, message);
}

static void expose(struct fly_acquire *a, const struct fly_patch *patch)
{
    if (a->harm)
        fly_harm_expose(a->harm, patch);
}

void fly_acquire_block_done(struct fly_acquire *a, int64_t frame, int32_t step)
{
    struct fly_patch patch = block_of(a, frame, step);

    expose(a, &patch);
}

void fly_acquire_take_back(struct fly_acquire *a, const struct fly_message *message)
{
    fly_head_take_back(&a->head, message);
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const char *table_stream(const void *ctx, int32_t stream)
{
    return fly_acquire_stream(ctx, stream);
}

static uint64_t table_count(const void *ctx, int32_t stream)
{
    return fly_acquire_count(ctx, stream);
}

static uint64_t table_photons(const void *ctx)
{
    return fly_acquire_photons(ctx);
}

static void table_start(void *ctx, int64_t t_ns, struct fly_message *message)
{
    fly_acquire_start(ctx, t_ns, message);
}

static void table_heartbeat(void *ctx, int64_t t_ns, int64_t backlog, struct fly_message *message)
{
    fly_acquire_heartbeat(ctx, t_ns, backlog, message);
}

static void table_stop(void *ctx, int64_t t_ns, const char *exit_status, const char *reason,
                       struct fly_message *message)
{
    fly_acquire_stop(ctx, t_ns, exit_status, reason, message);
}

/* A specimen can be looked at again and again. */
static int table_ready(void *ctx, const struct fly_patch *patch)
{
    (void)ctx;
    (void)patch;
    return FLY_OK;
}

static double table_dwell_us(void *ctx, double asked_us)
{
    (void)ctx;
    return asked_us;
}

static int table_measure(void *ctx, const struct fly_patch *patch, int32_t stream, int64_t t_ns,
                         struct fly_message *message)
{
    return fly_acquire_patch(ctx, patch, stream, t_ns, message);
}

static void table_done(void *ctx, const struct fly_patch *patch)
{
    expose(ctx, patch);
}

static void table_take_back(void *ctx, const struct fly_message *message)
{
    fly_acquire_take_back(ctx, message);
}

struct fly_instrument fly_acquire_instrument(struct fly_acquire *a)
{
    const struct fly_specimen_config *c = &a->specimen->config;

    return (struct fly_instrument){
        .ctx = a,
        .n_streams = a->head.n_streams,
        .n_images = a->config.haadf ? 1 : 0,
        .field = {c->height_px, c->width_px, {c->pixel_nm, c->pixel_nm}},
        .pixel_time_us = a->config.dwell_us,
        .dwell_max_us = a->optics.dwell_max_us,
        .e_per_A2_per_us = fly_dose_factor(BEAM_CURRENT_NA, (const double[2]){c->pixel_nm, c->pixel_nm}),
        .patch_px = (int64_t)a->config.scan.block_px * c->width_px,
        .stream = table_stream,
        .count = table_count,
        .photons = table_photons,
        .start = table_start,
        .heartbeat = table_heartbeat,
        .stop = table_stop,
        .ready = table_ready,
        .dwell_us = table_dwell_us,
        .measure = table_measure,
        .done = table_done,
        .take_back = table_take_back,
    };
}
