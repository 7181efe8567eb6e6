/* engine/tree/ward_state.h: what the files of the room share; ward.h is its face.
 *
 * Nodes    0 .. N-1 are points, N .. 2N-2 merged clusters, their numbers used again. Points that are equal are one
 *          node: that of the lowest of them, `weight` points in it.
 * Run      an update: from single points to one cluster. Its clusters stand in places, in the order of their lowest
 *          points; a cluster is `known` while the old tree has it at this height, else it is `fresh`.
 * Asking   between known clusters the old tree says which pair is next, so only pairs with a fresh one are asked
 *          for: each fresh cluster keeps a bound of the least D to any other, which merges of others leave valid.
 *          Where the old tree is empty all are fresh, and it is enough that of two the one in the lower place asks:
 *          a merged cluster takes the lower place of its two, and whoever stands below that asked for both.
 *          The bound is that of a short list of others that may be the nearest, and of the rest (ward_near.c).
 */
#ifndef FLY_TREE_WARD_STATE_H
#define FLY_TREE_WARD_STATE_H

#include "engine/tree/ward.h"

enum {
    FLY_WARD_LANES = 16, /* places of a block; its least bound is kept, and that of as many blocks */
    FLY_WARD_GROUP = FLY_WARD_LANES * FLY_WARD_LANES,
    FLY_WARD_STEP = 16,  /* short numbers that lie by places: they rule out most */
    FLY_WARD_NEAR = 8,   /* others that a fresh cluster knows by name (measured) */
};

/* What a fresh cluster knows of the others. No other is nearer than the least of these bounds. */
struct fly_ward_near {
    double least[FLY_WARD_NEAR]; /* no more than D; D where it is exact */
    double rest;                 /* no more than D of all others */
    int32_t node[FLY_WARD_NEAR]; /* may have been merged since */
    uint8_t exact[FLY_WARD_NEAR];
    uint8_t count;
    uint8_t crowded;             /* more than fit in are as near as the rest */
    uint8_t complete;            /* of the rest that is as near as the first, none comes before it */
};

/* A merge in the order of the run. */
struct fly_ward_step {
    int32_t node, a, b; /* a holds the lowest point */
    double cost;        /* D */
};

/* What rows of pairs have to catch up with (ward_rows.c). */
struct fly_ward_event {
    int32_t to, from; /* places: the one that stays, the one that goes */
    float size_a, size_b, cost;
};

struct fly_ward_state {
    struct fly_ward_config config;
    int32_t n, width, nodes;
    int32_t short_width; /* min(D, FLY_WARD_SHORT), rounded up to FLY_WARD_STEP */

    /* points */
    uint8_t *there;    /* (N) */
    uint8_t *touched;  /* (N) its numbers changed since the last update */
    uint64_t *hash;    /* (N) of its numbers */
    int32_t *twin;     /* (N) the lowest point that equals it in the tree, -1: none in the tree */
    int32_t *next_twin;/* (N) the same for the update under way */
    int32_t *weight;   /* (N) points that are the same as this lowest one, 0: it is not the lowest */
    int32_t *next_weight; /* (N) */
    int32_t *table;    /* (table_size) */
    int32_t table_size;
    int stale;

    /* nodes */
    double *centroid;  /* (2N-1, D) */
    double *brief;     /* (2N-1, short_width) */
    float *rounded;    /* (2N-1, short_width) of brief */
    double *cost;      /* (2N-1) D, no less than its parts' */
    int32_t *parent;   /* (2N-1) -1: none */
    int32_t *size;     /* (2N-1) */
    int32_t *lowest;   /* (2N-1) point */
    int32_t *place;    /* (2N-1) in the run, -1: none */
    uint8_t *old;      /* (2N-1) 1: in the old tree, and nothing in it has changed */
    int32_t *free_node;/* (N) */
    int32_t free_count;
    struct fly_ward_step *step, *old_step; /* (N) */
    int32_t steps, old_steps;

    /* directions */
    int directed;      /* D is more than short */
    int based;
    double *mean;      /* (D) */
    double *direction; /* (D, short_width) orthonormal columns; unused where D is short */
    double *sample;    /* (FLY_WARD_SAMPLE, D), to find directions; behind it scratch. Its first row: what is put */
    double scale;      /* a power of two: the longest short vector near 1 */
    double reach;      /* the longest, scaled */
    int32_t based_on;  /* points then */
    int64_t excess;    /* distances that better directions would have spared, since these were found */
    int64_t usual;     /* distances a query took just after that, 0: not known yet */
    int64_t distances_a_query; /* of the last update; by rows: what short vectors would have left */

    /* the run */
    int all_fresh;     /* there is no old tree */
    int64_t queries;
    int32_t places;    /* multiple of FLY_WARD_LANES */
    int32_t clusters;
    int32_t *node_at;  /* (places) -1: none */
    float *size_at;    /* (places) */
    float *share_at;   /* (places) 1 / size */
    float *brief_at;   /* (places / LANES, STEP, LANES) the first STEP of rounded */
    int32_t *found;    /* (places) of a pass */
    float *found_sum;  /* (places) */
    struct fly_ward_near *near; /* (places) of use where a fresh cluster stands */
    double *bound;     /* (places) the least of near; infinite for a known cluster */
    double *block_least; /* (places / LANES) of bound */
    double *group_least; /* (places / GROUP) of block_least */
    double least;      /* of all; negative: to be found */
    float *partial;    /* (places) of a query by rows */

