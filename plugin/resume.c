#include "plugin/resume.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/follow.h"

struct fly_resume {
    struct fly_recording *recording;
    char path[FLY_OPTION_TEXT_CAP + 280];
    struct fly_options options; /* the recorded configuration over the one in force */
    struct fly_journal journal;
    size_t next_item;
    int32_t step_chips;
    struct fly_resumed held; /* waits behind a journal item */
    int has_held;
};

/* ---- finding ----------------------------------------------------------------------------------- */

enum { LOOK_PAST = 3, SMALLEST = 64 };
enum found { NOT_OURS, FINISHED, NOTHING_MEASURED, UNFINISHED };

/* A kill can come before the start is on disk: such a file holds nothing that was promised, and its
 * session's id is still free. */
static enum found look_into(const char *path, const struct stat *st, const struct fly_disk *disk)
{
    struct fly_recording *recording;
    struct fly_recording_info info;
    struct fly_record record;
    int rc, measured = 0;

    if (st->st_size < SMALLEST)
        return NOTHING_MEASURED;
    if (fly_recording_open(&recording, path, disk) < 0)
        return NOT_OURS; /* `flyback check FILE` says why; it is not ours to go on with */
    while ((rc = fly_recording_next(recording, &record)) == FLY_OK)
        measured |= record.kind == FLY_REC_INGEST;
    fly_recording_info(recording, &info);
    fly_recording_close(&recording);
    if (rc != FLY_EAGAIN)
        return NOT_OURS;
    return info.finished ? FINISHED : measured ? UNFINISHED : NOTHING_MEASURED;
}

/* Another process may have made it a moment ago: whoever writes to a recording holds its lock. */
static void remove_unless_written(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlink(path);
    close(fd);
}

struct candidate {
    char name[256];
    struct stat st;
};

static int newer_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct candidate *)a)->st.st_mtim;
    const struct timespec *y = &((const struct candidate *)b)->st.st_mtim;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

