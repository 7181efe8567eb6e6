/* The helm in a status: who owns the beam, and what is under way. */
#include "plugin/helm_desk.h"

#include <math.h>
#include <stdio.h>

static void pack_text(struct fly_pack *pack, const char *key, const char *text)
{
    fly_pack_str(pack, key);
    if (text && text[0])
        fly_pack_str(pack, text);
    else
        fly_pack_nil(pack);
}

void fly_helm_pack_held(struct fly_pack *pack, const struct fly_helm *helm)
{
    fly_pack_str(pack, "held");
    fly_pack_bool(pack, helm->held);
    pack_text(pack, "held_by", helm->held_by);
    pack_text(pack, "held_role", helm->held_role);
    pack_text(pack, "held_id", helm->held_id);
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
    fly_pack_str(pack, "name");
    fly_pack_str(pack, helm->owner_name);
    fly_pack_str(pack, "identity");
    fly_pack_str(pack, address);
    fly_pack_str(pack, "mode");
    fly_pack_str(pack, fly_steer_mode_name(helm->asked.mode));
    fly_pack_str(pack, "as");
    if (helm->asked.guard)
        fly_pack_str(pack, "guard");
    else
        fly_pack_nil(pack);
    fly_pack_str(pack, "limits");
    fly_helm_pack_limits(pack, &helm->asked.limits);
    fly_pack_str(pack, "since_ns");
    fly_pack_int(pack, helm->since_ns);
}

static void pack_dose(const struct fly_decision *d, struct fly_pack *pack)
{
    double unit = isfinite(d->dose_factor) ? d->dose_factor : 1.0;

    fly_pack_map(pack, 3);
    fly_pack_str(pack, "unit");
    fly_pack_str(pack, isfinite(d->dose_factor) ? "e_per_A2" : "us");
    fly_pack_str(pack, "mean");
    fly_pack_f64(pack, d->dose_mean_us * unit);
    fly_pack_str(pack, "max");
    fly_pack_f64(pack, d->dose_max_us * unit);
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
        fly_pack_str(pack, "cmd_id");
        fly_pack_str(pack, c->cmd_id);
        fly_pack_str(pack, "decision_id");
        fly_pack_str(pack, c->decision_id);
        fly_pack_str(pack, "state");
        fly_pack_str(pack, fly_helm_state_name(c->state));
        fly_pack_str(pack, "pixels");
        fly_pack_int(pack, c->pixels);
        fly_pack_str(pack, "came");
        fly_pack_int(pack, c->came);
        pack_text(pack, "reason", c->reason);
        fly_pack_str(pack, "dose_differs");
        fly_pack_bool(pack, c->differs_told);
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
    pack_text(pack, "mode", fly_steer_mode_name(mode));
    pack_text(pack, "policy", fly_options_word(options, "steer.policy"));
    fly_helm_pack_held(pack, helm);
    pack_text(pack, "guard_held", helm->guard_held);
    pack_text(pack, "idle", idle_words(stage, mode, &idle));
    pack_text(pack, "stop", d ? d->stop : NULL);
    pack_text(pack, "decision_id", d ? d->id : NULL);
    pack_text(pack, "undecided", helm->open ? helm->decision.id : NULL);
    fly_pack_str(pack, "pending");
    fly_pack_int(pack, fly_helm_under_way(helm) + (helm->ready != 0));
    fly_pack_str(pack, "commands");
    pack_commands(helm, pack);
    fly_pack_str(pack, "expected_error");
    fly_pack_f64(pack, d ? d->expected_error : NAN);
    fly_pack_str(pack, "dose");
    if (d)
        pack_dose(d, pack);
    else
        fly_pack_nil(pack);
}
