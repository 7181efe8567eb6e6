#include "engine/graph/groups.h"

#include <string.h>

size_t fly_groups_need(int32_t cap)
{
    size_t n = (size_t)cap, sum = 2 * fly_arena_need(n, n * sizeof(int64_t));

    sum = fly_size_add(sum, 3 * fly_arena_need(n, sizeof(int64_t)));
    return fly_size_add(sum, 3 * fly_arena_need(n, sizeof(int32_t)));
}

void fly_groups_init(struct fly_groups *groups, int32_t cap, struct fly_arena *arena)
{
    size_t n = (size_t)cap;

    FLY_ASSERT(cap >= 1);
    groups->cap = cap;
    groups->links = fly_arena_take(arena, n, n * sizeof(int64_t));
    groups->other = fly_arena_take(arena, n, n * sizeof(int64_t));
    groups->degrees = fly_arena_take(arena, n, sizeof(int64_t));
    groups->k = fly_arena_take(arena, n, sizeof(int64_t));
    groups->to = fly_arena_take(arena, n, sizeof(int64_t));
    groups->joined = fly_arena_take(arena, n, sizeof(int32_t));
    groups->unit = fly_arena_take(arena, n, sizeof(int32_t));
    groups->size = fly_arena_take(arena, n, sizeof(int32_t));
    FLY_ASSERT(groups->links && groups->other && groups->size);
}

static int visit(struct fly_groups *s, int32_t g, int32_t count, int64_t m2, int32_t resolution)
{
    const int64_t *row = s->links + (size_t)g * (size_t)count;
    int64_t k = s->degrees[g];
    int32_t own = s->unit[g], id = -1;
    fly_score stay, best;

    memset(s->to, 0, (size_t)count * sizeof *s->to);
    for (int32_t h = 0; h < count; h++)
        if (h != g)
            s->to[s->unit[h]] += row[h];
    stay = fly_join_gain(m2, resolution, s->to[own], k, s->k[own] - k);
    best = stay > 0 ? stay : 0;
    for (int32_t u = 0; u < count; u++) {
        if (u == own || s->to[u] == 0)
            continue;
        fly_score gain = fly_join_gain(m2, resolution, s->to[u], k, s->k[u]);

        if (gain > best) {
            best = gain;
            id = u;
        }
    }
    if (id < 0 && stay >= 0)
        return 0;
    for (int32_t u = 0; id < 0; u++)
        if (s->size[u] == 0)
            id = u;
    s->size[own]--;
    s->k[own] -= k;
    s->size[id]++;
    s->k[id] += k;
    s->unit[g] = id;
    return 1;
}

/* Every group a unit, and moves until none is left; 1 when there were any. */
static int level(struct fly_groups *s, int32_t count, int64_t m2, int32_t resolution)
{
    int32_t quiet = 0;
    int moved = 0;

    for (int32_t g = 0; g < count; g++) {
        s->unit[g] = g;
        s->size[g] = 1;
        s->k[g] = s->degrees[g];
    }
    for (int32_t g = 0; quiet < count; g = g + 1 < count ? g + 1 : 0) {
        int went = visit(s, g, count, m2, resolution);

        moved |= went;
        quiet = went ? 1 : quiet + 1;
    }
    return moved;
}

/* Units become the groups of the next level, in the order of their ids. */
static int32_t aggregate(struct fly_groups *s, int32_t count)
{
    int32_t units = 0, *place = s->size; /* by unit */
    int64_t *swap = s->links;

    for (int32_t u = 0; u < count; u++)
        place[u] = s->size[u] > 0 ? units++ : -1;
    for (int32_t g = 0; g < count; g++)
        s->unit[g] = place[s->unit[g]];
    memset(s->other, 0, (size_t)units * (size_t)units * sizeof *s->other);
    memset(s->k, 0, (size_t)units * sizeof *s->k);
    for (int32_t g = 0; g < count; g++) {
        int64_t *row = s->other + (size_t)s->unit[g] * (size_t)units;

        s->k[s->unit[g]] += s->degrees[g];
        for (int32_t h = 0; h < count; h++)
            row[s->unit[h]] += s->links[(size_t)g * (size_t)count + (size_t)h];
    }
    memcpy(s->degrees, s->k, (size_t)units * sizeof *s->k);
    s->links = s->other;
    s->other = swap;
    return units;
}

int fly_groups_join(struct fly_groups *s, int32_t count, int64_t m2, int32_t resolution)
{
    int32_t groups = count;

    for (int32_t g = 0; g < count; g++)
        s->joined[g] = g;
    while (level(s, groups, m2, resolution)) {
        int32_t units = aggregate(s, groups);

        for (int32_t g = 0; g < count; g++)
            s->joined[g] = s->unit[s->joined[g]];
        groups = units;
    }
    return groups < count;
}
