/* stream/disk.h: the file calls a recording makes, behind a table, so that a simulated run can put a
 * tearing, filling or failing disk in their place.
 *
 * Every call returns >= 0, or -errno. The real table is fly_disk_system().
 */
#ifndef FLY_STREAM_DISK_H
#define FLY_STREAM_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct fly_disk {
    /* open(2). Opened for writing, the file is locked against a second writer: -EWOULDBLOCK, after
     * two seconds in which the first may be a dead one's last requests. */
    int (*open)(void *ctx, const char *path, int flags, int mode);
    int64_t (*size)(void *ctx, int fd);
    int64_t (*pread)(void *ctx, int fd, void *bytes, size_t len, int64_t at);
    int64_t (*pwrite)(void *ctx, int fd, const void *bytes, size_t len, int64_t at);
    int (*truncate)(void *ctx, int fd, int64_t size);
    int (*sync)(void *ctx, int fd); /* fdatasync */
    int (*sync_dir)(void *ctx, const char *path); /* of the folder that path lies in */
    int (*close)(void *ctx, int fd);
    int (*is_real)(void *ctx); /* 1: fds are the kernel's, io_uring may be used */
    void *ctx;
};

struct fly_disk fly_disk_system(void);

/* Read a whole file of at most max bytes; free(*bytes) is the caller's. FLY_EIO, FLY_ERANGE (larger),
 * FLY_ENOMEM; the message names the path. */
FLY_MUST_USE int fly_file_read(const char *path, size_t max, unsigned char **bytes, size_t *len);

/* Write a file whole: to PATH.tmp, fsync, rename. FLY_EIO names the path and what the system said. */
FLY_MUST_USE int fly_file_write(const char *path, const void *bytes, size_t len);

/* Make a folder and those above it; one that is there is left alone. FLY_EIO names the one that could not be
 * made, and what the system said. */
FLY_MUST_USE int fly_folder_make(const char *path);

#endif
