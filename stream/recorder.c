#include "stream/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "stream/recorder_state.h"
#include "stream/recording_format.h"

/* ---- opening ------------------------------------------------------------------------------------- */

static int check_config(const struct fly_recorder_config *config)
{
    size_t ring = config->ring_bytes;

    if (ring < (size_t)1 << 20 || ring > (size_t)1 << 30 || (ring & (ring - 1)) != 0)
        return fly_fail(FLY_ERANGE, "recorder ring of %zu bytes: a power of two, 1 MiB .. 1 GiB", ring);
    if (config->sync_ms < 1 || config->sync_ms > 10000)
        return fly_fail(FLY_ERANGE, "recorder syncs each %d ms: 1 .. 10000", config->sync_ms);
    return FLY_OK;
}

static int disk_said(const struct fly_recorder *rec, const char *what, int64_t result)
{
    return fly_fail(FLY_EIO, "recording %s: %s: %s", rec->path, what,
                    strerror(result < 0 ? (int)-result : EIO));
}

/* The file's first bytes, on disk before anybody is handed a ticket. */
static int begin_file(struct fly_recorder *rec, const struct fly_clock *clock)
{
    unsigned char head[FLY_FILE_HEAD];
    int64_t n;

    rec->seed = fly_file_head_write(head, clock->unix_ns ? clock->unix_ns(clock->ctx) : 0);
    n = rec->disk.pwrite(rec->disk.ctx, rec->fd, head, sizeof head, 0);
    if (n != (int64_t)sizeof head)
        return disk_said(rec, "its first bytes", n < 0 ? n : -ENOSPC);
    rec->base = FLY_FILE_HEAD;
    return FLY_OK;
}

/* Walk the file to the end of its last whole record and cut off what follows. */
static int continue_file(struct fly_recorder *rec, const struct fly_clock *clock)
{
    struct fly_recording *old = NULL;
    struct fly_recording_info info;
    struct fly_record record;
    unsigned char head[FLY_FILE_HEAD];
    int64_t n, size = rec->disk.size(rec->disk.ctx, rec->fd);
    int rc;

    if (size < 0)
        return disk_said(rec, "its size", size);
    n = rec->disk.pread(rec->disk.ctx, rec->fd, head, sizeof head, 0);
    if (n < 0)
        return disk_said(rec, "reading", n);
    /* A writer that died between making the file and its first sync: nothing was ever in it. */
    if (n == size && fly_file_head_is_stump(head, (size_t)n)) {
        rc = rec->disk.truncate(rec->disk.ctx, rec->fd, 0);
        return rc < 0 ? disk_said(rec, "cutting its tail", rc) : begin_file(rec, clock);
    }

    rc = fly_recording_open(&old, rec->path, &rec->disk);
    if (rc < 0)
        return rc;
    /* Damage in the middle is the readers' to tell: what follows it was promised, so it stays. */
    while ((rc = fly_recording_next(old, &record)) == FLY_OK || rc == FLY_EWIRE)
        ;
    fly_recording_info(old, &info);
    rec->finished = info.finished;
    fly_recording_end(old, &rec->seed, &rec->appended);
    fly_recording_close(&old);
    if (rc != FLY_EAGAIN)
        return rc;
    if (info.good_bytes < size) {
        rc = rec->disk.truncate(rec->disk.ctx, rec->fd, info.good_bytes);
        if (rc < 0)
            return disk_said(rec, "cutting its torn tail", rc);
    }
    rec->base = info.good_bytes;
    return FLY_OK;
}

