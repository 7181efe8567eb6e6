/* What recording costs and carries, beside what the disk and the memory allow in the same run.
 *
 *   recording_durable      messages appended as fast as the ring takes them until the last one is durable,
 *                          MB/s of messages; reference: write(2) of 1 MiB blocks, as many bytes, with one
 *                          fdatasync at the end or one each 64 MiB, whichever is faster here
 *   recording_pwrite       the same without io_uring
 *   recording_append_p99   us a caller spends in append, messages paced; reference: us it would spend in
 *                          write(2) with an fdatasync each 50 ms
 *   recording_read         MB/s read and checked, from the page cache; reference: pread alone
 *   crc32c                 GB/s in cache; reference: the table
 *
 * One JSON object a line. ratio is median / reference, of times reference / median: more is better.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream/recording.h"
#include "stream/recording_format.h"
#include "tests/bench/bench.h"

enum { RUNS = 5, BLOCK = 1 << 20, PACED = 4000 };
static const size_t total_bytes = (size_t)512 << 20;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double q)
{
    qsort(values, count, sizeof *values, by_value);
    return values[(size_t)(q * (double)(count - 1))];
}

static void report(FILE *out, const char *name, size_t size, double value, const char *unit, double reference)
{
    fprintf(out,
            "{\"name\": \"%s\", \"size\": %zu, \"threads\": 1, \"median\": %.4g, \"unit\": \"%s\", "
            "\"reference\": %.4g, \"ratio\": %.3f}\n",
            name, size, value, unit, reference,
            strcmp(unit, "us") == 0 ? reference / value : value / reference);
    fflush(out);
}

/* MB/s of plain blocks, synced each `each` bytes and at the end; below 0: the system refused. */
static double plain_write(const char *path, const unsigned char *block, size_t each)
{
    double begin;
    int fd;

    unlink(path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1.0;
    begin = now_s();
    for (size_t done = 0; done < total_bytes; done += BLOCK)
        if (write(fd, block, BLOCK) != BLOCK || ((done + BLOCK) % each == 0 && fdatasync(fd) < 0))
            goto fail;
    if (fdatasync(fd) < 0)
        goto fail;
    close(fd);
    return (double)total_bytes / 1e6 / (now_s() - begin);
fail:
    close(fd);
    return -1.0;
}

static int open_recorder(struct fly_recorder **recorder, const char *path, int writers)
{
    struct fly_recorder_config config = {.path = path,
                                         .disk = fly_disk_system(),
                                         .ring_bytes = (size_t)64 << 20,
                                         .sync_ms = 50,
                                         .writers = writers,
                                         .wake_fd = -1};

    unlink(path);
    return fly_recorder_open(recorder, &config, 0);
}

static double recorded_write(const char *path, const unsigned char *bytes, size_t size, int writers)
{
    struct fly_recorder *recorder = NULL;
    struct fly_part part = {bytes, size};
    uint64_t ticket = 0, count = total_bytes / size;
    double begin, took;

    if (open_recorder(&recorder, path, writers) < 0)
        return -1.0;
    begin = now_s();
    while (ticket < count) {
        int rc = fly_recorder_append(recorder, FLY_REC_INGEST, 0, &part, 1, &ticket);

        /* The ring is full: the disk is what is measured. Its owner would go on; we let it drain. */
        if (rc == FLY_EAGAIN)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        else if (rc != FLY_OK)
            goto fail;
    }
    if (fly_recorder_wait(recorder, ticket, 60000) != FLY_OK)
        goto fail;
    took = now_s() - begin;
    return fly_recorder_close(&recorder) == FLY_OK ? (double)total_bytes / 1e6 / took : -1.0;
fail:
    fly_recorder_close(&recorder);
    return -1.0;
}

/* Asleep between messages, as a stage is that waits for its socket. */
static void pace(double *next, double period_s)
{
    double wait_s = *next - now_s();

    if (wait_s > 0.0)
        nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * wait_s)}, NULL);
    *next += period_s;
}

/* p99 in us of PACED appends, `rate_hz` of them a second. */
static double append_p99(const char *path, const unsigned char *bytes, size_t size, double rate_hz)
{
    static double took_us[PACED];
    struct fly_recorder *recorder = NULL;
    struct fly_part part = {bytes, size};
    double next;
    uint64_t ticket;

    if (open_recorder(&recorder, path, 0) < 0)
        return -1.0;
    next = now_s();
    for (int i = 0; i < PACED; i++) {
        double begin;
        int rc;

        pace(&next, 1.0 / rate_hz);
        begin = now_s();
        rc = fly_recorder_append(recorder, FLY_REC_INGEST, 0, &part, 1, &ticket);
        took_us[i] = 1e6 * (now_s() - begin);
        if (rc != FLY_OK && rc != FLY_EAGAIN) { /* a stuck disk's refusal is an answer in time too */
            fly_recorder_close(&recorder);
            return -1.0;
        }
    }
    return fly_recorder_close(&recorder) == FLY_OK ? quantile(took_us, PACED, 0.99) : -1.0;
}

