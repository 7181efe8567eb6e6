/* stream/recording_format.h: the bytes of a session file, for the recorder and the reader alone.
 *
 * RECORDING.md is the contract; this is its only writing in code. Nothing here touches a file.
 */
#ifndef FLY_STREAM_RECORDING_FORMAT_H
#define FLY_STREAM_RECORDING_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "stream/wire.h"

enum {
    FLY_FILE_VERSION = 1,
    FLY_FILE_HEAD = 32,     /* bytes before the first record */
    FLY_RECORD_HEAD = 72,   /* bytes before a record's first part */
    FLY_RECORD_SEAL = 0,    /* kind of the head that a clean close leaves at the end */
    FLY_SEAL_FINISHED = 1,  /* flag of a seal: an END record is in the file */
};

struct fly_record_head {
    int kind;                        /* enum fly_record_kind, or FLY_RECORD_SEAL */
    int flags;                       /* 0, or those of a seal */
    uint64_t ticket;                 /* from 1; a seal repeats that of the record before it */
    int64_t t_ns;
    uint64_t durable;                /* all records up to this one were synced when it was appended */
    int32_t n_parts;                 /* 0 .. FLY_PARTS_MAX */
    uint32_t len[FLY_PARTS_MAX];     /* of each part, 0 .. FLY_PAYLOAD_MAX; 0 beyond n_parts */
    uint32_t body_crc;               /* of all that follows the head, zeros between parts included */
};

/* Bytes that len bytes of a part take up: parts begin at multiples of 8. */
static inline uint64_t fly_record_pad(uint64_t len)
{
    return (len + 7) & ~(uint64_t)7;
}

/* Bytes of the whole record, head and padding included; a multiple of 8, below 2^32. */
uint64_t fly_record_size(const struct fly_record_head *head);

/* Returns the seed that every record head of this file starts its checksum from. */
uint32_t fly_file_head_write(unsigned char out[FLY_FILE_HEAD], int64_t created_ns);

/* FLY_EWIRE: not a recording, a damaged head, or a version that this build does not read. */
FLY_MUST_USE int fly_file_head_read(const unsigned char in[FLY_FILE_HEAD], uint32_t *seed);

void fly_record_head_write(unsigned char out[FLY_RECORD_HEAD], const struct fly_record_head *head,
                           uint32_t seed);

/* 1 when these bytes are a head of this file and keep every limit, else 0. */
int fly_record_head_read(struct fly_record_head *head, const unsigned char in[FLY_RECORD_HEAD],
                         uint32_t seed);

/* 1 when a file of these bytes alone may be what is left of one whose writer died over its file head:
 * no record was ever in it. */
int fly_file_head_is_stump(const unsigned char *in, size_t len);

/* What a recorder needs to go on after a file that was read to its end: the file's seed, and the last
 * ticket that was handed out, which is a seal's when the last records are damaged. */
struct fly_recording;
void fly_recording_end(const struct fly_recording *recording, uint32_t *seed, uint64_t *last_ticket);

/* The plain twin of fly_crc32c, for processors without the instruction. */
uint32_t fly_crc32c_table(uint32_t crc, const void *bytes, size_t len);

#endif
