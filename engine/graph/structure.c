#include "engine/graph/structure.h"

#include <math.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/graph/louvain.h"

enum { WORDS = FLY_NULL_NODES / 64, PAIRS = FLY_NULL_NODES * (FLY_NULL_NODES - 1) / 2 };
/* How far the law of size itself may be off: up to 7 % on random graphs of 255 to 1020 nodes (measured). */
static const double LAW_SD = 0.03;

enum { TRADES_PER_EDGE = 10 }; /* half of them find their places taken in a graph that is half full */

/* Room for one graph without structure. */
struct null_room {
    uint64_t *bits;         /* (nodes, WORDS) */
    uint16_t *weight;       /* (nodes, FLY_NULL_NODES) 0: no edge */
    int64_t *degree;        /* (nodes) */
    uint8_t *ends;          /* (edges, 2) */
    int32_t *drawn;         /* (n) */
    int32_t linked;         /* nodes of the graph that have edges */
    int32_t nodes, edges;
    struct fly_louvain louvain;
};

size_t fly_null_need(int32_t n)
{
    size_t sum = fly_arena_need(FLY_NULL_NODES, WORDS * sizeof(uint64_t));

    sum = fly_size_add(sum, fly_arena_need(FLY_NULL_NODES, FLY_NULL_NODES * sizeof(uint16_t)));
    sum = fly_size_add(sum, fly_arena_need(FLY_NULL_NODES, sizeof(int64_t)));
    sum = fly_size_add(sum, fly_arena_need(PAIRS, 2));
    sum = fly_size_add(sum, fly_arena_need((size_t)n + 1, sizeof(int32_t)));
    return fly_size_add(sum, fly_louvain_need(FLY_NULL_NODES, FLY_NULL_NODES));
}

static void room_take(struct null_room *room, int32_t n, struct fly_arena *arena)
{
    room->bits = fly_arena_take(arena, FLY_NULL_NODES, WORDS * sizeof(uint64_t));
    room->weight = fly_arena_take(arena, FLY_NULL_NODES, FLY_NULL_NODES * sizeof(uint16_t));
    room->degree = fly_arena_take(arena, FLY_NULL_NODES, sizeof(int64_t));
    room->ends = fly_arena_take(arena, PAIRS, 2);
    room->drawn = fly_arena_take(arena, (size_t)n + 1, sizeof(int32_t));
    FLY_ASSERT(room->bits && room->weight && room->degree && room->ends && room->drawn);
    fly_louvain_init(&room->louvain, FLY_NULL_NODES, FLY_NULL_NODES, arena);
}

/* The graph among nodes drawn at random, of those that have edges: weights and the list of edges. */
static void draw(struct null_room *room, const struct fly_dense *graph, struct fly_rng *rng)
{
    int32_t n = 0;

    for (int32_t i = 0; i < graph->n; i++)
        if (graph->degree[i] > 0)
            room->drawn[n++] = i;
    room->linked = n;
    room->nodes = n < FLY_NULL_NODES ? n : FLY_NULL_NODES;
    room->edges = 0;
    for (int32_t i = 0; i < room->nodes && room->nodes < n; i++) {
        int32_t j = i + (int32_t)fly_rng_below(rng, (uint64_t)(n - i)), other = room->drawn[j];

        room->drawn[j] = room->drawn[i];
        room->drawn[i] = other;
    }
    memset(room->weight, 0, FLY_NULL_NODES * FLY_NULL_NODES * sizeof(uint16_t));
    for (int32_t i = 0; i < room->nodes; i++)
        for (int32_t j = 0; j < i; j++) {
            uint16_t w = (uint16_t)fly_row_weight(graph, room->drawn[i], room->drawn[j]);

            room->weight[i * FLY_NULL_NODES + j] = room->weight[j * FLY_NULL_NODES + i] = w;
            if (w > 0) {
                room->ends[2 * room->edges] = (uint8_t)i;
                room->ends[2 * room->edges + 1] = (uint8_t)j;
                room->edges++;
            }
        }
}

