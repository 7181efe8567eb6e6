/* engine/map/story.h: what became of the clusters from one map to the next.
 *
 * Reads maps that have stable ids (identity.h, vote.h); each is compared with the one told before. A cluster b
 * has a as a parent where a quarter or more of a's chips are now in it. From that alone:
 *
 *   merged   b has two parents or more
 *   split    a parent of b is parent of another, too
 *   born     an id above all seen before;  revived: another that was not in the last map. (Ids are given in ascending
 *            order. A few-shot class first seen after a later one is told as revived; the wire says born to both.)
 *   gone     an id of the last map that is not in this one
 *   grew     more than half as many chips again as in the last map, those of chips that came included
 *   weak     the id stayed, but the Jaccard index of then and now is below 0.3: it may be another thing
 *
 * All counts but those of `chips` and `before` are over chips present in both maps: in a cluster, a minor one
 * included. Minor clusters have no story.
 *
 * Nothing is left out: the arrays have room for as many clusters as there can be.
 *
 * Work     O(N + C log C).
 * Bytes    4 a chip, and 92 a cluster that there can be: 0.09 MB for 2601 chips where 3 make a cluster.
 * Threads  one.
 */
#ifndef FLY_MAP_STORY_H
#define FLY_MAP_STORY_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/map/scratch.h"

enum fly_cluster_event {
    FLY_CLUSTER_BORN    = 1 << 0,
    FLY_CLUSTER_REVIVED = 1 << 1,
    FLY_CLUSTER_SPLIT   = 1 << 2,
    FLY_CLUSTER_MERGED  = 1 << 3,
    FLY_CLUSTER_GONE    = 1 << 4,
    FLY_CLUSTER_GREW    = 1 << 5,
    FLY_CLUSTER_WEAK    = 1 << 6,
};

struct fly_cluster {
    int32_t id;
    int32_t chips;   /* 0: gone */
    int32_t before;  /* in the last map; 0: it was not there */
    uint32_t events; /* of enum fly_cluster_event */
    int32_t parents; /* of a merged or split cluster, its own id included; else 0 */
    const int32_t *parent; /* (parents) ids of the last map, ascending; until the next map */
};

struct fly_story {
    int32_t count;               /* living */
    int32_t gone;
    struct fly_cluster *cluster; /* (count + gone) the living by id, then the gone by id */
    int32_t count_before;        /* living in the last map */
    int32_t splits;              /* clusters of the last map that split */
    int32_t merges;              /* clusters of this one that are merged */

    /* story.c's own: */
    int32_t n, cap;
    int32_t next_id;   /* above every id seen */
    int32_t *index;    /* (N) of the chip's cluster among those of the last map, or its label below 0 */
    int32_t *id;       /* (cap) of the last map */
    int32_t *size;     /* (cap) in it */
    int32_t *parent;   /* (4 cap) */
    int32_t *children; /* (cap) */
};

/* n chips in clusters of `smallest` or more. */
size_t fly_story_need(int32_t n, int32_t smallest);
void fly_story_init(struct fly_story *story, int32_t n, int32_t smallest, struct fly_arena *arena);

/* labels (N) of the next map; `scratch` of at least N. Fills what is above `own`. */
void fly_story_tell(struct fly_story *story, const int32_t *labels, struct fly_map_scratch *scratch);

/* A living cluster, NULL: there is none of that id. */
const struct fly_cluster *fly_story_find(const struct fly_story *story, int32_t id);

/* The one word that the wire has for it, NULL: nothing to tell. Of several: gone, merged, split, born (revived
 * is told as born). */
const char *fly_cluster_word(const struct fly_cluster *cluster);

#endif
