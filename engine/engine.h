/* engine/engine.h: the public face of the engine: pixels and photons in, labelled maps out.
 *
 * The engine is a function of its inputs. It has no clock, socket, thread or file; it works in small
 * resumable steps through the executor it is handed, and never blocks. Putting data in is cheap
 * (assembly alone); thinking is done by fly_engine_step, one unit of embedding or of quantification a
 * call, what chips need for the first time before revisions; fly_engine_epoch then scores what changed
 * and makes it the published state.
 *
 *   lines ────▶ assemble ──▶ chips dirty ──step──▶ embed ─────┐
 *                                                             ├─epoch─▶ scores ──▶ maps
 *   photons ──▶ assemble ──▶ chips dirty ──step──▶ quantify ──┘
 *                                └─────── few-shot by spectrum ───────┘
 *
 * Prefix-exact: with nothing left to step, the state after an epoch equals the batch computation on
 * the same inputs, whatever their order, subdivision or repeats (promise 1 of the house).
 *
 * Axes     y down the slow scan, x along the fast scan, origin top left; chip k = row * cols + col.
 * Memory   all of it is reserved by open, from the geometry.
 * Threads  one at a time; parallel work goes through the executor.
 */
#ifndef FLY_ENGINE_ENGINE_H
#define FLY_ENGINE_ENGINE_H

#include <stdint.h>

#include "engine/adoption.h"
#include "engine/base/arena.h"
#include "engine/base/dtype.h"
#include "engine/base/err.h"
#include "engine/base/exec.h"
#include "engine/chip/assemble.h"
#include "engine/chip/grid.h"
#include "engine/damage.h"
#include "engine/eds/quantify.h"
#include "engine/eds/spectra.h"
#include "engine/embed/embed.h"
#include "engine/graph/affinity.h"
#include "engine/graph/modularity.h"
#include "engine/label/calibrate.h"
#include "engine/label/fewshot.h"
#include "engine/label/support.h"
#include "engine/label/weights.h"
#include "engine/map/names.h"
#include "engine/map/story.h"
#include "engine/quality.h"
#include "engine/reliability.h"
#include "engine/region/spacing.h"
#include "engine/region/square.h"
#include "engine/steer/ledger.h"
#include "engine/steer/policy.h"
#include "engine/tree/ward.h"

struct fly_engine;

enum fly_profile { FLY_PROFILE_ROBUST = 0, FLY_PROFILE_PAPER };
enum fly_modality { FLY_HAADF = 0, FLY_EDS, FLY_ENSEMBLE, FLY_MODALITIES };
const char *fly_modality_name(enum fly_modality modality); /* "haadf", "eds", "ensemble" */

/* Every method labels every modality: a map is one pair of the two. */
enum fly_method { FLY_FEWSHOT = 0, FLY_COMMUNITY, FLY_WARD, FLY_METHODS };
const char *fly_method_name(enum fly_method method); /* "fewshot", "community", "ward" */
enum { FLY_MAPS = FLY_METHODS * FLY_MODALITIES };
static inline int fly_map_index(enum fly_method method, enum fly_modality modality)
{
    return (int)method * FLY_MODALITIES + (int)modality;
}
static inline enum fly_method fly_map_method(int map)
{
    return (enum fly_method)(map / FLY_MODALITIES);
}
static inline enum fly_modality fly_map_modality(int map)
{
    return (enum fly_modality)(map % FLY_MODALITIES);
}

const char *fly_profile_name(enum fly_profile profile);    /* "robust", "paper" */

/* What of a chip's X-rays is compared. */
enum fly_eds_feature { FLY_EDS_COMPOSITION = 0, FLY_EDS_SPECTRUM };

/* How chips are grouped by likeness: their affinity graphs (engine/graph) and the communities in them. */
struct fly_graph_config {
    enum fly_threshold_rule rule; /* which pairs are edges */
    double fixed;                 /* FLY_THRESHOLD_FIXED: those at least this alike */
    int binary;                   /* 1: an edge weighs 1, 0: its similarity */
    int32_t resolution;           /* 1 .. FLY_RESOLUTION_MAX; FLY_RESOLUTION_ONE is 1, more makes smaller
                                   * communities */
    double weights[2];            /* of haadf and eds in the ensemble's similarity: >= 0, not both 0 */
    int by_reliability;           /* robust, 1: from these on, weights follow engine/reliability.h */
    enum fly_eds_feature feature; /* of eds; without quantification it is the spectrum */
    int64_t min_counts;           /* robust: a spectrum of fewer photons is too little to be compared */
};

