#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>

#include "engine/chip/prepare.h"
#include "engine/label/reliability.h"
#include "tests/support/pool_exec.h"
#include "tests/unit/engine/engine_rig.h"

enum { ROWS = H / SIDE, COLS = W / SIDE, CHIPS = ROWS * COLS, PIECES = 80 };

/* ---- the rig ------------------------------------------------------------------------------------- */

struct wish {
    enum fly_profile profile;
    enum fly_eds_feature feature; /* of few-shot and of communities */
    int given;                    /* weights of the graph that a person gives, 0.5 each; 0: auto */
    int no_image, no_eds, no_embedder, no_graph;
    int32_t step_chips;
};

static struct fly_embedder *embedder;

static struct fly_engine *open_as(const struct wish *wish, const struct fly_exec *exec)
{
    static const char *const elements[] = {"C", "O", "Al"};
    struct fly_quantify_config quantify = fly_quantify_config_default();
    struct fly_graph_config graph = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE,
                                     .weights = {0.5, 0.5}, .by_reliability = !wish->given,
                                     .feature = wish->feature, .min_counts = 10};
    struct fly_engine_config config = {.profile = wish->profile, .has_image = !wish->no_image, .dtype = FLY_U16,
                                       .range_rows = 1, .segments = !wish->no_eds,
                                       .n_channels = wish->no_eds ? 0 : CHANNELS,
                                       .ev_per_channel = 100.0, .quantify = wish->no_eds ? NULL : &quantify,
                                       .step_chips = wish->step_chips, .fewshot_feature = wish->feature,
                                       .graph = wish->no_graph ? NULL : &graph, .frames_held = FRAMES,
                                       .frames_max = FRAMES, .photons_held = 200000,
                                       .embedder = wish->no_image || wish->no_embedder ? NULL : embedder,
                                       .embed_width = wish->no_embedder ? 2 : 0, .weights = {1.0, 1.0},
                                       .temperature = 1.0, .memory_limit = 64 << 20};
    struct fly_engine *engine = NULL;
    const int32_t a = 0, b = COLS - 1;
    int32_t id;

    quantify.n_channels = CHANNELS;
    quantify.ev_per_channel = 100.0;
    quantify.elements = elements;
    quantify.n_elements = 3;
    quantify.min_counts = 250;
    assert_int_equal(fly_grid_init(&config.grid, H, W, SIDE, 0, 0, 0), FLY_OK);
    assert_int_equal(fly_engine_open(&engine, &config, exec, NULL), FLY_OK);
    /* One chip a class: nothing can be left out, and no weights learned. */
    assert_int_equal(fly_support_add(fly_engine_support(engine), "a", &a, 1, &id), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(engine), "b", &b, 1, &id), FLY_OK);
    fly_engine_support_changed(engine);
    return engine;
}

static void put_frame(struct fly_engine *engine, const struct scene *s, int64_t frame)
{
    for (int eds = 0; eds < 2; eds++)
        put(engine, s, &(struct piece){.eds = eds, .frame = frame, .rect = {0, 0, H, W}});
}

/* Noise on the image, and a quarter of the photons: then weights are not at their bounds. */
static struct scene *poor_scene(uint64_t seed)
{
    struct scene *s = scene_make(seed);
    struct fly_rng rng = {seed ^ 0xbad};

    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                double noise = 0.0;

                for (int i = 0; i < 4; i++)
                    noise += fly_rng_uniform(&rng) - 0.5;
                s->image[f][y][x] = (uint16_t)(1000.0 + s->image[f][y][x] + 400.0 * noise);
                for (int e = 0; e < CHANNELS; e++)
                    for (int n = s->counts[f][y][x][e]; n > 0; n--)
                        s->counts[f][y][x][e] -= fly_rng_below(&rng, 4) > 0;
            }
    return s;
}

static struct fly_reliability_view view_of(const struct fly_engine *engine, enum fly_reliability_use use)
{
    struct fly_reliability_view view;

    fly_engine_reliability(engine, use, &view);
    return view;
}

static int same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void same_view(const struct fly_reliability_view *a, const struct fly_reliability_view *b)
{
    assert_true(same_number(a->haadf, b->haadf) && same_number(a->eds, b->eds));
    assert_true(a->weights[0] == b->weights[0] && a->weights[1] == b->weights[1]);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->used, b->used);
}

