#include "engine/tree/ward.h"

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/tree/ward_state.h"

/* Beyond it squares of differences, times sizes, would no longer be numbers. */
static const double LARGEST = 1e140;

/* Of the points: where more than one of so many changed everything is merged anew. Going through the old merges
 * costs next to nothing, so that it pays until hardly any are kept (measured). */
enum { CHANGED_MOST_PART = 2 };

/* Scaled; directions and scale are found anew before floats lose what short vectors tell. */
static const double REACH_MOST = 0x1p20;

/* ---- memory -------------------------------------------------------------------------------------- */

int fly_ward_check(const struct fly_ward_config *config)
{
    if (config->points < 1 || config->points > FLY_WARD_POINTS_MAX)
        return fly_fail(FLY_ERANGE, "ward: %d points, 1 .. %d can be clustered", (int)config->points,
                        FLY_WARD_POINTS_MAX);
    if (config->width < 1 || config->width > FLY_WARD_WIDTH_MAX)
        return fly_fail(FLY_ERANGE, "ward: vectors of %d numbers, 1 .. %d can be compared", (int)config->width,
                        FLY_WARD_WIDTH_MAX);
    return FLY_OK;
}

/* Hands out what the arrays need, or only adds it up. */
struct bill {
    struct fly_arena *arena; /* NULL: add up */
    size_t sum;
};

static void *item(struct bill *bill, size_t count, size_t size)
{
    void *at;

    if (!bill->arena) {
        bill->sum = fly_size_add(bill->sum, fly_arena_need(count, size));
        return NULL;
    }
    at = fly_arena_take(bill->arena, count, size);
    FLY_ASSERT(at);
    memset(at, 0, count * size);
    return at;
}

#define ITEM(field, count) s->field = item(bill, count, sizeof *s->field)

static void take_tree(struct fly_ward_state *s, struct bill *bill)
{
    size_t n = (size_t)s->n, nodes = (size_t)s->nodes, d = (size_t)s->width, p = (size_t)s->short_width;

    ITEM(there, n);
    ITEM(touched, n);
    ITEM(hash, n);
    ITEM(twin, n);
    ITEM(next_twin, n);
    ITEM(weight, n);
    ITEM(next_weight, n);
    ITEM(table, (size_t)s->table_size);
    ITEM(centroid, nodes * d);
    ITEM(brief, nodes * p);
    ITEM(rounded, nodes * p);
    ITEM(cost, nodes);
    ITEM(parent, nodes);
    ITEM(size, nodes);
    ITEM(lowest, nodes);
    ITEM(place, nodes);
    ITEM(old, nodes);
    ITEM(free_node, n);
    ITEM(step, n);
    ITEM(old_step, n);
    ITEM(label, 2 * nodes);
    ITEM(down, 2 * nodes);
}

static void take_run(struct fly_ward_state *s, struct bill *bill)
{
    size_t d = (size_t)s->width, p = (size_t)s->short_width;
    size_t places = ((size_t)s->n + FLY_WARD_LANES - 1) / FLY_WARD_LANES * FLY_WARD_LANES;
    size_t groups = (places + FLY_WARD_GROUP - 1) / FLY_WARD_GROUP;

    ITEM(mean, d);
    ITEM(sample, FLY_WARD_SAMPLE * (d + (s->directed ? p : 0)) + (s->directed ? p * d : 0));
    if (s->directed)
        ITEM(direction, d * p);
    ITEM(node_at, places);
    ITEM(size_at, places);
    ITEM(share_at, places);
    ITEM(brief_at, places * FLY_WARD_STEP);
    ITEM(found, places);
    ITEM(found_sum, places);
    ITEM(near, places);
    ITEM(bound, groups * FLY_WARD_GROUP);
    ITEM(block_least, groups * FLY_WARD_LANES);
    ITEM(group_least, groups);
    if (!s->config.pairs || !s->directed)
        return;
    s->row_len = places + FLY_WARD_LANES; /* not a power of two: rows would fall on the same lines of the cache */
    ITEM(partial, places);
    ITEM(row, places * s->row_len);
    ITEM(single, places * d);
    ITEM(square, places);
    ITEM(caught_up, places);
    ITEM(event, places);
}

static void measure(struct fly_ward_state *s, const struct fly_ward_config *config)
{
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->n = config->points;
    s->width = config->width;
    s->nodes = 2 * s->n - 1;
    s->directed = s->width > FLY_WARD_SHORT;
    s->short_width = s->directed ? FLY_WARD_SHORT
                                 : (s->width + FLY_WARD_STEP - 1) / FLY_WARD_STEP * FLY_WARD_STEP;
    for (s->table_size = 2; s->table_size < 2 * s->n;)
        s->table_size *= 2;
}

