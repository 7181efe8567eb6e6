/* plugin/canvas.h: a picture in memory: rectangles, strokes, letters, and out as PNG.
 *
 * Axes     x right, y down, in pixels; what lies outside is cut off.
 * Colours  0xRRGGBB; alpha 0 (nothing) .. 1 (covers).
 * Threads  a canvas belongs to one thread at a time.
 */
#ifndef FLY_PLUGIN_CANVAS_H
#define FLY_PLUGIN_CANVAS_H

#include <stdint.h>

#include "engine/base/err.h"
#include "plugin/text.h"

struct fly_canvas {
    int32_t width, height;
    unsigned char *rgb; /* (height, width, 3) */
};

/* FLY_ENOMEM; FLY_ERANGE when a side is not 1 .. 32768 */
FLY_MUST_USE int fly_canvas_open(struct fly_canvas *canvas, int32_t width, int32_t height,
                                 uint32_t colour);
void fly_canvas_close(struct fly_canvas *canvas); /* a canvas of zeros is fine */

void fly_canvas_dot(struct fly_canvas *canvas, int32_t x, int32_t y, uint32_t colour, double alpha);
void fly_canvas_fill(struct fly_canvas *canvas, int32_t x, int32_t y, int32_t w, int32_t h,
                     uint32_t colour, double alpha);
void fly_canvas_frame(struct fly_canvas *canvas, int32_t x, int32_t y, int32_t w, int32_t h,
                      int32_t thick, uint32_t colour, double alpha); /* just inside the rectangle */
/* Antialiased; whole numbers are the corners of pixels. A line has round ends; a ring's radius is that of
 * the middle of its stroke. */
void fly_canvas_line(struct fly_canvas *canvas, double x0, double y0, double x1, double y1, double thick,
                     uint32_t colour, double alpha);
void fly_canvas_ring(struct fly_canvas *canvas, double x, double y, double radius, double thick, uint32_t colour,
                     double alpha);

/* Letters of our own design: single strokes with round ends, antialiased at any size. cap_px is the
 * height of a capital, weight the width of a stroke as a fraction of it (0.13 regular, 0.18 bold).
 * Beyond ASCII there is the plus-minus sign; other characters are an empty box. */
#define FLY_REGULAR 0.125
#define FLY_BOLD    0.18
void fly_canvas_text(struct fly_canvas *canvas, double x, double baseline, double cap_px, double weight,
                     uint32_t colour, const char *text);
double fly_canvas_text_width(double cap_px, const char *text);

/* Append the picture as PNG. FLY_ENOMEM. */
FLY_MUST_USE int fly_canvas_png(const struct fly_canvas *canvas, struct fly_text *out);

/* The strokes of a letter (font.c): polylines "-", open "~" and closed "o" curves over control points,
 * each point a digit x ('0' + 0 .. 10) and a letter y ('a' + 0 .. 16), capitals 12 high, baseline at
 * 'm'. Spaces part the strokes. */
const char *fly_font_strokes(unsigned code);

#endif
