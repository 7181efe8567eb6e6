/* engine/steering.h: how the engine's maps, dose and noise become what a plan looks at (engine/steer/policy.h).
 *
 * Classes     those of the support set that have chips, where there are two or more; their posteriors are the calibrated
 *             scores of the ensemble, or of the one modality of the session. A spectrum that says nothing leaves all
 *             classes alike. In the paper profile the scores are what they are: not calibrated.
 * Clusters    else: of Ward's hierarchy, of X-rays where there are any (their noise is what dose buys down most), and else
 *             of the image. Their posteriors are calibrated few-shot's power law (engine/label/calibrate.h), every chip
 *             of a cluster being a support chip of it: p_c ~ (1 + d_c^2 / (scatter + noise))^(-1 / tau), tau the prior's.
 * Novelty     1 - fly_unknown_known of the least ratio; with clusters, and with one shot a class, not known.
 * X-rays      rate = KL(a || b) * counts of a chip for a us: what a photon of a tells of it against b (Kullback, Leibler
 *             1951), of mean spectra of up to FLY_STEER_TEMPLATE_CHIPS chips each that are surely of a class, in bins of
 *             the resolution, each with one photon of the mean of all added; (B - 1)/2 (1/N_a + 1/N_b) of B bins is
 *             what noise alone makes of it (Miller 1955), and taken off. It is what the best judge would learn: the
 *             scores, which rest on distances, grow slower, so that need errs low and a plan is rather short than long.
 * Image       the score's own growth, as far as it is noise that dose lowers: with x = gap^2 / scatter between two
 *             prototypes, and s the noise's share of the scatter, log-odds f/tau log(2 + x) grow by f/tau x s / (2 + x)
 *             each time the dose grows e-fold. The noise is that of the halves of even and odd frames
 *             (engine/reliability.h), so that before a second frame the rate is not known. Scatter that dose does not lower gives none, and so the policy's floor.
 * Waiting     a chip whose data wait to be embedded, quantified or scored is barred: what is on its way may settle it.
 * Damage      a chip whose early and late data disagree is barred with its neighbours (engine/damage.h).
 * Unknown     exposures whose dwell nothing told count as one survey dwell each.
 *
 * Part of the engine, and of nobody else's concern: engine.h says what is seen outside.
 *
 * Memory   K C numbers four times, C as many classes as 2^20 / K, 8 .. FLY_STEER_CLASSES_MAX. None for more than
 *          FLY_STEER_CHIPS_MAX chips: nothing is planned then.
 */
#ifndef FLY_ENGINE_STEERING_H
#define FLY_ENGINE_STEERING_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/steer/policy.h"

struct fly_engine;

enum { FLY_STEER_TEMPLATE_CHIPS = 64 };

struct fly_steering_state {
    struct fly_arena arena;
    struct fly_steer *steer;  /* NULL: too many chips */
    struct fly_steer_config config;
    int32_t classes_cap;
    uint64_t epochs;          /* that changed a map */
    uint64_t births;          /* of few-shot classes and of clusters, told by the maps of the ensemble, or of the one
                               * modality */
    double image_noise;       /* expected squared error of an embedding, by halves of the chips sampled; NaN: not known */

    /* of the last plan */
    int32_t classes;
    int32_t class_id[FLY_STEER_CLASSES_MAX]; /* of the support set; or numbers of clusters */
    int by_cluster;
    double *posterior;        /* (K, C) */
    double *rate[2];          /* (C, C) of haadf and eds */
    double *composition_error; /* (C) */
    float *novel, *mean_us, *max_us; /* (K) */
    int32_t *label;           /* (K) class that is steered by, or -1 */
    int32_t *one[2];          /* (K) class by haadf, by eds, or -1 */
    uint8_t *measured, *barred, *taught; /* (K) */
    uint64_t *counts;         /* (E) */
    double *template;         /* (C + 1, bins) sums of counts; the last of all */
    double *centre;           /* (C, width) of clusters */
};

/* engine/steering_evidence.c: rates and composition errors of the classes of the last plan, from label and posterior.
 * 1: rates of the image are known. */
int fly_engine_image_rates(struct fly_engine *engine);
void fly_engine_eds_rates(struct fly_engine *engine);
void fly_engine_composition_errors(struct fly_engine *engine);

/* engine/steering_clusters.c: classes, label and posterior from Ward's clusters. FLY_EAGAIN: there are fewer than two. */
FLY_MUST_USE int fly_engine_steer_clusters(struct fly_engine *engine);

#endif
