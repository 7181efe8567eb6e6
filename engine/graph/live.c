#include "engine/graph/live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph/coherence.h"

enum { ORDER_SEEDS = 16, PONDER_SEED = 1000, WARM_PROBES = 2 };

/* Chance is asked again when the chips with edges are a quarter more or fewer, or the share of pairs that are
 * edges, or of those that are not, has changed by this part of it; in between its answer is carried by the
 * law of structure.h, which serves small changes. */
static const double DENSITY_MOVED = 0.2;

/* Of the threshold: as far as that is told of (affinity.h). */
static const double JUMP = 0.05;

size_t fly_live_need(int32_t n)
{
    size_t chips = (size_t)n, sum = fly_louvain_need(n, fly_louvain_columns(n));

    sum = fly_size_add(sum, 3 * fly_arena_need(chips, sizeof(int32_t)));
    sum = fly_size_add(sum, fly_arena_need(chips, sizeof(float)));
    return fly_size_add(sum, fly_arena_need(chips, sizeof(uint8_t)));
}

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at);
    return at;
}

void fly_live_init(struct fly_live *live, const struct fly_live_config *config, struct fly_arena *arena)
{
    size_t chips;

    memset(live, 0, sizeof *live);
    live->config = *config;
    live->dense = fly_affinity_dense(config->graph);
    live->n = live->dense.n;
    live->dense.n = 0;
    chips = (size_t)live->n;
    fly_louvain_init(&live->louvain, live->n, fly_louvain_columns(live->n), arena);
    live->label = take(arena, chips, sizeof *live->label);
    live->scratch = take(arena, chips, sizeof *live->scratch);
    live->member = take(arena, chips, sizeof *live->member);
    live->share = take(arena, chips, sizeof *live->share);
    live->fresh = take(arena, chips, sizeof *live->fresh);
    memset(live->fresh, 0, chips);
    for (int32_t i = 0; i < live->n; i++) {
        live->label[i] = FLY_COMMUNITY_NONE;
        live->share[i] = NAN;
        live->louvain.label[i] = i;
    }
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static struct fly_louvain_config quick(const struct fly_live *live)
{
    return (struct fly_louvain_config){.resolution = live->config.resolution, .seed = 1};
}

void fly_live_forget(struct fly_live *live, const int32_t *chips, int32_t count)
{
    /* Small graphs can afford more than to follow, and need it: fly_louvain_warm_orders. */
    if (live->way == FLY_LIVE_STILL && count > 0)
        live->way = live->started && fly_louvain_can_follow(&live->louvain) &&
                            fly_louvain_warm_orders(fly_affinity_count(live->config.graph)) == 0
                        ? FLY_LIVE_FOLLOWS
                        : FLY_LIVE_STARTS;
    for (int32_t c = 0; c < count; c++) {
        if (live->way == FLY_LIVE_FOLLOWS && !live->fresh[chips[c]] && chips[c] < live->dense.n)
            fly_louvain_forget(&live->louvain, chips[c]);
        live->fresh[chips[c]] = 1;
    }
}

void fly_live_resolution(struct fly_live *live, int32_t resolution)
{
    if (resolution == live->config.resolution)
        return;
    live->config.resolution = resolution;
    live->way = FLY_LIVE_STARTS;
}

void fly_live_start(struct fly_live *live)
{
    live->way = FLY_LIVE_STARTS;
}

/* The columns of the answer, so that the next one can follow and shares are known. */
static int stand_on_answer(struct fly_live *live, const int32_t *labels, const struct fly_exec *exec)
{
    struct fly_louvain_config config = quick(live);
    int rc = fly_louvain_warm(&live->louvain, &live->dense, &config, labels, exec);

    if (rc == FLY_OK)
        fly_louvain_finish(&live->louvain);
    return rc;
}

static void count_linked(struct fly_live *live)
{
    live->linked = 0;
    for (int32_t i = 0; i < live->n; i++)
        live->linked += live->dense.degree[i] > 0;
}

/* The graph without the chips that have yet to come. It does not become smaller again. */
static void look_at_graph(struct fly_live *live)
{
    int32_t before = live->dense.n, reach = fly_affinity_reach(live->config.graph);

    live->dense = fly_affinity_dense(live->config.graph);
    live->dense.n = before > reach ? before : reach;
}

static int start_anew(struct fly_live *live, int32_t before, int jumped, const struct fly_exec *exec)
{
    struct fly_louvain *l = &live->louvain;
    struct fly_louvain_config config = quick(live);
    int rc;

    config.orders = fly_louvain_warm_orders(fly_affinity_count(live->config.graph));
    config.probes = config.orders ? WARM_PROBES : 0;
    if (jumped && config.orders == 0) {
        config.orders = 1;
        rc = fly_louvain_cold(l, &live->dense, &config);
    } else {
        for (int32_t i = 0; i < live->dense.n; i++)
            if (!live->started || live->fresh[i] || i >= before)
                l->label[i] = -1;
        rc = fly_louvain_warm(l, &live->dense, &config, l->label, exec);
    }
    if (rc < 0)
        return rc;
    fly_louvain_finish(l);
    return fly_louvain_can_follow(l) ? FLY_OK : stand_on_answer(live, l->label, exec);
}

int fly_live_renew(struct fly_live *live, const struct fly_exec *exec)
{
    double threshold = fly_affinity_threshold(live->config.graph);
    struct fly_graph_work before = live->louvain.work;
    struct fly_louvain_config config = quick(live);
    int moved = !live->started || threshold != live->threshold;
    int jumped = live->started && fabs(threshold - live->threshold) > JUMP - 1e-9;
    int32_t known = live->dense.n;
    int rc = FLY_OK;

    if (live->way == FLY_LIVE_STILL && !moved)
        return FLY_OK;
    look_at_graph(live);
    if (live->way == FLY_LIVE_FOLLOWS && !moved) {
        rc = fly_louvain_follow(&live->louvain, &live->dense, &config);
        if (rc == FLY_OK)
            fly_louvain_finish(&live->louvain);
    } else {
        rc = start_anew(live, known, jumped, exec);
    }
    if (rc < 0)
        return rc;
    fly_graph_work_add(&live->work, &before, &live->louvain.work);
    memset(live->fresh, 0, (size_t)live->n);
    live->way = FLY_LIVE_STILL;
    live->threshold = threshold;
    live->started = 1;
    live->pondered = 0;
    live->changed = 1;
    live->q = live->louvain.q;
    count_linked(live);
    return FLY_OK;
}

int fly_live_ponders(const struct fly_live *live)
{
    return live->started && live->way == FLY_LIVE_STILL && live->dense.m2 > 0 &&
           live->pondered < fly_louvain_orders(live->linked);
}

int fly_live_ponder(struct fly_live *live, struct fly_louvain *cold, const struct fly_exec *exec)
{
    struct fly_louvain_config config = {.resolution = live->config.resolution, .orders = 1, .probes = 1,
                                        .seed = PONDER_SEED + ORDER_SEEDS * (uint64_t)live->orders};
    struct fly_graph_work before = cold->work, own = live->louvain.work;
    int rc = fly_louvain_cold(cold, &live->dense, &config);

    FLY_ASSERT(live->way == FLY_LIVE_STILL);
    if (rc < 0)
        return rc;
    fly_louvain_finish(cold);
    fly_graph_work_add(&live->work, &before, &cold->work);
    live->orders++;
    live->pondered++;
    if (cold->score <= live->louvain.score)
        return FLY_OK;
    rc = stand_on_answer(live, cold->label, exec);
    fly_graph_work_add(&live->work, &own, &live->louvain.work);
    live->changed = 1;
    live->q = live->louvain.q;
    return rc;
}

/* ---- chance -------------------------------------------------------------------------------------- */

static double density(const struct fly_live *live)
{
    double pairs = 0.5 * live->linked * (live->linked - 1.0);

    return pairs > 0.0 ? (double)fly_affinity_edges(live->config.graph) / pairs : 0.0;
}

int fly_live_doubts(const struct fly_live *live)
{
    double p = density(live);

    if (!live->config.want_structure || live->linked < 3)
        return 0;
    return live->null_linked == 0 || 4 * live->linked >= 5 * live->null_linked ||
           5 * live->linked <= 4 * live->null_linked ||
           fabs(p - live->null_density) > DENSITY_MOVED * fmin(live->null_density, 1.0 - live->null_density);
}

void fly_live_doubt(struct fly_live *live, struct fly_arena *arena)
{
    fly_null_fill(&live->null, &live->dense, FLY_RESOLUTION_ONE, 1, arena);
    live->null_linked = live->linked;
    live->null_density = density(live);
    live->changed = 1;
}

/* `labels` (N), below 0 for chips that are not in the graph. member is scratch here. */
static int lies_together(struct fly_live *live, const int32_t *labels)
{
    if (live->config.rows == 0)
        return 1;
    FLY_ASSERT(live->config.rows * live->config.cols == live->n);
    return fabs(fly_coherence(labels, live->config.rows, live->config.cols, live->member)) > FLY_COHERENT;
}

/* Modularity of graphs without structure goes as sqrt((1 - p) / (p N)). */
static int structured(struct fly_live *live)
{
    const uint8_t *in = fly_affinity_members(live->config.graph);
    double p = density(live), was = live->null_density, scale, q;
    struct fly_null null = live->null;

    if (live->dense.m2 == 0)
        return 0;
    if (!live->config.want_structure)
        return 1;
    if (live->null_linked == 0)
        return 0;
    scale = (double)live->null_linked / (double)live->linked;
    if (p > 0.0 && p < 1.0 && was > 0.0 && was < 1.0)
        scale *= (1.0 - p) / p * was / (1.0 - was);
    null.mean *= sqrt(scale);
    null.sd *= sqrt(scale);
    q = live->config.resolution == FLY_RESOLUTION_ONE ? live->q : fly_louvain_plain_q(&live->louvain);
    if (!fly_structure_enough(q, &null))
        return 0;
    for (int32_t i = 0; i < live->n; i++)
        live->scratch[i] = in[i] ? live->louvain.label[i] : FLY_COMMUNITY_NONE;
    return q > FLY_MODULAR || lies_together(live, live->scratch);
}

/* ---- telling ------------------------------------------------------------------------------------- */

static int32_t communities_of(struct fly_live *live)
{
    int32_t *size = live->scratch, count = 0;

    memset(size, 0, (size_t)live->n * sizeof *size);
    for (int32_t i = 0; i < live->n; i++)
        if (live->label[i] >= 0)
            count += ++size[live->label[i]] == FLY_COMMUNITY_SMALLEST;
    return count;
}

int fly_live_tell(struct fly_live *live)
{
    const uint8_t *in = fly_affinity_members(live->config.graph);

    if (!live->changed)
        return 0;
    FLY_ASSERT(live->way == FLY_LIVE_STILL);
    live->changed = 0;
    live->told = structured(live);
    for (int32_t i = 0; i < live->n; i++) {
        live->label[i] = live->told && in[i] ? live->louvain.label[i] : FLY_COMMUNITY_NONE;
        live->share[i] = live->label[i] >= 0 ? (float)fly_louvain_share(&live->louvain, i) : NAN;
    }
    live->count = communities_of(live);
    return 1;
}

/* ---- exact --------------------------------------------------------------------------------------- */

static int find_exact(struct fly_live *live, const struct fly_dense *dense, struct fly_louvain *cold,
                      struct fly_communities *out, float *share, struct fly_live_exact *told,
                      const struct fly_exec *exec, struct fly_arena *arena)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    const uint8_t *in = fly_affinity_members(live->config.graph);
    struct fly_null null;
    double q;
    int rc;

    config.resolution = live->config.resolution;
    rc = fly_louvain_cold(cold, dense, &config);
    if (rc < 0)
        return rc;
    fly_louvain_finish(cold);
    for (int32_t i = 0; i < live->n; i++)
        live->scratch[i] = in[i] ? cold->label[i] : FLY_COMMUNITY_NONE;
    fly_communities_fill(out, live->scratch, live->n);
    *told = (struct fly_live_exact){.threshold = fly_affinity_threshold(live->config.graph),
                                    .bin = fly_affinity_bin(live->config.graph),
                                    .q = cold->q,
                                    .enough = dense->m2 > 0};
    if (!share && !live->config.want_structure)
        return FLY_OK;
    /* The best of the orders is seldom the last: from its own labels it brings its columns. */
    config.orders = config.probes = 0;
    rc = fly_louvain_warm(cold, dense, &config, cold->label, exec);
    if (rc < 0)
        return rc;
    fly_louvain_finish(cold);
    for (int32_t i = 0; share && i < live->n; i++)
        share[i] = in[i] ? (float)fly_louvain_share(cold, i) : NAN;
    if (live->config.want_structure && told->enough) {
        fly_null_fill(&null, dense, FLY_RESOLUTION_ONE, 1, arena);
        q = fly_louvain_plain_q(cold);
        told->enough = fly_structure_enough(q, &null) && (q > FLY_MODULAR || lies_together(live, live->scratch));
    }
    return FLY_OK;
}

int fly_live_exact(struct fly_live *live, struct fly_louvain *cold, struct fly_communities *out, float *share,
                   struct fly_live_exact *told, int adopt, const struct fly_exec *exec,
                   struct fly_arena *arena)
{
    struct fly_affinity *graph = live->config.graph;
    struct fly_affinity_stand stand;
    struct fly_dense dense;
    int rc;

    FLY_ASSERT(live->way == FLY_LIVE_STILL);
    if (adopt)
        fly_affinity_settle(&graph, 1, 1, exec);
    else
        fly_affinity_look(graph, &stand);
    dense = fly_affinity_dense(graph);
    rc = find_exact(live, &dense, cold, out, share, told, exec, arena);
    if (!adopt) {
        fly_affinity_return(graph, &stand);
        return rc;
    }
    if (rc < 0)
        return rc;
    live->dense = dense;
    rc = stand_on_answer(live, cold->label, exec);
    live->started = 1;
    live->threshold = fly_affinity_threshold(graph);
    live->q = live->louvain.q;
    live->changed = 1;
    count_linked(live);
    if (live->config.want_structure)
        fly_live_doubt(live, arena);
    return rc;
}