/* How chips are grouped by Ward's hierarchies (engine/tree): of images, of X-rays, and by the vote of both. */
struct fly_tree_config {
    int32_t k;                    /* clusters of each, 1 .. FLY_TREE_K_MAX */
    enum fly_eds_feature feature; /* of eds; without quantification it is the spectrum */
    int64_t min_counts;           /* robust: a spectrum of fewer photons is too little to be compared */
};
enum { FLY_TREE_K_MAX = 64 };

/* What lengths are, and which lattice spacings are looked for (engine/region/spacing.h). */
struct fly_region_config {
    double pixel_nm[2]; /* y, x; not above 0, or NaN: not known, and spacings come out in px */
    double d_nm[2];     /* least and largest; 0, 0: spacing.h's default */
};

struct fly_engine_config {
    struct fly_grid grid;
    enum fly_profile profile;

    int has_image;            /* 0: the session has no image detector */
    enum fly_dtype dtype;     /* of the image */
    double lo, hi;            /* intensity range; 0, 0: taken from the data, see haadf_range_rows */
    int32_t range_rows;       /* topmost chip rows whose 0.1 and 99.9 percentiles become the range */

    int32_t segments;         /* EDS segments summed; 0: the session has none */
    int32_t n_channels;       /* E */
    double ev_per_channel;    /* above 0 */

    /* How compositions are made, from the same axis; NULL: they are not. Lent for the call of open. In the robust
     * profile a chip with too few counts takes those of its eight neighbours with it, and says so. */
    const struct fly_quantify_config *quantify;
    enum fly_eds_feature fewshot_feature; /* without quantify it is the spectrum */

    const struct fly_graph_config *graph; /* NULL: no communities. Lent for the call of open. In the robust profile
                                           * cosines of spectra are freed of the dose, the threshold has
                                           * hysteresis, and nothing is told of noise */

    const struct fly_tree_config *tree; /* NULL: no hierarchies. Lent for the call of open */
    struct fly_region_config region;    /* without an image it is not looked at */

    int box_drift;            /* 1: the drift of frames made of boxes is measured, too (chip/box_drift.h) */

    int32_t frames_held;      /* engine/chip/assemble.h */
    int64_t frames_max;
    int64_t photons_held;     /* engine/eds/spectra.h */

    struct fly_embedder *embedder; /* lent for the life of the engine; NULL without an image, or when
                                    * embeddings are given (fly_engine_give_embeddings) */
    int32_t embed_width;      /* D of given embeddings; 0 with an embedder */
    int32_t step_chips;       /* chips of one step; 0: a batch for each thread of the executor. What a step
                               * is decides interim maps, so whoever follows a journal sets the same */

    double weights[2];        /* of haadf and eds in the ensemble: >= 0, not both 0. Robust: equal ones are learned
                               * from the support set (engine/label/weights.h), or follow reliability.h where it
                               * cannot teach any; others are taken as they are */
    double temperature;       /* of the softmax, > 0; the paper's is 1. Robust: times the calibrated one */

    size_t memory_limit;      /* bytes; beyond it open refuses */
};

/* FLY_ENOMEM  the reserve exceeds memory_limit (the message has both) or cannot be had
 * FLY_ERANGE  a number is outside its range */
FLY_MUST_USE int fly_engine_open(struct fly_engine **out, const struct fly_engine_config *config,
                                 const struct fly_exec *exec, const struct fly_alloc *alloc);
void fly_engine_close(struct fly_engine **engine);

/* ---- data in ----------------------------------------------------------------------------------- */

/* As fly_assembly_put and fly_spectra_put: same arguments, same refusals. stamp is the caller's (the
 * arrival time, > 0; 0: none): a chip that takes a frame by this carries it until its label is published, the
 * newest where several wait. */
