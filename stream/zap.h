/* stream/zap.h: the gate: answers libzmq's question whether a peer may come in (ZAP 1.0, ZeroMQ RFC 27).
 *
 * A server socket with keys asks for every handshake, naming its domain; the gate looks the public key up in the
 * allow-list and asks whether one of its roles may enter there. 200, with the key as User-Id, or 400: then libzmq tells
 * the client, which gives up. What a peer may do after that is decided anew with each of its messages (struct fly_door
 * of net.h): an endpoint looks its key up again.
 *
 * The allow-list is read again within FLY_ZAP_LOOK_MS of a change of the file. A list with a mistake is told and not
 * taken: the one before stays in force. Whoever is no longer in it, or has fewer roles, loses them with the next
 * message; those who only listen are parted and have to show their keys again.
 *
 * Threads  the gate has one of its own, with the socket that answers; all functions may be called from any.
 * Order    opened before the sockets that ask, closed after them: while there is no gate, nobody comes in.
 */
#ifndef FLY_STREAM_ZAP_H
#define FLY_STREAM_ZAP_H

#include "stream/allow.h"
#include "stream/net.h"

enum { FLY_ZAP_LOOK_MS = 500, FLY_ZAP_DOMAINS_MAX = 8 };

struct fly_zap;

struct fly_zap_domain {
    const char *name; /* lent until close: "ingest" */
    uint32_t roles;   /* of those who may enter */
};

struct fly_zap_config {
    struct fly_net *net;
    const char *allow; /* path, copied */
    struct fly_zap_domain domains[FLY_ZAP_DOMAINS_MAX];
    int32_t n_domains;
    /* A peer was turned away: "ingest: sem-room-3 (viewer) may not come here: ...". From any thread; not NULL. */
    void (*refused)(void *ctx, const char *text);
    /* The file changed: ok 1, a new list is in force; 0, it is not taken, and why. From the gate's thread; not NULL. */
    void (*reread)(void *ctx, int ok, const char *text);
    void *ctx;
};

/* Reads the list and answers from now on. FLY_EIO, FLY_EWIRE, FLY_ERANGE: the file (allow.h); FLY_EIO: the net has a gate
 * already; FLY_ENOMEM. */
FLY_MUST_USE int fly_zap_open(struct fly_zap **out, const struct fly_zap_config *config);
void fly_zap_close(struct fly_zap **gate);

int32_t fly_zap_clients(struct fly_zap *gate); /* in the list that is in force */

/* For fly_endpoint_config. Lent until close. */
const struct fly_door *fly_zap_door(const struct fly_zap *gate);

#endif
