/* A folder as in golden/: params.json and arrays become an analysis and options. */
#include "plugin/analyze.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "stream/disk.h"

int fly_array_read(struct fly_array *array, const char *path)
{
    size_t len;
    int rc = fly_file_read(path, (size_t)1 << 36, &array->bytes, &len);

    if (rc == FLY_OK)
        rc = fly_npy_view(&array->npy, array->bytes, len, path);
    if (rc < 0)
        fly_array_free(array);
    return rc;
}

void fly_array_free(struct fly_array *array)
{
    free(array->bytes);
    *array = (struct fly_array){0};
}

int fly_array_is_int(const struct fly_array *array)
{
    return array->npy.type != FLY_NPY_F32 && array->npy.type != FLY_NPY_F64;
}

int64_t fly_array_int(const struct fly_array *array, int64_t i)
{
    size_t size = fly_npy_type_size(array->npy.type);
    const unsigned char *at = (const unsigned char *)array->npy.data + (size_t)i * size;
    int64_t i64;

    switch (array->npy.type) {
    case FLY_NPY_I64:
    case FLY_NPY_U64:
        memcpy(&i64, at, sizeof i64);
        return i64;
    case FLY_NPY_I8:
        return (int8_t)*at;
    case FLY_NPY_BOOL:
        return *at != 0;
    default:
        return (int64_t)fly_dtype_value((enum fly_dtype)array->npy.type, array->npy.data, (size_t)i);
    }
}

void fly_analysis_free(struct fly_analysis *analysis)
{
    fly_array_free(&analysis->haadf);
    fly_array_free(&analysis->cube);
    fly_array_free(&analysis->ev_y);
    fly_array_free(&analysis->ev_x);
    fly_array_free(&analysis->ev_ch);
    fly_array_free(&analysis->emb);
    fly_array_free(&analysis->truth);
}

/* One option from a number of params.json; absent keys leave the option alone. */
static int set_number(struct fly_options *options, json_t *params, const char *param, const char *key,
                      double scale, const char *origin)
{
    json_t *value = json_object_get(params, param);
    char text[64];

    if (!value)
        return FLY_OK;
    if (!json_is_number(value))
        return fly_fail(FLY_EWIRE, "%s: %s: a number is needed", origin, param);
    snprintf(text, sizeof text, "%.17g", json_number_value(value) * scale);
    return fly_options_set(options, key, text, origin);
}

static int set_text(struct fly_options *options, json_t *params, const char *param, const char *key,
                    const char *origin)
{
    json_t *value = json_object_get(params, param);

    if (!value)
        return FLY_OK;
    if (!json_is_string(value))
        return fly_fail(FLY_EWIRE, "%s: %s: a string is needed", origin, param);
    return fly_options_set(options, key, json_string_value(value), origin);
}

/* weights: "he:<seed>", "squeezenet:<path>" or a VGG16 file. A path may be relative to the case. */
static int set_weights(struct fly_options *options, json_t *params, const char *folder, const char *origin)
{
    const char *weights = json_string_value(json_object_get(params, "weights"));
    int squeezenet = weights && strncmp(weights, "squeezenet:", 11) == 0, rc;
    char path[2048];
    struct stat st;

    if (!weights)
        return FLY_OK;
    if (squeezenet)
        weights += 11;
    rc = fly_options_set(options, "embed.model", squeezenet ? "squeezenet1_1" : "vgg16", origin);
    if (rc == FLY_OK && strncmp(weights, "he:", 3) != 0 && strcmp(weights, "closed:") != 0 &&
        stat(weights, &st) != 0) {
        snprintf(path, sizeof path, "%s/%s", folder, weights);
        if (stat(path, &st) == 0)
            weights = path;
    }
    if (rc == FLY_OK)
        rc = fly_options_set(options, "embed.weights", weights, origin);
    if (rc == FLY_OK && !squeezenet)
        rc = set_text(options, params, "preproc", "embed.preproc", origin);
    if (rc == FLY_OK && !squeezenet)
        rc = set_text(options, params, "tap", "embed.tap", origin);
    return rc;
}

