#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_velox.h"

enum { STREAM_CHUNK = 1 << 18, CHANNELS_USUAL = 4096 };
enum { LINES_MAX = 1 << 24, LIVE_FRAMES_MAX = 4096 };

/* Words start .. start + count into out. */
static int read_words(const struct fly_velox_stream *stream, int64_t start, int64_t count,
                      uint16_t *out)
{
    int64_t at[FLY_H5_DIMS] = {start, 0, 0, 0}, n[FLY_H5_DIMS] = {count, 1, 1, 1};

    return fly_h5_set_read(&stream->set, at, n, out);
}

/* Call each(arg, words, count, index of the first) for all words, chunk by chunk. */
static int for_words(struct fly_velox_stream *stream, const char *path, const char *what,
                     const struct fly_import_options *options,
                     int (*each)(void *arg, const uint16_t *words, int64_t count, int64_t first),
                     void *arg)
{
    uint16_t *chunk = malloc(STREAM_CHUNK * sizeof *chunk);
    int rc = FLY_OK;

    if (!chunk)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a chunk of events", path);
    for (int64_t at = 0; at < stream->words && rc == FLY_OK; at += STREAM_CHUNK) {
        int64_t n = stream->words - at < STREAM_CHUNK ? stream->words - at : STREAM_CHUNK;

        rc = read_words(stream, at, n, chunk);
        if (rc == FLY_OK)
            rc = each(arg, chunk, n, at);
        if (rc == FLY_OK)
            rc = fly_import_tick(options, what, (double)(at + n) / (double)stream->words);
    }
    free(chunk);
    return rc;
}

static int count_words(void *arg, const uint16_t *words, int64_t count, int64_t first)
{
    uint64_t *histogram = arg;

    for (int64_t i = 0; i < count; i++)
        histogram[words[i]]++;
    return FLY_OK;
}

/* bincount and encoding from AcquisitionSettings; older files may lack them. */
static int read_settings(struct fly_velox_stream *stream, const char *path)
{
    char *text = fly_h5_text(stream->group, "AcquisitionSettings");
    json_t *settings = text ? json_loads(text, 0, NULL) : NULL;
    double bins = fly_json_number(settings, NULL, "bincount", NULL);
    const char *encoding = fly_json_text(settings, "StreamEncoding", NULL);
    int rc = FLY_OK;

    stream->n_channels = CHANNELS_USUAL;
    if (!encoding[0])
        encoding = fly_json_text(settings, "encoding", NULL);
    if (encoding[0] && strcmp(encoding, "uint16") != 0)
        rc = fly_fail(FLY_ERANGE,
                      "%s: stream %s is encoded as %.40s, taken is uint16; export the spectrum image "
                      "from Velox and import that",
                      path, stream->name, encoding);
    else if (isfinite(bins) && (bins < 1.0 || bins > FLY_CHANNELS_MAX || bins != floor(bins)))
        rc = fly_fail(FLY_EWIRE, "%s: stream %s has %g channels, allowed is 1 .. %d", path,
                      stream->name, bins, FLY_CHANNELS_MAX);
    else if (isfinite(bins))
        stream->n_channels = (int32_t)bins;
    json_decref(settings);
    free(text);
    return rc;
}

/* Name, energy axis and angle of the segment, from its metadata. */
static int read_segment(struct fly_velox_stream *stream, const char *path, const char *id,
                        const json_t *meta, const struct fly_import_options *options)
{
    const char *name = fly_velox_recorded_by(meta, "AnalyticalDetector");
    const json_t *detector;
    const char *kind;
    double elevation;

    if (!name[0])
        return fly_fail(FLY_ERANGE, "%s: stream %.32s does not name its detector", path, id);
    snprintf(stream->name, sizeof stream->name, "%s", name);
    detector = fly_velox_detector(meta, name);
    kind = fly_json_text(detector, "DetectorType", NULL);
    if (kind[0] && strcmp(kind, "AnalyticalDetector") != 0)
        return fly_fail(FLY_ERANGE, "%s: stream of %s, a %.40s and no X-ray detector", path,
                        stream->name, kind);
    stream->ev_per_channel = isfinite(options->ev_per_channel)
                                 ? options->ev_per_channel
                                 : fly_json_number(detector, NULL, "Dispersion", NULL);
    stream->ev_offset = isfinite(options->ev_offset)
                            ? options->ev_offset
                            : fly_json_number(detector, NULL, "OffsetEnergy", NULL);
    if (!isfinite(stream->ev_per_channel) || stream->ev_per_channel <= 0.0 ||
        !isfinite(stream->ev_offset))
        return fly_fail(
            FLY_EWIRE,
            "%s: stream of %s has Dispersion %g and OffsetEnergy %g eV, which must be finite, "
            "the first above 0; --ev-per-channel and --ev-offset replace them",
            path, stream->name, stream->ev_per_channel, stream->ev_offset);
    elevation = fly_json_number(detector, NULL, "ElevationAngle", NULL);
    stream->takeoff_deg = isfinite(elevation) && elevation > 0.0 ? elevation * 180.0 / M_PI : NAN;
    stream->dwell_us = fly_json_number(meta, NULL, "Scan", "DwellTime", NULL) * 1e6;
    stream->point_live_us = fly_json_number(detector, NULL, "LiveTime", NULL) * 1e6;
    stream->point_real_us = fly_json_number(detector, NULL, "RealTime", NULL) * 1e6;
    return FLY_OK;
}

