#include "plugin/follow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/look.h"
#include "plugin/steering.h"
#include "plugin/verify.h"

void fly_journal_free(struct fly_journal *journal)
{
    for (size_t i = 0; i < journal->n_items; i++)
        free(journal->items[i].bytes);
    free(journal->items);
    *journal = (struct fly_journal){0};
}

static struct fly_journal_item *add_item(struct fly_journal *journal)
{
    if (journal->n_items == journal->cap) {
        size_t cap = journal->cap ? journal->cap * 2 : 256;
        struct fly_journal_item *items = realloc(journal->items, cap * sizeof *items);

        if (!items)
            return NULL;
        journal->items = items;
        journal->cap = cap;
    }
    journal->items[journal->n_items] = (struct fly_journal_item){0};
    return &journal->items[journal->n_items++];
}

static uint64_t number_of(struct fly_value map, const char *key)
{
    struct fly_value value;
    uint64_t number = 0;

    if (fly_value_get(map, key, &value))
        fly_value_uint(value, &number);
    return number;
}

static int add_control(struct fly_journal *journal, struct fly_value root, const struct fly_record *record)
{
    const struct fly_part *part = &record->parts[0];
    size_t more = record->n_parts > 1 ? record->parts[1].len : 0, at = (part->len + 15) & ~(size_t)15;
    struct fly_journal_item *item = add_item(journal);

    if (item)
        item->bytes = malloc(at + more);
    if (!item || !item->bytes)
        return fly_fail(FLY_ENOMEM, "journal: no memory for a request");
    item->kind = FLY_JOURNAL_CONTROL;
    item->at = record->ticket;
    item->after = number_of(root, "after");
    memcpy(item->bytes, part->bytes, part->len);
    item->len = part->len;
    if (more) {
        memcpy(item->bytes + at, record->parts[1].bytes, more);
        item->more = item->bytes + at;
        item->more_len = more;
    }
    return FLY_OK;
}

static int add_mark(struct fly_journal *journal, struct fly_value root, uint64_t at)
{
    struct fly_value steps, key, value;
    struct fly_value_iter it = {0};
    struct fly_journal_item *item;
    uint64_t pair[2] = {0, 0};
    int epoch;

    if (!fly_value_get(root, "steps", &steps) || fly_value_kind(steps) != FLY_KIND_ARRAY) {
        item = add_item(journal);
        if (!item)
            return fly_fail(FLY_ENOMEM, "journal: no memory for a mark");
        item->kind = FLY_JOURNAL_LOST;
        item->at = at;
        item->after = number_of(root, "after");
        item->number = number_of(root, "epoch");
        return FLY_OK;
    }
    for (int i = 0; fly_value_next(steps, &it, &key, &value); i ^= 1) {
        fly_value_uint(value, &pair[i]);
        if (!i)
            continue;
        item = add_item(journal);
        if (!item)
            return fly_fail(FLY_ENOMEM, "journal: no memory for a mark");
        item->kind = FLY_JOURNAL_STEPS;
        item->at = at;
        item->after = pair[0];
        item->number = pair[1];
    }
    epoch = fly_value_get(root, "epoch", &value);
    if (!epoch && !fly_value_get(root, "finish", &value))
        return FLY_OK; /* steps before a request */
    item = add_item(journal);
    if (!item)
        return fly_fail(FLY_ENOMEM, "journal: no memory for a mark");
    item->kind = epoch ? FLY_JOURNAL_EPOCH : FLY_JOURNAL_FINISH;
    item->at = at;
    item->after = number_of(root, "after");
    item->number = number_of(root, "epoch");
    return FLY_OK;
}

static int add_resume(struct fly_journal *journal, uint64_t at)
{
    struct fly_journal_item *item = add_item(journal);

    if (!item)
        return fly_fail(FLY_ENOMEM, "journal: no memory for a restart");
    item->kind = FLY_JOURNAL_RESUME;
    item->at = item->after = at;
    return FLY_OK;
}