static int read_support(struct fly_analysis *a, json_t *params, const char *origin)
{
    json_t *support = json_object_get(params, "support"), *names = json_object_get(params, "classes");
    json_t *chips, *chip;
    size_t c, i;

    if (json_array_size(support) > FLY_CASE_CLASSES)
        return fly_fail(FLY_ERANGE, "%s: support has %zu classes, %d are allowed", origin,
                        json_array_size(support), FLY_CASE_CLASSES);
    json_array_foreach (support, c, chips) {
        const char *name = json_string_value(json_array_get(names, c));

        if (!json_is_array(chips) || json_array_size(chips) > FLY_CASE_SUPPORT)
            return fly_fail(FLY_EWIRE, "%s: support[%zu]: a list of at most %d chip indices is needed",
                            origin, c, FLY_CASE_SUPPORT);
        if (name)
            snprintf(a->class_name[c], sizeof a->class_name[c], "%s", name);
        else
            snprintf(a->class_name[c], sizeof a->class_name[c], "class %zu", c);
        json_array_foreach (chips, i, chip)
            a->support[c][a->support_len[c]++] = (int32_t)json_integer_value(chip);
        a->n_classes++;
    }
    return FLY_OK;
}

static int read_weights(struct fly_analysis *a, struct fly_options *options, json_t *params,
                        const char *origin)
{
    json_t *list = json_object_get(params, "ens_weights"), *pair;
    char text[96];
    size_t i;

    json_array_foreach (list, i, pair) {
        if (i == FLY_CASE_WEIGHTS || json_array_size(pair) != 2)
            return fly_fail(FLY_EWIRE, "%s: ens_weights: at most %d pairs are needed", origin,
                            FLY_CASE_WEIGHTS);
        for (size_t j = 0; j < 2; j++)
            a->weights[i][j] = json_number_value(json_array_get(pair, j));
        a->n_weights++;
    }
    if (!a->n_weights)
        return FLY_OK;
    snprintf(text, sizeof text, "%.17g, %.17g", a->weights[0][0], a->weights[0][1]);
    return fly_options_set(options, "fewshot.weights", text, origin);
}

static int read_if_there(struct fly_array *array, const char *folder, const char *name)
{
    char path[2048];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    return stat(path, &st) == 0 ? fly_array_read(array, path) : FLY_OK;
}

static int read_arrays(struct fly_analysis *a, const char *folder)
{
    char path[2048];
    int rc;

    snprintf(path, sizeof path, "%s/haadf.npy", folder);
    rc = fly_array_read(&a->haadf, path);
    if (rc == FLY_OK)
        rc = read_if_there(&a->cube, folder, "cube");
    if (rc == FLY_OK && !a->cube.bytes) {
        rc = read_if_there(&a->ev_y, folder, "ev_y");
        if (rc == FLY_OK)
            rc = read_if_there(&a->ev_x, folder, "ev_x");
        if (rc == FLY_OK)
            rc = read_if_there(&a->ev_ch, folder, "ev_ch");
    }
    if (rc == FLY_OK)
        rc = read_if_there(&a->truth, folder, "truth_chip");
    return rc;
}

static int read_params(struct fly_analysis *a, struct fly_options *o, json_t *params, const char *folder,
                       const char *origin)
{
    static const struct {
        const char *param, *key;
        double scale;
    } numbers[] = {
        {"chip", "chip.size_px", 1}, {"rows", "chip.rows", 1},         {"cols", "chip.cols", 1},
        {"lo", "haadf.lo", 1},       {"hi", "haadf.hi", 1},            {"px_nm", "pixel_nm", 1},
        {"n_ch", "eds.n_channels", 1}, {"e0", "eds.ev_offset", 1000}, {"de", "eds.ev_per_channel", 1000},
        {"size", "embed.input_px", 1}, {"k", "tree.k", 1},
    };
    int rc = fly_options_set(o, "profile", "paper", origin);

    for (size_t i = 0; rc == FLY_OK && i < sizeof numbers / sizeof *numbers; i++)
        rc = set_number(o, params, numbers[i].param, numbers[i].key, numbers[i].scale, origin);
    if (rc == FLY_OK)
        rc = fly_options_set(o, "eds.line_table", "golden", origin);
    if (rc == FLY_OK && json_is_string(json_object_get(params, "eds_method")))
        rc = fly_options_set(o, "eds.method", json_string_value(json_object_get(params, "eds_method")), origin);
    if (rc == FLY_OK)
        rc = set_weights(o, params, folder, origin);
    if (rc == FLY_OK)
        rc = read_support(a, params, origin);
    if (rc == FLY_OK)
        rc = read_weights(a, o, params, origin);
    return rc;
}

int fly_case_read(struct fly_analysis *analysis, struct fly_options *options, const char *folder)
{
    char path[2048];
    json_error_t error;
    json_t *params;
    int rc;

    snprintf(path, sizeof path, "%s/params.json", folder);
    params = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!params)
        return fly_fail(FLY_EWIRE, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    analysis->is_case = 1;
    rc = read_params(analysis, options, params, folder, path);
    json_decref(params);
    if (rc == FLY_OK)
        rc = read_arrays(analysis, folder);
    return rc;
}
