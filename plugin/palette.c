#include "plugin/palette.h"

#include <stdio.h>

#include "engine/base/err.h"

static const uint32_t colours[FLY_PALETTE] = {
    0xE69F00, 0x56B4E9, 0x009E73, 0xCC79A7, 0xD55E00, 0x0072B2, 0xF0E442, 0x662200,
    0x77FFFF, 0x440099, 0x0000FF, 0xAA0055, 0x8877FF, 0x44DDAA, 0x006600, 0xDD00CC,
    0xEEBBFF, 0x77FFAA, 0x660066, 0x885588, 0xFF2266, 0x8800BB, 0x554488, 0xBB1100,
    0x88BB77, 0x4455FF, 0xCCCC66, 0x115544, 0xFF77FF, 0x996644, 0x33CCCC, 0x77DD00,
};

uint32_t fly_palette_colour(int32_t id)
{
    FLY_ASSERT(id >= 0);
    return colours[id % FLY_PALETTE];
}

char *fly_colour_text(char out[FLY_COLOUR_TEXT], uint32_t colour)
{
    snprintf(out, FLY_COLOUR_TEXT, "#%06x", (unsigned)(colour & 0xFFFFFF));
    return out;
}

int fly_colour_parse(const char *text, unsigned long len, uint32_t *colour)
{
    uint32_t value = 0;

    if (len != 7 || text[0] != '#')
        return 0;
    for (int i = 1; i < 7; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            value = value << 4 | (uint32_t)(c - 'A' + 10);
        else
            return 0;
    }
    *colour = value;
    return 1;
}

static int channel(uint32_t colour, int shift)
{
    return (int)(colour >> shift & 0xFF);
}

uint32_t fly_heat_colour(double value)
{
    static const uint32_t stops[] = {0x0B1437, 0x173F6E, 0x1F7A8C, 0x56B08A, 0xB5D66B, 0xFCF3C4};
    const int last = (int)(sizeof stops / sizeof *stops) - 1;
    double at = value <= 0 ? 0 : value >= 1 ? last : value * last;
    int i = at >= last ? last - 1 : (int)at;
    uint32_t colour = 0;

    for (int shift = 16; shift >= 0; shift -= 8) {
        double a = channel(stops[i], shift), b = channel(stops[i + 1], shift);

        colour |= (uint32_t)(a + (b - a) * (at - i) + 0.5) << shift;
    }
    return colour;
}

static int square_distance(uint32_t a, uint32_t b)
{
    int sum = 0;

    for (int shift = 16; shift >= 0; shift -= 8)
        sum += (channel(a, shift) - channel(b, shift)) * (channel(a, shift) - channel(b, shift));
    return sum;
}

int fly_colour_xterm(uint32_t colour)
{
    static const int steps[6] = {0, 95, 135, 175, 215, 255}; /* of the cube, as xterm draws it */
    int best = 16, least = -1;

    for (int i = 16; i < 256; i++) {
        uint32_t candidate;
        int far;

        if (i < 232) {
            int cube = i - 16;

            candidate = (uint32_t)(steps[cube / 36] << 16 | steps[cube / 6 % 6] << 8 | steps[cube % 6]);
        } else {
            candidate = (uint32_t)(8 + 10 * (i - 232)) * 0x010101u;
        }
        far = square_distance(colour, candidate);
        if (least < 0 || far < least) {
            least = far;
            best = i;
        }
    }
    return best;
}
