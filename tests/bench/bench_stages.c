/* tests/bench/bench_stages.c: all that a row of 51 chips sets off once its features are there, save graphs.
 *
 *   stages.row     a scan of 51 x 51 chips grows, robust, one core. The parts of a row: both of Ward's trees take it
 *                  in (image: 512 numbers, eds: 12); both are cut and vote (cut); few-shot (fewshot) scores it in three
 *                  modalities, the whole map anew where it holds support chips, as the engine does (some 8 of 51 rows);
 *                  ids that stay and stories of all nine maps (maps). The goal of all that is a p99 of 6 ms. quiet_p99
 *                  and quiet_max are of rows without support chips.
 *                  .changed: a second frame over the full grid, whose chips move a tenth of the way to another draw of
 *                  their kind. `spare` is the longest piece of spare work, done between rows.
 *   stages.region  after each of those rows the squares of the image's clusters, and the robust d-spacing of those
 *                  that changed or had pixels renewed. The reference is a bare transform of every region after every
 *                  row, as in bench_region.c; times_reference, the goal of which is 1.5, is of the sums.
 *   stages.support the whole map relabelled after a change of the support set, in three modalities: making prototypes
 *                  and calibrating them (making), the scores of each. .87: with the spectral descriptor's width.
 *
 * Communities are made up: their graphs have a bench of their own (live.row).
 */
#include <fftw3.h>
#include <string.h>

#include "engine/histories.h"
#include "engine/label/weights.h"
#include "engine/region/spacing.h"
#include "engine/region/square.h"
#include "engine/trees.h"
#include "tests/bench/bench.h"
#include "tests/bench/draw.h"
#include "tests/bench/measure.h"

enum { SIDE = 51, CHIPS = SIDE * SIDE, SCANS_MOST = 5, ROWS_MOST = SCANS_MOST * SIDE, ROUNDS_MOST = 41 };
enum { CLASSES = 4, SPECTRAL = 87, K = 4, CHIP_PX = 15, SIDE_PX = SIDE * CHIP_PX };

/* ---- few-shot ------------------------------------------------------------------------------------ */

struct source {
    struct fly_features features;
    const double *noise;
    enum fly_feature_kind kind;
    struct fly_prototypes prototypes;
    struct fly_calibration calibration;
    double distance[CHIPS][FLY_CLASSES_MAX];
};

struct fewshot {
    struct fly_arena arena;
    struct fly_support support;
    struct fly_left_out left;
    struct source source[FLY_ENSEMBLE];
    struct fly_joint joint;
    int32_t label[FLY_MODALITIES][CHIPS];
    float confidence[FLY_MODALITIES][CHIPS];
};

/* Four chips a class, amid the largest square of its kind. */
static void support_fill(struct fewshot *f, const int32_t *kind)
{
    for (int32_t c = 0; c < CLASSES; c++) {
        struct fly_square square = fly_square_ref(kind, SIDE, SIDE, c);
        int32_t at = (square.row + square.n / 2 - 1) * SIDE + square.col + square.n / 2 - 1, id;
        const int32_t chips[] = {at, at + 1, at + SIDE, at + SIDE + 1};
        const char name[] = {(char)('a' + c), 0};

        FLY_ASSERT(square.n > 1);
        bench_check(fly_support_add(&f->support, name, chips, 4, &id));
    }
}

static void fewshot_open(struct fewshot *f, const float *embeddings, int32_t width, const double *percent,
                         const double *noise, const int32_t *kind)
{
    memset(f, 0, sizeof *f);
    bench_check(fly_arena_init(&f->arena, fly_support_need(CHIPS) + fly_left_out_need() + fly_prototypes_need(width) +
                               fly_prototypes_need(SCENE_ELEMENTS) + 2 * fly_calibration_need(), NULL, "bench"));
    fly_support_init(&f->support, CHIPS, &f->arena);
    fly_left_out_init(&f->left, &f->arena);
    f->source[FLY_HAADF].features = (struct fly_features){embeddings, width, FLY_FEATURE_F32};
    f->source[FLY_HAADF].kind = FLY_KIND_EMBEDDING;
    f->source[FLY_EDS].features = (struct fly_features){percent, SCENE_ELEMENTS, FLY_FEATURE_F64};
    f->source[FLY_EDS].kind = FLY_KIND_COMPOSITION;
    f->source[FLY_EDS].noise = noise;
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        fly_prototypes_init(&f->source[m].prototypes, f->source[m].features.width, &f->arena);
        fly_calibration_init(&f->source[m].calibration, &f->arena);
    }
    for (int m = 0; m < FLY_MODALITIES; m++)
        for (int32_t i = 0; i < CHIPS; i++)
            f->label[m][i] = FLY_LABEL_PENDING;
    support_fill(f, kind);
}

