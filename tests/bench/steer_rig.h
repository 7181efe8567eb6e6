/* tests/bench/steer_rig.h: a closed loop in one process: a specimen under a beam that goes where it is told, and the
 * engine that tells it. The specimen is simulated, or a recorded session (steer_session.h).
 *
 * The beam surveys the whole chip grid once (frame 0). From then on the engine makes a map of what there is, plans
 * (fly_engine_plan), and the beam measures the tiles of the plan as a new frame: again and again until the policy stops
 * or the budget is spent. Uniform policies go the same way, so that all are judged at the same moments by the same
 * inference: profile robust, few-shot with the simulator's support set, ensemble of image and X-rays.
 *
 * Recorded an exposure buys whole frames of each chip, one at least, as frames of their own; the survey buys the first.
 *          A chip whose frames are used up gives nothing: the cap of every policy is the number of frames.
 * Beam     what one exposure gives does not depend on the policy's other doings. Image pixels are intensities, as
 *          detectors with a converter tell them: counts over dwell, in sixteenths of a survey count. There is no drift:
 *          what the engine makes of drift is another matter than what to measure.
 * Time     of the beam: dwell, a flyback for each line, and for each tile settling and the way there, by the constants
 *          of the steering's config; the survey as one box. Thinking is free.
 * Dose     in survey dwells.
 * Memory   its own; mistakes of the rig end the program (measure.h).
 */
#ifndef FLY_TESTS_BENCH_STEER_RIG_H
#define FLY_TESTS_BENCH_STEER_RIG_H

#include "engine/engine.h"
#include "sim/beam.h"
#include "sim/specimen.h"
#include "sim/truth.h"
#include "tests/bench/steer_session.h"

struct steer_rig_config {
    const char *from;         /* a recorded session; NULL: simulated. It sets geometry and cap, and survey_us where that is
                               * 0; of the rest the policy's constants alone matter */
    const char *truth;        /* with from: a .npy of the chips' phases as `flyback sim --truth` writes it, or NULL */
    struct fly_geometry geometry;
    int32_t top_px;           /* lines of the specimen above the scan, which has the rest of the geometry's height */
    double inclusion;         /* sim/specimen.h */
    int taught;               /* 1: the inclusion is a class with a support of its own, half as many shots */
    int32_t shots;            /* support chips of a class */
    uint64_t seed;            /* of specimen and beam */
    uint64_t beam_stream;     /* another beam on the same specimen */
    double survey_us;         /* dwell of a pixel of the survey, longest dwell dwell_most of them */
    double dwell_most;
    double hits;              /* image counts of a survey pixel where the signal is 1 */
    double teach;             /* see steer_rig_teach; the caller's to do */
    double photons;           /* mean X-ray photons of a chip in the survey */
    int groups;               /* 1: communities and Ward's hierarchies, too */
    struct fly_steer_config steer;
};

/* The policy's defaults, but it does not stop by error or floor. Table II's first geometry. */
struct steer_rig_config steer_rig_default(void);

struct steer_rig {
    struct steer_rig_config config;
    struct fly_specimen *specimen;    /* those three NULL where it is recorded */
    struct fly_beam *beam;
    struct fly_truth *truth;
    struct steer_session *session;    /* NULL where it is simulated */
    struct fly_embedder *embedder;
    struct fly_engine *engine;        /* the session's where there is one */
    struct fly_exec exec;
    int32_t chips;                    /* K */
    int32_t frames;                   /* recorded; 0: simulated */
    int32_t *phase;                   /* (K) enum fly_phase, the truth; NULL: not known */
    int32_t class_of[FLY_PHASES];     /* of the support set; FLY_LABEL_UNKNOWN: nobody taught it */
    uint8_t *taught;                  /* (K) 1: a support chip */
    float *dose;                      /* (K) survey dwells that the beam gave */
    int64_t frame;                    /* frames measured so far */
    int32_t plans;
    double time_us;
    double beam_px[2];
    double cost_told_us;              /* of all plans, as they said */
    struct fly_steer_plan plan;       /* the last */
    uint16_t *pixels, *channels;      /* of one shot */
    uint32_t *row_ptr;
    size_t channel_cap;
};

void steer_rig_open(struct steer_rig *rig, const struct steer_rig_config *config);
void steer_rig_close(struct steer_rig *rig);

/* Expose the whole grid for that many survey dwells, as the next frame, and think. */
void steer_rig_pass(struct steer_rig *rig, double dwells);

/* Expose one chip alone; part of the next frame, which steer_rig_think ends. */
void steer_rig_chip(struct steer_rig *rig, int32_t chip, double dwells);

/* What a person does who knows that every chip is compared with those that were clicked: expose these for that many
 * survey dwells more, and think. */
void steer_rig_teach(struct steer_rig *rig, double dwells);
void steer_rig_think(struct steer_rig *rig);

/* Plan, and expose what was planned. 0: there was nothing to expose, and rig->plan says why. */
int steer_rig_step(struct steer_rig *rig);

double steer_rig_mean_dose(const struct steer_rig *rig);

#endif
