/* engine/graph/affinity.h: the graph of which chips are alike, kept as chips come and change.
 *
 * A graph stands on one set of vectors (vectors.h), or on two, whose similarities it mixes:
 * w * a + (1 - w) * b, for chips that are in both. It keeps a code for every pair, their histogram, and
 * for the threshold in force the edges as rows of bits, degrees and total weight. All are functions of
 * the vectors alone: after any sequence of puts, updates and settlings they are, to the byte, those of a
 * graph that took the same vectors at once. (Hysteresis, where asked for, knows the history.)
 *
 * Work  an update of r chips among N computes r * N - r * (r + 1) / 2 similarities and nothing twice; a
 *       settling touches the pairs between the old and the new threshold, after one scan of the codes.
 *       Graphs that are updated together share their vectors' products.
 * Memory  2 bytes for each of N * N ordered pairs, 1 bit, and 64 rows in hand. Both orders are kept, as
 *       the readers of struct fly_dense want whole rows.
 * Threads  one at a time; work is spread through the executor, with the same result for any width.
 */
#ifndef FLY_GRAPH_AFFINITY_H
#define FLY_GRAPH_AFFINITY_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"
#include "engine/graph/dense.h"
#include "engine/graph/histogram.h"
#include "engine/graph/threshold.h"
#include "engine/graph/vectors.h"

struct fly_affinity;

struct fly_affinity_config {
    struct fly_vectors *a;
    struct fly_vectors *b; /* NULL, or as many chips as a */
    double weight_a;       /* of a in the mix, 0 .. 1; b has the rest */
    enum fly_threshold_rule rule;
    double fixed;          /* FLY_THRESHOLD_FIXED: the threshold, finite */
    int binary;            /* each edge weighs 1 */
    int hysteresis;        /* `robust`, for the rules with a mode */
};

size_t fly_affinity_need(const struct fly_affinity_config *config);
/* The same from the shape of its vectors, D of a and of b, 0 for one that there is not. */
size_t fly_affinity_need_of(int32_t n_chips, int32_t width_a, int32_t width_b);

/* FLY_ERANGE  a number outside its range, or two sets of vectors of different chips (named) */
FLY_MUST_USE int fly_affinity_open(struct fly_affinity **out, const struct fly_affinity_config *config,
                                   struct fly_arena *arena);

/* The vectors of these chips (no chip twice) came, changed, became too little or went. All graphs given
 * have the same number of chips. Edges are those of the threshold in force. */
void fly_affinity_update(struct fly_affinity *const *graphs, int32_t n_graphs, const int32_t *chips,
                         int32_t count, const struct fly_exec *exec);

/* An epoch ends: the threshold follows its rule, and edges with it. exact: without hysteresis, which
 * starts anew from here. Due after the last update, before edges are read. */
void fly_affinity_settle(struct fly_affinity *const *graphs, int32_t n_graphs, int exact,
                         const struct fly_exec *exec);

/* Look at the graph by its rule alone, as an exact settling would leave it, or at another threshold, and go
 * back: to the byte, as if nothing had been. No jump is told of. Nothing else may be done to the graph in
 * between. */
struct fly_affinity_stand {
    int32_t bin;
    struct fly_cut cut;
    struct fly_hysteresis hysteresis;
};
void fly_affinity_look(struct fly_affinity *graph, struct fly_affinity_stand *stand);
void fly_affinity_look_at(struct fly_affinity *graph, double threshold, struct fly_affinity_stand *stand);
void fly_affinity_return(struct fly_affinity *graph, const struct fly_affinity_stand *stand);

/* Another rule from the next settling on. FLY_ERANGE: fixed is not finite. */
FLY_MUST_USE int fly_affinity_rule(struct fly_affinity *graph, enum fly_threshold_rule rule, double fixed);

/* Another weight of a in the mix, 0 .. 1: every pair is computed anew. FLY_ERANGE: outside, or no mix. */
FLY_MUST_USE int fly_affinity_mix(struct fly_affinity *graph, double weight_a, const struct fly_exec *exec);

