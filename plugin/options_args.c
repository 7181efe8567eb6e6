/* The environment and the command line, and the two ways in which the table is told to people. */
#include "plugin/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FLYBACK_CHIP_SIZE_PX of chip.size_px. */
static void variable_of(const char *key, char *out, size_t cap)
{
    size_t at = (size_t)snprintf(out, cap, "FLYBACK_");

    for (; *key && at + 1 < cap; key++)
        out[at++] = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
    out[at] = '\0';
}

int fly_options_load_env(struct fly_options *options, char *const *environment)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);
    struct fly_options *trial = malloc(sizeof *trial);
    int rc = FLY_OK;

    if (!trial)
        return fly_fail(FLY_ENOMEM, "environment: no memory to read it");
    *trial = *options;
    for (; rc == FLY_OK && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        const struct fly_option *row = NULL;
        char name[128], given[128], guess[128];
        const char *nearest;

        if (strncmp(*environment, "FLYBACK_", 8) != 0 || !equals)
            continue;
        snprintf(given, sizeof given, "%.*s", (int)(equals - *environment), *environment);
        for (int32_t i = 0; i < count && !row; i++) {
            variable_of(table[i].key, name, sizeof name);
            if (strcmp(name, given) == 0)
                row = &table[i];
        }
        if (row) {
            rc = fly_options_set(trial, row->key, equals + 1, given);
            continue;
        }
        /* Guess in the words of keys: the first _ parts the section from the key. */
        snprintf(guess, sizeof guess, "%s", given + 8);
        for (char *c = guess; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        nearest = fly_option_nearest(guess);
        if (!nearest && strchr(guess, '_')) {
            *strchr(guess, '_') = '.';
            nearest = fly_option_nearest(guess);
        }
        if (nearest)
            variable_of(nearest, name, sizeof name);
        rc = fly_fail(FLY_ERANGE, "%s: no such key%s%s%s", given, nearest ? " (did you mean " : "",
                      nearest ? name : "", nearest ? "?)" : "");
    }
    if (rc == FLY_OK)
        *options = *trial;
    free(trial);
    return rc;
}

/* How one argument is to be taken. */
enum arg_kind { ARG_REST, ARG_CONFIG, ARG_SET, ARG_KEY };

/* Look at argv[i]: fills key and value ("--key=value" or the next argument) and how many arguments it
 * takes. Returns its kind, or a code. */
static int look_at(int argc, char **argv, int i, char *key, size_t key_cap, const char **value, int *takes)
{
    const char *arg = argv[i], *equals = strchr(arg, '=');
    size_t name_len;
    int kind;

    *takes = 1;
    *value = NULL;
    if (strncmp(arg, "--", 2) != 0)
        return ARG_REST;
    name_len = equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
    if (name_len >= key_cap)
        return ARG_REST;
    memcpy(key, arg + 2, name_len);
    key[name_len] = '\0';
    if (strcmp(key, "config") == 0)
        kind = ARG_CONFIG;
    else if (strcmp(key, "set") == 0)
        kind = ARG_SET;
    else if (fly_option_find(key))
        kind = ARG_KEY;
    else if (strchr(key, '.')) {
        const char *nearest = fly_option_nearest(key);

        return fly_fail(FLY_ERANGE, "--%s: no such key%s%s%s", key, nearest ? " (did you mean --" : "",
                        nearest ? nearest : "", nearest ? "?)" : "");
    } else
        return ARG_REST;

    if (equals) {
        *value = equals + 1;
        return kind;
    }
    if (i + 1 >= argc)
        return fly_fail(FLY_ERANGE, "--%s: what it is to be is missing", key);
    *value = argv[i + 1];
    *takes = 2;
    return kind;
}

static int set_pair(struct fly_options *options, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char key[128];

    if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof key)
        return fly_fail(FLY_ERANGE, "--set: \"%.60s\" is not key=value", pair);
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    return fly_options_set(options, key, equals + 1, "--set");
}

/* One pass over the arguments, setting those of `kind` (files, or keys). With rest != NULL what is
 * not ours is kept there. */
