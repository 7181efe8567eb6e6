/* plugin/engine_state.h: the engine stage's insides, shared by the files that make it up. */
#ifndef FLY_PLUGIN_ENGINE_STATE_H
#define FLY_PLUGIN_ENGINE_STATE_H

#include "plugin/clusters.h"
#include "plugin/crystal.h"
#include "plugin/curve.h"
#include "plugin/journal.h"
#include "plugin/quality.h"
#include "plugin/ring.h"
#include "plugin/stage_engine.h"
#include "plugin/steering.h"
#include "plugin/sweep.h"

enum {
    FLY_STAGE_JOBS = 256,
    FLY_STAGE_FRAMES_MAX = 1 << 20, /* frames beyond are not assembled */
    FLY_STAGE_SHIFTS_OWED = 16, /* the journal is on disk within recording.sync_ms: no more frames begin meanwhile */
};

/* A command whose data are counted. */
struct fly_stage_order {
    struct fly_answer answer;
    int64_t frame;
    int32_t frames, n_targets;
    struct fly_target targets[FLY_DECISION_TARGETS];
};

struct fly_stage_steer {
    struct fly_steer_orders orders;
    struct fly_stage_order sent[2];    /* the newest and the one before it */
    uint8_t *barred;                   /* (K) scratch */
    int64_t highest;                   /* frame, -1: none */
    double survey_us;                  /* 0: not known */
    int surveyed, bottoms;
    uint8_t bottom[FLY_STREAMS_MAX];   /* the last line of frame 0 came */
    uint64_t planned_epoch, planned_again;
    int64_t not_before_ns;             /* monotonic */
    int64_t last_number;               /* of decisions */
    int resting;                       /* all that was wanted rests: it is looked at again */
    int32_t state_wait;                /* decisions until the policy's state is kept again */
    int failure_told, no_dwell_said;
    struct fly_helm_memory memory;     /* while a restart reads back */
    struct fly_steering_inputs inputs;
    struct fly_steer_plan plan;
    struct fly_decision decision;
};

struct fly_stage_engine {
    struct fly_stage_engine_config config;
    struct fly_ring inputs, spent, jobs, replies;
    int wake_fd;
    atomic_int sleeps;

    struct fly_session *session; /* stands after its stop, until the next start */
    struct fly_session_info *info;
    int draining, ended;
    struct fly_session_end end;
    atomic_uint_fast64_t done_serial;

    uint64_t as_of[FLY_STREAMS_MAX];
    uint64_t last_ticket;       /* of the last input taken in */
    struct fly_trace trace;
    uint64_t shown;             /* features_changed of the engine at the last epoch */
    int urgent;                 /* a person changed something: cut the epoch now */
    int64_t epoch_ns;           /* when the last epoch was cut */
    struct fly_map_set maps;
    struct fly_clusters *clusters; /* scratch */
    struct fly_cluster_news news[FLY_MAPS];
    int clusters_due[FLY_MAPS];    /* the map changed since its groups were told of */
    int clusters_next;
    int64_t clusters_ns;           /* not before */
    struct fly_engine_counts told; /* as already added to the bus's counters */
    int range_told;
    int32_t names_waiting;         /* as last told */
    int64_t unassembled_told_ns;
    struct fly_job *exact[FLY_STAGE_JOBS]; /* wait until nothing is left to embed; no input is taken then */
    int32_t n_exact;
    struct fly_job *curves[FLY_STAGE_JOBS]; /* graph.curve: the first is under way */
    int32_t n_curves;
    struct fly_curve_job curve;
    int curve_begun;
    struct fly_job *crystals[FLY_STAGE_JOBS]; /* crystallinity.get: the first is under way */
    int32_t n_crystals, crystal_next;
    struct fly_job *sweeps[FLY_STAGE_JOBS]; /* image.get, region.get: the first is under way */
    int32_t n_sweeps;
    struct fly_sweep sweep;
    int32_t unknown_regions;           /* of few-shot, when last counted */
    int64_t jump_ns[FLY_MODALITIES];   /* when one was last told of */
    struct fly_quality_watch quality;
    int quality_due;                   /* data came, or were thought about, since it was told */
    int64_t quality_ns;                /* not before */
    struct fly_stage_steer steer;
    uint64_t begun[FLY_STAGE_FRAMES_MAX / 64]; /* bits of frames: anything came of it */
    int64_t shift_owed[FLY_STAGE_SHIFTS_OWED]; /* frames that a restart read back without the shift they began with */
    int32_t n_shifts_owed;
    int32_t shift_told[2];             /* y, x: adopted, as last told */
    int64_t refusal_ns[FLY_ADOPT_VERDICTS]; /* when one was last told of */
    struct fly_dose dose;              /* as last posted */
    int64_t dose_ns;                   /* not before */
};

/* ---- engine_tell.c: what the stage says of what the engine did --------------------------------- */

struct fly_recorder *fly_stage_recorder(const struct fly_stage_engine *stage); /* NULL: not open */
int64_t fly_stage_unix_ns(const struct fly_stage_engine *stage);

/* What was thought since the last mark goes into the journal. */
void fly_stage_mark_journal(struct fly_stage_engine *stage, enum fly_mark mark, uint64_t epoch);

/* Score what changed, post the maps and the counters. final: the session's last. */
void fly_stage_cut_epoch(struct fly_stage_engine *stage, int final);

/* The intensity range, once. */
void fly_stage_tell_range(struct fly_stage_engine *stage);

/* With nothing left to do: names out of the recording whose clusters are not found. */
void fly_stage_tell_waiting(struct fly_stage_engine *stage);

/* What the groups of a map are made of, if it changed since; of the next map, if it is time. */
int fly_stage_tell_clusters(struct fly_stage_engine *stage, int map);
void fly_stage_tell_next_clusters(struct fly_stage_engine *stage);

/* Data quality, if it is time; final: now, with all that there is. Nothing that a journal need know of. */
void fly_stage_tell_quality(struct fly_stage_engine *stage, int final);

/* Shifts of the frames measured since, and of one that begins, where they are to be adopted (engine/adoption.h): each goes
 * into the journal as a request of the stage's own, and then acts. */
void fly_stage_adopt_shifts(struct fly_stage_engine *stage);
void fly_stage_adopt_ahead(struct fly_stage_engine *stage, int64_t frame);

/* Dose, if it changed and it is time; final: now. */
void fly_stage_tell_dose(struct fly_stage_engine *stage, int final);

/* ---- engine_steer.c ------------------------------------------------------------------------------ */

void fly_stage_steer_open(struct fly_stage_engine *stage);  /* a session begins */
void fly_stage_steer_close(struct fly_stage_engine *stage);
void fly_stage_steer_data(struct fly_stage_engine *stage, const struct fly_ingest *msg); /* lines or eds came in */

/* What the journal says of the time before a restart; more: the record's second part, or empty. */
void fly_stage_steer_recall(struct fly_stage_engine *stage, const char *op, struct fly_value args,
                            const struct fly_part *more);

/* Decide, if it is time: 1 did. due: monotonic ns of the next time, as far as it is known; INT64_MAX: at no time. */
int fly_stage_steer(struct fly_stage_engine *stage);
int64_t fly_stage_steer_due(struct fly_stage_engine *stage);

#endif
