#include "plugin/helm_desk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/journal.h"
#include "plugin/steering.h"
#include "stream/request.h"

static int64_t unix_ns(const struct fly_stage_publish *s)
{
    return s->config.clock.unix_ns(s->config.clock.ctx);
}

static struct fly_steer_field field_of(const struct fly_session_info *info)
{
    return (struct fly_steer_field){info->start.height_px, info->start.width_px,
                                    {info->plan.pixel_nm[0], info->plan.pixel_nm[1]}};
}

/* The session's recorder, as long as nobody closes it: that waits for the stop to be published. */
static struct fly_recorder *recorder_of(const struct fly_stage_publish *s)
{
    return s->info && !s->stopped ? atomic_load_explicit(&s->info->recorder, memory_order_acquire) : NULL;
}

/* ---- what the helm does to the world ----------------------------------------------------------------- */

static void post_orders(struct fly_stage_publish *s)
{
    const struct fly_steer_orders *orders = fly_helm_orders(&s->steer.helm);

    if (orders->version == s->steer.orders_posted)
        return;
    s->steer.orders_posted = orders->version;
    fly_bus_post_orders(s->config.bus, orders);
    fly_stage_engine_wake(s->config.engine);
}

static int send_command(void *ctx, const void *peer, size_t peer_len, const struct fly_command *command)
{
    struct fly_stage_publish *s = ctx;
    struct fly_steer_field field = {0};
    struct fly_part parts[3] = {{peer, peer_len}, {"", 0}};
    struct fly_pack pack;
    int rc;

    if (s->info)
        field = field_of(s->info);
    post_orders(s); /* its data may come at once */
    fly_pack_init(&pack, s->steer.bytes, FLY_HEADER_MAX);
    rc = fly_command_encode(&pack, command, &field);
    if (rc < 0) {
        fly_bus_event(s->config.bus, FLY_ERROR, "command", NULL, 0, "%s", fly_fail_text());
        return FLY_EAGAIN;
    }
    parts[2] = (struct fly_part){s->steer.bytes, pack.len};
    return fly_endpoint_send(s->config.control, parts, 3);
}

static int keep(void *ctx, const char *op, const void *args, size_t args_len)
{
    struct fly_stage_publish *s = ctx;
    struct fly_recorder *recorder = recorder_of(s);

    return recorder ? fly_journal_keep_request(recorder, unix_ns(s), op, args, args_len, 0, &s->steer.ticket) : FLY_OK;
}

static int keep_hold(void *ctx, const char *by)
{
    struct fly_stage_publish *s = ctx;

    return fly_hold_keep(s->config.options, by, unix_ns(s));
}

static int reserve(void *ctx, int64_t through)
{
    struct fly_stage_publish *s = ctx;
    unsigned char bytes[32];
    struct fly_pack pack;
    int rc;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "through");
    fly_pack_int(&pack, through);
    s->steer.ticket = 0;
    rc = keep(s, "steer.frames", bytes, pack.len);
    if (rc < 0)
        return rc;
    s->steer.reserving = through;
    s->steer.reserve_ticket = s->steer.ticket;
    return FLY_OK;
}

static void tell(void *ctx, enum fly_level level, const char *code, const void *data, size_t data_len, const char *text)
{
    struct fly_stage_publish *s = ctx;

    fly_bus_event(s->config.bus, level, code, data, data_len, "%s", text);
}

static void count(void *ctx, enum fly_counter counter)
{
    struct fly_stage_publish *s = ctx;

    fly_count(s->config.bus, counter, 1);
}

int fly_helm_desk_open(struct fly_stage_publish *stage)
{
    struct fly_helm_out out = {send_command, keep, keep_hold, reserve, tell, count, stage};
    char by[FLY_STEER_BY_MAX + 1];

    stage->steer.bytes = malloc(FLY_HEADER_MAX);
    stage->steer.ranked = malloc(FLY_DECISION_TARGETS * sizeof *stage->steer.ranked);
    if (!stage->steer.bytes || !stage->steer.ranked)
        return fly_fail(FLY_ENOMEM, "publisher stage: no memory to steer");
    fly_helm_init(&stage->steer.helm, &out, &stage->config.clock);
    if (fly_hold_read(stage->config.options, by))
        fly_helm_recall(&stage->steer.helm, by);
    return FLY_OK;
}

