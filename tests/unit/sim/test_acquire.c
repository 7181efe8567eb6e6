#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/acquire.h"

enum { H = 40, W = 64 };

struct bench {
    struct fly_specimen *specimen;
    struct fly_beam *beam;
    struct fly_acquire *acquire;
};

static void setup(struct bench *b, enum fly_photon_layout layout, int haadf, double eds, int32_t segments)
{
    struct fly_specimen_config specimen = {.height_px = H, .width_px = W, .pixel_nm = 0.05, .seed = 3};
    struct fly_beam_config optics = fly_beam_config_default();
    struct fly_acquire_config config = {.session = "s-1", .sample = "test", .frames = 2, .dwell_us = 2.0,
                                        .haadf = haadf, .eds = eds > 0.0, .layout = layout,
                                        .scan = {.height_px = H, .block_px = 7}};

    optics.eds_counts = eds;
    optics.segments = segments;
    memset(b, 0, sizeof *b);
    assert_int_equal(fly_specimen_open(&b->specimen, &specimen), FLY_OK);
    assert_int_equal(fly_beam_open(&b->beam, b->specimen, &optics), FLY_OK);
    assert_int_equal(fly_acquire_open(&b->acquire, b->specimen, b->beam, &config), FLY_OK);
}

static void teardown(struct bench *b)
{
    fly_acquire_close(&b->acquire);
    fly_beam_close(&b->beam);
    fly_specimen_close(&b->specimen);
}

static void begin(struct bench *b, struct fly_start *start)
{
    struct fly_session_view none = {0};
    struct fly_message m;
    struct fly_ingest in;

    fly_acquire_start(b->acquire, 1000, &m);
    assert_int_equal(fly_ingest_decode(&in, start, m.parts, m.n_parts, &none), FLY_REFUSE_NONE);
    assert_true(in.type == FLY_INGEST_START && in.seq == 1 && in.t_ns == 1000);
}

/* Every message by the decoder that Flyback uses, in every layout. */
static void the_decoder_takes_every_message(void **state)
{
    for (int layout = 0; layout < FLY_LAYOUTS; layout++) {
        struct fly_start *start = calloc(1, sizeof *start);
        struct fly_session_view view = {.session = "s-1", .start = start};
        struct fly_message m;
        struct fly_ingest in;
        struct bench b;
        uint64_t photons = 0;

        setup(&b, (enum fly_photon_layout)layout, 1, 0.8, 2);
        begin(&b, start);
        assert_true(start->height_px == H && start->width_px == W && start->n_detectors == 1);
        assert_true(start->n_segments == 2 && start->segments[1].n_channels == 4096);
        assert_true(start->n_elements == 12 && start->n_k_factors == 20 && start->frames_planned == 2);
        assert_true(fabs(start->pixel_nm[0] - 0.05) < 1e-12 && start->scan_path == FLY_SCAN_RASTER);
        for (int64_t frame = 0; frame < 2; frame++)
            for (int32_t step = 0; step < 6; step++)
                for (int32_t stream = 1; stream < fly_acquire_streams(b.acquire); stream++) {
                    assert_int_equal(fly_acquire_block(b.acquire, frame, step, stream, 5, &m), FLY_OK);
                    assert_int_equal(fly_ingest_decode(&in, start, m.parts, m.n_parts, &view),
                                     FLY_REFUSE_NONE);
                    assert_int_equal(in.stream_idx, stream);
                    assert_int_equal(in.seq, (uint64_t)(frame * 6 + step + 1));
                    assert_true(in.y0 == step * 7 && in.h == (step < 5 ? 7 : 5) && in.w == W);
                    assert_int_equal(in.dwell_ns, 2000);
                    if (stream > 1 && layout != FLY_LAYOUT_DENSE)
                        photons += (uint64_t)in.photons;
                }
        if (layout != FLY_LAYOUT_DENSE)
            assert_int_equal(photons, fly_acquire_photons(b.acquire));
        fly_acquire_heartbeat(b.acquire, 6, 3, &m);
        assert_int_equal(fly_ingest_decode(&in, start, m.parts, m.n_parts, &view), FLY_REFUSE_NONE);
        assert_true(in.backlog == 3 && in.count[1] == 12 && in.dropped[2] == 0);
        fly_acquire_stop(b.acquire, 7, "success", "done", &m);
        assert_int_equal(fly_ingest_decode(&in, start, m.parts, m.n_parts, &view), FLY_REFUSE_NONE);
        assert_true(in.count[0] == 3 && in.count[1] == 12 && in.count[3] == 12);
        assert_string_equal(in.exit_status, "success");
        teardown(&b);
        free(start);
    }
}

