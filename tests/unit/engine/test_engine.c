#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/engine.h"
#include "tests/support/pool_exec.h"

enum { H = 34, W = 41, SIDE = 8, CHANNELS = 20, FRAMES = 3 };

/* A rectangle of one frame of the image or of the photons. */
struct piece {
    int eds;
    int64_t frame;
    struct fly_rect rect;
};

struct scene {
    uint16_t image[FRAMES][H][W];
    uint8_t counts[FRAMES][H][W][CHANNELS];
};

static struct scene *scene_make(uint64_t seed)
{
    struct scene *s = calloc(1, sizeof *s);
    struct fly_rng rng = {seed};

    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                s->image[f][y][x] = (uint16_t)(500 + 300 * sin(x * (x < W / 2 ? 0.9 : 1.4)) + fly_rng_poisson(&rng, 90));
                for (int e = 0; e < CHANNELS; e++)
                    s->counts[f][y][x][e] = (uint8_t)fly_rng_poisson(&rng, (x < W / 2) == (e < 9) ? 0.2 : 0.02);
            }
    return s;
}

static struct fly_engine *engine_make(struct fly_embedder *embedder, const struct fly_exec *exec,
                                      enum fly_profile profile)
{
    struct fly_engine_config config = {.profile = profile, .has_image = 1, .dtype = FLY_U16, .range_rows = 1,
                                       .segments = 1, .n_channels = CHANNELS, .frames_held = FRAMES,
                                       .frames_max = FRAMES, .photons_held = 200000, .embedder = embedder,
                                       .weights = {0.45, 0.55}, .temperature = 1.0, .memory_limit = 64 << 20};
    /* 2 keV of axis; so few counts are enough that chips are first too poor, then lent to, then on their own. */
    static const char *const elements[] = {"C", "O", "Al"};
    struct fly_quantify_config quantify = fly_quantify_config_default();
    struct fly_engine *engine = NULL;
    const int32_t a[] = {0, 5, 6}, b[] = {3, 9};
    int32_t id;

    quantify.n_channels = CHANNELS;
    quantify.ev_per_channel = 100.0;
    quantify.elements = elements;
    quantify.n_elements = 3;
    quantify.min_counts = profile == FLY_PROFILE_ROBUST ? 250 : 0;
    config.quantify = &quantify;
    assert_int_equal(fly_grid_init(&config.grid, H, W, SIDE, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, exec, NULL), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "a", a, 3, &id), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "b", b, 2, &id), FLY_OK);
    fly_engine_support_changed(engine);
    return engine;
}

static void put(struct fly_engine *engine, const struct scene *s, const struct piece *p)
{
    size_t n = (size_t)p->rect.h * (size_t)p->rect.w;

    if (!p->eds) {
        uint16_t *pixels = malloc(n * sizeof *pixels);
        struct fly_taken taken;

        for (int y = 0; y < p->rect.h; y++)
            memcpy(pixels + y * p->rect.w, &s->image[p->frame][p->rect.y0 + y][p->rect.x0],
                   (size_t)p->rect.w * sizeof *pixels);
        assert_int_equal(fly_engine_lines(engine, p->frame, p->rect, pixels, 100 + (uint64_t)p->frame, 1, &taken),
                         FLY_OK);
        free(pixels);
    } else {
        uint8_t *counts = malloc(n * CHANNELS);
        struct fly_eds_taken taken;
        struct fly_photons photons = {.frame = p->frame, .y0 = p->rect.y0, .x0 = p->rect.x0, .h = p->rect.h,
                                      .w = p->rect.w, .dwell_ns = 100, .layout = FLY_EDS_DENSE, .dtype = FLY_U8,
                                      .dense = counts};

        for (int y = 0; y < p->rect.h; y++)
            memcpy(counts + (size_t)(y * p->rect.w) * CHANNELS, s->counts[p->frame][p->rect.y0 + y][p->rect.x0],
                   (size_t)p->rect.w * CHANNELS);
        assert_int_equal(fly_engine_photons(engine, &photons, 1, &taken), FLY_OK);
        free(counts);
    }
}

static void think(struct fly_engine *engine)
{
    while (fly_engine_step(engine) == FLY_OK)
        continue;
    fly_engine_epoch(engine);
}

static long status_seen[3]; /* by enum fly_quantify_status: the scenes are to show them all */