static int open_file(struct fly_recorder *rec, const struct fly_clock *clock, int append)
{
    int rc;

    rec->fd = rec->disk.open(rec->disk.ctx, rec->path, O_RDWR | (append ? 0 : O_CREAT | O_EXCL), 0644);
    if (rec->fd == -EWOULDBLOCK)
        return fly_fail(FLY_EIO, "recording %s: another process is writing it", rec->path);
    if (rec->fd < 0)
        return fly_fail(FLY_EIO, "recording %s: %s", rec->path, strerror(-rec->fd));
    rc = append ? continue_file(rec, clock) : begin_file(rec, clock);
    if (rc < 0)
        return rc;
    /* Records that a killed writer left may be in memory alone: only now they are durable. */
    rc = rec->disk.sync(rec->disk.ctx, rec->fd);
    if (rc < 0)
        return disk_said(rec, "fdatasync", rc);
    rc = rec->disk.sync_dir(rec->disk.ctx, rec->path);
    if (rc < 0)
        return disk_said(rec, "syncing its folder", rc);
    rec->first_ticket = rec->committed_ticket = rec->appended;
    atomic_init(&rec->durable, rec->appended);
    return FLY_OK;
}

static int make_locks(struct fly_recorder *rec)
{
    pthread_condattr_t attr;
    int rc;

    if (pthread_mutex_init(&rec->lock, NULL) != 0)
        return fly_fail(FLY_ENOMEM, "recording %s: no memory for its lock", rec->path);
    rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&rec->moved, &attr);
        pthread_condattr_destroy(&attr);
    }
    if (rc != 0) {
        pthread_mutex_destroy(&rec->lock);
        return fly_fail(FLY_ENOMEM, "recording %s: no memory for its lock", rec->path);
    }
    rec->locks_made = 1;
    return FLY_OK;
}

static void free_recorder(struct fly_recorder *rec)
{
    fly_io_close(&rec->io);
    if (rec->locks_made) {
        pthread_cond_destroy(&rec->moved);
        pthread_mutex_destroy(&rec->lock);
    }
    if (rec->kick_fd >= 0)
        close(rec->kick_fd);
    if (rec->fd >= 0)
        rec->disk.close(rec->disk.ctx, rec->fd);
    if (rec->ring)
        munmap(rec->ring, rec->ring_bytes);
    free(rec->path);
    free(rec);
}

int fly_recorder_open(struct fly_recorder **out, const struct fly_recorder_config *config, int append)
{
    struct fly_recorder *rec;
    void *ring;
    int rc = check_config(config);

    if (rc < 0)
        return rc;
    rec = calloc(1, sizeof *rec);
    if (!rec)
        return fly_fail(FLY_ENOMEM, "recording %s: no memory for its handle", config->path);
    rec->fd = rec->kick_fd = -1;
    rec->disk = config->disk;
    rec->wake_fd = config->wake_fd;
    rec->sync_ns = (int64_t)config->sync_ms * 1000000;
    rec->kick_at = UINT64_MAX;
    rec->path = strdup(config->path);
    if (!rec->path) {
        rc = fly_fail(FLY_ENOMEM, "recording %s: no memory for its handle", config->path);
        goto fail;
    }
    /* Populated: a page fault has no place between a line and its map. */
    ring = mmap(NULL, config->ring_bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (ring == MAP_FAILED) {
        rc = fly_fail(FLY_ENOMEM, "recording %s: no memory for a ring of %zu bytes", rec->path,
                      config->ring_bytes);
        goto fail;
    }
    rec->ring = ring;
    rec->ring_bytes = config->ring_bytes;
    rec->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rec->kick_fd < 0) {
        rc = fly_fail(FLY_EIO, "recording %s: eventfd: %s", rec->path, strerror(errno));
        goto fail;
    }
    rc = make_locks(rec);
    if (rc < 0)
        goto fail;
    rc = open_file(rec, &config->clock, append);
    if (rc < 0)
        goto fail;
    rc = fly_io_open(&rec->io, &rec->disk, rec->fd, rec->kick_fd, config->writers == 1);
    if (rc < 0)
        goto fail;
    rec->uring = fly_io_is_uring(rec->io);
    rc = pthread_create(&rec->thread, NULL, fly_recorder_write, rec);
    if (rc != 0) {
        rc = fly_fail(FLY_EIO, "recording %s: its thread: %s", rec->path, strerror(rc));
        goto fail;
    }
    *out = rec;
    return FLY_OK;

fail:
    free_recorder(rec);
    return rc;
}

