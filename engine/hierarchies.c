/* Hierarchies within the engine: when chips are taken into Ward's trees; and the histories of all maps. */
#include "engine/state.h"

#include <math.h>

enum {
    BLOCK_CHIPS = 64,    /* a tree is updated when a row waits, or this many chips */
    PATIENCE_FIRST = 32, /* steps of first embeddings and compositions that an update waits for */
    PATIENCE_AGAIN = 128, /* of revisions: an update takes all that wait, and costs little more for many */
};

static struct fly_trees_config trees_config(const struct fly_engine *e, const struct fly_tree_config *tree)
{
    struct fly_trees_config config = {
        .tree = *tree,
        .n_chips = fly_grid_chips(&e->config.grid),
        .image_width = !e->config.has_image ? 0
                       : e->config.embedder ? fly_embedder_width(e->config.embedder)
                                            : e->config.embed_width,
        .feature = e->quantifier ? tree->feature : FLY_EDS_SPECTRUM,
        .robust = e->config.profile == FLY_PROFILE_ROBUST,
    };

    if (e->config.segments)
        config.eds_width = config.feature == FLY_EDS_SPECTRUM ? e->config.n_channels : e->n_elements;
    return config;
}

int fly_engine_open_trees(struct fly_engine *engine, const struct fly_tree_config *tree, const struct fly_alloc *alloc)
{
    struct fly_trees_config config = trees_config(engine, tree);
    int rc = fly_trees_check(&config);

    if (rc == FLY_OK)
        rc = fly_arena_init(&engine->trees_arena, fly_trees_need(&config), alloc, "hierarchies");
    if (rc < 0)
        return rc;
    fly_trees_open(&engine->trees, &config, &engine->trees_arena);
    engine->has_trees = 1;
    return FLY_OK;
}

size_t fly_engine_trees_need(const struct fly_engine *engine, const struct fly_tree_config *tree)
{
    struct fly_trees_config config = trees_config(engine, tree);

    return fly_trees_need(&config);
}

/* ---- thinking ------------------------------------------------------------------------------------ */

static int is_due(const struct fly_engine *e, enum fly_tree_source source)
{
    int32_t row = e->config.grid.cols < BLOCK_CHIPS ? e->config.grid.cols : BLOCK_CHIPS;

    return fly_trees_waiting(&e->trees, source) >= row;
}

int fly_engine_think_trees(struct fly_engine *engine, enum fly_need need)
{
    struct fly_engine *e = engine;
    int32_t patience = need == FLY_NEED_FIRST ? PATIENCE_FIRST : need == FLY_NEED_AGAIN ? PATIENCE_AGAIN : 0;

    for (int s = 0; e->has_trees && s < FLY_TREES; s++) {
        enum fly_tree_source source = (enum fly_tree_source)s;

        if (fly_trees_waiting(&e->trees, source) == 0 || (need != FLY_NEED_NONE && !is_due(e, source)))
            continue;
        if (e->tree_waited[s] >= patience) {
            struct fly_graph_features features = fly_engine_features(e, e->trees.config.feature);

            fly_trees_update(&e->trees, source, &features, &e->exec);
            e->tree_waited[s] = 0;
            return 1;
        }
        e->tree_waited[s]++;
    }
    return 0;
}

int fly_engine_spare_trees(struct fly_engine *engine, enum fly_need need)
{
    return engine->has_trees && need == FLY_NEED_NONE && !fly_engine_trees_wait(engine) &&
           fly_trees_spare(&engine->trees);
}

int fly_engine_trees_wait(const struct fly_engine *engine)
{
    return engine->has_trees && (fly_trees_waiting(&engine->trees, FLY_TREE_IMAGE) > 0 ||
                                 fly_trees_waiting(&engine->trees, FLY_TREE_EDS) > 0);
}

int fly_engine_has_tree(const struct fly_engine *engine, enum fly_modality modality)
{
    return engine->has_trees && fly_trees_has(&engine->trees, modality);
}

static int no_trees(void)
{
    return fly_fail(FLY_ERANGE, "this session has no hierarchies: it has more chips than tree.chips_max");
}

