/* SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360; version 1.1 of its authors' repository) up to
 * its last fire module, averaged over the picture: 512 numbers. It has one tap and its weights know
 * their preprocessing, so the configuration's tap and preproc do not apply. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/cnn.h"

/* 17 px is the smallest picture that leaves every max pool a pixel. 16 pictures of 64 px take about 6 ms
 * of one core; batches of 8 or 32 are no faster. */
enum { LEAST_PX = 17, USUAL_PX = 64, USUAL_BATCH = 16 };

enum { FIRES = 8, WEIGHTS_CAP = 256 * 64 * 9, BIAS_CAP = 256 };

static const struct fire {
    const char *squeeze, *expand1, *expand3;
    int32_t in, narrow, wide; /* channels: in, squeezed, out of each expand */
    int32_t pool;             /* 1: a max pool comes before it */
} fires[FIRES] = {
    {"features.3.squeeze", "features.3.expand1x1", "features.3.expand3x3", 64, 16, 64, 1},
    {"features.4.squeeze", "features.4.expand1x1", "features.4.expand3x3", 128, 16, 64, 0},
    {"features.6.squeeze", "features.6.expand1x1", "features.6.expand3x3", 128, 32, 128, 1},
    {"features.7.squeeze", "features.7.expand1x1", "features.7.expand3x3", 256, 32, 128, 0},
    {"features.9.squeeze", "features.9.expand1x1", "features.9.expand3x3", 256, 48, 192, 1},
    {"features.10.squeeze", "features.10.expand1x1", "features.10.expand3x3", 384, 48, 192, 0},
    {"features.11.squeeze", "features.11.expand1x1", "features.11.expand3x3", 384, 64, 256, 0},
    {"features.12.squeeze", "features.12.expand1x1", "features.12.expand3x3", 512, 64, 256, 0},
};

/* What building needs at hand. */
struct build {
    struct fly_dnn *dnn;
    const struct fly_safetensors *file;
    float *weights; /* (WEIGHTS_CAP) */
    float bias[BIAS_CAP];
};

static int32_t add(struct build *b, int32_t map, const char *name, int32_t in, int32_t out,
                   int32_t kernel, int32_t stride)
{
    const int64_t weight_shape[4] = {out, in, kernel, kernel}, bias_shape[1] = {out};
    char tensor[48];
    int rc;

    FLY_ASSERT(out * in * kernel * kernel <= WEIGHTS_CAP && out <= BIAS_CAP);
    snprintf(tensor, sizeof tensor, "%s.weight", name);
    rc = fly_safetensors_read(b->file, tensor, 4, weight_shape, b->weights);
    if (rc < 0)
        return rc;
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    rc = fly_safetensors_read(b->file, tensor, 1, bias_shape, b->bias);
    if (rc < 0)
        return rc;
    return fly_dnn_conv(b->dnn, map,
                        &(struct fly_dnn_conv){.name = name,
                                               .out_channels = out,
                                               .kernel = kernel,
                                               .stride = stride,
                                               .pad = stride == 1 ? kernel / 2 : 0,
                                               .weights = b->weights,
                                               .bias = b->bias});
}

static int32_t add_fire(struct build *b, int32_t map, const struct fire *fire)
{
    int32_t narrow, one, three;

    if (fire->pool)
        map = fly_dnn_pool(b->dnn, map, 3, 2, 1);
    if (map < 0)
        return map;
    narrow = add(b, map, fire->squeeze, fire->in, fire->narrow, 1, 1);
    if (narrow < 0)
        return narrow;
    one = add(b, narrow, fire->expand1, fire->narrow, fire->wide, 1, 1);
    if (one < 0)
        return one;
    three = add(b, narrow, fire->expand3, fire->narrow, fire->wide, 3, 1);
    return three < 0 ? three : fly_dnn_join(b->dnn, one, three);
}

static int32_t build(struct fly_dnn *dnn, const struct fly_safetensors *file)
{
    struct build b = {.dnn = dnn, .file = file};
    int32_t map;

    b.weights = malloc(WEIGHTS_CAP * sizeof *b.weights);
    if (!b.weights)
        return fly_fail(FLY_ENOMEM, "squeezenet1_1: no memory to read its weights");
    map = add(&b, 0, "features.0", 3, 64, 3, 2);
    for (int i = 0; i < FIRES && map >= 0; i++)
        map = add_fire(&b, map, &fires[i]);
    free(b.weights);
    return map;
}

static int squeezenet_open(void **self, struct fly_embedder_facts *facts,
                           const struct fly_embedder_config *config)
{
    const char *name = config->weight_name ? config->weight_name : "(unnamed)";
    /* Caffe's means as its authors rounded them, should the file be silent. */
    struct fly_cnn_preproc preproc = {
        .name = "caffe", .scale = 1.0, .mean = {104.0, 117.0, 123.0}, .sd = {1.0, 1.0, 1.0}};
    int32_t px = fly_cnn_input_px(config, LEAST_PX, USUAL_PX);
    struct fly_safetensors *file = NULL;
    struct fly_cnn *cnn = NULL;
    int32_t last;
    int rc;

    if (px < 0)
        return px;
    if (!config->weight_bytes)
        return fly_fail(FLY_ERANGE, "squeezenet1_1: needs weights: a safetensors file");
    rc = fly_safetensors_open(&file, config->weight_bytes, config->weight_len, name);
    if (rc < 0)
        return rc;
    rc = fly_cnn_read_preproc(&preproc, file, name);
    if (rc == FLY_OK)
        rc = fly_cnn_open(&cnn, px, fly_cnn_batch_size(USUAL_BATCH, USUAL_PX, px), config->width);
    if (rc == FLY_OK) {
        cnn->preproc = preproc;
        cnn->tap = FLY_CNN_MEAN;
        last = build(cnn->dnn, file);
        rc = last < 0 ? last : fly_cnn_seal(cnn, last, facts);
    }
    fly_safetensors_close(&file);
    if (rc < 0) {
        fly_cnn_close(cnn);
        return rc;
    }
    snprintf(facts->name, sizeof facts->name, "squeezenet1_1/gap/%dpx/%s", px, name);
    *self = cnn;
    return FLY_OK;
}

const struct fly_embedder_kind fly_kind_squeezenet1_1 = {
    .model = "squeezenet1_1",
    .open = squeezenet_open,
    .close = fly_cnn_close,
    .batch = fly_cnn_batch,
    .input = fly_cnn_input,
    .trace = fly_cnn_trace,
};
