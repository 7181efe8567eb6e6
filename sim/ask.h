/* sim/ask.h: requests to Flyback's control socket, one after the other.
 *
 * Threads  one, which opens, asks and closes.
 */
#ifndef FLY_SIM_ASK_H
#define FLY_SIM_ASK_H

#include <stdint.h>

#include "engine/base/err.h"
#include "stream/net.h"

struct fly_ask;

/* Connects; nobody need be there yet. curve: our keys and Flyback's public one; NULL or empty: none. FLY_ERANGE, FLY_EIO,
 * FLY_ENOMEM. */
FLY_MUST_USE int fly_ask_open(struct fly_ask **out, struct fly_net *net, const char *control,
                              const struct fly_curve *curve);
void fly_ask_close(struct fly_ask **ask);

/* Ask and wait for the reply, at most timeout_ms.
 *
 *   args    a packed map; NULL: the empty one
 *   result  lent until the next question; may be NULL
 *
 * FLY_ERANGE  Flyback said no; the message is its own
 * FLY_EIO     no reply in time, or Flyback refuses our key
 * FLY_EAGAIN  a stop was asked for (tool.h)
 */
FLY_MUST_USE int fly_ask(struct fly_ask *ask, const char *op, const struct fly_pack *args, int32_t timeout_ms,
                         struct fly_value *result);

/* As fly_endpoint_handshake. */
FLY_MUST_USE int fly_ask_handshake(struct fly_ask *ask);

#endif
