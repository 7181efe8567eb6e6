#include "engine/graphs.h"

#include <math.h>
#include <string.h>

#include "engine/base/agreement.h"

enum { UNKNOWN = 0, TAKEN, TOO_LITTLE };
enum { IMAGE = 0, EDS, SOURCES };
enum { CURVE_ORDERS = 4 };

struct one {
    struct fly_affinity *graph; /* NULL: there is none of this modality */
    struct fly_live live;
    int32_t *label;
    float *confidence;
    uint32_t *age;
    int moved; /* what is known of chips has changed since it was told */
};

struct fly_graphs {
    struct fly_graphs_config config;
    int32_t n;
    struct fly_vectors *vectors[SOURCES];
    struct one one[FLY_MODALITIES];
    struct fly_louvain cold;
    struct fly_communities exact;
    struct fly_arena lent;        /* of fly_null_need bytes, within ours */
    int32_t *spare_labels;        /* (K) twice */
    uint8_t *waits;               /* (K) enum fly_graph_source, 0: it does not */
    int32_t *queue;               /* (K) a ring */
    int32_t head, waiting;
    uint8_t *known[SOURCES];      /* (K) */
    uint32_t *version[SOURCES];   /* (K) of what was taken */
    int64_t *stamp;               /* (K) 0: nobody's latency */
    struct fly_graph_work other;  /* of cold, but for what live.c counts */
    uint64_t updates, refused;
};

/* ---- open ---------------------------------------------------------------------------------------- */

static double weight_a(const struct fly_graph_config *config)
{
    return config->weights[0] / (config->weights[0] + config->weights[1]);
}

static int there(const struct fly_graphs_config *config, int m)
{
    return (m == FLY_EDS || config->image_width > 0) && (m == FLY_HAADF || config->eds_width > 0);
}

static struct fly_vectors_config vectors_config(const struct fly_graphs_config *config, int source)
{
    int spectra = config->feature == FLY_EDS_SPECTRUM, debiased = source == EDS && spectra && config->robust;

    return (struct fly_vectors_config){.kind = source == IMAGE ? FLY_VECTORS_F32
                                               : spectra       ? FLY_VECTORS_COUNTS
                                                               : FLY_VECTORS_F64,
                                       .n_chips = config->n_chips,
                                       .width = source == IMAGE ? config->image_width : config->eds_width,
                                       .debiased = debiased,
                                       .min_counts = debiased ? config->graph.min_counts : 0};
}

static struct fly_affinity_config affinity_config(const struct fly_graphs *g, int m)
{
    const struct fly_graph_config *c = &g->config.graph;

    return (struct fly_affinity_config){.a = g->vectors[m == FLY_EDS ? EDS : IMAGE],
                                        .b = m == FLY_ENSEMBLE ? g->vectors[EDS] : NULL,
                                        .weight_a = m == FLY_ENSEMBLE ? weight_a(c) : 1.0,
                                        .rule = c->rule,
                                        .fixed = c->fixed,
                                        .binary = c->binary,
                                        .hysteresis = g->config.robust};
}

static size_t graph_need(const struct fly_graphs_config *config, int m)
{
    /* What an affinity needs hangs on the shape of its vectors alone: an empty pair of them will do. */
    return fly_affinity_need_of(config->n_chips, m == FLY_EDS ? 0 : config->image_width,
                                m == FLY_HAADF ? 0 : config->eds_width);
}

static size_t own_need(int32_t n)
{
    size_t chips = (size_t)n, sum = fly_arena_need(1, sizeof(struct fly_graphs));

    sum = fly_size_add(sum, 3 * fly_arena_need(chips, sizeof(uint8_t)));
    sum = fly_size_add(sum, 3 * fly_arena_need(chips, sizeof(int32_t)));
    sum = fly_size_add(sum, 2 * fly_arena_need(chips, sizeof(uint32_t)));
    sum = fly_size_add(sum, fly_arena_need(chips, sizeof(int64_t)));
    sum = fly_size_add(sum, fly_louvain_need(n, fly_louvain_columns(n)));
    sum = fly_size_add(sum, fly_communities_need(n));
    return fly_size_add(sum, fly_arena_need(fly_null_need(n), 1));
}

size_t fly_graphs_need(const struct fly_graphs_config *config)
{
    size_t chips = (size_t)config->n_chips, sum = own_need(config->n_chips);

    for (int s = 0; s < SOURCES; s++) {
        struct fly_vectors_config vectors = vectors_config(config, s);

        if (vectors.width > 0)
            sum = fly_size_add(sum, fly_vectors_need(&vectors));
    }
    for (int m = 0; m < FLY_MODALITIES; m++) {
        if (!there(config, m))
            continue;
        sum = fly_size_add(sum, graph_need(config, m));
        sum = fly_size_add(sum, fly_live_need(config->n_chips));
        sum = fly_size_add(sum, 3 * fly_arena_need(chips, sizeof(int32_t)));
    }
    return sum;
}

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at);
    memset(at, 0, count * size);
    return at;
}

