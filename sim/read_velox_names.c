/* What a Velox file tells beside its data: version, labels of images, chosen elements, frames of its
 * spectrum image. Up to version 10 this lies in /Operations and /Presentation/Displays, from 11 on in
 * /SharedProperties and /Displays; each may be missing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/periodic.h"
#include "sim/read_velox.h"

enum { MEMBERS_MAX = 1024, VERSION_FIRST = 4, VERSION_LAST = 13 };

/* Call each(ctx, its JSON) for every text of a group; returns what each returned last, FLY_OK when
 * there is no such group. Texts that are no JSON are passed over: nothing in them is needed. */
static int for_texts(const char *path, hid_t file, const char *group,
                     int (*each)(void *ctx, const json_t *text), void *ctx)
{
    char(*names)[256];
    int32_t count;
    int rc = fly_h5_names(path, file, group, MEMBERS_MAX, &names, &count);

    for (int32_t i = 0; i < count && rc == FLY_OK; i++) {
        char at[400];
        char *text;
        json_t *json;

        snprintf(at, sizeof at, "%s/%.255s", group, names[i]);
        text = fly_h5_text(file, at);
        json = text ? json_loads(text, 0, NULL) : NULL;
        if (json)
            rc = each(ctx, json);
        json_decref(json);
        free(text);
    }
    free(names);
    return rc;
}

/* ---- version -----------------------------------------------------------------------------------
 */

void fly_velox_version(struct fly_import *out, hid_t file)
{
    char *text = fly_h5_text(file, "Version");
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    double version = fly_json_number(json, NULL, "version", NULL);

    if (!text)
        fly_import_note(out, "%s: does not say its Velox version; read like those known", out->path);
    else if (!isfinite(version))
        fly_import_note(out, "%s: Velox version \"%.60s\" is no number; read like those known",
                        out->path, text);
    else if (version < VERSION_FIRST || version > VERSION_LAST)
        fly_import_note(out,
                        "%s: Velox layout %g, known are %d .. %d; read like those: compare counts "
                        "with Velox",
                        out->path, version, VERSION_FIRST, VERSION_LAST);
    json_decref(json);
    free(text);
}

/* ---- labels ------------------------------------------------------------------------------------
 */

struct labels {
    const char *path;
    hid_t file;
    struct fly_velox_labels *to;
};

static void add_label(struct fly_velox_labels *to, const char *data_path, const char *label)
{
    const char *slash = strrchr(data_path, '/');
    const char *id = slash ? slash + 1 : data_path;

    if (!id[0] || !label[0] || to->n == FLY_VELOX_LABELS || *fly_velox_label(to, id))
        return;
    snprintf(to->of[to->n].id, sizeof to->of[to->n].id, "%s", id);
    snprintf(to->of[to->n].label, sizeof to->of[to->n].label, "%s", label);
    to->n++;
}

static int is_true(const json_t *json, const char *key)
{
    return json_is_true(json_object_get(json, key)) ||
           strcmp(fly_json_text(json, key, NULL), "true") == 0;
}

static int add_scanned(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;

    add_label(labels->to, fly_json_text(json, "dataPath", NULL), fly_json_text(json, "detector", NULL));
    return FLY_OK;
}

static int add_camera(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;

    add_label(labels->to, fly_json_text(json, "dataPath", NULL),
              fly_json_text(json, "cameraName", NULL));
    return FLY_OK;
}

/* Integrated differential phase contrast, or its derivative, and both once more filtered. */
static int add_phase(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;
    const char *name = is_true(json, "integrationMode") ? "iDPC" : "dDPC";
    char filtered[16];

    snprintf(filtered, sizeof filtered, "%s_filtered", name);
    add_label(labels->to, fly_json_text(json, "unfilteredDataPath", NULL), name);
    add_label(labels->to, fly_json_text(json, "dataPath", NULL),
              is_true(json, "enableFilter") ? filtered : name);
    return FLY_OK;
}

/* Differences of opposite quadrants. */
static int add_difference(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;
    const json_t *first = json_array_get(json_object_get(json, "outputs"), 0);
    double input = fly_json_number(first, NULL, "inputIndex", NULL);

    add_label(labels->to, fly_json_text(json, "dataPath", NULL),
              input == 0.0 ? "A-C" : input == 1.0 ? "B-D" : "");
    return FLY_OK;
}

static int add_display_10(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;

    add_label(labels->to, fly_json_text(json, "dataPath", NULL),
              fly_json_text(json, "display", "label", NULL));
    return FLY_OK;
}

/* A display of version 11 leads to its data over a reference. */
static int add_display_11(void *ctx, const json_t *json)
{
    struct labels *labels = ctx;
    const char *reference = fly_json_text(json, "data", NULL);
    const char *label = fly_json_text(json, "id", NULL);
    char *text = reference[0] ? fly_h5_text(labels->file, reference) : NULL;
    json_t *target = text ? json_loads(text, 0, NULL) : NULL;

    add_label(labels->to, fly_json_text(target, "dataPath", NULL),
              label[0] ? label : fly_json_text(json, "title", NULL));
    json_decref(target);
    free(text);
    return FLY_OK;
}