int fly_velox_stream_open(struct fly_velox_stream *stream, const char *path, hid_t file,
                          const char *id, const struct fly_import_options *options)
{
    char at[320];
    json_t *meta;
    int rc;

    memset(stream, 0, sizeof *stream);
    stream->short_frame = -1;
    snprintf(at, sizeof at, "Data/SpectrumStream/%s", id);
    stream->group = H5Gopen2(file, at, H5P_DEFAULT);
    if (stream->group < 0) {
        stream->group = 0;
        return fly_fail(FLY_ERANGE, "%s: %s is no group", path, at);
    }
    rc = fly_velox_meta(&meta, path, stream->group, at, 0);
    if (rc < 0)
        return rc;
    rc = read_segment(stream, path, id, meta, options);
    json_decref(meta);
    if (rc == FLY_OK)
        rc = read_settings(stream, path);
    if (rc == FLY_OK)
        rc = fly_h5_set_open(&stream->set, path, stream->group, "Data");
    if (rc < 0)
        return rc;
    if (stream->set.type != FLY_NPY_U16 || stream->set.dims < 1 || stream->set.dims > 2 ||
        (stream->set.dims == 2 && stream->set.shape[1] != 1))
        return fly_fail(FLY_EWIRE, "%s: the stream of %s is no column of 16-bit words", path,
                        stream->name);
    stream->words = stream->set.shape[0];
    stream->histogram = calloc(FLY_VELOX_WORDS, sizeof *stream->histogram);
    if (!stream->histogram)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a histogram", path);
    rc = for_words(stream, path, "counting events", options, count_words, stream->histogram);
    stream->marks = stream->histogram[FLY_VELOX_MARK];
    stream->events = (uint64_t)stream->words - stream->marks;
    return rc;
}

void fly_velox_stream_close(struct fly_velox_stream *stream)
{
    fly_h5_set_close(&stream->set);
    if (stream->group > 0)
        H5Gclose(stream->group);
    free(stream->histogram);
    free(stream->lines);
    free(stream->live_fraction);
    free(stream->raw);
    free(stream->channel);
    free(stream->pixel);
    free(stream->counts);
    memset(stream, 0, sizeof *stream);
}

/* The walk over all words that finds the lines. */
struct walk {
    struct fly_velox_stream *stream;
    const char *path;
    const int64_t *table; /* (frames) first word of each frame, or NULL: marks alone tell */
    int64_t frame, pixel; /* where the beam is; pixel in the frame, up to H * W */
    uint32_t in_pixel;    /* photons of the present pixel */
};

static struct fly_velox_line *line_of(const struct walk *walk, int64_t pixel)
{
    return &walk->stream
                ->lines[walk->frame * walk->stream->height_px + pixel / walk->stream->width_px];
}

/* The frame is over: settle its last pixel, and leave the rest of its lines empty. */
static void end_frame(struct walk *walk)
{
    struct fly_velox_stream *stream = walk->stream;
    int64_t pixels = (int64_t)stream->height_px * stream->width_px;

    if (walk->pixel < pixels && (walk->in_pixel > 0 || walk->pixel == pixels - 1)) {
        line_of(walk, walk->pixel)->width_px++; /* its mark is missing, the pixel was measured */
        walk->pixel++;
    }
    if (walk->pixel < pixels && stream->short_frame < 0) {
        stream->short_frame = walk->frame;
        stream->short_px = walk->pixel;
    }
    walk->frame++;
    walk->pixel = 0;
    walk->in_pixel = 0;
}

