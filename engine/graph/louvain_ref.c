#include "engine/graph/louvain.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

/* A partition of a matrix: chips, or communities one level up. */
struct plain {
    int32_t n;
    const int64_t *w; /* (n, n) */
    const int64_t *degree;
    int64_t m2;
    int32_t resolution;
    int32_t *label;  /* (n) */
    int64_t *to, *k; /* (n) by label */
    int32_t *size;   /* (n) by label */
};

static struct plain plain_open(int32_t n, const int64_t *w, const int64_t *degree, int64_t m2,
                               int32_t resolution)
{
    struct plain p = {.n = n, .w = w, .degree = degree, .m2 = m2, .resolution = resolution};

    p.label = calloc((size_t)n + 1, sizeof *p.label);
    p.to = calloc((size_t)n + 1, sizeof *p.to);
    p.k = calloc((size_t)n + 1, sizeof *p.k);
    p.size = calloc((size_t)n + 1, sizeof *p.size);
    FLY_ASSERT(p.label && p.to && p.k && p.size);
    return p;
}

static void plain_close(struct plain *p)
{
    free(p->label);
    free(p->to);
    free(p->k);
    free(p->size);
}

static int32_t lowest_free(const struct plain *p)
{
    for (int32_t id = 0;; id++)
        if (p->size[id] == 0)
            return id;
}

static void enter(struct plain *p, int32_t i, int32_t id)
{
    p->label[i] = id;
    p->size[id]++;
    p->k[id] += p->degree[i];
}

/* labels NULL: every node alone. */
static void plain_set(struct plain *p, const int32_t *labels)
{
    memset(p->size, 0, (size_t)p->n * sizeof *p->size);
    memset(p->k, 0, (size_t)p->n * sizeof *p->k);
    for (int32_t i = 0; i < p->n; i++)
        if (!labels || labels[i] >= 0)
            enter(p, i, labels ? labels[i] : i);
    for (int32_t i = 0; labels && i < p->n; i++)
        if (labels[i] < 0)
            enter(p, i, lowest_free(p));
}

/* `within`: only edges to nodes of the same parent are looked at; NULL: all. */
static int visit(struct plain *p, int32_t i, const int32_t *within)
{
    int64_t k = p->degree[i];
    int32_t own = p->label[i], id = -1;
    fly_score stay, best;

    memset(p->to, 0, (size_t)p->n * sizeof *p->to);
    for (int32_t j = 0; j < p->n; j++)
        if (j != i && (!within || within[j] == within[i]))
            p->to[p->label[j]] += p->w[(size_t)i * (size_t)p->n + (size_t)j];
    stay = fly_join_gain(p->m2, p->resolution, p->to[own], k, p->k[own] - k);
    best = stay > 0 ? stay : 0;
    for (int32_t c = 0; c < p->n; c++) {
        fly_score gain = fly_join_gain(p->m2, p->resolution, p->to[c], k, p->k[c]);

        if (c != own && p->to[c] > 0 && gain > best) {
            best = gain;
            id = c;
        }
    }
    if (id < 0 && stay >= 0)
        return 0;
    if (id < 0)
        id = lowest_free(p);
    p->size[own]--;
    p->k[own] -= k;
    enter(p, i, id);
    return 1;
}

static int move(struct plain *p, const int32_t *sequence, int32_t count, const int32_t *within)
{
    int moved = 0;

    for (int32_t at = 0, quiet = 0; quiet < count; at = at + 1 < count ? at + 1 : 0) {
        int went = visit(p, sequence[at], within);

        quiet = went ? 1 : quiet + 1;
        moved |= went;
    }
    return moved;
}

/* The upper levels, by calling itself on the matrix of communities; 1 when any united. On the lowest
 * level communities of one node stay out, as in groups. */
