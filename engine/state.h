/* engine/state.h: the engine's insides, shared by the files that make it up, and by nobody else. */
#ifndef FLY_ENGINE_STATE_H
#define FLY_ENGINE_STATE_H

#include "engine/adoption.h"
#include "engine/damage.h"
#include "engine/engine.h"
#include "engine/graphs.h"
#include "engine/histories.h"
#include "engine/quality.h"
#include "engine/reliability.h"
#include "engine/label/calibrate.h"
#include "engine/label/reliability.h"
#include "engine/label/weights.h"
#include "engine/queue.h"
#include "engine/region/crystallinity.h"
#include "engine/steering.h"
#include "engine/trees.h"

/* Chips of one step of quantification: a constant, because whoever follows a journal takes the same steps with
 * another number of threads. A step of it is then a few ms for one thread (ml). */
enum { FLY_QUANTIFY_UNIT = 64 };

#define FLY_SHARE_EV 160.0 /* engine/label/shares.h */

/* What of a chip's composition there is. */
enum fly_made {
    FLY_MADE_NOT = 0, /* none: the chip is not complete, or its first waits */
    FLY_MADE,
    FLY_MADE_EMPTY,   /* without a photon of its own: at most borrowed */
};

struct fly_modality_state {
    double *scores;    /* (K, FLY_CLASSES_MAX) */
    double *distances; /* (K, FLY_CLASSES_MAX), NULL for the ensemble */
    int32_t *labels;
    float *confidence;
    uint32_t *age;
    int64_t *stamp;
    uint8_t *measured;  /* (K) haadf: embedded; eds: complete; ensemble: scored ever */
    uint8_t *changed;   /* (K) 1: the features compared changed since the last epoch */
    uint32_t *version;  /* (K) haadf: of the pixels embedded; eds: of the photons so far */
    int64_t *arrived;   /* (K) where changed, stamp of the newest data that no label has shown; 0: none */
};

/* A shift that fly_engine_shift was given. */
struct fly_quality_applied {
    int64_t frame; /* -1: none */
    int64_t given; /* in the order of giving, from 1; 0: none */
    int32_t dy_px, dx_px;
    int adopted;   /* 1: adoption.h's, 0: given by hand */
};
enum { FLY_SHIFTS_KEPT = 16 }; /* those given last: only the frame measured last is told of */

/* What adoption.c knows. */
enum { FLY_ADOPTIONS_WAITING = 4 }; /* two frames are in flight, and who listens asks at every new one */
struct fly_adoption_state {
    int on;
    int there, rated;                     /* a frame was found, and another after it: */
    int64_t risen;                        /* when it was measured: commands are numbered far beyond the frames planned */
    double drift_px[2], sigma_px[2];
    double rate_px[2];                    /* a frame; FLY_ADOPT_RATE_PX until two were found */
    struct fly_adoption waiting[FLY_ADOPTIONS_WAITING];
    int32_t n;
};

/* What quality.c watches. */
struct fly_quality_state {
    struct fly_arena arena;          /* drift's */
    struct fly_drift *drift;         /* NULL: no image, or a scan too small */
    struct fly_box_drift *boxes;     /* NULL: not asked for, or without drift */
    struct fly_quality_drift drifted;
    struct fly_quality_applied applied[FLY_SHIFTS_KEPT];
    int64_t shifts_given;
    int64_t newest_frame;            /* that lines came of last, -1: none */
    int64_t highest_frame, risen;    /* of the numbers so far, -1: none; how often it was another */
    struct fly_saturation saturation;
    struct fly_advice advice;
    int32_t rows_there, rows_advised; /* topmost rows of chips that are complete; that the advice is from */
    int32_t counts_needed;
    struct fly_adoption_state adoption;
};