size_t fly_ward_need(const struct fly_ward_config *config)
{
    struct fly_ward_state s;
    struct bill bill = {0};

    measure(&s, config);
    item(&bill, 1, sizeof s);
    item(&bill, (size_t)s.n, sizeof(struct fly_ward_merge));
    take_tree(&s, &bill);
    take_run(&s, &bill);
    return bill.sum;
}

void fly_ward_init(struct fly_ward *ward, const struct fly_ward_config *config, struct fly_arena *arena)
{
    struct bill bill = {.arena = arena};
    struct fly_ward_state *s;

    memset(ward, 0, sizeof *ward);
    s = ward->state = item(&bill, 1, sizeof *s);
    measure(s, config);
    ward->merge = item(&bill, (size_t)s->n, sizeof *ward->merge);
    take_tree(s, &bill);
    take_run(s, &bill);
    for (int32_t i = 0; i < s->n; i++) {
        s->twin[i] = -1;
        s->size[i] = 1;
        s->lowest[i] = i;
        s->parent[i] = -1;
    }
}

/* ---- points -------------------------------------------------------------------------------------- */

/* Four at a time, so that none waits for the one before. */
static uint64_t hash_of(const double *x, size_t len)
{
    uint64_t hash[4] = {1, 2, 3, 4};

    for (size_t k = 0; k < len; k++) {
        uint64_t bits;

        memcpy(&bits, x + k, sizeof bits);
        hash[k % 4] = fly_mix64(hash[k % 4] + bits + 0x9E3779B97F4A7C15u);
    }
    return fly_mix64(hash[0] ^ fly_mix64(hash[1] ^ fly_mix64(hash[2] ^ fly_mix64(hash[3]))));
}

/* The checked numbers are in the sample's place. */
static int put(struct fly_ward *ward, int32_t point)
{
    struct fly_ward_state *s = ward->state;
    size_t d = (size_t)s->width;
    double *to = s->centroid + (size_t)point * d;

    FLY_ASSERT(point >= 0 && point < s->n);
    for (size_t k = 0; k < d; k++)
        if (!(fabs(s->sample[k]) <= LARGEST))
            return fly_fail(FLY_ERANGE, "ward: point %d, number %zu is %g, within +-%g is asked", (int)point, k,
                            s->sample[k], LARGEST);
    for (size_t k = 0; k < d; k++)
        s->sample[k] += 0.0; /* of -0 makes 0: equal points have equal bytes */
    if (s->there[point] && memcmp(to, s->sample, d * sizeof *to) == 0)
        return FLY_OK;
    memcpy(to, s->sample, d * sizeof *to);
    s->hash[point] = hash_of(to, d);
    s->there[point] = s->touched[point] = 1;
    s->stale = 1;
    return FLY_OK;
}

int fly_ward_put_f32(struct fly_ward *ward, int32_t point, const float *x)
{
    struct fly_ward_state *s = ward->state;

    for (int32_t k = 0; k < s->width; k++)
        s->sample[k] = (double)x[k];
    return put(ward, point);
}

int fly_ward_put_f64(struct fly_ward *ward, int32_t point, const double *x)
{
    struct fly_ward_state *s = ward->state;

    memcpy(s->sample, x, (size_t)s->width * sizeof *x);
    return put(ward, point);
}

int fly_ward_put_u32(struct fly_ward *ward, int32_t point, const uint32_t *x, double scale)
{
    struct fly_ward_state *s = ward->state;

    for (int32_t k = 0; k < s->width; k++)
        s->sample[k] = (double)x[k] * scale;
    return put(ward, point);
}

void fly_ward_drop(struct fly_ward *ward, int32_t point)
{
    struct fly_ward_state *s = ward->state;

    FLY_ASSERT(point >= 0 && point < s->n);
    if (!s->there[point])
        return;
    s->there[point] = 0;
    s->touched[point] = s->stale = 1;
}

int fly_ward_stale(const struct fly_ward *ward)
{
    return ward->state->stale;
}

/* ---- an update ----------------------------------------------------------------------------------- */

