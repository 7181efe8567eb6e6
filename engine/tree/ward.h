/* engine/tree/ward.h: Ward's hierarchical clustering of points that come, change and go, exact at every moment.
 *
 * The tree is the one that batch clustering of the same points gives: at each step the two clusters A, B of the
 * least D = |A||B| / (|A| + |B|) |cA - cB|^2 are merged (Ward 1963, doi:10.1080/01621459.1963.10500845, in the form
 * with centroids), told with the height sqrt(2 D) as scipy's linkage(x, 'ward') and sklearn's
 * AgglomerativeClustering have it. All decisions compare D in double from centroids in double; whatever is cheaper
 * only rules pairs out, by bounds that are proved.
 *
 *   fly_ward_put_*, fly_ward_drop ──▶ fly_ward_update ──▶ merge, fly_ward_cut, fly_ward_confidence
 *
 * Replay   Ward is reducible: a merged pair comes no nearer to a third cluster than the nearer of the two was
 *          (Bruynooghe 1977; Muellner 2011, arXiv:1109.2378, section 2). So an update goes through the old merges in
 *          their order and keeps each that is still the least of all. Only clusters that the old tree did not have
 *          at that height (new points, what they merged with, and what lost its partner) are compared with others,
 *          and of these each keeps a few names and a bound for the rest, so that little is asked twice.
 *          Going through the old merges costs next to nothing: only where more than half of the points changed
 *          everything is merged anew.
 * Bounds   In up to FLY_WARD_SHORT numbers along the directions in which points differ most: the length of a
 *          projection is never more than that of the whole. On embeddings of images they leave one to three others
 *          to compare in full. Points that differ in all directions alike (noise of many numbers) cannot be told apart
 *          so; with `pairs` reserved the tree is then made anew from one product of all vectors in single precision,
 *          carried from merge to merge by the formula of Lance and Williams (doi:10.1093/comjnl/9.4.373), rounded
 *          down. Without it every pair is compared in full, which takes long.
 * Ties     Equal D: the pair with the lowest point (then the lowest point of the other cluster) first. Points that
 *          are equal in every number are merged before all others, lowest first, at height 0. Where distinct
 *          points are equally far apart to the last bit, as spectra of few photons are, the tree is not unique:
 *          scipy chooses otherwise (chain.h), and where equals are made by arithmetic, so may an update and a
 *          rebuild.
 * Size     of N points of width D, with P = min(D, FLY_WARD_SHORT) rounded up to 16: 16 N D bytes of centroids, 24 N P
 *          of short ones, about 420 N of the tree, and 8 D (2 P + 192) + 100 KB to find directions: 27.8 MB for 2601
 *          points of 512 numbers, 2.6 MB for 2601 of 12. `pairs` adds 4 N (N + D): 32.8 MB for the first.
 *          fly_ward_need tells it to the byte.
 * Work     a function of the calls alone; neither results nor work depend on threads.
 * Threads  one at a time; products of pairs are spread through the executor, each by OpenBLAS, which its owner has
 *          told to use one thread.
 */
#ifndef FLY_TREE_WARD_H
#define FLY_TREE_WARD_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"

enum { FLY_WARD_POINTS_MAX = 65536, FLY_WARD_WIDTH_MAX = 16384, FLY_WARD_SHORT = 64 };

struct fly_ward_config {
    int32_t points; /* N, 1 .. FLY_WARD_POINTS_MAX */
    int32_t width;  /* D, 1 .. FLY_WARD_WIDTH_MAX */
    int pairs;      /* 1: memory for all pairs is reserved. Without effect where D <= FLY_WARD_SHORT */
};

/* A step, as a row of scipy's linkage: a and b are points (below N) or N + the number of an earlier step. a holds
 * the lowest point of both. */
struct fly_ward_merge {
    int32_t a, b;
    int32_t size;  /* points in the new cluster */
    double height; /* sqrt(2 D) */
};