static int open_one(struct fly_graphs *g, int m, struct fly_arena *arena)
{
    struct fly_affinity_config affinity = affinity_config(g, m);
    struct one *one = &g->one[m];
    int rc = fly_affinity_open(&one->graph, &affinity, arena);

    if (rc < 0)
        return rc;
    fly_live_init(&one->live, &(struct fly_live_config){.graph = one->graph,
                                                        .resolution = g->config.graph.resolution,
                                                        .want_structure = g->config.robust,
                                                        .rows = g->config.rows,
                                                        .cols = g->config.cols}, arena);
    one->label = take(arena, (size_t)g->n, sizeof *one->label);
    one->confidence = take(arena, (size_t)g->n, sizeof *one->confidence);
    one->age = take(arena, (size_t)g->n, sizeof *one->age);
    for (int32_t k = 0; k < g->n; k++) {
        one->label[k] = FLY_LABEL_PENDING;
        one->confidence[k] = NAN;
    }
    return FLY_OK;
}

int fly_graphs_open(struct fly_graphs **out, const struct fly_graphs_config *config, struct fly_arena *arena)
{
    struct fly_graphs *g = take(arena, 1, sizeof *g);
    size_t chips = (size_t)config->n_chips;
    int rc = FLY_OK;

    g->config = *config;
    g->n = config->n_chips;
    g->waits = take(arena, chips, sizeof *g->waits);
    g->queue = take(arena, chips, sizeof *g->queue);
    g->spare_labels = take(arena, chips, 2 * sizeof *g->spare_labels);
    g->stamp = take(arena, chips, sizeof *g->stamp);
    for (int s = 0; s < SOURCES; s++) {
        struct fly_vectors_config vectors = vectors_config(config, s);

        g->known[s] = take(arena, chips, sizeof *g->known[s]);
        g->version[s] = take(arena, chips, sizeof *g->version[s]);
        if (rc == FLY_OK && vectors.width > 0)
            rc = fly_vectors_open(&g->vectors[s], &vectors, arena);
    }
    fly_louvain_init(&g->cold, g->n, fly_louvain_columns(g->n), arena);
    fly_communities_init(&g->exact, g->n, arena);
    g->lent.cap = fly_null_need(g->n);
    g->lent.base = take(arena, g->lent.cap, 1);
    for (int m = 0; rc == FLY_OK && m < FLY_MODALITIES; m++)
        if (there(config, m))
            rc = open_one(g, m, arena);
    *out = g;
    return rc;
}

int fly_graphs_has(const struct fly_graphs *graphs, enum fly_modality modality)
{
    return graphs->one[modality].graph != NULL;
}

const struct fly_affinity *fly_graphs_affinity(const struct fly_graphs *graphs, enum fly_modality modality)
{
    return graphs->one[modality].graph;
}

/* ---- updates ------------------------------------------------------------------------------------- */

void fly_graphs_touch(struct fly_graphs *graphs, int32_t chip, enum fly_graph_source source)
{
    struct fly_graphs *g = graphs;

    if (!g->waits[chip])
        g->queue[(g->head + g->waiting++) % g->n] = chip;
    g->waits[chip] |= (uint8_t)source;
}

int32_t fly_graphs_waiting(const struct fly_graphs *graphs)
{
    return graphs->waiting;
}

static void took(struct fly_graphs *g, int source, int32_t chip, int rc, uint32_t version)
{
    struct fly_vectors *vectors = g->vectors[source];

    if (rc < 0) {
        fly_vectors_drop(vectors, chip);
        g->refused++;
    }
    g->known[source][chip] = rc == FLY_OK && !fly_vectors_too_little(vectors, chip) ? TAKEN : TOO_LITTLE;
    g->version[source][chip] = version;
}

/* The chip is as if it had never been. */
static void forget(struct fly_graphs *g, int source, int32_t chip)
{
    if (g->known[source][chip])
        fly_vectors_drop(g->vectors[source], chip);
    g->known[source][chip] = UNKNOWN;
    g->version[source][chip] = 0;
}

static void put_image(struct fly_graphs *g, const struct fly_graph_features *f, int32_t chip)
{
    size_t width = (size_t)g->config.image_width;

    if (!f->embedded[chip]) {
        forget(g, IMAGE, chip);
        return;
    }
    took(g, IMAGE, chip, fly_vectors_put_f32(g->vectors[IMAGE], chip, f->embeddings + (size_t)chip * width),
         f->image_version[chip]);
}

/* In the robust profile a composition borrowed from neighbours does not make a chip comparable. */
static int has_photons(const struct fly_graphs *g, const struct fly_graph_features *f, int32_t chip)
{
    return !g->config.robust || f->spectrum_total(f->ctx, chip) >= (uint64_t)g->config.graph.min_counts;
}

