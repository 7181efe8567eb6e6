#include "engine/region/spacing.h"

#include <math.h>

#include "engine/region/flatten.h"
#include "engine/region/spots.h"

enum { SIDE_LEAST = 8 };

static const double snr_crystalline = 30.0, snr_most = 1e30;

/* Power at any place of k-space, period M on both axes. */
static double power_at(const float *power, int32_t n, int32_t ky, int32_t kx)
{
    if (kx < 0 || (kx > n / 2)) {
        kx = -kx;
        ky = -ky;
    }
    kx = (kx % n + n) % n;
    ky = (ky % n + n) % n;
    return (double)power[(size_t)kx * (size_t)n + (size_t)ky];
}

/* The highest k on an axis that can be a candidate: short of the Nyquist limit. */
static int32_t reach(int32_t n, double f)
{
    int32_t most = (n - 1) / 2;

    return f * n + 1.0 < most ? (int32_t)(f * n + 1.0) : most;
}

/* The strongest candidate into out->ky, kx (of equals the one of the lowest ky, then kx); the candidates' powers
 * into values. */
static int32_t strongest(struct fly_spacing *out, double *peak, float *values, const float *power, int32_t n,
                         const double pixel[2], const double d[2])
{
    int32_t count = 0, most_y = reach(n, pixel[0] / d[0]), most_x = reach(n, pixel[1] / d[0]);

    *peak = -1.0;
    for (int32_t ky = 0; ky <= most_y; ky++)
        for (int32_t kx = ky ? -most_x : 1; kx <= most_x; kx++) {
            double g = hypot(ky / pixel[0], kx / pixel[1]) / n, here;

            if (g < 1.0 / d[1] || g > 1.0 / d[0])
                continue;
            here = power_at(power, n, ky, kx);
            values[count++] = (float)here;
            if (here > *peak) {
                *peak = here;
                out->ky = ky;
                out->kx = kx;
            }
        }
    return count;
}

static void measure(struct fly_spacing *out, const float *power, int32_t n, const double pixel[2], const double d[2],
                    float *values)
{
    double peak, median;
    int32_t count = strongest(out, &peak, values, power, n, pixel, d), ky = out->ky, kx = out->kx;
    struct fly_spot *spot = &out->spot[0];

    if (count == 0 || peak <= 0.0) {
        out->ky = out->kx = 0;
        return;
    }
    median = fly_median(values, count);
    spot->fy = (ky + fly_log_parabola(power_at(power, n, ky - 1, kx), peak, power_at(power, n, ky + 1, kx))) / n;
    spot->fx = (kx + fly_log_parabola(power_at(power, n, ky, kx - 1), peak, power_at(power, n, ky, kx + 1))) / n;
    spot->d = out->d = 1.0 / hypot(spot->fy / pixel[0], spot->fx / pixel[1]);
    spot->d_sd = out->d_sd = NAN;
    spot->snr = out->snr = median > 0.0 ? fmin(peak / median, snr_most) : snr_most;
    out->periods = hypot(spot->fy, spot->fx) * n;
    out->crystalline = out->snr >= snr_crystalline;
    out->spots = 1;
    out->state = FLY_SPACING_MEASURED;
}

int fly_spacing_paper(struct fly_spacing *out, const struct fly_transforms *transforms, int32_t worker,
                      const struct fly_spacing_config *config, const struct fly_picture *picture, float *power)
{
    const struct fly_transform *planned = fly_transforms_for(transforms, picture->h);
    struct fly_transform_work *work = &transforms->work[worker];
    int in_px = config->pixel_nm[0] == 0.0 && config->pixel_nm[1] == 0.0;
    const double one[2] = {1.0, 1.0};
    struct fly_spacing found = {.crystallinity = NAN, .in_px = in_px};
    struct fly_transform transform;
    struct fly_flat flat;
    double f_max[2], floor;

    if (picture->h < 1 || picture->h != picture->w)
        return fly_fail(FLY_ERANGE, "a region of %d x %d px is no square", picture->h, picture->w);
    if (picture->h >= SIDE_LEAST) {
        if (!planned || planned->side != picture->h)
            return fly_fail(FLY_ERANGE, "a region of %d px: no such size was planned", picture->h);
        fly_spacing_f_max(config, f_max);
        transform = fly_transform_within(planned, f_max);
        flat = fly_flatten(picture, &transform, work, FLY_FLATTEN_MEAN);
        found.missing = 1.0 - (double)flat.present / ((double)picture->h * picture->w);
        if (!flat.blank) {
            fly_transform_power(&transform, work, &floor, power, flat.window_power * flat.unit * flat.unit);
            measure(&found, work->half, transform.side, in_px ? one : config->pixel_nm,
                    in_px ? config->d_px : config->d_nm, work->input);
        }
    }
    *out = found;
    return FLY_OK;
}
