/* engine/region/advice.h: how large chips should be, by the lattice in what has been seen so far.
 *
 * A chip shows a phase's structure when it holds a unit cell. The cell is that of the two spots that
 * spacing.h finds in the topmost complete lines: its longer side, after Gauss's reduction; with one spot, its d.
 * Where {110} is the strongest, as it may be without a pixel size and its range, that cell is the centred one, shorter
 * by 1.41: two of it hold one of the other. So two cells are advised, held to 0.5 .. 1 nm (what the paper takes) where
 * the pixel size is known, but never less than one cell.
 *
 * What is made of it is the caller's: numbers here, sentences elsewhere.
 *
 * Threads  as spacing.h.
 */
#ifndef FLY_REGION_ADVICE_H
#define FLY_REGION_ADVICE_H

#include "engine/region/spacing.h"

enum fly_advice_reason {
    FLY_ADVICE_TOO_LITTLE = 0, /* too few complete lines to see 4 periods */
    FLY_ADVICE_NO_LATTICE,     /* enough of them, no spot: nothing to go by */
    FLY_ADVICE_BELOW_CELL,     /* the configured chip holds less than one cell */
    FLY_ADVICE_COARSE,         /* it is wider than 1 nm and than two cells (pixel size known): phases blur */
    FLY_ADVICE_FITS,
};

struct fly_advice {
    enum fly_advice_reason reason;
    int in_nm;         /* 0: the pixel size is not known, and 0.5 .. 1 nm was not looked at */
    int32_t chip_px;   /* advised; 0 with TOO_LITTLE and NO_LATTICE */
    double cell_px;    /* longer side of the cell in its own direction; 0 as above */
    double cells;      /* that the configured chip holds side by side; 0 as above */
    int32_t lines;     /* topmost complete ones that were looked at */
    struct fly_spacing spacing; /* what was found in them */
};

/* Advise on image, the whole frame with NaN where nothing was measured, for chips configured chip_px wide. power as in
 * fly_spacing_robust, of the transform for max(lines, min(w, largest)).
 *
 * FLY_ERANGE  image is empty */
FLY_MUST_USE int fly_advise(struct fly_advice *out, const struct fly_transforms *transforms, int32_t worker,
                            const struct fly_spacing_config *config, const struct fly_picture *image, int32_t chip_px,
                            float *power);

#endif