/* levels.c */
enum {
    FLY_LEVELS = 4,          /* up to 8.8 times the least dose: chips are seldom allowed more than 8 of it */
    FLY_DWELL_BINS = 8 * 64, /* eighths of an octave of a ns */
};
struct fly_levels_state {
    int32_t n;             /* FLY_LEVELS; or 1: all are as measured, and there is nothing below but of and main */
    float *at[FLY_LEVELS]; /* (K, D) the embeddings at each level; at 0 of support chips, others are as measured there */
    uint8_t *has_lowest;   /* (K) 1: at 0, too */
    int told[2];           /* 1: data came that did not tell their dwell; that did */
    double *dwell_ns;      /* (K) mean of its pixels; 0: incomplete */
    int32_t *bins;         /* (FLY_DWELL_BINS) chips of about that dwell */
    int32_t least_bin;     /* the lowest with chips in it, or FLY_DWELL_BINS */
    uint8_t *of;           /* (K) level that few-shot compares the chip at, as of the last epoch */
    int32_t main;          /* that of most */
    float *missing;        /* (K, n) of the embeddings at each level: embed.h */
    double *exposures;     /* (unit, n) scratch */
    struct fly_embed_levels fresh; /* (unit) scratch */
};

/* What few-shot knows of its classes. */
struct fly_fewshot_state {
    struct fly_prototypes prototypes;
    struct fly_calibration calibration; /* robust */
    int in_use;                         /* some chip is compared with it; always 1 of the lowest level and of EDS */
};
enum { FLY_FEWSHOT_EDS = FLY_LEVELS, FLY_FEWSHOTS }; /* those of the image first, one a level */

/* What reliability.c measures. Halves of features: of the image, of compositions, shares and spectra. */
enum { FLY_HALVED_FEATURES = 4 };
struct fly_repeat_use {
    double weight[2];
    enum fly_reliability_reason reason;
};
struct fly_reliability_state {
    struct fly_arena arena;
    int32_t chips[FLY_RELIABILITY_CHIPS], n; /* sampled; 0: nothing is measured */
    int phase;
    int32_t at, waited;                /* sampled chips that the phase is through with; steps of others since it was due */
    float *rows[FLY_HALVED_FEATURES][2]; /* (count, D of the feature) of either half */
    int32_t count[FLY_HALVED_FEATURES];
    double fresh[FLY_HALVED_FEATURES]; /* of this measurement */
    double value[FLY_HALVED_FEATURES]; /* reliability, of the last one; NaN: not known */
    double *means;                     /* (2, S, S) scratch */
    double *pictures;                  /* (an even number up to the unit, P, P) */
    float *embedded;                   /* (the same, D) */
    uint32_t *thinned;                 /* (width of executor, E) */
    uint64_t *sums;                    /* (width of executor, 2, E) */
    uint8_t says[FLY_QUANTIFY_UNIT / 2];
    uint32_t rounds_due;               /* frames that all sampled chips have when the next one begins */
    uint64_t changes;                  /* of the sampled chips, when this or the last measurement began */
    int is_last;                       /* 1: it began after the last data */
    struct fly_repeat_use use[FLY_REPEAT_USES];
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
    int asked;           /* a person changed something since the last epoch */

    int range_known;
    double lo, hi;
    int32_t range_row;   /* rows above it, of those the range is taken from, are all there in frame 0 */
    unsigned char *row;  /* (W) items and (W) marks, scratch */
    uint64_t *row_change; /* (H) image_changes as it last changed */
    uint64_t image_changes;

    /* embedding */
    int32_t width;       /* D */
    float *embeddings;   /* (K, D) */
    struct fly_levels_state levels;
    const float *given;  /* (K, D) or NULL */
    int64_t *image_stamp; /* (K) of the newest pixels that no embedding has; 0: none */
    struct fly_queue to_embed; /* complete chips alone */
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
    struct fly_queue to_quantify;      /* complete chips alone */
    int32_t quantifying[FLY_QUANTIFY_UNIT];
    double *percent;                   /* (K, n) */
    float *percent_sigma;              /* (K, n) */
    double *percent_noise;             /* (K) expected squared error of a row of it; NaN in chips of too few counts */
    uint8_t *status;                   /* (K) enum fly_quantify_status */
    uint8_t *made;                     /* (K) enum fly_made */
    uint32_t *made_version;            /* (K) of the photons in the composition */
    int64_t *eds_stamp;                /* (K) of the newest photons that no composition has; 0: none */
    uint64_t *sum;                     /* (E) scratch */
    int quantify_next;                 /* 1: of revisions of both kinds, quantification has the next step */

    /* communities.c */
    struct fly_arena graphs_arena;
    struct fly_graphs *graphs;         /* NULL: no communities */
    int finished;                      /* 1: no more data will come */
    int32_t update_waited, spare_waited; /* steps of other kinds since an update was due, since spare work */
    uint64_t exact_updates;            /* of the graphs, when their exact partitions were adopted */
    int is_exact;

