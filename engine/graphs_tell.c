#include "engine/graphs_state.h"

#include <math.h>
#include <string.h>

#include "engine/base/agreement.h"

enum { CURVE_ORDERS = 4 };

/* ---- telling ------------------------------------------------------------------------------------- */

static int known_as(const struct fly_graphs *g, int m, int32_t k)
{
    int a = m == FLY_EDS ? FLY_CHIP_TAKEN : g->known[FLY_OF_IMAGE][k], b = m == FLY_HAADF ? FLY_CHIP_TAKEN : g->known[FLY_OF_EDS][k];

    if (a == FLY_CHIP_UNKNOWN || b == FLY_CHIP_UNKNOWN)
        return FLY_CHIP_UNKNOWN;
    return a == FLY_CHIP_TOO_LITTLE || b == FLY_CHIP_TOO_LITTLE ? FLY_CHIP_TOO_LITTLE : FLY_CHIP_TAKEN;
}

static void tell_chip(struct fly_graphs *g, int m, int32_t k)
{
    struct fly_one_graph *one = &g->one[m];
    uint32_t a = g->version[FLY_OF_IMAGE][k], b = g->version[FLY_OF_EDS][k];
    int known = known_as(g, m, k);

    one->age[k] = (m != FLY_EDS && a ? a - 1 : 0) + (m != FLY_HAADF && b ? b - 1 : 0);
    one->confidence[k] = NAN;
    if (known == FLY_CHIP_UNKNOWN) {
        one->label[k] = FLY_LABEL_PENDING;
    } else if (known == FLY_CHIP_TOO_LITTLE || !one->live.told) {
        one->label[k] = FLY_LABEL_TOO_LITTLE;
    } else {
        one->label[k] = one->live.label[k];
        one->confidence[k] = one->live.share[k];
    }
}

int fly_graphs_untold(const struct fly_graphs *graphs)
{
    for (int m = 0; m < FLY_MODALITIES; m++)
        if (graphs->one[m].graph && (graphs->one[m].moved || graphs->one[m].live.changed))
            return 1;
    return 0;
}

unsigned fly_graphs_tell(struct fly_graphs *graphs)
{
    unsigned changed = 0;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_one_graph *one = &graphs->one[m];

        if (!one->graph)
            continue;
        one->moved |= fly_live_tell(&one->live);
        for (int32_t k = 0; one->moved && k < graphs->n; k++)
            tell_chip(graphs, m, k);
        changed |= one->moved ? 1u << m : 0;
        one->moved = 0;
    }
    return changed;
}

void fly_graphs_map(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_map_view *view)
{
    const struct fly_one_graph *one = &graphs->one[modality];

    *view = (struct fly_map_view){
        .labels = one->label, .confidence = one->confidence, .age = one->age, .stamp = graphs->stamp};
}

void fly_graphs_view(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_graph_view *view)
{
    const struct fly_one_graph *one = &graphs->one[modality];

    *view = (struct fly_graph_view){.modularity = NAN, .threshold = NAN, .bin = -1};
    if (!one->graph || fly_affinity_count(one->graph) < 2)
        return;
    view->modularity = one->live.q;
    view->threshold = fly_affinity_threshold(one->graph);
    view->bin = fly_affinity_bin(one->graph);
    view->chips = fly_affinity_count(one->graph);
    view->edges = fly_affinity_edges(one->graph);
    view->communities = one->live.count;
    view->told = one->live.told;
}

int fly_graphs_jump(struct fly_graphs *graphs, enum fly_modality modality, struct fly_threshold_jump *jump)
{
    return graphs->one[modality].graph && fly_affinity_jump(graphs->one[modality].graph, jump);
}

/* ---- exact --------------------------------------------------------------------------------------- */

static void add_other(struct fly_graphs *g, const struct fly_graph_work *before)
{
    fly_graph_work_add(&g->other, before, &g->cold.work);
}

void fly_graphs_finish(struct fly_graphs *graphs, const struct fly_exec *exec)
{
    struct fly_graph_work before = graphs->cold.work;
    struct fly_live_exact told;

    FLY_ASSERT(graphs->waiting == 0);
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_one_graph *one = &graphs->one[m];
        int rc = one->graph ? fly_live_exact(&one->live, &graphs->cold, &graphs->exact, NULL, &told, 1, exec,
                                             &graphs->lent)
                            : FLY_OK;

        FLY_ASSERT(rc == FLY_OK);
    }
    add_other(graphs, &before);
}

