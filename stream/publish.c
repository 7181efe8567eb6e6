#include "stream/publish.h"

#include <math.h>
#include <string.h>

#include "stream/publish_head.h"
#include "stream/wire_keys.h"

/* ---- the five keys of every header
 * ---------------------------------------------------------------- */

static void pack_ints(struct fly_pack *pack, const char *key, const int32_t *items, uint32_t count)
{
    fly_pack_str(pack, key);
    fly_pack_array(pack, count);
    for (uint32_t i = 0; i < count; i++)
        fly_pack_int(pack, items[i]);
}

void fly_pub_open_header(struct fly_pack *pack, const char *type, const struct fly_pub_id *id,
                         uint32_t more)
{
    fly_pack_map(pack, FLY_PUB_COMMON_KEYS + more);
    fly_pack_key_str(pack, "type", type);
    fly_pack_key_str(pack, "session", id->session);
    fly_pack_key_str(pack, "stream", type);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, id->seq);
    fly_pack_str(pack, "t_ns");
    fly_pack_int(pack, id->t_ns);
}

int fly_pub_close_header(struct fly_pub_message *out, const struct fly_pack *pack, const char *type)
{
    if (pack->full)
        return fly_fail(FLY_ERANGE, "publish %s: the header does not fit %zu bytes", type,
                        pack->cap);
    if (fly_wire_scan(pack->bytes, pack->len) != FLY_REFUSE_NONE)
        return FLY_ERANGE; /* the scan's words say what and where */
    out->parts[0] = (struct fly_part){type, strlen(type)};
    out->parts[1] = (struct fly_part){pack->bytes, pack->len};
    out->n_parts = 2;
    return FLY_OK;
}

void fly_pub_pack_streams(struct fly_pack *pack, const struct fly_pub_streams *streams)
{
    fly_pack_map(pack, (uint32_t)streams->count);
    for (int32_t i = 0; i < streams->count; i++) {
        fly_pack_str(pack, streams->names[i]);
        fly_pack_uint(pack, streams->seq[i]);
    }
}

void fly_pub_pack_counters(struct fly_pack *pack, const struct fly_pub_counters *counters)
{
    uint32_t reasons = 0;

    for (int i = 1; counters->refused && i < FLY_REFUSALS; i++)
        reasons += counters->refused[i] > 0;
    fly_pack_map(pack, (uint32_t)counters->n_items + (counters->refused != NULL));
    for (int32_t i = 0; i < counters->n_items; i++) {
        fly_pack_str(pack, counters->items[i].name);
        fly_pack_uint(pack, counters->items[i].value);
    }
    if (!counters->refused)
        return;
    fly_pack_str(pack, "refused");
    fly_pack_map(pack, reasons);
    for (int i = 1; i < FLY_REFUSALS; i++)
        if (counters->refused[i] > 0) {
            fly_pack_str(pack, fly_refusal_name((enum fly_refusal)i));
            fly_pack_uint(pack, counters->refused[i]);
        }
}

/* ---- start --------------------------------------------------------------------------------------
 */

static const char *const start_ours[] = {
    "type",       "session",         "stream",   "seq",       "t_ns",
    "grid_shape", "chip_px",         "pitch_px", "origin_px", "profile",
    "embedder",   "flyback_version", "resumed",
};
enum { START_OURS = sizeof start_ours / sizeof start_ours[0] };

/* Does the instrument leave this key to the configuration? nil says the same as absent. */
static int start_lacks(struct fly_value instrument, const char *key)
{
    struct fly_value value;

    return !fly_value_get(instrument, key, &value) || fly_value_kind(value) == FLY_KIND_NIL;
}

enum { START_FILLED = 3 };
static const char *const start_filled[START_FILLED] = {"instrument", "pixel_time_us", "flyback_time_us"};

/* Whether a key of the instrument's goes out: not where ours stands or fills in; in the short form
 * only what the protocol names. */