    /* hierarchies.c */
    struct fly_arena trees_arena;
    int has_trees;
    struct fly_trees trees;
    int32_t tree_waited[FLY_TREES];    /* steps of other kinds since an update was due */
    /* regions.c */
    struct fly_arena regions_arena;
    struct fly_transforms transforms;
    struct fly_spacing_config spacing;
    float *region_px;                  /* (P, P) of the largest square */
    int32_t *region_labels;            /* (K) */
    float *crystallinity;              /* (K) as last measured */
    uint64_t *crystallinity_of;        /* (K) of which versions of the pixels; 0: of none */

    struct fly_arena histories_arena;
    struct fly_histories histories;
    float *margin;                     /* (K) scratch; NULL in the paper profile */

    struct fly_quality_state quality;
    struct fly_reliability_state reliability;

    struct fly_arena ledger_arena;
    struct fly_ledger *ledger;         /* dose.c: of the specimen, whoever saw it */
    struct fly_steering_state steering;
    struct fly_damage_state damage;

    /* scoring.c, robust: what few-shot is sure of */
    struct fly_left_out left_out;
    struct fly_fewshot_state fewshot[FLY_FEWSHOTS];
    struct fly_joint joint;
    int32_t share_channels, share_width; /* of spectra compared as shares: channels a bin, bins; 0 without EDS */
    float *share;                      /* (K, share_width) of the spectra of the chips scored */
    double *share_noise;               /* (K) */

    uint8_t *speaks;                   /* (K) scratch: the chip has features that say something */

    struct fly_modality_state modality[FLY_MODALITIES];
    struct fly_engine_counts counts;
};

/* The features of a chip that a modality compares are new, for the epoch to score. arrived: stamp of the newest
 * data that came with them, 0 for none of its own. */
static inline void fly_engine_mark(struct fly_engine *engine, int modality, int32_t chip, int64_t arrived)
{
    struct fly_modality_state *mod = &engine->modality[modality];

    if (!mod->changed[chip] || arrived > mod->arrived[chip])
        mod->arrived[chip] = arrived;
    mod->changed[chip] = 1;
    engine->counts.features_changed++;
}

/* What few-shot compares the chip with. */
static inline int32_t fly_engine_fewshot_of(const struct fly_engine *engine, int modality, int32_t chip)
{
    return modality == FLY_EDS ? FLY_FEWSHOT_EDS : engine->levels.n > 1 ? engine->levels.of[chip] : 0;
}

/* The calibration that most chips have. */
static inline const struct fly_calibration *fly_engine_main_calibration(const struct fly_engine *engine, int modality)
{
    return &engine->fewshot[modality == FLY_EDS ? FLY_FEWSHOT_EDS : engine->levels.main].calibration;
}

/* The chip's embedding, or this feature of its X-rays, came, changed or went: graphs and hierarchies are to know. */
static inline void fly_engine_touch_image(struct fly_engine *engine, int32_t chip)
{
    if (engine->graphs)
        fly_graphs_touch(engine->graphs, chip, FLY_GRAPH_IMAGE);
    if (engine->has_trees)
        fly_trees_touch(&engine->trees, chip, FLY_TREE_IMAGE);
}

static inline void fly_engine_touch_eds(struct fly_engine *engine, int32_t chip, enum fly_eds_feature feature)
{
    if (engine->graphs && fly_graphs_config(engine->graphs)->feature == feature)
        fly_graphs_touch(engine->graphs, chip, FLY_GRAPH_EDS);
    if (engine->has_trees && engine->trees.config.feature == feature)
        fly_trees_touch(&engine->trees, chip, FLY_TREE_EDS);
}

/* engine/communities.c: graphs in an arena of their own (after the quantifier); the one piece of work on them
 * whose turn it is, given what else waits: 1 when it was done; what the maps show of them, 1 when it may differ;
 * does anything wait, spare work apart? */
enum fly_need { FLY_NEED_NONE, FLY_NEED_AGAIN, FLY_NEED_FIRST };
FLY_MUST_USE int fly_engine_open_graphs(struct fly_engine *engine, const struct fly_graph_config *graph,
                                        const struct fly_alloc *alloc);
