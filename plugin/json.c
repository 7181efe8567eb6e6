#include "plugin/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "plugin/number.h"

void fly_json_init(struct fly_json *json, struct fly_text *text, int one_line)
{
    memset(json, 0, sizeof *json);
    json->text = text;
    json->flat = one_line ? 0 : FLY_JSON_DEPTH + 1;
}

static int on_one_line(const struct fly_json *json)
{
    return json->depth >= json->flat;
}

static void new_line(struct fly_json *json)
{
    fly_text_add(json->text, "\n");
    fly_text_repeat(json->text, " ", json->depth);
}

/* Comma and place of the next item of the container we are in. */
static void place_item(struct fly_json *json)
{
    if (json->depth == 0) {
        FLY_ASSERT(json->level[0].items == 0); /* a document is one value */
        json->level[0].items = 1;
        return;
    }
    if (json->level[json->depth].items++)
        fly_text_add(json->text, on_one_line(json) ? ", " : ",");
    if (!on_one_line(json))
        new_line(json);
}

static void place_value(struct fly_json *json)
{
    if (json->keyed) {
        json->keyed = 0;
        return;
    }
    FLY_ASSERT(json->level[json->depth].kind != '{'); /* there a key comes first */
    place_item(json);
}

static void begin(struct fly_json *json, char kind)
{
    place_value(json);
    FLY_ASSERT(json->depth < FLY_JSON_DEPTH);
    json->depth++;
    json->level[json->depth].kind = kind;
    json->level[json->depth].items = 0;
    fly_text_addn(json->text, &kind, 1);
}

void fly_json_object(struct fly_json *json)
{
    begin(json, '{');
}

void fly_json_array(struct fly_json *json)
{
    begin(json, '[');
}

void fly_json_row(struct fly_json *json)
{
    begin(json, '[');
    if (json->flat > json->depth)
        json->flat = json->depth;
}

void fly_json_end(struct fly_json *json)
{
    int flat = on_one_line(json);
    char kind = json->level[json->depth].kind;
    int items = json->level[json->depth].items;

    FLY_ASSERT(json->depth > 0 && !json->keyed);
    if (json->flat == json->depth)
        json->flat = FLY_JSON_DEPTH + 1;
    json->depth--;
    if (items && !flat)
        new_line(json);
    fly_text_add(json->text, kind == '{' ? "}" : "]");
}

static void write_string(struct fly_text *text, const char *value, size_t len)
{
    fly_text_add(text, "\"");
    for (size_t i = 0; i < len;) {
        unsigned code;
        size_t bytes = fly_utf8_next(value + i, len - i, &code);

        if (code == '"' || code == '\\')
            fly_text_addf(text, "\\%c", (int)code);
        else if (code == '\n')
            fly_text_add(text, "\\n");
        else if (code == '\t')
            fly_text_add(text, "\\t");
        else if (code < 0x20 || code == 0x7F)
            fly_text_addf(text, "\\u%04x", code);
        else if (code == 0xFFFD)
            fly_text_add(text, "\xEF\xBF\xBD");
        else
            fly_text_addn(text, value + i, bytes);
        i += bytes;
    }
    fly_text_add(text, "\"");
}

void fly_json_key(struct fly_json *json, const char *key)
{
    FLY_ASSERT(json->level[json->depth].kind == '{' && !json->keyed);
    place_item(json);
    write_string(json->text, key, strlen(key));
    fly_text_add(json->text, ": ");
    json->keyed = 1;
}

void fly_json_strn(struct fly_json *json, const char *value, size_t len)
{
    place_value(json);
    write_string(json->text, value, len);
}

void fly_json_str(struct fly_json *json, const char *value)
{
    fly_json_strn(json, value, strlen(value));
}

void fly_json_int(struct fly_json *json, int64_t value)
{
    place_value(json);
    fly_text_addf(json->text, "%" PRId64, value);
}

void fly_json_uint(struct fly_json *json, uint64_t value)
{
    place_value(json);
    fly_text_addf(json->text, "%" PRIu64, value);
}

void fly_json_f64(struct fly_json *json, double value)
{
    char number[FLY_NUMBER_CAP];

    place_value(json);
    fly_text_add(json->text, isfinite(value) ? fly_number_print(number, value) : "null");
}

void fly_json_bool(struct fly_json *json, int value)
{
    place_value(json);
    fly_text_add(json->text, value ? "true" : "false");
}

void fly_json_null(struct fly_json *json)
{
    place_value(json);
    fly_text_add(json->text, "null");
}

void fly_json_done(struct fly_json *json)
{
    FLY_ASSERT(json->depth == 0 && json->level[0].items == 1);
    fly_text_add(json->text, "\n");
}