static void make(struct fewshot *f, const uint8_t *there)
{
    fly_left_out_pick(&f->left, &f->support);
    for (int m = 0; m < FLY_ENSEMBLE; m++) {
        struct source *s = &f->source[m];
        struct fly_tau_prior prior = fly_tau_prior(s->kind);

        fly_prototypes_make(&s->prototypes, &f->support, &s->features, there);
        fly_calibrate(&s->calibration, &prior, &s->prototypes, &f->support, &s->features, s->noise, there, &f->left);
    }
    fly_joint_fit(&f->joint, &f->source[FLY_HAADF].calibration, &f->source[FLY_EDS].calibration, &f->left, NULL);
}

static void ratios_of(const struct source *s, int32_t i, double *ratio)
{
    fly_calibrated_ratios(&s->calibration, s->distance[i], s->noise ? s->noise[i] : 0.0, ratio);
}

static void set_label(struct fewshot *f, int m, int32_t i, const struct fly_unknown *unknown, const double *ratio,
                      const double *score)
{
    double confidence;

    f->label[m][i] = fly_calibrated_label(unknown, ratio, score, CLASSES, &confidence);
    f->confidence[m][i] = (float)confidence;
}

/* fresh: the chip's features are other ones than when it was scored last. */
static void score(struct fewshot *f, int m, int32_t i, int fresh)
{
    double ratio[FLY_CLASSES_MAX], scores[FLY_CLASSES_MAX];
    struct source *s = &f->source[m];

    (fresh ? fly_fewshot_distances : fly_fewshot_distances_moved)(&s->prototypes, &s->features, i, s->distance[i]);
    ratios_of(s, i, ratio);
    fly_calibrated_scores(&s->calibration, ratio, scores);
    set_label(f, m, i, &s->calibration.unknown, ratio, scores);
}

static void score_both(struct fewshot *f, int32_t i)
{
    double a[FLY_CLASSES_MAX], b[FLY_CLASSES_MAX], ratio[FLY_CLASSES_MAX], scores[FLY_CLASSES_MAX];
    const struct source *image = &f->source[FLY_HAADF], *eds = &f->source[FLY_EDS];

    ratios_of(image, i, a);
    ratios_of(eds, i, b);
    (void)fly_joint_scores(&f->joint, &image->calibration, a, &eds->calibration, b, scores, ratio);
    set_label(f, FLY_ENSEMBLE, i, &f->joint.unknown, ratio, scores);
}

/* Chips first .. end - 1 are there anew. Returns 1 where a support chip is among them: all of the map is scored. */
static int fewshot_row(struct fewshot *f, const uint8_t *there, int32_t first, int32_t end)
{
    int moved = 0;

    for (int32_t i = first; i < end; i++)
        moved |= f->support.class_of[i] >= 0;
    if (moved)
        make(f, there);
    for (int32_t i = moved ? 0 : first; i < (moved ? CHIPS : end); i++) {
        if (!there[i])
            continue;
        score(f, FLY_HAADF, i, i >= first && i < end);
        score(f, FLY_EDS, i, i >= first && i < end);
        score_both(f, i);
    }
    return moved;
}

/* ---- regions ------------------------------------------------------------------------------------- */

struct region {
    int32_t id;
    struct fly_square square;
};

struct regions {
    struct fly_arena arena;
    struct fly_transforms transforms;
    struct fly_spacing_config config;
    float *pixels; /* (SIDE_PX, SIDE_PX) */
    struct region region[FLY_TREE_K_MAX];
    int32_t count;
    double bare_s[SIDE + 1]; /* of one transform, by the chips of a side; 0: not known yet */
};

