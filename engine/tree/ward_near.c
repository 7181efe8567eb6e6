/* What a fresh cluster knows of the others: a few that may be the nearest by name, and a bound for the rest.
 *
 * A bound of D(x, C) holds for what C is merged into, if it is no more than that of the other part: Ward is reducible.
 * So the least of all bounds holds until x itself is merged, and nothing is measured while other bounds are less. Once
 * it is the least of all places, the one it is of is looked at: another in short, then in full; the rest by a pass that
 * asks who is somewhat further than their bound.
 *
 * Of a merged cluster AB, with all D(A, C) >= a, D(B, C) >= b, D(A, B) = c, the formula of Lance and Williams
 * (ward_rows.c) makes D(AB, C) a mean of (|A| a + |B| b) / (|A| + |B|) and a + b - c with weights |A| + |B| and |C|:
 * it is no less than the lesser of these.
 */
#include <math.h>

#include "engine/base/clones.h"
#include "engine/tree/ward_state.h"

enum { LANES = FLY_WARD_LANES, GROUP = FLY_WARD_GROUP, NEAR = FLY_WARD_NEAR };

/* A pass asks for those who are so many times further than the rest is known to be (measured). */
static const double FURTHER = 1.4;

/* ---- the least of all places --------------------------------------------------------------------- */

#define LESSER(a, b) ((b) < (a) ? (b) : (a))

/* Of LANES bounds. */
FLY_CLONES static double least_of(const double *x)
{
    double m[LANES / 2];

    for (int l = 0; l < LANES / 2; l++)
        m[l] = LESSER(x[l], x[l + LANES / 2]);
    m[0] = LESSER(m[0], m[4]);
    m[1] = LESSER(m[1], m[5]);
    m[2] = LESSER(m[2], m[6]);
    m[3] = LESSER(m[3], m[7]);
    m[0] = LESSER(m[0], m[2]);
    m[1] = LESSER(m[1], m[3]);
    return LESSER(m[0], m[1]);
}

/* One of LANES bounds changes, and so may their least. */
static double change(double *x, int32_t at, double least, double bound)
{
    double before = x[at];

    x[at] = bound;
    return bound <= least ? bound : before > least ? least : least_of(x);
}

static void set_bound(struct fly_ward_state *s, int32_t place, double bound)
{
    int32_t b = place / LANES, g = place / GROUP;
    double of_block;

    if (s->bound[place] == bound)
        return;
    of_block = change(s->bound + b * LANES, place % LANES, s->block_least[b], bound);
    if (s->block_least[b] == of_block)
        return;
    s->group_least[g] = change(s->block_least + g * LANES, b % LANES, s->group_least[g], of_block);
    s->least = -1.0;
}

double fly_ward_least(struct fly_ward_state *s)
{
    if (s->least >= 0.0)
        return s->least;
    s->least = INFINITY;
    for (int32_t g = 0; g * GROUP < s->places; g++)
        s->least = s->group_least[g] < s->least ? s->group_least[g] : s->least;
    return s->least;
}

int32_t fly_ward_least_at(const struct fly_ward_state *s, int32_t from)
{
    for (int32_t p = from; p < s->places;) {
        if (p % GROUP == 0 && s->group_least[p / GROUP] > s->least)
            p += GROUP;
        else if (p % LANES == 0 && s->block_least[p / LANES] > s->least)
            p += LANES;
        else if (s->bound[p] == s->least)
            return p;
        else
            p++;
    }
    return -1;
}

void fly_ward_near_end(struct fly_ward_state *s, int32_t end)
{
    int32_t groups = (s->places + GROUP - 1) / GROUP;

    for (int32_t p = end; p < groups * GROUP; p++)
        s->bound[p] = INFINITY;
    for (int32_t b = 0; b < groups * LANES; b++)
        s->block_least[b] = least_of(s->bound + b * LANES);
    for (int32_t g = 0; g < groups; g++)
        s->group_least[g] = least_of(s->block_least + g * LANES);
    s->least = -1.0;
}

