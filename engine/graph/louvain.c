#include "engine/graph/louvain.h"

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"

enum phase {
    DONE = 0,
    ORDER,      /* begin one of the orders */
    MOVE,       /* visit single nodes until quiet */
    UNITE,      /* the upper levels */
    JUDGE,      /* compare with the best so far */
    PROBE,      /* begin a split probe */
    PIECES,     /* visit the nodes of one community until quiet */
    NEXT_PIECE, /* the next community */
};

enum { COLUMNS_USUAL = 512, ORDERS_TIMES_NODES = 20000, ORDERS_LEAST = 8, ORDERS_MOST = 64 };
enum { WARM_ORDERS_NODES = 512, WARM_ORDERS_MOST = 12 };

struct fly_louvain_config fly_louvain_config_default(void)
{
    return (struct fly_louvain_config){
        .resolution = FLY_RESOLUTION_ONE, .orders = 0, .probes = 4, .seed = 1};
}

int32_t fly_louvain_orders(int32_t n)
{
    int32_t orders = n > 0 ? ORDERS_TIMES_NODES / n : ORDERS_MOST;

    return orders < ORDERS_LEAST ? ORDERS_LEAST : orders > ORDERS_MOST ? ORDERS_MOST : orders;
}

int32_t fly_louvain_columns(int32_t n_cap)
{
    return n_cap < 1 ? 1 : n_cap < COLUMNS_USUAL ? n_cap : COLUMNS_USUAL;
}

int32_t fly_louvain_warm_orders(int32_t n)
{
    const int64_t one = (int64_t)WARM_ORDERS_NODES * WARM_ORDERS_NODES * WARM_ORDERS_NODES;
    int64_t orders = n > 0 ? one / ((int64_t)n * n * n) : WARM_ORDERS_MOST;

    return orders < WARM_ORDERS_MOST ? (int32_t)orders : WARM_ORDERS_MOST;
}

size_t fly_louvain_need(int32_t n_cap, int32_t column_cap)
{
    size_t sum = 4 * fly_arena_need((size_t)n_cap + 1, sizeof(int32_t));

    sum = fly_size_add(sum, fly_parting_need(n_cap, column_cap));
    return fly_size_add(sum, fly_groups_need(column_cap));
}

void fly_louvain_init(struct fly_louvain *l, int32_t n_cap, int32_t column_cap, struct fly_arena *arena)
{
    size_t n = (size_t)n_cap + 1;

    memset(l, 0, sizeof *l);
    l->label = fly_arena_take(arena, n, sizeof(int32_t));
    l->sequence = fly_arena_take(arena, n, sizeof(int32_t));
    l->parent = fly_arena_take(arena, n, sizeof(int32_t));
    l->fill = fly_arena_take(arena, n, sizeof(int32_t));
    FLY_ASSERT(l->label && l->sequence && l->parent && l->fill);
    fly_parting_init(&l->parting, n_cap, column_cap, arena);
    fly_groups_init(&l->groups, column_cap, arena);
}

static int check(const struct fly_louvain *l, const struct fly_dense *graph,
                 const struct fly_louvain_config *config)
{
    FLY_ASSERT(graph->n >= 0 && graph->n <= l->parting.n_cap);
    if (config->resolution < 1 || config->resolution > FLY_RESOLUTION_MAX)
        return fly_fail(FLY_ERANGE, "resolution %.6f, allowed 1/65536 .. 64",
                        (double)config->resolution / FLY_RESOLUTION_ONE);
    if (config->orders < 0 || config->probes < 0)
        return fly_fail(FLY_ERANGE, "%d orders and %d probes, neither may be below 0",
                        (int)config->orders, (int)config->probes);
    if (graph->weight && graph->n > FLY_WEIGHTED_NODES_MAX)
        return fly_fail(FLY_ERANGE, "a graph of %d chips with weights, at most %d; binary edges have no limit",
                        (int)graph->n, (int)FLY_WEIGHTED_NODES_MAX);
    return FLY_OK;
}

static void begin(struct fly_louvain *l, const struct fly_dense *graph, const struct fly_louvain_config *config,
                  const struct fly_exec *exec)
{
    l->parting.graph = graph;
    l->parting.n = graph->n;
    l->config = *config;
    l->exec = *exec;
    l->has_best = 0;
    l->order = l->probe = 0;
    l->kept = l->must_move = 0;
}

/* Sequence number `turn` of this seed (Fisher, Yates). */
static void shuffle(struct fly_louvain *l, int32_t turn)
{
    struct fly_rng rng = {.state = fly_rng_at(l->config.seed + (uint64_t)turn)};

    for (int32_t i = 0; i < l->parting.n; i++) {
        int32_t j = (int32_t)fly_rng_below(&rng, (uint64_t)i + 1);

        l->sequence[i] = l->sequence[j];
        l->sequence[j] = i;
    }
}

