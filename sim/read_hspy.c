/* HyperSpy's .hspy: /Experiments/<name>/{data, axis-0 ..., metadata}. Layout and units are those
 * that HyperSpy 1.7 writes; attributes may be of any numeric or string type. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/read_h5.h"
#include "sim/units.h"

enum { EXPERIMENTS_MAX = 64, SIGNALS_MAX = FLY_DETECTORS_MAX + FLY_SEGMENTS_MAX };

struct axis {
    int navigate;
    char units[32];
    double scale, offset;
};

struct signal {
    struct fly_h5_set set;
    int32_t n_axes;
    struct axis axes[FLY_H5_DIMS];
    int32_t frame_axis, y_axis, x_axis; /* -1: there is none, its size is 1 */
    struct fly_import_eds *eds;         /* NULL: an image */
    enum fly_dtype dtype;               /* of an image */
    void *raw;                          /* (pixels of a block, channels) in the file's type */
    uint32_t *counts;                   /* the same as counts */
};

struct hspy {
    hid_t file;
    int32_t n_signals;
    struct signal signals[SIGNALS_MAX];
};

static void hspy_close(void *ctx)
{
    struct hspy *hspy = ctx;

    for (int32_t i = 0; i < hspy->n_signals; i++) {
        fly_h5_set_close(&hspy->signals[i].set);
        free(hspy->signals[i].raw);
        free(hspy->signals[i].counts);
    }
    H5Fclose(hspy->file);
    free(hspy);
}

static int read_axis(struct axis *axis, hid_t group, int32_t i, const struct fly_h5_set *set)
{
    char at[16];
    double navigate = 0.0, size = NAN;

    snprintf(at, sizeof at, "axis-%d", i);
    if (!fly_h5_has(group, at))
        return fly_fail(FLY_EWIRE, "%s: %s is missing, the array has %d axes", set->name, at,
                        set->dims);
    *axis = (struct axis){.scale = NAN, .offset = NAN};
    if (!fly_h5_attr_f64(group, at, "navigate", &navigate))
        return fly_fail(FLY_EWIRE, "%s: %s does not say whether it is for navigation", set->name,
                        at);
    axis->navigate = navigate != 0.0;
    fly_h5_attr_text(group, at, "units", axis->units, sizeof axis->units);
    fly_h5_attr_f64(group, at, "scale", &axis->scale);
    fly_h5_attr_f64(group, at, "offset", &axis->offset);
    if (fly_h5_attr_f64(group, at, "size", &size) && size != (double)set->shape[i])
        return fly_fail(FLY_EWIRE, "%s: %s has size %g, the array %" PRId64, set->name, at, size,
                        set->shape[i]);
    return FLY_OK;
}

/* The size of one pixel along an axis. NaN when its unit is no length (px, undefined). */
static int axis_nm(double *nm, const struct axis *axis, const char *name,
                   const struct fly_import_options *options)
{
    double unit = fly_unit_nm(axis->units);

    *nm = NAN;
    if (unit == 0.0 || isfinite(options->pixel_nm[0]))
        return FLY_OK;
    if (!isfinite(axis->scale) || axis->scale == 0.0)
        return fly_fail(
            FLY_EWIRE,
            "%s: an axis in %s with scale %g, which must be finite and not 0; --pixel-nm "
            "replaces it",
            name, axis->units, axis->scale);
    *nm = fabs(axis->scale) * unit;
    return FLY_OK;
}

