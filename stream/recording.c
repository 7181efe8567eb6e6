#include "stream/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "stream/recording_format.h"

enum { READ_AHEAD = 1 << 20 }; /* bytes read at once; the buffer grows only for a larger record */

struct fly_recording {
    struct fly_disk disk;
    int fd;
    char *path;
    uint32_t seed;
    int64_t file_bytes; /* as found at open */
    int sealed_finished; /* the seal at the end says that an END is there */

    int64_t at;          /* where the next record should begin */
    uint64_t last_ticket;
    int64_t good_bytes;
    uint64_t records;
    int finished, ended;

    unsigned char *buf; /* holds file bytes buf_at .. buf_at + buf_len */
    size_t buf_cap, buf_len;
    int64_t buf_at;
};

/* The bytes [at, at + len) of the file, which the caller has checked to lie inside it. */
static int view(struct fly_recording *rec, int64_t at, size_t len, const unsigned char **bytes)
{
    size_t want = len > READ_AHEAD ? len : READ_AHEAD, have = 0;

    FLY_ASSERT(at >= 0 && len <= (uint64_t)(rec->file_bytes - at));
    if (at >= rec->buf_at && at - rec->buf_at + (int64_t)len <= (int64_t)rec->buf_len) {
        *bytes = rec->buf + (at - rec->buf_at);
        return FLY_OK;
    }
    if ((int64_t)want > rec->file_bytes - at)
        want = (size_t)(rec->file_bytes - at);
    rec->buf_len = 0;
    if (want > rec->buf_cap) {
        unsigned char *grown = realloc(rec->buf, want);

        if (!grown)
            return fly_fail(FLY_ENOMEM, "recording %s: no memory for a record of %zu bytes",
                            rec->path, len);
        rec->buf = grown;
        rec->buf_cap = want;
    }
    while (have < want) {
        int64_t n = rec->disk.pread(rec->disk.ctx, rec->fd, rec->buf + have, want - have,
                                    at + (int64_t)have);

        if (n < 0)
            return fly_fail(FLY_EIO, "recording %s: %s", rec->path, strerror((int)-n));
        if (n == 0)
            break;
        have += (size_t)n;
    }
    rec->buf_at = at;
    rec->buf_len = have;
    if (have < len)
        return fly_fail(FLY_EIO, "recording %s: cut from %lld to %lld bytes while it was read",
                        rec->path, (long long)rec->file_bytes, (long long)(at + (int64_t)have));
    *bytes = rec->buf;
    return FLY_OK;
}

/* 1 when a whole record begins at `at`, 0 when not, below 0 when the disk failed. body is lent until
 * the next view. */
static int whole_at(struct fly_recording *rec, int64_t at, struct fly_record_head *head,
                    const unsigned char **body)
{
    const unsigned char *bytes;
    uint64_t size;
    int rc;

    if (rec->file_bytes - at < FLY_RECORD_HEAD)
        return 0;
    rc = view(rec, at, FLY_RECORD_HEAD, &bytes);
    if (rc < 0)
        return rc;
    if (!fly_record_head_read(head, bytes, rec->seed))
        return 0;
    size = fly_record_size(head);
    if (size > (uint64_t)(rec->file_bytes - at))
        return 0;
    rc = view(rec, at, (size_t)size, &bytes);
    if (rc < 0)
        return rc;
    *body = bytes + FLY_RECORD_HEAD;
    return fly_crc32c(0, *body, (size_t)size - FLY_RECORD_HEAD) == head->body_crc;
}

/* The first whole record at `at` or behind it that may follow last_ticket: 1 found (at moved to it),
 * 0 none to the end of the file, below 0 when the disk failed. */
static int find_whole(struct fly_recording *rec, int64_t *at, uint64_t last_ticket,
                      struct fly_record_head *head)
{
    const unsigned char *body;

    for (; rec->file_bytes - *at >= FLY_RECORD_HEAD; *at += 8) {
        int rc = whole_at(rec, *at, head, &body);

        if (rc < 0)
            return rc;
        if (rc && head->ticket >= last_ticket + (head->kind != FLY_RECORD_SEAL))
            return 1;
    }
    return 0;
}

/* What stands at rec->at is not the next record. Damage, when a later record knows that the missing one
 * was once on disk; else the tail of a writer that died. After a power cut, whole records may stand
 * behind a hole: the disk orders nothing that was not synced. Nobody was promised those. */
static int judge_damage(struct fly_recording *rec)
{
    struct fly_record_head head, first = {0};
    uint64_t missing = rec->last_ticket + 1, last = rec->last_ticket;
    int64_t at = rec->at, first_at = -1, broken_at = rec->at;
    int rc;

    while ((rc = find_whole(rec, &at, last, &head)) == 1) {
        if (first_at < 0) {
            first = head;
            first_at = at;
        }
        if (head.durable >= missing) {
            rec->at = first_at;
            rec->last_ticket = first.ticket - (first.kind != FLY_RECORD_SEAL);
            return fly_fail(FLY_EWIRE,
                            "recording %s: damaged from byte %lld to %lld, %llu records after record "
                            "%llu are lost",
                            rec->path, (long long)broken_at, (long long)first_at,
                            (unsigned long long)(rec->last_ticket + 1 - missing),
                            (unsigned long long)(missing - 1));
        }
        last = head.ticket;
        at += (int64_t)fly_record_size(&head);
    }
    if (rc < 0)
        return rc;
    rec->ended = 1;
    return FLY_EAGAIN;
}

