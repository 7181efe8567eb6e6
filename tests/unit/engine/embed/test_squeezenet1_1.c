#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/embed.h"
#include "tests/support/golden_case.h"
#include "tests/support/squeezenet_file.h"

#define WEIGHTS FLY_SHARED_DIR "/weights/squeezenet1_1_features_caffe.safetensors"

static struct fly_embedder_config config_of(const struct bytes *file)
{
    return (struct fly_embedder_config){.model = "squeezenet1_1",
                                        .side_px = 15,
                                        .weight_bytes = file->at,
                                        .weight_len = file->len,
                                        .weight_name = "test",
                                        .width = 1};
}

static struct fly_embedder *open_file(const struct bytes *file)
{
    struct fly_embedder_config config = config_of(file);
    struct fly_embedder *embedder = NULL;

    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    return embedder;
}

static void embeddings_with_the_real_weights_are_golden(void **state)
{
    struct bytes file = bytes_of_file(WEIGHTS);
    struct golden_case g = golden_case_open(FLY_TEST_DIR "/golden/a_tiny");
    struct golden emb = golden_open(FLY_TEST_DIR "/golden/a_tiny/expected_squeezenet", "emb");
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder;
    double *pictures, worst = 0.0;
    float *out;

    (void)state;
    if (!file.at) {
        golden_case_close(&g);
        golden_close(&emb);
        print_message("NOT RUN: no " WEIGHTS "\n");
        skip();
    }
    pictures = golden_case_resized(&g, 64);
    out = malloc((size_t)g.chips * 512 * sizeof *out);
    embedder = open_file(&file);
    assert_string_equal(fly_embedder_name(embedder), "squeezenet1_1/gap/64px/test");
    assert_int_equal(emb.npy.items, g.chips * 512);
    fly_embedder_run(embedder, pictures, g.chips, out, &serial);
    for (int32_t k = 0; k < g.chips; k++) {
        double difference = 0.0, size = 0.0;

        for (int32_t d = 0; d < 512; d++) {
            float want;

            assert_int_equal(emb.npy.type, FLY_NPY_F32);
            memcpy(&want, (const char *)emb.npy.data + 4 * (k * 512 + d), 4);
            difference += pow((double)out[k * 512 + d] - (double)want, 2.0);
            size += (double)want * (double)want;
        }
        worst = fmax(worst, sqrt(difference / size));
    }
    assert_true(worst < 1e-5);
    fly_embedder_close(&embedder);
    golden_close(&emb);
    golden_case_close(&g);
    free(file.at);
    free(pictures);
    free(out);
}

static float first_input(const char *metadata, int channel)
{
    struct bytes file = squeezenet_file(metadata);
    struct fly_embedder *embedder = open_file(&file);
    double *picture = calloc(64 * 64, sizeof *picture);
    float *input = malloc(3 * 64 * 64 * sizeof *input), value;

    picture[0] = 200.0;
    assert_int_equal(fly_embedder_input(embedder, picture, input), FLY_OK);
    value = input[channel * 64 * 64];
    free(picture);
    free(input);
    free(file.at);
    fly_embedder_close(&embedder);
    return value;
}

static void preprocessing_is_what_the_metadata_say(void **state)
{
    (void)state;
    assert_true(first_input(NULL, 0) == 96.0f);
    assert_true(first_input("{\"mean\":\"100,110,120\",\"std\":\"1,2,1\"}", 1) == 45.0f);
    assert_true(first_input("{\"range\":\"0..1\",\"mean\":\"0,0,0.5\"}", 2) == (float)(200.0 / 255.0 - 0.5));
    assert_true(first_input("{\"preprocess\":\"torchvision\"}", 0) ==
                (float)((200.0 / 255.0 - 0.485) / 0.229));
}

static void metadata_that_cannot_be_understood_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"mean\":\"1,2\"}",        "{\"mean\":\"1,2,3,4\"}",   "{\"mean\":\"1,2,x\"}",
        "{\"std\":\"1,0,1\"}",       "{\"std\":\"1,nan,1\"}",    "{\"range\":\"0..2\"}",
        "{\"preprocess\":\"pil\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bytes file = squeezenet_file(bad[i]);
        struct fly_embedder_config config = config_of(&file);
        struct fly_embedder *embedder = NULL;

        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_EWIRE);
        assert_non_null(strstr(fly_fail_text(), "metadata"));
        free(file.at);
    }
}

static void a_file_of_another_network_is_refused_by_tensor(void **state)
{
    const int64_t shape[4] = {64, 3, 5, 5}, line[1] = {64};
    float *values = calloc(64 * 75, sizeof *values);
    struct fly_embedder *embedder = NULL;
    struct fly_embedder_config config;
    struct tensors make = {0};
    struct bytes file;

    (void)state;
    tensors_add(&make, "features.0.weight", 4, shape, values);
    tensors_add(&make, "features.0.bias", 1, line, values);
    file = tensors_finish(&make);
    config = config_of(&file);
    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_EWIRE);
    assert_string_equal(fly_fail_text(), "weights test: tensor features.0.weight is (64, 3, 5, 5), the "
                                         "network needs (64, 3, 3, 3)");
    free(file.at);
    free(values);
}

static void every_size_from_17_px_up_is_taken(void **state)
{
    const int32_t sizes[] = {17, 18, 31, 65, 100, 224};
    struct bytes file = squeezenet_file(NULL);
    struct fly_embedder_config config = config_of(&file);
    struct fly_embedder *embedder = NULL;
    struct fly_exec serial = fly_exec_serial();

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t px = (size_t)sizes[i];
        double *picture = malloc(px * px * sizeof *picture);
        float out[512], most = 0.0f;

        for (size_t p = 0; p < px * px; p++)
            picture[p] = (double)(p * 37 % 256);
        config.input_px = sizes[i];
        assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
        fly_embedder_run(embedder, picture, 1, out, &serial);
        for (int d = 0; d < 512; d++)
            most = fmaxf(most, out[d]);
        assert_true(isfinite(most) && most > 0.0f);
        fly_embedder_close(&embedder);
        free(picture);
    }
    config.input_px = 16;
    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_ERANGE);
    free(file.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_with_the_real_weights_are_golden),
        cmocka_unit_test(preprocessing_is_what_the_metadata_say),
        cmocka_unit_test(metadata_that_cannot_be_understood_are_refused),
        cmocka_unit_test(a_file_of_another_network_is_refused_by_tensor),
        cmocka_unit_test(every_size_from_17_px_up_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
