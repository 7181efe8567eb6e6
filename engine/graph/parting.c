#include "engine/graph/parting.h"
#include "engine/graph/parting_own.h"

#include <math.h>
#include <string.h>

enum { PART_LANES = 512 }; /* of a column at a time */

static void *take(struct fly_arena *arena, size_t count, size_t size)
{
    void *at = fly_arena_take(arena, count, size);

    FLY_ASSERT(at || count == 0);
    return at;
}

size_t fly_parting_need(int32_t n_cap, int32_t column_cap)
{
    size_t n = (size_t)n_cap, columns = (size_t)column_cap, lanes = fly_row_lanes(n_cap), sum = 0;

    for (int i = 0; i < 7; i++)
        sum = fly_size_add(sum, fly_arena_need(n, sizeof(int32_t)));
    sum = fly_size_add(sum, fly_arena_need(columns + 1, sizeof(int32_t)));
    sum = fly_size_add(sum, 3 * fly_arena_need(n, sizeof(int64_t)));
    sum = fly_size_add(sum, 2 * fly_arena_need(lanes / 64, sizeof(uint64_t)));
    sum = fly_size_add(sum, fly_arena_need(lanes, sizeof(float)));
    sum = fly_size_add(sum, fly_arena_need(columns, lanes * sizeof(uint32_t)));
    return fly_size_add(sum, 3 * fly_arena_need(columns, sizeof(double)));
}

void fly_parting_init(struct fly_parting *p, int32_t n_cap, int32_t column_cap, struct fly_arena *arena)
{
    size_t n = (size_t)n_cap, columns = (size_t)column_cap, lanes = fly_row_lanes(n_cap);

    FLY_ASSERT(n_cap >= 0 && column_cap >= 1);
    memset(p, 0, sizeof *p);
    p->n_cap = n_cap;
    p->column_cap = column_cap;
    p->label = take(arena, n, sizeof *p->label);
    p->size = take(arena, n, sizeof *p->size);
    p->column_of = take(arena, n, sizeof *p->column_of);
    p->alone = take(arena, n, sizeof *p->alone);
    p->alone_at = take(arena, n, sizeof *p->alone_at);
    p->touched = take(arena, n, sizeof *p->touched);
    p->member = take(arena, n, sizeof *p->member);
    p->member_first = take(arena, columns + 1, sizeof *p->member_first);
    p->k = take(arena, n, sizeof *p->k);
    p->k_group = take(arena, n, sizeof *p->k_group);
    p->sum = take(arena, n, sizeof *p->sum);
    p->used = take(arena, lanes / 64, sizeof *p->used);
    p->block_best = take(arena, lanes / 64, sizeof(uint64_t));
    p->alone_k = take(arena, lanes, sizeof *p->alone_k);
    p->columns = take(arena, columns, lanes * sizeof *p->columns);
    p->column_id = take(arena, columns, sizeof(double));
    p->column_k = take(arena, columns, sizeof *p->column_k);
    p->gain = take(arena, columns, sizeof *p->gain);
}

void fly_graph_work_add(struct fly_graph_work *sum, const struct fly_graph_work *before,
                        const struct fly_graph_work *after)
{
    sum->visits += after->visits - before->visits;
    sum->rows += after->rows - before->rows;
    sum->moves += after->moves - before->moves;
    sum->sweeps += after->sweeps - before->sweeps;
    sum->aggregations += after->aggregations - before->aggregations;
    sum->probes += after->probes - before->probes;
}

/* ---- nodes that stand alone --------------------------------------------------------------------- */

static void alone_add(struct fly_parting *p, int32_t i)
{
    p->alone_at[i] = p->n_alone;
    p->alone[p->n_alone++] = i;
    p->alone_k[i] = (float)p->graph->degree[i];
}

static void alone_drop(struct fly_parting *p, int32_t i)
{
    int32_t at = p->alone_at[i], last = p->alone[--p->n_alone];

    p->alone[at] = last;
    p->alone_at[last] = at;
    p->alone_at[i] = NONE;
    p->alone_k[i] = INFINITY;
}

