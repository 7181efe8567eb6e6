/* engine/state.h: the engine's insides, shared by the files that make it up, and by nobody else. */
#ifndef FLY_ENGINE_STATE_H
#define FLY_ENGINE_STATE_H

#include "engine/engine.h"

enum { QUEUE_FIRST = 0, QUEUE_AGAIN, QUEUES, NOT_QUEUED = -1 };

/* Chips in the order they became dirty; a chip stands in at most one queue, at most once, so newest
 * content wins and the backlog is bounded by the number of chips. */
struct fly_engine_queue {
    int32_t head, tail, len;
};

struct fly_modality_state {
    double *scores;    /* (K, FLY_CLASSES_MAX) */
    double *distances; /* (K, FLY_CLASSES_MAX), NULL for the ensemble */
    int32_t *labels;
    float *confidence;
    uint32_t *age;
    int64_t *stamp;
    uint8_t *measured;  /* (K) 1: the chip has features here; unused by the ensemble */
    uint8_t *changed;   /* (K) 1: features changed since the last epoch */
    uint32_t *version;  /* (K) of the content that the features stand for */
    int64_t *arrived;   /* (K) stamp of the newest data in the features */
    struct fly_prototypes prototypes;
};

struct fly_engine {
    struct fly_engine_config config;
    struct fly_exec exec;
    struct fly_arena arena;
    int32_t n_chips;

    struct fly_assembly *assembly; /* NULL without an image */
    struct fly_spectra *spectra;   /* NULL without EDS */
    struct fly_support support;
    int support_changed, ensemble_changed;

    int range_known;
    double lo, hi;
    int32_t range_row;   /* rows above it, of those the range is taken from, are all there in frame 0 */
    unsigned char *row;  /* (W) items and (W) marks, scratch */

    /* embedding */
    int32_t width;       /* D */
    float *embeddings;   /* (K, D) */
    const float *given;  /* (K, D) or NULL */
    int64_t *image_stamp; /* (K) of the put that completed the chip */
    int32_t *next;       /* (K) links of the queues */
    int8_t *queued;      /* (K) which queue, or NOT_QUEUED */
    struct fly_engine_queue queues[QUEUES];
    int32_t unit;        /* chips of one step */
    double *pictures;    /* (unit, P, P) */
    double *mean;        /* (width of executor, S, S) */
    float *fresh;        /* (unit, D) */
    int32_t *picked;     /* (unit) */
    int32_t *dirty;      /* (K) scratch for draining */

    /* quantities.c */
    struct fly_arena quantify_arena;   /* the quantifier's */
    struct fly_quantifier *quantifier; /* NULL: no compositions */
    int32_t n_elements;
    struct fly_quantify_work *quantify_work; /* (width of executor) */
    double *percent;                   /* (K, n) */
    uint8_t *status;                   /* (K) enum fly_quantify_status */
    uint8_t *requantify;               /* (K) scratch */
    uint8_t *speaks;                   /* (K) scratch: the chip has features that say something */

    struct fly_modality_state modality[FLY_MODALITIES];
    struct fly_engine_counts counts;
};

/* engine/quantities.c: open a quantifier in an arena of its own; make the compositions of chips whose spectra
 * changed, and mark in `changed` those that changed with them. */
FLY_MUST_USE int fly_engine_open_quantifier(struct fly_engine *engine, const struct fly_quantify_config *config,
                                            const struct fly_alloc *alloc);
void fly_engine_quantify(struct fly_engine *engine);

/* engine/scoring.c: few-shot scores of what changed since the last epoch, in every modality; consumes
 * support_changed and ensemble_changed, leaves `changed` to its caller. 1: a map may differ. */
int fly_engine_score(struct fly_engine *engine);

#endif
