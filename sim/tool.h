/* sim/tool.h: what the commands of this room share: clock, stop signals, numbers of a command line.
 *
 * Threads  one; signals come as they like.
 */
#ifndef FLY_SIM_TOOL_H
#define FLY_SIM_TOOL_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "stream/wire.h"

enum { FLY_EXIT_DONE = 0, FLY_EXIT_FAILED = 1, FLY_EXIT_USAGE = 2, FLY_EXIT_INTERRUPTED = 130 };

struct fly_clock fly_tool_clock(void);

/* SIGINT and SIGTERM set *fly_tool_stop() from begin to end; a second one ends the process at once. */
void fly_tool_signals_begin(void);
void fly_tool_signals_end(void);
const volatile int *fly_tool_stop(void);

/* The whole text as a number. FLY_ERANGE: "--frames 0: 1 .. 1000000 is allowed". */
FLY_MUST_USE int fly_tool_int(const char *option, const char *text, int64_t low, int64_t high,
                              int64_t *out);
FLY_MUST_USE int fly_tool_f64(const char *option, const char *text, double low, double high, double *out);

/* "512x640" as height and width, or one number for both. */
FLY_MUST_USE int fly_tool_size(const char *option, const char *text, int32_t low, int32_t high,
                               int32_t size[2]);

/* 1 .. FLY_SESSION_MAX of [A-Za-z0-9._-], as the protocol wants an id. FLY_ERANGE. */
FLY_MUST_USE int fly_tool_session_check(const char *session);

/* prefix and a random version-4 UUID (RFC 9562). FLY_EIO: the system has no random numbers. */
FLY_MUST_USE int fly_tool_session(const char *prefix, char session[FLY_SESSION_MAX + 1]);

#endif
