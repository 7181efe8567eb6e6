/* A plan walked in the order of the scan, as wire messages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/import.h"

/* ---- packing -------------------------------------------------------------------------------- */

/* Text as the wire takes it: valid UTF-8, at most FLY_STRING_MAX bytes; other bytes become '?'. */
static void pack_text(struct fly_pack *pack, const char *text)
{
    char clean[FLY_STRING_MAX];
    size_t n = 0;
    const unsigned char *at = (const unsigned char *)text;

    while (*at && n + 4 <= sizeof clean) {
        size_t more = at[0] < 0x80                    ? 0
                      : at[0] >= 0xC2 && at[0] < 0xE0 ? 1
                      : at[0] >= 0xE0 && at[0] < 0xF0 ? 2
                      : at[0] >= 0xF0 && at[0] < 0xF5 ? 3
                                                      : 4;
        int good = more < 4;

        for (size_t i = 1; good && i <= more; i++)
            good = (at[i] & 0xC0) == 0x80; /* a NUL ends this too */
        /* overlong forms, surrogates, beyond U+10FFFF */
        if (good && ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
                     (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F)))
            good = 0;
        if (!good) {
            clean[n++] = '?';
            at++;
            continue;
        }
        memcpy(clean + n, at, more + 1);
        n += more + 1;
        at += more + 1;
    }
    fly_pack_strn(pack, clean, n);
}

static void pack_key_text(struct fly_pack *pack, const char *key, const char *text)
{
    fly_pack_str(pack, key);
    pack_text(pack, text);
}

static void pack_key_pair(struct fly_pack *pack, const char *key, const double value[2])
{
    fly_pack_str(pack, key);
    if (!isfinite(value[0]) || !isfinite(value[1])) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, value[0]);
    fly_pack_f64(pack, value[1]);
}

/* The five keys that every header has; entries counts all of the map. */
static void pack_head(struct fly_pack *pack, uint32_t entries, const char *type,
                      const char *session, const char *stream, uint64_t seq, int64_t t_ns)
{
    fly_pack_map(pack, entries);
    pack_key_text(pack, "type", type);
    pack_key_text(pack, "session", session);
    pack_key_text(pack, "stream", stream);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, seq);
    fly_pack_key_int(pack, "t_ns", t_ns);
}

static void pack_shape(struct fly_pack *pack, const char *key, int64_t height, int64_t width)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, 2);
    fly_pack_int(pack, height);
    fly_pack_int(pack, width);
}

static void pack_segment(struct fly_pack *pack, const struct fly_segment *segment)
{
    fly_pack_map(pack, 5);
    pack_key_text(pack, "name", segment->name);
    fly_pack_key_int(pack, "n_channels", segment->n_channels);
    fly_pack_key_f64(pack, "ev_per_channel", segment->ev_per_channel);
    fly_pack_key_f64(pack, "ev_offset", segment->ev_offset);
    fly_pack_key_f64(pack, "takeoff_deg", segment->takeoff_deg);
}

void fly_import_pack_start(struct fly_pack *pack, const struct fly_import_plan *plan)
{
    const struct fly_start *start = &plan->start;
    uint32_t entries = 19 + (start->n_elements > 0) + (start->sample[0] != '\0');

    pack_head(pack, entries, "start", plan->session, "control", 1, plan->t0_ns);
    fly_pack_str(pack, "schema");
    fly_pack_array(pack, 2);
    fly_pack_int(pack, 1);
    fly_pack_int(pack, 0);
    pack_shape(pack, "scan_shape_px", start->height_px, start->width_px);
    fly_pack_str(pack, "detectors");
    fly_pack_array(pack, (uint32_t)start->n_detectors);
    for (int32_t i = 0; i < start->n_detectors; i++) {
        fly_pack_map(pack, 2);
        pack_key_text(pack, "name", start->detectors[i].name);
        pack_key_text(pack, "dtype", fly_dtype_name(start->detectors[i].dtype));
    }
    fly_pack_str(pack, "eds");
    fly_pack_array(pack, (uint32_t)start->n_segments);
    for (int32_t i = 0; i < start->n_segments; i++)
        pack_segment(pack, &start->segments[i]);
    fly_pack_key_int(pack, "frames_planned", start->frames_planned);
    pack_key_text(pack, "scan_path", "raster");
    pack_key_pair(pack, "pixel_nm", start->pixel_nm);
    fly_pack_key_f64(pack, "pixel_time_us", start->pixel_time_us);
    fly_pack_key_f64(pack, "flyback_time_us", start->flyback_time_us);
    fly_pack_key_f64(pack, "beam_energy_kev", start->beam_energy_kev);
    fly_pack_key_f64(pack, "beam_current_na", start->beam_current_na);
    fly_pack_key_f64(pack, "convergence_mrad", start->convergence_mrad);
    pack_key_pair(pack, "collection_mrad", start->collection_mrad);
    if (start->n_elements > 0) {
        fly_pack_str(pack, "elements");
        fly_pack_array(pack, (uint32_t)start->n_elements);
        for (int32_t i = 0; i < start->n_elements; i++)
            pack_text(pack, start->elements[i]);
    }
    if (start->sample[0])
        pack_key_text(pack, "sample", start->sample);
    fly_pack_key_f64(pack, "magnification", start->magnification);
}

