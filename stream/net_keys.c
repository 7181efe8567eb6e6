#include "stream/net_keys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

int fly_curve_keypair(char public_key[41], char secret_key[41])
{
    if (zmq_curve_keypair(public_key, secret_key) < 0)
        return fly_fail(FLY_EIO, "key pair: %s", zmq_strerror(errno));
    return FLY_OK;
}

int fly_curve_public(const char *secret_key, char public_key[41])
{
    if (!fly_z85_is_key(secret_key, strlen(secret_key)))
        return fly_fail(FLY_ERANGE, "a secret key that is not 40 characters in Z85");
    if (zmq_curve_public(public_key, secret_key) < 0)
        return fly_fail(FLY_EIO, "public key: %s", zmq_strerror(errno));
    return FLY_OK;
}

/* Draft in 4.3's header, served by its library: ZMQ_ZAP_ENFORCE_DOMAIN. */
enum { ENFORCE_DOMAIN = 93 };

/* ---- opening ------------------------------------------------------------------------------------ */

static int fail_here(const struct fly_net_keys *keys)
{
    return fly_fail(FLY_EIO, "%s %s: %s", keys->kind, keys->address, zmq_strerror(errno));
}

static int set_key(const struct fly_net_keys *keys, void *socket, int option, const char *name, const char *key)
{
    if (!fly_z85_is_key(key, strlen(key)) || zmq_setsockopt(socket, option, key, FLY_Z85_LEN + 1) < 0)
        return fly_fail(FLY_ERANGE, "%s %s: the %s is not a key of 40 characters in Z85", keys->kind, keys->address, name);
    return FLY_OK;
}

static int set_server(const struct fly_net_keys *keys, void *socket, const struct fly_curve *curve)
{
    const int yes = 1;

    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) < 0)
        return fail_here(keys);
    /* Without a domain libzmq does not ask; without enforcing it lets everybody in when nobody answers. A library that
     * knows no enforcing leaves the second guard: whoever was not asked about has no roles (fly_net_keys_peer). */
    if (keys->door && (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, keys->domain, strlen(keys->domain)) < 0 ||
                       (zmq_setsockopt(socket, ENFORCE_DOMAIN, &yes, sizeof yes) < 0 && errno != EINVAL)))
        return fail_here(keys);
    return set_key(keys, socket, ZMQ_CURVE_SECRETKEY, "secret key", curve->secret_key);
}

static int set_client(const struct fly_net_keys *keys, void *socket, const struct fly_curve *curve)
{
    int rc = set_key(keys, socket, ZMQ_CURVE_SERVERKEY, "server's public key", curve->server_key);

    if (rc == FLY_OK)
        rc = set_key(keys, socket, ZMQ_CURVE_PUBLICKEY, "public key", curve->public_key);
    if (rc == FLY_OK)
        rc = set_key(keys, socket, ZMQ_CURVE_SECRETKEY, "secret key", curve->secret_key);
    return rc;
}

/* What is told there and not read is kept, not waited for: a full queue would hold libzmq's own thread. */
static int open_monitor(struct fly_net_keys *keys, void *context, void *socket)
{
    static atomic_uint made;
    const int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    const int none = 0;
    char name[48];

    snprintf(name, sizeof name, "inproc://flyback-handshakes-%u", atomic_fetch_add(&made, 1));
    keys->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!keys->monitor || zmq_setsockopt(keys->monitor, ZMQ_RCVHWM, &none, sizeof none) < 0 ||
        zmq_setsockopt(keys->monitor, ZMQ_LINGER, &none, sizeof none) < 0 ||
        zmq_socket_monitor(socket, name, events) < 0 || zmq_connect(keys->monitor, name) < 0)
        return fail_here(keys);
    return FLY_OK;
}

int fly_net_keys_open(struct fly_net_keys *keys, void *context, void *socket, const char *kind,
                      const struct fly_endpoint_config *config)
{
    const struct fly_curve *curve = &config->curve;
    int rc = FLY_OK;

    *keys = (struct fly_net_keys){.kind = kind,
                                  .is_server = config->bind,
                                  .has_keys = curve->public_key[0] || curve->secret_key[0] || curve->server_key[0],
                                  .door = config->door,
                                  .domain = config->domain,
                                  .parts = config->door && config->socket == FLY_XPUB,
                                  .admits = config->admits};
    snprintf(keys->address, sizeof keys->address, "%s", config->address);
    if (keys->parts && strcmp(config->address, "ipc://*") == 0)
        return fly_fail(FLY_ERANGE, "%s %s: with keys the path has to be named: libzmq's own choice goes when peers are parted, "
                        "and they would not find back", kind, config->address);
    FLY_ASSERT(!keys->door || (config->bind && keys->has_keys && keys->domain && keys->domain[0]));
    if (keys->door)
        keys->revoked = keys->door->revoked(keys->door->ctx);
    if (keys->has_keys)
        rc = config->bind ? set_server(keys, socket, curve) : set_client(keys, socket, curve);
    if (rc == FLY_OK && strncmp(config->address, "inproc://", strlen("inproc://")) != 0 && (!config->bind || keys->door))
        rc = open_monitor(keys, context, socket);
    return rc;
}

