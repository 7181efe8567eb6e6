#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/embed/embed.h"
#include "tests/support/pool_exec.h"
#include "tests/support/squeezenet_file.h"

enum { WIDTH_CAP = 512 };

/* Every model, at its usual size and at sizes that make maps odd or tiny. */
static const struct subject {
    const char *model, *tap;
    int32_t px; /* of the pictures */
} subjects[] = {
    {"spectral", NULL, 15},
    {"spectral", NULL, 64},
    {"squeezenet1_1", NULL, 17},
    {"squeezenet1_1", NULL, 64},
    {"squeezenet1_1", NULL, 75},
    {"vgg16", "conv5_3_gap", 32},
    {"vgg16", "pool5_gap", 39},
    {"vgg16", "conv5_3_gmp", 64},
};

enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

static struct fly_embedder *open_subject(const struct subject *subject, int32_t width)
{
    struct fly_embedder_config config = {.model = subject->model,
                                         .side_px = subject->px,
                                         .input_px = subject->px,
                                         .tap = subject->tap,
                                         .width = width};
    struct fly_embedder *embedder = NULL;
    struct bytes file = {0};

    if (strcmp(subject->model, "vgg16") == 0)
        config.weights = "he:1";
    if (strcmp(subject->model, "squeezenet1_1") == 0) {
        file = squeezenet_file(NULL);
        config.weight_bytes = file.at;
        config.weight_len = file.len;
    }
    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    free(file.at);
    return embedder;
}

static double *random_pictures(int32_t n, int32_t px, uint64_t seed)
{
    size_t count = (size_t)n * (size_t)px * (size_t)px;
    double *pictures = malloc(count * sizeof *pictures);
    struct fly_rng rng = {seed};

    for (size_t i = 0; i < count; i++)
        pictures[i] = 255.0 * fly_rng_uniform(&rng);
    return pictures;
}

static void a_chip_has_the_same_bits_in_every_place_of_a_batch(void **state)
{
    struct fly_exec serial = fly_exec_serial();

    (void)state;
    for (int s = 0; s < SUBJECTS; s++) {
        struct fly_embedder *embedder = open_subject(&subjects[s], 1);
        int32_t batch = fly_embedder_batch(embedder), width = fly_embedder_width(embedder);
        int32_t px = subjects[s].px;
        size_t pixels = (size_t)px * (size_t)px;
        double *chip = random_pictures(1, px, 100);
        float alone[WIDTH_CAP], *out = malloc((size_t)(batch * width) * sizeof *out);

        assert_int_equal(fly_embedder_input_px(embedder), px);
        fly_embedder_run(embedder, chip, 1, alone, &serial);
        for (int32_t place = 0; place < batch; place++) {
            double *others = random_pictures(batch, px, (uint64_t)place + 1);

            /* Wild neighbours too: what they overflow must stay theirs. */
            for (size_t i = 0; i < pixels && place % 2; i++)
                others[(size_t)((place + 1) % batch) * pixels + i] = 1e30;
            memcpy(others + (size_t)place * pixels, chip, pixels * sizeof *chip);
            fly_embedder_run(embedder, others, batch, out, &serial);
            if (memcmp(out + place * width, alone, (size_t)width * sizeof *out) != 0)
                fail_msg("%s: place %d of %d has other bits", fly_embedder_name(embedder), place, batch);
            free(others);
        }
        fly_embedder_close(&embedder);
        free(chip);
        free(out);
    }
}

static void one_thread_and_two_give_the_same_bits(void **state)
{
    struct pool_exec pool = {.width = 2};
    struct fly_exec serial = fly_exec_serial(), threads = pool_exec(&pool);

    (void)state;
    for (int s = 0; s < SUBJECTS; s++) {
        struct fly_embedder *one = open_subject(&subjects[s], 1), *two = open_subject(&subjects[s], 2);
        int32_t n = 3 * fly_embedder_batch(one) + 1, width = fly_embedder_width(one);
        double *pictures = random_pictures(n, subjects[s].px, 7);
        float *a = calloc((size_t)(n * width), sizeof *a), *b = calloc((size_t)(n * width), sizeof *b);

        fly_embedder_run(one, pictures, n, a, &serial);
        fly_embedder_run(two, pictures, n, b, &threads);
        assert_memory_equal(a, b, (size_t)(n * width) * sizeof *a);
        fly_embedder_run(two, pictures, n, b, &serial); /* fewer than it was opened for */
        assert_memory_equal(a, b, (size_t)(n * width) * sizeof *a);
        assert_true(fly_embedder_bytes(two) > fly_embedder_bytes(one));
        fly_embedder_close(&one);
        fly_embedder_close(&two);
        free(pictures);
        free(a);
        free(b);
    }
}

static void no_chips_are_no_work(void **state)
{
    struct fly_embedder *embedder = open_subject(&subjects[0], 1);
    struct fly_exec serial = fly_exec_serial();
    float out[1] = {5.0f};

    (void)state;
    fly_embedder_run(embedder, NULL, 0, out, &serial);
    assert_true(out[0] == 5.0f);
    fly_embedder_close(&embedder);
    fly_embedder_close(&embedder);
}

