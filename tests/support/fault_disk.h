/* tests/support/fault_disk.h: a disk in memory that fills, stalls, fails, writes short and loses power.
 *
 * It keeps what was written apart from what was synced, and a trace of every change, from which the
 * file after a power cut at any moment can be made: what was synced stands; of what was not, any
 * 512-byte sector may have reached the platter, in any order.
 *
 * Threads  any. Knobs are turned with the lock held (fault_lock, fault_unlock).
 */
#ifndef TESTS_SUPPORT_FAULT_DISK_H
#define TESTS_SUPPORT_FAULT_DISK_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "stream/disk.h"

enum { FAULT_SECTOR = 512 };

enum fault_kind { FAULT_WRITE, FAULT_TRUNCATE, FAULT_SYNC };

struct fault_op {
    enum fault_kind kind;
    int64_t at; /* of the write; the size after a truncate */
    size_t len;
    unsigned char *bytes;
    uint64_t note; /* what note() said before the call began */
};

struct fault_image {
    unsigned char *bytes;
    size_t len, cap;
};

struct fault_disk {
    pthread_mutex_t lock;
    pthread_cond_t changed;

    int exists, open_fds;
    struct fault_image file;

    /* knobs */
    int64_t space;     /* bytes that the file may have; -1: no end */
    size_t write_max;  /* bytes a write takes at most; 0: all */
    int write_error;   /* errno of every write, 0: none */
    int sync_error;    /* errno of every sync, 0: none */
    int truncate_error;
    int stalled;       /* writes and syncs wait until it is 0 */
    int keep_trace;
    uint64_t (*note)(void *arg); /* asked before each traced call */
    void *note_arg;

    /* seen */
    int64_t writes, syncs, truncates, refused, waiting;

    struct fault_op *trace;
    size_t n_trace, cap_trace;
};

static inline void fault_lock(struct fault_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
}

static inline void fault_unlock(struct fault_disk *disk)
{
    pthread_cond_broadcast(&disk->changed);
    pthread_mutex_unlock(&disk->lock);
}

static inline void fault_image_size(struct fault_image *image, size_t len)
{
    if (len > image->cap) {
        image->cap = len * 2;
        image->bytes = realloc(image->bytes, image->cap);
        assert(image->bytes);
    }
    if (len > image->len)
        memset(image->bytes + image->len, 0, len - image->len);
    image->len = len;
}

static inline void fault_image_write(struct fault_image *image, const void *bytes, size_t len, size_t at)
{
    if (len == 0)
        return;
    if (at + len > image->len)
        fault_image_size(image, at + len);
    memcpy(image->bytes + at, bytes, len);
}

static inline void fault_trace(struct fault_disk *disk, enum fault_kind kind, const void *bytes, size_t len,
                               int64_t at, uint64_t note)
{
    struct fault_op op = {.kind = kind, .at = at, .len = len, .note = note};

    if (!disk->keep_trace)
        return;
    if (disk->n_trace == disk->cap_trace) {
        disk->cap_trace = disk->cap_trace ? 2 * disk->cap_trace : 256;
        disk->trace = realloc(disk->trace, disk->cap_trace * sizeof *disk->trace);
        assert(disk->trace);
    }
    if (len > 0) {
        op.bytes = malloc(len);
        assert(op.bytes);
        memcpy(op.bytes, bytes, len);
    }
    disk->trace[disk->n_trace++] = op;
}

static inline uint64_t fault_note(struct fault_disk *disk)
{
    return disk->note ? disk->note(disk->note_arg) : 0;
}

static inline void fault_stall(struct fault_disk *disk)
{
    disk->waiting++;
    pthread_cond_broadcast(&disk->changed);
    while (disk->stalled)
        pthread_cond_wait(&disk->changed, &disk->lock);
    disk->waiting--;
}

static inline int fault_open(void *ctx, const char *path, int flags, int mode)
{
    struct fault_disk *disk = ctx;
    int rc = 3;

    fault_lock(disk);
    if (flags & O_CREAT) {
        if (disk->exists && (flags & O_EXCL))
            rc = -EEXIST;
        disk->exists = 1;
    } else if (!disk->exists) {
        rc = -ENOENT;
    }
    disk->open_fds += rc > 0;
    fault_unlock(disk);
    return rc;
}

static inline int64_t fault_size(void *ctx, int fd)
{
    struct fault_disk *disk = ctx;
    int64_t size;

    fault_lock(disk);
    size = (int64_t)disk->file.len;
    fault_unlock(disk);
    return size;
}

static inline int64_t fault_pread(void *ctx, int fd, void *bytes, size_t len, int64_t at)
{
    struct fault_disk *disk = ctx;
    size_t n = 0;

    fault_lock(disk);
    if (at < (int64_t)disk->file.len) {
        n = disk->file.len - (size_t)at;
        n = n < len ? n : len;
        memcpy(bytes, disk->file.bytes + at, n);
    }
    fault_unlock(disk);
    return (int64_t)n;
}

