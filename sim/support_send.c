#include "sim/support_send.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "stream/disk.h"

enum {
    FILE_MAX = 4 * 1024 * 1024,
    REPLY_MS = 15000, /* Flyback answers when it is on disk, or says after 10 s that it is not */
};

struct fly_support_classes {
    json_t *root;
    char path[1024];
};

static int check_class(const char *path, const char *name, const json_t *chips)
{
    size_t i;
    const json_t *chip;

    if (!json_is_array(chips) || json_array_size(chips) == 0)
        return fly_fail(FLY_EWIRE, "%s: class \"%.64s\": a list of chips is needed, [[row, col], ...]", path, name);
    json_array_foreach(chips, i, chip)
    {
        if (!json_is_array(chip) || json_array_size(chip) != 2 || !json_is_integer(json_array_get(chip, 0)) ||
            !json_is_integer(json_array_get(chip, 1)))
            return fly_fail(FLY_EWIRE, "%s: class \"%.64s\", chip %zu: two whole numbers are needed, [row, col]", path,
                            name, i);
    }
    return FLY_OK;
}

int fly_support_classes_load(struct fly_support_classes **out, const char *path)
{
    struct fly_support_classes *classes = calloc(1, sizeof *classes);
    unsigned char *bytes = NULL;
    json_error_t error;
    const char *name;
    json_t *chips;
    size_t len;
    int rc;

    if (!classes)
        return fly_fail(FLY_ENOMEM, "%s: no memory to read it", path);
    strncpy(classes->path, path, sizeof classes->path - 1);
    rc = fly_file_read(path, FILE_MAX, &bytes, &len);
    if (rc == FLY_OK) {
        classes->root = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &error);
        if (!classes->root)
            rc = fly_fail(FLY_EWIRE, "%s:%d:%d: %s", path, error.line, error.column, error.text);
        else if (!json_is_object(classes->root) || json_object_size(classes->root) == 0)
            rc = fly_fail(FLY_EWIRE, "%s: a support set is {\"class\": [[row, col], ...], ...}", path);
    }
    free(bytes);
    if (rc == FLY_OK) {
        json_object_foreach(classes->root, name, chips)
        {
            if (rc == FLY_OK)
                rc = check_class(path, name, chips);
        }
    }
    if (rc < 0) {
        fly_support_classes_free(&classes);
        return rc;
    }
    *out = classes;
    return FLY_OK;
}

void fly_support_classes_free(struct fly_support_classes **classes)
{
    if (!*classes)
        return;
    json_decref((*classes)->root);
    free(*classes);
    *classes = NULL;
}

static int send_class(struct fly_ask *ask, const char *name, const json_t *chips, unsigned char *bytes)
{
    struct fly_pack args;
    size_t i;
    const json_t *chip;

    fly_pack_init(&args, bytes, FLY_HEADER_MAX);
    fly_pack_map(&args, 2);
    fly_pack_str(&args, "class");
    fly_pack_str(&args, name);
    fly_pack_str(&args, "chips");
    fly_pack_array(&args, (uint32_t)json_array_size(chips));
    json_array_foreach(chips, i, chip)
    {
        fly_pack_array(&args, 2);
        fly_pack_int(&args, json_integer_value(json_array_get(chip, 0)));
        fly_pack_int(&args, json_integer_value(json_array_get(chip, 1)));
    }
    return fly_ask(ask, "support.add", &args, REPLY_MS, NULL);
}

int fly_support_classes_send(const struct fly_support_classes *classes, struct fly_ask *ask)
{
    unsigned char *bytes = malloc(FLY_HEADER_MAX);
    const char *name;
    json_t *chips;
    int rc = bytes ? FLY_OK : fly_fail(FLY_ENOMEM, "%s: no memory to send it", classes->path);

    json_object_foreach(classes->root, name, chips)
    {
        if (rc != FLY_OK)
            break;
        rc = send_class(ask, name, chips, bytes);
        if (rc < 0 && rc != FLY_EAGAIN) {
            char why[400];

            snprintf(why, sizeof why, "%s", fly_fail_text());
            rc = fly_fail(rc, "%s: class \"%.64s\": %s", classes->path, name, why);
        }
    }
    free(bytes);
    return rc;
}
