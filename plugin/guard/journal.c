#include "plugin/guard/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/guard/journal_read.h"
#include "plugin/json.h"

/* ---- the file ---------------------------------------------------------------------------------------- */

static int said(const struct fly_guard_journal *journal, int64_t error)
{
    return fly_fail(FLY_EIO, "guard's journal %s: %s", journal->path,
                    error == -EWOULDBLOCK ? "another guard writes it" : strerror((int)-error));
}

/* The whole of bytes at the end. What breaks off stays, as the mark `torn` will say. */
static int append(struct fly_guard_journal *journal, const char *bytes, size_t len)
{
    while (len > 0) {
        int64_t n = journal->disk.pwrite(journal->disk.ctx, journal->fd, bytes, len, journal->size);

        if (n <= 0)
            return said(journal, n < 0 ? n : -ENOSPC);
        journal->size += n;
        bytes += n;
        len -= (size_t)n;
        journal->torn |= len > 0; /* until a whole mark says so */
    }
    return FLY_OK;
}

static int sync_now(struct fly_guard_journal *journal)
{
    int rc = journal->disk.sync(journal->disk.ctx, journal->fd);

    if (rc >= 0)
        return FLY_OK;
    /* The system may have dropped what it could not write, and say yes to the next sync. */
    journal->broken = 1;
    return said(journal, rc);
}

static void begin_line(struct fly_json *json, struct fly_guard_journal *journal, int64_t unix_ns, const char *what)
{
    fly_text_clear(&journal->line);
    fly_json_init(json, &journal->line, 1);
    fly_json_object(json);
    fly_json_key(json, "v");
    fly_json_int(json, FLY_GUARD_JOURNAL_VERSION);
    fly_json_key(json, "t_ns");
    fly_json_int(json, unix_ns);
    fly_json_key(json, "what");
    fly_json_str(json, what);
}

static int end_line(struct fly_json *json, struct fly_guard_journal *journal, int sync)
{
    int rc;

    fly_json_end(json);
    fly_json_done(json);
    rc = fly_text_done(&journal->line, "a line of the guard's journal");
    if (rc == FLY_OK && journal->broken)
        rc = fly_fail(FLY_EIO, "guard's journal %s: a sync failed before; what is on the disk is not known",
                      journal->path);
    if (rc == FLY_OK && journal->torn) {
        rc = append(journal, FLY_GUARD_TORN_MARK, sizeof FLY_GUARD_TORN_MARK - 1);
        journal->torn = rc < 0;
    }
    if (rc == FLY_OK)
        rc = append(journal, journal->line.bytes, journal->line.len);
    if (rc == FLY_OK && sync)
        rc = sync_now(journal);
    journal->ok = rc == FLY_OK;
    return rc;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

static void put_str(struct fly_json *json, const char *key, const char *value)
{
    fly_json_key(json, key);
    fly_json_str(json, value);
}

static void put_int(struct fly_json *json, const char *key, int64_t value)
{
    fly_json_key(json, key);
    fly_json_int(json, value);
}

static void put_f64(struct fly_json *json, const char *key, double value)
{
    fly_json_key(json, key);
    fly_json_f64(json, value);
}

static void put_limits(struct fly_json *json, const struct fly_guard_limits *limits)
{
    const char *key, *text;
    double value;

    fly_json_key(json, "limits");
    fly_json_object(json);
    for (int i = 0; fly_guard_limits_at(limits, i, &key, &value, &text); i++) {
        if (text)
            put_str(json, key, text);
        else
            put_f64(json, key, value);
    }
    fly_json_end(json);
}

int fly_guard_journal_begin(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_guard_limits *limits)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "open");
    put_str(&json, "flyback", FLY_VERSION);
    put_limits(&json, limits);
    return end_line(&json, journal, 1);
}

int fly_guard_journal_session(struct fly_guard_journal *journal, int64_t unix_ns,
                              const struct fly_guard_session *session)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "session");
    put_str(&json, "session", session->id);
    put_int(&json, "height_px", session->height_px);
    put_int(&json, "width_px", session->width_px);
    put_int(&json, "frames_planned", session->frames_planned);
    put_f64(&json, "pixel_nm_y", session->pixel_nm[0]);
    put_f64(&json, "pixel_nm_x", session->pixel_nm[1]);
    put_f64(&json, "beam_current_na", session->beam_current_na);
    put_f64(&json, "pixel_time_us", session->pixel_time_us);
    put_int(&json, "rows", session->rows);
    put_int(&json, "cols", session->cols);
    put_int(&json, "chip_px", session->chip_px);
    put_int(&json, "pitch_px", session->pitch_px);
    return end_line(&json, journal, 1);
}

int fly_guard_journal_attach(struct fly_guard_journal *journal, int64_t unix_ns, const char *by, const char *mode,
                             const struct fly_guard_limits *limits)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "attach");
    put_str(&json, "by", by);
    put_str(&json, "mode", mode);
    put_limits(&json, limits);
    return end_line(&json, journal, 0);
}

