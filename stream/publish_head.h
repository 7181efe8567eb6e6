/* stream/publish_head.h: how every published header begins and ends, for the files of this room that
 * make one.
 */
#ifndef FLY_STREAM_PUBLISH_HEAD_H
#define FLY_STREAM_PUBLISH_HEAD_H

#include "stream/publish.h"

enum { FLY_PUB_COMMON_KEYS = 5 }; /* type, session, stream, seq, t_ns */

/* A map with the common keys and `more` to follow. */
void fly_pub_open_header(struct fly_pack *pack, const char *type, const struct fly_pub_id *id,
                         uint32_t more);

/* List topic and header. FLY_ERANGE when it did not fit, or what was handed in broke a limit of the
 * protocol, which its reader would refuse. */
FLY_MUST_USE int fly_pub_close_header(struct fly_pub_message *out, const struct fly_pack *pack,
                                      const char *type);

#endif
