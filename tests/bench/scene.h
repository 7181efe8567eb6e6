/* tests/bench/scene.h: a made-up scan of chips of five kinds, for the benches of graphs.
 *
 * Bands across the slow scan with wavy borders, two of them split in two: some kinds appear when half
 * the rows are there. An embedding is what a ReLU lets through of its kind's vector, a common one and
 * noise. A spectrum has Poisson's number of photons, from a falling background and the main lines of
 * twelve elements in its kind's proportions. Seeded; the same everywhere to the last bit or nearly.
 */
#ifndef FLY_TESTS_BENCH_SCENE_H
#define FLY_TESTS_BENCH_SCENE_H

#include <stdint.h>

#include "engine/eds/quantify.h"

enum { SCENE_WIDTH = 512, SCENE_CHANNELS = 4096, SCENE_ELEMENTS = 12, SCENE_KINDS = 5 };

extern const char *const scene_elements[SCENE_ELEMENTS];

struct scene {
    int32_t rows, cols, n;
    double photons;     /* a chip in a frame, on average; 0: no spectra */
    uint64_t seed;
    int32_t frames;     /* taken so far */
    int32_t *kind;      /* (N) */
    float *emb;         /* (N, SCENE_WIDTH) mean of the frames */
    uint32_t *spec;     /* (N, SCENE_CHANNELS) sum of the frames, NULL without photons */
    double *cdf;        /* (SCENE_KINDS, SCENE_CHANNELS) */
};

/* With its first frame. */
void scene_open(struct scene *scene, int32_t rows, int32_t cols, double photons, uint64_t seed);
void scene_close(struct scene *scene);

/* Another frame of the same chips: other noise, other photons. */
void scene_again(struct scene *scene);

/* The product's quantification of these spectra; the caller may change it. */
struct fly_quantify_config scene_quantification(enum fly_quantify_method method);

#endif