/* Which points are the same as a lower one. */
static void find_twins(struct fly_ward_state *s)
{
    size_t d = (size_t)s->width;
    uint64_t mask = (uint64_t)s->table_size - 1;

    for (int32_t t = 0; t < s->table_size; t++)
        s->table[t] = -1;
    memset(s->next_weight, 0, (size_t)s->n * sizeof *s->next_weight);
    for (int32_t i = 0; i < s->n; i++) {
        s->next_twin[i] = -1;
        if (!s->there[i])
            continue;
        for (uint64_t at = s->hash[i] & mask;; at = (at + 1) & mask) {
            int32_t other = s->table[at];

            if (other < 0)
                other = s->table[at] = i;
            if (other != i && (s->hash[other] != s->hash[i] ||
                               memcmp(s->centroid + (size_t)other * d, s->centroid + (size_t)i * d,
                                      d * sizeof *s->centroid) != 0))
                continue;
            s->next_twin[i] = other;
            s->next_weight[other]++;
            break;
        }
    }
}

/* Single points that the old tree has as they are stay old; returns how many came, went or changed. */
static int32_t find_changes(struct fly_ward_state *s, int32_t *leaves)
{
    int32_t changed = 0;

    *leaves = 0;
    for (int32_t i = 0; i < s->n; i++) {
        int stays = s->weight[i] > 0 && s->weight[i] == s->next_weight[i] && !s->touched[i];

        if (s->weight[i] > 0 && !stays) {
            fly_ward_forget_above(s, i);
            s->old[i] = 0;
        }
        changed += !stays && (s->weight[i] > 0 || s->next_weight[i] > 0);
        s->weight[i] = s->next_weight[i];
        s->twin[i] = s->next_twin[i];
        *leaves += s->weight[i] > 0;
        if (stays || s->weight[i] == 0)
            continue;
        s->size[i] = s->weight[i];
        s->parent[i] = -1;
    }
    memset(s->touched, 0, (size_t)s->n);
    return changed;
}

static void forget_all(struct fly_ward_state *s)
{
    memset(s->old, 0, (size_t)s->nodes);
    s->free_count = 0;
    for (int32_t node = s->nodes - 1; node >= s->n; node--)
        s->free_node[s->free_count++] = node;
    s->old_steps = 0;
}

/* Distances in full that short vectors along better directions would have spared, as many as finding those costs: its
 * time is that of this many distances a point (measured). */
enum { DISTANCES_OF_NEW_DIRECTIONS = 8, DISTANCES_OF_QUERY = 2 };

/* Distances of a query from which on going through the old tree is no cheaper than all pairs anew (measured). */
enum { DISTANCES_MOST = 200 };

/* The single points of the tree; all, or those that it did not have. Returns how many. */
static int32_t list_leaves(const struct fly_ward_state *s, int32_t *points, int all)
{
    int32_t count = 0;

    for (int32_t i = 0; i < s->n; i++)
        if (s->weight[i] > 0 && (all || !s->old[i]))
            points[count++] = i;
    return count;
}

/* Short vectors along new directions, of all points and of what of the tree still stands. */
static void turn(struct fly_ward_state *s, const struct fly_ward_step *step, int32_t steps)
{
    fly_ward_base(s, s->label, list_leaves(s, s->label, 1));
    for (int32_t t = 0; t < steps; t++)
        if (s->old[step[t].node])
            fly_ward_brief_mean(s, step[t].node, step[t].a, step[t].b);
    s->excess = s->usual = 0;
}

/* Short vectors of what is new, or of all. */
static void shorten(struct fly_ward_state *s, int32_t leaves, int anew)
{
    /* In noise no directions are better than others: they are sought again when there are twice the points. */
    int found = s->based && s->by_rows && leaves < 2 * s->based_on;
    int better = s->excess > DISTANCES_OF_NEW_DIRECTIONS * (int64_t)leaves || (anew && !found);

    if (!better)
        fly_ward_brief(s, s->label, list_leaves(s, s->label, 0));
    if (better || s->reach > REACH_MOST)
        turn(s, s->old_step, s->old_steps);
}

int fly_ward_ponders(const struct fly_ward *ward)
{
    const struct fly_ward_state *s = ward->state;

    return !s->stale && 4 * s->excess > DISTANCES_OF_NEW_DIRECTIONS * (int64_t)ward->count;
}

void fly_ward_ponder(struct fly_ward *ward)
{
    if (fly_ward_ponders(ward))
        turn(ward->state, ward->state->step, ward->state->steps);
}

static void keep_for_next(struct fly_ward_state *s)
{
    for (int32_t i = 0; i < s->n; i++)
        s->old[i] = s->weight[i] > 0;
    for (int32_t t = 0; t < s->steps; t++)
        s->old[s->step[t].node] = 1;
}

