#include "engine/queue.h"

#include <string.h>

enum { END = -1 };

size_t fly_queue_need(int32_t n_chips)
{
    size_t k = (size_t)n_chips;

    return fly_size_add(fly_size_add(fly_arena_need(k, sizeof(int32_t)), fly_arena_need(k, sizeof(int32_t))),
                        fly_arena_need(k, sizeof(int8_t)));
}

void fly_queue_init(struct fly_queue *queue, int32_t n_chips, struct fly_arena *arena)
{
    size_t k = (size_t)n_chips;

    queue->next = fly_arena_take(arena, k, sizeof *queue->next);
    queue->prev = fly_arena_take(arena, k, sizeof *queue->prev);
    queue->level = fly_arena_take(arena, k, sizeof *queue->level);
    FLY_ASSERT(queue->next && queue->prev && queue->level);
    memset(queue->level, FLY_QUEUE_NONE, k);
    for (int level = 0; level < FLY_QUEUE_LEVELS; level++) {
        queue->head[level] = queue->tail[level] = END;
        queue->len[level] = 0;
    }
}

void fly_queue_push(struct fly_queue *queue, enum fly_queue_level level, int32_t chip)
{
    int32_t last = queue->tail[level];

    if (queue->level[chip] != FLY_QUEUE_NONE)
        return;
    queue->level[chip] = (int8_t)level;
    queue->next[chip] = END;
    queue->prev[chip] = last;
    if (last != END)
        queue->next[last] = chip;
    else
        queue->head[level] = chip;
    queue->tail[level] = chip;
    queue->len[level]++;
}

int32_t fly_queue_pop(struct fly_queue *queue, enum fly_queue_level level, int32_t *chips, int32_t cap)
{
    int32_t n = 0;

    while (n < cap && queue->len[level]) {
        chips[n] = queue->head[level];
        fly_queue_remove(queue, chips[n++]);
    }
    return n;
}

void fly_queue_remove(struct fly_queue *queue, int32_t chip)
{
    int level = queue->level[chip];

    if (level == FLY_QUEUE_NONE)
        return;
    int32_t next = queue->next[chip], prev = queue->prev[chip];

    if (prev != END)
        queue->next[prev] = next;
    else
        queue->head[level] = next;
    if (next != END)
        queue->prev[next] = prev;
    else
        queue->tail[level] = prev;
    queue->level[chip] = FLY_QUEUE_NONE;
    queue->len[level]--;
}
