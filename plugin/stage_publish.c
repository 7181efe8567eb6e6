#include "plugin/stage_publish.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/desk.h"
#include "plugin/helm_desk.h"
#include "plugin/latency.h"
#include "plugin/maps.h"
#include "plugin/publish_state.h"
#include "plugin/ring.h"

enum { SUBSCRIPTIONS_A_TURN = 64 };

static const char *const topics[FLY_TOPICS] = {"start", "map", "clusters", "metrics", "event", "heartbeat", "stop",
                                                "dose", "suggest"};

static int64_t mono_ns(const struct fly_stage_publish *s)
{
    return s->config.clock.mono_ns(s->config.clock.ctx);
}

int fly_stage_publish_open(struct fly_stage_publish **out, const struct fly_stage_publish_config *config)
{
    struct fly_stage_publish *s = calloc(1, sizeof *s);

    if (!s)
        return fly_fail(FLY_ENOMEM, "publisher stage: no memory for its handle");
    s->config = *config;
    s->header = malloc(FLY_HEADER_MAX);
    s->fresh_clusters = malloc(sizeof *s->fresh_clusters);
    if (!s->header || !s->fresh_clusters || fly_helm_desk_open(s) < 0) {
        fly_helm_desk_close(s);
        free(s->header);
        free(s->fresh_clusters);
        free(s);
        return fly_fail(FLY_ENOMEM, "publisher stage: no memory for its headers");
    }
    *out = s;
    return FLY_OK;
}

static void drop_clusters(struct fly_stage_publish *s)
{
    for (int m = 0; m < FLY_MAPS; m++) {
        free(s->clusters[m]);
        s->clusters[m] = NULL;
    }
}

void fly_stage_publish_close(struct fly_stage_publish **stage)
{
    struct fly_stage_publish *s = *stage;

    if (!s)
        return;
    fly_desk_close(s);
    for (int t = 0; t < FLY_TOPICS; t++)
        free(s->cache[t].bytes);
    fly_map_set_fini(&s->fresh);
    fly_map_set_fini(&s->shown);
    fly_map_out_fini(&s->out);
    fly_session_info_drop(&s->info);
    free(s->header);
    free(s->fresh_clusters);
    drop_clusters(s);
    fly_dose_fini(&s->dose);
    fly_helm_desk_close(s);
    free(s);
    *stage = NULL;
}

/* ---- sending ----------------------------------------------------------------------------------- */

struct fly_pub_id fly_publish_id(struct fly_stage_publish *s, enum fly_topic topic)
{
    return (struct fly_pub_id){.session = s->info ? s->info->id : "",
                               .seq = ++s->seq[topic],
                               .t_ns = s->config.clock.unix_ns(s->config.clock.ctx)};
}

static void send(struct fly_stage_publish *s, const struct fly_pub_message *message)
{
    if (fly_endpoint_send(s->config.publish, message->parts, message->n_parts) < 0)
        fly_count(s->config.bus, FLY_COUNT_PUBLISH_DROPPED, 1);
}

/* Keep the newest of its kind for late joiners. Maps are kept as the set they came from. */
void fly_publish_kept(struct fly_stage_publish *s, enum fly_topic topic, const struct fly_pub_message *message)
{
    struct fly_cached *cached = &s->cache[topic];
    const struct fly_part *header = &message->parts[1];

    send(s, message);
    if (cached->cap < header->len) {
        free(cached->bytes);
        cached->bytes = malloc(header->len);
        cached->cap = cached->bytes ? header->len : 0;
    }
    cached->len = cached->bytes ? header->len : 0;
    if (cached->bytes)
        memcpy(cached->bytes, header->bytes, header->len);
}

struct fly_pack *fly_publish_pack(struct fly_stage_publish *s)
{
    fly_pack_init(&s->pack, s->header, FLY_HEADER_MAX);
    return &s->pack;
}

void fly_publish_counters(const struct fly_stage_publish *s, struct fly_counters_out *out)
{
    const struct fly_bus *bus = s->config.bus;

    for (int c = 0; c < FLY_COUNTERS; c++)
        out->items[c] = (struct fly_pub_counter){
            fly_counter_name((enum fly_counter)c),
            atomic_load_explicit(&bus->counters[c], memory_order_relaxed)};
    for (int r = 0; r < FLY_REFUSALS; r++)
        out->refused[r] = atomic_load_explicit(&bus->refused[r], memory_order_relaxed);
    out->counters = (struct fly_pub_counters){out->items, FLY_COUNTERS, out->refused};
}

