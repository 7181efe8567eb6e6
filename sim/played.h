/* sim/played.h: which files of a watched folder were sent before, kept in a file.
 *
 * One line each: session, size, time of change (Unix ns), name, tabs between. A file is known by name, size
 * and time without being read; what it holds is known by its session, whose id is a hash of the content.
 *
 * Threads  one.
 */
#ifndef FLY_SIM_PLAYED_H
#define FLY_SIM_PLAYED_H

#include "sim/folder.h"

struct fly_played;

/* Read DIR/sent.tsv, or begin it. FLY_EIO, FLY_ENOMEM; FLY_EWIRE: a line that is none, and where. */
FLY_MUST_USE int fly_played_open(struct fly_played **out, const char *dir);
void fly_played_close(struct fly_played **played);

int fly_played_file(const struct fly_played *played, const struct fly_folder_file *file);
int fly_played_session(const struct fly_played *played, const char *session);

/* Kept on disk before it returns. FLY_EIO, FLY_ENOMEM. */
FLY_MUST_USE int fly_played_add(struct fly_played *played, const char *session, const struct fly_folder_file *file);

#endif
