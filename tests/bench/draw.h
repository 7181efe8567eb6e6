/* tests/bench/draw.h: features of made-up chips, by kind (scene.h).
 *
 * Embeddings have the spectrum that those of SqueezeNet have on the largest sample of Table II, where 8, 16, 32
 * of 512 directions hold 89.5, 94.8 and 98.3 % of the variance. Compositions are 12 atomic percents.
 */
#ifndef FLY_TESTS_BENCH_DRAW_H
#define FLY_TESTS_BENCH_DRAW_H

#include "engine/base/rng.h"
#include "tests/bench/scene.h"

struct draw {
    double *axes; /* directions in which embeddings vary */
    struct fly_rng rng;
};

void draw_open(struct draw *draw, uint64_t seed);
void draw_close(struct draw *draw);

void draw_embedding(struct draw *draw, double *x, int32_t kind);   /* x (SCENE_WIDTH) */
void draw_composition(struct draw *draw, double *x, int32_t kind); /* x (SCENE_ELEMENTS) */

#endif
