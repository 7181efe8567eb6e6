/* .npy arrays: an image, a stack of images, a cube of counts, or a list of events in three files.
 * Files are mapped, so that a cube larger than memory is no matter. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/read_files.h"

enum { CUBE_CHANNELS_MIN = 64 };

struct mapped {
    void *bytes;
    size_t len;
    struct fly_npy npy;
};

static void unmap(struct mapped *mapped)
{
    if (mapped->bytes)
        munmap(mapped->bytes, mapped->len);
    mapped->bytes = NULL;
}

static int map_npy(struct mapped *mapped, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = FLY_OK;

    memset(mapped, 0, sizeof *mapped);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        rc = fly_fail(FLY_EWIRE, "%s: not a .npy file", path);
    } else {
        mapped->len = (size_t)st.st_size;
        mapped->bytes = mmap(NULL, mapped->len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped->bytes == MAP_FAILED) {
            mapped->bytes = NULL;
            rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
        }
    }
    if (fd >= 0)
        close(fd);
    if (rc == FLY_OK)
        rc = fly_npy_view(&mapped->npy, mapped->bytes, mapped->len, path);
    if (rc < 0)
        unmap(mapped);
    return rc;
}

struct array {
    struct mapped mapped;
    const char *path;
    int64_t frames, height, width, channels; /* channels 1: an image */
    enum fly_dtype dtype;
    struct fly_import_eds *eds;
    uint32_t *counts; /* (block_px, channels) */
};

static void array_close(void *ctx)
{
    struct array *array = ctx;

    unmap(&array->mapped);
    free(array->counts);
    free(array);
}

static const unsigned char *array_at(const struct array *array, int64_t frame, int64_t y, int64_t x)
{
    size_t item = fly_npy_type_size(array->mapped.npy.type);
    size_t index = (size_t)(((frame * array->height + y) * array->width + x) * array->channels);

    return (const unsigned char *)array->mapped.npy.data + index * item;
}

static int array_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct array *array = ctx;

    fly_import_convert(array->dtype, out, array->mapped.npy.type, array_at(array, frame, y_px, 0),
                       (size_t)array->width);
    return FLY_OK;
}

