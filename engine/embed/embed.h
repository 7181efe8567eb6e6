/* engine/embed/embed.h: what an embedder is: a chip's picture in, D numbers out.
 *
 * An embedding is a function of its chip alone. Work goes in batches of one fixed size, padded with
 * zeros, in a fixed order of summation, so that neither the place in a batch, nor what else is in
 * it, nor the number of threads changes a bit (a test holds this).
 *
 * A new embedder is one file with one `struct fly_embedder_kind` and one line in embed.c's table.
 *
 * squeezenet1_1 has one tap and its weights know their preprocessing: tap and preproc are not looked
 * at. spectral looks at side_px alone.
 *
 * Shapes   pictures (n, P, P) double 0..255, mapped and resized (engine/chip/prepare.h) to the P that
 *          fly_embedder_input_px tells; out (n, D) float.
 * Threads  embed() is called from one thread; parallel work goes through the executor.
 */
#ifndef FLY_EMBED_EMBED_H
#define FLY_EMBED_EMBED_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"

struct fly_embedder;

struct fly_embedder_config {
    const char *model;      /* "spectral", "squeezenet1_1", "vgg16" */
    int32_t side_px;        /* of the chips that will come, 4 .. 1024 */
    int32_t input_px;       /* network input, 0: the model's default (vgg16 32, squeezenet1_1 64, spectral
                             * side_px and no other); vgg16 32 .. 1024, squeezenet1_1 17 .. 1024 */
    const char *tap;        /* vgg16: "conv5_3_gap", "conv5_3_gmp", "pool5_gap" (default when NULL) */
    const char *preproc;    /* vgg16: "caffe", "tv", or NULL: what the weights' metadata say, else caffe */
    const char *weights;    /* vgg16 only: "he:SEED" or "closed:"; NULL when bytes are given */
    const void *weight_bytes; /* a safetensors file's bytes, lent until open returns */
    size_t weight_len;
    const char *weight_name;  /* for messages */
    int32_t width;          /* threads the executor will use, 1 .. 64: workspace is made for each */
};

/* Read and check weights, prepare everything; may take seconds (vgg16).
 *
 * FLY_ERANGE  unknown model, tap or preproc, or a size the model cannot take; the message lists
 *             what is allowed
 * FLY_EWIRE   the weights are not what the model needs: the tensor and its shape are named
 * FLY_ENOMEM
 */
FLY_MUST_USE int fly_embedder_open(struct fly_embedder **out, const struct fly_embedder_config *config);
void fly_embedder_close(struct fly_embedder **embedder); /* NULL inside is fine */

int32_t fly_embedder_width(const struct fly_embedder *embedder);    /* D */
int32_t fly_embedder_batch(const struct fly_embedder *embedder);    /* chips of one job, >= 1 */
const char *fly_embedder_name(const struct fly_embedder *embedder); /* "vgg16/pool5_gap/32px/caffe/he:1" */
size_t fly_embedder_bytes(const struct fly_embedder *embedder);     /* memory held, weights included */

/* Embed n pictures. One job of the executor takes up to fly_embedder_batch of them. */
void fly_embedder_run(struct fly_embedder *embedder, const double *pictures, int32_t n, float *out,
                      const struct fly_exec *exec);

/* Pictures as if each had been measured so many times shorter, to compare pictures of unequal dose by. (n, L) and
 * (n, L, D), of n pictures. */
struct fly_embed_levels {
    int32_t n;               /* L >= 1 */
    const double *exposures; /* (n, L) >= 1; where it is 1 nothing is missing, and out is as measured */
    float *out;              /* (n, L, D) what is to be expected of the embedding */
    float *missing;          /* (n, L) squared scatter about that, all D numbers together, that a picture of that exposure
                              * would have more than this one */
};

/* Embed n pictures, as measured and at levels. Only of embedders that level. */
void fly_embedder_run_levels(struct fly_embedder *embedder, const double *pictures, int32_t n, float *out,
                             const struct fly_embed_levels *levels, const struct fly_exec *exec);
int fly_embedder_levels(const struct fly_embedder *embedder); /* 1: spectral */

/* The network's input of one picture, (3, P, P) float, channel order and preprocessing applied: for
 * goldens. FLY_ERANGE for spectral, which has none. */
FLY_MUST_USE int fly_embedder_input(const struct fly_embedder *embedder, const double *picture,
                                    float *input);
int32_t fly_embedder_input_px(const struct fly_embedder *embedder); /* P; side_px for spectral */

/* Called with every convolution's post-ReLU map, (channels, h, w) float, while one picture or one ready
 * input (3, P, P) runs: golden layer traces. Give picture or input, the other NULL. */
typedef void fly_layer_seen(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h,
                            int32_t w, const float *map);
FLY_MUST_USE int fly_embedder_trace(struct fly_embedder *embedder, const double *picture,
                                    const float *input, fly_layer_seen *seen, void *ctx, float *out);

#endif
