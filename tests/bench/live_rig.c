#include "tests/bench/live_rig.h"

#include <string.h>

#include "tests/bench/measure.h"

void rig_open(struct rig *rig, const struct scene *scene, int32_t spares)
{
    struct fly_graphs_config config = {
        .graph = {.rule = FLY_THRESHOLD_P100, .resolution = FLY_RESOLUTION_ONE, .weights = {0.5, 0.5},
                  .feature = FLY_EDS_SPECTRUM, .min_counts = 100},
        .n_chips = scene->n,
        .image_width = SCENE_WIDTH,
        .eds_width = SCENE_CHANNELS,
        .feature = FLY_EDS_SPECTRUM,
        .robust = 1,
    };
    int32_t columns = fly_louvain_columns(scene->n);

    memset(rig, 0, sizeof *rig);
    rig->scene = scene;
    rig->spares = spares;
    bench_check(fly_arena_init(&rig->arena, fly_graphs_need(&config), NULL, "bench"));
    bench_check(fly_graphs_open(&rig->graphs, &config, &rig->arena));
    bench_check(fly_arena_init(&rig->cold_arena, fly_louvain_need(scene->n, columns), NULL, "bench"));
    fly_louvain_init(&rig->cold, scene->n, columns, &rig->cold_arena);
    rig->there = bench_need((size_t)scene->n, sizeof *rig->there);
    rig->version = bench_need((size_t)scene->n, sizeof *rig->version);
}

void rig_close(struct rig *rig)
{
    free(rig->there);
    free(rig->version);
    fly_arena_fini(&rig->arena);
    fly_arena_fini(&rig->cold_arena);
}

double rig_gap(struct rig *rig, enum fly_modality modality)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_dense dense = fly_affinity_dense(fly_graphs_affinity(rig->graphs, modality));
    struct fly_graph_view view;

    config.orders = 8;
    bench_check(fly_louvain_cold(&rig->cold, &dense, &config));
    fly_louvain_finish(&rig->cold);
    fly_graphs_view(rig->graphs, modality, &view);
    return rig->cold.q - view.modularity;
}

void rig_labels(const struct rig *rig, enum fly_modality modality, int32_t *labels)
{
    int32_t n = rig->scene->n, count = 0;
    struct fly_map_view map;

    fly_graphs_map(rig->graphs, modality, &map);
    for (int32_t i = 0; i < n; i++) {
        labels[i] = -1;
        for (int32_t j = 0; j < i && map.labels[i] >= 0 && labels[i] < 0; j++)
            if (map.labels[j] == map.labels[i])
                labels[i] = labels[j];
        if (labels[i] < 0)
            labels[i] = count++;
    }
}

/* ---- a row -------------------------------------------------------------------------------------- */

static struct fly_graph_features features_of(const struct rig *rig)
{
    return (struct fly_graph_features){.embeddings = rig->scene->emb,
                                       .embedded = rig->there,
                                       .image_version = rig->version,
                                       .spectra = rig->scene->spec,
                                       .eds_there = rig->there,
                                       .eds_version = rig->version};
}

static void thresholds(const struct rig *rig, double at[FLY_MODALITIES])
{
    for (int m = 0; m < FLY_MODALITIES; m++)
        at[m] = fly_affinity_threshold(fly_graphs_affinity(rig->graphs, (enum fly_modality)m));
}

static void spare(struct rig *rig, const struct fly_exec *exec)
{
    rig->spare_s = rig->piece_s = 0.0;
    for (int32_t piece = 0; piece < rig->spares; piece++) {
        double begin = bench_now_s(), spent;

        if (!fly_graphs_spare(rig->graphs, exec))
            return;
        spent = bench_now_s() - begin;
        rig->spare_s += spent;
        rig->piece_s = fmax(rig->piece_s, spent);
    }
}

void rig_row(struct rig *rig, int32_t row)
{
    int32_t cols = rig->scene->cols, first = row * cols;
    struct fly_graph_features features = features_of(rig);
    struct fly_exec exec = fly_exec_serial();
    double at[3], wall = bench_wall_s(), before[FLY_MODALITIES], after[FLY_MODALITIES];

    FLY_ASSERT(first <= rig->present);
    thresholds(rig, before);
    at[0] = bench_now_s();
    for (int32_t i = first; i < first + cols; i++) {
        rig->there[i] = 1;
        rig->version[i]++;
        fly_graphs_touch(rig->graphs, i, FLY_GRAPH_IMAGE);
        fly_graphs_touch(rig->graphs, i, FLY_GRAPH_EDS);
    }
    while (fly_graphs_waiting(rig->graphs) > 0)
        fly_graphs_update(rig->graphs, &features, &exec);
    at[1] = bench_now_s();
    fly_graphs_tell(rig->graphs);
    at[2] = bench_now_s();
    rig->update_s = at[1] - at[0];
    rig->tell_s = at[2] - at[1];
    rig->total_s = at[2] - at[0];
    rig->wall_s = bench_wall_s() - wall;
    thresholds(rig, after);
    rig->moved = memcmp(before, after, sizeof before) != 0;
    if (first + cols > rig->present)
        rig->present = first + cols;
    spare(rig, &exec);
}
