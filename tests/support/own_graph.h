/* tests/support/own_graph.h: dense graphs that a test owns and edits, among them random ones with planted
 * communities and the golden graphs, built in double from the golden features.
 */
#ifndef FLY_TESTS_OWN_GRAPH_H
#define FLY_TESTS_OWN_GRAPH_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/dense.h"
#include "tests/support/golden.h"

struct own_graph {
    struct fly_dense view; /* n may be lowered and raised again by own_graph_show */
    uint64_t *bits;
    uint16_t *weight;
    int64_t *degree;
    int32_t n;             /* room */
    int weighted;
};

static inline struct own_graph own_graph_make(int32_t n, int weighted)
{
    struct own_graph g = {.n = n, .weighted = weighted};
    size_t words = ((size_t)n + 63) / 64, stride = ((size_t)n + 31) / 32 * 32;

    g.bits = calloc((size_t)n * words + 1, sizeof *g.bits);
    g.weight = calloc((size_t)n * stride + 1, sizeof *g.weight);
    g.degree = calloc((size_t)n + 1, sizeof *g.degree);
    g.view = (struct fly_dense){.n = n, .bits = g.bits, .words = words,
                                .weight = weighted ? g.weight : NULL, .stride = stride,
                                .degree = g.degree};
    return g;
}

static inline void own_graph_free(struct own_graph *g)
{
    free(g->bits);
    free(g->weight);
    free(g->degree);
}

/* An edge of weight w > 0, or none: then the pair's weight may be anything. */
static inline void own_graph_put(struct own_graph *g, int32_t i, int32_t j, int edge, uint16_t w)
{
    size_t words = g->view.words, stride = g->view.stride;

    for (int side = 0; side < 2; side++) {
        size_t a = (size_t)(side ? i : j), b = (size_t)(side ? j : i);
        uint64_t *word = &g->bits[a * words + b / 64], bit = (uint64_t)1 << b % 64;
        int64_t before = *word & bit ? g->weighted ? g->weight[a * stride + b] : 1 : 0;
        int64_t after = edge ? g->weighted ? w : 1 : 0;

        *word = edge ? *word | bit : *word & ~bit;
        g->weight[a * stride + b] = w;
        g->degree[a] += after - before;
        g->view.m2 += after - before;
    }
}

/* Communities of chips i with i % communities equal; edges inside with probability p_in, else p_out. */
static inline struct own_graph own_graph_planted(int32_t n, int32_t communities, double p_in, double p_out,
                                                 int weighted, struct fly_rng *rng)
{
    struct own_graph g = own_graph_make(n, weighted);

    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) {
            double p = i % communities == j % communities ? p_in : p_out;
            int edge = fly_rng_uniform(rng) < p;

            own_graph_put(&g, i, j, edge, (uint16_t)(1 + fly_rng_below(rng, FLY_WEIGHT_ONE + 200)));
        }
    return g;
}

/* ---- golden graphs in double -------------------------------------------------------------------- */

struct double_graph {
    int32_t n;
    double *s; /* (n, n) affinity, diagonal 0 */
};

static inline double double_of(const struct fly_npy *x, int64_t at)
{
    switch (x->type) {
    case FLY_NPY_F64: return ((const double *)x->data)[at];
    case FLY_NPY_F32: return (double)((const float *)x->data)[at];
    case FLY_NPY_I32: return ((const int32_t *)x->data)[at];
    case FLY_NPY_U16: return ((const uint16_t *)x->data)[at];
    case FLY_NPY_I64: return (double)((const int64_t *)x->data)[at];
    default: abort();
    }
}

/* Cosine of rows (n, d); a row of zeros has 0 with everything. x is spoiled. */
static inline struct double_graph double_graph_of(double *x, int32_t n, int64_t d)
{
    struct double_graph g = {.n = n, .s = calloc((size_t)n * (size_t)n + 1, sizeof(double))};

    for (int32_t i = 0; i < n; i++) {
        double square = 0.0, *row = x + i * d;

        for (int64_t k = 0; k < d; k++)
            square += row[k] * row[k];
        for (int64_t k = 0; square > 0.0 && k < d; k++)
            row[k] /= sqrt(square);
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) {
            double dot = 0.0;

            for (int64_t k = 0; k < d; k++)
                dot += x[i * d + k] * x[j * d + k];
            g.s[(int64_t)i * n + j] = g.s[(int64_t)j * n + i] = dot > 1.0 ? 1.0 : dot;
        }
    free(x);
    return g;
}

