/* engine/graph/louvain.h: communities of a dense graph by Louvain's method, in pieces.
 *
 * Blondel et al. 2008, doi:10.1088/1742-5468/2008/10/P10008: nodes move one by one to where modularity
 * rises most until none can, communities become nodes, and so on; here the single nodes move again
 * after the upper levels, so every result is locally optimal (fly_improving_moves finds none). All of it
 * is exact in integers (modularity.h).
 *
 * cold   the best of `orders` random orders, each from single nodes: the highest score, the earliest on
 *        ties.
 * warm   from the last answer: chips without a community yet go first, then all, until none moves; and,
 *        where there is time for it, a few random orders besides, taken if strictly better.
 * probe  a split probe, as in Leiden's refinement (Traag et al. 2019, doi:10.1038/s41598-019-41695-z):
 *        each community is made again from single nodes without looking beyond it, the pieces unite
 *        freely, single nodes move; kept only if that raised modularity, and then tried again. It finds
 *        the communities that a warm start alone never splits off.
 *
 * A task is started, then stepped until done; steps of any size give the same result as one. Graph and
 * seed decide every label: neither the number of threads nor the machine does.
 *
 * Ids      labels are ids 0 .. n-1 with gaps. A warm task keeps the ids of communities it keeps.
 * Cost     a visit reads one number per community, and while nodes stand alone, a row; each move reads
 *          a row. At n chips in C communities memory is about 4 n C + 16 C^2 bytes at C = column_cap.
 * Threads  a task belongs to one thread; warm starts use an executor.
 */
#ifndef FLY_GRAPH_LOUVAIN_H
#define FLY_GRAPH_LOUVAIN_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"
#include "engine/graph/groups.h"
#include "engine/graph/parting.h"

struct fly_louvain_config {
    int32_t resolution; /* 1 .. FLY_RESOLUTION_MAX, default FLY_RESOLUTION_ONE */
    int32_t orders;     /* cold: >= 1, or 0 (default): fly_louvain_orders of the graph's size;
                         * warm: orders from single nodes beside the warm one, >= 0, default 0 */
    int32_t probes;     /* >= 0, default 4: split probes at most, each as long as it raises modularity */
    uint64_t seed;      /* default 1 */
};

struct fly_louvain_config fly_louvain_config_default(void);

/* 20000 / n within 8 .. 64: small graphs cost little and hide their best partition best. With 8 orders
 * golden graphs of 96 to 529 chips end up to 0.0010 below the best known, with 32 none does (measured). */
int32_t fly_louvain_orders(int32_t n);

/* Orders that a warm update can afford within a fraction of a millisecond: 12 up to 223 chips, 8 at 256, 2
 * at 406, 0 from 513 on. Small graphs need them: on noisy ones of 18 to 250 chips a warm start with probes
 * alone ended up to 0.017 below cold best of 8. In scans of 12 x 12 to 33 x 33 chips (4 seeds, two frames,
 * image, spectra and their mean: 3192 epochs) one epoch ended more than 0.005 below cold best of 8, by
 * 0.0061, with nothing done in the background; with one order up to 1095 chips it was one as well, with at
 * most two orders 21. Large graphs have the background: one cold order of another seed after each row of
 * chips, adopted by a warm start from its labels where its score is higher, held every epoch of 51 rows of
 * 51 chips within 0.005 of cold best of 8; best of 8 every fifth row did not (0.025: what counts is how soon
 * a new phase is noticed). All measured. */
int32_t fly_louvain_warm_orders(int32_t n);

struct fly_louvain {
    /* the best answer of the task so far; of use once it is done */
    int32_t *label;  /* (N) */
    fly_score score;
    double q;
    /* what was done since init; the owner takes differences */
    struct fly_graph_work work;

    /* louvain.c's own: */
    struct fly_louvain_config config;
    struct fly_parting parting;
    struct fly_groups groups;
    struct fly_exec exec;
    int32_t *sequence; /* (N) the order of visits */
    int32_t *parent;   /* (N) the community that a probe takes a node from */
    int32_t *fill;     /* (N + 1) */
    int phase;
    int has_best;
    int32_t order;     /* which of the orders; -1: the warm one */
    int32_t probe;     /* which of the probes, from 1; 0: none yet */
    int32_t first, end, at, quiet; /* visits go round sequence[first .. end) until end-first were quiet */
    int kept;          /* the parting is that of label, with its columns */
    int must_move;     /* after a probe's pieces: single nodes move even if no groups united */
};

/* column_cap 1 .. n_cap; fly_louvain_columns(n_cap) is enough for graphs that we have seen. With more
 * communities than that a task sums rows by label, slower; a probe that needs more ends the task. */
int32_t fly_louvain_columns(int32_t n_cap);
size_t fly_louvain_need(int32_t n_cap, int32_t column_cap);
void fly_louvain_init(struct fly_louvain *l, int32_t n_cap, int32_t column_cap, struct fly_arena *arena);

/* Begin a task; one under way is forgotten. The graph is lent until the task is done, and must not
 * change. `labels` (N) may be l->label; a label
 * < 0 is a chip that has no community yet, those of the last answer are 0 .. n-1.
 *
 * FLY_ERANGE  a number of config is outside its range, or the graph too large for weights (65536)
 */
FLY_MUST_USE int fly_louvain_cold(struct fly_louvain *l, const struct fly_dense *graph,
                                  const struct fly_louvain_config *config);
FLY_MUST_USE int fly_louvain_warm(struct fly_louvain *l, const struct fly_dense *graph,
                                  const struct fly_louvain_config *config, const int32_t *labels,
                                  const struct fly_exec *exec);

/* A warm task that goes on from the columns of the last one (cold or warm, done, with no probe that
 * failed) and reads only rows that changed. Before the graph changes row i, by revision of its chip, the
 * caller forgets it; new chips come at the end. Where all rows change (another threshold), or most, and
 * where fly_louvain_can_follow says 0, a warm start from l->label is the way.
 *
 *   while the graph is as it was:  if (fly_louvain_can_follow(l)) forget each row that will change
 *   after the change:              fly_louvain_follow(l, graph, config)
 *
 * A task started otherwise undoes all forgetting. FLY_ERANGE as above. */
int fly_louvain_can_follow(const struct fly_louvain *l);
void fly_louvain_forget(struct fly_louvain *l, int32_t i);
FLY_MUST_USE int fly_louvain_follow(struct fly_louvain *l, const struct fly_dense *graph,
                                    const struct fly_louvain_config *config);

/* Do about `visits` visits' worth of work (> 0). FLY_OK: done; FLY_EAGAIN: not yet, call again. */
FLY_MUST_USE int fly_louvain_step(struct fly_louvain *l, int64_t visits);

/* Until done. */
void fly_louvain_finish(struct fly_louvain *l);

/* Of the weight of node i's edges, the part that stays within its community in the answer; NaN without
 * edges. The graph as it was for the answer. O(1) where fly_louvain_can_follow, else a row. */
double fly_louvain_share(const struct fly_louvain *l, int32_t i);

/* The modularity of the answer at resolution 1, whatever it was found at. Cost as above, of all nodes. */
double fly_louvain_plain_q(struct fly_louvain *l);

/* The plain twin, louvain_ref.c: the same answer from a matrix and simple loops, O(N^2) a sweep and
 * O(N^2) memory of the system's. labels in: warm, NULL: cold. Columns never run out here. */
fly_score fly_louvain_ref(const struct fly_dense *graph, const struct fly_louvain_config *config,
                          const int32_t *labels, int32_t *out);

#endif
