/* plugin/bus.h: what the three stages tell each other beside the data itself.
 *
 * Counters that only grow, a status snapshot, events to be published, and one mailbox that holds the
 * newest maps: an older set unread is skipped, and counted. Nothing here waits for a viewer or a disk.
 *
 * Threads  every function may be called from any stage.
 */
#ifndef FLY_PLUGIN_BUS_H
#define FLY_PLUGIN_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/engine.h"
#include "plugin/decision.h"
#include "plugin/dose.h"
#include "stream/publish.h"
#include "stream/wire.h"

/* Of the process; published in every heartbeat under fly_counter_name. */
enum fly_counter {
    FLY_COUNT_MESSAGES, /* ingest messages received, refused ones included */
    FLY_COUNT_BYTES,
    FLY_COUNT_LINES,    /* accepted lines messages */
    FLY_COUNT_EDS,      /* accepted eds messages */
    FLY_COUNT_PIXELS,   /* new pixels */
    FLY_COUNT_PHOTONS,  /* photons taken */
    FLY_COUNT_PHOTON_OUTSIDE,
    FLY_COUNT_NONFINITE,
    FLY_COUNT_REPEAT,
    FLY_COUNT_CONFLICT,
    FLY_COUNT_REORDER,
    FLY_COUNT_GAP,
    FLY_COUNT_UNCHECKED,       /* pixels that came again when their first content was no longer held */
    FLY_COUNT_UNASSEMBLED,     /* messages recorded but beyond the engine's room for open frames */
    FLY_COUNT_INGEST_STALLS,   /* times ingest stopped reading because the engine's queue was full */
    FLY_COUNT_UNRECORDED,      /* messages that went by the recording */
    FLY_COUNT_EMBEDDED_FIRST,
    FLY_COUNT_EMBEDDED_AGAIN,
    FLY_COUNT_QUANTIFIED,
    FLY_COUNT_SCORED,
    FLY_COUNT_GRAPH_UPDATES,   /* blocks of chips taken into the affinity graphs */
    FLY_COUNT_PAIRS,           /* similarities made */
    FLY_COUNT_CODES,           /* of pairs, changed */
    FLY_COUNT_EDGES,           /* that came or went */
    FLY_COUNT_VISITED,         /* chips visited by the search for communities */
    FLY_COUNT_MOVED,           /* chips that it moved */
    FLY_COUNT_ROWS_READ,       /* rows of a graph that it read */
    FLY_COUNT_NOT_COMPARED,    /* spectra too large to be compared */
    FLY_COUNT_EPOCHS,
    FLY_COUNT_MAPS_PUBLISHED,
    FLY_COUNT_MAPS_SKIPPED,    /* map sets that a newer one overtook before they were published */
    FLY_COUNT_PUBLISH_DROPPED, /* messages the publish socket did not take */
    FLY_COUNT_REQUESTS,
    FLY_COUNT_REQUEST_ERRORS,
    FLY_COUNT_PEERS_REFUSED,   /* connections, messages and requests of those whose key or role does not allow them */
    FLY_COUNT_SUGGESTIONS,
    FLY_COUNT_DECISIONS_EXPIRED,  /* suggestions nobody decided, and approved ones that could not leave in time */
    FLY_COUNT_COMMANDS,           /* sent, those to stop among them */
    FLY_COUNT_COMMANDS_DONE,
    FLY_COUNT_COMMANDS_REJECTED,  /* by the acquisition */
    FLY_COUNT_COMMANDS_WITHDRAWN, /* not acknowledged, or not done, in time; or their owner is gone */
    FLY_COUNT_ACKS_REFUSED,
    FLY_COUNTERS
};
const char *fly_counter_name(enum fly_counter counter);

enum fly_state { FLY_IDLE = 0, FLY_RUNNING, FLY_DRAINING };
const char *fly_state_name(enum fly_state state);

enum fly_level { FLY_INFO = 0, FLY_WARNING, FLY_ERROR };

struct fly_event {
    enum fly_level level;
    char code[32];
    char text[480];
    unsigned char data[256]; /* one packed value; none when data_len is 0 */
    size_t data_len;
};