static int start_keeps(struct fly_value key, const int filled[START_FILLED], int shortened)
{
    const char *text = "";
    size_t len = 0;
    int known;

    (void)fly_value_str(key, &text, &len);
    for (int i = 0; i < START_OURS; i++)
        if (strlen(start_ours[i]) == len && memcmp(start_ours[i], text, len) == 0)
            return 0;
    for (int i = 0; i < START_FILLED; i++)
        if (filled[i] && strlen(start_filled[i]) == len && memcmp(start_filled[i], text, len) == 0)
            return 0;
    known = fly_key_find(text, len);
    return !shortened || (known >= 0 && known != FLY_KEY_USER_DATA);
}

static void pack_start(struct fly_pack *pack, const struct fly_pub_id *id,
                       struct fly_value instrument, const struct fly_pub_start *start,
                       int shortened)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    const void *bytes;
    size_t len;
    uint32_t kept = 0;
    int filled[START_FILLED] = {start->instrument && start->instrument[0], start->pixel_time_us > 0.0,
                                start->flyback_time_us > 0.0};

    for (int i = 0; i < START_FILLED; i++) {
        filled[i] = filled[i] && start_lacks(instrument, start_filled[i]);
        kept += (uint32_t)filled[i];
    }
    while (fly_value_next(instrument, &it, &key, &value))
        kept += (uint32_t)start_keeps(key, filled, shortened);
    fly_pub_open_header(pack, "start", id, kept + START_OURS - FLY_PUB_COMMON_KEYS);
    it = (struct fly_value_iter){0};
    while (fly_value_next(instrument, &it, &key, &value)) {
        if (!start_keeps(key, filled, shortened))
            continue;
        len = fly_value_bytes(key, &bytes);
        fly_pack_raw(pack, bytes, len);
        len = fly_value_bytes(value, &bytes);
        fly_pack_raw(pack, bytes, len);
    }
    pack_ints(pack, "grid_shape", start->grid_shape, 2);
    fly_pack_str(pack, "chip_px");
    fly_pack_int(pack, start->chip_px);
    fly_pack_str(pack, "pitch_px");
    fly_pack_int(pack, start->pitch_px);
    pack_ints(pack, "origin_px", start->origin_px, 2);
    fly_pack_key_str(pack, "profile", start->profile);
    fly_pack_key_str(pack, "embedder", start->embedder);
    fly_pack_key_str(pack, "flyback_version", start->flyback_version);
    fly_pack_str(pack, "resumed");
    fly_pack_bool(pack, start->resumed);
    if (filled[0])
        fly_pack_key_str(pack, "instrument", start->instrument);
    if (filled[1]) {
        fly_pack_str(pack, "pixel_time_us");
        fly_pack_f64(pack, start->pixel_time_us);
    }
    if (filled[2]) {
        fly_pack_str(pack, "flyback_time_us");
        fly_pack_f64(pack, start->flyback_time_us);
    }
}

int fly_pub_start(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                  const struct fly_part *instrument, const struct fly_pub_start *start)
{
    struct fly_value header = fly_value_root(instrument->bytes, instrument->len);

    pack_start(pack, id, header, start, 0);
    if (pack->full || pack->len > FLY_HEADER_MAX) {
        fly_pack_init(pack, pack->bytes, pack->cap);
        pack_start(pack, id, header, start, 1);
    }
    return fly_pub_close_header(out, pack, "start");
}

/* ---- map ----------------------------------------------------------------------------------------
 */

void fly_pub_map_header(struct fly_pack *pack, const struct fly_pub_id *id,
                        const struct fly_pub_map *map)
{
    fly_pub_open_header(pack, "map", id, 8);
    fly_pack_key_str(pack, "method", map->method);
    fly_pack_key_str(pack, "modality", map->modality);
    pack_ints(pack, "full_shape", map->full_shape, 2);
    pack_ints(pack, "bbox", map->bbox, 4);
    fly_pack_str(pack, "base_seq");
    if (map->base == FLY_PUB_EXACT)
        fly_pack_nil(pack);
    else
        fly_pack_uint(pack, map->base == FLY_PUB_DELTA ? map->base_seq : 0);
    fly_pack_str(pack, "as_of");
    fly_pub_pack_streams(pack, &map->as_of);
    fly_pack_str(pack, "final");
    fly_pack_bool(pack, map->final);
    fly_pack_str(pack, "classes");
    fly_pack_array(pack, (uint32_t)map->n_classes);
    for (int32_t i = 0; i < map->n_classes; i++) {
        fly_pack_map(pack, 3);
        fly_pack_str(pack, "id");
        fly_pack_int(pack, map->classes[i].id);
        fly_pack_key_str(pack, "name", map->classes[i].name);
        fly_pack_key_str(pack, "color", map->classes[i].color);
    }
}

