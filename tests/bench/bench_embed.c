/* tests/bench/bench_embed.c: chips a second through each embedder, two workers.
 *
 * Prints one JSON object a line: name, size (input px), threads, median, unit, reference, ratio (median
 * over reference). Rounds of ours and of the reference alternate, each median is over all its rounds.
 *
 *   vgg16          the reference is oneDNN's own: the same convolutions and pools, ReLU fused, at batch
 *                  34 (a row of chips), with its own two OpenMP threads and barriers
 *   vgg16_row      one row of 34 chips alone, the last batch of each worker partly empty; same reference
 *   squeezenet1_1, spectral    the reference is one worker: the ratio is what the second one brings
 *
 * Weights are synthetic: the time does not depend on their values.
 */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

#include "engine/embed/embed.h"
#include "engine/embed/vgg16_weights.h"
#include "tests/support/pool_exec.h"
#include "tests/support/squeezenet_file.h"

void omp_set_num_threads(int count); /* of libgomp, under oneDNN */

enum { ROUNDS = 9, ROW = 34, OPS_CAP = 40 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *rounds)
{
    qsort(rounds, ROUNDS, sizeof *rounds, by_value);
    return rounds[ROUNDS / 2];
}

static void print(FILE *out, const char *name, int32_t px, double *ours, double *theirs)
{
    double m = median(ours), r = median(theirs);

    fprintf(out, "{\"name\": \"%s\", \"size\": %d, \"threads\": 2, \"median\": %.5g, \"unit\": \"chips/s\", "
            "\"reference\": %.5g, \"ratio\": %.3f}\n", name, px, m, r, m / r);
    fflush(out);
}

/* ---- oneDNN's own ---------------------------------------------------------------------------------- */

struct reference {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t relu;
    dnnl_primitive_t ops[OPS_CAP];
    dnnl_exec_arg_t args[OPS_CAP][4];
    int arg_count[OPS_CAP];
    int op_count;
    dnnl_memory_t memories[4 * OPS_CAP];
    int memory_count;
};

static void check(dnnl_status_t status)
{
    FLY_ASSERT(status == dnnl_success);
}

/* Memory as desc says, filled with small numbers (denormal ones would cost time of their own). */
static dnnl_memory_t reference_memory(struct reference *r, const dnnl_memory_desc_t *desc)
{
    size_t count = dnnl_memory_desc_get_size(desc) / sizeof(float);
    dnnl_memory_t memory;
    void *handle;

    check(dnnl_memory_create(&memory, desc, r->engine, DNNL_MEMORY_ALLOCATE));
    check(dnnl_memory_get_data_handle(memory, &handle));
    for (size_t i = 0; i < count; i++)
        ((float *)handle)[i] = (float)((int)(i * 2654435761u >> 20 & 0xFF) - 128) * 1e-4f;
    r->memories[r->memory_count++] = memory;
    return memory;
}

static void reference_add(struct reference *r, dnnl_primitive_desc_t desc, dnnl_memory_t in,
                          dnnl_memory_t weights, dnnl_memory_t bias, dnnl_memory_t to)
{
    dnnl_exec_arg_t *args = r->args[r->op_count];
    int n = 0;

    FLY_ASSERT(r->op_count < OPS_CAP);
    check(dnnl_primitive_create(&r->ops[r->op_count], desc));
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SRC, in};
    if (weights) {
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, weights};
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, bias};
    }
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_DST, to};
    r->arg_count[r->op_count++] = n;
    dnnl_primitive_desc_destroy(desc);
}

