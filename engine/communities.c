/* Communities within the engine: when chips are taken into the affinity graphs, and what is seen of them. */
#include "engine/state.h"

#include <math.h>
#include <string.h>

enum {
    SPARE_CHIPS = 64,      /* a block: graphs are updated when a row waits, or this */
    PATIENCE_FIRST = 8,    /* steps of first embeddings and compositions that an update waits for */
    PATIENCE_AGAIN = 16,    /* of revisions */
    PATIENCE_SPARE = 64,   /* steps of any kind that spare work waits for */
};

static struct fly_graphs_config graphs_config(const struct fly_engine *e, const struct fly_graph_config *graph)
{
    struct fly_graphs_config config = {
        .graph = *graph,
        .n_chips = fly_grid_chips(&e->config.grid),
        .rows = e->config.grid.rows,
        .cols = e->config.grid.cols,
        .image_width = !e->config.has_image  ? 0
                       : e->config.embedder ? fly_embedder_width(e->config.embedder)
                                            : e->config.embed_width,
        .robust = e->config.profile == FLY_PROFILE_ROBUST,
    };

    if (!e->quantifier)
        config.graph.feature = FLY_EDS_SPECTRUM;
    config.feature = config.graph.feature;
    if (e->config.segments)
        config.eds_width = config.feature == FLY_EDS_SPECTRUM ? e->config.n_channels : e->n_elements;
    return config;
}

static int check(const struct fly_graph_config *graph)
{
    if (!isfinite(graph->fixed) || graph->fixed < 0.0 || graph->fixed >= 2.0)
        return fly_fail(FLY_ERANGE, "graph.threshold %g, 0 .. 1.9 are possible", graph->fixed);
    if (graph->resolution < 1 || graph->resolution > FLY_RESOLUTION_MAX)
        return fly_fail(FLY_ERANGE, "graph.resolution %g, 0 .. 64 are possible",
                        (double)graph->resolution / FLY_RESOLUTION_ONE);
    if (!(graph->weights[0] >= 0.0 && graph->weights[1] >= 0.0 && graph->weights[0] + graph->weights[1] > 0.0))
        return fly_fail(FLY_ERANGE, "graph.weights %g, %g: neither below 0, not both 0", graph->weights[0],
                        graph->weights[1]);
    if (graph->min_counts < 0)
        return fly_fail(FLY_ERANGE, "graph.min_counts %lld, at least 0", (long long)graph->min_counts);
    return FLY_OK;
}

int fly_engine_open_graphs(struct fly_engine *engine, const struct fly_graph_config *graph,
                           const struct fly_alloc *alloc)
{
    struct fly_graphs_config config = graphs_config(engine, graph);
    int rc = check(graph);

    if (rc == FLY_OK && (config.n_chips > FLY_WEIGHTED_NODES_MAX))
        rc = fly_fail(FLY_ERANGE, "%d chips, at most %d can be compared with each other", config.n_chips,
                      (int)FLY_WEIGHTED_NODES_MAX);
    if (rc == FLY_OK)
        rc = fly_arena_init(&engine->graphs_arena, fly_graphs_need(&config), alloc, "affinity graphs");
    if (rc < 0)
        return rc;
    return fly_graphs_open(&engine->graphs, &config, &engine->graphs_arena);
}

size_t fly_engine_graphs_need(const struct fly_engine *engine, const struct fly_graph_config *graph)
{
    struct fly_graphs_config config = graphs_config(engine, graph);

    return fly_graphs_need(&config);
}

/* ---- thinking ------------------------------------------------------------------------------------ */

static uint64_t chip_total(const void *ctx, int32_t chip)
{
    const struct fly_engine *e = ctx;

    return fly_spectra_total(e->spectra, chip);
}

struct fly_graph_features fly_engine_features(const struct fly_engine *engine, enum fly_eds_feature feature)
{
    const struct fly_engine *e = engine;
    int composition = feature == FLY_EDS_COMPOSITION;

    return (struct fly_graph_features){
        .embeddings = fly_engine_comparable(e),
        .embedded = e->modality[FLY_HAADF].measured,
        .image_version = e->modality[FLY_HAADF].version,
        .spectra = e->spectra && !composition ? fly_spectra_of(e->spectra, 0) : NULL,
        .percent = composition ? e->percent : NULL,
        .eds_there = composition ? e->made : e->modality[FLY_EDS].measured,
        .spectrum_total = e->spectra ? chip_total : NULL,
        .ctx = e,
        .eds_version = composition ? e->made_version : e->modality[FLY_EDS].version,
    };
}

/* A row of chips, or a block of it, makes an update worth its fixed cost. */
static int is_due(const struct fly_engine *e)
{
    int32_t row = e->config.grid.cols < SPARE_CHIPS ? e->config.grid.cols : SPARE_CHIPS;

    return fly_graphs_waiting(e->graphs) >= row;
}

static void update(struct fly_engine *e)
{
    struct fly_graph_features features = fly_engine_features(e, fly_graphs_config(e->graphs)->feature);

    fly_graphs_update(e->graphs, &features, &e->exec);
    e->update_waited = 0;
    e->spare_waited++;
}

