/* plugin/clusters.h: what the groups of a map are, on their way to the wire.
 *
 * For each class, community or cluster of a map how many chips it has, what became of it since it was last told of,
 * what a person calls it, with EDS the composition of its summed spectra, and with an image the lattice in its
 * largest square. Made by the engine stage now and then, one map at a time: a sum over all spectra is 4 ms at 2601
 * chips of 4096 channels.
 */
#ifndef FLY_PLUGIN_CLUSTERS_H
#define FLY_PLUGIN_CLUSTERS_H

#include "plugin/maps.h"

enum { FLY_CLUSTER_PARENTS = 8, FLY_CLUSTER_NEWS = 256 };

/* What became of the clusters of a map since they were last told of: of those that something happened to. */
struct fly_cluster_news {
    int32_t n, omitted;
    struct fly_cluster_new {
        int32_t id;
        uint32_t events; /* enum fly_cluster_event */
        int32_t n_parents;
        int32_t parents[FLY_CLUSTER_PARENTS];
    } of[FLY_CLUSTER_NEWS];
};

/* After each epoch that changed the map. */
void fly_cluster_news_add(struct fly_cluster_news *news, const struct fly_story *story);

struct fly_cluster_out {
    int32_t id, chips; /* chips 0: it is gone */
    int composed;      /* 1: percent and sigma are there */
    double percent[FLY_ELEMENTS_MAX], sigma[FLY_ELEMENTS_MAX];
    char name[FLY_CLUSTER_NAME_MAX + 1]; /* a person's; "": none */
    enum fly_role role;
    const char *event; /* static; NULL: nothing happened */
    int32_t n_parents, parents[FLY_CLUSTER_PARENTS];
    struct fly_square square;    /* n 0: none, or nobody looked */
    struct fly_spacing spacing;  /* where there is a square */
};

/* Percent differences between two clusters, by element; NaN where not defined. */
struct fly_difference {
    double relative[FLY_ELEMENTS_MAX], relative_sigma[FLY_ELEMENTS_MAX];
    double symmetric[FLY_ELEMENTS_MAX], symmetric_sigma[FLY_ELEMENTS_MAX];
};
/* From percents and sigmas (n) of the ordered (a) and the disordered (b) one; sigmas by first order, those of the two
 * being independent. */
void fly_difference_of(struct fly_difference *out, const double *a, const double *a_sigma, const double *b,
                       const double *b_sigma, int32_t n);

struct fly_clusters {
    uint64_t serial; /* of the session; 0: empty */
    int map, final;
    uint64_t as_of[FLY_STREAMS_MAX];
    int32_t n_elements;
    char element[FLY_ELEMENTS_MAX][4];
    struct fly_class classes[FLY_CLASSES_MAX];
    int32_t n, more; /* more: those that there is no room for, none larger */
    struct fly_cluster_out cluster[FLY_MAP_CLASSES_MAX + FLY_CLUSTER_NEWS];
};

/* From a set of maps that the session's engine made. news is told, and begins anew. Engine stage. */
void fly_clusters_make(struct fly_clusters *out, struct fly_engine *engine, const struct fly_map_set *set, int map,
                       struct fly_cluster_news *news);

/* What an earlier telling of the same map says happened, where `to` says nothing of it: `unread` is not sent. */
void fly_clusters_carry(struct fly_clusters *to, const struct fly_clusters *unread);

/* The message; of more clusters than it has room for the smallest are left out and counted. */
FLY_MUST_USE int fly_clusters_message(struct fly_pub_message *message, struct fly_pack *pack,
                                      const struct fly_pub_id *id, const struct fly_clusters *clusters,
                                      const struct fly_session_info *info);

#endif
