#include "tests/bench/draw.h"

#include "tests/bench/measure.h"

enum { DIRECTIONS = 64 };

void draw_open(struct draw *draw, uint64_t seed)
{
    *draw = (struct draw){.rng = {seed}};
    draw->axes = bench_need(DIRECTIONS * SCENE_WIDTH, sizeof *draw->axes);
    for (int32_t i = 0; i < DIRECTIONS * SCENE_WIDTH; i++)
        draw->axes[i] = fly_rng_normal(&draw->rng) / sqrt(SCENE_WIDTH);
}

void draw_close(struct draw *draw)
{
    free(draw->axes);
}

/* Of the whole variance, what a direction holds; and of that, how much is between kinds. */
static double share_of(int32_t direction)
{
    static const double first[8] = {0.458, 0.229, 0.066, 0.05, 0.028, 0.024, 0.021, 0.019};

    return direction < 8 ? first[direction] : direction < 16 ? 0.0066 : direction < 32 ? 0.0022 : 0.00044;
}

static double between_kinds(int32_t direction)
{
    return direction < 4 ? 0.8 : direction < 16 ? 0.5 : 0.0;
}

void draw_embedding(struct draw *draw, double *x, int32_t kind)
{
    double by[DIRECTIONS];

    for (int32_t a = 0; a < DIRECTIONS; a++) {
        struct fly_rng of = {(uint64_t)(1000 * kind + a)};
        double between = between_kinds(a);

        by[a] = sqrt(share_of(a)) *
                (sqrt(between) * fly_rng_normal(&of) + sqrt(1.0 - between) * fly_rng_normal(&draw->rng));
    }
    for (int32_t d = 0; d < SCENE_WIDTH; d++) {
        x[d] = sqrt(0.003 / SCENE_WIDTH) * fly_rng_normal(&draw->rng);
        for (int32_t a = 0; a < DIRECTIONS; a++)
            x[d] += by[a] * draw->axes[a * SCENE_WIDTH + d];
    }
}

void draw_composition(struct draw *draw, double *x, int32_t kind)
{
    double sum = 0.0;

    for (int32_t e = 0; e < SCENE_ELEMENTS; e++) {
        struct fly_rng of = {(uint64_t)(100 * kind + e)};
        double share = fly_rng_uniform(&of);

        x[e] = fmax(0.0, share * share + 0.02 * fly_rng_normal(&draw->rng));
        sum += x[e];
    }
    for (int32_t e = 0; e < SCENE_ELEMENTS; e++)
        x[e] *= 100.0 / sum;
}
