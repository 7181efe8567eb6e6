/* HyperSpy's file (.hspy 3.1, HDF5): image, maps, confidences, element maps and spectra, calibrated.
 *
 * The layout is that which HyperSpy 1.7.3 reads and writes: /Experiments/<name>/{data, axis-N, metadata,
 * original_metadata}. Maps and images have two signal axes; spectra have navigation axes before an energy axis.
 */
#include "plugin/export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AXES = 3, NAME = 96 };

struct axis {
    const char *name, *units;
    double scale, offset;
    hsize_t size;
    int navigate, binned;
};

struct signal {
    const char *name;
    const char *type; /* "" or "EDS_TEM" */
    hid_t number;
    const void *data;
    int dims;
    struct axis axis[AXES];
    int compress;
};

struct hspy {
    const struct fly_export *x;
    hid_t file, root, boolean, text;
    int failed; /* something the library refused */
};

/* ---- small things ------------------------------------------------------------------------------- */

static void note(struct hspy *h, herr_t rc)
{
    h->failed |= rc < 0;
}

static hid_t good(struct hspy *h, hid_t id)
{
    h->failed |= id < 0;
    return id;
}

static hid_t open_group(struct hspy *h, hid_t at, const char *name)
{
    if (H5Lexists(at, name, H5P_DEFAULT) > 0)
        return good(h, H5Gopen2(at, name, H5P_DEFAULT));
    return good(h, H5Gcreate2(at, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void put(struct hspy *h, hid_t at, const char *name, hid_t file_type, hid_t memory_type, const void *value)
{
    hid_t space = good(h, H5Screate(H5S_SCALAR));
    hid_t attr = good(h, H5Acreate2(at, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT));

    note(h, H5Awrite(attr, memory_type, value));
    note(h, H5Aclose(attr));
    note(h, H5Sclose(space));
}

static void put_text(struct hspy *h, hid_t at, const char *name, const char *value)
{
    put(h, at, name, h->text, h->text, &value);
}

static void put_f64(struct hspy *h, hid_t at, const char *name, double value)
{
    put(h, at, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static void put_int(struct hspy *h, hid_t at, const char *name, int64_t value)
{
    put(h, at, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static void put_bool(struct hspy *h, hid_t at, const char *name, int value)
{
    int8_t word = (int8_t)(value != 0);

    put(h, at, name, h->boolean, h->boolean, &word);
}

/* A list of strings as HyperSpy keeps one: a 1-D dataset "_list_<name>". */
static void put_list(struct hspy *h, hid_t at, const char *name, const char *const *items, hsize_t n)
{
    char full[NAME];
    hid_t space = good(h, H5Screate_simple(1, &n, NULL)), set;

    snprintf(full, sizeof full, "_list_%s", name);
    set = good(h, H5Dcreate2(at, full, h->text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    note(h, H5Dwrite(set, h->text, H5S_ALL, H5S_ALL, H5P_DEFAULT, items));
    note(h, H5Dclose(set));
    note(h, H5Sclose(space));
}

/* ---- one signal --------------------------------------------------------------------------------- */

static void write_data(struct hspy *h, hid_t group, const struct signal *s)
{
    hsize_t shape[AXES], chunk[AXES];
    hid_t space, options = good(h, H5Pcreate(H5P_DATASET_CREATE)), set;
    int empty = 0;

    for (int i = 0; i < s->dims; i++) {
        shape[i] = s->axis[i].size;
        chunk[i] = i == s->dims - 1 || s->dims == 2 ? shape[i] : 1; /* a spectrum, or the whole picture */
        empty |= shape[i] == 0;
    }
    space = good(h, H5Screate_simple(s->dims, shape, NULL));
    if (s->compress && !empty) {
        /* A spectrum is 4096 small numbers: shuffled, most bytes are zero. */
        note(h, H5Pset_chunk(options, s->dims, chunk));
        note(h, H5Pset_shuffle(options));
        note(h, H5Pset_deflate(options, 1));
    }
    set = good(h, H5Dcreate2(group, "data", s->number, space, H5P_DEFAULT, options, H5P_DEFAULT));
    note(h, H5Dwrite(set, s->number, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->data));
    note(h, H5Dclose(set));
    note(h, H5Pclose(options));
    note(h, H5Sclose(space));
}

static void write_axes(struct hspy *h, hid_t group, const struct signal *s)
{
    for (int i = 0; i < s->dims; i++) {
        const struct axis *axis = &s->axis[i];
        char name[16];
        hid_t at;

        snprintf(name, sizeof name, "axis-%d", i);
        at = open_group(h, group, name);
        put_text(h, at, "_type", "UniformDataAxis");
        put_text(h, at, "name", axis->name);
        put_text(h, at, "units", axis->units);
        put_f64(h, at, "scale", axis->scale);
        put_f64(h, at, "offset", axis->offset);
        put_int(h, at, "size", (int64_t)axis->size);
        put_bool(h, at, "navigate", axis->navigate);
        put_bool(h, at, "is_binned", axis->binned);
        note(h, H5Gclose(at));
    }
}

static void write_instrument(struct hspy *h, hid_t metadata, const struct signal *s)
{
    const struct fly_start *start = &h->x->info->start;
    hid_t instrument = open_group(h, metadata, "Acquisition_instrument"), tem = open_group(h, instrument, "TEM");

    if (isfinite(start->beam_energy_kev))
        put_f64(h, tem, "beam_energy", start->beam_energy_kev);
    if (isfinite(start->beam_current_na))
        put_f64(h, tem, "beam_current", start->beam_current_na);
    if (isfinite(start->convergence_mrad))
        put_f64(h, tem, "convergence_angle", start->convergence_mrad);
    if (isfinite(start->magnification))
        put_f64(h, tem, "magnification", start->magnification);
    if (strcmp(s->type, "EDS_TEM") == 0 && start->n_segments > 0) {
        hid_t detector = open_group(h, tem, "Detector"), eds = open_group(h, detector, "EDS");

        /* HyperSpy's own default, which it asks for: no instrument tells us. */
        put_f64(h, eds, "energy_resolution_MnKa", 130.0);
        if (isfinite(start->segments[0].takeoff_deg))
            put_f64(h, eds, "elevation_angle", start->segments[0].takeoff_deg);
        note(h, H5Gclose(eds));
        note(h, H5Gclose(detector));
    }
    note(h, H5Gclose(tem));
    note(h, H5Gclose(instrument));
}

/* Names of a map's clusters in the order of their spectra, and where all came from. */
static void write_own(struct hspy *h, hid_t metadata, const struct fly_export_map *map)
{
    hid_t own = open_group(h, metadata, "Flyback");
    struct fly_text text;
    struct fly_json json;

    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_export_provenance(h->x, &json);
    put_text(h, own, "provenance", fly_text_str(&text));
    h->failed |= text.failed;
    fly_text_fini(&text);
    if (map && map->n) {
        const char **items = malloc((size_t)map->n * sizeof *items);
        char(*words)[FLY_CLUSTER_NAME_MAX + 48] = malloc((size_t)map->n * sizeof *words);

        h->failed |= !items || !words;
        for (int32_t i = 0; items && words && i < map->n; i++) {
            snprintf(words[i], sizeof words[i], "%d %s", map->cluster[i].id, map->cluster[i].name);
            items[i] = words[i];
        }
        if (items && words)
            put_list(h, own, "labels", items, (hsize_t)map->n);
        free(items);
        free(words);
    }
    if (map)
        put_text(h, own, "label_codes", "-1 not measured, -2 unknown, -3 too little, -4 minor");
    note(h, H5Gclose(own));
}

static void write_metadata(struct hspy *h, hid_t group, const struct signal *s, const struct fly_export_map *map)
{
    hid_t metadata = open_group(h, group, "metadata"), at;

    at = open_group(h, metadata, "General");
    put_text(h, at, "title", s->name);
    note(h, H5Gclose(at));
    at = open_group(h, metadata, "Signal");
    put_text(h, at, "signal_type", s->type);
    note(h, H5Gclose(at));
    at = open_group(h, metadata, "Sample");
    if (h->x->info->start.sample[0])
        put_text(h, at, "description", h->x->info->start.sample);
    if (h->x->n_elements)
        put_list(h, at, "elements", h->x->elements, (hsize_t)h->x->n_elements);
    note(h, H5Gclose(at));
    write_instrument(h, metadata, s);
    write_own(h, metadata, map);
    note(h, H5Gclose(metadata));
    note(h, H5Gclose(open_group(h, group, "original_metadata")));
}

static void write_signal(struct hspy *h, const struct signal *s, const struct fly_export_map *map)
{
    hid_t group = open_group(h, h->root, s->name);

    write_data(h, group, s);
    write_axes(h, group, s);
    write_metadata(h, group, s, map);
    note(h, H5Gclose(group));
}

/* ---- all of them -------------------------------------------------------------------------------- */

static struct axis place(const struct fly_export *x, int axis, int chips, int navigate)
{
    struct fly_export_axis a = chips ? fly_export_chips(x, axis) : fly_export_pixels(x, axis);
    int32_t n = chips ? (axis ? x->grid->cols : x->grid->rows) : (axis ? x->grid->width_px : x->grid->height_px);

    return (struct axis){axis ? "x" : "y", a.units, a.scale, a.offset, (hsize_t)n, navigate, 0};
}

static struct axis energy(const struct fly_export *x)
{
    const struct fly_plan *plan = &x->info->plan;

    return (struct axis){"Energy", "keV", plan->ev_per_channel / 1000.0, plan->ev_offset / 1000.0,
                         (hsize_t)x->channels, 0, 1};
}

static void write_picture(struct hspy *h, const char *name, hid_t number, const void *data, int chips,
                          const struct fly_export_map *map)
{
    write_signal(h, &(struct signal){name, "", number, data, 2,
                                     {place(h->x, 0, chips, 0), place(h->x, 1, chips, 0)}, 0}, map);
}

static int write_cluster_spectra(struct hspy *h, int m)
{
    const struct fly_export_map *map = &h->x->map[m];
    size_t e = (size_t)h->x->channels;
    uint64_t *sums = malloc((size_t)map->n * e * sizeof *sums + 1);
    char name[NAME];

    if (!sums)
        return fly_fail(FLY_ENOMEM, "export: no memory for the spectra of clusters");
    for (int32_t i = 0; i < map->n; i++)
        fly_export_sum(h->x, map->view.labels, map->cluster[i].id, sums + (size_t)i * e);
    snprintf(name, sizeof name, "spectra_%s_%s", fly_method_name(fly_map_method(m)),
             fly_modality_name(fly_map_modality(m)));
    if (map->n)
        write_signal(h, &(struct signal){name, "EDS_TEM", H5T_NATIVE_UINT64, sums, 2,
                                         {{"cluster", "", 1.0, 0.0, (hsize_t)map->n, 1, 0}, energy(h->x)}, 1}, map);
    free(sums);
    return FLY_OK;
}

static int write_maps(struct hspy *h)
{
    int rc = FLY_OK;

    for (int m = 0; rc == FLY_OK && m < FLY_MAPS; m++) {
        const struct fly_export_map *map = &h->x->map[m];
        const char *method = fly_method_name(fly_map_method(m)), *modality = fly_modality_name(fly_map_modality(m));
        char name[NAME];

        if (!map->there)
            continue;
        snprintf(name, sizeof name, "map_%s_%s", method, modality);
        write_picture(h, name, H5T_NATIVE_INT32, map->view.labels, 1, map);
        snprintf(name, sizeof name, "confidence_%s_%s", method, modality);
        write_picture(h, name, H5T_NATIVE_FLOAT, map->view.confidence, 1, NULL);
        if (h->x->spectra)
            rc = write_cluster_spectra(h, m);
    }
    return rc;
}

static int write_all(struct hspy *h)
{
    const struct fly_export *x = h->x;
    int rc;

    put_text(h, h->file, "file_format", "HyperSpy");
    put_text(h, h->file, "file_format_version", "3.1");
    if (x->image)
        write_picture(h, "haadf", H5T_NATIVE_FLOAT, x->image, 0, NULL);
    rc = write_maps(h);
    for (int32_t i = 0; i < x->n_elements; i++) {
        char name[NAME];

        snprintf(name, sizeof name, "atomic_percent_%s", x->elements[i]);
        write_picture(h, name, H5T_NATIVE_FLOAT, x->percent + (size_t)i * (size_t)x->chips, 1, NULL);
        snprintf(name, sizeof name, "sigma_%s", x->elements[i]);
        write_picture(h, name, H5T_NATIVE_FLOAT, x->sigma + (size_t)i * (size_t)x->chips, 1, NULL);
    }
    write_picture(h, fly_export_dose_name(x), H5T_NATIVE_FLOAT, x->dose.mean, 1, NULL);
    if (x->spectra)
        write_signal(h, &(struct signal){"chip_spectra", "EDS_TEM", H5T_NATIVE_UINT32, x->spectra, 3,
                                         {place(x, 0, 1, 1), place(x, 1, 1, 1), energy(x)}, 1}, NULL);
    return rc;
}

/* h5py's and so HyperSpy's bool: an enumeration of one byte. */
static hid_t boolean_type(struct hspy *h)
{
    hid_t type = good(h, H5Tenum_create(H5T_STD_I8LE));
    int8_t no = 0, yes = 1;

    note(h, H5Tenum_insert(type, "FALSE", &no));
    note(h, H5Tenum_insert(type, "TRUE", &yes));
    return type;
}

/* What the library said first. */
static herr_t first_error(unsigned n, const H5E_error2_t *error, void *words)
{
    (void)n;
    snprintf(words, 160, "%s", error->desc ? error->desc : "refused");
    return 1;
}

static int close_whole(struct hspy *h, const char *path, const char *part)
{
    char words[160] = "HDF5 refused";
    int fd, saved;

    if (h->failed)
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_error, words);
    if (H5Fclose(h->file) < 0)
        h->failed = 1;
    if (h->failed) {
        unlink(part);
        return fly_fail(FLY_EIO, "%s: cannot be written: %s", path, words);
    }
    fd = open(part, O_RDONLY | O_CLOEXEC);
    saved = fd < 0 || fsync(fd) < 0 || rename(part, path) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (saved) {
        unlink(part);
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(saved));
    }
    return FLY_OK;
}

int fly_export_hspy(const struct fly_export *export, const char *path)
{
    struct hspy h = {.x = export};
    char part[2048];
    int rc, closed;

    if (snprintf(part, sizeof part, "%s.tmp", path) >= (int)sizeof part)
        return fly_fail(FLY_ERANGE, "%.64s...: the path is too long", path);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    errno = 0;
    h.file = H5Fcreate(part, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (h.file < 0)
        return fly_fail(FLY_EIO, "%s: %s", path, errno ? strerror(errno) : "HDF5 cannot make the file");
    h.text = H5Tcopy(H5T_C_S1);
    note(&h, H5Tset_size(h.text, H5T_VARIABLE));
    note(&h, H5Tset_cset(h.text, H5T_CSET_UTF8));
    h.boolean = boolean_type(&h);
    h.root = open_group(&h, h.file, "Experiments");
    rc = write_all(&h);
    H5Gclose(h.root);
    H5Tclose(h.boolean);
    H5Tclose(h.text);
    h.failed |= rc < 0;
    closed = close_whole(&h, path, part);
    return rc < 0 ? rc : closed;
}