static inline struct double_graph double_graph_golden(const char *folder, const char *name)
{
    struct golden x = golden_open(folder, name);
    double *copy = calloc((size_t)x.npy.items + 1, sizeof *copy);
    int64_t d = x.npy.dims > 1 ? x.npy.shape[1] : 1;
    struct double_graph g;

    for (int64_t at = 0; at < x.npy.items; at++)
        copy[at] = double_of(&x.npy, at);
    g = double_graph_of(copy, (int32_t)x.npy.shape[0], d);
    golden_close(&x);
    return g;
}

/* From spec_nnz: rows of chip, channel, count. */
static inline struct double_graph double_graph_spectra(const char *folder, int32_t n, int64_t channels)
{
    struct golden nnz = golden_open(folder, "spec_nnz");
    double *x = calloc((size_t)n * (size_t)channels, sizeof *x);
    struct double_graph g;

    for (int64_t at = 0; at < nnz.npy.shape[0]; at++)
        x[(int64_t)double_of(&nnz.npy, 3 * at) * channels + (int64_t)double_of(&nnz.npy, 3 * at + 1)] =
            double_of(&nnz.npy, 3 * at + 2);
    g = double_graph_of(x, n, channels);
    golden_close(&nnz);
    return g;
}

static inline int double_graph_edge(const struct double_graph *g, double threshold, int32_t i, int32_t j)
{
    double s = g->s[(int64_t)i * g->n + j];

    return i != j && s >= threshold && s > 0.0;
}

/* The engine's form of the thresholded graph. */
static inline struct own_graph own_graph_of(const struct double_graph *g, double threshold, int weighted)
{
    struct own_graph out = own_graph_make(g->n, weighted);

    for (int32_t i = 0; i < g->n; i++)
        for (int32_t j = 0; j < i; j++) {
            double w = round(g->s[(int64_t)i * g->n + j] * FLY_WEIGHT_ONE);
            int edge = double_graph_edge(g, threshold, i, j);

            own_graph_put(&out, i, j, edge, (uint16_t)(w < 1.0 ? edge : w));
        }
    return out;
}

/* Modularity of labels 0 .. n-1 on the graph as golden has it, edges of weight s or 1. */
static inline double double_graph_q(const struct double_graph *g, double threshold, int weighted,
                                    const int32_t *labels)
{
    double *k = calloc((size_t)g->n + 1, sizeof *k), m2 = 0.0, inside = 0.0, squares = 0.0;

    for (int32_t i = 0; i < g->n; i++)
        for (int32_t j = 0; j < g->n; j++)
            if (double_graph_edge(g, threshold, i, j)) {
                double w = weighted ? g->s[(int64_t)i * g->n + j] : 1.0;

                k[labels[i]] += w;
                m2 += w;
                inside += labels[i] == labels[j] ? w : 0.0;
            }
    for (int32_t c = 0; c < g->n; c++)
        squares += k[c] * k[c];
    free(k);
    return m2 > 0.0 ? inside / m2 - squares / m2 / m2 : 0.0;
}

/* ---- just enough JSON --------------------------------------------------------------------------- */

/* The text of the object under key, NULL when there is none; the caller frees it. */
static inline char *json_object(const char *json, const char *key)
{
    char quoted[64], *out;
    const char *at, *end;
    int depth = 0;

    snprintf(quoted, sizeof quoted, "\"%s\": {", key);
    at = strstr(json, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted) - 1;
    for (end = at; *end; end++) {
        depth += *end == '{';
        depth -= *end == '}';
        if (depth == 0)
            break;
    }
    out = calloc((size_t)(end - at) + 1, 1);
    memcpy(out, at, (size_t)(end - at));
    return out;
}

#endif
