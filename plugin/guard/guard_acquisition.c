/* The guard as a server: what is asked at guard.listen, acks, and what the acquisition is told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/guard/guard_state.h"
#include "stream/wire_keys.h"

static const char *const ops[] = {"status", "steer.attach", "steer.detach", "steer.hold", "steer.resume"};
enum { OPS = sizeof ops / sizeof *ops };

#define STEERS ((uint32_t)(FLY_PEER_CONTROLLER | FLY_PEER_OPERATOR))
static const char steers_words[] = "controller, operator";

/* ---- telling ------------------------------------------------------------------------------------------- */

static int send_to(struct fly_guard *g, const void *peer, size_t peer_len, const void *bytes, size_t len)
{
    return fly_endpoint_send(g->listen_end, (struct fly_part[]){{peer, peer_len}, {"", 0}, {bytes, len}}, 3);
}

static int send_here(struct fly_guard *g, const void *bytes, size_t len)
{
    struct fly_guard_acquisition *a = &g->acquisition;
    int rc;

    if (!a->attached)
        return fly_fail(FLY_EIO, "no acquisition is attached");
    rc = send_to(g, a->peer, a->peer_len, bytes, len);
    if (rc == FLY_EAGAIN)
        (void)fly_fail(FLY_EAGAIN, "acquisition %s does not read", a->name);
    return rc;
}

int fly_guard_acquisition_command(struct fly_guard *g, const struct fly_command *command)
{
    const struct fly_guard_session *s = &g->book.session;
    struct fly_steer_field field = {.height_px = s->height_px, .width_px = s->width_px,
                                    .pixel_nm = {s->pixel_nm[0], s->pixel_nm[1]}};
    struct fly_pack pack;
    int rc;

    fly_pack_init(&pack, g->header, sizeof g->header);
    rc = fly_command_encode(&pack, command, &field);
    return rc < 0 ? rc : send_here(g, pack.bytes, pack.len);
}

void fly_guard_acquisition_beat(struct fly_guard *g)
{
    unsigned char bytes[512];
    struct fly_pack pack;

    if (!g->acquisition.attached)
        return;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 6);
    fly_pack_key_str(&pack, "type", "heartbeat");
    fly_pack_key_int(&pack, "t_ns", fly_guard_unix(g));
    fly_pack_key_str(&pack, "session", g->plugin.session);
    fly_pack_key_str(&pack, "state", fly_guard_state_name(fly_guard_state_of(g)));
    fly_pack_key_bool(&pack, "held", fly_guard_held(g));
    fly_pack_str(&pack, "safe");
    if (g->order.active)
        fly_pack_str(&pack, fly_command_kind_name(g->order.kind));
    else
        fly_pack_nil(&pack);
    /* A peer whose connection is gone is told at once, before its silence says so. */
    if (send_here(g, pack.bytes, pack.len) == FLY_EIO)
        fly_guard_part(g, "its connection is gone", 1);
}

/* ---- status -------------------------------------------------------------------------------------------- */

static void pack_limits(const struct fly_guard *g, struct fly_pack *pack)
{
    const char *key, *text;
    double value;
    uint32_t n = 0;

    while (fly_guard_limits_at(&g->in_force, (int)n, &key, &value, &text))
        n++;
    fly_pack_str(pack, "limits");
    fly_pack_map(pack, n);
    for (int i = 0; fly_guard_limits_at(&g->in_force, i, &key, &value, &text); i++) {
        if (text)
            fly_pack_key_text(pack, key, text);
        else
            fly_pack_key_f64(pack, key, value);
    }
}

static void pack_sides(const struct fly_guard *g, struct fly_pack *pack)
{
    const struct fly_guard_acquisition *a = &g->acquisition;

    fly_pack_str(pack, "plugin");
    fly_pack_map(pack, 5);
    fly_pack_key_text(pack, "address", g->config.plugin);
    fly_pack_key_bool(pack, "heard", g->plugin.heard && !g->plugin.lost);
    fly_pack_key_bool(pack, "attached", g->plugin.attached);
    fly_pack_key_bool(pack, "held", g->plugin.held);
    fly_pack_key_text(pack, "refusal", g->plugin.refusal);
    fly_pack_str(pack, "acquisition");
    if (!a->attached) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, 3);
    fly_pack_key_text(pack, "name", a->name);
    fly_pack_key_text(pack, "mode", fly_guard_modes[a->mode]);
    fly_pack_key_bool(pack, "gone", a->gone);
}

static void pack_dose(const struct fly_guard *g, struct fly_pack *pack)
{
    fly_pack_str(pack, "dose");
    fly_pack_map(pack, 4);
    fly_pack_key_text(pack, "unit", "e_per_A2");
    fly_pack_key_f64(pack, "max", g->has_book ? fly_guard_book_worst(&g->book) : NAN);
    fly_pack_key_f64(pack, "mean", g->has_book ? fly_guard_book_mean(&g->book) : NAN);
    fly_pack_key_uint(pack, "cell_px", g->has_book ? (uint64_t)g->book.cell_px : 0);
}