static inline int64_t fault_pwrite(void *ctx, int fd, const void *bytes, size_t len, int64_t at)
{
    struct fault_disk *disk = ctx;
    uint64_t note;
    int64_t rc;

    fault_lock(disk);
    note = fault_note(disk);
    fault_stall(disk);
    disk->writes++;
    if (disk->write_max && len > disk->write_max)
        len = disk->write_max;
    if (disk->space >= 0 && at + (int64_t)len > disk->space)
        len = disk->space > at ? (size_t)(disk->space - at) : 0;
    if (disk->write_error || len == 0) {
        disk->refused++;
        rc = disk->write_error ? -disk->write_error : -ENOSPC;
    } else {
        fault_image_write(&disk->file, bytes, len, (size_t)at);
        fault_trace(disk, FAULT_WRITE, bytes, len, at, note);
        rc = (int64_t)len;
    }
    fault_unlock(disk);
    return rc;
}

static inline int fault_truncate(void *ctx, int fd, int64_t size)
{
    struct fault_disk *disk = ctx;
    uint64_t note;
    int rc = 0;

    fault_lock(disk);
    note = fault_note(disk);
    disk->truncates++;
    if (disk->truncate_error) {
        rc = -disk->truncate_error;
    } else {
        fault_image_size(&disk->file, (size_t)size);
        fault_trace(disk, FAULT_TRUNCATE, NULL, 0, size, note);
    }
    fault_unlock(disk);
    return rc;
}

static inline int fault_sync(void *ctx, int fd)
{
    struct fault_disk *disk = ctx;
    uint64_t note;
    int rc = 0;

    fault_lock(disk);
    note = fault_note(disk);
    fault_stall(disk);
    disk->syncs++;
    if (disk->sync_error)
        rc = -disk->sync_error;
    else
        fault_trace(disk, FAULT_SYNC, NULL, 0, 0, note);
    fault_unlock(disk);
    return rc;
}

static inline int fault_sync_dir(void *ctx, const char *path)
{
    return 0;
}

static inline int fault_close(void *ctx, int fd)
{
    struct fault_disk *disk = ctx;

    fault_lock(disk);
    disk->open_fds--;
    fault_unlock(disk);
    return 0;
}

static inline int fault_is_real(void *ctx)
{
    return 0;
}

static inline void fault_init(struct fault_disk *disk)
{
    *disk = (struct fault_disk){.space = -1};
    pthread_mutex_init(&disk->lock, NULL);
    pthread_cond_init(&disk->changed, NULL);
}

static inline void fault_fini(struct fault_disk *disk)
{
    for (size_t i = 0; i < disk->n_trace; i++)
        free(disk->trace[i].bytes);
    free(disk->trace);
    free(disk->file.bytes);
    pthread_cond_destroy(&disk->changed);
    pthread_mutex_destroy(&disk->lock);
}

static inline struct fly_disk fault_table(struct fault_disk *disk)
{
    return (struct fly_disk){fault_open,     fault_size, fault_pread,    fault_pwrite,  fault_truncate,
                             fault_sync,     fault_sync_dir, fault_close, fault_is_real, disk};
}

/* Put bytes where the file is, as if they had been found on a disk. */
static inline void fault_put(struct fault_disk *disk, const void *bytes, size_t len)
{
    disk->exists = 1;
    fault_image_size(&disk->file, 0);
    fault_image_write(&disk->file, bytes, len, 0);
}

/* Wait until a call stands before the stalled disk. */
static inline void fault_wait_stalled(struct fault_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    while (!(disk->stalled && disk->waiting > 0))
        pthread_cond_wait(&disk->changed, &disk->lock);
    pthread_mutex_unlock(&disk->lock);
}

/* Wait until so many writes were refused in all. */
static inline void fault_wait_refused(struct fault_disk *disk, int64_t refused)
{
    pthread_mutex_lock(&disk->lock);
    while (disk->refused < refused)
        pthread_cond_wait(&disk->changed, &disk->lock);
    pthread_mutex_unlock(&disk->lock);
}

/* Apply a change; rng not NULL: each sector of a write reaches the platter or does not. */
static inline void fault_apply(struct fault_image *image, const struct fault_op *op, struct fly_rng *rng)
{
    if (op->kind == FAULT_TRUNCATE && (!rng || fly_rng_below(rng, 2))) {
        fault_image_size(image, (size_t)op->at);
    } else if (op->kind == FAULT_WRITE && !rng) {
        fault_image_write(image, op->bytes, op->len, (size_t)op->at);
    } else if (op->kind == FAULT_WRITE) {
        size_t done = 0, at = (size_t)op->at;

        while (done < op->len) {
            size_t step = FAULT_SECTOR - (at + done) % FAULT_SECTOR;

            step = step < op->len - done ? step : op->len - done;
            if (fly_rng_below(rng, 2))
                fault_image_write(image, op->bytes + done, step, at + done);
            done += step;
        }
    }
}

/* The file when the power goes after `n` changes of the trace: *image is filled anew. */
static inline void fault_cut(const struct fault_disk *disk, size_t n, struct fly_rng *rng,
                             struct fault_image *image)
{
    size_t synced = 0;

    for (size_t i = 0; i < n; i++)
        if (disk->trace[i].kind == FAULT_SYNC)
            synced = i + 1;
    fault_image_size(image, 0);
    for (size_t i = 0; i < n; i++)
        fault_apply(image, &disk->trace[i], i < synced ? NULL : rng);
}

#endif
