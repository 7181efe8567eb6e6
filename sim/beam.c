#include "sim/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

enum { GUIDE_LOG2 = 12, GUIDE = 1 << GUIDE_LOG2 };

/* With drift, its jitter and a line's, within the margin of a specimen. */
#define OFF_MAX_PX 3.0

static const double nowhere_off[2] = {0.0, 0.0};

/* What a random number is for; the seed's bits are mixed with it. */
enum { KEY_HAADF = 1, KEY_PHOTONS, KEY_CHANNELS, KEY_DRIFT, KEY_LINE };

struct fly_beam {
    struct fly_beam_config config;
    const struct fly_specimen *specimen;
    struct fly_poisson *poisson;
    float photons[FLY_BEAM_SEGMENTS][FLY_PHASES]; /* mean per pixel per us */
    double share[FLY_BEAM_SEGMENTS];
    double phase_counts[FLY_PHASES];
    double *chance;   /* (FLY_PHASES, n_channels) */
    uint32_t *cdf;    /* (FLY_PHASES, n_channels), times 2^32; the last possible channel is 2^32 - 1 */
    uint16_t *guide;  /* (FLY_PHASES, GUIDE): the channel to begin with for a number's top bits */
};

struct fly_beam_config fly_beam_config_default(void)
{
    return (struct fly_beam_config){
        .hits_per_us = 90.0,
        .dark_per_us = 0.5,
        .drift_px = {0.04, -0.025},
        .drift_jitter_px = 0.02,
        .line_jitter_px = 0.08,
        .dwell_us = 2.0,
        .background_share = 0.3,
        .segments = 1,
        .axis = {.n_channels = 4096, .ev_per_channel = 10.0, .beam_kev = 200.0},
    };
}

static uint64_t key_of(const struct fly_beam *beam, uint64_t what, int64_t frame, int32_t segment)
{
    uint64_t key = fly_mix64(beam->config.seed + 0x9E3779B97F4A7C15u * (what + 16 * (uint64_t)segment));

    return fly_mix64(key ^ fly_rng_at((uint64_t)frame));
}

/* The generator of one pixel or line: its state is a mixed counter, so none needs those before it. */
static struct fly_rng rng_of(uint64_t key, uint64_t index)
{
    return (struct fly_rng){fly_mix64(key + (index + 1) * 0x9E3779B97F4A7C15u)};
}

static int in_range(const char *what, double value, double low, double high)
{
    if (value >= low && value <= high)
        return FLY_OK;
    return fly_fail(FLY_ERANGE, "%s of %g, allowed are %g .. %g", what, value, low, high);
}

static int check(const struct fly_beam_config *c)
{
    const struct {
        const char *what;
        double value, low, high;
    } limits[] = {
        {"HAADF counts per us", c->hits_per_us, 0, 10000},
        {"dark counts per us", c->dark_per_us, 0, 1000},
        {"drift along y, px per frame", c->drift_px[0], -2, 2},
        {"drift along x, px per frame", c->drift_px[1], -2, 2},
        {"drift jitter, px", c->drift_jitter_px, 0, 1},
        {"line jitter, px", c->line_jitter_px, 0, 1},
        {"EDS counts per pixel per frame", c->eds_counts, 0, 1000},
        {"dwell, us", c->dwell_us, 0.01, 1e6},
        {"longest dwell, us", c->dwell_max_us, 0, 1e6},
        {"bremsstrahlung share", c->background_share, 0, 0.9},
        {"EDS segments", c->segments, 1, FLY_BEAM_SEGMENTS},
        {"EDS channels", c->axis.n_channels, 1, 16384},
        {"eV per channel", c->axis.ev_per_channel, 0.1, 1000},
        {"eV offset", c->axis.ev_offset, -10000, 10000},
        {"beam energy, keV", c->axis.beam_kev, 20, 1000},
        {"share of the zero peak", c->axis.zero_peak, 0, 0.9},
    };

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int rc = in_range(limits[i].what, limits[i].value, limits[i].low, limits[i].high);

        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

/* Cumulative chances of one phase, and where to begin looking in them. */
static void fill_cdf(struct fly_beam *beam, int phase)
{
    int32_t n = beam->config.axis.n_channels, last = n - 1;
    const double *chance = beam->chance + (size_t)phase * (size_t)n;
    uint32_t *cdf = beam->cdf + (size_t)phase * (size_t)n;
    uint16_t *guide = beam->guide + (size_t)phase * GUIDE;
    double sum = 0.0;

    while (last > 0 && chance[last] == 0.0)
        last--;
    for (int32_t i = 0; i < n; i++) {
        sum += chance[i];
        double scaled = sum * 0x1p32;

        cdf[i] = i >= last || scaled >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)scaled;
    }
    for (uint32_t g = 0, i = 0; g < GUIDE; g++) {
        while (cdf[i] <= g << (32 - GUIDE_LOG2) && cdf[i] < UINT32_MAX)
            i++;
        guide[g] = (uint16_t)i;
    }
}

