/* sim/read_files.h: the readers behind fly_import_open, one for each format.
 *
 * Each fills an import that fly_import_init has prepared; on error the caller closes it.
 */
#ifndef FLY_SIM_READ_FILES_H
#define FLY_SIM_READ_FILES_H

#include "sim/import.h"

/* 8 and 16 bit; grey, or colour whose three channels are equal everywhere. */
FLY_MUST_USE int fly_read_png(struct fly_import *out, const struct fly_import_options *options);
FLY_MUST_USE int fly_read_jpeg(struct fly_import *out, const struct fly_import_options *options);

/* Also 32-bit integers and floats, and several pages: each is a frame. */
FLY_MUST_USE int fly_read_tiff(struct fly_import *out, const struct fly_import_options *options);

/* (H, W) or (frames, H, W) image; as_eds: (H, W, E) or (frames, H, W, E) counts. Without as_eds
 * three axes are a cube when the first two are image_px of the options and the third has 64 or
 * more. */
FLY_MUST_USE int fly_read_npy(struct fly_import *out, int as_eds,
                              const struct fly_import_options *options);

/* HDF5: HyperSpy's (every experiment that is an image or an EDS signal) and Velox's. */
FLY_MUST_USE int fly_read_h5(struct fly_import *out, const struct fly_import_options *options);

/* Gatan's .dm3 and .dm4: images and X-ray spectrum images. */
FLY_MUST_USE int fly_read_dm(struct fly_import *out, const struct fly_import_options *options);

#endif
