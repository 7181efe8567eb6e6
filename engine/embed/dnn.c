#include "engine/embed/dnn.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"

/* oneDNN runs on libgomp, whose header only some compilers bring. */
int omp_get_max_threads(void);
void omp_set_num_threads(int count);

enum { MAPS_CAP = 128, OPS_CAP = 128, ARGS_CAP = 5, ALIGN = 64 };

struct map {
    dnnl_memory_desc_t desc;
    struct fly_dnn_shape shape;
    int32_t last_op; /* that reads it */
    size_t bytes;
    size_t offset;   /* in a worker's memory */
};

struct op {
    dnnl_primitive_t primitive;
    dnnl_memory_t weights, bias; /* NULL but in a convolution */
    void *weight_bytes, *bias_bytes;
    size_t weight_len, bias_len;
    dnnl_memory_desc_t scratch;
    const char *name;            /* of a convolution, else NULL */
    int32_t a, b;                /* maps read; b is -1 but in a join */
    int32_t out;                 /* map made */
};

struct worker {
    void *memory; /* all maps, then scratch */
    dnnl_stream_t stream;
    dnnl_memory_t map[MAPS_CAP];
    dnnl_memory_t scratch[OPS_CAP];
    dnnl_exec_arg_t args[OPS_CAP][ARGS_CAP];
    int32_t arg_count[OPS_CAP];
};

struct fly_dnn {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t plain_attr, relu_attr;
    int32_t batch;
    int32_t worker_count;
    int32_t map_count, op_count;
    int32_t result;
    size_t worker_len;
    size_t weight_len; /* of all operations */
    struct map maps[MAPS_CAP];
    struct op ops[OPS_CAP];
    struct worker *workers; /* (worker_count), NULL before the seal */
};

/* oneDNN picks blockings for the number of threads it sees, when a primitive is made and when it
 * runs, and an OpenMP team waits in spinning barriers. So both happen with one thread; parallel work
 * is ours, over batches. The setting belongs to the calling thread: it is given back as it was. */
static int one_thread(void)
{
    int was = omp_get_max_threads();

    omp_set_num_threads(1);
    return was;
}

static int refuse(dnnl_status_t status, const char *what, const char *name)
{
    if (status == dnnl_out_of_memory)
        return fly_fail(FLY_ENOMEM, "%s%s%s: no memory in oneDNN", what, *name ? " " : "", name);
    return fly_fail(FLY_ERANGE, "%s%s%s: oneDNN answers %s", what, *name ? " " : "", name,
                    dnnl_status2str(status));
}

static dnnl_status_t make_attr(dnnl_primitive_attr_t *attr, int relu)
{
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    dnnl_post_ops_t post = NULL;

    /* The environment can loosen fp32 to bf16 inside; results must not depend on it. */
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*attr, dnnl_fpmath_mode_strict);
    /* Scratch memory of the library is one a primitive, shared by threads that run it at once. */
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !relu)
        return status;
    status = dnnl_post_ops_create(&post);
    if (status == dnnl_success)
        status = dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attr, post);
    if (post)
        dnnl_post_ops_destroy(post);
    return status;
}

static dnnl_status_t describe(const struct fly_dnn *dnn, dnnl_memory_desc_t *desc,
                              struct fly_dnn_shape shape, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {dnn->batch, shape.channels, shape.h, shape.w};

    return dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, tag);
}

