#include "plugin/bus.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/clusters.h"
#include "plugin/options.h"
#include "plugin/ring.h"

const char *fly_counter_name(enum fly_counter counter)
{
    static const char *const names[FLY_COUNTERS] = {
        [FLY_COUNT_MESSAGES] = "messages",
        [FLY_COUNT_BYTES] = "bytes",
        [FLY_COUNT_LINES] = "lines",
        [FLY_COUNT_EDS] = "eds",
        [FLY_COUNT_PIXELS] = "pixels",
        [FLY_COUNT_PHOTONS] = "photons",
        [FLY_COUNT_PHOTON_OUTSIDE] = "photon_outside",
        [FLY_COUNT_NONFINITE] = "nonfinite",
        [FLY_COUNT_REPEAT] = "repeat",
        [FLY_COUNT_CONFLICT] = "conflict",
        [FLY_COUNT_REORDER] = "reorder",
        [FLY_COUNT_GAP] = "gap",
        [FLY_COUNT_UNCHECKED] = "unchecked",
        [FLY_COUNT_UNASSEMBLED] = "unassembled",
        [FLY_COUNT_INGEST_STALLS] = "ingest_stalls",
        [FLY_COUNT_UNRECORDED] = "unrecorded",
        [FLY_COUNT_EMBEDDED_FIRST] = "embedded_first",
        [FLY_COUNT_EMBEDDED_AGAIN] = "embedded_again",
        [FLY_COUNT_QUANTIFIED] = "quantified",
        [FLY_COUNT_SCORED] = "scored",
        [FLY_COUNT_GRAPH_UPDATES] = "graph_updates",
        [FLY_COUNT_PAIRS] = "pairs_compared",
        [FLY_COUNT_CODES] = "codes_changed",
        [FLY_COUNT_EDGES] = "edges_flipped",
        [FLY_COUNT_VISITED] = "nodes_visited",
        [FLY_COUNT_MOVED] = "nodes_moved",
        [FLY_COUNT_ROWS_READ] = "graph_rows_read",
        [FLY_COUNT_NOT_COMPARED] = "not_compared",
        [FLY_COUNT_EPOCHS] = "epochs",
        [FLY_COUNT_MAPS_PUBLISHED] = "maps_published",
        [FLY_COUNT_MAPS_SKIPPED] = "maps_skipped",
        [FLY_COUNT_PUBLISH_DROPPED] = "publish_dropped",
        [FLY_COUNT_REQUESTS] = "requests",
        [FLY_COUNT_REQUEST_ERRORS] = "request_errors",
        [FLY_COUNT_PEERS_REFUSED] = "peers_refused",
        [FLY_COUNT_SUGGESTIONS] = "suggestions",
        [FLY_COUNT_DECISIONS_EXPIRED] = "decisions_expired",
        [FLY_COUNT_COMMANDS] = "commands",
        [FLY_COUNT_COMMANDS_DONE] = "commands_done",
        [FLY_COUNT_COMMANDS_REJECTED] = "commands_rejected",
        [FLY_COUNT_COMMANDS_WITHDRAWN] = "commands_withdrawn",
        [FLY_COUNT_ACKS_REFUSED] = "acks_refused",
    };

    return names[counter];
}

const char *fly_state_name(enum fly_state state)
{
    static const char *const names[] = {"idle", "running", "draining"};

    return names[state];
}

/* ---- map sets ---------------------------------------------------------------------------------- */

int fly_map_set_init(struct fly_map_set *set, int32_t n_chips, int32_t n_maps)
{
    size_t k = (size_t)n_chips;

    memset(set, 0, sizeof *set);
    set->n_chips = set->cap = n_chips;
    set->n_maps = n_maps;
    set->names = calloc(FLY_MAPS, sizeof *set->names);
    if (!set->names)
        return fly_fail(FLY_ENOMEM, "maps of %d chips: no memory", n_chips);
    for (int m = 0; m < n_maps; m++) {
        set->labels[m] = calloc(k, sizeof(int32_t));
        set->confidence[m] = calloc(k, sizeof(float));
        set->age[m] = calloc(k, sizeof(uint32_t));
        set->stamp[m] = calloc(k, sizeof(int64_t));
        set->shown[m] = calloc(k, sizeof(int32_t));
        if (!set->labels[m] || !set->confidence[m] || !set->age[m] || !set->stamp[m] || !set->shown[m]) {
            fly_map_set_fini(set);
            return fly_fail(FLY_ENOMEM, "maps of %d chips: no memory", n_chips);
        }
    }
    return FLY_OK;
}