FLY_MUST_USE int fly_engine_lines(struct fly_engine *engine, int64_t frame, struct fly_rect rect,
                                  const void *pixels, uint64_t dwell_ns, int64_t stamp,
                                  struct fly_taken *taken);
FLY_MUST_USE int fly_engine_photons(struct fly_engine *engine, const struct fly_photons *photons,
                                    int64_t stamp, struct fly_eds_taken *taken);

/* A stream that no map is made of (another detector, segments of another axis) reports a rectangle: the specimen had
 * that dose all the same. Within the scan (asserted); dwell and stamp as above. */
void fly_engine_exposed(struct fly_engine *engine, int64_t frame, struct fly_rect rect, uint64_t dwell_ns,
                        int64_t stamp);

/* A frame's shift against the reference, for image, photons and dose alike. */
FLY_MUST_USE int fly_engine_shift(struct fly_engine *engine, int64_t frame, int32_t dy_px, int32_t dx_px);

/* No more data will come: partial frames are taken, the intensity range is settled. */
void fly_engine_finish(struct fly_engine *engine);

/* (K, D) embeddings in place of an embedder's; a chip counts as embedded when its pixels are complete.
 * Only for an engine opened with embed_width. Call before data come. */
void fly_engine_give_embeddings(struct fly_engine *engine, const float *embeddings);

/* ---- what a person says ------------------------------------------------------------------------- */

/* Change it through the fly_support functions, then call fly_engine_support_changed. */
struct fly_support *fly_engine_support(struct fly_engine *engine);
void fly_engine_support_changed(struct fly_engine *engine);

/* FLY_ERANGE: a weight below 0, both 0, or a temperature not above 0: nothing changed. */
FLY_MUST_USE int fly_engine_set_ensemble(struct fly_engine *engine, const double weights[2],
                                         double temperature);

/* What few-shot compares from here on; all of it is scored again, by what there is: a complete chip whose first
 * composition waits is pending until it is made. FLY_ERANGE: composition, in a session without quantification:
 * nothing changed. */
FLY_MUST_USE int fly_engine_set_fewshot_feature(struct fly_engine *engine, enum fly_eds_feature feature);
enum fly_eds_feature fly_engine_fewshot_feature(const struct fly_engine *engine);

/* Another threshold, resolution or weights of the graphs, in force at once. FLY_ERANGE: a number outside its
 * range, another feature or other weights of edges than at open, or no graphs: nothing changed. */
FLY_MUST_USE int fly_engine_set_graph(struct fly_engine *engine, const struct fly_graph_config *config);

/* ---- thinking ----------------------------------------------------------------------------------- */

/* One unit of work: at most step_chips embeddings, or at most 64 compositions. First embeddings come first, then
 * first compositions, then revisions of both in turn. A composition is made again when the chip's photons
 * changed, and in the robust profile when those of a neighbour did that it borrows from or might. Embeddings wait
 * for the intensity range, compositions do not. Graphs, hierarchies and halves (reliability.h) have their turn between
 * revisions, and where none waits. Which unit is done follows from the calls before alone, never from the executor.
 * FLY_OK: did some; FLY_EAGAIN: nothing is left that can be done. */
int fly_engine_step(struct fly_engine *engine);
int32_t fly_engine_step_chips(const struct fly_engine *engine); /* as in force */

/* Chips that wait for an embedding and chips that wait for a composition, together: one that waits for both
 * counts twice. first: those that have none yet; revisions: the others; either may be NULL. While the range is
 * unknown it is not 0 though nothing can be stepped. */
int32_t fly_engine_backlog(const struct fly_engine *engine, int32_t *first, int32_t *revisions);

/* 1: chips wait for embedding, composition or the graphs; 0: what steps are left only seek better answers. */
int fly_engine_busy(const struct fly_engine *engine);

/* 1: an epoch may show other communities than the last one. */
int fly_engine_regrouped(const struct fly_engine *engine);

/* 1: an epoch without news would show chips under the label that they have. */
int fly_engine_unsettled(const struct fly_engine *engine);

/* Score what changed since the last epoch, by the embeddings and compositions that steps have made and the spectra
 * as they are, and make it the state that the views show. Returns 1 when anything in a map may differ from the
 * last epoch, else 0. */
int fly_engine_epoch(struct fly_engine *engine);

