#include "sim/replay.h"

#include <stdlib.h>
#include <string.h>

#include "sim/tool.h"

/* Numbers further apart than this many times the messages of the file are taken for damage. */
enum { SPREAD_MAX = 64 };

struct stream {
    char name[FLY_NAME_MAX + 1];
    unsigned char *have; /* bit seq: a message with it will be sent */
    uint64_t bits;       /* room */
    uint64_t last;       /* highest number sent under this stream, or skipped */
};

struct fly_replay {
    struct fly_recording *recording;
    char path[4096];
    char session[FLY_SESSION_MAX + 1];
    int renamed;
    uint64_t from, messages, at; /* at: ingest messages read since the beginning */
    int started, stopped;        /* sent; a stop counts as sent when it was made here */
    int has_stop;
    int64_t t_ns;
    struct stream streams[FLY_STREAMS_MAX];
    int32_t n_streams;
    struct fly_replay_message pending; /* behind its skips; n_parts 0: none */
    unsigned char header[FLY_HEADER_MAX];
    unsigned char made[4096];          /* a skip's or the stop's header */
};

/* What replay needs of a recorded header. */
struct look {
    char session[FLY_SESSION_MAX + 1];
    const char *stream;
    size_t stream_len;
    uint64_t seq;
    int start, stop;
};

static int look_at(struct look *look, const struct fly_record *record)
{
    struct fly_value header, value;
    const char *text;
    size_t len;

    *look = (struct look){0};
    if (record->n_parts < 1 ||
        fly_wire_scan(record->parts[0].bytes, record->parts[0].len) != FLY_REFUSE_NONE)
        return 0;
    header = fly_value_root(record->parts[0].bytes, record->parts[0].len);
    if (!fly_value_get(header, "session", &value) || !fly_value_str(value, &text, &len) ||
        len > FLY_SESSION_MAX)
        return 0;
    memcpy(look->session, text, len);
    if (!fly_value_get(header, "stream", &value) || !fly_value_str(value, &look->stream, &look->stream_len) ||
        look->stream_len > FLY_NAME_MAX)
        return 0;
    if (!fly_value_get(header, "seq", &value) || !fly_value_uint(value, &look->seq) || look->seq == 0)
        return 0;
    if (!fly_value_get(header, "type", &value) || !fly_value_str(value, &text, &len))
        return 0;
    look->start = len == 5 && !memcmp(text, "start", 5);
    look->stop = len == 4 && !memcmp(text, "stop", 4);
    return 1;
}

/* The stream's index, made when it is new; -1 when there are too many. */
static int32_t stream_of(struct fly_replay *r, const char *name, size_t len)
{
    for (int32_t i = 0; i < r->n_streams; i++)
        if (strlen(r->streams[i].name) == len && !memcmp(r->streams[i].name, name, len))
            return i;
    if (r->n_streams == FLY_STREAMS_MAX)
        return -1;
    memcpy(r->streams[r->n_streams].name, name, len);
    return r->n_streams++;
}

static int note(struct fly_replay *r, int32_t stream, uint64_t seq)
{
    struct stream *s = &r->streams[stream];

    if (seq > SPREAD_MAX * (r->messages + 1024))
        return fly_fail(FLY_EWIRE, "%s: %s has number %llu among %llu messages", r->path, s->name,
                        (unsigned long long)seq, (unsigned long long)r->messages);
    if (seq >= s->bits) {
        uint64_t bits = s->bits ? s->bits : 1024;

        while (bits <= seq)
            bits *= 2;
        unsigned char *more = realloc(s->have, (size_t)(bits / 8));

        if (!more)
            return fly_fail(FLY_ENOMEM, "%s: no memory for %llu numbers", r->path, (unsigned long long)bits);
        memset(more + s->bits / 8, 0, (size_t)((bits - s->bits) / 8));
        s->have = more;
        s->bits = bits;
    }
    s->have[seq / 8] |= (unsigned char)(1u << seq % 8);
    return FLY_OK;
}

static int has(const struct stream *s, uint64_t seq)
{
    return seq < s->bits && (s->have[seq / 8] >> seq % 8 & 1);
}

