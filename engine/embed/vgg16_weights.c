#include "engine/embed/vgg16_weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/rng.h"

const struct fly_vgg16_layer fly_vgg16_layers[FLY_VGG16_LAYERS] = {
    {"conv1_1", 0, 3, 64, 0},     {"conv1_2", 2, 64, 64, 1},    {"conv2_1", 5, 64, 128, 0},
    {"conv2_2", 7, 128, 128, 1},  {"conv3_1", 10, 128, 256, 0}, {"conv3_2", 12, 256, 256, 0},
    {"conv3_3", 14, 256, 256, 1}, {"conv4_1", 17, 256, 512, 0}, {"conv4_2", 19, 512, 512, 0},
    {"conv4_3", 21, 512, 512, 1}, {"conv5_1", 24, 512, 512, 0}, {"conv5_2", 26, 512, 512, 0},
    {"conv5_3", 28, 512, 512, 0},
};

int fly_vgg16_source_parse(struct fly_vgg16_source *source, const char *text)
{
    uint64_t seed = 0;

    if (strcmp(text, "closed:") == 0) {
        *source = (struct fly_vgg16_source){.closed = 1};
        return FLY_OK;
    }
    if (strncmp(text, "he:", 3) == 0 && text[3]) {
        const char *at = text + 3;

        for (; *at >= '0' && *at <= '9' && seed < UINT64_C(1) << 24; at++)
            seed = seed * 10 + (uint64_t)(*at - '0');
        if (*at == '\0' && seed < UINT64_C(1) << 24) {
            *source = (struct fly_vgg16_source){.seed = seed};
            return FLY_OK;
        }
    }
    return fly_fail(FLY_ERANGE, "vgg16: weights \"%.64s\", there are he:SEED with SEED 0 .. 16777215, "
                    "closed:, or a safetensors file", text);
}

/* Golden definition 5, every step in float; the counter's upper bits are the layer's. */
static void fill_he(uint64_t seed, int32_t layer, float *weights, float *bias)
{
    const struct fly_vgg16_layer *l = &fly_vgg16_layers[layer];
    uint64_t base = (seed << 40) + ((uint64_t)layer << 32);
    uint64_t count = (uint64_t)l->out * (uint64_t)l->in * 9;
    float reach = 2.0f * sqrtf(6.0f / (float)(9 * l->in));

    for (uint64_t k = 0; k < count; k++)
        weights[k] = ((float)(fly_rng_at(base + k) >> 40) * 0x1p-24f - 0.5f) * reach;
    for (uint64_t k = 0; k < (uint64_t)l->out; k++)
        bias[k] = ((float)(fly_rng_at(base + (UINT64_C(1) << 31) + k) >> 40) * 0x1p-24f - 0.5f) * 0.1f;
}

/* golden/cnn: another counter, and double up to the last step. */
static void fill_closed(int32_t layer, float *weights, float *bias)
{
    const struct fly_vgg16_layer *l = &fly_vgg16_layers[layer];
    uint64_t base = (uint64_t)(layer + 1) << 32, count = (uint64_t)l->out * (uint64_t)l->in * 9;
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
    double reach = sqrt(6.0 / (9.0 * l->in));

    for (uint64_t k = 0; k < count; k++) {
        double u = (double)(fly_mix64((base | k) + step) >> 40) * 0x1p-24;

        weights[k] = (float)((2.0 * u - 1.0) * reach);
    }
    for (uint64_t k = 0; k < (uint64_t)l->out; k++) {
        double u = (double)(fly_mix64((base | ((UINT64_C(1) << 31) + k)) + step) >> 40) * 0x1p-24;

        bias[k] = (float)((2.0 * u - 1.0) * 0.01);
    }
}

static int read_file(const struct fly_safetensors *file, int32_t layer, float *weights, float *bias)
{
    const struct fly_vgg16_layer *l = &fly_vgg16_layers[layer];
    const int64_t weight_shape[4] = {l->out, l->in, 3, 3}, bias_shape[1] = {l->out};
    char prefix[4][32], name[160];
    int p;
    int rc;

    snprintf(prefix[0], sizeof prefix[0], "features.%d", l->torch_index);
    snprintf(prefix[1], sizeof prefix[1], "%s", l->name);
    snprintf(prefix[2], sizeof prefix[2], "vgg16.%s", l->name);
    snprintf(prefix[3], sizeof prefix[3], "features.%s", l->name);
    for (p = 0; p < 4; p++) {
        snprintf(name, sizeof name, "%s.weight", prefix[p]);
        if (fly_safetensors_find(file, name))
            break;
    }
    if (p == 4) /* the message names torchvision's */
        p = 0;
    snprintf(name, sizeof name, "%s.weight", prefix[p]);
    rc = fly_safetensors_read(file, name, 4, weight_shape, weights);
    if (rc < 0)
        return rc;
    snprintf(name, sizeof name, "%s.bias", prefix[p]);
    return fly_safetensors_read(file, name, 1, bias_shape, bias);
}

int fly_vgg16_layer_read(const struct fly_vgg16_source *source, int32_t layer, float *weights,
                         float *bias)
{
    FLY_ASSERT(layer >= 0 && layer < FLY_VGG16_LAYERS);
    if (source->file)
        return read_file(source->file, layer, weights, bias);
    if (source->closed)
        fill_closed(layer, weights, bias);
    else
        fill_he(source->seed, layer, weights, bias);
    return FLY_OK;
}