/* ---- session ----------------------------------------------------------------------------------- */

static int take_opened(struct fly_stage_publish *s)
{
    struct fly_bus *bus = s->config.bus;
    struct fly_session_info *info;
    struct fly_pub_message message;

    pthread_mutex_lock(&bus->lock);
    info = bus->opened;
    bus->opened = NULL;
    pthread_mutex_unlock(&bus->lock);
    if (!info)
        return 0;
    fly_session_info_drop(&s->info);
    s->info = info;
    s->in_force = info->options;
    /* Numbers never run twice in a session: the process before this one counted from 1 and sent less than one
     * message a microsecond, so the clock is ahead of it. */
    for (int t = 0; t < FLY_TOPICS; t++)
        s->seq[t] = info->resumed ? (uint64_t)s->config.clock.unix_ns(s->config.clock.ctx) / 1000 : 0;
    memset(s->map_seq, 0, sizeof s->map_seq);
    memset(s->agreed_epoch, 0, sizeof s->agreed_epoch);
    memset(&s->latency, 0, sizeof s->latency);
    s->cache[FLY_TOPIC_STOP].len = s->cache[FLY_TOPIC_METRICS].len = s->cache[FLY_TOPIC_EVENT].len =
        s->cache[FLY_TOPIC_SUGGEST].len = 0;
    drop_clusters(s);
    s->dose.serial = 0;
    fly_map_set_fini(&s->shown);
    fly_map_out_fini(&s->out);
    int32_t chips = fly_grid_chips(&info->plan.grid);

    if (fly_map_set_init(&s->shown, chips, fly_maps_count(info)) < 0 || fly_map_out_init(&s->out, chips) < 0)
        fly_bus_event(bus, FLY_ERROR, "memory", NULL, 0, "%s", fly_fail_text());
    struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_START);
    struct fly_pub_start start = {.grid_shape = {info->plan.grid.rows, info->plan.grid.cols},
                                  .chip_px = info->plan.grid.side_px,
                                  .pitch_px = info->plan.grid.pitch_px,
                                  .profile = fly_options_word(&info->options, "profile"),
                                  .embedder = info->plan.image < 1 ? "none"
                                              : info->embedder     ? fly_embedder_name(info->embedder)
                                                                   : s->config.embedder,
                                  .flyback_version = FLY_VERSION,
                                  .resumed = info->resumed,
                                  .instrument = info->options.instrument.name,
                                  .pixel_time_us = info->options.instrument.pixel_time_us,
                                  .flyback_time_us = info->options.instrument.flyback_time_us};

    if (fly_pub_start(&message, fly_publish_pack(s), &id, &(struct fly_part){info->header, info->header_len}, &start) ==
        FLY_OK)
        fly_publish_kept(s, FLY_TOPIC_START, &message);
    s->stopped = 0;
    return 1;
}

static void streams_of_counts(struct fly_pub_streams *out, const struct fly_session_info *info,
                              const int64_t *count)
{
    int32_t n = fly_start_streams(&info->start);

    out->count = 0;
    for (int32_t i = 0; i < n; i++)
        if (count[i] >= 0) {
            out->names[out->count] = fly_start_stream(&info->start, i);
            out->seq[out->count++] = (uint64_t)count[i];
        }
}

static int take_maps(struct fly_stage_publish *s);
static int take_clusters(struct fly_stage_publish *s);
static int take_dose(struct fly_stage_publish *s);
static int take_events(struct fly_stage_publish *s);

