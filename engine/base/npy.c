#include "engine/base/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[FLY_NPY_TYPES] = {
    {"<u1", 1}, {"<u2", 2}, {"<u4", 4}, {"<i2", 2}, {"<i4", 4}, {"<f4", 4},
    {"<f8", 8}, {"<i8", 8}, {"<u8", 8}, {"|b1", 1}, {"|i1", 1},
};

size_t fly_npy_type_size(enum fly_npy_type type)
{
    return types[type].size;
}

static int type_of(const char *descr, size_t len)
{
    if (len != 3)
        return -1;
    for (int i = 0; i < FLY_NPY_TYPES; i++) {
        /* One byte has no order: numpy writes '|' there, others '<'. */
        int order_free = types[i].size == 1 && (descr[0] == '|' || descr[0] == '<');

        if ((descr[0] == types[i].name[0] || order_free) && memcmp(descr + 1, types[i].name + 1, 2) == 0)
            return i;
    }
    return -1;
}

/* The value after 'key': inside the header's Python dictionary. */
static const char *find_value(const char *header, const char *key)
{
    char quoted[32];
    const char *at;

    snprintf(quoted, sizeof quoted, "'%s'", key);
    at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    while (*at == ' ' || *at == ':')
        at++;
    return at;
}

static int parse_shape(struct fly_npy *out, const char *at, const char *name)
{
    out->dims = 0;
    out->items = 1;
    if (*at++ != '(')
        return fly_fail(FLY_EWIRE, "%s: .npy shape is not a tuple", name);
    for (;;) {
        char *end;

        while (*at == ' ' || *at == ',')
            at++;
        if (*at == ')')
            return FLY_OK;
        if (*at < '0' || *at > '9')
            return fly_fail(FLY_EWIRE, "%s: .npy shape holds something that is no number", name);
        long long n = strtoll(at, &end, 10);

        if (out->dims == FLY_NPY_DIMS)
            return fly_fail(FLY_EWIRE, "%s: more than %d dimensions", name, FLY_NPY_DIMS);
        if (n > INT64_C(1) << 40 || (n > 0 && out->items > (INT64_C(1) << 40) / n))
            return fly_fail(FLY_EWIRE, "%s: .npy shape of more than 2^40 items", name);
        out->shape[out->dims++] = n;
        out->items *= n;
        at = *end == 'L' ? end + 1 : end;
    }
}

int fly_npy_view(struct fly_npy *out, const void *bytes, size_t len, const char *name)
{
    const unsigned char *b = bytes;
    char header[4096];
    size_t start, header_len;
    int rc;

    if (len < 12 || memcmp(b, "\x93NUMPY", 6) != 0)
        return fly_fail(FLY_EWIRE, "%s: not a .npy file", name);
    if (b[6] == 1) {
        header_len = b[8] | (size_t)b[9] << 8;
        start = 10;
    } else if (b[6] == 2 || b[6] == 3) {
        header_len = b[8] | (size_t)b[9] << 8 | (size_t)b[10] << 16 | (size_t)b[11] << 24;
        start = 12;
    } else {
        return fly_fail(FLY_EWIRE, "%s: .npy format %d.%d, known are 1, 2 and 3", name, b[6], b[7]);
    }
    if (header_len >= sizeof header || header_len > len - start)
        return fly_fail(FLY_EWIRE, "%s: .npy header of %zu bytes does not fit", name, header_len);
    memcpy(header, b + start, header_len);
    header[header_len] = '\0';

    const char *descr = find_value(header, "descr");
    const char *order = find_value(header, "fortran_order");
    const char *shape = find_value(header, "shape");

    if (!descr || !order || !shape || *descr != '\'')
        return fly_fail(FLY_EWIRE, "%s: .npy header lacks descr, fortran_order or shape", name);
    const char *descr_end = strchr(descr + 1, '\'');
    int type = descr_end ? type_of(descr + 1, (size_t)(descr_end - descr - 1)) : -1;

    if (type < 0)
        return fly_fail(FLY_EWIRE, "%s: .npy type %.8s, taken are integers and floats, little-endian",
                        name, descr);
    rc = parse_shape(out, shape, name);
    if (rc < 0)
        return rc;
    if (strncmp(order, "False", 5) != 0 && out->dims > 1)
        return fly_fail(FLY_EWIRE, "%s: .npy in Fortran order, C order is taken", name);
    out->type = (enum fly_npy_type)type;
    out->data = b + start + header_len;
    if ((uint64_t)out->items > (len - start - header_len) / types[type].size)
        return fly_fail(FLY_EWIRE, "%s: %" PRId64 " items announced, %zu bytes there", name, out->items,
                        len - start - header_len);
    return FLY_OK;
}

size_t fly_npy_header(unsigned char out[FLY_NPY_HEADER_CAP], enum fly_npy_type type, int32_t dims,
                      const int64_t *shape)
{
    char text[FLY_NPY_HEADER_CAP];
    int n;

    FLY_ASSERT(dims >= 0 && dims <= FLY_NPY_DIMS);
    n = snprintf(text, sizeof text, "{'descr': '%s%s', 'fortran_order': False, 'shape': (",
                 types[type].size == 1 ? "|" : "<", types[type].name + 1);
    for (int32_t i = 0; i < dims; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, i ? " %" PRId64 "," : "%" PRId64 ",", shape[i]);
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    size_t total = (10 + (size_t)n + 1 + 63) / 64 * 64;

    FLY_ASSERT(total <= FLY_NPY_HEADER_CAP);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)((total - 10) & 255);
    out[9] = (unsigned char)((total - 10) >> 8);
    memset(out + 10, ' ', total - 10);
    memcpy(out + 10, text, (size_t)n);
    out[total - 1] = '\n';
    return total;
}