/* ---- looking ------------------------------------------------------------------------------------ */

/* Lent until the next epoch. Arrays (K). */
struct fly_map_view {
    const int32_t *labels;   /* class ids, or enum fly_label */
    const float *confidence; /* score of the label, 0 .. 1; NaN where there is no class label */
    const uint32_t *age;     /* revisions of the chip so far: 0 when labelled for the first time */
    const int64_t *stamp;    /* of the newest data in the label that the last epoch made; 0: unchanged by it */
    const int32_t *shown;    /* robust: labels as a person's eye follows them best (engine/map/debounce.h): a new one
                              * is there when two maps in a row have had it. At once: what a person changed since
                              * the last epoch; and everything in an epoch without news, and once no more data will
                              * come. NULL in the paper profile */
};
/* FLY_COMMUNITY where there is no graph: all NULL. */
void fly_engine_map(const struct fly_engine *engine, enum fly_method method, enum fly_modality modality,
                    struct fly_map_view *view);

/* A modality's affinity graph as of the last epoch. */
struct fly_graph_view {
    double modularity; /* of the communities, told or not; NaN with fewer than two chips in the graph */
    double threshold;  /* NaN the same */
    int32_t bin;       /* of the mode, -1 for other rules */
    int32_t chips;     /* in the graph */
    int64_t edges;
    int32_t communities; /* of three chips or more, told; 0 where nothing is */
    int told;          /* 0: no more structure than chance gives */
};

/* Communities are labels of the method FLY_COMMUNITY: ids that stay, never given twice; FLY_LABEL_TOO_LITTLE
 * where a chip has too few counts to be compared or nothing is told, -4 in communities of fewer than three
 * chips. Confidence is the share of the weight of its edges that a chip has within its community. age counts
 * revisions as few-shot's does, stamp is 0. Before fly_engine_finish they are the answer in hand, by which way
 * it was come to; in the epoch that follows it with nothing left to step, the exact ones. */
void fly_engine_graph(const struct fly_engine *engine, enum fly_modality modality, struct fly_graph_view *view);
int fly_engine_has_graph(const struct fly_engine *engine, enum fly_modality modality);

/* The exact communities of all that was stepped, ids by first appearance: a function of embeddings and spectra
 * alone, whatever was asked before or since. Not while fly_engine_busy. labels and confidence (K).
 * FLY_ERANGE: no graph of that modality. */
FLY_MUST_USE int fly_engine_exact(struct fly_engine *engine, enum fly_modality modality, int32_t *labels,
                                  float *confidence, struct fly_graph_view *view);

/* Where a modality's hierarchy is cut, as of the last epoch. The k clusters are the partition at every height from
 * parted to merged: the wider that gap, the plainer is k. */
struct fly_tree_view {
    int32_t k;      /* asked for */
    int32_t chips;  /* in the tree */
    double parted;  /* height at which k + 1 clusters become k; 0 with no more than k chips */
    double merged;  /* at which k become k - 1; infinite for k = 1. Both NaN without chips, and of the ensemble */
};

/* Labels of the method FLY_WARD: ids that stay, never given twice; -3 where a chip has too few counts. Confidence
 * is engine/tree/ward.h's, of the vote the lower of the two. The partition is at every epoch the exact one of the
 * chips taken in. */
void fly_engine_tree(const struct fly_engine *engine, enum fly_modality modality, struct fly_tree_view *view);
int fly_engine_has_tree(const struct fly_engine *engine, enum fly_modality modality);

/* All merges of the hierarchy of haadf or eds as of the last step (engine/tree/ward.h), count - 1 of count chips; NULL:
 * there is none. */
const struct fly_ward_merge *fly_engine_merges(const struct fly_engine *engine, enum fly_modality modality,
                                               int32_t *merges);

/* The same clusters numbered by first appearance, with their confidence; (K). Not while fly_engine_busy, and after an
 * epoch. FLY_ERANGE: no hierarchy of that modality. */
FLY_MUST_USE int fly_engine_ward_exact(const struct fly_engine *engine, enum fly_modality modality, int32_t *labels,
                                       float *confidence);