void fly_helm_desk_close(struct fly_stage_publish *stage)
{
    free(stage->steer.bytes);
    free(stage->steer.ranked);
    stage->steer.bytes = NULL;
    stage->steer.ranked = NULL;
}

/* ---- a session --------------------------------------------------------------------------------------- */

static struct fly_helm_facts facts_of(const struct fly_stage_publish *s)
{
    const struct fly_session_info *info = s->info;
    const struct fly_options *o = &s->in_force;
    int64_t planned = info->start.frames_planned;

    return (struct fly_helm_facts){
        .serial = info->serial,
        .beam_current_na = info->start.beam_current_na,
        .pixel_nm = {info->plan.pixel_nm[0], info->plan.pixel_nm[1]},
        .frames_planned = planned,
        .frames_max = planned > o->engine.frames_max ? planned : o->engine.frames_max,
        .chip_px = info->plan.grid.side_px,
        .cycle_ns = (int64_t)o->steer.cycle_ms * 1000000,
        .ask_ns = (int64_t)(o->steer.ask_s * 1e9),
        .off = o->steer.mode == FLY_STEER_OFF,
    };
}

void fly_helm_desk_begin(struct fly_stage_publish *stage)
{
    struct fly_stage_publish *s = stage;
    struct fly_helm_memory memory;
    struct fly_helm_facts facts;

    if (!s->info || s->stopped || s->steer.serial == s->info->serial || atomic_load(&s->config.bus->reading_back))
        return;
    s->steer.serial = s->info->serial;
    s->steer.told = 0;
    s->steer.reserving = 0;
    s->steer.options_version = s->in_force_version;
    facts = facts_of(s);
    fly_helm_begin(&s->steer.helm, &facts,
                   fly_bus_look_memory(s->config.bus, s->info->serial, &memory) ? &memory : NULL);
}

void fly_helm_desk_end(struct fly_stage_publish *stage)
{
    fly_helm_end(&stage->steer.helm);
}

/* ---- suggestions ------------------------------------------------------------------------------------- */

static void publish_suggest(struct fly_stage_publish *s)
{
    const struct fly_decision *d = &s->steer.decision;
    struct fly_steer_field field = field_of(s->info);
    struct fly_suggest *suggest = &s->steer.suggest;
    struct fly_pub_message message;
    struct fly_pub_id id;

    *suggest = (struct fly_suggest){.targets = s->steer.ranked,
                                    .n_targets = d->n_targets,
                                    .alternatives = s->steer.decision.alternatives,
                                    .n_alternatives = d->n_alternatives,
                                    .as_of = d->as_of,
                                    .valid_until_ns = d->valid_until_ns,
                                    .expected_error = d->expected_error};
    memcpy(suggest->decision_id, d->id, sizeof d->id);
    memcpy(suggest->policy, d->policy, sizeof d->policy);
    memcpy(suggest->stop, d->stop, sizeof d->stop);
    snprintf(suggest->mode, sizeof suggest->mode, "%s", fly_steer_mode_name(fly_helm_mode(&s->steer.helm)));
    for (int32_t i = 0; i < d->n_targets; i++)
        s->steer.ranked[i] = d->targets[d->best_first[i]];
    id = fly_publish_id(s, FLY_TOPIC_SUGGEST);
    if (fly_pub_suggest(&message, fly_publish_pack(s), &id, suggest, &field) < 0) {
        fly_bus_event(s->config.bus, FLY_ERROR, "suggest", NULL, 0, "%s", fly_fail_text());
        return;
    }
    fly_publish_kept(s, FLY_TOPIC_SUGGEST, &message);
    fly_count(s->config.bus, FLY_COUNT_SUGGESTIONS, 1);
}

static int take_decision(struct fly_stage_publish *s)
{
    if (!fly_bus_take_decision(s->config.bus, s->info->serial, &s->steer.fresh))
        return 0;
    if (fly_helm_mode(&s->steer.helm) == FLY_STEER_OFF)
        return 1; /* made before that was known */
    if (fly_helm_decision(&s->steer.helm, &s->steer.fresh)) { /* its command, if it is one, leaves first */
        s->steer.decision = s->steer.fresh;
        s->steer.told = 1;
        publish_suggest(s);
    }
    return 1;
}

/* ---- the turn ---------------------------------------------------------------------------------------- */