int fly_graphs_exact(struct fly_graphs *graphs, enum fly_modality modality, int32_t *labels, float *confidence,
                     struct fly_graph_view *view, const struct fly_exec *exec)
{
    struct fly_graphs *g = graphs;
    struct fly_one_graph *one = &g->one[modality];
    struct fly_graph_work before = g->cold.work;
    struct fly_live_exact told;
    int rc;

    if (!one->graph)
        return fly_fail(FLY_ERANGE, "there is no graph of %s", fly_modality_name(modality));
    rc = fly_live_exact(&one->live, &g->cold, &g->exact, confidence, &told, 0, exec, &g->lent);
    add_other(g, &before);
    if (rc < 0)
        return rc;
    fly_graphs_view(g, modality, view);
    view->modularity = fly_affinity_count(one->graph) < 2 ? NAN : told.q;
    view->threshold = fly_affinity_count(one->graph) < 2 ? NAN : told.threshold;
    view->bin = told.bin;
    view->told = told.enough;
    view->communities = told.enough ? g->exact.count - g->exact.minor_count : 0;
    for (int32_t k = 0; k < g->n; k++) {
        int known = known_as(g, modality, k);

        labels[k] = known == FLY_CHIP_UNKNOWN                        ? FLY_LABEL_PENDING
                    : known == FLY_CHIP_TOO_LITTLE || !told.enough ? FLY_LABEL_TOO_LITTLE
                                                          : g->exact.wire[k];
        if (labels[k] < 0)
            confidence[k] = NAN;
    }
    return FLY_OK;
}

/* Over the chips that both label; NaN where there are none. */
static double agreement(struct fly_graphs *g, const int32_t *a, const int32_t *b)
{
    int32_t *x = g->spare_labels, *y = g->spare_labels + g->n, n = 0;

    for (int32_t k = 0; k < g->n; k++)
        if (a[k] >= 0 && b[k] >= 0) {
            x[n] = a[k];
            y[n++] = b[k];
        }
    return n ? fly_ami(x, y, n) : NAN;
}

int fly_graphs_curve(struct fly_graphs *graphs, enum fly_modality modality, struct fly_graph_point *points,
                     int32_t count, const int32_t *shown, const int32_t *fewshot)
{
    struct fly_graphs *g = graphs;
    struct fly_one_graph *one = &g->one[modality];
    struct fly_louvain_config config = {.resolution = g->config.graph.resolution, .orders = CURVE_ORDERS,
                                        .probes = 1, .seed = 1};
    struct fly_graph_work before = g->cold.work;
    const uint8_t *in;
    int rc = FLY_OK;

    if (!one->graph)
        return fly_fail(FLY_ERANGE, "there is no graph of %s", fly_modality_name(modality));
    in = fly_affinity_members(one->graph);
    for (int32_t i = 0; rc == FLY_OK && i < count; i++) {
        struct fly_affinity_stand stand;
        struct fly_dense dense;

        fly_affinity_look_at(one->graph, points[i].threshold, &stand);
        dense = fly_affinity_dense(one->graph);
        rc = fly_louvain_cold(&g->cold, &dense, &config);
        if (rc == FLY_OK) {
            fly_louvain_finish(&g->cold);
            for (int32_t k = 0; k < g->n; k++)
                g->cold.label[k] = in[k] ? g->cold.label[k] : FLY_COMMUNITY_NONE;
            fly_communities_fill(&g->exact, g->cold.label, g->n);
            points[i].edges = fly_affinity_edges(one->graph);
            points[i].modularity = g->cold.q;
            points[i].communities = g->exact.count - g->exact.minor_count;
            points[i].minor_chips = g->exact.minor_chips;
            points[i].ami_now = agreement(g, g->exact.wire, shown);
            points[i].ami_fewshot = agreement(g, g->exact.wire, fewshot);
        }
        fly_affinity_return(one->graph, &stand);
    }
    add_other(g, &before);
    return rc;
}

void fly_graphs_work(const struct fly_graphs *graphs, struct fly_graphs_work *work)
{
    *work = (struct fly_graphs_work){.communities = graphs->other, .updates = graphs->updates,
                                     .refused = graphs->refused};
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct fly_affinity_work one;

        if (!graphs->one[m].graph)
            continue;
        one = fly_affinity_work(graphs->one[m].graph);
        work->affinity.pairs += one.pairs;
        work->affinity.products += one.products;
        work->affinity.exact += one.exact;
        work->affinity.codes_changed += one.codes_changed;
        work->affinity.edges_flipped += one.edges_flipped;
        fly_graph_work_add(&work->communities, &(struct fly_graph_work){0}, &graphs->one[m].live.work);
    }
}
