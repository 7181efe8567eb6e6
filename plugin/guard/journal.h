/* plugin/guard/journal.h: what the guard let through and what it refused, line by line, for good.
 *
 * One JSON object a line, only ever appended. A command's line is on the disk before the command leaves;
 * so whoever starts again reads what may have been exposed, and no id passes twice.
 *
 * Keys of every line: `v` 1, `t_ns` Unix, `what`:
 *   open      `flyback`, `limits` in force: a guard began        close   it ended by itself
 *   torn      what is no line before it broke off: the disk was full, or the machine went down
 *   session   the session's geometry and calibration: the book begins anew
 *   attach    `by` plugin or acquisition, `mode`, `limits` in force; detach likewise, with `why`
 *   command   all that the command says, `verdict` and, when it is not `pass`, `why`
 *   malformed `by` its cmd_id, as far as it could be read, and `why`: no command of the protocol
 *   ack       `cmd_id`, `status`, `why`, `achieved`
 *   abandon   nothing is under way any more, with `why`
 *   frame     `frames` full frames were booked, of the safe state raster
 *   hold, resume   `by`
 *   safe      `state` sent, with `why`; ready: the plugin is back
 *
 * Threads  one.
 */
#ifndef FLY_PLUGIN_GUARD_JOURNAL_H
#define FLY_PLUGIN_GUARD_JOURNAL_H

#include <stdint.h>

#include "plugin/guard/book.h"
#include "plugin/guard/rules.h"
#include "plugin/text.h"
#include "stream/disk.h"

enum { FLY_GUARD_JOURNAL_VERSION = 1 };

struct fly_guard_journal {
    struct fly_disk disk;
    char *path;
    int fd;
    int64_t size;
    int ok;      /* the last write went well */
    int broken;  /* a sync failed: what is on the disk is not known, and stays so until a restart */
    int torn;    /* the file ends within a line that no whole mark follows */
    struct fly_text line;
};

/* What a restarted guard knows again. */
struct fly_guard_past {
    int has_session;
    struct fly_guard_book book; /* open where there is a session; the caller's to close */
    struct fly_guard_id_set sessions; /* all that were ever booked; the caller's to close */
    int held;
    int64_t lines;
};

/* Open or begin the journal at path and read it back; *past is filled. Ids, doses, what was under way, and a hold
 * come back as they were; times count as seen from now.
 *
 * FLY_EIO     the file cannot be opened, read or written, or another guard has it
 * FLY_EWIRE   "path:line: ...": a damaged line that is not the mark of a break-off: what was booked cannot be told.
 *             Only a person may take the file away
 * FLY_ENOMEM */
FLY_MUST_USE int fly_guard_journal_open(struct fly_guard_journal *journal, const struct fly_disk *disk,
                                        const char *path, const struct fly_guard_limits *limits, int64_t unix_ns,
                                        int64_t mono_ns, struct fly_guard_past *past);
void fly_guard_journal_close(struct fly_guard_journal *journal);

/* Each appends a line and returns FLY_OK, or FLY_EIO: it is not there, or not for sure; journal->ok tells the same.
 * Those that a restart depends on are synced: command that passed, session, hold, resume, abandon, frame. An ack that
 * is lost leaves more booked, never less. */
int fly_guard_journal_begin(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_guard_limits *limits);
int fly_guard_journal_session(struct fly_guard_journal *journal, int64_t unix_ns,
                              const struct fly_guard_session *session);
int fly_guard_journal_attach(struct fly_guard_journal *journal, int64_t unix_ns, const char *by, const char *mode,
                             const struct fly_guard_limits *limits);
int fly_guard_journal_command(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_command *command,
                              enum fly_guard_verdict verdict, const char *why);
int fly_guard_journal_ack(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_ack *ack);
int fly_guard_journal_frames(struct fly_guard_journal *journal, int64_t unix_ns, int64_t count);
/* "malformed", "detach", "abandon", "hold", "resume", "safe", "ready", "close" with two words, either may be NULL. */
int fly_guard_journal_word(struct fly_guard_journal *journal, int64_t unix_ns, const char *what, const char *by,
                           const char *why);

#endif