static void take_reserved(struct fly_stage_publish *s)
{
    struct fly_bus *bus = s->config.bus;
    int64_t through = s->steer.reserving;
    int there;

    if (!through)
        return;
    pthread_mutex_lock(&bus->lock);
    there = !s->steer.reserve_ticket || bus->durable_serial > s->info->serial ||
            (bus->durable_serial == s->info->serial && bus->durable_ticket >= s->steer.reserve_ticket);
    pthread_mutex_unlock(&bus->lock);
    if (!there)
        return;
    s->steer.reserving = 0;
    fly_helm_reserved(&s->steer.helm, through);
}

int fly_helm_desk_turn(struct fly_stage_publish *stage)
{
    struct fly_stage_publish *s = stage;
    struct fly_helm *helm = &s->steer.helm;
    int64_t frame;
    int did = 0;

    fly_helm_desk_begin(s);
    if (helm->in_session && s->steer.options_version != s->in_force_version) {
        struct fly_helm_facts facts = facts_of(s);

        s->steer.options_version = s->in_force_version;
        fly_helm_update(helm, &facts);
    }
    if (helm->in_session) {
        if (fly_bus_look_seen(s->config.bus, s->info->serial, &frame))
            fly_helm_seen(helm, frame);
        while (fly_bus_take_answer(s->config.bus, &s->steer.answer))
            fly_helm_answer(helm, &s->steer.answer);
        take_reserved(s);
        did = take_decision(s);
    }
    fly_helm_tick(helm);
    post_orders(s);
    return did;
}

int32_t fly_helm_desk_wait(const struct fly_stage_publish *stage, int32_t timeout_ms)
{
    int64_t due = fly_helm_due(&stage->steer.helm), now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (due == INT64_MAX || due - now >= (int64_t)timeout_ms * 1000000)
        return timeout_ms;
    return due <= now ? 0 : (int32_t)((due - now) / 1000000 + 1);
}

/* ---- peers ------------------------------------------------------------------------------------------- */

