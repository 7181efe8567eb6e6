/* plugin/clusters.h: what the groups of a map are made of, on their way to the wire.
 *
 * For each class or community of a map how many chips it has and, with EDS, the composition of their summed
 * spectra. Made by the engine stage now and then, one map at a time: a sum over all spectra is 4 ms at 2601
 * chips of 4096 channels.
 */
#ifndef FLY_PLUGIN_CLUSTERS_H
#define FLY_PLUGIN_CLUSTERS_H

#include "plugin/maps.h"

struct fly_cluster {
    int32_t id, chips;
    int composed; /* 1: percent and sigma are there */
    double percent[FLY_ELEMENTS_MAX], sigma[FLY_ELEMENTS_MAX];
};

struct fly_clusters {
    uint64_t serial; /* of the session; 0: empty */
    int map, final;
    uint64_t as_of[FLY_STREAMS_MAX];
    int32_t n_elements;
    char element[FLY_ELEMENTS_MAX][4];
    struct fly_class classes[FLY_CLASSES_MAX];
    int32_t n, more; /* more: those that there is no room for, none larger */
    struct fly_cluster cluster[FLY_MAP_CLASSES_MAX];
};

/* From a set of maps that the session's engine made. Engine stage. */
void fly_clusters_make(struct fly_clusters *out, struct fly_engine *engine, const struct fly_map_set *set, int map);

/* The message; of more clusters than it has room for the smallest are left out and counted. */
FLY_MUST_USE int fly_clusters_message(struct fly_pub_message *message, struct fly_pack *pack,
                                      const struct fly_pub_id *id, const struct fly_clusters *clusters,
                                      const struct fly_session_info *info);

#endif
