/* A recording read from end to end. */
#include "plugin/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plugin/session.h"

int fly_brief_read(struct fly_brief *brief, const char *path)
{
    struct fly_session_view open = {0};
    struct fly_recording *recording;
    struct fly_recording_info info;
    struct fly_disk disk = fly_disk_system();
    struct fly_record record;
    struct fly_ingest msg;
    int found = 0, rc = fly_recording_open(&recording, path, &disk);

    if (rc < 0)
        return rc;
    while (!found && (rc = fly_recording_next(recording, &record)) == FLY_OK)
        if (record.kind == FLY_REC_INGEST)
            found = fly_ingest_decode(&msg, &brief->start, record.parts, record.n_parts, &open) == FLY_REFUSE_NONE &&
                    msg.type == FLY_INGEST_START;
    fly_recording_info(recording, &info);
    fly_recording_close(&recording);
    if (!found)
        return rc < 0 && rc != FLY_EAGAIN ? rc : fly_fail(FLY_EWIRE, "%s: no start message in it", path);
    snprintf(brief->id, sizeof brief->id, "%s", msg.session);
    brief->t_ns = msg.t_ns;
    brief->bytes = info.file_bytes;
    brief->finished = info.finished;
    return FLY_OK;
}

/* What reading on needs to know of the session. */
struct reading {
    struct fly_verified *v;
    struct fly_start start;
    char id[FLY_SESSION_MAX + 1];
    int open;
};

/* The first is kept. */
static void keep(char out[256], const char *words)
{
    if (!out[0])
        snprintf(out, 256, "%s", words);
}

static void count(struct fly_verified *v, int32_t stream, uint64_t seq)
{
    if (stream < 0 || stream >= v->n_streams)
        return;
    v->stream[stream].have++;
    if (seq > v->stream[stream].last)
        v->stream[stream].last = seq;
}

static void take_start(struct reading *r, const struct fly_ingest *msg)
{
    r->open = 1;
    snprintf(r->id, sizeof r->id, "%s", msg->session);
    r->v->n_streams = fly_start_streams(&r->start);
    for (int32_t i = 0; i < r->v->n_streams; i++)
        snprintf(r->v->stream[i].name, sizeof r->v->stream[i].name, "%s", fly_start_stream(&r->start, i));
}

static void take_message(struct reading *r, const struct fly_record *record)
{
    struct fly_session_view view = {r->open ? r->id : NULL, &r->start, 0, NULL};
    struct fly_start again;
    struct fly_ingest msg;
    enum fly_refusal why = fly_ingest_decode(&msg, r->open ? &again : &r->start, record->parts, record->n_parts, &view);
    char words[256];

    r->v->messages++;
    if (why != FLY_REFUSE_NONE) {
        snprintf(words, sizeof words, "the message at byte %" PRId64 " breaks the protocol: %.160s", record->offset,
                 fly_fail_text());
        keep(r->v->broken, words);
        return;
    }
    if (msg.type == FLY_INGEST_START && !r->open)
        take_start(r, &msg);
    count(r->v, msg.stream_idx, msg.seq);
    for (int32_t i = 0; msg.type == FLY_INGEST_STOP && i < r->v->n_streams; i++)
        if (msg.count[i] > 0 && (uint64_t)msg.count[i] > r->v->stream[i].last)
            r->v->stream[i].last = (uint64_t)msg.count[i];
}

static void take_used(struct reading *r, const struct fly_record *record)
{
    struct fly_value root = fly_value_root(record->parts[0].bytes, record->parts[0].len), value;
    int64_t stream;
    uint64_t seq;

    if (fly_value_get(root, "stream", &value) && fly_value_int(value, &stream) && fly_value_get(root, "seq", &value) &&
        fly_value_uint(value, &seq) && stream < FLY_STREAMS_MAX)
        count(r->v, (int32_t)stream, seq);
}

static int is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* What steering writes down is no request, but what it decided, and had done, is worth a number. */
static void count_control(struct reading *r, const struct fly_record *record)
{
    struct fly_value root, op;
    const char *text;
    size_t len = 0;
    int steer = 0;

    if (record->n_parts < 1 || fly_wire_scan(record->parts[0].bytes, record->parts[0].len) != FLY_REFUSE_NONE)
        return;
    root = fly_value_root(record->parts[0].bytes, record->parts[0].len);
    if (fly_value_get(root, "op", &op) && fly_value_str(op, &text, &len) && len > 6)
        steer = memcmp(text, "steer.", 6) == 0;
    r->v->requests += !steer;
    r->v->decisions += steer && is(text, len, "steer.plan");
    r->v->commands += steer && is(text, len, "steer.command");
    r->v->acks += steer && is(text, len, "steer.ack");
}

static void take_record(struct reading *r, const struct fly_record *record)
{
    if (record->kind == FLY_REC_CONTROL)
        count_control(r, record);
    r->v->gaps += record->kind == FLY_REC_GAP;
    if (record->kind == FLY_REC_INGEST)
        take_message(r, record);
    else if (record->kind == FLY_REC_USED && record->n_parts > 0)
        take_used(r, record);
}

/* Numbers that came twice stand in a file once, so what is missing is a difference. */
static void judge(struct reading *r, const struct fly_recording_info *info)
{
    struct fly_verified *v = r->v;
    char words[256];

    v->records = info->records;
    v->finished = info->finished;
    for (int32_t i = 0; i < v->n_streams; i++)
        v->stream[i].missing = v->stream[i].last > v->stream[i].have ? v->stream[i].last - v->stream[i].have : 0;
    if (info->good_bytes < info->file_bytes) {
        snprintf(words, sizeof words,
                 "torn at byte %" PRId64 ": the last %" PRId64 " of %" PRId64
                 " bytes are no whole record; all before it is good",
                 info->good_bytes, info->file_bytes - info->good_bytes, info->file_bytes);
        keep(v->wrong, words);
    }
    if (!r->open)
        keep(v->broken, "there is no start message in it");
}

int fly_verify(struct fly_verified *verified, const char *path)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_recording *recording;
    struct fly_recording_info info;
    struct fly_record record;
    struct reading r = {.v = verified};
    int rc;

    *verified = (struct fly_verified){0};
    rc = fly_recording_open(&recording, path, &disk);
    if (rc < 0)
        return rc;
    while ((rc = fly_recording_next(recording, &record)) == FLY_OK || rc == FLY_EWIRE) {
        if (rc == FLY_OK)
            take_record(&r, &record);
        else
            keep(verified->wrong, fly_fail_text()); /* damage: the next call goes on behind it */
    }
    fly_recording_info(recording, &info);
    fly_recording_close(&recording);
    if (rc != FLY_EAGAIN)
        return rc;
    judge(&r, &info);
    return FLY_OK;
}
