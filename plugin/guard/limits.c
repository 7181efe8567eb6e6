#include "plugin/guard/limits.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/number.h"
#include "stream/disk.h"
#include "stream/steer.h"

static const char *const safe_words[] = {"stop", "blank", "raster", NULL};

const char *fly_guard_safe_name(enum fly_guard_safe safe)
{
    return safe_words[safe];
}

enum kind { WHOLE, NUMBER, WORD };

struct row {
    const char *key;
    enum kind kind;
    size_t at;
    double min, max;
    const char *initial; /* NULL: has to be there */
    const char *help;
};

#define AT(field) offsetof(struct fly_guard_limits, field)

/* Upper ends of ranges are where a number stops being a limit of any microscope. heartbeat_s ends below two
 * seconds: in those the acquisition has the safe state in hand, the guard's own turn included. */
static const struct row table[] = {
    {"guard_limits", WHOLE, AT(guard_limits), 1, 1, NULL, "What this file is, and its version."},
    {"chip_dose_e_per_A2", NUMBER, AT(chip_dose_e_per_A2), 1e-6, 1e9, NULL,
     "Largest dose of any pixel of the session, e-/A^2, survey included. A cell (cell_px) counts as its worst pixel."},
    {"total_dose_e_per_A2", NUMBER, AT(total_dose_e_per_A2), 1e-6, 1e9, NULL,
     "Largest mean dose over the field of view, e-/A^2, survey included."},
    {"dwell_min_us", NUMBER, AT(dwell_min_us), 0.001, 1e6, NULL, "Shortest dwell time of a pixel."},
    {"dwell_max_us", NUMBER, AT(dwell_max_us), 0.001, 1e6, NULL, "Longest dwell time of a pixel and frame."},
    {"margin_px", WHOLE, AT(margin_px), 0, 8192, "0",
     "Strip along the edges of the field of view that targets keep out of."},
    {"step_px", NUMBER, AT(step_px), 1, 32768, NULL,
     "Longest way of the beam from the end of one target to the next one's begin."},
    {"slew_px_per_us", NUMBER, AT(slew_px_per_us), 1e-6, 1e4, NULL,
     "Fastest that the beam moves while it measures: a pixel in each dwell time."},
    {"commands_per_s", NUMBER, AT(commands_per_s), 0.01, 50, NULL,
     "Commands sent on in any second; below 1, one in so many seconds."},
    {"open_commands", WHOLE, AT(open_commands), 1, 16, "2", "Commands on their way or being carried out at once."},
    {"targets_per_command", WHOLE, AT(targets_per_command), 1, FLY_TARGETS_MAX, NULL,
     "Tiles, points or lines of one command."},
    {"box_px", NUMBER, AT(box_px), 1, 16384, NULL, "Longest side of a tile, longest line."},
    {"frames_per_command", WHOLE, AT(frames_per_command), 1, 65536, NULL, "Repeats within one command."},
    {"revisit_ms", NUMBER, AT(revisit_ms), 0, 1e7, "0",
     "Rest of a place: from the end of one command there to the next one's departure. 0: none."},
    {"valid_ahead_s", NUMBER, AT(valid_ahead_s), 0.01, 600, "10",
     "How far ahead a command may be valid; one that lasts longer is a plan for another situation."},
    {"heartbeat_s", NUMBER, AT(heartbeat_s), 0.5, 1.8, "1.5",
     "Silence of the plugin after which the safe state is sent; the acquisition has it within two seconds."},
    {"safe_state", WORD, AT(safe_state), 0, 2, NULL,
     "stop: finish the line and wait, the beam where the microscope parks it. blank: the beam off. raster: full frames "
     "again, only for specimens that bear it; each frame is booked, and what would pass a dose limit is blanked."},
    {"beam_current_na", NUMBER, AT(beam_current_na), 0, 1000, "0",
     "For doses, should the session say less than it is. The larger of the two counts. 0: as the session says."},
    {"pixel_nm", NUMBER, AT(pixel_nm), 0, 1e6, "0",
     "For doses, should the session say more than it is. The smaller of the two counts. 0: as the session says."},
    {"survey_dwell_us", NUMBER, AT(survey_dwell_us), 0, 1e6, "0",
     "Dwell time of the session's own frames, when it says no pixel_time_us. The larger of the two counts."},
    {"survey_frames", WHOLE, AT(survey_frames), 1, 65536, "1",
     "The session's own frames, booked at its start, when it says no frames_planned."},
    {"cell_px", WHOLE, AT(cell_px), 0, 4096, "0",
     "Side of the squares that dose is booked in: a target counts for all of each square that it touches. 0: a chip."},
};
enum { ROWS = sizeof table / sizeof *table };

