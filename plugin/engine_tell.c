/* The engine stage's news: maps, marks in the journal, counters, events, clusters, data quality. */
#include "plugin/engine_state.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/confidence.h"
#include "plugin/reliability.h"

#define CLUSTERS_EVERY_NS INT64_C(250000000)
#define QUALITY_EVERY_NS  INT64_C(250000000)
enum { UNKNOWN_REGIONS = 64 }; /* looked through for the largest */

#define DOSE_EVERY_NS     INT64_C(1000000000)
#define JUMP_TOLD_NS      INT64_C(1000000000)

struct fly_recorder *fly_stage_recorder(const struct fly_stage_engine *stage)
{
    return atomic_load_explicit(&stage->info->recorder, memory_order_acquire);
}

int64_t fly_stage_unix_ns(const struct fly_stage_engine *stage)
{
    return stage->config.clock.unix_ns(stage->config.clock.ctx);
}

void fly_stage_mark_journal(struct fly_stage_engine *stage, enum fly_mark mark, uint64_t epoch)
{
    if (stage->ended || !fly_stage_recorder(stage))
        stage->trace = (struct fly_trace){.len = 0};
    else if (fly_journal_keep_mark(fly_stage_recorder(stage), fly_stage_unix_ns(stage), &stage->trace, mark, epoch,
                                   stage->last_ticket) < 0)
        fly_count(stage->config.bus, FLY_COUNT_UNRECORDED, 1);
}

/* ---- maps -------------------------------------------------------------------------------------- */

static void fill_maps(struct fly_stage_engine *stage, struct fly_map_set *set, int final)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    const struct fly_support *support = fly_engine_support(engine);
    struct fly_engine_counts counts;
    size_t k = (size_t)set->n_chips;

    fly_engine_count(engine, &counts);
    set->serial = stage->info->serial;
    set->epoch = counts.epochs;
    set->final = final;
    memcpy(set->classes, support->classes, sizeof set->classes);
    set->n_classes = support->n_classes;
    set->calm = (enum fly_profile)stage->info->options.profile == FLY_PROFILE_ROBUST;
    memcpy(set->as_of, stage->as_of, sizeof set->as_of);
    fly_confidence_of(&set->calibration, engine);
    fly_reliability_of(&set->reliability, engine);
    for (int m = 0; m < FLY_ENSEMBLE; m++)
        fly_engine_tree(engine, (enum fly_modality)m, &set->tree[m]);
    for (int m = 0; m < FLY_MODALITIES; m++)
        fly_engine_graph(engine, (enum fly_modality)m, &set->graph[m]);
    for (int m = 0; m < FLY_MAPS; m++) {
        const struct fly_names *names = fly_engine_names(engine, m);
        struct fly_map_view view;

        if (names)
            fly_map_set_copy_names(set, m, names);
        fly_engine_map(engine, fly_map_method(m), fly_map_modality(m), &view);
        if (!view.labels)
            continue; /* there is none: it is not published either */
        memcpy(set->labels[m], view.labels, k * sizeof *view.labels);
        memcpy(set->confidence[m], view.confidence, k * sizeof *view.confidence);
        memcpy(set->age[m], view.age, k * sizeof *view.age);
        memcpy(set->stamp[m], view.stamp, k * sizeof *view.stamp);
        if (view.shown)
            memcpy(set->shown[m], view.shown, k * sizeof *view.shown);
    }
}

static void tell_counts(struct fly_stage_engine *stage)
{
    struct fly_bus *bus = stage->config.bus;
    struct fly_engine *engine = fly_session_engine(stage->session);
    struct fly_engine_counts now, *told = &stage->told;

    fly_engine_count(engine, &now);
    fly_count(bus, FLY_COUNT_EMBEDDED_FIRST, now.embedded_first - told->embedded_first);
    fly_count(bus, FLY_COUNT_EMBEDDED_AGAIN, now.embedded_again - told->embedded_again);
    fly_count(bus, FLY_COUNT_QUANTIFIED, now.chips_quantified - told->chips_quantified);
    fly_count(bus, FLY_COUNT_SCORED, now.chips_scored - told->chips_scored);
    fly_count(bus, FLY_COUNT_GRAPH_UPDATES, now.graph_updates - told->graph_updates);
    fly_count(bus, FLY_COUNT_PAIRS, now.pairs_compared - told->pairs_compared);
    fly_count(bus, FLY_COUNT_CODES, now.codes_changed - told->codes_changed);
    fly_count(bus, FLY_COUNT_EDGES, now.edges_flipped - told->edges_flipped);
    fly_count(bus, FLY_COUNT_VISITED, now.nodes_visited - told->nodes_visited);
    fly_count(bus, FLY_COUNT_MOVED, now.nodes_moved - told->nodes_moved);
    fly_count(bus, FLY_COUNT_ROWS_READ, now.rows_read - told->rows_read);
    fly_count(bus, FLY_COUNT_NOT_COMPARED, now.not_compared - told->not_compared);
    fly_count(bus, FLY_COUNT_EPOCHS, now.epochs - told->epochs);
    *told = now;
    stage->shown = now.features_changed;
    pthread_mutex_lock(&bus->lock);
    bus->status.backlog_chips = fly_engine_backlog(engine, NULL, NULL);
    bus->status.range_known = fly_engine_range(engine, &bus->status.range_lo, &bus->status.range_hi);
    pthread_mutex_unlock(&bus->lock);
}

