#include "tests/bench/image_rig.h"

#include <string.h>

#include "tests/bench/measure.h"

static size_t need_of(const struct fly_vectors_config *vectors)
{
    int32_t n = vectors->n_chips;
    size_t need = fly_vectors_need(vectors) + fly_affinity_need_of(n, SCENE_WIDTH, 0) + fly_live_need(n);

    return need + fly_louvain_need(n, fly_louvain_columns(n)) + fly_arena_need((size_t)n, sizeof(int32_t));
}

void image_rig_open(struct image_rig *rig, const struct scene *scene)
{
    struct fly_vectors_config vectors = {.kind = FLY_VECTORS_F32, .n_chips = scene->n, .width = SCENE_WIDTH};
    struct fly_affinity_config graph = {.rule = FLY_THRESHOLD_P100, .hysteresis = 1};

    memset(rig, 0, sizeof *rig);
    rig->scene = scene;
    bench_check(fly_arena_init(&rig->arena, need_of(&vectors), NULL, "bench"));
    bench_check(fly_vectors_open(&rig->vectors, &vectors, &rig->arena));
    graph.a = rig->vectors;
    bench_check(fly_affinity_open(&rig->graph, &graph, &rig->arena));
    fly_live_init(&rig->live, &(struct fly_live_config){.graph = rig->graph, .resolution = FLY_RESOLUTION_ONE},
                  &rig->arena);
    fly_louvain_init(&rig->cold, scene->n, fly_louvain_columns(scene->n), &rig->arena);
    rig->chips = fly_arena_take(&rig->arena, (size_t)scene->n, sizeof *rig->chips);
    FLY_ASSERT(rig->chips);
}

void image_rig_close(struct image_rig *rig)
{
    fly_arena_fini(&rig->arena);
}

void image_rig_ponder(struct image_rig *rig)
{
    struct fly_exec exec = fly_exec_serial();
    double begin = bench_now_s(), q = rig->live.q;

    if (fly_live_ponders(&rig->live))
        bench_check(fly_live_ponder(&rig->live, &rig->cold, &exec));
    rig->ponder_s = bench_now_s() - begin;
    rig->adopted = rig->live.q > q;
}

double image_rig_gap(struct image_rig *rig)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_dense dense = fly_affinity_dense(rig->graph);

    config.orders = 8;
    bench_check(fly_louvain_cold(&rig->cold, &dense, &config));
    fly_louvain_finish(&rig->cold);
    return rig->cold.q - rig->live.q;
}

void image_rig_row(struct image_rig *rig, int32_t row)
{
    int32_t cols = rig->scene->cols, first = row * cols;
    double at[IMAGE_STAGES + 1], threshold = fly_affinity_threshold(rig->graph);
    struct fly_exec exec = fly_exec_serial();

    for (int32_t i = 0; i < cols; i++)
        rig->chips[i] = first + i;
    at[0] = bench_now_s();
    fly_live_forget(&rig->live, rig->chips, cols);
    at[1] = bench_now_s();
    for (int32_t i = first; i < first + cols; i++)
        bench_check(fly_vectors_put_f32(rig->vectors, i, rig->scene->emb + (size_t)i * SCENE_WIDTH));
    at[2] = bench_now_s();
    fly_affinity_update(&rig->graph, 1, rig->chips, cols, &exec);
    at[3] = bench_now_s();
    fly_affinity_settle(&rig->graph, 1, 0, &exec);
    at[4] = bench_now_s();
    bench_check(fly_live_renew(&rig->live, &exec));
    at[5] = bench_now_s();
    for (int32_t s = 0; s < IMAGE_STAGES; s++)
        rig->stage_s[s] = at[s + 1] - at[s];
    rig->total_s = at[IMAGE_STAGES] - at[0];
    rig->moved = threshold != fly_affinity_threshold(rig->graph);
}
