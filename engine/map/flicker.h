/* engine/map/flicker.h: how steady maps are (criteria A9 and A10).
 *
 * Counts of chips, exact; whoever wants a fraction divides by `chips`. Labels below 0 are no cluster: such a chip
 * has not changed, it is not looked at.
 *
 * Threads  functions are pure; a scratch belongs to its thread.
 */
#ifndef FLY_MAP_FLICKER_H
#define FLY_MAP_FLICKER_H

#include <stdint.h>

#include "engine/map/scratch.h"

struct fly_flicker {
    int32_t chips;     /* in a cluster in both maps, and not revised in between */
    int32_t changed;   /* of them, those whose id changed: flicker */
    int32_t avoidable; /* of those, how many fewer it would be if the clusters of the second map were named best */
};

/* before, now (n), n up to the scratch's; revised (n) 0 or 1, NULL: none is. O(n) and the matching's work. */
struct fly_flicker fly_flicker(const int32_t *before, const int32_t *now, const uint8_t *revised, int32_t n,
                               struct fly_map_scratch *scratch);

/* Chips that came back: from A to another, and now to A again. maps: the last `count` maps, oldest first, (n)
 * each; 3 sees A B A alone, 4 (within 3 epochs, as A9 asks) also A B C A and A B B A. Chips that are in no
 * cluster in one of the maps are left out; `chips` is told how many are not. */
enum { FLY_REVERSAL_MAPS = 4 };
int32_t fly_reversals(const int32_t *const *maps, int32_t count, int32_t n, int32_t *chips);

/* Chips of a cluster in the last of maps that have had that id in every one in which they had any (A10: from the
 * map at 70 % of the scan on). `chips`: those of a cluster in the last. */
int32_t fly_kept_final(const int32_t *const *maps, int32_t count, int32_t n, int32_t *chips);

#endif
