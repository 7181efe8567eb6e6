/* Configuration files: libyaml's events, with everything refused that a person would not see coming. */
#include "plugin/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "plugin/number.h"
#include "stream/disk.h"

enum { KEY_CAP = 128, SECTIONS_MAX = 64, DEPTH_MAX = 4 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;  /* the newest; next() frees the one before */
    int has_event;
    const char *name;
    struct fly_options *options; /* the trial copy */
    char origin[FLY_OPTION_TEXT_CAP];
    /* What was given so far, for telling duplicates. */
    struct {
        char key[KEY_CAP];
        size_t line;
    } seen[FLY_OPTIONS_MAX + SECTIONS_MAX];
    int n_seen;
};

/* "name:line:col", counted from 1. */
static const char *place(struct reader *r, const yaml_mark_t *mark)
{
    snprintf(r->origin, sizeof r->origin, "%.900s:%zu:%zu", r->name, mark->line + 1, mark->column + 1);
    return r->origin;
}

static const char *here(struct reader *r)
{
    return place(r, &r->event.start_mark);
}

static int parser_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "not understood";

    if (p->error == YAML_MEMORY_ERROR)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", r->name);
    if (p->error == YAML_READER_ERROR) /* before lines are counted: find the line by the byte */
        return fly_fail(FLY_ERANGE, "%s:%zu:%zu: %s (byte %zu)", r->name, p->mark.line + 1,
                        p->mark.column + 1, problem, p->problem_offset);
    return fly_fail(FLY_ERANGE, "%s: YAML: %s%s%s", place(r, &p->problem_mark), problem,
                    p->context ? ", " : "", p->context ? p->context : "");
}

static int next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = 0;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return parser_failed(r);
    r->has_event = 1;
    return FLY_OK;
}

/* Anchors, aliases and tags make a page mean something else than it says. */
static int refuse_tricks(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    const void *anchor = NULL, *tag = NULL;

    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return fly_fail(FLY_ERANGE, "%s: aliases (*%s) are not taken: write the value out", here(r),
                        (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return fly_fail(FLY_ERANGE, "%s: anchors (&%s) are not taken: write the value out", here(r),
                        (const char *)anchor);
    if (tag)
        return fly_fail(FLY_ERANGE, "%s: tags (%s) are not taken: the key's type is known", here(r),
                        (const char *)tag);
    return FLY_OK;
}

/* The scalar as a C string, or an error when it holds a NUL. */
static int scalar_text(struct reader *r, const char **text)
{
    *text = (const char *)r->event.data.scalar.value;
    if (strlen(*text) != r->event.data.scalar.length)
        return fly_fail(FLY_ERANGE, "%s: a NUL character inside the text", here(r));
    return FLY_OK;
}

static int is_plain(const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* What plain YAML would not read as a string. */
static const char *plain_type(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {"true", "false", "True", "False", "TRUE", "FALSE", "yes", "no",
                                        "Yes", "No", "YES", "NO", "on", "off", "On", "Off", "ON", "OFF"};
    double number;

    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        if (strcmp(text, nulls[i]) == 0)
            return "nothing";
    }
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++) {
        if (strcmp(text, bools[i]) == 0)
            return "a truth value";
    }
    return fly_number_parse(text, strlen(text), &number) ? "a number" : NULL;
}

/* Another type stood where the key's own was due. */
static int wrong_type(struct reader *r, const struct fly_option *row, const char *what)
{
    static const char *const wanted[] = {
        [FLY_OPTION_BOOL] = "true or false", [FLY_OPTION_INT] = "a whole number",
        [FLY_OPTION_FLOAT] = "a number",     [FLY_OPTION_STRING] = "text",
        [FLY_OPTION_ENUM] = "a word",        [FLY_OPTION_FLOATS] = "a list of numbers",
    };
    char range[160];

    return fly_fail(FLY_ERANGE, "%s: %s: %s stands there, %s is needed; allowed: %s", here(r), row->key,
                    what, wanted[row->type], fly_option_range(row, range, sizeof range));
}

static int read_scalar(struct reader *r, const struct fly_option *row)
{
    const char *text, *plain;
    int rc = scalar_text(r, &text);

    if (rc < 0)
        return rc;
    plain = is_plain(&r->event) ? plain_type(text) : NULL;
    if (plain && strcmp(plain, "nothing") == 0)
        return wrong_type(r, row, "nothing");
    if (row->type == FLY_OPTION_FLOATS && (plain || !row->words))
        return wrong_type(r, row, "a single value");
    if (row->type == FLY_OPTION_STRING && plain && !(row->flags & FLY_OPTION_NUMERAL)) {
        char what[64];

        snprintf(what, sizeof what, "%s (text that looks so goes in quotes)", plain);
        return wrong_type(r, row, what);
    }
    if (row->type != FLY_OPTION_STRING && row->type != FLY_OPTION_ENUM && !is_plain(&r->event))
        return wrong_type(r, row, "a text in quotes");
    return fly_options_set(r->options, row->key, text, here(r));
}

/* A list; the event is its start. */
static int read_list(struct reader *r, const struct fly_option *row)
{
    char text[512] = "";
    yaml_mark_t start = r->event.start_mark;
    size_t len = 0;
    int rc;

    if (row->type != FLY_OPTION_FLOATS)
        return wrong_type(r, row, "a list");
    for (;;) {
        const char *item;
        double number;

        rc = next(r);
        if (rc == FLY_OK)
            rc = refuse_tricks(r);
        if (rc < 0)
            return rc;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (r->event.type != YAML_SCALAR_EVENT)
            return wrong_type(r, row, "a list or map inside the list");
        rc = scalar_text(r, &item);
        if (rc < 0)
            return rc;
        if (!is_plain(&r->event) || !fly_number_parse(item, strlen(item), &number))
            return wrong_type(r, row, "an item that is no number");
        if (len + strlen(item) + 3 > sizeof text)
            return wrong_type(r, row, "a longer list");
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? ", " : "", item);
    }
    return fly_options_set(r->options, row->key, text, place(r, &start));
}

