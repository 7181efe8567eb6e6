/* tests/bench/image_rig.h: a row of chips in the image graph alone, stage by stage, with the clock running.
 *
 * The calls that engine/graphs.c makes of one graph: its communities let go of the row's chips, vectors are
 * put, the graph is updated and settled (with hysteresis), communities are renewed. One thread. Between rows
 * one cold order may be pondered, its time kept apart.
 */
#ifndef FLY_TESTS_BENCH_IMAGE_RIG_H
#define FLY_TESTS_BENCH_IMAGE_RIG_H

#include "engine/graph/live.h"
#include "tests/bench/scene.h"

enum image_stage {
    IMAGE_FORGET,
    IMAGE_PUT,
    IMAGE_UPDATE,
    IMAGE_SETTLE,
    IMAGE_RENEW,
    IMAGE_STAGES
};

struct image_rig {
    const struct scene *scene;
    struct fly_arena arena;
    struct fly_vectors *vectors;
    struct fly_affinity *graph;
    struct fly_live live;
    struct fly_louvain cold;
    int32_t *chips; /* (N) */

    /* of the last row */
    double total_s, stage_s[IMAGE_STAGES], ponder_s;
    int moved;      /* the threshold */
    int adopted;    /* what was pondered was better */
};

void image_rig_open(struct image_rig *rig, const struct scene *scene);
void image_rig_close(struct image_rig *rig);

/* A row of the scene arrives (in order), or is there anew. */
void image_rig_row(struct image_rig *rig, int32_t row);

/* Then, in this order: one cold order more, adopted where it is better; and how far the answer's modularity
 * lies below cold best of 8. */
void image_rig_ponder(struct image_rig *rig);
double image_rig_gap(struct image_rig *rig);

#endif
