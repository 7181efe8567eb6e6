#include "stream/net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "stream/net_address.h"
#include "stream/net_keys.h"

enum {
    IO_THREADS = 1,
    HANDSHAKE_MS = 5000,     /* a peer that says nothing holds no place for longer */
    HEARTBEAT_MS = 2000,     /* a PING this often; a peer gone without a word is dropped after */
    HEARTBEAT_GONE_MS = 10000,
    DROPS_A_TURN = 64,
    POOL_MAX = 4096,         /* owners kept for use again; more are made and freed */
};

/* ---- owners: the libzmq messages behind a fly_msg ------------------------------------------------ */

struct owner {
    zmq_msg_t part[FLY_MSG_PARTS];
    struct pool *pool;
    struct owner *next;
};

/* Owners come back from other threads, and may do so after the net was closed. */
struct pool {
    pthread_mutex_t lock;
    struct owner *idle;
    int n_idle;
    int64_t holders; /* the net and each owner that is out; the last one frees the pool */
};

static void pool_leave(struct pool *pool)
{
    struct owner *idle = NULL;
    int last;

    pthread_mutex_lock(&pool->lock);
    last = --pool->holders == 0;
    if (last)
        idle = pool->idle;
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    while (idle) {
        struct owner *next = idle->next;

        free(idle);
        idle = next;
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static struct owner *owner_take(struct pool *pool)
{
    struct owner *owner;

    pthread_mutex_lock(&pool->lock);
    owner = pool->idle;
    if (owner) {
        pool->idle = owner->next;
        pool->n_idle--;
    }
    pool->holders++;
    pthread_mutex_unlock(&pool->lock);
    if (owner)
        return owner;
    owner = malloc(sizeof *owner);
    if (!owner) {
        pool_leave(pool);
        return NULL;
    }
    owner->pool = pool;
    return owner;
}

static void owner_give(struct owner *owner)
{
    struct pool *pool = owner->pool;

    pthread_mutex_lock(&pool->lock);
    if (pool->n_idle < POOL_MAX) {
        owner->next = pool->idle;
        pool->idle = owner;
        pool->n_idle++;
        owner = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    free(owner);
    pool_leave(pool);
}

void fly_msg_close(struct fly_msg *msg)
{
    struct owner *owner = msg->owner;

    if (owner) {
        for (int32_t i = 0; i < msg->n_parts; i++)
            zmq_msg_close(&owner->part[i]);
        owner_give(owner);
    }
    *msg = (struct fly_msg){0};
}

/* ---- the context --------------------------------------------------------------------------------- */

struct fly_net {
    void *context;
    struct pool *pool;
};

int fly_net_open(struct fly_net **out)
{
    struct fly_net *net = calloc(1, sizeof *net);
    struct pool *pool = calloc(1, sizeof *pool);

    if (!net || !pool || pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(net);
        free(pool);
        return fly_fail(FLY_ENOMEM, "network: no memory for its handle");
    }
    pool->holders = 1;
    net->pool = pool;
    net->context = zmq_ctx_new();
    if (!net->context) {
        int rc = fly_fail(FLY_EIO, "network: %s", zmq_strerror(errno));

        fly_net_close(&net);
        return rc;
    }
    zmq_ctx_set(net->context, ZMQ_IO_THREADS, IO_THREADS);
    *out = net;
    return FLY_OK;
}

void fly_net_close(struct fly_net **net)
{
    if (!*net)
        return;
    if ((*net)->context)
        while (zmq_ctx_term((*net)->context) < 0 && errno == EINTR)
            ;
    pool_leave((*net)->pool);
    free(*net);
    *net = NULL;
}

/* ---- endpoints ----------------------------------------------------------------------------------- */

struct fly_endpoint {
    void *socket;
    enum fly_socket kind;
    struct pool *pool;
    struct owner *spare; /* for the next message; kept when none came */
    struct fly_net_keys keys;
    char address[FLY_ADDRESS_CAP];
};

static const struct {
    int type;
    const char *name;
} kinds[] = {
    [FLY_PULL] = {ZMQ_PULL, "pull"},       [FLY_PUSH] = {ZMQ_PUSH, "push"},
    [FLY_XPUB] = {ZMQ_XPUB, "xpub"},       [FLY_SUB] = {ZMQ_SUB, "sub"},
    [FLY_ROUTER] = {ZMQ_ROUTER, "router"}, [FLY_DEALER] = {ZMQ_DEALER, "dealer"},
    [FLY_REQ] = {ZMQ_REQ, "req"},
};

static int fail_at(const struct fly_endpoint *endpoint, int said)
{
    return fly_fail(FLY_EIO, "%s %s: %s", kinds[endpoint->kind].name, endpoint->address,
                    zmq_strerror(said));
}

static int set_int(struct fly_endpoint *endpoint, int option, int value)
{
    return zmq_setsockopt(endpoint->socket, option, &value, sizeof value) < 0 ? fail_at(endpoint, errno)
                                                                            : FLY_OK;
}

static int set_options(struct fly_endpoint *endpoint, const struct fly_endpoint_config *config)
{
    int64_t part_max = (int64_t)(config->part_max ? config->part_max : FLY_PAYLOAD_MAX);
    const int options[][2] = {
        {ZMQ_LINGER, config->linger_ms},
        {ZMQ_IPV6, 0},
        {ZMQ_SNDHWM, config->high_water},
        {ZMQ_RCVHWM, config->high_water},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
    };
    int rc = FLY_OK;

    for (size_t i = 0; i < sizeof options / sizeof options[0] && rc == FLY_OK; i++)
        rc = set_int(endpoint, options[i][0], options[i][1]);
    if (rc == FLY_OK && zmq_setsockopt(endpoint->socket, ZMQ_MAXMSGSIZE, &part_max, sizeof part_max) < 0)
        rc = fail_at(endpoint, errno);

    /* Whoever waits for many peers must notice those that vanished without closing. */
    if (config->socket == FLY_PULL || config->socket == FLY_ROUTER || config->socket == FLY_XPUB) {
        if (rc == FLY_OK)
            rc = set_int(endpoint, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
        if (rc == FLY_OK)
            rc = set_int(endpoint, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_GONE_MS);
    }
    /* Without VERBOSE the second viewer of a topic is never heard of, and gets no keyframe. */
    if (rc == FLY_OK && config->socket == FLY_XPUB)
        rc = set_int(endpoint, ZMQ_XPUB_VERBOSE, 1);
    /* Without MANDATORY a reply to a peer that left is dropped in silence. */
    if (rc == FLY_OK && config->socket == FLY_ROUTER)
        rc = set_int(endpoint, ZMQ_ROUTER_MANDATORY, 1);
    return rc;
}

/* libzmq removes whatever socket stands at an ipc path and binds its own: two programs with the same
 * path would both believe to be served. Ask whether somebody answers there. */
static int ipc_in_use(const char *address)
{
    const char *path = address + strlen("ipc://");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd, answered;

    if (path[0] == '*' || path[0] == '@')
        return 0; /* a fresh name; an abstract one, which the kernel itself guards */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    memcpy(name.sun_path, path, strlen(path) + 1);
    answered = connect(fd, (struct sockaddr *)&name, sizeof name) == 0 || errno == EAGAIN;
    close(fd);
    return answered;
}

static int attach(struct fly_endpoint *endpoint, const struct fly_endpoint_config *config,
                  const struct fly_address_facts *facts)
{
    size_t len = sizeof endpoint->address;

    if (!config->bind)
        return zmq_connect(endpoint->socket, config->address) < 0 ? fail_at(endpoint, errno) : FLY_OK;
    if (facts->is_ipc && ipc_in_use(config->address))
        return fail_at(endpoint, EADDRINUSE);
    if (zmq_bind(endpoint->socket, config->address) < 0)
        return fail_at(endpoint, errno);
    if (zmq_getsockopt(endpoint->socket, ZMQ_LAST_ENDPOINT, endpoint->address, &len) < 0)
        return fail_at(endpoint, errno);
    return FLY_OK;
}

int fly_endpoint_open(struct fly_endpoint **out, struct fly_net *net,
                      const struct fly_endpoint_config *config)
{
    struct fly_address_facts facts;
    struct fly_endpoint *endpoint;
    int rc = fly_address_check(&facts, config->address, config->bind);

    FLY_ASSERT((int)config->socket >= FLY_PULL && config->socket <= FLY_REQ);
    if (rc < 0)
        return rc;
    if (config->bind && !facts.is_loopback && !config->curve.secret_key[0])
        return fly_fail(FLY_ERANGE,
                        "address %s: other machines can reach it, so it needs CURVE keys (flyback keygen); without "
                        "keys bind tcp://127.0.0.1:PORT or ipc://PATH",
                        config->address);
    if (config->high_water < 1 || config->high_water > 100000)
        return fly_fail(FLY_ERANGE, "address %s: a high-water mark of %d messages, 1 .. 100000 are allowed",
                        config->address, config->high_water);
    if (config->linger_ms < 0)
        return fly_fail(FLY_ERANGE, "address %s: lingering for %d ms, 0 or more are allowed",
                        config->address, config->linger_ms);
    if (config->part_max > INT64_MAX)
        return fly_fail(FLY_ERANGE, "address %s: parts of up to %zu bytes", config->address,
                        config->part_max);
    endpoint = calloc(1, sizeof *endpoint);
    if (!endpoint)
        return fly_fail(FLY_ENOMEM, "address %s: no memory for its handle", config->address);
    endpoint->kind = config->socket;
    endpoint->pool = net->pool;
    memcpy(endpoint->address, config->address, strlen(config->address) + 1); /* checked: below 512 */
    endpoint->socket = zmq_socket(net->context, kinds[config->socket].type);
    if (!endpoint->socket) {
        rc = fail_at(endpoint, errno);
        goto fail;
    }
    rc = set_options(endpoint, config);
    if (rc == FLY_OK)
        rc = fly_net_keys_open(&endpoint->keys, net->context, endpoint->socket, kinds[config->socket].name, config);
    if (rc == FLY_OK)
        rc = attach(endpoint, config, &facts);
    if (rc < 0)
        goto fail;
    *out = endpoint;
    return FLY_OK;

fail:
    fly_endpoint_close(&endpoint);
    return rc;
}

int fly_endpoint_bind_inproc(struct fly_endpoint *endpoint, const char *address)
{
    /* Anything else would have to be checked as the first address was. */
    if (strncmp(address, "inproc://", strlen("inproc://")) != 0)
        return fly_fail(FLY_ERANGE, "%s %s: %s is not inproc://NAME", kinds[endpoint->kind].name, endpoint->address,
                        address);
    if (zmq_bind(endpoint->socket, address) < 0)
        return fly_fail(FLY_EIO, "%s %s: %s", kinds[endpoint->kind].name, address, zmq_strerror(errno));
    endpoint->keys.has_inproc = 1;
    return FLY_OK;
}

void fly_endpoint_close(struct fly_endpoint **endpoint)
{
    if (!*endpoint)
        return;
    if ((*endpoint)->socket)
        zmq_close((*endpoint)->socket);
    fly_net_keys_close(&(*endpoint)->keys); /* after the socket, which speaks to it */
    if ((*endpoint)->spare)
        owner_give((*endpoint)->spare);
    free(*endpoint);
    *endpoint = NULL;
}

const char *fly_endpoint_address(const struct fly_endpoint *endpoint)
{
    return endpoint->address;
}

int fly_endpoint_handshake(struct fly_endpoint *endpoint)
{
    return fly_net_keys_handshake(&endpoint->keys);
}

int fly_endpoint_subscribe(struct fly_endpoint *endpoint, const char *topic)
{
    FLY_ASSERT(endpoint->kind == FLY_SUB);
    if (zmq_setsockopt(endpoint->socket, ZMQ_SUBSCRIBE, topic, strlen(topic)) < 0)
        return fail_at(endpoint, errno);
    return FLY_OK;
}

/* ---- receiving ----------------------------------------------------------------------------------- */

static int recv_part(struct fly_endpoint *endpoint, zmq_msg_t *part)
{
    int n;

    do
        n = zmq_msg_recv(part, endpoint->socket, ZMQ_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static int recv_any(struct fly_endpoint *endpoint, struct fly_msg *msg)
{
    struct owner *owner;
    zmq_msg_t extra;
    int more = 1, said;

    *msg = (struct fly_msg){0};
    if (!endpoint->spare)
        endpoint->spare = owner_take(endpoint->pool);
    owner = endpoint->spare;
    if (!owner)
        return fly_fail(FLY_ENOMEM, "%s %s: no memory for a message", kinds[endpoint->kind].name,
                        endpoint->address);
    while (more) {
        int kept = msg->n_seen < FLY_MSG_PARTS;
        zmq_msg_t *part = kept ? &owner->part[msg->n_seen] : &extra;

        zmq_msg_init(part);
        said = recv_part(endpoint, part);
        if (said < 0) {
            zmq_msg_close(part);
            goto fail;
        }
        more = zmq_msg_more(part);
        msg->n_seen++;
        msg->bytes += zmq_msg_size(part);
        if (kept)
            msg->parts[msg->n_parts++] = (struct fly_part){zmq_msg_data(part), zmq_msg_size(part)};
        else
            zmq_msg_close(part);
    }
    fly_net_keys_peer(&endpoint->keys, &owner->part[msg->n_parts - 1], msg);
    msg->owner = owner;
    endpoint->spare = NULL;
    return FLY_OK;

fail:
    /* The parts of a message arrive together, so only the first can be missing; the others are closed
     * all the same when the system fails between two. */
    for (int32_t i = 0; i < msg->n_parts; i++)
        zmq_msg_close(&owner->part[i]);
    *msg = (struct fly_msg){0};
    return said == -EAGAIN ? FLY_EAGAIN : fail_at(endpoint, -said);
}

int fly_endpoint_recv(struct fly_endpoint *endpoint, struct fly_msg *msg)
{
    int rc = FLY_EAGAIN, looked;

    /* Of those who may no longer speak a few at a time: one who never stops must not keep the caller here. */
    for (int dropped = 0; dropped < DROPS_A_TURN; dropped++) {
        rc = recv_any(endpoint, msg);
        if (rc != FLY_OK || fly_net_keys_admits(&endpoint->keys, msg))
            break;
        fly_msg_close(msg);
        rc = FLY_EAGAIN;
    }
    if (rc != FLY_EAGAIN)
        return rc;
    looked = fly_net_keys_look(&endpoint->keys, endpoint->socket, endpoint->address);
    return looked < 0 ? looked : FLY_EAGAIN;
}

/* ---- sending ------------------------------------------------------------------------------------- */

int fly_endpoint_send(struct fly_endpoint *endpoint, const struct fly_part *parts, int32_t n_parts)
{
    int said = 0;

    FLY_ASSERT(n_parts >= 1);
    for (int32_t i = 0; i < n_parts; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < n_parts ? ZMQ_SNDMORE : 0), n;

        do
            n = zmq_send(endpoint->socket, parts[i].bytes, parts[i].len, flags);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
            continue;
        if (said == 0)
            said = errno;
        /* Refused at its first part, nothing was begun. A peer that left in the middle takes the parts
         * before with it, and libzmq swallows those behind: they have to be offered, or it would
         * swallow the next message's. */
        if (i == 0)
            break;
    }
    if (said == 0)
        return FLY_OK;
    if (said == EAGAIN)
        return FLY_EAGAIN;
    if (said == EFSM)
        return fly_fail(FLY_EIO, "%s %s: still waits for the reply to its last request",
                        kinds[endpoint->kind].name, endpoint->address);
    return said == EHOSTUNREACH ? fly_fail(FLY_EIO, "%s %s: no such peer", kinds[endpoint->kind].name,
                                           endpoint->address)
                                : fail_at(endpoint, said);
}

/* ---- waiting ------------------------------------------------------------------------------------- */

int fly_net_wait(struct fly_endpoint *const *endpoints, int32_t count, uint32_t want_write, int wake_fd,
                 int32_t timeout_ms)
{
    zmq_pollitem_t items[32];
    int n = 0, rc;

    FLY_ASSERT(count >= 0 && count < 32);
    for (; n < count; n++)
        items[n] = (zmq_pollitem_t){.socket = endpoints[n]->socket,
                                    .events = want_write >> n & 1 ? ZMQ_POLLOUT : ZMQ_POLLIN};
    if (wake_fd >= 0)
        items[n++] = (zmq_pollitem_t){.fd = wake_fd, .events = ZMQ_POLLIN};
    rc = zmq_poll(items, n, timeout_ms);
    if (rc < 0 && errno != EINTR)
        return fly_fail(FLY_EIO, "waiting for %d endpoints: %s", count, zmq_strerror(errno));
    return rc > 0 ? FLY_OK : FLY_EAGAIN;
}
