#include "engine/embed/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/tensor_type.h"

struct pair {
    const char *key;
    const char *value;
};

struct fly_safetensors {
    char name[128];
    char *text; /* every decoded string, each with its NUL */
    struct fly_tensor *tensors;
    size_t tensor_count, tensor_cap;
    struct pair *metadata;
    size_t metadata_count, metadata_cap;
};

/* Where reading the header stands. */
struct reader {
    struct fly_safetensors *file;
    const unsigned char *at, *begin, *end;
    char *text; /* where the next decoded string goes: never longer than its source, quotes included */
    const unsigned char *data;
    uint64_t data_len;
};

static int broken(const struct reader *r, const char *expected)
{
    return fly_fail(FLY_EWIRE, "weights %s: header byte %zu: expected %s", r->file->name,
                    (size_t)(r->at - r->begin), expected);
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

/* The next byte that is not space, left where it is; 0 at the end. */
static int peek(struct reader *r)
{
    skip_space(r);
    return r->at < r->end ? *r->at : 0;
}

static int take(struct reader *r, char byte, const char *expected)
{
    if (peek(r) != byte)
        return broken(r, expected);
    r->at++;
    return FLY_OK;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(struct reader *r)
{
    int32_t value = 0;

    if (r->end - r->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = r->at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    r->at += 4;
    return value;
}

/* After \u: the code point as UTF-8. No NUL, since our strings end there; no lone surrogate. */
static int take_code_point(struct reader *r)
{
    int32_t code = hex4(r);
    char *t = r->text;

    if (code >= 0xD800 && code < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        int32_t low;

        r->at += 2;
        low = hex4(r);
        code = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : -1;
    }
    if (code <= 0 || (code >= 0xD800 && code < 0xE000))
        return broken(r, "a code point after \\u");
    if (code < 0x80) {
        *t++ = (char)code;
    } else if (code < 0x800) {
        *t++ = (char)(0xC0 | code >> 6);
        *t++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *t++ = (char)(0xE0 | code >> 12);
        *t++ = (char)(0x80 | (code >> 6 & 0x3F));
        *t++ = (char)(0x80 | (code & 0x3F));
    } else {
        *t++ = (char)(0xF0 | code >> 18);
        *t++ = (char)(0x80 | (code >> 12 & 0x3F));
        *t++ = (char)(0x80 | (code >> 6 & 0x3F));
        *t++ = (char)(0x80 | (code & 0x3F));
    }
    r->text = t;
    return FLY_OK;
}

static int take_string(struct reader *r, const char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int rc = take(r, '"', "a string");

    *out = r->text;
    while (rc == FLY_OK) {
        unsigned char c = r->at < r->end ? *r->at : 0;
        const char *escape;

        if (c < 0x20)
            return broken(r, "the rest of a string");
        r->at++;
        if (c == '"')
            break;
        if (c != '\\') {
            *r->text++ = (char)c;
            continue;
        }
        c = r->at < r->end ? *r->at : 0;
        if (c == 'u') {
            r->at++;
            rc = take_code_point(r);
            continue;
        }
        escape = c ? strchr(from, c) : NULL;
        if (!escape)
            return broken(r, "an escape that JSON has");
        r->at++;
        *r->text++ = to[escape - from];
    }
    *r->text++ = '\0';
    return rc;
}

/* A whole number 0 .. 2^53, the range in which all writers of JSON agree. */
static int take_count(struct reader *r, int64_t *out)
{
    int64_t value = 0;
    int c = peek(r);

    if (c < '0' || c > '9')
        return broken(r, "a whole number, not negative");
    if (c == '0' && r->end - r->at > 1 && r->at[1] >= '0' && r->at[1] <= '9')
        return broken(r, "a number without leading zeros");
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        value = value * 10 + (*r->at - '0');
        if (value > INT64_C(1) << 53)
            return broken(r, "a number of at most 2^53");
    }
    *out = value;
    return FLY_OK;
}

/* [n, n, ...], at most cap of them. */
static int take_counts(struct reader *r, int64_t *out, int32_t cap, int32_t *count)
{
    int rc = take(r, '[', "a list of whole numbers");

    *count = 0;
    if (rc == FLY_OK && peek(r) == ']') {
        r->at++;
        return FLY_OK;
    }
    while (rc == FLY_OK) {
        if (*count == cap)
            return broken(r, "fewer numbers in this list");
        rc = take_count(r, &out[*count]);
        if (rc < 0)
            return rc;
        ++*count;
        if (peek(r) == ']') {
            r->at++;
            return FLY_OK;
        }
        rc = take(r, ',', "',' or ']'");
    }
    return rc;
}

/* Between two members of an object: 1 when another follows, 0 when it ended. */
static int more_members(struct reader *r, int first)
{
    int c = peek(r);

    if (c == '}') {
        r->at++;
        return 0;
    }
    if (first)
        return 1;
    if (c != ',')
        return broken(r, "',' or '}'");
    r->at++;
    return 1;
}

/* The list, with room for one more item; NULL when there is no memory (the list stands). */
static void *grown(void *items, size_t count, size_t *cap, size_t size)
{
    size_t wanted = *cap ? *cap * 2 : 64;
    void *more;

    if (count < *cap)
        return items;
    more = realloc(items, wanted * size);
    if (more)
        *cap = wanted;
    else
        (void)fly_fail(FLY_ENOMEM, "weights: no memory for %zu entries", wanted);
    return more;
}

static int take_metadata(struct reader *r)
{
    struct fly_safetensors *file = r->file;
    int rc = take(r, '{', "a map of strings");
    int more, first = 1;

    if (rc < 0)
        return rc;
    while ((more = more_members(r, first)) > 0) {
        struct pair pair, *pairs;

        first = 0;
        rc = take_string(r, &pair.key);
        if (rc == FLY_OK)
            rc = take(r, ':', "':'");
        if (rc == FLY_OK)
            rc = take_string(r, &pair.value);
        if (rc < 0)
            return rc;
        pairs = grown(file->metadata, file->metadata_count, &file->metadata_cap, sizeof *pairs);
        if (!pairs)
            return FLY_ENOMEM;
        file->metadata = pairs;
        pairs[file->metadata_count++] = pair;
    }
    return more;
}

/* The parts of an entry agree with each other and with the data's length. */
static int check_tensor(const struct reader *r, struct fly_tensor *tensor, const int64_t *range)
{
    const char *file = r->file->name, *name = tensor->name;
    const struct fly_tensor_type *type = fly_tensor_type_find(tensor->dtype);

    if (!type)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: dtype %.16s is unknown", file, name,
                        tensor->dtype);
    tensor->dtype = type->name;
    tensor->items = 1;
    for (int32_t i = 0; i < tensor->dims; i++)
        if (__builtin_mul_overflow(tensor->items, tensor->shape[i], &tensor->items) ||
            tensor->items > INT64_MAX / 8)
            return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: its shape has too many items", file,
                            name);
    if (range[0] > range[1] || (uint64_t)range[1] > r->data_len)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: bytes %lld .. %lld, the data has %llu",
                        file, name, (long long)range[0], (long long)range[1],
                        (unsigned long long)r->data_len);
    if (range[1] - range[0] != tensor->items * type->bytes)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: %lld bytes, %lld items of %s need %lld",
                        file, name, (long long)(range[1] - range[0]), (long long)tensor->items,
                        type->name, (long long)(tensor->items * type->bytes));
    tensor->data = r->data + range[0];
    return FLY_OK;
}

