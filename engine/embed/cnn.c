#include "engine/embed/cnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct fly_cnn_preproc fly_cnn_caffe = {
    .name = "caffe", .scale = 1.0, .mean = {103.939, 116.779, 123.68}, .sd = {1.0, 1.0, 1.0}};
const struct fly_cnn_preproc fly_cnn_tv = {
    .name = "tv", .scale = 255.0, .mean = {0.485, 0.456, 0.406}, .sd = {0.229, 0.224, 0.225}};

/* "104,117,123" */
static int read_triple(double *out, const char *text, const char *key, const char *file_name)
{
    const char *at = text;

    for (int i = 0; i < 3; i++) {
        char *end;

        out[i] = strtod(at, &end);
        if (end == at || !isfinite(out[i]) || *end != (i < 2 ? ',' : '\0'))
            return fly_fail(FLY_EWIRE, "weights %.100s: metadata %s is \"%.60s\", expected three numbers "
                            "with commas", file_name, key, text);
        at = end + 1;
    }
    return FLY_OK;
}

int fly_cnn_read_preproc(struct fly_cnn_preproc *preproc, const struct fly_safetensors *file,
                         const char *file_name)
{
    const char *kind = fly_safetensors_metadata(file, "preprocess");
    const char *range = fly_safetensors_metadata(file, "range");
    const char *mean = fly_safetensors_metadata(file, "mean");
    const char *sd = fly_safetensors_metadata(file, "std");
    struct fly_cnn_preproc said = *preproc;
    int rc = FLY_OK;

    if (kind) {
        if (strcmp(kind, "torchvision") == 0 || strcmp(kind, "tv") == 0)
            said = fly_cnn_tv;
        else if (strcmp(kind, "caffe") != 0)
            return fly_fail(FLY_EWIRE, "weights %.100s: metadata preprocess is \"%.40s\", known are caffe "
                            "and torchvision", file_name, kind);
        else if (strcmp(said.name, "caffe") != 0)
            said = fly_cnn_caffe;
    }
    if (range) {
        if (strcmp(range, "0..255") != 0 && strcmp(range, "0..1") != 0)
            return fly_fail(FLY_EWIRE, "weights %.100s: metadata range is \"%.40s\", known are 0..255 and "
                            "0..1", file_name, range);
        said.scale = strcmp(range, "0..1") == 0 ? 255.0 : 1.0;
    }
    if (mean)
        rc = read_triple(said.mean, mean, "mean", file_name);
    if (rc == FLY_OK && sd)
        rc = read_triple(said.sd, sd, "std", file_name);
    if (rc < 0)
        return rc;
    for (int i = 0; i < 3; i++)
        if (said.sd[i] <= 0.0)
            return fly_fail(FLY_EWIRE, "weights %.100s: metadata std %g is not above 0", file_name,
                            said.sd[i]);
    *preproc = said;
    return FLY_OK;
}

int fly_cnn_open(struct fly_cnn **out, int32_t px, int32_t batch, int32_t workers)
{
    struct fly_cnn *cnn = calloc(1, sizeof *cnn);
    int rc;

    if (!cnn)
        return fly_fail(FLY_ENOMEM, "network: no memory for its handle");
    cnn->px = px;
    cnn->batch = batch;
    rc = fly_dnn_open(&cnn->dnn, batch, (struct fly_dnn_shape){3, px, px}, workers);
    if (rc < 0) {
        free(cnn);
        return rc;
    }
    *out = cnn;
    return FLY_OK;
}

int fly_cnn_seal(struct fly_cnn *cnn, int32_t last, struct fly_embedder_facts *facts)
{
    int rc = fly_dnn_seal(cnn->dnn, last);

    if (rc < 0)
        return rc;
    cnn->last = fly_dnn_shape(cnn->dnn, last);
    FLY_ASSERT(cnn->last.channels <= FLY_CNN_WIDTH_CAP);
    facts->width = cnn->last.channels;
    facts->batch = cnn->batch;
    facts->input_px = cnn->px;
    facts->bytes = sizeof *cnn + fly_dnn_bytes(cnn->dnn);
    return FLY_OK;
}

int32_t fly_cnn_input_px(const struct fly_embedder_config *config, int32_t least_px, int32_t usual_px)
{
    int32_t px = config->input_px ? config->input_px : usual_px;

    if (px < least_px || px > FLY_EMBED_MAX_PX)
        return fly_fail(FLY_ERANGE, "%s: input of %d px, allowed are %d .. %d", config->model, px,
                        least_px, FLY_EMBED_MAX_PX);
    return px;
}