static int take_end(struct fly_stage_publish *s)
{
    struct fly_bus *bus = s->config.bus;
    struct fly_counters_out counters;
    struct fly_session_end end;
    struct fly_pub_message message;
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->end.serial != 0 && s->info && bus->end.serial == s->info->serial;
    end = bus->end;
    pthread_mutex_unlock(&bus->lock);
    if (!there)
        return 0;
    /* The final maps and what was said of them were posted before the end was: they may have come since this turn
     * looked. */
    take_maps(s);
    take_clusters(s);
    take_dose(s);
    fly_helm_desk_end(s);
    take_events(s);
    if (s->out.cap)
        fly_publish_metrics(s, mono_ns(s)); /* of the final maps */
    struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_STOP);
    struct fly_pub_stop stop = {.exit_status = end.exit_status,
                                .reason = end.reason,
                                .complete = end.complete,
                                .p50_ms = fly_latency_ms(&s->latency, 50),
                                .p99_ms = fly_latency_ms(&s->latency, 99),
                                .p999_ms = fly_latency_ms(&s->latency, 99.9),
                                .max_ms = fly_latency_ms(&s->latency, 100)};

    fly_publish_counters(s, &counters);
    stop.counters = counters.counters;
    streams_of_counts(&stop.count, s->info, end.count);
    if (fly_pub_stop(&message, fly_publish_pack(s), &id, &stop) == FLY_OK)
        fly_publish_kept(s, FLY_TOPIC_STOP, &message);
    s->stopped = 1;
    pthread_mutex_lock(&bus->lock);
    bus->status.complete = end.complete;
    bus->end.serial = 0;
    pthread_cond_broadcast(&bus->moved);
    pthread_mutex_unlock(&bus->lock);
    return 1;
}

/* ---- maps -------------------------------------------------------------------------------------- */

static void publish_map(struct fly_stage_publish *s, int m, const int32_t *box)
{
    struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_MAP);
    struct fly_pub_message message;

    fly_map_out_fill(&s->out, s->info, &s->fresh, m, box);
    s->out.map.base = box ? FLY_PUB_DELTA : FLY_PUB_KEYFRAME;
    s->out.map.base_seq = box ? s->map_seq[m] : 0;
    if (fly_pub_map(&message, fly_publish_pack(s), &id, &s->out.map) < 0) {
        fly_bus_event(s->config.bus, FLY_ERROR, "map", NULL, 0, "%s", fly_fail_text());
        return;
    }
    send(s, &message);
    s->map_seq[m] = id.seq;
    fly_count(s->config.bus, FLY_COUNT_MAPS_PUBLISHED, 1);
}

static int take_maps(struct fly_stage_publish *s)
{
    struct fly_bus *bus = s->config.bus;
    int64_t now = mono_ns(s), keyframe_ns = (int64_t)(s->in_force.publish.keyframe_s * 1e9);
    int32_t cols, box[4];

    if (!s->info || !fly_bus_take_maps(bus, &s->fresh, s->info->serial))
        return 0;
    if (s->shown.cap < s->fresh.n_chips)
        return 1; /* no memory for it, told when the session began */
    cols = s->info->plan.grid.cols;
    int classes = fly_classes_differ(&s->shown, &s->fresh);

    for (int m = 0; m < FLY_MAPS; m++) {
        int first = s->map_seq[m] == 0, renamed = (classes && fly_map_method(m) == FLY_FEWSHOT) ||
                                               fly_names_differ(&s->shown, &s->fresh, m);

        if (!fly_maps_has_map(s->info, m))
            continue;
        int differs = first || fly_maps_differ(&s->shown, &s->fresh, m, cols, box);

        if (!differs && !renamed && !s->fresh.final)
            continue;
        if (first || renamed || s->fresh.final || now - s->keyframe_ns[m] >= keyframe_ns) {
            publish_map(s, m, NULL);
            s->keyframe_ns[m] = now;
        } else {
            publish_map(s, m, box);
        }
    }
    now = mono_ns(s);
    for (int m = 0; m < FLY_ENSEMBLE; m++)
        for (int32_t k = 0; k < s->fresh.n_chips; k++)
            if (s->fresh.stamp[m][k] > 0 && s->fresh.labels[m][k] != FLY_LABEL_PENDING)
                fly_latency_add(&s->latency, now - s->fresh.stamp[m][k]);
    s->shown.n_chips = s->fresh.n_chips;
    fly_map_set_copy(&s->shown, &s->fresh);
    fly_crash_here(FLY_CRASH_PUBLISHED);
    return 1;
}

