/* The helm: what it is asked. */
#include "plugin/helm_own.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char *fly_helm_missing(const struct fly_helm_facts *facts)
{
    int current = isfinite(facts->beam_current_na) && facts->beam_current_na > 0.0;
    int pixel = isfinite(facts->pixel_nm[0]) && isfinite(facts->pixel_nm[1]);

    return current && pixel ? NULL : current ? "pixel_nm" : pixel ? "beam_current_na" : "beam_current_na and pixel_nm";
}

int fly_helm_needs_keys(const struct fly_helm_ask *ask)
{
    return ask->mode > FLY_STEER_ADVISE || isfinite(ask->limits.dose_e_per_A2);
}

static int refuse(const char **code, const char *word, const char *format, ...) FLY_PRINTF(3, 4);
static int refuse(const char **code, const char *word, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *code = word;
    return fly_fail(FLY_ERANGE, "%s", text);
}

static int may_attach(const struct fly_helm *h, const struct fly_helm_peer *peer, const struct fly_helm_ask *ask,
                      const char **code)
{
    const char *missing = fly_helm_missing(&h->facts);

    if (ask->mode == FLY_STEER_AUTO && !ask->guard)
        return refuse(code, "guard_required",
                      "args.mode: auto is for the guard alone (`flyback guard`, args.as guard); allowed here are off, "
                      "advise, ask");
    /* A ROUTER gives names that begin with 0, and nobody can choose such a one. */
    if (ask->mode == FLY_STEER_AUTO && (peer->id_len == 0 || *(const unsigned char *)peer->id != 0))
        return refuse(code, "own_id",
                      "args.mode: in auto commands go to whoever has this routing id, so that the socket may not choose "
                      "one itself: leave ZMQ_ROUTING_ID (or IDENTITY) unset");
    if (h->owned && !fly_helm_is_owner(h, peer))
        return refuse(code, "busy", "%s has the beam, in mode %s; it is free after a steer.detach, or 5 s without a "
                                    "request from there", h->owner_name, fly_steer_mode_name(h->asked.mode));
    if (h->in_session && fly_helm_needs_keys(ask) && missing)
        return refuse(code, "uncalibrated",
                      "the session's start has no %s: without it a dose has no size, and mode ask, mode auto and "
                      "limits.dose_e_per_A2 are not to be had; off and advise are", missing);
    if (h->in_session && h->facts.off && ask->mode > FLY_STEER_ADVISE)
        return refuse(code, "steer_off", "steer.mode is off: set it to advise for others to steer");
    if (h->in_session && ask->limits.box_px < h->facts.chip_px)
        return refuse(code, "bad_value", "args.limits.box_px %g, at least a chip of %d px is measured",
                      ask->limits.box_px, h->facts.chip_px);
    return FLY_OK;
}

static void take_owner(struct fly_helm *h, const struct fly_helm_peer *peer)
{
    h->owned = 1;
    h->owner_len = peer->id_len < FLY_HELM_PEER_MAX ? peer->id_len : FLY_HELM_PEER_MAX;
    memcpy(h->owner, peer->id, h->owner_len);
    snprintf(h->owner_name, sizeof h->owner_name, "%s", peer->name);
    snprintf(h->owner_key, sizeof h->owner_key, "%s", peer->key);
    h->since_ns = fly_helm_unix_ns(h);
    h->heard_ns = fly_helm_mono_ns(h);
}

static int keep_attach(struct fly_helm *h, const struct fly_helm_peer *peer, const struct fly_helm_ask *ask)
{
    struct fly_helm_args args;

    fly_helm_args_begin(&args, 6);
    fly_pack_key_str(&args.pack, "by", peer->name);
    fly_pack_key_str(&args.pack, "mode", fly_steer_mode_name(ask->mode));
    fly_pack_key_bool(&args.pack, "guard", ask->guard);
    fly_pack_key_f64(&args.pack, "dose_e_per_A2", ask->limits.dose_e_per_A2);
    fly_pack_key_f64(&args.pack, "box_px", ask->limits.box_px);
    fly_pack_key_f64(&args.pack, "rate_hz", ask->limits.rate_hz);
    return fly_helm_keep(h, "steer.attach", &args);
}

int fly_helm_attach(struct fly_helm *helm, const struct fly_helm_peer *peer, const struct fly_helm_ask *ask,
                    const char **code)
{
    struct fly_helm *h = helm;
    int rc;

    fly_helm_tick(h); /* an owner that fell silent has gone by now */
    rc = may_attach(h, peer, ask, code);
    if (rc == FLY_OK && keep_attach(h, peer, ask) < 0)
        rc = refuse(code, "not_recorded", "the recording is behind: nothing was changed, try again");
    if (rc < 0)
        return rc;
    if (h->open || h->ready)
        fly_helm_expire(h, "the owner attached anew"); /* it holds to the limits before */
    if (!fly_helm_is_owner(h, peer) || h->asked.mode != ask->mode)
        fly_helm_tell(h, FLY_INFO, "steer_attached", "by", peer->name, "%s has the beam, in mode %s", peer->name,
                      fly_steer_mode_name(ask->mode));
    if (!fly_helm_is_owner(h, peer))
        take_owner(h, peer);
    h->fresh_from = h->orders.version + 1;
    h->asked = *ask;
    if (!ask->guard)
        fly_helm_forget_guard(h);
    h->capped = 0;
    h->n_left = 0;
    if (fly_helm_mode(h) < FLY_STEER_ASK)
        fly_helm_stand_back(h, "the owner wants no commands any more");
    else if (h->in_session)
        fly_helm_reserve(h);
    h->orders.again++;
    h->stale = 1;
    return FLY_OK;
}

