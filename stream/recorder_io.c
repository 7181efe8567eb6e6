#include "stream/recorder_io.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { RING_ENTRIES = 16, KICK = FLY_IO_SLOTS };

struct fly_io {
    struct fly_disk disk;
    int fd, kick_fd;
    int uring;
    int kick_armed; /* a poll of kick_fd is in the ring */
    struct io_uring ring;
    struct fly_io_end ends[FLY_IO_SLOTS]; /* by pwrite: ended, not collected yet */
    int n_ends;
};

/* 1 when this kernel lets us use a ring with all that we need of it. Sandboxes allow the set-up and
 * refuse the rest, so send a request through before trusting it. */
static int open_ring(struct io_uring *ring)
{
    struct io_uring_probe *probe;
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe;
    int fits;

    if (io_uring_queue_init(RING_ENTRIES, ring, 0) < 0)
        return 0;
    probe = io_uring_get_probe_ring(ring);
    fits = probe && io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
           io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
           io_uring_opcode_supported(probe, IORING_OP_POLL_ADD);
    io_uring_free_probe(probe);
    if (fits) {
        sqe = io_uring_get_sqe(ring);
        io_uring_prep_nop(sqe);
        fits = io_uring_submit(ring) == 1 && io_uring_wait_cqe(ring, &cqe) == 0 && cqe->res == 0;
        if (fits)
            io_uring_cqe_seen(ring, cqe);
    }
    if (!fits)
        io_uring_queue_exit(ring);
    return fits;
}

int fly_io_open(struct fly_io **out, const struct fly_disk *disk, int fd, int kick_fd, int pwrite_only)
{
    struct fly_io *io = calloc(1, sizeof *io);

    if (!io)
        return fly_fail(FLY_ENOMEM, "recorder: no memory for its requests");
    io->disk = *disk;
    io->fd = fd;
    io->kick_fd = kick_fd;
    io->uring = !pwrite_only && disk->is_real(disk->ctx) && open_ring(&io->ring);
    *out = io;
    return FLY_OK;
}

void fly_io_close(struct fly_io **io)
{
    if (!*io)
        return;
    if ((*io)->uring)
        io_uring_queue_exit(&(*io)->ring);
    free(*io);
    *io = NULL;
}

int fly_io_is_uring(const struct fly_io *io)
{
    return io->uring;
}

static struct io_uring_sqe *take_sqe(struct fly_io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

    FLY_ASSERT(sqe); /* there are entries for every slot and the kick */
    return sqe;
}

static void end_now(struct fly_io *io, int slot, int64_t result)
{
    FLY_ASSERT(io->n_ends < FLY_IO_SLOTS);
    io->ends[io->n_ends++] = (struct fly_io_end){slot, result};
}

void fly_io_write(struct fly_io *io, int slot, const void *bytes, size_t len, int64_t at)
{
    struct io_uring_sqe *sqe;

    FLY_ASSERT(slot >= 0 && slot < FLY_IO_WRITES);
    if (!io->uring) {
        end_now(io, slot, io->disk.pwrite(io->disk.ctx, io->fd, bytes, len, at));
        return;
    }
    sqe = take_sqe(io);
    io_uring_prep_write(sqe, io->fd, bytes, (unsigned)len, (uint64_t)at);
    io_uring_sqe_set_data64(sqe, (uint64_t)slot);
}

void fly_io_sync(struct fly_io *io)
{
    struct io_uring_sqe *sqe;

    if (!io->uring) {
        end_now(io, FLY_IO_SYNC, io->disk.sync(io->disk.ctx, io->fd));
        return;
    }
    sqe = take_sqe(io);
    io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, FLY_IO_SYNC);
}

static void clear_kick(struct fly_io *io)
{
    uint64_t count;

    /* Empty is as good: an earlier read took the kick that this poll told of. */
    if (read(io->kick_fd, &count, sizeof count) < 0)
        return;
}

static int wait_pwrite(struct fly_io *io, int64_t timeout_ns, struct fly_io_end *ends)
{
    struct pollfd kick = {.fd = io->kick_fd, .events = POLLIN};
    struct timespec span = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    int count = io->n_ends;

    for (int i = 0; i < count; i++)
        ends[i] = io->ends[i];
    io->n_ends = 0;
    if (count == 0 && ppoll(&kick, 1, timeout_ns < 0 ? NULL : &span, NULL) > 0)
        clear_kick(io);
    return count;
}

int fly_io_wait(struct fly_io *io, int64_t timeout_ns, struct fly_io_end ends[FLY_IO_SLOTS])
{
    struct __kernel_timespec span = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    struct io_uring_cqe *cqe;
    int count = 0, rc;

    if (!io->uring)
        return wait_pwrite(io, timeout_ns, ends);

    if (!io->kick_armed) {
        struct io_uring_sqe *sqe = take_sqe(io);

        io_uring_prep_poll_add(sqe, io->kick_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, KICK);
        io->kick_armed = 1;
    }
    rc = io_uring_submit(&io->ring);
    if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
        return rc;
    rc = timeout_ns < 0 ? io_uring_wait_cqe(&io->ring, &cqe)
                        : io_uring_wait_cqe_timeout(&io->ring, &cqe, &span);
    if (rc < 0)
        return rc == -ETIME || rc == -EINTR || rc == -EAGAIN ? 0 : rc;

    while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        uint64_t slot = io_uring_cqe_get_data64(cqe);
        int64_t result = cqe->res;

        io_uring_cqe_seen(&io->ring, cqe);
        if (slot == KICK) {
            io->kick_armed = 0;
            clear_kick(io);
        } else if (slot < FLY_IO_SLOTS) { /* older kernels time a wait by an entry of the library's own */
            ends[count++] = (struct fly_io_end){(int)slot, result};
        }
    }
    return count;
}