int fly_dnn_open(struct fly_dnn **out, int32_t batch, struct fly_dnn_shape input, int32_t workers)
{
    struct fly_dnn *dnn;
    dnnl_status_t status;

    FLY_ASSERT(batch >= 1 && workers >= 1);
    dnn = calloc(1, sizeof *dnn);
    if (!dnn)
        return fly_fail(FLY_ENOMEM, "network: no memory for its plan");
    dnn->batch = batch;
    dnn->worker_count = workers;
    dnn->map_count = 1;
    dnn->maps[0].shape = input;
    status = dnnl_engine_create(&dnn->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = make_attr(&dnn->plain_attr, 0);
    if (status == dnnl_success)
        status = make_attr(&dnn->relu_attr, 1);
    if (status == dnnl_success)
        status = describe(dnn, &dnn->maps[0].desc, input, dnnl_nhwc);
    if (status != dnnl_success) {
        fly_dnn_close(&dnn);
        return fly_fail(status == dnnl_out_of_memory ? FLY_ENOMEM : FLY_EIO,
                        "oneDNN does not start: %s", dnnl_status2str(status));
    }
    *out = dnn;
    return FLY_OK;
}

static void close_worker(struct fly_dnn *dnn, struct worker *worker)
{
    struct fly_alloc alloc = fly_alloc_system();

    for (int32_t i = 0; i < MAPS_CAP; i++)
        if (worker->map[i])
            dnnl_memory_destroy(worker->map[i]);
    for (int32_t i = 0; i < OPS_CAP; i++)
        if (worker->scratch[i])
            dnnl_memory_destroy(worker->scratch[i]);
    if (worker->stream)
        dnnl_stream_destroy(worker->stream);
    if (worker->memory)
        alloc.put(alloc.ctx, worker->memory, dnn->worker_len);
}

void fly_dnn_close(struct fly_dnn **dnn_at)
{
    struct fly_dnn *dnn = *dnn_at;
    struct fly_alloc alloc = fly_alloc_system();

    if (!dnn)
        return;
    for (int32_t i = 0; dnn->workers && i < dnn->worker_count; i++)
        close_worker(dnn, &dnn->workers[i]);
    free(dnn->workers);
    for (int32_t i = 0; i < dnn->op_count; i++) {
        struct op *op = &dnn->ops[i];

        if (op->weights)
            dnnl_memory_destroy(op->weights);
        if (op->bias)
            dnnl_memory_destroy(op->bias);
        if (op->primitive)
            dnnl_primitive_destroy(op->primitive);
        if (op->weight_bytes)
            alloc.put(alloc.ctx, op->weight_bytes, op->weight_len);
        if (op->bias_bytes)
            alloc.put(alloc.ctx, op->bias_bytes, op->bias_len);
    }
    if (dnn->plain_attr)
        dnnl_primitive_attr_destroy(dnn->plain_attr);
    if (dnn->relu_attr)
        dnnl_primitive_attr_destroy(dnn->relu_attr);
    if (dnn->engine)
        dnnl_engine_destroy(dnn->engine);
    free(dnn);
    *dnn_at = NULL;
}

/* The operation that `desc` describes, reading maps a and b (b may be -1), becomes the chain's next
 * one. Takes desc. */
static int32_t add_op(struct fly_dnn *dnn, dnnl_primitive_desc_t desc, int32_t a, int32_t b,
                      struct fly_dnn_shape shape, const char *name)
{
    struct op *op = &dnn->ops[dnn->op_count];
    struct map *map = &dnn->maps[dnn->map_count];
    dnnl_status_t status;

    FLY_ASSERT(!dnn->workers && dnn->op_count < OPS_CAP && dnn->map_count < MAPS_CAP);
    status = dnnl_primitive_create(&op->primitive, desc);
    if (status == dnnl_success) {
        map->desc = *dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0);
        map->shape = shape;
        op->scratch = *dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        op->name = name;
        op->a = a;
        op->b = b;
        op->out = dnn->map_count++;
        dnn->maps[a].last_op = dnn->op_count;
        if (b >= 0)
            dnn->maps[b].last_op = dnn->op_count;
        dnn->op_count++;
    }
    dnnl_primitive_desc_destroy(desc);
    if (status != dnnl_success)
        return refuse(status, "network operation", name ? name : "");
    return op->out;
}

