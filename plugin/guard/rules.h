/* plugin/guard/rules.h: may this command reach the acquisition?
 *
 * A judge without a clock, a socket or a memory of its own: limits, book, situation and command in, a
 * verdict out. The same in gives the same out. Nothing is rounded in a command's favour.
 *
 * `stop` and `blank` always pass, whatever else is wrong with them or with the world.
 *
 * Threads  one for each book; pure but for fly_fail's text.
 */
#ifndef FLY_PLUGIN_GUARD_RULES_H
#define FLY_PLUGIN_GUARD_RULES_H

#include "plugin/guard/book.h"

/* In the order in which they are looked for: the first that holds is the reason. */
enum fly_guard_verdict {
    FLY_GUARD_PASS = 0,
    FLY_GUARD_MALFORMED,    /* not a command of the protocol: never the judge's word, the codec says so before */
    FLY_GUARD_KIND,         /* no kind of command that is known */
    FLY_GUARD_JOURNAL,      /* what cannot be written down does not leave */
    FLY_GUARD_DETACHED,     /* nobody to carry it out, or nobody attached to give it */
    FLY_GUARD_HELD,         /* a person said hold, or a stop came while it waited to be judged */
    FLY_GUARD_SESSION,      /* no session, or another one than the plugin's */
    FLY_GUARD_LEDGER,       /* the plugin was not asked for its ledger yet */
    FLY_GUARD_CALIBRATION,  /* dose without beam current, pixel size or dwell of the survey */
    FLY_GUARD_ID,           /* no id, one that is none, or one of the guard's own */
    FLY_GUARD_REPEATED,     /* that id was here already */
    FLY_GUARD_DECISION,     /* no decision, or one that a command answered already */
    FLY_GUARD_FULL,         /* more ids than can be remembered */
    FLY_GUARD_ID_ORDER,     /* a number below the last one's */
    FLY_GUARD_EXPIRED,
    FLY_GUARD_AHEAD,        /* valid for too long */
    FLY_GUARD_STALE,        /* decided on less than the command before */
    FLY_GUARD_FRAMES,       /* how many */
    FLY_GUARD_FRAME_ORDER,  /* which: below those used */
    FLY_GUARD_TARGETS,      /* none, too many, or of another kind */
    FLY_GUARD_NUMBER,       /* not finite, not whole pixels, or without extent */
    FLY_GUARD_DWELL,
    FLY_GUARD_SLEW,
    FLY_GUARD_OUTSIDE,      /* of the field of view less its margin */
    FLY_GUARD_BOX,          /* a side too long */
    FLY_GUARD_OVERLAP,
    FLY_GUARD_LINE_ORDER,   /* lines that turn back */
    FLY_GUARD_STEP,
    FLY_GUARD_OPEN,         /* too many under way */
    FLY_GUARD_RATE,
    FLY_GUARD_REVISIT,
    FLY_GUARD_CHIP_DOSE,
    FLY_GUARD_TOTAL_DOSE,
    FLY_GUARD_VERDICTS
};
const char *fly_guard_verdict_name(enum fly_guard_verdict verdict); /* "pass", "chip_dose", ... */

/* What is the case when a command comes. */
struct fly_guard_now {
    int64_t mono_ns, unix_ns;
    const char *session;  /* the plugin's, as it last said */
    int attached;         /* acquisition and plugin both are, in a mode that sends commands */
    int held;
    const char *held_by;  /* in words, NULL: not told */
    int ledger_asked;     /* dose.get was answered, if only with an error */
    int journal_ok;
};

/* book NULL: there is no session. The book is as it was afterwards (its hits are the judge's scratch).
 *
 * Targets come in line order: down or up the slow scan without turning back, those of one band of lines one
 * after the other along it, in either direction. A step is the way from the last pixel of a target (bottom
 * right) to the first of the next (top left), also from one frame of a command to its next and from the command
 * before.
 *
 * Other than FLY_GUARD_PASS leaves words in fly_fail_text(), with the numbers and what is allowed. */
enum fly_guard_verdict fly_guard_judge(const struct fly_guard_limits *limits, struct fly_guard_book *book,
                                       const struct fly_guard_now *now, const struct fly_command *command);

#endif