    /* pairs */
    int by_rows;
    size_t row_len;
    float *row;        /* (N, row_len) bounds of D, scaled */
    float *single;     /* (N, D) */
    double *square;    /* (places) */
    double row_scale, row_reach;
    int32_t *caught_up;/* (places) events */
    struct fly_ward_event *event; /* (N) */
    int32_t events;

    /* cut */
    int32_t *label;    /* (2 * (2N-1)) scratch */
    double *down;      /* (2 * (2N-1)) scratch */
    int32_t cut;       /* clusters of the last cut, 0: none */
};

/* ---- ward_distance.c ----------------------------------------------------------------------------- */

/* D of two nodes, or something above `most` where it is above that. Its bytes do not depend on the processor. */
double fly_ward_distance(const struct fly_ward_state *s, int32_t a, int32_t b, double most);
double fly_ward_merged(double size_a, double size_b); /* |A||B| / (|A| + |B|) */
void fly_ward_mean(double *to, const double *a, const double *b, double size_a, double size_b, size_t len);

/* ---- ward_brief.c: short vectors ------------------------------------------------------------------- */

enum { FLY_WARD_SAMPLE = 192 };

/* Of a float distance of short vectors, scaled: D is at least (distance * (1 - SLACK) - REST R^2) times sizes. */
#define FLY_WARD_SLACK 0x1p-11f
#define FLY_WARD_REST  0x1p-33

/* Short vectors of points, along new directions; or along those there are. */
void fly_ward_base(struct fly_ward_state *s, const int32_t *points, int32_t count);
void fly_ward_brief(struct fly_ward_state *s, const int32_t *points, int32_t count);
void fly_ward_brief_mean(struct fly_ward_state *s, int32_t node, int32_t a, int32_t b);

/* ---- ward_scan.c: places, and passes over them --------------------------------------------------------- */

void fly_ward_place(struct fly_ward_state *s, int32_t place, int32_t node); /* node -1: nobody */
void fly_ward_place_all(struct fly_ward_state *s); /* the same by node_at, all at once */

/* A bound of D of two nodes from their short vectors. */
double fly_ward_short(const struct fly_ward_state *s, int32_t a, int32_t b);

/* Who may be as near as `limit` to the cluster at a place; limit 0: as whoever seems the nearest, and some more. Fills
 * near. */
void fly_ward_scan(struct fly_ward *ward, int32_t place, double limit);

/* The nearest cluster to that at a place: near is that one alone. */
void fly_ward_query(struct fly_ward *ward, int32_t place);

/* How many others short vectors leave to a cluster on average, by a sample of clusters. */
int32_t fly_ward_looked(struct fly_ward_state *s);

/* By more than that a tree made anew is made by rows. */
enum { FLY_WARD_LOOKED_MOST = 48 };

/* For tests and benches: 1: plain passes everywhere, 0: as the processor can. */
void fly_ward_wide_forbid(int forbidden);

/* ---- ward_near.c: what fresh clusters know of others ----------------------------------------------------- */

/* Where a known cluster stands, or nobody. */
void fly_ward_near_none(struct fly_ward_state *s, int32_t place);

/* A fresh one of which only this is known; or that this is the nearest. */
void fly_ward_near_from(struct fly_ward_state *s, int32_t place, double bound);
void fly_ward_near_is(struct fly_ward_state *s, int32_t place, int32_t node, double distance);

/* No other than that node is nearer than this to the cluster at a place, `cost` being the least of all D. */
double fly_ward_near_others(const struct fly_ward_state *s, int32_t place, int32_t node, double cost);

/* The nearest to the cluster at a place, whose D then is its bound. -1: the bound was less than any D; it is known
 * better now. */
int32_t fly_ward_near_settle(struct fly_ward *ward, int32_t place);

/* The least bound of all places, infinite: no cluster is fresh; and the first place from `from` on that has it, -1:
 * none. */
double fly_ward_least(struct fly_ward_state *s);
int32_t fly_ward_least_at(const struct fly_ward_state *s, int32_t from);

/* After places from `end` on are nobody's any more. */
void fly_ward_near_end(struct fly_ward_state *s, int32_t end);

/* ---- ward_rows.c: all pairs ------------------------------------------------------------------------ */

void fly_ward_rows_fill(struct fly_ward *ward, const struct fly_exec *exec);
void fly_ward_rows_query(struct fly_ward *ward, int32_t place);
void fly_ward_rows_merge(struct fly_ward_state *s, int32_t to, int32_t from, double cost);

/* ---- ward_run.c ------------------------------------------------------------------------------------ */

/* Single points (weight) take their places; those that the old tree does not have (old) are fresh. */
void fly_ward_line_up(struct fly_ward_state *s);

/* From there to one cluster; fills `step`. */
void fly_ward_run(struct fly_ward *ward);

/* Nothing of the old tree that holds this node is left. */
void fly_ward_forget_above(struct fly_ward_state *s, int32_t node);

#endif