static void put_eds(struct fly_graphs *g, const struct fly_graph_features *f, int32_t chip)
{
    size_t at = (size_t)chip * (size_t)g->config.eds_width;

    if (!f->eds_there[chip]) {
        forget(g, EDS, chip);
        return;
    }
    if (g->config.feature == FLY_EDS_SPECTRUM) {
        took(g, EDS, chip, fly_vectors_put_counts(g->vectors[EDS], chip, f->spectra + at), f->eds_version[chip]);
    } else if (isfinite(f->percent[at]) && has_photons(g, f, chip)) {
        took(g, EDS, chip, fly_vectors_put_f64(g->vectors[EDS], chip, f->percent + at), f->eds_version[chip]);
    } else { /* too few counts, of its own or to make a composition of */
        fly_vectors_drop(g->vectors[EDS], chip);
        g->known[EDS][chip] = TOO_LITTLE;
        g->version[EDS][chip] = f->eds_version[chip];
    }
}

/* The graphs that a change of these sources concerns. */
static int32_t concerned(struct fly_graphs *g, unsigned sources, int *which)
{
    int32_t n = 0;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        unsigned of = m == FLY_HAADF ? FLY_GRAPH_IMAGE : m == FLY_EDS ? FLY_GRAPH_EDS : sources;

        if (g->one[m].graph && of & sources)
            which[n++] = m;
    }
    return n;
}

/* Chips whose same sources changed, into the graphs that these concern. */
static void take_in(struct fly_graphs *g, const struct fly_graph_features *f, unsigned sources,
                    const int32_t *chips, int32_t count, const struct fly_exec *exec)
{
    struct fly_affinity *graphs[FLY_MODALITIES];
    int which[FLY_MODALITIES];
    int32_t n = concerned(g, sources, which);

    if (count == 0 || n == 0)
        return;
    for (int32_t i = 0; i < n; i++) {
        graphs[i] = g->one[which[i]].graph;
        g->one[which[i]].moved = 1;
        fly_live_forget(&g->one[which[i]].live, chips, count);
    }
    for (int32_t i = 0; i < count; i++) {
        if (sources & FLY_GRAPH_IMAGE)
            put_image(g, f, chips[i]);
        if (sources & FLY_GRAPH_EDS)
            put_eds(g, f, chips[i]);
    }
    fly_affinity_update(graphs, n, chips, count, exec);
}

struct renewal {
    struct fly_graphs *g;
    int which[FLY_MODALITIES];
};

static void renew_job(void *arg, int32_t i, int32_t worker)
{
    struct renewal *r = arg;
    struct fly_exec serial = fly_exec_serial();
    int rc = fly_live_renew(&r->g->one[r->which[i]].live, &serial);

    (void)worker;
    FLY_ASSERT(rc == FLY_OK); /* open saw to the size, set to the resolution */
}

static void settle_and_renew(struct fly_graphs *g, unsigned sources, const struct fly_exec *exec)
{
    struct fly_affinity *graphs[FLY_MODALITIES];
    struct renewal r = {.g = g};
    int32_t n = concerned(g, sources, r.which);

    for (int32_t i = 0; i < n; i++)
        graphs[i] = g->one[r.which[i]].graph;
    fly_affinity_settle(graphs, n, 0, exec);
    exec->run(exec->ctx, n, renew_job, &r);
}

void fly_graphs_update(struct fly_graphs *graphs, const struct fly_graph_features *features,
                       const struct fly_exec *exec)
{
    struct fly_graphs *g = graphs;
    int32_t chips[4][FLY_BLOCK_MAX], count[4] = {0};
    unsigned all = 0;

    FLY_ASSERT(g->waiting > 0);
    for (int32_t i = 0; i < FLY_BLOCK_MAX && g->waiting > 0; i++) {
        int32_t chip = g->queue[g->head];
        unsigned sources = g->waits[chip];

        g->head = (g->head + 1) % g->n;
        g->waiting--;
        g->waits[chip] = 0;
        chips[sources][count[sources]++] = chip;
        all |= sources;
    }
    for (unsigned sources = 1; sources < 4; sources++)
        take_in(g, features, sources, chips[sources], count[sources], exec);
    settle_and_renew(g, all, exec);
    g->updates++;
}

/* ---- spare time ---------------------------------------------------------------------------------- */

/* Chance is asked before better answers are sought; of those, in the graph where fewest were. */
static struct fly_live *spare_of(const struct fly_graphs *g, int *doubt)
{
    const struct fly_live *best = NULL;

