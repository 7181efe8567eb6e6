/* engine/embed/dnn.h: a chain of convolutions, max pools and joins on a batch of fixed size.
 *
 * The one place that knows oneDNN (its 2.x C interface). A chain is built once, operation by
 * operation, then sealed, then run by up to `workers` threads at once: weights are shared, every
 * worker has its own activations and scratch memory, and inside each oneDNN call there is one thread.
 * Single precision with strict arithmetic throughout.
 *
 * An image's result does not depend on its place in the batch, on the other images, or on how many
 * workers there are: shapes are fixed, and every kernel is chosen for one thread (tests hold this).
 *
 * Shapes   images (batch, h, w, channels) float; weights (out, in, k, k); maps are named by the
 *          number that the call making them returned, the input is map 0.
 * Threads  building and sealing: one thread. run and its views: one thread a worker number.
 */
#ifndef FLY_EMBED_DNN_H
#define FLY_EMBED_DNN_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct fly_dnn;

struct fly_dnn_shape {
    int32_t channels, h, w;
};

/* FLY_ENOMEM, or FLY_EIO when oneDNN does not run on this machine. batch and workers >= 1. */
FLY_MUST_USE int fly_dnn_open(struct fly_dnn **out, int32_t batch, struct fly_dnn_shape input,
                              int32_t workers);
void fly_dnn_close(struct fly_dnn **dnn); /* NULL inside is fine */

/* Convolution, bias and ReLU. Each returns the number of the map it makes, or an error:
 *
 * FLY_ERANGE  the map is too small for the kernel, or oneDNN has none for this shape
 * FLY_ENOMEM
 */
struct fly_dnn_conv {
    const char *name;     /* for messages and traces; lives as long as the chain */
    int32_t out_channels;
    int32_t kernel;       /* 1, 3, ...: square */
    int32_t stride;
    int32_t pad;          /* zeros on each side */
    const float *weights; /* (out, in, k, k), finite; copied in the order that oneDNN wants */
    const float *bias;    /* (out); copied */
};
FLY_MUST_USE int32_t fly_dnn_conv(struct fly_dnn *dnn, int32_t map, const struct fly_dnn_conv *conv);

/* Max pool without padding. ceil: a last window that hangs over the edge counts (Caffe); else what
 * does not fill a window is left out. */
FLY_MUST_USE int32_t fly_dnn_pool(struct fly_dnn *dnn, int32_t map, int32_t kernel, int32_t stride,
                                  int ceil);

/* Channels of a, then channels of b; same h and w. */
FLY_MUST_USE int32_t fly_dnn_join(struct fly_dnn *dnn, int32_t a, int32_t b);

/* No more operations: `map` is the result. Makes the workers' memory. FLY_ENOMEM */
FLY_MUST_USE int fly_dnn_seal(struct fly_dnn *dnn, int32_t map);

struct fly_dnn_shape fly_dnn_shape(const struct fly_dnn *dnn, int32_t map);
size_t fly_dnn_bytes(const struct fly_dnn *dnn); /* weights and all workers' memory */

/* A worker's input and result, (batch, h, w, channels). Lent until close; the input keeps its content
 * through run, the result stands until the worker's next run. */
float *fly_dnn_input(struct fly_dnn *dnn, int32_t worker);
const float *fly_dnn_result(const struct fly_dnn *dnn, int32_t worker);

void fly_dnn_run(struct fly_dnn *dnn, int32_t worker);

/* Run as worker 0 and show the first image's map (channels, h, w) after every convolution.
 * FLY_ENOMEM. The convolution's number counts from 0 in the order of building. */
typedef void fly_dnn_seen(void *ctx, int32_t conv, const char *name, struct fly_dnn_shape shape,
                          const float *map);
FLY_MUST_USE int fly_dnn_trace(struct fly_dnn *dnn, fly_dnn_seen *seen, void *ctx);

#endif
