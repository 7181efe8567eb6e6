/* sim/judge_clusters.h: is right what Flyback says of a map's clusters?
 *
 * The lattice told of a cluster's largest square stands against that of the phase that most of the square's chips
 * have; where a phase has no lattice (the amorphous film, the cap's grains) it is right to find none. The composition
 * told stands against that of the phase that most of the cluster's chips have in the map.
 *
 * Numbers  NaN where there is nothing to tell.
 * Threads  pure.
 */
#ifndef FLY_SIM_JUDGE_CLUSTERS_H
#define FLY_SIM_JUDGE_CLUSTERS_H

#include <stdint.h>

#include "sim/specimen.h"
#include "sim/truth.h"
#include "stream/publish.h"

struct fly_cluster_score {
    int64_t id, chips;
    int32_t phase;          /* that most of its chips have (ties to the lower); -1: there is no map of them */
    double purity;          /* their share */
    int32_t square_phase;   /* the same of the chips of its square; -1: it has none */
    double square_purity;
    int told;               /* its square is crystalline 1, not crystalline 0; -1: not measurable, or no square */
    int right;              /* and so is that phase: 1, 0; -1: nothing was told */
    double d_nm, d_sigma_nm;
    double d_true_nm;       /* of the square's phase; NaN: it has no lattice */
    double d_error_percent; /* 100 (told - true) / true */
    double d_error_sigma;   /* told - true over the sigma told */
    double percent_error;   /* root mean square over the elements told, in atomic percent; the truth is brought to 100
                             * over these elements, as what was told is */
    double percent_sigma;   /* the same of error over sigma, of elements that have one */
};

enum { FLY_JUDGE_CLUSTERS = 64 };

struct fly_clusters_score {
    char method[32], modality[32];
    double time_s, scanned; /* as fly_score's */
    uint64_t seq;
    int final;
    int32_t n;
    struct fly_cluster_score cluster[FLY_JUDGE_CLUSTERS]; /* of those that are there the largest, as they came */
};

/* All but time_s, scanned and seq. labels (K) of the same method and modality, NULL: not known. FLY_EWIRE: a cluster
 * breaks the protocol, or its square leaves the grid. */
FLY_MUST_USE int fly_clusters_judge(struct fly_clusters_score *out, const struct fly_clusters_read *clusters,
                                    const struct fly_specimen *specimen, const struct fly_truth *truth,
                                    const int32_t *labels);

/* In one line: how many lattices were told of, and rightly so; root mean square errors, a cluster counting by its
 * chips. */
struct fly_clusters_sum {
    int32_t told, right;
    double d_error_percent, d_error_sigma;
    double percent_error, percent_sigma;
};
struct fly_clusters_sum fly_clusters_sum(const struct fly_clusters_score *score);

#endif
