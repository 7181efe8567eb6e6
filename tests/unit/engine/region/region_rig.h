/* tests/unit/engine/region/region_rig.h: transforms with their memory, and pictures with a known lattice. */
#ifndef FLY_TESTS_REGION_RIG_H
#define FLY_TESTS_REGION_RIG_H

#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/region/spacing.h"

struct region_rig {
    struct fly_arena arena;
    struct fly_transforms transforms;
    struct fly_spacing_config config;
};

static inline struct region_rig region_rig_open(struct fly_spacing_config config, int32_t chip_px, int32_t side_px_max,
                                                int exact, int32_t workers)
{
    struct region_rig rig = {.config = config};
    struct fly_transforms_config how = {.chip_px = chip_px, .pitch_px = chip_px, .side_px_max = side_px_max,
                                        .exact = exact, .workers = workers};

    fly_spacing_f_max(&config, how.f_max);
    if (fly_arena_init(&rig.arena, fly_transforms_need(&how), NULL, "regions") < 0 ||
        fly_transforms_init(&rig.transforms, &how, &rig.arena) < 0)
        abort();
    if (rig.arena.used != rig.arena.cap)
        abort();
    return rig;
}

static inline void region_rig_close(struct region_rig *rig)
{
    fly_transforms_fini(&rig->transforms);
    fly_arena_fini(&rig->arena);
}

/* Pixels of one size on both axes, or of two. */
static inline struct fly_spacing_config region_config(double pixel_y, double pixel_x)
{
    struct fly_spacing_config config = fly_spacing_config_default();

    config.pixel_nm[0] = pixel_y;
    config.pixel_nm[1] = pixel_x;
    return config;
}

struct picture {
    float *pixels; /* (h, w) */
    int32_t h, w;
};

static inline struct picture picture_new(int32_t h, int32_t w)
{
    struct picture p = {.pixels = calloc((size_t)h * (size_t)w, sizeof(float)), .h = h, .w = w};

    if (!p.pixels)
        abort();
    return p;
}

static inline struct fly_picture picture_of(const struct picture *p)
{
    return (struct fly_picture){.pixels = p->pixels, .stride = p->w, .h = p->h, .w = p->w};
}

static inline struct fly_spacing measured(struct region_rig *rig, const struct picture *p)
{
    struct fly_picture view = picture_of(p);
    struct fly_spacing out;

    if (fly_spacing_robust(&out, &rig->transforms, 0, &rig->config, &view, NULL) < 0)
        abort();
    return out;
}

static inline void fill(struct picture *p, double value)
{
    for (int64_t i = 0; i < (int64_t)p->h * p->w; i++)
        p->pixels[i] = (float)value;
}

/* A cos(2 pi (fy y + fx x) + phase). */
static inline void add_wave(struct picture *p, double amplitude, double fy, double fx, double phase)
{
    for (int32_t y = 0; y < p->h; y++)
        for (int32_t x = 0; x < p->w; x++)
            p->pixels[(size_t)y * (size_t)p->w + (size_t)x] +=
                (float)(amplitude * cos(2.0 * M_PI * (fy * y + fx * x) + phase));
}

/* A square lattice of two waves, period_nm, turned by angle; pixels in nm. */
static inline void add_lattice(struct picture *p, double amplitude, double period_nm, double angle, double pixel_y,
                               double pixel_x, struct fly_rng *rng)
{
    for (int k = 0; k < 2; k++) {
        double turn = angle + k * M_PI / 2.0;

        add_wave(p, amplitude, sin(turn) / period_nm * pixel_y, cos(turn) / period_nm * pixel_x,
                 2.0 * M_PI * fly_rng_uniform(rng));
    }
}

static inline void add_noise(struct picture *p, double sd, struct fly_rng *rng)
{
    for (int64_t i = 0; i < (int64_t)p->h * p->w; i++)
        p->pixels[i] += (float)(sd * fly_rng_normal(rng));
}

/* Two independent textures of side px without order: white noise through a ring of k-space at `f` cycles a pixel,
 * Gaussian of standard deviation `width`; variance 1. */
static inline void amorphous(float *a, float *b, int32_t side, double f, double width, struct fly_rng *rng)
{
    size_t n = (size_t)side * (size_t)side;
    fftwf_complex *wave = fftwf_malloc(n * sizeof *wave);
    fftwf_plan plan = fftwf_plan_dft_2d(side, side, wave, wave, FFTW_BACKWARD, FFTW_ESTIMATE);
    double power = 0.0;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            double fy = (y < side / 2 ? y : y - side) / (double)side, fx = (x < side / 2 ? x : x - side) / (double)side;
            double z = (hypot(fy, fx) - f) / width, shape = exp(-0.25 * z * z);
            size_t i = (size_t)y * (size_t)side + (size_t)x;

            wave[i][0] = (float)(shape * fly_rng_normal(rng));
            wave[i][1] = (float)(shape * fly_rng_normal(rng));
            power += shape * shape;
        }
    fftwf_execute(plan);
    for (size_t i = 0; i < n; i++) {
        a[i] = (float)((double)wave[i][0] / sqrt(power));
        b[i] = (float)((double)wave[i][1] / sqrt(power));
    }
    fftwf_destroy_plan(plan);
    fftwf_free(wave);
}

#endif
