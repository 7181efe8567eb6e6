/* plugin/terminal.h: a map as text: coloured half blocks, letters, or one line for a log.
 *
 * Drawing is pure: a state and a terminal's size in, bytes out. Whoever calls it writes them.
 *
 * A character cell holds two chips, one above the other (the upper half block, U+2580). A map larger
 * than the terminal is reduced by a whole number, each cell showing the label most of its chips have (the
 * first of equals); a smaller one is enlarged by a whole number. Without colour chips are letters: A
 * is class 0, '.' not measured, '?' unknown, '-' too little, '~' minor.
 *
 * Text from outside cannot speak to the terminal: control characters are replaced.
 *
 * Threads  any; pure but for fly_terminal_look.
 */
#ifndef FLY_PLUGIN_TERMINAL_H
#define FLY_PLUGIN_TERMINAL_H

#include <stdint.h>

#include "plugin/text.h"

enum fly_terminal_colours { FLY_TERMINAL_LETTERS = 0, FLY_TERMINAL_256, FLY_TERMINAL_24BIT };

struct fly_terminal {
    int32_t cols, rows; /* of characters, >= 20 and >= 6 when drawing */
    enum fly_terminal_colours colours;
    int redraw;         /* 1: a terminal that can be written over; 0: plain lines */
};

enum { FLY_VIEW_NAME_MAX = 64, FLY_VIEW_CLASSES_MAX = 64, FLY_VIEW_EVENT_MAX = 200 };

struct fly_view_class {
    int32_t id;
    uint32_t colour; /* 0xRRGGBB */
    char name[FLY_VIEW_NAME_MAX + 1];
};

/* What steers, as the plugin's status tells it. */
struct fly_view_steer {
    int there;             /* 0: nothing is told of it, or it is off and not held */
    char mode[16], policy[32];
    int held;              /* here, or by the guard */
    int64_t pending;       /* commands under way, or about to be */
    double expected_error; /* of the map, 0 .. 1 */
    char stop[32];         /* why nothing more is worth measuring; "": it goes on */
};

/* Dose of the specimen so far, of the chips in the mean and of the most exposed pixel. */
struct fly_view_dose {
    int there, calibrated; /* calibrated: e-/A^2, else us of dwell */
    double mean, max;
};

/* What there is to see. NaN and -1 stand for numbers not known. */
struct fly_view {
    char session[FLY_VIEW_NAME_MAX + 1]; /* "": none */
    char state[16];                      /* "idle", "running", "draining", "stopped" */
    char method[32], modality[32];
    int final;                           /* the map is the session's last */
    int32_t map_rows, map_cols;          /* 0: no map yet */
    const int32_t *labels;               /* (R, C); class ids or enum fly_label */
    int32_t n_classes;
    struct fly_view_class classes[FLY_VIEW_CLASSES_MAX];
    double lines_s, p50_ms, p99_ms;
    double ami[3];                       /* of the method: haadf and eds, haadf and ensemble, eds and ensemble */
    char leads[16];                      /* the modality that the ensemble follows more; "": neither */
    int has_reliability;                 /* 1: the method has one, and it is known */
    double reliability[2];               /* haadf, eds */
    double threshold, modularity;        /* of the modality's graph, where the method is community */
    int64_t backlog_chips;
    int64_t gaps;                        /* numbers missing at ingest so far */
    int64_t undurable;                   /* messages not on disk yet; 0: all are */
    struct fly_view_steer steer;
    struct fly_view_dose dose;
    char event[FLY_VIEW_EVENT_MAX + 1];  /* the newest, with its level; "": none */
};

/* Size and abilities of the terminal behind fd: TIOCGWINSZ, TERM, COLORTERM, NO_COLOR. */
void fly_terminal_look(struct fly_terminal *terminal, int fd);

/* The same from plain values; NULL: the variable is not set. is_tty 0: redraw 0, letters. */
void fly_terminal_decide(struct fly_terminal *terminal, int is_tty, const char *term,
                         const char *colorterm, const char *no_color);

/* A whole frame of at most terminal->rows lines, each at most terminal->cols wide. With redraw it begins
 * at the top left corner, clears to the end of each line and below. */
void fly_terminal_draw(struct fly_text *out, const struct fly_view *view,
                       const struct fly_terminal *terminal);

/* The state on one line, for logs and pipes. */
void fly_terminal_line(struct fly_text *out, const struct fly_view *view);

/* To write before the first frame and after the last. */
extern const char fly_terminal_enter[]; /* clears the screen, hides the cursor */
extern const char fly_terminal_leave[]; /* shows it again */

/* Chips of each label of classes (in their order), and in *measured those with any label but -1. */
void fly_view_count(const struct fly_view *view, int64_t chips[FLY_VIEW_CLASSES_MAX], int64_t *measured);

#endif
