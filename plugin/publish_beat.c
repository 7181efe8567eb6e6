/* The publisher stage by the clock: heartbeats, and metrics of the maps shown. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/agreement.h"
#include "plugin/latency.h"
#include "plugin/maps.h"
#include "plugin/publish_state.h"
#include "plugin/quality.h"

#define SECOND_NS INT64_C(1000000000)

static uint64_t rss_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void heartbeat(struct fly_stage_publish *s, int64_t now)
{
    struct fly_bus *bus = s->config.bus;
    struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_HEARTBEAT);
    struct fly_pub_heartbeat beat = {0};
    struct fly_counters_out counters;
    struct fly_pub_message message;
    struct fly_status status;

    pthread_mutex_lock(&bus->lock);
    status = bus->status;
    pthread_mutex_unlock(&bus->lock);
    beat.state = fly_state_name(status.state);
    if (s->info && strcmp(s->info->id, status.session) == 0) {
        fly_streams_of(&beat.last_seq, s->info, status.last_seq);
        fly_streams_of(&beat.durable_seq, s->info, status.durable_seq);
    }
    beat.backlog_chips = status.backlog_chips;
    beat.rss_bytes = rss_bytes();
    beat.recording = status.recording[0] ? status.recording : "off";
    fly_publish_counters(s, &counters);
    beat.counters = counters.counters;
    if (fly_pub_heartbeat(&message, fly_publish_pack(s), &id, &beat) == FLY_OK)
        fly_publish_kept(s, FLY_TOPIC_HEARTBEAT, &message);
    s->heartbeat_ns = now;
    memcpy(s->durable_told, status.durable_seq, sizeof s->durable_told);
    s->state_told = status.state;
}

/* AMI and ARI between the maps of a method, over the chips that both label; NaN where there is nothing. */
static void agreement(struct fly_stage_publish *s, enum fly_method method, double ami[3], double ari[3])
{
    static const int pairs[3][2] = {{FLY_HAADF, FLY_EDS}, {FLY_HAADF, FLY_ENSEMBLE}, {FLY_EDS, FLY_ENSEMBLE}};
    int32_t *a = s->out.labels, *b = (int32_t *)s->out.age;

    for (int p = 0; p < 3; p++) {
        const int32_t *x = s->shown.labels[fly_map_index(method, (enum fly_modality)pairs[p][0])];
        const int32_t *y = s->shown.labels[fly_map_index(method, (enum fly_modality)pairs[p][1])];
        int there = s->shown.serial && fly_maps_has_map(s->info, fly_map_index(method, (enum fly_modality)pairs[p][0])) &&
                    fly_maps_has_map(s->info, fly_map_index(method, (enum fly_modality)pairs[p][1]));
        int32_t n = 0;

        for (int32_t k = 0; there && k < s->shown.n_chips; k++)
            if (x[k] >= 0 && y[k] >= 0) {
                a[n] = x[k];
                b[n++] = y[k];
            }
        ami[p] = n ? fly_ami(a, b, n) : NAN;
        ari[p] = n ? fly_ari(a, b, n) : NAN;
    }
}

/* Of haadf_ens and eds_ens; comparisons with NaN are false. */
static const char *leader(const double ami[3])
{
    return ami[1] > ami[2]   ? fly_modality_name(FLY_HAADF)
           : ami[2] > ami[1] ? fly_modality_name(FLY_EDS)
                             : NULL;
}

