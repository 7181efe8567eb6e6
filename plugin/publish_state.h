/* plugin/publish_state.h: the publisher stage's insides, shared by the files that make it up. */
#ifndef FLY_PLUGIN_PUBLISH_STATE_H
#define FLY_PLUGIN_PUBLISH_STATE_H

#include "plugin/clusters.h"
#include "plugin/helm.h"
#include "plugin/latency.h"
#include "plugin/maps.h"
#include "plugin/stage_publish.h"

enum fly_topic {
    FLY_TOPIC_START, FLY_TOPIC_MAP, FLY_TOPIC_CLUSTERS, FLY_TOPIC_METRICS, FLY_TOPIC_EVENT, FLY_TOPIC_HEARTBEAT, FLY_TOPIC_STOP,
    FLY_TOPIC_DOSE, FLY_TOPIC_SUGGEST,
    FLY_TOPICS
};

enum { FLY_DESK_JOBS = 192 };

struct fly_cached {
    unsigned char *bytes;
    size_t len, cap;
};

/* The helm and what it needs of this stage (helm_desk.h). */
struct fly_publish_steer {
    struct fly_helm helm;
    uint64_t serial;            /* of the session that it has */
    uint64_t orders_posted, options_version;
    uint64_t ticket;            /* of the newest record of its journal */
    int64_t reserving;          /* frames: reserved once reserve_ticket is on disk; 0: none wait */
    uint64_t reserve_ticket;
    int told;                   /* decision is the newest suggestion published */
    struct fly_decision decision;
    struct fly_decision fresh;  /* scratch, as is what follows */
    struct fly_suggest suggest;
    struct fly_target *ranked;  /* (FLY_DECISION_TARGETS) */
    struct fly_answer answer;
    unsigned char *bytes;       /* FLY_HEADER_MAX, of commands */
};

struct fly_stage_publish {
    struct fly_stage_publish_config config;
    struct fly_session_info *info; /* of the session shown */
    struct fly_options in_force;   /* of that session: its start's, until a request changes some */
    uint64_t in_force_version;
    int stopped;
    uint64_t seq[FLY_TOPICS];
    uint64_t map_seq[FLY_MAPS]; /* last published; 0: none */
    int64_t keyframe_ns[FLY_MAPS];
    struct fly_map_set fresh, shown;
    struct fly_map_out out;
    struct fly_clusters *fresh_clusters;      /* scratch */
    struct fly_clusters *clusters[FLY_MAPS];  /* as last published, NULL before */
    uint64_t clusters_seq[FLY_MAPS];
    double ami[FLY_METHODS][3], ari[FLY_METHODS][3]; /* of the maps shown at agreed_epoch - 1 */
    uint64_t agreed_epoch[FLY_METHODS];              /* 0: never */
    struct fly_cached cache[FLY_TOPICS];
    struct fly_dose dose;                            /* as last published; serial 0: not yet */
    uint64_t dose_seq;
    struct fly_latency latency;
    int64_t heartbeat_ns, metrics_ns;
    uint64_t durable_told[FLY_STREAMS_MAX];
    enum fly_state state_told;
    unsigned char *header; /* FLY_HEADER_MAX */
    struct fly_pack pack;
    struct fly_publish_steer steer;
    /* requests */
    int32_t jobs_out; /* with the engine stage */
    struct fly_job *waiting[FLY_DESK_JOBS]; /* done, their change not on disk yet */
    int32_t n_waiting;
};

struct fly_counters_out {
    struct fly_pub_counter items[FLY_COUNTERS];
    uint64_t refused[FLY_REFUSALS];
    struct fly_pub_counters counters;
};
void fly_publish_counters(const struct fly_stage_publish *stage, struct fly_counters_out *out);

/* For those who publish something of their own: the next id of a topic, an empty header, and off with it, kept for late
 * joiners. */
struct fly_pub_id fly_publish_id(struct fly_stage_publish *stage, enum fly_topic topic);
struct fly_pack *fly_publish_pack(struct fly_stage_publish *stage);
void fly_publish_kept(struct fly_stage_publish *stage, enum fly_topic topic, const struct fly_pub_message *message);

/* Fill stage->out with a keyframe of what is shown; that map was published. */
void fly_publish_keyframe(struct fly_stage_publish *stage, int map, struct fly_pub_id *id);

/* ---- publish_beat.c: what is said by the clock -------------------------------------------------------- */

/* Of the session shown; now_ns monotonic. */
void fly_publish_metrics(struct fly_stage_publish *stage, int64_t now_ns);
/* Heartbeat and metrics, where they are due: 1 when something was said. */
int fly_publish_tick(struct fly_stage_publish *stage);

#endif
