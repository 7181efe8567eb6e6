/* plugin/steering.h: one decision: what a plan hangs on beside the data, how it is made, and how it is recorded.
 *
 * A decision is a function of the session (its data, epochs and requests) and of struct fly_steering_inputs, which
 * stands in the journal beside what came of it. So whoever follows a recording (decisions.h) makes it again, to the bit:
 *
 *   live      inputs ─▶ fly_steering_plan ─▶ outcome ─▶ journal, and fly_steering_decision ─▶ helm
 *   followed  journal ─▶ inputs ─▶ fly_steering_plan ─▶ outcome, compared with the journal's
 *
 * Record    a `steer.plan` of the journal (stream/RECORDING.md), with the policy's state in a second part
 *           now and then: a restart goes on from it, and so does whoever follows.
 * Threads   whoever has the session.
 */
#ifndef FLY_PLUGIN_STEERING_H
#define FLY_PLUGIN_STEERING_H

#include "plugin/decision.h"
#include "plugin/session.h"

enum { FLY_STEERING_RUNS_MAX = 1024 };

struct fly_steering_inputs {
    char decision_id[FLY_CMD_ID_MAX + 1];
    uint64_t epoch;
    enum fly_steer_mode mode;
    struct fly_steer_limits limits; /* of the owner */
    int64_t now_ns;                 /* monotonic */
    double survey_us;
    int surveyed;
    double beam_px[2];              /* NaN: not known */
    int32_t shift_px[2];            /* y, x: what lies at a pixel of the first frame is found so far before it now */
    double sigma_px;                /* of that, along the axis that is known worse; 0: nothing drifts */
    int32_t n_barred;               /* runs of chips */
    int32_t barred[FLY_STEERING_RUNS_MAX][2]; /* first, count */
    struct fly_as_of as_of;         /* of the maps it is made from */
};

/* The policy that options and limits make. dose_factor: e-/A^2 of a us, NaN where not known; then limits in e-/A^2 are not
 * held to, and fly_helm lets nobody have them. */
struct fly_steer_config fly_steering_config(const struct fly_options *options, const struct fly_start *start,
                                            const struct fly_steer_limits *limits, double dose_factor);

/* e-/A^2 of a us of dwell in this session; NaN: the start lacks beam current or pixel size. */
double fly_steering_dose_factor(const struct fly_session_info *info);

/* Mark the chips of boxes in barred (K), and those that a drift has carried out of the scan; then make runs of all that
 * is marked. */
void fly_steering_bar(uint8_t *barred, const struct fly_grid *grid, const struct fly_chip_box *boxes, int32_t n);
void fly_steering_bar_gone(uint8_t *barred, const struct fly_grid *grid, const int32_t shift_px[2]);
void fly_steering_runs(struct fly_steering_inputs *inputs, const uint8_t *barred, int32_t chips);

/* Plan from the last epoch. scratch (K) bytes. Codes of fly_engine_plan.
 *
 * Where the specimen is has to be known to a quarter of a chip: a target that is off by more both ways shows another chip
 * in half of its pixels. Beyond that only exploration is planned, a quarter as many chips as else, since what they show
 * measures the drift (the uniform policies go on with as few); beyond half a chip nothing is: FLY_EAGAIN. Each of these frames
 * that could not be measured brings sigma nearer to that; a frame that covers the middle of the scan ends it. */
FLY_MUST_USE int fly_steering_plan(struct fly_session *session, const struct fly_steering_inputs *inputs,
                                   uint8_t *scratch, struct fly_steer_plan *plan);

/* Why a plan proposes nothing, a sentence; "" of one that does. */
void fly_steering_why_nothing(char *out, size_t cap, const struct fly_steer_config *config,
                              const struct fly_steer_plan *plan);

/* What is told and commanded of a plan; a tile wider than limits.box_px goes as several boxes. */
void fly_steering_decision(struct fly_decision *decision, struct fly_session *session,
                           const struct fly_steering_inputs *inputs, const struct fly_steer_plan *plan);

/* ---- the record ---------------------------------------------------------------------------------- */

/* Pack {inputs, outcome, config hash} as the args of `steer.plan`; FLY_HEADER_MAX less some hundred bytes hold any. */
void fly_steering_pack(struct fly_pack *pack, struct fly_session *session, const struct fly_steering_inputs *inputs,
                       const struct fly_steer_plan *plan);
/* FLY_EWIRE: not the args of a steer.plan. */
FLY_MUST_USE int fly_steering_unpack(struct fly_value args, struct fly_steering_inputs *inputs);

/* The state of the policy as bytes (malloc; none of a session of too many chips to steer), and back. FLY_ENOMEM; FLY_EWIRE:
 * not a state of this session. */
FLY_MUST_USE int fly_steering_state(struct fly_session *session, unsigned char **bytes, size_t *len);
FLY_MUST_USE int fly_steering_restore(struct fly_session *session, const void *bytes, size_t len);
/* The same after a restart: epochs and births are counted anew (fly_engine_steer_anew). */
FLY_MUST_USE int fly_steering_recall(struct fly_session *session, const void *bytes, size_t len);

#endif