/* The map, in the memory order that the next operation wants. */
static int32_t reordered(struct fly_dnn *dnn, int32_t map, const dnnl_memory_desc_t *want)
{
    dnnl_primitive_desc_t desc;
    dnnl_status_t status;

    if (dnnl_memory_desc_equal(&dnn->maps[map].desc, want))
        return map;
    status = dnnl_reorder_primitive_desc_create(&desc, &dnn->maps[map].desc, dnn->engine, want,
                                                dnn->engine, dnn->plain_attr);
    if (status != dnnl_success)
        return refuse(status, "reorder of a map", "");
    return add_op(dnn, desc, map, -1, dnn->maps[map].shape, NULL);
}

/* Copy `from`, laid out as `plain`, to new memory laid out as `want`. */
static int keep(struct fly_dnn *dnn, dnnl_memory_t *memory, void **bytes, size_t *len,
                const dnnl_memory_desc_t *want, const dnnl_memory_desc_t *plain, const float *from)
{
    struct fly_alloc alloc = fly_alloc_system();
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t source = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t status;

    *len = dnnl_memory_desc_get_size(want);
    *bytes = alloc.get(alloc.ctx, *len);
    if (!*bytes)
        return fly_fail(FLY_ENOMEM, "network: no memory for %zu bytes of weights", *len);
    status = dnnl_memory_create(memory, want, dnn->engine, *bytes);
    /* oneDNN only reads the source of a reorder, whatever its argument says. */
    if (status == dnnl_success)
        status = dnnl_memory_create(&source, plain, dnn->engine, (void *)from);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, dnn->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, plain, dnn->engine, want, dnn->engine,
                                                    NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&reorder, desc);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, *memory}};

        status = dnnl_primitive_execute(reorder, stream, 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    if (reorder)
        dnnl_primitive_destroy(reorder);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    if (stream)
        dnnl_stream_destroy(stream);
    if (source)
        dnnl_memory_destroy(source);
    return status == dnnl_success ? FLY_OK : refuse(status, "reorder of weights", "");
}

static int32_t add_conv(struct fly_dnn *dnn, int32_t map, const struct fly_dnn_conv *conv)
{
    struct fly_dnn_shape in = dnn->maps[map].shape;
    int32_t k = conv->kernel, s = conv->stride, p = conv->pad;
    struct fly_dnn_shape out = {conv->out_channels, (in.h + 2 * p - k) / s + 1,
                                (in.w + 2 * p - k) / s + 1};
    dnnl_dims_t weight_dims = {out.channels, in.channels, k, k}, bias_dims = {out.channels};
    dnnl_dims_t strides = {s, s}, pads = {p, p};
    dnnl_memory_desc_t src, dst, weights, bias, plain, want_src;
    dnnl_memory_desc_t want_weights;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t chosen = NULL;
    dnnl_status_t status;
    int32_t out_map;
    struct op *op;
    int rc;

    if (in.h + 2 * p < k || in.w + 2 * p < k)
        return fly_fail(FLY_ERANGE, "%s: a map of %d x %d px is too small for its %d x %d kernel",
                        conv->name, in.h, in.w, k, k);
    /* The input's order is promised to the caller; between layers oneDNN chooses. */
    status = describe(dnn, &src, in, dnnl_format_tag_any);
    if (map == 0)
        src = dnn->maps[0].desc;
    if (status == dnnl_success)
        status = describe(dnn, &dst, out, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&weights, 4, weight_dims, dnnl_f32,
                                              dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&plain, 4, weight_dims, dnnl_f32, dnnl_oihw);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference,
                                                    dnnl_convolution_direct, &src, &weights, &bias,
                                                    &dst, strides, pads, pads);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&chosen, &desc, dnn->relu_attr, dnn->engine, NULL);
    if (status != dnnl_success)
        return refuse(status, "convolution", conv->name);
    want_src = *dnnl_primitive_desc_query_md(chosen, dnnl_query_src_md, 0);
    want_weights = *dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
    map = reordered(dnn, map, &want_src);
    if (map < 0) {
        dnnl_primitive_desc_destroy(chosen);
        return map;
    }
    out_map = add_op(dnn, chosen, map, -1, out, conv->name);
    if (out_map < 0)
        return out_map;
    op = &dnn->ops[dnn->op_count - 1];
    rc = keep(dnn, &op->weights, &op->weight_bytes, &op->weight_len, &want_weights, &plain,
              conv->weights);
    if (rc == FLY_OK)
        rc = keep(dnn, &op->bias, &op->bias_bytes, &op->bias_len, &bias, &bias, conv->bias);
    if (rc < 0)
        return rc;
    dnn->weight_len += op->weight_len + op->bias_len;
    return out_map;
}