int fly_engine_set_tree_k(struct fly_engine *engine, int32_t k)
{
    if (!engine->has_trees)
        return no_trees();
    if (k < 1 || k > FLY_TREE_K_MAX)
        return fly_fail(FLY_ERANGE, "tree.k %d, 1 .. %d are possible", k, (int)FLY_TREE_K_MAX);
    fly_trees_set_k(&engine->trees, k);
    engine->asked = 1;
    return FLY_OK;
}

void fly_engine_tree(const struct fly_engine *engine, enum fly_modality modality, struct fly_tree_view *view)
{
    *view = (struct fly_tree_view){.merged = NAN, .parted = NAN};
    if (fly_engine_has_tree(engine, modality))
        fly_trees_view(&engine->trees, modality, view);
}

const struct fly_ward_merge *fly_engine_merges(const struct fly_engine *engine, enum fly_modality modality,
                                               int32_t *merges)
{
    const struct fly_one_tree *one = &engine->trees.one[modality == FLY_HAADF ? FLY_TREE_IMAGE : FLY_TREE_EDS];

    *merges = 0;
    if (!engine->has_trees || modality == FLY_ENSEMBLE || !one->there)
        return NULL;
    *merges = one->ward.count > 0 ? one->ward.count - 1 : 0;
    return one->ward.merge;
}

int fly_engine_ward_exact(const struct fly_engine *engine, enum fly_modality modality, int32_t *labels,
                          float *confidence)
{
    if (!fly_engine_has_tree(engine, modality))
        return no_trees();
    FLY_ASSERT(!fly_engine_busy(engine) && !fly_trees_untold(&engine->trees));
    for (int32_t k = 0; k < engine->n_chips; k++) {
        labels[k] = engine->trees.raw[modality][k];
        confidence[k] = engine->trees.confidence[modality][k];
    }
    return FLY_OK;
}

/* ---- histories ----------------------------------------------------------------------------------- */

/* The maps that a session of these parts has. */
static void maps_there(const struct fly_engine *e, int graphs, int trees, uint8_t there[FLY_MAPS])
{
    int image = e->config.has_image, eds = e->config.segments > 0;
    const int has[FLY_MODALITIES] = {image, eds, image && eds};

    for (int map = 0; map < FLY_MAPS; map++) {
        enum fly_method method = fly_map_method(map);
        int made = method == FLY_FEWSHOT || (method == FLY_COMMUNITY ? graphs : trees);

        there[map] = (uint8_t)(has[fly_map_modality(map)] && made);
    }
}

/* Somebody watches: calmer pictures beside the maps. */
static int is_calm(const struct fly_engine *e)
{
    return e->config.profile == FLY_PROFILE_ROBUST;
}

static size_t margin_need(const struct fly_engine *e)
{
    return is_calm(e) ? fly_arena_need((size_t)fly_grid_chips(&e->config.grid), sizeof(float)) : 0;
}

size_t fly_engine_histories_need(const struct fly_engine *engine, const struct fly_graph_config *graph,
                                 const struct fly_tree_config *tree)
{
    uint8_t there[FLY_MAPS];

    maps_there(engine, graph != NULL, tree != NULL, there);
    return fly_size_add(fly_histories_need(fly_grid_chips(&engine->config.grid), there, is_calm(engine)),
                        margin_need(engine));
}

int fly_engine_open_histories(struct fly_engine *engine, const struct fly_alloc *alloc)
{
    struct fly_engine *e = engine;
    uint8_t there[FLY_MAPS];
    int rc;

    maps_there(e, e->graphs != NULL, e->has_trees, there);
    rc = fly_arena_init(&e->histories_arena,
                        fly_size_add(fly_histories_need(e->n_chips, there, is_calm(e)), margin_need(e)), alloc,
                        "stable maps");
    if (rc < 0)
        return rc;
    fly_histories_init(&e->histories, e->n_chips, there, is_calm(e), &e->histories_arena);
    if (is_calm(e))
        e->margin = fly_arena_take(&e->histories_arena, (size_t)e->n_chips, sizeof *e->margin);
    return FLY_OK;
}

