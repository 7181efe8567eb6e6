/* Both networks at 224 px on the golden photographs, which are PNG files: hence in the room that links
 * libpng. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/embed.h"
#include "tests/support/golden.h"
#include "tests/support/tensors.h"

#define CNN     FLY_SHARED_DIR "/golden/cnn"
#define WEIGHTS FLY_SHARED_DIR "/weights/squeezenet1_1_features_caffe.safetensors"

enum { PX = 224, PIXELS = PX * PX };

static const struct photo {
    const char *name, *file;
} photos[] = {
    {"astronaut", CNN "/inputs/astronaut_224_rgb.png"},
    {"sto_ge", CNN "/inputs/sto_ge_interface_224_gray.png"},
};

/* The network's input (3, 224, 224), channels B, G, R minus mean. free() */
static float *photo_input(const struct photo *photo, const double *mean)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    unsigned char *rgb = malloc(3 * PIXELS);
    float *input = malloc(3 * PIXELS * sizeof *input);

    assert_true(png_image_begin_read_from_file(&png, photo->file));
    assert_int_equal(png.width, PX);
    assert_int_equal(png.height, PX);
    png.format = PNG_FORMAT_RGB; /* a grey one is repeated */
    assert_true(png_image_finish_read(&png, NULL, rgb, 0, NULL));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < PIXELS; i++)
            input[c * PIXELS + i] = (float)(rgb[3 * i + 2 - c] - mean[c]);
    free(rgb);
    return input;
}

/* What layer_stats.json says of one layer of one photo. */
struct stats {
    double mean, sd, max;
};

static char *read_json(const char *folder)
{
    char path[1024], *json;
    struct bytes file;

    snprintf(path, sizeof path, "%s/layer_stats.json", folder);
    file = bytes_of_file(path);
    assert_non_null(file.at);
    json = calloc(1, file.len + 1);
    memcpy(json, file.at, file.len);
    free(file.at);
    return json;
}

static struct stats json_stats(const char *json, const char *photo, int layer)
{
    struct stats stats;
    char key[64];
    const char *at = strstr(json, "\"activations\""), *from;

    at = at ? at : json;
    snprintf(key, sizeof key, "\"%s\"", photo);
    at = strstr(at, key);
    assert_non_null(at);
    snprintf(key, sizeof key, "\"index\": %d,", layer);
    at = strstr(at, key);
    assert_non_null(at);
    from = strstr(at, "\"mean\":");
    stats.mean = strtod(from + 7, NULL);
    from = strstr(at, "\"std\":");
    stats.sd = strtod(from + 6, NULL);
    from = strstr(at, "\"max\":");
    stats.max = strtod(from + 6, NULL);
    return stats;
}

/* Sums over the maps that make up one layer. */
struct sums {
    double sum, squares, max, items;
};

static void add_map(struct sums *sums, int64_t items, const float *map)
{
    for (int64_t i = 0; i < items; i++) {
        sums->sum += (double)map[i];
        sums->squares += (double)map[i] * (double)map[i];
        sums->max = fmax(sums->max, (double)map[i]);
    }
    sums->items += (double)items;
}

static void compare(const struct sums *sums, struct stats want, const char *name)
{
    double mean = sums->sum / sums->items, sd = sqrt(sums->squares / sums->items - mean * mean);

    if (!(fabs(mean - want.mean) <= 1e-4 * want.mean && fabs(sd - want.sd) <= 1e-4 * want.sd &&
          fabs(sums->max - want.max) <= 1e-4 * want.max))
        fail_msg("%s: mean %g sd %g max %g, golden %g %g %g", name, mean, sd, sums->max, want.mean, want.sd,
                 want.max);
}

static double apart(const float *got, const char *folder, const char *photo, const char *what)
{
    char name[128];
    struct golden golden;
    double difference = 0.0, size = 0.0;

    snprintf(name, sizeof name, "%s_%s", photo, what);
    golden = golden_open(folder, name);
    assert_int_equal(golden.npy.type, FLY_NPY_F32);
    for (int64_t i = 0; i < golden.npy.items; i++) {
        float want;

        memcpy(&want, (const char *)golden.npy.data + 4 * i, 4);
        difference += pow((double)got[i] - (double)want, 2.0);
        size += (double)want * (double)want;
    }
    golden_close(&golden);
    return sqrt(difference / size);
}

static void skip_without(const char *path)
{
    if (!golden_there(path)) {
        print_message("NOT RUN: no %s\n", path);
        skip();
    }
}

struct vgg_trace {
    const char *json, *photo;
};