void fly_map_set_fini(struct fly_map_set *set)
{
    for (int m = 0; m < FLY_MAPS; m++) {
        free(set->labels[m]);
        free(set->confidence[m]);
        free(set->age[m]);
        free(set->stamp[m]);
        free(set->shown[m]);
    }
    free(set->names);
    memset(set, 0, sizeof *set);
}

void fly_map_set_copy_names(struct fly_map_set *to, int map, const struct fly_names *names)
{
    if (to->names[map].version != names->version || to->names[map].count != names->count)
        to->names[map] = *names;
}

void fly_map_set_copy(struct fly_map_set *to, const struct fly_map_set *from)
{
    size_t k = (size_t)from->n_chips;

    FLY_ASSERT(to->cap >= from->n_chips);
    for (int m = 0; m < FLY_MAPS; m++)
        if (to->serial != from->serial)
            to->names[m] = from->names[m];
        else
            fly_map_set_copy_names(to, m, &from->names[m]);
    to->serial = from->serial;
    to->epoch = from->epoch;
    to->n_chips = from->n_chips;
    to->n_classes = from->n_classes;
    to->calm = from->calm;
    to->final = from->final;
    memcpy(to->classes, from->classes, sizeof to->classes);
    memcpy(to->graph, from->graph, sizeof to->graph);
    memcpy(to->tree, from->tree, sizeof to->tree);
    to->calibration = from->calibration;
    to->reliability = from->reliability;
    memcpy(to->as_of, from->as_of, sizeof to->as_of);
    /* A set that once held a session with communities has room for more than this one fills. */
    for (int m = 0; m < from->n_maps && m < to->n_maps; m++) {
        memcpy(to->labels[m], from->labels[m], k * sizeof(int32_t));
        memcpy(to->confidence[m], from->confidence[m], k * sizeof(float));
        memcpy(to->age[m], from->age[m], k * sizeof(uint32_t));
        if (from->calm)
            memcpy(to->shown[m], from->shown[m], k * sizeof(int32_t));
    }
}

static int make_fit(struct fly_map_set *set, int32_t n_chips, int32_t n_maps)
{
    if (set->cap >= n_chips && set->n_maps >= n_maps)
        return FLY_OK;
    fly_map_set_fini(set);
    return fly_map_set_init(set, n_chips, n_maps);
}

/* ---- the bus ----------------------------------------------------------------------------------- */

int fly_bus_init(struct fly_bus *bus, const struct fly_clock *clock)
{
    memset(bus, 0, sizeof *bus);
    bus->clock = *clock;
    pthread_mutex_init(&bus->lock, NULL);
    pthread_cond_init(&bus->moved, NULL);
    bus->publish_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bus->publish_wake_fd < 0)
        return fly_fail(FLY_EIO, "eventfd: %s", strerror(errno));
    return FLY_OK;
}

void fly_bus_fini(struct fly_bus *bus)
{
    fly_map_set_fini(&bus->mail);
    fly_dose_fini(&bus->dose);
    free(bus->in_force);
    for (int m = 0; m < FLY_MAPS; m++)
        free(bus->clusters[m]);
    if (bus->publish_wake_fd >= 0)
        close(bus->publish_wake_fd);
    pthread_cond_destroy(&bus->moved);
    pthread_mutex_destroy(&bus->lock);
}

void fly_bus_wake_publisher(struct fly_bus *bus)
{
    /* seq_cst pairs with the publisher's "sleeps = 1, then look once more". */
    if (atomic_load_explicit(&bus->publish_sleeps, memory_order_seq_cst))
        fly_wake(bus->publish_wake_fd);
}

void fly_bus_event(struct fly_bus *bus, enum fly_level level, const char *code, const void *data,
                   size_t data_len, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&bus->lock);
    uint32_t cap = sizeof bus->events / sizeof *bus->events;

    if (bus->event_len == cap) {
        bus->events_lost++;
    } else {
        struct fly_event *event = &bus->events[(bus->event_head + bus->event_len++) % cap];

        event->level = level;
        snprintf(event->code, sizeof event->code, "%s", code);
        va_start(args, format);
        vsnprintf(event->text, sizeof event->text, format, args);
        va_end(args);
        event->data_len = data && data_len <= sizeof event->data ? data_len : 0;
        if (event->data_len)
            memcpy(event->data, data, data_len);
    }
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

