#include "plugin/page/convert.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/publish.h"
#include "stream/request.h"

enum { ALIGN = 8 };

/* ---- blobs --------------------------------------------------------------------------------------- */

static struct fly_blob *blob_room(size_t len)
{
    struct fly_blob *blob = malloc(sizeof *blob + len);

    if (!blob)
        return NULL;
    atomic_init(&blob->holders, 1);
    blob->is_bundle = 0;
    blob->len = len;
    return blob;
}

struct fly_blob *fly_blob_make(const void *bytes, size_t len)
{
    struct fly_blob *blob = blob_room(len);

    if (blob && len)
        memcpy(blob->bytes, bytes, len);
    return blob;
}

struct fly_blob *fly_blob_hold(struct fly_blob *blob)
{
    if (blob)
        atomic_fetch_add_explicit(&blob->holders, 1, memory_order_relaxed); /* its holder keeps it alive meanwhile */
    return blob;
}

void fly_blob_drop(struct fly_blob **blob)
{
    /* acq_rel: whoever frees it has seen what the others did with it. */
    if (*blob && atomic_fetch_sub_explicit(&(*blob)->holders, 1, memory_order_acq_rel) == 1)
        free(*blob);
    *blob = NULL;
}

struct fly_blob *fly_blob_of_text(struct fly_text *text)
{
    struct fly_blob *blob = text->failed ? NULL : fly_blob_make(text->bytes, text->len);

    fly_text_clear(text);
    return blob;
}

/* ---- bundles ------------------------------------------------------------------------------------- */

