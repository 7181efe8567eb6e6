/* plugin/roles.h: which role may do what, in one table.
 *
 * With keys (security.keys) every message carries the roles of its sender as the allow-list gives them at that moment
 * (struct fly_msg); without, whoever reaches the loopback sockets has all of them. The live page lives in this process
 * and counts as an operator. The table stands in stream/PROTOCOL.md, section 8, for people.
 *
 * Threads  pure but for fly_fail's text.
 */
#ifndef FLY_PLUGIN_ROLES_H
#define FLY_PLUGIN_ROLES_H

#include <stdint.h>

#include "stream/allow.h"
#include "stream/net.h"

/* Who may enter a socket. Control lets every role in: each may ask for `status`. */
enum {
    FLY_ROLES_INGEST = FLY_PEER_INSTRUMENT,
    FLY_ROLES_PUBLISH = FLY_PEER_VIEWER | FLY_PEER_CONTROLLER | FLY_PEER_OPERATOR,
    FLY_ROLES_CONTROL = FLY_PEER_ALL,
};

/* Who may make this request, or send this message of another type (`ack`). What the table does not know is the
 * operator's. Who may attach is asked with the request's arguments (fly_roles_may): the guard alone as guard. */
uint32_t fly_roles_of_op(const char *op);

/* FLY_OK; FLY_ERANGE: forbidden, and the words say to whom it is allowed. args: of the request, a map. */
FLY_MUST_USE int fly_roles_may(const struct fly_msg *msg, const char *op, struct fly_value args);

#endif