/* ---- what is known ------------------------------------------------------------------------------- */

static void find_bound(struct fly_ward_state *s, int32_t place)
{
    const struct fly_ward_near *near = &s->near[place];
    double bound = near->rest;

    for (int i = 0; i < near->count; i++)
        bound = near->least[i] < bound ? near->least[i] : bound;
    set_bound(s, place, bound);
}

void fly_ward_near_none(struct fly_ward_state *s, int32_t place)
{
    set_bound(s, place, INFINITY);
}

void fly_ward_near_from(struct fly_ward_state *s, int32_t place, double bound)
{
    s->near[place].rest = bound;
    s->near[place].count = s->near[place].crowded = s->near[place].complete = 0;
    set_bound(s, place, bound);
}

void fly_ward_near_is(struct fly_ward_state *s, int32_t place, int32_t node, double distance)
{
    s->near[place] = (struct fly_ward_near){.least = {distance}, .rest = distance, .node = {node}, .exact = {1},
                                            .count = 1, .complete = 1};
    set_bound(s, place, distance);
}

/* The cluster in which a node is. */
static int32_t now(const struct fly_ward_state *s, int32_t node)
{
    while (s->place[node] < 0)
        node = s->parent[node];
    return node;
}

double fly_ward_near_others(const struct fly_ward_state *s, int32_t place, int32_t node, double cost)
{
    const struct fly_ward_near *near = &s->near[place];
    double bound = near->rest;

    if (s->bound[place] == INFINITY)
        return cost;
    for (int i = 0; i < near->count; i++)
        if (near->least[i] < bound && now(s, near->node[i]) != node)
            bound = near->least[i];
    return bound > cost ? bound : cost;
}

/* ---- asking -------------------------------------------------------------------------------------- */

/* Those that set the bound are looked at. 1: one of them is not as near as it was thought (or, by rounding, nearer). */
static int look_at_first(struct fly_ward *ward, int32_t place, double bound)
{
    struct fly_ward_state *s = ward->state;
    struct fly_ward_near *near = &s->near[place];
    int32_t node = s->node_at[place];
    int moved = 0;

    for (int i = 0; i < near->count; i++) {
        if (near->least[i] > bound)
            continue;
        if (s->place[near->node[i]] < 0) {
            near->node[i] = now(s, near->node[i]);
            near->exact[i] = near->complete = 0;
            near->least[i] = fmax(bound, fly_ward_short(s, node, near->node[i]));
        }
        if (near->least[i] == bound && !near->exact[i]) {
            near->least[i] = fly_ward_distance(s, node, near->node[i], INFINITY);
            near->exact[i] = 1;
            ward->work.distances++;
        }
        moved |= near->least[i] != bound;
    }
    return moved;
}

static void ask(struct fly_ward *ward, int32_t place, double bound)
{
    struct fly_ward_state *s = ward->state;
    struct fly_ward_near *near = &s->near[place];

    if (s->by_rows) {
        fly_ward_rows_query(ward, place);
    } else if (near->crowded) {
        fly_ward_query(ward, place);
    } else {
        fly_ward_scan(ward, place, FURTHER * bound);
        near->crowded |= near->rest <= bound;
        find_bound(s, place);
    }
}

int32_t fly_ward_near_settle(struct fly_ward *ward, int32_t place)
{
    struct fly_ward_state *s = ward->state;
    struct fly_ward_near *near = &s->near[place];
    double bound = s->bound[place];
    int32_t first = -1;

    if (s->by_rows && near->count > 0 && s->place[near->node[0]] < 0)
        near->count = near->complete = 0;
    if (look_at_first(ward, place, bound)) {
        find_bound(s, place);
        return -1;
    }
    if (near->rest <= bound && !near->complete) {
        ask(ward, place, bound);
        return -1;
    }
    for (int i = 0; i < near->count; i++)
        if (near->least[i] == bound && (first < 0 || s->lowest[near->node[i]] < s->lowest[first]))
            first = near->node[i];
    return first;
}