static void put(struct null_room *room, int32_t i, int32_t j, uint16_t w)
{
    room->weight[i * FLY_NULL_NODES + j] = room->weight[j * FLY_NULL_NODES + i] = w;
}

/* a-b and c-d become a-d and c-b where those are free: every node keeps its number of edges. */
static void trade(struct null_room *room, struct fly_rng *rng)
{
    for (int32_t t = 0; t < TRADES_PER_EDGE * room->edges; t++) {
        uint8_t *one = room->ends + 2 * fly_rng_below(rng, (uint64_t)room->edges);
        uint8_t *two = room->ends + 2 * fly_rng_below(rng, (uint64_t)room->edges);
        int flip = (int)(fly_rng_next(rng) >> 63);
        int32_t a = one[0], b = one[1], c = two[flip], d = two[!flip];
        uint16_t w_one = room->weight[a * FLY_NULL_NODES + b], w_two = room->weight[c * FLY_NULL_NODES + d];

        if (a == d || c == b || room->weight[a * FLY_NULL_NODES + d] || room->weight[c * FLY_NULL_NODES + b])
            continue;
        put(room, a, b, 0);
        put(room, c, d, 0);
        put(room, a, d, w_one);
        put(room, c, b, w_two);
        one[1] = (uint8_t)d;
        two[0] = (uint8_t)c;
        two[1] = (uint8_t)b;
    }
}

static double modularity(struct null_room *room, int weighted, int32_t resolution, uint64_t seed)
{
    struct fly_louvain_config config = fly_louvain_config_default();
    struct fly_dense graph = {.n = room->nodes, .bits = room->bits, .words = WORDS,
                              .weight = weighted ? room->weight : NULL, .stride = FLY_NULL_NODES,
                              .degree = room->degree};
    int rc;

    memset(room->bits, 0, FLY_NULL_NODES * WORDS * sizeof(uint64_t));
    for (int32_t i = 0; i < room->nodes; i++) {
        room->degree[i] = 0;
        for (int32_t j = 0; j < room->nodes; j++) {
            uint16_t w = room->weight[i * FLY_NULL_NODES + j];

            room->degree[i] += w;
            if (w > 0)
                room->bits[i * WORDS + j / 64] |= (uint64_t)1 << j % 64;
        }
        graph.m2 += room->degree[i];
    }
    config.resolution = resolution;
    config.orders = 8;
    config.seed = seed;
    rc = fly_louvain_cold(&room->louvain, &graph, &config);
    FLY_ASSERT(rc == FLY_OK);
    fly_louvain_finish(&room->louvain);
    return room->louvain.q;
}

void fly_null_fill(struct fly_null *null, const struct fly_dense *graph, int32_t resolution, uint64_t seed,
                   struct fly_arena *arena)
{
    size_t mark = fly_arena_mark(arena);
    struct fly_rng rng = {.state = fly_rng_at(seed)};
    struct null_room room = {0};
    double q[FLY_NULL_GRAPHS], scale;

    *null = (struct fly_null){0};
    room_take(&room, graph->n, arena);
    draw(&room, graph, &rng);
    if (room.nodes > 2 && room.edges > 0) {
        scale = sqrt((double)room.nodes / (double)room.linked);
        for (int32_t t = 0; t < FLY_NULL_GRAPHS; t++) {
            trade(&room, &rng);
            q[t] = scale * modularity(&room, graph->weight != NULL, resolution, seed + (uint64_t)t);
            null->mean += q[t] / FLY_NULL_GRAPHS;
        }
        for (int32_t t = 0; t < FLY_NULL_GRAPHS; t++)
            null->sd += (q[t] - null->mean) * (q[t] - null->mean) / (FLY_NULL_GRAPHS - 1);
        if (room.linked > room.nodes)
            null->sd += LAW_SD * LAW_SD * null->mean * null->mean;
        null->sd = sqrt(null->sd);
    }
    fly_arena_reset(arena, mark);
}

int fly_structure_enough(double q, const struct fly_null *null)
{
    return q > null->mean + 3.0 * null->sd;
}