static int array_counts(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                        struct fly_import_photons *out)
{
    struct array *array = ctx;
    size_t n = (size_t)width_px * (size_t)array->channels;
    size_t good = fly_import_counts(array->counts, array->mapped.npy.type,
                                    array_at(array, frame, y_px, x0_px), n);

    if (good < n)
        return fly_fail(FLY_ERANGE,
                        "%s: frame %" PRId64 " y %d x %" PRId64 " channel %" PRId64
                        " holds no count; an EDS "
                        "cube holds whole numbers 0 .. 4294967295",
                        array->path, frame, y_px, x0_px + (int64_t)good / array->channels,
                        (int64_t)good % array->channels);
    for (size_t i = 0; i < n; i++)
        array->eds->events += array->counts[i];
    *out = (struct fly_import_photons){.x0_px = x0_px,
                                       .width_px = width_px,
                                       .counts = array->counts,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    return FLY_OK;
}

static int describe_segment(const char *path, struct fly_segment *segment, int64_t channels,
                            const struct fly_import_options *options)
{
    if (channels < 1 || channels > FLY_CHANNELS_MAX)
        return fly_fail(FLY_ERANGE, "%s: %" PRId64 " energy channels, allowed is 1 .. %d", path,
                        channels, FLY_CHANNELS_MAX);
    if (!isfinite(options->ev_per_channel) || !isfinite(options->ev_offset))
        return fly_fail(FLY_ERANGE,
                        "%s: a .npy does not tell its energy axis: give --ev-per-channel and "
                        "--ev-offset",
                        path);
    snprintf(segment->name, sizeof segment->name, "EDS");
    segment->n_channels = (int32_t)channels;
    segment->ev_per_channel = options->ev_per_channel;
    segment->ev_offset = options->ev_offset;
    segment->takeoff_deg = NAN;
    return FLY_OK;
}

static int add_cube(struct fly_import *out, struct array *array,
                    const struct fly_import_options *options)
{
    struct fly_import_eds *eds = &out->eds[0];
    int rc = describe_segment(out->path, &eds->segment, array->channels, options);

    if (rc < 0)
        return rc;
    eds->height_px = (int32_t)array->height;
    eds->width_px = (int32_t)array->width;
    eds->frames = array->frames;
    eds->block_px =
        (int32_t)(FLY_IMPORT_PAYLOAD_MAX / sizeof *array->counts / (size_t)array->channels);
    if (eds->block_px > eds->width_px)
        eds->block_px = eds->width_px;
    array->counts = malloc((size_t)eds->block_px * (size_t)array->channels * sizeof *array->counts);
    if (!array->counts)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a line of spectra", out->path);
    array->eds = eds;
    eds->line = array_counts;
    eds->ctx = array;
    out->n_eds = 1;
    return FLY_OK;
}

static int add_image(struct fly_import *out, struct array *array)
{
    struct fly_import_range range = fly_import_range_none();
    const struct fly_npy *npy = &array->mapped.npy;
    struct fly_import_image *image = &out->images[0];
    int dtype;

    if (npy->type == FLY_NPY_I64 || npy->type == FLY_NPY_U64)
        fly_import_range_add(&range, npy->type, npy->data, (size_t)npy->items);
    dtype = fly_import_dtype(npy->type, &range);
    if (dtype < 0)
        return fly_fail(FLY_ERANGE,
                        "%s: 64-bit pixels beyond 2^53, which no type of the wire holds",
                        out->path);
    array->dtype = (enum fly_dtype)dtype;
    snprintf(image->name, sizeof image->name, "HAADF");
    image->dtype = array->dtype;
    image->height_px = (int32_t)array->height;
    image->width_px = (int32_t)array->width;
    image->frames = array->frames;
    image->line = array_line;
    image->ctx = array;
    out->n_images = 1;
    return FLY_OK;
}

int fly_read_npy(struct fly_import *out, int as_eds, const struct fly_import_options *options)
{
    struct array *array = calloc(1, sizeof *array);
    const int64_t *shape;
    int32_t dims;
    int rc;

    if (!array)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    out->ctx = array;
    out->close = array_close;
    array->path = out->path;
    rc = map_npy(&array->mapped, out->path);
    if (rc < 0)
        return rc;
    shape = array->mapped.npy.shape;
    dims = array->mapped.npy.dims;
    if (!as_eds && dims == 3 && shape[2] >= CUBE_CHANNELS_MIN && shape[0] == options->image_px[0] &&
        shape[1] == options->image_px[1]) {
        as_eds = 1;
        fly_import_note(out,
                        "%s: its first axes are those of the image: taken as a cube of %" PRId64
                        " channels",
                        out->path, shape[2]);
    }
    if (dims < (as_eds ? 3 : 2) || dims > (as_eds ? 4 : 3))
        return fly_fail(
            FLY_ERANGE, "%s: %d axes; %s", out->path, dims,
            as_eds ? "a cube has 3 (y, x, channel), or 4 with frames before them"
                   : "an image has 2, a stack of frames 3 (frame, y, x); a cube is given by --eds");
    array->channels = as_eds ? shape[dims - 1] : 1;
    dims -= as_eds;
    array->width = shape[dims - 1];
    array->height = shape[dims - 2];
    array->frames = dims == 3 ? shape[0] : 1;
    rc = fly_import_shape(out->path, as_eds ? "a cube" : "an image", array->frames, array->height,
                          array->width);
    if (rc < 0)
        return rc;
    return as_eds ? add_cube(out, array, options) : add_image(out, array);
}

/* ---- event lists ---------------------------------------------------------------------------- */

struct events {
    int64_t *line_at;  /* (height + 1) first photon of each line */
    uint32_t *pixel;   /* (n), x; by line, within a line by x, then in the order of the list */
    uint16_t *channel; /* (n) */
};

static void events_close(void *ctx)
{
    struct events *events = ctx;

    free(events->line_at);
    free(events->pixel);
    free(events->channel);
    free(events);
}

static int events_line(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                       struct fly_import_photons *out)
{
    struct events *events = ctx;
    int64_t at = events->line_at[y_px];

    FLY_ASSERT(frame == 0 && x0_px == 0);
    *out = (struct fly_import_photons){.width_px = width_px,
                                       .n = events->line_at[y_px + 1] - at,
                                       .pixel = events->pixel + at,
                                       .channel = events->channel + at,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    return FLY_OK;
}

static int64_t whole_at(const struct fly_npy *npy, int64_t i)
{
    const unsigned char *at =
        (const unsigned char *)npy->data + (size_t)i * fly_npy_type_size(npy->type);
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
    } v;

    memcpy(&v, at, fly_npy_type_size(npy->type));
    switch (npy->type) {
    case FLY_NPY_U8:
        return v.u8;
    case FLY_NPY_U16:
        return v.u16;
    case FLY_NPY_U32:
        return v.u32;
    case FLY_NPY_U64:
        return v.u64 > INT64_MAX ? -1 : (int64_t)v.u64;
    case FLY_NPY_I8:
        return v.i8;
    case FLY_NPY_I16:
        return v.i16;
    case FLY_NPY_I32:
        return v.i32;
    default:
        return v.i64;
    }
}

static int check_list(const struct mapped *list, const char *path, int64_t n, int64_t below,
                      const char *what)
{
    const struct fly_npy *npy = &list->npy;

    if (npy->type == FLY_NPY_F32 || npy->type == FLY_NPY_F64 || npy->type == FLY_NPY_BOOL ||
        npy->dims != 1)
        return fly_fail(FLY_ERANGE, "%s: an event list is a .npy of one axis of whole numbers",
                        path);
    if (npy->items != n)
        return fly_fail(FLY_ERANGE, "%s: %" PRId64 " entries, the other lists have %" PRId64, path,
                        npy->items, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = whole_at(npy, i);

        if (v < 0 || v >= below)
            return fly_fail(FLY_ERANGE,
                            "%s: event %" PRId64 " has %s %" PRId64 ", allowed is 0 .. %" PRId64,
                            path, i, what, v, below - 1);
    }
    return FLY_OK;
}

/* Sort photons by line and x, stably: two passes of counting, x first. */
static int sort_events(struct events *events, const struct mapped *lists, int64_t n, int32_t height,
                       int32_t width)
{
    int64_t *x_at = calloc((size_t)width + 1, sizeof *x_at);
    uint32_t *order = malloc((size_t)(n ? n : 1) * sizeof *order);

    if (!x_at || !order) {
        free(x_at);
        free(order);
        return fly_fail(FLY_ENOMEM, "no memory to sort %" PRId64 " events", n);
    }
    for (int64_t i = 0; i < n; i++) {
        x_at[whole_at(&lists[1].npy, i) + 1]++;
        events->line_at[whole_at(&lists[0].npy, i) + 1]++;
    }
    for (int32_t x = 0; x < width; x++)
        x_at[x + 1] += x_at[x];
    for (int32_t y = 0; y < height; y++)
        events->line_at[y + 1] += events->line_at[y];
    for (int64_t i = 0; i < n; i++)
        order[x_at[whole_at(&lists[1].npy, i)]++] = (uint32_t)i;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = order[k];
        int64_t to = events->line_at[whole_at(&lists[0].npy, i)]++;

        events->pixel[to] = (uint32_t)whole_at(&lists[1].npy, i);
        events->channel[to] = (uint16_t)whole_at(&lists[2].npy, i);
    }
    /* Each entry has moved on to where the next line begins. */
    memmove(events->line_at + 1, events->line_at, (size_t)height * sizeof *events->line_at);
    events->line_at[0] = 0;
    free(x_at);
    free(order);
    return FLY_OK;
}

