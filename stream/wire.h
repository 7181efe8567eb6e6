/* stream/wire.h: messages of the wire protocol, from bytes and to bytes.
 *
 * stream/PROTOCOL.md is the contract. Bytes from outside pass a bounded pre-scan before msgpack sees
 * one; nothing is allocated from a number before it is checked. No socket is touched here and no
 * msgpack object leaves this room.
 *
 * Threads  functions are pure but for fly_fail's text.
 */
#ifndef FLY_STREAM_WIRE_H
#define FLY_STREAM_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/dtype.h"
#include "engine/base/err.h"

enum {
    FLY_HEADER_MAX = 64 * 1024,
    FLY_NESTING_MAX = 8,
    FLY_STRING_MAX = 4096,
    FLY_PARTS_MAX = 8,        /* header and payloads */
    FLY_SESSION_MAX = 64,
    FLY_NAME_MAX = 64,        /* detector and stream names; longer ones are refused as bad_value */
    FLY_DETECTORS_MAX = 16,   /* image detectors of a session */
    FLY_SEGMENTS_MAX = 16,    /* eds streams of a session */
    FLY_STREAMS_MAX = 1 + FLY_DETECTORS_MAX + FLY_SEGMENTS_MAX,
    FLY_CHANNELS_MAX = 16384,
    FLY_SCAN_SIDE_MAX = 16384,  /* px, height and width */
    FLY_FRAMES_MAX   = 1 << 20, /* frame numbers are 0 .. FLY_FRAMES_MAX - 1 */
    FLY_START_ELEMENTS_MAX = 32,
    FLY_K_FACTORS_MAX = 64,
};
#define FLY_DWELL_MAX_NS ((uint64_t)1 << 40)
#define FLY_PAYLOAD_MAX ((size_t)256 * 1024 * 1024)

/* One part of a message, lent. */
struct fly_part {
    const void *bytes;
    size_t len;
};

/* Why a message was refused, in the protocol's words (fly_refusal_name). */
enum fly_refusal {
    FLY_REFUSE_NONE = 0,
    FLY_REFUSE_OVERSIZE, FLY_REFUSE_MALFORMED, FLY_REFUSE_BAD_KEY, FLY_REFUSE_BAD_TYPE,
    FLY_REFUSE_BAD_VALUE, FLY_REFUSE_VERSION, FLY_REFUSE_UNKNOWN_TYPE, FLY_REFUSE_NO_SESSION,
    FLY_REFUSE_OTHER_SESSION, FLY_REFUSE_AFTER_STOP, FLY_REFUSE_UNDECLARED, FLY_REFUSE_DTYPE,
    FLY_REFUSE_SHAPE, FLY_REFUSE_PAYLOAD_SIZE, FLY_REFUSE_OUTSIDE, FLY_REFUSE_PHOTONS,
    FLY_REFUSE_SESSION_REUSED,
    FLY_REFUSALS
};
const char *fly_refusal_name(enum fly_refusal refusal);

/* The bounded pre-scan: one well-formed msgpack value that is a map, every map in it with string keys
 * and no key twice, no bin or ext, nothing deeper, longer or more than the limits, valid UTF-8, nothing
 * after it, every float finite. One pass without allocation; 64 KiB of stack.
 *
 * Returns FLY_REFUSE_NONE, FLY_REFUSE_OVERSIZE, FLY_REFUSE_MALFORMED, or FLY_REFUSE_BAD_VALUE when a
 * NaN or an infinity is all that is wrong; text in fly_fail_text. */
enum fly_refusal fly_wire_scan(const void *bytes, size_t len);

enum fly_ingest_type {
    FLY_INGEST_START, FLY_INGEST_LINES, FLY_INGEST_EDS, FLY_INGEST_HEARTBEAT, FLY_INGEST_STOP,
    FLY_INGEST_SKIP
};

struct fly_detector {
    char name[FLY_NAME_MAX + 1];
    enum fly_dtype dtype;
};