static void alone_clear(struct fly_parting *p)
{
    p->n_alone = 0;
    for (size_t i = 0; i < p->lanes; i++)
        p->alone_k[i] = INFINITY;
    for (int32_t i = 0; i < p->n; i++)
        p->alone_at[i] = NONE;
}

/* Those without an edge are left out: nothing gains by joining them. */
static void alone_collect(struct fly_parting *p)
{
    alone_clear(p);
    for (int32_t i = 0; i < p->n; i++)
        if (p->size[p->label[i]] == 1 && p->column_of[p->label[i]] == NONE && p->graph->degree[i] > 0)
            alone_add(p, i);
}

/* ---- ids and columns ---------------------------------------------------------------------------- */

static int32_t id_lowest_free(const struct fly_parting *p)
{
    for (int32_t at = 0;; at++)
        if (~p->used[at])
            return at * 64 + __builtin_ctzll(~p->used[at]);
}

static int32_t column_open(struct fly_parting *p, int32_t id)
{
    int32_t c = p->n_columns++;

    p->column_of[id] = c;
    p->column_id[c] = id;
    p->column_k[c] = (double)p->k[id];
    memset(column(p, c), 0, p->lanes * sizeof(uint32_t));
    return c;
}

static void row_move(struct fly_parting *p, int32_t i, uint32_t *to, uint32_t *from)
{
    fly_row_move(p->graph, i, to, from);
    p->work.rows++;
}

/* ---- starts ------------------------------------------------------------------------------------- */

static void look_at(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution)
{
    FLY_ASSERT(graph->n >= 0 && graph->n <= p->n_cap);
    FLY_ASSERT(!graph->weight || graph->n <= FLY_WEIGHTED_NODES_MAX);
    FLY_ASSERT(resolution >= 1 && resolution <= FLY_RESOLUTION_MAX);
    p->graph = graph;
    p->n = graph->n;
    p->lanes = fly_row_lanes(graph->n);
    p->resolution = resolution;
    p->pull = graph->m2 > 0 ? (double)resolution / FLY_RESOLUTION_ONE / (double)graph->m2 : 0.0;
    p->first_column = p->confined = p->full = 0;
}

static void begin(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution)
{
    look_at(p, graph, resolution);
    p->n_columns = p->summing = 0;
    clear_ids(p, 0);
}

void fly_parting_start(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution)
{
    begin(p, graph, resolution);
    for (int32_t i = 0; i < p->n; i++)
        enter(p, i, i);
    alone_collect(p);
}

/* Nodes by their columns: `member` from first[c] to first[c + 1], in ascending order. */
static void sort_members(struct fly_parting *p)
{
    int32_t *first = p->member_first, all = 0;

    memset(first, 0, ((size_t)p->n_columns + 1) * sizeof *first);
    for (int32_t i = 0; i < p->n; i++)
        if (p->column_of[p->label[i]] != NONE)
            first[p->column_of[p->label[i]]]++;
    for (int32_t c = 0; c <= p->n_columns; c++) {
        int32_t count = first[c];

        first[c] = all;
        all += count;
    }
    for (int32_t i = 0; i < p->n; i++)
        if (p->column_of[p->label[i]] != NONE)
            p->member[first[p->column_of[p->label[i]]]++] = i;
    for (int32_t c = p->n_columns; c > 0; c--)
        first[c] = first[c - 1];
    first[0] = 0;
}

static void fill_part(void *arg, int32_t part, int32_t worker)
{
    struct fly_parting *p = arg;

    (void)worker;
    for (int32_t c = 0; c < p->n_columns; c++)
        fly_row_add_part(p->graph, p->member + p->member_first[c], p->member_first[c + 1] - p->member_first[c],
                         column(p, c), (size_t)part * PART_LANES, PART_LANES);
}

