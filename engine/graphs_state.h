/* engine/graphs_state.h: the inside of the graphs of a session, for the two files that are its parts.
 *
 * graphs.c       open, chips taken in, spare work, what a person says
 * graphs_tell.c  what is told: maps, exact partitions, curves, work done
 */
#ifndef FLY_ENGINE_GRAPHS_STATE_H
#define FLY_ENGINE_GRAPHS_STATE_H

#include "engine/graphs.h"

/* What is known of a chip of one source. */
enum { FLY_CHIP_UNKNOWN = 0, FLY_CHIP_TAKEN, FLY_CHIP_TOO_LITTLE };
enum { FLY_OF_IMAGE = 0, FLY_OF_EDS, FLY_OF_SOURCES };

struct fly_one_graph {
    struct fly_affinity *graph; /* NULL: there is none of this modality */
    struct fly_live live;
    int32_t *label;
    float *confidence;
    uint32_t *age;
    int moved; /* what is known of chips has changed since it was told */
};

struct fly_graphs {
    struct fly_graphs_config config;
    int32_t n;
    struct fly_vectors *vectors[FLY_OF_SOURCES];
    struct fly_one_graph one[FLY_MODALITIES];
    struct fly_louvain cold;
    struct fly_communities exact;
    struct fly_arena lent;        /* of fly_null_need bytes, within ours */
    int32_t *spare_labels;        /* (K) twice */
    uint8_t *waits;               /* (K) enum fly_graph_source, 0: it does not */
    int32_t *queue;               /* (K) a ring */
    int32_t head, waiting;
    uint8_t *known[FLY_OF_SOURCES];      /* (K) */
    uint32_t *version[FLY_OF_SOURCES];   /* (K) of what was taken */
    int64_t *stamp;               /* (K) 0: nobody's latency */
    struct fly_graph_work other;  /* of cold, but for what live.c counts */
    uint64_t updates, refused;
};

#endif
