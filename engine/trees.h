/* engine/trees.h: the hierarchies of a session, and where they are cut.
 *
 *   haadf     Ward's hierarchy of image embeddings, cut into k clusters
 *   eds       the same of compositions, or of spectra (in the robust profile of rates: counts / their sum)
 *   ensemble  vector voting: the pair of both labels (golden definition 9)
 *
 * Chips whose features come or change are touched; an update takes all that wait into one of the two trees. What a
 * tree is then is a function of the features alone (engine/tree/ward.h).
 *
 * Part of the engine, and of nobody else's concern: engine.h says what is seen outside.
 *
 * Memory   reserved by open: see ward.h, and 70 bytes a chip.
 * Threads  one at a time; work is spread through the executor, with the same result for any width.
 */
#ifndef FLY_ENGINE_TREES_H
#define FLY_ENGINE_TREES_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/graphs.h"
#include "engine/tree/ward.h"

enum fly_tree_source { FLY_TREE_IMAGE = 0, FLY_TREE_EDS, FLY_TREES };

struct fly_trees_config {
    struct fly_tree_config tree;
    int32_t n_chips;
    int32_t image_width; /* D; 0: no image */
    int32_t eds_width;   /* E or n; 0: no EDS */
    enum fly_eds_feature feature;
    int robust;
};

struct fly_one_tree {
    int there;
    struct fly_ward ward;
    uint8_t *known;    /* (K) enum of trees.c */
    uint32_t *version; /* (K) of what was taken */
    uint8_t *waits;    /* (K) 0 or 1 */
    int32_t *queue;    /* (K) */
    int32_t waiting;
    int moved;         /* taken in since it was told */
};

struct fly_trees {
    struct fly_trees_config config;
    int32_t n;
    struct fly_one_tree one[FLY_TREES];
    int32_t *raw[FLY_MODALITIES];      /* (K) as last told: canonical numbers, or enum fly_label */
    float *confidence[FLY_MODALITIES]; /* (K) */
    uint32_t *age[FLY_MODALITIES];     /* (K) */
    int64_t *stamp;                    /* (K) 0: nobody's latency */
    int32_t *number;                   /* (FLY_TREE_K_MAX squared) of pairs */
    uint64_t updates, refused;
};

FLY_MUST_USE int fly_trees_check(const struct fly_trees_config *config);
size_t fly_trees_need(const struct fly_trees_config *config);
void fly_trees_open(struct fly_trees *trees, const struct fly_trees_config *config, struct fly_arena *arena);

/* 1: that modality has clusters. */
int fly_trees_has(const struct fly_trees *trees, enum fly_modality modality);

void fly_trees_touch(struct fly_trees *trees, int32_t chip, enum fly_tree_source source);
int32_t fly_trees_waiting(const struct fly_trees *trees, enum fly_tree_source source);

/* Take all waiting chips of a source in. */
void fly_trees_update(struct fly_trees *trees, enum fly_tree_source source, const struct fly_graph_features *features,
                      const struct fly_exec *exec);

/* One piece of spare work, which makes later updates cheaper and changes no result: a few ms. 0: there is none. */
int fly_trees_spare(struct fly_trees *trees);

/* 1: telling may change something. */
int fly_trees_untold(const struct fly_trees *trees);

/* Cut the trees that changed. A bit 1 << modality for each map that may have. */
unsigned fly_trees_tell(struct fly_trees *trees);

/* Another k, in force when told. */
void fly_trees_set_k(struct fly_trees *trees, int32_t k);

/* Adds what they did. */
void fly_trees_count(const struct fly_trees *trees, struct fly_engine_counts *counts);

void fly_trees_view(const struct fly_trees *trees, enum fly_modality modality, struct fly_tree_view *view);

#endif