int fly_helm_detach(struct fly_helm *helm, const struct fly_helm_peer *peer, const char **code)
{
    fly_helm_tick(helm);
    if (!fly_helm_is_owner(helm, peer))
        return refuse(code, "not_owner", helm->owned ? "another has the beam: only the owner can let it go"
                                                     : "nobody has the beam");
    fly_helm_drop_owner(helm, "the owner detached");
    return FLY_OK;
}

static int keep_verdict(struct fly_helm *h, const struct fly_helm_peer *peer, const char *decision_id, int approve,
                        const char *reason)
{
    struct fly_helm_args args;

    fly_helm_args_begin(&args, 4);
    fly_pack_key_str(&args.pack, "decision_id", decision_id);
    fly_pack_key_str(&args.pack, "verdict", approve ? "approve" : "veto");
    fly_pack_key_str(&args.pack, "by", peer->name);
    fly_pack_key_str(&args.pack, "reason", reason);
    return fly_helm_keep(h, "steer.decide", &args);
}

static int not_decidable(struct fly_helm *h, const char *decision_id, const char **code)
{
    for (int i = 0; i < FLY_HELM_FATES; i++)
        if (h->fates[i].id[0] && strcmp(h->fates[i].id, decision_id) == 0)
            return h->fates[i].fate == FLY_FATE_EXPIRED
                       ? refuse(code, "expired", "suggestion %s has expired", decision_id)
                       : refuse(code, "decided", "suggestion %s was decided", decision_id);
    if (fly_helm_mode(h) != FLY_STEER_ASK)
        return refuse(code, "not_asked", "the mode is %s: suggestions are decided in ask alone",
                      fly_steer_mode_name(fly_helm_mode(h)));
    return refuse(code, "unknown_decision", "args.decision_id '%s' is none that waits to be decided", decision_id);
}

int fly_helm_decide(struct fly_helm *helm, const struct fly_helm_peer *peer, const char *decision_id, int approve,
                    const char *reason, const char **code)
{
    struct fly_helm *h = helm;

    fly_helm_tick(h);
    if (!h->open || strcmp(h->decision.id, decision_id) != 0)
        return not_decidable(h, decision_id, code);
    if (approve && h->held)
        return refuse(code, "held", "%s holds: nothing is commanded until steer.resume", h->held_by);
    if (approve && fly_helm_rests(h))
        return refuse(code, "held", "%s holds by itself (%s): nothing is commanded until it is let go there", h->owner_name,
                      h->guard_held);
    if (keep_verdict(h, peer, decision_id, approve, reason) < 0)
        return refuse(code, "not_recorded", "the recording is behind: nothing was changed, try again");
    h->open = 0;
    h->stale = 1;
    fly_helm_set_fate(h, decision_id, approve ? FLY_FATE_APPROVED : FLY_FATE_VETOED);
    if (approve) {
        h->ready = 1;
        fly_helm_launch(h);
    } else {
        fly_helm_leave_alone(h, h->decision.boxes, h->decision.n_targets);
        h->orders.again++;
    }
    return FLY_OK;
}

int fly_helm_hold(struct fly_helm *helm, const struct fly_helm_peer *peer)
{
    struct fly_helm *h = helm;
    int journal, rc;

    /* First it holds, then it is written down. */
    if (!h->held)
        fly_helm_tell(h, FLY_INFO, "steer_held", "by", peer->name, "%s holds: no command leaves until steer.resume",
                      peer->name);
    h->held = 1;
    snprintf(h->held_by, sizeof h->held_by, "%s", peer->name);
    snprintf(h->held_role, sizeof h->held_role, "%s", peer->role);
    snprintf(h->held_id, sizeof h->held_id, "%s", peer->address);
    if (h->ready)
        fly_helm_expire(h, "held");
    if (fly_helm_in_flight(&h->commands[0]) || (h->owned && fly_helm_mode(h) >= FLY_STEER_ASK))
        fly_helm_send_stop(h);
    h->stale = 1;
    journal = fly_helm_keep_by(h, "steer.hold", h->held_by);
    rc = h->out.keep_hold(h->out.ctx, h->held_by);
    return rc < 0 ? rc : journal;
}

int fly_helm_resume(struct fly_helm *helm, const struct fly_helm_peer *peer)
{
    /* First it is written down, then it goes on. */
    int rc = fly_helm_keep_by(helm, "steer.resume", peer->name);

    if (rc < 0)
        return rc;
    rc = helm->out.keep_hold(helm->out.ctx, NULL);
    if (rc < 0) {
        if (helm->held && fly_helm_keep_by(helm, "steer.hold", helm->held_by) < 0)
            helm->out.count(helm->out.ctx, FLY_COUNT_UNRECORDED);
        return rc;
    }
    if (helm->held)
        fly_helm_tell(helm, FLY_INFO, "steer_resumed", "by", peer->name, "%s resumes what %s held", peer->name,
                      helm->held_by[0] ? helm->held_by : "somebody");
    helm->held = 0;
    helm->held_by[0] = helm->held_role[0] = helm->held_id[0] = '\0';
    helm->n_left = 0;
    helm->orders.again++;
    helm->stale = 1;
    fly_helm_tick(helm);
    return FLY_OK;
}