/* Everything that must not depend on how the data came: ages may, they count revisions. */
static void same(const struct fly_engine *a, const struct fly_engine *b)
{
    size_t chips = (size_t)fly_grid_chips(fly_engine_grid(a));
    const uint8_t *measured_a, *measured_b;
    int32_t width;
    const float *emb = fly_engine_embeddings(a, &width, &measured_a);

    assert_memory_equal(emb, fly_engine_embeddings(b, NULL, &measured_b), chips * (size_t)width * sizeof *emb);
    assert_memory_equal(measured_a, measured_b, chips);
    assert_memory_equal(fly_engine_spectra(a, NULL, &measured_a), fly_engine_spectra(b, NULL, &measured_b),
                        chips * CHANNELS * sizeof(uint32_t));
    assert_memory_equal(measured_a, measured_b, chips);
    int32_t n;
    const uint8_t *status_a, *status_b;
    const double *percent = fly_engine_percent(a, &n, &status_a);

    assert_int_equal(n, 3);
    assert_memory_equal(percent, fly_engine_percent(b, NULL, &status_b), chips * 3 * sizeof *percent);
    assert_memory_equal(status_a, status_b, chips);
    for (size_t k = 0; k < chips; k++)
        status_seen[status_a[k]]++;
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_map_view x, y;

        fly_engine_map(a, FLY_FEWSHOT, (enum fly_modality)m, &x);
        fly_engine_map(b, FLY_FEWSHOT, (enum fly_modality)m, &y);
        assert_memory_equal(x.labels, y.labels, chips * sizeof *x.labels);
        assert_memory_equal(x.confidence, y.confidence, chips * sizeof *x.confidence);
    }
}

static struct piece random_piece(struct fly_rng *rng)
{
    struct piece p = {.eds = (int)fly_rng_below(rng, 2), .frame = (int64_t)fly_rng_below(rng, FRAMES)};

    p.rect.y0 = (int32_t)fly_rng_below(rng, H);
    p.rect.x0 = (int32_t)fly_rng_below(rng, W);
    p.rect.h = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(H - p.rect.y0));
    p.rect.w = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(W - p.rect.x0));
    return p;
}

static struct fly_embedder *spectral_open(int32_t width)
{
    struct fly_embedder *embedder = NULL;
    struct fly_embedder_config config = {.model = "spectral", .side_px = SIDE, .width = width};

    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    return embedder;
}

/* Live thinks after every piece, on two threads; batch gets the same pieces in another order and thinks
 * once, on one thread. The intensity range is settled from frame 0 in both. */
static void after_every_piece_the_state_equals_batch(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct pool_exec pool = {.width = 2};
    struct fly_exec parallel = pool_exec(&pool);
    struct fly_embedder *one = spectral_open(1), *two = spectral_open(2);
    struct fly_rng rng = {11};

    (void)state;
    for (int round = 0; round < 4; round++) {
        struct scene *s = scene_make((uint64_t)round);
        struct piece pieces[40];
        struct fly_engine *live = engine_make(two, &parallel, round % 2 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST);

        for (int n = 0; n < 40; n++) {
            struct fly_engine *batch;

            pieces[n] = random_piece(&rng);
            if (n == 3) /* the topmost chip row of frame 0 settles the range */
                pieces[n] = (struct piece){0, 0, {0, 0, SIDE, W}};
            put(live, s, &pieces[n]);
            think(live);
            if (n % 5 != 4)
                continue;
            batch = engine_make(one, &serial, round % 2 ? FLY_PROFILE_PAPER : FLY_PROFILE_ROBUST);
            for (int i = n; i >= 0; i--)
                put(batch, s, &pieces[i]);
            think(batch);
            same(live, batch);
            fly_engine_close(&batch);
        }
        fly_engine_close(&live);
        free(s);
    }
    fly_embedder_close(&one);
    fly_embedder_close(&two);
    for (int i = 0; i < 3; i++)
        assert_true(status_seen[i] > 0);
}