struct exact {
    int32_t labels[CHIPS];
    float confidence[CHIPS];
    struct fly_graph_view view;
};

static void same_ensemble(struct fly_engine *a, struct fly_engine *b)
{
    static struct exact x, y;

    assert_int_equal(fly_engine_exact(a, FLY_ENSEMBLE, x.labels, x.confidence, &x.view), FLY_OK);
    assert_int_equal(fly_engine_exact(b, FLY_ENSEMBLE, y.labels, y.confidence, &y.view), FLY_OK);
    assert_memory_equal(x.labels, y.labels, sizeof x.labels);
    assert_memory_equal(x.confidence, y.confidence, sizeof x.confidence);
    assert_true(same_number(x.view.threshold, y.view.threshold) && same_number(x.view.modularity, y.view.modularity));
    assert_int_equal(x.view.edges, y.view.edges);
}

static void same_all(struct fly_engine *a, struct fly_engine *b)
{
    for (int use = 0; use < FLY_REPEAT_USES; use++) {
        struct fly_reliability_view x = view_of(a, (enum fly_reliability_use)use),
                                    y = view_of(b, (enum fly_reliability_use)use);

        same_view(&x, &y);
    }
    same(a, b);
    same_ensemble(a, b);
}

/* ---- what is measured ---------------------------------------------------------------------------- */

/* The means of even and of odd frames, embedded; frame f has dwells of 100 + f. */
static void embed_half(const struct scene *s, const struct fly_engine *e, int parity, int32_t chip, float *out)
{
    struct fly_exec serial = fly_exec_serial();
    double mean[SIDE * SIDE], picture[SIDE * SIDE], lo, hi;

    for (int i = 0; i < SIDE * SIDE; i++) {
        int y = chip / COLS * SIDE + i / SIDE, x = chip % COLS * SIDE + i % SIDE;
        double sum = 0.0, weight = 0.0;

        for (int f = parity; f < FRAMES; f += 2) {
            sum += (100.0 + f) * s->image[f][y][x]; /* whole numbers: exact */
            weight += 100.0 + f;
        }
        mean[i] = sum / weight;
    }
    assert_int_equal(fly_engine_range(e, &lo, &hi), 1);
    fly_map_intensity(mean, mean, SIDE * SIDE, lo, hi);
    fly_resize_bilinear(mean, SIDE, picture, SIDE);
    fly_embedder_run(embedder, picture, 1, out, &serial);
}

static void halves_of_the_image_are_its_even_and_odd_frames(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    int32_t width = fly_embedder_width(embedder);
    float *half[2] = {malloc(CHIPS * (size_t)width * sizeof(float)), malloc(CHIPS * (size_t)width * sizeof(float))};

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
        struct fly_reliability_view view;

        for (int64_t f = 0; f < FRAMES; f++)
            put_frame(e, s, f);
        fly_engine_finish(e);
        think(e);
        view = view_of(e, FLY_REPEAT_COMMUNITY);
        for (int32_t k = 0; k < CHIPS; k++)
            for (int parity = 0; parity < 2; parity++)
                embed_half(s, e, parity, k, half[parity] + (size_t)k * (size_t)width);
        assert_true(view.haadf == fly_reliability(half[0], half[1], CHIPS, width));
        assert_true(view.haadf > 0.3 && view.haadf < 1.0);
        assert_true(view_of(e, FLY_REPEAT_FEWSHOT).haadf == view.haadf);
        fly_engine_close(&e);
        free(s);
    }
    free(half[0]);
    free(half[1]);
}

/* Another coin, thrown here, tells about the same. */
static void halves_of_the_x_rays_are_a_fair_coin_s(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    static float half[2][CHIPS * CHANNELS];

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct scene *s = scene_make(seed);
        struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
        struct fly_reliability_view view;
        double mean = 0.0;

        put_frame(e, s, 0);
        think(e);
        view = view_of(e, FLY_REPEAT_COMMUNITY);
        for (uint64_t coin = 1; coin <= 8; coin++) {
            const uint32_t *spectra = fly_engine_spectra(e, NULL, NULL);
            uint32_t heads[CHANNELS];

            for (int32_t k = 0; k < CHIPS; k++) {
                fly_thin_half(spectra + k * CHANNELS, CHANNELS, coin, k, heads);
                for (int ch = 0; ch < CHANNELS; ch++) {
                    half[0][k * CHANNELS + ch] = (float)heads[ch];
                    half[1][k * CHANNELS + ch] = (float)(spectra[k * CHANNELS + ch] - heads[ch]);
                }
            }
            mean += fly_reliability_of_counts(half[0], half[1], CHIPS, CHANNELS) / 8.0;
        }
        assert_true(mean > 0.5 && fabs(view.eds - mean) < 0.05);
        assert_true(view_of(e, FLY_REPEAT_FEWSHOT).eds > 0.5);
        fly_engine_close(&e);
        free(s);
    }
}