/* The same, but a pair keeps its similarity until one of its chips is updated: a graph all of whose chips were is that
 * of this weight. FLY_ERANGE: as above. */
FLY_MUST_USE int fly_affinity_reweigh(struct fly_affinity *graph, double weight_a);

/* ---- what it says; all but similarities as of the last update or settling ------------------------- */

/* The graph for its readers; valid until the next update or settling. Chips that are not members stand
 * there without edges. */
struct fly_dense fly_affinity_dense(const struct fly_affinity *graph);

int32_t fly_affinity_count(const struct fly_affinity *graph);          /* members */
int32_t fly_affinity_reach(const struct fly_affinity *graph);          /* chips from here on never were any */
const uint8_t *fly_affinity_members(const struct fly_affinity *graph); /* (K) 0 or 1 */

/* The threshold in force, and its bin (-1 for rules without one). */
double fly_affinity_threshold(const struct fly_affinity *graph);
int32_t fly_affinity_bin(const struct fly_affinity *graph);

const struct fly_histogram *fly_affinity_histogram(const struct fly_affinity *graph);
int64_t fly_affinity_edges(const struct fly_affinity *graph);
int32_t fly_affinity_edges_of(const struct fly_affinity *graph, int32_t chip);
double fly_affinity_strength(const struct fly_affinity *graph, int32_t chip); /* sum of similarities kept */
uint16_t fly_affinity_code(const struct fly_affinity *graph, int32_t i, int32_t j);

/* Canonical, in double. mean: over all pairs of members. sums: (K) over all other members, golden
 * affinity_rowsum. */
double fly_affinity_similarity(const struct fly_affinity *graph, int32_t i, int32_t j);
double fly_affinity_mean(const struct fly_affinity *graph);
void fly_affinity_sums(const struct fly_affinity *graph, double *sums);

/* For `analyze`: canonical similarities of members i < j, row-major; one of the two arrays may be NULL.
 * Returns how many. O(K^2 D) at the pace of doubles. */
int64_t fly_affinity_upper(const struct fly_affinity *graph, float *f32, double *f64,
                           const struct fly_exec *exec);

/* Golden M1 of an array of similarities: n_bins (1 .. FLY_M1_BINS) equal bins between least and most; one
 * bin where these are closer than 1e-9, none where there is no pair. */
enum { FLY_M1_BINS = 256 };

struct fly_m1 {
    double least, most;
    double width;
    double mode;
    int32_t n_bins;
    int64_t bins[FLY_M1_BINS];
};

void fly_m1_of(struct fly_m1 *m1, const double *similarities, int64_t count, int32_t n_bins);

/* ---- what happened -------------------------------------------------------------------------------- */

/* The mode moved by 0.05 or more between two settlings: communities are another question now. */
struct fly_threshold_jump {
    double from, to;
    int32_t from_bin, to_bin;
};

/* 1: the oldest jump not told yet is filled; 0: there is none. Of more than 16 the oldest are lost. */
int fly_affinity_jump(struct fly_affinity *graph, struct fly_threshold_jump *jump);

/* Since open. */
struct fly_affinity_work {
    int64_t pairs;         /* similarities computed, each pair of an update once */
    int64_t products;      /* the same with what padding and symmetry waste */
    int64_t exact;         /* asked again in double */
    int64_t codes_changed;
    int64_t edges_flipped;
};

struct fly_affinity_work fly_affinity_work(const struct fly_affinity *graph);

/* ---- the plain twin, affinity_ref.c ------------------------------------------------------------- */

/* Batch on a matrix of similarities (n, n) by simple loops: golden definitions 12 and 13. */
struct fly_affinity_ref {
    int64_t p100[FLY_P100_BINS];
    int64_t m2[FLY_M2_BINS];
    double mean, median; /* numpy's */
};

void fly_affinity_ref(struct fly_affinity_ref *ref, const double *similarities, int32_t n);

/* edge (n, n) 0 or 1, degree (n) in edges, strength (n). Returns the number of edges. */
int64_t fly_affinity_ref_edges(const double *similarities, int32_t n, double threshold, uint8_t *edge,
                               int32_t *degree, double *strength);

#endif
