#include "sim/acquire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/tool.h"

enum { SAMPLE_MAX = 127 };

struct fly_acquire {
    const struct fly_specimen *specimen;
    const struct fly_beam *beam;
    struct fly_acquire_config config;
    char session[FLY_SESSION_MAX + 1], sample[SAMPLE_MAX + 1];
    struct fly_beam_config optics;
    int32_t streams, segments;
    char names[1 + 1 + FLY_BEAM_SEGMENTS][8];
    uint64_t seq[1 + 1 + FLY_BEAM_SEGMENTS];
    uint64_t photons;
    uint16_t *pixels;   /* (block, W): an image; or (block, W, n_channels): dense counts */
    uint32_t *row_ptr;  /* (block * W + 1) */
    uint32_t *pixel_of; /* (photon_cap), pairs */
    uint16_t *channel;  /* (photon_cap) */
    size_t photon_cap;
    unsigned char header[FLY_HEADER_MAX];
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
    double mean = most * share * a->config.dwell_us / a->optics.dwell_us * a->config.scan.block_px *
                  a->specimen->config.width_px;
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
    strcpy(a->session, config->session);
    strncpy(a->sample, config->sample ? config->sample : "", SAMPLE_MAX);
    strcpy(a->names[a->streams++], "control");
    if (config->haadf)
        strcpy(a->names[a->streams++], "haadf");
    a->segments = config->eds ? a->optics.segments : 0;
    for (int32_t i = 0; i < a->segments; i++) {
        char *name = a->names[a->streams++];

        strcpy(name, "eds");
        if (a->segments > 1)
            name[3] = (char)('1' + i);
    }
    rc = reserve(a);
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
    free((*acquire)->pixels);
    free((*acquire)->row_ptr);
    free((*acquire)->channel);
    free((*acquire)->pixel_of);
    free(*acquire);
    *acquire = NULL;
}

int32_t fly_acquire_streams(const struct fly_acquire *acquire)
{
    return acquire->streams;
}

const char *fly_acquire_stream(const struct fly_acquire *acquire, int32_t stream)
{
    FLY_ASSERT(stream >= 0 && stream < acquire->streams);
    return acquire->names[stream];
}

uint64_t fly_acquire_count(const struct fly_acquire *acquire, int32_t stream)
{
    FLY_ASSERT(stream >= 0 && stream < acquire->streams);
    return acquire->seq[stream];
}

uint64_t fly_acquire_photons(const struct fly_acquire *acquire)
{
    return acquire->photons;
}

/* ---- headers ------------------------------------------------------------------------------------- */

static void put_str(struct fly_pack *pack, const char *key, const char *value)
{
    fly_pack_str(pack, key);
    fly_pack_str(pack, value);
}

static void put_int(struct fly_pack *pack, const char *key, int64_t value)
{
    fly_pack_str(pack, key);
    fly_pack_int(pack, value);
}

static void put_f64(struct fly_pack *pack, const char *key, double value)
{
    fly_pack_str(pack, key);
    fly_pack_f64(pack, value);
}

static void put_pair(struct fly_pack *pack, const char *key, int64_t a, int64_t b)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_int(pack, a);
    fly_pack_int(pack, b);
}

static void put_pair_f64(struct fly_pack *pack, const char *key, double a, double b)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, a);
    fly_pack_f64(pack, b);
}

/* The five keys of every header; `more` others follow. */
static void begin(struct fly_acquire *a, struct fly_pack *pack, const char *type, int32_t stream,
                  int64_t t_ns, uint32_t more, struct fly_message *message)
{
    *message = (struct fly_message){.stream = stream, .seq = ++a->seq[stream], .n_parts = 1};
    fly_pack_init(pack, a->header, sizeof a->header);
    fly_pack_map(pack, 5 + more);
    put_str(pack, "type", type);
    put_str(pack, "session", a->session);
    put_str(pack, "stream", a->names[stream]);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, message->seq);
    put_int(pack, "t_ns", t_ns);
}

static void end(const struct fly_pack *pack, struct fly_message *message)
{
    FLY_ASSERT(!pack->full);
    message->parts[0] = (struct fly_part){pack->bytes, pack->len};
}