/* A keyframe of what is shown, under the number that was last published: repeats keep their number. */
void fly_publish_keyframe(struct fly_stage_publish *s, int m, struct fly_pub_id *id)
{
    fly_map_out_fill(&s->out, s->info, &s->shown, m, NULL);
    s->out.map.base = FLY_PUB_KEYFRAME;
    *id = (struct fly_pub_id){.session = s->info->id,
                              .seq = s->map_seq[m],
                              .t_ns = s->config.clock.unix_ns(s->config.clock.ctx)};
}

static void publish_clusters(struct fly_stage_publish *s, const struct fly_clusters *clusters,
                             const struct fly_pub_id *id)
{
    struct fly_pub_message message;

    if (fly_clusters_message(&message, fly_publish_pack(s), id, clusters, s->info) == FLY_OK)
        send(s, &message);
    else
        fly_bus_event(s->config.bus, FLY_ERROR, "clusters", NULL, 0, "%s", fly_fail_text());
}

static int take_clusters(struct fly_stage_publish *s)
{
    int did = 0;

    while (s->info && fly_bus_take_clusters(s->config.bus, s->info->serial, s->fresh_clusters)) {
        take_maps(s); /* theirs was posted before them, maybe since this turn looked */
        int m = s->fresh_clusters->map;
        struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_CLUSTERS);

        publish_clusters(s, s->fresh_clusters, &id);
        if (!s->clusters[m])
            s->clusters[m] = malloc(sizeof *s->clusters[m]);
        if (s->clusters[m])
            *s->clusters[m] = *s->fresh_clusters;
        s->clusters_seq[m] = id.seq;
        did = 1;
    }
    return did;
}

/* ---- dose -------------------------------------------------------------------------------------- */

static void publish_dose(struct fly_stage_publish *s)
{
    struct fly_pub_id id = {s->info->id, s->dose_seq, s->config.clock.unix_ns(s->config.clock.ctx)};
    struct fly_pub_message message;

    if (fly_dose_message(&message, fly_publish_pack(s), &id, &s->dose, s->info) == FLY_OK)
        send(s, &message);
    else
        fly_bus_event(s->config.bus, FLY_ERROR, "dose", NULL, 0, "%s", fly_fail_text());
}

static int take_dose(struct fly_stage_publish *s)
{
    if (!s->info || !fly_bus_take_dose(s->config.bus, s->info->serial, &s->dose))
        return 0;
    s->dose_seq = ++s->seq[FLY_TOPIC_DOSE];
    publish_dose(s);
    return 1;
}

/* ---- late joiners ------------------------------------------------------------------------------ */

static void repeat_topic(struct fly_stage_publish *s, enum fly_topic topic)
{
    struct fly_pub_message message;
    struct fly_pub_id id;

    if (topic == FLY_TOPIC_CLUSTERS) {
        for (int m = 0; m < FLY_MAPS; m++)
            if (s->info && s->clusters[m]) {
                id = (struct fly_pub_id){s->info->id, s->clusters_seq[m],
                                         s->config.clock.unix_ns(s->config.clock.ctx)};
                publish_clusters(s, s->clusters[m], &id);
            }
        return;
    }
    if (topic == FLY_TOPIC_DOSE) {
        if (s->info && s->dose.serial == s->info->serial)
            publish_dose(s);
        return;
    }
    if (topic != FLY_TOPIC_MAP) {
        struct fly_part parts[2] = {{topics[topic], strlen(topics[topic])},
                                    {s->cache[topic].bytes, s->cache[topic].len}};

        if (s->cache[topic].len && fly_endpoint_send(s->config.publish, parts, 2) < 0)
            fly_count(s->config.bus, FLY_COUNT_PUBLISH_DROPPED, 1);
        return;
    }
    for (int m = 0; m < FLY_MAPS; m++) {
        if (!s->info || !s->map_seq[m])
            continue;
        fly_publish_keyframe(s, m, &id);
        if (fly_pub_map(&message, fly_publish_pack(s), &id, &s->out.map) == FLY_OK)
            send(s, &message);
    }
}

/* Bounded, and each topic is repeated once a turn: whoever subscribes without end must not keep the others
 * from being served. */