/* Rates such that the mean over the scan is eds_counts at the nominal dwell. */
static void fill_rates(struct fly_beam *beam)
{
    static const double efficiency[FLY_BEAM_SEGMENTS] = {1.0, 0.92, 1.07, 0.81};
    const struct fly_specimen *s = beam->specimen;
    double mean = 0.0, all = 0.0;

    for (int32_t y = 0; y < s->config.height_px; y++)
        for (int32_t x = 0; x < s->config.width_px; x++)
            mean += s->photon_yield[s->phase[fly_specimen_at(s, y, x)]];
    mean /= (double)s->config.height_px * s->config.width_px;
    for (int32_t i = 0; i < beam->config.segments; i++)
        all += efficiency[i];
    for (int32_t i = 0; i < beam->config.segments; i++)
        beam->share[i] = efficiency[i] / all;
    for (int p = 0; p < FLY_PHASES; p++) {
        beam->phase_counts[p] = beam->config.eds_counts * s->photon_yield[p] / mean;
        for (int32_t i = 0; i < beam->config.segments; i++)
            beam->photons[i][p] = (float)(beam->phase_counts[p] / beam->config.dwell_us * beam->share[i]);
    }
}

int fly_beam_open(struct fly_beam **out, const struct fly_specimen *specimen,
                  const struct fly_beam_config *config)
{
    int rc = check(config);

    if (rc < 0)
        return rc;
    struct fly_beam *beam = calloc(1, sizeof *beam);
    size_t bins = (size_t)FLY_PHASES * (size_t)config->axis.n_channels;

    if (!beam)
        return fly_fail(FLY_ENOMEM, "beam: no memory");
    beam->config = *config;
    beam->specimen = specimen;
    if (beam->config.dwell_max_us < beam->config.dwell_us)
        beam->config.dwell_max_us = beam->config.dwell_us;
    beam->chance = calloc(bins, sizeof *beam->chance);
    beam->cdf = calloc(bins, sizeof *beam->cdf);
    beam->guide = calloc((size_t)FLY_PHASES * GUIDE, sizeof *beam->guide);
    if (!beam->chance || !beam->cdf || !beam->guide) {
        rc = fly_fail(FLY_ENOMEM, "beam: no memory for spectra of %d channels", config->axis.n_channels);
        goto fail;
    }
    fill_rates(beam);
    double dwell_us = beam->config.dwell_max_us, most = 0.0;

    for (int p = 0; p < FLY_PHASES; p++) {
        most = fmax(most, beam->phase_counts[p] / config->dwell_us * dwell_us);
        rc = fly_xray_spectrum(beam->chance + (size_t)p * (size_t)config->axis.n_channels, &config->axis,
                               specimen->atoms[p], config->background_share);
        if (rc < 0)
            goto fail;
        fill_cdf(beam, p);
    }
    most = fmax(most, (specimen->signal_max * config->hits_per_us + config->dark_per_us) * dwell_us);
    /* Beyond the table the 16 bits of a pixel are full long since. A hair more than the mean: floats. */
    rc = fly_poisson_open(&beam->poisson, fmin(most * 1.0001, FLY_POISSON_MEAN_MAX));
    if (rc < 0)
        goto fail;
    *out = beam;
    return FLY_OK;

fail:
    fly_beam_close(&beam);
    return rc;
}

void fly_beam_close(struct fly_beam **beam)
{
    if (!*beam)
        return;
    fly_poisson_close(&(*beam)->poisson);
    free((*beam)->chance);
    free((*beam)->cdf);
    free((*beam)->guide);
    free(*beam);
    *beam = NULL;
}

const struct fly_beam_config *fly_beam_config_of(const struct fly_beam *beam)
{
    return &beam->config;
}

