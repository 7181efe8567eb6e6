/* engine/embed/kind.h: what one kind of embedder gives to the room's door (embed.h); inside the room.
 *
 * A kind is a table of functions over its own state. open fills the facts; whatever it then does to
 * one batch depends on the batch's pictures alone, each picture's numbers on that picture alone.
 *
 * Threads  open, close, input and trace: one thread. batch: at once from up to `width` workers, each
 *          with its own worker number; nothing written is shared between two of them.
 */
#ifndef FLY_EMBED_KIND_H
#define FLY_EMBED_KIND_H

#include "engine/embed/embed.h"

enum { FLY_EMBED_NAME_CAP = 192, FLY_EMBED_MAX_PX = 1024 };

struct fly_embedder_facts {
    int32_t width;    /* D */
    int32_t batch;    /* pictures of one job, >= 1 */
    int32_t input_px; /* P */
    size_t bytes;     /* held: weights, tables, every worker's workspace */
    int levels;       /* 1: knows how noise moves its numbers; 0: levels are never asked for */
    char name[FLY_EMBED_NAME_CAP];
};

struct fly_embedder_kind {
    const char *model; /* embed.model of the configuration */

    /* *self is made for the caller on success; after an error nothing is left behind. */
    int (*open)(void **self, struct fly_embedder_facts *facts,
                const struct fly_embedder_config *config);
    void (*close)(void *self);

    /* pictures (n, P, P), 1 <= n <= batch; out (n, D); levels: of these n, or NULL */
    void (*batch)(void *self, int32_t worker, const double *pictures, int32_t n, float *out,
                  const struct fly_embed_levels *levels);

    /* NULL in kinds without a network */
    void (*input)(const void *self, const double *picture, float *input);
    int (*trace)(void *self, const double *picture, const float *input, fly_layer_seen *seen,
                 void *ctx, float *out);
};

extern const struct fly_embedder_kind fly_kind_spectral;
extern const struct fly_embedder_kind fly_kind_squeezenet1_1;
extern const struct fly_embedder_kind fly_kind_vgg16;

#endif
