/* plugin/ring.h: pointers from one thread to one other, in order, with a way to wake the taker.
 *
 * The ring refuses when it is full; the stage decides what that means. The taker sleeps on wake_fd
 * (an eventfd, with whatever else it waits for); push writes to it only when the taker said it sleeps.
 *
 * Threads  push: one; pop, sleep, awake: one other.
 */
#ifndef FLY_PLUGIN_RING_H
#define FLY_PLUGIN_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/base/err.h"

struct fly_ring {
    void **slot;
    uint64_t mask;
    int wake_fd;              /* not ours: the taker's, -1 when it never sleeps */
    atomic_int *sleeping;     /* the taker's: 1 while it sleeps or is about to */
    _Alignas(64) atomic_uint_fast64_t head; /* pushed so far */
    _Alignas(64) atomic_uint_fast64_t tail; /* popped so far */
};

/* cap: a power of two. FLY_ENOMEM. */
FLY_MUST_USE int fly_ring_init(struct fly_ring *ring, uint64_t cap, int wake_fd, atomic_int *sleeping);
void fly_ring_fini(struct fly_ring *ring);

/* FLY_EAGAIN: full, *item is still yours. Taken (NULL) on success. */
FLY_MUST_USE int fly_ring_push(struct fly_ring *ring, void **item);
void *fly_ring_pop(struct fly_ring *ring); /* NULL: empty */
uint64_t fly_ring_len(const struct fly_ring *ring); /* a moment's value */

/* Wake a sleeper by hand. */
void fly_wake(int wake_fd);
void fly_wake_clear(int wake_fd);

#endif
