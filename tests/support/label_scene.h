/* tests/support/label_scene.h: a golden scene's image with X-rays of any dose.
 *
 * Image and truth are the golden case's, embedded by the spectral descriptor. The photons are drawn anew: main
 * lines and a background in the proportions of the oracle's materials (../shared/oracle/stemoracle/scene.py), mixed
 * in every chip as its pixels are, and quantified by the product's maximum likelihood.
 */
#ifndef FLY_TESTS_LABEL_SCENE_H
#define FLY_TESTS_LABEL_SCENE_H

#include "engine/base/exec.h"
#include "engine/eds/quantify.h"
#include "engine/embed/embed.h"
#include "engine/label/shares.h"
#include "tests/support/golden_case.h"
#include "tests/support/label_trial.h"

enum { SCENE_ENERGIES = 4096, SCENE_PER_BIN = 16, SCENE_BINS = SCENE_ENERGIES / SCENE_PER_BIN, SCENE_ELEMENTS = 12 };

struct label_scene {
    struct golden_case golden;
    int32_t chips, width;
    int32_t *truth;
    float *purity;
    double *fraction;    /* (K, GOLDEN_CLASSES) */
    float *embedding;    /* (K, width) */
    uint8_t *all;        /* (K) ones */
    uint32_t *spectra;   /* (K, SCENE_ENERGIES) */
    double *percent;     /* (K, SCENE_ELEMENTS) */
    double *percent_noise; /* (K) */
    uint8_t *has_percent;  /* (K) */
    float *share;        /* (K, SCENE_BINS) */
    double *share_noise; /* (K) */
    double *rate;        /* (GOLDEN_CLASSES, SCENE_ENERGIES), a photon of LFO in all */
    struct fly_arena arena;
    struct fly_quantifier *quantifier;
    struct fly_quantify_work work;
};

static inline void label_scene_materials(struct label_scene *s, int cap_is_platinum)
{
    /* Al C Cr Cu Fe Ga La N O Pt Sr Ti, in atoms; foreign ones everywhere alike. */
    static const double atoms[GOLDEN_CLASSES + 1][SCENE_ELEMENTS] = {
        {0, 0, 0, 0, 0, 0, 0, 0, .60, 0, .20, .20},
        {0, 0, 0, 0, .20, 0, .18, 0, .60, 0, .02, 0},
        {0, 0, 0, 0, .179, 0, .168, 0, .633, 0, .02, 0},
        {0, 0, .92, 0, 0, 0, 0, 0, .08, 0, 0, 0},
        {0, .03, 0, 0, 0, 0, 0, 0, 0, .97, 0, 0},
    };
    static const double foreign[SCENE_ELEMENTS] = {.004, .045, 0, .015, 0, .006, 0, .004, 0, 0, 0, 0};
    static const double bright[GOLDEN_CLASSES + 1] = {.85, 1.0, .97, .9, 1.15};

    for (int c = 0; c < GOLDEN_CLASSES; c++) {
        int material = c == 3 && cap_is_platinum ? 4 : c;
        double *rate = s->rate + (size_t)c * SCENE_ENERGIES, area[SCENE_ELEMENTS], lines = 0.0, braking = 0.0;

        for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
            struct fly_quantified_line line = fly_quantifier_line(s->quantifier, e);

            area[e] = (atoms[material][e] + foreign[e]) * line.mass_u / line.k;
            lines += area[e];
        }
        for (int32_t ch = 20; ch < SCENE_ENERGIES; ch++)
            braking += exp(-0.01 * ch / 6.0);
        for (int32_t ch = 20; ch < SCENE_ENERGIES; ch++) {
            double kev = 0.01 * ch;

            rate[ch] = 0.35 * exp(-kev / 6.0) / braking;
            for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
                double at = fly_quantifier_line(s->quantifier, e).kev;
                double sigma = sqrt(2.5 * (at - 5.8987) * 1000.0 + 130.0 * 130.0) / 2355.0, off = (kev - at) / sigma;

                rate[ch] += 0.65 * area[e] / lines * 0.01 / (sigma * sqrt(2.0 * M_PI)) * exp(-0.5 * off * off);
            }
            rate[ch] *= bright[material];
        }
    }
}

static inline void label_scene_truth(struct label_scene *s, const char *folder)
{
    struct golden px = golden_open(folder, "truth_px");
    int32_t side = s->golden.side;

    for (int32_t k = 0; k < s->chips; k++) {
        double *part = s->fraction + (size_t)k * GOLDEN_CLASSES, most = 0.0;

        for (int32_t i = 0; i < side * side; i++) {
            int64_t y = (int64_t)(k / s->golden.cols) * side + i / side;
            int64_t x = (int64_t)(k % s->golden.cols) * side + i % side;

            part[((const uint8_t *)px.npy.data)[y * px.npy.shape[1] + x]] += 1.0 / (side * side);
        }
        s->truth[k] = s->golden.truth[k];
        for (int c = 0; c < GOLDEN_CLASSES; c++)
            most = part[c] > most ? part[c] : most;
        s->purity[k] = (float)most;
    }
    golden_close(&px);
}

static inline void label_scene_embed(struct label_scene *s)
{
    struct fly_embedder_config config = {.model = "spectral", .side_px = s->golden.side, .width = 1};
    struct fly_exec exec = fly_exec_serial();
    struct fly_embedder *embedder;

    if (fly_embedder_open(&embedder, &config) < 0)
        abort();
    s->width = fly_embedder_width(embedder);
    s->embedding = trial_need((size_t)s->chips * (size_t)s->width, sizeof *s->embedding);
    fly_embedder_run(embedder, s->golden.pictures, s->chips, s->embedding, &exec);
    fly_embedder_close(&embedder);
}