static void see_vgg(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h, int32_t w,
                    const float *map)
{
    /* The ReLU that follows each convolution, among torchvision's 31 layers. */
    static const int relu[13] = {1, 3, 6, 8, 11, 13, 15, 18, 20, 22, 25, 27, 29};
    const struct vgg_trace *trace = ctx;
    struct sums sums = {0};

    add_map(&sums, (int64_t)channels * h * w, map);
    compare(&sums, json_stats(trace->json, trace->photo, relu[layer]), name);
}

static void vgg16_on_closed_form_weights_is_golden_at_224_px(void **state)
{
    static const char *const taps[2][2] = {{"conv5_3_gap", "relu5_3_gap512"}, {"pool5_gap", "pool5_gap512"}};
    static const double mean[3] = {103.939, 116.779, 123.68};
    char *json;

    (void)state;
    skip_without(photos[0].file);
    json = read_json(CNN "/vgg16_synthetic");
    for (int t = 0; t < 2; t++) {
        struct fly_embedder_config config = {.model = "vgg16",
                                             .side_px = 15,
                                             .input_px = PX,
                                             .tap = taps[t][0],
                                             .weights = "closed:",
                                             .width = 1};
        struct fly_embedder *embedder = NULL;

        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
        for (int p = 0; p < 2; p++) {
            float *input = photo_input(&photos[p], mean), out[512];
            struct vgg_trace trace = {json, photos[p].name};

            assert_int_equal(fly_embedder_trace(embedder, NULL, input, see_vgg, &trace, out), FLY_OK);
            assert_true(apart(out, CNN "/vgg16_synthetic", photos[p].name, taps[t][1]) < 1e-5);
            free(input);
        }
        fly_embedder_close(&embedder);
    }
    free(json);
}

struct squeezenet_trace {
    const char *json, *photo;
    struct sums fire; /* of a fire module's two expands */
    float *last;      /* (512, 13, 13) */
    int64_t last_len;
};

static void see_squeezenet(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h,
                           int32_t w, const float *map)
{
    static const int fires[8] = {3, 4, 6, 7, 9, 10, 11, 12};
    struct squeezenet_trace *trace = ctx;
    int64_t items = (int64_t)channels * h * w;
    int part = (layer - 1) % 3;

    if (layer == 0) {
        struct sums sums = {0};

        add_map(&sums, items, map);
        compare(&sums, json_stats(trace->json, trace->photo, 1), name);
        return;
    }
    if (part == 0) {
        trace->fire = (struct sums){0};
        trace->last_len = 0;
        return;
    }
    add_map(&trace->fire, items, map);
    if (layer > 22) { /* the last module's */
        memcpy(trace->last + trace->last_len, map, (size_t)items * sizeof *map);
        trace->last_len += items;
    }
    if (part == 2)
        compare(&trace->fire, json_stats(trace->json, trace->photo, fires[(layer - 1) / 3]), name);
}

static void squeezenet_on_its_real_weights_is_golden_at_224_px(void **state)
{
    static const double mean[3] = {104.0, 117.0, 123.0};
    struct fly_embedder_config config = {.model = "squeezenet1_1", .side_px = 15, .input_px = PX, .width = 1};
    struct fly_embedder *embedder = NULL;
    struct bytes weights;
    char *json;

    (void)state;
    skip_without(photos[0].file);
    skip_without(WEIGHTS);
    weights = bytes_of_file(WEIGHTS);
    config.weight_bytes = weights.at;
    config.weight_len = weights.len;
    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    json = read_json(CNN "/squeezenet1_1");
    for (int p = 0; p < 2; p++) {
        float *input = photo_input(&photos[p], mean), out[512];
        struct squeezenet_trace trace = {.json = json, .photo = photos[p].name};

        trace.last = malloc(512 * 13 * 13 * sizeof *trace.last);
        assert_int_equal(fly_embedder_trace(embedder, NULL, input, see_squeezenet, &trace, out), FLY_OK);
        assert_int_equal(trace.last_len, 512 * 13 * 13);
        assert_true(apart(trace.last, CNN "/squeezenet1_1", photos[p].name, "fire9") < 1e-5);
        assert_true(apart(out, CNN "/squeezenet1_1", photos[p].name, "gap512") < 1e-5);
        free(trace.last);
        free(input);
    }
    fly_embedder_close(&embedder);
    free(json);
    free(weights.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vgg16_on_closed_form_weights_is_golden_at_224_px),
        cmocka_unit_test(squeezenet_on_its_real_weights_is_golden_at_224_px),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