int32_t fly_cnn_batch_size(int32_t count, int32_t usual_px, int32_t px)
{
    int64_t fit = (int64_t)count * usual_px * usual_px / ((int64_t)px * px);

    return fit < 1 ? 1 : fit > count ? count : (int32_t)fit;
}

void fly_cnn_close(void *self)
{
    struct fly_cnn *cnn = self;

    if (!cnn)
        return;
    fly_dnn_close(&cnn->dnn);
    free(cnn);
}

static float network_value(const struct fly_cnn_preproc *preproc, double grey, int channel)
{
    return (float)((grey / preproc->scale - preproc->mean[channel]) / preproc->sd[channel]);
}

void fly_cnn_input(const void *self, const double *picture, float *input)
{
    const struct fly_cnn *cnn = self;
    size_t pixels = (size_t)cnn->px * (size_t)cnn->px;

    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < pixels; i++)
            input[(size_t)c * pixels + i] = network_value(&cnn->preproc, picture[i], c);
}

/* The last map of one image becomes its numbers: summed pixel after pixel, in double. */
static void pool(const struct fly_cnn *cnn, const float *map, float *out)
{
    int32_t channels = cnn->last.channels, pixels = cnn->last.h * cnn->last.w;
    double sum[FLY_CNN_WIDTH_CAP] = {0.0};

    if (cnn->tap == FLY_CNN_MAX) {
        memcpy(out, map, (size_t)channels * sizeof *out);
        for (int32_t i = 1; i < pixels; i++)
            for (int32_t c = 0; c < channels; c++) {
                float value = map[(size_t)i * (size_t)channels + (size_t)c];

                out[c] = value > out[c] ? value : out[c];
            }
        return;
    }
    for (int32_t i = 0; i < pixels; i++)
        for (int32_t c = 0; c < channels; c++)
            sum[c] += (double)map[(size_t)i * (size_t)channels + (size_t)c];
    for (int32_t c = 0; c < channels; c++)
        out[c] = (float)(sum[c] / pixels);
}

void fly_cnn_batch(void *self, int32_t worker, const double *pictures, int32_t n, float *out,
                   const struct fly_embed_levels *levels)
{
    struct fly_cnn *cnn = self;
    size_t pixels = (size_t)cnn->px * (size_t)cnn->px;
    size_t last = (size_t)cnn->last.h * (size_t)cnn->last.w * (size_t)cnn->last.channels;
    float *input = fly_dnn_input(cnn->dnn, worker);
    const float *result;

    FLY_ASSERT(n >= 1 && n <= cnn->batch && !levels);
    for (size_t i = 0; i < (size_t)n * pixels; i++)
        for (int c = 0; c < 3; c++)
            input[3 * i + (size_t)c] = network_value(&cnn->preproc, pictures[i], c);
    memset(input + 3 * pixels * (size_t)n, 0, 3 * pixels * (size_t)(cnn->batch - n) * sizeof *input);
    fly_dnn_run(cnn->dnn, worker);
    result = fly_dnn_result(cnn->dnn, worker);
    for (int32_t i = 0; i < n; i++)
        pool(cnn, result + (size_t)i * last, out + (size_t)i * (size_t)cnn->last.channels);
}

struct pass_on {
    fly_layer_seen *seen;
    void *ctx;
};

static void pass_on(void *ctx, int32_t conv, const char *name, struct fly_dnn_shape shape,
                    const float *map)
{
    const struct pass_on *to = ctx;

    to->seen(to->ctx, conv, name, shape.channels, shape.h, shape.w, map);
}

int fly_cnn_trace(void *self, const double *picture, const float *input, fly_layer_seen *seen,
                  void *ctx, float *out)
{
    struct fly_cnn *cnn = self;
    size_t pixels = (size_t)cnn->px * (size_t)cnn->px;
    float *to = fly_dnn_input(cnn->dnn, 0);
    struct pass_on pass = {seen, ctx};
    int rc;

    for (size_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++)
            to[3 * i + (size_t)c] = picture ? network_value(&cnn->preproc, picture[i], c)
                                            : input[(size_t)c * pixels + i];
    memset(to + 3 * pixels, 0, 3 * pixels * (size_t)(cnn->batch - 1) * sizeof *to);
    rc = fly_dnn_trace(cnn->dnn, pass_on, &pass);
    if (rc == FLY_OK && out)
        pool(cnn, fly_dnn_result(cnn->dnn, 0), out);
    return rc;
}
