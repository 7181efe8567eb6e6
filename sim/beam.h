/* sim/beam.h: what detectors count while the beam dwells on a specimen.
 *
 * HAADF: Poisson counts of signal times dwell, where the specimen has drifted to in that frame and the
 * line has jittered to. EDS: Poisson photons per pixel, their channels drawn from the spectrum of the
 * phase there, divided over segments of unequal efficiency. Every number depends on the seed, the
 * frame, the pixel and the detector alone: any rectangle of any frame comes out the same, whenever and
 * in whatever order it is asked for.
 *
 * Drift    px per frame, with jitter about it; when it has carried the specimen FLY_DRIFT_MAX_PX away,
 *          the operator puts it back to the other side and it goes on from there.
 * Threads  a beam is constant once open; calls may come from any thread.
 */
#ifndef FLY_SIM_BEAM_H
#define FLY_SIM_BEAM_H

#include <stdint.h>

#include "engine/base/err.h"
#include "sim/poisson.h"
#include "sim/specimen.h"

#define FLY_DRIFT_MAX_PX 6.0

enum { FLY_BEAM_SEGMENTS = 4 };

struct fly_beam_config {
    uint64_t seed;
    double hits_per_us;       /* HAADF counts per us where the signal is 1: 0 .. 10000, default 90 */
    double dark_per_us;       /* HAADF counts per us without any signal: 0 .. 1000, default 0.5 */
    double drift_px[2];       /* y, x per frame: -2 .. 2, default 0.04, -0.025 */
    double drift_jitter_px;   /* 0 .. 1, default 0.02 */
    double line_jitter_px;    /* along x, a new one each line: 0 .. 1, default 0.08 */
    double eds_counts;        /* mean photons per pixel per frame at dwell_us, all segments: 0 .. 1000 */
    double dwell_us;          /* what eds_counts refers to: 0.01 .. 1e6, default 2 */
    double dwell_max_us;      /* longest dwell that will be asked for; 0: dwell_us */
    double background_share;  /* of the photons: 0 .. 0.9, default 0.3 */
    int32_t segments;         /* 1 .. FLY_BEAM_SEGMENTS, default 1 */
    struct fly_xray_axis axis; /* default 4096 channels of 10 eV from 0, 200 keV, no zero peak */
};
struct fly_beam_config fly_beam_config_default(void);

struct fly_beam;

/* specimen is lent until close. FLY_ERANGE names the number; FLY_ENOMEM. */
FLY_MUST_USE int fly_beam_open(struct fly_beam **out, const struct fly_specimen *specimen,
                               const struct fly_beam_config *config);
void fly_beam_close(struct fly_beam **beam);

/* The settings in force. Lent. */
const struct fly_beam_config *fly_beam_config_of(const struct fly_beam *beam);

/* A rectangle of one frame. It lies within the scan; dwell_us is at most dwell_max_us (asserted). */
struct fly_shot {
    int64_t frame;
    int32_t y0_px, x0_px, h, w;
    double dwell_us;
};

/* counts (h, w); 65535 stands for more. */
void fly_beam_image(const struct fly_beam *beam, const struct fly_shot *shot, uint16_t *counts);

/* row_ptr (h * w + 1): where each pixel's photons begin, as in the wire's csr. Returns their number. */
uint32_t fly_beam_photons(const struct fly_beam *beam, const struct fly_shot *shot, int32_t segment,
                          uint32_t *row_ptr);
/* channel (row_ptr[h * w]): of those photons, with the row_ptr that fly_beam_photons filled. */
void fly_beam_channels(const struct fly_beam *beam, const struct fly_shot *shot, int32_t segment,
                       const uint32_t *row_ptr, uint16_t *channel);

/* The same with the beam off_px (y, x) from where it was sent, at most 3 px along each axis (asserted): what
 * scan coils do after a jump. */
void fly_beam_image_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                        uint16_t *counts);
uint32_t fly_beam_photons_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                              int32_t segment, uint32_t *row_ptr);
void fly_beam_channels_off(const struct fly_beam *beam, const struct fly_shot *shot, const double off_px[2],
                           int32_t segment, const uint32_t *row_ptr, uint16_t *channel);

/* Share of all photons that a segment takes; the shares of a beam's segments add up to 1. */
double fly_beam_share(const struct fly_beam *beam, int32_t segment);
/* Mean photons of a pixel of that phase, all segments, at the nominal dwell. */
double fly_beam_phase_counts(const struct fly_beam *beam, enum fly_phase phase);
/* Chance of each channel (n_channels) for that phase. Lent. */
const double *fly_beam_spectrum(const struct fly_beam *beam, enum fly_phase phase);

/* Where the specimen stands in a frame, y and x, px. */
void fly_beam_drift(const struct fly_beam *beam, int64_t frame, double drift_px[2]);

#endif