static double get(const struct fly_guard_limits *limits, const struct row *row)
{
    const char *at = (const char *)limits + row->at;

    return row->kind == NUMBER ? *(const double *)at : *(const int32_t *)at;
}

static void put(struct fly_guard_limits *limits, const struct row *row, double value)
{
    char *at = (char *)limits + row->at;

    if (row->kind == NUMBER)
        *(double *)at = value;
    else
        *(int32_t *)at = (int32_t)value;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static const char *range_of(const struct row *row, char out[96])
{
    char lo[FLY_NUMBER_CAP], hi[FLY_NUMBER_CAP];

    if (row->kind == WORD)
        snprintf(out, 96, "stop, blank, raster");
    else
        snprintf(out, 96, "%s%s .. %s", row->kind == WHOLE ? "a whole number " : "", fly_number_print(lo, row->min),
                 fly_number_print(hi, row->max));
    return out;
}

/* 1 when text[0 .. len) is a value of the row. */
static int value_of(const struct row *row, const char *text, size_t len, double *value)
{
    if (row->kind == WORD) {
        for (int i = 0; safe_words[i]; i++)
            if (strlen(safe_words[i]) == len && memcmp(safe_words[i], text, len) == 0) {
                *value = i;
                return 1;
            }
        return 0;
    }
    if (!fly_number_parse(text, len, value))
        return 0;
    return *value >= row->min && *value <= row->max && (row->kind == NUMBER || *value == floor(*value));
}

static int unknown_key(const char *key, size_t len, const char *name, int line)
{
    char all[400] = "";
    size_t used = 0;

    for (int i = 0; i < ROWS; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", table[i].key);
    return fly_fail(FLY_ERANGE, "%s:%d: %.*s: no such key; there are %s", name, line, (int)(len < 40 ? len : 40), key,
                    all);
}

struct page {
    const char *name;
    int line;
    int seen[ROWS]; /* the line of each key; 0: not yet */
    struct fly_guard_limits limits;
};

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The line without its comment and the white space around. */
static void trim(const char **at, size_t *len)
{
    const char *text = *at;
    size_t n = *len;

    for (size_t i = 0; i < n; i++)
        if (text[i] == '#' && (i == 0 || is_blank(text[i - 1]))) {
            n = i;
            break;
        }
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    while (n > 0 && is_blank(*text)) {
        text++;
        n--;
    }
    *at = text;
    *len = n;
}

static int read_line(struct page *page, const char *at, size_t len)
{
    const char *colon, *value;
    size_t key_len, value_len;
    const struct row *row = NULL;
    double number;
    char range[96];

    trim(&at, &len);
    if (len == 0)
        return FLY_OK;
    colon = memchr(at, ':', len);
    if (!colon)
        return fly_fail(FLY_ERANGE, "%s:%d: '%.*s' is no `key: value`", page->name, page->line,
                        (int)(len < 40 ? len : 40), at);
    key_len = (size_t)(colon - at);
    value = colon + 1;
    value_len = len - key_len - 1;
    trim(&at, &key_len);
    trim(&value, &value_len);
    for (int i = 0; i < ROWS; i++)
        if (strlen(table[i].key) == key_len && memcmp(table[i].key, at, key_len) == 0)
            row = &table[i];
    if (!row)
        return unknown_key(at, key_len, page->name, page->line);
    if (page->seen[row - table])
        return fly_fail(FLY_ERANGE, "%s:%d: %s stands in line %d already", page->name, page->line, row->key,
                        page->seen[row - table]);
    page->seen[row - table] = page->line;
    if (!value_of(row, value, value_len, &number))
        return fly_fail(FLY_ERANGE, "%s:%d: %s '%.*s', allowed: %s", page->name, page->line, row->key,
                        (int)(value_len < 40 ? value_len : 40), value, range_of(row, range));
    put(&page->limits, row, number);
    return FLY_OK;
}

static int is_whole(struct page *page)
{
    const struct fly_guard_limits *limits = &page->limits;

    for (int i = 0; i < ROWS; i++) {
        double value;
        char range[96];

        if (page->seen[i])
            continue;
        if (!table[i].initial)
            return fly_fail(FLY_ERANGE, "%s:%d: the file ends without %s, which has no default; allowed: %s",
                            page->name, page->line, table[i].key, range_of(&table[i], range));
        FLY_ASSERT(value_of(&table[i], table[i].initial, strlen(table[i].initial), &value));
        put(&page->limits, &table[i], value);
    }
    if (limits->dwell_min_us > limits->dwell_max_us)
        return fly_fail(FLY_ERANGE, "%s: dwell_min_us %g lies above dwell_max_us %g: nothing could be measured",
                        page->name, limits->dwell_min_us, limits->dwell_max_us);
    return FLY_OK;
}

int fly_guard_limits_read(struct fly_guard_limits *limits, const char *text, size_t len, const char *name)
{
    struct page page = {.name = name};
    const char *end = text + len;
    int rc = FLY_OK;

    if (len > FLY_GUARD_LIMITS_FILE_MAX)
        return fly_fail(FLY_ERANGE, "%s: %zu bytes, limits have at most %d", name, len, FLY_GUARD_LIMITS_FILE_MAX);
    while (text < end && rc == FLY_OK) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((stop ? stop : end) - text);

        page.line++;
        rc = read_line(&page, text, n);
        text += n + 1;
    }
    if (rc == FLY_OK)
        rc = is_whole(&page);
    if (rc == FLY_OK)
        *limits = page.limits;
    return rc;
}

int fly_guard_limits_load(struct fly_guard_limits *limits, const char *path)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    int rc = fly_file_read(path, FLY_GUARD_LIMITS_FILE_MAX, &bytes, &len);

    if (rc == FLY_OK)
        rc = fly_guard_limits_read(limits, (const char *)bytes, len, path);
    free(bytes);
    return rc;
}

