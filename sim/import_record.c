/* A plan's session as a recording: all of it under its name, or nothing. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim/import.h"

enum { PATH_CAP = 1200, WAIT_MS = 200, SYNC_MS = 1000 };
static const size_t RING_MIN = (size_t)8 << 20;
static const size_t RING_MAX = (size_t)1 << 30;

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return now_ns(CLOCK_MONOTONIC);
}

static int64_t unix_ns(void *ctx)
{
    (void)ctx;
    return now_ns(CLOCK_REALTIME);
}

struct recording_sink {
    struct fly_recorder *recorder;
    const struct fly_import_options *options;
    uint64_t ticket; /* last one given out */
};

/* A live plugin must not wait for the disk; an import must, or it would lose records. */
static int put(void *ctx, enum fly_record_kind kind, int64_t t_ns, const struct fly_part *parts,
               int32_t n_parts)
{
    struct recording_sink *sink = ctx;

    for (;;) {
        struct fly_recorder_status status;
        int rc = fly_recorder_append(sink->recorder, kind, t_ns, parts, n_parts, &sink->ticket);

        if (rc != FLY_EAGAIN)
            return rc;
        rc = fly_recorder_wait(sink->recorder, sink->ticket, WAIT_MS);
        if (rc < 0 && rc != FLY_EAGAIN)
            return rc;
        fly_recorder_status(sink->recorder, &status);
        if (status.state == FLY_RECORDER_FAILED)
            return fly_fail(FLY_EIO, "writing the session: %s", status.error);
        rc = fly_import_tick(sink->options, "waiting for the disk", 0.0);
        if (rc < 0)
            return rc;
    }
}

/* 1: path holds an import of this very session, which can be made again; 0: it holds something
 * else. */
static int is_same_import(const char *path, const char *session)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_recording *recording = NULL;
    struct fly_record record;
    struct fly_value root, value;
    const char *text;
    size_t len;
    int imported = 0, same = 0;

    if (fly_recording_open(&recording, path, &disk) < 0)
        return 0;
    if (fly_recording_next(recording, &record) == FLY_OK && record.kind == FLY_REC_SESSION &&
        record.n_parts >= 1 &&
        fly_wire_scan(record.parts[0].bytes, record.parts[0].len) == FLY_REFUSE_NONE) {
        root = fly_value_root(record.parts[0].bytes, record.parts[0].len);
        same = fly_value_get(root, "imported", &value) && fly_value_bool(value, &imported) &&
               imported && fly_value_get(root, "session", &value) &&
               fly_value_str(value, &text, &len) && len == strlen(session) &&
               memcmp(text, session, len) == 0;
    }
    fly_recording_close(&recording);
    return same;
}

static int write_recording(const struct fly_import_plan *plan,
                           const struct fly_import_options *options, const char *path)
{
    struct recording_sink sink = {.options = options};
    struct fly_import_sink to = {put, &sink};
    struct fly_recorder_config config = {
        .path = path,
        .disk = fly_disk_system(),
        .clock = {mono_ns, unix_ns, NULL},
        .ring_bytes = RING_MIN,
        .sync_ms = SYNC_MS,
        .wake_fd = -1,
    };
    int rc, closed;

    /* A record may fill half of the ring at most; twice that keeps the disk busy meanwhile. */
    while (config.ring_bytes < 4 * fly_import_record_max(plan) && config.ring_bytes < RING_MAX)
        config.ring_bytes *= 2;
    rc = fly_recorder_open(&sink.recorder, &config, 0);
    if (rc < 0)
        return rc;
    rc = fly_import_write(plan, options, &to);
    if (rc < 0) {
        char why[480];

        /* Closing may fail as well, of the same cause; the first message is the one to keep. */
        snprintf(why, sizeof why, "%s", fly_fail_text());
        fly_recorder_close(&sink.recorder);
        return fly_fail(rc, "%s", why);
    }
    closed = fly_recorder_close(&sink.recorder);
    return closed;
}

int fly_import_temporary(char *out, size_t cap, const char *path, int64_t pid)
{
    return snprintf(out, cap, "%s.%" PRId64 ".tmp", path, pid) < (int)cap;
}

int fly_import_record(const struct fly_import_plan *plan, const struct fly_import_options *options,
                      const char *path)
{
    struct fly_disk disk = fly_disk_system();
    char temporary[PATH_CAP], folder[PATH_CAP];
    int rc;

    if (!fly_import_temporary(temporary, sizeof temporary, path, getpid()))
        return fly_fail(FLY_ERANGE, "a path of %zu bytes for the session, at most %d are taken",
                        strlen(path), PATH_CAP - 32);
    if (access(path, F_OK) == 0 && !is_same_import(path, plan->session))
        return fly_fail(FLY_ERANGE,
                        "%s is there already and holds something else; name another with --out",
                        path);
    unlink(temporary); /* of an import with our process number that was killed */
    rc = write_recording(plan, options, temporary);
    if (rc == FLY_OK && rename(temporary, path) != 0)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    if (rc < 0) {
        unlink(temporary);
        return rc;
    }
    snprintf(folder, sizeof folder, "%s", path);
    if (disk.sync_dir(disk.ctx, dirname(folder)) < 0)
        return fly_fail(FLY_EIO, "%s: its folder cannot be synced", path);
    return FLY_OK;
}
