/* stream/net.h: endpoints behind a table: bind or connect, receive and send multipart messages.
 *
 * The real table is over libzmq. A socket belongs to the thread that opened it. A simulated run hands
 * the stages another table.
 *
 * A received message owns its parts until fly_msg_close; messages (not sockets) may change threads.
 */
#ifndef FLY_STREAM_NET_H
#define FLY_STREAM_NET_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "stream/allow.h"
#include "stream/wire.h"

struct fly_net;      /* a context: one per process or per simulated world */
struct fly_endpoint; /* one socket */

enum fly_socket { FLY_PULL, FLY_PUSH, FLY_XPUB, FLY_SUB, FLY_ROUTER, FLY_DEALER, FLY_REQ };

enum { FLY_MSG_PARTS = FLY_PARTS_MAX + 3 }; /* identity, empty part and topic come on top */

struct fly_msg {
    struct fly_part parts[FLY_MSG_PARTS];
    int32_t n_parts;
    int32_t n_seen;      /* parts that came; > n_parts when there were too many (the rest is dropped) */
    size_t bytes;        /* of all parts */
    uint32_t roles;      /* enum fly_peer_role: what its peer may be taken for now; FLY_PEER_ALL where the endpoint has
                            no door, FLY_PEER_OPERATOR of this process's own peers (inproc) where it has one */
    char peer[FLY_PEER_NAME_MAX + 1]; /* its name in the allow-list; "" without a door, or of this process */
    void *owner;         /* the table's; NULL: parts are lent or none */
};

struct fly_curve {
    char public_key[41], secret_key[41], server_key[41]; /* Z85; empty: no CURVE */
};

/* Who may come in (stream/zap.h opens one). The calls may come from any thread.
 *
 *   roles    what the owner of a public key may be taken for now, 0: nobody's; fills name
 *   refused  somebody was turned away, at the socket of this domain, and why
 *   revoked  grows whenever somebody lost a right */
struct fly_door {
    void *ctx;
    uint32_t (*roles)(void *ctx, const char *key, char name[FLY_PEER_NAME_MAX + 1]);
    void (*refused)(void *ctx, const char *domain, const char *why);
    uint64_t (*revoked)(void *ctx);
};

struct fly_endpoint_config {
    enum fly_socket socket;
    const char *address;     /* "tcp://127.0.0.1:5570", "ipc://...", tcp port * or 0: any free one */
    int bind;                /* 1 bind, 0 connect */
    int32_t high_water;      /* messages queued each way, 1 .. 100000 */
    size_t part_max;         /* larger parts drop the peer's connection; 0: FLY_PAYLOAD_MAX */
    int32_t linger_ms;
    struct fly_curve curve;  /* server side when bind */
    /* Of a server with keys: who may come in (lent until the endpoint is closed), the name under which that is asked,
     * and whose messages are taken: those of other roles, as they are at that moment, are dropped and told to the door.
     * admits 0: all are taken, the receiver looks at their roles. door NULL: any key will do. */
    const struct fly_door *door;
    const char *domain;      /* static: "ingest" */
    uint32_t admits;
};

FLY_MUST_USE int fly_net_open(struct fly_net **out); /* libzmq */

/* All endpoints are closed before. Waits for what they still have to send, linger_ms at most.
 * Messages may outlive it. */
void fly_net_close(struct fly_net **net);

/* Addresses: tcp://HOST:PORT (IPv4; to bind, HOST is a number or *), ipc://PATH, inproc://NAME.
 * FLY_EIO     "pull tcp://...: Address already in use"
 * FLY_ERANGE  an address, key or number that is none; binding beyond loopback without CURVE keys
 * FLY_ENOMEM
 */
FLY_MUST_USE int fly_endpoint_open(struct fly_endpoint **out, struct fly_net *net,
                                   const struct fly_endpoint_config *config);
void fly_endpoint_close(struct fly_endpoint **endpoint);

/* Bind at one more address, for peers of the same process: inproc://NAME. fly_endpoint_address stays the first.
 * FLY_EIO, FLY_ERANGE as above. */
FLY_MUST_USE int fly_endpoint_bind_inproc(struct fly_endpoint *endpoint, const char *address);

/* The address bound, with the real port. Lent. */
const char *fly_endpoint_address(const struct fly_endpoint *endpoint);

/* Never blocks. FLY_OK: msg filled (close it); FLY_EAGAIN: nothing there, or nothing yet from those who may speak. */
FLY_MUST_USE int fly_endpoint_recv(struct fly_endpoint *endpoint, struct fly_msg *msg);
void fly_msg_close(struct fly_msg *msg);

/* Never blocks; copies. FLY_EAGAIN: the queue is full, nothing was sent. FLY_EIO: no such peer (ROUTER:
 * the identity in parts[0] is not connected), or a REQ that still waits for its reply. */
FLY_MUST_USE int fly_endpoint_send(struct fly_endpoint *endpoint, const struct fly_part *parts,
                                   int32_t n_parts);

/* How the last handshake of a connecting endpoint went. The words stand for themselves, but for the address of one that
 * broke off: "it breaks off the greeting: it wants keys ...".
 *
 * FLY_OK      well, or none was finished yet
 * FLY_EAGAIN  it broke off, and is tried again: the other side wants keys, has none, or is not the server expected
 * FLY_EIO     refused for good: the key is not in the allow-list, or its role may not come there. No message will pass */
FLY_MUST_USE int fly_endpoint_handshake(struct fly_endpoint *endpoint);

/* SUB only. topic is a prefix, "" for everything. */
FLY_MUST_USE int fly_endpoint_subscribe(struct fly_endpoint *endpoint, const char *topic);

/* Wait until one of the endpoints can be read or wake_fd can (-1: none; it is not read here), at most
 * timeout_ms (-1: for ever). Returns FLY_OK when something is there, else FLY_EAGAIN, also after a
 * signal; FLY_EIO: the system cannot wait. want_write: bit i set waits for endpoint i to take a message
 * instead. count is 0 .. 31. */
FLY_MUST_USE int fly_net_wait(struct fly_endpoint *const *endpoints, int32_t count, uint32_t want_write,
                              int wake_fd, int32_t timeout_ms);

/* A pair of keys in Z85. FLY_EIO when libzmq was built without CURVE. */
FLY_MUST_USE int fly_curve_keypair(char public_key[41], char secret_key[41]);
/* The public key of a secret one. FLY_ERANGE: it is none. FLY_EIO as above. */
FLY_MUST_USE int fly_curve_public(const char *secret_key, char public_key[41]);

#endif
