/* Gatan's DM3 and DM4: which images of a file are one scan, and their lines. The file is mapped, not
 * read: an X-ray cube may be larger than memory. */
#include "sim/read_dm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sim/read_files.h"
#include "sim/units.h"

enum kind { KIND_LEFT, KIND_IMAGE, KIND_EDS };

/* An image of the file and how to walk it: strides in items. */
struct picture {
    const struct fly_dm_image *image;
    const struct reading *reading;
    enum kind kind;
    enum fly_npy_type type;
    enum fly_dtype dtype;
    int64_t width, height, frames, channels;
    int64_t x_stride, y_stride, frame_stride, channel_stride;
    struct fly_import_eds *eds;
    unsigned char *raw; /* (pixels of a block, channels) in the file's type, this machine's order */
    uint32_t *counts;   /* the same as counts */
    char label[FLY_DM_TEXT + 32]; /* for messages */
};

struct reading {
    unsigned char *bytes;
    size_t len;
    struct fly_dm dm;
    struct picture pictures[FLY_DM_IMAGES];
};

static void reading_close(void *ctx)
{
    struct reading *reading = ctx;

    for (int i = 0; i < FLY_DM_IMAGES; i++) {
        free(reading->pictures[i].raw);
        free(reading->pictures[i].counts);
    }
    if (reading->bytes)
        munmap(reading->bytes, reading->len);
    free(reading);
}

/* ---- items ----------------------------------------------------------------------------------- */

/* n items from item `first` on, stride apart, to `out` one after another, in this machine's order. */
static void gather(const struct picture *picture, int64_t first, int64_t stride, int64_t n,
                   size_t out_stride, unsigned char *out)
{
    const struct reading *reading = picture->reading;
    size_t bytes = fly_npy_type_size(picture->type);
    const unsigned char *from = reading->bytes + picture->image->data_at;

    if (!reading->dm.big_endian && stride == 1 && out_stride == 1) {
        memcpy(out, from + (size_t)first * bytes, (size_t)n * bytes);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *at = from + (size_t)(first + i * stride) * bytes;
        unsigned char *to = out + (size_t)i * out_stride * bytes;

        if (reading->dm.big_endian)
            for (size_t b = 0; b < bytes; b++)
                to[b] = at[bytes - 1 - b];
        else
            memcpy(to, at, bytes);
    }
}

static int image_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct picture *picture = ctx;

    gather(picture, frame * picture->frame_stride + y_px * picture->y_stride, picture->x_stride,
           picture->width, 1, picture->raw);
    fly_import_convert(picture->dtype, out, picture->type, picture->raw, (size_t)picture->width);
    return FLY_OK;
}

/* Live and real time of the whole map, in equal parts. */
static double share_us(double seconds, const struct picture *picture, int32_t width_px)
{
    double pixels = (double)picture->width * (double)picture->height * (double)picture->frames;

    return seconds > 0.0 ? seconds * 1e6 / pixels * width_px : NAN;
}

static int eds_line(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                    struct fly_import_photons *out)
{
    struct picture *picture = ctx;
    const struct fly_dm_image *image = picture->image;
    size_t channels = (size_t)picture->channels, n = (size_t)width_px * channels, good;
    int64_t first = frame * picture->frame_stride + y_px * picture->y_stride + x0_px * picture->x_stride;

    for (size_t k = 0; k < channels; k++)
        gather(picture, first + (int64_t)k * picture->channel_stride, picture->x_stride, width_px,
               channels, picture->raw + k * fly_npy_type_size(picture->type));
    good = fly_import_counts(picture->counts, picture->type, picture->raw, n);
    if (good < n)
        return fly_fail(FLY_ERANGE,
                        "%s: pixel y %d x %zu channel %zu holds no count; an X-ray map holds whole "
                        "numbers 0 .. 4294967295, save it from GMS before it is scaled or filtered",
                        picture->label, y_px, (size_t)x0_px + good / channels, good % channels);
    for (size_t i = 0; i < n; i++)
        picture->eds->events += picture->counts[i];
    *out = (struct fly_import_photons){.x0_px = x0_px,
                                       .width_px = width_px,
                                       .counts = picture->counts,
                                       .live_time_us = share_us(image->live_s, picture, width_px),
                                       .real_time_us = share_us(image->real_s, picture, width_px)};
    return FLY_OK;
}