/* A lattice in noise, and in two kinds of chips none. */
static void regions_open(struct regions *r, const int32_t *kind)
{
    struct fly_transforms_config how = {
        .chip_px = CHIP_PX, .pitch_px = CHIP_PX, .side_px_max = SIDE_PX, .f_max = {0.5, 0.5}, .workers = 1};
    struct fly_rng rng = {5};

    memset(r, 0, sizeof *r);
    r->config = fly_spacing_config_default();
    r->config.pixel_nm[0] = r->config.pixel_nm[1] = 0.05;
    bench_check(fly_arena_init(&r->arena, fly_transforms_need(&how) + fly_squares_need(SIDE), NULL, "bench"));
    bench_check(fly_transforms_init(&r->transforms, &how, &r->arena));
    r->pixels = bench_need((size_t)SIDE_PX * SIDE_PX, sizeof *r->pixels);
    for (int32_t y = 0; y < SIDE_PX; y++)
        for (int32_t x = 0; x < SIDE_PX; x++) {
            double lattice = cos(6.283185307 * (0.043 * y + 0.121 * x)) + cos(6.283185307 * (0.121 * y - 0.043 * x));
            int ordered = kind[y / CHIP_PX * SIDE + x / CHIP_PX] < 3;

            r->pixels[y * SIDE_PX + x] = (float)(1000.0 + 90.0 * ordered * lattice + 100.0 * fly_rng_normal(&rng));
        }
}

static void regions_close(struct regions *r)
{
    fly_transforms_fini(&r->transforms);
    fly_arena_fini(&r->arena);
    free(r->pixels);
}

static double bare_s(struct regions *r, int32_t chips)
{
    size_t n = (size_t)chips * CHIP_PX;
    float *in = fftwf_alloc_real(n * n);
    fftwf_complex *to = fftwf_alloc_complex(n * (n / 2 + 1));
    double s[11];
    fftwf_plan plan;

    if (r->bare_s[chips] == 0.0) {
        FLY_ASSERT(in && to);
        plan = fftwf_plan_dft_r2c_2d((int)n, (int)n, in, to, FFTW_MEASURE);
        memcpy(in, r->pixels, n * n * sizeof *in);
        for (int i = 0; i < 11; i++) {
            s[i] = bench_now_s();
            fftwf_execute(plan);
            s[i] = bench_now_s() - s[i];
        }
        r->bare_s[chips] = bench_median(s, 11);
        fftwf_destroy_plan(plan);
    }
    fftwf_free(in);
    fftwf_free(to);
    return r->bare_s[chips];
}

static int is_measured(const struct regions *r, const struct region *region, int32_t row)
{
    for (int32_t i = 0; i < r->count; i++)
        if (r->region[i].id == region->id)
            return fly_square_same(r->region[i].square, region->square) &&
                   !fly_square_has(region->square, row, region->square.col);
    return 0;
}

/* The row's chips are there anew. labels (CHIPS) ids; id (count) those in it, ascending. */
static void regions_row(struct regions *r, int32_t row, const int32_t *labels, const int32_t *id, int32_t count)
{
    struct region now[FLY_TREE_K_MAX];
    struct fly_square squares[FLY_TREE_K_MAX];
    int32_t dense[CHIPS];

    for (int32_t i = 0; i < CHIPS; i++) {
        dense[i] = -1;
        for (int32_t c = 0; c < count && dense[i] < 0; c++)
            if (id[c] == labels[i])
                dense[i] = c;
    }
    fly_squares_find(squares, count, dense, SIDE, SIDE, &r->arena);
    for (int32_t c = 0; c < count; c++) {
        int32_t px = fly_square_px(squares[c], CHIP_PX, CHIP_PX);
        struct fly_picture picture = {.stride = SIDE_PX, .h = px, .w = px};
        struct fly_spacing out;

        now[c] = (struct region){id[c], squares[c]};
        if (is_measured(r, &now[c], row))
            continue;
        picture.pixels = r->pixels + (squares[c].row * SIDE_PX + squares[c].col) * CHIP_PX;
        bench_check(fly_spacing_robust(&out, &r->transforms, 0, &r->config, &picture, NULL));
    }
    memcpy(r->region, now, (size_t)count * sizeof *now);
    r->count = count;
}

/* ---- a scan -------------------------------------------------------------------------------------- */

enum part { IMAGE, EDS, CUT, FEWSHOT, MAPS, PARTS, ALL = PARTS, SPARE, REGION, BARE, TIMES };

static const char *const part_names[PARTS] = {"image", "eds", "cut", "fewshot", "maps"};

struct rows {
    double ms[TIMES][ROWS_MOST], quiet_ms[ROWS_MOST];
    int32_t count, quiet;
};

