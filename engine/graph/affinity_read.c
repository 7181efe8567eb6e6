#include <math.h>
#include <string.h>

#include "engine/graph/affinity_state.h"

struct fly_dense fly_affinity_dense(const struct fly_affinity *graph)
{
    return (struct fly_dense){
        .n = graph->n,
        .bits = graph->bits,
        .words = graph->words,
        .weight = graph->config.binary ? NULL : graph->code,
        .stride = graph->stride,
        .degree = graph->degree,
        .m2 = graph->m2,
    };
}

int32_t fly_affinity_count(const struct fly_affinity *graph)
{
    return graph->members;
}

int32_t fly_affinity_reach(const struct fly_affinity *graph)
{
    return graph->reach < graph->n ? graph->reach : graph->n;
}

const uint8_t *fly_affinity_members(const struct fly_affinity *graph)
{
    return graph->member;
}

double fly_affinity_threshold(const struct fly_affinity *graph)
{
    return graph->cut.value;
}

int32_t fly_affinity_bin(const struct fly_affinity *graph)
{
    return graph->bin;
}

const struct fly_histogram *fly_affinity_histogram(const struct fly_affinity *graph)
{
    return graph->histogram;
}

int64_t fly_affinity_edges(const struct fly_affinity *graph)
{
    return graph->edges;
}

int32_t fly_affinity_edges_of(const struct fly_affinity *graph, int32_t chip)
{
    int32_t edges = 0;

    for (size_t w = 0; w < graph->words; w++)
        edges += __builtin_popcountll(graph->bits[(size_t)chip * graph->words + w]);
    return edges;
}

double fly_affinity_strength(const struct fly_affinity *graph, int32_t chip)
{
    const uint16_t *code = graph->code + (size_t)chip * graph->stride;
    int64_t sum = 0;

    if (!graph->config.binary)
        return (double)graph->degree[chip] / FLY_WEIGHT_ONE;
    for (int32_t j = 0; j < graph->n; j++)
        if (graph->bits[(size_t)chip * graph->words + (size_t)j / 64] >> (j % 64) & 1)
            sum += code[j];
    return (double)sum / FLY_WEIGHT_ONE;
}

uint16_t fly_affinity_code(const struct fly_affinity *graph, int32_t i, int32_t j)
{
    return graph->code[(size_t)i * graph->stride + (size_t)j];
}

double fly_affinity_mean(const struct fly_affinity *graph)
{
    const struct fly_affinity_config *c = &graph->config;
    double mean = fly_vectors_mean(c->a, graph->member, graph->scratch);

    if (c->b)
        mean = c->weight_a * mean +
               (1.0 - c->weight_a) * fly_vectors_mean(c->b, graph->member, graph->scratch);
    return mean;
}

void fly_affinity_sums(const struct fly_affinity *graph, double *sums)
{
    const struct fly_affinity_config *c = &graph->config;

    memset(sums, 0, (size_t)graph->n * sizeof *sums);
    fly_vectors_sums(c->a, graph->member, c->b ? c->weight_a : 1.0, sums, graph->scratch);
    if (c->b)
        fly_vectors_sums(c->b, graph->member, 1.0 - c->weight_a, sums, graph->scratch);
}

/* ---- for analyze -------------------------------------------------------------------------------- */

struct upper {
    const struct fly_affinity *graph;
    float *f32;
    double *f64;
};

/* Member i's row begins after those of the members before it. */
static void upper_row(void *arg, int32_t i, int32_t worker)
{
    const struct upper *u = arg;
    const struct fly_affinity *g = u->graph;
    int64_t before = 0, at;

    (void)worker;
    if (!g->member[i])
        return;
    for (int32_t j = 0; j < i; j++)
        before += g->member[j];
    at = before * (2 * (int64_t)g->members - before - 1) / 2;
    for (int32_t j = i + 1; j < g->n; j++)
        if (g->member[j]) {
            double s = fly_affinity_similarity(g, i, j);

            if (u->f32)
                u->f32[at] = (float)s;
            if (u->f64)
                u->f64[at] = s;
            at++;
        }
}

int64_t fly_affinity_upper(const struct fly_affinity *graph, float *f32, double *f64,
                           const struct fly_exec *exec)
{
    struct upper u = {.graph = graph, .f32 = f32, .f64 = f64};

    exec->run(exec->ctx, graph->n, upper_row, &u);
    return (int64_t)graph->members * (graph->members - 1) / 2;
}

/* numpy.histogram with a number of bins: a guess by multiplication, put right by the edges that
 * linspace gives. */
static int32_t m1_bin(const struct fly_m1 *m1, double s)
{
    int32_t bin = (int32_t)((s - m1->least) / (m1->most - m1->least) * m1->n_bins);

    bin -= bin == m1->n_bins;
    bin -= bin > 0 && s < m1->least + bin * m1->width;
    bin += bin + 1 < m1->n_bins && s >= m1->least + (bin + 1) * m1->width;
    return bin;
}

void fly_m1_of(struct fly_m1 *m1, const double *similarities, int64_t count, int32_t n_bins)
{
    int32_t best;

    FLY_ASSERT(n_bins >= 1 && n_bins <= FLY_M1_BINS);
    memset(m1, 0, sizeof *m1);
    if (count == 0)
        return;
    m1->least = INFINITY;
    m1->most = -INFINITY;
    for (int64_t k = 0; k < count; k++) {
        m1->least = fmin(m1->least, similarities[k]);
        m1->most = fmax(m1->most, similarities[k]);
    }
    if (m1->most - m1->least < 1e-9) {
        m1->n_bins = 1;
        m1->bins[0] = count;
        m1->width = m1->most - m1->least;
        m1->mode = m1->least;
        return;
    }
    m1->n_bins = n_bins;
    m1->width = (m1->most - m1->least) / n_bins;
    for (int64_t k = 0; k < count; k++)
        m1->bins[m1_bin(m1, similarities[k])]++;
    best = fly_fullest(m1->bins, n_bins);
    m1->mode = 0.5 * ((m1->least + best * m1->width) +
                      (best + 1 < n_bins ? m1->least + (best + 1) * m1->width : m1->most));
}

/* ---- what happened ------------------------------------------------------------------------------ */

int fly_affinity_jump(struct fly_affinity *graph, struct fly_threshold_jump *jump)
{
    if (!graph->jump_count)
        return 0;
    *jump = graph->jumps[graph->jump_first];
    graph->jump_first = (graph->jump_first + 1) % FLY_JUMPS_MAX;
    graph->jump_count--;
    return 1;
}

struct fly_affinity_work fly_affinity_work(const struct fly_affinity *graph)
{
    return graph->work;
}