size_t fly_engine_graphs_need(const struct fly_engine *engine, const struct fly_graph_config *graph);
int fly_engine_think(struct fly_engine *engine, enum fly_need need);
struct fly_graph_features fly_engine_features(const struct fly_engine *engine, enum fly_eds_feature feature);
unsigned fly_engine_tell_graphs(struct fly_engine *engine); /* a bit 1 << modality for each map that may */

/* engine/hierarchies.c: trees in an arena of their own, and the histories of all maps in another (after the graphs);
 * the one piece of work on trees whose turn it is; what the maps show of trees, of graphs (those of the bits 1 <<
 * modality) and of few-shot, 1 when it may differ. */
FLY_MUST_USE int fly_engine_open_trees(struct fly_engine *engine, const struct fly_tree_config *tree,
                                       const struct fly_alloc *alloc);
size_t fly_engine_trees_need(const struct fly_engine *engine, const struct fly_tree_config *tree);
FLY_MUST_USE int fly_engine_open_histories(struct fly_engine *engine, const struct fly_alloc *alloc);
size_t fly_engine_histories_need(const struct fly_engine *engine, const struct fly_graph_config *graph,
                                 const struct fly_tree_config *tree);
int fly_engine_think_trees(struct fly_engine *engine, enum fly_need need);
int fly_engine_spare_trees(struct fly_engine *engine, enum fly_need need);
int fly_engine_trees_wait(const struct fly_engine *engine);
int fly_engine_tell_histories(struct fly_engine *engine, unsigned regrouped, int relabelled);

/* engine/regions.c */
FLY_MUST_USE int fly_engine_open_regions(struct fly_engine *engine, const struct fly_region_config *region,
                                         const struct fly_alloc *alloc);
void fly_engine_close_regions(struct fly_engine *engine);
size_t fly_engine_regions_need(const struct fly_engine *engine);

/* engine/quality.c: what it reserves, after the quantifier, whose configuration is lent; data of a frame are about to be
 * put in; lines that were taken; a shift that was; no more will come. */
FLY_MUST_USE int fly_engine_open_quality(struct fly_engine *engine, const struct fly_quantify_config *quantify,
                                         const struct fly_alloc *alloc);
void fly_engine_close_quality(struct fly_engine *engine);
size_t fly_engine_quality_need(const struct fly_engine *engine);
void fly_engine_quality_begin(struct fly_engine *engine, int64_t frame);
void fly_engine_quality_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect, const void *pixels,
                              const struct fly_taken *taken);
void fly_engine_quality_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px);
void fly_engine_quality_finish(struct fly_engine *engine);
int fly_engine_measure_drift(struct fly_engine *engine); /* of the next frame that is there: 1, it was */
void fly_engine_judge_drift(struct fly_engine *engine);  /* engine/adoption.c: it was measured */

/* engine/dose.c: the ledger in an arena of its own (after quality); what image and photons that came tell it. rc: of the
 * room that took them, which may have had none for what the specimen had all the same. */
FLY_MUST_USE int fly_engine_open_ledger(struct fly_engine *engine, const struct fly_alloc *alloc);
size_t fly_engine_ledger_need(const struct fly_engine *engine);
void fly_engine_book_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect, uint64_t dwell_ns,
                           int64_t stamp, int rc, const struct fly_taken *taken);
void fly_engine_book_photons(struct fly_engine *engine, const struct fly_photons *photons, int64_t stamp, int rc,
                             const struct fly_eds_taken *taken);

/* engine/steering.c: what it reserves, after the ledger; an epoch was made, 1: a map may differ by it. */
FLY_MUST_USE int fly_engine_open_steering(struct fly_engine *engine, const struct fly_alloc *alloc);
void fly_engine_close_steering(struct fly_engine *engine);
size_t fly_engine_steering_need(const struct fly_engine *engine);
void fly_engine_steering_epoch(struct fly_engine *engine, int anything);

/* engine/damage.c: what it reserves, after quality; chips took a frame of lines or of photons; a frame is being shifted, what
 * quality knows of it is the shift before; what it has found. */
FLY_MUST_USE int fly_engine_open_damage(struct fly_engine *engine, const struct fly_quantify_config *quantify,
                                        const struct fly_alloc *alloc);
