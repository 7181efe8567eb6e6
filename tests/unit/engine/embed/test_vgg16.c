#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/embed.h"
#include "engine/embed/vgg16_weights.h"
#include "tests/support/golden_case.h"

static const char *const a_tiny = FLY_TEST_DIR "/golden/a_tiny";

static struct fly_embedder *open_vgg(const char *weights, int32_t px, const char *tap,
                                     const char *preproc)
{
    struct fly_embedder_config config = {.model = "vgg16",
                                         .side_px = 15,
                                         .input_px = px,
                                         .tap = tap,
                                         .preproc = preproc,
                                         .weights = weights,
                                         .width = 1};
    struct fly_embedder *embedder = NULL;

    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    return embedder;
}

/* The largest relative L2 distance of two sets of vectors, `golden` in float or double. */
static double apart(const float *got, const struct golden *golden, int32_t n, int32_t width)
{
    double worst = 0.0;

    assert_int_equal(golden->npy.items, (int64_t)n * width);
    for (int32_t k = 0; k < n; k++) {
        double difference = 0.0, size = 0.0;

        for (int32_t d = 0; d < width; d++) {
            double want;

            if (golden->npy.type == FLY_NPY_F64) {
                memcpy(&want, (const char *)golden->npy.data + 8 * (k * width + d), 8);
            } else {
                float single;

                assert_int_equal(golden->npy.type, FLY_NPY_F32);
                memcpy(&single, (const char *)golden->npy.data + 4 * (k * width + d), 4);
                want = (double)single;
            }
            difference += pow((double)got[k * width + d] - want, 2.0);
            size += want * want;
        }
        worst = fmax(worst, sqrt(difference / size));
    }
    return worst;
}

static double case_apart(const char *folder, const char *weights, int32_t px, const char *tap,
                         const char *preproc)
{
    struct golden_case g = golden_case_open(folder);
    struct fly_embedder *embedder = open_vgg(weights, px, tap, preproc);
    struct fly_exec serial = fly_exec_serial();
    double *pictures = golden_case_resized(&g, px), worst;
    float *out = malloc((size_t)g.chips * 512 * sizeof *out);
    char expected[900];
    struct golden emb;

    snprintf(expected, sizeof expected, "%s/expected", folder);
    emb = golden_open(expected, "emb");
    assert_int_equal(fly_embedder_width(embedder), 512);
    fly_embedder_run(embedder, pictures, g.chips, out, &serial);
    worst = apart(out, &emb, g.chips, 512);
    golden_close(&emb);
    fly_embedder_close(&embedder);
    golden_case_close(&g);
    free(pictures);
    free(out);
    return worst;
}

static void synthetic_weights_are_those_of_the_definitions_to_the_bit(void **state)
{
    float *weights = malloc(FLY_VGG16_WEIGHTS_CAP * sizeof *weights), bias[FLY_VGG16_BIAS_CAP];
    struct fly_vgg16_source source;
    double sum = 0.0;

    (void)state;
    assert_int_equal(fly_vgg16_source_parse(&source, "he:1"), FLY_OK);
    assert_int_equal(fly_vgg16_layer_read(&source, 0, weights, bias), FLY_OK);
    assert_true(weights[0] == -0x1.83a036p-2f && weights[2] == -0x1.e5fa7ep-3f);
    assert_true(bias[0] == -0x1.5110a6p-6f && bias[1] == 0x1.d0fd9ap-10f);
    assert_int_equal(fly_vgg16_source_parse(&source, "he:7"), FLY_OK);
    assert_int_equal(fly_vgg16_layer_read(&source, 3, weights, bias), FLY_OK);
    assert_true(weights[128 * 128 * 9 - 1] == -0x1.4b204cp-7f && bias[127] == 0x1.2c584ep-7f);

    assert_int_equal(fly_vgg16_source_parse(&source, "closed:"), FLY_OK);
    assert_int_equal(fly_vgg16_layer_read(&source, 12, weights, bias), FLY_OK);
    for (int i = 0; i < FLY_VGG16_WEIGHTS_CAP; i++)
        sum += (double)weights[i];
    assert_true(fabs(sum - -8.676472785353916) < 1e-8);
    assert_true(weights[1] == (float)0.024965379387140274 && bias[3] == (float)0.00931401364505291);
    free(weights);
}

static void other_names_of_weights_are_refused(void **state)
{
    static const char *const bad[] = {"", "he:", "he:-1", "he:1x", "he:16777216", "he:99999999999999999999",
                                      "closed", "closed:1", "HE:1", "vgg.safetensors"};
    struct fly_vgg16_source source;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(fly_vgg16_source_parse(&source, bad[i]), FLY_ERANGE);
    assert_int_equal(fly_vgg16_source_parse(&source, "he:16777215"), FLY_OK);
    assert_true(source.seed == 16777215);
}

static void embeddings_of_a_scene_are_golden(void **state)
{
    (void)state;
    assert_true(case_apart(a_tiny, "he:1", 32, "conv5_3_gap", "caffe") < 1e-5);
}

