/* plugin/guard/journal_read.h: the journal's own lines, read back. For journal.c alone. */
#ifndef FLY_PLUGIN_GUARD_JOURNAL_READ_H
#define FLY_PLUGIN_GUARD_JOURNAL_READ_H

#include "plugin/guard/journal.h"

/* Goes where a line broke off, and ends it. */
#define FLY_GUARD_TORN_MARK "\n{\"v\": 1, \"t_ns\": 0, \"what\": \"torn\"}\n"

/* From the file's begin to its size; journal->torn tells whether it ends within a line. Codes and times as of
 * fly_guard_journal_open; *past holds what was read so far, also on an error. */
FLY_MUST_USE int fly_guard_journal_read_back(struct fly_guard_journal *journal, const struct fly_guard_limits *limits,
                                             int64_t unix_ns, int64_t mono_ns, struct fly_guard_past *past);

#endif
