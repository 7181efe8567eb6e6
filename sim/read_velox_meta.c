#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/read_velox.h"

enum { METADATA_MAX = 4 * 1024 * 1024 };

/* Text of a column of bytes, or NULL with the code set. */
static char *column_text(const char *path, hid_t group, const char *what, int64_t column, int *rc)
{
    int64_t start[FLY_H5_DIMS] = {0, column, 0, 0}, count[FLY_H5_DIMS] = {0, 1, 1, 1};
    struct fly_h5_set set;
    char *text = NULL;

    *rc = fly_h5_set_open(&set, path, group, "Metadata");
    if (*rc < 0)
        return NULL;
    count[0] = set.shape[0];
    if (set.type != FLY_NPY_U8 || set.dims < 1 || set.dims > 2 || set.shape[0] < 2 ||
        set.shape[0] > METADATA_MAX || column >= (set.dims == 2 ? set.shape[1] : 1))
        *rc = fly_fail(FLY_EWIRE, "%s: %s: Metadata is no table of bytes with a column %" PRId64,
                       path, what, column);
    else if ((text = malloc((size_t)set.shape[0] + 1)) == NULL)
        *rc = fly_fail(FLY_ENOMEM, "%s: no memory for the metadata", path);
    else
        *rc = fly_h5_set_read(&set, start, count, text);
    if (*rc == FLY_OK)
        text[set.shape[0]] = '\0';
    fly_h5_set_close(&set);
    return text;
}

int fly_velox_meta(json_t **out, const char *path, hid_t group, const char *what, int64_t column)
{
    json_error_t error;
    char *text;
    int rc = FLY_OK;

    *out = NULL;
    if (!fly_h5_has(group, "Metadata"))
        return fly_fail(FLY_EWIRE, "%s: %s has no Metadata", path, what);
    text = column == 0 ? fly_h5_text(group, "Metadata") : NULL;
    if (!text)
        text = column_text(path, group, what, column, &rc);
    if (rc == FLY_OK) {
        *out = json_loads(text, 0, &error);
        if (!*out || !json_is_object(*out))
            rc = fly_fail(FLY_EWIRE, "%s: %s: Metadata is no JSON object: line %d: %s", path, what,
                          error.line, *out ? "another kind of value" : error.text);
    }
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    free(text);
    return rc;
}

static const json_t *follow(const json_t *at, va_list keys)
{
    const char *key;

    while (at && (key = va_arg(keys, const char *)) != NULL)
        at = json_object_get(at, key); /* NULL of anything that is no object */
    return at;
}

double fly_json_number(const json_t *root, int *there, ...)
{
    const json_t *leaf;
    double value = NAN;
    va_list keys;

    va_start(keys, there);
    leaf = follow(root, keys);
    va_end(keys);
    if (there)
        *there = 0;
    if (json_is_number(leaf)) {
        value = json_number_value(leaf);
    } else if (json_is_string(leaf) && json_string_value(leaf)[0]) {
        const char *text = json_string_value(leaf);
        char *end;

        value = strtod(text, &end);
        if (*end != '\0')
            return NAN;
    } else {
        return NAN;
    }
    if (there)
        *there = 1;
    return value;
}

const char *fly_json_text(const json_t *root, ...)
{
    const json_t *leaf;
    va_list keys;

    va_start(keys, root);
    leaf = follow(root, keys);
    va_end(keys);
    return json_is_string(leaf) ? json_string_value(leaf) : "";
}

const char *fly_velox_recorded_by(const json_t *meta, const char *kind)
{
    const char *name = fly_json_text(meta, "BinaryResult", "Detector", NULL), *indexed, *only = "";
    double index = fly_json_number(meta, NULL, "BinaryResult", "DetectorIndex", NULL);
    json_t *detectors = json_object_get(meta, "Detectors"), *detector;
    const char *key;
    char at[32];

    if (name[0] && fly_velox_detector(meta, name))
        return name;
    snprintf(at, sizeof at, "Detector-%.0f", isfinite(index) ? index : -1.0);
    indexed = fly_json_text(detectors, at, "DetectorName", NULL);
    if (indexed[0])
        return indexed;
    if (name[0])
        return name;
    json_object_foreach(detectors, key, detector)
    {
        if (kind && strcmp(fly_json_text(detector, "DetectorType", NULL), kind) != 0)
            continue;
        if (only[0])
            return "";
        only = fly_json_text(detector, "DetectorName", NULL);
    }
    return only;
}

const json_t *fly_velox_detector(const json_t *meta, const char *name)
{
    json_t *detectors = json_object_get(meta, "Detectors");
    const char *key;
    json_t *detector;

    json_object_foreach(detectors, key,
                        detector) if (strcmp(fly_json_text(detector, "DetectorName", NULL), name) ==
                                      0) return detector;
    return NULL;
}

int fly_velox_raster(const json_t *meta, int32_t *height_px, int32_t *width_px, int *area)
{
    double width = fly_json_number(meta, NULL, "Scan", "ScanSize", "width", NULL);
    double height = fly_json_number(meta, NULL, "Scan", "ScanSize", "height", NULL);
    double left = fly_json_number(meta, NULL, "Scan", "ScanArea", "left", NULL);
    double right = fly_json_number(meta, NULL, "Scan", "ScanArea", "right", NULL);
    double top = fly_json_number(meta, NULL, "Scan", "ScanArea", "top", NULL);
    double bottom = fly_json_number(meta, NULL, "Scan", "ScanArea", "bottom", NULL);

    /* ScanSize is the whole field; a spectrum image scans the part of it that ScanArea gives. */
    *area = isfinite(left) && isfinite(right) && isfinite(top) && isfinite(bottom);
    if (*area) {
        width *= right - left;
        height *= bottom - top;
    }
    width = round(width);
    height = round(height);
    if (!(width >= 1.0 && width <= FLY_SCAN_SIDE_MAX && height >= 1.0 &&
          height <= FLY_SCAN_SIDE_MAX))
        return 0;
    *height_px = (int32_t)height;
    *width_px = (int32_t)width;
    return 1;
}
