#include "plugin/support_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/json.h"
#include "stream/disk.h"

void fly_support_set_fini(struct fly_support_set *set)
{
    for (int32_t c = 0; c < set->n_classes; c++)
        free(set->classes[c].chips);
    memset(set, 0, sizeof *set);
}

/* Where in the set a chip stands already: the class, or -1. Chips of class c count up to n_last. */
static int32_t find_chip(const struct fly_support_set *set, int32_t c, int32_t n_last,
                         struct fly_support_chip chip)
{
    for (int32_t b = 0; b <= c; b++) {
        int32_t n = b == c ? n_last : set->classes[b].n_chips;

        for (int32_t i = 0; i < n; i++) {
            if (set->classes[b].chips[i].row == chip.row && set->classes[b].chips[i].col == chip.col)
                return b;
        }
    }
    return -1;
}

static int read_chip(struct fly_support_set *set, int32_t c, int32_t i, const json_t *pair,
                     const char *name, int32_t rows, int32_t cols)
{
    const char *class_name = set->classes[c].name;
    struct fly_support_chip chip;
    json_int_t at[2];
    int32_t other;

    if (!json_is_array(pair) || json_array_size(pair) != 2 || !json_is_integer(json_array_get(pair, 0)) ||
        !json_is_integer(json_array_get(pair, 1)))
        return fly_fail(FLY_EWIRE, "%s: class \"%s\", chip %d: two whole numbers are needed, [row, col]",
                        name, class_name, (int)i);
    at[0] = json_integer_value(json_array_get(pair, 0));
    at[1] = json_integer_value(json_array_get(pair, 1));
    for (int k = 0; k < 2; k++) {
        int32_t size = k ? cols : rows;

        if (at[k] < 0 || at[k] >= (size > 0 ? size : 16384))
            return fly_fail(FLY_ERANGE, "%s: class \"%s\", chip %d: %s %" JSON_INTEGER_FORMAT
                            " is outside 0 .. %d", name, class_name, (int)i, k ? "column" : "row", at[k],
                            (size > 0 ? size : 16384) - 1);
    }
    chip = (struct fly_support_chip){(int32_t)at[0], (int32_t)at[1]};
    other = find_chip(set, c, i, chip);
    if (other == c)
        return fly_fail(FLY_ERANGE, "%s: class \"%s\", chip %d: [%d, %d] is in it twice", name, class_name,
                        (int)i, (int)chip.row, (int)chip.col);
    if (other >= 0)
        return fly_fail(FLY_ERANGE, "%s: class \"%s\", chip %d: [%d, %d] is in class \"%s\" already", name,
                        class_name, (int)i, (int)chip.row, (int)chip.col, set->classes[other].name);
    set->classes[c].chips[i] = chip;
    return FLY_OK;
}

static int read_class(struct fly_support_set *set, const char *key, const json_t *list, const char *name,
                      int32_t rows, int32_t cols)
{
    int32_t c = set->n_classes;
    size_t count = json_array_size(list); /* 0 when it is no array */
    size_t most = FLY_SUPPORT_CHIPS_MAX;

    for (int32_t b = 0; b < c; b++)
        most -= (size_t)set->classes[b].n_chips;
    if (c == FLY_CLASSES_MAX)
        return fly_fail(FLY_ERANGE, "%s: class \"%.64s\" is one too many, a session has at most %d", name, key,
                        FLY_CLASSES_MAX);
    if (key[0] == '\0' || strlen(key) > FLY_CLASS_NAME_MAX)
        return fly_fail(FLY_ERANGE, "%s: class \"%.64s\": a name has 1 .. %d bytes, this one %zu", name, key,
                        FLY_CLASS_NAME_MAX, strlen(key));
    if (!json_is_array(list) || count == 0)
        return fly_fail(FLY_EWIRE, "%s: class \"%s\": a list of chips is needed, [[row, col], ...]", name,
                        key);
    if (count > most)
        return fly_fail(FLY_ERANGE, "%s: class \"%s\": %zu chips, a set has at most %d in all", name, key,
                        count, FLY_SUPPORT_CHIPS_MAX);
    set->classes[c].chips = calloc(count, sizeof *set->classes[c].chips);
    if (!set->classes[c].chips)
        return fly_fail(FLY_ENOMEM, "%s: no memory for %zu chips", name, count);
    memcpy(set->classes[c].name, key, strlen(key) + 1);
    set->n_classes++; /* from here on fini frees it */
    for (size_t i = 0; i < count; i++) {
        int rc = read_chip(set, c, (int32_t)i, json_array_get(list, i), name, rows, cols);

        if (rc < 0)
            return rc;
    }
    set->classes[c].n_chips = (int32_t)count;
    return FLY_OK;
}

int fly_support_set_parse(struct fly_support_set *set, const char *text, size_t len, const char *name,
                          int32_t rows, int32_t cols)
{
    json_error_t error;
    json_t *root;
    const char *key;
    json_t *list;
    int rc = FLY_OK;

    memset(set, 0, sizeof *set);
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return fly_fail(FLY_EWIRE, "%s:%d:%d: %s", name, error.line, error.column, error.text);
    if (!json_is_object(root) || json_object_size(root) == 0)
        rc = fly_fail(FLY_EWIRE, "%s: a support set is {\"class\": [[row, col], ...], ...}", name);
    json_object_foreach(root, key, list)
    {
        if (rc == FLY_OK)
            rc = read_class(set, key, list, name, rows, cols);
    }
    json_decref(root);
    if (rc < 0)
        fly_support_set_fini(set);
    return rc;
}

int fly_support_set_load(struct fly_support_set *set, const char *path, int32_t rows, int32_t cols)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    int rc = fly_file_read(path, FLY_SUPPORT_FILE_MAX, &bytes, &len);

    memset(set, 0, sizeof *set);
    if (rc == FLY_OK)
        rc = fly_support_set_parse(set, (const char *)bytes, len, path, rows, cols);
    free(bytes);
    return rc;
}

int fly_support_set_apply(const struct fly_support_set *set, struct fly_support *support, int32_t cols)
{
    for (int32_t c = 0; c < set->n_classes; c++) {
        int32_t n = set->classes[c].n_chips, id;
        int32_t *chips = malloc((size_t)n * sizeof *chips);
        int rc;

        if (!chips)
            return fly_fail(FLY_ENOMEM, "support set: no memory for %d chips", (int)n);
        for (int32_t i = 0; i < n; i++) {
            FLY_ASSERT(set->classes[c].chips[i].col < cols);
            chips[i] = set->classes[c].chips[i].row * cols + set->classes[c].chips[i].col;
        }
        rc = fly_support_add(support, set->classes[c].name, chips, n, &id);
        free(chips);
        if (rc < 0)
            return rc;
    }
    return FLY_OK;
}

void fly_support_write(const struct fly_support *support, int32_t cols, struct fly_text *out)
{
    struct fly_json json;

    fly_json_init(&json, out, 0);
    fly_json_object(&json);
    for (int32_t c = 0; c < support->n_classes; c++) {
        if (!support->classes[c].alive)
            continue;
        fly_json_key(&json, support->classes[c].name);
        fly_json_row(&json);
        for (int32_t k = 0; k < support->n_chips; k++) {
            if (support->class_of[k] != c)
                continue;
            fly_json_row(&json);
            fly_json_int(&json, k / cols);
            fly_json_int(&json, k % cols);
            fly_json_end(&json);
        }
        fly_json_end(&json);
    }
    fly_json_end(&json);
    fly_json_done(&json);
}