int fly_engine_think(struct fly_engine *engine, enum fly_need need)
{
    struct fly_engine *e = engine;
    int32_t patience = need == FLY_NEED_FIRST ? PATIENCE_FIRST : need == FLY_NEED_AGAIN ? PATIENCE_AGAIN : 0;

    if (!e->graphs)
        return fly_engine_think_trees(e, need) || fly_engine_spare_trees(e, need);
    if (fly_graphs_waiting(e->graphs) > 0 && (need == FLY_NEED_NONE || is_due(e))) {
        if (e->update_waited >= patience) {
            update(e);
            return 1;
        }
        e->update_waited++;
    }
    if (fly_engine_think_trees(e, need))
        return 1;
    if (fly_engine_spare_trees(e, need))
        return 1;
    if (e->finished) /* the exact answer comes: there is nothing to seek */
        return 0;
    if (need != FLY_NEED_NONE && e->spare_waited < PATIENCE_SPARE) {
        e->spare_waited++;
        return 0;
    }
    if (!fly_graphs_spare(e->graphs, &e->exec))
        return 0;
    e->spare_waited = 0;
    return 1;
}

int fly_engine_busy(const struct fly_engine *engine)
{
    const int32_t *embed = engine->to_embed.len, *quantify = engine->to_quantify.len;

    return (fly_engine_can_embed(engine) && embed[FLY_QUEUE_FIRST] + embed[FLY_QUEUE_AGAIN] > 0) ||
           quantify[FLY_QUEUE_FIRST] + quantify[FLY_QUEUE_AGAIN] > 0 ||
           (engine->graphs && fly_graphs_waiting(engine->graphs) > 0) || fly_engine_trees_wait(engine) ||
           fly_engine_reliability_waits(engine);
}

int fly_engine_regrouped(const struct fly_engine *engine)
{
    return (engine->graphs && fly_graphs_untold(engine->graphs)) ||
           (engine->has_trees && fly_trees_untold(&engine->trees));
}

/* Exact as soon as nothing waits after the last data, and again whenever something changed since. */
unsigned fly_engine_tell_graphs(struct fly_engine *engine)
{
    struct fly_engine *e = engine;
    struct fly_graphs_work work;

    if (!e->graphs)
        return 0;
    fly_graphs_work(e->graphs, &work);
    if (e->finished && !fly_engine_busy(e) && (e->exact_updates != work.updates || !e->is_exact)) {
        fly_graphs_finish(e->graphs, &e->exec);
        e->exact_updates = work.updates;
        e->is_exact = 1;
    }
    return fly_graphs_tell(e->graphs);
}

/* ---- what a person says, and sees ---------------------------------------------------------------- */

static int no_graphs(void)
{
    return fly_fail(FLY_ERANGE, "this session has no affinity graphs: it has more chips than graph.chips_max");
}

int fly_engine_set_graph(struct fly_engine *engine, const struct fly_graph_config *config)
{
    struct fly_graph_config now;
    int rc = check(config);

    if (rc < 0)
        return rc;
    if (!engine->graphs)
        return no_graphs();
    now = *fly_graphs_config(engine->graphs);
    if (config->binary != now.binary || config->min_counts != now.min_counts)
        return fly_fail(FLY_ERANGE, "what edges weigh and how many counts a spectrum needs stay as a session began");
    now.rule = config->rule;
    now.fixed = config->fixed;
    now.resolution = config->resolution;
    now.by_reliability = config->by_reliability;
    memcpy(now.weights, now.by_reliability ? engine->reliability.use[FLY_REPEAT_COMMUNITY].weight : config->weights,
           sizeof now.weights);
    fly_graphs_set(engine->graphs, &now, &engine->exec);
    engine->is_exact = 0;
    engine->asked = 1;
    return FLY_OK;
}

int fly_engine_has_graph(const struct fly_engine *engine, enum fly_modality modality)
{
    return engine->graphs && fly_graphs_has(engine->graphs, modality);
}

void fly_engine_graph(const struct fly_engine *engine, enum fly_modality modality, struct fly_graph_view *view)
{
    *view = (struct fly_graph_view){.modularity = NAN, .threshold = NAN, .bin = -1};
    if (engine->graphs)
        fly_graphs_view(engine->graphs, modality, view);
}

const struct fly_affinity *fly_engine_affinity(const struct fly_engine *engine, enum fly_modality modality)
{
    return engine->graphs ? fly_graphs_affinity(engine->graphs, modality) : NULL;
}

int fly_engine_exact(struct fly_engine *engine, enum fly_modality modality, int32_t *labels, float *confidence,
                     struct fly_graph_view *view)
{
    FLY_ASSERT(!fly_engine_busy(engine));
    return engine->graphs ? fly_graphs_exact(engine->graphs, modality, labels, confidence, view, &engine->exec)
                          : no_graphs();
}

int fly_engine_curve(struct fly_engine *engine, enum fly_modality modality, struct fly_graph_point *points,
                     int32_t count)
{
    return engine->graphs ? fly_graphs_curve(engine->graphs, modality, points, count,
                                             engine->histories.of[fly_map_index(FLY_COMMUNITY, modality)].label,
                                             engine->modality[modality].labels)
                          : no_graphs();
}

int fly_engine_jump(struct fly_engine *engine, enum fly_modality *modality, struct fly_threshold_jump *jump)
{
    for (int m = 0; engine->graphs && m < FLY_MODALITIES; m++)
        if (fly_graphs_jump(engine->graphs, (enum fly_modality)m, jump)) {
            *modality = (enum fly_modality)m;
            return 1;
        }
    return 0;
}
