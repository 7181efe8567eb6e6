#include "plugin/guard/journal_read.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX = 1 << 20, CHUNK = 1 << 16 };

struct reading {
    struct fly_guard_journal *journal;
    const struct fly_guard_limits *limits;
    struct fly_guard_past *past;
    int64_t unix_ns, mono_ns;
    int64_t bad_line; /* the first unreadable line that only a `torn` after it explains; 0: none */
    struct fly_target targets[FLY_TARGETS_MAX];
};

/* A moment of the journal on this process's monotonic clock. A wall clock that went back since makes it now: rests
 * and rates then count in full. */
static int64_t mono_of(const struct reading *r, int64_t unix_ns)
{
    int64_t ago = r->unix_ns - unix_ns;

    return r->mono_ns - (ago > 0 ? ago : 0);
}

/* ---- fields ------------------------------------------------------------------------------------------ */

static int get_int(const json_t *object, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < lo || json_integer_value(value) > hi)
        return 0;
    *out = json_integer_value(value);
    return 1;
}

static int get_i32(const json_t *object, const char *key, int64_t lo, int64_t hi, int32_t *out)
{
    int64_t value;

    if (!get_int(object, key, lo, hi, &value))
        return 0;
    *out = (int32_t)value;
    return 1;
}

/* null is what a number that is not known was written as. */
static int get_f64(const json_t *object, const char *key, double *out)
{
    const json_t *value = json_object_get(object, key);

    *out = json_is_number(value) ? json_number_value(value) : NAN;
    return json_is_number(value) || json_is_null(value);
}

static int get_str(const json_t *object, const char *key, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (!text || strlen(text) >= cap)
        return 0;
    memcpy(out, text, strlen(text) + 1);
    return 1;
}

static int get_word(const json_t *object, const char *key, const char *(*name)(int), int count, int *out)
{
    const char *text = json_string_value(json_object_get(object, key));

    for (int i = 0; text && i < count; i++)
        if (strcmp(text, name(i)) == 0) {
            *out = i;
            return 1;
        }
    return 0;
}

static const char *kind_name(int i)
{
    return fly_command_kind_name((enum fly_command_kind)i);
}

static const char *target_name(int i)
{
    return fly_target_kind_name((enum fly_target_kind)i);
}

static const char *verdict_name(int i)
{
    return fly_guard_verdict_name((enum fly_guard_verdict)i);
}

static const char *status_name(int i)
{
    return fly_ack_status_name((enum fly_ack_status)i);
}

/* ---- lines: each 1, or 0 when it is not what this guard writes --------------------------------------- */

static int read_session(struct reading *r, const json_t *line)
{
    struct fly_guard_session s = {0};
    const int64_t side = FLY_SCAN_SIDE_MAX;

    if (!get_str(line, "session", s.id, sizeof s.id) || !get_i32(line, "height_px", 1, side, &s.height_px) ||
        !get_i32(line, "width_px", 1, side, &s.width_px) ||
        !get_int(line, "frames_planned", 0, FLY_FRAMES_MAX, &s.frames_planned) ||
        !get_f64(line, "pixel_nm_y", &s.pixel_nm[0]) || !get_f64(line, "pixel_nm_x", &s.pixel_nm[1]) ||
        !get_f64(line, "beam_current_na", &s.beam_current_na) || !get_f64(line, "pixel_time_us", &s.pixel_time_us) ||
        !get_i32(line, "rows", 0, side, &s.rows) || !get_i32(line, "cols", 0, side, &s.cols) ||
        !get_i32(line, "chip_px", 0, side, &s.chip_px) || !get_i32(line, "pitch_px", 0, side, &s.pitch_px) ||
        !fly_guard_session_fits(&s))
        return 0;
    fly_guard_ids_add(&r->past->sessions, s.id);
    fly_guard_book_close(&r->past->book);
    r->past->has_session = fly_guard_book_open(&r->past->book, r->limits, &s) == FLY_OK;
    return r->past->has_session;
}

static int read_target(const json_t *object, struct fly_target *target)
{
    const json_t *px = json_object_get(object, "px");
    int kind;

    if (!get_word(object, "kind", target_name, FLY_TARGET_KINDS, &kind) ||
        json_array_size(px) != (kind == FLY_TARGET_POINT ? 2u : 4u) || !get_f64(object, "dwell_us", &target->dwell_us))
        return 0;
    target->kind = (enum fly_target_kind)kind;
    for (size_t k = 0; k < json_array_size(px); k++)
        target->px[k] = json_number_value(json_array_get(px, k));
    return 1;
}

