/* tests/unit/engine/engine_rig.h: a small scene, an engine over it, and what two engines must agree on.
 *
 * The scene's photons are so few that chips are first too poor for a composition, then lent to, then on their own.
 * To be included after cmocka's headers. */
#ifndef FLY_TESTS_ENGINE_RIG_H
#define FLY_TESTS_ENGINE_RIG_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/engine.h"

enum { H = 34, W = 41, SIDE = 8, CHANNELS = 20, FRAMES = 3 };

/* A rectangle of one frame of the image or of a segment's photons, and when it came. */
struct piece {
    int eds;
    int64_t frame;
    struct fly_rect rect;
    int32_t segment;
    int64_t stamp;
};

struct scene {
    uint16_t image[FRAMES][H][W];
    uint8_t counts[FRAMES][H][W][CHANNELS];
};

struct rig_options {
    enum fly_profile profile;
    int32_t side_px;    /* 0: SIDE */
    int32_t segments;   /* 0: 1 */
    int32_t step_chips;
    int32_t min_counts; /* robust; 0: 250 */
    double ev_per_channel; /* 0: 10 */
    const float *given; /* (K, 2) in place of an embedder's */
    enum fly_eds_feature feature;
    const struct fly_graph_config *graph; /* NULL: no communities */
    const struct fly_tree_config *tree;   /* NULL: no hierarchies */
};

static inline struct scene *scene_make(uint64_t seed)
{
    /* C and O to the left, O and Al to the right, above a little background */
    static const double lines[2][CHANNELS] = {
        {.02, .02, .8, .02, .02, .8, .02, .02, .02, .02, .02, .02, .02, .02, .02, .02, .02, .02, .02, .02},
        {.02, .02, .02, .02, .02, .5, .02, .02, .02, .02, .02, .02, .02, .02, .6, .6, .02, .02, .02, .02},
    };
    struct scene *s = calloc(1, sizeof *s);
    struct fly_rng rng = {seed};

    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                s->image[f][y][x] = (uint16_t)(500 + 300 * sin(x * (x < W / 2 ? 0.9 : 1.4)) + fly_rng_poisson(&rng, 90));
                for (int e = 0; e < CHANNELS; e++)
                    s->counts[f][y][x][e] = (uint8_t)fly_rng_poisson(&rng, lines[x >= W / 2][e]);
            }
    return s;
}

static inline struct fly_engine *rig_open(struct fly_embedder *embedder, const struct fly_exec *exec,
                                          const struct rig_options *rig)
{
    struct fly_engine_config config = {.profile = rig->profile, .has_image = 1, .dtype = FLY_U16, .range_rows = 1,
                                       .segments = rig->segments ? rig->segments : 1, .n_channels = CHANNELS,
                                       .ev_per_channel = rig->ev_per_channel > 0.0 ? rig->ev_per_channel : 10.0,
                                       .frames_held = FRAMES, .frames_max = FRAMES, .photons_held = 200000,
                                       .embedder = embedder, .embed_width = rig->given ? 2 : 0,
                                       .step_chips = rig->step_chips, .fewshot_feature = rig->feature,
                                       .weights = {0.45, 0.55}, .temperature = 1.0, .memory_limit = 64 << 20};
    /* 2 keV of axis. */
    static const char *const elements[] = {"C", "O", "Al"};
    struct fly_quantify_config quantify = fly_quantify_config_default();
    struct fly_engine *engine = NULL;
    const int32_t a[] = {0, 5, 6}, b[] = {3, 9};
    int32_t id;

    quantify.n_channels = CHANNELS;
    quantify.ev_per_channel = 100.0;
    quantify.elements = elements;
    quantify.n_elements = 3;
    quantify.min_counts = rig->profile == FLY_PROFILE_PAPER ? 0 : rig->min_counts ? rig->min_counts : 250;
    config.quantify = &quantify;
    config.graph = rig->graph;
    config.tree = rig->tree;
    assert_int_equal(fly_grid_init(&config.grid, H, W, rig->side_px ? rig->side_px : SIDE, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, exec, NULL), FLY_OK);
    if (rig->given)
        fly_engine_give_embeddings(engine, rig->given);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "a", a, 3, &id), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "b", b, 2, &id), FLY_OK);
    fly_engine_support_changed(engine);
    return engine;
}

static inline void put(struct fly_engine *engine, const struct scene *s, const struct piece *p)
{
    size_t n = (size_t)p->rect.h * (size_t)p->rect.w;

    if (!p->eds) {
        uint16_t *pixels = malloc(n * sizeof *pixels);
        struct fly_taken taken;

        for (int y = 0; y < p->rect.h; y++)
            memcpy(pixels + y * p->rect.w, &s->image[p->frame][p->rect.y0 + y][p->rect.x0],
                   (size_t)p->rect.w * sizeof *pixels);
        assert_int_equal(fly_engine_lines(engine, p->frame, p->rect, pixels, 100 + (uint64_t)p->frame,
                                          p->stamp, &taken),
                         FLY_OK);
        free(pixels);
    } else {
        uint8_t *counts = malloc(n * CHANNELS);
        struct fly_eds_taken taken;
        struct fly_photons photons = {.segment = p->segment, .frame = p->frame, .y0 = p->rect.y0,
                                      .x0 = p->rect.x0, .h = p->rect.h, .w = p->rect.w, .dwell_ns = 100,
                                      .layout = FLY_EDS_DENSE, .dtype = FLY_U8, .dense = counts};

        for (int y = 0; y < p->rect.h; y++)
            memcpy(counts + (size_t)(y * p->rect.w) * CHANNELS, s->counts[p->frame][p->rect.y0 + y][p->rect.x0],
                   (size_t)p->rect.w * CHANNELS);
        assert_int_equal(fly_engine_photons(engine, &photons, p->stamp, &taken), FLY_OK);
        free(counts);
    }
}

static inline void think(struct fly_engine *engine)
{
    while (fly_engine_step(engine) == FLY_OK)
        continue;
    fly_engine_epoch(engine);
}

static long status_seen[3]; /* by enum fly_quantify_status: the scenes are to show them all */

/* Everything that must not depend on how the data came: ages may, they count revisions. */
static inline void same(const struct fly_engine *a, const struct fly_engine *b)
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
        assert_memory_equal(fly_engine_scores(a, (enum fly_modality)m), fly_engine_scores(b, (enum fly_modality)m),
                            chips * FLY_CLASSES_MAX * sizeof(double));
    }
}

static inline struct piece random_piece(struct fly_rng *rng)
{
    struct piece p = {.eds = (int)fly_rng_below(rng, 2), .frame = (int64_t)fly_rng_below(rng, FRAMES)};

    p.rect.y0 = (int32_t)fly_rng_below(rng, H);
    p.rect.x0 = (int32_t)fly_rng_below(rng, W);
    p.rect.h = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(H - p.rect.y0));
    p.rect.w = 1 + (int32_t)fly_rng_below(rng, (uint64_t)(W - p.rect.x0));
    return p;
}

static inline struct fly_embedder *spectral_open(int32_t width)
{
    struct fly_embedder *embedder = NULL;
    struct fly_embedder_config config = {.model = "spectral", .side_px = SIDE, .width = width};

    assert_int_equal(fly_embedder_open(&embedder, &config), FLY_OK);
    return embedder;
}

#endif