static int build_events(struct fly_import *out, const struct mapped *lists,
                        const char *const *paths, int32_t height, int32_t width,
                        const struct fly_import_options *options)
{
    static const char *const what[] = {"y", "x", "channel"};
    const int64_t below[] = {height, width, options->channels};
    struct fly_import_eds *eds = &out->eds[0];
    int64_t n = lists[0].npy.items;
    struct events *events;
    int rc = describe_segment(paths[2], &eds->segment, options->channels, options);

    for (int i = 0; i < 3 && rc == FLY_OK; i++)
        rc = check_list(&lists[i], paths[i], n, below[i], what[i]);
    if (rc < 0)
        return rc;
    if (n > UINT32_MAX)
        return fly_fail(FLY_ERANGE, "%s: %" PRId64 " events, at most 2^32 - 1 are taken", paths[0],
                        n);
    events = calloc(1, sizeof *events);
    if (!events)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", paths[0]);
    out->ctx = events;
    out->close = events_close;
    events->line_at = calloc((size_t)height + 1, sizeof *events->line_at);
    events->pixel = malloc((size_t)(n ? n : 1) * sizeof *events->pixel);
    events->channel = malloc((size_t)(n ? n : 1) * sizeof *events->channel);
    if (!events->line_at || !events->pixel || !events->channel)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %" PRId64 " events", paths[0], n);
    rc = sort_events(events, lists, n, height, width);
    eds->photons_max = 1;
    for (int32_t y = 0; y < height && rc == FLY_OK; y++) {
        int64_t photons = events->line_at[y + 1] - events->line_at[y];

        eds->photons_max = photons > eds->photons_max ? photons : eds->photons_max;
        if (photons > FLY_IMPORT_PAIRS_MAX)
            rc = fly_fail(FLY_ERANGE,
                          "%s: %" PRId64 " events in line %d, at most %" PRId64 " are taken",
                          paths[0], photons, y, FLY_IMPORT_PAIRS_MAX);
    }
    if (rc < 0)
        return rc;
    eds->height_px = height;
    eds->width_px = eds->block_px = width;
    eds->frames = 1;
    eds->events = (uint64_t)n;
    eds->line = events_line;
    eds->ctx = events;
    out->n_eds = 1;
    return FLY_OK;
}

int fly_import_open_events(struct fly_import *out, const char *path_y, const char *path_x,
                           const char *path_ch, int32_t height_px, int32_t width_px,
                           const struct fly_import_options *options)
{
    const char *const paths[] = {path_y, path_x, path_ch};
    struct mapped lists[3] = {0};
    int rc = FLY_OK;

    fly_import_init(out, path_y);
    for (int i = 0; i < 3 && rc == FLY_OK; i++)
        rc = map_npy(&lists[i], paths[i]);
    if (rc == FLY_OK)
        rc = build_events(out, lists, paths, height_px, width_px, options);
    for (int i = 0; i < 3; i++)
        unmap(&lists[i]);
    if (rc < 0)
        fly_import_close(out);
    return rc;
}