/* Names that a ROUTER gives are bytes; those that clients choose are mostly words. */
void fly_helm_name_peer(char name[FLY_STEER_BY_MAX + 1], const struct fly_part *id)
{
    const unsigned char *bytes = id->bytes;
    size_t n = id->len < FLY_STEER_BY_MAX / 2 ? id->len : FLY_STEER_BY_MAX / 2;
    int words = id->len > 0 && id->len <= FLY_STEER_BY_MAX;

    for (size_t i = 0; words && i < id->len; i++)
        words = bytes[i] > 0x20 && bytes[i] < 0x7f;
    if (words) {
        memcpy(name, bytes, id->len);
        name[id->len] = '\0';
        return;
    }
    name[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(name + 2 * i, 3, "%02x", bytes[i]);
}

/* The name that keys prove, else what it calls itself (`by`, where args has it), else its address. */
static struct fly_helm_peer peer_of(const struct fly_msg *msg, const struct fly_value *args,
                                    char name[FLY_STEER_BY_MAX + 1])
{
    struct fly_value by;

    fly_helm_name_peer(name, &msg->parts[0]);
    if (msg->peer[0])
        snprintf(name, FLY_STEER_BY_MAX + 1, "%s", msg->peer);
    else if (args && fly_value_get(*args, "by", &by) && fly_value_kind(by) == FLY_KIND_STR &&
             fly_arg_str(*args, "by", FLY_STEER_BY_MAX, name) != FLY_REFUSE_NONE)
        fly_helm_name_peer(name, &msg->parts[0]);
    return (struct fly_helm_peer){msg->parts[0].bytes, msg->parts[0].len, name, msg->peer};
}

void fly_helm_desk_heard(struct fly_stage_publish *stage, const struct fly_msg *msg)
{
    char name[FLY_STEER_BY_MAX + 1];
    struct fly_helm_peer peer = peer_of(msg, NULL, name);

    fly_helm_heard(&stage->steer.helm, &peer);
}

void fly_helm_desk_ack(struct fly_stage_publish *stage, const struct fly_msg *msg)
{
    char name[FLY_STEER_BY_MAX + 1];
    struct fly_helm_peer peer = peer_of(msg, NULL, name);
    struct fly_ack ack;
    enum fly_refusal why = fly_ack_decode(&ack, msg->parts + 2, msg->n_parts - 2);

    if (why != FLY_REFUSE_NONE) {
        fly_count(stage->config.bus, FLY_COUNT_ACKS_REFUSED, 1);
        fly_bus_event(stage->config.bus, FLY_WARNING, "ack_refused", NULL, 0, "ack of %s: %s: %s", name,
                      fly_refusal_name(why), fly_fail_text());
        return;
    }
    fly_helm_ack(&stage->steer.helm, &peer, &ack);
    post_orders(stage);
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

static enum fly_refusal read_limit(struct fly_value limits, const char *key, double *out)
{
    struct fly_value value;

    *out = NAN;
    if (!fly_value_get(limits, key, &value) || fly_value_kind(value) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (fly_value_kind(value) != FLY_KIND_INT && fly_value_kind(value) != FLY_KIND_FLOAT) {
        fly_fail(FLY_ERANGE, "args.limits.%s is a number above 0", key);
        return FLY_REFUSE_BAD_TYPE;
    }
    if (!fly_value_f64(value, out) || *out <= 0.0 || *out > 1e15) {
        fly_fail(FLY_ERANGE, "args.limits.%s is above 0, at most 1e15", key);
        return FLY_REFUSE_BAD_VALUE;
    }
    return FLY_REFUSE_NONE;
}

static enum fly_refusal read_limits(struct fly_value args, struct fly_steer_limits *limits)
{
    struct fly_value map;
    enum fly_refusal why;

    *limits = (struct fly_steer_limits){NAN, NAN, NAN};
    if (!fly_value_get(args, "limits", &map) || fly_value_kind(map) == FLY_KIND_NIL)
        return FLY_REFUSE_NONE;
    if (fly_value_kind(map) != FLY_KIND_MAP) {
        fly_fail(FLY_ERANGE, "args.limits is a map {dose_e_per_A2, box_px, rate_hz}");
        return FLY_REFUSE_BAD_TYPE;
    }
    why = read_limit(map, "dose_e_per_A2", &limits->dose_e_per_A2);
    if (why == FLY_REFUSE_NONE)
        why = read_limit(map, "box_px", &limits->box_px);
    return why == FLY_REFUSE_NONE ? read_limit(map, "rate_hz", &limits->rate_hz) : why;
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
    fly_pack_str(pack, "dose_e_per_A2");
    fly_pack_f64(pack, limits->dose_e_per_A2);
    fly_pack_str(pack, "box_px");
    fly_pack_f64(pack, limits->box_px);
    fly_pack_str(pack, "rate_hz");
    fly_pack_f64(pack, limits->rate_hz);
}

static int attach(struct asked *a)
{
    static const char *const modes[] = {"off", "advise", "ask", "auto"};
    struct fly_helm_ask ask;
    int32_t mode = 0;
    enum fly_refusal why = fly_arg_word(a->args, "mode", modes, FLY_STEER_MODES, &mode);
    int rc;

    if (why == FLY_REFUSE_NONE)
        why = read_limits(a->args, &ask.limits);
    if (why == FLY_REFUSE_NONE)
        why = read_as(a->args, &ask.guard);
    if (why != FLY_REFUSE_NONE)
        return refused(a, why);
    ask.mode = (enum fly_steer_mode)mode;
    rc = fly_helm_attach(&a->s->steer.helm, &a->peer, &ask, &a->code);
    if (rc < 0)
        return rc;
    fly_pack_map(a->result, 3);
    fly_pack_str(a->result, "mode");
    fly_pack_str(a->result, modes[mode]);
    fly_pack_str(a->result, "as");
    if (ask.guard)
        fly_pack_str(a->result, "guard");
    else
        fly_pack_nil(a->result);
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
    fly_pack_str(a->result, "decision_id");
    fly_pack_str(a->result, id);
    fly_pack_str(a->result, "verdict");
    fly_pack_str(a->result, verdicts[verdict]);
    return rc;
}

static int held(struct asked *a, int rc, const char *then)
{
    const struct fly_helm *helm = &a->s->steer.helm;

    if (rc < 0) {
        a->code = "not_recorded";
        return fly_fail(rc, "%s: %s", rc == FLY_EIO ? fly_fail_text() : "the recording is behind", then);
    }
    fly_pack_map(a->result, 2);
    fly_pack_str(a->result, "held");
    fly_pack_bool(a->result, helm->held);
    fly_pack_str(a->result, "held_by");
    if (helm->held)
        fly_pack_str(a->result, helm->held_by);
    else
        fly_pack_nil(a->result);
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
    char name[FLY_STEER_BY_MAX + 1];
    struct fly_pack result;
    struct asked asked = {s, peer_of(&job->msg, &job->request.args, name), job->request.args, &result,
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
    post_orders(s);
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
