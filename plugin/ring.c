#include "plugin/ring.h"

#include <stdlib.h>
#include <unistd.h>

int fly_ring_init(struct fly_ring *ring, uint64_t cap, int wake_fd, atomic_int *sleeping)
{
    FLY_ASSERT(cap > 0 && (cap & (cap - 1)) == 0);
    ring->slot = calloc(cap, sizeof *ring->slot);
    if (!ring->slot)
        return fly_fail(FLY_ENOMEM, "a ring of %llu slots: no memory", (unsigned long long)cap);
    ring->mask = cap - 1;
    ring->wake_fd = wake_fd;
    ring->sleeping = sleeping;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return FLY_OK;
}

void fly_ring_fini(struct fly_ring *ring)
{
    free(ring->slot);
    ring->slot = NULL;
}

int fly_ring_push(struct fly_ring *ring, void **item)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* ours alone */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* pop's release */

    FLY_ASSERT(head - tail <= ring->mask + 1);
    if (head - tail > ring->mask)
        return FLY_EAGAIN;
    ring->slot[head & ring->mask] = *item;
    *item = NULL;
    /* seq_cst pairs with the taker's "sleeping = 1, then look once more": one of the two sees the
     * other, so no item waits for a sleeper that nobody wakes. */
    atomic_store_explicit(&ring->head, head + 1, memory_order_seq_cst); /* pop's acquire */
    if (ring->sleeping && atomic_load_explicit(ring->sleeping, memory_order_seq_cst))
        fly_wake(ring->wake_fd);
    return FLY_OK;
}

void *fly_ring_pop(struct fly_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* ours alone */
    void *item;

    if (atomic_load_explicit(&ring->head, memory_order_seq_cst) == tail) /* push's store */
        return NULL;
    item = ring->slot[tail & ring->mask];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release); /* push's acquire */
    return item;
}

uint64_t fly_ring_len(const struct fly_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) -
           atomic_load_explicit(&ring->tail, memory_order_acquire);
}

void fly_wake(int wake_fd)
{
    uint64_t one = 1;

    /* A full counter wakes just as well: the result says nothing we need. */
    if (wake_fd >= 0 && write(wake_fd, &one, sizeof one) < 0)
        return;
}

void fly_wake_clear(int wake_fd)
{
    uint64_t count;

    if (wake_fd >= 0 && read(wake_fd, &count, sizeof count) < 0)
        return;
}
