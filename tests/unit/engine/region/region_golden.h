/* tests/unit/engine/region/region_golden.h: as much JSON as the golden files of regions need: numbers by key, in
 * the order of the text. */
#ifndef FLY_TESTS_REGION_GOLDEN_H
#define FLY_TESTS_REGION_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The whole file, to be freed; NULL when it is not there. */
static inline char *text_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text;
    long len;

    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    len = ftell(file);
    rewind(file);
    text = calloc((size_t)len + 1, 1);
    if (!text || fread(text, 1, (size_t)len, file) != (size_t)len)
        abort();
    fclose(file);
    return text;
}

/* Behind `"key":`, from `text` on; NULL when it is not there. */
static inline const char *behind(const char *text, const char *key)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    at = strstr(text, quoted);
    return at ? at + strlen(quoted) : NULL;
}

static inline double number_behind(const char *text, const char *key)
{
    const char *at = behind(text, key);

    if (!at)
        abort();
    return strtod(at, NULL);
}

/* "true" or "false" behind a key. */
static inline int truth_behind(const char *text, const char *key)
{
    const char *at = behind(text, key);

    if (!at)
        abort();
    return strncmp(at + strspn(at, " "), "true", 4) == 0;
}

/* Up to `most` numbers of the list, of any depth, that begins at the next bracket; how many. */
static inline int numbers_of(const char *text, double *numbers, int most)
{
    int depth = 0, n = 0;

    for (const char *at = strchr(text, '['); at && *at; at++) {
        depth += *at == '[';
        depth -= *at == ']';
        if (depth == 0)
            return n;
        if (strchr("-0123456789", *at) && n < most) {
            char *end;

            numbers[n++] = strtod(at, &end);
            at = end - 1;
        }
    }
    return n;
}

/* Lists within the list that begins at the next bracket. */
static inline int lists_in(const char *text)
{
    int depth = 0, n = 0;

    for (const char *at = strchr(text, '['); at && *at; at++) {
        depth += *at == '[';
        n += *at == '[' && depth == 2;
        depth -= *at == ']';
        if (depth == 0)
            break;
    }
    return n;
}

#endif