static int read_as_of(const json_t *object, struct fly_as_of *as_of)
{
    const char *name;
    json_t *seq;

    json_object_foreach((json_t *)object, name, seq) {
        if (as_of->count == FLY_STREAMS_MAX || strlen(name) > FLY_NAME_MAX || !json_is_integer(seq))
            return 0;
        memcpy(as_of->names[as_of->count], name, strlen(name) + 1);
        as_of->seq[as_of->count++] = (uint64_t)json_integer_value(seq);
    }
    return json_is_object(object);
}

/* Whether a command's targets lie where the book has cells: lines of this guard always do. */
static int has_cells(const struct fly_guard_book *book, const struct fly_command *command)
{
    for (int32_t i = 0; i < command->n_targets; i++) {
        const double *px = command->targets[i].px;
        struct fly_guard_area area;

        for (int k = 0; k < 4; k++)
            if (!(fabs(px[k]) < 0x1p30))
                return 0;
        area = fly_guard_area_of(&command->targets[i]);
        if (area.y0 < 0 || area.x0 < 0 || area.y1 <= area.y0 || area.x1 <= area.x0 ||
            area.y1 > book->session.height_px || area.x1 > book->session.width_px)
            return 0;
    }
    return command->kind == FLY_COMMAND_RASTER || command->n_targets > 0;
}

static int read_command(struct reading *r, const json_t *line, int64_t unix_ns)
{
    struct fly_command command = {.targets = r->targets, .targets_cap = FLY_TARGETS_MAX};
    const json_t *targets = json_object_get(line, "targets");
    int verdict, kind;

    memset(r->targets, 0, sizeof r->targets);
    if (!get_word(line, "verdict", verdict_name, FLY_GUARD_VERDICTS, &verdict) ||
        !get_str(line, "cmd_id", command.cmd_id, sizeof command.cmd_id))
        return 0;
    if (!r->past->has_session)
        return 1; /* refused, or of no consequence for a dose: there was nothing to book it in */
    if (verdict != FLY_GUARD_PASS) {
        if (command.cmd_id[0])
            fly_guard_book_refuse(&r->past->book, command.cmd_id);
        return 1;
    }
    if (!get_word(line, "kind", kind_name, FLY_COMMAND_KINDS, &kind))
        return 0;
    command.kind = (enum fly_command_kind)kind;
    if (kind == FLY_COMMAND_STOP || kind == FLY_COMMAND_BLANK) {
        fly_guard_book_refuse(&r->past->book, command.cmd_id); /* used up */
        return 1;
    }
    if (!get_str(line, "decision_id", command.decision_id, sizeof command.decision_id) ||
        !get_int(line, "frame", 0, FLY_FRAMES_MAX, &command.frame) ||
        !get_i32(line, "frames", 1, FLY_FRAMES_MAX, &command.frames) ||
        !get_f64(line, "dwell_us", &command.dwell_us) || !(command.dwell_us > 0 && command.dwell_us < 1e7) ||
        !get_int(line, "valid_until_ns", 0, INT64_MAX, &command.valid_until_ns) ||
        !read_as_of(json_object_get(line, "as_of"), &command.as_of) || json_array_size(targets) > FLY_TARGETS_MAX)
        return 0;
    for (size_t i = 0; i < json_array_size(targets); i++)
        if (!read_target(json_array_get(targets, i), &command.targets[command.n_targets++]))
            return 0;
    if (!has_cells(&r->past->book, &command))
        return 0;
    fly_guard_book_room(&r->past->book, unix_ns, mono_of(r, unix_ns));
    fly_guard_book_take(&r->past->book, &command, mono_of(r, unix_ns));
    return 1;
}

static int read_malformed(struct reading *r, const json_t *line)
{
    char cmd_id[FLY_CMD_ID_MAX + 1];

    if (!get_str(line, "by", cmd_id, sizeof cmd_id))
        return 0;
    if (r->past->has_session && cmd_id[0])
        fly_guard_book_refuse(&r->past->book, cmd_id);
    return 1;
}

static int read_ack(struct reading *r, const json_t *line, int64_t unix_ns)
{
    struct fly_ack ack = {0};
    int status;

    if (!get_str(line, "cmd_id", ack.cmd_id, sizeof ack.cmd_id) ||
        !get_word(line, "status", status_name, FLY_ACK_STATUSES, &status))
        return 0;
    ack.status = (enum fly_ack_status)status;
    if (r->past->has_session)
        fly_guard_book_ack(&r->past->book, &ack, mono_of(r, unix_ns));
    return 1;
}

static int read_frames(struct reading *r, const json_t *line)
{
    int64_t count;

    if (!get_int(line, "frames", 1, FLY_FRAMES_MAX, &count))
        return 0;
    while (r->past->has_session && count-- > 0)
        fly_guard_book_frame(&r->past->book);
    return 1;
}

