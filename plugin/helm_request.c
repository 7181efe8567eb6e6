/* The helm at the sockets: who asks, acks, and the ops steer.*. */
#include "plugin/helm_desk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/request.h"

/* ---- peers ------------------------------------------------------------------------------------------- */

/* Names that a ROUTER gives are bytes; those that clients choose are mostly words. */
int fly_helm_name_peer(char name[FLY_STEER_BY_MAX + 1], const struct fly_part *id)
{
    const unsigned char *bytes = id->bytes;
    size_t n = id->len < FLY_STEER_BY_MAX / 2 ? id->len : FLY_STEER_BY_MAX / 2;
    int words = id->len > 0 && id->len <= FLY_STEER_BY_MAX;

    for (size_t i = 0; words && i < id->len; i++)
        words = bytes[i] > 0x20 && bytes[i] < 0x7f;
    if (words) {
        memcpy(name, bytes, id->len);
        name[id->len] = '\0';
        return 1;
    }
    name[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(name + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* Words of a peer, for people and for programs; the peer lends them. */
struct words {
    char name[FLY_STEER_BY_MAX + 1], role[FLY_STEER_BY_MAX + 1], address[FLY_STEER_BY_MAX + 1];
};

/* Of one that says nothing of itself. */
static const char *unnamed(const struct fly_helm *helm, const struct fly_msg *msg, const struct fly_value *args)
{
    const struct fly_part *id = &msg->parts[0];
    struct fly_value value;
    int attaches = args && fly_value_get(*args, "mode", &value); /* of the ops steer.* it is attach that has it */
    int owner = helm->owned && id->len == helm->owner_len && memcmp(id->bytes, helm->owner, id->len) == 0;
    int guard = attaches ? fly_value_get(*args, "as", &value) && fly_value_kind(value) == FLY_KIND_STR
                         : owner && helm->asked.guard;

    return guard ? "the guard" : owner || attaches ? "the controller" : "a client without a name";
}

/* The name that keys prove, else what it calls itself (`by`, where args has it), else the routing id that it chose, else
 * what is known of it. */
static struct fly_helm_peer peer_of(const struct fly_stage_publish *s, const struct fly_msg *msg,
                                    const struct fly_value *args, struct words *words)
{
    int chosen = fly_helm_name_peer(words->address, &msg->parts[0]);
    struct fly_value by;

    words->role[0] = '\0';
    if (msg->peer[0]) {
        snprintf(words->name, sizeof words->name, "%s", msg->peer);
        fly_peer_roles_text(msg->roles, words->role, sizeof words->role);
    } else if (!args || !fly_value_get(*args, "by", &by) || fly_value_kind(by) != FLY_KIND_STR ||
               fly_arg_str(*args, "by", FLY_STEER_BY_MAX, words->name) != FLY_REFUSE_NONE) {
        snprintf(words->name, sizeof words->name, "%s",
                 chosen ? words->address : unnamed(&s->steer.helm, msg, args));
    }
    return (struct fly_helm_peer){msg->parts[0].bytes, msg->parts[0].len, words->name, msg->peer, words->role,
                                  words->address};
}

void fly_helm_desk_heard(struct fly_stage_publish *stage, const struct fly_msg *msg)
{
    struct words words;
    struct fly_helm_peer peer = peer_of(stage, msg, NULL, &words);

    fly_helm_heard(&stage->steer.helm, &peer);
}

enum fly_refusal fly_helm_desk_asked(struct fly_stage_publish *stage, const struct fly_msg *msg, struct fly_value args)
{
    char hold[FLY_ACK_REASON_MAX + 1] = "";
    struct words words;
    struct fly_helm_peer peer = peer_of(stage, msg, NULL, &words);
    struct fly_value value;
    enum fly_refusal why = FLY_REFUSE_NONE;

    if (!fly_value_get(args, "own_hold", &value))
        return FLY_REFUSE_NONE;
    if (fly_value_kind(value) != FLY_KIND_NIL)
        why = fly_arg_str(args, "own_hold", FLY_ACK_REASON_MAX, hold);
    if (why != FLY_REFUSE_NONE)
        return why;
    fly_helm_guard_hold(&stage->steer.helm, &peer, hold);
    fly_helm_desk_post_orders(stage);
    return FLY_REFUSE_NONE;
}

void fly_helm_desk_ack(struct fly_stage_publish *stage, const struct fly_msg *msg)
{
    struct words words;
    struct fly_helm_peer peer = peer_of(stage, msg, NULL, &words);
    struct fly_ack ack;
    enum fly_refusal why = fly_ack_decode(&ack, msg->parts + 2, msg->n_parts - 2);

    if (why != FLY_REFUSE_NONE) {
        fly_count(stage->config.bus, FLY_COUNT_ACKS_REFUSED, 1);
        fly_bus_event(stage->config.bus, FLY_WARNING, "ack_refused", NULL, 0, "ack of %s: %s: %s", words.name,
                      fly_refusal_name(why), fly_fail_text());
        return;
    }
    fly_helm_ack(&stage->steer.helm, &peer, &ack);
    fly_helm_desk_post_orders(stage);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

struct asked {
    struct fly_stage_publish *s;
    struct fly_helm_peer peer;
    struct fly_value args;
    struct fly_pack *result;
    const char *code;
};

static int refused(struct asked *a, enum fly_refusal why)
{
    a->code = fly_refusal_name(why);
    return FLY_ERANGE;
}

static enum fly_refusal read_as(struct fly_value args, int *guard)
{
    static const char *const words[] = {"guard"};
    struct fly_value value;
    int32_t word;

    *guard = 0;
    if (!fly_value_get(args, "as", &value) || fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    enum fly_refusal why = fly_arg_word(args, "as", words, 1, &word);

    *guard = why == FLY_REFUSE_NONE;
    return why;
}

void fly_helm_pack_limits(struct fly_pack *pack, const struct fly_steer_limits *limits)
{
    fly_pack_map(pack, 3);
    fly_pack_key_f64(pack, "dose_e_per_A2", limits->dose_e_per_A2);
    fly_pack_key_f64(pack, "box_px", limits->box_px);
    fly_pack_key_f64(pack, "rate_hz", limits->rate_hz);
}

static int attach(struct asked *a)
{
    static const char *const modes[] = {"off", "advise", "ask", "auto"};
    struct fly_helm_ask ask;
    int32_t mode = 0;
    enum fly_refusal why = fly_arg_word(a->args, "mode", modes, FLY_STEER_MODES, &mode);
    int rc;

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_limits(a->args, &ask.limits.dose_e_per_A2, &ask.limits.box_px, &ask.limits.rate_hz);
    if (why == FLY_REFUSE_NONE)
        why = read_as(a->args, &ask.guard);
    if (why != FLY_REFUSE_NONE)
        return refused(a, why);
    ask.mode = (enum fly_steer_mode)mode;
    rc = fly_helm_attach(&a->s->steer.helm, &a->peer, &ask, &a->code);
    if (rc < 0)
        return rc;
    fly_pack_map(a->result, 3);
    fly_pack_key_str(a->result, "mode", modes[mode]);
    fly_pack_key_text(a->result, "as", ask.guard ? "guard" : NULL);
    fly_pack_str(a->result, "limits");
    fly_helm_pack_limits(a->result, &ask.limits);
    return FLY_OK;
}

static int detach(struct asked *a)
{
    int rc = fly_helm_detach(&a->s->steer.helm, &a->peer, &a->code);

    fly_pack_map(a->result, 0);
    return rc;
}

static int decide(struct asked *a)
{
    static const char *const verdicts[] = {"veto", "approve"};
    char id[FLY_CMD_ID_MAX + 1], reason[256] = "";
    struct fly_value value;
    int32_t verdict = 0;
    enum fly_refusal why = fly_arg_str(a->args, "decision_id", FLY_CMD_ID_MAX, id);
    int rc;

    if (why == FLY_REFUSE_NONE)
        why = fly_arg_word(a->args, "verdict", verdicts, 2, &verdict);
    /* nil and the empty text are no reason, and that is fine. */
    if (why == FLY_REFUSE_NONE && fly_value_get(a->args, "reason", &value) && fly_value_kind(value) != FLY_KIND_NIL) {
        const char *text;
        size_t len;

        if (!fly_value_str(value, &text, &len) || len > 0)
            why = fly_arg_str(a->args, "reason", sizeof reason - 1, reason);
    }
    if (why != FLY_REFUSE_NONE)
        return refused(a, why);
    rc = fly_helm_decide(&a->s->steer.helm, &a->peer, id, verdict, reason, &a->code);
    fly_pack_map(a->result, 2);
    fly_pack_key_str(a->result, "decision_id", id);
    fly_pack_key_str(a->result, "verdict", verdicts[verdict]);
    return rc;
}

static int held(struct asked *a, int rc, const char *then)
{
    const struct fly_helm *helm = &a->s->steer.helm;

    if (rc < 0) {
        a->code = "not_recorded";
        return fly_fail(rc, "%s: %s", rc == FLY_EIO ? fly_fail_text() : "the recording is behind", then);
    }
    fly_pack_map(a->result, 4);
    fly_helm_pack_held(a->result, helm);
    return FLY_OK;
}

static int hold(struct asked *a)
{
    return held(a, fly_helm_hold(&a->s->steer.helm, &a->peer),
                "steering is held, but a restart may not know it; say it again");
}

static int resume(struct asked *a)
{
    return held(a, fly_helm_resume(&a->s->steer.helm, &a->peer), "nothing was changed, try again");
}

static const struct {
    const char *op;
    int (*run)(struct asked *asked);
} steering[] = {{"steer.attach", attach}, {"steer.detach", detach}, {"steer.decide", decide},
                {"steer.hold", hold},     {"steer.resume", resume}};

static void run(struct fly_stage_publish *s, struct fly_job *job, int (*op)(struct asked *))
{
    struct words words;
    struct fly_pack result;
    struct asked asked = {s, peer_of(s, &job->msg, &job->request.args, &words), job->request.args, &result,
                          fly_refusal_name(FLY_REFUSE_BAD_VALUE)};

    fly_pack_init(&result, job->result, FLY_HEADER_MAX);
    fly_helm_desk_begin(s);
    s->steer.ticket = 0;
    job->ok = op(&asked) == FLY_OK;
    if (!job->ok) {
        snprintf(job->code, sizeof job->code, "%s", asked.code);
        snprintf(job->message, sizeof job->message, "%s", fly_fail_text());
    }
    job->result_len = result.len;
    job->ticket = job->ok ? s->steer.ticket : 0;
    job->serial = s->info ? s->info->serial : 0;
    fly_helm_desk_post_orders(s);
}

int fly_helm_desk_request(struct fly_stage_publish *stage, struct fly_job *job)
{
    for (size_t i = 0; i < sizeof steering / sizeof *steering; i++) {
        if (strcmp(job->request.op, steering[i].op) != 0)
            continue;
        job->result = malloc(FLY_HEADER_MAX);
        if (job->result) {
            run(stage, job, steering[i].run);
        } else {
            snprintf(job->code, sizeof job->code, "memory");
            snprintf(job->message, sizeof job->message, "no memory for the reply");
        }
        return 1;
    }
    return 0;
}
