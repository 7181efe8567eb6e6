#include "engine/region/advice.h"

#include <math.h>

static const double nm_least = 0.5, nm_most = 1.0; /* sides of chips in the paper */

static int line_complete(const struct fly_picture *image, int32_t y)
{
    const float *line = image->pixels + y * image->stride;

    for (int32_t x = 0; x < image->w; x++)
        if (!isfinite(line[x]))
            return 0;
    return 1;
}

/* Four periods of the least d: with fewer lines no spot has a place across them. */
static double lines_least(const struct fly_spacing_config *config)
{
    return 4.0 * (config->pixel_nm[0] > 0.0 ? config->d_nm[0] / config->pixel_nm[0] : config->d_px[0]);
}

/* Lines from the top, at most `most`. */
static int32_t complete_lines(const struct fly_picture *image, int32_t most)
{
    int32_t lines = 0;

    while (lines < image->h && lines < most && line_complete(image, lines))
        lines++;
    return lines;
}

/* Longer side, in pixels, of the reduced cell whose reciprocal vectors are g and h; waves are f . r = integer. */
static double cell_of(const struct fly_spot *g, const struct fly_spot *h)
{
    double det = g->fy * h->fx - g->fx * h->fy;
    double a[2] = {h->fx / det, -h->fy / det}, b[2] = {-g->fx / det, g->fy / det};

    for (int i = 0; i < 32; i++) { /* Gauss: it ends after few, rounding apart */
        double aa = a[0] * a[0] + a[1] * a[1], bb = b[0] * b[0] + b[1] * b[1];
        double dot = a[0] * b[0] + a[1] * b[1], *longer = aa > bb ? a : b, *shorter = aa > bb ? b : a;
        double times = round(dot / fmin(aa, bb));

        if (times == 0.0)
            break;
        longer[0] -= times * shorter[0];
        longer[1] -= times * shorter[1];
    }
    return fmax(hypot(a[0], a[1]), hypot(b[0], b[1]));
}

static int32_t advised_px(double cell_px, double pixel_nm)
{
    double chip = 2.0 * cell_px;

    if (pixel_nm > 0.0)
        chip = fmax(fmin(chip, nm_most / pixel_nm), nm_least / pixel_nm);
    return (int32_t)ceil(fmax(chip, cell_px));
}

static void judge(struct fly_advice *out, int32_t chip_px, double pixel_nm)
{
    const struct fly_spot *spot = out->spacing.spot;

    out->cell_px = out->spacing.spots == 2 ? cell_of(&spot[0], &spot[1]) : 1.0 / hypot(spot[0].fy, spot[0].fx);
    out->cells = chip_px / out->cell_px;
    out->chip_px = advised_px(out->cell_px, pixel_nm);
    out->reason = out->cells < 1.0                                            ? FLY_ADVICE_BELOW_CELL
                  : out->cells > 2.0 && pixel_nm > 0.0 && chip_px * pixel_nm > nm_most ? FLY_ADVICE_COARSE
                                                                              : FLY_ADVICE_FITS;
}

int fly_advise(struct fly_advice *out, const struct fly_transforms *transforms, int32_t worker,
               const struct fly_spacing_config *config, const struct fly_picture *image, int32_t chip_px, float *power)
{
    int32_t most = transforms->transform[transforms->count - 1].side, w = image->w < most ? image->w : most;
    struct fly_advice advice = {.in_nm = config->pixel_nm[0] > 0.0, .reason = FLY_ADVICE_TOO_LITTLE};
    struct fly_picture seen = {.stride = image->stride, .w = w};
    int rc;

    if (image->h < 1 || image->w < 1)
        return fly_fail(FLY_ERANGE, "a survey of %d x %d px", image->h, image->w);
    advice.lines = seen.h = complete_lines(image, most);
    seen.pixels = image->pixels + (image->w - w) / 2;
    if (seen.h > 0 && seen.h >= lines_least(config)) {
        rc = fly_spacing_robust(&advice.spacing, transforms, worker, config, &seen, power);
        if (rc < 0)
            return rc;
        if (advice.spacing.state == FLY_SPACING_DISORDERED)
            advice.reason = FLY_ADVICE_NO_LATTICE;
        if (advice.spacing.state == FLY_SPACING_MEASURED)
            judge(&advice, chip_px, fmax(config->pixel_nm[0], config->pixel_nm[1]));
    }
    *out = advice;
    return FLY_OK;
}
