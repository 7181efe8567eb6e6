/* sim/units.h: words that vendors' files use for units and detectors.
 *
 * Threads  all of it is pure.
 */
#ifndef FLY_SIM_UNITS_H
#define FLY_SIM_UNITS_H

#include "stream/wire.h"

/* What a unit of length is in nm ("nm" 1, "µm" 1000); 0 when it is none. */
double fly_unit_nm(const char *units);

/* What a unit of energy is in eV ("keV" 1000); 0 when it is none. */
double fly_unit_ev(const char *units);

/* 1: a unit of reciprocal length or of angle, so of a pattern and not of an image of the specimen. */
int fly_unit_of_pattern(const char *units);

/* The image detector that a title names among its words ("SI HAADF Image": HAADF), else "HAADF". */
void fly_detector_of_title(char out[FLY_NAME_MAX + 1], const char *title);

#endif