static void tell_communities(struct fly_engine *e, unsigned regrouped)
{
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_graph_view view;
        struct fly_map_view map;

        if (!(regrouped & 1u << m))
            continue;
        fly_graphs_map(e->graphs, (enum fly_modality)m, &map);
        fly_graphs_view(e->graphs, (enum fly_modality)m, &view);
        fly_history_step(&e->histories, fly_map_index(FLY_COMMUNITY, (enum fly_modality)m), map.labels, view.told,
                         map.confidence, map.age);
    }
}

static int tell_trees(struct fly_engine *e)
{
    unsigned changed = fly_trees_tell(&e->trees);

    for (int m = 0; m < FLY_ENSEMBLE; m++)
        if (changed & 1u << m)
            fly_history_step(&e->histories, fly_map_index(FLY_WARD, (enum fly_modality)m), e->trees.raw[m], 1,
                             e->trees.confidence[m], e->trees.age[m]);
    if (changed & 1u << FLY_ENSEMBLE)
        fly_history_vote(&e->histories, e->trees.confidence[FLY_ENSEMBLE]);
    return changed != 0;
}

/* By how much few-shot prefers a chip's label to the next, where it is not shown yet. */
static void find_margins(struct fly_engine *e, int m, const int32_t *shown)
{
    const struct fly_modality_state *mod = &e->modality[m];

    for (int32_t k = 0; k < e->n_chips; k++) {
        const double *score = mod->scores + (size_t)k * FLY_CLASSES_MAX;
        double next = 0.0;

        if (mod->labels[k] < 0 || mod->labels[k] == shown[k])
            continue;
        for (int32_t c = 0; c < e->support.n_classes; c++)
            if (c != mod->labels[k] && score[c] > next)
                next = score[c];
        e->margin[k] = (float)(score[mod->labels[k]] - next);
    }
}

/* Of communities and Ward's clusters nobody knows a margin. Shown at once is what a person asked for, and what there is
 * when nothing came or no more will. */
static int calm_down(struct fly_engine *e, int news)
{
    int plain = e->asked || e->finished || !news, anything = 0;

    e->asked = 0;
    for (int map = 0; e->histories.calm && map < FLY_MAPS; map++) {
        struct fly_history *h = &e->histories.of[map];
        enum fly_modality m = fly_map_modality(map);
        int fewshot = fly_map_method(map) == FLY_FEWSHOT;

        if (!h->there)
            continue;
        if (fewshot)
            find_margins(e, (int)m, h->debounce.shown);
        anything |= fly_history_calm(&e->histories, map, fewshot ? e->modality[m].labels : h->label,
                                     fewshot ? e->margin : NULL, plain);
    }
    return anything;
}

int fly_engine_tell_histories(struct fly_engine *engine, unsigned regrouped, int relabelled)
{
    struct fly_engine *e = engine;
    int anything = regrouped || relabelled;

    for (int map = 0; map < FLY_MAPS; map++)
        e->histories.of[map].fresh = 0;
    for (int m = 0; relabelled && m < FLY_MODALITIES; m++)
        if (e->histories.of[fly_map_index(FLY_FEWSHOT, (enum fly_modality)m)].there)
            fly_history_tell(&e->histories, fly_map_index(FLY_FEWSHOT, (enum fly_modality)m), e->modality[m].labels);
    tell_communities(e, regrouped);
    if (e->has_trees)
        anything |= tell_trees(e);
    return anything | calm_down(e, anything);
}

int fly_engine_unsettled(const struct fly_engine *engine)
{
    const struct fly_histories *h = &engine->histories;

    for (int map = 0; h->calm && map < FLY_MAPS; map++)
        if (h->of[map].there && h->of[map].debounce.waiting > 0)
            return 1;
    return 0;
}

const struct fly_story *fly_engine_story(const struct fly_engine *engine, int map, int *fresh)
{
    const struct fly_history *h = &engine->histories.of[map];

    *fresh = h->fresh;
    return h->there ? &h->story : NULL;
}

struct fly_names *fly_engine_names(struct fly_engine *engine, int map)
{
    struct fly_history *h = &engine->histories.of[map];

    return h->there ? &h->names : NULL;
}