/* A refused command with numbers that there is no room for here, or names twice: nothing was exposed by it. */
static int read_refused(struct reading *r, const char *text, size_t len)
{
    json_t *line = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, NULL);
    const char *what = json_string_value(json_object_get(line, "what"));
    int verdict, good = what && strcmp(what, "command") == 0 &&
                        get_word(line, "verdict", verdict_name, FLY_GUARD_VERDICTS, &verdict) &&
                        verdict != FLY_GUARD_PASS && read_command(r, line, 0);

    json_decref(line);
    return good;
}

/* 1 when the line is one of this guard's; *torn when it says that the line before broke off. */
static int read_line(struct reading *r, const char *text, size_t len, int *torn)
{
    json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(line, "what"));
    int64_t version, unix_ns;
    int good = what && get_int(line, "v", 1, FLY_GUARD_JOURNAL_VERSION, &version) &&
               get_int(line, "t_ns", 0, INT64_MAX, &unix_ns);

    *torn = good && strcmp(what, "torn") == 0;
    if (good && strcmp(what, "session") == 0)
        good = read_session(r, line);
    else if (good && strcmp(what, "command") == 0)
        good = read_command(r, line, unix_ns);
    else if (good && strcmp(what, "malformed") == 0)
        good = read_malformed(r, line);
    else if (good && strcmp(what, "ack") == 0)
        good = read_ack(r, line, unix_ns);
    else if (good && strcmp(what, "abandon") == 0 && r->past->has_session)
        fly_guard_book_abandon(&r->past->book, mono_of(r, unix_ns));
    else if (good && strcmp(what, "frame") == 0)
        good = read_frames(r, line);
    else if (good && (strcmp(what, "hold") == 0 || strcmp(what, "resume") == 0))
        r->past->held = *what == 'h';
    json_decref(line);
    return good || read_refused(r, text, len);
}

/* ---- the file ---------------------------------------------------------------------------------------- */

static int damaged(const struct reading *r, int64_t line)
{
    return fly_fail(FLY_EWIRE,
                    "%s:%lld: no line of the guard's journal: what was exposed before cannot be told. Move the file "
                    "away only if the specimen or the session is another one",
                    r->journal->path, (long long)line);
}

/* Take the lines of bytes[0 .. len) that are whole; returns how many bytes they had, or a code. */
static int64_t take_lines(struct reading *r, const char *bytes, size_t len)
{
    size_t at = 0;

    for (;;) {
        const char *end = memchr(bytes + at, '\n', len - at);
        size_t n;
        int torn;

        if (!end)
            return (int64_t)at;
        n = (size_t)(end - bytes) - at;
        r->past->lines++;
        if (!read_line(r, bytes + at, n, &torn)) {
            if (!r->bad_line)
                r->bad_line = r->past->lines;
        } else if (torn) {
            r->bad_line = 0;
        } else if (r->bad_line) {
            return damaged(r, r->bad_line);
        }
        at += n + 1;
    }
}

static int read_all(struct reading *r, char *bytes)
{
    int64_t at = 0;
    size_t held = 0;

    while (at < r->journal->size) {
        int64_t n = r->journal->disk.pread(r->journal->disk.ctx, r->journal->fd, bytes + held, CHUNK, at), used;

        if (n <= 0)
            return fly_fail(FLY_EIO, "guard's journal %s: %s", r->journal->path,
                            n < 0 ? strerror((int)-n) : "it became shorter");
        at += n;
        held += (size_t)n;
        used = take_lines(r, bytes, held);
        if (used < 0)
            return (int)used;
        held -= (size_t)used;
        memmove(bytes, bytes + used, held);
        if (held > LINE_MAX)
            return damaged(r, r->past->lines + 1);
    }
    r->journal->torn = held > 0;
    /* Only the last line may be cut, or the mark that was to say so. */
    if (r->bad_line && (held == 0 || held > sizeof FLY_GUARD_TORN_MARK - 2 ||
                        memcmp(bytes, FLY_GUARD_TORN_MARK + 1, held) != 0))
        return damaged(r, r->bad_line);
    return FLY_OK;
}

int fly_guard_journal_read_back(struct fly_guard_journal *journal, const struct fly_guard_limits *limits,
                                int64_t unix_ns, int64_t mono_ns, struct fly_guard_past *past)
{
    struct reading *r = calloc(1, sizeof *r);
    char *bytes = malloc(LINE_MAX + CHUNK);
    int rc;

    if (!r || !bytes) {
        free(r);
        free(bytes);
        return fly_fail(FLY_ENOMEM, "guard's journal %s: no memory to read it", journal->path);
    }
    r->journal = journal;
    r->limits = limits;
    r->past = past;
    r->unix_ns = unix_ns;
    r->mono_ns = mono_ns;
    rc = read_all(r, bytes);
    free(r);
    free(bytes);
    return rc;
}
