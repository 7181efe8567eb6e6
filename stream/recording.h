/* stream/recording.h: the session file: append-only, checksummed, written behind the stages' back.
 *
 * stream/RECORDING.md describes the bytes. A recorder takes records from any thread into a reserved
 * ring and returns a ticket at once; its own thread writes them with io_uring (or pwrite where the
 * kernel refuses) and fsyncs at most every sync_ms. A ticket is durable once its record and all before it are
 * on disk. When the ring is full the recorder says FLY_EAGAIN and never waits: the caller goes on and
 * tells the gap.
 *
 * Order    records stand in the file in the order of append. Each has a number from 1, its ticket.
 * Threads  append: any; durable, state: any; open, close: one.
 */
#ifndef FLY_STREAM_RECORDING_H
#define FLY_STREAM_RECORDING_H

#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "stream/disk.h"
#include "stream/wire.h"

enum fly_record_kind {
    FLY_REC_SESSION = 1, /* first record: session id, versions, frozen configuration (msgpack map) */
    FLY_REC_INGEST,      /* one accepted ingest message, its parts byte for byte */
    FLY_REC_USED,        /* a refused message whose seq counts as received (msgpack map) */
    FLY_REC_CONTROL,     /* one journaled input: a request that changes something (msgpack map) */
    FLY_REC_MARK,        /* what the engine decided by time: steps done, epoch published (msgpack map) */
    FLY_REC_GAP,         /* messages that went by unrecorded (msgpack map) */
    FLY_REC_RESUME,      /* a restart reopened this file (msgpack map) */
    FLY_REC_END          /* drained; the session is finished (msgpack map) */
};

struct fly_recorder;

/* BEHIND  records are refused and the ring is more than half full, or the disk refuses writes, which are
 *         tried again (5 a second) until it takes them: room was made on it, say
 * FAILED  a sync failed, so nobody knows what the file holds past `durable`: final for this recorder */
enum fly_recorder_state { FLY_RECORDER_OK = 0, FLY_RECORDER_BEHIND, FLY_RECORDER_FAILED };

struct fly_recorder_config {
    const char *path;
    struct fly_disk disk;
    struct fly_clock clock; /* unix_ns stamps a new file (NULL: 0); waiting goes by the kernel's own */
    size_t ring_bytes;    /* reserved; power of two, 1 MiB .. 1 GiB */
    int32_t sync_ms;      /* 1 .. 10000 */
    int32_t writers;      /* 0: try io_uring, else pwrite; 1: pwrite only */
    int wake_fd;          /* an eventfd written whenever durable moved or the state became FAILED, or -1 */
};

struct fly_recorder_status {
    uint64_t appended, durable;   /* tickets */
    uint64_t bytes_appended, bytes_durable; /* of the file, what stood in it at open included */
    uint64_t dropped;             /* records refused with FLY_EAGAIN */
    enum fly_recorder_state state;
    int uring;                    /* 1: io_uring writes, 0: pwrite */
    char error[160];              /* what the disk said last, "" when all is well */
};

/* Make a new file (it must not exist), or reopen one to go on after its last whole record (append = 1;
 * the torn tail is cut off, next_ticket continues). */
FLY_MUST_USE int fly_recorder_open(struct fly_recorder **out, const struct fly_recorder_config *config,
                                   int append);

/* Bytes of parts that a record can always hold: half of the ring, less its head and padding. */
size_t fly_recorder_bytes_max(const struct fly_recorder *recorder);

/* Copy the parts in as one record and hand out its ticket. FLY_EAGAIN: no room (behind, or the disk
 * failed); nothing was taken. FLY_ERANGE: larger than the ring allows (half of it), which is so for every
 * retry. Note: payloads up to FLY_PAYLOAD_MAX are legal on the wire; ring_bytes must suit. */
FLY_MUST_USE int fly_recorder_append(struct fly_recorder *recorder, enum fly_record_kind kind,
                                     int64_t t_ns, const struct fly_part *parts, int32_t n_parts,
                                     uint64_t *ticket);

uint64_t fly_recorder_durable(const struct fly_recorder *recorder);
void fly_recorder_status(const struct fly_recorder *recorder, struct fly_recorder_status *status);

/* Wait until `ticket` is durable, at most timeout_ms. FLY_EAGAIN: not yet. FLY_EIO: it never will be. */
FLY_MUST_USE int fly_recorder_wait(struct fly_recorder *recorder, uint64_t ticket, int32_t timeout_ms);

/* Write and sync what is left, seal the file, close. A disk that refuses gets one last attempt. Nobody
 * may be appending. FLY_EIO when something never reached the disk. */
int fly_recorder_close(struct fly_recorder **recorder);

/* ---- reading ------------------------------------------------------------------------------------ */

struct fly_recording;

struct fly_record {
    enum fly_record_kind kind;
    uint64_t ticket;
    int64_t t_ns;   /* as given to append */
    int64_t offset; /* of the record in the file */
    struct fly_part parts[FLY_PARTS_MAX];
    int32_t n_parts;
};

/* Of what has been read so far; of the whole file once next has said FLY_EAGAIN. */
struct fly_recording_info {
    int64_t file_bytes;  /* when it was opened */
    int64_t good_bytes;  /* up to the end of the last whole record; in the end, less than file_bytes
                          * tells of a torn or damaged tail */
    uint64_t records;
    int finished;        /* an END record was read; after a clean close known at once, unread */
};

/* Open for reading, whole or torn. disk NULL: the system's. FLY_EIO; FLY_EWIRE not a recording, or of a
 * newer version; FLY_ENOMEM. */
FLY_MUST_USE int fly_recording_open(struct fly_recording **out, const char *path,
                                    const struct fly_disk *disk);
void fly_recording_close(struct fly_recording **recording);

/* The next record. Parts are lent until the next call and begin at multiples of 8 bytes.
 * FLY_EAGAIN: the end of what is whole. FLY_EWIRE: records that were once durable are damaged; the
 * message tells where and how many, and the next call goes on with the whole record behind them.
 * FLY_EIO, FLY_ENOMEM: the same call may be tried again. */
FLY_MUST_USE int fly_recording_next(struct fly_recording *recording, struct fly_record *record);
void fly_recording_rewind(struct fly_recording *recording);
void fly_recording_info(const struct fly_recording *recording, struct fly_recording_info *info);

/* CRC32C (Castagnoli), as in iSCSI (RFC 3720); crc of the bytes before, 0 to begin. */
uint32_t fly_crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