/* ---- what an image is ------------------------------------------------------------------------ */

/* The axis of photon energy, -1: none. */
static int32_t energy_axis(const struct fly_dm_image *image)
{
    int is_map = strcasecmp(image->format, "Spectrum image") == 0 || strcasecmp(image->format, "Spectrum") == 0;

    for (int32_t d = 0; d < image->n_dims; d++)
        if (fly_unit_ev(image->axes[d].units) > 0.0)
            return d;
    /* GMS keeps the spectra of a map along its slowest dimension. */
    return strcasecmp(image->signal, "X-ray") == 0 && is_map ? image->n_dims - 1 : -1;
}

/* What the image is; left ones with the reason. */
static int classify(struct picture *picture)
{
    const struct fly_dm_image *image = picture->image;
    int32_t energy = energy_axis(image), n = image->n_dims;
    int type = fly_dm_type(image->data_type);

    if (image->data_bytes == 0 || n == 0)
        return fly_fail(FLY_ERANGE, "%s: holds no data", picture->label);
    if (type < 0)
        return fly_fail(FLY_ERANGE, "%s: pixels of DM type %d, which are complex, colour or packed",
                        picture->label, image->data_type);
    picture->type = (enum fly_npy_type)type;
    /* Tags of the spectrometer stand in images and X-ray spectra that were taken along with it, too. */
    if (strcasecmp(image->signal, "EELS") == 0 ||
        (image->is_eels && energy >= 0 && strcasecmp(image->signal, "X-ray") != 0))
        return fly_fail(FLY_ERANGE, "%s: electron energy loss; Flyback takes STEM images and X-rays",
                        picture->label);
    /* GMS counts X-rays in keV and losses in eV; old files name no signal. */
    if (energy >= 0 && !image->signal[0] && !isfinite(image->live_s) && !isfinite(image->elevation_deg) &&
        fly_unit_ev(image->axes[energy].units) == 1.0)
        return fly_fail(FLY_ERANGE, "%s: spectra in eV that do not say whether they are X-rays or electron energy "
                        "losses; tell it in GMS (Meta Data, Signal: X-ray) and save again", picture->label);
    if (energy >= 0 && strcasecmp(image->signal, "CL") == 0)
        return fly_fail(FLY_ERANGE, "%s: cathodoluminescence, no X-rays", picture->label);
    if (n == 1)
        return fly_fail(FLY_ERANGE, "%s: one spectrum or profile of %" PRId64 " channels, not a map; "
                        "save the spectrum image that it was taken from", picture->label, image->shape[0]);
    if (n > 3)
        return fly_fail(FLY_ERANGE, "%s: %d dimensions; taken are images, stacks of images and "
                        "X-ray maps", picture->label, n);
    picture->kind = energy >= 0 ? KIND_EDS : KIND_IMAGE;
    for (int32_t d = 0; d < n && energy < 0; d++)
        if (fly_unit_of_pattern(image->axes[d].units))
            return fly_fail(FLY_ERANGE, "%s: a pattern in %s, not an image of the specimen",
                            picture->label, image->axes[d].units);
    return FLY_OK;
}

