/* 64-KiB messages into a recording until they are durable, beside plain writes of the same bytes. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/system_clock.h"
#include "stream/recording.h"

enum { MESSAGE = 64 * 1024, MESSAGES = 8192, ROUNDS = 5, CHUNK = 1 << 20 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The disk's own: 1-MiB writes one after the other, one fdatasync at the end. */
static int plain_rate(const char *path, const unsigned char *bytes, double *mb_s)
{
    double begin = now_s();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), rc = FLY_OK;

    if (fd < 0)
        return fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    for (size_t done = 0; rc == FLY_OK && done < (size_t)MESSAGE * MESSAGES; done += CHUNK)
        if (write(fd, bytes, CHUNK) != CHUNK)
            rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    if (rc == FLY_OK && fdatasync(fd) < 0)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    close(fd);
    *mb_s = (double)MESSAGE * MESSAGES / 1e6 / (now_s() - begin);
    unlink(path);
    return rc;
}

static int recorder_rate(const char *path, const unsigned char *bytes, double *mb_s, double *append_us)
{
    struct fly_recorder *recorder;
    static double took[MESSAGES];
    uint64_t ticket = 0;
    double begin;
    int rc = fly_recorder_open(&recorder, &(struct fly_recorder_config){.path = path,
                                                                        .disk = fly_disk_system(),
                                                                        .clock = fly_clock_system(),
                                                                        .ring_bytes = 64 << 20,
                                                                        .sync_ms = 50,
                                                                        .wake_fd = -1},
                               0);

    if (rc < 0)
        return rc;
    begin = now_s();
    for (int i = 0; rc == FLY_OK && i < MESSAGES; i++) {
        struct fly_part part = {bytes + (i % 16) * 64, MESSAGE};
        double t;

        do {
            t = now_s();
            rc = fly_recorder_append(recorder, FLY_REC_INGEST, i, &part, 1, &ticket);
            /* The ring is full: an instrument would be told of a gap; here the disk is what is measured. */
            if (rc == FLY_EAGAIN)
                usleep(200);
        } while (rc == FLY_EAGAIN);
        took[i] = (now_s() - t) * 1e6;
    }
    if (rc == FLY_OK)
        rc = fly_recorder_wait(recorder, ticket, 60000);
    *mb_s = (double)MESSAGE * MESSAGES / 1e6 / (now_s() - begin);
    qsort(took, MESSAGES, sizeof *took, compare);
    *append_us = took[MESSAGES * 99 / 100];
    if (fly_recorder_close(&recorder) < 0 && rc == FLY_OK)
        rc = FLY_EIO;
    unlink(path);
    return rc;
}

int bench_recording(FILE *out, const char *dir)
{
    unsigned char *bytes = malloc(CHUNK + 4096);
    double ours[ROUNDS], plain[ROUNDS], append_us[ROUNDS];
    char path[300];
    int rc = FLY_OK;

    if (!bytes)
        return fly_fail(FLY_ENOMEM, "bench: no memory");
    for (size_t i = 0; i < CHUNK + 4096; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    for (int r = 0; rc == FLY_OK && r < ROUNDS; r++) {
        snprintf(path, sizeof path, "%.200s/plain", dir);
        rc = plain_rate(path, bytes, &plain[r]);
        snprintf(path, sizeof path, "%.200s/bench.fly", dir);
        if (rc == FLY_OK)
            rc = recorder_rate(path, bytes, &ours[r], &append_us[r]);
    }
    free(bytes);
    if (rc < 0)
        return rc;
    qsort(ours, ROUNDS, sizeof *ours, compare);
    qsort(plain, ROUNDS, sizeof *plain, compare);
    qsort(append_us, ROUNDS, sizeof *append_us, compare);
    fprintf(out,
            "{\"name\": \"recording.durable_64kib\", \"size\": %d, \"threads\": 2, \"median\": %.4g, \"unit\": \"MB/s\", "
            "\"reference\": %.4g, \"ratio\": %.3f}\n"
            "{\"name\": \"recording.append_p99\", \"size\": %d, \"threads\": 2, \"median\": %.4g, \"unit\": \"us\"}\n",
            MESSAGE, ours[ROUNDS / 2], plain[ROUNDS / 2], ours[ROUNDS / 2] / plain[ROUNDS / 2], MESSAGE,
            append_us[ROUNDS / 2]);
    fflush(out);
    return FLY_OK;
}