/* Another cut, in force at the next epoch. FLY_ERANGE: k outside 1 .. FLY_TREE_K_MAX, or no hierarchies. */
FLY_MUST_USE int fly_engine_set_tree_k(struct fly_engine *engine, int32_t k);

/* What became of the clusters of a map in the last epoch that changed it (engine/map/story.h), lent until the next
 * epoch; NULL: there is no such map. fresh: 1 when that was the last epoch. */
const struct fly_story *fly_engine_story(const struct fly_engine *engine, int map, int *fresh);

/* What a person calls the clusters of a map; change it through the fly_names functions. NULL: no such map. */
struct fly_names *fly_engine_names(struct fly_engine *engine, int map);

/* The largest square of each cluster: squares (n_ids) of the labels ids (n_ids), ascending, in labels (K); of chips
 * whose image is complete. n = 0: it has none. */
void fly_engine_squares(struct fly_engine *engine, const int32_t *labels, const int32_t *ids, int32_t n_ids,
                        struct fly_square *squares);
int32_t fly_engine_square_px(const struct fly_engine *engine, struct fly_square square);
/* The side of its power spectrum. */
int32_t fly_engine_power_px(const struct fly_engine *engine, struct fly_square square);

/* The lattice in a square of the mean image so far, by the profile's definition (spacing.h). power: NULL, or
 * fly_engine_power_px squared. FLY_EAGAIN: there is no image, or no square. */
FLY_MUST_USE int fly_engine_lattice(struct fly_engine *engine, struct fly_square square, struct fly_spacing *out,
                                    float *power);

/* How crystalline the image is around a chip, 0 .. 1 (crystallinity.h), by the complete chips among those around it;
 * NaN: not measured, or cannot be told. Kept until one of them changes, or the range of spacings does. known: 1 where
 * nothing is to be computed; else it takes about 0.06 ms for chips of 10 px. */
float fly_engine_crystallinity(struct fly_engine *engine, int32_t chip);
int fly_engine_crystallinity_known(const struct fly_engine *engine, int32_t chip);

/* FLY_ERANGE: the range is none: nothing changed. */
FLY_MUST_USE int fly_engine_set_d_range(struct fly_engine *engine, const double d_nm[2]);

/* What other thresholds would give: fills all but `threshold` of each point. About 15 ms a point at 2601
 * chips; leaves everything as it is. FLY_ERANGE as above. */
struct fly_graph_point {
    double threshold;    /* 0 .. 1.9 */
    double modularity;   /* best of 4 orders */
    int64_t edges;
    int32_t communities; /* of three chips or more */
    int32_t minor_chips; /* in smaller ones */
    double ami_now;      /* with the communities as of the last epoch; NaN without any */
    double ami_fewshot;  /* with the few-shot labels of the modality; NaN without any */
};
FLY_MUST_USE int fly_engine_curve(struct fly_engine *engine, enum fly_modality modality,
                                  struct fly_graph_point *points, int32_t count);

/* The graph itself (engine/graph/affinity.h), NULL where there is none; for `analyze`. */
const struct fly_affinity *fly_engine_affinity(const struct fly_engine *engine, enum fly_modality modality);

/* 1: the oldest jump of a threshold not told yet (affinity.h). */
int fly_engine_jump(struct fly_engine *engine, enum fly_modality *modality, struct fly_threshold_jump *jump);

/* Robust: what few-shot in haadf or eds was calibrated by, and how the two are weighed (engine/label/calibrate.h,
 * weights.h), as of the last epoch; NULL in the paper profile. */
const struct fly_calibration *fly_engine_calibration(const struct fly_engine *engine, enum fly_modality modality);
const struct fly_joint *fly_engine_joint(const struct fly_engine *engine);

/* Scores (K, FLY_CLASSES_MAX) and distances of a modality as of the last epoch; distances are NULL for the
 * ensemble. */
const double *fly_engine_scores(const struct fly_engine *engine, enum fly_modality modality);
const double *fly_engine_distances(const struct fly_engine *engine, enum fly_modality modality);

/* (K, D), rows of chips never embedded are zero. measured: (K) 1 where embedded. */
const float *fly_engine_embeddings(const struct fly_engine *engine, int32_t *width,
                                   const uint8_t **measured);
