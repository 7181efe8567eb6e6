#include <math.h>
#include <string.h>

#include "engine/tree/ward_state.h"

/* Of a bound that the formula of Lance and Williams makes: more than the rounding of centroids. */
static const double LESS = 1.0 - 0x1p-20;

/* ---- nodes --------------------------------------------------------------------------------------- */

void fly_ward_forget_above(struct fly_ward_state *s, int32_t node)
{
    for (int32_t up = s->parent[node]; up >= 0 && s->old[up]; up = s->parent[up]) {
        s->old[up] = 0;
        s->free_node[s->free_count++] = up;
    }
}

/* A merged node of these two; the places it will stand in are the caller's. */
static int32_t join(struct fly_ward_state *s, int32_t a, int32_t b, double cost)
{
    size_t width = (size_t)s->width;
    int32_t node;

    FLY_ASSERT(s->free_count > 0);
    node = s->free_node[--s->free_count];
    fly_ward_mean(s->centroid + (size_t)node * width, s->centroid + (size_t)a * width,
                  s->centroid + (size_t)b * width, s->size[a], s->size[b], width);
    fly_ward_brief_mean(s, node, a, b);
    s->size[node] = s->size[a] + s->size[b];
    /* By rounding a pair can come out nearer than its parts did. */
    s->cost[node] = fmax(cost, fmax(s->cost[a], s->cost[b]));
    s->lowest[node] = s->lowest[a] < s->lowest[b] ? s->lowest[a] : s->lowest[b];
    s->parent[node] = -1;
    s->old[node] = 0;
    return node;
}

/* ---- places -------------------------------------------------------------------------------------- */

static void clear_place(struct fly_ward_state *s, int32_t place)
{
    fly_ward_place(s, place, -1);
    fly_ward_near_none(s, place);
}

/* The first `end` places are taken, by node_at. */
static void end_places(struct fly_ward_state *s, int32_t end)
{
    s->places = (end + FLY_WARD_LANES - 1) / FLY_WARD_LANES * FLY_WARD_LANES;
    for (int32_t p = end; p < s->places; p++)
        s->node_at[p] = -1;
    fly_ward_near_end(s, end);
    fly_ward_place_all(s);
}

/* Everybody's places, in the order they were in, without those where nobody stands. */
static void close_ranks(struct fly_ward_state *s)
{
    int32_t to = 0;

    for (int32_t from = 0; from < s->places; from++) {
        int32_t node = s->node_at[from];

        if (node < 0)
            continue;
        s->bound[to] = s->bound[from];
        if (s->bound[to] < INFINITY)
            s->near[to] = s->near[from];
        s->node_at[to] = node;
        s->place[node] = to++;
    }
    end_places(s, to);
}

/* Single points take their places; those without an old node are fresh. */
void fly_ward_line_up(struct fly_ward_state *s)
{
    s->clusters = 0;
    for (int32_t i = 0; i < s->n; i++) {
        int32_t at = s->clusters;

        if (s->weight[i] == 0)
            continue;
        s->node_at[at] = i;
        s->place[i] = at;
        s->bound[at] = s->old[i] ? INFINITY : 0.0;
        s->near[at].rest = s->near[at].count = s->near[at].crowded = s->near[at].complete = 0;
        s->clusters++;
    }
    end_places(s, s->clusters);
}

/* Two clusters become one, in the place of the lower. bound: no other is nearer; infinite where the old tree has it. */
static void merge(struct fly_ward_state *s, int32_t node, int32_t a, int32_t b, double cost, double bound)
{
    int32_t to = s->place[a], from = s->place[b];

    FLY_ASSERT(to < from);
    if (s->by_rows)
        fly_ward_rows_merge(s, to, from, cost);
    s->place[a] = s->place[b] = -1;
    s->parent[a] = s->parent[b] = node;
    s->place[node] = to;
    clear_place(s, from);
    fly_ward_place(s, to, node);
    fly_ward_near_from(s, to, bound);
    s->step[s->steps++] = (struct fly_ward_step){.node = node, .a = a, .b = b, .cost = cost};
    s->clusters--;
    if (!s->by_rows && 4 * s->clusters <= 3 * s->places && s->places > 4 * FLY_WARD_LANES)
        close_ranks(s);
}

/* ---- the order of merges ------------------------------------------------------------------------- */

struct pair {
    int32_t a, b; /* nodes, a with the lowest point; -1: none */
    double cost;
};