/* The three layouts say the same photons. */
static void layouts_agree(void **state)
{
    struct bench b[3];
    struct fly_message m[3];
    static uint32_t counts[3][7 * W * 64]; /* by pixel and channel / 64 */

    for (int layout = 0; layout < 3; layout++) {
        setup(&b[layout], (enum fly_photon_layout)layout, 0, 2.0, 1);
        assert_int_equal(fly_acquire_block(b[layout].acquire, 1, 3, 1, 0, &m[layout]), FLY_OK);
        assert_string_equal(fly_acquire_stream(b[layout].acquire, 1), "eds");
    }
    const uint16_t *dense = m[0].parts[1].bytes, *csr = m[1].parts[2].bytes, *pairs = m[2].parts[2].bytes;
    const uint32_t *row_ptr = m[1].parts[1].bytes, *pixel = m[2].parts[1].bytes;

    for (size_t i = 0; i < (size_t)7 * W * 4096; i++)
        counts[0][i / 4096 * 64 + i % 4096 / 64] += dense[i];
    for (uint32_t p = 0; p < 7 * W; p++)
        for (uint32_t i = row_ptr[p]; i < row_ptr[p + 1]; i++)
            counts[1][p * 64 + csr[i] / 64]++;
    for (size_t i = 0; i < m[2].parts[2].len / 2; i++)
        counts[2][pixel[i] * 64 + pairs[i] / 64]++;
    assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    assert_memory_equal(counts[0], counts[2], sizeof counts[0]);
    for (int layout = 0; layout < 3; layout++)
        teardown(&b[layout]);
}

static void the_same_settings_give_the_same_bytes(void **state)
{
    struct bench a, b;
    struct fly_message m, n;

    setup(&a, FLY_LAYOUT_PAIRS, 1, 0.5, 1);
    setup(&b, FLY_LAYOUT_PAIRS, 1, 0.5, 1);
    for (int32_t step = 5; step >= 0; step--)
        for (int32_t stream = 1; stream < 3; stream++) {
            assert_int_equal(fly_acquire_block(a.acquire, 0, step, stream, 9, &m), FLY_OK);
            assert_int_equal(fly_acquire_block(b.acquire, 0, step, stream, 9, &n), FLY_OK);
            assert_int_equal(m.n_parts, n.n_parts);
            for (int32_t i = 0; i < m.n_parts; i++) {
                assert_int_equal(m.parts[i].len, n.parts[i].len);
                assert_memory_equal(m.parts[i].bytes, n.parts[i].bytes, m.parts[i].len);
            }
        }
    fly_acquire_take_back(a.acquire, &m);
    assert_int_equal(fly_acquire_count(a.acquire, 2), 5);
    teardown(&a);
    teardown(&b);
}

static void what_the_wire_cannot_take_is_refused_at_once(void **state)
{
    struct fly_acquire_config config = {.session = "s 1", .frames = 1, .dwell_us = 2.0, .haadf = 1,
                                        .scan = {.height_px = H, .block_px = 1}};
    struct fly_acquire *a = NULL;
    struct bench b;

    setup(&b, FLY_LAYOUT_PAIRS, 1, 0.5, 1);
    assert_int_equal(fly_acquire_open(&a, b.specimen, b.beam, &config), FLY_ERANGE);
    config.session = "s";
    config.scan.block_px = H + 1;
    assert_int_equal(fly_acquire_open(&a, b.specimen, b.beam, &config), FLY_ERANGE);
    config.scan.block_px = 1;
    config.haadf = 0;
    assert_int_equal(fly_acquire_open(&a, b.specimen, b.beam, &config), FLY_ERANGE);
    assert_null(a);
    teardown(&b);
}