static size_t padded(size_t len)
{
    return (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t item_size(const char *dtype)
{
    return (size_t)(dtype[strlen(dtype) - 1] - '0'); /* one digit is enough for all of the wire's */
}

/* SIZE_MAX: more than can be counted, which only a shape that is none makes. */
static size_t part_len(const struct fly_bundle_part *part)
{
    size_t len = item_size(part->dtype);

    for (int32_t d = 0; d < part->n_dims; d++)
        if (__builtin_mul_overflow(len, (size_t)part->shape[d], &len))
            return SIZE_MAX;
    return len;
}

static void list_payloads(struct fly_json *json, const struct fly_bundle_part *parts, int32_t n_parts)
{
    fly_json_key(json, "payloads");
    fly_json_array(json);
    for (int32_t i = 0; i < n_parts; i++) {
        fly_json_object(json);
        fly_json_key(json, "dtype");
        fly_json_str(json, parts[i].dtype);
        fly_json_key(json, "shape");
        fly_json_row(json);
        for (int32_t d = 0; d < parts[i].n_dims; d++)
            fly_json_int(json, parts[i].shape[d]);
        fly_json_end(json);
        fly_json_end(json);
    }
    fly_json_end(json);
}

struct fly_blob *fly_bundle_make(struct fly_json *json, const struct fly_bundle_part *parts, int32_t n_parts)
{
    struct fly_text *text = json->text;
    struct fly_blob *blob = NULL;
    size_t len, at;

    list_payloads(json, parts, n_parts);
    fly_json_end(json);
    len = at = padded(4 + text->len);
    for (int32_t i = 0; i < n_parts; i++)
        len += padded(part_len(&parts[i]));
    if (!text->failed)
        blob = blob_room(len);
    if (blob) {
        uint32_t n = (uint32_t)text->len;

        blob->is_bundle = 1;
        memcpy(blob->bytes, &n, 4);
        memcpy(blob->bytes + 4, text->bytes, text->len);
        memset(blob->bytes + 4 + text->len, 0, at - 4 - text->len);
        for (int32_t i = 0; i < n_parts; i++) {
            size_t bytes = part_len(&parts[i]);

            if (bytes)
                memcpy(blob->bytes + at, parts[i].bytes, bytes);
            memset(blob->bytes + at + bytes, 0, padded(bytes) - bytes);
            at += padded(bytes);
        }
    }
    fly_text_clear(text);
    return blob;
}

/* ---- msgpack to JSON ----------------------------------------------------------------------------- */

static void value_list(struct fly_json *json, struct fly_value list)
{
    struct fly_value_iter it = {0};
    struct fly_value item, key;

    fly_json_array(json);
    while (fly_value_next(list, &it, &key, &item))
        fly_json_value(json, item);
    fly_json_end(json);
}

void fly_json_value(struct fly_json *json, struct fly_value value)
{
    const char *text;
    size_t len;
    int64_t number;
    uint64_t large;
    double real;
    int truth;

    switch (fly_value_kind(value)) {
    case FLY_KIND_NIL:
        fly_json_null(json);
        break;
    case FLY_KIND_BOOL:
        fly_value_bool(value, &truth);
        fly_json_bool(json, truth);
        break;
    case FLY_KIND_INT:
        if (fly_value_int(value, &number))
            fly_json_int(json, number);
        else if (fly_value_uint(value, &large))
            fly_json_uint(json, large);
        break;
    case FLY_KIND_FLOAT:
        if (fly_value_f64(value, &real))
            fly_json_f64(json, real);
        else
            fly_json_null(json);
        break;
    case FLY_KIND_STR:
        fly_value_str(value, &text, &len);
        fly_json_strn(json, text, len);
        break;
    case FLY_KIND_ARRAY:
        value_list(json, value);
        break;
    case FLY_KIND_MAP:
        fly_json_object(json);
        fly_json_entries(json, value, NULL);
        fly_json_end(json);
        break;
    }
}

static int is_among(const char *const *names, const char *text, size_t len)
{
    for (; names && *names; names++)
        if (strlen(*names) == len && memcmp(*names, text, len) == 0)
            return 1;
    return 0;
}

void fly_json_entries(struct fly_json *json, struct fly_value map, const char *const *without)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    char name[FLY_STRING_MAX + 1];
    const char *text;
    size_t len;

    while (fly_value_next(map, &it, &key, &value)) {
        if (!fly_value_str(key, &text, &len) || len >= sizeof name || is_among(without, text, len))
            continue;
        memcpy(name, text, len);
        name[len] = '\0';
        fly_json_key(json, name);
        fly_json_value(json, value);
    }
}

/* ---- JSON to msgpack ----------------------------------------------------------------------------- */

/* FLY_ERANGE, with words, where it is nested deeper than the wire allows below the request itself. */
static int pack_json(struct fly_pack *pack, const json_t *value, int depth)
{
    const char *key;
    json_t *item;
    size_t i;
    int rc = FLY_OK;

    if (depth >= FLY_NESTING_MAX && (json_is_object(value) || json_is_array(value)))
        return fly_fail(FLY_ERANGE, "args are nested deeper than %d", FLY_NESTING_MAX);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        fly_pack_map(pack, (uint32_t)json_object_size(value));
        json_object_foreach((json_t *)value, key, item) {
            fly_pack_str(pack, key);
            if (rc == FLY_OK)
                rc = pack_json(pack, item, depth + 1);
        }
        return rc;
    case JSON_ARRAY:
        fly_pack_array(pack, (uint32_t)json_array_size(value));
        json_array_foreach(value, i, item)
            if (rc == FLY_OK)
                rc = pack_json(pack, item, depth + 1);
        return rc;
    case JSON_STRING:
        fly_pack_strn(pack, json_string_value(value), json_string_length(value));
        return FLY_OK;
    case JSON_INTEGER:
        fly_pack_int(pack, json_integer_value(value));
        return FLY_OK;
    case JSON_REAL:
        fly_pack_f64(pack, json_real_value(value));
        return FLY_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        fly_pack_bool(pack, json_is_true(value));
        return FLY_OK;
    case JSON_NULL:
        break;
    }
    fly_pack_nil(pack);
    return FLY_OK;
}

int fly_request_of_json(struct fly_pack *pack, uint64_t id, const char *text, size_t len)
{
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error), *op, *args;
    int rc;

    if (!root)
        return fly_fail(FLY_ERANGE, "line %d, column %d: %.100s", error.line, error.column, error.text);
    op = json_object_get(root, "op");
    args = json_object_get(root, "args");
    if (!json_is_object(root) || !json_is_string(op) || (args && !json_is_object(args) && !json_is_null(args))) {
        rc = fly_fail(FLY_ERANGE, "a request is {\"op\": \"...\", \"args\": {...}}");
    } else {
        fly_request_begin(pack, id, json_string_value(op)); /* jansson lets no NUL in */
        if (args) {
            rc = pack_json(pack, args, 1);
        } else {
            fly_pack_nil(pack);
            rc = FLY_OK;
        }
        if (rc == FLY_OK && pack->full)
            rc = fly_fail(FLY_ENOMEM, "the request is longer than a message may be, %d bytes", FLY_HEADER_MAX);
        /* What the plugin could not read it would answer without our id. */
        if (rc == FLY_OK && fly_wire_scan(pack->bytes, pack->len) != FLY_REFUSE_NONE)
            rc = FLY_ERANGE;
    }
    json_decref(root);
    return rc;
}

void fly_request_pack(struct fly_pack *pack, uint64_t id, const char *op, const struct fly_part *args)
{
    fly_request_begin(pack, id, op);
    if (args)
        fly_pack_raw(pack, args->bytes, args->len);
    else
        fly_pack_nil(pack);
}

