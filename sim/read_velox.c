/* Velox's .emd: which of its images and streams belong together, and do they agree with Velox's own
 * sums. Only /Data is needed; where Velox keeps its displays and operations changes with its
 * version. */
#include "sim/read_velox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 1024, PICTURES_MAX = 64 };

/* One member of Data/Image that could be scanned: (rows, columns, frames), of real numbers. */
struct picture {
    struct fly_h5_set set;
    hid_t group;
    json_t *meta;
    char detector[FLY_NAME_MAX + 1]; /* as in the file; may be empty */
    char name[FLY_NAME_MAX + 1];     /* what people call it: the detector, or what was computed */
    enum fly_velox_origin scanned;   /* as fly_velox_name_image */
    int32_t y_axis, x_axis; /* 0 and 1, or the other way round */
    int64_t frames;
    void *raw;
    enum fly_dtype dtype;
    int taken;
};

struct velox {
    hid_t file;
    int32_t n_pictures, n_streams;
    int32_t n_left; /* streams that are there and were left */
    struct picture pictures[PICTURES_MAX];
    struct fly_velox_stream streams[FLY_SEGMENTS_MAX];
    struct fly_velox_labels labels;
};

static void velox_close(void *ctx)
{
    struct velox *velox = ctx;

    for (int32_t i = 0; i < velox->n_pictures; i++) {
        fly_h5_set_close(&velox->pictures[i].set);
        if (velox->pictures[i].group > 0)
            H5Gclose(velox->pictures[i].group);
        json_decref(velox->pictures[i].meta);
        free(velox->pictures[i].raw);
    }
    for (int32_t i = 0; i < velox->n_streams; i++)
        fly_velox_stream_close(&velox->streams[i]);
    H5Fclose(velox->file);
    free(velox);
}

static int picture_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct picture *picture = ctx;
    int64_t start[FLY_H5_DIMS] = {0, 0, frame, 0}, count[FLY_H5_DIMS] = {1, 1, 1, 1};
    int64_t width = picture->set.shape[picture->x_axis];
    int rc;

    start[picture->y_axis] = y_px;
    count[picture->x_axis] = width;
    rc = fly_h5_set_read(&picture->set, start, count, picture->raw);
    if (rc == FLY_OK)
        fly_import_convert(picture->dtype, out, picture->set.type, picture->raw, (size_t)width);
    return rc;
}

/* ---- looking at what is there ------------------------------------------------------------------
 */

static int shape_picture(const struct fly_import *out, struct picture *picture, const char *at)
{
    picture->y_axis = 0;
    picture->x_axis = 1;
    picture->frames = picture->set.dims == 3 ? picture->set.shape[2] : 1;
    if (picture->set.dims < 2 || picture->set.dims > 3)
        return fly_fail(FLY_ERANGE, "%s: %s has %d axes, taken are 2 and 3", out->path, at,
                        picture->set.dims);
    return fly_import_shape(picture->set.name, picture->name, picture->frames,
                            picture->set.shape[0], picture->set.shape[1]);
}

/* Fourier transforms and phase contrast come as pairs of numbers, under the name of their detector. */
static int is_complex(const struct picture *picture)
{
    hid_t set = fly_h5_has(picture->group, "Data") ? H5Dopen2(picture->group, "Data", H5P_DEFAULT) : -1;
    hid_t type = set >= 0 ? H5Dget_type(set) : -1;
    int is = type >= 0 && H5Tget_class(type) == H5T_COMPOUND;

    if (type >= 0)
        H5Tclose(type);
    if (set >= 0)
        H5Dclose(set);
    return is;
}

static int open_picture(struct fly_import *out, struct velox *velox, const char *id)
{
    struct picture *picture = &velox->pictures[velox->n_pictures];
    char at[320];
    int rc;

    snprintf(at, sizeof at, "Data/Image/%s", id);
    picture->group = H5Gopen2(velox->file, at, H5P_DEFAULT);
    if (picture->group < 0) {
        picture->group = 0;
        return FLY_OK;
    }
    velox->n_pictures++; /* from here on velox_close looks after it */
    rc = fly_velox_meta(&picture->meta, out->path, picture->group, at, 0);
    if (rc == FLY_OK) {
        picture->scanned = fly_velox_name_image(picture->detector, picture->name, picture->meta,
                                                fly_velox_label(&velox->labels, id));
        if (is_complex(picture)) {
            fly_import_note(out, "%s: image of %s, of complex numbers: left", out->path, picture->name);
            picture->taken = -1;
            return FLY_OK;
        }
        rc = fly_h5_set_open(&picture->set, out->path, picture->group, "Data");
    }
    if (rc == FLY_OK)
        rc = shape_picture(out, picture, at);
    if (rc < 0 && rc != FLY_ENOMEM) {
        /* A damaged map is no reason to leave the photons. The HAADF itself is. */
        if (strcmp(picture->name, "HAADF") == 0)
            return rc;
        fly_import_note(out, "%s: left", fly_fail_text());
        picture->taken = -1;
        rc = FLY_OK;
    }
    return rc;
}

