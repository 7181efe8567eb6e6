/* stream/publish.h: what Flyback says to everyone: headers of the publish socket, made and read.
 *
 * A published message is [topic][header][payloads]; the topic is the header's type. Encoders write
 * the header into a fly_pack that the caller reset, and list the parts. They know no socket, no clock
 * and no engine: times, numbers and names come in as plain values.
 *
 * Memory   parts are lent: the header lies in the pack, payloads where the caller has them.
 * Numbers  a double that is not finite goes out as nil.
 * Errors   each encoder returns FLY_ERANGE when the header does not fit the pack, or its string or
 *          nesting limits are broken by what it was given (the message says which); nothing is to be
 *          sent then. A pack of FLY_HEADER_MAX bytes is what the protocol allows.
 * Threads  pure but for fly_fail's text.
 */
#ifndef FLY_STREAM_PUBLISH_H
#define FLY_STREAM_PUBLISH_H

#include <stdint.h>

#include "stream/wire.h"

/* Who says it. session is "" outside any; seq counts per (session, topic) from 1. */
struct fly_pub_id {
    const char *session;
    uint64_t seq;
    int64_t t_ns;
};

struct fly_pub_message {
    struct fly_part parts[1 + FLY_PARTS_MAX]; /* topic, header, payloads */
    int32_t n_parts;
};

/* A number for each of a session's streams. names[0] is "control". */
struct fly_pub_streams {
    int32_t count;
    const char *names[FLY_STREAMS_MAX];
    uint64_t seq[FLY_STREAMS_MAX];
};

struct fly_pub_counter {
    const char *name;
    uint64_t value;
};

/* Counters that only grow. refused goes out as {reason: n} of those above 0; may be NULL: left out. */
struct fly_pub_counters {
    const struct fly_pub_counter *items;
    int32_t n_items;
    const uint64_t *refused; /* (FLY_REFUSALS), by enum fly_refusal */
};

/* ---- start -------------------------------------------------------------------------------------- */

/* What stands in the published start beside the instrument's. */
struct fly_pub_start {
    int32_t grid_shape[2]; /* R, C */
    int32_t chip_px, pitch_px;
    int32_t origin_px[2];  /* y, x */
    const char *profile, *embedder, *flyback_version;
    int resumed;
    /* What the configuration knows of the microscope; told only where the instrument says nothing. */
    const char *instrument;                 /* its name; NULL or "": not known */
    double pixel_time_us, flyback_time_us;  /* 0: not known */
};

/* The instrument's header, scanned, with every key it has; only session, stream, seq and t_ns are ours,
 * and what stands in fly_pub_start. Where that is longer than a header may be, user_data and keys that
 * the protocol does not name are left out. */
FLY_MUST_USE int fly_pub_start(struct fly_pub_message *out, struct fly_pack *pack,
                               const struct fly_pub_id *id, const struct fly_part *instrument,
                               const struct fly_pub_start *start);

/* ---- map ---------------------------------------------------------------------------------------- */

struct fly_pub_class {
    int32_t id;
    const char *name;
    const char *color; /* "#rrggbb" */
};

enum fly_pub_base { FLY_PUB_KEYFRAME, FLY_PUB_DELTA, FLY_PUB_EXACT };

struct fly_pub_map {
    const char *method, *modality;
    int32_t full_shape[2]; /* R, C */
    int32_t bbox[4];       /* r0, c0, nr, nc; within full_shape, all of it but in a delta */
    enum fly_pub_base base;
    uint64_t base_seq;     /* of a delta, >= 1; a keyframe says 0, an exact map nil */
    struct fly_pub_streams as_of;
    int final;
    const struct fly_pub_class *classes;
    int32_t n_classes;
    const int32_t *labels;   /* (nr, nc) of the bbox, row-major */
    const float *confidence; /* (nr, nc), NaN where undefined */
    const uint32_t *age;     /* (nr, nc) */
    const int32_t *shown;    /* (nr, nc) labels as a viewer shows them; NULL: no such payload */
};

enum { FLY_PUB_MAP_PAYLOADS = 4 }; /* at most */

FLY_MUST_USE int fly_pub_map(struct fly_pub_message *out, struct fly_pack *pack,
                             const struct fly_pub_id *id, const struct fly_pub_map *map);

/* The header alone as one value, for the reply to map.get, and its payloads, of which the number is returned. */
void fly_pub_map_header(struct fly_pack *pack, const struct fly_pub_id *id,
                        const struct fly_pub_map *map);
int32_t fly_pub_map_payloads(struct fly_part payloads[FLY_PUB_MAP_PAYLOADS], const struct fly_pub_map *map);

/* ---- clusters ----------------------------------------------------------------------------------- */