int fly_velox_labels(struct fly_velox_labels *to, const char *path, hid_t file)
{
    static const struct {
        const char *group;
        int (*each)(void *ctx, const json_t *json);
    } places[] = {
        {"Operations/StemInputOperation", add_scanned},
        {"Operations/CameraInputOperation", add_camera},
        {"Operations/SurfaceReconstructionOperation", add_phase},
        {"Operations/MathematicsOperation", add_difference},
        {"Displays/ImageDisplay", add_display_11},
        {"Presentation/Displays/ImageDisplay", add_display_10},
    };
    struct labels labels = {.path = path, .file = file, .to = to};
    int rc = FLY_OK;

    to->n = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places && rc == FLY_OK; i++)
        rc = for_texts(path, file, places[i].group, places[i].each, &labels);
    return rc;
}

const char *fly_velox_label(const struct fly_velox_labels *labels, const char *id)
{
    for (int32_t i = 0; i < labels->n; i++)
        if (strcmp(labels->of[i].id, id) == 0)
            return labels->of[i].label;
    return "";
}

/* Made from the quadrants of a detector pixel by pixel. */
static int is_computed(const char *label)
{
    static const char *const known[] = {"iDPC", "dDPC", "A-C", "B-D", "DF4 A-C", "DF4 B-D"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(label, known[i]) == 0)
            return 1;
    return 0;
}

enum fly_velox_origin fly_velox_name_image(char detector[FLY_NAME_MAX + 1], char name[FLY_NAME_MAX + 1],
                                           const json_t *meta, const char *label)
{
    const char *by = fly_velox_recorded_by(meta, NULL), *kind;

    if (!fly_velox_detector(meta, by) && fly_velox_detector(meta, label))
        by = label; /* before BinaryResult named it, only the operation did */
    kind = fly_json_text(fly_velox_detector(meta, by), "DetectorType", NULL);
    snprintf(detector, FLY_NAME_MAX + 1, "%s", by);
    if (is_computed(label)) {
        snprintf(name, FLY_NAME_MAX + 1, "%s", label);
        return FLY_VELOX_COMPUTED;
    }
    snprintf(name, FLY_NAME_MAX + 1, "%s", by[0] ? by : label);
    if (strcmp(kind, "ScanningDetector") == 0 || (!kind[0] && strcmp(name, "HAADF") == 0))
        return FLY_VELOX_SCANNED;
    if (label[0] && strcmp(label, name) != 0)
        snprintf(name, FLY_NAME_MAX + 1, "%.20s from %.30s", label, by);
    return FLY_VELOX_OTHER;
}

/* ---- elements ----------------------------------------------------------------------------------
 */

static int add_elements(void *ctx, const json_t *json)
{
    struct fly_start *facts = ctx;
    const json_t *list = json_object_get(json, "elementSelection");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        double z = json_is_string(item) ? strtod(json_string_value(item), NULL)
                                        : json_number_value(item);
        const char *symbol = z >= 1.0 && z <= FLY_ATOMIC_NUMBER_MAX ? fly_symbol((int64_t)z) : NULL;
        int known = !symbol || facts->n_elements == FLY_START_ELEMENTS_MAX;

        for (int32_t k = 0; k < facts->n_elements && !known; k++)
            known = strcmp(facts->elements[k], symbol) == 0;
        if (!known)
            strcpy(facts->elements[facts->n_elements++], symbol);
    }
    return FLY_OK;
}

int fly_velox_elements(struct fly_start *facts, const char *path, hid_t file)
{
    static const char *const groups[] = {"SharedProperties/EDSSpectrumQuantificationSettings",
                                         "Operations/ImageQuantificationOperation",
                                         "Data/EdsSpectrumQuantificationSettings"};
    int rc = FLY_OK;

    for (size_t i = 0; i < sizeof groups / sizeof *groups && rc == FLY_OK; i++)
        rc = for_texts(path, file, groups[i], add_elements, facts);
    return rc;
}

/* ---- frames ------------------------------------------------------------------------------------
 */

int fly_velox_si_frames(const char *path, hid_t file, int64_t *first, int64_t *last)
{
    char(*names)[256];
    int32_t count;
    int rc = fly_h5_names(path, file, "Data/SpectrumImage", MEMBERS_MAX, &names, &count);

    *first = *last = 0;
    if (rc == FLY_OK && count > 0) {
        char at[400];
        char *text;
        json_t *json;
        double a, b;

        snprintf(at, sizeof at, "Data/SpectrumImage/%.255s/SpectrumImageSettings", names[0]);
        text = fly_h5_text(file, at);
        json = text ? json_loads(text, 0, NULL) : NULL;
        a = fly_json_number(json, NULL, "startFramePosition", NULL);
        b = fly_json_number(json, NULL, "endFramePosition", NULL);
        if (a >= 1.0 && b >= a && b <= FLY_FRAMES_MAX) {
            *first = (int64_t)a;
            *last = (int64_t)b;
        }
        json_decref(json);
        free(text);
    }
    free(names);
    return rc;
}