/* ---- replies ------------------------------------------------------------------------------------- */

/* The integers of a list at most `cap` long; how many there are, 0 when it is none. */
static int32_t numbers(struct fly_value map, const char *key, int64_t *out, int32_t cap)
{
    struct fly_value_iter it = {0};
    struct fly_value list, name, item;
    int32_t n = 0;

    if (!fly_value_get(map, key, &list) || fly_value_kind(list) != FLY_KIND_ARRAY)
        return 0;
    while (fly_value_next(list, &it, &name, &item)) {
        if (n == cap || !fly_value_int(item, &out[n]) || out[n] < 0 || out[n] > INT32_MAX)
            return 0;
        n++;
    }
    return n;
}

/* What payload i of that op is, by its result; a shape that does not give its length is put right by the caller. */
static void guess_shape(struct fly_bundle_part *part, const char *op, struct fly_value result, int32_t i, size_t len)
{
    static const char *const of_map[] = {"<i4", "<f4", "<u4", "<i4"};
    struct fly_value elements;
    int64_t box[4];

    part->dtype = "|u1";
    part->n_dims = 1;
    part->shape[0] = (int64_t)len;
    if (fly_value_kind(result) != FLY_KIND_MAP)
        return;
    if (strcmp(op, "map.get") == 0 && i < 4 && numbers(result, "bbox", box, 4) == 4) {
        part->dtype = of_map[i];
        part->n_dims = 2;
        part->shape[0] = box[2];
        part->shape[1] = box[3];
    } else if (strcmp(op, "image.get") == 0 && numbers(result, "shape", box, 2) == 2) {
        part->dtype = "<f4";
        part->n_dims = 2;
        part->shape[0] = box[0];
        part->shape[1] = box[1];
    } else if (strcmp(op, "elements.get") == 0 && numbers(result, "grid_shape", box, 2) == 2 &&
               fly_value_get(result, "elements", &elements)) {
        part->dtype = "<f4";
        part->n_dims = 3;
        part->shape[0] = fly_value_count(elements);
        part->shape[1] = box[0];
        part->shape[2] = box[1];
    } else if ((strcmp(op, "crystallinity.get") == 0 && numbers(result, "grid_shape", box, 2) == 2) ||
               (strcmp(op, "dose.get") == 0 && numbers(result, "full_shape", box, 2) == 2)) {
        part->dtype = "<f4";
        part->n_dims = 2;
        part->shape[0] = box[0];
        part->shape[1] = box[1];
    } else if (strcmp(op, "chip.get") == 0) {
        part->dtype = "<u4";
        part->shape[0] = (int64_t)(len / 4);
    } else if (strcmp(op, "region.get") == 0) {
        part->dtype = "<u8";
        part->shape[0] = (int64_t)(len / 8);
    }
}

int fly_reply_to_json(struct fly_blob **out, const char *op, struct fly_value header, const struct fly_part *payloads,
                      int32_t n_payloads)
{
    struct fly_bundle_part parts[FLY_BUNDLE_PAYLOADS];
    struct fly_value ok, result, error;
    struct fly_text text;
    struct fly_json json;
    int good;

    if (!fly_value_get(header, "ok", &ok) || !fly_value_bool(ok, &good) ||
        (good ? !fly_value_get(header, "result", &result) : !fly_value_get(header, "error", &error)))
        return fly_fail(FLY_EWIRE, "a reply without ok, result or error");
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "ok");
    fly_json_bool(&json, good);
    fly_json_key(&json, good ? "result" : "error");
    fly_json_value(&json, good ? result : error);
    if (good && n_payloads > 0) {
        if (n_payloads > FLY_BUNDLE_PAYLOADS)
            n_payloads = FLY_BUNDLE_PAYLOADS;
        for (int32_t i = 0; i < n_payloads; i++) {
            parts[i] = (struct fly_bundle_part){.bytes = payloads[i].bytes};
            guess_shape(&parts[i], op, result, i, payloads[i].len);
            if (part_len(&parts[i]) != payloads[i].len)
                parts[i] = (struct fly_bundle_part){payloads[i].bytes, "|u1", 1, {(int64_t)payloads[i].len}};
        }
        *out = fly_bundle_make(&json, parts, n_payloads);
    } else {
        fly_json_end(&json);
        *out = fly_blob_of_text(&text);
    }
    fly_text_fini(&text);
    return *out ? FLY_OK : fly_fail(FLY_ENOMEM, "no memory for the reply");
}