int32_t fly_pub_map_payloads(struct fly_part payloads[FLY_PUB_MAP_PAYLOADS], const struct fly_pub_map *map)
{
    size_t chips = (size_t)map->bbox[2] * (size_t)map->bbox[3];

    payloads[0] = (struct fly_part){map->labels, chips * sizeof map->labels[0]};
    payloads[1] = (struct fly_part){map->confidence, chips * sizeof map->confidence[0]};
    payloads[2] = (struct fly_part){map->age, chips * sizeof map->age[0]};
    if (!map->shown)
        return FLY_PUB_MAP_PAYLOADS - 1;
    payloads[3] = (struct fly_part){map->shown, chips * sizeof map->shown[0]};
    return FLY_PUB_MAP_PAYLOADS;
}

int fly_pub_map(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                const struct fly_pub_map *map)
{
    int rc;

    for (int i = 0; i < 2; i++)
        FLY_ASSERT(map->bbox[i] >= 0 && map->bbox[2 + i] >= 1 &&
                   map->bbox[2 + i] <= map->full_shape[i] - map->bbox[i]);
    fly_pub_map_header(pack, id, map);
    rc = fly_pub_close_header(out, pack, "map");
    if (rc < 0)
        return rc;
    out->n_parts = 2 + fly_pub_map_payloads(out->parts + 2, map);
    return FLY_OK;
}

/* ---- clusters -----------------------------------------------------------------------------------
 */

/* Indices of the largest clusters, largest first, equal ones as they were given. Returns how many. */
static int32_t sort_clusters(int32_t order[FLY_PUB_CLUSTERS_MAX], const struct fly_pub_cluster *clusters,
                             int32_t n_clusters)
{
    int32_t n = 0;

    for (int32_t i = 0; i < n_clusters; i++) {
        int32_t lo = 0, hi = n, last;

        while (lo < hi) { /* behind all that are as large */
            int32_t mid = lo + (hi - lo) / 2;

            if (clusters[order[mid]].chips >= clusters[i].chips)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo == FLY_PUB_CLUSTERS_MAX)
            continue;
        last = n < FLY_PUB_CLUSTERS_MAX ? n++ : FLY_PUB_CLUSTERS_MAX - 1;
        memmove(order + lo + 1, order + lo, (size_t)(last - lo) * sizeof *order);
        order[lo] = i;
    }
    return n;
}

static void pack_estimate(struct fly_pack *pack, double value, double sigma)
{
    fly_pack_map(pack, 2);
    fly_pack_key_f64(pack, "value", value);
    fly_pack_key_f64(pack, "sigma", sigma);
}

static void pack_estimate_or_nil(struct fly_pack *pack, const char *key, const double estimate[2])
{
    fly_pack_str(pack, key);
    if (isfinite(estimate[0]))
        pack_estimate(pack, estimate[0], estimate[1]);
    else
        fly_pack_nil(pack);
}

static void pack_word(struct fly_pack *pack, const char *key, const char *word)
{
    fly_pack_str(pack, key);
    if (word)
        fly_pack_str(pack, word);
    else
        fly_pack_nil(pack);
}

static void pack_region(struct fly_pack *pack, const struct fly_pub_region *region)
{
    fly_pack_str(pack, "region");
    if (!region) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, 5);
    pack_ints(pack, "square", region->square, 3);
    pack_word(pack, "found", region->found);
    fly_pack_key_f64(pack, "snr", region->snr);
    fly_pack_str(pack, "vectors");
    fly_pack_array(pack, (uint32_t)region->n_vectors);
    for (int32_t v = 0; v < region->n_vectors; v++) {
        fly_pack_map(pack, 4);
        fly_pack_key_f64(pack, "fy_per_px", region->vectors[v].fy_per_px);
        fly_pack_key_f64(pack, "fx_per_px", region->vectors[v].fx_per_px);
        pack_estimate_or_nil(pack, "d_px", region->vectors[v].d_px);
        pack_estimate_or_nil(pack, "d_nm", region->vectors[v].d_nm);
    }
    fly_pack_key_f64(pack, "angle_deg", region->angle_deg);
}

