/* tests/support/records.h: records whose content follows from their number, to write and to check. */
#ifndef TESTS_SUPPORT_RECORDS_H
#define TESTS_SUPPORT_RECORDS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/rng.h"
#include "stream/recording.h"

enum { RECORDS_PART_MAX = 4096 };

struct sample {
    enum fly_record_kind kind;
    int64_t t_ns;
    struct fly_part parts[FLY_PARTS_MAX];
    int32_t n_parts;
    unsigned char bytes[FLY_PARTS_MAX][RECORDS_PART_MAX];
};

/* Record `ticket`: 0 .. 8 parts of 0 .. len_max bytes, every kind but END. */
static inline void sample_make(struct sample *sample, uint64_t ticket, size_t len_max)
{
    struct fly_rng rng = {fly_rng_at(ticket)};

    sample->kind = (enum fly_record_kind)(FLY_REC_SESSION + (int)fly_rng_below(&rng, FLY_REC_END - 1));
    sample->t_ns = (int64_t)fly_rng_next(&rng);
    sample->n_parts = (int32_t)fly_rng_below(&rng, FLY_PARTS_MAX + 1);
    for (int32_t i = 0; i < sample->n_parts; i++) {
        size_t len = fly_rng_below(&rng, 4) ? fly_rng_below(&rng, len_max + 1) : 0;

        for (size_t k = 0; k < len; k++)
            sample->bytes[i][k] = (unsigned char)fly_rng_next(&rng);
        sample->parts[i] = (struct fly_part){sample->bytes[i], len};
    }
}

/* 1 when a record read is the one that sample_make makes. */
static inline int sample_is(const struct fly_record *record, uint64_t ticket, size_t len_max)
{
    static struct sample want;

    sample_make(&want, ticket, len_max);
    if (record->ticket != ticket || record->kind != want.kind || record->t_ns != want.t_ns ||
        record->n_parts != want.n_parts)
        return 0;
    for (int32_t i = 0; i < want.n_parts; i++)
        if (record->parts[i].len != want.parts[i].len ||
            (want.parts[i].len > 0 &&
             memcmp(record->parts[i].bytes, want.parts[i].bytes, want.parts[i].len) != 0))
            return 0;
    return 1;
}

/* Append sample `ticket`; the code of append, FLY_EIO when another ticket came out. */
static inline int sample_append(struct fly_recorder *recorder, uint64_t ticket, size_t len_max)
{
    struct sample *sample = malloc(sizeof *sample);
    uint64_t got = 0;
    int rc;

    sample_make(sample, ticket, len_max);
    rc = fly_recorder_append(recorder, sample->kind, sample->t_ns, sample->parts, sample->n_parts, &got);
    free(sample);
    return rc == FLY_OK && got != ticket ? FLY_EIO : rc;
}

static inline int64_t records_unix_ns(void *ctx)
{
    return 1700000000123456789;
}

static inline struct fly_recorder_config records_config(const char *path, const struct fly_disk *disk)
{
    return (struct fly_recorder_config){
        .path = path,
        .disk = disk ? *disk : fly_disk_system(),
        .clock = {.unix_ns = records_unix_ns},
        .ring_bytes = 1 << 20,
        .sync_ms = 5,
        .wake_fd = -1,
    };
}

/* Read samples to the end. Returns how many stood there in order from 1, or -1 when one was wrong or
 * something else than the end came. */
static inline int64_t records_count(const char *path, const struct fly_disk *disk, size_t len_max,
                                    struct fly_recording_info *info)
{
    struct fly_recording *recording = NULL;
    struct fly_record record;
    int64_t count = 0;
    int rc;

    if (fly_recording_open(&recording, path, disk) < 0)
        return -1;
    while ((rc = fly_recording_next(recording, &record)) == FLY_OK) {
        if (!sample_is(&record, (uint64_t)count + 1, len_max)) {
            rc = FLY_EIO;
            break;
        }
        count++;
    }
    if (info)
        fly_recording_info(recording, info);
    fly_recording_close(&recording);
    return rc == FLY_EAGAIN ? count : -1;
}

/* A folder of this test's own, removed with its files by folder_remove. */
static inline void folder_make(char path[64])
{
    memcpy(path, "/tmp/flyback-test-XXXXXX", sizeof "/tmp/flyback-test-XXXXXX");
    if (!mkdtemp(path))
        abort();
}

static inline void folder_remove(const char *path, const char *const *names, int count)
{
    char name[256];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        unlink(name);
    }
    rmdir(path);
}

#endif