static int pass(struct fly_options *options, int argc, char **argv, int files, char **rest, int *n_rest)
{
    char key[128], origin[160];
    const char *value;
    int takes;

    for (int i = 1; i < argc; i += takes) {
        int rc, kind;

        takes = 1;
        if (strcmp(argv[i], "--") == 0) {
            for (; rest && i < argc; i++)
                rest[(*n_rest)++] = argv[i];
            return FLY_OK;
        }
        kind = look_at(argc, argv, i, key, sizeof key, &value, &takes);
        if (kind < 0)
            return kind;
        if (kind == ARG_REST && rest)
            rest[(*n_rest)++] = argv[i];
        rc = FLY_OK;
        if (files && kind == ARG_CONFIG)
            rc = fly_options_load_file(options, value);
        else if (!files && kind == ARG_SET)
            rc = set_pair(options, value);
        else if (!files && kind == ARG_KEY) {
            snprintf(origin, sizeof origin, "--%s", key);
            rc = fly_options_set(options, key, value, origin);
        }
        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

int fly_options_load_args(struct fly_options *options, int *argc, char **argv, char *const *environment)
{
    struct fly_options *trial = malloc(sizeof *trial);
    char **rest = calloc((size_t)*argc + 1, sizeof *rest);
    int n_rest = 0, rc;

    if (!trial || !rest) {
        rc = fly_fail(FLY_ENOMEM, "command line: no memory to read it");
        goto out;
    }
    *trial = *options;
    rc = pass(trial, *argc, argv, 1, NULL, NULL);
    if (rc == FLY_OK && environment)
        rc = fly_options_load_env(trial, environment);
    if (rc == FLY_OK)
        rc = pass(trial, *argc, argv, 0, rest, &n_rest);
    if (rc < 0)
        goto out;
    *options = *trial;
    for (int i = 0; i < n_rest; i++)
        argv[1 + i] = rest[i];
    if (*argc > 0)
        *argc = 1 + n_rest;
    argv[*argc] = NULL;
out:
    free(trial);
    free(rest);
    return rc;
}

/* ---- telling people ----------------------------------------------------------------------------- */

/* text in lines of at most `width` letters, each after `lead`. */
static void wrap(struct fly_text *out, const char *lead, const char *text, size_t width)
{
    while (*text) {
        size_t len = strlen(text);

        if (len > width) {
            for (len = width; len > 0 && text[len] != ' '; len--)
                ;
            if (len == 0)
                len = strcspn(text, " ");
        }
        fly_text_add(out, lead);
        fly_text_addn(out, text, len);
        fly_text_add(out, "\n");
        text += len;
        while (*text == ' ')
            text++;
    }
}

/* A value as YAML: text in double quotes, so that nothing in it can be taken for something else. */
static void add_value(struct fly_text *out, const struct fly_option *row, const char *value)
{
    if (row->type != FLY_OPTION_STRING) {
        fly_text_add(out, value);
        return;
    }
    fly_text_add(out, "\"");
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fly_text_add(out, "\\");
        fly_text_addn(out, value, 1);
    }
    fly_text_add(out, "\"");
}

/* "px, 4 .. 1024; default 15" and the like: range and unit, default, whether it may change live. */
static void facts_of(const struct fly_option *row, char *out, size_t cap)
{
    char range[160];

    snprintf(out, cap, "%s; default %s%s", fly_option_range(row, range, sizeof range),
             row->initial[0] ? row->initial : "\"\"",
             row->flags & FLY_OPTION_LIVE ? "; may change while running" : "");
}

void fly_options_print_yaml(const struct fly_options *options, struct fly_text *out)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);
    const char *section = "";
    size_t section_len = 0;

    fly_text_add(out, "# Flyback's configuration: every key with its meaning, unit, range and default.\n"
                      "# `flyback run --print-config` prints this page with the values in force.\n"
                      "# Later sources win: this file, FLYBACK_SECTION_KEY variables, --set section.key=value.\n");
    for (int32_t i = 0; i < count; i++) {
        const struct fly_option *row = &table[i];
        const char *origin = fly_options_origin(options, row->key);
        const char *dot = strchr(row->key, '.'), *name = dot ? dot + 1 : row->key;
        size_t len = dot ? (size_t)(dot - row->key) : 0;
        char value[FLY_OPTION_TEXT_CAP], facts[320];
        const char *indent = dot ? "  # " : "# ";

        if (len && (len != section_len || strncmp(row->key, section, len) != 0))
            fly_text_addf(out, "\n%.*s:\n", (int)len, row->key);
        else
            fly_text_add(out, "\n");
        section = row->key;
        section_len = len;
        wrap(out, indent, row->help, 94);
        facts_of(row, facts, sizeof facts);
        wrap(out, indent, facts, 94);
        if (strcmp(origin, "default") != 0)
            fly_text_addf(out, "%sset by %s\n", indent, origin);
        /* Deeper keys are written with their dots: feature.fewshot below eds. */
        fly_text_addf(out, "%s%s: ", dot ? "  " : "", name);
        add_value(out, row, fly_options_get_text(options, row->key, value, sizeof value));
        fly_text_add(out, "\n");
    }
}

void fly_options_help(struct fly_text *out, const char *const *sections)
{
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);

    for (int32_t i = 0; i < count; i++) {
        const struct fly_option *row = &table[i];
        int wanted = sections == NULL;
        char facts[320];

        for (const char *const *s = sections; s && *s; s++)
            wanted |= strncmp(row->key, *s, strlen(*s)) == 0 &&
                      (row->key[strlen(*s)] == '.' || row->key[strlen(*s)] == '\0');
        if (!wanted)
            continue;
        facts_of(row, facts, sizeof facts);
        fly_text_addf(out, "  --%s\n", row->key);
        wrap(out, "      ", row->help, 90);
        wrap(out, "      ", facts, 90);
    }
}
