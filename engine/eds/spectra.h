/* engine/eds/spectra.h: photons in any order become the spectrum of every chip.
 *
 * The same rules as for pixels (engine/chip/assemble.h): a chip takes a frame of a detector segment
 * when all its pixels of that frame and segment have been reported, what is left at finish. Photons of
 * one pixel in one frame come in one message per segment; a pixel reported again keeps the first
 * report (equal photons: a repeat; others: a conflict). Frames and segments add up. Counts are exact
 * integers: no order of arrival can change them.
 *
 * The photons of chips that have not taken their frame yet, and of frames held, are staged in room
 * that open reserved. A photon with channel >= n_channels is dropped and counted, as are photons of
 * pixels outside the chip grid (which are no error).
 *
 * Shapes   spectra (K, E) uint32, row-major. Chip index as in engine/chip/grid.h.
 * Threads  one.
 */
#ifndef FLY_EDS_SPECTRA_H
#define FLY_EDS_SPECTRA_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/dtype.h"

struct fly_spectra;

struct fly_spectra_config {
    int32_t height_px, width_px, side_px, pitch_px, rows, cols; /* as in struct fly_grid */
    int32_t n_channels;    /* E, 1 .. 16384 */
    int32_t segments;      /* detector segments that are summed, 1 .. 16 */
    int64_t photons_held;  /* staged or held at once, over all segments */
    int32_t frames_held;
    int64_t frames_max;
};

enum fly_eds_layout { FLY_EDS_DENSE = 0, FLY_EDS_CSR, FLY_EDS_PAIRS };

/* One message of photons; pointers are lent for the call and need no alignment. The caller has checked
 * sizes; row pointers and pixel indices are checked here. */
struct fly_photons {
    int32_t segment;
    int64_t frame;
    int32_t y0, x0, h, w; /* within the scan (asserted) */
    uint64_t dwell_ns;
    enum fly_eds_layout layout;
    enum fly_dtype dtype;  /* dense: FLY_U8, FLY_U16 or FLY_U32 */
    const void *dense;     /* (h, w, E) counts */
    const void *rows;      /* csr: u32 (h*w + 1) row pointers */
    const void *pixels;    /* pairs: u32 pixel of each photon, row-major within the rectangle */
    const void *channels;  /* csr, pairs: u16 channel of each photon */
    int64_t photons;       /* csr, pairs: how many */
};

struct fly_eds_taken {
    int64_t fresh_px, repeated_px, conflict_px, unchecked_px;
    int64_t photons;      /* taken, in the chip grid or not */
    int64_t outside;      /* dropped: channel >= n_channels */
    int32_t chips_done;
};

size_t fly_spectra_need(const struct fly_spectra_config *config);

FLY_MUST_USE int fly_spectra_open(struct fly_spectra **out, const struct fly_spectra_config *config,
                                  struct fly_arena *arena);

/* FLY_EWIRE   row pointers fall, do not start at 0 or do not end at photons; a pixel index is outside
 *             the rectangle: nothing changed, the message says which
 * FLY_ERANGE  segment, frame or dwell outside its range: nothing changed
 * FLY_ENOMEM  more photons than photons_held would be staged, or the frame was closed (base/coverage.h): nothing changed
 */
FLY_MUST_USE int fly_spectra_put(struct fly_spectra *spectra, const struct fly_photons *photons,
                                 struct fly_eds_taken *taken);

/* Just the checks of put that need no state, for those who must refuse before they record. */
FLY_MUST_USE int fly_photons_check(const struct fly_photons *photons);

/* As fly_assembly_shift, for every segment's data of `frame`. */
FLY_MUST_USE int fly_spectra_shift(struct fly_spectra *spectra, int64_t frame, int32_t dy_px,
                                   int32_t dx_px);
/* FLY_OK where fly_spectra_shift would be, else its code and message: changes nothing that counts. */
FLY_MUST_USE int fly_spectra_may_shift(struct fly_spectra *spectra, int64_t frame, int32_t dy_px, int32_t dx_px);
void fly_spectra_finish(struct fly_spectra *spectra);

/* Every pixel of chip k was reported by one frame (of each segment) that it took, or, once finished, by several of
 * those not closed. */
int fly_spectra_complete(const struct fly_spectra *spectra, int32_t chip);
uint32_t fly_spectra_version(const struct fly_spectra *spectra, int32_t chip);

/* Spectrum of chip k, (E); lent until the next put, shift or finish. */
const uint32_t *fly_spectra_of(const struct fly_spectra *spectra, int32_t chip);
uint64_t fly_spectra_total(const struct fly_spectra *spectra, int32_t chip);

/* Dwell taken by chip k: sum over frames and segments of the mean dwell of its pixels, ns (for rates). */
uint64_t fly_spectra_dwell_ns(const struct fly_spectra *spectra, int32_t chip);

int32_t fly_spectra_drain_dirty(struct fly_spectra *spectra, int32_t *chips, int32_t cap);

#endif
