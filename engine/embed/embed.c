#include "engine/embed/embed.h"

#include <stdlib.h>
#include <string.h>

#include "engine/embed/kind.h"

static const struct fly_embedder_kind *const kinds[] = {
    &fly_kind_spectral,
    &fly_kind_squeezenet1_1,
    &fly_kind_vgg16,
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct fly_embedder {
    const struct fly_embedder_kind *kind;
    void *self;
    struct fly_embedder_facts facts;
    int32_t workers;
};

int fly_embedder_open(struct fly_embedder **out, const struct fly_embedder_config *config)
{
    const struct fly_embedder_kind *kind = NULL;
    struct fly_embedder *embedder;
    int rc;

    for (int i = 0; i < KINDS; i++)
        if (config->model && strcmp(config->model, kinds[i]->model) == 0)
            kind = kinds[i];
    if (!kind)
        return fly_fail(FLY_ERANGE, "embedder %.64s: unknown, there are spectral, squeezenet1_1, vgg16",
                        config->model ? config->model : "(none)");
    if (config->side_px < 4 || config->side_px > FLY_EMBED_MAX_PX)
        return fly_fail(FLY_ERANGE, "%s: chips of %d px, 4 .. %d can be embedded", kind->model,
                        config->side_px, FLY_EMBED_MAX_PX);
    if (config->width < 1 || config->width > 64)
        return fly_fail(FLY_ERANGE, "%s: %d threads, 1 .. 64 are allowed", kind->model, config->width);

    embedder = calloc(1, sizeof *embedder);
    if (!embedder)
        return fly_fail(FLY_ENOMEM, "%s: no memory for its handle", kind->model);
    embedder->kind = kind;
    embedder->workers = config->width;
    rc = kind->open(&embedder->self, &embedder->facts, config);
    if (rc < 0) {
        free(embedder);
        return rc;
    }
    *out = embedder;
    return FLY_OK;
}

void fly_embedder_close(struct fly_embedder **embedder)
{
    if (!*embedder)
        return;
    (*embedder)->kind->close((*embedder)->self);
    free(*embedder);
    *embedder = NULL;
}

int32_t fly_embedder_width(const struct fly_embedder *embedder)
{
    return embedder->facts.width;
}

int32_t fly_embedder_batch(const struct fly_embedder *embedder)
{
    return embedder->facts.batch;
}

int32_t fly_embedder_input_px(const struct fly_embedder *embedder)
{
    return embedder->facts.input_px;
}

const char *fly_embedder_name(const struct fly_embedder *embedder)
{
    return embedder->facts.name;
}

size_t fly_embedder_bytes(const struct fly_embedder *embedder)
{
    return embedder->facts.bytes + sizeof *embedder;
}

struct run {
    struct fly_embedder *embedder;
    const double *pictures;         /* (n, P, P) */
    float *out;                     /* (n, D) */
    struct fly_embed_levels levels; /* of all; n 0: none are wanted */
    int32_t n;
};

static void run_batch(void *arg, int32_t i, int32_t worker)
{
    const struct run *run = arg;
    const struct fly_embedder_facts *facts = &run->embedder->facts;
    struct fly_embed_levels levels = run->levels;
    int32_t first = i * facts->batch;
    int32_t count = run->n - first < facts->batch ? run->n - first : facts->batch;
    size_t px = (size_t)facts->input_px, at = (size_t)first * (size_t)facts->width;

    FLY_ASSERT(worker >= 0 && worker < run->embedder->workers);
    if (levels.n) {
        levels.exposures += (size_t)first * (size_t)levels.n;
        levels.missing += (size_t)first * (size_t)levels.n;
        levels.out += at * (size_t)levels.n;
    }
    run->embedder->kind->batch(run->embedder->self, worker, run->pictures + (size_t)first * px * px, count,
                               run->out + at, levels.n ? &levels : NULL);
}

static void run_all(struct run *run, const struct fly_exec *exec)
{
    FLY_ASSERT(run->n >= 0 && exec->width <= run->embedder->workers);
    if (run->n > 0)
        exec->run(exec->ctx, (run->n - 1) / run->embedder->facts.batch + 1, run_batch, run);
}

void fly_embedder_run(struct fly_embedder *embedder, const double *pictures, int32_t n, float *out,
                      const struct fly_exec *exec)
{
    struct run run = {.embedder = embedder, .pictures = pictures, .out = out, .n = n};

    run_all(&run, exec);
}

void fly_embedder_run_levels(struct fly_embedder *embedder, const double *pictures, int32_t n, float *out,
                             const struct fly_embed_levels *levels, const struct fly_exec *exec)
{
    struct run run = {.embedder = embedder, .pictures = pictures, .out = out, .levels = *levels, .n = n};

    FLY_ASSERT(embedder->facts.levels && levels->n > 0);
    run_all(&run, exec);
}

int fly_embedder_levels(const struct fly_embedder *embedder)
{
    return embedder->facts.levels;
}

int fly_embedder_input(const struct fly_embedder *embedder, const double *picture, float *input)
{
    if (!embedder->kind->input)
        return fly_fail(FLY_ERANGE, "%s: has no network and so no network input",
                        embedder->kind->model);
    embedder->kind->input(embedder->self, picture, input);
    return FLY_OK;
}

int fly_embedder_trace(struct fly_embedder *embedder, const double *picture, const float *input,
                       fly_layer_seen *seen, void *ctx, float *out)
{
    FLY_ASSERT(!picture != !input);
    if (!embedder->kind->trace)
        return fly_fail(FLY_ERANGE, "%s: has no network and so no layers", embedder->kind->model);
    return embedder->kind->trace(embedder->self, picture, input, seen, ctx, out);
}
