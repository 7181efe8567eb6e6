#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/eds/spectra.h"
#include "tests/support/golden.h"

#define TINY FLY_TEST_DIR "/golden/a_tiny"

enum { FRAMES = 4, SEGMENTS = 2, CHANNELS = 12, PX_MAX = 24 * 24 };

/* The plain twin: counts of every pixel, frame and segment kept, chips summed anew when asked. */
struct model {
    int32_t h, w, side, pitch, rows, cols;
    uint8_t seen[SEGMENTS][FRAMES][PX_MAX];
    uint16_t counts[SEGMENTS][FRAMES][PX_MAX][CHANNELS];
    int dy[FRAMES], dx[FRAMES];
    int finished;
};

static int model_at(const struct model *m, int f, int y, int x)
{
    y -= m->dy[f];
    x -= m->dx[f];
    return y < 0 || x < 0 || y >= m->h || x >= m->w ? -1 : y * m->w + x;
}

static void model_chip(const struct model *m, int chip, uint32_t *spectrum, int *complete)
{
    int y0 = chip / m->cols * m->pitch, x0 = chip % m->cols * m->pitch;

    memset(spectrum, 0, CHANNELS * sizeof *spectrum);
    *complete = 1;
    for (int s = 0; s < SEGMENTS; s++) {
        uint8_t reported[PX_MAX] = {0};

        for (int f = 0; f < FRAMES; f++) {
            int there = 1, inside = 1; /* what a shift has put beyond the frame is not waited for */

            for (int i = 0; i < m->side * m->side; i++) {
                int at = model_at(m, f, y0 + i / m->side, x0 + i % m->side);

                there &= at < 0 || m->seen[s][f][at];
                inside &= at >= 0;
            }
            for (int i = 0; (there || m->finished) && i < m->side * m->side; i++) {
                int at = model_at(m, f, y0 + i / m->side, x0 + i % m->side);

                if (at < 0 || !m->seen[s][f][at])
                    continue;
                reported[i] |= inside || m->finished; /* frames are put together at the end alone */
                for (int e = 0; e < CHANNELS; e++)
                    spectrum[e] += m->counts[s][f][at][e];
            }
        }
        for (int i = 0; i < m->side * m->side; i++)
            *complete &= reported[i];
    }
}

struct rig {
    struct fly_arena arena;
    struct fly_spectra *spectra;
    struct model model;
};