static int walk_words(void *arg, const uint16_t *words, int64_t count, int64_t first)
{
    struct walk *walk = arg;
    struct fly_velox_stream *stream = walk->stream;
    int64_t pixels = (int64_t)stream->height_px * stream->width_px;

    for (int64_t i = 0; i < count; i++) {
        struct fly_velox_line *line;

        if (walk->table) {
            while (walk->frame + 1 < stream->frames && walk->table[walk->frame + 1] == first + i)
                end_frame(walk);
        } else if (walk->pixel == pixels && walk->frame + 1 < stream->frames) {
            end_frame(walk);
        }
        if (walk->pixel == pixels) {
            if (words[i] == FLY_VELOX_MARK)
                return fly_fail(FLY_EWIRE,
                                "%s: the stream of %s has more marks in frame %" PRId64
                                " than the scan's %d x %d pixels",
                                walk->path, stream->name, walk->frame, stream->height_px,
                                stream->width_px);
            stream->stray++;
            continue;
        }
        line = line_of(walk, walk->pixel);
        if (line->words == 0)
            line->at = first + i;
        if (line->words == UINT32_MAX)
            return fly_fail(FLY_ERANGE, "%s: more than 2^32 events of %s in one line", walk->path,
                            stream->name);
        line->words++;
        if (words[i] == FLY_VELOX_MARK) {
            line->width_px++;
            walk->pixel++;
            walk->in_pixel = 0;
        } else {
            line->photons++;
            walk->in_pixel = 1;
        }
    }
    return FLY_OK;
}

/* FrameLocationTable: free(*table), NULL when there is none or it makes no sense. */
static int read_table(struct fly_velox_stream *stream, const char *path, int64_t **table,
                      int64_t *frames)
{
    struct fly_h5_set set;
    int64_t start[FLY_H5_DIMS] = {0}, count[FLY_H5_DIMS] = {0, 1, 1, 1};
    int rc, good;

    *table = NULL;
    if (!fly_h5_has(stream->group, "FrameLocationTable"))
        return FLY_OK;
    rc = fly_h5_set_open(&set, path, stream->group, "FrameLocationTable");
    if (rc < 0)
        return rc;
    good = (set.type == FLY_NPY_U64 || set.type == FLY_NPY_I64) && set.dims >= 1 && set.dims <= 2 &&
           (set.dims == 1 || set.shape[1] == 1) && set.shape[0] >= 1 &&
           set.shape[0] <= FLY_FRAMES_MAX;
    if (good) {
        count[0] = set.shape[0];
        *table = malloc((size_t)set.shape[0] * sizeof **table);
        rc = *table
                 ? fly_h5_set_read(&set, start, count, *table)
                 : fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " frames", path, set.shape[0]);
        *frames = set.shape[0];
        for (int64_t f = 0; rc == FLY_OK && f < *frames && good; f++)
            good = (*table)[f] >= (f ? (*table)[f - 1] : 0) && (*table)[f] <= stream->words;
        good = rc == FLY_OK && good && (*table)[0] == 0;
    }
    fly_h5_set_close(&set);
    if (!good) {
        free(*table);
        *table = NULL;
        return rc;
    }
    /* Entries at the end of the stream announce frames that never came. */
    while (*frames > 1 && (*table)[*frames - 1] == stream->words)
        --*frames;
    return FLY_OK;
}

static int read_live(struct fly_velox_stream *stream, const char *path)
{
    struct fly_h5_set set;
    int64_t columns = 1;
    int rc = fly_h5_set_open(&set, path, stream->group, "Metadata");

    if (rc == FLY_OK) {
        columns = set.dims == 2 ? set.shape[1] : 1;
        fly_h5_set_close(&set);
    } else if (rc != FLY_ERANGE) { /* FLY_ERANGE: text, of all frames at once */
        return rc;
    }
    stream->live_fraction = malloc((size_t)stream->frames * sizeof *stream->live_fraction);
    if (!stream->live_fraction)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " frames", path, stream->frames);
    for (int64_t f = 0; f < stream->frames; f++) {
        json_t *meta = NULL;
        const json_t *detector;
        double fraction;

        if (f > 0 && (columns != stream->frames || f >= LIVE_FRAMES_MAX)) {
            stream->live_fraction[f] = stream->live_fraction[0];
            continue;
        }
        rc = fly_velox_meta(&meta, path, stream->group, stream->name, f);
        if (rc == FLY_EWIRE && f > 0) {
            /* Velox leaves a column empty when it is stopped early; photons are no less there. */
            stream->untold_frames++;
            stream->live_fraction[f] = stream->live_fraction[f - 1];
            continue;
        }
        if (rc < 0)
            return rc;
        detector = fly_velox_detector(meta, stream->name);
        fraction = fly_json_number(detector, NULL, "LiveTime", NULL) /
                   fly_json_number(detector, NULL, "RealTime", NULL);
        stream->live_fraction[f] = fraction > 0.0 && fraction <= 1.0 ? fraction : NAN;
        json_decref(meta);
    }
    return FLY_OK;
}