int fly_recording_next(struct fly_recording *rec, struct fly_record *record)
{
    struct fly_record_head head;
    const unsigned char *body;

    while (!rec->ended && rec->at < rec->file_bytes) {
        int64_t at = rec->at;
        int rc = whole_at(rec, at, &head, &body);

        if (rc < 0)
            return rc;
        if (rc == 0 || head.ticket != rec->last_ticket + (head.kind != FLY_RECORD_SEAL))
            return judge_damage(rec);
        rec->at = rec->good_bytes = at + (int64_t)fly_record_size(&head);
        rec->last_ticket = head.ticket;
        if (head.kind == FLY_RECORD_SEAL)
            continue;

        rec->records++;
        rec->finished |= head.kind == FLY_REC_END;
        *record = (struct fly_record){
            .kind = (enum fly_record_kind)head.kind,
            .ticket = head.ticket,
            .t_ns = head.t_ns,
            .offset = at,
            .n_parts = head.n_parts,
        };
        for (int32_t i = 0; i < head.n_parts; i++) {
            record->parts[i] = (struct fly_part){body, head.len[i]};
            body += fly_record_pad(head.len[i]);
        }
        return FLY_OK;
    }
    rec->ended = 1;
    return FLY_EAGAIN;
}

/* A seal in the last bytes tells, without a walk through the file, whether the session was finished. */
static int look_for_seal(struct fly_recording *rec)
{
    struct fly_record_head head;
    const unsigned char *bytes;
    int64_t at = rec->file_bytes - FLY_RECORD_HEAD;
    int rc;

    if (at < FLY_FILE_HEAD)
        return FLY_OK;
    rc = view(rec, at, FLY_RECORD_HEAD, &bytes);
    if (rc < 0)
        return rc;
    rec->sealed_finished = fly_record_head_read(&head, bytes, rec->seed) &&
                           head.kind == FLY_RECORD_SEAL && (head.flags & FLY_SEAL_FINISHED);
    return FLY_OK;
}

int fly_recording_open(struct fly_recording **out, const char *path, const struct fly_disk *disk)
{
    struct fly_recording *rec = calloc(1, sizeof *rec);
    unsigned char file_head[FLY_FILE_HEAD] = {0};
    const unsigned char *bytes;
    size_t head_len;
    int rc;

    if (!rec)
        return fly_fail(FLY_ENOMEM, "recording %s: no memory for its handle", path);
    rec->fd = -1;
    rec->disk = disk ? *disk : fly_disk_system();
    rec->path = strdup(path);
    if (!rec->path) {
        rc = fly_fail(FLY_ENOMEM, "recording %s: no memory for its handle", path);
        goto fail;
    }
    rec->fd = rec->disk.open(rec->disk.ctx, path, O_RDONLY, 0);
    if (rec->fd < 0) {
        rc = fly_fail(FLY_EIO, "recording %s: %s", path, strerror(-rec->fd));
        goto fail;
    }
    rec->file_bytes = rec->disk.size(rec->disk.ctx, rec->fd);
    if (rec->file_bytes < 0) {
        rc = fly_fail(FLY_EIO, "recording %s: %s", path, strerror((int)-rec->file_bytes));
        goto fail;
    }
    head_len = rec->file_bytes < FLY_FILE_HEAD ? (size_t)rec->file_bytes : FLY_FILE_HEAD;
    if (head_len > 0) {
        rc = view(rec, 0, head_len, &bytes);
        if (rc < 0)
            goto fail;
        memcpy(file_head, bytes, head_len);
    }
    rc = fly_file_head_read(file_head, &rec->seed);
    if (rc < 0) {
        rc = (int64_t)head_len == rec->file_bytes && fly_file_head_is_stump(file_head, head_len)
                 ? fly_fail(rc, "recording %s: ends before its first record", path)
                 : fly_fail(rc, "recording %s: %s", path, fly_fail_text());
        goto fail;
    }
    rc = look_for_seal(rec);
    if (rc < 0)
        goto fail;
    fly_recording_rewind(rec);
    *out = rec;
    return FLY_OK;

fail:
    fly_recording_close(&rec);
    return rc;
}

void fly_recording_close(struct fly_recording **recording)
{
    struct fly_recording *rec = *recording;

    if (!rec)
        return;
    if (rec->fd >= 0)
        rec->disk.close(rec->disk.ctx, rec->fd);
    free(rec->buf);
    free(rec->path);
    free(rec);
    *recording = NULL;
}

void fly_recording_end(const struct fly_recording *rec, uint32_t *seed, uint64_t *last_ticket)
{
    *seed = rec->seed;
    *last_ticket = rec->last_ticket;
}

void fly_recording_rewind(struct fly_recording *rec)
{
    rec->at = rec->good_bytes = FLY_FILE_HEAD;
    rec->last_ticket = 0;
    rec->records = 0;
    rec->finished = rec->sealed_finished;
    rec->ended = 0;
}

void fly_recording_info(const struct fly_recording *rec, struct fly_recording_info *info)
{
    *info = (struct fly_recording_info){
        .file_bytes = rec->file_bytes,
        .good_bytes = rec->good_bytes,
        .records = rec->records,
        .finished = rec->finished,
    };
}