static void rig_open(struct rig *rig, int32_t h, int32_t w, int32_t side, int32_t pitch)
{
    struct fly_spectra_config config = {.height_px = h, .width_px = w, .side_px = side, .pitch_px = pitch,
                                        .rows = (h - side) / pitch + 1, .cols = (w - side) / pitch + 1,
                                        .n_channels = CHANNELS, .segments = SEGMENTS, .photons_held = 100000,
                                        .frames_held = FRAMES, .frames_max = FRAMES};

    memset(&rig->model, 0, sizeof rig->model);
    rig->model.h = h;
    rig->model.w = w;
    rig->model.side = side;
    rig->model.pitch = pitch;
    rig->model.rows = config.rows;
    rig->model.cols = config.cols;
    assert_int_equal(fly_arena_init(&rig->arena, fly_spectra_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_spectra_open(&rig->spectra, &config, &rig->arena), FLY_OK);
}

static void rig_compare(struct rig *rig)
{
    for (int k = 0; k < rig->model.rows * rig->model.cols; k++) {
        uint32_t want[CHANNELS];
        uint64_t total = 0;
        int complete;

        model_chip(&rig->model, k, want, &complete);
        for (int e = 0; e < CHANNELS; e++)
            total += want[e];
        assert_memory_equal(fly_spectra_of(rig->spectra, k), want, sizeof want);
        assert_int_equal(fly_spectra_total(rig->spectra, k), total);
        assert_int_equal(fly_spectra_complete(rig->spectra, k), complete);
    }
}

static unsigned truth(int s, int f, int at, int e)
{
    uint64_t z = fly_rng_at((uint64_t)(((s * 31 + f) * 1000 + at) * 16 + e));

    return z % 5 == 0 ? (unsigned)(z >> 32) % 4 : 0;
}

/* One message of a rectangle, in one of the three layouts; pixel `odd` (or -1) gets a photon too many. */
static void rig_put(struct rig *rig, int s, int f, int y0, int x0, int h, int w, int layout, int odd,
                    struct fly_eds_taken *taken)
{
    struct model *m = &rig->model;
    static uint16_t counts[PX_MAX][CHANNELS], channels[PX_MAX * CHANNELS * 4];
    static uint32_t rows[PX_MAX + 1], pixels[PX_MAX * CHANNELS * 4];
    struct fly_photons p = {.segment = s, .frame = f, .y0 = y0, .x0 = x0, .h = h, .w = w, .dwell_ns = 100,
                            .layout = (enum fly_eds_layout)layout, .dtype = FLY_U16, .dense = counts,
                            .rows = rows, .pixels = pixels, .channels = channels};

    for (int i = 0; i < h * w; i++) {
        int at = (y0 + i / w) * m->w + x0 + i % w;

        rows[i] = (uint32_t)p.photons;
        for (int e = 0; e < CHANNELS; e++) {
            counts[i][e] = (uint16_t)(truth(s, f, at, e) + (i == odd && e == 3));
            for (int n = 0; n < counts[i][e]; n++) {
                pixels[p.photons] = (uint32_t)i;
                channels[p.photons++] = (uint16_t)e;
            }
        }
        if (!m->seen[s][f][at]) {
            m->seen[s][f][at] = 1;
            memcpy(m->counts[s][f][at], counts[i], sizeof counts[i]);
        }
    }
    rows[h * w] = (uint32_t)p.photons;
    if (layout == FLY_EDS_PAIRS && p.photons > 1) {
        /* pairs come in any order */
        uint32_t px = pixels[0];
        uint16_t ch = channels[0];

        pixels[0] = pixels[p.photons - 1];
        channels[0] = channels[p.photons - 1];
        pixels[p.photons - 1] = px;
        channels[p.photons - 1] = ch;
    }
    assert_int_equal(fly_spectra_put(rig->spectra, &p, taken), FLY_OK);
}

static void any_order_layout_and_subdivision_equals_batch_after_each_step(void **state)
{
    static const int32_t cases[][4] = {{16, 24, 8, 8}, {15, 20, 5, 5}, {20, 17, 9, 4}, {12, 12, 12, 12}};
    struct fly_rng rng = {2};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static struct rig rig;
        int h = cases[c][0], w = cases[c][1];

        rig_open(&rig, h, w, cases[c][2], cases[c][3]);
        for (int step = 0; step < 150; step++) {
            int y0 = (int)fly_rng_below(&rng, (uint64_t)h), x0 = (int)fly_rng_below(&rng, (uint64_t)w);
            int rh = 1 + (int)fly_rng_below(&rng, (uint64_t)(h - y0));
            int rw = 1 + (int)fly_rng_below(&rng, (uint64_t)(w - x0));
            struct fly_eds_taken taken;

            rig_put(&rig, step % SEGMENTS, (int)fly_rng_below(&rng, FRAMES - 1), y0, x0, rh, rw, step % 3,
                    step % 7 == 0 ? 0 : -1, &taken);
            assert_int_equal(taken.fresh_px + taken.repeated_px + taken.conflict_px, rh * rw);
            rig_compare(&rig);
        }
        assert_int_equal(fly_spectra_shift(rig.spectra, 1, 2, -1), FLY_OK);
        rig.model.dy[1] = 2;
        rig.model.dx[1] = -1;
        rig_compare(&rig);
        fly_spectra_finish(rig.spectra);
        rig.model.finished = 1;
        rig_compare(&rig);
        fly_arena_fini(&rig.arena);
    }
}

static void a_report_again_is_a_repeat_or_a_conflict_by_its_photons(void **state)
{
    static struct rig rig;
    struct fly_eds_taken taken;

    (void)state;
    rig_open(&rig, 16, 16, 8, 8);
    rig_put(&rig, 0, 0, 0, 0, 4, 16, FLY_EDS_PAIRS, -1, &taken);
    assert_int_equal(taken.fresh_px, 64);
    rig_put(&rig, 0, 0, 0, 0, 4, 16, FLY_EDS_CSR, -1, &taken);
    assert_int_equal(taken.repeated_px, 64);
    assert_int_equal(taken.photons, 0);
    rig_put(&rig, 0, 0, 2, 0, 4, 16, FLY_EDS_DENSE, 5, &taken);
    assert_int_equal(taken.conflict_px, 1);
    assert_int_equal(taken.repeated_px, 31);
    assert_int_equal(taken.fresh_px, 32);
    rig_compare(&rig);
    fly_arena_fini(&rig.arena);
}