static int take_tensor(struct reader *r, const char *name)
{
    struct fly_safetensors *file = r->file;
    struct fly_tensor tensor = {.name = name}, *tensors;
    int64_t range[2];
    int32_t range_len = 0;
    int seen_shape = 0, more, first = 1;
    int rc = take(r, '{', "a tensor's {dtype, shape, data_offsets}");

    if (rc < 0)
        return rc;
    while ((more = more_members(r, first)) > 0) {
        const char *key;

        first = 0;
        rc = take_string(r, &key);
        if (rc == FLY_OK)
            rc = take(r, ':', "':'");
        if (rc < 0)
            return rc;
        if (strcmp(key, "dtype") == 0 && !tensor.dtype)
            rc = take_string(r, &tensor.dtype);
        else if (strcmp(key, "shape") == 0 && !seen_shape++)
            rc = take_counts(r, tensor.shape, FLY_TENSOR_DIMS, &tensor.dims);
        else if (strcmp(key, "data_offsets") == 0 && !range_len)
            rc = take_counts(r, range, 2, &range_len);
        else
            rc = broken(r, "one each of dtype, shape, data_offsets");
        if (rc < 0)
            return rc;
    }
    if (more < 0)
        return more;
    if (!tensor.dtype || !seen_shape || range_len != 2)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: needs dtype, shape and two data_offsets",
                        file->name, name);
    rc = check_tensor(r, &tensor, range);
    if (rc < 0)
        return rc;
    tensors = grown(file->tensors, file->tensor_count, &file->tensor_cap, sizeof *tensors);
    if (!tensors)
        return FLY_ENOMEM;
    file->tensors = tensors;
    tensors[file->tensor_count++] = tensor;
    return FLY_OK;
}

