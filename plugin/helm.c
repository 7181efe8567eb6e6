#include "plugin/helm_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const char *fly_steer_mode_name(enum fly_steer_mode mode)
{
    static const char *const names[FLY_STEER_MODES] = {"off", "advise", "ask", "auto"};

    return names[mode];
}

const char *fly_helm_state_name(enum fly_helm_state state)
{
    static const char *const names[] = {"none", "sent", "received", "started", "done", "rejected", "withdrawn"};

    return names[state];
}

void fly_helm_init(struct fly_helm *helm, const struct fly_helm_out *out, const struct fly_clock *clock)
{
    memset(helm, 0, sizeof *helm);
    helm->out = *out;
    helm->clock = *clock;
    helm->orders.beam_px[0] = helm->orders.beam_px[1] = NAN;
    helm->stale = 1;
}

enum fly_steer_mode fly_helm_mode(const struct fly_helm *helm)
{
    if (helm->facts.off)
        return FLY_STEER_OFF;
    if (!helm->owned)
        return FLY_STEER_ADVISE;
    return helm->capped && helm->asked.mode > FLY_STEER_ADVISE ? FLY_STEER_ADVISE : helm->asked.mode;
}

int fly_helm_under_way(const struct fly_helm *helm)
{
    return fly_helm_in_flight(&helm->commands[0]);
}

/* ---- a session --------------------------------------------------------------------------------- */

void fly_helm_recall(struct fly_helm *helm, const char *by)
{
    helm->held = 1;
    snprintf(helm->held_by, sizeof helm->held_by, "%s", by);
}

/* What either knows, the session's journal or this process, the other is to know as well. */
static void begin_held(struct fly_helm *h, const struct fly_helm_memory *memory)
{
    int journal = memory && memory->held, rc = FLY_OK;

    if (journal && !h->held) {
        fly_helm_recall(h, memory->held_by);
        rc = h->out.keep_hold(h->out.ctx, h->held_by);
    } else if (h->held && !journal) {
        rc = fly_helm_keep_by(h, "steer.hold", h->held_by);
    }
    if (rc < 0)
        h->out.count(h->out.ctx, FLY_COUNT_UNRECORDED);
}

void fly_helm_begin(struct fly_helm *helm, const struct fly_helm_facts *facts, const struct fly_helm_memory *memory)
{
    struct fly_helm *h = helm;
    const char *missing = fly_helm_missing(facts);

    fly_helm_end(h);
    memset(h->commands, 0, sizeof h->commands); /* those of the session before */
    h->facts = *facts;
    h->in_session = 1;
    h->frame_next = h->reserved = h->reserving = 0;
    h->frames_told = 0;
    h->retry_ns = 0;
    h->n_left = 0;
    if (memory && memory->there) {
        h->frame_next = h->reserved = memory->frames_through;
        h->last_number = memory->last_number > h->last_number ? memory->last_number : h->last_number;
    }
    begin_held(h, memory);
    h->capped = h->owned && fly_helm_needs_keys(&h->asked) && missing;
    if (h->capped)
        fly_helm_tell(h, FLY_WARNING, "steer_uncalibrated", "missing", missing,
                      "%s gets advice alone in this session, not mode %s: its start has no %s", h->owner_name,
                      fly_steer_mode_name(h->asked.mode), missing);
    if (h->owned && fly_helm_mode(h) >= FLY_STEER_ASK)
        fly_helm_reserve(h);
    h->orders.again++;
    h->stale = 1;
}

void fly_helm_update(struct fly_helm *helm, const struct fly_helm_facts *facts)
{
    enum fly_steer_mode before = fly_helm_mode(helm);

    helm->facts = *facts;
    if (fly_helm_mode(helm) < FLY_STEER_ASK && before >= FLY_STEER_ASK)
        fly_helm_stand_back(helm, "steer.mode was set to off");
    if (fly_helm_mode(helm) != before)
        helm->orders.again++;
    helm->stale = 1;
}

