/* engine/base/signal.h: which detectors a measurement is for.
 *
 * Image and X-rays are made by the same electrons: a pixel that is exposed gives both, and `both` costs what `eds`
 * does. A frame for `haadf` alone is a short one, whose photons would say too little to be worth sending; one for
 * `eds` alone is a frame whose image nobody asked for.
 *
 * Threads  pure functions.
 */
#ifndef FLY_BASE_SIGNAL_H
#define FLY_BASE_SIGNAL_H

enum fly_signal { FLY_SIGNAL_BOTH = 0, FLY_SIGNAL_HAADF, FLY_SIGNAL_EDS, FLY_SIGNALS };

const char *fly_signal_name(enum fly_signal signal); /* "both", "haadf", "eds" */

/* The signal of that name, or -1. name may be NULL. */
int fly_signal_of_name(const char *name);

#endif
