/* The helm in a status: who owns the beam, and what is under way. */
#include "plugin/helm_desk.h"

#include <math.h>
#include <stdio.h>

void fly_helm_pack_held(struct fly_pack *pack, const struct fly_helm *helm)
{
    fly_pack_key_bool(pack, "held", helm->held);
    fly_pack_key_text(pack, "held_by", helm->held_by);
    fly_pack_key_text(pack, "held_role", helm->held_role);
    fly_pack_key_text(pack, "held_id", helm->held_id);
}

static void pack_owner(const struct fly_helm *helm, struct fly_pack *pack)
{
    char address[FLY_STEER_BY_MAX + 1];

    if (!helm->owned) {
        fly_pack_nil(pack);
        return;
    }
    (void)fly_helm_name_peer(address, &(struct fly_part){helm->owner, helm->owner_len});
    fly_pack_map(pack, 6);
    fly_pack_key_str(pack, "name", helm->owner_name);
    fly_pack_key_str(pack, "identity", address);
    fly_pack_key_str(pack, "mode", fly_steer_mode_name(helm->asked.mode));
    fly_pack_key_text(pack, "as", helm->asked.guard ? "guard" : NULL);
    fly_pack_str(pack, "limits");
    fly_helm_pack_limits(pack, &helm->asked.limits);
    fly_pack_key_int(pack, "since_ns", helm->since_ns);
}

static void pack_dose(const struct fly_decision *d, struct fly_pack *pack)
{
    double unit = isfinite(d->dose_factor) ? d->dose_factor : 1.0;

    fly_pack_map(pack, 3);
    fly_pack_key_str(pack, "unit", isfinite(d->dose_factor) ? "e_per_A2" : "us");
    fly_pack_key_f64(pack, "mean", d->dose_mean_us * unit);
    fly_pack_key_f64(pack, "max", d->dose_max_us * unit);
}

/* Newest first. */
static void pack_commands(const struct fly_helm *helm, struct fly_pack *pack)
{
    uint32_t n = 0;

    while (n < FLY_HELM_COMMANDS && helm->commands[n].state)
        n++;
    fly_pack_array(pack, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct fly_helm_command *c = &helm->commands[i];

        fly_pack_map(pack, 7);
        fly_pack_key_str(pack, "cmd_id", c->cmd_id);
        fly_pack_key_str(pack, "decision_id", c->decision_id);
        fly_pack_key_str(pack, "state", fly_helm_state_name(c->state));
        fly_pack_key_int(pack, "pixels", c->pixels);
        fly_pack_key_int(pack, "came", c->came);
        fly_pack_key_text(pack, "reason", c->reason);
        fly_pack_key_bool(pack, "dose_differs", c->differs_told);
    }
}

/* Why nothing is proposed, or "". */
static const char *idle_words(struct fly_stage_publish *s, enum fly_steer_mode mode, struct fly_steer_idle *idle)
{
    const struct fly_helm *helm = &s->steer.helm;
    char last[201];

    if (mode == FLY_STEER_OFF)
        return helm->in_session && !helm->facts.off ? "whoever has the beam wants no proposals (mode off)" : "steer.mode is off";
    if (!s->info)
        return "there is no session";
    if (!helm->in_session) {
        if (!fly_bus_look_idle(s->config.bus, s->info->serial, idle) || !idle->why[0])
            return "the session is over";
        snprintf(last, sizeof last, "%.200s", idle->why);
        snprintf(idle->why, sizeof idle->why, "the session is over; before its end: %s", last);
        return idle->why;
    }
    if (fly_helm_under_way(helm) && mode == FLY_STEER_ASK)
        return "a command is under way";
    return fly_bus_look_idle(s->config.bus, s->info->serial, idle) ? idle->why : "there is no map yet to plan from";
}

void fly_helm_desk_status(struct fly_stage_publish *stage, struct fly_pack *pack)
{
    const struct fly_helm *helm = &stage->steer.helm;
    const struct fly_options *options = stage->info ? &stage->in_force : stage->config.options;
    struct fly_steer_idle idle;
    const struct fly_decision *d = stage->steer.told ? &stage->steer.decision : NULL;
    /* Between sessions the helm knows nothing of what is set. */
    enum fly_steer_mode mode = helm->in_session ? fly_helm_mode(helm)
                               : options->steer.mode == FLY_STEER_OFF ? FLY_STEER_OFF
                               : helm->owned ? helm->asked.mode
                                             : FLY_STEER_ADVISE;

    fly_pack_str(pack, "owner");
    pack_owner(helm, pack);
    fly_pack_str(pack, "steer");
    fly_pack_map(pack, 15);
    fly_pack_key_text(pack, "mode", fly_steer_mode_name(mode));
    fly_pack_key_text(pack, "policy", fly_options_word(options, "steer.policy"));
    fly_helm_pack_held(pack, helm);
    fly_pack_key_text(pack, "guard_held", helm->guard_held);
    fly_pack_key_text(pack, "idle", idle_words(stage, mode, &idle));
    fly_pack_key_text(pack, "stop", d ? d->stop : NULL);
    fly_pack_key_text(pack, "decision_id", d ? d->id : NULL);
    fly_pack_key_text(pack, "undecided", helm->open ? helm->decision.id : NULL);
    fly_pack_key_int(pack, "pending", fly_helm_under_way(helm) + (helm->ready != 0));
    fly_pack_str(pack, "commands");
    pack_commands(helm, pack);
    fly_pack_key_f64(pack, "expected_error", d ? d->expected_error : NAN);
    fly_pack_str(pack, "dose");
    if (d)
        pack_dose(d, pack);
    else
        fly_pack_nil(pack);
}
