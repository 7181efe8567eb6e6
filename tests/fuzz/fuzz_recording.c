/* Any bytes as a session file: the reader ends, stays inside the file, and says the same twice; a
 * recorder that goes on after it loses no record that was read and adds its own.
 *
 * Byte 0 of the input is ours: bit 0 puts right the checksums of whatever looks like a head, so that
 * the numbers behind them are tried too; bit 1 reopens the file for writing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stream/recording_format.h"
#include "tests/support/fault_disk.h"
#include "tests/support/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put_u32(unsigned char *out, uint32_t value)
{
    memcpy(out, &value, sizeof value); /* little-endian hosts */
}

static void put_checksums_right(unsigned char *file, size_t len)
{
    uint32_t seed, part_len;

    if (len < FLY_FILE_HEAD)
        return;
    seed = fly_crc32c(0, file, 28);
    put_u32(file + 28, seed);
    for (size_t at = FLY_FILE_HEAD; at + FLY_RECORD_HEAD <= len; at += 8) {
        uint64_t body = 0;

        if (memcmp(file + at, "FREC", 4) != 0)
            continue;
        for (int i = 0; i < FLY_PARTS_MAX; i++) {
            memcpy(&part_len, file + at + 32 + 4 * i, 4);
            body += i < file[at + 5] ? fly_record_pad(part_len) : 0;
        }
        if (body <= len - at - FLY_RECORD_HEAD)
            put_u32(file + at + 64, fly_crc32c(0, file + at + FLY_RECORD_HEAD, (size_t)body));
        put_u32(file + at + 68, fly_crc32c(seed, file + at, 68));
    }
}

static void require(int held)
{
    if (!held)
        abort();
}

struct told {
    int opened;
    uint64_t records, damages, last_ticket, sum;
    int64_t good_bytes;
};

/* Field by field: what lies between the fields is nobody's promise. */
static int same(const struct told *a, const struct told *b)
{
    return a->opened == b->opened && a->records == b->records && a->damages == b->damages &&
           a->last_ticket == b->last_ticket && a->sum == b->sum && a->good_bytes == b->good_bytes;
}

static struct told read_all(const struct fly_disk *table, size_t len)
{
    struct told told = {0};
    struct fly_recording *recording = NULL;
    struct fly_recording_info info;
    struct fly_record record;
    int rc = fly_recording_open(&recording, "mem", table);

    require(rc == FLY_OK || rc == FLY_EWIRE);
    if (rc < 0)
        return told;
    told.opened = 1;
    while ((rc = fly_recording_next(recording, &record)) != FLY_EAGAIN) {
        if (rc == FLY_EWIRE) {
            told.damages++;
            require(told.damages <= len / 8);
            continue;
        }
        require(rc == FLY_OK);
        require(record.ticket > told.last_ticket);
        require(record.kind >= FLY_REC_SESSION && record.kind <= FLY_REC_END);
        require(record.n_parts >= 0 && record.n_parts <= FLY_PARTS_MAX);
        require(record.offset >= FLY_FILE_HEAD && record.offset % 8 == 0);
        for (int32_t i = 0; i < record.n_parts; i++) {
            require(record.parts[i].len <= len);
            told.sum += fly_crc32c((uint32_t)told.sum, record.parts[i].bytes, record.parts[i].len);
        }
        told.last_ticket = record.ticket;
        told.records++;
    }
    fly_recording_info(recording, &info);
    require(info.records == told.records);
    require(info.file_bytes == (int64_t)len);
    require(info.good_bytes >= FLY_FILE_HEAD && info.good_bytes <= info.file_bytes);
    told.good_bytes = info.good_bytes;
    fly_recording_close(&recording);
    return told;
}

static void go_on(struct fault_disk *disk, const struct fly_disk *table, const struct told *before)
{
    struct fly_recorder_config config = records_config("mem", table);
    struct fly_recorder *recorder = NULL;
    struct fly_part part = {"more", 4};
    struct told after;
    uint64_t ticket;

    if (fly_recorder_open(&recorder, &config, 1) < 0) {
        require(!before->opened);
        return;
    }
    require(fly_recorder_append(recorder, FLY_REC_CONTROL, 1, &part, 1, &ticket) == FLY_OK);
    require(!before->opened || ticket > before->last_ticket);
    require(fly_recorder_close(&recorder) == FLY_OK);
    after = read_all(table, disk->file.len);
    require(after.opened);
    require(after.records == before->records + 1 && after.last_ticket == ticket);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fault_disk disk;
    struct fly_disk table;
    struct told told, again;

    if (len < 1 || len > 1 << 16)
        return 0;
    fault_init(&disk);
    table = fault_table(&disk);
    fault_put(&disk, data + 1, len - 1);
    if (data[0] & 1)
        put_checksums_right(disk.file.bytes, disk.file.len);
    told = read_all(&table, len - 1);
    again = read_all(&table, len - 1);
    require(same(&told, &again));
    if (data[0] & 2)
        go_on(&disk, &table, &told);
    fault_fini(&disk);
    return 0;
}
