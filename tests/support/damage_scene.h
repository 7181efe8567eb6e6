/* tests/support/damage_scene.h: chips under a beam, of which some may change: what the damage watch is tried on.
 *
 * Two materials in stripes, four windows (the first: oxygen) and a rest that is in none, Poisson counts; an image with
 * Gaussian noise. Current, a neighbour's share by drift, and damage are the caller's. No test framework in it.
 */
#ifndef FLY_TESTS_DAMAGE_SCENE_H
#define FLY_TESTS_DAMAGE_SCENE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/steer/damage.h"

enum { DAMAGE_WINDOWS = 4, DAMAGE_STRIPE = 7 };

enum damage_kind { DAMAGE_NONE = 0, DAMAGE_OXYGEN, DAMAGE_THICKNESS };

struct damage_scene {
    int32_t side;          /* chips each way */
    double counts;         /* photons of a chip and survey dwell, of the brighter material */
    double image_sigma;    /* of a chip's mean, of one survey dwell, its mean being near 1 */
    double current;        /* of the beam, times */
    double neighbour;      /* share of each chip that is its right neighbour's */
    enum damage_kind kind;
    double loss;           /* in the end; times 1 - exp(-dose / scale) */
    double scale;          /* survey dwells */
    int32_t first, across; /* damaged chips: rows and columns first .. first + across - 1 */
    struct fly_rng rng;
    double *dose;          /* (K) survey dwells */
    uint32_t *counted;     /* (K, windows) */
    uint64_t *total;       /* (K) */
    struct fly_arena arena;
    struct fly_damage *watch;
};

static inline void damage_scene_open(struct damage_scene *s, int32_t side, double counts, uint64_t seed)
{
    struct fly_damage_config config = {.rows = side, .cols = side, .windows = DAMAGE_WINDOWS};
    size_t k = (size_t)side * (size_t)side;

    *s = (struct damage_scene){.side = side, .counts = counts, .image_sigma = 0.02, .current = 1.0, .scale = 4.0,
                               .rng = {seed}};
    s->dose = calloc(k, sizeof *s->dose);
    s->counted = calloc(k * DAMAGE_WINDOWS, sizeof *s->counted);
    s->total = calloc(k, sizeof *s->total);
    FLY_ASSERT(s->dose && s->counted && s->total);
    FLY_ASSERT(fly_arena_init(&s->arena, fly_damage_need(&config), NULL, "scene") == FLY_OK);
    FLY_ASSERT(fly_damage_init(&s->watch, &config, &s->arena) == FLY_OK);
}

static inline void damage_scene_close(struct damage_scene *s)
{
    fly_arena_fini(&s->arena);
    free(s->dose);
    free(s->counted);
    free(s->total);
}

static inline int damage_scene_is_in(const struct damage_scene *s, int32_t row, int32_t col)
{
    return s->kind && row >= s->first && row < s->first + s->across && col >= s->first && col < s->first + s->across;
}

/* Expected photons of a survey dwell, windows and the rest, and the image, at full current. */
static inline double damage_scene_expect(const struct damage_scene *s, int32_t row, int32_t col,
                                         double of[DAMAGE_WINDOWS + 1])
{
    static const double share[2][DAMAGE_WINDOWS + 1] = {{0.25, 0.15, 0.20, 0.10, 0.30}, {0.12, 0.05, 0.30, 0.23, 0.30}};
    int material = col / DAMAGE_STRIPE % 2;
    double lost = 0.0, image = material ? 0.6 : 1.0;

    if (damage_scene_is_in(s, row, col))
        lost = s->loss * (1.0 - exp(-s->dose[row * s->side + col] / s->scale));
    for (int w = 0; w <= DAMAGE_WINDOWS; w++) {
        of[w] = s->counts * share[material][w] * (material ? 0.7 : 1.0);
        if (s->kind == DAMAGE_THICKNESS || w == 0)
            of[w] *= 1.0 - lost;
    }
    return s->kind == DAMAGE_THICKNESS ? image * (1.0 - lost) : image;
}

/* Expose a chip for a number of survey dwells of 2 us. */
static inline void damage_scene_expose(struct damage_scene *s, int32_t row, int32_t col, double dwells)
{
    double of[DAMAGE_WINDOWS + 1], beside[DAMAGE_WINDOWS + 1];
    int32_t chip = row * s->side + col, next = col + 1 < s->side ? col + 1 : col;
    double image = damage_scene_expect(s, row, col, of), image_beside = damage_scene_expect(s, row, next, beside);

    for (int w = 0; w <= DAMAGE_WINDOWS; w++) {
        double mean = (1.0 - s->neighbour) * of[w] + s->neighbour * beside[w];
        uint64_t n = fly_rng_poisson(&s->rng, mean * s->current * dwells);

        s->total[chip] += n;
        if (w < DAMAGE_WINDOWS)
            s->counted[(size_t)chip * DAMAGE_WINDOWS + (size_t)w] += (uint32_t)n;
    }
    image = ((1.0 - s->neighbour) * image + s->neighbour * image_beside) * s->current;
    s->dose[chip] += dwells;
    fly_damage_counts(s->watch, chip, s->counted + (size_t)chip * DAMAGE_WINDOWS, s->total[chip], 2.0 * s->dose[chip], 1);
    fly_damage_image(s->watch, chip, image + s->image_sigma / sqrt(dwells) * fly_rng_normal(&s->rng), 2.0 * dwells);
}

static inline void damage_scene_frame(struct damage_scene *s)
{
    for (int32_t row = 0; row < s->side; row++)
        for (int32_t col = 0; col < s->side; col++)
            damage_scene_expose(s, row, col, 1.0);
    fly_damage_look(s->watch);
}

#endif