/* One set of maps, as the engine's epoch left them. Arrays (K) for each map (fly_map_index). */
struct fly_map_set {
    uint64_t serial;  /* of the session; 0: empty */
    uint64_t epoch;
    int32_t n_chips, cap;
    int32_t n_maps;   /* the first of them: sessions with few-shot alone need no room for the others */
    int32_t *labels[FLY_MAPS];
    float *confidence[FLY_MAPS];
    uint32_t *age[FLY_MAPS];
    int64_t *stamp[FLY_MAPS]; /* newest arrival behind a label not published yet; 0: none */
    int32_t *shown[FLY_MAPS]; /* the calmer picture, where there is one: calm */
    int calm;                 /* 1: robust */
    struct fly_class classes[FLY_CLASSES_MAX];
    int32_t n_classes;
    struct fly_names *names; /* (FLY_MAPS) what a person calls clusters */
    struct fly_graph_view graph[FLY_MODALITIES];
    struct fly_tree_view tree[FLY_ENSEMBLE];
    struct fly_pub_calibration calibration; /* of few-shot */
    struct fly_pub_reliability reliability;
    uint64_t as_of[FLY_STREAMS_MAX];
    int final;
};

enum { FLY_MAPS_FEWSHOT = FLY_MODALITIES }; /* n_maps with few-shot alone */
FLY_MUST_USE int fly_map_set_init(struct fly_map_set *set, int32_t n_chips, int32_t n_maps);
void fly_map_set_fini(struct fly_map_set *set);
/* Names, where they are others. */
void fly_map_set_copy_names(struct fly_map_set *to, int map, const struct fly_names *names);
/* Everything but stamps, of the maps that both have; `to` has room for the chips. */
void fly_map_set_copy(struct fly_map_set *to, const struct fly_map_set *from);

struct fly_session_info; /* plugin/session.h */
struct fly_options;      /* plugin/options.h */
struct fly_clusters;     /* plugin/clusters.h */

struct fly_status {
    enum fly_state state;
    char session[FLY_SESSION_MAX + 1];
    int32_t n_streams; /* control, detectors, segments */
    char stream[FLY_STREAMS_MAX][FLY_NAME_MAX + 1];
    uint64_t last_seq[FLY_STREAMS_MAX];
    uint64_t durable_seq[FLY_STREAMS_MAX];
    int32_t grid_rows, grid_cols;
    int32_t backlog_chips;
    int range_known;
    double range_lo, range_hi;
    char recording[8]; /* "off", "ok", "behind", "failed" */
    double complete;   /* fraction of the pixels of the scan measured */
};

/* What the engine stage says when a session is done. */
struct fly_session_end {
    uint64_t serial;
    char exit_status[8];
    char reason[256];
    int64_t count[FLY_STREAMS_MAX]; /* -1: the stop did not say */
    double complete;
};

struct fly_bus {
    pthread_mutex_t lock;
    pthread_cond_t moved;     /* end_published changed */
    struct fly_clock clock;
    int publish_wake_fd;      /* the publisher's eventfd */
    atomic_int publish_sleeps;
    atomic_int reading_back;  /* 1 while a restart reads its recording: requests wait, so that an answer means ready */
    atomic_uint_fast64_t counters[FLY_COUNTERS];
    atomic_uint_fast64_t refused[FLY_REFUSALS];
    /* under lock */
    struct fly_event events[128];
    uint32_t event_head, event_len;
    uint64_t events_lost;
    int64_t refused_told_ns[FLY_REFUSALS], peer_told_ns;
    struct fly_status status;
    uint64_t durable_serial, durable_ticket; /* tickets of that session's recording on disk */
    struct fly_map_set mail;
    int mail_full;
    struct fly_quality quality;              /* of the session with this serial; 0: none */
    uint64_t quality_serial;
    struct fly_dose dose;                    /* not yet taken by the publisher; serial 0: none waits */
    struct fly_clusters *clusters[FLY_MAPS]; /* the newest of each map; serial 0: none waits */
    struct fly_session_info *opened; /* the newest session, not yet taken by the publisher; owned by producer */
    struct fly_session_end end;      /* serial 0: none waits */
    struct fly_options *in_force;    /* of the session with this serial, NULL before the first */
    uint64_t in_force_serial, in_force_version;
    struct fly_steer_orders orders;  /* version 0: none yet */
    struct fly_decision decision;    /* the newest not taken; serial 0: none waits */
    struct fly_steer_idle idle;      /* as posted last */
    struct fly_answer answers[2];    /* of the command under way and the one before it; cmd_id "": none waits */
    struct fly_helm_memory memory;   /* of the session with this serial */
    uint64_t memory_serial;
    uint64_t seen_serial;            /* highest frame that data of that session carried */
    int64_t seen_frame;
};

FLY_MUST_USE int fly_bus_init(struct fly_bus *bus, const struct fly_clock *clock);
void fly_bus_fini(struct fly_bus *bus);

