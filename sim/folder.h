/* sim/folder.h: files that appear in a folder, each once it is complete.
 *
 * A file counts as complete when its size and its time of change have stood still for a while and it can
 * be opened. inotify wakes early; what it does not see (a network drive, another machine's writes) is
 * found by looking again at each poll. Looked at are names of the given endings that do not begin
 * with . or ~; what programs append while they write (.tmp, .part, ~) is no such ending.
 *
 * Memory   some 300 bytes for each file of the folder.
 * Threads  one.
 */
#ifndef FLY_SIM_FOLDER_H
#define FLY_SIM_FOLDER_H

#include <stdint.h>

#include "engine/base/err.h"

enum { FLY_FOLDER_NAME_MAX = 255 };

struct fly_folder_config {
    const char *path;
    const char *const *endings; /* ".emd", ...; NULL after the last. Case does not matter */
    double settle_s;            /* unchanged for so long */
    double poll_s;              /* looked at so often, whatever inotify says */
    int existing;               /* 0: what is there at the beginning is left alone until it changes */
};

struct fly_folder_file {
    char name[FLY_FOLDER_NAME_MAX + 1];
    int64_t size, mtime_ns;
};

struct fly_folder;

/* FLY_EIO: no such folder, or it cannot be read. FLY_ENOMEM. */
FLY_MUST_USE int fly_folder_open(struct fly_folder **out, const struct fly_folder_config *config);
void fly_folder_close(struct fly_folder **folder);

/* The next complete file, the oldest first. It is not told again unless it changes.
 * FLY_EAGAIN: none within timeout_ms, or a signal came. FLY_EIO: the folder is gone. */
FLY_MUST_USE int fly_folder_next(struct fly_folder *folder, int32_t timeout_ms, struct fly_folder_file *file);

#endif
