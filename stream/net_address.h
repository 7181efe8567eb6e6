/* stream/net_address.h: what may stand in an endpoint's address.
 *
 * Strict on purpose: a typing error is told here, in words, and not by a library's errno or, worse, by
 * a socket that waits on an interface nobody meant.
 */
#ifndef FLY_STREAM_NET_ADDRESS_H
#define FLY_STREAM_NET_ADDRESS_H

#include "engine/base/err.h"

struct fly_address_facts {
    int is_tcp, is_ipc;
    int is_loopback; /* nobody on another machine can reach it: 127.0.0.0/8, ipc, inproc */
};

/* FLY_ERANGE with what is allowed. */
FLY_MUST_USE int fly_address_check(struct fly_address_facts *facts, const char *address, int bind);

#endif