/* Compositions of halves are about as good as those of the whole: those of chips with too few counts of their own are
 * made with their neighbours', as the whole was. */
static void compositions_are_halved_as_they_were_made(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(4);
    struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_COMPOSITION}, &serial);
    const uint8_t *status;
    int pooled = 0;

    (void)state;
    put_frame(e, s, 0);
    think(e);
    fly_engine_percent(e, NULL, &status);
    for (int k = 0; k < CHIPS; k++)
        pooled += status[k] == FLY_QUANTIFY_POOLED;
    assert_true(pooled > CHIPS / 2);
    assert_true(view_of(e, FLY_REPEAT_FEWSHOT).eds > 0.8);
    assert_true(view_of(e, FLY_REPEAT_FEWSHOT).eds == view_of(e, FLY_REPEAT_COMMUNITY).eds);
    /* Few-shot may compare something else from here on, and is weighed by that. */
    assert_int_equal(fly_engine_set_fewshot_feature(e, FLY_EDS_SPECTRUM), FLY_OK);
    think(e);
    assert_true(view_of(e, FLY_REPEAT_FEWSHOT).eds != view_of(e, FLY_REPEAT_COMMUNITY).eds);
    fly_engine_close(&e);
    free(s);
}

/* ---- when it cannot be --------------------------------------------------------------------------- */

static void assert_equal_for(const struct fly_engine *e, enum fly_reliability_reason reason)
{
    for (int use = 0; use < FLY_REPEAT_USES; use++) {
        struct fly_reliability_view view = view_of(e, (enum fly_reliability_use)use);

        assert_int_equal(view.reason, reason);
        assert_true(view.weights[0] == 0.5 && view.weights[1] == 0.5);
        assert_false(view.used);
    }
    if (fly_engine_joint(e))
        assert_int_not_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_REPEAT);
}

static void one_frame_has_no_halves(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(5);
    struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
    struct fly_reliability_view view;

    (void)state;
    assert_equal_for(e, FLY_REPEAT_AWAITED);
    put(e, s, &(struct piece){.rect = {0, 0, H, W}});
    put(e, s, &(struct piece){.eds = 1, .rect = {0, 0, H / 2, W}});
    think(e);
    assert_equal_for(e, FLY_REPEAT_AWAITED); /* of X-rays half a frame */
    put(e, s, &(struct piece){.eds = 1, .rect = {H / 2, 0, H - H / 2, W}});
    think(e);
    assert_equal_for(e, FLY_REPEAT_NO_HALVES);
    view = view_of(e, FLY_REPEAT_COMMUNITY);
    assert_true(isnan(view.haadf) && view.eds > 0.0);
    put_frame(e, s, 2); /* even, too */
    fly_engine_finish(e);
    think(e);
    assert_equal_for(e, FLY_REPEAT_NO_HALVES);
    fly_engine_close(&e);
    free(s);
}

static void given_embeddings_have_no_halves(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(5);
    struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM, .no_embedder = 1}, &serial);
    static float given[CHIPS][2];

    (void)state;
    for (int k = 0; k < CHIPS; k++) {
        given[k][0] = 1.0f;
        given[k][1] = (float)(k % COLS);
    }
    fly_engine_give_embeddings(e, given[0]);
    for (int64_t f = 0; f < FRAMES; f++)
        put_frame(e, s, f);
    think(e);
    assert_equal_for(e, FLY_REPEAT_NO_HALVES);
    fly_engine_close(&e);
    free(s);
}

static void too_few_photons_are_told(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(5);
    struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_COMPOSITION}, &serial);

    (void)state;
    memset(s->counts, 0, sizeof s->counts);
    for (int64_t f = 0; f < FRAMES; f++)
        put_frame(e, s, f);
    fly_engine_finish(e);
    think(e);
    assert_equal_for(e, FLY_REPEAT_TOO_FEW);
    fly_engine_close(&e);
    free(s);
}

