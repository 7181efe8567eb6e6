#include "engine/graphs_state.h"

#include <math.h>
#include <string.h>

enum { SOURCES = 2 * FLY_GRAPH_MIX }; /* combinations of enum fly_graph_source */

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
    int spectra = config->feature == FLY_EDS_SPECTRUM, debiased = source == FLY_OF_EDS && spectra && config->robust;

    return (struct fly_vectors_config){.kind = source == FLY_OF_IMAGE ? FLY_VECTORS_F32
                                               : spectra       ? FLY_VECTORS_COUNTS
                                                               : FLY_VECTORS_F64,
                                       .n_chips = config->n_chips,
                                       .width = source == FLY_OF_IMAGE ? config->image_width : config->eds_width,
                                       .debiased = debiased,
                                       .min_counts = debiased ? config->graph.min_counts : 0};
}

static struct fly_affinity_config affinity_config(const struct fly_graphs *g, int m)
{
    const struct fly_graph_config *c = &g->config.graph;

    return (struct fly_affinity_config){.a = g->vectors[m == FLY_EDS ? FLY_OF_EDS : FLY_OF_IMAGE],
                                        .b = m == FLY_ENSEMBLE ? g->vectors[FLY_OF_EDS] : NULL,
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

    for (int s = 0; s < FLY_OF_SOURCES; s++) {
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
    struct fly_one_graph *one = &g->one[m];
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
    for (int s = 0; s < FLY_OF_SOURCES; s++) {
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
    g->known[source][chip] = rc == FLY_OK && !fly_vectors_too_little(vectors, chip) ? FLY_CHIP_TAKEN : FLY_CHIP_TOO_LITTLE;
    g->version[source][chip] = version;
}

/* The chip is as if it had never been. */
static void forget(struct fly_graphs *g, int source, int32_t chip)
{
    if (g->known[source][chip])
        fly_vectors_drop(g->vectors[source], chip);
    g->known[source][chip] = FLY_CHIP_UNKNOWN;
    g->version[source][chip] = 0;
}

static void put_image(struct fly_graphs *g, const struct fly_graph_features *f, int32_t chip)
{
    size_t width = (size_t)g->config.image_width;

    if (!f->embedded[chip]) {
        forget(g, FLY_OF_IMAGE, chip);
        return;
    }
    took(g, FLY_OF_IMAGE, chip, fly_vectors_put_f32(g->vectors[FLY_OF_IMAGE], chip, f->embeddings + (size_t)chip * width),
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
        forget(g, FLY_OF_EDS, chip);
        return;
    }
    if (g->config.feature == FLY_EDS_SPECTRUM) {
        took(g, FLY_OF_EDS, chip, fly_vectors_put_counts(g->vectors[FLY_OF_EDS], chip, f->spectra + at), f->eds_version[chip]);
    } else if (isfinite(f->percent[at]) && has_photons(g, f, chip)) {
        took(g, FLY_OF_EDS, chip, fly_vectors_put_f64(g->vectors[FLY_OF_EDS], chip, f->percent + at), f->eds_version[chip]);
    } else { /* too few counts, of its own or to make a composition of */
        fly_vectors_drop(g->vectors[FLY_OF_EDS], chip);
        g->known[FLY_OF_EDS][chip] = FLY_CHIP_TOO_LITTLE;
        g->version[FLY_OF_EDS][chip] = f->eds_version[chip];
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
    int32_t chips[SOURCES][FLY_BLOCK_MAX], count[SOURCES] = {0};
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
    for (unsigned sources = 1; sources < SOURCES; sources++)
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
        struct fly_one_graph *one = &g->one[m];

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

void fly_graphs_reweigh(struct fly_graphs *graphs, const double weights[2])
{
    struct fly_graph_config *now = &graphs->config.graph;
    int rc;

    now->weights[0] = weights[0];
    now->weights[1] = weights[1];
    rc = fly_affinity_reweigh(graphs->one[FLY_ENSEMBLE].graph, weight_a(now));
    FLY_ASSERT(rc == FLY_OK);
    for (int32_t k = 0; k < graphs->n; k++)
        fly_graphs_touch(graphs, k, FLY_GRAPH_MIX);
}