/* 1, at most once a second. */
static int is_due(struct fly_bus *bus, int64_t *told_ns)
{
    int64_t now = bus->clock.mono_ns(bus->clock.ctx);
    int due;

    pthread_mutex_lock(&bus->lock);
    due = !*told_ns || now - *told_ns >= 1000000000;
    if (due)
        *told_ns = now;
    pthread_mutex_unlock(&bus->lock);
    return due;
}

void fly_bus_refuse(struct fly_bus *bus, enum fly_refusal reason, const char *text)
{
    atomic_fetch_add_explicit(&bus->refused[reason], 1, memory_order_relaxed);
    if (is_due(bus, &bus->refused_told_ns[reason]))
        fly_bus_event(bus, FLY_WARNING, fly_refusal_name(reason), NULL, 0, "message refused: %s", text);
}

void fly_bus_refuse_peer(struct fly_bus *bus, const char *text)
{
    fly_count(bus, FLY_COUNT_PEERS_REFUSED, 1);
    if (is_due(bus, &bus->peer_told_ns))
        fly_bus_event(bus, FLY_WARNING, "peer_refused", NULL, 0, "refused: %s", text);
}

int fly_bus_take_event(struct fly_bus *bus, struct fly_event *event)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->event_len > 0;
    if (there) {
        *event = bus->events[bus->event_head];
        bus->event_head = (bus->event_head + 1) % (uint32_t)(sizeof bus->events / sizeof *bus->events);
        bus->event_len--;
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_maps(struct fly_bus *bus, const struct fly_map_set *set)
{
    pthread_mutex_lock(&bus->lock);
    int kept = bus->mail_full && bus->mail.serial == set->serial;

    if (bus->mail_full)
        fly_count(bus, FLY_COUNT_MAPS_SKIPPED, 1);
    if (make_fit(&bus->mail, set->n_chips, set->n_maps) < 0) {
        pthread_mutex_unlock(&bus->lock);
        fly_bus_event(bus, FLY_ERROR, "memory", NULL, 0, "%s", fly_fail_text());
        return;
    }
    fly_map_set_copy(&bus->mail, set);
    for (int m = 0; m < set->n_maps; m++)
        for (int32_t k = 0; k < set->n_chips; k++)
            if (set->stamp[m][k] || !kept)
                bus->mail.stamp[m][k] = set->stamp[m][k];
    bus->mail_full = 1;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_maps(struct fly_bus *bus, struct fly_map_set *set, uint64_t serial)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    if (bus->mail_full && bus->mail.serial < serial)
        bus->mail_full = 0;
    there = bus->mail_full && bus->mail.serial == serial && make_fit(set, bus->mail.n_chips, bus->mail.n_maps) == FLY_OK;
    if (there) {
        fly_map_set_copy(set, &bus->mail);
        for (int m = 0; m < bus->mail.n_maps; m++)
            memcpy(set->stamp[m], bus->mail.stamp[m], (size_t)set->n_chips * sizeof(int64_t));
        bus->mail_full = 0;
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_clusters(struct fly_bus *bus, struct fly_clusters *clusters)
{
    struct fly_clusters **slot = &bus->clusters[clusters->map];

    pthread_mutex_lock(&bus->lock);
    if (!*slot)
        *slot = malloc(sizeof **slot);
    if (*slot && (*slot)->serial == clusters->serial)
        fly_clusters_carry(clusters, *slot); /* nobody has heard of it yet */
    if (*slot)
        **slot = *clusters;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_clusters(struct fly_bus *bus, uint64_t serial, struct fly_clusters *into)
{
    int there = 0;

    pthread_mutex_lock(&bus->lock);
    for (int m = 0; m < FLY_MAPS && !there; m++) {
        struct fly_clusters *waits = bus->clusters[m];

        there = waits && waits->serial == serial;
        if (there)
            *into = *waits;
        if (waits && waits->serial <= serial)
            waits->serial = 0;
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_quality(struct fly_bus *bus, uint64_t serial, const struct fly_quality *quality)
{
    pthread_mutex_lock(&bus->lock);
    bus->quality = *quality;
    bus->quality_serial = serial;
    pthread_mutex_unlock(&bus->lock);
}

int fly_bus_look_quality(struct fly_bus *bus, uint64_t serial, struct fly_quality *quality)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->quality_serial == serial;
    if (there)
        *quality = bus->quality;
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_dose(struct fly_bus *bus, const struct fly_dose *dose)
{
    pthread_mutex_lock(&bus->lock);
    if (fly_dose_copy(&bus->dose, dose) < 0)
        bus->dose.serial = 0; /* another second there may be */
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_dose(struct fly_bus *bus, uint64_t serial, struct fly_dose *into)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->dose.serial == serial && fly_dose_copy(into, &bus->dose) == FLY_OK;
    if (bus->dose.serial <= serial)
        bus->dose.serial = 0;
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_end_session(struct fly_bus *bus, const struct fly_session_end *end)
{
    pthread_mutex_lock(&bus->lock);
    bus->end = *end;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
    pthread_mutex_lock(&bus->lock);
    while (bus->end.serial == end->serial)
        pthread_cond_wait(&bus->moved, &bus->lock);
    pthread_mutex_unlock(&bus->lock);
}

void fly_bus_post_options(struct fly_bus *bus, uint64_t serial, const struct fly_options *options)
{
    pthread_mutex_lock(&bus->lock);
    if (!bus->in_force)
        bus->in_force = malloc(sizeof *bus->in_force);
    if (bus->in_force) {
        *bus->in_force = *options;
        bus->in_force_serial = serial;
        bus->in_force_version++;
    }
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_options(struct fly_bus *bus, uint64_t serial, uint64_t *version, struct fly_options *options)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->in_force && bus->in_force_serial == serial && bus->in_force_version != *version;
    if (there) {
        *options = *bus->in_force;
        *version = bus->in_force_version;
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

/* ---- steering ---------------------------------------------------------------------------------- */

void fly_bus_post_orders(struct fly_bus *bus, const struct fly_steer_orders *orders)
{
    pthread_mutex_lock(&bus->lock);
    bus->orders = *orders;
    pthread_mutex_unlock(&bus->lock);
}

int fly_bus_take_orders(struct fly_bus *bus, uint64_t *version, struct fly_steer_orders *into)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->orders.version != *version;
    if (there) {
        *into = bus->orders;
        *version = into->version;
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_decision(struct fly_bus *bus, const struct fly_decision *decision)
{
    pthread_mutex_lock(&bus->lock);
    bus->decision = *decision;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_decision(struct fly_bus *bus, uint64_t serial, struct fly_decision *into)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = serial != 0 && bus->decision.serial == serial;
    if (there)
        *into = bus->decision;
    if (bus->decision.serial <= serial)
        bus->decision.serial = 0;
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_idle(struct fly_bus *bus, const struct fly_steer_idle *idle)
{
    pthread_mutex_lock(&bus->lock);
    bus->idle = *idle;
    pthread_mutex_unlock(&bus->lock);
}

int fly_bus_look_idle(struct fly_bus *bus, uint64_t serial, struct fly_steer_idle *into)
{
    pthread_mutex_lock(&bus->lock);
    *into = bus->idle;
    pthread_mutex_unlock(&bus->lock);
    return serial != 0 && into->serial == serial;
}

void fly_bus_post_answer(struct fly_bus *bus, const struct fly_answer *answer)
{
    pthread_mutex_lock(&bus->lock);
    int at = bus->answers[0].cmd_id[0] != '\0' && strcmp(bus->answers[0].cmd_id, answer->cmd_id) != 0;

    bus->answers[at] = *answer;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}

int fly_bus_take_answer(struct fly_bus *bus, struct fly_answer *into)
{
    int there = 0;

    pthread_mutex_lock(&bus->lock);
    for (int i = 0; i < 2 && !there; i++) {
        there = bus->answers[i].cmd_id[0] != '\0';
        *into = bus->answers[i];
        bus->answers[i].cmd_id[0] = '\0';
    }
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_seen(struct fly_bus *bus, uint64_t serial, int64_t frame)
{
    pthread_mutex_lock(&bus->lock);
    bus->seen_serial = serial;
    bus->seen_frame = frame;
    pthread_mutex_unlock(&bus->lock);
}

int fly_bus_look_seen(struct fly_bus *bus, uint64_t serial, int64_t *frame)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->seen_serial == serial;
    *frame = there ? bus->seen_frame : -1;
    pthread_mutex_unlock(&bus->lock);
    return there;
}

void fly_bus_post_memory(struct fly_bus *bus, uint64_t serial, const struct fly_helm_memory *memory)
{
    pthread_mutex_lock(&bus->lock);
    bus->memory_serial = serial;
    bus->memory = *memory;
    pthread_mutex_unlock(&bus->lock);
}

int fly_bus_look_memory(struct fly_bus *bus, uint64_t serial, struct fly_helm_memory *into)
{
    int there;

    pthread_mutex_lock(&bus->lock);
    there = bus->memory_serial == serial && bus->memory.there;
    if (there)
        *into = bus->memory;
    pthread_mutex_unlock(&bus->lock);
    return there;
}
