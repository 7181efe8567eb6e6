#include "sim/harm.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/rng.h"

static const double scale_dwells = 4.0;
static const double oxygen_kev = 0.525;

struct fly_harm {
    struct fly_harm_config config;
    uint64_t seed;
    int32_t height_px, width_px;
    double survey_us;
    int32_t first, end; /* channels of oxygen's line */
    float *dose;        /* (H, W) survey dwells */
};

int fly_harm_open(struct fly_harm **out, const struct fly_harm_config *config,
                  const struct fly_specimen_config *specimen, const struct fly_beam_config *beam, double survey_us)
{
    double half_ev = fly_xray_fwhm_ev(oxygen_kev), centre = 1e3 * oxygen_kev - beam->axis.ev_offset;
    struct fly_harm *h;

    if (!(config->loss >= 0.0 && config->loss <= 1.0))
        return fly_fail(FLY_ERANGE, "a loss of %g by damage, allowed are 0 .. 1", config->loss);
    h = calloc(1, sizeof *h);
    if (!h)
        return fly_fail(FLY_ENOMEM, "damage: no memory");
    h->config = *config;
    h->seed = fly_mix64(beam->seed ^ 0xDA3A6E);
    h->height_px = specimen->height_px;
    h->width_px = specimen->width_px;
    h->survey_us = survey_us;
    h->first = (int32_t)ceil((centre - half_ev) / beam->axis.ev_per_channel);
    h->end = (int32_t)floor((centre + half_ev) / beam->axis.ev_per_channel) + 1;
    h->dose = calloc((size_t)h->height_px * (size_t)h->width_px, sizeof *h->dose);
    if (!h->dose) {
        fly_harm_close(&h);
        return fly_fail(FLY_ENOMEM, "damage: no memory for %d x %d px", specimen->height_px, specimen->width_px);
    }
    *out = h;
    return FLY_OK;
}

void fly_harm_close(struct fly_harm **harm)
{
    if (!*harm)
        return;
    free((*harm)->dose);
    free(*harm);
    *harm = NULL;
}

static double lost_at(const struct fly_harm *h, int32_t y, int32_t x)
{
    int inside = y >= h->height_px / 3 && y < h->height_px - h->height_px / 3 && x >= h->width_px / 3 &&
                 x < h->width_px - h->width_px / 3;
    double dose = (double)h->dose[(size_t)y * (size_t)h->width_px + (size_t)x];

    return inside ? h->config.loss * (1.0 - exp(-dose / scale_dwells)) : 0.0;
}

static struct fly_rng rng_of(const struct fly_harm *h, const struct fly_patch *patch, int32_t y, int32_t x, int32_t stream)
{
    uint64_t key = fly_mix64(h->seed + (uint64_t)stream) ^ fly_rng_at((uint64_t)patch->frame);

    return (struct fly_rng){fly_mix64(key + fly_rng_at((uint64_t)y * (uint64_t)h->width_px + (uint64_t)x))};
}

void fly_harm_image(const struct fly_harm *harm, const struct fly_patch *patch, uint16_t *counts)
{
    const struct fly_harm *h = harm;

    for (int32_t y = patch->y0_px; h->config.kind == FLY_HARM_THICKNESS && y < patch->y0_px + patch->h; y++)
        for (int32_t x = patch->x0_px; x < patch->x0_px + patch->w; x++) {
            uint16_t *count = &counts[(size_t)(y - patch->y0_px) * (size_t)patch->w + (size_t)(x - patch->x0_px)];
            double lost = lost_at(h, y, x);
            struct fly_rng rng = rng_of(h, patch, y, x, 0);

            for (uint16_t n = lost > 0.0 ? *count : 0; n > 0; n--)
                *count = (uint16_t)(*count - (fly_rng_uniform(&rng) < lost));
        }
}

uint32_t fly_harm_photons(const struct fly_harm *harm, const struct fly_patch *patch, int32_t segment, uint32_t *row_ptr,
                          uint16_t *channel)
{
    const struct fly_harm *h = harm;
    uint32_t left = 0, from = 0;

    for (int32_t i = 0; i < patch->h * patch->w; i++) {
        int32_t y = patch->y0_px + i / patch->w, x = patch->x0_px + i % patch->w;
        double lost = lost_at(h, y, x);
        struct fly_rng rng = rng_of(h, patch, y, x, 1 + segment);

        for (uint32_t p = from; p < row_ptr[i + 1]; p++) {
            int hit = h->config.kind == FLY_HARM_THICKNESS || (channel[p] >= h->first && channel[p] < h->end);

            if (!hit || !(lost > 0.0) || fly_rng_uniform(&rng) >= lost)
                channel[left++] = channel[p];
        }
        from = row_ptr[i + 1];
        row_ptr[i + 1] = left;
    }
    return left;
}

void fly_harm_expose(struct fly_harm *harm, const struct fly_patch *patch)
{
    for (int32_t y = patch->y0_px; y < patch->y0_px + patch->h; y++)
        for (int32_t x = patch->x0_px; x < patch->x0_px + patch->w; x++)
            harm->dose[(size_t)y * (size_t)harm->width_px + (size_t)x] += (float)(patch->dwell_us / harm->survey_us);
}
