/* stream/steer.h: the words of steering: targets, suggestions, commands and their acknowledgements.
 *
 * PROTOCOL.md is the contract. A suggestion is published (topic `suggest`); a command goes to the
 * acquisition that is attached, over its control socket; an ack comes back and is not replied to.
 * What is worth measuring, what is allowed, and who owns the beam is for others: here are shape,
 * ranges and words.
 *
 * Parts    of a command and an ack: [header], as after the empty part. Neither carries a payload.
 * Units    px are pixels of the session's scan, (y, x), origin top left, y down; a box is h x w of them
 *          and covers y0 <= y < y0 + h. Numbers need not be whole: a target may follow a drift.
 * Memory   targets lie in storage that the caller has; everything else is a value in its struct.
 *          Nothing is allocated, and nothing points into the parts after decoding.
 * Numbers  a double that is not known is NaN here and nil there.
 * Threads  pure but for fly_fail's text.
 */
#ifndef FLY_STREAM_STEER_H
#define FLY_STREAM_STEER_H

#include <stdint.h>

#include "engine/base/signal.h"
#include "stream/publish.h"
#include "stream/wire.h"

enum {
    FLY_TARGETS_MAX = 512,     /* of one message; a header of 64 KiB holds about 280 boxes with nm */
    FLY_ALTERNATIVES_MAX = 8,  /* of one suggestion */
    FLY_CMD_ID_MAX = 64,       /* bytes of [A-Za-z0-9._-]; the same for decision ids */
    FLY_TARGET_REASON_MAX = 63,
    FLY_ACK_REASON_MAX = 255,
    FLY_STEER_WORD_MAX = 31,   /* bytes of policy, mode and stop */
};

/* What a command wants done. BOX, POINT_LIST and LINE measure their targets, which are all of that kind,
 * in their order. STOP ends what is running after the line being measured; BLANK takes the beam off;
 * RASTER falls back to full frames. */
enum fly_command_kind {
    FLY_COMMAND_BOX, FLY_COMMAND_POINT_LIST, FLY_COMMAND_LINE, FLY_COMMAND_STOP, FLY_COMMAND_BLANK,
    FLY_COMMAND_RASTER,
    FLY_COMMAND_KINDS
};
const char *fly_command_kind_name(enum fly_command_kind kind); /* "box", "point_list", ... */

enum fly_target_kind { FLY_TARGET_POINT, FLY_TARGET_BOX, FLY_TARGET_LINE, FLY_TARGET_KINDS };
const char *fly_target_kind_name(enum fly_target_kind kind); /* "point", "box", "line" */

/* Whether a command of this kind has targets: BOX, POINT_LIST, LINE. */
int fly_command_measures(enum fly_command_kind kind);

/* The scan that targets lie in. */
struct fly_steer_field {
    int32_t height_px, width_px; /* 1 .. FLY_SCAN_SIDE_MAX */
    double pixel_nm[2];          /* y, x; NaN: not known, and nm goes out as nil */
};

/* One place to measure. On the wire it also says frac (px over the scan) and nm (px times pixel_nm), which
 * the encoder makes. */
struct fly_target {
    enum fly_target_kind kind;
    double px[4];          /* point [y, x]; box [y0, x0, h, w]; line [y0, x0, y1, x1]; the rest 0 */
    double dwell_us;       /* of each pixel and frame, > 0, at most FLY_DWELL_MAX_NS */
    enum fly_signal signal;
    double expected_gain;  /* fall of the map's expected error, chips; NaN: nil */
    double dose_e_per_A2;  /* of each pixel, all frames; >= 0; NaN: nil */
    char reason[FLY_TARGET_REASON_MAX + 1]; /* "": nil */
};

/* {stream: seq} as a value of its own: what a decision was made from. */
struct fly_as_of {
    int32_t count;
    char names[FLY_STREAMS_MAX][FLY_NAME_MAX + 1];
    uint64_t seq[FLY_STREAMS_MAX]; /* 0 .. INT64_MAX as read: a line of JSON holds no more */
};
void fly_as_of_copy(struct fly_as_of *out, const struct fly_pub_streams *streams);

/* ---- command -------------------------------------------------------------------------------------- */

/* For STOP and BLANK only cmd_id, kind and valid_until_ns say something, and no expiry makes them void.
 * RASTER has no targets, and may leave the rest to the acquisition. */
struct fly_command {
    char cmd_id[FLY_CMD_ID_MAX + 1];      /* an integer on the wire becomes its decimal digits */
    char decision_id[FLY_CMD_ID_MAX + 1]; /* "": nil, of kinds without targets alone */
    enum fly_command_kind kind;
    struct fly_target *targets;           /* (targets_cap), the caller's; n_targets of them are filled */
    int32_t n_targets, targets_cap;
    int64_t frame;          /* the first number that its data must carry; -1: nil */
    int32_t frames;         /* how often each target is measured, under frame .. frame + frames - 1; 0: nil */
    double dwell_us;        /* the longest of its targets'; NaN: nil */
    int64_t valid_until_ns; /* Unix; not to be begun after it. >= 0 */
    struct fly_as_of as_of;
};

/* One command as a header.
 *
 *   field  of the session; only read when there are targets
 *
 * FLY_ERANGE  what was handed in breaks a rule that fly_command_decode holds, or the header does not fit
 *             the pack or the protocol's 64 KiB; pack is not to be sent then */
FLY_MUST_USE int fly_command_encode(struct fly_pack *pack, const struct fly_command *command,
                                    const struct fly_steer_field *field);

