/* NumPy arrays, and export.json that says what their axes are. */
#include "plugin/export/export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/npy.h"
#include "stream/disk.h"

/* dims 2 or 3. Tells the array in `json`, which stands in an object. */
static int write_array(const char *dir, const char *name, enum fly_npy_type type, int32_t dims, const int64_t *shape,
                       const void *data, struct fly_json *json, const char *const *axes)
{
    unsigned char head[FLY_NPY_HEADER_CAP], *bytes;
    size_t head_len = fly_npy_header(head, type, dims, shape), body = fly_npy_type_size(type);
    char path[2048];
    int rc;

    for (int32_t i = 0; i < dims; i++)
        body *= (size_t)shape[i];
    bytes = malloc(head_len + body);
    if (!bytes)
        return fly_fail(FLY_ENOMEM, "%s.npy: no memory for %zu bytes", name, body);
    memcpy(bytes, head, head_len);
    memcpy(bytes + head_len, data, body);
    snprintf(path, sizeof path, "%s/%s.npy", dir, name);
    rc = fly_file_write(path, bytes, head_len + body);
    free(bytes);
    fly_json_key(json, name);
    fly_json_row(json);
    for (int32_t i = 0; i < dims; i++)
        fly_json_str(json, axes[i]);
    fly_json_end(json);
    return rc;
}

static void tell_axis(struct fly_json *json, const char *name, struct fly_export_axis axis)
{
    fly_json_key(json, name);
    fly_json_object(json);
    fly_json_key(json, "offset");
    fly_json_f64(json, axis.offset);
    fly_json_key(json, "scale");
    fly_json_f64(json, axis.scale);
    fly_json_key(json, "units");
    fly_json_str(json, axis.units);
    fly_json_end(json);
}

static void tell_axes(const struct fly_export *x, struct fly_json *json)
{
    const struct fly_plan *plan = &x->info->plan;

    fly_json_key(json, "axes");
    fly_json_object(json);
    tell_axis(json, "y", fly_export_pixels(x, 0));
    tell_axis(json, "x", fly_export_pixels(x, 1));
    tell_axis(json, "chip_row", fly_export_chips(x, 0));
    tell_axis(json, "chip_column", fly_export_chips(x, 1));
    if (x->spectra)
        tell_axis(json, "energy",
                  (struct fly_export_axis){plan->ev_per_channel / 1000.0, plan->ev_offset / 1000.0, "keV"});
    fly_json_end(json);
    fly_json_key(json, "elements");
    fly_json_row(json);
    for (int32_t i = 0; i < x->n_elements; i++)
        fly_json_str(json, x->elements[i]);
    fly_json_end(json);
}

static void tell_labels(const struct fly_export *x, struct fly_json *json)
{
    fly_json_key(json, "labels");
    fly_json_object(json);
    for (int m = 0; m < FLY_MAPS; m++) {
        char name[64];

        if (!x->map[m].there)
            continue;
        snprintf(name, sizeof name, "map_%s_%s", fly_method_name(fly_map_method(m)),
                 fly_modality_name(fly_map_modality(m)));
        fly_json_key(json, name);
        fly_json_object(json);
        for (int32_t i = 0; i < x->map[m].n; i++) {
            char id[16];

            snprintf(id, sizeof id, "%d", x->map[m].cluster[i].id);
            fly_json_key(json, id);
            fly_json_str(json, x->map[m].cluster[i].name);
        }
        fly_json_end(json);
    }
    fly_json_key(json, "codes");
    fly_json_str(json, "-1 not measured, -2 unknown, -3 too little, -4 minor");
    fly_json_end(json);
}

static int write_arrays(const struct fly_export *x, const char *dir, struct fly_json *json)
{
    static const char *const pixels[] = {"y", "x"}, *const chips[] = {"chip_row", "chip_column"},
                      *const percents[] = {"element", "chip_row", "chip_column"},
                      *const spectra[] = {"chip_row", "chip_column", "energy"};
    int64_t grid[3] = {x->grid->rows, x->grid->cols, x->channels};
    int rc = FLY_OK;

    if (x->image)
        rc = write_array(dir, "haadf", FLY_NPY_F32, 2, (int64_t[]){x->grid->height_px, x->grid->width_px}, x->image,
                         json, pixels);
    for (int m = 0; rc == FLY_OK && m < FLY_MAPS; m++) {
        const char *method = fly_method_name(fly_map_method(m)), *modality = fly_modality_name(fly_map_modality(m));
        char name[64];

        if (!x->map[m].there)
            continue;
        snprintf(name, sizeof name, "map_%s_%s", method, modality);
        rc = write_array(dir, name, FLY_NPY_I32, 2, grid, x->map[m].view.labels, json, chips);
        snprintf(name, sizeof name, "confidence_%s_%s", method, modality);
        if (rc == FLY_OK)
            rc = write_array(dir, name, FLY_NPY_F32, 2, grid, x->map[m].view.confidence, json, chips);
    }
    if (rc == FLY_OK && x->n_elements) {
        int64_t shape[3] = {x->n_elements, grid[0], grid[1]};

        rc = write_array(dir, "atomic_percent", FLY_NPY_F32, 3, shape, x->percent, json, percents);
        if (rc == FLY_OK)
            rc = write_array(dir, "atomic_percent_sigma", FLY_NPY_F32, 3, shape, x->sigma, json, percents);
    }
    if (rc == FLY_OK)
        rc = write_array(dir, fly_export_dose_name(x), FLY_NPY_F32, 2, grid, x->dose.mean, json, chips);
    if (rc == FLY_OK && x->spectra)
        rc = write_array(dir, "chip_spectra", FLY_NPY_U32, 3, grid, x->spectra, json, spectra);
    return rc;
}

int fly_export_npy(const struct fly_export *export, const char *dir)
{
    struct fly_text text;
    struct fly_json json;
    char path[2048];
    int rc;

    fly_text_init(&text);
    fly_json_init(&json, &text, 0);
    fly_json_object(&json);
    fly_json_key(&json, "arrays");
    fly_json_object(&json);
    rc = write_arrays(export, dir, &json);
    fly_json_end(&json);
    if (rc == FLY_OK) {
        tell_axes(export, &json);
        tell_labels(export, &json);
        fly_json_key(&json, "provenance");
        fly_export_provenance(export, &json);
        fly_json_end(&json);
        fly_json_done(&json);
        rc = fly_text_done(&text, "export.json");
    }
    snprintf(path, sizeof path, "%s/export.json", dir);
    if (rc == FLY_OK)
        rc = fly_file_write(path, text.bytes, text.len);
    fly_text_fini(&text);
    return rc;
}