int fly_journal_read(struct fly_journal *journal, struct fly_recording *recording, int steps)
{
    struct fly_record record;
    int rc;

    while ((rc = fly_recording_next(recording, &record)) == FLY_OK) {
        if (record.kind == FLY_REC_RESUME && steps && (rc = add_resume(journal, record.ticket)) < 0)
            return rc;
        if (record.kind != FLY_REC_CONTROL && record.kind != FLY_REC_MARK)
            continue;
        if (fly_wire_scan(record.parts[0].bytes, record.parts[0].len) != FLY_REFUSE_NONE)
            return fly_fail(FLY_EWIRE, "record %" PRIu64 ": a journal entry that is no map", record.ticket);
        struct fly_value root = fly_value_root(record.parts[0].bytes, record.parts[0].len);

        rc = record.kind == FLY_REC_CONTROL ? add_control(journal, root, &record)
             : steps                        ? add_mark(journal, root, record.ticket)
                                            : FLY_OK;
        if (rc < 0)
            return rc;
    }
    fly_recording_rewind(recording);
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

int fly_journal_request(const struct fly_journal_item *item, char *name, struct fly_value *args)
{
    struct fly_value root = fly_value_root(item->bytes, item->len), op;
    const char *text;
    size_t len;

    if (!fly_value_get(root, "op", &op) || !fly_value_str(op, &text, &len) || len >= 64 ||
        !fly_value_get(root, "args", args))
        return 0;
    memcpy(name, text, len);
    name[len] = '\0';
    return 1;
}

struct follow {
    const struct fly_follow_calls *calls;
    struct fly_session *session;
    struct fly_journal journal;
    size_t next;
    unsigned char *scratch; /* results of replayed requests, unread */
    const char *path;
    struct fly_start *start;
    char id[FLY_SESSION_MAX + 1];
    int32_t step_chips;
    int opened;
    int again;                   /* a restart of the plugin is reading back */
    uint64_t epoch_base, epoch_last; /* numbers begin anew with every start of the plugin; here they go on */
};

/* While a restart reads back it does not decide again: it takes the policy's state as it was kept. */
static int run_steer(struct follow *f, const struct fly_journal_item *item, const char *name)
{
    if (!f->again)
        return f->calls->steer ? f->calls->steer(f->calls->ctx, f->session, item) : FLY_OK;
    if (f->calls->steer && strcmp(name, "steer.plan") == 0 && item->more)
        return fly_steering_recall(f->session, item->more, item->more_len);
    return FLY_OK;
}

static int run_item(struct follow *f, const struct fly_journal_item *item)
{
    char name[64];
    struct fly_value args;
    struct fly_pack result;
    const char *code;

    switch (item->kind) {
    case FLY_JOURNAL_CONTROL:
        if (!fly_journal_request(item, name, &args))
            return FLY_OK;
        if (strncmp(name, "steer.", 6) == 0)
            return run_steer(f, item, name);
        fly_pack_init(&result, f->scratch, FLY_RESULT_CAP);
        /* It was answered with the same error the first time, if it fails now. */
        if (fly_session_control_known(name) && fly_session_control(f->session, name, args, &result, &code) < 0)
            return FLY_OK;
        return FLY_OK;
    case FLY_JOURNAL_STEPS:
        for (uint64_t i = 0; i < item->number; i++)
            if (fly_session_step(f->session) != FLY_OK)
                return fly_fail(FLY_EWIRE, "the journal took a step after record %" PRIu64
                                           " where nothing was left to do", item->after);
        return FLY_OK;
    case FLY_JOURNAL_EPOCH:
        fly_session_epoch(f->session);
        f->epoch_last = f->epoch_base + item->number;
        return f->calls->epoch(f->calls->ctx, f->session, f->epoch_last);
    case FLY_JOURNAL_FINISH:
        fly_session_finish(f->session);
        return FLY_OK;
    case FLY_JOURNAL_LOST:
        return fly_fail(FLY_EWIRE, "epoch %" PRIu64 " took more turns than its mark holds: interim maps "
                                   "cannot be followed past it", item->number);
    case FLY_JOURNAL_RESUME:
        return FLY_OK; /* start_again passes it over */
    }
    return FLY_OK;
}

/* Run what the journal did before the input with this ticket. */
static int run_before(struct follow *f, uint64_t ticket)
{
    int rc = FLY_OK;

    while (rc == FLY_OK && f->next < f->journal.n_items && f->journal.items[f->next].after < ticket)
        rc = run_item(f, &f->journal.items[f->next++]);
    return rc;
}

static int take_ingest(struct follow *f, const struct fly_record *record)
{
    struct fly_session_view open = {.session = f->opened ? f->id : NULL, .start = f->start};
    struct fly_ingest msg;
    struct fly_effect effect;

    if (fly_ingest_decode(&msg, f->start, record->parts, record->n_parts, &open) != FLY_REFUSE_NONE)
        return fly_fail(FLY_EWIRE, "record %" PRIu64 ": %s", record->ticket, fly_fail_text());
    if (msg.type == FLY_INGEST_START && !f->opened) {
        memcpy(f->id, msg.session, sizeof msg.session);
        f->opened = 1;
        int rc = f->calls->open(f->calls->ctx, f->id, f->start, &record->parts[0],
                                f->calls->epoch ? f->step_chips : 0, &f->session);
        if (rc == FLY_OK) /* a dwell that the start left out is the session's, as it was when it came */
            f->start->pixel_time_us = fly_session_facts(f->session)->start.pixel_time_us;
        return rc;
    }
    if (f->opened && (msg.type == FLY_INGEST_LINES || msg.type == FLY_INGEST_EDS))
        fly_session_apply(f->session, &msg, 0, &effect);
    return FLY_OK;
}

/* Requests with a ticket below `until` that come before the input with `ticket`; *next moves on. */
static int run_requests(struct follow *f, size_t *next, uint64_t ticket, uint64_t until)
{
    int rc = FLY_OK;

    while (rc == FLY_OK && *next < f->journal.n_items && f->journal.items[*next].at < until) {
        struct fly_journal_item *item = &f->journal.items[*next];

        if (item->kind == FLY_JOURNAL_CONTROL && item->after >= ticket)
            break;
        if (item->kind == FLY_JOURNAL_CONTROL)
            rc = run_item(f, item);
        ++*next;
    }
    return rc;
}

/* The plugin was started again here: a new session takes in what stands before record `until`, without
 * thinking. What the old one did after its last mark was seen by nobody. */
static int start_again(struct follow *f, uint64_t until)
{
    struct fly_disk disk = fly_disk_system();
    struct fly_recording *again;
    struct fly_record record;
    size_t next = 0;
    int rc = fly_recording_open(&again, f->path, &disk);

    if (rc < 0)
        return rc;
    while (f->next < f->journal.n_items && f->journal.items[f->next].at <= until)
        f->next++;
    f->opened = 0;
    f->again = 1;
    f->epoch_base = f->epoch_last;
    while (rc == FLY_OK && (rc = fly_recording_next(again, &record)) == FLY_OK && record.ticket < until)
        if (record.kind == FLY_REC_INGEST) {
            if (f->opened)
                rc = run_requests(f, &next, record.ticket, until);
            if (rc == FLY_OK)
                rc = take_ingest(f, &record);
        }
    if (rc == FLY_OK && f->opened)
        rc = run_requests(f, &next, UINT64_MAX, until);
    f->again = 0;
    fly_recording_close(&again);
    return rc;
}

static int follow_record(struct follow *f, const struct fly_record *record)
{
    int rc = FLY_OK;

    switch (record->kind) {
    case FLY_REC_SESSION:
        if (record->n_parts > 0 &&
            fly_wire_scan(record->parts[0].bytes, record->parts[0].len) == FLY_REFUSE_NONE)
            f->step_chips =
                (int32_t)number_of(fly_value_root(record->parts[0].bytes, record->parts[0].len), "step_chips");
        return FLY_OK;
    case FLY_REC_INGEST:
        if (f->opened)
            rc = run_before(f, record->ticket);
        return rc == FLY_OK ? take_ingest(f, record) : rc;
    case FLY_REC_RESUME:
        if (!f->calls->epoch || !f->opened)
            return FLY_OK;
        while (rc == FLY_OK && f->next < f->journal.n_items && f->journal.items[f->next].at < record->ticket)
            rc = run_item(f, &f->journal.items[f->next++]);
        return rc == FLY_OK ? start_again(f, record->ticket) : rc;
    default:
        return FLY_OK;
    }
}

int fly_follow(const char *path, const struct fly_follow_calls *calls)
{
    struct fly_recording *recording = NULL;
    struct fly_disk disk = fly_disk_system();
    struct follow f = {.calls = calls, .path = path};
    struct fly_record record;
    int rc = fly_recording_open(&recording, path, &disk);

    f.scratch = malloc(FLY_RESULT_CAP);
    f.start = calloc(1, sizeof *f.start);
    if (rc == FLY_OK && (!f.scratch || !f.start))
        rc = fly_fail(FLY_ENOMEM, "%s: no memory to follow it", path);
    if (rc == FLY_OK)
        rc = fly_journal_read(&f.journal, recording, calls->epoch != NULL);
    while (rc == FLY_OK && (rc = fly_recording_next(recording, &record)) == FLY_OK)
        rc = follow_record(&f, &record);
    if (rc == FLY_EAGAIN)
        rc = f.opened ? run_before(&f, UINT64_MAX) : fly_fail(FLY_EWIRE, "%s: no start message in it", path);
    fly_journal_free(&f.journal);
    fly_recording_close(&recording);
    free(f.scratch);
    free(f.start);
    return rc;
}

int fly_follow_start(const char *path, struct fly_start *start)
{
    struct fly_brief brief;
    int rc = fly_brief_read(&brief, path);

    if (rc == FLY_OK)
        *start = brief.start;
    return rc;
}

int fly_follow_options(const char *path, struct fly_options *options)
{
    struct fly_recording *recording;
    struct fly_disk disk = fly_disk_system();
    struct fly_record record;
    int rc = fly_recording_open(&recording, path, &disk);

    if (rc < 0)
        return rc;
    rc = fly_recording_next(recording, &record);
    /* Part 0 tells what the session is, part 1 is the configuration as YAML. */
    if (rc == FLY_OK && record.kind == FLY_REC_SESSION && record.n_parts > 1)
        rc = fly_options_load_yaml(options, record.parts[1].bytes, record.parts[1].len,
                                   FLY_FOLLOW_ORIGIN);
    else if (rc == FLY_EAGAIN)
        rc = fly_fail(FLY_EWIRE, "%s: no whole record in it", path);
    /* What that file held stands in the journal, as requests; the file itself may be another by now. */
    if (rc == FLY_OK)
        rc = fly_options_set(options, "fewshot.support", "", FLY_FOLLOW_ORIGIN);
    /* Of this one it stands in eds.k_factors. */
    if (rc == FLY_OK)
        rc = fly_options_set(options, "eds.k_factor_file", "", FLY_FOLLOW_ORIGIN);
    fly_recording_close(&recording);
    return rc;
}
