/* engine/map/scratch.h: what the functions of this room need for the length of a call.
 *
 * One serves all maps of a session, one after the other. Nothing in it outlives a call.
 *
 * Bytes    168 to 192 a chip: 0.5 MB at 2601, 11 MB at 65 536.
 * Threads  one at a time.
 */
#ifndef FLY_MAP_SCRATCH_H
#define FLY_MAP_SCRATCH_H

#include "engine/map/match.h"
#include "engine/map/number.h"
#include "engine/map/overlap.h"

struct fly_map_scratch {
    int32_t n_cap;
    struct fly_numbers numbers;
    struct fly_overlaps overlaps;
    struct fly_match match;
    fly_match_weight *weight; /* (N) of cells */
    int32_t *now, *then;      /* (N) clusters of chips, from 0, by first appearance */
    int32_t *a, *b, *c, *d, *e; /* (N) */
};

size_t fly_map_scratch_need(int32_t n_cap);
void fly_map_scratch_init(struct fly_map_scratch *scratch, int32_t n_cap, struct fly_arena *arena);

#endif