void fly_net_keys_close(struct fly_net_keys *keys)
{
    if (keys->monitor)
        zmq_close(keys->monitor);
    keys->monitor = NULL;
}

/* ---- handshakes --------------------------------------------------------------------------------- */

static void tell_door(const struct fly_net_keys *keys, uint32_t error)
{
    keys->door->refused(keys->door->ctx, keys->domain,
                        error == 0 || error == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
                            ? "a peer that showed no key: it needs --keys and --server-key"
                        : error == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC
                            ? "a peer that takes us for another server: its --server-key is not our public key"
                            : "a peer whose greeting breaks the rules");
}

static void take_event(struct fly_net_keys *keys, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        keys->last = FLY_HANDSHAKE_DONE;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: /* a server's is told by the one that was asked */
        keys->last = FLY_HANDSHAKE_REFUSED;
        break;
    default: /* without detail: it left in the middle, as do those without keys once they see that we want some */
        if (keys->is_server)
            tell_door(keys, event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? value : 0);
        keys->last = FLY_HANDSHAKE_BROKEN;
        break;
    }
}

static void read_monitor(struct fly_net_keys *keys)
{
    unsigned char bytes[6];
    uint16_t event;
    uint32_t value;
    int n;

    while (keys->monitor && (n = zmq_recv(keys->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT)) >= 0) {
        size_t len = sizeof n;
        int more = 0;

        while (zmq_getsockopt(keys->monitor, ZMQ_RCVMORE, &more, &len) == 0 && more)
            (void)zmq_recv(keys->monitor, NULL, 0, 0); /* the address */
        if (n != (int)sizeof bytes)
            continue;
        memcpy(&event, bytes, sizeof event);
        memcpy(&value, bytes + sizeof event, sizeof value);
        take_event(keys, event, value);
    }
}

int fly_net_keys_handshake(struct fly_net_keys *keys)
{
    read_monitor(keys);
    if (keys->last == FLY_HANDSHAKE_REFUSED)
        return fly_fail(FLY_EIO, "%s refuses this key: it is not in the allow-list, or its role may not come there",
                        keys->address);
    if (keys->last != FLY_HANDSHAKE_BROKEN)
        return FLY_OK;
    if (keys->has_keys)
        return fly_fail(FLY_EAGAIN, "it breaks off when keys are shown: it runs without keys, or its public key is not that of "
                        "--server-key");
    return fly_fail(FLY_EAGAIN, "it breaks off the greeting: it wants keys (--keys DIR --server-key FILE), or is no Flyback");
}

/* ---- messages ----------------------------------------------------------------------------------- */

void fly_net_keys_peer(const struct fly_net_keys *keys, void *part, struct fly_msg *msg)
{
    const char *key;

    msg->roles = FLY_PEER_ALL;
    if (!keys->door)
        return;
    key = zmq_msg_gets(part, "User-Id");
    /* Whatever crossed a wire has properties; what has none came from this process. */
    if (key)
        msg->roles = keys->door->roles(keys->door->ctx, key, msg->peer);
    else
        msg->roles = keys->has_inproc && !zmq_msg_gets(part, "Socket-Type") ? FLY_PEER_OPERATOR : 0;
}

int fly_net_keys_admits(const struct fly_net_keys *keys, const struct fly_msg *msg)
{
    char why[200], roles[64];

    if (!keys->door || !keys->admits || msg->roles & keys->admits)
        return 1;
    /* That a subscription ended asks for nothing, and is often libzmq's own word about a peer that left. */
    if (keys->parts && !(msg->parts[0].len && *(const unsigned char *)msg->parts[0].bytes))
        return 1;
    snprintf(why, sizeof why, "a message of %s, whose role is now %s", msg->peer[0] ? msg->peer : "a client",
             fly_peer_roles_text(msg->roles, roles, sizeof roles));
    keys->door->refused(keys->door->ctx, keys->domain, why);
    return 0;
}

int fly_net_keys_look(struct fly_net_keys *keys, void *socket, const char *address)
{
    uint64_t revoked;

    read_monitor(keys);
    if (!keys->parts)
        return FLY_OK;
    revoked = keys->door->revoked(keys->door->ctx);
    if (revoked != keys->revoked) {
        /* Unbinding parts all peers that came by this address, and leaves those of this process. */
        if (!keys->unbound && zmq_unbind(socket, address) < 0)
            return fail_here(keys);
        keys->unbound = 1;
        keys->revoked = revoked;
    }
    if (!keys->unbound)
        return FLY_OK;
    if (zmq_bind(socket, address) == 0)
        keys->unbound = 0;
    else if (errno != EADDRINUSE) /* the old listener goes in its own time */
        return fail_here(keys);
    return FLY_OK;
}
