#include "stream/zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ZAP_ADDRESS "inproc://zeromq.zap.01"

/* A question: routing id, empty, version, request id, domain, address, identity, mechanism, the key's 32 bytes. */
enum {
    PART_FROM, PART_EMPTY, PART_VERSION, PART_ID, PART_DOMAIN, PART_ADDRESS, PART_IDENTITY, PART_MECHANISM, PART_KEY,
    PARTS
};

struct fly_zap {
    struct fly_zap_config config;
    char *path;
    struct fly_door door;
    pthread_t thread;
    int wake_fd;                 /* written once, to end the thread */
    atomic_uint_fast64_t revoked;
    pthread_mutex_t lock;        /* of the list */
    struct fly_allow_list list;
    struct fly_allow_print print; /* the thread's alone */
    char told[512];               /* its alone: what was said last of a list not taken, "" once one was */
    /* how the thread came up: under lock, told by `up` */
    pthread_cond_t up;
    int is_up, up_rc;
    char up_text[512];
};

/* ---- the list ----------------------------------------------------------------------------------- */

static uint32_t roles_of(void *ctx, const char *key, char name[FLY_PEER_NAME_MAX + 1])
{
    struct fly_zap *gate = ctx;
    const struct fly_allowed *found;
    uint32_t roles = 0;

    pthread_mutex_lock(&gate->lock);
    found = fly_allow_find(&gate->list, key);
    if (found) {
        roles = found->roles;
        memcpy(name, found->name, sizeof found->name);
    }
    pthread_mutex_unlock(&gate->lock);
    return roles;
}

static uint64_t revoked_of(void *ctx)
{
    struct fly_zap *gate = ctx;

    return atomic_load_explicit(&gate->revoked, memory_order_acquire);
}

static void refuse(void *ctx, const char *domain, const char *why)
{
    struct fly_zap *gate = ctx;
    char text[400];

    snprintf(text, sizeof text, "%s: %s", domain, why);
    gate->config.refused(gate->config.ctx, text);
}

/* Somebody of the old list is missing in the new one, or may do less. */
static int takes_away(const struct fly_allow_list *old, const struct fly_allow_list *now)
{
    for (int32_t i = 0; i < old->count; i++) {
        const struct fly_allowed *found = fly_allow_find(now, old->items[i].key);

        if (!found || old->items[i].roles & ~found->roles)
            return 1;
    }
    return 0;
}

static int same(const struct fly_allow_list *a, const struct fly_allow_list *b)
{
    if (a->count != b->count)
        return 0;
    for (int32_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].key, b->items[i].key) != 0 || strcmp(a->items[i].name, b->items[i].name) != 0 ||
            a->items[i].roles != b->items[i].roles)
            return 0;
    return 1;
}