/* Since init. What an update costs is bounds and distances. */
struct fly_ward_work {
    int64_t distances;    /* in full width, in double, those broken off included */
    int64_t bounds;       /* pairs looked at in short, those broken off included */
    int64_t products;     /* pairs multiplied in single precision */
    int64_t updates, rebuilds; /* of the updates */
    int64_t kept, made;   /* merges taken over, and found anew */
};

struct fly_ward {
    /* what is told; of use after fly_ward_update */
    int32_t count;                /* points in the tree */
    struct fly_ward_merge *merge; /* (count - 1), heights ascending */
    struct fly_ward_work work;

    struct fly_ward_state *state; /* the room's own */
};

/* FLY_ERANGE  a number outside its range (named) */
FLY_MUST_USE int fly_ward_check(const struct fly_ward_config *config);
size_t fly_ward_need(const struct fly_ward_config *config);
void fly_ward_init(struct fly_ward *ward, const struct fly_ward_config *config, struct fly_arena *arena);

/* Add a point, or give it other numbers: x (D), lent for the call. Counts are multiplied by `scale` (1, or one over
 * their sum for rates). What the tree tells stays until the next update.
 *
 * FLY_ERANGE  a number that is not finite, or beyond 1e140: nothing changed
 */
FLY_MUST_USE int fly_ward_put_f32(struct fly_ward *ward, int32_t point, const float *x);
FLY_MUST_USE int fly_ward_put_f64(struct fly_ward *ward, int32_t point, const double *x);
FLY_MUST_USE int fly_ward_put_u32(struct fly_ward *ward, int32_t point, const uint32_t *x, double scale);
void fly_ward_drop(struct fly_ward *ward, int32_t point); /* one that is not there is none */

/* 1: a point was put, changed or dropped since the last update. Putting the same numbers again is no change. */
int fly_ward_stale(const struct fly_ward *ward);

/* Bring the tree up to date. rebuild: the same from nothing. */
void fly_ward_update(struct fly_ward *ward, const struct fly_exec *exec);
void fly_ward_rebuild(struct fly_ward *ward, const struct fly_exec *exec);

/* When nothing else is to be done: look for better directions, so that the next updates measure fewer distances. It
 * changes nothing that is told; an update that suffers much does it itself. _ponders: 1 while there is sense in it.
 * 4 ms for 2601 points of 512 numbers. */
int fly_ward_ponders(const struct fly_ward *ward);
void fly_ward_ponder(struct fly_ward *ward);

/* The partition into k clusters: label (N) by first appearance from 0, -1 where there is no point. Returns how many
 * there are: min(k, count). k >= 1. */
int32_t fly_ward_cut(struct fly_ward *ward, int32_t k, int32_t *label);

/* The height at which k clusters become k - 1: infinite for k = 1, 0 for k > count. k clusters are the partition at
 * every height from fly_ward_height(k + 1) to fly_ward_height(k): the wider that gap beside fly_ward_height(k), the
 * plainer is k. */
double fly_ward_height(const struct fly_ward *ward, int32_t k);

/* How surely each point belongs to its cluster of the last fly_ward_cut, 0 .. 1; NaN where there is no point.
 *
 *   d2 / (d1 + d2)   d1: how far the part that the point belongs to was from the body of its cluster, where it was
 *                    last the smaller of two that merged (of equals: the one without the lowest point); 0 if it
 *                    always was in the larger. d2: how far the cluster is from the one that it would merge with
 *                    next. Both are distances of centroids.
 *
 * 1 in the body, 1/2 where the part is as far from its own cluster as that is from the next. Distances and not
 * heights: these grow with the size of clusters whatever a point is. It costs a walk over the merges, not a
 * distance: comparing every point with k centroids would take as long as the update. 1 where there is one cluster
 * alone. */
void fly_ward_confidence(struct fly_ward *ward, float *confidence);

/* The plain twin: points (n, D) in double, all pairs of centroids compared at each step, ties as above. merge
 * (n - 1). O(n^3 D); memory is the system's, for the call: FLY_ENOMEM. */
FLY_MUST_USE int fly_ward_ref(const double *points, int32_t n, int32_t width, struct fly_ward_merge *merge);

#endif
