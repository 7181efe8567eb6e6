/* engine/embed/vgg16_weights.h: VGG16's 13 convolutions, and where their numbers come from.
 *
 * Three sources: a safetensors file, and two synthetic ones that prove arithmetic and need no file:
 * "he:SEED" (golden definition 5, He-uniform, bit-exact in C) and "closed:" (golden/cnn).
 *
 * Layers   0 .. 12, conv1_1 .. conv5_3. Weights (out, in, 3, 3), bias (out).
 * Threads  any.
 */
#ifndef FLY_EMBED_VGG16_WEIGHTS_H
#define FLY_EMBED_VGG16_WEIGHTS_H

#include "engine/embed/safetensors.h"

enum {
    FLY_VGG16_LAYERS = 13,
    FLY_VGG16_WEIGHTS_CAP = 512 * 512 * 9, /* floats of the largest layer */
    FLY_VGG16_BIAS_CAP = 512,
};

struct fly_vgg16_layer {
    const char *name;     /* "conv1_1" */
    int32_t torch_index;  /* of torchvision's `features` */
    int32_t in, out;      /* channels */
    int32_t pool;         /* 1: a 2 x 2 max pool follows */
};
extern const struct fly_vgg16_layer fly_vgg16_layers[FLY_VGG16_LAYERS];

struct fly_vgg16_source {
    const struct fly_safetensors *file; /* NULL: synthetic */
    int closed;                         /* of the synthetic ones: closed form, else He */
    uint64_t seed;                      /* of He, below 2^24 */
};

/* "he:SEED" or "closed:". FLY_ERANGE says what is allowed. */
FLY_MUST_USE int fly_vgg16_source_parse(struct fly_vgg16_source *source, const char *text);

/* Fill the layer's weights and bias. Names in a file: features.N (torchvision) or conv1_1, alone or
 * after vgg16. or features.; FLY_EWIRE as fly_safetensors_read. */
FLY_MUST_USE int fly_vgg16_layer_read(const struct fly_vgg16_source *source, int32_t layer,
                                      float *weights, float *bias);

#endif
