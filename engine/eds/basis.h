/* engine/eds/basis.h: what a detector's spectrum is made of: line families and background, channel by channel.
 *
 * Axis     channel i stands for ev_offset + i * ev_per_channel.
 * Columns  the families that quantify, in the order of the elements; then their other families; then the
 *          background. Golden: an area of 1 is 1 photon in the family's main line, each channel the
 *          Gaussian's density at its centre. Product: 1 photon in the whole family, each channel what
 *          falls within half a channel of it; families out of view have no column, and channels below mask_kev
 *          (the strobe's zero peak and the noise) belong to nobody.
 * Threads  all of it is plain values.
 */
#ifndef FLY_EDS_BASIS_H
#define FLY_EDS_BASIS_H

#include <stdint.h>

#include "engine/eds/lines.h"

enum {
    FLY_BACKGROUNDS_MAX = 8,
    FLY_COLUMNS_MAX = FLY_ELEMENTS_MAX * FLY_FAMILIES_MAX + FLY_BACKGROUNDS_MAX,
};

struct fly_eds_axis {
    enum fly_line_set set;
    int32_t n_channels;
    double ev_offset, ev_per_channel;
    double fwhm_mn_ev; /* detector resolution at Mn Ka */
    double beam_kev;
    double mask_ev;    /* product: channels below are left out */
};

struct fly_eds_column {
    int32_t element; /* place in the caller's list; -1: background */
    int32_t family;  /* within the element; background: which */
};

/* An element of the caller's list. */
struct fly_eds_choice {
    int32_t element; /* index in the set */
    int32_t family;  /* the one it is quantified by */
};

double fly_axis_kev(const struct fly_eds_axis *axis, int32_t channel);

/* First channel that is not masked: 0 in golden. */
int32_t fly_axis_first(const struct fly_eds_axis *axis);

/* 1: the family's main line lies on the axis, its FWHM at either side as well, above the mask. */
int fly_axis_sees(const struct fly_eds_axis *axis, const struct fly_eds_family *family);

/* Lay out the columns for n choices; returns how many, at most FLY_COLUMNS_MAX. */
int32_t fly_basis_columns(const struct fly_eds_axis *axis, const struct fly_eds_choice *choices, int32_t n,
                          struct fly_eds_column *columns);

/* Fill one column (n_channels): what a photon of it is expected to leave in each channel. */
void fly_basis_fill(const struct fly_eds_axis *axis, const struct fly_eds_choice *choices,
                    struct fly_eds_column column, double *out);

/* Golden definition 7: channel bounds of a line's window and of the backgrounds beside it: signal [0], [1];
 * left [2], [3]; right [4], [5]; each clipped to 0 .. n_channels. */
void fly_line_windows(const struct fly_eds_axis *axis, double kev, int32_t bounds[6]);

#endif