static dnnl_memory_t reference_conv(struct reference *r, dnnl_memory_t in, const dnnl_memory_desc_t *src,
                                    const struct fly_vgg16_layer *layer, int32_t px,
                                    dnnl_memory_desc_t *made)
{
    dnnl_dims_t in_dims = {ROW, layer->in, px, px}, out_dims = {ROW, layer->out, px, px};
    dnnl_dims_t w_dims = {layer->out, layer->in, 3, 3}, b_dims = {layer->out}, one = {1, 1};
    dnnl_memory_desc_t any, weights, bias, dst, want;
    dnnl_convolution_desc_t conv;
    dnnl_primitive_desc_t desc, turn;
    dnnl_memory_t w, b, to;

    check(dnnl_memory_desc_init_by_tag(&any, 4, in_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_memory_desc_init_by_tag(&weights, 4, w_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_memory_desc_init_by_tag(&bias, 1, b_dims, dnnl_f32, dnnl_a));
    check(dnnl_memory_desc_init_by_tag(&dst, 4, out_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_convolution_forward_desc_init(&conv, dnnl_forward_inference, dnnl_convolution_direct,
                                             layer->in == 3 ? src : &any, &weights, &bias, &dst, one, one,
                                             one));
    check(dnnl_primitive_desc_create(&desc, &conv, r->relu, r->engine, NULL));
    want = *dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0);
    if (!dnnl_memory_desc_equal(&want, src)) {
        to = reference_memory(r, &want);
        check(dnnl_reorder_primitive_desc_create(&turn, src, r->engine, &want, r->engine, NULL));
        reference_add(r, turn, in, NULL, NULL, to);
        in = to;
    }
    *made = *dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0);
    w = reference_memory(r, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0));
    b = reference_memory(r, &bias);
    to = reference_memory(r, made);
    reference_add(r, desc, in, w, b, to);
    return to;
}

static dnnl_memory_t reference_pool(struct reference *r, dnnl_memory_t in, dnnl_memory_desc_t *map,
                                    int32_t channels, int32_t px)
{
    dnnl_dims_t dims = {ROW, channels, px, px}, two = {2, 2}, none = {0, 0};
    dnnl_memory_desc_t dst;
    dnnl_pooling_desc_t pool;
    dnnl_primitive_desc_t desc;
    dnnl_memory_t to;

    check(dnnl_memory_desc_init_by_tag(&dst, 4, dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_pooling_forward_desc_init(&pool, dnnl_forward_inference, dnnl_pooling_max, map, &dst, two,
                                         two, none, none));
    check(dnnl_primitive_desc_create(&desc, &pool, NULL, r->engine, NULL));
    *map = *dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0);
    to = reference_memory(r, map);
    reference_add(r, desc, in, NULL, NULL, to);
    return to;
}

static void reference_open(struct reference *r, int32_t px)
{
    dnnl_dims_t dims = {ROW, 3, px, px};
    dnnl_memory_desc_t map, made;
    dnnl_memory_t at;
    dnnl_post_ops_t post;

    *r = (struct reference){0};
    omp_set_num_threads(2);
    check(dnnl_engine_create(&r->engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&r->stream, r->engine, dnnl_stream_default_flags));
    check(dnnl_primitive_attr_create(&r->relu));
    check(dnnl_post_ops_create(&post));
    check(dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f));
    check(dnnl_primitive_attr_set_post_ops(r->relu, post));
    check(dnnl_post_ops_destroy(post));
    check(dnnl_memory_desc_init_by_tag(&map, 4, dims, dnnl_f32, dnnl_nhwc));
    at = reference_memory(r, &map);
    for (int l = 0; l < FLY_VGG16_LAYERS; l++) {
        const struct fly_vgg16_layer *layer = &fly_vgg16_layers[l];

        at = reference_conv(r, at, &map, layer, px, &made);
        map = made;
        if (layer->pool) {
            px /= 2;
            at = reference_pool(r, at, &map, layer->out, px);
        }
    }
}

/* Chips a second of one batch. */
static double reference_run(struct reference *r)
{
    double from = now_s();

    omp_set_num_threads(2);
    for (int i = 0; i < r->op_count; i++)
        check(dnnl_primitive_execute(r->ops[i], r->stream, r->arg_count[i], r->args[i]));
    check(dnnl_stream_wait(r->stream));
    return ROW / (now_s() - from);
}

static void reference_close(struct reference *r)
{
    for (int i = 0; i < r->op_count; i++)
        dnnl_primitive_destroy(r->ops[i]);
    for (int i = 0; i < r->memory_count; i++)
        dnnl_memory_destroy(r->memories[i]);
    dnnl_primitive_attr_destroy(r->relu);
    dnnl_stream_destroy(r->stream);
    dnnl_engine_destroy(r->engine);
}