int fly_parting_gather(struct fly_parting *p, const struct fly_exec *exec)
{
    int32_t communities = 0;

    if (!p->summing)
        return 1;
    for (int32_t id = 0; id < p->n; id++)
        communities += p->size[id] > 1;
    /* A quarter is kept free, or the next visit might be out of columns again. */
    if (communities > p->column_cap - p->column_cap / 4)
        return 0;
    for (int32_t id = 0; id < p->n; id++)
        if (p->size[id] > 1)
            column_open(p, id);
    sort_members(p);
    exec->run(exec->ctx, (int32_t)((p->lanes + PART_LANES - 1) / PART_LANES), fill_part, p);
    p->work.rows += p->n;
    p->summing = 0;
    alone_collect(p);
    return 1;
}

void fly_parting_set(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution,
                     const int32_t *labels, const struct fly_exec *exec)
{
    begin(p, graph, resolution);
    for (int32_t i = 0; i < p->n; i++) {
        FLY_ASSERT(labels[i] < p->n);
        if (labels[i] >= 0)
            enter(p, i, labels[i]);
    }
    for (int32_t i = 0; i < p->n; i++)
        if (labels[i] < 0)
            enter(p, i, id_lowest_free(p));
    p->summing = 1;
    fly_parting_gather(p, exec);
}

void fly_parting_confine(struct fly_parting *p, const int32_t *nodes, int32_t count)
{
    p->confined = count >= 0;
    p->first_column = p->confined ? p->n_columns : 0;
    if (p->confined) {
        while (p->n_alone > 0) /* a community costs its own size, whatever n is */
            alone_drop(p, p->alone[p->n_alone - 1]);
        for (int32_t at = 0; at < count; at++)
            if (p->graph->degree[nodes[at]] > 0)
                alone_add(p, nodes[at]);
    } else {
        alone_collect(p);
    }
}

/* ---- a visit ------------------------------------------------------------------------------------ */

/* Take node i to a community, NONE: to a new one. 0 when that needs a column and confined visits have
 * none left. */
static int settle(struct fly_parting *p, int32_t i, struct place place)
{
    int64_t k = p->graph->degree[i];
    int32_t old = p->label[i], id = place.id, c_old = p->column_of[old], c = NONE;

    if (!p->summing && id != NONE && p->column_of[id] == NONE) {
        if (p->n_columns == p->column_cap) {
            p->full = p->confined;
            if (p->full)
                return 0;
            for (int32_t j = 0; j < p->n_columns; j++)
                p->column_of[p->column_id[j]] = NONE;
            p->n_columns = 0;
            p->summing = 1;
            c_old = NONE;
        } else {
            c = column_open(p, id);
            row_move(p, place.node, column(p, c), NULL);
            alone_drop(p, place.node);
        }
    }
    if (id == NONE)
        id = id_lowest_free(p);
    p->size[old]--;
    p->k[old] -= k;
    enter(p, i, id);
    p->work.moves++;
    if (p->size[old] == 0)
        id_free(p, old);
    if (p->summing)
        return 1;

    c = p->column_of[id];
    if (c != NONE)
        p->column_k[c] = (double)p->k[id];
    if (c_old != NONE)
        p->column_k[c_old] = (double)p->k[old];
    row_move(p, i, c != NONE ? column(p, c) : NULL,
             c_old != NONE && p->size[old] > 0 ? column(p, c_old) : NULL);
    if (c_old == NONE)
        alone_drop(p, i);
    else if (p->size[old] == 0)
        column_close(p, c_old);
    if (c == NONE)
        alone_add(p, i);
    return 1;
}

static int decide(struct fly_parting *p, int32_t i, fly_score stay, struct place best)
{
    if (best.id == NONE && stay >= 0)
        return 0;
    return settle(p, i, best);
}