static void wrong_pointers_and_pixels_are_refused_and_change_nothing(void **state)
{
    static struct rig rig;
    uint32_t falling[] = {0, 2, 1, 2, 3}, late[] = {1, 1, 1, 1, 3}, short_end[] = {0, 0, 0, 0, 2};
    uint32_t pixels[] = {0, 4, 1};
    uint16_t channels[] = {1, 2, 3};
    struct fly_eds_taken taken;
    struct fly_photons p = {.h = 2, .w = 2, .dwell_ns = 1, .layout = FLY_EDS_CSR, .rows = falling,
                            .channels = channels, .photons = 3};

    (void)state;
    rig_open(&rig, 16, 16, 8, 8);
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_EWIRE);
    p.rows = late;
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_EWIRE);
    p.rows = short_end;
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_EWIRE);
    p.layout = FLY_EDS_PAIRS;
    p.pixels = pixels;
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_EWIRE);
    assert_non_null(strstr(fly_fail_text(), "photon 1 is of pixel 4"));
    p.segment = 2;
    pixels[1] = 3;
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_ERANGE);
    rig_compare(&rig);
    p.segment = 0;
    channels[2] = CHANNELS;
    assert_int_equal(fly_spectra_put(rig.spectra, &p, &taken), FLY_OK);
    assert_int_equal(taken.outside, 1);
    assert_int_equal(taken.photons, 2);
    fly_arena_fini(&rig.arena);
}

static void more_photons_than_there_is_room_for_are_refused_whole(void **state)
{
    struct fly_spectra_config config = {.height_px = 8, .width_px = 8, .side_px = 8, .pitch_px = 8, .rows = 1,
                                        .cols = 1, .n_channels = 4, .segments = 1, .photons_held = 60,
                                        .frames_held = 2, .frames_max = 4};
    uint32_t pixels[200] = {0};
    uint16_t channels[200] = {0};
    struct fly_photons p = {.h = 1, .w = 8, .dwell_ns = 1, .layout = FLY_EDS_PAIRS, .pixels = pixels,
                            .channels = channels, .photons = 200};
    struct fly_arena arena;
    struct fly_spectra *spectra;
    struct fly_eds_taken taken;

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_spectra_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_spectra_open(&spectra, &config, &arena), FLY_OK);
    assert_int_equal(fly_spectra_put(spectra, &p, &taken), FLY_ENOMEM);
    assert_non_null(strstr(fly_fail_text(), "engine.photons_held_millions"));
    p.photons = 30;
    assert_int_equal(fly_spectra_put(spectra, &p, &taken), FLY_OK);
    assert_int_equal(taken.fresh_px, 8);
    /* whole frames, one after the other, reuse the same room for ever */
    p = (struct fly_photons){.h = 8, .w = 8, .dwell_ns = 1, .layout = FLY_EDS_PAIRS, .pixels = pixels,
                             .channels = channels, .photons = 20};
    for (int f = 1; f < 4; f++) {
        p.frame = f;
        assert_int_equal(fly_spectra_put(spectra, &p, &taken), FLY_OK);
        assert_int_equal(taken.chips_done, 1);
    }
    assert_int_equal(fly_spectra_total(spectra, 0), 60);
    fly_arena_fini(&arena);
}

/* a_tiny: 6 x 6 chips of 15 px, 4051 channels; expected spectra exactly, from events line by line in two
 * halves, and from one message of everything. */
