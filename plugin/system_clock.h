/* plugin/system_clock.h: the machine's clocks as a table (engine/base/clock.h). */
#ifndef FLY_PLUGIN_SYSTEM_CLOCK_H
#define FLY_PLUGIN_SYSTEM_CLOCK_H

#include "engine/base/clock.h"

struct fly_clock fly_clock_system(void);

#endif