static void one_modality_alone_and_the_paper_are_not_measured(void **state)
{
    const struct wish wishes[] = {{.no_image = 1}, {.no_eds = 1}, {.profile = FLY_PROFILE_PAPER}};
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = scene_make(6);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct fly_engine *e = open_as(&wishes[i], &serial);

        for (int64_t f = 0; f < FRAMES; f++)
            for (int eds = 0; eds < 2; eds++)
                if (!(eds ? wishes[i].no_eds : wishes[i].no_image))
                    put(e, s, &(struct piece){.eds = eds, .frame = f, .rect = {0, 0, H, W}});
        fly_engine_finish(e);
        think(e);
        assert_false(fly_engine_busy(e));
        assert_equal_for(e, FLY_REPEAT_ALONE);
        fly_engine_close(&e);
    }
    free(s);
}

/* ---- what is made of it -------------------------------------------------------------------------- */

/* Few-shot whose support set teaches no weights takes them; one that teaches does not, nor one that is told. */
static void few_shot_takes_what_nobody_taught(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = poor_scene(7);
    struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
    const int32_t more[] = {1, COLS};
    struct fly_reliability_view view;
    int32_t id;

    (void)state;
    put_frame(e, s, 0);
    think(e);
    assert_int_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_EQUAL);
    put_frame(e, s, 1);
    while (fly_engine_backlog(e, NULL, NULL) > 0)
        assert_int_equal(fly_engine_step(e), FLY_OK);
    fly_engine_epoch(e);
    assert_int_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_EQUAL); /* it is still at work */
    assert_true(fly_engine_busy(e));
    while (fly_engine_step(e) == FLY_OK)
        continue;
    assert_int_equal(fly_engine_epoch(e), 1); /* no data are new, the labels may be */
    view = view_of(e, FLY_REPEAT_FEWSHOT);
    assert_int_equal(view.reason, FLY_REPEAT_MEASURED);
    assert_true(view.used && view.weights[0] != 0.5);
    assert_int_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_REPEAT);
    assert_true(fly_engine_joint(e)->weight[0] == view.weights[0] && fly_engine_joint(e)->weight[1] == view.weights[1]);
    assert_int_equal(fly_engine_set_ensemble(e, (double[]){0.3, 0.7}, 1.0), FLY_OK);
    think(e);
    assert_int_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_GIVEN);
    assert_false(view_of(e, FLY_REPEAT_FEWSHOT).used);
    assert_int_equal(fly_engine_set_ensemble(e, (double[]){1.0, 1.0}, 1.0), FLY_OK);
    assert_int_equal(fly_support_add(fly_engine_support(e), "a", more, 2, &id), FLY_OK);
    fly_engine_support_changed(e);
    think(e);
    assert_int_equal(fly_engine_joint(e)->reason, FLY_WEIGHTS_LEARNED);
    assert_false(view_of(e, FLY_REPEAT_FEWSHOT).used);
    fly_engine_close(&e);
    free(s);
}

/* The graph of adopted weights is that of somebody who gave them from the start. */
static void a_graph_that_adopted_weights_is_one_that_always_had_them(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    int adopted = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct scene *s = poor_scene(seed);
        struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
        struct fly_engine *told = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM, .given = 1}, &serial);
        struct fly_graph_config graph = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE,
                                         .feature = FLY_EDS_SPECTRUM, .min_counts = 10};
        struct fly_reliability_view view;

        for (int64_t f = 0; f < FRAMES; f++) {
            put_frame(e, s, f);
            think(e);
            put_frame(told, s, f);
        }
        view = view_of(e, FLY_REPEAT_COMMUNITY);
        assert_true(view.used);
        adopted += view.weights[0] != 0.5;
        memcpy(graph.weights, view.weights, sizeof graph.weights);
        assert_int_equal(fly_engine_set_graph(told, &graph), FLY_OK);
        think(told);
        assert_false(view_of(told, FLY_REPEAT_COMMUNITY).used);
        same_ensemble(e, told);
        /* And the other way: what was measured is adopted at once by whoever asks for it. */
        graph.by_reliability = 1;
        graph.weights[0] = graph.weights[1] = 0.5;
        assert_int_equal(fly_engine_set_graph(told, &graph), FLY_OK);
        assert_true(view_of(told, FLY_REPEAT_COMMUNITY).used);
        same_ensemble(e, told);
        fly_engine_close(&told);
        fly_engine_close(&e);
        free(s);
    }
    assert_true(adopted > 0);
}

