/* Any bytes: a safetensors file is refused with FLY_EWIRE and a message, or it is one: its tensors tile
 * the data, are found by name, and read as finite floats or are refused; and written out again from what
 * was understood it is understood the same. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embed/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(int holds)
{
    if (!holds)
        abort();
}

/* Bytes of tensor i: up to the next one, or to the end. */
static size_t span(const struct fly_safetensors *file, int32_t i, const unsigned char *end)
{
    const unsigned char *next =
        i + 1 < fly_safetensors_count(file) ? fly_safetensors_at(file, i + 1)->data : end;

    return (size_t)(next - fly_safetensors_at(file, i)->data);
}

static char *put_string(char *at, const char *text)
{
    *at++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            at += sprintf(at, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            *at++ = *text;
    }
    *at++ = '"';
    return at;
}

/* The same tensors as another file's bytes. free() */
static unsigned char *write_again(const struct fly_safetensors *file, const unsigned char *end,
                                  size_t *out_len)
{
    size_t cap = 64, offset = 0, header_len;
    unsigned char *out;
    char *at;

    for (int32_t i = 0; i < fly_safetensors_count(file); i++)
        cap += 6 * strlen(fly_safetensors_at(file, i)->name) + 512 + span(file, i, end);
    out = malloc(cap);
    must(out != NULL);
    at = (char *)out + 8;
    *at++ = '{';
    for (int32_t i = 0; i < fly_safetensors_count(file); i++) {
        const struct fly_tensor *tensor = fly_safetensors_at(file, i);

        if (i)
            *at++ = ',';
        at = put_string(at, tensor->name);
        at += sprintf(at, ":{\"dtype\":\"%s\",\"shape\":[", tensor->dtype);
        for (int32_t d = 0; d < tensor->dims; d++)
            at += sprintf(at, "%s%lld", d ? "," : "", (long long)tensor->shape[d]);
        at += sprintf(at, "],\"data_offsets\":[%zu,%zu]}", offset, offset + span(file, i, end));
        offset += span(file, i, end);
    }
    *at++ = '}';
    header_len = (size_t)(at - (char *)out) - 8;
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)((uint64_t)header_len >> 8 * i);
    if (offset)
        memcpy(at, fly_safetensors_at(file, 0)->data, offset);
    *out_len = 8 + header_len + offset;
    return out;
}

static void compare(const struct fly_safetensors *a, const unsigned char *a_end,
                    const struct fly_safetensors *b, const unsigned char *b_end)
{
    must(fly_safetensors_count(a) == fly_safetensors_count(b));
    for (int32_t i = 0; i < fly_safetensors_count(a); i++) {
        const struct fly_tensor *one = fly_safetensors_at(a, i), *two = fly_safetensors_at(b, i);
        size_t len = span(a, i, a_end);

        must(strcmp(one->name, two->name) == 0 && strcmp(one->dtype, two->dtype) == 0);
        must(one->dims == two->dims && one->items == two->items);
        for (int32_t d = 0; d < one->dims; d++)
            must(one->shape[d] == two->shape[d]);
        must(len == span(b, i, b_end) && memcmp(one->data, two->data, len) == 0);
    }
}

static void read_all(const struct fly_safetensors *file)
{
    for (int32_t i = 0; i < fly_safetensors_count(file); i++) {
        const struct fly_tensor *tensor = fly_safetensors_at(file, i);
        float *out = malloc(tensor->items ? (size_t)tensor->items * sizeof *out : 1);
        int rc;

        must(out && fly_safetensors_find(file, tensor->name) == tensor);
        rc = fly_safetensors_read(file, tensor->name, tensor->dims, tensor->shape, out);
        must(rc == FLY_OK || (rc == FLY_EWIRE && *fly_fail_text()));
        for (int64_t k = 0; rc == FLY_OK && k < tensor->items; k++)
            must(isfinite(out[k]));
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fly_safetensors *file = NULL, *again = NULL;
    int rc = fly_safetensors_open(&file, bytes, len, "fuzz");
    unsigned char *copy;
    size_t copy_len;

    if (rc < 0) {
        must(rc == FLY_EWIRE && !file && *fly_fail_text());
        return 0;
    }
    read_all(file);
    copy = write_again(file, bytes + len, &copy_len);
    if (copy_len <= FLY_SAFETENSORS_HEADER_CAP) { /* escapes may make a header longer than it was */
        must(fly_safetensors_open(&again, copy, copy_len, "again") == FLY_OK);
        compare(file, bytes + len, again, copy + copy_len);
        fly_safetensors_close(&again);
    }
    free(copy);
    fly_safetensors_close(&file);
    return 0;
}