static void pack_status(const struct fly_guard *g, struct fly_pack *pack)
{
    fly_pack_map(pack, 10);
    fly_pack_key_text(pack, "state", fly_guard_state_name(fly_guard_state_of(g)));
    fly_pack_key_str(pack, "session", g->plugin.session);
    pack_sides(g, pack);
    fly_pack_key_bool(pack, "held", fly_guard_held(g));
    pack_limits(g, pack);
    pack_dose(g, pack);
    fly_pack_str(pack, "commands");
    fly_pack_map(pack, 3);
    fly_pack_key_uint(pack, "passed", g->passed);
    fly_pack_key_uint(pack, "refused", g->refused);
    fly_pack_key_uint(pack, "open", g->has_book ? (uint64_t)g->book.n_open : 0);
    fly_pack_str(pack, "last");
    if (g->passed + g->refused > 0) {
        fly_pack_map(pack, 3);
        fly_pack_key_text(pack, "cmd_id", g->last_id);
        fly_pack_key_text(pack, "verdict", fly_guard_verdict_name(g->last_verdict));
        fly_pack_key_text(pack, "text", g->last);
    } else {
        fly_pack_nil(pack);
    }
    fly_pack_str(pack, "journal");
    fly_pack_map(pack, 2);
    fly_pack_key_text(pack, "path", g->config.journal);
    fly_pack_key_bool(pack, "ok", g->journal.ok && !g->journal.broken);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

struct asking {
    struct fly_guard *g;
    const struct fly_msg *msg;
    struct fly_request request;
    struct fly_pack pack;
};

static void answer_error(struct asking *q, const char *code, const char *text)
{
    fly_pack_init(&q->pack, q->g->header, sizeof q->g->header);
    fly_reply_error(&q->pack, &q->request, code, text);
}

/* Of the same routing id and, with keys, the same key: an id alone can be taken up by another. */
static int is_owner(const struct fly_guard *g, const struct fly_msg *msg)
{
    const struct fly_guard_acquisition *a = &g->acquisition;
    const struct fly_part *peer = &msg->parts[0];

    return a->attached && a->peer_len == peer->len && memcmp(a->peer, peer->bytes, peer->len) == 0 &&
           strcmp(a->key_name, msg->peer) == 0;
}

/* A ROUTER gives ids that begin with 0, and nobody can choose such a one. */
static int chose_id(const struct fly_msg *msg)
{
    return msg->parts[0].len == 0 || *(const unsigned char *)msg->parts[0].bytes != 0;
}

/* 0 with an answer when none of these roles is the peer's. */
static int allowed(struct asking *q, uint32_t roles, const char *who)
{
    char text[160], have[64];

    if (q->msg->roles & roles)
        return 1;
    snprintf(text, sizeof text, "%s is not for the role %s; allowed: %s", q->request.op,
             fly_peer_roles_text(q->msg->roles, have, sizeof have), who);
    answer_error(q, "forbidden", text);
    return 0;
}

static enum fly_refusal read_attach(struct fly_value args, int32_t *mode, struct fly_guard_tighter *tighter)
{
    struct fly_value as;
    enum fly_refusal why = fly_arg_word(args, "mode", fly_guard_modes, FLY_GUARD_MODES, mode);

    if (why != FLY_REFUSE_NONE)
        return why;
    if (fly_value_get(args, "as", &as) && fly_value_kind(as) != FLY_KIND_NIL)
        return FLY_REFUSE(FLY_REFUSE_BAD_VALUE, "args.as: here is the guard, and an acquisition attaches as itself");
    return fly_arg_limits(args, &tighter->dose_e_per_A2, &tighter->box_px, &tighter->rate_hz);
}

static void name_peer(struct fly_guard_acquisition *a, const struct fly_msg *msg)
{
    const struct fly_part *peer = &msg->parts[0];
    size_t at = 0;

    a->peer_len = peer->len;
    memcpy(a->peer, peer->bytes, peer->len);
    snprintf(a->key_name, sizeof a->key_name, "%s", msg->peer);
    if (msg->peer[0]) {
        snprintf(a->name, sizeof a->name, "%s", msg->peer);
        return;
    }
    for (size_t i = 0; i < peer->len && at + 2 < sizeof a->name; i++)
        at += (size_t)snprintf(a->name + at, sizeof a->name - at, "%02x", ((const unsigned char *)peer->bytes)[i]);
}

static void attach(struct asking *q, int32_t mode, const struct fly_guard_tighter *tighter)
{
    struct fly_guard *g = q->g;
    struct fly_guard_acquisition *a = &g->acquisition;
    struct fly_guard_limits in_force = fly_guard_limits_tighten(&g->config.limits, tighter);

    if (!is_owner(g, q->msg)) {
        *a = (struct fly_guard_acquisition){0};
        name_peer(a, q->msg);
        /* What another one had under way is none of this one's business, nor can it say how it ended. */
        fly_guard_abandon(g, "another acquisition attached");
        g->told_held = 0;
    } else if (a->attached && a->mode == (enum fly_guard_mode)mode &&
               in_force.chip_dose_e_per_A2 == g->in_force.chip_dose_e_per_A2 &&
               in_force.box_px == g->in_force.box_px && in_force.commands_per_s == g->in_force.commands_per_s) {
        return; /* said again */
    }
    a->attached = 1;
    a->gone = 0;
    a->heard_ns = fly_guard_mono(g);
    a->mode = (enum fly_guard_mode)mode;
    g->in_force = in_force;
    fly_guard_plugin_leave(g); /* and attach anew, as this one wants it */
    g->plugin.asked_ns = 0;
    fly_guard_say(g, FLY_GUARD_INFO, "attach", "acquisition %s, mode %s", a->name, fly_guard_modes[mode]);
    fly_guard_wrote(g, fly_guard_journal_attach(&g->journal, fly_guard_unix(g), "acquisition", fly_guard_modes[mode],
                                                &g->in_force));
    if (fly_guard_steers(g) && g->plugin.lost)
        fly_guard_give_order(g, fly_guard_safe_kind(g), "there is no plugin");
    else if (fly_guard_steers(g) && g->order.active && g->order.kind == FLY_COMMAND_RASTER)
        fly_guard_give_order(g, FLY_COMMAND_STOP, "the plugin is back");
}

static void answer_attach(struct asking *q)
{
    struct fly_guard *g = q->g;
    struct fly_guard_acquisition *a = &g->acquisition;
    struct fly_guard_tighter tighter;
    enum fly_refusal why;
    int32_t mode;

    if (!allowed(q, STEERS, steers_words))
        return;
    why = read_attach(q->request.args, &mode, &tighter);
    if (why != FLY_REFUSE_NONE) {
        answer_error(q, fly_refusal_name(why), fly_fail_text());
        return;
    }
    if (mode >= FLY_GUARD_MODE_ASK && chose_id(q->msg)) {
        answer_error(q, "own_id", "args.mode: in ask and auto commands go to whoever has this routing id, so that the "
                                  "socket may not choose one itself: leave ZMQ_ROUTING_ID (or IDENTITY) unset");
        return;
    }
    if (a->attached && !is_owner(g, q->msg) &&
        fly_guard_mono(g) - a->heard_ns <= FLY_GUARD_FREE_NS) {
        answer_error(q, "busy", "another acquisition is attached; it is free after 5 s of its silence");
        return;
    }
    attach(q, mode, &tighter);
    fly_pack_init(&q->pack, g->header, sizeof g->header);
    fly_reply_begin(&q->pack, &q->request);
    fly_pack_map(&q->pack, 3);
    fly_pack_key_text(&q->pack, "mode", fly_guard_modes[mode]);
    fly_pack_key_text(&q->pack, "state", fly_guard_state_name(fly_guard_state_of(g)));
    pack_limits(g, &q->pack);
}

static void answer_state(struct asking *q)
{
    struct fly_guard *g = q->g;

    fly_pack_init(&q->pack, g->header, sizeof g->header);
    fly_reply_begin(&q->pack, &q->request);
    fly_pack_map(&q->pack, 2);
    fly_pack_key_text(&q->pack, "state", fly_guard_state_name(fly_guard_state_of(g)));
    fly_pack_key_bool(&q->pack, "held", fly_guard_held(g));
}

static void answer_detach(struct asking *q)
{
    if (!allowed(q, STEERS, steers_words))
        return;
    if (!is_owner(q->g, q->msg)) {
        answer_error(q, "not_owner", "somebody else is attached, or nobody");
        return;
    }
    fly_guard_part(q->g, "detached", 1);
    answer_state(q);
}

static void by_whom(const struct asking *q, char out[FLY_PEER_NAME_MAX + 16])
{
    snprintf(out, FLY_PEER_NAME_MAX + 16, "%s",
             is_owner(q->g, q->msg) ? "acquisition" : q->msg->peer[0] ? q->msg->peer : "request");
}

static void answer_hold(struct asking *q, int hold)
{
    char by[FLY_PEER_NAME_MAX + 16];

    /* Whoever sees that something is wrong may stop it; to go on is an operator's to say. */
    if (!allowed(q, hold ? FLY_PEER_ALL & ~(uint32_t)FLY_PEER_INSTRUMENT : (uint32_t)FLY_PEER_OPERATOR,
                 hold ? "viewer, controller, operator" : "operator"))
        return;
    by_whom(q, by);
    fly_guard_set_hold(q->g, hold, by);
    answer_state(q);
}

static void answer(struct asking *q)
{
    char text[160];
    const char *op = q->request.op;
    size_t at = 0;

    if (strcmp(op, "status") == 0) {
        fly_pack_init(&q->pack, q->g->header, sizeof q->g->header);
        fly_reply_begin(&q->pack, &q->request);
        pack_status(q->g, &q->pack);
    } else if (strcmp(op, "steer.attach") == 0) {
        answer_attach(q);
    } else if (strcmp(op, "steer.detach") == 0) {
        answer_detach(q);
    } else if (strcmp(op, "steer.hold") == 0 || strcmp(op, "steer.resume") == 0) {
        answer_hold(q, op[6] == 'h');
    } else {
        at = (size_t)snprintf(text, sizeof text, "op '%.32s' is not known here; known are", op);
        for (int i = 0; i < OPS && at < sizeof text; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s %s", i ? "," : "", ops[i]);
        answer_error(q, "unknown_op", text);
    }
}

/* ---- acks ---------------------------------------------------------------------------------------------- */

/* Whoever has ended a stop or taken the beam off has nothing under way any more. How each command ended is told by its
 * own ack, which may come after. */
static void ended(struct fly_guard *g, const struct fly_ack *ack)
{
    if (!g->has_book || g->book.n_open == 0 || ack->status != FLY_ACK_DONE)
        return;
    fly_guard_book_abandon(&g->book, fly_guard_mono(g));
    fly_guard_wrote(g, fly_guard_journal_word(&g->journal, fly_guard_unix(g), "abandon", NULL, "stopped"));
}

static void take_ack(struct fly_guard *g, const struct fly_msg *msg, const struct fly_part *parts, int32_t n_parts)
{
    struct fly_ack ack;

    if (!is_owner(g, msg) || !(msg->roles & STEERS))
        return;
    if (fly_ack_decode(&ack, parts, n_parts) != FLY_REFUSE_NONE) {
        fly_guard_say(g, FLY_GUARD_WARNING, "ack", "passed over: %s", fly_fail_text());
        return;
    }
    fly_guard_wrote(g, fly_guard_journal_ack(&g->journal, fly_guard_unix(g), &ack));
    if (strcmp(ack.cmd_id, g->order.cmd_id) == 0) {
        g->order.heard = 1;
        if (g->order.kind != FLY_COMMAND_RASTER)
            ended(g, &ack);
        return;
    }
    if (strncmp(ack.cmd_id, "guard-", 6) == 0)
        return; /* an older order of ours */
    if (g->has_book)
        fly_guard_book_ack(&g->book, &ack, fly_guard_mono(g));
    if (strcmp(ack.cmd_id, g->stop_id) == 0)
        ended(g, &ack);
    fly_guard_plugin_ack(g, &ack);
}

/* ---- what comes in ------------------------------------------------------------------------------------- */

static void take_request(struct fly_guard *g, const struct fly_msg *msg, const struct fly_part *parts, int32_t n_parts)
{
    struct asking q = {.g = g, .msg = msg};
    enum fly_refusal why = fly_request_decode(&q.request, parts, n_parts);

    if (why != FLY_REFUSE_NONE)
        answer_error(&q, fly_refusal_name(why), fly_fail_text());
    else
        answer(&q);
    /* Whoever asked may be gone: nobody is left to tell. */
    if (!q.pack.full)
        (void)send_to(g, msg->parts[0].bytes, msg->parts[0].len, q.pack.bytes, q.pack.len);
}

static void heard(struct fly_guard *g)
{
    struct fly_guard_acquisition *a = &g->acquisition;

    a->heard_ns = fly_guard_mono(g);
    if (!a->gone)
        return;
    a->gone = 0;
    g->plugin.asked_ns = 0;
    fly_guard_say(g, FLY_GUARD_INFO, "attach", "acquisition %s is back", a->name);
}

void fly_guard_acquisition_read(struct fly_guard *g, struct fly_msg *msg)
{
    const struct fly_part *parts = msg->parts + 2;
    int32_t n_parts = msg->n_seen > msg->n_parts ? FLY_PARTS_MAX + 1 : msg->n_parts - 2;

    /* Without an empty part there is no way to answer; a name of more bytes than ZeroMQ gives is none. */
    if (msg->n_parts < 3 || msg->parts[1].len != 0 || msg->parts[0].len > FLY_GUARD_PEER_MAX)
        return;
    /* Whose key lost its role is silent from then on. */
    if (is_owner(g, msg) && msg->roles & STEERS)
        heard(g);
    if (fly_control_type_of(&parts[0]) == FLY_CONTROL_ACK)
        take_ack(g, msg, parts, n_parts);
    else
        take_request(g, msg, parts, n_parts);
}
