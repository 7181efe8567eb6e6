/* tests/support/drift_scene.h: specimens that drift, for tests of what measures it, and what is asked of a shift. To be included after
 * cmocka's headers. */
#ifndef FLY_TEST_DRIFT_SCENE_H
#define FLY_TEST_DRIFT_SCENE_H

#include <math.h>
#include <stdint.h>

#include "engine/base/rng.h"
#include "engine/chip/drift.h"

/* A specimen that can be looked at anywhere: a lattice of spots with a cell of pitch_y x pitch_x, each brighter or
 * darker by `uneven`, and particles. Where it is looked at is the drift. */
enum { PARTICLES_MAX = 60 };
struct scene {
    double pitch_y, pitch_x; /* 0: no lattice */
    double uneven;
    int particles;
    double y[PARTICLES_MAX], x[PARTICLES_MAX], width[PARTICLES_MAX], height[PARTICLES_MAX];
};

static inline struct scene scene(double pitch_y, double pitch_x, double uneven, int particles, int32_t h, int32_t w,
                                 uint64_t seed)
{
    struct scene s = {.pitch_y = pitch_y, .pitch_x = pitch_x, .uneven = uneven, .particles = particles};
    struct fly_rng rng = {seed};

    for (int i = 0; i < particles; i++) {
        s.y[i] = h * fly_rng_uniform(&rng);
        s.x[i] = w * fly_rng_uniform(&rng);
        s.width[i] = 2.0 + 4.0 * fly_rng_uniform(&rng);
        s.height[i] = 0.3 + 0.7 * fly_rng_uniform(&rng);
    }
    return s;
}

static inline double spot(double y, double x, double width)
{
    double q = (y * y + x * x) / (2.0 * width * width);

    return q < 20.0 ? exp(-q) : 0.0;
}

static inline double seen(const struct scene *s, double y, double x)
{
    double sum = 0.0;

    if (s->pitch_y > 0.0) {
        double i0 = floor(y / s->pitch_y), j0 = floor(x / s->pitch_x);

        for (double i = i0; i < i0 + 2.0; i++)
            for (double j = j0; j < j0 + 2.0; j++) {
                uint64_t z = fly_rng_at((uint64_t)(int64_t)(i * 4096.0 + j));

                sum += (1.0 + s->uneven * ((double)(z >> 40) * 0x1p-23 - 1.0)) *
                       spot(y - i * s->pitch_y, x - j * s->pitch_x, 0.18 * s->pitch_y);
            }
    }
    for (int i = 0; i < s->particles; i++)
        sum += s->height[i] * spot(y - s->y[i], x - s->x[i], s->width[i]);
    return sum;
}

/* Counts of a frame whose pixel (y, x) shows the specimen at (y + dy, x + dx); brightest about `dose`. */
static inline void look(const struct scene *s, int32_t h, int32_t w, double dy, double dx, double dose, struct fly_rng *rng,
                        uint16_t *counts)
{
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            double mean = dose * (0.2 + seen(s, y + dy, x + dx));

            counts[(size_t)y * (size_t)w + (size_t)x] =
                (uint16_t)(rng ? (double)fly_rng_poisson(rng, mean) : floor(mean + 0.5));
        }
}

static inline void assert_near(const struct fly_drift_shift *shift, double dy, double dx, double px)
{
    assert_true(shift->measured);
    if (!(fabs(shift->dy_px - dy) < px && fabs(shift->dx_px - dx) < px))
        fail_msg("frame %d: (%.3f, %.3f) px measured, (%.3f, %.3f) true", (int)shift->frame, shift->dy_px,
                 shift->dx_px, dy, dx);
}

static inline void assert_not_measured(const struct fly_drift_shift *shift)
{
    assert_false(shift->measured);
    assert_true(isnan(shift->dy_px) && isnan(shift->dx_px) && isnan(shift->since_dy_px) && isnan(shift->sigma_dy_px) &&
                isnan(shift->correlation) && isnan(shift->rival_dy_px));
    assert_false(shift->ambiguous);
}

#endif