/* ---- ours ------------------------------------------------------------------------------------------ */

struct ours {
    struct fly_embedder *embedder;
    double *pictures;
    float *out;
};

static int ours_open(struct ours *ours, const struct fly_embedder_config *config, int32_t n)
{
    size_t px;
    int rc = fly_embedder_open(&ours->embedder, config);

    if (rc < 0)
        return rc;
    px = (size_t)fly_embedder_input_px(ours->embedder);
    ours->pictures = malloc((size_t)n * px * px * sizeof *ours->pictures);
    ours->out = malloc((size_t)n * (size_t)fly_embedder_width(ours->embedder) * sizeof *ours->out);
    FLY_ASSERT(ours->pictures && ours->out);
    for (size_t i = 0; i < (size_t)n * px * px; i++)
        ours->pictures[i] = (double)(i * 2654435761u >> 16 & 0xFF);
    return FLY_OK;
}

static double ours_run(struct ours *ours, int32_t n, int32_t workers)
{
    struct pool_exec pool = {.width = workers};
    struct fly_exec exec = pool_exec(&pool);
    double from = now_s();

    fly_embedder_run(ours->embedder, ours->pictures, n, ours->out, &exec);
    return n / (now_s() - from);
}

static void ours_close(struct ours *ours)
{
    fly_embedder_close(&ours->embedder);
    free(ours->pictures);
    free(ours->out);
}

static int bench_vgg16(FILE *out)
{
    struct fly_embedder_config config = {
        .model = "vgg16", .side_px = 15, .tap = "conv5_3_gap", .weights = "he:1", .width = 2};
    double steady[ROUNDS], row[ROUNDS], theirs[ROUNDS], again[ROUNDS];
    struct reference reference;
    struct ours ours = {0};
    int32_t n;
    int rc = ours_open(&ours, &config, 96);

    if (rc < 0)
        return rc;
    n = 96 / fly_embedder_batch(ours.embedder) * fly_embedder_batch(ours.embedder); /* whole batches */
    reference_open(&reference, fly_embedder_input_px(ours.embedder));
    ours_run(&ours, n, 2);
    reference_run(&reference);
    for (int i = 0; i < ROUNDS; i++) {
        steady[i] = ours_run(&ours, n, 2);
        again[i] = theirs[i] = reference_run(&reference);
        row[i] = ours_run(&ours, ROW, 2);
    }
    print(out, "vgg16", fly_embedder_input_px(ours.embedder), steady, theirs);
    print(out, "vgg16_row", fly_embedder_input_px(ours.embedder), row, again);
    reference_close(&reference);
    ours_close(&ours);
    return FLY_OK;
}

static int bench_scaling(FILE *out, const struct fly_embedder_config *config, int32_t n)
{
    double two[ROUNDS], one[ROUNDS];
    struct ours ours = {0};
    int rc = ours_open(&ours, config, n);

    if (rc < 0)
        return rc;
    ours_run(&ours, n, 2);
    for (int i = 0; i < ROUNDS; i++) {
        two[i] = ours_run(&ours, n, 2);
        one[i] = ours_run(&ours, n, 1);
    }
    print(out, config->model, fly_embedder_input_px(ours.embedder), two, one);
    ours_close(&ours);
    return FLY_OK;
}

/* All of the above, in about ten seconds. Returns a code of engine/base/err.h. */
int bench_embed(FILE *out)
{
    struct fly_embedder_config spectral = {.model = "spectral", .side_px = 15, .width = 2};
    struct fly_embedder_config squeezenet = {.model = "squeezenet1_1", .side_px = 15, .width = 2};
    struct bytes weights = squeezenet_file(NULL);
    int rc = bench_vgg16(out);

    squeezenet.weight_bytes = weights.at;
    squeezenet.weight_len = weights.len;
    if (rc == FLY_OK)
        rc = bench_scaling(out, &squeezenet, 512);
    if (rc == FLY_OK)
        rc = bench_scaling(out, &spectral, 8192);
    free(weights.at);
    return rc;
}
