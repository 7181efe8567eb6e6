#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/embed/dnn.h"

/* The slow twin: one image (channels, h, w) in double, each operation as its definition reads. */
struct image {
    struct fly_dnn_shape shape;
    double *at;
};

static struct image image_make(int32_t channels, int32_t h, int32_t w)
{
    return (struct image){{channels, h, w},
                          calloc((size_t)channels * (size_t)h * (size_t)w, sizeof(double))};
}

static double *pixel(const struct image *image, int32_t c, int32_t y, int32_t x)
{
    return &image->at[((size_t)c * (size_t)image->shape.h + (size_t)y) * (size_t)image->shape.w +
                      (size_t)x];
}

static int inside(const struct image *image, int32_t y, int32_t x)
{
    return y >= 0 && y < image->shape.h && x >= 0 && x < image->shape.w;
}

static struct image conv_ref(struct image in, const struct fly_dnn_conv *conv)
{
    int32_t k = conv->kernel, s = conv->stride, p = conv->pad, channels = in.shape.channels;
    struct image out = image_make(conv->out_channels, (in.shape.h + 2 * p - k) / s + 1,
                                  (in.shape.w + 2 * p - k) / s + 1);

    for (int32_t o = 0; o < out.shape.channels; o++)
        for (int32_t y = 0; y < out.shape.h; y++)
            for (int32_t x = 0; x < out.shape.w; x++) {
                double sum = (double)conv->bias[o];

                for (int32_t c = 0; c < channels; c++)
                    for (int32_t i = 0; i < k; i++)
                        for (int32_t j = 0; j < k; j++)
                            if (inside(&in, y * s + i - p, x * s + j - p))
                                sum += *pixel(&in, c, y * s + i - p, x * s + j - p) *
                                       (double)conv->weights[((o * channels + c) * k + i) * k + j];
                *pixel(&out, o, y, x) = sum > 0.0 ? sum : 0.0;
            }
    return out;
}

static struct image pool_ref(struct image in, int32_t k, int32_t s, int ceil_mode)
{
    double rows = (in.shape.h - k) / (double)s, cols = (in.shape.w - k) / (double)s;
    struct image out = image_make(in.shape.channels, 1 + (int32_t)(ceil_mode ? ceil(rows) : floor(rows)),
                                  1 + (int32_t)(ceil_mode ? ceil(cols) : floor(cols)));

    for (int32_t c = 0; c < out.shape.channels; c++)
        for (int32_t y = 0; y < out.shape.h; y++)
            for (int32_t x = 0; x < out.shape.w; x++) {
                double most = -INFINITY;

                for (int32_t i = 0; i < k; i++)
                    for (int32_t j = 0; j < k; j++)
                        if (inside(&in, y * s + i, x * s + j))
                            most = fmax(most, *pixel(&in, c, y * s + i, x * s + j));
                *pixel(&out, c, y, x) = most;
            }
    return out;
}

static struct image join_ref(struct image a, struct image b)
{
    struct image out = image_make(a.shape.channels + b.shape.channels, a.shape.h, a.shape.w);
    size_t first = (size_t)a.shape.channels * (size_t)a.shape.h * (size_t)a.shape.w;

    memcpy(out.at, a.at, first * sizeof *out.at);
    memcpy(out.at + first, b.at, (size_t)b.shape.channels * (size_t)b.shape.h * (size_t)b.shape.w *
                                     sizeof *out.at);
    return out;
}