/* Commanded patches against the beam itself, line by line where lines were missed. */
static void a_patch_is_what_the_beam_saw_there(void **state)
{
    static const double off_px[5][2] = {{-1.5, 0.5}, {-0.7, 0.2}, {-0.3, 0.1}, {0, 0}, {0.25, -2}};
    struct fly_patch patch = {.frame = 9, .y0_px = 11, .x0_px = 20, .h = 5, .w = 30, .dwell_us = 16.0, .cmd_id = "c-7",
                              .off_px = off_px};
    struct fly_beam_config optics = fly_beam_config_default();
    struct fly_acquire_config config = {.session = "s-1", .frames = 1, .dwell_us = 2.0, .haadf = 1, .eds = 1, .commanded = 1,
                                        .layout = FLY_LAYOUT_CSR, .scan = {.height_px = H, .block_px = 7}};
    struct fly_start *start = calloc(1, sizeof *start);
    struct fly_session_view view = {.session = "s-1", .start = start};
    static uint16_t counts[30], channels[4096];
    static uint32_t row_ptr[31];
    struct fly_message image, photons;
    struct fly_ingest in;
    struct bench b;
    uint32_t sum = 0;

    setup(&b, FLY_LAYOUT_CSR, 1, 0.8, 1);
    fly_acquire_close(&b.acquire);
    fly_beam_close(&b.beam);
    optics.eds_counts = 0.8;
    optics.dwell_max_us = 64.0;
    assert_int_equal(fly_beam_open(&b.beam, b.specimen, &optics), FLY_OK);
    assert_int_equal(fly_acquire_open(&b.acquire, b.specimen, b.beam, &config), FLY_OK);
    begin(&b, start);
    assert_true(start->frames_planned == 0 && start->scan_path == FLY_SCAN_LIST);

    assert_int_equal(fly_acquire_patch(b.acquire, &patch, 1, 5, &image), FLY_OK);
    assert_int_equal(fly_ingest_decode(&in, start, image.parts, image.n_parts, &view), FLY_REFUSE_NONE);
    assert_true(in.frame == 9 && in.y0 == 11 && in.x0 == 20 && in.h == 5 && in.w == 30 && in.dwell_ns == 16000);
    assert_true(in.cmd_id == fly_ingest_cmd_id("c-7", 3));
    for (int32_t line = 0; line < 5; line++) {
        struct fly_shot shot = {9, 11 + line, 20, 1, 30, 16.0};

        fly_beam_image_off(b.beam, &shot, off_px[line], counts);
        for (int32_t x = 0; x < 30; x++)
            assert_int_equal(((const uint16_t *)image.parts[1].bytes)[line * 30 + x],
                             (int)nearbyint(counts[x] * (FLY_ACQUIRE_GAIN * 2.0 / 16.0)));
    }
    assert_int_equal(fly_acquire_patch(b.acquire, &patch, 2, 5, &photons), FLY_OK);
    assert_int_equal(fly_ingest_decode(&in, start, photons.parts, photons.n_parts, &view), FLY_REFUSE_NONE);
    for (int32_t line = 0; line < 5; line++) {
        struct fly_shot shot = {9, 11 + line, 20, 1, 30, 16.0};
        uint32_t n = fly_beam_photons_off(b.beam, &shot, off_px[line], 0, row_ptr);

        fly_beam_channels_off(b.beam, &shot, off_px[line], 0, row_ptr, channels);
        assert_memory_equal((const uint16_t *)photons.parts[2].bytes + sum, channels, n * sizeof *channels);
        for (int32_t x = 0; x <= 30; x++)
            assert_int_equal(((const uint32_t *)photons.parts[1].bytes)[line * 30 + x], sum + row_ptr[x]);
        sum += n;
    }
    assert_int_equal(in.photons, sum);
    teardown(&b);
    free(start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_decoder_takes_every_message),
        cmocka_unit_test(layouts_agree),
        cmocka_unit_test(the_same_settings_give_the_same_bytes),
        cmocka_unit_test(a_patch_is_what_the_beam_saw_there),
        cmocka_unit_test(what_the_wire_cannot_take_is_refused_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
