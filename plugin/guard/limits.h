/* plugin/guard/limits.h: what steering may do at most, as a person wrote it down.
 *
 * The file is YAML of the plainest kind: one `key: value` a line, comments after #. Its first key says
 * what it is, `guard_limits: 1`. It is read once, when the guard starts: no request, no signal and no
 * message changes a limit; those that an acquisition sends with steer.attach can only tighten.
 *
 * Units stand in the keys. A key without a safe default has to be there.
 *
 * Threads  plain values; pure but for fly_fail's text.
 */
#ifndef FLY_PLUGIN_GUARD_LIMITS_H
#define FLY_PLUGIN_GUARD_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "plugin/text.h"

enum { FLY_GUARD_LIMITS_VERSION = 1, FLY_GUARD_LIMITS_FILE_MAX = 64 * 1024 };

/* What the acquisition is told to do when the plugin falls silent. */
enum fly_guard_safe { FLY_GUARD_SAFE_STOP, FLY_GUARD_SAFE_BLANK, FLY_GUARD_SAFE_RASTER };
const char *fly_guard_safe_name(enum fly_guard_safe safe); /* "stop", "blank", "raster" */

/* Range, default and meaning of each stand in the table (limits.c), which the file's refusals, the print and
 * the shipped configs/guard-limits.yaml follow. */
struct fly_guard_limits {
    int32_t guard_limits;         /* FLY_GUARD_LIMITS_VERSION */
    double chip_dose_e_per_A2;    /* of any pixel, survey included; a cell counts as its worst pixel */
    double total_dose_e_per_A2;   /* mean over the field of view, survey included */
    double dwell_min_us, dwell_max_us;
    int32_t margin_px;            /* of the field of view, that targets keep away from */
    double step_px;               /* from the end of one target to the next one's begin */
    double slew_px_per_us;        /* of the beam while it measures: a pixel each dwell */
    double commands_per_s;
    int32_t open_commands;        /* sent and not answered by done or rejected */
    int32_t targets_per_command;
    double box_px;                /* longest side of a target */
    int32_t frames_per_command;
    double revisit_ms;            /* rest of a place between two commands */
    double valid_ahead_s;         /* how far ahead valid_until_ns may lie */
    double heartbeat_s;           /* silence of the plugin after which safe_state is sent */
    int32_t safe_state;           /* enum fly_guard_safe */
    double beam_current_na;       /* 0: as the session says; else the larger of the two counts */
    double pixel_nm;              /* 0: as the session says; else the smaller of the two counts */
    double survey_dwell_us;       /* 0: the session's pixel_time_us; else the larger of the two counts */
    int32_t survey_frames;        /* when the session does not say frames_planned */
    int32_t cell_px;              /* side of the squares that dose is booked in; 0: a chip */
};

/* 1 when the text begins, comments aside, with the key guard_limits. */
int fly_guard_limits_is(const char *text, size_t len);

/* Read a limits file's text; name is for the words.
 *
 * FLY_ERANGE  "name:line: what is wrong, and what is allowed"; *limits is as it was */
FLY_MUST_USE int fly_guard_limits_read(struct fly_guard_limits *limits, const char *text, size_t len,
                                       const char *name);

/* The same of a file. FLY_EIO when it cannot be read. */
FLY_MUST_USE int fly_guard_limits_load(struct fly_guard_limits *limits, const char *path);

/* What an acquisition asks for in steer.attach; NaN: nothing. */
struct fly_guard_tighter {
    double dose_e_per_A2, box_px, rate_hz;
};

/* The limits with those of an attachment, each the smaller one. */
struct fly_guard_limits fly_guard_limits_tighten(const struct fly_guard_limits *limits,
                                                 const struct fly_guard_tighter *tighter);

/* "key: value" lines that read back to the same limits; with comments: as shipped, each key with its meaning,
 * unit, range and default. */
void fly_guard_limits_print(const struct fly_guard_limits *limits, struct fly_text *out, int comments);

/* Walk the limits as numbers, for a status: 1 while there is a key `at`; words are given as text, numbers have
 * text NULL. */
int fly_guard_limits_at(const struct fly_guard_limits *limits, int at, const char **key, double *value,
                        const char **text);

#endif