static int open_pictures(struct fly_import *out, struct velox *velox)
{
    char(*names)[256];
    int32_t count;
    int rc = fly_h5_names(out->path, velox->file, "Data/Image", OBJECTS_MAX, &names, &count);

    for (int32_t i = 0; i < count && rc == FLY_OK; i++) {
        if (velox->n_pictures == PICTURES_MAX) {
            fly_import_note(out, "%s: %d more images: left", out->path, count - i);
            break;
        }
        rc = open_picture(out, velox, names[i]);
    }
    free(names);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fly_velox_stream *)a)->name,
                  ((const struct fly_velox_stream *)b)->name);
}

static int open_streams(struct fly_import *out, struct velox *velox,
                        const struct fly_import_options *options)
{
    char(*names)[256];
    int32_t count;
    int rc =
        fly_h5_names(out->path, velox->file, "Data/SpectrumStream", OBJECTS_MAX, &names, &count);

    for (int32_t i = 0; i < count && rc == FLY_OK; i++) {
        struct fly_velox_stream *stream = &velox->streams[velox->n_streams];

        if (velox->n_streams == FLY_SEGMENTS_MAX) {
            rc =
                fly_fail(FLY_ERANGE, "%s: more than %d event streams", out->path, FLY_SEGMENTS_MAX);
            break;
        }
        rc = fly_velox_stream_open(stream, out->path, velox->file, names[i], options);
        if (rc == FLY_ERANGE) {
            fly_import_note(out, "%s: left", fly_fail_text());
            fly_velox_stream_close(stream);
            velox->n_left++;
            rc = FLY_OK;
        } else {
            velox->n_streams++;
        }
    }
    free(names);
    if (rc < 0)
        return rc;
    qsort(velox->streams, (size_t)velox->n_streams, sizeof *velox->streams, by_name);
    for (int32_t i = 1; i < velox->n_streams; i++)
        if (strcmp(velox->streams[i - 1].name, velox->streams[i].name) == 0)
            return fly_fail(
                FLY_ERANGE,
                "%s: two event streams of %s: more than one acquisition in a file; export each "
                "from Velox to a file of its own",
                out->path, velox->streams[i].name);
    return FLY_OK;
}

/* Everything in /Data that import has no use for, by name, but for Velox's own results and texts.
 */
static int note_others(struct fly_import *out, hid_t file)
{
    static const char *const known[] = {"Image", "SpectrumStream", "Spectrum", "SpectrumImage",
                                        "Text", "EdsSpectrumQuantificationSettings"};
    char(*names)[256];
    int32_t count;
    int rc = fly_h5_names(out->path, file, "Data", OBJECTS_MAX, &names, &count);

    for (int32_t i = 0; i < count && rc == FLY_OK; i++) {
        int is_known = 0;

        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            is_known |= strcmp(names[i], known[k]) == 0;
        if (!is_known)
            fly_import_note(out, "%s: Data/%.80s: left", out->path, names[i]);
    }
    free(names);
    return rc;
}

/* ---- which shape, which images ------------------------------------------------------------------
 */

static int is_scan(const struct picture *picture)
{
    return picture->taken == 0 && picture->scanned == FLY_VELOX_SCANNED && picture->set.type != FLY_NPY_F32 &&
           picture->set.type != FLY_NPY_F64;
}

static int is_haadf(const struct picture *picture)
{
    return picture->taken == 0 && strcmp(picture->name, "HAADF") == 0 && picture->scanned == FLY_VELOX_SCANNED;
}

/* Decide which axis of an image is the slow one. Velox writes rows first; readers disagree, so the
 * raster in the metadata has the last word. */