/* Sizes and strides of its axes; of an X-ray map those that are not energy are x and y. */
static void place(struct picture *picture)
{
    const struct fly_dm_image *image = picture->image;
    int32_t energy = picture->kind == KIND_EDS ? energy_axis(image) : -1;
    int64_t stride = 1, size[3] = {1, 1, 1}, strides[3] = {0, 0, 0};
    int32_t n = 0;

    for (int32_t d = 0; d < image->n_dims; d++) {
        if (d == energy) {
            picture->channels = image->shape[d];
            picture->channel_stride = stride;
        } else {
            size[n] = image->shape[d];
            strides[n++] = stride;
        }
        stride *= image->shape[d];
    }
    picture->width = size[0];
    picture->height = size[1];
    picture->frames = size[2];
    picture->x_stride = strides[0];
    picture->y_stride = strides[1];
    picture->frame_stride = strides[2];
}

/* The axes of x and y. */
static const struct fly_dm_axis *space_axis(const struct picture *picture, int which)
{
    int32_t energy = picture->kind == KIND_EDS ? energy_axis(picture->image) : -1, n = 0;

    for (int32_t d = 0; d < picture->image->n_dims; d++)
        if (d != energy && n++ == which)
            return &picture->image->axes[d];
    return NULL;
}

/* ---- facts ----------------------------------------------------------------------------------- */

static int keep_pixel_size(struct fly_import *out, const struct picture *picture,
                           const struct fly_import_options *options)
{
    for (int i = 0; i < 2; i++) {
        const struct fly_dm_axis *axis = space_axis(picture, 1 - i); /* pixel_nm is y, x */
        double unit = axis ? fly_unit_nm(axis->units) : 0.0;

        if (unit == 0.0 || isfinite(options->pixel_nm[0]) || isfinite(out->meta.pixel_nm[i]))
            continue;
        if (!isfinite(axis->scale) || axis->scale == 0.0)
            return fly_fail(FLY_EWIRE, "%s: an axis in %s with scale %g, which must be finite and not 0; "
                            "--pixel-nm replaces it", picture->label, axis->units, axis->scale);
        out->meta.pixel_nm[i] = fabs(axis->scale) * unit;
    }
    return FLY_OK;
}

static void take_positive(double *to, double from)
{
    if (!isfinite(*to) && isfinite(from) && from > 0.0)
        *to = from;
}