static void go_round(struct fly_louvain *l, int32_t first, int32_t end, enum phase phase)
{
    l->first = l->at = first;
    l->end = end;
    l->quiet = 0;
    l->phase = (int)phase;
}

int fly_louvain_cold(struct fly_louvain *l, const struct fly_dense *graph,
                     const struct fly_louvain_config *config)
{
    struct fly_exec exec = fly_exec_serial();
    int rc = check(l, graph, config);

    if (rc < 0)
        return rc;
    begin(l, graph, config, &exec);
    if (config->orders == 0)
        l->config.orders = fly_louvain_orders(graph->n);
    l->phase = ORDER;
    return FLY_OK;
}

int fly_louvain_warm(struct fly_louvain *l, const struct fly_dense *graph,
                     const struct fly_louvain_config *config, const int32_t *labels,
                     const struct fly_exec *exec)
{
    int32_t count = 0;
    int rc = check(l, graph, config);

    if (rc < 0)
        return rc;
    begin(l, graph, config, exec);
    fly_parting_set(&l->parting, graph, config->resolution, labels, exec);
    for (int32_t i = 0; i < graph->n; i++)
        if (labels[i] < 0)
            l->sequence[count++] = i;
    for (int32_t i = 0; i < graph->n; i++)
        if (labels[i] >= 0)
            l->sequence[count++] = i;
    l->order = -1;
    go_round(l, 0, graph->n, MOVE);
    return FLY_OK;
}

int fly_louvain_can_follow(const struct fly_louvain *l)
{
    return l->phase == DONE && l->kept && !l->parting.summing;
}

void fly_louvain_forget(struct fly_louvain *l, int32_t i)
{
    FLY_ASSERT(fly_louvain_can_follow(l) && i >= 0 && i < l->parting.n);
    fly_parting_forget(&l->parting, i);
}

int fly_louvain_follow(struct fly_louvain *l, const struct fly_dense *graph,
                       const struct fly_louvain_config *config)
{
    struct fly_exec exec = fly_exec_serial();
    int32_t count = 0, fresh, before = l->parting.n;
    int rc = check(l, graph, config);

    if (rc < 0)
        return rc;
    FLY_ASSERT(fly_louvain_can_follow(l) && graph->n >= before);
    for (int32_t i = 0; i < graph->n; i++)
        if (i >= before || l->parting.label[i] < 0)
            l->sequence[count++] = i;
    fresh = count;
    for (int32_t i = 0; i < before; i++)
        if (l->parting.label[i] >= 0)
            l->sequence[count++] = i;
    fly_parting_renew(&l->parting, graph, config->resolution, l->sequence, fresh);
    begin(l, graph, config, &exec);
    l->order = -1;
    go_round(l, 0, graph->n, MOVE);
    return FLY_OK;
}

/* Visit until quiet or out of budget; 1 when quiet. */
static int move(struct fly_louvain *l, int64_t *budget)
{
    int32_t count = l->end - l->first;

    while (l->quiet < count && *budget > 0) {
        int moved = fly_parting_visit(&l->parting, l->sequence[l->at]);

        l->quiet = moved ? 1 : l->quiet + 1;
        l->at = l->at + 1 < l->end ? l->at + 1 : l->first;
        --*budget;
        if (l->parting.full)
            return 0;
    }
    if (l->quiet < count)
        return 0;
    l->parting.work.sweeps++;
    return 1;
}

/* The upper levels. Single nodes move again if communities united; a second quiet pass ends it. */
static void unite(struct fly_louvain *l)
{
    struct fly_parting *p = &l->parting;
    struct fly_groups *s = &l->groups;
    int32_t *ids = l->fill, count;
    int united = 0;

    if (fly_parting_gather(p, &l->exec)) {
        count = fly_parting_groups(p, ids, s->links, s->degrees);
        united = fly_groups_join(s, count, p->graph->m2, l->config.resolution);
        if (united)
            fly_parting_unite(p, ids, s->joined, count);
    } else {
        united = fly_parting_unite_by_rows(p);
    }
    if (united || l->must_move)
        go_round(l, 0, p->n, MOVE);
    else
        l->phase = JUDGE;
    l->must_move = 0;
}

static void judge(struct fly_louvain *l)
{
    struct fly_parting *p = &l->parting;
    fly_score score = fly_parting_score(p);
    int better = !l->has_best || score > l->score;

    l->kept = better;
    if (better) {
        memcpy(l->label, p->label, (size_t)p->n * sizeof *l->label);
        l->score = score;
        l->has_best = 1;
    }
    if (l->probe == 0 && ++l->order < l->config.orders)
        l->phase = ORDER;
    else if (l->probe < l->config.probes && (better || l->probe == 0) && p->graph->m2 > 0)
        l->phase = PROBE;
    else
        l->phase = DONE;
}