struct stages {
    struct scene scene;
    struct draw draw;
    struct fly_arena arena;
    struct fly_trees trees;
    struct fly_histories histories;
    struct fewshot fewshot;
    struct regions regions;
    float *embeddings; /* (CHIPS, SCENE_WIDTH) */
    double *percent;   /* (CHIPS, SCENE_ELEMENTS) */
    double noise[CHIPS];
    uint8_t there[CHIPS];
    uint32_t version[CHIPS], age[CHIPS];
    int32_t community[FLY_MODALITIES][CHIPS];
    float confidence[CHIPS];
};

static void stages_open(struct stages *s, uint64_t seed)
{
    struct fly_trees_config config = {.tree = {.k = K, .feature = FLY_EDS_COMPOSITION},
                                      .n_chips = CHIPS,
                                      .image_width = SCENE_WIDTH,
                                      .eds_width = SCENE_ELEMENTS,
                                      .feature = FLY_EDS_COMPOSITION,
                                      .robust = 1};
    uint8_t maps[FLY_MAPS];

    memset(s, 0, sizeof *s);
    memset(maps, 1, sizeof maps);
    scene_open(&s->scene, SIDE, SIDE, 0.0, seed);
    draw_open(&s->draw, seed);
    bench_check(fly_trees_check(&config));
    bench_check(fly_arena_init(&s->arena, fly_trees_need(&config) + fly_histories_need(CHIPS, maps, 1), NULL, "bench"));
    fly_trees_open(&s->trees, &config, &s->arena);
    fly_histories_init(&s->histories, CHIPS, maps, 1, &s->arena);
    s->embeddings = bench_need((size_t)CHIPS * SCENE_WIDTH, sizeof *s->embeddings);
    s->percent = bench_need((size_t)CHIPS * SCENE_ELEMENTS, sizeof *s->percent);
    for (int32_t i = 0; i < CHIPS; i++)
        s->noise[i] = SCENE_ELEMENTS * 0.25; /* half a percent each: what draw.h's compositions have */
    fewshot_open(&s->fewshot, s->embeddings, SCENE_WIDTH, s->percent, s->noise, s->scene.kind);
    make(&s->fewshot, s->there);
    regions_open(&s->regions, s->scene.kind);
}

static void stages_close(struct stages *s)
{
    regions_close(&s->regions);
    fly_arena_fini(&s->fewshot.arena);
    fly_arena_fini(&s->arena);
    scene_close(&s->scene);
    draw_close(&s->draw);
    free(s->embeddings);
    free(s->percent);
}

/* Features of a row's chips; where they have some, a tenth of the way to new ones. */
static void measure_row(struct stages *s, int32_t row)
{
    for (int32_t i = row * SIDE; i < (row + 1) * SIDE; i++) {
        double step = s->there[i] ? 0.1 : 1.0, x[SCENE_WIDTH], percent[SCENE_ELEMENTS];
        float *to = s->embeddings + i * SCENE_WIDTH;

        draw_embedding(&s->draw, x, s->scene.kind[i]);
        draw_composition(&s->draw, percent, s->scene.kind[i]);
        for (int32_t d = 0; d < SCENE_WIDTH; d++)
            to[d] += (float)(step * (x[d] - (double)to[d]));
        for (int32_t e = 0; e < SCENE_ELEMENTS; e++)
            s->percent[i * SCENE_ELEMENTS + e] += step * (percent[e] - s->percent[i * SCENE_ELEMENTS + e]);
        s->there[i] = 1;
        s->age[i] = s->version[i]++;
    }
}

/* The kinds, numbered anew at each epoch, one chip in 50 elsewhere. */
static void make_communities(struct stages *s)
{
    for (int m = 0; m < FLY_MODALITIES; m++) {
        int32_t turn = (int32_t)fly_rng_below(&s->draw.rng, SCENE_KINDS);

        for (int32_t i = 0; i < CHIPS; i++) {
            int32_t kind = fly_rng_below(&s->draw.rng, 50) ? s->scene.kind[i]
                                                           : (int32_t)fly_rng_below(&s->draw.rng, SCENE_KINDS);

            s->community[m][i] = s->there[i] ? (kind + turn) % SCENE_KINDS : FLY_LABEL_PENDING;
            s->confidence[i] = (float)fly_rng_uniform(&s->draw.rng);
        }
    }
}