/* Weights in force lie on steps; they change where what was measured lies three quarters of one away, and by the last
 * measurement to what is nearest. */
static void small_changes_are_not_adopted(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    int kept_other = 0, changed = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct scene *s = poor_scene(seed);
        struct fly_engine *e = open_as(&(struct wish){.feature = FLY_EDS_SPECTRUM}, &serial);
        double now = 0.5;

        for (int64_t f = 0; f <= FRAMES; f++) {
            struct fly_reliability_view view;
            double raw[2], nearest, far;

            if (f < FRAMES)
                put_frame(e, s, f);
            else
                fly_engine_finish(e);
            think(e);
            view = view_of(e, FLY_REPEAT_COMMUNITY);
            fly_reliability_weights((double[]){view.haadf, view.eds}, raw);
            nearest = round(20.0 * raw[0]) / 20.0;
            far = fabs(raw[0] - now);
            if (f < FRAMES && far < 0.0374)
                assert_true(view.weights[0] == now);
            if (f == FRAMES || far > 0.0376)
                assert_true(view.weights[0] == nearest);
            assert_true(fabs(view.weights[0] + view.weights[1] - 1.0) < 1e-15);
            kept_other += view.weights[0] == now && nearest != now;
            changed += view.weights[0] != now;
            now = view.weights[0];
        }
        fly_engine_close(&e);
        free(s);
    }
    assert_true(kept_other > 0 && changed > 0);
}

/* ---- promises ------------------------------------------------------------------------------------ */

static void the_last_measurement_knows_no_order(void **state)
{
    struct pool_exec threads = {.width = 3};
    struct fly_exec serial = fly_exec_serial(), pool = pool_exec(&threads);

    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct wish wish = {.feature = seed % 2 ? FLY_EDS_SPECTRUM : FLY_EDS_COMPOSITION};
        struct scene *s = poor_scene(seed);
        struct fly_engine *batch = open_as(&wish, &serial), *e = open_as(&wish, seed % 3 ? &serial : &pool);
        struct fly_rng rng = {seed};

        for (int i = 0; i < PIECES; i++) {
            struct piece p = random_piece(&rng);

            if (i >= PIECES - FRAMES) { /* so that there are whole frames, now and then */
                p = (struct piece){.frame = i % FRAMES, .eds = (int)seed / 2 % 2, .rect = {0, 0, H, W}};
                put(batch, s, &p);
                put(e, s, &p);
                p.eds = !p.eds;
            }
            put(batch, s, &p);
            put(e, s, &p);
            for (int64_t n = (int64_t)fly_rng_below(&rng, 12); n > 0; n--)
                (void)!fly_engine_step(e);
            if (fly_rng_below(&rng, 4) == 0)
                fly_engine_epoch(e);
        }
        if (seed % 4 == 0)
            for (int i = 0; i < 2; i++)
                assert_int_equal(fly_engine_shift(i ? batch : e, 1, 1, -1), FLY_OK);
        fly_engine_finish(batch);
        fly_engine_finish(e);
        think(batch);
        think(e);
        think(e);
        assert_int_equal(view_of(batch, FLY_REPEAT_COMMUNITY).reason, FLY_REPEAT_MEASURED);
        same_all(batch, e);
        fly_engine_close(&e);
        fly_engine_close(&batch);
        free(s);
    }
}

/* What a person shifts after the end is measured anew, as if nothing had been before. */
static void a_shift_after_the_end_is_measured(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct wish wish = {.feature = FLY_EDS_SPECTRUM};
    struct scene *s = poor_scene(12);
    struct fly_engine *batch = open_as(&wish, &serial), *e = open_as(&wish, &serial);
    struct fly_reliability_view before;

    (void)state;
    for (int64_t f = 0; f < FRAMES; f++) {
        put_frame(batch, s, f);
        put_frame(e, s, f);
    }
    fly_engine_finish(e);
    think(e);
    before = view_of(e, FLY_REPEAT_COMMUNITY);
    assert_int_equal(fly_engine_shift(e, 1, 0, 1), FLY_OK);
    assert_true(fly_engine_busy(e));
    think(e);
    fly_engine_finish(batch);
    assert_int_equal(fly_engine_shift(batch, 1, 0, 1), FLY_OK);
    think(batch);
    assert_true(view_of(e, FLY_REPEAT_COMMUNITY).haadf != before.haadf);
    same_all(e, batch);
    fly_engine_close(&e);
    fly_engine_close(&batch);
    free(s);
}

