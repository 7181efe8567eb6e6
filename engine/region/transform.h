/* engine/region/transform.h: power spectra of square pictures, planned at start.
 *
 * FFTW's planner takes locks of its own, allocates, and is not thread-safe; so every size is planned by
 * init, and nothing afterwards. The squares of a session are 1, 2, 3 ... chips wide: `exact` plans those
 * very sizes (golden definition 15), otherwise the next that FFTW does fast, around which the square
 * gets zeros. Plans are estimated, not measured: one chosen by timing would change bits from start to
 * start.
 *
 * Of the half plane only the columns are transformed that are asked for: kx 0 .. columns - 1, where a
 * lattice is looked for, and the last few before the Nyquist limit, whose corners have nothing but noise.
 *
 * Axes     ky down (slow), kx along the fast axis, in cycles over the M pixels of the transform.
 * Power    |sum of input exp(-2 pi i (ky y + kx x) / M)|^2, not scaled.
 * Memory   arrays from the arena, about 13 M^2 bytes a worker for the largest M; plans from FFTW's allocator, some
 *          ten KiB a size, given back by fini.
 * Threads  init and fini from one thread, with no other planner of the process at work; between them
 *          transforms are read-only, and workers with different numbers may run at once.
 */
#ifndef FLY_REGION_TRANSFORM_H
#define FLY_REGION_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

struct fly_transforms_config {
    int32_t chip_px;     /* 1 .. side_px_max: the side of a chip */
    int32_t pitch_px;    /* 1 .. chip_px: n chips are (n - 1) pitch_px + chip_px wide */
    int32_t side_px_max; /* 8 .. 8192: of the largest square; it is a size too */
    int exact;           /* 1: sizes of n chips, 0: fast ones not below them */
    double f_max[2];     /* highest frequency along y and x that is looked at, cycles a pixel, above 0 .. 0.5; a call
                          * may look less far (fly_transform_within) */
    int32_t workers;     /* >= 1: that may transform at once */
};

enum { FLY_TRANSFORM_TABLES = 10 };

struct fly_transform {
    int32_t side;    /* M */
    int32_t columns; /* kx 0 .. columns - 1 have power */
    int32_t reach;   /* and in them ky -reach .. reach; at most M / 2 */
    int32_t corner;  /* kx corner .. M / 2 are looked at for the noise floor */
    void *plan[3];   /* pairs of lines, 8 columns, corner columns */
};

/* What one worker works on. */
struct fly_transform_work {
    float *flat;   /* (M, M) at most: for whoever fills the input */
    double *table; /* (FLY_TRANSFORM_TABLES, M): numbers of rows and columns, for the same */
    float *input;  /* (pairs of lines, stride, 2), see fly_transform_at; afterwards free, M^2 floats and more */
    float *half;   /* (M, line stride, 2): first pass; then power (columns, M) */
};

struct fly_transforms {
    struct fly_transform *transform; /* (count), sides ascending */
    int32_t count;
    struct fly_transform_work *work; /* (workers) */
};

size_t fly_transforms_need(const struct fly_transforms_config *config);

/* FLY_ERANGE  a number is outside its range, which the message names
 * FLY_ENOMEM  FFTW makes no plan; nothing is left behind */
FLY_MUST_USE int fly_transforms_init(struct fly_transforms *transforms, const struct fly_transforms_config *config,
                                     struct fly_arena *arena);
void fly_transforms_fini(struct fly_transforms *transforms); /* one of zeros is fine */

/* The least transform that holds a square of side_px, or NULL. */
const struct fly_transform *fly_transforms_for(const struct fly_transforms *transforms, int32_t side_px);

/* The same transform looking no farther than f_max: fewer columns to do. */
struct fly_transform fly_transform_within(const struct fly_transform *transform, const double f_max[2]);

/* Places of a pair of lines in the input; M of them are looked at. */
static inline size_t fly_transform_stride(const struct fly_transform *transform)
{
    return ((size_t)transform->side + 7) / 8 * 8;
}

/* Where pixel (y, x) lies in the input: two lines make one of complex numbers, since FFTW does one of those in about
 * half the time of two of real numbers. */
static inline size_t fly_transform_at(const struct fly_transform *transform, int32_t y, int32_t x)
{
    return 2 * ((size_t)(y / 2) * fly_transform_stride(transform) + (size_t)x) + (size_t)(y % 2);
}

/* Power of work->input (of an odd M's last pair the second line is zeros), which it destroys, into work->half as
 * (columns, M): of (ky, kx) at [kx * M + (ky < 0 ? ky + M : ky)], |ky| <= reach. noise_floor: the median of the corners
 * of k-space (kx from corner on, |ky| > 3/8 M), as the mean of the exponential distribution with that median; picture:
 * NULL, or (M, M) filled with log10 of the power over `scale`, zero frequency at (M / 2, M / 2). */
void fly_transform_power(const struct fly_transform *transform, struct fly_transform_work *work, double *noise_floor,
                         float *picture, double scale);

/* The plain twin: one sum over all pixels. */
double fly_transform_power_ref(const float *input, size_t stride, int32_t side, double ky, double kx);

/* The value of rank `rank` of n, 0 .. n - 1 (quickselect; reorders). */
float fly_select(float *values, int32_t n, int32_t rank);
/* The mean of the two middle ones; n >= 1. */
double fly_median(float *values, int32_t n);

#endif