void fly_publish_metrics(struct fly_stage_publish *stage, int64_t now_ns)
{
    struct fly_stage_publish *s = stage;
    struct fly_pub_id id = fly_publish_id(s, FLY_TOPIC_METRICS);
    struct fly_pub_metrics out = {.p50_ms = fly_latency_ms(&s->latency, 50),
                                  .p99_ms = fly_latency_ms(&s->latency, 99),
                                  .max_ms = fly_latency_ms(&s->latency, 100)};
    struct fly_counters_out counters;
    struct fly_pub_message message;
    struct fly_pub_quality told;
    struct fly_quality quality;

    if (fly_bus_look_quality(s->config.bus, s->info->serial, &quality)) {
        fly_quality_told(&told, &quality);
        out.quality = &told;
    }
    for (int method = 0; method < FLY_METHODS; method++) {
        if (!fly_maps_has_method(s->info, (enum fly_method)method))
            continue;
        out.methods[out.n_methods].method = fly_method_name((enum fly_method)method);
        /* Maps may have many parts, and most seconds of a rest show the same ones. */
        if (s->agreed_epoch[method] != s->shown.epoch + 1) {
            agreement(s, (enum fly_method)method, s->ami[method], s->ari[method]);
            s->agreed_epoch[method] = s->shown.epoch + 1;
        }
        memcpy(out.methods[out.n_methods].ami, s->ami[method], sizeof s->ami[method]);
        memcpy(out.methods[out.n_methods].ari, s->ari[method], sizeof s->ari[method]);
        out.methods[out.n_methods].leads = leader(out.methods[out.n_methods].ami);
        out.n_methods++;
    }
    for (int m = 0; m < FLY_MODALITIES && s->shown.serial; m++) {
        if (!fly_maps_has_map(s->info, fly_map_index(FLY_COMMUNITY, (enum fly_modality)m)))
            continue;
        out.modalities[out.n_modalities].modality = fly_modality_name((enum fly_modality)m);
        out.modalities[out.n_modalities].modularity = s->shown.graph[m].modularity;
        out.modalities[out.n_modalities++].threshold = s->shown.graph[m].threshold;
    }
    for (int m = 0; m < FLY_ENSEMBLE && s->shown.serial; m++) {
        const struct fly_tree_view *tree = &s->shown.tree[m];

        if (!fly_maps_has_map(s->info, fly_map_index(FLY_WARD, (enum fly_modality)m)))
            continue;
        out.hierarchies[out.n_hierarchies].modality = fly_modality_name((enum fly_modality)m);
        out.hierarchies[out.n_hierarchies].k = tree->k;
        out.hierarchies[out.n_hierarchies].chips = tree->chips;
        out.hierarchies[out.n_hierarchies].below = tree->parted;
        out.hierarchies[out.n_hierarchies++].above = tree->merged;
    }
    out.calibration = s->shown.calibration;
    out.reliability = s->shown.reliability;
    fly_publish_counters(s, &counters);
    out.counters = counters.counters;
    if (fly_pub_metrics(&message, fly_publish_pack(s), &id, &out) == FLY_OK)
        fly_publish_kept(s, FLY_TOPIC_METRICS, &message);
    s->metrics_ns = now_ns;
}

static int durable_moved(struct fly_stage_publish *s)
{
    struct fly_bus *bus = s->config.bus;
    int moved;

    pthread_mutex_lock(&bus->lock);
    moved = memcmp(bus->status.durable_seq, s->durable_told, sizeof s->durable_told) != 0 ||
            bus->status.state != s->state_told;
    pthread_mutex_unlock(&bus->lock);
    return moved;
}

int fly_publish_tick(struct fly_stage_publish *stage)
{
    struct fly_stage_publish *s = stage;
    int64_t now = s->config.clock.mono_ns(s->config.clock.ctx);
    int64_t sync_ns = (int64_t)s->config.options->recording.sync_ms * 1000000;
    int did = 0;

    if (now - s->heartbeat_ns >= SECOND_NS || !s->heartbeat_ns ||
        (now - s->heartbeat_ns >= sync_ns && durable_moved(s))) {
        heartbeat(s, now);
        did = 1;
    }
    if (s->info && !s->stopped && s->out.cap && now - s->metrics_ns >= SECOND_NS) {
        fly_publish_metrics(s, now);
        did = 1;
    }
    return did;
}
