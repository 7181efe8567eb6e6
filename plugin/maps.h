/* plugin/maps.h: a set of maps on its way to the wire: keyframes, deltas and exact answers alike. */
#ifndef FLY_PLUGIN_MAPS_H
#define FLY_PLUGIN_MAPS_H

#include "plugin/bus.h"
#include "plugin/session.h"
#include "stream/publish.h"

/* What fly_pub_map wants, of one map of a set. Arrays are gathered into scratch when the box is not
 * the whole grid. */
enum { FLY_MAP_CLASSES_MAX = 512 }; /* what a header has room for; of more communities the smaller go unnamed */

struct fly_map_out {
    struct fly_pub_map map;
    struct fly_pub_class classes[FLY_MAP_CLASSES_MAX];
    char colour[FLY_MAP_CLASSES_MAX][8];
    char name[FLY_MAP_CLASSES_MAX][24]; /* of communities and clusters without a person's */
    int32_t *labels;   /* scratch (K) */
    float *confidence; /* scratch (K) */
    uint32_t *age;     /* scratch (K) */
    int32_t *shown;    /* scratch (K) */
    int32_t cap;
};
FLY_MUST_USE int fly_map_out_init(struct fly_map_out *out, int32_t n_chips);
void fly_map_out_fini(struct fly_map_out *out);

/* box: r0, c0, nr, nc; NULL: all of it. */
void fly_map_out_fill(struct fly_map_out *out, const struct fly_session_info *info,
                      const struct fly_map_set *set, int map, const int32_t *box);

/* Smallest box around what differs between two sets in a map; 0: nothing does. */
int fly_maps_differ(const struct fly_map_set *a, const struct fly_map_set *b, int map, int32_t cols,
                    int32_t box[4]);
/* 1: a person called clusters of the map something else. */
int fly_names_differ(const struct fly_map_set *a, const struct fly_map_set *b, int map);
int fly_classes_differ(const struct fly_map_set *a, const struct fly_map_set *b);

/* 1: sessions of these facts have maps of that modality; and have that map (fly_map_index). */
int fly_maps_has(const struct fly_session_info *info, enum fly_modality modality);
int fly_maps_has_map(const struct fly_session_info *info, int map);
/* How many maps a set of that session needs room for: those of few-shot stand first. */
static inline int32_t fly_maps_count(const struct fly_session_info *info)
{
    return info->plan.communities || info->plan.ward ? FLY_MAPS : FLY_MAPS_FEWSHOT;
}

/* 1: sessions of these facts have maps of that method. */
static inline int fly_maps_has_method(const struct fly_session_info *info, enum fly_method method)
{
    return method == FLY_FEWSHOT || (method == FLY_COMMUNITY ? info->plan.communities : info->plan.ward);
}

/* The ids >= 0 among labels (n), ascending, and how many chips have each: the cap with most chips (of equals
 * those of lower id). Returns how many were written; *more: how many were not. Without memory: 0. */
int32_t fly_label_ids(const int32_t *labels, int32_t n, int32_t *ids, int32_t *chips, int32_t cap, int32_t *more);

/* What a cluster is called that nobody has named: "ward 3". cap >= 24. */
void fly_cluster_call(char *out, size_t cap, enum fly_method method, int32_t id);

/* What a person calls a cluster of a map; NULL: nothing. Lent as long as the set stands. */
const struct fly_name *fly_map_name(const struct fly_map_set *set, int map, int32_t id);

void fly_streams_of(struct fly_pub_streams *out, const struct fly_session_info *info, const uint64_t *seq);

#endif