void fly_beam_drift(const struct fly_beam *beam, int64_t frame, double drift_px[2])
{
    struct fly_rng rng = rng_of(key_of(beam, KEY_DRIFT, frame, 0), 0);

    for (int i = 0; i < 2; i++) {
        double way = beam->config.drift_px[i] * (double)frame, lap = 2.0 * FLY_DRIFT_MAX_PX;

        way -= lap * floor(way / lap + 0.5);
        double jitter = frame ? beam->config.drift_jitter_px * fly_rng_normal(&rng) : 0.0;

        drift_px[i] = way + fmax(-2.0, fmin(2.0, jitter));
    }
}

/* A line's own displacement along x: the scan coils' noise. */
static double line_shift_px(const struct fly_beam *beam, uint64_t key, int32_t y_px)
{
    struct fly_rng rng = rng_of(key, (uint64_t)y_px);

    return fmax(-4.0, fmin(4.0, beam->config.line_jitter_px * fly_rng_normal(&rng)));
}

/* Where the beam is over the specimen in that frame, lines' own jitter apart. */
static void place(const struct fly_beam *beam, int64_t frame, const double off_px[2], double px[2])
{
    fly_beam_drift(beam, frame, px);
    for (int i = 0; i < 2; i++) {
        FLY_ASSERT(fabs(off_px[i]) <= OFF_MAX_PX);
        px[i] += off_px[i];
    }
}

static void check_shot(const struct fly_beam *beam, const struct fly_shot *shot)
{
    const struct fly_specimen_config *c = &beam->specimen->config;

    FLY_ASSERT(shot->frame >= 0 && shot->y0_px >= 0 && shot->x0_px >= 0 && shot->h > 0 && shot->w > 0);
    FLY_ASSERT(shot->y0_px + shot->h <= c->height_px && shot->x0_px + shot->w <= c->width_px);
    FLY_ASSERT(shot->dwell_us > 0.0 && shot->dwell_us <= beam->config.dwell_max_us);
}

void fly_beam_image_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                        uint16_t *counts)
{
    const struct fly_specimen *s = beam->specimen;
    uint64_t key = key_of(beam, KEY_HAADF, shot->frame, 0);
    uint64_t line_key = key_of(beam, KEY_LINE, shot->frame, 0);
    float hits = (float)(beam->config.hits_per_us * shot->dwell_us);
    float dark = (float)(beam->config.dark_per_us * shot->dwell_us);
    double drift[2];

    check_shot(beam, shot);
    place(beam, shot->frame, off_px, drift);
    for (int32_t i = 0; i < shot->h; i++) {
        int32_t y = shot->y0_px + i;
        double shift = drift[1] + line_shift_px(beam, line_key, y);
        int32_t dy = (int32_t)floor(drift[0]), dx = (int32_t)floor(shift);
        float fy = (float)(drift[0] - dy), fx = (float)(shift - dx);
        const float *top = s->signal + fly_specimen_at(s, y + dy, dx);
        const float *bottom = top + s->stride_px;
        float weight[4] = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx};
        uint64_t first = (uint64_t)y * (uint64_t)s->config.width_px;

        for (int32_t j = 0; j < shot->w; j++) {
            int32_t x = shot->x0_px + j;
            float signal = weight[0] * top[x] + weight[1] * top[x + 1] + weight[2] * bottom[x] +
                           weight[3] * bottom[x + 1];
            float mean = signal * hits + dark;
            struct fly_rng rng = rng_of(key, first + (uint64_t)x);
            uint32_t count = mean < (float)FLY_POISSON_MEAN_MAX
                                 ? fly_poisson_draw(beam->poisson, mean, &rng)
                                 : UINT16_MAX;

            counts[(size_t)i * (size_t)shot->w + (size_t)j] = count < UINT16_MAX ? (uint16_t)count
                                                                                 : UINT16_MAX;
        }
    }
}

/* The phases of a line as that frame shows them: the nearest pixel of the specimen. */
static const uint8_t *phases_of(const struct fly_beam *beam, const struct fly_shot *shot, int32_t y,
                                const double drift[2], uint64_t line_key)
{
    int32_t dy = (int32_t)floor(drift[0] + 0.5);
    int32_t dx = (int32_t)floor(drift[1] + line_shift_px(beam, line_key, y) + 0.5);

    return beam->specimen->phase + fly_specimen_at(beam->specimen, y + dy, shot->x0_px + dx);
}