static void pack_difference(struct fly_pack *pack, const struct fly_pub_clusters *all)
{
    const struct fly_pub_difference *d = all->difference;

    fly_pack_str(pack, "difference");
    if (!d) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, 3);
    fly_pack_str(pack, "ordered");
    fly_pack_int(pack, d->ordered);
    fly_pack_str(pack, "disordered");
    fly_pack_int(pack, d->disordered);
    fly_pack_str(pack, "percent");
    fly_pack_map(pack, (uint32_t)all->n_elements);
    for (int32_t e = 0; e < all->n_elements; e++) {
        fly_pack_str(pack, all->elements[e]);
        fly_pack_map(pack, 2);
        pack_estimate_or_nil(pack, "relative", (double[]){d->relative[e], d->relative_sigma[e]});
        pack_estimate_or_nil(pack, "symmetric", (double[]){d->symmetric[e], d->symmetric_sigma[e]});
    }
}

static void pack_cluster(struct fly_pack *pack, const struct fly_pub_clusters *all,
                         const struct fly_pub_cluster *cluster)
{
    fly_pack_map(pack, 10);
    fly_pack_str(pack, "id");
    fly_pack_int(pack, cluster->id);
    fly_pack_key_str(pack, "name", cluster->name);
    fly_pack_str(pack, "chips");
    fly_pack_int(pack, cluster->chips);
    pack_ints(pack, "parents", cluster->parents, (uint32_t)cluster->n_parents);
    pack_word(pack, "event", cluster->event);
    pack_word(pack, "role", cluster->role);
    fly_pack_str(pack, "atomic_percent");
    if (cluster->percent && cluster->sigma) {
        fly_pack_map(pack, (uint32_t)all->n_elements);
        for (int32_t e = 0; e < all->n_elements; e++) {
            fly_pack_str(pack, all->elements[e]);
            pack_estimate(pack, cluster->percent[e], cluster->sigma[e]);
        }
    } else {
        fly_pack_nil(pack);
    }
    pack_estimate_or_nil(pack, "d_spacing_nm", cluster->d_spacing_nm);
    fly_pack_key_f64(pack, "crystallinity", cluster->crystallinity);
    pack_region(pack, cluster->region);
}

/* The header with the first n of order; returns how many of them fit. */
static int32_t pack_clusters(struct fly_pack *pack, const struct fly_pub_id *id,
                             const struct fly_pub_clusters *all, const int32_t *order, int32_t n,
                             int32_t omitted)
{
    fly_pub_open_header(pack, "clusters", id, 8);
    fly_pack_key_str(pack, "method", all->method);
    fly_pack_key_str(pack, "modality", all->modality);
    fly_pack_str(pack, "as_of");
    fly_pub_pack_streams(pack, &all->as_of);
    fly_pack_str(pack, "final");
    fly_pack_bool(pack, all->final);
    fly_pack_str(pack, "elements");
    fly_pack_array(pack, (uint32_t)all->n_elements);
    for (int32_t e = 0; e < all->n_elements; e++)
        fly_pack_str(pack, all->elements[e]);
    pack_difference(pack, all);
    fly_pack_str(pack, "omitted");
    fly_pack_int(pack, omitted);
    fly_pack_str(pack, "clusters");
    fly_pack_array(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++) {
        pack_cluster(pack, all, &all->clusters[order[i]]);
        if (pack->full || pack->len > FLY_HEADER_MAX)
            return i;
    }
    return n;
}

