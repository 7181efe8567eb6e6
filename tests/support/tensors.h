/* tests/support/tensors.h: safetensors files made in memory, sound ones and broken ones. */
#ifndef FLY_TESTS_TENSORS_H
#define FLY_TESTS_TENSORS_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    unsigned char *at;
    size_t len;
};

/* A file of this header and data_len bytes of data. free(at) */
static inline struct bytes tensors_file(const char *header, const void *data, size_t data_len)
{
    size_t header_len = strlen(header);
    struct bytes file = {.len = 8 + header_len + data_len};

    file.at = malloc(file.len);
    if (!file.at)
        abort();
    for (int i = 0; i < 8; i++)
        file.at[i] = (unsigned char)(header_len >> 8 * i);
    memcpy(file.at + 8, header, header_len);
    if (data_len)
        memcpy(file.at + 8 + header_len, data, data_len);
    return file;
}

/* A file that grows tensor by tensor. */
struct tensors {
    char *header;
    size_t header_len, header_cap;
    unsigned char *data;
    size_t data_len;
};

static inline void tensors_print(struct tensors *t, const char *format, ...)
{
    va_list args;

    if (t->header_cap - t->header_len < 1024) {
        t->header_cap += 65536;
        t->header = realloc(t->header, t->header_cap);
        if (!t->header)
            abort();
    }
    va_start(args, format);
    t->header_len += (size_t)vsnprintf(t->header + t->header_len, t->header_cap - t->header_len, format,
                                       args);
    va_end(args);
}

/* Values of `shape` floats; the caller's. */
static inline void tensors_add(struct tensors *t, const char *name, int32_t dims, const int64_t *shape,
                               const float *values)
{
    size_t items = 1, begin = t->data_len;

    tensors_print(t, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->header_len ? "," : "{", name);
    for (int32_t i = 0; i < dims; i++) {
        tensors_print(t, "%s%lld", i ? "," : "", (long long)shape[i]);
        items *= (size_t)shape[i];
    }
    t->data_len += items * sizeof(float);
    tensors_print(t, "],\"data_offsets\":[%zu,%zu]}", begin, t->data_len);
    t->data = realloc(t->data, t->data_len);
    if (!t->data)
        abort();
    memcpy(t->data + begin, values, items * sizeof(float));
}

/* The file; t is emptied. */
static inline struct bytes tensors_finish(struct tensors *t)
{
    struct bytes file;

    tensors_print(t, "}");
    file = tensors_file(t->header, t->data, t->data_len);
    free(t->header);
    free(t->data);
    *t = (struct tensors){0};
    return file;
}

/* A whole file from disk; at is NULL when it is not there. */
static inline struct bytes bytes_of_file(const char *path)
{
    struct bytes file = {0};
    FILE *from = fopen(path, "rb");
    long len;

    if (!from)
        return file;
    fseek(from, 0, SEEK_END);
    len = ftell(from);
    rewind(from);
    file.len = (size_t)len;
    file.at = malloc(file.len ? file.len : 1);
    if (!file.at || fread(file.at, 1, file.len, from) != file.len)
        abort();
    fclose(from);
    return file;
}

#endif
