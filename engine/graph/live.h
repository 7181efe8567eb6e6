/* engine/graph/live.h: the communities of one affinity graph, kept as it changes.
 *
 * The answer goes on from the last one (louvain.h: follow, warm) after every update of the graph; in its
 * spare time the owner lets it ponder: one cold order at a time, adopted where it is better. Communities are
 * told under the answer's numbers, which mean nothing: who is who from map to map is said elsewhere
 * (engine/map). Where asked for, nothing is told before there is more structure than chance gives (structure.h)
 * and, unless that is plain, before it lies together in the scan (coherence.h).
 *
 *   fly_live_forget ──▶ vectors change, fly_affinity_update and _settle ──▶ fly_live_renew
 *   fly_live_doubt, fly_live_ponder: when nothing else is to be done
 *
 * Every result is a function of the calls made, not of time or the number of threads. Two who took other
 * ways to the same graph may have other partitions, each of them locally optimal; fly_live_exact is a
 * function of the graph alone, and leaves the live answer as it is.
 *
 * Work     renew visits every chip once, and reads the rows of chips that changed or move; all rows where
 *          the threshold moved. Where it jumped by 0.05 or more communities are another question: one cold
 *          order takes the place of what was. (From the last answer modularity came out up to 0.42 lower,
 *          measured.) Chips behind the last that ever was in the graph cost nothing, others not in it a visit.
 * Threads  one at a time; work is spread through the executor.
 */
#ifndef FLY_GRAPH_LIVE_H
#define FLY_GRAPH_LIVE_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"
#include "engine/graph/affinity.h"
#include "engine/graph/community.h"
#include "engine/graph/louvain.h"
#include "engine/graph/structure.h"

struct fly_live_config {
    struct fly_affinity *graph; /* lent for the life of it */
    int32_t resolution;         /* 1 .. FLY_RESOLUTION_MAX */
    int want_structure;         /* `robust`: see structure.h */
    int32_t rows, cols;         /* of the grid that the chips lie in, row by row; 0: they lie nowhere */
};

struct fly_live {
    /* what is told; of use after fly_live_tell */
    int32_t *label;      /* (N) 0 .. N-1, or FLY_COMMUNITY_NONE: not in the graph, or nothing is told */
    float *share;        /* (N) of its edges' weight, the part within its own community; NaN without edges */
    int32_t count;       /* communities of FLY_COMMUNITY_SMALLEST chips or more */
    int told;            /* 0: too little structure, or no edge yet */
    double q;            /* modularity of the answer in hand, told or not */
    struct fly_graph_work work; /* since init */

    /* live.c's own: */
    struct fly_live_config config;
    int32_t n;
    struct fly_dense dense; /* cut off behind the last chip that was ever in it */
    struct fly_louvain louvain;
    int started;
    enum { FLY_LIVE_STILL = 0, FLY_LIVE_FOLLOWS, FLY_LIVE_STARTS } way; /* to the next answer */
    double threshold;    /* that the columns stand on */
    int32_t linked;      /* chips with edges */
    uint8_t *fresh;      /* (N) forgotten since the last answer */
    int32_t orders;      /* cold orders pondered, ever */
    int32_t pondered;    /* of them, on the graph as it is */
    int changed;         /* the answer, since it was told */
    struct fly_null null;
    int32_t null_linked; /* chips with edges then; 0: never asked */
    double null_density;
    int32_t *scratch;    /* (N) */
    int32_t *member;     /* (N) scratch, too */
};

size_t fly_live_need(int32_t n);
void fly_live_init(struct fly_live *live, const struct fly_live_config *config, struct fly_arena *arena);

/* These chips' rows are about to change, in any way. */
void fly_live_forget(struct fly_live *live, const int32_t *chips, int32_t count);

/* The graph was updated and settled: find the communities anew. FLY_ERANGE: more chips with weights than
 * FLY_WEIGHTED_NODES_MAX. */
FLY_MUST_USE int fly_live_renew(struct fly_live *live, const struct fly_exec *exec);

/* Another resolution from the next renewal on. */
void fly_live_resolution(struct fly_live *live, int32_t resolution);

/* Every row is about to change. */
void fly_live_start(struct fly_live *live);

/* Ask chance again if the graph has changed much since it was last asked: about 10 ms. 1: it was asked.
 * The arena lends fly_null_need(N) bytes. */
int fly_live_doubts(const struct fly_live *live);
void fly_live_doubt(struct fly_live *live, struct fly_arena *arena);

/* One cold order of a seed not used before, in `cold` (as large as the graph, anybody's), adopted where it
 * is better. _ponders: 1 while there is sense in it: fly_louvain_orders of the graph's size have not been
 * tried since the graph changed. */
int fly_live_ponders(const struct fly_live *live);
FLY_MUST_USE int fly_live_ponder(struct fly_live *live, struct fly_louvain *cold, const struct fly_exec *exec);

/* Bring label, share, count and told up to date. 1: something in them may have changed. */
int fly_live_tell(struct fly_live *live);

/* The canonical partition: by the rule without hysteresis, cold, the best of fly_louvain_orders, numbers by
 * first appearance. */
struct fly_live_exact {
    double threshold;
    int32_t bin;
    double q;
    int enough; /* more structure than chance gives, or nobody wants to know */
};

/* Fills `out`; `share` (N) may be NULL. adopt: it becomes the live answer as well, under the stable ids, and
 * the threshold by the rule alone stays in force. The arena lends fly_null_need(N) bytes. */
FLY_MUST_USE int fly_live_exact(struct fly_live *live, struct fly_louvain *cold, struct fly_communities *out,
                                float *share, struct fly_live_exact *told, int adopt,
                                const struct fly_exec *exec, struct fly_arena *arena);

#endif
