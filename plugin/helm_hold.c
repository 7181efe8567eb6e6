/* The file that a hold is kept in: "<UTC, ISO 8601> <who>" in recording.dir, there as long as somebody holds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/helm_desk.h"
#include "plugin/text.h"
#include "stream/disk.h"

enum { LINE_CAP = FLY_STEER_BY_MAX + 40 };

static void path_of(const struct fly_options *o, char path[FLY_OPTION_TEXT_CAP + 16])
{
    snprintf(path, FLY_OPTION_TEXT_CAP + 16, "%s/%s", o->recording.dir, FLY_HOLD_FILE);
}

/* No such file, and no folder that it could be in. */
static int is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

static int remove_file(const char *path)
{
    struct fly_disk disk = fly_disk_system();
    int rc;

    if (unlink(path) < 0)
        return is_absent(errno) ? FLY_OK : fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    rc = disk.sync_dir(disk.ctx, path);
    return rc < 0 ? fly_fail(FLY_EIO, "%s: its folder: %s", path, strerror(-rc)) : FLY_OK;
}

int fly_hold_keep(const struct fly_options *options, const char *by, int64_t unix_ns)
{
    char path[FLY_OPTION_TEXT_CAP + 16], when[24], line[LINE_CAP];
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm utc;
    int rc;

    if (!options->recording.enabled)
        return FLY_OK;
    path_of(options, path);
    if (!by)
        return remove_file(path);
    rc = fly_folder_make(options->recording.dir); /* no session may have been yet */
    if (rc < 0)
        return rc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    return fly_file_write(path, line, (size_t)snprintf(line, sizeof line, "%s %s\n", when, by));
}

/* What was written by another hand may be no name. */
static void read_name(const char *text, size_t len, char by[FLY_STEER_BY_MAX + 1])
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > FLY_STEER_BY_MAX || !fly_utf8_valid(text, len) || memchr(text, 0, len))
        return;
    memcpy(by, text, len);
    by[len] = '\0';
}

int fly_hold_read(const struct fly_options *options, char by[FLY_STEER_BY_MAX + 1])
{
    char path[FLY_OPTION_TEXT_CAP + 16];
    unsigned char *bytes = NULL;
    const unsigned char *space;
    size_t len = 0;

    by[0] = '\0';
    path_of(options, path);
    if (!options->recording.enabled || (access(path, F_OK) < 0 && is_absent(errno)))
        return 0;
    if (fly_file_read(path, LINE_CAP, &bytes, &len) < 0)
        return 1;
    space = memchr(bytes, ' ', len);
    if (space)
        read_name((const char *)space + 1, len - (size_t)(space + 1 - bytes), by);
    free(bytes);
    return 1;
}
