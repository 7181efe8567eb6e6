/* engine/embed/cnn.h: what the convolutional embedders share: a grey picture becomes a network's input,
 * a last map becomes D numbers. Their layers and weights are their own (vgg16.c, squeezenet1_1.c).
 *
 * Input channel c of a pixel g (0..255) is (g / scale - mean[c]) / sd[c], in double, then rounded to
 * float. A grey picture is repeated on the three channels, so their order only orders mean and sd.
 *
 * Shapes   pictures (n, P, P) double; last map (batch, h, w, D); out (n, D).
 * Threads  as kind.h says.
 */
#ifndef FLY_EMBED_CNN_H
#define FLY_EMBED_CNN_H

#include "engine/embed/dnn.h"
#include "engine/embed/kind.h"
#include "engine/embed/safetensors.h"

enum { FLY_CNN_WIDTH_CAP = 512 };

struct fly_cnn_preproc {
    const char *name; /* "caffe", "tv": of the embedder's name */
    double scale;
    double mean[3], sd[3];
};

/* Golden definition 4. */
extern const struct fly_cnn_preproc fly_cnn_caffe; /* B, G, R in 0..255 minus the mean */
extern const struct fly_cnn_preproc fly_cnn_tv;    /* R, G, B in 0..1, ImageNet's mean and sd */

/* What the weights' metadata say of their input (preprocess, range, mean, std), over what *preproc
 * holds. FLY_EWIRE when one of them cannot be understood; *preproc is then untouched. */
FLY_MUST_USE int fly_cnn_read_preproc(struct fly_cnn_preproc *preproc,
                                      const struct fly_safetensors *file, const char *file_name);

enum fly_cnn_tap { FLY_CNN_MEAN, FLY_CNN_MAX };

struct fly_cnn {
    struct fly_dnn *dnn;
    struct fly_cnn_preproc preproc;
    enum fly_cnn_tap tap;       /* how the last map becomes one number a channel */
    struct fly_dnn_shape last;
    int32_t batch, px;
};

/* An empty network for pictures of px, batch of them at once. FLY_ENOMEM, FLY_EIO */
FLY_MUST_USE int fly_cnn_open(struct fly_cnn **out, int32_t px, int32_t batch, int32_t workers);

/* Map `last` is the result: seal, and fill all facts but the name. FLY_ENOMEM */
FLY_MUST_USE int fly_cnn_seal(struct fly_cnn *cnn, int32_t last, struct fly_embedder_facts *facts);

/* The size of network input that config asks for, or FLY_ERANGE. */
FLY_MUST_USE int32_t fly_cnn_input_px(const struct fly_embedder_config *config, int32_t least_px,
                                      int32_t usual_px);

/* Pictures of px * px in a batch that has the work of `count` pictures of usual_px: 1 .. count. */
int32_t fly_cnn_batch_size(int32_t count, int32_t usual_px, int32_t px);

struct fly_embed_levels;

/* The entries of a kind's table; self is a struct fly_cnn. close takes NULL. */
void fly_cnn_close(void *self);
void fly_cnn_batch(void *self, int32_t worker, const double *pictures, int32_t n, float *out,
                   const struct fly_embed_levels *levels);
void fly_cnn_input(const void *self, const double *picture, float *input);
int fly_cnn_trace(void *self, const double *picture, const float *input, fly_layer_seen *seen,
                  void *ctx, float *out);

#endif