/* command->targets and targets_cap are the caller's; all else is filled.
 *
 *   field  NULL: nothing is held against the scan, and frac and nm are passed over
 *
 * A command needs cmd_id, kind and valid_until_ns; one that measures also decision_id, targets, frame,
 * frames and dwell_us; what is absent or nil else is filled as nil. A target needs kind, px, dwell_us and signal; frac, nm, expected_gain, dose_e_per_A2 and reason may be
 * absent or nil, but where frac or nm stand they must say the same place as px, within a hundredth of a
 * pixel. nm is passed over where the field's pixel_nm is not known.
 *
 * Returns FLY_REFUSE_NONE, or the first of these, with words in fly_fail_text() and in cmd_id the id if
 * it could be read ("" otherwise), so that an ack can say no:
 *   oversize, malformed   the scan; more than FLY_PARTS_MAX parts
 *   bad_key, bad_type     of type
 *   unknown_type          no command
 *   payload_size          payloads
 *   bad_key, bad_type     a key missing or of another type, in the command, then in a target
 *   bad_value             a number that is not finite; an unknown word; a range; targets without need or
 *                         none where they are needed, of another kind than the command's, or of several
 *                         signals; a target that dwells longer than the command's dwell_us says; frac or
 *                         nm that disagree with px
 *   oversize              more targets than targets_cap or FLY_TARGETS_MAX
 *   outside               a target beyond the scan; frame + frames beyond FLY_FRAMES_MAX */
enum fly_refusal fly_command_decode(struct fly_command *command, const struct fly_steer_field *field,
                                    const struct fly_part *parts, int32_t n_parts);

/* Whether a data message answers a command: ingest carries its id as a number (wire.h), of which this
 * side knows the text. Different ids may agree by chance, once in 2^64. */
int fly_cmd_id_is(const char *cmd_id, uint64_t ingest_cmd_id);

/* ---- ack ------------------------------------------------------------------------------------------ */

enum fly_ack_status { FLY_ACK_RECEIVED, FLY_ACK_STARTED, FLY_ACK_DONE, FLY_ACK_REJECTED, FLY_ACK_STATUSES };
const char *fly_ack_status_name(enum fly_ack_status status); /* "received", ... */

struct fly_ack {
    char cmd_id[FLY_CMD_ID_MAX + 1];
    enum fly_ack_status status;
    char reason[FLY_ACK_REASON_MAX + 1]; /* "": nil; a longer one is cut */
    int has_achieved;                    /* 0: nil */
    struct {
        int64_t frames;    /* begun, >= 0 */
        int64_t pixels;    /* exposed, each frame counted, >= 0 */
        double dwell_us;   /* mean over those pixels, >= 0; NaN: nil */
    } achieved;
};

FLY_MUST_USE int fly_ack_encode(struct fly_pack *pack, const struct fly_ack *ack); /* FLY_ERANGE as above */

/* Refusals as of a command's; cmd_id as there. */
enum fly_refusal fly_ack_decode(struct fly_ack *ack, const struct fly_part *parts, int32_t n_parts);

/* ---- suggest --------------------------------------------------------------------------------------- */

/* When enough is measured: with all of the first four, or with the budget alone. */
enum fly_until { FLY_UNTIL_ERROR, FLY_UNTIL_BIRTHS, FLY_UNTIL_AGREEMENT, FLY_UNTIL_COMPOSITION, FLY_UNTIL_BUDGET, FLY_UNTILS };
const char *fly_until_name(enum fly_until until); /* "error", "births", ... */

struct fly_suggest_until {
    double now;   /* NaN: not known */
    double limit; /* NaN: none is set */
    int met;
};

struct fly_suggest {
    char decision_id[FLY_CMD_ID_MAX + 1];
    char policy[FLY_STEER_WORD_MAX + 1];
    char mode[FLY_STEER_WORD_MAX + 1];
    struct fly_target *targets;      /* (targets_cap), best first; may be of several kinds and signals */
    int32_t n_targets, targets_cap;
    struct fly_target *alternatives; /* (alternatives_cap), the best that were not chosen */
    int32_t n_alternatives, alternatives_cap;
    struct fly_as_of as_of;
    int64_t valid_until_ns;
    double expected_error;           /* of the map, 0 .. 1; NaN: nil */
    char stop[FLY_STEER_WORD_MAX + 1]; /* why nothing more is needed; "": nil, it goes on */
    struct fly_suggest_until until[FLY_UNTILS];
};

/* FLY_ERANGE as in publish.h, or a rule of targets is broken. */
FLY_MUST_USE int fly_pub_suggest(struct fly_pub_message *out, struct fly_pack *pack,
                                 const struct fly_pub_id *id, const struct fly_suggest *suggest,
                                 const struct fly_steer_field *field);

/* header as fly_published_decode left it; storage of targets as in a command; alternatives_cap 0 passes
 * them over; `until` is for people, and is not read. field as there.
 *
 * FLY_EWIRE  a key is missing or wrong, or there are more targets than room */
FLY_MUST_USE int fly_suggest_decode(struct fly_suggest *out, struct fly_value header,
                                    const struct fly_steer_field *field);

/* ---- what came in on a control socket ------------------------------------------------------------- */

enum fly_control_type { FLY_CONTROL_OTHER, FLY_CONTROL_REQUEST, FLY_CONTROL_REPLY, FLY_CONTROL_COMMAND,
                        FLY_CONTROL_ACK };

/* By its `type` alone; OTHER also for a header that does not pass the scan. Whoever decodes it scans it
 * again. */
enum fly_control_type fly_control_type_of(const struct fly_part *header);

#endif
