#include "engine/graph/parting.h"
#include "engine/graph/parting_own.h"

#include <string.h>

int32_t fly_parting_groups(struct fly_parting *p, int32_t *ids, int64_t *links, int64_t *degrees)
{
    int32_t count = 0, *group_of = p->touched; /* by node */

    FLY_ASSERT(!p->summing);
    for (int32_t id = 0; id < p->n; id++)
        if (p->size[id] > 1) {
            p->sum[id] = count;
            degrees[count] = p->k[id];
            ids[count++] = id;
        }
    for (int32_t i = 0; i < p->n; i++)
        group_of[i] = p->size[p->label[i]] > 1 ? (int32_t)p->sum[p->label[i]] : NONE;
    memset(links, 0, (size_t)count * (size_t)count * sizeof *links);
    for (int32_t g = 0; g < count; g++) {
        const uint32_t *strength = column(p, p->column_of[ids[g]]);
        int64_t *row = links + (size_t)g * (size_t)count; /* symmetric: row and column alike */

        p->sum[ids[g]] = 0;
        for (int32_t i = 0; i < p->n; i++)
            if (group_of[i] != NONE)
                row[group_of[i]] += strength[i];
    }
    p->work.aggregations++;
    return count;
}

void fly_parting_unite(struct fly_parting *p, const int32_t *ids, const int32_t *joined, int32_t count)
{
    int32_t *target = p->touched; /* by id */

    for (int32_t g = 0; g < count; g++) {
        int32_t first = 0;

        while (joined[first] != joined[g])
            first++;
        target[ids[g]] = ids[first];
    }
    for (int32_t i = 0; i < p->n; i++)
        if (p->size[p->label[i]] > 1)
            p->label[i] = target[p->label[i]];
    for (int32_t g = 0; g < count; g++) {
        int32_t id = ids[g], to = target[id];

        if (to == id)
            continue;
        const uint32_t *from = column(p, p->column_of[id]);
        uint32_t *sum = column(p, p->column_of[to]);

        for (int32_t i = 0; i < p->n; i++)
            sum[i] += from[i];
        p->size[to] += p->size[id];
        p->k[to] += p->k[id];
        p->column_k[p->column_of[to]] = (double)p->k[to];
        p->size[id] = 0;
        p->k[id] = 0;
        id_free(p, id);
        column_close(p, p->column_of[id]);
    }
}

/* Community `id`, now in unit[id], to the unit where it is best; sums go by unit. */
static int visit_group(struct fly_parting *p, const int32_t *members, int32_t id, int32_t *unit)
{
    const struct fly_dense *g = p->graph;
    int64_t k = p->k_group[id], inside = 0;
    int32_t own = unit[id], count = 0;
    struct place best = {.id = NONE};

    for (int32_t at = 0; at < p->size[id]; at++) {
        const uint64_t *bits = g->bits + (size_t)members[at] * g->words;
        const uint16_t *weight = g->weight ? g->weight + (size_t)members[at] * g->stride : NULL;

        for (size_t b = 0; b < p->lanes / 64; b++)
            for (uint64_t word = bits[b]; word; word &= word - 1) {
                size_t j = 64 * b + (size_t)__builtin_ctzll(word);
                int32_t to = unit[p->label[j]];
                int64_t w = weight ? weight[j] : 1;

                if (p->sum[to] == 0)
                    p->touched[count++] = to;
                p->sum[to] += w;
                inside += p->label[j] == id ? w : 0;
            }
        p->work.rows++;
    }
    best.gain = fly_join_gain(g->m2, p->resolution, p->sum[own] - inside, k, p->k[own] - k);
    best.gain = best.gain > 0 ? best.gain : 0;
    for (int32_t at = 0; at < count; at++) {
        int32_t to = p->touched[at];

        if (to != own)
            weigh(p, &best, p->sum[to], k, to, NONE);
        p->sum[to] = 0;
    }
    if (best.id == NONE)
        return 0;
    p->k[own] -= k;
    p->k[best.id] += k;
    unit[id] = best.id;
    return 1;
}

int fly_parting_unite_by_rows(struct fly_parting *p)
{
    int32_t *members = p->alone, *first = p->alone_at, *unit = p->column_of; /* at rest while summing */
    int32_t quiet = 0, at = 0;
    int united = 0;

    FLY_ASSERT(p->summing);
    for (int32_t id = 0; id < p->n; id++) {
        unit[id] = id;
        p->k_group[id] = p->k[id];
        first[id] = at;
        at += p->size[id];
    }
    for (int32_t i = 0; i < p->n; i++)
        members[first[p->label[i]]++] = i;
    for (int32_t id = 0; quiet < p->n; id = id + 1 < p->n ? id + 1 : 0) {
        int moved = p->k_group[id] > 0 && visit_group(p, members + first[id] - p->size[id], id, unit);

        united |= moved;
        quiet = moved ? 1 : quiet + 1;
    }
    /* A unit gets the lowest id among its groups; `touched` maps units to those. */
    for (int32_t id = 0; id < p->n; id++)
        p->touched[id] = NONE;
    for (int32_t id = 0; id < p->n; id++)
        if (p->size[id] > 0 && p->touched[unit[id]] == NONE)
            p->touched[unit[id]] = id;
    for (int32_t i = 0; i < p->n; i++)
        p->label[i] = p->touched[unit[p->label[i]]];
    clear_ids(p, 0);
    for (int32_t i = 0; i < p->n; i++)
        enter(p, i, p->label[i]);
    p->work.aggregations++;
    return united;
}