/* Whoever takes the same steps is at the same place, on any number of threads: what a journal is followed by. */
static void the_same_steps_lead_to_the_same_weights(void **state)
{
    struct pool_exec threads = {.width = 3};
    struct fly_exec serial = fly_exec_serial(), pool = pool_exec(&threads);
    struct wish wish = {.feature = FLY_EDS_SPECTRUM};
    struct scene *s = poor_scene(9);
    struct fly_engine *a = open_as(&wish, &serial), *b = open_as(&wish, &pool);
    struct fly_rng rng = {3};

    (void)state;
    assert_int_equal(fly_engine_step_chips(a) * 3, fly_engine_step_chips(b));
    fly_engine_close(&b);
    b = open_as(&wish, &serial);
    for (int64_t f = 0; f < FRAMES; f++)
        for (int row = 0; row < ROWS; row++) {
            for (int eds = 0; eds < 2; eds++) {
                int32_t h = row + 1 < ROWS ? SIDE : H - row * SIDE;
                struct piece p = {.eds = eds, .frame = f, .rect = {row * SIDE, 0, h, W}};

                put(a, s, &p);
                put(b, s, &p);
            }
            for (int64_t n = (int64_t)fly_rng_below(&rng, 30); n > 0; n--)
                assert_int_equal(fly_engine_step(a), fly_engine_step(b));
            for (int use = 0; use < FLY_REPEAT_USES; use++) {
                struct fly_reliability_view x = view_of(a, (enum fly_reliability_use)use),
                                            y = view_of(b, (enum fly_reliability_use)use);

                same_view(&x, &y);
            }
        }
    fly_engine_close(&b);
    fly_engine_close(&a);
    free(s);
}

/* What chips need for the first time never waits for halves, though frames enough for them are there. */
static void first_needs_come_first(void **state)
{
    struct fly_exec serial = fly_exec_serial();
    struct scene *s = poor_scene(10);
    struct wish wish = {.feature = FLY_EDS_SPECTRUM, .no_graph = 1, .step_chips = 1};
    struct fly_engine *e = open_as(&wish, &serial);
    int32_t first;
    int steps = 0;

    (void)state;
    put_frame(e, s, 0);
    put_frame(e, s, 1);
    while (fly_engine_backlog(e, &first, NULL), first > 0) {
        assert_int_equal(fly_engine_step(e), FLY_OK);
        steps++;
    }
    assert_int_equal(steps, CHIPS + 1); /* one chip embedded each, and all quantified at once */
    assert_int_equal(view_of(e, FLY_REPEAT_FEWSHOT).reason, FLY_REPEAT_AWAITED);
    think(e);
    assert_int_equal(view_of(e, FLY_REPEAT_FEWSHOT).reason, FLY_REPEAT_MEASURED);
    fly_engine_close(&e);
    free(s);
}

static int one_thread(void **state)
{
    (void)state;
    openblas_set_num_threads(1);
    embedder = spectral_open(3);
    return 0;
}

static int close_embedder(void **state)
{
    (void)state;
    fly_embedder_close(&embedder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_of_the_image_are_its_even_and_odd_frames),
        cmocka_unit_test(halves_of_the_x_rays_are_a_fair_coin_s),
        cmocka_unit_test(compositions_are_halved_as_they_were_made),
        cmocka_unit_test(one_frame_has_no_halves),
        cmocka_unit_test(given_embeddings_have_no_halves),
        cmocka_unit_test(too_few_photons_are_told),
        cmocka_unit_test(one_modality_alone_and_the_paper_are_not_measured),
        cmocka_unit_test(few_shot_takes_what_nobody_taught),
        cmocka_unit_test(a_graph_that_adopted_weights_is_one_that_always_had_them),
        cmocka_unit_test(small_changes_are_not_adopted),
        cmocka_unit_test(the_last_measurement_knows_no_order),
        cmocka_unit_test(a_shift_after_the_end_is_measured),
        cmocka_unit_test(the_same_steps_lead_to_the_same_weights),
        cmocka_unit_test(first_needs_come_first),
    };

    return cmocka_run_group_tests(tests, one_thread, close_embedder);
}