/* What this update's queries took beyond what is usual for the directions in use. */
static void judge_directions(struct fly_ward_state *s, int64_t distances)
{
    if (s->by_rows || s->queries == 0)
        return;
    s->distances_a_query = (distances + s->queries - 1) / s->queries;
    if (s->usual == 0)
        s->usual = s->distances_a_query > DISTANCES_OF_QUERY ? s->distances_a_query : DISTANCES_OF_QUERY;
    if (s->directed && distances > s->usual * s->queries)
        s->excess += distances - s->usual * s->queries;
}

static void tell(struct fly_ward *ward);

static void update(struct fly_ward *ward, const struct fly_exec *exec, int anew)
{
    struct fly_ward_state *s = ward->state;
    struct fly_ward_step *steps = s->old_step;
    int64_t distances = ward->work.distances;
    int32_t leaves, changed;

    find_twins(s);
    changed = find_changes(s, &leaves);
    s->old_step = s->step;
    s->old_steps = s->steps;
    s->step = steps;
    s->steps = 0;
    anew = anew || !s->based || s->old_steps == 0 || CHANGED_MOST_PART * changed > leaves ||
           (s->row && s->distances_a_query > DISTANCES_MOST);
    shorten(s, leaves, anew);
    if (anew)
        forget_all(s);
    memset(s->place, -1, (size_t)s->nodes * sizeof *s->place);
    fly_ward_line_up(s);
    s->all_fresh = anew;
    s->by_rows = 0;
    if (anew && s->row) {
        s->distances_a_query = fly_ward_looked(s);
        s->by_rows = s->distances_a_query > FLY_WARD_LOOKED_MOST;
    }
    if (s->by_rows)
        fly_ward_rows_fill(ward, exec);
    s->queries = 0;
    fly_ward_run(ward);
    judge_directions(s, ward->work.distances - distances);
    keep_for_next(s);
    ward->work.updates++;
    ward->work.rebuilds += anew;
    s->stale = 0;
    s->cut = 0;
    tell(ward);
}

void fly_ward_update(struct fly_ward *ward, const struct fly_exec *exec)
{
    if (ward->state->stale)
        update(ward, exec, 0);
}

void fly_ward_rebuild(struct fly_ward *ward, const struct fly_exec *exec)
{
    update(ward, exec, 1);
}

/* ---- what is told -------------------------------------------------------------------------------- */

static void tell_merge(struct fly_ward *ward, int32_t *id, int32_t a, int32_t b, int32_t node, int32_t size,
                       double height)
{
    int32_t at = ward->count++;

    ward->merge[at] = (struct fly_ward_merge){.a = id[a], .b = id[b], .size = size, .height = height};
    id[node] = ward->state->n + at;
}

/* Equal points, the lowest group first. */
static void tell_twins(struct fly_ward *ward, int32_t *id, int32_t *head, int32_t *next)
{
    struct fly_ward_state *s = ward->state;

    for (int32_t i = 0; i < s->n; i++)
        head[i] = -1;
    for (int32_t i = s->n - 1; i >= 0; i--) {
        id[i] = i;
        if (s->twin[i] < 0 || s->twin[i] == i)
            continue;
        next[i] = head[s->twin[i]];
        head[s->twin[i]] = i;
    }
    for (int32_t i = 0; i < s->n; i++)
        for (int32_t twin = head[i], size = 2; twin >= 0; twin = next[twin], size++)
            tell_merge(ward, id, i, twin, i, size, 0.0);
}

/* Merges in the order of their heights, which that of the run is but for rounding. */
static void tell(struct fly_ward *ward)
{
    struct fly_ward_state *s = ward->state;
    int32_t *id = s->label, *head = id + s->nodes, *order = head;

    ward->count = 0;
    tell_twins(ward, id, head, s->place);
    for (int32_t t = 0; t < s->steps; t++) {
        int32_t at = t;

        for (; at > 0 && s->cost[s->step[order[at - 1]].node] > s->cost[s->step[t].node]; at--)
            order[at] = order[at - 1];
        order[at] = t;
    }
    for (int32_t t = 0; t < s->steps; t++) {
        const struct fly_ward_step *step = &s->step[order[t]];

        tell_merge(ward, id, step->a, step->b, step->node, s->size[step->node], sqrt(2.0 * s->cost[step->node]));
    }
    ward->count = 0;
    for (int32_t i = 0; i < s->n; i++)
        ward->count += s->there[i] != 0;
}