void fly_helm_end(struct fly_helm *helm)
{
    struct fly_helm *h = helm;

    if (!h->in_session)
        return;
    if (h->open || h->ready)
        fly_helm_expire(h, "the session ended");
    if (fly_helm_in_flight(&h->commands[0])) {
        fly_helm_send_stop(h);
        fly_helm_withdraw(h, "the session ended");
    }
    for (int i = 0; i < FLY_HELM_COMMANDS; i++)
        h->commands[i].bars = 0;
    h->in_session = 0;
    h->stale = 1;
}

/* ---- what happens ------------------------------------------------------------------------------ */

void fly_helm_heard(struct fly_helm *helm, const struct fly_helm_peer *peer)
{
    if (fly_helm_is_owner(helm, peer))
        helm->heard_ns = fly_helm_mono_ns(helm);
}

void fly_helm_guard_hold(struct fly_helm *helm, const struct fly_helm_peer *peer, const char *words)
{
    struct fly_helm *h = helm;
    int held = words[0] != '\0', was_held = h->guard_held[0] != '\0';

    if (!fly_helm_is_owner(h, peer) || !h->asked.guard)
        return;
    h->guard_tells = 1;
    snprintf(h->guard_held, sizeof h->guard_held, "%s", words);
    if (held && h->ready)
        fly_helm_expire(h, "the guard holds");
    if (held == was_held)
        return;
    if (held) {
        fly_helm_tell(h, FLY_INFO, "guard_held", "by", h->owner_name,
                      "%s holds by itself (%s): no command leaves until it is let go there", h->owner_name, words);
        return;
    }
    fly_helm_tell(h, FLY_INFO, "guard_resumed", "by", h->owner_name, "%s holds no longer", h->owner_name);
    h->orders.again++;
    h->stale = 1;
    fly_helm_tick(h);
}

int fly_helm_decision(struct fly_helm *helm, struct fly_decision *decision)
{
    struct fly_helm *h = helm;
    enum fly_steer_mode mode = fly_helm_mode(h);

    fly_helm_tick(h);
    if (!h->in_session || decision->orders < h->fresh_from ||
        (mode == FLY_STEER_ASK && (h->open || h->ready || fly_helm_in_flight(&h->commands[0]))))
        return 0;
    decision->valid_until_ns = fly_helm_unix_ns(h) + (mode == FLY_STEER_ASK ? h->facts.ask_ns : 2 * h->facts.cycle_ns);
    if (mode < FLY_STEER_ASK || decision->n_targets == 0 || (mode == FLY_STEER_AUTO && fly_helm_rests(h)))
        return 1;
    if (h->ready)
        fly_helm_set_fate(h, h->decision.id, FLY_FATE_EXPIRED); /* overtaken by a newer one */
    h->open = mode == FLY_STEER_ASK;
    h->ready = !h->open;
    h->decision = *decision;
    fly_helm_set_fate(h, decision->id, h->open ? FLY_FATE_OPEN : FLY_FATE_APPROVED);
    h->stale = 1;
    fly_helm_launch(h);
    return 1;
}

static void refuse_ack(struct fly_helm *h, const struct fly_ack *ack, const char *why)
{
    h->out.count(h->out.ctx, FLY_COUNT_ACKS_REFUSED);
    fly_helm_tell(h, FLY_WARNING, "ack_refused", "cmd_id", ack->cmd_id, "ack %s of command %s: %s",
                  fly_ack_status_name(ack->status), ack->cmd_id, why);
}

/* Why an ack cannot move a command on, or NULL. */
static const char *cannot_move(enum fly_helm_state from, enum fly_helm_state to)
{
    if (from == FLY_HELM_WITHDRAWN)
        return "it was withdrawn";
    if (from == FLY_HELM_DONE || from == FLY_HELM_REJECTED)
        return "it is over";
    if (to <= from)
        return to == from ? "said before" : "out of order";
    return NULL;
}