static void take_in(struct stages *s, int32_t row, enum fly_tree_source source)
{
    struct fly_exec exec = fly_exec_serial();
    struct fly_graph_features features = {.embeddings = s->embeddings,
                                          .embedded = s->there,
                                          .image_version = s->version,
                                          .percent = s->percent,
                                          .eds_there = s->there,
                                          .eds_version = s->version};

    for (int32_t i = row * SIDE; i < (row + 1) * SIDE; i++)
        fly_trees_touch(&s->trees, i, source);
    fly_trees_update(&s->trees, source, &features, &exec);
}

static void tell_maps(struct stages *s)
{
    struct fly_histories *h = &s->histories;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        enum fly_modality modality = (enum fly_modality)m;

        fly_history_tell(h, fly_map_index(FLY_FEWSHOT, modality), s->fewshot.label[m]);
        fly_history_step(h, fly_map_index(FLY_COMMUNITY, modality), s->community[m], 1, s->confidence, s->age);
        if (m != FLY_ENSEMBLE)
            fly_history_step(h, fly_map_index(FLY_WARD, modality), s->trees.raw[m], 1, s->trees.confidence[m],
                             s->trees.age[m]);
    }
    fly_history_vote(h, s->trees.confidence[FLY_ENSEMBLE]);
    for (int map = 0; map < FLY_MAPS; map++)
        (void)fly_history_calm(h, map,
                               fly_map_method(map) == FLY_FEWSHOT ? s->fewshot.label[fly_map_modality(map)]
                                                                  : h->of[map].label,
                               NULL, 0);
}

/* Returns 1 where the row held support chips. */
static int take_row(struct stages *s, int32_t row, double ms[TIMES])
{
    const struct fly_history *shown = &s->histories.of[fly_map_index(FLY_WARD, FLY_HAADF)];
    double at[TIMES] = {0};
    int moved;

    measure_row(s, row);
    make_communities(s);
    at[IMAGE] = bench_now_s();
    take_in(s, row, FLY_TREE_IMAGE);
    at[EDS] = bench_now_s();
    take_in(s, row, FLY_TREE_EDS);
    at[CUT] = bench_now_s();
    (void)fly_trees_tell(&s->trees);
    at[FEWSHOT] = bench_now_s();
    moved = fewshot_row(&s->fewshot, s->there, row * SIDE, (row + 1) * SIDE);
    at[MAPS] = bench_now_s();
    tell_maps(s);
    at[PARTS] = bench_now_s();
    (void)fly_trees_spare(&s->trees);
    at[REGION] = bench_now_s();
    regions_row(&s->regions, row, shown->label, shown->identity.id, shown->identity.count);
    at[BARE] = bench_now_s();
    for (int p = 0; p < PARTS; p++)
        ms[p] = 1e3 * (at[p + 1] - at[p]);
    ms[ALL] = 1e3 * (at[PARTS] - at[IMAGE]);
    ms[SPARE] = 1e3 * (at[REGION] - at[PARTS]);
    ms[REGION] = 1e3 * (at[BARE] - at[REGION]);
    ms[BARE] = 0.0;
    for (int32_t r = 0; r < s->regions.count; r++)
        ms[BARE] += 1e3 * bare_s(&s->regions, s->regions.region[r].square.n);
    return moved;
}

static void take_scan(struct stages *s, struct rows *rows)
{
    for (int32_t row = 0; row < SIDE; row++) {
        double ms[TIMES];

        if (!take_row(s, row, ms))
            rows->quiet_ms[rows->quiet++] = ms[ALL];
        for (int t = 0; t < TIMES; t++)
            rows->ms[t][rows->count] = ms[t];
        rows->count++;
    }
}

/* ---- printing ------------------------------------------------------------------------------------ */

static double quantile(struct rows *rows, int time, double q)
{
    return bench_quantile(rows->ms[time], rows->count, q);
}

