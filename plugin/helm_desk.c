/* The helm at the sockets: what it does to the world, suggestions, and the turn. */
#include "plugin/helm_desk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/journal.h"

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

void fly_helm_desk_post_orders(struct fly_stage_publish *stage)
{
    const struct fly_steer_orders *orders = fly_helm_orders(&stage->steer.helm);

    if (orders->version == stage->steer.orders_posted)
        return;
    stage->steer.orders_posted = orders->version;
    fly_bus_post_orders(stage->config.bus, orders);
    fly_stage_engine_wake(stage->config.engine);
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
    fly_helm_desk_post_orders(s); /* its data may come at once */
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
    fly_pack_key_int(&pack, "through", through);
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
    memcpy(suggest->until, d->until, sizeof d->until);
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
    fly_helm_desk_post_orders(s);
    return did;
}

int32_t fly_helm_desk_wait(const struct fly_stage_publish *stage, int32_t timeout_ms)
{
    int64_t due = fly_helm_due(&stage->steer.helm), now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (due == INT64_MAX || due - now >= (int64_t)timeout_ms * 1000000)
        return timeout_ms;
    return due <= now ? 0 : (int32_t)((due - now) / 1000000 + 1);
}
