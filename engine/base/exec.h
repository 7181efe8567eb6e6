/* engine/base/exec.h: how pure code gets work done in parallel without owning a thread.
 *
 * An executor is handed in. run() calls job(arg, i) once for each i of 0 .. count-1, in any order,
 * on any thread, and returns when all are done. Jobs share nothing but what their caller made safe,
 * and results never depend on the order or the number of threads: each job writes its own place.
 *
 * Threads  run() is called from one thread at a time. A job does not call run().
 */
#ifndef FLY_BASE_EXEC_H
#define FLY_BASE_EXEC_H

#include <stdint.h>

struct fly_exec {
    void (*run)(void *ctx, int32_t count, void (*job)(void *arg, int32_t i, int32_t worker),
                void *arg);
    void *ctx;
    int32_t width; /* threads that may be inside jobs at once, >= 1; worker is 0 .. width-1 */
};

/* One thread, the caller's: jobs run in order, worker is always 0. */
struct fly_exec fly_exec_serial(void);

#endif