static int before(const struct fly_ward_state *s, const struct pair *x, const struct pair *y)
{
    if (x->cost != y->cost)
        return x->cost < y->cost;
    if (s->lowest[x->a] != s->lowest[y->a])
        return s->lowest[x->a] < s->lowest[y->a];
    return s->lowest[x->b] < s->lowest[y->b];
}

static struct pair pair_of(const struct fly_ward_state *s, int32_t x, int32_t y, double cost)
{
    return s->lowest[x] < s->lowest[y] ? (struct pair){x, y, cost} : (struct pair){y, x, cost};
}

static int stands(const struct fly_ward_state *s, int32_t node)
{
    return s->place[node] >= 0;
}

/* The nearest pair that has a fresh cluster in it, if that comes before `other`. A bound is no more than the
 * distance, so asking is put off until it is the least. */
static struct pair nearest_fresh(struct fly_ward *ward, const struct pair *other)
{
    struct fly_ward_state *s = ward->state;
    struct pair best = {-1, -1, INFINITY};

    for (;;) {
        double least = fly_ward_least(s);
        int settled = 1;

        if (least == INFINITY || (other->a >= 0 && least > other->cost))
            return (struct pair){-1, -1, INFINITY};
        best.a = -1;
        for (int32_t p = fly_ward_least_at(s, 0); p >= 0 && settled; p = fly_ward_least_at(s, p + 1)) {
            int32_t nearest = fly_ward_near_settle(ward, p);
            struct pair pair;

            settled = nearest >= 0;
            if (!settled)
                break;
            pair = pair_of(s, s->node_at[p], nearest, least);
            if (best.a < 0 || before(s, &pair, &best))
                best = pair;
        }
        if (settled)
            return other->a < 0 || before(s, &best, other) ? best : (struct pair){-1, -1, INFINITY};
    }
}

/* A known cluster leaves the old tree: what held it is no more. */
static void forget(struct fly_ward_state *s, int32_t node)
{
    fly_ward_forget_above(s, node);
    s->old[node] = 0;
}

static void make_fresh(struct fly_ward_state *s, int32_t node, double bound)
{
    int32_t place = s->place[node];

    forget(s, node);
    if (s->bound[place] == INFINITY)
        fly_ward_near_from(s, place, bound);
}

/* How near another may be to a pair that is merged (ward_near.c). */
static double bound_of_merged(const struct fly_ward_state *s, const struct pair *pair)
{
    double size_a = s->size[pair->a], size_b = s->size[pair->b];
    double a = fly_ward_near_others(s, s->place[pair->a], pair->b, pair->cost);
    /* Where all are fresh, b did not ask for those between the two places. */
    double b = s->all_fresh ? pair->cost : fly_ward_near_others(s, s->place[pair->b], pair->a, pair->cost);

    return fmin((size_a * a + size_b * b) / (size_a + size_b), a + b - pair->cost) * LESS;
}

static void merge_pair(struct fly_ward *ward, const struct pair *pair)
{
    struct fly_ward_state *s = ward->state;
    double bound = bound_of_merged(s, pair);
    int32_t node;

    forget(s, pair->a);
    forget(s, pair->b);
    node = join(s, pair->a, pair->b, pair->cost);
    merge(s, node, pair->a, pair->b, pair->cost, fmax(bound, s->cost[node]));
    ward->work.made++;
}

/* The next merge of the old tree whose parts, or one of them, stand. */
static const struct fly_ward_step *next_old(const struct fly_ward_state *s, int32_t *at)
{
    for (; *at < s->old_steps; (*at)++) {
        const struct fly_ward_step *step = &s->old_step[*at];

        if ((s->old[step->a] && stands(s, step->a)) || (s->old[step->b] && stands(s, step->b)))
            return step;
    }
    return NULL;
}

void fly_ward_run(struct fly_ward *ward)
{
    struct fly_ward_state *s = ward->state;
    int32_t at = 0;

    while (s->clusters > 1) {
        const struct fly_ward_step *step = next_old(s, &at);
        struct pair old = {-1, -1, INFINITY}, fresh;

        if (step)
            old = (struct pair){step->a, step->b, step->cost};
        fresh = nearest_fresh(ward, &old);
        FLY_ASSERT(step || fresh.a >= 0);
        if (fresh.a >= 0) {
            merge_pair(ward, &fresh);
        } else if (s->old[step->a] && s->old[step->b]) {
            merge(s, step->node, step->a, step->b, step->cost, INFINITY);
            ward->work.kept++;
            at++;
        } else {
            /* Its partner went another way. */
            make_fresh(s, s->old[step->a] ? step->a : step->b, step->cost);
            at++;
        }
    }
}
