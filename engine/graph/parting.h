/* engine/graph/parting.h: a partition of a dense graph while nodes move between its communities.
 *
 * The state of the local move of Louvain's method. A community of one node is the node alone and costs
 * nothing; any other has a column, the strength of every node to it, kept true by one pass over the row
 * of each node that moves. So a visit reads one number per community, and, while nodes stand alone, one
 * row. When there are more communities than columns were reserved, visits sum rows by label instead:
 * slower, with the same moves.
 *
 * A visit is decided exactly: gains are filtered in floating point with a bound on its error, and what
 * passes is compared in 128-bit integers. The node goes where modularity rises most, on ties to the
 * community of lowest id, and stays if nothing is better than staying; where every community is worse
 * than none, it goes out alone.
 *
 * Ids      a community's id is 0 .. n-1. In the partition of single nodes node i has id i; a community
 *          keeps the id of the node that was joined first; merged communities keep the lowest; a node
 *          that goes out alone gets the lowest free one.
 * Memory   from the arena at init; the graph is lent until the next start, and must not change.
 * Threads  one at a time; fly_parting_set uses an executor.
 */
#ifndef FLY_GRAPH_PARTING_H
#define FLY_GRAPH_PARTING_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"
#include "engine/graph/modularity.h"
#include "engine/graph/row.h"

/* What was done, ever more; the owner takes differences. */
struct fly_graph_work {
    int64_t visits;       /* nodes looked at */
    int64_t rows;         /* rows of the graph read, N pairs each */
    int64_t moves;        /* nodes moved */
    int64_t sweeps;       /* local moves run until nothing changed */
    int64_t aggregations; /* matrices of communities made */
    int64_t probes;       /* split probes */
};

/* sum += after - before */
void fly_graph_work_add(struct fly_graph_work *sum, const struct fly_graph_work *before,
                        const struct fly_graph_work *after);

struct fly_parting {
    const struct fly_dense *graph;
    int32_t n;
    int32_t resolution;
    int32_t *label;        /* (N) id of each node's community */
    struct fly_graph_work work;

    /* parting.c's own: */
    int32_t n_cap, column_cap;
    size_t lanes;          /* of a column in use; columns are fly_row_lanes(n_cap) apart */
    int32_t *size;         /* (N) by id */
    int64_t *k;            /* (N) by id: sum of degrees */
    int32_t *column_of;    /* (N) by id, -1: none */
    uint64_t *used;        /* (N / 64) by id: size > 0 */
    float *alone_k;        /* (lanes) degree of a node that stands alone with edges, else INFINITY */
    float *block_best;     /* (lanes / 64) */
    int32_t *alone;        /* (N) the nodes of alone_k */
    int32_t *alone_at;     /* (N) where a node is in alone, -1 */
    int32_t n_alone;
    uint32_t *columns;     /* (column_cap, lanes) */
    int32_t *column_id;    /* (column_cap) */
    double *column_k;      /* (column_cap) k of the column's community */
    double *gain;          /* (column_cap) */
    int64_t *k_group;      /* (N) by id: k before groups were united by rows */
    int64_t *sum;          /* (N) by id: of a row, while rows are summed by label */
    int32_t *touched;      /* (N) */
    int32_t *member;       /* (N) nodes by their columns, while these are filled */
    int32_t *member_first; /* (column_cap + 1) */
    int32_t n_columns;
    int32_t first_column;  /* communities before it are closed to visits: see confine */
    int confined;
    int summing;           /* more communities than columns */
    int full;              /* a confined visit found no free column: the partition is of no use */
    double pull;           /* resolution / m2 */
};

size_t fly_parting_need(int32_t n_cap, int32_t column_cap);
void fly_parting_init(struct fly_parting *p, int32_t n_cap, int32_t column_cap, struct fly_arena *arena);

/* Every node alone. */
void fly_parting_start(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution);

/* The partition of labels 0 .. n-1; a node with a label < 0 stands alone. Reads each row once. */
void fly_parting_set(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution,
                     const int32_t *labels, const struct fly_exec *exec);

/* The graph is about to change row i: take node i out, by its old row. Needs the columns, and the graph
 * as it was. */
void fly_parting_forget(struct fly_parting *p, int32_t i);

/* The graph has changed, in rows and columns of forgotten nodes alone, and may have more nodes than
 * before. `fresh` (count): every forgotten node and every new one; they stand alone now. Reads the rows of
 * those. */
void fly_parting_renew(struct fly_parting *p, const struct fly_dense *graph, int32_t resolution,
                       const int32_t *fresh, int32_t count);

/* The weight between node i and its own community. Needs the columns. */
int64_t fly_parting_strength(const struct fly_parting *p, int32_t i);

/* Let node i go where it is best; 1 when it moved. */
int fly_parting_visit(struct fly_parting *p, int32_t i);

/* From every node alone: open only these nodes to visits and as places to go, until the next call; the
 * communities that they made stay. count < 0 opens all. Confined visits do not sum rows by label: when
 * columns run out p->full is set. */
void fly_parting_confine(struct fly_parting *p, const int32_t *nodes, int32_t count);

/* When rows were summed by label and communities have become few enough, make columns again; 1 when the
 * columns are there. */
int fly_parting_gather(struct fly_parting *p, const struct fly_exec *exec);

/* The communities of two nodes or more, in ascending order of id, as a graph of their own: links
 * (count, count) weight between two, on the diagonal twice the weight inside; degrees (count). Needs the
 * columns. Returns count, at most column_cap. */
int32_t fly_parting_groups(struct fly_parting *p, int32_t *ids, int64_t *links, int64_t *degrees);

/* Unite the communities of ids (ascending) that have the same place in `joined`. */
void fly_parting_unite(struct fly_parting *p, const int32_t *ids, const int32_t *joined, int32_t count);

/* Where there are more communities than columns: let whole communities move to others, each by the sums of
 * its members' rows, until none moves. 1 when any were united. */
int fly_parting_unite_by_rows(struct fly_parting *p);

/* The exact score; with columns O(N). */
fly_score fly_parting_score(struct fly_parting *p);

#endif