static void put_detectors(const struct fly_acquire *a, struct fly_pack *pack)
{
    fly_pack_str(pack, "detectors");
    fly_pack_array(pack, a->config.haadf ? 1 : 0);
    if (a->config.haadf) {
        fly_pack_map(pack, 2);
        put_str(pack, "name", "haadf");
        put_str(pack, "dtype", fly_dtype_name(FLY_U16));
    }
    fly_pack_str(pack, "eds");
    fly_pack_array(pack, (uint32_t)a->segments);
    for (int32_t i = 0; i < a->segments; i++) {
        fly_pack_map(pack, 5);
        put_str(pack, "name", a->names[a->streams - a->segments + i]);
        put_int(pack, "n_channels", a->optics.axis.n_channels);
        put_f64(pack, "ev_per_channel", a->optics.axis.ev_per_channel);
        put_f64(pack, "ev_offset", a->optics.axis.ev_offset);
        put_f64(pack, "takeoff_deg", 22.0);
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
        put_f64(pack, families[f].main_line, families[f].k);
    put_str(pack, "k_basis", "weight");
}

void fly_acquire_start(struct fly_acquire *a, int64_t t_ns, struct fly_message *message)
{
    static const char *const paths[FLY_ORDERS] = {"raster", "serpentine", "list"};
    const struct fly_specimen_config *c = &a->specimen->config;
    struct fly_pack pack;

    begin(a, &pack, "start", 0, t_ns, 19, message);
    put_pair(&pack, "schema", 1, 0);
    put_pair(&pack, "scan_shape_px", c->height_px, c->width_px);
    put_detectors(a, &pack);
    put_int(&pack, "frames_planned", a->config.frames);
    put_str(&pack, "scan_path", paths[a->config.scan.order]);
    put_pair_f64(&pack, "pixel_nm", c->pixel_nm, c->pixel_nm);
    put_f64(&pack, "rotation_rad", 0.0);
    put_f64(&pack, "pixel_time_us", a->config.dwell_us);
    put_f64(&pack, "flyback_time_us", 0.0);
    put_f64(&pack, "beam_energy_kev", a->optics.axis.beam_kev);
    put_f64(&pack, "beam_current_na", 0.1);
    put_f64(&pack, "convergence_mrad", 25.0);
    put_pair_f64(&pack, "collection_mrad", 60.0, 200.0);
    put_quantification(&pack);
    put_str(&pack, "sample", a->sample);
    put_str(&pack, "operator", "flyback sim");
    end(&pack, message);
}

static void put_counts(const struct fly_acquire *a, struct fly_pack *pack, const char *key, int zero)
{
    fly_pack_str(pack, key);
    fly_pack_map(pack, (uint32_t)a->streams);
    for (int32_t i = 0; i < a->streams; i++) {
        fly_pack_str(pack, a->names[i]);
        fly_pack_uint(pack, zero ? 0 : a->seq[i]);
    }
}

void fly_acquire_heartbeat(struct fly_acquire *a, int64_t t_ns, int64_t backlog,
                           struct fly_message *message)
{
    struct fly_pack pack;

    begin(a, &pack, "heartbeat", 0, t_ns, 3, message);
    put_counts(a, &pack, "last_seq", 0);
    put_int(&pack, "backlog", backlog);
    put_counts(a, &pack, "dropped", 1);
    end(&pack, message);
}

void fly_acquire_stop(struct fly_acquire *a, int64_t t_ns, const char *exit_status, const char *reason,
                      struct fly_message *message)
{
    struct fly_pack pack;

    begin(a, &pack, "stop", 0, t_ns, 3, message);
    put_str(&pack, "exit_status", exit_status);
    put_str(&pack, "reason", reason);
    put_counts(a, &pack, "count", 0);
    end(&pack, message);
}

/* ---- measured blocks ----------------------------------------------------------------------------- */

static void put_place(const struct fly_acquire *a, struct fly_pack *pack, const struct fly_shot *shot)
{
    put_int(pack, "frame", shot->frame);
    put_int(pack, "y0_px", shot->y0_px);
    put_int(pack, "x0_px", shot->x0_px);
    put_pair(pack, "shape", shot->h, shot->w);
    put_f64(pack, "dwell_us", a->config.dwell_us);
}

static void fill_lines(struct fly_acquire *a, const struct fly_shot *shot, int64_t t_ns,
                       struct fly_message *message)
{
    struct fly_pack pack;

    fly_beam_image(a->beam, shot, a->pixels);
    begin(a, &pack, "lines", 1, t_ns, 6, message);
    put_place(a, &pack, shot);
    put_str(&pack, "dtype", fly_dtype_name(FLY_U16));
    end(&pack, message);
    message->parts[1] = (struct fly_part){a->pixels, (size_t)shot->h * (size_t)shot->w * sizeof *a->pixels};
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

static int fill_photons(struct fly_acquire *a, const struct fly_shot *shot, int32_t stream, int64_t t_ns,
                        struct fly_message *message)
{
    int32_t segment = stream - (a->streams - a->segments);
    enum fly_photon_layout layout = a->config.layout;
    size_t pixels = (size_t)shot->h * (size_t)shot->w;
    double time_us = (double)pixels * a->config.dwell_us;
    uint32_t photons = fly_beam_photons(a->beam, shot, segment, a->row_ptr);
    struct fly_pack pack;

    if (photons > a->photon_cap)
        return fly_fail(FLY_ENOMEM, "%u photons in a block of %d lines, room for %zu: ask for fewer lines "
                        "per message", photons, shot->h, a->photon_cap);
    fly_beam_channels(a->beam, shot, segment, a->row_ptr, a->channel);
    begin(a, &pack, "eds", stream, t_ns, layout == FLY_LAYOUT_DENSE ? 9 : 8, message);
    put_place(a, &pack, shot);
    put_str(&pack, "layout", layout_names[layout]);
    put_f64(&pack, "live_time_us", time_us);
    put_f64(&pack, "real_time_us", time_us);
    if (layout == FLY_LAYOUT_DENSE)
        put_str(&pack, "dtype", fly_dtype_name(FLY_U16));
    end(&pack, message);
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

int fly_acquire_block(struct fly_acquire *a, int64_t frame, int32_t step, int32_t stream, int64_t t_ns,
                      struct fly_message *message)
{
    struct fly_shot shot = {.frame = frame, .w = a->specimen->config.width_px,
                            .dwell_us = a->config.dwell_us};

    FLY_ASSERT(stream >= 1 && stream < a->streams);
    fly_scan_block(&a->config.scan, frame, step, &shot.y0_px, &shot.h);
    if (a->config.haadf && stream == 1) {
        fill_lines(a, &shot, t_ns, message);
        return FLY_OK;
    }
    return fill_photons(a, &shot, stream, t_ns, message);
}

void fly_acquire_take_back(struct fly_acquire *a, const struct fly_message *message)
{
    FLY_ASSERT(a->seq[message->stream] == message->seq);
    a->seq[message->stream]--;
}