int fly_guard_limits_is(const char *text, size_t len)
{
    const char *end = text + len, *key = table[0].key;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text)), *line = text;
        size_t n = (size_t)((stop ? stop : end) - text);

        text += n + 1;
        trim(&line, &n);
        if (n > 0)
            return n > strlen(key) && memcmp(line, key, strlen(key)) == 0;
    }
    return 0;
}

/* ---- tightening, telling ----------------------------------------------------------------------------- */

/* fmin, so that NaN, which asks for nothing, leaves the limit. */
struct fly_guard_limits fly_guard_limits_tighten(const struct fly_guard_limits *limits,
                                                 const struct fly_guard_tighter *tighter)
{
    struct fly_guard_limits out = *limits;

    out.chip_dose_e_per_A2 = fmin(out.chip_dose_e_per_A2, tighter->dose_e_per_A2);
    out.box_px = fmin(out.box_px, tighter->box_px);
    out.commands_per_s = fmin(out.commands_per_s, tighter->rate_hz);
    return out;
}

static const char *value_text(const struct fly_guard_limits *limits, const struct row *row, char out[FLY_NUMBER_CAP])
{
    double value = get(limits, row);

    return row->kind == WORD ? safe_words[(int)value] : fly_number_print(out, value);
}

/* A comment of several lines, broken between words. */
static void comment(struct fly_text *out, const char *words)
{
    enum { WIDTH = 104 };

    while (*words) {
        size_t n = strlen(words);

        if (n > WIDTH) {
            n = WIDTH;
            while (n > 0 && words[n] != ' ')
                n--;
        }
        fly_text_addf(out, "# %.*s\n", (int)n, words);
        words += n;
        words += *words == ' ';
    }
}

void fly_guard_limits_print(const struct fly_guard_limits *limits, struct fly_text *out, int comments)
{
    char number[FLY_NUMBER_CAP], range[96];

    if (comments)
        comment(out, "Limits of `flyback guard` (guard.limits). What steering may do at most, whatever the plugin says. "
                     "Read once, when the guard starts; nothing else changes them. Every key is checked: an unknown, "
                     "repeated or missing one is refused with its line.");
    for (int i = 0; i < ROWS; i++) {
        if (comments) {
            fly_text_add(out, "\n");
            comment(out, table[i].help);
            fly_text_addf(out, "# %s; %s%s\n", range_of(&table[i], range), table[i].initial ? "default " : "required",
                          table[i].initial ? table[i].initial : "");
        }
        fly_text_addf(out, "%s: %s\n", table[i].key, value_text(limits, &table[i], number));
    }
}

int fly_guard_limits_at(const struct fly_guard_limits *limits, int at, const char **key, double *value,
                        const char **text)
{
    if (at < 0 || at >= ROWS)
        return 0;
    *key = table[at].key;
    *value = get(limits, &table[at]);
    *text = table[at].kind == WORD ? safe_words[(int)*value] : NULL;
    return 1;
}