static void note_ack(struct fly_helm *h, const struct fly_ack *ack)
{
    struct fly_helm_args args;

    fly_helm_args_begin(&args, ack->has_achieved ? 6 : 3);
    fly_pack_key_str(&args.pack, "cmd_id", ack->cmd_id);
    fly_pack_key_str(&args.pack, "status", fly_ack_status_name(ack->status));
    fly_pack_key_str(&args.pack, "reason", ack->reason);
    if (ack->has_achieved) {
        fly_pack_key_int(&args.pack, "frames", ack->achieved.frames);
        fly_pack_key_int(&args.pack, "pixels", ack->achieved.pixels);
        fly_pack_key_f64(&args.pack, "dwell_us", ack->achieved.dwell_us);
    }
    fly_helm_note(h, "steer.ack", &args);
}

/* Verdicts of the guard (PROTOCOL.md) that are about this moment, not about the place: it may be asked for again. */
static int says_not_now(const char *reason)
{
    static const char *const words[] = {"journal: ", "detached: ", "held: ", "session: ", "ledger: ", "expired: ",
                                        "ahead: ", "stale: ", "open: ", "rate: ", "revisit: "};
    static const char guard[] = "guard: ";

    if (strncmp(reason, guard, sizeof guard - 1) != 0)
        return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(reason + sizeof guard - 1, words[i], strlen(words[i])) == 0)
            return 1;
    return 0;
}

/* A hold of the guard's own, as a verdict shows it; not ours, of which the guard may not have heard the end. NULL: it is
 * none. */
static const char *held_by_guard(const struct fly_helm *h, const struct fly_ack *ack)
{
    static const char held[] = "guard: held: ", ours[] = "held at the plugin";
    const char *words = ack->reason + sizeof held - 1;

    if (h->held || !h->asked.guard || strncmp(ack->reason, held, sizeof held - 1) != 0 ||
        strncmp(words, ours, sizeof ours - 1) == 0)
        return NULL;
    return words[0] ? words : "held";
}

static void reject(struct fly_helm *h, struct fly_helm_command *c, const struct fly_ack *ack)
{
    const char *held = held_by_guard(h, ack);
    int known = held && h->guard_held[0];

    c->bars = 0;
    snprintf(c->reason, sizeof c->reason, "%s", ack->reason);
    if (!h->guard_tells)
        snprintf(h->guard_held, sizeof h->guard_held, "%s", held ? held : "");
    if (!says_not_now(ack->reason))
        fly_helm_leave_alone(h, c->boxes, c->n_boxes);
    h->out.count(h->out.ctx, FLY_COUNT_COMMANDS_REJECTED);
    if (known)
        return; /* each of its commands until it resumes */
    fly_helm_tell(h, FLY_WARNING, "command_rejected", "cmd_id", c->cmd_id, "command %s was rejected: %s", c->cmd_id,
                  ack->reason[0] ? ack->reason : "no reason was given");
}

/* What was measured of a command, as its data or its acquisition say. */
struct measured {
    const char *who;
    double dwell_us, commanded_us;
    int64_t outside_px;
};

/* A dose that is not the one commanded: told with the first of it, once a command. */
static void tell_differs(struct fly_helm *h, struct fly_helm_command *c, const struct measured *m)
{
    struct fly_helm_args data;
    char text[400];

    if (c->differs_told || (m->outside_px <= 0 &&
                            !(fabs(m->dwell_us - m->commanded_us) > FLY_HELM_DWELL_PART * m->commanded_us)))
        return;
    c->differs_told = 1;
    if (m->outside_px > 0)
        snprintf(text, sizeof text, "%s command %s cover %" PRId64 " px that were not commanded", m->who, c->cmd_id,
                 m->outside_px);
    else
        snprintf(text, sizeof text, "%s command %s came with %g us a pixel, commanded were %g us: the dose of these chips "
                 "is not what was planned", m->who, c->cmd_id, m->dwell_us, m->commanded_us);
    fly_helm_args_begin(&data, 4);
    fly_pack_key_str(&data.pack, "cmd_id", c->cmd_id);
    fly_pack_key_f64(&data.pack, "dwell_us", m->dwell_us);
    fly_pack_key_f64(&data.pack, "commanded_us", m->commanded_us);
    fly_pack_key_int(&data.pack, "outside_px", m->outside_px);
    h->out.tell(h->out.ctx, FLY_WARNING, "dose_differs", data.bytes, data.pack.len, text);
}

