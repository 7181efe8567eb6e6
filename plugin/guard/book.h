/* plugin/guard/book.h: what the guard keeps of one session: dose, ids, and commands under way.
 *
 * Dose is booked in advance. A command counts from the moment it is let through at the most that it
 * allows: its dwell time on every pixel of its targets in every one of its frames, begun or not. The
 * session's own frames count from its start. What the plugin's ledger says (dose.get) comes on top
 * where it is more, with all that is let through and may not be in it yet; where it is less, it
 * changes nothing. So neither a plugin that lies low nor one that lost its memory moves a cap; the one
 * thing given back is a command that the acquisition rejected before it began.
 *
 * Cells    dose is kept by squares of pixels, a square counting as its worst pixel and a target for all of
 *          each square that it touches. Squares are chips where the limits name no side, and grow, by whole
 *          multiples, until FLY_GUARD_CELLS_MAX cover the scan: coarser is stricter.
 * Units    dwell in whole ns of one pixel, so that sums are exact; e-/A^2 by the session's factor.
 * Memory   all at open: 28 bytes a cell and 3 MiB.
 * Threads  one.
 */
#ifndef FLY_PLUGIN_GUARD_BOOK_H
#define FLY_PLUGIN_GUARD_BOOK_H

#include <stdint.h>

#include "engine/base/err.h"
#include "plugin/guard/limits.h"
#include "stream/steer.h"

enum {
    FLY_GUARD_CELLS_MAX = 1 << 20,
    FLY_GUARD_IDS_MAX = 1 << 16,  /* commands of a session, refused ones too; the same of decisions. After them
                                   * nothing passes: hours at ten a second */
    FLY_GUARD_TRACKED = 64,       /* commands open, or done and perhaps not in the ledger yet */
    FLY_GUARD_RATE_MAX = 50,      /* departures remembered: as many as commands_per_s may ask for */
};

/* What the guard has to know of a session (`scan` of status). NaN and 0 as in wire.h: not said. */
struct fly_guard_session {
    char id[FLY_SESSION_MAX + 1];
    int32_t height_px, width_px;
    int64_t frames_planned;
    double pixel_nm[2], beam_current_na, pixel_time_us;
    int32_t rows, cols, chip_px, pitch_px; /* of the chips, the first at the origin; rows 0: no grid */
};

/* 1 when the scan is one, and the chips lie within it. */
int fly_guard_session_fits(const struct fly_guard_session *session);

/* e-/A^2 that a us of dwell gives to a pixel (engine/base/dose.h). 0: not known. */
double fly_guard_factor(const struct fly_guard_limits *limits, const struct fly_guard_session *session);

/* Pixels y0 <= y < y1, x0 <= x < x1. */
struct fly_guard_area {
    int32_t y0, x0, y1, x1;
};

/* All pixels that a target may touch; its numbers are finite and lie within +-2^30. */
struct fly_guard_area fly_guard_area_of(const struct fly_target *target);
double fly_guard_pixels_of(const struct fly_target *target); /* exposed in each frame, at most */

enum fly_guard_stage { FLY_GUARD_FREE = 0, FLY_GUARD_SENT, FLY_GUARD_STARTED, FLY_GUARD_DONE };

struct fly_guard_track {
    enum fly_guard_stage stage;
    char cmd_id[FLY_CMD_ID_MAX + 1];
    int64_t each_ns;        /* dwell of all frames on one pixel */
    double pixel_ns;        /* the same, summed over pixels */
    int64_t done_ns;        /* monotonic */
    int64_t valid_until_ns; /* Unix */
    int32_t n_areas;
    struct fly_guard_area areas[FLY_TARGETS_MAX];
};

struct fly_guard_id_set {
    uint64_t *slots; /* (2 * FLY_GUARD_IDS_MAX), 0: free */
    int32_t count;
};

struct fly_guard_book {
    struct fly_guard_session session;
    double factor;          /* e-/A^2 a us; 0: not known */
    int64_t survey_ns;      /* booked for the session's own frames; 0: not known */
    int64_t survey_frames;

