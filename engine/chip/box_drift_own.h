/* engine/chip/box_drift_own.h: what the files of box_drift.h share. */
#ifndef FLY_CHIP_BOX_DRIFT_OWN_H
#define FLY_CHIP_BOX_DRIFT_OWN_H

#include "engine/chip/box_drift.h"

/* ---- boxes of pixels (box_drift_cut.c) ------------------------------------------------------------------- */

struct fly_box_item {
    uint64_t key;   /* what it is sorted by */
    int32_t first, n;
};

/* A run of a box's pixels in one line. */
struct fly_box {
    int32_t first, n; /* of pieces */
};

/* N = FLY_BOX_DRIFT_PX */
struct fly_box_cut {
    int32_t width_px;              /* of the scan */
    int32_t n;                     /* pixels */
    struct fly_box_item *at;       /* (N) key y * width_px + x; first: which of value */
    float *value;                  /* (N) */
    struct fly_box_item *piece;    /* (N) runs of at[first .. first + n - 1], those of a box one after the other */
    struct fly_box *box;           /* (N / FLY_BOX_DRIFT_PX_MIN) by the line and column that their part begins in */
    int32_t n_boxes;
    struct fly_box_item *spare;    /* (N) scratch */
    int32_t *parent, *left;        /* (N) scratch */
};

size_t fly_box_cut_need(void);
void fly_box_cut_init(struct fly_box_cut *cut, int32_t width_px, struct fly_arena *arena);

/* Sort what was put into at and value, n of them in the order they came, and make boxes of it. */
void fly_box_cut(struct fly_box_cut *cut);

/* ---- sums at every place (box_drift_sum.c) --------------------------------------------------------------- */

enum {
    FLY_BOX_MARGIN = 2, /* beyond the search: one px for the parabola, one to smooth */
    FLY_BOX_SIDE_MAX = 2 * (FLY_BOX_DRIFT_REACH_MAX_PX + FLY_BOX_MARGIN) + 1,
    FLY_BOX_PATCH = FLY_BOX_DRIFT_CELL_PX + FLY_BOX_SIDE_MAX - 1,
    FLY_BOX_LANES = 8,  /* places are summed so many at a time: the last may be none */
    FLY_BOX_STRIDE = FLY_BOX_PATCH + FLY_BOX_LANES,
    FLY_BOX_GROUPS = 32, /* of boxes, for the jackknife */
    FLY_BOX_NEAR = 5,    /* px each way around a peak: 3 x 3 of what is smoothed over 3 x 3 */
};

/* The picture that boxes are looked for in. */
struct fly_box_reference {
    int32_t height_px, width_px;
    enum fly_dtype dtype;
    unsigned char *pixels;
    uint64_t *there;    /* bits */
};

/* Sums over all boxes at each t, (side, side) with side = 2 reach + 1, row-major. */
struct fly_box_sums {
    int32_t reach;      /* margin included */
    int32_t boxes, px;  /* that have a say */
    double ff;
    double fg[FLY_BOX_SIDE_MAX * FLY_BOX_SIDE_MAX], gg[FLY_BOX_SIDE_MAX * FLY_BOX_SIDE_MAX];
    double white;       /* variance of fg where f or g is noise */
    double rough_f, rough_g; /* sums of squared second differences over 6: of white noise, its variance times */
    int32_t triples;         /* so many */
};

/* One box, and what the search may see of the reference around it. */
struct fly_box_patch {
    int32_t reach;             /* margin included */
    int32_t n, n_runs;         /* pixels that have a say, less their mean */
    double ff;
    float f[FLY_BOX_DRIFT_CELL_PX * FLY_BOX_DRIFT_CELL_PX];
    struct fly_box_run {
        int16_t y, x, n, first; /* within the box; of f */
    } run[FLY_BOX_DRIFT_CELL_PX * FLY_BOX_DRIFT_CELL_PX];
    float g[FLY_BOX_PATCH * FLY_BOX_STRIDE];              /* less the mean */
    double sum[FLY_BOX_PATCH * (FLY_BOX_PATCH + 1)];      /* of g before a column of its line */
    double square[FLY_BOX_PATCH * (FLY_BOX_PATCH + 1)];
    int32_t holes[(FLY_BOX_PATCH + 1) * (FLY_BOX_PATCH + 1)]; /* above and left of a corner */
};

/* Scratch. */
struct fly_box_finder {
    struct fly_box_patch patch;
    struct fly_box_sums sums;
    double smooth[FLY_BOX_SIDE_MAX * FLY_BOX_SIDE_MAX]; /* of r */
    double group_fg[FLY_BOX_GROUPS][FLY_BOX_NEAR * FLY_BOX_NEAR]; /* around a peak */
    double group_gg[FLY_BOX_GROUPS][FLY_BOX_NEAR * FLY_BOX_NEAR];
    double group_ff[FLY_BOX_GROUPS];
};

size_t fly_box_finder_need(void);
void fly_box_finder_init(struct fly_box_finder **out, struct fly_arena *arena);

/* What lies at pixel (y, x) of the frame lies at about (y + near, x + near) of the reference. */
struct fly_box_look {
    const struct fly_box_cut *cut;
    const struct fly_box_reference *reference;
    double near[2];
    int32_t reach;
};

/* t counts from near, rounded. Lent until the next call. */
const struct fly_box_sums *fly_box_sum(struct fly_box_finder *finder, const struct fly_box_look *look);

/* Load a box. 0: too little of it has a say. */
int fly_box_load(struct fly_box_patch *patch, const struct fly_box_look *look, const struct fly_box *box, int32_t reach);
/* Its sums of f g at FLY_BOX_LANES places from (ty, tx) on along the line, and of (g - mean g)^2 at one; t counts from the
 * corner of the search. */
void fly_box_products(const struct fly_box_patch *patch, int32_t ty, int32_t tx, float to[FLY_BOX_LANES]);
double fly_box_spread(const struct fly_box_patch *patch, int32_t ty, int32_t tx);

/* ---- the place (box_drift_find.c) ------------------------------------------------------------------------ */

struct fly_box_found {
    int measured;
    double at_px[2], sigma_px[2]; /* y, x as near */
    double correlation;
    int ambiguous;
    double rival_px[2];
};
void fly_box_find(struct fly_box_finder *finder, const struct fly_box_look *look, struct fly_box_found *found);

/* The plain twin of boxes and sums: ff, fg, gg, boxes, px and white of whole pictures (h, w), NaN where there is no
 * pixel. part (h, w) scratch. */
void fly_box_sum_ref(const double *frame, const double *reference, int32_t h, int32_t w, const int32_t near[2],
                     int32_t reach, int32_t *part, struct fly_box_sums *sums);

#endif
