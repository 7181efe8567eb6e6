/* plugin/helm_own.h: the helm's insides, shared by the files that make it up. */
#ifndef FLY_PLUGIN_HELM_OWN_H
#define FLY_PLUGIN_HELM_OWN_H

#include <string.h>

#include "plugin/helm.h"

static inline int64_t fly_helm_mono_ns(const struct fly_helm *h)
{
    return h->clock.mono_ns(h->clock.ctx);
}

static inline int64_t fly_helm_unix_ns(const struct fly_helm *h)
{
    return h->clock.unix_ns(h->clock.ctx);
}

static inline int fly_helm_in_flight(const struct fly_helm_command *command)
{
    return command->state >= FLY_HELM_SENT && command->state <= FLY_HELM_STARTED;
}

/* No command may leave: somebody holds here, or a guard that tells so, which would refuse it. */
static inline int fly_helm_rests(const struct fly_helm *h)
{
    return h->held || (h->guard_tells && h->guard_held[0]);
}

static inline void fly_helm_forget_guard(struct fly_helm *h)
{
    h->guard_tells = 0;
    h->guard_held[0] = '\0';
}

static inline int fly_helm_is_owner(const struct fly_helm *h, const struct fly_helm_peer *peer)
{
    return h->owned && peer->id_len == h->owner_len && memcmp(peer->id, h->owner, h->owner_len) == 0 &&
           strcmp(peer->key, h->owner_key) == 0;
}

/* ---- helm_command.c: journal, events, what becomes of decisions and commands --------------------- */

/* One packed map, for the journal or an event. */
struct fly_helm_args {
    unsigned char bytes[1024];
    struct fly_pack pack;
};
struct fly_pack *fly_helm_args_begin(struct fly_helm_args *args, uint32_t entries);

int fly_helm_keep(struct fly_helm *h, const char *op, const struct fly_helm_args *args);
int fly_helm_keep_by(struct fly_helm *h, const char *op, const char *by);
/* What only tells what happened: a recording that is behind has less of it, and the count says so. */
void fly_helm_note(struct fly_helm *h, const char *op, const struct fly_helm_args *args);
/* An event whose data is {key: id}. */
void fly_helm_tell(struct fly_helm *h, enum fly_level level, const char *code, const char *key, const char *id,
                   const char *format, ...) FLY_PRINTF(6, 7);

void fly_helm_set_fate(struct fly_helm *h, const char *id, enum fly_helm_fate fate);
void fly_helm_expire(struct fly_helm *h, const char *why); /* the decision in hand will not be commanded */
void fly_helm_run_out(struct fly_helm *h);                 /* its time is over */
void fly_helm_leave_alone(struct fly_helm *h, const struct fly_chip_box *boxes, int32_t n);

void fly_helm_launch(struct fly_helm *h); /* the decision that is ready leaves as a command, if it may now */
int64_t fly_helm_leaves_at(const struct fly_helm *h);
void fly_helm_withdraw(struct fly_helm *h, const char *why);
void fly_helm_send_stop(struct fly_helm *h);
void fly_helm_stand_back(struct fly_helm *h, const char *why); /* the mode is one in which nothing is commanded */
void fly_helm_drop_owner(struct fly_helm *h, const char *why); /* what it had is withdrawn */
void fly_helm_reserve(struct fly_helm *h);                     /* frame numbers ahead, where they get few */

/* ---- helm_ask.c: requests ------------------------------------------------------------------------- */

const char *fly_helm_missing(const struct fly_helm_facts *facts); /* keys that a dose needs, NULL: all are there */
int fly_helm_needs_keys(const struct fly_helm_ask *ask);

#endif