enum { FLY_PUB_CLUSTERS_MAX = 1024 }; /* in one message: more than a header has room for */

/* Where a spot of the lattice lies in the Fourier transform of a region. */
struct fly_pub_vector {
    double fy_per_px, fx_per_px;
    double d_px[2], d_nm[2]; /* value, sigma; without a value the whole is nil */
};

/* The largest square of chips of a cluster, and what its lattice is. */
struct fly_pub_region {
    int32_t square[3];  /* row, column, side, in chips */
    const char *found;  /* "crystalline", "not_crystalline", "not_measurable" */
    double snr;         /* of the strongest spot; NaN: nil */
    struct fly_pub_vector vectors[2];
    int32_t n_vectors;
    double angle_deg;   /* between the two; NaN: nil */
};

/* A community or cluster of a map and what is known of it. */
struct fly_pub_cluster {
    int32_t id; /* its label in the map */
    const char *name;
    const char *role;       /* "ordered", "disordered", "other"; NULL: nil */
    int32_t chips;          /* how many */
    const int32_t *parents; /* (n_parents), ids of the map before; may be NULL when there are none */
    int32_t n_parents;
    const char *event; /* "born", "merged", "split", "gone"; NULL: nil */
    const double *percent, *sigma; /* (n_elements), of fly_pub_clusters.elements; NULL: nil */
    double d_spacing_nm[2]; /* value, sigma; without a value the whole is nil */
    double crystallinity;
    const struct fly_pub_region *region; /* NULL: nil */
};

/* What the disordered cluster has more (or less) of than the ordered one; arrays (n_elements). */
struct fly_pub_difference {
    int32_t ordered, disordered;       /* ids */
    const double *relative;            /* 100 (b - a) / a, a the ordered one; NaN: nil */
    const double *relative_sigma;
    const double *symmetric;           /* 100 |a - b| / ((a + b) / 2) */
    const double *symmetric_sigma;
};

struct fly_pub_clusters {
    const char *method, *modality;
    struct fly_pub_streams as_of;
    int final;
    const char *const *elements; /* (n_elements), symbols, each once */
    int32_t n_elements;
    const struct fly_pub_cluster *clusters; /* (n_clusters), in any order */
    int32_t n_clusters;
    int32_t more; /* clusters beside these, none larger: counted in `omitted` */
    const struct fly_pub_difference *difference; /* NULL: nil, there are no two with these roles */
};

/* They go out by chips, largest first, equal ones as they were given. What the header has no room for is
 * left out, the smallest first, and counted in `omitted`: nothing left out is larger than what is said. */
FLY_MUST_USE int fly_pub_clusters(struct fly_pub_message *out, struct fly_pack *pack,
                                  const struct fly_pub_id *id, const struct fly_pub_clusters *clusters);

/* ---- metrics, event, heartbeat, stop ------------------------------------------------------------ */

enum { FLY_PUB_METHODS_MAX = 4, FLY_PUB_MODALITIES_MAX = 4 };

/* What few-shot in one modality was calibrated by. NaN (and infinity) is nil. */
struct fly_pub_calibrated {
    const char *name;      /* "haadf", "eds" */
    const char *state;     /* "no_class", "bare", "prior", "fitted" */
    double temperature, scatter;
    double unknown_above;  /* a chip whose squared distance is that many times what is expected is unknown */
    int32_t left_out, mistaken; /* support chips left out in turn; of them, taken for another class */
    double nll, nll_prior; /* theirs, at this temperature and at the one begun with */
};

struct fly_pub_calibration {
    int there; /* 0: nil */
    struct fly_pub_calibrated modality[2];
    double weights[2];
    const char *weights_from; /* "equal", "learned", "alone", "reliability", "given" */
    double nll, nll_equal;    /* of the ensemble, at these weights and at equal ones */
};

/* How well image and X-rays repeat themselves between halves of the data, as one use of the ensemble compares them. NaN
 * is nil. */
struct fly_pub_repeat {
    const char *use;     /* "fewshot", "community" */
    double haadf, eds;   /* 0 .. 1 */
    double weights[2];
    int used;            /* 1: they are the ensemble's */
    const char *reason;  /* "alone", "awaited", "no_halves", "too_few", "even", "measured" */
};
struct fly_pub_reliability {
    int32_t n; /* 0: nil */
    struct fly_pub_repeat of[2];
};