static int take_header(struct reader *r)
{
    int seen_metadata = 0, more, first = 1;
    int rc = take(r, '{', "'{'");

    if (rc < 0)
        return rc;
    while ((more = more_members(r, first)) > 0) {
        const char *name;

        first = 0;
        rc = take_string(r, &name);
        if (rc == FLY_OK)
            rc = take(r, ':', "':'");
        if (rc < 0)
            return rc;
        if (strcmp(name, "__metadata__") == 0)
            rc = seen_metadata++ ? broken(r, "__metadata__ once") : take_metadata(r);
        else
            rc = take_tensor(r, name);
        if (rc < 0)
            return rc;
    }
    if (more < 0)
        return more;
    return peek(r) || r->at < r->end ? broken(r, "nothing after the header's '}'") : FLY_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fly_tensor *)a)->name, ((const struct fly_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct fly_tensor *one = a, *two = b;

    if (one->data != two->data)
        return one->data < two->data ? -1 : 1;
    if (one->items != two->items) /* an empty tensor comes before one that begins where it stands */
        return one->items < two->items ? -1 : 1;
    return strcmp(one->name, two->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static int64_t tensor_bytes(const struct fly_tensor *tensor)
{
    return tensor->items * fly_tensor_type_find(tensor->dtype)->bytes;
}

/* Names are unique, and the ranges cover the data once. */
static int check_whole(const struct reader *r)
{
    struct fly_safetensors *file = r->file;
    const unsigned char *end = r->data;

    if (file->tensor_count)
        qsort(file->tensors, file->tensor_count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0)
            return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s is there twice", file->name,
                            file->tensors[i].name);
    if (file->metadata_count)
        qsort(file->metadata, file->metadata_count, sizeof *file->metadata, by_key);
    for (size_t i = 1; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i - 1].key, file->metadata[i].key) == 0)
            return fly_fail(FLY_EWIRE, "weights %s: __metadata__ has %.80s twice", file->name,
                            file->metadata[i].key);
    if (file->tensor_count)
        qsort(file->tensors, file->tensor_count, sizeof *file->tensors, by_place);
    for (size_t i = 0; i < file->tensor_count; i++) {
        const struct fly_tensor *tensor = &file->tensors[i];

        if (tensor->data < end)
            return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s overlaps the one before it by %lld bytes",
                            file->name, tensor->name, (long long)(end - tensor->data));
        if (tensor->data > end)
            return fly_fail(FLY_EWIRE, "weights %s: %lld bytes before tensor %.80s belong to none",
                            file->name, (long long)(tensor->data - end), tensor->name);
        end = tensor->data + tensor_bytes(tensor);
    }
    if (end != r->data + r->data_len)
        return fly_fail(FLY_EWIRE, "weights %s: its last %lld bytes belong to no tensor", file->name,
                        (long long)(r->data + r->data_len - end));
    return FLY_OK;
}