static int orient(const struct fly_import *out, struct picture *picture)
{
    int32_t height, width;
    int area;

    if (!fly_velox_raster(picture->meta, &height, &width, &area))
        return FLY_OK;
    if (picture->set.shape[0] == height && picture->set.shape[1] == width)
        return FLY_OK;
    if (picture->set.shape[0] == width && picture->set.shape[1] == height) {
        picture->y_axis = 1;
        picture->x_axis = 0;
        return FLY_OK;
    }
    if (!area)
        return FLY_OK; /* the whole field is known, the part of it that was scanned is not */
    return fly_fail(FLY_EWIRE,
                    "%s: the %s image has %" PRId64 " x %" PRId64
                    " px, ScanSize and ScanArea make it %d high and %d wide",
                    out->path, picture->name, picture->set.shape[0], picture->set.shape[1],
                    height, width);
}

/* Most marks of any stream: 0 for a point acquisition, and where all streams are empty. */
static uint64_t most_marks(const struct velox *velox)
{
    uint64_t marks = 0;

    for (int32_t i = 0; i < velox->n_streams; i++)
        marks = velox->streams[i].marks > marks ? velox->streams[i].marks : marks;
    return marks;
}

/* How well an image fits a stream of so many marks: 2 whole frames of it and as many as the image
 * has, 1 whole frames, 0 not. The last mark may be missing. */
static int fits(const struct picture *picture, uint64_t marks)
{
    uint64_t pixels = (uint64_t)picture->set.shape[0] * (uint64_t)picture->set.shape[1];

    if (marks % pixels != 0 && marks % pixels != pixels - 1)
        return 0;
    return (marks + 1) / pixels == (uint64_t)picture->frames ? 2 : 1;
}

static int64_t area(const struct picture *picture)
{
    return picture->set.shape[0] * picture->set.shape[1];
}

/* The image that gives the scan its shape: the one that fits the events best; of several equal ones
 * HAADF before others, then the largest. */
static struct picture *choose_main(struct velox *velox, uint64_t marks)
{
    struct picture *best = NULL;
    int best_rank = -1;

    for (int32_t i = 0; i < velox->n_pictures; i++) {
        struct picture *picture = &velox->pictures[i];
        int rank;

        if (!is_haadf(picture) && !is_scan(picture))
            continue;
        rank = 2 * (marks ? fits(picture, marks) : 0) + is_haadf(picture);
        if (rank > best_rank || (rank == best_rank && area(picture) > area(best))) {
            best = picture;
            best_rank = rank;
        }
    }
    return best;
}

/* ---- taking them --------------------------------------------------------------------------------
 */

static int take_picture(struct fly_import *out, struct picture *picture,
                        const struct fly_import_options *options)
{
    struct fly_import_image *image = &out->images[out->n_images];
    struct fly_import_range range = fly_import_range_none();
    int64_t box[FLY_H5_DIMS] = {1, 1, 1, 1};
    int64_t width = picture->set.shape[picture->x_axis];
    int dtype, rc;

    FLY_ASSERT(out->n_images < FLY_DETECTORS_MAX);
    box[picture->x_axis] = width;
    rc = fly_h5_set_cache(&picture->set, picture->group, "Data", box);
    if (rc < 0)
        return rc;
    dtype = picture->set.type == FLY_NPY_I64 || picture->set.type == FLY_NPY_U64
                ? -1 /* Velox writes none */
                : fly_import_dtype(picture->set.type, &range);
    if (dtype < 0)
        return fly_fail(FLY_ERANGE, "%s: the %s image has 64-bit pixels", out->path,
                        picture->name);
    picture->dtype = (enum fly_dtype)dtype;
    picture->raw = malloc((size_t)width * fly_npy_type_size(picture->set.type));
    if (!picture->raw)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a line of %" PRId64 " px", out->path, width);
    fly_import_name(image->name, picture->name, "HAADF");
    image->dtype = picture->dtype;
    image->height_px = (int32_t)picture->set.shape[picture->y_axis];
    image->width_px = (int32_t)width;
    image->frames = picture->frames;
    image->line = picture_line;
    image->ctx = picture;
    picture->taken = 1;
    out->n_images++;
    return FLY_OK;
}

