/* stream/net_keys.h: the keys of an endpoint: CURVE, who is behind a message, and how handshakes went. For net.c alone.
 *
 * libzmq tells of handshakes on a socket of its own (zmq_socket_monitor), which is read here, by the endpoint's thread.
 * A server's tells of peers that failed before their key could be asked about; a client's of what it was told itself.
 */
#ifndef FLY_STREAM_NET_KEYS_H
#define FLY_STREAM_NET_KEYS_H

#include "stream/net.h"

enum { FLY_ADDRESS_CAP = 512 };

enum fly_handshake { FLY_HANDSHAKE_NONE, FLY_HANDSHAKE_DONE, FLY_HANDSHAKE_BROKEN, FLY_HANDSHAKE_REFUSED };

struct fly_net_keys {
    void *monitor;                /* PAIR; NULL where nothing is told */
    const char *kind;             /* of the socket, for messages */
    char address[FLY_ADDRESS_CAP];
    int is_server, has_keys;
    const struct fly_door *door;
    const char *domain;
    uint32_t admits;
    int has_inproc;               /* peers of this process may come, without keys */
    int parts;                    /* 1: peers only listen (XPUB), and are parted from us when somebody lost a right */
    uint64_t revoked;             /* the door's, when they were last */
    int unbound;                  /* 1: to be bound again */
    enum fly_handshake last;
};

/* Set keys and domain; listen to handshakes. FLY_ERANGE: a key that is none. FLY_EIO. */
int fly_net_keys_open(struct fly_net_keys *keys, void *context, void *socket, const char *kind,
                      const struct fly_endpoint_config *config);
void fly_net_keys_close(struct fly_net_keys *keys);

/* When there is time: news of handshakes; and after somebody lost a right, those who only listen are parted from us, to
 * come again with their keys: they say nothing by which one could be dropped alone. FLY_EIO: the address was taken
 * meanwhile. */
int fly_net_keys_look(struct fly_net_keys *keys, void *socket, const char *address);

/* Fill roles and peer of a message from its last part (zmq_msg_t). */
void fly_net_keys_peer(const struct fly_net_keys *keys, void *part, struct fly_msg *msg);

/* 1: its sender may speak here. 0: told to the door. */
int fly_net_keys_admits(const struct fly_net_keys *keys, const struct fly_msg *msg);

int fly_net_keys_handshake(struct fly_net_keys *keys); /* fly_endpoint_handshake */

#endif
