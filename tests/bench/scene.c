#include "tests/bench/scene.h"

#include <string.h>

#include "engine/base/rng.h"
#include "tests/bench/measure.h"

/* Of an embedding: what its kind adds to the common vector, and the noise of a chip. So the image graph of
 * 51 x 51 chips has a modularity of 0.07 and 55 % of all pairs as edges; real ones have 0.09 and 31 to 82 %. */
#define KIND  0.3
#define NOISE 1.2

const char *const scene_elements[SCENE_ELEMENTS] = {"Al", "C", "Cr", "Cu", "Fe", "Ga",
                                                    "La", "N", "O",  "Pt", "Sr", "Ti"};

/* How many of a hundred photons of a line are which element's, by kind. */
static const double lines_of[SCENE_KINDS][SCENE_ELEMENTS] = {
    {1, 5, 1, 3, 1, 0, 0, 0, 39, 0, 25, 25},  /* strontium titanate */
    {1, 5, 1, 3, 24, 0, 27, 0, 39, 0, 0, 0},  /* lanthanum ferrite */
    {1, 9, 1, 3, 20, 4, 24, 0, 34, 0, 4, 0},  /* the same, damaged */
    {0, 22, 0, 3, 0, 12, 0, 0, 3, 60, 0, 0},  /* protective platinum */
    {2, 50, 25, 8, 0, 3, 0, 2, 10, 0, 0, 0},  /* carbon and chromium */
};

static int32_t kind_of(double y, double x)
{
    double wave = 0.03 * sin(9.0 * x);

    if (y + wave < 0.25)
        return 0;
    if (y + wave < 0.55)
        return x < 0.6 + 0.08 * sin(20.0 * y) ? 1 : 2;
    if (y - wave < 0.8)
        return 1 + 2 * (x > 0.35 + 0.05 * sin(15.0 * y));
    return x < 0.5 ? 3 : 4;
}

struct fly_quantify_config scene_quantification(enum fly_quantify_method method)
{
    struct fly_quantify_config config = fly_quantify_config_default();

    config.n_channels = SCENE_CHANNELS;
    config.ev_per_channel = 10.0;
    config.method = method;
    config.n_elements = SCENE_ELEMENTS;
    config.elements = scene_elements;
    return config;
}

/* 40 % background, the rest lines as wide as a detector makes them. */
static void make_cdf(struct scene *s)
{
    struct fly_quantify_config config = scene_quantification(FLY_QUANTIFY_WINDOW);
    struct fly_quantifier *q;
    struct fly_arena arena;

    bench_check(fly_arena_init(&arena, fly_quantifier_need(&config), NULL, "bench"));
    bench_check(fly_quantifier_open(&q, &config, &arena));
    for (int32_t kind = 0; kind < SCENE_KINDS; kind++) {
        double *cdf = s->cdf + (size_t)kind * SCENE_CHANNELS, sum = 0.0;

        for (int32_t c = 0; c < SCENE_CHANNELS; c++) {
            double kev = 0.01 * c, rate = kev < 0.2 ? 0.0 : 0.4 * 0.01 / 6.0 * exp(-kev / 6.0);

            for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
                double at = fly_quantifier_line(q, e).kev;
                double sigma = sqrt(2.5 * (at - 5.8987) * 1000.0 + 130.0 * 130.0) / 2355.0;

                rate += 0.6 * lines_of[kind][e] / 100.0 * 0.01 / (sigma * sqrt(2.0 * M_PI)) *
                        exp(-0.5 * (kev - at) * (kev - at) / (sigma * sigma));
            }
            sum += rate;
            cdf[c] = sum;
        }
        for (int32_t c = 0; c < SCENE_CHANNELS; c++)
            cdf[c] /= sum;
    }
    fly_arena_fini(&arena);
}

static int32_t channel_at(const double *cdf, double u)
{
    int32_t low = 0, high = SCENE_CHANNELS - 1;

    while (low < high) {
        int32_t middle = (low + high) / 2;

        if (cdf[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static double vector_of(const struct scene *s, int32_t which, int32_t d)
{
    struct fly_rng rng = {fly_rng_at((uint64_t)which << 32 | (uint64_t)d) ^ s->seed};

    return fly_rng_normal(&rng);
}

void scene_again(struct scene *s)
{
    struct fly_rng rng = {s->seed * 1000003u + (uint64_t)s->frames};
    double *base = bench_need(SCENE_KINDS * SCENE_WIDTH, sizeof *base);
    float weight = 1.0f / (float)(s->frames + 1);

    for (int32_t k = 0; k < SCENE_KINDS; k++)
        for (int32_t d = 0; d < SCENE_WIDTH; d++)
            base[k * SCENE_WIDTH + d] = 0.8 * vector_of(s, SCENE_KINDS, d) + KIND * vector_of(s, k, d);
    for (int32_t i = 0; i < s->n; i++) {
        const double *mean = base + s->kind[i] * SCENE_WIDTH;
        double bright = 1.0 + 0.1 * fly_rng_normal(&rng);
        uint64_t photons = s->spec ? fly_rng_poisson(&rng, s->photons) : 0;

        for (int32_t d = 0; d < SCENE_WIDTH; d++) {
            float *x = s->emb + (size_t)i * SCENE_WIDTH + d;
            double fresh = bright * mean[d] + NOISE * fly_rng_normal(&rng);

            *x += weight * ((fresh > 0.0 ? (float)fresh : 0.0f) - *x);
        }
        for (uint64_t q = 0; q < photons; q++)
            s->spec[(size_t)i * SCENE_CHANNELS +
                    (size_t)channel_at(s->cdf + s->kind[i] * SCENE_CHANNELS, fly_rng_uniform(&rng))]++;
    }
    s->frames++;
    free(base);
}

void scene_open(struct scene *s, int32_t rows, int32_t cols, double photons, uint64_t seed)
{
    size_t n = (size_t)rows * (size_t)cols;

    *s = (struct scene){.rows = rows, .cols = cols, .n = (int32_t)n, .photons = photons, .seed = seed};
    s->kind = bench_need(n, sizeof *s->kind);
    s->emb = bench_need(n * SCENE_WIDTH, sizeof *s->emb);
    s->spec = photons > 0.0 ? bench_need(n * SCENE_CHANNELS, sizeof *s->spec) : NULL;
    s->cdf = bench_need(SCENE_KINDS * SCENE_CHANNELS, sizeof *s->cdf);
    make_cdf(s);
    for (int32_t i = 0; i < s->n; i++)
        s->kind[i] = kind_of((i / cols + 0.5) / rows, (i % cols + 0.5) / cols);
    scene_again(s);
}

void scene_close(struct scene *s)
{
    free(s->kind);
    free(s->emb);
    free(s->spec);
    free(s->cdf);
}