static void torchvision_input_at_64_px_and_the_maximum_tap_are_golden(void **state)
{
    (void)state;
    if (!golden_there(FLY_SHARED_DIR "/golden/e_size64_tv/haadf.npy")) {
        print_message("NOT RUN: no golden scenes in " FLY_SHARED_DIR "/golden\n");
        skip();
    }
    assert_true(case_apart(FLY_SHARED_DIR "/golden/e_size64_tv", "he:3", 64, "conv5_3_gap", "tv") < 1e-5);
    assert_true(case_apart(FLY_SHARED_DIR "/golden/f_gmp_coarse", "he:2", 32, "conv5_3_gmp", "caffe") < 1e-5);
}

struct trace {
    int32_t layers;
    double mean_l2[13][2]; /* golden */
    double worst;          /* relative */
    float last[4 * 512];   /* conv5_3, 2 x 2 */
};

static void compare_layer(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h,
                          int32_t w, const float *map)
{
    struct trace *trace = ctx;
    double mean = 0.0, squares = 0.0;
    int64_t items = (int64_t)channels * h * w;

    assert_int_equal(layer, trace->layers++);
    assert_string_equal(name, fly_vgg16_layers[layer].name);
    assert_int_equal(channels, fly_vgg16_layers[layer].out);
    for (int64_t i = 0; i < items; i++) {
        mean += (double)map[i];
        squares += (double)map[i] * (double)map[i];
    }
    mean /= (double)items;
    trace->worst = fmax(trace->worst, fabs(mean / trace->mean_l2[layer][0] - 1.0));
    trace->worst = fmax(trace->worst, fabs(sqrt(squares) / trace->mean_l2[layer][1] - 1.0));
    if (layer == 12) {
        assert_int_equal(items, 4 * 512);
        memcpy(trace->last, map, sizeof trace->last);
    }
}

/* expected.json has the 26 numbers in one list of pairs. */
static void read_trace(struct trace *trace)
{
    struct bytes file = bytes_of_file(FLY_TEST_DIR "/golden/a_tiny/expected/expected.json");
    char *json = calloc(1, file.len + 1), *at;

    memcpy(json, file.at, file.len);
    at = strstr(json, "layer_trace_chip0_mean_l2\"");
    assert_non_null(at);
    at = strchr(at, '[');
    for (int i = 0; i < 26; i++) {
        at += strcspn(at, "0123456789");
        trace->mean_l2[i / 2][i % 2] = strtod(at, &at);
    }
    free(json);
    free(file.at);
}

static void every_layer_of_the_first_chip_is_golden(void **state)
{
    struct golden_case g = golden_case_open(a_tiny);
    struct fly_embedder *embedder = open_vgg("he:1", 32, "conv5_3_gap", NULL);
    struct fly_exec serial = fly_exec_serial();
    double *pictures = golden_case_resized(&g, 32);
    float traced[512], run[512], again[512], *input = malloc(3 * 32 * 32 * sizeof *input);
    struct trace trace = {0};

    (void)state;
    read_trace(&trace);
    assert_int_equal(fly_embedder_trace(embedder, pictures, NULL, compare_layer, &trace, traced), FLY_OK);
    assert_int_equal(trace.layers, 13);
    assert_true(trace.worst < 1e-5);
    fly_embedder_run(embedder, pictures, 1, run, &serial);
    assert_memory_equal(traced, run, sizeof run);

    assert_int_equal(fly_embedder_input(embedder, pictures, input), FLY_OK);
    assert_true(input[32 * 32] == (float)(pictures[0] - 116.779));
    trace.layers = 0;
    assert_int_equal(fly_embedder_trace(embedder, NULL, input, compare_layer, &trace, again), FLY_OK);
    assert_memory_equal(again, run, sizeof run);
    fly_embedder_close(&embedder);
    golden_case_close(&g);
    free(pictures);
    free(input);
}

static void taps_are_the_mean_the_maximum_and_the_pooled_mean_of_one_map(void **state)
{
    static const char *const taps[] = {"conv5_3_gap", "conv5_3_gmp", "pool5_gap", NULL};
    struct golden_case g = golden_case_open(a_tiny);
    double *pictures = golden_case_resized(&g, 32);
    struct trace trace = {0};

    (void)state;
    read_trace(&trace);
    for (int t = 0; t < 4; t++) {
        struct fly_embedder *embedder = open_vgg("he:1", 32, taps[t], NULL);
        float out[512];

        trace.layers = 0;
        assert_int_equal(fly_embedder_trace(embedder, pictures, NULL, compare_layer, &trace, out), FLY_OK);
        for (int c = 0; c < 512; c++) {
            const float *m = trace.last + 4 * c;
            float mean = (float)(((double)m[0] + (double)m[1] + (double)m[2] + (double)m[3]) / 4.0);
            float most = fmaxf(fmaxf(m[0], m[1]), fmaxf(m[2], m[3])); /* 2 x 2: its pool is one pixel */

            assert_true(out[c] == (t == 0 ? mean : most));
        }
        fly_embedder_close(&embedder);
    }
    free(pictures);
    golden_case_close(&g);
}