/* ---- writing -------------------------------------------------------------------------------- */

struct writer {
    const struct fly_import_plan *plan;
    const struct fly_import_options *options;
    const struct fly_import_sink *sink;
    unsigned char *header;             /* FLY_HEADER_MAX */
    unsigned char *line;               /* the widest image line */
    uint32_t *rows;                    /* (widest block + 1), row pointers of csr */
    uint16_t *channels;                /* as large as the largest dense block */
    uint64_t seq[FLY_STREAMS_MAX - 1]; /* last one of each detector, then of each segment */
};

static int put(struct writer *writer, enum fly_record_kind kind, int64_t t_ns,
               struct fly_pack *pack, const struct fly_part *payloads, int32_t n_payloads)
{
    struct fly_part parts[3] = {{pack->bytes, pack->len}};

    FLY_ASSERT(!pack->full && n_payloads <= 2);
    for (int32_t i = 0; i < n_payloads; i++)
        parts[1 + i] = payloads[i];
    return writer->sink->put(writer->sink->ctx, kind, t_ns, parts, 1 + n_payloads);
}

static int put_session(struct writer *writer)
{
    const struct fly_import_plan *plan = writer->plan;
    struct fly_pack pack;

    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    fly_pack_map(&pack, 4);
    pack_key_text(&pack, "session", plan->session);
    pack_key_text(&pack, "flyback_version", FLY_VERSION);
    fly_pack_str(&pack, "imported");
    fly_pack_bool(&pack, 1);
    fly_pack_str(&pack, "source");
    fly_pack_array(&pack, (uint32_t)plan->n_files);
    for (int32_t i = 0; i < plan->n_files; i++) {
        const char *slash = strrchr(plan->files[i]->path, '/');

        pack_text(&pack, slash ? slash + 1 : plan->files[i]->path);
    }
    return put(writer, FLY_REC_SESSION, plan->t0_ns, &pack, NULL, 0);
}

/* The start must pass the very check that it will meet on the wire. */
static int put_start(struct writer *writer)
{
    struct fly_session_view none = {0};
    struct fly_ingest *message = malloc(sizeof *message);
    struct fly_start *start = malloc(sizeof *start);
    struct fly_pack pack;
    struct fly_part part;
    enum fly_refusal why = FLY_REFUSE_NONE;

    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    fly_import_pack_start(&pack, writer->plan);
    part = (struct fly_part){pack.bytes, pack.len};
    if (message && start)
        why = fly_ingest_decode(message, start, &part, 1, &none);
    free(message);
    free(start);
    if (why != FLY_REFUSE_NONE) {
        char text[400];

        snprintf(text, sizeof text, "%s", fly_fail_text());
        return fly_fail(FLY_ERANGE, "%s: what the files tell makes no session: %s",
                        writer->plan->files[0]->path, text);
    }
    return put(writer, FLY_REC_INGEST, writer->plan->t0_ns, &pack, NULL, 0);
}

static int put_image_line(struct writer *writer, const struct fly_import_image *image,
                          uint64_t *seq, int64_t frame, int32_t y, int64_t t_ns)
{
    struct fly_part payload = {writer->line,
                               (size_t)image->width_px * fly_dtype_size(image->dtype)};
    struct fly_pack pack;
    int rc = image->line(image->ctx, frame, y, writer->line);

    if (rc < 0)
        return rc;
    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    pack_head(&pack, 10, "lines", writer->plan->session, image->name, ++*seq, t_ns);
    fly_pack_key_int(&pack, "frame", frame);
    fly_pack_key_int(&pack, "y0_px", y);
    fly_pack_key_int(&pack, "x0_px", 0);
    pack_key_text(&pack, "dtype", fly_dtype_name(image->dtype));
    pack_shape(&pack, "shape", 1, image->width_px);
    return put(writer, FLY_REC_INGEST, t_ns, &pack, &payload, 1);
}

/* Counts as a list of photons, when that is the smaller form. Returns 1 when rows and channels are
 * filled. */