/* Note a key or section; an error when it was there. */
static int note(struct reader *r, const char *key, const yaml_mark_t *mark)
{
    for (int i = 0; i < r->n_seen; i++) {
        if (strcmp(r->seen[i].key, key) == 0)
            return fly_fail(FLY_ERANGE, "%s: %s was given already, in line %zu", place(r, mark), key,
                            r->seen[i].line);
    }
    /* Only keys and sections that exist come here, each once: there is room for them all. */
    FLY_ASSERT(r->n_seen < (int)(sizeof r->seen / sizeof *r->seen));
    snprintf(r->seen[r->n_seen].key, KEY_CAP, "%s", key);
    r->seen[r->n_seen++].line = mark->line + 1;
    return FLY_OK;
}

static int is_section(const char *path)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);
    size_t len = strlen(path);

    for (int32_t i = 0; i < count; i++) {
        if (strncmp(table[i].key, path, len) == 0 && table[i].key[len] == '.')
            return 1;
    }
    return 0;
}

/* The keys of a section; the event is the map's start. prefix: "" or "chip." */
static int read_map(struct reader *r, const char *prefix, int depth)
{
    for (;;) {
        char path[KEY_CAP], below[KEY_CAP + 1];
        const struct fly_option *row;
        const char *key;
        yaml_mark_t mark;
        int rc = next(r);

        if (rc == FLY_OK)
            rc = refuse_tricks(r);
        if (rc < 0)
            return rc;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return FLY_OK;
        if (r->event.type != YAML_SCALAR_EVENT)
            return fly_fail(FLY_ERANGE, "%s: a key is a word, not a list or a map", here(r));
        rc = scalar_text(r, &key);
        if (rc < 0)
            return rc;
        if (strlen(prefix) + strlen(key) >= sizeof path)
            return fly_fail(FLY_ERANGE, "%s: no such key: %.40s...", here(r), key);
        snprintf(path, sizeof path, "%s%s", prefix, key);
        mark = r->event.start_mark;
        row = fly_option_find(path);
        if (!row && !is_section(path)) {
            const char *nearest = fly_option_nearest(path);

            return fly_fail(FLY_ERANGE, "%s: %s: no such key%s%s%s", here(r), path[0] ? path : "\"\"",
                            nearest ? " (did you mean " : "", nearest ? nearest : "",
                            nearest ? "?)" : "");
        }
        rc = note(r, path, &mark);
        if (rc == FLY_OK)
            rc = next(r);
        if (rc == FLY_OK)
            rc = refuse_tricks(r);
        if (rc < 0)
            return rc;
        if (row && r->event.type == YAML_SCALAR_EVENT) {
            rc = read_scalar(r, row);
        } else if (row && r->event.type == YAML_SEQUENCE_START_EVENT) {
            rc = read_list(r, row);
        } else if (row) {
            rc = wrong_type(r, row, "a section");
        } else if (r->event.type == YAML_MAPPING_START_EVENT) {
            FLY_ASSERT(depth < DEPTH_MAX); /* no key of the table is deeper */
            snprintf(below, sizeof below, "%s.", path);
            rc = read_map(r, below, depth + 1);
        } else {
            rc = fly_fail(FLY_ERANGE, "%s: %s is a section: its keys go below it, indented", here(r), path);
        }
        if (rc < 0)
            return rc;
    }
}