int32_t fly_dnn_conv(struct fly_dnn *dnn, int32_t map, const struct fly_dnn_conv *conv)
{
    int threads = one_thread();
    int32_t made = add_conv(dnn, map, conv);

    omp_set_num_threads(threads);
    return made;
}

int32_t fly_dnn_pool(struct fly_dnn *dnn, int32_t map, int32_t kernel, int32_t stride, int ceil)
{
    struct fly_dnn_shape in = dnn->maps[map].shape, out = in;
    int32_t up = ceil ? stride - 1 : 0;
    int threads = one_thread();
    dnnl_pooling_desc_t desc;
    dnnl_primitive_desc_t chosen;
    dnnl_memory_desc_t dst;
    dnnl_status_t status;
    int32_t made;

    if (in.h + up < kernel || in.w + up < kernel) {
        omp_set_num_threads(threads);
        return fly_fail(FLY_ERANGE, "max pool: a map of %d x %d px is too small for its %d x %d window",
                        in.h, in.w, kernel, kernel);
    }
    out.h = (in.h - kernel + up) / stride + 1;
    out.w = (in.w - kernel + up) / stride + 1;
    dnnl_dims_t strides = {stride, stride}, window = {kernel, kernel}, before = {0, 0};
    dnnl_dims_t after = {(out.h - 1) * stride + kernel - in.h, (out.w - 1) * stride + kernel - in.w};

    for (int i = 0; i < 2; i++) /* less than none: the pixels left out */
        after[i] = after[i] < 0 ? 0 : after[i];
    status = describe(dnn, &dst, out, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_pooling_forward_desc_init(&desc, dnnl_forward_inference, dnnl_pooling_max,
                                                &dnn->maps[map].desc, &dst, strides, window, before,
                                                after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&chosen, &desc, dnn->plain_attr, dnn->engine, NULL);
    made = status == dnnl_success ? add_op(dnn, chosen, map, -1, out, NULL)
                                  : refuse(status, "max pool", "");
    omp_set_num_threads(threads);
    return made;
}

int32_t fly_dnn_join(struct fly_dnn *dnn, int32_t a, int32_t b)
{
    struct fly_dnn_shape one = dnn->maps[a].shape, two = dnn->maps[b].shape;
    struct fly_dnn_shape out = {one.channels + two.channels, one.h, one.w};
    dnnl_memory_desc_t parts[2] = {dnn->maps[a].desc, dnn->maps[b].desc};
    int threads = one_thread();
    dnnl_primitive_desc_t chosen;
    dnnl_status_t status;
    int32_t made;

    FLY_ASSERT(one.h == two.h && one.w == two.w);
    status = dnnl_concat_primitive_desc_create(&chosen, NULL, 2, 1, parts, dnn->plain_attr,
                                               dnn->engine);
    made = status == dnnl_success ? add_op(dnn, chosen, a, b, out, NULL)
                                  : refuse(status, "join of two maps", "");
    omp_set_num_threads(threads);
    return made;
}

/* Give every map its place, so that two that live at once never overlap: each takes the lowest gap
 * left by those alive. Returns the length of all. */
static size_t place_maps(struct fly_dnn *dnn)
{
    size_t end = 0;

    for (int32_t m = 0; m < dnn->map_count; m++) {
        struct map *map = &dnn->maps[m];
        int32_t born = m == 0 ? 0 : -1;
        int moved = 1;

        for (int32_t i = 0; born < 0; i++)
            if (dnn->ops[i].out == m)
                born = i;
        map->bytes = (dnnl_memory_desc_get_size(&map->desc) + ALIGN - 1) / ALIGN * ALIGN;
        map->offset = 0;
        while (moved) {
            moved = 0;
            for (int32_t j = 0; j < m; j++) {
                const struct map *other = &dnn->maps[j];

                if (other->last_op >= born && other->offset < map->offset + map->bytes &&
                    map->offset < other->offset + other->bytes) {
                    map->offset = other->offset + other->bytes;
                    moved = 1;
                }
            }
        }
        if (map->offset + map->bytes > end)
            end = map->offset + map->bytes;
    }
    return end;
}

static int open_worker(struct fly_dnn *dnn, struct worker *worker, size_t scratch_at)
{
    struct fly_alloc alloc = fly_alloc_system();
    unsigned char *memory = alloc.get(alloc.ctx, dnn->worker_len);
    dnnl_status_t status;

    if (!memory)
        return fly_fail(FLY_ENOMEM, "network: no memory for a worker's %zu MiB", dnn->worker_len >> 20);
    worker->memory = memory;
    status = dnnl_stream_create(&worker->stream, dnn->engine, dnnl_stream_default_flags);
    for (int32_t m = 0; m < dnn->map_count && status == dnnl_success; m++)
        status = dnnl_memory_create(&worker->map[m], &dnn->maps[m].desc, dnn->engine,
                                    memory + dnn->maps[m].offset);
    for (int32_t i = 0; i < dnn->op_count && status == dnnl_success; i++) {
        const struct op *op = &dnn->ops[i];
        dnnl_exec_arg_t *args = worker->args[i];
        int32_t n = 0;

        status = dnnl_memory_create(&worker->scratch[i], &op->scratch, dnn->engine,
                                    memory + scratch_at);
        args[n++] = (dnnl_exec_arg_t){op->b < 0 ? DNNL_ARG_SRC : DNNL_ARG_MULTIPLE_SRC,
                                      worker->map[op->a]};
        if (op->b >= 0)
            args[n++] = (dnnl_exec_arg_t){DNNL_ARG_MULTIPLE_SRC + 1, worker->map[op->b]};
        if (op->weights) {
            args[n++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, op->weights};
            args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, op->bias};
        }
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_DST, worker->map[op->out]};
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, worker->scratch[i]};
        worker->arg_count[i] = n;
    }
    return status == dnnl_success ? FLY_OK : refuse(status, "workspace", "");
}

