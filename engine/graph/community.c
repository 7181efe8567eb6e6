#include "engine/graph/community.h"

#include <string.h>

#include "engine/base/err.h"

size_t fly_communities_need(int32_t n_cap)
{
    return 4 * fly_arena_need((size_t)n_cap, sizeof(int32_t));
}

void fly_communities_init(struct fly_communities *communities, int32_t n_cap, struct fly_arena *arena)
{
    size_t n = (size_t)n_cap;

    memset(communities, 0, sizeof *communities);
    communities->label = fly_arena_take(arena, n, sizeof(int32_t));
    communities->wire = fly_arena_take(arena, n, sizeof(int32_t));
    communities->size = fly_arena_take(arena, n, sizeof(int32_t));
    communities->number = fly_arena_take(arena, n, sizeof(int32_t));
    FLY_ASSERT(n == 0 || communities->number);
}

void fly_communities_fill(struct fly_communities *c, const int32_t *ids, int32_t n)
{
    c->n = n;
    c->count = c->minor_count = c->minor_chips = c->alone_chips = 0;
    for (int32_t i = 0; i < n; i++)
        c->number[i] = -1;
    for (int32_t i = 0; i < n; i++) {
        FLY_ASSERT(ids[i] < n);
        if (ids[i] < 0) {
            c->label[i] = c->wire[i] = FLY_COMMUNITY_NONE;
            continue;
        }
        if (c->number[ids[i]] < 0) {
            c->size[c->count] = 0;
            c->number[ids[i]] = c->count++;
        }
        c->label[i] = c->number[ids[i]];
        c->size[c->label[i]]++;
    }
    for (int32_t i = 0; i < n; i++)
        if (ids[i] >= 0)
            c->wire[i] = c->size[c->label[i]] < FLY_COMMUNITY_SMALLEST ? FLY_COMMUNITY_MINOR : c->label[i];
    for (int32_t k = 0; k < c->count; k++)
        if (c->size[k] < FLY_COMMUNITY_SMALLEST) {
            c->minor_count++;
            c->minor_chips += c->size[k];
            c->alone_chips += c->size[k] == 1;
        }
}
