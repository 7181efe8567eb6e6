/* stream/recorder_io.h: a recorder's writes and syncs in flight, by io_uring or, where the kernel
 * refuses that, by pwrite.
 *
 * Both begin operations and collect their ends. By pwrite an operation has ended when begin returns;
 * by io_uring up to FLY_IO_WRITES writes and one sync run at a time. Results are those of the system
 * call: >= 0 or -errno, short writes included.
 *
 * Threads  one at a time.
 */
#ifndef FLY_STREAM_RECORDER_IO_H
#define FLY_STREAM_RECORDER_IO_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "stream/disk.h"

enum { FLY_IO_WRITES = 8, FLY_IO_SYNC = FLY_IO_WRITES, FLY_IO_SLOTS };

struct fly_io;

struct fly_io_end {
    int slot; /* 0 .. FLY_IO_WRITES-1, or FLY_IO_SYNC */
    int64_t result;
};

/* kick_fd is an eventfd that ends a wait; wait reads it. disk is kept by value. FLY_ENOMEM. */
FLY_MUST_USE int fly_io_open(struct fly_io **out, const struct fly_disk *disk, int fd, int kick_fd,
                             int pwrite_only);

/* Nothing may be in flight. */
void fly_io_close(struct fly_io **io);

int fly_io_is_uring(const struct fly_io *io);

/* The bytes stay the caller's and untouched until the end is collected. The slot must be free. */
void fly_io_write(struct fly_io *io, int slot, const void *bytes, size_t len, int64_t at);
void fly_io_sync(struct fly_io *io);

/* Wait until an operation has ended, kick_fd was written, or timeout_ns have passed (below 0: for
 * ever), and collect what has ended. Returns the number of ends, or -errno when the ring itself is
 * broken. */
int fly_io_wait(struct fly_io *io, int64_t timeout_ns, struct fly_io_end ends[FLY_IO_SLOTS]);

#endif
