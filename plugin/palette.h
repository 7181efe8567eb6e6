/* plugin/palette.h: which colour a class has, everywhere: on the wire, in pictures, in the terminal.
 *
 * Class i has colour i for life; ids beyond the palette begin again. The first seven are those of Okabe
 * and Ito (2008, "Color Universal Design"), without black, which a dark HAADF image has already; the
 * others are as far as possible from all before them in OKLab, as seen with full colour vision, without
 * red cones and without green cones (Machado et al. 2009, doi:10.1109/TVCG.2009.113).
 *
 * Threads  any; pure.
 */
#ifndef FLY_PLUGIN_PALETTE_H
#define FLY_PLUGIN_PALETTE_H

#include <stdint.h>

enum { FLY_PALETTE = 32, FLY_COLOUR_TEXT = 8 };

/* 0xRRGGBB of class id >= 0. */
uint32_t fly_palette_colour(int32_t id);

/* "#rrggbb"; returns out. */
char *fly_colour_text(char out[FLY_COLOUR_TEXT], uint32_t colour);

/* 1 and the colour when text[0 .. len) is "#rrggbb", else 0. */
int fly_colour_parse(const char *text, unsigned long len, uint32_t *colour);

/* A number 0 .. 1 as a colour that grows lighter all the way, dark blue to pale yellow. */
uint32_t fly_heat_colour(double value);

/* The nearest of the 256 terminal colours (the 6 x 6 x 6 cube and the greys). */
int fly_colour_xterm(uint32_t colour);

#endif
