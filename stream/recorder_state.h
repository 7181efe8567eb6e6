/* stream/recorder_state.h: what the appending threads and the writer thread of a recorder share.
 *
 * The ring is one stretch of memory that the file moves through. A position counts bytes since open,
 * position p lies at ring[p & (ring_bytes - 1)] and, in the file, at base + p:
 *
 *   freed .. committed .. reserved .. freed + ring_bytes
 *   |        |            records being copied in by append
 *   |        whole records, the writer's to put into the file
 *   the file has all before this (not yet synced, perhaps)
 *
 * Threads  append touches what it reserved, the writer thread what is committed; the positions change
 *          under the lock alone.
 */
#ifndef FLY_STREAM_RECORDER_STATE_H
#define FLY_STREAM_RECORDER_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "stream/recorder_io.h"
#include "stream/recording.h"

/* A record that is being copied in; lives on the stack of its append. */
struct fly_copying {
    uint64_t at, ticket;
    struct fly_copying *prev, *next;
};

struct fly_recorder {
    /* fixed once open */
    struct fly_disk disk;
    char *path;
    int fd;
    uint32_t seed;
    int64_t base;
    uint64_t first_ticket; /* the ticket before the first of this opening */
    unsigned char *ring;
    size_t ring_bytes;
    int64_t sync_ns;
    int kick_fd, wake_fd;
    int uring;
    struct fly_io *io; /* the writer thread's */
    pthread_t thread;
    int locks_made;

    pthread_mutex_t lock;
    pthread_cond_t moved; /* durable or failed changed */

    /* under the lock */
    uint64_t reserved, committed, freed;
    uint64_t appended, committed_ticket; /* tickets at reserved and committed */
    struct fly_copying *oldest, *newest; /* in the order of their places */
    uint64_t kick_at;                    /* wake the writer when committed reaches this */
    uint64_t durable_pos;
    uint64_t dropped;
    int behind;    /* a record was refused and the ring is still more than half full */
    int finished;  /* an END record was appended */
    int closing, failed;
    char error[160];

    _Atomic uint64_t durable; /* release when a sync ended; acquire in fly_recorder_durable */
};

/* The writer thread: moves what is committed into the file until closing, then leaves a seal. */
void *fly_recorder_write(void *recorder);

#endif