/* "2/29/2024" or "2024-02-29" and "7:58:04 AM" or "07:58:04"; without a zone taken as UTC. */
static void read_date(struct fly_import *out, const struct fly_dm_image *image)
{
    struct tm tm = {0};
    char half[3] = "";

    if (sscanf(image->date, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3 &&
        sscanf(image->date, "%2d/%2d/%4d", &tm.tm_mon, &tm.tm_mday, &tm.tm_year) != 3)
        return;
    if (sscanf(image->time, "%2d:%2d:%2d %2s", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, half) < 3)
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    if (strcasecmp(half, "PM") == 0 && tm.tm_hour < 12)
        tm.tm_hour += 12;
    else if (strcasecmp(half, "AM") == 0 && tm.tm_hour == 12)
        tm.tm_hour = 0;
    if (tm.tm_year < 1970 || tm.tm_year > 9999 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > 31)
        return;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    out->t0_ns = (int64_t)timegm(&tm) * 1000000000;
}

static int keep_facts(struct fly_import *out, const struct picture *picture,
                      const struct fly_import_options *options)
{
    const struct fly_dm_image *image = picture->image;
    struct fly_start *facts = &out->meta;

    take_positive(&facts->beam_energy_kev, image->voltage_v / 1e3);
    take_positive(&facts->beam_current_na, image->current_na);
    take_positive(&facts->convergence_mrad, image->convergence_mrad);
    take_positive(&facts->magnification, image->magnification);
    take_positive(&facts->pixel_time_us, image->dwell_us);
    if (!facts->sample[0])
        snprintf(facts->sample, sizeof facts->sample, "%s", image->specimen);
    if (image->date[0])
        read_date(out, image);
    return keep_pixel_size(out, picture, options);
}

/* ---- taking them ----------------------------------------------------------------------------- */

static int add_image(struct fly_import *out, struct picture *picture,
                     const struct fly_import_options *options)
{
    struct fly_import_image *image = &out->images[out->n_images];
    const struct fly_dm_image *told = picture->image;
    struct fly_import_range range = fly_import_range_none();
    int64_t lines = picture->height * picture->frames;
    int dtype;

    if (out->n_images == FLY_DETECTORS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d images", out->path, FLY_DETECTORS_MAX);
    picture->raw = malloc((size_t)picture->width * fly_npy_type_size(picture->type));
    if (!picture->raw)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a line of %" PRId64 " px", out->path, picture->width);
    for (int64_t i = 0; i < lines && (picture->type == FLY_NPY_I64 || picture->type == FLY_NPY_U64); i++) {
        int rc = fly_import_tick(options, "looking at pixels", (double)i / (double)lines);

        if (rc < 0)
            return rc;
        gather(picture, i * picture->y_stride, picture->x_stride, picture->width, 1, picture->raw);
        fly_import_range_add(&range, picture->type, picture->raw, (size_t)picture->width);
    }
    dtype = fly_import_dtype(picture->type, &range);
    if (dtype < 0)
        return fly_fail(FLY_ERANGE, "%s: 64-bit pixels beyond 2^53, which no type of the wire holds",
                        picture->label);
    picture->dtype = (enum fly_dtype)dtype;
    fly_detector_of_title(image->name, told->signal_name[0] ? told->signal_name : told->name);
    image->dtype = picture->dtype;
    image->frames = picture->frames;
    image->height_px = (int32_t)picture->height;
    image->width_px = (int32_t)picture->width;
    image->line = image_line;
    image->ctx = picture;
    out->n_images++;
    return FLY_OK;
}

/* Width and offset of the channels: energy = (channel - Origin) * Scale. */
static int read_energy(struct fly_segment *segment, const struct picture *picture,
                       const struct fly_import_options *options)
{
    const struct fly_dm_axis *axis = &picture->image->axes[energy_axis(picture->image)];
    double unit = fly_unit_ev(axis->units);

    segment->ev_per_channel = isfinite(options->ev_per_channel) ? options->ev_per_channel : axis->scale * unit;
    segment->ev_offset = isfinite(options->ev_offset) ? options->ev_offset
                                                      : -axis->origin * axis->scale * unit;
    if (!(segment->ev_per_channel > 0.0) || !isfinite(segment->ev_per_channel) || !isfinite(segment->ev_offset))
        return fly_fail(FLY_ERANGE, "%s: energy axis of scale %g, origin %g in \"%s\"; eV or keV are needed and a "
                        "scale above 0; --ev-per-channel and --ev-offset replace them", picture->label,
                        axis->scale, axis->origin, axis->units);
    return FLY_OK;
}

static int add_eds(struct fly_import *out, struct picture *picture, const struct fly_import_options *options)
{
    struct fly_import_eds *eds = &out->eds[out->n_eds];
    size_t items;
    int rc;

    if (out->n_eds == FLY_SEGMENTS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d X-ray maps", out->path, FLY_SEGMENTS_MAX);
    memset(eds, 0, sizeof *eds);
    if (picture->channels > FLY_CHANNELS_MAX)
        return fly_fail(FLY_ERANGE, "%s: %" PRId64 " channels, at most %d are taken", picture->label,
                        picture->channels, FLY_CHANNELS_MAX);
    rc = read_energy(&eds->segment, picture, options);
    if (rc < 0)
        return rc;
    snprintf(eds->segment.name, sizeof eds->segment.name, "EDS");
    eds->segment.n_channels = (int32_t)picture->channels;
    eds->segment.takeoff_deg = picture->image->elevation_deg;
    eds->frames = picture->frames;
    eds->height_px = (int32_t)picture->height;
    eds->width_px = (int32_t)picture->width;
    eds->block_px = (int32_t)(FLY_IMPORT_PAYLOAD_MAX / sizeof(uint32_t) / (size_t)picture->channels);
    if (eds->block_px > eds->width_px)
        eds->block_px = eds->width_px;
    items = (size_t)eds->block_px * (size_t)picture->channels;
    picture->raw = malloc(items * fly_npy_type_size(picture->type));
    picture->counts = malloc(items * sizeof *picture->counts);
    if (!picture->raw || !picture->counts)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %zu channels of a line", out->path, items);
    picture->eds = eds;
    eds->line = eds_line;
    eds->ctx = picture;
    out->n_eds++;
    return FLY_OK;
}

/* Classify all; what is left is noted with its reason, of which the last stays for a refusal. */
static void look_at_all(struct fly_import *out, struct reading *reading)
{
    for (int32_t i = 0; i < reading->dm.n_images; i++) {
        struct picture *picture = &reading->pictures[i];
        const char *base = strrchr(out->path, '/');
        int rc;

        picture->reading = reading;
        picture->image = &reading->dm.images[i];
        snprintf(picture->label, sizeof picture->label, "%.40s: image %d%s%.30s", base ? base + 1 : out->path, i,
                 picture->image->name[0] ? " " : "", picture->image->name);
        if (picture->image->thumbnail)
            continue;
        rc = classify(picture);
        if (rc == FLY_OK) {
            place(picture);
            rc = fly_import_shape(picture->label, picture->kind == KIND_EDS ? "a map" : "an image",
                                  picture->frames, picture->height, picture->width);
        }
        if (rc < 0) {
            picture->kind = KIND_LEFT;
            fly_import_note(out, "%s: left", fly_fail_text());
        }
    }
}

/* The scan that this file is of: its first X-ray map, else its first image. */
static const struct picture *choose_first(const struct reading *reading)
{
    const struct picture *first = NULL;

    for (int32_t i = 0; i < reading->dm.n_images; i++) {
        const struct picture *picture = &reading->pictures[i];

        if (picture->kind == KIND_EDS)
            return picture;
        if (picture->kind == KIND_IMAGE && !first)
            first = picture;
    }
    return first;
}

static int take_all(struct fly_import *out, struct reading *reading, const struct fly_import_options *options)
{
    const struct picture *first = choose_first(reading);
    char why[384];
    int rc = FLY_OK;

    if (!first) {
        snprintf(why, sizeof why, "%s", out->notes ? fly_fail_text() : "it holds no image");
        return fly_fail(FLY_ERANGE, "%s: nothing to import: %s", out->path, why);
    }
    for (int32_t i = 0; i < reading->dm.n_images && rc == FLY_OK; i++) {
        struct picture *picture = &reading->pictures[i];

        if (picture->kind == KIND_LEFT)
            continue;
        if (picture->width != first->width || picture->height != first->height) {
            fly_import_note(out, "%s: %" PRId64 " x %" PRId64 " px, of another scan than %s: left", picture->label,
                            picture->height, picture->width, first->label);
            continue;
        }
        rc = picture->kind == KIND_EDS ? add_eds(out, picture, options) : add_image(out, picture, options);
        if (rc == FLY_OK)
            rc = keep_facts(out, picture, options);
    }
    return rc;
}

static int map_file(struct reading *reading, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *bytes = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        int rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));

        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    reading->bytes = bytes;
    reading->len = (size_t)st.st_size;
    return FLY_OK;
}

int fly_read_dm(struct fly_import *out, const struct fly_import_options *options)
{
    struct reading *reading = calloc(1, sizeof *reading);
    int rc;

    if (!reading)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    out->ctx = reading;
    out->close = reading_close;
    rc = map_file(reading, out->path);
    if (rc == FLY_OK)
        rc = fly_dm_parse(&reading->dm, reading->bytes, reading->len, out->path);
    if (rc < 0)
        return rc;
    look_at_all(out, reading);
    return take_all(out, reading, options);
}