static int counts_to_csr(struct writer *writer, const struct fly_import_photons *photons,
                         int32_t n_channels)
{
    size_t items = (size_t)photons->width_px * (size_t)n_channels;
    uint64_t n = 0, most;

    for (size_t i = 0; i < items; i++)
        n += photons->counts[i];
    most = items * sizeof *photons->counts;
    if ((uint64_t)(photons->width_px + 1) * sizeof *writer->rows + n * sizeof *writer->channels >=
        most)
        return 0;
    n = 0;
    for (int32_t x = 0; x < photons->width_px; x++) {
        const uint32_t *spectrum = photons->counts + (size_t)x * (size_t)n_channels;

        writer->rows[x] = (uint32_t)n;
        for (int32_t k = 0; k < n_channels; k++)
            for (uint32_t c = 0; c < spectrum[k]; c++)
                writer->channels[n++] = (uint16_t)k;
    }
    writer->rows[photons->width_px] = (uint32_t)n;
    return 1;
}

static int put_photons(struct writer *writer, const struct fly_import_eds *eds,
                       const struct fly_import_photons *photons, uint64_t *seq, int64_t frame,
                       int32_t y, int64_t t_ns)
{
    int csr = photons->counts && counts_to_csr(writer, photons, eds->segment.n_channels);
    const char *layout = !photons->counts ? "pairs" : csr ? "csr" : "dense";
    int dense = photons->counts && !csr;
    uint32_t entries = 10 + (uint32_t)dense + (uint32_t)isfinite(photons->live_time_us) +
                       (uint32_t)isfinite(photons->real_time_us);
    struct fly_part payloads[2];
    struct fly_pack pack;

    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    pack_head(&pack, entries, "eds", writer->plan->session, eds->segment.name, ++*seq, t_ns);
    fly_pack_key_int(&pack, "frame", frame);
    fly_pack_key_int(&pack, "y0_px", y);
    fly_pack_key_int(&pack, "x0_px", photons->x0_px);
    pack_shape(&pack, "shape", 1, photons->width_px);
    pack_key_text(&pack, "layout", layout);
    if (dense)
        pack_key_text(&pack, "dtype", "<u4");
    if (isfinite(photons->live_time_us))
        fly_pack_key_f64(&pack, "live_time_us", photons->live_time_us);
    if (isfinite(photons->real_time_us))
        fly_pack_key_f64(&pack, "real_time_us", photons->real_time_us);
    if (dense) {
        payloads[0] = (struct fly_part){photons->counts, (size_t)photons->width_px *
                                                             (size_t)eds->segment.n_channels *
                                                             sizeof(uint32_t)};
    } else if (csr) {
        payloads[0] =
            (struct fly_part){writer->rows, ((size_t)photons->width_px + 1) * sizeof(uint32_t)};
        payloads[1] =
            (struct fly_part){writer->channels, writer->rows[photons->width_px] * sizeof(uint16_t)};
    } else {
        payloads[0] = (struct fly_part){photons->pixel, (size_t)photons->n * sizeof(uint32_t)};
        payloads[1] = (struct fly_part){photons->channel, (size_t)photons->n * sizeof(uint16_t)};
    }
    return put(writer, FLY_REC_INGEST, t_ns, &pack, payloads, dense ? 1 : 2);
}