int fly_safetensors_open(struct fly_safetensors **out, const void *bytes, size_t len, const char *name)
{
    struct fly_safetensors *file;
    struct reader r = {0};
    uint64_t header_len = 0;
    int rc;

    if (len < 8)
        return fly_fail(FLY_EWIRE, "weights %.100s: %zu bytes, the length of the header alone takes 8",
                        name, len);
    for (int i = 7; i >= 0; i--)
        header_len = header_len << 8 | ((const unsigned char *)bytes)[i];
    if (header_len > FLY_SAFETENSORS_HEADER_CAP)
        return fly_fail(FLY_EWIRE, "weights %.100s: a header of %llu bytes, at most %d are read", name,
                        (unsigned long long)header_len, FLY_SAFETENSORS_HEADER_CAP);
    if (header_len > len - 8)
        return fly_fail(FLY_EWIRE, "weights %.100s: truncated, %zu bytes of a header of %llu", name,
                        len - 8, (unsigned long long)header_len);

    file = calloc(1, sizeof *file);
    if (file)
        file->text = malloc((size_t)header_len + 1);
    if (!file || !file->text) {
        fly_safetensors_close(&file);
        return fly_fail(FLY_ENOMEM, "weights %.100s: no memory for its header", name);
    }
    snprintf(file->name, sizeof file->name, "%s", name);
    r.file = file;
    r.text = file->text;
    r.at = r.begin = (const unsigned char *)bytes + 8;
    r.end = r.begin + header_len;
    r.data = r.end;
    r.data_len = len - 8 - header_len;
    rc = take_header(&r);
    if (rc == FLY_OK)
        rc = check_whole(&r);
    if (rc < 0) {
        fly_safetensors_close(&file);
        return rc;
    }
    *out = file;
    return FLY_OK;
}

void fly_safetensors_close(struct fly_safetensors **file)
{
    if (!*file)
        return;
    free((*file)->text);
    free((*file)->tensors);
    free((*file)->metadata);
    free(*file);
    *file = NULL;
}

int32_t fly_safetensors_count(const struct fly_safetensors *file)
{
    return (int32_t)file->tensor_count;
}

const struct fly_tensor *fly_safetensors_at(const struct fly_safetensors *file, int32_t at)
{
    FLY_ASSERT(at >= 0 && (size_t)at < file->tensor_count);
    return &file->tensors[at];
}

const struct fly_tensor *fly_safetensors_find(const struct fly_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *fly_safetensors_metadata(const struct fly_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}

/* "(64, 3, 3, 3)" */
static const char *shape_text(char *text, size_t cap, int32_t dims, const int64_t *shape)
{
    size_t used = 0;

    for (int32_t i = 0; i < dims && used < cap; i++)
        used += (size_t)snprintf(text + used, cap - used, "%s%lld", i ? ", " : "(",
                                 (long long)shape[i]);
    if (used < cap)
        snprintf(text + used, cap - used, "%s", dims ? ")" : "()");
    return text;
}

int fly_safetensors_read(const struct fly_safetensors *file, const char *name, int32_t dims,
                         const int64_t *shape, float *out)
{
    const struct fly_tensor *tensor = fly_safetensors_find(file, name);
    const struct fly_tensor_type *type;
    char is[128], wanted[128];
    int same;

    shape_text(wanted, sizeof wanted, dims, shape);
    if (!tensor)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s %s is missing", file->name, name, wanted);
    same = tensor->dims == dims;
    for (int32_t i = 0; same && i < dims; i++)
        same = tensor->shape[i] == shape[i];
    if (!same)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s is %s, the network needs %s", file->name,
                        name, shape_text(is, sizeof is, tensor->dims, tensor->shape), wanted);
    type = fly_tensor_type_find(tensor->dtype);
    if (!type->as_float)
        return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s is %s, the network needs F16, BF16, F32 "
                        "or F64", file->name, name, tensor->dtype);
    for (int64_t i = 0; i < tensor->items; i++) {
        out[i] = type->as_float(tensor->data + i * type->bytes);
        if (!isfinite(out[i]))
            return fly_fail(FLY_EWIRE, "weights %s: tensor %.80s: item %lld is not a finite float",
                            file->name, name, (long long)i);
    }
    return FLY_OK;
}