/* Date and time of acquisition, without a zone taken as UTC: HyperSpy seldom knows the zone. */
static void read_date(struct fly_import *out, hid_t group)
{
    char date[32], time_of_day[32];
    struct tm tm = {0};

    if (!fly_h5_attr_text(group, "metadata/General", "date", date, sizeof date))
        return;
    if (!fly_h5_attr_text(group, "metadata/General", "time", time_of_day, sizeof time_of_day))
        snprintf(time_of_day, sizeof time_of_day, "00:00:00");
    if (sscanf(date, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3 ||
        sscanf(time_of_day, "%2d:%2d:%2d", &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 3)
        return;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31)
        return;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    out->t0_ns = (int64_t)timegm(&tm) * 1000000000;
}

static void read_positive(hid_t group, const char *at, const char *name, double *out)
{
    double v;

    if (!isfinite(*out) && fly_h5_attr_f64(group, at, name, &v) && isfinite(v) && v > 0.0)
        *out = v;
}

static void read_elements(struct fly_start *facts, hid_t group)
{
    static const char *const names[] = {"metadata/Sample/_list_elements",
                                        "metadata/Sample/elements",
                                        "metadata/Sample/_tuple_elements"};
    char text[32][8];
    int32_t n = 0;

    for (int i = 0; i < 3 && n == 0; i++)
        n = fly_h5_texts(group, names[i], text[0], sizeof text[0], 32);
    for (int32_t i = 0; i < n && facts->n_elements < 32; i++) {
        const char *t = text[i];
        size_t len = strlen(t);
        int symbol = len >= 1 && len <= 2 && t[0] >= 'A' && t[0] <= 'Z' &&
                     (len == 1 || (t[1] >= 'a' && t[1] <= 'z'));

        for (int32_t k = 0; k < facts->n_elements; k++)
            symbol &= strcmp(facts->elements[k], t) != 0;
        if (symbol)
            strcpy(facts->elements[facts->n_elements++], t);
    }
}

static void read_facts(struct fly_import *out, hid_t group)
{
    static const char *const instruments[] = {"metadata/Acquisition_instrument/TEM",
                                              "metadata/Acquisition_instrument/SEM"};
    struct fly_start *facts = &out->meta;

    for (int i = 0; i < 2; i++) {
        if (!fly_h5_has(group, "metadata/Acquisition_instrument") ||
            !fly_h5_has(group, instruments[i]))
            continue;
        read_positive(group, instruments[i], "beam_energy", &facts->beam_energy_kev);
        /* HyperSpy 1.7 writes this key with a space at its end now and then. */
        read_positive(group, instruments[i], "beam_energy ", &facts->beam_energy_kev);
        read_positive(group, instruments[i], "beam_current", &facts->beam_current_na);
        read_positive(group, instruments[i], "convergence_angle", &facts->convergence_mrad);
        read_positive(group, instruments[i], "magnification", &facts->magnification);
    }
    if (fly_h5_has(group, "metadata/Sample")) {
        if (!facts->sample[0])
            fly_h5_attr_text(group, "metadata/Sample", "description", facts->sample,
                             sizeof facts->sample);
        read_elements(facts, group);
    }
    if (fly_h5_has(group, "metadata/General"))
        read_date(out, group);
}

/* Which axes are frames, lines and pixels: the n outermost ones before `inner` others. */
static void place_axes(struct signal *signal, int32_t n)
{
    signal->x_axis = n >= 1 ? n - 1 : -1;
    signal->y_axis = n >= 2 ? n - 2 : -1;
    signal->frame_axis = n >= 3 ? n - 3 : -1;
}

static int64_t axis_size(const struct signal *signal, int32_t axis)
{
    return axis < 0 ? 1 : signal->set.shape[axis];
}

static void aim(const struct signal *signal, int64_t frame, int32_t y, int32_t x0, int32_t width,
                int64_t *start, int64_t *count)
{
    for (int32_t i = 0; i < signal->set.dims; i++) {
        start[i] = i == signal->frame_axis ? frame
                   : i == signal->y_axis   ? y
                   : i == signal->x_axis   ? x0
                                           : 0;
        count[i] = i == signal->frame_axis || i == signal->y_axis ? 1
                   : i == signal->x_axis                          ? width
                                                                  : signal->set.shape[i];
    }
}

static int image_line(void *ctx, int64_t frame, int32_t y_px, void *out)
{
    struct signal *signal = ctx;
    int32_t width = (int32_t)axis_size(signal, signal->x_axis);
    int64_t start[FLY_H5_DIMS], count[FLY_H5_DIMS];
    int rc;

    aim(signal, frame, y_px, 0, width, start, count);
    rc = fly_h5_set_read(&signal->set, start, count, signal->raw);
    if (rc < 0)
        return rc;
    fly_import_convert(signal->dtype, out, signal->set.type, signal->raw, (size_t)width);
    return FLY_OK;
}

static int eds_line(void *ctx, int64_t frame, int32_t y_px, int32_t x0_px, int32_t width_px,
                    struct fly_import_photons *out)
{
    struct signal *signal = ctx;
    size_t channels = (size_t)signal->eds->segment.n_channels;
    size_t n = (size_t)width_px * channels, good;
    int64_t start[FLY_H5_DIMS], count[FLY_H5_DIMS];
    int rc;

    aim(signal, frame, y_px, x0_px, width_px, start, count);
    rc = fly_h5_set_read(&signal->set, start, count, signal->raw);
    if (rc < 0)
        return rc;
    good = fly_import_counts(signal->counts, signal->set.type, signal->raw, n);
    if (good < n)
        return fly_fail(FLY_ERANGE,
                        "%s: pixel y %d x %zu channel %zu holds no count; an EDS cube holds whole "
                        "numbers 0 .. 4294967295",
                        signal->set.name, y_px, (size_t)x0_px + good / channels, good % channels);
    for (size_t i = 0; i < n; i++)
        signal->eds->events += signal->counts[i];
    *out = (struct fly_import_photons){.x0_px = x0_px,
                                       .width_px = width_px,
                                       .counts = signal->counts,
                                       .live_time_us = NAN,
                                       .real_time_us = NAN};
    return FLY_OK;
}

/* 64-bit images: look at all values once to learn which type of the wire holds them. */
static int choose_dtype(struct signal *signal, int64_t frames, int64_t height, int64_t width,
                        const struct fly_import_options *options)
{
    struct fly_import_range range = fly_import_range_none();
    int64_t start[FLY_H5_DIMS], count[FLY_H5_DIMS];
    int dtype;

    if (signal->set.type == FLY_NPY_I64 || signal->set.type == FLY_NPY_U64) {
        for (int64_t f = 0; f < frames; f++) {
            for (int32_t y = 0; y < height; y++) {
                int rc;

                aim(signal, f, y, 0, (int32_t)width, start, count);
                rc = fly_h5_set_read(&signal->set, start, count, signal->raw);
                if (rc < 0)
                    return rc;
                fly_import_range_add(&range, signal->set.type, signal->raw, (size_t)width);
            }
            int rc =
                fly_import_tick(options, "looking at pixels", (double)(f + 1) / (double)frames);

            if (rc < 0)
                return rc;
        }
    }
    dtype = fly_import_dtype(signal->set.type, &range);
    if (dtype < 0)
        return fly_fail(FLY_ERANGE,
                        "%s: 64-bit pixels beyond 2^53, which no type of the wire holds",
                        signal->set.name);
    signal->dtype = (enum fly_dtype)dtype;
    return FLY_OK;
}

static int keep_pixel_size(struct fly_import *out, const struct signal *signal,
                           const struct fly_import_options *options)
{
    for (int i = 0; i < 2; i++) {
        int32_t axis = i == 0 ? signal->y_axis : signal->x_axis;
        double nm;
        int rc = axis < 0 ? FLY_OK : axis_nm(&nm, &signal->axes[axis], signal->set.name, options);

        if (rc < 0)
            return rc;
        if (axis >= 0 && isfinite(nm) && !isfinite(out->meta.pixel_nm[i]))
            out->meta.pixel_nm[i] = nm;
    }
    return FLY_OK;
}

static int add_image(struct fly_import *out, struct signal *signal, hid_t group,
                     const struct fly_import_options *options)
{
    struct fly_import_image *image = &out->images[out->n_images];
    int64_t frames, height, width, start[FLY_H5_DIMS], box[FLY_H5_DIMS];
    char title[256] = "";
    int rc;

    if (out->n_images == FLY_DETECTORS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d images", out->path, FLY_DETECTORS_MAX);
    place_axes(signal, signal->n_axes);
    frames = axis_size(signal, signal->frame_axis);
    height = axis_size(signal, signal->y_axis);
    width = axis_size(signal, signal->x_axis);
    rc = fly_import_shape(signal->set.name, "an image", frames, height, width);
    if (rc < 0)
        return rc;
    aim(signal, 0, 0, 0, (int32_t)width, start, box);
    rc = fly_h5_set_cache(&signal->set, group, "data", box);
    if (rc < 0)
        return rc;
    signal->raw = malloc((size_t)width * fly_npy_type_size(signal->set.type));
    if (!signal->raw)
        return fly_fail(FLY_ENOMEM, "%s: no memory for a line of %" PRId64 " px", out->path, width);
    rc = choose_dtype(signal, frames, height, width, options);
    if (rc == FLY_OK)
        rc = keep_pixel_size(out, signal, options);
    if (rc < 0)
        return rc;
    if (fly_h5_has(group, "metadata/General"))
        fly_h5_attr_text(group, "metadata/General", "title", title, sizeof title);
    fly_detector_of_title(image->name, title);
    image->dtype = signal->dtype;
    image->frames = frames;
    image->height_px = (int32_t)height;
    image->width_px = (int32_t)width;
    image->line = image_line;
    image->ctx = signal;
    out->n_images++;
    return FLY_OK;
}

static int add_eds(struct fly_import *out, struct signal *signal, hid_t group,
                   const struct fly_import_options *options)
{
    static const char *const detectors[] = {"metadata/Acquisition_instrument/TEM/Detector/EDS",
                                            "metadata/Acquisition_instrument/SEM/Detector/EDS"};
    const struct axis *energy = &signal->axes[signal->n_axes - 1];
    int64_t channels = signal->set.shape[signal->n_axes - 1];
    int64_t frames, height, width, start[FLY_H5_DIMS], box[FLY_H5_DIMS];
    double ev = fly_unit_ev(energy->units);
    struct fly_import_eds *eds = &out->eds[out->n_eds];
    size_t items;
    int rc;

    if (out->n_eds == FLY_SEGMENTS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d EDS signals", out->path, FLY_SEGMENTS_MAX);
    place_axes(signal, signal->n_axes - 1);
    frames = axis_size(signal, signal->frame_axis);
    height = axis_size(signal, signal->y_axis);
    width = axis_size(signal, signal->x_axis);
    rc = fly_import_shape(signal->set.name, "an EDS cube", frames, height, width);
    if (rc < 0)
        return rc;
    if (channels < 1 || channels > FLY_CHANNELS_MAX)
        return fly_fail(FLY_ERANGE, "%s: %" PRId64 " energy channels, allowed is 1 .. %d",
                        signal->set.name, channels, FLY_CHANNELS_MAX);
    if (ev == 0.0)
        return fly_fail(FLY_EWIRE, "%s: an energy axis in '%s', taken are eV and keV",
                        signal->set.name, energy->units);
    if (!isfinite(energy->scale) || energy->scale <= 0.0 || !isfinite(energy->offset))
        return fly_fail(FLY_EWIRE,
                        "%s: an energy axis with scale %g and offset %g, which must be finite, the "
                        "scale above 0",
                        signal->set.name, energy->scale, energy->offset);
    rc = keep_pixel_size(out, signal, options);
    if (rc < 0)
        return rc;

    memset(eds, 0, sizeof *eds);
    snprintf(eds->segment.name, sizeof eds->segment.name, "EDS");
    eds->segment.n_channels = (int32_t)channels;
    eds->segment.ev_per_channel = energy->scale * ev;
    eds->segment.ev_offset = energy->offset * ev;
    eds->segment.takeoff_deg = NAN;
    for (int i = 0; i < 2; i++)
        if (fly_h5_has(group, "metadata/Acquisition_instrument"))
            read_positive(group, detectors[i], "elevation_angle", &eds->segment.takeoff_deg);
    eds->frames = frames;
    eds->height_px = (int32_t)height;
    eds->width_px = (int32_t)width;
    eds->block_px = (int32_t)(FLY_IMPORT_PAYLOAD_MAX / sizeof(uint32_t) / (size_t)channels);
    if (eds->block_px > eds->width_px)
        eds->block_px = eds->width_px;
    items = (size_t)eds->block_px * (size_t)channels;
    aim(signal, 0, 0, 0, eds->block_px, start, box);
    rc = fly_h5_set_cache(&signal->set, group, "data", box);
    if (rc < 0)
        return rc;
    signal->raw = malloc(items * fly_npy_type_size(signal->set.type));
    signal->counts = malloc(items * sizeof *signal->counts);
    if (!signal->raw || !signal->counts)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %zu channels of a line", out->path, items);
    signal->eds = eds;
    eds->line = eds_line;
    eds->ctx = signal;
    out->n_eds++;
    return FLY_OK;
}

/* Navigation axes stand before the others in what HyperSpy writes. */
static int count_axes(const struct signal *signal, int32_t *navigate)
{
    *navigate = 0;
    for (int32_t i = 0; i < signal->n_axes; i++) {
        if (signal->axes[i].navigate && *navigate != i)
            return fly_fail(FLY_ERANGE, "%s: navigation axes after signal axes", signal->set.name);
        *navigate += signal->axes[i].navigate;
    }
    return FLY_OK;
}

static int read_signal(struct fly_import *out, struct signal *signal, hid_t group,
                       const struct fly_import_options *options)
{
    const char *name = signal->set.name;
    char kind[64] = "", *units;
    int32_t navigate, n;
    int rc;

    signal->n_axes = signal->set.dims;
    for (int32_t i = 0; i < signal->n_axes; i++) {
        rc = read_axis(&signal->axes[i], group, i, &signal->set);
        if (rc < 0)
            return rc;
    }
    rc = count_axes(signal, &navigate);
    if (rc < 0)
        return rc;
    n = signal->n_axes - navigate;
    if (fly_h5_has(group, "metadata/Signal"))
        fly_h5_attr_text(group, "metadata/Signal", "signal_type", kind, sizeof kind);
    units = signal->n_axes ? signal->axes[signal->n_axes - 1].units : kind;

    if (n == 1 && (strncmp(kind, "EDS", 3) == 0 || (!kind[0] && strcmp(units, "keV") == 0)))
        return add_eds(out, signal, group, options);
    if ((n == 2 && navigate <= 1) || (n == 0 && navigate == 2)) {
        if (fly_unit_of_pattern(units))
            return fly_fail(FLY_ERANGE, "%s: a pattern in %s, not an image of the specimen", name,
                            units);
        return add_image(out, signal, group, options);
    }
    return fly_fail(FLY_ERANGE,
                    "%s: %s signal with %d navigation and %d signal axes; taken are images "
                    "and EDS",
                    name, kind[0] ? kind : "a", navigate, n);
}

/* One experiment. What import does not take is noted and left; what is damaged ends the import. */
static int read_experiment(struct fly_import *out, struct hspy *hspy, const char *name,
                           const struct fly_import_options *options)
{
    struct signal *signal = &hspy->signals[hspy->n_signals];
    char at[300];
    hid_t group;
    int rc;

    if (hspy->n_signals == SIGNALS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d signals", out->path, SIGNALS_MAX);
    snprintf(at, sizeof at, "Experiments/%s", name);
    group = H5Gopen2(hspy->file, at, H5P_DEFAULT);
    if (group < 0)
        return fly_fail(FLY_EWIRE, "%s: %s cannot be opened", out->path, at);
    rc = fly_h5_set_open(&signal->set, out->path, group, "data");
    if (rc == FLY_OK) {
        /* Every experiment's array is called data; its own name tells users more. */
        snprintf(signal->set.name, sizeof signal->set.name, "%.94s: %.94s",
                 strrchr(out->path, '/') ? strrchr(out->path, '/') + 1 : out->path, name);
        hspy->n_signals++; /* from here on hspy_close looks after it */
        rc = read_signal(out, signal, group, options);
        if (rc == FLY_OK)
            read_facts(out, group);
    }
    H5Gclose(group);
    if (rc == FLY_ERANGE) {
        fly_import_note(out, "%s: left", fly_fail_text());
        rc = FLY_OK;
    }
    return rc;
}

int fly_read_hspy(struct fly_import *out, hid_t file, const struct fly_import_options *options)
{
    struct hspy *hspy = calloc(1, sizeof *hspy);
    char(*names)[256];
    int32_t count;
    int rc;

    if (!hspy) {
        H5Fclose(file);
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", out->path);
    }
    hspy->file = file;
    out->ctx = hspy;
    out->close = hspy_close;
    rc = fly_h5_names(out->path, file, "Experiments", EXPERIMENTS_MAX, &names, &count);
    for (int32_t i = 0; i < count && rc == FLY_OK; i++)
        rc = read_experiment(out, hspy, names[i], options);
    free(names);
    if (rc == FLY_OK && out->n_images + out->n_eds == 0) {
        char why[384] = "no experiments";

        if (count > 0)
            snprintf(why, sizeof why, "%s", fly_fail_text());
        rc = fly_fail(FLY_ERANGE, "%s: nothing to import: %s", out->path, why);
    }
    return rc;
}