static int unite(struct plain *p, int32_t smallest)
{
    size_t room = ((size_t)p->n + 1) * sizeof(int32_t);
    int32_t *ids = malloc(room), *group = malloc(room), *sequence = malloc(room), count = 0;
    int64_t *w, *degree;
    struct plain up;
    int united;

    FLY_ASSERT(ids && group && sequence);
    for (int32_t id = 0; id < p->n; id++) {
        group[id] = -1;
        if (p->size[id] >= smallest) {
            group[id] = count;
            ids[count++] = id;
        }
    }
    w = calloc((size_t)count * (size_t)count + 1, sizeof *w);
    degree = calloc((size_t)count + 1, sizeof *degree);
    FLY_ASSERT(w && degree);
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t j = 0; j < p->n; j++) {
            int32_t a = group[p->label[i]], b = group[p->label[j]];

            if (a >= 0 && b >= 0)
                w[(size_t)a * (size_t)count + (size_t)b] += p->w[(size_t)i * (size_t)p->n + (size_t)j];
        }
    for (int32_t g = 0; g < count; g++) {
        degree[g] = p->k[ids[g]];
        sequence[g] = g;
    }
    up = plain_open(count, w, degree, p->m2, p->resolution);
    plain_set(&up, NULL);
    united = move(&up, sequence, count, NULL);
    if (united) {
        unite(&up, 1);
        /* Each united community has the lowest id of its parts. */
        for (int32_t i = 0; i < p->n; i++)
            for (int32_t g = 0; g < count && group[p->label[i]] >= 0; g++)
                if (up.label[g] == up.label[group[p->label[i]]]) {
                    sequence[i] = ids[g];
                    break;
                }
        for (int32_t i = 0; i < p->n; i++)
            if (group[p->label[i]] < 0)
                sequence[i] = p->label[i];
        plain_set(p, sequence);
    }
    plain_close(&up);
    free(w);
    free(degree);
    free(ids);
    free(group);
    free(sequence);
    return united;
}

static fly_score score(const struct plain *p)
{
    fly_score inside = 0, squares = 0;

    for (int32_t i = 0; i < p->n; i++)
        for (int32_t j = 0; j < p->n; j++)
            if (p->label[i] == p->label[j])
                inside += p->w[(size_t)i * (size_t)p->n + (size_t)j];
    for (int32_t id = 0; id < p->n; id++)
        squares += (fly_score)p->k[id] * p->k[id];
    return inside * p->m2 * FLY_RESOLUTION_ONE - squares * p->resolution;
}

static void shuffle(int32_t *sequence, int32_t n, uint64_t seed)
{
    struct fly_rng rng = {.state = fly_rng_at(seed)};

    for (int32_t i = 0; i < n; i++) {
        int32_t j = (int32_t)fly_rng_below(&rng, (uint64_t)i + 1);

        sequence[i] = sequence[j];
        sequence[j] = i;
    }
}

static fly_score local_optimum(struct plain *p, const int32_t *sequence)
{
    do
        move(p, sequence, p->n, NULL);
    while (unite(p, 2));
    return score(p);
}

static fly_score probe(struct plain *p, const int32_t *label, int32_t *sequence, uint64_t seed)
{
    int32_t *order = malloc(((size_t)p->n + 1) * sizeof *order), at = 0;
    fly_score reached;

    FLY_ASSERT(order);
    shuffle(order, p->n, seed);
    plain_set(p, NULL);
    for (int32_t id = 0; id < p->n; id++) {
        int32_t first = at;

        for (int32_t i = 0; i < p->n; i++)
            if (label[order[i]] == id)
                sequence[at++] = order[i];
        if (at > first)
            move(p, sequence + first, at - first, label);
    }
    unite(p, 2);
    reached = local_optimum(p, sequence);
    free(order);
    return reached;
}

fly_score fly_louvain_ref(const struct fly_dense *graph, const struct fly_louvain_config *config,
                          const int32_t *labels, int32_t *out)
{
    size_t n = (size_t)graph->n;
    int64_t *w = malloc((n * n + 1) * sizeof *w);
    int32_t *sequence = malloc((n + 1) * sizeof *sequence), count = 0;
    int32_t orders = config->orders > 0 || labels ? config->orders : fly_louvain_orders(graph->n);
    struct plain p;
    fly_score best = 0;

    FLY_ASSERT(w && sequence);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            w[i * n + j] = fly_row_weight(graph, (int32_t)i, (int32_t)j);
    p = plain_open(graph->n, w, graph->degree, graph->m2, config->resolution);
    for (int32_t r = labels ? -1 : 0; r < orders; r++) {
        fly_score reached;

        if (r < 0)
            for (int new = 1; new >= 0; new--)
                for (int32_t i = 0; i < graph->n; i++)
                    if (new == (labels[i] < 0))
                        sequence[count++] = i;
        if (r >= 0)
            shuffle(sequence, graph->n, config->seed + (uint64_t)r);
        plain_set(&p, r < 0 ? labels : NULL);
        reached = local_optimum(&p, sequence);
        if (r == (labels ? -1 : 0) || reached > best) {
            best = reached;
            memcpy(out, p.label, n * sizeof *out);
        }
    }
    for (int32_t t = 1; t <= config->probes && graph->m2 > 0; t++) {
        fly_score reached = probe(&p, out, sequence, config->seed + (uint64_t)(orders + t));

        if (reached <= best)
            break;
        best = reached;
        memcpy(out, p.label, n * sizeof *out);
    }
    plain_close(&p);
    free(w);
    free(sequence);
    return best;
}
