#include "stream/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 200, LOCK_PAUSE_NS = 10 * 1000 * 1000 }; /* two seconds */

/* Two writers would interleave their records. The lock goes with the last reference to the file: a killed
 * writer's requests may be in the kernel's hands for a moment after it is gone, and write, so whoever
 * starts again at once waits for them here. Where the file system knows no locks, there is none. */
static int lock_file(int fd)
{
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++) {
        if (i == LOCK_TRIES)
            return -EWOULDBLOCK;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    return 0;
}

static int system_open(void *ctx, const char *path, int flags, int mode)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    if ((flags & O_ACCMODE) != O_RDONLY && lock_file(fd) < 0) {
        close(fd);
        return -EWOULDBLOCK;
    }
    return fd;
}

static int64_t system_size(void *ctx, int fd)
{
    struct stat about;

    if (fstat(fd, &about) < 0)
        return -errno;
    if (!S_ISREG(about.st_mode) && !S_ISBLK(about.st_mode))
        return S_ISDIR(about.st_mode) ? -EISDIR : -EINVAL;
    return about.st_size;
}

static int64_t system_pread(void *ctx, int fd, void *bytes, size_t len, int64_t at)
{
    ssize_t n;

    do
        n = pread(fd, bytes, len, at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int64_t system_pwrite(void *ctx, int fd, const void *bytes, size_t len, int64_t at)
{
    ssize_t n;

    do
        n = pwrite(fd, bytes, len, at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int system_truncate(void *ctx, int fd, int64_t size)
{
    int rc;

    do
        rc = ftruncate(fd, size);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int system_sync(void *ctx, int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int system_sync_dir(void *ctx, const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    int fd, rc = 0;

    if (len >= sizeof dir)
        return -ENAMETOOLONG;
    if (!slash) {
        memcpy(dir, ".", 2);
    } else if (len == 0) {
        memcpy(dir, "/", 2);
    } else {
        memcpy(dir, path, len);
        dir[len] = '\0';
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* Some network file systems refuse to sync a directory, and make names durable by themselves. */
    if (fsync(fd) < 0 && errno != EINVAL)
        rc = -errno;
    close(fd);
    return rc;
}

static int system_close(void *ctx, int fd)
{
    /* Linux gives the descriptor back whatever close says. */
    return close(fd) < 0 ? -errno : 0;
}

static int system_is_real(void *ctx)
{
    return 1;
}

struct fly_disk fly_disk_system(void)
{
    return (struct fly_disk){
        .open = system_open,
        .size = system_size,
        .pread = system_pread,
        .pwrite = system_pwrite,
        .truncate = system_truncate,
        .sync = system_sync,
        .sync_dir = system_sync_dir,
        .close = system_close,
        .is_real = system_is_real,
    };
}

int fly_file_read(const char *path, size_t max, unsigned char **bytes, size_t *len)
{
    unsigned char *data = NULL;
    int fd = system_open(NULL, path, O_RDONLY, 0);
    size_t have = 0, cap;
    int64_t size;
    int rc;

    if (fd < 0)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(-fd));
    size = system_size(NULL, fd);
    if (size < 0) {
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror((int)-size));
        goto out;
    }
    if ((uint64_t)size > max) {
        rc = fly_fail(FLY_ERANGE, "%s: %lld bytes, at most %zu are read", path, (long long)size, max);
        goto out;
    }
    /* One byte more than it should have shows a file that grew meanwhile. */
    cap = (size_t)size + 1;
    data = malloc(cap);
    if (!data) {
        rc = fly_fail(FLY_ENOMEM, "%s: no memory for its %lld bytes", path, (long long)size);
        goto out;
    }
    while (have < cap) {
        int64_t n = system_pread(NULL, fd, data + have, cap - have, (int64_t)have);

        if (n < 0) {
            rc = fly_fail(FLY_EIO, "%s: %s", path, strerror((int)-n));
            goto out;
        }
        if (n == 0)
            break;
        have += (size_t)n;
    }
    if (have != (size_t)size) {
        rc = fly_fail(FLY_EIO, "%s: changed from %lld bytes while it was read", path, (long long)size);
        goto out;
    }
    *bytes = data;
    *len = have;
    data = NULL;
    rc = FLY_OK;
out:
    free(data);
    close(fd);
    return rc;
}

int fly_file_write(const char *path, const void *bytes, size_t len)
{
    char tmp[PATH_MAX];
    size_t done = 0;
    int fd, said;

    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(ENAMETOOLONG));
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fly_fail(FLY_EIO, "%s: %s", tmp, strerror(errno));
    while (done < len) {
        int64_t n = system_pwrite(NULL, fd, (const unsigned char *)bytes + done, len - done,
                                  (int64_t)done);

        if (n <= 0) {
            said = n < 0 ? (int)-n : EIO;
            goto fail;
        }
        done += (size_t)n;
    }
    if (fsync(fd) < 0) {
        said = errno;
        goto fail;
    }
    if (close(fd) < 0) {
        said = errno;
        fd = -1;
        goto fail;
    }
    fd = -1;
    if (rename(tmp, path) < 0) {
        said = errno;
        goto fail;
    }
    said = -system_sync_dir(NULL, path);
    if (said != 0)
        return fly_fail(FLY_EIO, "%s: its folder: %s", path, strerror(said));
    return FLY_OK;

fail:
    if (fd >= 0)
        close(fd);
    unlink(tmp);
    return fly_fail(FLY_EIO, "%s: %s", path, strerror(said));
}

int fly_folder_make(const char *path)
{
    char part[PATH_MAX];
    struct stat about;

    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(ENAMETOOLONG));
    for (char *at = part + 1; part[0]; at++) {
        char was = *at;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return fly_fail(FLY_EIO, "%s: %s", part, strerror(errno));
        *at = was;
        if (was == '\0')
            break;
    }
    if (stat(path, &about) < 0 || !S_ISDIR(about.st_mode))
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(ENOTDIR));
    return FLY_OK;
}