static inline void fly_count(struct fly_bus *bus, enum fly_counter counter, uint64_t by)
{
    atomic_fetch_add_explicit(&bus->counters[counter], by, memory_order_relaxed); /* nothing hangs on it */
}

/* Queue an event for publication; the oldest is kept when there are too many, the newest is counted. */
void fly_bus_event(struct fly_bus *bus, enum fly_level level, const char *code, const void *data,
                   size_t data_len, const char *format, ...) FLY_PRINTF(6, 7);

/* Count a refusal and tell it, at most once a second and reason. */
void fly_bus_refuse(struct fly_bus *bus, enum fly_refusal reason, const char *text);

/* The same for a peer whom the gate or its role turned away: the event `peer_refused`, at most once a second. */
void fly_bus_refuse_peer(struct fly_bus *bus, const char *text);

/* 1: event filled. */
int fly_bus_take_event(struct fly_bus *bus, struct fly_event *event);

void fly_bus_wake_publisher(struct fly_bus *bus);

/* Post maps (arrays copied; pending stamps of a set overtaken are kept). */
void fly_bus_post_maps(struct fly_bus *bus, const struct fly_map_set *set);
/* 1: the newest set was there and is copied into set (which is made to fit). Sets of a session later than
 * serial are left where they are, those of an earlier one dropped. */
int fly_bus_take_maps(struct fly_bus *bus, struct fly_map_set *set, uint64_t serial);

/* Post what the groups of a map are made of; take: 1 when some of this session waited, of any map, and *into is
 * filled. Those of an earlier session are dropped, of a later one left. */
void fly_bus_post_clusters(struct fly_bus *bus, struct fly_clusters *clusters); /* keeps unread news */
int fly_bus_take_clusters(struct fly_bus *bus, uint64_t serial, struct fly_clusters *into);

/* What is known of the quality of a session's data, as posted last. look: 1 when there is something of this session. */
void fly_bus_post_quality(struct fly_bus *bus, uint64_t serial, const struct fly_quality *quality);
int fly_bus_look_quality(struct fly_bus *bus, uint64_t serial, struct fly_quality *quality);

/* Post what dose a session's specimen has had (copied; without memory for it, not); take: 1 when it waited, and is in
 * *into. That of an earlier session is dropped, of a later one left. */
void fly_bus_post_dose(struct fly_bus *bus, const struct fly_dose *dose);
int fly_bus_take_dose(struct fly_bus *bus, uint64_t serial, struct fly_dose *into);

/* Options as they are now in force in a session: requests change some while it runs. take: 1 when there are newer
 * ones than *version, which is moved on. */
void fly_bus_post_options(struct fly_bus *bus, uint64_t serial, const struct fly_options *options);
int fly_bus_take_options(struct fly_bus *bus, uint64_t serial, uint64_t *version, struct fly_options *options);

/* Steering. Orders go to the engine stage: take is 1 when there are newer ones than *version, which is moved on. Decisions and
 * what came of a command's data go to the publisher: a newer one takes the place of one unread. */
void fly_bus_post_orders(struct fly_bus *bus, const struct fly_steer_orders *orders);
int fly_bus_take_orders(struct fly_bus *bus, uint64_t *version, struct fly_steer_orders *into);
void fly_bus_post_decision(struct fly_bus *bus, const struct fly_decision *decision);
int fly_bus_take_decision(struct fly_bus *bus, uint64_t serial, struct fly_decision *into);
void fly_bus_post_answer(struct fly_bus *bus, const struct fly_answer *answer);
int fly_bus_take_answer(struct fly_bus *bus, struct fly_answer *into);
/* Why nothing is proposed in a session: 1 when something was said of this one. */
void fly_bus_post_idle(struct fly_bus *bus, const struct fly_steer_idle *idle);
int fly_bus_look_idle(struct fly_bus *bus, uint64_t serial, struct fly_steer_idle *into);
/* The highest frame of a session, and what its recording says of the time before a restart: 1 when of this one. */
void fly_bus_post_seen(struct fly_bus *bus, uint64_t serial, int64_t frame);
int fly_bus_look_seen(struct fly_bus *bus, uint64_t serial, int64_t *frame);
void fly_bus_post_memory(struct fly_bus *bus, uint64_t serial, const struct fly_helm_memory *memory);
int fly_bus_look_memory(struct fly_bus *bus, uint64_t serial, struct fly_helm_memory *into);

/* Post the end of a session and wait until the publisher took it (it never waits itself). */
void fly_bus_end_session(struct fly_bus *bus, const struct fly_session_end *end);

#endif