/* What the acquisition says that it did: data may tell another dwell than the beam had. */
static void hold_against(struct fly_helm *h, struct fly_helm_command *c, const struct fly_ack *ack)
{
    struct measured m = {"by its acquisition, pixels of", c->dwell_us, c->dwell_us, 0};

    if (!ack->has_achieved)
        return;
    if (isfinite(ack->achieved.dwell_us) && ack->achieved.pixels > 0)
        m.dwell_us = ack->achieved.dwell_us;
    if (ack->achieved.pixels > c->pixels)
        m.outside_px = ack->achieved.pixels - c->pixels;
    tell_differs(h, c, &m);
}

void fly_helm_ack(struct fly_helm *helm, const struct fly_helm_peer *peer, const struct fly_ack *ack)
{
    struct fly_helm *h = helm;
    enum fly_helm_state to = (enum fly_helm_state)(FLY_HELM_RECEIVED + (int)ack->status);
    struct fly_helm_command *c = NULL;
    const char *why;

    fly_helm_heard(h, peer);
    fly_helm_tick(h);
    for (int i = 0; i < FLY_HELM_COMMANDS && !c; i++)
        if (h->commands[i].state && strcmp(h->commands[i].cmd_id, ack->cmd_id) == 0)
            c = &h->commands[i];
    int is_stop = !c && h->stop.state && strcmp(h->stop.cmd_id, ack->cmd_id) == 0;

    why = !fly_helm_is_owner(h, peer)  ? "it does not come from the owner"
          : !c && !is_stop    ? "no such command"
                              : cannot_move(is_stop ? h->stop.state : c->state, to);
    if (why) {
        refuse_ack(h, ack, why);
        return;
    }
    note_ack(h, ack);
    if (is_stop) {
        h->stop.state = to;
        return;
    }
    c->state = to;
    c->due_ns = fly_helm_mono_ns(h) + (to == FLY_HELM_DONE ? FLY_HELM_DATA_NS : 2 * c->work_ns + FLY_HELM_GRACE_NS);
    if (to == FLY_HELM_REJECTED)
        reject(h, c, ack);
    else if (!h->guard_tells)
        h->guard_held[0] = '\0'; /* it let the command pass */
    if (to == FLY_HELM_DONE) {
        h->out.count(h->out.ctx, FLY_COUNT_COMMANDS_DONE);
        hold_against(h, c, ack);
    }
    if (to >= FLY_HELM_DONE)
        h->orders.again++;
    h->stale = 1;
    fly_helm_tick(h);
}

void fly_helm_answer(struct fly_helm *helm, const struct fly_answer *answer)
{
    struct fly_helm *h = helm;
    struct measured m = {"data of", answer->dwell_us, answer->commanded_us, answer->outside_px};

    for (int i = 0; i < FLY_HELM_COMMANDS; i++) {
        struct fly_helm_command *c = &h->commands[i];

        if (!c->state || strcmp(c->cmd_id, answer->cmd_id) != 0)
            continue;
        c->came = answer->image_px > answer->eds_px ? answer->image_px : answer->eds_px;
        tell_differs(h, c, &m);
        if (c->bars && c->came >= c->pixels) {
            c->bars = 0;
            h->orders.again++;
            h->stale = 1;
        }
    }
}

/* ---- time -------------------------------------------------------------------------------------- */

static void tell_short(struct fly_helm *h, const struct fly_helm_command *c)
{
    if (c->came < c->pixels)
        fly_helm_tell(h, FLY_WARNING, "data_short", "cmd_id", c->cmd_id,
                      "command %s is done, and data of %" PRId64 " of its %" PRId64
                      " px came", c->cmd_id, c->came, c->pixels);
}