/* Opened with one thing changed, it answers code with `word` in the message, and makes nothing. */
static void refused(struct fly_embedder_config config, int code, const char *word)
{
    struct fly_embedder *embedder = NULL;
    int rc = fly_embedder_open(&embedder, &config);

    if (rc != code || !strstr(fly_fail_text(), word))
        fail_msg("answered %s \"%s\", expected %s with \"%s\"", fly_err_name(rc), fly_fail_text(),
                 fly_err_name(code), word);
    assert_null(embedder);
}

static void what_cannot_be_opened_says_what_can(void **state)
{
    const struct fly_embedder_config spectral = {.model = "spectral", .side_px = 15, .width = 1};
    const struct fly_embedder_config vgg = {.model = "vgg16", .side_px = 15, .width = 1, .weights = "he:1"};
    const struct fly_embedder_config squeezenet = {.model = "squeezenet1_1", .side_px = 15, .width = 1};
    struct fly_embedder_config c;

    (void)state;
    c = spectral, c.model = "resnet";
    refused(c, FLY_ERANGE, "spectral, squeezenet1_1, vgg16");
    c = spectral, c.model = NULL;
    refused(c, FLY_ERANGE, "unknown");
    c = spectral, c.side_px = 3;
    refused(c, FLY_ERANGE, "4 .. 1024");
    c = spectral, c.side_px = 1025;
    refused(c, FLY_ERANGE, "4 .. 1024");
    c = spectral, c.width = 0;
    refused(c, FLY_ERANGE, "1 .. 64");
    c = spectral, c.width = 65;
    refused(c, FLY_ERANGE, "1 .. 64");
    c = spectral, c.input_px = 32;
    refused(c, FLY_ERANGE, "takes chips as they are, 15 px");
    c = vgg, c.input_px = 31;
    refused(c, FLY_ERANGE, "32 .. 1024");
    c = vgg, c.input_px = 1025;
    refused(c, FLY_ERANGE, "32 .. 1024");
    c = vgg, c.input_px = -32;
    refused(c, FLY_ERANGE, "32 .. 1024");
    c = vgg, c.tap = "fc6";
    refused(c, FLY_ERANGE, "conv5_3_gap, conv5_3_gmp, pool5_gap");
    c = vgg, c.preproc = "raw";
    refused(c, FLY_ERANGE, "caffe and tv");
    c = vgg, c.weights = "imagenet";
    refused(c, FLY_ERANGE, "he:SEED");
    c = vgg, c.weights = NULL;
    refused(c, FLY_ERANGE, "needs weights");
    c = vgg, c.weights = NULL, c.weight_bytes = "short", c.weight_len = 5;
    refused(c, FLY_EWIRE, "5 bytes");
    refused(squeezenet, FLY_ERANGE, "needs weights");
    c = squeezenet, c.weight_bytes = "short", c.weight_len = 5;
    refused(c, FLY_EWIRE, "5 bytes");
}

static void seen(void *ctx, int32_t layer, const char *name, int32_t channels, int32_t h, int32_t w,
                 const float *map)
{
    (void)layer, (void)name, (void)channels, (void)h, (void)w, (void)map;
    ++*(int *)ctx;
}

static void spectral_has_no_network_to_look_into(void **state)
{
    struct fly_embedder *embedder = open_subject(&subjects[0], 1);
    double *picture = random_pictures(1, 15, 1);
    float input[3 * 15 * 15], out[WIDTH_CAP];
    int layers = 0;

    (void)state;
    assert_int_equal(fly_embedder_input(embedder, picture, input), FLY_ERANGE);
    assert_int_equal(fly_embedder_trace(embedder, picture, NULL, seen, &layers, out), FLY_ERANGE);
    assert_int_equal(layers, 0);
    fly_embedder_close(&embedder);
    free(picture);
}

static void a_trace_gives_the_bits_of_a_run(void **state)
{
    struct fly_exec serial = fly_exec_serial();

    (void)state;
    for (int s = 0; s < SUBJECTS; s++) {
        struct fly_embedder *embedder = open_subject(&subjects[s], 1);
        int32_t px = subjects[s].px, width = fly_embedder_width(embedder);
        double *picture = random_pictures(1, px, 3);
        float run[WIDTH_CAP], traced[WIDTH_CAP];
        int layers = 0;

        fly_embedder_run(embedder, picture, 1, run, &serial);
        if (strcmp(subjects[s].model, "spectral") != 0) {
            assert_int_equal(fly_embedder_trace(embedder, picture, NULL, seen, &layers, traced), FLY_OK);
            assert_int_equal(layers, strcmp(subjects[s].model, "vgg16") == 0 ? 13 : 25);
            assert_memory_equal(run, traced, (size_t)width * sizeof *run);
        }
        fly_embedder_close(&embedder);
        free(picture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chip_has_the_same_bits_in_every_place_of_a_batch),
        cmocka_unit_test(one_thread_and_two_give_the_same_bits),
        cmocka_unit_test(no_chips_are_no_work),
        cmocka_unit_test(what_cannot_be_opened_says_what_can),
        cmocka_unit_test(spectral_has_no_network_to_look_into),
        cmocka_unit_test(a_trace_gives_the_bits_of_a_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