static double plain_p99(const char *path, const unsigned char *bytes, size_t size, double rate_hz)
{
    static double took_us[PACED];
    double next, last_sync;
    int fd;

    unlink(path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1.0;
    next = last_sync = now_s();
    for (int i = 0; i < PACED; i++) {
        double begin;

        pace(&next, 1.0 / rate_hz);
        begin = now_s();
        if (write(fd, bytes, size) != (ssize_t)size || (begin - last_sync > 0.05 && fdatasync(fd) < 0)) {
            close(fd);
            return -1.0;
        }
        if (begin - last_sync > 0.05)
            last_sync = now_s();
        took_us[i] = 1e6 * (now_s() - begin);
    }
    close(fd);
    return quantile(took_us, PACED, 0.99);
}

static double read_recording(const char *path)
{
    struct fly_recording *recording = NULL;
    struct fly_record record;
    double begin = now_s(), bytes = 0.0;
    int rc;

    if (fly_recording_open(&recording, path, NULL) < 0)
        return -1.0;
    while ((rc = fly_recording_next(recording, &record)) == FLY_OK)
        bytes += (double)record.parts[0].len;
    fly_recording_close(&recording);
    return rc == FLY_EAGAIN ? bytes / 1e6 / (now_s() - begin) : -1.0;
}

static double plain_read(const char *path, unsigned char *block)
{
    double begin = now_s(), bytes = 0.0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1.0;
    while ((n = read(fd, block, BLOCK)) > 0)
        bytes += (double)n;
    close(fd);
    return n < 0 ? -1.0 : bytes / 1e6 / (now_s() - begin);
}

static void bench_crc(FILE *out, const unsigned char *block)
{
    double fast[RUNS], plain[RUNS], begin;
    volatile uint32_t sum = 0;

    for (int r = 0; r < RUNS; r++) {
        begin = now_s();
        for (int i = 0; i < 2000; i++)
            sum = fly_crc32c(sum, block, 65536);
        fast[r] = 2000 * 65536 / 1e9 / (now_s() - begin);
        begin = now_s();
        for (int i = 0; i < 500; i++)
            sum = fly_crc32c_table(sum, block, 65536);
        plain[r] = 500 * 65536 / 1e9 / (now_s() - begin);
    }
    report(out, "crc32c", 65536, quantile(fast, RUNS, 0.5), "GB/s", quantile(plain, RUNS, 0.5));
}

/* FLY_EIO, FLY_ENOMEM: a case could not run. */
int bench_recording(FILE *out, const char *dir)
{
    static const struct {
        size_t size;
        double rate_hz;
    } paced[] = {{1280, 10000.0}, {65536, 4000.0}};
    double plain[2][RUNS], best, uring[RUNS], pwrites[RUNS], reads[RUNS], plain_reads[RUNS];
    unsigned char *block = malloc(BLOCK);
    char path[512];
    int rc = FLY_EIO;

    if (!block)
        return fly_fail(FLY_ENOMEM, "bench: no memory for a block of %d bytes", BLOCK);
    snprintf(path, sizeof path, "%s/bench_recording.fly", dir);
    for (size_t i = 0; i < BLOCK; i += 8)
        memcpy(block + i, &(uint64_t){i * 0x9E3779B97F4A7C15u}, 8);
    fly_fail(FLY_OK, "the system refused a plain write or read"); /* should no recorder have said more */

    bench_crc(out, block);
    for (int r = 0; r < RUNS; r++) {
        plain[0][r] = plain_write(path, block, total_bytes);
        plain[1][r] = plain_write(path, block, (size_t)64 << 20);
        uring[r] = recorded_write(path, block, 65536, 0);
        reads[r] = read_recording(path);
        plain_reads[r] = plain_read(path, block);
        pwrites[r] = recorded_write(path, block, 65536, 1);
        if (plain[0][r] < 0 || plain[1][r] < 0 || uring[r] < 0 || pwrites[r] < 0 || reads[r] < 0 || plain_reads[r] < 0)
            goto out;
    }
    best = quantile(plain[0], RUNS, 0.5);
    best = best > quantile(plain[1], RUNS, 0.5) ? best : quantile(plain[1], RUNS, 0.5);
    report(out, "recording_durable", 65536, quantile(uring, RUNS, 0.5), "MB/s", best);
    report(out, "recording_pwrite", 65536, quantile(pwrites, RUNS, 0.5), "MB/s", best);
    report(out, "recording_read", 65536, quantile(reads, RUNS, 0.5), "MB/s",
           quantile(plain_reads, RUNS, 0.5));
    for (size_t i = 0; i < sizeof paced / sizeof paced[0]; i++) {
        double us[RUNS], plain_us[RUNS];

        for (int r = 0; r < RUNS; r++) {
            us[r] = append_p99(path, block, paced[i].size, paced[i].rate_hz);
            plain_us[r] = plain_p99(path, block, paced[i].size, paced[i].rate_hz);
            if (us[r] < 0 || plain_us[r] < 0)
                goto out;
        }
        report(out, "recording_append_p99", paced[i].size, quantile(us, RUNS, 0.5), "us",
               quantile(plain_us, RUNS, 0.5));
    }
    rc = FLY_OK;
out:
    unlink(path);
    free(block);
    return rc;
}

#ifdef FLY_BENCH_MAIN
int main(int argc, char **argv)
{
    int rc = bench_recording(stdout, argc > 1 ? argv[1] : ".");

    if (rc < 0)
        fprintf(stderr, "bench_recording: %s\n", fly_fail_text());
    return rc < 0;
}
#endif
