/* plugin/picture.h: the picture that goes into a report: HAADF, chips in their classes' colours, legend.
 *
 * One call makes one PNG: title, the scan with what lies over it, scale bar, legend with counts. What
 * was not measured is hatched, what is unknown or too little has a pattern of its own; nothing is
 * coloured by guess. Small scans are enlarged by whole numbers until they are 700 px wide, large ones
 * reduced to at most 2048 px. The same input makes the same pixels.
 *
 * Shapes   image (H, W) row-major, labels and heat (R, C), as in engine/chip/grid.h.
 * Threads  any; pure.
 */
#ifndef FLY_PLUGIN_PICTURE_H
#define FLY_PLUGIN_PICTURE_H

#include <stdint.h>

#include "engine/base/err.h"
#include "plugin/canvas.h"
#include "plugin/text.h"

struct fly_picture_class {
    int32_t id;       /* the label; its colour is fly_palette_colour(id) */
    const char *name;
};

struct fly_scan_picture {
    const char *title;  /* NULL: none */
    const char *note;   /* a smaller line below the title; NULL: none */
    int32_t height_px, width_px; /* H, W of the scan, 1 .. 16384 */
    const float *image; /* NaN where not measured; NULL: no image */
    double pixel_nm;    /* along x, for the scale bar; 0 or NaN: not known, no bar */
    int32_t rows, cols, side_px, pitch_px; /* the chip grid; within the scan */
    const int32_t *labels; /* class ids, or enum fly_label; NULL: no labels */
    const float *heat;     /* 0 .. 1, NaN where there is none; NULL: no heat. Not with labels */
    const char *heat_name; /* "confidence" */
    int32_t n_classes;
    const struct fly_picture_class *classes; /* those in the legend, in its order */
};

/* Append the PNG. FLY_ENOMEM. Sizes outside their ranges are asserted. */
FLY_MUST_USE int fly_picture_png(const struct fly_scan_picture *picture, struct fly_text *out);

/* How a label looks, wherever one is drawn: paint one pixel of a canvas as a chip of that label, over what is
 * there. Labels below 0 have patterns that go on from pixel to pixel. */
void fly_picture_label(struct fly_canvas *canvas, int32_t y, int32_t x, int32_t label);

/* What a label below 0 (enum fly_label) is called: "not measured". */
const char *fly_picture_outside_name(int32_t label);

#endif