/* One pass over the file: which streams and numbers there are. */
static int survey(struct fly_replay *r)
{
    struct fly_record record;
    struct look look;
    int rc, started = 0;

    while ((rc = fly_recording_next(r->recording, &record)) == FLY_OK) {
        if (record.kind != FLY_REC_INGEST)
            continue;
        r->messages++;
        if (!look_at(&look, &record))
            return fly_fail(FLY_EWIRE, "%s: record %llu has no readable header", r->path,
                            (unsigned long long)record.ticket);
        int32_t stream = stream_of(r, look.stream, look.stream_len);

        if (stream < 0)
            return fly_fail(FLY_EWIRE, "%s: more than %d streams", r->path, FLY_STREAMS_MAX);
        if (look.start && !started) {
            started = 1;
            if (!r->renamed)
                strcpy(r->session, look.session);
        }
        r->has_stop |= look.stop && r->messages >= r->from;
        if (look.start || r->messages >= r->from)
            rc = note(r, stream, look.seq);
        if (rc < 0)
            return rc;
    }
    if (rc != FLY_EAGAIN)
        return rc;
    if (!started)
        return fly_fail(FLY_EWIRE, "%s: a recording without a start", r->path);
    if (r->from > r->messages)
        return fly_fail(FLY_ERANGE, "%s: from message %llu, it has %llu", r->path, (unsigned long long)r->from,
                        (unsigned long long)r->messages);
    fly_recording_rewind(r->recording);
    return FLY_OK;
}

int fly_replay_open(struct fly_replay **out, const char *path, uint64_t from, const char *session)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_replay *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return fly_fail(FLY_ENOMEM, "%s: no memory for its replay", path);
    strncpy(r->path, path, sizeof r->path - 1);
    r->from = from;
    strcpy(r->streams[r->n_streams++].name, "control");
    if (session) {
        rc = fly_tool_session_check(session);
        if (rc < 0)
            goto fail;
        strcpy(r->session, session);
        r->renamed = 1;
    }
    rc = fly_recording_open(&r->recording, path, &disk);
    if (rc == FLY_OK)
        rc = survey(r);
    if (rc < 0)
        goto fail;
    *out = r;
    return FLY_OK;

fail:
    fly_replay_close(&r);
    return rc;
}

void fly_replay_close(struct fly_replay **replay)
{
    if (!*replay)
        return;
    for (int32_t i = 0; i < (*replay)->n_streams; i++)
        free((*replay)->streams[i].have);
    fly_recording_close(&(*replay)->recording);
    free(*replay);
    *replay = NULL;
}

const char *fly_replay_session(const struct fly_replay *replay)
{
    return replay->session;
}

int32_t fly_replay_streams(const struct fly_replay *replay)
{
    return replay->n_streams;
}

const char *fly_replay_stream(const struct fly_replay *replay, int32_t stream)
{
    FLY_ASSERT(stream >= 0 && stream < replay->n_streams);
    return replay->streams[stream].name;
}

uint64_t fly_replay_messages(const struct fly_replay *replay)
{
    return replay->messages;
}

/* The same map with another session. */
static int rename_header(struct fly_replay *r, struct fly_part *part)
{
    struct fly_value root = fly_value_root(part->bytes, part->len), key, value;
    struct fly_value_iter it = {0};
    struct fly_pack pack;
    const char *name;
    const void *bytes;
    size_t len;

    fly_pack_init(&pack, r->header, sizeof r->header);
    fly_pack_map(&pack, fly_value_count(root));
    while (fly_value_next(root, &it, &key, &value)) {
        len = fly_value_bytes(key, &bytes);
        fly_pack_raw(&pack, bytes, len);
        if (fly_value_str(key, &name, &len) && len == 7 && !memcmp(name, "session", 7)) {
            fly_pack_str(&pack, r->session);
        } else {
            len = fly_value_bytes(value, &bytes);
            fly_pack_raw(&pack, bytes, len);
        }
    }
    if (pack.full)
        return fly_fail(FLY_ERANGE, "%s: with session %s a header is longer than %d bytes", r->path, r->session,
                        FLY_HEADER_MAX);
    *part = (struct fly_part){pack.bytes, pack.len};
    return FLY_OK;
}