/* How far the data are to be trusted. A number that is NaN, and a word that is NULL, is nil. */
struct fly_pub_quality {
    int has_image, has_eds; /* 0: nil in place of what belongs to it */
    struct {
        int64_t chips, needed;
        double too_few, pooled; /* shares of chips, 0 .. 1 */
        double median;
    } counts;
    struct {
        double top, bottom; /* shares of pixels, 0 .. 1 */
        double top_value, bottom_value;
    } saturation;
    struct {
        int64_t frames, unmeasured; /* counts */
        int64_t frame;              /* the one measured last; -1: nil */
        double dy_px, dx_px, sigma_dy_px, sigma_dx_px, correlation;
        int ambiguous;
        double applied_dy_px, applied_dx_px;
        double largest_px;
        int64_t largest_frame;      /* -1: nil */
        int64_t adopted;            /* frames shifted by what was measured */
    } drift;
    struct {
        int64_t chips, barred;
        const char *sign; /* of what was found last: "share", "rate", "image" */
        int64_t row, col; /* chip; -1: nil */
        const char *element;
        double change;
    } damage;
    struct {
        const char *reason;
        int64_t advised_px; /* 0: nil */
        double cell_px, cells;
        int64_t lines;
        int final;
    } chip_size;
    int pixel_known;
    const char *k_factors;
};

/* NaN is nil: not defined yet. */
struct fly_pub_metrics {
    int32_t n_methods;
    struct {
        const char *method;
        double ami[3], ari[3]; /* haadf_eds, haadf_ens, eds_ens */
        const char *leads;     /* the modality that the ensemble follows more, by AMI; NULL: nil, neither */
    } methods[FLY_PUB_METHODS_MAX];
    int32_t n_modalities;
    struct {
        const char *modality;
        double modularity, threshold;
    } modalities[FLY_PUB_MODALITIES_MAX];
    int32_t n_hierarchies;
    struct {
        const char *modality;
        int32_t k, chips;    /* clusters asked for, chips in the tree */
        double below, above; /* heights between which there are k */
    } hierarchies[FLY_PUB_MODALITIES_MAX];
    struct fly_pub_calibration calibration;
    struct fly_pub_reliability reliability;
    double p50_ms, p99_ms, max_ms; /* arrival of a chip's last line to its published label */
    struct fly_pub_counters counters;
    const struct fly_pub_quality *quality; /* NULL: nil, nothing was looked at yet */
};
FLY_MUST_USE int fly_pub_metrics(struct fly_pub_message *out, struct fly_pack *pack,
                                 const struct fly_pub_id *id, const struct fly_pub_metrics *metrics);

struct fly_pub_event {
    const char *level; /* "info", "warning", "error" */
    const char *code;
    const char *text;
    struct fly_part data; /* one packed value; len 0: nil */
};
FLY_MUST_USE int fly_pub_event(struct fly_pub_message *out, struct fly_pack *pack,
                               const struct fly_pub_id *id, const struct fly_pub_event *event);

struct fly_pub_heartbeat {
    const char *state; /* "idle", "running", "draining" */
    struct fly_pub_streams last_seq, durable_seq; /* count 0 outside a session */
    int64_t backlog_chips;
    uint64_t rss_bytes;
    const char *recording; /* "off", "ok", "behind", "failed" */
    struct fly_pub_counters counters;
};
FLY_MUST_USE int fly_pub_heartbeat(struct fly_pub_message *out, struct fly_pack *pack,
                                   const struct fly_pub_id *id,
                                   const struct fly_pub_heartbeat *heartbeat);

struct fly_pub_stop {
    const char *exit_status, *reason;
    struct fly_pub_streams count;
    double complete; /* fraction of the scan's pixels */
    double p50_ms, p99_ms, p999_ms, max_ms;
    struct fly_pub_counters counters;
};
FLY_MUST_USE int fly_pub_stop(struct fly_pub_message *out, struct fly_pack *pack,
                              const struct fly_pub_id *id, const struct fly_pub_stop *stop);

/* What dose the specimen has had (engine/steer/ledger.h), in e-/A^2, or in us of dwell where beam current or pixel size
 * is not known. NaN is nil. */
struct fly_pub_dose {
    int calibrated;          /* 1: "e_per_A2", 0: "us" */
    double factor;           /* of a us of dwell, in that unit */
    int32_t full_shape[2];   /* R, C */
    double max, mean, gini;  /* of the largest pixel; of the chips; how unevenly those have it. Chips that are NaN apart */
    double survey;           /* what a survey gives a pixel */
    double cap;              /* that steering gives no pixel more than */
    int64_t unknown, late;   /* exposures whose dwell nothing told; that may be booked twice */
    struct fly_pub_streams as_of;
    const float *chips;      /* (R, C) means over their pixels; NaN: at an exposure nothing told the dwell */
};
FLY_MUST_USE int fly_pub_dose(struct fly_pub_message *out, struct fly_pack *pack, const struct fly_pub_id *id,
                              const struct fly_pub_dose *dose);
void fly_pub_pack_dose(struct fly_pack *pack, const struct fly_pub_dose *dose); /* the result of dose.get */

