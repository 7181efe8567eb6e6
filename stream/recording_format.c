#include "stream/recording_format.h"

#include <string.h>

#include "stream/recording.h"

/* As in PNG: a byte above 127 and both kinds of line end, so that a transfer as text shows at once. */
static const unsigned char file_magic[8] = {0x89, 'F', 'L', 'Y', '\r', '\n', 0x1A, '\n'};
static const uint32_t record_magic = 0x43455246; /* "FREC" */

static void put(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *in, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

uint64_t fly_record_size(const struct fly_record_head *head)
{
    uint64_t size = FLY_RECORD_HEAD;

    for (int32_t i = 0; i < head->n_parts; i++)
        size += fly_record_pad(head->len[i]);
    return size;
}

uint32_t fly_file_head_write(unsigned char out[FLY_FILE_HEAD], int64_t created_ns)
{
    uint32_t crc;

    memset(out, 0, FLY_FILE_HEAD);
    memcpy(out, file_magic, sizeof file_magic);
    put(out + 8, FLY_FILE_VERSION, 4);
    put(out + 16, (uint64_t)created_ns, 8);
    crc = fly_crc32c(0, out, 28);
    put(out + 28, crc, 4);
    return crc;
}

int fly_file_head_read(const unsigned char in[FLY_FILE_HEAD], uint32_t *seed)
{
    uint32_t crc = fly_crc32c(0, in, 28), version = (uint32_t)get(in + 8, 4);

    if (memcmp(in, file_magic, sizeof file_magic) != 0)
        return fly_fail(FLY_EWIRE, "not a Flyback recording");
    if (crc != get(in + 28, 4))
        return fly_fail(FLY_EWIRE, "the first %d bytes are damaged", FLY_FILE_HEAD);
    if (version != FLY_FILE_VERSION)
        return fly_fail(FLY_EWIRE, "format version %u, this build reads %d", version,
                        FLY_FILE_VERSION);
    *seed = crc;
    return FLY_OK;
}

void fly_record_head_write(unsigned char out[FLY_RECORD_HEAD], const struct fly_record_head *head,
                           uint32_t seed)
{
    put(out, record_magic, 4);
    out[4] = (unsigned char)head->kind;
    out[5] = (unsigned char)head->n_parts;
    put(out + 6, (uint64_t)head->flags, 2);
    put(out + 8, head->ticket, 8);
    put(out + 16, (uint64_t)head->t_ns, 8);
    put(out + 24, head->durable, 8);
    for (int i = 0; i < FLY_PARTS_MAX; i++)
        put(out + 32 + 4 * i, head->len[i], 4);
    put(out + 64, head->body_crc, 4);
    put(out + 68, fly_crc32c(seed, out, 68), 4);
}

int fly_record_head_read(struct fly_record_head *head, const unsigned char in[FLY_RECORD_HEAD],
                         uint32_t seed)
{
    if (get(in, 4) != record_magic || get(in + 68, 4) != fly_crc32c(seed, in, 68))
        return 0;
    head->kind = in[4];
    head->n_parts = in[5];
    head->flags = (int)get(in + 6, 2);
    head->ticket = get(in + 8, 8);
    head->t_ns = (int64_t)get(in + 16, 8);
    head->durable = get(in + 24, 8);
    for (int i = 0; i < FLY_PARTS_MAX; i++)
        head->len[i] = (uint32_t)get(in + 32 + 4 * i, 4);
    head->body_crc = (uint32_t)get(in + 64, 4);

    /* A right checksum over wrong numbers takes a wrong writer; a reader survives that too. */
    if (head->kind > FLY_REC_END || head->n_parts > FLY_PARTS_MAX)
        return 0;
    if (head->kind == FLY_RECORD_SEAL ? head->n_parts != 0 : head->ticket == 0)
        return 0;
    if (head->ticket > INT64_MAX) /* and so there is always a next one */
        return 0;
    for (int i = 0; i < FLY_PARTS_MAX; i++)
        if (head->len[i] > (i < head->n_parts ? FLY_PAYLOAD_MAX : 0))
            return 0;
    return 1;
}

int fly_file_head_is_stump(const unsigned char *in, size_t len)
{
    /* The head lies in one sector and is synced before the first record, so a dead writer leaves
     * nothing, zeros, or the beginning of the head and zeros. */
    if (len > FLY_FILE_HEAD || (len == FLY_FILE_HEAD && get(in + 28, 4) == fly_crc32c(0, in, 28)))
        return 0;
    for (size_t i = 0; i < len && i < sizeof file_magic; i++)
        if (in[i] != 0 && in[i] != file_magic[i])
            return 0;
    return 1;
}