/* A row summed by label: sum is not 0 for the ids touched[0 .. count), and the caller clears it. */
static int32_t sum_row(struct fly_parting *p, int32_t i)
{
    const struct fly_dense *g = p->graph;
    const uint64_t *bits = g->bits + (size_t)i * g->words;
    const uint16_t *weight = g->weight ? g->weight + (size_t)i * g->stride : NULL;
    int32_t count = 0;

    for (size_t b = 0; b < p->lanes / 64; b++)
        for (uint64_t word = bits[b]; word; word &= word - 1) {
            size_t j = 64 * b + (size_t)__builtin_ctzll(word);
            int32_t id = p->label[j];

            if (p->sum[id] == 0)
                p->touched[count++] = id;
            p->sum[id] += weight ? weight[j] : 1;
        }
    p->work.rows++;
    return count;
}

/* The strengths from the row itself. */
static int visit_summing(struct fly_parting *p, int32_t i)
{
    const struct fly_dense *g = p->graph;
    int64_t k = g->degree[i];
    int32_t own = p->label[i], count = sum_row(p, i);
    struct place best = {.id = NONE};
    fly_score stay;

    stay = fly_join_gain(g->m2, p->resolution, p->sum[own], k, p->k[own] - k);
    best.gain = stay > 0 ? stay : 0;
    for (int32_t at = 0; at < count; at++) {
        int32_t id = p->touched[at];

        if (id != own)
            weigh(p, &best, p->sum[id], k, id, NONE);
        p->sum[id] = 0;
    }
    return decide(p, i, stay, best);
}

/* Of the nodes that stand alone, those whose gain may reach `level`. Blocks are the filter. */
static void weigh_blocks(struct fly_parting *p, struct place *best, int32_t i, float level, float pull)
{
    int64_t k = p->graph->degree[i];

    for (int32_t b = 0; b < (p->n + FLY_ROW_BLOCK - 1) / FLY_ROW_BLOCK; b++) {
        int32_t end = (b + 1) * FLY_ROW_BLOCK < p->n ? (b + 1) * FLY_ROW_BLOCK : p->n;

        if (p->block_best[b] < level)
            continue;
        for (int32_t j = b * FLY_ROW_BLOCK; j < end; j++) {
            int64_t w = fly_row_weight(p->graph, i, j);

            if (w > 0 && (float)w - pull * p->alone_k[j] >= level)
                weigh(p, best, w, k, p->label[j], j);
        }
    }
}

int fly_parting_visit(struct fly_parting *p, int32_t i)
{
    int64_t k = p->graph->degree[i];
    int32_t own = p->label[i], c_own = p->column_of[own];
    double pull = p->pull * (double)k, stay = 0.0, highest = -INFINITY, floor;
    /* Gains lie within k * (1 + resolution); four roundings of 2^-53 each, and room. */
    double slack = (double)k * (1.0 + (double)p->resolution / FLY_RESOLUTION_ONE) * 0x1p-48;
    /* In single precision a gain above 0 has both its terms within the largest weight. */
    float single_slack = (p->graph->weight ? 65536.0f : 1.0f) * 0x1p-20f, single = -INFINITY;
    fly_score exact_stay = 0;
    struct place best = {.id = NONE};
    int32_t n_alone;
    int by_row;

    p->work.visits++;
    if (k == 0)
        return 0;
    if (p->summing)
        return visit_summing(p, i);
    for (int32_t c = p->first_column; c < p->n_columns; c++) {
        p->gain[c] = (double)column(p, c)[i] - pull * p->column_k[c];
        if (c != c_own && p->gain[c] > highest)
            highest = p->gain[c];
    }
    if (c_own != NONE)
        stay = p->gain[c_own] + pull * (double)k;
    floor = stay > 0.0 ? stay : 0.0;
    /* Who joins a node that stands alone gains no more than one weight: once communities are larger, nobody
     * does. Otherwise a handful of those is weighed one by one; more are worth a row. */
    n_alone = fmax(floor, highest) - slack > (p->graph->weight ? UINT16_MAX : 1) ? 0 : p->n_alone;
    by_row = n_alone > p->n / 64 + 8;
    if (by_row) {
        single = fly_row_best(p->graph, i, p->alone_k, (float)pull, p->block_best);
        p->work.rows++;
    }
    if (highest < floor - slack && (double)(single + single_slack) < floor - slack && stay > slack &&
        (by_row || n_alone == 0))
        return 0;

    if (c_own != NONE)
        exact_stay = fly_join_gain(p->graph->m2, p->resolution, column(p, c_own)[i], k, p->k[own] - k);
    best.gain = exact_stay > 0 ? exact_stay : 0;
    if (highest > floor)
        floor = highest;
    if ((double)(single - single_slack) > floor)
        floor = (double)(single - single_slack);
    for (int32_t c = p->first_column; c < p->n_columns; c++)
        if (c != c_own && p->gain[c] >= floor - 2.0 * slack)
            weigh(p, &best, column(p, c)[i], k, p->column_id[c], NONE);
    if (by_row && (double)(single + single_slack) >= floor - slack)
        weigh_blocks(p, &best, i, (float)(floor - slack) - 2.0f * single_slack, (float)pull);
    for (int32_t at = 0; !by_row && at < n_alone; at++) {
        int32_t j = p->alone[at];
        int64_t w = j == i ? 0 : fly_row_weight(p->graph, i, j);

        if (w > 0)
            weigh(p, &best, w, k, p->label[j], j);
    }
    return decide(p, i, exact_stay, best);
}

