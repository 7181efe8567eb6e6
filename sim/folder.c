#include "sim/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/tool.h"

struct entry {
    struct fly_folder_file file;
    int64_t since_ns; /* unchanged since */
    int told;         /* handed out, or there at the beginning */
    int seen;         /* in the last look */
};

struct fly_folder {
    struct fly_folder_config config;
    char path[1024];
    int inotify; /* -1: none; polling finds everything, later */
    struct entry *entries;
    int32_t n_entries, cap;
    int64_t looked_ns;
};

static int64_t now_ns(void)
{
    struct fly_clock clock = fly_tool_clock();

    return clock.mono_ns(clock.ctx);
}

static int wanted(const struct fly_folder *f, const char *name)
{
    size_t len = strlen(name);

    if (name[0] == '.' || name[0] == '~' || len > FLY_FOLDER_NAME_MAX)
        return 0;
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ')
            return 0; /* lines and columns of what was sent are parted by such */
    for (const char *const *ending = f->config.endings; *ending; ending++) {
        size_t end = strlen(*ending);

        if (len > end && strcasecmp(name + len - end, *ending) == 0)
            return 1;
    }
    return 0;
}

static struct entry *find(struct fly_folder *f, const char *name)
{
    for (int32_t i = 0; i < f->n_entries; i++)
        if (strcmp(f->entries[i].file.name, name) == 0)
            return &f->entries[i];
    return NULL;
}

static struct entry *add(struct fly_folder *f, const char *name)
{
    struct entry *e;

    if (f->n_entries == f->cap) {
        int32_t cap = f->cap ? 2 * f->cap : 64;
        struct entry *more = realloc(f->entries, (size_t)cap * sizeof *more);

        if (!more)
            return NULL;
        f->entries = more;
        f->cap = cap;
    }
    e = &f->entries[f->n_entries++];
    memset(e, 0, sizeof *e);
    snprintf(e->file.name, sizeof e->file.name, "%s", name);
    e->file.size = -1; /* unlike any, so that the first look counts as a change */
    return e;
}

static int look_at(struct fly_folder *f, int dir_fd, const char *name, int64_t now)
{
    struct stat st;
    struct entry *e;

    if (!wanted(f, name) || fstatat(dir_fd, name, &st, 0) != 0 || !S_ISREG(st.st_mode))
        return FLY_OK;
    e = find(f, name);
    if (!e)
        e = add(f, name);
    if (!e)
        return fly_fail(FLY_ENOMEM, "%s: no memory for its %d files", f->path, (int)f->n_entries);
    int64_t mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;

    e->seen = 1;
    if (e->file.size != st.st_size || e->file.mtime_ns != mtime_ns) {
        e->file.size = st.st_size;
        e->file.mtime_ns = mtime_ns;
        e->since_ns = now;
        e->told = 0;
    }
    return FLY_OK;
}

static int look(struct fly_folder *f)
{
    DIR *dir = opendir(f->path);
    const struct dirent *item;
    int rc = FLY_OK;

    if (!dir)
        return fly_fail(FLY_EIO, "%s: %s", f->path, strerror(errno));
    f->looked_ns = now_ns();
    for (int32_t i = 0; i < f->n_entries; i++)
        f->entries[i].seen = 0;
    while (rc == FLY_OK && (item = readdir(dir)))
        rc = look_at(f, dirfd(dir), item->d_name, f->looked_ns);
    closedir(dir);
    /* What is not seen is kept: a share that was away for a moment has no new files. */
    return rc;
}

int fly_folder_open(struct fly_folder **out, const struct fly_folder_config *config)
{
    struct fly_folder *f = calloc(1, sizeof *f);
    int rc;

    if (!f)
        return fly_fail(FLY_ENOMEM, "%s: no memory to watch it", config->path);
    f->config = *config;
    strncpy(f->path, config->path, sizeof f->path - 1);
    f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (f->inotify >= 0 &&
        inotify_add_watch(f->inotify, f->path, IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
        close(f->inotify);
        f->inotify = -1;
    }
    rc = look(f);
    if (rc < 0) {
        fly_folder_close(&f);
        return rc;
    }
    for (int32_t i = 0; i < f->n_entries; i++)
        f->entries[i].told = !config->existing;
    *out = f;
    return FLY_OK;
}

void fly_folder_close(struct fly_folder **folder)
{
    if (!*folder)
        return;
    if ((*folder)->inotify >= 0)
        close((*folder)->inotify);
    free((*folder)->entries);
    free(*folder);
    *folder = NULL;
}

/* Windows' shares refuse a file that is still being written, and some writers lock theirs. */
static int opens(const struct fly_folder *f, const char *name)
{
    char path[sizeof f->path + FLY_FOLDER_NAME_MAX + 2];
    int fd;

    snprintf(path, sizeof path, "%s/%s", f->path, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    close(fd);
    return 1;
}

/* The oldest file that has settled, or NULL; *wait_ns: until the next one will have. */
static struct entry *settled(struct fly_folder *f, int64_t *wait_ns)
{
    int64_t settle_ns = llround(f->config.settle_s * 1e9), now = now_ns();
    struct entry *best = NULL;

    for (int32_t i = 0; i < f->n_entries; i++) {
        struct entry *e = &f->entries[i];
        int64_t left = e->since_ns + settle_ns - now;

        if (e->told || !e->seen)
            continue;
        if (left > 0)
            *wait_ns = left < *wait_ns ? left : *wait_ns;
        else if ((!best || e->file.mtime_ns < best->file.mtime_ns) && opens(f, e->file.name))
            best = e;
    }
    return best;
}

static void wait_for_change(struct fly_folder *f, int64_t wait_ns)
{
    char events[4096];
    struct pollfd on = {.fd = f->inotify, .events = POLLIN};
    int timeout_ms = wait_ns <= 0 ? 0 : (int)(wait_ns / 1000000) + 1;

    if (f->inotify < 0) {
        poll(NULL, 0, timeout_ms);
        return;
    }
    if (poll(&on, 1, timeout_ms) > 0) {
        while (read(f->inotify, events, sizeof events) > 0)
            ;
        f->looked_ns = 0; /* what it was is seen by looking */
    }
}

int fly_folder_next(struct fly_folder *folder, int32_t timeout_ms, struct fly_folder_file *file)
{
    struct fly_folder *f = folder;
    int64_t poll_ns = llround(f->config.poll_s * 1e9);
    int64_t until = now_ns() + (int64_t)timeout_ms * 1000000;

    for (;;) {
        int64_t now = now_ns(), wait_ns = until - now;
        struct entry *e;

        if (f->looked_ns == 0 || now - f->looked_ns >= poll_ns) {
            int rc = look(f);

            if (rc < 0)
                return rc;
        }
        e = settled(f, &wait_ns);
        if (e) {
            /* Complete is what stands there now, not what stood there at the last look. */
            int rc = look(f);
            int64_t unused = wait_ns;

            if (rc < 0)
                return rc;
            e = settled(f, &unused);
        }
        if (e) {
            e->told = 1;
            *file = e->file;
            return FLY_OK;
        }
        if (now >= until || *fly_tool_stop())
            return FLY_EAGAIN;
        if (f->looked_ns + poll_ns - now < wait_ns)
            wait_ns = f->looked_ns + poll_ns - now;
        wait_for_change(f, wait_ns);
    }
}