/* he:1 as a file, names as `style` says; `but` changes one thing. */
enum style { TORCH, PLAIN, PREFIXED };
enum but { AS_IT_IS, MISSING, TURNED, NOT_A_NUMBER };

static struct bytes vgg_file(enum style style, enum but but)
{
    float *weights = malloc(FLY_VGG16_WEIGHTS_CAP * sizeof *weights), bias[FLY_VGG16_BIAS_CAP];
    struct fly_vgg16_source source = {.seed = 1};
    struct tensors make = {0};

    tensors_print(&make, "{\"__metadata__\":{\"preprocess\":\"torchvision\",\"mean\":\".485,.456,.406\"}");
    for (int32_t i = 0; i < FLY_VGG16_LAYERS; i++) {
        const struct fly_vgg16_layer *layer = &fly_vgg16_layers[i];
        int64_t shape[4] = {layer->out, layer->in, 3, 3}, bias_shape[1] = {layer->out};
        char name[64], tensor[80];

        if (style == TORCH)
            snprintf(name, sizeof name, "features.%d", layer->torch_index);
        else
            snprintf(name, sizeof name, "%s%s", style == PREFIXED ? "vgg16." : "", layer->name);
        assert_int_equal(fly_vgg16_layer_read(&source, i, weights, bias), FLY_OK);
        if (i == 5 && but == NOT_A_NUMBER)
            weights[1234] = NAN;
        if (i == 5 && but == TURNED) {
            shape[0] = 3;
            shape[3] = layer->out;
        }
        snprintf(tensor, sizeof tensor, "%s.weight", name);
        tensors_add(&make, tensor, 4, shape, weights);
        snprintf(tensor, sizeof tensor, "%s.bias", name);
        if (i != 5 || but != MISSING)
            tensors_add(&make, tensor, 1, bias_shape, bias);
    }
    free(weights);
    return tensors_finish(&make);
}

static struct fly_embedder_config file_config(const struct bytes *file)
{
    return (struct fly_embedder_config){.model = "vgg16",
                                        .side_px = 15,
                                        .weight_bytes = file->at,
                                        .weight_len = file->len,
                                        .weight_name = "test",
                                        .width = 1};
}

static void weights_from_a_file_give_the_same_bits_under_every_naming(void **state)
{
    struct golden_case g = golden_case_open(a_tiny);
    double *pictures = golden_case_resized(&g, 32);
    struct fly_embedder *embedder = open_vgg("he:1", 32, NULL, "tv");
    struct fly_exec serial = fly_exec_serial();
    float want[512], got[512];

    (void)state;
    assert_string_equal(fly_embedder_name(embedder), "vgg16/pool5_gap/32px/tv/he:1");
    fly_embedder_run(embedder, pictures, 1, want, &serial);
    fly_embedder_close(&embedder);
    for (int style = TORCH; style <= PREFIXED; style++) {
        struct bytes file = vgg_file((enum style)style, AS_IT_IS);
        struct fly_embedder_config config = file_config(&file);

        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
        free(file.at); /* lent until open returned */
        /* The metadata say torchvision. */
        assert_string_equal(fly_embedder_name(embedder), "vgg16/pool5_gap/32px/tv/test");
        fly_embedder_run(embedder, pictures, 1, got, &serial);
        assert_memory_equal(got, want, sizeof want);
        fly_embedder_close(&embedder);
    }
    free(pictures);
    golden_case_close(&g);
}

static void a_file_that_is_not_vgg16_is_refused_by_tensor(void **state)
{
    static const char *const says[] = {
        [MISSING] = "weights test: tensor features.12.bias (256) is missing",
        [TURNED] = "weights test: tensor features.12.weight is (3, 256, 3, 256), the network needs "
                   "(256, 256, 3, 3)",
        [NOT_A_NUMBER] = "weights test: tensor features.12.weight: item 1234 is not a finite float",
    };

    (void)state;
    for (int but = MISSING; but <= NOT_A_NUMBER; but++) {
        struct bytes file = vgg_file(TORCH, (enum but)but);
        struct fly_embedder_config config = file_config(&file);
        struct fly_embedder *embedder = NULL;

        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_EWIRE);
        assert_string_equal(fly_fail_text(), says[but]);
        assert_null(embedder);
        config.weight_len -= 1000;
        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_EWIRE);
        free(file.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_weights_are_those_of_the_definitions_to_the_bit),
        cmocka_unit_test(other_names_of_weights_are_refused),
        cmocka_unit_test(embeddings_of_a_scene_are_golden),
        cmocka_unit_test(torchvision_input_at_64_px_and_the_maximum_tap_are_golden),
        cmocka_unit_test(every_layer_of_the_first_chip_is_golden),
        cmocka_unit_test(taps_are_the_mean_the_maximum_and_the_pooled_mean_of_one_map),
        cmocka_unit_test(weights_from_a_file_give_the_same_bits_under_every_naming),
        cmocka_unit_test(a_file_that_is_not_vgg16_is_refused_by_tensor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
