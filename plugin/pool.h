/* plugin/pool.h: worker threads behind an executor (engine/base/exec.h).
 *
 * The caller of run() works too, as worker 0. A pool of width 1 has no thread of its own.
 *
 * Threads  run() from one thread at a time.
 */
#ifndef FLY_PLUGIN_POOL_H
#define FLY_PLUGIN_POOL_H

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/exec.h"

struct fly_pool;

/* width 1 .. 64; 0: as many as the machine has processors. FLY_ENOMEM, FLY_EIO (no thread). */
FLY_MUST_USE int fly_pool_open(struct fly_pool **out, int32_t width);
void fly_pool_close(struct fly_pool **pool);
struct fly_exec fly_pool_exec(struct fly_pool *pool);

#endif
