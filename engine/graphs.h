/* engine/graphs.h: the affinity graphs of a session, one a modality, and the communities in each.
 *
 *   haadf     cosines of image embeddings
 *   eds       cosines of spectra, or of compositions
 *   ensemble  w * haadf + (1 - w) * eds, for chips that are in both
 *
 * Chips whose features come or change are touched; an update takes a block of them into all graphs that it
 * concerns, and renews the communities. What the graphs are when no chip is left waiting is a function of the
 * features alone (affinity.h); the communities go on from the last ones, and the exact ones are a function of
 * the graphs (live.h). Between updates there is spare work: is there any structure, is there a better answer.
 *
 * Part of the engine, and of nobody else's concern: engine.h says what is seen outside.
 *
 * Memory   reserved by open: per graph 2 bytes for each of K * K pairs, 1 bit, and some rows.
 * Threads  one at a time; work is spread through the executor, with the same result for any width. The caller
 *          has told OpenBLAS to use one thread a call.
 */
#ifndef FLY_ENGINE_GRAPHS_H
#define FLY_ENGINE_GRAPHS_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/graph/live.h"

struct fly_graphs;

/* Where features stand, all K of them; lent for a call. */
struct fly_graph_features {
    const float *embeddings;    /* (K, D) */
    const uint8_t *embedded;    /* (K) 0 or 1 */
    const uint32_t *image_version; /* (K) */
    const uint32_t *spectra;    /* (K, E) */
    const double *percent;      /* (K, n), NaN in chips of too few counts */
    const uint8_t *eds_there;   /* (K) 0 or 1 */
    const uint32_t *eds_version; /* (K) */
    uint64_t (*spectrum_total)(const void *ctx, int32_t chip); /* photons of its own */
    const void *ctx;
};

struct fly_graphs_config {
    struct fly_graph_config graph;
    int32_t n_chips;
    int32_t rows, cols;  /* of the grid; 0: chips that lie nowhere */
    int32_t image_width; /* D; 0: no image */
    int32_t eds_width;   /* E or n; 0: no EDS */
    enum fly_eds_feature feature;
    int robust;          /* debiased spectra, hysteresis, and nothing told of noise */
};

size_t fly_graphs_need(const struct fly_graphs_config *config);
FLY_MUST_USE int fly_graphs_open(struct fly_graphs **out, const struct fly_graphs_config *config,
                                 struct fly_arena *arena);

/* 1: there is a graph of that modality. */
int fly_graphs_has(const struct fly_graphs *graphs, enum fly_modality modality);

enum fly_graph_source { FLY_GRAPH_IMAGE = 1, FLY_GRAPH_EDS = 2, FLY_GRAPH_MIX = 4 }; /* features; weights of both */
void fly_graphs_touch(struct fly_graphs *graphs, int32_t chip, enum fly_graph_source source);

/* Chips that wait. */
int32_t fly_graphs_waiting(const struct fly_graphs *graphs);

/* Take up to FLY_BLOCK_MAX waiting chips in; at least one must wait. */
void fly_graphs_update(struct fly_graphs *graphs, const struct fly_graph_features *features,
                       const struct fly_exec *exec);

/* One piece of spare work, of 10 ms at most for 2601 chips. 0: there is none. */
int fly_graphs_spare(struct fly_graphs *graphs, const struct fly_exec *exec);

/* No chip waits: adopt the exact partitions. */
void fly_graphs_finish(struct fly_graphs *graphs, const struct fly_exec *exec);

/* 1: telling may change something. */
int fly_graphs_untold(const struct fly_graphs *graphs);

/* Make what is told the communities as they are now. A bit 1 << modality for each graph where something may have
 * changed. */
unsigned fly_graphs_tell(struct fly_graphs *graphs);

/* Another threshold, resolution or weights, in force at once. Checked by the caller. */
void fly_graphs_set(struct fly_graphs *graphs, const struct fly_graph_config *config,
                    const struct fly_exec *exec);
const struct fly_graph_config *fly_graphs_config(const struct fly_graphs *graphs);

/* Other weights of the ensemble, that there is: all chips wait for an update, block by block, that brings them. */
void fly_graphs_reweigh(struct fly_graphs *graphs, const double weights[2]);

/* As last told; (K). Communities under numbers that mean nothing from one time to the next, minor ones too. */
void fly_graphs_map(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_map_view *view);
void fly_graphs_view(const struct fly_graphs *graphs, enum fly_modality modality, struct fly_graph_view *view);
int fly_graphs_jump(struct fly_graphs *graphs, enum fly_modality modality, struct fly_threshold_jump *jump);

/* See fly_engine_exact and fly_engine_curve. */
FLY_MUST_USE int fly_graphs_exact(struct fly_graphs *graphs, enum fly_modality modality, int32_t *labels,
                                  float *confidence, struct fly_graph_view *view, const struct fly_exec *exec);
FLY_MUST_USE int fly_graphs_curve(struct fly_graphs *graphs, enum fly_modality modality,
                                  struct fly_graph_point *points, int32_t count, const int32_t *shown,
                                  const int32_t *fewshot);
/* NULL: there is none. */
const struct fly_affinity *fly_graphs_affinity(const struct fly_graphs *graphs, enum fly_modality modality);

struct fly_graphs_work {
    struct fly_affinity_work affinity; /* of all graphs; pairs of an update counted once a graph */
    struct fly_graph_work communities;
    uint64_t updates;
    uint64_t refused; /* features that could not be compared: a channel of 2^26 counts */
};
void fly_graphs_work(const struct fly_graphs *graphs, struct fly_graphs_work *work);

#endif