static void print_rows(FILE *out, const char *what, struct rows *rows)
{
    double region = 0.0, bare = 0.0;

    fprintf(out, "{\"name\": \"stages.row%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"p99\": %.4g, \"max\": %.4g, \"rows\": %d", what, CHIPS, quantile(rows, ALL, 0.5),
            quantile(rows, ALL, 0.99), quantile(rows, ALL, 1.0), rows->count);
    for (int p = 0; p < PARTS; p++)
        fprintf(out, ", \"%s\": %.4g, \"%s_p99\": %.4g, \"%s_max\": %.4g", part_names[p], quantile(rows, p, 0.5),
                part_names[p], quantile(rows, p, 0.99), part_names[p], quantile(rows, p, 1.0));
    fprintf(out, ", \"quiet_p99\": %.4g, \"quiet_max\": %.4g, \"spare\": %.3g}\n",
            bench_quantile(rows->quiet_ms, rows->quiet, 0.99), bench_quantile(rows->quiet_ms, rows->quiet, 1.0),
            quantile(rows, SPARE, 1.0));
    for (int32_t i = 0; i < rows->count; i++) {
        region += rows->ms[REGION][i];
        bare += rows->ms[BARE][i];
    }
    fprintf(out, "{\"name\": \"stages.region%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"p99\": %.4g, \"max\": %.4g, \"reference\": %.4g, \"ratio\": %.3f, \"times_reference\": %.3f}\n", what,
            CHIPS, quantile(rows, REGION, 0.5), quantile(rows, REGION, 0.99), quantile(rows, REGION, 1.0),
            quantile(rows, BARE, 0.5), quantile(rows, BARE, 0.5) / quantile(rows, REGION, 0.5), region / bare);
    fflush(out);
}

/* ---- a change of the support set ----------------------------------------------------------------- */

static void relabel(struct stages *s, struct fewshot *f, double ms[FLY_MODALITIES + 2])
{
    double at[FLY_MODALITIES + 2];

    at[0] = bench_now_s();
    make(f, s->there);
    at[1] = bench_now_s();
    for (int m = 0; m < FLY_MODALITIES; m++) {
        for (int32_t i = 0; i < CHIPS; i++) {
            if (m == FLY_ENSEMBLE)
                score_both(f, i);
            else
                score(f, m, i, 1);
        }
        at[m + 2] = bench_now_s();
    }
    for (int p = 0; p <= FLY_MODALITIES; p++)
        ms[p] = 1e3 * (at[p + 1] - at[p]);
    ms[FLY_MODALITIES + 1] = 1e3 * (at[FLY_MODALITIES + 1] - at[0]);
}

static void bench_support(FILE *out, struct stages *s, int32_t width, const char *what, int32_t rounds)
{
    enum { TIMED = FLY_MODALITIES + 2 };
    float *embeddings = bench_need((size_t)CHIPS * (size_t)width, sizeof *embeddings);
    struct fewshot *f = bench_need(1, sizeof *f);
    double ms[TIMED][ROUNDS_MOST], median[TIMED];
    const int32_t chip = CHIPS - 1;

    for (int32_t i = 0; i < CHIPS; i++)
        memcpy(embeddings + i * width, s->embeddings + i * SCENE_WIDTH, (size_t)width * sizeof *embeddings);
    fewshot_open(f, embeddings, width, s->percent, s->noise, s->scene.kind);
    for (int32_t r = 0; r < rounds; r++) {
        double one[TIMED];
        int32_t id;

        bench_check(r % 2 ? fly_support_remove(&f->support, &chip, 1)
                          : fly_support_add(&f->support, "a", &chip, 1, &id));
        relabel(s, f, one);
        for (int t = 0; t < TIMED; t++)
            ms[t][r] = one[t];
    }
    for (int t = 0; t < TIMED; t++)
        median[t] = bench_median(ms[t], rounds);
    fprintf(out, "{\"name\": \"stages.support%s\", \"size\": %d, \"threads\": 1, \"median\": %.4g, \"unit\": \"ms\", "
            "\"max\": %.4g, \"making\": %.4g, \"image\": %.4g, \"eds\": %.4g, \"both\": %.4g}\n", what, CHIPS,
            median[TIMED - 1], ms[TIMED - 1][rounds - 1], median[0], median[1], median[2], median[3]);
    fflush(out);
    fly_arena_fini(&f->arena);
    free(embeddings);
    free(f);
}

int bench_stages(FILE *out, const struct bench_options *options)
{
    static struct stages s;
    static struct rows first, second;
    int32_t scans = options->quick ? 1 : SCANS_MOST;

    openblas_set_num_threads(1);
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    for (int32_t scan = 0; scan < scans; scan++) {
        stages_open(&s, (uint64_t)scan + 1);
        take_scan(&s, &first);
        take_scan(&s, &second);
        if (scan + 1 < scans)
            stages_close(&s);
    }
    print_rows(out, "", &first);
    print_rows(out, ".changed", &second);
    bench_support(out, &s, SCENE_WIDTH, "", options->quick ? 11 : ROUNDS_MOST);
    bench_support(out, &s, SPECTRAL, ".87", options->quick ? 11 : ROUNDS_MOST);
    stages_close(&s);
    return FLY_OK;
}