static inline void label_scene_open(struct label_scene *s, const char *folder)
{
    static const char *const elements[SCENE_ELEMENTS] = {"Al", "C", "Cr", "Cu", "Fe", "Ga",
                                                         "La", "N", "O",  "Pt", "Sr", "Ti"};
    struct fly_quantify_config config = fly_quantify_config_default();
    size_t n;

    memset(s, 0, sizeof *s);
    s->golden = golden_case_open(folder);
    s->chips = s->golden.chips;
    n = (size_t)s->chips;
    s->truth = trial_need(n, sizeof *s->truth);
    s->purity = trial_need(n, sizeof *s->purity);
    s->fraction = trial_need(n * GOLDEN_CLASSES, sizeof *s->fraction);
    s->all = trial_need(n, 1);
    memset(s->all, 1, n);
    s->spectra = trial_need(n * SCENE_ENERGIES, sizeof *s->spectra);
    s->percent = trial_need(n * SCENE_ELEMENTS, sizeof *s->percent);
    s->percent_noise = trial_need(n, sizeof *s->percent_noise);
    s->has_percent = trial_need(n, 1);
    s->share = trial_need(n * SCENE_BINS, sizeof *s->share);
    s->share_noise = trial_need(n, sizeof *s->share_noise);
    s->rate = trial_need((size_t)GOLDEN_CLASSES * SCENE_ENERGIES, sizeof *s->rate);
    config.n_channels = SCENE_ENERGIES;
    config.ev_per_channel = 10.0;
    config.n_elements = SCENE_ELEMENTS;
    config.elements = elements;
    if (fly_arena_init(&s->arena, fly_quantifier_need(&config) + (1 << 22), NULL, "scene") < 0 ||
        fly_quantifier_open(&s->quantifier, &config, &s->arena) < 0)
        abort();
    fly_quantify_work_init(&s->work, s->quantifier, &s->arena);
    label_scene_materials(s, strstr(folder, "defective") != NULL);
    label_scene_truth(s, folder);
    label_scene_embed(s);
}

/* Photons anew: on average `photons` of a chip of LFO. */
static inline void label_scene_expose(struct label_scene *s, double photons, uint64_t seed)
{
    for (int32_t k = 0; k < s->chips; k++) {
        struct fly_rng rng = {fly_rng_at(seed << 32 | (uint64_t)k)};
        uint32_t *x = s->spectra + (size_t)k * SCENE_ENERGIES;

        for (int32_t ch = 0; ch < SCENE_ENERGIES; ch++) {
            double mean = 0.0;

            for (int c = 0; c < GOLDEN_CLASSES; c++)
                mean += photons * s->fraction[(size_t)k * GOLDEN_CLASSES + (size_t)c] *
                        s->rate[(size_t)c * SCENE_ENERGIES + (size_t)ch];
            x[ch] = (uint32_t)fly_rng_poisson(&rng, mean);
        }
        s->share_noise[k] = fly_shares_make(x, SCENE_ENERGIES, SCENE_PER_BIN, s->share + (size_t)k * SCENE_BINS);
    }
    for (int32_t k = 0; k < s->chips; k++) {
        struct fly_composition made;

        fly_quantify_chip(s->quantifier, &s->work, s->spectra, s->golden.rows, s->golden.cols, k, &made);
        s->has_percent[k] = made.status != FLY_QUANTIFY_TOO_FEW;
        s->percent_noise[k] = 0.0;
        for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
            s->percent[(size_t)k * SCENE_ELEMENTS + (size_t)e] = made.percent[e];
            s->percent_noise[k] += made.sigma[e] * made.sigma[e];
        }
    }
}

/* The scene as it was last exposed; eds: FLY_KIND_COMPOSITION or FLY_KIND_SPECTRUM. */
static inline struct label_data label_scene_data(const struct label_scene *s, enum fly_feature_kind eds)
{
    struct label_data data = {.chips = s->chips, .n_classes = GOLDEN_CLASSES, .truth = s->truth, .purity = s->purity};

    data.features[0] = (struct fly_features){s->embedding, s->width, FLY_FEATURE_F32};
    data.speaks[0] = s->all;
    data.kind[0] = FLY_KIND_EMBEDDING;
    data.kind[1] = eds;
    if (eds == FLY_KIND_COMPOSITION) {
        data.features[1] = (struct fly_features){s->percent, SCENE_ELEMENTS, FLY_FEATURE_F64};
        data.noise[1] = s->percent_noise;
        data.speaks[1] = s->has_percent;
    } else {
        data.features[1] = (struct fly_features){s->share, SCENE_BINS, FLY_FEATURE_F32};
        data.noise[1] = s->share_noise;
        data.speaks[1] = s->all;
    }
    return data;
}

static inline void label_scene_close(struct label_scene *s)
{
    golden_case_close(&s->golden);
    free(s->truth);
    free(s->purity);
    free(s->fraction);
    free(s->embedding);
    free(s->all);
    free(s->spectra);
    free(s->percent);
    free(s->percent_noise);
    free(s->has_percent);
    free(s->share);
    free(s->share_noise);
    free(s->rate);
    fly_arena_fini(&s->arena);
}

#endif