static void events_of_a_tiny_become_the_golden_spectra(void **state)
{
    struct golden ey = golden_open(TINY, "ev_y"), ex = golden_open(TINY, "ev_x"), ec = golden_open(TINY, "ev_ch");
    struct golden image = golden_open(TINY, "haadf"), nnz = golden_open(TINY "/expected", "spec_nnz");
    int32_t h = (int32_t)image.npy.shape[0], w = (int32_t)image.npy.shape[1];
    int64_t n = ey.npy.items;
    const uint16_t *y = ey.npy.data, *x = ex.npy.data, *ch = ec.npy.data;
    uint32_t *pixels = malloc((size_t)n * sizeof *pixels), *want = calloc(36 * 4051, sizeof *want);
    const uint16_t *row = nnz.npy.data;

    (void)state;
    for (int64_t i = 0; i < nnz.npy.shape[0]; i++, row += 3)
        want[(size_t)row[0] * 4051 + row[1]] = row[2];
    for (int whole = 0; whole < 2; whole++) {
        struct fly_spectra_config config = {.height_px = h, .width_px = w, .side_px = 15, .pitch_px = 15,
                                            .rows = 6, .cols = 6, .n_channels = 4051, .segments = 1,
                                            .photons_held = 1000000, .frames_held = 1, .frames_max = 1};
        struct fly_arena arena;
        struct fly_spectra *spectra;
        struct fly_eds_taken taken;

        assert_int_equal(fly_arena_init(&arena, fly_spectra_need(&config), NULL, "test"), FLY_OK);
        assert_int_equal(fly_spectra_open(&spectra, &config, &arena), FLY_OK);
        for (int32_t line = 0; line < (whole ? 1 : h); line++)
            for (int half = 0; half < (whole ? 1 : 2); half++) {
                int32_t x0 = half ? w / 3 : 0, x1 = whole || half ? w : w / 3;
                uint16_t *channels = malloc((size_t)n * sizeof *channels);
                struct fly_photons p = {.y0 = line, .x0 = x0, .h = whole ? h : 1, .w = x1 - x0, .dwell_ns = 1,
                                        .layout = FLY_EDS_PAIRS, .pixels = pixels, .channels = channels};

                for (int64_t i = 0; i < n; i++)
                    if ((whole || y[i] == line) && x[i] >= x0 && x[i] < x1) {
                        pixels[p.photons] = (uint32_t)((y[i] - line) * p.w + x[i] - x0);
                        channels[p.photons++] = ch[i];
                    }
                assert_int_equal(fly_spectra_put(spectra, &p, &taken), FLY_OK);
                free(channels);
            }
        for (int k = 0; k < 36; k++)
            assert_memory_equal(fly_spectra_of(spectra, k), want + (size_t)k * 4051, 4051 * sizeof *want);
        fly_arena_fini(&arena);
    }
    free(pixels);
    free(want);
    golden_close(&ey);
    golden_close(&ex);
    golden_close(&ec);
    golden_close(&image);
    golden_close(&nnz);
}

/* Overlapping boxes leave photons with chips that do not take them: these make room, and none is lost. */
static void a_session_of_boxes_never_runs_out_of_room(void **state)
{
    enum { PX = 24, SIDE = 9, PITCH = 5, N = 40, BOXES = 1500 };
    struct fly_spectra_config config = {.height_px = PX, .width_px = PX, .side_px = SIDE, .pitch_px = PITCH, .rows = 4,
                                        .cols = 4, .n_channels = CHANNELS, .segments = 1, .photons_held = 4000,
                                        .frames_held = 2, .frames_max = 2048};
    uint64_t want[16] = {0};
    struct fly_rng rng = {5};
    struct fly_arena arena;
    struct fly_spectra *spectra;

    (void)state;
    assert_int_equal(fly_arena_init(&arena, fly_spectra_need(&config), NULL, "test"), FLY_OK);
    assert_int_equal(fly_spectra_open(&spectra, &config, &arena), FLY_OK);
    for (int32_t f = 0; f < BOXES; f++) {
        uint32_t pixels[N];
        uint16_t channels[N];
        struct fly_photons p = {.frame = f, .y0 = (int32_t)fly_rng_below(&rng, 4) * PITCH,
                                .x0 = (int32_t)fly_rng_below(&rng, 4) * PITCH, .h = SIDE, .w = SIDE, .dwell_ns = 1000,
                                .layout = FLY_EDS_PAIRS, .pixels = pixels, .channels = channels, .photons = N};
        struct fly_eds_taken taken;

        for (int i = 0; i < N; i++) {
            pixels[i] = (uint32_t)fly_rng_below(&rng, SIDE * SIDE);
            channels[i] = (uint16_t)fly_rng_below(&rng, CHANNELS);
            for (int k = 0; k < 16; k++) {
                int32_t y = p.y0 + (int32_t)pixels[i] / SIDE - k / 4 * PITCH, x = p.x0 + (int32_t)pixels[i] % SIDE - k % 4 * PITCH;

                want[k] += y >= 0 && x >= 0 && y < SIDE && x < SIDE;
            }
        }
        assert_int_equal(fly_spectra_put(spectra, &p, &taken), FLY_OK);
        assert_int_equal(taken.photons, N);
    }
    fly_spectra_finish(spectra);
    for (int k = 0; k < 16; k++)
        assert_int_equal(fly_spectra_total(spectra, k), want[k]);
    fly_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_layout_and_subdivision_equals_batch_after_each_step),
        cmocka_unit_test(a_report_again_is_a_repeat_or_a_conflict_by_its_photons),
        cmocka_unit_test(wrong_pointers_and_pixels_are_refused_and_change_nothing),
        cmocka_unit_test(more_photons_than_there_is_room_for_are_refused_whole),
        cmocka_unit_test(events_of_a_tiny_become_the_golden_spectra),
        cmocka_unit_test(a_session_of_boxes_never_runs_out_of_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
