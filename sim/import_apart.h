/* sim/import_apart.h: work done in a process of its own, so that no file can take the caller down.
 *
 * libhdf5 1.10 and its like crash on some damaged files, whatever is checked before (a string
 * longer than the heap it lies in, for one), and never come back from others (an object of size 0
 * in that heap). What reads foreign files therefore runs in a child; the caller learns how it
 * ended.
 */
#ifndef FLY_SIM_IMPORT_APART_H
#define FLY_SIM_IMPORT_APART_H

#include <stdint.h>
#include <sys/types.h>

#include "engine/base/err.h"

struct fly_apart {
    int exit_code; /* of work, 0 .. 255; -1: it died of a signal */
    int signal;
    int interrupted; /* SIGINT or SIGTERM came, and was passed on */
    pid_t pid;
};

/* Run work(ctx) in a forked child and wait for it; what it returns is its exit code. SIGINT and
 * SIGTERM of this process are passed on while it runs, the second time as SIGKILL: a library in an
 * endless loop looks at no flag. The child dies with its parent. Call before other threads are
 * made.
 *
 * FLY_EIO  the system makes no process; nothing was done
 */
FLY_MUST_USE int fly_import_apart(struct fly_apart *apart, int (*work)(void *ctx), void *ctx);

/* In the child: I am getting on. It dies of SIGPROF unless this is called again before cpu_s
 * seconds of processor time are spent; waiting for a slow disk spends none. */
void fly_import_alive(int32_t cpu_s);

#endif