/* The recordings of a folder, newest first; *list is malloc'ed. */
static size_t list_recordings(const char *dir, struct candidate **list)
{
    DIR *handle = opendir(dir);
    struct dirent *entry;
    size_t n = 0, cap = 0;

    *list = NULL;
    while (handle && (entry = readdir(handle))) {
        size_t len = strlen(entry->d_name);
        char path[FLY_OPTION_TEXT_CAP + 280];
        struct stat st;

        if (len < 5 || strcmp(entry->d_name + len - 4, ".fly") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (n == cap) {
            struct candidate *more = realloc(*list, (cap ? cap * 2 : 64) * sizeof *more);

            if (!more)
                break;
            *list = more;
            cap = cap ? cap * 2 : 64;
        }
        (*list)[n].st = st;
        snprintf((*list)[n++].name, sizeof (*list)->name, "%s", entry->d_name);
    }
    if (handle)
        closedir(handle);
    if (n)
        qsort(*list, n, sizeof **list, newer_first);
    return n;
}

/* The newest unfinished one. A process has one session at a time, so it is the last that was written to, but
 * for imports since: a few finished ones are looked into before giving up, not a whole archive. */
static int find(char *out, size_t cap, const char *dir, const struct fly_disk *disk)
{
    struct candidate *list;
    size_t n = list_recordings(dir, &list);
    int finished = 0, found = 0;

    for (size_t i = 0; i < n && !found && finished < LOOK_PAST; i++) {
        char path[FLY_OPTION_TEXT_CAP + 280];
        enum found kind;

        snprintf(path, sizeof path, "%s/%s", dir, list[i].name);
        kind = look_into(path, &list[i].st, disk);
        if (kind == NOTHING_MEASURED)
            remove_unless_written(path);
        finished += kind == FINISHED;
        if (kind == UNFINISHED) {
            snprintf(out, cap, "%s", path);
            found = 1;
        }
    }
    free(list);
    return found;
}

int fly_resume_find(char *path, size_t cap, const struct fly_options *options, const struct fly_disk *disk)
{
    return options->recording.enabled && find(path, cap, options->recording.dir, disk);
}

int fly_resume_open(struct fly_resume **out, const char *path, const struct fly_options *options,
                    const struct fly_disk *disk)
{
    struct fly_resume *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it back", path);
    snprintf(r->path, sizeof r->path, "%s", path);
    r->options = *options;
    rc = fly_follow_options(r->path, &r->options);
    if (rc == FLY_OK)
        rc = fly_recording_open(&r->recording, r->path, disk);
    if (rc == FLY_OK)
        rc = fly_journal_read(&r->journal, r->recording, 0);
    if (rc < 0) {
        fly_resume_close(&r);
        return rc;
    }
    *out = r;
    return FLY_OK;
}

void fly_resume_close(struct fly_resume **resume)
{
    struct fly_resume *r = *resume;

    if (!r)
        return;
    if (r->has_held)
        free(r->held.copy);
    fly_journal_free(&r->journal);
    fly_recording_close(&r->recording);
    free(r);
    *resume = NULL;
}

const char *fly_resume_path(const struct fly_resume *resume)
{
    return resume->path;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* A record's parts in one block of our own, each aligned: the record is lent until the next one. */
static unsigned char *copy_parts(const struct fly_record *record, struct fly_part *parts, size_t *bytes)
{
    unsigned char *copy;
    size_t at = 0;

    *bytes = 0;
    for (int32_t i = 0; i < record->n_parts; i++)
        *bytes += (record->parts[i].len + 15) & ~(size_t)15;
    copy = malloc(*bytes ? *bytes : 1);
    for (int32_t i = 0; copy && i < record->n_parts; i++) {
        if (record->parts[i].len)
            memcpy(copy + at, record->parts[i].bytes, record->parts[i].len);
        parts[i] = (struct fly_part){copy + at, record->parts[i].len};
        at += (record->parts[i].len + 15) & ~(size_t)15;
    }
    return copy;
}

static int take_ingest(struct fly_resume *r, struct fly_ingest_session *session, struct fly_start *start,
                       const struct fly_record *record, struct fly_resumed *out)
{
    struct fly_session_view open = fly_ingest_session_view(session);
    struct fly_part parts[FLY_PARTS_MAX];
    unsigned char *copy = copy_parts(record, parts, &out->bytes);
    struct fly_ingest *msg = &out->ingest;

    if (!copy)
        return fly_fail(FLY_ENOMEM, "record %" PRIu64 ": no memory for its %zu bytes", record->ticket,
                        out->bytes);
    if (fly_ingest_decode(msg, start, parts, record->n_parts, &open) != FLY_REFUSE_NONE) {
        free(copy);
        return fly_fail(FLY_EWIRE, "record %" PRIu64 ": %s", record->ticket, fly_fail_text());
    }
    out->ticket = record->ticket;
    if (msg->type == FLY_INGEST_START) {
        /* A start sent again stands in the file as a repeat of the first. */
        int rc = session->info ? FLY_OK
                               : fly_ingest_session_restore(session, msg, start, &parts[0], &r->options,
                                                            record->ticket, r->step_chips);

        out->what = session->info && session->start_ticket == record->ticket ? FLY_RESUMED_START
                                                                             : FLY_RESUMED_NOTHING;
        free(copy);
        return rc;
    }
    fly_ingest_session_note(session, msg->stream_idx, msg->seq, fly_hash_parts(parts, record->n_parts),
                            record->ticket);
    if (msg->type == FLY_INGEST_LINES || msg->type == FLY_INGEST_EDS) {
        out->what = FLY_RESUMED_DATA;
        out->copy = copy;
        return FLY_OK;
    }
    if (msg->type == FLY_INGEST_STOP)
        fly_ingest_session_stop(session, msg);
    free(copy);
    return FLY_OK;
}

static void take_used(struct fly_ingest_session *session, const struct fly_record *record)
{
    struct fly_value root, value;
    uint64_t stream = 0, seq = 0, hash = 0;

    if (!session->info || fly_wire_scan(record->parts[0].bytes, record->parts[0].len) != FLY_REFUSE_NONE)
        return;
    root = fly_value_root(record->parts[0].bytes, record->parts[0].len);
    if (fly_value_get(root, "stream", &value) && fly_value_uint(value, &stream) &&
        stream < (uint64_t)session->n_streams && fly_value_get(root, "seq", &value) &&
        fly_value_uint(value, &seq) && fly_value_get(root, "hash", &value) && fly_value_uint(value, &hash))
        fly_ingest_session_note(session, (int32_t)stream, seq, hash, record->ticket);
}

/* A request acts after the input it names and before the next. */
static int take_journal(struct fly_resume *r, struct fly_resumed *out)
{
    struct fly_journal_item *item = &r->journal.items[r->next_item++];

    *out = (struct fly_resumed){.what = FLY_RESUMED_CONTROL, .copy = item->bytes, .bytes = item->len,
                                .more = item->more, .more_len = item->more_len};
    item->bytes = NULL;
    return FLY_OK;
}

int fly_resume_next(struct fly_resume *r, struct fly_ingest_session *session, struct fly_start *start,
                    struct fly_resumed *out)
{
    struct fly_record record;
    int rc;

    *out = (struct fly_resumed){0};
    if (r->has_held) {
        if (r->held.what == FLY_RESUMED_DATA && r->next_item < r->journal.n_items &&
            r->journal.items[r->next_item].after < r->held.ticket)
            return take_journal(r, out);
        *out = r->held;
        r->has_held = 0;
        return FLY_OK;
    }
    rc = fly_recording_next(r->recording, &record);
    if (rc == FLY_EAGAIN && r->next_item < r->journal.n_items)
        return take_journal(r, out);
    if (rc < 0)
        return rc;
    if (record.kind == FLY_REC_SESSION && record.n_parts > 0 &&
        fly_wire_scan(record.parts[0].bytes, record.parts[0].len) == FLY_REFUSE_NONE) {
        struct fly_value value;
        int64_t chips = 0;

        if (fly_value_get(fly_value_root(record.parts[0].bytes, record.parts[0].len), "step_chips", &value) &&
            fly_value_int(value, &chips) && chips > 0 && chips < 1 << 20)
            r->step_chips = (int32_t)chips;
        return FLY_OK;
    }
    if (record.kind == FLY_REC_USED && record.n_parts > 0)
        take_used(session, &record);
    if (record.kind != FLY_REC_INGEST)
        return FLY_OK;
    rc = take_ingest(r, session, start, &record, out);
    if (rc == FLY_OK && out->what == FLY_RESUMED_DATA && r->next_item < r->journal.n_items &&
        r->journal.items[r->next_item].after < out->ticket) {
        r->held = *out;
        r->has_held = 1;
        return take_journal(r, out);
    }
    return rc;
}
