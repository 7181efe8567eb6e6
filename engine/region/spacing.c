#include "engine/region/spacing.h"

#include <math.h>

#include "engine/region/refine.h"
#include "engine/region/spots.h"

static const double pi = 3.14159265358979323846;
static const double periods_least = 4.0; /* measurable: algorithms.md 7 */
static const double apart_least = 0.26;  /* sine of 15 degrees between two lattice vectors */

/* Variance beyond the first order in the noise, which also makes amplitudes look larger: in simulation the
 * first order's 68 % interval has 0.63 at an snr of 35, with this 0.66. */
static const double second_order = 5.0;

struct fly_spacing_config fly_spacing_config_default(void)
{
    return (struct fly_spacing_config){.d_nm = {0.33, 0.55}, .d_px = {3.0, 40.0}};
}

static int in_px(const struct fly_spacing_config *config)
{
    return config->pixel_nm[0] == 0.0 && config->pixel_nm[1] == 0.0;
}

int fly_spacing_check(const struct fly_spacing_config *config)
{
    const double *pixel = config->pixel_nm;

    if (!in_px(config) && !(pixel[0] > 0.0 && pixel[1] > 0.0 && isfinite(pixel[0]) && isfinite(pixel[1])))
        return fly_fail(FLY_ERANGE, "pixels of %g x %g nm: both above 0, or both 0", pixel[0], pixel[1]);
    if (!(config->d_nm[0] > 0.0) || !(config->d_nm[1] > config->d_nm[0]) || !isfinite(config->d_nm[1]))
        return fly_fail(FLY_ERANGE, "d-spacings of %g .. %g nm: above 0, rising", config->d_nm[0], config->d_nm[1]);
    if (!(config->d_px[0] >= 2.0) || !(config->d_px[1] > config->d_px[0]) || !isfinite(config->d_px[1]))
        return fly_fail(FLY_ERANGE, "d-spacings of %g .. %g px: 2 and more, rising", config->d_px[0], config->d_px[1]);
    return FLY_OK;
}

/* Pixels and range in one unit. */
static const double *units_of(const struct fly_spacing_config *config, double pixel[2])
{
    pixel[0] = in_px(config) ? 1.0 : config->pixel_nm[0];
    pixel[1] = in_px(config) ? 1.0 : config->pixel_nm[1];
    return in_px(config) ? config->d_px : config->d_nm;
}

void fly_spacing_f_max(const struct fly_spacing_config *config, double f_max[2])
{
    double pixel[2];
    const double *d = units_of(config, pixel);

    f_max[0] = fmin(pixel[0] / d[0], 0.5);
    f_max[1] = fmin(pixel[1] / d[0], 0.5);
}

static const struct fly_transform *transform_for(const struct fly_transforms *transforms,
                                                 const struct fly_picture *picture)
{
    int32_t side = picture->h > picture->w ? picture->h : picture->w;
    const struct fly_transform *transform = fly_transforms_for(transforms, side);

    if (picture->h < 1 || picture->w < 1 || !transform)
        fly_fail(FLY_ERANGE, "a region of %d x %d px: 1 .. %d", picture->h, picture->w,
                 transforms->count ? transforms->transform[transforms->count - 1].side : 0);
    return picture->h < 1 || picture->w < 1 ? NULL : transform;
}

static double share_missing(const struct fly_flat *flat)
{
    return 1.0 - (double)flat->present / ((double)flat->picture.h * flat->picture.w);
}

/* ---- robust ------------------------------------------------------------------------------------- */

/* A tone with all that is to be told of it; 0: refinement lost it. noise: mean power around it. */
static int tell_spot(struct fly_spot *spot, double noise, const struct fly_tone *tone, const struct fly_flat *flat,
                     const double pixel[2])
{
    double turn = tone->fy < 0.0 || (tone->fy == 0.0 && tone->fx < 0.0) ? -1.0 : 1.0;
    double gy = tone->fy / pixel[0], gx = tone->fx / pixel[1], g = hypot(gy, gx), uy, ux, variance, half;

    if (!tone->found || !(g > 0.0))
        return 0;
    /* Along g alone: what turns it leaves d. */
    uy = gy / g / pixel[0];
    ux = gx / g / pixel[1];
    variance = uy * uy * tone->cov[0] + 2.0 * uy * ux * tone->cov[1] + ux * ux * tone->cov[2];
    half = 0.5 * tone->amplitude * flat->window_sum;
    *spot = (struct fly_spot){
        .fy = turn * tone->fy,
        .fx = turn * tone->fx,
        .d = 1.0 / g,
        .amplitude = tone->amplitude / flat->unit,
        .snr = half * half / noise,
    };
    spot->d_sd = sqrt(variance * noise / flat->window_power * (1.0 + second_order / spot->snr)) /
                 (tone->amplitude * g * g);
    return 1;
}