struct fly_segment {
    char name[FLY_NAME_MAX + 1];
    int32_t n_channels;
    double ev_per_channel, ev_offset;
    double takeoff_deg; /* NaN: not said */
};

enum fly_scan_path { FLY_SCAN_UNSAID = 0, FLY_SCAN_RASTER, FLY_SCAN_SERPENTINE, FLY_SCAN_LIST };

/* What a start declares. NaN stands for a number not given, 0 for a count not given. */
struct fly_start {
    int32_t height_px, width_px;
    int32_t n_detectors, n_segments;
    struct fly_detector detectors[FLY_DETECTORS_MAX];
    struct fly_segment segments[FLY_SEGMENTS_MAX];
    int64_t frames_planned;
    enum fly_scan_path scan_path;
    double pixel_nm[2];          /* y, x */
    double rotation_rad, pixel_time_us, flyback_time_us;
    double beam_energy_kev, beam_current_na, convergence_mrad, collection_mrad[2], magnification;
    int32_t n_elements;
    char elements[FLY_START_ELEMENTS_MAX][4];
    int32_t n_k_factors;
    struct { char line[12]; double value; } k_factors[FLY_K_FACTORS_MAX];
    char k_basis[8];             /* "weight", "atomic" or "" */
    char sample[256], operator_name[256]; /* cut at their size; whole in the recorded header */
};

/* One accepted ingest message. Views point into the parts handed to decode. */
struct fly_ingest {
    enum fly_ingest_type type;
    char session[FLY_SESSION_MAX + 1];
    char stream[FLY_NAME_MAX + 1];
    int32_t stream_idx; /* 0 control, then detectors, then segments, as declared by start */
    uint64_t seq;
    int64_t t_ns;
    /* lines, eds */
    int64_t frame;
    int32_t y0, x0, h, w;
    uint64_t dwell_ns;         /* rounded; 1 when nothing tells it (all weights equal then) */
    uint64_t cmd_id;           /* 0: none. A string id keeps its FNV-1a hash here, for counting only */
    enum fly_dtype dtype;      /* lines; eds: of dense counts, FLY_U16 for channels */
    int32_t layout;            /* eds: 0 dense, 1 csr, 2 pairs (enum fly_eds_layout) */
    int64_t photons;           /* eds csr, pairs */
    double live_time_us, real_time_us; /* NaN when nil */
    struct fly_part payload[2];
    int32_t n_payload;
    /* heartbeat, stop: per stream_idx; -1 where the message says nothing */
    int64_t count[FLY_STREAMS_MAX];
    int64_t dropped[FLY_STREAMS_MAX];
    int64_t backlog;
    char exit_status[8];       /* "success", "abort", "fail" */
    char reason[256];
};

/* The open session, as decode needs it. NULL session: none is open. */
struct fly_session_view {
    const char *session;
    const struct fly_start *start;
    int stopped; /* its stop has come */
    const uint64_t *last; /* when stopped: per stream_idx the highest seq that still belongs to the
                           * session (for control, that of the stop); NULL: nothing does any more */
};

/* Decode one ingest message: header and payloads, every rule of PROTOCOL.md that needs no memory of
 * earlier messages, csr and pairs payloads read through. `start` is filled for a start message that is
 * accepted (else untouched).
 *
 * Returns FLY_REFUSE_NONE and fills msg; or the reason, with words (ASCII) in fly_fail_text(), and in
 * msg as much of session ("" unknown), stream, stream_idx (-1 unknown) and seq (0 unknown) as could be
 * read: the seq that a refusal uses up. Which reason wins when several hold: PROTOCOL.md.
 *
 *   parts    parts[0] is the header. At most FLY_PARTS_MAX of them are looked at
 *   n_parts  as many as came; more than FLY_PARTS_MAX is refused
 *   open     the open session, or one whose stop has come; session NULL when there is none */