    int32_t cell_px, rows, cols; /* of cells */
    int64_t *dose_ns;       /* (rows, cols): booked */
    int64_t *unsettled_ns;  /* of it, what may be missing in the ledger */
    int64_t *last_ns;       /* monotonic; INT64_MIN: never commanded */
    uint16_t *hits;         /* the judge's, zero between calls */
    uint16_t *busy;         /* targets of open commands there */
    double total_pixel_ns, unsettled_pixel_ns;
    int64_t worst_ns;       /* largest of dose_ns */

    struct fly_guard_id_set commands, decisions;
    char id_prefix[FLY_CMD_ID_MAX + 1];
    uint64_t id_number;
    int has_id;
    int64_t next_frame;     /* lowest that a command may have */
    struct fly_as_of as_of; /* of the newest command let through */

    int64_t sent_ns[FLY_GUARD_RATE_MAX]; /* ring of departures, monotonic */
    int32_t n_sent;
    int has_beam;
    double beam_px[2];      /* where the newest command ends */

    struct fly_guard_track *tracks; /* (FLY_GUARD_TRACKED) */
    int32_t n_open;
};

/* FLY_ENOMEM. Free what it holds with fly_guard_book_close, which forgives zeros. */
FLY_MUST_USE int fly_guard_book_open(struct fly_guard_book *book, const struct fly_guard_limits *limits,
                                     const struct fly_guard_session *session);
void fly_guard_book_close(struct fly_guard_book *book);

/* A command that the judge let through, at its departure. */
void fly_guard_book_take(struct fly_guard_book *book, const struct fly_command *command, int64_t mono_ns);

/* The id of one that was refused: it is used up all the same. */
void fly_guard_book_refuse(struct fly_guard_book *book, const char *cmd_id);

/* What the acquisition says; an id that is not under way changes nothing. DONE and REJECTED end a command. */
void fly_guard_book_ack(struct fly_guard_book *book, const struct fly_ack *ack, int64_t mono_ns);

/* Nothing is under way any more: the acquisition is gone, or has ended a stop. What was let through stays
 * booked, and its places begin their rest. */
void fly_guard_book_abandon(struct fly_guard_book *book, int64_t mono_ns);

/* Commands never answered that have been void for a while: an acquisition may not begin them any more. */
void fly_guard_book_lapse(struct fly_guard_book *book, int64_t unix_ns, int64_t mono_ns);

/* For a reader that saw no time pass: lapse, and where all are open still, end the one that is void first. What was
 * let through stays booked. */
void fly_guard_book_room(struct fly_guard_book *book, int64_t unix_ns, int64_t mono_ns);

/* The plugin's ledger: us of dwell a pixel, (rows, cols) of the session's chips, mean over all of them;
 * NaN where it does not know. asked_ns: when it was asked for, monotonic. FLY_ERANGE: another grid, or a number
 * that is none; nothing is changed. */
FLY_MUST_USE int fly_guard_book_ledger(struct fly_guard_book *book, const float *max_us, int32_t rows, int32_t cols,
                                       double mean_us, int64_t asked_ns);

/* One more full frame at the survey's dwell. */
void fly_guard_book_frame(struct fly_guard_book *book);

double fly_guard_book_worst(const struct fly_guard_book *book); /* e-/A^2 of the worst cell; NaN: no factor */
double fly_guard_book_mean(const struct fly_guard_book *book);  /* e-/A^2 over the field; NaN: no factor */

/* FLY_ENOMEM */
FLY_MUST_USE int fly_guard_ids_open(struct fly_guard_id_set *set);
void fly_guard_ids_close(struct fly_guard_id_set *set);
void fly_guard_ids_add(struct fly_guard_id_set *set, const char *id); /* nothing once it is full */
int fly_guard_ids_has(const struct fly_guard_id_set *set, const char *id);
/* The number at the end of an id, and the bytes before it: 1, or 0 when there is no number in 64 bits. */
int fly_guard_id_number(const char *id, uint64_t *number, size_t *prefix_len);

/* The cells that an area touches: rows r0 .. r1, columns c0 .. c1, both ends included. The area lies within the
 * scan. */
struct fly_guard_area fly_guard_cells(const struct fly_guard_book *book, const struct fly_guard_area *area);

#endif
