#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/stack.h"
#include "tests/support/recorded_stack.h"

enum { H = 40, W = 64, FRAMES = 4, PHOTONS = 1 << 16 };

static char path[64];
static struct fly_specimen *specimen;
static struct fly_beam *beam;

/* What the beam saw, frame by frame: the outside reference. */
static uint16_t image[FRAMES][H * W];
static uint32_t row_ptr[FRAMES][2][H * W + 1];
static uint16_t channel[FRAMES][2][PHOTONS];

static int by_channel(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Counts of channels keep no order of photons: then the reference has them by channel, too. */
static void sort_photons(void)
{
    for (int f = 0; f < FRAMES; f++)
        for (int s = 0; s < 2; s++)
            for (int p = 0; p < H * W; p++)
                qsort(channel[f][s] + row_ptr[f][s][p], row_ptr[f][s][p + 1] - row_ptr[f][s][p], sizeof(uint16_t),
                      by_channel);
}

/* A session of FRAMES frames in a layout, blocks shuffled; of the last frame only the lines above cut. */
static void record(enum fly_photon_layout layout, int32_t cut)
{
    struct recorded_stack stack = {.path = path, .specimen = specimen, .beam = beam, .cut_px = cut, .backwards = 1,
                                   .scan = {.session = "recorded", .sample = "a sample", .frames = FRAMES,
                                            .dwell_us = 2.0, .haadf = 1, .eds = 1, .layout = layout,
                                            .scan = {.height_px = H, .block_px = 7, .order = FLY_ORDER_SHUFFLED,
                                                     .seed = 4}}};

    snprintf(path, sizeof path, "/tmp/flyback-stack-%d.fly", (int)getpid());
    record_stack(&stack);
}

static int setup(void **state)
{
    struct fly_specimen_config cut = {.height_px = H, .width_px = W, .pixel_nm = 0.05, .seed = 3};
    struct fly_beam_config optics = fly_beam_config_default();

    optics.eds_counts = 0.7;
    optics.segments = 2;
    assert_int_equal(fly_specimen_open(&specimen, &cut), FLY_OK);
    assert_int_equal(fly_beam_open(&beam, specimen, &optics), FLY_OK);
    for (int f = 0; f < FRAMES; f++) {
        struct fly_shot shot = {.frame = f, .h = H, .w = W, .dwell_us = 2.0};

        fly_beam_image(beam, &shot, image[f]);
        for (int s = 0; s < 2; s++) {
            assert_true(fly_beam_photons(beam, &shot, s, row_ptr[f][s]) < PHOTONS);
            fly_beam_channels(beam, &shot, s, row_ptr[f][s], channel[f][s]);
        }
    }
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    fly_beam_close(&beam);
    fly_specimen_close(&specimen);
    return 0;
}

/* ---- against the recording ------------------------------------------------------------------------ */

static struct fly_start start;

static void decode(struct fly_ingest *in, const struct fly_message *m)
{
    const struct fly_session_view view = {"bought", &start, 0, NULL};

    if (fly_ingest_decode(in, &start, m->parts, m->n_parts, &view) != FLY_REFUSE_NONE)
        fail_msg("%s", fly_fail_text());
}

static void begin(struct fly_instrument *from)
{
    const struct fly_session_view none = {NULL, NULL, 0, NULL};
    struct fly_message m;
    struct fly_ingest in;

    from->start(from->ctx, 77, &m);
    if (fly_ingest_decode(&in, &start, m.parts, m.n_parts, &none) != FLY_REFUSE_NONE)
        fail_msg("%s", fly_fail_text());
    assert_string_equal(in.session, "bought");
    assert_int_equal(in.t_ns, 77);
}

/* A patch that is worth `frames` frames: of each pixel those from next on. */
static void assert_bought(struct fly_instrument *from, const struct fly_patch *patch, const int next[H * W], int frames)
{
    struct fly_message m;
    struct fly_ingest in;

    assert_int_equal(from->ready(from->ctx, patch), FLY_OK);
    assert_int_equal(from->measure(from->ctx, patch, 1, 5, &m), FLY_OK);
    decode(&in, &m);
    assert_true(in.frame == patch->frame && in.h == patch->h && in.dwell_ns == (uint64_t)(2000 * frames));
    for (int i = 0; i < patch->h * patch->w; i++) {
        int pixel = (patch->y0_px + i / patch->w) * W + patch->x0_px + i % patch->w;
        double sum = 0.0;

        for (int f = 0; f < frames; f++)
            sum += image[next[pixel] + f][pixel];
        assert_int_equal(((const uint16_t *)m.parts[1].bytes)[i], (int)nearbyint(sum / frames));
    }
    for (int s = 0; s < 2; s++) {
        const uint32_t *pixel_of;
        const uint16_t *channels;
        int64_t k = 0;

        assert_int_equal(from->measure(from->ctx, patch, 2 + s, 5, &m), FLY_OK);
        decode(&in, &m);
        pixel_of = m.parts[1].bytes;
        channels = m.parts[2].bytes;
        for (int i = 0; i < patch->h * patch->w; i++) {
            int pixel = (patch->y0_px + i / patch->w) * W + patch->x0_px + i % patch->w;

            for (int f = next[pixel]; f < next[pixel] + frames; f++)
                for (uint32_t p = row_ptr[f][s][pixel]; p < row_ptr[f][s][pixel + 1]; p++, k++) {
                    assert_true(k < in.photons);
                    assert_int_equal(pixel_of[k], i);
                    assert_int_equal(channels[k], channel[f][s][p]);
                }
        }
        assert_int_equal(k, in.photons);
    }
    from->done(from->ctx, patch);
}

static void open_stack(struct fly_stack **stack)
{
    if (fly_stack_open(stack, path, "bought", 64 << 20) < 0)
        fail_msg("%s", fly_fail_text());
}

/* Whatever is bought in whatever order, each pixel gives its own frames, in order, each once. */
static void each_frame_is_bought_once_and_is_the_recorded_one(void **state)
{
    for (int layout = FLY_LAYOUTS - 1; layout >= 0; layout--) {
        struct fly_rng rng = {(uint64_t)layout + 9};
        struct fly_stack *stack = NULL;
        struct fly_instrument from;
        static int next[H * W];
        int bought = 0;

        if (layout == FLY_LAYOUT_DENSE)
            sort_photons();
        record((enum fly_photon_layout)layout, H);
        open_stack(&stack);
        from = fly_stack_instrument(stack);
        begin(&from);
        memset(next, 0, sizeof next);
        for (int trial = 0; trial < 400; trial++) {
            struct fly_patch patch = {.frame = trial, .y0_px = (int32_t)fly_rng_below(&rng, H),
                                      .x0_px = (int32_t)fly_rng_below(&rng, W)};
            int frames = 1 + (int)fly_rng_below(&rng, 2), most = 0;

            patch.h = 1 + (int32_t)fly_rng_below(&rng, (uint64_t)(H - patch.y0_px < 9 ? H - patch.y0_px : 9));
            patch.w = 1 + (int32_t)fly_rng_below(&rng, (uint64_t)(W - patch.x0_px < 9 ? W - patch.x0_px : 9));
            patch.dwell_us = from.dwell_us(from.ctx, 2.1 * frames);
            for (int y = patch.y0_px; y < patch.y0_px + patch.h; y++)
                for (int x = patch.x0_px; x < patch.x0_px + patch.w; x++)
                    most = next[y * W + x] > most ? next[y * W + x] : most;
            if (most + frames > FRAMES) {
                assert_int_equal(from.ready(from.ctx, &patch), FLY_ERANGE);
                continue;
            }
            assert_bought(&from, &patch, next, frames);
            bought++;
            for (int y = patch.y0_px; y < patch.y0_px + patch.h; y++)
                for (int x = patch.x0_px; x < patch.x0_px + patch.w; x++) {
                    next[y * W + x] += frames;
                    assert_int_equal(fly_stack_left(stack, y, x), FRAMES - next[y * W + x]);
                }
        }
        assert_true(bought > 100);
        assert_int_equal(from.count(from.ctx, 1), bought);
        fly_stack_close(&stack);
    }
}

static void a_frame_that_breaks_off_is_not_everyones(void **state)
{
    struct fly_patch patch = {.frame = 9, .h = 1, .w = W, .dwell_us = 2.0 * FRAMES};
    struct fly_stack *stack = NULL;
    struct fly_stack_facts facts;
    struct fly_instrument from;

    record(FLY_LAYOUT_PAIRS, 21);
    open_stack(&stack);
    from = fly_stack_instrument(stack);
    fly_stack_facts(stack, &facts);
    assert_int_equal(facts.frames, FRAMES);
    assert_int_equal(facts.pixels, (FRAMES - 1) * H * W + 21 * W);
    assert_int_equal(from.ready(from.ctx, &patch), FLY_OK);
    patch.y0_px = 21;
    assert_int_equal(from.ready(from.ctx, &patch), FLY_ERANGE);
    assert_non_null(strstr(fly_fail_text(), "no frames left: pixel [21, 0] has 3, 4 are wanted"));
    fly_stack_close(&stack);
}

static void the_start_is_the_recorded_one(void **state)
{
    struct fly_stack *stack = NULL;
    struct fly_instrument from;

    record(FLY_LAYOUT_CSR, H);
    open_stack(&stack);
    from = fly_stack_instrument(stack);
    begin(&from);
    assert_int_equal(start.frames_planned, 0);
    assert_int_equal(start.scan_path, FLY_SCAN_LIST);
    assert_int_equal(start.height_px, H);
    assert_int_equal(start.n_segments, 2);
    assert_string_equal(start.sample, "a sample");
    assert_true(from.pixel_time_us == 2.0 && from.n_images == 1 && from.n_streams == 4);
    assert_float_equal(from.e_per_A2_per_us, 0.1e-15 / 1.602176634e-19 / 0.25, 1e-9);
    fly_stack_close(&stack);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct fly_stack *stack = NULL;

    record(FLY_LAYOUT_PAIRS, H);
    assert_int_equal(fly_stack_open(&stack, path, "bought", 30000), FLY_ENOMEM);
    assert_int_equal(fly_stack_open(&stack, path, "not good", 64 << 20), FLY_ERANGE);
    assert_int_equal(fly_stack_open(&stack, "/nowhere.fly", "bought", 64 << 20), FLY_EIO);
    assert_null(stack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_frame_is_bought_once_and_is_the_recorded_one),
        cmocka_unit_test(a_frame_that_breaks_off_is_not_everyones),
        cmocka_unit_test(the_start_is_the_recorded_one),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
