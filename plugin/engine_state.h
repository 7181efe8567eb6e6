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
#include "plugin/sweep.h"

enum { FLY_STAGE_JOBS = 256 };

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

#endif