static void look_again(struct fly_zap *gate)
{
    struct fly_allow_list fresh = {0}, old;
    char text[200];
    int fewer;

    if (!fly_allow_has_changed(gate->path, &gate->print))
        return;
    if (fly_allow_read(&fresh, gate->path, &gate->print) < 0) {
        if (strcmp(gate->told, fly_fail_text()) != 0)
            gate->config.reread(gate->config.ctx, 0, fly_fail_text());
        snprintf(gate->told, sizeof gate->told, "%s", fly_fail_text());
        return;
    }
    gate->told[0] = '\0';
    if (same(&gate->list, &fresh)) { /* written anew with the same content, or looked at twice because it was fresh */
        fly_allow_fini(&fresh);
        return;
    }
    pthread_mutex_lock(&gate->lock);
    old = gate->list;
    gate->list = fresh;
    pthread_mutex_unlock(&gate->lock);
    fewer = takes_away(&old, &fresh);
    /* After the list: whoever sees the number finds the new one. */
    atomic_fetch_add_explicit(&gate->revoked, (uint64_t)fewer, memory_order_release);
    fly_allow_fini(&old);
    snprintf(text, sizeof text, "%d client%s in force%s", (int)fresh.count, fresh.count == 1 ? "" : "s",
             fewer ? "; some rights were taken back" : "");
    gate->config.reread(gate->config.ctx, 1, text);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static int is_text(const struct fly_part *part, const char *text)
{
    return part->len == strlen(text) && memcmp(part->bytes, text, part->len) == 0;
}

static const struct fly_zap_domain *find_domain(const struct fly_zap *gate, const struct fly_part *part)
{
    for (int32_t i = 0; i < gate->config.n_domains; i++)
        if (is_text(part, gate->config.domains[i].name))
            return &gate->config.domains[i];
    return NULL;
}

/* 1: may come in; key is its own, in Z85. */
static int judge(struct fly_zap *gate, const struct fly_msg *ask, char key[FLY_Z85_LEN + 1])
{
    const struct fly_zap_domain *domain = find_domain(gate, &ask->parts[PART_DOMAIN]);
    char name[FLY_PEER_NAME_MAX + 1], have[64], need[64], why[300];
    const struct fly_part *from = &ask->parts[PART_ADDRESS];
    uint32_t roles;

    if (!domain || !is_text(&ask->parts[PART_MECHANISM], "CURVE") || ask->n_seen != PARTS || ask->parts[PART_KEY].len != 32) {
        refuse(gate, domain ? domain->name : "a socket of no name", "a peer that showed no key");
        return 0;
    }
    fly_z85_print(ask->parts[PART_KEY].bytes, key);
    roles = roles_of(gate, key, name);
    if (roles & domain->roles)
        return 1;
    if (roles)
        snprintf(why, sizeof why, "%s may not come here with the role %s; allowed: %s", name,
                 fly_peer_roles_text(roles, have, sizeof have), fly_peer_roles_text(domain->roles, need, sizeof need));
    else
        snprintf(why, sizeof why, "the key %s, from %.*s, is not in the allow-list", key, from->len > 60 ? 60 : (int)from->len,
                 from->len ? (const char *)from->bytes : "");
    refuse(gate, domain->name, why);
    return 0;
}

static void answer(struct fly_zap *gate, struct fly_endpoint *socket, const struct fly_msg *ask)
{
    char key[FLY_Z85_LEN + 1] = "";
    struct fly_part parts[8];
    int ok;

    if (ask->n_parts < PART_MECHANISM + 1)
        return; /* libzmq does not ask so, and there is no id to answer to */
    ok = is_text(&ask->parts[PART_VERSION], "1.0") && judge(gate, ask, key);
    parts[0] = ask->parts[PART_FROM];
    parts[1] = (struct fly_part){"", 0};
    parts[2] = (struct fly_part){"1.0", 3};
    parts[3] = ask->parts[PART_ID];
    parts[4] = ok ? (struct fly_part){"200", 3} : (struct fly_part){"400", 3};
    parts[5] = ok ? (struct fly_part){"OK", 2} : (struct fly_part){"not allowed", 11};
    parts[6] = (struct fly_part){key, ok ? FLY_Z85_LEN : 0};
    parts[7] = (struct fly_part){"", 0};
    /* Whoever asked may be gone. */
    (void)!fly_endpoint_send(socket, parts, 8);
}

static void *gate_main(void *arg)
{
    struct fly_zap *gate = arg;
    struct fly_endpoint *socket = NULL;
    struct fly_endpoint_config config = {.socket = FLY_ROUTER, .address = ZAP_ADDRESS, .bind = 1, .high_water = 10000};
    int rc = fly_endpoint_open(&socket, gate->config.net, &config);
    uint64_t woken;

    pthread_mutex_lock(&gate->lock);
    gate->is_up = 1;
    gate->up_rc = rc;
    if (rc < 0)
        snprintf(gate->up_text, sizeof gate->up_text, "%s", fly_fail_text());
    pthread_cond_signal(&gate->up);
    pthread_mutex_unlock(&gate->lock);
    while (rc == FLY_OK && read(gate->wake_fd, &woken, sizeof woken) < 0) {
        struct fly_msg ask;

        while (fly_endpoint_recv(socket, &ask) == FLY_OK) {
            answer(gate, socket, &ask);
            fly_msg_close(&ask);
        }
        look_again(gate);
        (void)!fly_net_wait(&socket, 1, 0, gate->wake_fd, FLY_ZAP_LOOK_MS);
    }
    fly_endpoint_close(&socket);
    return NULL;
}

/* ---- up and down -------------------------------------------------------------------------------- */

static int start_thread(struct fly_zap *gate)
{
    int err = pthread_create(&gate->thread, NULL, gate_main, gate);

    if (err)
        return fly_fail(FLY_EIO, "the gate's thread: %s", strerror(err));
    pthread_mutex_lock(&gate->lock);
    while (!gate->is_up)
        pthread_cond_wait(&gate->up, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    if (gate->up_rc == FLY_OK)
        return FLY_OK;
    pthread_join(gate->thread, NULL);
    gate->is_up = 0;
    return fly_fail(gate->up_rc, "the gate: %s", gate->up_text);
}

int fly_zap_open(struct fly_zap **out, const struct fly_zap_config *config)
{
    struct fly_zap *gate = calloc(1, sizeof *gate);
    int rc = FLY_OK;

    FLY_ASSERT(config->refused && config->reread && config->n_domains <= FLY_ZAP_DOMAINS_MAX);
    if (!gate)
        return fly_fail(FLY_ENOMEM, "the gate: no memory for its handle");
    gate->config = *config;
    gate->door = (struct fly_door){.ctx = gate, .roles = roles_of, .refused = refuse, .revoked = revoked_of};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->up, NULL);
    gate->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    gate->path = strdup(config->allow);
    if (gate->wake_fd < 0)
        rc = fly_fail(FLY_EIO, "the gate: %s", strerror(errno));
    else if (!gate->path)
        rc = fly_fail(FLY_ENOMEM, "the gate: no memory for its handle");
    if (rc == FLY_OK)
        rc = fly_allow_read(&gate->list, gate->path, &gate->print);
    if (rc == FLY_OK)
        rc = start_thread(gate);
    if (rc < 0) {
        fly_zap_close(&gate);
        return rc;
    }
    *out = gate;
    return FLY_OK;
}

void fly_zap_close(struct fly_zap **gate)
{
    struct fly_zap *g = *gate;
    uint64_t one = 1;

    if (!g)
        return;
    if (g->is_up) {
        FLY_ASSERT(write(g->wake_fd, &one, sizeof one) == (ssize_t)sizeof one);
        pthread_join(g->thread, NULL);
    }
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    fly_allow_fini(&g->list);
    free(g->path);
    pthread_cond_destroy(&g->up);
    pthread_mutex_destroy(&g->lock);
    free(g);
    *gate = NULL;
}

int32_t fly_zap_clients(struct fly_zap *gate)
{
    int32_t count;

    pthread_mutex_lock(&gate->lock);
    count = gate->list.count;
    pthread_mutex_unlock(&gate->lock);
    return count;
}

const struct fly_door *fly_zap_door(const struct fly_zap *gate)
{
    return &gate->door;
}
