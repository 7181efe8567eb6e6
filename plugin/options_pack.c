#include "plugin/options_pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/number.h"

void fly_options_pack_value(struct fly_pack *pack, const struct fly_options *options,
                            const struct fly_option *row)
{
    const void *at = (const unsigned char *)options + row->at;

    switch (row->type) {
    case FLY_OPTION_BOOL:
        fly_pack_bool(pack, *(const int *)at);
        break;
    case FLY_OPTION_INT:
        fly_pack_int(pack, *(const int32_t *)at);
        break;
    case FLY_OPTION_FLOAT:
        fly_pack_f64(pack, *(const double *)at);
        break;
    case FLY_OPTION_STRING:
        fly_pack_str(pack, at);
        break;
    case FLY_OPTION_ENUM:
        fly_pack_str(pack, row->words[*(const int32_t *)at]);
        break;
    case FLY_OPTION_FLOATS:
        if (isnan(*(const double *)at)) {
            fly_pack_str(pack, row->words[0]);
            break;
        }
        fly_pack_array(pack, (uint32_t)row->count);
        for (int32_t i = 0; i < row->count; i++)
            fly_pack_f64(pack, ((const double *)at)[i]);
        break;
    }
}

void fly_options_pack(struct fly_pack *pack, const struct fly_options *options)
{
    int32_t n;
    const struct fly_option *table = fly_option_table(&n);

    fly_pack_map(pack, (uint32_t)n);
    for (int32_t i = 0; i < n; i++) {
        fly_pack_str(pack, table[i].key);
        fly_options_pack_value(pack, options, &table[i]);
    }
}

static int key_text(struct fly_value key, char *out, size_t cap)
{
    const char *text;
    size_t len;

    if (!fly_value_str(key, &text, &len) || len >= cap)
        return fly_fail(FLY_ERANGE, "args: keys are strings of less than %zu bytes", cap);
    memcpy(out, text, len);
    out[len] = '\0';
    return FLY_OK;
}

/* A packed value as a person would write it after --set. */
static int value_text(struct fly_value value, const char *key, char *out, size_t cap)
{
    struct fly_value item, none;
    struct fly_value_iter it = {0};
    const char *text;
    double number;
    char printed[FLY_NUMBER_CAP];
    size_t len, at = 0;
    int truth = 0;

    switch (fly_value_kind(value)) {
    case FLY_KIND_STR:
        if (!fly_value_str(value, &text, &len) || len >= cap)
            return fly_fail(FLY_ERANGE, "%s: a string of at most %zu bytes is needed", key, cap - 1);
        memcpy(out, text, len);
        out[len] = '\0';
        return FLY_OK;
    case FLY_KIND_BOOL:
        fly_value_bool(value, &truth);
        snprintf(out, cap, "%s", truth ? "true" : "false");
        return FLY_OK;
    case FLY_KIND_INT:
    case FLY_KIND_FLOAT:
        if (!fly_value_f64(value, &number))
            return fly_fail(FLY_ERANGE, "%s: a finite number is needed", key);
        snprintf(out, cap, "%s", fly_number_print(printed, number));
        return FLY_OK;
    case FLY_KIND_ARRAY:
        out[0] = '\0';
        while (fly_value_next(value, &it, &none, &item)) {
            if (!fly_value_f64(item, &number) || at + 32 > cap)
                return fly_fail(FLY_ERANGE, "%s: a short list of finite numbers is needed", key);
            at += (size_t)snprintf(out + at, cap - at, at ? ", %.17g" : "%.17g", number);
        }
        return FLY_OK;
    default:
        return fly_fail(FLY_ERANGE, "%s: a number, string, bool or list of numbers is needed", key);
    }
}

int fly_options_set_packed(struct fly_options *options, struct fly_value args, struct fly_pack *result)
{
    struct fly_options *changed = malloc(sizeof *changed);
    struct fly_value key, value;
    struct fly_value_iter it = {0};
    char name[128], text[FLY_OPTION_TEXT_CAP];
    int rc = FLY_OK;

    if (!changed)
        return fly_fail(FLY_ENOMEM, "params.set: no memory");
    *changed = *options;
    if (fly_value_count(args) == 0)
        rc = fly_fail(FLY_ERANGE, "args is empty: {key: value} of run-time keys is needed");
    while (rc == FLY_OK && fly_value_next(args, &it, &key, &value)) {
        rc = key_text(key, name, sizeof name);
        if (rc == FLY_OK)
            rc = value_text(value, name, text, sizeof text);
        if (rc == FLY_OK)
            rc = fly_options_set_live(changed, name, text, "params.set");
    }
    if (rc == FLY_OK)
        rc = fly_options_check(changed);
    if (rc == FLY_OK) {
        *options = *changed;
        it = (struct fly_value_iter){0};
        fly_pack_map(result, fly_value_count(args));
        while (fly_value_next(args, &it, &key, &value) && key_text(key, name, sizeof name) == FLY_OK) {
            fly_pack_str(result, name);
            fly_options_pack_value(result, options, fly_option_find(name));
        }
    }
    free(changed);
    return rc;
}