int fly_pub_clusters(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                     const struct fly_pub_clusters *clusters)
{
    int32_t order[FLY_PUB_CLUSTERS_MAX];
    int32_t n = sort_clusters(order, clusters->clusters, clusters->n_clusters);
    /* The count stands before what it counts. No number of the first try is shorter than that of the
     * second, so what fitted then fits again. */
    int32_t all = clusters->n_clusters + clusters->more;
    int32_t fit = pack_clusters(pack, id, clusters, order, n, all);

    fly_pack_init(pack, pack->bytes, pack->cap);
    (void)pack_clusters(pack, id, clusters, order, fit, all - fit);
    return fly_pub_close_header(out, pack, "clusters");
}

/* ---- metrics, event, heartbeat, stop ------------------------------------------------------------
 */

static void pack_agreement(struct fly_pack *pack, const struct fly_pub_metrics *metrics, int ari)
{
    static const char *const pairs[] = {"haadf_eds", "haadf_ens", "eds_ens"};

    fly_pack_str(pack, ari ? "ari" : "ami");
    fly_pack_map(pack, (uint32_t)metrics->n_methods);
    for (int32_t i = 0; i < metrics->n_methods; i++) {
        fly_pack_str(pack, metrics->methods[i].method);
        fly_pack_map(pack, 3);
        for (int k = 0; k < 3; k++)
            fly_pack_key_f64(pack, pairs[k],
                             ari ? metrics->methods[i].ari[k] : metrics->methods[i].ami[k]);
    }
}

static void pack_by_modality(struct fly_pack *pack, const struct fly_pub_metrics *metrics,
                             int threshold)
{
    fly_pack_str(pack, threshold ? "threshold" : "modularity");
    fly_pack_map(pack, (uint32_t)metrics->n_modalities);
    for (int32_t i = 0; i < metrics->n_modalities; i++)
        fly_pack_key_f64(pack, metrics->modalities[i].modality,
                         threshold ? metrics->modalities[i].threshold
                                   : metrics->modalities[i].modularity);
}

static void pack_hierarchies(struct fly_pack *pack, const struct fly_pub_metrics *metrics)
{
    fly_pack_str(pack, "hierarchy");
    fly_pack_map(pack, (uint32_t)metrics->n_hierarchies);
    for (int32_t i = 0; i < metrics->n_hierarchies; i++) {
        fly_pack_str(pack, metrics->hierarchies[i].modality);
        fly_pack_map(pack, 4);
        fly_pack_str(pack, "k");
        fly_pack_int(pack, metrics->hierarchies[i].k);
        fly_pack_str(pack, "chips");
        fly_pack_int(pack, metrics->hierarchies[i].chips);
        fly_pack_key_f64(pack, "height_below", metrics->hierarchies[i].below);
        fly_pack_key_f64(pack, "height_above", metrics->hierarchies[i].above);
    }
}

static void pack_calibration(struct fly_pack *pack, const struct fly_pub_calibration *calibration)
{
    fly_pack_str(pack, "calibration");
    if (!calibration->there) {
        fly_pack_nil(pack);
        return;
    }
    fly_pack_map(pack, 6);
    for (int m = 0; m < 2; m++) {
        const struct fly_pub_calibrated *c = &calibration->modality[m];

        fly_pack_str(pack, c->name);
        fly_pack_map(pack, 8);
        fly_pack_key_str(pack, "state", c->state);
        fly_pack_key_f64(pack, "temperature", c->temperature);
        fly_pack_key_f64(pack, "scatter", c->scatter);
        fly_pack_key_f64(pack, "unknown_above", c->unknown_above);
        fly_pack_str(pack, "left_out");
        fly_pack_int(pack, c->left_out);
        fly_pack_str(pack, "mistaken");
        fly_pack_int(pack, c->mistaken);
        fly_pack_key_f64(pack, "nll", c->nll);
        fly_pack_key_f64(pack, "nll_prior", c->nll_prior);
    }
    fly_pack_str(pack, "weights");
    fly_pack_array(pack, 2);
    fly_pack_f64(pack, calibration->weights[0]);
    fly_pack_f64(pack, calibration->weights[1]);
    fly_pack_key_str(pack, "weights_from", calibration->weights_from);
    fly_pack_key_f64(pack, "nll", calibration->nll);
    fly_pack_key_f64(pack, "nll_equal", calibration->nll_equal);
}