/* {stream: seq} as one value: heartbeats, maps and the reply to status say it alike. */
void fly_pub_pack_streams(struct fly_pack *pack, const struct fly_pub_streams *streams);
void fly_pub_pack_counters(struct fly_pack *pack, const struct fly_pub_counters *counters);
void fly_pub_pack_reliability(struct fly_pack *pack, const struct fly_pub_reliability *reliability);
void fly_pub_pack_quality(struct fly_pack *pack, const struct fly_pub_quality *quality); /* NULL: nil */

/* ---- reading: for viewers, producers that wait for durable_seq, and judges ------------------------ */

/* A published message, taken apart. Views into the parts. */
struct fly_published {
    char type[32];
    char session[FLY_SESSION_MAX + 1];
    uint64_t seq;
    int64_t t_ns;
    struct fly_value header;
    const struct fly_part *payloads;
    int32_t n_payloads;
};

/* parts as received: [topic][header][payloads]. Unknown keys are passed over.
 *
 * FLY_EWIRE  no topic or header, a header that breaks the rules, a topic other than its type, or a
 *            key of section 2 missing or wrong */
FLY_MUST_USE int fly_published_decode(struct fly_published *out, const struct fly_part *parts,
                                      int32_t n_parts);

/* A map, published or the result of map.get. Views; arrays need no alignment and are (nr, nc). */
struct fly_map_read {
    char method[32], modality[32];
    int32_t full_shape[2];
    int32_t bbox[4];
    int has_base;          /* 0: base_seq is nil, an exact map */
    uint64_t base_seq;     /* 0: a keyframe */
    int final;
    struct fly_value as_of;   /* {stream: seq} */
    struct fly_value classes; /* walk it with fly_value_next and fly_map_class */
    const unsigned char *labels, *confidence, *age; /* <i4, <f4, <u4 */
    const unsigned char *shown; /* <i4; labels where the map has no such payload */
};

/* header is scanned. FLY_EWIRE: a key is missing or wrong, the bbox leaves full_shape, or a payload is
 * missing or has another size */
FLY_MUST_USE int fly_map_decode(struct fly_map_read *out, struct fly_value header,
                                const struct fly_part *payloads, int32_t n_payloads);

/* One entry of classes: 1 when it has an id and a name (lent). */
int fly_map_class(struct fly_value entry, int64_t *id, const char **name, size_t *name_len,
                  char color[8]);

/* A dose, published or the result of dose.get. NaN stands for nil; arrays <f4 (R, C), lent, need no alignment. */
struct fly_dose_read {
    int calibrated;
    double factor, max, mean, gini, survey, cap;
    int32_t full_shape[2];
    int64_t unknown, late;
    struct fly_value as_of;     /* {stream: seq} */
    const unsigned char *chips; /* means */
    const unsigned char *most;  /* largest pixels; NULL where it was published */
};

/* header is scanned. FLY_EWIRE: a key is missing or wrong, or a payload is missing or has another size */
FLY_MUST_USE int fly_dose_decode(struct fly_dose_read *out, struct fly_value header, const struct fly_part *payloads,
                                 int32_t n_payloads);

/* The clusters of one method and modality, largest first. Views. */
struct fly_clusters_read {
    char method[32], modality[32];
    int final;
    int64_t omitted;           /* clusters that had no room; 0 when it does not say */
    struct fly_value as_of;    /* {stream: seq} */
    struct fly_value elements; /* list of strings */
    struct fly_value clusters; /* walk it with fly_value_next and fly_cluster_decode */
};

/* header is scanned. FLY_EWIRE: a key is missing or wrong. */
FLY_MUST_USE int fly_clusters_decode(struct fly_clusters_read *out, struct fly_value header);

/* NaN and NULL stand for nil. */
struct fly_cluster_read {
    int64_t id, chips;
    const char *name, *event; /* lent, without a NUL */
    size_t name_len, event_len;
    struct fly_value parents; /* list of integers */
    struct fly_value percent; /* {element: {value, sigma}} or nil: ask fly_cluster_percent */
    double d_spacing_nm[2];   /* value, sigma */
    double crystallinity;
    const char *role;         /* lent, without a NUL; NULL: nil */
    size_t role_len;
    int32_t square[3];        /* row, column, side of its region, in chips; side 0: nil */
    const char *found;        /* "crystalline", ...; NULL: nil */
    size_t found_len;
};

/* One entry of clusters. FLY_EWIRE: a key is missing or wrong. */
FLY_MUST_USE int fly_cluster_decode(struct fly_cluster_read *out, struct fly_value entry);

/* 1 when the cluster has a percent of that element; the sigma may be NaN then. */
int fly_cluster_percent(const struct fly_cluster_read *cluster, const char *element, double *value,
                        double *sigma);

#endif