static int read_stream(struct reader *r)
{
    int rc = next(r); /* the stream's start */
    int documents = 0;

    if (rc < 0)
        return rc;
    for (;;) {
        rc = next(r);
        if (rc < 0)
            return rc;
        if (r->event.type == YAML_STREAM_END_EVENT)
            return FLY_OK;
        FLY_ASSERT(r->event.type == YAML_DOCUMENT_START_EVENT);
        if (documents++)
            return fly_fail(FLY_ERANGE, "%s: a second document: one file has one", here(r));
        if (r->event.data.document_start.version_directive ||
            r->event.data.document_start.tag_directives.start !=
                r->event.data.document_start.tag_directives.end)
            return fly_fail(FLY_ERANGE, "%s: %% directives are not taken", here(r));
        rc = next(r);
        if (rc == FLY_OK)
            rc = refuse_tricks(r);
        if (rc < 0)
            return rc;
        if (r->event.type == YAML_MAPPING_START_EVENT) {
            rc = read_map(r, "", 0);
        } else if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.length != 0 ||
                   !is_plain(&r->event)) {
            rc = fly_fail(FLY_ERANGE, "%s: a configuration is sections and keys (chip: {size_px: 15})", here(r));
        }
        if (rc == FLY_OK)
            rc = next(r); /* the document's end */
        if (rc < 0)
            return rc;
    }
}

int fly_options_load_yaml(struct fly_options *options, const char *text, size_t len, const char *name)
{
    struct reader *r;
    struct fly_options *trial;
    int rc;

    if (len > FLY_OPTIONS_FILE_MAX)
        return fly_fail(FLY_ERANGE, "%s:1:1: %zu bytes, a configuration has at most %d", name, len,
                        FLY_OPTIONS_FILE_MAX);
    r = calloc(1, sizeof *r);
    trial = malloc(sizeof *trial);
    if (!r || !trial || !yaml_parser_initialize(&r->parser)) {
        free(r);
        free(trial);
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", name);
    }
    *trial = *options;
    r->name = name;
    r->options = trial;
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
    rc = read_stream(r);
    if (rc == FLY_OK)
        *options = *trial;
    if (r->has_event)
        yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
    free(r);
    free(trial);
    return rc;
}

int fly_options_load_file(struct fly_options *options, const char *path)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    int rc = fly_file_read(path, FLY_OPTIONS_FILE_MAX, &bytes, &len);

    if (rc == FLY_OK)
        rc = fly_options_load_yaml(options, (const char *)bytes, len, path);
    free(bytes);
    return rc;
}