static float *randoms(struct fly_rng *rng, size_t count, double reach)
{
    float *values = malloc(count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (float)((2.0 * fly_rng_uniform(rng) - 1.0) * reach);
    return values;
}

static struct fly_dnn_conv random_conv(struct fly_rng *rng, const char *name, int32_t in, int32_t out,
                                       int32_t kernel, int32_t stride, int32_t pad)
{
    size_t count = (size_t)in * (size_t)kernel * (size_t)kernel;

    return (struct fly_dnn_conv){.name = name,
                                 .out_channels = out,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .pad = pad,
                                 .weights = randoms(rng, count * (size_t)out, sqrt(6.0 / (double)count)),
                                 .bias = randoms(rng, (size_t)out, 0.2)};
}

static void conv_free(struct fly_dnn_conv *conv)
{
    free((void *)conv->weights);
    free((void *)conv->bias);
}

static int same_shape(struct fly_dnn_shape a, struct fly_dnn_shape b)
{
    return a.channels == b.channels && a.h == b.h && a.w == b.w;
}

/* A chain with every operation, on h x w images: stem (stride 2), pool, squeeze, two expands, join,
 * another 3 x 3. Every image of the batch is compared with the twin. */
static void compare_chain(int32_t h, int32_t w, int32_t batch, int ceil_mode, uint64_t seed)
{
    struct fly_rng rng = {seed};
    struct fly_dnn_conv stem = random_conv(&rng, "stem", 3, 32, 3, 2, 0);
    struct fly_dnn_conv narrow = random_conv(&rng, "narrow", 32, 16, 1, 1, 0);
    struct fly_dnn_conv one = random_conv(&rng, "one", 16, 32, 1, 1, 0);
    struct fly_dnn_conv three = random_conv(&rng, "three", 16, 48, 3, 1, 1);
    struct fly_dnn_conv last = random_conv(&rng, "last", 80, 64, 3, 1, 1);
    struct fly_dnn *dnn = NULL;
    float *input = randoms(&rng, (size_t)batch * 3 * (size_t)h * (size_t)w, 100.0);
    int32_t map, a, b;
    double worst = 0.0, size = 0.0;

    assert_int_equal(fly_dnn_open(&dnn, batch, (struct fly_dnn_shape){3, h, w}, 1), FLY_OK);
    map = fly_dnn_conv(dnn, 0, &stem);
    map = fly_dnn_pool(dnn, map, 3, 2, ceil_mode);
    map = fly_dnn_conv(dnn, map, &narrow);
    a = fly_dnn_conv(dnn, map, &one);
    b = fly_dnn_conv(dnn, map, &three);
    map = fly_dnn_join(dnn, a, b);
    map = fly_dnn_conv(dnn, map, &last);
    assert_true(map > 0);
    assert_int_equal(fly_dnn_seal(dnn, map), FLY_OK);
    memcpy(fly_dnn_input(dnn, 0), input, (size_t)batch * 3 * (size_t)h * (size_t)w * sizeof *input);
    fly_dnn_run(dnn, 0);
    assert_memory_equal(fly_dnn_input(dnn, 0), input,
                        (size_t)batch * 3 * (size_t)h * (size_t)w * sizeof *input);

    for (int32_t n = 0; n < batch; n++) {
        struct image in = image_make(3, h, w), m[7];
        const float *got = fly_dnn_result(dnn, 0);

        for (int32_t i = 0; i < h * w; i++)
            for (int32_t c = 0; c < 3; c++)
                in.at[c * h * w + i] = (double)input[(n * h * w + i) * 3 + c];
        m[0] = conv_ref(in, &stem);
        m[1] = pool_ref(m[0], 3, 2, ceil_mode);
        m[2] = conv_ref(m[1], &narrow);
        m[3] = conv_ref(m[2], &one);
        m[4] = conv_ref(m[2], &three);
        m[5] = join_ref(m[3], m[4]);
        m[6] = conv_ref(m[5], &last);
        assert_true(same_shape(fly_dnn_shape(dnn, map), m[6].shape));
        got += (size_t)n * 64 * (size_t)m[6].shape.h * (size_t)m[6].shape.w;
        for (int32_t y = 0; y < m[6].shape.h; y++)
            for (int32_t x = 0; x < m[6].shape.w; x++)
                for (int32_t c = 0; c < 64; c++) {
                    double want = *pixel(&m[6], c, y, x);

                    worst = fmax(worst, fabs((double)got[(y * m[6].shape.w + x) * 64 + c] - want));
                    size = fmax(size, want);
                }
        free(in.at);
        for (int i = 0; i < 7; i++)
            free(m[i].at);
    }
    assert_true(size > 1.0);
    if (!(worst <= 1e-5 * size))
        fail_msg("%d x %d, batch %d: off by %g of %g", h, w, batch, worst, size);
    fly_dnn_close(&dnn);
    free(input);
    conv_free(&stem);
    conv_free(&narrow);
    conv_free(&one);
    conv_free(&three);
    conv_free(&last);
}

static void a_chain_equals_its_plain_twin(void **state)
{
    (void)state;
    compare_chain(32, 32, 1, 1, 1);
    compare_chain(17, 17, 3, 1, 2);
    compare_chain(17, 17, 3, 0, 3);
    compare_chain(33, 20, 2, 1, 4);
    compare_chain(20, 33, 2, 0, 5);
    compare_chain(5, 6, 2, 1, 6); /* one pixel is left, its pool window hangs over */
}

static void a_map_too_small_for_its_kernel_is_refused(void **state)
{
    struct fly_rng rng = {1};
    struct fly_dnn_conv conv = random_conv(&rng, "conv", 3, 16, 3, 1, 0);
    struct fly_dnn *dnn = NULL;

    (void)state;
    assert_int_equal(fly_dnn_open(&dnn, 1, (struct fly_dnn_shape){3, 3, 2}, 1), FLY_OK);
    assert_int_equal(fly_dnn_conv(dnn, 0, &conv), FLY_ERANGE);
    assert_string_equal(fly_fail_text(), "conv: a map of 3 x 2 px is too small for its 3 x 3 kernel");
    assert_int_equal(fly_dnn_pool(dnn, 0, 3, 2, 0), FLY_ERANGE);
    assert_int_equal(fly_dnn_pool(dnn, 0, 5, 2, 1), FLY_ERANGE);
    fly_dnn_close(&dnn);
    fly_dnn_close(&dnn);
    conv_free(&conv);
}

struct seen {
    int32_t convs;
    double worst;
    struct image want[2];
};

static void see(void *ctx, int32_t conv, const char *name, struct fly_dnn_shape shape, const float *map)
{
    struct seen *seen = ctx;

    assert_int_equal(conv, seen->convs++);
    assert_string_equal(name, conv ? "second" : "first");
    assert_true(same_shape(shape, seen->want[conv].shape));
    for (int32_t i = 0; i < shape.channels * shape.h * shape.w; i++)
        seen->worst = fmax(seen->worst, fabs((double)map[i] - seen->want[conv].at[i]));
}

static void a_trace_shows_each_convolution_of_the_first_image(void **state)
{
    struct fly_rng rng = {9};
    struct fly_dnn_conv first = random_conv(&rng, "first", 3, 16, 3, 1, 1);
    struct fly_dnn_conv second = random_conv(&rng, "second", 16, 32, 3, 1, 1);
    struct image in = image_make(3, 8, 8), pooled;
    struct seen seen = {0};
    struct fly_dnn *dnn = NULL;
    int32_t map;

    (void)state;
    assert_int_equal(fly_dnn_open(&dnn, 2, (struct fly_dnn_shape){3, 8, 8}, 1), FLY_OK);
    map = fly_dnn_conv(dnn, 0, &first);
    map = fly_dnn_pool(dnn, map, 2, 2, 0);
    map = fly_dnn_conv(dnn, map, &second);
    assert_int_equal(fly_dnn_seal(dnn, map), FLY_OK);
    for (int32_t i = 0; i < 64; i++)
        for (int32_t c = 0; c < 3; c++) {
            in.at[c * 64 + i] = (double)(float)(fly_rng_uniform(&rng) - 0.5);
            fly_dnn_input(dnn, 0)[3 * i + c] = (float)in.at[c * 64 + i];
        }
    seen.want[0] = conv_ref(in, &first);
    pooled = pool_ref(seen.want[0], 2, 2, 0);
    seen.want[1] = conv_ref(pooled, &second);
    assert_int_equal(fly_dnn_trace(dnn, see, &seen), FLY_OK);
    assert_int_equal(seen.convs, 2);
    assert_true(seen.worst < 1e-5);
    fly_dnn_close(&dnn);
    free(in.at);
    free(pooled.at);
    free(seen.want[0].at);
    free(seen.want[1].at);
    conv_free(&first);
    conv_free(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_equals_its_plain_twin),
        cmocka_unit_test(a_map_too_small_for_its_kernel_is_refused),
        cmocka_unit_test(a_trace_shows_each_convolution_of_the_first_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