int fly_recorder_close(struct fly_recorder **recorder)
{
    struct fly_recorder *rec = *recorder;
    int rc = FLY_OK;

    if (!rec)
        return FLY_OK;
    pthread_mutex_lock(&rec->lock);
    FLY_ASSERT(!rec->oldest); /* nobody is appending */
    rec->closing = 1;
    pthread_mutex_unlock(&rec->lock);
    eventfd_write(rec->kick_fd, 1);
    pthread_join(rec->thread, NULL);

    if (rec->failed)
        rc = fly_fail(FLY_EIO, "recording %s: records after %llu of %llu are not on disk: %s", rec->path,
                      (unsigned long long)atomic_load_explicit(&rec->durable, memory_order_relaxed),
                      (unsigned long long)rec->appended, rec->error);
    free_recorder(rec);
    *recorder = NULL;
    return rc;
}

/* ---- appending ----------------------------------------------------------------------------------- */

static void copy_in(struct fly_recorder *rec, uint64_t at, const void *bytes, size_t len)
{
    size_t offset = at & (rec->ring_bytes - 1), room = rec->ring_bytes - offset;
    size_t first = len < room ? len : room;

    if (len == 0)
        return; /* an empty part may have no address */
    memcpy(rec->ring + offset, bytes, first);
    memcpy(rec->ring, (const unsigned char *)bytes + first, len - first);
}

/* Take a place for size bytes, and a ticket. */
static int reserve(struct fly_recorder *rec, enum fly_record_kind kind, uint64_t size,
                   struct fly_copying *copying)
{
    int rc = FLY_OK;

    pthread_mutex_lock(&rec->lock);
    FLY_ASSERT(!rec->closing);
    if (rec->failed || rec->reserved + size - rec->freed > rec->ring_bytes) {
        rec->dropped++;
        rec->behind = 1;
        rc = FLY_EAGAIN;
        goto out;
    }
    copying->at = rec->reserved;
    copying->ticket = ++rec->appended;
    copying->next = NULL;
    copying->prev = rec->newest;
    if (rec->newest)
        rec->newest->next = copying;
    else
        rec->oldest = copying;
    rec->newest = copying;
    rec->reserved += size;
    rec->finished |= kind == FLY_REC_END;
out:
    pthread_mutex_unlock(&rec->lock);
    return rc;
}

/* The record is whole: the writer may have all before the oldest one that is not. */
static void commit(struct fly_recorder *rec, struct fly_copying *copying)
{
    int kick;

    pthread_mutex_lock(&rec->lock);
    *(copying->prev ? &copying->prev->next : &rec->oldest) = copying->next;
    *(copying->next ? &copying->next->prev : &rec->newest) = copying->prev;
    rec->committed = rec->oldest ? rec->oldest->at : rec->reserved;
    rec->committed_ticket = rec->oldest ? rec->oldest->ticket - 1 : rec->appended;
    kick = rec->committed >= rec->kick_at;
    if (kick)
        rec->kick_at = UINT64_MAX;
    pthread_mutex_unlock(&rec->lock);
    if (kick)
        eventfd_write(rec->kick_fd, 1);
}

size_t fly_recorder_bytes_max(const struct fly_recorder *recorder)
{
    return recorder->ring_bytes / 2 - FLY_RECORD_HEAD - 8 * FLY_PARTS_MAX;
}

