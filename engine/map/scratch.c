#include "engine/map/scratch.h"

#include "engine/base/err.h"

enum { ARRAYS = 7 };

size_t fly_map_scratch_need(int32_t n_cap)
{
    size_t n = (size_t)n_cap, sum = fly_numbers_need(n_cap);

    sum = fly_size_add(sum, fly_overlaps_need(n_cap));
    sum = fly_size_add(sum, fly_match_need(n_cap));
    sum = fly_size_add(sum, fly_arena_need(n, sizeof(fly_match_weight)));
    return fly_size_add(sum, ARRAYS * fly_arena_need(n, sizeof(int32_t)));
}

void fly_map_scratch_init(struct fly_map_scratch *s, int32_t n_cap, struct fly_arena *arena)
{
    int32_t **arrays[ARRAYS] = {&s->now, &s->then, &s->a, &s->b, &s->c, &s->d, &s->e};

    s->n_cap = n_cap;
    fly_numbers_init(&s->numbers, n_cap, arena);
    fly_overlaps_init(&s->overlaps, n_cap, arena);
    fly_match_init(&s->match, n_cap, arena);
    s->weight = fly_arena_take(arena, (size_t)n_cap, sizeof *s->weight);
    FLY_ASSERT(s->weight);
    for (int i = 0; i < ARRAYS; i++) {
        *arrays[i] = fly_arena_take(arena, (size_t)n_cap, sizeof(int32_t));
        FLY_ASSERT(*arrays[i]);
    }
}