static void put_targets(struct fly_json *json, const struct fly_command *command)
{
    fly_json_key(json, "targets");
    fly_json_array(json);
    for (int32_t i = 0; i < command->n_targets; i++) {
        const struct fly_target *target = &command->targets[i];

        fly_json_object(json);
        put_str(json, "kind", fly_target_kind_name(target->kind));
        fly_json_key(json, "px");
        fly_json_array(json);
        for (int k = 0; k < (target->kind == FLY_TARGET_POINT ? 2 : 4); k++)
            fly_json_f64(json, target->px[k]);
        fly_json_end(json);
        put_f64(json, "dwell_us", target->dwell_us);
        put_str(json, "signal", fly_signal_name(target->signal));
        put_str(json, "reason", target->reason);
        fly_json_end(json);
    }
    fly_json_end(json);
}

int fly_guard_journal_command(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_command *command,
                              enum fly_guard_verdict verdict, const char *why)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "command");
    put_str(&json, "verdict", fly_guard_verdict_name(verdict));
    if (verdict != FLY_GUARD_PASS)
        put_str(&json, "why", why);
    put_str(&json, "cmd_id", command->cmd_id);
    put_str(&json, "decision_id", command->decision_id);
    put_str(&json, "kind", fly_command_kind_name(command->kind));
    put_int(&json, "frame", command->frame);
    put_int(&json, "frames", command->frames);
    put_f64(&json, "dwell_us", command->dwell_us);
    put_int(&json, "valid_until_ns", command->valid_until_ns);
    fly_json_key(&json, "as_of");
    fly_json_object(&json);
    for (int32_t i = 0; i < command->as_of.count; i++) {
        fly_json_key(&json, command->as_of.names[i]);
        fly_json_uint(&json, command->as_of.seq[i]);
    }
    fly_json_end(&json);
    put_targets(&json, command);
    return end_line(&json, journal, verdict == FLY_GUARD_PASS);
}

int fly_guard_journal_ack(struct fly_guard_journal *journal, int64_t unix_ns, const struct fly_ack *ack)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "ack");
    put_str(&json, "cmd_id", ack->cmd_id);
    put_str(&json, "status", fly_ack_status_name(ack->status));
    if (ack->reason[0])
        put_str(&json, "why", ack->reason);
    if (ack->has_achieved) {
        fly_json_key(&json, "achieved");
        fly_json_object(&json);
        put_int(&json, "frames", ack->achieved.frames);
        put_int(&json, "pixels", ack->achieved.pixels);
        put_f64(&json, "dwell_us", ack->achieved.dwell_us);
        fly_json_end(&json);
    }
    return end_line(&json, journal, 0);
}

int fly_guard_journal_frames(struct fly_guard_journal *journal, int64_t unix_ns, int64_t count)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, "frame");
    put_int(&json, "frames", count);
    return end_line(&json, journal, 1);
}

int fly_guard_journal_word(struct fly_guard_journal *journal, int64_t unix_ns, const char *what, const char *by,
                           const char *why)
{
    struct fly_json json;

    begin_line(&json, journal, unix_ns, what);
    if (by)
        put_str(&json, "by", by);
    if (why)
        put_str(&json, "why", why);
    return end_line(&json, journal, strcmp(what, "detach") != 0);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

int fly_guard_journal_open(struct fly_guard_journal *journal, const struct fly_disk *disk, const char *path,
                           const struct fly_guard_limits *limits, int64_t unix_ns, int64_t mono_ns,
                           struct fly_guard_past *past)
{
    int rc;

    *journal = (struct fly_guard_journal){.disk = *disk, .fd = -1, .path = strdup(path), .ok = 1};
    *past = (struct fly_guard_past){0};
    if (!journal->path)
        return fly_fail(FLY_ENOMEM, "guard's journal %s: no memory for its name", path);
    /* Whoever reads the doses of others must not be able to write them. */
    journal->fd = disk->open(disk->ctx, path, O_RDWR | O_CREAT | O_APPEND, 0600);
    if (journal->fd < 0) {
        rc = said(journal, journal->fd);
        goto fail;
    }
    journal->size = disk->size(disk->ctx, journal->fd);
    if (journal->size < 0) {
        rc = said(journal, journal->size);
        goto fail;
    }
    rc = fly_guard_ids_open(&past->sessions);
    if (rc == FLY_OK)
        rc = fly_guard_journal_read_back(journal, limits, unix_ns, mono_ns, past);
    if (rc == FLY_OK && disk->sync_dir(disk->ctx, path) < 0)
        rc = fly_fail(FLY_EIO, "guard's journal %s: its folder cannot be synced", path);
    if (rc == FLY_OK)
        return FLY_OK;

fail:
    fly_guard_book_close(&past->book);
    fly_guard_ids_close(&past->sessions);
    *past = (struct fly_guard_past){0};
    fly_guard_journal_close(journal);
    return rc;
}

void fly_guard_journal_close(struct fly_guard_journal *journal)
{
    if (journal->fd >= 0 && journal->path)
        journal->disk.close(journal->disk.ctx, journal->fd);
    free(journal->path);
    fly_text_fini(&journal->line);
    *journal = (struct fly_guard_journal){.fd = -1};
}
