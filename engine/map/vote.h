/* engine/map/vote.h: vector voting: a chip's label is the pair of its labels in two maps (golden definition 9),
 * under an id of its own.
 *
 * A pair gets an id when it first has `smallest` chips, the next in the order of first chips, and keeps it: an id
 * is never given to another pair, and a pair that went and comes back has the one it had. The two maps have
 * stable ids (identity.h), so that the pair means the same from epoch to epoch; where one of them is renamed,
 * for good reason, the pair is another. So unlike theirs the flicker of this map can be avoidable: the price of
 * ids that say which two clusters they stand for.
 *
 * A chip that lacks one of the two labels has none: what is told is the least that is known of it, not measured
 * (-1) before too little (-3) before unknown (-2) before minor (-4). Pairs of fewer than `smallest` chips are
 * minor.
 *
 * Bytes    4 a chip, and 32 to 56 a pair that there is room for.
 * Threads  one.
 */
#ifndef FLY_MAP_VOTE_H
#define FLY_MAP_VOTE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/map/scratch.h"

struct fly_vote_config {
    int32_t n;        /* chips */
    int32_t smallest; /* chips of a pair that is told, >= 1 */
    int32_t pairs;    /* room for them in the life of a session; 4096: every pair of 64 clusters */
};

struct fly_vote {
    int32_t *label;     /* (N) */
    int32_t count;      /* pairs with an id */
    int32_t (*pair)[2]; /* (count) what an id stands for */
    int32_t omitted;    /* chips of the last map that are minor because there was no room */

    /* vote.c's own: */
    struct fly_vote_config config;
    struct fly_numbers ids;
};

size_t fly_vote_need(const struct fly_vote_config *config);
void fly_vote_init(struct fly_vote *vote, const struct fly_vote_config *config, struct fly_arena *arena);

/* a, b (N) stable ids, below 0 none; `scratch` of at least N. Fills label, and pairs that are new. */
void fly_vote_step(struct fly_vote *vote, const int32_t *a, const int32_t *b, struct fly_map_scratch *scratch);

#endif