/* (K, D) the same for comparing chips with chips, as graphs and hierarchies do: in the robust profile, of an embedder
 * that levels, as if no chip had been measured longer than about twice (2.0 to 2.2 times) as long as the tenth of the chips
 * that were measured least. Of a raster, whose frames are whole but for the one that is coming in, they are the
 * embeddings. */
const float *fly_engine_comparable(const struct fly_engine *engine);
/* (K, E), as taken so far; measured: (K) 1 where complete, its composition made or not. NULL without EDS. */
const uint32_t *fly_engine_spectra(const struct fly_engine *engine, int32_t *channels,
                                   const uint8_t **measured);

/* The quantifier in use, NULL without one, and atomic percents (K, n) in the order of its elements as of the last
 * step; status (K) enum fly_quantify_status. Rows of chips not complete, or whose first composition waits, are
 * zero (and FLY_QUANTIFY_OK), of those with too few counts NaN. */
const struct fly_quantifier *fly_engine_quantifier(const struct fly_engine *engine);
const double *fly_engine_percent(const struct fly_engine *engine, int32_t *n_elements, const uint8_t **status);

/* Standard deviations of those percents, (K, n) in the same order, and how often rows of them changed so far. NULL
 * without a quantifier. */
const float *fly_engine_percent_sigma(const struct fly_engine *engine, uint64_t *changes);

/* The composition of a spectrum of counts, (E). FLY_EAGAIN: there is no quantifier. */
FLY_MUST_USE int fly_engine_compose(struct fly_engine *engine, const uint64_t *spectrum,
                                    struct fly_composition *composition);

/* All that is known of one chip's composition, made anew from the spectra as they are, ahead of steps. FLY_EAGAIN:
 * not complete, or no quantifier. */
FLY_MUST_USE int fly_engine_composition(struct fly_engine *engine, int32_t chip,
                                        struct fly_composition *composition);

/* The composition of the summed spectra of the complete chips with this label, labels (K). Returns how many
 * those are; 0, and nothing is filled, also without a quantifier. O(chips of the label * E). */
int32_t fly_engine_region(struct fly_engine *engine, const int32_t *labels, int32_t label,
                          struct fly_composition *composition);

/* The chip's mean image, (S, S). FLY_EAGAIN: not complete. */
FLY_MUST_USE int fly_engine_chip_mean(const struct fly_engine *engine, int32_t chip, double *mean);

/* Mean image so far of a rectangle of the scan, NaN where nothing was measured; (h, w). */
void fly_engine_peek(const struct fly_engine *engine, struct fly_rect rect, float *out);

/* When rows of that image last changed: (H) numbers of `newest`, which counts changes. NULL without an image. */
const uint64_t *fly_engine_rows(const struct fly_engine *engine, uint64_t *newest);

/* Intensity range in force: 1 and lo, hi when settled, else 0. */
int fly_engine_range(const struct fly_engine *engine, double *lo, double *hi);

double fly_engine_coverage(const struct fly_engine *engine); /* of image pixels, 0 .. 1; NaN without image */
const struct fly_grid *fly_engine_grid(const struct fly_engine *engine);

/* Dwell that every chip has had, us, as mean over its pixels and in the pixel that had most; (K), lent until the next
 * call of fly_engine_dose or _ledger. The latter tells more (engine/steer/ledger.h), and what is not NULL. */
void fly_engine_dose(struct fly_engine *engine, const float **mean_us, const float **max_us);
void fly_engine_ledger(struct fly_engine *engine, struct fly_ledger_view *view, struct fly_ledger_counts *counts);
/* The same of every pixel of a rectangle of the scan; (h, w). */
void fly_engine_dose_pixels(const struct fly_engine *engine, struct fly_rect rect, float *us);

/* ---- what to measure next ----------------------------------------------------------------------- */

/* Another policy (engine/steer/policy.h), in force at the next plan; its defaults are in force at first. FLY_ERANGE: names
 * the field that is wrong: nothing changed. */
FLY_MUST_USE int fly_engine_set_steer(struct fly_engine *engine, const struct fly_steer_config *config);
const struct fly_steer_config *fly_engine_steer_config(const struct fly_engine *engine);