/* ---- a graph that changed ----------------------------------------------------------------------- */

void fly_parting_forget(struct fly_parting *p, int32_t i)
{
    int32_t old = p->label[i], c = old == NONE ? NONE : p->column_of[old];

    if (old == NONE)
        return;
    p->label[i] = NONE;
    if (--p->size[old] == 0) {
        id_free(p, old);
        if (c != NONE)
            column_close(p, c);
    } else if (c != NONE) {
        row_move(p, i, NULL, column(p, c));
    }
}

void fly_parting_renew(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution,
                       const int32_t *fresh, int32_t count)
{
    int32_t before = p->n;

    FLY_ASSERT(graph->n >= before && !p->summing);
    look_at(p, graph, resolution);
    clear_ids(p, before);
    memset(p->k, 0, (size_t)p->n * sizeof *p->k);
    for (int32_t at = 0; at < count; at++)
        p->label[fresh[at]] = NONE;
    for (int32_t i = 0; i < p->n; i++)
        if (p->label[i] != NONE)
            p->k[p->label[i]] += graph->degree[i];
    for (int32_t at = 0; at < count; at++)
        enter(p, fresh[at], id_lowest_free(p));
    for (int32_t c = 0; c < p->n_columns; c++)
        p->column_k[c] = (double)p->k[p->column_id[c]];
    for (int32_t at = 0; at < count; at++) {
        int32_t met = sum_row(p, fresh[at]);

        for (int32_t c = 0; c < p->n_columns; c++)
            column(p, c)[fresh[at]] = (uint32_t)p->sum[p->column_id[c]];
        for (int32_t m = 0; m < met; m++)
            p->sum[p->touched[m]] = 0;
    }
    alone_collect(p);
}

int64_t fly_parting_strength(const struct fly_parting *p, int32_t i)
{
    int32_t c = p->column_of[p->label[i]];

    return c == NONE ? 0 : (int64_t)column(p, c)[i];
}

/* ---- the score ----------------------------------------------------------------------------------- */

fly_score fly_parting_score(struct fly_parting *p)
{
    int64_t inside = 0;
    fly_score squares = 0;

    for (int32_t i = 0; i < p->n; i++) {
        int32_t c = p->column_of[p->label[i]];

        if (c != NONE)
            inside += column(p, c)[i];
        else if (p->summing)
            for (int32_t j = 0; j < p->n; j++)
                if (p->label[j] == p->label[i])
                    inside += fly_row_weight(p->graph, i, j);
    }
    for (int32_t id = 0; id < p->n; id++)
        squares += (fly_score)p->k[id] * p->k[id];
    return (fly_score)p->graph->m2 * FLY_RESOLUTION_ONE * inside - squares * p->resolution;
}