static int take_subscriptions(struct fly_stage_publish *s)
{
    struct fly_msg msg;
    int asked[FLY_TOPICS] = {0}, did = 0;

    for (int i = 0; i < SUBSCRIPTIONS_A_TURN && fly_endpoint_recv(s->config.publish, &msg) == FLY_OK; i++) {
        const unsigned char *bytes = msg.n_parts ? msg.parts[0].bytes : NULL;

        /* First byte 1: subscribe; the rest is a prefix of topics. */
        if (bytes && msg.parts[0].len >= 1 && bytes[0] == 1) {
            size_t len = msg.parts[0].len - 1;

            for (int t = 0; t < FLY_TOPICS; t++)
                asked[t] |= len <= strlen(topics[t]) && memcmp(topics[t], bytes + 1, len) == 0;
        }
        fly_msg_close(&msg);
        did = 1;
    }
    for (int t = 0; t < FLY_TOPICS; t++)
        if (asked[t])
            repeat_topic(s, (enum fly_topic)t);
    return did;
}

/* ---- events ------------------------------------------------------------------------------------ */

static int take_events(struct fly_stage_publish *s)
{
    static const char *const levels[] = {"info", "warning", "error"};
    struct fly_event event;
    int did = 0;

    while (fly_bus_take_event(s->config.bus, &event)) {
        struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_EVENT);
        struct fly_pub_event out = {levels[event.level], event.code, event.text, {event.data, event.data_len}};
        struct fly_pub_message message;

        if (fly_pub_event(&message, fly_publish_pack(s), &id, &out) == FLY_OK)
            fly_publish_kept(s, FLY_TOPIC_EVENT, &message);
        if (s->config.log_event)
            s->config.log_event(&event);
        did = 1;
    }
    return did;
}

static void take_options(struct fly_stage_publish *s)
{
    if (s->info && fly_bus_take_options(s->config.bus, s->info->serial, &s->in_force_version, &s->in_force) &&
        s->config.log_level)
        s->config.log_level((int)s->in_force.log.level);
}

/* ---- the turn ---------------------------------------------------------------------------------- */

int fly_stage_publish_step(struct fly_stage_publish *stage)
{
    struct fly_stage_publish *s = stage;
    int did;

    /* Before the requests: what a reply said is in force stands in the next status. */
    take_options(s);
    /* A new session is only taken once the old one's end is out; its maps come before its end. */
    did = (!s->info || s->stopped || s->info->serial == 0) && take_opened(s);
    did |= fly_desk_requests(s);
    did |= take_maps(s);
    did |= fly_helm_desk_turn(s);
    did |= take_clusters(s);
    did |= take_dose(s);
    did |= take_end(s);
    did |= take_events(s);
    did |= fly_desk_replies(s);
    did |= take_subscriptions(s);
    did |= fly_publish_tick(s);
    return did;
}

void fly_stage_publish_wait(struct fly_stage_publish *stage, int32_t timeout_ms)
{
    struct fly_stage_publish *s = stage;
    struct fly_endpoint *endpoints[2] = {s->config.publish, s->config.control};
    int listening = atomic_load(&s->config.bus->reading_back) ? 1 : 2;
    struct fly_bus *bus = s->config.bus;
    int quiet;

    timeout_ms = fly_helm_desk_wait(s, timeout_ms);
    /* seq_cst, then one more look at what others may have left: see fly_ring_push. */
    atomic_store_explicit(&bus->publish_sleeps, 1, memory_order_seq_cst);
    pthread_mutex_lock(&bus->lock);
    quiet = !bus->mail_full && !bus->dose.serial && !bus->event_len && !bus->end.serial && !bus->opened &&
            !bus->decision.serial && !bus->answers[0].cmd_id[0] && !bus->answers[1].cmd_id[0];
    for (int m = 0; m < FLY_MAPS; m++)
        quiet = quiet && !(bus->clusters[m] && bus->clusters[m]->serial);
    pthread_mutex_unlock(&bus->lock);
    if (quiet && fly_ring_len(fly_stage_engine_replies(s->config.engine)) == 0 &&
        fly_net_wait(endpoints, listening, 0, bus->publish_wake_fd, timeout_ms) == FLY_OK)
        fly_wake_clear(bus->publish_wake_fd);
    atomic_store_explicit(&bus->publish_sleeps, 0, memory_order_seq_cst);
}
