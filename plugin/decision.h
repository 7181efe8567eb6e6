/* plugin/decision.h: what the engine stage and the helm tell each other about steering.
 *
 * The engine stage makes decisions (steering.h), the publisher's helm (helm.h) does something with them; the bus carries
 * orders one way, decisions and what became of their data the other. All of it is plain values, copied.
 */
#ifndef FLY_PLUGIN_DECISION_H
#define FLY_PLUGIN_DECISION_H

#include <stdint.h>

#include "stream/steer.h"

enum {
    FLY_DECISION_TARGETS = 256, /* as many boxes as a header of 64 KiB surely holds */
    FLY_STEER_BARRED_MAX = 1024, /* boxes of chips */
    FLY_STEER_BY_MAX = 64 /* bytes of who did something, for people */
};

enum fly_steer_mode { FLY_STEER_OFF = 0, FLY_STEER_ADVISE, FLY_STEER_ASK, FLY_STEER_AUTO, FLY_STEER_MODES };
const char *fly_steer_mode_name(enum fly_steer_mode mode); /* "off", "advise", "ask", "auto" */

/* Limits of whoever owns the beam; they only tighten those of the configuration. NaN: none. */
struct fly_steer_limits {
    double dose_e_per_A2; /* of a chip's most exposed pixel */
    double box_px;        /* longest side of a target */
    double rate_hz;       /* of commands */
};

struct fly_chip_box {
    int32_t row, col, rows, cols;
};

/* What a plan came to, as it is told and commanded. */
struct fly_decision {
    uint64_t serial;  /* of the session */
    uint64_t orders;  /* version of those that it was made under */
    char id[FLY_CMD_ID_MAX + 1];
    uint64_t epoch;
    char policy[FLY_STEER_WORD_MAX + 1];
    char stop[FLY_STEER_WORD_MAX + 1]; /* "": it goes on */
    int32_t n_targets;
    struct fly_target targets[FLY_DECISION_TARGETS]; /* in the order of their measurement */
    int32_t best_first[FLY_DECISION_TARGETS];        /* indices of them */
    struct fly_chip_box boxes[FLY_DECISION_TARGETS]; /* the chips of each */
    int32_t n_alternatives;
    struct fly_target alternatives[FLY_ALTERNATIVES_MAX];
    struct fly_as_of as_of;
    double expected_error;
    struct fly_suggest_until until[FLY_UNTILS];
    double cost_us;         /* of beam time, moves included */
    double beam_px[2];      /* where it leaves the beam */
    double dose_mean_us, dose_max_us, dose_factor; /* of the map so far; e-/A^2 of a us, NaN: not known */
    int64_t valid_until_ns; /* Unix; the helm says */
};

/* Why nothing is proposed just now, a sentence for people; "": something is. */
struct fly_steer_idle {
    uint64_t serial; /* of the session */
    char why[256];
};

/* From the helm to the engine stage. */
struct fly_steer_orders {
    uint64_t serial;    /* of the session */
    uint64_t version;   /* grows when anything here changes */
    uint64_t again;     /* grows when the last decision is of no use any more: plan anew, epoch or not */
    enum fly_steer_mode mode;
    int wanted;         /* 0: no plans just now, one waits for a person or is under way */
    struct fly_steer_limits limits;
    int32_t n_barred;
    struct fly_chip_box barred[FLY_STEER_BARRED_MAX];
    double beam_px[2];  /* where the last command leaves the beam; NaN: not known */
    /* The command under way, or the last one: its data are counted. "" before the first. */
    char cmd_id[FLY_CMD_ID_MAX + 1];
    int64_t frame;
    int32_t frames, n_targets;
    struct fly_target targets[FLY_DECISION_TARGETS];
};

/* What came in of the data of a command. */
struct fly_answer {
    char cmd_id[FLY_CMD_ID_MAX + 1];
    int64_t image_px, eds_px; /* of the image and of the first segment */
    int64_t outside_px;       /* of both, beyond its targets or under another frame number */
    double dwell_us, commanded_us; /* of the pixel whose dwell was farthest from what was commanded; 0: none came */
};

/* What a recording says of the time before a restart. */
struct fly_helm_memory {
    int there;
    int held;
    char held_by[FLY_STEER_BY_MAX + 1];
    int64_t frames_through; /* numbers below may have been used */
    int64_t last_number;    /* of commands and decisions */
};

#endif