static int seal(struct fly_dnn *dnn, int32_t map)
{
    dnnl_memory_desc_t plain;
    size_t maps_len, scratch_len = 0;
    dnnl_status_t status = describe(dnn, &plain, dnn->maps[map].shape, dnnl_nhwc);

    if (status != dnnl_success)
        return refuse(status, "result", "");
    map = reordered(dnn, map, &plain);
    if (map < 0)
        return map;
    dnn->result = map;
    dnn->maps[map].last_op = dnn->op_count; /* read after the last */
    dnn->maps[0].last_op = dnn->op_count;   /* kept, as promised */
    maps_len = place_maps(dnn);
    for (int32_t i = 0; i < dnn->op_count; i++) {
        size_t len = dnnl_memory_desc_get_size(&dnn->ops[i].scratch);

        scratch_len = len > scratch_len ? len : scratch_len;
    }
    dnn->worker_len = maps_len + scratch_len;
    dnn->workers = calloc((size_t)dnn->worker_count, sizeof *dnn->workers);
    if (!dnn->workers)
        return fly_fail(FLY_ENOMEM, "network: no memory for %d workers", dnn->worker_count);
    for (int32_t i = 0; i < dnn->worker_count; i++) {
        int rc = open_worker(dnn, &dnn->workers[i], maps_len);

        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

int fly_dnn_seal(struct fly_dnn *dnn, int32_t map)
{
    int threads = one_thread();
    int rc = seal(dnn, map);

    omp_set_num_threads(threads);
    return rc;
}

struct fly_dnn_shape fly_dnn_shape(const struct fly_dnn *dnn, int32_t map)
{
    return dnn->maps[map].shape;
}

size_t fly_dnn_bytes(const struct fly_dnn *dnn)
{
    return sizeof *dnn + dnn->weight_len +
           (size_t)dnn->worker_count * (dnn->worker_len + sizeof *dnn->workers);
}

float *fly_dnn_input(struct fly_dnn *dnn, int32_t worker)
{
    return (float *)((unsigned char *)dnn->workers[worker].memory + dnn->maps[0].offset);
}

const float *fly_dnn_result(const struct fly_dnn *dnn, int32_t worker)
{
    const unsigned char *memory = dnn->workers[worker].memory;

    return (const float *)(memory + dnn->maps[dnn->result].offset);
}

static void run_op(const struct fly_dnn *dnn, struct worker *worker, int32_t i)
{
    dnnl_status_t status = dnnl_primitive_execute(dnn->ops[i].primitive, worker->stream,
                                                  worker->arg_count[i], worker->args[i]);

    FLY_ASSERT(status == dnnl_success);
}

void fly_dnn_run(struct fly_dnn *dnn, int32_t worker)
{
    int threads = one_thread();

    for (int32_t i = 0; i < dnn->op_count; i++)
        run_op(dnn, &dnn->workers[worker], i);
    dnnl_stream_wait(dnn->workers[worker].stream);
    omp_set_num_threads(threads);
}

/* `map` of worker 0 as (batch, channels, h, w). */
static dnnl_status_t unpack(struct fly_dnn *dnn, int32_t map, float *out)
{
    struct worker *worker = &dnn->workers[0];
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t target = NULL;
    dnnl_status_t status = describe(dnn, &plain, dnn->maps[map].shape, dnnl_nchw);

    if (status == dnnl_success)
        status = dnnl_memory_create(&target, &plain, dnn->engine, out);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, &dnn->maps[map].desc, dnn->engine, &plain,
                                                    dnn->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&reorder, desc);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, worker->map[map]}, {DNNL_ARG_TO, target}};

        status = dnnl_primitive_execute(reorder, worker->stream, 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(worker->stream);
    if (reorder)
        dnnl_primitive_destroy(reorder);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    if (target)
        dnnl_memory_destroy(target);
    return status;
}

int fly_dnn_trace(struct fly_dnn *dnn, fly_dnn_seen *seen, void *ctx)
{
    int threads = one_thread();
    int32_t convs = 0;
    int rc = FLY_OK;

    for (int32_t i = 0; i < dnn->op_count && rc == FLY_OK; i++) {
        const struct op *op = &dnn->ops[i];
        struct fly_dnn_shape shape = dnn->maps[op->out].shape;
        dnnl_status_t status;
        float *plain;

        run_op(dnn, &dnn->workers[0], i);
        if (!op->name)
            continue;
        plain = calloc((size_t)dnn->batch * (size_t)shape.channels,
                       (size_t)shape.h * (size_t)shape.w * sizeof *plain);
        status = plain ? unpack(dnn, op->out, plain) : dnnl_out_of_memory;
        if (status == dnnl_success)
            seen(ctx, convs++, op->name, shape, plain);
        else
            rc = refuse(status, "trace of", op->name);
        free(plain);
    }
    dnnl_stream_wait(dnn->workers[0].stream);
    omp_set_num_threads(threads);
    return rc;
}