int fly_pub_metrics(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                    const struct fly_pub_metrics *metrics)
{
    fly_pub_open_header(pack, "metrics", id, 11);
    pack_agreement(pack, metrics, 0);
    pack_agreement(pack, metrics, 1);
    fly_pack_str(pack, "leads");
    fly_pack_map(pack, (uint32_t)metrics->n_methods);
    for (int32_t m = 0; m < metrics->n_methods; m++) {
        fly_pack_str(pack, metrics->methods[m].method);
        if (metrics->methods[m].leads)
            fly_pack_str(pack, metrics->methods[m].leads);
        else
            fly_pack_nil(pack);
    }
    pack_by_modality(pack, metrics, 0);
    pack_by_modality(pack, metrics, 1);
    pack_hierarchies(pack, metrics);
    pack_calibration(pack, &metrics->calibration);
    fly_pack_str(pack, "reliability");
    fly_pub_pack_reliability(pack, &metrics->reliability);
    fly_pack_str(pack, "latency_ms");
    fly_pack_map(pack, 3);
    fly_pack_key_f64(pack, "p50", metrics->p50_ms);
    fly_pack_key_f64(pack, "p99", metrics->p99_ms);
    fly_pack_key_f64(pack, "max", metrics->max_ms);
    fly_pack_str(pack, "quality");
    fly_pub_pack_quality(pack, metrics->quality);
    fly_pack_str(pack, "counters");
    fly_pub_pack_counters(pack, &metrics->counters);
    return fly_pub_close_header(out, pack, "metrics");
}

int fly_pub_event(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                  const struct fly_pub_event *event)
{
    fly_pub_open_header(pack, "event", id, 4);
    fly_pack_key_str(pack, "level", event->level);
    fly_pack_key_str(pack, "code", event->code);
    fly_pack_key_str(pack, "text", event->text);
    fly_pack_str(pack, "data");
    if (event->data.len > 0)
        fly_pack_raw(pack, event->data.bytes, event->data.len);
    else
        fly_pack_nil(pack);
    return fly_pub_close_header(out, pack, "event");
}

int fly_pub_heartbeat(struct fly_pub_message *out, struct fly_pack *pack,
                      const struct fly_pub_id *id, const struct fly_pub_heartbeat *heartbeat)
{
    fly_pub_open_header(pack, "heartbeat", id, 7);
    fly_pack_key_str(pack, "state", heartbeat->state);
    fly_pack_str(pack, "last_seq");
    fly_pub_pack_streams(pack, &heartbeat->last_seq);
    fly_pack_str(pack, "durable_seq");
    fly_pub_pack_streams(pack, &heartbeat->durable_seq);
    fly_pack_str(pack, "backlog_chips");
    fly_pack_int(pack, heartbeat->backlog_chips);
    fly_pack_str(pack, "counters");
    fly_pub_pack_counters(pack, &heartbeat->counters);
    fly_pack_str(pack, "rss_bytes");
    fly_pack_uint(pack, heartbeat->rss_bytes);
    fly_pack_key_str(pack, "recording", heartbeat->recording);
    return fly_pub_close_header(out, pack, "heartbeat");
}

int fly_pub_stop(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                 const struct fly_pub_stop *stop)
{
    fly_pub_open_header(pack, "stop", id, 7);
    fly_pack_key_str(pack, "exit_status", stop->exit_status);
    fly_pack_key_str(pack, "reason", stop->reason);
    fly_pack_str(pack, "count");
    fly_pub_pack_streams(pack, &stop->count);
    fly_pack_key_f64(pack, "complete", stop->complete);
    fly_pack_str(pack, "drained");
    fly_pack_bool(pack, 1);
    fly_pack_str(pack, "latency_ms");
    fly_pack_map(pack, 4);
    fly_pack_key_f64(pack, "p50", stop->p50_ms);
    fly_pack_key_f64(pack, "p99", stop->p99_ms);
    fly_pack_key_f64(pack, "p999", stop->p999_ms);
    fly_pack_key_f64(pack, "max", stop->max_ms);
    fly_pack_str(pack, "counters");
    fly_pub_pack_counters(pack, &stop->counters);
    return fly_pub_close_header(out, pack, "stop");
}