/* The nodes of each community together, in the order of a shuffle. */
static void begin_probe(struct fly_louvain *l)
{
    struct fly_parting *p = &l->parting;
    int32_t n = p->n, *fill = l->fill;

    l->probe++;
    l->kept = 0;
    p->work.probes++;
    shuffle(l, l->config.orders + l->probe);
    memset(fill, 0, ((size_t)n + 1) * sizeof *fill);
    for (int32_t i = 0; i < n; i++)
        fill[l->label[i] + 1]++;
    for (int32_t id = 0; id < n; id++)
        fill[id + 1] += fill[id];
    for (int32_t at = 0; at < n; at++)
        l->parent[fill[l->label[l->sequence[at]]]++] = l->sequence[at];
    memcpy(l->sequence, l->parent, (size_t)n * sizeof *l->sequence);
    fly_parting_start(p, p->graph, l->config.resolution);
    l->end = 0;
    l->phase = NEXT_PIECE;
}

static void next_piece(struct fly_louvain *l)
{
    struct fly_parting *p = &l->parting;
    int32_t first = l->end, end = first;

    if (first == p->n) {
        fly_parting_confine(p, NULL, -1);
        l->must_move = 1;
        l->phase = UNITE;
        return;
    }
    while (end < p->n && l->label[l->sequence[end]] == l->label[l->sequence[first]])
        end++;
    fly_parting_confine(p, l->sequence + first, end - first);
    go_round(l, first, end, PIECES);
}

int fly_louvain_step(struct fly_louvain *l, int64_t visits)
{
    struct fly_parting *p = &l->parting;
    int64_t big = p->n / 8 + 1; /* what a step of the coarse kind costs, roughly, in visits */

    while (l->phase != DONE && visits > 0) {
        switch ((enum phase)l->phase) {
        case ORDER:
            shuffle(l, l->order);
            fly_parting_start(p, p->graph, l->config.resolution);
            go_round(l, 0, p->n, MOVE);
            visits -= big;
            break;
        case MOVE:
            if (move(l, &visits))
                l->phase = UNITE;
            break;
        case UNITE:
            unite(l);
            visits -= big;
            break;
        case JUDGE:
            judge(l);
            visits -= big;
            break;
        case PROBE:
            begin_probe(l);
            visits -= big;
            break;
        case PIECES:
            if (move(l, &visits))
                l->phase = NEXT_PIECE;
            else if (p->full)
                l->phase = DONE; /* more pieces than columns: the best so far stands */
            break;
        case NEXT_PIECE:
            next_piece(l);
            visits--;
            break;
        case DONE:
            break;
        }
    }
    l->work = p->work;
    l->q = fly_score_q(l->score, p->graph->m2);
    return l->phase == DONE ? FLY_OK : FLY_EAGAIN;
}

void fly_louvain_finish(struct fly_louvain *l)
{
    while (fly_louvain_step(l, INT64_MAX / 2) == FLY_EAGAIN)
        ;
}

/* The weight of node i's edges that stays within its community. */
static int64_t strength_inside(const struct fly_louvain *l, int32_t i)
{
    const struct fly_dense *g = l->parting.graph;
    int64_t inside = 0;

    if (fly_louvain_can_follow(l))
        return fly_parting_strength(&l->parting, i);
    for (int32_t j = 0; j < g->n; j++)
        if (l->label[j] == l->label[i])
            inside += fly_row_weight(g, i, j);
    return inside;
}

double fly_louvain_share(const struct fly_louvain *l, int32_t i)
{
    const struct fly_dense *g = l->parting.graph;

    return g->degree[i] == 0 ? NAN : (double)strength_inside(l, i) / (double)g->degree[i];
}

double fly_louvain_plain_q(struct fly_louvain *l)
{
    const struct fly_dense *g = l->parting.graph;
    int64_t *k = l->parting.sum, inside = 0; /* zeros, between visits */
    fly_score squares = 0;

    for (int32_t i = 0; i < g->n; i++) {
        inside += strength_inside(l, i);
        k[l->label[i]] += g->degree[i];
    }
    for (int32_t id = 0; id < g->n; id++) {
        squares += (fly_score)k[id] * k[id];
        k[id] = 0;
    }
    return fly_score_q((fly_score)g->m2 * FLY_RESOLUTION_ONE * inside - squares * FLY_RESOLUTION_ONE, g->m2);
}