void fly_stage_tell_range(struct fly_stage_engine *stage)
{
    unsigned char bytes[64];
    struct fly_pack pack;
    double lo, hi;

    if (stage->range_told || !fly_engine_range(fly_session_engine(stage->session), &lo, &hi))
        return;
    stage->range_told = 1;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "lo");
    fly_pack_f64(&pack, lo);
    fly_pack_str(&pack, "hi");
    fly_pack_f64(&pack, hi);
    fly_bus_event(stage->config.bus, FLY_INFO, "haadf_range", bytes, pack.len,
                  "intensities %g .. %g become 0 .. 255 from here to the end of the session", lo, hi);
}

/* At most one a second and modality; what `metrics` says holds anyway. */
static void tell_jumps(struct fly_stage_engine *stage)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    struct fly_threshold_jump jump;
    enum fly_modality modality;
    unsigned char bytes[128];
    struct fly_pack pack;

    while (fly_engine_jump(engine, &modality, &jump)) {
        int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

        if (stage->jump_ns[modality] && now - stage->jump_ns[modality] < JUMP_TOLD_NS)
            continue; /* a scan that begins jumps with each row */
        stage->jump_ns[modality] = now;
        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_map(&pack, 3);
        fly_pack_str(&pack, "modality");
        fly_pack_str(&pack, fly_modality_name(modality));
        fly_pack_str(&pack, "from");
        fly_pack_f64(&pack, jump.from);
        fly_pack_str(&pack, "to");
        fly_pack_f64(&pack, jump.to);
        fly_bus_event(stage->config.bus, FLY_INFO, "threshold_jump", bytes, pack.len,
                      "the threshold of %s went from %.2f to %.2f: its communities answer another question now",
                      fly_modality_name(modality), jump.from, jump.to);
    }
}

/* What became of the clusters of the maps that changed. */
static void take_news(struct fly_stage_engine *stage)
{
    struct fly_engine *engine = fly_session_engine(stage->session);

    for (int m = 0; m < FLY_MAPS; m++) {
        int fresh;
        const struct fly_story *story = fly_engine_story(engine, m, &fresh);

        if (story && fresh)
            fly_cluster_news_add(&stage->news[m], story);
    }
}

void fly_stage_tell_waiting(struct fly_stage_engine *stage)
{
    int32_t waiting = fly_session_recall(stage->session)->n;
    unsigned char bytes[32];
    struct fly_pack pack;

    if (waiting == stage->names_waiting || fly_ring_len(&stage->inputs) > 0)
        return;
    stage->names_waiting = waiting;
    if (waiting == 0)
        return;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "count");
    fly_pack_int(&pack, waiting);
    fly_bus_event(stage->config.bus, FLY_INFO, "names_wait", bytes, pack.len,
                  waiting == 1 ? "%d cluster that was given a name or a role has no like now"
                               : "%d clusters that were given a name or a role have no like now", waiting);
}

void fly_stage_cut_epoch(struct fly_stage_engine *stage, int final)
{
    int changed = fly_session_epoch(stage->session);

    stage->urgent = 0;
    stage->epoch_ns = stage->config.clock.mono_ns(stage->config.clock.ctx);
    fill_maps(stage, &stage->maps, final);
    take_news(stage);
    fly_stage_mark_journal(stage, FLY_MARK_EPOCH, stage->maps.epoch);
    tell_counts(stage);
    tell_jumps(stage);
    if (!changed && !final)
        return;
    fly_bus_post_maps(stage->config.bus, &stage->maps);
    for (int m = 0; m < FLY_MAPS; m++)
        stage->clusters_due[m] = fly_maps_has_map(stage->info, m);
}