/* Sine of the angle between two spots' g. */
static double apart(const struct fly_spot *a, const struct fly_spot *b, const double pixel[2])
{
    double ay = a->fy / pixel[0], ax = a->fx / pixel[1], by = b->fy / pixel[0], bx = b->fx / pixel[1];

    return fabs(ay * bx - ax * by) / (hypot(ay, ax) * hypot(by, bx));
}

static void measure(struct fly_spacing *out, const struct fly_annulus *annulus, const struct fly_transform *transform,
                    struct fly_transform_work *work, const struct fly_flat *flat, const double pixel[2],
                    const double d[2], double floor)
{
    struct fly_peak peaks[2 * FLY_PEAKS];
    int32_t n = fly_peaks_find(peaks, annulus, work), n_all = fly_peaks_beside(peaks, n, annulus);

    out->crystallinity = fly_peaks_share(annulus, peaks, n, floor);
    out->state = FLY_SPACING_DISORDERED;
    for (int32_t i = 0; i < n && out->spots < FLY_SPACING_SPOTS; i++) {
        struct fly_spot *spot = &out->spot[out->spots];
        struct fly_tone tone = fly_refine(flat, transform, work, peaks[i].fy, peaks[i].fx);
        double noise = fly_peak_background(annulus, &peaks[i], peaks, n_all, work);
        double periods = hypot(tone.fy * flat->picture.h, tone.fx * flat->picture.w);

        if (!tell_spot(spot, noise, &tone, flat, pixel) || spot->d < d[0] || spot->d > d[1])
            continue;
        if (periods < periods_least) {
            out->state = FLY_SPACING_TOO_SMALL;
            continue;
        }
        if (out->spots == 0)
            out->periods = periods;
        else if (apart(&out->spot[0], spot, pixel) < apart_least)
            continue;
        out->spots++;
    }
    for (int32_t i = out->spots; i < FLY_SPACING_SPOTS; i++)
        out->spot[i] = (struct fly_spot){0};
    if (out->spots)
        out->state = FLY_SPACING_MEASURED;
}

int fly_spacing_robust(struct fly_spacing *out, const struct fly_transforms *transforms, int32_t worker,
                       const struct fly_spacing_config *config, const struct fly_picture *picture, float *power)
{
    const struct fly_transform *planned = transform_for(transforms, picture);
    struct fly_transform_work *work = &transforms->work[worker];
    struct fly_spacing found = {.crystallinity = NAN, .in_px = in_px(config)};
    double pixel[2], f_max[2], longest, floor;
    const double *d = units_of(config, pixel);
    struct fly_transform transform;
    struct fly_annulus annulus;
    struct fly_flat flat;

    if (!planned)
        return FLY_ERANGE;
    fly_spacing_f_max(config, f_max);
    transform = fly_transform_within(planned, f_max);
    longest = fmax(picture->h * pixel[0], picture->w * pixel[1]);
    found.d_most = fmin(d[1], longest / periods_least);
    flat = fly_flatten(picture, &transform, work, FLY_FLATTEN_PLANE);
    found.missing = share_missing(&flat);
    if (!flat.blank) {
        fly_transform_power(&transform, work, &floor, power, flat.window_power * flat.unit * flat.unit);
        found.noise_sd = sqrt(floor / flat.window_power) / flat.unit;
        found.state = FLY_SPACING_TOO_SMALL;
        annulus = fly_annulus_of(&transform, work, picture, pixel, d);
        if (longest >= periods_least * d[0])
            measure(&found, &annulus, &transform, work, &flat, pixel, d, floor);
        else
            found.d_most = 0.0;
    }
    if (found.spots) {
        found.crystalline = 1;
        found.d = found.spot[0].d;
        found.d_sd = found.spot[0].d_sd;
        found.snr = found.spot[0].snr;
    }
    if (found.spots == 2)
        found.angle_deg = asin(fmin(1.0, apart(&found.spot[0], &found.spot[1], pixel))) * 180.0 / pi;
    *out = found;
    return FLY_OK;
}
