/* engine/queue.h: chips that wait for a piece of work, in the order they became dirty.
 *
 * Two levels: chips that wait for the first time, and chips whose result is to be made again. A chip stands in
 * at most one of them, at most once, and keeps its place when it changes again: newest content wins, and the
 * backlog is bounded by the number of chips. Nothing here takes longer with more chips.
 *
 * Index    chip as in engine/chip/grid.h.
 * Threads  one.
 */
#ifndef FLY_ENGINE_QUEUE_H
#define FLY_ENGINE_QUEUE_H

#include <stdint.h>

#include "engine/base/arena.h"

enum fly_queue_level { FLY_QUEUE_NONE = -1, FLY_QUEUE_FIRST, FLY_QUEUE_AGAIN, FLY_QUEUE_LEVELS };

struct fly_queue {
    int32_t *next, *prev; /* (K) links, -1 at the ends */
    int8_t *level;        /* (K) enum fly_queue_level: where the chip waits */
    int32_t head[FLY_QUEUE_LEVELS], tail[FLY_QUEUE_LEVELS], len[FLY_QUEUE_LEVELS];
};

size_t fly_queue_need(int32_t n_chips);
void fly_queue_init(struct fly_queue *queue, int32_t n_chips, struct fly_arena *arena);

/* The chip waits at the end of a level, or stays where it waits already. */
void fly_queue_push(struct fly_queue *queue, enum fly_queue_level level, int32_t chip);

/* The first chips of a level leave it; returns how many were written, at most cap. */
int32_t fly_queue_pop(struct fly_queue *queue, enum fly_queue_level level, int32_t *chips, int32_t cap);

/* The chip waits no more, if it did. */
void fly_queue_remove(struct fly_queue *queue, int32_t chip);

#endif
