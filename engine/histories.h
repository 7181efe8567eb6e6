/* engine/histories.h: who is who from epoch to epoch, in every map of clusters.
 *
 *   communities, Ward of images, Ward of X-rays   identity.h: ids that stay
 *   Ward's vote                                   vote.h: an id for each pair of ids of the two
 *   few-shot                                      a class is its own id
 *
 * Of each map there is then a story (what was born, merged, split, went), the names and roles that a person
 * gave, and where somebody watches a calmer picture of it (engine/map).
 *
 * Part of the engine, and of nobody else's concern: engine.h says what is seen outside.
 *
 * Memory   reserved by init, about 130 bytes a chip and map, and 20 KiB a map.
 * Threads  one.
 */
#ifndef FLY_ENGINE_HISTORIES_H
#define FLY_ENGINE_HISTORIES_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/map/debounce.h"
#include "engine/map/identity.h"
#include "engine/map/names.h"
#include "engine/map/story.h"
#include "engine/map/vote.h"

struct fly_history {
    int there;         /* 0: the session has no such map */
    int fresh;         /* the story was told in the last epoch */
    struct fly_identity identity; /* of communities and of Ward's two hierarchies */
    int32_t *label;    /* (K) as shown; NULL for few-shot */
    float *confidence; /* (K) NaN where the label is below 0; NULL for few-shot */
    uint32_t *age;     /* (K) of the chip in the last map that was told */
    struct fly_story story;
    struct fly_names names;
    struct fly_debounce debounce; /* where the histories are calm */
};

struct fly_histories {
    int32_t n;
    int calm;          /* 1: there are calmer pictures */
    struct fly_map_scratch scratch;
    struct fly_vote vote;
    uint8_t *revised; /* (K) */
    struct fly_history of[FLY_MAPS];
};

/* there: (FLY_MAPS) 0 or 1. */
size_t fly_histories_need(int32_t n, const uint8_t *there, int calm);
void fly_histories_init(struct fly_histories *histories, int32_t n, const uint8_t *there, int calm,
                        struct fly_arena *arena);

/* The next map of a method that numbers its clusters anew: gives them the ids that stay, fills label, and tells the
 * story. Not for few-shot and the vote.
 *
 *   raw         (K) >= 0 a cluster; below 0 enum fly_label
 *   told        0: nothing is told, raw is all below 0; who is who is remembered
 *   confidence  (K) NaN: none; the more, the more typical a chip is of its cluster
 *   age         (K) revisions of the chip so far
 */
void fly_history_step(struct fly_histories *histories, int map, const int32_t *raw, int told,
                      const float *confidence, const uint32_t *age);

/* The vote of the two hierarchies as they are now shown. */
void fly_history_vote(struct fly_histories *histories, const float *confidence);

/* Labels that are ids already: few-shot's classes. */
void fly_history_tell(struct fly_histories *histories, int map, const int32_t *labels);

/* The calmer picture of a map as it now is, once an epoch, after it was told (engine/map/debounce.h). 1: it is another
 * than before.
 *
 *   labels  (K) as shown
 *   margin  (K) between a chip's best and second best, where it shows another label than it has; NULL: not known
 *   plain   1: the labels themselves
 */
int fly_history_calm(struct fly_histories *histories, int map, const int32_t *labels, const float *margin, int plain);

#endif