void fly_helm_tick(struct fly_helm *helm)
{
    struct fly_helm *h = helm;
    int64_t mono = fly_helm_mono_ns(h), now = fly_helm_unix_ns(h);

    if (h->owned && mono - h->heard_ns >= FLY_HELM_SILENCE_NS) {
        fly_helm_tell(h, FLY_WARNING, "owner_silent", "owner", h->owner_name,
                      "%s has the beam no longer: nothing was heard from it "
                      "for 5 s", h->owner_name);
        fly_helm_drop_owner(h, "the owner fell silent");
    }
    if ((h->open || h->ready) && now >= h->decision.valid_until_ns)
        fly_helm_run_out(h);
    if (h->commands[0].state == FLY_HELM_SENT && now >= h->commands[0].valid_until_ns) {
        fly_helm_send_stop(h); /* its ack may be late, not its beam */
        fly_helm_withdraw(h, "it was not acknowledged in time");
    } else if (fly_helm_in_flight(&h->commands[0]) && h->commands[0].state != FLY_HELM_SENT &&
               mono >= h->commands[0].due_ns) {
        fly_helm_send_stop(h);
        fly_helm_withdraw(h, "it was taken, but not done in twice its time");
    }
    for (int i = 0; i < FLY_HELM_COMMANDS; i++) {
        struct fly_helm_command *c = &h->commands[i];

        if (c->state != FLY_HELM_DONE || !c->bars || mono < c->due_ns)
            continue;
        tell_short(h, c);
        c->bars = 0;
        h->orders.again++;
        h->stale = 1;
    }
    if (h->reserving == 0 && h->owned && h->in_session && fly_helm_mode(h) >= FLY_STEER_ASK)
        fly_helm_reserve(h);
    fly_helm_launch(h);
}

static void sooner(int64_t *due, int64_t at)
{
    *due = at < *due ? at : *due;
}

int64_t fly_helm_due(const struct fly_helm *helm)
{
    const struct fly_helm *h = helm;
    int64_t due = INT64_MAX, ahead = fly_helm_mono_ns(h) - fly_helm_unix_ns(h); /* of Unix time to monotonic */

    if (h->owned)
        sooner(&due, h->heard_ns + FLY_HELM_SILENCE_NS);
    if (h->open || h->ready)
        sooner(&due, h->decision.valid_until_ns + ahead);
    if (h->commands[0].state == FLY_HELM_SENT)
        sooner(&due, h->commands[0].valid_until_ns + ahead);
    else if (fly_helm_in_flight(&h->commands[0]))
        sooner(&due, h->commands[0].due_ns);
    else if (h->ready && !fly_helm_rests(h) && h->frame_next < h->reserved)
        sooner(&due, fly_helm_leaves_at(h));
    for (int i = 0; i < FLY_HELM_COMMANDS; i++)
        if (h->commands[i].state == FLY_HELM_DONE && h->commands[i].bars)
            sooner(&due, h->commands[i].due_ns);
    return due;
}

/* ---- orders ------------------------------------------------------------------------------------ */

static void bar(struct fly_steer_orders *orders, const struct fly_chip_box *boxes, int32_t n)
{
    for (int32_t i = 0; i < n && orders->n_barred < FLY_STEER_BARRED_MAX; i++)
        orders->barred[orders->n_barred++] = boxes[i];
}

const struct fly_steer_orders *fly_helm_orders(struct fly_helm *helm)
{
    struct fly_helm *h = helm;
    struct fly_steer_orders *orders = &h->orders;

    if (!h->stale)
        return orders;
    h->stale = 0;
    orders->version++;
    orders->serial = h->facts.serial;
    orders->mode = fly_helm_mode(h);
    orders->wanted = h->in_session && orders->mode != FLY_STEER_OFF &&
                     !(orders->mode == FLY_STEER_ASK && (h->open || h->ready || fly_helm_in_flight(&h->commands[0])));
    orders->limits = (struct fly_steer_limits){NAN, NAN, NAN};
    if (h->owned && !h->capped)
        orders->limits = h->asked.limits;
    orders->n_barred = 0;
    for (int i = 0; i < FLY_HELM_COMMANDS; i++)
        if (h->commands[i].bars)
            bar(orders, h->commands[i].boxes, h->commands[i].n_boxes);
    bar(orders, h->left, h->n_left);
    return orders;
}