    *doubt = 0;
    for (int m = 0; m < FLY_MODALITIES; m++) {
        const struct fly_live *live = &g->one[m].live;

        if (!g->one[m].graph)
            continue;
        if (fly_live_doubts(live)) {
            *doubt = 1;
            return (struct fly_live *)live;
        }
        if (fly_live_ponders(live) && (!best || live->pondered < best->pondered))
            best = live;
    }
    return (struct fly_live *)best;
}

int fly_graphs_has_spare(const struct fly_graphs *graphs)
{
    int doubt;

    return spare_of(graphs, &doubt) != NULL;
}

int fly_graphs_spare(struct fly_graphs *graphs, const struct fly_exec *exec)
{
    int doubt, rc;
    struct fly_live *live = spare_of(graphs, &doubt);

    if (!live)
        return 0;
    if (doubt) {
        fly_live_doubt(live, &graphs->lent);
    } else {
        rc = fly_live_ponder(live, &graphs->cold, exec);
        FLY_ASSERT(rc == FLY_OK);
    }
    return 1;
}

/* ---- telling ------------------------------------------------------------------------------------- */

static int known_as(const struct fly_graphs *g, int m, int32_t k)
{
    int a = m == FLY_EDS ? TAKEN : g->known[IMAGE][k], b = m == FLY_HAADF ? TAKEN : g->known[EDS][k];

    if (a == UNKNOWN || b == UNKNOWN)
        return UNKNOWN;
    return a == TOO_LITTLE || b == TOO_LITTLE ? TOO_LITTLE : TAKEN;
}

static void tell_chip(struct fly_graphs *g, int m, int32_t k)
{
    struct one *one = &g->one[m];
    uint32_t a = g->version[IMAGE][k], b = g->version[EDS][k];
    int known = known_as(g, m, k);

    one->age[k] = (m != FLY_EDS && a ? a - 1 : 0) + (m != FLY_HAADF && b ? b - 1 : 0);
    one->confidence[k] = NAN;
    if (known == UNKNOWN) {
        one->label[k] = FLY_LABEL_PENDING;
    } else if (known == TOO_LITTLE || !one->live.told) {
        one->label[k] = FLY_LABEL_TOO_LITTLE;
    } else {
        one->label[k] = one->live.id[k];
        if (one->label[k] >= 0)
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

int fly_graphs_tell(struct fly_graphs *graphs)
{
    int anything = 0;

    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct one *one = &graphs->one[m];

        if (!one->graph)
            continue;
        one->moved |= fly_live_tell(&one->live);
        for (int32_t k = 0; one->moved && k < graphs->n; k++)
            tell_chip(graphs, m, k);
        anything |= one->moved;
        one->moved = 0;
    }
    return anything;
}

void fly_graphs_map(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_map_view *view)
{
    const struct one *one = &graphs->one[modality];

    *view = (struct fly_map_view){one->label, one->confidence, one->age, graphs->stamp};
}

void fly_graphs_view(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_graph_view *view)
{
    const struct one *one = &graphs->one[modality];

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

/* ---- what a person says -------------------------------------------------------------------------- */

const struct fly_graph_config *fly_graphs_config(const struct fly_graphs *graphs)
{
    return &graphs->config.graph;
}

void fly_graphs_set(struct fly_graphs *graphs, const struct fly_graph_config *config,
                    const struct fly_exec *exec)
{
    struct fly_graphs *g = graphs;
    struct fly_graph_config *now = &g->config.graph;
    int rule = config->rule != now->rule || config->fixed != now->fixed;
    int mix = weight_a(config) != weight_a(now), resolution = config->resolution != now->resolution;
    int rc = FLY_OK;

    FLY_ASSERT(config->binary == now->binary && config->feature == now->feature);
    *now = *config;
    if (!rule && !mix && !resolution)
        return;
    for (int m = 0; m < FLY_MODALITIES; m++) {
        struct one *one = &g->one[m];

        if (!one->graph)
            continue;
        fly_live_resolution(&one->live, config->resolution);
        if (rule)
            rc = fly_affinity_rule(one->graph, config->rule, config->fixed);
        if (rc == FLY_OK && mix && m == FLY_ENSEMBLE) {
            fly_live_start(&one->live);
            rc = fly_affinity_mix(one->graph, weight_a(config), exec);
        }
        FLY_ASSERT(rc == FLY_OK);
    }
    settle_and_renew(g, FLY_GRAPH_IMAGE | FLY_GRAPH_EDS, exec);
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
        struct one *one = &graphs->one[m];
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
    struct one *one = &g->one[modality];
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

        labels[k] = known == UNKNOWN                        ? FLY_LABEL_PENDING
                    : known == TOO_LITTLE || !told.enough ? FLY_LABEL_TOO_LITTLE
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
                     int32_t count, const int32_t *fewshot)
{
    struct fly_graphs *g = graphs;
    struct one *one = &g->one[modality];
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
            points[i].ami_now = agreement(g, g->exact.wire, one->label);
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