/* What a plan hangs on beside the maps and the dose. */
struct fly_plan_ask {
    int64_t now_ns;         /* in the time of the stamps that data came with */
    double survey_us;       /* dwell of a pixel of the survey: pixel_time_us, or what frame 0 came with */
    int surveyed;           /* 1: the survey has passed (a frame after it has begun, or its last line came); what is not
                             * measured was missed. 0: nothing is planned while chips that are not barred lack data */
    const uint8_t *barred;  /* (K) 1: not to be planned (masked, under way); NULL: none */
    int past_damage;        /* 1: chips that change under the beam (engine/damage.h) are planned as well */
    double dose_left_us;    /* mean dose that the map may still have, INFINITY: any; config.budget holds as well */
    double time_left_us;    /* beam time, the same */
    double beam_px[2];      /* y, x where the beam is; NaN: not known */
};

/* Plan from the maps as of the last epoch and the dose as of now; changes nothing that a map shows. Chips are sorted into
 * the classes of the support set by the scores of the ensemble, or of the one modality that there is; where fewer
 * than two classes can be told apart, into the clusters of Ward's hierarchy (engine/steering.h says how). The same calls before
 * it give the same plan, to the bit.
 *
 * FLY_EAGAIN  nothing to plan from: no epoch yet, fewer than two classes and clusters, or the survey goes on
 * FLY_ERANGE  a number of the ask is outside its range, or the scan has more than FLY_STEER_CHIPS_MAX chips */
FLY_MUST_USE int fly_engine_plan(struct fly_engine *engine, const struct fly_plan_ask *ask, struct fly_steer_plan *out);

/* What is kept from plan to plan, to be packed and restored (fly_steer_state_pack). NULL: more than FLY_STEER_CHIPS_MAX
 * chips, nothing is planned. */
struct fly_steer *fly_engine_steer(struct fly_engine *engine);

/* What is kept was restored from an engine that counted epochs and births on its own: from here on this one's count. */
void fly_engine_steer_anew(struct fly_engine *engine);

/* The pixels of a tile. */
struct fly_rect fly_engine_tile(const struct fly_engine *engine, const struct fly_steer_tile *tile);

/* Where the specimen has drifted to as frame `frame` is measured, as far as the frames before tell: what lay at pixel
 * (y, x) in the first one is found at (y - dy, x - dx) of the scan, and fly_engine_shift will be given the nearest whole
 * numbers (adoption.h). sigma_px grows with each frame of lines that began since, and with each number from the highest of them
 * to this, by as much as it moved from frame to frame before: the last step, or half the step before, or half of that, ...,
 * whichever is most.
 * FLY_EAGAIN: no frame was found yet, or nothing is adopted: then nothing is to be moved. */
int fly_engine_drift_now(const struct fly_engine *engine, int64_t frame, double drift_px[2], double sigma_px[2]);

/* Work done so far: they only grow. */
struct fly_engine_counts {
    uint64_t embedded_first, embedded_again; /* chips */
    uint64_t chips_scored;                   /* chip x modality scorings */
    uint64_t prototypes_made;
    uint64_t chips_quantified;               /* compositions made by steps, first ones and revisions */
    uint64_t features_changed;               /* chip x modality: an embedding, and what few-shot compares of the
                                              * X-rays, that data or a step made new or took back: how much the
                                              * next epoch has to show is the difference to the last one */
    uint64_t graph_updates;                  /* blocks of chips taken into the graphs */
    uint64_t pairs_compared;                 /* similarities made, graph by graph */
    uint64_t codes_changed, edges_flipped;   /* of pairs */
    uint64_t nodes_visited, nodes_moved;     /* chips, looking for the community that suits them best */
    uint64_t rows_read;                      /* of a graph, by that */
    uint64_t tree_updates;                   /* times that chips were taken into a hierarchy */
    uint64_t tree_distances;                 /* of clusters, in full width */
    uint64_t tree_merges_kept, tree_merges_made;
    uint64_t percents_changed;               /* compositions made, made again or taken back */
    uint64_t not_compared;                   /* spectra too large to be: a channel of 2^26 counts */
    uint64_t epochs;
    size_t bytes_reserved;
};
void fly_engine_count(const struct fly_engine *engine, struct fly_engine_counts *counts);

#endif