uint32_t fly_beam_photons_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                              int32_t segment, uint32_t *row_ptr)
{
    uint64_t key = key_of(beam, KEY_PHOTONS, shot->frame, segment);
    uint64_t line_key = key_of(beam, KEY_LINE, shot->frame, 0);
    float mean[FLY_PHASES];
    uint32_t sum = 0;
    double drift[2];

    check_shot(beam, shot);
    FLY_ASSERT(segment >= 0 && segment < beam->config.segments);
    place(beam, shot->frame, off_px, drift);
    for (int p = 0; p < FLY_PHASES; p++)
        mean[p] = beam->photons[segment][p] * (float)shot->dwell_us;
    *row_ptr++ = 0;
    for (int32_t i = 0; i < shot->h; i++) {
        int32_t y = shot->y0_px + i;
        const uint8_t *phase = phases_of(beam, shot, y, drift, line_key);
        uint64_t first = (uint64_t)y * (uint64_t)beam->specimen->config.width_px + (uint64_t)shot->x0_px;

        for (int32_t j = 0; j < shot->w; j++) {
            struct fly_rng rng = rng_of(key, first + (uint64_t)j);

            sum += fly_poisson_draw(beam->poisson, mean[phase[j]], &rng);
            *row_ptr++ = sum;
        }
    }
    return sum;
}

void fly_beam_channels_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                           int32_t segment, const uint32_t *row_ptr, uint16_t *channel)
{
    uint64_t key = key_of(beam, KEY_CHANNELS, shot->frame, segment);
    uint64_t line_key = key_of(beam, KEY_LINE, shot->frame, 0);
    int32_t n = beam->config.axis.n_channels;
    double drift[2];

    check_shot(beam, shot);
    place(beam, shot->frame, off_px, drift);
    for (int32_t i = 0; i < shot->h; i++) {
        int32_t y = shot->y0_px + i;
        const uint8_t *phase = phases_of(beam, shot, y, drift, line_key);
        uint64_t first = (uint64_t)y * (uint64_t)beam->specimen->config.width_px + (uint64_t)shot->x0_px;

        for (int32_t j = 0; j < shot->w; j++, row_ptr++) {
            if (row_ptr[0] == row_ptr[1])
                continue;
            const uint32_t *cdf = beam->cdf + (size_t)phase[j] * (size_t)n;
            const uint16_t *guide = beam->guide + (size_t)phase[j] * GUIDE;
            struct fly_rng rng = rng_of(key, first + (uint64_t)j);

            for (uint32_t k = row_ptr[0]; k < row_ptr[1]; k++) {
                uint32_t u = (uint32_t)(fly_rng_next(&rng) >> 32);
                uint32_t at = guide[u >> (32 - GUIDE_LOG2)];

                while (cdf[at] <= u && cdf[at] < UINT32_MAX)
                    at++;
                channel[k] = (uint16_t)at;
            }
        }
    }
}

void fly_beam_image(const struct fly_beam *beam, const struct fly_shot *shot, uint16_t *counts)
{
    fly_beam_image_off(beam, shot, nowhere_off, counts);
}

uint32_t fly_beam_photons(const struct fly_beam *beam, const struct fly_shot *shot, int32_t segment,
                          uint32_t *row_ptr)
{
    return fly_beam_photons_off(beam, shot, nowhere_off, segment, row_ptr);
}

void fly_beam_channels(const struct fly_beam *beam, const struct fly_shot *shot, int32_t segment,
                       const uint32_t *row_ptr, uint16_t *channel)
{
    fly_beam_channels_off(beam, shot, nowhere_off, segment, row_ptr, channel);
}

double fly_beam_share(const struct fly_beam *beam, int32_t segment)
{
    FLY_ASSERT(segment >= 0 && segment < beam->config.segments);
    return beam->share[segment];
}

double fly_beam_phase_counts(const struct fly_beam *beam, enum fly_phase phase)
{
    FLY_ASSERT(phase < FLY_PHASES);
    return beam->phase_counts[phase];
}

const double *fly_beam_spectrum(const struct fly_beam *beam, enum fly_phase phase)
{
    FLY_ASSERT(phase < FLY_PHASES);
    return beam->chance + (size_t)phase * (size_t)beam->config.axis.n_channels;
}