/* Other detectors that saw the same scan come along; maps that Velox computed from X-rays do not. */
static int take_others(struct fly_import *out, struct velox *velox, int32_t height_px,
                       int32_t width_px, const struct fly_import_options *options)
{
    for (int32_t i = 0; i < velox->n_pictures; i++) {
        struct picture *picture = &velox->pictures[i];
        int rc;

        if (picture->taken != 0)
            continue;
        if (!(picture->scanned == FLY_VELOX_COMPUTED || is_scan(picture)) || is_haadf(picture) ||
            orient(out, picture) < 0 || picture->set.shape[picture->y_axis] != height_px ||
            picture->set.shape[picture->x_axis] != width_px || out->n_images == FLY_DETECTORS_MAX) {
            fly_import_note(out, "%s: image of %s, %" PRId64 " x %" PRId64 " px: left", out->path,
                            picture->name[0] ? picture->name : "no named detector",
                            picture->set.shape[0], picture->set.shape[1]);
            continue;
        }
        rc = take_picture(out, picture, options);
        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

static int take_stream(struct fly_import *out, struct fly_velox_stream *stream, int32_t height_px,
                       int32_t width_px, const struct fly_import_options *options)
{
    struct fly_import_eds *eds = &out->eds[out->n_eds];
    uint64_t outside = 0;
    int rc;

    if (stream->words == 0) {
        fly_import_name(out->silent[out->n_silent++].name, stream->name, "EDS");
        fly_import_note(out, "%s: the event stream of %s is empty", out->path, stream->name);
        return FLY_OK;
    }
    rc = fly_velox_stream_index(stream, out->path, height_px, width_px, options);
    if (rc < 0)
        return rc;
    memset(eds, 0, sizeof *eds);
    fly_import_name(eds->segment.name, stream->name, "EDS");
    eds->segment.n_channels = stream->n_channels;
    eds->segment.ev_per_channel = stream->ev_per_channel;
    eds->segment.ev_offset = stream->ev_offset;
    eds->segment.takeoff_deg = stream->takeoff_deg;
    eds->height_px = height_px;
    eds->width_px = eds->block_px = width_px;
    eds->frames = stream->frames;
    eds->photons_max = stream->counts ? 0 : stream->photons_max;
    eds->events = stream->events;
    eds->marks = stream->marks;
    eds->line = fly_velox_stream_line;
    eds->ctx = stream;
    out->n_eds++;
    /* A point has no lines; what follows it in time follows its real time. */
    if (stream->marks == 0 && stream->point_real_us > 0.0 &&
        !(out->line_time_us >= stream->point_real_us))
        out->line_time_us = stream->point_real_us;
    for (int32_t k = stream->n_channels; k < FLY_VELOX_MARK; k++)
        outside += stream->histogram[k];
    if (outside > 0)
        fly_import_note(out, "%s: %" PRIu64 " events of %s lie beyond its %d channels", out->path,
                        outside, stream->name, stream->n_channels);
    if (stream->stray > 0) {
        fly_import_note(out, "%s: %" PRIu64 " events of %s come after the last pixel: left",
                        out->path, stream->stray, stream->name);
        eds->events -= stream->stray;
    }
    if (stream->untold_frames > 0)
        fly_import_note(out, "%s: %" PRId64 " frames of %s lack metadata; live time as in those before",
                        out->path, stream->untold_frames, stream->name);
    if (stream->short_frame >= 0)
        fly_import_note(
            out, "%s: frame %" PRId64 " of %s ends after %" PRId64 " of its %" PRId64 " pixels",
            out->path, stream->short_frame, stream->name, stream->short_px,
            (int64_t)height_px * width_px);
    return FLY_OK;
}

static uint64_t all_events(const struct velox *velox)
{
    uint64_t events = 0;

    for (int32_t i = 0; i < velox->n_streams; i++)
        events += velox->streams[i].events;
    return events;
}

/* The shape of the scan, and the image that it belongs to, if there is one. */
static int choose_shape(struct fly_import *out, struct velox *velox, struct picture **first,
                        int32_t *height_px, int32_t *width_px, json_t *stream_meta)
{
    uint64_t marks = most_marks(velox);
    int area_told, rc;

    if (marks == 0 && all_events(velox) > 0) {
        *first = NULL; /* a point: an image beside it is of another scan */
        *height_px = *width_px = 1;
        return FLY_OK;
    }
    *first = choose_main(velox, marks);
    if (*first) {
        rc = orient(out, *first);
        if (rc < 0)
            return rc;
        *height_px = (int32_t)(*first)->set.shape[(*first)->y_axis];
        *width_px = (int32_t)(*first)->set.shape[(*first)->x_axis];
    } else if (!stream_meta) {
        return fly_fail(FLY_ERANGE,
                        "%s: a Velox file with %d images, none of a scanning detector, and no EDS "
                        "events; Flyback takes STEM images and EDS",
                        out->path, velox->n_pictures);
    } else if (!fly_velox_raster(stream_meta, height_px, width_px, &area_told)) {
        return fly_fail(FLY_ERANGE,
                        "%s: no image of the scan, and its shape is not told; import it together with "
                        "an image saved from Velox as TIFF",
                        out->path);
    }
    for (int32_t i = 0; i < velox->n_streams; i++)
        if (velox->streams[i].marks == 0 && velox->streams[i].events > 0)
            return fly_fail(FLY_EWIRE,
                            "%s: the stream of %s has %" PRIu64 " events and no marks, another "
                            "has %" PRIu64 " marks",
                            out->path, velox->streams[i].name, velox->streams[i].events, marks);
    return FLY_OK;
}

/* Velox can save a spectrum image without its events ("pruned"). */
static int check_pruned(const struct fly_import *out, const struct velox *velox)
{
    char(*names)[256];
    int32_t count;
    int rc;

    if (velox->n_streams > 0 || velox->n_left > 0 || fly_h5_has(velox->file, "Data/EelsSpectrumImage"))
        return FLY_OK;
    rc = fly_h5_names(out->path, velox->file, "Data/SpectrumImage", OBJECTS_MAX, &names, &count);
    free(names);
    if (rc == FLY_OK && count > 0)
        return fly_fail(
            FLY_ERANGE,
            "%s: a pruned Velox file: it has a spectrum image but not the event stream "
            "(SpectrumStream) that it was made of; in Velox save the original acquisition "
            "without pruning, or export the spectrum image and import it as .hspy. A .bcf that "
            "was converted to .emd looks the same: import the .bcf by way of flyback_convert.py",
            out->path);
    return rc;
}

/* All frames are taken; Velox's own results may be of fewer. */
static int note_si_frames(struct fly_import *out, const struct velox *velox)
{
    int64_t first, last, frames = 0;
    int rc = fly_velox_si_frames(out->path, velox->file, &first, &last);

    for (int32_t i = 0; i < out->n_eds; i++)
        frames = out->eds[i].frames > frames ? out->eds[i].frames : frames;
    if (rc == FLY_OK && frames > 0 && last > 0 && (first > 1 || last < frames))
        fly_import_note(out,
                        "%s: Velox's spectrum image is of frames %" PRId64 " .. %" PRId64 " of %" PRId64
                        "; all are imported",
                        out->path, first, last, frames);
    return rc;
}

static int read_all(struct fly_import *out, struct velox *velox,
                    const struct fly_import_options *options)
{
    json_t *stream_meta = NULL;
    struct picture *first = NULL;
    int32_t height = 0, width = 0;
    int rc;

    fly_velox_version(out, velox->file);
    rc = fly_velox_labels(&velox->labels, out->path, velox->file);
    if (rc == FLY_OK)
        rc = open_streams(out, velox, options);
    if (rc == FLY_OK)
        rc = check_pruned(out, velox);
    if (rc == FLY_OK)
        rc = note_others(out, velox->file);
    if (rc == FLY_OK)
        rc = open_pictures(out, velox);
    if (rc == FLY_OK)
        rc = fly_velox_check(out, velox->file, velox->streams, velox->n_streams);
    if (rc == FLY_OK && velox->n_streams > 0)
        rc =
            fly_velox_meta(&stream_meta, out->path, velox->streams[0].group, "the first stream", 0);
    if (rc == FLY_OK)
        rc = choose_shape(out, velox, &first, &height, &width, stream_meta);
    if (rc == FLY_OK && first)
        rc = take_picture(out, first, options);
    if (rc == FLY_OK)
        rc = fly_velox_facts(out, first ? first->meta : stream_meta,
                             first ? first->detector : "HAADF", width, options);
    if (rc == FLY_OK)
        rc = fly_velox_elements(&out->meta, out->path, velox->file);
    json_decref(stream_meta);
    if (rc == FLY_OK)
        rc = take_others(out, velox, height, width, options);
    for (int32_t i = 0; i < velox->n_streams && rc == FLY_OK; i++)
        rc = take_stream(out, &velox->streams[i], height, width, options);
    if (rc == FLY_OK)
        rc = note_si_frames(out, velox);
    if (rc == FLY_OK && out->n_images + out->n_eds == 0)
        rc = fly_fail(FLY_ERANGE,
                      "%s: a Velox file without a scanned image and without EDS events", out->path);
    return rc;
}

int fly_read_velox(struct fly_import *out, hid_t file, const struct fly_import_options *options)
{
    struct velox *velox = calloc(1, sizeof *velox);

    if (!velox) {
        H5Fclose(file);
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    }
    velox->file = file;
    out->ctx = velox;
    out->close = velox_close;
    return read_all(out, velox, options);
}
