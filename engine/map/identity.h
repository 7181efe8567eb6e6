/* engine/map/identity.h: ids of clusters that stay from map to map.
 *
 * A method numbers its clusters anew at every epoch, by whatever order it came by. Here each gets an id: that
 * of a cluster of the map before, or one that came back, or one never given before. So colours stay put while
 * the map grows, and a name that a person gave stays with its region.
 *
 *   keep    Clusters of the two maps are matched one to one so that most chips keep their label
 *           (overlap.h, match.h; MONIC, Spiliopoulou et al. 2006, doi:10.1145/1150402.1150491, Greene et al.
 *           2010, doi:10.1109/ASONAM.2010.17, match by threshold or greedily). Counted first are the chips that
 *           were not revised, then all; then the cluster that holds the old one's anchor goes before its equal,
 *           then the older id; what is left goes by id and by first chip.
 *   revive  A cluster that found no match takes the id of one that went within the last FLY_MAP_REMEMBERED
 *           epochs, the latest first, where their Jaccard index is 0.5 or more.
 *   new     Else it gets the next id, in the order of first chips. None is ever given to another cluster.
 *
 * The avoidable flicker (flicker.h) of the maps is therefore 0, exactly: no other naming would leave more of the
 * unrevised chips with the id they had. That is why the weight is the plain overlap and not T / sqrt(|a| |b|),
 * which favours small clusters at the expense of chips that need not change, and why a match is kept however low
 * its Jaccard index: below 0.3 (a cluster fallen into four, say) a new id would be one more change and tell
 * nobody more. The story (story.h) says so instead, `weak`, and names (names.h) are then marked.
 *
 * The anchor of a cluster, which decides between equal halves, is its most typical chip, its medoid, where the
 * caller says how typical chips are; else the chip that has had the id for longest. The lowest wins among
 * equals.
 *
 * Clusters of fewer than `smallest` chips have no id: their chips are FLY_MAP_MINOR (decision D9). One that
 * falls below it is gone, and revived if it grows again in time.
 *
 * Presence A chip is present in a map where it is in a cluster, a minor one included. Overlaps and Jaccard
 *          indices look at chips present in both maps: a scan that goes on tears nothing apart. Labels below 0
 *          (not measured, unknown, too little) are passed through, and their chips are not present.
 * Replay   The state is a function of what _step was handed, call by call. How clusters are numbered in it
 *          changes nothing. A map that is not told (too little structure) is not stepped: the next one is
 *          compared with the last that was. `exact` maps have ids by first appearance (number.h) and do not
 *          come here.
 * Work     O(N) and the matching's, O(rows * cells * log cols) at worst.
 * Bytes    up to 40 a chip: 0.1 MB at 2601, 2.6 MB at 65 536.
 * Threads  one.
 */
#ifndef FLY_MAP_IDENTITY_H
#define FLY_MAP_IDENTITY_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/map/scratch.h"

enum {
    FLY_MAP_NONE = -1,
    FLY_MAP_MINOR = -4,
    FLY_MAP_REMEMBERED = 5, /* epochs for which an id that went can come back */
};

struct fly_identity_config {
    int32_t n;        /* chips */
    int32_t smallest; /* chips of a cluster worth an id, >= 1: 3 for communities, 1 where somebody asked for k */
};

struct fly_identity {
    int32_t *label;  /* (N) id >= 0, FLY_MAP_MINOR, or what was passed through; at first FLY_MAP_NONE */
    int32_t count;   /* ids in it */
    int32_t *id;     /* (count) ascending */
    int32_t next_id; /* given so far */

    /* identity.c's own: */
    struct fly_identity_config config;
    int32_t epoch;
    int32_t *index;  /* (N) of the chip's id in id, -1 */
    int32_t *since;  /* (N) epoch in which the chip took its id */
    int32_t *anchor; /* (count) chip */
    int32_t *gone[FLY_MAP_REMEMBERED];      /* (N) of epochs modulo that: the id that went and had the chip */
    int32_t gone_count[FLY_MAP_REMEMBERED]; /* such ids */
};

size_t fly_identity_need(const struct fly_identity_config *config);
void fly_identity_init(struct fly_identity *identity, const struct fly_identity_config *config,
                       struct fly_arena *arena);

/* The next map: fills label, count and id.
 *
 *   raw      (N) >= 0 a cluster, under any numbers; below 0 passed through
 *   revised  (N) 0 or 1: the chip's content has changed since the last map; NULL: no chip's has
 *   typical  (N) how typical a chip is of its cluster, NaN: not at all; NULL: nobody knows
 *   scratch  of at least N
 */
void fly_identity_step(struct fly_identity *identity, const int32_t *raw, const uint8_t *revised,
                       const float *typical, struct fly_map_scratch *scratch);

#endif
