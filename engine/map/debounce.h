/* engine/map/debounce.h: a calmer picture of a map: a chip shows a new label when two maps in a row have had it.
 *
 * For a person's eye, in `robust`, alone; what is recorded is the map itself. At once are shown: a label that the
 * chip holds by a margin above FLY_SHOWN_MARGIN, the first one it has, one below 0 (not measured, unknown and
 * the like are facts about the chip), and whatever it has when the cluster that it showed is there no more.
 *
 * A map that is the last one again is not another one: epochs come in bursts, and most of them change other maps. When
 * it has come FLY_SHOWN_REST times it is at rest, and shown as it is.
 *
 * Bytes    8 a chip.
 * Threads  one.
 */
#ifndef FLY_MAP_DEBOUNCE_H
#define FLY_MAP_DEBOUNCE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/map/story.h"

#define FLY_SHOWN_MARGIN 0.9f
enum { FLY_SHOWN_REST = 8 }; /* a chip row is up to six epochs, of two modalities and three methods */

struct fly_debounce {
    int32_t n;
    int32_t *shown; /* (N) */
    int32_t waiting; /* chips that have a label now and show another */

    /* debounce.c's own: */
    int32_t *last; /* (N) of the last map */
    int32_t rest;  /* how often it came again */
};

size_t fly_debounce_need(int32_t n);
void fly_debounce_init(struct fly_debounce *debounce, int32_t n, struct fly_arena *arena);

/* The next map: fills shown and waiting. 1: a chip shows another label than before.
 *
 *   labels  (N)
 *   margin  (N) 0 .. 1 between the chip's best and second best cluster, NaN: nobody knows; NULL: of no chip
 *   story   told of that map
 */
int fly_debounce_step(struct fly_debounce *debounce, const int32_t *labels, const float *margin,
                      const struct fly_story *story);

/* The next map, shown as it is. 1: as above. */
int fly_debounce_settle(struct fly_debounce *debounce, const int32_t *labels);

#endif