enum fly_refusal fly_ingest_decode(struct fly_ingest *msg, struct fly_start *start,
                                   const struct fly_part *parts, int32_t n_parts,
                                   const struct fly_session_view *open);

/* What fly_ingest.cmd_id holds for an id that is a string. */
uint64_t fly_ingest_cmd_id(const char *text, size_t len);

/* 1 when two scanned headers say the same but for t_ns, keys in any order: start messages may be
 * repeated so. By a 64-bit digest. */
int fly_start_same(const struct fly_part *a, const struct fly_part *b);

/* ---- writing msgpack: a bounded builder over memory the caller has ---------------------------- */

/* Once something did not fit, nothing more is written. Text handed in is UTF-8. */

struct fly_pack {
    unsigned char *bytes;
    size_t len, cap;
    int full; /* something did not fit: len stands at the last whole item */
};
void fly_pack_init(struct fly_pack *pack, void *bytes, size_t cap);
void fly_pack_map(struct fly_pack *pack, uint32_t entries);
void fly_pack_array(struct fly_pack *pack, uint32_t items);
void fly_pack_str(struct fly_pack *pack, const char *text);
void fly_pack_strn(struct fly_pack *pack, const char *text, size_t len);
void fly_pack_int(struct fly_pack *pack, int64_t value);
void fly_pack_uint(struct fly_pack *pack, uint64_t value);
void fly_pack_f64(struct fly_pack *pack, double value); /* nil when not finite */
void fly_pack_bool(struct fly_pack *pack, int value);
void fly_pack_nil(struct fly_pack *pack);
void fly_pack_raw(struct fly_pack *pack, const void *bytes, size_t len); /* one packed value */

/* An entry of a map: the key, and the value as above. */
void fly_pack_key_str(struct fly_pack *pack, const char *key, const char *text);
void fly_pack_key_text(struct fly_pack *pack, const char *key, const char *text); /* nil when NULL or empty */
void fly_pack_key_int(struct fly_pack *pack, const char *key, int64_t value);
void fly_pack_key_uint(struct fly_pack *pack, const char *key, uint64_t value);
void fly_pack_key_f64(struct fly_pack *pack, const char *key, double value);
void fly_pack_key_bool(struct fly_pack *pack, const char *key, int value);

/* ---- reading msgpack: a cursor over scanned bytes ---------------------------------------------- */

/* After fly_wire_scan said yes, values are found in place. A fly_value is a view of one value. */
struct fly_value {
    const unsigned char *at, *end;
};
enum fly_kind { FLY_KIND_NIL, FLY_KIND_BOOL, FLY_KIND_INT, FLY_KIND_FLOAT, FLY_KIND_STR, FLY_KIND_ARRAY,
                FLY_KIND_MAP };
struct fly_value fly_value_root(const void *bytes, size_t len);
enum fly_kind fly_value_kind(struct fly_value value);
int fly_value_get(struct fly_value map, const char *key, struct fly_value *out); /* 1 found, 0 not */
int fly_value_str(struct fly_value value, const char **text, size_t *len);      /* 1 when a string */
int fly_value_int(struct fly_value value, int64_t *out);    /* 1 when an integer within int64 */
int fly_value_uint(struct fly_value value, uint64_t *out);  /* 1 when an integer >= 0 */
int fly_value_f64(struct fly_value value, double *out);     /* 1 when a finite float or an integer */
int fly_value_bool(struct fly_value value, int *out);
uint32_t fly_value_count(struct fly_value value);           /* items of an array, entries of a map */
/* Walk: start with it->at = NULL; 1 while there is a next. key is NULL for arrays. */
struct fly_value_iter { const unsigned char *at; uint32_t left; };
int fly_value_next(struct fly_value container, struct fly_value_iter *it, struct fly_value *key,
                   struct fly_value *value);
size_t fly_value_bytes(struct fly_value value, const void **bytes); /* the packed value itself */

#endif