/* Chips that are like no class and lie together: a phase that nobody has named yet. */
static void tell_unknown(struct fly_stage_engine *stage, int map)
{
    const struct fly_grid *grid = &stage->info->plan.grid;
    size_t chips = (size_t)fly_grid_chips(grid);
    int32_t *scratch = malloc(2 * chips * sizeof *scratch), n, most = 0;
    struct fly_region_found found[UNKNOWN_REGIONS];
    unsigned char bytes[160];
    struct fly_pack pack;

    if (!scratch)
        return; /* it is told another time */
    n = fly_unknown_regions(stage->maps.labels[map], grid->rows, grid->cols, FLY_LABEL_UNKNOWN, FLY_NOVEL_CHIPS_MIN,
                            scratch, found, UNKNOWN_REGIONS, scratch + chips);
    free(scratch);
    if (n > stage->unknown_regions) {
        for (int32_t i = 1; i < n && i < UNKNOWN_REGIONS; i++)
            most = found[i].chips > found[most].chips ? i : most;
        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_map(&pack, 4);
        fly_pack_str(&pack, "modality");
        fly_pack_str(&pack, fly_modality_name(fly_map_modality(map)));
        fly_pack_str(&pack, "regions");
        fly_pack_int(&pack, n);
        fly_pack_str(&pack, "chips");
        fly_pack_int(&pack, found[most].chips);
        fly_pack_str(&pack, "box");
        fly_pack_array(&pack, 4);
        fly_pack_int(&pack, found[most].row0);
        fly_pack_int(&pack, found[most].col0);
        fly_pack_int(&pack, found[most].row1 - found[most].row0 + 1);
        fly_pack_int(&pack, found[most].col1 - found[most].col0 + 1);
        fly_bus_event(stage->config.bus, FLY_INFO, "unknown_region", bytes, pack.len,
                      n == 1 ? "%d region is like none of the classes, of %d chips around row %d, column %d: name it to have "
                               "it told"
                             : "%d regions are like none of the classes, the largest of %d chips around row %d, column %d: "
                               "name one of them to have it told", (int)n, (int)found[most].chips,
                      (int)(found[most].row0 + found[most].row1) / 2, (int)(found[most].col0 + found[most].col1) / 2);
    }
    stage->unknown_regions = n;
}

/* Of few-shot's maps the one that all modalities have their say in. */
static int is_whole_fewshot(const struct fly_stage_engine *stage, int map)
{
    const struct fly_plan *plan = &stage->info->plan;
    enum fly_modality whole = plan->image < 0 ? FLY_EDS : plan->n_segments ? FLY_ENSEMBLE : FLY_HAADF;

    return map == fly_map_index(FLY_FEWSHOT, whole);
}

int fly_stage_tell_clusters(struct fly_stage_engine *stage, int map)
{
    if (!stage->clusters_due[map])
        return 0;
    stage->clusters_due[map] = 0;
    fly_clusters_make(stage->clusters, fly_session_engine(stage->session), &stage->maps, map,
                      &stage->news[map]);
    fly_bus_post_clusters(stage->config.bus, stage->clusters);
    if (is_whole_fewshot(stage, map))
        tell_unknown(stage, map);
    return 1;
}

/* One map at a time, now and then: they cost more than the map, and take at most a twentieth of the time. */
void fly_stage_tell_next_clusters(struct fly_stage_engine *stage)
{
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (now < stage->clusters_ns)
        return;
    for (int i = 0; i < FLY_MAPS; i++) {
        int map = stage->clusters_next;

        stage->clusters_next = (map + 1) % FLY_MAPS;
        if (fly_stage_tell_clusters(stage, map)) {
            int64_t cost = stage->config.clock.mono_ns(stage->config.clock.ctx) - now;

            stage->clusters_ns = now + (20 * cost > CLUSTERS_EVERY_NS ? 20 * cost : CLUSTERS_EVERY_NS);
            return;
        }
    }
}

/* At most a frame measured or a size advised at a time, and a twentieth of the time in all. */
void fly_stage_tell_quality(struct fly_stage_engine *stage, int final)
{
    struct fly_engine *engine = fly_session_engine(stage->session);
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx), cost;
    struct fly_quality quality;
    struct fly_event event;

    if (stage->ended || (!final && (!stage->quality_due || now < stage->quality_ns)))
        return;
    do
        stage->quality_due = fly_engine_quality_step(engine);
    while (final && stage->quality_due);
    fly_stage_adopt_shifts(stage);
    fly_engine_quality(engine, &quality);
    fly_bus_post_quality(stage->config.bus, stage->info->serial, &quality);
    while (fly_quality_watch_next(&stage->quality, &quality, now, &event))
        fly_bus_event(stage->config.bus, event.level, event.code, event.data, event.data_len, "%s", event.text);
    cost = stage->config.clock.mono_ns(stage->config.clock.ctx) - now;
    stage->quality_ns = now + (20 * cost > QUALITY_EVERY_NS ? 20 * cost : QUALITY_EVERY_NS);
}

void fly_stage_tell_dose(struct fly_stage_engine *stage, int final)
{
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx);

    if (stage->ended || (!final && now < stage->dose_ns) || !fly_dose_differs(&stage->dose, stage->session))
        return;
    stage->dose_ns = now + DOSE_EVERY_NS;
    if (fly_dose_take(&stage->dose, stage->session, stage->as_of) == FLY_OK)
        fly_bus_post_dose(stage->config.bus, &stage->dose);
    else
        fly_bus_event(stage->config.bus, FLY_ERROR, "memory", NULL, 0, "%s", fly_fail_text());
}
