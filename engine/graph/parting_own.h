/* engine/graph/parting_own.h: what the two halves of parting.h share, parting.c (single nodes) and
 * parting_groups.c (whole communities). Nobody else includes it.
 */
#ifndef FLY_GRAPH_PARTING_OWN_H
#define FLY_GRAPH_PARTING_OWN_H

#include <string.h>

#include "engine/graph/parting.h"

enum { NONE = -1 };

static inline uint32_t *column(const struct fly_parting *p, int32_t c)
{
    return p->columns + (size_t)c * fly_row_lanes(p->n_cap);
}

static inline void id_use(struct fly_parting *p, int32_t id)
{
    p->used[id / 64] |= (uint64_t)1 << id % 64;
}

static inline void id_free(struct fly_parting *p, int32_t id)
{
    p->used[id / 64] &= ~((uint64_t)1 << id % 64);
}

static inline void column_close(struct fly_parting *p, int32_t c)
{
    int32_t last = --p->n_columns;

    p->column_of[p->column_id[c]] = NONE;
    if (c == last)
        return;
    p->column_id[c] = p->column_id[last];
    p->column_k[c] = p->column_k[last];
    p->column_of[p->column_id[c]] = c;
    memcpy(column(p, c), column(p, last), p->lanes * sizeof(uint32_t));
}

/* Ids from `first` on are nobody's. */
static inline void clear_ids(struct fly_parting *p, int32_t first)
{
    for (int32_t id = first; id < p->n; id++) {
        p->size[id] = 0;
        p->k[id] = p->sum[id] = 0;
        p->column_of[id] = NONE;
        id_free(p, id);
    }
}

static inline void enter(struct fly_parting *p, int32_t i, int32_t id)
{
    p->label[i] = id;
    p->size[id]++;
    p->k[id] += p->graph->degree[i];
    id_use(p, id);
}

/* The best place found so far; id NONE: to stay, or to go out alone. */
struct place {
    fly_score gain;
    int32_t id;
    int32_t node; /* the one node of a community without a column */
};

static inline void weigh(const struct fly_parting *p, struct place *best, int64_t k_in, int64_t k_node,
                         int32_t id, int32_t node)
{
    fly_score gain = fly_join_gain(p->graph->m2, p->resolution, k_in, k_node, p->k[id]);

    if (gain > best->gain || (gain == best->gain && best->id != NONE && id < best->id))
        *best = (struct place){.gain = gain, .id = id, .node = node};
}

#endif