/* Memory for the longest line: as pairs, or as counts where pairs would be too many. */
static int make_buffers(struct fly_velox_stream *stream, const char *path)
{
    uint32_t most = 1;
    size_t bins = (size_t)stream->width_px * (size_t)stream->n_channels;

    for (int64_t i = 0; i < stream->frames * stream->height_px; i++)
        most = stream->lines[i].photons > most ? stream->lines[i].photons : most;
    stream->photons_max = most;
    stream->raw = malloc(STREAM_CHUNK * sizeof *stream->raw);
    if (most <= FLY_IMPORT_PAIRS_MAX) {
        stream->pixel = malloc(most * sizeof *stream->pixel);
        stream->channel = malloc(most * sizeof *stream->channel);
    } else if (bins * sizeof *stream->counts <= FLY_IMPORT_PAYLOAD_MAX) {
        stream->counts = malloc(bins * sizeof *stream->counts);
    } else {
        return fly_fail(FLY_ERANGE,
                        "%s: %" PRIu32
                        " events of %s in a line of %d px, more than a message holds",
                        path, most, stream->name, stream->width_px);
    }
    if (!stream->raw || (!stream->counts && (!stream->pixel || !stream->channel)))
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRIu32 " events of a line", path, most);
    return FLY_OK;
}

int fly_velox_stream_index(struct fly_velox_stream *stream, const char *path, int32_t height_px,
                           int32_t width_px, const struct fly_import_options *options)
{
    struct walk walk = {.stream = stream, .path = path};
    int64_t pixels = (int64_t)height_px * width_px;
    int64_t *table = NULL;
    int rc;

    stream->height_px = height_px;
    stream->width_px = width_px;
    /* A last frame that lacks its last mark, or is cut short, counts; marks alone tell of no more.
     */
    stream->frames = (int64_t)((stream->marks + (uint64_t)pixels - 1) / (uint64_t)pixels);
    if (stream->frames < 1)
        stream->frames = 1;
    rc = stream->marks > 0 ? read_table(stream, path, &table, &stream->frames) : FLY_OK;
    if (rc < 0)
        return rc;
    if (stream->frames > LINES_MAX / height_px) {
        free(table);
        return fly_fail(FLY_ERANGE,
                        "%s: the stream of %s has %" PRId64 " frames of %d lines, at most %d "
                        "lines are taken",
                        path, stream->name, stream->frames, height_px, LINES_MAX);
    }
    walk.table = table;
    stream->lines = calloc((size_t)stream->frames * (size_t)height_px, sizeof *stream->lines);
    if (!stream->lines)
        rc = fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " frames", path, stream->frames);
    if (rc == FLY_OK)
        rc = for_words(stream, path, "finding lines", options, walk_words, &walk);
    while (rc == FLY_OK && walk.frame < stream->frames)
        end_frame(&walk);
    free(table);
    if (rc == FLY_OK)
        rc = read_live(stream, path);
    return rc == FLY_OK ? make_buffers(stream, path) : rc;
}

int fly_velox_stream_line(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                          struct fly_import_photons *out)
{
    struct fly_velox_stream *stream = ctx;
    const struct fly_velox_line *line = &stream->lines[frame * stream->height_px + y_px];
    uint32_t x = 0;
    int64_t n = 0;

    FLY_ASSERT(x0_px == 0 && width_px == stream->width_px);
    *out = (struct fly_import_photons){.width_px = line->width_px,
                                       .pixel = stream->pixel,
                                       .channel = stream->channel,
                                       .counts = stream->counts,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    if (stream->counts)
        memset(stream->counts, 0,
               (size_t)stream->width_px * (size_t)stream->n_channels * sizeof *stream->counts);
    for (int64_t done = 0; done < line->words;) {
        int64_t count = line->words - done < STREAM_CHUNK ? line->words - done : STREAM_CHUNK;
        int rc = read_words(stream, line->at + done, count, stream->raw);

        if (rc < 0)
            return rc;
        for (int64_t i = 0; i < count; i++) {
            uint16_t word = stream->raw[i];

            if (word == FLY_VELOX_MARK) {
                x++;
            } else if (!stream->counts) {
                FLY_ASSERT(n < line->photons);
                stream->pixel[n] = x;
                stream->channel[n] = word;
                n++;
            } else if (word < stream->n_channels) {
                stream->counts[(size_t)x * (size_t)stream->n_channels + word]++;
            }
        }
        done += count;
    }
    out->n = n;
    if (stream->marks == 0) {
        out->live_time_us = stream->point_live_us;
        out->real_time_us = stream->point_real_us;
    } else if (isfinite(stream->dwell_us) && stream->dwell_us > 0.0) {
        out->real_time_us = stream->dwell_us * line->width_px;
        out->live_time_us = out->real_time_us * stream->live_fraction[frame];
    }
    return FLY_OK;
}