static void make(struct fly_replay *r, struct fly_replay_message *message, const char *type, int32_t stream,
                 uint64_t seq, struct fly_pack *pack, uint32_t more)
{
    *message = (struct fly_replay_message){.stream = stream, .seq = seq, .t_ns = r->t_ns, .made = 1,
                                           .n_parts = 1};
    fly_pack_init(pack, r->made, sizeof r->made);
    fly_pack_map(pack, 5 + more);
    fly_pack_str(pack, "type");
    fly_pack_str(pack, type);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, r->session);
    fly_pack_str(pack, "stream");
    fly_pack_str(pack, r->streams[stream].name);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, seq);
    fly_pack_str(pack, "t_ns");
    fly_pack_int(pack, r->t_ns);
}

/* The next number before seq that no message of the recording will bring, as a skip. 0: none. */
static int skip_before(struct fly_replay *r, int32_t stream, uint64_t seq, struct fly_replay_message *message)
{
    struct stream *s = &r->streams[stream];
    struct fly_pack pack;

    while (s->last + 1 < seq)
        if (!has(s, ++s->last)) {
            make(r, message, "skip", stream, s->last, &pack, 0);
            message->parts[0] = (struct fly_part){pack.bytes, pack.len};
            return 1;
        }
    return 0;
}

static int read_message(struct fly_replay *r)
{
    struct fly_replay_message *m = &r->pending;
    struct fly_record record;
    struct look look;
    int rc;

    for (;;) {
        rc = fly_recording_next(r->recording, &record);
        if (rc < 0)
            return rc;
        if (record.kind != FLY_REC_INGEST)
            continue;
        r->at++;
        if (!look_at(&look, &record))
            return fly_fail(FLY_EWIRE, "%s: record %llu changed while it was replayed", r->path,
                            (unsigned long long)record.ticket);
        if (look.start || r->at >= r->from)
            break;
    }
    *m = (struct fly_replay_message){.stream = stream_of(r, look.stream, look.stream_len), .seq = look.seq,
                                     .t_ns = record.t_ns, .start = look.start, .stop = look.stop,
                                     .n_parts = record.n_parts};
    if (m->stream < 0)
        return fly_fail(FLY_EWIRE, "%s: a stream appeared while it was replayed", r->path);
    r->t_ns = record.t_ns;
    memcpy(m->parts, record.parts, sizeof m->parts);
    rc = r->renamed ? rename_header(r, &m->parts[0]) : FLY_OK;
    if (rc < 0)
        m->n_parts = 0;
    return rc;
}

/* Its counts are what was sent. */
static void make_stop(struct fly_replay *r, struct fly_replay_message *message)
{
    struct fly_pack pack;
    uint64_t seq = ++r->streams[0].last;

    make(r, message, "stop", 0, seq, &pack, 3);
    fly_pack_str(&pack, "exit_status");
    fly_pack_str(&pack, "abort");
    fly_pack_str(&pack, "reason");
    fly_pack_str(&pack, "the recording ends here");
    fly_pack_str(&pack, "count");
    fly_pack_map(&pack, (uint32_t)r->n_streams);
    for (int32_t i = 0; i < r->n_streams; i++) {
        fly_pack_str(&pack, r->streams[i].name);
        fly_pack_uint(&pack, r->streams[i].last);
    }
    FLY_ASSERT(!pack.full);
    message->stop = 1;
    message->parts[0] = (struct fly_part){pack.bytes, pack.len};
}

int fly_replay_next(struct fly_replay *r, struct fly_replay_message *message)
{
    if (!r->pending.n_parts) {
        int rc = r->stopped ? FLY_EAGAIN : read_message(r);

        if (rc == FLY_EAGAIN && !r->stopped && !r->has_stop) {
            r->stopped = 1;
            make_stop(r, message);
            return FLY_OK;
        }
        if (rc < 0)
            return rc;
    }
    if (skip_before(r, r->pending.stream, r->pending.seq, message))
        return FLY_OK;
    *message = r->pending;
    if (r->streams[message->stream].last < message->seq)
        r->streams[message->stream].last = message->seq;
    r->pending.n_parts = 0;
    return FLY_OK;
}
