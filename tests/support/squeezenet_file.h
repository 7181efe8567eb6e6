/* tests/support/squeezenet_file.h: a safetensors file of SqueezeNet 1.1 with random weights, for tests
 * that ask how it computes, not what it sees. */
#ifndef FLY_TESTS_SQUEEZENET_FILE_H
#define FLY_TESTS_SQUEEZENET_FILE_H

#include <math.h>

#include "engine/base/rng.h"
#include "tests/support/tensors.h"

static inline void squeezenet_conv(struct tensors *make, struct fly_rng *rng, const char *name,
                                   int32_t in, int32_t out, int32_t kernel)
{
    const int64_t shape[4] = {out, in, kernel, kernel};
    int64_t count = shape[0] * shape[1] * shape[2] * shape[3];
    float *values = malloc((size_t)count * sizeof *values);
    char tensor[80];

    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((fly_rng_uniform(rng) - 0.5) * 2.0 * sqrt(6.0 / (double)(count / out)));
    snprintf(tensor, sizeof tensor, "%s.weight", name);
    tensors_add(make, tensor, 4, shape, values);
    for (int32_t i = 0; i < out; i++)
        values[i] = (float)((fly_rng_uniform(rng) - 0.5) * 0.1);
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    tensors_add(make, tensor, 1, shape, values);
    free(values);
}

/* metadata: a JSON object's text, or NULL. free(at) */
static inline struct bytes squeezenet_file(const char *metadata)
{
    static const struct {
        int32_t index, in, narrow, wide;
    } fires[8] = {{3, 64, 16, 64},   {4, 128, 16, 64},  {6, 128, 32, 128},  {7, 256, 32, 128},
                  {9, 256, 48, 192}, {10, 384, 48, 192}, {11, 384, 64, 256}, {12, 512, 64, 256}};
    struct fly_rng rng = {11};
    struct tensors make = {0};

    if (metadata)
        tensors_print(&make, "{\"__metadata__\":%s", metadata);
    squeezenet_conv(&make, &rng, "features.0", 3, 64, 3);
    for (int i = 0; i < 8; i++) {
        char name[64];

        snprintf(name, sizeof name, "features.%d.squeeze", fires[i].index);
        squeezenet_conv(&make, &rng, name, fires[i].in, fires[i].narrow, 1);
        snprintf(name, sizeof name, "features.%d.expand1x1", fires[i].index);
        squeezenet_conv(&make, &rng, name, fires[i].narrow, fires[i].wide, 1);
        snprintf(name, sizeof name, "features.%d.expand3x3", fires[i].index);
        squeezenet_conv(&make, &rng, name, fires[i].narrow, fires[i].wide, 3);
    }
    return tensors_finish(&make);
}

#endif