static int put_eds_line(struct writer *writer, const struct fly_import_eds *eds, uint64_t *seq,
                        int64_t frame, int32_t y, int64_t t_ns)
{
    for (int32_t x = 0; x < eds->width_px; x += eds->block_px) {
        int32_t width = eds->width_px - x < eds->block_px ? eds->width_px - x : eds->block_px;
        struct fly_import_photons photons;
        int rc = eds->line(eds->ctx, frame, y, x, width, &photons);

        if (rc == FLY_OK && photons.width_px > 0)
            rc = put_photons(writer, eds, &photons, seq, frame, y, t_ns);
        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

static int put_line(struct writer *writer, int64_t frame, int32_t y, int64_t t_ns)
{
    const struct fly_import_plan *plan = writer->plan;
    uint64_t *seq = writer->seq;

    for (int32_t f = 0; f < plan->n_files; f++)
        for (int32_t i = 0; i < plan->files[f]->n_images; i++, seq++) {
            const struct fly_import_image *image = &plan->files[f]->images[i];
            int rc =
                frame < image->frames ? put_image_line(writer, image, seq, frame, y, t_ns) : FLY_OK;

            if (rc < 0)
                return rc;
        }
    for (int32_t f = 0; f < plan->n_files; f++)
        for (int32_t i = 0; i < plan->files[f]->n_eds; i++, seq++) {
            const struct fly_import_eds *eds = &plan->files[f]->eds[i];
            int rc = frame < eds->frames ? put_eds_line(writer, eds, seq, frame, y, t_ns) : FLY_OK;

            if (rc < 0)
                return rc;
        }
    return FLY_OK;
}

static int put_stop(struct writer *writer, int64_t t_ns)
{
    const struct fly_start *start = &writer->plan->start;
    int32_t streams = start->n_detectors + start->n_segments;
    struct fly_pack pack;

    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    pack_head(&pack, 8, "stop", writer->plan->session, "control", 2, t_ns);
    pack_key_text(&pack, "exit_status", "success");
    pack_key_text(&pack, "reason", "end of the imported files");
    fly_pack_str(&pack, "count");
    fly_pack_map(&pack, (uint32_t)streams);
    for (int32_t i = 0; i < streams; i++) {
        pack_text(&pack, i < start->n_detectors ? start->detectors[i].name
                                                : start->segments[i - start->n_detectors].name);
        fly_pack_uint(&pack, writer->seq[i]);
    }
    return put(writer, FLY_REC_INGEST, t_ns, &pack, NULL, 0);
}

static int put_end(struct writer *writer, int64_t t_ns)
{
    struct fly_pack pack;

    fly_pack_init(&pack, writer->header, FLY_HEADER_MAX);
    fly_pack_map(&pack, 2);
    pack_key_text(&pack, "session", writer->plan->session);
    pack_key_text(&pack, "exit_status", "success");
    return put(writer, FLY_REC_END, t_ns, &pack, NULL, 0);
}

/* The largest payloads of a plan: of an image line, and of a block of counts. */
static void measure(const struct fly_import_plan *plan, size_t *line, size_t *dense, size_t *pairs,
                    int32_t *block)
{
    *line = 1;
    *dense = *pairs = 0;
    *block = 0;
    for (int32_t f = 0; f < plan->n_files; f++) {
        for (int32_t i = 0; i < plan->files[f]->n_images; i++) {
            const struct fly_import_image *image = &plan->files[f]->images[i];
            size_t bytes = (size_t)image->width_px * fly_dtype_size(image->dtype);

            *line = bytes > *line ? bytes : *line;
        }
        for (int32_t i = 0; i < plan->files[f]->n_eds; i++) {
            const struct fly_import_eds *eds = &plan->files[f]->eds[i];
            size_t counts =
                (size_t)eds->block_px * (size_t)eds->segment.n_channels * sizeof(uint32_t);
            size_t listed = (size_t)eds->photons_max * (sizeof(uint32_t) + sizeof(uint16_t));

            *pairs = listed > *pairs ? listed : *pairs;
            if (eds->photons_max == 0) {
                *dense = counts > *dense ? counts : *dense;
                *block = eds->block_px > *block ? eds->block_px : *block;
            }
        }
    }
}

size_t fly_import_record_max(const struct fly_import_plan *plan)
{
    size_t line, dense, pairs;
    int32_t block;

    measure(plan, &line, &dense, &pairs, &block);
    line = dense > line ? dense : line;
    line = pairs > line ? pairs : line;
    return line + FLY_HEADER_MAX;
}

/* When the line is done: frames and lines from the start of acquisition. */
static int64_t stamp(const struct fly_import_plan *plan, int64_t frame, int32_t y)
{
    double us = plan->frame_time_us * (double)frame + plan->line_time_us * (double)(y + 1);

    return plan->t0_ns + (int64_t)llround(us * 1e3);
}

static int write_all(struct writer *writer)
{
    const struct fly_import_plan *plan = writer->plan;
    int32_t height = plan->start.height_px;
    double lines = (double)plan->frames * height;
    int64_t t_ns = plan->t0_ns;
    int rc = put_session(writer);

    if (rc == FLY_OK)
        rc = put_start(writer);
    for (int64_t frame = 0; frame < plan->frames && rc == FLY_OK; frame++)
        for (int32_t y = 0; y < height && rc == FLY_OK; y++) {
            t_ns = stamp(plan, frame, y);
            rc = put_line(writer, frame, y, t_ns);
            if (rc == FLY_OK)
                rc = fly_import_tick(writer->options, "writing",
                                     ((double)frame * height + y + 1) / lines);
        }
    if (rc == FLY_OK)
        rc = put_stop(writer, t_ns);
    return rc == FLY_OK ? put_end(writer, t_ns) : rc;
}

int fly_import_write(const struct fly_import_plan *plan, const struct fly_import_options *options,
                     const struct fly_import_sink *sink)
{
    struct writer writer = {.plan = plan, .options = options, .sink = sink};
    size_t line, dense, pairs;
    int32_t block;
    int rc;

    FLY_ASSERT(plan->session[0]);
    measure(plan, &line, &dense, &pairs, &block);
    writer.header = malloc(FLY_HEADER_MAX);
    writer.line = malloc(line);
    writer.rows = malloc(((size_t)block + 1) * sizeof *writer.rows);
    writer.channels = malloc(dense ? dense : 1);
    if (!writer.header || !writer.line || !writer.rows || !writer.channels)
        rc = fly_fail(FLY_ENOMEM, "%s: no memory for its lines", plan->files[0]->path);
    else
        rc = write_all(&writer);
    free(writer.header);
    free(writer.line);
    free(writer.rows);
    free(writer.channels);
    return rc;
}
