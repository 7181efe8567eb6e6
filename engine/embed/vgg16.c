/* VGG16's convolutions (Simonyan and Zisserman 2014, arXiv:1409.1556, configuration D) with the taps of
 * golden definition 5: the last map, or its 2 x 2 max pool, averaged or maximised over the picture. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/cnn.h"
#include "engine/embed/vgg16_weights.h"

/* Measured at 32 px on one core: batches of 1, 4, 6, 8, 17 and 34 run 145, 168, 184, 190, 196 and 199
 * chips/s. A job of 6 takes 33 ms, and two workers finish a row of 24, 33 or 34 chips with few or no
 * places of a batch left empty; larger batches gain little and make a changed chip wait. */
enum { LEAST_PX = 32, USUAL_PX = 32, USUAL_BATCH = 6 };

static const struct tap {
    const char *name;
    enum fly_cnn_tap how;
    int pool; /* of the last map before that */
} taps[] = {
    {"pool5_gap", FLY_CNN_MEAN, 1}, /* the default */
    {"conv5_3_gap", FLY_CNN_MEAN, 0},
    {"conv5_3_gmp", FLY_CNN_MAX, 0},
};

enum { TAPS = sizeof taps / sizeof taps[0] };

static const struct tap *find_tap(const char *name)
{
    if (!name)
        return &taps[0];
    for (int i = 0; i < TAPS; i++)
        if (strcmp(name, taps[i].name) == 0)
            return &taps[i];
    (void)fly_fail(FLY_ERANGE, "vgg16: tap %.40s, there are conv5_3_gap, conv5_3_gmp, pool5_gap", name);
    return NULL;
}

static int choose_preproc(struct fly_cnn_preproc *preproc, const struct fly_embedder_config *config,
                          const struct fly_safetensors *file)
{
    *preproc = fly_cnn_caffe;
    if (config->preproc) {
        if (strcmp(config->preproc, "tv") == 0)
            *preproc = fly_cnn_tv;
        else if (strcmp(config->preproc, "caffe") != 0)
            return fly_fail(FLY_ERANGE, "vgg16: preproc %.40s, there are caffe and tv", config->preproc);
        return FLY_OK;
    }
    return file ? fly_cnn_read_preproc(preproc, file, config->weight_name) : FLY_OK;
}

/* The layers, up to the tap. Returns the last map. */
static int32_t build(struct fly_dnn *dnn, const struct fly_vgg16_source *source, const struct tap *tap)
{
    float *weights = malloc(FLY_VGG16_WEIGHTS_CAP * sizeof *weights);
    float bias[FLY_VGG16_BIAS_CAP];
    int32_t map = 0;

    if (!weights)
        return fly_fail(FLY_ENOMEM, "vgg16: no memory to read its weights");
    for (int32_t i = 0; i < FLY_VGG16_LAYERS && map >= 0; i++) {
        const struct fly_vgg16_layer *layer = &fly_vgg16_layers[i];
        int rc = fly_vgg16_layer_read(source, i, weights, bias);

        map = rc < 0 ? rc
                     : fly_dnn_conv(dnn, map, &(struct fly_dnn_conv){.name = layer->name,
                                                                     .out_channels = layer->out,
                                                                     .kernel = 3,
                                                                     .stride = 1,
                                                                     .pad = 1,
                                                                     .weights = weights,
                                                                     .bias = bias});
        if (map >= 0 && layer->pool)
            map = fly_dnn_pool(dnn, map, 2, 2, 0);
    }
    free(weights);
    return map >= 0 && tap->pool ? fly_dnn_pool(dnn, map, 2, 2, 0) : map;
}

static int open_from(struct fly_cnn **out, struct fly_embedder_facts *facts,
                     const struct fly_embedder_config *config, const struct fly_vgg16_source *source)
{
    const struct tap *tap = find_tap(config->tap);
    int32_t px = fly_cnn_input_px(config, LEAST_PX, USUAL_PX);
    struct fly_cnn_preproc preproc;
    struct fly_cnn *cnn = NULL;
    int32_t last;
    int rc;

    if (!tap)
        return FLY_ERANGE;
    if (px < 0)
        return px;
    rc = choose_preproc(&preproc, config, source->file);
    if (rc == FLY_OK)
        rc = fly_cnn_open(&cnn, px, fly_cnn_batch_size(USUAL_BATCH, USUAL_PX, px), config->width);
    if (rc < 0)
        return rc;
    cnn->preproc = preproc;
    cnn->tap = tap->how;
    last = build(cnn->dnn, source, tap);
    rc = last < 0 ? last : fly_cnn_seal(cnn, last, facts);
    if (rc < 0) {
        fly_cnn_close(cnn);
        return rc;
    }
    snprintf(facts->name, sizeof facts->name, "vgg16/%s/%dpx/%s/%s", tap->name, px, preproc.name,
             source->file ? config->weight_name : config->weights);
    *out = cnn;
    return FLY_OK;
}

static int vgg16_open(void **self, struct fly_embedder_facts *facts,
                      const struct fly_embedder_config *config)
{
    struct fly_vgg16_source source = {0};
    struct fly_safetensors *file = NULL;
    struct fly_embedder_config named = *config;
    struct fly_cnn *cnn = NULL;
    int rc;

    if (!named.weight_name)
        named.weight_name = "(unnamed)";
    if (!config->weights == !config->weight_bytes)
        return fly_fail(FLY_ERANGE, "vgg16: needs weights: he:SEED, closed:, or a safetensors file");
    if (config->weights) {
        rc = fly_vgg16_source_parse(&source, config->weights);
    } else {
        rc = fly_safetensors_open(&file, config->weight_bytes, config->weight_len, named.weight_name);
        source.file = file;
    }
    if (rc == FLY_OK)
        rc = open_from(&cnn, facts, &named, &source);
    fly_safetensors_close(&file);
    if (rc == FLY_OK)
        *self = cnn;
    return rc;
}

const struct fly_embedder_kind fly_kind_vgg16 = {
    .model = "vgg16",
    .open = vgg16_open,
    .close = fly_cnn_close,
    .batch = fly_cnn_batch,
    .input = fly_cnn_input,
    .trace = fly_cnn_trace,
};