static void support_changed_late_equals_support_from_the_start(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(5);
    struct fly_engine *a = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_engine *b = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    const struct piece whole[2] = {{0, 0, {0, 0, H, W}}, {1, 0, {0, 0, H, W}}};
    const int32_t more[] = {12, 13};
    const double weights[2] = {1.0, 3.0};
    int32_t id;

    (void)state;
    put(a, s, &whole[0]);
    put(a, s, &whole[1]);
    think(a);
    assert_int_equal(fly_support_add(fly_engine_support(a), "b", more, 2, &id), FLY_OK);
    fly_engine_support_changed(a);
    assert_int_equal(fly_engine_set_ensemble(a, weights, 2.5), FLY_OK);
    think(a);
    assert_int_equal(fly_support_add(fly_engine_support(b), "b", more, 2, &id), FLY_OK);
    fly_engine_support_changed(b);
    assert_int_equal(fly_engine_set_ensemble(b, weights, 2.5), FLY_OK);
    put(b, s, &whole[1]);
    think(b);
    put(b, s, &whole[0]);
    think(b);
    same(a, b);
    assert_int_equal(fly_engine_set_ensemble(a, (double[2]){-1.0, 2.0}, 1.0), FLY_ERANGE);
    assert_int_equal(fly_engine_set_ensemble(a, (double[2]){0.0, 0.0}, 1.0), FLY_ERANGE);
    assert_int_equal(fly_engine_set_ensemble(a, weights, NAN), FLY_ERANGE);
    assert_int_equal(fly_engine_epoch(a), 0); /* nothing was changed by what was refused */
    fly_engine_close(&a);
    fly_engine_close(&b);
    fly_embedder_close(&embedder);
    free(s);
}

static void work_is_done_once_for_what_changed(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(6);
    struct fly_engine *e = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_engine_counts before, after;

    (void)state;
    put(e, s, &(struct piece){0, 0, {0, 0, H, W}});
    put(e, s, &(struct piece){1, 0, {0, 0, H, W}});
    think(e);
    fly_engine_count(e, &before);
    assert_int_equal(before.embedded_first, 4 * 5);
    think(e);
    fly_engine_count(e, &after);
    assert_int_equal(after.chips_scored, before.chips_scored);
    /* one chip that supports nothing takes a second frame: one embedding, its scores, no prototype */
    put(e, s, &(struct piece){0, 1, {SIDE, SIDE * 2, SIDE, SIDE}});
    think(e);
    fly_engine_count(e, &after);
    assert_int_equal(after.embedded_again - before.embedded_again, 1);
    assert_int_equal(after.chips_scored - before.chips_scored, 2);
    assert_int_equal(after.prototypes_made, before.prototypes_made);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

static void memory_beyond_the_limit_is_refused_with_both_numbers(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_engine_config config = {.segments = 1, .n_channels = 4096, .range_rows = 1, .frames_held = 1,
                                       .frames_max = 1, .photons_held = 1000, .weights = {1, 1},
                                       .temperature = 1, .memory_limit = 32 << 20};
    struct fly_engine *engine = NULL;

    (void)state;
    assert_int_equal(fly_grid_init(&config.grid, 16384, 16384, 4, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, &serial, NULL), FLY_ENOMEM);
    assert_non_null(strstr(fly_fail_text(), "engine.memory_limit_mib allows 32"));
    assert_null(engine);
}

static void what_is_not_measured_has_no_label(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct fly_embedder *embedder = spectral_open(1);
    struct scene *s = scene_make(7);
    struct fly_engine *e = engine_make(embedder, &serial, FLY_PROFILE_ROBUST);
    struct fly_map_view view[FLY_MODALITIES];

    (void)state;
    put(e, s, &(struct piece){0, 0, {0, 0, SIDE * 2, W}});
    put(e, s, &(struct piece){1, 0, {0, 0, SIDE, W}});
    think(e);
    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_map(e, FLY_FEWSHOT, (enum fly_modality)m, &view[m]);
    for (int k = 0; k < 20; k++) {
        assert_int_equal(view[FLY_HAADF].labels[k] >= 0, k < 10);
        /* with too few counts for a composition it is a label of its own */
        assert_int_equal(view[FLY_EDS].labels[k] != FLY_LABEL_PENDING, k < 5);
        assert_int_equal(view[FLY_ENSEMBLE].labels[k] >= 0, k < 5);
        assert_int_equal(isnan(view[FLY_ENSEMBLE].confidence[k]) != 0, k >= 5);
    }
    fly_engine_finish(e);
    think(e);
    fly_engine_map(e, FLY_FEWSHOT, FLY_HAADF, &view[0]);
    assert_int_equal(view[0].labels[19], FLY_LABEL_PENDING);
    fly_engine_close(&e);
    fly_embedder_close(&embedder);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_every_piece_the_state_equals_batch),
        cmocka_unit_test(support_changed_late_equals_support_from_the_start),
        cmocka_unit_test(work_is_done_once_for_what_changed),
        cmocka_unit_test(memory_beyond_the_limit_is_refused_with_both_numbers),
        cmocka_unit_test(what_is_not_measured_has_no_label),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