void fly_engine_close_damage(struct fly_engine *engine);
size_t fly_engine_damage_need(const struct fly_engine *engine);
void fly_engine_damage_lines(struct fly_engine *engine, int64_t frame, uint64_t dwell_ns);
void fly_engine_damage_photons(struct fly_engine *engine, int64_t frame, uint64_t dwell_ns);
void fly_engine_damage_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px);
void fly_engine_damage_finish(struct fly_engine *engine);
void fly_engine_tell_damage(const struct fly_engine *engine, struct fly_quality_damage *told);

/* engine/reliability.c: chips that assembly is to halve, how many (0: nothing is measured); what it reserves, after the
 * graphs; few-shot compares another feature; the one step whose turn it is, 1 when it was done; is the last measurement
 * due, or one under way? */
int32_t fly_engine_halved(const struct fly_engine_config *config, int32_t chips[FLY_RELIABILITY_CHIPS]);
FLY_MUST_USE int fly_engine_open_reliability(struct fly_engine *engine, const struct fly_alloc *alloc);
void fly_engine_close_reliability(struct fly_engine *engine);
size_t fly_engine_reliability_need(const struct fly_engine *engine);
void fly_engine_reliability_refeature(struct fly_engine *engine);
int fly_engine_reliability_step(struct fly_engine *engine, enum fly_need need);
int fly_engine_reliability_waits(const struct fly_engine *engine);

/* engine/levels.c: how many there are; a chip's dwell is that, 0: it is incomplete, and when all that came is told, what
 * follows of the least; exposures (FLY_LEVELS) of a chip for its embedding; support chips are others; before an epoch,
 * the level of each chip, 1: prototypes are to be made anew; what prototypes of a level are made of. */
int32_t fly_engine_count_levels(const struct fly_engine *engine);
void fly_engine_set_dwell(struct fly_engine *engine, int32_t chip, double dwell_ns);
void fly_engine_settle_least(struct fly_engine *engine);
void fly_engine_dwell_told(struct fly_engine *engine, int is_known); /* of data that came */
void fly_engine_forget_levels(struct fly_engine *engine, int32_t chip);
void fly_engine_exposures(const struct fly_engine *engine, int32_t chip, double *exposures);
void fly_engine_take_levels(struct fly_engine *engine, int32_t i, int32_t chip); /* of the i-th picked, as embedded */
void fly_engine_level_support(struct fly_engine *engine);
double fly_engine_level_missing(const struct fly_engine *engine, int32_t level); /* of the support chips that speak */
int fly_engine_settle_levels(struct fly_engine *engine);
struct fly_features fly_engine_level_features(const struct fly_engine *engine, int32_t level);

/* engine/embedding.c: the intensity range from frame 0 (are its rows there?) or another; chips whose pixels
 * changed join the queue or leave it; embed the next of a level. */
int fly_engine_range_there(struct fly_engine *engine);
void fly_engine_settle_range(struct fly_engine *engine, int64_t frame);
void fly_engine_image_changed(struct fly_engine *engine, int64_t stamp);
int fly_engine_can_embed(const struct fly_engine *engine);
void fly_engine_embed(struct fly_engine *engine, enum fly_queue_level level);

/* engine/quantities.c: open a quantifier in an arena of its own; chips whose photons changed, and those that may
 * borrow from them, join the queue or leave it; make the next compositions of a level; another feature is
 * compared from here on: every label may differ, those of chips without it are taken back. */
FLY_MUST_USE int fly_engine_open_quantifier(struct fly_engine *engine, const struct fly_quantify_config *config,
                                            const struct fly_alloc *alloc);
void fly_engine_eds_changed(struct fly_engine *engine, int64_t stamp);
void fly_engine_quantify(struct fly_engine *engine, enum fly_queue_level level);
void fly_engine_feature_changed(struct fly_engine *engine);

/* engine/looking.c: h rows of the image from y0 on are others than before. */
void fly_engine_rows_changed(struct fly_engine *engine, int32_t y0, int32_t h);

/* engine/scoring.c: few-shot scores of what changed since the last epoch, in every modality; consumes
 * support_changed and ensemble_changed, leaves `changed` to its caller. 1: a map may differ. How much of a member of any
 * class a scored chip is (fly_unknown_known), by the numbers of the last epoch; NaN: nothing tells. */
int fly_engine_score(struct fly_engine *engine);
double fly_engine_known(const struct fly_engine *engine, enum fly_modality modality, int32_t chip);

#endif