int fly_recorder_append(struct fly_recorder *rec, enum fly_record_kind kind, int64_t t_ns,
                        const struct fly_part *parts, int32_t n_parts, uint64_t *ticket)
{
    static const unsigned char zeros[8];
    struct fly_record_head head = {.kind = (int)kind, .t_ns = t_ns, .n_parts = n_parts};
    unsigned char bytes[FLY_RECORD_HEAD];
    struct fly_copying copying;
    uint64_t size, at;

    FLY_ASSERT(kind >= FLY_REC_SESSION && kind <= FLY_REC_END);
    if (n_parts < 0 || n_parts > FLY_PARTS_MAX)
        return fly_fail(FLY_ERANGE, "a record of %d parts, at most %d", n_parts, FLY_PARTS_MAX);
    for (int32_t i = 0; i < n_parts; i++) {
        if (parts[i].len > FLY_PAYLOAD_MAX)
            return fly_fail(FLY_ERANGE, "a record's part %d of %zu bytes, at most %zu", i, parts[i].len,
                            FLY_PAYLOAD_MAX);
        head.len[i] = (uint32_t)parts[i].len;
    }
    size = fly_record_size(&head);
    if (size > rec->ring_bytes / 2)
        return fly_fail(FLY_ERANGE, "a record of %llu bytes, a ring of %zu takes at most half of that",
                        (unsigned long long)size, rec->ring_bytes);
    if (reserve(rec, kind, size, &copying) != FLY_OK)
        return fly_fail(FLY_EAGAIN, "recording %s: no room for %llu bytes", rec->path,
                        (unsigned long long)size);

    at = copying.at + FLY_RECORD_HEAD;
    for (int32_t i = 0; i < n_parts; i++) {
        size_t len = parts[i].len, pad = fly_record_pad(len) - len;

        head.body_crc = fly_crc32c(head.body_crc, parts[i].bytes, len);
        head.body_crc = fly_crc32c(head.body_crc, zeros, pad);
        copy_in(rec, at, parts[i].bytes, len);
        copy_in(rec, at + len, zeros, pad);
        at += len + pad;
    }
    head.ticket = copying.ticket;
    head.durable = atomic_load_explicit(&rec->durable, memory_order_acquire); /* end_sync's release */
    fly_record_head_write(bytes, &head, rec->seed);
    copy_in(rec, copying.at, bytes, sizeof bytes);
    commit(rec, &copying);
    *ticket = head.ticket;
    return FLY_OK;
}

/* ---- asking -------------------------------------------------------------------------------------- */

uint64_t fly_recorder_durable(const struct fly_recorder *rec)
{
    return atomic_load_explicit(&rec->durable, memory_order_acquire); /* end_sync's release */
}

void fly_recorder_status(const struct fly_recorder *recorder, struct fly_recorder_status *status)
{
    struct fly_recorder *rec = (struct fly_recorder *)recorder; /* for its lock alone */

    pthread_mutex_lock(&rec->lock);
    *status = (struct fly_recorder_status){
        .appended = rec->appended,
        .durable = atomic_load_explicit(&rec->durable, memory_order_relaxed),
        .bytes_appended = (uint64_t)rec->base + rec->reserved,
        .bytes_durable = (uint64_t)rec->base + rec->durable_pos,
        .dropped = rec->dropped,
        .state = rec->failed                     ? FLY_RECORDER_FAILED
                 : rec->behind || rec->error[0] ? FLY_RECORDER_BEHIND
                                                : FLY_RECORDER_OK,
        .uring = rec->uring,
    };
    memcpy(status->error, rec->error, sizeof status->error);
    pthread_mutex_unlock(&rec->lock);
}

int fly_recorder_wait(struct fly_recorder *rec, uint64_t ticket, int32_t timeout_ms)
{
    struct timespec until;
    int rc = FLY_OK;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (int64_t)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&rec->lock);
    while (atomic_load_explicit(&rec->durable, memory_order_relaxed) < ticket) {
        if (rec->failed) {
            rc = fly_fail(FLY_EIO, "recording %s: record %llu is not on disk: %s", rec->path,
                          (unsigned long long)ticket, rec->error);
            break;
        }
        if (pthread_cond_timedwait(&rec->moved, &rec->lock, &until) == ETIMEDOUT &&
            atomic_load_explicit(&rec->durable, memory_order_relaxed) < ticket && !rec->failed) {
            rc = FLY_EAGAIN;
            break;
        }
    }
    pthread_mutex_unlock(&rec->lock);
    return rc;
}
