/* tests/bench/live_rig.h: what a row of chips sets off in the engine's graphs, with the clock running (the
 * processor's, see measure.h; wall_s is the other one).
 *
 * engine/graphs.h as the engine calls it, on one thread: the row's chips are touched, taken into the graphs
 * of image, spectra and both (settled, communities renewed), and the communities told under their stable
 * ids with shares. Between rows spare pieces may be done; their time is kept apart, and what they find
 * counts in the next row.
 */
#ifndef FLY_TESTS_BENCH_LIVE_RIG_H
#define FLY_TESTS_BENCH_LIVE_RIG_H

#include "engine/graphs.h"
#include "tests/bench/scene.h"

struct rig {
    const struct scene *scene;
    int32_t spares;   /* pieces of spare work after each row, where there is any */
    struct fly_arena arena, cold_arena;
    struct fly_graphs *graphs;
    struct fly_louvain cold;
    uint8_t *there;    /* (N) chips that came */
    uint32_t *version; /* (N) */
    int32_t present;   /* chips that came, in scan order */

    /* of the last row */
    double total_s, wall_s;
    double update_s, tell_s; /* the parts of total_s */
    double spare_s;          /* all its pieces */
    double piece_s;          /* the longest of them */
    int moved;               /* a threshold */
};

void rig_open(struct rig *rig, const struct scene *scene, int32_t spares);
void rig_close(struct rig *rig);

/* A row of the scene arrives (in order), or is there anew. */
void rig_row(struct rig *rig, int32_t row);

/* How far the answer's modularity lies below cold best of 8 on the graph as it is. */
double rig_gap(struct rig *rig, enum fly_modality modality);

/* Communities as told, from 0 without gaps; a chip that is told to be in none stands alone. */
void rig_labels(const struct rig *rig, enum fly_modality modality, int32_t *labels);

#endif
